#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The unit under a systemd that runs: what it does to the processes of an enclave
# when it starts, reloads, stops and loses them. As root's user manager, which is the
# same program and needs not be process 1.
# In: build/cli/ghost, build/systemd, systemd. Out: TAP. Runs itself in a VM where
# there is no sched_ext.
# limit: 600
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
[ -x "$GHOST_TESTS_BUILD/cli/ghost" ] || { echo '1..0 # SKIP cli/ghost was not built'; exit; }
[ -x /lib/systemd/systemd ] || { echo '1..0 # SKIP there is no /lib/systemd/systemd'; exit; }
# In a VM in any case: a manager of the machine's own would meddle.
[ "${GHOST_TEST_SYSTEMD_HERE:-}" ] ||
	exec "$root/vm/run" --cpus 2 --timeout 540 -- env GHOST_TEST_SYSTEMD_HERE=1 "$root/tests/vm/$(basename "$0")"
ghost=$GHOST_TESTS_BUILD/cli/ghost
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

export XDG_RUNTIME_DIR=$work/run
unset NOTIFY_SOCKET DBUS_SESSION_BUS_ADDRESS
# The last one is what tells it that the machine was booted by systemd.
mkdir -p "$work/run/systemd/user" "$work/etc" /run/systemd/system
chmod 700 "$work/run"
unit=ghost@web conf=$work/etc/web.conf
# As installed, but for where; and what it says goes where it can be read.
sed -e "s|[^= ]*/bin/ghost|$ghost|; s|[^= ]*/ghost/%i.conf|$work/etc/%i.conf|" \
	-e "/^\[Service\]/a StandardOutput=append:$work/journal\nStandardError=append:$work/journal" \
	"$GHOST_TESTS_BUILD/systemd/ghost@.service" >"$work/run/systemd/user/ghost@.service"
: >"$work/journal"
/lib/systemd/systemd --user >"$work/manager" 2>&1 &
ctl() { systemctl --user "$@"; }
await 60 ctl is-system-running --wait || true
shows() { ctl show -p "$1" --value $unit; } # PROPERTY
is 'a systemd runs' "$(ctl show -p Version --value | grep -c .)" 1
state() { echo "$(shows ActiveState) $(status_of state) $(status_of policy)"; }
# Is PID one of the service's processes?
in_service() { grep -qx "$1" "/sys/fs/cgroup$(shows ControlGroup)/cgroup.procs"; }
is_now() { [ "$(state)" = "$1" ]; }
told() { tail -n +$((lines + 1)) "$work/journal"; } # since mark()
mark() { lines=$(wc -l <"$work/journal"); }

# ---- start ----

printf 'policy = fifo_percpu\ncpus = 0-1\nrestart = yes\n' >"$conf"
succeeds 'start ends well' -- ctl start $unit
is 'once the policy decides' "$(state)" 'active online fifo_percpu'
main=$(shows MainPID) agent=$(status_of agent_pid)
is 'the main process is the keeper' "$(status_of keeper_pid)" "$main"
in_service "$agent"
is 'its agents are of the service, too' $? 0
bash -c 'while :; do sleep 0.1; echo x; done' >"$work/marks" &
member=$!
"$ghost" attach 1 $member
goes_on 'a thread that is put in runs'

# ---- reload ----

printf 'policy = fifo_central\nslice = 3ms\ncpus = 0-1\nrestart = yes\n' >"$conf"
succeeds 'reload ends well' -- ctl reload $unit
is 'once the new policy decides' "$(state)" 'active online fifo_central'
is 'in another process' "$([ "$(status_of agent_pid)" != "$agent" ]; echo $?)" 0
is 'with the keeper that was there' "$(shows MainPID)" "$main"
agent=$(status_of agent_pid)
# Long enough for systemd to clean up after the command that has started them.
sleep 2
is 'agents that a reload has started are left alone' "$(state) $(status_of agent_pid)" "active online fifo_central $agent"
in_service "$agent"
is 'as processes of the service' $? 0
goes_on 'the thread runs on'
mark
printf 'policy = fifo_central\nslice = 3 hours\n' >"$conf"
ctl reload $unit 2>"$work/err"
is 'with a file that has become wrong reload fails' "$([ $? != 0 ]; echo $?)" 0
is 'and the policy decides on' "$(state) $(status_of agent_pid)" "active online fifo_central $agent"
contains 'web.conf:2:9: .*3 hours' 'the journal says in which line' "$(told)"

# ---- agents that fail ----

printf 'policy = fifo_central\nslice = 3ms\ncpus = 0-1\nrestart = yes\n' >"$conf"
mark
kill -KILL "$agent"
await 30 eval 'told | grep -q "new agents of fifo_central decide"'
is 'agents that are killed are started again' $? 0
contains 'agent process \(pid '"$agent"'\).* ended;|was killed by signal 9' 'the journal says what happened' "$(told)"
is 'which is no matter of systemd' "$(shows NRestarts) $(shows MainPID)" "0 $main"
in_service "$(status_of agent_pid)"
is 'the new ones are of the service' $? 0
goes_on 'the thread runs on'

