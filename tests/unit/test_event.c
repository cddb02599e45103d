// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of threads: every transition, its message, its status word.
 * In: core/event.h over plain memory. Out: TAP.
 */
#include "tests/unit/event_fake.h"

#include "core/enclave.h"

#define INUSE GHOST_STATUS_INUSE
#define WAITS (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE)
#define ONCPU (GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU)
#define FALLBACK (GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK)
#define ISNEW (GHOST_STATUS_INUSE | GHOST_STATUS_NEW)
#define MS(n) ((n) * 1000000ull)

static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	return 0;
}

/* --- coming ------------------------------------------------------------------ */

/* Until its enqueue a thread only has a record; then TASK_NEW says that it waits. */
static void test_event_new_thread_that_is_enqueued_is_new_and_runnable(void **state)
{
	__u32 s = thread_join(1, 77, 0x3, 1);
	struct ghost_msg m;

	assert_status(s, ISNEW);
	assert_int_equal(fake.status[1][s].tid, 77);
	expect_no_msg();
	fake.status[1][s].nice = -5;
	assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 0), EVENT_CUSTODY);
	m = expect_msg(0, GHOST_MSG_TASK_NEW, s);
	assert_int_equal(m.flags, GHOST_MSG_RUNNABLE);
	assert_int_equal(m.nice, -5);
	assert_int_equal((__u32)m.gtid, 77);
	assert_status(s, WAITS);
	expect_no_msg();
}

static void test_event_thread_that_joins_asleep_is_new_and_not_runnable(void **state)
{
	__u32 s = thread_join(1, 77, ALL_CPUS, 0);

	assert_int_equal(expect_msg(0, GHOST_MSG_TASK_NEW, s).flags, 0);
	assert_status(s, INUSE);
	expect_no_msg();
}

/* It changed class while it ran and goes to sleep before it was ever enqueued. */
static void test_event_blocking_before_new_merges_into_new_not_runnable(void **state)
{
	__u32 s = thread_join(1, 77, ALL_CPUS, 1);

	thread_run(s, 2);
	assert_status(s, ISNEW);
	expect_no_msg();
	thread_block(s);
	assert_int_equal(expect_msg(0, GHOST_MSG_TASK_NEW, s).flags, 0);
	assert_status(s, INUSE);
	expect_no_msg();
	thread_enqueue(s, EVENT_WAKEUP, 2);
	assert_int_equal(expect_msg(0, GHOST_MSG_TASK_WAKEUP, s).cpu, 2);
}

/* The same, but it is put back: one TASK_NEW, no TASK_PREEMPT. */
static void test_event_being_put_back_before_new_merges_into_new_runnable(void **state)
{
	__u32 s = thread_join(1, 77, ALL_CPUS, 1);

	thread_run(s, 2);
	event_task_yield(s);
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 2);
	assert_int_equal(expect_msg(0, GHOST_MSG_TASK_NEW, s).flags, GHOST_MSG_RUNNABLE);
	expect_no_msg();
	/* And that early yield is forgotten. */
	assert_int_equal(thread_commit(s, 0), GHOST_TXN_COMMITTED);
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 0);
	expect_msg(0, GHOST_MSG_TASK_PREEMPT, s);
}

static void test_event_affinity_and_priority_before_new_are_silent(void **state)
{
	__u32 s = thread_join(1, 77, ALL_CPUS, 1);
	__u32 seq = fake.task[s].seq;

	thread_affinity(s, 0x1);
	thread_nice(s, 5);
	expect_no_msg();
	assert_int_equal(fake.task[s].seq, seq);
	assert_status(s, ISNEW);
}

/*
 * A thread that no CPU of the enclave may run joins while agents decide: they
 * could do nothing with it, so only the table knows, until it sleeps.
 */
static void test_event_thread_outside_the_enclave_is_only_in_the_table(void **state)
{
	__u32 s = thread_join(1, 77, 0x40, 1);

	assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 6), EVENT_GLOBAL);
	assert_status(s, FALLBACK);
	assert_int_equal(fake_es(1)->nr_slots, s + 1);
	expect_no_msg();
	thread_run(s, 6);
	thread_stop(s);
	assert_int_equal(thread_enqueue(s, EVENT_SLICE, 6), EVENT_GLOBAL);
	expect_no_msg();
	thread_run(s, 6);
	thread_block(s);
	assert_status(s, INUSE);
	/* Asleep, it is theirs like any other: the first message says who it is. */
	assert_int_equal((__u32)expect_msg(0, GHOST_MSG_TASK_BLOCKED, s).gtid, 77);
	thread_affinity(s, 0x2);
	expect_msg(0, GHOST_MSG_TASK_AFFINITY_CHANGED, s);
	assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 1), EVENT_CUSTODY);
	expect_msg(0, GHOST_MSG_TASK_WAKEUP, s);
	assert_status(s, WAITS);
}

/* The table of the enclave says how far it is used, the record how many there are. */
static void test_event_joining_and_leaving_are_counted(void **state)
{
	__u32 a = thread_join(1, 1, ALL_CPUS, 1), b = thread_join(1, 2, ALL_CPUS, 0);
	__u32 c = thread_join(2, 3, ALL_CPUS, 0);

	assert_int_equal(fake_es(1)->nr_tasks, 2);
	assert_int_equal(fake_es(2)->nr_tasks, 1);
	assert_int_equal(fake_es(1)->nr_slots, b + 1);
	assert_int_equal(fake_es(2)->nr_slots, c + 1);
	thread_gone(a, 0);
	thread_gone(a, 0);
	assert_int_equal(fake_es(1)->nr_tasks, 1);
	assert_int_equal(fake_es(1)->nr_slots, b + 1);
}

/* Before or after access number @join_at of one thread that joins, another one does. */
static int join_at, nr_accesses;
static __u32 joined_between;

static void maybe_join(void)
{
	void (*before)(void) = fake.step, (*after)(void) = fake.step_after;

	if (nr_accesses++ != join_at)
		return;
	fake.step = fake.step_after = NULL;
	joined_between = thread_join(1, 2, ALL_CPUS, 1);
	fake.step = before;
	fake.step_after = after;
}

static void test_event_of_two_that_join_at_once_the_table_shows_both(void **state)
{
	for (join_at = 0;; join_at++) {
		__u32 s;

		setup(NULL);
		s = slots_take();
		assert_int_equal(event_task_join(s, 1, 1), 0);
		fake_mask_set(1, s, ALL_CPUS);
		nr_accesses = 0;
		fake.step = fake.step_after = maybe_join;
		event_task_bound(s, 1);
		fake.step = fake.step_after = NULL;
		if (nr_accesses <= join_at)
			break;
		assert_int_equal(joined_between, s + 1);
		assert_int_equal(fake_es(1)->nr_slots, s + 2);
		assert_int_equal(fake_es(1)->nr_tasks, 2);
	}
	assert_true(join_at > 4);
}

/* --- waking and sleeping -------------------------------------------------------- */

