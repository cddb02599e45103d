// SPDX-License-Identifier: GPL-2.0-only
/*
 * The producer's side of a queue: order, limits, hostile consumers, threads;
 * and queues that agents make: their place, their end, whose they are.
 * In: core/queue.h over plain memory; GHOST_TEST_SEED. Out: TAP. Also run
 * under the thread sanitizer.
 */
#define FAKE_RING_MADE 2048
#include "tests/unit/event_fake.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static struct ghost_queue *const q = &fake.page[1][0].queue;
static struct ghost_cpu_rw *const rw = &fake.rw[1][0];
static struct fake before;

static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	return 0;
}

static int push(__u32 seq)
{
	struct ghost_msg m = { .type = GHOST_MSG_TASK_WAKEUP, .slot = 7, .seq = seq };

	return queue_push(q, 1, &rw->queue_tail, &m);
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
		.cpu_seq = 13,
		.arg = 14ull << 32 | 15,
	};
	struct ghost_msg got;

	assert_int_equal(queue_push(q, 1, &rw->queue_tail, &m), 0);
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

/* Whatever the agent writes into its tail, nothing but the message reserved is touched. */
static void test_queue_hostile_tail_never_leaves_the_ring(void **state)
{
	static const __u32 tails[] = { 1,	   511,	       512,	   513,	       0x7fffffff,
				       0x80000000, 0xfffffdff, 0xfffffe00, 0xffffffff, 0x12345678 };
	/* The second queue of the ring has neighbours on both sides. */
	struct ghost_queue *mine = &fake.page[1][1].queue;

	for (size_t t = 0; t < ARRAY_LEN(tails); t++)
		for (__u32 head = 0; head < 2000; head += 37) {
			struct ghost_msg m = { .type = GHOST_MSG_TASK_NEW, .seq = 99 };
			__u32 tail = tails[t], at;
			int room, err;

			memset(fake.ring, 0x5a, sizeof(fake.ring));
			mine->head = head;
			mine->overflow = 0;
			room = head - tail < GHOST_QUEUE_LEN;
			err = queue_push(mine, 1, &tail, &m);
			assert_int_equal(err, room ? 0 : -1);
			assert_int_equal(mine->overflow, room ? 0 : 1);
			assert_int_equal(mine->head, head + room);
			at = mine->first + head % GHOST_QUEUE_LEN;
			for (__u32 i = 0; i < FAKE_RING; i++)
				assert_int_equal(fake.ring[1][i].position,
						 room && i == at ? head + 1 : 0x5a5a5a5a);
		}
}

