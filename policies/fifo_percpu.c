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

struct fifo_task {
	struct runq_entry entry; /* first: the run queues know it by this */
	uint64_t turn_ends;	 /* when it has consumed so much, ns; 0: its turn is over */
};

/*
 * A thread waits where it ran last, if that CPU is ours or idle: its data is
 * still in the caches there. Otherwise here: we may have been woken to help a
 * busy CPU. One that lost the CPU by no doing of its own goes on first, but only
 * until its turn is over: or whoever is interrupted often would never lose it.
 */
static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	struct runq *q = ghost_agent_data(a);
	struct fifo_task *f = ghost_task_data(t);
	uint32_t cpu = ghost_task_cpu(t);

	if (cause < GHOST_CAUSE_CLASS || ghost_task_runtime_ns(t) >= f->turn_ends)
		f->turn_ends = 0;
	if (!ghost_agent_cpu_idle(a, cpu))
		cpu = ghost_agent_cpu(a);
	cpu = ghost_agent_fit(a, t, cpu);
	if (cpu == GHOST_CPU_NONE)
		return;
	runq_push(&q[cpu], t, &f->entry, f->turn_ends != 0);
	ghost_agent_wake(a, cpu);
}

static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	runq_remove(ghost_task_data(t));
}

/* What is left of its turn, or a new one. */
static uint64_t turn(struct ghost_agent *a, struct ghost_task *t)
{
	struct fifo_task *f = ghost_task_data(t);
	uint64_t slice = ghost_agent_param(a, 0), runtime = ghost_task_runtime_ns(t);

	if (!f->turn_ends)
		f->turn_ends = slice == GHOST_SLICE_INF ? slice : runtime + slice;
	return slice == GHOST_SLICE_INF ? slice : f->turn_ends - runtime;
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
	} while (t && !ghost_agent_pick(a, cpu, t, turn(a, t)));

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
	.task_size = sizeof(struct fifo_task),
	.params = params,
	.task_runnable = runnable,
	.task_gone = gone,
	.schedule = schedule,
};
