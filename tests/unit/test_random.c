// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random walks through core: threads come, wait, run, sleep, change and go;
 * agents read or do not, commit with right and wrong numbers, for themselves,
 * for each other and ahead of time, die and come back; changes fall into the
 * middle of commits.
 * In: all of core over plain memory; GHOST_SEED, or the time. Out: TAP, and
 * the seed as a comment.
 *
 * After each event: exactly the messages it must make, numbers that only
 * grow. After each walk, when everybody has done his part: no thread is lost.
 */
#include "tests/unit/event_fake.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WALKS 8000
#define STEPS 600
#define THREADS_MAX 24

enum life {
	ABSENT,
	NEW_RUNS, /* joined while it ran, and not yet put back */
	ASLEEP,
	WAITS, /* in custody, the fallback, the global queue or on a CPU's: fake_task.place */
	RUNS,
};

struct thread {
	enum life life;
	__u32 enclave;
	__u32 seq;	/* the highest ever seen of this slot */
	bool hopped;	/* the slot has been in both enclaves */
	bool reenqueue; /* its agents are lost; it will be taken out of custody, but is not yet */
};

/* What the agents of an enclave believe about a slot: as libghost/agent.c does it. */
struct view {
	bool known, runnable, picked;
	__u32 seq;
	__u64 gtid;
	__u32 told_seq; /* of the last message of this gtid */
	__u64 told_gtid;
	__u32 table_seq; /* as the table was read last; older messages may come late */
	__u64 table_gtid;
};

static struct thread thread[FAKE_SLOTS];
static struct view view[FAKE_ENCLAVES][FAKE_SLOTS];
static __u32 overflow_seen[FAKE_CPUS], agent_read[FAKE_CPUS];
static __u32 refused_slot[FAKE_CPUS], refused_seq[FAKE_CPUS]; /* the last pick, if it was */
static __u64 refused_gtid[FAKE_CPUS];
static __u64 want_msgs[FAKE_ENCLAVES], want_txn[FAKE_CPUS][32];
static __u32 want_joins, want_fallbacks, nr_live;

/* What the walks came to, for those who read the output. */
static __u64 nr_steps, nr_overflows, nr_losses, nr_states[GHOST_TXN_NR_STATES];
static __u64 nr_remote[GHOST_TXN_NR_STATES], nr_picks[GHOST_TXN_NR_STATES];

static __u64 picks_before; /* of earlier walks */

static __u64 seed, rng;

static __u32 below(__u32 n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 16) % n;
}

static bool online(__u32 enclave)
{
	return fake.enclave[enclave].state == GHOST_ENCLAVE_ONLINE;
}

static __u32 cpu_of(__u32 enclave)
{
	return enclave == 1 ? below(4) : 4 + below(2);
}

static bool outside(__u32 s)
{
	return !(fake.th[s].cpus[0] & fake.enclave[thread[s].enclave].cpus[0]);
}

/* A slot whose thread is in one of the lives of @mask, or 0. */
static __u32 any(__u32 mask)
{
	__u32 start = below(FAKE_SLOTS);

	for (__u32 i = 0; i < FAKE_SLOTS; i++) {
		__u32 s = (start + i) % FAKE_SLOTS;

		if (s && mask >> thread[s].life & 1)
			return s;
	}
	return 0;
}

/* --- events, and what they must do --------------------------------------------- */

static __u64 msgs_of(__u32 enclave)
{
	__u64 n = 0;

	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		n += fake.page[enclave][cpu].queue.head + fake.page[enclave][cpu].queue.overflow;
	return n;
}

/* An event of @s is over: it made @msgs messages, if there are agents, and @numbers numbers. */
static void told(__u32 s, __u32 msgs, __u32 numbers)
{
	struct thread *th = &thread[s];

	if (online(th->enclave))
		want_msgs[th->enclave] += msgs;
	assert_int_equal(msgs_of(th->enclave), want_msgs[th->enclave]);
	assert_int_equal(fake.task[s].seq, th->seq + numbers);
	th->seq += numbers;
	assert_int_equal(ghost_status_seq(fake.status[th->enclave][s].word), th->seq);
}

static void join(void)
{
	__u32 enclave = 1 + !below(5), runnable = below(3), s;

	if (nr_live >= THREADS_MAX)
		return;
	fake.this_cpu = cpu_of(enclave);
	s = thread_join(enclave, 1000 + want_joins, below(8) ? ALL_CPUS : 1 + below(255),
			runnable != 0);
	assert_int_equal(thread[s].life, ABSENT);
	thread[s].hopped |= thread[s].enclave && thread[s].enclave != enclave;
	thread[s].enclave = enclave;
	thread[s].life = runnable ? NEW_RUNS : ASLEEP;
	fake.th[s].cpu = cpu_of(enclave);
	want_joins++;
	nr_live++;
	told(s, !runnable, 1 + !runnable);
}

