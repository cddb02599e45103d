#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench/fig6 sweeps what it is told, goes on where it was interrupted, and draws;
# `ghost bench` finds it. Nothing here looks at a time but simulated ones.
# In: a built tree, gnuplot. Out: TAP. limit: 300
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
mkdir -p "$build/bench" && work=$(mktemp -d "$build/bench/test_fig6.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh
ghost=$build/cli/ghost

check 'ghost bench lists the experiments' ends 0 'fig6' "$ghost" bench
check 'one that is not known is refused, with a guess' ends 2 "did you mean 'fig" "$ghost" bench fig66
check 'ghost bench hands options on' ends 2 "not 'moon'" "$ghost" bench fig6 --where moon
check 'a tree that is not there is said to be' \
	ends 1 'GHOST_SOURCE' env GHOST_SOURCE=/nowhere "$ghost" bench fig6
check 'a word for a number is refused' ends 2 "got 'many'" bench/fig6 --repeats many
check 'a scale of 0 is refused' ends 2 "got '0'" bench/fig6 --scale 0
check 'a system that is not there is refused' ends 2 "not 'cfs'" bench/fig6 --systems shinjuku,cfs
check 'a load that is none is refused' ends 2 "got '30,'" bench/fig6 --loads 30,

sweep() { bench/fig6 --where sim --quick --out "$work" "$@"; }
# Interrupted in the middle, it must not begin anew.
bench/fig6 --where sim --quick --out "$work" >"$work/first" 2>&1 &
for ((i = 0; i < 600; i++)); do
	[ "$(cat "$work"/fig6.points 2>/dev/null | grep -c where)" -lt 4 ] || break
	sleep 0.1
done

check 'two sweeps at once are refused' ends 1 'another sweep' sweep
kill -TERM $! 2>/dev/null
wait $!
before=$(cat "$work/fig6.points")
check 'an interrupted sweep has what it has measured' [ "$(grep -c where <<<"$before")" -ge 4 ]
check 'the same command goes on to the end' sweep
check 'and keeps what was measured before' \
	[ "$(head -n "$(wc -l <<<"$before")" "$work/fig6.points")" = "$before" ]
points=$(grep -c where "$work/fig6.points")
check 'a third time there is nothing left to measure' sweep
check 'and nothing is measured twice' [ "$(grep -c where "$work/fig6.points")" = "$points" ]

p99_of() { # SYSTEM BATCH LOAD: us, rounded
	sed -nE "s/.*\"system\": \"$1\", \"batch\": $2, \"load\": $3, .*\"p99_us\": ([0-9]+).*/\1/p" "$work/fig6.json"
}
share_of() { # SYSTEM LOAD: in 1/10000
	sed -nE "s/.*\"system\": \"$1\", \"batch\": 1, \"load\": $2, .*\"batch_share\": 0\.([0-9]+).*/\1/p" "$work/fig6.json"
}
less() { # A B
	echo "$1 < $2"
	[ -n "$1" ] && [ -n "$2" ] && [ "$((10#$1))" -lt "$((10#$2))" ]
}
check 'slices keep the tail short where requests run to completion make it long' \
	less "$(($(p99_of shinjuku 0 330) * 10))" "$(p99_of run_to_completion 0 330)"
check 'batch beside them costs those who come first little' \
	less "$(p99_of shinjuku_shenango 1 330)" "$(p99_of shinjuku 1 330)"
check 'batch gets less under load' less "$(share_of shinjuku_shenango 330)" "$(share_of shinjuku_shenango 60)"
check 'and never more than where nothing costs anything' \
	less "$(share_of shinjuku_shenango 60)" "$(share_of ideal 60)"
check 'the report has a line for each' [ "$(grep -c '^| sim | ' "$work/fig6.md")" = "$points" ]
for name in fig6a fig6b fig6c; do
	check "$name is drawn" test -s "$work/$name-sim.svg" -a -s "$work/$name-sim.png"
done

# The agents are killed in the middle: requests go on to be served, but not by them.
if [ -x "$build/bench/fifo_load" ] && "$build/bench/apps/rocksdb" --help >/dev/null 2>&1; then
	mkdir -p "$work/build"/{cli,vm,bench/apps} && cp -al "$build"/vm/kernel-* "$work/build/vm/" &&
		ln -s "$build/bench/apps/rocksdb" "$work/build/bench/apps/"
	cat >"$work/build/cli/ghost" <<-TXT
		#!/bin/bash
		"$ghost" "\$@" &
		until agent=\$("$ghost" status --json | sed -nE 's/.*"agent_pid": ([1-9][0-9]*).*/\1/p') && [ -n "\$agent" ]; do sleep 0.1; done
		sleep 2
		kill -KILL "\$agent"
		wait \$!
	TXT
	chmod +x "$work/build/cli/ghost"
	check 'a point whose agents were killed is said to be another scheduler' ends 1 'not shinjuku all the time' \
		env GHOST_BUILD="$work/build" bench/fig6 --where vm --quick --systems shinjuku --loads 30 --out "$work/killed"
	check 'and does not count' [ "$(grep -c where "$work/killed/fig6.points")" = 0 ]
else
	skip 'a point whose agents were killed is said to be another scheduler' 'ghost was built without BPF, or no RocksDB'
fi
printf '1..%d\n' $n
