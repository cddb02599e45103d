// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commits by the CPU itself, and picks written ahead for it: each refusal with
 * its exact state, and events in the middle. Those for other CPUs are in
 * test_txn_remote.c, groups in test_txn_group.c.
 * In: core/txn.h over plain memory. Out: TAP.
 */
#include "tests/unit/event_fake.h"

#define CPU 1 /* where the agent of these tests commits; its threads' messages go to CPU 0 first */

static struct ghost_txn *const txn = &fake.rw[1][CPU].txn;
static struct ghost_cpu *const page = &fake.page[1][CPU];

static __u32 s;		  /* a thread in custody */
static __u32 rival_state; /* what a second commit in the middle of ours came to */

static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	fake.this_cpu = CPU;
	page->agent_seq = 40;
	rival_state = GHOST_TXN_FREE;
	s = thread_in(CORE_TASK_CUSTODY);
	return 0;
}

/* A transaction that would go through. */
static void fill(__u32 slot)
{
	*txn = (struct ghost_txn){
		.slot = slot,
		.task_seq = slot < FAKE_SLOTS ? fake.task[slot].seq : 0,
		.agent_seq = page->agent_seq,
		.slice_ns = 5000,
		.ping_cpu = GHOST_CPU_NONE,
		.state = GHOST_TXN_READY,
	};
}

static __u32 commit(void)
{
	__u64 before = 0, after = 0;
	__u32 moves = fake.nr_moves, state;

	for (int i = 0; i < 32; i++)
		before += page->nr_txn[i];
	state = txn_commit_local(1, CPU, &fake.cpu[CPU]);
	for (int i = 0; i < 32; i++)
		after += page->nr_txn[i];
	/* Whatever comes out: one final state, said, stored and counted once. */
	assert_in_range(state, GHOST_TXN_COMMITTED, GHOST_TXN_INVALID);
	assert_int_equal(txn->state, state);
	assert_int_equal(after, before + 1);
	assert_int_equal(fake.nr_open, 0);
	moves += rival_state == GHOST_TXN_COMMITTED;
	assert_int_equal(fake.nr_moves, moves + (state == GHOST_TXN_COMMITTED));
	return state;
}

/* The thread and its record as if nothing had been tried. */
static void assert_untouched(void)
{
	assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	assert_int_equal(fake.task[s].queue, 0);
	assert_status(s, GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	assert_int_equal(fake.cpu[CPU].agent_seen, 0);
}

/* --- carried out ------------------------------------------------------------- */

static void test_txn_good_one_moves_the_thread_here(void **state)
{
	__u32 seq = fake.task[s].seq;

	fill(s);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	assert_int_equal(fake.th[s].cpu, CPU);
	assert_int_equal(fake.th[s].slice_ns, 5000);
	assert_int_equal(fake.task[s].state, CORE_TASK_LATCHED);
	assert_int_equal(fake.task[s].seq, seq); /* no message, no new number */
	assert_int_equal(fake.task[s].queue, CPU);
	assert_int_equal(fake.status[1][s].queue, CPU);
	assert_int_equal(fake.status[1][s].cpu, CPU);
	assert_status(s, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED);
	assert_int_equal(fake.cpu[CPU].agent_seen, 40);
	assert_int_equal(page->agent_seq, 40);
	expect_no_msg();
	/* From here on this agent hears of it. */
	thread_run(s, CPU);
	thread_block(s);
	expect_msg(CPU, GHOST_MSG_TASK_BLOCKED, s);
}

static void test_txn_slot_zero_gives_the_cpu_up(void **state)
{
	fill(0);
	assert_int_equal(commit(), GHOST_TXN_YIELDED);
	assert_int_equal(fake.cpu[CPU].agent_seen, 40);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
}

static void test_txn_infinite_slice_is_handed_on(void **state)
{
	fill(s);
	txn->slice_ns = GHOST_SLICE_INF;
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	assert_true(fake.th[s].slice_ns == GHOST_SLICE_INF);
}

/* Numbers around 2^32 are compared for equality, not order. */
static void test_txn_numbers_may_wrap(void **state)
{
	page->agent_seq = ~0u;
	fake.task[s].seq = ~0u;
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.cpu[CPU].agent_seen, ~0u);
	thread_run(s, CPU);
	thread_block(s);
	assert_int_equal(page->agent_seq, 0);
	assert_int_equal(expect_msg(CPU, GHOST_MSG_TASK_BLOCKED, s).seq, 0);
}

/* Only READY is looked at; whatever else stands there stays as it is. */
static void test_txn_that_is_not_ready_is_left_alone(void **state)
{
	static const __u32 states[] = { 0, 2, 3, 4, 11, 12, 17, 18, 19, 20, 255, ~0u };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		fill(s);
		txn->state = states[i];
		assert_int_equal(txn_commit_local(1, CPU, &fake.cpu[CPU]), GHOST_TXN_FREE);
		assert_int_equal(txn->state, states[i]);
		assert_untouched();
	}
	for (int i = 0; i < 32; i++)
		assert_int_equal(page->nr_txn[i], 0);
}

static void test_txn_without_memory_is_none(void **state)
{
	fill(s);
	assert_int_equal(txn_commit_local(1, FAKE_QUEUES, &fake.cpu[CPU]), GHOST_TXN_FREE);
	assert_int_equal(txn_commit_local(0, CPU, &fake.cpu[CPU]), GHOST_TXN_FREE);
	assert_int_equal(txn_commit_pick(1, FAKE_QUEUES), GHOST_TXN_FREE);
	assert_int_equal(txn_commit_pick(0, CPU), GHOST_TXN_FREE);
	assert_untouched();
}

