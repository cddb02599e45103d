// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the cases of the contract are written in: puppets, agents made by hand,
 * messages, waiting.
 * In: a world. Out: the functions of contract.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/contract/contract.h"

/* --- judging -------------------------------------------------------------------- */

void contract_fail(struct world *w, const char *file, int line, const char *format, ...)
{
	const char *name = strrchr(file, '/');
	va_list args;
	int n;

	n = snprintf(w->failure, sizeof(w->failure), "%s:%d: %s%s", name ? name + 1 : file, line,
		     w->policy ?: "", w->policy ? ": " : "");
	va_start(args, format);
	vsnprintf(w->failure + n, sizeof(w->failure) - n, format, args);
	va_end(args);
	/* Agents that were given up explain much. */
	n = strlen(w->failure);
	if (w->e) {
		const struct ghost_enclave_status *es = ghost_enclave_status(w->e);

		snprintf(w->failure + n, sizeof(w->failure) - n,
			 "; the enclave is %s (%s, %u, %llu ms)",
			 ghost_enclave_state_name(es->state),
			 ghost_lost_reason_name(es->lost_reason), es->lost_arg,
			 (unsigned long long)es->lost_ns / MS);
	}
	longjmp(w->out, 1);
}

void pass(struct world *w, uint32_t ms)
{
	w->backend->sleep(w->backend, ms * MS);
}

/* --- puppets -------------------------------------------------------------------- */

static void turn_round(struct puppet *p)
{
	struct ghost_cpuset cpus = p->cpus;

	p->cpus = p->there;
	p->there = cpus;
}

enum puppet_order puppet_next(struct puppet *p, uint32_t cpu)
{
	uint32_t nr = ghost_load_acquire(&p->nr_orders);
	bool first = nr != p->nr_obeyed;

	p->cpu = cpu;
	if (first)
		ghost_store_release(&p->nr_obeyed, nr);
	else if (p->order != PUPPET_BLOCK)
		ghost_store_release(&p->rounds, p->rounds + 1);
	switch (p->order) {
	case PUPPET_BLOCK:
		return PUPPET_BLOCK;
	case PUPPET_LEAVE:
		if (first)
			return PUPPET_LEAVE;
		/* fall through */
	case PUPPET_DOZE:
		return p->rounds % 2 ? PUPPET_SPIN : PUPPET_DOZE;
	case PUPPET_ROAM:
		if (p->rounds % 2)
			return PUPPET_LEAVE;
		/* fall through */
	case PUPPET_WANDER:
		turn_round(p);
		return PUPPET_MOVE;
	case PUPPET_HERD:
		turn_round(p);
		return PUPPET_HERD;
	default:
		return first ? p->order : PUPPET_SPIN;
	}
}

struct ghost_cpuset cpus_of(int a, int b)
{
	struct ghost_cpuset set = { 0 };

	ghost_cpuset_add(&set, a);
	if (b >= 0)
		ghost_cpuset_add(&set, b);
	return set;
}

static struct puppet *puppet_take(struct world *w)
{
	check(w, w->nr_puppets < PUPPETS_MAX);
	return &w->puppets[w->nr_puppets++];
}

struct puppet *puppet_new(struct world *w)
{
	struct puppet *p = puppet_take(w);

	p->order = PUPPET_BLOCK;
	check_is(w, w->ops->start(w, p), 0);
	until(w, w->ops->asleep(w, p));
	return p;
}

void order(struct world *w, struct puppet *p, enum puppet_order what)
{
	p->order = what;
	ghost_store_release(&p->nr_orders, p->nr_orders + 1);
	w->ops->poke(w, p);
}

struct puppet *order_fork(struct world *w, struct puppet *p)
{
	p->child = puppet_take(w);
	p->child->order = PUPPET_SPIN;
	order(w, p, PUPPET_FORK);
	return p->child;
}

bool runs(struct world *w, struct puppet *p)
{
	uint32_t before = ghost_load_acquire(&p->rounds);

	/* As long as a CPU under a slow emulator may be away. */
	for (int i = 0; i < 20; i++) {
		pass(w, 1);
		if (ghost_load_acquire(&p->rounds) != before)
			return true;
	}
	return false;
}

