// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mechanism in the kernel: sched_ext callbacks translated into core/,
 * one line of thought each.
 * In: scheduling events. Out: messages; threads on CPUs. Loaded by libghost.
 */
#include "bpf/kernel.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/port.bpf.h"
#include "bpf/show.bpf.h"

#include "core/cpu.h"
#include "core/ctl.h"
#include "core/enclave.h"
#include "core/event.h"

char LICENSE[] SEC("license") = "GPL";

#define TASK_DEAD 0x80
#define TASK_NEW 0x800

/* Why sched_ext gave us up, and how many threads of our class are nobody's; libghost/backend_bpf.c. */
struct {
	s64 kind;
	char reason[128];
	char message[256];
	u64 nr_strangers;
} ghost_exit;

/* --- threads come and go ------------------------------------------------- */

static __always_inline void status_set_cpus(struct ghost_status *st, struct task_struct *p)
{
	u32 size = bpf_core_field_size(p->cpus_mask);
	int i;

	if (size > sizeof(st->cpus))
		size = sizeof(st->cpus);
	bpf_probe_read_kernel(st->cpus, size, &p->cpus_mask);
	/* Past the last CPU the kernel leaves what happens to stand there (7.3). */
	for (i = 0; i < GHOST_CPU_WORDS; i++)
		st->cpus[i] &= cpus_there(i);
}

static void agent_bind(struct task_struct *p, u32 enclave, u32 cpu)
{
	if (agent_attach(enclave, cpu, p->pid,
			 p->nr_cpus_allowed == 1 && bpf_cpumask_test_cpu(cpu, p->cpus_ptr), 0))
		scx_bpf_task_set_dsq_vtime(p, WHO(WHO_AGENT, enclave, cpu));
}

static void task_bind(struct task_struct *p, u32 enclave)
{
	u32 slot = event_task_take(enclave, p->pid);
	struct ghost_status *st = slot ? port_status(enclave, slot) : NULL;
	struct task_ref *ref = slot ? bpf_map_lookup_elem(&ghost_refs, &slot) : NULL;
	struct task_struct *old, *own;

	if (!st || !ref)
		return;
	st->tgid = p->tgid;
	st->nice = p->static_prio - 120;
	st->parent_tid = BPF_CORE_READ(p, real_parent, pid);
	status_describe(st, p);
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

/* Who it is to be: 0, nobody of ours. */
static __always_inline u64 expected_who(struct task_struct *p, struct thread_own *own)
{
	u64 who = 0;

	if (own && own->joining) {
		who = own->joining;
		own->joining = 0;
		return enclave_expects(who) ? who : 0;
	}
	/* Being forked, by the thread on this CPU: children of members are members. */
	if (p->__state & TASK_NEW)
		who = bpf_get_current_task_btf()->scx.dsq_vtime;
	return who_kind(who) == WHO_MEMBER ? who : 0;
}

static __always_inline void spinner_gone(struct thread_own *own)
{
	u64 who = own ? own->spinner : 0;

	if (!who)
		return;
	own->spinner = 0;
	enclave_spinner_gone(who);
}

SEC("struct_ops/enable")
void BPF_PROG(ghost_enable, struct task_struct *p)
{
	struct thread_own *own = bpf_task_storage_get(&ghost_own, p, 0, 0);
	u64 who;

	/* An agent that spins has no business here. */
	spinner_gone(own);
	scx_bpf_task_set_dsq_vtime(p, 0);
	who = expected_who(p, own);
	if (who_kind(who) == WHO_AGENT)
		agent_bind(p, who_enclave(who), who_index(who));
	else if (who_kind(who) == WHO_MEMBER)
		task_bind(p, who_enclave(who));
	if (who_kind(p->scx.dsq_vtime) == WHO_STRANGER)
		__sync_fetch_and_add(&ghost_exit.nr_strangers, 1);
}

SEC("struct_ops/disable")
void BPF_PROG(ghost_disable, struct task_struct *p)
{
	u64 who = p->scx.dsq_vtime;
	u32 slot = who_index(who);
	struct task_struct *old;
	struct task_ref *ref;

	if (who_kind(who) == WHO_STRANGER)
		__sync_fetch_and_add(&ghost_exit.nr_strangers, -1);
	if (who_kind(who) == WHO_AGENT)
		enclave_agent_gone(who_enclave(who), who_index(who));
	if (who_kind(who) != WHO_MEMBER)
		return;
	ref = bpf_map_lookup_elem(&ghost_refs, &slot);
	if (ref) {
		old = bpf_kptr_xchg(&ref->task, NULL);
		if (old)
			bpf_task_release(old);
	}
	event_task_owed(slot, p->se.sum_exec_runtime);
	event_task_gone(slot, p->__state & TASK_DEAD, p->se.sum_exec_runtime);
	scx_bpf_task_set_dsq_vtime(p, 0);
}

/* Of every thread that ends, of whatever class. */
SEC("struct_ops/exit_task")
void BPF_PROG(ghost_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	spinner_gone(bpf_task_storage_get(&ghost_own, p, 0, 0));
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
	return cpu_stop_cause(here, who_index(p->scx.dsq_vtime));
}

/*
 * Into the fallback's queue, which is in order of time whatever the fallback is: the kernel
 * ends a scheduler that mixes both kinds of insertion in one queue (7.3).
 */
static __always_inline void insert_fallback(struct task_struct *p, u64 place, u64 slice_ns)
{
	struct scx_bpf_dsq_insert_vtime_args a = {
		.dsq_id = DSQ_FALLBACK(who_enclave(p->scx.dsq_vtime)),
		.slice = slice_ns,
		.vtime = who_at(p->scx.dsq_vtime, place),
	};

	__scx_bpf_dsq_insert_vtime(p, &a);
}

/*
 * Into the global DSQ, which wakes nobody by itself (7.2). But if its CPU would
 * go idle now, it stays there: nobody would look into the global DSQ again.
 */
static __always_inline void enqueue_global(struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (enq_flags & K_ENUM(scx_enq_flags, SCX_ENQ_LAST)) {
		scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL), FALLBACK_SLICE_NS,
				   0);
		return;
	}
	scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_GLOBAL), FALLBACK_SLICE_NS, 0);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, 0);
}

