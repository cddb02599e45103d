// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Speed of light: the least that a central policy can do and still keep the
 * contract. It shows what the mechanism costs, and is a yardstick for others.
 * In: events of threads. Out: the thread that waits longest, for each CPU that
 * idles.
 */
#include <sys/queue.h>

#include "policies/policies.h"

/* Long enough to cost nothing, short enough that nobody waits for ever. */
#define SLICE_NS 20000000

struct sol_task {
	STAILQ_ENTRY(sol_task) link;
	struct ghost_task *task;
	bool waits;
};

STAILQ_HEAD(sol, sol_task);

static int init(struct ghost_agent *a, void *data)
{
	STAILQ_INIT((struct sol *)data);
	return 0;
}

static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	struct sol_task *s = ghost_task_data(t);

	if (s->waits)
		return;
	s->task = t;
	s->waits = true;
	STAILQ_INSERT_TAIL((struct sol *)ghost_agent_data(a), s, link);
}

/* Seldom in the queue: who ends has run, and who waits is not looked at twice. */
static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	struct sol_task *s = ghost_task_data(t);

	if (s->waits)
		STAILQ_REMOVE((struct sol *)ghost_agent_data(a), s, sol_task, link);
	s->waits = false;
}

static void schedule(struct ghost_agent *a, uint32_t self)
{
	const struct ghost_cpuset *cpus = ghost_agent_free_cpus(a);
	struct sol *sol = ghost_agent_data(a);
	struct sol_task *s, *next;

	/* No search for a better CPU: the first that is free and may be had. */
	ghost_cpuset_for_each(cpu, cpus)
	{
		for (s = STAILQ_FIRST(sol); s; s = next) {
			next = STAILQ_NEXT(s, link);
			if (!ghost_task_allowed(s->task, cpu))
				continue;
			STAILQ_REMOVE(sol, s, sol_task, link);
			s->waits = false;
			if (ghost_agent_pick(a, cpu, s->task, SLICE_NS))
				break;
		}
	}
}

const struct ghost_policy policy_sol = {
	.name = "sol",
	.help = "speed of light: the leanest central loop, to measure against",
	.model = GHOST_CENTRAL,
	.size = sizeof(struct sol),
	.task_size = sizeof(struct sol_task),
	.init = init,
	.task_runnable = runnable,
	.task_gone = gone,
	.schedule = schedule,
};