bool runs_on(struct world *w, struct puppet *p, uint32_t cpu)
{
	return runs(w, p) && ghost_load_acquire(&p->cpu) == cpu;
}

void move(struct world *w, struct puppet *p, struct ghost_cpuset cpus)
{
	check_is(w, w->ops->affinity(w, p, &cpus), 0);
}

void renice(struct world *w, struct puppet *p, int nice)
{
	check_is(w, w->ops->nice(w, p, nice), 0);
}

struct puppet *hog_on(struct world *w, uint32_t cpu, enum puppet_class class_)
{
	struct puppet *hog = puppet_new(w);

	move(w, hog, cpus_of(cpu, -1));
	check_is(w, w->ops->set_class(w, hog, class_), 0);
	order(w, hog, PUPPET_SPIN);
	see_on(w, hog, cpu);
	return hog;
}

void hog_off(struct world *w, struct puppet *hog)
{
	order(w, hog, PUPPET_BLOCK);
	until(w, w->ops->asleep(w, hog));
}

/* --- requests, memory ----------------------------------------------------------- */

int ctl_admin(struct world *w, uint32_t op, uint32_t enclave)
{
	struct ghost_ctl ctl = { .op = op, .enclave = enclave };
	int err = w->backend->admin(w->backend, &ctl);

	return err ?: ctl.ret;
}

int ctl_agent(struct world *w, uint32_t op, uint32_t enclave, uint32_t cpu)
{
	struct ghost_ctl ctl = { .op = op, .enclave = enclave, .cpu = cpu };
	int err = w->backend->agent(w->backend, &ctl);

	return err ?: ctl.ret;
}

const struct ghost_cpu *page(struct world *w, uint32_t cpu)
{
	return &w->mem->cpu[cpu];
}

struct ghost_cpu_rw *rw(struct world *w, uint32_t cpu)
{
	return &w->mem->cpu_rw[cpu];
}

uint32_t agent_seq(struct world *w, uint32_t cpu)
{
	return ghost_load_acquire(&page(w, cpu)->agent_seq);
}

uint32_t enclave_state(struct world *w)
{
	return ghost_load_acquire(&ghost_enclave_status(w->e)->state);
}

const struct ghost_status *status_of(struct world *w, const struct puppet *p)
{
	return &w->mem->status[p->slot];
}

uint32_t flags_of(struct world *w, const struct puppet *p)
{
	return ghost_status_flags(ghost_load_acquire(&status_of(w, p)->word));
}

uint32_t seq_of(struct world *w, const struct puppet *p)
{
	return ghost_status_seq(ghost_load_acquire(&status_of(w, p)->word));
}

uint32_t home_of(struct world *w, const struct puppet *p)
{
	return ghost_load_acquire(&status_of(w, p)->queue);
}

/* --- messages ------------------------------------------------------------------- */

bool pop(struct world *w, uint32_t cpu, struct ghost_msg *ret)
{
	if (!ghost_queue_pop(w->mem, cpu, ret))
		return false;
	if (ret->type == GHOST_MSG_TASK_PREEMPT && ret->reason != GHOST_PREEMPT_SLICE &&
	    ret->reason != GHOST_PREEMPT_COMMIT)
		w->nr_disturbed++;
	return true;
}

void drain(struct world *w)
{
	struct ghost_msg m;

	for (uint32_t q = 0; q < w->mem->nr_queues; q++)
		while (pop(w, q, &m))
			;
}

struct ghost_msg expect(struct world *w, const struct puppet *p, uint32_t type)
{
	struct ghost_msg m = { 0 };

	until(w, pop(w, home_of(w, p), &m));
	if (m.type != type || m.slot != p->slot)
		fail_case(w, "a message of type %u, reason %u about slot %u; should be %u about %u",
			  m.type, m.reason, m.slot, type, p->slot);
	return m;
}

void expect_none(struct world *w, uint32_t ms)
{
	struct ghost_msg m;

	pass(w, ms);
	for (uint32_t q = 0; q < w->mem->nr_queues; q++)
		if (pop(w, q, &m))
			fail_case(w,
				  "a message of type %u, reason %u about slot %u; should be none",
				  m.type, m.reason, m.slot);
}

