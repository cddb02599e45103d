// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mechanism in the kernel: sched_ext callbacks translated into core/,
 * one line of thought each.
 * In: scheduling events. Out: messages; threads on CPUs. Loaded by libghost.
 */
#include "bpf/kernel.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/port.bpf.h"

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
 * watchdog (30 s at most): it is run at least once per AGENT_IDLE_NS.
 */
#define HEARTBEAT_NS (50 * 1000 * 1000ull)
#define AGENT_IDLE_NS (1000 * 1000 * 1000ull)
#define STALL_SCAN 512 /* slots looked at per heartbeat */

/* Why sched_ext gave us up; read by `ghost status`. */
struct {
	s64 kind;
	char reason[128];
	char message[256];
} ghost_exit;

/*
 * Who a thread is to us travels in its own vtime field, which nothing else
 * uses as long as no DSQ is ordered by it: kind, enclave, and slot or CPU. It
 * is written when the thread enters our class, so leftovers of another
 * scheduler never count.
 */
enum who_kind {
	WHO_STRANGER = 0,
	WHO_MEMBER = 1,
	WHO_AGENT = 2,
};

#define WHO(kind, enclave, index) ((u64)(kind) << 56 | (u64)(enclave) << 32 | (u32)(index))

static __always_inline u32 who_kind(u64 who)
{
	return who >> 56;
}

static __always_inline u32 who_enclave(u64 who)
{
	return (who >> 32) & (GHOST_ENCLAVES_MAX - 1);
}

static __always_inline u32 who_index(u64 who)
{
	return (u32)who;
}

/* Make every CPU of @enclave look for work. */
static void enclave_kick(u32 enclave)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 cpu;

	bpf_for(cpu, 0, nr) {
		const struct core_cpu *c = port_cpu(cpu);

		if (c && c->enclave == enclave)
			scx_bpf_kick_cpu(cpu, 0);
	}
}

/*
 * The agents of @enclave do not decide any more. What waits in custody is
 * enqueued anew and then belongs to the fallback; parked agents are let go so
 * that their process can notice.
 */
