/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to threads: the state machine of core_task, one function per
 * kernel event.
 * In: events, in the order the kernel makes them, under the thread's
 * run-queue lock. Out: messages, status words, and where the thread waits.
 * Called by the ops, by the simulator and by tests.
 */
#ifndef GHOST_CORE_EVENT_H
#define GHOST_CORE_EVENT_H

#include "core/agent.h"
#include "core/msg.h"
#include "core/slots.h"

/* Where a runnable thread waits. */
enum event_verdict {
	EVENT_CUSTODY,	/* parked until an agent commits it */
	EVENT_FALLBACK, /* the enclave's own queue, run without an agent */
	EVENT_GLOBAL,	/* no CPU of the enclave may run it, or none has for long: any CPU */
};

/* Why a thread is enqueued, as far as the kernel tells (bpf: ops.enqueue). */
enum event_cause {
	EVENT_WAKEUP,
	EVENT_SLICE,	    /* its slice is used up, or it was kicked off */
	EVENT_CLASS,	    /* a higher class took the CPU while it ran */
	EVENT_LATCH,	    /* it was committed and lost the CPU before it ran */
	EVENT_RESTORE,	    /* it was taken off the queue or the CPU and put back unchanged */
	EVENT_COMMIT,	    /* another commit took the CPU */
	EVENT_COMMIT_QUIET, /* and its agent does not want to be told */
};

static int cpu_in(const __u64 *cpus, __u32 cpu)
{
	return cpu < GHOST_CPUS_MAX && (cpus[(cpu / 64) % GHOST_CPU_WORDS] >> (cpu % 64) & 1);
}

/* The bits of word @w of a mask that stand for CPUs of this machine. */
static __u64 cpus_there(__u32 w)
{
	__u32 nr = port_nr_cpus();

	if (w * 64 + 64 <= nr)
		return ~0ull;
	return w * 64 < nr ? ~(~0ull << nr % 64) : 0;
}

/*
 * The queue for a thread that joins. A slot keeps the queue of its previous
 * user where possible: then that one's last messages and this one's first
 * stay in order. Otherwise the enclave's CPUs take turns.
 */
static __u32 event_first_queue(const struct core_task *t, struct core_enclave *e, __u32 enclave)
{
	__u32 cpu, i, w;
	__u64 word;

	if (e->default_queue != GHOST_QUEUE_NONE && queue_there(enclave, e->default_queue))
		return e->default_queue;
	if (t->enclave == enclave && cpu_in(e->cpus, t->queue))
		return t->queue;
	cpu = e->next_cpu % GHOST_CPUS_MAX;
	/* The first CPU of the enclave at or after @cpu, wrapping once. */
	for (i = 0; i <= GHOST_CPU_WORDS; i++) {
		w = (cpu / 64 + i) % GHOST_CPU_WORDS;
		word = e->cpus[w];
		if (i == 0)
			word &= ~0ull << (cpu % 64);
		if (word) {
			cpu = w * 64 + __builtin_ctzll(word);
			e->next_cpu = cpu + 1;
			return cpu;
		}
	}
	return 0;
}

/*
 * A thread joins @enclave in @slot (from slots_take()); @tid is its thread
 * id. The caller then fills the rest of the status record (names, affinity)
 * and calls event_task_bound().
 */
static int event_task_join(__u32 slot, __u32 enclave, __u32 tid)
{
	struct core_task *t = port_task(slot);
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_status *st = port_status(enclave, slot);
	struct ghost_enclave_status *es = port_enclave_status(enclave);
	struct core_slots *s = port_slots();

	if (!t || !e || !st || !es || !s)
		return -1;
	t->queue = event_first_queue(t, e, enclave);
	t->enclave = enclave;
	t->state = CORE_TASK_NEW;
	t->flags = 0;
	t->run = 0;
	t->on = 0;
	t->returns = 0;
	t->epoch = e->epoch;
	t->assoc = 0;
	t->vtime_ns = e->vtime_ns;
	t->gtid = (__u64)port_fetch_add(&s->next_gen, 1) << 32 | tid;
	t->seq++;
	st->gtid = t->gtid;
	st->tid = tid;
	st->cpu = cpu_in(e->cpus, t->queue) ? t->queue : port_this_cpu();
	st->queue = t->queue;
	st->runtime_ns = 0;
	st->switch_ns = 0;
	port_fetch_add(&es->nr_tasks, 1);
	cpu_count(enclave, port_this_cpu(), GHOST_NR_TASKS);
	return 0;
}

