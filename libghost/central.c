// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The loop of an agent that decides for all CPUs: it spins above the fair
 * class, reads one queue, and commits to other CPUs in groups. The agents of
 * the other CPUs sleep. When a thread of a higher class than ours wants its
 * CPU, it hands over to one of them and sleeps itself (paper 3.3).
 * In: messages of all threads. Out: callbacks of a policy, transactions.
 */
#include <errno.h>
#include <string.h>

#include "libghost/loop.h"
#include "libghost/queue.h"

/* Messages handled before the policy is asked again: new threads must not keep it from deciding. */
#define DRAIN_MAX 512
/* No other CPU can be had: let whoever wants this one run for so long, then look again. */
#define STEP_ASIDE_NS 100000
/* Nor for our threads: one of them has ours for so long, until we look again. */
#define LEND_NS 1000000
#define ONLY_OURS_ROUNDS 64
/* Where threads wait that can run nowhere else, the agent goes on after so long. */
#define STAY_NS 1000000

/* --- the queue ------------------------------------------------------------------------ */

int central_open(struct ghost_agents *all)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_CREATE, .enclave = enclave_of(all) };
	uint32_t len = GHOST_QUEUE_LEN;
	int err;

	/* A few messages of every thread; as much as there is room for. */
	while (len < 4 * all->mem->capacity && len < GHOST_QUEUE_LEN_MAX / 2)
		len *= 2;
	do {
		ctl.len = len;
		err = queue_request(all, &ctl);
		len /= 2;
	} while (err == -ENOSPC && len >= GHOST_QUEUE_LEN);
	if (err)
		return err;
	all->queue = ctl.queue;
	all->mem->cpu_rw[all->queue].queue_tail = 0;
	ctl.op = GHOST_CTL_QUEUE_DEFAULT;
	/* The first one begins. */
	all->agent[0].turn = 1;
	return queue_request(all, &ctl);
}

void central_close(struct ghost_agents *all)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_QUEUE_DESTROY,
		.enclave = enclave_of(all),
		.queue = all->queue,
	};

	/* With others online by now it is theirs, and gone. */
	if (all->queue && all->status->state != GHOST_ENCLAVE_ONLINE)
		queue_request(all, &ctl);
}

/* Returns true when there was anything. */
static bool drain(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;
	const struct ghost_queue *q = &all->mem->cpu[all->queue].queue;
	uint32_t overflow = ghost_load_acquire(&q->overflow), nr = 0;
	struct ghost_msg m;

	while (nr < DRAIN_MAX && ghost_queue_pop(all->mem, all->queue, &m)) {
		inbox_handle(a, &m);
		step(a, GHOST_STEP_MSG);
		nr++;
	}
	/* Events were lost, not threads: the table has them all. */
	if (overflow != all->overflow_seen || !all->rebuilt) {
		all->overflow_seen = overflow;
		all->rebuilt = true;
		inbox_rebuild(a, GHOST_QUEUE_NONE);
		nr++;
	}
	return nr;
}

/* --- deciding --------------------------------------------------------------------------- */

static bool available(const struct ghost_agent *there)
{
	return __atomic_load_n(&there->page->state, __ATOMIC_RELAXED) == GHOST_CPU_AVAILABLE;
}

/*
 * Threads wait, and nobody but us has a CPU that a member could run on: the
 * others are offline, or a higher class has them. Looked for now and then only.
 */
static bool have_only_ours(const struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;

	if (!all->nr_waiting || ++all->nr_rounds % ONLY_OURS_ROUNDS)
		return false;
	for (uint32_t i = 0; i < all->nr; i++)
		if (&all->agent[i] != a && available(&all->agent[i]))
			return false;
	return true;
}

/* CPUs that idle and for which nothing is under way. */
static void find_free(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;
	bool any = false;

	for (int w = 0; w < GHOST_CPU_WORDS; w++) {
		uint64_t idle = __atomic_load_n(&all->status->idle[w], __ATOMIC_RELAXED);

		all->free.word[w] = idle & all->cpus.word[w] & ~a->own.word[w];
	}
	ghost_cpuset_for_each(cpu, &all->free)
	{
		const struct ghost_agent *there = all->by_cpu[cpu];

		if (there->current || there->staged.task || !available(there))
			ghost_cpuset_del(&all->free, cpu);
		else
			any = true;
	}
	if (!any && !a->staged.task && have_only_ours(a))
		ghost_cpuset_add(&all->free, a->cpu);
}

static void write_txn(const struct pick *pick, struct ghost_txn *txn)
{
	txn->slot = pick->task->slot;
	txn->task_seq = pick->seq;
	txn->slice_ns = pick->slice_ns;
	/* The agents there sleep, and have nothing to learn from it. */
	txn->flags = pick->flags | GHOST_COMMIT_ELIDE_AGENT_SEQ;
	txn->ping_cpu = GHOST_CPU_NONE;
	ghost_store_release(&txn->state, GHOST_TXN_READY);
}

