// SPDX-License-Identifier: GPL-2.0-only
/*
 * Boxes, collected and merged as they come, and drawn at the end.
 * In: records. Out: SVG 1.1 without scripts, fonts or style sheets. Implements
 * timeline.h.
 *
 * Integers only: the same run gives the same picture everywhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "sim/machine.h"
#include "sim/timeline.h"
#include "sim/trace.h"

#define BUFFER_SIZE (1 << 18)
#define NAME_SIZE 24
#define LABEL_SIZE (NAME_SIZE + 16)
#define TIME_SIZE 32

/* Pixels. */
#define WIDTH 1210
#define LEFT 64
#define PLOT 1116
#define TOP 50
#define AXIS 40
#define LINE 18
#define LEGEND_COLUMN 150
#define LEGEND_COLUMNS (PLOT / LEGEND_COLUMN)
#define LEGEND_THREADS (2 * LEGEND_COLUMNS)

/* Boxes are some 150 bytes each: a file has 5 MB at most, and few have more than one. */
#define BOXES_MAX 32768

enum kind {
	BOX_THREAD,
	BOX_AGENT,
	BOX_FAIR,    /* a thread of ours in the fair class */
	BOX_OTHER,   /* the fair class, but nobody of ours */
	BOX_OFFLINE, /* the CPU is */
	BOX_MIXED,   /* several, merged */
	BOX_NR,
};

enum mark {
	MARK_WAKE,
	MARK_MSG,
	MARK_REFUSED,
	MARK_NR,
};

#define STILL_RUNS 0xff

struct box {
	uint64_t from, until;
	uint64_t busy_ns; /* of a merged one: what is not between its boxes */
	uint32_t who;	  /* index into timeline.seen; 0: nobody, or several */
	uint32_t nr;	  /* 1: not merged */
	uint8_t kind;
	uint8_t why; /* enum trace_stop */
};

struct row {
	struct box *boxes;
	uint32_t nr_boxes, size;
	struct box now; /* that is not over; nr 0: none */
	uint64_t fair_from, fair_until;
	uint64_t offline_from;
	bool is_offline;
	uint64_t *marks; /* [MARK_NR][PLOT]: time of the first in that column, plus one */
};

/* A thread; its number may have been another's before. */
struct seen {
	char name[NAME_SIZE];
	uint64_t busy_ns; /* in the picture */
	uint32_t tid;
	uint32_t agent_of;
	bool known;
	bool is_agent;
};

struct unit {
	uint64_t ns;
	const char *name;
};

struct timeline {
	FILE *out;
	char *buffer;
	char *title;
	struct row *rows;
	struct seen *seen; /* [nr_seen]; 0 is nobody */
	uint32_t *who;	   /* [nr_tids] the last one of that number; 0: none yet */
	uint32_t nr_cpus, nr_rows, nr_seen, size_seen, nr_tids;
	uint32_t nr_boxes;  /* of all rows */
	uint32_t row_h;	    /* pixels */
	uint64_t narrow_ns; /* what is shorter may be merged */
	uint64_t from, until, now;
	const struct unit *unit; /* of times in the picture */
	bool used[BOX_NR], marked[MARK_NR], merged;
	int err;
};

static const struct {
	const char *fill;
	const char *legend;
} kinds[BOX_NR] = {
	[BOX_AGENT] = { "#595959", "agent" },
	[BOX_FAIR] = { "url(#hatch)", "fair class" },
	[BOX_OTHER] = { "url(#hatch)", "fair class" }, /* one in the legend */
	[BOX_OFFLINE] = { "#f6dcdc", "offline" },
	[BOX_MIXED] = { "#9a9a9a", "several threads" },
};

static const struct {
	const char *stroke;
	const char *legend;
} marks[MARK_NR] = {
	[MARK_WAKE] = { "#1a7f37", "wake-up" },
	[MARK_MSG] = { "#1f6fd6", "message" },
	[MARK_REFUSED] = { "#d1001c", "refused commit" },
};

/* The first colours that people tell apart, then the same lighter and darker. */
static const uint32_t palette[] = {
	0x4e79a7, 0xf28e2b, 0x59a14f, 0xe15759, 0x76b7b2, 0xedc948,
	0xb07aa1, 0xff9da7, 0x9c755f, 0xa0cbe8, 0x8cd17d, 0xd4a6c8,
};
#define NR_COLOURS (sizeof(palette) / sizeof(palette[0]))

