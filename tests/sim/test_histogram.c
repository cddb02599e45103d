// SPDX-License-Identifier: GPL-2.0-only
/*
 * Histograms against what they stand for: all the values, sorted.
 * In: sim/histogram.h, sim/random.h; GHOST_SEED, or the time. Out: TAP, and
 * the seed as a comment.
 */
#include "tests/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/histogram.h"
#include "sim/random.h"

#define VALUES_MAX 100000

static uint64_t seed;
static struct hist h, other;
static uint64_t value[VALUES_MAX];
static uint32_t nr;

static int setup(void **state)
{
	memset(&h, 0, sizeof(h));
	memset(&other, 0, sizeof(other));
	nr = 0;
	return 0;
}

static void add(uint64_t v)
{
	hist_add(&h, v);
	value[nr++] = v;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void assert_near(uint64_t got, uint64_t want)
{
	uint64_t off = got > want ? got - want : want - got;

	if (off > want / 128)
		fail_msg("%" PRIu64 " instead of %" PRIu64, got, want);
}

/* All that a histogram tells, of the values added since setup(). */
static void check(const struct hist *told)
{
	static const uint32_t parts[] = { 0,	  1,	  1000,	  100000, 250000, 333333, 500000,
					  750000, 900000, 990000, 999000, 999900, 999999 };
	unsigned __int128 sum = 0;

	qsort(value, nr, sizeof(value[0]), compare);
	for (uint32_t i = 0; i < nr; i++)
		sum += value[i];
	assert_true(hist_count(told) == nr);
	assert_true(hist_min(told) == value[0]);
	assert_true(hist_max(told) == value[nr - 1]);
	assert_true(hist_mean(told) == (uint64_t)(sum / nr));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		uint64_t rank = ((uint64_t)nr * parts[i] + 999999) / 1000000;
		uint64_t got = hist_quantile(told, parts[i]);

		assert_near(got, value[rank ? rank - 1 : 0]);
		assert_true(got >= value[0] && got <= value[nr - 1]);
	}
	assert_true(hist_quantile(told, 0) == value[0]);
	assert_true(hist_quantile(told, 1000000) == value[nr - 1]);
	assert_true(hist_quantile(told, UINT32_MAX) == value[nr - 1]);
}

static void test_histogram_is_small_enough(void **state)
{
	assert_true(sizeof(struct hist) <= 32 * 1024);
}

static void test_histogram_without_values_tells_0(void **state)
{
	assert_true(hist_count(&h) == 0);
	assert_true(hist_min(&h) == 0);
	assert_true(hist_max(&h) == 0);
	assert_true(hist_mean(&h) == 0);
	assert_true(hist_quantile(&h, 0) == 0);
	assert_true(hist_quantile(&h, 500000) == 0);
	assert_true(hist_quantile(&h, 1000000) == 0);
}

/* No gap between buckets, none out of order, and none behind the last. */
static void test_histogram_buckets_lie_side_by_side(void **state)
{
	uint32_t last = 0;

	for (uint64_t v = 0; v < 1 << 20; v++) {
		uint32_t i = hist_index(v);

		assert_true(i == last || i == last + 1);
		last = i;
	}
	for (int bit = 7; bit < 64; bit++)
		for (uint64_t k = 64; k < 128; k++) {
			uint64_t v = k << (bit - 6);

			assert_int_equal(hist_index(v), hist_index(v - 1) + 1);
			assert_int_equal(hist_index(v), hist_index(v + ((1ull << (bit - 6)) - 1)));
		}
	assert_int_equal(hist_index(UINT64_MAX), HIST_BUCKETS - 1);
}

static void test_histogram_is_exact_below_128(void **state)
{
	for (uint64_t v = 0; v < 128; v++)
		add(v);
	check(&h);
	for (uint32_t i = 1; i <= 128; i++)
		assert_int_equal(hist_quantile(&h, i * 1000000ull / 128), i - 1);
}

