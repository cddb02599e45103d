// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard against starvation: who is helped, who is sent away, and when.
 * In: libghost/guard.c over a fake enclave, real threads that sleep or run. Out: TAP.
 */
#include "tests/unit/loop_fake.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libghost/guard.h"

#define CPU 1
#define SLOT 3

static struct ghost_guard *guard;
static uint32_t nr_nudges, nudged_tid, nudged_cpu, left_tid, nr_left;
static bool ours; /* the agent is a thread of our class */
static int leave_err;

static int nudge(struct ghost_backend *self, __u32 tid, __u32 cpu)
{
	if (!ours)
		return -EINVAL;
	if (cpu == GHOST_CPU_NONE)
		return 0;
	nr_nudges++;
	nudged_tid = tid;
	nudged_cpu = cpu;
	return 0;
}

static int leave(struct ghost_backend *self, __u32 tid)
{
	nr_left++;
	left_tid = tid;
	return leave_err;
}

/* --- a thread that sleeps until it is told to do a little ------------------------------- */

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t tid;
	int orders, done;
	bool end;
} sleeper;

static void *sleeper_main(void *unused)
{
	pthread_mutex_lock(&sleeper.lock);
	sleeper.tid = gettid();
	pthread_cond_broadcast(&sleeper.changed);
	while (!sleeper.end) {
		if (sleeper.done < sleeper.orders) {
			for (volatile int i = 0; i < 100000; i++)
				;
			sleeper.done++;
			pthread_cond_broadcast(&sleeper.changed);
		}
		pthread_cond_wait(&sleeper.changed, &sleeper.lock);
	}
	pthread_mutex_unlock(&sleeper.lock);
	return NULL;
}

static void it_runs(void)
{
	pthread_mutex_lock(&sleeper.lock);
	sleeper.orders++;
	pthread_cond_broadcast(&sleeper.changed);
	while (sleeper.done < sleeper.orders)
		pthread_cond_wait(&sleeper.changed, &sleeper.lock);
	pthread_mutex_unlock(&sleeper.lock);
	usleep(20000); /* until it sleeps again, and has been accounted for */
}

static int setup(void **state)
{
	loop_reset(4);
	loop.backend.agent_nudge = nudge;
	loop.backend.task_leave = leave;
	nr_nudges = nr_left = 0;
	leave_err = 0;
	ours = true;
	loop_es()->nr_slots = SLOT + 1;
	memset(&sleeper, 0, sizeof(sleeper));
	pthread_mutex_init(&sleeper.lock, NULL);
	pthread_cond_init(&sleeper.changed, NULL);
	pthread_mutex_lock(&sleeper.lock);
	pthread_create(&sleeper.thread, NULL, sleeper_main, NULL);
	while (!sleeper.tid)
		pthread_cond_wait(&sleeper.changed, &sleeper.lock);
	pthread_mutex_unlock(&sleeper.lock);
	usleep(20000);
	return ghost_guard_open(&guard, loop.enclave);
}

static int teardown(void **state)
{
	ghost_guard_close(guard);
	pthread_mutex_lock(&sleeper.lock);
	sleeper.end = true;
	pthread_cond_broadcast(&sleeper.changed);
	pthread_mutex_unlock(&sleeper.lock);
	pthread_join(sleeper.thread, NULL);
	loop_stop();
	return 0;
}

static unsigned int looks(int nr)
{
	unsigned int sum = 0;

	while (nr--)
		sum += ghost_guard_look(guard, NULL);
	return sum;
}

static void is_member(uint32_t flags)
{
	loop.status[SLOT].tid = sleeper.tid;
	loop.status[SLOT].gtid = 1ull << 32 | sleeper.tid;
	loop.status[SLOT].word = 5ull << 32 | flags;
}

#define FALLBACK (GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK)

/* --- agents ----------------------------------------------------------------------------------- */

