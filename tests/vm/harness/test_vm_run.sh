#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Tests of vm/run itself: what goes in comes out, and what goes wrong is told.
# In:  nothing (GHOST_BUILD as for vm/run). Out: TAP on stdout; exit 1 on a failure.
# Called by: the test runner, and people. Where there is no QEMU all is skipped.
set -u

root=$(cd "$(dirname "$(readlink -f "$0")")/../../.." && pwd)
build=$(realpath -m "${GHOST_BUILD:-$root/build}")
run=$root/vm/run
cd "$root" || exit 99

nr_tests=31 nr=0 nr_failed=0
echo "1..$nr_tests"

# $1: 0 if the sentence $2 is true; the rest: what was seen instead
result() {
	local status=$1 sentence=$2
	shift 2
	nr=$((nr + 1))
	if [[ $status = 0 ]]; then
		echo "ok $nr - $sentence"
	else
		nr_failed=$((nr_failed + 1))
		echo "not ok $nr - $sentence"
		printf '%s\n' "$@" | sed 's/^/# /'
	fi
}

skip() {
	nr=$((nr + 1))
	echo "ok $nr # SKIP $1: $2"
}

# $1: wanted, $2: seen, $3: sentence, $4: more to show when they differ
same() {
	[[ "$1" == "$2" ]]
	result $? "$3" "wanted: $1" "seen:   $2" "${4-}"
}

work=$(mktemp -d "$build/test_vm_run.XXXXXX" 2>/dev/null) ||
	{ mkdir -p "$build" && work=$(mktemp -d "$build/test_vm_run.XXXXXX"); } || exit 99
# shellcheck disable=SC2317 # called by the trap
clean_up() {
	rm -rf "$work"
	rm -f "$outside"
}
outside=$root/vm/.test_vm_run.$$
trap clean_up EXIT

# Runs vm/run with the arguments; sets rc, out, err.
vm() {
	"$run" "$@" >"$work/out" 2>"$work/err" </dev/null
	rc=$?
	out=$(<"$work/out") err=$(<"$work/err")
}

if ! command -v qemu-system-x86_64 >/dev/null; then
	while ((nr < nr_tests)); do skip "vm/run" "no qemu-system-x86_64 here"; done
	exit 0
fi

# ---- wrong options: one precise sentence, exit 2, no VM ------------------------

wrong=()
while IFS='|' read -r options words; do
	# shellcheck disable=SC2086 # the options are meant to be split
	vm $options
	[[ $rc = 2 && $(wc -l <"$work/err") = 1 && $err == *"$words"* && -z $out ]] ||
		wrong+=("$options: rc=$rc: $err")
done <<'TXT'
--cpus 0 -- true|--cpus wants a number from 1 to 64, got '0'
--cpus two -- true|--cpus wants a whole number, got 'two'
--mem|--mem wants a value
--frob -- true|unknown option '--frob'
--topology cores=2,legs=4 -- true|not 'legs=4'
--topology cores=2 --cpus 3 -- true|--cpus 3 does not fit
--topology cores=3,nodes=2 -- true|cannot be split evenly
true|put '--' before the command
--cold|no command given
TXT
same "" "${wrong[*]}" "wrong options give one precise sentence and exit code 2"

vm --kernel 0.99 -- true
[[ $rc = 125 && $err == *"0.99"* && $err == *"available now: "*amd64* ]]
result $? "a kernel version that does not exist is named, with what there is" "rc=$rc" "$err"

# ---- exit codes -------------------------------------------------------------------

vm -- nproc
same "2" "$out" "the VM has 2 CPUs when nothing is asked for" "$err"
vm -- true
same "0" "$rc" "exit code 0 comes through" "$err"
same "" "$out$err" "a good run prints nothing of its own (its snapshot being there)"
vm -- sh -c 'exit 7'
same "7" "$rc" "exit code 7 comes through" "$err"
vm -- no-such-command
same "127" "$rc" "a command that does not exist gives 127" "$err"
[[ $err == *"cannot run no-such-command"* ]]
result $? "a command that does not exist is named" "$err"
# shellcheck disable=SC2016 # for the shell in the VM
vm -- sh -c 'kill -SEGV $$'
same "139" "$rc" "death by signal 11 gives 128 + 11" "$err"

