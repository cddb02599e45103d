// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Shinjuku: short requests do not wait behind long ones.
 * In: events of threads, the time. Out: the next thread for each CPU. What it
 * does is in shinjuku.h.
 */
#include "policies/policies.h"
#include "policies/shinjuku.h"

static const struct ghost_param params[] = { { SHINJUKU_SLICE }, { SHINJUKU_TIMER }, { 0 } };

static enum shinjuku_class class_of(const struct ghost_agent *a, const struct ghost_task *t)
{
	return SHINJUKU_LATENCY;
}

const struct ghost_policy policy_shinjuku = {
	.name = "shinjuku",
	.help = "one FIFO for all CPUs with slices of microseconds, kept by an agent that spins",
	.model = GHOST_CENTRAL,
	.size = sizeof(struct shinjuku),
	.task_size = sizeof(struct shinjuku_task),
	.params = params,
	.init = shinjuku_init,
	.task_runnable = shinjuku_runnable,
	.task_blocked = shinjuku_blocked,
	.task_gone = shinjuku_gone,
	.schedule = shinjuku_schedule,
};