static void test_guard_agent_that_does_nothing_is_nudged_and_then_sent_away(void **state)
{
	uint32_t tid = 0;

	loop.cpu[CPU].agent_tid = sleeper.tid;
	assert_int_equal(looks(2), 0);
	assert_int_equal(nr_nudges, 0);
	assert_int_equal(looks(1), 0);
	assert_int_equal(nr_nudges, 1);
	assert_int_equal(nudged_tid, sleeper.tid);
	assert_int_equal(nudged_cpu, CPU);
	assert_int_equal(looks(2), 0);
	assert_int_equal(nr_nudges, 3);
	assert_int_equal(ghost_guard_look(guard, &tid), 1);
	assert_int_equal(tid, sleeper.tid);
	assert_int_equal(left_tid, sleeper.tid);
	/* One that cannot be is not counted. */
	leave_err = -EPERM;
	assert_int_equal(looks(10), 0);
	assert_true(nr_left > 1);
}

/* Another agent may decide for its CPU, or try to. */
static void test_guard_agent_without_time_is_sent_away_whatever_its_cpu_counts(void **state)
{
	unsigned int nr = 0;

	loop.cpu[CPU].agent_tid = sleeper.tid;
	for (int i = 0; i < 6; i++) {
		loop.cpu[CPU].nr_txn[GHOST_TXN_YIELDED]++;
		nr += looks(1);
	}
	assert_int_equal(nr, 1);
	assert_true(nr_nudges > 1);
}

static void test_guard_next_agent_of_a_cpu_has_as_long_as_the_one_before(void **state)
{
	loop.cpu[CPU].agent_tid = sleeper.tid;
	assert_int_equal(looks(5), 0);
	loop.cpu[CPU].agent_tid = getpid();
	assert_int_equal(looks(5), 0);
	assert_int_equal(nr_left, 0);
}

static void test_guard_agent_that_runs_is_left_alone_whatever_it_decides(void **state)
{
	loop.cpu[CPU].agent_tid = sleeper.tid;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(looks(1), 0);
		it_runs();
	}
	assert_int_equal(nr_nudges, 0);
}

static void test_guard_agents_of_other_classes_and_cpus_are_no_business_of_its(void **state)
{
	loop.cpu[CPU].agent_tid = sleeper.tid;
	ours = false;
	assert_int_equal(looks(20), 0);
	ours = true;
	loop.cpu[CPU].owned = 0;
	assert_int_equal(looks(20), 0);
	assert_int_equal(nr_nudges + nr_left, 0);
}

/* --- members ---------------------------------------------------------------------------------- */

static void test_guard_thread_of_the_fallback_without_time_is_sent_away(void **state)
{
	is_member(FALLBACK);
	assert_int_equal(looks(5), 0);
	/* Its number advances when agents come and go: that is no time. */
	loop.status[SLOT].word += 1ull << 32;
	assert_int_equal(looks(1), 1);
	assert_int_equal(left_tid, sleeper.tid);
	assert_int_equal(nr_nudges, 0);
}

static void test_guard_thread_that_agents_let_wait_has_longer(void **state)
{
	is_member(GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	assert_int_equal(looks(8), 0);
	assert_int_equal(looks(1), 1);
	/* What it has waited counts when they are gone; but for one look at its time. */
	loop.status[SLOT].runtime_ns++;
	is_member(GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	assert_int_equal(looks(5), 0);
	is_member(FALLBACK);
	assert_int_equal(looks(1), 0);
	assert_int_equal(looks(1), 1);
}

/* Beneath others, where a commit has put it. */
static void test_guard_thread_that_does_not_run_where_it_is_put_is_sent_away(void **state)
{
	is_member(GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(looks(1), 0);
		it_runs(); /* for longer than a look: its record does not tell */
	}
	/* On its way there again and again is no time, either. */
	is_member(GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED);
	assert_int_equal(looks(3), 0);
	is_member(FALLBACK);
	assert_int_equal(looks(2), 0);
	is_member(GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED);
	assert_int_equal(looks(3), 1);
}

static void test_guard_thread_that_had_time_begins_anew(void **state)
{
	is_member(FALLBACK);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(looks(4), 0);
		it_runs();
	}
	for (int i = 0; i < 5; i++) {
		assert_int_equal(looks(4), 0);
		loop.status[SLOT].runtime_ns++;
	}
	assert_int_equal(nr_left, 0);
}

static void test_guard_threads_that_wait_for_nothing_are_left_alone(void **state)
{
	static const uint32_t flags[] = { 0, GHOST_STATUS_INUSE,
					  GHOST_STATUS_INUSE | GHOST_STATUS_NEW };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		is_member(flags[i]);
		assert_int_equal(looks(20), 0);
	}
	/* One that has ended cannot be told from its number. */
	is_member(FALLBACK);
	loop.status[SLOT].tid = 1 << 30;
	assert_int_equal(looks(20), 0);
	assert_int_equal(nr_left, 0);
}

