// SPDX-License-Identifier: GPL-2.0-only
/*
 * Agents come, go and misbehave on a real kernel; their threads run on.
 * Shown with libghost alone: threads that count, agents that are stopped,
 * started anew, doubled, and shared memory full of garbage.
 * In: root, sched_ext. Out: TAP. GHOST_SEED=N repeats the garbage.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libghost/agent.h"
#include "libghost/kernel.h"
#include "policies/policies.h"
#include "tests/check.h"

#define NR_THREADS 4

static struct ghost_backend *backend;
static struct ghost_enclave *enclave;

/* Threads that work, sleep and work; members once they have been told so. */
struct worker {
	pthread_t thread;
	_Atomic pid_t tid;
	_Atomic uint64_t rounds;
};
static struct worker worker[NR_THREADS];
static atomic_bool over;

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	atomic_store(&w->tid, gettid());
	while (!atomic_load(&over)) {
		for (volatile int i = 0; i < 20000; i++)
			;
		sleep_ms(1);
		atomic_fetch_add(&w->rounds, 1);
	}
	return NULL;
}

/* Every worker gets on, in less than 10 s. */
static void assert_all_advance(void)
{
	for (int i = 0; i < NR_THREADS; i++) {
		uint64_t before = atomic_load(&worker[i].rounds);
		int patience = 10000;

		while (atomic_load(&worker[i].rounds) < before + 3 && patience-- > 0)
			sleep_ms(1);
		assert_true(atomic_load(&worker[i].rounds) >= before + 3);
	}
}

static uint64_t nr_committed(void)
{
	struct ghost_enclave_counts counts;

	assert_int_equal(ghost_enclave_count(enclave, &counts), 0);
	return counts.nr_txn[GHOST_TXN_COMMITTED];
}

static void assert_agents_decide(void)
{
	uint64_t before = nr_committed();

	assert_int_equal(ghost_enclave_status(enclave)->state, GHOST_ENCLAVE_ONLINE);
	assert_all_advance();
	assert_true(nr_committed() > before);
}

static void assert_fallback_runs(uint32_t state)
{
	uint64_t before;

	assert_int_equal(ghost_enclave_status(enclave)->state, state);
	before = nr_committed();
	assert_all_advance();
	assert_int_equal(nr_committed(), before);
}

static struct ghost_agents *agents_up(void)
{
	struct ghost_agents *agents = NULL;

	assert_int_equal(ghost_agents_start(&agents, enclave, policies_find("fifo_percpu"), NULL),
			 0);
	return agents;
}

