/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests from user space: two SYSCALL programs, so that the right to manage
 * enclaves and the right to be an agent can be given apart.
 * In: struct ghost_ctl. Out: its @ret. For ghost.bpf.c.
 */
#ifndef GHOST_BPF_CTL_H
#define GHOST_BPF_CTL_H

#include "bpf/enclave.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/port.bpf.h"
#include "bpf/task.bpf.h"
#include "core/agent.h"
#include "core/event.h"

#define E_PERM 1
#define E_NOENT 2
#define E_AGAIN 11
#define E_BUSY 16
#define E_EXIST 17
#define E_INVAL 22

/* Give the CPUs of @id back; those another enclave owns are left alone. */
static void enclave_release_cpus(u32 id)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 cpu;

	bpf_for(cpu, 0, nr) {
		struct core_cpu *c = port_cpu(cpu);

		if (c && c->enclave == id)
			c->enclave = 0;
	}
}

static int ctl_enclave_create(struct ghost_ctl *ctl)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 id = ctl->enclave, cpu;
	struct core_enclave *e;
	struct ghost_enclave_status *es;
	struct core_slots *s = port_slots();
	int ret = 0;

	if (!id || id >= GHOST_ENCLAVES_MAX)
		return -E_INVAL;
	e = port_enclave(id);
	es = port_enclave_status(id);
	if (!e || !es || !s)
		return -E_INVAL;
	if (e->state != GHOST_ENCLAVE_FREE)
		return -E_EXIST;
	e->nr_cpus = 0;
	e->nr_agents = 0;
	e->next_cpu = 0;
	e->stall_ns = ctl->stall_ns;
#pragma unroll
	for (int i = 0; i < GHOST_CPU_WORDS; i++)
		e->cpus[i] = ctl->cpus[i];
	bpf_for(cpu, 0, nr) {
		struct core_cpu *c = port_cpu(cpu);

		if (!c || !cpu_in(e->cpus, cpu))
			continue;
		if (port_cmpxchg(&c->enclave, 0, id) != 0) {
			ret = -E_BUSY;
			break;
		}
		c->agent_tid = 0;
		c->agent_seen = 0;
		c->place = CORE_PLACE_NONE;
		c->yielded = 0;
		e->nr_words = cpu / 64 + 1;
		struct ghost_cpu *page = port_cpu_page(id, cpu);

		if (page)
			page->owned = 1;
		e->nr_cpus++;
	}
	if (!ret && !e->nr_cpus)
		ret = -E_INVAL;
	if (ret) {
		enclave_release_cpus(id);
		return ret;
	}
	es->abi = GHOST_ABI_VERSION;
	es->id = id;
	es->capacity = s->capacity;
	es->nr_cpus = e->nr_cpus;
	es->nr_tasks = 0;
	es->lost_reason = GHOST_LOST_NONE;
	es->state = GHOST_ENCLAVE_IDLE;
	port_store_release(&e->state, GHOST_ENCLAVE_IDLE);
	return 0;
}

static int ctl_enclave_destroy(u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	port_store_release(&e->state, GHOST_ENCLAVE_DYING);
	enclave_fall_back(id, es, GHOST_ENCLAVE_DYING, 0);
	return 0;
}

static int ctl_enclave_free(u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (e->state != GHOST_ENCLAVE_DYING || es->nr_tasks || e->nr_agents)
		return -E_BUSY;
	enclave_release_cpus(id);
	es->state = GHOST_ENCLAVE_FREE;
	port_store_release(&e->state, GHOST_ENCLAVE_FREE);
	return 0;
}

/* Membership begins when the thread turns SCHED_EXT, under its own locks. */
static int ctl_task_join(u32 id, u32 tid)
{
	const struct core_enclave *e = port_enclave(id);
	u64 who = WHO(WHO_MEMBER, id, 0);
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 cpu;

	if (!e || !id || e->state == GHOST_ENCLAVE_FREE || e->state == GHOST_ENCLAVE_DYING)
		return -E_NOENT;
	/* An agent that is scheduled by an agent would wait for itself. */
	bpf_for(cpu, 0, nr) {
		const struct core_cpu *c = port_cpu(cpu);

		if (c && c->agent_tid == tid)
			return -E_PERM;
	}
	return bpf_map_update_elem(&ghost_joining, &tid, &who, BPF_ANY);
}

