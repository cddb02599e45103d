// SPDX-License-Identifier: GPL-2.0-only
/*
 * The producer's side of a queue: order, limits, hostile consumers, threads.
 * In: core/queue.h over plain memory. Out: TAP. Also run under the thread sanitizer.
 */
#include "tests/check.h"
#include "tests/unit/port_fake.h"

#include "core/queue.h"

#include <pthread.h>
#include <sched.h>

static struct ghost_queue *const q = &fake.page[1][0].queue;
static struct ghost_cpu_rw *const rw = &fake.rw[1][0];

static int setup(void **state)
{
	fake_reset();
	return 0;
}

static int push(__u32 seq)
{
	struct ghost_msg m = { .type = GHOST_MSG_TASK_WAKEUP, .slot = 7, .seq = seq };

	return queue_push(q, &rw->queue_tail, &m);
}

static void push_then_pop(__u32 seq)
{
	struct ghost_msg m;

	assert_int_equal(push(seq), 0);
	assert_true(fake_pop(1, 0, &m));
	assert_int_equal(m.seq, seq);
}

/* Every field arrives, also those the producer adds: position and length. */
static void test_queue_message_arrives_whole(void **state)
{
	struct ghost_msg m = {
		.type = GHOST_MSG_TASK_PREEMPT,
		.slot = 3,
		.seq = 4,
		.gtid = 5ull << 32 | 6,
		.time_ns = 7,
		.runtime_ns = 8,
		.cpu = 9,
		.flags = 10,
		.reason = 11,
		.nice = -12,
	};
	struct ghost_msg got;

	assert_int_equal(queue_push(q, &rw->queue_tail, &m), 0);
	assert_true(fake_pop(1, 0, &got));
	m.position = 1;
	m.len = sizeof(m);
	assert_memory_equal(&got, &m, sizeof(m));
}

/* Fill and drain in bursts of changing size, several laps: first in, first out. */
static void test_queue_keeps_order_over_many_laps(void **state)
{
	struct ghost_msg m;
	__u32 in = 0, out = 0;

	while (in < 10 * GHOST_QUEUE_LEN) {
		for (__u32 i = 0; i < 1 + in % 97; i++)
			assert_int_equal(push(in++), 0);
		while (fake_pop(1, 0, &m))
			assert_int_equal(m.seq, out++);
		assert_int_equal(in, out);
	}
	assert_int_equal(q->overflow, 0);
}

/* Positions start just below 2^32, on a ring whose slots have all been used. */
static void test_queue_positions_wrap_over_32_bits(void **state)
{
	__u32 start = 0u - GHOST_QUEUE_LEN / 2 - 3;
	struct ghost_msg m;

	q->head = rw->queue_tail = start - GHOST_QUEUE_LEN;
	for (__u32 i = 0; i < GHOST_QUEUE_LEN; i++)
		push_then_pop(i);
	assert_int_equal(q->head, start);
	for (__u32 i = 0; i < GHOST_QUEUE_LEN; i++)
		assert_int_equal(push(i), 0);
	assert_true(q->head < start); /* wrapped */
	assert_int_equal(push(0), -1);
	for (__u32 i = 0; i < GHOST_QUEUE_LEN; i++) {
		assert_true(fake_pop(1, 0, &m));
		assert_int_equal(m.seq, i);
	}
	assert_false(fake_pop(1, 0, &m));
}

/* One more than fits: refused, counted, and all that was there is still there. */
static void test_queue_full_is_counted_and_overwrites_nothing(void **state)
{
	struct ghost_msg m;

	for (__u32 i = 0; i < GHOST_QUEUE_LEN; i++)
		assert_int_equal(push(i), 0);
	for (__u32 i = 0; i < 5; i++)
		assert_int_equal(push(1000 + i), -1);
	assert_int_equal(q->overflow, 5);
	assert_int_equal(q->head, GHOST_QUEUE_LEN);
	/* Room for one after one was taken, not more. */
	assert_true(fake_pop(1, 0, &m));
	assert_int_equal(m.seq, 0);
	assert_int_equal(push(GHOST_QUEUE_LEN), 0);
	assert_int_equal(push(1000), -1);
	for (__u32 i = 1; i <= GHOST_QUEUE_LEN; i++) {
		assert_true(fake_pop(1, 0, &m));
		assert_int_equal(m.seq, i);
	}
	assert_false(fake_pop(1, 0, &m));
	assert_int_equal(q->overflow, 6);
}

/* Whatever the agent writes into its tail, nothing outside the ring is touched. */
static void test_queue_hostile_tail_never_leaves_the_ring(void **state)
{
	static const __u32 tails[] = { 1,	   511,	       512,	   513,	       0x7fffffff,
				       0x80000000, 0xfffffdff, 0xfffffe00, 0xffffffff, 0x12345678 };
	struct {
		char before[4096];
		struct ghost_queue q;
		char after[4096];
	} guard;

	for (size_t t = 0; t < ARRAY_LEN(tails); t++)
		for (__u32 head = 0; head < 2000; head += 37) {
			struct ghost_msg m = { .type = GHOST_MSG_TASK_NEW, .seq = 99 };
			__u32 tail = tails[t];
			int room, err;

			memset(&guard, 0x5a, sizeof(guard));
			guard.q.head = head;
			guard.q.overflow = 0;
			room = head - tail < GHOST_QUEUE_LEN;
			err = queue_push(&guard.q, &tail, &m);
			assert_int_equal(err, room ? 0 : -1);
			assert_int_equal(guard.q.overflow, room ? 0 : 1);
			assert_int_equal(guard.q.head, head + room);
			for (size_t i = 0; i < sizeof(guard.before); i++) {
				assert_int_equal(guard.before[i], 0x5a);
				assert_int_equal(guard.after[i], 0x5a);
			}
			/* And of the ring, no message but the one reserved. */
			for (__u32 i = 0; i < GHOST_QUEUE_LEN; i++)
				if (!room || i != (head & GHOST_QUEUE_MASK))
					assert_int_equal(guard.q.msg[i].position, 0x5a5a5a5a);
		}
}

