#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An enclave that root gives to a user, who decides for it by `ghost agents`.
# In: build/cli/ghost. Out: TAP. Runs itself in a VM where there is no sched_ext.
# limit: 600
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
[ -x "$GHOST_TESTS_BUILD/cli/ghost" ] || { echo '1..0 # SKIP cli/ghost was not built'; exit; }
[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] ||
	exec "$root/vm/run" --cpus 4 --timeout 540 -- "$root/tests/vm/$(basename "$0")"
# Where a user who is nobody can read it.
mkdir -p /run/ghost_test
ghost=/run/ghost_test/ghost
cp "$GHOST_TESTS_BUILD/cli/ghost" "$ghost"
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
open='' # a bpffs that everybody may make folders in is mounted
links=$(cat /proc/sys/fs/protected_symlinks)
close_doors() {
	[ -z "$open" ] || umount /sys/fs/bpf
	open=''
	echo "$links" >/proc/sys/fs/protected_symlinks
}
trap 'kill $(jobs -p) 2>/dev/null; close_doors; rm -rf "$work" /run/ghost_test' EXIT
chmod 755 "$work"
mode=$(stat -c %a /sys/fs/bpf)
chmod 711 /sys/fs/bpf

as() { # UID COMMAND...: nobody else's rights
	local uid=$1
	shift
	setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --inh-caps=-all -- "$@"
}
mine() { as 1000 "$ghost" "$@"; }
theirs() { as 1001 "$ghost" "$@"; }
log() { cat /run/ghost/kept_1.log; }
logged() { grep -qE -- "$1" /run/ghost/kept_1.log; }

"$ghost" load
keep=1

# ---- what can be asked for ----

refuses 2 'there is no user .nobody_has_this_name' 'a user that is not there is told' -- \
	"$ghost" enclave create none --user nobody_has_this_name
refuses 2 'there is no group .nobody_has_this_name' 'and a group' -- \
	"$ghost" enclave create none --group nobody_has_this_name
refuses 2 "go with 'ghost serve none'" 'who gives an enclave away brings no policy' -- \
	"$ghost" enclave create fifo_percpu --user 1000
refuses 2 "no agents of 'none' to start again" 'nor can it be started again' -- "$ghost" serve none --restart
refuses 2 'wants a number from 1 to' 'a limit is a number' -- "$ghost" serve none --max-threads 0
refuses 2 "goes with 'ghost serve'" 'and no matter of a run' -- "$ghost" run fifo_percpu --max-threads 3 -- true

refuses 2 "wants fifo, weighted or fair, not 'x'" 'a fallback has a name' -- "$ghost" serve none --fallback x

succeeds 'an enclave is given to a user' -- "$ghost" enclave create none --cpus 1-2 --user 1000 --stall 1s \
	--fallback weighted
contains '^enclave 1: .*fallback runs threads on CPUs 1-2 until .ghost agents 1 POLICY' 'and says what comes next' \
	"$(cat "$work/out")"
is 'it has no agents' "$(status_of policy).$(status_of state).$(status_of agents)" none.idle.0
is 'and room for some threads' "$("$ghost" status --json | sed -nE 's/^ *"max_threads": ([0-9]+).*/\1/p')" 4096

contains '"fallback": "weighted"' 'and the fallback that was asked for' "$("$ghost" status --json)"

# ---- the user ----

mine agents 1 fifo_percpu --slice 5ms >"$work/agents" 2>"$work/agents.err" &
await 30 state_is online
is 'its user decides' "$(cat "$work/agents")" 'enclave 1: fifo_percpu decides for CPUs 1-2'
agents=$(pgrep -f 'ghost agents 1 fifo_percpu' | tail -n1)
is 'without a right' "$(sed -nE 's/^CapEff:\s*0*([0-9a-f])$/\1/p' "/proc/$agents/status").$(stat -c %u "/proc/$agents")" 0.1000
await 10 logged "agents decide .process $agents"
is 'which the keeper tells' $? 0

