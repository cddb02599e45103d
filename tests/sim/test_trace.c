// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace file: valid whatever happens, and it tells what happened.
 * In: sim/trace.h, runs of the simulator, an independent count of what they
 * do; GHOST_SEED, or the time, for where they are cut off. Out: TAP, and that
 * seed as a comment.
 */
#include "tests/check.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "libghost/enclave.h"
#include "policies/policies.h"
#include "sim/fault.h"
#include "sim/sim.h"
#include "sim/trace.h"

#define CPUS_MAX 64
#define THREADS_MAX 4096

static uint64_t seed;
static char path[] = "/tmp/ghost-test-trace-XXXXXX";

/* What the file must agree with, kept beside it. */
struct facts {
	struct trace_file *file;
	uint64_t limit; /* records after these go nowhere */
	uint64_t nr, now;
	uint64_t nr_what[TRACE_NR];
	uint64_t nr_msg[256], nr_txn[256], nr_fault[FAULT_NR + 1], nr_preempt;
	uint32_t runs[CPUS_MAX]; /* tid */
	uint64_t runs_since[CPUS_MAX], busy_ns[CPUS_MAX];
	uint64_t ran_ns[THREADS_MAX], waited_ns[THREADS_MAX], since[THREADS_MAX];
	bool waits[THREADS_MAX], on_cpu[THREADS_MAX], member[THREADS_MAX];
	uint64_t waiting; /* thread-nanoseconds of members */
	uint32_t nr_waiting;
};

static struct facts facts;

static void sleeps(uint32_t tid)
{
	if (facts.on_cpu[tid])
		facts.ran_ns[tid] += facts.now - facts.since[tid];
	if (facts.waits[tid])
		facts.waited_ns[tid] += facts.now - facts.since[tid];
	facts.nr_waiting -= facts.waits[tid] && facts.member[tid];
	facts.on_cpu[tid] = facts.waits[tid] = false;
	facts.since[tid] = facts.now;
}

static void waits(uint32_t tid)
{
	sleeps(tid);
	facts.waits[tid] = true;
	facts.nr_waiting += facts.member[tid];
}

static void member(uint32_t tid, bool yes)
{
	facts.nr_waiting -= facts.waits[tid] && facts.member[tid];
	facts.member[tid] = yes;
	facts.nr_waiting += facts.waits[tid] && facts.member[tid];
}

static void count(void *arg, const struct machine *m, const struct trace_record *r)
{
	if (facts.nr == facts.limit)
		return;
	facts.nr++;
	if (facts.file)
		trace_write(facts.file, m, r);
	/* Those are not in the file, and not its last time either. */
	if (r->what == TRACE_STEP || r->what == TRACE_REQUEST)
		return;
	facts.nr_what[r->what]++;
	facts.waiting += (r->time - facts.now) * facts.nr_waiting;
	facts.now = r->time;
	assert_true(r->cpu < CPUS_MAX && r->thread < THREADS_MAX);
	switch (r->what) {
	case TRACE_WAKE:
		waits(r->thread);
		break;
	case TRACE_RUN:
		/* The simulator's own promise. */
		if (facts.runs[r->cpu] || facts.on_cpu[r->thread])
			fail_msg("thread %u begins to run on CPU %u, which runs %u", r->thread,
				 r->cpu, facts.runs[r->cpu]);
		sleeps(r->thread);
		facts.on_cpu[r->thread] = true;
		facts.runs[r->cpu] = r->thread;
		facts.runs_since[r->cpu] = r->time;
		break;
	case TRACE_STOP:
		assert_int_equal(facts.runs[r->cpu], r->thread);
		facts.runs[r->cpu] = 0;
		facts.busy_ns[r->cpu] += r->time - facts.runs_since[r->cpu];
		if (r->arg == STOP_BLOCKED || r->arg == STOP_EXITED)
			sleeps(r->thread);
		else
			waits(r->thread);
		break;
	case TRACE_JOIN:
	case TRACE_LEAVE:
		member(r->thread, r->what == TRACE_JOIN);
		break;
	case TRACE_EXIT:
		sleeps(r->thread);
		break;
	case TRACE_MSG:
		facts.nr_msg[r->arg >> 32 & 0xff]++;
		break;
	case TRACE_TXN:
		facts.nr_txn[r->arg & 0xff]++;
		break;
	case TRACE_FAULT:
		facts.nr_fault[r->arg]++;
		break;
	case TRACE_KICK:
		facts.nr_preempt += r->arg;
		break;
	}
}

