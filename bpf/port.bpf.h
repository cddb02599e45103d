/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * core/port.h in the kernel: table look-ups, atomics, and the moves that only
 * sched_ext can make.
 * In: calls from core/. Out: maps, kfuncs. For bpf/ghost.bpf.c.
 */
#ifndef GHOST_BPF_PORT_H
#define GHOST_BPF_PORT_H

#include "bpf/kernel.bpf.h"
#include "bpf/maps.bpf.h"

#define PORT_FN static __always_inline
#define PORT_COLD __weak __attribute__((noinline))
#define port_for(i, from, to) bpf_for(i, from, to)
#include "core/port.h"
#include "core/task.h"

/* DSQ ids: one custody and one fallback DSQ per enclave, one parking place per CPU's agent. */
#define DSQ_CUSTODY(enclave) (0x10000ull + (enclave))
#define DSQ_FALLBACK(enclave) (0x20000ull + (enclave))
#define DSQ_AGENT(cpu) (0x30000ull + (cpu))

static __always_inline struct core_task *port_task(u32 slot)
{
	return bpf_map_lookup_elem(&ghost_tasks, &slot);
}

static __always_inline struct core_cpu *port_cpu(u32 cpu)
{
	return bpf_map_lookup_elem(&ghost_cpus, &cpu);
}

static __always_inline struct core_enclave *port_enclave(u32 id)
{
	return bpf_map_lookup_elem(&ghost_enclaves, &id);
}

static __always_inline struct core_slots *port_slots(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&ghost_slots, &zero);
}

static __always_inline struct ghost_status *port_status(u32 enclave, u32 slot)
{
	void *map = bpf_map_lookup_elem(&ghost_status_of, &enclave);

	return map ? bpf_map_lookup_elem(map, &slot) : NULL;
}

static __always_inline struct ghost_enclave_status *port_enclave_status(u32 enclave)
{
	u32 zero = 0;
	void *map = bpf_map_lookup_elem(&ghost_status_of, &enclave);

	return map ? bpf_map_lookup_elem(map, &zero) : NULL;
}

static __always_inline struct ghost_cpu *port_cpu_page(u32 enclave, u32 cpu)
{
	void *map = bpf_map_lookup_elem(&ghost_cpu_of, &enclave);

	return map ? bpf_map_lookup_elem(map, &cpu) : NULL;
}

static __always_inline struct ghost_cpu_rw *port_cpu_rw(u32 enclave, u32 cpu)
{
	void *map = bpf_map_lookup_elem(&ghost_cpu_rw_of, &enclave);

	return map ? bpf_map_lookup_elem(map, &cpu) : NULL;
}

static __always_inline struct ghost_msg *port_ring(u32 enclave, u32 index)
{
	void *map = bpf_map_lookup_elem(&ghost_ring_of, &enclave);

	return map ? bpf_map_lookup_elem(map, &index) : NULL;
}

/*
 * Plain volatile accesses are acquire and release on x86 (TSO). clang 19
 * cannot emit the BPF load-acquire and store-release that other machines
 * would need; the build refuses them.
 */
#if !defined(__TARGET_ARCH_x86)
#error "memory order of plain accesses is only known for x86"
#endif

static __always_inline u32 port_load_acquire(const u32 *p)
{
	return *(const volatile u32 *)p;
}

static __always_inline void port_store_release(u32 *p, u32 v)
{
	asm volatile("" ::: "memory");
	*(volatile u32 *)p = v;
}

static __always_inline void port_store_release64(u64 *p, u64 v)
{
	asm volatile("" ::: "memory");
	*(volatile u64 *)p = v;
}

static __always_inline u32 port_cmpxchg(u32 *p, u32 old, u32 new_)
{
	return __sync_val_compare_and_swap(p, old, new_);
}

static __always_inline u64 port_cmpxchg64(u64 *p, u64 old, u64 new_)
{
	return __sync_val_compare_and_swap(p, old, new_);
}

/* The result is used on purpose: without it clang emits an add that promises no order. */
static __always_inline u32 port_fetch_add(u32 *p, u32 v)
{
	u32 old = __sync_fetch_and_add(p, v);

	asm volatile("" ::"r"(old) : "memory");
	return old;
}

static __always_inline u64 port_fetch_or64(u64 *p, u64 v)
{
	u64 old = __sync_fetch_and_or(p, v);

	asm volatile("" ::"r"(old) : "memory");
	return old;
}

static __always_inline u64 port_fetch_and64(u64 *p, u64 v)
{
	u64 old = __sync_fetch_and_and(p, v);

	asm volatile("" ::"r"(old) : "memory");
	return old;
}

static __always_inline u64 port_now_ns(void)
{
	return bpf_ktime_get_ns();
}

static __always_inline u32 port_nr_cpus(void)
{
	return scx_bpf_nr_cpu_ids();
}

static __always_inline u32 port_this_cpu(void)
{
	return bpf_get_smp_processor_id();
}