static __always_inline void enqueue_agent(struct task_struct *p, u32 enclave, u32 cpu, bool woken)
{
	switch (agent_enqueue(enclave, cpu, woken)) {
	case AGENT_BEHIND:
		scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL), AGENT_SLICE_NS, 0);
		return;
	case AGENT_PARK:
		scx_bpf_dsq_insert(p, DSQ_AGENT(cpu), AGENT_SLICE_NS, 0);
		return;
	case AGENT_TURN:
		insert_fallback(p, event_fallback_guest(enclave), FALLBACK_SLICE_NS);
		break;
	case AGENT_FIRST:
		scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL), AGENT_SLICE_NS,
				   K_ENUM(scx_enq_flags, SCX_ENQ_HEAD));
		break;
	}
	/* Where it is, which is not its CPU only if that one went offline. */
	scx_bpf_kick_cpu(scx_bpf_task_cpu(p), 0);
}

SEC("struct_ops/enqueue")
void BPF_PROG(ghost_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 who = p->scx.dsq_vtime;
	u32 enclave = who_enclave(who);
	u32 here = scx_bpf_task_cpu(p);

	if (who_kind(who) == WHO_AGENT) {
		enqueue_agent(p, enclave, who_index(who),
			      enq_flags & K_ENUM(scx_enq_flags, SCX_ENQ_WAKEUP));
		return;
	}
	if (who_kind(who) != WHO_MEMBER) {
		enqueue_global(p, enq_flags);
		return;
	}
	switch (event_task_enqueue(who_index(who), enqueue_cause(p, enq_flags, here), here,
				   task_confined(p), p->se.sum_exec_runtime)) {
	case EVENT_CUSTODY:
		/* The slice is the transaction's business; 0 would end it at once. */
		scx_bpf_dsq_insert(p, DSQ_CUSTODY(enclave), FALLBACK_SLICE_NS, 0);
		return;
	case EVENT_FALLBACK:
		insert_fallback(p, event_fallback_place(who_index(who)),
				event_fallback_slice(who_index(who)));
		event_fallback_wake(who_index(who), here);
		return;
	default:
		enqueue_global(p, enq_flags);
		return;
	}
}

/* --- a CPU looks for work ------------------------------------------------- */

/*
 * A stranger whose slice is over goes on if there is nobody else. Otherwise the kernel
 * would find nobody in this moment, as it is put back only afterwards, and end the
 * deadline server that gives our class its share below normal threads: for good, as
 * it starts with the first of our threads only (__pick_task_dl(), 7.3).
 */
static __always_inline void keep_stranger(struct task_struct *prev)
{
	if (prev && who_kind(prev->scx.dsq_vtime) == WHO_STRANGER &&
	    !scx_bpf_dsq_nr_queued(K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL)))
		scx_bpf_task_set_slice(prev, FALLBACK_SLICE_NS);
}

SEC("struct_ops/dispatch")
void BPF_PROG(ghost_dispatch, s32 cpu, struct task_struct *prev)
{
	cpu_dispatch(cpu, (struct port_thread *)prev);
	keep_stranger(prev);
}