/* As if the run ended here. */
static void count_to_the_end(void)
{
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++)
		if (facts.runs[cpu])
			facts.busy_ns[cpu] += facts.now - facts.runs_since[cpu];
	for (uint32_t tid = 0; tid < THREADS_MAX; tid++)
		sleeps(tid);
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

static json_t *parse(void)
{
	json_error_t e;
	json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &e), *list;

	if (!root)
		fail_msg("%d:%d: %s", e.line, e.column, e.text);
	list = json_incref(json_object_get(root, "traceEvents"));
	assert_true(json_is_array(list));
	json_decref(root);
	return list;
}

/* Run it all, or the first @limit records of it; the events that are in the file then. */
static json_t *run(const struct sim_options *o, uint64_t limit)
{
	const char *why = "";
	struct sim *s;

	memset(&facts, 0, sizeof(facts));
	facts.limit = limit;
	assert_int_equal(trace_open(&facts.file, path, o->cpus), 0);
	if (sim_new(&s, o, &why))
		fail_msg("%s", why);
	if (sim_run(s))
		fail_msg("%s", sim_machine(s)->broken);
	assert_int_equal(trace_close(facts.file), 0);
	sim_free(s);
	count_to_the_end();
	return parse();
}

/* --- events ---------------------------------------------------------------------- */

static const char *string(const json_t *e, const char *key)
{
	const char *s = json_string_value(json_object_get(e, key));

	return s ? s : "";
}

static uint64_t integer(const json_t *e, const char *key)
{
	assert_true(json_is_integer(json_object_get(e, key)));
	return json_integer_value(json_object_get(e, key));
}

static uint64_t ns(const json_t *e, const char *key)
{
	double us = json_real_value(json_object_get(e, key));

	assert_true(json_is_real(json_object_get(e, key)) && us >= 0);
	return llround(us * 1000);
}

static bool is(const json_t *e, const char *phase, uint32_t pid)
{
	return !strcmp(string(e, "ph"), phase) && integer(e, "pid") == pid;
}

static uint64_t named(const json_t *list, const char *phase, const char *name)
{
	uint64_t nr = 0;
	json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
		nr += !strcmp(string(e, "ph"), phase) && !strcmp(string(e, "name"), name);
	return nr;
}

static void thread_name(const json_t *list, uint32_t tid, char buf[64])
{
	uint64_t nr = 0;
	json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
	{
		if (!is(e, "M", 2) || integer(e, "tid") != tid ||
		    strcmp(string(e, "name"), "thread_name"))
			continue;
		snprintf(buf, 64, "%s", string(json_object_get(e, "args"), "name"));
		nr++;
	}
	if (nr != 1)
		fail_msg("thread %u has %" PRIu64 " names", tid, nr);
}

struct slice {
	uint32_t track;
	uint64_t from, until;
};

static int by_track(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;

	if (x->track != y->track)
		return x->track < y->track ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->until < y->until ? -1 : x->until > y->until;
}

/* All slices of @pid, none of which may overlap another one of its track. */
static size_t slices(const json_t *list, uint32_t pid, struct slice **ret)
{
	struct slice *s = calloc(json_array_size(list) + 1, sizeof(*s));
	size_t nr = 0, i;
	json_t *e;

	json_array_foreach(list, i, e) if (is(e, "X", pid)) s[nr++] = (struct slice){
		.track = integer(e, "tid"),
		.from = ns(e, "ts"),
		.until = ns(e, "ts") + ns(e, "dur"),
	};
	qsort(s, nr, sizeof(*s), by_track);
	for (i = 1; i < nr; i++)
		if (s[i].track == s[i - 1].track && s[i].from < s[i - 1].until)
			fail_msg("slices of track %u of process %u overlap at %" PRIu64, s[i].track,
				 pid, s[i].from);
	*ret = s;
	return nr;
}

