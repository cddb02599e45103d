// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults, as they happen.
 * In: a plan. Out: signals, garbage, changes in the middle of commits.
 * Implements fault.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "libghost/enclave.h"
#include "sim/backend.h"
#include "sim/fault.h"
#include "sim/sim.h"

struct faults {
	struct sim *s;
	struct machine *m;
	const struct fault_plan *plan;
	struct random random;
	uint32_t call, undo_call;
	uint32_t next;
	uint64_t began;
	bool over;
	bool inside; /* no interrupts in interrupts */
	/* What is to be undone, in the order of time. */
	struct undo {
		uint64_t when;
		uint32_t kind;
		uint32_t who; /* tid or CPU */
	} undo[FAULTS_MAX];
	uint32_t nr_undo;
	struct process *destroyer;
};

static const char *const names[FAULT_NR] = {
	"crash",   "hang",     "stop", "slow",	"garbage", "repeat",  "full",
	"fair",	   "affinity", "nice", "kill",	"class",   "confine", "restart",
	"destroy", "offline",  "ping", "flood", "cpus",
};

const char *fault_name(uint32_t kind)
{
	return kind < FAULT_NR ? names[kind] : "?";
}

/* A member, or any thread of the work, chosen by @what; NULL if there is none. */
static struct thread *any_thread(struct machine *m, uint32_t what)
{
	for (uint32_t i = 0; i < m->nr_threads; i++) {
		struct thread *t = thread_by_tid(m, 1 + (what + i) % (m->nr_threads - 1));

		if (t && !t->agent && t->place != PLACE_GONE)
			return t;
	}
	return NULL;
}

static struct thread *any_agent(struct faults *f, uint32_t what)
{
	struct process *p = sim_agents(f->s);
	uint32_t nr = p ? process_nr_agents(p) : 0;

	return nr && !process_dead(p) ? process_agent(p, what % nr) : NULL;
}

static void any_cpus(struct faults *f, struct ghost_cpuset *ret)
{
	uint32_t nr = f->m->nr_cpus;

	memset(ret, 0, sizeof(*ret));
	/* Often one, sometimes all, sometimes some. */
	switch (random_below(&f->random, 4)) {
	case 0:
		for (uint32_t cpu = 0; cpu < nr; cpu++)
			ghost_cpuset_add(ret, cpu);
		break;
	case 1:
		for (uint32_t cpu = 0; cpu < nr; cpu++)
			if (random_below(&f->random, 2))
				ghost_cpuset_add(ret, cpu);
		break;
	}
	ghost_cpuset_add(ret, random_below(&f->random, nr));
	/* What is asked for must be there (sched_setaffinity: EINVAL). */
	for (uint32_t cpu = 0; cpu < nr; cpu++)
		if (ghost_cpuset_has(ret, cpu) && f->m->cpu[cpu].online)
			return;
	for (uint32_t cpu = 0; cpu < nr; cpu++)
		ghost_cpuset_add(ret, cpu);
}

static void undo_later(struct faults *f, uint32_t kind, uint32_t who, uint64_t us)
{
	if (f->nr_undo == FAULTS_MAX)
		return;
	f->undo[f->nr_undo++] =
		(struct undo){ .when = f->m->now + us * 1000, .kind = kind, .who = who };
	machine_post(f->m, f->m->now + us * 1000, EV_CALL, f->undo_call, 0);
}

static void undo_one(struct faults *f, const struct undo *u)
{
	struct thread *t = thread_by_tid(f->m, u->who);

	switch (u->kind) {
	case FAULT_STOP:
		if (t)
			thread_continue(f->m, t);
		break;
	case FAULT_CONFINE:
		/* migrate_enable() is called by the thread itself. */
		if (t && t->place == PLACE_RUNS)
			t->confined = false;
		else if (t)
			t->unconfine = true;
		break;
	case FAULT_CLASS:
		if (t && !t->agent && t->class_ == CLASS_FAIR &&
		    f->m->enclaves[sim_enclave(f->s)].state) {
			f->m->joining[t->tid] = WHO_COMING(WHO_MEMBER, sim_enclave(f->s),
							   f->m->enclaves[sim_enclave(f->s)].gen,
							   0);
			thread_set_class(f->m, t, CLASS_EXT);
		}
		break;
	case FAULT_OFFLINE:
		cpu_online(f->m, u->who);
		break;
	}
}

static void undo_due(struct machine *m, void *arg)
{
	struct faults *f = arg;
	uint32_t left = 0;

	for (uint32_t i = 0; i < f->nr_undo; i++) {
		struct undo u = f->undo[i];

		if (u.when <= m->now || f->over)
			undo_one(f, &u);
		else
			f->undo[left++] = u;
	}
	f->nr_undo = left;
}

/* --- memory that agents may write -------------------------------------------------- */

static struct ghost_cpu_rw *any_rw(struct faults *f, uint32_t what)
{
	struct ghost_cpu_rw *rw = f->m->enclave[sim_enclave(f->s)].rw;

