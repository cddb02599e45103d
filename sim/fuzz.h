/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random runs, in which everything may go wrong, under the eyes of the laws.
 * In: seeds. Out: the first case that breaks a law, as a line of text, made
 * smaller on request. Called by the `ghost` program and by tests.
 */
#ifndef GHOST_SIM_FUZZ_H
#define GHOST_SIM_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/fault.h"
#include "sim/sim.h"

/* A case as text is shorter than this. */
#define FUZZ_TEXT_SIZE 8192

/* One run, whole: the same case is the same run, bit by bit. */
struct fuzz_case {
	uint64_t seed;
	char policy[32];
	uint64_t slice_ns; /* of the policy's parameter "slice", where it has one; 0: its default */
	uint32_t cpus;
	uint32_t enclave_cpus;
	char topology[64]; /* with '/' between its levels; "": topology_default(cpus) */
	uint32_t reuse;	   /* tids */
	uint32_t fine;
	uint64_t window_ns;
	uint64_t fair_every_ns, fair_for_ns;
	uint64_t stall_ns;
	uint32_t fallback; /* enum ghost_fallback */
	uint64_t duration_ns;
	uint32_t max_events;
	uint32_t nr_work;
	struct {
		char kind[16];
		uint32_t threads;
		uint32_t load_ppm;
		uint32_t nice;
	} work[SIM_WORKLOADS_MAX];
	struct fault_plan plan;
};

/* The case that @seed stands for. @policy: NULL for any. */
void fuzz_draw(struct fuzz_case *ret, uint64_t seed, const char *policy, uint32_t max_events);

void fuzz_format(const struct fuzz_case *c, char *buf, size_t size);
/* 0, or -EINVAL and a sentence in @error. */
int fuzz_parse(struct fuzz_case *ret, const char *text, char *error, size_t size);

/* Run it under the laws; @trace may be NULL. 0, -EPROTO when one was broken (see @ret), or another errno. */
int fuzz_run(const struct fuzz_case *c, struct sim_report *ret, trace_fn trace, void *trace_arg);

/**
 * fuzz_shrink() - a smaller case that breaks a law, too
 * @c: one that does; is replaced
 * @tries: at most so many runs
 * @progress: called after each; may be NULL
 *
 * Returns the number of runs it took.
 */
uint32_t fuzz_shrink(struct fuzz_case *c, uint32_t tries,
		     void (*progress)(void *arg, const struct fuzz_case *c, uint32_t run),
		     void *arg);

#endif
