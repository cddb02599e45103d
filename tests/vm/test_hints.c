// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hints on a real kernel: a program that knows nothing of agents but a path
 * gives them, and the policy that schedules it acts on them.
 * In: root, sched_ext. Out: TAP.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libghost/agent.h"
#include "libghost/hints.h"
#include "libghost/kernel.h"
#include "policies/runq.h"
#include "tests/check.h"

static struct ghost_backend *backend;
static struct ghost_enclave *enclave;
static struct ghost_agents *agents;

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* --- policies: those of class BATCH only when nobody else waits ----------------------------- */

struct queues {
	struct runq waits[2];
	/* What was heard last from each class, and how often. */
	struct ghost_hint heard[GHOST_HINT_CLASS_MAX + 1];
	uint32_t nr[GHOST_HINT_CLASS_MAX + 1];
	uint32_t nr_silent;
};

static struct queues *queues;

static int init(struct ghost_agent *a, void *data)
{
	queues = data;
	return 0;
}

static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	struct queues *q = ghost_agent_data(a);
	struct ghost_hint h = { 0 };

	if (ghost_task_hint(t, &h)) {
		q->heard[h.class_] = h;
		__atomic_fetch_add(&q->nr[h.class_], 1, __ATOMIC_RELEASE);
	} else {
		__atomic_fetch_add(&q->nr_silent, 1, __ATOMIC_RELEASE);
	}
	runq_push(&q->waits[h.class_ == GHOST_HINT_CLASS_BATCH], t, ghost_task_data(t), false);
	ghost_agent_wake(a, ghost_agent_fit(a, t, ghost_task_cpu(t)));
}

static void blocked(struct ghost_agent *a, struct ghost_task *t)
{
	runq_remove(ghost_task_data(t));
}

static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	runq_remove(ghost_task_data(t));
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	struct queues *q = ghost_agent_data(a);
	const struct ghost_cpuset cpus = *ghost_agent_free_cpus(a);

	ghost_cpuset_for_each(one, &cpus)
	{
		struct ghost_task *t;

		do {
			t = runq_pop(&q->waits[0], one) ?: runq_pop(&q->waits[1], one);
		} while (t && !ghost_agent_pick(a, one, t, 1000000));
	}
}

static const struct ghost_policy per_cpu = {
	.name = "by_class",
	.help = "class BATCH waits for all others",
	.model = GHOST_PER_CPU,
	.size = sizeof(struct queues),
	.task_size = sizeof(struct runq_entry),
	.init = init,
	.task_runnable = runnable,
	.task_blocked = blocked,
	.task_gone = gone,
	.schedule = schedule,
};

static struct ghost_policy central;

/* --- the program --------------------------------------------------------------------------------- */

struct shared {
	uint32_t go; /* the child is a member */
	uint32_t over;
	int err;
	uint64_t rounds[2]; /* of threads of class LATENCY, of BATCH */
	uint32_t nr_threads;
};

static struct shared *shared;	  /* with the child */
static struct ghost_hints *hints; /* the child's */

static void *member(void *arg)
{
	const uint32_t class_ = (uintptr_t)arg;
	struct ghost_hint_entry *me = NULL;

	ghost_hints_thread(hints, &me);
	ghost_hint_set(me, class_, GHOST_HINT_RUNNABLE, 1000 + class_, 2000 + class_);
	__atomic_fetch_add(&shared->nr_threads, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&shared->over, __ATOMIC_RELAXED)) {
		for (volatile int i = 0; i < 100000; i++)
			;
		__atomic_fetch_add(&shared->rounds[class_ == GHOST_HINT_CLASS_BATCH], 1,
				   __ATOMIC_RELAXED);
		sched_yield();
	}
	return NULL;
}

/* One thread of each class for each CPU, all on all CPUs; and this one. */
static void program(void)
{
	const long nr = 2 * sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t pt[64];
	struct ghost_hints_opts opts = { .size = sizeof(opts),
					 .enclave = ghost_enclave_id(enclave) };

	while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))
		sleep_ms(1);
	shared->err = ghost_hints_open(&hints, &opts);
	for (long i = 0; i < nr && i < 64; i++)
		if (pthread_create(&pt[i], NULL, member, (void *)(i % 2 + 1)))
			_exit(1);
	for (long i = 0; i < nr && i < 64; i++)
		pthread_join(pt[i], NULL);
	_exit(0);
}

static pid_t program_start(void)
{
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	pid = fork();
	if (!pid)
		program();
	assert_true(pid > 0);
	assert_int_equal(ghost_enclave_join(enclave, pid), 0);
	__atomic_store_n(&shared->go, 1, __ATOMIC_RELEASE);
	return pid;
}

