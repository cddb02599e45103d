/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine in the box: CPUs, threads and the kernel's part of scheduling,
 * in virtual time.
 * In: core/ through port_sim.h, threads with behaviours. Out: events in order
 * of time. Shared by the files of this room; others use sim/sim.h.
 */
#ifndef GHOST_SIM_MACHINE_H
#define GHOST_SIM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"
#include "core/record.h"
#include "libghost/topo.h"
#include "sim/fiber.h"
#include "sim/histogram.h"
#include "sim/list.h"
#include "sim/profile.h"
#include "sim/random.h"
#include "sim/topology.h"

#define SIM_FOREVER (~0ull)
/* Ticks come at 250 Hz, as Debian builds its kernels; sched_ext ends slices at ticks only (7.3). */
#define SIM_TICK_NS 4000000ull
#define SIM_FAIR_SLICE_NS 3000000ull
#define SIM_DEFAULT_SLICE_NS 20000000ull /* SCX_SLICE_DFL */
#define SIM_POLL_NS 100000ull /* agents that spin look so often though there is no news */
#define SIM_POLL_MIN_NS 50ull /* and not more often than that */
/* The kernel throws a scheduler out that takes a thread back so often without running it (7.3). */
#define SIM_REENQ_MAX 256

struct machine;
struct thread;
struct law;

/* --- events ------------------------------------------------------------------- */

enum event_type {
	EV_RUN,	      /* @a: CPU; its thread has come to the end of what it does, or of its slice */
	EV_RESCHED,   /* @a: CPU; it looks for work */
	EV_TIMER,     /* @a: thread; its sleep is over */
	EV_INSERT,    /* @a: thread; it arrives where its enqueue put it */
	EV_REENQUEUE, /* @a: enclave, @b: enum port_place */
	EV_REENQ_LOCAL, /* @a: CPU; who cannot run there at once is taken back */
	EV_HEARTBEAT,
	EV_ALARM, /* @a: CPU; the timer that an agent armed for it */
	EV_SLICE, /* @a: CPU; the timer that ends a slice there */
	EV_TICK,  /* @a: CPU; while somebody wants to hear of them */
	EV_FAIR,  /* @a: CPU; somebody of the fair class wants it */
	EV_CALL,  /* @a: index of a call registered with machine_call() */
};

struct event {
	uint64_t time;
	uint64_t order; /* events of one time come in the order in which they were made */
	uint32_t type;
	uint32_t a;
	uint32_t b; /* generation: what happened since voids it */
	uint32_t pad;
};

/* What a run is made of: traced, hashed, counted. */
enum trace_what {
	TRACE_WAKE,	/* thread, arg: CPU of its run queue */
	TRACE_RUN,	/* thread is on @cpu, arg: why (enum trace_why) */
	TRACE_STOP,	/* thread left @cpu, arg: enum trace_stop */
	TRACE_MSG,	/* thread, arg: type << 32 | queue */
	TRACE_OVERFLOW, /* arg: queue */
	TRACE_TXN,	/* thread, arg: final state */
	TRACE_KICK,	/* @cpu was told to look for work */
	TRACE_NEW,	/* thread came into being */
	TRACE_EXIT,
	TRACE_JOIN, /* thread became a member of enclave arg */
	TRACE_LEAVE,
	TRACE_CHANGE,  /* arg: 0 affinity, 1 nice */
	TRACE_ENCLAVE, /* arg: enclave << 32 | state */
	TRACE_FAULT,   /* arg: enum fault_kind */
	TRACE_CPU,     /* @cpu, arg: 1 online, 0 offline */
	TRACE_REQUEST, /* thread finished one; arg: latency, ns */
	TRACE_STEP,    /* an agent's step, arg: enum ghost_step */
	TRACE_NR,
};

enum trace_stop {
	STOP_BLOCKED,
	STOP_YIELDED,
	STOP_SLICE,
	STOP_PREEMPTED, /* by a higher class */
	STOP_EXITED,
	STOP_MOVED, /* its affinity or class changed */
	STOP_OFFLINE,
};

struct trace_record {
	uint64_t time;
	uint64_t arg;
	uint32_t what; /* enum trace_what */
	uint32_t cpu;
	uint32_t thread; /* tid, 0: none */
	uint32_t pad;
};

/* Whoever wants to see the records; NULL when nobody does. */
typedef void (*trace_fn)(void *arg, const struct machine *m, const struct trace_record *r);

/* --- threads -------------------------------------------------------------------- */