static void enclave_lose(u32 enclave, u32 reason, u32 arg)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_enclave_status *es = port_enclave_status(enclave);

	if (!e || !es)
		return;
	if (port_cmpxchg(&e->state, GHOST_ENCLAVE_ONLINE, GHOST_ENCLAVE_LOST) !=
	    GHOST_ENCLAVE_ONLINE)
		return;
	es->lost_reason = reason;
	es->lost_arg = arg;
	es->state = GHOST_ENCLAVE_LOST;
	scx_bpf_dsq_reenq(DSQ_CUSTODY(enclave), 0);
	enclave_kick(enclave);
}

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
	/* A agent that could leave its CPU would decide for one and sit on another. */
	if (p->nr_cpus_allowed != 1 || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		return;
	c->agent_tid = p->pid;
	c->agent_seen = page->agent_seq;
	c->yielded = CORE_YIELD_NONE;
	c->parked = 0;
	c->agent_run_ns = bpf_ktime_get_ns();
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
	c->parked = 0;
	c->yielded = CORE_YIELD_NONE;
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
	event_task_gone(slot, p->__state & TASK_DEAD);
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
 * An agent is parked only after it called sched_yield(). One that was
 * preempted in the middle of a decision, or woke from a page fault, goes
 * first on its CPU: parking it would lose what it was about to do.
 */
static __always_inline void enqueue_agent(struct task_struct *p, u32 enclave, u32 cpu)
{
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);
	u32 yielded;

	if (c && page && enclave_online(enclave) && c->yielded) {
		yielded = c->yielded;
		c->yielded = CORE_YIELD_NONE;
		c->parked = 1;
		/*
		 * dispatch looked before this: a message that came in between
		 * found no parked agent. With a thread on the CPU there will
		 * be another dispatch; without one this is the last look. A
		 * READY transaction was not looked at yet (a higher class took
		 * the CPU): the next dispatch does it.
		 */
		if (yielded == CORE_YIELD_DECIDED || !agent_pending(c, page) ||
		    port_load_acquire(&page->agent_tid) == 0) {
			scx_bpf_dsq_insert(p, DSQ_AGENT(cpu), AGENT_SLICE_NS, 0);
			return;
		}
		c->parked = 0;
	}
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
	u32 cpu;

	if (who_kind(who) == WHO_AGENT) {
		enqueue_agent(p, enclave, who_index(who));
		return;
	}
	if (who_kind(who) != WHO_MEMBER) {
		enqueue_global(p);
		return;
	}
	switch (event_task_enqueue(who_index(who), enqueue_cause(p, enq_flags, here), here)) {
	case EVENT_CUSTODY:
		/* The slice is the transaction's business; 0 would end it at once. */
		scx_bpf_dsq_insert(p, DSQ_CUSTODY(enclave), FALLBACK_SLICE_NS, 0);
		return;
	case EVENT_FALLBACK:
		scx_bpf_dsq_insert(p, DSQ_FALLBACK(enclave), FALLBACK_SLICE_NS, 0);
		es = port_enclave_status(enclave);
		if (!es)
			return;
		cpu = enclave_idle_cpu(es, who_index(who), here);
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
	if (c->parked) {
		c->parked = 0;
		return scx_bpf_dsq_move_to_local(DSQ_AGENT(cpu));
	}
	if (c->yielded && prev) {
		/* It is still the current thread: no switch at all. */
		c->yielded = CORE_YIELD_NONE;
		scx_bpf_task_set_slice(prev, AGENT_SLICE_NS);
		return true;
	}
	return false;
}

SEC("struct_ops/dispatch")
void BPF_PROG(ghost_dispatch, s32 cpu, struct task_struct *prev)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;
	struct ghost_cpu *page;
	u32 enclave, state;

	if (!c || !c->enclave)
		return;
	enclave = c->enclave;
	if (enclave_online(enclave) && c->agent_tid) {
		page = port_cpu_page(enclave, cpu);
		if (!page)
			return;
		/* Unless the agent is in the middle of a decision: what did it decide? */
		if (c->parked || c->yielded) {
			state = txn_commit_local(enclave, cpu, c);
			if (state == GHOST_TXN_COMMITTED) {
				if (c->yielded)
					c->yielded = CORE_YIELD_DECIDED;
				return;
			}
			/* A refusal is news for the agent, like a message. */
			if ((state != GHOST_TXN_FREE && state != GHOST_TXN_YIELDED) ||
			    agent_pending(c, page)) {
				if (dispatch_agent(c, enclave, cpu, prev))
					return;
			}
		}
		if (scx_bpf_dsq_move_to_local(DSQ_FALLBACK(enclave)))
			return;
		if (agent_idle(enclave, cpu, c))
			dispatch_agent(c, enclave, cpu, prev);
		return;
	}
	/* Agents that lost their enclave are let go, to notice it. */
	if (c->parked && dispatch_agent(c, enclave, cpu, prev))
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

/* --- threads on a CPU ------------------------------------------------------ */

SEC("struct_ops/running")
void BPF_PROG(ghost_running, struct task_struct *p)
{
	u64 who = p->scx.dsq_vtime;
	u32 cpu = scx_bpf_task_cpu(p);
	struct core_cpu *c;

	if (who_kind(who) == WHO_MEMBER) {
		event_task_running(who_index(who), cpu);
	} else if (who_kind(who) == WHO_AGENT) {
		c = port_cpu(cpu);
		if (!c)
			return;
		cpu_busy(who_enclave(who), cpu);
		c->parked = 0;
		c->yielded = CORE_YIELD_NONE;
		c->agent_run_ns = bpf_ktime_get_ns();
		cpu_count(who_enclave(who), cpu, GHOST_NR_AGENT_RUNS);
	}
}

SEC("struct_ops/stopping")
void BPF_PROG(ghost_stopping, struct task_struct *p, bool runnable)
{
	u64 who = p->scx.dsq_vtime;

	if (who_kind(who) == WHO_MEMBER)
		event_task_stopping(who_index(who), scx_bpf_task_cpu(p), p->se.sum_exec_runtime);
}

SEC("struct_ops/yield")
bool BPF_PROG(ghost_yield, struct task_struct *from, struct task_struct *to)
{
	u64 who = from->scx.dsq_vtime;
	struct core_cpu *c;

	if (who_kind(who) == WHO_MEMBER) {
		event_task_yield(who_index(who));
	} else if (who_kind(who) == WHO_AGENT) {
		c = port_cpu(who_index(who));
		if (c)
			c->yielded = CORE_YIELD_CALLED;
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
		event_task_blocked(who_index(who));
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
	event_task_priority(who_index(who), nice);
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

/* A CPU whose agent has been parked for long: let it run, whatever runs there. */
static __always_inline void heartbeat_cpu(u32 cpu, u64 now)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;

	if (!c || !c->enclave || !c->agent_tid || !c->parked)
		return;
	if (now - c->agent_run_ns < AGENT_IDLE_NS || !enclave_online(c->enclave))
		return;
	es = port_enclave_status(c->enclave);
	if (!es)
		return;
	agent_advance(c->enclave, cpu, 0);
	if (cpu_idle_take(es, cpu)) {
		scx_bpf_kick_cpu(cpu, 0);
	} else if (c->running) {
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
		enclave_kick(enclave);
}

/* Has a runnable thread waited too long? Then its agents are not worth their enclave. */
static __always_inline void heartbeat_slot(u32 slot, u64 now)
{
	const struct core_task *t = port_task(slot);
	const struct core_enclave *e;

	if (!t || t->state != CORE_TASK_CUSTODY)
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
		heartbeat_cpu(i, now);
	bpf_for(i, 1, GHOST_ENCLAVES_MAX)
		heartbeat_enclave(i);
	if (s) {
		slot = s->scan;
		bpf_for(i, 0, STALL_SCAN) {
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
	.running = (void *)ghost_running,
	.stopping = (void *)ghost_stopping,
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

#include "bpf/ctl.bpf.h"
