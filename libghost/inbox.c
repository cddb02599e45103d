// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What agents know of threads: from messages, and, where those were lost or
 * are not for them, from the status table.
 * In: messages, the table. Out: callbacks of the policy. For percpu.c and
 * central.c.
 */
#include "libghost/loop.h"

/* The only CPU of the enclave where @t can run, or GHOST_CPU_NONE: there are several, or none. */
static uint32_t only_cpu(const struct ghost_agents *all, const struct ghost_task *t)
{
	uint32_t only = GHOST_CPU_NONE, cpu = ghost_task_cpu(t);

	if (t->bound)
		return cpu < all->mem->nr_cpus && all->by_cpu[cpu] ? cpu : GHOST_CPU_NONE;
	for (int w = 0; w < GHOST_CPU_WORDS; w++) {
		uint64_t both = all->cpus.word[w];

		if (both)
			both &= __atomic_load_n(&t->status->cpus[w], __ATOMIC_RELAXED);
		if (!both)
			continue;
		if (only != GHOST_CPU_NONE || both & (both - 1))
			return GHOST_CPU_NONE;
		only = w * 64 + __builtin_ctzll(both);
	}
	return only;
}

void inbox_taken(struct ghost_agent *a, struct ghost_task *t)
{
	a->all->nr_waiting -= t->waits;
	t->waits = false;
	if (t->only)
		a->all->by_cpu[t->only - 1]->nr_only--;
	t->only = 0;
}

/* Where can @t run, if in one place only? An agent that spins there will have to make room. */
static void task_waits_for(struct ghost_agent *a, struct ghost_task *t)
{
	uint32_t cpu = only_cpu(a->all, t);

	inbox_taken(a, t);
	t->waits = true;
	a->all->nr_waiting++;
	if (cpu == GHOST_CPU_NONE)
		return;
	t->only = cpu + 1;
	a->all->by_cpu[cpu]->nr_only++;
}

/* It is not on the CPU any more where it was put. */
static void task_left(struct ghost_agent *a, struct ghost_task *t)
{
	struct ghost_agent *there = t->on ? a->all->by_cpu[t->on - 1] : NULL;

	if (there && there->current == t)
		there->current = NULL;
	t->on = 0;
	inbox_taken(a, t);
}

static void task_forget(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	const struct ghost_policy *p = a->all->policy;

	task_left(a, t);
	if (t->state == TASK_UNKNOWN)
		return;
	t->state = TASK_UNKNOWN;
	if (p->task_gone)
		p->task_gone(a, t, dead);
}

/* @t is the policy's to pick. */
static void task_waits(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	const struct ghost_policy *p = a->all->policy;

	task_left(a, t);
	if (a->all->central)
		task_waits_for(a, t);
	t->state = TASK_RUNNABLE;
	if (p->task_runnable)
		p->task_runnable(a, t, cause);
}

static void task_sleeps(struct ghost_agent *a, struct ghost_task *t)
{
	const struct ghost_policy *p = a->all->policy;

	task_left(a, t);
	t->state = TASK_BLOCKED;
	if (p->task_blocked)
		p->task_blocked(a, t);
}

/* @t's slot holds thread @gtid now; tell the policy if that is news. */
static void task_meet(struct ghost_agent *a, struct ghost_task *t, uint32_t slot, uint64_t gtid,
		      bool runnable)
{
	const struct ghost_policy *p = a->all->policy;

	task_forget(a, t, true);
	task_reset(&a->all->tasks, t, slot, gtid);
	if (p->task_new)
		p->task_new(a, t);
	if (runnable)
		task_waits(a, t, GHOST_CAUSE_NEW);
}

/*
 * Its affinity or priority changed. If it was picked meanwhile, that pick is
 * stale by now and nobody else will say so: it is the policy's again.
 */
static void task_changed(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	const struct ghost_policy *p = a->all->policy;
	uint64_t word = __atomic_load_n(&t->status->word, __ATOMIC_RELAXED);

	if (p->task_changed)
		p->task_changed(a, t, cause);
	if (t->state == TASK_RUNNABLE ||
	    (t->state == TASK_PICKED && ghost_status_flags(word) & GHOST_STATUS_RUNNABLE))
		task_waits(a, t, cause);
}

