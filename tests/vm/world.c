// SPDX-License-Identifier: GPL-2.0-only
/*
 * A real kernel as a world for cases of the contract.
 * In: suites of cases; root, sched_ext. Out: contract_main(), TAP. The world of
 * the simulator is tests/sim/world.c.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libghost/barrier.h"
#include "libghost/kernel.h"
#include "tests/check.h"
#include "tests/contract/contract.h"

#ifndef SCHED_EXT
#define SCHED_EXT 7
#endif

/* So often is a case tried in which the machine's own threads got in the way. */
#define TRIES 8

static struct world world;
static int nr_rounds = 1;

/* --- puppets: processes, so that they share no locks of memory with the agents --- */

static void set_affinity(pid_t tid, const struct ghost_cpuset *cpus)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (uint32_t cpu = 0; cpu < world.nr_cpus; cpu++)
		if (ghost_cpuset_has(cpus, cpu))
			CPU_SET(cpu, &set);
	sched_setaffinity(tid, sizeof(set), &set);
}

/* fork() without what a C library does around it in a process of many threads. */
static pid_t fork_raw(void)
{
	return syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
}

__attribute__((noreturn)) static void puppet_main(struct puppet *p)
{
	pid_t pid;

	for (;;) {
		switch (puppet_next(p, sched_getcpu())) {
		case PUPPET_BLOCK:
			syscall(SYS_futex, &p->nr_orders, FUTEX_WAIT, p->nr_obeyed, NULL, NULL, 0);
			break;
		case PUPPET_SPIN:
			for (int i = 0; i < 50; i++)
				ghost_relax();
			break;
		case PUPPET_YIELD:
			sched_yield();
			break;
		case PUPPET_FORK:
			pid = fork_raw();
			if (!pid)
				p = p->child;
			else if (pid > 0)
				ghost_store_release(&p->child->tid, (uint32_t)pid);
			break;
		case PUPPET_MOVE:
			set_affinity(0, &p->cpus);
			break;
		case PUPPET_NICE:
			setpriority(PRIO_PROCESS, 0, p->nice);
			break;
		case PUPPET_NAME:
			prctl(PR_SET_NAME, "renamed");
			break;
		case PUPPET_LEAVE:
			sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){ 0 });
			break;
		case PUPPET_EXIT:
			_exit(0);
		case PUPPET_DOZE:
			clock_nanosleep(CLOCK_MONOTONIC, 0,
					&(struct timespec){ .tv_nsec = p->nap_ns }, NULL);
			break;
		case PUPPET_HERD:
			set_affinity(p->child->tid, &p->cpus);
			break;
		case PUPPET_WANDER:
		case PUPPET_ROAM:
			break; /* told as what they are made of */
		}
	}
}

static int world_start(struct world *w, struct puppet *p)
{
	struct ghost_cpuset all = { 0 };
	pid_t pid = fork_raw();

	if (pid < 0)
		return -errno;
	if (pid) {
		p->tid = pid;
		return 0;
	}
	for (uint32_t cpu = 0; cpu < world.nr_cpus; cpu++)
		ghost_cpuset_add(&all, cpu);
	set_affinity(0, &all);
	prctl(PR_SET_NAME, "puppet");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	puppet_main(p);
}