# ---- streams ------------------------------------------------------------------------

head -c 1000000 /dev/urandom >"$work/data"
sum=$(md5sum <"$work/data")
"$run" -- sh -c 'cat; echo told >/dev/stderr' <"$work/data" >"$work/out" 2>"$work/err"
same "$sum" "$(md5sum <"$work/out")" "1 MB from a file on stdin reaches stdout byte for byte"
same "told" "$(<"$work/err")" "stderr is a stream of its own"
# shellcheck disable=SC2002 # a pipe is the point
same "$sum" "$(cat "$work/data" | "$run" -- md5sum 2>&1)" "stdin can be a pipe, and ends"
# shellcheck disable=SC2016 # must arrive as it stands
vm -- printf '%s|' 'a b' '' $'tab\there' "quo'te" '$HOME' '*'
same $'a b||tab\there|quo\'te|$HOME|*|' "$out" "arguments arrive unchanged" "$err"
# shellcheck disable=SC2016 # for the shell in the VM
out=$(FROM_TEST='x  y' "$run" -- sh -c 'echo "$FROM_TEST $GHOST_VM $PWD"' 2>&1)
same "x  y 1 $root" "$out" "environment and working directory are the caller's; GHOST_VM=1"
SECONDS=0
out=$("$run" -- yes 2>/dev/null | head -n 1)
[[ $out == y && $SECONDS -lt 20 ]]
result $? "the VM ends when the reader of its stdout goes" "$out after $SECONDS s"

# ---- files ------------------------------------------------------------------------------

vm --out "$work/results" -- sh -c "
	seq 100000 >$work/kept && mkdir $work/dir && mv $work/kept $work/dir/
	echo lost >$outside && cat $outside
	echo result >\$GHOST_VM_OUT/file"
same "$(seq 100000 | md5sum)" "$(md5sum 2>/dev/null <"$work/dir/kept")" \
	"a file written below the build folder is kept" "$err"
[[ $out == lost && ! -e $outside ]]
result $? "a file written elsewhere is seen in the VM and not on the host" "$out" "$err"
same "result" "$(cat "$work/results/file" 2>&1)" "--out brings back what is in \$GHOST_VM_OUT"

# ---- trouble in the VM ----------------------------------------------------------------------

vm -- sh -c 'echo "<4>WARNING: made by a test" >/dev/kmsg'
[[ $rc = 125 && $err == *"WARNING: made by a test"* ]]
result $? "a kernel warning fails a run that went well, and is shown" "rc=$rc" "$err"
vm --allow-warnings --log "$work/log" -- sh -c 'echo "<4>WARNING: made by a test" >/dev/kmsg; exit 3'
[[ $rc = 3 ]] && grep -q 'made by a test' "$work/log" && grep -q 'Linux version' "$work/log"
result $? "--allow-warnings lets it pass, and --log has the whole kernel log" "rc=$rc" "$err"
SECONDS=0
vm -- sh -c 'echo c >/proc/sysrq-trigger; sleep 60'
[[ $rc = 125 && $err == *"Kernel panic"* && $SECONDS -lt 20 ]]
result $? "a panic gives 125 at once, with its message" "rc=$rc after $SECONDS s" "$err"

printf '%s\n' 'sched_ext: BPF scheduler "a" enabled' \
	'sched_ext: BPF scheduler "a" disabled (unregistered from user space)' >"$work/log"
bad=("$("$root/vm/check-log" "$work/log")")
while read -r line; do
	echo "$line" >"$work/log"
	"$root/vm/check-log" "$work/log" >/dev/null && bad+=("$line")
