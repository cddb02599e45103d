/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A transaction: "run this thread on this CPU, if nothing has changed since".
 * In: filled by an agent. Out: its final state, written by the kernel side.
 */
#ifndef GHOST_ABI_TXN_H
#define GHOST_ABI_TXN_H

#include <linux/types.h>

#include "abi/limits.h"

/*
 * FREE and READY are written by the agent, all others by the kernel side.
 * Every READY transaction ends in exactly one of the final states.
 */
enum ghost_txn_state {
	GHOST_TXN_FREE = 0,
	GHOST_TXN_READY = 1,
	/* final: the decision is carried out */
	GHOST_TXN_COMMITTED = 2,
	GHOST_TXN_YIELDED = 3, /* slot 0: the agent gave its CPU up */
	/* final: refused, nothing changed */
	GHOST_TXN_AGENT_STALE = 4,  /* a message the agent has not seen */
	GHOST_TXN_TASK_STALE = 5,   /* a message about this thread it has not seen */
	GHOST_TXN_NOT_FOUND = 6,    /* no such thread in this enclave */
	GHOST_TXN_NOT_RUNNABLE = 7, /* blocked */
	GHOST_TXN_ON_CPU = 8,	    /* running or already committed */
	GHOST_TXN_NOT_ALLOWED = 9,  /* its affinity excludes this CPU */
	GHOST_TXN_AGAIN = 10,	    /* on its way into custody: commit again */
	GHOST_TXN_INVALID = 11,	    /* unknown flags, slot out of range */
	GHOST_TXN_NR_STATES = 12,
};

#define GHOST_SLICE_INF (~0ull)
#define GHOST_CPU_NONE (~0u)

struct ghost_txn {
	__u32 state;	 /* enum ghost_txn_state; stored last by either side */
	__u32 slot;	 /* the thread, or 0: nothing to run */
	__u32 task_seq;	 /* the thread's number the decision is based on */
	__u32 agent_seq; /* the agent's number the decision is based on */
	__u64 slice_ns;	 /* GHOST_SLICE_INF: until it blocks or yields; 0 is invalid */
	__u32 flags;	 /* none defined: must be 0 */
	__u32 ping_cpu;	 /* also wake that CPU's agent; GHOST_CPU_NONE: nobody */
	__u32 pad[8];
};

_Static_assert(sizeof(struct ghost_txn) == 64, "a transaction is one cache line");

/*
 * What agents may write, per CPU. Nothing in here is trusted: every field is
 * read once, masked, and checked against the kernel's own state.
 */
struct ghost_cpu_rw {
	struct ghost_txn txn;
	__u32 queue_tail; /* next position to consume in this CPU's queue */
	__u32 pad[15];
};

_Static_assert(sizeof(struct ghost_cpu_rw) == 128, "ghost_cpu_rw layout");

#endif