/* Its record may lie outside the ring it has: then it is full. */
static void test_queue_past_the_end_of_the_ring_takes_nothing(void **state)
{
	q->first = FAKE_RING;
	before = fake;
	assert_int_equal(push(1), -1);
	before.page[1][0].queue.overflow = 1;
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_queue_that_is_not_there_takes_nothing(void **state)
{
	q->len = 0;
	before = fake;
	assert_int_equal(push(1), -1);
	before.page[1][0].queue.overflow = 1;
	assert_memory_equal(&fake, &before, sizeof(fake));
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
	fake.ring[1][q->first].seq = 1;
	port_store_release(&fake.ring[1][q->first].position, 1);
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
		if (queue_push(q, 1, &rw->queue_tail, &m)) {
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

/* --- queues that agents make ----------------------------------------------------- */

#define MADE FAKE_CPUS		       /* the number of the first one */
#define CPUS_LEN (4 * GHOST_QUEUE_LEN) /* of enclave 1 */

static const __u32 no_enclave[] = { 0, FAKE_ENCLAVES, GHOST_ENCLAVES_MAX, ~0u };
static const __u32 no_queue[] = { MADE,
				  MADE + 63,
				  FAKE_QUEUES,
				  FAKE_QUEUES + 1,
				  GHOST_CPUS_MAX,
				  4 /* another enclave's CPU */,
				  6 /* nobody's */,
				  ~0u - 1 };

/* Who makes one reads it from the beginning. */
static __u32 make(__u32 len)
{
	int queue = queue_create(1, len);

	assert_in_range(queue, MADE, FAKE_QUEUES - 1);
	fake.rw[1][queue].queue_tail = 0;
	return queue;
}

static void destroy(__u32 queue)
{
	assert_int_equal(queue_destroy(1, queue), 0);
}

static void beats(int nr)
{
	while (nr-- > 0)
		queue_beat(1);
}

static void push_made(__u32 queue, __u32 seq)
{
	struct ghost_msg m = { .type = GHOST_MSG_TASK_WAKEUP, .slot = 7, .seq = seq };

	assert_int_equal(
		queue_push(&fake.page[1][queue].queue, 1, &fake.rw[1][queue].queue_tail, &m), 0);
}

#define refused(want, call)                                        \
	do {                                                       \
		before = fake;                                     \
		assert_int_equal(call, want);                      \
		assert_memory_equal(&fake, &before, sizeof(fake)); \
	} while (0)

static void test_queue_made_one_is_empty_and_wakes_nobody(void **state)
{
	__u32 queue = make(256);
	const struct ghost_queue *made = &fake.page[1][queue].queue;
	struct ghost_msg m;

	assert_int_equal(queue, MADE);
	assert_int_equal(made->len, 256);
	assert_int_equal(made->first, CPUS_LEN);
	assert_int_equal(made->head, 0);
	assert_int_equal(made->overflow, 0);
	assert_int_equal(made->nr_wake, 0);
	assert_int_equal(fake.enclave[1].making, 0);
	assert_false(fake_pop(1, queue, &m));
	/* Only its own enclave has it. */
	assert_int_equal(fake.page[2][queue].queue.len, 0);
	for (__u32 i = 0; i < 1000; i++) {
		push_made(queue, i);
		assert_true(fake_pop(1, queue, &m));
		assert_int_equal(m.seq, i);
	}
}

static void test_queue_of_a_wrong_length_is_refused(void **state)
{
	static const __u32 lens[] = {
		0,	  3,  5, 511, 513, 0x60, 2 * GHOST_QUEUE_LEN_MAX, GHOST_QUEUE_LEN_MAX + 1,
		1u << 31, ~0u
	};

	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		refused(-E_INVAL, queue_create(1, lens[i]));
}

static void test_queue_requests_about_no_enclave_are_refused(void **state)
{
	static const struct ghost_ctl nobody;
	__u32 queue = make(8), s = thread_in(CORE_TASK_CUSTODY);

	for (size_t i = 0; i < ARRAY_LEN(no_enclave); i++) {
		refused(-E_NOENT, queue_create(no_enclave[i], 8));
		refused(-E_NOENT, queue_destroy(no_enclave[i], queue));
		refused(-E_NOENT, queue_default(no_enclave[i], queue));
		refused(-E_NOENT, queue_default(no_enclave[i], GHOST_QUEUE_NONE));
		refused(-E_NOENT, queue_wake(no_enclave[i], queue, &nobody));
		refused(-E_NOENT, queue_assoc(no_enclave[i], queue, s, fake.task[s].seq));
	}
	fake.enclave[2].state = GHOST_ENCLAVE_FREE;
	refused(-E_NOENT, queue_create(2, 8));
	refused(-E_NOENT, queue_default(2, GHOST_QUEUE_NONE));
	/* Another enclave's queue is none of ours. */
	fake.enclave[2].state = GHOST_ENCLAVE_ONLINE;
	refused(-E_NOENT, queue_destroy(2, queue));
	refused(-E_NOENT, queue_default(2, queue));
	refused(-E_NOENT, queue_wake(2, queue, &nobody));
	refused(-E_NOENT, queue_assoc(2, queue, s, fake.task[s].seq));
}

static void test_queue_requests_about_no_queue_are_refused(void **state)
{
	static const struct ghost_ctl nobody;
	__u32 s = thread_in(CORE_TASK_CUSTODY);

	for (size_t i = 0; i < ARRAY_LEN(no_queue); i++) {
		refused(-E_NOENT, queue_destroy(1, no_queue[i]));
		refused(-E_NOENT, queue_default(1, no_queue[i]));
		refused(-E_NOENT, queue_wake(1, no_queue[i], &nobody));
		refused(-E_NOENT, queue_assoc(1, no_queue[i], s, fake.task[s].seq));
	}
	refused(-E_NOENT, queue_destroy(1, GHOST_QUEUE_NONE));
	refused(-E_NOENT, queue_assoc(1, GHOST_QUEUE_NONE, s, fake.task[s].seq));
	refused(-E_NOENT, queue_wake(1, GHOST_QUEUE_NONE, &nobody));
}

/* That of a CPU stays as long as the CPU. */
static void test_queue_of_a_cpu_cannot_be_removed(void **state)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		refused(-E_NOENT, queue_destroy(1, cpu));
}

static void test_queue_removed_one_cannot_be_removed_again(void **state)
{
	__u32 queue = make(8);

	destroy(queue);
	for (int i = 0; i < 5; i++) {
		refused(-E_NOENT, queue_destroy(1, queue));
		beats(1);
	}
}

/* Somebody else is at it, on another CPU. */
static void test_queue_two_at_once_are_told_to_try_again(void **state)
{
	__u32 queue = make(8), gone = make(8);

	destroy(gone);
	fake.enclave[1].making = 1;
	refused(-E_AGAIN, queue_create(1, 8));
	refused(-E_AGAIN, queue_destroy(1, queue));
	before = fake;
	beats(10);
	assert_memory_equal(&fake, &before, sizeof(fake));
	fake.enclave[1].making = 0;
	destroy(queue);
	assert_int_equal(fake.enclave[1].making, 0);
}

static void test_queue_ring_has_an_end(void **state)
{
	/* One after the other, as long as there is room. */
	assert_int_equal(fake.page[1][make(1024)].queue.first, CPUS_LEN);
	assert_int_equal(fake.page[1][make(512)].queue.first, CPUS_LEN + 1024);
	refused(-E_NOSPC, queue_create(1, 1024));
	assert_int_equal(fake.page[1][make(512)].queue.first, CPUS_LEN + 1536);
	refused(-E_NOSPC, queue_create(1, 1));
	/* And in the other enclave it begins after that one's CPUs. */
	assert_int_equal(queue_create(2, 2048), MADE);
	assert_int_equal(fake.page[2][MADE].queue.first, 2 * GHOST_QUEUE_LEN);
	refused(-E_NOSPC, queue_create(2, 1));
}

static void test_queue_numbers_have_an_end(void **state)
{
	for (__u32 i = 0; i < GHOST_QUEUES_MADE; i++)
		assert_int_equal(make(1), MADE + i);
	refused(-E_NOSPC, queue_create(1, 1));
	destroy(MADE + 17);
	refused(-E_NOSPC, queue_create(1, 1)); /* its number is kept as long as its place */
	beats(QUEUE_GONE_BEATS + 1);
	assert_int_equal(make(1), MADE + 17);
}

/* A producer may have looked it up just before: it writes where nobody else is. */
static void test_queue_place_of_a_removed_one_is_kept_for_some_beats(void **state)
{
	__u32 queue = make(2048);

	destroy(queue);
	assert_int_equal(fake.page[1][queue].queue.len, 0);
	for (int i = 0; i < QUEUE_GONE_BEATS; i++) {
		refused(-E_NOSPC, queue_create(1, 1));
		beats(1);
	}
	refused(-E_NOSPC, queue_create(1, 1)); /* so many whole ones, at least */
	beats(1);
	assert_int_equal(make(2048), queue);
	assert_int_equal(fake.page[1][queue].queue.first, CPUS_LEN);
}

static void test_queue_beats_are_counted_for_each_alone(void **state)
{
	__u32 a = make(1024), b = make(1024);

	destroy(a);
	beats(2);
	destroy(b);
	beats(1);
	assert_int_equal(make(1024), a);
	refused(-E_NOSPC, queue_create(1, 1));
	beats(2);
	assert_int_equal(make(1024), b);
}

static void test_queue_made_where_another_was_has_no_message_of_that_one(void **state)
{
	__u32 queue = make(64);
	struct ghost_msg m;

	for (__u32 i = 0; i < 64; i++)
		push_made(queue, 1000 + i);
	destroy(queue);
	beats(QUEUE_GONE_BEATS + 1);
	assert_int_equal(make(64), queue);
	assert_false(fake_pop(1, queue, &m));
	push_made(queue, 1);
	assert_true(fake_pop(1, queue, &m));
	assert_int_equal(m.seq, 1);
	assert_false(fake_pop(1, queue, &m));
}

/* Its reader has read the last one with that number, and the number begins anew. */
static void test_queue_made_again_has_room_from_the_beginning(void **state)
{
	__u32 queue = make(64);
	struct ghost_msg m;

	for (__u32 i = 0; i < 10; i++) {
		push_made(queue, i);
		assert_true(fake_pop(1, queue, &m));
	}
	destroy(queue);
	beats(QUEUE_GONE_BEATS + 1);
	assert_int_equal(make(64), queue);
	for (__u32 i = 0; i < 64; i++)
		push_made(queue, i);
	for (__u32 i = 0; i < 64; i++) {
		assert_true(fake_pop(1, queue, &m));
		assert_int_equal(m.seq, i);
	}
}

/* Two small ones were where the large one is to be; nothing is left of them. */
static void test_queue_removed_ones_leave_their_whole_place(void **state)
{
	__u32 a = make(1024), b = make(1024);

	destroy(a);
	destroy(b);
	beats(QUEUE_GONE_BEATS + 1);
	assert_int_equal(fake.page[1][make(2048)].queue.first, CPUS_LEN);
}

/* The first gap that is large enough is taken. */
static void test_queue_gap_between_two_is_used(void **state)
{
	__u32 a = make(256), b = make(512), c = make(256);

	destroy(b);
	beats(QUEUE_GONE_BEATS + 1);
	assert_int_equal(fake.page[1][make(1024)].queue.first, CPUS_LEN + 1024);
	assert_int_equal(fake.page[1][make(256)].queue.first, CPUS_LEN + 256);
	assert_int_equal(fake.page[1][make(256)].queue.first, CPUS_LEN + 512);
	assert_int_equal(fake.page[1][a].queue.first, CPUS_LEN);
	assert_int_equal(fake.page[1][c].queue.first, CPUS_LEN + 768);
}

static void assert_places_apart(void)
{
	static char owner[FAKE_RING];

	memset(owner, 0, sizeof(owner));
	for (__u32 i = 0; i < FAKE_QUEUES; i++) {
		const struct ghost_queue *at = &fake.page[1][i].queue;
		__u32 len = at->len ? at->len : at->gone_len;

		if (!len)
			continue;
		assert_true(at->first + len <= fake.enclave[1].ring_len);
		assert_int_equal(at->first >= CPUS_LEN, i >= MADE);
		for (__u32 k = 0; k < len; k++) {
			assert_int_equal(owner[at->first + k], 0);
			owner[at->first + k] = 1 + i;
		}
	}
}

/* Is there a gap of @len? */
static int gap(__u32 len)
{
	static char used[FAKE_RING];
	__u32 run = 0;

	memset(used, 0, sizeof(used));
	for (__u32 i = MADE; i < FAKE_QUEUES; i++) {
		const struct ghost_queue *at = &fake.page[1][i].queue;

		memset(used + at->first, 1, at->len ? at->len : at->gone_len);
	}
	for (__u32 i = CPUS_LEN; i < fake.enclave[1].ring_len; i++) {
		run = used[i] ? 0 : run + 1;
		if (run == len)
			return 1;
	}
	return 0;
}

static int free_number(void)
{
	for (__u32 i = MADE; i < FAKE_QUEUES; i++)
		if (!fake.page[1][i].queue.len && !fake.page[1][i].queue.gone_len)
			return 1;
	return 0;
}

/* Returns how often none could be made although there was a gap, or -1 if nothing was tried. */
static int random_ones(void)
{
	const char *env = getenv("GHOST_TEST_SEED");
	unsigned int seed = env ? strtoul(env, NULL, 0) : 1;
	int made = 0, no_space = 0, no_gap_found = 0;

	printf("# GHOST_TEST_SEED=%u\n", seed);
	for (int i = 0; i < 20000; i++) {
		__u32 len = 1u << rand_r(&seed) % 11, queue = MADE + rand_r(&seed) % 64;
		int what = rand_r(&seed) % 8, ret, room;

		if (what < 4) {
			room = gap(len) && free_number();
			ret = queue_create(1, len);
			if (ret >= 0) {
				made++;
				assert_true(room);
				assert_places_apart();
			} else {
				assert_int_equal(ret, -E_NOSPC);
				no_space++;
				no_gap_found += room;
			}
		} else if (what < 7) {
			ret = fake.page[1][queue].queue.len ? 0 : -E_NOENT;
			assert_int_equal(queue_destroy(1, queue), ret);
		} else {
			beats(1);
		}
	}
	return made > 1000 && no_space > 100 ? no_gap_found : -1;
}

/* Whatever is made and removed in whatever order: no place has two owners. */
static void test_queue_random_ones_never_overlap(void **state)
{
	assert_true(random_ones() >= 0);
}

static void test_queue_random_ones_fit_where_there_is_a_gap(void **state)
{
	assert_int_equal(random_ones(), 0);
}

/* --- the default -------------------------------------------------------------------- */

static void test_queue_default_gets_new_threads(void **state)
{
	__u32 old = thread_join(1, 1, ALL_CPUS, 0), queue = make(64), s;

	drop_msgs();
	assert_int_equal(queue_default(1, queue), 0);
	assert_int_equal(fake.enclave[1].default_queue, queue);
	assert_int_equal(fake_es(1)->default_queue, queue);
	s = thread_join(1, 2, ALL_CPUS, 0);
	assert_int_equal(fake.task[s].queue, queue);
	assert_int_equal(fake.status[1][s].queue, queue);
	assert_in_range(fake.status[1][s].cpu, 0, 3); /* a CPU, whichever: not the queue */
	expect_msg_in(1, queue, GHOST_MSG_TASK_NEW, s);
	/* Those that were there stay where they are. */
	thread_nice(old, 3);
	expect_msg(0, GHOST_MSG_TASK_PRIORITY_CHANGED, old);
	/* And back: each has that of a CPU. */
	assert_int_equal(queue_default(1, GHOST_QUEUE_NONE), 0);
	assert_int_equal(fake_es(1)->default_queue, GHOST_QUEUE_NONE);
	s = thread_join(1, 3, ALL_CPUS, 0);
	assert_in_range(fake.task[s].queue, 0, 3);
	/* It may be that of a CPU, too: all news for one agent. */
	assert_int_equal(queue_default(1, 3), 0);
	for (__u32 i = 0; i < 5; i++)
		assert_int_equal(fake.task[thread_join(1, 10 + i, ALL_CPUS, 0)].queue, 3);
	assert_int_equal(fake.task[thread_join(2, 20, ALL_CPUS, 0)].queue, 4);
}

/* With a default, what a CPU commits for itself does not change whose the thread is. */
static void test_queue_default_keeps_threads_that_a_cpu_commits(void **state)
{
	__u32 queue = make(64), s;

	assert_int_equal(queue_default(1, queue), 0);
	s = thread_join(1, 2, ALL_CPUS, 1);
	thread_enqueue(s, EVENT_WAKEUP, 0);
	expect_msg_in(1, queue, GHOST_MSG_TASK_NEW, s);
	assert_int_equal(thread_commit(s, 2), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.task[s].queue, queue);
	assert_int_equal(fake.status[1][s].queue, queue);
	assert_int_equal(fake.status[1][s].cpu, 2);
	thread_run(s, 2);
	thread_block(s);
	expect_msg_in(1, queue, GHOST_MSG_TASK_BLOCKED, s);
	expect_no_msg();
}

static void test_queue_removed_default_is_none_any_more(void **state)
{
	__u32 queue = make(64), other = make(64);

	assert_int_equal(queue_default(1, queue), 0);
	destroy(other);
	assert_int_equal(fake.enclave[1].default_queue, queue);
	destroy(queue);
	assert_int_equal(fake.enclave[1].default_queue, GHOST_QUEUE_NONE);
	assert_int_equal(fake_es(1)->default_queue, GHOST_QUEUE_NONE);
	assert_in_range(fake.task[thread_join(1, 2, ALL_CPUS, 0)].queue, 0, 3);
}

/* A slot whose previous user had a queue that is none any more. */
static void test_queue_slot_used_again_does_not_inherit_a_made_one(void **state)
{
	__u32 queue = make(64), s;

	assert_int_equal(queue_default(1, queue), 0);
	s = thread_join(1, 2, ALL_CPUS, 0);
	thread_gone(s, 1);
	assert_int_equal(queue_default(1, GHOST_QUEUE_NONE), 0);
	assert_int_equal(thread_join(1, 3, ALL_CPUS, 0), s);
	assert_in_range(fake.task[s].queue, 0, 3);
}

/* --- threads whose queue is gone ------------------------------------------------------ */

static void assoc_now(__u32 s, __u32 queue)
{
	assert_int_equal(queue_assoc(1, queue, s, fake.task[s].seq), 0);
	thread_nice(s, 1);
	assert_int_equal(fake.task[s].queue, queue);
	drop_msgs();
}

static void test_queue_thread_of_a_removed_one_gets_the_default(void **state)
{
	__u32 queue = make(64), next = make(64), s = thread_in(CORE_TASK_BLOCKED);

	assoc_now(s, queue);
	assert_int_equal(queue_default(1, next), 0);
	destroy(queue);
	assert_int_equal(fake.task[s].queue, queue); /* until it has something to tell */
	thread_enqueue(s, EVENT_WAKEUP, 0);
	expect_msg_in(1, next, GHOST_MSG_TASK_WAKEUP, s);
	assert_int_equal(fake.task[s].queue, next);
	assert_int_equal(fake.status[1][s].queue, next);
	expect_no_msg();
}

/* Without a default it is that of the CPU where it is; one elsewhere has the first of the enclave. */
static void test_queue_thread_of_a_removed_one_gets_that_of_its_cpu(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_CUSTODY), away;

	assoc_now(s, queue);
	assert_int_equal(thread_commit(s, 2), GHOST_TXN_COMMITTED);
	thread_run(s, 2);
	destroy(queue);
	thread_block(s);
	expect_msg(2, GHOST_MSG_TASK_BLOCKED, s);
	assert_int_equal(fake.status[1][s].queue, 2);
	/* And is its commits' again: where the next CPU takes it, it belongs. */
	thread_enqueue(s, EVENT_WAKEUP, 2);
	expect_msg(2, GHOST_MSG_TASK_WAKEUP, s);
	assert_int_equal(thread_commit(s, 1), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.task[s].queue, 1);

	away = thread_in(CORE_TASK_BLOCKED);
	beats(QUEUE_GONE_BEATS + 1);
	queue = make(64);
	assoc_now(away, queue);
	fake.status[1][away].cpu = 6;
	destroy(queue);
	thread_nice(away, 2);
	expect_msg(0, GHOST_MSG_TASK_PRIORITY_CHANGED, away);
}

/* --- who is woken ----------------------------------------------------------------------- */

static int wake_list(__u32 queue, __u32 nr, const __u64 *cpus)
{
	struct ghost_ctl ctl = { .len = nr };

	for (__u32 i = 0; i < nr && i < GHOST_CPU_WORDS; i++)
		ctl.cpus[i] = cpus[i];
	return queue_wake(1, queue, &ctl);
}

#define wake(queue, ...) \
	wake_list(queue, sizeof((__u64[]){ __VA_ARGS__ }) / sizeof(__u64), (__u64[]){ __VA_ARGS__ })

static void assert_seqs(__u32 a, __u32 b, __u32 c, __u32 d)
{
	const __u32 want[] = { a, b, c, d };

	for (__u32 cpu = 0; cpu < 4; cpu++)
		assert_int_equal(fake.page[1][cpu].agent_seq, want[cpu]);
}

static void forget_seqs(void)
{
	for (__u32 cpu = 0; cpu < 4; cpu++)
		fake.page[1][cpu].agent_seq = 0;
}

static void test_queue_wakes_the_cpus_of_its_enclave_and_no_others(void **state)
{
	static const __u64 wrong[] = { 4 /* another enclave's */,
				       6 /* nobody's */,
				       FAKE_CPUS,
				       GHOST_CPUS_MAX,
				       GHOST_CPU_NONE,
				       1ull << 32,
				       ~0ull };
	__u32 queue = make(64);

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		refused(-E_INVAL, wake(queue, wrong[i]));
		refused(-E_INVAL, wake(queue, 0, 1, 2, wrong[i]));
	}
	refused(-E_NOENT, wake(queue + 1, 0));
	assert_int_equal(wake(queue, 3, 1, 0, 2), 0);
	assert_int_equal(fake.page[1][queue].queue.nr_wake, 4);
	assert_int_equal(fake.page[1][queue].queue.wake[0], 3);
	assert_int_equal(fake.page[1][queue].queue.wake[3], 2);
	assert_int_equal(wake(queue, 2), 0);
	assert_int_equal(fake.page[1][queue].queue.nr_wake, 1);
	assert_int_equal(fake.page[1][queue].queue.wake[0], 2);
	assert_int_equal(wake_list(queue, 0, NULL), 0);
	assert_int_equal(fake.page[1][queue].queue.nr_wake, 0);
}