static uint32_t colour_of(uint32_t tid)
{
	uint32_t c = palette[(tid - 1) % NR_COLOURS], shade = (tid - 1) / NR_COLOURS % 3, ret = 0;

	for (int shift = 16; shift >= 0; shift -= 8) {
		uint32_t part = c >> shift & 0xff;

		if (shade == 1)
			part += (255 - part) * 45 / 100;
		else if (shade == 2)
			part = part * 68 / 100;
		ret |= part << shift;
	}
	return ret;
}

/* --- the file --------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void put(struct timeline *t, const char *format, ...)
{
	va_list args;

	if (t->err)
		return;
	va_start(args, format);
	if (vfprintf(t->out, format, args) < 0)
		t->err = errno ? -errno : -EIO;
	va_end(args);
}

/* The length of the character that @s begins with, if it is one for XML; else 0. */
static size_t character(const unsigned char *s)
{
	size_t len = s[0] < 0x80		 ? 1 :
		     s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
		     s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
		     s[0] >= 0xf0 && s[0] < 0xf5 ? 4 :
						   0;
	uint32_t c = s[0] & (0xff >> (len + (len > 1)));

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((len == 1 && (c < 0x20 || c == 0x7f)) || (len == 3 && c < 0x800) ||
	    (len == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c < 0xe000) ||
	    c == 0xfffe || c == 0xffff)
		return 0;
	return len;
}

static void put_text(struct timeline *t, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len;

	for (; *s; s += len ? len : 1) {
		len = character(s);
		switch (len ? *s : '?') {
		case '&':
			put(t, "&amp;");
			break;
		case '<':
			put(t, "&lt;");
			break;
		case '>':
			put(t, "&gt;");
			break;
		case '"':
			put(t, "&quot;");
			break;
		default:
			put(t, "%.*s", len ? (int)len : 1, len ? (const char *)s : "?");
		}
	}
}

/* --- times ---------------------------------------------------------------------------- */

static const struct unit units[] = {
	{ 1000000000, "s" },
	{ 1000000, "ms" },
	{ 1000, "us" },
	{ 1, "ns" },
};

static const struct unit *unit_of(uint64_t ns)
{
	const struct unit *u = units;

	while (u->ns > 1 && ns < u->ns)
		u++;
	return u;
}

/* All decimals that are not 0. */
static const char *format_time(char buf[TIME_SIZE], uint64_t ns, const struct unit *u)
{
	uint64_t rest = ns % u->ns, size = u->ns;
	int decimals = 0, len;

	while (size > 1) {
		size /= 10;
		decimals++;
	}
	len = snprintf(buf, TIME_SIZE, "%" PRIu64, ns / u->ns);
	if (rest) {
		len += snprintf(buf + len, TIME_SIZE - len, ".%0*" PRIu64, decimals, rest);
		while (buf[len - 1] == '0')
			len--;
	}
	snprintf(buf + len, TIME_SIZE - len, " %s", u->name);
	return buf;
}

/* Hundredths of pixels from the left side of the rows. */
static uint32_t x_of(const struct timeline *t, uint64_t ns)
{
	if (ns <= t->from)
		return 0;
	if (ns >= t->until)
		return PLOT * 100;
	return (unsigned __int128)(ns - t->from) * (PLOT * 100) / (t->until - t->from);
}

/* --- threads ------------------------------------------------------------------------------ */

/* @array with room for @n elements at least, *@size of them then; NULL: no memory. */
static void *grow(struct timeline *t, void *array, uint32_t *size, uint32_t n, size_t element)
{
	uint32_t more = *size ? *size : 64;
	char *ret = NULL;

	while (more < n && more < UINT32_MAX / 2)
		more *= 2;
	if (more >= n)
		ret = realloc(array, more * element);
	if (!ret) {
		t->err = t->err ? t->err : -ENOMEM;
		return NULL;
	}
	memset(ret + *size * element, 0, (more - *size) * element);
	*size = more;
	return ret;
}

