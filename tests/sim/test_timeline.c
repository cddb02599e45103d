// SPDX-License-Identifier: GPL-2.0-only
/*
 * The picture: well-formed, small, and it shows what ran.
 * In: sim/timeline.h, runs of the simulator; GHOST_SEED, or the time, for what
 * is made up. Out: TAP, and that seed as a comment.
 */
#include "tests/check.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policies/policies.h"
#include "sim/fault.h"
#include "sim/sim.h"
#include "sim/timeline.h"

#define MS 1000000ull

static uint64_t seed;
static char path[] = "/tmp/ghost-test-timeline-XXXXXX";
static struct timeline *timeline;
static uint64_t nr_run;

static void count(void *arg, const struct machine *m, const struct trace_record *r)
{
	nr_run += r->what == TRACE_RUN;
	timeline_write(timeline, m, r);
}

static char *slurp(void)
{
	FILE *f = fopen(path, "r");
	char *text;
	long size;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	text = malloc(size + 1);
	assert_int_equal(fread(text, 1, size, f), size);
	text[size] = 0;
	assert_int_equal(strlen(text), size);
	fclose(f);
	return text;
}

static struct sim_options options(const char *kind, uint32_t cpus, uint64_t ns)
{
	struct sim_options o = {
		.policy = policies_find("fifo_percpu"),
		.profile = profile_at(0),
		.cpus = cpus,
		.nr_work = 1,
		.duration_ns = ns,
		.seed = 7,
		.trace = count,
	};

	o.work[0].kind = kind;
	o.work[0].load_ppm = 800000;
	return o;
}

static char *picture(const struct sim_options *o, uint64_t from, uint64_t until)
{
	const char *why = "";
	struct sim *s;

	nr_run = 0;
	assert_int_equal(timeline_open(&timeline, path, "a run", o->cpus, from, until), 0);
	if (sim_new(&s, o, &why))
		fail_msg("%s", why);
	if (sim_run(s))
		fail_msg("%s", sim_machine(s)->broken);
	assert_int_equal(timeline_close(timeline), 0);
	sim_free(s);
	return slurp();
}

/* --- XML, as far as it is used ---------------------------------------------------- */

static const char *name_end(const char *c)
{
	if (!isalpha((unsigned char)*c) && *c != '_')
		fail_msg("no name: %.20s", c);
	while (isalnum((unsigned char)*c) || strchr("_:-.", *c ? *c : '!'))
		c++;
	return c;
}

