/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * core/port.h in plain memory: a small machine that does what a test says.
 * In: FAKE_CPUS, FAKE_SLOTS if the defaults are too small. Out: the port, the
 * kernel's part of each event. Called by the tests of core beside it.
 *
 * Custody works as the kernel's iterator does: a thread that entered after
 * the point was taken, or is not there, cannot be moved. One-shot hooks put
 * an event into the middle of a commit; a step hook stops at each access.
 */
#ifndef GHOST_TESTS_UNIT_PORT_FAKE_H
#define GHOST_TESTS_UNIT_PORT_FAKE_H

#include <assert.h>
#include <string.h>

#include "core/port.h"
#include "core/task.h"

#ifndef FAKE_CPUS
#define FAKE_CPUS 8
#endif
#ifndef FAKE_SLOTS
#define FAKE_SLOTS 64
#endif
#ifndef FAKE_RING_MADE
#define FAKE_RING_MADE 1024 /* messages in the queues that agents make */
#endif
#define FAKE_ENCLAVES 3 /* 0 is none */
#define FAKE_QUEUES (FAKE_CPUS + GHOST_QUEUES_MADE)
#define FAKE_RING (FAKE_CPUS * GHOST_QUEUE_LEN + FAKE_RING_MADE)

enum fake_place {
	FAKE_NOWHERE, /* asleep, or on its way */
	FAKE_CUSTODY,
	FAKE_FALLBACK,
	FAKE_GLOBAL,
	FAKE_LOCAL, /* first on the CPU for which it was committed */
	FAKE_RUNS,
};

/* Where in a commit an event may be put. */
enum fake_point {
	FAKE_AT_OPEN,	 /* the custody point has just been taken */
	FAKE_AT_ALLOWED, /* before the affinity is looked at */
	FAKE_AT_MOVE,	 /* before the move; the thread is claimed by now */
	FAKE_AT_MOVED,	 /* it is on its CPU's queue, and the commit does not know yet */
	FAKE_AT_UNDO,	 /* a move failed; what was claimed is not yet undone */
	FAKE_AT_SEQ,	 /* all fields are read; before the agent's number is compared */
	FAKE_NR_POINTS,
};

struct fake_task {
	__u32 place; /* enum fake_place */
	__u32 cpu;   /* FAKE_LOCAL, FAKE_RUNS: where */
	__u32 how;   /* enum port_move, of its last move */
	int stays;   /* and its last argument */
	__u64 entered;
	__u64 slice_ns;
	__u64 runtime_ns;
	int confined;		     /* has migration disabled */
	__u64 at_ns;		     /* where in the fallback's queue */
	__u32 here;		     /* CPU of its run queue, since its last enqueue */
	__u64 cpus[GHOST_CPU_WORDS]; /* what the kernel thinks; the status word only copies it */
};

struct fake {
	struct core_task task[FAKE_SLOTS];
	struct core_cpu cpu[GHOST_CPUS_MAX];
	struct core_enclave enclave[FAKE_ENCLAVES];
	struct core_slots slots;
	struct ghost_status status[FAKE_ENCLAVES][FAKE_SLOTS];
	struct ghost_cpu page[FAKE_ENCLAVES][FAKE_QUEUES];
	struct ghost_cpu_rw rw[FAKE_ENCLAVES][FAKE_QUEUES];
	struct ghost_msg ring[FAKE_ENCLAVES][FAKE_RING];

	struct fake_task th[FAKE_SLOTS];
	__u64 stamp; /* grows with each entry into custody */
	__u64 now;
	__u32 this_cpu;
	__u32 nr_open; /* custody points taken and not yet closed */
	__u32 nr_moves;
	__u32 kicks[FAKE_CPUS];
	__u32 preempts[FAKE_CPUS];
	int wanted[FAKE_CPUS]; /* a thread of the fair class waits for it */
	__u32 this_tid;
	int this_pinned; /* the caller can run nowhere else */
	int this_in_class;
	__u64 this_spinner; /* what the caller was told to be */
	int spinner_err;
	__u32 reenqueues[FAKE_ENCLAVES][2]; /* asked for, by enum port_place */
	__u32 agent_parked[FAKE_CPUS];	    /* the agent is in its parking place */
	__u32 agent_runs[FAKE_CPUS];	    /* times it was put on its CPU */
	__u32 kept;			    /* times the current thread went on */
	__u64 kept_ns;			    /* and its last slice */
	__u32 named[FAKE_SLOTS];	    /* times its name was brought up to date */
	__u32 joining_tid;		    /* the last one announced */
	__u64 joining_who;
	void (*on_enclave)(void); /* when an enclave is looked up */
	__u32 nr_nowhere; /* times the kernel would have thrown us out: there is no such queue */
	int may_err;	  /* the caller's right to any thread */
	int joining_err;  /* what the next ones come to */
	__u32 timer_cpu;  /* the last one armed */
	__u64 timer_ns;
	__u64 slice_timer_ns[FAKE_CPUS]; /* in how long; 0: none was started */
	int slice_timer_err;
	void (*hook[FAKE_NR_POINTS])(void);
	void (*poke)(void); /* after each kick, preemption and re-enqueueing */
	void (*step)(void);
	void (*step_after)(void);
};

