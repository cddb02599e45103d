// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shape of a made-up machine, from hwloc's tree to arrays.
 * In: an hwloc synthetic description. Out: who shares what. Implements topology.h.
 */
#include <ctype.h>
#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/topology.h"

#define TOO_MANY "a machine has 1 to 1024 CPUs"

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

/* The end of the word or of the parenthesis that begins at @c. */
static const char *skip(const char *c)
{
	const char *end;

	if (*c == '(') {
		end = strchr(c, ')');
		return end ? end + 1 : c + strlen(c);
	}
	do
		c++;
	while (isalnum((unsigned char)c[-1]) && isalnum((unsigned char)*c));
	return c;
}

/*
 * What hwloc does not survive, before it sees it. A level of memory caches
 * makes it abort. And it builds all CPUs before they can be counted: those of
 * "pu:1000000" would take all memory. So multiply all numbers, but for those
 * in words such as "l3" and in parentheses, blind to what else is wrong: that
 * hwloc finds.
 */
static int check_levels(const char *synthetic, const char **ret_why)
{
	unsigned long long product = 1, n;
	hwloc_obj_type_t type;
	char *end;

	for (const char *c = synthetic; *c;) {
		if (isdigit((unsigned char)*c)) {
			n = strtoull(c, &end, 0);
			if (n > GHOST_CPUS_MAX || product * n > GHOST_CPUS_MAX)
				return refuse(ret_why, TOO_MANY);
			product *= n;
			c = end;
			continue;
		}
		if (isalpha((unsigned char)*c) && !hwloc_type_sscanf(c, &type, NULL, 0) &&
		    type == HWLOC_OBJ_MEMCACHE)
			return refuse(ret_why, "caches of memory cannot be a level of the machine");
		c = skip(c);
	}
	return 0;
}

/* Whatever is shared is called by the first CPU that shares it, at first. */
static uint16_t first_cpu(hwloc_obj_t obj)
{
	return hwloc_bitmap_first(obj->cpuset);
}

/* Threads of one core, if nothing divides it further. */
static int read_core(hwloc_obj_t pu, uint16_t *ret, const char **ret_why)
{
	hwloc_obj_t core = pu->parent;

	while (core && core->type != HWLOC_OBJ_CORE)
		core = core->parent;
	*ret = core && core == pu->parent ? first_cpu(core) : pu->os_index;
	/*
	 * What is nearer to both than the core decides about two threads; then
	 * they are not alike among each other, which arrays cannot say.
	 */
	if (core && core != pu->parent && core->arity > 1)
		return refuse(ret_why, "a core is divided into more than threads");
	return 0;
}

/* Any cache that is shared counts, so the largest tells. */
static uint16_t read_cache(hwloc_obj_t pu)
{
	uint16_t ret = pu->os_index;

	for (hwloc_obj_t up = pu->parent; up; up = up->parent)
		if (hwloc_obj_type_is_cache(up->type))
			ret = first_cpu(up);
	return ret;
}

/* One node is the same memory, all of it; sets of several may overlap. */
static uint16_t read_node(const struct topology *t, hwloc_obj_t const *pu, uint32_t cpu)
{
	for (uint32_t first = 0; first < cpu; first++)
		if (t->node[first] == first &&
		    hwloc_bitmap_isequal(pu[first]->nodeset, pu[cpu]->nodeset))
			return first;
	return cpu;
}

/* From names that are first CPUs to numbers without gaps. Returns how many. */
static uint32_t renumber(uint16_t *id, uint32_t nr_cpus)
{
	uint32_t nr = 0;

	/* The first CPU of each is met before the others, and has the new number then. */
	for (uint32_t cpu = 0; cpu < nr_cpus; cpu++)
		id[cpu] = id[cpu] == cpu ? nr++ : id[id[cpu]];
	return nr;
}

