// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Central FIFO: one agent, one queue, all CPUs. Threads run in the order in
 * which they became runnable, each for a slice.
 * In: events of threads. Out: the next thread for each CPU that idles.
 */
#include "policies/policies.h"
#include "policies/runq.h"

static const struct ghost_param params[] = {
	{ "slice", GHOST_PARAM_NS, 5000000, 10000, GHOST_SLICE_INF,
	  "run a thread for so long before the next one's turn; inf: until it blocks" },
	{ 0 },
};

/*
 * One that was to run and did not goes first. One that ran goes to the end,
 * also if it was interrupted: or it would keep the others waiting for ever
 * where interruptions come often.
 */
static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	runq_push(ghost_agent_data(a), t, ghost_task_data(t), cause > GHOST_CAUSE_CLASS);
}

static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	runq_remove(ghost_task_data(t));
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	struct ghost_cpuset cpus = *ghost_agent_free_cpus(a);
	struct runq *q = ghost_agent_data(a);
	struct ghost_task *t;

	while ((t = runq_pop_any(q, &cpus, &cpu)))
		if (ghost_agent_pick(a, cpu, t, ghost_agent_param(a, 0)))
			ghost_cpuset_del(&cpus, cpu);
}

const struct ghost_policy policy_fifo_central = {
	.name = "fifo_central",
	.help = "one FIFO with a time slice for all CPUs, kept by an agent that spins",
	.model = GHOST_CENTRAL,
	.size = sizeof(struct runq),
	.task_size = sizeof(struct runq_entry),
	.params = params,
	.task_runnable = runnable,
	.task_gone = gone,
	.schedule = schedule,
};
