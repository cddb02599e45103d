// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent loop: what a policy hears, in which order, and what it hands in.
 * In: libghost over a scripted kernel side. Out: TAP.
 *
 * The policy of these tests writes down what it is told, per agent, and picks
 * what it is told to pick.
 */
#include "tests/unit/loop_fake.h"

#include <stdlib.h>

#include "libghost/queue.h"

struct pick {
	__u32 slot;
	__u32 cpu;
	uint64_t slice_ns;
};

static char heard[LOOP_CPUS][16384];
static struct pick want[LOOP_CPUS][2];
static __u32 wake[LOOP_CPUS][4]; /* 1 + CPU */
static struct ghost_task *task[LOOP_SLOTS];
static int nr_fini, init_ret;
static __u32 news_during_schedule[LOOP_CPUS];

/* An agent stops in a callback about this slot until the test says so. */
static __u32 hold_slot;
static int held, resume;

static __u32 slot_of(struct ghost_task *t)
{
	return ghost_task_tid(t) - 1000;
}

static void say(struct ghost_agent *a, const char *format, ...)
{
	char *to = heard[ghost_agent_cpu(a)];
	size_t used = strlen(to);
	va_list ap;

	va_start(ap, format);
	vsnprintf(to + used, sizeof(heard[0]) - used, format, ap);
	va_end(ap);
}

static void maybe_hold(struct ghost_task *t)
{
	if (!hold_slot || slot_of(t) != hold_slot)
		return;
	pthread_mutex_lock(&loop.lock);
	held = 1;
	pthread_cond_broadcast(&loop.changed);
	while (!resume)
		pthread_cond_wait(&loop.changed, &loop.lock);
	pthread_mutex_unlock(&loop.lock);
}

static void wait_held(void)
{
	struct timespec until = loop_deadline();
	int err = 0;

	pthread_mutex_lock(&loop.lock);
	while (!held && !err)
		err = pthread_cond_timedwait(&loop.changed, &loop.lock, &until);
	pthread_mutex_unlock(&loop.lock);
	assert_int_equal(err, 0);
}

static void resume_held(void)
{
	pthread_mutex_lock(&loop.lock);
	resume = 1;
	hold_slot = 0;
	pthread_cond_broadcast(&loop.changed);
	pthread_mutex_unlock(&loop.lock);
}

static int init(struct ghost_agent *a, void *data)
{
	return init_ret;
}

static void task_new(struct ghost_agent *a, struct ghost_task *t)
{
	task[slot_of(t)] = t;
	say(a, "new %u\n", slot_of(t));
	maybe_hold(t);
}

static void task_runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	static const char *const as[] = {
		[GHOST_CAUSE_WAKEUP] = "wakeup",   [GHOST_CAUSE_YIELD] = "yield",
		[GHOST_CAUSE_SLICE] = "slice",	   [GHOST_CAUSE_CLASS] = "class",
		[GHOST_CAUSE_LATCH] = "latch",	   [GHOST_CAUSE_KICK] = "kick",
		[GHOST_CAUSE_REFUSED] = "refused",
	};

	if (as[cause])
		say(a, "%s %u\n", as[cause], slot_of(t));
	else /* what has just been told of it, and that it waits */
		say(a, "runnable %u\n", slot_of(t));
	maybe_hold(t);
}

static void task_blocked(struct ghost_agent *a, struct ghost_task *t)
{
	say(a, "blocked %u\n", slot_of(t));
}

static void task_changed(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	say(a, "%s %u\n", cause == GHOST_CAUSE_AFFINITY ? "affinity" : "priority", slot_of(t));
}

static void task_gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	say(a, "gone %u%s\n", slot_of(t), dead ? " dead" : "");
	maybe_hold(t);
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	for (int i = 0; i < 2; i++) {
		struct pick *p = &want[cpu][i];

		if (p->slot)
			say(a, "pick %u: %s\n", p->slot,
			    ghost_agent_pick(a, p->cpu, task[p->slot], p->slice_ns) ? "yes" : "no");
		p->slot = 0;
	}
	for (int i = 0; i < 4; i++) {
		if (wake[cpu][i])
			ghost_agent_wake(a, wake[cpu][i] - 1);
		wake[cpu][i] = 0;
	}
	loop.cpu[cpu].agent_seq += news_during_schedule[cpu];
	news_during_schedule[cpu] = 0;
}

static void fini(void *data)
{
	nr_fini++;
}

static const struct ghost_policy writer = {
	.name = "writer",
	.help = "writes down what it hears",
	.model = GHOST_PER_CPU,
	.task_size = 8,
	.init = init,
	.task_new = task_new,
	.task_runnable = task_runnable,
	.task_blocked = task_blocked,
	.task_changed = task_changed,
	.task_gone = task_gone,
	.schedule = schedule,
	.fini = fini,
};

static int setup(void **state)
{
	memset(heard, 0, sizeof(heard));
	memset(want, 0, sizeof(want));
	memset(wake, 0, sizeof(wake));
	memset(task, 0, sizeof(task));
	memset(news_during_schedule, 0, sizeof(news_during_schedule));
	nr_fini = init_ret = held = resume = 0;
	hold_slot = 0;
	loop_reset(2);
	return 0;
}

static int teardown(void **state)
{
	/* Also when an assertion failed while an agent was held. */
	resume_held();
	loop_stop();
	return 0;
}

/* The agent of @cpu heard exactly this since the last time. */
static void assert_heard(__u32 cpu, const char *what)
{
	assert_string_equal(heard[cpu], what);
	heard[cpu][0] = 0;
}

static void start(void)
{
	loop_start(&writer, NULL);
}