	return rw ? &rw[what % f->m->nr_cpus] : NULL;
}

static void garbage(struct faults *f, uint32_t what)
{
	struct ghost_cpu_rw *rw = any_rw(f, what);
	uint32_t *words = (uint32_t *)rw;
	uint32_t nr = 1 + random_below(&f->random, 4);

	if (!rw)
		return;
	/* The tail belongs to the library: garbage there costs messages, which it must notice. */
	while (nr--) {
		uint64_t kind = random_below(&f->random, 4);

		words[random_below(&f->random, sizeof(rw->txn) / 4)] =
			kind == 0 ? random_next(&f->random) :
			kind == 1 ? random_below(&f->random, GHOST_TXN_NR_STATES + 2) :
			kind == 2 ? random_below(&f->random, f->m->opt.capacity) :
				    ~0u;
	}
}

/* --- what happens ----------------------------------------------------------------------- */

static void ping(struct faults *f, uint32_t cpu)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_AGENT_PING,
				 .enclave = sim_enclave(f->s),
				 .cpu = cpu,
				 .token = f->m->enclaves[sim_enclave(f->s)].token };

	kernel_agent(f->m, &ctl);
	if (!ctl.ret)
		law_pinged(f->m, cpu);
}

static void destroy_main(struct process *p, void *arg)
{
	struct faults *f = arg;
	struct ghost_enclave *e;

	if (ghost_enclave_open(&e, process_backend(p), sim_enclave(f->s)))
		return;
	/* As `ghost destroy`: patiently. */
	for (int i = 0; i < 20 && ghost_enclave_destroy(e) == -EBUSY && !process_dead(p); i++)
		;
	ghost_enclave_close(e);
}

/* With other CPUs, or those that the enclave has. */
static void restart(struct faults *f, const struct ghost_cpuset *cpus)
{
	if (sim_agents(f->s) && !process_ended(sim_agents(f->s)) && !process_dead(sim_agents(f->s)))
		process_ask(sim_agents(f->s));
	sim_agents_start(f->s, cpus);
}

static void fault_happens(struct faults *f, const struct fault *ft)
{
	struct machine *m = f->m;
	struct thread *t = any_thread(m, ft->what), *a = any_agent(f, ft->what);
	struct ghost_cpuset cpus;
	struct ghost_cpu_rw *rw;

	machine_trace(m, TRACE_FAULT, m->this_cpu, NULL, ft->kind);
	switch (ft->kind) {
	case FAULT_CRASH:
		if (a)
			process_kill(sim_agents(f->s));
		break;
	case FAULT_HANG:
		/* Before it is one, it would starve our class as any normal thread may. */
		if (a && a->class_ == CLASS_EXT) {
			law_excuse(m);
			agent_delay(a, 1ull << 50);
		}
		break;
	case FAULT_SLOW:
		if (a)
			agent_delay(a, ft->arg * 1000ull);
		break;
	case FAULT_STOP:
		if (a) {
			thread_stop(m, a);
			undo_later(f, FAULT_STOP, a->tid, ft->arg);
		}
		break;
	case FAULT_GARBAGE:
		garbage(f, ft->what);
		break;
	case FAULT_REPEAT:
		rw = any_rw(f, ft->what);
		if (rw)
			rw->txn.state = GHOST_TXN_READY;
		break;
	case FAULT_FULL:
		rw = any_rw(f, ft->what);
		law_blind(m);
		if (rw)
			rw->queue_tail -= GHOST_QUEUE_LEN;
		break;
	case FAULT_FAIR:
		cpu_fair_burst(m, ft->what % m->nr_cpus, ft->arg * 1000ull);
		break;
	case FAULT_AFFINITY:
		any_cpus(f, &cpus);
		if (t)
			thread_affinity(m, t, &cpus);
		break;
	case FAULT_NICE:
		if (t)
			thread_nice(m, t, (int)(ft->arg % 40) - 20);
		break;
	case FAULT_KILL:
		if (t)
			thread_kill(m, t);
		break;
	case FAULT_CLASS:
		if (t && t->class_ == CLASS_EXT && !thread_set_class(m, t, CLASS_FAIR))
			undo_later(f, FAULT_CLASS, t->tid, ft->arg);
		break;
	case FAULT_CONFINE:
		/* Only a thread that runs can disable its own migration. */
		if (t && t->place == PLACE_RUNS && t->class_ == CLASS_EXT) {
			t->confined = true;
			undo_later(f, FAULT_CONFINE, t->tid, ft->arg);
		}
		break;
	case FAULT_RESTART:
		restart(f, NULL);
		break;
	case FAULT_CPUS:
		any_cpus(f, &cpus);
		for (int i = 0; i < GHOST_CPU_WORDS; i++)
			cpus.word[i] &= m->online.word[i];
		restart(f, &cpus);
		break;
	case FAULT_DESTROY:
		if (!f->destroyer)
			process_start(&f->destroyer, m, destroy_main, f);
		break;
	case FAULT_OFFLINE:
		if (!cpu_offline(m, ft->what % m->nr_cpus))
			undo_later(f, FAULT_OFFLINE, ft->what % m->nr_cpus, ft->arg);
		break;
	case FAULT_FLOOD:
		for (int i = 0; t && i < 700; i++)
			thread_nice(m, t, t->nice ? 0 : 1);
		break;
	case FAULT_PING:
		ping(f, ft->what % m->nr_cpus);
		break;
	}
}