static void test_event_wakeup_says_where_it_last_ran(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY);
	struct ghost_msg m;

	assert_int_equal(thread_commit(s, 3), GHOST_TXN_COMMITTED);
	thread_run(s, 3);
	fake.now = 5000;
	thread_block(s);
	m = expect_msg(3, GHOST_MSG_TASK_BLOCKED, s);
	assert_int_equal(m.cpu, 3);
	assert_int_equal(m.time_ns, 5000);
	assert_int_equal(m.runtime_ns, 100);
	assert_int_equal(fake.status[1][s].runtime_ns, 100);
	assert_status(s, INUSE);
	thread_enqueue(s, EVENT_WAKEUP, 1);
	assert_int_equal(expect_msg(3, GHOST_MSG_TASK_WAKEUP, s).cpu, 3);
	assert_status(s, WAITS);
	assert_int_equal(fake.task[s].since_ns, 5000);
}

/* Else who changes its affinity often enough could be let wait for ever. */
static void test_event_thread_that_is_taken_out_and_put_back_has_waited_since_before(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY);
	__u64 since = fake.task[s].since_ns;

	fake.now += 1000;
	assert_int_equal(thread_enqueue(s, EVENT_SLICE, 2), EVENT_CUSTODY);
	assert_true(fake.task[s].since_ns == since);
}

static void test_event_sleep_is_told_once(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING);

	thread_block(s);
	event_task_blocked(s, 0, 0);
	expect_msg(0, GHOST_MSG_TASK_BLOCKED, s);
	expect_no_msg();
}

/* --- losing the CPU ---------------------------------------------------------------- */

static void test_event_preemption_says_why(void **state)
{
	static const struct {
		__u32 from;
		int cause;
		__u32 reason;
	} cases[] = {
		{ CORE_TASK_RUNNING, EVENT_SLICE, GHOST_PREEMPT_SLICE },
		{ CORE_TASK_RUNNING, EVENT_CLASS, GHOST_PREEMPT_CLASS },
		{ CORE_TASK_RUNNING, EVENT_RESTORE, GHOST_PREEMPT_KICK },
		{ CORE_TASK_RUNNING, EVENT_COMMIT, GHOST_PREEMPT_COMMIT },
		{ CORE_TASK_LATCHED, EVENT_LATCH, GHOST_PREEMPT_LATCH },
		{ CORE_TASK_LATCHED, EVENT_RESTORE, GHOST_PREEMPT_KICK },
		{ CORE_TASK_FALLBACK, EVENT_SLICE, GHOST_PREEMPT_SLICE },
		{ CORE_TASK_FALLBACK, EVENT_RESTORE, GHOST_PREEMPT_KICK },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_msg m;
		__u32 s, cpu;

		setup(NULL);
		s = thread_in(cases[i].from);
		cpu = fake.task[s].queue;
		thread_stop(s);
		assert_int_equal(thread_enqueue(s, cases[i].cause, 2), EVENT_CUSTODY);
		m = expect_msg(cpu, GHOST_MSG_TASK_PREEMPT, s);
		assert_int_equal(m.reason, cases[i].reason);
		assert_int_equal(m.cpu, 2);
		assert_int_equal(m.runtime_ns, fake.th[s].runtime_ns);
		assert_int_equal(fake.status[1][s].cpu, 2);
		assert_status(s, WAITS);
		expect_no_msg();
	}
}

/* Agents that come and go, and it waits here and there: in the end the kernel runs it. */
static void test_event_thread_that_came_back_too_often_waits_for_any_cpu(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY);

	for (int i = 1; i < CORE_RETURNS_GLOBAL; i++) {
		fake.enclave[1].state = i % 2 ? GHOST_ENCLAVE_IDLE : GHOST_ENCLAVE_ONLINE;
		assert_int_equal(thread_enqueue(s, EVENT_RESTORE, 0),
				 i % 2 ? EVENT_FALLBACK : EVENT_CUSTODY);
		drop_msgs();
	}
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_IDLE);
	assert_int_equal(thread_enqueue(s, EVENT_RESTORE, 0), EVENT_GLOBAL);
	thread_run(s, 7);
	assert_int_equal(fake.task[s].returns, 0);
	thread_stop(s);
	assert_int_equal(thread_enqueue(s, EVENT_SLICE, 0), EVENT_FALLBACK);
}

/* Only what the kernel counts: not the end of a slice, and a new member begins anew. */
static void test_event_returns_are_those_the_kernel_counts(void **state)
{
	static const int others[] = { EVENT_SLICE, EVENT_COMMIT, EVENT_COMMIT_QUIET, EVENT_WAKEUP };
	static const int counted[] = { EVENT_CLASS, EVENT_LATCH, EVENT_RESTORE };
	__u32 s = thread_in(CORE_TASK_RUNNING);

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		thread_stop(s);
		thread_enqueue(s, others[i], 0);
		assert_int_equal(fake.task[s].returns, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(counted); i++) {
		thread_stop(s);
		thread_enqueue(s, counted[i], 0);
		assert_int_equal(fake.task[s].returns, i + 1);
	}
	thread_gone(s, 0);
	assert_int_equal(thread_join(1, 901, ALL_CPUS, 1), s);
	assert_int_equal(fake.task[s].returns, 0);
}

static void test_event_yield_is_told_as_yield_and_only_once(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING);

	event_task_yield(s);
	expect_no_msg();
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 0);
	assert_int_equal(expect_msg(0, GHOST_MSG_TASK_YIELD, s).reason, 0);
	assert_int_equal(thread_commit(s, 0), GHOST_TXN_COMMITTED);
	thread_run(s, 0);
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 0);
	expect_msg(0, GHOST_MSG_TASK_PREEMPT, s);
	expect_no_msg();
}

static void test_event_yield_is_forgotten_by_sleep(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING);

	event_task_yield(s);
	thread_block(s);
	thread_enqueue(s, EVENT_WAKEUP, 0);
	assert_int_equal(thread_commit(s, 0), GHOST_TXN_COMMITTED);
	thread_run(s, 0);
	thread_stop(s);
	drop_msgs();
	thread_enqueue(s, EVENT_SLICE, 0);
	expect_msg(0, GHOST_MSG_TASK_PREEMPT, s);
}

/* --- changes --------------------------------------------------------------------------- */

static void test_event_affinity_and_priority_are_told_in_every_known_state(void **state)
{
	static const struct {
		__u32 from, flags;
	} cases[] = {
		{ CORE_TASK_BLOCKED, INUSE },
		{ CORE_TASK_CUSTODY, WAITS },
		{ CORE_TASK_LATCHED, ONCPU | GHOST_STATUS_LATCHED },
		{ CORE_TASK_RUNNING, ONCPU },
		{ CORE_TASK_FALLBACK, FALLBACK },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_msg m;
		__u32 s;

		setup(NULL);
		s = thread_in(cases[i].from);
		event_task_affinity(s);
		m = expect_msg(0, GHOST_MSG_TASK_AFFINITY_CHANGED, s);
		assert_int_equal(m.cpu, fake.status[1][s].cpu);
		assert_status(s, cases[i].flags);
		thread_nice(s, 7);
		m = expect_msg(0, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
		assert_int_equal(m.nice, 7);
		assert_int_equal(fake.task[s].state, cases[i].from);
		assert_status(s, cases[i].flags);
		expect_no_msg();
	}
}

static void test_event_changes_of_a_thread_that_left_are_silent(void **state)
{
	__u32 s = thread_in(CORE_TASK_BLOCKED);

	thread_gone(s, 1);
	drop_msgs();
	event_task_affinity(s);
	thread_nice(s, 1);
	event_task_blocked(s, 0, 0);
	event_task_gone(s, 0, 0);
	expect_no_msg();
	assert_int_equal(ghost_status_flags(word_of(s)), 0);
}

/* Taken out of custody and put back: the change made the message, not the way. */
static void test_event_put_back_into_custody_is_silent_and_wakes_the_agent(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY);
	__u32 q = fake.task[s].queue, seq;

	cpu_idle_set(fake_es(1), q);
	thread_affinity(s, 0x2);
	seq = fake.task[s].seq;
	expect_msg(q, GHOST_MSG_TASK_AFFINITY_CHANGED, s);
	expect_no_msg();
	assert_int_equal(fake.kicks[q], 1);
	assert_status(s, WAITS);
	assert_int_equal(fake.task[s].seq, seq);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
}

