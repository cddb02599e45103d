/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests from user space: those of whoever manages enclaves, and those of
 * agents, so that the two rights can be given apart.
 * In: struct ghost_ctl. Out: its @ret. Called by the two SYSCALL programs.
 */
#ifndef GHOST_CORE_CTL_H
#define GHOST_CORE_CTL_H

#include "core/enclave.h"
#include "core/task.h"

#define E_PERM 1

/* Membership begins when the thread turns SCHED_EXT, under its own locks. */
static int ctl_task_join(__u32 id, __u32 tid)
{
	const struct core_enclave *e = port_enclave(id);
	const struct core_cpu *c;
	__u32 cpu;

	if (!e || !id || e->state == GHOST_ENCLAVE_FREE || e->state == GHOST_ENCLAVE_DYING)
		return -E_NOENT;
	/* An agent that is scheduled by an agent would wait for itself. */
	port_for(cpu, 0, port_nr_cpus()) {
		c = port_cpu(cpu);
		if (c && c->agent_tid == tid)
			return -E_PERM;
	}
	return port_joining_set(tid, WHO(WHO_MEMBER, id, 0));
}

static int ctl_init(__u32 capacity)
{
	struct core_slots *s = port_slots();

	if (!s || s->capacity)
		return -E_BUSY;
	s->used = 1; /* slot 0 is the enclave's own */
	s->capacity = capacity;
	return 0;
}

static void ctl_admin(struct ghost_ctl *ctl)
{
	const struct core_slots *s = port_slots();

	switch (ctl->op) {
	case GHOST_CTL_INFO:
		ctl->abi = GHOST_ABI_VERSION;
		ctl->capacity = s ? s->capacity : 0;
		ctl->ret = 0;
		break;
	case GHOST_CTL_INIT:
		ctl->ret = ctl_init(ctl->capacity);
		break;
	case GHOST_CTL_ENCLAVE_CREATE:
		ctl->ret = enclave_create(ctl);
		break;
	case GHOST_CTL_ENCLAVE_DESTROY:
		ctl->ret = enclave_destroy(ctl->enclave);
		break;
	case GHOST_CTL_ENCLAVE_FREE:
		ctl->ret = enclave_free(ctl->enclave);
		break;
	case GHOST_CTL_TASK_JOIN:
		ctl->ret = ctl_task_join(ctl->enclave, ctl->tid);
		break;
	case GHOST_CTL_TASK_UNJOIN:
		ctl->ret = port_joining_clear(ctl->tid);
		break;
	default:
		ctl->ret = -E_INVAL;
	}
}

static int ctl_agent_attach(__u32 id, __u32 cpu)
{
	const struct core_enclave *e = port_enclave(id);
	const struct core_cpu *c = port_cpu(cpu);

	if (!e || !c || !id || c->enclave != id || e->state == GHOST_ENCLAVE_DYING)
		return -E_NOENT;
	if (c->agent_tid)
		return -E_BUSY;
	return port_joining_set(port_this_tid(), WHO(WHO_AGENT, id, cpu));
}

static int ctl_agent_ping(__u32 id, __u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);

	if (!c || !c->enclave || c->enclave != id)
		return -E_NOENT;
	agent_ping(id, cpu);
	return 0;
}

static void ctl_agent(struct ghost_ctl *ctl)
{
	switch (ctl->op) {
	case GHOST_CTL_AGENT_ATTACH:
		ctl->ret = ctl_agent_attach(ctl->enclave, ctl->cpu);
		break;
	case GHOST_CTL_AGENT_ONLINE:
		ctl->ret = enclave_agents_online(ctl->enclave);
		break;
	case GHOST_CTL_AGENT_OFFLINE:
		ctl->ret = enclave_agents_offline(ctl->enclave);
		break;
	case GHOST_CTL_AGENT_PING:
		ctl->ret = ctl_agent_ping(ctl->enclave, ctl->cpu);
		break;
	default:
		ctl->ret = -E_INVAL;
	}
}

#endif
