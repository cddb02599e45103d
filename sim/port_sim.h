/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * core/port.h in virtual time.
 * In: calls from core/. Out: tables and lists of the machine. For kernel.c only.
 *
 * It refuses what the kernel refuses: a thread that is not in custody, or came
 * after the point was taken, is not moved; one that may not run on a CPU must
 * not be asked there (the kernel would throw the scheduler out, 7.3).
 */
#ifndef GHOST_SIM_PORT_SIM_H
#define GHOST_SIM_PORT_SIM_H

#include "sim/law.h"
#include "sim/machine.h"

#define PORT_FN static inline
#include "core/port.h"
#include "core/task.h"

/* core/ knows no "which machine": there is one at a time. */
extern struct machine *the_machine;

/* --- tables ------------------------------------------------------------------- */

static inline struct core_task *port_task(__u32 slot)
{
	return slot < the_machine->opt.capacity ? &the_machine->tasks[slot] : NULL;
}

static inline struct core_cpu *port_cpu(__u32 cpu)
{
	return cpu < GHOST_CPUS_MAX ? &the_machine->cpus[cpu] : NULL;
}

static inline struct core_enclave *port_enclave(__u32 id)
{
	return id < GHOST_ENCLAVES_MAX ? &the_machine->enclaves[id] : NULL;
}

static inline struct core_slots *port_slots(void)
{
	return &the_machine->slots;
}

static inline struct ghost_status *port_status(__u32 enclave, __u32 slot)
{
	if (enclave >= GHOST_ENCLAVES_MAX || slot >= the_machine->opt.capacity ||
	    !the_machine->enclave[enclave].status)
		return NULL;
	return &the_machine->enclave[enclave].status[slot];
}

static inline struct ghost_enclave_status *port_enclave_status(__u32 enclave)
{
	return (struct ghost_enclave_status *)port_status(enclave, 0);
}

static inline struct ghost_cpu *port_cpu_page(__u32 enclave, __u32 cpu)
{
	if (enclave >= GHOST_ENCLAVES_MAX || cpu >= the_machine->nr_cpus + GHOST_QUEUES_MADE ||
	    !the_machine->enclave[enclave].cpu)
		return NULL;
	return &the_machine->enclave[enclave].cpu[cpu];
}

static inline struct ghost_cpu_rw *port_cpu_rw(__u32 enclave, __u32 cpu)
{
	if (enclave >= GHOST_ENCLAVES_MAX || cpu >= the_machine->nr_cpus + GHOST_QUEUES_MADE ||
	    !the_machine->enclave[enclave].rw)
		return NULL;
	return &the_machine->enclave[enclave].rw[cpu];
}

static inline struct ghost_msg *port_ring(__u32 enclave, __u32 index)
{
	if (enclave >= GHOST_ENCLAVES_MAX || index >= the_machine->enclave[enclave].ring_len)
		return NULL;
	return &the_machine->enclave[enclave].ring[index];
}

/* --- memory: one thread of execution, so plain accesses are in order ------------- */

/* Somebody else may do something now, on another CPU; see sim/fault.c. */
static inline void port_interrupt(__u32 slot)
{
	if (the_machine->interrupt && the_machine->in_dispatch && !the_machine->in_event)
		the_machine->interrupt(the_machine, slot);
}

static inline __u32 port_load_acquire(const __u32 *p)
{
	port_interrupt(0);
	return *(const volatile __u32 *)p;
}

static inline void port_store_release(__u32 *p, __u32 v)
{
	*(volatile __u32 *)p = v;
}

static inline void port_store_release64(__u64 *p, __u64 v)
{
	*(volatile __u64 *)p = v;
}

static inline __u32 port_cmpxchg(__u32 *p, __u32 old, __u32 new_)
{
	__u32 was = *p;

	if (was == old)
		*p = new_;
	return was;
}

static inline __u64 port_cmpxchg64(__u64 *p, __u64 old, __u64 new_)
{
	__u64 was = *p;

	if (was == old)
		*p = new_;
	return was;
}

static inline __u32 port_fetch_add(__u32 *p, __u32 v)
{
	__u32 was = *p;

	*p = was + v;
	return was;
}

static inline __u64 port_fetch_or64(__u64 *p, __u64 v)
{
	__u64 was;

	port_interrupt(0);
	was = *p;
	*p = was | v;
	return was;
}

static inline __u64 port_fetch_and64(__u64 *p, __u64 v)
{
	__u64 was = *p;

	*p = was & v;
	return was;
}

/* --- the machine -------------------------------------------------------------------- */

static inline __u64 port_now_ns(void)
{
	return the_machine->now;
}

static inline __u32 port_nr_cpus(void)
{
	return the_machine->nr_cpus;
}

static inline __u32 port_this_cpu(void)
{
	return the_machine->this_cpu;
}

