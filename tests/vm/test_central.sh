#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Central policies on machines of 1, 2, 4 and 8 CPUs: threads get on, whoever
# wants the agent's CPU gets it, and the agent outlives the loss of its CPU.
# In: build/tests/vm/central_cases. Out: TAP, one group per policy and size.
# limit: 900
set -uo pipefail
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GHOST_TESTS_BUILD:-$root/build}
cases=$build/tests/vm/central_cases

[ -x "$cases" ] || {
	echo '1..0 # SKIP the cases were not built'
	exit
}
if [ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ]; then
	"$cases" fifo_central || status=$?
	"$cases" sol || status=$?
	exit "${status:-0}"
fi
for cpus in 1 2 4 8; do
	for policy in fifo_central sol; do
		# The second policy differs in its queue only: two sizes will do.
		[ $policy = fifo_central ] || [ $cpus = 2 ] || [ $cpus = 4 ] || continue
		"$root/vm/run" --cpus $cpus --timeout 240 -- "$cases" $policy || status=$?
	done
done
exit "${status:-0}"
