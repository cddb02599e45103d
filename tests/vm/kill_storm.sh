#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The storm of test_kill.sh: a run, a moment, a kill, and again.
# In: GHOST_SEED, GHOST_ROUNDS. Out: TAP; of each round that went wrong, what
# was killed when. Called by test_kill.sh, in a VM or here.
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GHOST_TESTS_BUILD:-$root/build}
ghost=$build/cli/ghost
load=$build/tests/vm/kill_load
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"

seed=${GHOST_SEED:-1} rounds=${GHOST_ROUNDS:-60}
RANDOM=$seed
load_ms=200
fresh_every=10 # so often the kernel side is loaded, and unloaded, by the run itself
patience=120   # seconds until what should end counts as hanging

# pids of processes called $1..., without a fork: there are thousands of rounds of it
processes() { # NAME...; sets found
	local dir comm name
	found=()
	for dir in /proc/[0-9]*; do
		{ read -r comm <"$dir/comm"; } 2>/dev/null || continue
		for name; do
			[ "$comm" != "$name" ] || found+=("${dir#/proc/}")
		done
	done
}
pause() { read -r -t "$1" <> <(:) || true; }

# The command itself is the child of the keeper that is not the agent process.
find_victims() { # KEEPER; sets agent, command ('' where there is none yet)
	local pid comm
	agent='' command=''
	for pid in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		{ read -r comm <"/proc/$pid/comm"; } 2>/dev/null || continue
		case $comm in
		ghost-agent) agent=$pid ;;
		*) command=$pid ;;
		esac
	done
}

# The zombie of a keeper is ours to wait for; all others end by themselves.
all_gone() {
	local end=$((SECONDS + patience))
	while processes ghost ghost-agent kill_load; [ ${#found[@]} -gt 0 ]; do
		((SECONDS < end)) || return 1
		pause 0.05
	done
}

complain() { # WHAT
	printf '# round %d (seed %d): %s; killed after %d ms: %s\n' "$round" "$seed" "$1" "$delay_ms" "$killed"
}

one_round() {
	local prefix=$work/m$round f pid which order="1 2 4"
	fresh=0
	((round % fresh_every)) || fresh=1
	if [ $fresh = 1 ]; then
		"$ghost" unload || complain 'unload failed'
	elif [ ! -e /sys/fs/bpf/ghost ]; then
		"$ghost" load || complain 'load failed'
	fi
	# From before the enclave is there to after the end.
	delay_ms=$((RANDOM % (fresh ? 3000 : 700)))
	which=$((RANDOM % 7 + 1))
	((RANDOM % 2)) || order="4 2 1"
	killed=''

	"$ghost" run fifo_percpu -- "$load" "$prefix" $load_ms 2>"$work/said" &
	local keeper=$!
	pause "$(printf "%d.%03d" $((delay_ms / 1000)) $((delay_ms % 1000)))"
	find_victims $keeper
	for bit in $order; do
		((which & bit)) || continue
		case $bit in
		1) pid=$agent name=agent ;;
		2) pid=$command name=command ;;
		4) pid=$keeper name=keeper ;;
		esac
		[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null && killed+="$name $pid, " && ((++nr_killed))
	done
	wait $keeper 2>/dev/null

	if ! all_gone; then
		((++nr_hanging))
		complain "still there: ${found[*]}"
		for pid in "${found[@]}"; do
			printf '#   %s %s %s\n' "$pid" "$(cat "/proc/$pid/comm")" "$(cat "/proc/$pid/wchan" 2>/dev/null)"
		done
		"$ghost" status --threads 2>&1 | sed 's/^/#   /'
		kill -KILL "${found[@]}" 2>/dev/null
	fi
	"$ghost" status >"$work/status" 2>&1 || { ((++nr_left)); complain "status failed: $(cat "$work/status")"; }

	for f in "$prefix".*.want; do
		[ -e "$f" ] || continue
		pid=${f%.want} pid=${pid##*.}
		[[ $killed == *"command $pid,"* ]] && continue
		((++nr_unfinished))
		complain "process $pid did not finish"
	done
	for f in "$prefix".*.done; do
		[ ! -e "$f" ] || ((++nr_finished))
	done
	rm -f "$prefix".*

	for f in /sys/fs/bpf/ghost/enclave_* /run/ghost/enclave_* /run/ghost/intent /run/ghost/*.new; do
		[ -e "$f" ] || continue
		((++nr_left))
		complain "$f is left"
	done
	if [ $fresh = 1 ] && [ -e /sys/fs/bpf/ghost ]; then
		((++nr_left))
		complain 'the kernel side is left'
	fi
}

printf '# seed %d, %d rounds\n' "$seed" "$rounds"
nr_killed=0 nr_hanging=0 nr_unfinished=0 nr_finished=0 nr_left=0
for ((round = 1; round <= rounds; round++)); do
	one_round
	((round % 20)) || printf '# %d rounds, %d s: %d processes killed, %d finished\n' \
		"$round" "$SECONDS" "$nr_killed" "$nr_finished"
done

is 'no process hangs after a kill' $nr_hanging 0
is 'every process that was not killed finishes its work' $nr_unfinished 0
is 'after the next command nothing is left pinned or recorded' $nr_left 0
# A storm that misses is no storm.
if ((nr_killed >= rounds / 2)); then ok 'the kills hit'; else not_ok 'the kills hit' "$nr_killed processes killed in $rounds rounds"; fi
if ((nr_finished >= rounds)); then ok 'the work was done'; else not_ok 'the work was done' "$nr_finished processes finished"; fi
succeeds 'unload unloads' -- "$ghost" unload
clean 'and leaves nothing'
finish_group