static void test_queue_wakes_not_more_than_its_record_holds(void **state)
{
	__u32 queue = make(64);

	refused(-E_INVAL, wake(queue, 0, 1, 2, 3, 0));
	refused(-E_INVAL, wake_list(queue, ~0u, (__u64[GHOST_CPU_WORDS]){ 0 }));
	assert_int_equal(wake(queue, 0, 1, 2, 3), 0);
	assert_int_equal(fake.page[1][queue].queue.nr_wake, GHOST_WAKES_MAX);
}

static void test_queue_message_is_news_for_those_it_wakes(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_BLOCKED);

	assoc_now(s, queue);
	forget_seqs();
	thread_nice(s, 2); /* polled: news for nobody */
	assert_seqs(0, 0, 0, 0);
	assert_int_equal(wake(queue, 1, 3), 0);
	forget_seqs();
	thread_nice(s, 3);
	assert_seqs(0, 1, 0, 1);
	assert_int_equal(wake(queue, 0), 0);
	forget_seqs();
	thread_nice(s, 4);
	assert_seqs(1, 0, 0, 0);
	/* A CPU's own may be read by another one's agent. */
	s = thread_in(CORE_TASK_BLOCKED);
	assert_int_equal(wake(fake.task[s].queue, 2), 0);
	forget_seqs();
	thread_nice(s, 5);
	assert_seqs(0, 0, 1, 0);
}