static void enqueue(__u32 s, int cause, bool silent)
{
	__u32 e = thread[s].enclave, here = fake.th[s].cpu;
	int want = outside(s) ? EVENT_GLOBAL : online(e) ? EVENT_CUSTODY : EVENT_FALLBACK;

	fake.now++;
	assert_int_equal(thread_enqueue(s, cause, here), want);
	thread[s].life = WAITS;
	thread[s].reenqueue = false;
	silent = silent && want == EVENT_CUSTODY;
	want_fallbacks += want != EVENT_CUSTODY;
	told(s, want == EVENT_CUSTODY && !silent, !silent);
	/* The agent who has to hear of it does not sleep. */
	if (want == EVENT_CUSTODY)
		assert_false(fake_mask_has(fake_es(e)->idle, fake.task[s].queue));
}

static void wake(__u32 s)
{
	fake.th[s].cpu = cpu_of(thread[s].enclave);
	enqueue(s, EVENT_WAKEUP, false);
}

static void block(__u32 s)
{
	thread_block(s);
	thread[s].life = ASLEEP;
	told(s, 1, 1);
}

static void gone(__u32 s)
{
	__u32 owed = thread[s].life == NEW_RUNS;

	thread_gone(s, below(2));
	thread[s].life = ABSENT;
	thread[s].reenqueue = false;
	nr_live--;
	told(s, 1 + owed, 1 + owed);
}

/* Affinity, or nice value: what waits is taken out before and put back after. */
static bool change_begin(__u32 s)
{
	bool waits = thread[s].life == WAITS, is_new = thread[s].life == NEW_RUNS;

	if (waits)
		fake.th[s].place = FAKE_NOWHERE;
	if (below(2)) {
		fake_mask_set(thread[s].enclave, s, below(6) ? ALL_CPUS : 1 + below(255));
		event_task_affinity(s);
	} else {
		thread_nice(s, below(40) - 20);
	}
	told(s, !is_new, !is_new);
	return waits;
}

static void change(__u32 s)
{
	bool custody = thread[s].life == WAITS && fake.th[s].place == FAKE_CUSTODY;

	if (change_begin(s))
		enqueue(s, EVENT_RESTORE, custody);
}

/* From its queue onto a CPU; only a commit chooses which. */
static void run(__u32 s)
{
	__u32 cpu = fake.th[s].cpu;

	if (thread[s].life != WAITS || fake.th[s].place == FAKE_CUSTODY)
		return;
	if (fake.th[s].place != FAKE_LOCAL)
		cpu = cpu_of(thread[s].enclave);
	cpu_idle_take(fake_es(thread[s].enclave), cpu);
	thread_run(s, cpu);
	thread[s].life = RUNS;
}

/* It loses the CPU, or its place on the queue of one. */
static void preempt(__u32 s)
{
	int cause = EVENT_SLICE + below(4);

	if (thread[s].life == WAITS && fake.th[s].place != FAKE_LOCAL)
		return;
	if (cause == EVENT_SLICE)
		cause = cpu_stop_cause(fake.th[s].cpu, s);
	if (thread[s].life != WAITS && !below(3))
		event_task_yield(s);
	fake.th[s].place = FAKE_NOWHERE;
	enqueue(s, cause, false);
}

/* --- agents ------------------------------------------------------------------------ */

/* A pick was refused. Newer messages of the thread, if there are any, tell more. */
static void view_refused(__u32 e, __u32 s, __u32 seq, __u64 gtid)
{
	struct view *v = &view[e][s];

	if (!v->picked || v->gtid != gtid || v->seq != seq)
		return;
	if (ghost_status_flags(fake.status[e][s].word) & GHOST_STATUS_RUNNABLE) {
		v->runnable = true;
		v->picked = false;
	}
}

static void view_message(__u32 e, const struct ghost_msg *m)
{
	struct view *v = &view[e][m->slot];
	__u64 word = fake.status[e][m->slot].word;

	if (m->type == GHOST_MSG_TASK_LATCH_FAILURE) {
		view_refused(e, m->slot, m->seq, m->gtid);
		return;
	}

	/*
	 * In order per thread, and per slot as long as it stays in one enclave;
	 * but for what the table, read meanwhile, has told already.
	 */
	if (m->gtid == v->told_gtid && (__s32)(m->seq - v->told_seq) <= 0) {
		assert_true(m->gtid >> 32 <= v->table_gtid >> 32);
		assert_true(m->gtid != v->table_gtid || (__s32)(m->seq - v->table_seq) <= 0);
		return;
	}
	if (m->gtid >> 32 < v->told_gtid >> 32) {
		assert_true(thread[m->slot].hopped || m->gtid >> 32 <= v->table_gtid >> 32);
		return;
	}
	v->told_gtid = m->gtid;
	v->told_seq = m->seq;
	/* The table, when it was read, was ahead of the queue. */
	if (m->gtid >> 32 < v->gtid >> 32 || (m->gtid == v->gtid && (__s32)(m->seq - v->seq) <= 0))
		return;
	if (m->gtid != v->gtid || !v->known)
		v->runnable = v->picked = false;
	v->known = true;
	v->gtid = m->gtid;
	v->seq = m->seq;
	switch (m->type) {
	case GHOST_MSG_TASK_NEW:
		v->runnable = m->flags & GHOST_MSG_RUNNABLE;
		break;
	case GHOST_MSG_TASK_WAKEUP:
	case GHOST_MSG_TASK_PREEMPT:
	case GHOST_MSG_TASK_YIELD:
		v->runnable = true;
		break;
	case GHOST_MSG_TASK_BLOCKED:
		v->runnable = v->picked = false;
		break;
	case GHOST_MSG_TASK_DEAD:
	case GHOST_MSG_TASK_DEPARTED:
		v->known = v->runnable = v->picked = false;
		break;
	default:
		v->runnable |= v->picked && ghost_status_flags(word) & GHOST_STATUS_RUNNABLE;
		break;
	}
	v->picked = v->picked && !v->runnable;
}

