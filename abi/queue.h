/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A queue: many producers in the kernel, one consumer at a time.
 * In: messages from any CPU. Out: messages in order, to the agent.
 * This record and the messages are read-only to agents; the tail is in
 * ghost_cpu_rw.
 */
#ifndef GHOST_ABI_QUEUE_H
#define GHOST_ABI_QUEUE_H

#include <linux/types.h>

#include "abi/limits.h"
#include "abi/msg.h"

/*
 * @head: next position to reserve; producers advance it by compare-exchange
 *	and only while head - tail < len. The message of position p is the
 *	enclave's ring[first + (p & (len - 1))].
 * @overflow: events that found no room. When it changes, the agent drains the
 *	queue and then rebuilds its picture from the status table.
 * @len: a power of two; 0: there is no such queue.
 * @nr_wake: agents whose number its messages advance, and one of which they
 *	wake; 0: the queue is polled.
 */
struct ghost_queue {
	__u32 head;
	__u32 overflow;
	__u32 first;
	__u32 len;
	__u32 nr_wake;
	__u32 wake[GHOST_WAKES_MAX]; /* CPUs */
	__u32 gone_len;		     /* it was removed; its place in the ring is kept for a while */
	__u32 gone_beats;
	__u32 pad[5];
};

_Static_assert(sizeof(struct ghost_queue) == 64, "queue layout");

#endif
