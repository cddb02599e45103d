/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fifo_percpu with a notebook: who came to wait, where and why, in order.
 * In: a policy's callbacks. Out: lines that two worlds can be compared by.
 * Called by validate_sim.c and validate_vm.c.
 *
 * What both do: "pingpong", two threads on CPU 0 that wake each other in turn,
 * and "hogs", four threads on each of two CPUs that compute until they have lost
 * their CPU so many times; the first one wakes the others, in order. Time would be no measure: an emulated CPU misses
 * ticks while the other one is emulated.
 */
#ifndef GHOST_TESTS_VALIDATE_RECORDER_H
#define GHOST_TESTS_VALIDATE_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "libghost/enclave.h"
#include "libghost/policy.h"

#define VALIDATE_THREADS_MAX 8
#define VALIDATE_HANDOVERS 4000
#define VALIDATE_HOG_STOPS 60
#define VALIDATE_CPUS 2

struct scenario {
	const char *name;
	uint32_t threads;
	bool pingpong;
};

/* Ends with a NULL name. */
extern const struct scenario scenarios[];

static inline uint32_t scenario_cpu(const struct scenario *s, uint32_t thread)
{
	return s->pingpong ? 0 : thread % VALIDATE_CPUS;
}

/* The policy; begins a new notebook. */
const struct ghost_policy *recorder_policy(void);

/* The notebook, and what the enclave counted. @tids: of the threads by index. */
void recorder_print(const struct scenario *s, const uint32_t *tids,
		    const struct ghost_enclave_counts *counts);

#endif
