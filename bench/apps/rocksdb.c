// SPDX-License-Identifier: GPL-2.0-only
/*
 * A RocksDB service under an open load: the workload of the paper's Figure 6.
 * In: options. Out: latencies as a table, or one JSON line.
 * Called by tests/vm/test_bench_apps.sh, people; under `ghost run` its threads are members.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/apps/cpus.h"
#include "bench/apps/generator.h"
#include "bench/apps/hogs.h"
#include "bench/apps/mix.h"
#include "bench/apps/result.h"
#include "bench/apps/store.h"
#include "bench/apps/worker.h"
#include "bench/load/class.h"
#include "bench/load/option.h"

#define NSEC_PER_SEC 1e9

struct options {
	struct pool_options pool;
	struct generator_options generator;
	struct class class, batch_class;
	struct mix mix;
	const char *mix_text;
	uint32_t nr_batch;
	double late_ms; /* below 0: not given */
	struct ghost_cpuset cpus;
	bool json;
};

enum {
	KEY_RATE = 0x100,
	KEY_SECONDS,
	KEY_WARMUP,
	KEY_MIX,
	KEY_SCALE,
	KEY_SEED,
	KEY_WORKERS,
	KEY_CPUS,
	KEY_POLICY,
	KEY_NICE,
	KEY_SLICE,
	KEY_BATCH,
	KEY_BATCH_NICE,
	KEY_KEYS,
	KEY_RANGE_KEYS,
	KEY_GENERATOR_CPU,
	KEY_SPIN,
	KEY_LATE,
	KEY_QUEUE,
	KEY_LIMIT,
	KEY_JSON,
};

static const struct argp_option argp_options[] = {
	{ .doc = "The load:", .group = 1 },
	{ "rate", KEY_RATE, "N", 0, "requests per second on average (1000)", 1 },
	{ "mix", KEY_MIX, "MIX", 0, "what they ask for, see below (99.5%get:4us+0.5%get:10ms)", 1 },
	{ "scale", KEY_SCALE, "X", 0, "multiply all service times, for slow emulators (1)", 1 },
	{ "seconds", KEY_SECONDS, "S", 0, "measure for S seconds (10)", 1 },
	{ "warmup", KEY_WARMUP, "S", 0, "before that, do not (1)", 1 },
	{ "seed", KEY_SEED, "N", 0, "the same seed is the same requests at the same times (1)", 1 },
	{ "keys", KEY_KEYS, "N", 0, "keys in the database (100000)", 1 },
	{ "range-keys", KEY_RANGE_KEYS, "N", 0, "keys that a range reads (100)", 1 },
	{ .doc = "The service:", .group = 2 },
	{ "workers", KEY_WORKERS, "N", 0, "threads that serve (200)", 2 },
	{ "cpus", KEY_CPUS, "LIST", 0, "CPUs to run on, such as 0-3,6 (as inherited)", 2 },
	{ "policy", KEY_POLICY, "NAME", 0, "their class: other, ext or inherit (inherit)", 2 },
	{ "nice", KEY_NICE, "N", 0, "nice value of the workers, -20 to 19 (as inherited)", 2 },
	{ "slice", KEY_SLICE, "NS", 0, "their slice in the fair class, 100000 to 100000000", 2 },
	{ "batch", KEY_BATCH, "N", 0, "threads of a batch application beside them (0)", 2 },
	{ "batch-nice", KEY_BATCH_NICE, "N", 0, "their nice value (19)", 2 },
	{ .doc = "The load generator:", .group = 3 },
	{ "generator-cpu", KEY_GENERATOR_CPU, "CPU", 0, "the CPU that it runs on (any)", 3 },
	{ "spin", KEY_SPIN, NULL, 0, "it never sleeps; takes a CPU of its own", 3 },
	{ "queue", KEY_QUEUE, "N", 0, "drop requests when N wait for a worker (100000)", 3 },
	{ "late", KEY_LATE, "MS", 0, "its p99 above which it was too late (1, times --scale)", 3 },
	{ "limit", KEY_LIMIT, "S", 0, "in the end, wait S seconds for requests (10)", 3 },
	{ .doc = "The result:", .group = 4 },
	{ "json", KEY_JSON, NULL, 0, "one line of JSON instead of a table", 4 },
	{ 0 },
};

static void parse_mix(struct argp_state *state, struct options *opt, const char *text)
{
	const char *why;
	size_t at;

	if (mix_parse(&opt->mix, text, &at, &why))
		argp_error(state, "--mix '%s', character %zu: %s", text, at, why);
	opt->mix_text = text;
}

