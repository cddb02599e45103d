// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mechanism in the kernel: sched_ext callbacks translated into core/,
 * one line of thought each.
 * In: scheduling events. Out: messages; threads on CPUs. Loaded by libghost.
 */
#include "bpf/ctl.bpf.h"
#include "bpf/enclave.bpf.h"
#include "bpf/kernel.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/port.bpf.h"
#include "bpf/task.bpf.h"

#include "core/agent.h"
#include "core/event.h"
#include "core/slots.h"
#include "core/txn.h"

char LICENSE[] SEC("license") = "GPL";

#define TASK_DEAD 0x80
#define TASK_NEW 0x800

#define AGENT_SLICE_NS (20 * 1000 * 1000ull)
#define FALLBACK_SLICE_NS (5 * 1000 * 1000ull)

/*
 * Often enough that no thread waits noticeably for a lost race, seldom enough
 * to cost nothing. A parked agent counts as a waiting thread for the kernel's
 * watchdog (30 s at most): it is run at least once per AGENT_IDLE_BEATS.
 */
#define HEARTBEAT_NS (50 * 1000 * 1000ull)
#define AGENT_IDLE_BEATS 20
/* Slots looked at per heartbeat: each within 6.4 s at the latest. */
#define SLOT_SCAN(used) (512 + (used) / 128)

/* Why sched_ext gave us up; read by `ghost status`. */
struct {
	s64 kind;
	char reason[128];
	char message[256];
} ghost_exit;

/* --- threads come and go ------------------------------------------------- */

static __always_inline void status_set_cpus(struct ghost_status *st, struct task_struct *p)
{
	u32 size = bpf_core_field_size(p->cpus_mask);

	if (size > sizeof(st->cpus))
		size = sizeof(st->cpus);
	bpf_probe_read_kernel(st->cpus, size, &p->cpus_mask);
}

static void agent_bind(struct task_struct *p, u32 enclave, u32 cpu)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);

	if (!e || !page || !c || c->enclave != enclave || c->agent_tid)
		return;
	/* An agent that could leave its CPU would decide for one and sit on another. */
	if (p->nr_cpus_allowed != 1 || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		return;
	c->agent_tid = p->pid;
	c->agent_seen = page->agent_seq;
	c->yielded = 0;
	c->decided = 0;
	c->txn_due = 0;
	c->place = CORE_PLACE_NONE;
	c->beats = 0;
	page->agent_tid = p->pid;
	port_fetch_add(&e->nr_agents, 1);
	scx_bpf_task_set_dsq_vtime(p, WHO(WHO_AGENT, enclave, cpu));
}

static void agent_unbind(struct task_struct *p, u32 enclave, u32 cpu)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);

	if (!e || !c || c->agent_tid != (u32)p->pid)
		return;
	c->agent_tid = 0;
	c->place = CORE_PLACE_NONE;
	c->yielded = 0;
	if (page)
		page->agent_tid = 0;
	port_fetch_add(&e->nr_agents, (u32)-1);
	enclave_lose(enclave, GHOST_LOST_AGENT_EXIT, p->pid);
}

static void task_bind(struct task_struct *p, u32 enclave)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_enclave_status *es = port_enclave_status(enclave);
	struct task_struct *old, *own;
	struct ghost_status *st;
	struct task_ref *ref;
	u32 slot, state;

	if (!e || !es)
		return;
	state = port_load_acquire(&e->state);
	if (state == GHOST_ENCLAVE_FREE || state == GHOST_ENCLAVE_DYING)
		return;
	slot = slots_take();
	st = slot ? port_status(enclave, slot) : NULL;
	ref = slot ? bpf_map_lookup_elem(&ghost_refs, &slot) : NULL;
	if (!st || !ref || event_task_join(slot, enclave, p->pid)) {
		if (slot)
			slots_give(slot);
		es->nr_no_slot++;
		return;
	}
	st->tgid = p->tgid;
	st->nice = p->static_prio - 120;
	st->parent_tid = BPF_CORE_READ(p, real_parent, pid);
	st->cgroup = BPF_CORE_READ(p, cgroups, dfl_cgrp, kn, id);
	bpf_probe_read_kernel_str(st->comm, sizeof(st->comm), p->comm);
	status_set_cpus(st, p);

	own = bpf_task_acquire(p);
	if (own) {
		old = bpf_kptr_xchg(&ref->task, own);
		if (old)
			bpf_task_release(old);
	}
	scx_bpf_task_set_dsq_vtime(p, WHO(WHO_MEMBER, enclave, slot));
	event_task_bound(slot, p->on_rq || (p->__state & TASK_NEW));
	/*
	 * A thread that changes class while it runs does not pass enqueue but
	 * goes on with a default slice (7.2): take it off the CPU, so that its
	 * agent hears of it now and not in 20 ms.
	 */
	if (scx_bpf_task_running(p)) {
		scx_bpf_task_set_slice(p, 0);
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), K_ENUM(scx_kick_flags, SCX_KICK_PREEMPT));
	}
}