/* --- refused ---------------------------------------------------------------------- */

static void test_txn_stale_agent_number_is_refused(void **state)
{
	fill(s);
	txn->agent_seq--;
	assert_int_equal(commit(), GHOST_TXN_AGENT_STALE);
	assert_untouched();
	fill(s);
	txn->agent_seq++; /* from the future: not seen either */
	assert_int_equal(commit(), GHOST_TXN_AGENT_STALE);
	assert_untouched();
	fill(0); /* "nothing to run" is also a decision based on what was seen */
	txn->agent_seq--;
	assert_int_equal(commit(), GHOST_TXN_AGENT_STALE);
	assert_int_equal(fake.cpu[CPU].agent_seen, 0);
}

/* A message between the agent's look and its commit. */
static void test_txn_message_since_the_look_makes_the_agent_stale(void **state)
{
	__u32 other = thread_join(1, 900, ALL_CPUS, 0); /* the second queue is this CPU's */

	assert_int_equal(fake.task[other].queue, CPU);
	fill(s);
	thread_enqueue(other, EVENT_WAKEUP, CPU);
	assert_int_equal(commit(), GHOST_TXN_AGENT_STALE);
	assert_untouched();
}

static void test_txn_stale_task_number_is_refused(void **state)
{
	fill(s);
	txn->task_seq--;
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
	assert_untouched();
	fill(s);
	thread_nice(s, 3);
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
	assert_untouched();
}

static void test_txn_thread_of_another_enclave_is_not_found(void **state)
{
	__u32 theirs = thread_join(2, 900, ALL_CPUS, 1);

	thread_enqueue(theirs, EVENT_WAKEUP, 4);
	fill(theirs);
	assert_int_equal(commit(), GHOST_TXN_NOT_FOUND);
	assert_int_equal(fake.th[theirs].place, FAKE_CUSTODY);
	assert_int_equal(fake.task[theirs].state, CORE_TASK_CUSTODY);
}

static void test_txn_slot_nobody_ever_had_is_not_found(void **state)
{
	fill(FAKE_SLOTS - 1);
	assert_int_equal(commit(), GHOST_TXN_NOT_FOUND);
}

/* Even with the number of its last message; a guess of an older one is stale. */
static void test_txn_thread_that_left_is_not_found(void **state)
{
	thread_gone(s, 1);
	drop_msgs();
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_NOT_FOUND);
	txn->task_seq--;
	txn->state = GHOST_TXN_READY;
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
}

/* The slot has a new thread: the number of the old one does not fit, ever. */
static void test_txn_for_the_previous_user_of_a_slot_is_stale(void **state)
{
	fill(s);
	thread_gone(s, 1);
	assert_int_equal(thread_join(1, 901, ALL_CPUS, 1), s);
	thread_enqueue(s, EVENT_WAKEUP, 0);
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
	assert_untouched();
}

static void test_txn_sleeping_thread_is_not_runnable(void **state)
{
	s = thread_in(CORE_TASK_BLOCKED);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_NOT_RUNNABLE);
	assert_int_equal(fake.task[s].state, CORE_TASK_BLOCKED);
}

static void test_txn_thread_before_its_new_is_not_runnable(void **state)
{
	s = thread_in(CORE_TASK_NEW);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_NOT_RUNNABLE);
	assert_int_equal(fake.task[s].state, CORE_TASK_NEW);
}

static void test_txn_thread_that_is_committed_or_runs_is_on_cpu(void **state)
{
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_ON_CPU);
	thread_run(s, CPU);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_ON_CPU);
	assert_int_equal(fake.task[s].state, CORE_TASK_RUNNING);
	s = thread_in(CORE_TASK_FALLBACK);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_ON_CPU);
	assert_int_equal(fake.task[s].state, CORE_TASK_FALLBACK);
}

static void test_txn_against_affinity_is_not_allowed(void **state)
{
	thread_affinity(s, 0xf & ~(1 << CPU));
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_NOT_ALLOWED);
	assert_untouched();
}

/* The kernel's word counts (migration disabled), not what the table shows. */
static void test_txn_the_kernel_does_not_allow_is_not_allowed(void **state)
{
	fake.th[s].cpus[0] = 1;
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_NOT_ALLOWED);
	assert_untouched();
}

/* Between migrate_disable() and migrate_enable() it may run where it is, and only there. */
static void test_txn_confined_thread_is_allowed_where_it_is_only(void **state)
{
	fake.th[s].confined = 1;
	thread_enqueue(s, EVENT_SLICE, CPU + 1);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_NOT_ALLOWED);
	thread_enqueue(s, EVENT_SLICE, CPU);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
}

/* Its enqueue is a program on its own CPU that disables its migration for so long. */
static void test_txn_thread_whose_enqueue_still_runs_is_to_be_tried_again(void **state)
{
	thread_enqueue(s, EVENT_SLICE, CPU + 1);
	fake.th[s].confined = 1;
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_AGAIN);
	assert_untouched();
	fake.th[s].confined = 0;
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	/* Nor is what it was once. */
	fake.th[s].confined = 1;
	thread_enqueue(s, EVENT_SLICE, CPU + 1);
	fake.th[s].confined = 0;
	thread_enqueue(s, EVENT_SLICE, CPU + 1);
	fake.th[s].confined = 1;
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_AGAIN);
}

