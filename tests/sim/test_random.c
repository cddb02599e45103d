// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chance: the numbers are the ones they always were, and fall as they should.
 * In: sim/random.h, fixed seeds; GHOST_SEED, or the time, for the walk through
 * texts. Out: TAP, and that seed as a comment.
 */
#include "tests/check.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/random.h"

#define DRAWS 200000

static uint64_t seed;

static struct random from(uint64_t s)
{
	struct random r;

	random_seed(&r, s);
	return r;
}

/* A generator whose next number is @x: what random_next() does, backwards. */
static struct random about_to_say(uint64_t x)
{
	struct random r = { { 1, 0, 3, 4 } };

	x *= 0x8e38e38e38e38e39; /* 9 times this is 1, as is 5 times that below */
	r.s[1] = (x >> 7 | x << 57) * 0xcccccccccccccccd;
	return r;
}

static struct dist parse(const char *text)
{
	const char *why = NULL;
	struct dist d;

	memset(&d, 0xa5, sizeof(d)); /* what was in it must not shine through */
	if (dist_parse(&d, text, &why))
		fail_msg("'%s': %s", text, why);
	assert_null(why);
	return d;
}

/* --- the generator ------------------------------------------------------------- */

/* The numbers that the authors of the algorithms, and everybody since, get. */
static void test_random_generator_is_xoshiro256_seeded_by_splitmix64(void **state)
{
	static const uint64_t next[] = { 11520,
					 0,
					 1509978240,
					 1215971899390074240,
					 1216172134540287360,
					 607988272756665600,
					 16172922978634559625u,
					 8476171486693032832 };
	static const uint64_t seeded[] = { 6457827717110365317, 3203168211198807973,
					   9817491932198370423u, 4593380528125082431 };
	struct random r = { { 1, 2, 3, 4 } };

	for (size_t i = 0; i < ARRAY_LEN(next); i++)
		assert_true(random_next(&r) == next[i]);
	r = from(1234567);
	assert_memory_equal(r.s, seeded, sizeof(seeded));
}

/* Whoever changes these changes what every seed in every report means. */
static void test_random_first_numbers_of_seed_1_are_what_they_were(void **state)
{
	static const uint64_t next[] = { 0xb3f2af6d0fc710c5, 0x853b559647364cea, 0x92f89756082a4514,
					 0x642e1c7bc266a3a7, 0xb27a48e29a233673, 0x24c123126ffda722,
					 0x123004ef8df510e6, 0x61954dcc47b1e89d };
	/* -ln of the above, to the last digit */
	static const uint64_t exponential[] = { 352509583739,  653087165990, 554941753240,
						938207657518,  360713923131, 1940918371522,
						2644438758596, 964471908951 };
	static const uint64_t pareto[] = { 2246, 1632, 1767, 1392, 2217, 1109, 1050, 1377 };
	struct dist d = parse("pareto:1us,1.5,1ms");
	struct random r = from(1);

	for (size_t i = 0; i < ARRAY_LEN(next); i++)
		assert_true(random_next(&r) == next[i]);
	r = from(1);
	for (size_t i = 0; i < ARRAY_LEN(exponential); i++)
		assert_true(random_exponential(&r, 1000000000000) == exponential[i]);
	r = from(1);
	for (size_t i = 0; i < ARRAY_LEN(pareto); i++)
		assert_true(dist_draw(&d, &r) == pareto[i]);
}

static void test_random_sequences_of_neighbouring_seeds_have_nothing_in_common(void **state)
{
	for (uint64_t s = 0; s < 1000; s++) {
		struct random a = from(s), b = from(s + 1), again = from(s);
		unsigned int bits = 0;

		for (int i = 0; i < 64; i++) {
			uint64_t x = random_next(&a);

			assert_true(x == random_next(&again));
			bits += __builtin_popcountll(x ^ random_next(&b));
		}
		/* Of 4096 bits half differ, give or take six times 32. */
		assert_in_range(bits, 2048 - 192, 2048 + 192);
	}
}

