// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the status table while it changes: number, flags and owner of a
 * slot belong together.
 * In: the reader inside libghost/inbox.c, with a hook at each of its loads. Out: TAP.
 */
#include "tests/check.h"

#include "libghost/barrier.h"

static void before_load(void);

#undef ghost_load_acquire
#define ghost_load_acquire(p) (before_load(), __atomic_load_n(p, __ATOMIC_ACQUIRE))

#include "libghost/inbox.c"

#define LOADS 4 /* at which the kernel side may have gone on; later ones see its end */

#define A (7ull << 32 | 100)
#define B (8ull << 32 | 200)
#define WORD(seq, flags) ((__u64)(seq) << 32 | (flags))

static struct ghost_status st;
static int plan[LOADS]; /* stores of the kernel side before each load */
static int nr_loads, nr_stores;

/* Thread A leaves and B joins in its slot and waits, in the order of core/event.h. */
static void store_next(void)
{
	switch (nr_stores++) {
	case 0:
		st.word = WORD(11, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU);
		break;
	case 1:
		st.word = WORD(12, 0);
		break;
	case 2:
		st.gtid = B;
		break;
	case 3:
		st.word = WORD(13, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
		break;
	case 4:
		st.word = WORD(14, GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
		break;
	}
}

#define STORES 5

static void before_load(void)
{
	int n = nr_loads < LOADS ? plan[nr_loads] : STORES;

	nr_loads++;
	while (n-- > 0 && nr_stores < STORES)
		store_next();
}

/* All ways to spread the stores over the loads. */
static void test_status_word_and_owner_are_of_one_moment(void **state)
{
	int nr_used = 0;

	for (int i = 0; i < 6 * 6 * 6 * 6; i++) {
		uint64_t word, gtid = 0;

		for (int k = 0, rest = i; k < LOADS; k++, rest /= 6)
			plan[k] = rest % 6;
		nr_loads = nr_stores = 0;
		st.word = WORD(10, GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
		st.gtid = A;
		word = status_read(&st, &gtid);
		if (!(ghost_status_flags(word) & GHOST_STATUS_INUSE))
			continue;
		nr_used++;
		assert_true(gtid == (ghost_status_seq(word) < 12 ? A : B));
	}
	assert_true(nr_used > 500);
}

static void test_status_halves_of_a_word_are_told_apart(void **state)
{
	assert_int_equal(ghost_status_seq(WORD(~0u, 3)), ~0u);
	assert_int_equal(ghost_status_flags(WORD(~0u, 3)), 3);
	assert_int_equal(ghost_status_seq(WORD(0, ~0u)), 0);
	assert_int_equal(ghost_status_flags(WORD(0, ~0u)), ~0u);
}

static void test_status_a_name_is_one_line_of_text_and_no_longer_than_before(void **state)
{
	static const char comm[GHOST_COMM_LEN] = "a\n9 \x1b[2\x7f\xc2\x85~\ty\x9b";
	static const char full[GHOST_COMM_LEN] = "a name of 16 ch.";
	char name[GHOST_COMM_LEN];

	ghost_status_name(comm, name);
	assert_string_equal(name, "a?9 ?[2???~?y?");
	ghost_status_name(full, name);
	assert_string_equal(name, "a name of 16 ch");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_word_and_owner_are_of_one_moment),
		cmocka_unit_test(test_status_halves_of_a_word_are_told_apart),
		cmocka_unit_test(test_status_a_name_is_one_line_of_text_and_no_longer_than_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
