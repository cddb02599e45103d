#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `ghost upgrade` changes who decides, and never whether threads run; whatever
# of it is killed, and whenever.
# In: build/cli/ghost. Out: TAP. Runs itself in a VM where there is no sched_ext.
# limit: 900
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
[ -x "$GHOST_TESTS_BUILD/cli/ghost" ] || { echo '1..0 # SKIP cli/ghost was not built'; exit; }
[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] ||
	exec "$root/vm/run" --cpus 2 --timeout 840 -- "$root/tests/vm/$(basename "$0")"
ghost=$GHOST_TESTS_BUILD/cli/ghost
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

slow_calls=$GHOST_TESTS_BUILD/tests/vm/slow_calls.so
policy_is() { [ "$(status_of policy).$(status_of state)" = "$1.online" ]; }
# While the new agents are on their probe there are two processes.
two_processes() { [ "$(pgrep -c -x ghost-agent)" = 2 ]; }
one_process() { [ "$(pgrep -c -x ghost-agent)" = 1 ]; }
on_probe() { # POLICY
	two_processes && policy_is "$1"
}

"$ghost" load
keep=1

# ---- one after the other ----

begin fifo_percpu
first=$(status_of agent_pid)
for policy in fifo_central fifo_percpu shinjuku; do
	succeeds "an enclave is upgraded to $policy" -- "$ghost" upgrade 1 $policy --probe 200ms
	contains "^enclave 1: $policy decides after [a-z_]+ for CPUs 0-1; [12] threads\$" 'which it says' "$(cat "$work/out")"
	sed 's/^/#  /' "$work/out"
	is 'and so does status' "$(status_of policy).$(status_of state)" "$policy.online"
	goes_on 'while its threads run on'
	await 10 one_process
	is 'the agents before are gone' $? 0
done
is 'nobody was told of a failure' "$(cat "$work/told")" ''
is 'another process decides' "$([ "$(status_of agent_pid)" != "$first" ]; echo $?)" 0
succeeds 'to the same policy it can be upgraded, too' -- "$ghost" upgrade 1 shinjuku --slice 3ms --json --probe 0
for field in '"enclave": 1' '"from": "shinjuku"' '"to": "shinjuku"' '"upgraded": true' '"why": null' \
	'"undecided_ns": [1-9]' '"blackout_ns": [0-9]' '"control_ns": [1-9]' '"threads": [12],'; do
	contains "$field" "its result has $field" "$(cat "$work/out")"
done
contains '"params": "\[3000000,' 'the record has the parameters' "$(cat /run/ghost/enclave_1)"

# ---- a service level ----

succeeds 'agents that keep the service level stay' -- "$ghost" upgrade 1 fifo_percpu --probe 1s --slo p50=10s --json
for field in '"percentile": 50' '"limit_ns": 10000000000' '"waits": [1-9]' '"late": 0'; do
	contains "$field" "its result has $field" "$(cat "$work/out")"
done
refuses 1 'fifo_central broke --slo=p99.9=1ns: [0-9]+ of [0-9]+ waits .* longer \(100.00 %\); the old policy decides again' \
	'agents that break it give way' -- "$ghost" upgrade 1 fifo_central --probe 2s --slo p99.9=1ns
is 'to those before' "$(status_of policy).$(status_of state)" fifo_percpu.online
goes_on 'while threads run on'
await 10 one_process
contains '"waits": [1-9]' 'the counters are there for all' "$("$ghost" status --json)"
counted=$("$ghost" status --json | grep '"waits"')
sleep 1
is 'and stand still when nobody asks' "$("$ghost" status --json | grep '"waits"')" "$counted"
for slo in p99 99=1ms p0=1ms p100=1ms p99=0 p99=x p=1ms p99=1ms5 ''; do
	refuses 2 '--slo wants a percentile and a duration' "'$slo' is no service level" -- \
		"$ghost" upgrade 1 shinjuku --slo "$slo"
done
succeeds 'all is as before' -- "$ghost" upgrade 1 shinjuku --slice 3ms --probe 0

# ---- by a member ----

mkfifo "$work/go"
for verb in upgrade 'enclave set-cpus'; do
	what=fifo_percpu
	[ "$verb" = upgrade ] || what=0-1
	# shellcheck disable=SC2086 # two words
	bash -c 'read; exec "$@"' bash "$ghost" $verb 1 $what --probe 100ms <>"$work/go" >"$work/out" 2>"$work/err" &
	member=$!
	"$ghost" attach 1 $member
	is "a shell is in the enclave" "$(sched_of $member)" 7
	echo >"$work/go"
	wait $member
	is "and calls $verb like anybody else" $? 0
