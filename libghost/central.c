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
/* The place of a queue that was removed is kept for two heartbeats, 100 to 150 ms. */
#define PLACE_WAIT_NS 10000000
#define PLACE_TRIES 50
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
	uint32_t most = GHOST_QUEUE_LEN, len;
	int err, tries = PLACE_TRIES;

	/* A few messages of every thread; as much as there is room for. */
	while (most < 4 * all->mem->capacity && most < GHOST_QUEUE_LEN_MAX / 2)
		most *= 2;
	do {
		for (len = most; len >= GHOST_QUEUE_LEN; len /= 2) {
			ctl.len = len;
			err = queue_request(all, &ctl);
			if (err != -ENOSPC)
				break;
		}
		/* Those of agents before us, which have just stopped? */
		if (err == -ENOSPC)
			all->backend->sleep(all->backend, PLACE_WAIT_NS);
	} while (err == -ENOSPC && tries--);
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

	a->nr_free = 0;
	/* In each round of an agent that spins: no word more than there are CPUs. */
	for (uint32_t w = 0; w * 64 < all->mem->nr_cpus; w++) {
		uint64_t idle = __atomic_load_n(&all->status->idle[w], __ATOMIC_RELAXED);
		uint64_t self = w == a->cpu / 64 ? 1ull << a->cpu % 64 : 0;
		uint64_t free = idle & all->cpus.word[w] & ~self;

		for (uint64_t rest = free; rest; rest &= rest - 1) {
			uint32_t cpu = w * 64 + __builtin_ctzll(rest);
			const struct ghost_agent *there = all->by_cpu[cpu];

			if (there->current || there->staged.task || !available(there))
				free &= ~(rest & -rest);
			else
				a->nr_free++;
		}
		a->free.word[w] = free;
	}
	if (!a->nr_free && !a->staged.task && have_only_ours(a)) {
		ghost_cpuset_add(&a->free, a->cpu);
		a->nr_free = 1;
	}
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

/* @pick is on the CPU of @there, by @txn. */
static void settled(struct ghost_agent *there, const struct pick *pick, const struct ghost_txn *txn)
{
	pick->task->on = there->cpu + 1;
	there->current = pick->task;
	there->committed_ns = txn->commit_ns;
	there->began_ns = 0;
}

/* What became of the pick for the CPU of @there: the request is over. */
static void settle(struct ghost_agent *a, struct ghost_agent *there)
{
	struct ghost_txn *txn = &there->rw->txn;
	uint32_t state = ghost_load_acquire(&txn->state);
	struct pick pick = there->pick;

	txn->state = GHOST_TXN_FREE;
	there->pick.task = NULL;
	if (state == GHOST_TXN_COMMITTED)
		settled(there, &pick, txn);
	else
		inbox_refused(a, pick.task, pick.seq, state);
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
	ghost_cpuset_for_each(cpu, &all->picked) settle(a, all->by_cpu[cpu]);
}

/* --- time ----------------------------------------------------------------------------------- */

uint64_t ghost_agent_current_since_ns(struct ghost_agent *a, uint32_t cpu)
{
	struct ghost_agent *there = cpu < a->all->mem->nr_cpus ? a->all->by_cpu[cpu] : NULL;
	uint64_t came;

	if (!there || !there->current)
		return 0;
	/*
	 * The commit says nothing of when the CPU came round to it, which may be
	 * long after (in a VM). Its status word does; once, because the next to
	 * write that line is the CPU, when the thread leaves.
	 */
	if (!there->began_ns) {
		came = __atomic_load_n(&there->current->status->switch_ns, __ATOMIC_RELAXED);
		if (came < there->committed_ns)
			return ghost_agent_now_ns(a);
		there->began_ns = came;
	}
	return there->began_ns;
}

