// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records below /run/ghost: who keeps which enclave, who is about to make one.
 * In: processes. Out: JSON files, each replaced as a whole. See record.h.
 * Called by run, tidy and the verbs that change enclaves.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/record.h"
#include "libghost/hints.h"
#include "libghost/proc.h"

#define RECORD_DIR "/run/ghost"
#define LOCK_PATH RECORD_DIR "/lock"
#define INTENT_NAME "intent"
#define AUTOMATIC_NAME "automatic"
#define ENABLE_SEQ_PATH "/sys/kernel/sched_ext/enable_seq"

#ifndef PIDFD_THREAD /* 6.9 */
#define PIDFD_THREAD O_EXCL
#endif

/* --- processes ---------------------------------------------------------------- */

bool process_of(pid_t pid, struct process *ret)
{
	char line[PROC_STAT_SIZE], state;
	const char *c = pid > 0 ? proc_stat(pid, line) : NULL;
	unsigned long long start;
	unsigned int nr_threads;

	/* Fields 3 (state), 20 and 22. */
	if (!c ||
	    sscanf(c,
		   "%c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u %*s %llu",
		   &state, &nr_threads, &start) != 3)
		return false;
	/* A zombie does nothing any more; but its first thread may be one long before the others. */
	if ((state == 'Z' || state == 'X') && nr_threads <= 1)
		return false;
	ret->pid = pid;
	ret->start = start;
	return true;
}

bool process_alive(const struct process *p)
{
	struct process now;

	return p->pid && process_of(p->pid, &now) && now.start == p->start;
}

int process_signal(const struct process *p, int signal)
{
	int fd = p->pid ? pidfd_open(p->pid, 0) : -1, ret = -ESRCH;

	/* One of its agents stands for it: SIGKILL ends them all. */
	if (fd < 0 && p->pid)
		fd = pidfd_open(p->pid, PIDFD_THREAD);
	/* Whoever has the number while we ask is whom the descriptor means. */
	if (fd >= 0 && process_alive(p) && !pidfd_send_signal(fd, signal, NULL, 0))
		ret = 0;
	if (fd >= 0)
		close(fd);
	return ret;
}

static json_t *process_json(const struct process *p)
{
	return json_pack("{s:i, s:I}", "pid", (int)p->pid, "start", (json_int_t)p->start);
}

static void process_from(json_t *object, const char *key, struct process *ret)
{
	json_t *p = json_object_get(object, key);

	ret->pid = json_integer_value(json_object_get(p, "pid"));
	ret->start = json_integer_value(json_object_get(p, "start"));
}

/* --- the lock ------------------------------------------------------------------ */

int record_lock(void)
{
	static const struct timespec nap = { .tv_nsec = 20 * 1000 * 1000 };
	int fd;

	if (mkdir(RECORD_DIR, 0700) && errno != EEXIST)
		return -errno;
	fd = open(LOCK_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			int err = -errno;

			close(fd);
			return err;
		}
		if (i == 150)
			say("waiting for another ghost command to finish");
		nanosleep(&nap, NULL);
	}
	return fd;
}

void record_unlock(int lock)
{
	close(lock);
}

/* --- files ----------------------------------------------------------------------- */

static void path_of(char *buf, size_t size, const char *name)
{
	snprintf(buf, size, RECORD_DIR "/%s", name);
}

