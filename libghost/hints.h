/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For applications: tell the agents that schedule them what their threads are
 * about. A page of shared memory; a hint is a few stores, and no system call.
 * In: a socket where agents listen. Out: hints. Needs no library: all of it is
 * in this file, for C and C++, with -D_GNU_SOURCE.
 *
 * Whoever runs without agents that listen goes on without hints: functions take
 * NULL for a page or an entry that could not be had, and do nothing.
 * What agents make of it: docs/hints.md.
 */
#ifndef GHOST_LIBGHOST_HINTS_H
#define GHOST_LIBGHOST_HINTS_H

#ifndef _GNU_SOURCE
#error "libghost/hints.h wants -D_GNU_SOURCE"
#endif

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi/hints.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where agents listen: GHOST_HINTS_DIR/hints_ENCLAVE. `ghost run` tells its command by this. */
#define GHOST_HINTS_DIR "/run/ghost"
#define GHOST_HINTS_ENV "GHOST_HINTS"

/* An answer that takes longer will not come. */
#define GHOST_HINTS_WAIT_S 2

/* A page of this process. */
struct ghost_hints {
	struct ghost_hints_header *page;
	size_t size;
	int page_fd;	   /* the page, to be handed over again */
	int fd;		   /* to the agents; -1: none */
	pid_t pid;	   /* who connected: a child has a copy of all this */
	pthread_key_t key; /* the calling thread's entry */
	bool has_key;
	struct sockaddr_un to;
};

struct ghost_hints_opts {
	size_t size;	     /* sizeof(struct ghost_hints_opts) */
	const char *path;    /* of the socket; NULL: by the next */
	uint32_t enclave;    /* whose agents; 0: those that $GHOST_HINTS leads to */
	uint32_t nr_threads; /* that will have hints at a time: 0 for 64, at most 1024 */
};

/* --- for the functions below ------------------------------------------------------ */