as 1000 bash -c 'while :; do sleep 0.1; echo x; done' >"$work/marks" &
await 20 test -s "$work/marks"
hers=$(pgrep -u 1000 -x bash | head -n1)
succeeds 'the user puts a thread of its own in' -- mine attach 1 "$hers"
is 'it is a member' "$(sched_of "$hers")" 7
goes_on 'and runs'
refuses 4 'cannot join enclave 1' 'not one of root' -- mine attach 1 $$
is 'which stays what it was' "$(sched_of $$)" 0
refuses 4 'enclave 1 was not given to you' 'somebody else can put nothing in' -- theirs attach 1 "$hers"
refuses 4 'enclave 1 was not given to you' 'nor decide' -- theirs agents 1 fifo_percpu
refuses 1 'there is no enclave 9' 'an enclave that is not there is told' -- mine agents 9 fifo_percpu
refuses 2 'there is no policy' 'and a policy' -- mine agents 1 nothing
refuses 2 'name an enclave and a policy' 'both are wanted' -- mine agents 1
refuses 1 'has agents already; --wait' 'there is one set of agents' -- mine agents 1 fifo_percpu
refuses 1 'are none of .ghost run. or .ghost serve.; end them first' 'root upgrades its own only' -- \
	"$ghost" upgrade 1 fifo_percpu
for verb in 'load' 'unload' 'run fifo_percpu -- true' 'serve fifo_percpu' 'destroy 1' 'upgrade 1 shinjuku' \
	'enclave set-cpus 1 1'; do
	# shellcheck disable=SC2086
	mine $verb >"$work/out" 2>"$work/err" </dev/null
	is "no user can 'ghost $verb'" $? 4
done
is 'and nothing has changed' "$(cpus=$(status_of cpus); echo "$cpus.$(status_of state).$(status_of agents)")" 1-2.online.2

# ---- others take over ----

mine agents 1 shinjuku_shenango --wait >"$work/next" 2>"$work/next.err" &
await 30 grep -q 'waiting for the agents of enclave 1' "$work/next.err"
is 'others wait' $? 0
kill -TERM "$agents"
central() { grep -q 'cannot start the agents of shinjuku_shenango: .*RLIMIT_RTPRIO' "$work/next.err"; }
await 30 central
is 'who may not spin is told what it takes' $? 0
await 20 state_is idle
goes_on 'the fallback runs the threads'
await 10 logged 'the agents stopped; the kernel.s fallback runs the threads until there are others'
is 'which the keeper tells' $? 0

decider() { # the process of the first agent
	local tid
	tid=$(sed -n 's/^cpus [0-9]*:\([0-9]*\).*/\1/p' /sys/fs/bpf/ghost/enclave_1/state)
	sed -n 's/^Tgid:[[:blank:]]*//p' "/proc/$tid/status" 2>/dev/null
}
next_decides() { state_is online && [ "$(decider)" != "$last" ]; }
last=
mine agents 1 fifo_percpu >/dev/null 2>&1 &
await 30 state_is online
for i in 1 2; do
	mine agents 1 fifo_percpu --wait >/dev/null 2>"$work/wait.$i" &
	await 30 grep -q 'waiting for the agents of enclave 1' "$work/wait.$i"
done
last=$(decider)
kill -TERM "$last"
await 30 next_decides
is 'of two that wait one takes over' $? 0
goes_on 'and decides'
last=$(decider)
kill -TERM "$last"
await 30 next_decides
is 'and the other one after it' $? 0
kill -TERM "$(decider)"
await 20 state_is idle
mkdir "$work/hints"
chown 1000 "$work/hints"
(ulimit -r 1 && exec setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs "$ghost" agents 1 shinjuku \
	--hints "$work/hints") >"$work/next" 2>"$work/next.err" &
