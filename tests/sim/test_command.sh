#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# ghost sim from the command line: what it prints, what it writes, what it
# refuses and how it says so. Without root, as anybody has it.
# In: build/cli/ghost. Out: TAP.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 99
ghost=$PWD/build/cli/ghost
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

n=0 failed=0
say() { # OK SENTENCE
	n=$((n + 1))
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' "$n" "$2"
	[ "$1" = 0 ] || head -n5 "$work/out" "$work/err" | sed 's/^/# /'
}
run() { "$ghost" sim "$@" >"$work/out" 2>"$work/err"; }
succeeds() { # SENTENCE OPTION...
	local what=$1
	shift
	run "$@"
	say $? "$what"
}
refuses() { # CODE PATTERN SENTENCE OPTION...: one line, and nothing on stdout
	local code=$1 pattern=$2 what=$3 rc
	shift 3
	run "$@"
	rc=$?
	[ $rc = "$code" ] && grep -qE -- "$pattern" "$work/err" && [ "$(wc -l <"$work/err")" = 1 ] &&
		[ ! -s "$work/out" ]
	say $? "$what"
}
value() { sed -nE "s/^ *\"$1\": \"?([^\",]*)\"?,?$/\1/p" "$work/out" | head -n1; }

succeeds 'a run needs no options' --seconds 0.01
grep -q 'dispersive' "$work/out" && grep -q 'wake-up' "$work/out" && grep -q 'committed' "$work/out"
say $? 'and tells of work, wake-ups and commits'
succeeds 'anybody may run it' --seconds 0.01
if [ "$(id -u)" = 0 ]; then
	# Where the tree can be read by others at all.
	cp "$ghost" "$work/ghost" && chmod 755 "$work" "$work/ghost"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$work/ghost" sim --seconds 0.001 >"$work/out" 2>"$work/err"
	say $? 'also somebody without rights'
else
	say 0 'also somebody without rights'
fi

run --json --seconds 0.02 --seed 5
for key in events trace_hash throughput_rps latency_ns wakeup_ns p50 p90 p99 p99.9 p99.99 max utilisation commits committed; do
	grep -q "\"$key\": " "$work/out"
	say $? "--json has $key"
done
hash=$(value trace_hash)
run --json --seconds 0.02 --seed 5
[ -n "$hash" ] && [ "$(value trace_hash)" = "$hash" ]
say $? 'the same seed comes to the same hash'
run --json --seconds 0.02 --seed 6
[ "$(value trace_hash)" != "$hash" ]
say $? 'another seed to another'
run --json --seconds 0.02 --seed 5 --trace "$work/t.json" --timeline "$work/t.svg" --record "$work/t.rec"
[ "$(value trace_hash)" = "$hash" ]
say $? 'to watch a run does not change it'
[ -s "$work/t.json" ] && [ -s "$work/t.svg" ] && [ -s "$work/t.rec" ]
say $? 'and leaves a trace, a picture and a recording'
succeeds 'which can be replayed' --replay "$work/t.rec" --seconds 0.02
succeeds "a policy's own options are known" --slice 100us --seconds 0.01
succeeds 'so is a cgroup by its number, where one is a parameter' --policy shinjuku_shenango --batch-cgroup 12345 --seconds 0.01
succeeds 'four workloads at once' --seconds 0.01 --workload openloop:4 --workload hogs:2 --workload closed:4 --workload forks:2
succeeds 'work of a nice value, at a rate' --seconds 0.01 --workload openloop:4 --workload hogs:2:19 --rate 1000
grep -qE 'hogs .* [0-9.]+ % of the CPUs' "$work/out"
say $? 'and what it has had of the CPUs is told'
succeeds 'a topology in the words of hwloc' --topology 'package:2 l3:2 core:2 pu:2' --seconds 0.01
grep -q 'on 16 CPUs' "$work/out"
say $? 'gives the number of CPUs'
for profile in paper-skylake measured free; do
	succeeds "profile $profile is there" --profile $profile --seconds 0.01
done
cat >"$work/micro.json" <<'TXT'
{"results": [{"bench": "switch", "system": "eevdf", "median": 4173.0},
 {"bench": "switch", "system": "ghost", "median": 10518.0}]}
