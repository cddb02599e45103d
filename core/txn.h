/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Committing: is this decision still true, and if so, carry it out.
 * In: a transaction slot in agent-writable memory. Out: its final state; the
 * thread moved from custody to its CPU. Called by the ops in dispatch and by
 * requests of agents.
 */
#ifndef GHOST_CORE_TXN_H
#define GHOST_CORE_TXN_H

#include "core/agent.h"
#include "core/msg.h"
#include "core/port.h"

/* Who carries it out, and when. */
enum txn_kind {
	TXN_LOCAL,  /* the CPU itself: its agent has given it up for this */
	TXN_PICK,   /* the CPU itself: it looks for work, and this was written ahead */
	TXN_REMOTE, /* an agent, for any CPU of its enclave */
};

/* A refusal by the thread's own state. */
static __u32 txn_refuse_state(__u32 state)
{
	/* Another CPU's commit that may still fail: who is told "on a CPU" would forget it. */
	if (state >= CORE_TASK_CLAIMED)
		return GHOST_TXN_AGAIN;
	switch (state) {
	case CORE_TASK_LATCHED:
	case CORE_TASK_RUNNING:
	case CORE_TASK_FALLBACK:
		return GHOST_TXN_ON_CPU;
	case CORE_TASK_ABSENT:
		return GHOST_TXN_NOT_FOUND;
	default:
		return GHOST_TXN_NOT_RUNNABLE;
	}
}

/* Is the thread of @txn on @cpu already, and may it be? */
static int txn_there_already(const struct core_task *t, __u32 state, __u32 cpu,
			     const struct ghost_txn *txn)
{
	const struct core_cpu *c = port_cpu(cpu);

	return (txn->flags & GHOST_COMMIT_ALLOW_TASK_ON_CPU) && c && c->runs == txn->slot &&
	       (state == CORE_TASK_LATCHED || state == CORE_TASK_RUNNING);
}

/*
 * May the thread of @txn (a private copy) be run on @cpu? Claims it, so that
 * no other commit can have it. Checks go from the cheapest to the dearest.
 * Returns GHOST_TXN_READY if so, or the final state.
 */
static __u32 txn_claim(__u32 enclave, __u32 cpu, const struct ghost_txn *txn)
{
	struct core_task *t = port_task(txn->slot);
	enum port_allowed allowed;
	__u32 state;

	if (!t || !txn->slot)
		return GHOST_TXN_INVALID;
	if (t->enclave != enclave)
		return GHOST_TXN_NOT_FOUND;
	if (t->seq != txn->task_seq)
		return GHOST_TXN_TASK_STALE;
	state = port_load_acquire(&t->state);
	if (state != CORE_TASK_CUSTODY)
		return txn_there_already(t, state, cpu, txn) ? GHOST_TXN_COMMITTED :
							       txn_refuse_state(state);
	allowed = port_task_allowed(txn->slot, cpu);
	/*
	 * The enqueue of a thread that was just running is a BPF program with
	 * that thread as the current one, which disables its migration for so
	 * long: it is not there yet.
	 */
	if (allowed == PORT_CONFINED && !(t->flags & CORE_TASK_CONFINED))
		return GHOST_TXN_AGAIN;
	if (allowed != PORT_ALLOWED)
		return GHOST_TXN_NOT_ALLOWED;
	/*
	 * CLAIMED before the move: from the moment it is on the CPU's queue its
	 * next event may come, from another CPU, and must not find CUSTODY.
	 */
	if (port_cmpxchg(&t->state, CORE_TASK_CUSTODY, CORE_TASK_CLAIMED + cpu) !=
	    CORE_TASK_CUSTODY)
		return GHOST_TXN_AGAIN;
	return GHOST_TXN_READY;
}

/* Take a claim back. Only undo what no event has overwritten. */
static void txn_unclaim(__u32 cpu, const struct ghost_txn *txn)
{
	struct core_task *t = port_task(txn->slot);

	if (t)
		port_cmpxchg(&t->state, CORE_TASK_CLAIMED + cpu, CORE_TASK_CUSTODY);
}

/* --- slices that a timer ends ---------------------------------------------------------- */

static __u64 txn_slice_rest(__u64 ns)
{
	return ns < GHOST_TIMER_MIN_NS ? GHOST_TIMER_MIN_NS : ns;
}