static enum ghost_cause preempt_cause(uint32_t reason)
{
	switch (reason) {
	case GHOST_PREEMPT_CLASS:
		return GHOST_CAUSE_CLASS;
	case GHOST_PREEMPT_LATCH:
		return GHOST_CAUSE_LATCH;
	case GHOST_PREEMPT_KICK:
	case GHOST_PREEMPT_COMMIT:
		return GHOST_CAUSE_KICK;
	default:
		return GHOST_CAUSE_SLICE;
	}
}

static void handle_locked(struct ghost_agent *a, struct ghost_task *t, const struct ghost_msg *m)
{
	bool known = t->state != TASK_UNKNOWN && t->gtid == m->gtid;
	bool gone = m->type == GHOST_MSG_TASK_DEAD || m->type == GHOST_MSG_TASK_DEPARTED;

	/* A rebuild from the status table may have been ahead of the queue. */
	if (t->gtid && (int32_t)((m->gtid >> 32) - (t->gtid >> 32)) < 0)
		return;
	if (t->gtid == m->gtid && (int32_t)(m->seq - t->seq) <= 0)
		return;
	if (!known) {
		if (gone) {
			task_forget(a, t, true);
			t->gtid = m->gtid;
			t->seq = m->seq;
			return;
		}
		t->seq = m->seq;
		task_meet(a, t, m->slot, m->gtid,
			  m->type == GHOST_MSG_TASK_NEW && m->flags & GHOST_MSG_RUNNABLE);
	}
	t->seq = m->seq;
	t->bound = false;
	switch (m->type) {
	case GHOST_MSG_TASK_WAKEUP:
		task_waits(a, t, GHOST_CAUSE_WAKEUP);
		break;
	case GHOST_MSG_TASK_PREEMPT:
		task_waits(a, t, preempt_cause(m->reason));
		break;
	case GHOST_MSG_TASK_YIELD:
		task_waits(a, t, GHOST_CAUSE_YIELD);
		break;
	case GHOST_MSG_TASK_BLOCKED:
		task_sleeps(a, t);
		break;
	case GHOST_MSG_TASK_AFFINITY_CHANGED:
		task_changed(a, t, GHOST_CAUSE_AFFINITY);
		break;
	case GHOST_MSG_TASK_PRIORITY_CHANGED:
		task_changed(a, t, GHOST_CAUSE_PRIORITY);
		break;
	case GHOST_MSG_TASK_DEAD:
	case GHOST_MSG_TASK_DEPARTED:
		task_forget(a, t, m->type == GHOST_MSG_TASK_DEAD);
		break;
	default:
		/* Newer than this library: its number is taken note of, nothing else. */
		break;
	}
}

void inbox_handle(struct ghost_agent *a, const struct ghost_msg *m)
{
	const struct ghost_policy *p = a->all->policy;
	struct ghost_task *t;

	if (m->type >= GHOST_MSG_CPU_TICK) {
		if (p->cpu_event)
			p->cpu_event(a, m);
		return;
	}
	/* Whoever wrote the pick has looked at its state. */
	if (m->type == GHOST_MSG_TASK_LATCH_FAILURE)
		return;
	t = task_at(&a->all->tasks, m->slot);
	if (!t)
		return;
	task_lock(a->all, t);
	handle_locked(a, t, m);
	task_unlock(a->all, t);
}

/* Number, flags and owner of one slot, as of one moment. */
static uint64_t status_read(const struct ghost_status *st, uint64_t *ret_gtid)
{
	uint64_t word;

	do {
		word = ghost_load_acquire(&st->word);
		*ret_gtid = ghost_load_acquire(&st->gtid);
	} while (ghost_load_acquire(&st->word) != word);
	return word;
}

/*
 * Whose queue gets the messages of a thread: its own; or, if agents before us
 * made that one and it is gone, the one that core/msg.h will give it.
 */
