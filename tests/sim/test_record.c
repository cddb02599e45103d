// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recorded work: what was written is read, what is no recording is refused,
 * and replaying computes what was recorded.
 * In: sim/record.h, runs of the simulator; GHOST_SEED, or the time, for
 * garbage. Out: TAP, and that seed as a comment.
 */
#include "tests/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "policies/policies.h"
#include "sim/record.h"
#include "sim/sim.h"

#define THREADS_MAX 4096
#define MS 1000000ull
#define HEADER "{\"format\":\"ghost-trace\",\"version\":1}\n"

static uint64_t seed;
static char path[] = "/tmp/ghost-test-record-XXXXXX";

static void save(const char *bytes, size_t size)
{
	FILE *f;

	/* Some file systems take their time to truncate what has just been written. */
	unlink(path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

static char *slurp(size_t *ret_size)
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
	fclose(f);
	*ret_size = size;
	return text;
}

static struct record *must_read(void)
{
	struct record *r = NULL;
	char error[200] = "";

	if (record_read(&r, path, error, sizeof(error)))
		fail_msg("%s", error);
	assert_string_equal(error, "");
	return r;
}

static struct record *read_text(const char *text)
{
	save(text, strlen(text));
	return must_read();
}

static uint64_t nr_steps(const struct record *r)
{
	uint64_t nr = 0;

	for (uint32_t i = 0; i < r->nr_threads; i++)
		nr += r->threads[i].nr_steps;
	return nr;
}

static uint64_t run_ns(const struct record_thread *t)
{
	uint64_t ns = 0;

	for (uint32_t i = 0; i < t->nr_steps; i++)
		ns += t->steps[i].run_ns;
	return ns;
}

static uint64_t sleep_ns(const struct record_thread *t)
{
	uint64_t ns = 0;

	for (uint32_t i = 0; i < t->nr_steps; i++)
		ns += t->steps[i].sleep_ns;
	return ns;
}

/* --- runs, and what they did, counted here ------------------------------------------- */

struct done {
	uint64_t nr_wakes;
	uint64_t ran_ns;     /* when it was gone */
	uint64_t nr_nothing; /* steps in which it computed nothing */
	uint64_t slept_ns;   /* between steps */
	uint64_t stopped;    /* last went to sleep */
	uint64_t ran_at_wake;
	uint64_t gone_at;
};

static struct done done[THREADS_MAX];
static uint64_t began;
static bool reuse; /* of tids */

static void count(void *arg, const struct machine *m, const struct trace_record *r)
{
	const struct thread *t = r->thread ? thread_by_tid(m, r->thread) : NULL;
	struct done *d = &done[r->thread];

	if (arg)
		record_write(arg, m, r);
	assert_true(r->thread < THREADS_MAX);
	if (!t || t->agent)
		return;
	switch (r->what) {
	case TRACE_NEW:
		d->stopped = SIM_FOREVER;
		break;
	case TRACE_WAKE:
		d->nr_wakes++;
		d->slept_ns += d->stopped == SIM_FOREVER ? r->time - began : r->time - d->stopped;
		d->ran_at_wake = t->runtime_ns;
		break;
	case TRACE_STOP:
		d->stopped = r->time;
		if (r->arg == STOP_BLOCKED || r->arg == STOP_EXITED)
			d->nr_nothing += t->runtime_ns == d->ran_at_wake;
		break;
	case TRACE_EXIT:
		d->ran_ns += t->runtime_ns;
		d->gone_at = r->time;
		break;
	}
}

static void run(struct sim_options *o, struct recorder *rec, struct sim_report *ret)
{
	const char *why = "";
	struct sim *s;

	memset(done, 0, sizeof(done));
	o->policy = policies_find("fifo_percpu");
	o->profile = profile_at(0);
	o->nr_work = 1;
	o->seed = 7;
	o->trace = count;
	o->trace_arg = rec;
	if (sim_new(&s, o, &why))
		fail_msg("%s", why);
	if (sim_run(s))
		fail_msg("%s", sim_machine(s)->broken);
	if (ret)
		sim_report(s, ret);
	sim_free(s);
}

static void record_run(const char *kind, uint32_t cpus, uint64_t ns)
{
	struct sim_options o = { .cpus = cpus, .duration_ns = ns, .reuse_tids = reuse };
	struct recorder *rec;

	o.work[0].kind = kind;
	o.work[0].load_ppm = 800000;
	assert_int_equal(record_open(&rec, path), 0);
	run(&o, rec, NULL);
	assert_int_equal(record_close(rec), 0);
}

static void test_record_of_a_run_has_its_wake_ups_and_what_was_computed(void **state)
{
	static const char *const work[] = { "pingpong", "closed", "periodic", "forks",
					    "pipeline", "vcpus",  "hogs",     "openloop" };

	for (size_t i = 0; i < ARRAY_LEN(work); i++) {
		struct record *r;

		record_run(work[i], 1 + i % 3, 10 * MS);
		r = must_read();
		assert_true(r->nr_threads && nr_steps(r) >= r->nr_threads);
		for (uint32_t k = 0; k < r->nr_threads; k++) {
			const struct record_thread *t = &r->threads[k];
			const struct done *d = &done[t->tid];

			assert_int_equal(t->nr_steps, d->nr_wakes);
			/* Nothing is kept as 1 ns. */
			assert_true(run_ns(t) == d->ran_ns + d->nr_nothing);
			assert_true(sleep_ns(t) == d->slept_ns);
			assert_string_not_equal(t->name, "agent");
		}
		record_free(r);
	}
}

static void test_record_tells_threads_apart_that_share_a_number(void **state)
{
	uint64_t nr = 0, wakes = 0, ran = 0, nothing = 0, all = 0;
	uint32_t children = 0;
	struct record *r;

	reuse = true;
	record_run("forks", 2, 5 * MS);
	reuse = false;
	r = must_read();
	for (uint32_t tid = 0; tid < THREADS_MAX; tid++) {
		nr += !!done[tid].nr_wakes;
		wakes += done[tid].nr_wakes;
		ran += done[tid].ran_ns;
		nothing += done[tid].nr_nothing;
	}
	assert_true(r->nr_threads > 2 * nr);
	assert_true(nr_steps(r) == wakes);
	for (uint32_t i = 0; i < r->nr_threads; i++) {
		all += run_ns(&r->threads[i]);
		children += !strcmp(r->threads[i].name, "child");
	}
	assert_true(all == ran + nothing);
	assert_int_equal(children, r->nr_threads - 2);
	record_free(r);
}

static void test_record_that_is_replayed_computes_the_same(void **state)
{
	static const char *const work[] = { "pingpong", "closed", "periodic", "forks", "openloop" };

	for (size_t i = 0; i < ARRAY_LEN(work); i++) {
		struct sim_options o = { .cpus = 1 + i, .duration_ns = 200 * MS };
		static struct sim_report report;
		struct record *r;
		uint64_t all = 0;

		record_run(work[i], 2, 10 * MS);
		r = must_read();
		o.work[0].kind = "replay";
		o.work[0].record = r;
		run(&o, NULL, &report);
		assert_int_equal(report.work[0].threads, r->nr_threads);
		assert_int_equal(report.work[0].finished, nr_steps(r));
		/* Threads of the work are made first, in order. */
		for (uint32_t k = 0; k < r->nr_threads; k++) {
			assert_true(done[k + 1].ran_ns == run_ns(&r->threads[k]));
			all += run_ns(&r->threads[k]);
		}
		assert_true(report.work[0].cpu_ns == all);
		record_free(r);
	}
}

/* On a machine of its own a thread takes as long as it did. */
static void test_record_that_is_replayed_takes_its_time(void **state)
{
	struct sim_options o = { .cpus = 2, .duration_ns = 50 * MS };
	struct sim_report *report = calloc(1, sizeof(*report));
	struct record *r =
		read_text(HEADER "{\"t\":1000,\"ev\":\"new\",\"tid\":77}\n"
				 "{\"t\":2001000,\"ev\":\"wakeup\",\"tid\":77}\n"
				 "{\"t\":2001000,\"ev\":\"run\",\"tid\":77}\n"
				 "{\"t\":5001000,\"ev\":\"stop\",\"tid\":77,\"why\":\"blocked\"}\n"
				 "{\"t\":6001000,\"ev\":\"wakeup\",\"tid\":77}\n"
				 "{\"t\":6001000,\"ev\":\"run\",\"tid\":77}\n"
				 "{\"t\":8001000,\"ev\":\"stop\",\"tid\":77,\"why\":\"exited\"}\n"
				 "{\"t\":8001000,\"ev\":\"exit\",\"tid\":77}\n");

	o.work[0].kind = "replay";
	o.work[0].record = r;
	run(&o, NULL, report);
	assert_int_equal(report->work[0].finished, 2);
	assert_true(done[1].ran_ns == 5 * MS);
	/* And some microseconds for going and coming. */
	assert_in_range(done[1].gone_at, 8 * MS, 8 * MS + MS / 2);
	free(report);
	record_free(r);
}

static void test_record_of_a_run_that_is_cut_off_keeps_the_last_step(void **state)
{
	struct record *whole, *part;
	char *text, *end;
	size_t size;

	record_run("closed", 2, 3 * MS);
	whole = must_read();
	text = slurp(&size);
	end = strchr(text + size / 2, '\n');
	save(text, end + 1 - text);
	part = must_read();
	assert_true(part->nr_threads <= whole->nr_threads);
	for (uint32_t i = 0; i < part->nr_threads; i++) {
		const struct record_thread *a = &part->threads[i], *b = &whole->threads[i];

		assert_int_equal(a->tid, b->tid);
		assert_true(a->nr_steps <= b->nr_steps);
		for (uint32_t k = 0; k + 1 < a->nr_steps; k++)
			assert_memory_equal(&a->steps[k], &b->steps[k], sizeof(a->steps[k]));
		if (a->nr_steps)
			assert_true(a->steps[a->nr_steps - 1].sleep_ns ==
				    b->steps[a->nr_steps - 1].sleep_ns);
	}
	free(text);
	record_free(whole);
	record_free(part);
}

static void test_record_of_one_seed_is_one_file_of_json_lines(void **state)
{
	char *a, *b, *line, *save_line;
	uint32_t nr = 0;
	size_t n, m;

	record_run("closed", 2, 2 * MS);
	a = slurp(&n);
	record_run("closed", 2, 2 * MS);
	b = slurp(&m);
	assert_int_equal(n, m);
	assert_memory_equal(a, b, n);
	assert_null(strstr(a, "agent"));
	for (line = strtok_r(a, "\n", &save_line); line; line = strtok_r(NULL, "\n", &save_line)) {
		json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		assert_true(json_is_object(o));
		assert_true(!!json_object_get(o, nr++ ? "ev" : "version"));
		json_decref(o);
	}
	assert_true(nr > 100);
	free(a);
	free(b);
}

static struct action never(struct machine *m, struct thread *t)
{
	return (struct action){ .act = ACT_EXIT };
}

static struct machine *machine(void)
{
	struct machine_options mo = {
		.topology = "pu:1", .profile = profile_at(0), .capacity = 16, .seed = 1
	};
	struct machine *m;
	const char *why;

	assert_int_equal(machine_new(&m, &mo, &why), 0);
	return m;
}

/* Names of any bytes, and a recorder that comes when threads are there already. */
static void test_record_that_begins_late_tells_the_names_it_sees(void **state)
{
	static const struct behaviour odd = { "a\"\\\n\xff is this long", never, NULL, NULL };
	static const struct behaviour plain = { "other", never, NULL, NULL };
	struct machine *m = machine();
	struct thread *t = thread_new(m, &odd, NULL, 0), *other = thread_new(m, &plain, NULL, 0);
	struct trace_record tr = { .time = 5, .what = TRACE_JOIN, .thread = t->tid };
	struct recorder *rec;
	struct record *r;

	assert_int_equal(record_open(&rec, path), 0);
	/* That it is a member is not in the file. */
	record_write(rec, m, &tr);
	tr.what = TRACE_WAKE;
	tr.thread = other->tid;
	record_write(rec, m, &tr);
	tr.time = 9;
	tr.what = TRACE_STOP;
	tr.thread = t->tid;
	tr.arg = STOP_BLOCKED;
	t->runtime_ns = 1;
	record_write(rec, m, &tr);
	tr.time = 25;
	tr.what = TRACE_WAKE;
	record_write(rec, m, &tr);
	tr.what = TRACE_RUN;
	record_write(rec, m, &tr);
	tr.time = 45;
	tr.what = TRACE_STOP;
	tr.arg = STOP_EXITED;
	t->runtime_ns = 14;
	record_write(rec, m, &tr);
	/* Nobody's, and somebody's who is not there. */
	tr.thread = 0;
	record_write(rec, m, &tr);
	tr.thread = 99;
	record_write(rec, m, &tr);
	assert_int_equal(record_close(rec), 0);
	r = must_read();
	assert_int_equal(r->nr_threads, 2);
	assert_string_equal(r->threads[0].name, "other");
	assert_string_equal(r->threads[1].name, "a\"\\\n\xc3\xbf is this ");
	assert_int_equal(r->threads[1].nr_steps, 2);
	/* It ran when the recorder came. */
	assert_true(r->threads[1].steps[0].sleep_ns == 0 && r->threads[1].steps[0].run_ns == 4);
	assert_true(r->threads[1].steps[1].sleep_ns == 16 && r->threads[1].steps[1].run_ns == 13);
	record_free(r);
	machine_free(m);
}

/* --- what lines mean ----------------------------------------------------------------- */

#define E(t, ev, tid) "{\"t\":" #t ",\"ev\":\"" ev "\",\"tid\":" #tid "}\n"
#define S(t, tid, why) "{\"t\":" #t ",\"ev\":\"stop\",\"tid\":" #tid ",\"why\":\"" why "\"}\n"
#define R(t, tid, why, ran) \
	"{\"t\":" #t ",\"ev\":\"stop\",\"tid\":" #tid ",\"why\":\"" why "\",\"ran\":" #ran "}\n"

static void test_record_lines_become_steps(void **state)
{
	static const struct {
		const char *what, *lines;
		uint32_t nr;
		struct record_step steps[4];
	} cases[] = {
		{ "no events at all", E(5, "new", 1), 0, { { 0 } } },
		{ "one step",
		  E(5, "new", 1) E(7, "wakeup", 1) E(8, "run", 1) S(18, 1, "blocked"),
		  1,
		  { { 2, 10 } } },
		{ "sleep is from blocked to woken",
		  E(5, "new", 1) E(5, "wakeup", 1) E(6, "run", 1) S(8, 1, "blocked")
			  E(20, "wakeup", 1) E(30, "run", 1) S(33, 1, "exited") E(33, "exit", 1),
		  2,
		  { { 0, 2 }, { 12, 3 } } },
		{ "pieces add up, waiting does not",
		  E(0, "wakeup", 1) E(5, "run", 1) S(7, 1, "preempted") E(20, "run", 1)
			  S(23, 1, "slice") E(30, "run", 1) S(34, 1, "yielded") E(34, "run", 1)
				  S(40, 1, "blocked"),
		  1,
		  { { 0, 15 } } },
		{ "nothing computed is 1 ns",
		  E(0, "wakeup", 1) E(5, "run", 1) S(5, 1, "blocked") E(9, "wakeup", 1),
		  2,
		  { { 0, 1 }, { 4, 1 } } },
		{ "the recorder knows better",
		  E(0, "wakeup", 1) E(5, "run", 1) R(15, 1, "slice", 7) E(15, "run", 1)
			  R(25, 1, "blocked", 0),
		  1,
		  { { 0, 7 } } },
		{ "but not more than there was",
		  E(0, "wakeup", 1) E(5, "run", 1) R(15, 1, "blocked", 70),
		  1,
		  { { 0, 10 } } },
		{ "the last step ends with the file",
		  E(0, "wakeup", 1) E(5, "run", 1) E(9, "wakeup", 1),
		  1,
		  { { 0, 4 } } },
		{ "a wake-up of one that is awake means nothing",
		  E(0, "wakeup", 1) E(1, "wakeup", 1) E(5, "run", 1) E(6, "wakeup", 1)
			  S(9, 1, "blocked"),
		  1,
		  { { 0, 4 } } },
		{ "a lost stop loses a piece",
		  E(0, "wakeup", 1) E(5, "run", 1) E(50, "run", 1) S(60, 1, "blocked"),
		  1,
		  { { 0, 10 } } },
		{ "a lost run loses a piece, a lost wake-up is the run",
		  E(0, "wakeup", 1) S(60, 1, "blocked") E(70, "run", 1) S(75, 1, "blocked"),
		  2,
		  { { 0, 1 }, { 10, 5 } } },
		{ "a stop of one that sleeps means nothing",
		  E(0, "new", 1) S(5, 1, "blocked") E(7, "wakeup", 1) E(7, "run", 1)
			  S(9, 1, "blocked"),
		  1,
		  { { 7, 2 } } },
		{ "the end may come before the last stop",
		  E(0, "wakeup", 1) E(0, "run", 1) E(4, "exit", 1) S(5, 1, "exited"),
		  1,
		  { { 0, 4 } } },
		{ "unknown events, fields and reasons",
		  "{\"t\":0,\"ev\":\"wakeup\",\"tid\":1,\"colour\":[1,{}]}\n"
		  "{\"ev\":\"thunder\",\"t\":-5,\"tid\":\"x\"}\n\n" E(0, "run", 1)
			  S(4, 1, "migrated") E(4, "run", 1) S(6, 1, "blocked"),
		  1,
		  { { 0, 6 } } },
		{ "times of a machine that is up for long",
		  E(9000000000000000000, "wakeup", 1) E(9000000000000000001, "run", 1)
			  S(9000000000000000005, 1, "blocked") E(9223372036854775807, "wakeup", 1),
		  2,
		  { { 0, 4 }, { 223372036854775802, 1 } } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[2000];
		struct record *r;
		const struct record_thread *t;

		snprintf(text, sizeof(text), HEADER "%s", cases[i].lines);
		r = read_text(text);
		t = &r->threads[0];
		if (r->nr_threads != 1 || t->nr_steps != cases[i].nr)
			fail_msg("%s: %u steps, %u threads", cases[i].what, t->nr_steps,
				 r->nr_threads);
		for (uint32_t k = 0; k < t->nr_steps; k++)
			if (t->steps[k].sleep_ns != cases[i].steps[k].sleep_ns ||
			    t->steps[k].run_ns != cases[i].steps[k].run_ns)
				fail_msg("%s: step %u sleeps %" PRIu64 ", runs %" PRIu64,
					 cases[i].what, k, t->steps[k].sleep_ns,
					 t->steps[k].run_ns);
		record_free(r);
	}
}

static void test_record_threads_are_known_from_their_first_line(void **state)
{
	struct record *r = read_text(HEADER E(3, "new", 2) E(5, "run", 1) S(9, 1, "blocked")
					     S(10, 7, "slice") E(12, "run", 7) S(14, 7, "blocked")
						     E(20, "exit", 4000000000));

	assert_int_equal(r->nr_threads, 4);
	assert_int_equal(r->threads[1].tid, 1);
	assert_int_equal(r->threads[1].nr_steps, 1);
	assert_true(r->threads[1].steps[0].sleep_ns == 2 && r->threads[1].steps[0].run_ns == 4);
	/* On a CPU when the recording began. */
	assert_int_equal(r->threads[2].tid, 7);
	assert_int_equal(r->threads[2].nr_steps, 1);
	assert_true(r->threads[2].steps[0].sleep_ns == 0 && r->threads[2].steps[0].run_ns == 9);
	assert_true(r->threads[3].tid == 4000000000 && !r->threads[3].nr_steps);
	record_free(r);
}

static void test_record_numbers_that_are_used_again_are_other_threads(void **state)
{
	struct record *r = read_text(
		HEADER "{\"t\":0,\"ev\":\"new\",\"tid\":5,\"name\":\"first\"}\n" E(
			0, "wakeup", 5) E(1, "run", 5) S(3, 5, "exited")
			E(3, "exit",
			  5) "{\"t\":10,\"ev\":\"new\",\"tid\":5,\"name\":\"\xc3\xa9\xc3\xa9"
			     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}\n" E(12, "wakeup",
										       5)
				     E(15, "run", 5) "{\"t\":19,\"ev\":\"new\",\"tid\":5,\"name\":\"third\"}\n" E(
					     20, "wakeup", 5));

	assert_int_equal(r->nr_threads, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(r->threads[i].tid, 5);
		assert_int_equal(r->threads[i].nr_steps, 1);
	}
	assert_string_equal(r->threads[0].name, "first");
	/* What fits, and no half of a character. */
	assert_string_equal(r->threads[1].name,
			    "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	assert_true(r->threads[1].steps[0].sleep_ns == 12 && r->threads[1].steps[0].run_ns == 4);
	assert_true(r->threads[2].steps[0].sleep_ns == 20);
	record_free(r);
	/* Its stop told of its end. */
	r = read_text(HEADER E(0, "wakeup", 5) E(1, "run", 5) S(3, 5, "exited") E(10, "run", 5));
	assert_int_equal(r->nr_threads, 2);
	assert_int_equal(r->threads[1].nr_steps, 1);
	record_free(r);
}

static void test_record_example_of_the_page_is_what_the_page_says(void **state)
{
	const char *root = getenv("GHOST_TESTS_ROOT");
	char name[512], line[512], text[4000] = "";
	const struct record_thread *t;
	struct record *r;
	uint32_t nr = 0;
	FILE *f;

	snprintf(name, sizeof(name), "%s/docs/trace.md", root ? root : ".");
	f = fopen(name, "r");
	if (!f) {
		printf("# %s is not there\n", name);
		skip();
	}
	while (fgets(line, sizeof(line), f)) {
		if (line[0] != '{')
			continue;
		assert_true(strlen(text) + strlen(line) < sizeof(text));
		strcat(text, line);
		nr++;
	}
	fclose(f);
	assert_int_equal(nr, 11);
	r = read_text(text);
	assert_int_equal(r->nr_threads, 1);
	t = &r->threads[0];
	assert_string_equal(t->name, "worker");
	assert_int_equal(t->nr_steps, 2);
	assert_true(t->steps[0].sleep_ns == 0 && t->steps[0].run_ns == 6800);
	assert_true(t->steps[1].sleep_ns == 73000 && t->steps[1].run_ns == 5000);
	record_free(r);
}

/* --- what is refused -------------------------------------------------------------------- */

static void assert_refused(const char *what, int err, const char *error, int want_err,
			   const char *want)
{
	if (err != want_err || strncmp(error, want, strlen(want)))
		fail_msg("%.60s: %d, '%s' instead of '%s'", what, err, error, want);
}

static void test_record_files_that_are_none_are_refused_with_the_line(void **state)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{ "", "line 1: the file is empty" },
		{ "\n", "line 1: this is no JSON" },
		{ "hello\n", "line 1: this is no JSON" },
		{ "[]\n", "line 1: this is no JSON object" },
		{ "{}\n", "line 1: this is no recording" },
		{ "{\"format\":7,\"version\":1}\n", "line 1: this is no recording" },
		{ "{\"format\":\"perf\",\"version\":1}\n", "line 1: this is no recording" },
		{ "{\"format\":\"ghost-trace\"}\n", "line 1: there is no \"version\"" },
		{ "{\"format\":\"ghost-trace\",\"version\":\"1\"}\n",
		  "line 1: \"version\" is no integer" },
		{ "{\"format\":\"ghost-trace\",\"version\":2}\n",
		  "line 1: the format has version 2; what can be read is 1" },
		{ "{\"format\":\"ghost-trace\",\"version\":0}\n",
		  "line 1: the format has version 0; what can be read is 1" },
		{ E(5, "new", 1) HEADER, "line 1: this is no recording" },
		{ HEADER "x", "line 2: this is no JSON: " },
		{ HEADER "{\"t\":1} {\"t\":2}\n", "line 2: this is no JSON: " },
		{ HEADER "{\"t\":1,\"t\":2}\n", "line 2: this is no JSON: " },
		{ HEADER "[1]\n", "line 2: this is no JSON object" },
		{ HEADER "{\"t\":1,\"tid\":1}\n", "line 2: there is no \"ev\"" },
		{ HEADER "{\"t\":1,\"tid\":1,\"ev\":1}\n", "line 2: \"ev\" is no string" },
		{ HEADER "{\"ev\":\"run\",\"tid\":1}\n", "line 2: there is no \"t\"" },
		{ HEADER "{\"ev\":\"run\",\"t\":1}\n", "line 2: there is no \"tid\"" },
		{ HEADER E(-1, "run", 1), "line 2: \"t\" is negative" },
		{ HEADER E(1.5, "run", 1), "line 2: \"t\" is no integer" },
		{ HEADER E("1", "run", 1), "line 2: \"t\" is no integer" },
		{ HEADER E(9223372036854775808, "run", 1), "line 2: this is no JSON: " },
		{ HEADER E(1, "run", 0), "line 2: \"tid\" is out of range" },
		{ HEADER E(1, "run", -1), "line 2: \"tid\" is negative" },
		{ HEADER E(1, "run", 4294967296), "line 2: \"tid\" is out of range" },
		{ HEADER "{\"t\":1,\"ev\":\"run\",\"tid\":1,\"cpu\":-1}\n",
		  "line 2: \"cpu\" is negative" },
		{ HEADER "{\"t\":1,\"ev\":\"new\",\"tid\":1,\"name\":1}\n",
		  "line 2: \"name\" is no string" },
		{ HEADER E(1, "run", 1) E(2, "stop", 1), "line 3: there is no \"why\"" },
		{ HEADER E(1, "run", 1) "{\"t\":2,\"ev\":\"stop\",\"tid\":1,\"why\":null}\n",
		  "line 3: \"why\" is no string" },
		{ HEADER E(1, "run", 1) R(2, 1, "blocked", -1), "line 3: \"ran\" is negative" },
		{ HEADER E(1, "run", 1) R(2, 1, "blocked", 0.5), "line 3: \"ran\" is no integer" },
		{ HEADER E(5, "run", 1) E(6, "new", 2) "\n" E(5, "wakeup", 2),
		  "line 5: the time goes back, from 6 to 5" },
		{ HEADER "{\"ev\":\"\x1b[31m\"}\n", "line 2: this is no JSON: " },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct record *r = NULL;
		char error[200] = "";
		int err;

		save(bad[i].text, strlen(bad[i].text));
		err = record_read(&r, path, error, sizeof(error));
		assert_null(r);
		assert_refused(bad[i].text, err, error, -EINVAL, bad[i].error);
		for (const char *c = error; *c; c++)
			assert_in_range(*c, ' ', '~');
	}
}