enum thread_place {
	PLACE_ASLEEP,
	PLACE_RUNS,
	PLACE_ARRIVES, /* its enqueue is under way: nobody else can have it yet */
	PLACE_CUSTODY,
	PLACE_FALLBACK,
	PLACE_GLOBAL,
	PLACE_LOCAL,  /* on its CPU's queue */
	PLACE_PARKED, /* an agent in its parking place */
	PLACE_FAIR,   /* waits in the fair class */
	PLACE_RT,     /* waits in the real-time class */
	PLACE_GONE,
};

enum thread_class {
	CLASS_FAIR,
	CLASS_EXT,
	CLASS_RT, /* first in, first out, above the others: agents that spin */
};

enum act {
	ACT_RUN,   /* compute for @ns */
	ACT_BLOCK, /* sleep until woken */
	ACT_SLEEP, /* sleep for @ns */
	ACT_YIELD,
	ACT_EXIT,
};

struct action {
	enum act act;
	uint64_t ns;
};

/*
 * What a thread does. next() is called in its context, on its CPU, when it
 * has done what it was last told; it may wake others, make threads, change
 * affinities.
 */
struct behaviour {
	const char *name;
	struct action (*next)(struct machine *m, struct thread *t);
	/* A member was put on a CPU that woke @waited ns ago. May be NULL. */
	void (*ran)(struct machine *m, struct thread *t, uint64_t waited);
	/* It is gone. May be NULL. */
	void (*gone)(struct machine *m, struct thread *t);
};

/* Affinities are shared: most threads have one of few. */
struct mask {
	struct ghost_cpuset cpus;
	uint32_t nr;
};

struct thread {
	struct node link; /* in the list of its place */
	const struct behaviour *behaviour;
	void *data; /* of the behaviour */
	uint64_t who;
	uint64_t spinner; /* the agent of which CPU, in no class of ours; core/task.h */
	uint64_t runtime_ns;
	uint64_t left_ns; /* of the current action */
	uint64_t slice_ns;
	uint64_t stamp;	   /* when it entered custody or the fallback, in entries */
	uint64_t waits_ns; /* time since when it is runnable and does not run */
	uint32_t tid;
	uint64_t stop_left_ns; /* of the action in which SIGSTOP met it */
	uint32_t timer;	       /* generation of its timer */
	uint64_t told_ns;      /* when it got its last message */
	uint64_t poll_ns;      /* @polls: when there is something to be seen without news */
	uint32_t position;     /* of its last message in @queue, plus one */
	uint16_t cpu;	       /* of its run queue */
	uint16_t ran_on;       /* NONE16: nowhere yet */
	uint16_t mask;	       /* index into machine.masks */
	uint16_t queue;	       /* CPU whose queue got its last message; NONE16: none */
	int8_t nice;
	uint8_t place;	/* enum thread_place */
	uint8_t to;	/* PLACE_ARRIVES: where to */
	uint8_t class_; /* enum thread_class */
	uint8_t act;	/* enum act of the current action */
	uint8_t cause;	/* enum event_cause with which it was last enqueued */
	uint8_t reenqs; /* times it was taken back since it ran */
	bool immed : 1;
	bool wake_pending : 1; /* woken before it slept: it does not sleep then */
	bool killed : 1;
	bool stopped : 1;    /* SIGSTOP: sleeps, and no wake-up counts but SIGCONT */
	bool confined : 1;   /* migration disabled */
	bool current : 1;    /* PLACE_ARRIVES: it is its CPU's current thread still */
	bool yielded : 1;    /* and has not been put back yet */
	bool woke : 1;	     /* and has not run since */
	bool unconfine : 1;  /* and it ends when it runs again */
	bool last : 1;	     /* its CPU would go idle without it */
	bool told : 1;	     /* its TASK_NEW is behind it */
	bool skipped : 1;    /* a message of it found no room: the table tells */
	bool claimed : 1;    /* a commit has claimed it and will not find it */
	bool polls : 1;	     /* an agent that spins and has found nothing */
	struct agent *agent; /* NULL: not a thread of an agents' process */
	/* What its application says of it; NULL: nothing. */
	struct ghost_hint_entry *hint;
};

#define NONE16 0xffffu

/* --- CPUs ------------------------------------------------------------------------- */

struct cpu {
	struct thread *cur; /* NULL: idle */
	struct list local;
	struct list fair;
	struct list rt;
	uint64_t run_from;     /* since when @cur computes; later than now while the kernel works */
	uint64_t debt_ns;      /* kernel work to be done before @cur goes on */
	uint64_t work_until;   /* an idle CPU does kernel work until then */
	uint64_t resched_at;   /* when it will look for work; SIM_FOREVER: nothing under way */
	uint64_t fair_until;   /* noise of the fair class holds it until then */
	uint64_t fair_late_ns; /* and so much more, when the real-time class is done */
	uint64_t busy_ns;      /* by members */
	uint64_t agent_ns;
	uint64_t fair_ns;
	uint64_t kernel_ns;
	uint64_t last_tid; /* whose caches are warm */
	uint32_t gen;	   /* of EV_RUN */
	uint32_t alarm;	   /* of EV_ALARM */
	uint32_t slice;	   /* of EV_SLICE */
	uint32_t slice_by; /* the CPU that has started that timer: it is interrupted */
	bool ticks;	   /* an EV_TICK is under way */
	uint32_t nr_fair;
	bool idle; /* runs its idle thread */
	bool online;
	bool locked; /* a thread's enqueue is under way on its run queue */
};

