/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shape of a made-up machine: which CPUs share what.
 * In: an hwloc synthetic description. Out: flat arrays, distances.
 * Called by the machine, which makes costs of distances.
 *
 * The same distances as ghost_topo_distance() tells of the same description,
 * without a walk through a tree for each.
 */
#ifndef GHOST_SIM_TOPOLOGY_H
#define GHOST_SIM_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#include "libghost/topo.h"

/* Enough for whatever topology_default() writes. */
#define TOPOLOGY_TEXT_SIZE 64

/*
 * By CPU: the core, the cache and the node it is in, each numbered from 0 in
 * the order of their first CPUs. A CPU without a shared core or cache has one
 * of its own.
 */
struct topology {
	uint32_t nr_cpus, nr_cores, nr_caches, nr_nodes;
	uint16_t *core;	 /* [nr_cpus], and the memory of all three */
	uint16_t *cache; /* [nr_cpus]; the largest, if there are several levels */
	uint16_t *node;	 /* [nr_cpus] */
};

/**
 * topology_init() - read a description such as "package:2 [numa] l3:2 core:4 pu:2"
 * @ret: untouched on failure; else to be freed by topology_fini()
 * @ret_why: set on failure, to a sentence that says what is wrong
 *
 * CPU ids are the OS indexes of the description. -EINVAL: hwloc does not
 * understand it, it has more than GHOST_CPUS_MAX CPUs, or ids with gaps, or
 * divides cores into more than threads. -ENOMEM.
 */
int topology_init(struct topology *ret, const char *synthetic, const char **ret_why);
void topology_fini(struct topology *t);

/* topology_distance() - how far @b is from @a; what is not there is far away. */
static inline enum ghost_distance topology_distance(const struct topology *t, uint32_t a,
						    uint32_t b)
{
	if (a == b)
		return GHOST_DISTANCE_SELF;
	if (a >= t->nr_cpus || b >= t->nr_cpus)
		return GHOST_DISTANCE_REMOTE;
	if (t->core[a] == t->core[b])
		return GHOST_DISTANCE_CORE;
	if (t->cache[a] == t->cache[b])
		return GHOST_DISTANCE_CACHE;
	if (t->node[a] == t->node[b])
		return GHOST_DISTANCE_NODE;
	return GHOST_DISTANCE_REMOTE;
}

/**
 * topology_default() - describe a machine of @nr_cpus CPUs as there might be one
 * @nr_cpus: 1 .. GHOST_CPUS_MAX
 *
 * Two threads to a core if that divides, and there are 4 at least; two nodes
 * if that divides, and there are 64 at least; caches of the most CPUs that
 * divide a node, 16 at most, or of the whole node where none of 4 or more do.
 * 0, -EINVAL for a number out of range, or -ENOSPC for a @size too small.
 */
int topology_default(char *buf, size_t size, uint32_t nr_cpus);

#endif
