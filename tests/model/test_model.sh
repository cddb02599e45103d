#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The models, run by spin: every interleaving of what they describe keeps what
# their heads promise, and every mistake they can be told to make is found.
#
# test_model.sh [REGEX]: only the runs whose definitions match, as "seqnum .*NO_UNDO".
#
# In: the *.pml beside this file, spin, gcc. Out: TAP; two runs at a time, each
# in a folder of its own below a temporary one.
# limit: 240
set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
only=${1-}

missing=''
type -P spin >/dev/null || missing+=' spin'
type -P gcc >/dev/null || missing+=' gcc'
if [ -n "$missing" ]; then
	printf '1..1\nnot ok 1 - the models can be run\n'
	printf '# install:%s (".ci/setup test" does)\n' "$missing"
	exit 1
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/test-model.XXXXXX")
runner=''
trap '[ -z "$runner" ] || kill -- "-$runner" 2>/dev/null; wait; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# ---- the runs ----

runs=()
holds() { add holds -O0 "$@"; }
breaks() { add breaks -O0 "$@"; }
# More than a second or two: compiling it well takes less than it saves.
long() { add holds -Og "$@"; }
add() { # holds|breaks OPTIMIZE MODEL safety|live DEFINITIONS SENTENCE
	[ -z "$only" ] || [[ "$3 $5" =~ $only ]] || return 0
	runs+=("$1|$2|$3|$4|$5|$6")
}

# safety: assertions, and no end but those that are meant. live: the model's
# formula, under weak fairness.
long queue safety '-DPRODUCERS=3 -DALONE' \
	'three producers that race lose no message that is not counted as an overflow'
long queue safety '' \
	'with two agents that drain in turns each message is handled once, whole and in order'
long queue safety '-DLEN=4' \
	'in a ring with room to spare each is handled once, whole and in order, too'
holds queue safety '-DLEN=4 -DQUIET -DHEARTBEAT' \
	'the heartbeat ends the wait for a message that was hidden by a late one'
breaks queue safety '-DLEN=4 -DQUIET' \
	'a late message that wakes nobody can hide one that does until the heartbeat'
breaks queue safety '-DBUG_PUBLISH_FIRST' \
	'a position that is stored before the message shows half a message'
breaks queue safety '-DBUG_PLAIN_RESERVE' \
	'a place that is reserved without compare-exchange is given twice'
breaks queue safety '-DBUG_NUMBER_FIRST' \
	'a number that advances before the message leaves it unread'
breaks queue safety '-DBUG_TAIL_FIRST' \
	'a tail that advances before the copy lets the copy be overwritten'
breaks queue safety '-DBUG_NO_LOCK' 'two consumers at once handle a message twice'
breaks queue safety '-DBUG_NO_SECOND_LOOK' \
	'without a second look after unlocking something is left unread'

long seqnum live '-DWAKES=1 -DSTOPS=0' \
	'a runnable thread is committed in the end, whatever happens to it and its affinity'
long seqnum safety '' \
	'nothing is committed that has changed since it was decided, and no thread is left behind'
long seqnum safety '-DTHREADS=2 -DCPUS=1' \
	'with two threads on one CPU no agent waits on a message it has not read'
holds seqnum safety '-DTHREADS=2 -DWAKES=1 -DSTOPS=0 -DCHANGES=0' \
	'two threads on two CPUs are not committed on anything stale'
breaks seqnum safety '-DBUG_NAMELESS_CLAIM' \
	'a claim that does not name its CPU is undone by another one'
breaks seqnum safety '-DBUG_CLAIM_IS_ON_CPU' \
	'a thread refused for a claim that comes to nothing is lost'
breaks seqnum live '-DBUG_NO_UNDO -DWAKES=1 -DSTOPS=0' \
	'a claim that is not undone keeps the thread from running'
breaks seqnum safety '-DBUG_NO_SEQ_CHECK' \
	'without the number of the thread a stale decision is carried out'
breaks seqnum safety '-DBUG_NO_AGENT_CHECK' \
	'without the number of the agent it waits on a message it has not read'
breaks seqnum safety '-DBUG_OPEN_LATE' \
	'a custody point after the checks lets what was checked change'
breaks seqnum safety '-DBUG_NUMBER_LATE' \
	'an agent that drains before it reads its number waits on a message'
breaks seqnum safety '-DBUG_NUMBER_FIRST' \
	'an agent whose number advances before the message waits on it'

long handover live '-DTHREADS=2 -DARRIVAL -DHOG -DHOME -DWAKES=1' \
	'new agents strand no thread, not even beside one that always runs'
long handover live '-DCPUS=2 -DDEATHS=1 -DPINNED -DHOME -DWAKES=1 -DCOARSE' \
	'when one of two agents dies the other one lets go, and no thread is stranded'
long handover live '-DNAPS=1 -DOTHERS=1' \
	'a thread runs in the end, though its agent sleeps in a page fault and loses its CPU'
