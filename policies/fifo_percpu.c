// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Per-CPU FIFO: the tutorial. Each CPU runs its threads in the order in which
 * they became runnable; a CPU with nothing to do takes work from others.
 * In: events of threads. Out: the next thread for each CPU. See docs/policy.md.
 */
#include "policies/policies.h"
#include "policies/runq.h"

static const struct ghost_param params[] = {
	{ "slice", GHOST_PARAM_NS, 5000000, 10000, GHOST_SLICE_INF,
	  "run a thread for so long before the next one's turn; inf: until it blocks" },
	{ 0 },
};

/*
 * A thread waits where it ran last, if that CPU is ours or idle: its data is
 * still in the caches there. Otherwise here: we may have been woken to help a
 * busy CPU. One that lost the CPU by no doing of its own goes on first.
 */
static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	struct runq *q = ghost_agent_data(a);
	uint32_t cpu = ghost_task_cpu(t);

	if (!ghost_agent_cpu_idle(a, cpu))
		cpu = ghost_agent_cpu(a);
	cpu = ghost_agent_fit(a, t, cpu);
	if (cpu == GHOST_CPU_NONE)
		return;
	runq_push(&q[cpu], t, ghost_task_data(t), cause >= GHOST_CAUSE_CLASS);
	ghost_agent_wake(a, cpu);
}

static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	runq_remove(ghost_task_data(t));
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	struct runq *q = ghost_agent_data(a);
	struct ghost_task *t;
	uint32_t nr, i;
	const uint16_t *other = ghost_agent_neighbours(a, &nr);

	/* The own queue first, then those of the others, nearest first. */
	do {
		t = runq_pop(&q[cpu], cpu);
		for (i = 0; !t && i < nr; i++)
			t = runq_pop(&q[other[i]], cpu);
	} while (t && !ghost_agent_pick(a, cpu, t, ghost_agent_param(a, 0)));

	/* More here than one CPU can run: let the nearest idle one come and take it. */
	for (i = 0; i < nr && runq_len(&q[cpu]); i++)
		if (ghost_agent_cpu_idle(a, other[i]) && runq_has(&q[cpu], other[i]))
			return ghost_agent_wake(a, other[i]);
}

const struct ghost_policy policy_fifo_percpu = {
	.name = "fifo_percpu",
	.help = "per-CPU FIFO with a time slice and work stealing",
	.model = GHOST_PER_CPU,
	.size = GHOST_CPUS_MAX * sizeof(struct runq),
	.task_size = sizeof(struct runq_entry),
	.params = params,
	.task_runnable = runnable,
	.task_gone = gone,
	.schedule = schedule,
};
