# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the tests of the `ghost` program share: TAP, and "nothing was left behind".
# In: $ghost. Out: TAP lines. Sourced by the tests that run `ghost`.

n=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ok() { printf 'ok %d - %s\n' $((++n)) "$1"; }
not_ok() { # SENTENCE WHY...
	printf 'not ok %d - %s\n' $((++n)) "$1"
	shift
	printf '%s\n' "$@" | sed 's/^/# /'
}
skip() { printf 'ok %d - %s # SKIP %s\n' $((++n)) "$1" "$2"; }
finish_group() { printf '1..%d\n' "$n"; n=0; }

is() { # SENTENCE GOT WANTED
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted '$3'" "$(cat "$work/err" 2>/dev/null)"; fi
}
contains() { # REGEX SENTENCE TEXT
	if grep -qE -- "$1" <<<"$3"; then ok "$2"; else not_ok "$2" "no '$1' in:" "$3"; fi
}
succeeds() { # SENTENCE -- COMMAND...; output in $work/out, $work/err
	local sentence=$1
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null
	is "$sentence" $? 0
}

# What a `ghost` that is done must not leave; prints what it finds. Asked often,
# and a fork takes long where each instruction is emulated.
leftovers() {
	local f comm state=disabled
	for f in /sys/fs/bpf/ghost /run/ghost/enclave_* /run/ghost/intent /run/ghost/automatic /run/ghost/*.new \
		/run/ghost/hints_* /run/ghost/create_*; do
		[ ! -e "$f" ] || printf '%s is left\n' "$f"
	done
	{ read -r state </sys/kernel/sched_ext/state; } 2>/dev/null
	[ "$state" = disabled ] || printf 'sched_ext is %s\n' "$state"
	for f in /proc/[0-9]*/comm; do
		{ read -r comm <"$f"; } 2>/dev/null || continue
		[ "$comm" != ghost-agent ] || printf '%s is left\n' "${f%/comm}"
	done
}
clean() { # SENTENCE: give processes that end a moment
	local left i
	for ((i = 0; i < 100; i++)); do
		left=$(leftovers)
		[ -n "$left" ] || break
		sleep 0.1
	done
	if [ -z "$left" ]; then ok "$1"; else not_ok "$1" "$left"; fi
}

# The command fails with CODE and exactly one sentence, which matches REGEX.
# With keep=1 something is loaded on purpose, and stays.
keep=0
refuses() { # CODE REGEX SENTENCE -- COMMAND...
	local code=$1 re=$2 sentence=$3 rc left=''
	shift 4
	"$@" >"$work/out" 2>"$work/err" </dev/null
	rc=$?
	[ $keep = 1 ] || left=$(leftovers)
	if [ $rc != "$code" ]; then
		not_ok "$sentence" "status $rc, wanted $code" "$(cat "$work/err")"
	elif [ "$(wc -l <"$work/err")" != 1 ] || ! grep -q '^ghost: ' "$work/err"; then
		not_ok "$sentence" 'not one sentence:' "$(cat "$work/err")"
	elif ! grep -qE -- "$re" "$work/err"; then
		not_ok "$sentence" "no '$re' in:" "$(cat "$work/err")"
	elif [ -s "$work/out" ]; then
		not_ok "$sentence" 'wrote to stdout:' "$(cat "$work/out")"
	elif [ -n "$left" ]; then
		not_ok "$sentence" "$left"
	else
		ok "$sentence"
	fi
}

# Wait until COMMAND succeeds, at most SECONDS; the last try decides.
await() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}

status_of() { # KEY: of the first enclave, from status --json
	"$ghost" status --json 2>/dev/null | sed -nE "s/^ *\"$1\": \"?([^\",]*)\"?,?$/\1/p" | head -n 1
}
state_is() { [ "$(status_of state)" = "$1" ]; }
# The scheduling class of a process: 0 the fair one, 7 ours.
# A name may hold a line break.
sched_of() { { tr '\n' ' ' <"/proc/$1/stat"; } 2>/dev/null | awk '{ sub(/^.*\) /, ""); print $39 }'; }

# A command that makes a mark four times a second, until it is told to end. What the
# run says is in $work/told.
# shellcheck disable=SC2016 # for the shell inside
ticks='while [ ! -e '$work'/enough ]; do sleep 0.25; echo x; done; exit 9'
begin() { # OPTION...: run it, and wait until it makes marks
	rm -f "$work/enough"
	: >"$work/marks"
	"${ghost:?}" run "$@" -- sh -c "$ticks" >"$work/marks" 2>"$work/told" &
	keeper=$!
	await 60 grep -q x "$work/marks"
}
goes_on() { # SENTENCE
	local before
	before=$(wc -l <"$work/marks")
	await 20 eval "[ \$(wc -l <$work/marks) -gt $((before + 1)) ]"
	is "$1" $? 0
}
finish() { # SENTENCE
	touch "$work/enough"
	wait $keeper
	is "$1" $? 9
}