/* The index of @tid in seen[], or 0 where there is no memory. */
static uint32_t seen_of(struct timeline *t, uint32_t tid, bool is_new)
{
	struct seen *seen;
	uint32_t *who;

	if (tid >= t->nr_tids) {
		who = grow(t, t->who, &t->nr_tids, tid < UINT32_MAX ? tid + 1 : tid, sizeof(*who));
		if (!who)
			return 0;
		t->who = who;
	}
	if (t->who[tid] && !(is_new && t->seen[t->who[tid]].known))
		return t->who[tid];
	if (t->nr_seen + 2 > t->size_seen) {
		seen = grow(t, t->seen, &t->size_seen, t->nr_seen + 2, sizeof(*seen));
		if (!seen)
			return 0;
		t->seen = seen;
	}
	t->nr_seen += !t->nr_seen;
	t->seen[t->nr_seen].tid = tid;
	t->who[tid] = t->nr_seen;
	return t->nr_seen++;
}

static void look_at(struct seen *s, const struct thread *t)
{
	if (!t)
		return;
	if (!s->known) {
		snprintf(s->name, sizeof(s->name), "%s", t->behaviour->name);
		s->known = true;
		s->is_agent = t->behaviour == &behaviour_agent;
		s->agent_of = GHOST_CPU_NONE;
	}
	if (s->is_agent && s->agent_of == GHOST_CPU_NONE && who_kind(t->who) == WHO_AGENT)
		s->agent_of = who_index(t->who);
}

static void put_label(struct timeline *t, uint32_t who)
{
	const struct seen *s = &t->seen[who];

	put_text(t, s->name[0] ? s->name : "thread");
	if (s->is_agent && s->agent_of != GHOST_CPU_NONE)
		put(t, "/%u", s->agent_of);
	else
		put(t, " %u", s->tid);
}

/* --- boxes ----------------------------------------------------------------------------------- */

static bool is_narrow(const struct timeline *t, const struct box *b)
{
	return b->nr > 1 || b->until - b->from < t->narrow_ns;
}

/* @b, which comes after @a, may become part of it. */
static bool merge(struct timeline *t, struct box *a, const struct box *b)
{
	if (!is_narrow(t, a) || !is_narrow(t, b) || b->from - a->until >= t->narrow_ns ||
	    b->until - a->from > 10 * t->narrow_ns)
		return false;
	if (a->kind != b->kind || a->who != b->who) {
		a->kind = BOX_MIXED;
		a->who = 0;
	}
	a->until = b->until;
	a->busy_ns += b->busy_ns;
	a->nr += b->nr;
	t->merged = true;
	return true;
}

static void merge_all(struct timeline *t)
{
	t->nr_boxes = 0;
	for (uint32_t i = 0; i < t->nr_rows; i++) {
		struct row *row = &t->rows[i];
		uint32_t nr = 0;

		for (uint32_t k = 0; k < row->nr_boxes; k++)
			if (!nr || !merge(t, &row->boxes[nr - 1], &row->boxes[k]))
				row->boxes[nr++] = row->boxes[k];
		row->nr_boxes = nr;
		t->nr_boxes += nr;
	}
}

static void add_box(struct timeline *t, struct row *row, struct box b)
{
	struct box *last = row->nr_boxes ? &row->boxes[row->nr_boxes - 1] : NULL;

	/* In a run that makes sense none overlap. */
	if (last && b.from < last->until)
		b.from = last->until;
	if (b.until <= t->from || b.from >= t->until || b.until <= b.from)
		return;
	b.nr = 1;
	b.busy_ns = b.until - b.from;
	if (last && merge(t, last, &b))
		return;
	if (row->nr_boxes == row->size) {
		uint32_t size = row->size ? row->size * 2 : 256;
		struct box *boxes = realloc(row->boxes, size * sizeof(*boxes));

		if (!boxes) {
			t->err = t->err ? t->err : -ENOMEM;
			return;
		}
		row->boxes = boxes;
		row->size = size;
	}
	row->boxes[row->nr_boxes++] = b;
	t->nr_boxes++;
	if (t->nr_boxes < BOXES_MAX)
		return;
	/* Too many: less is seen of them all. */
	do {
		t->narrow_ns *= 2;
		merge_all(t);
	} while (t->nr_boxes > BOXES_MAX / 2);
}

/* Whoever has a CPU has it no longer. */
static void leave_cpu(struct timeline *t, struct row *row, uint8_t why)
{
	struct box *b = &row->now;
	uint64_t from = b->from > t->from ? b->from : t->from;
	uint64_t until = t->now < t->until ? t->now : t->until;

	if (!b->nr)
		return;
	b->until = t->now;
	b->why = why;
	if (from < until)
		t->seen[b->who].busy_ns += until - from;
	add_box(t, row, *b);
	b->nr = 0;
}