static void program_end(pid_t pid)
{
	int status;

	__atomic_store_n(&shared->over, 1, __ATOMIC_RELAXED);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- cases ----------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	struct ghost_cpuset cpus;
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	char why[512];

	central = per_cpu;
	central.model = GHOST_CENTRAL;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ghost_kernel_load(0, why, sizeof(why)) ||
	    ghost_kernel_open(&backend, why, sizeof(why))) {
		printf("# %s\n", why);
		return -1;
	}
	return ghost_cpuset_online(&cpus) ?: ghost_enclave_create(&enclave, backend, &opts);
}

static int tear_down(void **state)
{
	char why[512];
	int err = ghost_enclave_destroy(enclave);

	ghost_enclave_close(enclave);
	backend->close(backend);
	return err ?: ghost_kernel_unload(why, sizeof(why));
}

static void follows_hints(const struct ghost_policy *policy)
{
	uint64_t before[2], after[2];
	int patience = 20000;
	pid_t pid;

	assert_int_equal(ghost_agents_start(&agents, enclave, policy, NULL), 0);
	assert_int_equal(ghost_agents_hints(agents), 0);
	pid = program_start();
	while ((!__atomic_load_n(&queues->nr[GHOST_HINT_CLASS_LATENCY], __ATOMIC_ACQUIRE) ||
		!__atomic_load_n(&queues->nr[GHOST_HINT_CLASS_BATCH], __ATOMIC_ACQUIRE)) &&
	       patience-- > 0)
		sleep_ms(1);
	assert_int_equal(shared->err, 0);
	for (uint32_t class_ = 1; class_ <= 2; class_++) {
		assert_true(queues->nr[class_] > 0);
		assert_int_equal(queues->heard[class_].class_, class_);
		assert_int_equal(queues->heard[class_].flags, GHOST_HINT_RUNNABLE);
		assert_int_equal(queues->heard[class_].deadline_ns, 1000 + class_);
		assert_int_equal(queues->heard[class_].expected_ns, 2000 + class_);
	}
	/* The others wait while there is one of these for each CPU. */
	memcpy(before, shared->rounds, sizeof(before));
	sleep_ms(1000);
	memcpy(after, shared->rounds, sizeof(after));
	printf("# in a second, LATENCY: %llu rounds, BATCH: %llu\n",
	       (unsigned long long)(after[0] - before[0]),
	       (unsigned long long)(after[1] - before[1]));
	assert_true(after[0] - before[0] > 4 * (after[1] - before[1]));
	program_end(pid);
	ghost_agents_stop(agents);
}

static void test_a_policy_acts_on_what_threads_say(void **state)
{
	follows_hints(&per_cpu);
}

static void test_an_agent_that_spins_does_so_too(void **state)
{
	follows_hints(&central);
}

/* The program before the agents: it hears that nobody listens, and is scheduled all the same. */
static void test_without_agents_a_program_goes_on_without_hints(void **state)
{
	int patience = 20000;
	pid_t pid = program_start();

	while (__atomic_load_n(&shared->nr_threads, __ATOMIC_RELAXED) < 2 && patience-- > 0)
		sleep_ms(1);
	assert_int_equal(shared->err, -ENOENT);
	assert_int_equal(ghost_agents_start(&agents, enclave, &per_cpu, NULL), 0);
	while (!__atomic_load_n(&queues->nr_silent, __ATOMIC_ACQUIRE) && patience-- > 0)
		sleep_ms(1);
	assert_true(queues->nr_silent > 0);
	assert_int_equal(queues->nr[1] + queues->nr[2], 0);
	program_end(pid);
	ghost_agents_stop(agents);
}

static void test_agents_that_are_gone_leave_no_socket(void **state)
{
	char path[64];
	struct stat st;

	assert_int_equal(ghost_hints_path(path, sizeof(path), GHOST_HINTS_DIR,
					  ghost_enclave_id(enclave)),
			 0);
	assert_int_equal(ghost_agents_start(&agents, enclave, &per_cpu, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	ghost_agents_stop(agents);
	assert_int_equal(stat(path, &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_policy_acts_on_what_threads_say),
		cmocka_unit_test(test_an_agent_that_spins_does_so_too),
		cmocka_unit_test(test_without_agents_a_program_goes_on_without_hints),
		cmocka_unit_test(test_agents_that_are_gone_leave_no_socket),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hints", tests, set_up, tear_down);
}
