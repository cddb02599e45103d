// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Enclaves from user space.
 * In: a backend. Out: enclaves made, entered, counted, taken down.
 * Implements enclave.h.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libghost/enclave.h"
#include "libghost/kernel.h"

#define STALL_NS_DEFAULT (5ull * 1000 * 1000 * 1000)
/* Agents may have to wait for their CPUs, on a busy machine, to leave them. */
#define DESTROY_LIMIT_NS 5000000000ull
/* Between looks: seldom does anybody need more than the first; each is twice the one before. */
#define DESTROY_PAUSE_NS 100000ull
#define DESTROY_PAUSE_NS_MAX 5000000ull
#define RING_LEN_MAX (1u << 24)
#define ROUNDS_MAX 100

struct ghost_enclave {
	struct ghost_backend *backend;
	struct ghost_memory mem;
	uint32_t id;
};

static int admin(struct ghost_backend *b, struct ghost_ctl *ctl)
{
	int err = b->admin(b, ctl);

	return err ?: ctl->ret;
}

int ghost_enclave_list(uint32_t ids[GHOST_ENCLAVES_MAX])
{
	struct dirent *d;
	DIR *dir = opendir(GHOST_PIN_ROOT);
	unsigned int id;
	int n = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((d = readdir(dir)) && n < GHOST_ENCLAVES_MAX)
		if (sscanf(d->d_name, "enclave_%u", &id) == 1 && id < GHOST_ENCLAVES_MAX)
			ids[n++] = id;
	closedir(dir);
	/* Small and almost sorted: the directory lists in order of creation. */
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && ids[j] < ids[j - 1]; j--) {
			uint32_t swap = ids[j];

			ids[j] = ids[j - 1];
			ids[j - 1] = swap;
		}
	return n;
}

int ghost_enclave_open(struct ghost_enclave **ret, struct ghost_backend *backend, uint32_t id)
{
	struct ghost_enclave *e;
	int err;

	if (!id || id >= GHOST_ENCLAVES_MAX)
		return -ENOENT;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->backend = backend;
	e->id = id;
	err = backend->memory_map(backend, id, &e->mem);
	if (err) {
		free(e);
		return err;
	}
	/* Its memory is there, but whoever made it died before the enclave was. */
	if (ghost_enclave_status(e)->state == GHOST_ENCLAVE_FREE) {
		ghost_enclave_close(e);
		return -ENOENT;
	}
	*ret = e;
	return 0;
}

void ghost_enclave_close(struct ghost_enclave *e)
{
	if (!e)
		return;
	e->backend->memory_unmap(e->backend, &e->mem);
	free(e);
}

static int create_with_id(struct ghost_backend *b, uint32_t id,
			  const struct ghost_enclave_opts *opts)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_ENCLAVE_CREATE,
		.enclave = id,
		.stall_ns = opts->stall_ns ?: STALL_NS_DEFAULT,
	};
	int err;

	ctl.len = opts->ring_len ?: GHOST_RING_DEFAULT;
	ctl.capacity = opts->max_tasks;
	ctl.flags = opts->fallback;
	ctl.token = b->token(b);
	if (!ctl.token)
		return -EIO;
	err = b->enclave_prepare(b, id, ctl.len);
	if (err)
		return err;
	memcpy(ctl.cpus, opts->cpus->word, sizeof(ctl.cpus));
	err = admin(b, &ctl);
	if (err)
		b->enclave_discard(b, id);
	return err;
}

/* 0 when each of @cpus is there, and there is one. */
static int check_cpus(struct ghost_backend *b, const struct ghost_cpuset *cpus)
{
	struct ghost_cpuset online;
	int err;

	if (!cpus || ghost_cpuset_empty(cpus))
		return -EINVAL;
	err = b->cpus_online(b, &online);
	if (err)
		return err;
	ghost_cpuset_for_each(cpu, cpus) if (!ghost_cpuset_has(&online, cpu)) return -EINVAL;
	return 0;
}

int ghost_enclave_create(struct ghost_enclave **ret, struct ghost_backend *backend,
			 const struct ghost_enclave_opts *opts)
{
	uint32_t id;
	int err;

	if (opts->size < sizeof(*opts) || opts->stall_ns > GHOST_STALL_NS_MAX ||
	    opts->ring_len > RING_LEN_MAX || opts->fallback > GHOST_FALLBACK_MAX)
		return -EINVAL;
	err = check_cpus(backend, opts->cpus);
	if (err)
		return err;
	for (id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		err = create_with_id(backend, id, opts);
		if (err != -EEXIST)
			break;
	}
	if (id == GHOST_ENCLAVES_MAX)
		return -ENOSPC;
	return err ?: ghost_enclave_open(ret, backend, id);
}

