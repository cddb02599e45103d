#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Threads of other classes keep the CPUs of enclaves to themselves for longer than the
# 30 s after which the kernel throws a scheduler out: it stays, an idle enclave keeps
# its agents, and threads go on, if need be in the fair class: who is sent there first
# may leave enough time to the others.
# In: build/cli/ghost. Out: TAP. Runs itself in a VM where there is no sched_ext.
# limit: 600
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
[ -x "$GHOST_TESTS_BUILD/cli/ghost" ] || { echo '1..0 # SKIP cli/ghost was not built'; exit; }
[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] ||
	exec "$root/vm/run" --cpus 4 --timeout 540 -- "$root/tests/vm/$(basename "$0")"
ghost=$GHOST_TESTS_BUILD/cli/ghost
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
trap 'kill -KILL $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
starve_s=50
# Becomes SCHED_EXT by itself (with SCHED_RESET_ON_FORK) and computes; a line for each round.
stranger='$p = pack("i", 0); syscall(144, 0, 0x40000007, $p) == 0 or die; $| = 1; while (1) { $i++ for 1..20000; print "x\n"; }'
marks() { wc -l <"$work/marks.$1"; }

"$ghost" load
keep=1
state_of() { sed -n 's/^state //p' "/sys/fs/bpf/ghost/enclave_$1/state"; }
agents_of() { sed -n 's/^cpus //p' "/sys/fs/bpf/ghost/enclave_$1/state"; }

# An idle enclave whose CPUs a normal thread and a real-time one keep busy.
"$ghost" enclave create fifo_percpu --cpus 2-3 --stall 2s >/dev/null
# And one with threads: they sleep until the CPU is busy, and then compute.
"$ghost" enclave create fifo_percpu --cpus 1 --stall 2s --restart >/dev/null
for i in 1 2; do
	bash -c 'while [ ! -e '"$work"'/go ]; do sleep 0.3; done; while :; do echo x; for i in {1..2000}; do :; done; done' >"$work/marks.$i" &
	member[$i]=$!
done
succeeds 'threads are put into an enclave' -- "$ghost" attach 2 "${member[@]}"
before=$(agents_of 1)
sleep 2
# Anybody can have threads of our class that belong to nobody, on any CPU.
setpriv --reuid 1000 --regid 1000 --clear-groups taskset -c 2 perl -e "$stranger" >"$work/marks.0" &
for cpu in 1 2; do
	taskset -c $cpu perl -e '1 while 1' &
	hogs+=($!)
done
chrt -f 50 taskset -c 3 perl -e '1 while 1' &
hogs+=($!)
sleep 1
touch "$work/go"
end=$((SECONDS + starve_s))
while ((SECONDS < end)); do sleep 5; done

read -r state </sys/kernel/sched_ext/state
is "after $starve_s s the kernel still has the scheduler" "$state" enabled
is 'an idle enclave has the same agents, and they decide' "$(state_of 1) $(agents_of 1)" "online $before"
more() { [ "$(marks "$i")" -gt "$was" ]; }
for i in 0 1 2; do
	was=$(marks "$i")
	await 20 more
	is "thread $i goes on" $? 0
done
contains 'keep the CPUs of enclave 2 to themselves' 'and the keeper has told of it' "$(cat /run/ghost/kept_2.log)"
is 'of the idle enclave there is nothing to tell' "$(cat /run/ghost/kept_1.log)" ''

# Those that hang below a hog can be ended, too.
kill -STOP "$(sed -n '/"agent"/,/}/s/.*"pid": \([0-9]*\).*/\1/p' /run/ghost/enclave_1)"
succeeds 'agents that are stopped there give way to others' -- "$ghost" upgrade 1 fifo_percpu --within 1s --probe 0
kill -KILL "${hogs[@]}"

# ---- the only CPU of an enclave goes offline ----

if [ -w /sys/devices/system/cpu/cpu1/online ]; then
	"$ghost" destroy 2
	"$ghost" enclave create fifo_percpu --cpus 1 >/dev/null
	"$ghost" attach 2 "${member[@]}"
	echo 0 >/sys/devices/system/cpu/cpu1/online
	for i in 1 2; do
		was=$(wc -l <"$work/marks.$i")
		await 60 more
		is "thread $i goes on without a CPU of its enclave" $? 0
	done
	echo 1 >/sys/devices/system/cpu/cpu1/online
else
	skip 'threads go on without a CPU of their enclave' 'CPU 1 cannot go offline here'
fi
succeeds 'all enclaves are destroyed' -- "$ghost" destroy --all

# ---- without agents the kernel's own server does it, if we let it ----

mapfile -t hogs < <(jobs -p); kill -KILL "${hogs[@]}"
taskset -c 2 perl -e '1 while 1' &
taskset -c 2 perl -e "$stranger" >"$work/marks.3" &
i=3 was=0
await 30 more
is 'a thread of nobody begins beneath a hog' $? 0
sleep 3
was=$(($(marks 3) + 2))
await 20 more
is 'and goes on' $? 0
mapfile -t hogs < <(jobs -p); kill -KILL "${hogs[@]}"
succeeds 'the kernel side can be unloaded' -- "$ghost" unload
clean 'and nothing is left'
finish_group
