/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Agents: which one runs because of a message, and where one waits that has
 * given its CPU up.
 * In: a queue that got a message; an agent's own events. Out: sequence numbers
 * advanced, CPUs kicked, the agent's place. Called by event.h, cpu.h and the ops.
 */
#ifndef GHOST_CORE_AGENT_H
#define GHOST_CORE_AGENT_H

#include "core/msg.h"
#include "core/port.h"

#define AGENT_SLICE_NS (20 * 1000 * 1000ull)

static void cpu_count(__u32 enclave, __u32 cpu, __u32 counter)
{
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);

	if (page && counter < GHOST_NR_COUNTERS)
		page->nr[counter]++;
}

/* A thread has waited @ns for this commit, or waits still; somebody asks whether that is long. */
PORT_COLD int cpu_waited(__u32 enclave, __u32 cpu, __u64 ns)
{
	const struct core_enclave *e = port_enclave(enclave);

	if (!e)
		return 0;
	cpu_count(enclave, cpu, GHOST_NR_WAITS);
	if (ns > e->slo_ns)
		cpu_count(enclave, cpu, GHOST_NR_LATE);
	return 0;
}

/* Idle bits: set by the CPU itself, taken by the one who kicks it. */
static void cpu_idle_set(struct ghost_enclave_status *e, __u32 cpu)
{
	port_fetch_or64(&e->idle[(cpu / 64) % GHOST_CPU_WORDS], 1ull << (cpu % 64));
}

/* The plain look keeps the cache line shared in the usual case of a busy CPU. */
static int cpu_is_idle(struct ghost_enclave_status *e, __u32 cpu)
{
	return *(volatile __u64 *)&e->idle[(cpu / 64) % GHOST_CPU_WORDS] >> (cpu % 64) & 1;
}

static int cpu_idle_take(struct ghost_enclave_status *e, __u32 cpu)
{
	__u64 bit = 1ull << (cpu % 64);

	if (!cpu_is_idle(e, cpu))
		return 0;
	return !!(port_fetch_and64(&e->idle[(cpu / 64) % GHOST_CPU_WORDS], ~bit) & bit);
}

/* Does @cpu's agent have something it has not seen? */
static int agent_pending(const struct core_cpu *c, const struct ghost_cpu *page)
{
	return port_load_acquire(&page->agent_seq) != c->agent_seen;
}

/*
 * Give @cpu's agent something to look at. Advancing the number is a full
 * barrier: whoever looks at the idle bit afterwards sees it, or the CPU going
 * idle sees the number; cf. agent_idle().
 */
static void agent_advance(__u32 enclave, __u32 cpu, __u32 help)
{
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);

	if (!page)
		return;
	if (help)
		page->help = help;
	port_fetch_add(&page->agent_seq, 1);
}

static void agent_kick(__u32 enclave, __u32 cpu)
{
	cpu_count(enclave, cpu, GHOST_NR_KICKS);
	port_kick(cpu);
}

static void agent_ping(__u32 enclave, __u32 cpu)
{
	struct ghost_enclave_status *e = port_enclave_status(enclave);

	if (!e)
		return;
	agent_advance(enclave, cpu, 0);
	if (cpu_idle_take(e, cpu))
		agent_kick(enclave, cpu);
}

/*
 * An idle CPU of the enclave on which the thread in @slot may run, taken from
 * the idle set; or GHOST_CPU_NONE. @near itself if it can be, then from its
 * word on. The mask in @st finds one at once, however many others idle; what it
 * does not tell (migration disabled: then only @near is left) the kernel does.
 */
