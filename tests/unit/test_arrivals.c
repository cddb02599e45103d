// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arrivals of the load generator, as a sequence of numbers: no clock, no thread.
 * In: bench/apps/arrivals.h; GHOST_SEED, or 1. Out: TAP.
 */
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/apps/arrivals.h"

#define NR 200000

static uint64_t seed = 1;

/* Of the gaps, in ns: the mean, and the deviation as a part of it. */
static void measure(double rate, double *ret_mean, double *ret_cv)
{
	double sum = 0, squares = 0;
	uint64_t last = 0;
	struct arrivals a;

	arrivals_init(&a, rate, seed);
	for (int i = 0; i < NR; i++) {
		uint64_t at = arrivals_next(&a);
		double gap = at - last;

		assert_true(at >= last);
		sum += gap;
		squares += gap * gap;
		last = at;
	}
	*ret_mean = sum / NR;
	*ret_cv = sqrt(squares / NR - *ret_mean * *ret_mean) / *ret_mean;
}

/*
 * Exponential gaps deviate by as much as their mean. Of so many the mean is off
 * by 0.22 % and the deviation by 0.32 % (one sigma); five of those are allowed.
 */
static void test_arrivals_come_at_the_asked_rate_with_exponential_gaps(void **state)
{
	static const double rates[] = { 0.5, 1, 333.3, 100000, 3000000 };

	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		double mean, cv;

		measure(rates[i], &mean, &cv);
		if (fabs(mean * rates[i] / 1e9 - 1) > 0.011 || fabs(cv - 1) > 0.016)
			fail_msg("rate %g: mean gap %g ns, deviation %g of it", rates[i], mean, cv);
	}
}

/* e^-1 of all gaps are longer than the mean, e^-3 than three times that. */
static void test_arrivals_have_long_gaps_as_often_as_exponential_ones(void **state)
{
	struct arrivals a;
	uint64_t last = 0;
	double above_1 = 0, above_3 = 0;

	arrivals_init(&a, 1000, seed + 1);
	for (int i = 0; i < NR; i++) {
		uint64_t at = arrivals_next(&a), gap = at - last;

		above_1 += gap > 1000000;
		above_3 += gap > 3000000;
		last = at;
	}
	assert_true(fabs(above_1 / NR - exp(-1)) < 0.0055);
	assert_true(fabs(above_3 / NR - exp(-3)) < 0.0025);
}

/* In each second as many as are independent of the seconds before: variance = mean. */
static void test_arrivals_are_counted_as_a_poisson_process_counts(void **state)
{
	enum {
		RATE = 50,
		SECONDS = 4000
	};
	static uint32_t count[SECONDS];
	double sum = 0, squares = 0, mean;
	struct arrivals a;
	uint64_t at;

	arrivals_init(&a, RATE, seed + 2);
	while ((at = arrivals_next(&a)) < SECONDS * 1000000000ull)
		count[at / 1000000000]++;
	for (int i = 0; i < SECONDS; i++) {
		sum += count[i];
		squares += (double)count[i] * count[i];
	}
	mean = sum / SECONDS;
	assert_true(fabs(mean - RATE) < 0.6);
	/* One sigma is 2.2 %. */
	assert_true(fabs((squares / SECONDS - mean * mean) / mean - 1) < 0.12);
}

static void test_arrivals_of_one_seed_are_the_same_and_of_another_are_not(void **state)
{
	struct arrivals a, b, c;
	int same = 0;

	arrivals_init(&a, 1000, seed);
	arrivals_init(&b, 1000, seed);
	arrivals_init(&c, 1000, seed + 1);
	for (int i = 0; i < 1000; i++) {
		uint64_t at = arrivals_next(&a);

		assert_true(at == arrivals_next(&b));
		same += at == arrivals_next(&c);
	}
	assert_true(same < 10);
}

/* Results name their seed, so these numbers are a promise. */
static void test_arrivals_of_seed_1_are_these(void **state)
{
	static const uint64_t want[] = { 352509, 1005596, 1560538, 2498746 };
	struct arrivals a;

	arrivals_init(&a, 1000, 1);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(arrivals_next(&a), want[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrivals_come_at_the_asked_rate_with_exponential_gaps),
		cmocka_unit_test(test_arrivals_have_long_gaps_as_often_as_exponential_ones),
		cmocka_unit_test(test_arrivals_are_counted_as_a_poisson_process_counts),
		cmocka_unit_test(test_arrivals_of_one_seed_are_the_same_and_of_another_are_not),
		cmocka_unit_test(test_arrivals_of_seed_1_are_these),
	};
	const char *given = getenv("GHOST_SEED");

	if (given)
		seed = strtoull(given, NULL, 0);
	printf("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