/* The path of the socket of @enclave below @dir. 0 or -ENAMETOOLONG. */
static inline int ghost_hints_path(char *ret, size_t size, const char *dir, uint32_t enclave)
{
	int len = snprintf(ret, size, "%s/hints_%u", dir, enclave);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

static inline struct ghost_hint_entry *ghost_hints_entries(const struct ghost_hints *h)
{
	return (struct ghost_hint_entry *)(h->page + 1);
}

static inline void ghost_hint_begin(struct ghost_hint_entry *e)
{
	uint32_t seq = __atomic_load_n(&e->seq, __ATOMIC_RELAXED);

	/* Odd whatever it was: what went wrong before is over with this. */
	__atomic_store_n(&e->seq, (seq + 1) | 1, __ATOMIC_RELAXED);
}

static inline void ghost_hint_end(struct ghost_hint_entry *e)
{
	uint32_t seq = __atomic_load_n(&e->seq, __ATOMIC_RELAXED);

	__atomic_store_n(&e->seq, (seq + 1) & ~1u, __ATOMIC_RELEASE);
}

/* --- hints --------------------------------------------------------------------------- */
/*
 * An entry has one writer at a time: its thread, or another one that gives it
 * work while it is idle. @e may be NULL.
 */

/* What kind of thread: GHOST_HINT_CLASS_*, or what the policy documents; at most 15. */
static inline void ghost_hint_set_class(struct ghost_hint_entry *e, uint32_t class_)
{
	if (!e)
		return;
	ghost_hint_begin(e);
	__atomic_store_n(&e->class_, class_, __ATOMIC_RELEASE);
	ghost_hint_end(e);
}

/* When what it does now should be done: ns of CLOCK_MONOTONIC; 0: it does not matter. */
static inline void ghost_hint_set_deadline(struct ghost_hint_entry *e, uint64_t deadline_ns)
{
	if (!e)
		return;
	ghost_hint_begin(e);
	__atomic_store_n(&e->deadline_ns, deadline_ns, __ATOMIC_RELEASE);
	ghost_hint_end(e);
}

/* The CPU time that this will take, ns; 0: who knows. At most an hour is believed. */
static inline void ghost_hint_set_expected(struct ghost_hint_entry *e, uint64_t expected_ns)
{
	if (!e)
		return;
	ghost_hint_begin(e);
	__atomic_store_n(&e->expected_ns, expected_ns, __ATOMIC_RELEASE);
	ghost_hint_end(e);
}

/* Has it work to do? Of threads that look for work by themselves, and seem busy then. */
static inline void ghost_hint_set_runnable(struct ghost_hint_entry *e, bool runnable)
{
	if (!e)
		return;
	ghost_hint_begin(e);
	__atomic_store_n(&e->flags, runnable ? GHOST_HINT_RUNNABLE : GHOST_HINT_IDLE,
			 __ATOMIC_RELEASE);
	ghost_hint_end(e);
}

/* All of it at once: agents see all of it, or none. @flags: GHOST_HINT_RUNNABLE, _IDLE or 0. */
static inline void ghost_hint_set(struct ghost_hint_entry *e, uint32_t class_, uint32_t flags,
				  uint64_t deadline_ns, uint64_t expected_ns)
{
	if (!e)
		return;
	ghost_hint_begin(e);
	__atomic_store_n(&e->class_, class_, __ATOMIC_RELEASE);
	__atomic_store_n(&e->flags, flags, __ATOMIC_RELEASE);
	__atomic_store_n(&e->deadline_ns, deadline_ns, __ATOMIC_RELEASE);
	__atomic_store_n(&e->expected_ns, expected_ns, __ATOMIC_RELEASE);
	ghost_hint_end(e);
}

/* --- entries -------------------------------------------------------------------------- */

/* Give an entry back; threads that end do so by themselves. A thread's own, and only once. */
static inline void ghost_hints_release(void *entry)
{
	struct ghost_hint_entry *e = (struct ghost_hint_entry *)entry;

	ghost_hint_set(e, 0, 0, 0, 0);
	__atomic_store_n(&e->tid, 0, __ATOMIC_RELEASE);
}

/**
 * ghost_hints_thread() - the entry of the calling thread
 * @h: a page; NULL: there is none
 * @ret: receives it. The thread's until it ends: keep it.
 *
 * One system call, the first time. Any thread may call it, also before it is a
 * member of an enclave. -ENOENT: @h is NULL; -ENOSPC: more threads than the page
 * was made for; -ENOMEM.
 */
static inline int ghost_hints_thread(struct ghost_hints *h, struct ghost_hint_entry **ret)
{
	struct ghost_hint_entry *e;
	uint32_t tid, nr, none;

	if (!h)
		return -ENOENT;
	e = (struct ghost_hint_entry *)pthread_getspecific(h->key);
	if (e) {
		*ret = e;
		return 0;
	}
	tid = (uint32_t)syscall(SYS_gettid);
	nr = h->page->nr_entries;
	/* Of a thread with that number that could not give it back; else the first free one. */
	for (uint32_t i = 0; i < 2 * nr; i++) {
		e = &ghost_hints_entries(h)[(tid + i) & (nr - 1)];
		none = 0;
		if (i < nr ? __atomic_load_n(&e->tid, __ATOMIC_RELAXED) != tid :
			     !__atomic_compare_exchange_n(&e->tid, &none, tid, false,
							  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		if (pthread_setspecific(h->key, e)) {
			ghost_hints_release(e);
			return -ENOMEM;
		}
		*ret = e;
		return 0;
	}
	return -ENOSPC;
}

/* --- pages ------------------------------------------------------------------------------ */

static inline int ghost_hints_make(struct ghost_hints *h, uint32_t nr_threads)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	uint32_t nr = 1;
	void *page;

	while (nr < nr_threads)
		nr *= 2;
	h->size = sizeof(*h->page) + nr * sizeof(struct ghost_hint_entry);
	/* 8: MFD_NOEXEC_SEAL, which kernels want to be asked for from 6.3 on. */
	h->page_fd = memfd_create("ghost-hints", flags | 8);
	if (h->page_fd < 0)
		h->page_fd = memfd_create("ghost-hints", flags);
	if (h->page_fd < 0 || ftruncate(h->page_fd, (off_t)h->size))
		return -errno;
	page = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, h->page_fd,
		    0);
	if (page == MAP_FAILED)
		return -errno;
	h->page = (struct ghost_hints_header *)page;
	h->page->magic = GHOST_HINTS_MAGIC;
	h->page->version = GHOST_HINTS_VERSION;
	h->page->entry_size = sizeof(struct ghost_hint_entry);
	h->page->size = (uint32_t)h->size;
	h->page->nr_entries = nr;
	return fcntl(h->page_fd, F_ADD_SEALS, GHOST_HINTS_SEALS) ? -errno : 0;
}

/* The page goes over @fd; the answer comes back. */
static inline int ghost_hints_hand_over(const struct ghost_hints *h, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	uint64_t magic = GHOST_HINTS_MAGIC;
	struct ghost_hints_answer answer;
	struct cmsghdr *c;
	struct msghdr m;
	struct iovec io;
	ssize_t n = -1;

	io.iov_base = &magic;
	io.iov_len = sizeof(magic);
	memset(&control, 0, sizeof(control));
	memset(&m, 0, sizeof(m));
	m.msg_iov = &io;
	m.msg_iovlen = 1;
	m.msg_control = &control;
	m.msg_controllen = sizeof(control);
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &h->page_fd, sizeof(int));
	/* Who is refused at the door is told so, whether or not that came through. */
	while (sendmsg(fd, &m, MSG_NOSIGNAL) < 0) {
		if (errno == EPIPE || errno == ECONNRESET)
			break;
		if (errno != EINTR)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	for (int tries = 0; n < 0 && tries < 100; tries++) {
		n = recv(fd, &answer, sizeof(answer), 0);
		if (n < 0 && errno != EINTR && errno != ECONNRESET)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	/* They have just ended. */
	if (n <= 0)
		return -ENOENT;
	return n == (ssize_t)sizeof(answer) ? answer.err : -EPROTO;
}

/**
 * ghost_hints_connect() - hand the page to agents that have come since
 * @h: may be NULL, which is -ENOENT
 *
 * ghost_hints_open() has done it once. When agents are replaced by others, the
 * new ones know nothing of the page: a program that runs for long may call this
 * now and then. It costs one system call while they are the same. Entries stay as they are.
 *
 * Returns 0 when agents have the page, or as ghost_hints_open(). One thread at a time.
 */
static inline int ghost_hints_connect(struct ghost_hints *h)
{
	struct timeval wait = { GHOST_HINTS_WAIT_S, 0 };
	char byte;
	int fd, err = 0;

	if (!h)
		return -ENOENT;
	if (h->fd >= 0) {
		if (recv(h->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
			return 0;
		close(h->fd);
		h->fd = -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	while (connect(fd, (const struct sockaddr *)&h->to, sizeof(h->to))) {
		if (errno == EINTR)
			continue;
		/* A socket that agents left behind when they were killed is none. */
		err = errno == ECONNREFUSED || errno == ENOTDIR ? -ENOENT :
		      errno == EAGAIN				? -ETIMEDOUT :
								  -errno;
		break;
	}
	err = err ? err : ghost_hints_hand_over(h, fd);
	if (err)
		close(fd);
	else
		h->fd = fd;
	h->pid = getpid();
	return err;
}

/**
 * ghost_hints_close() - no more hints of this process
 *
 * No thread may use its entry any more, nor end meanwhile. NULL is fine. Also
 * for a child after fork(), whose threads the page does not know: it closes the
 * page without a word to anybody, and may open one of its own.
 */
static inline void ghost_hints_close(struct ghost_hints *h)
{
	if (!h)
		return;
	if (h->has_key)
		pthread_key_delete(h->key);
	/* Children that hold the connection as well do not keep it. */
	if (h->fd >= 0 && h->pid == getpid())
		shutdown(h->fd, SHUT_RDWR);
	if (h->fd >= 0)
		close(h->fd);
	if (h->page_fd >= 0)
		close(h->page_fd);
	if (h->page)
		munmap(h->page, h->size);
	free(h);
}

/* Where to: 0, -ENOENT when nobody has said, -ENAMETOOLONG. */
static inline int ghost_hints_find(struct ghost_hints *h, const struct ghost_hints_opts *opts)
{
	const char *path = opts ? opts->path : NULL;
	size_t size = sizeof(h->to.sun_path);

	h->to.sun_family = AF_UNIX;
	if (!path && opts && opts->enclave)
		return ghost_hints_path(h->to.sun_path, size, GHOST_HINTS_DIR, opts->enclave);
	path = path ? path : secure_getenv(GHOST_HINTS_ENV);
	if (!path || !*path)
		return -ENOENT;
	if (strlen(path) >= size)
		return -ENAMETOOLONG;
	strcpy(h->to.sun_path, path);
	return 0;
}

/**
 * ghost_hints_open() - a page for the threads of this process, and agents that read it
 * @ret: receives it; untouched on failure
 * @opts: may be NULL: 64 threads, agents by $GHOST_HINTS
 *
 * Waits for the agents' answer, at most a few seconds. A failure is no reason
 * to stop: without a page everything below does nothing.
 *
 * -ENOENT: no agents listen; -EACCES: they do not listen to this user;
 * -EEXIST: they have a page of this process; -ENOSPC: they hold as many as they
 * can; -EPROTONOSUPPORT: they know another version; -EOPNOTSUPP: this process is
 * in a pid namespace of its own, or their kernel is too old; -ETIMEDOUT;
 * -EINVAL: @opts; -ENAMETOOLONG: the path; -ENOMEM, -EMFILE, -ENFILE, -EAGAIN.
 */
static inline int ghost_hints_open(struct ghost_hints **ret, const struct ghost_hints_opts *opts)
{
	uint32_t nr_threads = opts && opts->nr_threads ? opts->nr_threads : 64;
	struct ghost_hints *h;
	int err;

	if ((opts && opts->size < sizeof(*opts)) || nr_threads > GHOST_HINTS_ENTRIES_MAX)
		return -EINVAL;
	h = (struct ghost_hints *)calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->fd = -1;
	h->page_fd = -1;
	err = ghost_hints_find(h, opts);
	err = err ? err : ghost_hints_make(h, nr_threads);
	err = err ? err : -pthread_key_create(&h->key, ghost_hints_release);
	h->has_key = !err;
	err = err ? err : ghost_hints_connect(h);
	if (err) {
		ghost_hints_close(h);
		return err;
	}
	*ret = h;
	return 0;
}

#ifdef __cplusplus
}
#endif

#endif
