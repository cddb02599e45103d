#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The cases of test_programs.sh, on a kernel with sched_ext.
# In: build/cli/ghost, the programs. Out: TAP. Called by test_programs.sh.
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:?}
build=${GHOST_TESTS_BUILD:?}
ghost=$build/cli/ghost
PATH=$PATH:$build/tools
# shellcheck source=tests/vm/cli_lib.sh
source "$root/tests/vm/cli_lib.sh"
cpus=$(nproc)

under() { "$ghost" run fifo_percpu -- "$@"; }
has() { # PROGRAM SENTENCE
	command -v "$1" >/dev/null && return
	skip "$2" "$1 is not installed"
	return 1
}

# Committed by the agent, not run by the fallback: else the rest proves little.
what="threads are run by commits of the agent ($cpus CPUs)"
"$ghost" run fifo_percpu --stats-json "$work/stats" -- sh -c 'for i in 1 2 3; do seq 2000 | sort -R | wc -l; done' \
	>"$work/out" 2>"$work/err"
committed=$(sed -nE 's/.*"committed": *([0-9]+).*/\1/p' "$work/stats" | head -n 1)
if [ "${committed:-0}" -gt 20 ]; then ok "$what"; else not_ok "$what" "committed: '$committed'" "$(cat "$work/stats" "$work/err")"; fi

what="a shell pipeline computes what it does without us ($cpus CPUs)"
pipeline='seq 5000 | sed "s/.*/& & &/" | sort -k 2r | tr -d 7 | md5sum'
is "$what" "$(under sh -c "$pipeline" 2>"$work/err")" "$(sh -c "$pipeline")"

what="zstd -T2 gives back what it took ($cpus CPUs)"
if has zstd "$what"; then
	head -c 3000000 "$(readlink -f "$(command -v bash)")" >"$work/in"
	cat "$work/in" "$work/in" >>"$work/in2"
	under zstd -q -3 -T2 -o "$work/in.zst" "$work/in2" 2>"$work/err"
	is "$what" "$(under zstd -dcq "$work/in.zst" 2>>"$work/err" | sha256sum)" "$(sha256sum <"$work/in2")"
fi

what="hackbench's threads all get their messages ($cpus CPUs)"
if has hackbench "$what"; then
	succeeds "$what" -- under hackbench --groups 2 --loops 20
	contains '^Time: ' "hackbench reports its time ($cpus CPUs)" "$(cat "$work/out")"
fi

what="stress-ng runs more hogs than CPUs and verifies them ($cpus CPUs)"
if has stress-ng "$what"; then
	succeeds "$what" -- under stress-ng --cpu $((cpus + 2)) --switch 1 --timeout 3s --verify --oomable
fi

what="a fork-heavy build gives a program that works ($cpus CPUs)"
if has gcc "$what"; then
	mkdir "$work/c"
	for i in 1 2 3 4 5 6; do
		echo "int f$i(int x) { return x * $i; }" >"$work/c/f$i.c"
	done
	cat >"$work/c/main.c" <<-'C'
		#include <stdio.h>
		int f1(int), f2(int), f3(int), f4(int), f5(int), f6(int);
		int main(void)
		{
			printf("%d\n", f1(1) + f2(2) + f3(3) + f4(4) + f5(5) + f6(6));
			return 0;
		}
	C
	printf 'prog: main.o f1.o f2.o f3.o f4.o f5.o f6.o\n\tgcc -o $@ $^\n' >"$work/c/Makefile"
	under make -s -C "$work/c" -j4 >"$work/out" 2>"$work/err"
	is "$what" "$("$work/c/prog" 2>&1)" 91
fi

what="a Redis server answers its benchmark and keeps its data ($cpus CPUs)"
if has redis-server "$what"; then
	cat >"$work/redis.sh" <<-'S'
		redis-server --port 0 --unixsocket "$1/redis.sock" --save '' --dir "$1" >"$1/redis.log" 2>&1 &
		for i in $(seq 100); do
			redis-cli -s "$1/redis.sock" ping >/dev/null 2>&1 && break
			sleep 0.1
		done
		redis-benchmark -s "$1/redis.sock" -n 400 -c 4 -t set,get -q >"$1/redis.bench" || exit 1
		for i in $(seq 20); do echo "set key:$i value:$i"; done | redis-cli -s "$1/redis.sock" >/dev/null
		redis-cli -s "$1/redis.sock" get key:17
		redis-cli -s "$1/redis.sock" shutdown nosave
		wait
	S
	is "$what" "$(under sh "$work/redis.sh" "$work" 2>"$work/err")" value:17
fi

clean "nothing is left behind ($cpus CPUs)"
finish_group
