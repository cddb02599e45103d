/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The consumer's side of a queue.
 * In: the ring the kernel side writes. Out: one message at a time, in order.
 * Called by agent.c, or by whoever drains a queue by hand. One consumer at a
 * time per queue.
 */
#ifndef GHOST_LIBGHOST_QUEUE_H
#define GHOST_LIBGHOST_QUEUE_H

#include <stdbool.h>

#include "abi/abi.h"
#include "libghost/barrier.h"

/**
 * ghost_queue_pop() - take the next message
 * @q: the ring
 * @rw: the writable half of the same CPU
 * @ret: receives a copy; untouched when there is none
 *
 * Returns false when the queue is empty, or when the next message is reserved
 * but not yet written: its producer advances the agent's number afterwards.
 */
static inline bool ghost_queue_pop(const struct ghost_queue *q, struct ghost_cpu_rw *rw,
				   struct ghost_msg *ret)
{
	uint32_t tail = rw->queue_tail;
	const struct ghost_msg *m = &q->msg[tail & GHOST_QUEUE_MASK];

	if (ghost_load_acquire(&m->position) != tail + 1)
		return false;
	*ret = *m;
	/* After the copy: the slot may be written again from here on. */
	ghost_store_release(&rw->queue_tail, tail + 1);
	return true;
}

/* Would ghost_queue_pop() find a message? */
static inline bool ghost_queue_ready(const struct ghost_queue *q, const struct ghost_cpu_rw *rw)
{
	uint32_t tail = __atomic_load_n(&rw->queue_tail, __ATOMIC_RELAXED);

	return ghost_load_acquire(&q->msg[tail & GHOST_QUEUE_MASK].position) == tail + 1;
}

/* Is there nothing to pop? A hint for those who do not hold the queue. */
static inline bool ghost_queue_empty(const struct ghost_queue *q, const struct ghost_cpu_rw *rw)
{
	return ghost_load_acquire(&q->head) == __atomic_load_n(&rw->queue_tail, __ATOMIC_RELAXED);
}

#endif