/* Sum of (seen - expected)^2 / expected: about @nr, with a deviation of sqrt(2 nr). */
static void assert_even(const uint32_t *seen, const double *expected, int nr)
{
	double chi2 = 0;

	for (int i = 0; i < nr; i++)
		chi2 += (seen[i] - expected[i]) * (seen[i] - expected[i]) / expected[i];
	if (chi2 > nr + 5 * sqrt(2.0 * nr) + 5)
		fail_msg("chi-square is %.1f of %d", chi2, nr);
}

static void test_random_below_is_below_and_even(void **state)
{
	static const uint64_t tops[] = { 1, 2, 3, 10, 64, 1000 };
	static uint32_t seen[1000];
	static double expected[1000];
	struct random r = from(2);

	for (size_t i = 0; i < ARRAY_LEN(tops); i++) {
		memset(seen, 0, sizeof(seen));
		for (int k = 0; k < DRAWS; k++) {
			uint64_t x = random_below(&r, tops[i]);

			assert_true(x < tops[i]);
			seen[x]++;
		}
		for (uint64_t k = 0; k < tops[i]; k++)
			expected[k] = (double)DRAWS / tops[i];
		assert_even(seen, expected, tops[i]);
	}
}

/* Three quarters of 2^64: without the second draw the lower thirds would be twice as likely. */
static void test_random_below_is_even_where_64_bits_are_just_enough(void **state)
{
	const uint64_t n = 3ull << 62;
	const double expected[] = { DRAWS / 3.0, DRAWS / 3.0, DRAWS / 3.0 };
	uint32_t seen[3] = { 0 };
	struct random r = from(3);

	for (int k = 0; k < DRAWS; k++) {
		uint64_t x = random_below(&r, n);

		assert_true(x < n);
		seen[x >> 62]++;
	}
	assert_even(seen, expected, 3);
}

static void test_random_between_includes_both_ends(void **state)
{
	struct random r = from(4), copy;
	uint32_t seen[5] = { 0 };

	for (int k = 0; k < 1000; k++) {
		uint64_t x = random_between(&r, 7, 11);

		assert_in_range(x, 7, 11);
		seen[x - 7]++;
	}
	for (int i = 0; i < 5; i++)
		assert_true(seen[i] > 0);
	assert_true(random_between(&r, 9, 9) == 9);
	assert_true(random_between(&r, UINT64_MAX, UINT64_MAX) == UINT64_MAX);
	for (int k = 0; k < 1000; k++)
		assert_true(random_between(&r, UINT64_MAX - 1, UINT64_MAX) >= UINT64_MAX - 1);
	copy = r;
	assert_true(random_between(&r, 0, UINT64_MAX) == random_next(&copy));
}

static void test_random_chance_comes_as_often_as_asked(void **state)
{
	static const uint32_t ppm[] = { 1000, 250000, 500000, 999000 };
	struct random r = from(5);

	for (size_t i = 0; i < ARRAY_LEN(ppm); i++) {
		double p = ppm[i] / 1e6, hits = 0;

		for (int k = 0; k < DRAWS; k++)
			hits += random_chance(&r, ppm[i]);
		assert_true(fabs(hits - DRAWS * p) < 5 * sqrt(DRAWS * p * (1 - p)));
	}
}

static void test_random_chance_that_is_certain_draws_all_the_same(void **state)
{
	static const uint32_t ppm[] = { 0, 1000000, 1000001, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_LEN(ppm); i++) {
		struct random r = from(6), other = from(6);

		for (int k = 0; k < 1000; k++) {
			assert_true(random_chance(&r, ppm[i]) == (ppm[i] > 0));
			random_chance(&other, 500000);
		}
		assert_memory_equal(&r, &other, sizeof(r));
	}
}

