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
 *	ABSENT -> NEW -> BLOCKED <-> CUSTODY -> LATCHED -> RUNNING -> BLOCKED, CUSTODY ...
 *
 * LATCHED is on a CPU's queue by a commit, RUNNING on the CPU. FALLBACK is
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
	CORE_TASK_RUNNING,
	CORE_TASK_FALLBACK,
	/*
	 * Plus a CPU: in custody still, and about to be moved by a commit there.
	 * The CPU is named so that a commit that fails takes back its own claim
	 * and never somebody else's (tests/model/seqnum.pml).
	 */
	CORE_TASK_CLAIMED = 0x10000,
};

/* core_task.flags; changed by events only, under the thread's run-queue lock */
#define CORE_TASK_YIELDED 0x1	/* it called sched_yield() and has not been put back yet */
#define CORE_TASK_OUTSIDE 0x2	/* its affinity has no CPU of the enclave */
#define CORE_TASK_PINNED 0x4	/* its affinity has one CPU of the enclave: nobody else can help */
#define CORE_TASK_ASSOCED 0x8	/* its queue was chosen for it: commits do not change it */
#define CORE_TASK_CONFINED 0x10 /* it has migration disabled, since it was enqueued */
#define CORE_TASK_UNSURE 0x20 /* OUTSIDE and PINNED may be about CPUs that the enclave had before */

/*
 * @assoc: 1 + the queue that it is to have, in the high half, and the number
 *	before its next event, in the low half. An agent stores it, the event
 *	with the next number takes it; cf. queue_assoc() and msg_send().
 * @run: GHOST_RUN_* of the commit by which it was put on its CPU.
 * @since_ns: since when it waits for a commit, or the fallback; LATCHED: when it
 *	was committed.
 */
struct core_task {
	__u32 state;
	__u32 enclave;
	__u32 seq;   /* goes on across incarnations: an old commit never fits */
	__u32 queue; /* which gets its messages */
	__u32 run;
	__u32 flags;
	__u64 gtid;
	__u64 since_ns;
	union {
		__u32 next_free; /* while it is in the list of free slots */
		__u64 vtime_ns;	 /* what it has had of the fallback, by weight */
	};
	__u64 assoc;
	__u32 epoch;   /* core_enclave.epoch at its last message */
	__u16 on;      /* 1 + the CPU for which it is committed, until it leaves that; 0: none */
	__u16 returns; /* times it came back without having run */
};

_Static_assert(sizeof(struct core_task) == 64, "one cache line");

/*
 * Linux 7.3 throws the scheduler out, for all enclaves, when a thread comes back
 * more than 256 times without having run (SCX_REENQ_MAX_REPEAT). Long before
 * that a commit does not let it come back any more. If agents come and go
 * instead, in the end the kernel runs it.
 */
#define CORE_RETURNS_STAY 64
#define CORE_RETURNS_GLOBAL 192
/* The same of an agent, which waits there while agents do not decide: on its CPU after that. */
#define CORE_TURNS_MAX 64

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
	__u32 looked;	   /* and its transaction was looked at */
	__u32 txn_due;	   /* it was parked before that */
	__u32 kicked;	   /* the kernel side itself moved the running thread off */
	__u32 nr_yields;   /* times the agent gave the CPU up */
	__u32 beat_yields; /* of them, at the last heartbeat that saw a change */
	__u32 beats;	   /* heartbeats since */
	__u32 seq;	   /* advances when a member comes to this CPU or leaves it */
	__u32 runs;	   /* the member that a commit has put there, until it leaves; 0: none */
	__u32 displaced;   /* the member that a commit takes off; 0: none */
	__u32 elide;	   /* and nobody wants to be told */
	__u32 taken;	   /* a higher class has the CPU */

	/* Written from other CPUs, too. */
	__u32 spins;	 /* its agent is no thread of our class */
	__u32 off;	 /* offline */
	__u32 not_idle;	 /* tell once when a higher class ends its idling */
	__u32 rtla_idle; /* let its agent run once when it would go idle */

	/* Its part of a synchronised group, while that is being committed; cf. txn_sync(). */
	__u32 group_by; /* 1 + the CPU of the agent whose group it is */
	__u32 group;
	__u32 group_state;
	__u32 group_there;
	__u32 group_slot;
	__u32 group_seq;
	__u32 group_flags;
	__u64 group_slice_ns;
	__u32 nth; /* which of its agents this one is, or was the last */

	/* Of the request that its agent makes now: too much for a BPF program's stack. */
	__u64 asked[GHOST_CPU_WORDS];

	/* The timer that an agent has armed for it; @timer_on: 0 when it has not. */
	__u32 timer_on;
	__u32 slice_slot;      /* whose slice a timer ends */
	__u64 timer_period_ns; /* 0: it expires once */
	__u64 timer_cookie;
	__u64 slice_ns;
	__u64 slice_commit_ns; /* of which commit */
	__u32 turns;	       /* times its agent got into the fallback's queue since it ran */
	__u32 pad1[5];
};

_Static_assert(sizeof(struct core_cpu) == 320, "core_cpu layout");

/* core_enclave.state, beside enum ghost_enclave_state: its CPUs change just now. */
#define CORE_ENCLAVE_CHANGING 0x100

struct core_enclave {
	__u32 state;
	__u32 nr_cpus;
	__u32 nr_agents;
	__u32 next_cpu; /* where the next thread without a queue goes */
	__u32 nr_words; /* words of a CPU mask that can have a CPU of this enclave */
	__u32 default_queue;
	__u32 ring_made; /* where in the ring the queues begin that agents make */
	__u32 ring_len;
	__u64 stall_ns;
	__u32 deliver; /* GHOST_DELIVER_* */
	__u32 making;  /* somebody makes or removes a queue */
	__u32 epoch;   /* advances when agents come online, or its CPUs change */
	__u32 first_cpu;
	__u64 fell_ns; /* when its agents decided no more */
	__u64 token;   /* what requests of agents must know */
	__u32 gen;     /* advances when an enclave with this id is made */
	__u32 max_tasks;
	__u64 slo_ns;	   /* longer than this no thread should wait for a commit; 0: nobody asks */
	__u64 slo_from_ns; /* who was ready before does not count */
	__u32 fallback;	   /* enum ghost_fallback */
	__u32 nowhere;	   /* none of its CPUs is online */
	__u64 vtime_ns;	   /* the vtime_ns of those whom the fallback runs */
	__u64 dying_ns;	   /* when it began to end */
	__u64 pad[1];
	__u64 cpus[GHOST_CPU_WORDS];
	__u64 asked[GHOST_CPU_WORDS]; /* that it is to have, while they change */
};

_Static_assert(sizeof(struct core_enclave) == 384, "core_enclave layout");

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
	__u64 beat_ns;	/* the last heartbeat */
	__u64 still_ns; /* the last one that came late: the machine had stood still */
	__u64 still_for_ns;
	__u64 pad[2];
};

_Static_assert(sizeof(struct core_slots) == 64, "one cache line");

#endif
