#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The `ghost` program does what it says, and says in one sentence why not.
# Shown by running it: on this host for what needs no kernel side, and in
# cli_cases.sh, on a kernel with sched_ext, for the rest.
# In: build/cli/ghost. Out: TAP, in two groups.
# limit: 900
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
ghost=$GHOST_TESTS_BUILD/cli/ghost
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"

[ -x "$ghost" ] || { printf '1..0 # SKIP the ghost program was not built\n'; exit; }

refuses 2 "say what to do" 'no verb is a usage error' -- "$ghost"
refuses 2 "there is no verb 'chek' \(did you mean 'check'\?\)" 'a misspelt verb is named, with the nearest' -- "$ghost" chek
refuses 2 "unknown option '--jason' \(did you mean '--json'\?\); see 'ghost check --help'" \
	'a misspelt option is named, with the nearest' -- "$ghost" check --jason
refuses 2 'takes no value' 'a value where none belongs is refused' -- "$ghost" check --json=1
refuses 2 "needs a value \(LIST\)" 'a missing value is refused' -- "$ghost" run fifo_percpu --cpus
refuses 2 'name a policy' 'run wants a policy' -- "$ghost" run -- true
refuses 2 "there is no policy 'fifo_percup' \(did you mean 'fifo_percpu'\?" 'a misspelt policy is named, with the nearest' \
	-- "$ghost" run fifo_percup -- true
refuses 2 "there is no policy 'zzz' \(there are: .*fifo_percpu" 'an unknown policy is answered with those there are' \
	-- "$ghost" run zzz -- true
refuses 2 'say which command' 'run wants a command' -- "$ghost" run fifo_percpu
refuses 2 "unknown option '--slicer' \(did you mean '--slice'" 'an unknown policy option is refused' \
	-- "$ghost" run fifo_percpu --slicer=1ms -- true
refuses 2 '^ghost: --slice must be from 10us to inf, not 1us' 'a policy option out of range is refused, with the range' \
	-- "$ghost" run fifo_percpu --slice 1us -- true
refuses 2 "such as 500us, 10ms or inf, not '5'" 'a duration without a unit is refused' \
	-- "$ghost" run fifo_percpu --slice 5 -- true
refuses 2 "such as 500us, 10ms or inf, not '99999999999999999999s'" 'a duration that fits no number is refused' \
	-- "$ghost" run fifo_percpu --slice 99999999999999999999s -- true
refuses 2 'must be from 10ms to 15s, not 30s' 'a stall limit above that of the kernel is refused' \
	-- "$ghost" run fifo_percpu --stall 30s -- true
for both in '--restart --on-loss=destroy' '--on-loss=destroy --restart'; do
	# shellcheck disable=SC2086 # they are two
	refuses 2 'on-loss=destroy and --restart' "$both is refused" -- "$ghost" run fifo_percpu $both -- true
done
for list in '' a 0- 3-1 0,,1 -1 0x1 '0 1'; do
	refuses 2 "wants a list such as 0-3,6, not" "'$list' is no CPU list" -- "$ghost" run fifo_percpu "--cpus=$list" -- true
done
refuses 2 'CPU [0-9]+ is not online \(online: 0' 'a CPU the machine lacks is refused, with those it has' \
	-- "$ghost" run fifo_percpu --cpus 0-1023 -- true
refuses 2 'numbered from 0 to 1023' 'a CPU beyond all machines is refused' -- "$ghost" run fifo_percpu --cpus 5000 -- true
refuses 127 'no-such-command: command not found' 'a command that is not there is told before anything is loaded' \
	-- "$ghost" run fifo_percpu -- no-such-command
refuses 126 'cannot be executed' 'a folder is no command' -- "$ghost" run fifo_percpu -- /
refuses 2 "'0' is no enclave" 'enclaves are numbered from 1' -- "$ghost" destroy 0
refuses 2 'either --all or enclaves' 'destroy wants enclaves or all' -- "$ghost" destroy --all 1
refuses 2 "'x' is no process id" 'attach wants numbers' -- "$ghost" attach 1 x
refuses 2 "--cgroup wants a folder below /sys/fs/cgroup, not '' \(that is the root" 'a cgroup without a name is refused' \
	-- "$ghost" serve fifo_percpu --cgroup=
refuses 2 "--cgroup wants a folder below /sys/fs/cgroup, not '' \(that is the root" 'nor can it be attached' -- "$ghost" attach 1 --cgroup=
refuses 2 "not '' \(that is the root" 'nor are its threads batch' -- "$ghost" run shinjuku_shenango --batch-cgroup= -- true
refuses 2 "--cgroup wants a folder below /sys/fs/cgroup, not '12345' \(No such" 'a number is no folder of a cgroup' \
	-- "$ghost" serve fifo_percpu --cgroup=12345
for slo in p0x10=1ms 'p 99=1ms' p+99=1ms p9e1=1ms p99.=1ms p.9=1ms pnan=1ms p=1ms p; do
	refuses 2 "--slo wants a percentile and a duration, such as p99=1ms, not '${slo//+/[+]}'" "'$slo' is no service level" \
		-- "$ghost" upgrade 1 fifo_percpu --slo "$slo"
done
refuses 2 'must be from' 'load refuses a table too large' -- "$ghost" load --threads 99999999

for verb in check run status attach destroy load unload policies; do
	succeeds "$verb --help shows its options" -- "$ghost" "$verb" --help
	contains "Usage: ghost $verb .*--help" 'and its usage' "$(tr '\n' ' ' <"$work/out")"
done
succeeds 'the help of a policy shows its own options' -- "$ghost" run fifo_percpu --help
contains '--slice=DURATION' 'with their defaults' "$(cat "$work/out")"
succeeds 'the version is printed' -- "$ghost" --version
contains "^ghost $(sed -nE "s/^ *version: '(.*)',/\1/p" "$root/meson.build") " 'and is that of the tree' "$(cat "$work/out")"
"$ghost" policies --json >/dev/full 2>"$work/err"
is "a full disk is not taken for success" "$?" 1

if [ ! -e /sys/kernel/sched_ext ]; then
	refuses 3 "lacks 'sched_ext'" 'a kernel without sched_ext is told, and status 3' -- "$ghost" run fifo_percpu -- true
	"$ghost" check >"$work/out" 2>&1
	is 'check says the same' "$?" 3
	contains 'sched_ext  missing' 'in its table' "$(cat "$work/out")"
else
	skip 'a kernel without sched_ext is told, and status 3' 'this host has sched_ext'
fi
finish_group

[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] && exec "$root/tests/vm/cli_cases.sh"
exec "$root/vm/run" --cpus 2 --timeout 840 -- "$root/tests/vm/cli_cases.sh"