SEC("struct_ops/running")
void BPF_PROG(ghost_running, struct task_struct *p)
{
	u32 cpu = scx_bpf_task_cpu(p);
	u64 who = p->scx.dsq_vtime;

	cpu_ours(cpu);
	if (who_kind(who) == WHO_MEMBER)
		event_task_running(who_index(who), cpu);
	else if (who_kind(who) == WHO_AGENT)
		agent_running(who_index(who), p->pid);
}

SEC("struct_ops/update_idle")
void BPF_PROG(ghost_update_idle, s32 cpu, bool idle)
{
	/* What was picked of our class is taken from its queue only after this (7.3). */
	if (!idle)
		cpu_busy(cpu, scx_bpf_dsq_nr_queued(K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL_ON) |
						    cpu) > 0);
}

/* --- threads leave a CPU ------------------------------------------------------ */

SEC("struct_ops/yield")
bool BPF_PROG(ghost_yield, struct task_struct *from, struct task_struct *to)
{
	u64 who = from->scx.dsq_vtime;

	if (who_kind(who) == WHO_MEMBER)
		event_task_yield(who_index(who));
	else if (who_kind(who) == WHO_AGENT)
		agent_yield(who_index(who));
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
	else if (who_kind(who) == WHO_AGENT && (deq_flags & K_ENUM(scx_deq_flags, SCX_DEQ_SLEEP)))
		agent_sleeps(who_enclave(who), who_index(who), 1);
}

SEC("struct_ops/tick")
void BPF_PROG(ghost_tick, struct task_struct *p)
{
	cpu_tick(scx_bpf_task_cpu(p), who_kind(p->scx.dsq_vtime) == WHO_AGENT);
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

/* Both are present so that CPU hot-plug does not eject us; the kernel moves the threads. */
SEC("struct_ops/cpu_online")
void BPF_PROG(ghost_cpu_online, s32 cpu)
{
	enclave_cpu_online(cpu);
}

SEC("struct_ops/cpu_offline")
void BPF_PROG(ghost_cpu_offline, s32 cpu)
{
	enclave_cpu_offline(cpu);
}

/* --- who else wants a CPU ------------------------------------------------------ */

#define SCHED_NORMAL 0
#define SCHED_BATCH 3
#define SCHED_IDLE 5

/*
 * Attached by an agent that spins, for as long as it lives: it is above the
 * fair class, which would have to wait for a second for its share (7.2).
 */
static __always_inline void fair_comes(const struct task_struct *p, u32 cpu)
{
	if (p->policy == SCHED_NORMAL || p->policy == SCHED_BATCH || p->policy == SCHED_IDLE)
		cpu_wanted(cpu);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(ghost_wakeup, struct task_struct *p)
{
	fair_comes(p, scx_bpf_task_cpu(p));
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(ghost_wakeup_new, struct task_struct *p)
{
	fair_comes(p, scx_bpf_task_cpu(p));
	return 0;
}

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(ghost_migrate, struct task_struct *p, int cpu)
{
	if (p->on_rq)
		fair_comes(p, cpu);
	return 0;
}

/* --- requests and time ----------------------------------------------------- */

SEC("syscall")
int ghost_admin(struct ghost_ctl *ctl)
{
	ctl_admin(ctl);
	return 0;
}

SEC("syscall")
int ghost_agent(struct ghost_ctl *ctl)
{
	/* The thread behind a slot, and custody, may only be looked at under RCU. */
	bpf_rcu_read_lock();
	ctl_agent(ctl);
	bpf_rcu_read_unlock();
	return 0;
}

static int alarm(void *map, u32 *cpu, struct cpu_alarm *a)
{
	u64 again = cpu_timer(*cpu);

	if (again)
		bpf_timer_start(&a->timer, again, 0);
	return 0;
}

static int slice(void *map, u32 *cpu, struct cpu_slice *s)
{
	u64 again = txn_slice_over(*cpu);

	if (again)
		bpf_timer_start(&s->timer, again, 0);
	return 0;
}

static int heartbeat(void *map, int *key, struct heartbeat *h)
{
	enclave_heartbeat();
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
	.tick = (void *)ghost_tick,
	.quiescent = (void *)ghost_quiescent,
	.yield = (void *)ghost_yield,
	.set_weight = (void *)ghost_set_weight,
	.set_cpumask = (void *)ghost_set_cpumask,
	.update_idle = (void *)ghost_update_idle,
	.cpu_online = (void *)ghost_cpu_online,
	.cpu_offline = (void *)ghost_cpu_offline,
	.enable = (void *)ghost_enable,
	.disable = (void *)ghost_disable,
	.exit_task = (void *)ghost_exit_task,
	.init = (void *)ghost_init,
	.exit = (void *)ghost_ops_exit,
	.timeout_ms = 30000,
	.name = "ghost",
};
