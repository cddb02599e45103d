// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU sets as people write them, and how far apart CPUs are.
 * In: libghost/topo.h, machines that hwloc makes up. Out: TAP.
 */
#include "tests/check.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/topo.h"

/* --- sets --------------------------------------------------------------------- */

static struct ghost_cpuset parse(const char *list)
{
	struct ghost_cpuset s;

	memset(&s, 0xa5, sizeof(s)); /* what was in it must not shine through */
	assert_int_equal(ghost_cpuset_parse(&s, list), 0);
	return s;
}

static void test_topo_list_becomes_the_set_it_names(void **state)
{
	static const struct {
		const char *list;
		int cpu[6], nr;
	} cases[] = {
		{ "0", { 0 }, 1 },
		{ "7", { 7 }, 1 },
		{ "0-3", { 0, 1, 2, 3 }, 4 },
		{ "0-3,6", { 0, 1, 2, 3, 6 }, 5 },
		{ "6,0-3", { 0, 1, 2, 3, 6 }, 5 },
		{ "5-5", { 5 }, 1 },
		{ "1,1,1", { 1 }, 1 },
		{ "1-3,2-4", { 1, 2, 3, 4 }, 4 },
		{ "63,64,127-128", { 63, 64, 127, 128 }, 4 },
		{ "007", { 7 }, 1 },
		{ "1023", { 1023 }, 1 },
		{ "0,1023", { 0, 1023 }, 2 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_cpuset s = parse(cases[i].list);
		int n = 0;

		assert_int_equal(ghost_cpuset_count(&s), cases[i].nr);
		ghost_cpuset_for_each(cpu, &s)
		{
			assert_true(n < cases[i].nr);
			assert_int_equal(cpu, cases[i].cpu[n++]);
		}
		assert_int_equal(n, cases[i].nr);
	}
}

static void test_topo_whole_range_is_a_list(void **state)
{
	struct ghost_cpuset s = parse("0-1023");

	assert_int_equal(ghost_cpuset_count(&s), GHOST_CPUS_MAX);
	for (int i = 0; i < GHOST_CPU_WORDS; i++)
		assert_true(s.word[i] == ~0ull);
}

/* The exact refusal, and the set as it was. */
static void test_topo_what_is_no_list_is_refused(void **state)
{
	static const struct {
		const char *list;
		int err;
	} cases[] = {
		{ "", -EINVAL },
		{ ",", -EINVAL },
		{ "1,", -EINVAL },
		{ ",1", -EINVAL },
		{ "1,,2", -EINVAL },
		{ "-", -EINVAL },
		{ "-1", -EINVAL },
		{ "1-", -EINVAL },
		{ "1--2", -EINVAL },
		{ "1-2-3", -EINVAL },
		{ "3-1", -EINVAL },
		{ "0-3;6", -EINVAL },
		{ "a", -EINVAL },
		{ "1a", -EINVAL },
		{ "0x4", -EINVAL },
		{ "all", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 ", -EINVAL },
		{ "1, 2", -EINVAL },
		{ "1\n", -EINVAL },
		{ "+1", -EINVAL },
		{ "1.5", -EINVAL },
		{ "\xd9\xa1", -EINVAL }, /* a digit, but not ours */
		{ "1024", -ERANGE },
		{ "0-1024", -ERANGE },
		{ "0,1,4294967296", -ERANGE },
		{ "18446744073709551615", -ERANGE },
		{ "18446744073709551616", -ERANGE },
		{ "99999999999999999999999999", -ERANGE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_cpuset s = parse("3,77"), before = s;

		assert_int_equal(ghost_cpuset_parse(&s, cases[i].list), cases[i].err);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void test_topo_set_is_written_as_the_shortest_list(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "0", "0" },
		{ "0,1", "0-1" },
		{ "0-3,4,5", "0-5" },
		{ "9,7,5", "5,7,9" },
		{ "62-65", "62-65" },
		{ "0-1023", "0-1023" },
		{ "1022-1023,3", "3,1022-1023" },
	};
	struct ghost_cpuset none = { 0 };
	char buf[64];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ghost_cpuset s = parse(cases[i].in);

		ghost_cpuset_format(&s, buf, sizeof(buf));
		assert_string_equal(buf, cases[i].out);
	}
	ghost_cpuset_format(&none, buf, sizeof(buf));
	assert_string_equal(buf, "");
}

/* Too small a buffer: cut, terminated, and not a byte behind it. */
static void test_topo_list_is_cut_at_the_size_given(void **state)
{
	struct ghost_cpuset s = parse("0-3,6,100-200,1023");
	static const char whole[] = "0-3,6,100-200,1023";
	char buf[32];

	for (size_t size = 0; size <= sizeof(whole) + 1; size++) {
		memset(buf, '#', sizeof(buf));
		ghost_cpuset_format(&s, buf, size);
		assert_int_equal(buf[size], '#');
		if (size) {
			size_t n = size < sizeof(whole) ? size - 1 : sizeof(whole) - 1;

			assert_int_equal(strlen(buf), n);
			assert_memory_equal(buf, whole, n);
		}
	}
}

/* Whatever is written is read back as the same set. */
static void test_topo_written_lists_read_back_the_same(void **state)
{
	uint64_t x = 88172645463325252ull;
	char buf[8192];

	for (int round = 0; round < 500; round++) {
		struct ghost_cpuset s = { 0 }, back;
		int nr = 1 + round % 40;

		for (int i = 0; i < nr; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			for (unsigned int k = 0; k <= x % 5; k++)
				ghost_cpuset_add(&s, (x >> 20) % GHOST_CPUS_MAX + k);
		}
		ghost_cpuset_format(&s, buf, sizeof(buf));
		assert_int_equal(ghost_cpuset_parse(&back, buf), 0);
		assert_memory_equal(&s, &back, sizeof(s));
	}
}

static void test_topo_cpus_outside_the_set_are_neither_members_nor_added(void **state)
{
	struct ghost_cpuset s = { 0 };

	ghost_cpuset_add(&s, GHOST_CPUS_MAX);
	ghost_cpuset_add(&s, ~0u);
	assert_int_equal(ghost_cpuset_count(&s), 0);
	assert_int_equal(ghost_cpuset_next(&s, 0), -1);
	memset(&s, 0xff, sizeof(s));
	assert_false(ghost_cpuset_has(&s, GHOST_CPUS_MAX));
	assert_false(ghost_cpuset_has(&s, ~0u));
	assert_int_equal(ghost_cpuset_next(&s, GHOST_CPUS_MAX - 1), GHOST_CPUS_MAX - 1);
	assert_int_equal(ghost_cpuset_next(&s, GHOST_CPUS_MAX), -1);
	assert_int_equal(ghost_cpuset_next(&s, ~0u), -1);
}

static void test_topo_this_thread_runs_on_a_cpu_that_is_online(void **state)
{
	struct ghost_cpuset s;

	assert_int_equal(ghost_cpuset_online(&s), 0);
	assert_true(ghost_cpuset_has(&s, sched_getcpu()));
}

/* --- distances ------------------------------------------------------------------ */

struct distance {
	unsigned int a, b;
	enum ghost_distance want;
};

static void check(const char *machine, const struct distance *d)
{
	struct ghost_topo *t;

	assert_int_equal(ghost_topo_open(&t, machine), 0);
	for (; d->a || d->b; d++) {
		assert_int_equal(ghost_topo_distance(t, d->a, d->b), d->want);
		assert_int_equal(ghost_topo_distance(t, d->b, d->a), d->want);
	}
	ghost_topo_close(t);
}

#define CORE GHOST_DISTANCE_CORE
#define CACHE GHOST_DISTANCE_CACHE
#define NODE GHOST_DISTANCE_NODE
#define REMOTE GHOST_DISTANCE_REMOTE

static void test_topo_distance_grows_with_each_level_of_the_machine(void **state)
{
	/* Two packages with a node each, two caches in each, two cores of two threads under each. */
	static const struct distance full[] = {
		{ 1, 1, GHOST_DISTANCE_SELF },
		{ 0, 1, CORE },
		{ 2, 3, CORE },
		{ 14, 15, CORE },
		{ 0, 2, CACHE },
		{ 1, 3, CACHE },
		{ 0, 4, NODE },
		{ 3, 7, NODE },
		{ 0, 8, REMOTE },
		{ 7, 15, REMOTE },
		{ 0 },
	};
	static const struct distance flat[] = {
		{ 0, 1, NODE },
		{ 0, 3, NODE },
		{ 0 },
	};
	static const struct distance level2[] = {
		{ 0, 1, CACHE },
		{ 0, 2, CACHE },
		{ 0, 4, REMOTE },
		{ 0 },
	};
	/* A cache whose cores are divided into groups. */
	static const struct distance grouped[] = {
		{ 0, 1, CACHE },
		{ 0, 2, CACHE },
		{ 1, 3, CACHE },
		{ 0 },
	};
	/* Two packages, but their memory is one. */
	static const struct distance shared[] = {
		{ 0, 1, CACHE },
		{ 0, 2, NODE },
		{ 0 },
	};
	/* Two nodes within one package. */
	static const struct distance halves[] = {
		{ 0, 1, CACHE },
		{ 0, 2, REMOTE },
		{ 0 },
	};

	check("package:2 [numa] l3:2 core:2 pu:2", full);
	check("package:1 core:4 pu:1", flat);
	check("package:2 [numa] l3:1 l2:2 core:2 pu:1", level2);
	check("package:1 [numa] l3:1 group:2 core:2 pu:1", grouped);
	check("[numa] package:2 l3:1 core:2 pu:1", shared);
	check("package:1 numa:2 l3:1 core:2 pu:1", halves);
}

/* Every pair of a large machine: symmetric, and oneself is the nearest. */
static void test_topo_distance_is_symmetric(void **state)
{
	struct ghost_topo *t;

	assert_int_equal(ghost_topo_open(&t, "package:2 [numa] l3:4 core:4 pu:2"), 0);
	for (unsigned int a = 0; a < 64; a++)
		for (unsigned int b = 0; b < 64; b++) {
			enum ghost_distance d = ghost_topo_distance(t, a, b);

			assert_int_equal(d, ghost_topo_distance(t, b, a));
			assert_int_equal(d == GHOST_DISTANCE_SELF, a == b);
			assert_int_equal(d == CORE, a != b && a / 2 == b / 2);
			assert_int_equal(d == REMOTE, a / 32 != b / 32);
		}
	ghost_topo_close(t);
}

static void test_topo_cpu_that_is_not_there_is_remote(void **state)
{
	static const struct distance cases[] = {
		{ 0, 2, REMOTE },
		{ 2, 3, REMOTE },
		{ 1, GHOST_CPUS_MAX, REMOTE },
		{ 0, ~0u, REMOTE },
		{ 0 },
	};

	check("core:2 pu:1", cases);
}

static void test_topo_description_that_makes_no_sense_is_refused(void **state)
{
	static const char *const cases[] = { "nonsense:2",	 "core:", "pu:0",
					     "core:2 package:2", ":",	  "-1" };
	struct ghost_topo *t = NULL;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(ghost_topo_open(&t, cases[i]), -ENOSYS);
	assert_null(t);
	ghost_topo_close(NULL);
}

/* Whatever machine this is. */
static void test_topo_this_machine_can_be_read(void **state)
{
	struct ghost_cpuset s;
	struct ghost_topo *t;

	assert_int_equal(ghost_topo_open(&t, NULL), 0);
	assert_int_equal(ghost_cpuset_online(&s), 0);
	ghost_cpuset_for_each(a, &s) ghost_cpuset_for_each(b, &s)
	{
		enum ghost_distance d = ghost_topo_distance(t, a, b);

		assert_in_range(d, GHOST_DISTANCE_SELF, REMOTE);
		assert_int_equal(d == GHOST_DISTANCE_SELF, a == b);
	}
	ghost_topo_close(t);
}

/* hwloc's own variable makes any machine another: agents see that one too. */
static void test_topo_hwlocs_environment_is_heeded(void **state)
{
	static const struct distance cases[] = {
		{ 0, 1, CORE },
		{ 0, 2, CACHE },
		{ 0, 8, REMOTE },
		{ 0 },
	};

	setenv("HWLOC_SYNTHETIC", "package:2 [numa] l3:1 core:4 pu:2", 1);
	check(NULL, cases);
	unsetenv("HWLOC_SYNTHETIC");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topo_list_becomes_the_set_it_names),
		cmocka_unit_test(test_topo_whole_range_is_a_list),
		cmocka_unit_test(test_topo_what_is_no_list_is_refused),
		cmocka_unit_test(test_topo_set_is_written_as_the_shortest_list),
		cmocka_unit_test(test_topo_list_is_cut_at_the_size_given),
		cmocka_unit_test(test_topo_written_lists_read_back_the_same),
		cmocka_unit_test(test_topo_cpus_outside_the_set_are_neither_members_nor_added),
		cmocka_unit_test(test_topo_this_thread_runs_on_a_cpu_that_is_online),
		cmocka_unit_test(test_topo_distance_grows_with_each_level_of_the_machine),
		cmocka_unit_test(test_topo_distance_is_symmetric),
		cmocka_unit_test(test_topo_cpu_that_is_not_there_is_remote),
		cmocka_unit_test(test_topo_description_that_makes_no_sense_is_refused),
		cmocka_unit_test(test_topo_this_machine_can_be_read),
		cmocka_unit_test(test_topo_hwlocs_environment_is_heeded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