static void test_random_fork_is_another_sequence_and_one_draw(void **state)
{
	struct random r = from(7), copy = r, child = random_fork(&r), second = random_fork(&r);
	unsigned int bits = 0, bits2 = 0;

	random_next(&copy);
	random_next(&copy);
	assert_memory_equal(&r, &copy, sizeof(r));
	for (int i = 0; i < 64; i++) {
		uint64_t x = random_next(&child);

		bits += __builtin_popcountll(x ^ random_next(&r));
		bits2 += __builtin_popcountll(x ^ random_next(&second));
	}
	assert_in_range(bits, 2048 - 192, 2048 + 192);
	assert_in_range(bits2, 2048 - 192, 2048 + 192);
	/* The same parent has the same children. */
	r = from(7);
	copy = random_fork(&r);
	child = from(7);
	child = random_fork(&child);
	assert_memory_equal(&copy, &child, sizeof(copy));
}

/* --- exponential ----------------------------------------------------------------- */

/* The mean is so large that rounding to whole units does not count. */
static void assert_exponential(uint64_t x)
{
	const uint64_t mean = 1ull << 56;
	struct random r = about_to_say(x);
	double want = -logl((long double)(x | 1) / 18446744073709551616.0L) * mean, got;

	assert_true(random_next(&(struct random){ { r.s[0], r.s[1], r.s[2], r.s[3] } }) == x);
	got = random_exponential(&r, mean);
	/* Next to nothing, there is nothing to be relative to. */
	if (fabs(got - want) > want * 1e-9 + mean * 1e-12)
		fail_msg("of 0x%" PRIx64 ": %.17g instead of %.17g", x, got, want);
}

static void test_exponential_draws_are_the_logarithm_of_what_was_drawn(void **state)
{
	struct random r = from(8);

	for (int i = 0; i < DRAWS; i++)
		assert_exponential(random_next(&r));
	/* Each size of number, and both sides of each step of the table. */
	for (int bit = 0; bit < 64; bit++)
		for (uint64_t i = 0; i < 256; i++) {
			uint64_t step = (256 + i) << 55 >> bit;

			assert_exponential(step);
			assert_exponential(step - 1);
			assert_exponential(step + 1);
		}
	for (uint64_t i = 0; i < 1000; i++) {
		assert_exponential(i);
		assert_exponential(-i);
	}
}

static void test_exponential_draws_have_the_asked_mean(void **state)
{
	static const uint64_t means[] = { 10, 1000, 4000, 1000000, 1000000000000 };
	struct random r = from(9);

	for (size_t i = 0; i < ARRAY_LEN(means); i++) {
		double sum = 0, squares = 0, mean = means[i];

		for (int k = 0; k < DRAWS; k++) {
			double x = random_exponential(&r, means[i]);

			sum += x;
			squares += x * x;
		}
		sum /= DRAWS;
		squares = squares / DRAWS - sum * sum;
		assert_true(fabs(sum - mean) < 5 * mean / sqrt(DRAWS));
		/* The variance is the square of the mean; of that, the variance is 8. */
		assert_true(fabs(squares / mean / mean - 1) < 5 * sqrt(8.0 / DRAWS) + 1 / mean);
	}
}

static void test_exponential_draws_fall_as_exponential_ones_do(void **state)
{
	static uint32_t seen[41];
	static double expected[41];
	struct random r = from(10);

	for (int k = 0; k < DRAWS; k++) {
		uint64_t x = random_exponential(&r, 1000000) / 250000;

		seen[x < 40 ? x : 40]++;
	}
	for (int i = 0; i < 40; i++)
		expected[i] = DRAWS * (exp(-i / 4.0) - exp(-(i + 1) / 4.0));
	expected[40] = DRAWS * exp(-10);
	assert_even(seen, expected, 41);
}

static void test_exponential_draws_know_their_limits(void **state)
{
	static const uint64_t means[] = { 0, 1, 1000, 1ull << 58 };

	for (size_t i = 0; i < ARRAY_LEN(means); i++) {
		struct random least = about_to_say(0), most = about_to_say(UINT64_MAX);
		uint64_t x = random_exponential(&least, means[i]);

		/* ln(2^64) is 44.36: the most there is. */
		assert_true(x >= means[i] * 44 && x <= means[i] * 45);
		assert_true(random_exponential(&most, means[i]) <= means[i] >> 42);
	}
	for (uint64_t mean = UINT64_MAX; mean > 1ull << 59; mean /= 2) {
		struct random r = about_to_say(0);

		assert_true(random_exponential(&r, mean) == UINT64_MAX);
	}
}

