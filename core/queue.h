/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The producer's side of a queue, and queues that agents make.
 * In: a filled message; requests. Out: the message published in the ring, or
 * counted as overflow; a place in the ring. Called by msg.h, from any CPU at
 * once, and by ctl.h.
 */
#ifndef GHOST_CORE_QUEUE_H
#define GHOST_CORE_QUEUE_H

#include "core/port.h"

/* Producers of one queue that collide; more than this many times in a row is an overflow. */
#define QUEUE_TRIES 64

/*
 * Publish @m in queue @q of @enclave. Returns 0, or -1 when the ring is full:
 * then the overflow counter says so and the status table still tells the truth.
 *
 * @tail comes from agent-writable memory. Whatever it holds, head - tail is
 * either below the length (and the place is ours) or counts as full; the index
 * is masked. A lying agent loses its own messages and nothing else.
 */
static int queue_push(struct ghost_queue *q, __u32 enclave, const __u32 *tail,
		      const struct ghost_msg *m)
{
	struct ghost_msg *out;
	__u32 head, len = q->len;
	int i;

	for (i = 0; i < QUEUE_TRIES; i++) {
		head = port_load_acquire(&q->head);
		if (head - port_load_acquire(tail) >= len)
			break;
		out = port_ring(enclave, q->first + (head & (len - 1)));
		if (!out)
			break;
		if (port_cmpxchg(&q->head, head, head + 1) != head)
			continue;
		out->type = m->type;
		out->len = sizeof(*m);
		out->slot = m->slot;
		out->seq = m->seq;
		out->gtid = m->gtid;
		out->time_ns = m->time_ns;
		out->runtime_ns = m->runtime_ns;
		out->cpu = m->cpu;
		out->flags = m->flags;
		out->reason = m->reason;
		out->nice = m->nice;
		out->cpu_seq = m->cpu_seq;
		out->arg = m->arg;
		/* Last: this is what makes the message visible. */
		port_store_release(&out->position, head + 1);
		return 0;
	}
	port_fetch_add(&q->overflow, 1);
	return -1;
}

/* --- queues that agents make -------------------------------------------------------- */

/*
 * The place of a queue that was removed is kept for so many heartbeats: a
 * producer that has just looked it up may still write there.
 */
#define QUEUE_GONE_BEATS 2

static int queue_there(__u32 enclave, __u32 queue)
{
	const struct ghost_cpu *page = port_cpu_page(enclave, queue);

	return page && page->queue.len;
}

static int queue_made(__u32 queue)
{
	return queue >= port_nr_cpus() && queue < port_nr_cpus() + GHOST_QUEUES_MADE;
}

/* Where in the ring @len messages fit between the queues that were made; or the ring's end. */
static __u32 queue_place(const struct core_enclave *e, __u32 enclave, __u32 len)
{
	const struct ghost_queue *q;
	const struct ghost_cpu *page;
	__u32 first = e->ring_made, tries, i, end, moved;

	/* Each move goes past one queue that was in the way. */
	port_for(tries, 0, GHOST_QUEUES_MADE + 1) {
		moved = 0;
		port_for(i, 0, GHOST_QUEUES_MADE) {
			page = port_cpu_page(enclave, port_nr_cpus() + i);
			if (!page)
				continue;
			q = &page->queue;
			/* One that is gone takes no room, wherever it was. */
			if (!q->len && !q->gone_len)
				continue;
			end = q->first + (q->len ? q->len : q->gone_len);
			if (first < end && q->first < first + len) {
				first = end;
				moved = 1;
			}
		}
		if (!moved)
			break;
	}
	return first + len > e->ring_len ? e->ring_len : first;
}

/* Returns its number, or a negative errno. */
static int queue_create(__u32 enclave, __u32 len)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_queue *q = 0;
	struct ghost_cpu *page;
	struct ghost_msg *m;
	__u32 i, first;
	int ret = -E_NOSPC;

	if (!e || !enclave || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (!len || len > GHOST_QUEUE_LEN_MAX || (len & (len - 1)))
		return -E_INVAL;
	if (port_cmpxchg(&e->making, 0, 1))
		return -E_AGAIN;
	port_for(i, 0, GHOST_QUEUES_MADE) {
		page = port_cpu_page(enclave, port_nr_cpus() + i);
		if (!page || page->queue.len || page->queue.gone_len)
			continue;
		q = &page->queue;
		ret = port_nr_cpus() + i;
		break;
	}
	if (q) {
		first = queue_place(e, enclave, len);
		if (first >= e->ring_len) {
			ret = -E_NOSPC;
		} else {
			/* What an earlier queue left there must not look like news. */
			port_for(i, 0, len) {
				m = port_ring(enclave, first + i);
				if (m)
					m->position = 0;
			}
			q->head = 0;
			q->overflow = 0;
			q->nr_wake = 0;
			q->first = first;
			port_store_release(&q->len, len);
		}
	}
	port_store_release(&e->making, 0);
	return ret;
}

