#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The same seed is the same run, whatever built the simulator: gcc and clang,
# without optimisation and with it, are compared bit by bit.
# In: the tree. Out: TAP.
# limit: 600
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 99
cases=${GHOST_CASES:-60}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources=(sim/*.c policies/*.c libghost/{agent,central,enclave,guard,hints,host,inbox,percpu,task,topo}.c tests/sim/fuzz_driver.c)

compilers=()
for cc in gcc clang-19; do
	type -P "$cc" >/dev/null && compilers+=("$cc")
done
plan=$((${#compilers[@]} * 2 + 1))
printf '1..%d\n' "$plan"
n=0 failed=0
say() { # OK SENTENCE
	n=$((n + 1))
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' "$n" "$2"
}

[ ${#compilers[@]} = 2 ]
say $? 'gcc and clang are both here to be compared'
for cc in "${compilers[@]}"; do
	for level in -O0 -O2; do
		name=$cc$level
		"$cc" "$level" -std=gnu11 -D_GNU_SOURCE -w -I. -o "$work/$name" "${sources[@]}" \
			-lhwloc -ljansson -lpthread 2>"$work/err" || sed 's/^/# /' "$work/err"
		timeout 200 "$work/$name" 1 "$cases" hash >"$work/$name.out"
		[ "$(wc -l <"$work/$name.out")" = "$cases" ] &&
			cmp -s "$work/$name.out" "$work/${compilers[0]}-O0.out"
		say $? "$cases cases are the same runs with $cc $level"
	done
done
exit $failed