/* What became of the pick for the CPU of @there. */
static void settle(struct ghost_agent *a, struct ghost_agent *there, struct ghost_txn *txn)
{
	uint32_t state = ghost_load_acquire(&txn->state);
	struct pick pick = there->pick;

	txn->state = GHOST_TXN_FREE;
	there->pick.task = NULL;
	if (state == GHOST_TXN_COMMITTED) {
		pick.task->on = there->cpu + 1;
		there->current = pick.task;
	} else {
		inbox_refused(a, pick.task, pick.seq, state);
	}
}

/* A pick for our own CPU, which takes it when we sleep; we come back soon enough. */
static void lend_cpu(struct ghost_agent *a)
{
	struct ghost_txn *txn = &a->rw->pick;
	uint32_t ready = GHOST_TXN_READY;

	write_txn(&a->pick, txn);
	a->all->backend->sleep(a->all->backend, LEND_NS);
	/* Somebody else had the CPU all the time. */
	__atomic_compare_exchange_n(&txn->state, &ready, GHOST_TXN_ABORTED, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	settle(a, a, txn);
}

static void commit_remote(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT, .enclave = enclave_of(all) };

	ghost_cpuset_for_each(cpu, &all->picked)
		write_txn(&all->by_cpu[cpu]->pick, &all->by_cpu[cpu]->rw->txn);
	memcpy(ctl.cpus, all->picked.word, sizeof(ctl.cpus));
	step(a, GHOST_STEP_COMMIT);
	all->backend->agent(all->backend, &ctl);
	ghost_cpuset_for_each(cpu, &all->picked)
		settle(a, all->by_cpu[cpu], &all->by_cpu[cpu]->rw->txn);
}

/* All picks of this round: those for other CPUs in one call. */
static void commit(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;

	ghost_cpuset_del(&all->picked, a->cpu);
	if (ghost_cpuset_count(&all->picked))
		commit_remote(a);
	memset(&all->picked, 0, sizeof(all->picked));
	all->any_picked = false;
	if (a->pick.task)
		lend_cpu(a);
}

/* --- written ahead ------------------------------------------------------------------------ */

const struct ghost_cpuset *ghost_agent_staged_cpus(const struct ghost_agent *a)
{
	return &a->all->staged;
}

struct ghost_task *ghost_agent_staged(const struct ghost_agent *a, uint32_t cpu)
{
	const struct ghost_agent *there = cpu < a->all->mem->nr_cpus ? a->all->by_cpu[cpu] : NULL;

	return there ? there->staged.task : NULL;
}

