// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The agent loop: read the number, drain, decide, commit with it.
 * In: messages of one enclave. Out: callbacks of a policy, transactions.
 * Implements agent.h and the agent's part of policy.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/agent.h"
#include "libghost/barrier.h"
#include "libghost/queue.h"
#include "libghost/task.h"

/* One per CPU of the enclave. */
struct ghost_agent {
	struct ghost_agents *all;
	uint32_t cpu;
	const struct ghost_cpu *page;
	struct ghost_cpu_rw *rw;
	uint16_t *neighbours;
	uint32_t nr_neighbours;

	/* the decision in the making */
	struct ghost_task *pick;
	uint32_t pick_seq;
	uint64_t pick_slice_ns;
	struct ghost_cpuset wake;
	bool wake_any;

	/* of this CPU's queue; any agent may drain it, one at a time */
	struct ghost_lock queue_lock;
	uint32_t overflow_seen;

	void *thread; /* the backend's; NULL: not started */
	int err;      /* why it could not become an agent */
};

enum agents_phase {
	AGENTS_STARTING,
	AGENTS_GO,
	AGENTS_STOP,
};

struct ghost_agents {
	struct ghost_enclave *enclave;
	struct ghost_backend *backend;
	const struct ghost_memory *mem;
	const struct ghost_policy *policy;
	const struct ghost_enclave_status *status;
	uint64_t params[32];
	void *data;
	struct task_table tasks;
	struct ghost_cpuset cpus;
	uint32_t nr;
	struct ghost_agent *agent;   /* [nr] */
	struct ghost_agent **by_cpu; /* [mem->nr_cpus], NULL where not ours */

	/* Words to wait for; changed by atomic operations only. */
	uint32_t nr_ready; /* became agents, or failed to */
	uint32_t nr_ended;
	uint32_t ended; /* all have */
	uint32_t phase; /* enum agents_phase */
};

/* A place where the agent may lose its CPU; a real machine needs no asking. */
static inline void step(struct ghost_agent *a, enum ghost_step what)
{
	if (a->all->backend->step)
		a->all->backend->step(a->all->backend, what);
}

/* --- what a policy may ask --------------------------------------------------- */

void *ghost_agent_data(const struct ghost_agent *a)
{
	return a->all->data;
}

uint32_t ghost_agent_cpu(const struct ghost_agent *a)
{
	return a->cpu;
}

const struct ghost_cpuset *ghost_agent_cpus(const struct ghost_agent *a)
{
	return &a->all->cpus;
}

bool ghost_agent_cpu_idle(const struct ghost_agent *a, uint32_t cpu)
{
	return cpu < GHOST_CPUS_MAX &&
	       (__atomic_load_n(&a->all->status->idle[cpu / 64], __ATOMIC_RELAXED) >> (cpu % 64) &
		1);
}

uint32_t ghost_agent_fit(const struct ghost_agent *a, const struct ghost_task *t, uint32_t cpu)
{
	const struct ghost_cpuset *cpus = ghost_agent_cpus(a);
	const uint32_t first[] = { cpu, ghost_task_cpu(t) };

	for (int i = 0; i < 2; i++)
		if (ghost_cpuset_has(cpus, first[i]) && ghost_task_allowed(t, first[i]))
			return first[i];
	ghost_cpuset_for_each(other, cpus) if (ghost_task_allowed(t, other)) return other;
	return GHOST_CPU_NONE;
}

const uint16_t *ghost_agent_neighbours(const struct ghost_agent *a, uint32_t *ret_nr)
{
	*ret_nr = a->nr_neighbours;
	return a->neighbours;
}

uint64_t ghost_agent_param(const struct ghost_agent *a, unsigned int index)
{
	return a->all->params[index];
}

bool ghost_agent_pick(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t, uint64_t slice_ns)
{
	bool ok;

	if (cpu != a->cpu || a->pick)
		return false;
	ghost_lock(&t->lock);
	ok = t->state == TASK_RUNNABLE;
	if (ok) {
		t->state = TASK_PICKED;
		a->pick = t;
		a->pick_seq = t->seq;
		a->pick_slice_ns = slice_ns ?: GHOST_SLICE_INF;
	}
	ghost_unlock(&t->lock);
	return ok;
}

void ghost_agent_wake(struct ghost_agent *a, uint32_t cpu)
{
	if (cpu == a->cpu)
		return;
	ghost_cpuset_add(&a->wake, cpu);
	a->wake_any = true;
}