/* Told, but not there yet: enqueue publishes the message before the thread has arrived. */
static void test_txn_thread_on_its_way_into_custody_is_to_be_tried_again(void **state)
{
	fake.th[s].place = FAKE_NOWHERE;
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_AGAIN);
	assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
	assert_int_equal(fake.task[s].queue, 0);
	fake_into_custody(s);
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
}

static void test_txn_invalid_fields_are_refused(void **state)
{
	fill(s);
	txn->slice_ns = 0;
	assert_int_equal(commit(), GHOST_TXN_INVALID);
	assert_untouched();
	for (int bit = 0; bit < 32; bit++) {
		if (1u << bit & GHOST_TXN_FLAGS)
			continue;
		fill(s);
		txn->flags = 1u << bit;
		assert_int_equal(commit(), GHOST_TXN_INVALID);
		assert_untouched();
		txn->flags |= GHOST_TXN_FLAGS;
		txn->state = GHOST_TXN_READY;
		assert_int_equal(commit(), GHOST_TXN_INVALID);
		fill(0); /* also where there is nothing to run */
		txn->flags = 1u << bit;
		assert_int_equal(commit(), GHOST_TXN_INVALID);
	}
	fill(0);
	txn->slice_ns = 0;
	assert_int_equal(commit(), GHOST_TXN_INVALID);
	fill(GHOST_SLOT_AGENT); /* the agent of this CPU is awake */
	assert_int_equal(commit(), GHOST_TXN_INVALID);
	assert_untouched();
}

/* The CPU that carries it out holds its run queue, and can start no timer. */
static void test_txn_that_wants_a_timer_is_refused_by_the_cpu_itself(void **state)
{
	fill(s);
	txn->flags = GHOST_RUN_SLICE_TIMER;
	txn->slice_ns = GHOST_TIMER_MIN_NS;
	assert_int_equal(commit(), GHOST_TXN_INVALID);
	fake.rw[1][CPU].pick = *txn;
	fake.rw[1][CPU].pick.state = GHOST_TXN_READY;
	assert_int_equal(txn_commit_pick(1, CPU), GHOST_TXN_INVALID);
	assert_untouched();
	assert_true(fake.slice_timer_ns[CPU] == 0);
}

static void test_txn_slot_out_of_range_is_invalid(void **state)
{
	static const __u32 slots[] = { FAKE_SLOTS, FAKE_SLOTS + 1, 1u << 20, 1u << 31, ~0u - 2 };

	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		fill(slots[i]);
		assert_int_equal(commit(), GHOST_TXN_INVALID);
	}
	assert_untouched();
}

/* All combinations of good and bad fields: one final state each, and never a wrong move. */
static void test_txn_every_combination_of_fields_ends_in_one_state(void **state)
{
	static const __u32 slots[] = { 0, 1, 2, FAKE_SLOTS, ~0u };
	static const __u32 deltas[] = { 0, 1, ~0u };
	static const __u64 slices[] = { 0, 1, GHOST_SLICE_INF };
	static const __u32 pings[] = { GHOST_CPU_NONE, 0, CPU, 4, FAKE_CPUS, GHOST_CPUS_MAX };
	int n = 0;

	for (int i = 0; i < 5 * 3 * 3 * 3 * 2 * 6; i++) {
		int k = i, moved;
		__u32 slot = slots[k % 5], td = deltas[k / 5 % 3], ad = deltas[k / 15 % 3];
		__u64 slice = slices[k / 45 % 3];
		__u32 flags = k / 135 % 2 ? 0x8 : 0; /* one that nobody knows */

		setup(NULL);
		fill(slot);
		txn->task_seq += td;
		txn->agent_seq += ad;
		txn->slice_ns = slice;
		txn->flags = flags;
		txn->ping_cpu = pings[k / 270];
		moved = commit() == GHOST_TXN_COMMITTED;
		assert_int_equal(moved, slot == s && !td && !ad && slice && !flags);
		n += moved;
	}
	assert_int_equal(n, 12);
}

/* --- pings ---------------------------------------------------------------------------- */

static void test_txn_ping_advances_the_other_agent_and_wakes_an_idle_cpu(void **state)
{
	fill(s);
	txn->ping_cpu = 2;
	cpu_idle_set(fake_es(1), 2);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.page[1][2].agent_seq, 1);
	assert_int_equal(fake.kicks[2], 1);
	/* A busy one is not disturbed; it looks when it gives the CPU up. */
	fill(0);
	txn->ping_cpu = 2;
	assert_int_equal(commit(), GHOST_TXN_YIELDED);
	assert_int_equal(fake.page[1][2].agent_seq, 2);
	assert_int_equal(fake.kicks[2], 1);
}

/* The other CPU's work does not depend on whether ours went through. */
static void test_txn_ping_is_sent_also_by_a_refused_one(void **state)
{
	fill(s);
	txn->task_seq--;
	txn->ping_cpu = 2;
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
	assert_int_equal(fake.page[1][2].agent_seq, 1);
}

static void test_txn_ping_outside_the_enclave_does_nothing(void **state)
{
	static const __u32 cpus[] = { 4, 6, FAKE_CPUS, GHOST_CPUS_MAX - 1, GHOST_CPUS_MAX, ~1u };

	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		__u32 theirs = fake.page[2][4].agent_seq;

		cpu_idle_set(fake_es(2), 4);
		fill(0);
		txn->ping_cpu = cpus[i];
		assert_int_equal(commit(), GHOST_TXN_YIELDED);
		assert_int_equal(fake.page[2][4].agent_seq, theirs);
		assert_int_equal(fake.kicks[4], 0);
	}
}

