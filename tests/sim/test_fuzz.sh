#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Random machines, policies, work and faults break no law: seeds that are
# always the same, then some that never were; and every order of a few steps.
# In: build/cli/ghost. GHOST_SEED repeats the second part. Out: TAP.
# limit: 600
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 99
ghost=build/cli/ghost
seed=${GHOST_SEED:-$((RANDOM * 32768 + RANDOM + 1000000))}
depth=${GHOST_DEPTH:-7}
n=0 failed=0
try() { # SENTENCE COMMAND...
	local what=$1 rc
	shift
	"$@" >"$work/out" 2>&1
	rc=$?
	n=$((n + 1))
	[ $rc = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' "$n" "$what"
	sed 's/^/# /' "$work/out"
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

printf '1..3\n# seed %s\n' "$seed"
try 'no law is broken in 1,000 cases that are always the same' "$ghost" sim --fuzz 1000 --seed 1 --shrink
try 'no law is broken in 500 cases that are new' "$ghost" sim --fuzz 500 --seed "$seed" --shrink
try "no order of $depth steps breaks a law" "$ghost" sim --explore "$depth"
exit $failed
