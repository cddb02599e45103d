/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One CPU of an enclave: its agent's state, its counters, its queue. Entries
 * past the last CPU are queues that agents made, and nothing else.
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
	GHOST_NR_PICKS = 3,	/* pre-staged picks that were taken */
	GHOST_NR_WAITS = 4, /* waits that ended by a commit, while GHOST_CTL_ENCLAVE_SLO counts */
	GHOST_NR_LATE = 5,  /* of them and of those that last, longer than its limit */
	GHOST_NR_COUNTERS = 8,
};

/* What the scheduling class above ours leaves of a CPU, as far as the kernel side knows. */
enum ghost_cpu_state {
	GHOST_CPU_AVAILABLE = 0, /* idle, or runs a thread of the enclave */
	GHOST_CPU_TAKEN = 1,	 /* a higher class has it: a commit would have to wait */
	GHOST_CPU_OFF = 2,	 /* it is offline */
};

/*
 * @agent_seq advances with each message to a queue that wakes this CPU's
 *	agent, with each ping, and when another agent's commit changes what this
 *	CPU runs; a local commit that names an older value is refused. It is the
 *	kernel side's own copy, which agents can only read.
 * @help: 1 + the CPU whose queue the agent was woken to drain, because that
 *	CPU is busy and this one was idle.
 * @wanted: advances when a thread of a higher class than ours wants the CPU on
 *	which an agent spins; that agent then moves elsewhere.
 * @waited: a thread waits for this CPU or has it, at which an agent that comes
 *	here to spin would be in its way; looked at every heartbeat.
 */
struct ghost_cpu {
	__u32 agent_seq;
	__u32 agent_tid; /* 0: no agent */
	__u32 help;
	__u32 owned; /* 1: this CPU belongs to the enclave */
	__u32 state; /* enum ghost_cpu_state */
	__u32 wanted;
	__u32 waited;
	__u32 pad[9];

	struct ghost_queue queue;

	__u64 nr[GHOST_NR_COUNTERS];
	__u64 nr_txn[32]; /* finished transactions by enum ghost_txn_state */
	__u64 pad2[8];
};

_Static_assert(GHOST_TXN_NR_STATES <= 32, "nr_txn has a counter for each state");
_Static_assert(sizeof(struct ghost_cpu) == 512, "ghost_cpu layout");

#endif
