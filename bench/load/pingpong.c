// SPDX-License-Identifier: GPL-2.0-only
/*
 * Futex ping-pong: on one CPU each hand-over is a switch, on two a wake-up across CPUs.
 * In: options (load.c). Out: one JSON line.
 * Called by: bench/micro, tests/vm/test_bench_load.sh, people.
 */
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/load/load.h"

static void futex(struct load_pair *pair, int op, uint32_t value)
{
	if (!pair->shared)
		op |= FUTEX_PRIVATE_FLAG;
	syscall(SYS_futex, &pair->turn, op, value, NULL, NULL, 0);
}

/* Returns at once if the turn has come meanwhile; the caller looks again. */
static void wait_by_futex(struct load_pair *pair, uint32_t me)
{
	futex(pair, FUTEX_WAIT, !me);
}

static void pass_by_futex(struct load_pair *pair, uint32_t to)
{
	futex(pair, FUTEX_WAKE, 1);
}

int main(int argc, char **argv)
{
	static const struct load pingpong = {
		.name = "pingpong",
		.doc = "Two tasks wake each other in turn; prints ns per hand-over.",
		.wait = wait_by_futex,
		.pass = pass_by_futex,
	};

	return load_main(&pingpong, argc, argv);
}