SEC("syscall")
int ghost_admin(struct ghost_ctl *ctl)
{
	struct core_slots *s = port_slots();
	u32 tid = ctl->tid;

	switch (ctl->op) {
	case GHOST_CTL_INFO:
		ctl->abi = GHOST_ABI_VERSION;
		ctl->capacity = s ? s->capacity : 0;
		ctl->ret = 0;
		break;
	case GHOST_CTL_INIT:
		ctl->ret = -E_BUSY;
		if (!s || s->capacity)
			break;
		s->used = 1; /* slot 0 is the enclave's own */
		s->capacity = ctl->capacity;
		ctl->ret = 0;
		break;
	case GHOST_CTL_ENCLAVE_CREATE:
		ctl->ret = ctl_enclave_create(ctl);
		break;
	case GHOST_CTL_ENCLAVE_DESTROY:
		ctl->ret = ctl_enclave_destroy(ctl->enclave);
		break;
	case GHOST_CTL_ENCLAVE_FREE:
		ctl->ret = ctl_enclave_free(ctl->enclave);
		break;
	case GHOST_CTL_TASK_JOIN:
		ctl->ret = ctl_task_join(ctl->enclave, tid);
		break;
	case GHOST_CTL_TASK_UNJOIN:
		ctl->ret = bpf_map_delete_elem(&ghost_joining, &tid);
		break;
	default:
		ctl->ret = -E_INVAL;
	}
	return 0;
}

static int ctl_agent_attach(u32 id, u32 cpu)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	const struct core_cpu *c = port_cpu(cpu);
	u64 who = WHO(WHO_AGENT, id, cpu);

	if (!c || !id || c->enclave != id)
		return -E_NOENT;
	if (c->agent_tid)
		return -E_BUSY;
	return bpf_map_update_elem(&ghost_joining, &tid, &who, BPF_ANY);
}

static int ctl_agent_online(u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (e->state == GHOST_ENCLAVE_DYING || e->state == GHOST_ENCLAVE_ONLINE)
		return -E_BUSY;
	if (e->nr_agents != e->nr_cpus)
		return -E_AGAIN;
	es->lost_reason = GHOST_LOST_NONE;
	es->state = GHOST_ENCLAVE_ONLINE;
	port_store_release(&e->state, GHOST_ENCLAVE_ONLINE);
	/* Those waiting for the fallback meet an agent instead. */
	scx_bpf_dsq_reenq(DSQ_FALLBACK(id), 0);
	enclave_kick(id, 0);
	return 0;
}

/* Agents that end on purpose say so: the fallback takes over and no reason is recorded. */
static int ctl_agent_offline(u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (port_cmpxchg(&e->state, GHOST_ENCLAVE_ONLINE, GHOST_ENCLAVE_IDLE) !=
	    GHOST_ENCLAVE_ONLINE)
		return -E_BUSY;
	/* A parked agent notices when it runs, and a slice may be long. */
	enclave_fall_back(id, es, GHOST_ENCLAVE_IDLE, K_ENUM(scx_kick_flags, SCX_KICK_PREEMPT));
	return 0;
}

SEC("syscall")
int ghost_agent(struct ghost_ctl *ctl)
{
	const struct core_cpu *c;

	switch (ctl->op) {
	case GHOST_CTL_AGENT_ATTACH:
		ctl->ret = ctl_agent_attach(ctl->enclave, ctl->cpu);
		break;
	case GHOST_CTL_AGENT_ONLINE:
		ctl->ret = ctl_agent_online(ctl->enclave);
		break;
	case GHOST_CTL_AGENT_OFFLINE:
		ctl->ret = ctl_agent_offline(ctl->enclave);
		break;
	case GHOST_CTL_AGENT_PING:
		c = port_cpu(ctl->cpu);
		if (!c || !c->enclave || c->enclave != ctl->enclave) {
			ctl->ret = -E_NOENT;
			break;
		}
		agent_ping(ctl->enclave, ctl->cpu);
		ctl->ret = 0;
		break;
	default:
		ctl->ret = -E_INVAL;
	}
	return 0;
}

#endif
