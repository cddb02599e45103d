// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel of the machine: classes, run queues, and what sched_ext does
 * around core/.
 * In: system calls, interrupts, the end of slices. Out: threads on CPUs; the
 * same calls of core/ that bpf/ghost.bpf.c makes. Part of machine.h.
 *
 * Modelled after kernel 7.3: do_pick_task_scx(), put_prev_task_scx(),
 * scx_do_enqueue_task(), reenq_local(), and sched_change for attributes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/port_sim.h"

#include "core/cpu.h"
#include "core/ctl.h"
#include "core/enclave.h"
#include "core/event.h"

#include "sim/law.h"

struct machine *the_machine;

static const struct profile *cost(const struct machine *m)
{
	return m->opt.profile;
}

static bool runs_ext(const struct cpu *c)
{
	return c->cur && c->cur->class_ == CLASS_EXT;
}

static bool is_member(const struct thread *t)
{
	return who_kind(t->who) == WHO_MEMBER;
}

static uint32_t slot_of(const struct thread *t)
{
	return who_index(t->who);
}

/* --- messages: what each event must make, known here without asking core/ --------- */

/*
 * Around every call of event.h: one message of @type, or none (0), and
 * @numbers sequence numbers. What was really made is traced, and held against
 * the laws if somebody checks them.
 */
struct told {
	struct thread *t;
	struct ghost_cpu *page;
	struct core_task before;
	struct ghost_cpu *agent; /* whose number it must advance; NULL: the queue is polled */
	uint32_t queue;
	uint32_t head;
	uint32_t overflow;
	uint32_t agent_seq;
	bool online;
	bool elsewhere; /* its queue is gone: it gets that of the CPU where the event leaves it */
};

/* As it was: @page of the queue, @agent of the first that its messages wake. */
static void tell_queue(struct machine *m, struct told *told, const struct ghost_cpu *page,
		       const struct ghost_cpu *agent)
{
	uint32_t enclave = m->tasks[slot_of(told->t)].enclave;

	told->page = port_cpu_page(enclave, told->queue);
	told->head = page->queue.head;
	told->overflow = page->queue.overflow;
	told->agent = page->queue.nr_wake ? port_cpu_page(enclave, page->queue.wake[0]) : NULL;
	told->agent_seq = told->agent ? agent->agent_seq : 0;
}

static struct told tell_begin(struct machine *m, struct thread *t)
{
	const struct core_task *ct = &m->tasks[slot_of(t)];
	struct told told = { .t = t, .before = *ct, .queue = ct->queue };

	/* An agent may have chosen another one since the last event; or removed this one. */
	if (ct->assoc && (uint32_t)ct->assoc == ct->seq)
		told.queue = (ct->assoc >> 32) - 1;
	told.online = m->enclaves[ct->enclave].state == GHOST_ENCLAVE_ONLINE;
	/* Agents that are new have their own default. */
	if (told.online && ct->epoch != m->enclaves[ct->enclave].epoch &&
	    m->enclaves[ct->enclave].default_queue != GHOST_QUEUE_NONE &&
	    !(ct->flags & CORE_TASK_ASSOCED))
		told.queue = m->enclaves[ct->enclave].default_queue;
	if (told.online && !queue_there(ct->enclave, told.queue)) {
		told.queue = m->enclaves[ct->enclave].default_queue;
		told.elsewhere = told.queue == GHOST_QUEUE_NONE ||
				 !queue_there(ct->enclave, told.queue);
	}
	for (uint32_t cpu = 0; told.elsewhere && cpu < m->nr_cpus; cpu++)
		m->before[cpu] = *port_cpu_page(ct->enclave, cpu);
	told.page = told.elsewhere ? NULL : port_cpu_page(ct->enclave, told.queue);
	if (told.page)
		tell_queue(m, &told, told.page,
			   port_cpu_page(ct->enclave, told.page->queue.wake[0]));
	m->in_event = true;
	return told;
}

static void tell_end(struct machine *m, struct told *told, uint32_t type, uint32_t numbers,
		     bool waits)
{
	const struct core_task *ct = &m->tasks[slot_of(told->t)];
	const struct ghost_queue *q;

	m->in_event = false;
	if (told->elsewhere && ct->queue < m->nr_cpus) {
		told->queue = ct->queue;
		tell_queue(m, told, &m->before[told->queue],
			   &m->before[m->before[told->queue].queue.wake[0]]);
	}
	q = told->page ? &told->page->queue : NULL;
	if (q && q->head != told->head) {
		machine_charge(m, cost(m)->message_ns);
		machine_trace(
			m, TRACE_MSG, m->this_cpu, told->t,
			(uint64_t)port_ring(ct->enclave, q->first + (told->head & (q->len - 1)))->type
					<< 32 |
				told->queue);
	} else if (q && q->overflow != told->overflow) {
		machine_trace(m, TRACE_OVERFLOW, m->this_cpu, told->t, told->queue);
	}
	if (m->law)
		law_told(m, &(struct law_told){
				    .t = told->t,
				    .slot = slot_of(told->t),
				    .page = told->page,
				    .agent = told->agent,
				    .queue = told->queue,
				    .head = told->head,
				    .overflow = told->overflow,
				    .agent_seq = told->agent_seq,
				    .seq = told->before.seq,
				    .type = told->online ? type : 0,
				    .numbers = numbers,
				    .waits = waits,
			    });
}

/* --- threads in lists -------------------------------------------------------------- */

static void place(struct thread *t, enum thread_place where, struct list *l, bool first)
{
	t->place = where;
	if (first)
		list_add_first(l, &t->link);
	else
		list_add(l, &t->link);
}

/* In the fallback's queue, which is in order of time; bpf: insert_fallback(). */
static void place_in_fallback(struct machine *m, struct thread *t, uint64_t when)
{
	struct list *l = &m->enclave[who_enclave(t->who)].fallback;
	struct node *after = l->head.prev;

	t->who = who_at(t->who, when);
	while (after != &l->head &&
	       (int64_t)(list_entry(after, struct thread, link)->who - t->who) > 0)
		after = after->prev;
	t->place = PLACE_FALLBACK;
	t->stamp = ++m->stamp;
	list_insert(l, &t->link, after);
}

static void unplace(struct machine *m, struct thread *t)
{
	if (t->place == PLACE_FAIR) {
		m->cpu[t->cpu].nr_fair--;
		m->nr_fair_waiting--;
	}
	list_del(&t->link);
}

/* A CPU on which @t may run; the one where it was if that is one. */
static uint32_t allowed_cpu(struct machine *m, const struct thread *t)
{
	const struct ghost_cpuset *cpus = &m->masks[t->mask].cpus;

	if (m->cpu[t->cpu].online && ghost_cpuset_has(cpus, t->cpu))
		return t->cpu;
	ghost_cpuset_for_each(cpu, cpus) if ((uint32_t)cpu < m->nr_cpus &&
					     m->cpu[cpu].online) return cpu;
	return GHOST_CPU_NONE;
}

/* --- the fair class ------------------------------------------------------------------ */

static bool fair_wants(const struct machine *m, const struct cpu *c)
{
	return c->fair_until > m->now || c->fair.nr;
}

bool cpu_above(const struct machine *m, uint32_t cpu)
{
	const struct cpu *c = &m->cpu[cpu];

	return fair_wants(m, c) || c->rt.nr || (c->cur && c->cur->class_ != CLASS_EXT);
}

