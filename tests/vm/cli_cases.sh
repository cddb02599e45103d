#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The `ghost` program on a kernel with sched_ext: runs, faults, refusals.
# In: build/cli/ghost, root. Out: TAP. Called by test_cli.sh, in a VM or here.
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GHOST_TESTS_BUILD:-$root/build}
ghost=$build/cli/ghost
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

threads_are() { [ "$(status_of threads)" = "$1" ]; }
threads_at_least() { [ "$(status_of threads)" -ge "$1" ]; }
lists() { "$ghost" status --threads | grep -qE -- "$1"; }
not_running() { ! kill -0 "$1" 2>/dev/null; }
is_fair() { [ "$(sched_of "$1")" = 0 ]; }
is_member() { [ "$(sched_of "$1")" = 7 ]; }

# ---- a whole run, loading and unloading by itself ----

succeeds 'check says that this system can run ghOSt' -- "$ghost" check
contains 'This system can run ghOSt\.' 'in a closing sentence' "$(tail -n 1 "$work/out")"
succeeds 'a run ends well' -- "$ghost" run fifo_percpu -- true
clean 'and leaves nothing'
is 'and says nothing' "$(cat "$work/out" "$work/err")" ''

# As left by a command that was killed while it wrote down what it was about to do.
mkdir -p /run/ghost
printf '{ "kee' >/run/ghost/intent.new
: >/run/ghost/create_4194304.log
succeeds 'status succeeds after a command that was killed as it wrote a record' -- "$ghost" status
clean 'and leaves nothing of it'

# ---- who may not, and what is in the way ----

nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
refuses 4 'no permission' 'run without rights is refused with status 4' -- nobody "$ghost" run fifo_percpu -- true
refuses 4 'no permission' 'so is status' -- nobody "$ghost" status
refuses 4 'no permission' 'so is unload' -- nobody "$ghost" unload
nobody "$ghost" check >"$work/out" 2>&1
is 'check tells that only the rights are missing' $? 4
mkdir "$work/empty"
without_btf() { # as on a kernel that was built without it
	unshare -m sh -c 'mount --bind "$0" /sys/kernel/btf && exec "$@"' "$work/empty" "$@"
}
refuses 3 "lacks 'btf'" 'a kernel without BTF is told, with status 3' -- without_btf "$ghost" run fifo_percpu -- true
without_btf "$ghost" check >"$work/out" 2>&1
is 'check says the same' $? 3
contains '^btf +missing' 'in its table' "$(cat "$work/out")"
if [ -x "$build/bench/fifo_load" ]; then
	refuses 1 "the sched_ext scheduler '[a-z_]+' is loaded" 'another sched_ext scheduler is named' \
		-- "$build/bench/fifo_load" -- "$ghost" run fifo_percpu -- true
	"$build/bench/fifo_load" -- "$ghost" check >"$work/out" 2>&1
	is 'check tells that it is in the way' $? 1
else
	skip 'another sched_ext scheduler is named' 'bench/fifo_load was not built'
fi
refuses 1 'not loaded' 'attach to nothing is refused' -- "$ghost" attach 1 $$
refuses 1 'not loaded' 'destroy of nothing is refused' -- "$ghost" destroy 1
succeeds 'destroying all of nothing is done' -- "$ghost" destroy --all
succeeds 'unloading nothing is done' -- "$ghost" unload

# ---- loaded to stay: what follows is quicker ----

succeeds 'load loads' -- "$ghost" load
succeeds 'loading twice is no error' -- "$ghost" load
is 'loaded to stay, it stays' "$("$ghost" run fifo_percpu -- true; cat /sys/kernel/sched_ext/state)" enabled
keep=1
refuses 1 'there is no enclave 7' 'an enclave that is not there is told' -- "$ghost" destroy 7

"$ghost" run fifo_percpu -- sh -c 'exit 42' >"$work/out" 2>"$work/err"
is "the command's exit status is passed on" $? 42
"$ghost" run fifo_percpu -- sh -c 'kill -USR1 $$' >"$work/out" 2>"$work/err"
is 'a command killed by a signal gives 128 + the signal' $? 138
is 'stdin, stdout and stderr are the command'"'"'s alone' \
	"$(printf 'a\0b\n' | "$ghost" run fifo_percpu -- sh -c 'cat; echo x >&2' 2>&1 | od -An -c | tr -d ' ')" 'a\0b\nx\n'
is 'arguments arrive as they are' "$("$ghost" run fifo_percpu -- printf '[%s]' 'a b' '' --json -- '*')" '[a b][][--json][--][*]'
is "'--' may be left out" "$("$ghost" run fifo_percpu echo --stats)" '--stats'
is 'a script without a first line is run by the shell' \
	"$(printf 'echo yes\n' >"$work/s"; chmod +x "$work/s"; "$ghost" run fifo_percpu -- "$work/s")" yes
is 'the command sees the CPUs of its enclave' "$("$ghost" run fifo_percpu --cpus 1 -- nproc)" 1
is 'a caller bound to other CPUs gets those of the enclave' \
	"$(taskset -c 0 "$ghost" run fifo_percpu --cpus 1 -- sh -c 'taskset -cp $$ | sed "s/.*: //"')" 1
