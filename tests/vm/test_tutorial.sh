#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# docs/tutorial.md can be followed. Shown by following it, in a copy of the tree:
# what it says is to be typed is typed in its order, what it shows must come out.
#
#   "    $ COMMAND"   typed (a line goes on after a \, or as long as a ' is open);
#                     it must end with status 0, and print the lines below it
#   ```diff           goes through patch
#   ```LANGUAGE FILE  is saved as FILE
#
# Of what is printed, "..." stands for lines, or for the end of a line, that are
# left out; nothing else may be missing. Blank lines and the width of blanks do
# not count. Numbers may be others, with their units (ns, us, ms, s, %), but not
# that of "exit status". From the VM, output comes before errors.
# In: the page, the tree, vm/run. Out: TAP.
# limit: 600
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GHOST_TESTS_BUILD:-$root/build}
page=$root/docs/tutorial.md
# The VM's folder is that of the tree, so that nothing is fetched: the copy is in it.
export GHOST_BUILD=$build
[ -x "$build/cli/ghost" ] || { printf '1..0 # SKIP the ghost program was not built\n'; exit; }

work=$(mktemp -d)
copy=$build/tutorial
trap 'rm -rf "$work" "$copy"' EXIT
n=0 failed=0
say() { # STATUS SENTENCE: with the file $work/why, if it is not so
	n=$((n + 1))
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	printf 'ok %d - %s\n' $n "$2"
	[ "$1" = 0 ] || head -n 40 "$work/why" | sed 's/^/# /'
	: >"$work/why"
}

# ---- the page ----

# Steps in files: FOLDER/001.command and .shown, .diff, .file (its first line is
# the name), or .unknown for a block that is none of these.
take_apart() { # PAGE FOLDER
	mkdir -p "$2"
	awk -v folder="$2" '
	function step(kind) { nr++; file = sprintf("%s/%03d.%s", folder, nr, kind); printf "" >file; return file }
	function open(text,    t) { t = text; return text ~ /\\$/ || gsub(/\047/, "", t) % 2 }
	fence && /^```/ { fence = 0; close(to); next }
	fence { print >to; next }
	/^```/ {
		fence = 1
		if ($0 == "```diff") to = step("diff")
		else if (NF == 2) { to = step("file"); print $2 >to }
		else { to = step("unknown"); print >to }
		block = 0
		next
	}
	/^    / && block && typing { command = command "\n" substr($0, 5) }
	/^    \$ / { command = substr($0, 7); typing = 1; block = 1; to = "" }
	/^    / && typing {
		if (open(command)) next
		typing = 0
		print command >step("command")
		to = sprintf("%s/%03d.shown", folder, nr)
		printf "" >to
		next
	}
	/^    / && block { print substr($0, 5) >to; next }
	/^    / { block = 1; to = step("unknown"); print >to; next }
	/^$/ { next }
	{ block = 0 }' "$1"
}

# ---- what came out ----

plain() { # FILE: what counts of it
	sed -E -e 's/exit status 0$/exit status good/; s/exit status ([0-9]+)$/exit status bad/' \
		-e 's/\b[0-9a-f]{8,}\b/#/g' \
		-e 's/[0-9]+([.,][0-9]+)*( ?(ns|us|ms|s)\b| ?%)?/#/g' \
		-e 's/[[:blank:]]+/ /g; s/^ //; s/ $//; /^$/d' "$1"
}

# Prints what is shown and did not come, or came and is not shown.
differences() { # SHOWN GOT
	awk '
	FNR == NR { shown[++nr] = $0; next }
	{ got[++ng] = $0 }
	function fits(want, have) {
		if (want !~ / ?\.\.\.$/) return want == have
		sub(/ ?\.\.\.$/, "", want)
		return index(have, want) == 1
	}
	END {
		for (i = g = 1; i <= nr; i++) {
			if (shown[i] == "...") { gap = 1; continue }
			for (j = g; j <= ng && !fits(shown[i], got[j]) && gap; j++)
				;
			if (j > ng || !fits(shown[i], got[j])) {
				print "shown, but it does not come: " shown[i]
				exit
			}
			g = j + 1
			gap = 0
		}
		if (g <= ng && !gap)
			print "comes, but is not shown: " got[g]
	}' <(plain "$1") <(plain "$2")
}

