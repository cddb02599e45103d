// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run queues: order, affinity, one queue per thread, several agents at once.
 * In: policies/runq.h, threads made by hand. Out: TAP. Also run under the
 * thread sanitizer.
 */
#include "tests/check.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "libghost/task.h"
#include "policies/runq.h"

#define NR 8
#define ROUNDS 20000

static struct ghost_status status[NR];
static struct ghost_task task[NR];
static struct runq_entry entry[NR];
static struct runq queue[2];
static int held[NR]; /* by how many at once: never more than one */

static int setup(void **state)
{
	memset(task, 0, sizeof(task));
	memset(entry, 0, sizeof(entry));
	memset(status, 0xff, sizeof(status));
	memset(queue, 0, sizeof(queue)); /* as good as any set-up */
	memset(held, 0, sizeof(held));
	for (int i = 0; i < NR; i++) {
		task[i].status = &status[i];
		task[i].slot = i;
	}
	return 0;
}

static void push(int q, int i, bool first)
{
	runq_push(&queue[q], &task[i], &entry[i], first);
}

/* Queue @q holds these, in this order; it is empty afterwards. */
static void assert_popped(int q, uint32_t cpu, const int *want, uint32_t nr)
{
	assert_int_equal(runq_len(&queue[q]), nr);
	for (uint32_t i = 0; i < nr; i++)
		assert_ptr_equal(runq_pop(&queue[q], cpu), &task[want[i]]);
	assert_null(runq_pop(&queue[q], cpu));
	assert_int_equal(runq_len(&queue[q]), 0);
}

static void test_runq_first_come_is_first_served(void **state)
{
	for (int i = 0; i < 4; i++)
		push(0, i, false);
	push(0, 4, true);
	push(0, 5, true);
	assert_popped(0, 0, (int[]){ 5, 4, 0, 1, 2, 3 }, 6);
}

static void test_runq_thread_that_may_not_run_here_is_passed_by(void **state)
{
	for (int i = 0; i < 4; i++)
		push(0, i, false);
	memset(status[0].cpus, 0, sizeof(status[0].cpus));
	memset(status[2].cpus, 0, sizeof(status[2].cpus));
	status[0].cpus[15] = 1ull << 63;
	assert_ptr_equal(runq_pop(&queue[0], 5), &task[1]);
	assert_ptr_equal(runq_pop(&queue[0], 5), &task[3]);
	assert_null(runq_pop(&queue[0], 5));
	assert_int_equal(runq_len(&queue[0]), 2);
	assert_ptr_equal(runq_pop(&queue[0], 1023), &task[0]);
	assert_null(runq_pop(&queue[0], 1024));
	assert_int_equal(runq_len(&queue[0]), 1);
}

static void test_runq_has_something_for_those_who_would_pop_something(void **state)
{
	assert_false(runq_has(&queue[0], 5));
	push(0, 0, false);
	push(0, 1, false);
	memset(status[0].cpus, 0, sizeof(status[0].cpus));
	memset(status[1].cpus, 0, sizeof(status[1].cpus));
	status[1].cpus[0] = 1 << 6;
	assert_false(runq_has(&queue[0], 5));
	assert_true(runq_has(&queue[0], 6));
	assert_int_equal(runq_len(&queue[0]), 2);
}

static void test_runq_thread_is_in_one_queue_at_most(void **state)
{
	push(0, 1, false);
	push(0, 2, false);
	push(1, 1, false);
	push(0, 2, false);
	assert_popped(0, 0, (int[]){ 2 }, 1);
	assert_popped(1, 0, (int[]){ 1 }, 1);
}

static void test_runq_removing_is_harmless_when_it_is_in_none(void **state)
{
	runq_remove(&entry[0]);
	push(0, 0, false);
	push(0, 1, false);
	runq_remove(&entry[0]);
	runq_remove(&entry[0]);
	assert_popped(0, 0, (int[]){ 1 }, 1);
	runq_remove(&entry[1]);
	assert_int_equal(runq_len(&queue[0]), 0);
}

/* Takes threads from either queue, holds them for a moment, puts them into the other. */
static void *worker(void *arg)
{
	int self = *(int *)arg;
	long wrong = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int from = (i + self) & 1;
		struct ghost_task *t = runq_pop(&queue[from], self);

		if (!t) {
			sched_yield();
			continue;
		}
		wrong += __atomic_fetch_add(&held[t->slot], 1, __ATOMIC_SEQ_CST) != 0;
		if (i % 16 == 0)
			sched_yield();
		__atomic_fetch_sub(&held[t->slot], 1, __ATOMIC_SEQ_CST);
		runq_push(&queue[!from], t, &entry[t->slot], i % 3 == 0);
	}
	return (void *)wrong;
}

static void test_runq_two_agents_neither_lose_nor_share_a_thread(void **state)
{
	int self[2] = { 0, 1 };
	bool seen[NR] = { 0 };
	pthread_t p[2];

	for (int i = 0; i < NR; i++)
		push(i & 1, i, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&p[i], NULL, worker, &self[i]), 0);
	for (int i = 0; i < 2; i++) {
		void *wrong;

		pthread_join(p[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(runq_len(&queue[0]) + runq_len(&queue[1]), NR);
	for (int i = 0; i < NR; i++) {
		struct ghost_task *t = runq_pop(&queue[0], 0) ?: runq_pop(&queue[1], 0);

		assert_non_null(t);
		assert_false(seen[t->slot]);
		seen[t->slot] = true;
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_runq_first_come_is_first_served),
		T(test_runq_thread_that_may_not_run_here_is_passed_by),
		T(test_runq_has_something_for_those_who_would_pop_something),
		T(test_runq_thread_is_in_one_queue_at_most),
		T(test_runq_removing_is_harmless_when_it_is_in_none),
		T(test_runq_two_agents_neither_lose_nor_share_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