is 'ignored signals stay ignored in the command' \
	"$(trap '' HUP; "$ghost" run fifo_percpu -- grep SigIgn /proc/self/status | tr -d '\t')" 'SigIgn:0000000000000001'
is 'no file of ours is open in the command' \
	"$("$ghost" run fifo_percpu -- sh -c 'echo /proc/self/fd/*' | tr ' ' '\n' | wc -l)" \
	"$(sh -c 'echo /proc/self/fd/*' | tr ' ' '\n' | wc -l)"
# shellcheck disable=SC2016 # for the shell inside
is 'the command and its children are members' \
	"$("$ghost" run fifo_percpu -- sh -c 'sched() { awk "{ sub(/^.*\) /, \"\"); print \$39 }" /proc/$1/stat; }
		sleep 1 & sched $$; sched $!; wait' | tr '\n' ' ')" '7 7 '

is 'the command is led to where the agents listen for hints' "$("$ghost" run fifo_percpu -- "$build/docs/hints")" 'agents listen'
is 'and where no agents are, to nowhere' "$("$build/docs/hints")" 'no hints: No such file or directory'

# One CPU is the agent's that spins; for the other somebody waits at any time who is no batch.
mkdir /sys/fs/cgroup/batch
# shellcheck disable=SC2016 # for the shell inside
"$ghost" run shinjuku_shenango --cpus 0,1 --batch-cgroup batch -- bash -c '
	count() { n=0; while ((SECONDS < 4)); do ((n++)); done; echo $1 $n; }
	(echo $BASHPID >/sys/fs/cgroup/batch/cgroup.procs; count batch) & count other; wait' >"$work/counts" 2>"$work/err"
contains '^yes$' 'a thread in the cgroup that is named is batch' \
	"$(awk '{ n[$1] = $2 } END { print (n["other"] > 4 * n["batch"] && n["other"] ? "yes" : "no") }' "$work/counts")
$(cat "$work/counts" "$work/err")"
rmdir /sys/fs/cgroup/batch

succeeds 'numbers are written as JSON' -- "$ghost" run fifo_percpu --stats-json "$work/stats.json" -- sh -c 'sleep 0.1'
contains '"committed": [1-9]' 'with transactions committed' "$(cat "$work/stats.json")"
"$ghost" run fifo_percpu --stats -- true 2>"$work/err"
contains 'messages +[1-9]' '--stats tells of messages' "$(cat "$work/err")"

# ---- while one runs ----

"$ghost" run fifo_percpu --cpus 0 -- sleep 1000 2>"$work/run.err" &
keeper=$!
await 60 state_is online
is 'a run is seen online' "$(status_of state)" online
is 'with its policy' "$(status_of policy)" fifo_percpu
is 'its command' "$(status_of command)" 'sleep 1000'
await 20 threads_are 1
is 'and its thread' "$(status_of threads)" 1
await 20 lists 'sleep +blocked' # its name is new: it was 'ghost' until exec
contains 'sleep +blocked' '--threads lists it' "$("$ghost" status --threads)"
shown=/sys/fs/bpf/ghost/enclave_1
is 'without a program of ours a file says how the enclave is' "$(sed -n 1,2p $shown/state)" $'enclave 1\nstate online'
contains '^cpus 0:[1-9][0-9]*$' 'and who decides for which CPU' "$(cat $shown/state)"
is 'another lists its threads' "$(cut -d' ' -f 3,8 $shown/threads)" $'state name\nblocked sleep'
is 'anew each time it is read' "$(cut -d' ' -f 1 $shown/threads)" "$(cut -d' ' -f 1 $shown/threads)"
is 'they can be read by all who come there, and written by nobody' "$(stat -c %a $shown/state $shown/threads | sort -u)" 444
refuses 1 "CPU 0 belongs to enclave 1 \('sleep 1000', pid $keeper\)" 'CPUs that another enclave owns are refused, with whose they are' \
	-- "$ghost" run fifo_percpu -- true
is 'other CPUs are free for another run' "$("$ghost" run fifo_percpu --cpus 1 -- echo second)" second
refuses 1 'in use' 'unload refuses while a run goes on' -- "$ghost" unload

mkfifo "$work/fifo"
# shellcheck disable=SC2016 # for the shell inside
sh -c 'printf "a\n9 9 on\033" >/proc/$$/comm; read -r line <"$0"' "$work/fifo" &
other=$!
succeeds 'a process that already runs can be attached' -- "$ghost" attach 1 $other
is 'and is a member then' "$(sched_of $other)" 7
await 20 lists 'a.9 9 on'
contains "$other +a\?9 9 on\? +blocked" 'its name cannot begin a line, nor command a terminal' "$("$ghost" status --threads)"
contains "^$other .* a\?9 9 on\?\$" 'nor in the file' "$(cat $shown/threads)"
refuses 1 'there is no process 4194303' 'attaching a process that is not there is told' -- "$ghost" attach 1 4194303
refuses 1 'belongs to a .ghost run. itself' 'a keeper cannot be attached' -- "$ghost" attach 1 $keeper
refuses 1 'there is no enclave 9' 'attaching to an enclave that is not there is told' -- "$ghost" attach 9 $other

