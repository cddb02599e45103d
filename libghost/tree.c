// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Process trees: a process and all that descend from it, into an enclave.
 * In: /proc. Out: members. Implements a part of enclave.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libghost/enclave.h"
#include "libghost/proc.h"

/* Longer lines of ancestors are a circle of numbers that were given again while we read. */
#define DEPTH_MAX 1000
#define ROUNDS_MAX 100

/* 0: it has ended, or is the first. */
static uint32_t parent_of(uint32_t pid)
{
	char line[PROC_STAT_SIZE];
	const char *c = proc_stat(pid, line);
	uint32_t parent = 0;

	return c && sscanf(c, "%*c %u", &parent) == 1 ? parent : 0;
}

static bool descends(uint32_t pid, uint32_t from)
{
	for (int i = 0; pid && i < DEPTH_MAX; i++, pid = parent_of(pid))
		if (pid == from)
			return true;
	return false;
}

struct walk {
	struct ghost_enclave *enclave;
	uint32_t top;
	int top_fd; /* its folder in /proc: empty once it has ended */
	bool (*skip)(uint32_t pid, void *arg);
	void *arg;
	uint32_t *seen; /* [nr_seen] */
	uint32_t nr_seen;
	bool found; /* there is a member among them */
};

static bool was_seen(const struct walk *w, uint32_t pid)
{
	for (uint32_t i = 0; i < w->nr_seen; i++)
		if (w->seen[i] == pid)
			return true;
	return false;
}

/* Asked while @pid is the number of the process that would join. */
static bool is_other(uint32_t pid, void *arg)
{
	const struct walk *w = arg;

	/* The top is looked at last: it has had its number until now. */
	return !descends(pid, w->top) || faccessat(w->top_fd, "stat", F_OK, 0) ||
	       (w->skip && w->skip(pid, w->arg));
}

/*
 * 1: it joined, 0: it did not need to, or has ended; or a negative errno. Who was born a
 * member is none that joined: of those, there may be new ones for ever.
 */
static int look_at(struct walk *w, uint32_t pid)
{
	uint32_t *more;
	int err;

	if (was_seen(w, pid) || !descends(pid, w->top))
		return 0;
	more = realloc(w->seen, (w->nr_seen + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	w->seen = more;
	w->seen[w->nr_seen++] = pid;
	err = ghost_enclave_join_process(w->enclave, pid, is_other, w);
	if (err == -ESRCH || (err == -ECANCELED && pid != w->top))
		return 0;
	w->found |= err >= 0;
	return err > 0 ? 1 : err;
}

/* One pass over /proc. Returns how many joined, or a negative errno. */
static int look_at_all(struct walk *w)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	int nr = 0, ret = 0;

	if (!dir)
		return -errno;
	while (ret >= 0 && (d = readdir(dir))) {
		uint32_t pid = strtoul(d->d_name, NULL, 10);

		ret = pid ? look_at(w, pid) : 0;
		nr += ret > 0;
	}
	closedir(dir);
	return ret < 0 ? ret : nr;
}

int ghost_enclave_join_tree(struct ghost_enclave *e, uint32_t pid,
			    bool (*skip)(uint32_t pid, void *arg), void *arg)
{
	struct walk w = { .enclave = e, .top = pid, .skip = skip, .arg = arg };
	int ret = 1, nr = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u", pid);
	w.top_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w.top_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	/* Until a pass finds nobody new: children of those who have not joined yet. */
	for (int round = 0; ret > 0 && round < ROUNDS_MAX; round++) {
		ret = look_at_all(&w);
		nr += ret > 0 ? ret : 0;
	}
	free(w.seen);
	close(w.top_fd);
	return ret < 0 ? ret : w.found ? nr : -ESRCH;
}