/* At access number @event_at of queue_wake() there is a message. */
static int event_at, nr_accesses;
static __u32 racing;

static void maybe_event(void)
{
	void (*was)(void) = fake.step;

	if (nr_accesses++ != event_at)
		return;
	fake.step = NULL;
	thread_nice(racing, 1);
	fake.step = was;
}

/* Whoever reads it before, or whoever does after: one of them has to hear of it. */
static void test_queue_message_is_news_while_its_agents_change(void **state)
{
	for (event_at = 0;; event_at++) {
		__u32 queue;

		setup(NULL);
		queue = make(64);
		racing = thread_in(CORE_TASK_BLOCKED);
		assoc_now(racing, queue);
		assert_int_equal(wake(queue, 1), 0);
		forget_seqs();
		nr_accesses = 0;
		fake.step = maybe_event;
		assert_int_equal(wake(queue, 2), 0);
		fake.step = NULL;
		if (nr_accesses <= event_at)
			break;
		assert_true(fake.page[1][1].agent_seq + fake.page[1][2].agent_seq > 0);
	}
	assert_true(event_at > 0);
}

/* The agent of the CPU where the thread is, if it is one of them; else the first. */
static void test_queue_wake_up_wakes_one_agent_of_its_queue(void **state)
{
	static const struct {
		__u32 nr;
		__u64 wakes[4];
		__u32 last, want;
	} cases[] = {
		{ 1, { 0 }, 2, 0 },    { 1, { 3 }, 0, 3 },	    { 2, { 1, 2 }, 0, 1 },
		{ 2, { 1, 2 }, 2, 2 }, { 4, { 2, 1, 0, 3 }, 3, 3 }, { 2, { 2, 1 }, 3, 2 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		__u32 queue, s;

		setup(NULL);
		queue = make(64);
		s = thread_in(CORE_TASK_BLOCKED);
		assoc_now(s, queue);
		assert_int_equal(wake_list(queue, cases[i].nr, cases[i].wakes), 0);
		fake.status[1][s].cpu = cases[i].last;
		for (__u32 cpu = 0; cpu < 4; cpu++)
			cpu_idle_set(fake_es(1), cpu);
		thread_enqueue(s, EVENT_WAKEUP, 6);
		for (__u32 cpu = 0; cpu < 4; cpu++)
			assert_int_equal(fake.kicks[cpu], cpu == cases[i].want);
		assert_true(fake_es(1)->idle[0] == (0xf & ~(1ull << cases[i].want)));
	}
}

static void test_queue_that_is_polled_wakes_nobody(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_BLOCKED);

	assoc_now(s, queue);
	forget_seqs();
	for (__u32 cpu = 0; cpu < 4; cpu++)
		cpu_idle_set(fake_es(1), cpu);
	thread_enqueue(s, EVENT_WAKEUP, 1);
	for (__u32 cpu = 0; cpu < 4; cpu++)
		assert_int_equal(fake.kicks[cpu], 0);
	assert_true(fake_es(1)->idle[0] == 0xf);
	assert_seqs(0, 0, 0, 0);
	expect_msg_in(1, queue, GHOST_MSG_TASK_WAKEUP, s);
}