static __u32 enclave_idle_cpu(const struct core_enclave *e, struct ghost_enclave_status *es,
			      const struct ghost_status *st, __u32 slot, __u32 near)
{
	__u32 i, w, cpu, nr = e->nr_words;
	__u64 word;

	if (cpu_is_idle(es, near) && port_task_allowed(slot, near) == PORT_ALLOWED &&
	    cpu_idle_take(es, near))
		return near;
	for (i = 0; i < GHOST_CPU_WORDS; i++) {
		if (i >= nr)
			break;
		w = (near / 64 + i) % nr % GHOST_CPU_WORDS;
		word = *(volatile __u64 *)&es->idle[w] & st->cpus[w];
		if (!word)
			continue;
		cpu = w * 64 + __builtin_ctzll(word);
		if (port_task_allowed(slot, cpu) == PORT_ALLOWED && cpu_idle_take(es, cpu))
			return cpu;
	}
	return GHOST_CPU_NONE;
}

/*
 * A thread became runnable and its message is in the queue of @t->queue. The
 * agent that it wakes runs when its CPU has nothing better to do ("lazy"). If
 * that CPU is idle it is woken; if it is busy and the queue is its own, an idle
 * CPU's agent is woken to help out. @here: the run queue on which the thread
 * was enqueued; an idle @here is woken by the kernel itself.
 */
static void agent_wake(const struct core_enclave *e, const struct core_task *t,
		       const struct ghost_status *st, __u32 slot, __u32 here)
{
	struct ghost_enclave_status *es = port_enclave_status(t->enclave);
	__u32 agent = msg_agent(t->enclave, t->queue, st->cpu), cpu;

	if (!es || agent == GHOST_CPU_NONE)
		return;
	if (cpu_idle_take(es, agent)) {
		if (agent != here)
			agent_kick(t->enclave, agent);
		return;
	}
	if ((t->flags & CORE_TASK_PINNED) || agent != t->queue)
		return;
	cpu = enclave_idle_cpu(e, es, st, slot, agent);
	if (cpu == GHOST_CPU_NONE)
		return;
	agent_advance(t->enclave, cpu, t->queue + 1);
	agent_kick(t->enclave, cpu);
}

/*
 * A thread was put back where its agent is next in any case; but one that did
 * not run may be put back, too, when its affinity or nice value changes, and
 * on an idle CPU nobody is next.
 */
static void agent_wake_own(const struct core_task *t, const struct ghost_status *st)
{
	struct ghost_enclave_status *es = port_enclave_status(t->enclave);
	__u32 agent = msg_agent(t->enclave, t->queue, st->cpu);

	if (es && agent != GHOST_CPU_NONE && cpu_idle_take(es, agent))
		agent_kick(t->enclave, agent);
}

/*
 * @cpu found nothing to run. Returns 1 when a message came in the meantime,
 * so that it must look again: bit first, then the number, while agent_wake()
 * advances the number first and then looks at the bit. One of both sees the
 * other.
 */
static int agent_idle(__u32 enclave, __u32 cpu, const struct core_cpu *c)
{
	struct ghost_enclave_status *e = port_enclave_status(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);

	if (!e || !page)
		return 0;
	cpu_idle_set(e, cpu);
	if (c->place != CORE_PLACE_PARKED || !agent_pending(c, page))
		return 0;
	return cpu_idle_take(e, cpu);
}

/* A higher class has taken @cpu, or given it back. */
PORT_COLD int cpu_set_taken(__u32 enclave, __u32 cpu, __u32 taken)
{
	const struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page;
	struct core_cpu *c = port_cpu(cpu);

	if (!c || c->taken == taken || c->enclave != enclave || !e)
		return 0;
	page = port_cpu_page(enclave, cpu);
	if (!page)
		return 0;
	c->taken = taken;
	if (!c->off)
		page->state = taken ? GHOST_CPU_TAKEN : GHOST_CPU_AVAILABLE;
	if (e->deliver & GHOST_DELIVER_AVAILABILITY)
		msg_send_cpu(enclave, cpu, taken ? GHOST_MSG_CPU_BUSY : GHOST_MSG_CPU_AVAILABLE, 0,
			     0);
	if (!taken || !c->not_idle)
		return 0;
	c->not_idle = 0;
	msg_send_cpu(enclave, cpu, GHOST_MSG_CPU_NOT_IDLE, 0, 0);
	return 0;
}

