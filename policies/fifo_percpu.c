// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Per-CPU FIFO: the tutorial. Each CPU runs its threads in the order in which
 * they became runnable; a CPU with nothing to do takes work from others.
 * In: events of threads. Out: the next thread for each CPU. See docs/policy.md.
 */
#include "policies/policies.h"
#include "policies/runq.h"

enum {
	SLICE
};

static const struct ghost_param params[] = {
	[SLICE] = { "slice", GHOST_PARAM_NS, 5000000, 10000, GHOST_SLICE_INF,
		    "run a thread for so long before the next one's turn; inf: until it blocks" },
	{ 0 },
};

/* All that is shared: one run queue per CPU. It locks inside. */
struct fifo {
	struct runq runq[GHOST_CPUS_MAX];
};

static int init(struct ghost_agent *a, void *data)
{
	struct fifo *f = data;

	for (int cpu = 0; cpu < GHOST_CPUS_MAX; cpu++)
		runq_init(&f->runq[cpu]);
	return 0;
}

static bool may_run(struct ghost_agent *a, struct ghost_task *t, uint32_t cpu)
{
	return ghost_cpuset_has(ghost_agent_cpus(a), cpu) && ghost_task_allowed(t, cpu);
}

/*
 * Where does it wait? Where it ran last, if that is here or idle; else here:
 * we may have been woken to help a busy CPU. Never where it may not run: if
 * that is everywhere, the kernel runs it outside, and tells when that changes.
 */
static uint32_t choose(struct ghost_agent *a, struct ghost_task *t)
{
	uint32_t here = ghost_agent_cpu(a), last = ghost_task_cpu(t);

	if (may_run(a, t, last) &&
	    (last == here || ghost_agent_cpu_idle(a, last) || !may_run(a, t, here)))
		return last;
	if (may_run(a, t, here))
		return here;
	ghost_cpuset_for_each(cpu, ghost_agent_cpus(a)) if (ghost_task_allowed(t, cpu)) return cpu;
	return GHOST_CPU_NONE;
}

static void place(struct ghost_agent *a, struct ghost_task *t, bool first)
{
	uint32_t cpu = choose(a, t);
	struct fifo *f = ghost_agent_data(a);

	if (cpu == GHOST_CPU_NONE)
		return;
	runq_push(&f->runq[cpu], t, ghost_task_data(t), first);
	ghost_agent_wake(a, cpu);
}

static void task_new(struct ghost_agent *a, struct ghost_task *t, bool runnable)
{
	if (runnable)
		place(a, t, false);
}

static void task_wakeup(struct ghost_agent *a, struct ghost_task *t)
{
	place(a, t, false);
}

/* A thread whose slice is used up goes to the end; one that was pushed aside goes on first. */
static void task_preempted(struct ghost_agent *a, struct ghost_task *t, uint32_t reason)
{
	place(a, t, reason != GHOST_PREEMPT_SLICE);
}

static void task_refused(struct ghost_agent *a, struct ghost_task *t, uint32_t state)
{
	place(a, t, true);
}

static void task_gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	runq_remove(ghost_task_data(t));
}

/* The own queue first, then those of the others, nearest first. */
static struct ghost_task *next(struct ghost_agent *a, uint32_t cpu)
{
	struct fifo *f = ghost_agent_data(a);
	struct ghost_task *t = runq_pop(&f->runq[cpu], cpu);
	uint32_t nr;
	const uint16_t *other = ghost_agent_neighbours(a, &nr);

	for (uint32_t i = 0; !t && i < nr; i++)
		t = runq_pop(&f->runq[other[i]], cpu);
	return t;
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	struct fifo *f = ghost_agent_data(a);
	struct ghost_task *t;
	uint32_t nr, asked = 0;
	const uint16_t *other = ghost_agent_neighbours(a, &nr);

	while ((t = next(a, cpu)) && !ghost_agent_pick(a, cpu, t, ghost_agent_param(a, SLICE)))
		;
	/*
	 * More here than one CPU can run: let an idle one come and take it, the
	 * nearest that may. Not all are asked: most may, and this is a hot path.
	 */
	for (uint32_t i = 0; i < nr && asked < 4 && runq_len(&f->runq[cpu]); i++) {
		if (!ghost_agent_cpu_idle(a, other[i]))
			continue;
		if (runq_has(&f->runq[cpu], other[i]))
			return ghost_agent_wake(a, other[i]);
		asked++;
	}
}

const struct ghost_policy policy_fifo_percpu = {
	.name = "fifo_percpu",
	.help = "per-CPU FIFO with a time slice and work stealing",
	.model = GHOST_PER_CPU,
	.size = sizeof(struct fifo),
	.task_size = sizeof(struct runq_entry),
	.params = params,
	.init = init,
	.task_new = task_new,
	.task_wakeup = task_wakeup,
	.task_preempted = task_preempted,
	.task_yield = task_wakeup,
	.task_affinity = task_new,
	.task_refused = task_refused,
	.task_gone = task_gone,
	.schedule = schedule,
};