static struct fake fake;

struct port_custody {
	__u32 enclave;
	__u64 opened;
};

static inline void fake_at(enum fake_point point)
{
	void (*f)(void) = fake.hook[point];

	fake.hook[point] = NULL;
	if (f)
		f();
}

static inline void fake_step(void)
{
	if (fake.step)
		fake.step();
}

static inline void fake_poke(void)
{
	if (fake.poke)
		fake.poke();
}

/* For plain accesses that come right after: cpu_idle_take() has one. */
static inline void fake_step_after(void)
{
	if (fake.step_after)
		fake.step_after();
}

/* --- the port ---------------------------------------------------------------- */

static inline struct core_task *port_task(__u32 slot)
{
	return slot < FAKE_SLOTS ? &fake.task[slot] : NULL;
}

static inline struct core_cpu *port_cpu(__u32 cpu)
{
	return cpu < GHOST_CPUS_MAX ? &fake.cpu[cpu] : NULL;
}

static inline struct core_enclave *port_enclave(__u32 id)
{
	if (fake.on_enclave)
		fake.on_enclave();
	return id < FAKE_ENCLAVES ? &fake.enclave[id] : NULL;
}

static inline struct core_slots *port_slots(void)
{
	return &fake.slots;
}

static inline struct ghost_status *port_status(__u32 enclave, __u32 slot)
{
	if (!enclave || enclave >= FAKE_ENCLAVES || slot >= FAKE_SLOTS)
		return NULL;
	return &fake.status[enclave][slot];
}

static inline struct ghost_enclave_status *port_enclave_status(__u32 enclave)
{
	return (struct ghost_enclave_status *)port_status(enclave, 0);
}

static inline struct ghost_cpu *port_cpu_page(__u32 enclave, __u32 cpu)
{
	if (!enclave || enclave >= FAKE_ENCLAVES || cpu >= FAKE_QUEUES)
		return NULL;
	return &fake.page[enclave][cpu];
}

static inline struct ghost_cpu_rw *port_cpu_rw(__u32 enclave, __u32 cpu)
{
	if (!enclave || enclave >= FAKE_ENCLAVES || cpu >= FAKE_QUEUES)
		return NULL;
	return &fake.rw[enclave][cpu];
}

static inline struct ghost_msg *port_ring(__u32 enclave, __u32 index)
{
	if (!enclave || enclave >= FAKE_ENCLAVES || index >= FAKE_RING)
		return NULL;
	return &fake.ring[enclave][index];
}

static inline __u32 port_load_acquire(const __u32 *p)
{
	const char *pages = (const char *)fake.page;
	__u32 v;

	/* Inside the pages, only agent_seq is loaded in a commit. */
	if (fake.hook[FAKE_AT_SEQ] && (const char *)p >= pages &&
	    (const char *)p < pages + sizeof(fake.page))
		fake_at(FAKE_AT_SEQ);
	fake_step();
	v = __atomic_load_n(p, __ATOMIC_ACQUIRE);
	fake_step_after();
	return v;
}

