#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The storm of test_chaos.sh: a fault, a look whether all goes on, and again.
# In: GHOST_SEED, GHOST_FAULTS, GHOST_KINDS. Out: TAP; of each fault after which something was
# wrong, what it was. Called by test_chaos.sh, in a VM of 5 CPUs or here.
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../../.." && pwd)}
build=${GHOST_TESTS_BUILD:-$root/build}
ghost=$build/cli/ghost
garbage=$build/tests/vm/chaos/garbage
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
bin=$(mktemp -d)
mode=$(stat -c %a /sys/fs/bpf)
trap 'kill -KILL $(jobs -p) 2>/dev/null; rm -rf "$work" "$bin"; chmod "$mode" /sys/fs/bpf' EXIT
# What a user needs who is nobody.
chmod 755 "$work" "$bin"
chmod o+x /sys/fs/bpf
cp "$ghost" "$garbage" "$bin"

seed=${GHOST_SEED:-1} faults=${GHOST_FAULTS:-30}
RANDOM=$seed
patience=90 # seconds until a program that makes no progress counts as standing
policies=(fifo_percpu fifo_central shinjuku shinjuku_shenango)

# Without a process: most programs do little else.
exec {silent}<> <(:)
pause() { read -r -t "$1" -u "$silent" || true; }
as_user=(setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs --inh-caps=-all --)
# Not in a subshell, where RANDOM begins anew with each.
any() { one=${*:RANDOM % $# + 1:1}; }

# ---- the programs: each round is right or is told, and leaves its number ----

head -c 20000 /dev/zero | tr '\0' g >"$work/file"
sum=$(sha256sum <"$work/file")
seq 500 >"$work/sorted"

round_of_0() { [ "$(sha256sum <"$work/file")" = "$sum" ]; }
round_of_1() { shuf "$work/sorted" | sort -n | cmp -s - "$work/sorted"; }
round_of_2() { gzip -c "$work/file" | gzip -dc | cmp -s - "$work/file"; }
round_of_3() { # a lot of children at once
	local i
	for i in {1..4}; do : & done
	wait
}
program() { # NUMBER
	local rounds=0
	trap - EXIT
	while [ ! -e "$work/enough" ]; do
		"round_of_$(($1 % 4))" || echo "round $rounds" >>"$work/wrong.$1"
		echo $((++rounds)) >"$work/rounds.$1"
		pause 0.2
	done
	exit 7
}
# The last one is the user's.
echo 0 >"$work/rounds.6"
touch "$work/wrong.6"
chown 1000 "$work/rounds.6" "$work/wrong.6"
export work sum silent
export -f program pause round_of_{0,1,2,3}

# ---- the enclaves; the last one is the user's, who may do what it likes there ----

cpus=(0 1 2-3 4)
id=() keeper=() policy=(fifo_percpu shinjuku fifo_central none) program_of=()
fallback=(fifo weighted fair fair)

# A look at files, without a process: where each instruction is emulated a fork takes long,
# and who looks is a normal thread, above all those it looks for.
read_all() { # FILE: in $text
	text=
	[ ! -e "$1" ] || read -r -d '' text <"$1" || true
} 2>/dev/null
agent_of() { # ENCLAVE: in $agent, the process that decides
	local text
	agent=
	if [ "$1" = 3 ]; then
		read_all "$work/agent.3"
		agent=$text
		return
	fi
	read_all "/run/ghost/enclave_${id[$1]}"
	[[ ! $text =~ \"agent\":[[:space:]]*\{[[:space:]]*\"pid\":[[:space:]]*([0-9]+) ]] || agent=${BASH_REMATCH[1]}
}
state_of() { # ENCLAVE: in $state
	local text
	read_all "/sys/fs/bpf/ghost/enclave_${id[$1]}/state"
	state=
	[[ ! $text =~ (^|$'\n')state\ ([a-z]+) ]] || state=${BASH_REMATCH[2]}
}
decides() {
	state_of "$1"
	[ "$state" = online ]
}
serve() { # ENCLAVE
	# While a CPU leaves, all of an emulator stand still in turns: 3.02 s were seen.
	local options=(--stall 5s --fallback "${fallback[$1]}" --restart)
	[ "$1" != 3 ] || options[4]='--user=1000'
	: >"$work/ready.$1"
	"$ghost" serve "${policy[$1]}" --cpus "${cpus[$1]}" "${options[@]}" >"$work/ready.$1" 2>>"$work/told.$1" &
	keeper[$1]=$!
	await $patience grep -q '^enclave' "$work/ready.$1" || return
	id[$1]=$(sed -n 's/^enclave \([0-9]*\):.*/\1/p' "$work/ready.$1")
	echo "${id[$1]}" >"$work/id.$1"
}
users_agents() { # again and again
	trap - EXIT
	exec 2>/dev/null # "Killed"
	while [ ! -e "$work/enough" ]; do
		"${as_user[@]}" "$bin/ghost" agents "$(<"$work/id.3")" fifo_percpu --wait >/dev/null 2>>"$work/told.3" &
		echo $! >"$work/agent.3"
		wait $!
		: >"$work/agent.3"
		pause 0.2
	done
}
attach_as_user() { # PID: once it has become the user's
	await 10 "${as_user[@]}" "$bin/ghost" attach "${id[3]}" "$1"
}
fill() { # ENCLAVE: its programs, and the children they have just now
	if [ "$1" = 3 ]; then
		attach_as_user "${program_of[6]}"
		return
	fi
	"$ghost" enclave add "${id[$1]}" --tree "${program_of[$1]}" --tree "${program_of[$(($1 + 3))]}" 2>>"$work/told.$1"
}

# Many children at once, when told to.
mkfifo "$work/go"
forks='read; for i in {1..60}; do pause 0.01 & done; wait'

# ---- faults: of enclave $e, which is told in $what; what else they touch is in $touches ----

signal() { # SIGNAL
	agent_of "$e"
	kill "-$1" "$agent"
}
fault_kill() { signal KILL; }
fault_segv() { signal SEGV; }
fault_term() { signal TERM; }
fault_stop() { signal STOP; }
fault_stop_short() {
	signal STOP
	pause 0.3
	kill -CONT "$agent"
}
fault_garbage() { "$garbage" "${id[$e]}" $RANDOM 300; }
fault_upgrade() {
	local to
	any "${policies[@]}"
	to=$one
	what+=" to $to"
	"$ghost" upgrade "${id[$e]}" "$to" --probe 100ms >/dev/null 2>>"$work/told.$e" && policy[$e]=$to
}
fault_upgrade_killed() {
	local pid
	any "${policies[@]}"
	"$ghost" upgrade "${id[$e]}" "$one" --probe 5s >/dev/null 2>>"$work/told.$e" &
	pid=$!
	pause 0.$((RANDOM % 9))
	kill -KILL $pid
	wait $pid 2>/dev/null
}
# One of the third enclave's CPUs goes to another one, or comes back.
fault_cpus() {
	touches='0 1 2'
	if [ "${cpus[2]}" = 2-3 ]; then
		e=$((RANDOM % 2))
		move 2 2 && move "$e" "${cpus[$e]},3"
	elif [[ ${cpus[0]} = *,3 ]]; then
		move 0 0 && move 2 2-3
	else
		move 1 1 && move 2 2-3
	fi
}
move() { # ENCLAVE CPUS
	what+=", $1 has $2"
	"$ghost" enclave set-cpus "${id[$1]}" "$2" --probe 100ms >/dev/null 2>>"$work/told.$1" && cpus[$1]=$2
}
fault_renew() {
	"$ghost" destroy "${id[$e]}"
	wait "${keeper[$e]}" 2>/dev/null
	serve "$e" && fill "$e"
}
fault_keeper() {
	kill -KILL "${keeper[$e]}"
	wait "${keeper[$e]}" 2>/dev/null
	pause 0.2
	fault_renew
}
fault_affinity() {
	local mask
	any 1 2 4 8 3 6 c f
	mask=$one what+=" $one"
	taskset -ap "$mask" "${program_of[$e]}" >/dev/null
	progress
	taskset -ap f "${program_of[$e]}" >/dev/null
}
fault_class() {
	# Real-time threads are above every enclave: only on the CPUs of its own.
	taskset -acp "${cpus[$e]}" "${program_of[$e]}" >/dev/null
	any -o -b -i
	chrt "$one" -p 0 "${program_of[$e]}"
	pause 0.1
	chrt -r -p 1 "${program_of[$e]}"
	pause 0.1
	chrt -o -p 0 "${program_of[$e]}"
	taskset -ap f "${program_of[$e]}" >/dev/null
	fill "$e"
}
fault_forks() {
	bash -c "$forks" <>"$work/go" &
	"$ghost" attach "${id[$e]}" $! 2>>"$work/told.$e"
	echo >"$work/go"
	wait $!
}
fault_offline() {
	local cpu=$((RANDOM % 3 + 1)) k
	what+=" CPU $cpu"
	for k in 0 1 2; do
		case ${cpus[$k]} in
		*"$cpu"* | 2-3) touches+=" $k" ;;
		esac
	done
	[ -w "/sys/devices/system/cpu/cpu$cpu/online" ] || return
	echo 0 >"/sys/devices/system/cpu/cpu$cpu/online"
	progress
	echo 1 >"/sys/devices/system/cpu/cpu$cpu/online"
}
fault_memory() {
	touches='0 1 2 3'
	perl -e '$x = "x" x 400_000_000; select undef, undef, undef, 0.3' 2>/dev/null
}
fault_hog() { # shorter than a thread may wait for a decision
	taskset -c "${cpus[$e]}" chrt -f 50 perl -e '1 while 1' &
	pause 0.4
	kill -KILL $!
	wait $! 2>/dev/null
}
# What a user can do; nobody else is touched.
fault_user_kill() {
	agent_of 3
	"${as_user[@]}" kill -KILL "$agent"
}
fault_user_stop() { # for longer than threads wait
	agent_of 3
	"${as_user[@]}" kill -STOP "$agent"
	pause 4
	progress
	"${as_user[@]}" kill -KILL "$agent"
}
fault_user_garbage() {
	"${as_user[@]}" "$bin/garbage" "${id[3]}" $RANDOM 300
}
fault_user_renew() {
	fault_renew
}
fault_user_forks() {
	"${as_user[@]}" bash -c "$forks" <>"$work/go" &
	attach_as_user $!
	echo >"$work/go"
	wait $!
}
# A thread that turns SCHED_EXT by itself and computes on the CPUs of somebody's enclave.
fault_user_stranger() {
	local on=$((RANDOM % 3))
	what+=" on the CPUs of $on"
	# shellcheck disable=SC2016 # for perl
	taskset -c "${cpus[$on]}" "${as_user[@]}" \
		perl -e '$param = pack("i", 0); syscall(144, 0, 7, $param) and die; $end = time + 2; 1 while time < $end' 2>>"$work/told.3" ||
		complain 'a user cannot turn a thread SCHED_EXT'
}
if [ -n "${GHOST_KINDS:-}" ]; then
	read -ra kinds <<<"$GHOST_KINDS"
	kinds=("${kinds[@]/#/fault_}")
	for kind in "${kinds[@]}"; do
		[ "$(type -t "$kind")" = function ] || { echo "Bail out! there is no fault '${kind#fault_}'"; exit 99; }
	done
else
	mapfile -t kinds < <(compgen -A function fault_)
fi

# ---- the look afterwards ----

complain() { # WHAT
	printf '# fault %d (seed %d): %s: %s\n' "$fault" "$seed" "$what" "$1"
}
rounds_of() { # PROGRAM: in $rounds
	rounds=
	[ -e "$work/rounds.$1" ] || rounds=0
	# Empty while a new number is written.
	until [ "$rounds" ]; do read -r rounds <"$work/rounds.$1" || pause 0.01; done
}
progress() { # of all programs, by two rounds
	local p end=$((SECONDS + patience)) rounds before=()
	for p in {0..6}; do
		rounds_of "$p"
		before[$p]=$rounds
	done
	for p in {0..6}; do
		until rounds_of "$p" && [ "$rounds" -gt $((before[p] + 1)) ]; do
			if ((SECONDS >= end)); then
				((++nr_standing))
				complain "program $p stands"
				"$ghost" status --threads 2>&1 | sed 's/^/#   /'
				return
			fi
			pause 0.2
		done
	done
}
look() {
	local k
	progress
	for k in 0 1 2 3; do
		agent_of $k
		# Who was not meant has noticed nothing.
		if [[ " $touches $e " != *" $k "* ]] && { ! decides $k || [ "$agent" != "${agents[$k]}" ]; }; then
			((++nr_noticed))
			complain "enclave $k is $state, and its agents process $agent, before ${agents[$k]}: $(tail -n 2 "$work/told.$k")"
		fi
		await $patience decides $k && continue
		((++nr_lost))
		complain "enclave $k is $state and stays so: $(tail -n 1 "$work/told.$k")"
		ps -eLo pid,tid,cls,rtprio,psr,stat,wchan:20,time,comm | sed 's/^/#   /'
		fault_renew
	done
}

# What goes on while a fault takes long.
witness() {
	local nr began told=0 text p
	trap - EXIT
	while [ ! -e "$work/enough" ]; do
		pause 5
		read_all "$work/fault"
		read -r nr began <<<"$text"
		[ "$nr" ] && ((nr > told && SECONDS - began > patience / 2)) || continue
		told=$nr
		printf '# fault %d goes on for %d s:\n' "$nr" $((SECONDS - began))
		{
			ps -eLo pid,ppid,tid,cls,rtprio,psr,stat,wchan:20,time,args | grep -v ' \[.*\]$'
			for p in $(pgrep ghost); do
				echo "$p:"
				cat /proc/"$p"/task/*/stack
			done
			grep . /run/ghost/enclave_*
			timeout 10 "$ghost" status --threads
		} 2>&1 | sed 's/^/#   /'
	done
}

printf '# seed %d, %d faults\n' "$seed" "$faults"
"$ghost" load
for p in {0..5}; do
	program "$p" &
	program_of[$p]=$!
done
"${as_user[@]}" bash -c 'program 6' &
program_of[6]=$!
for e in 0 1 2 3; do serve $e && fill $e; done
users_agents &
users_agents=$!
echo "0 $SECONDS" >"$work/fault"
witness &
witness=$!
await $patience decides 3
agents=() nr_late=0 nr_standing=0 nr_noticed=0 nr_lost=0 nr_faults=0
what='the start' fault=0
progress
declare -A done_of=()
for ((fault = 1; fault <= faults; fault++)); do
	e=$((RANDOM % 3))
	# Each kind once, in some order, and then any.
	any "${kinds[@]}"
	while ((fault <= ${#kinds[@]})) && [ -n "${done_of[$one]:-}" ]; do any "${kinds[@]}"; done
	kind=$one
	((++done_of[$kind], ++nr_faults))
	[[ $kind != fault_user_* ]] || e=3
	what="${kind#fault_} of enclave $e" touches=''
	for k in 0 1 2 3; do
		agent_of $k
		agents[$k]=$agent
	done
	began=$SECONDS
	echo "$fault $began" >"$work/fault"
	"$kind"
	look
	if ((SECONDS - began > 2 * patience)); then
		((++nr_late))
		complain "over after $((SECONDS - began)) s"
	fi
	[ -z "${GHOST_VERBOSE:-}" ] || printf '# %d, %d s: %s\n' "$fault" "$SECONDS" "$what"
	((fault % 10)) || printf '# %d faults, %d s; the last: %s\n' "$fault" "$SECONDS" "$what"
done

is 'every program goes on after every fault' $nr_standing 0
is 'and every fault is over in time' $nr_late 0
is 'enclaves that are not meant notice nothing' $nr_noticed 0
is 'every enclave has agents that decide again' $nr_lost 0
is 'so many faults there were' "$nr_faults" "$faults"
is "the user's program is in the user's enclave" "$(sched_of "${program_of[6]}")" 7
touch "$work/enough"
for p in {0..6}; do
	wait "${program_of[$p]}"
	[ $? = 7 ] || echo "ended with another status" >>"$work/wrong.$p"
done
is 'what the programs have computed is right' "$(cat "$work"/wrong.* 2>/dev/null)" ''
printf '# rounds: %s\n' "$(cat "$work"/rounds.* | paste -sd' ')"
agent_of 3
kill -TERM "$agent"
wait "$users_agents" "$witness"
for e in 0 1 2 3; do
	kill -TERM "${keeper[$e]}"
	wait "${keeper[$e]}"
	is "the keeper of enclave $e ends well" $? 0
done
succeeds 'unload unloads' -- "$ghost" unload
clean 'and leaves nothing'
finish_group