/*
 * A thread enters our class to be a member of @enclave. Returns its slot, with
 * event_task_join() done; or 0 when the enclave is going away or the table is
 * full: then it is a stranger.
 */
static __u32 event_task_take(__u32 enclave, __u32 tid)
{
	const struct core_enclave *e = port_enclave(enclave);
	struct ghost_enclave_status *es = port_enclave_status(enclave);
	__u32 slot, state;

	if (!e || !es)
		return 0;
	state = port_load_acquire(&e->state);
	if (state == GHOST_ENCLAVE_FREE || state == GHOST_ENCLAVE_DYING)
		return 0;
	slot = e->max_tasks && es->nr_tasks >= e->max_tasks ? 0 : slots_take();
	if (slot && !event_task_join(slot, enclave, tid))
		return slot;
	if (slot)
		slots_give(slot);
	es->nr_no_slot++;
	return 0;
}

#define FALLBACK_SLICE_NS (5 * 1000 * 1000ull)
#define FALLBACK_WEIGHTED_NS (10 * 1000 * 1000ull) /* at weight 100 */
#define FALLBACK_WEIGHTED_MIN_NS (1000 * 1000ull)
#define FALLBACK_WEIGHTED_MAX_NS (100 * 1000 * 1000ull)
#define FALLBACK_FAIR_MIN 25 /* weights */
#define FALLBACK_FAIR_MAX 400

/*
 * The slice of the member in @slot, which goes to the fallback. Where all wait in the order
 * in which they come, its length is what each gets of the CPUs; the kernel ends slices at
 * its ticks.
 */
static __u64 event_fallback_slice(__u32 slot)
{
	const struct core_task *t = port_task(slot);
	const struct core_enclave *e = t ? port_enclave(t->enclave) : 0;
	const struct ghost_status *st;
	__u64 ns;

	if (!e || e->fallback != GHOST_FALLBACK_WEIGHTED)
		return FALLBACK_SLICE_NS;
	st = port_status(t->enclave, slot);
	ns = st ? FALLBACK_WEIGHTED_NS / 100 * st->weight : 0;
	if (ns < FALLBACK_WEIGHTED_MIN_NS)
		return FALLBACK_WEIGHTED_MIN_NS;
	return ns > FALLBACK_WEIGHTED_MAX_NS ? FALLBACK_WEIGHTED_MAX_NS : ns;
}

/* The place of the member in @slot in the fallback's queue: a time, the least is first. */
static __u64 event_fallback_place(__u32 slot)
{
	const struct core_task *t = port_task(slot);
	const struct core_enclave *e = t ? port_enclave(t->enclave) : 0;

	if (!e)
		return port_now_ns();
	return e->fallback == GHOST_FALLBACK_FAIR ? t->vtime_ns : t->since_ns;
}

/* The place there of one who is no member and comes now. */
static __u64 event_fallback_guest(__u32 enclave)
{
	const struct core_enclave *e = port_enclave(enclave);

	return e && e->fallback == GHOST_FALLBACK_FAIR ? e->vtime_ns : port_now_ns();
}

/*
 * A fair fallback gave a member @ns. All weights would make one at nice 19 wait for a minute
 * for one at nice -20, and the kernel throws a scheduler out for that (timeout_ms).
 */
static __u64 event_fallback_counts(const struct ghost_status *st, __u64 ns)
{
	__u32 weight = st->weight;

	if (weight < FALLBACK_FAIR_MIN)
		weight = FALLBACK_FAIR_MIN;
	if (weight > FALLBACK_FAIR_MAX)
		weight = FALLBACK_FAIR_MAX;
	return ns * 100 / weight;
}

/* The member @t has consumed @runtime_ns in its life. */
static void event_ran(struct core_task *t, const struct core_enclave *e, struct ghost_status *st,
		      __u64 runtime_ns)
{
	if (t->state == CORE_TASK_FALLBACK && e->fallback == GHOST_FALLBACK_FAIR)
		t->vtime_ns += event_fallback_counts(st, runtime_ns - st->runtime_ns);
	st->runtime_ns = runtime_ns;
}

/* The fallback runs the member @t: nobody who runs is further behind. */
static void event_fallback_runs(const struct core_task *t, struct core_enclave *e)
{
	/* Two at once may set it back a little. */
	if ((__s64)(t->vtime_ns - e->vtime_ns) > 0)
		e->vtime_ns = t->vtime_ns;
}

