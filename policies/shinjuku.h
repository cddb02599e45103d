/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One FIFO for all CPUs, kept by an agent that spins; or two, of which the
 * threads of the second have the CPUs that those of the first leave. A thread
 * that has had a slice makes room for one that waits, and goes to the end.
 * In: events of threads, their class, the time. Out: the next thread for each
 * CPU. The callbacks of shinjuku.c and shinjuku_shenango.c.
 *
 * Slices are microseconds long, and those of the kernel end at ticks: it is the
 * agent that ends them, by picking another thread for the CPU. Only if one waits:
 * the others need not even notice that their slice is over. Or timers do, one for
 * each turn, and the agent is left with those that have had theirs while nobody
 * waited.
 */
#ifndef GHOST_POLICIES_SHINJUKU_H
#define GHOST_POLICIES_SHINJUKU_H

#include "libghost/policy.h"
#define RUNQ_UNLOCKED
#include "policies/runq.h"

/* The better first. */
enum shinjuku_class {
	SHINJUKU_LATENCY,
	SHINJUKU_BATCH,
	SHINJUKU_NR_CLASSES
};

/* Of the policy that includes this: asked each time a thread comes to wait. */
static enum shinjuku_class class_of(const struct ghost_agent *a, const struct ghost_task *t);

/* The first parameters of each. */
#define SHINJUKU_SLICE                                         \
	"slice", GHOST_PARAM_NS, 30000, 1000, GHOST_SLICE_INF, \
		"a thread that has run for so long makes room for one that waits; inf: none does"
#define SHINJUKU_TIMER                      \
	"timer", GHOST_PARAM_BOOL, 0, 0, 1, \
		"a timer of the kernel tells when that is, instead of the agent's clock"

/* Batch is in no hurry: its slices are so many times longer, and cost fewer switches. */
#define SHINJUKU_BATCH_SLICES 32

struct shinjuku {
	struct runq waits[SHINJUKU_NR_CLASSES];
	struct runq runs[SHINJUKU_NR_CLASSES]; /* who was put on a CPU first is first */
	uint64_t over_ns[SHINJUKU_NR_CLASSES]; /* before that nobody's turn is over; 0: not known */
	uint64_t slice_ns[SHINJUKU_NR_CLASSES];
	bool timer;
};

struct shinjuku_task {
	struct runq_entry entry; /* first: the run queues know it by this */
	uint64_t turn_ends;	 /* when it has consumed so much, ns; 0: its turn is over */
	uint32_t cpu;		 /* where it was put */
	enum shinjuku_class class_;
};

static int shinjuku_init(struct ghost_agent *a, void *data)
{
	uint64_t slice = ghost_agent_param(a, 0);
	struct shinjuku *s = data;

	s->slice_ns[SHINJUKU_LATENCY] = slice;
	s->slice_ns[SHINJUKU_BATCH] = slice > GHOST_SLICE_INF / SHINJUKU_BATCH_SLICES ?
					      slice :
					      slice * SHINJUKU_BATCH_SLICES;
	s->timer = ghost_agent_param(a, 1);
	return 0;
}

/*
 * One that lost the CPU by no doing of its own goes on first, but only until its
 * turn is over: or whoever is interrupted often would never lose it.
 */
static void shinjuku_runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	struct shinjuku *s = ghost_agent_data(a);
	struct shinjuku_task *st = ghost_task_data(t);

	if (cause < GHOST_CAUSE_CLASS || ghost_task_runtime_ns(t) >= st->turn_ends)
		st->turn_ends = 0;
	st->class_ = class_of(a, t);
	runq_push(&s->waits[st->class_], t, &st->entry, st->turn_ends != 0);
}

static void shinjuku_blocked(struct ghost_agent *a, struct ghost_task *t)
{
	runq_remove(ghost_task_data(t));
}

static void shinjuku_gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	runq_remove(ghost_task_data(t));
}

