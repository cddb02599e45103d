// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waking agents: idle bits, helpers, pings, and that no wake-up gets lost.
 * In: core/agent.h over plain memory. Out: TAP.
 *
 * The protocol between wakers and a CPU going idle is small enough to run
 * every interleaving of their accesses.
 */
#define FAKE_CPUS 200
#include "tests/check.h"
#include "tests/unit/port_fake.h"

#include "core/agent.h"

#include <stdio.h>
#include <ucontext.h>

#define SLOT 5

static struct core_task task = { .enclave = 1, .queue = 0 };
static struct core_enclave *const e = &fake.enclave[1];

static void allow(__u32 cpu)
{
	fake.th[SLOT].cpus[cpu / 64] |= 1ull << (cpu % 64);
	fake.status[1][SLOT].cpus[cpu / 64] |= 1ull << (cpu % 64);
}

/* What these tests change; all of the machine would be too much for each schedule. */
static void forget(void)
{
	memset(&fake.status[1][0], 0, sizeof(fake.status[1][0]));
	memset(fake.kicks, 0, sizeof(fake.kicks));
	memset(&fake.th[SLOT], 0, sizeof(fake.th[SLOT]));
	memset(&fake.status[1][SLOT], 0, sizeof(fake.status[1][SLOT]));
	memset(fake.cpu, 0, sizeof(fake.cpu[0]) * FAKE_CPUS);
	memset(fake.enclave, 0, sizeof(fake.enclave));
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		memset(&fake.page[1][cpu], 0, sizeof(fake.page[1][cpu]));
}

static int setup(void **state)
{
	forget();
	fake_enclave(1, 0xf, GHOST_ENCLAVE_ONLINE);
	for (__u32 cpu = 0; cpu < 4; cpu++)
		fake.cpu[cpu].place = CORE_PLACE_PARKED;
	task.queue = 0;
	allow(0);
	allow(1);
	allow(2);
	allow(3);
	return 0;
}

static int is_idle(__u32 cpu)
{
	return fake_es(1)->idle[cpu / 64] >> (cpu % 64) & 1;
}

static __u32 nr_kicks(void)
{
	__u32 n = 0;

	for (int cpu = 0; cpu < FAKE_CPUS; cpu++)
		n += fake.kicks[cpu];
	return n;
}

/* --- idle bits ------------------------------------------------------------------ */

static void test_agent_idle_bit_is_taken_by_exactly_one(void **state)
{
	static const __u32 cpus[] = { 0, 1, 63, 64, 127, 1023 };

	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		assert_false(cpu_idle_take(fake_es(1), cpus[i]));
		cpu_idle_set(fake_es(1), cpus[i]);
		cpu_idle_set(fake_es(1), cpus[i]);
		assert_true(is_idle(cpus[i]));
		assert_true(cpu_idle_take(fake_es(1), cpus[i]));
		assert_false(cpu_idle_take(fake_es(1), cpus[i]));
	}
	for (int w = 0; w < GHOST_CPU_WORDS; w++)
		assert_true(fake_es(1)->idle[w] == 0);
}

