// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many threads that sleep most of the time, each woken by its own clock: what a
 * service with many connections looks like to a scheduler.
 * In: how many, how often. Out: "ready" when all are there; if asked, how late they wake
 * up, now and then; runs until it is killed.
 * Called by bench/faults, people.
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/option.h"
#include "sim/histogram.h"

#define TASKS_MAX 100000
#define STACK (64 * 1024)

struct options {
	unsigned long tasks;
	unsigned long period_ms;
	unsigned long report_s;
};

static struct options opt = { .tasks = 1000, .period_ms = 500 };

/* How late they were since the last report. */
static struct hist late;
static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct argp_option argp_options[] = {
	{ "tasks", 'n', "N", 0, "threads (1000)", 0 },
	{ "period-ms", 'p', "MS", 0, "each wakes up every MS milliseconds (500)", 0 },
	{ "report", 'r', "S", 0, "every S seconds, print how late they woke up: a line of JSON",
	  0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'n':
		opt.tasks = option_number(state, "--tasks", arg, 1, TASKS_MAX);
		return 0;
	case 'p':
		opt.period_ms = option_number(state, "--period-ms", arg, 1, 3600000);
		return 0;
	case 'r':
		opt.report_s = option_number(state, "--report", arg, 1, 3600);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument is expected, got '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* An emulator's plugin sees who passes here, and which CPU it is on; see bench/cycles.c. */
static __attribute__((noinline)) void mark_asleep(void)
{
	__asm__ volatile("# asleep");
}

static __attribute__((noinline)) void mark_awake(void)
{
	__asm__ volatile("# awake");
}

static __attribute__((noinline)) void mark_report(void)
{
	__asm__ volatile("# report");
}

static void report(void)
{
	static unsigned int nr;
	static struct hist h;

	mark_report();
	pthread_mutex_lock(&late_lock);
	h = late;
	memset(&late, 0, sizeof(late));
	pthread_mutex_unlock(&late_lock);
	printf("{\"report\": %u, \"wakeups\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu, \"max_ns\": %llu}\n",
	       ++nr, (unsigned long long)hist_count(&h),
	       (unsigned long long)hist_quantile(&h, 500000),
	       (unsigned long long)hist_quantile(&h, 990000), (unsigned long long)hist_max(&h));
	fflush(stdout);
}

static void *doze(void *arg)
{
	uint64_t period = opt.period_ms * 1000000, next, now;
	struct timespec t;

	/* Spread over the period: not all at once. */
	next = now_ns() + period * (uintptr_t)arg / opt.tasks;
	for (;;) {
		t = (struct timespec){ .tv_sec = next / 1000000000, .tv_nsec = next % 1000000000 };
		mark_asleep();
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		mark_awake();
		now = now_ns();
		if (opt.report_s) {
			pthread_mutex_lock(&late_lock);
			hist_add(&late, now > next ? now - next : 0);
			pthread_mutex_unlock(&late_lock);
		}
		for (volatile int i = 0; i < 1000; i++)
			;
		next += period;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct argp argp = {
		argp_options,
		parse_option,
		NULL,
		"Threads that wake up now and then. Prints \"ready\" and runs until killed.",
		NULL,
		NULL,
		NULL
	};
	pthread_attr_t attr;
	pthread_t thread;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (uintptr_t i = 0; i < opt.tasks; i++) {
		int err = pthread_create(&thread, &attr, doze, (void *)i);

		if (err) {
			fprintf(stderr, "sleepers: thread %lu: %s\n", (unsigned long)i + 1,
				strerror(err));
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (!opt.report_s)
			pause();
		sleep(opt.report_s);
		report();
	}
}