/* --- in the middle ------------------------------------------------------------------------ */

/* What the word says must be so when everybody has done his part. */
static void assert_word_true(void)
{
	static const __u32 want[] = {
		[CORE_TASK_NEW] = GHOST_STATUS_INUSE | GHOST_STATUS_NEW,
		[CORE_TASK_BLOCKED] = GHOST_STATUS_INUSE,
		[CORE_TASK_CUSTODY] = GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE,
		[CORE_TASK_LATCHED] = GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU |
				      GHOST_STATUS_LATCHED,
		[CORE_TASK_RUNNING] = GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU,
		[CORE_TASK_FALLBACK] = GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK,
	};

	assert_status(s, want[fake.task[s].state]);
}

/* The last message about the thread; a thread in custody must be told to wait. */
static void assert_agent_knows_it_waits(void)
{
	int waits = -1;
	__u32 seq = 0;
	struct ghost_msg m;

	for (__u32 cpu = 0; cpu < 4; cpu++)
		while (fake_pop(1, cpu, &m)) {
			if (m.slot != s)
				continue;
			assert_true(m.seq > seq);
			seq = m.seq;
			if (m.type == GHOST_MSG_TASK_PREEMPT || m.type == GHOST_MSG_TASK_WAKEUP)
				waits = 1;
			else if (m.type == GHOST_MSG_TASK_BLOCKED)
				waits = 0;
		}
	assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
	assert_int_equal(waits, 1);
}

static void reenter(void)
{
	fake.th[s].place = FAKE_NOWHERE;
	thread_enqueue(s, EVENT_RESTORE, 0);
}

/* Out and in again after the point: what was checked may not hold any more. */
static void test_txn_thread_that_reentered_custody_is_to_be_tried_again(void **state)
{
	static const enum fake_point points[] = { FAKE_AT_OPEN, FAKE_AT_ALLOWED };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		setup(NULL);
		fill(s);
		fake.hook[points[i]] = reenter;
		assert_int_equal(commit(), GHOST_TXN_AGAIN);
		assert_untouched();
		expect_no_msg();
		fill(s);
		assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	}
}

/* The same when it is latched already: its own CPU has put it back, and says so. */
static void test_txn_thread_that_reentered_custody_while_latched_is_told(void **state)
{
	fill(s);
	fake.hook[FAKE_AT_MOVE] = reenter;
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
	assert_word_true();
	assert_agent_knows_it_waits();
	fill(s);
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
}

static void affinity_all(void)
{
	thread_affinity(s, 0xd); /* not CPU 1 any more */
}

static void affinity_out(void)
{
	fake.th[s].place = FAKE_NOWHERE;
	fake_mask_set(1, s, 0xd);
	event_task_affinity(s);
}

static void nice_out(void)
{
	fake.th[s].place = FAKE_NOWHERE;
	thread_nice(s, 4);
}

/* The whole change falls between two steps of the commit. */
static void test_txn_affinity_change_in_the_middle_never_moves_the_thread(void **state)
{
	static const struct {
		enum fake_point at;
		__u32 want;
	} cases[] = {
		{ FAKE_AT_SEQ, GHOST_TXN_TASK_STALE },
		{ FAKE_AT_OPEN, GHOST_TXN_TASK_STALE },
		{ FAKE_AT_ALLOWED, GHOST_TXN_NOT_ALLOWED },
		{ FAKE_AT_MOVE, GHOST_TXN_TASK_STALE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		fill(s);
		fake.hook[cases[i].at] = affinity_all;
		assert_int_equal(commit(), cases[i].want);
		assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
		assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
		assert_int_equal(fake.task[s].queue, 0);
		assert_word_true();
	}
}

/*
 * The first half of the change (taken out, told) falls between latching and
 * moving, the second (put back) after the commit: the table said "on a CPU"
 * when it was told, so the agent must hear that it waits.
 */
static void test_txn_change_told_while_latched_does_not_lose_the_thread(void **state)
{
	static void (*const halves[])(void) = { affinity_out, nice_out };

	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		setup(NULL);
		fill(s);
		fake.hook[FAKE_AT_MOVE] = halves[i];
		assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
		thread_enqueue(s, EVENT_RESTORE, 0);
		assert_word_true();
		assert_agent_knows_it_waits();
	}
}

/* The same, and the second half comes before the commit takes its claim back. */
static void put_back(void)
{
	thread_enqueue(s, EVENT_RESTORE, 0);
}

static void test_txn_put_back_before_the_claim_is_undone_does_not_lose_the_thread(void **state)
{
	static void (*const halves[])(void) = { affinity_out, nice_out };

	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		setup(NULL);
		fill(s);
		fake.hook[FAKE_AT_MOVE] = halves[i];
		fake.hook[FAKE_AT_UNDO] = put_back;
		assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
		assert_word_true();
		assert_agent_knows_it_waits();
	}
}

static void dies(void)
{
	thread_gone(s, 1);
}

