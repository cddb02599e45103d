/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A CPU looks for work: what it runs next, and in which order it looks.
 * In: a CPU without a thread, or whose thread's time is up. Out: a thread or
 * the agent on its queue. Called by the ops in dispatch.
 */
#ifndef GHOST_CORE_CPU_H
#define GHOST_CORE_CPU_H

#include "core/agent.h"
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

/* The agents of @enclave decide. */
static void cpu_dispatch_online(struct core_cpu *c, __u32 enclave, __u32 cpu,
				struct port_thread *prev)
{
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	__u32 state = GHOST_TXN_FREE;

	if (!page)
		return;
	/* Has the agent handed in a decision? In the middle of one it has not. */
	if (c->yielded || (c->place == CORE_PLACE_PARKED && c->txn_due)) {
		c->txn_due = 0;
		state = txn_commit_local(enclave, cpu, c);
		if (state == GHOST_TXN_COMMITTED) {
			c->decided = c->yielded;
			return;
		}
	}
	/* A refusal is news for the agent, like a message. */
	if ((state != GHOST_TXN_FREE && state != GHOST_TXN_YIELDED) || agent_pending(c, page))
		if (cpu_run_agent(c, cpu, prev))
			return;
	if (port_fallback_run(enclave))
		return;
	if (agent_idle(enclave, cpu, c))
		cpu_run_agent(c, cpu, prev);
}

/* Nobody decides for @enclave: first come, first served. */
static void cpu_dispatch_fallback(struct core_cpu *c, __u32 enclave, __u32 cpu,
				  struct port_thread *prev)
{
	struct ghost_enclave_status *es = port_enclave_status(enclave);

	/* Agents that lost their enclave are let go, to notice it; once, then they take turns. */
	c->yielded = 0;
	if (cpu_run_agent(c, cpu, prev))
		return;
	if (port_fallback_run(enclave) || !es)
		return;
	/* Bit first, then look again; cf. agent_idle(). */
	cpu_idle_set(es, cpu);
	if (port_waiting(enclave, PORT_FALLBACK) && port_fallback_run(enclave))
		cpu_idle_take(es, cpu);
}

static void cpu_dispatch(__u32 cpu, struct port_thread *prev)
{
	struct core_cpu *c = port_cpu(cpu);
	const struct core_enclave *e;

	if (!c || !c->enclave)
		return;
	e = port_enclave(c->enclave);
	if (!e)
		return;
	if (enclave_online(e) && c->agent_tid)
		cpu_dispatch_online(c, c->enclave, cpu, prev);
	else
		cpu_dispatch_fallback(c, c->enclave, cpu, prev);
}

/* @cpu runs something: its idle bit is set in dispatch, where another look follows. */
static void cpu_busy(__u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;

	if (!c || !c->enclave)
		return;
	es = port_enclave_status(c->enclave);
	if (es)
		cpu_idle_take(es, cpu);
}

/*
 * @cpu was taken from a thread of ours whose slice is used up. Was that the
 * heartbeat's doing?
 */
static int cpu_was_kicked(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);

	if (!c || !c->kicked)
		return 0;
	c->kicked = 0;
	return 1;
}

#endif