/* Behind what text may consist of; @end is '<' or a quote. */
static const char *text_end(const char *c, char end)
{
	static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&quot;" };

	for (; *c != end; c++) {
		size_t i = 0;

		if (!*c || *c == '<' || ((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7f)
			fail_msg("byte 0x%02x in a text", (unsigned char)*c);
		if (*c != '&')
			continue;
		while (i < ARRAY_LEN(entities) && strncmp(c, entities[i], strlen(entities[i])))
			i++;
		if (i == ARRAY_LEN(entities))
			fail_msg("no entity: %.10s", c);
	}
	return c;
}

static void assert_utf8(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c) {
		uint32_t code = *c, nr = *c < 0x80 ? 0 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;

		assert_true(*c < 0x80 || (*c >= 0xc2 && *c < 0xf5));
		code &= nr ? 0x3f >> nr : 0x7f;
		for (c++; nr--; c++) {
			assert_int_equal(*c & 0xc0, 0x80);
			code = code << 6 | (*c & 0x3f);
		}
		assert_true(code <= 0x10ffff && (code < 0xd800 || code > 0xdfff));
		assert_true(code != 0xfffe && code != 0xffff);
	}
}

static void assert_well_formed(const char *xml)
{
	static const char head[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
	struct {
		const char *name;
		size_t len;
	} open[64];
	uint32_t depth = 0, nr_roots = 0;
	const char *c = xml;

	assert_utf8(xml);
	assert_int_equal(strncmp(c, head, strlen(head)), 0);
	for (c += strlen(head); *c; c++) {
		const char *name, *end;

		if (*c != '<') {
			if (!depth && *c != '\n')
				fail_msg("text outside of all: %.20s", c);
			c = depth ? text_end(c, '<') : c + 1;
			if (!*c)
				break;
		}
		if (c[1] == '/') {
			name = c + 2;
			end = name_end(name);
			if (!depth || open[depth - 1].len != (size_t)(end - name) ||
			    strncmp(open[depth - 1].name, name, end - name) || *end != '>')
				fail_msg("ends what did not begin: %.30s", c);
			depth--;
			c = end;
			continue;
		}
		name = c + 1;
		end = name_end(name);
		nr_roots += !depth;
		for (c = end; *c == ' ';) {
			const char *attribute = c + 1;

			c = name_end(attribute);
			if (c[0] != '=' || c[1] != '"')
				fail_msg("no attribute: %.30s", attribute);
			c = text_end(c + 2, '"') + 1;
		}
		if (*c == '/') {
			c++;
		} else {
			assert_true(depth < ARRAY_LEN(open));
			open[depth].name = name;
			open[depth++].len = end - name;
		}
		if (*c != '>')
			fail_msg("a tag does not end: %.30s", name);
	}
	assert_int_equal(depth, 0);
	assert_int_equal(nr_roots, 1);
}

static uint32_t times(const char *text, const char *what)
{
	uint32_t nr = 0;

	for (; (text = strstr(text, what)); text++)
		nr++;
	return nr;
}

static double attribute(const char *tag, const char *name)
{
	const char *end = strchr(tag, '>');
	char what[32];
	const char *c;

	snprintf(what, sizeof(what), " %s=\"", name);
	c = strstr(tag, what);
	assert_true(c && c < end);
	return atof(c + strlen(what));
}

/* Rows are there, in order, and do not touch; boxes in them neither overlap nor leave them. */
static uint32_t check(const char *svg, uint32_t rows)
{
	double bottom = 0, height = attribute(strstr(svg, "<svg"), "height");
	uint32_t boxes = 0;

	assert_well_formed(svg);
	assert_int_equal(times(svg, "<g id=\"cpu"), rows);
	for (uint32_t cpu = 0; cpu < rows; cpu++) {
		double left, right, x, y, h;
		const char *row, *end, *box;
		char id[32];

		snprintf(id, sizeof(id), "<g id=\"cpu%u\">", cpu);
		row = strstr(svg, id);
		assert_non_null(row);
		end = strstr(row, "</g>");
		snprintf(id, sizeof(id), ">CPU %u</text>", cpu);
		assert_true(strstr(row, id) && strstr(row, id) < end);
		/* The first one is the row itself. */
		box = strstr(row, "<rect");
		x = attribute(box, "x");
		y = attribute(box, "y");
		h = attribute(box, "height");
		left = x;
		right = x + attribute(box, "width");
		assert_true(y > bottom && h >= 5);
		bottom = y + h;
		assert_true(bottom < height);
		while ((box = strstr(box + 1, "<rect")) && box < end) {
			double from = attribute(box, "x"), width = attribute(box, "width");

			/* What would not be seen is made a twentieth of a pixel wide. */
			assert_true(from >= x - 0.051 && width >= 0.05);
			assert_true(from >= left && from + width <= right + 0.051);
			assert_true(attribute(box, "y") == y && attribute(box, "height") == h);
			assert_int_equal(strncmp(strchr(box, '>') + 1, "<title>", 7), 0);
			x = from + width;
			boxes++;
		}
	}
	return boxes;
}

/* --- runs ----------------------------------------------------------------------------- */

static void test_timeline_has_a_row_for_each_cpu_up_to_64(void **state)
{
	static const uint32_t cpus[] = { 1, 2, 5, 64, 65, 200 };

	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		struct sim_options o = options("closed", cpus[i], 500000);
		char *svg = picture(&o, 0, 600000);
		char note[64];

		assert_true(check(svg, cpus[i] < 64 ? cpus[i] : 64) > cpus[i]);
		snprintf(note, sizeof(note), "The first 64 of %u CPUs are drawn.", cpus[i]);
		assert_int_equal(times(svg, note), cpus[i] > 64);
		assert_true(attribute(strstr(svg, "<svg"), "height") < 1200);
		free(svg);
	}
}

static void test_timeline_draws_each_time_that_somebody_ran(void **state)
{
	struct sim_options o = options("periodic", 2, 3 * MS);
	char *svg = picture(&o, 0, 100 * MS);
	uint32_t far, near;

	/* Seen from far away some become one. */
	far = check(svg, 2);
	assert_true(far < nr_run);
	assert_int_equal(times(svg, "px are drawn as one box"), 1);
	free(svg);
	svg = picture(&o, 0, 6 * MS);
	near = check(svg, 2);
	assert_true(near > far && near <= nr_run);
	free(svg);
	/* So near that nothing is lost; nor is what begins before, or ends after it. */
	o.work[0].kind = "closed";
	svg = picture(&o, MS, MS + 200000);
	assert_true(check(svg, 2) > 5);
	assert_int_equal(times(svg, "px are drawn as one box"), 0);
	free(svg);
}

static void test_timeline_tips_say_who_when_and_why(void **state)
{
	struct sim_options o = options("closed", 2, 3 * MS);
	char *svg = picture(&o, 1 * MS, 2 * MS), *c;
	uint32_t nr = 0;

	check(svg, 2);
	for (c = strstr(svg, "<title>worker "); c; c = strstr(c + 1, "<title>worker ")) {
		double from, until;
		unsigned int tid;
		char why[16], unit[4];
		double length;

		assert_int_equal(
			sscanf(c, "<title>worker %u: %lf ms to %lf ms (%lf %3[a-z]), %15[a-z]",
			       &tid, &from, &until, &length, unit, why),
			6);
		assert_true(until > 1 && from < 2 && from < until);
		length *= !strcmp(unit, "ms") ? 1 : !strcmp(unit, "us") ? 1e-3 : 1e-6;
		assert_true(fabs(until - from - length) < 1e-8);
		assert_true(!strcmp(why, "blocked") || !strcmp(why, "exited") ||
			    !strcmp(why, "slice") || !strcmp(why, "preempted"));
		nr++;
	}
	assert_true(nr > 3);
	assert_true(times(svg, "<title>agent/0: ") > 3);
	assert_true(times(svg, "<title>agent/1: ") > 3);
	free(svg);
}

static void test_timeline_of_a_run_with_faults_shows_them(void **state)
{
	static const struct fault_plan plan = {
		.nr = 2,
		.faults = { { 1 * MS, FAULT_OFFLINE, 1, 500, 0 },
			    { 2 * MS, FAULT_CRASH, 0, 0, 0 } },
	};
	struct sim_options o = options("dispersive", 4, 4 * MS);
	char *svg;

	o.plan = &plan;
	o.fair_every_ns = 200000;
	o.fair_for_ns = 50000;
	svg = picture(&o, 0, 5 * MS);
	check(svg, 4);
	assert_int_equal(times(svg, "<title>offline: "), 1);
	assert_true(times(svg, "<title>fair class: ") > 0);
	assert_int_equal(times(svg, ">fair class</text>"), 1);
	assert_int_equal(times(svg, ">offline</text>"), 1);
	assert_int_equal(times(svg, ">wake-up</text>"), 1);
	assert_int_equal(times(svg, ">message</text>"), 1);
	free(svg);
}

static void test_timeline_of_one_seed_is_one_picture(void **state)
{
	struct sim_options o = options("dispersive", 3, 2 * MS);
	char *a = picture(&o, 0, 2 * MS), *b = picture(&o, 0, 2 * MS);

	assert_string_equal(a, b);
	free(a);
	free(b);
}

/* --- records made by hand ----------------------------------------------------------------- */

static struct action never(struct machine *m, struct thread *t)
{
	return (struct action){ .act = ACT_EXIT };
}

static struct machine *machine(const char *topology)
{
	struct machine_options mo = {
		.topology = topology, .profile = profile_at(0), .capacity = 16, .seed = 1
	};
	struct machine *m;
	const char *why;

	assert_int_equal(machine_new(&m, &mo, &why), 0);
	return m;
}

static void write_one(struct timeline *t, const struct machine *m, uint64_t time, uint32_t what,
		      uint32_t cpu, uint32_t tid, uint64_t arg)
{
	timeline_write(t, m,
		       &(struct trace_record){
			       .time = time, .what = what, .cpu = cpu, .thread = tid, .arg = arg });
}

static void test_timeline_of_nothing_is_well_formed(void **state)
{
	static const uint32_t cpus[] = { 0, 1, 64, 1000 };

	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		char *svg;

		assert_int_equal(timeline_open(&timeline, path, "nothing", cpus[i], 0, 1), 0);
		assert_int_equal(timeline_close(timeline), 0);
		svg = slurp();
		assert_int_equal(check(svg, cpus[i] < 64 ? cpus[i] : 64), 0);
		free(svg);
	}
	assert_int_equal(timeline_close(NULL), 0);
}