/* --- texts ------------------------------------------------------------------------ */

static const struct {
	const char *text, *written;
	uint64_t mean;
} good[] = {
	{ "0", "0", 0 },
	{ "0ns", "0", 0 },
	{ "0.0s", "0", 0 },
	{ "const:0", "0", 0 },
	{ "4us", "4us", 4000 },
	{ "const:4us", "4us", 4000 },
	{ "004us", "4us", 4000 },
	{ "1ns", "1ns", 1 },
	{ "1.5us", "1500ns", 1500 },
	{ "1500us", "1500us", 1500000 },
	{ "1000us", "1ms", 1000000 },
	{ "0.000000001s", "1ns", 1 },
	{ "1.000000001s", "1000000001ns", 1000000001 },
	{ "2.999ns", "2ns", 2 },
	{ "100000000s", "100000000s", 100000000000000000 },
	{ "99999999.999999999s", "99999999999999999ns", 99999999999999999 },
	{ "100000000000000000ns", "100000000s", 100000000000000000 },
	{ "exp:10us", "exp:10us", 10000 },
	{ "exp:100000000s", "exp:100000000s", 100000000000000000 },
	{ "uniform:1us-5us", "uniform:1us-5us", 3000 },
	{ "uniform:0-1ms", "uniform:0-1ms", 500000 },
	{ "uniform:0-0", "uniform:0-0", 0 },
	{ "uniform:7ns-7ns", "uniform:7ns-7ns", 7 },
	{ "pareto:1us,1.5,1ms", "pareto:1us,1.5,1ms", 2905 },
	{ "pareto:1us,2,1ms", "pareto:1us,2,1ms", 1998 },
	{ "pareto:1us,2.0,1ms", "pareto:1us,2,1ms", 1998 },
	{ "pareto:1us,1,1ms", "pareto:1us,1,1ms", 6914 },
	{ "pareto:1ns,0.1,100000000s", "pareto:1ns,0.1,100000000s", 226209281317408 },
	{ "pareto:1ns,10,2ns", "pareto:1ns,10,2ns", 1 },
	{ "100%4us", "4us", 4000 },
	{ "100.000%exp:4us", "exp:4us", 4000 },
	{ "99.5%exp:4us+0.5%10ms", "99.5%exp:4us+0.5%10ms", 53980 },
	{ "99.50%exp:4us+00.500%const:10ms", "99.5%exp:4us+0.5%10ms", 53980 },
	{ "99.999%0+0.001%100s", "99.999%0+0.001%100s", 1000000 },
	{ "50%uniform:1us-3us+50%pareto:1us,2,1ms", "50%uniform:1us-3us+50%pareto:1us,2,1ms",
	  1999 },
	{ "12.5%1ns+12.5%2ns+12.5%3ns+12.5%4ns+12.5%5ns+12.5%6ns+12.5%7ns+12.5%8ns",
	  "12.5%1ns+12.5%2ns+12.5%3ns+12.5%4ns+12.5%5ns+12.5%6ns+12.5%7ns+12.5%8ns", 4 },
};

static void test_dist_text_becomes_what_it_says(void **state)
{
	char buf[DIST_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct dist d = parse(good[i].text), back;
		uint64_t mean = dist_mean(&d);

		dist_format(&d, buf, sizeof(buf));
		assert_string_equal(buf, good[i].written);
		back = parse(buf);
		assert_memory_equal(&back, &d, sizeof(d));
		if (fabs((double)mean - good[i].mean) > good[i].mean * 1e-3 + 1)
			fail_msg("the mean of %s is %" PRIu64, good[i].text, mean);
	}
}

