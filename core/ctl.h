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
#include "core/txn.h"

/* Is @tid the agent of any CPU? */
static int ctl_is_some_agent(__u32 tid)
{
	const struct core_cpu *c;
	__u32 cpu;

	port_for(cpu, 0, port_nr_cpus()) {
		c = port_cpu(cpu);
		if (c && c->agent_tid == tid)
			return 1;
	}
	return 0;
}

/* Membership begins when the thread turns SCHED_EXT, under its own locks. */
static int ctl_task_join(__u32 id, __u32 tid)
{
	const struct core_enclave *e = port_enclave(id);

	if (!e || !id || e->state == GHOST_ENCLAVE_FREE || e->state == GHOST_ENCLAVE_DYING)
		return -E_NOENT;
	/* An agent that is scheduled by an agent would wait for itself. */
	if (ctl_is_some_agent(tid))
		return -E_PERM;
	return port_joining_set(tid, WHO_COMING(WHO_MEMBER, id, e->gen, 0));
}

/* Whom the kernel lets the caller change at all: nobody is put anywhere by strangers. */
static int ctl_task_join_own(__u32 id, __u32 tid)
{
	int ret = port_this_may(tid);

	return ret ? ret : ctl_task_join(id, tid);
}

static int ctl_task_unjoin_own(__u32 tid)
{
	int ret = port_this_may(tid);

	return ret ? ret : port_joining_clear(tid);
}

static void ctl_info(struct ghost_ctl *ctl)
{
	const struct core_slots *s = port_slots();

	ctl->abi = GHOST_ABI_VERSION;
	ctl->capacity = s ? s->capacity : 0;
	ctl->ret = 0;
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
	switch (ctl->op) {
	case GHOST_CTL_INFO:
		ctl_info(ctl);
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
	case GHOST_CTL_ENCLAVE_CPUS:
		ctl->ret = enclave_set_cpus(ctl);
		break;
	case GHOST_CTL_ENCLAVE_SLO:
		ctl->ret = enclave_slo(ctl->enclave, ctl->stall_ns);
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

static int ctl_agent_attach(__u32 id, __u32 cpu, __u32 flags)
{
	const struct core_enclave *e = port_enclave(id);
	const struct core_cpu *c = port_cpu(cpu);
	int ret;

	if (!e || !c || !id || c->enclave != id || e->state == GHOST_ENCLAVE_DYING)
		return -E_NOENT;
	if (e->state == CORE_ENCLAVE_CHANGING)
		return -E_BUSY;
	if (flags & ~GHOST_AGENT_SPINS)
		return -E_INVAL;
	if (c->agent_tid)
		return -E_BUSY;
	if (!(flags & GHOST_AGENT_SPINS))
		return port_joining_set(port_this_tid(), WHO_COMING(WHO_AGENT, id, e->gen, cpu));
	/* A member would wait for itself, and one end is noticed for one CPU. */
	if (port_this_in_class())
		return -E_INVAL;
	if (ctl_is_some_agent(port_this_tid()))
		return -E_BUSY;
	/* It enters no class of ours: it is the agent now, and its end is noticed. */
	ret = port_this_set_spinner(0);
	if (ret)
		return ret;
	if (!agent_attach(id, cpu, port_this_tid(), port_this_pinned(cpu), 1))
		return -E_INVAL;
	/* There is room for it by now. */
	port_this_set_spinner(WHO_SPINS(id, cpu, c->nth));
	return 0;
}

/* An agent that spins ends on purpose. */
static int ctl_agent_detach(__u32 id, __u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);

	if (!c || !id || c->enclave != id || !c->spins || c->agent_tid != port_this_tid())
		return -E_NOENT;
	port_this_set_spinner(0);
	enclave_agent_gone(id, cpu);
	return 0;
}

/*
 * Does the caller decide for @id? Agents are where they decide; one whose CPU
 * went away has nothing to say until it is back.
 */
static int ctl_is_agent(__u32 id)
{
	const struct core_cpu *c = port_cpu(port_this_cpu());

	return c && id && c->enclave == id && c->agent_tid == port_this_tid();
}

/* The CPUs of an agent's request, where they can be indexed: a program's argument cannot (7.3). */
static const __u64 *ctl_asked(const struct ghost_ctl *ctl)
{
	struct core_cpu *c = port_cpu(port_this_cpu());
	int i;

	if (!c)
		return 0;
	for (i = 0; i < GHOST_CPU_WORDS; i++)
		c->asked[i] = ctl->cpus[i];
	return c->asked;
}

/* The transactions of @cpus, each for itself. */
static __u32 ctl_commit_each(__u32 id, const __u64 *cpus, struct port_custody *custody)
{
	__u32 w, i, nr = 0, here = port_this_cpu();
	__u64 word;

	port_for(w, 0, GHOST_CPU_WORDS) {
		word = cpus[w % GHOST_CPU_WORDS];
		port_for(i, 0, 64) {
			__u32 cpu;

			if (!word)
				break;
			cpu = w * 64 + __builtin_ctzll(word);
			word &= word - 1;
			/* The caller's own waits until it gives its CPU up. */
			if (cpu != here)
				nr += txn_commit_remote(id, cpu, custody);
		}
	}
	return nr;
}

/* All of them or none. */
static __u32 ctl_commit_sync(__u32 id, const __u64 *cpus, struct port_custody *custody)
{
	__u32 w, i, step, nr = 0, failed = 0;
	__u64 word;

	port_for(step, 0, TXN_NR_STEPS) {
		nr = 0;
		port_for(w, 0, GHOST_CPU_WORDS) {
			word = cpus[w % GHOST_CPU_WORDS];
			port_for(i, 0, 64) {
				__u32 cpu;

				if (!word)
					break;
				cpu = w * 64 + __builtin_ctzll(word);
				word &= word - 1;
				if (txn_sync(id, cpu, custody, step, failed))
					nr++;
				else
					failed = 1;
			}
		}
	}
	return failed ? 0 : nr;
}

static int ctl_commit(struct ghost_ctl *ctl)
{
	const struct core_enclave *e = port_enclave(ctl->enclave);
	struct port_custody custody;
	const __u64 *cpus;

	ctl->len = 0;
	if (ctl->flags & ~GHOST_COMMIT_SYNC)
		return -E_INVAL;
	if (!e || !ctl_is_agent(ctl->enclave))
		return -E_PERM;
	if (!enclave_online(e))
		return -E_BUSY;
	cpus = ctl_asked(ctl);
	if (!cpus)
		return -E_INVAL;
	port_custody_open(&custody, ctl->enclave);
	ctl->len = ctl->flags & GHOST_COMMIT_SYNC ? ctl_commit_sync(ctl->enclave, cpus, &custody) :
						    ctl_commit_each(ctl->enclave, cpus, &custody);
	port_custody_close(&custody);
	return 0;
}

/* CPUs that idle look again: picks have been written for them. */
static int ctl_kick(struct ghost_ctl *ctl)
{
	struct ghost_enclave_status *es = port_enclave_status(ctl->enclave);
	const __u64 *cpus;
	__u32 w, i, cpu;
	__u64 word;

	if (!es || !ctl_is_agent(ctl->enclave))
		return -E_PERM;
	cpus = ctl_asked(ctl);
	if (!cpus)
		return -E_INVAL;
	port_for(w, 0, GHOST_CPU_WORDS) {
		/* Only CPUs of the enclave ever have their bit there. */
		word = cpus[w % GHOST_CPU_WORDS] & es->idle[w % GHOST_CPU_WORDS];
		port_for(i, 0, 64) {
			if (!word)
				break;
			cpu = w * 64 + __builtin_ctzll(word);
			word &= word - 1;
			if (cpu_idle_take(es, cpu))
				agent_kick(ctl->enclave, cpu);
		}
	}
	return 0;
}

static int ctl_agent_ping(__u32 id, __u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);

	if (!c || !c->enclave || c->enclave != id)
		return -E_NOENT;
	agent_ping(id, cpu);
	return 0;
}