/* Out of the enclave's reach it goes global; the number changes so that no commit fits. */
static void test_event_affinity_outside_the_enclave_goes_global(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY);
	__u32 seq = fake.task[s].seq;

	thread_affinity(s, 0x40);
	assert_int_equal(fake.th[s].place, FAKE_GLOBAL);
	assert_int_equal(fake.task[s].seq, seq + 2);
	assert_status(s, FALLBACK);
	drop_msgs();
	/* Running there is the fallback's; back inside, it waits for a commit again. */
	thread_run(s, 6);
	assert_status(s, FALLBACK);
	thread_affinity(s, 0x4);
	expect_msg(0, GHOST_MSG_TASK_AFFINITY_CHANGED, s);
	thread_stop(s);
	assert_int_equal(thread_enqueue(s, EVENT_SLICE, 2), EVENT_CUSTODY);
	expect_msg(0, GHOST_MSG_TASK_PREEMPT, s);
	assert_status(s, WAITS);
}

/* Each word of the mask counts: CPU 1023 is the last that may be the only common one. */
static void test_event_affinity_is_compared_in_all_words(void **state)
{
	__u32 s = thread_join(1, 5, 0, 1);
	struct ghost_status *st = &fake.status[1][s];

	assert_true(fake.task[s].flags & CORE_TASK_OUTSIDE);
	st->cpus[GHOST_CPU_WORDS - 1] = 1ull << 63;
	event_task_affinity(s);
	assert_true(fake.task[s].flags & CORE_TASK_OUTSIDE);
	fake.enclave[1].cpus[GHOST_CPU_WORDS - 1] = 1ull << 63;
	event_task_affinity(s);
	assert_false(fake.task[s].flags & CORE_TASK_OUTSIDE);
	assert_true(cpu_in(st->cpus, 1023));
	assert_false(cpu_in(st->cpus, 1022));
	assert_false(cpu_in(st->cpus, 1024));
	assert_false(cpu_in(st->cpus, ~0u));
}

/* --- leaving ----------------------------------------------------------------------------- */

static void test_event_leaving_is_told_from_every_state(void **state)
{
	static const __u32 from[] = { CORE_TASK_NEW,	 CORE_TASK_BLOCKED, CORE_TASK_CUSTODY,
				      CORE_TASK_LATCHED, CORE_TASK_RUNNING, CORE_TASK_FALLBACK };

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		for (int dead = 0; dead < 2; dead++) {
			__u32 s;

			setup(NULL);
			s = thread_in(from[i]);
			thread_gone(s, dead);
			if (from[i] == CORE_TASK_NEW)
				expect_owed(0, s);
			expect_msg(0, dead ? GHOST_MSG_TASK_DEAD : GHOST_MSG_TASK_DEPARTED, s);
			expect_no_msg();
			assert_status(s, 0);
			assert_int_equal(fake_es(1)->nr_tasks, 0);
			assert_int_equal(slots_take(), s);
		}
}

/* --- numbers ------------------------------------------------------------------------------- */

/* A whole life under agents: each message one more, and the agent's number moves along. */
static void test_event_numbers_advance_by_one_with_each_message(void **state)
{
	__u32 s = thread_join(1, 9, ALL_CPUS, 1), seq, seen = 0, first;
	__u32 agent = fake.page[1][0].agent_seq;
	struct ghost_msg m;

	first = fake.task[s].seq + 1;
	thread_enqueue(s, EVENT_WAKEUP, 0);
	for (int i = 0; i < 5; i++) {
		event_task_affinity(s);
		assert_int_equal(thread_commit(s, 0), GHOST_TXN_COMMITTED);
		thread_run(s, 0);
		thread_nice(s, i);
		if (i % 2)
			event_task_yield(s);
		thread_stop(s);
		thread_enqueue(s, EVENT_SLICE, 0);
		assert_int_equal(thread_commit(s, 0), GHOST_TXN_COMMITTED);
		thread_run(s, 0);
		thread_block(s);
		thread_enqueue(s, EVENT_WAKEUP, 1);
	}
	thread_gone(s, 0);
	for (seq = first; fake_pop(1, 0, &m); seq++, seen++)
		assert_int_equal(m.seq, seq);
	assert_int_equal(seen, 27);
	assert_int_equal(fake.task[s].seq, seq - 1);
	assert_int_equal(fake.page[1][0].agent_seq, agent + seen);
	assert_int_equal(fake.page[1][0].queue.head, seen);
}

/* A slot used again: new gtid, the number goes on, so that no old commit ever fits. */
static void test_event_numbers_go_on_when_the_slot_is_used_again(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING), seq = fake.task[s].seq;
	__u64 gtid = fake.task[s].gtid;

	for (int i = 0; i < 10; i++) {
		thread_gone(s, 1);
		assert_int_equal(thread_join(1, 55, ALL_CPUS, 1), s);
		assert_true(fake.task[s].gtid != gtid);
		assert_int_equal((__u32)fake.task[s].gtid, 55);
		assert_true((__u32)(fake.task[s].gtid >> 32) > (__u32)(gtid >> 32));
		assert_true(fake.task[s].seq > seq);
		assert_int_equal(fake.status[1][s].gtid, fake.task[s].gtid);
		assert_int_equal(fake.status[1][s].runtime_ns, 0);
		gtid = fake.task[s].gtid;
		seq = fake.task[s].seq;
	}
}

/* --- queues ---------------------------------------------------------------------------------- */

static void test_event_new_threads_take_turns_among_the_enclaves_cpus(void **state)
{
	static const __u32 want[] = { 0, 1, 2, 3, 0, 1 };

	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(fake.task[thread_join(1, i, ALL_CPUS, 1)].queue, want[i]);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fake.task[thread_join(2, i, ALL_CPUS, 1)].queue, 4 + i % 2);
}

/* The search for the first CPU wraps over all words, from any start. */
static void test_event_first_queue_is_found_from_any_start(void **state)
{
	static const __u32 cpus[] = { 0, 1, 63, 64, 500, 1023 };
	struct core_task t = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cpus); i++)
		for (__u32 start = 0; start < 2 * GHOST_CPUS_MAX; start += 31) {
			struct core_enclave e = {
				.next_cpu = start,
				.default_queue = GHOST_QUEUE_NONE,
			};

			e.cpus[cpus[i] / 64] = 1ull << (cpus[i] % 64);
			assert_int_equal(event_first_queue(&t, &e, 1), cpus[i]);
		}
}

