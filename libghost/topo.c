// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * CPU sets and distances.
 * In: lists as people write them, hwloc's tree. Out: sets. Implements topo.h.
 */
#include <ctype.h>
#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/topo.h"

unsigned int ghost_cpuset_count(const struct ghost_cpuset *s)
{
	unsigned int n = 0;

	for (int i = 0; i < GHOST_CPU_WORDS; i++)
		/* Most are: and without an instruction for it counting is a call. */
		n += s->word[i] ? __builtin_popcountll(s->word[i]) : 0;
	return n;
}

/* One decimal number; strtoul() would take signs and spaces. */
static int parse_cpu(const char **p, unsigned long *ret)
{
	char *end;

	if (!isdigit((unsigned char)**p))
		return -EINVAL;
	errno = 0;
	*ret = strtoul(*p, &end, 10);
	*p = end;
	return errno || *ret >= GHOST_CPUS_MAX ? -ERANGE : 0;
}

int ghost_cpuset_parse(struct ghost_cpuset *ret, const char *list)
{
	struct ghost_cpuset s = { 0 };
	unsigned long first, last;
	int err;

	for (const char *p = list;;) {
		err = parse_cpu(&p, &first);
		if (err)
			return err;
		last = first;
		if (*p == '-') {
			p++;
			err = parse_cpu(&p, &last);
			if (err)
				return err;
		}
		if (last < first)
			return -EINVAL;
		for (unsigned long cpu = first; cpu <= last; cpu++)
			ghost_cpuset_add(&s, cpu);
		if (!*p)
			break;
		if (*p++ != ',')
			return -EINVAL;
	}
	*ret = s;
	return 0;
}

void ghost_cpuset_format(const struct ghost_cpuset *s, char *buf, size_t size)
{
	size_t used = 0;

	if (size)
		buf[0] = 0;
	for (int first = ghost_cpuset_next(s, 0); first >= 0;) {
		int last = first, n;

		while (ghost_cpuset_has(s, last + 1))
			last++;
		if (last > first)
			n = snprintf(buf + used, size - used, "%s%d-%d", used ? "," : "", first,
				     last);
		else
			n = snprintf(buf + used, size - used, "%s%d", used ? "," : "", first);
		used += n;
		if (used >= size)
			return;
		first = ghost_cpuset_next(s, last + 1);
	}
}

int ghost_cpuset_online(struct ghost_cpuset *ret)
{
	char line[4096];
	FILE *f = fopen("/sys/devices/system/cpu/online", "re");
	int err = -EIO;

	if (!f)
		return -errno;
	if (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		err = ghost_cpuset_parse(ret, line);
	}
	fclose(f);
	return err;
}

struct ghost_topo {
	hwloc_topology_t tree;
	hwloc_obj_t pu[GHOST_CPUS_MAX]; /* by CPU id: hwloc itself would search */
};

int ghost_topo_open(struct ghost_topo **ret, const char *synthetic)
{
	struct ghost_topo *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (hwloc_topology_init(&t->tree)) {
		free(t);
		return -ENOSYS;
	}
	if ((synthetic && hwloc_topology_set_synthetic(t->tree, synthetic)) ||
	    hwloc_topology_load(t->tree)) {
		ghost_topo_close(t);
		return -ENOSYS;
	}
	for (hwloc_obj_t pu = NULL; (pu = hwloc_get_next_obj_by_type(t->tree, HWLOC_OBJ_PU, pu));)
		if (pu->os_index < GHOST_CPUS_MAX)
			t->pu[pu->os_index] = pu;
	*ret = t;
	return 0;
}

void ghost_topo_close(struct ghost_topo *t)
{
	if (!t)
		return;
	hwloc_topology_destroy(t->tree);
	free(t);
}

enum ghost_distance ghost_topo_distance(const struct ghost_topo *t, unsigned int a, unsigned int b)
{
	hwloc_obj_t oa = a < GHOST_CPUS_MAX ? t->pu[a] : NULL;
	hwloc_obj_t ob = b < GHOST_CPUS_MAX ? t->pu[b] : NULL;
	hwloc_obj_t up;

	if (a == b)
		return GHOST_DISTANCE_SELF;
	if (!oa || !ob)
		return GHOST_DISTANCE_REMOTE;
	up = hwloc_get_common_ancestor_obj(t->tree, oa, ob);
	if (up && up->type == HWLOC_OBJ_CORE)
		return GHOST_DISTANCE_CORE;
	/*
	 * Any shared cache counts; which level, machines differ in. It need not
	 * be the nearest thing shared: a die may be divided into groups.
	 */
	for (; up; up = up->parent)
		if (hwloc_obj_type_is_cache(up->type))
			return GHOST_DISTANCE_CACHE;
	if (hwloc_bitmap_isequal(oa->nodeset, ob->nodeset))
		return GHOST_DISTANCE_NODE;
	return GHOST_DISTANCE_REMOTE;
}