/* Somebody of the fair class came to @cpu: whoever is below makes room. */
static void fair_arrives(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];

	/* An agent that spins there hears of it (bpf: fair_comes()), and goes when it likes. */
	cpu_wanted(cpu);
	m->news = true;
	if (!c->cur || c->cur->class_ == CLASS_EXT)
		cpu_resched(m, cpu, cpu == m->this_cpu ? 0 : cost(m)->ipi_ns);
}

static void fair_enqueue(struct machine *m, struct thread *t)
{
	uint32_t best = allowed_cpu(m, t);
	const struct ghost_cpuset *cpus = &m->masks[t->mask].cpus;

	if (best == GHOST_CPU_NONE) {
		machine_break(m, "thread %u of the fair class may run on no CPU", t->tid);
		return;
	}
	/* The first idle CPU from where it was on, else where it was. */
	for (uint32_t i = 0; i < m->nr_cpus; i++) {
		uint32_t cpu = (best + i) % m->nr_cpus;
		const struct cpu *c = &m->cpu[cpu];

		if (c->online && !c->fair.nr && c->fair_until <= m->now &&
		    !(c->cur && c->cur->class_ != CLASS_EXT) && ghost_cpuset_has(cpus, cpu)) {
			best = cpu;
			break;
		}
	}
	t->cpu = best;
	t->slice_ns = SIM_FAIR_SLICE_NS;
	place(t, PLACE_FAIR, &m->cpu[best].fair, false);
	m->cpu[best].nr_fair++;
	m->nr_fair_waiting++;
	fair_arrives(m, best);
}

/* A CPU without a thread of the fair class takes one that waits elsewhere. */
static void fair_steal(struct machine *m, uint32_t cpu)
{
	if (!m->nr_fair_waiting)
		return;
	for (uint32_t i = 1; i < m->nr_cpus; i++) {
		struct cpu *c = &m->cpu[(cpu + i) % m->nr_cpus];

		list_for_each(n, save, &c->fair) {
			struct thread *t = list_entry(n, struct thread, link);

			if (!thread_on(m, t, cpu))
				continue;
			unplace(m, t);
			t->cpu = cpu;
			place(t, PLACE_FAIR, &m->cpu[cpu].fair, false);
			m->cpu[cpu].nr_fair++;
			m->nr_fair_waiting++;
			return;
		}
	}
}

void cpu_fair_burst(struct machine *m, uint32_t cpu, uint64_t ns)
{
	struct cpu *c = &m->cpu[cpu];

	if (!c->online || !ns)
		return;
	/* Behind an agent that spins it waits. */
	if (c->rt.nr || (c->cur && c->cur->class_ == CLASS_RT)) {
		c->fair_late_ns += ns;
		cpu_wanted(cpu);
		m->news = true;
		return;
	}
	c->fair_until = (c->fair_until > m->now ? c->fair_until : m->now) + ns;
	c->fair_ns += ns;
	m->this_cpu = cpu;
	cpu_resched(m, cpu, 0);
}

/* --- the real-time class --------------------------------------------------------- */

static void rt_enqueue(struct machine *m, struct thread *t)
{
	uint32_t cpu = allowed_cpu(m, t);

	if (cpu == GHOST_CPU_NONE) {
		machine_break(m, "thread %u of the real-time class may run on no CPU", t->tid);
		return;
	}
	t->cpu = cpu;
	place(t, PLACE_RT, &m->cpu[cpu].rt, false);
	if (!m->cpu[cpu].cur || m->cpu[cpu].cur->class_ != CLASS_RT)
		cpu_resched(m, cpu, cpu == m->this_cpu ? 0 : cost(m)->ipi_ns);
}

/* --- enqueue: ops.enqueue of bpf/ghost.bpf.c ------------------------------------------- */

/* On the queue of its own CPU, which looks if it idles (rq_owned_post_enq()). */
static void insert_local(struct machine *m, struct thread *t, bool first)
{
	place(t, PLACE_LOCAL, &m->cpu[t->cpu].local, first);
	if (m->cpu[t->cpu].idle)
		cpu_resched(m, t->cpu, t->cpu == m->this_cpu ? 0 : cost(m)->ipi_ns);
}

static void insert_global(struct machine *m, struct thread *t)
{
	if (t->last) {
		t->slice_ns = FALLBACK_SLICE_NS;
		insert_local(m, t, false);
		return;
	}
	place(t, PLACE_GLOBAL, &m->global, false);
	t->slice_ns = FALLBACK_SLICE_NS;
	ghost_cpuset_for_each(cpu, &m->masks[t->mask].cpus)
	{
		if ((uint32_t)cpu >= m->nr_cpus)
			break;
		if (m->cpu[cpu].idle && m->cpu[cpu].online &&
		    (!t->confined || t->cpu == (uint32_t)cpu)) {
			port_kick(cpu);
			return;
		}
	}
}

static void enqueue_agent(struct machine *m, struct thread *t, bool woken)
{
	uint32_t enclave = who_enclave(t->who), cpu = who_index(t->who);

	t->slice_ns = AGENT_SLICE_NS;
	switch (agent_enqueue(enclave, cpu, woken)) {
	case AGENT_BEHIND:
		insert_local(m, t, false);
		return;
	case AGENT_PARK:
		place(t, PLACE_PARKED, &m->parked[cpu], false);
		return;
	case AGENT_TURN:
		t->slice_ns = FALLBACK_SLICE_NS;
		place_in_fallback(m, t, event_fallback_guest(enclave));
		break;
	case AGENT_FIRST:
		insert_local(m, t, true);
		break;
	}
	port_kick(t->cpu);
}

/* The insertion that the verdict asks for has come about. */
void kernel_arrive(struct machine *m, struct thread *t)
{
	uint32_t enclave = who_enclave(t->who);
	struct cpu *c = &m->cpu[t->cpu];

	if (t->place != PLACE_ARRIVES)
		return;
	m->this_cpu = t->cpu;
	switch (t->to) {
	case PLACE_CUSTODY:
		t->slice_ns = FALLBACK_SLICE_NS;
		t->stamp = ++m->stamp;
		place(t, PLACE_CUSTODY, &m->enclave[enclave].custody, false);
		break;
	case PLACE_FALLBACK:
		t->slice_ns = event_fallback_slice(slot_of(t));
		place_in_fallback(m, t, event_fallback_place(slot_of(t)));
		event_fallback_wake(slot_of(t), t->cpu);
		break;
	default:
		insert_global(m, t);
		break;
	}
	c->locked = false;
	/* What it had to do meanwhile waited for the lock. */
	if (c->resched_at != SIM_FOREVER && c->resched_at <= m->now) {
		c->resched_at = SIM_FOREVER;
		cpu_resched(m, t->cpu, 0);
	}
}

/* The message that this enqueue must make: its type, or 0; and how many numbers. */
static uint32_t expected(const struct thread *t, enum thread_place from, int verdict,
			 uint32_t *ret_numbers)
{
	*ret_numbers = 1;
	if (verdict != EVENT_CUSTODY)
		return 0;
	if (!t->told)
		return GHOST_MSG_TASK_NEW;
	if (from == PLACE_ASLEEP)
		return GHOST_MSG_TASK_WAKEUP;
	/* Taken out of custody and put back: the change itself was the message. */
	if (from == PLACE_CUSTODY && !t->claimed) {
		*ret_numbers = 0;
		return 0;
	}
	if (t->yielded)
		return GHOST_MSG_TASK_YIELD;
	return t->cause == EVENT_COMMIT_QUIET ? 0 : GHOST_MSG_TASK_PREEMPT;
}

static void enqueue_member(struct machine *m, struct thread *t, enum thread_place from,
			   enum event_cause cause)
{
	struct told told = tell_begin(m, t);
	uint32_t type, numbers;
	uint64_t window;
	int verdict;