/*
 * The timer for the slice on @cpu has expired: whoever waits comes before the
 * thread there. If nobody does, the thread has the CPU until a commit takes it:
 * looking again and again would cost more than it brings, and agents that spin
 * notice who comes. Returns when to look again, in ns from now; 0: never.
 */
static __u64 txn_slice_over(__u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);
	const struct core_enclave *e;
	const struct ghost_status *st;
	const struct core_task *t;
	__u32 state;
	__u64 ran;

	if (!c || !c->enclave || !c->slice_slot)
		return 0;
	e = port_enclave(c->enclave);
	t = port_task(c->slice_slot);
	st = port_status(c->enclave, c->slice_slot);
	/* The fallback has slices of its own. */
	if (!e || !t || !st || !enclave_online(e) || t->enclave != c->enclave)
		return 0;
	state = port_load_acquire(&t->state);
	if (state < CORE_TASK_CLAIMED) {
		/* That commit's thread has left. */
		if (t->on != cpu + 1 || t->since_ns != c->slice_commit_ns)
			return 0;
	}
	/* It counts from when the thread is there, which may be long after the commit. */
	if (state != CORE_TASK_RUNNING)
		return txn_slice_rest(c->slice_ns);
	ran = port_now_ns() - st->switch_ns;
	if (ran < c->slice_ns)
		return txn_slice_rest(c->slice_ns - ran);
	if (port_waiting(c->enclave, PORT_CUSTODY))
		port_preempt(cpu);
	return 0;
}

/*
 * What is about to be committed gets a timer, instead of the one before. Before
 * the move, as its success decides: if there is no memory for it the tick ends
 * the slice. Returns the slice for the kernel.
 */
static __u64 txn_slice_timer(__u32 cpu, struct core_cpu *c, const struct ghost_txn *txn)
{
	c->slice_slot = txn->slot;
	c->slice_ns = txn->slice_ns;
	c->slice_commit_ns = txn->commit_ns;
	return port_slice_timer_set(cpu, txn->slice_ns) ? txn->slice_ns : GHOST_SLICE_INF;
}

/* --- moving ------------------------------------------------------------------------- */

/*
 * Move the thread that txn_claim() has claimed to @cpu. The custody point was
 * taken before the claim, so what was checked cannot have changed. Returns
 * GHOST_TXN_COMMITTED, or why not.
 */
static __u32 txn_move(__u32 enclave, __u32 cpu, const struct ghost_txn *txn,
		      struct port_custody *custody, enum txn_kind kind)
{
	struct ghost_status *st = port_status(enclave, txn->slot);
	const struct core_enclave *e = port_enclave(enclave);
	struct core_task *t = port_task(txn->slot);
	struct core_cpu *c = port_cpu(cpu);
	enum port_move how = PORT_MOVE_HERE;
	int stays;
	const struct core_task *there;
	__u32 runs, run, displaced;
	__u64 since, slice_ns = txn->slice_ns;