static void test_txn_death_in_the_middle_is_refused_and_frees_the_slot(void **state)
{
	static const struct {
		enum fake_point at;
		__u32 want;
	} cases[] = {
		{ FAKE_AT_SEQ, GHOST_TXN_TASK_STALE },	{ FAKE_AT_OPEN, GHOST_TXN_TASK_STALE },
		{ FAKE_AT_ALLOWED, GHOST_TXN_AGAIN },	{ FAKE_AT_MOVE, GHOST_TXN_TASK_STALE },
		{ FAKE_AT_UNDO, GHOST_TXN_TASK_STALE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		fill(s);
		if (cases[i].at == FAKE_AT_UNDO)
			fake.th[s].place = FAKE_NOWHERE;
		fake.hook[cases[i].at] = dies;
		assert_int_equal(commit(), cases[i].want);
		assert_int_equal(fake.task[s].state, CORE_TASK_ABSENT);
		assert_status(s, 0);
		expect_msg(0, GHOST_MSG_TASK_DEAD, s);
		assert_int_equal(slots_take(), s);
	}
}

static void others_message(void)
{
	fake.page[1][CPU].agent_seq++;
}

/* A message that comes after the number was compared is the next decision's business. */
static void test_txn_message_after_the_check_leaves_news_pending(void **state)
{
	fill(s);
	fake.hook[FAKE_AT_OPEN] = others_message;
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.cpu[CPU].agent_seen, 40);
	assert_true(agent_pending(&fake.cpu[CPU], page));
}

/* Two agents want the same thread; the second comes while the first is at it. */
static void rival(void)
{
	rival_state = thread_commit(s, 2);
}

static void test_txn_of_two_for_one_thread_one_wins(void **state)
{
	static const struct {
		enum fake_point at;
		__u32 ours, theirs;
	} cases[] = {
		{ FAKE_AT_SEQ, GHOST_TXN_ON_CPU, GHOST_TXN_COMMITTED },
		{ FAKE_AT_OPEN, GHOST_TXN_ON_CPU, GHOST_TXN_COMMITTED },
		{ FAKE_AT_ALLOWED, GHOST_TXN_AGAIN, GHOST_TXN_COMMITTED },
		/* Ours may still fail: theirs must not be told that the thread is taken care of. */
		{ FAKE_AT_MOVE, GHOST_TXN_COMMITTED, GHOST_TXN_AGAIN },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		fill(s);
		fake.hook[cases[i].at] = rival;
		assert_int_equal(commit(), cases[i].ours);
		assert_int_equal(rival_state, cases[i].theirs);
		assert_int_equal(fake.task[s].state, CORE_TASK_LATCHED);
		assert_int_equal(fake.th[s].place, FAKE_LOCAL);
		assert_int_equal(fake.th[s].cpu, rival_state == GHOST_TXN_COMMITTED ? 2 : CPU);
		assert_int_equal(fake.task[s].queue, fake.th[s].cpu);
		assert_word_true();
	}
}

/*
 * Our move fails, and before the claim is undone the thread is put back and
 * committed by another agent. Undoing then takes away that one's claim; the
 * next event must put things right, and the thread must not be lost.
 */
static void put_back_and_rival(void)
{
	reenter();
	rival();
}

/* Ours failed after theirs went through: what we take back is our claim, not theirs. */
static void test_txn_commit_that_fails_leaves_the_claim_of_another_alone(void **state)
{
	fill(s);
	fake.th[s].place = FAKE_NOWHERE;
	fake.hook[FAKE_AT_UNDO] = put_back_and_rival;
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
	assert_int_equal(rival_state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	assert_int_equal(fake.task[s].state, CORE_TASK_LATCHED);
	assert_word_true();
	thread_run(s, 2);
	drop_msgs();
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 2);
	assert_word_true();
	assert_agent_knows_it_waits();
}

/* The agent's memory changes under the commit: what was checked is what is used. */
static void scribble(void)
{
	*txn = (struct ghost_txn){
		.slot = ~0u,
		.task_seq = ~0u,
		.agent_seq = ~0u,
		.slice_ns = 0,
		.flags = ~0u,
		.ping_cpu = 2,
		.state = 77,
	};
	fake.rw[1][CPU].queue_tail = 12345;
}

static void test_txn_fields_changed_during_the_commit_are_not_read_again(void **state)
{
	static const enum fake_point points[] = { FAKE_AT_SEQ, FAKE_AT_OPEN, FAKE_AT_ALLOWED,
						  FAKE_AT_MOVE };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		setup(NULL);
		fill(s);
		fake.hook[points[i]] = scribble;
		assert_int_equal(commit(), GHOST_TXN_COMMITTED);
		assert_int_equal(fake.th[s].slice_ns, 5000);
		assert_int_equal(fake.task[s].queue, CPU);
		assert_int_equal(fake.cpu[CPU].agent_seen, 40);
		assert_int_equal(fake.page[1][2].agent_seq, 0); /* nobody was pinged */
	}
	/* And the other way round: a bad one is not mended either. */
	setup(NULL);
	fill(s);
	txn->slot = FAKE_SLOTS;
	fake.hook[FAKE_AT_SEQ] = scribble;
	assert_int_equal(commit(), GHOST_TXN_INVALID);
}

/* --- flags ---------------------------------------------------------------------------------- */

