/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The load generator: requests come when the arrivals say, whatever became of
 * those before (an open loop).
 * In: rate, mix, seed. Out: requests to workers; how well that was kept.
 * Called by the main program; a thread of its own.
 */
#ifndef GHOST_BENCH_APPS_GENERATOR_H
#define GHOST_BENCH_APPS_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/apps/arrivals.h"
#include "bench/apps/mix.h"
#include "bench/apps/worker.h"
#include "sim/histogram.h"

struct generator_options {
	const struct mix *mix;
	double rate;  /* per second */
	double scale; /* service times are multiplied with it */
	uint64_t seed;
	uint64_t warmup_ns, measure_ns;
	uint64_t limit_ns; /* to wait for requests that have not ended, after that */
	uint32_t queue;	   /* requests that may wait for a worker */
	uint32_t nr_keys;
	int cpu;   /* its own, or -1 */
	bool spin; /* never sleep */
};

/* What main reads while it runs is read and written atomically, if by one only. */
struct generator {
	struct generator_options opt;
	struct pool *pool;

	/* Where it is */
	struct arrivals arrivals;
	struct random requests;
	uint64_t start_ns, next_ns;
	uint64_t end_ns; /* no arrivals from here on */
	struct request *waiting;
	uint32_t first, nr_waiting;
	uint64_t nr_made; /* of the warm-up, too */
	bool stop;

	/* What came of it; of the measured requests, to the end of the file */
	struct hist late; /* from the intended arrival to when it was handed on, ns */
	uint64_t nr_produced[MIX_PARTS_MAX];
	uint64_t nr_dropped;
	uint64_t nr_left; /* waiting or being served when the time was over */
	bool interrupted;
};

/* generator_init() - pool is started; ends the program where there is no memory. */
void generator_init(struct generator *g, struct pool *pool, const struct generator_options *opt);

/*
 * generator_run() - make all requests, then wait for them to end, for so long as
 * the limit says. The thread leaves its scheduling class: it stands for the
 * network, not for what is measured.
 */
void generator_run(struct generator *g);

/* generator_stop() - let the time be over now. From another thread. */
void generator_stop(struct generator *g);

void generator_fini(struct generator *g);

#endif