static void view_rebuild(__u32 e, __u32 cpu)
{
	for (__u32 s = 1; s < fake_es(e)->nr_slots; s++) {
		const struct ghost_status *st = &fake.status[e][s];
		__u32 flags = ghost_status_flags(st->word), seq = ghost_status_seq(st->word);
		bool waits = flags & GHOST_STATUS_RUNNABLE, news;
		struct view *v = &view[e][s];

		if (st->queue != cpu || flags & GHOST_STATUS_NEW)
			continue;
		v->table_seq = seq;
		v->table_gtid = st->gtid;
		news = seq != v->seq || st->gtid != v->gtid || !v->known;
		if (!(flags & GHOST_STATUS_INUSE)) {
			if (v->known && (__s32)(seq - v->seq) > 0)
				v->known = v->runnable = v->picked = false;
			continue;
		}
		if (news)
			v->picked = false;
		if (news || waits)
			v->runnable = waits && !v->picked;
		v->known = true;
		v->seq = seq;
		v->gtid = st->gtid;
	}
}

static void drain(__u32 cpu)
{
	__u32 e = fake.cpu[cpu].enclave;
	struct ghost_queue *q = &fake.page[e][cpu].queue;
	struct ghost_msg m;

	if (!online(e))
		return;
	agent_read[cpu] = fake.page[e][cpu].agent_seq;
	while (fake_pop(e, cpu, &m)) {
		assert_in_range(m.slot, 1, FAKE_SLOTS - 1);
		view_message(e, &m);
	}
	assert_int_equal(q->head, fake.rw[e][cpu].queue_tail);
	if (q->overflow == overflow_seen[cpu])
		return;
	nr_overflows += q->overflow - overflow_seen[cpu];
	overflow_seen[cpu] = q->overflow;
	view_rebuild(e, cpu);
	/* It may have been the refusal of a pick, of a thread whose messages are elsewhere. */
	if (refused_slot[cpu])
		view_refused(e, refused_slot[cpu], refused_seq[cpu], refused_gtid[cpu]);
}

/* Enough changes of one thread to fill its queue, which nobody reads. */
static void flood(void)
{
	__u32 s = any(1 << ASLEEP | 1 << RUNS);

	if (s && online(thread[s].enclave))
		for (__u32 i = below(GHOST_QUEUE_LEN + 200); i; i--)
			change(s);
}

static void lose_agents(__u32 e)
{
	if (!online(e))
		return;
	fake.enclave[e].state = GHOST_ENCLAVE_LOST;
	nr_losses++;
	/* The kernel takes them out one by one, later. */
	for (__u32 s = 1; s < FAKE_SLOTS; s++)
		thread[s].reenqueue |= thread[s].life == WAITS && thread[s].enclave == e &&
				       fake.th[s].place == FAKE_CUSTODY;
}

static void reenqueue(__u32 s)
{
	/* Or new agents have committed it before. */
	if (thread[s].reenqueue && fake.th[s].place == FAKE_CUSTODY)
		enqueue(s, EVENT_RESTORE, true);
}

/* New agents: unread messages are skipped, the table tells, some time after they are online. */
static void new_agents(__u32 e, void (*meanwhile)(void))
{
	if (online(e))
		return;
	memset(view[e], 0, sizeof(view[e]));
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		fake.rw[e][cpu].txn.state = GHOST_TXN_FREE;
		fake.rw[e][cpu].queue_tail = fake.page[e][cpu].queue.head;
		if (fake.cpu[cpu].enclave == e)
			overflow_seen[cpu] = fake.page[e][cpu].queue.overflow;
	}
	fake.enclave[e].state = GHOST_ENCLAVE_ONLINE;
	meanwhile();
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		if (fake.cpu[cpu].enclave == e)
			view_rebuild(e, cpu);
}

/* A CPU without a thread gives itself up: it sleeps only if its agent has nothing unseen. */
static void go_idle(__u32 cpu)
{
	struct core_cpu *c = &fake.cpu[cpu];
	struct ghost_cpu *page = &fake.page[c->enclave][cpu];
	int again;

	for (__u32 s = 1; s < FAKE_SLOTS; s++)
		if (fake.th[s].cpu == cpu &&
		    (thread[s].life == RUNS || fake.th[s].place == FAKE_LOCAL))
			return;
	c->place = CORE_PLACE_PARKED;
	again = agent_idle(c->enclave, cpu, c);
	assert_int_equal(again, page->agent_seq != c->agent_seen);
	assert_int_equal(fake_mask_has(fake_es(c->enclave)->idle, cpu), !again);
}