static void test_agent_counters_stay_inside_the_record(void **state)
{
	static struct fake before;

	before = fake;
	cpu_count(1, 0, GHOST_NR_COUNTERS);
	cpu_count(1, 0, ~0u);
	cpu_count(1, FAKE_QUEUES, 0);
	cpu_count(FAKE_ENCLAVES, 0, 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
	cpu_count(1, 3, GHOST_NR_KICKS);
	assert_int_equal(fake.page[1][3].nr[GHOST_NR_KICKS], 1);
}

/* --- going idle --------------------------------------------------------------------- */

static void test_agent_cpu_without_news_goes_idle(void **state)
{
	assert_false(agent_idle(1, 2, &fake.cpu[2]));
	assert_true(is_idle(2));
}

static void test_agent_cpu_with_news_looks_again(void **state)
{
	fake.page[1][2].agent_seq++;
	assert_true(agent_idle(1, 2, &fake.cpu[2]));
	assert_false(is_idle(2));
}

/* Behind a thread, or asleep: there is nobody to run for the news, the bit stays. */
static void test_agent_that_is_not_parked_is_not_asked(void **state)
{
	fake.page[1][2].agent_seq++;
	fake.cpu[2].place = CORE_PLACE_NONE;
	assert_false(agent_idle(1, 2, &fake.cpu[2]));
	assert_true(is_idle(2));
}

/* --- pings ------------------------------------------------------------------------------ */

static void test_agent_ping_wakes_an_idle_cpu_and_leaves_a_busy_one(void **state)
{
	agent_ping(1, 2);
	assert_int_equal(fake.page[1][2].agent_seq, 1);
	assert_int_equal(nr_kicks(), 0);
	cpu_idle_set(fake_es(1), 2);
	agent_ping(1, 2);
	assert_int_equal(fake.page[1][2].agent_seq, 2);
	assert_int_equal(fake.kicks[2], 1);
	assert_int_equal(fake.page[1][2].nr[GHOST_NR_KICKS], 1);
	assert_false(is_idle(2));
	assert_int_equal(fake.page[1][2].help, 0);
}

static void test_agent_ping_of_no_enclave_or_cpu_does_nothing(void **state)
{
	static struct fake before;

	before = fake;
	agent_ping(0, 0);
	agent_ping(FAKE_ENCLAVES, 0);
	agent_ping(1, FAKE_QUEUES);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

/* --- wake-ups ------------------------------------------------------------------------------ */

static void test_agent_of_an_idle_cpu_is_woken_itself(void **state)
{
	cpu_idle_set(fake_es(1), 0);
	cpu_idle_set(fake_es(1), 1);
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 3);
	assert_int_equal(fake.kicks[0], 1);
	assert_int_equal(nr_kicks(), 1);
	assert_false(is_idle(0));
	assert_true(is_idle(1));
}

/* An idle CPU on whose run queue the thread was put wakes up by that. */
static void test_agent_of_the_idle_cpu_where_it_happened_needs_no_kick(void **state)
{
	cpu_idle_set(fake_es(1), 0);
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 0);
	assert_int_equal(nr_kicks(), 0);
	assert_false(is_idle(0));
}

static void test_agent_of_a_busy_cpu_gets_help_from_an_idle_one(void **state)
{
	cpu_idle_set(fake_es(1), 2);
	cpu_idle_set(fake_es(1), 3);
	task.queue = 1;
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 1);
	assert_int_equal(fake.kicks[2], 1);
	assert_int_equal(nr_kicks(), 1);
	assert_int_equal(fake.page[1][2].help, 1 + 1);
	assert_int_equal(fake.page[1][2].agent_seq, 1); /* or it would sleep on */
	assert_false(is_idle(2));
	assert_true(is_idle(3));
}

static void test_agent_help_comes_from_a_cpu_where_the_thread_may_run(void **state)
{
	cpu_idle_set(fake_es(1), 1);
	cpu_idle_set(fake_es(1), 2);
	fake_mask_set(1, SLOT, 1 << 2);
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 0);
	assert_int_equal(fake.kicks[2], 1);
	assert_int_equal(nr_kicks(), 1);
	assert_true(is_idle(1));
}

/* The only CPU that may run it is found, however many idle ones come before it. */
static void test_agent_help_is_found_behind_idle_cpus_that_may_not_run_it(void **state)
{
	for (__u32 cpu = 1; cpu < 64; cpu++)
		cpu_idle_set(fake_es(1), cpu);
	fake_mask_set(1, SLOT, 1ull << 63);
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 0);
	assert_int_equal(nr_kicks(), 1);
	assert_int_equal(fake.kicks[63], 1);
	assert_true(fake_es(1)->idle[0] == 0x7ffffffffffffffeull);
}

/* The mask may say yes where the kernel says no: migration is disabled. */
static void test_agent_help_is_not_asked_of_a_cpu_the_kernel_refuses(void **state)
{
	cpu_idle_set(fake_es(1), 1);
	fake.th[SLOT].cpus[0] = 1;
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 0);
	assert_int_equal(nr_kicks(), 0);
	assert_true(is_idle(1));
}

static void test_agent_of_a_busy_cpu_in_a_busy_enclave_is_left_alone(void **state)
{
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 0);
	assert_int_equal(nr_kicks(), 0);
	for (int cpu = 0; cpu < 4; cpu++) {
		assert_int_equal(fake.page[1][cpu].agent_seq, 0);
		assert_int_equal(fake.page[1][cpu].help, 0);
	}
}

