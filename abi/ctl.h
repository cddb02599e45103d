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
	GHOST_CTL_ENCLAVE_CREATE = 2,  /* enclave, cpus, stall_ns */
	GHOST_CTL_ENCLAVE_DESTROY = 3, /* enclave: back to fallback, no new members */
	GHOST_CTL_ENCLAVE_FREE = 4,    /* enclave: gone; -EBUSY while it has members */
	GHOST_CTL_TASK_JOIN = 5,       /* enclave, tid: becomes a member when it turns SCHED_EXT */
	GHOST_CTL_TASK_UNJOIN = 6,     /* tid: takes TASK_JOIN back */
	GHOST_CTL_INIT = 7,	       /* capacity: once, by the loader */
	/* agent */
	GHOST_CTL_AGENT_ATTACH = 16,  /* enclave, cpu: the calling thread is that CPU's agent */
	GHOST_CTL_AGENT_ONLINE = 17,  /* enclave: every CPU has its agent, decide from now on */
	GHOST_CTL_AGENT_PING = 18,    /* enclave, cpu: wake that CPU's agent */
	GHOST_CTL_AGENT_OFFLINE = 19, /* enclave: its agents stop, nothing went wrong */
};

struct ghost_ctl {
	__u32 op;
	__s32 ret;
	__u32 enclave;
	__u32 cpu;
	__u32 tid;
	__u32 abi;
	__u32 capacity;
	__u32 pad;
	__u64 stall_ns; /* longest wait of a runnable thread before the agents are given up */
	__u64 cpus[GHOST_CPU_WORDS];
};

_Static_assert(sizeof(struct ghost_ctl) == 168, "ghost_ctl layout");

#endif