static int topology_read(struct topology *t, hwloc_topology_t tree, const char **ret_why)
{
	hwloc_obj_t pu[GHOST_CPUS_MAX] = { 0 };
	int err;

	for (hwloc_obj_t o = NULL; (o = hwloc_get_next_obj_by_type(tree, HWLOC_OBJ_PU, o));) {
		/* As many ids as CPUs, and each but once: so none is left out. */
		if (o->os_index >= t->nr_cpus || pu[o->os_index])
			return refuse(ret_why, "the CPUs are not numbered from 0 without gaps");
		pu[o->os_index] = o;
	}
	for (uint32_t cpu = 0; cpu < t->nr_cpus; cpu++) {
		err = read_core(pu[cpu], &t->core[cpu], ret_why);
		if (err)
			return err;
		t->cache[cpu] = read_cache(pu[cpu]);
		t->node[cpu] = read_node(t, pu, cpu);
	}
	t->nr_cores = renumber(t->core, t->nr_cpus);
	t->nr_caches = renumber(t->cache, t->nr_cpus);
	t->nr_nodes = renumber(t->node, t->nr_cpus);
	return 0;
}

static int topology_load(struct topology *t, hwloc_topology_t tree, const char *synthetic,
			 const char **ret_why)
{
	int nr;

	if (hwloc_topology_set_synthetic(tree, synthetic) || hwloc_topology_load(tree))
		return refuse(ret_why, "hwloc does not understand the description of the machine");
	nr = hwloc_get_nbobjs_by_type(tree, HWLOC_OBJ_PU);
	if (nr < 1 || nr > GHOST_CPUS_MAX)
		return refuse(ret_why, TOO_MANY);
	t->core = calloc(3 * nr, sizeof(*t->core));
	if (!t->core) {
		*ret_why = "no memory";
		return -ENOMEM;
	}
	t->nr_cpus = nr;
	t->cache = t->core + nr;
	t->node = t->cache + nr;
	return topology_read(t, tree, ret_why);
}

int topology_init(struct topology *ret, const char *synthetic, const char **ret_why)
{
	/*
	 * hwloc loads its plugins for the first tree and unloads them after the
	 * last, which takes a hundred times as long as all the rest. So there is
	 * always one.
	 */
	static hwloc_topology_t first;
	struct topology t = { 0 };
	hwloc_topology_t tree;
	int err;

	err = check_levels(synthetic, ret_why);
	if (err)
		return err;
	if ((!first && hwloc_topology_init(&first)) || hwloc_topology_init(&tree)) {
		*ret_why = "no memory";
		return -ENOMEM;
	}
	err = topology_load(&t, tree, synthetic, ret_why);
	hwloc_topology_destroy(tree);
	if (err)
		topology_fini(&t);
	else
		*ret = t;
	return err;
}

void topology_fini(struct topology *t)
{
	free(t->core);
	memset(t, 0, sizeof(*t));
}

/* The largest number up to @max that divides @n. */
static uint32_t largest_divisor(uint32_t n, uint32_t max)
{
	while (n % max)
		max--;
	return max;
}

int topology_default(char *buf, size_t size, uint32_t nr_cpus)
{
	uint32_t threads, nodes, cores, shared;
	int n;

	if (!nr_cpus || nr_cpus > GHOST_CPUS_MAX)
		return -EINVAL;
	threads = nr_cpus >= 4 && nr_cpus % 2 == 0 ? 2 : 1;
	nodes = nr_cpus >= 64 && nr_cpus % (2 * threads) == 0 ? 2 : 1;
	cores = nr_cpus / threads / nodes;
	shared = largest_divisor(cores, 16 / threads);
	/* Of 34 CPUs, for instance, 2 would be all that divides: no machine is like that. */
	if (shared * threads < 4)
		shared = cores;
	n = snprintf(buf, size, "package:%u [numa] l3:%u core:%u pu:%u", nodes, cores / shared,
		     shared, threads);
	return n < 0 || (size_t)n >= size ? -ENOSPC : 0;
}