void see_on(struct world *w, struct puppet *p, uint32_t cpu)
{
	int waits = 0;

	for (int ms = 0; ms < PATIENCE && waits < 10; ms += 20) {
		if (runs_on(w, p, cpu))
			return;
		/* It had the CPU, and lost it; where nobody reads messages nothing else tells. */
		waits = p->slot && flags_of(w, p) & GHOST_STATUS_RUNNABLE ? waits + 1 : 0;
		w->nr_disturbed += waits > 0;
	}
	fail_case(w,
		  "thread %u does not run on CPU %u but on %u or not at all (flags %#x, number %u)",
		  p->tid, cpu, p->cpu, p->slot ? flags_of(w, p) : 0, p->slot ? seq_of(w, p) : 0);
}

/* --- members -------------------------------------------------------------------- */

static bool look_for(struct ghost_enclave *e, struct puppet *p)
{
	const struct ghost_memory *mem = ghost_enclave_memory(e);
	uint32_t nr = ghost_enclave_status(e)->nr_slots;

	for (uint32_t slot = 1; slot < nr && slot < mem->capacity; slot++) {
		const struct ghost_status *st = &mem->status[slot];

		if (ghost_status_flags(ghost_load_acquire(&st->word)) & GHOST_STATUS_INUSE &&
		    p->tid && st->tid == p->tid) {
			p->slot = slot;
			return true;
		}
	}
	return false;
}

uint32_t find_slot(struct world *w, struct ghost_enclave *e, struct puppet *p)
{
	until(w, look_for(e, p));
	return p->slot;
}

void join(struct world *w, struct ghost_enclave *e, struct puppet *p)
{
	check_is(w, ghost_enclave_join(e, p->tid), 0);
	find_slot(w, e, p);
}

struct puppet *member_asleep(struct world *w)
{
	struct puppet *p = puppet_new(w);

	join(w, w->e, p);
	drain(w);
	return p;
}

struct puppet *member_waiting(struct world *w)
{
	struct puppet *p = member_asleep(w);

	order(w, p, PUPPET_SPIN);
	until(w, flags_of(w, p) & GHOST_STATUS_RUNNABLE);
	drain(w);
	return p;
}

/* --- agents --------------------------------------------------------------------- */

enum agent_order {
	AGENT_COMMIT,
	AGENT_YIELD,
	AGENT_ASK,
	AGENT_NAP,
	AGENT_SPIN,
	AGENT_LEAVE,
	AGENT_DIE,
};

struct agent {
	struct world *w;
	uint32_t enclave, cpu, pin;
	void *thread;
	enum agent_way way;
	enum agent_order order;
	struct ghost_txn txn;
	struct ghost_ctl ctl;
	uint64_t nap_ns;

	/* words to wait for: the first is written by the case, the other two by the thread */
	uint32_t nr_orders;
	uint32_t nr_done;
	uint32_t ended;

	/* by the thread, before it counts in @nr_done */
	int err;
	uint32_t tid;
	uint32_t state;
};

static int become(struct agent *a)
{
	struct ghost_backend *b = a->w->backend;
	struct ghost_ctl attach = {
		.op = GHOST_CTL_AGENT_ATTACH,
		.enclave = a->enclave,
		.cpu = a->cpu,
		.flags = a->way == AGENT_ENTERS ? 0 : GHOST_AGENT_SPINS,
	};
	int err = a->pin == GHOST_CPU_NONE ? 0 : b->agent_pin(b, a->pin);

	a->tid = b->thread_id(b);
	if (a->way == AGENT_IS_MEMBER)
		err = err ?: ghost_enclave_join(a->w->e, a->tid);
	err = err ?: b->agent(b, &attach);
	err = err ?: attach.ret;
	if (a->way == AGENT_SPINS_TWICE && !err) {
		attach.cpu = a->pin == CPU_A ? CPU_B : CPU_A;
		err = b->agent_pin(b, attach.cpu);
		err = err ?: b->agent(b, &attach);
		err = err ?: attach.ret;
	}
	return err || a->way != AGENT_ENTERS ? err : b->agent_enter(b);
}

