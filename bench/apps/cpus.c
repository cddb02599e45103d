// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUs of an application.
 * In: sets. Out: affinity. Implements cpus.h.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/apps/cpus.h"

void cpus_parse(struct argp_state *state, const char *text, struct ghost_cpuset *ret)
{
	struct ghost_cpuset set = { 0 };

	if (ghost_cpuset_parse(&set, text) || !ghost_cpuset_count(&set))
		argp_error(state, "--cpus wants a list of CPUs such as 0-3,6, got '%s'", text);
	*ret = set;
}

unsigned int cpus_enter(const struct ghost_cpuset *cpus)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	ghost_cpuset_for_each(cpu, cpus)
	{
		if (cpu < CPU_SETSIZE)
			CPU_SET(cpu, &set);
	}
	if ((ghost_cpuset_count(cpus) && sched_setaffinity(0, sizeof(set), &set)) ||
	    sched_getaffinity(0, sizeof(set), &set)) {
		fprintf(stderr, "%s: cannot run on the CPUs of --cpus: %s\n",
			program_invocation_short_name, strerror(errno));
		exit(1);
	}
	return CPU_COUNT(&set);
}