/* Contradictions are the same for all; what is about other CPUs means nothing here and is allowed. */
static void test_txn_contradicting_flags_are_invalid(void **state)
{
	static const struct {
		__u32 slot, flags; /* slot 1: the thread */
	} wrong[] = {
		{ 1, GHOST_RUN_NEED_CPU_NOT_IDLE },
		{ GHOST_SLOT_NONE, GHOST_RUN_NEED_CPU_NOT_IDLE },
		{ GHOST_SLOT_IDLE, GHOST_RUN_RTLA_ON_IDLE },
		{ 1, GHOST_COMMIT_ELIDE_AGENT_SEQ | GHOST_COMMIT_AGENT_SEQ_ON_FAILURE },
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		fill(wrong[i].slot == 1 ? s : wrong[i].slot);
		txn->flags = wrong[i].flags;
		assert_int_equal(commit(), GHOST_TXN_INVALID);
		assert_untouched();
	}
	for (int bit = 0; bit < 32; bit++) {
		if (!(1u << bit & GHOST_TXN_FLAGS) || 1u << bit == GHOST_RUN_NEED_CPU_NOT_IDLE ||
		    1u << bit == GHOST_RUN_SLICE_TIMER)
			continue;
		setup(NULL);
		fill(s);
		txn->flags = 1u << bit;
		assert_int_equal(commit(), GHOST_TXN_COMMITTED);
		assert_int_equal(fake.task[s].run, 1u << bit);
		/* The number of a CPU's own agent is its own affair. */
		assert_int_equal(page->agent_seq, 40);
	}
}

static void test_txn_of_a_cpu_that_is_to_idle_gives_it_up(void **state)
{
	fill(GHOST_SLOT_IDLE);
	txn->flags = GHOST_RUN_NEED_CPU_NOT_IDLE;
	assert_int_equal(commit(), GHOST_TXN_YIELDED);
	assert_int_equal(fake.cpu[CPU].not_idle, 1);
	assert_int_equal(fake.cpu[CPU].agent_seen, 40);
	/* The next decision is a new one. */
	fill(GHOST_SLOT_NONE);
	txn->flags = GHOST_RUN_RTLA_ON_IDLE;
	assert_int_equal(commit(), GHOST_TXN_YIELDED);
	assert_int_equal(fake.cpu[CPU].not_idle, 0);
	assert_int_equal(fake.cpu[CPU].rtla_idle, 1);
	/* Unless it is refused. */
	fill(s);
	txn->task_seq--;
	assert_int_equal(commit(), GHOST_TXN_TASK_STALE);
	assert_int_equal(fake.cpu[CPU].rtla_idle, 1);
}

static void test_txn_says_when_it_was_carried_out_and_as_what(void **state)
{
	__u32 seq = fake.cpu[CPU].seq;

	fake.now = 4711;
	fill(s);
	txn->owner = 5;
	assert_int_equal(commit(), GHOST_TXN_COMMITTED);
	assert_true(txn->commit_ns == 4711);
	assert_int_equal(txn->cpu_seq, seq + 1);
	assert_int_equal(fake.cpu[CPU].seq, seq + 1);
	assert_int_equal(txn->owner, 5); /* of groups only */
}

/* --- picks ------------------------------------------------------------------------------------ */

static struct ghost_txn *const pick = &fake.rw[1][CPU].pick;

static void fill_pick(__u32 slot)
{
	*pick = txn_good(slot, CPU);
	pick->slice_ns = 5000;
	pick->agent_seq = 12345; /* nobody asks for it */
	pick->ping_cpu = 2;	 /* nor for this */
}

static __u32 take_pick(void)
{
	__u32 picks = page->nr[GHOST_NR_PICKS], pinged = fake.page[1][2].agent_seq, state, nr;

	nr = pick->state == GHOST_TXN_READY;
	state = txn_commit_pick(1, CPU);
	assert_int_equal(fake.nr_open, 0);
	assert_int_equal(fake.page[1][2].agent_seq, pinged);
	assert_int_equal(page->nr[GHOST_NR_PICKS], picks + (state == GHOST_TXN_COMMITTED));
	if (nr) {
		assert_in_range(state, GHOST_TXN_COMMITTED, GHOST_TXN_INVALID);
		assert_int_not_equal(state, GHOST_TXN_YIELDED);
		assert_int_equal(pick->state, state);
		assert_true(pick->commit_ns == fake.now);
		assert_int_equal(pick->cpu_seq, fake.cpu[CPU].seq);
	}
	return state;
}

/* The refusal is told where nobody could see the pick's state; it is no event of the thread. */
static void expect_latch_failure(__u32 slot, __u32 reason)
{
	struct ghost_msg m = expect_msg(CPU, GHOST_MSG_TASK_LATCH_FAILURE, slot);

	assert_int_equal(m.reason, reason);
	assert_int_equal(m.cpu, CPU);
	assert_int_equal(m.cpu_seq, fake.cpu[CPU].seq);
	expect_no_msg();
}

static void test_txn_pick_moves_the_thread_here(void **state)
{
	__u32 seq = fake.task[s].seq;

	fill_pick(s);
	assert_int_equal(take_pick(), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	assert_int_equal(fake.th[s].cpu, CPU);
	assert_int_equal(fake.th[s].how, PORT_MOVE_HERE);
	assert_int_equal(fake.th[s].slice_ns, 5000);
	assert_int_equal(fake.task[s].state, CORE_TASK_LATCHED);
	assert_int_equal(fake.task[s].seq, seq);
	assert_int_equal(fake.task[s].queue, CPU); /* as after its own commit */
	assert_int_equal(fake.status[1][s].queue, CPU);
	assert_int_equal(fake.status[1][s].cpu, CPU);
	assert_status(s, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED);
	assert_int_equal(fake.cpu[CPU].runs, s);
	assert_true(page->nr_txn[GHOST_TXN_COMMITTED] == 1);
	/* The agent has seen nothing by it, nor has it got anything to see. */
	assert_int_equal(fake.cpu[CPU].agent_seen, 0);
	assert_int_equal(page->agent_seq, 40);
	expect_no_msg();
	/* The other slot is another matter. */
	assert_int_equal(txn->state, GHOST_TXN_FREE);
}

static void test_txn_pick_is_taken_once_and_only_if_it_is_ready(void **state)
{
	static const __u32 states[] = { GHOST_TXN_FREE,
					GHOST_TXN_COMMITTED,
					GHOST_TXN_AGAIN,
					GHOST_TXN_ABORTED,
					GHOST_TXN_TAKEN,
					GHOST_TXN_NR_STATES,
					~0u };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		fill_pick(s);
		pick->state = states[i];
		assert_int_equal(take_pick(), GHOST_TXN_FREE);
		assert_int_equal(pick->state, states[i]);
		assert_untouched();
		expect_no_msg();
	}
	fill_pick(s);
	assert_int_equal(take_pick(), GHOST_TXN_COMMITTED);
	assert_int_equal(take_pick(), GHOST_TXN_FREE);
	assert_int_equal(fake.nr_moves, 1);
	assert_int_equal(pick->state, GHOST_TXN_COMMITTED);
}

