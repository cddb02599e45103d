#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An enclave as a service: its file, and the commands of its unit, called as
# systemd calls them.
# In: build/cli/ghost, build/systemd. Out: TAP. Runs itself in a VM where there is
# no sched_ext.
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

# ---- the file ----

conf=$work/web.conf
# wrong LINE:COLUMN REGEX SENTENCE TEXT
wrong() {
	printf "$4" >"$conf"
	refuses 2 "web.conf:$1: .*$2" "$3" -- "$ghost" check "$conf"
}
printf '# the shop\npolicy = fifo_percpu\n\n\tcpus=0-1 \nslice = 2ms\nquiet = no\n' >"$conf"
succeeds 'a file that is right is' -- "$ghost" check "$conf"
is 'and what it says is told' "$(cat "$work/out")" "$conf: fifo_percpu for CPUs 0-1"
contains '"ok": true' 'also as JSON' "$("$ghost" check --json "$conf")"
wrong 1:10 "there is no policy 'fifo'" 'a policy that is not there is refused' 'policy = fifo\n'
wrong 2:1 'no policy is named' 'so is a file without one' 'cpus = 0\n'
wrong 1:1 'no policy is named' 'and an empty one' ''
wrong 2:1 "no 'slcie' .did you mean 'slice'" 'a name that nobody knows' 'policy = fifo_percpu\nslcie = 1ms\n'
wrong 2:3 "no 'timer'" 'one of another policy' 'policy = fifo_percpu\n  timer = yes\n'
wrong 2:9 '--slice wants a duration' 'a value that is none' 'policy = fifo_percpu\nslice = 3 apples\n'
wrong 2:12 '--slice must be from' 'one out of range' 'policy = fifo_percpu\nslice   =  1ns\n'
wrong 2:8 'CPU 99 is not online' 'CPUs that are not there' 'policy = fifo_percpu\ncpus = 0,99\n'
wrong 2:8 '--cpus wants a list' 'CPUs that are no list' 'policy = fifo_percpu\ncpus = all\n'
wrong 2:10 'No such file' 'a cgroup that is not there' 'policy = fifo_percpu\ncgroup = nowhere\n'
wrong 2:10 'No such file' 'the number of one, which is for parameters of policies' 'policy = fifo_percpu\ncgroup = 12345\n'
wrong 2:11 'restart wants yes or no' 'a switch that is neither on nor off' 'policy = fifo_percpu\nrestart = perhaps\n'
wrong 3:1 "'cpus' was said before, in line 2" 'a name twice' 'policy = fifo_percpu\ncpus = 0\ncpus = 1\n'
wrong 2:7 "'=' is missing" "a line without '='" 'policy = fifo_percpu\nhello world\n'
wrong 2:7 'the value is missing' 'a line without a value' 'policy = fifo_percpu\ncpus =\n'
wrong 1:2 'names are small letters' 'a name that is none' 'pOLICY = fifo_percpu\n'
wrong 2:1 'a byte 0' 'what is no text' 'policy = fifo_percpu\n\0\n'
wrong 2:10 'cannot be part of one' 'a file in a file' 'policy = fifo_percpu\nconfig = x\n'
wrong 2:11 "no agents of 'none'" 'who is to be started again and is not there' 'policy = none\nrestart = yes\nquiet = yes\n'
wrong 2:12 "no agents of 'none'" 'also in other words' 'policy = none\non-loss =  restart\nquiet = yes\n'
wrong 2:11 'on-loss=destroy and --restart' 'to be started again and destroyed' 'policy = fifo_percpu\non-loss = destroy\nrestart = yes\n'
wrong 3:11 'on-loss=fallback and --restart' 'in whatever order' 'policy = fifo_percpu\nrestart = yes\non-loss = fallback\nquiet = no\n'
wrong 2:8 "go with 'ghost serve none'" 'a user beside a policy' 'policy = fifo_percpu\nuser = root\nquiet = yes\n'
wrong 1:9 "go with 'ghost serve none'" 'and a group' 'group = root\npolicy = fifo_percpu\ncpus = 0\n'
head -c 70000 /dev/zero | tr '\0' '#' >"$conf"
refuses 2 'web.conf:1:1: .*longer than' 'what is too long' -- "$ghost" check "$conf"
refuses 1 'cannot read .*: No such file' 'a file that is not there' -- "$ghost" check "$work/nowhere"
refuses 1 'cannot read .*: Is a directory' 'a folder' -- "$ghost" check "$work"
refuses 2 'another one' 'two files' -- "$ghost" check a b
refuses 2 'stands for the whole command line' 'a file and a policy' -- "$ghost" serve --config="$conf" sol
refuses 2 'stands for the whole command line' 'a file and an option' -- "$ghost" serve --config="$conf" --quiet
refuses 2 "goes with 'ghost serve'" 'a file for a run' -- "$ghost" run --config="$conf" sol -- true
refuses 2 'the enclave is that of the file' 'a file and an enclave' -- "$ghost" upgrade 1 --config="$conf"