/*
 * Threads that still have it get the default with their next event; what lies
 * in it unread is lost, and stands in the status table.
 */
static int queue_destroy(__u32 enclave, __u32 queue)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_enclave_status *es = port_enclave_status(enclave);
	struct ghost_cpu *page;

	if (!e || !es || !enclave || !queue_made(queue) || !queue_there(enclave, queue))
		return -E_NOENT;
	page = port_cpu_page(enclave, queue);
	if (!page)
		return -E_NOENT;
	if (port_cmpxchg(&e->making, 0, 1))
		return -E_AGAIN;
	if (e->default_queue == queue)
		e->default_queue = es->default_queue = GHOST_QUEUE_NONE;
	page->queue.gone_len = page->queue.len;
	page->queue.gone_beats = QUEUE_GONE_BEATS;
	port_store_release(&page->queue.len, 0);
	port_store_release(&e->making, 0);
	return 0;
}

/* Each heartbeat: places that nobody can be writing to any more. */
static void queue_beat(__u32 enclave)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page;
	__u32 i;

	if (!e || port_cmpxchg(&e->making, 0, 1))
		return;
	port_for(i, 0, GHOST_QUEUES_MADE) {
		page = port_cpu_page(enclave, port_nr_cpus() + i);
		if (!page)
			break;
		if (page->queue.gone_len && !page->queue.gone_beats--)
			page->queue.gone_len = page->queue.gone_beats = 0;
	}
	port_store_release(&e->making, 0);
}

static int queue_default(__u32 enclave, __u32 queue)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_enclave_status *es = port_enclave_status(enclave);

	if (!e || !es || !enclave || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (queue != GHOST_QUEUE_NONE && !queue_there(enclave, queue))
		return -E_NOENT;
	es->default_queue = queue;
	port_store_release(&e->default_queue, queue);
	return 0;
}

/* Whose agents its messages wake: CPUs of the enclave, none for a polling agent. */
static int queue_wake(__u32 enclave, __u32 queue, const struct ghost_ctl *ctl)
{
	struct ghost_queue *q;
	struct ghost_cpu *page;
	__u32 nr = ctl->len, i;

	if (!enclave || !queue_there(enclave, queue))
		return -E_NOENT;
	page = port_cpu_page(enclave, queue);
	if (!page)
		return -E_NOENT;
	if (nr > GHOST_WAKES_MAX)
		return -E_INVAL;
	for (i = 0; i < GHOST_WAKES_MAX; i++) {
		__u64 cpu = ctl->cpus[i];
		const struct core_cpu *c = cpu < GHOST_CPUS_MAX ? port_cpu(cpu) : 0;

		if (i < nr && (!c || c->enclave != enclave))
			return -E_INVAL;
	}
	q = &page->queue;
	/* A producer in between wakes fewer of them; the last to be set makes up for it. */
	port_store_release(&q->nr_wake, 0);
	for (i = 0; i < GHOST_WAKES_MAX; i++)
		q->wake[i] = ctl->cpus[i];
	port_store_release(&q->nr_wake, nr);
	/* What came in between woke nobody. */
	for (i = 0; i < GHOST_WAKES_MAX; i++) {
		page = i < nr ? port_cpu_page(enclave, q->wake[i]) : 0;
		if (page)
			port_fetch_add(&page->agent_seq, 1);
	}
	return 0;
}

/*
 * Messages of the thread in @slot go to @queue from now on, if @seq is its
 * number still: then whoever asks has read all earlier ones. The event that
 * advances the number looks for the word afterwards, and we look at the number
 * after storing the word: one of both sees the other. Returns GHOST_ASSOC_*,
 * or -ESTALE when there is news.
 */
static int queue_assoc(__u32 enclave, __u32 queue, __u32 slot, __u32 seq)
{
	struct core_task *t = port_task(slot);
	struct ghost_status *st = port_status(enclave, slot);
	__u64 word = (__u64)(queue + 1) << 32 | seq, old;
	int ret = 0;

	if (!enclave || !slot || !queue_there(enclave, queue) || !st || !t ||
	    t->state == CORE_TASK_ABSENT || t->enclave != enclave)
		return -E_NOENT;
	if (t->queue == queue)
		ret |= GHOST_ASSOC_ALREADY;
	if (t->state == CORE_TASK_NEW)
		ret |= GHOST_ASSOC_NEW;
	old = *(volatile __u64 *)&t->assoc;
	if (port_cmpxchg64(&t->assoc, old, word) != old)
		return -E_AGAIN; /* two at once */
	if (port_load_acquire(&t->seq) != seq)
		port_cmpxchg64(&t->assoc, word, 0);
	/* It lies there still, or an event took it: one with another number threw it away. */
	if (*(volatile __u64 *)&t->assoc != word && *(volatile __u32 *)&t->queue != queue)
		return -E_STALE;
	/* The table says so at once; who rebuilds from it looks there. */
	st->queue = queue;
	return ret;
}

#endif