/* --- messages ------------------------------------------------------------------ */

static void task_forget(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	const struct ghost_policy *p = a->all->policy;

	if (t->state == TASK_UNKNOWN)
		return;
	t->state = TASK_UNKNOWN;
	if (p->task_gone)
		p->task_gone(a, t, dead);
}

/* @t is the policy's to pick. */
static void task_waits(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	const struct ghost_policy *p = a->all->policy;

	t->state = TASK_RUNNABLE;
	if (p->task_runnable)
		p->task_runnable(a, t, cause);
}

static void task_sleeps(struct ghost_agent *a, struct ghost_task *t)
{
	const struct ghost_policy *p = a->all->policy;

	t->state = TASK_BLOCKED;
	if (p->task_blocked)
		p->task_blocked(a, t);
}

/* @t's slot holds thread @gtid now; tell the policy if that is news. */
static void task_meet(struct ghost_agent *a, struct ghost_task *t, uint32_t slot, uint64_t gtid,
		      bool runnable)
{
	const struct ghost_policy *p = a->all->policy;

	task_forget(a, t, true);
	task_reset(&a->all->tasks, t, slot, gtid);
	if (p->task_new)
		p->task_new(a, t);
	if (runnable)
		task_waits(a, t, GHOST_CAUSE_NEW);
}

/*
 * Its affinity or priority changed. If it was picked meanwhile, that pick is
 * stale by now and nobody else will say so: it is the policy's again.
 */
static void task_changed(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	const struct ghost_policy *p = a->all->policy;
	uint64_t word = __atomic_load_n(&t->status->word, __ATOMIC_RELAXED);

	if (p->task_changed)
		p->task_changed(a, t, cause);
	if (t->state == TASK_RUNNABLE ||
	    (t->state == TASK_PICKED && ghost_status_flags(word) & GHOST_STATUS_RUNNABLE))
		task_waits(a, t, cause);
}

static enum ghost_cause preempt_cause(uint32_t reason)
{
	switch (reason) {
	case GHOST_PREEMPT_CLASS:
		return GHOST_CAUSE_CLASS;
	case GHOST_PREEMPT_LATCH:
		return GHOST_CAUSE_LATCH;
	case GHOST_PREEMPT_KICK:
		return GHOST_CAUSE_KICK;
	default:
		return GHOST_CAUSE_SLICE;
	}
}

static void handle_locked(struct ghost_agent *a, struct ghost_task *t, const struct ghost_msg *m)
{
	bool known = t->state != TASK_UNKNOWN && t->gtid == m->gtid;
	bool gone = m->type == GHOST_MSG_TASK_DEAD || m->type == GHOST_MSG_TASK_DEPARTED;

	/* A rebuild from the status table may have been ahead of the queue. */
	if (t->gtid && (int32_t)((m->gtid >> 32) - (t->gtid >> 32)) < 0)
		return;
	if (t->gtid == m->gtid && (int32_t)(m->seq - t->seq) <= 0)
		return;
	if (!known) {
		if (gone) {
			task_forget(a, t, true);
			t->gtid = m->gtid;
			t->seq = m->seq;
			return;
		}
		t->seq = m->seq;
		task_meet(a, t, m->slot, m->gtid,
			  m->type == GHOST_MSG_TASK_NEW && m->flags & GHOST_MSG_RUNNABLE);
	}
	t->seq = m->seq;
	t->bound = false;
	switch (m->type) {
	case GHOST_MSG_TASK_WAKEUP:
		task_waits(a, t, GHOST_CAUSE_WAKEUP);
		break;
	case GHOST_MSG_TASK_PREEMPT:
		task_waits(a, t, preempt_cause(m->reason));
		break;
	case GHOST_MSG_TASK_YIELD:
		task_waits(a, t, GHOST_CAUSE_YIELD);
		break;
	case GHOST_MSG_TASK_BLOCKED:
		task_sleeps(a, t);
		break;
	case GHOST_MSG_TASK_AFFINITY_CHANGED:
		task_changed(a, t, GHOST_CAUSE_AFFINITY);
		break;
	case GHOST_MSG_TASK_PRIORITY_CHANGED:
		task_changed(a, t, GHOST_CAUSE_PRIORITY);
		break;
	case GHOST_MSG_TASK_DEAD:
	case GHOST_MSG_TASK_DEPARTED:
		task_forget(a, t, m->type == GHOST_MSG_TASK_DEAD);
		break;
	default:
		/* Newer than this library: its number is taken note of, nothing else. */
		break;
	}
}

