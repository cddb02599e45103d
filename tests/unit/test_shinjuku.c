// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shinjuku, alone and with Shenango: who makes room, when, for whom, and where
 * he waits then.
 * In: the policies from their table, agents over a scripted kernel side, a clock
 * that the test moves. Out: TAP.
 */
#include "tests/unit/loop_fake.h"

#include <stdlib.h>

#include "policies/policies.h"

#define MADE LOOP_CPUS /* the queue to which all messages go */
#define US 1000ull
#define SLICE (30 * US)
#define BATCH_SLICE (32 * SLICE)

static __u32 on[LOOP_CPUS];	 /* who is there; 0: nobody */
static __u32 seen[LOOP_CPUS];	 /* transactions so far */
static __u64 came[LOOP_SLOTS];	 /* when it came to its CPU */
static bool late;		 /* who is committed does not come to his CPU */
static const __u64 none = ~0ull; /* due: never */

static void idle(__u32 cpu, bool is)
{
	if (is)
		__atomic_fetch_or(&loop_es()->idle[0], 1ull << cpu, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&loop_es()->idle[0], ~(1ull << cpu), __ATOMIC_SEQ_CST);
}

/* CPU 0 is the agent's. */
static void start_with(const char *policy, __u32 nr_cpus, const uint64_t *params)
{
	struct ghost_agents_opts opts = { .size = sizeof(opts), .params = params };

	memset(on, 0, sizeof(on));
	memset(seen, 0, sizeof(seen));
	late = false;
	loop_reset(nr_cpus);
	loop.now = 1000 * US;
	for (__u32 cpu = 1; cpu < nr_cpus; cpu++)
		idle(cpu, true);
	assert_int_equal(
		ghost_agents_start(&loop.agents, loop.enclave, policies_find(policy), &opts), 0);
	loop_wait(0);
}

static void start(const char *policy, __u32 nr_cpus)
{
	start_with(policy, nr_cpus, NULL);
}

static int teardown(void **state)
{
	loop_stop();
	return 0;
}

/* --- a kernel side that does what it is told --------------------------------------------- */

/* @slot leaves its CPU, with a message of @type, for @reason. */
static void leaves(__u32 cpu, __u32 type, __u32 reason)
{
	__u32 slot = on[cpu];
	struct ghost_msg m;

	on[cpu] = 0;
	idle(cpu, true);
	if (!late)
		loop.status[slot].runtime_ns += loop.now - came[slot];
	loop_word(slot, loop_seq(slot) + 1,
		  type == GHOST_MSG_TASK_BLOCKED ? LOOP_INUSE : LOOP_WAITS);
	m = loop_msg(slot, type);
	m.reason = reason;
	loop_push(MADE, m);
}

static void comes(__u32 slot)
{
	came[slot] = loop.status[slot].switch_ns = loop.now;
}

/* What the last rounds of the agent have committed comes about. Returns false if that is nothing. */
static bool comes_about(void)
{
	bool any = false;

	for (__u32 cpu = 1; cpu < LOOP_CPUS; cpu++) {
		struct loop_cpu *at = &loop.at[cpu];

		if (at->nr_remote == seen[cpu])
			continue;
		assert_int_equal(at->nr_remote, seen[cpu] + 1);
		seen[cpu]++;
		any = true;
		if (on[cpu])
			leaves(cpu, GHOST_MSG_TASK_PREEMPT, GHOST_PREEMPT_COMMIT);
		on[cpu] = at->txn.slot;
		idle(cpu, false);
		loop.status[on[cpu]].cpu = cpu;
		loop_word(on[cpu], loop_seq(on[cpu]), LOOP_ONCPU);
		if (!late)
			comes(on[cpu]);
	}
	return any;
}

/* The agent looks until there is nothing to do at this moment. */
static void look(void)
{
	do
		loop_step(0, 0);
	while (comes_about());
}

static void at_us(__u64 us)
{
	__atomic_store_n(&loop.now, (1000 + us) * US, __ATOMIC_SEQ_CST);
	look();
}

/* When the agent wants to look again though there is no news: us, as at_us(). */
static __u64 due_us(void)
{
	return loop.at[0].until_ns / US - 1000;
}

static bool never_due(void)
{
	return loop.at[0].until_ns == none;
}

static void wakes(__u32 slot)
{
	loop_new(slot, MADE);
	look();
}