/* Withdrawn between the look and the taking: it is one or the other. */
static void withdraw(void)
{
	fake.step = NULL;
	pick->state = GHOST_TXN_ABORTED;
}

static void test_txn_pick_that_is_withdrawn_in_between_is_not_taken(void **state)
{
	fill_pick(s);
	fake.step = withdraw;
	assert_int_equal(txn_commit_pick(1, CPU), GHOST_TXN_FREE);
	assert_int_equal(pick->state, GHOST_TXN_ABORTED);
	assert_untouched();
	expect_no_msg();
}

/* Make the pick one that comes to @state. */
static void spoil_pick(__u32 state)
{
	switch (state) {
	case GHOST_TXN_TASK_STALE:
		pick->task_seq--;
		break;
	case GHOST_TXN_NOT_RUNNABLE:
		fake.task[s].state = CORE_TASK_BLOCKED;
		break;
	case GHOST_TXN_ON_CPU:
		fake.task[s].state = CORE_TASK_RUNNING;
		break;
	case GHOST_TXN_NOT_ALLOWED:
		fake.th[s].cpus[0] = 1;
		break;
	case GHOST_TXN_AGAIN:
		fake.th[s].place = FAKE_NOWHERE;
		break;
	case GHOST_TXN_INVALID:
		pick->slice_ns = 0;
		break;
	}
}

static void test_txn_pick_that_is_refused_is_told(void **state)
{
	static const __u32 states[] = { GHOST_TXN_TASK_STALE, GHOST_TXN_NOT_RUNNABLE,
					GHOST_TXN_ON_CPU,     GHOST_TXN_NOT_ALLOWED,
					GHOST_TXN_AGAIN,      GHOST_TXN_INVALID };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		__u32 seq;

		setup(NULL);
		seq = fake.task[s].seq;
		fill_pick(s);
		spoil_pick(states[i]);
		assert_int_equal(take_pick(), states[i]);
		assert_true(page->nr_txn[states[i]] == 1);
		assert_int_equal(fake.nr_moves, 0);
		assert_int_equal(fake.task[s].seq, seq);
		assert_int_equal(fake.cpu[CPU].runs, 0);
		assert_int_equal(page->agent_seq, 41);
		expect_latch_failure(s, states[i]);
	}
}

static void test_txn_pick_of_what_is_no_thread_is_invalid(void **state)
{
	static const __u32 slots[] = { GHOST_SLOT_NONE, GHOST_SLOT_IDLE, GHOST_SLOT_AGENT,
				       FAKE_SLOTS, 1u << 31 };

	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		fill_pick(slots[i]);
		assert_int_equal(take_pick(), GHOST_TXN_INVALID);
		expect_no_msg(); /* about whom? */
	}
	for (int bit = 0; bit < 32; bit++) {
		if (1u << bit & GHOST_TXN_FLAGS & ~GHOST_RUN_NEED_CPU_NOT_IDLE)
			continue;
		fill_pick(s);
		pick->flags = 1u << bit;
		assert_int_equal(take_pick(), GHOST_TXN_INVALID);
		expect_latch_failure(s, GHOST_TXN_INVALID);
	}
	assert_untouched();
}

/* Nothing is told of threads that are somebody else's, or nobody. */
static void test_txn_pick_of_another_enclaves_thread_is_not_found_and_not_told(void **state)
{
	__u32 theirs = thread_join(2, 900, ALL_CPUS, 1);

	thread_enqueue(theirs, EVENT_WAKEUP, 4);
	drop_msgs();
	fill_pick(theirs);
	assert_int_equal(take_pick(), GHOST_TXN_NOT_FOUND);
	fill_pick(FAKE_SLOTS - 1);
	assert_int_equal(take_pick(), GHOST_TXN_NOT_FOUND);
	thread_gone(s, 1);
	drop_msgs();
	fill_pick(s);
	assert_int_equal(take_pick(), GHOST_TXN_NOT_FOUND);
	expect_no_msg();
	assert_int_equal(fake.task[theirs].state, CORE_TASK_CUSTODY);
	assert_int_equal(page->agent_seq, 40);
}

static void test_txn_pick_that_is_refused_is_told_in_the_default_queue(void **state)
{
	int queue = queue_create(1, 64);
	struct ghost_msg m;

	assert_int_equal(queue_default(1, queue), 0);
	fill_pick(s);
	pick->task_seq--;
	assert_int_equal(take_pick(), GHOST_TXN_TASK_STALE);
	m = expect_msg_in(1, queue, GHOST_MSG_TASK_LATCH_FAILURE, s);
	assert_int_equal(m.cpu, CPU);
	expect_no_msg();
}