static void agent_end(struct agent *a)
{
	struct ghost_backend *b = a->w->backend;
	struct ghost_ctl detach = {
		.op = GHOST_CTL_AGENT_DETACH,
		.enclave = a->enclave,
		.cpu = a->cpu,
	};

	if (a->way != AGENT_ENTERS && a->order != AGENT_DIE)
		b->agent(b, &detach);
}

/*
 * Fields first, READY last, and give the CPU up. It stays READY if a higher class
 * took the CPU before dispatch looked, and a message came then: whoever hands it
 * in again is told what has become of it (stale).
 */
static void hand_in(struct agent *a)
{
	struct ghost_txn *txn = &rw(a->w, a->cpu)->txn;
	struct ghost_backend *b = a->w->backend;
	struct ghost_txn t = a->txn;

	t.state = txn->state;
	*txn = t;
	ghost_store_release(&txn->state, GHOST_TXN_READY);
	for (int i = 0; i < 10; i++) {
		b->agent_yield(b);
		a->state = ghost_load_acquire(&txn->state);
		if (a->state != GHOST_TXN_READY)
			break;
	}
}

static void agent_done(struct agent *a, uint32_t nr)
{
	ghost_store_release(&a->nr_done, nr);
	a->w->backend->wake(a->w->backend, &a->nr_done);
}

/* What takes time; counted as done when it has begun, if it ends with the next order. */
static void agent_spend(struct agent *a, uint32_t nr)
{
	struct ghost_backend *b = a->w->backend;

	if (a->order == AGENT_NAP) {
		b->sleep(b, a->nap_ns);
		return;
	}
	agent_done(a, nr);
	while (ghost_load_acquire(&a->nr_orders) == nr)
		b->agent_relax(b, b->now_ns(b) + MS / 10);
}

static void agent_main(void *arg)
{
	struct agent *a = arg;
	struct ghost_backend *b = a->w->backend;
	uint32_t seen = 1;

	a->err = become(a);
	agent_done(a, seen);
	while (!a->err) {
		if (b->wait(b, &a->nr_orders, seen, ~0ull))
			break;
		seen = ghost_load_acquire(&a->nr_orders);
		if (a->order == AGENT_LEAVE || a->order == AGENT_DIE)
			break;
		if (a->order == AGENT_COMMIT)
			hand_in(a);
		else if (a->order == AGENT_ASK)
			a->ctl.ret = b->agent(b, &a->ctl) ?: a->ctl.ret;
		else if (a->order == AGENT_NAP || a->order == AGENT_SPIN)
			agent_spend(a, seen);
		else
			b->agent_yield(b);
		agent_done(a, seen);
	}
	if (!a->err)
		agent_end(a);
	ghost_store_release(&a->ended, 1);
	b->wake(b, &a->ended);
}

static void agent_order(struct agent *a, enum agent_order what)
{
	a->order = what;
	ghost_store_release(&a->nr_orders, a->nr_orders + 1);
	a->w->backend->wake(a->w->backend, &a->nr_orders);
}

static bool agent_idles(const struct agent *a)
{
	return ghost_load_acquire(&a->nr_done) == a->nr_orders;
}

/* Within 5 s *@word differs from @value. */
static bool word_changes(struct world *w, const uint32_t *word, uint32_t value)
{
	return !w->backend->wait(w->backend, word, value, PATIENCE * MS);
}

static void agent_wait(struct world *w, struct agent *a)
{
	uint32_t nr;

	while ((nr = ghost_load_acquire(&a->nr_done)) != a->nr_orders)
		if (!word_changes(w, &a->nr_done, nr))
			fail_case(w, "the agent of CPU %u does not come back", a->cpu);
}

/* Its thread is gone. False when it does not go. */
static bool agent_join(struct world *w, struct agent *a)
{
	if (!a->thread)
		return true;
	if (!word_changes(w, &a->ended, 0))
		return false;
	w->backend->thread_join(w->backend, a->thread);
	a->thread = NULL;
	return true;
}

static struct agent *agent_new(struct world *w, uint32_t id, uint32_t cpu, uint32_t pin,
			       enum agent_way way, int *ret_err)
{
	struct agent *a;