uint32_t ghost_enclave_id(const struct ghost_enclave *e)
{
	return e->id;
}

const struct ghost_enclave_status *ghost_enclave_status(const struct ghost_enclave *e)
{
	return (const struct ghost_enclave_status *)&e->mem.status[0];
}

const struct ghost_memory *ghost_enclave_memory(const struct ghost_enclave *e)
{
	return &e->mem;
}

struct ghost_backend *ghost_enclave_backend(const struct ghost_enclave *e)
{
	return e->backend;
}

int ghost_enclave_cpus(const struct ghost_enclave *e, struct ghost_cpuset *ret)
{
	struct ghost_cpuset s = { 0 };

	for (uint32_t cpu = 0; cpu < e->mem.nr_cpus; cpu++)
		if (e->mem.cpu[cpu].owned)
			ghost_cpuset_add(&s, cpu);
	*ret = s;
	return 0;
}

int ghost_enclave_set_cpus(struct ghost_enclave *e, const struct ghost_cpuset *cpus)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_ENCLAVE_CPUS, .enclave = e->id };
	struct ghost_cpuset now;
	int err = ghost_enclave_cpus(e, &now);

	if (!err && !memcmp(&now, cpus, sizeof(now)))
		return 0;
	err = err ?: check_cpus(e->backend, cpus);
	if (err)
		return err;
	memcpy(ctl.cpus, cpus->word, sizeof(ctl.cpus));
	return admin(e->backend, &ctl);
}

int ghost_enclave_slo(struct ghost_enclave *e, uint64_t limit_ns)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_ENCLAVE_SLO,
		.enclave = e->id,
		.stall_ns = limit_ns,
	};

	return admin(e->backend, &ctl);
}

int ghost_enclave_delegate(struct ghost_enclave *e, uint32_t uid, uint32_t gid)
{
	if (uid == ~0u && gid == ~0u)
		return -EINVAL;
	if (!e->backend->enclave_delegate)
		return -EOPNOTSUPP;
	return e->backend->enclave_delegate(e->backend, e->id, uid, gid);
}

/* Is @tid the number of the same thread as when @fd was opened? */
static bool lives(struct ghost_backend *b, int fd)
{
	return fd < 0 || b->task_lives(b, fd);
}

/*
 * Kernel requests name threads by number, and a number may be given again. Membership
 * goes with the thread, so that no other one has it; the class is changed by number, and
 * for the length of that call (sched_setscheduler(2) takes no descriptor) it can be
 * another thread's: that one goes back to the fair class.
 */
static int join(struct ghost_enclave *e, uint32_t tid, int fd)
{
	struct ghost_ctl join = { .op = GHOST_CTL_TASK_JOIN, .enclave = e->id, .tid = tid };
	struct ghost_ctl unjoin = { .op = GHOST_CTL_TASK_UNJOIN, .tid = tid };
	struct ghost_backend *b = e->backend;
	int err;

	err = admin(b, &join);
	if (err)
		return err;
	err = lives(b, fd) ? 0 : -ESRCH;
	/* Membership begins with the change of class: a thread already in it leaves first. */
	err = err ?: b->task_leave(b, tid);
	err = err ?: b->task_enter(b, tid);
	if (!err && !lives(b, fd)) {
		b->task_leave(b, tid);
		err = -ESRCH;
	}
	if (err)
		admin(b, &unjoin);
	return err;
}

int ghost_enclave_join_if(struct ghost_enclave *e, uint32_t tid,
			  bool (*is_meant)(uint32_t tid, void *arg), void *arg)
{
	struct ghost_backend *b = e->backend;
	int fd = b->task_open ? b->task_open(b, tid) : -1, err;

	if (fd < 0 && b->task_open)
		return fd;
	err = is_meant && !is_meant(tid, arg) ? -ECANCELED : join(e, tid, fd);
	if (fd >= 0)
		close(fd);
	return err;
}

int ghost_enclave_join(struct ghost_enclave *e, uint32_t tid)
{
	return ghost_enclave_join_if(e, tid, NULL, NULL);
}