kill -TERM $keeper
wait $keeper
is 'SIGTERM is passed on to the command' $? 143
is 'without a word' "$(cat "$work/run.err")" ''
await 10 is_fair $other
is 'what was attached goes back to the fair class' "$(sched_of $other)" 0
kill $other

# ---- destroyed while busy ----

"$ghost" run fifo_percpu -- stress-ng --cpu 2 --fork 2 --switch 2 --timeout 300s >"$work/out" 2>"$work/run.err" &
keeper=$!
await 60 threads_at_least 4
succeeds 'a busy enclave can be destroyed' -- "$ghost" destroy 1
contains 'another command destroyed enclave 1' 'and its run tells' "$(await 20 grep -q destroyed "$work/run.err"; cat "$work/run.err")"
is 'nothing of it is left' "$(status_of state)" ''
kill -0 $keeper
is 'and the run goes on' $? 0
kill -INT $keeper
wait $keeper 2>/dev/null
is 'until its command ends' "$(jobs -rp | wc -l)" 0
keep=0
succeeds 'unload unloads' -- "$ghost" unload
clean 'and leaves nothing'

# ---- faults ----

"$ghost" run fifo_percpu -- sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 0.2; done; echo done; exit 5' >"$work/out" 2>"$work/err" &
keeper=$!
await 60 threads_at_least 1
kill -KILL "$(status_of agent_pid)"
wait $keeper
is 'a run whose agents are killed ends with its command' "$? $(cat "$work/out")" '5 done'
contains '^ghost: the agent process .* was killed by signal 9.*fallback' 'and tells what happened' "$(cat "$work/err")"
is 'in one sentence' "$(wc -l <"$work/err")" 1
clean 'and leaves nothing'

"$ghost" run fifo_percpu -- sh -c "sleep 2; echo done >$work/mark" &
keeper=$!
await 60 threads_at_least 1
kill -KILL $keeper
wait $keeper 2>/dev/null
await 30 test -s "$work/mark"
is 'a command whose keeper is killed ends all the same' "$(cat "$work/mark")" 'done'
clean 'and the agents clean up after it'

"$ghost" run fifo_percpu -- sh -c "sleep 2; echo done >$work/mark2" &
keeper=$!
await 60 threads_at_least 1
agent=$(status_of agent_pid)
kill -KILL $keeper "$agent"
wait $keeper 2>/dev/null
await 10 not_running "$agent"
"$ghost" status >"$work/out" 2>"$work/err"
contains "tidied up enclave 1, whose 'ghost run' was killed" 'with both killed, the next command tidies up' "$(cat "$work/err")"
contains 'not loaded' 'and unloads' "$(cat "$work/out")"
await 30 test -s "$work/mark2"
is 'and the command ends in the fair class' "$(cat "$work/mark2")" 'done'
clean 'and nothing is left'

# shellcheck disable=SC2016 # for the shell inside
"$ghost" run fifo_percpu --stall 300ms -- sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done
	cat /sys/fs/bpf/ghost/enclave_*/state; exit 6' >"$work/out" 2>"$work/err" &
keeper=$!
await 60 threads_at_least 1
kill -STOP "$(status_of agent_pid)"
wait $keeper
is 'a run whose agents hang ends with its command' $? 6
contains 'waited longer than 300ms' 'and tells of the stall' "$(cat "$work/err")"
contains 'state lost lost stall lost_arg [1-9]' 'as the file in bpffs does' "$(tr '\n' ' ' <"$work/out")"
clean 'and leaves nothing'

# The kernel looks every 15 s for threads that wait for 30 s, and parked agents do wait.
succeeds 'agents with nothing to do for longer than the watchdog allows are left alone' \
	-- "$ghost" run fifo_percpu -- sleep 50
is 'and nobody is told of anything' "$(cat "$work/out" "$work/err")" ''

if [ -w /sys/devices/system/cpu/cpu1/online ]; then
	"$ghost" run fifo_percpu -- sh -c 'stress-ng --cpu 3 --timeout 3s -q & sleep 1
		echo 0 >/sys/devices/system/cpu/cpu1/online; wait; echo done' >"$work/out" 2>"$work/err"
	is 'a run that loses a CPU goes on' $? 0
	echo 1 >/sys/devices/system/cpu/cpu1/online
	is 'to the end of its command' "$(cat "$work/out")" "done"
	contains 'CPU 1 of the enclave went offline' 'and tells why its policy no longer decides' "$(cat "$work/err")"
	clean 'and leaves nothing'
fi

setsid "$ghost" run fifo_percpu -- sh -c 'setsid sleep 1000 & echo $!' >"$work/out" 2>"$work/err"
daemon=$(cat "$work/out")
await 10 is_fair "$daemon"
is 'what a command leaves running is given to the fair class' "$(sched_of "$daemon")" 0
clean 'and the enclave ends with its command'
kill "$daemon"

finish_group