/* Returns false when @t is not runnable any more. */
static bool shinjuku_run(struct ghost_agent *a, struct shinjuku *s, struct ghost_task *t,
			 uint32_t cpu)
{
	struct shinjuku_task *st = ghost_task_data(t);
	uint64_t slice = s->slice_ns[st->class_];

	/* If the agent should be late, the tick ends the slice. */
	if (s->timer ? !ghost_agent_pick_timed(a, cpu, t, slice) :
		       !ghost_agent_pick(a, cpu, t, slice))
		return false;
	if (!st->turn_ends)
		st->turn_ends = slice == GHOST_SLICE_INF ? slice : ghost_task_runtime_ns(t) + slice;
	st->cpu = cpu;
	runq_push(&s->runs[st->class_], t, &st->entry, false);
	return true;
}

/* The first of @class_ that waits and may run on @cpu does. Returns false when there is none. */
static bool shinjuku_displace(struct ghost_agent *a, struct shinjuku *s, uint32_t cpu,
			      enum shinjuku_class class_)
{
	struct ghost_task *t;

	while ((t = runq_pop(&s->waits[class_], cpu)))
		if (shinjuku_run(a, s, t, cpu))
			return true;
	return false;
}

/*
 * Those of @class_ that run make room: for better ones at once, for their own
 * after a slice; whoever has been there longest first.
 */
static void shinjuku_make_room(struct ghost_agent *a, struct shinjuku *s,
			       enum shinjuku_class class_)
{
	bool better = class_ > SHINJUKU_LATENCY && runq_len(&s->waits[SHINJUKU_LATENCY]);
	uint64_t slice, since, over_ns, now;
	struct runq_entry *e;
	bool stuck = false;
	uint32_t self;

	if (!runq_len(&s->runs[class_]) || (!better && !runq_len(&s->waits[class_])))
		return;
	now = ghost_agent_now_ns(a);
	/* Most rounds: all are busy, and have been looked at. */
	if (!better && now < s->over_ns[class_]) {
		ghost_agent_due(a, s->over_ns[class_]);
		return;
	}
	slice = s->slice_ns[class_];
	self = ghost_agent_cpu(a);
	/* A turn that a timer has not ended in time is one that it does not end. */
	if (s->timer && slice != GHOST_SLICE_INF)
		slice += slice / 4;
	TAILQ_FOREACH(e, &s->runs[class_].list, link) {
		struct shinjuku_task *st = (struct shinjuku_task *)e;

		better = better && runq_len(&s->waits[SHINJUKU_LATENCY]);
		if (!better && !runq_len(&s->waits[class_]))
			return;
		/* On its way there, or gone; or below the agent itself, which has come there. */
		if (ghost_agent_current(a, st->cpu) != e->task || st->cpu == self)
			continue;
		if (better && shinjuku_displace(a, s, st->cpu, SHINJUKU_LATENCY))
			continue;
		since = ghost_agent_current_since_ns(a, st->cpu);
		over_ns = slice == GHOST_SLICE_INF ? slice : since + slice;
		if (now < over_ns) {
			ghost_agent_due(a, over_ns);
			/* Those behind it came later; it, perhaps, after the clock was read. */
			if (since >= now || better)
				continue;
			s->over_ns[class_] = stuck ? 0 : over_ns;
			return;
		}
		if (shinjuku_displace(a, s, st->cpu, class_))
			st->turn_ends = 0;
		else /* until somebody waits who may run there */
			stuck = true;
	}
}

static void shinjuku_schedule(struct ghost_agent *a, uint32_t cpu)
{
	struct shinjuku *s = ghost_agent_data(a);
	const struct ghost_cpuset *cpus = ghost_agent_free_cpus(a);
	struct ghost_task *t;

	for (int class_ = 0; class_ < SHINJUKU_NR_CLASSES && ghost_agent_nr_free(a); class_++)
		while ((t = runq_pop_any(&s->waits[class_], cpus, &cpu)))
			shinjuku_run(a, s, t, cpu);
	for (int class_ = SHINJUKU_NR_CLASSES; class_--;)
		shinjuku_make_room(a, s, class_);
}

#endif