static __always_inline u32 port_this_tid(void)
{
	return (u32)bpf_get_current_pid_tgid();
}

static __always_inline int port_this_pinned(u32 cpu)
{
	const struct task_struct *p = bpf_get_current_task_btf();

	return p->nr_cpus_allowed == 1 && bpf_cpumask_test_cpu(cpu, p->cpus_ptr);
}

#define SCHED_EXT 7

static __always_inline int port_this_in_class(void)
{
	return bpf_get_current_task_btf()->policy == SCHED_EXT;
}

static __always_inline int port_this_set_spinner(u64 who)
{
	struct thread_own *own = bpf_task_storage_get(&ghost_own, bpf_get_current_task_btf(), 0,
						      BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!own)
		return -E_NOSPC;
	own->spinner = who;
	return 0;
}

static __always_inline void port_kick(u32 cpu)
{
	scx_bpf_kick_cpu(cpu, 0);
}

static __always_inline void port_preempt(u32 cpu)
{
	scx_bpf_kick_cpu(cpu, K_ENUM(scx_kick_flags, SCX_KICK_PREEMPT));
}

static int alarm(void *map, u32 *cpu, struct cpu_alarm *a);

static __always_inline int port_timer_set(u32 cpu, u64 ns)
{
	struct cpu_alarm *a = bpf_map_lookup_elem(&ghost_alarms, &cpu);

	if (!a)
		return -E_INVAL;
	/* The first time; afterwards it is there. */
	if (!bpf_timer_init(&a->timer, &ghost_alarms, 1 /* CLOCK_MONOTONIC */))
		bpf_timer_set_callback(&a->timer, alarm);
	return bpf_timer_start(&a->timer, ns, 0);
}

static int slice(void *map, u32 *cpu, struct cpu_slice *s);

static __always_inline int port_slice_timer_set(u32 cpu, u64 ns)
{
	struct cpu_slice *s = bpf_map_lookup_elem(&ghost_slices, &cpu);

	if (!s)
		return -E_INVAL;
	if (!bpf_timer_init(&s->timer, &ghost_slices, 1 /* CLOCK_MONOTONIC */))
		bpf_timer_set_callback(&s->timer, slice);
	return bpf_timer_start(&s->timer, ns, 0);
}

static __always_inline int port_wanted(u32 cpu)
{
	const struct rq *rq = bpf_per_cpu_ptr(&runqueues, cpu);

	return (rq && rq->cfs.h_nr_queued > 0) ||
	       scx_bpf_dsq_nr_queued(K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL_ON) | cpu) > 0;
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

static __always_inline enum port_allowed task_allowed(const struct task_struct *p, u32 cpu)
{
	/*
	 * Asking sched_ext to move a thread to a CPU it may not use ejects the
	 * whole scheduler, hence no shortcuts here. A thread that has migration
	 * disabled may stay on the CPU of its run queue only (7.3: tested
	 * before the mask, which may lag behind).
	 */
	if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		return PORT_NOT_ALLOWED;
	if (task_confined(p) && (u32)scx_bpf_task_cpu(p) != cpu)
		return PORT_CONFINED;
	return PORT_ALLOWED;
}

static __always_inline enum port_allowed port_task_allowed(u32 slot, u32 cpu)
{
	struct task_ref *ref = bpf_map_lookup_elem(&ghost_refs, &slot);
	struct task_struct *p = ref ? ref->task : NULL;

	/* Callers are not sleepable: the pointer is protected by RCU as it is. */
	return p ? task_allowed(p, cpu) : PORT_NOT_ALLOWED;
}

/* What changes without a callback. */
static __always_inline void status_describe(struct ghost_status *st, struct task_struct *p)
{
	/* execve() gives whoever calls it the number of the process' first thread. */
	st->tid = p->pid;
	bpf_probe_read_kernel_str(st->comm, sizeof(st->comm), p->comm);
	st->cgroup = BPF_CORE_READ(p, cgroups, dfl_cgrp, kn, id);
}

static __always_inline void port_task_describe(u32 slot, struct ghost_status *st)
{
	struct task_ref *ref = bpf_map_lookup_elem(&ghost_refs, &slot);
	struct task_struct *p = ref ? ref->task : NULL;

	if (p)
		status_describe(st, p);
}

