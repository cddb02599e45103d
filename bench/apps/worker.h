/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Workers: threads that sleep until each is given a request of its own.
 * In: requests, from one load generator. Out: what was measured, per part of the mix.
 * Called by the main program and the load generator.
 *
 * There is a thread to be scheduled for every request: a worker that has ended
 * one does not take the next by itself, so it is the scheduler under test that
 * decides in which order requests are served.
 */
#ifndef GHOST_BENCH_APPS_WORKER_H
#define GHOST_BENCH_APPS_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/apps/mix.h"
#include "bench/apps/store.h"
#include "bench/load/class.h"
#include "sim/histogram.h"

struct request {
	uint64_t intended_ns; /* when it arrives, CLOCK_MONOTONIC */
	uint64_t service_ns;
	uint32_t part;
	uint32_t key;
	bool measured; /* not of the warm-up */
};

/* Of the requests of one part that one worker served. */
struct tally {
	struct hist latency; /* from the intended arrival to the end, ns */
	uint64_t cpu_ns;     /* that they really took */
};

struct pool;

/* @turn is a futex: the generator sets it when there is a request, the worker when it is done. */
struct worker {
	_Alignas(64) uint32_t turn;
	struct request request;
	struct worker *next; /* idle, too, and longer */
	struct pool *pool;
	pthread_t thread;
	struct tally *tally; /* by part */
	uint64_t nr_ended;   /* in the measured time */
};

struct pool_options {
	const struct mix *mix;
	const struct store *store;
	const struct class *class;
	uint32_t nr;
	uint32_t range_keys;
};

struct pool {
	struct pool_options opt;
	struct worker *worker;
	/* Requests that end from @begin_ns to @end_ns are counted in nr_ended. */
	uint64_t begin_ns, end_ns;
	const char *class_name; /* that of the first worker, as it found itself */
	/* A stack: any worker pushes itself, only the generator pops, so none returns unseen. */
	_Alignas(64) struct worker *idle;
	uint32_t nr_busy;
	/* What the generator sleeps on, and whether it wants to know of workers that end. */
	_Alignas(64) uint32_t events;
	uint32_t watched;
};

uint64_t now_ns(void);

/* pool_start() - start the workers and return when all are idle; ends the program on errors. */
void pool_start(struct pool *p, const struct pool_options *opt);

/* pool_stop() - end and free the workers, of whom none is busy. */
void pool_stop(struct pool *p);

/* --- for the generator ------------------------------------------------------- */

/* pool_give() - let an idle worker serve @r; false: there is none. */
bool pool_give(struct pool *p, const struct request *r);

/* pool_busy() - how many serve. */
uint32_t pool_busy(const struct pool *p);

/*
 * pool_watch() - from now on, do or do not be woken by workers that end; what is
 * looked at after this call cannot be missed by pool_wait() with what it returns.
 */
uint32_t pool_watch(struct pool *p, bool on);

/* pool_wait() - sleep until @until_ns, or something has happened since @events was current. */
void pool_wait(struct pool *p, uint32_t events, uint64_t until_ns);

/* pool_poke() - wake the generator. For any thread. */
void pool_poke(struct pool *p);

#endif
