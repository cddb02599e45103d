// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two tasks that stay runnable and give way to each other with sched_yield().
 * In: options (load.c). Out: one JSON line; "waits" is the number of yields.
 * Called by: bench/micro, tests/vm/test_bench_load.sh, people.
 */
#include <sched.h>

#include "bench/load/load.h"

/*
 * A scheduler may let the yielder go on; such yields are part of the price. On
 * two CPUs this is a busy-wait, so the CPU is told.
 */
static void wait_by_yield(struct load_pair *pair, uint32_t me)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
	sched_yield();
}

static void pass_by_nothing(struct load_pair *pair, uint32_t to)
{
}

int main(int argc, char **argv)
{
	static const struct load yield = {
		.name = "yield",
		.doc = "Two tasks yield to each other in turn; prints ns per hand-over.",
		.wait = wait_by_yield,
		.pass = pass_by_nothing,
	};

	return load_main(&yield, argc, argv);
}
