/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A run as a file to be looked at with ui.perfetto.dev or chrome://tracing.
 * In: what machine_trace() tells. Out: JSON, the "trace event format". Called
 * by whoever starts a run; what things are called, by the other writers too.
 *
 * Process 1 has a track for each CPU, process 2 one for each thread. Times are
 * virtual, to the nanosecond.
 */
#ifndef GHOST_SIM_TRACE_H
#define GHOST_SIM_TRACE_H

#include <stddef.h>
#include <stdint.h>

struct machine;
struct trace_record;
struct trace_file;

/**
 * trace_open() - begin @path; what was in it is lost
 * @nr_cpus: of the machine; records of others are left out
 *
 * 0 or a negative errno. Ended by trace_close().
 */
int trace_open(struct trace_file **ret, const char *path, uint32_t nr_cpus);

/* A trace_fn (machine.h): @file is the struct trace_file. Written as it goes. */
void trace_write(void *file, const struct machine *m, const struct trace_record *r);

/*
 * What is open ends at the time of the last record. Returns 0, or the first
 * error of the whole writing as a negative errno: the file is not complete then.
 */
int trace_close(struct trace_file *f);

/* --- words -------------------------------------------------------------------- */

/* "blocked", "slice", ...; "unknown" for what is no enum trace_stop. */
const char *trace_stop_name(uint32_t why);
/* "TASK_WAKEUP", ...; "unknown" for what is no enum ghost_msg_type. */
const char *trace_msg_name(uint32_t type);

/* What fits of @text as it stands between the quotes of a JSON string; plain ASCII. */
void trace_escape(char *buf, size_t size, const char *text);

#endif