/* One round of @cpu's agent that has nothing to run. */
static struct ghost_txn go_round(__u32 cpu)
{
	return loop_step(cpu, GHOST_TXN_YIELDED);
}

/* Start with thread 1 waiting in CPU 0's queue, known to the policy. */
static void start_with_one(void)
{
	start();
	loop_new(1, 0);
	go_round(0);
	assert_heard(0, "new 1\nrunnable 1\n");
}

/* Let @cpu's agent pick @slot in its next round and return what it hands in. */
static struct ghost_txn pick(__u32 cpu, __u32 slot)
{
	want[cpu][0] = (struct pick){ .slot = slot, .cpu = cpu, .slice_ns = 7000 };
	return go_round(cpu);
}

/* --- taking over ---------------------------------------------------------------- */

/* Whatever agents did before: the status table alone tells the new ones. */
static void test_loop_new_agents_find_all_threads_in_the_table(void **state)
{
	loop_thread(1, 0, LOOP_WAITS);
	loop_thread(2, 0, LOOP_INUSE);
	loop_thread(3, 0, LOOP_ONCPU);
	loop_thread(4, 0, LOOP_INUSE | GHOST_STATUS_FALLBACK);
	loop_thread(5, 0, LOOP_INUSE | GHOST_STATUS_NEW); /* its message will come */
	loop_thread(6, 0, 0);				  /* was one */
	loop_thread(7, 1, LOOP_WAITS);			  /* the other agent's */
	loop_thread(9, 0, LOOP_WAITS);
	start();
	assert_heard(0, "new 1\nrunnable 1\nnew 2\nnew 3\nnew 4\nnew 9\nrunnable 9\n");
	assert_heard(1, "new 7\nrunnable 7\n");
}

/* Messages that nobody read are older than the table and must not be told again. */
static void test_loop_unread_messages_of_earlier_agents_are_skipped(void **state)
{
	loop_new(1, 0);
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
	start();
	assert_heard(0, "new 1\nrunnable 1\n");
	go_round(0);
	assert_heard(0, "");
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
	go_round(0);
	assert_heard(0, "priority 1\nrunnable 1\n");
}

static void test_loop_events_after_taking_over_are_told_once(void **state)
{
	loop_thread(1, 0, LOOP_INUSE);
	start();
	assert_heard(0, "new 1\n");
	loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	go_round(0);
	assert_heard(0, "wakeup 1\n");
	go_round(0);
	assert_heard(0, "");
}

/* --- messages ------------------------------------------------------------------------ */

/* Every type reaches its callback, in the order of the queue. */
static void test_loop_messages_are_told_in_order(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	loop_event(1, GHOST_MSG_TASK_PREEMPT, LOOP_WAITS);
	loop_event(2, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	loop_event(1, GHOST_MSG_TASK_YIELD, LOOP_WAITS);
	loop_event(1, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_WAITS);
	loop_event(2, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_INUSE);
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
	loop_event(2, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	loop_event(1, GHOST_MSG_TASK_DEAD, 0);
	loop_event(2, GHOST_MSG_TASK_DEPARTED, 0);
	go_round(0);
	assert_heard(0, "new 1\nrunnable 1\nnew 2\nrunnable 2\nslice 1\nblocked 2\nyield 1\n"
			"affinity 1\nrunnable 1\naffinity 2\npriority 1\nrunnable 1\nwakeup 2\n"
			"gone 1 dead\ngone 2\n");
}

/* Whoever pushed it off the CPU, the policy is told. */
static void test_loop_reason_of_a_preemption_is_told_as_the_cause(void **state)
{
	static const struct {
		__u32 reason;
		const char *told;
	} cases[] = {
		{ GHOST_PREEMPT_SLICE, "slice 1\n" },
		{ GHOST_PREEMPT_CLASS, "class 1\n" },
		{ GHOST_PREEMPT_LATCH, "latch 1\n" },
		{ GHOST_PREEMPT_KICK, "kick 1\n" },
		{ 99, "slice 1\n" }, /* newer than the library */
	};

	start_with_one();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_msg m;

		loop_word(1, loop_seq(1) + 1, LOOP_WAITS);
		m = loop_msg(1, GHOST_MSG_TASK_PREEMPT);
		m.reason = cases[i].reason;
		loop_push(0, m);
		go_round(0);
		assert_heard(0, cases[i].told);
	}
}

/* More than a lap of the ring, in bursts. */
static void test_loop_no_message_is_lost_over_many_laps(void **state)
{
	start_with_one();
	for (int i = 0; i < 30; i++) {
		for (int k = 0; k < 100; k++)
			loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
		go_round(0);
		assert_int_equal(strlen(heard[0]), 100 * strlen("priority 1\nrunnable 1\n"));
		heard[0][0] = 0;
	}
	assert_int_equal(loop.cpu[0].queue.overflow, 0);
}

/* What a newer kernel side might send: skipped, its number taken note of. */
static void test_loop_unknown_messages_are_skipped(void **state)
{
	start_with_one();
	loop_event(1, 71, LOOP_WAITS);
	loop_event(1, 999, LOOP_WAITS);
	loop_event(1, GHOST_MSG_NONE, LOOP_WAITS);
	assert_int_equal(pick(0, 1).task_seq, loop_seq(1));
	assert_heard(0, "pick 1: yes\n");
}

static void test_loop_messages_about_impossible_slots_are_skipped(void **state)
{
	static const __u32 slots[] = { 0, LOOP_SLOTS, LOOP_SLOTS + 1, ~0u };

	start_with_one();
	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		struct ghost_msg m = { .type = GHOST_MSG_TASK_NEW,
				       .slot = slots[i],
				       .seq = 1,
				       .gtid = 99ull << 32 | 1,
				       .flags = GHOST_MSG_RUNNABLE };

		loop_push(0, m);
	}
	go_round(0);
	assert_heard(0, "");
}

