/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A CPU looks for work: what it runs next, and in which order it looks.
 * In: a CPU without a thread, or whose thread's time is up. Out: a thread or
 * the agent on its queue. Called by the ops in dispatch.
 */
#ifndef GHOST_CORE_CPU_H
#define GHOST_CORE_CPU_H

#include "core/agent.h"
#include "core/event.h"
#include "core/task.h"
#include "core/txn.h"

/* Put the agent of @cpu on it. Returns 0 when it is neither parked nor here. */
static int cpu_run_agent(struct core_cpu *c, __u32 cpu, struct port_thread *prev)
{
	if (c->place == CORE_PLACE_PARKED) {
		c->place = CORE_PLACE_NONE;
		return port_agent_run(cpu);
	}
	if (c->yielded && prev) {
		/* It is still the current thread: no switch at all. */
		c->yielded = 0;
		port_keep(prev, AGENT_SLICE_NS);
		return 1;
	}
	return 0;
}

/*
 * @cpu may have come for one thread and taken another that was there before,
 * for which a CPU came that cannot run the first: whoever still waits gets one.
 */
PORT_COLD int cpu_fallback_next(__u32 enclave, __u32 cpu)
{
	__u64 who[PORT_FALLBACK_LOOK] = { 0 };
	__u32 i, nr = port_fallback_look(enclave, who);

	for (i = 0; i < PORT_FALLBACK_LOOK; i++)
		if (i < nr && who_kind(who[i]) == WHO_MEMBER)
			event_fallback_wake(who_index(who[i]), cpu);
	return 0;
}

static int cpu_run_fallback(__u32 enclave, __u32 cpu)
{
	if (!port_fallback_run(enclave))
		return 0;
	if (port_waiting(enclave, PORT_FALLBACK))
		cpu_fallback_next(enclave, cpu);
	return 1;
}

/*
 * May the member of @enclave in @slot, who waits for the fallback, run on @cpu? For itself,
 * as in the loop the verifier loses sight of the bound of @cpu.
 */
PORT_COLD int cpu_fallback_may(__u32 enclave, __u32 cpu, __u32 slot)
{
	const struct ghost_status *st = port_status(enclave, slot);

	return st && cpu_in(st->cpus, cpu);
}

/* Is @place before that of the first who waits for the fallback and may run on @cpu? */
PORT_COLD int cpu_fallback_first(__u32 enclave, __u32 cpu, __u64 place)
{
	__u64 who[PORT_FALLBACK_LOOK] = { 0 };
	__u32 i, nr = port_fallback_look(enclave, who);

	for (i = 0; i < PORT_FALLBACK_LOOK; i++) {
		if (i >= nr)
			break;
		if (who_kind(who[i]) != WHO_MEMBER ||
		    cpu_fallback_may(enclave, cpu, who_index(who[i])))
			return (__s64)(who[i] - who_at(0, place)) > 0;
	}
	return 0;
}

/*
 * Does @prev go on, as it has had less than those who wait? The kernel puts it back only
 * after this: of two threads each would get every other slice, whatever their weight.
 */
static int cpu_fallback_stays(struct core_cpu *c, __u32 enclave, __u32 cpu,
			      struct port_thread *prev)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_status *st;
	struct core_task *t;
	__u64 runtime_ns;
	__u32 slot;

	/* Whom agents have come for, or who was kicked off, passes enqueue. */
	if (!prev || !e || e->fallback != GHOST_FALLBACK_FAIR || enclave_online(e) || c->kicked)
		return 0;
	slot = port_prev_member(prev, &runtime_ns);
	t = slot ? port_task(slot) : 0;
	if (!t || t->enclave != enclave || t->state != CORE_TASK_FALLBACK ||
	    (t->flags & (CORE_TASK_YIELDED | CORE_TASK_OUTSIDE)))
		return 0;
	st = port_status(enclave, slot);
	if (!st)
		return 0;
	event_ran(t, e, st, runtime_ns);
	if (!cpu_fallback_first(enclave, cpu, t->vtime_ns))
		return 0;
	event_fallback_runs(t, e);
	port_keep(prev, FALLBACK_SLICE_NS);
	return 1;
}

