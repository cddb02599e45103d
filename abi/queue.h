/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A queue: many producers in the kernel, one consumer at a time.
 * In: messages from any CPU. Out: messages in order, to the agent.
 * The body is read-only to agents; the tail is in ghost_cpu_rw.
 */
#ifndef GHOST_ABI_QUEUE_H
#define GHOST_ABI_QUEUE_H

#include <linux/types.h>

#include "abi/limits.h"
#include "abi/msg.h"

/*
 * @head: next position to reserve; producers advance it by compare-exchange
 *	and only while head - tail < GHOST_QUEUE_LEN.
 * @overflow: events that found no room. When it changes, the agent drains the
 *	queue and then rebuilds its picture from the status table.
 */
struct ghost_queue {
	__u32 head;
	__u32 overflow;
	__u32 pad[14];
	struct ghost_msg msg[GHOST_QUEUE_LEN];
};

_Static_assert(sizeof(struct ghost_queue) == 64 + 64 * GHOST_QUEUE_LEN, "queue layout");

#endif
