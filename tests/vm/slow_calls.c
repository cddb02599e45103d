// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded into a program, makes it wait where something may happen that else never would
 * in a test: its children before they do anything, and whoever is to outlive its parent
 * from here on, before it says so.
 * In: GHOST_SLOW_FORK, GHOST_SLOW_OUTLIVE, ms. Out: slower fork() and prctl(). Used by
 * test_upgrade.sh.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static void nap(const char *name)
{
	const char *ms = getenv(name);
	struct timespec time;

	if (!ms)
		return;
	time.tv_sec = atoi(ms) / 1000;
	time.tv_nsec = atoi(ms) % 1000 * 1000000l;
	nanosleep(&time, NULL);
}

pid_t fork(void)
{
	pid_t (*real)(void) = dlsym(RTLD_NEXT, "fork");
	pid_t pid = real();

	if (!pid)
		nap("GHOST_SLOW_FORK");
	return pid;
}

int prctl(int option, ...)
{
	int (*real)(int, ...) = dlsym(RTLD_NEXT, "prctl");
	unsigned long arg[4];
	va_list args;

	va_start(args, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);
	if (option == PR_SET_PDEATHSIG && !arg[0])
		nap("GHOST_SLOW_OUTLIVE");
	return real(option, arg[0], arg[1], arg[2], arg[3]);
}