static inline __u32 port_this_tid(void)
{
	return the_machine->this_thread ? the_machine->this_thread->tid : 0;
}

static inline int port_this_pinned(__u32 cpu)
{
	const struct thread *t = the_machine->this_thread;

	return t && the_machine->masks[t->mask].nr == 1 && thread_on(the_machine, t, cpu);
}

static inline int port_this_in_class(void)
{
	const struct thread *t = the_machine->this_thread;

	return t && t->class_ == CLASS_EXT;
}

static inline int port_this_set_spinner(__u64 who)
{
	if (the_machine->this_thread)
		the_machine->this_thread->spinner = who;
	return 0;
}

static inline void kick(__u32 cpu, bool preempt)
{
	struct machine *m = the_machine;
	struct cpu *c;

	if (cpu >= m->nr_cpus || !m->cpu[cpu].online)
		return;
	c = &m->cpu[cpu];
	machine_trace(m, TRACE_KICK, cpu, NULL, preempt);
	machine_charge(m, m->opt.profile->ipi_send_ns);
	if (preempt && c->cur && c->cur->class_ == CLASS_EXT)
		c->cur->slice_ns = 0;
	cpu_resched(m, cpu, cpu == m->this_cpu ? 0 : m->opt.profile->ipi_ns);
}

static inline void port_kick(__u32 cpu)
{
	kick(cpu, false);
}

static inline void port_preempt(__u32 cpu)
{
	kick(cpu, true);
}

static inline int port_timer_set(__u32 cpu, __u64 ns)
{
	struct machine *m = the_machine;

	machine_post(m, m->now + ns, EV_ALARM, cpu, ++m->cpu[cpu % m->nr_cpus].alarm);
	return 0;
}

static inline int port_slice_timer_set(__u32 cpu, __u64 ns)
{
	struct machine *m = the_machine;

	if (cpu >= m->nr_cpus)
		return -E_INVAL;
	m->cpu[cpu].slice_by = m->this_cpu;
	/* A word to the local APIC, as an IPI is. */
	machine_charge(m, m->opt.profile->ipi_send_ns);
	machine_post(m, m->now + ns, EV_SLICE, cpu, ++m->cpu[cpu].slice);
	return 0;
}

static inline int port_wanted(__u32 cpu)
{
	const struct cpu *c = &the_machine->cpu[cpu % the_machine->nr_cpus];

	return c->fair.nr || c->fair_late_ns || c->fair_until > the_machine->now || c->local.nr ||
	       (c->cur && c->cur->class_ == CLASS_FAIR);
}

static inline struct thread *port_ref(__u32 slot)
{
	return slot < the_machine->opt.capacity ? the_machine->refs[slot] : NULL;
}

static inline enum port_allowed port_task_allowed(__u32 slot, __u32 cpu)
{
	struct thread *t;

	port_interrupt(slot);
	t = port_ref(slot);
	if (!t || !thread_on(the_machine, t, cpu))
		return PORT_NOT_ALLOWED;
	/* As BPF programs do: migration of the current thread is disabled while they run. */
	if ((t->confined || (t->place == PLACE_ARRIVES && t->current)) && t->cpu != cpu)
		return PORT_CONFINED;
	return PORT_ALLOWED;
}

static inline void port_task_describe(__u32 slot, struct ghost_status *st)
{
	const struct thread *t = port_ref(slot);
	const char *name = t ? t->behaviour->name : "";
	size_t i;

	for (i = 0; i < sizeof(st->comm) - 1 && name[i]; i++)
		st->comm[i] = name[i];
	st->comm[i] = 0;
}

static inline int port_joining_set(__u32 tid, __u64 who)
{
	if (tid >= the_machine->nr_threads)
		return -E_SRCH;
	the_machine->joining[tid] = who;
	return 0;
}

static inline int port_joining_clear(__u32 tid)
{
	if (tid >= the_machine->nr_threads)
		return -E_SRCH;
	if (!the_machine->joining[tid])
		return -E_NOENT;
	the_machine->joining[tid] = 0;
	return 0;
}

/* All threads are one user's here. */
static inline int port_this_may(__u32 tid)
{
	return tid < the_machine->nr_threads ? 0 : -E_SRCH;
}

/* --- custody, fallback, parking place --------------------------------------------------- */

struct port_custody {
	__u32 enclave;
	__u64 opened;
};

static inline int port_custody_open(struct port_custody *c, __u32 enclave)
{
	c->enclave = enclave;
	c->opened = the_machine->stamp;
	return 0;
}

/* Onto the queue of the CPU that dispatches; the rest of the move is the kernel's. */
static inline void move_to_local(struct thread *t, __u32 cpu)
{
	list_del(&t->link);
	t->place = PLACE_LOCAL;
	t->cpu = cpu;
	list_add(&the_machine->cpu[cpu].local, &t->link);
}

