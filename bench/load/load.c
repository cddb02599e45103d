// SPDX-License-Identifier: GPL-2.0-only
/*
 * The measuring half of the load programs: two pinned tasks, warm-up, clock, counts.
 * In: options (--help). Out: one JSON line on stdout; exit 1 if the count is wrong.
 * Called by: pingpong.c and yield.c; those are run by bench/micro and by people.
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/class.h"
#include "bench/load/load.h"
#include "bench/load/option.h"

#define NSEC_PER_SEC 1000000000ull
/* Often enough to end in time, seldom enough to cost nothing. */
#define CLOCK_ROUNDS 64

struct options {
	unsigned int cpu[2];
	bool threads;
	struct class class;
	uint64_t warmup;
	uint64_t iterations; /* 0: by time */
	uint64_t duration_ns;
	unsigned int settle_ms;
	unsigned int limit_s;
};

struct side {
	const struct load *load;
	struct load_pair *pair;
	const struct options *opt;
};

static const struct argp_option argp_options[] = {
	{ "cpus", 'c', "A[,B]", 0, "CPUs of the two tasks (0,0)", 0 },
	{ "threads", 't', NULL, 0, "two threads of one process, not two processes", 0 },
	{ "policy", 'p', "NAME", 0, "other, ext or inherit (inherit)", 0 },
	{ "iterations", 'n', "N", 0, "measure N round trips, not a time", 0 },
	{ "duration-ms", 'd', "MS", 0, "measure for MS milliseconds (400)", 0 },
	{ "warmup", 'w', "N", 0, "discard the first N round trips (1000)", 0 },
	{ "settle-ms", 's', "MS", 0, "sleep before the warm-up (0)", 0 },
	{ "limit", 'l', "SEC", 0, "give up after SEC seconds (120)", 0 },
	{ 0 },
};