done <<'TXT'
sched_ext: BPF scheduler "a" disabled (runnable task stall)
sched_ext: BPF scheduler "a" disabled (runtime error)
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [x:1]
INFO: task x:12 blocked for more than 30 seconds.
Oops: int3: 0000 [#1] SMP
TXT
same "" "${bad[*]}" "an ejected scheduler, a stall and a lockup are trouble; a normal end is none"

# ---- stopping -----------------------------------------------------------------------------------

SECONDS=0
vm --timeout 3 -- sh -c 'echo before; sleep 60'
[[ $rc = 124 && $out == before && $err == *"stopped after 3 s (--timeout)"* && $SECONDS -lt 15 ]]
result $? "the time limit gives 124, a sentence, and the output so far" "rc=$rc after $SECONDS s" "$out" "$err"

# Starts a VM that waits, in the background; sets pid. A shell's background jobs
# ignore SIGINT, so ask for its default again.
start_sleeper() {
	rm -f "$work/alive"
	MADE_BY=$work env --default-signal=INT \
		"$run" -- sh -c "echo yes >$work/alive; sleep 60" 2>"$work/err" &
	pid=$!
	for ((i = 0; i < 300; i++)); do [[ -s $work/alive ]] && return; sleep 0.1; done
}

# The QEMUs of this test have its mark in their environment.
our_qemus() {
	local comm
	for comm in /proc/[0-9]*/comm; do
		grep -qs '^qemu-system' "$comm" &&
			grep -qsz "^MADE_BY=$work\$" "${comm%comm}environ" &&
			echo "$comm"
	done
}

start_sleeper
before=$(our_qemus | wc -l)
kill -INT "$pid"
SECONDS=0
wait "$pid"
rc=$?
[[ $rc = 130 && $SECONDS -lt 5 && $(<"$work/err") == *interrupted* ]]
result $? "Ctrl-C stops the VM with 130" "rc=$rc after $SECONDS s" "$(<"$work/err")"
same "1 0" "$before $(our_qemus | wc -l)" "Ctrl-C leaves no QEMU behind"

start_sleeper
{ kill -KILL "$pid"; wait "$pid"; } 2>/dev/null
sleep 0.5
same "" "$(our_qemus)" "killing vm/run the hard way leaves no QEMU behind"

# ---- the machine ------------------------------------------------------------------------------------

# The machine of --icount below, so that one snapshot serves both.
vm --icount --cpus 1 -- nproc
same "1" "$out" "--cpus 1 gives the VM 1 CPU" "$err"
vm --cold --cpus 4 -- nproc
same "4" "$out" "--cpus 4 gives the VM 4 CPUs" "$err"
vm --cold --topology sockets=2,cores=2,threads=2,nodes=2 -- sh -c '
	cd /sys/devices/system
	cat cpu/cpu0/topology/thread_siblings_list cpu/cpu0/topology/package_cpus_list
	cat node/node1/cpulist; nproc'
same "0-1 0-3 4-7 8" "${out//$'\n'/ }" "--topology is what the kernel of the VM sees" "$err"

"$run" -- sh -c 'sleep 1; echo first' >"$work/one" 2>&1 &
pid=$!
vm -- sh -c 'sleep 1; echo second'
wait "$pid"
same "first 0 second 0" "$(<"$work/one") $? $out $rc" "two VMs run at once" "$err"

# Starts on a multiple of 100 ms of virtual time, so that the timer tick falls at
# the same place of the loop; then counts nothing but instructions.
cat >"$work/loop.c" <<'TXT'
#include <stdio.h>
#include <time.h>
int main(void)
{
	struct timespec a, b, start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	start.tv_sec += 20;
	start.tv_nsec = 100000000;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (volatile int i = 0; i < 100000; i++)
		;
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%ld\n", (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec);
	return 0;
}
TXT
if gcc -O1 -static -o "$work/loop" "$work/loop.c" 2>"$work/err"; then
	vm --icount --cpus 1 -- "$work/loop"
	first=$out
	vm --icount --cpus 1 -- "$work/loop"
	[[ -n $out && $first == "$out" ]]
	result $? "--icount gives the same virtual time twice" "$first" "$out" "$err"
else
	skip "--icount gives the same virtual time twice" "no static C compiler"
fi

if ((nr != nr_tests)); then
	echo "Bail out! $nr tests ran, $nr_tests were announced"
	exit 99
fi
((nr_failed == 0))