/* All that must be true of any file, held against what was counted. */
static void check(const json_t *list, uint32_t nr_cpus)
{
	static uint64_t busy[CPUS_MAX], ran[THREADS_MAX], waited[THREADS_MAX];
	uint64_t waiting = 0, last = 0, value = 0;
	struct slice *s;
	size_t nr, i;
	json_t *e;

	memset(busy, 0, sizeof(busy));
	memset(ran, 0, sizeof(ran));
	memset(waited, 0, sizeof(waited));
	json_array_foreach(list, i, e)
	{
		assert_true(*string(e, "ph") && *string(e, "name"));
		assert_in_range(integer(e, "pid"), 1, 2);
		if (integer(e, "pid") == 1)
			assert_true(integer(e, "tid") < nr_cpus || !nr_cpus);
		if (!strcmp(string(e, "ph"), "M"))
			continue;
		assert_true(ns(e, "ts") <= facts.now);
		if (is(e, "X", 2) && !strcmp(string(e, "name"), "runs"))
			ran[integer(e, "tid")] += ns(e, "dur");
		else if (is(e, "X", 2) && !strcmp(string(e, "name"), "waits"))
			waited[integer(e, "tid")] += ns(e, "dur");
		else if (is(e, "X", 2))
			fail_msg("a thread neither runs nor waits");
		if (strcmp(string(e, "ph"), "C"))
			continue;
		waiting += (ns(e, "ts") - last) * value;
		last = ns(e, "ts");
		value = integer(json_object_get(e, "args"), "threads");
	}
	waiting += (facts.now - last) * value;
	assert_true(waiting == facts.waiting);

	nr = slices(list, 1, &s);
	assert_int_equal(nr, facts.nr_what[TRACE_RUN]);
	for (i = 0; i < nr; i++) {
		assert_true(s[i].until <= facts.now);
		busy[s[i].track] += s[i].until - s[i].from;
	}
	free(s);
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++) {
		assert_true(busy[cpu] <= facts.now);
		assert_true(busy[cpu] == facts.busy_ns[cpu]);
	}
	slices(list, 2, &s);
	free(s);
	for (uint32_t tid = 0; tid < THREADS_MAX; tid++) {
		assert_true(ran[tid] == facts.ran_ns[tid]);
		assert_true(waited[tid] == facts.waited_ns[tid]);
	}
	assert_int_equal(named(list, "i", "wake"), facts.nr_what[TRACE_WAKE]);
	assert_int_equal(named(list, "i", "overflow"), facts.nr_what[TRACE_OVERFLOW]);
	assert_int_equal(named(list, "i", "kick, preempt"), facts.nr_preempt);
	assert_int_equal(named(list, "i", "kick"), facts.nr_what[TRACE_KICK] - facts.nr_preempt);
	for (uint32_t type = 0; type < 256; type++)
		if (facts.nr_msg[type])
			assert_int_equal(named(list, "i", trace_msg_name(type)),
					 facts.nr_msg[type]);
	for (uint32_t state = 0; state < GHOST_TXN_NR_STATES; state++) {
		char name[64];

		snprintf(name, sizeof(name), "txn %s", ghost_txn_state_name(state));
		assert_int_equal(named(list, "i", name), facts.nr_txn[state]);
	}
}

/* --- runs ----------------------------------------------------------------------------- */

static void test_trace_tells_what_happened_whatever_the_work(void **state)
{
	static const char *const work[] = { "closed", "dispersive", "pingpong",
					    "forks",  "periodic",   "vcpus" };

	for (size_t i = 0; i < ARRAY_LEN(work); i++) {
		struct sim_options o = options(work[i], 1 + i, 4000000);
		json_t *list = run(&o, UINT64_MAX);

		check(list, o.cpus);
		assert_true(facts.nr_what[TRACE_RUN] > 50);
		assert_int_equal(facts.nr_waiting, 0);
		json_decref(list);
	}
}