/*
 * Onto the queue of another CPU, which looks for work then. One that cannot be
 * run there at once comes back, a moment later (dsq_inc_nr(), 7.3).
 */
static inline void move_to_remote(struct machine *m, struct thread *t, __u32 cpu, bool preempt,
				  bool immed)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *cur = c->cur && c->cur->class_ == CLASS_EXT ? c->cur : NULL;

	list_del(&t->link);
	t->place = PLACE_LOCAL;
	t->cpu = cpu;
	if (preempt)
		list_add_first(&c->local, &t->link);
	else
		list_add(&c->local, &t->link);
	if (preempt && cur)
		cur->slice_ns = 0;
	machine_charge(m, m->opt.profile->ipi_send_ns);
	if (immed && (c->local.nr > 1 || cpu_above(m, cpu) || (cur && !preempt)))
		machine_post(m, m->now + m->opt.profile->ipi_ns, EV_REENQ_LOCAL, cpu, 0);
	if (!cur || preempt)
		cpu_resched(m, cpu, cpu == m->this_cpu ? 0 : m->opt.profile->ipi_ns);
}

static inline int port_custody_move(struct port_custody *c, __u32 slot, __u32 cpu, __u64 slice_ns,
				    enum port_move how, int stays)
{
	struct machine *m = the_machine;
	struct thread *t;

	port_interrupt(slot);
	t = port_ref(slot);
	if (!t || t->place != PLACE_CUSTODY || t->stamp > c->opened ||
	    t->link.on != &m->enclave[c->enclave].custody)
		return 0;
	if (!thread_on(m, t, cpu) || (t->confined && t->cpu != cpu)) {
		machine_break(m, "thread %u was sent to CPU %u, where it may not run", t->tid, cpu);
		return 0;
	}
	if (how == PORT_MOVE_HERE)
		move_to_local(t, cpu);
	else
		move_to_remote(m, t, cpu, how != PORT_MOVE_THERE, !stays);
	t->slice_ns = slice_ns;
	t->immed = !stays;
	if (m->law)
		law_moved(m, t, slot, cpu);
	return 1;
}

static inline void port_custody_close(struct port_custody *c)
{
}

static inline void port_reenqueue(__u32 enclave, enum port_place place)
{
	struct sim_enclave *e = &the_machine->enclave[enclave % GHOST_ENCLAVES_MAX];

	if (e->reenqueue[place])
		return;
	e->reenqueue[place] = true;
	machine_post(the_machine, the_machine->now + the_machine->opt.profile->ipi_ns, EV_REENQUEUE,
		     enclave, place);
}

static inline struct list *waiting_list(__u32 enclave, enum port_place place)
{
	struct sim_enclave *e = &the_machine->enclave[enclave % GHOST_ENCLAVES_MAX];

	return place == PORT_CUSTODY ? &e->custody : &e->fallback;
}

static inline int port_waiting(__u32 enclave, enum port_place place)
{
	return waiting_list(enclave, place)->nr > 0;
}

static inline __u32 port_fallback_look(__u32 enclave, __u64 who[PORT_FALLBACK_LOOK])
{
	__u32 nr = 0;

	list_for_each(n, save, waiting_list(enclave, PORT_FALLBACK)) {
		if (nr == PORT_FALLBACK_LOOK)
			break;
		who[nr++] = list_entry(n, struct thread, link)->who;
	}
	return nr;
}

/* The first that may run here: as the kernel does, which skips those that may not. */
static inline int take_first(struct list *l, __u32 cpu, bool immed)
{
	struct machine *m = the_machine;

	list_for_each(n, save, l) {
		struct thread *t = list_entry(n, struct thread, link);

		if (!thread_on(m, t, cpu) || (t->confined && t->cpu != cpu))
			continue;
		move_to_local(t, cpu);
		t->immed = immed;
		return 1;
	}
	return 0;
}

static inline int port_fallback_run(__u32 enclave)
{
	return take_first(waiting_list(enclave, PORT_FALLBACK), the_machine->this_cpu, true);
}

static inline int port_agent_run(__u32 cpu)
{
	return take_first(&the_machine->parked[cpu % GHOST_CPUS_MAX], the_machine->this_cpu, false);
}

static inline void port_keep(struct port_thread *prev, __u64 slice_ns)
{
	((struct thread *)prev)->slice_ns = slice_ns;
}

static inline __u32 port_prev_member(const struct port_thread *prev, __u64 *runtime_ns)
{
	const struct thread *t = (const struct thread *)prev;

	if (who_kind(t->who) != WHO_MEMBER)
		return 0;
	*runtime_ns = t->runtime_ns;
	return who_index(t->who);
}

#endif
