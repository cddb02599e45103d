// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trace events: a slice when it ends, an instant when it happens, names when
 * they are known.
 * In: records. Out: a file, through a large buffer. Implements trace.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "libghost/enclave.h"
#include "sim/fault.h"
#include "sim/machine.h"
#include "sim/trace.h"

#define BUFFER_SIZE (1 << 20)
/* Each byte of a name may become six. */
#define NAME_SIZE 24
#define LABEL_SIZE (6 * NAME_SIZE + 16)

#define PID_CPUS 1
#define PID_THREADS 2
/* Tracks of threads whose numbers are used again: behind all numbers there are. */
#define TRACKS_AGAIN (1u << 24)

/* A time or duration in microseconds: three decimals are all there is. */
#define US "%" PRIu64 ".%03u"
#define TO_US(ns) ((uint64_t)(ns) / 1000), ((unsigned int)((uint64_t)(ns) % 1000))

enum state {
	STATE_ASLEEP,
	STATE_WAITS,
	STATE_RUNS,
};

/* What is known of a thread; it may be gone when its last records come. */
struct seen {
	char name[NAME_SIZE];
	uint64_t since; /* in this state */
	uint32_t track; /* its number, unless somebody had that before */
	uint32_t enclave;
	uint32_t cpu;	   /* it runs on */
	uint32_t agent_of; /* CPU; GHOST_CPU_NONE: not attached */
	uint8_t state;
	bool known;
	bool named; /* in the file */
	bool is_agent;
	bool member;
};

struct track {
	uint64_t since;
	uint32_t tid; /* runs; 0: idle */
	bool fair;
};

struct trace_file {
	FILE *out;
	char *buffer;
	struct track *tracks; /* [nr_cpus] */
	struct seen *seen;    /* [nr_seen] by tid */
	uint32_t nr_cpus;
	uint32_t nr_seen;
	uint32_t nr_again;
	uint32_t nr_waiting;	  /* members */
	uint32_t written_waiting; /* as the file has it */
	uint64_t now;
	int err;
	bool begun;
};

/* --- words ---------------------------------------------------------------------- */

const char *trace_stop_name(uint32_t why)
{
	static const char *const names[] = {
		[STOP_BLOCKED] = "blocked",	[STOP_YIELDED] = "yielded", [STOP_SLICE] = "slice",
		[STOP_PREEMPTED] = "preempted", [STOP_EXITED] = "exited",   [STOP_MOVED] = "moved",
		[STOP_OFFLINE] = "cpu_offline",
	};

	return why < sizeof(names) / sizeof(names[0]) ? names[why] : "unknown";
}

const char *trace_msg_name(uint32_t type)
{
	switch (type) {
	case GHOST_MSG_TASK_DEAD:
		return "TASK_DEAD";
	case GHOST_MSG_TASK_BLOCKED:
		return "TASK_BLOCKED";
	case GHOST_MSG_TASK_WAKEUP:
		return "TASK_WAKEUP";
	case GHOST_MSG_TASK_NEW:
		return "TASK_NEW";
	case GHOST_MSG_TASK_PREEMPT:
		return "TASK_PREEMPT";
	case GHOST_MSG_TASK_YIELD:
		return "TASK_YIELD";
	case GHOST_MSG_TASK_DEPARTED:
		return "TASK_DEPARTED";
	case GHOST_MSG_TASK_AFFINITY_CHANGED:
		return "TASK_AFFINITY_CHANGED";
	case GHOST_MSG_TASK_PRIORITY_CHANGED:
		return "TASK_PRIORITY_CHANGED";
	default:
		return "unknown";
	}
}

void trace_escape(char *buf, size_t size, const char *text)
{
	size_t len = 0;

	for (; *text; text++) {
		unsigned char c = *text;
		char one[8];
		int n;

		/* Bytes beyond ASCII may be no UTF-8, or half of it: as they would be in Latin-1. */
		if (c == '"' || c == '\\')
			n = snprintf(one, sizeof(one), "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			n = snprintf(one, sizeof(one), "\\u%04x", c);
		else
			n = snprintf(one, sizeof(one), "%c", c);
		if (len + n >= size)
			break;
		memcpy(buf + len, one, n);
		len += n;
	}
	if (size)
		buf[len] = 0;
}

/* --- the file -------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void put(struct trace_file *f, const char *format, ...)
{
	va_list args;

	/* After the first error there is nothing that could be saved. */
	if (f->err)
		return;
	va_start(args, format);
	if (vfprintf(f->out, format, args) < 0)
		f->err = errno ? -errno : -EIO;
	va_end(args);
}