SEC("struct_ops/enable")
void BPF_PROG(ghost_enable, struct task_struct *p)
{
	u32 tid = p->pid;
	u64 *joining;
	u64 who = 0;

	scx_bpf_task_set_dsq_vtime(p, 0);
	joining = bpf_map_lookup_elem(&ghost_joining, &tid);
	if (joining) {
		who = *joining;
		bpf_map_delete_elem(&ghost_joining, &tid);
	} else if (p->__state & TASK_NEW) {
		/* Being forked, by the thread on this CPU: children of members are members. */
		who = bpf_get_current_task_btf()->scx.dsq_vtime;
		if (who_kind(who) != WHO_MEMBER)
			return;
	}
	if (who_kind(who) == WHO_AGENT)
		agent_bind(p, who_enclave(who), who_index(who));
	else if (who_kind(who) == WHO_MEMBER)
		task_bind(p, who_enclave(who));
}

SEC("struct_ops/disable")
void BPF_PROG(ghost_disable, struct task_struct *p)
{
	u64 who = p->scx.dsq_vtime;
	u32 slot = who_index(who);
	struct task_struct *old;
	struct task_ref *ref;

	if (who_kind(who) == WHO_AGENT)
		agent_unbind(p, who_enclave(who), who_index(who));
	if (who_kind(who) != WHO_MEMBER)
		return;
	ref = bpf_map_lookup_elem(&ghost_refs, &slot);
	if (ref) {
		old = bpf_kptr_xchg(&ref->task, NULL);
		if (old)
			bpf_task_release(old);
	}
	event_task_gone(slot, p->__state & TASK_DEAD, p->se.sum_exec_runtime);
	scx_bpf_task_set_dsq_vtime(p, 0);
}

/* --- threads become runnable --------------------------------------------- */

SEC("struct_ops/select_cpu")
s32 BPF_PROG(ghost_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	/* Where a member goes is its agent's decision: do not look for a CPU here. */
	if (who_kind(p->scx.dsq_vtime) != WHO_STRANGER)
		return prev_cpu;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL), FALLBACK_SLICE_NS,
				   0);
	return cpu;
}

static __always_inline int enqueue_cause(const struct task_struct *p, u64 enq_flags, u32 here)
{
	struct core_cpu *c;
	u64 reason;

	if (enq_flags & K_ENUM(scx_enq_flags, SCX_ENQ_WAKEUP))
		return EVENT_WAKEUP;
	if (K_HAS_ENUM(scx_enq_flags, SCX_ENQ_REENQ) &&
	    (enq_flags & K_ENUM(scx_enq_flags, SCX_ENQ_REENQ))) {
		reason = p->scx.flags & K_ENUM(scx_ent_flags, SCX_TASK_REENQ_REASON_MASK);
		if (reason == K_ENUM(scx_ent_flags, SCX_TASK_REENQ_PREEMPTED))
			return EVENT_CLASS;
		if (reason == K_ENUM(scx_ent_flags, SCX_TASK_REENQ_IMMED))
			return EVENT_LATCH;
		return EVENT_RESTORE;
	}
	c = port_cpu(here);
	if (c && c->kicked) {
		c->kicked = 0;
		return EVENT_RESTORE;
	}
	return EVENT_SLICE;
}

