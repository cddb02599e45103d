#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `ghost serve` keeps an enclave for threads that others put into it.
# In: build/cli/ghost. Out: TAP. Runs itself in a VM where there is no sched_ext.
# limit: 600
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
[ -x "$GHOST_TESTS_BUILD/cli/ghost" ] || { echo '1..0 # SKIP cli/ghost was not built'; exit; }
[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] ||
	exec "$root/vm/run" --cpus 2 --timeout 540 -- "$root/tests/vm/$(basename "$0")"
ghost=$GHOST_TESTS_BUILD/cli/ghost
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

serve() { # OPTION...: and wait until it says that it is there
	: >"$work/ready"
	"$ghost" serve "$@" >"$work/ready" 2>"$work/told" &
	keeper=$!
	await 60 grep -q '^enclave' "$work/ready"
}
ends_with() { # STATUS SENTENCE
	wait $keeper
	is "$2" $? "$1"
}
is_fair() { [ "$(sched_of "$1")" = 0 ]; }

serve fifo_percpu --cpus 0-1
is 'it says that the enclave is there' "$(cat "$work/ready")" 'enclave 1: fifo_percpu decides for CPUs 0-1'
is 'which is online' "$(status_of state)" online
is 'with nobody in it' "$(status_of threads)" 0
contains '"command": "ghost serve"' 'status says whose it is' "$("$ghost" status --json)"
bash -c 'while :; do sleep 0.1; echo x; done' >"$work/marks" &
member=$!
succeeds 'a process is put in' -- "$ghost" attach 1 $member
is 'and is a member' "$(sched_of $member)" 7
goes_on 'that runs'
succeeds 'the enclave is upgraded' -- "$ghost" upgrade 1 fifo_central --probe 200ms
goes_on 'while its member runs on'
kill -USR1 $keeper
sleep 0.5
is 'a signal that means nothing ends nothing' "$(status_of state)" online
kill -TERM $keeper
ends_with 0 'SIGTERM ends it, and that is success'
await 10 is_fair $member
is 'its member goes on in the fair class' $? 0
goes_on 'and runs'
clean 'nothing is left'
is 'nothing was said' "$(cat "$work/told")" ''

# Loaded to stay: what follows is quicker.
"$ghost" load
keep=1

serve fifo_percpu --restart
"$ghost" attach 1 $member
kill -KILL "$(status_of agent_pid)"
await 20 grep -q 'new agents of fifo_percpu decide' "$work/told"
is 'agents that are killed are started again' $? 0
goes_on 'while the member runs'
succeeds 'it can be destroyed by another command' -- "$ghost" destroy 1
ends_with 1 'then its keeper has failed'
contains 'another command destroyed enclave 1; its threads go on in the fair class' 'and says why' "$(cat "$work/told")"
goes_on 'the member runs'

serve fifo_percpu --on-loss=destroy
"$ghost" attach 1 $member
kill -KILL "$(status_of agent_pid)"
ends_with 1 'where agents that fail end the enclave, their end is that of the keeper'
await 10 is_fair $member
is 'and its member goes on in the fair class' $? 0

serve fifo_percpu
kill -KILL $keeper
wait $keeper 2>/dev/null
await 20 eval '! pgrep -x ghost-agent'
is 'an empty enclave whose keeper is killed is cleaned up by its agents' $? 0

# ---- by cgroup ----

cg=/sys/fs/cgroup/shop
mkdir -p $cg/till $cg/store
in_cgroup() { exec bash -c "echo \$\$ >$1/cgroup.procs; exec $2"; }
is_member() { [ "$(sched_of "$1")" = 7 ]; }
in_cgroup $cg/till 'sleep 1000' &
first=$!
in_cgroup $cg 'sleep 1000' &
second=$!
await 10 grep -q . $cg/till/cgroup.procs
await 10 grep -q . $cg/cgroup.procs
serve fifo_percpu
succeeds 'a cgroup is put in' -- "$ghost" attach 1 --cgroup shop
is 'with those in it and below it' "$(sched_of $first) $(sched_of $second)" '7 7'
is 'and nobody else' "$(sched_of $member) $(status_of threads)" '0 2'
refuses 1 'cgroup nowhere cannot join enclave 1: No such file' 'a cgroup that is not there is refused' -- "$ghost" attach 1 --cgroup nowhere
refuses 1 '/tmp is no cgroup' 'a folder that is none is refused' -- "$ghost" attach 1 --cgroup /tmp
refuses 2 'by their pids or a cgroup' 'nobody is refused' -- "$ghost" attach 1
for root in '' . ../cgroup shop/..; do
	refuses 2 'that is the root of all cgroups' "'$root', so all threads, is refused" -- "$ghost" attach 1 --cgroup "$root"
done
kill -TERM $keeper
ends_with 0 'it ends'
is 'and they are back' "$(sched_of $first) $(sched_of $second)" '0 0'

serve fifo_percpu --cgroup shop
await 10 is_member $first
await 10 is_member $second
is 'an enclave can be that of a cgroup' $? 0
in_cgroup $cg/store 'sleep 1000' &
third=$!
await 10 is_member $third
is 'and gets those, too, who come later' $? 0
chrt -f 1 bash -c "echo \$\$ >$cg/cgroup.procs; exec sleep 1000" &
rt=$!
echo $keeper >$cg/cgroup.procs
sleep 1
is 'but nobody of a real-time class, nor its own keeper' "$(sched_of $rt) $(sched_of $keeper)" '1 0'
is 'and nobody else' "$(status_of threads)" 3
kill $first $second $third $rt
await 10 eval '[ $(status_of threads) = 0 ]'
echo $keeper >/sys/fs/cgroup/cgroup.procs
await 10 rmdir $cg/till $cg/store
await 10 rmdir $cg
sleep 0.5
is 'it outlives its cgroup' "$(status_of state)" online
mkdir $cg
in_cgroup $cg 'sleep 1000' &
first=$!
await 10 is_member $first
is 'and has the threads of one that is made anew' $? 0
kill -TERM $keeper
ends_with 0 'it ends'
is 'without a word' "$(cat "$work/told")" ''
kill $first
await 10 rmdir $cg
refuses 2 '--cgroup wants a folder below /sys/fs/cgroup' 'an enclave for a cgroup that is not there is refused' -- "$ghost" serve fifo_percpu --cgroup nowhere
mkdir -p $cg "$work/other"
for root in / /sys/fs/cgroup . ../cgroup ./shop/.. shop/../; do
	refuses 2 '--cgroup wants a folder below /sys/fs/cgroup' "an enclave for $root, so all threads, is refused" -- "$ghost" serve fifo_percpu --cgroup "$root"
done
mount -t cgroup2 none "$work/other"
refuses 2 'no cgroup of version 2 there' 'so is one elsewhere' -- "$ghost" serve fifo_percpu --cgroup "$work/other/shop"
umount "$work/other"
rmdir $cg
refuses 2 "--cgroup goes with 'ghost serve'" 'a run for a cgroup is refused' -- "$ghost" run fifo_percpu --cgroup / -- true

refuses 2 'name a policy' 'no policy is refused' -- "$ghost" serve
refuses 2 "'true' is one argument too many" 'a command is refused' -- "$ghost" serve fifo_percpu true
"$ghost" serve fifo_percpu >/dev/full 2>"$work/err"
is 'a reader who cannot be told is a failure' $? 1
succeeds 'the kernel side can be unloaded' -- "$ghost" unload
clean 'and nothing is left'
printf '1..%d\n' $n