static void test_event_slot_used_again_keeps_its_queue(void **state)
{
	__u32 a = thread_join(1, 1, ALL_CPUS, 1), b = thread_join(1, 2, ALL_CPUS, 1);

	assert_int_equal(fake.task[b].queue, 1);
	thread_gone(b, 0);
	thread_gone(a, 0);
	assert_int_equal(thread_join(1, 3, ALL_CPUS, 1), a);
	assert_int_equal(thread_join(1, 4, ALL_CPUS, 1), b);
	assert_int_equal(fake.task[a].queue, 0);
	assert_int_equal(fake.task[b].queue, 1);
	/* But not over to another enclave, nor to a CPU that is not the enclave's any more. */
	thread_gone(b, 0);
	assert_int_equal(thread_join(2, 5, ALL_CPUS, 1), b);
	assert_int_equal(fake.task[b].queue, 4);
	thread_gone(a, 0);
	fake.enclave[1].cpus[0] = 0x8;
	assert_int_equal(thread_join(1, 6, ALL_CPUS, 1), a);
	assert_int_equal(fake.task[a].queue, 3);
}

/* Wherever it runs, sleeps and wakes: only a commit moves it to another queue. */
static void test_event_no_event_changes_the_queue(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING);

	for (__u32 cpu = 0; cpu < 4; cpu++) {
		thread_run(s, cpu);
		thread_affinity(s, 1ull << cpu);
		thread_nice(s, cpu);
		thread_stop(s);
		thread_enqueue(s, EVENT_CLASS, cpu);
		thread_run(s, cpu);
		thread_block(s);
		thread_enqueue(s, EVENT_WAKEUP, cpu);
		assert_int_equal(fake.task[s].queue, 0);
		assert_int_equal(fake.status[1][s].queue, 0);
	}
	thread_affinity(s, ALL_CPUS);
	assert_int_equal(thread_commit(s, 2), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.task[s].queue, 2);
	assert_int_equal(fake.status[1][s].queue, 2);
}

/* No room: counted, the status word is right all the same, and the agent is alerted. */
static void test_event_overflow_is_counted_and_the_table_tells_the_truth(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING), agent;
	struct ghost_cpu *page = &fake.page[1][0];

	for (int i = 0; i < GHOST_QUEUE_LEN; i++)
		thread_nice(s, i);
	agent = page->agent_seq;
	assert_int_equal(page->queue.overflow, 0);
	thread_block(s);
	assert_int_equal(page->queue.overflow, 1);
	assert_int_equal(page->agent_seq, agent + 1);
	assert_status(s, INUSE);
	thread_enqueue(s, EVENT_WAKEUP, 0);
	assert_int_equal(page->queue.overflow, 2);
	assert_int_equal(page->agent_seq, agent + 2);
	assert_status(s, WAITS);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
}

/* An agent that writes nonsense into its tail harms itself only. */
static void test_event_hostile_tail_does_not_disturb_the_record(void **state)
{
	static const __u32 tails[] = { 1, 511, 512, 0x7fffffff, 0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		__u32 s;

		setup(NULL);
		fake.rw[1][0].queue_tail = tails[i];
		s = thread_join(1, 8, ALL_CPUS, 1);
		thread_enqueue(s, EVENT_WAKEUP, 0);
		assert_status(s, WAITS);
		assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	}
}

/* --- without agents ------------------------------------------------------------------------------ */

/* The same life in each state of the enclave but ONLINE: silent, numbered, in the table. */
static void test_event_without_agents_no_message_but_the_table_is_true(void **state)
{
	static const __u32 states[] = { GHOST_ENCLAVE_IDLE, GHOST_ENCLAVE_LOST,
					GHOST_ENCLAVE_DYING };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		__u32 s, seq, agent;

		machine_reset(states[i]);
		agent = fake.page[1][0].agent_seq;
		s = thread_join(1, 4, ALL_CPUS, 1);
		assert_status(s, ISNEW);
		assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 0), EVENT_FALLBACK);
		assert_status(s, FALLBACK);
		seq = fake.task[s].seq;
		thread_run(s, 1);
		assert_status(s, FALLBACK);
		event_task_affinity(s);
		thread_nice(s, 3);
		assert_int_equal(fake.task[s].seq, seq + 2);
		thread_stop(s);
		assert_int_equal(thread_enqueue(s, EVENT_SLICE, 1), EVENT_FALLBACK);
		assert_int_equal(fake.task[s].seq, seq + 3);
		thread_run(s, 1);
		thread_block(s);
		assert_status(s, INUSE);
		assert_int_equal(fake.task[s].seq, seq + 4);
		assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 1), EVENT_FALLBACK);
		thread_gone(s, 1);
		assert_status(s, 0);
		assert_int_equal(fake.task[s].seq, seq + 6);
		expect_no_msg();
		assert_int_equal(fake.page[1][0].agent_seq, agent);
		assert_int_equal(fake.page[1][0].queue.head, 0);
	}
}

/* What waits for agents when they are lost is enqueued anew, silently. */
static void test_event_custody_without_agents_becomes_fallback(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY), seq = fake.task[s].seq;

	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	assert_int_equal(thread_enqueue(s, EVENT_RESTORE, 0), EVENT_FALLBACK);
	assert_status(s, FALLBACK);
	assert_int_equal(fake.task[s].seq, seq + 1);
	assert_int_equal(fake.page[1][0].nr[GHOST_NR_FALLBACKS], 1);
	expect_no_msg();
}

/* And the other way round: new agents hear of it when it is enqueued for them. */
static void test_event_fallback_with_new_agents_becomes_custody(void **state)
{
	__u32 s;

	machine_reset(GHOST_ENCLAVE_IDLE);
	s = thread_join(1, 4, ALL_CPUS, 1);
	thread_enqueue(s, EVENT_WAKEUP, 0);
	fake.enclave[1].state = GHOST_ENCLAVE_ONLINE;
	assert_int_equal(thread_enqueue(s, EVENT_RESTORE, 0), EVENT_CUSTODY);
	assert_int_equal(expect_msg(0, GHOST_MSG_TASK_PREEMPT, s).reason, GHOST_PREEMPT_KICK);
	assert_status(s, WAITS);
}

/*
 * A change of affinity or nice value takes a thread out and puts it back where
 * it did not run: nobody there is about to look for work.
 */
static void test_event_thread_put_back_wakes_the_idle_cpu_of_its_queue(void **state)
{
	__u32 s;

	machine_reset(GHOST_ENCLAVE_IDLE);
	s = thread_join(1, 4, ALL_CPUS, 1);
	thread_enqueue(s, EVENT_WAKEUP, 0);
	fake.enclave[1].state = GHOST_ENCLAVE_ONLINE;
	cpu_idle_set(fake_es(1), 0);
	assert_int_equal(fake.kicks[0], 0);
	assert_int_equal(thread_enqueue(s, EVENT_SLICE, 0), EVENT_CUSTODY);
	assert_int_equal(fake.kicks[0], 1);
	assert_false(fake_mask_has(fake_es(1)->idle, 0));
}

/* --- the order of the fallback ----------------------------------------------------------------------- */

