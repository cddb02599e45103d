// SPDX-License-Identifier: GPL-2.0-only
/*
 * The notebook: an array, filled by all agents.
 * In: callbacks. Out: stdout. Implements recorder.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policies/policies.h"
#include "tests/validate/recorder.h"

const struct scenario scenarios[] = {
	{ "pingpong", 2, true },
	{ "hogs", 8, false },
	{ 0 },
};

#define LINES_MAX 100000

static struct line {
	uint32_t cpu;
	uint32_t tid;
	uint32_t cause;
	uint64_t runtime_ns;
} lines[LINES_MAX];
static uint32_t nr_lines;

static const struct ghost_policy *inner;
static struct ghost_policy recorder;

static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	uint32_t i = __atomic_fetch_add(&nr_lines, 1, __ATOMIC_RELAXED);

	if (i < LINES_MAX)
		lines[i] = (struct line){ ghost_agent_cpu(a), ghost_task_tid(t), cause,
					  ghost_task_runtime_ns(t) };
	inner->task_runnable(a, t, cause);
}

const struct ghost_policy *recorder_policy(void)
{
	inner = policies_find("fifo_percpu");
	recorder = *inner;
	recorder.task_runnable = runnable;
	nr_lines = 0;
	return &recorder;
}

void recorder_print(const struct scenario *s, const uint32_t *tids,
		    const struct ghost_enclave_counts *counts)
{
	static const char *const causes[] = { "new",	  "wakeup", "yield", "slice", "affinity",
					      "priority", "class",  "latch", "kick",  "refused" };

	printf("scenario %s\n", s->name);
	printf("messages %" PRIu64 "\n", counts->nr_msgs);
	printf("commits %" PRIu64 "\n", counts->nr_txn[GHOST_TXN_COMMITTED]);
	for (uint32_t i = 0; i < nr_lines && i < LINES_MAX; i++)
		for (uint32_t k = 0; k < s->threads; k++)
			if (tids[k] == lines[i].tid)
				printf("waits %u %u %s %" PRIu64 "\n", lines[i].cpu, k,
				       causes[lines[i].cause], lines[i].runtime_ns);
}