static void test_trace_slices_say_who_ran_and_why_it_stopped(void **state)
{
	struct sim_options o = options("closed", 2, 2000000);
	json_t *list = run(&o, UINT64_MAX), *e;
	uint64_t blocked = 0, yielded = 0, members = 0, fair = 0;
	uint32_t agents = 0;
	size_t i;

	json_array_foreach(list, i, e)
	{
		const json_t *args = json_object_get(e, "args");
		const char *name = string(e, "name");
		uint32_t tid;
		char buf[64];

		if (!is(e, "X", 1))
			continue;
		tid = integer(args, "tid");
		blocked += !strcmp(string(args, "why"), "blocked");
		yielded += !strcmp(string(args, "why"), "yielded");
		assert_string_not_equal(string(args, "why"), "unknown");
		if (!strncmp(name, "agent/", 6)) {
			/* Where it decides, and while it decides. */
			if (!strcmp(string(args, "class"), "ext"))
				assert_int_equal(atoi(name + 6), integer(e, "tid"));
			assert_int_equal(integer(args, "enclave"), 1);
		} else if (strncmp(name, "agent", 5)) {
			snprintf(buf, sizeof(buf), "%s %u", tid % 2 ? "worker" : "client", tid);
			assert_string_equal(name, buf);
			members += integer(args, "enclave") == 1;
			thread_name(list, tid, buf);
			assert_string_equal(name, buf);
		}
		fair += !strcmp(string(args, "class"), "fair");
	}
	assert_true(blocked > 20 && yielded > 20 && members > 20 && fair > 0);
	/* One for each CPU, called after it. */
	for (uint32_t tid = 1; tid < THREADS_MAX; tid++) {
		char name[64];

		if (!facts.ran_ns[tid])
			continue;
		thread_name(list, tid, name);
		if (!strcmp(name, "agent/0"))
			agents |= 1;
		else if (!strcmp(name, "agent/1"))
			agents |= 2;
		else
			assert_int_not_equal(strncmp(name, "agent", 5), 0);
	}
	assert_int_equal(agents, 3);
	json_decref(list);
}

static void test_trace_of_a_run_with_faults_names_them(void **state)
{
	static struct fault_plan plan = { .interrupt_ppm = 300000 };
	struct sim_options o = options("dispersive", 4, 6000000);
	json_t *list;

	for (uint32_t kind = 0; kind < FAULT_NR; kind++) {
		/* What ends it all comes last. */
		uint64_t when = kind == FAULT_DESTROY ? 5500000 : 200000 + kind * 250000;

		if (kind == FAULT_HANG || kind == FAULT_CRASH || kind == FAULT_STOP)
			when += 4600000;
		plan.faults[plan.nr++] = (struct fault){
			.when_ns = when, .kind = kind, .what = kind * 7 + 1, .arg = 200
		};
	}
	for (uint32_t i = 1; i < plan.nr; i++)
		for (uint32_t k = i; k && plan.faults[k].when_ns < plan.faults[k - 1].when_ns;
		     k--) {
			struct fault f = plan.faults[k];

			plan.faults[k] = plan.faults[k - 1];
			plan.faults[k - 1] = f;
		}
	o.plan = &plan;
	o.window_ns = 2000;
	o.fair_every_ns = 300000;
	o.fair_for_ns = 30000;
	list = run(&o, UINT64_MAX);
	check(list, o.cpus);
	for (uint32_t kind = 0; kind <= FAULT_NR; kind++) {
		char name[64];

		snprintf(name, sizeof(name), "fault: %s",
			 kind == FAULT_NR ? "interrupt" : fault_name(kind));
		assert_int_equal(named(list, "i", name), facts.nr_fault[kind]);
		assert_true(facts.nr_fault[kind] > 0);
	}
	assert_true(named(list, "i", "offline") > 0);
	assert_int_equal(named(list, "i", "offline") + named(list, "i", "online"),
			 facts.nr_what[TRACE_CPU]);
	assert_int_equal(named(list, "i", "affinity") + named(list, "i", "nice"),
			 facts.nr_what[TRACE_CHANGE]);
	json_decref(list);
}