static void test_timeline_titles_of_any_bytes_are_well_formed(void **state)
{
	static const struct {
		const char *title, *text;
	} titles[] = {
		{ "", "" },
		{ "a & b < c > \"d\" 'e'", "a &amp; b &lt; c &gt; &quot;d&quot; 'e'" },
		{ "</text><script>", "&lt;/text&gt;&lt;script&gt;" },
		{ "\xc2\xb5s \xe2\x82\xac \xf0\x9f\x91\xbb",
		  "\xc2\xb5s \xe2\x82\xac \xf0\x9f\x91\xbb" },
		{ "\x01\n\x7f", "???" },
		{ "\xff \xc0\x80 \xe2\x82 \xed\xa0\x80 \xef\xbf\xbf", "? ?? ?? ??? ???" },
		{ "\xf4\x90\x80\x80 \xe0\x80\x80 \xf0\x80\x80\x80 \xc3", "???? ??? ???? ?" },
		{ NULL, "" },
	};
	static const char likely[] = "\xc2\xe2\xed\xef\xf0\xf4\x80\xbf<&";
	struct random r;

	random_seed(&r, seed);
	for (size_t i = 0; i < ARRAY_LEN(titles) + 200; i++) {
		char bytes[40] = "", want[200];
		const char *title = bytes;
		char *svg;

		if (i < ARRAY_LEN(titles))
			title = titles[i].title;
		else
			for (int k = random_below(&r, sizeof(bytes)) - 1; k >= 0; k--)
				bytes[k] = random_chance(&r, 500000) ?
						   likely[random_below(&r, 10)] :
						   1 + (int)random_below(&r, 255);
		assert_int_equal(timeline_open(&timeline, path, title, 1, 0, 1000), 0);
		assert_int_equal(timeline_close(timeline), 0);
		svg = slurp();
		assert_well_formed(svg);
		if (i < ARRAY_LEN(titles)) {
			snprintf(want, sizeof(want), "<title>%s</title>", titles[i].text);
			assert_int_equal(times(svg, want), 1);
		}
		free(svg);
	}
}