static error_t parse_service(int key, const char *arg, struct argp_state *state,
			     struct options *opt)
{
	switch (key) {
	case KEY_WORKERS:
		opt->pool.nr = option_number(state, "--workers", arg, 1, 10000);
		return 0;
	case KEY_CPUS:
		cpus_parse(state, arg, &opt->cpus);
		return 0;
	case KEY_POLICY:
		opt->class.policy = class_parse(state, arg);
		opt->batch_class.policy = opt->class.policy;
		return 0;
	case KEY_NICE:
		opt->class.has_nice = true;
		opt->class.nice = option_nice(state, "--nice", arg);
		return 0;
	case KEY_SLICE:
		opt->class.slice_ns =
			option_number(state, "--slice", arg, CLASS_SLICE_MIN, CLASS_SLICE_MAX);
		return 0;
	case KEY_BATCH:
		opt->nr_batch = option_number(state, "--batch", arg, 0, 10000);
		return 0;
	case KEY_BATCH_NICE:
		opt->batch_class.nice = option_nice(state, "--batch-nice", arg);
		return 0;
	case KEY_JSON:
		opt->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument is expected, got '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *opt = state->input;
	struct generator_options *g = &opt->generator;

	switch (key) {
	case KEY_RATE:
		g->rate = option_real(state, "--rate", arg, 0.001, 1e7);
		return 0;
	case KEY_SECONDS:
		g->measure_ns = option_real(state, "--seconds", arg, 0.001, 1e6) * NSEC_PER_SEC;
		return 0;
	case KEY_WARMUP:
		g->warmup_ns = option_real(state, "--warmup", arg, 0, 1e6) * NSEC_PER_SEC;
		return 0;
	case KEY_LIMIT:
		g->limit_ns = option_real(state, "--limit", arg, 0, 1e6) * NSEC_PER_SEC;
		return 0;
	case KEY_MIX:
		parse_mix(state, opt, arg);
		return 0;
	case KEY_SCALE:
		g->scale = option_real(state, "--scale", arg, 0.001, 1e6);
		return 0;
	case KEY_SEED:
		g->seed = option_number(state, "--seed", arg, 0, UINT64_MAX);
		return 0;
	case KEY_KEYS:
		g->nr_keys = option_number(state, "--keys", arg, 1, STORE_KEYS_MAX);
		return 0;
	case KEY_RANGE_KEYS:
		opt->pool.range_keys = option_number(state, "--range-keys", arg, 1, 1000000);
		return 0;
	case KEY_GENERATOR_CPU:
		g->cpu = option_number(state, "--generator-cpu", arg, 0, CPU_SETSIZE - 1);
		return 0;
	case KEY_SPIN:
		g->spin = true;
		return 0;
	case KEY_QUEUE:
		g->queue = option_number(state, "--queue", arg, 1, 100000000);
		return 0;
	case KEY_LATE:
		opt->late_ms = option_real(state, "--late", arg, 0, 1e6);
		return 0;
	default:
		return parse_service(key, arg, state, opt);
	}
}

static const char doc[] =
	"Serves requests from a RocksDB database in memory; prints their latencies.\v"
	"MIX is parts with a + between, SHARE%KIND:SERVICE. Shares add up to 100 %. KIND is get (one "
	"key) or range (--range-keys in a row). SERVICE is the CPU time that a request takes, the "
	"query included: 4us, exp:10us, uniform:1us-5us or pareto:1us,1.5,1ms.\n\n"
	"Requests arrive as a Poisson process, whatever became of those before, and latency counts "
	"from when one was to arrive. A load that is not kept up is reported as such, with the "
	"reasons.\n\n"
	"SIGINT and SIGTERM end it with what was measured. Exit: 0 measured, kept up or not; "
	"1 failed; 2 wrong options.";

/* --- running ---------------------------------------------------------------------- */

struct run {
	struct generator generator;
	struct pool pool;
	struct hogs batch;
	struct result result;
	pthread_t main;
	bool done; /* by the generator's thread */
	/* The first look at the batch application: 0: not yet */
	uint64_t batch_at, batch_cpu_ns;
};

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "rocksdb: %s: %s\n", what, strerror(error));
	_exit(1);
}

static void *generate(void *arg)
{
	struct run *run = arg;

	generator_run(&run->generator);
	__atomic_store_n(&run->done, true, __ATOMIC_RELEASE);
	/* Main is waiting for a signal. */
	pthread_kill(run->main, SIGUSR2);
	return NULL;
}

static void show_progress(const struct run *run)
{
	const struct generator *g = &run->generator;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\rrocksdb: %3.0f of %.0f s, %" PRIu64 " requests, %u wait, %u served ",
		(now_ns() - g->start_ns) / NSEC_PER_SEC,
		(g->opt.warmup_ns + g->opt.measure_ns) / NSEC_PER_SEC,
		__atomic_load_n(&g->nr_made, __ATOMIC_RELAXED),
		__atomic_load_n(&g->nr_waiting, __ATOMIC_RELAXED), pool_busy(&run->pool));
}

