// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for the kill storm: processes with threads that compute and sleep.
 * In: a path prefix, a time in ms. Out: PREFIX.PID.want from each process at its
 * start, renamed to PREFIX.PID.done when all its threads have finished.
 * Called by: kill_storm.sh.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NR_PROCESSES 3
#define NR_THREADS 2

static long long duration_ns;

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void *work(void *unused)
{
	static const struct timespec nap = { .tv_nsec = 3 * 1000 * 1000 };
	long long end = now_ns() + duration_ns;

	while (now_ns() < end) {
		/* A pause, because one emulated CPU may wait for another. */
		for (int i = 0; i < 20000; i++)
			__asm__ volatile("pause");
		nanosleep(&nap, NULL);
	}
	return NULL;
}

static void name_of(char *buf, size_t size, const char *prefix, const char *suffix)
{
	snprintf(buf, size, "%s.%d.%s", prefix, getpid(), suffix);
}

static void begin(const char *prefix)
{
	char want[512];
	int fd;

	name_of(want, sizeof(want), prefix, "want");
	fd = open(want, O_CREAT | O_WRONLY, 0600);
	if (fd < 0)
		exit(1);
	close(fd);
}

static void end(const char *prefix)
{
	char want[512], done[512];

	name_of(want, sizeof(want), prefix, "want");
	name_of(done, sizeof(done), prefix, "done");
	if (rename(want, done))
		exit(1);
}

static void run(const char *prefix)
{
	pthread_t threads[NR_THREADS];

	for (int i = 0; i < NR_THREADS; i++) {
		if (pthread_create(&threads[i], NULL, work, NULL))
			exit(1);
	}
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	end(prefix);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	duration_ns = atoll(argv[2]) * 1000000;
	begin(argv[1]);
	for (int i = 0; i < NR_PROCESSES; i++) {
		if (fork())
			continue;
		begin(argv[1]);
		run(argv[1]);
		_exit(0);
	}
	run(argv[1]);
	while (wait(NULL) > 0)
		continue;
	return 0;
}
