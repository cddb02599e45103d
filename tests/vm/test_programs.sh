#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Unmodified programs run under the per-CPU FIFO agent and produce what they
# should, on 1, 2 and 4 CPUs. Shown by running them in a VM of each size and
# checking what they computed.
# In: build/cli/ghost. Out: TAP, one group per size.
# limit: 900
set -uo pipefail
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
export GHOST_TESTS_ROOT=$root GHOST_TESTS_BUILD=${GHOST_TESTS_BUILD:-$root/build}

[ -x "$GHOST_TESTS_BUILD/cli/ghost" ] || {
	echo '1..0 # SKIP the ghost program was not built'
	exit
}
if [ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ]; then
	exec "$root/tests/vm/programs_cases.sh"
fi
for cpus in 1 2 4; do
	"$root/vm/run" --cpus $cpus --timeout 280 -- "$root/tests/vm/programs_cases.sh" || status=$?
done
exit "${status:-0}"