static void handle(struct ghost_agent *a, const struct ghost_msg *m)
{
	struct ghost_task *t = task_at(&a->all->tasks, m->slot);

	if (!t)
		return;
	ghost_lock(&t->lock);
	handle_locked(a, t, m);
	ghost_unlock(&t->lock);
}

/* Number, flags and owner of one slot, as of one moment. */
static uint64_t status_read(const struct ghost_status *st, uint64_t *ret_gtid)
{
	uint64_t word;

	do {
		word = ghost_load_acquire(&st->word);
		*ret_gtid = ghost_load_acquire(&st->gtid);
	} while (ghost_load_acquire(&st->word) != word);
	return word;
}

/* Bring what we know of one slot up to what the status table says. */
static void rebuild_slot(struct ghost_agent *a, uint32_t slot, uint32_t queue)
{
	const struct ghost_status *st = &a->all->mem->status[slot];
	struct ghost_task *t = task_at(&a->all->tasks, slot);
	uint32_t flags, seq;
	uint64_t word, gtid;
	bool runnable;

	if (!t || __atomic_load_n(&st->queue, __ATOMIC_RELAXED) != queue)
		return;
	ghost_lock(&t->lock);
	/* Under the lock: what another agent has handled by now is not older than this. */
	word = status_read(st, &gtid);
	flags = ghost_status_flags(word);
	seq = ghost_status_seq(word);
	runnable = flags & GHOST_STATUS_RUNNABLE;
	if (!(flags & GHOST_STATUS_INUSE)) {
		if (t->state != TASK_UNKNOWN && (int32_t)(seq - t->seq) > 0) {
			t->seq = seq;
			task_forget(a, t, true);
		}
	} else if (flags & GHOST_STATUS_NEW) {
		/* Its TASK_NEW is still to come. */
	} else if (t->gtid != gtid || t->state == TASK_UNKNOWN) {
		t->seq = seq;
		task_meet(a, t, slot, gtid, runnable);
	} else if ((int32_t)(seq - t->seq) >= 0) {
		/*
		 * With equal numbers as well: a later message may have got
		 * through where the one that made it runnable did not.
		 */
		bool news = seq != t->seq;

		t->seq = seq;
		t->bound = false;
		if (runnable && (t->state == TASK_BLOCKED || (news && t->state == TASK_PICKED)))
			task_waits(a, t, GHOST_CAUSE_WAKEUP);
		else if (!runnable && news && t->state == TASK_RUNNABLE)
			task_sleeps(a, t);
		else if (!runnable && news)
			t->state = TASK_BLOCKED;
	}
	ghost_unlock(&t->lock);
}

static void rebuild(struct ghost_agent *a, uint32_t queue)
{
	uint32_t nr = __atomic_load_n(&a->all->status->nr_slots, __ATOMIC_RELAXED);

	for (uint32_t slot = 1; slot < nr && slot < a->all->mem->capacity; slot++) {
		rebuild_slot(a, slot, queue);
		step(a, GHOST_STEP_SLOT);
	}
}

/*
 * Handle the messages of @owner's queue. If another agent is at it, that one
 * sees them through: it will hand on what it finds by itself, and after
 * letting go it looks once more for what came while it held the queue.
 */