static inline void port_store_release(__u32 *p, __u32 v)
{
	fake_step();
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline void port_store_release64(__u64 *p, __u64 v)
{
	fake_step();
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline __u32 port_cmpxchg(__u32 *p, __u32 old, __u32 new_)
{
	fake_step();
	__atomic_compare_exchange_n(p, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return old;
}

static inline __u64 port_cmpxchg64(__u64 *p, __u64 old, __u64 new_)
{
	fake_step();
	__atomic_compare_exchange_n(p, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return old;
}

static inline __u32 port_fetch_add(__u32 *p, __u32 v)
{
	__u32 old;

	fake_step();
	old = __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
	fake_step_after();
	return old;
}

static inline __u64 port_fetch_or64(__u64 *p, __u64 v)
{
	__u64 old;

	fake_step();
	old = __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);
	fake_step_after();
	return old;
}

static inline __u64 port_fetch_and64(__u64 *p, __u64 v)
{
	__u64 old;

	fake_step();
	fake_step_after(); /* a plain look comes before it */
	old = __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);
	fake_step_after();
	return old;
}

static inline __u64 port_now_ns(void)
{
	return fake.now;
}

static inline __u32 port_this_cpu(void)
{
	return fake.this_cpu;
}

static inline void port_kick(__u32 cpu)
{
	if (cpu < FAKE_CPUS)
		fake.kicks[cpu]++;
	fake_poke();
}

static inline __u32 port_nr_cpus(void)
{
	return FAKE_CPUS;
}

static inline __u32 port_this_tid(void)
{
	return fake.this_tid;
}

static inline int port_timer_set(__u32 cpu, __u64 ns)
{
	fake.timer_cpu = cpu;
	fake.timer_ns = ns;
	return 0;
}

static inline int port_slice_timer_set(__u32 cpu, __u64 ns)
{
	if (!fake.slice_timer_err)
		fake.slice_timer_ns[cpu] = ns;
	return fake.slice_timer_err;
}

static inline int port_wanted(__u32 cpu)
{
	return cpu < FAKE_CPUS && fake.wanted[cpu];
}

static inline int port_this_pinned(__u32 cpu)
{
	return fake.this_pinned && cpu == fake.this_cpu;
}

static inline int port_this_in_class(void)
{
	return fake.this_in_class;
}

static inline int port_this_set_spinner(__u64 who)
{
	if (fake.spinner_err)
		return fake.spinner_err;
	fake.this_spinner = who;
	return 0;
}

static inline void port_preempt(__u32 cpu)
{
	if (cpu < FAKE_CPUS)
		fake.preempts[cpu]++;
	fake_poke();
}

static inline void port_task_describe(__u32 slot, struct ghost_status *st)
{
	memcpy(st->comm, "named", 6);
	st->cgroup = 77;
	fake.named[slot]++;
}

static inline int port_joining_set(__u32 tid, __u64 who)
{
	if (fake.joining_err)
		return fake.joining_err;
	fake.joining_tid = tid;
	fake.joining_who = who;
	return 0;
}

static inline int port_joining_clear(__u32 tid)
{
	if (!tid || fake.joining_tid != tid)
		return -2;
	fake.joining_tid = 0;
	return 0;
}

static inline int port_this_may(__u32 tid)
{
	return fake.may_err;
}

static inline int fake_mask_has(const __u64 *mask, __u32 cpu)
{
	return cpu < GHOST_CPUS_MAX && (mask[cpu / 64] >> (cpu % 64) & 1);
}

static inline enum port_allowed port_task_allowed(__u32 slot, __u32 cpu)
{
	fake_at(FAKE_AT_ALLOWED);
	if (slot >= FAKE_SLOTS || !fake_mask_has(fake.th[slot].cpus, cpu))
		return PORT_NOT_ALLOWED;
	return fake.th[slot].confined && fake.th[slot].here != cpu ? PORT_CONFINED : PORT_ALLOWED;
}

static inline int port_custody_open(struct port_custody *c, __u32 enclave)
{
	c->enclave = enclave;
	c->opened = fake.stamp;
	fake.nr_open++;
	fake_at(FAKE_AT_OPEN);
	return 0;
}

static inline int port_custody_move(struct port_custody *c, __u32 slot, __u32 cpu, __u64 slice_ns,
				    enum port_move how, int stays)
{
	struct fake_task *th = &fake.th[slot % FAKE_SLOTS];

	fake_at(FAKE_AT_MOVE);
	assert(fake.nr_open);
	assert(how != PORT_MOVE_HERE || cpu == fake.this_cpu);
	if (slot >= FAKE_SLOTS || th->place != FAKE_CUSTODY || th->entered > c->opened ||
	    fake.task[slot].enclave != c->enclave) {
		fake_at(FAKE_AT_UNDO);
		return 0;
	}
	th->place = FAKE_LOCAL;
	th->cpu = cpu;
	th->how = how;
	th->stays = stays;
	th->slice_ns = slice_ns;
	fake.nr_moves++;
	fake_at(FAKE_AT_MOVED);
	return 1;
}

static inline void port_custody_close(struct port_custody *c)
{
	fake.nr_open--;
}

static inline void port_reenqueue(__u32 enclave, enum port_place place)
{
	if (enclave < FAKE_ENCLAVES)
		fake.reenqueues[enclave][place]++;
	fake_poke();
}

static inline __u32 fake_first(__u32 enclave, enum fake_place place)
{
	__u32 slot, first = 0;

	for (slot = 1; slot < FAKE_SLOTS; slot++)
		if (fake.task[slot].enclave == enclave && fake.th[slot].place == place &&
		    (!first || fake.th[slot].entered < fake.th[first].entered))
			first = slot;
	return first;
}

static inline int port_waiting(__u32 enclave, enum port_place place)
{
	return fake_first(enclave, place == PORT_CUSTODY ? FAKE_CUSTODY : FAKE_FALLBACK) != 0;
}

/* In the order of their slots is enough here. */
static inline __u32 port_fallback_look(__u32 enclave, __u64 who[PORT_FALLBACK_LOOK])
{
	__u32 nr = 0;

	for (__u32 slot = 1; slot < FAKE_SLOTS && nr < PORT_FALLBACK_LOOK; slot++)
		if (fake.task[slot].enclave == enclave && fake.th[slot].place == FAKE_FALLBACK)
			who[nr++] = who_at(WHO(WHO_MEMBER, enclave, slot), fake.th[slot].at_ns);
	return nr;
}

static inline int port_fallback_run(__u32 enclave)
{
	__u32 slot = fake_first(enclave, FAKE_FALLBACK);

	fake.nr_nowhere += !enclave;
	if (!slot)
		return 0;
	fake.th[slot].place = FAKE_LOCAL;
	fake.th[slot].cpu = fake.this_cpu;
	return 1;
}

static inline int port_agent_run(__u32 cpu)
{
	if (cpu >= FAKE_CPUS || !fake.agent_parked[cpu])
		return 0;
	fake.agent_parked[cpu] = 0;
	fake.agent_runs[cpu]++;
	return 1;
}

static inline void port_keep(struct port_thread *prev, __u64 slice_ns)
{
	assert(prev && slice_ns);
	fake.kept++;
	fake.kept_ns = slice_ns;
}

/* A thread of ours is passed as its entry in fake.th, anybody else as what you like. */
static inline __u32 port_prev_member(const struct port_thread *prev, __u64 *runtime_ns)
{
	const struct fake_task *th = (const struct fake_task *)prev;

	if (th < fake.th || th >= fake.th + FAKE_SLOTS || th->place != FAKE_RUNS)
		return 0;
	*runtime_ns = th->runtime_ns;
	return th - fake.th;
}

/* --- a machine to play with ----------------------------------------------------- */

/* The slot table as the loader leaves it. */
static inline void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.slots.used = 1;
	fake.slots.capacity = FAKE_SLOTS;
	fake.now = 1000;
}

static inline struct ghost_enclave_status *fake_es(__u32 id)
{
	return (struct ghost_enclave_status *)&fake.status[id][0];
}

/* Enclave @id with the CPUs of @mask (bit n: CPU n), in @state. */
static inline void fake_enclave(__u32 id, __u64 mask, __u32 state)
{
	struct core_enclave *e = &fake.enclave[id];
	struct ghost_queue *q;
	__u32 cpu;

	e->state = state;
	e->cpus[0] = mask;
	for (cpu = 0; cpu < 64 && cpu < FAKE_CPUS; cpu++)
		if (mask >> cpu & 1) {
			fake.cpu[cpu].enclave = id;
			fake.page[id][cpu].owned = 1;
			q = &fake.page[id][cpu].queue;
			q->first = e->nr_cpus * GHOST_QUEUE_LEN;
			q->len = GHOST_QUEUE_LEN;
			q->nr_wake = 1;
			q->wake[0] = cpu;
			if (!e->nr_cpus)
				e->first_cpu = cpu;
			e->nr_cpus++;
			e->nr_words = cpu / 64 + 1;
		}
	e->default_queue = fake_es(id)->default_queue = GHOST_QUEUE_NONE;
	e->ring_made = e->nr_cpus * GHOST_QUEUE_LEN;
	e->ring_len = fake_es(id)->ring_len = e->ring_made + FAKE_RING_MADE;
}

static inline void fake_mask_set(__u32 enclave, __u32 slot, __u64 mask)
{
	assert(enclave < FAKE_ENCLAVES && slot < FAKE_SLOTS);
	memset(fake.th[slot].cpus, 0, sizeof(fake.th[slot].cpus));
	fake.th[slot].cpus[0] = mask;
	memcpy(fake.status[enclave][slot].cpus, fake.th[slot].cpus, sizeof(fake.th[slot].cpus));
}

static inline void fake_into_custody(__u32 slot)
{
	fake.th[slot].place = FAKE_CUSTODY;
	fake.th[slot].entered = ++fake.stamp;
}

/* The consumer's side, as abi/queue.h says. */
static inline int fake_pop(__u32 enclave, __u32 queue, struct ghost_msg *ret)
{
	const struct ghost_queue *q = &fake.page[enclave][queue].queue;
	struct ghost_cpu_rw *rw = &fake.rw[enclave][queue];
	struct ghost_msg *m;

	if (!q->len)
		return 0;
	m = &fake.ring[enclave][q->first + (rw->queue_tail & (q->len - 1))];
	if (__atomic_load_n(&m->position, __ATOMIC_ACQUIRE) != rw->queue_tail + 1)
		return 0;
	*ret = *m;
	__atomic_store_n(&rw->queue_tail, rw->queue_tail + 1, __ATOMIC_RELEASE);
	return 1;
}

#endif
