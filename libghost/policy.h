/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A policy: what runs next. A constant table of functions in the order of a
 * thread's life; the library owns the loop, the ordering rules, the thread
 * table and recovery.
 * In: callbacks, from the agent loop. Out: picks. Written by policy authors.
 *
 * What a policy may rely on:
 *  - Callbacks about one thread come one at a time, in the order of its
 *    events, whichever agent runs them.
 *  - Callbacks of different agents run at the same time. Data of a thread is
 *    safe between its callbacks; data shared by CPUs is not: keep it in
 *    policies/runq.h, which locks inside. A central policy has one agent at a
 *    time, and needs no locks.
 *  - No callback may block, allocate, read a clock or call the system. What
 *    is needed is passed in or asked of the agent, the time too.
 */
#ifndef GHOST_LIBGHOST_POLICY_H
#define GHOST_LIBGHOST_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"
#include "libghost/topo.h"

struct ghost_agent;
struct ghost_task;

/* --- a thread, as a policy sees it ---------------------------------------- */

/* Where ghost_task_data() looks: every callback asks, and a call costs more than the answer. */
#define GHOST_TASK_DATA 96

/* Private data, ghost_policy.task_size bytes, zeroed when the thread appears. */
static inline void *ghost_task_data(struct ghost_task *t)
{
	return (char *)t + GHOST_TASK_DATA;
}

uint32_t ghost_task_tid(const struct ghost_task *t);
/* The CPU it runs or last ran on. */
uint32_t ghost_task_cpu(const struct ghost_task *t);
/* May it run on @cpu? As of now; it can change before a commit, which is then refused. */
bool ghost_task_allowed(const struct ghost_task *t, uint32_t cpu);
/* -20 to 19, as of now. */
int32_t ghost_task_nice(const struct ghost_task *t);
/* What the nice value is worth, as of now: 100 is nice 0, 1 to 10000 as cgroups count. */
uint32_t ghost_task_weight(const struct ghost_task *t);
/*
 * Its name, which ends with a NUL. As of its joining; a change shows 50 ms later,
 * in large tables up to 6 s. Read at that moment it may be of both.
 */
void ghost_task_name(const struct ghost_task *t, char ret_name[GHOST_COMM_LEN]);
/* The id of its cgroup, which is the inode number of the directory. As of the same time. */
uint64_t ghost_task_cgroup(const struct ghost_task *t);
/* CPU time consumed until it last left a CPU, ns. */
uint64_t ghost_task_runtime_ns(const struct ghost_task *t);
/*
 * Has it a name that fits @pattern (as fnmatch(3): "make*")? A new name is known
 * only a moment later, see docs/status.md.
 */
bool ghost_task_named(const struct ghost_task *t, const char *pattern);

/* What its application says of it; see docs/hints.md. */
struct ghost_hint {
	uint32_t class_;      /* GHOST_HINT_CLASS_*, at most GHOST_HINT_CLASS_MAX */
	uint32_t flags;	      /* GHOST_HINT_RUNNABLE or GHOST_HINT_IDLE; 0: not said */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC, at most INT64_MAX; 0: none */
	uint64_t expected_ns; /* of CPU time, at most GHOST_HINT_EXPECTED_MAX_NS; 0: not said */
};

/**
 * ghost_task_hint() - what the application says of @t
 * @ret: receives it; untouched when there is none
 *
 * Says true of a thread whose process has given a page of hints and which has an
 * entry there. Values are in their ranges; whether they are true nobody knows.
 * They are those of this moment, or, if they are just being written, those of the
 * last time somebody asked. A change of a hint wakes nobody: ask when it matters.
 *
 * For any callback. A few loads and a lock of @t's own; no system call.
 */
bool ghost_task_hint(const struct ghost_task *t, struct ghost_hint *ret);

/* --- what a policy may ask of the agent that calls it ---------------------- */

/* Private data of the policy, ghost_policy.size bytes, one for all agents. */
static inline void *ghost_agent_data(const struct ghost_agent *a)
{
	return *(void *const *)a; /* the first of what the library knows of it */
}

/* The CPU this agent runs on. */
uint32_t ghost_agent_cpu(const struct ghost_agent *a);
/* All CPUs of the enclave. */
const struct ghost_cpuset *ghost_agent_cpus(const struct ghost_agent *a);
/* Has @cpu nothing to run? A hint: it may change at any time. */
bool ghost_agent_cpu_idle(const struct ghost_agent *a, uint32_t cpu);
/*
 * The CPU of the enclave where @t should wait if it is to run on @cpu: that one
 * if it may run there, else where it ran last, else the first where it may run.
 * GHOST_CPU_NONE if there is none: then the kernel runs it outside, and
 * task_runnable() follows when that changes.
 */
