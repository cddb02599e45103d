#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What becomes of an enclave whose agents fail is as `ghost run --on-loss` says.
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

decided_anew() { # NR: times that new agents took over
	[ "$(grep -c 'new agents of .* decide' "$work/told")" -ge "$1" ]
}

# A CPU that the machine beneath lends to somebody else for so long is no less a reason
# to give agents up; then once more, with those that came after.
stop_agents() {
	local before i
	for i in 1 2 3; do
		before=$(grep -c 'new agents of .* decide' "$work/told")
		kill -STOP "$(status_of agent_pid)"
		await 20 decided_anew $((before + 1)) || return
		! grep -q 'is stopped (SIGSTOP)' "$work/told" || return 0
	done
}

begin fifo_percpu --restart
for i in 1 2 3; do
	old=$(status_of agent_pid)
	kill -KILL "$old"
	await 20 decided_anew $i
	is "agents that are killed are started again ($i)" $? 0
done
is 'and decide' "$(status_of state)" online
is 'in another process, of which the record tells' "$([ "$(status_of agent_pid)" != "$old" ]; echo $?)" 0
goes_on 'and the command goes on'
contains '(was killed by signal 9|agent thread [0-9]+ ended).*until there are new agents' 'each time a sentence says what happened' "$(cat "$work/told")"
finish 'to its own end'
clean 'and nothing is left'

begin fifo_percpu --restart --stall 1s
stop_agents
is 'agents that hang are, too' $? 0
contains 'waited longer than 1s .*until there are new agents' 'and why is told' "$(cat "$work/told")"
contains '^ghost: thread [0-9]+ waited longer than 1s \([1-9]\.[0-9]* s\) .*agent [0-9]+, of CPU [01], is stopped \(SIGSTOP\);' 'and what the agent was doing' "$(cat "$work/told")"
goes_on 'and the command goes on'
finish 'to its own end'
clean 'and nothing is left'

# Those that waited have run and ended before anybody asks who they were.
"$ghost" run fifo_percpu --restart --stall 1s -- \
	sh -c "while [ ! -e $work/enough2 ]; do /bin/sleep 0.01; echo x; done" >"$work/marks" 2>"$work/told" &
keeper=$!
await 60 grep -q x "$work/marks"
stop_agents
contains 'agent [0-9]+, of CPU [01], is stopped \(SIGSTOP\);' 'also when the thread that waited has ended since' "$(cat "$work/told")"
touch "$work/enough2"
wait $keeper
clean 'and nothing is left'

begin shinjuku --cpus 0,1 --restart
kill -SEGV "$(status_of agent_pid)"
await 20 decided_anew 1
is 'agents that spin are, too' $? 0
goes_on 'and the command goes on'
finish 'to its own end'
clean 'and nothing is left'

begin fifo_percpu --restart --stats-json "$work/stats.json"
kill -KILL "$(status_of agent_pid)"
await 20 decided_anew 1
finish 'a run whose agents were started again ends with its command'
contains '"restarts": 1,' 'and its numbers say how often they were' "$(cat "$work/stats.json")"

if [ -w /sys/devices/system/cpu/cpu1/online ]; then
	begin fifo_percpu --restart
	echo 0 >/sys/devices/system/cpu/cpu1/online
	await 20 grep -q 'went offline' "$work/told"
	is 'a CPU that goes offline costs the agents their place' $? 0
	goes_on 'the fallback has the threads'
	echo 1 >/sys/devices/system/cpu/cpu1/online
	await 30 decided_anew 1
	is 'until it is back, and with it new agents' $? 0
	finish 'and all ends well'
else
	skip 'a CPU that comes back brings the agents back' 'this machine has no CPU that can be taken offline'
fi

begin fifo_percpu --restart
"$ghost" destroy 1 >/dev/null 2>&1
await 20 grep -q 'another command destroyed enclave 1' "$work/told"
is 'an enclave that was destroyed gets no new agents' "$? $(grep -c 'new agents' "$work/told")" '0 0'
goes_on 'but the command goes on'
finish 'to its own end'

begin fifo_percpu --restart
old=$(status_of agent_pid)
kill -KILL $keeper
wait $keeper 2>/dev/null
goes_on 'a keeper that is killed does not stop the command'
touch "$work/enough"
clean 'and the agents clean up after it'

begin fifo_percpu --on-loss destroy
shell=$(pgrep -f "sh -c while" | head -n 1)
kill -KILL "$(status_of agent_pid)"
await 20 eval '[ -z "$(status_of state)" ]'
is 'an enclave that is to be destroyed when its agents fail is' $? 0
is 'its threads are in the fair class' "$(sched_of "$shell")" 0
contains '(was killed by signal 9|agent thread [0-9]+ ended).*go on in the fair class' 'which is told' "$(cat "$work/told")"
is 'and its CPUs are free for others' "$("$ghost" run fifo_percpu -- echo yes)" yes
goes_on 'and the command goes on'
finish 'to its own end'
clean 'and nothing is left'

begin fifo_percpu --on-loss=fallback
kill -KILL "$(status_of agent_pid)"
await 20 state_is lost
is 'without being asked nobody starts new agents' $? 0
contains 'with --restart there would be new agents' 'but it is told how to ask' "$(cat "$work/told")"
finish 'and the command ends'

"$ghost" run fifo_percpu --on-loss=pray -- true >"$work/out" 2>"$work/err"
is 'anything else is a usage error' $? 2
contains "--on-loss wants fallback, restart or destroy, not 'pray'" 'that says what there is' "$(cat "$work/err")"
clean 'and nothing is left'
finish_group