	t->cause = cause;
	verdict = event_task_enqueue(slot_of(t), cause, t->cpu, t->confined, t->runtime_ns);
	law_waits(m, t, verdict == EVENT_GLOBAL);
	type = expected(t, from, verdict, &numbers);
	t->to = verdict == EVENT_CUSTODY  ? PLACE_CUSTODY :
		verdict == EVENT_FALLBACK ? PLACE_FALLBACK :
					    PLACE_GLOBAL;
	tell_end(m, &told, type, numbers, true);
	t->told = true;
	t->claimed = false;
	t->yielded = false;
	t->place = PLACE_ARRIVES;
	t->current = from == PLACE_RUNS;
	/* Message first, then the list: in between others may act on what they have read. */
	window = m->opt.window_ns ? random_below(&m->random, m->opt.window_ns) + 1 : 0;
	if (!window || m->cpu[t->cpu].locked) {
		kernel_arrive(m, t);
		return;
	}
	m->cpu[t->cpu].locked = true;
	machine_post(m, m->now + window, EV_INSERT, t->tid, 0);
}

/* @t is in no list; @from: where it was. */
static void enqueue(struct machine *m, struct thread *t, enum thread_place from,
		    enum event_cause cause)
{
	t->immed = false;
	if (from != PLACE_CUSTODY && from != PLACE_ARRIVES)
		t->waits_ns = m->now;
	if (t->class_ == CLASS_FAIR) {
		fair_enqueue(m, t);
		return;
	}
	if (t->class_ == CLASS_RT) {
		rt_enqueue(m, t);
		return;
	}
	/* Not by put_back(): it comes back where it ran, whatever it may do from now on. */
	if (!(from == PLACE_RUNS && cause == EVENT_CLASS) &&
	    (t->cpu >= m->nr_cpus || !m->cpu[t->cpu].online || !thread_on(m, t, t->cpu))) {
		uint32_t cpu = allowed_cpu(m, t);

		if (cpu != GHOST_CPU_NONE)
			t->cpu = cpu;
	}
	switch (who_kind(t->who)) {
	case WHO_AGENT:
		enqueue_agent(m, t, cause == EVENT_WAKEUP);
		break;
	case WHO_MEMBER:
		enqueue_member(m, t, from, cause);
		break;
	default:
		insert_global(m, t);
	}
}

/* enqueue_cause() of bpf/ghost.bpf.c, where the kernel gives no reason. */
static enum event_cause slice_cause(uint32_t cpu, const struct thread *t)
{
	return is_member(t) ? cpu_stop_cause(cpu, slot_of(t)) : EVENT_SLICE;
}

static void reenqueue(struct machine *m, struct thread *t, enum event_cause cause)
{
	enum thread_place from = t->place;

	unplace(m, t);
	if (++t->reenqs > SIM_REENQ_MAX - 2)
		machine_break(m, "thread %u was taken back %u times without running", t->tid,
			      t->reenqs);
	enqueue(m, t, from, cause);
}

void kernel_reenqueue(struct machine *m, uint32_t enclave, uint32_t which)
{
	uint64_t begin = m->stamp;

	m->enclave[enclave].reenqueue[which] = false;
	/* Those that come back meanwhile, wherever in the list, are left (nldsq_cursor_next_task(), 7.3). */
	list_for_each(n, save, waiting_list(enclave, which)) {
		struct thread *t = list_entry(n, struct thread, link);

		if (t->stamp <= begin)
			reenqueue(m, t, EVENT_RESTORE);
	}
}

/* --- waking ------------------------------------------------------------------------------ */

/* It sleeps, or is new, and becomes runnable. */
static void thread_activate(struct machine *m, struct thread *t)
{
	t->woke = true;
	machine_trace(m, TRACE_WAKE, t->cpu, t, t->cpu);
	machine_charge(m, cost(m)->wakeup_ns);
	enqueue(m, t, PLACE_ASLEEP, EVENT_WAKEUP);
	/* Whatever became of the thread: an idle CPU whose run queue it came to looks (7.3). */
	if (t->class_ == CLASS_EXT && m->cpu[t->cpu].idle)
		cpu_resched(m, t->cpu, t->cpu == m->this_cpu ? 0 : cost(m)->ipi_ns);
}

void thread_wake(struct machine *m, struct thread *t)
{
	if (t->place == PLACE_GONE)
		return;
	if (t->place != PLACE_ASLEEP || t->stopped) {
		t->wake_pending = true;
		return;
	}
	t->timer++;
	thread_activate(m, t);
}

/* --- coming and going -------------------------------------------------------------------------- */

struct thread *thread_by_tid(const struct machine *m, uint32_t tid)
{
	return tid && tid < m->nr_threads ? m->threads[tid] : NULL;
}

static bool grow(struct machine *m)
{
	uint32_t size = m->threads_size ? m->threads_size * 2 : 64;
	struct thread **threads = realloc(m->threads, size * sizeof(struct thread *));
	uint64_t *joining;
	uint32_t *free_tids;

	if (!threads)
		return false;
	m->threads = threads;
	free_tids = realloc(m->free_tids, size * sizeof(*free_tids));
	if (!free_tids)
		return false;
	m->free_tids = free_tids;
	joining = realloc(m->joining, size * sizeof(*joining));
	if (!joining)
		return false;
	memset(joining + m->threads_size, 0, (size - m->threads_size) * sizeof(*joining));
	m->joining = joining;
	m->threads_size = size;
	return true;
}

struct thread *thread_new(struct machine *m, const struct behaviour *b, void *data, uint32_t mask)
{
	struct thread *t = m->free_threads;

	if (m->nr_threads >= m->threads_size && !grow(m))
		return NULL;
	if (t) {
		m->free_threads = (struct thread *)t->link.next;
	} else {
		t = malloc(sizeof(*t));
		if (!t)
			return NULL;
	}
	memset(t, 0, sizeof(*t));
	t->behaviour = b;
	t->data = data;
	t->mask = mask;
	t->queue = NONE16;
	t->ran_on = NONE16;
	/* The oldest number first, as pids come round. */
	if (m->opt.reuse_tids && m->nr_free_tids) {
		t->tid = m->free_tids[0];
		memmove(m->free_tids, m->free_tids + 1, --m->nr_free_tids * sizeof(uint32_t));
	} else {
		t->tid = m->nr_threads++;
	}
	t->timer = m->order++; /* a timer of its predecessor never fits */
	t->place = PLACE_ASLEEP;
	t->slice_ns = SIM_DEFAULT_SLICE_NS;
	t->cpu = t->tid % m->nr_cpus;
	m->threads[t->tid] = t;
	m->nr_live++;
	t->cpu = allowed_cpu(m, t);
	machine_trace(m, TRACE_NEW, t->cpu, t, mask);
	return t;
}

static void thread_free(struct machine *m, struct thread *t)
{
	m->threads[t->tid] = NULL;
	if (m->opt.reuse_tids)
		m->free_tids[m->nr_free_tids++] = t->tid;
	m->nr_live--;
	free(t->hint);
	t->hint = NULL;
	t->link.next = (struct node *)m->free_threads;
	m->free_threads = t;
}

/* What ops.set_weight is told of a nice value: the kernel's weights, as cgroups count (100 is 0). */
static uint32_t weight_of(int nice)
{
	static const uint32_t weights[40] = {
		88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
		9548,  7620,  6100,  4904,  3906,  3121,  2501,	 1991,	1586,  1277,
		1024,  820,   655,   526,   423,   335,	  272,	 215,	172,   137,
		110,   87,    70,    56,    45,	   36,	  29,	 23,	18,    15,
	};

	return (weights[(nice + 20) % 40] * 100 + 512) / 1024;
}

