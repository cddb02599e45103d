#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench/fig5 writes data and pictures, and refuses what it does not know; the
# simulated agent schedules more with more CPUs. Nothing here looks at a time of
# this machine. In: a built tree. Out: TAP. limit: 300
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
crowd=$build/bench/crowd

if [ ! -x "$build/cli/ghost" ] || [ ! -x "$crowd" ]; then
	printf '1..0 # SKIP ghost or crowd is not built\n'
	exit 0
fi
mkdir -p "$build/bench" && work=$(mktemp -d "$build/bench/test_fig5.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh

check 'fig5 refuses an unknown option by name' ends 2 "unknown option '--cpus'" bench/fig5 --cpus
check 'fig5 wants a folder after --out' ends 2 '--out needs a value' bench/fig5 --out
check 'bench/run names its experiments' ends 2 'there are: sim, micro, fig5' bench/run fig4
check 'crowd refuses no tasks' ends 2 'from 1 to 4096' "$crowd" --tasks 0
check 'crowd refuses a word for a number' ends 2 "got 'long'" "$crowd" --duration-ms long
check 'crowd refuses an argument' ends 2 "got 'many'" "$crowd" many
check 'crowd counts the turns of its processes' ends 0 '"tasks": 3, "turns": ' \
	"$crowd" --tasks 3 --duration-ms 50 --warmup-ms 10
check 'and leaves none of them behind' bash -c '! pgrep -P 1 -x crowd'

options=(--quick --out "$work/out")
[ -x "$build/bench/fifo_load" ] && type -P qemu-system-x86_64 >/dev/null || options+=(--no-vm)
if type -P gnuplot >/dev/null; then
	check 'bench/fig5 --quick works' bench/fig5 "${options[@]}"
	check 'there is a picture as SVG' grep -q '</svg>' "$work/out/fig5.svg"
	check 'there is a picture as PNG' grep -q PNG "$work/out/fig5.png"
else
	check 'without gnuplot bench/fig5 writes the data and says what is missing' \
		ends 1 '.ci/setup bench installs it' bench/fig5 "${options[@]}"
fi
per_second() { # WHERE CPUS
	sed -nE "s/.*\"where\": \"$1\", \"cpus\": $2, .*\"per_second\": ([0-9]+).*/\1/p" "$work/out/fig5.json"
}
rises() {
	cat "$work/out/fig5.json"
	[ "$(per_second sim 8)" -gt $((2 * $(per_second sim 2))) ]
}
check 'with 8 CPUs the simulated agent schedules more than twice what it does with 2' rises
if [[ ${options[*]} != *--no-vm* ]]; then
	there() {
		cat "$work/out/fig5.json"
		[ "$(per_second vm 2)" -gt 0 ]
	}
	check 'there is a point from a real kernel' there
else
	skip 'there is a point from a real kernel' 'no QEMU, or ghost was built without BPF'
fi

printf '1..%d\n' $n