/* An agent that moves its tail at every look gets garbage, and the producer returns. */
static void jump_tail(void)
{
	rw->queue_tail = q->head - GHOST_QUEUE_LEN / 2;
	q->head += 3; /* as other producers would */
}

static void test_queue_producer_that_always_loses_gives_up(void **state)
{
	fake.step = jump_tail;
	assert_int_equal(push(1), -1);
	fake.step = NULL;
	assert_int_equal(q->overflow, 1);
}

/* Stop the producer at each of its accesses: until the last, nothing can be popped. */
static __u32 steps_left;
static int seen_early;

static void look_at_step(void)
{
	struct ghost_msg m;
	__u32 tail = rw->queue_tail;

	if (fake_pop(1, 0, &m)) {
		seen_early++;
		rw->queue_tail = tail;
	}
	steps_left++;
}

static void test_queue_half_written_message_is_invisible(void **state)
{
	struct ghost_msg m;

	/* On the second lap as well, where the slot holds an old message. */
	for (__u32 i = 0; i < 2 * GHOST_QUEUE_LEN; i++) {
		steps_left = 0;
		fake.step = look_at_step;
		assert_int_equal(push(i), 0);
		fake.step = NULL;
		assert_int_equal(steps_left, 4); /* head, tail, reserve, publish */
		assert_int_equal(seen_early, 0);
		assert_true(fake_pop(1, 0, &m));
		assert_int_equal(m.seq, i);
	}
}

/* A reserved slot that is not yet written hides the ones behind it: order holds. */
static void test_queue_unwritten_message_holds_back_later_ones(void **state)
{
	struct ghost_msg m;

	q->head = 1; /* a producer has reserved position 0 and is still writing */
	assert_int_equal(push(2), 0);
	assert_false(fake_pop(1, 0, &m));
	q->msg[0].seq = 1;
	port_store_release(&q->msg[0].position, 1);
	assert_true(fake_pop(1, 0, &m));
	assert_int_equal(m.seq, 1);
	assert_true(fake_pop(1, 0, &m));
	assert_int_equal(m.seq, 2);
}

/* Two producers and a consumer that pauses now and then, so that the ring also fills up. */
#define STRESS_MSGS 200000

static __u32 pushed[2];
static __u32 dropped[2];
static __u32 running;

static void *produce(void *arg)
{
	__u32 who = (__u32)(uintptr_t)arg, n = 0;

	for (__u32 i = 0; i < STRESS_MSGS; i++) {
		struct ghost_msg m = { .type = GHOST_MSG_TASK_WAKEUP, .slot = who, .seq = n + 1 };

		m.gtid = (__u64)who << 32 | m.seq;
		m.time_ns = m.gtid * 3;
		if (queue_push(q, &rw->queue_tail, &m)) {
			dropped[who]++;
			sched_yield();
		} else {
			pushed[who] = ++n;
		}
	}
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void test_queue_two_producers_one_consumer_lose_nothing_uncounted(void **state)
{
	pthread_t thread[2];
	__u32 last[2] = { 0, 0 };
	struct ghost_msg m;
	int more = 1;

	running = 2;
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, produce, (void *)i), 0);
	while (more) {
		more = __atomic_load_n(&running, __ATOMIC_ACQUIRE) != 0;
		while (fake_pop(1, 0, &m)) {
			assert_true(m.slot < 2);
			assert_int_equal(m.seq, last[m.slot] + 1);
			assert_int_equal(m.gtid, (__u64)m.slot << 32 | m.seq);
			assert_int_equal(m.time_ns, m.gtid * 3);
			last[m.slot] = m.seq;
		}
		sched_yield();
	}
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	while (fake_pop(1, 0, &m))
		last[m.slot] = m.seq;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(last[i], pushed[i]);
		assert_int_equal(pushed[i] + dropped[i], STRESS_MSGS);
	}
	assert_int_equal(q->overflow, dropped[0] + dropped[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_queue_message_arrives_whole, setup),
		cmocka_unit_test_setup(test_queue_keeps_order_over_many_laps, setup),
		cmocka_unit_test_setup(test_queue_positions_wrap_over_32_bits, setup),
		cmocka_unit_test_setup(test_queue_full_is_counted_and_overwrites_nothing, setup),
		cmocka_unit_test_setup(test_queue_hostile_tail_never_leaves_the_ring, setup),
		cmocka_unit_test_setup(test_queue_producer_that_always_loses_gives_up, setup),
		cmocka_unit_test_setup(test_queue_half_written_message_is_invisible, setup),
		cmocka_unit_test_setup(test_queue_unwritten_message_holds_back_later_ones, setup),
		cmocka_unit_test_setup(test_queue_two_producers_one_consumer_lose_nothing_uncounted,
				       setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
