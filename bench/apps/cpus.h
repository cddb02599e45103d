/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The CPUs that an application runs on.
 * In: --cpus, or nothing. Out: the calling thread and those it starts stay there.
 * Called by the applications.
 */
#ifndef GHOST_BENCH_APPS_CPUS_H
#define GHOST_BENCH_APPS_CPUS_H

#include <argp.h>

#include "libghost/topo.h"

/* cpus_parse() - "0-3,6"; anything else is a usage error. */
void cpus_parse(struct argp_state *state, const char *text, struct ghost_cpuset *ret);

/*
 * cpus_enter() - @cpus, or none: those that the thread has already. Returns how
 * many it may use; ends the program where it may use none.
 */
unsigned int cpus_enter(const struct ghost_cpuset *cpus);

#endif