static void world_poke(struct world *w, struct puppet *p)
{
	syscall(SYS_futex, &p->nr_orders, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/*
 * Does @tid sleep, off every run queue? The state in /proc/N/stat says S a
 * moment earlier, and still says it of a thread that was preempted on its way
 * into the futex; /proc/N/wchan names a function only once it is off.
 */
static bool off_queue(uint32_t tid)
{
	char path[64], where[64] = "0";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/wchan", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(where, sizeof(where), f))
		where[0] = 0;
	fclose(f);
	return strncmp(where, "futex", 5) == 0;
}

static bool world_asleep(struct world *w, struct puppet *p)
{
	/* It has seen what it was told, and sleeps because of that. */
	return ghost_load_acquire(&p->nr_obeyed) == p->nr_orders && off_queue(p->tid);
}

static uint64_t world_runtime_ns(struct world *w, struct puppet *p)
{
	struct timespec ts = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(p->tid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static int world_affinity(struct world *w, struct puppet *p, const struct ghost_cpuset *cpus)
{
	set_affinity(p->tid, cpus);
	return 0;
}

static int world_nice(struct world *w, struct puppet *p, int nice)
{
	return setpriority(PRIO_PROCESS, p->tid, nice) ? -errno : 0;
}

static int world_set_class(struct world *w, struct puppet *p, enum puppet_class class_)
{
	struct sched_param param = { .sched_priority = class_ == CLASS_OF_RT ? 10 : 0 };

	return sched_setscheduler(p->tid, class_ == CLASS_OF_RT ? SCHED_FIFO : SCHED_OTHER,
				  &param) ?
		       -errno :
		       0;
}

static enum puppet_class world_class_of(struct world *w, struct puppet *p)
{
	waitpid(p->tid, NULL, WNOHANG);
	switch (sched_getscheduler(p->tid)) {
	case SCHED_OTHER:
		return CLASS_OF_FAIR;
	case SCHED_FIFO:
		return CLASS_OF_RT;
	case SCHED_EXT:
		return CLASS_OF_US;
	default:
		return CLASS_OF_NONE;
	}
}

static void world_kill(struct world *w, struct puppet *p)
{
	if (p->tid)
		kill(p->tid, SIGKILL);
}

static int world_end_all(struct world *w)
{
	for (uint32_t i = 0; i < w->nr_puppets; i++)
		world_kill(w, &w->puppets[i]);
	/* Children of puppets are ours when their parents are gone. */
	for (int ms = 0; ms < PATIENCE; ms++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return 0;
		if (pid <= 0)
			pass(w, 1);
	}
	return -EBUSY;
}

static uint64_t world_now_ns(struct world *w)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Enclaves that come and go make work for the kernel's own threads, for a while. */
static void world_settle(struct world *w)
{
	pass(w, 100);
}

static const struct world_ops ops = {
	.start = world_start,
	.poke = world_poke,
	.asleep = world_asleep,
	.runtime_ns = world_runtime_ns,
	.affinity = world_affinity,
	.nice = world_nice,
	.set_class = world_set_class,
	.class_of = world_class_of,
	.kill = world_kill,
	.end_all = world_end_all,
	.now_ns = world_now_ns,
	.settle = world_settle,
};

/* --- cases ---------------------------------------------------------------------- */

/* Threads of a case are still about: nothing that comes after it would mean anything. */
static void give_up(const struct contract_case *c)
{
	char why[512];

	ghost_kernel_unload(why, sizeof(why));
	printf("Bail out! %s left something behind: %s\n", c->name, world.failure);
	fflush(stdout);
	_exit(1);
}

/* One case that gets us thrown out is not to hide what is true of the others. */
static void load_again(void)
{
	char why[512];

	world.backend->close(world.backend);
	world.backend = NULL;
	ghost_kernel_unload(why, sizeof(why));
	if (ghost_kernel_load(0, why, sizeof(why)) ||
	    ghost_kernel_open(&world.backend, why, sizeof(why))) {
		printf("Bail out! it cannot be loaded again: %s\n", why);
		fflush(stdout);
		_exit(1);
	}
}

static void try_case(const struct contract_case *c)
{
	struct ghost_kernel_info info;

	for (int i = 0; i < TRIES; i++) {
		contract_run(&world, c);
		if (world.unclean)
			give_up(c);
		assert_int_equal(ghost_kernel_info(&info), 0);
		if (info.ejected) {
			load_again();
			fail_msg("ejected: %s; %s", info.reason, world.failure);
		}
		if (!world.failure[0] || !world.nr_disturbed)
			break;
		printf("# disturbed: %s\n", world.failure);
	}
	if (world.failure[0])
		fail_msg("%s", world.failure);
}

static void test_case(void **state)
{
	for (int i = 0; i < nr_rounds; i++)
		try_case(*state);
}

static void set_up_with(const char *path, const char *value)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return;
	fputs(value, f);
	fclose(f);
}

/* In a machine of our own: everybody else to the CPU of whoever runs the cases. */
static void make_room(const struct ghost_cpuset *cpus)
{
	char path[64];
	struct dirent *d, *task;
	DIR *all, *tasks;

	all = opendir("/proc");
	while (all && (d = readdir(all))) {
		if (!atoi(d->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task", atoi(d->d_name));
		tasks = opendir(path);
		while (tasks && (task = readdir(tasks)))
			if (atoi(task->d_name))
				set_affinity(atoi(task->d_name), cpus);
		if (tasks)
			closedir(tasks);
	}
	if (all)
		closedir(all);
	set_up_with("/sys/devices/virtual/workqueue/cpumask", "1");
	/* Once a second, on each CPU. */
	set_up_with("/proc/sys/vm/stat_interval", "3600");
}

static int set_up(void **state)
{
	struct ghost_cpuset first = cpus_of(CPU_CASE, -1);
	char why[512];

	if (ghost_kernel_load(0, why, sizeof(why)) ||
	    ghost_kernel_open(&world.backend, why, sizeof(why))) {
		printf("# %s\n", why);
		return -1;
	}
	world.ops = &ops;
	world.puppets = mmap(NULL, PUPPETS_MAX * sizeof(*world.puppets), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world.puppets == MAP_FAILED)
		return -1;
	if (getenv("GHOST_VM"))
		make_room(&first);
	set_affinity(0, &first);
	/* An agent that waits for a page is no agent; a puppet that does sends messages. */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return 0;
}

static int tear_down(void **state)
{
	char why[512];

	if (!world.backend)
		return 0;
	world.backend->close(world.backend);
	return ghost_kernel_unload(why, sizeof(why));
}

int contract_main(const char *name, const struct contract_case *const *suites, int argc,
		  char **argv)
{
	struct CMUnitTest tests[200] = { 0 };
	size_t nr = 0;

	world.nr_cpus = NR_CPUS;
	for (; *suites; suites++)
		for (const struct contract_case *c = *suites; c->name; c++) {
			assert_true(nr < ARRAY_LEN(tests));
			if (c->nr_cpus > world.nr_cpus)
				world.nr_cpus = c->nr_cpus;
			tests[nr++] = (struct CMUnitTest){ .name = c->name,
							   .test_func = test_case,
							   .initial_state = (void *)c };
		}
	if (sysconf(_SC_NPROCESSORS_ONLN) < world.nr_cpus) {
		printf("# this needs %u CPUs\n", world.nr_cpus);
		return 77;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	/* For people: one case, or those that fit, as "case_a_thread_*"; how many times each. */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	if (argc > 2)
		nr_rounds = atoi(argv[2]);
	/* Those without a name are skipped. */
	return cmocka_run_group_tests_name(name, tests, set_up, tear_down);
}
