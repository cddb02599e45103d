#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The simulator against a kernel: the same two scenarios in both, by the same
# policy. The order in which threads come to wait must be the same, and
# messages and commits as many, within 2 %.
# In: build/tests/validate/, a kernel with sched_ext or the VM. Out: TAP.
# limit: 300
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 99
bin=build/tests/validate
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

n=0 failed=0
say() { # OK SENTENCE
	n=$((n + 1))
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' "$n" "$2"
}
printf '1..8\n'

"$bin/validate_sim" >"$work/sim"
say $? 'both scenarios end in the simulator'
# Virtual time there too: ticks come when they should, at least while one CPU is busy.
if [ -e /sys/kernel/sched_ext ] && [ "$(id -u)" = 0 ]; then
	"$bin/validate_vm" >"$work/vm"
else
	vm/run --icount --timeout 200 -- "$bin/validate_vm" >"$work/vm"
fi
say $? 'and on a kernel'

# The part of a file about one scenario.
part() { # FILE SCENARIO
	awk -v want="$2" '$1 == "scenario" { on = $2 == want } on' "$work/$1"
}
for scenario in pingpong hogs; do
	for what in messages commits; do
		read -r _ sim < <(part sim $scenario | grep "^$what")
		read -r _ vm < <(part vm $scenario | grep "^$what")
		awk -v a="${sim:-0}" -v b="${vm:-0}" 'BEGIN { exit !(b > 0 && a >= b * 0.98 && a <= b * 1.02) }'
		say $? "$scenario: as many $what, within 2 %"
		printf '# simulator %s, kernel %s\n' "${sim:-?}" "${vm:-?}"
	done
done

# Both worlds' lists are as long as they should be, and the same.
same() { # HOW_LONG SENTENCE
	local rc
	[ "$(wc -l <"$work/a")" = "$1" ] && diff -U 3 "$work/a" "$work/b" >"$work/diff"
	rc=$?
	say $rc "$2"
	[ $rc = 0 ] || sed 's/^/# /' "$work/diff" | head -40
}
wakeups() { # FILE
	part "$1" pingpong | awk '$1 == "waits" && $2 == 0 && $4 == "wakeup" { print $3 }' | head -n 3900
}
# Ends of turns, by the slice or because the turn was over when a higher class
# came; what else that takes is not the policy's order.
turns() { # FILE CPU
	part "$1" hogs | awk -v cpu="$2" -v slice=5000000 '
		$1 != "waits" || $2 != cpu { next }
		$4 == "wakeup" { began[$3] = $5 }
		$4 == "slice" || $5 - began[$3] >= slice { began[$3] = $5; print $3 }' | head -n 150
}
wakeups sim >"$work/a"
wakeups vm >"$work/b"
same 3900 'pingpong: 3,900 run-queue decisions are the same, in order'
for cpu in 0 1; do turns sim $cpu; done >"$work/a"
for cpu in 0 1; do turns vm $cpu; done >"$work/b"
same 300 'hogs: 150 run-queue decisions of each CPU are the same, in order'
exit $failed
