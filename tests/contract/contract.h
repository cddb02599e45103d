/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract: what a kernel side promises to whoever makes enclaves and
 * agents by hand, be it the real one or the simulated one.
 * In: a world that makes threads and tells them what to do. Out: cases.
 * Worlds are tests/sim/world.c and tests/vm/world.c, programs test_contract.c beside them.
 */
#ifndef GHOST_TESTS_CONTRACT_CONTRACT_H
#define GHOST_TESTS_CONTRACT_CONTRACT_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libghost/agent.h"
#include "libghost/backend.h"
#include "libghost/enclave.h"
#include "libghost/policy.h"
#include "libghost/queue.h"

#define MS 1000000ull

/*
 * The machine has four CPUs. The first is left to whoever runs the cases, the
 * last belongs to no enclave unless a case makes one.
 */
enum {
	CPU_CASE,
	CPU_A,
	CPU_B,
	CPU_OTHER,
	NR_CPUS,
};

/* Of the largest machine that a case asks for. */
#define CPUS_MAX 9
#define PUPPETS_MAX 128
#define AGENTS_MAX CPUS_MAX

struct world;

/* --- puppets: threads that do what they are told -------------------------------- */

enum puppet_order {
	PUPPET_BLOCK, /* until told otherwise */
	PUPPET_SPIN,  /* so as well */
	/* once, then spin */
	PUPPET_YIELD,
	PUPPET_FORK,  /* @child begins its life; it spins */
	PUPPET_MOVE,  /* to @cpus */
	PUPPET_NICE,  /* to @nice */
	PUPPET_NAME,  /* from "puppet" to "renamed" */
	PUPPET_LEAVE, /* our class, for the fair one, and doze there */
	PUPPET_EXIT,
	/* over and over, until told otherwise */
	PUPPET_DOZE,   /* sleep for @nap_ns */
	PUPPET_WANDER, /* move to @cpus, to @there, ... */
	PUPPET_ROAM,   /* so as well, and leave our class in between */
	PUPPET_HERD,   /* move @child to @cpus, to @there, ... */
};

enum puppet_class {
	CLASS_OF_NONE, /* there is no such thread (any more) */
	CLASS_OF_FAIR,
	CLASS_OF_RT,
	CLASS_OF_US,
};

/* Written by the case but for what is said; in memory that the thread can see. */
struct puppet {
	uint32_t tid;	    /* by the world; 0: not there yet */
	uint32_t nr_orders; /* the word to wait on; advances after @order was written */
	uint32_t nr_obeyed; /* by the thread, as are the next two */
	uint32_t rounds;    /* grows while it runs */
	uint32_t cpu;	    /* where it was when it last looked */
	uint32_t order;	    /* enum puppet_order */
	int32_t nice;
	uint32_t slot; /* as a member */
	struct ghost_cpuset cpus;
	struct ghost_cpuset there;
	uint64_t nap_ns;
	struct puppet *child;
};

/*
 * What @p, running on @cpu, is to do next. For worlds: of those over and over
 * they see DOZE, a single nap, and HERD, a single move.
 */
enum puppet_order puppet_next(struct puppet *p, uint32_t cpu);

/* --- worlds --------------------------------------------------------------------- */

/* int: 0 or a negative errno. */
struct world_ops {
	/* A thread of the fair class that may use all CPUs and does as told. */
	int (*start)(struct world *w, struct puppet *p);
	/* There is a new order. */
	void (*poke)(struct world *w, struct puppet *p);
	bool (*asleep)(struct world *w, struct puppet *p);
	uint64_t (*runtime_ns)(struct world *w, struct puppet *p);
	int (*affinity)(struct world *w, struct puppet *p, const struct ghost_cpuset *cpus);
	int (*nice)(struct world *w, struct puppet *p, int nice);
	/* Fair or, as far as the world has it, real-time. */
	int (*set_class)(struct world *w, struct puppet *p, enum puppet_class class_);
	enum puppet_class (*class_of)(struct world *w, struct puppet *p);
	/* As by SIGKILL. */
	void (*kill)(struct world *w, struct puppet *p);
	/* End them all, whatever they do; they are no members any more. */
	int (*end_all)(struct world *w);
	uint64_t (*now_ns)(struct world *w);
	/* Wait until the machine has got over what it was last asked for. May be NULL. */
	void (*settle)(struct world *w);
};

/* An agent made by hand; its thread obeys orders, too. */
struct agent;

struct world {
	const struct world_ops *ops;
	struct ghost_backend *backend;
	struct puppet *puppets; /* [PUPPETS_MAX], zeroed */
	uint32_t nr_cpus;

