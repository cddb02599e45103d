#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# table3 measures each of its lines, refuses what it cannot do with the right
# status, and leaves nothing behind, also when it is interrupted. Nothing here
# looks at a time. In: a built tree. Out: TAP. limit: 300
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
table3=$build/bench/table3

if [ ! -x "$table3" ]; then
	printf '1..0 # SKIP table3 is not built\n'
	exit 0
fi
work=$(mktemp -d "$build/bench/test_table3.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh
table3_ends() { ends "$1" "$2" "$table3" "${@:3}"; } # STATUS WORDS ARGUMENT...

# ---- what is wrong is refused before anything is loaded ----

check '--help names the lines' table3_ends 0 'prestaged_pick' --help
check 'no rounds are refused' table3_ends 2 'whole number from 1' --rounds 0
check 'a word for a number is refused' table3_ends 2 "got 'many'" --warmup many
check 'a negative number is refused' table3_ends 2 "got '-1'" --warmup=-1
check 'a line that is not known is refused by name' table3_ends 2 "knows no 'local_switch'" \
	--bench message_local,local_switch
check 'an empty name of a line is refused' table3_ends 2 "knows no ''" --bench message_local,
check 'more targets than a group has are refused' table3_ends 2 'from 1 to 10' --targets 11
check 'an argument is refused' table3_ends 2 "no argument is expected, got 'all'" all
if [ ! -e /sys/kernel/sched_ext ] && [ "$(nproc)" -ge 2 ]; then
	check 'a kernel without sched_ext is status 3, with the reason' table3_ends 3 'no sched_ext' --rounds 1
else
	skip 'a kernel without sched_ext is status 3, with the reason' 'this one has it, or one CPU'
fi

# ---- with sched_ext ----

sched=()
if [ ! -e /sys/kernel/sched_ext ] || [ "$(id -u)" != 0 ]; then
	sched=(vm/run --cpus 4 --)
elif [ "$(nproc)" -lt 4 ]; then
	printf '# %d CPUs\n1..%d\n' "$(nproc)" $n
	exit 0
fi
# shellcheck disable=SC2016 # expanded inside
"${sched[@]}" bash -c '
	table3=$1 ghost=$2
	state() { cat /sys/kernel/sched_ext/state; }
	"$table3" --json --rounds 20 --warmup 5; echo "status $?"
	echo "state $(state)"
	"$table3" --json --rounds 5 --warmup 0 --targets 2 --bench syscall,group_end_to_end
	echo "status $?"
	"$table3" --rounds 1000000 --bench message_global &
	for i in $(seq 100); do [ "$(state)" = enabled ] && break; sleep 0.1; done
	sleep 0.5
	kill -TERM $!; wait $!; echo "interrupted: status $?"
	echo "state $(state)"
	"$ghost" load && "$ghost" run fifo_percpu --cpus 1 -- sh -c "
		$table3 --rounds 5 --bench remote_agent; echo \"busy: status \$?\"" 2>&1
	"$table3" --rounds 5 --bench request >/dev/null; echo "loaded: status $?"
	echo "state $(state)"
	setpriv --reuid 1000 --clear-groups "$table3" --rounds 5 --bench request; echo "no root: status $?"
' bash "$table3" "$build/cli/ghost" </dev/null >"$work/out" 2>&1
rc=$?
sed 's/^/# /' "$work/out"

has() { # REGEX: a line of the output is this
	grep -qE "$1" "$work/out"
}
num='[0-9]+\.[0-9]'
line_of() { # BENCH SYSTEM CPUS
	printf '%s' "^\{\"bench\": \"$1\", \"system\": \"$2\", \"ns\": $num, \"p10\": $num, \"p90\": $num, " \
		"\"rounds\": 20, \"cpus\": $3, \"optimized\": (true|false)\}\$"
}
check 'the kernel log is clean' [ "$rc" = 0 ]
for bench in syscall minimal_switch; do
	check "$bench is measured in the fair class" has "$(line_of $bench eevdf 1)"
done
for bench in request message_local message_global local_schedule remote_agent remote_target remote_end_to_end remote_timed_agent prestaged_pick; do
	check "$bench is measured" has "$(line_of $bench ghost 1)"
done
for bench in group_agent_per_txn group_target group_end_to_end; do
	check "$bench is measured with all CPUs but the agent's" has "$(line_of $bench ghost 3)"
done
nothing_is_zero() {
	grep '"rounds": 20' "$work/out"
	! grep -qE '"ns": 0\.0' "$work/out"
}
check 'no line took no time' nothing_is_zero
# The two sides of one commit; medians of three figures need not add up exactly.
sides_fit() {
	awk -F'[ ,]+' '/"rounds": 20/ { gsub(/"/, ""); ns[$2] = $6 }
		END {
			print ns["remote_agent"], ns["remote_target"], ns["remote_end_to_end"]
			exit !(ns["remote_end_to_end"] > ns["remote_agent"] &&
				ns["remote_end_to_end"] > ns["remote_target"])
		}' "$work/out"
}
check 'from call to running takes longer than either side' sides_fit
check 'it ends with 0' [ "$(grep -m1 '^status' "$work/out")" = 'status 0' ]
check 'no scheduler is left' [ "$(grep -m1 '^state' "$work/out")" = 'state disabled' ]
check 'a group can be smaller' has '"group_end_to_end".*"rounds": 5, "cpus": 2,'
check 'only the lines that were asked for are printed' \
	[ "$(sed -nE 's/.*"bench": "([a-z_]+)".*"rounds": 5,.*/\1/p' "$work/out" | paste -sd' ')" = 'syscall group_end_to_end' ]
check 'interrupted, it says so' has '^table3: interrupted'
check 'and ends with the status of the signal' has '^interrupted: status 143'
check 'and no scheduler is left' [ "$(sed -n 's/^state //p' "$work/out" | sed -n 2p)" = disabled ]
check 'a CPU that another enclave has is refused with the cure' has 'another enclave has one of the CPUs.*ghost destroy'
check 'with status 1' has '^busy: status 1'
check 'a kernel side that was there before stays' [ "$(sed -n 's/^state //p' "$work/out" | sed -n 3p)" = enabled ]
check 'without the rights it is status 4' has '^no root: status 4'

printf '1..%d\n' $n