/* Load of the fair class that is no thread of ours: as long as it was to take, or was let. */
static void end_fair(struct timeline *t, struct row *row)
{
	if (row->fair_until)
		add_box(t, row,
			(struct box){
				.from = row->fair_from,
				.until = row->fair_until < t->now ? row->fair_until : t->now,
				.kind = BOX_OTHER,
			});
	row->fair_until = 0;
}

static void end_offline(struct timeline *t, struct row *row)
{
	if (row->is_offline)
		add_box(t, row,
			(struct box){
				.from = row->offline_from, .until = t->now, .kind = BOX_OFFLINE });
	row->is_offline = false;
}

static void mark(struct timeline *t, struct row *row, enum mark what)
{
	uint64_t *first;

	if (t->now < t->from || t->now >= t->until)
		return;
	first = &row->marks[what * PLOT + x_of(t, t->now) / 100];
	if (!*first)
		*first = t->now + 1;
	t->marked[what] = true;
}

static bool is_refusal(uint64_t arg)
{
	uint32_t state = arg & 0xff;

	return state > GHOST_TXN_YIELDED && state < GHOST_TXN_NR_STATES;
}

void timeline_write(void *timeline, const struct machine *m, const struct trace_record *r)
{
	struct timeline *t = timeline;
	/* A message is where its reader looks, wherever it was made. */
	uint32_t cpu = r->what == TRACE_MSG ? (uint32_t)r->arg : r->cpu;
	uint32_t who = 0;
	struct row *row;

	if (t->err)
		return;
	if (r->time > t->now)
		t->now = r->time;
	if (r->thread) {
		who = seen_of(t, r->thread, r->what == TRACE_NEW);
		if (!who)
			return;
		look_at(&t->seen[who], thread_by_tid(m, r->thread));
	}
	if (cpu >= t->nr_rows)
		return;
	row = &t->rows[cpu];
	switch (r->what) {
	case TRACE_RUN:
		leave_cpu(t, row, STILL_RUNS);
		end_fair(t, row);
		if (who)
			row->now = (struct box){
				.from = t->now,
				.who = who,
				.nr = 1,
				.kind = t->seen[who].is_agent ? BOX_AGENT :
					r->arg == CLASS_FAIR  ? BOX_FAIR :
								BOX_THREAD,
			};
		break;
	case TRACE_STOP:
		leave_cpu(t, row, r->arg);
		/* Such load makes no records of its own; on an idle CPU it is not seen. */
		if (r->arg == STOP_PREEMPTED && m->cpu[cpu].fair_until > t->now) {
			row->fair_from = t->now;
			row->fair_until = m->cpu[cpu].fair_until;
		}
		break;
	case TRACE_CPU:
		end_fair(t, row);
		end_offline(t, row);
		row->is_offline = !r->arg;
		row->offline_from = t->now;
		break;
	case TRACE_WAKE:
		mark(t, row, MARK_WAKE);
		break;
	case TRACE_MSG:
		mark(t, row, MARK_MSG);
		break;
	case TRACE_TXN:
		if (is_refusal(r->arg))
			mark(t, row, MARK_REFUSED);
		break;
	}
}

/* --- drawing: the rows --------------------------------------------------------------------------- */

static void draw_tip(struct timeline *t, const struct box *b)
{
	char from[TIME_SIZE], until[TIME_SIZE], ns[TIME_SIZE];
	uint64_t length = b->until - b->from;

	put(t, "<title>");
	if (b->nr > 1)
		put(t, "%u times ", b->nr);
	if (b->who)
		put_label(t, b->who);
	else
		put(t, "%s", kinds[b->kind].legend);
	put(t, ": %s to %s (%s", format_time(from, b->from, t->unit),
	    format_time(until, b->until, t->unit), format_time(ns, length, unit_of(length)));
	if (b->nr > 1)
		put(t, ", %u %% of it)", (uint32_t)(b->busy_ns * 100 / (length ? length : 1)));
	else if (!b->who)
		put(t, ")");
	else
		put(t, "), %s", b->why == STILL_RUNS ? "goes on" : trace_stop_name(b->why));
	put(t, "</title>");
}