# ---- a keeper that fails ----

mark
kill -KILL "$main"
await 60 eval '[ "$(shows NRestarts)" = 1 ] && is_now "active online fifo_central"'
is 'a keeper that is killed is started again by systemd' "$(state)" 'active online fifo_central'
is 'as another process' "$([ "$(shows MainPID)" != "$main" ]; echo $?)" 0
in_service "$(status_of agent_pid)"
is 'with agents' $? 0
is 'there is one enclave' "$("$ghost" status --json | grep -c '"agent_pid"')" 1
goes_on 'the thread that was in the one before runs on'
is 'in the fair class' "$(sched_of $member)" 0

# ---- stop ----

"$ghost" attach "$(status_of id)" $member
printf 'policy = fifo_percpu\ncpus = 0-1\nrestart = yes\n' >"$conf"
ctl reload $unit
is 'reloaded once more' "$(state)" 'active online fifo_percpu'
succeeds 'stop ends well' -- ctl stop $unit
is 'and the service has not failed' "$(shows ActiveState) $(shows Result)" 'inactive success'
goes_on 'its thread goes on'
is 'in the fair class' "$(sched_of $member)" 0
clean 'agents that a reload has started are gone, and nothing is left'

# ---- a file that is wrong from the start ----

mark
printf 'policy = fifo_percpu\nslcie = 1ms\n' >"$conf"
ctl start $unit 2>"$work/err"
is 'with a wrong file it does not start' "$([ $? != 0 ]; echo $?)" 0
sleep 3
is 'which is not tried again and again' "$(shows ActiveState) $(shows NRestarts)" 'failed 0'
contains "web.conf:2:1: .*did you mean 'slice'" 'and the journal says why' "$(told)"
mkdir /sys/fs/cgroup/shop
echo $member >/sys/fs/cgroup/shop/cgroup.procs
printf 'policy = fifo_percpu\nslice = 1ms\ncgroup = shop\n' >"$conf"
succeeds 'with a right one it does' -- ctl start $unit
member_is() { [ "$(sched_of $member)" = "$1" ]; }
await 20 member_is 7
is 'and the threads of the cgroup it names are in' $? 0

# ---- another command destroys the enclave ----

mark
"$ghost" enclave destroy "$(status_of id)"
await 60 eval '[ "$(shows NRestarts)" = 1 ] && is_now "active online fifo_percpu"'
is 'an enclave that somebody destroys is made again' "$(state)" 'active online fifo_percpu'
await 20 member_is 7
is 'and the threads of the cgroup are in again' $? 0
contains 'another command destroyed enclave' 'the journal says so' "$(told)"

# ---- a keeper that fails, where a cgroup is the enclave's ----

kill -KILL "$(shows MainPID)"
await 60 eval '[ "$(shows NRestarts)" = 2 ] && is_now "active online fifo_percpu"'
is 'a keeper that is killed is started again by systemd' "$(state)" 'active online fifo_percpu'
await 20 member_is 7
is 'and the threads of the cgroup are in again' $? 0
goes_on 'the thread runs on'
succeeds 'stop ends well' -- ctl stop $unit
clean 'and nothing is left'

# ---- what no attempt can change ----

without() { # PROPERTY STATUS WHAT TOLD: as the unit is with this
	mkdir -p "$work/run/systemd/user/ghost@.service.d"
	printf "[Service]\n$1\n" >"$work/run/systemd/user/ghost@.service.d/without.conf"
	ctl daemon-reload
	mark
	ctl start $unit 2>"$work/err"
	is "without $3 it does not start" "$([ $? != 0 ]; echo $?)" 0
	sleep 3
	is 'which is not tried again and again' \
		"$(shows ActiveState) $(shows NRestarts) $(shows ExecMainStatus)" "failed 0 $2"
	contains "$4" 'and the journal says why' "$(told)"
	ctl reset-failed $unit
}
without CapabilityBoundingSet= 4 'any privilege' 'root'
hidden="mount -t tmpfs none /sys/kernel && exec $ghost serve --config=$work/etc/%%i.conf"
without "ExecStart=\nExecStart=/usr/bin/unshare --mount /bin/sh -c \"$hidden\"" 3 'a kernel that can' 'sched_ext'
rm -r "$work/run/systemd/user/ghost@.service.d"
ctl daemon-reload
succeeds 'with all of it it starts' -- ctl start $unit
succeeds 'stop ends well' -- ctl stop $unit
clean 'and nothing is left'
printf '1..%d\n' $n
