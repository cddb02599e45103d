#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The load programs count right, run under the scheduler they claim, and
# bench/micro writes the documented JSON. Nothing here looks at a time.
# In: a built tree. Out: TAP. limit: 600
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
bin=$build/bench

if [ ! -x "$bin/pingpong" ]; then
	printf '1..0 # SKIP the load programs are not built\n'
	exit 0
fi
work=$(mktemp -d "$bin/test_load.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh

number_of() { # FIELD LINE
	sed -nE "s/.*\"$1\": ([0-9]+).*/\1/p" <<<"$2"
}

# 300 round trips are 600 hand-overs; with 50 of warm-up, the two that fetch the
# count of switches and the last one to stop it makes 705.
counts_right() { # LINE
	printf '%s\n' "$1"
	[[ $1 == *'"handovers": 600, '* && $1 == *'"handovers_all": 705, '* && $1 == *'"right": true'* ]]
}
# On one CPU the other task can only go on after a switch.
switches_each_time() { # LINE
	printf '%s\n' "$1"
	[ "$(number_of switches "$1")" -ge 600 ]
}
runs_under() { # POLICY OPS LINE
	printf '%s\n' "$3"
	[[ $3 == *"\"policy\": \"$1\", \"ops\": \"$2"* ]]
}
exits_with() { # STATUS COMMAND...
	local want=$1
	shift
	"$@"
	[ $? = "$want" ]
}

# ---- here ----

fixed=(--iterations 300 --warmup 50 --limit 60)
two_cpus=0
[ "$(nproc)" -lt 2 ] || two_cpus=1
cpu=$(taskset -cp $$ | sed -E 's/.*: *([0-9]+).*/\1/')
other=$(taskset -cp $$ | sed -E 's/.*[-,]([0-9]+)$/\1/')
for layout in process thread; do
	option=()
	[ $layout = process ] || option=(--threads)
	for load in pingpong yield; do
		line=$("$bin/$load" "${fixed[@]}" "${option[@]}" --cpus "$cpu" 2>&1)
		check "$load between two tasks ($layout) on one CPU counts each hand-over" counts_right "$line"
		check "$load ($layout) on one CPU switches at each hand-over" switches_each_time "$line"
		sentence="$load between two tasks ($layout) on two CPUs counts each hand-over"
		if [ $two_cpus = 1 ]; then
			check "$sentence" counts_right \
				"$("$bin/$load" "${fixed[@]}" "${option[@]}" --cpus "$cpu,$other" 2>&1)"
		else
			skip "$sentence" 'one CPU'
		fi
	done
done
check 'a measurement by time ends' "$bin/pingpong" --duration-ms 20 --warmup 10 --cpus "$cpu"
check 'an unknown CPU is refused' exits_with 1 "$bin/pingpong" --cpus 1023 --iterations 1
check 'a word for a number is refused' exits_with 2 "$bin/pingpong" --iterations many
check 'a limit that is over ends the program' exits_with 124 \
	"$bin/pingpong" --cpus "$cpu" --duration-ms 60000 --limit 1
check 'bench/micro refuses an unknown system' exits_with 2 bench/micro --systems cfs
check 'bench/micro refuses no repeats' exits_with 2 bench/micro --repeats 0

# ---- with sched_ext ----

sched=()
if [ ! -e /sys/kernel/sched_ext ] || [ "$(id -u)" != 0 ]; then
	sched=(vm/run --cpus 2 --)
fi
if [ -x "$bin/fifo_load" ]; then
	# shellcheck disable=SC2016 # expanded inside
	"${sched[@]}" bash -c '
		bin=$1; shift
		"$bin/pingpong" "$@" --cpus 1 --policy other
		for load in pingpong yield; do
			"$bin/fifo_load" -- "$bin/$load" "$@" --cpus 1 --policy ext
		done
		"$bin/fifo_load" -- "$bin/pingpong" "$@" --cpus 0,1 --policy ext
		"$bin/fifo_load" -- cat /sys/kernel/sched_ext/switch_all
		"$bin/fifo_load" -- sh -c "exit 7"; echo "status $?"
		"$bin/fifo_load" -- "$bin/no such program" 2>/dev/null; echo "status $?"
		for i in 1 2 3 4 5 6 7 8 9 10; do
			read -r state </sys/kernel/sched_ext/state
			[ "$state" = disabled ] && break
			sleep 0.1
		done
		echo "state $state"
	' bash "$bin" "${fixed[@]}" </dev/null >"$work/sched" 2>&1
	mapfile -t line <"$work/sched"
	sed 's/^/# /' "$work/sched"
	check 'pingpong --policy other is in the fair class' runs_under other '"' "${line[0]-}"
	check 'pingpong under fifo_load runs in the class of fifo' runs_under ext fifo "${line[1]-}"
	check 'pingpong under fifo_load counts each hand-over' counts_right "${line[1]-}"
	check 'pingpong under fifo_load switches at each hand-over' switches_each_time "${line[1]-}"
	check 'yield under fifo_load runs in the class of fifo' runs_under ext fifo "${line[2]-}"
	check 'yield under fifo_load counts each hand-over' counts_right "${line[2]-}"
	check 'yield under fifo_load switches at each hand-over' switches_each_time "${line[2]-}"
	check 'pingpong under fifo_load on two CPUs counts each hand-over' counts_right "${line[3]-}"
	check 'threads that did not ask for fifo stay fair' [ "${line[4]-}" = 0 ]
	check 'fifo_load hands on the status of its command' [ "${line[5]-}" = 'status 7' ]
	check 'fifo_load says 127 for a command that is not there' [ "${line[6]-}" = 'status 127' ]
	check 'no scheduler is left when fifo_load is gone' [ "${line[7]-}" = 'state disabled' ]
else
	skip 'the loads run under fifo_load' 'fifo_load is not built'
fi

# ---- the results file ----

json=$work/micro.json
check 'bench/micro --quick --repeats 1 works' bench/micro --quick --repeats 1 --json "$json"
cp "$work/said" "$work/micro.out"
: >>"$json"

has_line() { # REGEX: exactly one line of the file is this
	cat "$json"
	[ "$(grep -cE "$1" "$json")" = 1 ]
}
text='"[^"]*"' num='[0-9]+\.[0-9]+'
result_of() { # BENCH SYSTEM
	printf '%s' "^  \{\"bench\": \"$1\", \"system\": \"$2\", \"median\": $num, \"p10\": $num, \"p90\": $num, " \
		"\"unit\": \"ns\", \"ratio\": $num, \"ratio_same\": $num, \"paper_ratio\": ($num|null), " \
		"\"cpus\": [0-9]+, \"switches_per_handover\": $num, " \
		"\"samples\": \[$num\]\},?\$"
}
check 'the results name the machine' has_line \
	"^\{\"machine\": \{\"cpu\": $text, \"cpus\": [0-9]+, \"vm\": (true|false), \"host\": $text\},\$"
check 'the results name kernel, accelerator, mode and layout' has_line \
	"^ \"kernel\": $text, \"accelerator\": \"(tcg|kvm|none)\", \"mode\": \"wall\", \"layout\": \"process\",\$"
check 'the results name commit, date and repeats, and say that the run was quick' has_line \
	"^ \"commit\": $text, \"date\": $text, \"repeats\": 1, \"quick\": true,\$"
for bench in switch yield wakeup; do
	check "the results have $bench of eevdf" has_line "$(result_of $bench eevdf)"
done
if [ -x "$bin/fifo_load" ]; then
	# Its switch is the pick of a BPF program.
	for bench in bpf_pick yield wakeup; do
		check "the results have $bench of fifo_bpf" has_line "$(result_of $bench fifo_bpf)"
	done
fi
ghost_is_there() {
	cat "$json"
	grep -qE "$(result_of switch ghost)" "$json" || grep -q '{"system": "ghost", "why": "' "$json"
}
check 'the results have switch of ghost, or why not' ghost_is_there
rival_is_there() { # SYSTEM
	cat "$json"
	grep -qE "$(result_of switch "$1")" "$json" || grep -q "{\"system\": \"$1\", \"why\": \"[^\"]" "$json"
}
for rival in scx_simple scx_userland; do
	check "the results have switch of $rival, or why not" rival_is_there $rival
done
step_of() { # BENCH SYSTEM PAPER: a step hands nothing over
	printf '%s' "^  \{\"bench\": \"$1\", \"system\": \"$2\", .*\"ratio\": $num, \"ratio_same\": [0-9.a-z]+, " \
		"\"paper_ratio\": $3, \"cpus\": [0-9]+, \"switches_per_handover\": null, \"samples\": \[$num\]\},?\$"
}
if [ -x "$bin/table3" ]; then
	# 725 ns of the paper's Table 3 over its 599 ns, and so on.
	check 'the results have message_local with the ratio of the paper' \
		has_line "$(step_of message_local ghost 1.21)"
	check 'the results have remote_end_to_end with the ratio of the paper' \
		has_line "$(step_of remote_end_to_end ghost 2.96)"
	check 'the results have syscall with the ratio of the paper' has_line "$(step_of syscall eevdf 0.12)"
	for bench in message_global remote_agent remote_target group_agent_per_txn group_end_to_end; do
		check "the results have $bench" has_line "$(step_of $bench ghost '[0-9.]+')"
	done
	for bench in request remote_timed_agent prestaged_pick; do
		check "the results have $bench, which the paper has not" has_line "$(step_of $bench ghost null)"
	done
fi
check "EEVDF's switch has the ratio 1" has_line '"switch", "system": "eevdf", .*"ratio": 1\.000,'
brackets_match() {
	cat "$json"
	local text
	text=$(sed -E 's/"[^"]*"//g' "$json")
	[ "$(tr -cd '{' <<<"$text" | wc -c)" = "$(tr -cd '}' <<<"$text" | wc -c)" ] &&
		[ "$(tr -cd '[' <<<"$text" | wc -c)" = "$(tr -cd ']' <<<"$text" | wc -c)" ] &&
		! tr -d ' \n' <<<"$text" | grep -qE ',[]}]|[[{],|,,'
}
check 'the brackets and commas of the results fit' brackets_match
cannot_be_quoted() {
	cat "$work/micro.out"
	grep -q 'Do not quote it' "$work/micro.out"
}
check 'a quick run says that it is not to be quoted' cannot_be_quoted
says_ratios() {
	cat "$work/micro.out"
	[ "${GHOST_VM:-0}" != 1 ] && [ ${#sched[@]} = 0 ] ||
		grep -q 'Numbers from a VM are ratios within one run' "$work/micro.out"
}
check 'from a VM the table says that it has ratios and no times' says_ratios

printf '1..%d\n' $n
