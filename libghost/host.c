// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The machine under a backend, where it is a real one: its CPUs, threads,
 * waiting.
 * In: calls of backend.h. Out: hwloc, pthreads, futexes. For backend_bpf.c and
 * for tests with a kernel side of their own.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libghost/backend.h"
#include "libghost/barrier.h"

#define THREAD_STACK (256 * 1024)

struct host_thread {
	pthread_t thread;
	char name[16];
	void (*main)(void *);
	void *arg;
};

static int host_cpus_online(struct ghost_backend *self, struct ghost_cpuset *ret)
{
	return ghost_cpuset_online(ret);
}

static int host_cpu_distance(struct ghost_backend *self, __u32 a, __u32 b)
{
	int err;

	if (!self->topo) {
		err = ghost_topo_open(&self->topo, NULL);
		if (err)
			return err;
	}
	return ghost_topo_distance(self->topo, a, b);
}

static void *thread_main(void *arg)
{
	struct host_thread *t = arg;

	prctl(PR_SET_NAME, t->name);
	t->main(t->arg);
	return NULL;
}

static int host_thread_start(struct ghost_backend *self, const char *name, void (*main)(void *),
			     void *arg, void **ret)
{
	struct host_thread *t = calloc(1, sizeof(*t));
	pthread_attr_t attr;
	int err;

	if (!t)
		return -ENOMEM;
	t->main = main;
	t->arg = arg;
	snprintf(t->name, sizeof(t->name), "%s", name);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	err = pthread_create(&t->thread, &attr, thread_main, t);
	pthread_attr_destroy(&attr);
	if (err) {
		free(t);
		return -err;
	}
	*ret = t;
	return 0;
}

static void host_thread_join(struct ghost_backend *self, void *thread)
{
	struct host_thread *t = thread;

	pthread_join(t->thread, NULL);
	free(t);
}

static __u32 host_thread_id(struct ghost_backend *self)
{
	return syscall(SYS_gettid);
}

static struct timespec deadline(__u64 timeout_ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += timeout_ns / 1000000000;
	ts.tv_nsec += timeout_ns % 1000000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

static int host_wait(struct ghost_backend *self, const __u32 *word, __u32 value, __u64 timeout_ns)
{
	struct timespec until = deadline(timeout_ns == ~0ull ? 0 : timeout_ns);

	/* The bitset form takes an absolute time: signals do not prolong the wait. */
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
		if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
			    timeout_ns == ~0ull ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY) == 0)
			continue;
		if (errno == ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 0;
}

static void host_wake(struct ghost_backend *self, const __u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static void host_sleep(struct ghost_backend *self, __u64 ns)
{
	struct timespec until = deadline(ns);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static __u64 host_now_ns(struct ghost_backend *self)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void host_agent_relax(struct ghost_backend *self, __u64 until_ns)
{
	ghost_relax();
}

void ghost_backend_host_init(struct ghost_backend *self)
{
	self->cpus_online = host_cpus_online;
	self->agent_relax = host_agent_relax;
	self->cpu_distance = host_cpu_distance;
	self->thread_start = host_thread_start;
	self->thread_join = host_thread_join;
	self->thread_id = host_thread_id;
	self->wait = host_wait;
	self->wake = host_wake;
	self->sleep = host_sleep;
	self->now_ns = host_now_ns;
}

void ghost_backend_host_fini(struct ghost_backend *self)
{
	ghost_topo_close(self->topo);
	self->topo = NULL;
}
