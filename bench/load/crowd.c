// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many processes that give their CPU away at once, all the time: each turn takes a
 * decision. How many turns are there in a second?
 * In: how many, how long. Out: one JSON line. Called by: bench/fig5, people.
 */
#include <argp.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/option.h"

#define TASKS_MAX 4096

struct options {
	unsigned long tasks;
	unsigned long duration_ms;
	unsigned long warmup_ms;
};

/* One cache line each, written by its task. */
struct task {
	_Alignas(64) uint64_t nr_turns;
	pid_t pid;
};

static const struct argp_option argp_options[] = {
	{ "tasks", 'n', "N", 0, "processes (10)", 0 },
	{ "duration-ms", 'd', "MS", 0, "measure for MS milliseconds (500)", 0 },
	{ "warmup-ms", 'w', "MS", 0, "before that, do not (100)", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *opt = state->input;

	switch (key) {
	case 'n':
		opt->tasks = option_number(state, "--tasks", arg, 1, TASKS_MAX);
		return 0;
	case 'd':
		opt->duration_ms = option_number(state, "--duration-ms", arg, 1, 3600000);
		return 0;
	case 'w':
		opt->warmup_ms = option_number(state, "--warmup-ms", arg, 0, 3600000);
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

static uint64_t turns(const struct task *task, unsigned long nr)
{
	uint64_t sum = 0;

	for (unsigned long i = 0; i < nr; i++)
		sum += __atomic_load_n(&task[i].nr_turns, __ATOMIC_RELAXED);
	return sum;
}

static void start(struct task *t)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0) {
		fprintf(stderr, "crowd: fork: %s\n", strerror(errno));
		exit(1);
	}
	if (pid) {
		t->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (;;) {
		__atomic_store_n(&t->nr_turns, t->nr_turns + 1, __ATOMIC_RELAXED);
		sched_yield();
	}
}

int main(int argc, char **argv)
{
	struct options opt = { .tasks = 10, .duration_ms = 500, .warmup_ms = 100 };
	const struct argp argp = {
		argp_options, parse_option,
		NULL,	      "Processes that yield all the time; prints turns per second.",
		NULL,	      NULL,
		NULL
	};
	uint64_t before, after, t0, t1;
	struct task *task;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &opt);
	task = mmap(NULL, opt.tasks * sizeof(*task), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (task == MAP_FAILED) {
		fprintf(stderr, "crowd: mmap: %s\n", strerror(errno));
		return 1;
	}
	for (unsigned long i = 0; i < opt.tasks; i++)
		start(&task[i]);
	usleep(opt.warmup_ms * 1000);
	t0 = now_ns();
	before = turns(task, opt.tasks);
	usleep(opt.duration_ms * 1000);
	after = turns(task, opt.tasks);
	t1 = now_ns();
	for (unsigned long i = 0; i < opt.tasks; i++)
		kill(task[i].pid, SIGKILL);
	for (unsigned long i = 0; i < opt.tasks; i++)
		waitpid(task[i].pid, NULL, 0);
	printf("{\"load\": \"crowd\", \"tasks\": %lu, \"turns\": %llu, \"ns\": %llu, "
	       "\"per_second\": %.1f}\n",
	       opt.tasks, (unsigned long long)(after - before), (unsigned long long)(t1 - t0),
	       (after - before) * 1e9 / (t1 - t0));
	return after > before ? 0 : 1;
}
