// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mixes of requests: what is understood, what is refused where, and the shares
 * of what is drawn. In: bench/apps/mix.h. Out: TAP.
 */
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/apps/mix.h"

static struct mix parsed(const char *text)
{
	const char *why = "";
	struct mix mix;
	size_t at = 0;

	if (mix_parse(&mix, text, &at, &why))
		fail_msg("%s: character %zu: %s", text, at, why);
	return mix;
}

static void refused(const char *text, size_t want_at, const char *want_why)
{
	const char *why = "";
	struct mix mix, before;
	size_t at = 0;

	memset(&mix, 0x5a, sizeof(mix));
	before = mix;
	if (!mix_parse(&mix, text, &at, &why))
		fail_msg("'%s' is not refused", text);
	if (at != want_at || !strstr(why, want_why))
		fail_msg("'%s' is refused at %zu: %s", text, at, why);
	assert_memory_equal(&mix, &before, sizeof(mix));
}

static void test_mix_of_the_paper_is_understood(void **state)
{
	struct mix mix = parsed("99.5%get:4us+0.5%get:10ms");

	assert_int_equal(mix.nr, 2);
	assert_int_equal(mix.part[0].kind, MIX_GET);
	assert_int_equal(mix.part[0].share, 99500);
	assert_int_equal(dist_mean(&mix.part[0].service), 4000);
	assert_string_equal(mix.part[0].text, "99.5%get:4us");
	assert_int_equal(mix.part[1].share, 500);
	assert_int_equal(dist_mean(&mix.part[1].service), 10000000);
	assert_string_equal(mix.part[1].text, "0.5%get:10ms");
}

static void test_mix_of_one_part_needs_no_share(void **state)
{
	struct mix mix = parsed("range:exp:10us");

	assert_int_equal(mix.nr, 1);
	assert_int_equal(mix.part[0].kind, MIX_RANGE);
	assert_int_equal(mix.part[0].share, MIX_WHOLE);
	assert_int_equal(mix.part[0].service.term[0].kind, DIST_EXP);
	assert_int_equal(parsed("100%get:0").part[0].share, MIX_WHOLE);
}

static void test_mix_takes_three_decimals_and_eight_parts(void **state)
{
	struct mix mix = parsed("0.001%get:1us+12.5%get:1us+12.5%get:1us+12.5%get:1us+12.5%get:1us+"
				"12.5%get:1us+12.5%get:1us+24.999%range:uniform:1us-2us");

	assert_int_equal(mix.nr, 8);
	assert_int_equal(mix.part[0].share, 1);
	assert_int_equal(mix.part[7].share, 24999);
}

static void test_mix_refuses_with_the_place_and_the_reason(void **state)
{
	refused("", 1, "get: or range:");
	refused("put:4us", 1, "get: or range:");
	refused("get", 1, "get: or range:");
	refused("get:", 5, "a distribution is a duration");
	refused("get:4", 5, "no unit");
	refused("get:4us,get:10ms", 5, "something follows");
	refused("100%put:4us", 5, "get: or range:");
	refused("50%get:4us", 11, "less than 100 %");
	refused("50%get:4us+", 12, "begins with its share");
	refused("50%get:4us+get:1ms", 12, "begins with its share");
	refused("50%get:4us+60%get:1ms", 12, "more than 100 %");
	refused("99.5get:4us+0.5%get:1ms", 5, "ends with %");
	refused("99.9999%get:4us+0.5%get:1ms", 7, "three decimals");
	refused("0%get:4us+100%get:1ms", 1, "above 0 %");
	refused("50%get:4us+101%get:1ms", 12, "at most 100 %");
	refused("99999999999999%get:4us", 1, "at most 100 %");
	refused("50%get:4us+50%get:50%1us", 19, "not a mixture");
	refused("50%get:4us+50%range:-1us", 21, "a distribution is a duration");
	refused("20%get:1us+10%get:1us+10%get:1us+10%get:1us+10%get:1us+10%get:1us+10%get:1us+"
		"10%get:1us+10%get:1us",
		89, "at most 8 parts");
	refused("get:0000000000000000000000000000000000000000000000000000000000000000001us", 1,
		"longer than 63");
}

/* Five sigma of a binomial distribution. */
static void test_mix_draws_each_part_as_often_as_its_share_says(void **state)
{
	enum {
		NR = 400000
	};
	struct mix mix = parsed("99.5%get:4us+0.4%get:10ms+0.1%range:uniform:1us-3us");
	uint32_t count[3] = { 0 };
	struct random r;

	random_seed(&r, 1);
	for (int i = 0; i < NR; i++) {
		uint64_t ns;
		uint32_t part = mix_draw(&mix, &r, &ns);

		assert_true(part < 3);
		count[part]++;
		if (part == 0)
			assert_int_equal(ns, 4000);
		else if (part == 1)
			assert_int_equal(ns, 10000000);
		else
			assert_in_range(ns, 1000, 3000);
	}
	for (int i = 0; i < 3; i++) {
		double p = mix.part[i].share / (double)MIX_WHOLE;

		if (fabs(count[i] - NR * p) > 5 * sqrt(NR * p * (1 - p)))
			fail_msg("part %d: %u of %d", i, count[i], NR);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mix_of_the_paper_is_understood),
		cmocka_unit_test(test_mix_of_one_part_needs_no_share),
		cmocka_unit_test(test_mix_takes_three_decimals_and_eight_parts),
		cmocka_unit_test(test_mix_refuses_with_the_place_and_the_reason),
		cmocka_unit_test(test_mix_draws_each_part_as_often_as_its_share_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