/* An event's beginning; args and "}" follow. */
static void begin(struct trace_file *f, const char *phase, uint32_t pid, uint32_t tid)
{
	put(f, "%s\n{\"ph\":\"%s\",\"pid\":%u,\"tid\":%u", f->begun ? "," : "", phase, pid, tid);
	f->begun = true;
}

static void slice(struct trace_file *f, uint32_t pid, uint32_t tid, uint64_t from)
{
	begin(f, "X", pid, tid);
	put(f, ",\"ts\":" US ",\"dur\":" US, TO_US(from), TO_US(f->now - from));
}

/* @scope: "t" on the track of the CPU, "g" across all. */
static void instant(struct trace_file *f, uint32_t cpu, const char *scope, const char *category)
{
	begin(f, "i", PID_CPUS, cpu);
	put(f, ",\"ts\":" US ",\"s\":\"%s\",\"cat\":\"%s\"", TO_US(f->now), scope, category);
}

static void name_process(struct trace_file *f, uint32_t pid, const char *name)
{
	begin(f, "M", pid, 0);
	put(f, ",\"name\":\"process_name\",\"args\":{\"name\":\"%s\"}}", name);
	begin(f, "M", pid, 0);
	put(f, ",\"name\":\"process_sort_index\",\"args\":{\"sort_index\":%u}}", pid);
}

/* --- threads ------------------------------------------------------------------------ */

static struct seen *seen_of(struct trace_file *f, uint32_t tid)
{
	uint32_t size = f->nr_seen ? f->nr_seen : 64;
	struct seen *seen;

	if (tid < f->nr_seen)
		return &f->seen[tid];
	while (size <= tid && size < UINT32_MAX / 2)
		size *= 2;
	seen = size > tid ? realloc(f->seen, size * sizeof(*seen)) : NULL;
	if (!seen) {
		f->err = f->err ? f->err : -ENOMEM;
		return NULL;
	}
	memset(seen + f->nr_seen, 0, (size - f->nr_seen) * sizeof(*seen));
	f->seen = seen;
	f->nr_seen = size;
	return &seen[tid];
}

/* What people call it, escaped. */
static const char *label(const struct trace_file *f, uint32_t tid, char buf[LABEL_SIZE])
{
	const struct seen *s = tid < f->nr_seen ? &f->seen[tid] : NULL;
	char name[6 * NAME_SIZE];

	trace_escape(name, sizeof(name), s && s->name[0] ? s->name : "thread");
	if (s && s->is_agent && s->agent_of != GHOST_CPU_NONE)
		snprintf(buf, LABEL_SIZE, "%s/%u", name, s->agent_of);
	else
		snprintf(buf, LABEL_SIZE, "%s %u", name, tid);
	return buf;
}

static void name_thread(struct trace_file *f, uint32_t tid)
{
	char buf[LABEL_SIZE];

	f->seen[tid].named = true;
	begin(f, "M", PID_THREADS, f->seen[tid].track);
	put(f, ",\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}", label(f, tid, buf));
}

/* What there is to be learned about it while it is there. */
static void look_at(struct trace_file *f, struct seen *s, uint32_t tid, const struct machine *m)
{
	const struct thread *t = thread_by_tid(m, tid);

	if (!t)
		return;
	if (!s->known) {
		snprintf(s->name, sizeof(s->name), "%s", t->behaviour->name);
		s->known = true;
		s->is_agent = t->behaviour == &behaviour_agent;
		s->agent_of = GHOST_CPU_NONE;
	}
	if (s->is_agent && s->agent_of == GHOST_CPU_NONE && who_kind(t->who) == WHO_AGENT) {
		s->agent_of = who_index(t->who);
		s->enclave = who_enclave(t->who);
	}
	/* Whose agent it is takes an agent some time to know. */
	if (!s->named && (!s->is_agent || s->agent_of != GHOST_CPU_NONE))
		name_thread(f, tid);
}

/* Into another state: the one that ends is written. */
static void turn(struct trace_file *f, struct seen *s, enum state state)
{
	if (s->state == STATE_RUNS) {
		slice(f, PID_THREADS, s->track, s->since);
		put(f, ",\"name\":\"runs\",\"args\":{\"cpu\":%u}}", s->cpu);
	} else if (s->state == STATE_WAITS && f->now > s->since) {
		slice(f, PID_THREADS, s->track, s->since);
		put(f, ",\"name\":\"waits\"}");
	}
	f->nr_waiting -= s->member && s->state == STATE_WAITS;
	s->state = state;
	s->since = f->now;
	f->nr_waiting += s->member && s->state == STATE_WAITS;
}