static void spinner_gone(struct thread *t)
{
	uint64_t who = t->spinner;

	t->spinner = 0;
	if (who)
		enclave_spinner_gone(who);
}

/* ops.enable: who is it to us? @parent: forks it now; NULL: it is there and changes class. */
static void enable(struct machine *m, struct thread *t, const struct thread *parent, bool runnable)
{
	uint64_t who = m->joining[t->tid];
	struct ghost_status *st;
	uint32_t slot, enclave;

	m->joining[t->tid] = 0;
	if (who && !enclave_expects(who)) {
		who = 0;
		parent = NULL;
	}
	if (!who && parent && is_member(parent))
		who = parent->who;
	enclave = who_enclave(who);
	spinner_gone(t);
	t->who = 0;
	if (who_kind(who) == WHO_AGENT) {
		if (agent_attach(enclave, who_index(who), t->tid,
				 m->masks[t->mask].nr == 1 && thread_on(m, t, who_index(who)), 0))
			t->who = WHO(WHO_AGENT, enclave, who_index(who));
		return;
	}
	if (who_kind(who) != WHO_MEMBER)
		return;
	slot = event_task_take(enclave, t->tid);
	st = slot ? port_status(enclave, slot) : NULL;
	if (!st)
		return;
	st->tgid = t->tid;
	st->parent_tid = parent ? parent->tid : 0;
	st->nice = t->nice;
	st->weight = weight_of(t->nice);
	memcpy(st->cpus, m->masks[t->mask].cpus.word, sizeof(st->cpus));
	m->refs[slot] = t;
	port_task_describe(slot, st);
	t->who = WHO(WHO_MEMBER, enclave, slot);
	t->told = false;
	if (m->law)
		law_joined(m, t, slot);
	machine_trace(m, TRACE_JOIN, t->cpu, t, enclave);
	if (runnable) {
		event_task_bound(slot, 1);
	} else {
		struct told told = tell_begin(m, t);

		event_task_bound(slot, 0);
		tell_end(m, &told, GHOST_MSG_TASK_NEW, 1, false);
		t->told = true;
	}
}

/* ops.disable */
static void disable(struct machine *m, struct thread *t, bool dead)
{
	uint64_t who = t->who;

	if (dead)
		spinner_gone(t);
	if (who_kind(who) == WHO_AGENT)
		enclave_agent_gone(who_enclave(who), who_index(who));
	if (who_kind(who) == WHO_MEMBER) {
		struct told told = tell_begin(m, t);

		m->refs[slot_of(t)] = NULL;
		event_task_owed(slot_of(t), t->runtime_ns);
		tell_end(m, &told, t->told ? 0 : GHOST_MSG_TASK_NEW, !t->told, false);
		t->told = true;
		told = tell_begin(m, t);
		event_task_gone(slot_of(t), dead, t->runtime_ns);
		tell_end(m, &told, dead ? GHOST_MSG_TASK_DEAD : GHOST_MSG_TASK_DEPARTED, 1, false);
		machine_trace(m, TRACE_LEAVE, t->cpu, t, dead);
	}
	t->who = 0;
}

struct thread *thread_fork(struct machine *m, const struct behaviour *b, void *data)
{
	struct thread *parent = m->this_thread;
	struct thread *t = thread_new(m, b, data, parent->mask);

	if (!t)
		return NULL;
	t->nice = parent->nice;
	t->cpu = parent->cpu;
	t->class_ = parent->class_;
	if (t->class_ == CLASS_EXT)
		enable(m, t, parent, true);
	thread_activate(m, t);
	return t;
}

void thread_hint(struct machine *m, struct thread *t, const struct ghost_hint_entry *hint)
{
	uint32_t seq = t->hint ? t->hint->seq : 0;

	if (!t->hint)
		t->hint = malloc(sizeof(*t->hint));
	if (!t->hint) {
		machine_break(m, "no memory for a hint");
		return;
	}
	*t->hint = *hint;
	t->hint->tid = t->tid;
	t->hint->seq = seq + 2;
	/* It wakes nobody, but who spins sees it. */
	m->news = true;
}

/* --- a CPU and its thread ------------------------------------------------------------------------ */

/* An agent that spins has something to look at, or ends. */
static void thread_unpoll(struct machine *m, struct thread *t)
{
	m->nr_polls -= t->polls;
	t->polls = false;
}

/* What its thread has computed since we last looked. */
static void account(struct machine *m, struct cpu *c)
{
	struct thread *t = c->cur;
	uint64_t used;

	if (!t || m->now <= c->run_from)
		return;
	used = m->now - c->run_from;
	c->debt_ns += (m->now / SIM_TICK_NS - c->run_from / SIM_TICK_NS) * cost(m)->tick_ns;
	c->run_from = m->now;
	t->runtime_ns += used;
	t->left_ns -= used < t->left_ns ? used : t->left_ns;
	if (t->slice_ns != GHOST_SLICE_INF)
		t->slice_ns -= used < t->slice_ns ? used : t->slice_ns;
	if (t->agent)
		c->agent_ns += used;
	else if (t->class_ == CLASS_EXT)
		c->busy_ns += used;
	else
		c->fair_ns += used;
}

static uint64_t next_tick(uint32_t cpu, uint64_t time)
{
	/* Ticks of CPUs are spread over the period. */
	uint64_t offset = cpu * 61803ull % SIM_TICK_NS;

	if (time <= offset)
		return offset;
	return (time - offset + SIM_TICK_NS - 1) / SIM_TICK_NS * SIM_TICK_NS + offset;
}

/*
 * An agent that spins goes on until there is news for it, see threads_poll(), or
 * until its time has come; but it may look at the time for itself as well.
 */
static uint64_t poll_ns(const struct thread *t, uint64_t from)
{
	if (t->poll_ns <= from)
		return SIM_POLL_MIN_NS;
	return t->poll_ns - from < SIM_POLL_NS ? t->poll_ns - from : SIM_POLL_NS;
}

/* Its thread goes on, after whatever the kernel still has to do there. */
static void cpu_go_on(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t = c->cur;
	uint64_t end;

	if (c->run_from < m->now)
		c->run_from = m->now;
	c->run_from += c->debt_ns;
	c->kernel_ns += c->debt_ns;
	c->debt_ns = 0;
	end = c->run_from + (t->polls ? poll_ns(t, c->run_from) : t->left_ns);
	/* A slice ends at a tick, if somebody could have the CPU then: ours end in any case. */
	if (t->class_ != CLASS_RT && t->slice_ns != GHOST_SLICE_INF && t->slice_ns < t->left_ns) {
		uint64_t tick = next_tick(cpu, c->run_from + t->slice_ns);

		if (tick < end)
			end = tick;
	}
	machine_post(m, end, EV_RUN, cpu, ++c->gen);
}

void cpu_resched(struct machine *m, uint32_t cpu, uint64_t delay_ns)
{
	struct cpu *c = &m->cpu[cpu];

	if (c->resched_at <= m->now + delay_ns)
		return;
	c->resched_at = m->now + delay_ns;
	machine_post(m, c->resched_at, EV_RESCHED, cpu, 0);
}

static uint64_t migration_ns(struct machine *m, const struct thread *t, uint32_t cpu)
{
	if (t->ran_on == NONE16 || t->ran_on == cpu)
		return 0;
	switch (topology_distance(&m->topo, t->ran_on, cpu)) {
	case GHOST_DISTANCE_CORE:
		return cost(m)->migrate_core_ns;
	case GHOST_DISTANCE_CACHE:
		return cost(m)->migrate_cache_ns;
	case GHOST_DISTANCE_NODE:
		return cost(m)->migrate_node_ns;
	default:
		return cost(m)->migrate_remote_ns;
	}
}