long handover live '-DTHREADS=2' 'two threads on one CPU both run in the end'
holds handover live '-DARRIVAL -DHOME' 'a thread that waits when agents come is not stranded'
holds handover live '-DDEATHS=1' 'an agent that dies at any moment strands no thread'
holds handover live '-DTHREADS=2 -DDEATHS=1 -DHOG -DHOME' \
	'an agent that dies strands no thread beside one that always runs'
long handover safety '-DCPUS=2 -DHOME' 'no wake-up is lost with two CPUs that help each other'
holds handover safety '-DTHREADS=2 -DOTHERS=1' 'no wake-up is lost when another class takes the CPU'
holds handover safety '-DNAPS=1 -DOTHERS=1' \
	'no wake-up is lost when an agent sleeps in the middle of a decision'
breaks handover live '-DTHREADS=2 -DARRIVAL -DHOG -DHOME -DWAKES=1 -DBUG_NO_BEAT_ONLINE' \
	'without a heartbeat for enclaves with agents a thread can stay in the queue of the fallback'
breaks handover live '-DDEATHS=1 -DBUG_NO_HEARTBEAT' \
	'without a heartbeat an agent that dies can strand a thread'
breaks handover safety '-DOTHERS=1 -DBUG_LOOK_BEFORE_BIT' \
	'a CPU that looks at the number before it sets its bit misses a wake-up'
breaks handover safety '-DBUG_BIT_BEFORE_NUMBER' \
	'a waker that looks at the bit before it advances the number wakes nobody'
breaks handover safety '-DBUG_PARK_WITHOUT_LOOK' \
	'an agent that is parked without a last look misses a wake-up'
breaks handover safety '-DBUG_NUMBER_AFTER_DRAIN' \
	'an agent that drains before it reads its number parks on a message'

# ---- one run ----

# 450 MB at most, so that two at a time stay below 1 GB.
run() { # NUMBER: in a folder of its own; leaves "ok" there if all is as it should be
	local kind optimize model mode defs
	local cc=(gcc -w -DMEMLIM=450 -DNO_RESIZE) pan=(./pan -w22 -m200000)
	IFS='|' read -r kind optimize model mode defs _ <<<"${runs[$1]}"
	mkdir "$work/$1" && cd "$work/$1" || return
	read -ra defs <<<"$defs"
	case $mode in
	safety) cc+=(-DSAFETY -DNOCLAIM) ;;
	live) cc+=(-DNFAIR=3) pan+=(-a -f) ;;
	esac
	cp "$here/$model.pml" . &&
		spin ${defs[@]+"${defs[@]}"} -a "$model.pml" >said 2>&1 &&
		"${cc[@]}" "$optimize" -o pan pan.c >>said 2>&1 || return
	"${pan[@]}" >found 2>&1
	# What was not searched to the end is not verified.
	! grep -qE 'max search depth too small|reached -DMEMLIM|out of memory|abort|too small|resiz' found || return
	if [ "$kind" = holds ]; then
		grep -q 'errors: 0$' found && : >ok
	else
		grep -q 'errors: 1$' found &&
			grep -qE '^pan:1: (assertion violated|invalid end state|acceptance cycle)' found && : >ok
	fi
}

explain() { # NUMBER: what spin said, and the end of the way to the error
	local model defs
	IFS='|' read -r _ _ model _ defs _ <<<"${runs[$1]}"
	printf 'spin %s %s.pml\n' "$defs" "$model"
	cd "$work/$1" || return
	cat said 2>/dev/null
	grep -E '^pan:|error|states, stored|depth reached' found 2>/dev/null
	[ -e "$model.pml.trail" ] || return
	read -ra defs <<<"$defs"
	spin ${defs[@]+"${defs[@]}"} -t -p "$model.pml" 2>/dev/null | grep -E 'proc |CYCLE' |
		sed -E "s/^ *[0-9]+:\tproc +//; s/ $model.pml:/ line /; s/ \(state [0-9]+\)//" | tail -n 60
}

# ---- all of them ----

printf '1..%d\n' ${#runs[@]}
# A process group of its own, to be ended as one.
set -m
(
	for i in "${!runs[@]}"; do
		while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
		{
			run "$i"
			: >"$work/$i.done"
		} &
	done
	wait
) &
runner=$!
set +m
bad=0
for i in "${!runs[@]}"; do
	while [ ! -e "$work/$i.done" ]; do
		kill -0 "$runner" 2>/dev/null || break
		sleep 0.1
	done
	IFS='|' read -r _ _ _ _ _ sentence <<<"${runs[$i]}"
	if [ -e "$work/$i/ok" ]; then
		printf 'ok %d - %s\n' $((i + 1)) "$sentence"
	else
		printf 'not ok %d - %s\n' $((i + 1)) "$sentence"
		(explain "$i") | sed 's/^/# /'
		bad=1
	fi
	rm -rf "${work:?}/$i"
done
exit $bad