/* The agents of @enclave decide. */
static void cpu_dispatch_online(struct core_cpu *c, __u32 enclave, __u32 cpu,
				struct port_thread *prev)
{
	struct ghost_enclave_status *es = port_enclave_status(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	__u32 state = GHOST_TXN_FREE;

	if (!page || !es)
		return;
	/* Has the agent handed in a decision? In the middle of one it has not. */
	if (c->yielded || (c->place == CORE_PLACE_PARKED && c->txn_due)) {
		c->txn_due = 0;
		c->looked = 1;
		state = txn_commit_local(enclave, cpu, c);
		if (state == GHOST_TXN_COMMITTED) {
			c->decided = c->yielded;
			return;
		}
	}
	/* What was written ahead for this moment; unless the agent has yet to hear of a refusal. */
	if (state == GHOST_TXN_FREE || state == GHOST_TXN_YIELDED) {
		if (txn_commit_pick(enclave, cpu) == GHOST_TXN_COMMITTED) {
			c->decided = c->yielded;
			return;
		}
	}
	/* A refusal is news for the agent, like a message. */
	if ((state != GHOST_TXN_FREE && state != GHOST_TXN_YIELDED) || agent_pending(c, page))
		if (cpu_run_agent(c, cpu, prev))
			return;
	if (cpu_run_fallback(enclave, cpu))
		return;
	if (c->rtla_idle) {
		c->rtla_idle = 0;
		agent_advance(enclave, cpu, 0);
		if (cpu_run_agent(c, cpu, prev))
			return;
	}
	if (agent_idle(enclave, cpu, c)) {
		cpu_run_agent(c, cpu, prev);
		return;
	}
	/* Bit first, then look again; who writes a pick looks at the bit afterwards. */
	state = txn_commit_pick(enclave, cpu);
	if (state == GHOST_TXN_COMMITTED) {
		cpu_idle_take(es, cpu);
		c->decided = c->yielded;
	} else if (state != GHOST_TXN_FREE && agent_idle(enclave, cpu, c)) {
		/* A refusal is news. */
		cpu_run_agent(c, cpu, prev);
	}
}

/* Nobody decides for @enclave. */
static void cpu_dispatch_fallback(struct core_cpu *c, __u32 enclave, __u32 cpu,
				  struct port_thread *prev)
{
	struct ghost_enclave_status *es = port_enclave_status(enclave);

	/* Agents that lost their enclave are let go, to notice it; once, then they take turns. */
	c->yielded = 0;
	if (cpu_run_agent(c, cpu, prev) || cpu_fallback_stays(c, enclave, cpu, prev))
		return;
	if (cpu_run_fallback(enclave, cpu) || !es)
		return;
	/* Bit first, then look again; cf. agent_idle(). The CPU may have left meanwhile, too. */
	cpu_idle_set(es, cpu);
	if (port_load_acquire(&c->enclave) != enclave)
		cpu_idle_take(es, cpu);
	if (port_waiting(enclave, PORT_FALLBACK) && cpu_run_fallback(enclave, cpu))
		cpu_idle_take(es, cpu);
}

static void cpu_dispatch(__u32 cpu, struct port_thread *prev)
{
	struct core_cpu *c = port_cpu(cpu);
	const struct core_enclave *e;
	__u32 enclave;

	if (!c)
		return;
	/* Once: it may leave the enclave now, and no enclave has no queue to look into. */
	enclave = port_load_acquire(&c->enclave);
	e = port_enclave(enclave);
	if (!enclave || !e)
		return;
	if (c->taken)
		cpu_set_taken(enclave, cpu, 0);
	if (enclave_online(e) && c->agent_tid)
		cpu_dispatch_online(c, enclave, cpu, prev);
	else
		cpu_dispatch_fallback(c, enclave, cpu, prev);
}

/*
 * @cpu runs something: its idle bit is set in dispatch, where another look
 * follows. @ours: a thread of our class is on its queue, and will be it.
 */
static void cpu_busy(__u32 cpu, int ours)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;

	if (!c || !c->enclave)
		return;
	es = port_enclave_status(c->enclave);
	if (es)
		cpu_idle_take(es, cpu);
	if (!ours && !c->taken)
		cpu_set_taken(c->enclave, cpu, 1);
}

/* A thread of our class runs on @cpu, whoever it is. */
static void cpu_ours(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);

	if (c && c->taken)
		cpu_set_taken(c->enclave, cpu, 0);
}

/*
 * Why the member in @slot left @cpu with its slice used up: it may be the
 * slice, a commit, or the heartbeat.
 */
static int cpu_stop_cause(__u32 cpu, __u32 slot)
{
	struct core_cpu *c = port_cpu(cpu);

	if (!c)
		return EVENT_SLICE;
	if (c->displaced == slot) {
		c->kicked = 0;
		return c->elide ? EVENT_COMMIT_QUIET : EVENT_COMMIT;
	}
	if (!c->kicked)
		return EVENT_SLICE;
	c->kicked = 0;
	return EVENT_RESTORE;
}

#endif