/* --- commits ------------------------------------------------------------------------- */

/* A transaction as @cpu's agent writes it; the final state is counted. */
static __u32 commit(__u32 cpu, struct ghost_txn txn)
{
	__u32 e = fake.cpu[cpu].enclave, was = fake.this_cpu, moves = fake.nr_moves, state;

	fake.this_cpu = cpu;
	txn.state = GHOST_TXN_READY;
	fake.rw[e][cpu].txn = txn;
	state = txn_commit_local(e, cpu, &fake.cpu[cpu]);
	fake.this_cpu = was;
	assert_in_range(state, GHOST_TXN_COMMITTED, GHOST_TXN_INVALID);
	assert_int_equal(fake.rw[e][cpu].txn.state, state);
	want_txn[cpu][state]++;
	nr_states[state]++;
	if (state != GHOST_TXN_COMMITTED)
		return state;
	/* Nothing comes after the move: all that was checked must still be so. */
	assert_true(fake.nr_moves > moves);
	assert_int_equal(txn.task_seq, fake.task[txn.slot].seq);
	assert_int_equal(fake.cpu[cpu].agent_seen, txn.agent_seq);
	assert_int_equal(thread[txn.slot].enclave, e);
	assert_int_equal(fake.th[txn.slot].place, FAKE_LOCAL);
	assert_int_equal(fake.th[txn.slot].cpu, cpu);
	assert_true(fake_mask_has(fake.th[txn.slot].cpus, cpu));
	assert_int_equal(fake.task[txn.slot].state, CORE_TASK_LATCHED);
	assert_int_equal(fake.task[txn.slot].queue, cpu);
	assert_status(txn.slot, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED);
	cpu_idle_take(fake_es(e), cpu);
	return state;
}

/* What holds of a thread that was put on @cpu's queue, as long as nothing else has happened. */
static void assert_moved(__u32 e, __u32 cpu, const struct ghost_txn *txn)
{
	assert_int_equal(txn->task_seq, fake.task[txn->slot].seq);
	assert_int_equal(thread[txn->slot].enclave, e);
	assert_int_equal(fake.th[txn->slot].place, FAKE_LOCAL);
	assert_int_equal(fake.th[txn->slot].cpu, cpu);
	assert_true(fake_mask_has(fake.th[txn->slot].cpus, cpu));
	assert_int_equal(fake.task[txn->slot].state, CORE_TASK_LATCHED);
	assert_int_equal(fake.cpu[cpu].runs, txn->slot);
	assert_status(txn->slot, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED);
	cpu_idle_take(fake_es(e), cpu);
}

/* An agent elsewhere commits for @cpu. @fast: it may have run and gone before that is done. */
static __u32 commit_remote(__u32 cpu, struct ghost_txn txn, bool fast)
{
	__u32 e = fake.cpu[cpu].enclave, state, seq = fake.page[e][cpu].agent_seq, queue;
	struct port_custody custody;
	int done;

	queue = txn.slot < FAKE_SLOTS ? fake.task[txn.slot].queue : 0;
	txn.state = GHOST_TXN_READY;
	txn.agent_seq = below(2);
	fake.rw[e][cpu].txn = txn;
	port_custody_open(&custody, e);
	done = txn_commit_remote(e, cpu, &custody);
	port_custody_close(&custody);
	state = fake.rw[e][cpu].txn.state;
	assert_in_range(state, GHOST_TXN_COMMITTED, GHOST_TXN_CPU_UNAVAIL);
	assert_int_equal(done, state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED);
	assert_int_not_equal(state, GHOST_TXN_AGENT_STALE);
	want_txn[cpu][state]++;
	nr_remote[state]++;
	if (state == GHOST_TXN_COMMITTED && !fast) {
		assert_moved(e, cpu, &txn);
		assert_int_equal(fake.task[txn.slot].queue, queue); /* it stays whose it was */
		assert_true(fake.page[e][cpu].agent_seq != seq);
	}
	return state;
}

/* Written ahead for @cpu, and taken when it looks for work. */
static __u32 commit_pick(__u32 cpu, struct ghost_txn txn)
{
	__u32 e = fake.cpu[cpu].enclave, was = fake.this_cpu, state;

	/* Who writes another one has looked at what became of the last: its message may be lost. */
	if (refused_slot[cpu])
		view_refused(e, refused_slot[cpu], refused_seq[cpu], refused_gtid[cpu]);
	fake.this_cpu = cpu;
	txn.state = GHOST_TXN_READY;
	fake.rw[e][cpu].pick = txn;
	state = txn_commit_pick(e, cpu);
	fake.this_cpu = was;
	assert_int_equal(fake.rw[e][cpu].pick.state, state);
	assert_in_range(state, GHOST_TXN_COMMITTED, GHOST_TXN_INVALID);
	want_txn[cpu][state]++;
	nr_picks[state]++;
	refused_slot[cpu] = 0;
	if (state == GHOST_TXN_COMMITTED) {
		assert_moved(e, cpu, &txn);
		assert_int_equal(fake.task[txn.slot].queue, cpu);
	} else if (txn.slot && txn.slot < FAKE_SLOTS && thread[txn.slot].enclave == e &&
		   thread[txn.slot].life != ABSENT && online(e)) {
		want_msgs[e]++;
		refused_slot[cpu] = txn.slot;
		refused_seq[cpu] = fake.task[txn.slot].seq;
		refused_gtid[cpu] = fake.task[txn.slot].gtid;
	}
	assert_int_equal(msgs_of(e), want_msgs[e]);
	return state;
}