/* A member of an enclave without agents whose fallback is @kind; it waits for that. */
static __u32 waiting_thread(__u32 kind, __u32 weight)
{
	__u32 s;

	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	fake.enclave[1].fallback = kind;
	s = thread_join(1, 77, ALL_CPUS, 1);
	fake.status[1][s].weight = weight;
	assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 0), EVENT_FALLBACK);
	return s;
}

/* It runs for @ns, to the end of its slice, and waits again. */
static void runs_for(__u32 s, __u64 ns)
{
	thread_run(s, 0);
	fake.th[s].runtime_ns += ns - 100;
	fake.now += ns;
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 0);
}

static void test_event_fallback_that_is_not_fair_goes_by_arrival(void **state)
{
	for (__u32 kind = GHOST_FALLBACK_FIFO; kind <= GHOST_FALLBACK_WEIGHTED; kind++) {
		__u32 s = waiting_thread(kind, 100);

		assert_int_equal(event_fallback_place(s), fake.now);
		runs_for(s, MS(5));
		assert_int_equal(event_fallback_place(s), fake.now);
		assert_int_equal(event_fallback_guest(1), fake.now);
	}
}

static void test_event_fair_fallback_counts_what_it_gave_by_weight(void **state)
{
	__u32 light = waiting_thread(GHOST_FALLBACK_FAIR, 50);
	__u32 heavy = waiting_thread(GHOST_FALLBACK_FAIR, 200);
	__u64 from = event_fallback_place(light);

	assert_int_equal(event_fallback_place(heavy), from);
	for (int i = 0; i < 3; i++) {
		runs_for(light, MS(1));
		runs_for(heavy, MS(1));
	}
	assert_int_equal(event_fallback_place(light) - from, MS(6));
	assert_int_equal(event_fallback_place(heavy) - from, MS(3) / 2);
	/* It goes to sleep having run: that counts, too. */
	thread_run(heavy, 0);
	fake.th[heavy].runtime_ns += MS(2) - 100;
	thread_block(heavy);
	thread_enqueue(heavy, EVENT_WAKEUP, 0);
	assert_int_equal(event_fallback_place(heavy) - from, MS(5) / 2);
}

/* Or the lightest would wait longer than the kernel lets anyone wait. */
static void test_event_fair_fallback_gives_nobody_more_than_sixteen_times_as_much(void **state)
{
	__u32 lightest = waiting_thread(GHOST_FALLBACK_FAIR, 1);
	__u32 heaviest = waiting_thread(GHOST_FALLBACK_FAIR, 10000);
	__u64 from = event_fallback_place(lightest);

	runs_for(lightest, MS(1));
	runs_for(heaviest, MS(16));
	assert_int_equal(event_fallback_place(lightest) - from, MS(4));
	assert_int_equal(event_fallback_place(heaviest) - from, MS(4));
}

static void test_event_fair_fallback_lets_a_sleeper_save_one_slice(void **state)
{
	__u32 busy = waiting_thread(GHOST_FALLBACK_FAIR, 100);
	__u32 asleep = waiting_thread(GHOST_FALLBACK_FAIR, 100), late;
	__u64 now;

	thread_run(asleep, 0);
	thread_block(asleep);
	for (int i = 0; i < 200; i++)
		runs_for(busy, MS(5));
	thread_run(busy, 0);
	now = event_fallback_place(busy);
	thread_enqueue(asleep, EVENT_WAKEUP, 0);
	assert_int_equal(now - event_fallback_place(asleep), FALLBACK_SLICE_NS);
	/* Who joins now, and who is no member, has nothing to its credit and owes nothing. */
	late = waiting_thread(GHOST_FALLBACK_FAIR, 100);
	assert_int_equal(event_fallback_place(late), now);
	assert_int_equal(event_fallback_guest(1), now);
}

static void test_event_fair_fallback_does_not_count_what_agents_gave(void **state)
{
	__u32 s = waiting_thread(GHOST_FALLBACK_FAIR, 100);
	__u64 from = event_fallback_place(s);

	fake.enclave[1].state = GHOST_ENCLAVE_ONLINE;
	thread_stop(s);
	assert_int_equal(thread_enqueue(s, EVENT_RESTORE, 0), EVENT_CUSTODY);
	assert_int_equal(thread_commit(s, 0), GHOST_TXN_COMMITTED);
	runs_for(s, MS(100));
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	assert_int_equal(thread_enqueue(s, EVENT_RESTORE, 0), EVENT_FALLBACK);
	assert_int_equal(event_fallback_place(s), from);
}

/* The field in which a thread carries who it is carries the order as well. */
static void test_event_place_in_a_queue_does_not_change_who_a_thread_is(void **state)
{
	const __u64 times[] = { 0, 255, 256, MS(5), MS(5) + 256, MS(3600000), ~0ull - 256, ~0ull };

	for (__u32 kind = WHO_STRANGER; kind <= WHO_SPINNER; kind++) {
		__u64 who = WHO(kind, GHOST_ENCLAVES_MAX - 1, GHOST_SLOTS_MAX - 2), last = who;

		for (__u32 i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
			__u64 at = who_at(last, times[i]);

			assert_int_equal(who_kind(at), kind);
			assert_int_equal(who_enclave(at), GHOST_ENCLAVES_MAX - 1);
			assert_int_equal(who_index(at), GHOST_SLOTS_MAX - 2);
			/* As the kernel compares: by the sign of the difference. */
			for (__u32 j = 0; j < i; j++)
				if (times[i] - times[j] < MS(8000000) && times[i] - times[j] > 256)
					assert_true((__s64)(at - who_at(who, times[j])) > 0);
			last = at;
		}
	}
	assert_int_equal(who_gen(WHO_COMING(WHO_AGENT, 3, 0x1fffe, 7)), 0xfffe);
	assert_int_equal(who_index(WHO_COMING(WHO_AGENT, 3, 0x1fffe, 7)), 7);
	assert_int_equal(who_kind(WHO_COMING(WHO_AGENT, 3, 0x1fffe, 7)), WHO_AGENT);
}

/* --- threads that cannot leave their CPU ------------------------------------------------------------- */

static void test_event_thread_confined_outside_the_enclave_runs_there(void **state)
{
	__u32 s;

	machine_reset(GHOST_ENCLAVE_ONLINE);
	s = thread_join(1, 4, ALL_CPUS, 1);
	fake.th[s].confined = 1;
	assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 6), EVENT_GLOBAL);
	assert_status(s, FALLBACK);
	expect_no_msg();
	/* As soon as it can leave, its agents have it. */
	fake.th[s].confined = 0;
	assert_int_equal(thread_enqueue(s, EVENT_SLICE, 6), EVENT_CUSTODY);
	assert_status(s, WAITS);
}

static void test_event_thread_confined_inside_the_enclave_waits_for_that_cpu(void **state)
{
	__u32 s;

	machine_reset(GHOST_ENCLAVE_ONLINE);
	s = thread_join(1, 4, ALL_CPUS, 1);
	fake.th[s].confined = 1;
	assert_int_equal(thread_enqueue(s, EVENT_WAKEUP, 3), EVENT_CUSTODY);
	assert_int_equal(fake.status[1][s].cpu, 3);
	assert_int_equal(expect_msg(fake.task[s].queue, GHOST_MSG_TASK_NEW, s).cpu, 3);
}

