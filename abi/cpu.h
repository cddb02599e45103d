/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One CPU of an enclave: its agent's state, its counters, its queue.
 * In: written by the kernel side. Out: read-only to agents and tools.
 */
#ifndef GHOST_ABI_CPU_H
#define GHOST_ABI_CPU_H

#include <linux/types.h>

#include "abi/limits.h"
#include "abi/queue.h"
#include "abi/txn.h"

/*
 * Counters, for people: two CPUs that count at once may lose one. Messages need none: the head
 * of the queue counts them, and its overflow those that found no room.
 */
enum ghost_counter {
	GHOST_NR_TASKS = 0,	/* threads that became members */
	GHOST_NR_FALLBACKS = 1, /* threads handed to the fallback */
	GHOST_NR_KICKS = 2,	/* times this CPU was woken for a message or a ping */
	GHOST_NR_COUNTERS = 8,
};

/*
 * @agent_seq advances with each message to this CPU's queue and with each
 *	ping; a commit that names an older value is refused. It is the kernel
 *	side's own copy, which agents can only read.
 * @help: 1 + the CPU whose queue the agent was woken to drain, because that
 *	CPU is busy and this one was idle.
 */
struct ghost_cpu {
	__u32 agent_seq;
	__u32 agent_tid; /* 0: no agent */
	__u32 help;
	__u32 owned; /* 1: this CPU belongs to the enclave */
	__u64 pad[6];

	__u64 nr[GHOST_NR_COUNTERS];
	__u64 nr_txn[16]; /* finished transactions by enum ghost_txn_state */
	__u64 pad2[32];

	struct ghost_queue queue;
};

_Static_assert(GHOST_TXN_NR_STATES <= 16, "nr_txn has a counter for each state");
_Static_assert(sizeof(struct ghost_cpu) == 512 + sizeof(struct ghost_queue), "ghost_cpu layout");

#endif