TXT
succeeds 'costs are taken from a results file of make bench' --profile "$work/micro.json" --seconds 0.01
printf '{"results": []}' >"$work/none.json"
for kind in dispersive openloop closed pingpong pipeline periodic hogs forks vcpus; do
	succeeds "$kind runs under the laws" --workload $kind --laws --fine --seconds 0.02
done
succeeds 'a case that was printed can be run again' --case 'seed=1 policy=fifo_percpu cpus=2 duration=2000000 work=pingpong:2:1 fault=crash:500000:1:1'
succeeds 'who comes back first in an ordered queue is not taken out again, and again, before the others' \
	--case 'seed=52001836 policy=shinjuku_shenango cpus=2 enclave=2 duration=28178568 events=156 work=pipeline:1:1031945 fault=cpus:3932597:215:3476 fault=hang:14672478:85:15 fault=cpus:18497353:398:19 fault=offline:19810278:961:3337 fallback=2'
succeeds 'who comes into custody as the agents go is not forgotten when the enclave gets other CPUs' \
	--case 'seed=72011213 policy=sol cpus=4 enclave=4 duration=37375183 events=2500 topology=package:1/[numa]/l3:1/core:4/pu:1 fine=1 window=1645 interrupt=124278 work=openloop:2:897730 work=dispersive:4:660569 fault=fair:3443142:646:1048 fault=garbage:7015494:837:19 fault=restart:9249573:945:37 fault=class:10587071:731:88 fault=crash:11186494:319:992 fault=kill:16484999:247:1704 fault=affinity:19928495:772:3440 fault=kill:23053755:111:53 fault=fair:23195471:906:3551 fault=restart:25080059:345:43 fault=cpus:25542664:292:2420'
succeeds 'a few random cases' --fuzz 20 --seed 99
grep -q 'seeds 99 to 118: no law was broken' "$work/out"
say $? 'tell which they were'
succeeds 'small spaces are explored' --explore 4
# What the documentation says an upgrade costs; virtual time, the same each time.
for policy in fifo_percpu fifo_central shinjuku; do
	run --json --policy $policy --cpus 8 --workload openloop:1000 --seconds 0.1 --upgrade 50ms --laws
	for what in undecided_ns blackout_ns; do
		[ "$(value $what)" -gt 0 ] && [ "$(value $what)" -le 1000000 ]
		say $? "$what of an upgrade of $policy with 1,000 threads is at most 1 ms"
	done
	[ "$(value agents_lost)" = 0 ]
	say $? 'and it is no loss of agents'
done

refuses 2 '--cpus wants a whole number from 1 to 1024' 'no CPUs are refused' --cpus 0
refuses 2 '--upgrade wants a duration' 'an upgrade at no time is refused' --upgrade inf
refuses 2 '1 to 1024' 'too many CPUs are refused' --cpus 1025
refuses 2 'either --load or --rate' 'a load and a rate are refused' --load 0.5 --rate 1000
refuses 2 'whole number from 0 to 19' 'a nice value that is none is refused' --workload hogs:1:20
refuses 2 'either --cpus or --topology' 'two machines at once are refused' --cpus 4 --topology core:4
refuses 2 'hwloc does not understand' 'a topology that is none is refused' --topology 'x:y'
refuses 2 "there is no workload 'hog' .*there are: .*hogs" 'an unknown workload is refused, with those there are' --workload hog
refuses 2 'whole number from 1 to 100000' 'a workload without threads is refused' --workload hogs:0
refuses 2 "not '0000000000001000000'" 'nor with too many, however many zeros are before' --workload hogs:0000000000001000000
run --json --seconds 0.001 --workload openloop:0000000000000000012
grep -q '"threads": 12,' "$work/out"
say $? 'zeros before a number count for nothing'
refuses 2 'at most 4 workloads' 'a fifth workload is refused' --workload hogs --workload hogs --workload hogs --workload hogs --workload hogs
refuses 2 "did you mean 'fifo_percpu'" 'a slip in the name of the policy is answered' --policy fifo_percp
for two in '--policy sol --policy shinjuku' '--policy=sol --policy=shinjuku' '--polic shinjuku' '--seed 1 --poli=sol' '--trace --policy=sol'; do
	# shellcheck disable=SC2086 # they are several
	refuses 2 'is to be said once, and in full' "'$two' is refused" --fuzz 1 --events 100 $two
