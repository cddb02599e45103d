/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A message: one scheduling event of one thread or CPU, as its agent sees it.
 * In: written by the kernel side. Out: read by agents. Lives in a queue.
 */
#ifndef GHOST_ABI_MSG_H
#define GHOST_ABI_MSG_H

#include <linux/types.h>

/*
 * Numbers follow the original where the meaning is the same. 71 (switch-to) is
 * reserved: a stock kernel has no such event.
 */
enum ghost_msg_type {
	GHOST_MSG_NONE = 0,
	GHOST_MSG_TASK_DEAD = 64,
	GHOST_MSG_TASK_BLOCKED = 65,
	GHOST_MSG_TASK_WAKEUP = 66,
	GHOST_MSG_TASK_NEW = 67,
	GHOST_MSG_TASK_PREEMPT = 68,
	GHOST_MSG_TASK_YIELD = 69,
	GHOST_MSG_TASK_DEPARTED = 70,
	GHOST_MSG_TASK_AFFINITY_CHANGED = 72,
	GHOST_MSG_TASK_ON_CPU = 73, /* if the commit asked for it */
	GHOST_MSG_TASK_PRIORITY_CHANGED = 74,
	GHOST_MSG_TASK_LATCH_FAILURE = 75, /* a pre-staged pick of it was refused */

	/* About a CPU: slot and gtid are 0. */
	GHOST_MSG_CPU_TICK = 128,
	GHOST_MSG_CPU_TIMER_EXPIRED = 129,
	GHOST_MSG_CPU_NOT_IDLE = 130,
	GHOST_MSG_CPU_AVAILABLE = 131,
	GHOST_MSG_CPU_BUSY = 132,
	GHOST_MSG_CPU_AGENT_BLOCKED = 133,
	GHOST_MSG_CPU_AGENT_WAKEUP = 134,
};

/* Why a TASK_PREEMPT happened. */
enum ghost_preempt_reason {
	GHOST_PREEMPT_SLICE = 1,  /* its time slice is used up */
	GHOST_PREEMPT_CLASS = 2,  /* a thread of a higher class took the CPU */
	GHOST_PREEMPT_LATCH = 3,  /* committed, but lost the CPU before it ran */
	GHOST_PREEMPT_KICK = 4,	  /* moved off by the kernel side itself */
	GHOST_PREEMPT_COMMIT = 5, /* another commit took the CPU */
};

/* ghost_msg.flags */
#define GHOST_MSG_RUNNABLE 0x1	 /* TASK_NEW: waits for a commit */
#define GHOST_MSG_CURRENT 0x2	 /* TASK_DEPARTED: it was on a CPU */
#define GHOST_MSG_DEFERRABLE 0x4 /* TASK_WAKEUP: nobody can be waiting for a lock it holds */
#define GHOST_MSG_AGENT 0x8	 /* CPU_TICK: it met the agent */

/*
 * One cache line. @position is stored last and equals the position of this
 * message in the queue plus one: that makes a half-written or old message
 * recognisable without the reader ever writing to the queue.
 */
struct ghost_msg {
	__u32 position;
	__u16 type; /* enum ghost_msg_type */
	__u16 len;  /* valid bytes; a reader skips what it does not know */
	__u32 slot; /* the thread */
	__u32 seq;  /* the thread's sequence number after this event; of a CPU: the agent's */
	__u64 gtid; /* the thread, never reused; see ghost_status */
	__u64 time_ns;
	__u64 runtime_ns; /* CPU time the thread has consumed so far */
	__u32 cpu;	  /* where it happened; for WAKEUP where it last ran */
	__u32 flags;
	__u16 reason;  /* TASK_PREEMPT: enum ghost_preempt_reason; LATCH_FAILURE: ghost_txn_state */
	__s16 nice;    /* TASK_NEW, TASK_PRIORITY_CHANGED */
	__u32 cpu_seq; /* advances whenever a member comes to @cpu or leaves it */
	union {
		__u64 arg;
		__u64 commit_ns;  /* TASK_ON_CPU: when it was committed */
		__u64 cookie;	  /* CPU_TIMER_EXPIRED: the agent's */
		__u64 parent_tid; /* TASK_NEW */
		struct {	  /* TASK_WAKEUP */
			__u32 waker_cpu;
			__u32 wake_cpu; /* of the run queue it came to */
		};
	};
};

_Static_assert(sizeof(struct ghost_msg) == 64, "a message is one cache line");

#endif
