/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the parts of the agent loop share: agents, and the words between them.
 * In: agent.c, inbox.c, percpu.c, central.c. Out: types and a few calls.
 * Internal to the library.
 */
#ifndef GHOST_LIBGHOST_LOOP_H
#define GHOST_LIBGHOST_LOOP_H

#include "libghost/agent.h"
#include "libghost/backend.h"
#include "libghost/barrier.h"
#include "libghost/policy.h"
#include "libghost/task.h"

/* A decision in the making: which thread, as of which number, for how long. */
struct pick {
	struct ghost_task *task; /* NULL: none */
	uint32_t seq;
	uint32_t flags; /* GHOST_RUN_* */
	uint64_t slice_ns;
};

/* One per CPU of the enclave. */
struct ghost_agent {
	void *data; /* the policy's; first: ghost_agent_data() looks here */
	struct ghost_agents *all;
	struct pick pick; /* for this CPU */
	uint32_t cpu;
	uint32_t nr_free; /* CPUs in @free */
	bool wake_any;
	/* Central: this CPU, as the agent that decides sees it. */
	struct ghost_task *current; /* committed there, and no message says that it left */
	uint64_t began_ns;	    /* when it came there; 0: it has not been seen there yet */
	uint64_t committed_ns;	    /* when that was */
	struct pick staged;	    /* written ahead for when that one leaves */

	const struct ghost_cpu *page;
	struct ghost_cpu_rw *rw;
	uint64_t now_ns; /* of this round; 0: nobody has asked yet */
	uint64_t due_ns; /* when the policy wants to be called again; ~0: when there is news */
	struct ghost_cpuset free; /* CPUs that may be picked for, in this round */
	struct ghost_cpuset wake;
	uint16_t *neighbours;
	uint32_t nr_neighbours;

	/* of this CPU's queue; any agent may drain it, one at a time */
	struct ghost_lock queue_lock;
	uint32_t overflow_seen;

	/* Central: whose turn it is to decide. */
	uint32_t turn; /* word: advances when it is ours */
	uint32_t wanted_seen;
	uint32_t nr_only;  /* threads that wait to be picked and can run nowhere else */
	uint64_t since_ns; /* when this turn began */

	void *thread; /* the backend's; NULL: not started */
	int err;      /* why it could not become an agent */
};

enum agents_phase {
	AGENTS_WAITING,	 /* for others to end */
	AGENTS_STARTING, /* each becomes the agent of its CPU */
	AGENTS_GO,
	AGENTS_STOP,
};

struct ghost_agents {
	struct ghost_enclave *enclave;
	struct ghost_backend *backend;
	const struct ghost_memory *mem;
	const struct ghost_policy *policy;
	const struct ghost_enclave_status *status;
	uint64_t params[32];
	void *data;
	struct task_table tasks;
	struct ghost_cpuset cpus;
	bool new_cpus; /* the enclave is to have these */
	uint32_t nr;
	struct ghost_agent *agent;   /* [nr] */
	struct ghost_agent **by_cpu; /* [mem->nr_cpus], NULL where not ours */
	bool central;		     /* one of the agents decides for all CPUs */

	/* central */
	uint32_t queue; /* where all messages go */
	bool rebuilt;	/* the table was read */
	uint32_t overflow_seen;
	struct ghost_cpuset picked;
	bool any_picked;
	struct ghost_cpuset staged; /* CPUs with a pick written ahead */
	struct ghost_cpuset kick;   /* of them, those that idle */
	bool any_kick;
	uint32_t nr_staged;
	uint32_t nr_waiting; /* threads that wait to be picked */
	uint32_t nr_rounds;

	/* Words to wait for; changed by atomic operations only. */
	uint32_t nr_there; /* their threads are on their CPUs */
	uint32_t nr_ready; /* became agents, or failed to */
	uint32_t nr_ended;
	uint32_t ended; /* all have */
	uint32_t phase; /* enum agents_phase */

	struct ghost_guard *guard; /* NULL: nobody starves here */
	void *guard_thread;

	struct hints *hints;
	int hints_err; /* why applications cannot give any; 0: they can */
};

/* A place where the agent may lose its CPU; a real machine needs no asking. */
static inline void step(struct ghost_agent *a, enum ghost_step what)
{
	if (a->all->backend->step)
		a->all->backend->step(a->all->backend, what);
}

/* One that decides for all CPUs meets nobody: it pays for no lock. */
static inline void task_lock(const struct ghost_agents *all, struct ghost_task *t)
{
	if (!all->central)
		ghost_lock(&t->lock);
}

static inline void task_unlock(const struct ghost_agents *all, struct ghost_task *t)
{
	if (!all->central)
		ghost_unlock(&t->lock);
}

/* Do the agents decide, and shall they go on? */
static inline bool agents_online(const struct ghost_agents *all)
{
	return __atomic_load_n(&all->status->state, __ATOMIC_ACQUIRE) == GHOST_ENCLAVE_ONLINE &&
	       ghost_load_acquire(&all->phase) == AGENTS_GO;
}

static inline uint32_t enclave_of(const struct ghost_agents *all)
{
	return ghost_enclave_id(all->enclave);
}

/* --- agent.c ----------------------------------------------------------------------------- */

/* GHOST_CTL_QUEUE_*: 0 or a negative errno. */
int queue_request(struct ghost_agents *all, struct ghost_ctl *ctl);

/* --- inbox.c: messages, and what they say of threads ---------------------------------- */

/* Handle one message. */
void inbox_handle(struct ghost_agent *a, const struct ghost_msg *m);
/* Bring what is known of all threads up to what the status table says; @queue: of that one only. */
void inbox_rebuild(struct ghost_agent *a, uint32_t queue);
/* @t does not wait to be picked any more. */
void inbox_taken(struct ghost_agent *a, struct ghost_task *t);
/* The policy takes back its pick of @t itself. False when a message did so before. */
bool inbox_back(struct ghost_agent *a, struct ghost_task *t, uint32_t seq);
/* The pick of @t was not carried out, with @state: whose is the thread now? */
void inbox_refused(struct ghost_agent *a, struct ghost_task *t, uint32_t seq, uint32_t state);

/* --- percpu.c, central.c: what an agent does all day ------------------------------------ */

void percpu_loop(struct ghost_agent *a);

/* Set up and take down what all agents of the central model share. 0 or a negative errno. */
int central_open(struct ghost_agents *all);
void central_close(struct ghost_agents *all);
void central_loop(struct ghost_agent *a);
/* All of them look at the phase. */
void central_wake_all(struct ghost_agents *all);

#endif
