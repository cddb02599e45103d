#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench/faults measures what it says on a real kernel, and its programs refuse
# what they do not know. No time is judged here.
# In: a built tree. Out: TAP. limit: 300
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
fall=$build/bench/fall

if [ ! -x "$fall" ]; then
	printf '1..0 # SKIP fall is not built\n'
	exit 0
fi
mkdir -p "$build/bench" && work=$(mktemp -d "$build/bench/test_faults.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh

check 'an unknown option is refused by name' ends 2 "unknown option '--cpus'" bench/faults --cpus
check 'an option without its value is refused' ends 2 '--json needs a value' bench/faults --json
check 'fall refuses to do without a policy' ends 2 'which policy?' "$fall"
check 'and one that is not there' ends 2 "there is no policy 'fifo'" "$fall" fifo
check 'and no threads' ends 2 "got '0'" "$fall" --tasks 0 sol
check 'and says that nothing is loaded' ends 1 'fall: ' "$fall" --tasks 1 fifo_percpu
check 'sleepers refuses a word for a number' ends 2 "got 'many'" "$build/bench/sleepers" --tasks many
late() { # of 100 wake-ups a second of each of three threads
	{ timeout 3 "$build/bench/sleepers" --tasks 3 --period-ms 10 --report 1 || [ $? = 124 ]; } |
		sed -nE 's/.*"wakeups": ([0-9]+), "p50_ns": ([0-9]+).*/\1 \2/p' | awk '$1 >= 3 && $2 > 0 { n++ } END { exit n < 1 }'
}
check 'and how late they wake up' late
ready() { # they run until they are killed
	{ timeout 2 "$build/bench/sleepers" --tasks 3 --period-ms 10 || [ $? = 124 ]; } | grep -x ready
}
check 'and says when its threads are there' ready

if ! command -v qemu-system-x86_64 >/dev/null; then
	skip 'bench/faults --quick works' 'no QEMU'
	printf '1..%d\n' $n
	exit 0
fi
bench/faults --quick --json "$work/json" >"$work/out" 2>"$work/err"
status=$?
sed 's/^/# /' "$work/out" "$work/err"
check 'bench/faults --quick works' [ $status = 0 ]
above() { # NAME LEAST LINE: in microseconds
	local got
	got=$(grep "$3" "$work/json" | sed -nE "s/.*\"$1\": ([0-9]+).*/\1/p" | head -n1)
	echo "$1: ${got:-missing}"
	[ "${got:-0}" -ge "$2" ]
}
check 'a thread that had waited runs after the agents were killed' above first_p50_ns 1 '"policy"'
check 'there was one' grep -qE '"waited": ([1-9]|[0-9.]*[1-9])' "$work/json"
check 'destroying takes time, too' above destroy_ns 1000 '"policy"'
check 'an upgrade leaves its threads undecided for some time' above undecided_ns 1000 '"upgrade"'
check 'so does a simulated one' above undecided_ns 1000 '"simulated"'
check 'threads of the enclave beside tell how late they are' above p99_ns 1 '"beside": "kill"'
check 'and what their CPU executes until they run again is counted' above own_p50 1000 '"beside": "kill", "clock": "virtual"'
check 'also when all is quiet' above p99_ns 1 '"beside": "quiet"'
check 'and in virtual time' above p99_ns 1 '"beside": "kill", "clock": "virtual"'
check 'the table has a line for each' [ "$(grep -cE '^(wall|virtual|VM|simulated) ' "$work/out")" = 8 ]
printf '1..%d\n' $n
