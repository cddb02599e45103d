// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Central FIFO: one agent, one queue, all CPUs. Threads run in the order in
 * which they became runnable, each for a slice.
 * In: events of threads. Out: the next thread for each CPU that idles.
 */
#include "policies/policies.h"
#define RUNQ_UNLOCKED
#include "policies/runq.h"

static const struct ghost_param params[] = {
	{ "slice", GHOST_PARAM_NS, 5000000, 10000, GHOST_SLICE_INF,
	  "run a thread for so long before the next one's turn; inf: until it blocks" },
	{ "ahead", GHOST_PARAM_BOOL, 0, 0, 1,
	  "write down the next thread for each CPU that is busy: it takes it without asking" },
	{ 0 },
};

struct fifo {
	struct runq q;
	uint64_t nr; /* threads queued so far */
};

struct fifo_task {
	struct runq_entry entry; /* first: the run queue knows it by this */
	uint64_t order;		 /* the smaller, the longer it waits */
};

/*
 * One that was to run and did not goes first. One that ran goes to the end,
 * also if it was interrupted: or it would keep the others waiting for ever
 * where interruptions come often.
 */
static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	struct fifo *f = ghost_agent_data(a);
	struct fifo_task *ft = ghost_task_data(t);

	if (cause <= GHOST_CAUSE_CLASS)
		ft->order = ++f->nr;
	runq_push(&f->q, t, &ft->entry, cause > GHOST_CAUSE_CLASS);
}

static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	runq_remove(ghost_task_data(t));
}

static bool fits(const struct ghost_task *t, const struct ghost_cpuset *cpus)
{
	ghost_cpuset_for_each(cpu, cpus) if (ghost_task_allowed(t, cpu)) return true;
	return false;
}

/*
 * A CPU is free, and those who are written down for busy ones have waited
 * longest: the first of them that may run there goes back to the head of the
 * queue. Returns false when there is none.
 */
static bool take_back(struct ghost_agent *a, struct fifo *f, const struct ghost_cpuset *cpus)
{
	const struct ghost_cpuset *staged = ghost_agent_staged_cpus(a);
	uint64_t oldest = UINT64_MAX;
	struct fifo_task *ft;
	struct ghost_task *t;
	uint32_t from = 0;

	ghost_cpuset_for_each(cpu, staged)
	{
		t = ghost_agent_staged(a, cpu);
		ft = ghost_task_data(t);
		if (ft->order >= oldest || !fits(t, cpus))
			continue;
		oldest = ft->order;
		from = cpu;
	}
	t = oldest == UINT64_MAX ? NULL : ghost_agent_unstage(a, from);
	if (!t)
		return false;
	ft = ghost_task_data(t);
	runq_push(&f->q, t, &ft->entry, true);
	return true;
}

/* Busy CPUs get their next thread ahead, one each. */
static void write_ahead(struct ghost_agent *a, struct fifo *f)
{
	const struct ghost_cpuset *all = ghost_agent_cpus(a), *staged = ghost_agent_staged_cpus(a);
	struct ghost_task *t;

	ghost_cpuset_for_each(cpu, all)
	{
		if (!runq_len(&f->q))
			return;
		if (ghost_cpuset_has(staged, cpu) || !ghost_agent_current(a, cpu))
			continue;
		t = runq_pop(&f->q, cpu);
		if (t && !ghost_agent_stage(a, cpu, t, ghost_agent_param(a, 0)))
			runq_push(&f->q, t, ghost_task_data(t), true);
	}
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	const struct ghost_cpuset *cpus = ghost_agent_free_cpus(a);
	struct fifo *f = ghost_agent_data(a);
	struct ghost_task *t;

	ghost_cpuset_for_each(idle, cpus) if (!take_back(a, f, cpus)) break;
	while ((t = runq_pop_any(&f->q, cpus, &cpu)))
		ghost_agent_pick(a, cpu, t, ghost_agent_param(a, 0));
	if (ghost_agent_param(a, 1))
		write_ahead(a, f);
}

const struct ghost_policy policy_fifo_central = {
	.name = "fifo_central",
	.help = "one FIFO with a time slice for all CPUs, kept by an agent that spins",
	.model = GHOST_CENTRAL,
	.size = sizeof(struct fifo),
	.task_size = sizeof(struct fifo_task),
	.params = params,
	.task_runnable = runnable,
	.task_gone = gone,
	.schedule = schedule,
};
