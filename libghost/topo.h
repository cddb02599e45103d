/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPUs: sets of them, how people write them, and how they are related.
 * In: strings, hwloc. Out: sets. Called by everyone above the kernel.
 */
#ifndef GHOST_LIBGHOST_TOPO_H
#define GHOST_LIBGHOST_TOPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/limits.h"

struct ghost_cpuset {
	uint64_t word[GHOST_CPU_WORDS];
};

static inline bool ghost_cpuset_has(const struct ghost_cpuset *s, unsigned int cpu)
{
	return cpu < GHOST_CPUS_MAX && (s->word[cpu / 64] >> (cpu % 64) & 1);
}

static inline void ghost_cpuset_add(struct ghost_cpuset *s, unsigned int cpu)
{
	if (cpu < GHOST_CPUS_MAX)
		s->word[cpu / 64] |= 1ull << (cpu % 64);
}

static inline void ghost_cpuset_del(struct ghost_cpuset *s, unsigned int cpu)
{
	if (cpu < GHOST_CPUS_MAX)
		s->word[cpu / 64] &= ~(1ull << (cpu % 64));
}

/* The first member at or after @cpu, or -1. */
static inline int ghost_cpuset_next(const struct ghost_cpuset *s, unsigned int cpu)
{
	for (; cpu < GHOST_CPUS_MAX; cpu = (cpu | 63) + 1) {
		uint64_t rest = s->word[cpu / 64] >> (cpu % 64);

		if (rest)
			return cpu + __builtin_ctzll(rest);
	}
	return -1;
}

#define ghost_cpuset_for_each(cpu, s) \
	for (int cpu = ghost_cpuset_next(s, 0); cpu >= 0; cpu = ghost_cpuset_next(s, cpu + 1))

static inline bool ghost_cpuset_empty(const struct ghost_cpuset *s)
{
	uint64_t any = 0;

	if (s->word[0])
		return false;
	/* Most are, and then this is less work than looking for the first that is not. */
#pragma GCC unroll 16
	for (int i = 0; i < GHOST_CPU_WORDS; i++)
		any |= s->word[i];
	return !any;
}

unsigned int ghost_cpuset_count(const struct ghost_cpuset *s);

/**
 * ghost_cpuset_parse() - "0-3,6" to a set
 * @ret: untouched on failure
 *
 * -EINVAL: not a list; -ERANGE: a CPU of GHOST_CPUS_MAX or above.
 */
int ghost_cpuset_parse(struct ghost_cpuset *ret, const char *list);

/* ghost_cpuset_format() - the shortest list; always terminated, cut at @size. */
void ghost_cpuset_format(const struct ghost_cpuset *s, char *buf, size_t size);

/* ghost_cpuset_online() - the CPUs the machine has online now. */
int ghost_cpuset_online(struct ghost_cpuset *ret);

/* How far apart two CPUs are. */
enum ghost_distance {
	GHOST_DISTANCE_SELF,
	GHOST_DISTANCE_CORE,  /* threads of one core */
	GHOST_DISTANCE_CACHE, /* share the last-level cache */
	GHOST_DISTANCE_NODE,  /* share the NUMA node */
	GHOST_DISTANCE_REMOTE,
};

struct ghost_topo;

/**
 * ghost_topo_open() - read the machine's topology
 * @synthetic: NULL for this machine, else an hwloc synthetic description
 *
 * -ENOSYS when hwloc cannot tell. Close with ghost_topo_close().
 */
int ghost_topo_open(struct ghost_topo **ret, const char *synthetic);
void ghost_topo_close(struct ghost_topo *t);
enum ghost_distance ghost_topo_distance(const struct ghost_topo *t, unsigned int a, unsigned int b);

#endif