/* It begins to wait for the fallback. Who sleeps saves up no more than a slice. */
static void event_fallback_waits(struct core_task *t, const struct core_enclave *e)
{
	__u64 least = e->vtime_ns - FALLBACK_SLICE_NS;

	if ((__s64)(least - t->vtime_ns) > 0)
		t->vtime_ns = least;
}

/* How much choice does its affinity leave the agents? */
static void event_choice(struct core_task *t, const struct ghost_status *st,
			 const struct core_enclave *e)
{
	__u64 both, seen = 0, more = 0;
	int i;

	for (i = 0; i < GHOST_CPU_WORDS; i++) {
		both = st->cpus[i] & e->cpus[i];
		more |= both & (both - 1);
		if (seen)
			more |= both;
		seen |= both;
	}
	t->flags &= ~(CORE_TASK_OUTSIDE | CORE_TASK_PINNED | CORE_TASK_UNSURE);
	if (!seen)
		t->flags |= CORE_TASK_OUTSIDE;
	else if (!more)
		t->flags |= CORE_TASK_PINNED;
}

/*
 * The status record is filled. @enqueue_follows: the thread is runnable and
 * its enqueue makes TASK_NEW; otherwise it sleeps and this does.
 */
static void event_task_bound(__u32 slot, int enqueue_follows)
{
	struct ghost_msg m = { .type = GHOST_MSG_TASK_NEW, .slot = slot };
	struct core_task *t = port_task(slot);
	struct ghost_enclave_status *es;
	struct core_slots *s = port_slots();
	struct core_enclave *e;
	struct ghost_status *st;
	__u32 nr, used;
	int i;

	if (!t || !s)
		return;
	e = port_enclave(t->enclave);
	es = port_enclave_status(t->enclave);
	st = port_status(t->enclave, slot);
	if (!e || !es || !st)
		return;
	/* Only ever up: two may join at once. */
	for (i = 0; i < SLOTS_TRIES; i++) {
		nr = port_load_acquire(&es->nr_slots);
		used = port_load_acquire(&s->used);
		if (nr >= used || port_cmpxchg(&es->nr_slots, nr, used) == nr)
			break;
	}
	event_choice(t, st, e);
	if (enqueue_follows) {
		status_publish(t, st);
		return;
	}
	t->state = CORE_TASK_BLOCKED;
	m.time_ns = port_now_ns();
	m.nice = st->nice;
	m.cpu = st->cpu;
	m.parent_tid = st->parent_tid;
	msg_send(e, t, st, &m);
}

/* The member @t in @slot leaves @cpu, where a commit has put it. Returns the CPU's new number. */
static __u32 event_left(struct core_task *t, __u32 slot, __u32 cpu)
{
	struct core_cpu *c;

	/* It may be told where it never ran. */
	if (t->on)
		cpu = t->on - 1;
	t->on = 0;
	c = port_cpu(cpu);

	if (!c || c->enclave != t->enclave)
		return 0;
	if (c->runs == slot)
		c->runs = 0;
	if (c->displaced == slot)
		c->displaced = 0;
	return cpu_advance(cpu);
}

/* News of the kind for which its commit wants to bring the agent of @cpu back. */
static void event_rtla(const struct core_task *t, __u32 cpu, __u32 run)
{
	if (t->run & run)
		agent_advance(t->enclave, cpu, 0);
}

static __u32 event_reason(int cause)
{
	if (cause == EVENT_CLASS)
		return GHOST_PREEMPT_CLASS;
	if (cause == EVENT_LATCH)
		return GHOST_PREEMPT_LATCH;
	if (cause == EVENT_RESTORE)
		return GHOST_PREEMPT_KICK;
	if (cause == EVENT_COMMIT)
		return GHOST_PREEMPT_COMMIT;
	return GHOST_PREEMPT_SLICE;
}

/*
 * How long has the member @t waited with nobody to decide, now that it runs or
 * new agents have it? What it waits while agents decide is their decision, or that
 * of its affinity.
 */
static void event_unscheduled(struct core_task *t, const struct core_enclave *e, __u64 now)
{
	struct ghost_enclave_status *es = port_enclave_status(t->enclave);
	__u64 end = now;

	if (!es || !t->since_ns)
		return;
	if (enclave_online(e))
		end = es->online_ns;
	/* Two at once may lose the longer of their waits: it is a figure for people. */
	if (end > t->since_ns && end - t->since_ns > es->unscheduled_ns)
		es->unscheduled_ns = end - t->since_ns;
	/* A higher class may take its CPU and give it back with no enqueue in between. */
	t->since_ns = 0;
}

