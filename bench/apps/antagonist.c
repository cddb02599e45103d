// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that take what CPU time they get, and how much that was.
 * In: options. Out: a table, or one JSON line.
 * Called by tests/vm/test_bench_apps.sh, people.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/apps/cpus.h"
#include "bench/apps/hogs.h"
#include "bench/load/class.h"
#include "bench/load/option.h"

struct options {
	unsigned long threads; /* 0: one per CPU */
	double seconds;
	struct class class;
	struct ghost_cpuset cpus;
	bool per_second;
	bool json;
};

enum {
	KEY_THREADS = 0x100,
	KEY_SECONDS,
	KEY_POLICY,
	KEY_NICE,
	KEY_SLICE,
	KEY_CPUS,
	KEY_PER_SECOND,
	KEY_JSON,
};

static const struct argp_option argp_options[] = {
	{ "threads", KEY_THREADS, "N", 0, "threads (one per CPU)", 0 },
	{ "seconds", KEY_SECONDS, "S", 0, "end after S seconds (10)", 0 },
	{ "cpus", KEY_CPUS, "LIST", 0, "CPUs to run on, such as 0-3,6 (as inherited)", 0 },
	{ "policy", KEY_POLICY, "NAME", 0, "other, ext or inherit (inherit)", 0 },
	{ "nice", KEY_NICE, "N", 0, "nice value, -20 to 19 (as inherited)", 0 },
	{ "slice", KEY_SLICE, "NS", 0, "slice in the fair class, 100000 to 100000000", 0 },
	{ "per-second", KEY_PER_SECOND, NULL, 0, "the share in each second, too", 0 },
	{ "json", KEY_JSON, NULL, 0, "one line of JSON", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *opt = state->input;

	switch (key) {
	case KEY_THREADS:
		opt->threads = option_number(state, "--threads", arg, 1, 10000);
		return 0;
	case KEY_SECONDS:
		opt->seconds = option_real(state, "--seconds", arg, 0.01, 86400);
		return 0;
	case KEY_POLICY:
		opt->class.policy = class_parse(state, arg);
		return 0;
	case KEY_NICE:
		opt->class.has_nice = true;
		opt->class.nice = option_nice(state, "--nice", arg);
		return 0;
	case KEY_SLICE:
		opt->class.slice_ns =
			option_number(state, "--slice", arg, CLASS_SLICE_MIN, CLASS_SLICE_MAX);
		return 0;
	case KEY_CPUS:
		cpus_parse(state, arg, &opt->cpus);
		return 0;
	case KEY_PER_SECOND:
		opt->per_second = true;
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

static const char doc[] =
	"Computes on all CPUs it is given, and prints which part of them it got.\v"
	"A share is CPU time over the time that passed, over the number of CPUs: 1 is all of them.\n\n"
	"SIGINT and SIGTERM end it with what was measured. Exit: 0 measured; 1 failed; 2 wrong options.";

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

struct result {
	unsigned int nr_cpus;
	struct hogs hogs;
	uint64_t ns;
	struct hogs_time time;
	bool interrupted;
	uint32_t nr_seconds;
	double *second; /* the share in each */
};

static const char *class_of(const struct result *r)
{
	return __atomic_load_n(&r->hogs.class_name, __ATOMIC_ACQUIRE);
}

static double share(const struct result *r, uint64_t cpu_ns, uint64_t ns)
{
	return ns ? (double)cpu_ns / ns / r->nr_cpus : 0;
}

/* Sleep until then; false: a signal came first. */
static bool sleep_until(uint64_t until, const sigset_t *set)
{
	for (;;) {
		uint64_t now = now_ns(), ns = until > now ? until - now : 0;
		struct timespec timeout = { ns / 1000000000, ns % 1000000000 };

		if (!ns)
			return true;
		if (sigtimedwait(set, NULL, &timeout) > 0)
			return false;
	}
}

static void show_progress(const struct options *opt, const struct result *r)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rantagonist: %3.0f of %g s, share %.3f ", r->ns / 1e9,
			opt->seconds, share(r, r->time.all, r->ns));
}

static void hide_progress(void)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%50s\r", "");
}

static void measure(const struct options *opt, struct result *r)
{
	uint64_t start = now_ns(), end = start + opt->seconds * 1e9, next = start;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	hogs_start(&r->hogs, opt->threads, &opt->class);
	while (next < end && !r->interrupted) {
		uint64_t cpu_ns = r->time.all, ns = r->ns;

		next = next + 1000000000 < end ? next + 1000000000 : end;
		r->interrupted = !sleep_until(next, &set);
		r->ns = now_ns() - start;
		r->time = hogs_time(&r->hogs);
		r->second[r->nr_seconds++] = share(r, r->time.all - cpu_ns, r->ns - ns);
		show_progress(opt, r);
	}
	hide_progress();
}

static void print_json(const struct options *opt, const struct result *r)
{
	char ops[128];

	class_ops(ops, sizeof(ops));
	printf("{\"app\": \"antagonist\", \"threads\": %lu, \"cpus\": %u, \"policy\": \"%s\", "
	       "\"ops\": \"%s\", ",
	       opt->threads, r->nr_cpus, class_of(r), ops);
	if (opt->class.has_nice)
		printf("\"nice\": %d, ", opt->class.nice);
	printf("\"seconds\": %.6f, \"cpu_s\": %.6f, \"share\": %.6f, ", r->ns / 1e9,
	       r->time.all / 1e9, share(r, r->time.all, r->ns));
	printf("\"thread_cpu_s\": {\"min\": %.6f, \"max\": %.6f}, ", r->time.min / 1e9,
	       r->time.max / 1e9);
	if (opt->per_second) {
		printf("\"per_second\": [");
		for (uint32_t i = 0; i < r->nr_seconds; i++)
			printf("%s%.6f", i ? ", " : "", r->second[i]);
		printf("], ");
	}
	printf("\"interrupted\": %s}\n", r->interrupted ? "true" : "false");
}

static void print_table(const struct options *opt, const struct result *r)
{
	printf("antagonist: %lu threads on %u CPUs, policy %s, for %.3f s%s\n", opt->threads,
	       r->nr_cpus, class_of(r), r->ns / 1e9, r->interrupted ? ", then interrupted" : "");
	printf("share %.3f: %.3f s of CPU time, by thread from %.3f to %.3f\n",
	       share(r, r->time.all, r->ns), r->time.all / 1e9, r->time.min / 1e9,
	       r->time.max / 1e9);
	for (uint32_t i = 0; opt->per_second && i < r->nr_seconds; i++)
		printf("  second %3u: %.3f\n", i + 1, r->second[i]);
}

int main(int argc, char **argv)
{
	struct options opt = { .seconds = 10, .class = { .policy = CLASS_INHERIT } };
	const struct argp argp = { argp_options, parse_option, NULL, doc, NULL, NULL, NULL };
	struct result r = { 0 };

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &opt);
	r.nr_cpus = cpus_enter(&opt.cpus);
	if (!opt.threads)
		opt.threads = r.nr_cpus;
	r.second = calloc((size_t)opt.seconds + 2, sizeof(*r.second));
	if (!r.second) {
		fprintf(stderr, "antagonist: no memory\n");
		return 1;
	}
	measure(&opt, &r);
	if (opt.json)
		print_json(&opt, &r);
	else
		print_table(&opt, &r);
	free(r.second);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "antagonist: cannot write the result: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