/* Nobody helps out with a queue that is not of one CPU: its agents are those named. */
static void test_queue_of_a_busy_agent_gets_no_help(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_BLOCKED);

	assoc_now(s, queue);
	assert_int_equal(wake(queue, 0), 0);
	cpu_idle_set(fake_es(1), 3);
	forget_seqs();
	thread_enqueue(s, EVENT_WAKEUP, 1);
	assert_int_equal(fake.kicks[3], 0);
	assert_seqs(1, 0, 0, 0);
	assert_int_equal(fake.page[1][3].help, 0);
}

/*
 * A CPU's own queue that another CPU's agent reads: a thread that is put back
 * there must wake that one, not the CPU whose number the queue has.
 */
static void test_queue_thread_put_back_wakes_the_reader_of_its_queue(void **state)
{
	__u32 s = thread_in(CORE_TASK_RUNNING), own = fake.task[s].queue;

	assert_int_equal(own, 0);
	assert_int_equal(wake(own, 2), 0);
	cpu_idle_set(fake_es(1), 2);
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, own);
	expect_msg(own, GHOST_MSG_TASK_PREEMPT, s);
	assert_int_equal(fake.kicks[2], 1);
}

/* Its agent sleeps on another CPU than the one where it happened: who else would tell it? */
static void test_queue_news_of_another_cpu_wakes_an_idle_agent(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_CUSTODY);

	assoc_now(s, queue);
	assert_int_equal(wake(queue, 0), 0);
	assert_int_equal(thread_commit(s, 3), GHOST_TXN_COMMITTED);
	thread_run(s, 3);
	cpu_idle_set(fake_es(1), 0);
	thread_block(s);
	expect_msg_in(1, queue, GHOST_MSG_TASK_BLOCKED, s);
	assert_int_equal(fake.page[1][0].agent_seq > 0, 1);
	assert_int_equal(fake.kicks[0], 1);
}