static __always_inline int port_joining_set(u32 tid, u64 who)
{
	struct task_struct *p = bpf_task_from_pid(tid);
	struct thread_own *own;

	if (!p)
		return -E_SRCH;
	own = bpf_task_storage_get(&ghost_own, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (own)
		own->joining = who;
	bpf_task_release(p);
	return own ? 0 : -E_NOSPC;
}

static __always_inline int port_joining_clear(u32 tid)
{
	struct task_struct *p = bpf_task_from_pid(tid);
	struct thread_own *own;
	int ret = -E_NOENT;

	if (!p)
		return -E_SRCH;
	own = bpf_task_storage_get(&ghost_own, p, 0, 0);
	if (own && own->joining) {
		own->joining = 0;
		ret = 0;
	}
	bpf_task_release(p);
	return ret;
}

/* check_same_owner() of the kernel (7.3). */
static __always_inline int port_this_may(u32 tid)
{
	struct task_struct *p = bpf_task_from_pid(tid);
	u32 us, uid, euid;

	if (!p)
		return -E_SRCH;
	us = BPF_CORE_READ(bpf_get_current_task_btf(), cred, euid.val);
	uid = BPF_CORE_READ(p, cred, uid.val);
	euid = BPF_CORE_READ(p, cred, euid.val);
	bpf_task_release(p);
	return us == uid || us == euid ? 0 : -E_PERM;
}

struct port_custody {
	struct bpf_iter_scx_dsq it;
};

static __always_inline int port_custody_open(struct port_custody *c, u32 enclave)
{
	return bpf_iter_scx_dsq_new(&c->it, DSQ_CUSTODY(enclave), 0);
}

/*
 * The iterator is never iterated: its creation marks the point in time, and
 * dsq_move() by pointer is O(1). Returns 1 when the thread is on the local
 * queue of @cpu. That may be too late by then, if a higher class has come: IMMED
 * threads come back to us at once, also when they are preempted later.
 */
static __always_inline int port_custody_move(struct port_custody *c, u32 slot, u32 cpu,
					     u64 slice_ns, enum port_move how, int stays)
{
	struct task_ref *ref = bpf_map_lookup_elem(&ghost_refs, &slot);
	struct task_struct *p = ref ? ref->task : NULL;
	u64 flags = 0, dsq = K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL);

	if (!p)
		return 0;
	if (!stays && K_HAS_ENUM(scx_enq_flags, SCX_ENQ_IMMED))
		flags = K_ENUM(scx_enq_flags, SCX_ENQ_IMMED);
	if (how != PORT_MOVE_HERE)
		dsq = K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL_ON) | cpu;
	if (how == PORT_MOVE_PREEMPT)
		flags |= K_ENUM(scx_enq_flags, SCX_ENQ_PREEMPT);
	scx_bpf_dsq_move_set_slice(&c->it, slice_ns);
	return scx_bpf_dsq_move(&c->it, p, dsq, flags);
}

static __always_inline void port_custody_close(struct port_custody *c)
{
	bpf_iter_scx_dsq_destroy(&c->it);
}

static __always_inline u64 dsq_of(u32 enclave, enum port_place place)
{
	return place == PORT_CUSTODY ? DSQ_CUSTODY(enclave) : DSQ_FALLBACK(enclave);
}

static __always_inline void port_reenqueue(u32 enclave, enum port_place place)
{
	scx_bpf_dsq_reenq(dsq_of(enclave, place), 0);
}

static __always_inline int port_waiting(u32 enclave, enum port_place place)
{
	return scx_bpf_dsq_nr_queued(dsq_of(enclave, place)) > 0;
}

static __always_inline u32 port_fallback_look(u32 enclave, u64 who[PORT_FALLBACK_LOOK])
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	u32 nr = 0, i;

	if (!bpf_iter_scx_dsq_new(&it, DSQ_FALLBACK(enclave), 0)) {
		for (i = 0; i < PORT_FALLBACK_LOOK; i++) {
			p = bpf_iter_scx_dsq_next(&it);
			if (!p)
				break;
			who[nr++ % PORT_FALLBACK_LOOK] = p->scx.dsq_vtime;
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return nr;
}

static __always_inline int port_fallback_run(u32 enclave)
{
	/* Whom a higher class interrupts comes back, and may go on elsewhere; if the kernel can. */
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v2___compat) &&
	    K_HAS_ENUM(scx_enq_flags, SCX_ENQ_IMMED))
		return scx_bpf_dsq_move_to_local___v2___compat(
			DSQ_FALLBACK(enclave), K_ENUM(scx_enq_flags, SCX_ENQ_IMMED));
	return scx_bpf_dsq_move_to_local(DSQ_FALLBACK(enclave));
}

static __always_inline int port_agent_run(u32 cpu)
{
	return scx_bpf_dsq_move_to_local(DSQ_AGENT(cpu));
}

static __always_inline void port_keep(struct port_thread *prev, u64 slice_ns)
{
	scx_bpf_task_set_slice((struct task_struct *)prev, slice_ns);
}

static __always_inline u32 port_prev_member(const struct port_thread *prev, u64 *runtime_ns)
{
	const struct task_struct *p = (const struct task_struct *)prev;

	if (who_kind(p->scx.dsq_vtime) != WHO_MEMBER ||
	    !(p->scx.flags & K_ENUM(scx_ent_flags, SCX_TASK_QUEUED)))
		return 0;
	/* Up to date: the kernel has accounted for it before it asks us (balance_one(), 7.3). */
	*runtime_ns = p->se.sum_exec_runtime;
	return who_index(p->scx.dsq_vtime);
}

#endif
