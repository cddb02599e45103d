#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `ghost enclave`: made, filled, grown, shrunk, watched and destroyed while threads run.
# In: build/cli/ghost. Out: TAP. Runs itself in a VM where there is no sched_ext.
# limit: 900
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
[ -x "$GHOST_TESTS_BUILD/cli/ghost" ] || { echo '1..0 # SKIP cli/ghost was not built'; exit; }
[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] ||
	exec "$root/vm/run" --cpus 4 --timeout 840 -- "$root/tests/vm/$(basename "$0")"
ghost=$GHOST_TESTS_BUILD/cli/ghost
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
trap 'kill $(jobs -p) 2>/dev/null; pkill -f "sleep 0.2[57]"; rm -rf "$work"' EXIT

is_fair() { [ "$(sched_of "$1")" = 0 ]; }
cpus_of() { taskset -cp "$1" | sed 's/.*: //'; } # 0,1, not 0-1
# Of enclave 1 and all others; status_of() stops at a comma.
cpus_now() { "$ghost" enclave list --json | sed -nE 's/^ *"cpus": "(.*)",$/\1/p' | paste -sd' '; }
set_cpus() { "$ghost" enclave set-cpus --probe 100ms "$@"; }
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
no_agents() { ! pgrep -x ghost-agent; }
fields() { sed -nE "s/.*\"$1\": \"?([^\",]*).*/\1/p" "$work/out"; }

"$ghost" load
keep=1

# ---- made and filled ----

succeeds 'an enclave is made' -- "$ghost" enclave create fifo_percpu --cpus 0-1
contains '^enclave 1: fifo_percpu decides for CPUs 0-1; process [0-9]+ keeps it, messages are in /run/ghost/kept_1.log$' \
	'which says what it is and who keeps it' "$(cat "$work/out")"
is 'its policy decides' "$(status_of policy).$(status_of state)" fifo_percpu.online
is 'it lives on when the command has ended' "$(status_of agents)" 2
refuses 1 'CPU 1 belongs to enclave 1 \(.ghost serve.*choose others' 'CPUs that it has no other can get' -- \
	"$ghost" enclave create fifo_percpu --cpus 1-2
refuses 2 'there is no policy' 'a policy that is not there is refused' -- "$ghost" enclave create nothing
refuses 2 'wants a list such as' 'and a list that is none' -- "$ghost" enclave create fifo_percpu --cpus x
refuses 2 'there is no policy' 'also for somebody without rights' -- nobody "$ghost" enclave create nothing
refuses 4 'no permission' 'who is told if that is all that is wrong' -- nobody "$ghost" enclave create fifo_percpu --cpus 2
is 'nothing of these is left' "$(ls /run/ghost/create_* 2>/dev/null)" ''
is 'there is one enclave still' "$("$ghost" enclave list --json | grep -c '"id"')" 1

# A process whose child has a child, and all of them run on.
bash -c 'bash -c "while :; do sleep 0.27; done" & echo $! >'"$work"'/child; while :; do sleep 0.25; echo x; done' \
	>"$work/marks" &
top=$!
await 20 test -s "$work/child"
child=$(cat "$work/child")
succeeds 'a process is put in with all that descend from it' -- "$ghost" enclave add 1 --tree $top
is 'it is a member' "$(sched_of $top)" 7
is 'so is its child' "$(sched_of "$child")" 7
goes_on 'and it runs'
refuses 1 'there is no process 4000000' 'a tree without a root is told' -- "$ghost" enclave add 1 --tree 4000000
refuses 2 "'x' is no process id" 'and a root that is no number' -- "$ghost" enclave add 1 --tree x

# ---- other CPUs ----