/* --- an agent's own events --------------------------------------------------- */

/*
 * Thread @tid becomes the agent of @cpu: by entering our class, or, if @spins,
 * as a thread of another one. @pinned: it can run nowhere else; one that could
 * leave would decide for one CPU and sit on another. Returns 0 when it may not
 * be.
 */
static int agent_attach(__u32 enclave, __u32 cpu, __u32 tid, int pinned, int spins)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);

	if (!e || !page || !c || !pinned || port_cmpxchg(&c->agent_tid, 0, tid))
		return 0;
	/* The agent first, then a look at the owner; cf. enclave_drop_cpu(). */
	if (port_load_acquire(&c->enclave) != enclave || e->state == GHOST_ENCLAVE_DYING) {
		port_store_release(&c->agent_tid, 0);
		return 0;
	}
	c->agent_seen = page->agent_seq;
	c->yielded = 0;
	c->decided = 0;
	c->looked = 0;
	c->txn_due = 0;
	c->place = CORE_PLACE_NONE;
	c->beats = 0;
	c->turns = 0;
	c->spins = spins;
	c->nth++;
	page->agent_tid = tid;
	port_fetch_add(&e->nr_agents, 1);
	return 1;
}

/* The agent of @cpu left the class, or died. Returns who it was; 0: there is none. */
static __u32 agent_detach(__u32 enclave, __u32 cpu)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);
	__u32 tid = c ? c->agent_tid : 0;

	if (!e || !c || !tid || port_cmpxchg(&c->agent_tid, tid, 0) != tid)
		return 0;
	c->place = CORE_PLACE_NONE;
	c->yielded = 0;
	port_fetch_add(&e->nr_agents, (__u32)-1);
	/* Last: who waits for its end reads this. */
	if (page)
		port_store_release(&page->agent_tid, 0);
	return tid;
}

/* It called sched_yield(). */
static void agent_yield(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);

	if (!c)
		return;
	c->yielded = 1;
	c->looked = 0;
	c->nr_yields++;
}

/* A tick met a thread of our class on @cpu. @agent: its agent. */
static void cpu_tick(__u32 cpu, int agent)
{
	const struct core_cpu *c = port_cpu(cpu);
	const struct core_enclave *e;

	if (!c || !c->enclave)
		return;
	e = port_enclave(c->enclave);
	if (e && (e->deliver & GHOST_DELIVER_TICKS))
		msg_send_cpu(c->enclave, cpu, GHOST_MSG_CPU_TICK, 0, agent ? GHOST_MSG_AGENT : 0);
}

/* The timer of @cpu has expired. Returns when it is to do so again, in ns; 0: never. */
static __u64 cpu_timer(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;

	if (!c || !c->enclave || !c->timer_on)
		return 0;
	if (!c->timer_period_ns)
		c->timer_on = 0;
	msg_send_cpu(c->enclave, cpu, GHOST_MSG_CPU_TIMER_EXPIRED, 0, 0);
	es = port_enclave_status(c->enclave);
	if (es && cpu_idle_take(es, cpu))
		agent_kick(c->enclave, cpu);
	return c->timer_period_ns;
}

/* @ns: from now, 0: never. */
static int cpu_timer_arm(__u32 enclave, __u32 cpu, __u64 ns, __u64 period_ns, __u64 cookie)
{
	struct core_cpu *c = port_cpu(cpu);

	if (!c || !enclave || c->enclave != enclave)
		return -E_NOENT;
	if ((ns && ns < GHOST_TIMER_MIN_NS) || (period_ns && period_ns < GHOST_TIMER_MIN_NS) ||
	    ns > GHOST_TIMER_MAX_NS || period_ns > GHOST_TIMER_MAX_NS)
		return -E_INVAL;
	c->timer_on = 0;
	c->timer_period_ns = period_ns;
	c->timer_cookie = cookie;
	if (!ns)
		return 0;
	c->timer_on = 1;
	return port_timer_set(cpu, ns);
}