static void test_record_that_is_cut_anywhere_is_refused_unless_between_lines(void **state)
{
	static const char text[] = HEADER E(5, "new", 1) E(7, "wakeup", 1) E(8, "run", 1)
		R(18, 1, "blocked", 9) E(19, "exit", 1);

	for (size_t size = 0; size < sizeof(text); size++) {
		uint32_t line = 1, whole;
		struct record *r = NULL;
		char error[200] = "", want[32];
		int err;

		for (size_t i = 0; i < size; i++)
			line += text[i] == '\n';
		whole = size && (text[size - 1] == '\n' || text[size] == '\n');
		save(text, size);
		err = record_read(&r, path, error, sizeof(error));
		if (whole) {
			assert_int_equal(err, 0);
		} else {
			snprintf(want, sizeof(want), "line %u: ", line);
			assert_refused("cut", err, error, -EINVAL, want);
		}
		record_free(r);
	}
}

static void test_record_of_more_than_100000_threads_is_refused(void **state)
{
	struct record *r = NULL;
	char error[200] = "";
	FILE *f;

	for (uint32_t more = 0; more < 2; more++) {
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(HEADER, f);
		/* Numbers far apart, and near each other. */
		for (uint32_t i = 1; i <= 100000 + more; i++)
			fprintf(f, "{\"t\":%u,\"ev\":\"wakeup\",\"tid\":%u}\n", i,
				i % 2 ? i : i * 40000);
		fclose(f);
		if (more) {
			assert_refused("more", record_read(&r, path, error, sizeof(error)), error,
				       -EINVAL, "line 100002: there are more than 100000 threads");
			continue;
		}
		r = must_read();
		assert_int_equal(r->nr_threads, 100000);
		assert_int_equal(nr_steps(r), 100000);
		record_free(r);
		r = NULL;
	}
	assert_null(r);
}