static int write_file(const char *name, json_t *object)
{
	char path[128], temporary[128 + 4];
	int ret = 0;

	if (!object)
		return -ENOMEM;
	path_of(path, sizeof(path), name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	if (json_dump_file(object, temporary, JSON_INDENT(1)))
		ret = errno ? -errno : -EIO;
	else if (rename(temporary, path))
		ret = -errno;
	if (ret)
		unlink(temporary);
	json_decref(object);
	return ret;
}

void kill_agents(const struct process *p)
{
	struct sched_param param = { 0 };
	char path[64];
	struct dirent *d;
	DIR *dir;

	/* Of this process, and of no later one with its number. */
	snprintf(path, sizeof(path), "/proc/%d/task", (int)p->pid);
	dir = opendir(path);
	if (dir && !process_alive(p)) {
		closedir(dir);
		return;
	}
	while (dir && (d = readdir(dir))) {
		pid_t tid = atoi(d->d_name);

		if (tid && (sched_getscheduler(tid) & ~SCHED_RESET_ON_FORK) == POLICY_SCHED_EXT)
			sched_setscheduler(tid, SCHED_OTHER, &param);
	}
	if (dir)
		closedir(dir);
	process_signal(p, SIGKILL);
}

/* Of a file that only the command writes to which named it so, and which has ended? */
static bool is_unfinished(const char *name)
{
	size_t len = strlen(name);
	struct process p;
	int pid, end = 0;

	if (len > 4 && !strcmp(name + len - 4, ".new"))
		return true;
	/* Who made it has another name for it, or none, when it ends by itself. */
	return sscanf(name, RECORD_CREATE_LOG "%n", &pid, &end) == 1 && end == (int)len &&
	       !process_of(pid, &p);
}

void record_remove_unfinished(void)
{
	char path[128];
	struct dirent *d;
	DIR *dir;

	path_of(path, sizeof(path), "");
	dir = opendir(path);
	while (dir && (d = readdir(dir)))
		if (is_unfinished(d->d_name))
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
}

static int read_file(const char *name, json_t **ret)
{
	char path[128];
	json_t *object;

	path_of(path, sizeof(path), name);
	if (access(path, F_OK))
		return -errno;
	object = json_load_file(path, 0, NULL);
	if (!object)
		return -EIO;
	*ret = object;
	return 0;
}

static void remove_file(const char *name)
{
	char path[128];

	path_of(path, sizeof(path), name);
	unlink(path);
}

/* --- one enclave --------------------------------------------------------------- */

static void enclave_name(char *buf, size_t size, uint32_t id)
{
	snprintf(buf, size, "enclave_%u", id);
}

int run_record_write(const struct record *r)
{
	char name[32];

	enclave_name(name, sizeof(name), r->enclave);
	return write_file(name,
			  json_pack("{s:i, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "enclave",
				    (int)r->enclave, "keeper", process_json(&r->keeper), "agent",
				    process_json(&r->agent), "upgrader", process_json(&r->upgrader),
				    "policy", r->policy, "params", json_text(r->params), "command",
				    json_text(r->command), "config", json_text(r->config)));
}

static void copy_text(char *to, size_t size, json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(to, size, "%s", text ? text : "");
}

int run_record_read(uint32_t enclave, struct record *ret)
{
	struct record r = { .enclave = enclave };
	json_t *object;
	char name[32];
	int err;

	enclave_name(name, sizeof(name), enclave);
	err = read_file(name, &object);
	if (err)
		return err;
	process_from(object, "keeper", &r.keeper);
	process_from(object, "agent", &r.agent);
	process_from(object, "upgrader", &r.upgrader);
	copy_text(r.params, sizeof(r.params), object, "params");
	copy_text(r.policy, sizeof(r.policy), object, "policy");
	copy_text(r.command, sizeof(r.command), object, "command");
	copy_text(r.config, sizeof(r.config), object, "config");
	json_decref(object);
	*ret = r;
	return 0;
}

int run_record_find(const char *config, struct record *ret)
{
	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++)
		if (!run_record_read(id, ret) && process_alive(&ret->keeper) &&
		    !strcmp(ret->config, config))
			return 0;
	return -ENOENT;
}

void record_remove(uint32_t enclave)
{
	char name[32], path[64];

	enclave_name(name, sizeof(name), enclave);
	remove_file(name);
	/* What agents leave that are killed: the socket for hints. */
	if (!ghost_hints_path(path, sizeof(path), GHOST_HINTS_DIR, enclave))
		unlink(path);
}

bool record_is_live(const struct record *r)
{
	return process_alive(&r->keeper) || process_alive(&r->agent);
}

bool record_is_ours(uint32_t pid)
{
	struct record r;

	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		if (run_record_read(id, &r))
			continue;
		if ((r.keeper.pid == (pid_t)pid && process_alive(&r.keeper)) ||
		    (r.agent.pid == (pid_t)pid && process_alive(&r.agent)))
			return true;
	}
	return false;
}

/* --- what is about to happen ------------------------------------------------------ */

int intent_write(const struct intent *in)
{
	return write_file(INTENT_NAME,
			  json_pack("{s:o, s:I, s:b}", "keeper", process_json(&in->keeper),
				    "before", (json_int_t)in->before, "loading", in->loading));
}

int intent_read(struct intent *ret)
{
	json_t *object;
	int err = read_file(INTENT_NAME, &object);

	if (err)
		return err;
	process_from(object, "keeper", &ret->keeper);
	ret->before = json_integer_value(json_object_get(object, "before"));
	ret->loading = json_is_true(json_object_get(object, "loading"));
	json_decref(object);
	return 0;
}

void intent_remove(void)
{
	remove_file(INTENT_NAME);
}

/* The kernel counts how often a scheduler was enabled: the name of a loading. */
static long long loading_number(void)
{
	long long n = -1;
	FILE *f = fopen(ENABLE_SEQ_PATH, "re");

	if (!f)
		return -1;
	if (fscanf(f, "%lld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

void automatic_mark(void)
{
	write_file(AUTOMATIC_NAME, json_pack("{s:I}", "loading", (json_int_t)loading_number()));
}

bool automatic_marked(void)
{
	json_t *object;
	bool ret;

	if (read_file(AUTOMATIC_NAME, &object))
		return false;
	ret = json_integer_value(json_object_get(object, "loading")) == loading_number();
	json_decref(object);
	return ret;
}

void automatic_unmark(void)
{
	remove_file(AUTOMATIC_NAME);
}