/* A thread wants @cpu, where an agent may be spinning above it. */
static void cpu_wanted(__u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);
	const struct ghost_cpu_rw *rw;
	struct ghost_cpu *page;

	if (!c || !c->enclave || !c->spins)
		return;
	page = port_cpu_page(c->enclave, cpu);
	rw = port_cpu_rw(c->enclave, cpu);
	if (page && rw && *(volatile __u32 *)&rw->spins)
		port_fetch_add(&page->wanted, 1);
}

/* It went to sleep, or woke up, other than by giving its CPU up. */
static void agent_sleeps(__u32 enclave, __u32 cpu, int sleeps)
{
	const struct core_enclave *e = port_enclave(enclave);

	if (e && (e->deliver & GHOST_DELIVER_RUNNABILITY))
		msg_send_cpu(enclave, cpu,
			     sleeps ? GHOST_MSG_CPU_AGENT_BLOCKED : GHOST_MSG_CPU_AGENT_WAKEUP, 0,
			     0);
}

/* It is on its CPU, and waits for nothing any more. */
static void agent_running(__u32 cpu, __u32 tid)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_cpu *page;

	if (!c)
		return;
	c->place = CORE_PLACE_NONE;
	c->turns = 0;
	if (c->agent_tid == tid)
		return;
	/* execve() gives whoever calls it the number of the first thread. */
	c->agent_tid = tid;
	page = port_cpu_page(c->enclave, cpu);
	if (page)
		page->agent_tid = tid;
}

/* Where an agent goes that is runnable and not on its CPU. */
enum agent_verdict {
	AGENT_BEHIND, /* on its CPU's queue, after the thread it has put there */
	AGENT_PARK,   /* its own parking place, until there is news */
	AGENT_FIRST,  /* on its CPU's queue, before all others; make the CPU look */
	AGENT_TURN,   /* among the fallback's threads; make the CPU look */
};

/*
 * After sched_yield() an agent waits: behind the thread it has just put on
 * this CPU, since that one's end is an event for it in any case and needs no
 * dispatch then; or, with nothing to run, parked until there is news. One that
 * was preempted in the middle of a decision, or woke (@woken) from a page
 * fault, goes first on its CPU: parking it would lose what it was about to do.
 * But where agents do not decide, one that only ever computes must not keep
 * the fallback's threads from its CPU: it takes turns with them, as long as it
 * gets any.
 */
static enum agent_verdict agent_enqueue(__u32 enclave, __u32 cpu, int woken)
{
	const struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);

	if (!e || !page || !c)
		return AGENT_FIRST;
	if (woken)
		agent_sleeps(enclave, cpu, 0);
	if (!enclave_online(e)) {
		c->decided = 0;
		if (woken || c->turns >= CORE_TURNS_MAX)
			return AGENT_FIRST;
		c->turns++;
		return AGENT_TURN;
	}
	if (!c->yielded)
		return AGENT_FIRST;
	c->yielded = 0;
	if (c->decided) {
		c->decided = 0;
		c->place = CORE_PLACE_STANDBY;
		return AGENT_BEHIND;
	}
	/*
	 * A higher class may have taken the CPU before dispatch looked at its
	 * transaction. What is written there later is for whoever commits it.
	 */
	c->txn_due = !c->looked;
	c->place = CORE_PLACE_PARKED;
	/*
	 * dispatch looked before this: a message that came in between found no
	 * parked agent, and this is the last look before the CPU idles.
	 */
	if (!agent_pending(c, page))
		return AGENT_PARK;
	c->place = CORE_PLACE_NONE;
	return AGENT_FIRST;
}

#endif
