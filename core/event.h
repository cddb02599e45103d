/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to threads: the state machine of core_task, one function per
 * kernel event.
 * In: events, in the order the kernel makes them, under the thread's
 * run-queue lock. Out: messages, status words, and where the thread waits.
 * Called by the ops, by the simulator and by tests.
 */
#ifndef GHOST_CORE_EVENT_H
#define GHOST_CORE_EVENT_H

#include "core/agent.h"
#include "core/msg.h"
#include "core/slots.h"

/* Where a runnable thread waits. */
enum event_verdict {
	EVENT_CUSTODY,	/* parked until an agent commits it */
	EVENT_FALLBACK, /* the enclave's own FIFO, run without an agent */
	EVENT_GLOBAL,	/* no CPU of the enclave may run it: any CPU */
};

/* Why a thread is enqueued, as far as the kernel tells (bpf: ops.enqueue). */
enum event_cause {
	EVENT_WAKEUP,
	EVENT_SLICE,   /* its slice is used up, or it was kicked off */
	EVENT_CLASS,   /* a higher class took the CPU while it ran */
	EVENT_LATCH,   /* it was committed and lost the CPU before it ran */
	EVENT_RESTORE, /* it was taken off the queue and put back unchanged */
};

static int task_outside(const struct ghost_status *st, const struct core_enclave *e)
{
	int i;

	for (i = 0; i < GHOST_CPU_WORDS; i++)
		if (st->cpus[i] & e->cpus[i])
			return 0;
	return 1;
}

static int cpu_in(const __u64 *cpus, __u32 cpu)
{
	return cpu < GHOST_CPUS_MAX && (cpus[(cpu / 64) % GHOST_CPU_WORDS] >> (cpu % 64) & 1);
}

/*
 * The queue for a thread that joins. A slot keeps the queue of its previous
 * user where possible: then that one's last messages and this one's first
 * stay in order. Otherwise the enclave's CPUs take turns.
 */
static __u32 event_first_queue(const struct core_task *t, struct core_enclave *e, __u32 enclave)
{
	__u32 cpu, i, w;
	__u64 word;

	if (t->enclave == enclave && cpu_in(e->cpus, t->queue))
		return t->queue;
	cpu = e->next_cpu % GHOST_CPUS_MAX;
	/* The first CPU of the enclave at or after @cpu, wrapping once. */
	for (i = 0; i <= GHOST_CPU_WORDS; i++) {
		w = (cpu / 64 + i) % GHOST_CPU_WORDS;
		word = e->cpus[w];
		if (i == 0)
			word &= ~0ull << (cpu % 64);
		if (word) {
			cpu = w * 64 + __builtin_ctzll(word);
			e->next_cpu = cpu + 1;
			return cpu;
		}
	}
	return 0;
}

/*
 * A thread joins @enclave in @slot (from slots_take()); @tid is its thread
 * id. The caller then fills the rest of the status record (names, affinity)
 * and calls event_task_bound().
 */
static int event_task_join(__u32 slot, __u32 enclave, __u32 tid)
{
	struct core_task *t = port_task(slot);
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_status *st = port_status(enclave, slot);
	struct core_slots *s = port_slots();

	if (!t || !e || !st || !s)
		return -1;
	t->queue = event_first_queue(t, e, enclave);
	t->enclave = enclave;
	t->state = CORE_TASK_NEW;
	t->flags = 0;
	t->tid = tid;
	t->cpu = t->queue;
	t->gtid = (__u64)port_fetch_add(&s->next_gen, 1) << 32 | tid;
	t->seq++;
	st->gtid = t->gtid;
	st->tid = tid;
	st->cpu = t->cpu;
	st->runtime_ns = 0;
	st->switch_ns = 0;
	port_fetch_add(&e->nr_tasks, 1);
	return 0;
}