static void test_timeline_names_of_any_bytes_are_well_formed(void **state)
{
	static const struct behaviour odd = { "<&\xff\x01>", never, NULL, NULL };
	struct machine *m = machine("pu:1");
	struct thread *t = thread_new(m, &odd, NULL, 0);
	char *svg;

	assert_int_equal(timeline_open(&timeline, path, "odd", 1, 0, 1000), 0);
	write_one(timeline, m, 100, TRACE_RUN, 0, t->tid, CLASS_EXT);
	write_one(timeline, m, 200, TRACE_STOP, 0, t->tid, STOP_SLICE);
	assert_int_equal(timeline_close(timeline), 0);
	svg = slurp();
	assert_int_equal(check(svg, 1), 1);
	assert_int_equal(times(svg, "<title>&lt;&amp;??&gt; 1: 0.1 us to 0.2 us (100 ns), slice<"),
			 1);
	/* In the legend, too. */
	assert_int_equal(times(svg, ">&lt;&amp;??&gt; 1</text>"), 1);
	free(svg);
	machine_free(m);
}

static void test_timeline_threads_that_share_a_number_keep_their_names(void **state)
{
	static const struct behaviour b[] = { { "first", never, NULL, NULL },
					      { "second", never, NULL, NULL } };
	struct machine *m = machine("pu:2");
	struct thread *t = thread_new(m, &b[0], NULL, 0);
	char *svg;

	assert_int_equal(timeline_open(&timeline, path, "two", 1, 0, 1000), 0);
	write_one(timeline, m, 0, TRACE_NEW, 0, t->tid, 0);
	write_one(timeline, m, 100, TRACE_RUN, 0, t->tid, CLASS_EXT);
	write_one(timeline, m, 200, TRACE_STOP, 0, t->tid, STOP_EXITED);
	t->behaviour = &b[1];
	/* It may come on a CPU that is not drawn. */
	write_one(timeline, m, 300, TRACE_NEW, 1, t->tid, 0);
	write_one(timeline, m, 400, TRACE_RUN, 0, t->tid, CLASS_EXT);
	write_one(timeline, m, 600, TRACE_STOP, 0, t->tid, STOP_EXITED);
	assert_int_equal(timeline_close(timeline), 0);
	svg = slurp();
	assert_int_equal(check(svg, 1), 2);
	assert_int_equal(times(svg, "<title>first 1: 0.1 us to 0.2 us (100 ns), exited<"), 1);
	assert_int_equal(times(svg, "<title>second 1: 0.4 us to 0.6 us (200 ns), exited<"), 1);
	assert_int_equal(times(svg, ">first 1</text>"), 1);
	assert_int_equal(times(svg, ">second 1</text>"), 1);
	free(svg);
	machine_free(m);
}

