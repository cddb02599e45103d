// SPDX-License-Identifier: GPL-2.0-only
/*
 * The scenarios of recorder.h on a real kernel: agents in this process, the
 * threads in a child of it.
 * In: root, sched_ext, two CPUs. Out: the notebook. Called by
 * tests/vm/test_validate.sh.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libghost/agent.h"
#include "libghost/kernel.h"
#include "tests/validate/recorder.h"

/* Shared by both processes. */
static struct shared {
	uint32_t tids[VALIDATE_THREADS_MAX];
	uint32_t go[VALIDATE_THREADS_MAX];
	uint32_t turn[2]; /* pingpong: 1 when it is that one's */
	uint32_t nr_handovers;
} *shared;

static const struct scenario *scenario;

static void wait_for(uint32_t *word)
{
	while (!__atomic_load_n(word, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void tell(uint32_t *word)
{
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Times this thread lost its CPU without wanting to. */
static long stops(void)
{
	struct rusage ru;

	getrusage(RUSAGE_THREAD, &ru);
	return ru.ru_nivcsw;
}

static void *thread_main(void *arg)
{
	uint32_t i = (uintptr_t)arg;
	cpu_set_t one;
	long until;

	CPU_ZERO(&one);
	CPU_SET(scenario_cpu(scenario, i), &one);
	sched_setaffinity(0, sizeof(one), &one);
	__atomic_store_n(&shared->tids[i], gettid(), __ATOMIC_RELEASE);
	wait_for(scenario->pingpong ? &shared->turn[i] : &shared->go[i]);
	for (uint32_t k = 1; k < scenario->threads && i == 0 && !scenario->pingpong; k++)
		tell(&shared->go[k]);
	if (!scenario->pingpong) {
		for (until = stops() + VALIDATE_HOG_STOPS; stops() < until;)
			for (volatile int k = 0; k < 10000; k++)
				;
		return NULL;
	}
	for (;;) {
		uint32_t n = ++shared->nr_handovers;

		shared->turn[i] = 0;
		tell(&shared->turn[i ^ 1]);
		if (n >= VALIDATE_HANDOVERS)
			return NULL;
		wait_for(&shared->turn[i]);
	}
}

static int child_main(void)
{
	pthread_t thread[VALIDATE_THREADS_MAX];

	for (uint32_t i = 0; i < scenario->threads; i++)
		if (pthread_create(&thread[i], NULL, thread_main, (void *)(uintptr_t)i))
			return 1;
	for (uint32_t i = 0; i < scenario->threads; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static int run(struct ghost_backend *backend)
{
	struct ghost_cpuset cpus = { .word = { 3 } };
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave_counts counts;
	struct ghost_agents *agents;
	struct ghost_enclave *e;
	int err, status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	pid = fork();
	if (!pid)
		_exit(child_main());
	for (uint32_t i = 0; i < scenario->threads; i++)
		while (!__atomic_load_n(&shared->tids[i], __ATOMIC_ACQUIRE))
			sleep_ms(1);
	sleep_ms(50); /* they sleep by then */
	err = ghost_enclave_create(&e, backend, &opts);
	for (uint32_t i = 0; i < scenario->threads && !err; i++)
		err = ghost_enclave_join(e, shared->tids[i]);
	err = err ?: ghost_agents_start(&agents, e, recorder_policy(), NULL);
	if (err) {
		kill(pid, SIGKILL);
		return err;
	}
	sleep_ms(20);
	tell(scenario->pingpong ? &shared->turn[0] : &shared->go[0]);
	waitpid(pid, &status, 0);
	err = ghost_enclave_count(e, &counts);
	recorder_print(scenario, shared->tids, &counts);
	ghost_agents_stop(agents);
	ghost_enclave_destroy(e);
	ghost_enclave_close(e);
	return err;
}

int main(void)
{
	struct ghost_backend *backend;
	char why[512] = "";
	int err;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	err = shared == MAP_FAILED ? -ENOMEM : 0;
	/* Each begins with an empty table, as in the simulator: slots remember their queue. */
	for (scenario = scenarios; scenario->name && !err; scenario++) {
		err = ghost_kernel_load(0, why, sizeof(why));
		err = err ?: ghost_kernel_open(&backend, why, sizeof(why));
		if (err)
			break;
		err = run(backend);
		backend->close(backend);
		ghost_kernel_unload(NULL, 0);
	}
	if (err)
		fprintf(stderr, "validate_vm: %s %s\n", strerror(-err), why);
	return err != 0;
}