taskset -cp 0-1 $top >/dev/null
taskset -cp 1 "$child" >/dev/null
succeeds 'it grows' -- set_cpus 1 0-2
contains '^enclave 1: fifo_percpu decides after fifo_percpu for CPUs 0-2; [0-9]+ threads$' 'which it says' "$(cat "$work/out")"
is 'and has the CPUs' "$(status_of cpus).$(status_of agents).$(status_of state)" 0-2.3.online
is 'a thread that had the CPUs of the enclave has the new ones' "$(cpus_of $top)" 0-2
is 'another keeps its affinity' "$(cpus_of "$child")" 1
goes_on 'and all runs on'
succeeds 'it moves' -- set_cpus --json 1 0,3
is 'to what was asked for' "$(fields upgraded) $(cpus_now)" 'true 0,3'
is 'and who followed follows' "$(cpus_of $top)" 0,3
ticks_of() { awk '{ sub(/^.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/$1/stat"; }
before=$(ticks_of "$child")
runs_more() { [ "$(ticks_of "$child")" -gt "$before" ]; }
await 60 runs_more
is 'who may run on none of its CPUs runs all the same' $? 0
succeeds 'another enclave takes what it has left' -- "$ghost" enclave create fifo_central --cpus 1-2
refuses 1 'CPU [12] belongs to enclave 2 \(.ghost serve' 'and then it is taken' -- set_cpus 1 0-3
is 'which has changed nothing' "$(cpus_now)" '0,3 1-2'
refuses 1 'there is no enclave 9' 'an enclave that is not there is told' -- set_cpus 9 0
refuses 2 'CPU 77 is not online' 'and a CPU that is not there' -- set_cpus 1 0,77
refuses 2 'name an enclave, and its CPUs' 'so is one argument' -- set_cpus 1
refuses 2 "'3' is one argument too many" 'and a third' -- set_cpus 1 0 3
succeeds 'an upgrade can bring CPUs, too' -- "$ghost" upgrade 1 shinjuku --cpus 3 --probe 100ms
is 'and has them' "$(status_of policy).$(status_of cpus).$(status_of state)" shinjuku.3.online
goes_on 'with threads that run on'
succeeds 'a central policy gets other CPUs' -- set_cpus 2 2
succeeds 'and more' -- set_cpus 2 1-2
succeeds 'the one that has left them takes some back' -- set_cpus 1 0,3
goes_on 'and all runs on'

# ---- agents that fail meanwhile ----

set_cpus --probe 100s 1 0 2>"$work/up.err" &
change=$!
on_one_cpu() { [ "$(status_of cpus).$(status_of state)" = 0.online ]; }
await 30 on_one_cpu
kill -KILL "$(status_of agent_pid)"
wait $change
is 'a change whose agents are killed on their probe fails' $? 1
contains 'the old policy decides again$' 'and says who decides' "$(cat "$work/up.err")"
has_both() { [ "$(cpus_now).$(status_of state)" = '0,3 1-2.online' ]; }
await 20 has_both
is 'the agents before have their CPUs again' $? 0
is 'and who had followed comes back' "$(cpus_of $top)" 0,3
goes_on 'and all runs on'

# The new ones are held up, so that the keeper sees the old ones end long before.
: >/run/ghost/kept_1.log
old=$(status_of agent_pid)
kill -STOP "$old"
set_cpus --within 1s 1 0 2>"$work/up.err" &
change=$!
under_way() { tr -d ' \n' </run/ghost/enclave_1 | grep -q '"upgrader":{"pid":[1-9]'; }
await 30 under_way
is 'a change is under way' $? 0
new=$(pgrep -x -n ghost-agent)
kill -STOP "$new"
is_gone() { [ ! -e "/proc/$old" ]; }
await 20 is_gone
sleep 0.5
kill -CONT "$new"
wait $change
is 'agents that do not make room are killed' $? 0
contains 'the old agents \(pid [0-9]+\) did not make room; killing them' 'which is told' "$(cat "$work/up.err")"
is 'but not as if nobody would follow them' "$(cat /run/ghost/kept_1.log)" ''
is 'and others decide' "$(status_of agent_pid).$(status_of cpus).$(status_of state)" "$new.0.online"
goes_on 'while threads run on'

kill -KILL "$(status_of agent_pid)"
await 20 state_is lost
succeeds 'an enclave without agents gets CPUs, and agents' -- set_cpus 1 0,3
is 'which decide' "$(cpus_now).$(status_of state)" '0,3 1-2.online'
is 'and were kept in mind' "$(grep -c fallback /run/ghost/kept_1.log)" 1

# ---- watched ----

succeeds 'enclaves are watched' -- "$ghost" enclave watch --interval 200ms --count 2
is 'each of them in each look' "$(grep -cE '^ +[12] online ' "$work/out")" 4
contains 'enclave +state +policy +cpus +threads +messages/s' 'below a head' "$(cat "$work/out")"
succeeds 'or one' -- "$ghost" enclave watch --interval 1s --count 3 --json 1
is 'as a line of JSON for each look' "$(grep -c '^{"id":1,"state":"online","policy":"shinjuku","cpus":"0,3","threads":[0-9]*,"msgs_per_s":[0-9]*,' "$work/out")" 3
contains '"committed_per_s":[1-9]' 'with what it decides' "$(cat "$work/out")"
refuses 1 'there is no enclave 7' 'one that is not there is told' -- "$ghost" enclave watch 7 --count 1
refuses 2 "there is no verb 'create2' \(did you mean 'create'" 'a verb that is none is refused' -- "$ghost" enclave create2
refuses 2 'say what to do' 'and none' -- "$ghost" enclave
refuses 2 '--interval wants' 'and an interval of none' -- "$ghost" enclave watch --interval 0s
refuses 2 '--count wants' 'and a count of none' -- "$ghost" enclave watch --count 0

# ---- from one to another ----

members_of() { awk -v tid="$2" '$1 == tid' "/sys/fs/bpf/ghost/enclave_$1/threads" | wc -l; }
succeeds 'threads of one enclave are put into another' -- "$ghost" enclave add 2 --tree $top
is 'and are members of that one' "$(members_of 2 $top)$(members_of 2 "$child")" 11
is 'only' "$(members_of 1 $top)$(members_of 1 "$child")" 00
goes_on 'and run there'
succeeds 'and back' -- "$ghost" attach 1 $top "$child"
is 'again' "$(members_of 1 $top)$(members_of 2 $top)" 10
goes_on 'and run'

# ---- without a CPU ----

succeeds 'an enclave can have one CPU' -- set_cpus 1 3
goes_on 'on which its threads run'
if [ -w /sys/devices/system/cpu/cpu3/online ]; then
	echo 0 >/sys/devices/system/cpu/cpu3/online
	goes_on 'it goes offline, and they run elsewhere'
	# Who looks after those that have no time at all would have made them leave.
	is 'as members' "$(members_of 1 $top)$(members_of 1 "$child")" 11
	echo 1 >/sys/devices/system/cpu/cpu3/online
	await 30 state_is online
	is 'when it is back, agents can decide' "$(set_cpus 1 0,3 2>&1 >/dev/null)$(status_of state)" online
else
	skip 'its CPU goes offline' 'the CPUs here cannot be taken offline'
fi

# ---- destroyed ----

succeeds 'an enclave is destroyed' -- "$ghost" enclave destroy 1
await 20 is_fair $top
is 'its threads go on in the fair class' "$(sched_of $top).$(sched_of "$child")" 0.0
goes_on 'and run'
is 'the other one is as before' "$(cpus_now)" 1-2
succeeds 'the last one, too' -- "$ghost" enclave destroy 2
await 20 no_agents
is 'no agents are left' $? 0
kill $top "$child"

# ---- files ----

mkdir "$work/etc"
printf 'policy = fifo_percpu\ncpus = 1-2\nstats-json = stats.json\n' >"$work/etc/web.conf"
here() { (cd "$work/etc" && "$@"); }
succeeds 'a file is looked for where the caller is' -- here "$ghost" enclave create --config=web.conf
contains "ghost serve --config=$work/etc/web.conf" 'and is known by its whole name' "$("$ghost" enclave list)"
kept_by=$(sed -nE 's/.*process ([0-9]+) keeps it.*/\1/p' "$work/out")
is 'who keeps it keeps no folder busy' "$(readlink "/proc/$kept_by/cwd")" /
kill -TERM "$kept_by"
await 20 grep -q '"policy": "fifo_percpu"' "$work/etc/stats.json"
is 'what is written goes where the caller was, too' $? 0
await 20 no_agents
succeeds 'the kernel side can be unloaded' -- "$ghost" unload
clean 'and nothing is left'
printf '1..%d\n' $n
