/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small spaces, whole: every order in which a few steps can come.
 * In: a policy, a depth. Out: a law that is broken, or none. Called by the
 * `ghost` program and by tests.
 *
 * Two CPUs, three threads. A step is: a thread wakes, blocks, yields or has
 * its slice end; an agent makes a decision, or a step of one; a CPU gets to
 * look for work; an enqueue under way arrives; and, once per run where that is
 * allowed, something of what fault.h knows. After the last step everything
 * goes on in order of time, and each thread that woke must have run.
 */
#ifndef GHOST_SIM_EXPLORE_H
#define GHOST_SIM_EXPLORE_H

#include <stdint.h>

#include "libghost/policy.h"

struct explore_report {
	uint64_t configurations; /* starting points, and what may happen */
	uint64_t runs;		 /* orders of steps */
	uint64_t nr_steps;	 /* made, all runs together */
	uint64_t longest;	 /* most alternatives that a step had */
	char broken[256];
	char steps[1024]; /* that broke it */
};

/**
 * explore() - every order of @depth steps
 * @progress: called now and then with the part done, in millionths; may be NULL
 *
 * 0; -EPROTO when a law was broken: @ret says which, and after what; -ENOMEM.
 * One more step multiplies the runs by three to six.
 */
int explore(struct explore_report *ret, const struct ghost_policy *policy, uint32_t depth,
	    void (*progress)(void *arg, uint32_t ppm), void *arg);

#endif
