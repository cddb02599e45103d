#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# No line of bench/micro has become dearer than bench/baseline.json says, counted in
# instructions (--icount), as ratios to EEVDF's switch; and bench/compare tells
# when one has. In: a built tree, the VM. Out: TAP. limit: 900
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
baseline=bench/baseline.json

mkdir -p "$build/bench" && work=$(mktemp -d "$build/bench/test_baseline.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh

# ---- the comparison itself ----

results() { # KERNEL RATIO-OF-LOCAL_SCHEDULE [TOLERANCE]
	printf '{"kernel": "%s", "accelerator": "tcg", "mode": "virtual",\n "results": [\n' "$1"
	printf '  {"bench": "switch", "system": "eevdf", "ratio": 1.000, "ratio_same": 9.0, "tolerance": 5},\n'
	printf '  {"bench": "local_schedule", "system": "ghost", "ratio": %s, "ratio_same": 1.0, "tolerance": %s}\n' \
		"$2" "${3-5}"
	printf ' ]}\n'
}
results 7.3 2.000 >"$work/old.json"
results 7.3 2.099 >"$work/same.json"
results 7.3 2.101 >"$work/worse.json"
results 7.3 1.500 >"$work/better.json"
results 7.4 2.000 >"$work/other.json"
results 7.3 2.000 10 >"$work/lax.json"
grep -v local_schedule "$work/old.json" >"$work/short.json"
sed 's/virtual/wall/' "$work/old.json" >"$work/wall.json"
compare() { bench/compare "$work/$1.json" "$work/$2.json"; }
check 'a line within its tolerance is no failure' ends 0 'local_schedule ghost' compare old same
check 'one that is better is none' ends 0 '-25.0 %' compare old better
check 'one that is worse is, with old and new' ends 1 'was 2.000, is 2.101' compare old worse
check 'and it is said how to renew the file' ends 1 'bench/micro --icount --baseline' compare old worse
check 'a line has its own tolerance' ends 0 '10 % are allowed' compare lax worse
check 'a line that is not measured any more is a failure' ends 1 'missing' compare old short
check 'another kernel cannot be compared, and both are named' \
	ends 77 'measured on kernel 7.4, the baseline on 7.3' compare old other
check 'wall time is not compared' ends 2 'no results in virtual time' compare old wall
printf '{"kernel": "7.3", "mode": "virtual"}\n' >"$work/empty.json"
check 'a baseline without lines is refused' ends 2 'no lines' compare empty old
check 'one file is not enough' ends 2 'two files are expected' bench/compare "$work/old.json"
check '--baseline is refused without --icount' ends 2 '--baseline goes with --icount' bench/micro --baseline
check '--short is refused without --icount' ends 2 '--short goes with --icount' bench/micro --short

# ---- this tree ----

skip_all() {
	printf 'ok %d - no line is dearer than in the baseline # SKIP %s\n1..%d\n' $((++n)) "$1" $n
	exit 0
}
[ -x "$build/bench/table3" ] && [ -x "$build/bench/fifo_load" ] || skip_all 'the benchmarks are not built'
[ -x vm/run ] && type -P qemu-system-x86_64 >/dev/null || skip_all 'no QEMU'
want=$(sed -nE 's/.*"kernel": "([^"]*)".*/\1/p' $baseline)
# Before minutes are spent.
have=$(vm/run --cpus 2 -- uname -r </dev/null) || have=unknown
[ "$have" = "$want" ] || skip_all "the VM has kernel $have, the baseline is of $want"

bench/micro --icount --short --repeats 2 --systems eevdf,fifo_bpf,ghost --json "$work/now.json" >"$work/said" 2>&1
result $? 'all lines are measured'
check 'no line is dearer than in the baseline' bench/compare $baseline "$work/now.json"
printf '1..%d\n' $n
