#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The applications of bench/apps: what they count is right, what they cannot do
# they say. Times are looked at only where they cannot be shorter, or shares larger.
# In: a built tree. Out: TAP. limit: 300
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99
build=${GHOST_TESTS_BUILD:-$PWD/build}
export GHOST_BUILD=$build
apps=$build/bench/apps

if [ ! -x "$apps/antagonist" ]; then
	printf '1..0 # SKIP the applications are not built\n'
	exit 0
fi
work=$(mktemp -d "$build/bench/test_apps.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh
field() { # NAME LINE: the first of this name
	grep -oE "\"$1\": (\"[^\"]*\"|[-0-9.]+|true|false)" <<<"$2" | head -n1 | sed -E 's/^[^:]*: //; s/"//g'
}
holds() { # CONDITION NAME=VALUE...: in awk, of numbers; sq() is the square
	local condition=$1 args=()
	shift
	printf '%s: %s\n' "$condition" "$*"
	for v; do args+=(-v "$v"); done
	awk "${args[@]}" "function sq(x) { return x * x } BEGIN { exit !($condition) }"
}
contains() { # TEXT LINE
	printf '%s\n' "$2"
	[[ $2 == *"$1"* ]]
}
is_json() { # LINE
	printf '%s\n' "$1"
	local text
	text=$(sed -E 's/"[^"]*"/s/g' <<<"$1")
	[ "$(wc -l <<<"$1")" = 1 ] && [[ $1 == '{'*'}' ]] &&
		[ "$(tr -cd '{' <<<"$text" | wc -c)" = "$(tr -cd '}' <<<"$text" | wc -c)" ] &&
		[ "$(tr -cd '[' <<<"$text" | wc -c)" = "$(tr -cd ']' <<<"$text" | wc -c)" ] &&
		! tr -d ' ' <<<"$text" | grep -qE ',[]}]|[[{],|,,|nan|inf'
}
cpu=$(taskset -cp $$ | sed -E 's/.*: *([0-9]+).*/\1/')

# ---- the antagonist ----

line=$("$apps/antagonist" --threads 3 --cpus "$cpu" --seconds 1.5 --per-second --json 2>"$work/err")
check 'antagonist --json prints one line of JSON' is_json "$line"
check 'antagonist prints nothing else where there is no terminal' [ ! -s "$work/err" ]
# A clock is read a little after another: 2 %.
check 'three threads on one CPU do not have more than that CPU' \
	holds 's > 0 && s < 1.02' s="$(field share "$line")"
check 'the share is CPU time over time, of one CPU' \
	holds 'sq(s * t - c) < 1e-6 && n == 1' s="$(field share "$line")" t="$(field seconds "$line")" \
	c="$(field cpu_s "$line")" n="$(field cpus "$line")"
seconds_fit() { # LINE: the whole is between the least and the most of its seconds
	local list
	printf '%s\n' "$1"
	list=$(sed -nE 's/.*"per_second": \[([^]]*)\].*/\1/p' <<<"$1")
	[ "$(tr -cd , <<<"$list" | wc -c)" = 1 ] &&
		awk -F', ' -v s="$(field share "$1")" '{ exit !(($1 - s) * ($2 - s) <= 1e-10) }' <<<"$list"
}
check 'of one second and a half, two shares are told, and the whole lies between' seconds_fit "$line"
TIMEFORMAT='%U %S'
kernel_says=$({ time "$apps/antagonist" --seconds 2 --json >"$work/out" 2>/dev/null; } 2>&1)
check 'antagonist says the CPU time that the kernel says' \
	holds 'u + s - c > -0.02 && u + s - c < 0.4 + 0.1 * c' u="${kernel_says% *}" s="${kernel_says#* }" \
	c="$(field cpu_s "$(cat "$work/out")")"
"$apps/antagonist" --threads 1 --cpus "$cpu" --seconds 2 --nice 19 --json >"$work/nice" &
line=$("$apps/antagonist" --threads 1 --cpus "$cpu" --seconds 2 --json)
wait $!
nice=$(cat "$work/nice")
check 'of two on one CPU, the nicer one gets less than half of what the other gets' \
	holds '2 * b < a' a="$(field share "$line")" b="$(field share "$nice")"
# The two did not run over the same time exactly.
check 'and both together not more than the CPU' \
	holds 'a + b < 1.1' a="$(field share "$line")" b="$(field share "$nice")"
line=$(timeout --preserve-status -s INT 1 "$apps/antagonist" --threads 1 --seconds 60 --json)
check 'SIGINT ends antagonist with status 0 and what it had' \
	holds 'status == 0 && t < 50 && c > 0' status=$? t="$(field seconds "$line")" c="$(field cpu_s "$line")"
check 'antagonist refuses no threads' ends 2 "from 1 to 10000, got '0'" "$apps/antagonist" --threads 0
check 'antagonist refuses a CPU list that is none' ends 2 "got '0-'" "$apps/antagonist" --cpus 0-
check 'antagonist refuses a policy that it does not know' ends 2 "not 'rr'" "$apps/antagonist" --policy rr

# ---- without RocksDB ----

check 'without RocksDB everything else can be built' \
	meson setup "$work/without" -Drocksdb=disabled -Dbpf=disabled -Ddocs=disabled
check 'and rocksdb' ninja -C "$work/without" bench/apps/rocksdb
check 'which says what is missing and how to get it, with status 3' \
	ends 3 'bench/apps/rocksdb: not built: needs librocksdb-dev; run .ci/setup bench, then make' \
	"$work/without/bench/apps/rocksdb" --json
rm -rf "$work/without"

if "$apps/rocksdb" --help >"$work/said" 2>&1; then :; else
	skip 'rocksdb keeps a load up, and says so where it does not' "$(head -n1 "$work/said")"
	printf '1..%d\n' $n
	exit 0
fi

# ---- a load that is kept up ----

# A busy machine makes the generator late: that is not what is looked at here.
fixed=(--keys 1000 --warmup 0.1 --late 1e6 --json)
two=(--mix '80%get:4us+20%range:100us' --rate 500 --seconds 1)
line=$("$apps/rocksdb" "${fixed[@]}" "${two[@]}" 2>"$work/err")
check 'rocksdb --json prints one line of JSON' is_json "$line"
check 'rocksdb prints nothing else where there is no terminal' [ ! -s "$work/err" ]
check 'a load that is no trouble is kept up' [ "$(field kept_up "$line")" = true ]
# Five sigma of a Poisson process.
check 'as many requests were produced as asked for' \
	holds 'sq(p - 500) < 25 * 500' p="$(field produced "$line")"
ended_of() { # LINE
	field count "${1#*\"latency_ns\"}"
}
check 'each that was produced has a latency' [ "$(field produced "$line")" = "$(ended_of "$line")" ]
part() { # NUMBER FIELD LINE
	field "$2" "$(sed -E 's/.*"parts": \[//; s/\{"part"/\n&/g' <<<"$3" | sed -n "$((1 + $1))p")"
}
# 20 % of 500 with five sigma of a binomial distribution.
check 'a fifth of them are ranges' \
	holds 'sq(b - 0.2 * (a + b)) < 25 * 0.16 * (a + b)' a="$(part 1 produced "$line")" \
	b="$(part 2 produced "$line")"
again=$("$apps/rocksdb" "${fixed[@]}" "${two[@]}" --workers 7)
check 'the same seed makes the same requests, whoever serves them' \
	[ "$(part 1 produced "$line") $(part 2 produced "$line")" = "$(part 1 produced "$again") $(part 2 produced "$again")" ]
other=$("$apps/rocksdb" "${fixed[@]}" "${two[@]}" --seed 2)
check 'another seed makes others' \
	[ "$(part 1 produced "$line") $(part 2 produced "$line")" != "$(part 1 produced "$other") $(part 2 produced "$other")" ]
# Twice what one CPU can do: most of the time a worker is preempted by others. What
# the kernel says that all of them had cannot be less than what requests took.
kernel_says=$({ time "$apps/rocksdb" "${fixed[@]}" --cpus "$cpu" --warmup 0 --mix get:4ms --scale 5 --rate 100 \
	--seconds 1 >"$work/out" 2>/dev/null; } 2>&1)
line=$(cat "$work/out")
check 'a request has its service time as CPU time, times --scale, and not as time that passes' \
	holds 'e > 50 && u + s > 0.95 * e * 0.02 && c >= 2e7' e="$(ended_of "$line")" c="$(part 1 cpu_ns_mean "$line")" \
	u="${kernel_says% *}" s="${kernel_says#* }"
line=$("$apps/rocksdb" "${fixed[@]}" --cpus "$cpu" --batch 2 --seconds 1)
check 'the batch application has a share of one CPU' \
	holds 's > 0 && s < 1.1 && n == 1' s="$(field share "${line#*\"batch\"}")" n="$(field cpus "${line#*\"batch\"}")"

# ---- a load that is not ----

# One worker, 10 ms each: seed 1 has 112 arrivals within 0.2 s, of which the 56th
# cannot end before 0.56 s, and the last not before 1.12 s.
one=(--workers 1 --warmup 0 --mix get:10ms --rate 500 --seed 1)
line=$("$apps/rocksdb" "${fixed[@]}" "${one[@]}" --seconds 0.2)
check 'of one worker that is 5 times too slow, the arrivals are those of the seed' \
	[ "$(field produced "$line") $(ended_of "$line")" = '112 112' ]
check 'latency counts from the intended arrival, not from when somebody had time' \
	holds 'l > 3.5e8 && m > 9e8' l="$(field p50 "${line#*\"latency_ns\"}")" m="$(field max "${line#*\"latency_ns\"}")"
check 'that the load was not kept up is in the result' [ "$(field kept_up "$line")" = false ]
check 'and why' contains 'requests had not ended when the time was over: more came than were served"]' "$line"
check 'people read it, too' ends 0 'The load was not kept up:' \
	"$apps/rocksdb" --keys 1000 "${one[@]}" --seconds 0.2
line=$("$apps/rocksdb" "${fixed[@]}" "${one[@]}" --seconds 0.5 --queue 5)
check 'requests that find the queue full are counted as dropped' \
	holds 'd > 100 && d + e == p' d="$(field dropped "$line")" e="$(ended_of "$line")" p="$(field produced "$line")"
check 'and the load was not kept up' [ "$(field kept_up "$line")" = false ]
line=$(timeout 60 "$apps/rocksdb" "${fixed[@]}" --workers 2 --mix get:1000s --rate 50 --seconds 0.3 --limit 0.3)
check 'requests that never end do not keep the run from ending, and are counted' \
	holds 'status == 0 && u == p && p > 0' status=$? u="$(field unfinished "$line")" p="$(field produced "$line")"
check 'and the load was not kept up' [ "$(field kept_up "$line")" = false ]
check 'people are told that the latencies lack something' ends 0 'with the others they would be worse' \
	timeout 60 "$apps/rocksdb" --keys 1000 --workers 2 --mix get:1000s --rate 50 --seconds 0.3 --limit 0.3

# ---- threads, signals, options ----

thread_is_there() { # NAME: of $pid; it may take it a while to get there
	for _ in $(seq 400); do
		! ps -Lo comm= -p "$pid" | grep -qx "$1" || return 0
		sleep 0.05
	done
	return 1
}
# Not one of the 30 that arrive meanwhile can be sent in time. Had their latency
# counted from when the generator had time, only what was in service would be slow.
"$apps/rocksdb" "${fixed[@]}" --warmup 0 --mix get:4us --rate 20 --seconds 3 >"$work/out" &
pid=$!
thread_is_there generator
kill -STOP $pid
sleep 1.5
kill -CONT $pid
wait $pid
line=$(cat "$work/out")
check 'latency counts from the intended arrival, also where the generator is late' \
	holds 'p > 20 && l > 5e8' p="$(field produced "$line")" l="$(field p90 "${line#*\"latency_ns\"}")"
line=$("$apps/rocksdb" --keys 1000 --json --late 0 --rate 100 --seconds 0.3)
check 'a load generator that is late is a reason, too' \
	contains '"kept_up": false, "why": ["the load generator itself was late' "$line"

line=$(timeout --preserve-status -s INT 1.5 "$apps/rocksdb" "${fixed[@]}" --rate 100 --seconds 60)
check 'SIGINT ends rocksdb with status 0 and what was measured' \
	holds 'status == 0 && t < 50 && e > 0' status=$? t="$(field seconds "$line")" e="$(ended_of "$line")"
check 'and the result says so' [ "$(field interrupted "$line")" = true ]

"$apps/rocksdb" "${fixed[@]}" --workers 3 --nice 5 --batch 2 --batch-nice 10 --seconds 60 >/dev/null &
pid=$!
nices_are() { # LINES "COMM NICE", sorted: it may take the threads a while to get there
	local got
	for _ in $(seq 400); do
		got=$(ps -Lo comm=,ni= -p "$pid" | awk '$1 == "worker" || $1 == "hog" { print $1, $2 }' | sort)
		[ "$got" != "$1" ] || return 0
		sleep 0.05
	done
	printf '%s\n' "$got"
	return 1
}
check 'three workers and two hogs of the batch application have the nice values asked for' \
	nices_are $'hog 10\nhog 10\nworker 5\nworker 5\nworker 5'
kill -TERM $pid
wait $pid
check 'SIGTERM ends it, too' [ $? = 0 ]
slice_is_there_or_not() {
	ends 0 '"slice_ns": 1000000' "$apps/rocksdb" "${fixed[@]}" --seconds 0.1 --slice 1000000 ||
		ends 1 'a worker cannot have its class, nice value or slice' "$apps/rocksdb" "${fixed[@]}" --slice 1000000
}
check 'threads have a custom slice, or it is told that this kernel has none' slice_is_there_or_not

refuses() { # WORDS OPTION...
	check "rocksdb refuses ${*:2}" ends 2 "$1" "$apps/rocksdb" "${@:2}"
}
refuses "--mix '50%get:4us+50%put:1ms', character 15: a request is get: or range:" --mix '50%get:4us+50%put:1ms'
refuses '--mix '"'get:4'"', character 5: a duration has no unit' --mix get:4
refuses 'less than 100 %' --mix 99%get:4us
refuses "--rate wants a number from 0.001 to 10000000, got '0'" --rate 0
refuses "--workers wants a whole number from 1 to 10000, got '-1'" --workers=-1
refuses "--nice wants a number from -20 to 19, got '20'" --nice 20
refuses "--slice wants a whole number from 100000 to 100000000, got '1'" --slice 1
refuses "--policy knows other, ext and inherit, not 'fifo'" --policy fifo
refuses "--cpus wants a list of CPUs such as 0-3,6, got 'x'" --cpus x
refuses "no argument is expected, got 'more'" more
check 'rocksdb fails where its generator may not run' ends 1 'CPU of --generator-cpu' \
	"$apps/rocksdb" "${fixed[@]}" --generator-cpu 1023

# ---- as members ----

if [ ! -x "$build/cli/ghost" ] || [ ! -x "$build/bench/fifo_load" ]; then
	skip 'under ghost run the workers are members' 'ghost was built without BPF'
else
	sched=()
	if [ ! -e /sys/kernel/sched_ext ] || [ "$(id -u)" != 0 ]; then
		sched=(vm/run --cpus 2 --)
	fi
	line=$("${sched[@]}" "$build/cli/ghost" run --quiet fifo_percpu --cpus 1 -- "$apps/rocksdb" "${fixed[@]}" \
		--workers 20 --rate 20 --seconds 2 --scale 20 --generator-cpu 0 </dev/null 2>"$work/err")
	sed 's/^/# /' "$work/err"
	check 'under ghost run the workers are members' \
		[ "$(field policy "$line") $(field ops "$line")" = 'ext ghost' ]
	check 'and each request ends' holds 'p > 0 && e == p' p="$(field produced "$line")" e="$(ended_of "$line")"
	# shellcheck disable=SC2016 # for the shell inside
	"${sched[@]}" bash -c '"$0" run shinjuku -- sh -c "\"\$0\" \"\$@\" & sleep 3; kill -KILL \$!; wait \$!" "$@"
		echo "status $?"; "$0" status' "$build/cli/ghost" "$apps/rocksdb" "${fixed[@]}" \
		--workers 3 --mix get:1s --rate 5 --seconds 60 </dev/null >"$work/out" 2>&1
	sed "s/^/# /" "$work/out"
	check 'workers that are killed in the middle of a request leave nothing behind' \
		[ "$(grep -cE '^status 137$|not loaded' "$work/out")" = 2 ]
	check 'and the agents live to see it' [ "$(grep -c '^ghost: ' "$work/out")" = 0 ]
fi

printf '1..%d\n' $n