static void due(struct machine *m, void *arg)
{
	struct faults *f = arg;

	while (!f->over && f->next < f->plan->nr &&
	       f->began + f->plan->faults[f->next].when_ns <= m->now)
		fault_happens(f, &f->plan->faults[f->next++]);
	if (!f->over && f->next < f->plan->nr)
		machine_post(m, f->began + f->plan->faults[f->next].when_ns, EV_CALL, f->call, 0);
}

/*
 * Another CPU wakes a thread; not one of this CPU's run queue, which is locked.
 * Best one whose message comes to this CPU's agent all the same.
 */
static void interrupt_wake(struct faults *f, uint32_t cpu)
{
	struct machine *m = f->m;
	uint32_t first = random_below(&f->random, m->nr_threads);
	struct thread *found = NULL;

	for (uint32_t i = 0; i < m->nr_threads && i < 64; i++) {
		struct thread *t = thread_by_tid(m, (first + i) % m->nr_threads);

		if (!t || t->agent || t->place != PLACE_ASLEEP || t->cpu == cpu ||
		    m->cpu[t->cpu].locked)
			continue;
		found = t;
		if (who_kind(t->who) == WHO_MEMBER && m->tasks[who_index(t->who)].queue == cpu)
			break;
	}
	if (!found)
		return;
	m->this_cpu = found->cpu;
	thread_wake(m, found);
}

/* The thread that is about to be committed changes, under the lock of its own run queue. */
static void interrupt_thread(struct faults *f, struct thread *t, uint32_t cpu)
{
	struct ghost_cpuset cpus;

	switch (random_below(&f->random, 4)) {
	case 0:
		any_cpus(f, &cpus);
		if (t->place == PLACE_CUSTODY && t->cpu != cpu)
			thread_affinity(f->m, t, &cpus);
		break;
	case 1:
		if (t->place == PLACE_CUSTODY && t->cpu != cpu)
			thread_nice(f->m, t, (int)random_below(&f->random, 40) - 20);
		break;
	case 2:
		if (t->place == PLACE_CUSTODY && t->cpu != cpu &&
		    !thread_set_class(f->m, t, CLASS_FAIR))
			undo_later(f, FAULT_CLASS, t->tid, 50);
		break;
	case 3:
		/* Dispatch lets go of the lock for a moment: a higher class comes in. */
		cpu_fair_burst(f->m, cpu, 20000);
		break;
	}
}

/*
 * In the middle of a CPU's search for work, on another CPU: only what the
 * kernel does under other locks than this CPU's run queue can happen here.
 */
static void interrupt(struct machine *m, uint32_t slot)
{
	struct faults *f = m->fault;
	struct thread *t = slot && slot < m->opt.capacity ? m->refs[slot] : NULL;
	uint32_t cpu = m->this_cpu;
	struct thread *self = m->this_thread;

	if (f->over || f->inside || !f->plan->interrupt_ppm || (slot && !t) ||
	    !random_chance(&f->random, f->plan->interrupt_ppm / (slot ? 2 : 1)))
		return;
	f->inside = true;
	machine_trace(m, TRACE_FAULT, cpu, t, FAULT_NR);
	if (t)
		interrupt_thread(f, t, cpu);
	else if (random_below(&f->random, 2))
		interrupt_wake(f, cpu);
	else
		ping(f, cpu);
	m->this_cpu = cpu;
	m->this_thread = self;
	f->inside = false;
}

/* --- life ----------------------------------------------------------------------------------- */

int faults_new(struct faults **ret, struct sim *s, const struct fault_plan *plan)
{
	struct faults *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->s = s;
	f->m = sim_machine(s);
	f->plan = plan;
	f->random = random_fork(&f->m->random);
	f->call = machine_call(f->m, due, f);
	f->undo_call = machine_call(f->m, undo_due, f);
	f->m->fault = f;
	f->m->interrupt = interrupt;
	*ret = f;
	return 0;
}

void faults_free(struct faults *f)
{
	free(f);
}

void faults_go(struct faults *f)
{
	f->began = f->m->now;
	if (f->plan->nr)
		machine_post(f->m, f->began + f->plan->faults[0].when_ns, EV_CALL, f->call, 0);
}

void faults_end(struct faults *f)
{
	struct process *p;

	f->over = true;
	undo_due(f->m, f);
	/*
	 * A hung agent is for its user to kill. The fallback runs the threads
	 * until then, and after.
	 */
	for (p = process_next(f->m, NULL); p; p = process_next(f->m, p))
		if (process_nr_agents(p))
			process_kill(p);
	if (!f->destroyer)
		sim_agents_start(f->s, NULL);
}