static void draw_box(struct timeline *t, const struct box *b, uint32_t y, uint32_t h)
{
	uint32_t from = x_of(t, b->from), width = x_of(t, b->until) - from, share = 100;

	/* What is there is seen, if only just. */
	if (width < 5)
		width = 5;
	put(t, "<rect x=\"%u.%02u\" y=\"%u\" width=\"%u.%02u\" height=\"%u\"", LEFT + from / 100,
	    from % 100, y, width / 100, width % 100, h);
	if (b->kind == BOX_THREAD)
		put(t, " fill=\"#%06x\"", colour_of(t->seen[b->who].tid));
	else
		put(t, " fill=\"%s\"", kinds[b->kind].fill);
	/* The paler, the less of its time it was in use. */
	if (b->nr > 1)
		share = 15 + b->busy_ns * 85 / (b->until - b->from);
	if (share < 100)
		put(t, " fill-opacity=\"0.%02u\"", share);
	put(t, ">");
	draw_tip(t, b);
	put(t, "</rect>\n");
}

static void draw_marks(struct timeline *t, const struct row *row, enum mark what, uint32_t y,
		       uint32_t h)
{
	bool any = false;

	for (uint32_t i = 0; i < PLOT; i++) {
		uint64_t time = row->marks[what * PLOT + i];
		uint32_t x;

		if (!time)
			continue;
		x = x_of(t, time - 1);
		if (!any)
			put(t, "<path stroke=\"%s\" fill=\"none\" d=\"", marks[what].stroke);
		put(t, "M%u.%02u %uv%u", LEFT + x / 100, x % 100, y, h);
		any = true;
	}
	if (any)
		put(t, "\"/>\n");
}

static void draw_row(struct timeline *t, uint32_t cpu)
{
	const struct row *row = &t->rows[cpu];
	/* Wake-ups above the boxes, messages below, and some space to the next row. */
	uint32_t zone = t->row_h / 7 + 1, box_h = t->row_h - 2 * zone - 3;
	uint32_t y = TOP + cpu * t->row_h;

	put(t, "<g id=\"cpu%u\">\n", cpu);
	put(t, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\" font-size=\"%u\">CPU %u</text>\n",
	    LEFT - 8, y + zone + box_h / 2 + 4, t->row_h < 16 ? 10 : 12, cpu);
	put(t, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" fill=\"#f7f7f7\"/>\n", LEFT,
	    y + zone, PLOT, box_h);
	for (uint32_t i = 0; i < row->nr_boxes; i++)
		draw_box(t, &row->boxes[i], y + zone, box_h);
	draw_marks(t, row, MARK_WAKE, y, zone);
	draw_marks(t, row, MARK_MSG, y + zone + box_h, zone);
	draw_marks(t, row, MARK_REFUSED, y, 2 * zone + box_h);
	put(t, "</g>\n");
}

/* --- drawing: what is around them ------------------------------------------------------------------- */

/* One, two or five times a power of ten: ten of them at most. */
static uint64_t tick_ns(uint64_t span)
{
	static const uint32_t times[] = { 1, 2, 5 };

	/* A tenth of all there are is less than twice the last power of ten. */
	for (uint64_t ten = 1;; ten *= 10)
		for (int i = 0; i < 3; i++)
			if (ten * times[i] >= span / 10 + !!(span % 10))
				return ten * times[i];
}

static void draw_axis(struct timeline *t)
{
	uint32_t bottom = TOP + t->nr_rows * t->row_h;
	uint64_t step = tick_ns(t->until - t->from), first = t->from / step * step;
	char text[TIME_SIZE];

	if (first < t->from)
		first += step;
	put(t, "<g id=\"axis\" stroke=\"none\" text-anchor=\"middle\">\n");
	for (uint64_t at = first; at >= t->from && at <= t->until;) {
		uint32_t x = x_of(t, at);

		put(t, "<path stroke=\"#d0d0d0\" d=\"M%u.%02u %uV%u\"/>\n", LEFT + x / 100, x % 100,
		    TOP, bottom + 5);
		/* The last one must not leave the picture. */
		if (x > (PLOT - 40) * 100)
			put(t, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\">%s</text>\n", WIDTH - 4,
			    bottom + LINE, format_time(text, at, t->unit));
		else
			put(t, "<text x=\"%u.%02u\" y=\"%u\">%s</text>\n", LEFT + x / 100, x % 100,
			    bottom + LINE, format_time(text, at, t->unit));
		if (at > UINT64_MAX - step)
			break;
		at += step;
	}
	put(t, "<path stroke=\"#222222\" d=\"M%u %uh%u\"/>\n</g>\n", LEFT, bottom, PLOT);
}