/* --- onto a CPU ------------------------------------------------------------------------------------- */

static void test_event_thread_that_runs_says_so_in_the_table(void **state)
{
	__u32 s = thread_in(CORE_TASK_LATCHED), cpu = fake.th[s].cpu, seq = fake.task[s].seq;

	assert_status(s, ONCPU | GHOST_STATUS_LATCHED);
	fake.now = 8000;
	thread_run(s, cpu);
	assert_status(s, ONCPU);
	assert_int_equal(fake.task[s].seq, seq);
	assert_int_equal(fake.status[1][s].cpu, cpu);
	assert_true(fake.status[1][s].switch_ns == 8000);
	expect_no_msg();
	/* The kernel may say it again. */
	fake.now = 9000;
	thread_run(s, cpu);
	assert_true(fake.status[1][s].switch_ns == 8000);
}

/* Without a commit it is the fallback's, and its word says so all the time. */
static void test_event_running_is_of_committed_threads_only(void **state)
{
	static const __u32 from[] = { CORE_TASK_NEW, CORE_TASK_BLOCKED, CORE_TASK_CUSTODY,
				      CORE_TASK_FALLBACK };

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		__u64 word;
		__u32 s;

		setup(NULL);
		s = thread_in(from[i]);
		word = word_of(s);
		event_task_running(s, 2);
		assert_int_equal(fake.task[s].state, from[i]);
		assert_true(word_of(s) == word);
		expect_no_msg();
	}
}

static struct ghost_txn *write_txn(__u32 s, __u32 cpu, __u32 flags)
{
	struct ghost_txn *txn = &fake.rw[1][cpu].txn;

	*txn = txn_good(s, cpu);
	txn->flags = flags;
	fake.this_cpu = cpu;
	assert_int_equal(txn_commit_local(1, cpu, &fake.cpu[cpu]), GHOST_TXN_COMMITTED);
	return txn;
}

static void test_event_thread_that_runs_is_told_once_if_its_commit_asked(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY), seq;
	struct ghost_msg m;

	fake.now = 5000;
	write_txn(s, 2, GHOST_RUN_SEND_TASK_ON_CPU);
	seq = fake.task[s].seq;
	expect_no_msg();
	fake.now = 6000;
	thread_run(s, 2);
	m = expect_msg(2, GHOST_MSG_TASK_ON_CPU, s);
	assert_int_equal(m.seq, seq + 1);
	assert_int_equal(m.cpu, 2);
	assert_true(m.time_ns == 6000);
	assert_true(m.commit_ns == 5000);
	assert_int_equal(m.cpu_seq, fake.cpu[2].seq);
	assert_status(s, ONCPU);
	thread_run(s, 2);
	expect_no_msg();
	/* Not of the next run, whose commit did not ask. */
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 2);
	expect_msg(2, GHOST_MSG_TASK_PREEMPT, s);
	write_txn(s, 2, 0);
	thread_run(s, 2);
	expect_no_msg();
}

/* It never got there. */
static void test_event_thread_that_did_not_run_is_not_told_to_be_on_its_cpu(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY);

	write_txn(s, 2, GHOST_RUN_SEND_TASK_ON_CPU);
	thread_stop(s);
	thread_enqueue(s, EVENT_LATCH, 2);
	expect_msg(2, GHOST_MSG_TASK_PREEMPT, s);
	expect_no_msg();
}

static void test_event_departure_from_a_cpu_says_current(void **state)
{
	static const __u32 from[] = { CORE_TASK_NEW,	 CORE_TASK_BLOCKED, CORE_TASK_CUSTODY,
				      CORE_TASK_LATCHED, CORE_TASK_RUNNING, CORE_TASK_FALLBACK };

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		__u32 s;

		setup(NULL);
		s = thread_in(from[i]);
		thread_gone(s, 0);
		if (from[i] == CORE_TASK_NEW)
			expect_owed(0, s);
		assert_int_equal(expect_msg(0, GHOST_MSG_TASK_DEPARTED, s).flags,
				 from[i] == CORE_TASK_RUNNING ? GHOST_MSG_CURRENT : 0);
	}
}

static void test_event_new_thread_says_whose_child_it_is(void **state)
{
	__u32 s = thread_join(1, 77, ALL_CPUS, 1), t = thread_join(1, 78, ALL_CPUS, 1);

	fake.status[1][s].parent_tid = 55;
	thread_enqueue(s, EVENT_WAKEUP, 0);
	assert_true(expect_msg(0, GHOST_MSG_TASK_NEW, s).parent_tid == 55);
	fake.status[1][t].parent_tid = 56;
	thread_run(t, 1);
	thread_block(t);
	assert_true(expect_msg(1, GHOST_MSG_TASK_NEW, t).parent_tid == 56);
}

static void test_event_wakeup_says_by_whom_and_where(void **state)
{
	__u32 s = thread_in(CORE_TASK_BLOCKED);
	struct ghost_msg m;

	fake.this_cpu = 6;
	thread_enqueue(s, EVENT_WAKEUP, 3);
	m = expect_msg(0, GHOST_MSG_TASK_WAKEUP, s);
	assert_int_equal(m.waker_cpu, 6);
	assert_int_equal(m.wake_cpu, 3);
}

/* --- its CPU's number -------------------------------------------------------------------------------- */

/* Each coming and each going is one more, and the messages say which. */
static void test_event_number_of_a_cpu_advances_with_comings_and_goings(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY), seq = fake.cpu[2].seq;

	write_txn(s, 2, 0);
	assert_int_equal(fake.cpu[2].seq, seq + 1);
	thread_run(s, 2);
	assert_int_equal(fake.cpu[2].seq, seq + 1);
	thread_nice(s, 1);
	assert_int_equal(fake.cpu[2].seq, seq + 1);
	expect_msg(2, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 2);
	assert_int_equal(expect_msg(2, GHOST_MSG_TASK_PREEMPT, s).cpu_seq, seq + 2);
	write_txn(s, 2, 0);
	thread_run(s, 2);
	thread_block(s);
	assert_int_equal(expect_msg(2, GHOST_MSG_TASK_BLOCKED, s).cpu_seq, seq + 4);
	thread_enqueue(s, EVENT_WAKEUP, 2); /* it waits, and not there */
	expect_msg(2, GHOST_MSG_TASK_WAKEUP, s);
	assert_int_equal(fake.cpu[2].seq, seq + 4);
	write_txn(s, 2, 0);
	thread_run(s, 2);
	thread_gone(s, 1);
	assert_int_equal(expect_msg(2, GHOST_MSG_TASK_DEAD, s).cpu_seq, seq + 6);
	assert_int_equal(fake.cpu[2].runs, 0);
	/* No other one's. */
	assert_int_equal(fake.cpu[1].seq, 0);
	assert_int_equal(fake.cpu[3].seq, 0);
}

/* --- news that bring an agent back --------------------------------------------------------------------- */

static void yields(__u32 s)
{
	event_task_yield(s);
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 2);
}

static void is_preempted(__u32 s)
{
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, 2);
}

static void is_displaced(__u32 s)
{
	thread_stop(s);
	thread_enqueue(s, EVENT_COMMIT, 2);
}

