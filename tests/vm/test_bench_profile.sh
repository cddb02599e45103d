#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench/profile counts the instructions of functions that are there, and of no
# others. In: a built tree, QEMU. Out: TAP. limit: 600
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
mkdir -p "$build/bench" && work=$(mktemp -d "$build/bench/test_profile.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh
profile_ends() { ends "$1" "$2" bench/profile "${@:3}"; } # STATUS WORDS ARGUMENT...

check '--help names the systems' profile_ends 0 'eevdf,fifo_bpf,ghost' --help
check 'a bench that is not known is refused by name' profile_ends 2 "not 'sleep'" --bench sleep
check 'a system that is not known is refused by name' profile_ends 2 "not 'cfs'" --systems eevdf,cfs
check 'no hand-overs are refused' profile_ends 2 "got '0'" --handovers 0
check 'an option without its value is refused' profile_ends 2 '--top wants a value' --top
check 'the plugin goes with virtual time only' \
	bash -c 'vm/run --plugin /etc/hostname -- true 2>&1 | grep -e "--plugin goes with --icount"'
check 'a plugin that is not there is refused by name' \
	bash -c "vm/run --icount --plugin /nowhere.so -- true 2>&1 | grep \"cannot read '/nowhere.so'\""

if [ ! -x "$build/bench/fifo_load" ] || ! command -v qemu-system-x86_64 >/dev/null; then
	printf 'ok %d - functions are counted # SKIP not built, or no QEMU\n1..%d\n' $((++n)) $n
	exit 0
fi
bench/profile --systems eevdf,ghost --handovers 2000 --top 5 --json "$work/json" >"$work/out" 2>"$work/err"
status=$?
sed 's/^/# /' "$work/out" "$work/err"
check 'two systems are profiled' [ $status = 0 ]
of() { # FUNCTION SYSTEM: instructions per hand-over, rounded
	sed -nE "s/.*\"name\": \"$1\".*\"$2\": (-?[0-9]+)[.0-9]*[,}].*/\1/p" "$work/json"
}
above() { # COUNT LEAST
	echo "$1 of at least $2"
	[ "${1:-0}" -ge "$2" ]
}
# How often an agent comes in between is for the moment to say: 1.2 to 3 times
# the instructions of EEVDF were seen.
for system in eevdf ghost; do
	check "$system goes through the scheduler" above "$(of __schedule $system)" 100
done
check 'with ghost there is a program that enqueues' above "$(of bpf:ghost_enqueue ghost)" 50
check 'under EEVDF there is none' [ "$(of bpf:ghost_enqueue eevdf)" -eq 0 ]
check 'and an agent' above "$(of user:ghost ghost)" 50
check 'the table has the lines that were asked for' [ "$(grep -c . "$work/out")" = 8 ]
printf '1..%d\n' $n