# ---- the unit ----

unit=$work/ghost@web.service
mkdir -p "$work/etc/ghost"
conf=$work/etc/ghost/web.conf
# As installed, but for where: %i is what comes after the @.
sed -e "s|[^= ]*/bin/ghost|$ghost|; s|[^= ]*/ghost/%i.conf|$conf|; s|%i|web|" \
	"$GHOST_TESTS_BUILD/systemd/ghost@.service" >"$unit"
if type -P systemd-analyze >/dev/null; then
	succeeds 'systemd understands the unit' -- systemd-analyze verify --man=no "$unit"
else
	skip 'systemd understands the unit' 'there is no systemd-analyze'
fi
commands() { sed -n "s/^$1=//p" "$unit"; } # ACTION
unit_does() { # ACTION: all its commands, until one fails
	local command
	while read -r command; do
		$command || return
	done < <(commands "$1")
}
# What it is told by the service, as systemd would hear it.
hear() {
	perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un($ARGV[0])) or die;
		recv(S, $m, 100, 0); print $m' "$work/notify" >"$work/heard"
}

printf 'policy = fifo_percpu\ncpus = 0-1\nrestart = yes\n' >"$conf"
hear &
await 10 test -S "$work/notify"
read -ra start < <(commands ExecStart)
NOTIFY_SOCKET=$work/notify "${start[@]}" >"$work/out" 2>"$work/told" &
keeper=$!
await 60 test -s "$work/heard"
is 'the service tells when it is ready' "$(cat "$work/heard")" 'READY=1'
is 'and its policy decides' "$(status_of state) $(status_of policy)" 'online fifo_percpu'
contains "ghost serve --config=$conf" 'status tells of which file it is' "$("$ghost" status)"
bash -c 'while :; do sleep 0.1; echo x; done' >"$work/marks" &
"$ghost" attach 1 $!
goes_on 'a thread that is put in runs'

printf 'policy = fifo_percpu\ncpus = 1\n' >"$conf"
succeeds 'reload takes the CPUs that the file names now' -- unit_does ExecReload
is 'which are those of the enclave' "$(status_of state) $(status_of cpus)" 'online 1'
goes_on 'while the thread runs on'
printf 'policy = fifo_central\nslice = 3ms\n' >"$conf"
succeeds 'and the policy' -- unit_does ExecReload
is 'which decides, for all CPUs if none are named' "$(status_of state) $(status_of policy) $(status_of cpus)" 'online fifo_central 0-1'
goes_on 'while the thread runs on'
printf 'policy = fifo_central\nslice = 3 hours\n' >"$conf"
keep=1
refuses 2 'web.conf:2:9' 'a file that has become wrong fails the reload' -- unit_does ExecReload
is 'and changes nothing' "$(status_of state) $(status_of policy)" 'online fifo_central'
cp "$conf" "$work/etc/ghost/other.conf"
sed -i 's/3 hours/3ms/' "$conf" "$work/etc/ghost/other.conf"
refuses 1 "no 'ghost serve --config=.*other.conf' is running" 'nor does a file of nobody' -- \
	"$ghost" upgrade --config="$work/etc/ghost/other.conf"
ln -s web.conf "$work/etc/ghost/link.conf"
succeeds 'another name of the file is the same service' -- "$ghost" upgrade --config="$work/etc/ghost/link.conf" --probe 100ms
goes_on 'the thread runs on'
kill -KILL "$(status_of agent_pid)"
await 20 grep -q 'new agents of fifo_central decide' "$work/told"
is 'agents that fail are started again, as the file has said' $? 0
keep=0
kill -TERM $keeper
wait $keeper
is 'SIGTERM, which is what stop sends, ends it well' $? 0
goes_on 'and the thread goes on'
clean 'nothing is left'
NOTIFY_SOCKET=$work/nowhere "$ghost" serve --config="$conf" >"$work/ready" 2>"$work/told" &
keeper=$!
await 60 grep -q '^enclave' "$work/ready"
is 'a listener who is not there keeps nobody from working' "$(status_of state)" online
kill -TERM $keeper
wait $keeper
contains 'cannot tell .*/nowhere that we are ready' 'and is told of' "$(cat "$work/told")"
clean 'nothing is left'
printf '1..%d\n' $n