static void test_dist_text_that_is_none_is_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"4",
		"us",
		"4 us",
		" 4us",
		"4us ",
		"4us,",
		"-4us",
		"+4us",
		".5us",
		"5.us",
		"1.2.3us",
		"1,5us",
		"0x4us",
		"4m",
		"4min",
		"4uss",
		"4US",
		"inf",
		"nan",
		"1e3ns",
		"0.1234567891s",
		"100000001s",
		"100000000.000000001s",
		"100000000000000001ns",
		"18446744073709551616ns",
		"340282366920938463463374607431768211457ns",
		"99999999999999999999999999999999999999999999999999999999999999s",
		"const",
		"const:",
		"const:exp:4us",
		"exp",
		"exp:",
		"exp:0",
		"exp:0ns",
		"exp:0.9ns",
		"Exp:4us",
		"exp:4us,5us",
		"exp=4us",
		"normal:4us",
		"table:FILE",
		"uniform:",
		"uniform:4us",
		"uniform:4us-",
		"uniform:-4us",
		"uniform:1-4us",
		"uniform:5us-4us",
		"uniform:1us-2us-3us",
		"uniform:1us,2us",
		"pareto:",
		"pareto:1us",
		"pareto:1us,1.5",
		"pareto:1us,1.5,",
		"pareto:1us,,1ms",
		"pareto:1us,1.5,1ms,",
		"pareto:1us-1.5-1ms",
		"pareto:0,1.5,1ms",
		"pareto:1ms,1.5,1us",
		"pareto:1us,1.5,1us",
		"pareto:1us,0,1ms",
		"pareto:1us,0.0,1ms",
		"pareto:1us,0.05,1ms",
		"pareto:1us,1.55,1ms",
		"pareto:1us,10.1,1ms",
		"pareto:1us,42949672970,1ms",
		"pareto:1us,-1,1ms",
		"100%",
		"%4us",
		"4us+5us",
		"4us%50+5us%50",
		"50%4us",
		"50%4us+",
		"50%4us+50%",
		"50%4us+50%5us+",
		"+50%4us+50%5us",
		"50%4us++50%5us",
		"50%4us 50%5us",
		"50%4us+49.999%5us",
		"50%4us+50.001%5us",
		"50%4us+0%3us+50%5us",
		"0%4us",
		"100%4us+100%5us",
		"101%4us",
		"99.9995%4us+0.0005%5us",
		"4294967396%4us",
		"50%50%4us+50%5us",
		"50%4us+5us",
		"10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+20%1ns",
		"10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns+10%1ns",
		"\xd9\xa1us",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct dist d = parse("exp:3us"), before = d;
		const char *why = NULL;

		if (dist_parse(&d, bad[i], &why) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
		assert_non_null(why);
		assert_true(strlen(why) > 10);
		assert_memory_equal(&d, &before, sizeof(d));
	}
}

static void random_duration(struct random *r, char *buf)
{
	static const char *const unit[] = { "ns", "us", "ms", "s" };
	uint64_t u = random_below(r, 4), whole = 1 + random_below(r, 100000000);

	if (u && random_chance(r, 300000))
		sprintf(buf, "%" PRIu64 ".%" PRIu64 "%s", whole - 1, random_below(r, 1000),
			unit[u]);
	else
		sprintf(buf, "%" PRIu64 "%s", whole, unit[u]);
}

/* Refused where the order of two durations is wrong; what is taken is written and read again. */
static void test_dist_text_that_is_written_reads_back_the_same(void **state)
{
	struct random r = from(seed);
	uint32_t taken = 0;

	for (int round = 0; round < 20000; round++) {
		uint32_t rest = 100000, nr = 1 + random_below(&r, DIST_TERMS_MAX);
		char text[1024] = "", buf[DIST_TEXT_SIZE], a[64], b[64];
		struct dist d, back;
		const char *why;
		size_t len = 0;

		for (uint32_t i = 0; i < nr; i++) {
			uint32_t share = i + 1 < nr ? 1 + random_below(&r, rest / 2) : rest;

			rest -= share;
			if (nr > 1)
				len += sprintf(text + len, "%s%u.%03u%%", i ? "+" : "",
					       share / 1000, share % 1000);
			random_duration(&r, a);
			random_duration(&r, b);
			switch (random_below(&r, 5)) {
			case 0:
				len += sprintf(text + len, "%s", a);
				break;
			case 1:
				len += sprintf(text + len, "const:%s", a);
				break;
			case 2:
				len += sprintf(text + len, "exp:%s", a);
				break;
			case 3:
				len += sprintf(text + len, "uniform:%s-%s", a, b);
				break;
			case 4:
				len += sprintf(text + len, "pareto:%s,%d.%d,%s", a,
					       (int)random_below(&r, 10),
					       1 + (int)random_below(&r, 9), b);
				break;
			}
		}
		if (dist_parse(&d, text, &why))
			continue;
		taken++;
		dist_format(&d, buf, sizeof(buf));
		back = parse(buf);
		assert_memory_equal(&back, &d, sizeof(d));
	}
	assert_true(taken > 1000);
}

