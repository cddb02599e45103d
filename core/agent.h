/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waking agents: which one runs because of a message, and when a parked one
 * has something to do.
 * In: a queue that got a message. Out: sequence numbers advanced, CPUs kicked.
 * Called by event.h and by the ops.
 */
#ifndef GHOST_CORE_AGENT_H
#define GHOST_CORE_AGENT_H

#include "core/port.h"

static void cpu_count(__u32 enclave, __u32 cpu, __u32 counter)
{
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);

	if (page && counter < GHOST_NR_COUNTERS)
		page->nr[counter]++;
}

/* Idle bits: set by the CPU itself, taken by the one who kicks it. */
static void cpu_idle_set(struct ghost_enclave_status *e, __u32 cpu)
{
	port_fetch_or64(&e->idle[(cpu / 64) % GHOST_CPU_WORDS], 1ull << (cpu % 64));
}

static int cpu_idle_take(struct ghost_enclave_status *e, __u32 cpu)
{
	__u64 *word = &e->idle[(cpu / 64) % GHOST_CPU_WORDS];
	__u64 bit = 1ull << (cpu % 64);

	/* The plain look keeps the cache line shared in the usual case of a busy CPU. */
	if (!(*(volatile __u64 *)word & bit))
		return 0;
	return !!(port_fetch_and64(word, ~bit) & bit);
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
 * the idle set; or GHOST_CPU_NONE. Starts at the word of @near.
 */
static __u32 enclave_idle_cpu(const struct core_enclave *e, struct ghost_enclave_status *es,
			      __u32 slot, __u32 near)
{
	__u32 i, w, cpu, nr = e->nr_words;
	__u64 word;

	for (i = 0; i < GHOST_CPU_WORDS; i++) {
		if (i >= nr)
			break;
		w = (near / 64 + i) % nr % GHOST_CPU_WORDS;
		word = *(volatile __u64 *)&es->idle[w];
		if (!word)
			continue;
		cpu = w * 64 + __builtin_ctzll(word);
		if (!port_task_allowed(slot, cpu)) {
			/* One more try in this word, then on: bounded work on a hot path. */
			word &= word - 1;
			if (!word)
				continue;
			cpu = w * 64 + __builtin_ctzll(word);
			if (!port_task_allowed(slot, cpu))
				continue;
		}
		if (cpu_idle_take(es, cpu))
			return cpu;
	}
	return GHOST_CPU_NONE;
}

/*
 * A thread became runnable and its message is in the queue of @t->queue. That
 * agent runs when its CPU has nothing better to do ("lazy"). If the CPU is
 * idle it is woken; if it is busy, an idle CPU's agent is woken to help out.
 * @here: the run queue on which the thread was enqueued; an idle @here is
 * woken by the kernel itself.
 */
static void agent_wake(const struct core_enclave *e, const struct core_task *t, __u32 slot,
		       __u32 here)
{
	struct ghost_enclave_status *es = port_enclave_status(t->enclave);
	__u32 cpu;

	if (!es)
		return;
	if (cpu_idle_take(es, t->queue)) {
		if (t->queue != here)
			agent_kick(t->enclave, t->queue);
		return;
	}
	if (t->flags & CORE_TASK_PINNED)
		return;
	cpu = enclave_idle_cpu(e, es, slot, t->queue);
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
static void agent_wake_own(const struct core_task *t)
{
	struct ghost_enclave_status *es = port_enclave_status(t->enclave);

	if (es && cpu_idle_take(es, t->queue))
		agent_kick(t->enclave, t->queue);
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

#endif
