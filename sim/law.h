/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The laws: what must be true whatever happens.
 * In: what the kernel of the machine does, as it does it. Out: the first law
 * that is broken, by machine_break(). Called by kernel.c and machine.c.
 *
 * What each event must make the laws know from the machine's own view of each
 * thread. The records of core/ are what they judge, never where they learn it.
 */
#ifndef GHOST_SIM_LAW_H
#define GHOST_SIM_LAW_H

#include "sim/machine.h"

/* Around one event of one thread; all values but @type and @numbers from before it. */
struct law_told {
	struct thread *t;
	struct ghost_cpu *page; /* of the queue that gets its messages */
	uint32_t slot;
	const struct ghost_cpu *agent; /* whose number it must advance; NULL: nobody's */
	uint32_t queue;
	uint32_t head;
	uint32_t overflow;
	uint32_t agent_seq;
	uint32_t seq;
	uint32_t type;	  /* the message that it must make; 0: none */
	uint32_t numbers; /* by which the thread's number must advance */
	bool waits;	  /* it came to wait for a commit */
};

/* Who carries a transaction out: cf. enum txn_kind. */
enum law_commit {
	LAW_LOCAL,
	LAW_PICK,
	LAW_REMOTE,
};

int law_new(struct machine *m);
void law_free(struct machine *m);

/* Somebody wrote to a queue's tail: what was read cannot be told from it any more. */
void law_blind(struct machine *m);

/* @cpu's agent was pinged: it must look before its CPU may idle. */
void law_pinged(struct machine *m, uint32_t cpu);

/* The agents of @enclave decide from now on, if only until the end of this event. */
void law_online(struct machine *m, uint32_t enclave);

/* An agent was made to hang: its enclave may be taken from it. */
void law_excuse(struct machine *m);

/* law_waits() - @t waits from now on: for its enclave, or @anywhere. */
void law_waits(struct machine *m, const struct thread *t, bool anywhere);
void law_joined(struct machine *m, struct thread *t, uint32_t slot);
void law_told(struct machine *m, const struct law_told *told);
void law_runs(struct machine *m, const struct thread *t, uint32_t cpu);
/* law_goes_on() - @t goes on on @cpu with another slice. */
void law_goes_on(struct machine *m, uint32_t cpu, const struct thread *t);

/*
 * Around everything that carries out transactions of @enclave: a CPU that
 * looks for work, whose agent's number is @agent_seq, or a request. In between:
 * each move, and each transaction that ended.
 */
void law_commit_begin(struct machine *m, uint32_t enclave, uint32_t agent_seq);
void law_moved(struct machine *m, const struct thread *t, uint32_t slot, uint32_t cpu);
void law_committed(struct machine *m, uint32_t cpu, const struct ghost_txn *txn, uint32_t state,
		   enum law_commit kind);
void law_commit_end(struct machine *m, uint32_t enclave);

/* After each event: everything that can be seen from outside. */
void law_check(struct machine *m);

/* How often each law was held against something: a law that never was proves nothing. */
struct law_counts {
	uint64_t events;    /* messages or overflows counted one by one */
	uint64_t orders;    /* messages compared with the one before */
	uint64_t commits;   /* commits that had to be fresh */
	uint64_t finals;    /* transactions that ended */
	uint64_t places;    /* threads looked for */
	uint64_t runs;	    /* threads on CPUs that must be allowed */
	uint64_t idles;	    /* idle CPUs that must not have news */
	uint64_t rooms;	    /* agents above somebody of the fair class */
	uint64_t fallbacks; /* threads of enclaves without agents */
	uint64_t nowheres;  /* threads that are to run, of enclaves without a CPU */
	uint64_t turns;	    /* threads that wait while a fair fallback lets another go on */
};
const struct law_counts *law_counts(const struct machine *m);

#endif
