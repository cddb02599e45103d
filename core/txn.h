/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Committing: is this decision still true, and if so, carry it out.
 * In: a transaction slot in agent-writable memory. Out: its final state; the
 * thread moved from custody to the CPU. Called by the ops in dispatch.
 */
#ifndef GHOST_CORE_TXN_H
#define GHOST_CORE_TXN_H

#include "core/agent.h"
#include "core/msg.h"
#include "core/port.h"

/* A refusal by the thread's own state. */
static __u32 txn_refuse_state(__u32 state)
{
	/* Another CPU's commit that may still fail: who is told "on a CPU" would forget it. */
	if (state >= CORE_TASK_CLAIMED)
		return GHOST_TXN_AGAIN;
	switch (state) {
	case CORE_TASK_LATCHED:
	case CORE_TASK_FALLBACK:
		return GHOST_TXN_ON_CPU;
	case CORE_TASK_ABSENT:
		return GHOST_TXN_NOT_FOUND;
	default:
		return GHOST_TXN_NOT_RUNNABLE;
	}
}

/*
 * Move the thread of @txn (a private copy) to @cpu, which is looking for
 * work. Checks go from the cheapest to the dearest; the custody point is
 * taken first so that what was checked cannot change before the move.
 */
static __u32 txn_move(__u32 enclave, __u32 cpu, const struct ghost_txn *txn,
		      struct port_custody *custody)
{
	struct core_task *t = port_task(txn->slot);
	struct ghost_status *st;
	__u32 state;

	if (!t || !txn->slot)
		return GHOST_TXN_INVALID;
	if (t->enclave != enclave)
		return GHOST_TXN_NOT_FOUND;
	if (t->seq != txn->task_seq)
		return GHOST_TXN_TASK_STALE;
	state = port_load_acquire(&t->state);
	if (state != CORE_TASK_CUSTODY)
		return txn_refuse_state(state);
	if (!port_task_allowed(txn->slot, cpu))
		return GHOST_TXN_NOT_ALLOWED;
	/*
	 * CLAIMED before the move: from the moment it is on the CPU's queue its
	 * next event may come, from another CPU, and must not find CUSTODY.
	 */
	if (port_cmpxchg(&t->state, CORE_TASK_CUSTODY, CORE_TASK_CLAIMED + cpu) !=
	    CORE_TASK_CUSTODY)
		return GHOST_TXN_AGAIN;
	if (!port_custody_move(custody, txn->slot, txn->slice_ns)) {
		/* Not there yet, or no more. Only undo what no event has overwritten. */
		port_cmpxchg(&t->state, CORE_TASK_CLAIMED + cpu, CORE_TASK_CUSTODY);
		return t->seq == txn->task_seq ? GHOST_TXN_AGAIN : GHOST_TXN_TASK_STALE;
	}
	port_cmpxchg(&t->state, CORE_TASK_CLAIMED + cpu, CORE_TASK_LATCHED);
	/*
	 * From here on its messages go to this CPU's agent. All earlier ones
	 * have been read, or the sequence number would not have fitted.
	 */
	t->queue = cpu;
	st = port_status(enclave, txn->slot);
	if (st) {
		st->queue = cpu;
		st->cpu = cpu;
		/* No message, no new number: who committed it knows. */
		status_publish(t, st);
	}
	return GHOST_TXN_COMMITTED;
}

static void txn_ping(__u32 enclave, __u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);

	if (c && c->enclave == enclave)
		agent_ping(enclave, cpu);
}

/*
 * Is there a transaction for @cpu, written by its agent before it gave the
 * CPU up? Carries it out and stores the final state. Returns that state, or
 * GHOST_TXN_FREE when there was none.
 */
static __u32 txn_commit_local(__u32 enclave, __u32 cpu, struct core_cpu *c)
{
	struct ghost_cpu_rw *rw = port_cpu_rw(enclave, cpu);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct ghost_txn txn;
	__u32 state;

	if (!rw || !page)
		return GHOST_TXN_FREE;
	if (port_load_acquire(&rw->txn.state) != GHOST_TXN_READY)
		return GHOST_TXN_FREE;
	/* One read of each field: what is checked is what is used. */
	txn.slot = *(volatile __u32 *)&rw->txn.slot;
	txn.task_seq = *(volatile __u32 *)&rw->txn.task_seq;
	txn.agent_seq = *(volatile __u32 *)&rw->txn.agent_seq;
	txn.slice_ns = *(volatile __u64 *)&rw->txn.slice_ns;
	txn.flags = *(volatile __u32 *)&rw->txn.flags;
	txn.ping_cpu = *(volatile __u32 *)&rw->txn.ping_cpu;

	if (txn.flags || !txn.slice_ns)
		state = GHOST_TXN_INVALID;
	else if (txn.agent_seq != port_load_acquire(&page->agent_seq))
		state = GHOST_TXN_AGENT_STALE;
	else if (!txn.slot)
		state = GHOST_TXN_YIELDED;
	else {
		struct port_custody custody;

		port_custody_open(&custody, enclave);
		state = txn_move(enclave, cpu, &txn, &custody);
		port_custody_close(&custody);
	}

	if (state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED)
		c->agent_seen = txn.agent_seq;
	if (txn.ping_cpu != GHOST_CPU_NONE)
		txn_ping(enclave, txn.ping_cpu);
	if (state < GHOST_TXN_NR_STATES)
		page->nr_txn[state & 15]++;
	port_store_release(&rw->txn.state, state);
	return state;
}

#endif