# ---- typing ----

native=0
[ ! -e /sys/kernel/sched_ext ] || [ "$(id -u)" != 0 ] || native=1
# "vm/run --" and "sudo" both lead to a kernel with sched_ext: to this one, if it
# is one, else to the VM.
typed() { # COMMAND
	local on=''
	[ $native = 1 ] || on='vm/run -- '
	case $1 in
	'vm/run -- '*) printf '%s' "$on${1#vm/run -- }" ;;
	'sudo '*) printf '%s' "$on${1#sudo }" ;;
	*) printf '%s' "$1" ;;
	esac
}

# Does one step in the current folder. 0: it does what the page says.
follow() { # STEP (a file without its suffix)
	local command status
	if [ -e "$1.diff" ]; then
		patch -p1 -F0 --no-backup-if-mismatch <"$1.diff" >"$work/why" 2>&1
	elif [ -e "$1.file" ]; then
		tail -n +2 "$1.file" >"$(head -n 1 "$1.file")"
	elif [ -e "$1.command" ]; then
		command=$(cat "$1.command")
		: >"$1.err"
		case $command in
		# Two ways out of the VM: what comes first there may come last here.
		'vm/run -- '* | 'sudo '*) timeout 240 bash -c "$(typed "$command")" >"$1.out" 2>"$1.err" </dev/null ;;
		*) timeout 240 bash -c "$command" >"$1.out" 2>&1 </dev/null ;;
		esac
		status=$?
		# Said once in the life of a build folder.
		sed -i '/^vm\/run: first start of this machine/d' "$1.err"
		cat "$1.err" >>"$1.out"
		differences "$1.shown" "$1.out" >"$work/why"
		[ $status = 0 ] || printf 'status %d\n' $status >>"$work/why"
		[ -s "$work/why" ] || return 0
		printf 'of this output:\n' | cat - "$1.out" >>"$work/why"
		return 1
	else
		printf 'neither a command nor a change nor a file:\n' | cat - "$1.unknown" >"$work/why"
		return 1
	fi
}

# ---- can this test fail? ----

mkdir "$work/small"
small() { # WANTED SENTENCE: the page on stdin; 0 all steps are as it says, 1 one is not
	local step status=0
	rm -rf "$work/steps"
	cat >"$work/page"
	take_apart "$work/page" "$work/steps"
	for step in $(find "$work/steps" -type f | sed -E 's/\.[a-z]+$//' | sort -u); do
		(cd "$work/small" && follow "$step") || status=1
	done
	[ $status = "$1" ]
	say $? "$2"
}
small 0 'a page that is right is followed' <<'P'
Text.

    $ printf 'one 5 ms\n\n  two\nthree\n'; echo "exit status $?"
    one 12.5 us

      two
    ...
    exit status 0
    $ echo a \
          b 'c
      d'; echo end
    a b c
    d
    ...

```sh small.txt
hello again
```

    $ cat small.txt
    hello...
P
small 1 'a command that fails is noticed' <<<'    $ false'
small 1 'a line that does not come is noticed' <<<$'    $ echo one\n    two'
small 1 'a word that differs is noticed' <<<$'    $ echo one 5 two\n    one 6 three'
small 1 'a line that is not shown is noticed' <<<$'    $ printf "a\\nb\\n"\n    a'
small 1 'another exit status is noticed' <<<$'    $ false; echo "exit status $?"\n    exit status 0'
small 1 'a change that does not apply is noticed' <<<$'```diff\n--- a/small.txt\n+++ b/small.txt\n@@ -1 +1 @@\n-hallo\n+hi\n```'
small 1 'a block that is nothing of that is noticed' <<<$'    echo one'

