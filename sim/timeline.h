/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A picture of a run: which CPU ran what, and when.
 * In: what machine_trace() tells. Out: an SVG file that needs nothing else.
 * Called by whoever starts a run.
 *
 * A row for each CPU, a box for each time that a thread ran, marks for
 * wake-ups, messages and refused commits. Boxes too narrow to be seen become
 * one, so that a file has a few MB at most however long the run is.
 */
#ifndef GHOST_SIM_TIMELINE_H
#define GHOST_SIM_TIMELINE_H

#include <stdint.h>

struct machine;
struct trace_record;
struct timeline;

/* CPUs beyond these are not drawn; the picture says so. */
#define TIMELINE_ROWS_MAX 64

/**
 * timeline_open() - a picture of what happens from @from_ns until @until_ns
 * @title: UTF-8; what is none, or no character for XML, becomes "?"
 *
 * The file is made at once, and written by timeline_close(). 0, -EINVAL when
 * there is no time between the two, or another negative errno.
 */
int timeline_open(struct timeline **ret, const char *path, const char *title, uint32_t nr_cpus,
		  uint64_t from_ns, uint64_t until_ns);

/* A trace_fn (machine.h): @timeline is the struct timeline. */
void timeline_write(void *timeline, const struct machine *m, const struct trace_record *r);

/* Returns 0, or the first error as a negative errno: the file is not complete then. */
int timeline_close(struct timeline *t);

#endif