/* Any text at all: refused or taken, and nothing worse. */
static void test_dist_text_of_random_letters_does_no_harm(void **state)
{
	static const char letters[] = "0123456789999..%%%++,,:--unmsexpconstuniformpareto \n\x80";
	struct random r = from(seed + 1);

	for (int round = 0; round < 200000; round++) {
		char text[64], buf[DIST_TEXT_SIZE];
		const char *why = NULL;
		struct dist d;
		int len = random_below(&r, sizeof(text)), at;

		/* What is right but for a few letters comes farther than noise. */
		if (random_chance(&r, 800000)) {
			snprintf(text, sizeof(text), "%s",
				 good[random_below(&r, ARRAY_LEN(good))].text);
			for (int i = random_below(&r, 3); i >= 0; i--) {
				at = random_below(&r, strlen(text) + 1);
				if (text[at])
					text[at] = letters[random_below(&r, sizeof(letters))];
			}
		} else {
			for (int i = 0; i < len; i++)
				text[i] = letters[random_below(&r, sizeof(letters) - 1)];
			text[len] = 0;
		}
		if (dist_parse(&d, text, &why)) {
			assert_non_null(why);
			continue;
		}
		dist_format(&d, buf, sizeof(buf));
		parse(buf);
		for (int i = 0; i < 8; i++)
			assert_true(dist_draw(&d, &r) <= INT64_MAX);
		assert_true(dist_mean(&d) <= DIST_NS_MAX);
	}
}

/* Too small a buffer: cut, terminated, and not a byte behind it. */
static void test_dist_text_is_cut_at_the_size_given(void **state)
{
	static const char whole[] = "99.5%exp:4us+0.4%10ms+0.1%pareto:1us,1.5,1ms";
	struct dist d = parse(whole);
	char buf[64];

	for (size_t size = 0; size <= sizeof(whole) + 1; size++) {
		memset(buf, '#', sizeof(buf));
		dist_format(&d, buf, size);
		assert_int_equal(buf[size], '#');
		if (size) {
			size_t n = size < sizeof(whole) ? size - 1 : sizeof(whole) - 1;

			assert_int_equal(strlen(buf), n);
			assert_memory_equal(buf, whole, n);
		}
	}
}

static void test_dist_longest_text_fits(void **state)
{
	char text[DIST_TEXT_SIZE] = "", buf[DIST_TEXT_SIZE];
	struct dist d;

	for (int i = 0; i < DIST_TERMS_MAX; i++)
		sprintf(text + strlen(text),
			"%s12.%d%%pareto:99999999999999998ns,9.9,99999999999999999ns", i ? "+" : "",
			i % 2 ? 499 : 501);
	d = parse(text);
	dist_format(&d, buf, sizeof(buf));
	assert_string_equal(buf, text);
	assert_true(strlen(text) + 16 < DIST_TEXT_SIZE);
}

/* --- draws ------------------------------------------------------------------------- */

static void test_dist_zeroed_memory_draws_nothing_but_0(void **state)
{
	struct dist d = { 0 };
	struct random r = from(11);
	char buf[8];

	assert_true(dist_draw(&d, &r) == 0);
	assert_true(dist_mean(&d) == 0);
	dist_format(&d, buf, sizeof(buf));
	assert_string_equal(buf, "");
}