/*
 * The thread in @slot is runnable and must wait somewhere; @here is the CPU
 * of its run queue, which it cannot leave now if @confined; @runtime_ns is
 * what it has consumed in its life. Makes TASK_NEW, TASK_WAKEUP, TASK_YIELD or
 * TASK_PREEMPT, whichever the state asks for. The message is visible before the
 * thread has reached its place: a commit that comes in between finds
 * GHOST_TXN_AGAIN.
 */
static int event_task_enqueue(__u32 slot, int cause, __u32 here, int confined, __u64 runtime_ns)
{
	struct ghost_msg m = { .slot = slot, .cpu = here };
	struct core_task *t = port_task(slot);
	struct core_enclave *e;
	struct ghost_status *st;
	int verdict, wake, taken, quiet = 0;
	const struct core_cpu *c;
	__u32 before;

	if (!t)
		return EVENT_GLOBAL;
	e = port_enclave(t->enclave);
	st = port_status(t->enclave, slot);
	if (!e || !st)
		return EVENT_GLOBAL;

	before = t->state;
	t->flags &= ~CORE_TASK_CONFINED;
	if (confined)
		t->flags |= CORE_TASK_CONFINED;
	if (cause == EVENT_CLASS || cause == EVENT_LATCH || cause == EVENT_RESTORE)
		t->returns++;
	/* The enclave may have other CPUs than at its last message. */
	if (t->epoch != e->epoch || t->flags & CORE_TASK_UNSURE)
		event_choice(t, st, e);
	if ((t->flags & CORE_TASK_OUTSIDE) || (confined && !cpu_in(e->cpus, here)) ||
	    t->returns >= CORE_RETURNS_GLOBAL || e->nowhere)
		verdict = EVENT_GLOBAL;
	else if (enclave_online(e))
		verdict = EVENT_CUSTODY;
	else
		verdict = EVENT_FALLBACK;
	event_ran(t, e, st, runtime_ns);
	if (verdict == EVENT_FALLBACK)
		event_fallback_waits(t, e);
	t->state = verdict == EVENT_CUSTODY ? CORE_TASK_CUSTODY : CORE_TASK_FALLBACK;
	m.time_ns = port_now_ns();
	if (before == CORE_TASK_FALLBACK && cause == EVENT_RESTORE)
		event_unscheduled(t, e, m.time_ns);
	/* Taken out and put back it still waits: a change of affinity is no decision. */
	if (before != CORE_TASK_CUSTODY || verdict != EVENT_CUSTODY)
		t->since_ns = m.time_ns;
	/* It has waited since its agents went, whenever it is that we see it here. */
	if (before == CORE_TASK_CUSTODY && verdict == EVENT_FALLBACK && e->fell_ns)
		t->since_ns = e->fell_ns;

	/* Where it has to run is where its agent looks first. */
	if (confined && verdict == EVENT_CUSTODY)
		st->cpu = here;
	/* A thread put back by the CPU it ran on meets that CPU's agent next anyway. */
	wake = t->queue != here || cause == EVENT_CLASS || cause == EVENT_LATCH;
	switch (before) {
	case CORE_TASK_NEW:
		m.type = GHOST_MSG_TASK_NEW;
		m.nice = st->nice;
		m.flags = GHOST_MSG_RUNNABLE;
		m.parent_tid = st->parent_tid;
		wake = 1;
		break;
	case CORE_TASK_BLOCKED:
		m.type = GHOST_MSG_TASK_WAKEUP;
		m.cpu = st->cpu;
		m.waker_cpu = port_this_cpu();
		m.wake_cpu = here;
		wake = 1;
		break;
	case CORE_TASK_CUSTODY:
		/*
		 * Taken out and put back (affinity or priority changed, or
		 * moved to another run queue): the change itself made the
		 * message, if there is anything to tell.
		 */
		if (verdict == EVENT_CUSTODY &&
		    (ghost_status_flags(st->word) & GHOST_STATUS_RUNNABLE)) {
			agent_wake(e, t, st, slot, GHOST_CPU_NONE);
			return verdict;
		}
		/*
		 * A commit had claimed it when the change was told, and found
		 * it gone when it wanted to move it: that one is lost.
		 */
		m.type = GHOST_MSG_TASK_PREEMPT;
		m.reason = GHOST_PREEMPT_LATCH;
		wake = 1;
		break;
	default:
		st->cpu = here;
		c = port_cpu(here);
		/* Behind another commit it comes back, too. */
		taken = cause == EVENT_CLASS || (cause == EVENT_LATCH && c && c->runs == slot);
		m.cpu_seq = event_left(t, slot, here);
		if (taken)
			cpu_set_taken(t->enclave, here, 1);
		if (t->flags & CORE_TASK_YIELDED) {
			m.type = GHOST_MSG_TASK_YIELD;
			event_rtla(t, here, GHOST_RUN_RTLA_ON_YIELD);
		} else {
			m.type = GHOST_MSG_TASK_PREEMPT;
			m.reason = event_reason(cause);
			event_rtla(t, here, GHOST_RUN_RTLA_ON_PREEMPT);
			quiet = cause == EVENT_COMMIT_QUIET;
		}
		t->run = 0;
		break;
	}
	t->flags &= ~CORE_TASK_YIELDED;
	if (verdict != EVENT_CUSTODY || quiet) {
		/*
		 * The agent, if there is one, cannot run it, or knows and said
		 * so: nothing to tell but the table.
		 */
		task_advance(t, st);
		if (verdict != EVENT_CUSTODY)
			cpu_count(t->enclave, here, GHOST_NR_FALLBACKS);
		return verdict;
	}
	msg_send(e, t, st, &m);
	/* Only for a thread that wakes up does the kernel make @here look for work. */
	if (wake)
		agent_wake(e, t, st, slot, before == CORE_TASK_BLOCKED ? here : GHOST_CPU_NONE);
	else
		agent_wake_own(t, st);
	return verdict;
}