static struct ghost_txn txn_for(__u32 cpu, __u32 s)
{
	__u32 e = fake.cpu[cpu].enclave;

	return (struct ghost_txn){
		.slot = s,
		.task_seq = s && s < FAKE_SLOTS ? view[e][s].seq : 0,
		.agent_seq = agent_read[cpu],
		.slice_ns = 1 + below(1000),
		.ping_cpu = below(3) ? GHOST_CPU_NONE : below(FAKE_CPUS + 2),
	};
}

/* A number is wrong, or a field, or the thread. It must never go through. */
static void commit_wrong(__u32 cpu)
{
	__u32 e = fake.cpu[cpu].enclave, s = 1 + below(FAKE_SLOTS - 1), state;
	struct ghost_txn txn = txn_for(cpu, s);

	txn.task_seq = fake.task[s].seq;
	txn.agent_seq = fake.page[e][cpu].agent_seq;
	switch (below(6)) {
	case 0:
		txn.task_seq += 1 + below(1000);
		break;
	case 1:
		txn.task_seq -= 1 + below(1000);
		break;
	case 2:
		txn.agent_seq += below(2) ? 1 : -1;
		break;
	case 3:
		txn.slot = FAKE_SLOTS + below(1000);
		break;
	case 4:
		if (below(2))
			txn.slice_ns = 0;
		else
			txn.flags = 1u << (23 + below(9));
		break;
	case 5: /* the numbers are right, but it does not wait */
		txn.slot = any(1 << ASLEEP | 1 << NEW_RUNS | 1 << RUNS) ?: FAKE_SLOTS;
		txn.task_seq = txn.slot < FAKE_SLOTS ? fake.task[txn.slot].seq : 0;
		break;
	}
	state = commit(cpu, txn);
	assert_int_not_equal(state, GHOST_TXN_COMMITTED);
	assert_int_not_equal(state, GHOST_TXN_YIELDED);
}

/* What falls into the middle of a commit of thread @victim. */
static __u32 victim, rival_cpu;
static bool half_open;

static void hook_change(void)
{
	if (fake.task[victim].state >= CORE_TASK_CLAIMED) {
		/* Claimed already: being put back is a preemption then. */
		if (change_begin(victim))
			enqueue(victim, EVENT_RESTORE, false);
	} else {
		change(victim);
	}
}

static void hook_change_half(void)
{
	half_open = change_begin(victim);
}

static void hook_reenter(void)
{
	bool claimed = fake.task[victim].state >= CORE_TASK_CLAIMED;

	fake.th[victim].place = FAKE_NOWHERE;
	enqueue(victim, EVENT_RESTORE, !claimed);
}

/* After hook_change_half(), while the claim stands: told as a preemption. */
static void hook_put_back(void)
{
	half_open = false;
	enqueue(victim, EVENT_RESTORE, false);
}

static void hook_gone(void)
{
	half_open = false;
	gone(victim);
}

static void hook_rival(void)
{
	struct ghost_txn txn = txn_for(rival_cpu, victim);

	txn.agent_seq = fake.page[fake.cpu[rival_cpu].enclave][rival_cpu].agent_seq;
	commit(rival_cpu, txn);
}

static void hook_other(void)
{
	__u32 s = any(1 << ASLEEP | 1 << RUNS);

	if (s)
		change(s);
}

/* The CPU is faster than the one who commits for it. */
static void hook_run(void)
{
	run(victim);
	if (below(2))
		block(victim);
}

static void set_hook(__u32 s, __u32 cpu)
{
	static void (*const hooks[])(void) = { hook_change, hook_change_half, hook_reenter,
					       hook_gone,   hook_other,	      hook_rival };
	/* A rival could take the claim of the one that gives up: test_txn.c has that case. */
	static void (*const after_half[])(void) = { hook_put_back, hook_gone, hook_other };
	static const enum fake_point points[] = { FAKE_AT_OPEN, FAKE_AT_ALLOWED, FAKE_AT_MOVE,
						  FAKE_AT_UNDO, FAKE_AT_SEQ };
	__u32 point = points[below(ARRAY_LEN(points))];

	victim = s;
	rival_cpu = cpu_of(fake.cpu[cpu].enclave);
	if (point == FAKE_AT_UNDO) {
		/* A move only fails for what is not there. */
		fake.hook[FAKE_AT_MOVE] = hook_change_half;
		fake.hook[FAKE_AT_UNDO] = after_half[below(ARRAY_LEN(after_half))];
	} else {
		fake.hook[point] = hooks[below(ARRAY_LEN(hooks) - (rival_cpu == cpu))];
	}
}

