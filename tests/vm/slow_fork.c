// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded into a program, has its children wait a while before they do anything: what may
 * happen between fork() and a child's first step, does.
 * In: GHOST_SLOW_FORK, ms. Out: a slower fork(). Used by test_upgrade.sh.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

pid_t fork(void)
{
	pid_t (*real)(void) = dlsym(RTLD_NEXT, "fork");
	const char *ms = getenv("GHOST_SLOW_FORK");
	pid_t pid = real();

	if (!pid && ms) {
		struct timespec nap = { .tv_sec = atoi(ms) / 1000,
					.tv_nsec = atoi(ms) % 1000 * 1000000l };

		nanosleep(&nap, NULL);
	}
	return pid;
}