static int set_up(void **state)
{
	struct ghost_cpuset cpus;
	struct ghost_enclave_opts opts = {
		.size = sizeof(opts),
		.cpus = &cpus,
		.stall_ns = 4000ull * 1000 * 1000,
	};
	char why[512];

	if (ghost_kernel_load(0, why, sizeof(why)) ||
	    ghost_kernel_open(&backend, why, sizeof(why))) {
		printf("# %s\n", why);
		return -1;
	}
	if (ghost_cpuset_online(&cpus) || ghost_enclave_create(&enclave, backend, &opts))
		return -1;
	for (int i = 0; i < NR_THREADS; i++) {
		if (pthread_create(&worker[i].thread, NULL, work, &worker[i]))
			return -1;
		while (!atomic_load(&worker[i].tid))
			sleep_ms(1);
		if (ghost_enclave_join(enclave, atomic_load(&worker[i].tid)))
			return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	char why[512];
	int err;

	atomic_store(&over, true);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(worker[i].thread, NULL);
	err = ghost_enclave_destroy(enclave);
	ghost_enclave_close(enclave);
	backend->close(backend);
	return err ?: ghost_kernel_unload(why, sizeof(why));
}

static void test_members_run_before_there_are_agents(void **state)
{
	assert_fallback_runs(GHOST_ENCLAVE_IDLE);
}

static void test_agents_that_stop_leave_an_idle_enclave_and_running_threads(void **state)
{
	for (int i = 0; i < 5; i++) {
		struct ghost_agents *agents = agents_up();

		assert_agents_decide();
		ghost_agents_stop(agents);
		assert_fallback_runs(GHOST_ENCLAVE_IDLE);
		assert_int_equal(ghost_enclave_status(enclave)->lost_reason, GHOST_LOST_NONE);
	}
}

static void test_a_second_set_of_agents_is_refused_and_harms_nobody(void **state)
{
	struct ghost_agents *agents = agents_up(), *second = NULL;

	assert_int_equal(ghost_agents_start(&second, enclave, policies_find("fifo_percpu"), NULL),
			 -EBUSY);
	assert_null(second);
	assert_agents_decide();
	ghost_agents_stop(agents);
}

/* --- agents that take over from others ------------------------------------------- */

static struct ghost_agents *agents_prepared(const char *policy)
{
	struct ghost_agents *agents = NULL;

	assert_int_equal(ghost_agents_prepare(&agents, enclave, policies_find(policy), NULL), 0);
	return agents;
}

static void test_agents_that_wait_disturb_nobody_and_may_be_given_up(void **state)
{
	struct ghost_agents *agents = agents_up(), *next = agents_prepared("fifo_percpu");

	assert_agents_decide();
	assert_int_equal(ghost_agents_take(next, 0), -EBUSY);
	assert_int_equal(ghost_agents_take(next, 30), -ETIMEDOUT);
	assert_agents_decide();
	ghost_agents_stop(next);
	assert_agents_decide();
	ghost_agents_stop(agents);
	/* With nobody to wait for either. */
	ghost_agents_stop(agents_prepared("fifo_central"));
	assert_fallback_runs(GHOST_ENCLAVE_IDLE);
}

static void *stop_later(void *agents)
{
	sleep_ms(50);
	ghost_agents_stop(agents);
	return NULL;
}

static void test_agents_take_over_from_others_when_these_end(void **state)
{
	static const char *const policies[] = { "fifo_percpu", "fifo_central", "fifo_percpu",
						"shinjuku", "fifo_percpu" };
	const struct ghost_enclave_status *st = ghost_enclave_status(enclave);
	struct ghost_agents *agents = agents_up();
	pthread_t thread;

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct ghost_agents *next = agents_prepared(policies[i]);

		assert_agents_decide();
		assert_int_equal(pthread_create(&thread, NULL, stop_later, agents), 0);
		assert_int_equal(ghost_agents_take(next, 30000), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		agents = next;
		assert_agents_decide();
		assert_int_equal(st->lost_reason, GHOST_LOST_NONE);
		assert_true(st->online_ns > st->fell_ns && st->fell_ns);
		printf("# to %s: nobody decided for %llu us, the longest wait was %llu us\n",
		       policies[i], (unsigned long long)(st->online_ns - st->fell_ns) / 1000,
		       (unsigned long long)st->unscheduled_ns / 1000);
	}
	ghost_agents_stop(agents);
}

static void test_cpus_of_an_enclave_are_no_others(void **state)
{
	struct ghost_cpuset cpus;
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *other = NULL;

	assert_int_equal(ghost_cpuset_online(&cpus), 0);
	assert_int_equal(ghost_enclave_create(&other, backend, &opts), -EBUSY);
	assert_null(other);
	assert_all_advance();
}

static void test_an_agent_may_not_write_status_words_or_kernel_counters(void **state)
{
	const struct ghost_memory *mem = ghost_enclave_memory(enclave);
	long page = sysconf(_SC_PAGESIZE);

	assert_int_equal(mprotect((void *)mem->status, page, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(mprotect((void *)mem->cpu, page, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
}

/* --- agents that hang ---------------------------------------------------------- */

static atomic_bool hang;
static enum {
	SPINS,
	YIELDS,
	LOCKS,
	FAULTS
} how;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static char *missing; /* a page that nobody brings */
static int faults = -1;

/* Picks nothing, and does not come back for as long as it is to hang. */
static void hang_schedule(struct ghost_agent *a, uint32_t cpu)
{
	while (atomic_load(&hang))
		if (how == YIELDS) {
			sched_yield();
		} else if (how == LOCKS) {
			pthread_mutex_lock(&held);
			pthread_mutex_unlock(&held);
		} else if (how == FAULTS) {
			(void)*(volatile char *)missing;
		}
}

static void hold(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register all = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (how == LOCKS)
		pthread_mutex_lock(&held);
	if (how != FAULTS)
		return;
	all.range.len = sysconf(_SC_PAGESIZE);
	missing = mmap(NULL, all.range.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	assert_true(missing != MAP_FAILED);
	all.range.start = (uintptr_t)missing;
	faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	assert_true(faults >= 0);
	assert_int_equal(ioctl(faults, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(faults, UFFDIO_REGISTER, &all), 0);
}

static void let_go(void)
{
	if (how == LOCKS)
		pthread_mutex_unlock(&held);
	if (how != FAULTS)
		return;
	/* Who waits gets a page of zeros then. */
	close(faults);
}

static const struct ghost_policy hanging = {
	.name = "hanging",
	.help = "never decides",
	.model = GHOST_PER_CPU,
	.schedule = hang_schedule,
};

static void hang_and_look(void)
{
	struct ghost_agents *agents = NULL;
	int patience = 20000;

	hold();
	atomic_store(&hang, true);
	assert_int_equal(ghost_agents_start(&agents, enclave, &hanging, NULL), 0);
	while (ghost_enclave_status(enclave)->state == GHOST_ENCLAVE_ONLINE && patience-- > 0)
		sleep_ms(1);
	assert_int_equal(ghost_enclave_status(enclave)->lost_reason, GHOST_LOST_STALL);
	/* They are at it still, on every CPU. */
	assert_fallback_runs(GHOST_ENCLAVE_LOST);
	assert_fallback_runs(GHOST_ENCLAVE_LOST);
	atomic_store(&hang, false);
	let_go();
	ghost_agents_stop(agents);
	assert_all_advance();
	if (how == FAULTS)
		munmap(missing, sysconf(_SC_PAGESIZE));
}

static void test_agents_that_spin_lose_the_enclave_and_leave_the_threads_their_share(void **state)
{
	how = SPINS;
	hang_and_look();
}

static void test_agents_that_yield_for_ever_do_so_too(void **state)
{
	how = YIELDS;
	hang_and_look();
}

static void test_agents_that_wait_for_a_lock_for_ever_do_so_too(void **state)
{
	how = LOCKS;
	hang_and_look();
}

static void test_agents_that_wait_for_a_page_for_ever_do_so_too(void **state)
{
	how = FAULTS;
	hang_and_look();
}

/* --- queues that run full ------------------------------------------------------ */

#define NR_SLEEPERS 1500 /* more than two queues hold */

static _Atomic uint32_t alarm_rings;
static _Atomic uint32_t nr_woken;

static void *sleep_till_alarm(void *arg)
{
	atomic_store((_Atomic pid_t *)arg, gettid());
	while (!atomic_load(&alarm_rings))
		syscall(SYS_futex, &alarm_rings, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	atomic_fetch_add(&nr_woken, 1);
	return NULL;
}

static void slow_schedule(struct ghost_agent *a, uint32_t cpu)
{
	hang_schedule(a, cpu);
	policies_find("fifo_percpu")->schedule(a, cpu);
}

static void test_threads_whose_wakeups_found_no_room_are_run_all_the_same(void **state)
{
	static pthread_t thread[NR_SLEEPERS];
	static _Atomic pid_t tid[NR_SLEEPERS];
	static struct ghost_policy slow;
	struct ghost_enclave_counts before, after;
	struct ghost_agents *agents = NULL;
	pthread_attr_t attr;

	slow = *policies_find("fifo_percpu");
	slow.schedule = slow_schedule;
	how = SPINS;
	assert_int_equal(ghost_agents_start(&agents, enclave, &slow, NULL), 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	for (int i = 0; i < NR_SLEEPERS; i++) {
		assert_int_equal(
			pthread_create(&thread[i], &attr, sleep_till_alarm, (void *)&tid[i]), 0);
		while (!atomic_load(&tid[i]))
			sleep_ms(1);
		assert_int_equal(ghost_enclave_join(enclave, atomic_load(&tid[i])), 0);
	}
	sleep_ms(300); /* for the last to fall asleep; one that has not is no harm */
	assert_int_equal(ghost_enclave_count(enclave, &before), 0);
	/* The agents look away while all of them wake up. */
	atomic_store(&hang, true);
	sleep_ms(50);
	atomic_store(&alarm_rings, 1);
	syscall(SYS_futex, &alarm_rings, FUTEX_WAKE_PRIVATE, NR_SLEEPERS, NULL, NULL, 0);
	atomic_store(&hang, false);
	for (int i = 0; i < NR_SLEEPERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(ghost_enclave_count(enclave, &after), 0);
	printf("# %llu events found no room\n",
	       (unsigned long long)(after.nr_overflows - before.nr_overflows));
	assert_true(after.nr_overflows > before.nr_overflows);
	assert_int_equal(atomic_load(&nr_woken), NR_SLEEPERS);
	assert_agents_decide();
	ghost_agents_stop(agents);
}

/* Whatever stands in the memory an agent may write, no thread is lost by it. */
static void test_garbage_in_shared_memory_stops_no_thread(void **state)
{
	const struct ghost_memory *mem = ghost_enclave_memory(enclave);
	const char *given = getenv("GHOST_SEED");
	unsigned int seed = given ? strtoul(given, NULL, 0) : (unsigned int)time(NULL);
	struct ghost_agents *agents = agents_up();

	printf("# seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < 3000; i++) {
		struct ghost_cpu_rw *rw =
			&mem->cpu_rw[random() % ghost_enclave_status(enclave)->nr_cpus];

		switch (random() % 3) {
		case 0:
			for (size_t b = 0; b < sizeof(*rw); b++)
				((volatile uint8_t *)rw)[b] = random();
			break;
		case 1:
			*(volatile uint32_t *)&rw->txn.slot = random() % 16;
			*(volatile uint32_t *)&rw->txn.state = GHOST_TXN_READY;
			break;
		case 2:
			*(volatile uint32_t *)&rw->queue_tail = random();
			break;
		}
		if (random() % 8 == 0)
			sleep_ms(1);
	}
	assert_all_advance();
	ghost_agents_stop(agents);
	assert_all_advance();
}

static void test_agents_start_well_in_memory_that_was_garbage(void **state)
{
	struct ghost_agents *agents = agents_up();

	assert_agents_decide();
	ghost_agents_stop(agents);
	assert_fallback_runs(GHOST_ENCLAVE_IDLE);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Computes for 50 ms as a thread of our class that belongs to no enclave; how long did it take? */
static void *stranger(void *arg)
{
	const struct sched_param param = { 0 };
	cpu_set_t one;
	uint64_t began;

	CPU_ZERO(&one);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
	if (sched_setaffinity(0, sizeof(one), &one) || sched_setscheduler(0, 7, &param))
		return (void *)~0ul;
	began = now_ns(CLOCK_MONOTONIC);
	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < 50000000)
		;
	return (void *)((now_ns(CLOCK_MONOTONIC) - began) / 1000000);
}

/* Its slice ends, nobody else is there: its CPU must not go to sleep over it. */
static void test_a_stranger_alone_on_its_cpu_goes_on_after_its_slice(void **state)
{
	pthread_t thread;
	void *took_ms;

	assert_int_equal(pthread_create(&thread, NULL, stranger, NULL), 0);
	assert_int_equal(pthread_join(thread, &took_ms), 0);
	assert_in_range((uintptr_t)took_ms, 1, 5000);
}

#define NR_MANY 1000

/* The last: the enclave is another one afterwards. */
static void test_an_enclave_with_a_thousand_threads_is_destroyed_while_agents_decide(void **state)
{
	static pthread_t thread[NR_MANY];
	static _Atomic pid_t tid[NR_MANY];
	struct ghost_agents *agents = agents_up();
	const struct sched_param param = { 0 };
	struct ghost_cpuset cpus;
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	uint64_t began, took, plain;
	pthread_attr_t attr;

	atomic_store(&alarm_rings, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	for (int i = 0; i < NR_MANY; i++) {
		assert_int_equal(
			pthread_create(&thread[i], &attr, sleep_till_alarm, (void *)&tid[i]), 0);
		while (!atomic_load(&tid[i]))
			sleep_ms(1);
	}
	/* What as many changes of class cost without us. */
	began = now_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < NR_MANY; i++)
		assert_int_equal(sched_setscheduler(atomic_load(&tid[i]), SCHED_BATCH, &param), 0);
	plain = now_ns(CLOCK_MONOTONIC) - began;
	for (int i = 0; i < NR_MANY; i++)
		assert_int_equal(ghost_enclave_join(enclave, atomic_load(&tid[i])), 0);
	began = now_ns(CLOCK_MONOTONIC);
	assert_int_equal(ghost_enclave_destroy(enclave), 0);
	took = now_ns(CLOCK_MONOTONIC) - began;
	printf("# destroyed in %llu us; %d changes of class alone take %llu us\n",
	       (unsigned long long)took / 1000, NR_MANY, (unsigned long long)plain / 1000);
	for (int i = 0; i < NR_MANY; i++)
		assert_int_equal(sched_getscheduler(atomic_load(&tid[i])), SCHED_OTHER);
	assert_int_equal(ghost_agents_wait(agents, 10000), 0);
	ghost_agents_stop(agents);
	ghost_enclave_close(enclave);
	assert_all_advance();
	atomic_store(&alarm_rings, 1);
	syscall(SYS_futex, &alarm_rings, FUTEX_WAKE_PRIVATE, NR_MANY, NULL, NULL, 0);
	for (int i = 0; i < NR_MANY; i++)
		pthread_join(thread[i], NULL);
	/* Its CPUs are free again. */
	assert_int_equal(ghost_cpuset_online(&cpus), 0);
	assert_int_equal(ghost_enclave_create(&enclave, backend, &opts), 0);
}

/* Agents, and who starts them, would wait for themselves. */
static void test_a_member_starts_agents_as_anybody_else(void **state)
{
	static const char *const names[] = { "fifo_percpu", "fifo_central" };
	struct ghost_agents *agents;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(ghost_enclave_join(enclave, gettid()), 0);
		agents = NULL;
		assert_int_equal(
			ghost_agents_start(&agents, enclave, policies_find(names[i]), NULL), 0);
		assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
		assert_agents_decide();
		ghost_agents_stop(agents);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_run_before_there_are_agents),
		cmocka_unit_test(test_agents_that_stop_leave_an_idle_enclave_and_running_threads),
		cmocka_unit_test(test_a_second_set_of_agents_is_refused_and_harms_nobody),
		cmocka_unit_test(test_a_member_starts_agents_as_anybody_else),
		cmocka_unit_test(test_agents_that_wait_disturb_nobody_and_may_be_given_up),
		cmocka_unit_test(test_agents_take_over_from_others_when_these_end),
		cmocka_unit_test(test_cpus_of_an_enclave_are_no_others),
		cmocka_unit_test(test_an_agent_may_not_write_status_words_or_kernel_counters),
		cmocka_unit_test(
			test_agents_that_spin_lose_the_enclave_and_leave_the_threads_their_share),
		cmocka_unit_test(test_agents_that_yield_for_ever_do_so_too),
		cmocka_unit_test(test_agents_that_wait_for_a_lock_for_ever_do_so_too),
		cmocka_unit_test(test_agents_that_wait_for_a_page_for_ever_do_so_too),
		cmocka_unit_test(test_threads_whose_wakeups_found_no_room_are_run_all_the_same),
		cmocka_unit_test(test_garbage_in_shared_memory_stops_no_thread),
		cmocka_unit_test(test_agents_start_well_in_memory_that_was_garbage),
		cmocka_unit_test(test_a_stranger_alone_on_its_cpu_goes_on_after_its_slice),
		cmocka_unit_test(
			test_an_enclave_with_a_thousand_threads_is_destroyed_while_agents_decide),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("agents", tests, set_up, tear_down);
}