static void test_timeline_boxes_are_where_and_as_wide_as_their_times(void **state)
{
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine("pu:2");
	struct thread *t = thread_new(m, &b, NULL, 0);
	const char *row, *box;
	double left, all;
	char *svg;

	assert_int_equal(timeline_open(&timeline, path, "one", 2, 1000, 2000), 0);
	write_one(timeline, m, 0, TRACE_RUN, 1, t->tid, CLASS_EXT);
	write_one(timeline, m, 1250, TRACE_STOP, 1, t->tid, STOP_SLICE);
	write_one(timeline, m, 1500, TRACE_RUN, 1, t->tid, CLASS_EXT);
	write_one(timeline, m, 1510, TRACE_STOP, 1, t->tid, STOP_BLOCKED);
	write_one(timeline, m, 1900, TRACE_RUN, 1, t->tid, CLASS_EXT);
	write_one(timeline, m, 9000, TRACE_STOP, 1, t->tid, STOP_BLOCKED);
	write_one(timeline, m, 9000, TRACE_RUN, 1, t->tid, CLASS_EXT);
	assert_int_equal(timeline_close(timeline), 0);
	svg = slurp();
	assert_int_equal(check(svg, 2), 3);
	row = strstr(svg, "<g id=\"cpu1\">");
	box = strstr(row, "<rect");
	left = attribute(box, "x");
	all = attribute(box, "width");
	box = strstr(box + 1, "<rect");
	assert_true(attribute(box, "x") == left);
	assert_true(fabs(attribute(box, "width") - all / 4) < 0.02);
	box = strstr(box + 1, "<rect");
	assert_true(fabs(attribute(box, "x") - left - all / 2) < 0.02);
	assert_true(fabs(attribute(box, "width") - all / 100) < 0.02);
	box = strstr(box + 1, "<rect");
	assert_true(fabs(attribute(box, "x") - left - all * 0.9) < 0.02);
	assert_true(fabs(attribute(box, "width") - all * 0.1) < 0.02);
	assert_non_null(strstr(box, "1.9 us to 9 us (7.1 us), blocked"));
	free(svg);
	machine_free(m);
}