done
goes_on 'while the others run on'
succeeds 'all is as before' -- "$ghost" upgrade 1 shinjuku --slice 3ms --probe 0

# ---- refused: nothing changes ----

before=$(status_of agent_pid)
refuses 1 'there is no enclave 9' 'an enclave that is not there is told' -- "$ghost" upgrade 9 fifo_percpu
refuses 2 "'x' is no enclave" 'a word for an enclave is refused' -- "$ghost" upgrade x fifo_percpu
refuses 2 "there is no policy 'fifo' " 'a policy that is not there is refused' -- "$ghost" upgrade 1 fifo
refuses 2 '--slice must be' 'a parameter out of range is refused' -- "$ghost" upgrade 1 shinjuku --slice 1ns
refuses 2 'name an enclave and a policy' 'so is no policy' -- "$ghost" upgrade 1
refuses 2 "'true' is one argument too many" 'so is a command' -- "$ghost" upgrade 1 shinjuku true
refuses 2 '--probe wants a duration' 'so is a probe without end' -- "$ghost" upgrade 1 shinjuku --probe inf
is 'and all is as before' "$(status_of agent_pid).$(status_of state)" "$before.online"

# ---- the new agents fail ----

"$ghost" upgrade 1 fifo_percpu --probe 100s 2>"$work/up.err" &
upgrade=$!
await 30 on_probe fifo_percpu
refuses 1 'is being upgraded already \(pid [0-9]+\)' 'a second upgrade at the same time is refused' -- "$ghost" upgrade 1 sol
kill -KILL "$(status_of agent_pid)"
wait $upgrade
is 'an upgrade whose agents are killed on their probe fails' $? 1
contains '^ghost: (the new agent process ended|the new agents were given up).*; the old policy decides again$' 'and says so' "$(cat "$work/up.err")"
await 10 policy_is shinjuku
is 'the policy before decides again' "$(status_of policy).$(status_of agent_pid)" "shinjuku.$before"
goes_on 'and the threads run on'

"$ghost" upgrade 1 fifo_central --probe 100s 2>"$work/up.err" &
upgrade=$!
await 30 on_probe fifo_central
kill -STOP "$(status_of agent_pid)"
wait $upgrade
is 'so does one whose agents hang' $? 1
contains 'given up \(stall\); the old policy decides again$' 'and says so' "$(cat "$work/up.err")"
await 10 policy_is shinjuku
is 'the policy before decides again, in its own process' "$(status_of policy).$(status_of agent_pid)" "shinjuku.$before"
goes_on 'and the threads run on'
is 'the run was told nothing of it' "$(cat "$work/told")" ''

# ---- others are killed in between ----

"$ghost" upgrade 1 fifo_percpu --probe 100s --slo p50=10s 2>"$work/up.err" &
upgrade=$!
await 30 on_probe fifo_percpu
kill -KILL $upgrade
wait $upgrade 2>/dev/null
await 20 one_process
is 'when the upgrade is killed the old agents leave' $? 0
counted=$("$ghost" status --json | grep '"waits"')
sleep 1
is 'the next command ends the counting for its probe' "$("$ghost" status --json | grep '"waits"')" "$counted"
is 'and the new ones decide' "$(status_of policy).$(status_of state)" fifo_percpu.online
goes_on 'and the threads run on'

before=$(status_of agent_pid)
LD_PRELOAD=$slow_calls GHOST_SLOW_FORK=2000 "$ghost" upgrade 1 fifo_central --probe 0 2>"$work/up.err" &
upgrade=$!
await 10 pgrep -P $upgrade
child=$(pgrep -P $upgrade)
kill -KILL $upgrade
wait $upgrade 2>/dev/null
await 20 eval "! kill -0 $child"
is 'an upgrade that is killed before its agents have begun leaves none that wait' $? 0
is 'and the agents before decide' "$(status_of policy).$(status_of agent_pid).$(status_of state)" "fifo_percpu.$before.online"

