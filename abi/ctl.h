/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests to the kernel side: the argument of its two SYSCALL programs,
 * "admin" (whoever may manage enclaves) and "agent" (an agent, about itself).
 * In: filled by user space. Out: @ret, 0 or a negative errno.
 */
#ifndef GHOST_ABI_CTL_H
#define GHOST_ABI_CTL_H

#include <linux/types.h>

#include "abi/limits.h"

enum ghost_ctl_op {
	/* admin */
	GHOST_CTL_INFO = 1,	       /* abi version and capacity */
	GHOST_CTL_ENCLAVE_CREATE = 2,  /* enclave, cpus, stall_ns, len: messages in its ring */
	GHOST_CTL_ENCLAVE_DESTROY = 3, /* enclave: back to fallback, no new members */
	GHOST_CTL_ENCLAVE_FREE = 4,    /* enclave: gone; -EBUSY while it has members */
	GHOST_CTL_TASK_JOIN = 5,       /* enclave, tid: becomes a member when it turns SCHED_EXT */
	GHOST_CTL_TASK_UNJOIN = 6,     /* tid: takes TASK_JOIN back */
	GHOST_CTL_INIT = 7,	       /* capacity: once, by the loader */
	GHOST_CTL_ENCLAVE_CPUS =
		8,		   /* enclave, cpus: its CPUs from now on; while it has no agents */
	GHOST_CTL_ENCLAVE_SLO = 9, /* enclave, stall_ns: count waits from now on; 0: no more */
	/* agent */
	GHOST_CTL_AGENT_ATTACH = 16,  /* enclave, cpu, flags: the caller is that CPU's agent */
	GHOST_CTL_AGENT_ONLINE = 17,  /* enclave: every CPU has its agent, decide from now on */
	GHOST_CTL_AGENT_PING = 18,    /* enclave, cpu: wake that CPU's agent */
	GHOST_CTL_AGENT_OFFLINE = 19, /* enclave: its agents stop, nothing went wrong */
	GHOST_CTL_COMMIT = 20,	      /* enclave, cpus, flags: their transactions, now; len: done */
	GHOST_CTL_AGENT_DETACH = 21,  /* enclave, cpu: the caller is its agent no more */
	GHOST_CTL_QUEUE_CREATE = 22,  /* enclave, len: its number in @queue; set its tail to 0 */
	GHOST_CTL_QUEUE_DESTROY = 23, /* enclave, queue */
	GHOST_CTL_QUEUE_DEFAULT = 24, /* enclave, queue: of new threads; NONE: each CPU's own */
	GHOST_CTL_QUEUE_WAKE = 25,    /* enclave, queue, len, cpus[0 ..]: numbers of CPUs to wake */
	GHOST_CTL_QUEUE_ASSOC = 26,   /* enclave, queue, slot, seq: of one thread from now on */
	GHOST_CTL_DELIVER = 27,	      /* enclave, flags: GHOST_DELIVER_*, which CPU messages */
	GHOST_CTL_KICK = 28,	      /* enclave, cpus: those that idle take their picks */
	GHOST_CTL_TIMER = 29,	      /* enclave, cpu, cpus[0 .. 2]: ns from now, period, cookie */
};

/* ghost_ctl.flags of AGENT_ATTACH */
#define GHOST_AGENT_SPINS 0x1 /* it is no thread of our class and never waits for its turn */

/* ghost_ctl.flags of QUEUE_ASSOC, as an answer */
#define GHOST_ASSOC_ALREADY 0x1 /* it had that queue before */
#define GHOST_ASSOC_NEW 0x2	/* its TASK_NEW is still to come, there */

struct ghost_ctl {
	__u32 op;
	__s32 ret;
	__u32 enclave;
	__u32 cpu;
	__u32 tid;
	__u32 abi;
	__u32 capacity;
	__u32 queue;
	__u32 slot;
	__u32 seq;
	__u32 len;
	__u32 flags;
	__u64 stall_ns; /* longest wait of a runnable thread before the agents are given up */
	__u64 cpus[GHOST_CPU_WORDS];
	__u64 token; /* of requests to the agent program: ghost_enclave_status.token */
};

_Static_assert(sizeof(struct ghost_ctl) == 192, "ghost_ctl layout");

#endif