/* Leaving the idle thread, for one of our class if @ours: ops.update_idle(false). */
static void cpu_leaves_idle(struct machine *m, uint32_t cpu, bool ours)
{
	struct cpu *c = &m->cpu[cpu];

	if (!c->idle)
		return;
	c->idle = false;
	cpu_busy(cpu, ours);
}

/* ops.running */
static void cpu_runs(struct machine *m, uint32_t cpu, struct thread *t)
{
	struct told told;
	bool tell;

	cpu_ours(cpu);
	if (who_kind(t->who) == WHO_AGENT)
		agent_running(who_index(t->who), t->tid);
	if (!is_member(t))
		return;
	told = tell_begin(m, t);
	tell = m->tasks[slot_of(t)].run & GHOST_RUN_SEND_TASK_ON_CPU &&
	       (told.before.state == CORE_TASK_LATCHED || told.before.state >= CORE_TASK_CLAIMED);
	event_task_running(slot_of(t), cpu);
	tell_end(m, &told, tell ? GHOST_MSG_TASK_ON_CPU : 0, tell, false);
}

static void cpu_start(struct machine *m, uint32_t cpu, struct thread *t)
{
	struct cpu *c = &m->cpu[cpu];

	cpu_leaves_idle(m, cpu, t->class_ == CLASS_EXT || c->local.nr);
	t->place = PLACE_RUNS;
	t->cpu = cpu;
	t->reenqs = 0;
	if (t->unconfine)
		t->confined = t->unconfine = false;
	c->cur = t;
	if (c->last_tid != t->tid)
		c->debt_ns += cost(m)->switch_ns;
	c->debt_ns += migration_ns(m, t, cpu);
	c->last_tid = t->tid;
	t->ran_on = cpu;
	if (c->run_from < c->work_until)
		c->run_from = c->work_until;
	machine_trace(m, TRACE_RUN, cpu, t, t->class_);
	if (t->class_ == CLASS_EXT)
		cpu_runs(m, cpu, t);
	if (m->law)
		law_runs(m, t, cpu);
	if (t->woke && t->class_ == CLASS_EXT && is_member(t)) {
		uint64_t from = c->run_from > m->now ? c->run_from : m->now;
		uint64_t waited = from + c->debt_ns - t->waits_ns;

		hist_add(&m->wakeup, waited);
		if (t->behaviour->ran)
			t->behaviour->ran(m, t, waited);
	}
	t->woke = false;
	cpu_go_on(m, cpu);
}

/* Its thread, which could go on, leaves the CPU. */
static void cpu_put(struct machine *m, uint32_t cpu, enum trace_stop why, enum event_cause cause)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t = c->cur;

	c->cur = NULL;
	c->gen++;
	/* What the kernel was still to do for it is done for whoever comes next. */
	if (c->run_from > m->now)
		c->debt_ns += c->run_from - m->now;
	c->run_from = m->now;
	machine_trace(m, TRACE_STOP, cpu, t, why);
	enqueue(m, t, PLACE_RUNS, cause);
	t->last = false;
}

/* A higher class has the CPU: whoever of ours is there, or about to be, goes. */
static void ext_leaves(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t = c->cur;

	if (t && t->class_ == CLASS_EXT) {
		/* Slice left: preempted. IMMED ones come back to us, others wait at the head. */
		if (t->slice_ns && !t->immed) {
			c->cur = NULL;
			c->gen++;
			if (c->run_from > m->now)
				c->debt_ns += c->run_from - m->now;
			c->run_from = m->now;
			machine_trace(m, TRACE_STOP, cpu, t, STOP_PREEMPTED);
			t->waits_ns = m->now;
			place(t, PLACE_LOCAL, &c->local, true);
		} else {
			cpu_put(m, cpu, STOP_PREEMPTED,
				t->slice_ns ? EVENT_CLASS : slice_cause(cpu, t));
		}
	}
	list_for_each(n, save, &c->local) {
		struct thread *waits = list_entry(n, struct thread, link);

		if (waits->immed)
			reenqueue(m, waits, EVENT_LATCH);
	}
}

/* The real-time class has the CPU until its thread blocks. */
static void schedule_rt(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t;

	ext_leaves(m, cpu);
	if (c->cur && c->cur->class_ == CLASS_RT) {
		cpu_go_on(m, cpu);
		return;
	}
	/* What the fair class was about waits. */
	if (c->fair_until > m->now) {
		c->fair_late_ns += c->fair_until - m->now;
		c->fair_ns -= c->fair_until - m->now;
		c->fair_until = 0;
	}
	if (c->cur)
		cpu_put(m, cpu, STOP_PREEMPTED, EVENT_SLICE);
	t = list_first(&c->rt, struct thread, link);
	unplace(m, t);
	cpu_start(m, cpu, t);
}

static void schedule_fair(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t;

	ext_leaves(m, cpu);
	t = c->cur;
	if (c->fair_until > m->now) {
		if (t)
			cpu_put(m, cpu, STOP_PREEMPTED, EVENT_SLICE);
		cpu_leaves_idle(m, cpu, c->local.nr);
		c->last_tid = 0;
		cpu_resched(m, cpu, c->fair_until - m->now);
		return;
	}
	if (t && t->slice_ns) {
		cpu_go_on(m, cpu);
		return;
	}
	if (t)
		cpu_put(m, cpu, STOP_SLICE, EVENT_SLICE);
	t = list_first(&c->fair, struct thread, link);
	if (!t)
		return; /* it went to an idle CPU */
	unplace(m, t);
	t->slice_ns = SIM_FAIR_SLICE_NS;
	cpu_start(m, cpu, t);
}

/* What became of @slot, which was @before: traced, and held against the laws. */
static void txn_ended(struct machine *m, uint32_t cpu, const struct ghost_txn *before,
		      const struct ghost_txn *slot, enum law_commit kind)
{
	uint32_t state = slot->state;

	if (before->state != GHOST_TXN_READY || state == GHOST_TXN_READY)
		return;
	if (state < GHOST_TXN_NR_STATES)
		m->nr_txn[state]++;
	machine_trace(m, TRACE_TXN, cpu, NULL, (uint64_t)before->slot << 8 | state);
	if (m->law)
		law_committed(m, cpu, before, state, kind);
}

/* ops.dispatch, between two looks at the local queue. */
static void dispatch(struct machine *m, uint32_t cpu, struct thread *prev)
{
	struct cpu *c = &m->cpu[cpu];
	const struct core_cpu *cc = &m->cpus[cpu];
	struct ghost_cpu *page = port_cpu_page(cc->enclave, cpu);
	struct ghost_cpu_rw *rw = port_cpu_rw(cc->enclave, cpu);
	struct ghost_cpu_rw before;

	if (!page || !rw) {
		cpu_dispatch(cpu, (struct port_thread *)prev);
		return;
	}
	before = *rw;
	if (m->law)
		law_commit_begin(m, cc->enclave, page->agent_seq);
	cpu_dispatch(cpu, (struct port_thread *)prev);
	if (before.txn.state == GHOST_TXN_READY && rw->txn.state != GHOST_TXN_READY)
		c->debt_ns += cost(m)->commit_ns;
	if (before.pick.state == GHOST_TXN_READY && rw->pick.state != GHOST_TXN_READY)
		c->debt_ns += cost(m)->commit_ns;
	txn_ended(m, cpu, &before.txn, &rw->txn, LAW_LOCAL);
	txn_ended(m, cpu, &before.pick, &rw->pick, LAW_PICK);
	if (m->law)
		law_commit_end(m, cc->enclave);
}