/* Whoever closes the file in the middle has slices that end there. */
static void test_trace_that_is_cut_off_anywhere_is_valid_and_complete(void **state)
{
	struct sim_options o = options("forks", 3, 1000000);
	struct random r;
	uint64_t all;
	json_t *list;

	list = run(&o, UINT64_MAX);
	json_decref(list);
	all = facts.nr;
	random_seed(&r, seed);
	for (int i = 0; i < 40; i++) {
		list = run(&o, i < 10 ? (uint64_t)i : random_below(&r, all));
		check(list, o.cpus);
		json_decref(list);
	}
}

static void test_trace_that_begins_late_still_has_the_names(void **state)
{
	struct sim_options o = options("closed", 2, 1000000);
	const char *why;
	struct sim *s;
	json_t *list;
	char name[64];

	memset(&facts, 0, sizeof(facts));
	facts.limit = UINT64_MAX;
	assert_int_equal(sim_new(&s, &o, &why), 0);
	assert_int_equal(trace_open(&facts.file, path, o.cpus), 0);
	assert_int_equal(sim_run(s), 0);
	assert_int_equal(trace_close(facts.file), 0);
	sim_free(s);
	list = parse();
	thread_name(list, 1, name);
	assert_string_equal(name, "worker 1");
	thread_name(list, 2, name);
	assert_string_equal(name, "client 2");
	json_decref(list);
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

static void test_trace_of_one_seed_is_one_file(void **state)
{
	struct sim_options o = options("dispersive", 2, 2000000);
	size_t n, m;
	char *a, *b;

	json_decref(run(&o, UINT64_MAX));
	a = slurp(&n);
	json_decref(run(&o, UINT64_MAX));
	b = slurp(&m);
	assert_int_equal(n, m);
	assert_memory_equal(a, b, n);
	free(a);
	free(b);
}

/* A track for each thread, though all of them have few numbers. */
static void test_trace_threads_that_share_a_number_have_tracks_of_their_own(void **state)
{
	struct sim_options o = options("forks", 2, 3000000);
	uint64_t named_children = 0, ran = 0, counted = 0;
	struct slice *s;
	json_t *list, *e;
	size_t i;

	o.reuse_tids = true;
	list = run(&o, UINT64_MAX);
	json_array_foreach(list, i, e)
	{
		if (is(e, "M", 2) && !strcmp(string(e, "name"), "thread_name"))
			named_children +=
				!strncmp(string(json_object_get(e, "args"), "name"), "child ", 6);
		if (is(e, "X", 2) && !strcmp(string(e, "name"), "runs"))
			ran += ns(e, "dur");
	}
	/* Parents and agents are the others: two of each. */
	assert_int_equal(named_children, facts.nr_what[TRACE_NEW] - 4);
	assert_true(named_children > 50 && !facts.ran_ns[50]);
	for (uint32_t tid = 0; tid < THREADS_MAX; tid++)
		counted += facts.ran_ns[tid];
	assert_true(ran == counted);
	slices(list, 2, &s);
	free(s);
	json_decref(list);
}

static void test_trace_leaves_the_run_as_it_is(void **state)
{
	static struct sim_report watched, alone;
	struct sim_options o = options("closed", 3, 2000000);
	struct trace_file *f;
	const char *why;
	struct sim *s;

	assert_int_equal(trace_open(&f, path, o.cpus), 0);
	o.trace = trace_write;
	o.trace_arg = f;
	assert_int_equal(sim_new(&s, &o, &why), 0);
	assert_int_equal(sim_run(s), 0);
	assert_int_equal(trace_close(f), 0);
	sim_report(s, &watched);
	sim_free(s);
	o.trace = NULL;
	assert_int_equal(sim_new(&s, &o, &why), 0);
	assert_int_equal(sim_run(s), 0);
	sim_report(s, &alone);
	sim_free(s);
	assert_true(watched.trace_hash == alone.trace_hash && alone.events > 100);
}

/* --- records made by hand ----------------------------------------------------------------- */

static struct action never(struct machine *m, struct thread *t)
{
	return (struct action){ .act = ACT_EXIT };
}

static struct machine *machine(void)
{
	struct machine_options mo = {
		.topology = "pu:2", .profile = profile_at(0), .capacity = 16, .seed = 1
	};
	struct machine *m;
	const char *why;

	assert_int_equal(machine_new(&m, &mo, &why), 0);
	return m;
}

static void write_one(struct trace_file *f, const struct machine *m, uint64_t time, uint32_t what,
		      uint32_t cpu, uint32_t tid, uint64_t arg)
{
	trace_write(f, m,
		    &(struct trace_record){
			    .time = time, .what = what, .cpu = cpu, .thread = tid, .arg = arg });
}

static void test_trace_of_nothing_is_valid(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 300 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct trace_file *f;
		uint64_t tracks = 0;
		json_t *list, *e;
		size_t k;

		assert_int_equal(trace_open(&f, path, sizes[i]), 0);
		assert_int_equal(trace_close(f), 0);
		list = parse();
		json_array_foreach(list, k, e)
		{
			assert_true(!is(e, "X", 1) && !is(e, "X", 2) && !is(e, "i", 1));
			tracks += !strcmp(string(e, "name"), "thread_name");
		}
		assert_int_equal(tracks, sizes[i]);
		json_decref(list);
	}
	assert_int_equal(trace_close(NULL), 0);
}