/* What the picture has, in words. */
struct legend {
	uint32_t threads[LEGEND_THREADS]; /* those that ran longest, in order */
	uint32_t nr_threads;
	uint32_t nr_others;
	uint32_t nr_words; /* kinds and marks: one line */
};

static void legend_thread(const struct timeline *t, struct legend *l, uint32_t who)
{
	uint32_t least = 0;

	if (t->seen[who].is_agent || !t->seen[who].busy_ns)
		return;
	if (l->nr_threads == LEGEND_THREADS) {
		l->nr_others++;
		for (uint32_t i = 1; i < l->nr_threads; i++)
			if (t->seen[l->threads[i]].busy_ns < t->seen[l->threads[least]].busy_ns)
				least = i;
		if (t->seen[who].busy_ns <= t->seen[l->threads[least]].busy_ns)
			return;
		l->nr_threads--;
		memmove(&l->threads[least], &l->threads[least + 1],
			(l->nr_threads - least) * sizeof(l->threads[0]));
	}
	l->threads[l->nr_threads++] = who;
}

static void legend_make(struct timeline *t, struct legend *l)
{
	*l = (struct legend){ 0 };
	for (uint32_t i = 0; i < t->nr_rows; i++)
		for (uint32_t k = 0; k < t->rows[i].nr_boxes; k++)
			t->used[t->rows[i].boxes[k].kind] = true;
	t->used[BOX_FAIR] |= t->used[BOX_OTHER];
	t->used[BOX_OTHER] = false;
	for (uint32_t i = 0; i < BOX_NR; i++)
		l->nr_words += t->used[i] && kinds[i].legend;
	for (uint32_t i = 0; i < MARK_NR; i++)
		l->nr_words += t->marked[i];
	for (uint32_t who = 1; who < t->nr_seen; who++)
		legend_thread(t, l, who);
}

static uint32_t legend_lines(const struct legend *l)
{
	return !!l->nr_words + (l->nr_threads + LEGEND_COLUMNS - 1) / LEGEND_COLUMNS +
	       !!l->nr_others;
}

static void legend_box(struct timeline *t, uint32_t index, uint32_t y, const char *fill)
{
	uint32_t x = LEFT + index % LEGEND_COLUMNS * LEGEND_COLUMN;

	y += index / LEGEND_COLUMNS * LINE;
	put(t, "<rect x=\"%u\" y=\"%u\" width=\"16\" height=\"10\" fill=\"%s\"/>", x, y - 9, fill);
	put(t, "<text x=\"%u\" y=\"%u\">", x + 22, y);
}

static void draw_legend(struct timeline *t, const struct legend *l, uint32_t y)
{
	uint32_t index = 0, x;

	put(t, "<g id=\"legend\">\n");
	for (uint32_t i = 0; i < BOX_NR; i++) {
		if (!t->used[i] || !kinds[i].legend)
			continue;
		legend_box(t, index++, y, kinds[i].fill);
		put(t, "%s</text>\n", kinds[i].legend);
	}
	for (uint32_t i = 0; i < MARK_NR; i++) {
		if (!t->marked[i])
			continue;
		x = LEFT + index++ * LEGEND_COLUMN;
		put(t, "<path stroke=\"%s\" stroke-width=\"2\" d=\"M%u %uv10\"/>", marks[i].stroke,
		    x + 8, y - 9);
		put(t, "<text x=\"%u\" y=\"%u\">%s</text>\n", x + 22, y, marks[i].legend);
	}
	y += index ? LINE : 0;
	for (uint32_t i = 0; i < l->nr_threads; i++) {
		char fill[16];

		snprintf(fill, sizeof(fill), "#%06x", colour_of(t->seen[l->threads[i]].tid));
		legend_box(t, i, y, fill);
		put_label(t, l->threads[i]);
		put(t, "</text>\n");
	}
	y += (l->nr_threads + LEGEND_COLUMNS - 1) / LEGEND_COLUMNS * LINE;
	if (l->nr_others)
		put(t, "<text x=\"%u\" y=\"%u\">and %u threads more</text>\n", LEFT, y,
		    l->nr_others);
	put(t, "</g>\n");
}

