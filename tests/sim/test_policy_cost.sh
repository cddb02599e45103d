#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench/policy_cost counts what it says: no central policy allocates once it
# runs, and it refuses what it does not know. How long callbacks take is not
# asked here.
# In: a built tree. Out: TAP.
# limit: 60
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 99
program=build/bench/policy_cost
policies=(fifo_central shinjuku shinjuku_shenango sol)
printf '1..%d\n' $((${#policies[@]} * 2 + 4))
n=0 failed=0
say() { # OK SENTENCE
	n=$((n + 1))
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' "$n" "$2"
}
value() { sed -nE "s/^  \"$1\": ([0-9.]+),?$/\1/p" <<<"$out"; }

for policy in "${policies[@]}"; do
	out=$("$program" --seconds 0.02 "$policy")
	[ "$(value allocations)" = 0 ]
	say $? "$policy allocates nothing in its callbacks"
	awk -v r="$(value requests)" -v c="$(value commits)" -v n="$(value calls)" \
		'BEGIN { exit !(r > 4000 && c >= r && n >= 2 * r) }'
	say $? "$policy is called and commits at least once per request"
done
[ "$("$program" --seconds 0.02 --seed 3 sol | grep requests)" = "$("$program" --seconds 0.02 --seed 3 sol | grep requests)" ]
say $? 'a seed is the same work each time'
"$program" >/dev/null 2>&1
[ $? = 64 ]
say $? 'no policy is a usage error'
"$program" nothing >/dev/null 2>&1
[ $? = 64 ]
say $? 'so is one that there is not'
"$program" --rate 0 sol >/dev/null 2>&1
[ $? != 0 ]
say $? 'and a rate of nothing is refused'
exit $failed