uint32_t ghost_agent_fit(const struct ghost_agent *a, const struct ghost_task *t, uint32_t cpu);
/* CPUs of the enclave by distance from this agent's, nearest first; itself excluded. */
const uint16_t *ghost_agent_neighbours(const struct ghost_agent *a, uint32_t *ret_nr);
/* Value of parameter @index of ghost_policy.params. */
uint64_t ghost_agent_param(const struct ghost_agent *a, unsigned int index);
/* That of a GHOST_PARAM_TEXT; NULL: none was given. */
const char *ghost_agent_param_text(const struct ghost_agent *a, unsigned int index);

/*
 * CPUs that have nothing to run and for which this call of schedule() may
 * pick: the agent's own; of the agent of a central policy all that idle, but
 * not the one where it runs itself. The set loses each CPU that is picked for.
 * Valid during the call.
 */
const struct ghost_cpuset *ghost_agent_free_cpus(const struct ghost_agent *a);
/* How many they are: it is not worth looking at all words to learn that it is none. */
uint32_t ghost_agent_nr_free(const struct ghost_agent *a);
/*
 * Central: the thread that was put on @cpu and has not left it, as far as
 * messages tell; NULL: none. Picking for that CPU displaces it: task_runnable()
 * follows, with GHOST_CAUSE_KICK.
 */
struct ghost_task *ghost_agent_current(const struct ghost_agent *a, uint32_t cpu);
/*
 * Central: since when that thread has run there, ns, to be compared with
 * ghost_agent_now_ns(). One that is on its way to @cpu has not begun: now. 0
 * where there is none.
 */
uint64_t ghost_agent_current_since_ns(struct ghost_agent *a, uint32_t cpu);

/*
 * What time it is, ns of CLOCK_MONOTONIC, as of this round of the agent: the
 * clock is read when it is first asked for and stands still until the agent
 * looks for messages again.
 */
uint64_t ghost_agent_now_ns(struct ghost_agent *a);

/**
 * ghost_agent_due() - have schedule() called again when it is @when_ns
 * @when_ns: as ghost_agent_now_ns() counts
 *
 * Central policies, from schedule(); holds until it is called again, and of
 * several times the earliest. An agent that spins calls schedule() all the time,
 * but only where time passes by itself: the simulator passes over what nobody
 * waits for. So a policy says what it waits for.
 */
void ghost_agent_due(struct ghost_agent *a, uint64_t when_ns);

/**
 * ghost_agent_pick() - run @t next on @cpu
 * @slice_ns: for how long; GHOST_SLICE_INF or 0 until it blocks or yields
 *
 * Only from schedule(). The library commits it; a refusal comes back through
 * task_runnable(). At most one pick per CPU and call. A central policy's picks
 * of one call are committed together.
 *
 * Returns false when the thread is no longer runnable, as of a message that
 * another agent has just handled: forget it and pick the next. Also when @cpu
 * is none for which this agent may pick, or has been picked for.
 */
bool ghost_agent_pick(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t, uint64_t slice_ns);

/**
 * ghost_agent_pick_timed() - the same, and a timer of the kernel ends the slice
 * @slice_ns: GHOST_TIMER_MIN_NS to GHOST_TIMER_MAX_NS; with others the tick ends it
 *
 * Counted from when the thread is on its CPU. It goes on if no thread of the
 * enclave waits at that moment: whoever comes later has to be picked. Central
 * policies; in others, and for the agent's own CPU, it is ghost_agent_pick().
 * The timer's interrupt comes to the agent's CPU, and so does its work.
 */
bool ghost_agent_pick_timed(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t,
			    uint64_t slice_ns);

/**
 * ghost_agent_stage() - run @t on @cpu as soon as what runs there now leaves
 * @slice_ns: as for ghost_agent_pick()
 *
 * Central policies, from schedule(). Written ahead: the CPU takes it by itself,
 * without asking the agent. One per CPU. The thread is out of the policy's
 * hands as if picked; it comes back through task_runnable() if the CPU cannot
 * have it, or is taken by a higher class or by the agent meanwhile.
 *
 * Returns false when there is one for @cpu already, when @cpu is none for which
 * that can be done, or when the thread is no longer runnable.
 */
bool ghost_agent_stage(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t,
		       uint64_t slice_ns);

/*
 * Take back what was staged for @cpu: the thread, which waits to be picked
 * again; or NULL, when there is none, or the CPU was faster.
 */