# ---- the copy ----

rm -rf "$copy"
mkdir -p "$copy"
(cd "$root" && find . -mindepth 1 -maxdepth 1 ! -name 'build*' ! -name .git -print0 | tar --null -T - -cf -) |
	tar -xf - -C "$copy"
cd "$copy" || exit 99

take_apart "$page" "$work/tutorial"
typed_here=0
for step in $(find "$work/tutorial" -type f | sed -E 's/\.[a-z]+$//' | sort -u); do
	if [ "$(cat "$step.command" 2>/dev/null)" = 'make demo' ]; then
		# It installs packages as root and fetches a kernel, so it is not typed
		# here; .ci/fresh shows that it works from nothing. What it builds:
		typed_here=$((typed_here + 1))
		grep -q '^    make demo ' "$root/README.md"
		say $? 'the set-up is the one of README.md'
		{ meson setup build && ninja -C build cli/ghost; } >"$work/why" 2>&1
		say $? 'and what it builds is built'
		continue
	fi
	follow "$step"
	status=$?
	if [ -e "$step.command" ]; then
		typed_here=$((typed_here + 1))
		say $status "$(sed 's/ *\\$//' "$step.command" | tr -s '\n ' ' ')does what the page shows"
	elif [ -e "$step.diff" ]; then
		say $status "the change of $(sed -n 's/^+++ b\///p' "$step.diff") applies"
	elif [ -e "$step.file" ]; then
		say $status "$(head -n 1 "$step.file") is saved"
	else
		say $status 'each block is a command, a change or a file'
	fi
done
# Counted in another way than they are found.
there=$(grep -cE '^[[:blank:]]*\$ ' "$page")
printf '%d of %d\n' $typed_here "$there" >"$work/why"
[ $typed_here = "$there" ] && [ "$there" -gt 10 ]
say $? 'every command of the page was typed'

# ---- what the page concludes ----

# A figure after LABEL in the output of the FIRST.. command that matches, in us.
figure() { # WHICH REGEX LABEL
	local step
	step=$(grep -lE -- "$2" "$work"/tutorial/*.command | sed -n "$1p")
	[ -n "$step" ] && sed -nE "s/.*$3 ([0-9.]+) (ns|us|ms|s)\b.*/\1 \2/p" "${step%.command}.out" |
		awk 'NR == 1 { print int($1 * ($2 == "s" ? 1e6 : $2 == "ms" ? 1000 : $2 == "us" ? 1 : 0.001)) }'
}
less() { # A TIMES B SENTENCE: A * TIMES < B
	printf '%s * %s, and %s\n' "${1:-none}" "$2" "${3:-none}" >"$work/why"
	[ -n "$1" ] && [ -n "$3" ] && [ $(($1 * $2)) -lt "$3" ]
	say $? "$4"
}
work_of='--workload openloop:8 .*--load 0.2$'
fifo=$(figure 1 "fifo_percpu .*$work_of" 'latency .*p99')
first=$(figure 1 "least_served --cpus .*$work_of" 'latency .*p99')
short=$(figure 1 "least_served --slice 1ms .*$work_of" 'latency .*p99')
cured=$(figure 2 "least_served --cpus .*$work_of" 'latency .*p99')
less "$first" 3 "$fifo" 'the new order shortens the latency of short requests'
less "$short" 1 "$first" 'a shorter slice shortens it more'
less "$cured" 3 "$fifo" 'and the cure does not cost that'
less "$(figure 2 '--workload forks:16' 'wake-up .*max')" 5 1000000 'with it nobody waits for longer than 0.2 s'
late=$(grep -lE 'for p in fifo_percpu' "$work"/tutorial/*.command)
mapfile -t us < <([ -z "$late" ] || sed -nE 's/^late by ([0-9]+) us.*/\1/p' "${late%.command}.out")
less "${us[2]-}" 1 "${us[1]-}" 'on a kernel, too, the new order beats first come, first served'
printf '1..%d\n' $n
exit $failed
