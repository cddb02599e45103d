/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hogs: threads that compute for ever, and the CPU time they got.
 * In: how many, which class. Out: CPU times, read from outside, so that a hog
 * that never runs is counted, too.
 * Called by antagonist, and by rocksdb as its batch application.
 */
#ifndef GHOST_BENCH_APPS_HOGS_H
#define GHOST_BENCH_APPS_HOGS_H

#include <stdint.h>

#include "bench/load/class.h"

struct hog;

struct hogs {
	uint32_t nr;
	struct hog *hog;
	const char *class_name; /* of the first one, as it found itself; "none" before it ran */
};

/* CPU time, ns: of all, and of the one with least and most. */
struct hogs_time {
	uint64_t all, min, max;
};

/*
 * hogs_start() - returns at once; ends the program where a hog cannot be started
 * or have its class. They end with the program.
 */
void hogs_start(struct hogs *h, uint32_t nr, const struct class *class);

/* hogs_time() - what they had since their start. */
struct hogs_time hogs_time(const struct hogs *h);

#endif