/* The status record is filled. @runnable: an enqueue follows and makes TASK_NEW. */
static void event_task_bound(__u32 slot, int enqueue_follows)
{
	struct core_task *t = port_task(slot);
	struct ghost_enclave_status *es;
	struct ghost_msg m = { .type = GHOST_MSG_TASK_NEW };
	struct core_slots *s = port_slots();
	struct ghost_status *st;

	if (!t || !s)
		return;
	es = port_enclave_status(t->enclave);
	st = port_status(t->enclave, slot);
	if (!es || !st)
		return;
	es->nr_slots = s->used;
	m.nice = st->nice;
	m.cpu = t->cpu;
	if (enqueue_follows) {
		status_publish(t, slot);
		return;
	}
	t->state = CORE_TASK_BLOCKED;
	msg_send(t, slot, &m);
}

static int event_reason(int cause)
{
	if (cause == EVENT_CLASS)
		return GHOST_PREEMPT_CLASS;
	if (cause == EVENT_LATCH)
		return GHOST_PREEMPT_LATCH;
	if (cause == EVENT_RESTORE)
		return GHOST_PREEMPT_KICK;
	return GHOST_PREEMPT_SLICE;
}

/*
 * The thread in @slot is runnable and must wait somewhere; @here is the CPU
 * of its run queue. Makes TASK_NEW, TASK_WAKEUP, TASK_YIELD or TASK_PREEMPT,
 * whichever the state asks for. The message is visible before the thread has
 * reached its place: a commit that comes in between finds GHOST_TXN_AGAIN.
 */
static int event_task_enqueue(__u32 slot, int cause, __u32 here)
{
	struct core_task *t = port_task(slot);
	struct ghost_msg m = { .cpu = here };
	const struct core_enclave *e;
	struct ghost_status *st;
	__u32 before;
	int verdict;

	if (!t)
		return EVENT_GLOBAL;
	e = port_enclave(t->enclave);
	st = port_status(t->enclave, slot);
	if (!e || !st)
		return EVENT_GLOBAL;

	before = t->state;
	if (task_outside(st, e))
		verdict = EVENT_GLOBAL;
	else if (port_load_acquire(&e->state) == GHOST_ENCLAVE_ONLINE)
		verdict = EVENT_CUSTODY;
	else
		verdict = EVENT_FALLBACK;

	t->custody_ns = port_now_ns();
	t->state = verdict == EVENT_CUSTODY ? CORE_TASK_CUSTODY : CORE_TASK_FALLBACK;

	switch (before) {
	case CORE_TASK_NEW:
		m.type = GHOST_MSG_TASK_NEW;
		m.nice = st->nice;
		m.flags = verdict == EVENT_CUSTODY ? GHOST_MSG_RUNNABLE : 0;
		break;
	case CORE_TASK_BLOCKED:
		m.type = GHOST_MSG_TASK_WAKEUP;
		m.cpu = t->cpu;
		break;
	case CORE_TASK_CUSTODY:
		/*
		 * Taken out and put back (affinity or priority changed, or
		 * moved to another run queue): the change itself made the
		 * message, if there is anything to tell.
		 */
		if (verdict == EVENT_CUSTODY) {
			agent_wake(t->enclave, t->queue, slot, GHOST_CPU_NONE);
			return verdict;
		}
		t->seq++;
		status_publish(t, slot);
		return verdict;
	default:
		if (t->flags & CORE_TASK_YIELDED) {
			m.type = GHOST_MSG_TASK_YIELD;
		} else {
			m.type = GHOST_MSG_TASK_PREEMPT;
			m.reason = before == CORE_TASK_LATCHED ? (__u32)GHOST_PREEMPT_LATCH :
								 (__u32)event_reason(cause);
		}
		break;
	}
	t->flags &= ~CORE_TASK_YIELDED;
	if (verdict != EVENT_CUSTODY) {
		/* The agent, if there is one, cannot run it: nothing to tell but the table. */
		t->seq++;
		status_publish(t, slot);
		return verdict;
	}
	msg_send(t, slot, &m);
	/* A thread put back by its own CPU meets that CPU's agent next anyway. */
	if (before == CORE_TASK_BLOCKED || before == CORE_TASK_NEW || cause == EVENT_CLASS ||
	    cause == EVENT_LATCH || t->queue != here)
		agent_wake(t->enclave, t->queue, slot, here);
	return verdict;
}