/*
 * Does @p have migration disabled? The trampoline of a BPF program does that
 * to the current thread, which may be @p: once does not count then (6.12).
 */
static __always_inline bool task_confined(const struct task_struct *p)
{
	return p->migration_disabled &&
	       (p->migration_disabled > 1 || p != bpf_get_current_task_btf());
}

/* Into the global DSQ, which wakes nobody by itself (7.2). */
static __always_inline void enqueue_global(struct task_struct *p)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_GLOBAL), FALLBACK_SLICE_NS, 0);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, 0);
}

/*
 * After sched_yield() an agent waits: behind the thread it has just put on
 * this CPU, since that one's end is an event for it in any case and needs no
 * dispatch then; or, with nothing to run, in a DSQ of its own until there is
 * news. One that was preempted in the middle of a decision, or woke from a
 * page fault, goes first on its CPU: parking it would lose what it was about
 * to do. But where agents do not decide, one that only ever computes must not
 * keep the fallback's threads from its CPU: it takes turns with them.
 */
static __always_inline void enqueue_agent(struct task_struct *p, u32 enclave, u32 cpu,
					  u64 enq_flags)
{
	const struct core_enclave *e = port_enclave(enclave);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);

	if (c && page && e && c->yielded && enclave_online(e)) {
		c->yielded = 0;
		if (c->decided) {
			c->decided = 0;
			c->place = CORE_PLACE_STANDBY;
			scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL),
					   AGENT_SLICE_NS, 0);
			return;
		}
		/* A higher class took the CPU before dispatch looked at its transaction. */
		c->txn_due = 1;
		c->place = CORE_PLACE_PARKED;
		/*
		 * dispatch looked before this: a message that came in between
		 * found no parked agent, and this is the last look before the
		 * CPU idles.
		 */
		if (!agent_pending(c, page)) {
			scx_bpf_dsq_insert(p, DSQ_AGENT(cpu), AGENT_SLICE_NS, 0);
			return;
		}
		c->place = CORE_PLACE_NONE;
	}
	if (e && !enclave_online(e) && !(enq_flags & K_ENUM(scx_enq_flags, SCX_ENQ_WAKEUP)))
		scx_bpf_dsq_insert(p, DSQ_FALLBACK(enclave), FALLBACK_SLICE_NS, 0);
	else
		scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL), AGENT_SLICE_NS,
				   K_ENUM(scx_enq_flags, SCX_ENQ_HEAD));
	scx_bpf_kick_cpu(cpu, 0);
}

SEC("struct_ops/enqueue")
void BPF_PROG(ghost_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 who = p->scx.dsq_vtime;
	u32 enclave = who_enclave(who);
	u32 here = scx_bpf_task_cpu(p);
	struct ghost_enclave_status *es;
	const struct core_enclave *e;
	u32 cpu;

	if (who_kind(who) == WHO_AGENT) {
		enqueue_agent(p, enclave, who_index(who), enq_flags);
		return;
	}
	if (who_kind(who) != WHO_MEMBER) {
		enqueue_global(p);
		return;
	}
	switch (event_task_enqueue(who_index(who), enqueue_cause(p, enq_flags, here), here,
				   task_confined(p), p->se.sum_exec_runtime)) {
	case EVENT_CUSTODY:
		/* The slice is the transaction's business; 0 would end it at once. */
		scx_bpf_dsq_insert(p, DSQ_CUSTODY(enclave), FALLBACK_SLICE_NS, 0);
		return;
	case EVENT_FALLBACK:
		scx_bpf_dsq_insert(p, DSQ_FALLBACK(enclave), FALLBACK_SLICE_NS, 0);
		e = port_enclave(enclave);
		es = port_enclave_status(enclave);
		if (!e || !es)
			return;
		cpu = enclave_idle_cpu(e, es, who_index(who), here);
		if (cpu != GHOST_CPU_NONE)
			scx_bpf_kick_cpu(cpu, 0);
		return;
	default:
		enqueue_global(p);
		return;
	}
}