/* --- enclaves' memory ----------------------------------------------------------------- */

struct sim_enclave {
	struct ghost_status *status; /* NULL: not prepared */
	struct ghost_cpu *cpu;	     /* [nr_cpus + GHOST_QUEUES_MADE], as the next */
	struct ghost_cpu_rw *rw;
	struct ghost_msg *ring; /* [ring_len] */
	uint32_t ring_len;
	struct list custody;
	struct list fallback;
	uint32_t nr_mapped;
	bool discarded; /* freed when the last mapping is */
	bool reenqueue[2];
	uint64_t lost_at;    /* when its agents stopped deciding; SIM_FOREVER while they do */
	uint64_t lost_stamp; /* who came into custody before */
	uint64_t online_at;  /* since when agents decide */
};

/* --- the machine ----------------------------------------------------------------------- */

struct machine_options {
	const char *topology; /* hwloc synthetic description */
	const struct profile *profile;
	uint32_t capacity; /* slots */
	uint64_t seed;
	bool reuse_tids; /* numbers of the dead are given again, as pids are */
	bool fine; /* agents may lose their CPU at every step, not only where they ask the kernel */
	uint64_t window_ns;	/* longest time from a thread's message to its arrival in custody */
	uint64_t fair_every_ns; /* mean time between bursts of the fair class per CPU; 0: none */
	uint64_t fair_for_ns;	/* their mean length */
};

typedef void (*call_fn)(struct machine *m, void *arg);

struct call {
	call_fn fn;
	void *arg;
};

struct machine {
	struct machine_options opt;
	struct topology topo;
	uint64_t now;
	struct random random;

	struct event *heap;
	uint32_t nr_heap;
	uint32_t heap_size;
	uint64_t order;

	struct cpu *cpu; /* [nr_cpus] */
	uint32_t nr_cpus;

	struct thread **threads; /* by tid; NULL: gone */
	uint32_t nr_threads;	 /* tids are below this */
	uint32_t threads_size;
	uint32_t nr_live;
	uint32_t nr_enclaves; /* ids in use are below this */
	struct thread *free_threads;
	uint32_t *free_tids; /* [threads_size] */
	uint32_t nr_free_tids;
	uint32_t nr_fair_waiting;

	struct mask *masks;
	uint32_t nr_masks;
	struct ghost_cpuset online;

	struct call *calls;
	uint32_t nr_calls;

	/* core's private tables */
	struct core_task *tasks; /* [capacity] */
	struct thread **refs;	 /* [capacity] slot -> thread */
	struct core_cpu *cpus;	 /* [GHOST_CPUS_MAX] */
	struct core_enclave *enclaves;
	struct core_slots slots;
	struct sim_enclave enclave[GHOST_ENCLAVES_MAX];
	struct list parked[GHOST_CPUS_MAX];
	struct list global;
	uint64_t stamp;
	uint64_t nr_tokens; /* that enclaves were given */
	uint64_t *joining;  /* [threads_size] by tid: who it will be; 0: a stranger */

	/* what is going on */
	uint32_t this_cpu;
	struct thread *this_thread; /* whose system call or wake-up this is; NULL: an interrupt */
	bool news;		    /* for agents that spin */
	uint32_t nr_polls;	    /* threads that do, and found nothing */
	bool in_event;		    /* an event is being told: nobody comes between */
	struct ghost_cpu *before;   /* [GHOST_CPUS_MAX] of its enclave, if its queue is gone */
	bool in_dispatch;	    /* a CPU is looking for work, and others may act meanwhile */
	struct process *processes;  /* see backend.h */
	bool stop;

	/* results */
	uint64_t hash;
	uint64_t nr_events; /* scheduling events: trace records that are one */
	uint64_t nr_trace[TRACE_NR];
	uint64_t nr_txn[GHOST_TXN_NR_STATES];
	struct hist wakeup; /* from waking to running, of members */
	trace_fn trace;
	void *trace_arg;

	struct law *law; /* NULL: nobody checks */
	/*
	 * Called in the middle of a CPU's search for work, where others may act
	 * (sim/fault.c): about the thread in @slot, or, with 0, between two
	 * accesses to shared memory.
	 */
	void (*interrupt)(struct machine *m, uint32_t slot);
	void *fault;
	char broken[256]; /* the law that was broken, in a sentence; "" while all is well */
};