	if (!t || !c || !e || !st)
		return GHOST_TXN_INVALID;
	stays = t->returns >= CORE_RETURNS_STAY;
	if (kind == TXN_REMOTE && txn->flags & GHOST_RUN_DO_NOT_PREEMPT) {
		how = PORT_MOVE_THERE;
	} else if (kind == TXN_REMOTE) {
		how = PORT_MOVE_PREEMPT;
		/* Its agent is on its queue: the one or the other would come back. */
		stays |= c->place == CORE_PLACE_STANDBY;
	}
	/* All before the move: elsewhere it may have run and gone by the time that returns. */
	runs = c->runs;
	run = t->run;
	since = t->since_ns;
	displaced = c->displaced;
	/* One that is displaced already is still there; who came after it has not run. */
	if (kind == TXN_REMOTE && runs && !displaced) {
		c->elide = txn->flags & GHOST_RUN_ELIDE_PREEMPT;
		c->displaced = runs;
	}
	c->runs = txn->slot;
	t->on = cpu + 1;
	t->run = txn->flags;
	t->since_ns = txn->commit_ns;
	if (txn->flags & GHOST_RUN_SLICE_TIMER)
		slice_ns = txn_slice_timer(cpu, c, txn);
	if (!port_custody_move(custody, txn->slot, cpu, slice_ns, how, stays)) {
		/* Not there yet, or no more. */
		t->run = run;
		t->on = 0;
		t->since_ns = since;
		/* Who was there is there, unless it left meanwhile. */
		there = port_task(runs);
		if (c->runs == txn->slot || !c->runs)
			c->runs = there && there->on == cpu + 1 ? runs : 0;
		if (!displaced && c->displaced == runs)
			c->displaced = 0;
		txn_unclaim(cpu, txn);
		return t->seq == txn->task_seq ? GHOST_TXN_AGAIN : GHOST_TXN_TASK_STALE;
	}
	port_cmpxchg(&t->state, CORE_TASK_CLAIMED + cpu, CORE_TASK_LATCHED);
	cpu_advance(cpu);
	if (e->slo_ns && since >= e->slo_from_ns)
		cpu_waited(enclave, cpu, txn->commit_ns - since);
	if (kind == TXN_REMOTE) {
		/* No message, no new number: who committed it knows. Unless it runs by now. */
		port_cmpxchg64(&st->word,
			       (__u64)txn->task_seq << 32 | status_flags(CORE_TASK_CUSTODY),
			       (__u64)txn->task_seq << 32 | status_flags(CORE_TASK_LATCHED));
		return GHOST_TXN_COMMITTED;
	}
	/*
	 * What is committed by the CPU itself belongs to its agent: messages go
	 * there from here on, where they are not directed otherwise. All earlier
	 * ones have been read, or the number would not have fitted.
	 */
	if (e->default_queue == GHOST_QUEUE_NONE && !(t->flags & CORE_TASK_ASSOCED))
		t->queue = cpu;
	st->queue = t->queue;
	st->cpu = cpu;
	status_publish(t, st);
	return GHOST_TXN_COMMITTED;
}

/* --- the slot ------------------------------------------------------------------------ */

/*
 * Take what stands READY in @slot into @ret. Each is taken once, whoever asks
 * for it; and each field is read once: what is checked is what is used.
 */
static int txn_take(struct ghost_txn *slot, struct ghost_txn *ret)
{
	if (*(volatile __u32 *)&slot->state != GHOST_TXN_READY ||
	    port_cmpxchg(&slot->state, GHOST_TXN_READY, GHOST_TXN_TAKEN) != GHOST_TXN_READY)
		return 0;
	ret->slot = *(volatile __u32 *)&slot->slot;
	ret->task_seq = *(volatile __u32 *)&slot->task_seq;
	ret->agent_seq = *(volatile __u32 *)&slot->agent_seq;
	ret->slice_ns = *(volatile __u64 *)&slot->slice_ns;
	ret->flags = *(volatile __u32 *)&slot->flags;
	ret->ping_cpu = *(volatile __u32 *)&slot->ping_cpu;
	ret->commit_ns = port_now_ns();
	return 1;
}

static void txn_finish(struct ghost_cpu *page, const struct core_cpu *c, struct ghost_txn *slot,
		       const struct ghost_txn *txn, __u32 state)
{
	page->nr_txn[state % 32]++;
	slot->cpu_seq = c->seq;
	slot->commit_ns = txn->commit_ns;
	port_store_release(&slot->state, state);
}

static int txn_no_thread(__u32 slot)
{
	return slot == GHOST_SLOT_NONE || slot == GHOST_SLOT_IDLE || slot == GHOST_SLOT_AGENT;
}

/* Flags that no one knows, or that contradict each other. */
static int txn_valid(const struct ghost_txn *txn)
{
	if ((txn->flags & ~GHOST_TXN_FLAGS) || !txn->slice_ns)
		return 0;
	if ((txn->flags & GHOST_RUN_NEED_CPU_NOT_IDLE) && txn->slot != GHOST_SLOT_IDLE)
		return 0;
	if ((txn->flags & GHOST_RUN_RTLA_ON_IDLE) &&
	    (txn->slot == GHOST_SLOT_IDLE || txn->slot == GHOST_SLOT_AGENT))
		return 0;
	if (txn->slot == GHOST_SLOT_AGENT && (txn->flags & GHOST_TXN_FLAGS & 0xffff))
		return 0;
	if ((txn->flags & GHOST_RUN_SLICE_TIMER) &&
	    (txn_no_thread(txn->slot) || txn->slice_ns < GHOST_TIMER_MIN_NS ||
	     txn->slice_ns > GHOST_TIMER_MAX_NS))
		return 0;
	return !(txn->flags & GHOST_COMMIT_ELIDE_AGENT_SEQ) ||
	       !(txn->flags & GHOST_COMMIT_AGENT_SEQ_ON_FAILURE);
}