static void draw(struct timeline *t)
{
	uint32_t bottom = TOP + t->nr_rows * t->row_h, height;
	struct legend l;

	legend_make(t, &l);
	height = bottom + AXIS + legend_lines(&l) * LINE;
	put(t,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%u\" height=\"%u\" "
	    "viewBox=\"0 0 %u %u\" font-family=\"Helvetica, Arial, sans-serif\" "
	    "font-size=\"12\" fill=\"#222222\">\n<title>",
	    WIDTH, height, WIDTH, height);
	put_text(t, t->title);
	put(t, "</title>\n"
	       "<defs><pattern id=\"hatch\" width=\"4\" height=\"4\" "
	       "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
	       "<rect width=\"4\" height=\"4\" fill=\"#ececec\"/>"
	       "<path d=\"M0 0v4\" stroke=\"#8c8c8c\" stroke-width=\"2\"/></pattern></defs>\n"
	       "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n");
	put(t, "<text x=\"%u\" y=\"22\" font-size=\"16\" font-weight=\"bold\">", LEFT);
	put_text(t, t->title);
	put(t, "</text>\n<text x=\"%u\" y=\"40\" font-size=\"11\" fill=\"#555555\">", LEFT);
	if (t->nr_rows < t->nr_cpus)
		put(t, "The first %u of %u CPUs are drawn. ", t->nr_rows, t->nr_cpus);
	if (t->merged) {
		uint32_t tenths = x_of(t, t->from + t->narrow_ns) / 10;

		put(t,
		    "Neighbours narrower than %u.%u px are drawn as one box, the paler the less "
		    "of it is in use.",
		    tenths / 10, tenths % 10);
	}
	put(t, "</text>\n");
	draw_axis(t);
	for (uint32_t cpu = 0; cpu < t->nr_rows; cpu++)
		draw_row(t, cpu);
	draw_legend(t, &l, bottom + AXIS + LINE / 2);
	put(t, "</svg>\n");
}

/* --- life ------------------------------------------------------------------------------------------------ */

static void timeline_free(struct timeline *t)
{
	for (uint32_t i = 0; t->rows && i < t->nr_rows; i++) {
		free(t->rows[i].boxes);
		free(t->rows[i].marks);
	}
	free(t->rows);
	free(t->seen);
	free(t->who);
	free(t->title);
	free(t->buffer);
	free(t);
}

static bool allocate(struct timeline *t, const char *title)
{
	t->buffer = malloc(BUFFER_SIZE);
	t->title = strdup(title ? title : "");
	t->rows = calloc(t->nr_rows ? t->nr_rows : 1, sizeof(*t->rows));
	if (!t->buffer || !t->title || !t->rows)
		return false;
	for (uint32_t i = 0; i < t->nr_rows; i++) {
		t->rows[i].marks = calloc(MARK_NR * PLOT, sizeof(uint64_t));
		if (!t->rows[i].marks)
			return false;
	}
	return true;
}

int timeline_open(struct timeline **ret, const char *path, const char *title, uint32_t nr_cpus,
		  uint64_t from_ns, uint64_t until_ns)
{
	struct timeline *t;
	int err;

	if (from_ns >= until_ns)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->nr_cpus = nr_cpus;
	t->nr_rows = nr_cpus < TIMELINE_ROWS_MAX ? nr_cpus : TIMELINE_ROWS_MAX;
	t->from = from_ns;
	t->until = until_ns;
	t->unit = unit_of(until_ns);
	t->narrow_ns = (until_ns - from_ns) / (PLOT * 10) + 1;
	t->row_h = 640 / (t->nr_rows ? t->nr_rows : 1);
	t->row_h = t->row_h < 14 ? 14 : t->row_h > 32 ? 32 : t->row_h;
	if (!allocate(t, title)) {
		timeline_free(t);
		return -ENOMEM;
	}
	t->out = fopen(path, "we");
	if (!t->out) {
		err = -errno;
		timeline_free(t);
		return err;
	}
	setvbuf(t->out, t->buffer, _IOFBF, BUFFER_SIZE);
	*ret = t;
	return 0;
}

int timeline_close(struct timeline *t)
{
	int err;

	if (!t)
		return 0;
	for (uint32_t i = 0; i < t->nr_rows; i++) {
		leave_cpu(t, &t->rows[i], STILL_RUNS);
		end_fair(t, &t->rows[i]);
		end_offline(t, &t->rows[i]);
	}
	draw(t);
	if (fclose(t->out) && !t->err)
		t->err = errno ? -errno : -EIO;
	err = t->err;
	timeline_free(t);
	return err;
}