static void test_histogram_of_one_value_tells_it_exactly(void **state)
{
	static const uint64_t values[] = { 0,
					   1,
					   63,
					   64,
					   127,
					   128,
					   129,
					   1000003,
					   1ull << 32,
					   1ull << 63,
					   UINT64_MAX - 1,
					   UINT64_MAX };

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		setup(NULL);
		for (int k = 0; k < 3; k++)
			add(values[i]);
		check(&h);
		for (uint32_t part = 0; part <= 1000000; part += 1000)
			assert_true(hist_quantile(&h, part) == values[i]);
	}
}

/* The answer is a value that was there: at 50 % of four, the second. */
static void test_histogram_quantile_is_the_least_that_enough_do_not_exceed(void **state)
{
	add(10);
	add(20);
	add(30);
	add(40);
	assert_int_equal(hist_quantile(&h, 0), 10);
	assert_int_equal(hist_quantile(&h, 250000), 10);
	assert_int_equal(hist_quantile(&h, 250001), 20);
	assert_int_equal(hist_quantile(&h, 500000), 20);
	assert_int_equal(hist_quantile(&h, 500001), 30);
	assert_int_equal(hist_quantile(&h, 750000), 30);
	assert_int_equal(hist_quantile(&h, 750001), 40);
	assert_int_equal(hist_quantile(&h, 1000000), 40);
}

static void test_histogram_sum_of_the_largest_values_does_not_wrap(void **state)
{
	for (int i = 0; i < 1000; i++)
		add(UINT64_MAX - i);
	check(&h);
	assert_true(hist_mean(&h) == UINT64_MAX - 500);
}

/* Values of every size, and those of a distribution. */
static void draw(struct random *r, const struct dist *d, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		add(d ? dist_draw(d, r) : random_next(r) >> random_below(r, 64));
}

static void test_histogram_quantiles_are_those_of_the_sorted_values(void **state)
{
	static const char *const texts[] = { "exp:10us", "uniform:1us-5us", "pareto:1us,1.1,1s",
					     "99.5%exp:4us+0.5%10ms", "exp:3ns" };
	static const uint32_t counts[] = { 2, 3, 7, 10, 100, 999, 1000, 1001, VALUES_MAX };
	struct random r;

	random_seed(&r, seed);
	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
			const char *why;
			struct dist d;

			assert_int_equal(dist_parse(&d, texts[i], &why), 0);
			setup(NULL);
			draw(&r, &d, counts[c]);
			check(&h);
		}
		setup(NULL);
		draw(&r, NULL, counts[c]);
		check(&h);
	}
}

/* Of whole parts, and of parts that are empty. */
static void test_histogram_merged_is_that_of_all_values(void **state)
{
	static struct hist all;
	struct random r;

	random_seed(&r, seed + 1);
	for (uint32_t parts = 1; parts < 6; parts++) {
		memset(&all, 0, sizeof(all));
		setup(NULL);
		for (uint32_t p = 0; p < parts; p++) {
			memset(&h, 0, sizeof(h));
			draw(&r, NULL, p == 2 ? 0 : 1000);
			hist_merge(&all, &h);
			other = all;
			memset(&h, 0, sizeof(h));
			hist_merge(&all, &h);
			assert_memory_equal(&other, &all, sizeof(all));
		}
		check(&all);
		memset(&h, 0, sizeof(h));
		for (uint32_t i = 0; i < nr; i++)
			hist_add(&h, value[i]);
		assert_memory_equal(&h, &all, sizeof(all));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histogram_is_small_enough),
		cmocka_unit_test_setup(test_histogram_without_values_tells_0, setup),
		cmocka_unit_test(test_histogram_buckets_lie_side_by_side),
		cmocka_unit_test_setup(test_histogram_is_exact_below_128, setup),
		cmocka_unit_test(test_histogram_of_one_value_tells_it_exactly),
		cmocka_unit_test_setup(
			test_histogram_quantile_is_the_least_that_enough_do_not_exceed, setup),
		cmocka_unit_test_setup(test_histogram_sum_of_the_largest_values_does_not_wrap,
				       setup),
		cmocka_unit_test(test_histogram_quantiles_are_those_of_the_sorted_values),
		cmocka_unit_test(test_histogram_merged_is_that_of_all_values),
	};
	const char *given = getenv("GHOST_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