/* --- a CPU looks for work ------------------------------------------------- */

/* Put the agent of @cpu on it. Returns false when it is neither parked nor here. */
static __always_inline bool dispatch_agent(struct core_cpu *c, u32 enclave, u32 cpu,
					   struct task_struct *prev)
{
	if (c->place == CORE_PLACE_PARKED) {
		c->place = CORE_PLACE_NONE;
		return scx_bpf_dsq_move_to_local(DSQ_AGENT(cpu));
	}
	if (c->yielded && prev) {
		/* It is still the current thread: no switch at all. */
		c->yielded = 0;
		scx_bpf_task_set_slice(prev, AGENT_SLICE_NS);
		return true;
	}
	return false;
}

/* The agents of @enclave decide. Returns false when there is nothing to run yet. */
static __always_inline bool dispatch_online(struct core_cpu *c, u32 enclave, u32 cpu,
					    struct task_struct *prev)
{
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	u32 state = GHOST_TXN_FREE;

	if (!page)
		return false;
	/* Has the agent handed in a decision? In the middle of one it has not. */
	if (c->yielded || (c->place == CORE_PLACE_PARKED && c->txn_due)) {
		c->txn_due = 0;
		state = txn_commit_local(enclave, cpu, c);
		if (state == GHOST_TXN_COMMITTED) {
			c->decided = c->yielded;
			return true;
		}
	}
	/* A refusal is news for the agent, like a message. */
	if ((state != GHOST_TXN_FREE && state != GHOST_TXN_YIELDED) || agent_pending(c, page))
		if (dispatch_agent(c, enclave, cpu, prev))
			return true;
	if (scx_bpf_dsq_move_to_local(DSQ_FALLBACK(enclave)))
		return true;
	return agent_idle(enclave, cpu, c) && dispatch_agent(c, enclave, cpu, prev);
}

SEC("struct_ops/dispatch")
void BPF_PROG(ghost_dispatch, s32 cpu, struct task_struct *prev)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;
	const struct core_enclave *e;
	u32 enclave;

	if (!c || !c->enclave)
		return;
	enclave = c->enclave;
	e = port_enclave(enclave);
	if (!e)
		return;
	if (enclave_online(e) && c->agent_tid) {
		dispatch_online(c, enclave, cpu, prev);
		return;
	}
	/* Agents that lost their enclave are let go, to notice it; once, then they take turns. */
	c->yielded = 0;
	if (dispatch_agent(c, enclave, cpu, prev))
		return;
	if (scx_bpf_dsq_move_to_local(DSQ_FALLBACK(enclave)))
		return;
	es = port_enclave_status(enclave);
	if (!es)
		return;
	/* Bit first, then look again; cf. agent_idle(). */
	cpu_idle_set(es, cpu);
	if (scx_bpf_dsq_nr_queued(DSQ_FALLBACK(enclave)) > 0)
		scx_bpf_dsq_move_to_local(DSQ_FALLBACK(enclave));
}

SEC("struct_ops/update_idle")
void BPF_PROG(ghost_update_idle, s32 cpu, bool idle)
{
	const struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;

	/* Set in dispatch, where it is followed by another look; cleared here. */
	if (idle || !c || !c->enclave)
		return;
	es = port_enclave_status(c->enclave);
	if (es)
		cpu_idle_take(es, cpu);
}

/* --- threads leave a CPU ------------------------------------------------------ */

SEC("struct_ops/yield")
bool BPF_PROG(ghost_yield, struct task_struct *from, struct task_struct *to)
{
	u64 who = from->scx.dsq_vtime;
	struct core_cpu *c;

	if (who_kind(who) == WHO_MEMBER) {
		event_task_yield(who_index(who));
	} else if (who_kind(who) == WHO_AGENT) {
		c = port_cpu(who_index(who));
		if (c) {
			c->yielded = 1;
			c->nr_yields++;
		}
	}
	scx_bpf_task_set_slice(from, 0);
	return false;
}