/* From the word of the queue onwards, around, and only as far as the enclave goes. */
static void test_agent_help_is_looked_for_from_the_queues_word_on(void **state)
{
	static const struct {
		__u32 near, idle[3], want;
	} cases[] = {
		{ 0, { 70, 130, 130 }, 70 },   { 70, { 3, 130, 130 }, 130 },
		{ 130, { 70, 3, 3 }, 3 },      { 130, { 131, 3, 70 }, 131 },
		{ 199, { 64, 64, 64 }, 64 },   { 5, { 5, 6, 70 }, 5 },
		{ 5, { 193, 193, 193 }, 193 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		e->nr_words = 4;
		for (int k = 0; k < 3; k++) {
			cpu_idle_set(fake_es(1), cases[i].idle[k]);
			allow(cases[i].idle[k]);
		}
		assert_int_equal(enclave_idle_cpu(e, fake_es(1), &fake.status[1][SLOT], SLOT,
						  cases[i].near),
				 cases[i].want);
		assert_false(is_idle(cases[i].want));
	}
	setup(NULL);
	e->nr_words = 2;
	allow(130);
	cpu_idle_set(fake_es(1), 130);
	assert_int_equal(enclave_idle_cpu(e, fake_es(1), &fake.status[1][SLOT], SLOT, 0),
			 GHOST_CPU_NONE);
	e->nr_words = 0;
	assert_int_equal(enclave_idle_cpu(e, fake_es(1), &fake.status[1][SLOT], SLOT, 0),
			 GHOST_CPU_NONE);
}

/* --- every interleaving -------------------------------------------------------------------- */

/*
 * Actors run the real functions, each in a context of its own; around each
 * access an actor stops for the others. A schedule says, at each point where
 * more than one could go on, who does; all schedules are tried in the order
 * of a depth-first search.
 */
#define ACTORS 3
#define DEPTH 64
#define STACK (64 * 1024)

static ucontext_t director, context[ACTORS];
static char stack[ACTORS][STACK];
static int done[ACTORS];
static int nr_actors, self;
static void (*act[ACTORS])(void);

static int choice[DEPTH], width[DEPTH];

static void step(void)
{
	swapcontext(&context[self], &director);
}

static void actor(void)
{
	act[self]();
	done[self] = 1;
	step();
}

/* Run one schedule. Returns how many decisions there were. */
static int direct(void)
{
	int depth = 0;

	for (self = 0; self < nr_actors; self++) {
		done[self] = 0;
		getcontext(&context[self]);
		context[self].uc_stack.ss_sp = stack[self];
		context[self].uc_stack.ss_size = STACK;
		makecontext(&context[self], actor, 0);
	}
	fake.step_after = step;
	for (;;) {
		int can[ACTORS], n = 0, pick = 0;

		for (int i = 0; i < nr_actors; i++)
			if (!done[i])
				can[n++] = i;
		if (!n)
			break;
		if (n > 1) {
			assert_true(depth < DEPTH);
			width[depth] = n;
			pick = choice[depth++];
		}
		self = can[pick];
		swapcontext(&director, &context[self]);
	}
	fake.step_after = NULL;
	return depth;
}

/* All schedules of act[0 .. n-1] from the state @prepare makes; @check after each. */
static int enumerate(int n, void (*prepare)(void), void (*check)(void))
{
	int runs = 0, depth;

	nr_actors = n;
	memset(choice, 0, sizeof(choice));
	do {
		prepare();
		depth = direct();
		check();
		runs++;
		/* The last decision that has an alternative left. */
		while (depth > 0 && choice[depth - 1] + 1 >= width[depth - 1])
			choice[--depth] = 0;
		if (depth > 0)
			choice[depth - 1]++;
	} while (depth > 0);
	return runs;
}

static int looks_again;

/* CPU 0 was busy and finds nothing more to run. */
static void prepare_idle(void)
{
	setup(NULL);
	looks_again = 0;
}

static void cpu0_goes_idle(void)
{
	looks_again = agent_idle(1, 0, &fake.cpu[0]);
}

/* What msg_send() does last, and then the enqueue. */
static void message_for_cpu0(void)
{
	port_fetch_add(&fake.page[1][0].agent_seq, 1);
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 3);
}

static void message_on_cpu0(void)
{
	port_fetch_add(&fake.page[1][0].agent_seq, 1);
	agent_wake(e, &task, &fake.status[1][SLOT], SLOT, 0);
}