static void drain(struct ghost_agent *a, struct ghost_agent *owner)
{
	const struct ghost_queue *q = &owner->page->queue;
	struct ghost_msg m;
	uint32_t overflow;

	do {
		if (!ghost_lock_try(&owner->queue_lock))
			return;
		overflow = ghost_load_acquire(&q->overflow);
		while (ghost_queue_pop(q, owner->rw, &m)) {
			handle(a, &m);
			step(a, GHOST_STEP_MSG);
		}
		if (overflow != owner->overflow_seen) {
			/* Events were lost, not threads: the table has them all. */
			owner->overflow_seen = overflow;
			rebuild(a, owner->cpu);
		}
		ghost_unlock(&owner->queue_lock);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (ghost_queue_ready(q, owner->rw) ||
		 ghost_load_acquire(&q->overflow) != owner->overflow_seen);
}

/* Woken because another CPU is busy and we were idle: handle its messages. */
static void help(struct ghost_agent *a)
{
	uint32_t who = __atomic_load_n(&a->page->help, __ATOMIC_RELAXED);
	struct ghost_agent *other;

	if (!who || who > a->all->mem->nr_cpus)
		return;
	other = a->all->by_cpu[who - 1];
	if (other && other != a && !ghost_queue_empty(&other->page->queue, other->rw))
		drain(a, other);
}

/* --- deciding -------------------------------------------------------------------- */

/* The library could not carry out @a->pick; whose is the thread now? */
static void refused(struct ghost_agent *a, uint32_t state)
{
	struct ghost_task *t = a->pick;

	a->pick = NULL;
	ghost_lock(&t->lock);
	/* If a message was handled meanwhile, the policy has heard of it there. */
	if (t->state == TASK_PICKED && t->seq == a->pick_seq &&
	    (state == GHOST_TXN_AGENT_STALE || state == GHOST_TXN_NOT_ALLOWED ||
	     state == GHOST_TXN_AGAIN || state == GHOST_TXN_INVALID)) {
		t->bound = state == GHOST_TXN_NOT_ALLOWED;
		task_waits(a, t, GHOST_CAUSE_REFUSED);
	}
	ghost_unlock(&t->lock);
}

static void wake_others(struct ghost_agent *a, uint32_t *ret_ping)
{
	*ret_ping = GHOST_CPU_NONE;
	if (!a->wake_any)
		return;
	ghost_cpuset_for_each(cpu, &a->wake)
	{
		/* One travels with the transaction, the rest need a call each. */
		if (*ret_ping == GHOST_CPU_NONE) {
			*ret_ping = cpu;
		} else {
			struct ghost_ctl ping = {
				.op = GHOST_CTL_AGENT_PING,
				.enclave = ghost_enclave_id(a->all->enclave),
				.cpu = cpu,
			};

			a->all->backend->agent(a->all->backend, &ping);
		}
	}
	memset(&a->wake, 0, sizeof(a->wake));
	a->wake_any = false;
}

/*
 * Hand in the pick (or "nothing to run") and give the CPU up. Returns when
 * the agent is chosen again: because there is news, or because it was refused.
 */
static void commit(struct ghost_agent *a, uint32_t agent_seq)
{
	struct ghost_txn *txn = &a->rw->txn;
	uint32_t state;

	txn->slot = a->pick ? a->pick->slot : 0;
	txn->task_seq = a->pick_seq;
	txn->agent_seq = agent_seq;
	txn->slice_ns = a->pick ? a->pick_slice_ns : GHOST_SLICE_INF;
	txn->flags = 0;
	wake_others(a, &txn->ping_cpu);
	ghost_store_release(&txn->state, GHOST_TXN_READY);
	step(a, GHOST_STEP_COMMIT);
	a->all->backend->agent_yield(a->all->backend);
	state = ghost_load_acquire(&txn->state);
	txn->state = GHOST_TXN_FREE;
	/* Nobody looked at it: then nobody was woken either. */
	if (state == GHOST_TXN_READY && txn->ping_cpu != GHOST_CPU_NONE)
		ghost_agent_wake(a, txn->ping_cpu);
	if (a->pick && state == GHOST_TXN_COMMITTED)
		a->pick = NULL;
	else if (a->pick)
		refused(a, state == GHOST_TXN_READY ? GHOST_TXN_AGENT_STALE : state);
}

static bool online(const struct ghost_agents *all)
{
	return __atomic_load_n(&all->status->state, __ATOMIC_ACQUIRE) == GHOST_ENCLAVE_ONLINE &&
	       ghost_load_acquire(&all->phase) == AGENTS_GO;
}

static void agent_loop(struct ghost_agent *a)
{
	const struct ghost_policy *p = a->all->policy;

	/* Whoever was there before us: the status table knows. */
	while (!ghost_lock_try(&a->queue_lock)) {
		ghost_relax();
		step(a, GHOST_STEP_SPIN);
	}
	rebuild(a, a->cpu);
	ghost_unlock(&a->queue_lock);

	while (online(a->all)) {
		/* Before the drain: what comes after it makes the commit stale (paper 3.2). */
		uint32_t agent_seq = ghost_load_acquire(&a->page->agent_seq);

		step(a, GHOST_STEP_NUMBER);
		drain(a, a);
		help(a);
		p->schedule(a, a->cpu);
		step(a, GHOST_STEP_SCHEDULE);
		commit(a, agent_seq);
	}
}

/* --- life ------------------------------------------------------------------------- */

static int agent_become(struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;
	struct ghost_ctl attach = {
		.op = GHOST_CTL_AGENT_ATTACH,
		.enclave = ghost_enclave_id(a->all->enclave),
		.cpu = a->cpu,
	};
	int err = b->agent_pin(b, a->cpu);

	err = err ?: b->agent(b, &attach);
	err = err ?: attach.ret;
	err = err ?: b->agent_enter(b);
	if (!err && __atomic_load_n(&a->page->agent_tid, __ATOMIC_ACQUIRE) != b->thread_id(b))
		err = -EBUSY;
	if (err)
		return err;
	/*
	 * Only now is it ours to write. What an earlier agent left unread is in
	 * the status table.
	 */
	a->rw->queue_tail = ghost_load_acquire(&a->page->queue.head);
	a->overflow_seen = a->page->queue.overflow;
	a->rw->txn.state = GHOST_TXN_FREE;
	return 0;
}

static void agent_thread(void *arg)
{
	struct ghost_agent *a = arg;
	struct ghost_agents *all = a->all;
	struct ghost_backend *b = all->backend;

	a->err = agent_become(a);
	__atomic_add_fetch(&all->nr_ready, 1, __ATOMIC_RELEASE);
	b->wake(b, &all->nr_ready);
	b->wait(b, &all->phase, AGENTS_STARTING, ~0ull);
	if (!a->err)
		agent_loop(a);
	/*
	 * Out of our class by itself: the kernel notices the end of a thread only
	 * after whoever joins it goes on (7.3), and would call its CPU taken till
	 * then.
	 */
	b->task_leave(b, b->thread_id(b));
	if (__atomic_add_fetch(&all->nr_ended, 1, __ATOMIC_ACQ_REL) < all->nr)
		return;
	ghost_store_release(&all->ended, 1);
	b->wake(b, &all->ended);
}

/* Counting sort by distance; CPUs equally far stay in the order in which they come. */
static int neighbours_by_distance(struct ghost_agent *a, uint32_t first, uint8_t *far)
{
	struct ghost_agents *all = a->all;
	uint32_t at[GHOST_DISTANCE_REMOTE + 2] = { 0 };
	int d;

	a->neighbours = calloc(all->nr, sizeof(*a->neighbours));
	if (!a->neighbours)
		return -ENOMEM;
	a->nr_neighbours = all->nr - 1;
	/* Each starts after itself, so that not all look at the same CPU first. */
	for (uint32_t k = 1; k < all->nr; k++) {
		d = all->backend->cpu_distance(all->backend, a->cpu,
					       all->agent[(first + k) % all->nr].cpu);
		if (d < 0)
			return d;
		far[k] = d;
		at[d + 1]++;
	}
	for (d = 1; d <= GHOST_DISTANCE_REMOTE; d++)
		at[d] += at[d - 1];
	for (uint32_t k = 1; k < all->nr; k++)
		a->neighbours[at[far[k]]++] = all->agent[(first + k) % all->nr].cpu;
	return 0;
}

static int params_fill(struct ghost_agents *all, const uint64_t *values)
{
	const struct ghost_param *param = all->policy->params;

	for (unsigned int i = 0; param && param[i].name; i++) {
		if (i >= sizeof(all->params) / sizeof(all->params[0]))
			return -EINVAL;
		all->params[i] = values ? values[i] : param[i].value;
		if (all->params[i] < param[i].min || all->params[i] > param[i].max)
			return -EINVAL;
	}
	return 0;
}

static void agents_free(struct ghost_agents *all)
{
	for (uint32_t i = 0; all->agent && i < all->nr; i++)
		free(all->agent[i].neighbours);
	task_table_fini(&all->tasks);
	free(all->agent);
	free(all->by_cpu);
	free(all->data);
	free(all);
}

static int agents_prepare(struct ghost_agents *all, const struct ghost_agents_opts *opts)
{
	size_t size = (all->policy->size / 64 + 1) * 64;
	uint32_t i = 0;
	uint8_t *far;
	int err;

	err = params_fill(all, opts ? opts->params : NULL);
	err = err ?: ghost_enclave_cpus(all->enclave, &all->cpus);
	if (err)
		return err;
	all->nr = ghost_cpuset_count(&all->cpus);
	all->agent = calloc(all->nr, sizeof(*all->agent));
	all->by_cpu = calloc(all->mem->nr_cpus, sizeof(*all->by_cpu));
	/* Policies align what CPUs share to cache lines. */
	all->data = aligned_alloc(64, size);
	if (!all->agent || !all->by_cpu || !all->data)
		return -ENOMEM;
	memset(all->data, 0, size);
	ghost_cpuset_for_each(cpu, &all->cpus)
	{
		struct ghost_agent *a = &all->agent[i++];

		a->all = all;
		a->cpu = cpu;
		a->page = &all->mem->cpu[cpu];
		a->rw = &all->mem->cpu_rw[cpu];
		all->by_cpu[cpu] = a;
	}
	far = calloc(all->nr, sizeof(*far));
	err = far ? 0 : -ENOMEM;
	for (i = 0; i < all->nr && !err; i++)
		err = neighbours_by_distance(&all->agent[i], i, far);
	free(far);
	err = err   ?:
		      task_table_init(&all->tasks, all->mem->capacity, all->policy->task_size,
				      all->mem->status);
	if (!err && all->policy->init)
		err = all->policy->init(&all->agent[0], all->data);
	return err;
}

static void phase_set(struct ghost_agents *all, uint32_t phase)
{
	ghost_store_release(&all->phase, phase);
	all->backend->wake(all->backend, &all->phase);
}

static int agents_launch(struct ghost_agents *all)
{
	struct ghost_ctl ready = {
		.op = GHOST_CTL_AGENT_ONLINE,
		.enclave = ghost_enclave_id(all->enclave),
	};
	struct ghost_backend *b = all->backend;
	uint32_t started = 0, nr;
	char name[16];
	int err = 0, failed = 0;

	for (; started < all->nr; started++) {
		struct ghost_agent *a = &all->agent[started];

		snprintf(name, sizeof(name), "agent/%u", a->cpu);
		err = b->thread_start(b, name, agent_thread, a, &a->thread);
		if (err)
			break;
	}
	while (!failed && (nr = ghost_load_acquire(&all->nr_ready)) < started)
		failed = b->wait(b, &all->nr_ready, nr, ~0ull);
	err = err ?: failed;

	for (uint32_t i = 0; i < started && !err; i++)
		err = all->agent[i].err;
	err = err ?: b->agent(b, &ready);
	return err ?: ready.ret;
}

int ghost_agents_start(struct ghost_agents **ret, struct ghost_enclave *e,
		       const struct ghost_policy *policy, const struct ghost_agents_opts *opts)
{
	struct ghost_agents *all;
	int err;

	if (!policy || !policy->schedule || policy->model != GHOST_PER_CPU)
		return -EINVAL;
	if (opts && opts->size < sizeof(*opts))
		return -EINVAL;
	all = calloc(1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	all->enclave = e;
	all->backend = ghost_enclave_backend(e);
	all->mem = ghost_enclave_memory(e);
	all->status = ghost_enclave_status(e);
	all->policy = policy;
	err = agents_prepare(all, opts);
	if (err) {
		agents_free(all);
		return err;
	}
	err = agents_launch(all);
	if (err) {
		ghost_agents_stop(all);
		return err;
	}
	phase_set(all, AGENTS_GO);
	*ret = all;
	return 0;
}

int ghost_agents_wait(struct ghost_agents *all, int timeout_ms)
{
	return all->backend->wait(all->backend, &all->ended, 0,
				  timeout_ms < 0 ? ~0ull : timeout_ms * 1000000ull);
}

void ghost_agents_stop(struct ghost_agents *all)
{
	struct ghost_ctl offline = { .op = GHOST_CTL_AGENT_OFFLINE };
	bool deciding;

	if (!all)
		return;
	deciding = ghost_load_acquire(&all->phase) == AGENTS_GO &&
		   ghost_load_acquire(&all->nr_ended) < all->nr;
	/*
	 * Before the first of them ends, which would be taken for a crash. Only
	 * if they decide: with all of ours gone, others may be online by now.
	 */
	if (deciding) {
		offline.enclave = ghost_enclave_id(all->enclave);
		all->backend->agent(all->backend, &offline);
	}
	phase_set(all, AGENTS_STOP);
	for (uint32_t i = 0; i < all->nr; i++) {
		struct ghost_ctl ping = {
			.op = GHOST_CTL_AGENT_PING,
			.enclave = ghost_enclave_id(all->enclave),
			.cpu = all->agent[i].cpu,
		};

		/* A parked agent looks at the phase only when it runs. */
		all->backend->agent(all->backend, &ping);
	}
	for (uint32_t i = 0; i < all->nr; i++)
		if (all->agent[i].thread)
			all->backend->thread_join(all->backend, all->agent[i].thread);
	if (all->policy->fini)
		all->policy->fini(all->data);
	agents_free(all);
}