bool ghost_agent_stage(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t, uint64_t slice_ns)
{
	struct ghost_agents *all = a->all;
	struct ghost_agent *there = cpu < all->mem->nr_cpus ? all->by_cpu[cpu] : NULL;
	bool ok;

	if (!all->central || !there || there == a || there->staged.task || !available(there))
		return false;
	ghost_lock(&t->lock);
	ok = t->state == TASK_RUNNABLE;
	if (ok) {
		t->state = TASK_PICKED;
		there->staged = (struct pick){
			.task = t,
			.seq = t->seq,
			.slice_ns = slice_ns ?: GHOST_SLICE_INF,
		};
	}
	ghost_unlock(&t->lock);
	if (!ok)
		return false;
	inbox_taken(a, t);
	write_txn(&there->staged, &there->rw->pick);
	ghost_cpuset_add(&all->staged, cpu);
	all->nr_staged++;
	/* The pick first, then the bit: the CPU sets that and then looks at the pick once more. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ghost_agent_cpu_idle(a, cpu)) {
		ghost_cpuset_add(&all->kick, cpu);
		all->any_kick = true;
	}
	return true;
}

static void unstaged(struct ghost_agent *there)
{
	there->rw->pick.state = GHOST_TXN_FREE;
	there->staged.task = NULL;
	ghost_cpuset_del(&there->all->staged, there->cpu);
	there->all->nr_staged--;
}

/* Returns true when the CPU has not taken it. */
static bool withdraw(struct ghost_agent *there)
{
	uint32_t ready = GHOST_TXN_READY;

	return __atomic_compare_exchange_n(&there->rw->pick.state, &ready, GHOST_TXN_ABORTED, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

struct ghost_task *ghost_agent_unstage(struct ghost_agent *a, uint32_t cpu)
{
	struct ghost_agents *all = a->all;
	struct ghost_agent *there = cpu < all->mem->nr_cpus ? all->by_cpu[cpu] : NULL;
	struct pick pick;

	if (!there || !there->staged.task || !withdraw(there))
		return NULL;
	pick = there->staged;
	unstaged(there);
	/* If a message came meanwhile the policy has heard of it there. */
	return inbox_back(a, pick.task, pick.seq) ? pick.task : NULL;
}

/* What became of picks that were written ahead. */
static void reap(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;

	if (!all->nr_staged)
		return;
	ghost_cpuset_for_each(cpu, &all->staged)
	{
		struct ghost_agent *there = all->by_cpu[cpu];
		struct pick pick = there->staged;
		uint32_t state = ghost_load_acquire(&there->rw->pick.state);
		/* A message made it void: the kernel side would refuse it, too. */
		bool fresh = pick.task->state == TASK_PICKED && pick.task->seq == pick.seq;

		if (state == GHOST_TXN_TAKEN)
			continue;
		if (state == GHOST_TXN_READY) {
			/* Or nobody could run there: who had to wait must not wait for that. */
			if ((fresh && there != a && available(there)) || !withdraw(there))
				continue;
			state = GHOST_TXN_ABORTED;
		}
		unstaged(there);
		if (state == GHOST_TXN_COMMITTED && fresh) {
			pick.task->on = cpu + 1;
			there->current = pick.task;
		} else if (state != GHOST_TXN_COMMITTED) {
			inbox_refused(a, pick.task, pick.seq, state);
		}
	}
}

static void kick(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;
	struct ghost_ctl ctl = { .op = GHOST_CTL_KICK, .enclave = enclave_of(all) };

	memcpy(ctl.cpus, all->kick.word, sizeof(ctl.cpus));
	memset(&all->kick, 0, sizeof(all->kick));
	all->any_kick = false;
	all->backend->agent(all->backend, &ctl);
}

/* Returns true when there was anything to do. */
static bool decide(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;
	bool busy;

	/* Before the messages: what is told of a thread comes after it was put on its CPU. */
	reap(a);
	busy = drain(a);
	find_free(a);
	all->policy->schedule(a, a->cpu);
	step(a, GHOST_STEP_SCHEDULE);
	busy |= all->any_kick || all->any_picked;
	if (all->any_kick)
		kick(a);
	if (all->any_picked)
		commit(a);
	return busy;
}

/* --- whose turn it is ------------------------------------------------------------------------ */

static void turn_of(struct ghost_agent *a)
{
	__atomic_add_fetch(&a->turn, 1, __ATOMIC_ACQ_REL);
	a->all->backend->wake(a->all->backend, &a->turn);
}

void central_wake_all(struct ghost_agents *all)
{
	for (uint32_t i = 0; i < all->nr; i++)
		turn_of(&all->agent[i]);
}

static uint32_t cpu_state(const struct ghost_agent *there)
{
	return __atomic_load_n(&there->page->state, __ATOMIC_RELAXED);
}

/*
 * Where to go: the nearest CPU that idles, else the nearest that nobody else
 * waits for; and if ours is gone, to any that is there.
 */
static struct ghost_agent *successor(struct ghost_agent *a)
{
	struct ghost_agent *other, *second = NULL, *any = NULL;

	for (uint32_t i = 0; i < a->nr_neighbours; i++) {
		other = a->all->by_cpu[a->neighbours[i]];
		if (!any && cpu_state(other) != GHOST_CPU_OFF)
			any = other;
		if (!available(other) || __atomic_load_n(&other->page->waited, __ATOMIC_RELAXED))
			continue;
		if (!other->current && ghost_agent_cpu_idle(a, other->cpu))
			return other;
		if (!second)
			second = other;
	}
	return second || cpu_state(a) != GHOST_CPU_OFF ? second : any;
}

/* Somebody wants this CPU, or it is gone. Returns true when another agent goes on. */
static bool hand_over(struct ghost_agent *a)
{
	struct ghost_agent *next = successor(a);

	a->wanted_seen = ghost_load_acquire(&a->page->wanted);
	if (!next) {
		a->all->backend->sleep(a->all->backend, STEP_ASIDE_NS);
		return false;
	}
	ghost_store_release(&a->rw->spins, 0);
	turn_of(next);
	return true;
}

/*
 * A thread of a higher class than ours wants the CPU, or it is gone; or a
 * thread of ours can run nowhere else, and the agent has been here long enough
 * for those of whom that is true elsewhere.
 */
static bool must_leave(const struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;

	return ghost_load_acquire(&a->page->wanted) != a->wanted_seen ||
	       cpu_state(a) == GHOST_CPU_OFF ||
	       (a->nr_only && b->now_ns(b) - a->since_ns >= STAY_NS);
}

/* It is our turn, until somebody wants the CPU. */
static void take_turn(struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;

	/* The CPU may have been away, and then the kernel has put us elsewhere. */
	b->agent_pin(b, a->cpu);
	a->wanted_seen = ghost_load_acquire(&a->page->wanted);
	a->since_ns = b->now_ns(b);
	ghost_store_release(&a->rw->spins, 1);
	while (agents_online(a->all)) {
		if (must_leave(a) && hand_over(a))
			return;
		if (!decide(a))
			b->agent_relax(b);
	}
	ghost_store_release(&a->rw->spins, 0);
}

void central_loop(struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;
	uint32_t seen = 0;

	while (agents_online(a->all)) {
		b->wait(b, &a->turn, seen, ~0ull);
		seen = ghost_load_acquire(&a->turn);
		if (agents_online(a->all))
			take_turn(a);
	}
	/* Whoever notices the end first tells the others. */
	central_wake_all(a->all);
}