static void hide_progress(void)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%70s\r", "");
}

/*
 * The share of the batch application is that of the measured time: a look when
 * that begins, one when it ends. Returns when to look next, or in a second.
 */
static uint64_t look_at_batch(struct run *run)
{
	struct result *r = &run->result;
	uint64_t now = now_ns(), begin = run->pool.begin_ns;
	uint64_t end = __atomic_load_n(&run->pool.end_ns, __ATOMIC_RELAXED);
	uint64_t next = now + (uint64_t)NSEC_PER_SEC;

	if (!run->batch_at && now >= begin) {
		run->batch_cpu_ns = hogs_time(&run->batch).all;
		run->batch_at = now;
	} else if (run->batch_at && !r->batch_ns && now >= end) {
		r->batch_cpu_ns = hogs_time(&run->batch).all - run->batch_cpu_ns;
		r->batch_ns = now - run->batch_at;
	}
	if (now < begin && begin < next)
		return begin;
	return now < end && end < next ? end : next;
}

/* Until all is done. The signals in @set are blocked in all threads. */
static void watch(struct run *run, const sigset_t *set)
{
	bool stopped = false;

	while (!__atomic_load_n(&run->done, __ATOMIC_ACQUIRE)) {
		uint64_t next = look_at_batch(run), now = now_ns();
		uint64_t ns = next > now ? next - now : 0;
		struct timespec timeout = { ns / 1000000000, ns % 1000000000 };
		int signal;

		show_progress(run);
		signal = sigtimedwait(set, NULL, &timeout);
		if (signal != SIGINT && signal != SIGTERM)
			continue;
		/* Once more: somebody does not want to wait for what is being served. */
		if (stopped)
			_exit(128 + signal);
		stopped = true;
		generator_stop(&run->generator);
	}
	look_at_batch(run);
	hide_progress();
}

static void start(struct run *run, const struct options *opt, const sigset_t *set)
{
	pthread_t thread;
	int err;

	pthread_sigmask(SIG_BLOCK, set, NULL);
	run->main = pthread_self();
	pool_start(&run->pool, &opt->pool);
	hogs_start(&run->batch, opt->nr_batch, &opt->batch_class);
	generator_init(&run->generator, &run->pool, &opt->generator);
	err = pthread_create(&thread, NULL, generate, run);
	if (!err)
		err = pthread_detach(thread);
	if (err)
		die("cannot start the load generator", err);
}

static void print(struct run *run, const struct options *opt, unsigned int nr_cpus)
{
	struct result *r = &run->result;

	r->generator = &run->generator;
	r->pool = &run->pool;
	r->mix_text = opt->mix_text;
	r->late_max_ns = (opt->late_ms < 0 ? opt->generator.scale : opt->late_ms) * 1e6;
	r->nr_batch = opt->nr_batch;
	r->batch_nice = opt->batch_class.nice;
	r->nr_cpus = nr_cpus;
	result_find(r);
	if (opt->json)
		result_print_json(r);
	else
		result_print_table(r);
	if (fflush(stdout) || ferror(stdout))
		die("cannot write the result", errno);
}

int main(int argc, char **argv)
{
	static struct run run;
	static struct options opt = {
		.pool = { .nr = 200, .range_keys = 100 },
		.generator = { .rate = 1000,
			       .scale = 1,
			       .seed = 1,
			       .warmup_ns = 1000000000,
			       .measure_ns = 10000000000,
			       .limit_ns = 10000000000,
			       .queue = 100000,
			       .nr_keys = 100000,
			       .cpu = -1 },
		.class = { .policy = CLASS_INHERIT },
		.batch_class = { .policy = CLASS_INHERIT, .has_nice = true, .nice = 19 },
		.late_ms = -1,
		.mix_text = "99.5%get:4us+0.5%get:10ms",
	};
	const struct argp argp = { argp_options, parse_option, NULL, doc, NULL, NULL, NULL };
	struct store *store;
	unsigned int nr_cpus;
	const char *why;
	sigset_t set;
	size_t at;

	argp_err_exit_status = 2;
	mix_parse(&opt.mix, opt.mix_text, &at, &why);
	argp_parse(&argp, argc, argv, 0, NULL, &opt);
	nr_cpus = cpus_enter(&opt.cpus);
	store = store_open(opt.generator.nr_keys);
	opt.pool.mix = opt.generator.mix = &opt.mix;
	opt.pool.class = &opt.class;
	opt.pool.store = store;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR2);
	start(&run, &opt, &set);
	watch(&run, &set);
	print(&run, &opt, nr_cpus);
	/* Who still serves, serves from the database: it must not go before them. */
	if (run.generator.nr_waiting || pool_busy(&run.pool))
		_exit(0);
	pool_stop(&run.pool);
	generator_fini(&run.generator);
	store_close(store);
	return 0;
}