/* --- by the CPU itself --------------------------------------------------------------- */

/* A CPU that dispatches can start no timer; cf. port_slice_timer_set(). */
static int txn_valid_here(const struct ghost_txn *txn)
{
	return txn_valid(txn) && !(txn->flags & GHOST_RUN_SLICE_TIMER);
}

static void txn_ping(__u32 enclave, __u32 cpu)
{
	const struct core_cpu *c = port_cpu(cpu);

	if (c && c->enclave == enclave)
		agent_ping(enclave, cpu);
}

/* What holds of a run, whoever committed it. */
static void txn_note(struct core_cpu *c, const struct ghost_txn *txn)
{
	c->rtla_idle = !!(txn->flags & GHOST_RUN_RTLA_ON_IDLE);
	c->not_idle = !!(txn->flags & GHOST_RUN_NEED_CPU_NOT_IDLE);
}

static __u32 txn_run_here(__u32 enclave, __u32 cpu, const struct ghost_txn *txn, enum txn_kind kind)
{
	struct port_custody custody;
	__u32 state;

	port_custody_open(&custody, enclave);
	state = txn_claim(enclave, cpu, txn);
	if (state == GHOST_TXN_READY)
		state = txn_move(enclave, cpu, txn, &custody, kind);
	port_custody_close(&custody);
	return state;
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

	if (!rw || !page || !txn_take(&rw->txn, &txn))
		return GHOST_TXN_FREE;
	if (!txn_valid_here(&txn) || txn.slot == GHOST_SLOT_AGENT)
		state = GHOST_TXN_INVALID;
	else if (txn.agent_seq != port_load_acquire(&page->agent_seq))
		state = GHOST_TXN_AGENT_STALE;
	else if (txn_no_thread(txn.slot))
		state = GHOST_TXN_YIELDED;
	else
		state = txn_run_here(enclave, cpu, &txn, TXN_LOCAL);

	if (state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED) {
		c->agent_seen = txn.agent_seq;
		txn_note(c, &txn);
	}
	if (txn.ping_cpu != GHOST_CPU_NONE)
		txn_ping(enclave, txn.ping_cpu);
	txn_finish(page, c, &rw->txn, &txn, state);
	return state;
}

/* Nobody is at hand who could look at its state: tell the CPU's agent. */
static void txn_pick_failed(__u32 enclave, __u32 cpu, __u32 slot, __u32 state)
{
	if (!txn_no_thread(slot))
		msg_send_cpu(enclave, cpu, GHOST_MSG_TASK_LATCH_FAILURE, slot, state);
}

/*
 * Is there a pick for @cpu, written ahead? The agent's number is not asked
 * for: it decided before it could know. Returns as txn_commit_local().
 */
PORT_COLD __u32 txn_commit_pick(__u32 enclave, __u32 cpu)
{
	struct ghost_cpu_rw *rw = port_cpu_rw(enclave, cpu);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_txn txn;
	__u32 state;

	if (!rw || !page || !c || !txn_take(&rw->pick, &txn))
		return GHOST_TXN_FREE;
	if (!txn_valid_here(&txn) || txn_no_thread(txn.slot))
		state = GHOST_TXN_INVALID;
	else
		state = txn_run_here(enclave, cpu, &txn, TXN_PICK);
	if (state == GHOST_TXN_COMMITTED) {
		txn_note(c, &txn);
		page->nr[GHOST_NR_PICKS]++;
	}
	txn_finish(page, c, &rw->pick, &txn, state);
	if (state != GHOST_TXN_COMMITTED)
		txn_pick_failed(enclave, cpu, txn.slot, state);
	return state;
}

/* --- by an agent, for other CPUs --------------------------------------------------------- */

