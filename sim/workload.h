/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the threads of a run do: models of programs.
 * In: a kind, a number of threads, distributions. Out: threads with
 * behaviours, and what came of them. Called by sim.c.
 */
#ifndef GHOST_SIM_WORKLOAD_H
#define GHOST_SIM_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/machine.h"
#include "sim/random.h"

struct workload;
struct record;

struct workload_options {
	const char *kind;    /* one of workload_kinds[] */
	uint32_t threads;    /* 0: as many as the kind thinks right for @cpus */
	uint32_t cpus;	     /* that will run it */
	int nice;	     /* of its threads */
	uint32_t load_ppm;   /* open loops: offered load, of what @cpus can do; 1,000,000 is 1.0 */
	uint64_t rate;	     /* or requests per second; 0: by @load_ppm */
	struct dist service; /* computing per request, stage, chunk */
	bool has_service;    /* or the kind's own */
	uint32_t burst; /* open loops: requests come in groups of this mean size; 0 or 1: alone */
	const struct record *record; /* "replay": what was recorded; sim/record.h */
	/*
	 * Its threads give hints: this class; those with requests also whether they
	 * have one and how long it takes, "periodic" when its work must be done.
	 */
	bool hints;
	uint32_t hint_class;
};

struct workload_kind {
	const char *name;
	const char *help;
	const char *service; /* default distribution */
	bool open_loop;	     /* --load means something */
	uint32_t threads;    /* default, for each CPU; 0: a number of its own */
};

/* Ends with a NULL name. */
extern const struct workload_kind workload_kinds[];
const struct workload_kind *workload_kind(const char *name);

/**
 * workload_new() - make its threads, asleep, in the fair class
 *
 * -EINVAL for a kind that is none, -ENOMEM. Random numbers come from a stream
 * of their own: the same requests arrive whatever the policy does.
 */
int workload_new(struct workload **ret, struct machine *m, const struct workload_options *opt);
void workload_free(struct workload *w);

/* Its threads, for whoever puts them into an enclave; those it makes later are their children. */
uint32_t workload_nr_threads(const struct workload *w);
uint32_t workload_tid(const struct workload *w, uint32_t index);

/* Begin: arrivals, first steps. */
void workload_go(struct workload *w);
/* No more work comes, and what is endless ends; what is begun goes on to its end. */
void workload_stop(struct workload *w);
/* Forget what was measured so far: the warm-up. */
void workload_reset(struct workload *w);
/* After workload_stop(): is all that was begun done? */
bool workload_done(const struct workload *w);

struct workload_report {
	const char *kind;
	const char *what; /* what is counted: "requests", "chunks", ... */
	uint32_t threads;
	uint64_t started;  /* requests that came */
	uint64_t finished; /* until it was told to stop; the latency has the others, too */
	uint64_t missed;   /* periodic: deadlines */
	uint64_t cpu_ns;   /* asked of CPUs by what was started */
	uint64_t used_ns;  /* that its threads have had */
	int nice;
	const struct hist *latency; /* from the intended arrival to the end, ns; may be empty */
};
void workload_report(const struct workload *w, struct workload_report *ret);

#endif