static void schedule_ext(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *prev = c->cur;
	struct thread *next;

	/* With slice left it has priority; what it was committed for comes after (7.3). */
	if (prev && prev->slice_ns) {
		cpu_go_on(m, cpu);
		return;
	}
	if (!c->local.nr && !take_first(&m->global, cpu, false)) {
		dispatch(m, cpu, prev);
		/* Somebody of a higher class came in the middle. */
		if (fair_wants(m, c) || !c->online) {
			cpu_resched(m, cpu, 0);
			return;
		}
		/* prev itself may have been moved off by what came in the middle. */
		prev = c->cur;
		if (prev && prev->slice_ns) {
			if (m->law)
				law_goes_on(m, cpu, prev);
			cpu_go_on(m, cpu);
			return;
		}
		if (!c->local.nr)
			take_first(&m->global, cpu, false);
	}
	next = list_first(&c->local, struct thread, link);
	if (next) {
		unplace(m, next);
		next->place = PLACE_RUNS; /* picked before prev is put */
	}
	/* SCX_ENQ_LAST: nobody else is there. */
	if (prev)
		prev->last = !next;
	if (prev)
		cpu_put(m, cpu, prev->act == ACT_YIELD ? STOP_YIELDED : STOP_SLICE,
			slice_cause(cpu, prev));
	if (next) {
		cpu_start(m, cpu, next);
		return;
	}
	if (!c->idle) {
		c->idle = true;
		m->news = true;
		c->last_tid = 0;
		c->kernel_ns += c->debt_ns;
		c->debt_ns = 0;
	}
	/* A thread put back in the meantime makes the CPU look again. */
	if (c->local.nr)
		cpu_resched(m, cpu, 0);
}

void cpu_schedule(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];

	m->this_cpu = cpu;
	m->this_thread = c->cur;
	c->resched_at = SIM_FOREVER;
	if (!c->online)
		return;
	if (c->locked) {
		c->resched_at = m->now; /* kernel_arrive() lets it look */
		return;
	}
	account(m, c);
	if (c->rt.nr || (c->cur && c->cur->class_ == CLASS_RT)) {
		schedule_rt(m, cpu);
		return;
	}
	if (c->fair_late_ns) {
		c->fair_until = (c->fair_until > m->now ? c->fair_until : m->now) + c->fair_late_ns;
		c->fair_ns += c->fair_late_ns;
		c->fair_late_ns = 0;
	}
	if (!fair_wants(m, c) && !(c->cur && c->cur->class_ == CLASS_FAIR))
		fair_steal(m, cpu);
	if (fair_wants(m, c)) {
		schedule_fair(m, cpu);
	} else if (c->cur && c->cur->class_ == CLASS_FAIR) {
		if (!c->cur->slice_ns)
			c->cur->slice_ns = SIM_FAIR_SLICE_NS;
		cpu_go_on(m, cpu);
	} else {
		m->in_dispatch = true;
		schedule_ext(m, cpu);
		m->in_dispatch = false;
	}
}

/* Its thread goes to sleep. */
static void cpu_block(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t = c->cur;

	c->cur = NULL;
	c->gen++;
	t->place = PLACE_ASLEEP;
	t->slice_ns = t->slice_ns ? t->slice_ns : 1;
	machine_trace(m, TRACE_STOP, cpu, t, STOP_BLOCKED);
	if (t->class_ == CLASS_EXT && is_member(t)) {
		struct told told = tell_begin(m, t);

		event_task_blocked(slot_of(t), cpu, t->runtime_ns);
		tell_end(m, &told, t->told ? GHOST_MSG_TASK_BLOCKED : GHOST_MSG_TASK_NEW, 1, false);
		t->told = true;
	}
	if (t->class_ == CLASS_EXT && who_kind(t->who) == WHO_AGENT)
		agent_sleeps(who_enclave(t->who), who_index(t->who), 1);
	t->yielded = false;
	cpu_schedule(m, cpu);
}

static void thread_end(struct machine *m, struct thread *t)
{
	t->place = PLACE_GONE;
	disable(m, t, true);
	if (t->behaviour->gone)
		t->behaviour->gone(m, t);
	machine_trace(m, TRACE_EXIT, t->cpu, t, 0);
	thread_free(m, t);
}

static void cpu_exit(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t = c->cur;

	c->cur = NULL;
	c->gen++;
	t->place = PLACE_GONE;
	machine_trace(m, TRACE_STOP, cpu, t, STOP_EXITED);
	/* The next thread buries it, after the switch (finish_task_switch()). */
	cpu_schedule(m, cpu);
	m->this_cpu = cpu;
	thread_end(m, t);
}

void cpu_run_end(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	struct thread *t = c->cur;
	struct action a;
	bool slice_ends;

	m->this_cpu = cpu;
	m->this_thread = t;
	account(m, c);
	if (t->polls) {
		thread_unpoll(m, t);
		t->left_ns = 0;
	}
	/* A slice that is used up is noticed at a tick, not before. */
	slice_ends = t->class_ != CLASS_RT && !t->slice_ns && next_tick(cpu, m->now) == m->now;
	/* Interrupts took some of its time. */
	if (c->debt_ns && t->left_ns && !slice_ends) {
		cpu_go_on(m, cpu);
		return;
	}
	while (!t->left_ns) {
		if (t->killed) {
			cpu_exit(m, cpu);
			return;
		}
		if (t->stopped) {
			cpu_block(m, cpu);
			return;
		}
		a = t->behaviour->next(m, t);
		t->act = a.act;
		if (a.act == ACT_RUN)
			t->left_ns = a.ns;
		/* It moved itself away. */
		if (c->cur != t)
			return;
		switch (a.act) {
		case ACT_RUN:
			break;
		case ACT_BLOCK:
		case ACT_SLEEP:
			c->debt_ns += cost(m)->syscall_ns;
			if (t->wake_pending) {
				t->wake_pending = false;
				break;
			}
			if (a.act == ACT_SLEEP)
				machine_post(m, m->now + a.ns, EV_TIMER, t->tid, ++t->timer);
			cpu_block(m, cpu);
			return;
		case ACT_YIELD:
			c->debt_ns += cost(m)->syscall_ns;
			if (t->class_ == CLASS_EXT) {
				if (is_member(t)) {
					event_task_yield(slot_of(t));
					t->yielded = true;
				} else if (who_kind(t->who) == WHO_AGENT) {
					agent_yield(who_index(t->who));
				}
			}
			t->slice_ns = 0;
			cpu_schedule(m, cpu);
			return;
		case ACT_EXIT:
			cpu_exit(m, cpu);
			return;
		}
	}
	if (slice_ends)
		cpu_schedule(m, cpu);
	else
		cpu_go_on(m, cpu);
}

/* --- attributes: sched_change of the kernel ------------------------------------------------ */

/* Take @t out of where it waits or runs; put_back() undoes it. */
static enum thread_place take_out(struct machine *m, struct thread *t)
{
	enum thread_place from;

	if (t->place == PLACE_ARRIVES)
		kernel_arrive(m, t);
	from = t->place;
	t->claimed = m->in_dispatch && from == PLACE_CUSTODY &&
		     m->tasks[slot_of(t)].state >= CORE_TASK_CLAIMED;
	if (from != PLACE_ASLEEP && from != PLACE_RUNS && from != PLACE_GONE)
		unplace(m, t);
	return from;
}

