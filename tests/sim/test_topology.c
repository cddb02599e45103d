// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shape of made-up machines, which must be what libghost sees in them.
 * In: sim/topology.h, libghost/topo.h; GHOST_SEED, or the time. Out: TAP, and
 * the seed as a comment.
 */
#include "tests/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libghost/topo.h"
#include "sim/random.h"
#include "sim/topology.h"

static uint64_t seed;

static struct topology init(const char *synthetic)
{
	const char *why = NULL;
	struct topology t;

	memset(&t, 0xa5, sizeof(t)); /* what was in it must not shine through */
	if (topology_init(&t, synthetic, &why))
		fail_msg("'%s': %s", synthetic, why);
	assert_null(why);
	return t;
}

/* Every pair, and CPUs that are not there. */
static void assert_agrees(const char *synthetic)
{
	struct topology t = init(synthetic);
	struct ghost_topo *tree;

	assert_int_equal(ghost_topo_open(&tree, synthetic), 0);
	for (uint32_t a = 0; a < t.nr_cpus + 2; a++)
		for (uint32_t b = 0; b < t.nr_cpus + 2; b++) {
			enum ghost_distance d = topology_distance(&t, a, b);

			if (d != ghost_topo_distance(tree, a, b))
				fail_msg("'%s': %u to %u is %d, not %d", synthetic, a, b, d,
					 ghost_topo_distance(tree, a, b));
		}
	ghost_topo_close(tree);
	topology_fini(&t);
}

/* Ids begin with 0, and a new one is the next. */
static void assert_numbered(const uint16_t *id, uint32_t nr_cpus, uint32_t nr)
{
	uint32_t next = 0;

	for (uint32_t cpu = 0; cpu < nr_cpus; cpu++) {
		assert_true(id[cpu] <= next);
		next += id[cpu] == next;
	}
	assert_int_equal(next, nr);
}

static void test_topology_has_the_ids_of_what_is_shared(void **state)
{
	struct topology t = init("package:2 [numa] l3:2 core:2 pu:2");

	assert_int_equal(t.nr_cpus, 16);
	assert_int_equal(t.nr_cores, 8);
	assert_int_equal(t.nr_caches, 4);
	assert_int_equal(t.nr_nodes, 2);
	for (uint32_t cpu = 0; cpu < 16; cpu++) {
		assert_int_equal(t.core[cpu], cpu / 2);
		assert_int_equal(t.cache[cpu], cpu / 4);
		assert_int_equal(t.node[cpu], cpu / 8);
	}
	topology_fini(&t);
	assert_null(t.core);
	assert_int_equal(t.nr_cpus, 0);
	topology_fini(&t);
}

/* As many machines number them: the second threads after all the first ones. */
static void test_topology_ids_are_those_of_the_os(void **state)
{
	struct topology t = init("package:1 [numa] core:4 pu:2(indexes=0,4,1,5,2,6,3,7)");

	assert_int_equal(t.nr_cpus, 8);
	for (uint32_t cpu = 0; cpu < 8; cpu++)
		assert_int_equal(t.core[cpu], cpu % 4);
	assert_int_equal(topology_distance(&t, 0, 4), GHOST_DISTANCE_CORE);
	assert_int_equal(topology_distance(&t, 0, 1), GHOST_DISTANCE_NODE);
	topology_fini(&t);
	t = init("pu:4(indexes=3,2,1,0)");
	assert_numbered(t.core, 4, 4);
	topology_fini(&t);
}