/* --- of one thread ------------------------------------------------------------------------ */

static void test_queue_assoc_takes_effect_with_the_next_event(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_CUSTODY), seq = fake.task[s].seq;

	assert_int_equal(queue_assoc(1, queue, s, seq), 0);
	assert_int_equal(fake.task[s].seq, seq); /* no event of its own */
	assert_int_equal(fake.status[1][s].queue, queue);
	expect_no_msg();
	thread_nice(s, 1);
	expect_msg_in(1, queue, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	expect_no_msg();
	assert_int_equal(fake.task[s].queue, queue);
	assert_int_equal(fake.status[1][s].queue, queue);
	/* From now on, whatever happens and whoever commits it. */
	assert_int_equal(thread_commit(s, 3), GHOST_TXN_COMMITTED);
	thread_run(s, 3);
	thread_block(s);
	expect_msg_in(1, queue, GHOST_MSG_TASK_BLOCKED, s);
	thread_gone(s, 1);
	expect_msg_in(1, queue, GHOST_MSG_TASK_DEAD, s);
	expect_no_msg();
	/* Whoever has the slot next is another thread. */
	assert_int_equal(thread_join(1, 44, ALL_CPUS, 0), s);
	assert_in_range(fake.task[s].queue, 0, 3);
}

static void test_queue_assoc_works_in_every_state(void **state)
{
	static const __u32 from[] = { CORE_TASK_NEW,	 CORE_TASK_BLOCKED, CORE_TASK_CUSTODY,
				      CORE_TASK_LATCHED, CORE_TASK_RUNNING, CORE_TASK_FALLBACK };

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		__u32 queue, s;

		setup(NULL);
		queue = make(64);
		s = thread_in(from[i]);
		assert_int_equal(queue_assoc(1, queue, s, fake.task[s].seq),
				 from[i] == CORE_TASK_NEW ? GHOST_ASSOC_NEW : 0);
		thread_stop(s);
		thread_gone(s, 0);
		if (from[i] == CORE_TASK_NEW)
			expect_owed(queue, s);
		expect_msg_in(1, queue, GHOST_MSG_TASK_DEPARTED, s);
		expect_no_msg();
	}
}

/* Of a new thread even the first message goes there. */
static void test_queue_assoc_before_new_gets_the_new(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_NEW);

	assert_int_equal(queue_assoc(1, queue, s, fake.task[s].seq), GHOST_ASSOC_NEW);
	thread_enqueue(s, EVENT_WAKEUP, 0);
	expect_msg_in(1, queue, GHOST_MSG_TASK_NEW, s);
	expect_no_msg();
}

