#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A virtual machine that is stopped for a while, as when it is saved or moved,
# goes on as if nothing had been: its clock says that threads have waited for
# long, but no agent is blamed for that.
# In: a built tree, QEMU. Out: TAP.
# limit: 200
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 99
[ -x build/cli/ghost ] || { echo '1..0 # SKIP cli/ghost was not built'; exit; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 1..3
n=0 failed=0
say() { # OK SENTENCE
	n=$((n + 1))
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' "$n" "$2"
}

# More threads than CPUs: some wait at every moment. The last line says for how long the clock was not seen.
# shellcheck disable=SC2016 # for the shell of the VM
guest='for i in 1 2 3 4; do timeout 15 sh -c "while :; do :; done" & done
	now() { read -r t _ </proc/uptime; t=${t%.*}; }
	now; begin=$t seen=$t gap=0
	while [ $t -lt $((begin + 14)) ]; do
		now; [ $((t - seen)) -le $gap ] || gap=$((t - seen))
		[ $seen = $t ] || echo second; seen=$t
	done
	echo gap $gap; wait; exit 7'
vm/run --cpus 2 --timeout 120 -- build/cli/ghost run fifo_percpu --stall 2s -- sh -c "$guest" >"$work/out" 2>"$work/err" &
run=$!

# Is process $1 below $2?
below() {
	local p=$1
	while [ "${p:-0}" -gt 1 ]; do
		[ "$p" = "$2" ] && return
		p=$(ps -o ppid= -p "$p" | tr -d ' ')
	done
	return 1
}
for ((i = 0; i < 600; i++)); do
	[ "$(grep -c second "$work/out")" -ge 2 ] && break
	sleep 0.1
done
for p in $(pgrep qemu-system); do
	below "$p" $run || continue
	kill -STOP "$p"
	sleep 5
	kill -CONT "$p"
done
wait $run
[ $? = 7 ]
say $? 'a run in a machine that was stopped ends with its command'
gap=$(sed -n 's/^gap //p' "$work/out")
[ "${gap:-0}" -ge 4 ]
say $? 'whose clock went on meanwhile'
! grep -q 'waited longer' "$work/err"
say $? 'and no agents were given up'
[ $failed = 0 ] || sed 's/^/# /' "$work/out" "$work/err"
exit $failed
