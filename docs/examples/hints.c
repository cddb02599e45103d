// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An application that gives hints: threads with work of a kind, some of it
 * urgent.
 * In: nothing. Out: whether agents listen. Called by people: `ghost run POLICY --
 * hints`, or alone. Needs no library; docs/hints.md explains each part.
 */
#include <stdio.h>
#include <time.h>

#include "libghost/hints.h"

#define NR_THREADS 4
#define NR_REQUESTS 50

static struct ghost_hints *hints; /* NULL: nobody listens */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void compute(uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	while (now_ns() < end)
		;
}

/* Each second thread serves requests that somebody waits for, the others have time. */
static void *work(void *arg)
{
	bool urgent = (intptr_t)arg % 2;
	struct ghost_hint_entry *me = NULL;
	struct timespec pause = { 0, 1000000 };

	ghost_hints_thread(hints, &me);
	ghost_hint_set_class(me, urgent ? GHOST_HINT_CLASS_LATENCY : GHOST_HINT_CLASS_BATCH);
	ghost_hint_set_expected(me, urgent ? 50000 : 2000000);
	for (int i = 0; i < NR_REQUESTS; i++) {
		if (urgent)
			ghost_hint_set_deadline(me, now_ns() + 1000000);
		compute(urgent ? 50000 : 2000000);
		nanosleep(&pause, NULL);
	}
	return NULL; /* and the entry is free again */
}

int main(void)
{
	pthread_t threads[NR_THREADS];
	int err = ghost_hints_open(&hints, NULL);

	if (err)
		printf("no hints: %s\n", strerror(-err));
	else
		printf("agents listen\n");
	for (intptr_t i = 0; i < NR_THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)i))
			return 1;
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	ghost_hints_close(hints);
	return 0;
}