static void test_timeline_ticks_are_round_numbers_with_units(void **state)
{
	static const struct {
		uint64_t from, until;
		const char *first, *second, *last;
		uint32_t nr;
	} axes[] = {
		{ 0, 1, ">0 ns<", ">1 ns<", ">1 ns<", 2 },
		{ 0, 10, ">0 ns<", ">1 ns<", ">10 ns<", 11 },
		{ 0, 11, ">0 ns<", ">2 ns<", ">10 ns<", 6 },
		{ 0, 1000, ">0 us<", ">0.1 us<", ">1 us<", 11 },
		{ 0, 8 * MS, ">0 ms<", ">1 ms<", ">8 ms<", 9 },
		{ 0, 20 * MS, ">0 ms<", ">2 ms<", ">20 ms<", 11 },
		{ 0, 21 * MS, ">0 ms<", ">5 ms<", ">20 ms<", 5 },
		{ 100 * MS, 102 * MS, ">100 ms<", ">100.2 ms<", ">102 ms<", 11 },
		{ 0, 1000 * MS, ">0 s<", ">0.1 s<", ">1 s<", 11 },
		{ 10000 * MS + 300, 10000 * MS + 5300, ">10.0000005 s<", ">10.000001 s<",
		  ">10.000005 s<", 10 },
		{ 0, UINT64_MAX, ">0 s<", ">2000000000 s<", ">18000000000 s<", 10 },
	};

	for (size_t i = 0; i < ARRAY_LEN(axes); i++) {
		char *svg, *axis, *c;
		uint32_t nr = 0;

		assert_int_equal(timeline_open(&timeline, path, "", 1, axes[i].from, axes[i].until),
				 0);
		assert_int_equal(timeline_close(timeline), 0);
		svg = slurp();
		check(svg, 1);
		axis = strstr(svg, "<g id=\"axis\"");
		*strstr(axis, "</g>") = 0;
		for (c = axis; (c = strstr(c, "<text")); c++) {
			const char *want = !nr ? axes[i].first : nr == 1 ? axes[i].second : NULL;

			if (++nr == axes[i].nr)
				want = axes[i].last;
			if (want && strncmp(strchr(c, '>'), want, strlen(want)))
				fail_msg("tick %u is %.20s and not %s", nr, strchr(c, '>'), want);
		}
		assert_int_equal(nr, axes[i].nr);
		free(svg);
	}
}

static void test_timeline_narrow_neighbours_become_boxes_of_a_pixel_at_most(void **state)
{
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine("pu:2");
	uint32_t tid[2], last = 0;
	const char *c;
	char *svg;

	for (int i = 0; i < 2; i++)
		tid[i] = thread_new(m, &b, NULL, 0)->tid;
	assert_int_equal(timeline_open(&timeline, path, "narrow", 2, 0, 10 * MS), 0);
	/* A quarter of each CPU; two threads on the first, one on the other. */
	for (uint64_t time = 0; time < 10 * MS; time += 400) {
		write_one(timeline, m, time, TRACE_RUN, 0, tid[time / 400 % 2], CLASS_EXT);
		write_one(timeline, m, time, TRACE_RUN, 1, tid[0], CLASS_EXT);
		write_one(timeline, m, time + 100, TRACE_STOP, 0, 0, STOP_SLICE);
		write_one(timeline, m, time + 100, TRACE_STOP, 1, 0, STOP_SLICE);
	}
	assert_int_equal(timeline_close(timeline), 0);
	svg = slurp();
	assert_true(check(svg, 2) > 2000);
	for (c = svg; (c = strstr(c, " times ")); c++) {
		uint32_t nr = strtoul(strstr(c - 5, ">") + 1, NULL, 10), share;

		/* A pixel is some 9000 ns. */
		assert_in_range(nr, 2, 23);
		assert_int_equal(sscanf(strchr(c, ','), ", %u %% of it)<", &share), 1);
		/* The last one may have come to its end. */
		if (last > 20)
			assert_in_range(share, 25, 27);
		last = nr;
	}
	assert_true(times(svg, " times several threads: ") > 1000);
	assert_true(times(svg, " times x 1: ") > 1000);
	assert_int_equal(times(svg, " times x 2: "), 0);
	assert_true(times(svg, "fill-opacity=\"0.36\"") > 1000);
	free(svg);
	machine_free(m);
}

/* Whatever comes, and however much of it. */
static void test_timeline_of_very_many_boxes_stays_small(void **state)
{
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine("pu:64");
	struct random r;
	char *svg;

	for (int i = 0; i < 100; i++)
		thread_new(m, &b, NULL, 0);
	random_seed(&r, seed + 1);
	/* 0: all are just too wide for their neighbours. */
	for (uint32_t mean = 0; mean <= 100000; mean = mean ? mean * 10 : 100) {
		uint64_t all = 64 * MS, time = 0;
		uint32_t cpu = 0;

		assert_int_equal(timeline_open(&timeline, path, "many", 64, 0, all), 0);
		for (int i = 0; i < 2000000 && time < all; i++) {
			cpu = (cpu + 1) % 64;
			write_one(timeline, m, time, TRACE_WAKE, cpu, 1, 0);
			write_one(timeline, m, time, TRACE_MSG, cpu, 1, cpu);
			write_one(timeline, m, time, TRACE_TXN, cpu, 1, GHOST_TXN_AGENT_STALE);
			if (i / 64 % 2)
				write_one(timeline, m, time, TRACE_STOP, cpu, 1, STOP_SLICE);
			else
				write_one(timeline, m, time, TRACE_RUN, cpu,
					  1 + random_below(&r, 100), CLASS_EXT);
			if (mean)
				time += random_exponential(&r, mean) / 64;
			else
				time += cpu ? 0 : 7000;
		}
		assert_int_equal(timeline_close(timeline), 0);
		svg = slurp();
		assert_well_formed(svg);
		if (strlen(svg) > 9000000)
			fail_msg("runs of %u ns make %zu bytes", mean, strlen(svg));
		free(svg);
	}
	machine_free(m);
}

