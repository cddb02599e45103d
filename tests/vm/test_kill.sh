#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Whatever process of a run is killed, and whenever: its threads go on, and
# nothing stays behind. Shown by 60 kills of the agent process, the command,
# the `ghost run` process or several of them, at random instants.
# In: build/cli/ghost, build/tests/vm/kill_load. Out: TAP.
# GHOST_SEED=N repeats a storm, GHOST_ROUNDS=N makes it shorter or longer.
# limit: 3000
set -uo pipefail
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}
export GHOST_SEED=${GHOST_SEED:-$((RANDOM * 32768 + RANDOM))} GHOST_ROUNDS=${GHOST_ROUNDS:-60}
for program in cli/ghost tests/vm/kill_load; do
	[ -x "$GHOST_TESTS_BUILD/$program" ] || { printf '1..0 # SKIP %s was not built\n' "$program"; exit; }
done
[ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ] && exec "$root/tests/vm/kill_storm.sh"
exec "$root/vm/run" --cpus 2 --timeout 2900 -- "$root/tests/vm/kill_storm.sh"
