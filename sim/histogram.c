// SPDX-License-Identifier: GPL-2.0-only
/*
 * Histograms: merging, and the questions asked at the end.
 * In: counted values. Out: means, quantiles. Implements histogram.h.
 */
#include "sim/histogram.h"

void hist_merge(struct hist *h, const struct hist *from)
{
	if (!from->nr)
		return;
	if (from->min < h->min || !h->nr)
		h->min = from->min;
	if (from->max > h->max)
		h->max = from->max;
	h->nr += from->nr;
	h->sum += from->sum;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		h->bucket[i] += from->bucket[i];
}

uint64_t hist_mean(const struct hist *h)
{
	return h->nr ? h->sum / h->nr : 0;
}

/* The middle of bucket @i. */
static uint64_t middle(uint32_t i)
{
	uint32_t shift = i >> HIST_SUB_BITS;

	/* Values below 64 have no leading bit that the index leaves out. */
	if (shift)
		shift--;
	return ((uint64_t)(i - (shift << HIST_SUB_BITS)) << shift) + ((1ull << shift) >> 1);
}

uint64_t hist_quantile(const struct hist *h, uint32_t per_million)
{
	unsigned __int128 part = (unsigned __int128)h->nr * per_million;
	uint64_t rank = (part + 999999) / 1000000, seen = 0, ret;
	uint32_t i;

	if (rank <= 1)
		return hist_min(h);
	if (rank >= h->nr)
		return hist_max(h);
	for (i = hist_index(h->min); seen + h->bucket[i] < rank; i++)
		seen += h->bucket[i];
	ret = middle(i);
	return ret < h->min ? h->min : ret > h->max ? h->max : ret;
}