/* --- strangers ------------------------------------------------------------------------------- */

static uint32_t strange[4];
static int nr_strange;

static int strangers(struct ghost_backend *self, __u32 **ret)
{
	*ret = nr_strange ? malloc(sizeof(strange)) : NULL;
	if (*ret)
		memcpy(*ret, strange, sizeof(strange));
	return *ret ? nr_strange : 0;
}

static void test_guard_stranger_without_time_is_sent_away_early(void **state)
{
	loop.backend.strangers = strangers;
	strange[0] = 1 << 30; /* has ended */
	strange[1] = sleeper.tid;
	nr_strange = 1;
	assert_int_equal(looks(1), 0);
	/* The list changes while it is watched. */
	memcpy(strange, (uint32_t[]){ sleeper.tid, 1 << 30 }, 8);
	nr_strange = 2;
	assert_int_equal(looks(2), 0);
	assert_int_equal(nr_left, 0);
	assert_int_equal(looks(1), 0); /* not counted: it is no thread of the enclave */
	assert_int_equal(nr_left, 1);
	assert_int_equal(left_tid, sleeper.tid);
	nr_strange = 0;
	assert_int_equal(looks(3), 0);
	assert_int_equal(nr_left, 1);
}

static void test_guard_stranger_that_runs_is_left_alone(void **state)
{
	loop.backend.strangers = strangers;
	strange[0] = sleeper.tid;
	nr_strange = 1;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(looks(1), 0);
		it_runs();
	}
	assert_int_equal(nr_left, 0);
}

/* Real-time threads come before their child, which is none, on the one CPU that both have. */
static void test_guard_stranger_that_never_ran_is_sent_away_too(void **state)
{
	struct sched_param param = { .sched_priority = 1 }, none = { 0 };
	cpu_set_t before, one;
	pid_t pid;

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param)) {
		print_message("# no right to be a real-time thread\n");
		skip();
	}
	assert_return_code(sched_getaffinity(0, sizeof(before), &before), errno);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_return_code(sched_setaffinity(0, sizeof(one), &one), errno);
	pid = fork();
	if (!pid)
		_exit(0);
	loop.backend.strangers = strangers;
	strange[0] = pid;
	nr_strange = 1;
	looks(4);
	nr_strange = 0;
	sched_setscheduler(0, SCHED_OTHER, &none);
	sched_setaffinity(0, sizeof(before), &before);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(nr_left, 1);
	assert_int_equal(left_tid, pid);
}

static void test_guard_there_is_none_where_nobody_starves(void **state)
{
	struct ghost_guard *none = NULL;

	loop.backend.agent_nudge = NULL;
	assert_int_equal(ghost_guard_open(&none, loop.enclave), -EOPNOTSUPP);
	assert_null(none);
	ghost_guard_close(NULL);
	loop.backend.agent_nudge = nudge;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_guard_agent_that_does_nothing_is_nudged_and_then_sent_away),
		T(test_guard_agent_without_time_is_sent_away_whatever_its_cpu_counts),
		T(test_guard_next_agent_of_a_cpu_has_as_long_as_the_one_before),
		T(test_guard_agent_that_runs_is_left_alone_whatever_it_decides),
		T(test_guard_agents_of_other_classes_and_cpus_are_no_business_of_its),
		T(test_guard_thread_of_the_fallback_without_time_is_sent_away),
		T(test_guard_thread_that_agents_let_wait_has_longer),
		T(test_guard_thread_that_does_not_run_where_it_is_put_is_sent_away),
		T(test_guard_thread_that_had_time_begins_anew),
		T(test_guard_threads_that_wait_for_nothing_are_left_alone),
		T(test_guard_stranger_without_time_is_sent_away_early),
		T(test_guard_stranger_that_runs_is_left_alone),
		T(test_guard_stranger_that_never_ran_is_sent_away_too),
		T(test_guard_there_is_none_where_nobody_starves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