	check(w, w->nr_agents < AGENTS_MAX);
	a = calloc(1, sizeof(*a));
	check(w, a != NULL);
	w->agents[w->nr_agents++] = a;
	a->w = w;
	a->enclave = id;
	a->cpu = cpu;
	a->pin = pin;
	a->way = way;
	a->nr_orders = 1;
	check_is(w, w->backend->thread_start(w->backend, "agent", agent_main, a, &a->thread), 0);
	agent_wait(w, a);
	*ret_err = a->err;
	if (!a->err)
		return a;
	check(w, agent_join(w, a));
	return NULL;
}

struct agent *agent_try(struct world *w, uint32_t id, uint32_t cpu, uint32_t pin, int *ret_err)
{
	return agent_new(w, id, cpu, pin, AGENT_ENTERS, ret_err);
}

struct agent *spinner_try(struct world *w, uint32_t id, uint32_t cpu, uint32_t pin, int *ret_err)
{
	return agent_new(w, id, cpu, pin, AGENT_SPINS, ret_err);
}

int spinner_refused(struct world *w, uint32_t cpu, enum agent_way way)
{
	int err;

	agent_new(w, ghost_enclave_id(w->e), cpu, cpu, way, &err);
	return err;
}

static void start(struct world *w, uint32_t cpu, enum agent_way way)
{
	struct agent *a;
	int err;

	a = agent_new(w, ghost_enclave_id(w->e), cpu, cpu, way, &err);
	check_is(w, err, 0);
	check_is(w, page(w, cpu)->agent_tid, a->tid);
	rw(w, cpu)->queue_tail = ghost_load_acquire(&page(w, cpu)->queue.head);
	rw(w, cpu)->txn.state = GHOST_TXN_FREE;
	w->agent_on[cpu] = a;
}

void agent_start(struct world *w, uint32_t cpu)
{
	start(w, cpu, AGENT_ENTERS);
}

void agent_leave(struct world *w, struct agent *a)
{
	agent_order(a, AGENT_LEAVE);
	check(w, agent_join(w, a));
}

uint32_t agent_tid(const struct agent *a)
{
	return a->tid;
}

void agent_die(struct world *w, uint32_t cpu)
{
	agent_order(w->agent_on[cpu], AGENT_DIE);
	check(w, agent_join(w, w->agent_on[cpu]));
}

int agent_ask(struct world *w, uint32_t cpu, struct ghost_ctl *ctl)
{
	struct agent *a = w->agent_on[cpu];

	agent_wait(w, a);
	a->ctl = *ctl;
	agent_order(a, AGENT_ASK);
	agent_wait(w, a);
	*ctl = a->ctl;
	return ctl->ret;
}

void agent_nap(struct world *w, uint32_t cpu, uint64_t ns)
{
	struct agent *a = w->agent_on[cpu];

	agent_wait(w, a);
	a->nap_ns = ns;
	agent_order(a, AGENT_NAP);
	agent_wait(w, a);
}

void agent_spin(struct world *w, uint32_t cpu)
{
	agent_wait(w, w->agent_on[cpu]);
	agent_order(w->agent_on[cpu], AGENT_SPIN);
	agent_wait(w, w->agent_on[cpu]);
}

static void all_up(struct world *w, bool spin)
{
	for (uint32_t cpu = 0; cpu < w->nr_cpus; cpu++)
		if (page(w, cpu)->owned)
			start(w, cpu, spin ? AGENT_SPINS : AGENT_ENTERS);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, ghost_enclave_id(w->e), 0), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_ONLINE);
}

void agents_up(struct world *w)
{
	all_up(w, false);
}

void spinners_up(struct world *w)
{
	all_up(w, true);
}

/* --- transactions --------------------------------------------------------------- */

struct ghost_txn fresh(struct world *w, uint32_t cpu, const struct puppet *p)
{
	return (struct ghost_txn){
		.slot = p ? p->slot : 0,
		.task_seq = p ? seq_of(w, p) : 0,
		.agent_seq = agent_seq(w, cpu),
		.slice_ns = GHOST_SLICE_INF,
		.ping_cpu = GHOST_CPU_NONE,
	};
}