static uint32_t home_of(const struct ghost_agents *all, const struct ghost_status *st)
{
	uint32_t queue = __atomic_load_n(&st->queue, __ATOMIC_RELAXED);
	uint32_t cpu = __atomic_load_n(&st->cpu, __ATOMIC_RELAXED);

	if (queue < all->mem->nr_queues && all->mem->cpu[queue].queue.len)
		return queue;
	return cpu < all->mem->nr_cpus && all->by_cpu[cpu] ? cpu : all->agent[0].cpu;
}

/* Bring what we know of one slot up to what the status table says. */
static void rebuild_slot(struct ghost_agent *a, uint32_t slot, uint32_t queue)
{
	const struct ghost_status *st = &a->all->mem->status[slot];
	struct ghost_task *t = task_at(&a->all->tasks, slot);
	uint32_t flags, seq;
	uint64_t word, gtid;
	bool runnable;

	if (!t || (queue != GHOST_QUEUE_NONE && home_of(a->all, st) != queue))
		return;
	task_lock(a->all, t);
	/* Under the lock: what another agent has handled by now is not older than this. */
	word = status_read(st, &gtid);
	flags = ghost_status_flags(word);
	seq = ghost_status_seq(word);
	runnable = flags & GHOST_STATUS_RUNNABLE;
	if (!(flags & GHOST_STATUS_INUSE)) {
		if (t->state != TASK_UNKNOWN && (int32_t)(seq - t->seq) > 0) {
			t->seq = seq;
			task_forget(a, t, true);
		}
	} else if (flags & GHOST_STATUS_NEW) {
		/* Its TASK_NEW is still to come. */
	} else if (t->gtid != gtid || t->state == TASK_UNKNOWN) {
		t->seq = seq;
		task_meet(a, t, slot, gtid, runnable);
	} else if ((int32_t)(seq - t->seq) >= 0) {
		/*
		 * With equal numbers as well: a later message may have got
		 * through where the one that made it runnable did not.
		 */
		bool news = seq != t->seq;

		t->seq = seq;
		t->bound = false;
		if (runnable && (t->state == TASK_BLOCKED || (news && t->state == TASK_PICKED)))
			task_waits(a, t, GHOST_CAUSE_WAKEUP);
		else if (!runnable && news && t->state == TASK_RUNNABLE)
			task_sleeps(a, t);
		else if (!runnable && news) {
			if (!(flags & GHOST_STATUS_ONCPU))
				task_left(a, t);
			t->state = TASK_BLOCKED;
		}
	}
	task_unlock(a->all, t);
}

void inbox_rebuild(struct ghost_agent *a, uint32_t queue)
{
	uint32_t nr = __atomic_load_n(&a->all->status->nr_slots, __ATOMIC_RELAXED);

	for (uint32_t slot = 1; slot < nr && slot < a->all->mem->capacity; slot++) {
		rebuild_slot(a, slot, queue);
		step(a, GHOST_STEP_SLOT);
	}
}

bool inbox_back(struct ghost_agent *a, struct ghost_task *t, uint32_t seq)
{
	bool back;

	task_lock(a->all, t);
	back = t->state == TASK_PICKED && t->seq == seq;
	if (back) {
		task_waits_for(a, t);
		t->state = TASK_RUNNABLE;
	}
	task_unlock(a->all, t);
	return back;
}

void inbox_refused(struct ghost_agent *a, struct ghost_task *t, uint32_t seq, uint32_t state)
{
	task_lock(a->all, t);
	/* If a message was handled meanwhile, the policy has heard of it there. */
	if (t->state == TASK_PICKED && t->seq == seq) {
		switch (state) {
		case GHOST_TXN_TASK_STALE:
		case GHOST_TXN_NOT_FOUND:
		case GHOST_TXN_NOT_RUNNABLE:
		case GHOST_TXN_ON_CPU:
			/* A message is on its way that says so. */
			break;
		default:
			/* Refused where it was bound to: then that is not the reason. */
			t->bound = state == GHOST_TXN_NOT_ALLOWED && !t->bound;
			task_waits(a, t, GHOST_CAUSE_REFUSED);
		}
	}
	task_unlock(a->all, t);
}
