// SPDX-License-Identifier: GPL-2.0-only
/*
 * The per-CPU FIFO: where threads wait, in which order they run, who steals.
 * In: the policy from its table, agents over a scripted kernel side. Out: TAP.
 */
#include "tests/unit/loop_fake.h"

#include <stdlib.h>

#include "policies/policies.h"

/* CPUs 0 and 1 are near each other, 2 and 3 as well. */
#define MACHINE "package:2 [numa] core:2 pu:1"

static int setup(void **state)
{
	loop_reset(2);
	return 0;
}

static int teardown(void **state)
{
	loop_stop();
	return 0;
}

static void start(void)
{
	loop_start(policies_find("fifo_percpu"), NULL);
}

static void start_on(__u32 nr_cpus)
{
	loop_stop();
	loop_reset(nr_cpus);
	start();
}

/* A round of @cpu's agent, whose last transaction had nothing in it. */
static struct ghost_txn go_round(__u32 cpu)
{
	return loop_step(cpu, GHOST_TXN_YIELDED);
}

/* The thread on @cpu, which its agent has just put there, sleeps; the next one handed in. */
static __u32 run_and_block(__u32 cpu)
{
	__u32 slot = loop_wait(cpu).slot;

	loop.status[slot].cpu = loop.status[slot].queue = cpu;
	loop_event(slot, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	return loop_step(cpu, GHOST_TXN_COMMITTED).slot;
}

/* The same, but it loses the CPU for @reason, or yields (0). */
static __u32 run_and_preempt(__u32 cpu, __u32 reason)
{
	__u32 slot = loop_wait(cpu).slot;
	struct ghost_msg m;

	loop.status[slot].cpu = loop.status[slot].queue = cpu;
	loop_word(slot, loop_seq(slot) + 1, LOOP_WAITS);
	m = loop_msg(slot, reason ? GHOST_MSG_TASK_PREEMPT : GHOST_MSG_TASK_YIELD);
	m.reason = reason;
	loop_push(cpu, m);
	return loop_step(cpu, GHOST_TXN_COMMITTED).slot;
}

static void set_idle(__u32 cpu)
{
	__atomic_fetch_or(&loop_es()->idle[0], 1ull << cpu, __ATOMIC_SEQ_CST);
}

static void set_busy(__u32 cpu)
{
	__atomic_fetch_and(&loop_es()->idle[0], ~(1ull << cpu), __ATOMIC_SEQ_CST);
}

static void allow(__u32 slot, __u64 cpus)
{
	memset(loop.status[slot].cpus, 0, sizeof(loop.status[slot].cpus));
	loop.status[slot].cpus[0] = cpus;
}

/* New, and allowed on @cpus only. */
static void new_on(__u32 slot, __u32 queue, __u64 cpus)
{
	loop_thread(slot, queue, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	allow(slot, cpus);
	loop_event(slot, GHOST_MSG_TASK_NEW, LOOP_WAITS);
}

/* --- the table ------------------------------------------------------------------ */

static void test_fifo_table_of_policies_is_sorted_and_each_is_found(void **state)
{
	assert_non_null(policies[0]);
	for (int i = 0; policies[i]; i++) {
		assert_ptr_equal(policies_find(policies[i]->name), policies[i]);
		assert_non_null(policies[i]->schedule);
		assert_true(strlen(policies[i]->help) > 0);
		assert_null(strchr(policies[i]->help, '\n'));
		if (i)
			assert_true(strcmp(policies[i - 1]->name, policies[i]->name) < 0);
	}
	assert_null(policies_find("fifo"));
	assert_null(policies_find("fifo_percpu "));
	assert_null(policies_find(""));
}

static void test_fifo_defaults_lie_within_their_ranges(void **state)
{
	for (int i = 0; policies[i]; i++)
		for (const struct ghost_param *p = policies[i]->params; p && p->name; p++) {
			assert_true(p->min <= p->value && p->value <= p->max);
			assert_true(strlen(p->help) > 0);
		}
}

static void test_fifo_slice_out_of_range_is_refused(void **state)
{
	static const struct {
		uint64_t slice;
		int err;
	} cases[] = {
		{ 0, -EINVAL }, { 1, -EINVAL },	   { 9999, -EINVAL },	   { 10000, 0 },
		{ 5000000, 0 }, { 1000000000, 0 }, { GHOST_SLICE_INF, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_agents_opts opts = { .size = sizeof(opts), .params = &cases[i].slice };
		struct ghost_agents *as = NULL;

		loop_stop();
		loop_reset(1);
		assert_int_equal(ghost_agents_start(&as, loop.enclave, policies_find("fifo_percpu"),
						    &opts),
				 cases[i].err);
		loop.agents = as;
		if (cases[i].err)
			continue;
		loop_wait(0);
		loop_new(1, 0);
		assert_true(go_round(0).slice_ns == cases[i].slice);
	}
}

static void test_fifo_slice_is_five_milliseconds_if_nothing_is_said(void **state)
{
	start();
	loop_new(1, 0);
	assert_int_equal(go_round(0).slice_ns, 5000000);
}

/* --- order ----------------------------------------------------------------------- */

static void test_fifo_threads_run_in_the_order_they_came(void **state)
{
	start_on(1);
	for (__u32 s = 5; s; s--)
		loop_new(s, 0);
	assert_int_equal(go_round(0).slot, 5);
	for (__u32 s = 4; s; s--)
		assert_int_equal(run_and_block(0), s);
	assert_int_equal(run_and_block(0), 0);
	/* Waking up is coming again. */
	loop_event(2, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	loop_event(4, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	assert_int_equal(go_round(0).slot, 2);
	assert_int_equal(run_and_block(0), 4);
	assert_int_equal(run_and_block(0), 1);
}

static void test_fifo_thread_whose_slice_is_used_up_goes_to_the_end(void **state)
{
	start_on(1);
	for (__u32 s = 1; s <= 3; s++)
		loop_new(s, 0);
	assert_int_equal(go_round(0).slot, 1);
	for (int i = 0; i < 3; i++)
		for (__u32 s = 1; s <= 3; s++)
			assert_int_equal(run_and_preempt(0, GHOST_PREEMPT_SLICE), s % 3 + 1);
}

static void test_fifo_thread_that_yields_goes_to_the_end(void **state)
{
	start_on(1);
	for (__u32 s = 1; s <= 3; s++)
		loop_new(s, 0);
	go_round(0);
	for (__u32 s = 1; s <= 6; s++)
		assert_int_equal(run_and_preempt(0, 0), s % 3 + 1);
}

/* It has not had its slice: no other thread passes it. */
static void test_fifo_thread_that_was_pushed_aside_goes_on_first(void **state)
{
	static const __u32 reasons[] = { GHOST_PREEMPT_CLASS, GHOST_PREEMPT_LATCH,
					 GHOST_PREEMPT_KICK };

	start_on(1);
	for (__u32 s = 1; s <= 3; s++)
		loop_new(s, 0);
	assert_int_equal(go_round(0).slot, 1);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		assert_int_equal(run_and_preempt(0, reasons[i]), 1);
	assert_int_equal(run_and_block(0), 2);
}

/* Its slice is counted over the pieces: what is left is asked for, and then the others come. */
static void test_fifo_thread_pushed_aside_again_and_again_has_one_turn(void **state)
{
	const uint64_t slice = 5000000;
	struct ghost_txn txn;

	start_on(1);
	for (__u32 s = 1; s <= 3; s++)
		loop_new(s, 0);
	txn = go_round(0);
	assert_int_equal(txn.slot, 1);
	assert_int_equal(txn.slice_ns, slice);
	for (uint64_t part = 1; part <= 4; part++) {
		loop.status[1].runtime_ns = part * 1000000;
		assert_int_equal(run_and_preempt(0, GHOST_PREEMPT_CLASS), 1);
		assert_int_equal(loop_wait(0).slice_ns, slice - part * 1000000);
	}
	loop.status[1].runtime_ns = slice + 2000000; /* a tick later */
	assert_int_equal(run_and_preempt(0, GHOST_PREEMPT_CLASS), 2);
	assert_int_equal(run_and_block(0), 3);
	/* Its next turn is a whole one. */
	assert_int_equal(run_and_block(0), 1);
	assert_int_equal(loop_wait(0).slice_ns, slice);
}

static void test_fifo_thread_that_left_is_not_picked(void **state)
{
	start_on(1);
	for (__u32 s = 1; s <= 4; s++)
		loop_new(s, 0);
	assert_int_equal(go_round(0).slot, 1);
	loop_event(2, GHOST_MSG_TASK_DEAD, 0);
	loop_event(3, GHOST_MSG_TASK_DEPARTED, 0);
	assert_int_equal(run_and_block(0), 4);
	/* Another thread in the slot is another thread. */
	loop_new(2, 0);
	assert_int_equal(run_and_block(0), 2);
	assert_int_equal(run_and_block(0), 0);
}

/* --- where ------------------------------------------------------------------------- */

/* The kernel side spreads new threads over the queues; each runs where it was put. */
static void test_fifo_new_threads_are_spread_over_the_cpus(void **state)
{
	start_on(4);
	for (__u32 cpu = 0; cpu < 4; cpu++)
		loop_new(1 + cpu, cpu);
	for (__u32 cpu = 0; cpu < 4; cpu++)
		assert_int_equal(go_round(cpu).slot, 1 + cpu);
}

/* The agent that drains a busy CPU's queue is on an idle one: it takes what it finds. */
static void test_fifo_helper_takes_the_threads_of_a_busy_cpu(void **state)
{
	start();
	loop_new(1, 0);
	loop.cpu[1].help = 1 + 0;
	assert_int_equal(go_round(1).slot, 1);
}

/* But if that CPU is idle by now, its cache is the better place. */
static void test_fifo_thread_goes_back_to_its_cpu_if_that_is_idle(void **state)
{
	struct ghost_txn txn;

	start();
	loop_new(1, 0);
	loop_new(2, 0);
	loop_new(3, 0);
	set_idle(0);
	loop.cpu[1].help = 1 + 0;
	txn = go_round(1);
	assert_int_equal(txn.ping_cpu, 0);
	/* Its agent comes, and begins with the first that the other has left there. */
	assert_int_equal(txn.slot, 1);
	assert_int_equal(go_round(0).slot, 2);
}

static void test_fifo_thread_waits_only_where_it_may_run(void **state)
{
	struct ghost_txn txn;

	start();
	new_on(1, 0, 0x2);
	txn = go_round(0);
	assert_int_equal(txn.slot, 0);
	assert_int_equal(txn.ping_cpu, 1);
	assert_int_equal(go_round(0).slot, 0);
	assert_int_equal(go_round(1).slot, 1);
}

/* The last CPU is not the enclave's; a CPU of the enclave is taken. */
static void test_fifo_thread_from_outside_waits_inside(void **state)
{
	start();
	loop_thread(1, 0, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop.status[1].cpu = 3;
	loop_event(1, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	assert_int_equal(go_round(0).slot, 1);
}

static void test_fifo_thread_that_may_run_nowhere_is_not_picked(void **state)
{
	start();
	new_on(1, 0, 0xc);
	loop_new(2, 0);
	assert_int_equal(go_round(0).slot, 2);
	assert_int_equal(go_round(1).slot, 0);
	assert_int_equal(run_and_block(0), 0);
	/* Until it may again. */
	allow(1, 0x1);
	loop_event(1, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_WAITS);
	assert_int_equal(go_round(0).slot, 1);
}

/* What may not run there is no work for an idle neighbour. */
static void test_fifo_pinned_threads_wake_no_idle_neighbour(void **state)
{
	start();
	new_on(1, 0, 0x1);
	new_on(2, 0, 0x1);
	set_idle(1);
	assert_int_equal(go_round(0).ping_cpu, GHOST_CPU_NONE);
	/* But one that may does. */
	new_on(3, 0, 0x3);
	assert_int_equal(go_round(0).ping_cpu, 1);
}

/* It would look like work, and idle CPUs would send each other for it for ever. */
static void test_fifo_thread_that_may_run_nowhere_wakes_nobody(void **state)
{
	start();
	new_on(1, 0, 0xc);
	new_on(2, 1, 0xc);
	set_idle(0);
	set_idle(1);
	for (int i = 0; i < 3; i++)
		for (__u32 cpu = 0; cpu < 2; cpu++)
			assert_int_equal(go_round(cpu).ping_cpu, GHOST_CPU_NONE);
}

static void test_fifo_change_of_affinity_moves_a_thread_that_waits(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	assert_int_equal(go_round(0).slot, 1);
	allow(2, 0x2);
	loop_event(2, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_WAITS);
	assert_int_equal(run_and_block(0), 0);
	assert_int_equal(go_round(1).slot, 2);
}

/* A change told of a thread that sleeps or runs does not make it wait. */
static void test_fifo_change_of_affinity_makes_no_thread_wait(void **state)
{
	start_on(1);
	loop_new(1, 0);
	loop_new(2, 0);
	assert_int_equal(go_round(0).slot, 1);
	loop_event(1, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_ONCPU);
	assert_int_equal(loop_accept(0).slot, 2);
	assert_int_equal(run_and_block(0), 0);
	loop_event(2, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_INUSE);
	assert_int_equal(go_round(0).slot, 0);
}

/* --- stealing ------------------------------------------------------------------------ */

static void test_fifo_idle_agent_steals(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	loop_new(3, 0);
	assert_int_equal(go_round(0).slot, 1);
	assert_int_equal(go_round(1).slot, 2);
	assert_int_equal(loop_accept(1).slot, 3);
	assert_int_equal(loop_accept(0).slot, 0);
}

static void test_fifo_own_threads_come_before_those_of_others(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	loop_new(3, 1);
	assert_int_equal(go_round(0).slot, 1);
	assert_int_equal(go_round(1).slot, 3);
	assert_int_equal(run_and_block(1), 2);
}

static void test_fifo_idle_agent_does_not_steal_what_may_not_run_on_its_cpu(void **state)
{
	start();
	loop_new(1, 0);
	new_on(2, 0, 0x1);
	loop_new(3, 0);
	assert_int_equal(go_round(0).slot, 1);
	assert_int_equal(go_round(1).slot, 3); /* passing by the one that is bound */
	assert_int_equal(loop_accept(1).slot, 0);
	assert_int_equal(run_and_block(0), 2);
}

/* More than one CPU can run: an idle one is called; a busy one is left alone. */
static void test_fifo_surplus_calls_an_idle_cpu(void **state)
{
	start();
	loop_new(1, 0);
	loop_new(2, 0);
	set_idle(1);
	assert_int_equal(go_round(0).ping_cpu, 1);
	set_busy(1);
	loop_new(3, 0);
	assert_int_equal(run_and_block(0), 2);
	assert_int_equal(loop_wait(0).ping_cpu, GHOST_CPU_NONE);
	/* Nothing is left over: nobody is called. */
	set_idle(1);
	assert_int_equal(run_and_block(0), 3);
	assert_int_equal(loop_wait(0).ping_cpu, GHOST_CPU_NONE);
}

static void test_fifo_nearest_cpu_is_robbed_and_called_first(void **state)
{
	start_on(4);
	loop_new(1, 1);
	loop_new(2, 1);
	loop_new(3, 2);
	loop_new(4, 2);
	assert_int_equal(go_round(1).slot, 1);
	assert_int_equal(go_round(2).slot, 3);
	assert_int_equal(go_round(0).slot, 2);
	assert_int_equal(go_round(3).slot, 4);
	loop_new(5, 3);
	loop_new(6, 3);
	loop_new(7, 3);
	set_idle(0);
	set_idle(1);
	set_idle(2);
	assert_int_equal(run_and_block(3), 5);
	assert_int_equal(loop_wait(3).ping_cpu, 2);
	set_busy(2);
	assert_int_equal(run_and_block(3), 6);
	assert_in_range(loop_wait(3).ping_cpu, 0, 1);
}

/* --- refusals -------------------------------------------------------------------------- */

static void test_fifo_pick_refused_for_news_is_the_first_choice_again(void **state)
{
	static const __u32 states[] = { GHOST_TXN_AGENT_STALE, GHOST_TXN_AGAIN, GHOST_TXN_READY };

	start_on(1);
	loop_new(1, 0);
	loop_new(2, 0);
	assert_int_equal(go_round(0).slot, 1);
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		assert_int_equal(loop_step(0, states[i]).slot, 1);
	assert_int_equal(run_and_block(0), 2);
}

/* A message tells of these: the thread is not the policy's any more. */
static void test_fifo_pick_refused_as_stale_is_left_to_its_message(void **state)
{
	static const __u32 states[] = { GHOST_TXN_TASK_STALE, GHOST_TXN_NOT_FOUND,
					GHOST_TXN_NOT_RUNNABLE, GHOST_TXN_ON_CPU };

	start_on(1);
	loop_new(1, 0);
	assert_int_equal(go_round(0).slot, 1);
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		assert_int_equal(loop_step(0, states[i]).slot, 0);
		loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
		assert_int_equal(go_round(0).slot, 1);
	}
}

/*
 * Its mask allows this CPU but the kernel does not (migration disabled): it
 * is handed to the CPU where it ran, once, and this one goes on with others.
 */
static void test_fifo_refusal_as_not_allowed_does_not_spin(void **state)
{
	struct ghost_txn txn;

	start();
	loop_thread(1, 0, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop.status[1].cpu = 1;
	loop_event(1, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	assert_int_equal(go_round(0).slot, 1);
	loop_new(2, 0);
	txn = loop_step(0, GHOST_TXN_NOT_ALLOWED);
	assert_int_equal(txn.slot, 2);
	assert_int_equal(txn.ping_cpu, 1);
	assert_int_equal(run_and_block(0), 0);
	assert_int_equal(go_round(0).slot, 0); /* nor is it stolen */
	assert_int_equal(go_round(1).slot, 1);
	assert_int_equal(run_and_block(1), 0);
	/* With its next message it is free again. */
	loop.status[1].queue = 0;
	loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	assert_int_equal(go_round(0).slot, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_fifo_table_of_policies_is_sorted_and_each_is_found),
		T(test_fifo_defaults_lie_within_their_ranges),
		T(test_fifo_slice_out_of_range_is_refused),
		T(test_fifo_slice_is_five_milliseconds_if_nothing_is_said),
		T(test_fifo_threads_run_in_the_order_they_came),
		T(test_fifo_thread_whose_slice_is_used_up_goes_to_the_end),
		T(test_fifo_thread_that_yields_goes_to_the_end),
		T(test_fifo_thread_that_was_pushed_aside_goes_on_first),
		T(test_fifo_thread_pushed_aside_again_and_again_has_one_turn),
		T(test_fifo_thread_that_left_is_not_picked),
		T(test_fifo_new_threads_are_spread_over_the_cpus),
		T(test_fifo_helper_takes_the_threads_of_a_busy_cpu),
		T(test_fifo_thread_goes_back_to_its_cpu_if_that_is_idle),
		T(test_fifo_thread_waits_only_where_it_may_run),
		T(test_fifo_thread_from_outside_waits_inside),
		T(test_fifo_thread_that_may_run_nowhere_is_not_picked),
		T(test_fifo_thread_that_may_run_nowhere_wakes_nobody),
		T(test_fifo_pinned_threads_wake_no_idle_neighbour),
		T(test_fifo_change_of_affinity_moves_a_thread_that_waits),
		T(test_fifo_change_of_affinity_makes_no_thread_wait),
		T(test_fifo_idle_agent_steals),
		T(test_fifo_own_threads_come_before_those_of_others),
		T(test_fifo_idle_agent_does_not_steal_what_may_not_run_on_its_cpu),
		T(test_fifo_surplus_calls_an_idle_cpu),
		T(test_fifo_nearest_cpu_is_robbed_and_called_first),
		T(test_fifo_pick_refused_for_news_is_the_first_choice_again),
		T(test_fifo_pick_refused_as_stale_is_left_to_its_message),
		T(test_fifo_refusal_as_not_allowed_does_not_spin),
	};

	setenv("HWLOC_SYNTHETIC", MACHINE, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
