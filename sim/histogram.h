/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Histograms of durations: any 64-bit number, none off by more than 1/128.
 * In: values, in ns or whatever the caller counts. Out: quantiles, exact sums.
 * Called by whatever measures in the simulator.
 *
 * The buckets are 64 to each power of two; below 128 each value has its own.
 */
#ifndef GHOST_SIM_HISTOGRAM_H
#define GHOST_SIM_HISTOGRAM_H

#include <stdint.h>

#define HIST_SUB_BITS 6
#define HIST_BUCKETS ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

/* Zeroed memory is an empty histogram. 30 KiB: not for a small stack. */
struct hist {
	unsigned __int128 sum;
	uint64_t nr, min, max; /* min and max mean nothing without values */
	uint64_t bucket[HIST_BUCKETS];
};

/* The bucket of @value. */
static inline uint32_t hist_index(uint64_t value)
{
	uint32_t shift = 63 - HIST_SUB_BITS - __builtin_clzll(value | 1ull << HIST_SUB_BITS);

	return (shift << HIST_SUB_BITS) + (value >> shift);
}

static inline void hist_add(struct hist *h, uint64_t value)
{
	if (value < h->min || !h->nr)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->nr++;
	h->sum += value;
	h->bucket[hist_index(value)]++;
}

/* hist_merge() - as if all that was added to @from had been added to @h, too. */
void hist_merge(struct hist *h, const struct hist *from);

static inline uint64_t hist_count(const struct hist *h)
{
	return h->nr;
}

/* hist_min(), hist_max() - exact; 0 of an empty histogram. */
static inline uint64_t hist_min(const struct hist *h)
{
	return h->nr ? h->min : 0;
}

static inline uint64_t hist_max(const struct hist *h)
{
	return h->max;
}

/* hist_mean() - the exact sum over the count, rounded down; 0 of an empty histogram. */
uint64_t hist_mean(const struct hist *h);

/**
 * hist_quantile() - the least value that at least this part of all does not exceed
 * @per_million: 500000 for the median, 999000 for 99.9 %; more than a million counts as one
 *
 * Not more than 1/128 off; exact where the answer is the least or the largest
 * value, and never beyond those. 0 of an empty histogram.
 */
uint64_t hist_quantile(const struct hist *h, uint32_t per_million);

#endif
