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

/* Is it in the tree? The top is, too. */
enum place {
	UNKNOWN,
	BESIDE,
	BELOW,
};

/* As one pass over /proc found it. */
struct process {
	uint32_t pid;
	uint32_t parent;
	enum place place;
	bool seen; /* looked at, in this pass or in the last one */
};

struct table {
	struct process *at; /* [nr], by number */
	size_t nr;
};

struct walk {
	struct ghost_enclave *enclave;
	uint32_t top;
	int top_fd; /* its folder in /proc: empty once it has ended */
	bool (*skip)(uint32_t pid, void *arg);
	void *arg;
	struct table last; /* of the pass before */
	bool found;	   /* there is a member among them */
};

static int by_pid(const void *a, const void *b)
{
	uint32_t x = ((const struct process *)a)->pid, y = ((const struct process *)b)->pid;

	return (x > y) - (x < y);
}

static struct process *find(const struct table *t, uint32_t pid)
{
	const struct process key = { .pid = pid };

	return t->nr ? bsearch(&key, t->at, t->nr, sizeof(key), by_pid) : NULL;
}

static int add(struct table *t, struct process p)
{
	struct process *more;

	if (!(t->nr & (t->nr - 1))) {
		more = realloc(t->at, (t->nr ? 2 * t->nr : 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->at = more;
	}
	t->at[t->nr++] = p;
	return 0;
}

/* Each process is read once, however many descend from it. */
static int read_all(const struct walk *w, struct table *ret)
{
	DIR *dir = opendir("/proc");
	const struct process *last;
	struct dirent *d;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir))) {
		struct process p = { .pid = strtoul(d->d_name, NULL, 10) };

		if (!p.pid)
			continue;
		last = find(&w->last, p.pid);
		p.seen = last && last->seen;
		p.parent = parent_of(p.pid);
		p.place = p.pid == w->top ? BELOW : UNKNOWN;
		err = add(ret, p);
	}
	closedir(dir);
	if (!err && ret->nr)
		qsort(ret->at, ret->nr, sizeof(*ret->at), by_pid);
	return err;
}

/* The answer stays with all on the way up: nobody is asked twice, nor is a circle gone round. */
static bool is_below(const struct table *t, struct process *p)
{
	struct process *up;

	for (up = p; up && up->place == UNKNOWN; up = find(t, up->parent))
		up->place = BESIDE;
	if (up && up->place == BELOW)
		for (up = p; up->place == BESIDE; up = find(t, up->parent))
			up->place = BELOW;
	return p->place == BELOW;
}

/*
 * Asked while @pid is the number of the process that would join, which may be another one
 * than that in the table.
 */
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
	int err = ghost_enclave_join_process(w->enclave, pid, is_other, w);

	if (err == -ESRCH || (err == -ECANCELED && pid != w->top))
		return 0;
	w->found |= err >= 0;
	return err > 0 ? 1 : err;
}

/* One pass over /proc. Returns how many joined, or a negative errno. */
static int look_at_all(struct walk *w)
{
	struct table now = { 0 };
	int nr = 0, ret = read_all(w, &now);

	for (size_t i = 0; ret >= 0 && i < now.nr; i++) {
		struct process *p = &now.at[i];

		if (p->seen || !is_below(&now, p))
			continue;
		p->seen = true;
		ret = look_at(w, p->pid);
		nr += ret > 0;
	}
	free(w->last.at);
	w->last = now;
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
	free(w.last.at);
	close(w.top_fd);
	return ret < 0 ? ret : w.found ? nr : -ESRCH;
}
