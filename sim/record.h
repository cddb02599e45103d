/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Recorded work: how long each thread slept and then computed, in turn.
 * In: a file, see docs/trace.md. Out: steps to replay. Called by whoever reads
 * or writes such files.
 */
#ifndef GHOST_SIM_RECORD_H
#define GHOST_SIM_RECORD_H

#include <stddef.h>
#include <stdint.h>

struct machine;
struct trace_record;
struct recorder;

/* A file with more of them is refused. */
#define RECORD_THREADS_MAX 100000
#define RECORD_NAME_SIZE 16

struct record_step {
	uint64_t sleep_ns; /* before it was woken; the first: since the recording began */
	uint64_t run_ns;   /* 1 at least */
};

struct record_thread {
	uint32_t tid;
	char name[RECORD_NAME_SIZE];
	uint32_t nr_steps;
	struct record_step *steps;
};

struct record {
	uint32_t nr_threads;
	struct record_thread *threads; /* in the order in which they came */
};

/**
 * record_read() - read @path
 * @error: receives one sentence on failure, with the line
 *
 * 0 or a negative errno. Free with record_free().
 */
int record_read(struct record **ret, const char *path, char *error, size_t size);
void record_free(struct record *r);

/**
 * record_open() - begin to write @path; what was in it is lost
 *
 * 0 or a negative errno. Ended by record_close().
 */
int record_open(struct recorder **ret, const char *path);

/*
 * A trace_fn (machine.h): @recorder is the struct recorder. Threads of the
 * work only, those of agents are left out.
 */
void record_write(void *recorder, const struct machine *m, const struct trace_record *r);

/* Returns 0, or the first error as a negative errno: the file is not complete then. */
int record_close(struct recorder *r);

#endif