static void test_queue_assoc_with_the_queue_it_has_says_so(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_BLOCKED), fresh;

	assert_int_equal(queue_assoc(1, fake.task[s].queue, s, fake.task[s].seq),
			 GHOST_ASSOC_ALREADY);
	assoc_now(s, queue);
	assert_int_equal(queue_assoc(1, queue, s, fake.task[s].seq), GHOST_ASSOC_ALREADY);
	fresh = thread_in(CORE_TASK_NEW);
	assert_int_equal(queue_assoc(1, fake.task[fresh].queue, fresh, fake.task[fresh].seq),
			 GHOST_ASSOC_ALREADY | GHOST_ASSOC_NEW);
}

/* It may be back to that of a CPU; then commits do not move it either. */
static void test_queue_assoc_with_a_cpus_own_holds_against_commits(void **state)
{
	__u32 s = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(queue_assoc(1, 3, s, fake.task[s].seq), 0);
	thread_nice(s, 1);
	expect_msg(3, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	assert_int_equal(thread_commit(s, 1), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.task[s].queue, 3);
	assert_int_equal(fake.status[1][s].queue, 3);
}

/* Who names an older number has not read all messages: the next would overtake them. */
static void test_queue_assoc_while_messages_are_unread_is_refused(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_CUSTODY), seq = fake.task[s].seq;

	thread_nice(s, 1);
	refused(-E_STALE, queue_assoc(1, queue, s, seq));
	refused(-E_STALE, queue_assoc(1, queue, s, seq + 2)); /* nor one of the future */
	thread_nice(s, 2);
	assert_int_equal(fake.task[s].queue, 0);
}

static void test_queue_assoc_of_no_thread_is_refused(void **state)
{
	__u32 queue = make(64), s = thread_in(CORE_TASK_BLOCKED), theirs, seq;

	refused(-E_NOENT, queue_assoc(1, queue, 0, 0));
	refused(-E_NOENT, queue_assoc(1, queue, FAKE_SLOTS - 1, 0)); /* nobody ever */
	refused(-E_NOENT, queue_assoc(1, queue, FAKE_SLOTS, 0));
	refused(-E_NOENT, queue_assoc(1, queue, ~0u, 0));
	theirs = thread_join(2, 9, ALL_CPUS, 0);
	refused(-E_NOENT, queue_assoc(1, queue, theirs, fake.task[theirs].seq));
	seq = fake.task[s].seq;
	thread_gone(s, 1);
	refused(-E_NOENT, queue_assoc(1, queue, s, seq));
	refused(-E_NOENT, queue_assoc(1, queue, s, fake.task[s].seq));
}

