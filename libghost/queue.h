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
#include "libghost/backend.h"
#include "libghost/barrier.h"

/* The place in the ring of position @at of queue @q, or NULL: there is no such queue. */
static inline const struct ghost_msg *ghost_queue_at(const struct ghost_memory *mem,
						     const struct ghost_queue *q, uint32_t at)
{
	uint32_t len = q->len, index = q->first + (at & (len - 1));

	return len && index < mem->ring_len ? &mem->ring[index] : NULL;
}

/**
 * ghost_queue_pop() - take the next message
 * @mem: the enclave's memory
 * @queue: below @mem->nr_queues: a CPU, or the number of a queue that was made
 * @ret: receives a copy; untouched when there is none
 *
 * Returns false when the queue is empty, or when the next message is reserved
 * but not yet written: its producer advances the agent's number afterwards.
 */
static inline bool ghost_queue_pop(const struct ghost_memory *mem, uint32_t queue,
				   struct ghost_msg *ret)
{
	struct ghost_cpu_rw *rw = &mem->cpu_rw[queue];
	uint32_t tail = rw->queue_tail;
	const struct ghost_msg *m = ghost_queue_at(mem, &mem->cpu[queue].queue, tail);

	if (!m || ghost_load_acquire(&m->position) != tail + 1)
		return false;
	*ret = *m;
	/* After the copy: the slot may be written again from here on. */
	ghost_store_release(&rw->queue_tail, tail + 1);
	return true;
}

/* Would ghost_queue_pop() find a message? */
static inline bool ghost_queue_ready(const struct ghost_memory *mem, uint32_t queue)
{
	uint32_t tail = __atomic_load_n(&mem->cpu_rw[queue].queue_tail, __ATOMIC_RELAXED);
	const struct ghost_msg *m = ghost_queue_at(mem, &mem->cpu[queue].queue, tail);

	return m && ghost_load_acquire(&m->position) == tail + 1;
}

/* Is there nothing to pop? A hint for those who do not hold the queue. */
static inline bool ghost_queue_empty(const struct ghost_memory *mem, uint32_t queue)
{
	return ghost_load_acquire(&mem->cpu[queue].queue.head) ==
	       __atomic_load_n(&mem->cpu_rw[queue].queue_tail, __ATOMIC_RELAXED);
}

#endif
