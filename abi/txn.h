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
 * FREE and READY are written by agents, all others by the kernel side; an
 * agent may withdraw a READY one by exchanging it for ABORTED. Every READY
 * transaction ends in exactly one of the final states.
 */
enum ghost_txn_state {
	GHOST_TXN_FREE = 0,
	GHOST_TXN_READY = 1,
	/* final: the decision is carried out */
	GHOST_TXN_COMMITTED = 2,
	GHOST_TXN_YIELDED =
		3, /* slot 0: the agent gave its CPU up; or what ran there was taken off */
	/* final: refused, nothing changed */
	GHOST_TXN_AGENT_STALE = 4,  /* a message the agent has not seen */
	GHOST_TXN_TASK_STALE = 5,   /* a message about this thread it has not seen */
	GHOST_TXN_NOT_FOUND = 6,    /* no such thread in this enclave */
	GHOST_TXN_NOT_RUNNABLE = 7, /* blocked */
	GHOST_TXN_ON_CPU = 8,	    /* running or already committed */
	GHOST_TXN_NOT_ALLOWED = 9,  /* its affinity excludes this CPU */
	GHOST_TXN_AGAIN = 10,	    /* on its way into custody: commit again */
	GHOST_TXN_INVALID = 11,	    /* unknown or contradicting flags, slot out of range */
	GHOST_TXN_CPU_UNAVAIL = 12, /* a higher class has the CPU */
	GHOST_TXN_CPU_OFFLINE = 13, /* it is offline */
	GHOST_TXN_CPU_OCCUPIED =
		14, /* it runs another member, and the commit was not to displace it */
	GHOST_TXN_INVALID_CPU = 15, /* the CPU is not the enclave's */
	GHOST_TXN_NO_AGENT = 16,    /* the enclave's agents do not decide */
	GHOST_TXN_POISONED = 17,    /* another one of its group was refused */
	GHOST_TXN_ABORTED = 18,	    /* withdrawn by its agent */
	/* not final: the kernel side is at it */
	GHOST_TXN_TAKEN = 19,
	GHOST_TXN_NR_STATES = 20,
};

/* Is @state one that a transaction ends in? */
static inline int ghost_txn_is_final(__u32 state)
{
	return state >= GHOST_TXN_COMMITTED && state < GHOST_TXN_TAKEN;
}

/* What a transaction is about instead of a thread. */
#define GHOST_SLOT_NONE 0u	  /* nothing: take what runs there off; local: give the CPU up */
#define GHOST_SLOT_AGENT (~0u)	  /* the CPU's agent: a ping */
#define GHOST_SLOT_IDLE (~0u - 1) /* nobody: take what runs there off and leave the CPU idle */

/* ghost_txn.flags: which news bring the agent of the CPU back */
#define GHOST_RUN_RTLA_ON_PREEMPT 0x0001
#define GHOST_RUN_RTLA_ON_BLOCKED 0x0002
#define GHOST_RUN_RTLA_ON_YIELD 0x0004
#define GHOST_RUN_RTLA_ON_IDLE 0x0020
/* and what else the run is to be */
#define GHOST_RUN_NEED_CPU_NOT_IDLE 0x0080 /* SLOT_IDLE: tell when a higher class ends the idling */
#define GHOST_RUN_ELIDE_PREEMPT 0x0200	   /* no TASK_PREEMPT for the member that it displaces */
#define GHOST_RUN_SEND_TASK_ON_CPU 0x0400  /* TASK_ON_CPU when it is there */
#define GHOST_RUN_DO_NOT_PREEMPT 0x1000	   /* refuse rather than displace a member */
#define GHOST_RUN_SLICE_TIMER 0x2000	   /* remote: a timer ends the slice, if anyone waits */
/* how it is committed */
#define GHOST_COMMIT_ALLOW_TASK_ON_CPU 0x40000 /* the thread may be on that CPU already: leave it */
#define GHOST_COMMIT_ELIDE_AGENT_SEQ 0x80000   /* do not advance the number of the CPU's agent */
#define GHOST_COMMIT_AGENT_SEQ_ON_FAILURE 0x100000 /* advance it if refused */

#define GHOST_TXN_FLAGS                                                                    \
	(GHOST_RUN_RTLA_ON_PREEMPT | GHOST_RUN_RTLA_ON_BLOCKED | GHOST_RUN_RTLA_ON_YIELD | \
	 GHOST_RUN_RTLA_ON_IDLE | GHOST_RUN_NEED_CPU_NOT_IDLE | GHOST_RUN_ELIDE_PREEMPT |  \
	 GHOST_RUN_SEND_TASK_ON_CPU | GHOST_RUN_DO_NOT_PREEMPT | GHOST_RUN_SLICE_TIMER |   \
	 GHOST_COMMIT_ALLOW_TASK_ON_CPU | GHOST_COMMIT_ELIDE_AGENT_SEQ |                   \
	 GHOST_COMMIT_AGENT_SEQ_ON_FAILURE)

#define GHOST_SLICE_INF (~0ull)
#define GHOST_CPU_NONE (~0u)

/* ghost_ctl.flags of GHOST_CTL_COMMIT */
#define GHOST_COMMIT_SYNC 0x1 /* all of them, or none */

struct ghost_txn {
	__u32 state;	 /* enum ghost_txn_state; stored last by either side */
	__u32 slot;	 /* the thread, or one of GHOST_SLOT_* */
	__u32 task_seq;	 /* the thread's number the decision is based on */
	__u32 agent_seq; /* the agent's number the decision is based on; local commits only */
	__u64 slice_ns;	 /* GHOST_SLICE_INF: until it blocks or yields; 0 is invalid */
	__u32 flags;	 /* GHOST_RUN_*, GHOST_COMMIT_* */
	__u32 ping_cpu;	 /* local commits: also wake that CPU's agent; GHOST_CPU_NONE: nobody */
	__u64 commit_ns; /* by the kernel side, with the final state: when */
	__u32 cpu_seq;	 /* by the kernel side, as in messages */
	__u32 owner; /* of a synchronised group; set back to 0 by the kernel side if all succeed */
	__u64 pad[2];
};

_Static_assert(sizeof(struct ghost_txn) == 64, "a transaction is one cache line");

/*
 * What agents may write, per CPU. Nothing in here is trusted: every field is
 * read once, masked, and checked against the kernel's own state.
 */
struct ghost_cpu_rw {
	struct ghost_txn txn;  /* carried out when asked for */
	struct ghost_txn pick; /* carried out by the CPU when it looks for work */
	__u32 queue_tail;      /* next position to consume in the queue of this number */
	__u32 spins;	       /* an agent spins here: tell it when the CPU is wanted */
	__u32 pad[30];
};

_Static_assert(sizeof(struct ghost_cpu_rw) == 256, "ghost_cpu_rw layout");

#endif