done
refuses 2 "there is no policy 'nosuch'" 'a second policy that is none is named' --fuzz 1 --events 100 --policy sol --policy nosuch
refuses 2 "there is no policy 'nosuch'" 'so is one of an option in short' --fuzz 1 --events 100 --polic nosuch
succeeds 'a policy said twice is one' --seconds 0.01 --policy sol --policy=sol
refuses 2 'there is no profile' 'an unknown profile is refused' --profile moon
refuses 2 'has no results of switch' 'a results file without the results is refused' --profile "$work/none.json"
refuses 2 'No such file' 'a results file that is not there is refused' --profile "$work/nothing.json"
refuses 2 'percentages' 'a mix that is no whole is refused' --service 5%1us+5%2us
refuses 2 '--load wants a number' 'a load that is none is refused' --load much
refuses 2 '--seconds wants a time' 'no time at all is refused' --seconds 0
refuses 2 'from 10us to inf' "a value out of a parameter's range is refused" --slice 1ns
refuses 2 'no cgroup of version 2' 'a folder that is no cgroup is refused' --policy shinjuku_shenango --batch-cgroup /tmp
refuses 2 'No such file' 'a cgroup that is not there is refused' --policy shinjuku_shenango --batch-cgroup nothing
refuses 2 "unknown option '--lod' \(did you mean '--load'" 'a slip in an option is answered' --lod 1
refuses 2 'takes options only' 'an argument is refused' something
refuses 2 'one of --fuzz, --case and --explore' 'two searches at once are refused' --fuzz 1 --explore 1
refuses 2 'machines and work of their own' 'a machine for --fuzz is refused' --fuzz 3 --cpus 4
refuses 2 'machines and work of their own' 'work for --explore is refused' --explore 3 --workload hogs
for option in '--load 0.5' '--rate 1000' '--profile free' '--seconds 1' '--upgrade 1ms' '--burst 2' '--service 10us' \
	--laws --fine '--slice 100us' '--fair 0' '--warmup 0'; do
	# shellcheck disable=SC2086 # they are two words
	refuses 2 "machines and work of their own: ${option%% *} does not go with --fuzz" "${option%% *} for --fuzz is refused" --fuzz 1 --events 100 $option
done
refuses 2 '--slice does not go with --explore' 'so is an option of the policy for --explore' --explore 2 --slice 100us
refuses 2 '--policy does not go with --case' 'a policy for a case, which has one, is refused' --policy sol \
	--case 'seed=1 policy=fifo_percpu cpus=2 duration=2000000 work=pingpong:2:1'
refuses 2 '--seed does not go with --explore' 'a seed where nothing is drawn is refused' --explore 2 --seed 3
refuses 2 'goes with --fuzz' '--events alone is refused' --events 10
refuses 2 'are about one run' 'a trace of many runs is refused' --fuzz 3 --trace "$work/t"
refuses 2 'goes with --fuzz or --case' '--shrink alone is refused' --shrink
refuses 2 "'nonsense' is no part of a case" 'a case that is none is refused' --case nonsense
refuses 2 'needs at least' 'half a case is refused' --case 'policy=fifo_percpu'
refuses 2 'no part of a case' 'a case with a policy that is none is refused' --case 'policy=none cpus=1 duration=1 work=hogs:1:1'
refuses 2 'needs --replay FILE' 'a replay of nothing is refused' --workload replay
refuses 1 'cannot replay .*No such file' 'a recording that is not there is told' --replay "$work/none"
head -c 1000 /dev/urandom >"$work/garbage"
refuses 1 'cannot replay .*garbage' 'a recording that is none is told' --replay "$work/garbage"
refuses 1 'cannot write .*No such file' 'a trace that cannot be written is told' --trace "$work/none/t"
run --seconds 0.01 --trace /dev/full
[ $? = 1 ] && grep -q 'cannot write /dev/full: No space' "$work/err"
say $? 'a full disk is told'
printf '1..%d\n' "$n"
exit $failed