static void test_record_lines_without_end_are_refused(void **state)
{
	struct record *r = NULL;
	char error[200] = "", *text = malloc(200000);
	int err;

	memset(text, ' ', 200000);
	memcpy(text, HEADER "{\"t\":1,\"ev\":\"new\",\"tid\":1}", strlen(HEADER) + 26);
	save(text, strlen(HEADER) + 65536);
	record_free(must_read());
	save(text, strlen(HEADER) + 65537);
	err = record_read(&r, path, error, sizeof(error));
	assert_refused("long", err, error, -EINVAL, "line 2: it is longer than 65536 bytes");
	/* Deeper than anybody needs. */
	memset(text + strlen(HEADER), '[', 60000);
	save(text, strlen(HEADER) + 60000);
	err = record_read(&r, path, error, sizeof(error));
	assert_refused("deep", err, error, -EINVAL, "line 2: this is no JSON");
	assert_null(r);
	free(text);
}

/* Bytes changed, lost, repeated: refused with the line or read, and nothing worse. */
static void test_record_of_garbage_does_no_harm(void **state)
{
	static char work[6000];
	struct random r;
	uint32_t taken = 0;
	char *text;
	size_t all;

	record_run("closed", 1, 300000);
	text = slurp(&all);
	if (all > 5000)
		all = 5000;
	random_seed(&r, seed);
	for (int round = 0; round < 3000; round++) {
		size_t size = all, at, len;
		struct record *rec = NULL;
		char error[80] = "";

		memcpy(work, text, all);
		if (round % 16 == 0) {
			size = random_below(&r, all);
			for (size_t i = 0; i < size; i++)
				work[i] = random_next(&r);
		}
		for (int i = random_below(&r, 4); i && size > 100; i--) {
			at = random_below(&r, size - 50);
			len = random_below(&r, 50);
			switch (random_below(&r, 4)) {
			case 0:
				work[at] = random_next(&r);
				break;
			case 1:
				work[at] = "0123456789-.e{}[],:\"\n\\u"[random_below(&r, 23)];
				break;
			case 2:
				memmove(work + at, work + at + len, size - at - len);
				size -= len;
				break;
			case 3:
				memmove(work + at, work + random_below(&r, size - len), len);
				break;
			}
		}
		save(work, size);
		if (record_read(&rec, path, error, 1 + random_below(&r, sizeof(error)))) {
			assert_null(rec);
			assert_true(strlen(error) < sizeof(error));
			assert_int_equal(strncmp(error, "line ", strnlen(error, 5)), 0);
			continue;
		}
		taken++;
		for (uint32_t i = 0; i < rec->nr_threads; i++)
			for (uint32_t k = 0; k < rec->threads[i].nr_steps; k++) {
				assert_true(rec->threads[i].steps[k].run_ns >= 1);
				assert_true(rec->threads[i].steps[k].run_ns <= INT64_MAX);
				assert_true(rec->threads[i].steps[k].sleep_ns <= INT64_MAX);
			}
		record_free(rec);
	}
	assert_true(taken > 100);
	free(text);
}