/*
 * It waits for the fallback now: an idle CPU that may run it must come and take
 * it. If agents came online since that was decided, what they gave themselves of
 * the fallback may not have had it yet; and the CPU may be the one on which they
 * spin.
 */
static void event_fallback_wake(__u32 slot, __u32 here)
{
	const struct core_task *t = port_task(slot);
	struct ghost_enclave_status *es;
	const struct core_enclave *e;
	const struct ghost_status *st;
	__u32 cpu;

	if (!t)
		return;
	e = port_enclave(t->enclave);
	es = port_enclave_status(t->enclave);
	st = port_status(t->enclave, slot);
	if (!e || !es || !st)
		return;
	if (enclave_online(e)) {
		port_reenqueue(t->enclave, PORT_FALLBACK);
		return;
	}
	cpu = enclave_idle_cpu(e, es, st, slot, here);
	if (cpu != GHOST_CPU_NONE)
		port_kick(cpu);
}

static void event_task_yield(__u32 slot)
{
	struct core_task *t = port_task(slot);

	if (t)
		t->flags |= CORE_TASK_YIELDED;
}

/* A commit, or the fallback, has put it on @here, and now it runs. */
static void event_task_running(__u32 slot, __u32 here)
{
	struct ghost_msg m = { .type = GHOST_MSG_TASK_ON_CPU, .slot = slot, .cpu = here };
	struct core_task *t = port_task(slot);
	const struct core_cpu *c;
	struct core_enclave *e;
	struct ghost_status *st;

	if (!t)
		return;
	t->returns = 0;
	if (t->state == CORE_TASK_FALLBACK) {
		e = port_enclave(t->enclave);
		if (!e)
			return;
		event_fallback_runs(t, e);
		if (t->since_ns)
			event_unscheduled(t, e, port_now_ns());
		return;
	}
	/* It may not have been LATCHED yet: a commit by another CPU has just moved it. */
	if (t->state != CORE_TASK_LATCHED && t->state < CORE_TASK_CLAIMED)
		return;
	e = port_enclave(t->enclave);
	st = port_status(t->enclave, slot);
	c = port_cpu(here);
	if (!e || !st || !c)
		return;
	port_store_release(&t->state, CORE_TASK_RUNNING);
	/* Taken off before it was there, or the CPU left the enclave: who preempted it found nobody. */
	if (c->displaced == slot || c->enclave != t->enclave)
		port_preempt(here);
	st->cpu = here;
	st->switch_ns = port_now_ns();
	if (!(t->run & GHOST_RUN_SEND_TASK_ON_CPU)) {
		status_publish(t, st);
		return;
	}
	t->run &= ~GHOST_RUN_SEND_TASK_ON_CPU;
	m.time_ns = st->switch_ns;
	m.commit_ns = t->since_ns;
	m.cpu_seq = c->seq;
	msg_send(e, t, st, &m);
}

