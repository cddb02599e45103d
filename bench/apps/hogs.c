// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hogs: threads, and their CPU clocks.
 * In: class. Out: CPU times. Implements hogs.h.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/apps/hogs.h"

struct hog {
	const struct class *class;
	struct hogs *hogs;
	clockid_t clock;
};

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(error));
	_exit(1);
}

static void *compute(void *arg)
{
	const struct hog *hog = arg;
	int err = class_enter(hog->class);

	if (err)
		die("a hog cannot have its class, nice value or slice", -err);
	prctl(PR_SET_NAME, "hog");
	if (hog == hog->hogs->hog)
		__atomic_store_n(&hog->hogs->class_name, class_name(), __ATOMIC_RELEASE);
	/* An emulated CPU lets others run at a pause only. */
	for (;;)
		__builtin_ia32_pause();
	return NULL;
}

void hogs_start(struct hogs *h, uint32_t nr, const struct class *class)
{
	h->nr = nr;
	h->class_name = "none";
	h->hog = calloc(nr, sizeof(*h->hog));
	if (nr && !h->hog)
		die("hogs", ENOMEM);
	for (uint32_t i = 0; i < nr; i++) {
		struct hog *hog = &h->hog[i];
		pthread_t thread;
		int err;

		hog->class = class;
		hog->hogs = h;
		err = pthread_create(&thread, NULL, compute, hog);
		if (!err)
			err = pthread_getcpuclockid(thread, &hog->clock);
		if (err)
			die("cannot start a hog", err);
	}
}

struct hogs_time hogs_time(const struct hogs *h)
{
	struct hogs_time ret = { .min = h->nr ? UINT64_MAX : 0 };

	for (uint32_t i = 0; i < h->nr; i++) {
		struct timespec t;
		uint64_t ns;

		clock_gettime(h->hog[i].clock, &t);
		ns = t.tv_sec * 1000000000ull + t.tv_nsec;
		ret.all += ns;
		if (ns < ret.min)
			ret.min = ns;
		if (ns > ret.max)
			ret.max = ns;
	}
	return ret;
}