shown=/sys/fs/bpf/ghost/enclave_1/state
before=$(sed -n 's/^cpus //p' $shown)
others_online() { grep -q '^state online' $shown && [ "$(sed -n 's/^cpus //p' $shown)" != "$before" ]; }
LD_PRELOAD=$slow_calls GHOST_SLOW_OUTLIVE=2000 "$ghost" upgrade 1 shinjuku --probe 0 2>"$work/up.err" &
upgrade=$!
await 10 pgrep -P $upgrade
child=$(pgrep -P $upgrade)
await 20 others_online
kill -KILL $upgrade
wait $upgrade 2>/dev/null
await 20 one_process
sleep 3
is 'of an upgrade that is killed at the hand-over the new agents stay' "$(status_of policy).$(status_of agent_pid).$(status_of state)" "shinjuku.$child.online"
is 'and they alone' "$(pgrep -x ghost-agent)" "$child"
goes_on 'and the threads run on'

before=$(status_of agent_pid)
"$ghost" upgrade 1 fifo_central --probe 1s >"$work/up.out" 2>"$work/up.err" &
upgrade=$!
await 30 on_probe fifo_central
kill -KILL "$before"
wait $upgrade
is 'agents before that are killed on the probe are not missed' $? 0
goes_on 'and the threads run on'

kill -KILL "$(status_of agent_pid)"
await 20 eval "[ \$(status_of state) = lost ]"
contains 'agent (process|thread) .*ended; .*fallback' 'the end of upgraded agents is told' "$(await 10 grep -q fallback "$work/told"; cat "$work/told")"
goes_on 'and the threads run on'
succeeds 'an enclave whose agents were lost is upgraded, too' -- "$ghost" upgrade 1 fifo_percpu --probe 500ms
is 'and has agents again' "$(status_of policy).$(status_of state)" fifo_percpu.online
finish 'the run ends as its command says'
await 10 eval '! pgrep -x ghost-agent'
is 'with its agents' $? 0

# ---- a run that starts agents again ----

begin fifo_percpu --restart
succeeds 'a run that starts agents again is upgraded' -- "$ghost" upgrade 1 shinjuku --slice 7ms --probe 200ms
kill -KILL "$(status_of agent_pid)"
await 30 grep -q 'new agents of shinjuku decide' "$work/told"
is 'and starts those of the new policy' $? 0
await 10 policy_is shinjuku
is 'which decide' "$(status_of policy).$(status_of state)" shinjuku.online
contains '\[7000000,' 'with its parameters' "$(cat /run/ghost/enclave_1)"
agent=$(status_of agent_pid)
LD_PRELOAD=$slow_calls GHOST_SLOW_FORK=2000 "$ghost" upgrade 1 fifo_percpu --probe 100ms >/dev/null 2>"$work/up.err" &
upgrade=$!
await 10 pgrep -P $upgrade
kill -KILL "$agent"
wait $upgrade
is 'agents that are killed while an upgrade begins are not started again in its way' "$? $(cat "$work/up.err")" '0 '
await 10 policy_is fifo_percpu
is 'the new ones decide' "$(status_of policy).$(status_of state)" fifo_percpu.online
agent=$(status_of agent_pid)
sleep 1
is 'and stay' "$(status_of agent_pid).$(pgrep -x ghost-agent)" "$agent.$agent"
kill -STOP "$keeper"
succeeds 'it is upgraded while its keeper cannot see it' -- "$ghost" upgrade 1 fifo_percpu --probe 100ms
kill -KILL "$(status_of agent_pid)"
: >"$work/told"
kill -CONT "$keeper"
await 30 grep -q 'new agents of fifo_percpu decide' "$work/told"
is 'and starts those of the last policy all the same' $? 0
contains 'the agent process .* of fifo_percpu ended' 'which is told' "$(cat "$work/told")"
kill -KILL "$keeper"
wait "$keeper" 2>/dev/null
goes_on 'without its keeper the command goes on'
succeeds 'then there is nobody to upgrade for' -- sh -c "! $ghost upgrade 1 fifo_percpu"
contains 'nobody to upgrade' 'which is told' "$(cat "$work/err")"
touch "$work/enough"
await 30 eval '! pgrep -x ghost-agent'
is 'the agents clean up after the command' $? 0

begin fifo_percpu
"$ghost" upgrade 1 fifo_central --probe 0 >"$work/up.out"
kill -KILL "$keeper"
wait "$keeper" 2>/dev/null
touch "$work/enough"
await 30 eval '! pgrep -x ghost-agent'
is 'upgraded agents do, too' $? 0

succeeds 'the kernel side can be unloaded' -- "$ghost" unload
clean 'and nothing is left'
printf '1..%d\n' $n
