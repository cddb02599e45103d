#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Four enclaves with real programs in them, one of them a user's, and one fault after
# the other: the programs go on within a bound, what they write is right, the other
# enclaves notice nothing, and nothing is left.
# In: build/cli/ghost, build/tests/vm/chaos/garbage. Out: TAP.
# GHOST_SEED=N repeats a storm, GHOST_FAULTS=N makes it shorter or longer (12; .ci/night: 500),
# GHOST_KINDS='kill offline' has only these, GHOST_VERBOSE=1 tells of each fault.
# limit: 3000
set -uo pipefail
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
export GHOST_SEED=${GHOST_SEED:-$((RANDOM * 32768 + RANDOM))} GHOST_FAULTS=${GHOST_FAULTS:-12}
for program in cli/ghost tests/vm/chaos/garbage; do
	[ -x "$GHOST_TESTS_BUILD/$program" ] || { printf '1..0 # SKIP %s was not built\n' "$program"; exit; }
done
[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] && exec "$root/tests/vm/chaos/storm.sh"
exec "$root/vm/run" --cpus 5 --timeout $((600 + GHOST_FAULTS * 30)) -- "$root/tests/vm/chaos/storm.sh"
