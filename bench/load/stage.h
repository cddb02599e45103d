/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An enclave made by hand, to measure single steps of it: the calling thread is
 * its agent on the first CPU, spins, and decides for all; actors are processes
 * that do one thing when told.
 * In: a loaded kernel side. Out: threads woken, committed, seen to run, with
 * times. Called by table3.c.
 */
#ifndef GHOST_BENCH_LOAD_STAGE_H
#define GHOST_BENCH_LOAD_STAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/abi.h"
#include "libghost/backend.h"
#include "libghost/barrier.h"
#include "libghost/enclave.h"

#define STAGE_TARGETS_MAX 10
#define STAGE_ACTORS_MAX 12

/* The agent's own CPU; the others are the targets, counted from 1. */
#define STAGE_AGENT_CPU 0
#define STAGE_TARGET 1

/*
 * Lies in memory that its process and the agents see. The first group is for
 * the process, @go a word to wait on. The second is what agents know of it:
 * whoever reads its messages writes it, the flags last (release).
 */
struct actor {
	_Alignas(64) uint32_t go; /* by the agent: advances, the actor is to do its thing */
	uint32_t release;	  /* by the agent: whoever it is that waits need not any more */
	uint32_t done;		  /* by the actor: the last @go that it has followed */
	uint64_t ran_ns;	  /* by the actor, before @done: when it found itself running */

	_Alignas(64) uint32_t waits; /* in custody, to be committed */
	uint32_t asleep;
	uint32_t lost;	    /* it was put off its CPU by others: commit it again */
	uint32_t put;	    /* the last @go for which it was committed */
	uint32_t seq;	    /* its number */
	uint64_t event_ns;  /* its last message: when it happened, */
	uint64_t got_ns;    /* and when an agent had it */
	uint64_t commit_ns; /* when the agent of its CPU had written its transaction */
	uint32_t event;	    /* enum ghost_msg_type */
	uint32_t disturbed; /* times that something else got in the way */

	/* by the agent that decides alone */
	pid_t pid;
	uint32_t slot;
	uint32_t cpu; /* where it is to run */
	bool timed;   /* a timer is to end its slice, which is long */
};

struct stage {
	struct ghost_backend *backend;
	struct ghost_enclave *enclave;
	const struct ghost_memory *mem;
	const struct ghost_enclave_status *status;
	struct actor *actor; /* [STAGE_ACTORS_MAX] */
	uint32_t nr_actors;
	uint32_t nr_targets;
	uint32_t queue;	   /* where messages go; polled by the agent that decides */
	uint64_t deadline; /* of what is waited for */
	bool loaded;	   /* the kernel side, by us */
	bool apart;	   /* whoever lost its CPU gets it back by others than stage_turn() */

	/* agents of the targets */
	bool parked; /* threads of our class that wait for messages; else they sleep for good */
	bool decide; /* and commit whoever of their CPU waits */
	void *thread[STAGE_TARGETS_MAX];
	uint32_t nr_threads;
	uint32_t nr_ready; /* word */
	uint32_t stop;	   /* word */
	int agent_err;
	bool attached; /* the caller is the agent that decides */
};

uint64_t stage_now_ns(void);
void stage_futex_wait(uint32_t *word, uint32_t value);
void stage_futex_wake(uint32_t *word);

/* Ends the program with @status and a sentence; takes the stage down before. */
__attribute__((noreturn, format(printf, 2, 3))) void stage_die(int status, const char *format, ...);

/* Load the kernel side unless it is there, and open it. */
void stage_load(struct stage *s);
/* The opposite, also of stage_open(). */
void stage_unload(struct stage *s);

/* A process that runs @main; before stage_open(). The next actor. */
struct actor *stage_actor(struct stage *s, void (*main)(struct stage *s, struct actor *a));
/*
 * Make the enclave of the agent's CPU and @nr_targets more; the caller becomes the
 * agent that decides. @parked: the targets have agents of our class, whose
 * queues get what stage_direct() says.
 */
void stage_open(struct stage *s, uint32_t nr_targets, bool parked);
void stage_close(struct stage *s);
/* @a is a member from now on, to run on CPU @cpu. */
void stage_join(struct stage *s, struct actor *a, uint32_t cpu);
/* Its messages go to the queue of its CPU, and so to the agent there. */
void stage_direct(struct stage *s, struct actor *a);

/* One round of the agent's loop while it waits for @what, for the @n-th time. */
void stage_turn(struct stage *s, uint32_t n, const char *what);
#define stage_until(s, cond, what)                     \
	for (uint32_t turn_nr = 0; !(cond); turn_nr++) \
	stage_turn(s, turn_nr, what)

/* Make @a runnable; returns when it waits to be committed. */
void stage_wake(struct stage *s, struct actor *a);
bool stage_idles(const struct stage *s, uint32_t cpu);
/* Until its CPU has nothing to do, and may be had. */
void stage_rest(struct stage *s, uint32_t cpu);
/* Write the transaction that puts @a on its CPU. */
void stage_write(struct ghost_txn *txn, const struct actor *a);
/* Was the transaction that lies there carried out? If not, @a is committed in a later turn. */
bool stage_settle(struct stage *s, struct actor *a);
/* A request of the agent for @cpus; the answer must be 0. */
void stage_ask(struct stage *s, struct ghost_ctl *ctl);
/* Wait until @a has run and sleeps again. */
void stage_rested(struct stage *s, struct actor *a);

#endif
