#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Does the fuzzer find mistakes? Lines of the mechanism are made wrong, one at
# a time, in a copy; each must break a law within a number of cases in which
# the true mechanism breaks none.
# In: the tree, the built libraries. Out: TAP.
# limit: 900
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 99
build=$PWD/build
cases=${GHOST_CASES:-3000}
seed=${GHOST_SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${CC:-gcc}
flags=(-O1 -std=gnu11 -D_GNU_SOURCE -Wno-unused-function)

printf '# seed %s, %s cases each\n' "$seed" "$cases"
for lib in sim/libghost-sim.a policies/libghost-policies.a libghost/libghost.a; do
	[ -e "$build/$lib" ] || { printf 'Bail out! %s is not built\n' "$lib"; exit 99; }
done
"$cc" "${flags[@]}" -I. -c tests/sim/fuzz_driver.c -o "$work/driver.o" || exit 99

# Only sim/kernel.c takes core/ in: the rest is linked as it is.
make_driver() { # TREE OUT
	"$cc" "${flags[@]}" -I"$1" -c "$1/sim/kernel.c" -o "$1/kernel.o" &&
		"$cc" -o "$2" "$work/driver.o" "$1/kernel.o" "$build/sim/libghost-sim.a" \
			"$build/policies/libghost-policies.a" "$build/libghost/libghost.a" \
			-lhwloc -ljansson -lpthread
}
copy_tree() { # TO
	mkdir -p "$1"
	cp -r abi core libghost policies sim "$1"
}

# file, what is there (literally, all of it exactly once), what is put there, the mistake in words
mutations=(
	core/txn.h 'if (t->seq != txn->task_seq)' 'if (0)'
	'a commit may be about an older state of the thread'
	core/txn.h 'else if (txn.agent_seq != port_load_acquire(&page->agent_seq))' 'else if (0)'
	'a commit may ignore messages its agent has not seen'
	core/txn.h 'if (allowed != PORT_ALLOWED)' 'if (allowed != PORT_ALLOWED && 0)'
	'a commit may ignore the affinity of a thread'
	core/txn.h 'port_store_release(&slot->state, state);' ''
	'a transaction ends and is not told so'
	core/agent.h 'return cpu_idle_take(e, cpu);' 'return 0;'
	'a CPU goes idle over a message that came in the last moment'
	core/agent.h '		if (agent != here)
			agent_kick(t->enclave, agent);' '		if (0)
			agent_kick(t->enclave, agent);'
	'an idle CPU is not woken for a message'
	core/agent.h '	if (!agent_pending(c, page))
		return AGENT_PARK;' '	if (1)
		return AGENT_PARK;'
	'an agent is parked without another look'
	core/msg.h '		port_fetch_add(&page->agent_seq, 1);' '		;'
	'a message does not advance the number of its agent'
	core/msg.h '	msg_associate(t, st, port_fetch_add(&t->seq, 1));
	status_publish(t, st);' '	status_publish(t, st);'
	'an event does not advance the number of its thread'
	core/msg.h '	msg_associate(t, st, port_fetch_add(&t->seq, 1));
	status_publish(t, st);' '	status_publish(t, st);
	msg_associate(t, st, port_fetch_add(&t->seq, 1));'
	'a status word is published before its number'
	core/queue.h 'port_load_acquire(tail) >= len' 'port_load_acquire(tail) >= 4 * len'
	'a full queue takes messages'
	core/event.h '	t->state = CORE_TASK_BLOCKED;
	t->flags &= ~CORE_TASK_YIELDED;' '	t->state = CORE_TASK_BLOCKED;
	slots_give(slot);
	t->flags &= ~CORE_TASK_YIELDED;'
	'a slot is given back while its thread sleeps'
	core/event.h '		t->flags |= CORE_TASK_OUTSIDE;' '		;'
	'a thread that may run on no CPU of the enclave waits for one'
	core/enclave.h '	port_reenqueue(enclave, PORT_CUSTODY);
	enclave_kick(enclave, preempt);' '	enclave_kick(enclave, preempt);'
	'threads stay with agents that are lost'
	core/cpu.h 'return (__s64)(who[i] - who_at(0, place)) > 0;' 'return 1;'
	'a fair fallback lets a thread go on though another had less'
	core/event.h ' || e->nowhere)' ')'
	'a thread waits for a CPU of an enclave that has none online'
	core/enclave.h '	if (nowhere)
		enclave_clear_out(c->enclave);' ''
	'threads that waited for the last CPU stay when it goes offline'
	core/cpu.h '	if (agent_idle(enclave, cpu, c)) {
		cpu_run_agent(c, cpu, prev);
		return;
	}' ''
	'a CPU does not say that it is idle'
	core/msg.h '	if (page && !page->queue.len) {' '	if (0) {'
	'the messages of a CPU that has left the enclave are lost'
	core/msg.h '	if (t->epoch != e->epoch) {' '	if (0) {'
	'threads stay with a queue that new agents do not read'
	core/txn.h '		txn_unclaim(cpu, txn);
		return t->seq' '		return t->seq'
	'a commit that fails keeps its claim'
	core/agent.h '		port_fetch_add(&page->wanted, 1);' '		;'
	'an agent that spins does not hear who wants its CPU'
)

n=0 failed=0
say() { # OK SENTENCE
	n=$((n + 1))
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' "$n" "$2"
}

copy_tree "$work/true"
make_driver "$work/true" "$work/driver_true" || exit 99
out=$("$work/driver_true" "$seed" "$cases")
rc=$?
[ -z "$out" ] || printf '# %s\n' "$out"
[ $rc = 1 ]
say $? "the true mechanism breaks no law in $cases cases"

for ((i = 0; i < ${#mutations[@]}; i += 4)); do
	file=${mutations[i]} name=${mutations[i + 3]}
	tree=$work/m$i
	copy_tree "$tree"
	FROM=${mutations[i + 1]} TO=${mutations[i + 2]} perl -0pi -e \
		'$n = s/\Q$ENV{FROM}\E/$ENV{TO}/g; die "found $n times\n" if $n != 1' "$tree/$file" ||
		{ say 1 "found: $name"; printf '# %s has changed: the line is not there\n' "$file"; continue; }
	if ! make_driver "$tree" "$tree/driver" 2>"$work/err"; then
		say 1 "found: $name"
		head -n5 "$work/err" | sed 's/^/# /'
		continue
	fi
	out=$(timeout 120 "$tree/driver" "$seed" "$cases" 2>&1)
	rc=$?
	say $rc "found: $name"
	printf '# %s\n' "${out:-no law was broken (exit $rc)}"
	rm -rf "$tree"
done
printf '1..%d\n' "$n"
exit $failed