/* It went to sleep on @here, having consumed @runtime_ns in its life. */
static void event_task_blocked(__u32 slot, __u32 here, __u64 runtime_ns)
{
	struct ghost_msg m = { .type = GHOST_MSG_TASK_BLOCKED, .slot = slot, .cpu = here };
	struct core_task *t = port_task(slot);
	struct core_enclave *e;
	struct ghost_status *st;

	if (!t || t->state == CORE_TASK_BLOCKED || t->state == CORE_TASK_ABSENT)
		return;
	e = port_enclave(t->enclave);
	st = port_status(t->enclave, slot);
	if (!e || !st)
		return;
	/* A thread that blocks before its TASK_NEW: that one then says "not runnable". */
	if (t->state == CORE_TASK_NEW) {
		m.type = GHOST_MSG_TASK_NEW;
		m.nice = st->nice;
		m.parent_tid = st->parent_tid;
	}
	event_ran(t, e, st, runtime_ns);
	t->state = CORE_TASK_BLOCKED;
	t->flags &= ~CORE_TASK_YIELDED;
	st->cpu = here;
	m.time_ns = port_now_ns();
	m.cpu_seq = event_left(t, slot, here);
	event_rtla(t, here, GHOST_RUN_RTLA_ON_BLOCKED);
	t->run = 0;
	msg_send(e, t, st, &m);
	/* @here looks for work by itself; who reads of it elsewhere may sleep. */
	if (t->queue != here)
		agent_wake_own(t, st);
}

/* Something about it changed; @type says what. Not told before its TASK_NEW. */
static void event_task_changed(__u32 slot, __u32 type)
{
	struct ghost_msg m = { .type = type, .slot = slot };
	struct core_task *t = port_task(slot);
	struct core_enclave *e;
	struct ghost_status *st;

	if (!t || t->state == CORE_TASK_ABSENT)
		return;
	e = port_enclave(t->enclave);
	st = port_status(t->enclave, slot);
	if (!e || !st)
		return;
	if (type == GHOST_MSG_TASK_AFFINITY_CHANGED)
		event_choice(t, st, e);
	if (t->state == CORE_TASK_NEW)
		return;
	m.cpu = st->cpu;
	m.nice = st->nice;
	m.time_ns = port_now_ns();
	msg_send(e, t, st, &m);
}

/* Its affinity changed; the caller has written the new mask to the status record. */
static void event_task_affinity(__u32 slot)
{
	event_task_changed(slot, GHOST_MSG_TASK_AFFINITY_CHANGED);
}

/* Its nice value changed; the caller has written it to the status record. */
static void event_task_priority(__u32 slot)
{
	event_task_changed(slot, GHOST_MSG_TASK_PRIORITY_CHANGED);
}

/*
 * It is about to go. If it joined while it ran and was never off its CPU since,
 * its TASK_NEW is still owed, and every membership begins with that.
 */
static void event_task_owed(__u32 slot, __u64 runtime_ns)
{
	const struct core_task *t = port_task(slot);
	const struct ghost_status *st;

	if (!t || t->state != CORE_TASK_NEW)
		return;
	st = port_status(t->enclave, slot);
	if (st)
		event_task_blocked(slot, st->cpu, runtime_ns);
}

/* It died, or left for another class: the slot is free again. After event_task_owed(). */
static void event_task_gone(__u32 slot, int dead, __u64 runtime_ns)
{
	struct ghost_msg m = { .type = GHOST_MSG_TASK_DEPARTED, .slot = slot };
	struct core_task *t = port_task(slot);
	struct ghost_enclave_status *es;
	struct core_enclave *e;
	struct ghost_status *st;

	if (!t || t->state == CORE_TASK_ABSENT)
		return;
	e = port_enclave(t->enclave);
	es = port_enclave_status(t->enclave);
	st = port_status(t->enclave, slot);
	if (!e || !es || !st)
		return;
	if (dead)
		m.type = GHOST_MSG_TASK_DEAD;
	else if (t->state == CORE_TASK_RUNNING)
		m.flags = GHOST_MSG_CURRENT;
	m.cpu_seq = event_left(t, slot, st->cpu);
	t->state = CORE_TASK_ABSENT;
	st->runtime_ns = runtime_ns;
	m.cpu = st->cpu;
	m.time_ns = port_now_ns();
	msg_send(e, t, st, &m);
	port_fetch_add(&es->nr_tasks, (__u32)-1);
	slots_give(slot);
}

#endif
