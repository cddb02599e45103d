/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the mechanism remembers and never shows to agents: one record per
 * thread, CPU and enclave, and the list of free slots.
 * In: nothing. Out: types. Who writes each field is said beside it.
 */
#ifndef GHOST_CORE_RECORD_H
#define GHOST_CORE_RECORD_H

#include <linux/types.h>

#include "abi/limits.h"

/*
 *	ABSENT -> NEW -> BLOCKED <-> CUSTODY -> LATCHED -> BLOCKED, CUSTODY ...
 *
 * LATCHED is on a CPU's queue by a commit, or runs; sched_ext would tell the
 * two apart at the price of one more callback per switch. FALLBACK is
 * runnable or running without a commit. All transitions are made by events
 * under the thread's run-queue lock, except CUSTODY -> CLAIMED -> LATCHED, or
 * back, which a commit makes with compare-exchange.
 */
enum core_task_state {
	CORE_TASK_ABSENT = 0,
	CORE_TASK_NEW,
	CORE_TASK_BLOCKED,
	CORE_TASK_CUSTODY,
	CORE_TASK_LATCHED,
	CORE_TASK_FALLBACK,
	/*
	 * Plus a CPU: in custody still, and about to be moved by a commit there.
	 * The CPU is named so that a commit that fails takes back its own claim
	 * and never somebody else's (tests/model/seqnum.pml).
	 */
	CORE_TASK_CLAIMED = 0x10000,
};

/* core_task.flags */
#define CORE_TASK_YIELDED 0x1 /* it called sched_yield() and has not been put back yet */
#define CORE_TASK_OUTSIDE 0x2 /* its affinity has no CPU of the enclave */
#define CORE_TASK_PINNED 0x4  /* its affinity has one CPU of the enclave: nobody else can help */

struct core_task {
	__u32 state;
	__u32 enclave;
	__u32 seq;   /* goes on across incarnations: an old commit never fits */
	__u32 queue; /* CPU whose queue gets its messages */
	__u32 cpu;   /* where it runs or last ran */
	__u32 flags;
	__u64 gtid;
	__u64 custody_ns; /* since when it waits for a commit */
	__u32 next_free;
	__u32 tid;
	__u64 pad[2];
};

_Static_assert(sizeof(struct core_task) == 64, "one cache line");

/* Where an agent waits. */
enum core_place {
	CORE_PLACE_NONE = 0, /* nowhere: it runs, sleeps, or lost its CPU to a higher class */
	CORE_PLACE_STANDBY,  /* on its CPU's queue, behind the thread it committed */
	CORE_PLACE_PARKED,   /* in its own DSQ: it had nothing to run */
};

struct core_cpu {
	__u32 enclave;	   /* owner of this CPU; changed only by admin requests */
	__u32 agent_tid;   /* its agent; 0: none */
	__u32 agent_seen;  /* agent_seq when the agent last gave the CPU up */
	__u32 yielded;	   /* the agent called sched_yield() and has not been put back */
	__u32 decided;	   /* and its transaction put a thread there */
	__u32 place;	   /* enum core_place */
	__u32 txn_due;	   /* it was parked before its transaction was looked at */
	__u32 kicked;	   /* the kernel side itself moved the running thread off */
	__u32 nr_yields;   /* times the agent gave the CPU up */
	__u32 beat_yields; /* of them, at the last heartbeat that saw a change */
	__u32 beats;	   /* heartbeats since */
	__u32 pad0;
	__u64 pad[2];
};

_Static_assert(sizeof(struct core_cpu) == 64, "one cache line");

struct core_enclave {
	__u32 state; /* enum ghost_enclave_state */
	__u32 nr_cpus;
	__u32 nr_agents;
	__u32 next_cpu; /* where the next thread without a queue goes */
	__u32 nr_words; /* words of a CPU mask that can have a CPU of this enclave */
	__u32 pad0;
	__u64 stall_ns;
	__u64 pad1[4];
	__u64 cpus[GHOST_CPU_WORDS];
};

_Static_assert(sizeof(struct core_enclave) == 192, "core_enclave layout");

/*
 * Free slots form a stack. The head carries a counter in its high half so
 * that a slot freed and taken again between load and compare-exchange is
 * noticed.
 */
struct core_slots {
	__u64 head;
	__u32 capacity;
	__u32 next_gen; /* high half of the next gtid */
	__u32 scan;	/* where the stall scan goes on */
	__u32 used;	/* slots below this one were used at least once */
	__u64 pad[5];
};

_Static_assert(sizeof(struct core_slots) == 64, "one cache line");

#endif