static void test_topology_distances_are_those_of_libghost(void **state)
{
	static const char *const cases[] = {
		"pu:1",
		"1",
		"4",
		"2 2 2",
		"core:2 pu:2",
		"package:1 core:4 pu:1",
		"package:2 core:4 pu:2",
		"package:2 [numa] l3:2 core:2 pu:2",
		"package:2 [numa] l3:4 core:4 pu:2",
		"package:2 [numa] l3:1 l2:2 core:2 pu:1",
		"package:1 [numa] l3:1 group:2 core:2 pu:1",
		"[numa] package:2 l3:1 core:2 pu:1",
		"package:1 numa:2 l3:1 core:2 pu:1",
		"package:2 l3:2 l2:2 l1:1 core:1 pu:2",
		"package:2 [numa] core:2 [numa] pu:2",
		"package:2 [numa] [numa] l3:2 core:2 pu:2",
		"numa:2 package:2 l3:3 core:2 pu:1",
		"package:2 numa:2 core:3 pu:2",
		"package:2 die:2 l3:2 core:2 pu:2",
		"core:2 l1:1 pu:2",
		"l3:2 [numa] l2:3 core:1 pu:3",
		"package:2 [numa] core:2 pu:2(indexes=0,4,2,6,1,5,3,7)",
		"package:3 [numa] l3:1 core:5 pu:1",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_agrees(cases[i]);
}

/*
 * Levels in the order that machines have, each there or not, 1 to 4 of each;
 * nodes either a level, or beside others, as hwloc takes no mixture.
 */
static void test_topology_distances_of_random_machines_are_those_of_libghost(void **state)
{
	static const char *const levels[] = { "package", "numa", "die", "group", "l4",
					      "l3",	 "l2",	 "l1d", "core",	 "pu" };
	struct random r;

	random_seed(&r, seed);
	for (int round = 0; round < 400; round++) {
		bool beside = random_chance(&r, 500000);
		char text[256] = "";
		uint32_t cpus = 1;

		for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
			uint32_t nr = random_between(&r, 1, cpus < 32 ? 4 : 1);
			bool last = i + 1 == ARRAY_LEN(levels);

			if (!last && (random_chance(&r, 400000) || (beside && i == 1)))
				continue;
			cpus *= nr;
			sprintf(text + strlen(text), "%s:%u%s", levels[i], nr, last ? "" : " ");
			if (!last && beside && random_chance(&r, 200000))
				strcat(text, "[numa] ");
		}
		assert_agrees(text);
	}
}

static void test_topology_description_that_makes_no_sense_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"nonsense:2",
		"core:",
		"pu:0",
		"core:2 0",
		"core:2 package:2",
		":",
		"-1",
		"pu:-1",
		"core:2 pu:2 ]",
		"[numa",
		"(",
		"pu:4(indexes=0,2,4,6)",
		"pu:2(indexes=1,2)",
		"pu:2(indexes=1000000,0)",
		"core:2 l1:2 pu:2",
		"core:2 group:2 pu:2",
		"numa:2 memcache:2 pu:2",
		"pu:1025",
		"core:33 pu:32",
		"1025",
		"2 2 257",
		"02000000 2",
		"0299999999",
		"0x401",
		"pu:1000000",
		"pu: 1000000",
		"pu:+1000000",
		"core:1000000000 pu:1000000000",
		"core:4294967296 pu:4294967296",
		"pu:18446744073709551617",
		"(indexes=()99999999 pu:2",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct topology t = { .nr_cpus = 77 }, before = t;
		const char *why = NULL;

		if (topology_init(&t, bad[i], &why) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
		assert_non_null(why);
		assert_true(strlen(why) > 10);
		assert_memory_equal(&t, &before, sizeof(t));
	}
}

static void test_topology_of_the_largest_machine_is_read(void **state)
{
	struct topology t = init("package:2 [numa] l3:32 core:8 pu:2");

	assert_int_equal(t.nr_cpus, GHOST_CPUS_MAX);
	assert_numbered(t.core, t.nr_cpus, 512);
	assert_numbered(t.cache, t.nr_cpus, 64);
	assert_numbered(t.node, t.nr_cpus, 2);
	assert_int_equal(t.nr_cores, 512);
	assert_int_equal(t.nr_caches, 64);
	assert_int_equal(t.nr_nodes, 2);
	topology_fini(&t);
}