/* Its number was somebody else's. */
static void forget(struct trace_file *f, struct seen *s, uint32_t tid)
{
	turn(f, s, STATE_ASLEEP);
	if (!s->named)
		name_thread(f, tid);
	*s = (struct seen){ .track = TRACKS_AGAIN + f->nr_again++ };
}

/* --- CPUs ------------------------------------------------------------------------------ */

static void leave_cpu(struct trace_file *f, uint32_t cpu, const char *why)
{
	struct track *k = &f->tracks[cpu];
	const struct seen *s = k->tid < f->nr_seen ? &f->seen[k->tid] : NULL;
	char buf[LABEL_SIZE];

	if (!k->tid)
		return;
	slice(f, PID_CPUS, cpu, k->since);
	put(f, ",\"cat\":\"run\",\"name\":\"%s\",\"args\":{\"tid\":%u,\"why\":\"%s\"",
	    label(f, k->tid, buf), k->tid, why);
	if (s && s->enclave)
		put(f, ",\"enclave\":%u", s->enclave);
	put(f, ",\"class\":\"%s\"}}", k->fair ? "fair" : "ext");
	k->tid = 0;
}

/* How many members wait: once for each time, when it is over. */
static void count_waiting(struct trace_file *f)
{
	if (f->nr_waiting == f->written_waiting)
		return;
	f->written_waiting = f->nr_waiting;
	begin(f, "C", PID_CPUS, 0);
	put(f, ",\"ts\":" US ",\"name\":\"members waiting\",\"args\":{\"threads\":%u}}",
	    TO_US(f->now), f->nr_waiting);
}

/* Where and about whom; the instant is complete with "}}". */
static void about(struct trace_file *f, uint32_t cpu, uint32_t tid)
{
	char buf[LABEL_SIZE];

	put(f, ",\"args\":{\"cpu\":%u", cpu);
	if (tid)
		put(f, ",\"thread\":\"%s\",\"tid\":%u", label(f, tid, buf), tid);
}

static void plain(struct trace_file *f, const struct trace_record *r, const char *category,
		  const char *name)
{
	instant(f, r->cpu, "t", category);
	put(f, ",\"name\":\"%s\"", name);
	about(f, r->cpu, r->thread);
	put(f, "}}");
}

static void queued(struct trace_file *f, const struct trace_record *r, const char *name)
{
	instant(f, r->cpu, "t", "msg");
	put(f, ",\"name\":\"%s\"", name);
	about(f, r->cpu, r->thread);
	put(f, ",\"queue\":%u}}", (uint32_t)r->arg);
}

static void committed(struct trace_file *f, const struct machine *m, const struct trace_record *r)
{
	uint32_t slot = r->arg >> 8;
	const struct thread *t = slot && slot < m->opt.capacity ? m->refs[slot] : NULL;

	/* The record's own thread is the one that ran before. */
	instant(f, r->cpu, "t", "txn");
	put(f, ",\"name\":\"txn %s\"", ghost_txn_state_name(r->arg & 0xff));
	about(f, r->cpu, t ? t->tid : 0);
	put(f, ",\"slot\":%u}}", slot);
}

static void write_instant(struct trace_file *f, const struct machine *m,
			  const struct trace_record *r)
{
	uint32_t high = r->arg >> 32, low = r->arg;

	switch (r->what) {
	case TRACE_WAKE:
		plain(f, r, "wake", "wake");
		break;
	case TRACE_MSG:
		queued(f, r, trace_msg_name(high));
		break;
	case TRACE_OVERFLOW:
		queued(f, r, "overflow");
		break;
	case TRACE_TXN:
		committed(f, m, r);
		break;
	case TRACE_KICK:
		plain(f, r, "kick", r->arg ? "kick, preempt" : "kick");
		break;
	case TRACE_NEW:
		plain(f, r, "life", "new");
		break;
	case TRACE_EXIT:
		plain(f, r, "life", "exit");
		break;
	case TRACE_JOIN:
		plain(f, r, "life", "join");
		break;
	case TRACE_LEAVE:
		plain(f, r, "life", "leave");
		break;
	case TRACE_CHANGE:
		plain(f, r, "change", r->arg ? "nice" : "affinity");
		break;
	case TRACE_CPU:
		plain(f, r, "cpu", r->arg ? "online" : "offline");
		break;
	case TRACE_ENCLAVE:
		instant(f, r->cpu, "g", "enclave");
		put(f, ",\"name\":\"enclave %u: %s\"}", high, ghost_enclave_state_name(low));
		break;
	case TRACE_FAULT:
		instant(f, r->cpu, "g", "fault");
		put(f, ",\"name\":\"fault: %s\"",
		    r->arg == FAULT_NR ? "interrupt" : fault_name(r->arg));
		about(f, r->cpu, r->thread);
		put(f, "}}");
		break;
	}
}