static void parse_cpus(struct argp_state *state, struct options *opt, char *text)
{
	char *second = strchr(text, ',');

	if (second)
		*second++ = '\0';
	opt->cpu[0] = option_number(state, "--cpus", text, 0, CPU_SETSIZE - 1);
	opt->cpu[1] = opt->cpu[0];
	if (second)
		opt->cpu[1] = option_number(state, "--cpus", second, 0, CPU_SETSIZE - 1);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *opt = state->input;

	switch (key) {
	case 'c':
		parse_cpus(state, opt, arg);
		return 0;
	case 't':
		opt->threads = true;
		return 0;
	case 'p':
		opt->class.policy = class_parse(state, arg);
		return 0;
	case 'n':
		opt->iterations = option_number(state, "--iterations", arg, 1, 1000000000);
		return 0;
	case 'd':
		opt->duration_ns =
			option_number(state, "--duration-ms", arg, 0, 3600000) * 1000000ull;
		return 0;
	case 'w':
		opt->warmup = option_number(state, "--warmup", arg, 0, 1000000000);
		return 0;
	case 's':
		opt->settle_ms = option_number(state, "--settle-ms", arg, 0, 3600000);
		return 0;
	case 'l':
		opt->limit_s = option_number(state, "--limit", arg, 0, 86400);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument is expected, got '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static void out_of_time(int signal)
{
	static const char text[] = "the turn was not passed on in time (--limit)\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(124);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

/* Of the calling thread, voluntary and not. */
static uint64_t own_switches(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage))
		die("getrusage");
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

static void pin_to(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		fprintf(stderr, "%s: cannot run on CPU %u: %s\n", program_invocation_short_name,
			cpu, strerror(errno));
		exit(1);
	}
}

static void wait_turn(const struct side *side, uint32_t me)
{
	struct load_pair *pair = side->pair;

	while (__atomic_load_n(&pair->turn, __ATOMIC_ACQUIRE) != me) {
		pair->nr_waits[me]++;
		side->load->wait(pair, me);
	}
}

static void pass_turn(const struct side *side, uint32_t to)
{
	struct load_pair *pair = side->pair;

	pair->nr_handovers++;
	__atomic_store_n(&pair->turn, to, __ATOMIC_RELEASE);
	side->load->pass(pair, to);
}

static void round_trip(const struct side *side)
{
	pass_turn(side, 1);
	wait_turn(side, 0);
}

static void *run_task_1(void *arg)
{
	const struct side *side = arg;
	struct load_pair *pair = side->pair;

	pin_to(side->opt->cpu[1]);
	for (;;) {
		wait_turn(side, 1);
		if (pair->order == LOAD_STOP)
			return NULL;
		if (pair->order == LOAD_COUNT_SWITCHES)
			pair->switches_1 = own_switches();
		pair->nr_turns_1++;
		pass_turn(side, 0);
	}
}

/* Both tasks' context switches up to now; one round trip that is not timed. */
static uint64_t count_switches(const struct side *side)
{
	side->pair->order = LOAD_COUNT_SWITCHES;
	round_trip(side);
	side->pair->order = LOAD_RUN;
	return side->pair->switches_1 + own_switches();
}

static uint64_t measure(const struct side *side, uint64_t *ret_ns)
{
	const struct options *opt = side->opt;
	uint64_t start, end, n = 0;

	start = now_ns();
	if (opt->iterations) {
		while (n < opt->iterations) {
			round_trip(side);
			n++;
		}
		end = now_ns();
	} else {
		do {
			for (int i = 0; i < CLOCK_ROUNDS; i++)
				round_trip(side);
			n += CLOCK_ROUNDS;
			end = now_ns();
		} while (end - start < opt->duration_ns);
	}
	*ret_ns = end - start;
	return n;
}

static int report(const struct side *side, uint64_t rounds, uint64_t ns, uint64_t switches)
{
	const struct load_pair *pair = side->pair;
	const struct options *opt = side->opt;
	/* Warm-up, the two counts of switches, and the last turn, to stop. */
	uint64_t expected = 2 * (opt->warmup + rounds + 2) + 1;
	bool right = pair->nr_handovers == expected && pair->nr_turns_1 == expected / 2;
	char ops[128];

	class_ops(ops, sizeof(ops));
	printf("{\"load\": \"%s\", \"layout\": \"%s\", \"cpus\": [%u, %u], ", side->load->name,
	       opt->threads ? "thread" : "process", opt->cpu[0], opt->cpu[1]);
	printf("\"policy\": \"%s\", \"ops\": \"%s\", ", class_name(), ops);
	printf("\"handovers\": %llu, \"ns\": %llu, \"ns_per_switch\": %.2f, ",
	       (unsigned long long)rounds * 2, (unsigned long long)ns, (double)ns / (rounds * 2));
	printf("\"switches\": %llu, \"waits\": %llu, \"handovers_all\": %llu, ",
	       (unsigned long long)switches,
	       (unsigned long long)(pair->nr_waits[0] + pair->nr_waits[1]),
	       (unsigned long long)pair->nr_handovers);
#ifdef __OPTIMIZE__
	printf("\"optimized\": true, ");
#else
	printf("\"optimized\": false, ");
#endif
	printf("\"right\": %s}\n", right ? "true" : "false");
	if (!right)
		fprintf(stderr,
			"%s: counted %llu hand-overs and %llu turns, expected %llu and %llu\n",
			program_invocation_short_name, (unsigned long long)pair->nr_handovers,
			(unsigned long long)pair->nr_turns_1, (unsigned long long)expected,
			(unsigned long long)expected / 2);
	return right ? 0 : 1;
}

static void start_task_1(struct side *side, pthread_t *ret_thread, pid_t *ret_child)
{
	pid_t parent = getpid();

	if (side->opt->threads) {
		errno = pthread_create(ret_thread, NULL, run_task_1, side);
		if (errno)
			die("cannot start the second thread");
		return;
	}
	*ret_child = fork();
	if (*ret_child < 0)
		die("cannot start the second process");
	if (*ret_child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	run_task_1(side);
	_exit(0);
}

static int join_task_1(const struct side *side, pthread_t thread, pid_t child)
{
	int status;

	if (side->opt->threads)
		return -pthread_join(thread, NULL);
	if (waitpid(child, &status, 0) != child)
		return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ECHILD;
}

/* A second process that died would leave the first waiting until --limit. */
static void child_ended(int signal)
{
	static const char text[] = "the second task ended early\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

int load_main(const struct load *load, int argc, char **argv)
{
	struct options opt = { .class = { .policy = CLASS_INHERIT },
			       .warmup = 1000,
			       .duration_ns = 400000000,
			       .limit_s = 120 };
	const struct argp argp = { argp_options, parse_option, NULL, load->doc, NULL, NULL, NULL };
	struct side side = { .load = load, .opt = &opt };
	uint64_t rounds, ns, switches;
	pthread_t thread = 0;
	pid_t child = 0;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &opt);
	side.pair = mmap(NULL, sizeof(*side.pair), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (side.pair == MAP_FAILED)
		die("mmap");
	side.pair->shared = !opt.threads;

	signal(SIGALRM, out_of_time);
	alarm(opt.limit_s);
	errno = -class_enter(&opt.class);
	if (errno)
		die("cannot enter the scheduling class of --policy");
	/* What the start set off (frees after grace periods, a scheduler's) ends meanwhile. */
	usleep(opt.settle_ms * 1000);
	if (!opt.threads)
		signal(SIGCHLD, child_ended);
	start_task_1(&side, &thread, &child);
	pin_to(opt.cpu[0]);

	for (uint64_t i = 0; i < opt.warmup; i++)
		round_trip(&side);
	switches = count_switches(&side);
	rounds = measure(&side, &ns);
	switches = count_switches(&side) - switches;

	signal(SIGCHLD, SIG_DFL);
	side.pair->order = LOAD_STOP;
	pass_turn(&side, 1);
	if (join_task_1(&side, thread, child)) {
		fprintf(stderr, "%s: the second task failed\n", program_invocation_short_name);
		return 1;
	}
	return report(&side, rounds, ns, switches);
}