	/* of the case that runs */
	struct ghost_enclave *e;     /* CPU_A and CPU_B */
	struct ghost_enclave *other; /* CPU_OTHER, in cases that make it; no agents there */
	const struct ghost_memory *mem;
	uint32_t nr_puppets;
	struct agent *agents[AGENTS_MAX];
	uint32_t nr_agents;
	struct agent *agent_on[CPUS_MAX];
	jmp_buf out;
	/*
	 * A thread lost its CPU to a higher class, or was moved off: on a
	 * machine with other threads on it a case may fail by that.
	 */
	uint32_t nr_disturbed;
	char failure[512]; /* "" while all is well */
	bool unclean;	   /* what the case made could not be taken down */
	struct ghost_agents *agents_of_policy;
	const char *policy; /* its name, for the failure; NULL: none */
};

struct contract_case {
	const char *name;
	void (*run)(struct world *w);
	uint32_t nr_cpus; /* of its machine; 0: NR_CPUS */
};

/* CASE(case_x), or CASE(case_x, .nr_cpus = 9) */
#define CASE(function, ...) { .name = #function, .run = function, __VA_ARGS__ }

/* Each ends with a NULL name: what was there first; commits to other CPUs; queues. */
extern const struct contract_case contract_cases[];
extern const struct contract_case contract_remote_cases[];
extern const struct contract_case contract_queue_cases[];
extern const struct contract_case *const contract_suites[]; /* of these; ends with NULL */
/* What the tests of the original assert, see docs/conformance.md; in programs of their own. */
extern const struct contract_case contract_conformance_cases[];
extern const struct contract_case contract_policy_cases[];
/* Those that need a larger machine. */
extern const struct contract_case contract_wide_cases[];

/*
 * contract_run() - the case, in an enclave of its own, and everything taken
 * down. @w->ops, backend and puppets are given; the rest tells how it went.
 */
void contract_run(struct world *w, const struct contract_case *c);

/*
 * contract_main() - what remains of main(), by each world: a machine, and all
 * cases of @suites (which ends with NULL) or those that @argv[1] picks
 */
int contract_main(const char *name, const struct contract_case *const *suites, int argc,
		  char **argv);

/* --- for cases: judging --------------------------------------------------------- */

/* The case has failed; does not return. */
void contract_fail(struct world *w, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5), noreturn));

#define fail_case(w, ...) contract_fail(w, __FILE__, __LINE__, __VA_ARGS__)

