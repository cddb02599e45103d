// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arrivals: sums of exponential gaps.
 * In: rate, seed. Out: times. Implements arrivals.h.
 */
#include "bench/apps/arrivals.h"

#define PARTS 1024 /* of a ns */

void arrivals_init(struct arrivals *a, double rate, uint64_t seed)
{
	random_seed(&a->random, seed);
	a->gap = 1e9 * PARTS / rate + 0.5;
	a->at = 0;
}

uint64_t arrivals_next(struct arrivals *a)
{
	a->at += random_exponential(&a->random, a->gap);
	return a->at / PARTS;
}
