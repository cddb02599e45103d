/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When requests arrive: a Poisson process, from a seed.
 * In: rate, seed. Out: times, one after the other, by no clock.
 * Called by the load generator.
 */
#ifndef GHOST_BENCH_APPS_ARRIVALS_H
#define GHOST_BENCH_APPS_ARRIVALS_H

#include <stdint.h>

#include "sim/random.h"

struct arrivals {
	struct random random;
	/* In 1/1024 ns, so that a mean gap of few ns comes out right, too. */
	uint64_t gap;
	uint64_t at;
};

/* arrivals_init() - @rate per second on average, from 0.001 to 10^9. */
void arrivals_init(struct arrivals *a, double rate, uint64_t seed);

/* arrivals_next() - when the next one comes, in ns since the beginning; 200 days at most. */
uint64_t arrivals_next(struct arrivals *a);

#endif
