// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots: unique while taken, reused when given back, and an end to them.
 * In: core/slots.h over plain memory. Out: TAP.
 */
#include "tests/check.h"
#include "tests/unit/port_fake.h"

#include "core/slots.h"

#include <stdio.h>
#include <stdlib.h>

static int setup(void **state)
{
	fake_reset();
	return 0;
}

/* The table is dense: 1, 2, 3, ... and slot 0 is never handed out. */
static void test_slots_are_handed_out_from_one_upwards(void **state)
{
	for (__u32 i = 1; i < FAKE_SLOTS; i++)
		assert_int_equal(slots_take(), i);
}

/* 0 is "none left"; after one comes back there is exactly one again. */
static void test_slots_exhausted_answers_zero_until_one_is_given(void **state)
{
	for (__u32 i = 1; i < FAKE_SLOTS; i++)
		slots_take();
	assert_int_equal(slots_take(), 0);
	assert_int_equal(slots_take(), 0);
	assert_int_equal(fake.slots.used, FAKE_SLOTS);
	slots_give(17);
	assert_int_equal(slots_take(), 17);
	assert_int_equal(slots_take(), 0);
}

/* Before the loader has set the capacity nobody gets a slot. */
static void test_slots_without_capacity_give_nothing(void **state)
{
	fake.slots.capacity = 0;
	assert_int_equal(slots_take(), 0);
}

/* Last given, first taken; fresh ones only when no old one is left. */
static void test_slots_given_back_are_reused_before_fresh_ones(void **state)
{
	for (__u32 i = 1; i <= 5; i++)
		slots_take();
	slots_give(2);
	slots_give(4);
	assert_int_equal(slots_take(), 4);
	assert_int_equal(slots_take(), 2);
	assert_int_equal(slots_take(), 6);
}

static void test_slots_out_of_range_are_not_taken_back(void **state)
{
	__u64 head = fake.slots.head;

	slots_give(FAKE_SLOTS);
	slots_give(~0u);
	assert_int_equal(fake.slots.head, head);
}

/*
 * The head changes to B and back to A between load and exchange: the counter
 * in its high half makes the exchange fail, or slot 2 would be handed out twice.
 */
static int meddle_at = -1;

static void meddle(void)
{
	if (meddle_at-- != 0)
		return;
	fake.step = NULL;
	assert_int_equal(slots_take(), 3);
	assert_int_equal(slots_take(), 2);
	slots_give(3); /* 3 is on top again, above 1 now and not above 2 */
}

static void test_slots_taken_and_given_in_between_are_noticed(void **state)
{
	for (__u32 i = 1; i <= 3; i++)
		slots_take();
	slots_give(1);
	slots_give(2);
	slots_give(3);
	meddle_at = 0; /* the exchange is the first access that can be stopped */
	fake.step = meddle;
	assert_int_equal(slots_take(), 3);
	assert_int_equal(slots_take(), 1); /* not 2, which is taken */
	assert_int_equal(slots_take(), 4);
}

/* Another CPU gets in the way at every try: "table full", and no loop without end. */
static void always_busy(void)
{
	fake.slots.head += 1ull << 32;
	fake.slots.used++;
	if (fake.slots.used > FAKE_SLOTS / 2)
		fake.slots.used = 1;
}

static void test_slots_taker_that_always_loses_gives_up(void **state)
{
	fake.step = always_busy;
	assert_int_equal(slots_take(), 0);
	fake.task[9].next_free = 0;
	slots_give(9);
	fake.step = NULL;
	assert_int_equal((__u32)fake.slots.head, 0); /* lost, not corrupted */
}

/* A seeded mix of takes and gives against a set kept by hand. */
static void test_slots_random_mix_never_hands_one_out_twice(void **state)
{
	const char *env = getenv("GHOST_TEST_SEED");
	unsigned int seed = env ? strtoul(env, NULL, 0) : 1;
	char taken[FAKE_SLOTS] = { 0 };
	int n = 0;

	printf("# GHOST_TEST_SEED=%u\n", seed);
	for (int i = 0; i < 100000; i++) {
		if (rand_r(&seed) % 2) {
			__u32 s = slots_take();

			assert_int_equal(!s, n == FAKE_SLOTS - 1);
			if (!s)
				continue;
			assert_in_range(s, 1, FAKE_SLOTS - 1);
			assert_false(taken[s]);
			taken[s] = 1;
			n++;
		} else {
			__u32 s = 1 + rand_r(&seed) % (FAKE_SLOTS - 1);

			if (!taken[s])
				continue;
			slots_give(s);
			taken[s] = 0;
			n--;
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_slots_are_handed_out_from_one_upwards, setup),
		cmocka_unit_test_setup(test_slots_exhausted_answers_zero_until_one_is_given, setup),
		cmocka_unit_test_setup(test_slots_without_capacity_give_nothing, setup),
		cmocka_unit_test_setup(test_slots_given_back_are_reused_before_fresh_ones, setup),
		cmocka_unit_test_setup(test_slots_out_of_range_are_not_taken_back, setup),
		cmocka_unit_test_setup(test_slots_taken_and_given_in_between_are_noticed, setup),
		cmocka_unit_test_setup(test_slots_taker_that_always_loses_gives_up, setup),
		cmocka_unit_test_setup(test_slots_random_mix_never_hands_one_out_twice, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