static void write_thread(struct trace_file *f, struct seen *s, const struct trace_record *r)
{
	switch (r->what) {
	case TRACE_WAKE:
		turn(f, s, STATE_WAITS);
		break;
	case TRACE_RUN:
		turn(f, s, STATE_RUNS);
		s->cpu = r->cpu;
		break;
	case TRACE_STOP:
		turn(f, s,
		     r->arg == STOP_BLOCKED || r->arg == STOP_EXITED ? STATE_ASLEEP : STATE_WAITS);
		break;
	case TRACE_EXIT:
		turn(f, s, STATE_ASLEEP);
		if (!s->named)
			name_thread(f, r->thread);
		break;
	case TRACE_JOIN:
		f->nr_waiting += !s->member && s->state == STATE_WAITS;
		s->member = true;
		s->enclave = r->arg;
		break;
	case TRACE_LEAVE:
		f->nr_waiting -= s->member && s->state == STATE_WAITS;
		s->member = false;
		break;
	}
}

void trace_write(void *file, const struct machine *m, const struct trace_record *r)
{
	struct trace_file *f = file;
	struct seen *s = NULL;

	/* What agents do between system calls, and requests, would hide all the rest. */
	if (r->what == TRACE_STEP || r->what == TRACE_REQUEST || r->cpu >= f->nr_cpus || f->err)
		return;
	if (r->time > f->now) {
		count_waiting(f);
		f->now = r->time;
	}
	if (r->thread) {
		s = seen_of(f, r->thread);
		if (!s)
			return;
		if (!s->track)
			s->track = r->thread;
		if (r->what == TRACE_NEW && s->known)
			forget(f, s, r->thread);
		look_at(f, s, r->thread, m);
	}
	if (r->what == TRACE_RUN || r->what == TRACE_STOP)
		leave_cpu(f, r->cpu, r->what == TRACE_STOP ? trace_stop_name(r->arg) : "unknown");
	if (s)
		write_thread(f, s, r);
	if (r->what == TRACE_RUN)
		f->tracks[r->cpu] = (struct track){
			.since = f->now,
			.tid = r->thread,
			.fair = r->arg == CLASS_FAIR,
		};
	write_instant(f, m, r);
}

/* --- life -------------------------------------------------------------------------------- */

static void trace_free(struct trace_file *f)
{
	free(f->buffer);
	free(f->tracks);
	free(f->seen);
	free(f);
}

int trace_open(struct trace_file **ret, const char *path, uint32_t nr_cpus)
{
	struct trace_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->nr_cpus = nr_cpus;
	f->written_waiting = UINT32_MAX;
	f->buffer = malloc(BUFFER_SIZE);
	f->tracks = calloc(nr_cpus ? nr_cpus : 1, sizeof(*f->tracks));
	if (!f->buffer || !f->tracks) {
		trace_free(f);
		return -ENOMEM;
	}
	f->out = fopen(path, "we");
	if (!f->out) {
		err = -errno;
		trace_free(f);
		return err;
	}
	setvbuf(f->out, f->buffer, _IOFBF, BUFFER_SIZE);
	put(f, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
	name_process(f, PID_CPUS, "CPUs");
	name_process(f, PID_THREADS, "threads");
	for (uint32_t cpu = 0; cpu < nr_cpus; cpu++) {
		begin(f, "M", PID_CPUS, cpu);
		put(f, ",\"name\":\"thread_name\",\"args\":{\"name\":\"CPU %u\"}}", cpu);
		begin(f, "M", PID_CPUS, cpu);
		put(f, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%u}}", cpu);
	}
	*ret = f;
	return 0;
}

int trace_close(struct trace_file *f)
{
	int err;

	if (!f)
		return 0;
	for (uint32_t cpu = 0; cpu < f->nr_cpus; cpu++)
		leave_cpu(f, cpu, "end of trace");
	count_waiting(f);
	for (uint32_t tid = 1; tid < f->nr_seen; tid++) {
		struct seen *s = &f->seen[tid];

		turn(f, s, STATE_ASLEEP);
		if (s->known && !s->named)
			name_thread(f, tid);
	}
	put(f, "\n]}\n");
	if (fclose(f->out) && !f->err)
		f->err = errno ? -errno : -EIO;
	err = f->err;
	trace_free(f);
	return err;
}