#define check(w, condition)                                    \
	do {                                                   \
		if (!(condition))                              \
			fail_case(w, "not true: " #condition); \
	} while (0)

#define check_is(w, got, wanted)                                                          \
	do {                                                                              \
		long long got_ = (got), wanted_ = (wanted);                               \
		if (got_ != wanted_)                                                      \
			fail_case(w, #got " is %lld, should be " #wanted " (%lld)", got_, \
				  wanted_);                                               \
	} while (0)

/* Within @ms it is true. */
#define within(w, ms, condition)                                                        \
	do {                                                                            \
		for (uint32_t left_ = (ms); !(condition); left_--) {                    \
			if (!left_)                                                     \
				fail_case(w, "not true after " #ms " ms: " #condition); \
			pass(w, 1);                                                     \
		}                                                                       \
	} while (0)

/* Longer than anything may take that is said to happen. */
#define PATIENCE 5000
#define until(w, condition) within(w, PATIENCE, condition)

/* Let @ms pass. */
void pass(struct world *w, uint32_t ms);

/* --- for cases: puppets --------------------------------------------------------- */

struct ghost_cpuset cpus_of(int a, int b); /* @b may be -1 */

struct puppet *puppet_new(struct world *w); /* fair class, asleep */
void order(struct world *w, struct puppet *p, enum puppet_order what);
/* Have it fork. The child may not be there yet. */
struct puppet *order_fork(struct world *w, struct puppet *p);
/* Does it run now? */
bool runs(struct world *w, struct puppet *p);
bool runs_on(struct world *w, struct puppet *p, uint32_t cpu);
/* Wait until it does. */
void see_on(struct world *w, struct puppet *p, uint32_t cpu);
void move(struct world *w, struct puppet *p, struct ghost_cpuset cpus);
void renice(struct world *w, struct puppet *p, int nice);
/* A thread above ours that keeps @cpu to itself until hog_off(). */
struct puppet *hog_on(struct world *w, uint32_t cpu, enum puppet_class class_);
void hog_off(struct world *w, struct puppet *hog);

/* --- for cases: members --------------------------------------------------------- */

/* A member that sleeps; its TASK_NEW, if there are agents, was read. */
struct puppet *member_asleep(struct world *w);
/* A member that waits for a commit; all messages were read. */
struct puppet *member_waiting(struct world *w);
void join(struct world *w, struct ghost_enclave *e, struct puppet *p);
/* @w->other. */
void other_enclave(struct world *w);
/* Its slot in @e, also kept in @p->slot; waits for it. */
uint32_t find_slot(struct world *w, struct ghost_enclave *e, struct puppet *p);

const struct ghost_status *status_of(struct world *w, const struct puppet *p);
uint32_t flags_of(struct world *w, const struct puppet *p);
uint32_t seq_of(struct world *w, const struct puppet *p);
/* The CPU whose queue gets its messages. */
uint32_t home_of(struct world *w, const struct puppet *p);

/* --- for cases: messages -------------------------------------------------------- */

bool pop(struct world *w, uint32_t cpu, struct ghost_msg *ret);
/* Read all there is. */
void drain(struct world *w);
/* The next message in the queue of @p is of @type and about @p; waits for it. */
struct ghost_msg expect(struct world *w, const struct puppet *p, uint32_t type);
/* No message for @ms. */
void expect_none(struct world *w, uint32_t ms);

/* --- for cases: agents and their transactions ----------------------------------- */

int ctl_admin(struct world *w, uint32_t op, uint32_t enclave);
int ctl_agent(struct world *w, uint32_t op, uint32_t enclave, uint32_t cpu);
const struct ghost_cpu *page(struct world *w, uint32_t cpu);
struct ghost_cpu_rw *rw(struct world *w, uint32_t cpu);
uint32_t agent_seq(struct world *w, uint32_t cpu);
uint32_t enclave_state(struct world *w);

/*
 * A thread that pins itself to @pin (GHOST_CPU_NONE: does not), asks to be the
 * agent of @cpu in enclave @id, and enters the class. Its answer is in *@ret_err;
 * it may have become none all the same. NULL when the request was refused.
 */
struct agent *agent_try(struct world *w, uint32_t id, uint32_t cpu, uint32_t pin, int *ret_err);
/* The same for an agent that spins. */
struct agent *spinner_try(struct world *w, uint32_t id, uint32_t cpu, uint32_t pin, int *ret_err);
/* How one becomes an agent. */
enum agent_way {
	AGENT_ENTERS,	   /* our class */
	AGENT_SPINS,	   /* in no class of ours */
	AGENT_IS_MEMBER,   /* of @w->e, when it would spin */
	AGENT_SPINS_TWICE, /* on the other CPU, too */
};

/* What the last request of one came to that would spin, and has ended since. */
int spinner_refused(struct world *w, uint32_t cpu, enum agent_way way);
/* An agent on @cpu of @w->e. */
void agent_start(struct world *w, uint32_t cpu);
void agent_leave(struct world *w, struct agent *a);
uint32_t agent_tid(const struct agent *a);
/* On all CPUs of @w->e, and they decide from now on. */
void agents_up(struct world *w);
/* The same with agents that spin, which are no threads of our class. */
void spinners_up(struct world *w);
/* @w->e anew, with these CPUs. */
void enclave_anew(struct world *w, struct ghost_cpuset cpus);
/* With CPU_OTHER as well. */
void wide_enclave(struct world *w);
/* Agents of the library decide by @policy; their messages are not for cases. */
void policy_up(struct world *w, const struct ghost_policy *policy);
void policy_down(struct world *w);
/* The agent of @cpu makes the request @ctl; returns as ctl_agent(), the answers are in @ctl. */
int agent_ask(struct world *w, uint32_t cpu, struct ghost_ctl *ctl);
/* The agent of @cpu sleeps for @ns, and waits for its next order again. */
void agent_nap(struct world *w, uint32_t cpu, uint64_t ns);
/* It computes, and does not give its CPU up, until its next order. */
void agent_spin(struct world *w, uint32_t cpu);
/* As by SIGKILL; of a spinning agent. */
void agent_die(struct world *w, uint32_t cpu);

/* What a transaction for @p must say now. @p NULL: nothing to run. */
struct ghost_txn fresh(struct world *w, uint32_t cpu, const struct puppet *p);
/*
 * The agent of @cpu writes @t, makes it READY and yields; commit_end() waits
 * until it is chosen again, and returns the state it finds then. In between,
 * commit_settled() waits for the final state.
 */
void commit_begin(struct world *w, uint32_t cpu, const struct ghost_txn *t);
uint32_t commit_settled(struct world *w, uint32_t cpu);
uint32_t commit_end(struct world *w, uint32_t cpu);
bool commit_ended(struct world *w, uint32_t cpu);
/* Begin and end: for those that are refused. */
uint32_t commit(struct world *w, uint32_t cpu, const struct ghost_txn *t);
/* Begin, and see it carried out. */
void carried_out(struct world *w, uint32_t cpu, const struct ghost_txn *t);
/* The agent has nothing to run, and its CPU to give up. */
void rest(struct world *w, uint32_t cpu);
/* The agent yields without a transaction. */
void yield_begin(struct world *w, uint32_t cpu);
/* Write @t, READY, for @cpu; nobody is told. */
void write_txn(struct world *w, uint32_t cpu, const struct ghost_txn *t);
/*
 * Have the agent of @from commit what stands written for the CPUs @a and @b
 * (which may be -1). Returns how many were carried out.
 */
uint32_t commit_from(struct world *w, uint32_t from, int a, int b, uint32_t flags);
/* The same for one transaction: its final state. */
uint32_t remote(struct world *w, uint32_t from, uint32_t cpu, const struct ghost_txn *t);
/* Commit @p on @cpu and see it there. */
void put_on(struct world *w, uint32_t cpu, struct puppet *p, uint64_t slice_ns);

#endif