void commit_begin(struct world *w, uint32_t cpu, const struct ghost_txn *t)
{
	struct agent *a = w->agent_on[cpu];

	agent_wait(w, a);
	a->txn = *t;
	rw(w, cpu)->txn.state = GHOST_TXN_FREE;
	agent_order(a, AGENT_COMMIT);
}

/* The fair class may have the CPU for a moment, which is none of the case's doing. */
static uint32_t txn_state(struct world *w, uint32_t cpu)
{
	uint32_t state = ghost_load_acquire(&rw(w, cpu)->txn.state);

	if (state == GHOST_TXN_CPU_UNAVAIL)
		w->nr_disturbed++;
	return state;
}

uint32_t commit_settled(struct world *w, uint32_t cpu)
{
	until(w, ghost_txn_is_final(txn_state(w, cpu)));
	return txn_state(w, cpu);
}

uint32_t commit_end(struct world *w, uint32_t cpu)
{
	agent_wait(w, w->agent_on[cpu]);
	return w->agent_on[cpu]->state;
}

bool commit_ended(struct world *w, uint32_t cpu)
{
	return agent_idles(w->agent_on[cpu]);
}

uint32_t commit(struct world *w, uint32_t cpu, const struct ghost_txn *t)
{
	commit_begin(w, cpu, t);
	return commit_end(w, cpu);
}

void carried_out(struct world *w, uint32_t cpu, const struct ghost_txn *t)
{
	uint32_t state = GHOST_TXN_AGAIN;

	/* The thread may still be on its way into custody. */
	for (int i = 0; i < 10 && state == GHOST_TXN_AGAIN; i++) {
		commit_begin(w, cpu, t);
		state = commit_settled(w, cpu);
	}
	check_is(w, state, GHOST_TXN_COMMITTED);
}

void write_txn(struct world *w, uint32_t cpu, const struct ghost_txn *t)
{
	struct ghost_txn *txn = &rw(w, cpu)->txn;
	struct ghost_txn copy = *t;

	copy.state = GHOST_TXN_FREE;
	*txn = copy;
	ghost_store_release(&txn->state, GHOST_TXN_READY);
}

uint32_t commit_from(struct world *w, uint32_t from, int a, int b, uint32_t flags)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT,
				 .enclave = ghost_enclave_id(w->e),
				 .flags = flags };
	struct ghost_cpuset cpus = cpus_of(a, b);

	memcpy(ctl.cpus, cpus.word, sizeof(ctl.cpus));
	check_is(w, agent_ask(w, from, &ctl), 0);
	return ctl.len;
}

uint32_t remote(struct world *w, uint32_t from, uint32_t cpu, const struct ghost_txn *t)
{
	uint32_t state = GHOST_TXN_AGAIN, nr = 0;

	/* The thread may still be on its way into custody. */
	for (int i = 0; i < 10 && state == GHOST_TXN_AGAIN; i++) {
		write_txn(w, cpu, t);
		nr = commit_from(w, from, cpu, -1, 0);
		state = txn_state(w, cpu);
	}
	check_is(w, nr, state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED);
	return state;
}

void rest(struct world *w, uint32_t cpu)
{
	struct ghost_txn t = fresh(w, cpu, NULL);

	commit_begin(w, cpu, &t);
	check_is(w, commit_settled(w, cpu), GHOST_TXN_YIELDED);
}

void yield_begin(struct world *w, uint32_t cpu)
{
	agent_wait(w, w->agent_on[cpu]);
	agent_order(w->agent_on[cpu], AGENT_YIELD);
}

void put_on(struct world *w, uint32_t cpu, struct puppet *p, uint64_t slice_ns)
{
	uint32_t state = GHOST_TXN_FREE;
	struct ghost_txn t;

	/* It may be on its way into custody, or a heartbeat may have come in between. */
	for (int i = 0; i < 10 && state != GHOST_TXN_COMMITTED; i++) {
		t = fresh(w, cpu, p);
		t.slice_ns = slice_ns;
		commit_begin(w, cpu, &t);
		state = commit_settled(w, cpu);
		if (state == GHOST_TXN_AGAIN || state == GHOST_TXN_AGENT_STALE)
			commit_end(w, cpu);
	}
	check_is(w, state, GHOST_TXN_COMMITTED);
}

