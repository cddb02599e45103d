/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An enclave: a set of CPUs, the threads on them, and their agents. This is
 * the public record, slot 0 of the enclave's status table.
 * In: written by the kernel side. Out: read-only to agents and tools.
 */
#ifndef GHOST_ABI_ENCLAVE_H
#define GHOST_ABI_ENCLAVE_H

#include <linux/types.h>

#include "abi/limits.h"

enum ghost_enclave_state {
	GHOST_ENCLAVE_FREE = 0,
	GHOST_ENCLAVE_IDLE = 1, /* no agents, or none that decide: the fallback runs its threads */
	GHOST_ENCLAVE_ONLINE = 2, /* agents decide */
	GHOST_ENCLAVE_LOST = 3,	  /* an agent died or stalled: the fallback again */
	GHOST_ENCLAVE_DYING = 4,  /* being destroyed */
};

/* Why the agents of an enclave were given up. */
enum ghost_lost_reason {
	GHOST_LOST_NONE = 0,
	GHOST_LOST_AGENT_EXIT = 1,
	GHOST_LOST_STALL = 2, /* a runnable thread waited too long for a commit */
	GHOST_LOST_CPU = 3,   /* one of its CPUs went offline, and with it an agent's place */
};

/*
 * By what the kernel side runs threads while no agents decide; ghost_ctl.flags of
 * GHOST_CTL_ENCLAVE_CREATE. The first two are first come, first served; the third
 * takes weights below 25 and above 400 for these.
 */
enum ghost_fallback {
	GHOST_FALLBACK_FIFO = 0,     /* slices of 5 ms */
	GHOST_FALLBACK_WEIGHTED = 1, /* of 10 ms at nice 0, else by weight; 1 to 100 ms */
	GHOST_FALLBACK_FAIR = 2,     /* of 5 ms; who had least, by weight, is first */
	GHOST_FALLBACK_MAX = 2,
};

/* Which messages about CPUs are sent; ghost_ctl.flags of GHOST_CTL_DELIVER. */
#define GHOST_DELIVER_TICKS 0x1	       /* CPU_TICK */
#define GHOST_DELIVER_AVAILABILITY 0x2 /* CPU_AVAILABLE, CPU_BUSY */
#define GHOST_DELIVER_RUNNABILITY 0x4  /* CPU_AGENT_BLOCKED, CPU_AGENT_WAKEUP */
#define GHOST_DELIVER_ALL 0x7

struct ghost_enclave_status {
	__u64 word; /* no status word: always 0, so that no reader takes it for a thread */
	__u32 abi;
	__u32 id;
	__u32 state;
	__u32 lost_reason;
	__u32 lost_arg; /* tid of the agent that died or the thread that waited; the CPU */
	__u32 capacity; /* slots in the status table */
	__u32 nr_slots; /* no slot at or above this one was ever used */
	__u32 nr_tasks;
	__u32 nr_cpus;
	__u32 deliver;	      /* GHOST_DELIVER_* */
	__u64 nr_no_slot;     /* threads left to the fallback because the table was full */
	__u32 default_queue;  /* of new threads; GHOST_QUEUE_NONE: each has that of a CPU */
	__u32 ring_len;	      /* messages in all queues together */
	__u64 lost_ns;	      /* GHOST_LOST_STALL: how long that thread had waited */
	__u64 fell_ns;	      /* when agents decided no more, the last time; 0: never */
	__u64 online_ns;      /* when agents began to decide, the last time; 0: never */
	__u64 unscheduled_ns; /* longest wait of a runnable thread between the one and the other */
	__u64 token;	      /* who can read it may make requests of agents; never 0 */
	__u32 max_tasks;      /* no more members than this; 0: as many as there is room for */
	__u32 fallback;	      /* enum ghost_fallback */
	__u64 pad1[2];
	__u64 idle[GHOST_CPU_WORDS]; /* CPUs with nothing to run */
};

_Static_assert(sizeof(struct ghost_enclave_status) == 256, "as large as a status word");

#endif
