/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scheduling class that the threads of a load run in.
 * In: what options say. Out: the calling thread is there, or why not.
 * Called by the load programs and applications.
 */
#ifndef GHOST_BENCH_LOAD_CLASS_H
#define GHOST_BENCH_LOAD_CLASS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLASS_INHERIT (-1)

/* What the kernel accepts as a slice of the fair class, ns. */
#define CLASS_SLICE_MIN 100000ul
#define CLASS_SLICE_MAX 100000000ul

struct class
{
	int policy; /* CLASS_INHERIT: as it is */
	bool has_nice;
	int nice;
	uint64_t slice_ns; /* 0: the kernel's */
};

/* class_parse() - other, ext or inherit; anything else is a usage error. */
int class_parse(struct argp_state *state, const char *name);

/**
 * class_enter() - put the calling thread there; its children begin there, too
 *
 * Returns 0; -EPERM for a nice value or class that takes more rights;
 * -EOPNOTSUPP for a slice that this kernel or the class of the thread does not
 * have; or what else sched_setattr() says.
 */
int class_enter(const struct class *c);

/* class_name() - of the calling thread's policy. */
const char *class_name(void);

/*
 * class_ops() - the sched_ext scheduler that runs, "" if there is none: without
 * one a thread of the ext class quietly is a fair one. Nothing that JSON would
 * have to quote.
 */
void class_ops(char *text, size_t size);

#endif