/* --- files ---------------------------------------------------------------------------------- */

static void test_record_that_is_not_there_or_a_folder_is_refused(void **state)
{
	struct record *r = NULL;
	struct recorder *w = NULL;
	char error[200];

	assert_refused("none", record_read(&r, "/nowhere/at/all", error, sizeof(error)), error,
		       -ENOENT, "it cannot be opened: No such file");
	assert_refused("folder", record_read(&r, "/tmp", error, sizeof(error)), error, -EISDIR,
		       "line 1: it cannot be read: Is a directory");
	assert_int_equal(record_open(&w, "/nowhere/at/all"), -ENOENT);
	assert_null(r);
	assert_null(w);
	record_free(NULL);
	assert_int_equal(record_close(NULL), 0);
}

static void test_record_onto_a_full_disk_fails(void **state)
{
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine();
	struct thread *t = thread_new(m, &b, NULL, 0);
	struct trace_record tr = { .what = TRACE_WAKE, .thread = t->tid };
	struct recorder *rec;

	if (access("/dev/full", W_OK)) {
		printf("# there is no /dev/full\n");
		machine_free(m);
		skip();
	}
	assert_int_equal(record_open(&rec, "/dev/full"), 0);
	assert_int_equal(record_close(rec), -ENOSPC);
	assert_int_equal(record_open(&rec, "/dev/full"), 0);
	for (tr.time = 0; tr.time < 50000; tr.time++)
		record_write(rec, m, &tr);
	assert_int_equal(record_close(rec), -ENOSPC);
	machine_free(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_of_a_run_has_its_wake_ups_and_what_was_computed),
		cmocka_unit_test(test_record_tells_threads_apart_that_share_a_number),
		cmocka_unit_test(test_record_that_is_replayed_computes_the_same),
		cmocka_unit_test(test_record_that_is_replayed_takes_its_time),
		cmocka_unit_test(test_record_of_a_run_that_is_cut_off_keeps_the_last_step),
		cmocka_unit_test(test_record_of_one_seed_is_one_file_of_json_lines),
		cmocka_unit_test(test_record_that_begins_late_tells_the_names_it_sees),
		cmocka_unit_test(test_record_lines_become_steps),
		cmocka_unit_test(test_record_threads_are_known_from_their_first_line),
		cmocka_unit_test(test_record_numbers_that_are_used_again_are_other_threads),
		cmocka_unit_test(test_record_example_of_the_page_is_what_the_page_says),
		cmocka_unit_test(test_record_files_that_are_none_are_refused_with_the_line),
		cmocka_unit_test(test_record_that_is_cut_anywhere_is_refused_unless_between_lines),
		cmocka_unit_test(test_record_of_more_than_100000_threads_is_refused),
		cmocka_unit_test(test_record_lines_without_end_are_refused),
		cmocka_unit_test(test_record_of_garbage_does_no_harm),
		cmocka_unit_test(test_record_that_is_not_there_or_a_folder_is_refused),
		cmocka_unit_test(test_record_onto_a_full_disk_fails),
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