/* An agent of good faith picks @s, which it believes to wait. */
static __u32 commit_right(__u32 cpu, __u32 s, bool disturbed)
{
	__u32 e = fake.cpu[cpu].enclave, state, seq;
	struct view *v = &view[e][s];
	struct ghost_txn txn = txn_for(cpu, s);
	bool good = txn.agent_seq == fake.page[e][cpu].agent_seq &&
		    txn.task_seq == fake.task[s].seq && fake.th[s].place == FAKE_CUSTODY &&
		    thread[s].enclave == e && fake_mask_has(fake.th[s].cpus, cpu);

	half_open = false;
	if (disturbed && fake.th[s].place == FAKE_CUSTODY)
		set_hook(s, cpu);
	else
		disturbed = false;
	v->runnable = false;
	v->picked = true;
	seq = v->seq;
	state = commit(cpu, txn);
	memset(fake.hook, 0, sizeof(fake.hook));
	if (half_open) {
		half_open = false;
		/* Silent, unless the change was told while the claim stood. */
		enqueue(s, EVENT_RESTORE, ghost_status_flags(word_of(s)) & GHOST_STATUS_RUNNABLE);
	}
	if (!disturbed)
		assert_int_equal(state == GHOST_TXN_COMMITTED, good);
	/* These no message tells of: the policy gets the thread back. */
	if ((state == GHOST_TXN_AGENT_STALE || state == GHOST_TXN_NOT_ALLOWED ||
	     state == GHOST_TXN_AGAIN) &&
	    v->picked && v->seq == seq) {
		v->runnable = true;
		v->picked = false;
	}
	return state;
}

/* The same for another CPU, or ahead of time. */
static void commit_otherwise(__u32 cpu, __u32 s, bool remote)
{
	static void (*const hooks[])(void) = { hook_change, hook_change_half, hook_reenter,
					       hook_gone, hook_rival };
	__u32 e = fake.cpu[cpu].enclave, state, seq;
	struct view *v = &view[e][s];
	struct ghost_txn txn = txn_for(cpu, s);
	bool good = txn.task_seq == fake.task[s].seq && fake.th[s].place == FAKE_CUSTODY &&
		    thread[s].enclave == e && fake_mask_has(fake.th[s].cpus, cpu) &&
		    !(remote && fake.cpu[cpu].taken);
	bool disturbed = good && remote && !below(3), fast = false;

	half_open = false;
	victim = s;
	rival_cpu = cpu_of(e);
	if (disturbed) {
		fast = !below(3);
		if (fast)
			fake.hook[FAKE_AT_MOVED] = hook_run;
		else
			fake.hook[FAKE_AT_ALLOWED + below(2)] =
				hooks[below(ARRAY_LEN(hooks) - (rival_cpu == cpu))];
	}
	v->runnable = false;
	v->picked = true;
	seq = v->seq;
	state = remote ? commit_remote(cpu, txn, fast) : commit_pick(cpu, txn);
	memset(fake.hook, 0, sizeof(fake.hook));
	if (half_open) {
		half_open = false;
		enqueue(s, EVENT_RESTORE, ghost_status_flags(word_of(s)) & GHOST_STATUS_RUNNABLE);
	}
	if (!disturbed)
		assert_int_equal(state == GHOST_TXN_COMMITTED, good);
	/* Of a pick's refusal a message tells. */
	if (remote &&
	    (state == GHOST_TXN_NOT_ALLOWED || state == GHOST_TXN_AGAIN ||
	     state == GHOST_TXN_CPU_UNAVAIL) &&
	    v->picked && v->seq == seq) {
		v->runnable = true;
		v->picked = false;
	}
}

static void decide(__u32 cpu)
{
	__u32 e = fake.cpu[cpu].enclave, start = below(FAKE_SLOTS);

	if (!online(e))
		return;
	if (!below(6)) {
		commit_wrong(cpu);
		return;
	}
	if (below(3))
		drain(cpu);
	for (__u32 i = 0; i < FAKE_SLOTS; i++) {
		__u32 s = (start + i) % FAKE_SLOTS;

		if (view[e][s].runnable) {
			switch (below(3)) {
			case 0:
				commit_otherwise(cpu, s, true);
				break;
			case 1:
				commit_otherwise(cpu, s, false);
				break;
			default:
				commit_right(cpu, s, !below(3));
			}
			return;
		}
	}
	if (below(4))
		commit(cpu, txn_for(cpu, 0));
	else
		commit_remote(cpu, txn_for(cpu, below(2) ? GHOST_SLOT_NONE : GHOST_SLOT_IDLE),
			      true);
}

/* --- the walk -------------------------------------------------------------------------- */