static void test_dist_const_draws_nothing_of_the_generator(void **state)
{
	struct dist d = parse("4us");
	struct random r = from(12), before = r;

	for (int i = 0; i < 100; i++)
		assert_true(dist_draw(&d, &r) == 4000);
	assert_memory_equal(&r, &before, sizeof(r));
	d = parse("50%4us+50%5us");
	dist_draw(&d, &r);
	random_next(&before);
	assert_memory_equal(&r, &before, sizeof(r));
}

/* As the sum of squares tells how far the mean of draws may be off. */
static void test_dist_draws_have_the_mean_that_is_told(void **state)
{
	static const char *const texts[] = {
		"4us",
		"exp:10us",
		"uniform:1us-5us",
		"uniform:0-1ns",
		"pareto:1us,0.5,1ms",
		"pareto:1us,1,1ms",
		"pareto:1us,1.1,1s",
		"pareto:1us,1.5,1ms",
		"pareto:1us,3,1s",
		"pareto:1us,1.5,1001ns",
		"99.5%exp:4us+0.5%10ms",
		"33.333%uniform:1us-3us+33.333%pareto:1us,2,1ms+33.334%exp:1ms",
	};
	struct random r = from(13);

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct dist d = parse(texts[i]);
		double sum = 0, squares = 0, mean = dist_mean(&d);

		for (int k = 0; k < DRAWS; k++) {
			double x = dist_draw(&d, &r);

			sum += x;
			squares += (x - mean) * (x - mean);
		}
		sum /= DRAWS;
		if (fabs(sum - mean) > 5 * sqrt(squares / DRAWS / DRAWS) + mean * 1e-3 + 1)
			fail_msg("%s: told %.0f, drew %.0f", texts[i], mean, sum);
	}
}

static void test_dist_uniform_reaches_both_ends_and_is_even(void **state)
{
	struct dist d = parse("uniform:10ns-19ns");
	uint32_t seen[10] = { 0 };
	double expected[10];
	struct random r = from(14);

	for (int k = 0; k < DRAWS; k++) {
		uint64_t x = dist_draw(&d, &r);

		assert_in_range(x, 10, 19);
		seen[x - 10]++;
	}
	for (int i = 0; i < 10; i++)
		expected[i] = DRAWS / 10.0;
	assert_even(seen, expected, 10);
}

static void test_dist_mixture_has_the_shares_asked_for(void **state)
{
	struct dist d = parse("0.1%0+9.9%1ns+40%2ns+50%uniform:3ns-4ns");
	const double expected[] = { DRAWS * .001, DRAWS * .099, DRAWS * .4, DRAWS * .25,
				    DRAWS * .25 };
	uint32_t seen[5] = { 0 };
	struct random r = from(15);

	for (int k = 0; k < DRAWS; k++)
		seen[dist_draw(&d, &r)]++;
	assert_even(seen, expected, 5);
}

static const struct {
	const char *text;
	double min, alpha, max;
} paretos[] = {
	{ "pareto:1us,1.5,1ms", 1e3, 1.5, 1e6 },
	{ "pareto:1us,1,1ms", 1e3, 1, 1e6 },
	{ "pareto:1us,0.1,1ms", 1e3, 0.1, 1e6 },
	{ "pareto:1us,10,1ms", 1e3, 10, 1e6 },
	{ "pareto:1ms,0.9,1000s", 1e6, 0.9, 1e12 },
	{ "pareto:1ms,1.1,1000s", 1e6, 1.1, 1e12 },
	{ "pareto:1us,2.3,100000000s", 1e3, 2.3, 1e17 },
	{ "pareto:1ns,0.1,100000000s", 1, 0.1, 1e17 },
	{ "pareto:1us,1.2,1002ns", 1e3, 1.2, 1002 },
	{ "pareto:1s,1.2,1.001001s", 1e9, 1.2, 1001001e3 },
	{ "pareto:1s,1.2,1.000999s", 1e9, 1.2, 1000999e3 },
	{ "pareto:1s,1.2,1.000000001s", 1e9, 1.2, 1e9 + 1 },
};