struct ghost_task *ghost_agent_unstage(struct ghost_agent *a, uint32_t cpu);
/* CPUs for which a thread is staged. Valid during the call of schedule(). */
const struct ghost_cpuset *ghost_agent_staged_cpus(const struct ghost_agent *a);
/* The one for @cpu, or NULL. */
struct ghost_task *ghost_agent_staged(const struct ghost_agent *a, uint32_t cpu);

/**
 * ghost_agent_wake() - let @cpu's agent run its schedule()
 *
 * For a CPU that is given work by another one's agent. Costs at most one
 * system call, often none: it travels with the next commit.
 */
void ghost_agent_wake(struct ghost_agent *a, uint32_t cpu);

/* --- the table -------------------------------------------------------------- */

enum ghost_param_type {
	GHOST_PARAM_NS, /* a duration: 500us, 10ms, 1s, inf */
	GHOST_PARAM_UINT,
	GHOST_PARAM_BOOL,
	GHOST_PARAM_TEXT,   /* value: the address of a string, 0 for none; min, max: 0 */
	GHOST_PARAM_CGROUP, /* value: the number of a cgroup, as ghost_task_cgroup(); 0 for none */
};

struct ghost_param {
	const char *name; /* of the option: --NAME */
	enum ghost_param_type type;
	uint64_t value; /* default */
	uint64_t min;
	uint64_t max;
	const char *help;
};

enum ghost_policy_model {
	GHOST_PER_CPU, /* each agent schedules its own CPU */
	GHOST_CENTRAL, /* one agent, which spins, schedules all CPUs but its own */
};

/* Why a thread waits to be picked. */
enum ghost_cause {
	GHOST_CAUSE_NEW,      /* it is new, or new to these agents */
	GHOST_CAUSE_WAKEUP,   /* it slept */
	GHOST_CAUSE_YIELD,    /* it ran and yielded */
	GHOST_CAUSE_SLICE,    /* it ran until its slice was used up */
	GHOST_CAUSE_AFFINITY, /* its affinity changed while it waited */
	GHOST_CAUSE_PRIORITY, /* its nice value did */
	/* From here on it was to run, and did not, or not for its slice, by no doing of its own. */
	GHOST_CAUSE_CLASS, /* a thread of a higher class took the CPU while it ran */
	GHOST_CAUSE_LATCH, /* it was committed and lost the CPU before it ran */
	GHOST_CAUSE_KICK,  /* it ran, and the agents needed the CPU */
	/*
	 * Its pick was refused: there was news for the agent, or the thread had
	 * not quite arrived in the kernel's hands, or for the moment it may only
	 * run where it ran last, which ghost_task_allowed() knows until its next
	 * event.
	 */
	GHOST_CAUSE_REFUSED,
};

struct ghost_policy {
	const char *name;
	const char *help; /* one line */
	enum ghost_policy_model model;
	size_t size;			  /* data of the policy */
	size_t task_size;		  /* data per thread */
	const struct ghost_param *params; /* ends with a NULL name; may be NULL */

	/* Once, before any other callback. @data is zeroed. Returns 0 or a negative errno. */
	int (*init)(struct ghost_agent *a, void *data);
	/* A thread appeared. If it waits to be picked, task_runnable() follows. */
	void (*task_new)(struct ghost_agent *a, struct ghost_task *t);
	/*
	 * It waits to be picked, and will for ever unless it is: queue it. It
	 * may be queued already, or have been picked: that is void now.
	 */
	void (*task_runnable)(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause);
	void (*task_blocked)(struct ghost_agent *a, struct ghost_task *t);
	/*
	 * Its affinity or its nice value changed (@cause says which). If it
	 * waits to be picked, task_runnable() follows.
	 */
	void (*task_changed)(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause);
	/* It left the class, or died: forget it. */
	void (*task_gone)(struct ghost_agent *a, struct ghost_task *t, bool dead);
	/*
	 * CPU messages, if the enclave delivers them (GHOST_DELIVER_*), and
	 * timers. May be NULL.
	 */
	void (*cpu_event)(struct ghost_agent *a, const struct ghost_msg *m);
	/*
	 * What should run on @cpu, the agent's own, now? Call ghost_agent_pick(),
	 * or nothing to leave it idle. Central: on all of ghost_agent_free_cpus(),
	 * in every round in which a thread waits to be picked or is staged.
	 */
	void (*schedule)(struct ghost_agent *a, uint32_t cpu);
	/* Once, after all other callbacks. */
	void (*fini)(void *data);
};

#endif