/*
 * May the caller speak for the enclave? Anybody can run the program who can open it
 * for any enclave, so each request shows that its sender can read this one's memory.
 */
static int ctl_may(const struct ghost_ctl *ctl)
{
	const struct core_enclave *e = port_enclave(ctl->enclave);

	/* Of one that is not there the request itself says so. */
	return !e || e->state == GHOST_ENCLAVE_FREE || e->token == ctl->token;
}

static void ctl_agent(struct ghost_ctl *ctl)
{
	if (ctl->op == GHOST_CTL_INFO) {
		ctl_info(ctl);
		return;
	}
	if (!ctl_may(ctl)) {
		ctl->ret = -E_PERM;
		return;
	}
	switch (ctl->op) {
	case GHOST_CTL_TASK_JOIN:
		ctl->ret = ctl_task_join_own(ctl->enclave, ctl->tid);
		break;
	case GHOST_CTL_TASK_UNJOIN:
		ctl->ret = ctl_task_unjoin_own(ctl->tid);
		break;
	case GHOST_CTL_AGENT_ATTACH:
		ctl->ret = ctl_agent_attach(ctl->enclave, ctl->cpu, ctl->flags);
		break;
	case GHOST_CTL_AGENT_DETACH:
		ctl->ret = ctl_agent_detach(ctl->enclave, ctl->cpu);
		break;
	case GHOST_CTL_COMMIT:
		ctl->ret = ctl_commit(ctl);
		break;
	case GHOST_CTL_KICK:
		ctl->ret = ctl_kick(ctl);
		break;
	case GHOST_CTL_QUEUE_CREATE:
		ctl->ret = queue_create(ctl->enclave, ctl->len);
		if (ctl->ret >= 0) {
			ctl->queue = ctl->ret;
			ctl->ret = 0;
		}
		break;
	case GHOST_CTL_QUEUE_DESTROY:
		ctl->ret = queue_destroy(ctl->enclave, ctl->queue);
		break;
	case GHOST_CTL_QUEUE_DEFAULT:
		ctl->ret = queue_default(ctl->enclave, ctl->queue);
		break;
	case GHOST_CTL_QUEUE_WAKE:
		ctl->ret = queue_wake(ctl->enclave, ctl->queue, ctl);
		break;
	case GHOST_CTL_QUEUE_ASSOC:
		ctl->ret = queue_assoc(ctl->enclave, ctl->queue, ctl->slot, ctl->seq);
		if (ctl->ret >= 0) {
			ctl->flags = ctl->ret;
			ctl->ret = 0;
		}
		break;
	case GHOST_CTL_TIMER:
		ctl->ret = ctl_is_agent(ctl->enclave) ?
				   cpu_timer_arm(ctl->enclave, ctl->cpu, ctl->cpus[0], ctl->cpus[1],
						 ctl->cpus[2]) :
				   -E_PERM;
		break;
	case GHOST_CTL_DELIVER:
		ctl->ret = enclave_deliver(ctl->enclave, ctl->flags);
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