/* With a default queue the thread keeps its own. */
static void test_txn_pick_does_not_take_a_thread_from_its_queue(void **state)
{
	int queue = queue_create(1, 64);

	assert_int_equal(queue_assoc(1, queue, s, fake.task[s].seq), 0);
	thread_nice(s, 1);
	fill_pick(s);
	assert_int_equal(take_pick(), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.task[s].queue, queue);
	assert_int_equal(fake.status[1][s].queue, queue);
}

/* What falls between its steps, as with any other commit. */
static void test_txn_pick_never_moves_a_thread_that_changes_in_the_middle(void **state)
{
	static const struct {
		enum fake_point at;
		__u32 want;
	} cases[] = {
		{ FAKE_AT_OPEN, GHOST_TXN_TASK_STALE },
		{ FAKE_AT_ALLOWED, GHOST_TXN_NOT_ALLOWED },
		{ FAKE_AT_MOVE, GHOST_TXN_TASK_STALE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		fill_pick(s);
		fake.hook[cases[i].at] = affinity_all;
		assert_int_equal(take_pick(), cases[i].want);
		assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
		assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
		assert_word_true();
	}
}

static void scribble_pick(void)
{
	memset(pick, 0xff, sizeof(*pick));
}

static void test_txn_pick_changed_during_the_commit_is_not_read_again(void **state)
{
	static const enum fake_point points[] = { FAKE_AT_OPEN, FAKE_AT_ALLOWED, FAKE_AT_MOVE };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		setup(NULL);
		fill_pick(s);
		fake.hook[points[i]] = scribble_pick;
		assert_int_equal(take_pick(), GHOST_TXN_COMMITTED);
		assert_int_equal(fake.th[s].slice_ns, 5000);
		assert_int_equal(fake.task[s].run, 0);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_txn_good_one_moves_the_thread_here),
		T(test_txn_slot_zero_gives_the_cpu_up),
		T(test_txn_infinite_slice_is_handed_on),
		T(test_txn_numbers_may_wrap),
		T(test_txn_that_is_not_ready_is_left_alone),
		T(test_txn_without_memory_is_none),
		T(test_txn_stale_agent_number_is_refused),
		T(test_txn_message_since_the_look_makes_the_agent_stale),
		T(test_txn_stale_task_number_is_refused),
		T(test_txn_thread_of_another_enclave_is_not_found),
		T(test_txn_slot_nobody_ever_had_is_not_found),
		T(test_txn_thread_that_left_is_not_found),
		T(test_txn_for_the_previous_user_of_a_slot_is_stale),
		T(test_txn_sleeping_thread_is_not_runnable),
		T(test_txn_thread_before_its_new_is_not_runnable),
		T(test_txn_thread_that_is_committed_or_runs_is_on_cpu),
		T(test_txn_against_affinity_is_not_allowed),
		T(test_txn_the_kernel_does_not_allow_is_not_allowed),
		T(test_txn_confined_thread_is_allowed_where_it_is_only),
		T(test_txn_thread_whose_enqueue_still_runs_is_to_be_tried_again),
		T(test_txn_thread_on_its_way_into_custody_is_to_be_tried_again),
		T(test_txn_invalid_fields_are_refused),
		T(test_txn_that_wants_a_timer_is_refused_by_the_cpu_itself),
		T(test_txn_slot_out_of_range_is_invalid),
		T(test_txn_every_combination_of_fields_ends_in_one_state),
		T(test_txn_ping_advances_the_other_agent_and_wakes_an_idle_cpu),
		T(test_txn_ping_is_sent_also_by_a_refused_one),
		T(test_txn_ping_outside_the_enclave_does_nothing),
		T(test_txn_thread_that_reentered_custody_is_to_be_tried_again),
		T(test_txn_thread_that_reentered_custody_while_latched_is_told),
		T(test_txn_affinity_change_in_the_middle_never_moves_the_thread),
		T(test_txn_change_told_while_latched_does_not_lose_the_thread),
		T(test_txn_put_back_before_the_claim_is_undone_does_not_lose_the_thread),
		T(test_txn_death_in_the_middle_is_refused_and_frees_the_slot),
		T(test_txn_message_after_the_check_leaves_news_pending),
		T(test_txn_of_two_for_one_thread_one_wins),
		T(test_txn_commit_that_fails_leaves_the_claim_of_another_alone),
		T(test_txn_fields_changed_during_the_commit_are_not_read_again),
		T(test_txn_contradicting_flags_are_invalid),
		T(test_txn_of_a_cpu_that_is_to_idle_gives_it_up),
		T(test_txn_says_when_it_was_carried_out_and_as_what),
		T(test_txn_pick_moves_the_thread_here),
		T(test_txn_pick_is_taken_once_and_only_if_it_is_ready),
		T(test_txn_pick_that_is_withdrawn_in_between_is_not_taken),
		T(test_txn_pick_that_is_refused_is_told),
		T(test_txn_pick_of_what_is_no_thread_is_invalid),
		T(test_txn_pick_of_another_enclaves_thread_is_not_found_and_not_told),
		T(test_txn_pick_that_is_refused_is_told_in_the_default_queue),
		T(test_txn_pick_does_not_take_a_thread_from_its_queue),
		T(test_txn_pick_never_moves_a_thread_that_changes_in_the_middle),
		T(test_txn_pick_changed_during_the_commit_is_not_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
