// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recorded work, one JSON object per line.
 * In: lines, or what machine_trace() tells. Out: steps, or lines. Implements
 * record.h; the format is in docs/trace.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "sim/machine.h"
#include "sim/record.h"
#include "sim/trace.h"

#define FORMAT "ghost-trace"
#define VERSION 1

/* --- writing ---------------------------------------------------------------------- */

#define BUFFER_SIZE (1 << 18)

struct recorder {
	FILE *out;
	char *buffer;
	/* By tid. */
	struct written {
		uint64_t runtime_ns; /* as it began to run */
		bool named;
		bool runs;
	} *written;
	uint32_t nr_written;
	int err;
};

__attribute__((format(printf, 2, 3))) static void put(struct recorder *r, const char *format, ...)
{
	va_list args;

	if (r->err)
		return;
	va_start(args, format);
	if (vfprintf(r->out, format, args) < 0)
		r->err = errno ? -errno : -EIO;
	va_end(args);
}

int record_open(struct recorder **ret, const char *path)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->buffer = malloc(BUFFER_SIZE);
	r->out = r->buffer ? fopen(path, "we") : NULL;
	if (!r->out) {
		err = r->buffer ? -errno : -ENOMEM;
		free(r->buffer);
		free(r);
		return err;
	}
	setvbuf(r->out, r->buffer, _IOFBF, BUFFER_SIZE);
	put(r, "{\"format\":\"" FORMAT "\",\"version\":%d,\"recorder\":\"sim\"}\n", VERSION);
	*ret = r;
	return 0;
}

static struct written *written_of(struct recorder *r, uint32_t tid)
{
	uint32_t size = r->nr_written ? r->nr_written : 64;
	struct written *w;

	if (tid < r->nr_written)
		return &r->written[tid];
	while (size <= tid && size < UINT32_MAX / 2)
		size *= 2;
	w = size > tid ? realloc(r->written, size * sizeof(*w)) : NULL;
	if (!w) {
		r->err = r->err ? r->err : -ENOMEM;
		return NULL;
	}
	memset(w + r->nr_written, 0, (size - r->nr_written) * sizeof(*w));
	r->written = w;
	r->nr_written = size;
	return &w[tid];
}

static void write_line(struct recorder *r, const struct trace_record *tr, const struct thread *t,
		       const char *event)
{
	char name[6 * RECORD_NAME_SIZE];
	struct written *w = written_of(r, tr->thread);

	if (!w)
		return;
	/* Its number may have been somebody else's. */
	if (tr->what == TRACE_NEW)
		w->named = false;
	put(r, "{\"t\":%" PRIu64 ",\"ev\":\"%s\",\"tid\":%u", tr->time, event, tr->thread);
	if (!w->named) {
		trace_escape(name, sizeof(name), t->behaviour->name);
		put(r, ",\"name\":\"%s\"", name);
		w->named = true;
	}
	if (tr->what != TRACE_NEW && tr->what != TRACE_EXIT)
		put(r, ",\"cpu\":%u", tr->cpu);
	if (tr->what == TRACE_STOP)
		put(r, ",\"why\":\"%s\"", trace_stop_name(tr->arg));
	/* Between the two times the kernel works for it, too. */
	if (tr->what == TRACE_STOP && w->runs)
		put(r, ",\"ran\":%" PRIu64, t->runtime_ns - w->runtime_ns);
	put(r, "}\n");
	w->runs = tr->what == TRACE_RUN;
	w->runtime_ns = t->runtime_ns;
}

void record_write(void *recorder, const struct machine *m, const struct trace_record *tr)
{
	const struct thread *t = tr->thread ? thread_by_tid(m, tr->thread) : NULL;
	struct recorder *r = recorder;

	/* An agent's thread is one before it knows its process. */
	if (!t || t->agent || t->behaviour == &behaviour_agent || r->err)
		return;
	switch (tr->what) {
	case TRACE_NEW:
		write_line(r, tr, t, "new");
		break;
	case TRACE_WAKE:
		write_line(r, tr, t, "wakeup");
		break;
	case TRACE_RUN:
		write_line(r, tr, t, "run");
		break;
	case TRACE_STOP:
		write_line(r, tr, t, "stop");
		break;
	case TRACE_EXIT:
		write_line(r, tr, t, "exit");
		break;
	}
}