static void put_back(struct machine *m, struct thread *t, enum thread_place from)
{
	uint32_t cpu = t->cpu;
	struct cpu *c = &m->cpu[cpu];

	if (from == PLACE_ASLEEP || from == PLACE_GONE)
		return;
	if (from != PLACE_RUNS) {
		enqueue(m, t, from, slice_cause(cpu, t));
		return;
	}
	/* It goes on where it runs, unless it must not. */
	if (thread_on(m, t, cpu) && c->online)
		return;
	account(m, c);
	/*
	 * The stopper thread takes the CPU from it. One that was committed comes
	 * back to us by that, and only then is it moved, as one that waits (7.3).
	 */
	if (t->immed && t->slice_ns && c->online) {
		cpu_put(m, cpu, STOP_MOVED, EVENT_CLASS);
		put_back(m, t, take_out(m, t));
	} else {
		cpu_put(m, cpu, STOP_MOVED, slice_cause(cpu, t));
	}
	cpu_resched(m, cpu, 0);
}

void thread_affinity(struct machine *m, struct thread *t, const struct ghost_cpuset *cpus)
{
	uint32_t mask = machine_mask(m, cpus);
	enum thread_place from;
	struct ghost_status *st;

	/* As sched_setaffinity(): one CPU of it must be there. */
	if (t->place == PLACE_GONE || mask == t->mask)
		return;
	from = take_out(m, t);
	t->mask = mask;
	machine_trace(m, TRACE_CHANGE, t->cpu, t, 0);
	if (t->class_ == CLASS_EXT && is_member(t)) {
		struct told told = tell_begin(m, t);

		st = port_status(who_enclave(t->who), slot_of(t));
		memcpy(st->cpus, cpus->word, sizeof(st->cpus));
		event_task_affinity(slot_of(t));
		tell_end(m, &told, t->told ? GHOST_MSG_TASK_AFFINITY_CHANGED : 0, t->told, false);
	}
	put_back(m, t, from);
}

void thread_nice(struct machine *m, struct thread *t, int nice)
{
	enum thread_place from;
	struct ghost_status *st;

	if (t->place == PLACE_GONE || nice == t->nice)
		return;
	from = take_out(m, t);
	t->nice = nice;
	machine_trace(m, TRACE_CHANGE, t->cpu, t, 1);
	if (t->class_ == CLASS_EXT && is_member(t)) {
		struct told told = tell_begin(m, t);

		st = port_status(who_enclave(t->who), slot_of(t));
		st->nice = nice;
		st->weight = weight_of(nice);
		event_task_priority(slot_of(t));
		tell_end(m, &told, t->told ? GHOST_MSG_TASK_PRIORITY_CHANGED : 0, t->told, false);
	}
	put_back(m, t, from);
}

int thread_set_class(struct machine *m, struct thread *t, enum thread_class class_)
{
	enum thread_place from;
	struct cpu *c;

	if (!t || t->place == PLACE_GONE)
		return -ESRCH;
	from = take_out(m, t);
	c = &m->cpu[t->cpu];
	if (from == PLACE_RUNS)
		account(m, c);
	if (t->class_ == CLASS_EXT)
		disable(m, t, false);
	t->class_ = class_;
	if (class_ == CLASS_RT && from == PLACE_RUNS) {
		cpu_resched(m, t->cpu, 0);
		return 0;
	}
	t->immed = false;
	t->yielded = false;
	t->slice_ns = SIM_DEFAULT_SLICE_NS;
	if (class_ == CLASS_EXT)
		enable(m, t, NULL, from != PLACE_ASLEEP);
	if (from != PLACE_RUNS) {
		put_back(m, t, from == PLACE_CUSTODY ? PLACE_FAIR : from);
		return 0;
	}
	m->news = true;
	/* A running member is taken off its CPU, so that its agent hears of it (bpf: task_bind()). */
	if (class_ == CLASS_EXT && is_member(t))
		t->slice_ns = 0;
	cpu_resched(m, t->cpu, t->cpu == m->this_cpu ? 0 : cost(m)->ipi_ns);
	return 0;
}

void threads_poll(struct machine *m)
{
	m->news = false;
	for (uint32_t cpu = 0; cpu < m->nr_cpus && m->nr_polls; cpu++) {
		struct cpu *c = &m->cpu[cpu];
		struct thread *t = c->cur;

		if (!t || !t->polls)
			continue;
		thread_unpoll(m, t);
		account(m, c);
		/* What it was at until now was nothing. */
		t->left_ns = cost(m)->agent_number_ns;
		machine_post(m, m->now + t->left_ns, EV_RUN, cpu, ++c->gen);
	}
}

void thread_kill(struct machine *m, struct thread *t)
{
	struct cpu *c = &m->cpu[t->cpu];

	if (t->killed || t->place == PLACE_GONE)
		return;
	t->killed = true;
	t->stopped = false;
	t->left_ns = 0;
	thread_unpoll(m, t);
	if (t->place == PLACE_ASLEEP) {
		thread_wake(m, t);
	} else if (t->place == PLACE_RUNS && c->cur == t) {
		account(m, c);
		machine_post(m, m->now + cost(m)->ipi_ns, EV_RUN, t->cpu, ++c->gen);
	}
}

void thread_stop(struct machine *m, struct thread *t)
{
	if (t->killed || t->stopped || t->place == PLACE_GONE)
		return;
	t->stopped = true;
	if (t->polls)
		t->left_ns = 1; /* when it goes on it looks again */
	thread_unpoll(m, t);
	t->stop_left_ns = t->left_ns;
	if (t->place == PLACE_RUNS && m->cpu[t->cpu].cur == t) {
		account(m, &m->cpu[t->cpu]);
		t->stop_left_ns = t->left_ns;
		machine_post(m, m->now + cost(m)->ipi_ns, EV_RUN, t->cpu, ++m->cpu[t->cpu].gen);
	} else if (t->place == PLACE_ASLEEP) {
		t->stop_left_ns = 0;
		return;
	}
	t->left_ns = 0;
}

void thread_continue(struct machine *m, struct thread *t)
{
	bool woken = t->wake_pending;

	if (!t->stopped)
		return;
	t->stopped = false;
	t->left_ns = t->stop_left_ns;
	if (t->place != PLACE_ASLEEP)
		return;
	/* Asleep by itself already when it was stopped: it sleeps on, unless woken since. */
	if (t->act != ACT_RUN && !woken)
		return;
	t->wake_pending = false;
	thread_wake(m, t);
}

/* --- CPUs come and go ------------------------------------------------------------------------- */

/* Whoever may run nowhere else any more may run anywhere (select_fallback_rq()). */
static void break_affinity(struct machine *m, struct thread *t)
{
	const struct ghost_cpuset *cpus = &m->masks[t->mask].cpus;
	struct ghost_cpuset all = { 0 };

	ghost_cpuset_for_each(cpu,
			      cpus) if ((uint32_t)cpu < m->nr_cpus && m->cpu[cpu].online) return;
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		ghost_cpuset_add(&all, cpu);
	thread_affinity(m, t, &all);
}