/* Messages are read elsewhere, by somebody who polls: only the commit's wish advances the number. */
static void test_event_brings_the_agent_back_as_its_commit_asked(void **state)
{
	static const struct {
		void (*what)(__u32);
		__u32 flag;
	} cases[] = {
		{ thread_block, GHOST_RUN_RTLA_ON_BLOCKED },
		{ yields, GHOST_RUN_RTLA_ON_YIELD },
		{ is_preempted, GHOST_RUN_RTLA_ON_PREEMPT },
		{ is_displaced, GHOST_RUN_RTLA_ON_PREEMPT },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (__u32 flags = 0; flags < 8; flags++) {
			__u32 s, seq;

			setup(NULL);
			assert_int_equal(queue_default(1, queue_create(1, 64)), 0);
			s = thread_in(CORE_TASK_CUSTODY);
			write_txn(s, 2, flags);
			seq = fake.page[1][2].agent_seq;
			thread_run(s, 2);
			cases[i].what(s);
			assert_int_equal(fake.page[1][2].agent_seq,
					 seq + !!(flags & cases[i].flag));
			assert_int_equal(fake.page[1][0].agent_seq, 0);
			/* It was that run's wish. */
			if (fake.task[s].state == CORE_TASK_BLOCKED)
				thread_enqueue(s, EVENT_WAKEUP, 2);
			seq = fake.page[1][2].agent_seq;
			write_txn(s, 2, 0);
			thread_run(s, 2);
			cases[i].what(s);
			assert_int_equal(fake.page[1][2].agent_seq, seq);
		}
}

/* The fallback has run it since: no commit wants to hear of that. */
static void test_event_of_the_fallbacks_run_brings_no_agent_back(void **state)
{
	__u32 s, seq;

	assert_int_equal(queue_default(1, queue_create(1, 64)), 0);
	s = thread_in(CORE_TASK_CUSTODY);
	write_txn(s, 2, GHOST_RUN_RTLA_ON_BLOCKED);
	thread_run(s, 2);
	is_preempted(s);
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	assert_int_equal(thread_enqueue(s, EVENT_RESTORE, 2), EVENT_FALLBACK);
	fake.enclave[1].state = GHOST_ENCLAVE_ONLINE;
	thread_run(s, 2);
	seq = fake.page[1][2].agent_seq;
	thread_block(s);
	assert_int_equal(fake.page[1][2].agent_seq, seq);
}

/* --- told in the table only ---------------------------------------------------------------------------- */

static void test_event_quiet_preemption_is_numbered_and_not_told(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING), seq = fake.task[s].seq, cpu = fake.th[s].cpu;
	__u32 told = fake.page[1][0].agent_seq,
	      fallbacks = fake.page[1][cpu].nr[GHOST_NR_FALLBACKS];

	thread_stop(s);
	assert_int_equal(thread_enqueue(s, EVENT_COMMIT_QUIET, cpu), EVENT_CUSTODY);
	expect_no_msg();
	assert_int_equal(fake.task[s].seq, seq + 1);
	assert_int_equal(fake.page[1][0].agent_seq, told);
	assert_int_equal(fake.page[1][cpu].nr[GHOST_NR_FALLBACKS], fallbacks);
	assert_status(s, WAITS);
	assert_int_equal(fake.cpu[cpu].runs, 0);
}

/* What it does itself is told all the same. */
static void test_event_yield_in_a_quiet_preemption_is_told(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING), cpu = fake.th[s].cpu;

	event_task_yield(s);
	thread_stop(s);
	thread_enqueue(s, EVENT_COMMIT_QUIET, cpu);
	expect_msg(0, GHOST_MSG_TASK_YIELD, s);
}

/* --- new agents -------------------------------------------------------------------------------------- */

/* Agents of enclave 1 end, and others come. */
static void new_agents(void)
{
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	fake.enclave[1].nr_agents = fake.enclave[1].nr_cpus;
	assert_int_equal(enclave_agents_online(1), 0);
}