/* Is @cpu fit for the transaction? GHOST_TXN_READY, or why not. */
static __u32 txn_check_cpu(__u32 enclave, const struct core_cpu *c, const struct ghost_txn *txn)
{
	if (c->enclave != enclave)
		return GHOST_TXN_INVALID_CPU;
	if (!txn_valid(txn))
		return GHOST_TXN_INVALID;
	if (c->off)
		return GHOST_TXN_CPU_OFFLINE;
	if (!c->agent_tid)
		return GHOST_TXN_NO_AGENT;
	if (txn_no_thread(txn->slot))
		return GHOST_TXN_READY;
	if ((txn->flags & GHOST_RUN_DO_NOT_PREEMPT) && c->runs && c->runs != txn->slot)
		return GHOST_TXN_CPU_OCCUPIED;
	if (c->taken)
		return GHOST_TXN_CPU_UNAVAIL;
	return GHOST_TXN_READY;
}

/* Take what runs on @cpu off; afterwards it is idle, unless somebody has something for it. */
static void txn_unschedule(__u32 cpu, struct core_cpu *c, const struct ghost_txn *txn)
{
	if (!c->runs)
		return;
	c->elide = txn->flags & GHOST_RUN_ELIDE_PREEMPT;
	c->displaced = c->runs;
	port_preempt(cpu);
}

/* Carry out what was checked, and claimed if it is about a thread. */
static __u32 txn_run_there(__u32 enclave, __u32 cpu, const struct ghost_txn *txn,
			   struct port_custody *custody)
{
	struct core_cpu *c = port_cpu(cpu);
	__u32 state, rtla_idle, not_idle;

	if (!c)
		return GHOST_TXN_INVALID_CPU;
	if (txn->slot == GHOST_SLOT_AGENT) {
		agent_ping(enclave, cpu);
		return GHOST_TXN_COMMITTED;
	}
	if (txn_no_thread(txn->slot)) {
		txn_note(c, txn);
		txn_unschedule(cpu, c, txn);
		return GHOST_TXN_YIELDED;
	}
	rtla_idle = c->rtla_idle;
	not_idle = c->not_idle;
	txn_note(c, txn);
	state = txn_move(enclave, cpu, txn, custody, TXN_REMOTE);
	if (state != GHOST_TXN_COMMITTED) {
		c->rtla_idle = rtla_idle;
		c->not_idle = not_idle;
	}
	return state;
}

/* The number of the CPU's agent tells it that its CPU has been decided about. */
static void txn_told(__u32 enclave, __u32 cpu, const struct ghost_txn *txn, __u32 state)
{
	int carried_out = state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED;

	if (txn->slot == GHOST_SLOT_AGENT)
		return;
	if (carried_out ? !(txn->flags & GHOST_COMMIT_ELIDE_AGENT_SEQ) :
			  !!(txn->flags & GHOST_COMMIT_AGENT_SEQ_ON_FAILURE))
		agent_advance(enclave, cpu, 0);
}

/* The transaction for @cpu, if there is one. Returns 1 when it was carried out. */
static int txn_commit_remote(__u32 enclave, __u32 cpu, struct port_custody *custody)
{
	struct ghost_cpu_rw *rw = port_cpu_rw(enclave, cpu);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	const struct core_cpu *c = port_cpu(cpu);
	struct ghost_txn txn;
	__u32 state;

	if (!rw || !page || !c || !txn_take(&rw->txn, &txn))
		return 0;
	state = txn_check_cpu(enclave, c, &txn);
	if (state == GHOST_TXN_READY && !txn_no_thread(txn.slot))
		state = txn_claim(enclave, cpu, &txn);
	if (state == GHOST_TXN_READY)
		state = txn_run_there(enclave, cpu, &txn, custody);
	txn_told(enclave, cpu, &txn, state);
	txn_finish(page, c, &rw->txn, &txn, state);
	return state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED;
}

/* --- groups that succeed or fail together ---------------------------------------------------- */

/*
 * First all are claimed, then all are moved. What was claimed is remembered
 * here: the agent's memory may say something else by then. If a thread slips
 * away between the two, those that were moved are taken off again; they may
 * have run for a moment, as in the original.
 */
enum txn_step {
	TXN_CLAIM,
	TXN_MOVE,   /* or give back, if one could not be claimed */
	TXN_SETTLE, /* the final states; take back what was moved, if one could not be */
	TXN_NR_STEPS,
};

/* core_cpu.group: what became of this CPU's part. */
#define TXN_GROUP_NONE 0u   /* no part */
#define TXN_GROUP_OURS 1u   /* taken, checked, claimed */
#define TXN_GROUP_MOVED 2u  /* and carried out */
#define TXN_GROUP_FAILED 3u /* its state in group_state */