static void test_dist_pareto_draws_are_the_roots_of_what_was_drawn(void **state)
{
	struct random r = from(16);

	for (size_t i = 0; i < ARRAY_LEN(paretos); i++) {
		struct dist d = parse(paretos[i].text);
		double inside = 1 - pow(paretos[i].min / paretos[i].max, paretos[i].alpha);

		for (int k = 0; k < 5000; k++) {
			/* Evenly, and crowded at either end. */
			uint64_t x = random_next(&r) >> (k % 4 == 1 ? k / 4 % 60 : 0);
			struct random say;
			double want, got;

			if (k % 4 == 2)
				x = ~(x >> k / 4 % 60);
			say = about_to_say(x);
			want = paretos[i].min *
			       powl(1 - (long double)x / 18446744073709551616.0L * inside,
				    -1 / paretos[i].alpha);
			if (want > paretos[i].max)
				want = paretos[i].max;
			got = dist_draw(&d, &say);
			assert_true(got >= paretos[i].min && got <= paretos[i].max);
			/* The root is steep where next to nothing is left to draw. */
			if (x > UINT64_MAX - (1ull << 44))
				continue;
			if (fabs(got - want) > want * 1e-4 + 1)
				fail_msg("%s of 0x%" PRIx64 ": %.0f instead of %.0f",
					 paretos[i].text, x, got, want);
		}
	}
}

static void test_dist_pareto_means_are_what_theory_says(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(paretos); i++) {
		struct dist d = parse(paretos[i].text);
		double l = paretos[i].min, h = paretos[i].max, a = paretos[i].alpha, want;

		if (a == 1)
			want = l * log(h / l) / (1 - l / h);
		else
			want = a / (a - 1) * (l - h * pow(l / h, a)) / (1 - pow(l / h, a));
		if (fabs(dist_mean(&d) - want) > want * 1e-3 + 1)
			fail_msg("the mean of %s is %.0f instead of %.0f", paretos[i].text,
				 (double)dist_mean(&d), want);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_generator_is_xoshiro256_seeded_by_splitmix64),
		cmocka_unit_test(test_random_first_numbers_of_seed_1_are_what_they_were),
		cmocka_unit_test(
			test_random_sequences_of_neighbouring_seeds_have_nothing_in_common),
		cmocka_unit_test(test_random_below_is_below_and_even),
		cmocka_unit_test(test_random_below_is_even_where_64_bits_are_just_enough),
		cmocka_unit_test(test_random_between_includes_both_ends),
		cmocka_unit_test(test_random_chance_comes_as_often_as_asked),
		cmocka_unit_test(test_random_chance_that_is_certain_draws_all_the_same),
		cmocka_unit_test(test_random_fork_is_another_sequence_and_one_draw),
		cmocka_unit_test(test_exponential_draws_are_the_logarithm_of_what_was_drawn),
		cmocka_unit_test(test_exponential_draws_have_the_asked_mean),
		cmocka_unit_test(test_exponential_draws_fall_as_exponential_ones_do),
		cmocka_unit_test(test_exponential_draws_know_their_limits),
		cmocka_unit_test(test_dist_text_becomes_what_it_says),
		cmocka_unit_test(test_dist_text_that_is_none_is_refused_with_a_reason),
		cmocka_unit_test(test_dist_text_that_is_written_reads_back_the_same),
		cmocka_unit_test(test_dist_text_of_random_letters_does_no_harm),
		cmocka_unit_test(test_dist_text_is_cut_at_the_size_given),
		cmocka_unit_test(test_dist_longest_text_fits),
		cmocka_unit_test(test_dist_zeroed_memory_draws_nothing_but_0),
		cmocka_unit_test(test_dist_const_draws_nothing_of_the_generator),
		cmocka_unit_test(test_dist_draws_have_the_mean_that_is_told),
		cmocka_unit_test(test_dist_uniform_reaches_both_ends_and_is_even),
		cmocka_unit_test(test_dist_mixture_has_the_shares_asked_for),
		cmocka_unit_test(test_dist_pareto_draws_are_the_roots_of_what_was_drawn),
		cmocka_unit_test(test_dist_pareto_means_are_what_theory_says),
	};
	const char *given = getenv("GHOST_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