static void step(void)
{
	__u32 cpu = below(6), s;

	nr_steps++;
	switch (below(20)) {
	case 0:
	case 1:
		join();
		break;
	case 2:
	case 3:
	case 4:
		s = any(1 << ASLEEP);
		if (s)
			wake(s);
		break;
	case 5:
	case 6:
		s = any(1 << NEW_RUNS | 1 << RUNS);
		if (s)
			block(s);
		break;
	case 7:
	case 8:
		s = any(1 << NEW_RUNS | 1 << RUNS | 1 << WAITS);
		if (s)
			preempt(s);
		break;
	case 9:
	case 10:
	case 11:
		s = any(1 << WAITS);
		if (s)
			run(s);
		break;
	case 12:
		s = any(~(1u << ABSENT));
		if (s)
			change(s);
		break;
	case 13:
		s = any(~(1u << ABSENT));
		if (s && !below(3))
			gone(s);
		break;
	case 14:
		drain(cpu);
		break;
	case 15:
		go_idle(cpu);
		break;
	case 16:
		if (!below(15))
			flood();
		reenqueue(1 + below(FAKE_SLOTS - 1));
		break;
	default:
		decide(cpu);
		break;
	}
}

static void few_steps(void)
{
	for (__u32 i = below(10); i; i--) {
		__u32 s = any(~(1u << ABSENT));

		if (s && thread[s].life == ASLEEP)
			wake(s);
		else if (s)
			change(s);
		join();
	}
}

static void agents_come_and_go(void)
{
	__u32 e = 1 + below(2);

	if (online(e))
		lose_agents(e);
	else
		new_agents(e, few_steps);
}

/* --- when everybody has done his part ------------------------------------------------------ */

static void check_thread(__u32 s)
{
	const struct thread *th = &thread[s];
	const struct view *v = &view[th->enclave][s];
	__u32 place = fake.th[s].place, flags = GHOST_STATUS_INUSE, state = CORE_TASK_BLOCKED;

	if (th->life == NEW_RUNS) {
		state = CORE_TASK_NEW;
		flags |= GHOST_STATUS_NEW;
	} else if (th->life == WAITS && place == FAKE_CUSTODY) {
		assert_true(online(th->enclave));
		state = CORE_TASK_CUSTODY;
		flags |= GHOST_STATUS_RUNNABLE;
		/* The one thing that must never happen: it waits, and nobody knows. */
		assert_true(v->known && v->runnable);
		assert_true(v->gtid == fake.task[s].gtid);
	} else if (th->life == WAITS && place == FAKE_LOCAL) {
		state = CORE_TASK_LATCHED;
		flags |= GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED;
	} else if (th->life == WAITS) {
		assert_int_equal(place, outside(s) ? FAKE_GLOBAL : FAKE_FALLBACK);
		state = CORE_TASK_FALLBACK;
		flags |= GHOST_STATUS_FALLBACK;
	} else if (th->life == RUNS) {
		state = fake.task[s].state; /* committed, or by the fallback */
		assert_in_range(state, CORE_TASK_RUNNING, CORE_TASK_FALLBACK);
		flags |= state == CORE_TASK_RUNNING ? GHOST_STATUS_ONCPU : GHOST_STATUS_FALLBACK;
	} else if (online(th->enclave)) {
		assert_false(v->runnable);
	}
	assert_int_equal(fake.task[s].state, state);
	assert_status(s, flags);
	assert_true(fake_es(th->enclave)->nr_slots > s);
	/* Whatever agents can act on, they know by its newest number. */
	if (online(th->enclave) && !(flags & (GHOST_STATUS_NEW | GHOST_STATUS_FALLBACK))) {
		assert_true(v->known);
		assert_int_equal(v->seq, fake.task[s].seq);
	}
}

static void check_counters(void)
{
	__u32 joins = 0, fallbacks = 0, tasks = 0, picks = 0, e, cpu;

	for (e = 1; e < FAKE_ENCLAVES; e++) {
		tasks += fake_es(e)->nr_tasks;
		for (cpu = 0; cpu < FAKE_CPUS; cpu++) {
			joins += fake.page[e][cpu].nr[GHOST_NR_TASKS];
			fallbacks += fake.page[e][cpu].nr[GHOST_NR_FALLBACKS];
		}
		assert_int_equal(msgs_of(e), want_msgs[e]);
		for (__u32 s = 1; s < FAKE_SLOTS; s++)
			if (thread[s].life == ABSENT || thread[s].enclave != e)
				assert_int_equal(ghost_status_flags(fake.status[e][s].word), 0);
	}
	assert_int_equal(joins, want_joins);
	assert_int_equal(fallbacks, want_fallbacks);
	assert_int_equal(tasks, nr_live);
	assert_int_equal(fake.nr_open, 0);
	for (cpu = 0; cpu < 6; cpu++) {
		e = fake.cpu[cpu].enclave;
		assert_memory_equal(fake.page[e][cpu].nr_txn, want_txn[cpu], sizeof(want_txn[0]));
		assert_int_equal(fake.page[e][cpu].nr[GHOST_NR_KICKS], fake.kicks[cpu]);
		picks += fake.page[e][cpu].nr[GHOST_NR_PICKS];
	}
	assert_int_equal(picks, nr_picks[GHOST_TXN_COMMITTED] - picks_before);
}