/* Is @tid in the table already? */
static bool is_member(const struct ghost_enclave *e, uint32_t tid)
{
	uint32_t nr = ghost_enclave_status(e)->nr_slots;

	for (uint32_t slot = 1; slot < nr && slot < e->mem.capacity; slot++) {
		const struct ghost_status *st = &e->mem.status[slot];

		if (st->tid == tid && ghost_status_flags(st->word) & GHOST_STATUS_INUSE)
			return true;
	}
	return false;
}

/* Is @tid a thread of the process whose threads this folder of /proc lists? */
static bool is_listed(uint32_t tid, void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", tid);
	return !faccessat(*(const int *)arg, name, F_OK, 0);
}

/*
 * Those that @dir lists and that are no members yet. Their number, or a negative errno;
 * *@ret_any becomes true if it lists a member by now.
 */
static int join_listed(struct ghost_enclave *e, DIR *dir, bool *ret_any)
{
	int fd = dirfd(dir), joined = 0;
	struct dirent *d;

	while ((d = readdir(dir))) {
		uint32_t tid = strtoul(d->d_name, NULL, 10);
		bool member = tid && is_member(e, tid);
		int err;

		*ret_any |= member;
		if (!tid || member)
			continue;
		err = ghost_enclave_join_if(e, tid, is_listed, &fd);
		/* It has ended. */
		if (err == -ESRCH || err == -ECANCELED)
			continue;
		if (err)
			return err;
		*ret_any = true;
		joined++;
	}
	return joined;
}

int ghost_enclave_join_process(struct ghost_enclave *e, uint32_t pid,
			       bool (*skip)(uint32_t pid, void *arg), void *arg)
{
	int nr = 1, joined = 0;
	bool any = false;
	char path[64];
	DIR *dir;

	/* This lists threads of the process that has the number now, and of no later one. */
	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	if (skip && skip(pid, arg))
		nr = -ECANCELED;
	/* Until a round finds nobody new: threads may be born while we read. */
	for (int round = 0; nr > 0 && round < ROUNDS_MAX; round++) {
		rewinddir(dir);
		nr = join_listed(e, dir, &any);
		joined += nr > 0 ? nr : 0;
	}
	closedir(dir);
	return nr < 0 ? nr : any ? joined : -ESRCH;
}

/* One pass over the table: everyone out. */
static void expel_all(struct ghost_enclave *e)
{
	const struct ghost_enclave_status *es = ghost_enclave_status(e);

	for (uint32_t slot = 1; slot < es->nr_slots && slot < e->mem.capacity; slot++) {
		const struct ghost_status *st = &e->mem.status[slot];

		if (ghost_status_flags(st->word) & GHOST_STATUS_INUSE)
			e->backend->task_leave(e->backend, st->tid);
	}
}

int ghost_enclave_destroy(struct ghost_enclave *e)
{
	struct ghost_ctl destroy = { .op = GHOST_CTL_ENCLAVE_DESTROY, .enclave = e->id };
	struct ghost_ctl release = { .op = GHOST_CTL_ENCLAVE_FREE, .enclave = e->id };
	uint64_t end = e->backend->now_ns(e->backend) + DESTROY_LIMIT_NS;
	uint64_t waited = 0, pause = DESTROY_PAUSE_NS;
	int err = admin(e->backend, &destroy);

	if (err && err != -ENOENT)
		return err;
	/*
	 * A thread that is being forked right now is a member a moment later:
	 * look until the table is empty. Dying threads leave by themselves. Pauses are
	 * counted, too, as a simulated process that was killed sees no time pass.
	 */
	while (!err && waited < DESTROY_LIMIT_NS && e->backend->now_ns(e->backend) < end) {
		expel_all(e);
		err = admin(e->backend, &release);
		if (err != -EBUSY)
			break;
		err = 0;
		e->backend->sleep(e->backend, pause);
		waited += pause;
		pause = pause * 2 < DESTROY_PAUSE_NS_MAX ? pause * 2 : DESTROY_PAUSE_NS_MAX;
	}
	if (err && err != -ENOENT)
		return err;
	if (!err && ghost_enclave_status(e)->state != GHOST_ENCLAVE_FREE)
		return -EBUSY;
	e->backend->enclave_discard(e->backend, e->id);
	return 0;
}

