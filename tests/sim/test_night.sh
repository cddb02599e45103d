#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# .ci/night counts what passed, what failed and what could not be run.
# In: build/cli/ghost. Out: TAP.
set -uo pipefail
export LC_ALL=C.UTF-8
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh

night() { GHOST_BUILD=$work/build .ci/night --seed 7 "$@"; }
ends_with() { # STATUS LAST-LINE COMMAND...
	local want=$1 last=$2 status
	shift 2
	"$@" >"$work/out" 2>&1
	status=$?
	printf 'status %d\n' $status
	cat "$work/out"
	[ $status = "$want" ] && [ "$(tail -n 1 "$work/out")" = "$last" ]
}
check 'an unknown option is refused by name' ends 2 "unknown option '--all'" night --all
check 'so is a number that is none' ends 2 "--faults wants a number, got 'x'" night --faults x
check 'and no number' ends 2 '--cases wants a value' night --cases
check 'and storms of nothing' ends 2 '--storm wants a number above 0' night --storm 0
check 'a tree that is not built is told' ends 1 'is not built; run make' night

mkdir -p "$work/build/cli"
ln -s "$build/cli/ghost" "$work/build/cli/ghost"
check 'cases that pass do' ends_with 0 '1 passed, 0 failed, 0 skipped' night --faults 0 --cases 50
check 'and what was said of them is kept' grep -q '50 cases, seeds 7 to 56' "$work/build/night/sim-7.log"
# Without its helper a storm cannot begin, nor can a VM.
check 'storms that cannot be run are skipped, and all are tried' \
	ends_with 0 '0 passed, 0 failed, 3 skipped' night --faults 25 --storm 10 --cases 0
check 'the last has what is left' grep -q 'storm of 5 faults, seed 9' "$work/out"
rm "$work/build/cli/ghost"
printf '#!/bin/sh\nexit 1\n' >"$work/build/cli/ghost"
chmod +x "$work/build/cli/ghost"
check 'cases that fail do' ends_with 1 '0 passed, 1 failed, 0 skipped' night --faults 0 --cases 50
printf '1..%d\n' $n