static void test_trace_times_keep_every_nanosecond(void **state)
{
	static const uint64_t times[] = { 0, 1, 999, 1000, 1001, 123456789, 86400000000001 };
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine();
	struct thread *t = thread_new(m, &b, NULL, 0);
	struct trace_file *f;
	char *text, want[64];
	size_t size;

	assert_int_equal(trace_open(&f, path, 2), 0);
	for (size_t i = 0; i + 1 < ARRAY_LEN(times); i++) {
		write_one(f, m, times[i], TRACE_RUN, 1, t->tid, CLASS_EXT);
		write_one(f, m, times[i + 1], TRACE_STOP, 1, t->tid, STOP_SLICE);
	}
	assert_int_equal(trace_close(f), 0);
	json_decref(parse());
	text = slurp(&size);
	for (size_t i = 0; i + 1 < ARRAY_LEN(times); i++) {
		uint64_t d = times[i + 1] - times[i];

		snprintf(want, sizeof(want), "\"ts\":%" PRIu64 ".%03u,\"dur\":%" PRIu64 ".%03u,",
			 times[i] / 1000, (unsigned int)(times[i] % 1000), d / 1000,
			 (unsigned int)(d % 1000));
		assert_non_null(strstr(text, want));
	}
	free(text);
	machine_free(m);
}

static void test_trace_names_with_any_bytes_are_valid(void **state)
{
	static const struct behaviour odd[] = {
		{ "a\"b\\c", never, NULL, NULL },
		{ "\n\t\x01\x1f\x7f", never, NULL, NULL },
		{ "\xff\xc3\xa9\xe2\x82", never, NULL, NULL },
		{ "", never, NULL, NULL },
		{ "a name that is longer than any name should be", never, NULL, NULL },
	};
	static const char *const want[] = {
		"a\"b\\c 1",
		"\n\t\x01\x1f\x7f 2",
		"\xc3\xbf\xc3\x83\xc2\xa9\xc3\xa2\xc2\x82 3",
		"thread 4",
		"a name that is longer t 5",
	};
	struct machine *m = machine();
	struct trace_file *f;
	json_t *list;
	char name[64];

	assert_int_equal(trace_open(&f, path, 2), 0);
	m->trace = trace_write;
	m->trace_arg = f;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		thread_new(m, &odd[i], NULL, 0);
	assert_int_equal(trace_close(f), 0);
	list = parse();
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		thread_name(list, i + 1, name);
		assert_string_equal(name, want[i]);
	}
	json_decref(list);
	m->trace = NULL;
	machine_free(m);
}

/* Ends without beginnings, beginnings without ends, CPUs and numbers that are none. */
static void test_trace_records_that_make_no_sense_do_no_harm(void **state)
{
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine();
	struct thread *t = thread_new(m, &b, NULL, 0);
	struct random r;

	random_seed(&r, seed + 1);
	for (int round = 0; round < 50; round++) {
		struct trace_file *f;
		uint64_t time = 0;
		struct slice *s;
		json_t *list;

		assert_int_equal(trace_open(&f, path, 2), 0);
		for (int i = 0; i < 200; i++) {
			time += random_below(&r, 3) * 500;
			write_one(f, m, time, random_below(&r, TRACE_NR + 2), random_below(&r, 4),
				  random_below(&r, 3) * t->tid,
				  random_chance(&r, 900000) ? random_below(&r, 20) :
							      random_next(&r));
		}
		assert_int_equal(trace_close(f), 0);
		list = parse();
		slices(list, 1, &s);
		free(s);
		slices(list, 2, &s);
		free(s);
		json_decref(list);
	}
	machine_free(m);
}