int ghost_enclave_count(const struct ghost_enclave *e, struct ghost_enclave_counts *ret)
{
	const struct ghost_enclave_status *es = ghost_enclave_status(e);
	struct ghost_enclave_counts sum = { 0 };

	/* Those past the last CPU are queues only: the rest of them is zero. */
	for (uint32_t i = 0; i < e->mem.nr_queues; i++) {
		const struct ghost_cpu *page = &e->mem.cpu[i];

		for (int i = 0; i < GHOST_NR_COUNTERS; i++)
			sum.nr[i] += page->nr[i];
		for (int i = 0; i < GHOST_TXN_NR_STATES; i++)
			sum.nr_txn[i] += page->nr_txn[i];
		sum.nr_msgs += page->queue.head;
		sum.nr_overflows += page->queue.overflow;
		sum.nr_agents += page->agent_tid != 0;
	}
	for (uint32_t slot = 1; slot < es->nr_slots && slot < e->mem.capacity; slot++)
		sum.nr_tasks += ghost_status_flags(e->mem.status[slot].word) & GHOST_STATUS_INUSE;
	*ret = sum;
	return 0;
}

int ghost_enclave_owner(struct ghost_backend *backend, uint32_t cpu)
{
	uint32_t ids[GHOST_ENCLAVES_MAX];
	int n = ghost_enclave_list(ids);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		struct ghost_enclave *e;
		struct ghost_cpuset cpus;
		bool has;

		if (ghost_enclave_open(&e, backend, ids[i]))
			continue;
		ghost_enclave_cpus(e, &cpus);
		has = ghost_cpuset_has(&cpus, cpu) &&
		      ghost_enclave_status(e)->state != GHOST_ENCLAVE_FREE;
		ghost_enclave_close(e);
		if (has)
			return ids[i];
	}
	return 0;
}

#define NAME_OF(table, index) \
	((index) < sizeof(table) / sizeof((table)[0]) && (table)[index] ? (table)[index] : "?")

const char *ghost_enclave_state_name(uint32_t state)
{
	static const char *const names[] = { "free", "idle", "online", "lost", "dying" };

	return NAME_OF(names, state);
}

const char *ghost_lost_reason_name(uint32_t reason)
{
	static const char *const names[] = { "none", "agent_exit", "stall", "cpu_offline" };

	return NAME_OF(names, reason);
}

const char *ghost_txn_state_name(uint32_t state)
{
	static const char *const names[GHOST_TXN_NR_STATES] = {
		[GHOST_TXN_FREE] = "free",
		[GHOST_TXN_READY] = "ready",
		[GHOST_TXN_COMMITTED] = "committed",
		[GHOST_TXN_YIELDED] = "yielded",
		[GHOST_TXN_AGENT_STALE] = "agent_stale",
		[GHOST_TXN_TASK_STALE] = "task_stale",
		[GHOST_TXN_NOT_FOUND] = "not_found",
		[GHOST_TXN_NOT_RUNNABLE] = "not_runnable",
		[GHOST_TXN_ON_CPU] = "on_cpu",
		[GHOST_TXN_NOT_ALLOWED] = "not_allowed",
		[GHOST_TXN_AGAIN] = "again",
		[GHOST_TXN_INVALID] = "invalid",
		[GHOST_TXN_CPU_UNAVAIL] = "cpu_unavail",
		[GHOST_TXN_CPU_OFFLINE] = "cpu_offline",
		[GHOST_TXN_CPU_OCCUPIED] = "cpu_occupied",
		[GHOST_TXN_INVALID_CPU] = "invalid_cpu",
		[GHOST_TXN_NO_AGENT] = "no_agent",
		[GHOST_TXN_POISONED] = "poisoned",
		[GHOST_TXN_ABORTED] = "aborted",
		[GHOST_TXN_TAKEN] = "taken",
	};

	return NAME_OF(names, state);
}

const char *ghost_counter_name(uint32_t counter)
{
	static const char *const names[GHOST_NR_COUNTERS] = {
		[GHOST_NR_TASKS] = "tasks", [GHOST_NR_FALLBACKS] = "fallbacks",
		[GHOST_NR_KICKS] = "kicks", [GHOST_NR_PICKS] = "picks",
		[GHOST_NR_WAITS] = "waits", [GHOST_NR_LATE] = "late",
	};

	return NAME_OF(names, counter);
}

const char *ghost_fallback_name(uint32_t fallback)
{
	static const char *const names[] = {
		[GHOST_FALLBACK_FIFO] = "fifo",
		[GHOST_FALLBACK_WEIGHTED] = "weighted",
		[GHOST_FALLBACK_FAIR] = "fair",
	};

	return NAME_OF(names, fallback);
}