static void test_timeline_records_that_make_no_sense_do_no_harm(void **state)
{
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine("pu:2");
	struct thread *t = thread_new(m, &b, NULL, 0);
	struct random r;

	random_seed(&r, seed + 2);
	for (int round = 0; round < 50; round++) {
		uint64_t time = 0;
		char *svg;

		m->cpu[1].fair_until = random_below(&r, 100000);
		assert_int_equal(timeline_open(&timeline, path, "", 2, 20000, 80000), 0);
		for (int i = 0; i < 200; i++) {
			time += random_below(&r, 3) * 500;
			write_one(timeline, m, time, random_below(&r, TRACE_NR + 2),
				  random_below(&r, 4), random_below(&r, 3) * t->tid,
				  random_chance(&r, 900000) ? random_below(&r, 20) :
							      random_next(&r));
		}
		assert_int_equal(timeline_close(timeline), 0);
		svg = slurp();
		check(svg, 2);
		free(svg);
	}
	machine_free(m);
}

/* --- files ---------------------------------------------------------------------------------- */

static void test_timeline_onto_a_full_disk_fails(void **state)
{
	if (access("/dev/full", W_OK)) {
		printf("# there is no /dev/full\n");
		skip();
	}
	assert_int_equal(timeline_open(&timeline, "/dev/full", "", 4, 0, 1000), 0);
	assert_int_equal(timeline_close(timeline), -ENOSPC);
}

static void test_timeline_of_no_time_or_into_no_folder_is_refused(void **state)
{
	struct timeline *t = NULL;

	assert_int_equal(timeline_open(&t, path, "", 1, 5, 5), -EINVAL);
	assert_int_equal(timeline_open(&t, path, "", 1, 5, 4), -EINVAL);
	assert_int_equal(timeline_open(&t, "/nowhere/at/all", "", 1, 0, 5), -ENOENT);
	assert_null(t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeline_has_a_row_for_each_cpu_up_to_64),
		cmocka_unit_test(test_timeline_draws_each_time_that_somebody_ran),
		cmocka_unit_test(test_timeline_tips_say_who_when_and_why),
		cmocka_unit_test(test_timeline_of_a_run_with_faults_shows_them),
		cmocka_unit_test(test_timeline_of_one_seed_is_one_picture),
		cmocka_unit_test(test_timeline_of_nothing_is_well_formed),
		cmocka_unit_test(test_timeline_titles_of_any_bytes_are_well_formed),
		cmocka_unit_test(test_timeline_names_of_any_bytes_are_well_formed),
		cmocka_unit_test(test_timeline_threads_that_share_a_number_keep_their_names),
		cmocka_unit_test(test_timeline_boxes_are_where_and_as_wide_as_their_times),
		cmocka_unit_test(test_timeline_ticks_are_round_numbers_with_units),
		cmocka_unit_test(test_timeline_narrow_neighbours_become_boxes_of_a_pixel_at_most),
		cmocka_unit_test(test_timeline_of_very_many_boxes_stays_small),
		cmocka_unit_test(test_timeline_records_that_make_no_sense_do_no_harm),
		cmocka_unit_test(test_timeline_onto_a_full_disk_fails),
		cmocka_unit_test(test_timeline_of_no_time_or_into_no_folder_is_refused),
	};
	const char *given = getenv("GHOST_SEED");
	int fd = mkstemp(path), ret;

	if (fd < 0)
		return 1;
	close(fd);
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return ret;
}