/* One that may run only on @cpu; the agent has not looked yet. */
static void wakes_bound(__u32 slot, __u32 cpu)
{
	loop_thread(slot, MADE, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	memset(loop.status[slot].cpus, 0, sizeof(loop.status[slot].cpus));
	loop.status[slot].cpus[0] = 1 << cpu;
	loop_event(slot, GHOST_MSG_TASK_NEW, LOOP_WAITS);
}

static void wakes_nice(__u32 slot, int nice)
{
	loop_thread(slot, MADE, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop.status[slot].nice = nice;
	loop_event(slot, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	look();
}

static void blocks(__u32 cpu)
{
	leaves(cpu, GHOST_MSG_TASK_BLOCKED, 0);
	look();
}

/* --- slices ---------------------------------------------------------------------------------- */

static void test_shinjuku_nobody_makes_room_while_nobody_waits(void **state)
{
	start("shinjuku", 2);
	wakes(1);
	assert_int_equal(on[1], 1);
	/* Nor does anybody wait for the end of its slice. */
	assert_true(never_due());
	at_us(1000);
	assert_int_equal(seen[1], 1);
	/* But as soon as somebody does. */
	wakes(2);
	assert_int_equal(on[1], 2);
}

static void test_shinjuku_a_slice_ends_when_it_is_over_and_not_before(void **state)
{
	start("shinjuku", 2);
	wakes(1);
	at_us(10);
	wakes(2);
	assert_int_equal(on[1], 1);
	assert_int_equal(due_us(), 30);
	__atomic_store_n(&loop.now, 1030 * US - 1, __ATOMIC_SEQ_CST);
	look();
	assert_int_equal(on[1], 1);
	at_us(30);
	assert_int_equal(on[1], 2);
	/* The kernel is told of it, too: the tick would end it. */
	assert_int_equal(loop.at[1].txn.slice_ns, SLICE);
}

static void test_shinjuku_who_makes_room_goes_to_the_end(void **state)
{
	start("shinjuku", 2);
	for (__u32 slot = 1; slot <= 4; slot++)
		wakes(slot);
	for (__u32 i = 0; i < 12; i++) {
		assert_int_equal(on[1], 1 + i % 4);
		at_us(30 * (i + 1));
	}
}

static const uint64_t with_timer[] = { SLICE, 1, 0, 0, 0 };

static void test_shinjuku_leaves_the_end_of_a_slice_to_the_timer_that_it_asked_for(void **state)
{
	start_with("shinjuku", 2, with_timer);
	wakes(1);
	assert_int_equal(loop.at[1].txn.flags & GHOST_RUN_SLICE_TIMER, GHOST_RUN_SLICE_TIMER);
	assert_int_equal(loop.at[1].txn.slice_ns, SLICE);
	wakes(2);
	at_us(30);
	assert_int_equal(on[1], 1);
	/* The timer has come. */
	at_us(31);
	leaves(1, GHOST_MSG_TASK_PREEMPT, GHOST_PREEMPT_SLICE);
	look();
	assert_int_equal(on[1], 2);
	/* The other one has had its turn, and waits behind those that came meanwhile. */
	wakes(3);
	blocks(1);
	assert_int_equal(on[1], 1);
}

static void test_shinjuku_ends_a_slice_itself_that_no_timer_has_ended(void **state)
{
	start_with("shinjuku", 2, with_timer);
	wakes(1);
	/* Nobody waited when it came. */
	at_us(36);
	wakes(2);
	assert_int_equal(on[1], 1);
	assert_true(loop.at[0].until_ns == 1000 * US + SLICE + SLICE / 4);
	at_us(38);
	assert_int_equal(on[1], 2);
	/* Much later: at once. */
	blocks(1);
	assert_int_equal(on[1], 1);
	at_us(500);
	wakes(3);
	assert_int_equal(on[1], 3);
}

static void test_shinjuku_asks_for_no_timer_that_cannot_be(void **state)
{
	static const uint64_t slices[] = { GHOST_TIMER_MIN_NS - 1, GHOST_SLICE_INF };

	for (int i = 0; i < 2; i++) {
		const uint64_t params[] = { slices[i], 1 };

		if (i)
			loop_stop();
		start_with("shinjuku", 2, params);
		wakes(1);
		assert_int_equal(on[1], 1);
		assert_int_equal(loop.at[1].txn.flags & GHOST_RUN_SLICE_TIMER, 0);
	}
}

static void test_shinjuku_takes_a_cpu_for_a_better_one_whatever_the_timer(void **state)
{
	start_with("shinjuku_shenango", 2, with_timer);
	wakes_nice(1, 19);
	assert_int_equal(on[1], 1);
	assert_int_equal(loop.at[1].txn.slice_ns, BATCH_SLICE);
	at_us(5);
	wakes(2);
	assert_int_equal(on[1], 2);
}

static void test_shinjuku_who_came_first_runs_first(void **state)
{
	start("shinjuku", 2);
	for (__u32 slot = 1; slot <= 4; slot++)
		wakes(slot);
	for (__u32 slot = 1; slot < 4; slot++) {
		assert_int_equal(on[1], slot);
		blocks(1);
	}
	assert_int_equal(on[1], 4);
}

static void test_shinjuku_who_is_interrupted_goes_on_first_until_its_turn_is_over(void **state)
{
	start("shinjuku", 2);
	wakes(1);
	wakes(2);
	at_us(20);
	leaves(1, GHOST_MSG_TASK_PREEMPT, GHOST_PREEMPT_CLASS);
	look();
	assert_int_equal(on[1], 1);
	/* 20 + 10 us: it has had its turn. */
	__atomic_store_n(&loop.now, 1030 * US, __ATOMIC_SEQ_CST);
	leaves(1, GHOST_MSG_TASK_PREEMPT, GHOST_PREEMPT_CLASS);
	look();
	assert_int_equal(on[1], 2);
}

static void
test_shinjuku_who_made_room_is_last_though_interrupts_took_part_of_its_slice(void **state)
{
	start("shinjuku", 2);
	for (__u32 slot = 1; slot <= 3; slot++)
		wakes(slot);
	came[1] += 10 * US;
	at_us(30);
	assert_int_equal(on[1], 2);
	blocks(1);
	assert_int_equal(on[1], 3);
	blocks(1);
	assert_int_equal(on[1], 1);
}

static void
test_shinjuku_who_slept_waits_behind_the_others_whatever_is_left_of_its_slice(void **state)
{
	start("shinjuku", 2);
	wakes(1);
	wakes(2);
	at_us(5);
	blocks(1);
	wakes(3);
	loop_event(1, GHOST_MSG_TASK_WAKEUP, LOOP_WAITS);
	look();
	blocks(1);
	assert_int_equal(on[1], 3);
	blocks(1);
	assert_int_equal(on[1], 1);
}

static void test_shinjuku_a_slice_begins_when_its_thread_is_there(void **state)
{
	start("shinjuku", 2);
	late = true;
	wakes(1);
	wakes(2);
	at_us(100);
	assert_int_equal(on[1], 1);
	assert_int_equal(due_us(), 130);
	comes(1);
	late = false;
	at_us(129);
	assert_int_equal(on[1], 1);
	at_us(130);
	assert_int_equal(on[1], 2);
}

static void test_shinjuku_who_has_run_longest_makes_room_first(void **state)
{
	start("shinjuku", 4);
	idle(1, false);
	idle(2, false);
	wakes(1);
	assert_int_equal(on[3], 1);
	at_us(5);
	idle(1, true);
	wakes(2);
	assert_int_equal(on[1], 2);
	at_us(10);
	idle(2, true);
	wakes(3);
	assert_int_equal(on[2], 3);
	at_us(500);
	/* One has a place to go to when the first makes room, and so on. */
	late = true;
	loop_new(4, MADE);
	loop_step(0, 0);
	assert_int_equal(loop.at[3].nr_remote, seen[3] + 1);
	assert_int_equal(loop.at[1].nr_remote, seen[1]);
	assert_int_equal(loop.at[2].nr_remote, seen[2]);
}

static void test_shinjuku_who_cannot_run_there_displaces_somebody_else(void **state)
{
	start("shinjuku", 3);
	wakes(1);
	wakes(2);
	at_us(50);
	wakes_bound(3, 2);
	loop_step(0, 0);
	assert_int_equal(loop.at[1].nr_remote, seen[1]);
	assert_int_equal(loop.at[2].txn.slot, 3);
}

/* The agent itself is where a thread was, and nobody has said yet that it is off its CPU. */
/* Also if the agent has seen before that nobody could take its place, and when the next turn ends. */
static void
test_shinjuku_whose_turn_is_over_makes_room_for_the_first_who_may_run_there(void **state)
{
	start("shinjuku", 3);
	wakes(1);
	at_us(20);
	wakes(2);
	at_us(35);
	wakes_bound(3, 2);
	look();
	assert_int_equal(on[1], 1);
	assert_int_equal(on[2], 2);
	at_us(36);
	wakes(4);
	assert_int_equal(on[1], 4);
	at_us(50);
	assert_int_equal(on[2], 3);
}

static void test_shinjuku_nobody_is_put_where_the_agent_is(void **state)
{
	start("shinjuku", 2);
	wakes(1);
	wakes(2);
	__atomic_fetch_add(&loop.cpu[0].wanted, 1, __ATOMIC_SEQ_CST);
	loop_answer(0, 0);
	loop_wait(1);
	assert_int_equal(loop.rw[1].spins, 1);
	__atomic_store_n(&loop.now, 1050 * US, __ATOMIC_SEQ_CST);
	loop_step(1, 0);
	/* It waits still, and gets the CPU that the agent has left. */
	idle(0, true);
	loop_step(1, 0);
	assert_int_equal(loop.at[0].nr_remote, 1);
	assert_int_equal(loop.at[0].txn.slot, 2);
}

static void test_shinjuku_a_slice_that_never_ends_does_not(void **state)
{
	const uint64_t params[] = { GHOST_SLICE_INF, 0 };

	start_with("shinjuku", 2, params);
	wakes(1);
	wakes(2);
	at_us(1000000);
	assert_int_equal(on[1], 1);
	assert_true(never_due());
	assert_true(loop.at[1].txn.slice_ns == GHOST_SLICE_INF);
}

static void test_shinjuku_of_all_slices_the_first_to_end_is_due(void **state)
{
	start("shinjuku", 4);
	wakes(1);
	at_us(7);
	wakes(2);
	at_us(9);
	wakes(3);
	wakes(4);
	assert_int_equal(due_us(), 30);
	at_us(30);
	assert_int_equal(due_us(), 37);
}

/* Five for three CPUs: after 200 slices nobody is more than two ahead. */
static void fair_among(const char *policy, int nice, __u64 slice_us)
{
	__u64 least = none, most = 0, all_us = 200 * slice_us;

	start(policy, 4);
	for (__u32 slot = 1; slot <= 5; slot++)
		wakes_nice(slot, nice);
	for (__u64 us = 0; us <= all_us; us += slice_us / 6)
		at_us(us);
	for (__u32 slot = 1; slot <= 5; slot++) {
		__u64 ns = loop.status[slot].runtime_ns;

		for (__u32 cpu = 1; cpu < 4; cpu++)
			ns += on[cpu] == slot ? loop.now - came[slot] : 0;
		least = ns < least ? ns : least;
		most = ns > most ? ns : most;
	}
	assert_true(least >= all_us * US * 3 / 5 - 2 * slice_us * US);
	assert_true(most <= least + 2 * slice_us * US);
}

static void test_shinjuku_shares_are_equal(void **state)
{
	fair_among("shinjuku", 0, SLICE / US);
}

static void test_shinjuku_without_shenango_knows_no_classes(void **state)
{
	start("shinjuku", 2);
	wakes_nice(1, 19);
	wakes_nice(2, 0);
	assert_int_equal(on[1], 1);
	at_us(30);
	assert_int_equal(on[1], 2);
	at_us(60);
	assert_int_equal(on[1], 1);
}

/* --- classes ------------------------------------------------------------------------------------ */

static void test_shenango_batch_gets_every_idle_cpu(void **state)
{
	start("shinjuku_shenango", 4);
	for (__u32 slot = 1; slot <= 4; slot++)
		wakes_nice(slot, 1);
	assert_true(on[1] && on[2] && on[3]);
}

static void test_shenango_batch_makes_room_at_once_and_never_the_other_way(void **state)
{
	start("shinjuku_shenango", 2);
	wakes_nice(1, 1);
	assert_int_equal(on[1], 1);
	/* At the same moment. */
	wakes(2);
	assert_int_equal(on[1], 2);
	/* Whatever it has had: batch waits. */
	at_us(100000);
	assert_int_equal(on[1], 2);
	assert_true(never_due());
	blocks(1);
	assert_int_equal(on[1], 1);
}

static void test_shenango_an_idle_cpu_is_taken_before_one_of_batch(void **state)
{
	start("shinjuku_shenango", 3);
	wakes_nice(1, 1);
	wakes(2);
	assert_int_equal(on[1], 1);
	assert_int_equal(on[2], 2);
}

static void test_shenango_batch_waits_behind_the_others(void **state)
{
	start("shinjuku_shenango", 2);
	wakes(1);
	wakes_nice(2, 1);
	wakes(3);
	blocks(1);
	assert_int_equal(on[1], 3);
	blocks(1);
	assert_int_equal(on[1], 2);
}

static void test_shenango_batch_that_made_room_goes_on_first(void **state)
{
	start("shinjuku_shenango", 2);
	wakes_nice(1, 1);
	wakes_nice(2, 1);
	at_us(10);
	wakes(3);
	assert_int_equal(on[1], 3);
	blocks(1);
	assert_int_equal(on[1], 1);
}

static void test_shenango_those_before_batch_have_slices_among_themselves(void **state)
{
	start("shinjuku_shenango", 2);
	wakes_nice(3, 1);
	wakes(1);
	wakes(2);
	for (__u32 i = 0; i < 6; i++) {
		assert_int_equal(on[1], 1 + i % 2);
		at_us(30 * (i + 1));
	}
}

static void test_shenango_one_cpu_of_batch_is_enough_for_one(void **state)
{
	start("shinjuku_shenango", 4);
	for (__u32 slot = 1; slot <= 3; slot++)
		wakes_nice(slot, 1);
	wakes(4);
	assert_int_equal((on[1] == 4) + (on[2] == 4) + (on[3] == 4), 1);
	assert_int_equal(seen[1] + seen[2] + seen[3], 4);
}

static void test_shenango_slices_of_batch_are_longer(void **state)
{
	start("shinjuku_shenango", 2);
	wakes_nice(1, 1);
	wakes_nice(2, 1);
	assert_int_equal(due_us(), BATCH_SLICE / US);
	assert_int_equal(loop.at[1].txn.slice_ns, BATCH_SLICE);
	at_us(BATCH_SLICE / US - 1);
	assert_int_equal(on[1], 1);
	at_us(BATCH_SLICE / US);
	assert_int_equal(on[1], 2);
}

static void test_shenango_no_slice_is_longer_than_one_that_never_ends(void **state)
{
	const uint64_t params[] = { GHOST_SLICE_INF / 2, 0, 0, 0, 0 };

	start_with("shinjuku_shenango", 2, params);
	wakes_nice(1, 1);
	assert_true(loop.at[1].txn.slice_ns == GHOST_SLICE_INF / 2);
}

static void test_shenango_shares_of_batch_are_equal(void **state)
{
	fair_among("shinjuku_shenango", 5, BATCH_SLICE / US);
}

static void test_shenango_nice_values_above_a_limit_are_batch(void **state)
{
	const uint64_t params[] = { SLICE, 0, 10, 0, 0 };

	start_with("shinjuku_shenango", 2, params);
	wakes_nice(1, 10);
	wakes_nice(2, 11);
	wakes_nice(3, -20);
	blocks(1);
	assert_int_equal(on[1], 3);
	blocks(1);
	assert_int_equal(on[1], 2);
	wakes_nice(4, 10);
	assert_int_equal(on[1], 4);
}

static void named(__u32 slot, const char *name)
{
	loop_thread(slot, MADE, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	snprintf(loop.status[slot].comm, sizeof(loop.status[slot].comm), "%s", name);
	loop_event(slot, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	look();
}

static void test_shenango_threads_of_a_given_name_are_batch(void **state)
{
	const uint64_t params[] = { SLICE, 0, 19, (uintptr_t)"make*", 0 };

	start_with("shinjuku_shenango", 2, params);
	named(1, "makefile");
	named(2, "remake");
	assert_int_equal(on[1], 2);
	/* With 19 no nice value is. */
	wakes_nice(3, 19);
	blocks(1);
	assert_int_equal(on[1], 3);
}

static void in_cgroup(__u32 slot, __u64 cgroup)
{
	loop_thread(slot, MADE, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop.status[slot].cgroup = cgroup;
	loop_event(slot, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	look();
}

static void test_shenango_threads_in_a_given_cgroup_are_batch(void **state)
{
	const uint64_t params[] = { SLICE, 0, 19, 0, 1ull << 40 | 7 };

	start_with("shinjuku_shenango", 2, params);
	in_cgroup(1, 1ull << 40 | 7);
	in_cgroup(2, 7);
	assert_int_equal(on[1], 2);
	in_cgroup(3, 0);
	blocks(1);
	assert_int_equal(on[1], 3);
	blocks(1);
	assert_int_equal(on[1], 1);
}

/* The class may change; it is asked for when the thread comes to wait. */
static void test_shenango_a_thread_that_is_reniced_changes_its_class(void **state)
{
	start("shinjuku_shenango", 2);
	wakes(1);
	wakes_nice(2, 1);
	wakes_nice(3, 1);
	loop.status[3].nice = 0;
	loop_event(3, GHOST_MSG_TASK_PRIORITY_CHANGED, LOOP_WAITS);
	look();
	assert_int_equal(on[1], 1);
	at_us(30);
	assert_int_equal(on[1], 3);
}

/* --- one CPU -------------------------------------------------------------------------------------- */

/* Nobody spins there: slices are the kernel's, and classes are kept where a CPU is free. */
static void test_shenango_on_one_cpu_better_ones_come_first(void **state)
{
	loop_reset(1);
	loop_start(policies_find("shinjuku_shenango"), NULL);
	loop_thread(1, 0, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop.status[1].nice = 1;
	loop_event(1, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	loop_new(2, 0);
	loop_step(0, GHOST_TXN_YIELDED);
	assert_int_equal(loop_wait(0).slot, 2);
	assert_int_equal(loop_wait(0).slice_ns, SLICE);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_shinjuku_nobody_makes_room_while_nobody_waits),
		T(test_shinjuku_a_slice_ends_when_it_is_over_and_not_before),
		T(test_shinjuku_who_makes_room_goes_to_the_end),
		T(test_shinjuku_leaves_the_end_of_a_slice_to_the_timer_that_it_asked_for),
		T(test_shinjuku_ends_a_slice_itself_that_no_timer_has_ended),
		T(test_shinjuku_asks_for_no_timer_that_cannot_be),
		T(test_shinjuku_takes_a_cpu_for_a_better_one_whatever_the_timer),
		T(test_shinjuku_who_came_first_runs_first),
		T(test_shinjuku_who_is_interrupted_goes_on_first_until_its_turn_is_over),
		T(test_shinjuku_who_made_room_is_last_though_interrupts_took_part_of_its_slice),
		T(test_shinjuku_who_slept_waits_behind_the_others_whatever_is_left_of_its_slice),
		T(test_shinjuku_a_slice_begins_when_its_thread_is_there),
		T(test_shinjuku_who_has_run_longest_makes_room_first),
		T(test_shinjuku_who_cannot_run_there_displaces_somebody_else),
		T(test_shinjuku_whose_turn_is_over_makes_room_for_the_first_who_may_run_there),
		T(test_shinjuku_nobody_is_put_where_the_agent_is),
		T(test_shinjuku_a_slice_that_never_ends_does_not),
		T(test_shinjuku_of_all_slices_the_first_to_end_is_due),
		T(test_shinjuku_shares_are_equal),
		T(test_shinjuku_without_shenango_knows_no_classes),
		T(test_shenango_batch_gets_every_idle_cpu),
		T(test_shenango_batch_makes_room_at_once_and_never_the_other_way),
		T(test_shenango_an_idle_cpu_is_taken_before_one_of_batch),
		T(test_shenango_batch_waits_behind_the_others),
		T(test_shenango_batch_that_made_room_goes_on_first),
		T(test_shenango_those_before_batch_have_slices_among_themselves),
		T(test_shenango_one_cpu_of_batch_is_enough_for_one),
		T(test_shenango_slices_of_batch_are_longer),
		T(test_shenango_no_slice_is_longer_than_one_that_never_ends),
		T(test_shenango_shares_of_batch_are_equal),
		T(test_shenango_nice_values_above_a_limit_are_batch),
		T(test_shenango_threads_of_a_given_name_are_batch),
		T(test_shenango_threads_in_a_given_cgroup_are_batch),
		T(test_shenango_a_thread_that_is_reniced_changes_its_class),
		T(test_shenango_on_one_cpu_better_ones_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
