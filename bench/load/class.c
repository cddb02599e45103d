// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scheduling classes: entering one, and saying which it is.
 * In: struct class. Out: system calls, names. Implements class.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/load/class.h"

/* In the kernel since 6.12, in Debian 12's C library not yet. */
#define POLICY_EXT 7

/* The first version of the kernel's structure, which glibc has since 2.41 only. */
struct attr {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

int class_parse(struct argp_state *state, const char *name)
{
	if (!strcmp(name, "other"))
		return SCHED_OTHER;
	if (!strcmp(name, "ext"))
		return POLICY_EXT;
	if (strcmp(name, "inherit"))
		argp_error(state, "--policy knows other, ext and inherit, not '%s'", name);
	return CLASS_INHERIT;
}

int class_enter(const struct class *c)
{
	struct attr attr = { 0 };

	if (c->policy == CLASS_INHERIT && !c->has_nice && !c->slice_ns)
		return 0;
	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0))
		return -errno;
	if (c->policy != CLASS_INHERIT) {
		attr.policy = c->policy;
		attr.priority = 0;
	}
	if (c->has_nice)
		attr.nice = c->nice;
	/* Of a fair thread it is the slice, and written back would become a custom one. */
	attr.runtime = c->slice_ns;
	if (syscall(SYS_sched_setattr, 0, &attr, 0))
		return -errno;
	if (!c->slice_ns)
		return 0;
	/* Kernels before 6.12 take the slice and forget it. */
	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0))
		return -errno;
	return attr.policy == POLICY_EXT || attr.runtime != c->slice_ns ? -EOPNOTSUPP : 0;
}

const char *class_name(void)
{
	switch (sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) {
	case SCHED_OTHER:
		return "other";
	case SCHED_BATCH:
		return "batch";
	case SCHED_FIFO:
		return "fifo";
	case SCHED_RR:
		return "rr";
	case POLICY_EXT:
		return "ext";
	default:
		return "unknown";
	}
}

void class_ops(char *text, size_t size)
{
	int fd = open("/sys/kernel/sched_ext/root/ops", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n\"\\")] = '\0';
}