/* The text tells all four numbers; hwloc needs not be asked for each of a thousand. */
static void test_topology_default_has_the_cpus_asked_for(void **state)
{
	for (uint32_t n = 1; n <= GHOST_CPUS_MAX; n++) {
		uint32_t packages, caches, cores, threads, shared;
		char text[TOPOLOGY_TEXT_SIZE];

		assert_int_equal(topology_default(text, sizeof(text), n), 0);
		assert_int_equal(sscanf(text, "package:%u [numa] l3:%u core:%u pu:%u", &packages,
					&caches, &cores, &threads),
				 4);
		assert_int_equal(packages * caches * cores * threads, n);
		assert_int_equal(threads, n >= 4 && n % 2 == 0 ? 2 : 1);
		assert_int_equal(packages, n >= 64 && n / threads % 2 == 0 ? 2 : 1);
		shared = cores * threads;
		assert_true(shared <= 16 || caches == 1);
		assert_true(shared >= 4 || n < 4);
		if (n % 5 == 0 || n <= 70) {
			struct topology t = init(text);

			assert_int_equal(t.nr_cpus, n);
			assert_int_equal(t.nr_nodes, packages);
			assert_int_equal(t.nr_caches, packages * caches);
			assert_int_equal(t.nr_cores, n / threads);
			topology_fini(&t);
		}
	}
}

static void test_topology_default_looks_like_a_machine(void **state)
{
	static const struct {
		uint32_t nr;
		const char *text;
	} cases[] = {
		{ 1, "package:1 [numa] l3:1 core:1 pu:1" },
		{ 2, "package:1 [numa] l3:1 core:2 pu:1" },
		{ 3, "package:1 [numa] l3:1 core:3 pu:1" },
		{ 4, "package:1 [numa] l3:1 core:2 pu:2" },
		{ 16, "package:1 [numa] l3:1 core:8 pu:2" },
		{ 17, "package:1 [numa] l3:1 core:17 pu:1" },
		{ 24, "package:1 [numa] l3:2 core:6 pu:2" },
		{ 34, "package:1 [numa] l3:1 core:17 pu:2" },
		{ 64, "package:2 [numa] l3:2 core:8 pu:2" },
		{ 66, "package:1 [numa] l3:11 core:3 pu:2" },
		{ 127, "package:1 [numa] l3:1 core:127 pu:1" },
		{ 256, "package:2 [numa] l3:8 core:8 pu:2" },
		{ 1021, "package:1 [numa] l3:1 core:1021 pu:1" },
		{ 1024, "package:2 [numa] l3:32 core:8 pu:2" },
	};
	char text[TOPOLOGY_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(topology_default(text, sizeof(text), cases[i].nr), 0);
		assert_string_equal(text, cases[i].text);
		assert_agrees(text);
	}
}

static void test_topology_default_refuses_what_it_cannot_do(void **state)
{
	char text[TOPOLOGY_TEXT_SIZE];

	assert_int_equal(topology_default(text, sizeof(text), 0), -EINVAL);
	assert_int_equal(topology_default(text, sizeof(text), GHOST_CPUS_MAX + 1), -EINVAL);
	assert_int_equal(topology_default(text, sizeof(text), UINT32_MAX), -EINVAL);
	for (size_t size = 0; size < 34; size++) {
		memset(text, '#', sizeof(text));
		assert_int_equal(topology_default(text, size, 8), -ENOSPC);
		assert_int_equal(text[size], '#');
	}
	assert_int_equal(topology_default(text, 34, 8), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topology_has_the_ids_of_what_is_shared),
		cmocka_unit_test(test_topology_ids_are_those_of_the_os),
		cmocka_unit_test(test_topology_distances_are_those_of_libghost),
		cmocka_unit_test(test_topology_distances_of_random_machines_are_those_of_libghost),
		cmocka_unit_test(test_topology_description_that_makes_no_sense_is_refused),
		cmocka_unit_test(test_topology_of_the_largest_machine_is_read),
		cmocka_unit_test(test_topology_default_has_the_cpus_asked_for),
		cmocka_unit_test(test_topology_default_looks_like_a_machine),
		cmocka_unit_test(test_topology_default_refuses_what_it_cannot_do),
	};
	const char *given = getenv("GHOST_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
