/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The producer's side of a queue.
 * In: a filled message. Out: published in the ring, or counted as overflow.
 * Called by msg.h, from any CPU at once.
 */
#ifndef GHOST_CORE_QUEUE_H
#define GHOST_CORE_QUEUE_H

#include "core/port.h"

/* Producers of one queue that collide; more than this many times in a row is an overflow. */
#define QUEUE_TRIES 64

/*
 * Publish @m. Returns 0, or -1 when the ring is full: then the overflow
 * counter says so and the status table still tells the truth.
 *
 * @tail comes from agent-writable memory. Whatever it holds, head - tail is
 * either below the length (and the slot is ours) or counts as full; the index
 * is masked. A lying agent loses its own messages and nothing else.
 */
static int queue_push(struct ghost_queue *q, const __u32 *tail, const struct ghost_msg *m)
{
	struct ghost_msg *out;
	__u32 head;
	int i;

	for (i = 0; i < QUEUE_TRIES; i++) {
		head = port_load_acquire(&q->head);
		if (head - port_load_acquire(tail) >= GHOST_QUEUE_LEN)
			break;
		if (port_cmpxchg(&q->head, head, head + 1) != head)
			continue;
		out = &q->msg[head & GHOST_QUEUE_MASK];
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
		/* Last: this is what makes the message visible. */
		port_store_release(&out->position, head + 1);
		return 0;
	}
	port_fetch_add(&q->overflow, 1);
	return -1;
}

#endif
