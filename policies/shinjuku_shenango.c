// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Shinjuku with Shenango: batch threads get the CPUs that are left, and give
 * them back at once.
 * In: events of threads, which of them are batch, the time. Out: the next thread
 * for each CPU. What it does is in shinjuku.h.
 */
#include "policies/batch.h"
#include "policies/policies.h"
#include "policies/shinjuku.h"

static const struct ghost_param params[] = {
	{ SHINJUKU_SLICE }, { SHINJUKU_TIMER }, { BATCH_NICE },
	{ BATCH_NAME },	    { BATCH_CGROUP },	{ 0 },
};

static enum shinjuku_class class_of(const struct ghost_agent *a, const struct ghost_task *t)
{
	return thread_is_batch(a, t, 2) ? SHINJUKU_BATCH : SHINJUKU_LATENCY;
}

const struct ghost_policy policy_shinjuku_shenango = {
	.name = "shinjuku_shenango",
	.help = "as shinjuku, and batch threads get the CPUs that the others leave",
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
