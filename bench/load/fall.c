// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agents of an enclave are killed while threads wait for them: how long is it
 * until the first of these runs, and the last? And how long until an enclave that
 * is destroyed has given its threads back?
 * In: a loaded kernel side; how many threads, how often. Out: one JSON object.
 * Called by bench/faults, people.
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
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
#include "libghost/agent.h"
#include "libghost/barrier.h"
#include "libghost/kernel.h"
#include "policies/policies.h"

#define MS 1000000ull
#define TASKS_MAX 20000
#define REPEATS_MAX 10000
#define DOZE_MS_MAX 10000
#define STACK (64 * 1024)
#define PATIENCE_MS 20000

struct options {
	unsigned long tasks;
	unsigned long repeats;
	unsigned long doze_ms;
	const struct ghost_policy *policy;
};

static struct options opt = { .tasks = 100, .repeats = 20, .doze_ms = 20 };
static struct ghost_backend *backend;
static struct ghost_enclave *enclave;
static pid_t owner; /* of the enclave */
static const struct ghost_memory *mem;

struct dozer {
	_Atomic int tid;
	_Atomic uint64_t ran_ns; /* when it last found itself running, having slept */
};
static struct dozer *dozer;

static const struct argp_option argp_options[] = {
	{ "tasks", 'n', "N", 0, "threads in the enclave (100)", 0 },
	{ "repeats", 'r', "N", 0, "times that its agents are killed (20)", 0 },
	{ "doze", 'd', "MS", 0, "a thread sleeps so long at a time, up to twice that (20)", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'n':
		opt.tasks = option_number(state, "--tasks", arg, 1, TASKS_MAX);
		return 0;
	case 'r':
		opt.repeats = option_number(state, "--repeats", arg, 1, REPEATS_MAX);
		return 0;
	case 'd':
		opt.doze_ms = option_number(state, "--doze", arg, 1, DOZE_MS_MAX);
		return 0;
	case ARGP_KEY_ARG:
		opt.policy = policies_find(arg);
		if (!opt.policy)
			argp_error(state, "there is no policy '%s'; 'ghost policies' lists them",
				   arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which policy?");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "fall: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	/* It would keep its CPUs. */
	if (enclave && getpid() == owner)
		ghost_enclave_destroy(enclave);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_us(long us)
{
	nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

/* --- threads ------------------------------------------------------------------------ */

static void *doze(void *arg)
{
	struct dozer *d = arg;

	atomic_store(&d->tid, gettid());
	/* Each at times of its own: there is always one that is about to wake up. */
	for (;;) {
		sleep_us((opt.doze_ms * 1000) + (d - dozer) * 7919 % (opt.doze_ms * 1000));
		atomic_store(&d->ran_ns, now_ns());
	}
	return NULL;
}

/* As fork(); the child ends with us. */
static pid_t fork_helper(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static _Noreturn void dozers_main(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (unsigned long i = 0; i < opt.tasks; i++)
		if (pthread_create(&thread, &attr, doze, &dozer[i]))
			_exit(1);
	for (;;)
		pause();
}

/* In a process of their own: the agents', a copy of ours, ends the later the more memory it has. */
static void start_threads(void)
{
	int err = 0;
	pid_t pid;

	dozer = mmap(NULL, opt.tasks * sizeof(*dozer), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (dozer == MAP_FAILED)
		fail("no memory");
	pid = fork_helper();
	if (!pid)
		dozers_main();
	for (unsigned long i = 0; i < opt.tasks && !err; i++) {
		while (!atomic_load(&dozer[i].tid)) {
			if (waitpid(pid, NULL, WNOHANG) == pid)
				fail("cannot start %lu threads", opt.tasks);
			sleep_us(100);
		}
		err = ghost_enclave_join(enclave, dozer[i].tid);
	}
	if (err)
		fail("cannot start %lu threads: %s", opt.tasks, strerror(-err));
}

static struct dozer *dozer_of(int tid)
{
	for (unsigned long i = 0; i < opt.tasks; i++)
		if (dozer[i].tid == tid)
			return &dozer[i];
	return NULL;
}

/* Those that wait for agents, in @ret. */
static unsigned long waiting(struct dozer **ret)
{
	uint32_t nr = ghost_load_acquire(&ghost_enclave_status(enclave)->nr_slots);
	unsigned long n = 0;

	for (uint32_t slot = 1; slot < nr && n < opt.tasks; slot++) {
		const struct ghost_status *st = &mem->status[slot];
		uint32_t flags = ghost_status_flags(ghost_load_acquire(&st->word));

		ret[n] = dozer_of(st->tid);
		n += flags == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE) && ret[n];
	}
	return n;
}

/* --- agents ------------------------------------------------------------------------- */

/* Threads of a process that was killed may end after it was waited for. */
static void wait_for_ends(void)
{
	for (uint32_t cpu = 0; cpu < mem->nr_cpus; cpu++)
		for (int ms = 0; ghost_load_acquire(&mem->cpu[cpu].agent_tid); ms++) {
			if (ms >= PATIENCE_MS)
				fail("the agent of CPU %u that was killed is still there", cpu);
			sleep_us(1000);
		}
}

static pid_t start_agents(void)
{
	struct ghost_agents *agents;
	pid_t pid = fork_helper();
	int err;

	if (!pid) {
		err = ghost_agents_start(&agents, enclave, opt.policy, NULL);
		if (err)
			fail("the agents do not start: %s", strerror(-err));
		for (;;)
			pause();
	}
	for (int ms = 0; ghost_enclave_status(enclave)->state != GHOST_ENCLAVE_ONLINE; ms++) {
		if (ms >= PATIENCE_MS || waitpid(pid, NULL, WNOHANG) == pid)
			fail("the agents did not come online");
		sleep_us(1000);
	}
	return pid;
}

struct fall {
	uint64_t first_ns; /* from the signal to the first thread that had waited */
	uint64_t last_ns;
	unsigned long waited;
};

static int first_is_less(const void *a, const void *b)
{
	const struct fall *x = a, *y = b;

	return x->first_ns < y->first_ns ? -1 : x->first_ns > y->first_ns;
}

static struct fall fall_once(pid_t pid)
{
	static struct dozer *waits[TASKS_MAX];
	struct fall ret = { .first_ns = ~0ull };
	unsigned long nr = 0;
	uint64_t killed;

	/* Stopped, they decide no more; whoever wakes up now waits. */
	kill(pid, SIGSTOP);
	for (int ms = 0; !nr; ms++) {
		if (ms >= PATIENCE_MS)
			fail("nobody waits for agents that are stopped");
		sleep_us(1000);
		nr = waiting(waits);
	}
	killed = now_ns();
	kill(pid, SIGKILL);
	for (unsigned long i = 0; i < nr; i++) {
		uint64_t ran;

		for (int n = 0;; n++) {
			ran = atomic_load(&waits[i]->ran_ns);
			if (ran >= killed)
				break;
			if (n >= PATIENCE_MS * 10)
				fail("a thread did not run after the agents were killed");
			sleep_us(100);
		}
		if (ran - killed < ret.first_ns)
			ret.first_ns = ran - killed;
		/* It may have slept and run again since: then this is too much, not too little. */
		if (ran - killed > ret.last_ns)
			ret.last_ns = ran - killed;
	}
	waitpid(pid, NULL, 0);
	wait_for_ends();
	if (ghost_enclave_status(enclave)->state != GHOST_ENCLAVE_LOST)
		fail("the enclave is not lost though its agents were killed");
	ret.waited = nr;
	return ret;
}

/* --- destroying ----------------------------------------------------------------------- */

/* As many changes of class without us. */
static uint64_t plain_ns(void)
{
	const struct sched_param param = { 0 };
	uint64_t began = now_ns();

	for (unsigned long i = 0; i < opt.tasks; i++)
		sched_setscheduler(dozer[i].tid, SCHED_BATCH, &param);
	for (unsigned long i = 0; i < opt.tasks; i++)
		sched_setscheduler(dozer[i].tid, SCHED_OTHER, &param);
	return (now_ns() - began) / 2;
}

static uint64_t destroy_ns(void)
{
	uint64_t began = now_ns();
	int err = ghost_enclave_destroy(enclave);

	if (err)
		fail("the enclave cannot be destroyed: %s", strerror(-err));
	return now_ns() - began;
}

int main(int argc, char **argv)
{
	static const char doc[] =
		"Kills the agents of an enclave while threads wait for them; prints how long "
		"these wait then. In the end destroys it.";
	const struct argp argp = { argp_options, parse_option, "POLICY", doc, NULL, NULL, NULL };
	struct ghost_cpuset cpus;
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	uint64_t destroyed, plain, last = 0, waited = 0;
	struct fall *falls;
	char why[512];
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	err = ghost_kernel_open(&backend, why, sizeof(why));
	if (err)
		fail("%s", why);
	err = ghost_cpuset_online(&cpus);
	err = err ?: ghost_enclave_create(&enclave, backend, &opts);
	if (err)
		fail("cannot make an enclave: %s", strerror(-err));
	owner = getpid();
	mem = ghost_enclave_memory(enclave);
	falls = calloc(opt.repeats, sizeof(*falls));
	if (!falls)
		fail("no memory");
	start_threads();
	for (unsigned long i = 0; i < opt.repeats; i++) {
		falls[i] = fall_once(start_agents());
		waited += falls[i].waited;
		if (falls[i].last_ns > last)
			last = falls[i].last_ns;
	}
	start_agents();
	destroyed = destroy_ns();
	plain = plain_ns();
	qsort(falls, opt.repeats, sizeof(*falls), first_is_less);
	printf("{\"policy\": \"%s\", \"tasks\": %lu, \"doze_ms\": %lu, \"repeats\": %lu, \"waited\": %.1f, "
	       "\"first_p50_ns\": %llu, \"first_p99_ns\": %llu, \"first_max_ns\": %llu, "
	       "\"last_max_ns\": %llu, \"destroy_ns\": %llu, \"plain_ns\": %llu}\n",
	       opt.policy->name, opt.tasks, opt.doze_ms, opt.repeats, (double)waited / opt.repeats,
	       (unsigned long long)falls[(opt.repeats - 1) / 2].first_ns,
	       (unsigned long long)falls[(opt.repeats - 1) * 99 / 100].first_ns,
	       (unsigned long long)falls[opt.repeats - 1].first_ns, (unsigned long long)last,
	       (unsigned long long)destroyed, (unsigned long long)plain);
	return 0;
}