/* The second of two in a row counts, with the same number. */
static void test_queue_assoc_can_be_changed_before_it_takes_effect(void **state)
{
	__u32 a = make(64), b = make(64), s = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(queue_assoc(1, a, s, fake.task[s].seq), 0);
	assert_int_equal(queue_assoc(1, b, s, fake.task[s].seq), 0);
	assert_int_equal(fake.status[1][s].queue, b);
	thread_nice(s, 1);
	expect_msg_in(1, b, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	expect_no_msg();
}

/* The queue it was given was removed before its next event. */
static void test_queue_assoc_with_one_removed_meanwhile_gets_the_default(void **state)
{
	__u32 a = make(64), s = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(queue_assoc(1, a, s, fake.task[s].seq), 0);
	destroy(a);
	thread_nice(s, 1);
	expect_msg(0, GHOST_MSG_TASK_PRIORITY_CHANGED, s);
	assert_int_equal(fake.task[s].queue, 0);
	assert_int_equal(fake.status[1][s].queue, 0);
}

/*
 * Before each access of queue_assoc() the thread may have an event. Wherever it falls: either its message is in the new queue and the
 * answer is "done", or it is in the old one and the answer is "stale"; and so
 * it stays with the next event.
 */
static void race(__u32 ahead, int *nr_done, int *nr_stale)
{
	for (event_at = 0;; event_at++) {
		__u32 queue, seq;
		int ret;

		setup(NULL);
		queue = make(64);
		racing = thread_in(CORE_TASK_CUSTODY);
		seq = fake.task[racing].seq + ahead;
		nr_accesses = 0;
		fake.step = maybe_event;
		ret = queue_assoc(1, queue, racing, seq);
		fake.step = NULL;
		if (nr_accesses <= event_at)
			break;
		if (ret == -E_STALE) {
			(*nr_stale)++;
			expect_msg(0, GHOST_MSG_TASK_PRIORITY_CHANGED, racing);
			assert_int_equal(fake.status[1][racing].queue, 0);
		} else {
			(*nr_done)++;
			assert_int_equal(ret, 0);
			assert_int_equal(fake.status[1][racing].queue, queue);
			/* By the event in between, or by the next one. */
			if (fake.task[racing].queue == queue)
				expect_msg_in(1, queue, GHOST_MSG_TASK_PRIORITY_CHANGED, racing);
			else
				expect_msg(0, GHOST_MSG_TASK_PRIORITY_CHANGED, racing);
		}
		expect_no_msg();
		thread_nice(racing, 2);
		expect_msg_in(1, ret ? 0 : queue, GHOST_MSG_TASK_PRIORITY_CHANGED, racing);
		assert_int_equal(fake.status[1][racing].queue, ret ? 0 : queue);
		assert_true(fake.task[racing].assoc == 0);
	}
	assert_true(event_at >= 2);
}

static void test_queue_assoc_meets_an_event_at_any_moment(void **state)
{
	int done = 0, stale = 0;

	race(0, &done, &stale);
	assert_true(done && stale);
}

/* With a number of the future, too: that the event makes it true is no excuse for two answers. */
static void test_queue_assoc_of_the_next_number_meets_an_event_at_any_moment(void **state)
{
	int done = 0, stale = 0;

	race(1, &done, &stale);
	assert_true(stale);
}

/* And with an old one: an event that throws the word away must not look like one that took it. */
static void test_queue_assoc_with_an_old_number_is_stale_whatever_comes_between(void **state)
{
	int done = 0, stale = 0;

	race(-1u, &done, &stale);
	assert_int_equal(done, 0);
	assert_true(stale);
}

/* The event's side: the agent asks at any of its accesses, naming the number before it. */
static int ask_at, answer;
static __u32 ask_queue, ask_seq;

static void maybe_ask(void)
{
	if (nr_accesses++ != ask_at)
		return;
	fake.step = fake.step_after = NULL;
	answer = queue_assoc(1, ask_queue, racing, ask_seq);
}

static void test_queue_event_meets_an_assoc_at_any_moment(void **state)
{
	int done = 0, stale = 0;

	for (ask_at = 0;; ask_at++) {
		setup(NULL);
		ask_queue = make(64);
		racing = thread_in(CORE_TASK_CUSTODY);
		ask_seq = fake.task[racing].seq;
		nr_accesses = 0;
		fake.step = fake.step_after = maybe_ask;
		thread_nice(racing, 1);
		fake.step = fake.step_after = NULL;
		if (nr_accesses <= ask_at)
			break;
		if (answer == -E_STALE) {
			stale++;
			expect_msg(0, GHOST_MSG_TASK_PRIORITY_CHANGED, racing);
		} else {
			done++;
			assert_int_equal(answer, 0);
			expect_msg_in(1, ask_queue, GHOST_MSG_TASK_PRIORITY_CHANGED, racing);
		}
		expect_no_msg();
		thread_nice(racing, 2);
		expect_msg_in(1, answer ? 0 : ask_queue, GHOST_MSG_TASK_PRIORITY_CHANGED, racing);
		assert_int_equal(fake.status[1][racing].queue, answer ? 0 : ask_queue);
	}
	assert_true(done && stale);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_queue_message_arrives_whole),
		T(test_queue_keeps_order_over_many_laps),
		T(test_queue_positions_wrap_over_32_bits),
		T(test_queue_full_is_counted_and_overwrites_nothing),
		T(test_queue_hostile_tail_never_leaves_the_ring),
		T(test_queue_past_the_end_of_the_ring_takes_nothing),
		T(test_queue_that_is_not_there_takes_nothing),
		T(test_queue_producer_that_always_loses_gives_up),
		T(test_queue_half_written_message_is_invisible),
		T(test_queue_unwritten_message_holds_back_later_ones),
		T(test_queue_two_producers_one_consumer_lose_nothing_uncounted),
		T(test_queue_made_one_is_empty_and_wakes_nobody),
		T(test_queue_of_a_wrong_length_is_refused),
		T(test_queue_requests_about_no_enclave_are_refused),
		T(test_queue_requests_about_no_queue_are_refused),
		T(test_queue_of_a_cpu_cannot_be_removed),
		T(test_queue_removed_one_cannot_be_removed_again),
		T(test_queue_two_at_once_are_told_to_try_again),
		T(test_queue_ring_has_an_end),
		T(test_queue_numbers_have_an_end),
		T(test_queue_place_of_a_removed_one_is_kept_for_some_beats),
		T(test_queue_beats_are_counted_for_each_alone),
		T(test_queue_made_where_another_was_has_no_message_of_that_one),
		T(test_queue_made_again_has_room_from_the_beginning),
		T(test_queue_removed_ones_leave_their_whole_place),
		T(test_queue_gap_between_two_is_used),
		T(test_queue_random_ones_never_overlap),
		T(test_queue_random_ones_fit_where_there_is_a_gap),
		T(test_queue_default_gets_new_threads),
		T(test_queue_default_keeps_threads_that_a_cpu_commits),
		T(test_queue_removed_default_is_none_any_more),
		T(test_queue_slot_used_again_does_not_inherit_a_made_one),
		T(test_queue_thread_of_a_removed_one_gets_the_default),
		T(test_queue_thread_of_a_removed_one_gets_that_of_its_cpu),
		T(test_queue_wakes_the_cpus_of_its_enclave_and_no_others),
		T(test_queue_wakes_not_more_than_its_record_holds),
		T(test_queue_message_is_news_for_those_it_wakes),
		T(test_queue_message_is_news_while_its_agents_change),
		T(test_queue_wake_up_wakes_one_agent_of_its_queue),
		T(test_queue_that_is_polled_wakes_nobody),
		T(test_queue_of_a_busy_agent_gets_no_help),
		T(test_queue_thread_put_back_wakes_the_reader_of_its_queue),
		T(test_queue_news_of_another_cpu_wakes_an_idle_agent),
		T(test_queue_assoc_takes_effect_with_the_next_event),
		T(test_queue_assoc_works_in_every_state),
		T(test_queue_assoc_before_new_gets_the_new),
		T(test_queue_assoc_with_the_queue_it_has_says_so),
		T(test_queue_assoc_with_a_cpus_own_holds_against_commits),
		T(test_queue_assoc_while_messages_are_unread_is_refused),
		T(test_queue_assoc_of_no_thread_is_refused),
		T(test_queue_assoc_can_be_changed_before_it_takes_effect),
		T(test_queue_assoc_with_one_removed_meanwhile_gets_the_default),
		T(test_queue_assoc_meets_an_event_at_any_moment),
		T(test_queue_assoc_of_the_next_number_meets_an_event_at_any_moment),
		T(test_queue_assoc_with_an_old_number_is_stale_whatever_comes_between),
		T(test_queue_event_meets_an_assoc_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
