// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The threads of a cgroup (version 2) as members of an enclave.
 * In: a folder of cgroupfs. Out: threads that joined. Implements its part of enclave.h.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/cgroup.h"
#include "libghost/enclave.h"

/* Of what precedes the name that threads know their cgroup by. */
#define ROOT_LEN (sizeof(CGROUP_ROOT) - 1)

struct walk {
	struct ghost_enclave *enclave;
	bool (*skip)(uint32_t tid, void *arg);
	void *arg;
	uint32_t *members; /* sorted */
	size_t nr_members;
	char path[PATH_MAX]; /* of the folder that is looked at */
	size_t top_len;	     /* of the folder asked for */
	int joined;
	int err;
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int list_members(struct walk *w)
{
	const struct ghost_memory *mem = ghost_enclave_memory(w->enclave);
	uint32_t nr = ghost_enclave_status(w->enclave)->nr_slots;

	w->members = calloc(nr + 1, sizeof(*w->members));
	if (!w->members)
		return -ENOMEM;
	for (uint32_t slot = 1; slot < nr && slot < mem->capacity; slot++) {
		const struct ghost_status *st = &mem->status[slot];

		if (ghost_status_flags(st->word) & GHOST_STATUS_INUSE)
			w->members[w->nr_members++] = st->tid;
	}
	qsort(w->members, w->nr_members, sizeof(*w->members), by_number);
	return 0;
}

/* Is @tid below the cgroup? Its number may be another thread's than when it was listed. */
static bool is_below(const struct walk *w, uint32_t tid)
{
	size_t len = w->top_len - ROOT_LEN;
	char path[64], line[PATH_MAX + 8];
	bool below = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/cgroup", tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::", 3))
			continue;
		below = !strncmp(line + 3, w->path + ROOT_LEN, len) &&
			(!line[3 + len] || line[3 + len] == '/');
	}
	if (f)
		fclose(f);
	return below;
}

/* Who is of a higher class than the fair one is so on purpose. */
static bool is_meant(uint32_t tid, void *arg)
{
	const struct walk *w = arg;
	int policy = sched_getscheduler(tid) & ~SCHED_RESET_ON_FORK;

	return policy != SCHED_FIFO && policy != SCHED_RR && policy != 6 /* SCHED_DEADLINE */ &&
	       is_below(w, tid) && !(w->skip && w->skip(tid, w->arg));
}

static void look_at_thread(struct walk *w, uint32_t tid)
{
	int err;

	if (!tid || bsearch(&tid, w->members, w->nr_members, sizeof(tid), by_number))
		return;
	err = ghost_enclave_join_if(w->enclave, tid, is_meant, w);
	if (!err)
		w->joined++;
	/* It ended, is not meant, or is an agent. */
	else if (err != -ESRCH && err != -ECANCELED && err != -EPERM)
		w->err = err;
}

static void look_at_folder(struct walk *w)
{
	size_t len = strlen(w->path);
	struct dirent *d;
	unsigned int tid;
	DIR *dir;
	FILE *f;

	if (len + sizeof("/cgroup.threads") > sizeof(w->path))
		return;
	strcpy(w->path + len, "/cgroup.threads");
	f = fopen(w->path, "re");
	w->path[len] = 0;
	while (f && !w->err && fscanf(f, "%u", &tid) == 1)
		look_at_thread(w, tid);
	if (f)
		fclose(f);
	dir = opendir(w->path);
	while (dir && !w->err && (d = readdir(dir))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.' ||
		    len + 1 + strlen(d->d_name) >= sizeof(w->path))
			continue;
		w->path[len] = '/';
		strcpy(w->path + len + 1, d->d_name);
		look_at_folder(w);
		w->path[len] = 0;
	}
	if (dir)
		closedir(dir);
}

int ghost_enclave_join_cgroup(struct ghost_enclave *e, const char *cgroup,
			      bool (*skip)(uint32_t tid, void *arg), void *arg)
{
	struct walk w = { .enclave = e, .skip = skip, .arg = arg };
	struct stat st;
	int all = 0, err = cgroup_find(cgroup, w.path, &st);

	if (err)
		return err;
	w.top_len = strlen(w.path);
	/* Until a round finds nobody new: threads may be born while we read. */
	for (int round = 0; round < 100; round++) {
		w.joined = 0;
		w.nr_members = 0;
		w.err = list_members(&w);
		if (!w.err)
			look_at_folder(&w);
		free(w.members);
		all += w.joined;
		if (w.err || !w.joined)
			break;
	}
	return w.err ?: all;
}
