/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages: the thread's sequence number, its status word and the record in
 * the queue, always advanced together and in that order.
 * In: an event of a thread. Out: a message its agent can read. Called by event.h.
 */
#ifndef GHOST_CORE_MSG_H
#define GHOST_CORE_MSG_H

#include "core/port.h"
#include "core/queue.h"

/* What the status word says of each state. */
static __u32 status_flags(__u32 state)
{
	/* Not to be picked now, whatever becomes of the claim. */
	if (state >= CORE_TASK_CLAIMED)
		return GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED;
	switch (state) {
	case CORE_TASK_NEW:
		return GHOST_STATUS_INUSE | GHOST_STATUS_NEW;
	case CORE_TASK_BLOCKED:
		return GHOST_STATUS_INUSE;
	case CORE_TASK_CUSTODY:
		return GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE;
	case CORE_TASK_LATCHED:
		return GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED;
	case CORE_TASK_RUNNING:
		return GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU;
	case CORE_TASK_FALLBACK:
		return GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK;
	default:
		return 0;
	}
}

/* One store, so that number and flags always belong together. */
static void status_publish(const struct core_task *t, struct ghost_status *st)
{
	port_store_release64(&st->word, (__u64)t->seq << 32 | status_flags(t->state));
}

static int enclave_online(const struct core_enclave *e)
{
	return port_load_acquire(&e->state) == GHOST_ENCLAVE_ONLINE;
}

/* A member comes to @cpu or leaves it: returns the CPU's new number. */
static __u32 cpu_advance(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);

	return c ? ++c->seq : 0;
}

/* The number of each agent that the messages of a queue wake which has several, or was made. */
PORT_COLD int msg_advance_all(__u32 enclave, __u32 queue)
{
	const struct ghost_cpu *page = port_cpu_page(enclave, queue);
	struct ghost_cpu *wake;
	__u32 i;

	if (!page)
		return 0;
	for (i = 0; i < GHOST_WAKES_MAX; i++) {
		if (i >= page->queue.nr_wake)
			break;
		wake = port_cpu_page(enclave, page->queue.wake[i]);
		if (wake)
			port_fetch_add(&wake->agent_seq, 1);
	}
	return 0;
}

/* After the message, so that a commit made without having seen it is refused. */
static void msg_advance(__u32 enclave, __u32 queue, struct ghost_cpu *page)
{
	const struct ghost_queue *q = &page->queue;

	if (q->nr_wake == 1 && q->wake[0] == queue)
		port_fetch_add(&page->agent_seq, 1);
	else if (q->nr_wake)
		msg_advance_all(enclave, queue);
}

/*
 * Whose agent is to be woken for a message: that of @near, where the thread
 * was, if the queue has it among several, else the first. GHOST_CPU_NONE: the
 * queue is polled.
 */
PORT_COLD __u32 msg_agent_of_several(__u32 enclave, __u32 queue, __u32 near)
{
	const struct ghost_cpu *page = port_cpu_page(enclave, queue);
	__u32 i;

	if (!page || !page->queue.nr_wake)
		return GHOST_CPU_NONE;
	for (i = 1; i < GHOST_WAKES_MAX; i++)
		if (i < page->queue.nr_wake && page->queue.wake[i] == near)
			return near;
	return page->queue.wake[0];
}

static __u32 msg_agent(__u32 enclave, __u32 queue, __u32 near)
{
	const struct ghost_cpu *page = port_cpu_page(enclave, queue);

	if (page && page->queue.nr_wake == 1)
		return page->queue.wake[0];
	return msg_agent_of_several(enclave, queue, near);
}

/* The queue of a thread whose own is gone, or which never had one: the default, or that of a CPU. */
static __u32 msg_default_queue(const struct core_enclave *e, __u32 enclave, __u32 cpu)
{
	__u32 queue = e->default_queue;

	if (queue != GHOST_QUEUE_NONE && queue_there(enclave, queue))
		return queue;
	return queue_there(enclave, cpu) ? cpu : e->first_cpu;
}