/**
 * machine_new() - a machine with idle CPUs and no threads
 * @why: receives a static sentence on failure
 *
 * -EINVAL: the topology is none. At most one machine exists at a time: core/
 * knows no "which".
 */
int machine_new(struct machine **ret, const struct machine_options *opt, const char **why);
void machine_free(struct machine *m);

/* Run until virtual time @until, or until something set @m->stop or broke a law. */
void machine_run(struct machine *m, uint64_t until);
/* One event. Returns false when there is none. */
bool machine_step(struct machine *m);
/* The event at @index of the heap, whoever's turn it is. */
void machine_take(struct machine *m, uint32_t index);

void machine_post(struct machine *m, uint64_t time, uint32_t type, uint32_t a, uint32_t b);
/* A function to be called at a time: its number, for EV_CALL. */
uint32_t machine_call(struct machine *m, call_fn fn, void *arg);
void machine_trace(struct machine *m, enum trace_what what, uint32_t cpu, const struct thread *t,
		   uint64_t arg);
/* Kernel work of @ns on the CPU on which we are. */
void machine_charge(struct machine *m, uint64_t ns);
/* A law is broken: remember the first and stop. */
void machine_break(struct machine *m, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The index of @cpus among the masks. */
uint32_t machine_mask(struct machine *m, const struct ghost_cpuset *cpus);

/* --- threads: what system calls and the kernel do to them (kernel.c) ----------------------- */

/* A new thread of the fair class, asleep. */
struct thread *thread_new(struct machine *m, const struct behaviour *b, void *data, uint32_t mask);
/* A child of @m->this_thread, runnable at once, in its parent's class and enclave. */
struct thread *thread_fork(struct machine *m, const struct behaviour *b, void *data);
void thread_wake(struct machine *m, struct thread *t);
void thread_affinity(struct machine *m, struct thread *t, const struct ghost_cpuset *cpus);
void thread_nice(struct machine *m, struct thread *t, int nice);
/* Agents that spin look again. */
void threads_poll(struct machine *m);
/* Into or out of our class. 0 or a negative errno. */
int thread_set_class(struct machine *m, struct thread *t, enum thread_class class_);
void thread_kill(struct machine *m, struct thread *t);
void thread_stop(struct machine *m, struct thread *t);
void thread_continue(struct machine *m, struct thread *t);
struct thread *thread_by_tid(const struct machine *m, uint32_t tid);
/* Its application says so of it: all but the number and the seq of @hint. */
void thread_hint(struct machine *m, struct thread *t, const struct ghost_hint_entry *hint);
static inline bool thread_on(const struct machine *m, const struct thread *t, uint32_t cpu)
{
	return ghost_cpuset_has(&m->masks[t->mask].cpus, cpu);
}

/* --- CPUs (kernel.c) -------------------------------------------------------------------------- */

/* Let @cpu look for work at @now + @delay. */
void cpu_resched(struct machine *m, uint32_t cpu, uint64_t delay_ns);
/* Does a higher class have @cpu, or want it? */
bool cpu_above(const struct machine *m, uint32_t cpu);
/* It looks for work now. */
void cpu_schedule(struct machine *m, uint32_t cpu);
/* Its thread has done what it does, or its slice is used up. */
void cpu_run_end(struct machine *m, uint32_t cpu);
/* Somebody of the fair class computes on @cpu for @ns, before all of ours. */
void cpu_fair_burst(struct machine *m, uint32_t cpu, uint64_t ns);
int cpu_offline(struct machine *m, uint32_t cpu);
int cpu_online(struct machine *m, uint32_t cpu);

/* --- the kernel side (kernel.c) ------------------------------------------------------------------ */

void kernel_init(struct machine *m);
void kernel_admin(struct machine *m, struct ghost_ctl *ctl);
void kernel_agent(struct machine *m, struct ghost_ctl *ctl);
void kernel_heartbeat(struct machine *m);
void kernel_reenqueue(struct machine *m, uint32_t enclave, uint32_t place);
void kernel_arrive(struct machine *m, struct thread *t);
void kernel_alarm(struct machine *m, uint32_t cpu);
void kernel_slice(struct machine *m, uint32_t cpu);
void kernel_tick(struct machine *m, uint32_t cpu);
void kernel_reenq_local(struct machine *m, uint32_t cpu);
int enclave_prepare(struct machine *m, uint32_t id, uint32_t ring_len);
void enclave_discard(struct machine *m, uint32_t id);

/* --- threads of agents' processes (backend.c) ------------------------------------------------------ */

extern const struct behaviour behaviour_agent;

#endif