int cpu_offline(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	uint32_t nr_online = 0;

	for (uint32_t i = 0; i < m->nr_cpus; i++)
		nr_online += m->cpu[i].online;
	if (!c->online || nr_online < 2)
		return -EBUSY;
	account(m, c);
	c->online = false;
	m->news = true;
	c->fair_late_ns = 0;
	m->online.word[cpu / 64] &= ~(1ull << (cpu % 64));
	c->fair_until = 0;
	machine_trace(m, TRACE_CPU, cpu, NULL, 0);
	for (uint32_t tid = 1; tid < m->nr_threads; tid++) {
		struct thread *t = m->threads[tid];

		if (!t || t->place == PLACE_GONE)
			continue;
		if (t->cpu == cpu)
			t->confined = false;
		break_affinity(m, t);
		if (t->cpu != cpu || t->place == PLACE_ASLEEP)
			continue;
		if (t->place == PLACE_RUNS)
			cpu_put(m, cpu, STOP_OFFLINE, slice_cause(cpu, t));
		else
			put_back(m, t, take_out(m, t));
	}
	c->idle = false;
	c->gen++;
	c->locked = false;
	c->resched_at = SIM_FOREVER;
	enclave_cpu_offline(cpu);
	return 0;
}

int cpu_online(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];

	if (c->online)
		return -EBUSY;
	c->online = true;
	c->idle = true;
	ghost_cpuset_add(&m->online, cpu);
	enclave_cpu_online(cpu);
	machine_trace(m, TRACE_CPU, cpu, NULL, 1);
	cpu_resched(m, cpu, 0);
	return 0;
}

/* --- requests, time, memory ------------------------------------------------------------------------ */

void kernel_admin(struct machine *m, struct ghost_ctl *ctl)
{
	ctl_admin(ctl);
}

/* Commits of others: as dispatch(), for all CPUs at once. */
static void commit(struct machine *m, struct ghost_ctl *ctl)
{
	struct ghost_txn *before = calloc(m->nr_cpus, sizeof(*before));
	struct ghost_cpu_rw *rw = port_cpu_rw(ctl->enclave, 0);

	if (!before || !rw) {
		free(before);
		ctl_agent(ctl);
		return;
	}
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		before[cpu] = rw[cpu].txn;
	if (m->law)
		law_commit_begin(m, ctl->enclave, 0);
	m->in_dispatch = true;
	ctl_agent(ctl);
	m->in_dispatch = false;
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		txn_ended(m, cpu, &before[cpu], &rw[cpu].txn, LAW_REMOTE);
	if (m->law)
		law_commit_end(m, ctl->enclave);
	free(before);
}

void kernel_agent(struct machine *m, struct ghost_ctl *ctl)
{
	if (ctl->op == GHOST_CTL_COMMIT)
		commit(m, ctl);
	else
		ctl_agent(ctl);
	if (m->law && ctl->op == GHOST_CTL_AGENT_ONLINE && !ctl->ret)
		law_online(m, ctl->enclave);
	/* Ticks are events only while somebody hears of them. */
	for (uint32_t cpu = 0; ctl->op == GHOST_CTL_DELIVER && cpu < m->nr_cpus; cpu++) {
		if (!(ctl->flags & GHOST_DELIVER_TICKS) || m->cpu[cpu].ticks)
			continue;
		m->cpu[cpu].ticks = true;
		machine_post(m, next_tick(cpu, m->now + 1), EV_TICK, cpu, 0);
	}
}

/* ops.tick */
void kernel_tick(struct machine *m, uint32_t cpu)
{
	const struct core_enclave *e = &m->enclaves[m->cpus[cpu].enclave];
	struct cpu *c = &m->cpu[cpu];

	c->ticks = m->cpus[cpu].enclave && e->state != GHOST_ENCLAVE_FREE &&
		   e->deliver & GHOST_DELIVER_TICKS;
	if (!c->ticks)
		return;
	m->this_cpu = cpu;
	if (runs_ext(c))
		cpu_tick(cpu, who_kind(c->cur->who) == WHO_AGENT);
	m->news = true;
	machine_post(m, m->now + SIM_TICK_NS, EV_TICK, cpu, 0);
}

/* A timer that an agent has armed. */
void kernel_alarm(struct machine *m, uint32_t cpu)
{
	uint64_t again;

	m->this_cpu = cpu;
	again = cpu_timer(cpu);
	m->news = true;
	if (again)
		machine_post(m, m->now + again, EV_ALARM, cpu, ++m->cpu[cpu].alarm);
}

/* A timer ends a slice. */
void kernel_slice(struct machine *m, uint32_t cpu)
{
	uint64_t again;

	m->this_cpu = m->cpu[cpu].slice_by;
	machine_charge(m, cost(m)->tick_ns);
	again = txn_slice_over(cpu);
	if (again)
		port_slice_timer_set(cpu, again);
}

/* Who was put on @cpu's queue and cannot run there at once is taken back (reenq_local(), 7.3). */
void kernel_reenq_local(struct machine *m, uint32_t cpu)
{
	struct cpu *c = &m->cpu[cpu];
	/* Whoever of ours runs there may go on, for all the kernel knows (rq_is_open()). */
	bool open = !cpu_above(m, cpu) && !c->cur, first = true;

	m->this_cpu = cpu;
	list_for_each(n, save, &c->local) {
		struct thread *t = list_entry(n, struct thread, link);

		if (t->immed && !(first && open))
			reenqueue(m, t, EVENT_LATCH);
		first = false;
	}
}

void kernel_heartbeat(struct machine *m)
{
	enclave_heartbeat();
	machine_post(m, m->now + HEARTBEAT_NS, EV_HEARTBEAT, 0, 0);
}

static void *zeroed(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static size_t size_status(const struct machine *m)
{
	return m->opt.capacity * sizeof(struct ghost_status);
}

int enclave_prepare(struct machine *m, uint32_t id, uint32_t ring_len)
{
	struct sim_enclave *e = &m->enclave[id];
	uint32_t nr = m->nr_cpus + GHOST_QUEUES_MADE;

	if (e->status)
		return -EEXIST;
	e->status = zeroed(size_status(m));
	e->cpu = zeroed(nr * sizeof(*e->cpu));
	e->rw = zeroed(nr * sizeof(*e->rw));
	e->ring = zeroed(ring_len * sizeof(*e->ring));
	e->ring_len = ring_len;
	if (m->nr_enclaves <= id)
		m->nr_enclaves = id + 1;
	if (e->status && e->cpu && e->rw && e->ring)
		return 0;
	enclave_discard(m, id);
	return -ENOMEM;
}

void enclave_discard(struct machine *m, uint32_t id)
{
	struct sim_enclave *e = &m->enclave[id];
	uint32_t nr = m->nr_cpus + GHOST_QUEUES_MADE;

	/* As the kernel's arrays, they stay while somebody has them mapped. */
	if (e->nr_mapped) {
		e->discarded = true;
		return;
	}
	if (e->status)
		munmap(e->status, size_status(m));
	if (e->cpu)
		munmap(e->cpu, nr * sizeof(*e->cpu));
	if (e->rw)
		munmap(e->rw, nr * sizeof(*e->rw));
	if (e->ring)
		munmap(e->ring, e->ring_len * sizeof(*e->ring));
	e->status = NULL;
	e->cpu = NULL;
	e->rw = NULL;
	e->ring = NULL;
	e->ring_len = 0;
	e->discarded = false;
}

void kernel_init(struct machine *m)
{
	the_machine = m;
	list_init(&m->global);
	for (uint32_t i = 0; i < GHOST_ENCLAVES_MAX; i++) {
		list_init(&m->enclave[i].custody);
		list_init(&m->enclave[i].fallback);
	}
	for (uint32_t i = 0; i < m->nr_cpus; i++)
		list_init(&m->parked[i]);
	ctl_admin(&(struct ghost_ctl){ .op = GHOST_CTL_INIT, .capacity = m->opt.capacity });
	machine_post(m, HEARTBEAT_NS, EV_HEARTBEAT, 0, 0);
}