/* The last half of each change is made, each queue is read. */
static void quiesce(void)
{
	for (__u32 s = 1; s < FAKE_SLOTS; s++)
		reenqueue(s);
	for (__u32 cpu = 0; cpu < 6; cpu++)
		drain(cpu);
	for (__u32 s = 1; s < FAKE_SLOTS; s++)
		if (thread[s].life != ABSENT)
			check_thread(s);
	check_counters();
	/* And with the numbers of now, whatever waits can be committed at once. */
	for (__u32 s = 1; s < FAKE_SLOTS; s++) {
		__u32 e = thread[s].enclave, first = e == 1 ? 0 : 4, last = e == 1 ? 4 : 6;

		if (thread[s].life != WAITS || fake.th[s].place != FAKE_CUSTODY || below(2))
			continue;
		for (__u32 cpu = first; cpu < last; cpu++)
			if (fake_mask_has(fake.th[s].cpus, cpu)) {
				drain(cpu);
				assert_int_equal(commit_right(cpu, s, false), GHOST_TXN_COMMITTED);
				break;
			}
	}
}

static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	memset(thread, 0, sizeof(thread));
	memset(view, 0, sizeof(view));
	memset(overflow_seen, 0, sizeof(overflow_seen));
	memset(agent_read, 0, sizeof(agent_read));
	memset(refused_slot, 0, sizeof(refused_slot));
	for (__u32 cpu = 0; cpu < 6; cpu++)
		assert_int_equal(agent_attach(fake.cpu[cpu].enclave, cpu, 500 + cpu, 1, 0), 1);
	memset(want_msgs, 0, sizeof(want_msgs));
	memset(want_txn, 0, sizeof(want_txn));
	want_joins = want_fallbacks = nr_live = 0;
	picks_before = nr_picks[GHOST_TXN_COMMITTED];
	victim = 0;
	return 0;
}

static void test_random_walks_lose_no_thread_and_break_no_promise(void **state)
{
	for (__u32 walk = 0; walk < WALKS; walk++) {
		setup(NULL);
		rng = (seed + walk) * 0x9e3779b97f4a7c15ull | 1;
		/* Numbers of threads and agents may wrap at any time. */
		if (below(2))
			for (__u32 s = 1; s < FAKE_SLOTS; s++)
				thread[s].seq = fake.task[s].seq = -below(50);
		if (below(2))
			for (__u32 cpu = 0; cpu < 6; cpu++)
				fake.page[fake.cpu[cpu].enclave][cpu].agent_seq = -below(50);
		for (__u32 i = 0; i < STEPS; i++) {
			step();
			if (!below(150))
				agents_come_and_go();
			if (!below(100))
				quiesce();
		}
		quiesce();
	}
}

static void print_states(const char *what, const __u64 *nr)
{
	static const char *const names[GHOST_TXN_NR_STATES] = {
		"free",	      "ready",	   "committed",	   "yielded", "agent stale",
		"task stale", "not found", "not runnable", "on cpu",  "not allowed",
		"again",      "invalid",   "cpu unavail",
	};

	printf("# %s:", what);
	for (__u32 i = GHOST_TXN_COMMITTED; i <= GHOST_TXN_CPU_UNAVAIL; i++)
		printf(" %llu %s%s", (unsigned long long)nr[i], names[i],
		       i < GHOST_TXN_CPU_UNAVAIL ? "," : "\n");
}

static int teardown(void **state)
{
	printf("# %llu steps, %llu overflows, agents lost %llu times\n",
	       (unsigned long long)nr_steps, (unsigned long long)nr_overflows,
	       (unsigned long long)nr_losses);
	print_states("commits", nr_states);
	print_states("for others", nr_remote);
	print_states("picks", nr_picks);
	return 0;
}

/* A walk that meets nothing proves nothing. */
static void test_random_walks_have_met_every_outcome(void **state)
{
	static const __u32 remote[] = { GHOST_TXN_COMMITTED,  GHOST_TXN_YIELDED,
					GHOST_TXN_TASK_STALE, GHOST_TXN_NOT_ALLOWED,
					GHOST_TXN_AGAIN,      GHOST_TXN_CPU_UNAVAIL };
	static const __u32 picks[] = { GHOST_TXN_COMMITTED, GHOST_TXN_TASK_STALE,
				       GHOST_TXN_NOT_ALLOWED };

	assert_true(nr_overflows > 0);
	assert_true(nr_losses > 0);
	for (__u32 i = GHOST_TXN_COMMITTED; i <= GHOST_TXN_INVALID; i++)
		assert_true(nr_states[i] > 0);
	for (size_t i = 0; i < ARRAY_LEN(remote); i++)
		assert_true(nr_remote[remote[i]] > 0);
	for (size_t i = 0; i < ARRAY_LEN(picks); i++)
		assert_true(nr_picks[picks[i]] > 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_random_walks_lose_no_thread_and_break_no_promise, setup, teardown),
		cmocka_unit_test(test_random_walks_have_met_every_outcome),
	};
	const char *given = getenv("GHOST_SEED");

	seed = given ? strtoull(given, NULL, 0) : (__u64)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