static void test_trace_states_of_enclaves_have_names(void **state)
{
	struct machine *m = machine();
	struct trace_file *f;
	json_t *list;

	assert_int_equal(trace_open(&f, path, 2), 0);
	write_one(f, m, 5, TRACE_ENCLAVE, 0, 0, 3ull << 32 | GHOST_ENCLAVE_ONLINE);
	assert_int_equal(trace_close(f), 0);
	list = parse();
	assert_int_equal(named(list, "i", "enclave 3: online"), 1);
	json_decref(list);
	machine_free(m);
}

/* --- files ---------------------------------------------------------------------------------- */

static void test_trace_onto_a_full_disk_fails(void **state)
{
	static const struct behaviour b = { "x", never, NULL, NULL };
	struct machine *m = machine();
	struct thread *t = thread_new(m, &b, NULL, 0);
	struct trace_file *f;

	if (access("/dev/full", W_OK)) {
		printf("# there is no /dev/full\n");
		machine_free(m);
		skip();
	}
	/* At the end, and long before. */
	assert_int_equal(trace_open(&f, "/dev/full", 2), 0);
	assert_int_equal(trace_close(f), -ENOSPC);
	assert_int_equal(trace_open(&f, "/dev/full", 2), 0);
	for (int i = 0; i < 100000; i++)
		write_one(f, m, i, TRACE_WAKE, 0, t->tid, 0);
	assert_int_equal(trace_close(f), -ENOSPC);
	machine_free(m);
}

static void test_trace_into_no_folder_is_refused(void **state)
{
	struct trace_file *f = NULL;

	assert_int_equal(trace_open(&f, "/nowhere/at/all", 1), -ENOENT);
	assert_int_equal(trace_open(&f, "/tmp", 1), -EISDIR);
	assert_null(f);
}

static void test_trace_text_is_cut_between_characters(void **state)
{
	char buf[32];

	for (size_t size = 1; size < sizeof(buf); size++) {
		json_t *s;
		char quoted[40];

		memset(buf, '#', sizeof(buf));
		trace_escape(buf, size, "a\"\x01\\\xff z");
		assert_true(strlen(buf) < size);
		snprintf(quoted, sizeof(quoted), "[\"%s\"]", buf);
		s = json_loads(quoted, 0, NULL);
		assert_non_null(s);
		json_decref(s);
	}
	assert_string_equal(buf, "a\\\"\\u0001\\\\\\u00ff z");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace_tells_what_happened_whatever_the_work),
		cmocka_unit_test(test_trace_slices_say_who_ran_and_why_it_stopped),
		cmocka_unit_test(test_trace_of_a_run_with_faults_names_them),
		cmocka_unit_test(test_trace_that_is_cut_off_anywhere_is_valid_and_complete),
		cmocka_unit_test(test_trace_that_begins_late_still_has_the_names),
		cmocka_unit_test(test_trace_of_one_seed_is_one_file),
		cmocka_unit_test(test_trace_threads_that_share_a_number_have_tracks_of_their_own),
		cmocka_unit_test(test_trace_leaves_the_run_as_it_is),
		cmocka_unit_test(test_trace_of_nothing_is_valid),
		cmocka_unit_test(test_trace_times_keep_every_nanosecond),
		cmocka_unit_test(test_trace_names_with_any_bytes_are_valid),
		cmocka_unit_test(test_trace_records_that_make_no_sense_do_no_harm),
		cmocka_unit_test(test_trace_states_of_enclaves_have_names),
		cmocka_unit_test(test_trace_onto_a_full_disk_fails),
		cmocka_unit_test(test_trace_into_no_folder_is_refused),
		cmocka_unit_test(test_trace_text_is_cut_between_characters),
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