int record_close(struct recorder *r)
{
	int err;

	if (!r)
		return 0;
	if (fclose(r->out) && !r->err)
		r->err = errno ? -errno : -EIO;
	err = r->err;
	free(r->written);
	free(r->buffer);
	free(r);
	return err;
}

/* --- reading: threads and their steps ---------------------------------------------------- */

#define LINE_SIZE 65536
/* More than twice as many as there may be threads; a power of two. */
#define MAP_SIZE (1u << 18)

enum state {
	STATE_SLEEPS,
	STATE_WAITS, /* for a CPU, in the middle of a step */
	STATE_RUNS,
	STATE_GONE,
};

/* What a thread does at the line that is read. */
struct progress {
	uint64_t since; /* it sleeps or runs */
	uint32_t size;	/* of its steps */
	enum state state;
};

struct reader {
	FILE *in;
	char *line;
	size_t len;
	uint64_t nr_lines;
	char *error;
	size_t error_size;
	struct record *record;
	struct progress *progress; /* [record->nr_threads] */
	uint32_t size;
	uint32_t *map; /* tid -> index of the last thread of that number, plus one */
	uint64_t first, now;
	bool begun;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reader *rd, const char *format, ...)
{
	va_list args;
	int len;

	len = snprintf(rd->error, rd->error_size, "line %" PRIu64 ": ", rd->nr_lines);
	va_start(args, format);
	if (len >= 0 && (size_t)len < rd->error_size)
		vsnprintf(rd->error + len, rd->error_size - len, format, args);
	va_end(args);
	/* Some of it may be from the file; whoever reads it may do so on a terminal. */
	for (char *c = rd->error; rd->error_size && *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return -EINVAL;
}

static int no_memory(struct reader *rd)
{
	refuse(rd, "no memory for more");
	return -ENOMEM;
}

/* Where @tid is in the map, or would be. */
static uint32_t *lookup(struct reader *rd, uint32_t tid)
{
	uint32_t i = tid * 0x9e3779b1u >> 14;

	while (rd->map[i % MAP_SIZE] && rd->record->threads[rd->map[i % MAP_SIZE] - 1].tid != tid)
		i++;
	return &rd->map[i % MAP_SIZE];
}

/* What fits, and no half of a character. */
static void copy_name(char ret[RECORD_NAME_SIZE], const char *name)
{
	size_t len = strlen(name);

	if (len >= RECORD_NAME_SIZE) {
		len = RECORD_NAME_SIZE - 1;
		while (len && (name[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(ret, name, len);
	ret[len] = 0;
}

/* A thread of which nothing is known but that it has slept so far. */
static int thread_begin(struct reader *rd, uint32_t tid, const char *name)
{
	struct record *r = rd->record;

	if (r->nr_threads == RECORD_THREADS_MAX)
		return refuse(rd, "there are more than %d threads", RECORD_THREADS_MAX);
	if (r->nr_threads == rd->size) {
		uint32_t size = rd->size ? rd->size * 2 : 64;
		struct record_thread *threads = realloc(r->threads, size * sizeof(*threads));
		struct progress *progress;

		if (!threads)
			return no_memory(rd);
		r->threads = threads;
		progress = realloc(rd->progress, size * sizeof(*progress));
		if (!progress)
			return no_memory(rd);
		rd->progress = progress;
		rd->size = size;
	}
	r->threads[r->nr_threads] = (struct record_thread){ .tid = tid };
	copy_name(r->threads[r->nr_threads].name, name);
	rd->progress[r->nr_threads] = (struct progress){ .since = rd->first };
	*lookup(rd, tid) = ++r->nr_threads;
	return 0;
}

static int step_begin(struct reader *rd, uint32_t i)
{
	struct record_thread *t = &rd->record->threads[i];
	struct progress *p = &rd->progress[i];

	if (t->nr_steps == p->size) {
		uint32_t size = p->size ? p->size * 2 : 8;
		struct record_step *steps = NULL;

		if (size > p->size)
			steps = realloc(t->steps, size * sizeof(*steps));
		if (!steps)
			return no_memory(rd);
		t->steps = steps;
		p->size = size;
	}
	t->steps[t->nr_steps++] = (struct record_step){ .sleep_ns = rd->now - p->since };
	p->state = STATE_WAITS;
	return 0;
}

/* Off its CPU; @ran: how long it computed, if somebody knows better than the clock. */
static void piece_end(struct reader *rd, uint32_t i, uint64_t ran)
{
	struct record_thread *t = &rd->record->threads[i];
	struct progress *p = &rd->progress[i];
	uint64_t ns = rd->now - p->since;

	if (p->state != STATE_RUNS)
		return;
	t->steps[t->nr_steps - 1].run_ns += ran < ns ? ran : ns;
	p->state = STATE_WAITS;
}

static void step_end(struct reader *rd, uint32_t i, enum state state)
{
	struct record_thread *t = &rd->record->threads[i];
	struct progress *p = &rd->progress[i];

	if (p->state == STATE_WAITS && !t->steps[t->nr_steps - 1].run_ns)
		t->steps[t->nr_steps - 1].run_ns = 1;
	p->state = state;
	p->since = rd->now;
}

static void thread_end(struct reader *rd, uint32_t i)
{
	piece_end(rd, i, UINT64_MAX);
	step_end(rd, i, STATE_GONE);
}

/* --- reading: lines ------------------------------------------------------------------------ */

enum line {
	LINE_NEW,
	LINE_WAKEUP,
	LINE_RUN,
	LINE_STOP,
	LINE_EXIT,
	LINE_NR,
};

static const char *const lines[LINE_NR] = { "new", "wakeup", "run", "stop", "exit" };

/* A field that is a number from @min to @max. @ret keeps what it holds if there is none. */
static int number(struct reader *rd, const json_t *o, const char *key, bool must, uint64_t min,
		  uint64_t max, uint64_t *ret)
{
	const json_t *value = json_object_get(o, key);
	json_int_t n;

	if (!value)
		return must ? refuse(rd, "there is no \"%s\"", key) : 0;
	if (!json_is_integer(value))
		return refuse(rd, "\"%s\" is no integer", key);
	n = json_integer_value(value);
	if (n < 0)
		return refuse(rd, "\"%s\" is negative", key);
	if ((uint64_t)n < min || (uint64_t)n > max)
		return refuse(rd, "\"%s\" is out of range", key);
	*ret = n;
	return 0;
}

/* *@ret stays NULL if there is no such field. */
static int text(struct reader *rd, const json_t *o, const char *key, const char **ret)
{
	const json_t *value = json_object_get(o, key);

	if (value && !json_is_string(value))
		return refuse(rd, "\"%s\" is no string", key);
	*ret = json_string_value(value);
	return 0;
}

static int take_header(struct reader *rd, const json_t *o)
{
	const char *format = json_string_value(json_object_get(o, "format"));
	uint64_t version = 0;
	int err;

	if (!format || strcmp(format, FORMAT))
		return refuse(rd, "this is no recording: \"format\" is not \"" FORMAT "\"");
	err = number(rd, o, "version", true, 0, INT64_MAX, &version);
	if (!err && version != VERSION)
		err = refuse(rd, "the format has version %" PRIu64 "; what can be read is %d",
			     version, VERSION);
	return err;
}

static int take_stop(struct reader *rd, const json_t *o, uint32_t i, bool stranger)
{
	struct progress *p = &rd->progress[i];
	uint64_t ran = UINT64_MAX;
	const char *why = NULL;
	int err = text(rd, o, "why", &why);

	if (!err && !why)
		err = refuse(rd, "there is no \"why\"");
	err = err ? err : number(rd, o, "ran", false, 0, INT64_MAX, &ran);
	if (err)
		return err;
	/* It has run since before somebody looked. */
	if (stranger) {
		p->since = rd->now;
		err = step_begin(rd, i);
		if (err)
			return err;
		p->state = STATE_RUNS;
		p->since = rd->first;
		rd->record->threads[i].steps[0].sleep_ns = 0;
	}
	piece_end(rd, i, ran);
	if (!strcmp(why, "exited"))
		step_end(rd, i, STATE_GONE);
	else if (!strcmp(why, "blocked") && p->state != STATE_SLEEPS)
		step_end(rd, i, STATE_SLEEPS);
	return 0;
}

static int take_event(struct reader *rd, const json_t *o, enum line e)
{
	uint64_t t = 0, tid = 0, cpu = 0;
	const char *name = NULL;
	bool stranger;
	uint32_t i;
	int err;

	err = number(rd, o, "t", true, 0, INT64_MAX, &t);
	err = err ? err : number(rd, o, "tid", true, 1, UINT32_MAX, &tid);
	err = err ? err : number(rd, o, "cpu", false, 0, UINT32_MAX, &cpu);
	err = err ? err : text(rd, o, "name", &name);
	if (err)
		return err;
	if (!rd->begun)
		rd->first = t;
	else if (t < rd->now)
		return refuse(rd, "the time goes back, from %" PRIu64 " to %" PRIu64, rd->now, t);
	rd->begun = true;
	rd->now = t;

	i = *lookup(rd, tid);
	if (i && rd->progress[i - 1].state == STATE_GONE) {
		/* The kernel tells of the end before it takes a thread off its CPU. */
		if (e == LINE_STOP || e == LINE_EXIT)
			return 0;
		i = 0;
	}
	if (i && e == LINE_NEW) {
		/* Its number is used again, and its end was missed. */
		thread_end(rd, i - 1);
		i = 0;
	}
	stranger = !i;
	if (stranger) {
		err = thread_begin(rd, tid, name ? name : "");
		if (err)
			return err;
		i = rd->record->nr_threads;
	}
	i--;
	switch (e) {
	case LINE_WAKEUP:
		return rd->progress[i].state == STATE_SLEEPS ? step_begin(rd, i) : 0;
	case LINE_RUN:
		if (rd->progress[i].state == STATE_SLEEPS)
			err = step_begin(rd, i);
		if (!err) {
			rd->progress[i].state = STATE_RUNS;
			rd->progress[i].since = t;
		}
		return err;
	case LINE_STOP:
		return take_stop(rd, o, i, stranger);
	case LINE_EXIT:
		thread_end(rd, i);
		return 0;
	default:
		return 0;
	}
}

static int take_line(struct reader *rd)
{
	const char *ev = NULL;
	json_error_t e;
	json_t *o;
	int err = 0, i;

	o = json_loadb(rd->line, rd->len, JSON_REJECT_DUPLICATES, &e);
	if (!o)
		return refuse(rd, "this is no JSON: %s", e.text);
	if (!json_is_object(o))
		err = refuse(rd, "this is no JSON object");
	else if (rd->nr_lines == 1)
		err = take_header(rd, o);
	else
		err = text(rd, o, "ev", &ev);
	if (!err && rd->nr_lines > 1) {
		for (i = 0; ev && i < LINE_NR && strcmp(ev, lines[i]);)
			i++;
		if (!ev)
			err = refuse(rd, "there is no \"ev\"");
		else if (i < LINE_NR)
			err = take_event(rd, o, i);
	}
	json_decref(o);
	return err;
}

/* The next line: 1; 0: there is none; or a negative errno. */
static int next_line(struct reader *rd)
{
	int c;

	rd->len = 0;
	rd->nr_lines++;
	while ((c = getc(rd->in)) != EOF && c != '\n') {
		if (rd->len == LINE_SIZE)
			return refuse(rd, "it is longer than %d bytes", LINE_SIZE);
		rd->line[rd->len++] = c;
	}
	if (c == EOF && ferror(rd->in)) {
		int err = errno ? -errno : -EIO;

		refuse(rd, "it cannot be read: %s", strerror(-err));
		return err;
	}
	return c == '\n' || rd->len;
}

static int read_all(struct reader *rd)
{
	int err;

	while ((err = next_line(rd)) > 0) {
		/* An empty line is none, but for the first. */
		if (!rd->len && rd->nr_lines > 1)
			continue;
		err = take_line(rd);
		if (err)
			return err;
	}
	if (err)
		return err;
	if (rd->nr_lines == 1)
		return refuse(rd, "the file is empty");
	/* What is not over ends with the recording. */
	for (uint32_t i = 0; i < rd->record->nr_threads; i++)
		if (rd->progress[i].state != STATE_GONE)
			thread_end(rd, i);
	return 0;
}

void record_free(struct record *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->nr_threads; i++)
		free(r->threads[i].steps);
	free(r->threads);
	free(r);
}

int record_read(struct record **ret, const char *path, char *error, size_t size)
{
	struct reader rd = { .error = error, .error_size = size };
	int err;

	rd.in = fopen(path, "re");
	if (!rd.in) {
		err = -errno;
		snprintf(error, size, "it cannot be opened: %s", strerror(-err));
		return err;
	}
	rd.line = malloc(LINE_SIZE);
	rd.map = calloc(MAP_SIZE, sizeof(*rd.map));
	rd.record = calloc(1, sizeof(*rd.record));
	err = rd.line && rd.map && rd.record ? read_all(&rd) : no_memory(&rd);
	fclose(rd.in);
	free(rd.line);
	free(rd.map);
	free(rd.progress);
	if (err)
		record_free(rd.record);
	else
		*ret = rd.record;
	return err;
}
