/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a run says in the end: latencies, rates, and whether it can be believed.
 * In: workers, load generator, batch. Out: a table or a line of JSON.
 * Called by the main program.
 */
#ifndef GHOST_BENCH_APPS_RESULT_H
#define GHOST_BENCH_APPS_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/apps/generator.h"
#include "bench/apps/hogs.h"
#include "bench/apps/mix.h"
#include "bench/apps/worker.h"
#include "bench/load/class.h"
#include "sim/histogram.h"

#define RESULT_WHYS_MAX 4

struct result {
	/* Given */
	const struct generator *generator;
	const struct pool *pool;
	const char *mix_text;
	uint64_t late_max_ns;		 /* the generator's p99 from which it is late */
	uint64_t batch_cpu_ns, batch_ns; /* CPU time, and the time in which it was had */
	uint32_t nr_batch;
	int batch_nice;
	unsigned int nr_cpus;

	/* Found */
	struct tally part[MIX_PARTS_MAX];
	struct hist latency;
	double seconds;
	uint64_t nr_produced, nr_unfinished, nr_ended;
	uint32_t nr_whys; /* 0: the load was kept up */
	char why[RESULT_WHYS_MAX][160];
};

/* result_find() - add up what the workers have, and judge it. */
void result_find(struct result *r);

/* result_print_json() - one line; docs/bench.md has the fields. */
void result_print_json(const struct result *r);

void result_print_table(const struct result *r);

#endif
