/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Run queues: FIFO order, shared between agents, locked inside.
 * In: runnable threads. Out: the next one. For the files beside it.
 *
 * A thread is in at most one run queue: its policy embeds a struct runq_entry
 * in the thread's data. Zeroed memory is an empty run queue.
 *
 * Central policies define RUNQ_UNLOCKED before they include this: their callbacks
 * come one at a time, and a lock that nobody else wants still costs as much as
 * all the rest of a queue.
 */
#ifndef GHOST_POLICIES_RUNQ_H
#define GHOST_POLICIES_RUNQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "libghost/barrier.h"
#include "libghost/policy.h"

struct runq_entry {
	TAILQ_ENTRY(runq_entry) link;
	struct runq *on; /* the queue it is in, or NULL; changed under that queue's lock */
	struct ghost_task *task;
};

TAILQ_HEAD(runq_list, runq_entry);

struct runq {
	struct ghost_lock lock;
	uint32_t len; /* read without the lock as a hint */
	struct runq_list list;
} __attribute__((aligned(64)));

static inline void runq_lock(struct runq *q)
{
#ifndef RUNQ_UNLOCKED
	ghost_lock(&q->lock);
#endif
}

static inline void runq_unlock(struct runq *q)
{
#ifndef RUNQ_UNLOCKED
	ghost_unlock(&q->lock);
#endif
}

static inline uint32_t runq_len(const struct runq *q)
{
	return __atomic_load_n(&q->len, __ATOMIC_RELAXED);
}

static inline void runq_unlink(struct runq *q, struct runq_entry *e)
{
	TAILQ_REMOVE(&q->list, e, link);
	__atomic_store_n(&q->len, q->len - 1, __ATOMIC_RELAXED);
	__atomic_store_n(&e->on, NULL, __ATOMIC_RELEASE);
}

/* Take @e out of whatever queue it is in. */
static inline void runq_remove(struct runq_entry *e)
{
	struct runq *q;

	/* Another agent may pop it between the look and the lock. */
	while ((q = __atomic_load_n(&e->on, __ATOMIC_ACQUIRE))) {
		runq_lock(q);
		if (e->on == q)
			runq_unlink(q, e);
		runq_unlock(q);
	}
}

/* Put @t, whose entry is @e, at the end of @q, or first. */
static inline void runq_push(struct runq *q, struct ghost_task *t, struct runq_entry *e, bool first)
{
	runq_remove(e);
	e->task = t;
	runq_lock(q);
	if (TAILQ_EMPTY(&q->list))
		TAILQ_INIT(&q->list);
	if (first)
		TAILQ_INSERT_HEAD(&q->list, e, link);
	else
		TAILQ_INSERT_TAIL(&q->list, e, link);
	__atomic_store_n(&q->len, q->len + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&e->on, q, __ATOMIC_RELEASE);
	runq_unlock(q);
}

/*
 * Would runq_pop() find something for @cpu? For deciding whom to call for help:
 * looks at the first few only, as it may be asked about many CPUs in a row.
 */
static inline bool runq_has(struct runq *q, uint32_t cpu)
{
	struct runq_entry *e;
	int looks = 8;

	if (!runq_len(q))
		return false;
	runq_lock(q);
	TAILQ_FOREACH(e, &q->list, link)
		if (!looks-- || ghost_task_allowed(e->task, cpu))
			break;
	runq_unlock(q);
	return e && looks >= 0;
}

/* The first thread that may run on @cpu, or NULL. */
static inline struct ghost_task *runq_pop(struct runq *q, uint32_t cpu)
{
	struct ghost_task *t = NULL;
	struct runq_entry *e;

	if (!runq_len(q))
		return NULL;
	runq_lock(q);
	TAILQ_FOREACH(e, &q->list, link)
		if (ghost_task_allowed(e->task, cpu))
			break;
	if (e) {
		t = e->task;
		runq_unlink(q, e);
	}
	runq_unlock(q);
	return t;
}

/*
 * The first thread that may run on one of @cpus, and on which: where it ran
 * last, if that is one of them. NULL if there is none.
 */
static inline struct ghost_task *runq_pop_any(struct runq *q, const struct ghost_cpuset *cpus,
					      uint32_t *ret_cpu)
{
	struct ghost_task *t = NULL;
	struct runq_entry *e;
	int cpu = -1;

	if (!runq_len(q) || ghost_cpuset_empty(cpus))
		return NULL;
	runq_lock(q);
	TAILQ_FOREACH(e, &q->list, link) {
		cpu = ghost_task_cpu(e->task);
		if (!ghost_cpuset_has(cpus, cpu) || !ghost_task_allowed(e->task, cpu)) {
			cpu = ghost_cpuset_next(cpus, 0);
			while (cpu >= 0 && !ghost_task_allowed(e->task, cpu))
				cpu = ghost_cpuset_next(cpus, cpu + 1);
		}
		if (cpu >= 0)
			break;
	}
	if (e) {
		t = e->task;
		*ret_cpu = cpu;
		runq_unlink(q, e);
	}
	runq_unlock(q);
	return t;
}

#endif