static __u32 txn_sync_claim(__u32 enclave, __u32 cpu, struct core_cpu *c, struct ghost_cpu_rw *rw)
{
	struct ghost_txn txn;
	__u32 state;

	/* One group at a time; whoever comes second fails. */
	if (port_cmpxchg(&c->group_by, 0, port_this_cpu() + 1))
		return GHOST_TXN_FREE;
	c->group = TXN_GROUP_NONE;
	if (!txn_take(&rw->txn, &txn))
		return GHOST_TXN_FREE;
	/* A copy that no agent can change. */
	c->group_slot = txn.slot;
	c->group_seq = txn.task_seq;
	c->group_flags = txn.flags;
	c->group_slice_ns = txn.slice_ns;
	state = txn_check_cpu(enclave, c, &txn);
	/* The committer's own CPU would need it to stop deciding. */
	if (state == GHOST_TXN_READY && cpu == port_this_cpu())
		state = GHOST_TXN_CPU_UNAVAIL;
	if (state == GHOST_TXN_READY && !txn_no_thread(txn.slot))
		state = txn_claim(enclave, cpu, &txn);
	/* It runs there already and may: nothing to claim, nothing to move. */
	c->group = state == GHOST_TXN_READY	? TXN_GROUP_OURS :
		   state == GHOST_TXN_COMMITTED ? TXN_GROUP_MOVED :
						  TXN_GROUP_FAILED;
	c->group_there = state == GHOST_TXN_COMMITTED;
	c->group_state = state;
	return state;
}

/* One step for @cpu's part of a group. Returns 0 when the group has failed by it. */
static int txn_sync(__u32 enclave, __u32 cpu, struct port_custody *custody, __u32 step,
		    __u32 failed)
{
	struct ghost_cpu_rw *rw = port_cpu_rw(enclave, cpu);
	struct ghost_cpu *page = port_cpu_page(enclave, cpu);
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_txn txn = { 0 };
	__u32 state;

	if (!rw || !page || !c)
		return 0;
	if (c->enclave != enclave) {
		/* Not ours to note anything at. */
		if (step == TXN_CLAIM && txn_take(&rw->txn, &txn))
			txn_finish(page, c, &rw->txn, &txn, GHOST_TXN_INVALID_CPU);
		return 0;
	}
	if (step == TXN_CLAIM) {
		state = txn_sync_claim(enclave, cpu, c, rw);
		return state == GHOST_TXN_READY || state == GHOST_TXN_COMMITTED;
	}
	if (c->group_by != port_this_cpu() + 1)
		return 0;
	if (c->group == TXN_GROUP_NONE) {
		if (step == TXN_SETTLE)
			port_store_release(&c->group_by, 0);
		return 0;
	}
	txn.slot = c->group_slot;
	txn.task_seq = c->group_seq;
	txn.flags = c->group_flags;
	txn.slice_ns = c->group_slice_ns;
	txn.commit_ns = port_now_ns();
	if (step == TXN_MOVE) {
		if (c->group != TXN_GROUP_OURS)
			return c->group == TXN_GROUP_MOVED;
		if (failed) {
			if (!txn_no_thread(txn.slot))
				txn_unclaim(cpu, &txn);
			c->group = TXN_GROUP_FAILED;
			c->group_state = GHOST_TXN_POISONED;
			return 0;
		}
		c->group_state = txn_run_there(enclave, cpu, &txn, custody);
		c->group = c->group_state == GHOST_TXN_COMMITTED ||
					   c->group_state == GHOST_TXN_YIELDED ?
				   TXN_GROUP_MOVED :
				   TXN_GROUP_FAILED;
		return c->group == TXN_GROUP_MOVED;
	}
	state = c->group_state;
	if (failed && c->group == TXN_GROUP_MOVED) {
		state = GHOST_TXN_POISONED;
		if (!c->group_there && c->runs && c->runs == txn.slot) {
			c->elide = 0;
			c->displaced = c->runs;
			port_preempt(cpu);
		}
	}
	c->group = TXN_GROUP_NONE;
	if (!failed)
		rw->txn.owner = 0;
	txn_told(enclave, cpu, &txn, state);
	txn_finish(page, c, &rw->txn, &txn, state);
	port_store_release(&c->group_by, 0);
	return !failed;
}

#endif
