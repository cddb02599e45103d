// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The loop of an agent that decides for its own CPU: read the number, drain,
 * decide, commit with it.
 * In: messages of its CPU's queue. Out: callbacks of a policy, transactions.
 */
#include <string.h>

#include "libghost/loop.h"
#include "libghost/queue.h"

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
		while (ghost_queue_pop(a->all->mem, owner->cpu, &m)) {
			inbox_handle(a, &m);
			step(a, GHOST_STEP_MSG);
		}
		if (overflow != owner->overflow_seen) {
			/* Events were lost, not threads: the table has them all. */
			owner->overflow_seen = overflow;
			inbox_rebuild(a, owner->cpu);
		}
		ghost_unlock(&owner->queue_lock);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (ghost_queue_ready(a->all->mem, owner->cpu) ||
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
	if (other && other != a && !ghost_queue_empty(a->all->mem, other->cpu))
		drain(a, other);
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
	struct pick pick = a->pick;
	uint32_t state;

	a->pick.task = NULL;
	txn->slot = pick.task ? pick.task->slot : GHOST_SLOT_NONE;
	txn->task_seq = pick.seq;
	txn->agent_seq = agent_seq;
	txn->slice_ns = pick.task ? pick.slice_ns : GHOST_SLICE_INF;
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
	if (pick.task && state != GHOST_TXN_COMMITTED)
		inbox_refused(a, pick.task, pick.seq,
			      state == GHOST_TXN_READY ? GHOST_TXN_AGENT_STALE : state);
}

void percpu_loop(struct ghost_agent *a)
{
	const struct ghost_policy *p = a->all->policy;

	/* Whoever was there before us: the status table knows. */
	while (!ghost_lock_try(&a->queue_lock)) {
		ghost_relax();
		step(a, GHOST_STEP_SPIN);
	}
	inbox_rebuild(a, a->cpu);
	ghost_unlock(&a->queue_lock);

	while (agents_online(a->all)) {
		/* Before the drain: what comes after it makes the commit stale (paper 3.2). */
		uint32_t agent_seq = ghost_load_acquire(&a->page->agent_seq);

		a->now_ns = 0;
		step(a, GHOST_STEP_NUMBER);
		drain(a, a);
		help(a);
		ghost_cpuset_add(&a->free, a->cpu);
		a->nr_free = 1;
		p->schedule(a, a->cpu);
		step(a, GHOST_STEP_SCHEDULE);
		commit(a, agent_seq);
	}
}