await 30 state_is online
goes_on 'with that right it decides'
contains "^hints: GHOST_HINTS=$work/hints/hints_1" 'and listens for hints where it was told' "$(cat "$work/next")"
is 'in a socket of its own' "$(stat -c %F.%u "$work/hints/hints_1")" socket.1000

# ---- agents that mean ill, and the end ----

agents=$(pgrep -f 'ghost agents 1 shinjuku' | tail -n1)
kill -STOP "$agents"
await 30 state_is lost
is 'agents that hang lose the enclave' $? 0
goes_on 'and its threads go on'
await 10 logged 'waited longer than 1s .* for a decision of'
is 'with a word of whom they kept waiting' $? 0
succeeds 'root ends the enclave all the same' -- "$ghost" destroy 1
kill -CONT "$agents"
none_left() { [ -z "$(pgrep -f 'ghost agents 1 shinjuku')" ]; }
await 20 none_left
is 'the hanging agents are nobody.s, and end when they go on' $? 0
goes_on 'the threads are'
is 'in the fair class' "$(sched_of "$hers")" 0
refuses 1 'there is no enclave 1' 'the user has nothing any more' -- mine agents 1 fifo_percpu

# ---- closed doors ----

succeeds 'an enclave may be a group.s' -- "$ghost" enclave create none --cpus 3 --group 1000 --max-threads 2
chmod 700 /sys/fs/bpf
refuses 4 'chmod o.x /sys/fs/bpf' 'a closed bpffs is told with its cure' -- mine agents 1 fifo_percpu
chmod 711 /sys/fs/bpf
(exec setpriv --reuid 1002 --regid 1002 --groups 1000 --no-new-privs "$ghost" agents 1 fifo_percpu) >"$work/next" 2>&1 &
await 30 state_is online
is 'its members decide' "$(cat "$work/next")" 'enclave 1: fifo_percpu decides for CPUs 3'
"$ghost" destroy 1
wait $!
is 'until it ends' "$(tail -n1 "$work/next")" 'ghost: enclave 1 was destroyed; its threads go on in the fair class'
"$ghost" unload

# ---- open doors: somebody was there before root ----

mount -t bpf bpf /sys/fs/bpf
open=1
is 'a bpffs that is mounted without a mode is open to all' "$(stat -c %a /sys/fs/bpf)" 1777
as 1000 mkdir /sys/fs/bpf/ghost /sys/fs/bpf/ghost/link
for verb in load unload 'run fifo_percpu -- true'; do
	# shellcheck disable=SC2086
	refuses 4 'is a folder of user 1000 .*; .chmod go-w /sys/fs/bpf; rm -r /sys/fs/bpf/ghost' \
		"'ghost $verb' refuses the folder of a user" -- "$ghost" $verb
done
is 'which is left as it was' "$(stat -c %u.%a /sys/fs/bpf/ghost; ls /sys/fs/bpf/ghost)" $'1000.755\nlink'
is 'and nothing is loaded' "$(cat /sys/kernel/sched_ext/state)" disabled
as 1000 rmdir /sys/fs/bpf/ghost/link /sys/fs/bpf/ghost
# As the kernel has it, where nobody has set it.
echo 0 >/proc/sys/fs/protected_symlinks
mkdir "$work/others"
touch "$work/others/file"
as 1000 ln -s "$work/others" /sys/fs/bpf/ghost
for verb in load unload; do
	refuses 4 'is a link of user 1000' "'ghost $verb' refuses the link of a user" -- "$ghost" $verb
done
is 'what it leads to is left as it was' "$(ls "$work/others")" file
rm /sys/fs/bpf/ghost
mkdir -m 775 /sys/fs/bpf/ghost
refuses 4 'is a folder of user 0 .mode 0775' 'nor is one of root taken in which others can write' -- "$ghost" load
close_doors

chmod "$mode" /sys/fs/bpf
keep=0
clean 'nothing is left'
finish_group