/* --- a case from beginning to end ----------------------------------------------- */

static void set_up(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_A, CPU_B);
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };

	check_is(w, ghost_enclave_create(&w->e, w->backend, &opts), 0);
	w->mem = ghost_enclave_memory(w->e);
	if (w->ops->settle)
		w->ops->settle(w);
}

void other_enclave(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_OTHER, -1);
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };

	check_is(w, ghost_enclave_create(&w->other, w->backend, &opts), 0);
}

void enclave_anew(struct world *w, struct ghost_cpuset cpus)
{
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };

	check_is(w, ghost_enclave_destroy(w->e), 0);
	ghost_enclave_close(w->e);
	w->e = NULL;
	check_is(w, ghost_enclave_create(&w->e, w->backend, &opts), 0);
	w->mem = ghost_enclave_memory(w->e);
	if (w->ops->settle)
		w->ops->settle(w);
}

void wide_enclave(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_A, CPU_B);

	ghost_cpuset_add(&cpus, CPU_OTHER);
	enclave_anew(w, cpus);
}

void policy_up(struct world *w, const struct ghost_policy *policy)
{
	w->policy = policy->name;
	check_is(w, ghost_agents_start(&w->agents_of_policy, w->e, policy, NULL), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_ONLINE);
}

void policy_down(struct world *w)
{
	const struct ghost_enclave_status *es = ghost_enclave_status(w->e);

	if (enclave_state(w) != GHOST_ENCLAVE_ONLINE)
		fail_case(w, "enclave lost: %s, %u", ghost_lost_reason_name(es->lost_reason),
			  es->lost_arg);
	ghost_agents_stop(w->agents_of_policy);
	w->agents_of_policy = NULL;
	w->policy = NULL;
}

/* Whatever the case has left; says in @w->unclean when that cannot be done. */
static void take_down(struct world *w)
{
	int err = 0;

	/* Those of the fair class would keep agents from their CPUs. */
	for (uint32_t i = 0; i < w->nr_puppets; i++)
		order(w, &w->puppets[i], PUPPET_BLOCK);
	ghost_agents_stop(w->agents_of_policy);
	if (w->e) {
		/* What came and was not asked for. */
		drain(w);
		/* Members that run are moved off, agents that wait are let go. */
		ctl_agent(w, GHOST_CTL_AGENT_OFFLINE, ghost_enclave_id(w->e), 0);
		for (uint32_t i = 0; i < w->nr_agents; i++)
			if (w->agents[i]->thread)
				agent_order(w->agents[i], AGENT_LEAVE);
		for (uint32_t cpu = CPU_A; cpu < w->nr_cpus; cpu++)
			ctl_agent(w, GHOST_CTL_AGENT_PING, ghost_enclave_id(w->e), cpu);
	}
	for (uint32_t i = 0; i < w->nr_agents; i++) {
		if (agent_join(w, w->agents[i]))
			free(w->agents[i]);
		else
			w->unclean = true;
	}
	if (w->e) {
		err = ghost_enclave_destroy(w->e);
		ghost_enclave_close(w->e);
	}
	if (w->other) {
		err = err ?: ghost_enclave_destroy(w->other);
		ghost_enclave_close(w->other);
	}
	err = err ?: w->ops->end_all(w);
	if (err)
		w->unclean = true;
}

void contract_run(struct world *w, const struct contract_case *c)
{
	memset(w->puppets, 0, PUPPETS_MAX * sizeof(*w->puppets));
	memset(w->agents, 0, sizeof(w->agents));
	memset(w->agent_on, 0, sizeof(w->agent_on));
	w->e = w->other = NULL;
	w->agents_of_policy = NULL;
	w->policy = NULL;
	w->nr_puppets = 0;
	w->nr_agents = 0;
	w->nr_disturbed = 0;
	w->failure[0] = 0;
	w->unclean = false;
	if (!setjmp(w->out)) {
		set_up(w);
		c->run(w);
	}
	take_down(w);
}