SEC("struct_ops/quiescent")
void BPF_PROG(ghost_quiescent, struct task_struct *p, u64 deq_flags)
{
	u64 who = p->scx.dsq_vtime;

	/* Only sleep is an event; the rest are changes that put the thread back. */
	if (who_kind(who) == WHO_MEMBER && (deq_flags & K_ENUM(scx_deq_flags, SCX_DEQ_SLEEP)) &&
	    !(p->__state & TASK_DEAD))
		event_task_blocked(who_index(who), scx_bpf_task_cpu(p), p->se.sum_exec_runtime);
}

SEC("struct_ops/set_cpumask")
void BPF_PROG(ghost_set_cpumask, struct task_struct *p, const struct cpumask *mask)
{
	u64 who = p->scx.dsq_vtime;
	struct ghost_status *st;
	u64 changed = 0;
	u64 old[GHOST_CPU_WORDS];
	int i;

	if (who_kind(who) != WHO_MEMBER)
		return;
	st = port_status(who_enclave(who), who_index(who));
	if (!st)
		return;
	__builtin_memcpy(old, st->cpus, sizeof(old));
	status_set_cpus(st, p);
	/* migrate_disable() comes here as well and changes nothing of interest. */
	for (i = 0; i < GHOST_CPU_WORDS; i++)
		changed |= old[i] ^ st->cpus[i];
	if (changed)
		event_task_affinity(who_index(who));
}

SEC("struct_ops/set_weight")
void BPF_PROG(ghost_set_weight, struct task_struct *p, u32 weight)
{
	u64 who = p->scx.dsq_vtime;
	struct ghost_status *st;
	s32 nice = p->static_prio - 120;

	if (who_kind(who) != WHO_MEMBER)
		return;
	st = port_status(who_enclave(who), who_index(who));
	if (!st)
		return;
	st->weight = weight;
	if (st->nice == nice)
		return;
	st->nice = nice;
	event_task_priority(who_index(who));
}

/* Present so that CPU hot-plug does not eject us; the kernel moves the threads. */
SEC("struct_ops/cpu_online")
void BPF_PROG(ghost_cpu_online, s32 cpu)
{
}

SEC("struct_ops/cpu_offline")
void BPF_PROG(ghost_cpu_offline, s32 cpu)
{
}

/* --- heartbeat ------------------------------------------------------------- */

/* A CPU whose agent has been waiting for long: let it run, whatever runs there. */
static __always_inline void heartbeat_cpu(u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;

	if (!c || !c->enclave || !c->agent_tid || c->place == CORE_PLACE_NONE)
		return;
	if (c->beat_yields != c->nr_yields) {
		c->beat_yields = c->nr_yields;
		c->beats = 0;
		return;
	}
	if (++c->beats < AGENT_IDLE_BEATS)
		return;
	c->beats = 0;
	es = port_enclave_status(c->enclave);
	if (!es)
		return;
	agent_advance(c->enclave, cpu, 0);
	if (cpu_idle_take(es, cpu)) {
		scx_bpf_kick_cpu(cpu, 0);
	} else {
		c->kicked = 1;
		scx_bpf_kick_cpu(cpu, K_ENUM(scx_kick_flags, SCX_KICK_PREEMPT));
	}
}

/* Whatever a race left behind in an enclave without agents. */
static __always_inline void heartbeat_enclave(u32 enclave)
{
	const struct core_enclave *e = port_enclave(enclave);

	if (!e || e->state == GHOST_ENCLAVE_FREE || e->state == GHOST_ENCLAVE_ONLINE)
		return;
	if (scx_bpf_dsq_nr_queued(DSQ_CUSTODY(enclave)) > 0)
		scx_bpf_dsq_reenq(DSQ_CUSTODY(enclave), 0);
	if (scx_bpf_dsq_nr_queued(DSQ_FALLBACK(enclave)) > 0)
		enclave_kick(enclave, 0);
}

/*
 * Has a runnable thread waited too long? Then its agents are not worth their
 * enclave. Also the name, which exec changes without telling anyone.
 */