/* An agent has chosen another queue for @t, whose number was @seq before this event. */
static void msg_associate(struct core_task *t, struct ghost_status *st, __u32 seq)
{
	__u64 word = *(volatile __u64 *)&t->assoc;

	if (!word)
		return;
	if ((__u32)word == seq) {
		t->queue = (word >> 32) - 1;
		t->flags |= CORE_TASK_ASSOCED;
		st->queue = t->queue;
	}
	port_cmpxchg64(&t->assoc, word, 0);
}

/* An event happened to @t: its next number, with the state it has now. */
static void task_advance(struct core_task *t, struct ghost_status *st)
{
	/* Number first, then the word: cf. queue_assoc(). */
	msg_associate(t, st, port_fetch_add(&t->seq, 1));
	status_publish(t, st);
}

/*
 * An event happened to thread @t: advance its number, publish its state, and
 * tell its agent. The caller has set t->state and what only it knows of @m:
 * type, slot, cpu, flags, reason, nice. Without agents the number still
 * advances; whoever takes over finds the state in the table.
 */
static void msg_send(const struct core_enclave *e, struct core_task *t, struct ghost_status *st,
		     struct ghost_msg *m)
{
	struct ghost_cpu_rw *rw;
	struct ghost_cpu *page;

	task_advance(t, st);
	if (!enclave_online(e))
		return;
	/* Agents that are new have nothing unread of it: their default queue is its, too. */
	if (t->epoch != e->epoch) {
		t->epoch = e->epoch;
		t->flags |= CORE_TASK_UNSURE;
		if (e->default_queue != GHOST_QUEUE_NONE && !(t->flags & CORE_TASK_ASSOCED))
			st->queue = t->queue = e->default_queue;
	}
	page = port_cpu_page(t->enclave, t->queue);
	if (page && !page->queue.len) {
		t->queue = msg_default_queue(e, t->enclave, st->cpu);
		t->flags &= ~CORE_TASK_ASSOCED;
		st->queue = t->queue;
		page = port_cpu_page(t->enclave, t->queue);
	}
	rw = port_cpu_rw(t->enclave, t->queue);
	if (!page || !rw)
		return;
	m->seq = t->seq;
	m->gtid = t->gtid;
	m->runtime_ns = st->runtime_ns;
	queue_push(&page->queue, t->enclave, &rw->queue_tail, m);
	msg_advance(t->enclave, t->queue, page);
}

/*
 * Something happened to @cpu: tell its agent, in the default queue or the
 * CPU's own. Its number is the message's, and advances in any case. Or it is
 * about the thread in @slot (0: none), and no event of that: then the number is
 * the thread's, and stays. @detail: its reason; of a CPU: its flags.
 */
PORT_COLD int msg_send_cpu(__u32 enclave, __u32 cpu, __u32 type, __u32 slot, __u32 detail)
{
	const struct core_enclave *e = port_enclave(enclave);
	const struct core_cpu *c = port_cpu(cpu);
	const struct core_task *t = port_task(slot);
	struct ghost_msg m = { .type = type, .slot = slot, .cpu = cpu };
	struct ghost_cpu *own, *page;
	struct ghost_cpu_rw *rw;
	__u32 queue;

	if (!e || !c || !enclave_online(e))
		return 0;
	queue = msg_default_queue(e, enclave, cpu);
	own = port_cpu_page(enclave, cpu);
	page = port_cpu_page(enclave, queue);
	rw = port_cpu_rw(enclave, queue);
	if (!own || !page || !rw)
		return 0;
	m.seq = port_load_acquire(&own->agent_seq) + 1;
	if (slot) {
		if (!t || t->enclave != enclave || t->state == CORE_TASK_ABSENT)
			return 0;
		m.seq = t->seq;
		m.gtid = t->gtid;
		m.reason = detail;
	} else {
		m.flags = detail;
	}
	if (type == GHOST_MSG_CPU_TIMER_EXPIRED)
		m.cookie = c->timer_cookie;
	m.time_ns = port_now_ns();
	m.cpu_seq = c->seq;
	queue_push(&page->queue, enclave, &rw->queue_tail, &m);
	port_fetch_add(&own->agent_seq, 1);
	if (page != own)
		msg_advance(enclave, queue, page);
	return 0;
}

#endif