/* They have read nothing, so nothing can be overtaken: the default is every thread's from the start. */
static void test_event_new_agents_get_the_threads_in_their_default_queue(void **state)
{
	__u32 s = thread_in(CORE_TASK_BLOCKED), t = thread_in(CORE_TASK_BLOCKED), own;
	int queue = queue_create(1, 64);

	own = fake.task[s].queue;
	assert_int_equal(queue_default(1, queue), 0);
	thread_nice(s, 1);
	expect_msg(own, GHOST_MSG_TASK_PRIORITY_CHANGED, s); /* the old ones read it there */
	new_agents();
	thread_nice(s, 2);
	expect_msg_in(1, queue, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	assert_int_equal(fake.status[1][s].queue, queue);
	thread_enqueue(t, EVENT_WAKEUP, 0);
	expect_msg_in(1, queue, GHOST_MSG_TASK_WAKEUP, t);
	expect_no_msg();
}

static void test_event_new_agents_without_a_default_get_threads_where_they_were(void **state)
{
	__u32 s = thread_in(CORE_TASK_BLOCKED), own = fake.task[s].queue;

	new_agents();
	thread_nice(s, 2);
	expect_msg(own, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
}

/* What was chosen for one thread stays so: whoever wants it otherwise says so. */
static void test_event_new_agents_find_chosen_queues_as_they_were(void **state)
{
	__u32 s = thread_in(CORE_TASK_BLOCKED);
	int queue = queue_create(1, 64), chosen = queue_create(1, 64);

	assert_int_equal(queue_assoc(1, chosen, s, fake.task[s].seq), 0);
	thread_nice(s, 1);
	expect_msg_in(1, chosen, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	assert_int_equal(queue_default(1, queue), 0);
	new_agents();
	thread_nice(s, 2);
	expect_msg_in(1, chosen, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	expect_no_msg();
}

/* Not even the previous user of its slot, in another enclave, keeps a thread from them. */
static void test_event_new_agents_get_the_threads_of_slots_used_elsewhere_before(void **state)
{
	__u32 s = thread_join(2, 5, ALL_CPUS, 0);
	int queue = queue_create(1, 64);

	fake.enclave[2].epoch = 6;
	thread_nice(s, 1);
	thread_gone(s, 1);
	drop_msgs();
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	fake.enclave[1].epoch = 5;
	assert_int_equal(thread_join(1, 6, ALL_CPUS, 0), s);
	assert_int_equal(queue_default(1, queue), 0);
	new_agents();
	thread_nice(s, 2);
	expect_msg_in(1, queue, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
}

/* A default that is set while they decide is for those who come after it. */
static void test_event_default_set_later_leaves_threads_where_they_are(void **state)
{
	__u32 s = thread_in(CORE_TASK_BLOCKED), own = fake.task[s].queue;

	new_agents();
	thread_nice(s, 1);
	assert_int_equal(queue_default(1, queue_create(1, 64)), 0);
	thread_nice(s, 2);
	assert_int_equal(fake.task[s].queue, own);
	assert_int_equal(fake.page[1][own].queue.overflow, 0);
}

/* --- about CPUs ----------------------------------------------------------------------------------------- */

static void cpu_event(__u32 cpu)
{
	msg_send_cpu(1, cpu, GHOST_MSG_CPU_TICK, 0, 0);
}

static void test_event_of_a_cpu_is_told_in_its_queue(void **state)
{
	fake.now = 7777;
	for (__u32 cpu = 0; cpu < 4; cpu++) {
		fake.page[1][cpu].agent_seq = 10 * cpu;
		fake.cpu[cpu].seq = 100 + cpu;
		cpu_event(cpu);
		assert_int_equal(fake.page[1][cpu].agent_seq, 10 * cpu + 1);
		assert_true(expect_cpu_msg(1, cpu, GHOST_MSG_CPU_TICK, cpu).time_ns == 7777);
	}
	expect_no_msg();
}

static void test_event_of_a_cpu_without_agents_is_not_told(void **state)
{
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	cpu_event(2);
	expect_no_msg();
	assert_int_equal(fake.page[1][2].agent_seq, 0);
}

/* Where a default is set, all news of CPUs are there; whose CPU it is hears of it by its number. */
static void test_event_of_a_cpu_is_told_in_the_default_queue(void **state)
{
	int queue = queue_create(1, 64);

	assert_int_equal(queue_default(1, queue), 0);
	cpu_event(2);
	expect_cpu_msg(1, queue, GHOST_MSG_CPU_TICK, 2);
	expect_no_msg();
	assert_int_equal(fake.page[1][2].agent_seq, 1);
}

/* And it is news for those who read that queue: else one that sleeps would never look there. */
static void test_event_of_a_cpu_is_news_for_those_who_read_it(void **state)
{
	struct ghost_ctl ctl = { .len = 1, .cpus = { 3 } };
	int queue = queue_create(1, 64);
	__u32 seq;

	assert_int_equal(queue_default(1, queue), 0);
	assert_int_equal(queue_wake(1, queue, &ctl), 0);
	seq = fake.page[1][3].agent_seq;
	cpu_event(2);
	expect_cpu_msg(1, queue, GHOST_MSG_CPU_TICK, 2);
	assert_int_equal(fake.page[1][3].agent_seq, seq + 1);
}

/* --- the border of the tables ------------------------------------------------------------------------ */

static void test_event_about_no_thread_does_nothing(void **state)
{
	static const __u32 slots[] = { FAKE_SLOTS, FAKE_SLOTS + 1, ~0u };
	static struct fake before;

	before = fake;
	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		assert_int_equal(event_task_enqueue(slots[i], EVENT_WAKEUP, 0, 0, 1), EVENT_GLOBAL);
		assert_int_equal(event_task_join(slots[i], 1, 5), -1);
		event_task_bound(slots[i], 0);
		event_task_yield(slots[i]);
		event_task_running(slots[i], 0);
		event_task_blocked(slots[i], 0, 1);
		event_task_affinity(slots[i]);
		event_task_priority(slots[i]);
		event_task_owed(slots[i], 1);
		event_task_gone(slots[i], 1, 1);
	}
	assert_int_equal(event_task_join(1, FAKE_ENCLAVES, 5), -1);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_event_new_thread_that_is_enqueued_is_new_and_runnable),
		T(test_event_thread_that_joins_asleep_is_new_and_not_runnable),
		T(test_event_blocking_before_new_merges_into_new_not_runnable),
		T(test_event_being_put_back_before_new_merges_into_new_runnable),
		T(test_event_affinity_and_priority_before_new_are_silent),
		T(test_event_thread_outside_the_enclave_is_only_in_the_table),
		T(test_event_joining_and_leaving_are_counted),
		T(test_event_of_two_that_join_at_once_the_table_shows_both),
		T(test_event_wakeup_says_where_it_last_ran),
		T(test_event_thread_that_is_taken_out_and_put_back_has_waited_since_before),
		T(test_event_sleep_is_told_once),
		T(test_event_preemption_says_why),
		T(test_event_thread_that_came_back_too_often_waits_for_any_cpu),
		T(test_event_returns_are_those_the_kernel_counts),
		T(test_event_yield_is_told_as_yield_and_only_once),
		T(test_event_yield_is_forgotten_by_sleep),
		T(test_event_affinity_and_priority_are_told_in_every_known_state),
		T(test_event_changes_of_a_thread_that_left_are_silent),
		T(test_event_put_back_into_custody_is_silent_and_wakes_the_agent),
		T(test_event_affinity_outside_the_enclave_goes_global),
		T(test_event_affinity_is_compared_in_all_words),
		T(test_event_leaving_is_told_from_every_state),
		T(test_event_numbers_advance_by_one_with_each_message),
		T(test_event_numbers_go_on_when_the_slot_is_used_again),
		T(test_event_new_threads_take_turns_among_the_enclaves_cpus),
		T(test_event_first_queue_is_found_from_any_start),
		T(test_event_slot_used_again_keeps_its_queue),
		T(test_event_no_event_changes_the_queue),
		T(test_event_overflow_is_counted_and_the_table_tells_the_truth),
		T(test_event_hostile_tail_does_not_disturb_the_record),
		T(test_event_without_agents_no_message_but_the_table_is_true),
		T(test_event_custody_without_agents_becomes_fallback),
		T(test_event_fallback_with_new_agents_becomes_custody),
		T(test_event_fallback_that_is_not_fair_goes_by_arrival),
		T(test_event_fair_fallback_counts_what_it_gave_by_weight),
		T(test_event_fair_fallback_gives_nobody_more_than_sixteen_times_as_much),
		T(test_event_fair_fallback_lets_a_sleeper_save_one_slice),
		T(test_event_fair_fallback_does_not_count_what_agents_gave),
		T(test_event_place_in_a_queue_does_not_change_who_a_thread_is),
		T(test_event_thread_put_back_wakes_the_idle_cpu_of_its_queue),
		T(test_event_thread_confined_outside_the_enclave_runs_there),
		T(test_event_thread_confined_inside_the_enclave_waits_for_that_cpu),
		T(test_event_thread_that_runs_says_so_in_the_table),
		T(test_event_running_is_of_committed_threads_only),
		T(test_event_thread_that_runs_is_told_once_if_its_commit_asked),
		T(test_event_thread_that_did_not_run_is_not_told_to_be_on_its_cpu),
		T(test_event_departure_from_a_cpu_says_current),
		T(test_event_new_thread_says_whose_child_it_is),
		T(test_event_wakeup_says_by_whom_and_where),
		T(test_event_number_of_a_cpu_advances_with_comings_and_goings),
		T(test_event_brings_the_agent_back_as_its_commit_asked),
		T(test_event_of_the_fallbacks_run_brings_no_agent_back),
		T(test_event_quiet_preemption_is_numbered_and_not_told),
		T(test_event_yield_in_a_quiet_preemption_is_told),
		T(test_event_new_agents_get_the_threads_in_their_default_queue),
		T(test_event_new_agents_without_a_default_get_threads_where_they_were),
		T(test_event_new_agents_find_chosen_queues_as_they_were),
		T(test_event_new_agents_get_the_threads_of_slots_used_elsewhere_before),
		T(test_event_default_set_later_leaves_threads_where_they_are),
		T(test_event_of_a_cpu_is_told_in_its_queue),
		T(test_event_of_a_cpu_without_agents_is_not_told),
		T(test_event_of_a_cpu_is_told_in_the_default_queue),
		T(test_event_of_a_cpu_is_news_for_those_who_read_it),
		T(test_event_about_no_thread_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