void ghost_agent_due(struct ghost_agent *a, uint64_t when_ns)
{
	if (when_ns < a->due_ns)
		a->due_ns = when_ns;
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

/*
 * @there->staged is written. One at a time: the CPU looks at it whenever it
 * wants, and ends a pick that it has taken with a state written over whatever
 * stands there. So it counts as staged until reap() has seen that state.
 */
static void write_pick(struct ghost_agent *there)
{
	write_txn(&there->staged, &there->rw->pick);
	ghost_cpuset_add(&there->all->staged, there->cpu);
	there->all->nr_staged++;
}

bool ghost_agent_stage(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t, uint64_t slice_ns)
{
	struct ghost_agents *all = a->all;
	struct ghost_agent *there = cpu < all->mem->nr_cpus ? all->by_cpu[cpu] : NULL;

	if (!all->central || !there || there == a || there->staged.task || !available(there))
		return false;
	if (t->state != TASK_RUNNABLE)
		return false;
	t->state = TASK_PICKED;
	there->staged = (struct pick){
		.task = t,
		.seq = t->seq,
		.slice_ns = slice_ns ?: GHOST_SLICE_INF,
	};
	inbox_taken(a, t);
	write_pick(there);
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
		if (state != GHOST_TXN_COMMITTED)
			inbox_refused(a, pick.task, pick.seq, state);
		else if (fresh)
			settled(there, &pick, &there->rw->pick);
	}
}

/*
 * A pick for our own CPU, which takes it when we sleep; we come back soon
 * enough. It is done with that by then, unless we were moved elsewhere (the CPU
 * goes offline; or whoever may has changed our affinity) and run beside it.
 */
static void lend_cpu(struct ghost_agent *a)
{
	a->staged = a->pick;
	a->pick.task = NULL;
	write_pick(a);
	a->all->backend->sleep(a->all->backend, LEND_NS);
	/* Takes it back if somebody else had the CPU all the time. */
	reap(a);
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

/* All picks of this round: those for other CPUs in one call. */
static void commit(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;

	ghost_cpuset_del(&all->picked, a->cpu);
	if (!ghost_cpuset_empty(&all->picked))
		commit_remote(a);
	memset(&all->picked, 0, sizeof(all->picked));
	all->any_picked = false;
	if (a->pick.task)
		lend_cpu(a);
}

/* Returns true when there was anything to do. */
static bool decide(struct ghost_agent *a)
{
	struct ghost_agents *all = a->all;
	bool busy;

	a->now_ns = 0;
	a->due_ns = ~0ull;
	/* Before the messages: what is told of a thread comes after it was put on its CPU. */
	reap(a);
	busy = drain(a);
	find_free(a);
	/* In most rounds of a machine that is not full there is nothing to decide. */
	if (all->nr_waiting || all->nr_staged)
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

/* Did somebody of a higher class wait for its CPU, or have it, when the heartbeat looked? */
static bool waited_for(const struct ghost_agent *there)
{
	return __atomic_load_n(&there->page->waited, __ATOMIC_RELAXED);
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
		if (!available(other) || waited_for(other))
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
 * A thread of a higher class than ours wants the CPU, or still waits for it after we
 * could go nowhere, or it is gone; or a thread of ours can run nowhere else, and the
 * agent has been here long enough for those of whom that is true elsewhere.
 */
static bool must_leave(const struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;

	return ghost_load_acquire(&a->page->wanted) != a->wanted_seen || waited_for(a) ||
	       cpu_state(a) == GHOST_CPU_OFF ||
	       (a->nr_only && b->now_ns(b) - a->since_ns >= STAY_NS);
}

/* It is our turn, until somebody wants the CPU. */
static void take_turn(struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;
	bool away = false;

	/* The CPU may have been away, and then the kernel has put us elsewhere. */
	b->agent_pin(b, a->cpu);
	a->wanted_seen = ghost_load_acquire(&a->page->wanted);
	a->since_ns = b->now_ns(b);
	ghost_store_release(&a->rw->spins, 1);
	while (agents_online(a->all)) {
		/* Nobody could go on for us. Where we are now nobody asks us to make room. */
		if (away && cpu_state(a) != GHOST_CPU_OFF)
			b->agent_pin(b, a->cpu);
		away = cpu_state(a) == GHOST_CPU_OFF;
		if (must_leave(a) && hand_over(a))
			return;
		if (!decide(a) && !waited_for(a))
			b->agent_relax(b, a->due_ns);
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