static void test_loop_stale_and_duplicate_messages_are_ignored(void **state)
{
	struct ghost_msg m;

	start_with_one();
	m = loop_msg(1, GHOST_MSG_TASK_WAKEUP);
	loop_push(0, m); /* the number of its TASK_NEW */
	m.seq--;
	loop_push(0, m);
	m.seq -= 1000;
	loop_push(0, m);
	m = loop_msg(1, GHOST_MSG_TASK_DEAD); /* of an earlier user of the slot */
	m.gtid = 1005;
	m.seq += 5;
	loop_push(0, m);
	go_round(0);
	assert_heard(0, "");
	loop_event(1, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	go_round(0);
	assert_heard(0, "blocked 1\n");
}

/* Numbers wrap: "newer" is a matter of distance, not of size. */
static void test_loop_thread_numbers_may_wrap(void **state)
{
	loop_word(1, 0xfffffffd, 0);
	start_with_one();
	for (int i = 0; i < 4; i++) {
		loop_event(1, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
		loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	}
	go_round(0);
	assert_heard(0, "blocked 1\nwakeup 1\nblocked 1\nwakeup 1\n"
			"blocked 1\nwakeup 1\nblocked 1\nwakeup 1\n");
	assert_true(loop_seq(1) < 100);
}

/* The queue lost its TASK_NEW, or the table was read before it: new first all the same. */
static void test_loop_first_word_of_a_thread_is_always_new(void **state)
{
	start();
	loop_thread(1, 0, LOOP_INUSE);
	loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	loop_thread(2, 0, LOOP_INUSE);
	loop_event(2, GHOST_MSG_TASK_DEAD, 0);
	go_round(0);
	assert_heard(0, "new 1\nwakeup 1\n");
}

/* The slot's thread died, another has it now; with and without the message of its death. */
static void test_loop_slot_used_again_is_gone_then_new(void **state)
{
	start_with_one();
	loop_event(1, GHOST_MSG_TASK_DEAD, 0);
	loop_new(1, 0);
	go_round(0);
	assert_heard(0, "gone 1 dead\nnew 1\nrunnable 1\n");
	loop_word(1, loop_seq(1) + 1, 0);
	loop_new(1, 0);
	go_round(0);
	assert_heard(0, "gone 1 dead\nnew 1\nrunnable 1\n");
	/* Data of the old life is not seen in the new one. */
	memset(ghost_task_data(task[1]), 0x77, writer.task_size);
	loop_event(1, GHOST_MSG_TASK_DEPARTED, 0);
	loop_new(1, 0);
	go_round(0);
	assert_heard(0, "gone 1\nnew 1\nrunnable 1\n");
	for (size_t i = 0; i < writer.task_size; i++)
		assert_int_equal(((char *)ghost_task_data(task[1]))[i], 0);
}

/* --- overflow -------------------------------------------------------------------------- */

/* Fill CPU 0's queue to the brim with events of thread 1 that mean nothing. */
static void fill_queue(void)
{
	while (loop.cpu[0].queue.head - loop.rw[0].queue_tail < GHOST_QUEUE_LEN)
		loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
}

/* Skip what was heard of thread 1 while the queue was full. */
static const char *heard_of_others(void)
{
	const char *s = heard[0];

	while (!strncmp(s, "priority 1\n", 11) || !strncmp(s, "runnable 1\n", 11))
		s = strchr(s, '\n') + 1;
	return s;
}

static void test_loop_after_overflow_the_table_tells_what_was_lost(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	loop_new(3, 0);
	loop_new(4, 0);
	loop_event(4, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	loop_new(5, 0);
	go_round(0);
	heard[0][0] = 0;
	fill_queue();
	loop_event(2, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	loop_event(3, GHOST_MSG_TASK_DEAD, 0);
	loop_event(4, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	loop_event(5, GHOST_MSG_TASK_DEAD, 0);
	loop_new(5, 0); /* another thread */
	loop_new(6, 0);
	assert_int_equal(loop.cpu[0].queue.overflow, 6);
	go_round(0);
	assert_string_equal(heard_of_others(),
			    "blocked 2\ngone 3 dead\nwakeup 4\n"
			    "gone 5 dead\nnew 5\nrunnable 5\nnew 6\nrunnable 6\n");
	heard[0][0] = 0;
	/* And that once. */
	go_round(0);
	assert_heard(0, "");
}

/* The wake-up found no room, a later change did: the thread must not be lost between them. */
static void test_loop_wakeup_lost_before_a_later_message_is_made_good(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	loop_event(2, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	go_round(0);
	heard[0][0] = 0;
	fill_queue();
	loop_event(2, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	loop.rw[0].queue_tail += 10; /* read meanwhile */
	loop_event(2, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
	go_round(0);
	assert_string_equal(heard_of_others(), "priority 2\nwakeup 2\n");
	heard[0][0] = 0;
	assert_int_equal(pick(0, 2).slot, 2);
}

/* The same with a thread nobody has heard of yet. */
static void test_loop_new_lost_before_a_later_message_is_made_good(void **state)
{
	start_with_one();
	fill_queue();
	loop_new(2, 0);
	loop.rw[0].queue_tail += 10;
	loop_event(2, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_WAITS);
	go_round(0);
	heard[0][0] = 0;
	assert_int_equal(pick(0, 2).slot, 2);
	assert_heard(0, "pick 2: yes\n");
}

/* A thread that is picked or runs does not become two by a rebuild. */
static void test_loop_rebuild_leaves_running_threads_alone(void **state)
{
	struct ghost_txn txn;

	start_with_one();
	loop_new(2, 0);
	txn = pick(0, 2);
	assert_int_equal(txn.slot, 2);
	fill_queue();
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
	heard[0][0] = 0;
	loop_accept(0);
	assert_string_equal(heard_of_others(), "");
	heard[0][0] = 0;
	want[0][0] = (struct pick){ .slot = 2, .cpu = 0 };
	assert_int_equal(go_round(0).slot, 0);
	assert_heard(0, "pick 2: no\n");
}

/* --- deciding ------------------------------------------------------------------------------ */

/* The number handed in is the one from before the messages were read. */
static void test_loop_news_while_deciding_makes_the_commit_stale(void **state)
{
	__u32 seq;

	start_with_one();
	seq = loop.cpu[0].agent_seq;
	news_during_schedule[0] = 3;
	assert_int_equal(pick(0, 1).agent_seq, seq);
	assert_int_equal(loop.cpu[0].agent_seq, seq + 3);
}

static void test_loop_pick_is_handed_in_whole(void **state)
{
	struct ghost_txn txn;

	start_with_one();
	txn = pick(0, 1);
	assert_int_equal(txn.state, GHOST_TXN_READY);
	assert_int_equal(txn.slot, 1);
	assert_int_equal(txn.task_seq, loop_seq(1));
	assert_int_equal(txn.agent_seq, loop.cpu[0].agent_seq);
	assert_int_equal(txn.slice_ns, 7000);
	assert_int_equal(txn.flags, 0);
	assert_int_equal(txn.ping_cpu, GHOST_CPU_NONE);
	/* No pick: slot 0, and a slice that is not invalid. */
	txn = loop_accept(0);
	assert_int_equal(txn.slot, 0);
	assert_true(txn.slice_ns == GHOST_SLICE_INF);
	assert_int_equal(txn.state, GHOST_TXN_READY);
}

static void test_loop_slice_zero_means_without_end(void **state)
{
	start_with_one();
	want[0][0] = (struct pick){ .slot = 1, .cpu = 0, .slice_ns = 0 };
	assert_true(go_round(0).slice_ns == GHOST_SLICE_INF);
}

/* One per call, and only for the own CPU. */
static void test_loop_second_pick_and_pick_for_another_cpu_are_denied(void **state)
{
	start_with_one();
	loop_new(2, 0);
	go_round(0);
	heard[0][0] = 0;
	want[0][0] = (struct pick){ .slot = 1, .cpu = 1 };
	assert_int_equal(go_round(0).slot, 0);
	assert_heard(0, "pick 1: no\n");
	want[0][0] = (struct pick){ .slot = 1, .cpu = 0 };
	want[0][1] = (struct pick){ .slot = 2, .cpu = 0 };
	assert_int_equal(go_round(0).slot, 1);
	assert_heard(0, "pick 1: yes\npick 2: no\n");
}

static void test_loop_pick_of_a_thread_that_does_not_wait_is_denied(void **state)
{
	start_with_one();
	loop_event(1, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	assert_int_equal(pick(0, 1).slot, 0);
	assert_heard(0, "blocked 1\npick 1: no\n");
	loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	assert_int_equal(pick(0, 1).slot, 1);
	/* It is in the other agent's hands now. */
	assert_int_equal(pick(1, 1).slot, 0);
	assert_heard(1, "pick 1: no\n");
	loop_accept(0);
	loop_event(1, GHOST_MSG_TASK_DEAD, 0);
	assert_int_equal(pick(0, 1).slot, 0);
	assert_heard(0, "wakeup 1\npick 1: yes\ngone 1 dead\npick 1: no\n");
}

/* Which refusals give the thread back, and which leave it to a message. */
static void test_loop_refusal_comes_back_when_no_message_tells(void **state)
{
	static const struct {
		__u32 answer, told;
	} cases[] = {
		{ GHOST_TXN_AGENT_STALE, 1 },
		{ GHOST_TXN_NOT_ALLOWED, 1 },
		{ GHOST_TXN_AGAIN, 1 },
		{ GHOST_TXN_INVALID, 1 },
		{ GHOST_TXN_CPU_UNAVAIL, 1 },
		{ GHOST_TXN_CPU_OFFLINE, 1 },
		{ GHOST_TXN_CPU_OCCUPIED, 1 },
		{ GHOST_TXN_INVALID_CPU, 1 },
		{ GHOST_TXN_NO_AGENT, 1 },
		{ GHOST_TXN_POISONED, 1 },
		{ GHOST_TXN_READY, 1 }, /* nobody looked at it */
		{ GHOST_TXN_TASK_STALE, 0 },
		{ GHOST_TXN_NOT_FOUND, 0 },
		{ GHOST_TXN_NOT_RUNNABLE, 0 },
		{ GHOST_TXN_ON_CPU, 0 },
		{ 77, 1 }, /* newer than this library: rather too often than never */
	};

	start_with_one();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char told[64] = "";

		assert_int_equal(pick(0, 1).slot, 1);
		assert_heard(0, "pick 1: yes\n");
		if (cases[i].told)
			snprintf(told, sizeof(told), "refused 1\n");
		loop_step(0, cases[i].answer);
		assert_heard(0, told);
		/* Back with the policy it can be picked at once, else after its message. */
		assert_int_equal(pick(0, 1).slot, cases[i].told ? 1 : 0);
		loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
		loop_step(0, GHOST_TXN_TASK_STALE);
		heard[0][0] = 0;
	}
}

/*
 * Its mask allows this CPU, the kernel does not (migration disabled): until
 * there is news of it, the policy is told that it may only run where it ran.
 */
static void test_loop_refused_as_not_allowed_it_is_bound_until_its_next_message(void **state)
{
	start_with_one();
	loop.status[1].cpu = 1;
	assert_true(ghost_task_allowed(task[1], 0));
	assert_int_equal(pick(0, 1).slot, 1);
	loop_step(0, GHOST_TXN_AGAIN);
	assert_true(ghost_task_allowed(task[1], 0)); /* other refusals say nothing of that */
	assert_int_equal(pick(0, 1).slot, 1);
	loop_step(0, GHOST_TXN_NOT_ALLOWED);
	assert_false(ghost_task_allowed(task[1], 0));
	assert_true(ghost_task_allowed(task[1], 1));
	assert_false(ghost_task_allowed(task[1], 2));
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
	go_round(0);
	assert_true(ghost_task_allowed(task[1], 0));
	/* Refused there as well, it is not bound: or it would be picked for that CPU for ever. */
	assert_int_equal(pick(0, 1).slot, 1);
	loop_step(0, GHOST_TXN_NOT_ALLOWED);
	assert_false(ghost_task_allowed(task[1], 0));
	loop.status[1].cpu = 0;
	assert_int_equal(pick(0, 1).slot, 1);
	loop_step(0, GHOST_TXN_NOT_ALLOWED);
	assert_true(ghost_task_allowed(task[1], 1));
	loop.status[1].cpu = 1;
	/* The next life in the slot begins free. */
	assert_int_equal(pick(0, 1).slot, 1);
	loop_step(0, GHOST_TXN_NOT_ALLOWED);
	loop_word(1, loop_seq(1) + 1, 0);
	loop_new(1, 0);
	go_round(0);
	loop.status[1].cpu = 1;
	assert_true(ghost_task_allowed(task[1], 0));
}

/* Read from the record each time; a name without an end ends all the same. */
static void test_loop_what_a_thread_is_comes_from_its_record(void **state)
{
	struct ghost_status *st = &loop.status[1];
	char name[GHOST_COMM_LEN];

	start_with_one();
	for (int i = 0; i < 2; i++) {
		st->nice = i ? -20 : 19;
		st->weight = i ? 8668 : 1;
		st->cgroup = i ? 1ull << 40 : 3;
		st->runtime_ns = i ? 1ull << 50 : 4;
		memset(st->comm, i ? 'x' : 0, sizeof(st->comm));
		assert_int_equal(ghost_task_nice(task[1]), i ? -20 : 19);
		assert_int_equal(ghost_task_weight(task[1]), i ? 8668 : 1);
		assert_int_equal(ghost_task_cgroup(task[1]), i ? 1ull << 40 : 3);
		assert_int_equal(ghost_task_runtime_ns(task[1]), i ? 1ull << 50 : 4);
		memset(name, '?', sizeof(name));
		ghost_task_name(task[1], name);
		assert_string_equal(name, i ? "xxxxxxxxxxxxxxx" : "");
	}
}

/* A message about it that another agent has handled meanwhile has said it already. */
static void test_loop_refusal_after_a_handled_message_is_not_told_again(void **state)
{
	start_with_one();
	assert_int_equal(pick(0, 1).slot, 1);
	loop_event(1, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_WAITS);
	loop.cpu[1].help = 1 + 0;
	go_round(1);
	assert_heard(1, "affinity 1\nrunnable 1\n");
	heard[0][0] = 0;
	loop_step(0, GHOST_TXN_AGENT_STALE);
	assert_heard(0, "");
	assert_int_equal(pick(1, 1).slot, 1);
}

/* A change told while it runs: it does not wait, and is not handed out again. */
static void test_loop_change_of_a_running_thread_does_not_make_it_runnable(void **state)
{
	start_with_one();
	assert_int_equal(pick(0, 1).slot, 1);
	loop_accept(0);
	loop_event(1, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_ONCPU);
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_ONCPU);
	heard[0][0] = 0;
	assert_int_equal(pick(0, 1).slot, 0);
	assert_heard(0, "affinity 1\npriority 1\npick 1: no\n");
}

/* --- other agents --------------------------------------------------------------------------- */

static void test_loop_helper_drains_the_queue_it_was_woken_for(void **state)
{
	start();
	loop_new(1, 0);
	go_round(1);
	assert_heard(1, "");
	loop.cpu[1].help = 1 + 0;
	assert_int_equal(pick(1, 1).slot, 1);
	assert_heard(1, "new 1\nrunnable 1\npick 1: yes\n");
	go_round(0);
	assert_heard(0, "");
}

/* Nonsense in the word that names the CPU to help is ignored. */
static void test_loop_help_for_a_cpu_that_is_not_there_is_ignored(void **state)
{
	static const __u32 whom[] = { 1 + 1, 1 + 3, 1 + LOOP_CPUS, 77, ~0u };

	start();
	loop_new(1, 0);
	for (size_t i = 0; i < ARRAY_LEN(whom); i++) {
		loop.cpu[1].help = whom[i];
		go_round(1);
		assert_heard(1, "");
	}
}

/* One wake-up travels with the transaction, the rest take a call each. */
static void test_loop_wakeups_travel_with_the_commit(void **state)
{
	loop_stop();
	loop_reset(4);
	start();
	wake[0][0] = 1 + 2;
	wake[0][1] = 1 + 1;
	wake[0][2] = 1 + 0; /* itself: no need */
	wake[0][3] = 1 + 3;
	assert_int_equal(go_round(0).ping_cpu, 1);
	assert_int_equal(loop.at[0].pings, 0);
	assert_int_equal(loop.at[1].pings, 0);
	assert_int_equal(loop.at[2].pings, 1);
	assert_int_equal(loop.at[3].pings, 1);
	assert_int_equal(go_round(0).ping_cpu, GHOST_CPU_NONE);
	assert_int_equal(loop.at[2].pings, 1);
}

/* A transaction nobody looked at woke nobody either: the next one must. */
static void test_loop_wakeup_in_an_unseen_transaction_is_not_lost(void **state)
{
	start();
	wake[0][0] = 1 + 1;
	assert_int_equal(go_round(0).ping_cpu, 1);
	assert_int_equal(loop_step(0, GHOST_TXN_READY).ping_cpu, 1);
	assert_int_equal(loop_step(0, GHOST_TXN_AGENT_STALE).ping_cpu, GHOST_CPU_NONE);
}

/*
 * Agent 1 drains queue 0, has found it empty and still holds it. A message
 * comes; agent 0 sees the new number, cannot get at the queue, and gives the
 * CPU up. Somebody must read that message without another wake-up.
 */
static void test_loop_message_behind_a_helper_is_not_left_behind(void **state)
{
	start();
	loop_new(1, 0);
	go_round(0);
	fill_queue();
	loop_thread(3, 0, LOOP_INUSE | GHOST_STATUS_NEW);
	loop_event(3, GHOST_MSG_TASK_NEW, LOOP_WAITS); /* overflow: the rebuild meets it */
	hold_slot = 3;
	loop.cpu[1].help = 1 + 0;
	loop_answer(1, GHOST_TXN_YIELDED);
	wait_held();
	/* The helper is in the middle of the rebuild; the queue is empty. */
	assert_true(ghost_queue_empty(&loop.mem, 0));
	heard[0][0] = 0;
	loop_new(2, 0);
	go_round(0);
	assert_heard(0, "");
	resume_held();
	loop_wait(1);
	assert_non_null(strstr(heard[1], "new 2\nrunnable 2\n"));
}

/* The same with an event that finds no room while the helper empties the queue. */
static void test_loop_overflow_behind_a_helper_is_not_left_behind(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	loop_event(2, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	loop_new(4, 0);
	loop_event(4, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	go_round(0);
	loop_event(4, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS); /* the helper stops at this one */
	fill_queue();
	hold_slot = 4;
	loop.cpu[1].help = 1 + 0;
	loop_answer(1, GHOST_TXN_YIELDED);
	wait_held();
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS); /* takes the room of one */
	loop_event(2, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	assert_int_equal(loop.cpu[0].queue.overflow, 1);
	heard[0][0] = 0;
	go_round(0);
	assert_heard(0, "");
	resume_held();
	loop_wait(1);
	assert_non_null(strstr(heard[1], "wakeup 2\n"));
}

/*
 * Agent 0 handles the death of thread 1 while agent 1, after an overflow,
 * looks into the table and waits for it: the dead must not come to life.
 */
static void test_loop_rebuild_does_not_revive_the_dead(void **state)
{
	struct timespec moment = { .tv_nsec = 50 * 1000 * 1000 };

	start_with_one();
	loop_event(1, GHOST_MSG_TASK_DEAD, 0);
	loop_word(1, loop_seq(1) - 1, LOOP_WAITS); /* the table is still as before */
	hold_slot = 1;
	loop_answer(0, GHOST_TXN_YIELDED);
	wait_held();
	loop.status[1].queue = 1; /* so that agent 1 looks at it */
	loop.cpu[1].queue.overflow++;
	loop_answer(1, GHOST_TXN_YIELDED);
	nanosleep(&moment, NULL);
	loop_word(1, loop_seq(1) + 1, 0);
	resume_held();
	loop_wait(0);
	loop_wait(1);
	assert_heard(0, "gone 1 dead\n");
	assert_heard(1, "");
}

/* --- queues that were made --------------------------------------------------------------- */

static void test_loop_queue_that_was_made_is_read_like_that_of_a_cpu(void **state)
{
	struct ghost_queue *q = &loop.cpu[LOOP_CPUS].queue;
	struct ghost_msg m;

	assert_false(ghost_queue_pop(&loop.mem, LOOP_CPUS, &m)); /* there is none */
	assert_false(ghost_queue_ready(&loop.mem, LOOP_CPUS));
	q->first = LOOP_CPUS * GHOST_QUEUE_LEN;
	q->len = LOOP_MADE_LEN;
	loop_thread(1, LOOP_CPUS, LOOP_INUSE);
	for (__u32 i = 0; i < 3 * LOOP_MADE_LEN; i++) {
		assert_true(ghost_queue_empty(&loop.mem, LOOP_CPUS));
		loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_INUSE);
		assert_true(ghost_queue_ready(&loop.mem, LOOP_CPUS));
		assert_false(ghost_queue_empty(&loop.mem, LOOP_CPUS));
		assert_true(ghost_queue_pop(&loop.mem, LOOP_CPUS, &m));
		assert_int_equal(m.seq, loop_seq(1));
		assert_false(ghost_queue_pop(&loop.mem, LOOP_CPUS, &m));
	}
	/* Its record may point past the ring that was mapped. */
	q->first = LOOP_RING;
	loop.rw[LOOP_CPUS].queue_tail = 0;
	assert_false(ghost_queue_pop(&loop.mem, LOOP_CPUS, &m));
	assert_false(ghost_queue_ready(&loop.mem, LOOP_CPUS));
	q->first = ~0u;
	assert_false(ghost_queue_ready(&loop.mem, LOOP_CPUS));
}

/* --- life ----------------------------------------------------------------------------------------- */

static void test_loop_ends_when_the_enclave_is_lost(void **state)
{
	start();
	assert_int_equal(ghost_agents_wait(loop.agents, 20), -ETIMEDOUT);
	__atomic_store_n(&loop_es()->state, GHOST_ENCLAVE_LOST, __ATOMIC_RELEASE);
	loop_answer(0, GHOST_TXN_READY);
	loop_answer(1, GHOST_TXN_READY);
	assert_int_equal(ghost_agents_wait(loop.agents, 1000 * LOOP_WAIT_S), 0);
	assert_int_equal(ghost_agents_wait(loop.agents, -1), 0);
	assert_int_equal(nr_fini, 0);
	ghost_agents_stop(loop.agents);
	loop.agents = NULL;
	assert_int_equal(nr_fini, 1);
	ghost_agents_stop(NULL);
}

/* A thread whose pick is not accepted when the agents end is the kernel's: nothing hangs. */
static void test_loop_stop_ends_agents_that_wait(void **state)
{
	start_with_one();
	pick(0, 1);
	loop_release();
	ghost_agents_stop(loop.agents);
	loop.agents = NULL;
	assert_int_equal(nr_fini, 1);
	assert_true(loop.at[0].pings && loop.at[1].pings);
}

/* Whoever starts agents next finds the CPUs free, without having to wait for the kernel. */
static void test_loop_stop_leaves_no_agent_in_the_class(void **state)
{
	loop_start(&writer, NULL);
	assert_int_not_equal(loop.cpu[0].agent_tid, 0);
	loop_release();
	ghost_agents_stop(loop.agents);
	loop.agents = NULL;
	for (uint32_t cpu = 0; cpu < LOOP_CPUS; cpu++)
		assert_int_equal(loop.cpu[cpu].agent_tid, 0);
}

static void test_loop_wrong_arguments_are_refused(void **state)
{
	struct ghost_agents_opts small = { .size = sizeof(small) - 1 };
	struct ghost_policy p = writer;
	struct ghost_agents *as = NULL;

	assert_int_equal(ghost_agents_start(&as, loop.enclave, NULL, NULL), -EINVAL);
	p.schedule = NULL;
	assert_int_equal(ghost_agents_start(&as, loop.enclave, &p, NULL), -EINVAL);
	p = writer;
	p.model = GHOST_CENTRAL + 1;
	assert_int_equal(ghost_agents_start(&as, loop.enclave, &p, NULL), -EINVAL);
	assert_int_equal(ghost_agents_start(&as, loop.enclave, &writer, &small), -EINVAL);
	assert_null(as);
	assert_int_equal(loop_es()->state, GHOST_ENCLAVE_IDLE);
}

static void test_loop_agents_before_may_remove_their_queue_at_the_same_time(void **state)
{
	struct ghost_agents *as = NULL;

	loop.let_go = 1;
	assert_int_equal(ghost_agents_prepare(&as, loop.enclave, &writer, NULL), 0);
	loop.cpu[LOOP_CPUS].queue.len = 64;
	loop.destroy_ret = -ENOENT;
	assert_int_equal(ghost_agents_take(as, 0), 0);
	assert_int_equal(loop_es()->state, GHOST_ENCLAVE_ONLINE);
	ghost_agents_stop(as);
	/* Another failure is one. */
	loop_es()->state = GHOST_ENCLAVE_IDLE;
	assert_int_equal(ghost_agents_prepare(&as, loop.enclave, &writer, NULL), 0);
	loop.cpu[LOOP_CPUS].queue.len = 64;
	loop.destroy_ret = -EPERM;
	assert_int_equal(ghost_agents_take(as, 0), -EPERM);
	ghost_agents_stop(as);
}

static void test_loop_agents_that_wait_take_nothing_that_is_not_as_it_was(void **state)
{
	struct ghost_agents *as = NULL;
	uint32_t cpu;

	for (cpu = 0; !loop.cpu[cpu].owned; cpu++)
		;
	/* The enclave got other CPUs meanwhile. */
	assert_int_equal(ghost_agents_prepare(&as, loop.enclave, &writer, NULL), 0);
	loop.cpu[cpu].owned = 0;
	assert_int_equal(ghost_agents_take(as, 0), -ESTALE);
	ghost_agents_stop(as);
	loop.cpu[cpu].owned = 1;
	/* Somebody decides; then somebody is there who decided, and has not left yet. */
	assert_int_equal(ghost_agents_prepare(&as, loop.enclave, &writer, NULL), 0);
	loop_es()->state = GHOST_ENCLAVE_ONLINE;
	assert_int_equal(ghost_agents_take(as, 0), -EBUSY);
	assert_int_equal(ghost_agents_take(as, 1), -ETIMEDOUT);
	loop_es()->state = GHOST_ENCLAVE_LOST;
	loop.cpu[cpu].agent_tid = 4711;
	assert_int_equal(ghost_agents_take(as, 1), -ETIMEDOUT);
	/* It is destroyed while they wait. */
	loop_es()->state = GHOST_ENCLAVE_DYING;
	assert_int_equal(ghost_agents_take(as, 1), -ENOENT);
	loop.cpu[cpu].agent_tid = 0;
	loop_es()->state = GHOST_ENCLAVE_IDLE;
	/* None of it was final but for the last: nobody decides, nobody was asked. */
	ghost_agents_stop(as);
	assert_int_equal(loop_es()->state, GHOST_ENCLAVE_IDLE);
}

/* Each look takes long, as where many want the CPUs. */
static void look_takes_10_ms(void)
{
	loop.now += 10 * 1000 * 1000;
}

static void test_loop_agents_wait_for_others_by_the_clock(void **state)
{
	struct ghost_agents *as = NULL;

	assert_int_equal(ghost_agents_prepare(&as, loop.enclave, &writer, NULL), 0);
	loop_es()->state = GHOST_ENCLAVE_ONLINE;
	loop.on_sleep = look_takes_10_ms;
	assert_int_equal(ghost_agents_take(as, 1000), -ETIMEDOUT);
	assert_in_range(loop.nr_sleeps, 90, 100);
	loop.on_sleep = NULL;
	loop_es()->state = GHOST_ENCLAVE_IDLE;
	ghost_agents_stop(as);
}

static uint64_t param_seen[2];
static const char *text_seen;

static int init_params(struct ghost_agent *a, void *data)
{
	param_seen[0] = ghost_agent_param(a, 0);
	param_seen[1] = ghost_agent_param(a, 1);
	text_seen = ghost_agent_param_text(a, 2);
	return -EDOM;
}

static void test_loop_parameters_are_checked_and_handed_on(void **state)
{
	static const struct ghost_param params[] = {
		{ "a", GHOST_PARAM_UINT, 5, 2, 9, "" },
		{ "b", GHOST_PARAM_BOOL, 0, 0, 1, "" },
		{ "c", GHOST_PARAM_TEXT, 0, 0, 0, "" },
		{ 0 },
	};
	const uint64_t text = (uintptr_t)"make*";
	const uint64_t cases[][3] = {
		{ 2, 0, text }, { 9, 1, 0 }, { 1, 0, 0 }, { 10, 0, text }, { 5, 2, text }
	};
	struct ghost_policy p = writer;
	struct ghost_agents *as = NULL;

	p.params = params;
	p.init = init_params;
	assert_int_equal(ghost_agents_start(&as, loop.enclave, &p, NULL), -EDOM);
	assert_int_equal(param_seen[0], 5);
	assert_int_equal(param_seen[1], 0);
	assert_null(text_seen);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_agents_opts opts = { .size = sizeof(opts), .params = cases[i] };

		assert_int_equal(ghost_agents_start(&as, loop.enclave, &p, &opts),
				 i < 2 ? -EDOM : -EINVAL);
		if (i < 2) {
			assert_int_equal(param_seen[0], cases[i][0]);
			assert_int_equal(param_seen[1], cases[i][1]);
			assert_ptr_equal(text_seen, (const char *)(uintptr_t)cases[i][2]);
		}
	}
	assert_null(as);
	assert_int_equal(nr_fini, 0);
}

/* Somebody else has the enclave: his queues and transactions are not touched. */
static void test_loop_start_in_a_taken_enclave_changes_nothing(void **state)
{
	struct ghost_agents *second = NULL;
	struct ghost_cpu_rw before[LOOP_CPUS];

	start_with_one();
	pick(0, 1);
	loop_event(1, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS); /* unread */
	memcpy(before, loop.rw, sizeof(before));
	loop.attach_ret = -EBUSY;
	assert_int_equal(ghost_agents_start(&second, loop.enclave, &writer, NULL), -EBUSY);
	assert_null(second);
	assert_memory_equal(before, loop.rw, sizeof(before));
	heard[0][0] = 0;
	loop_step(0, GHOST_TXN_TASK_STALE);
	assert_heard(0, "priority 1\nrunnable 1\n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_loop_new_agents_find_all_threads_in_the_table),
		T(test_loop_unread_messages_of_earlier_agents_are_skipped),
		T(test_loop_events_after_taking_over_are_told_once),
		T(test_loop_messages_are_told_in_order),
		T(test_loop_reason_of_a_preemption_is_told_as_the_cause),
		T(test_loop_no_message_is_lost_over_many_laps),
		T(test_loop_unknown_messages_are_skipped),
		T(test_loop_messages_about_impossible_slots_are_skipped),
		T(test_loop_stale_and_duplicate_messages_are_ignored),
		T(test_loop_thread_numbers_may_wrap),
		T(test_loop_first_word_of_a_thread_is_always_new),
		T(test_loop_slot_used_again_is_gone_then_new),
		T(test_loop_after_overflow_the_table_tells_what_was_lost),
		T(test_loop_wakeup_lost_before_a_later_message_is_made_good),
		T(test_loop_new_lost_before_a_later_message_is_made_good),
		T(test_loop_rebuild_leaves_running_threads_alone),
		T(test_loop_news_while_deciding_makes_the_commit_stale),
		T(test_loop_pick_is_handed_in_whole),
		T(test_loop_slice_zero_means_without_end),
		T(test_loop_second_pick_and_pick_for_another_cpu_are_denied),
		T(test_loop_pick_of_a_thread_that_does_not_wait_is_denied),
		T(test_loop_refusal_comes_back_when_no_message_tells),
		T(test_loop_what_a_thread_is_comes_from_its_record),
		T(test_loop_refused_as_not_allowed_it_is_bound_until_its_next_message),
		T(test_loop_refusal_after_a_handled_message_is_not_told_again),
		T(test_loop_change_of_a_running_thread_does_not_make_it_runnable),
		T(test_loop_helper_drains_the_queue_it_was_woken_for),
		T(test_loop_help_for_a_cpu_that_is_not_there_is_ignored),
		T(test_loop_wakeups_travel_with_the_commit),
		T(test_loop_wakeup_in_an_unseen_transaction_is_not_lost),
		T(test_loop_message_behind_a_helper_is_not_left_behind),
		T(test_loop_overflow_behind_a_helper_is_not_left_behind),
		T(test_loop_queue_that_was_made_is_read_like_that_of_a_cpu),
		T(test_loop_rebuild_does_not_revive_the_dead),
		T(test_loop_ends_when_the_enclave_is_lost),
		T(test_loop_stop_ends_agents_that_wait),
		T(test_loop_stop_leaves_no_agent_in_the_class),
		T(test_loop_wrong_arguments_are_refused),
		T(test_loop_agents_before_may_remove_their_queue_at_the_same_time),
		T(test_loop_agents_that_wait_take_nothing_that_is_not_as_it_was),
		T(test_loop_agents_wait_for_others_by_the_clock),
		T(test_loop_parameters_are_checked_and_handed_on),
		T(test_loop_start_in_a_taken_enclave_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
