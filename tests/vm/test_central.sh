#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Central policies on machines of 1, 2, 4 and 8 CPUs: threads get on, whoever
# wants the agent's CPU gets it, and the agent outlives the loss of its CPU.
# In: build/tests/vm/central_cases. Out: TAP, one group per policy and size.
# limit: 1200
set -uo pipefail
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GHOST_TESTS_BUILD:-$root/build}
cases=$build/tests/vm/central_cases

[ -x "$cases" ] || {
	echo '1..0 # SKIP the cases were not built'
	exit
}
if [ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ]; then
	for policy in fifo_central sol shinjuku shinjuku_shenango; do
		"$cases" $policy || status=$?
	done
	exit "${status:-0}"
fi
for cpus in 1 2 4 8; do
	for policy in fifo_central sol shinjuku_shenango; do
		# The others differ in their queues only: two sizes will do, or one, and
		# the last has all that shinjuku has.
		case $policy in
		sol) [ $cpus = 2 ] || [ $cpus = 4 ] || continue ;;
		shinjuku_shenango) [ $cpus = 4 ] || continue ;;
		esac
		"$root/vm/run" --cpus $cpus --timeout 240 -- "$cases" $policy || status=$?
	done
done
exit "${status:-0}"