/* It starts to run on @cpu. */
static void event_task_running(__u32 slot, __u32 cpu)
{
	struct core_task *t = port_task(slot);
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_status *st;

	if (!t || !c)
		return;
	st = port_status(t->enclave, slot);
	if (!st)
		return;
	cpu_busy(t->enclave, cpu);
	c->running = slot;
	t->cpu = cpu;
	st->cpu = cpu;
	st->switch_ns = port_now_ns();
	if (t->state == CORE_TASK_LATCHED) {
		t->state = CORE_TASK_RUNNING;
		/* No message, no new number: who committed it knows. */
		status_publish(t, slot);
		cpu_count(t->enclave, cpu, GHOST_NR_SWITCHES);
	} else if (t->state == CORE_TASK_FALLBACK) {
		cpu_count(t->enclave, cpu, GHOST_NR_FALLBACKS);
	} else if (t->state != CORE_TASK_RUNNING && t->state != CORE_TASK_NEW) {
		/* Put on a CPU behind our back (bypass, hotplug): the next enqueue reports it. */
		t->state = CORE_TASK_FALLBACK;
		t->seq++;
		status_publish(t, slot);
		cpu_count(t->enclave, cpu, GHOST_NR_FALLBACKS);
	}
}

/* It stops running on @cpu, having consumed @runtime_ns in its life. */
static void event_task_stopping(__u32 slot, __u32 cpu, __u64 runtime_ns)
{
	struct core_task *t = port_task(slot);
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_status *st;

	if (!t || !c)
		return;
	st = port_status(t->enclave, slot);
	if (!st)
		return;
	st->runtime_ns = runtime_ns;
	c->running = 0;
}

static void event_task_yield(__u32 slot)
{
	struct core_task *t = port_task(slot);

	if (t)
		t->flags |= CORE_TASK_YIELDED;
}

/* It went to sleep. */
static void event_task_blocked(__u32 slot)
{
	struct core_task *t = port_task(slot);
	struct ghost_msg m = { .type = GHOST_MSG_TASK_BLOCKED };
	int joined;

	if (!t || t->state == CORE_TASK_BLOCKED || t->state == CORE_TASK_ABSENT)
		return;
	/* A thread that blocks before its TASK_NEW: that one then says "not runnable". */
	joined = t->state == CORE_TASK_NEW;
	if (joined)
		m.type = GHOST_MSG_TASK_NEW;
	m.cpu = t->cpu;
	t->state = CORE_TASK_BLOCKED;
	t->flags &= ~CORE_TASK_YIELDED;
	msg_send(t, slot, &m);
}

/* Its affinity changed; the caller has written the new mask to the status record. */
static void event_task_affinity(__u32 slot)
{
	struct core_task *t = port_task(slot);
	struct ghost_msg m = { .type = GHOST_MSG_TASK_AFFINITY_CHANGED };

	if (!t || t->state == CORE_TASK_NEW || t->state == CORE_TASK_ABSENT)
		return;
	m.cpu = t->cpu;
	msg_send(t, slot, &m);
}

/* Its nice value changed. */
static void event_task_priority(__u32 slot, __s32 nice)
{
	struct core_task *t = port_task(slot);
	struct ghost_msg m = { .type = GHOST_MSG_TASK_PRIORITY_CHANGED, .nice = nice };

	if (!t || t->state == CORE_TASK_NEW || t->state == CORE_TASK_ABSENT)
		return;
	m.cpu = t->cpu;
	msg_send(t, slot, &m);
}

/* It died, or left for another class: the slot is free again. */
static void event_task_gone(__u32 slot, int dead)
{
	struct core_task *t = port_task(slot);
	struct ghost_msg m = { .type = GHOST_MSG_TASK_DEPARTED };
	struct core_enclave *e;

	if (!t || t->state == CORE_TASK_ABSENT)
		return;
	if (dead)
		m.type = GHOST_MSG_TASK_DEAD;
	m.cpu = t->cpu;
	t->state = CORE_TASK_ABSENT;
	msg_send(t, slot, &m);
	e = port_enclave(t->enclave);
	if (e)
		port_fetch_add(&e->nr_tasks, (__u32)-1);
	slots_give(slot);
}

#endif