static __always_inline void heartbeat_slot(u32 slot, u64 now)
{
	struct task_ref *ref = bpf_map_lookup_elem(&ghost_refs, &slot);
	const struct core_task *t = port_task(slot);
	const struct core_enclave *e;
	struct task_struct *p;
	struct ghost_status *st;

	if (!t || !ref || t->state == CORE_TASK_ABSENT)
		return;
	p = ref->task;
	st = port_status(t->enclave, slot);
	if (p && st)
		bpf_probe_read_kernel_str(st->comm, sizeof(st->comm), p->comm);
	if (t->state != CORE_TASK_CUSTODY)
		return;
	e = port_enclave(t->enclave);
	if (e && e->stall_ns && now > t->custody_ns && now - t->custody_ns > e->stall_ns)
		enclave_lose(t->enclave, GHOST_LOST_STALL, t->tid);
}

static int heartbeat(void *map, int *key, struct heartbeat *h)
{
	struct core_slots *s = port_slots();
	u64 now = bpf_ktime_get_ns();
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 i, slot;

	bpf_for(i, 0, nr)
		heartbeat_cpu(i);
	bpf_for(i, 1, GHOST_ENCLAVES_MAX)
		heartbeat_enclave(i);
	if (s) {
		slot = s->scan;
		nr = SLOT_SCAN(s->used);
		bpf_for(i, 0, nr) {
			if (slot >= s->used)
				slot = 0;
			heartbeat_slot(slot, now);
			slot++;
			/* A table smaller than the window is looked at once, not twice. */
			if (i + 1 >= s->used)
				break;
		}
		s->scan = slot;
	}
	bpf_timer_start(&h->timer, HEARTBEAT_NS, 0);
	return 0;
}

SEC("struct_ops.s/init")
s32 BPF_PROG(ghost_init)
{
	struct core_slots *s = port_slots();
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 zero = 0, i;
	struct heartbeat *h = bpf_map_lookup_elem(&ghost_timer, &zero);
	s32 err = 0;

	if (!s || !h || nr > GHOST_CPUS_MAX)
		return -7; /* E2BIG */
	bpf_for(i, 1, GHOST_ENCLAVES_MAX) {
		err = scx_bpf_create_dsq(DSQ_CUSTODY(i), -1);
		if (!err)
			err = scx_bpf_create_dsq(DSQ_FALLBACK(i), -1);
		if (err)
			return err;
	}
	bpf_for(i, 0, nr) {
		err = scx_bpf_create_dsq(DSQ_AGENT(i), -1);
		if (err)
			return err;
	}
	bpf_timer_init(&h->timer, &ghost_timer, 1 /* CLOCK_MONOTONIC */);
	bpf_timer_set_callback(&h->timer, heartbeat);
	return bpf_timer_start(&h->timer, HEARTBEAT_NS, 0);
}

SEC("struct_ops/exit")
void BPF_PROG(ghost_ops_exit, struct scx_exit_info *info)
{
	ghost_exit.kind = info->kind;
	bpf_probe_read_kernel_str(ghost_exit.reason, sizeof(ghost_exit.reason),
				  BPF_CORE_READ(info, reason));
	bpf_probe_read_kernel_str(ghost_exit.message, sizeof(ghost_exit.message),
				  BPF_CORE_READ(info, msg));
}

/* Member flags are set by the loader, from the running kernel's values. */
SEC(".struct_ops.link")
struct sched_ext_ops ghost_ops = {
	.select_cpu = (void *)ghost_select_cpu,
	.enqueue = (void *)ghost_enqueue,
	.dispatch = (void *)ghost_dispatch,
	.quiescent = (void *)ghost_quiescent,
	.yield = (void *)ghost_yield,
	.set_weight = (void *)ghost_set_weight,
	.set_cpumask = (void *)ghost_set_cpumask,
	.update_idle = (void *)ghost_update_idle,
	.cpu_online = (void *)ghost_cpu_online,
	.cpu_offline = (void *)ghost_cpu_offline,
	.enable = (void *)ghost_enable,
	.disable = (void *)ghost_disable,
	.init = (void *)ghost_init,
	.exit = (void *)ghost_ops_exit,
	.timeout_ms = 30000,
	.name = "ghost",
};