static void ping_cpu0(void)
{
	agent_ping(1, 0);
}

/* Asleep with something unseen and nobody who wakes it: that must not be. */
static void check_cpu0_awake(void)
{
	assert_true(agent_pending(&fake.cpu[0], &fake.page[1][0]));
	assert_true(looks_again || fake.kicks[0]);
	assert_false(is_idle(0));
	/* One of both, and once: the bit has one taker. */
	assert_int_equal(looks_again + (int)fake.kicks[0], 1);
}

/* The kernel wakes an idle CPU that gets a thread; then the bit was taken for it. */
static void check_cpu0_awake_or_local(void)
{
	assert_true(agent_pending(&fake.cpu[0], &fake.page[1][0]));
	assert_int_equal(fake.kicks[0], 0);
	assert_false(is_idle(0));
}

static void test_agent_no_schedule_loses_a_message_to_a_cpu_going_idle(void **state)
{
	int runs;

	act[0] = cpu0_goes_idle;
	act[1] = message_for_cpu0;
	runs = enumerate(2, prepare_idle, check_cpu0_awake);
	act[1] = message_on_cpu0;
	runs += enumerate(2, prepare_idle, check_cpu0_awake_or_local);
	printf("# %d schedules\n", runs);
	assert_true(runs > 100);
}

static void test_agent_no_schedule_loses_a_ping_to_a_cpu_going_idle(void **state)
{
	act[0] = cpu0_goes_idle;
	act[1] = ping_cpu0;
	assert_true(enumerate(2, prepare_idle, check_cpu0_awake) > 50);
}

static void test_agent_two_wakers_kick_an_idle_cpu_once(void **state)
{
	act[0] = cpu0_goes_idle;
	act[1] = ping_cpu0;
	act[2] = ping_cpu0;
	printf("# %d schedules\n", enumerate(3, prepare_idle, check_cpu0_awake));
}

/* CPUs 0 and 1 are busy, 2 is idle: two messages at once, one helper, who is woken once. */
static void prepare_helper(void)
{
	setup(NULL);
	cpu_idle_set(fake_es(1), 2);
}

static void message_for_busy_cpu1(void)
{
	struct core_task other = { .enclave = 1, .queue = 1 };

	port_fetch_add(&fake.page[1][1].agent_seq, 1);
	agent_wake(e, &other, &fake.status[1][SLOT], SLOT, 1);
}

static void check_helper(void)
{
	assert_int_equal(fake.kicks[2], 1);
	assert_int_equal(nr_kicks(), 1);
	assert_int_equal(fake.page[1][2].agent_seq, 1);
	assert_in_range(fake.page[1][2].help, 1, 2);
	assert_false(is_idle(2));
}

static void test_agent_helper_is_woken_for_one_message_and_once(void **state)
{
	act[0] = message_on_cpu0;
	act[1] = message_for_busy_cpu1;
	enumerate(2, prepare_helper, check_helper);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_agent_idle_bit_is_taken_by_exactly_one),
		T(test_agent_counters_stay_inside_the_record),
		T(test_agent_cpu_without_news_goes_idle),
		T(test_agent_cpu_with_news_looks_again),
		T(test_agent_that_is_not_parked_is_not_asked),
		T(test_agent_ping_wakes_an_idle_cpu_and_leaves_a_busy_one),
		T(test_agent_ping_of_no_enclave_or_cpu_does_nothing),
		T(test_agent_of_an_idle_cpu_is_woken_itself),
		T(test_agent_of_the_idle_cpu_where_it_happened_needs_no_kick),
		T(test_agent_of_a_busy_cpu_gets_help_from_an_idle_one),
		T(test_agent_help_comes_from_a_cpu_where_the_thread_may_run),
		T(test_agent_help_is_found_behind_idle_cpus_that_may_not_run_it),
		T(test_agent_help_is_not_asked_of_a_cpu_the_kernel_refuses),
		T(test_agent_of_a_busy_cpu_in_a_busy_enclave_is_left_alone),
		T(test_agent_help_is_looked_for_from_the_queues_word_on),
		T(test_agent_no_schedule_loses_a_message_to_a_cpu_going_idle),
		T(test_agent_no_schedule_loses_a_ping_to_a_cpu_going_idle),
		T(test_agent_two_wakers_kick_an_idle_cpu_once),
		T(test_agent_helper_is_woken_for_one_message_and_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
