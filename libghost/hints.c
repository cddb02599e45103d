// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hints of applications, for policies: a thread that takes pages in, and the
 * look into them.
 * In: connections of processes, each with a page. Out: ghost_task_hint().
 * Implements hints_table.h; the other side is libghost/hints.h.
 *
 * A page says which thread each entry is about. That is never believed of
 * threads of others, because it is never asked: the search begins with a thread,
 * goes to its process, which the kernel side knows, and ends in that one's page.
 *
 * A page that is given up may be in an agent's hands. So it is not unmapped
 * but mapped over: its place holds readable memory from the beginning to the end,
 * and the generation of its record tells who has read during the change.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libghost/backend.h"
#include "libghost/hints.h"
#include "libghost/task.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

/* Pids are smaller on every 64-bit kernel (PID_MAX_LIMIT). */
#define NR_PIDS (1u << 22)
/* Entries looked at in one search; it goes on there the next time. */
#define PROBES 8
/* Readings of an entry that is being written. */
#define TRIES 4

#define PAGE_SIZE_MAX                        \
	(sizeof(struct ghost_hints_header) + \
	 GHOST_HINTS_ENTRIES_MAX * sizeof(struct ghost_hint_entry))
/* A page's place, in whole pages of memory. */
#define PLACE_SIZE ((PAGE_SIZE_MAX + 4095) & ~4095ul)

#define NR_PLACES GHOST_HINTS_PROCESSES_MAX

/* A process that connected. Written by the listening thread; agents read the first three. */
struct record {
	uint32_t gen; /* even while there is a page; changes with it */
	uint32_t tgid;
	uint32_t nr_entries;
	int fd; /* -1: the record is free */
	int pidfd;
};

struct hints {
	struct ghost_backend *backend;
	void *thread;
	int epoll, stop, listen;
	int spare; /* closed for a moment to refuse one more when descriptors are used up */
	uint16_t *place_of; /* [NR_PIDS] by process: 1 + its record; 0: none */
	char *places;	    /* [NR_PLACES * PLACE_SIZE] */
	struct record record[NR_PLACES];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t dev; /* what we put there */
	ino_t ino;
};

/* --- what agents do ------------------------------------------------------------------- */

void task_hint_reset(struct task_hint *th)
{
	th->at = 0;
	th->known = false;
}

static void bring_into_range(struct ghost_hint *h)
{
	const uint32_t both = GHOST_HINT_RUNNABLE | GHOST_HINT_IDLE;

	if (h->class_ > GHOST_HINT_CLASS_MAX)
		h->class_ = GHOST_HINT_CLASS_DEFAULT;
	h->flags &= both;
	if (h->flags == both)
		h->flags = 0;
	/* So that policies may add and subtract. */
	if (h->deadline_ns > INT64_MAX)
		h->deadline_ns = INT64_MAX;
	if (h->expected_ns > GHOST_HINT_EXPECTED_MAX_NS)
		h->expected_ns = GHOST_HINT_EXPECTED_MAX_NS;
}

enum reading {
	READ,
	BEING_WRITTEN,
	SOMEBODY_ELSES,
};

/* Each word is read once; stores of the other side are releases in the order of the seq's. */
static enum reading entry_read(const struct ghost_hint_entry *e, uint32_t tid,
			       struct ghost_hint *ret)
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t seq = ghost_load_acquire(&e->seq), owner;

		if (seq & 1) {
			ghost_relax();
			continue;
		}
		ret->class_ = ghost_load_acquire(&e->class_);
		ret->flags = ghost_load_acquire(&e->flags);
		ret->deadline_ns = ghost_load_acquire(&e->deadline_ns);
		ret->expected_ns = ghost_load_acquire(&e->expected_ns);
		owner = ghost_load_acquire(&e->tid);
		if (owner != tid)
			return SOMEBODY_ELSES;
		if (__atomic_load_n(&e->seq, __ATOMIC_RELAXED) == seq)
			return READ;
	}
	return BEING_WRITTEN;
}

/* The entry of @tid in the page at @place, or NULL: not found yet. */
static const struct ghost_hint_entry *entry_find(const char *place, uint32_t nr, uint32_t tid,
						 struct task_hint *th)
{
	const struct ghost_hint_entry *entries =
		(const void *)(place + sizeof(struct ghost_hints_header));
	uint32_t at = th->at;

	for (int i = 0; i < PROBES; i++, at++) {
		const struct ghost_hint_entry *e = &entries[(tid + at) & (nr - 1)];

		if (__atomic_load_n(&e->tid, __ATOMIC_RELAXED) != tid)
			continue;
		th->at = at & (nr - 1);
		return e;
	}
	th->at = at & (nr - 1);
	return NULL;
}

static enum reading page_read(const struct hints *h, struct ghost_task *t, uint32_t *ret_gen,
			      struct ghost_hint *ret)
{
	uint32_t tgid = ghost_load_acquire(&t->status->tgid), tid = (uint32_t)t->gtid, nr, place;
	const struct ghost_hint_entry *e;
	const struct record *r;
	enum reading got;

	/* The slot may have another thread by now: its number is written before its process. */
	if (__atomic_load_n(&t->status->gtid, __ATOMIC_RELAXED) != t->gtid || tgid >= NR_PIDS)
		return SOMEBODY_ELSES;
	place = __atomic_load_n(&h->place_of[tgid], __ATOMIC_ACQUIRE);
	if (!place--)
		return SOMEBODY_ELSES;
	r = &h->record[place];
	*ret_gen = ghost_load_acquire(&r->gen);
	if (*ret_gen & 1 || ghost_load_acquire(&r->tgid) != tgid)
		return SOMEBODY_ELSES;
	nr = ghost_load_acquire(&r->nr_entries);
	e = entry_find(h->places + place * PLACE_SIZE, nr, tid, &t->hint);
	got = e ? entry_read(e, tid, ret) : SOMEBODY_ELSES;
	/* Whose page was it? */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&r->gen, __ATOMIC_RELAXED) == *ret_gen ? got : SOMEBODY_ELSES;
}

bool hints_read(struct hints *h, struct ghost_task *t, struct ghost_hint *ret)
{
	const struct ghost_hint_entry *e;
	struct task_hint *th = &t->hint;
	enum reading got = SOMEBODY_ELSES;
	struct ghost_hint hint;
	uint32_t gen = 0;
	bool known;

	if (!h->backend->hint_entry && !h->place_of)
		return false;
	ghost_lock(&th->lock);
	if (h->backend->hint_entry) {
		e = h->backend->hint_entry(h->backend, (uint32_t)t->gtid);
		if (e)
			got = entry_read(e, (uint32_t)t->gtid, &hint);
	} else {
		got = page_read(h, t, &gen, &hint);
	}
	if (got == READ) {
		bring_into_range(&hint);
		th->last = hint;
		th->gen = gen;
	}
	th->known = got == READ || (got == BEING_WRITTEN && th->known && th->gen == gen);
	known = th->known;
	if (known)
		*ret = th->last;
	ghost_unlock(&th->lock);
	return known;
}

/* --- pages come and go ------------------------------------------------------------------ */

static char *place_at(const struct hints *h, const struct record *r)
{
	return h->places + (r - h->record) * PLACE_SIZE;
}

/* Agents that still read there find zeros: not a moment without memory. */
static void place_clear(const struct hints *h, const struct record *r)
{
	mmap(place_at(h, r), PLACE_SIZE, PROT_READ,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static bool process_ended(const struct record *r)
{
	struct pollfd p = { .fd = r->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Is a process in a pid namespace of its own? It does not know the numbers that we know. */
static int numbered_as_here(pid_t pid)
{
	char path[64], line[256];
	int nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	while (!nr && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "NSpid:", 6))
			continue;
		for (char *c = strtok(line + 6, " \t\n"); c; c = strtok(NULL, " \t\n"))
			nr++;
	}
	fclose(f);
	return nr == 1 ? 0 : -EOPNOTSUPP;
}

static int header_check(const struct ghost_hints_header *page, size_t size, uint32_t *ret_nr)
{
	struct ghost_hints_header h;

	/* Once: it may be another one the next time. */
	h = *(const volatile struct ghost_hints_header *)page;
	if (h.magic != GHOST_HINTS_MAGIC)
		return -EBADMSG;
	if (h.version != GHOST_HINTS_VERSION)
		return -EPROTONOSUPPORT;
	if (!h.nr_entries || h.nr_entries > GHOST_HINTS_ENTRIES_MAX ||
	    h.nr_entries & (h.nr_entries - 1) || h.entry_size != sizeof(struct ghost_hint_entry) ||
	    h.size != size || size != sizeof(h) + h.nr_entries * sizeof(struct ghost_hint_entry))
		return -EINVAL;
	*ret_nr = h.nr_entries;
	return 0;
}

/* The page @fd of the process of @r: 0 or why not; then @r is to be dropped. */
static int page_take(const struct hints *h, struct record *r, int fd)
{
	/* Of other files than pages of memory it fails, before anything can block. */
	int seals = fcntl(fd, F_GET_SEALS), err;
	void *place = place_at(h, r);
	struct stat st;
	uint32_t nr;

	if (seals < 0 || (seals & GHOST_HINTS_SEALS) != GHOST_HINTS_SEALS)
		return -EPERM;
	if (fstat(fd, &st))
		return -errno;
	if ((size_t)st.st_size < sizeof(struct ghost_hints_header) ||
	    (size_t)st.st_size > PAGE_SIZE_MAX)
		return -EINVAL;
	err = numbered_as_here(r->tgid);
	if (err)
		return err;
	if (mmap(place, st.st_size, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) ==
	    MAP_FAILED)
		err = -errno;
	err = err ?: header_check(place, st.st_size, &nr);
	/* It has lived all the while: what was found out about its number is true of it. */
	if (!err && process_ended(r))
		err = -ESRCH;
	if (err)
		return err;
	/* No agent should wait for a disk; where that is not granted it seldom has to. */
	mlock(place, st.st_size);
	ghost_store_release(&r->nr_entries, nr);
	ghost_store_release(&r->gen, r->gen + 1);
	return 0;
}

/* --- connections ---------------------------------------------------------------------------- */

enum kind {
	KIND_STOP,
	KIND_LISTEN,
	KIND_SOCKET,
	KIND_PROCESS,
};

static int watch(const struct hints *h, int fd, enum kind kind, uint32_t index)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = index << 2 | kind };

	return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static void answer(int fd, int err)
{
	struct ghost_hints_answer a = { .err = err, .version = GHOST_HINTS_VERSION };

	/* Whoever does not read its answer has none. */
	if (send(fd, &a, sizeof(a), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static void record_drop(struct hints *h, struct record *r)
{
	if (r->fd < 0)
		return;
	if (!(r->gen & 1))
		ghost_store_release(&r->gen, r->gen + 1);
	__atomic_store_n(&h->place_of[r->tgid], 0, __ATOMIC_RELEASE);
	place_clear(h, r);
	close(r->fd);
	close(r->pidfd);
	r->fd = -1;
}

static bool connection_ended(const struct record *r)
{
	char byte;
	ssize_t n = recv(r->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return !n || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/*
 * The one descriptor of a packet: 0 and its number, or none is open. -EBADMSG;
 * -ENOSPC: we could not have another one.
 */
static int descriptor_of(struct msghdr *m, int *ret_fd)
{
	int nr = 0, fd = -1, one;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(one) <= c->cmsg_len; at += sizeof(one)) {
			memcpy(&one, (char *)c + at, sizeof(one));
			if (nr++)
				close(one);
			else
				fd = one;
		}
	}
	if (nr == 1 && !(m->msg_flags & MSG_CTRUNC)) {
		*ret_fd = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return !nr && m->msg_flags & MSG_CTRUNC ? -ENOSPC : -EBADMSG;
}

/* Something came from the process of @r, or it went. */
static void hear(struct hints *h, struct record *r)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	uint64_t magic = 0;
	struct iovec io = { .iov_base = &magic, .iov_len = sizeof(magic) };
	struct msghdr m = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(r->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1, err;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		record_drop(h, r);
		return;
	}
	err = descriptor_of(&m, &fd);
	/* A shorter one ends in zeros. */
	if (!err && (m.msg_flags & MSG_TRUNC || magic != GHOST_HINTS_MAGIC))
		err = -EBADMSG;
	/* It has given one. */
	if (!err && !(r->gen & 1))
		err = -EEXIST;
	err = err ?: page_take(h, r, fd);
	if (fd >= 0)
		close(fd);
	answer(r->fd, err);
	if (err)
		record_drop(h, r);
}

static struct record *record_free(struct hints *h)
{
	for (uint32_t i = 0; i < NR_PLACES; i++)
		if (h->record[i].fd < 0)
			return &h->record[i];
	return NULL;
}

/* Who is at the other end of @fd? 0, the number and a handle that is not reused, or why not. */
static int peer_of(int fd, pid_t *ret_pid, int *ret_pidfd)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		return -errno;
	/* 0: its number is not known here. */
	if (who.pid <= 0 || who.pid >= (pid_t)NR_PIDS)
		return -EOPNOTSUPP;
	len = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		return errno == ENOPROTOOPT ? -EOPNOTSUPP : -errno;
	*ret_pid = who.pid;
	*ret_pidfd = pidfd;
	return 0;
}

/* A connection: 0 and it is kept, or why not. */
static int admit(struct hints *h, int fd)
{
	struct record *r;
	int err, pidfd = -1;
	pid_t pid = 0;

	err = peer_of(fd, &pid, &pidfd);
	if (err)
		return err == -EMFILE || err == -ENFILE ? -ENOSPC : err;
	if (h->place_of[pid]) {
		/* Its end, or that of the one before it with this number, may be news to us. */
		r = &h->record[h->place_of[pid] - 1];
		if (process_ended(r) || connection_ended(r))
			record_drop(h, r);
		else
			err = -EEXIST;
	}
	r = record_free(h);
	if (!err && !r)
		err = -ENOSPC;
	err = err ?: watch(h, fd, KIND_SOCKET, r - h->record);
	err = err ?: watch(h, pidfd, KIND_PROCESS, r - h->record);
	if (err) {
		close(pidfd);
		return err;
	}
	r->fd = fd;
	r->pidfd = pidfd;
	ghost_store_release(&r->tgid, pid);
	__atomic_store_n(&h->place_of[pid], r - h->record + 1, __ATOMIC_RELEASE);
	return 0;
}

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_one(const struct hints *h)
{
	return accept4(h->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* Descriptors are used up: whoever waits is told so, by means of the one in reserve. */
static bool refuse_one(struct hints *h)
{
	int fd;

	if (h->spare >= 0)
		close(h->spare);
	fd = accept_one(h);
	if (fd >= 0) {
		answer(fd, -ENOSPC);
		close(fd);
	}
	h->spare = spare_open();
	/* Somebody else has it now; it will not come back at once. */
	if (h->spare < 0)
		poll(NULL, 0, 10);
	return fd >= 0;
}

static void accept_all(struct hints *h)
{
	int fd, err;

	for (;;) {
		fd = accept_one(h);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && refuse_one(h))
			continue;
		if (fd < 0)
			return;
		err = admit(h, fd);
		if (!err)
			continue;
		answer(fd, err);
		close(fd);
	}
}

static void listen_main(void *arg)
{
	struct epoll_event ev[64];
	struct hints *h = arg;
	int n;

	for (;;) {
		n = epoll_wait(h->epoll, ev, 64, -1);
		for (int i = 0; i < n; i++) {
			struct record *r = &h->record[ev[i].data.u32 >> 2];

			/* Each looks for itself: the record may have changed hands since. */
			switch (ev[i].data.u32 & 3) {
			case KIND_STOP:
				return;
			case KIND_LISTEN:
				accept_all(h);
				break;
			case KIND_SOCKET:
				if (r->fd >= 0)
					hear(h, r);
				break;
			case KIND_PROCESS:
				if (r->fd >= 0 && process_ended(r))
					record_drop(h, r);
				break;
			}
		}
	}
}

/* --- life --------------------------------------------------------------------------------------- */

static int memory_open(struct hints *h)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *p = mmap(NULL, NR_PIDS * sizeof(*h->place_of), PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	h->place_of = p;
	p = mmap(NULL, NR_PLACES * PLACE_SIZE, PROT_READ, flags, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	h->places = p;
	return 0;
}

/* The socket, where only this user and root can reach it. */
static int socket_open(struct hints *h, const char *dir, uint32_t enclave)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stat st;
	int err = ghost_hints_path(at.sun_path, sizeof(at.sun_path), dir, enclave);

	if (err)
		return err;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	h->listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->listen < 0)
		return -errno;
	/* Who may connect is the file's mode; Linux takes it from here (unix_bind(), 7.3). */
	if (fchmod(h->listen, 0600))
		return -errno;
	/* Of agents before us, who are gone: the enclave has one set at a time. */
	unlink(at.sun_path);
	if (bind(h->listen, (struct sockaddr *)&at, sizeof(at)))
		return -errno;
	memcpy(h->path, at.sun_path, sizeof(h->path));
	if (stat(h->path, &st))
		return -errno;
	h->dev = st.st_dev;
	h->ino = st.st_ino;
	return listen(h->listen, SOMAXCONN) ? -errno : 0;
}

int hints_open(struct hints **ret, struct ghost_backend *b)
{
	struct hints *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->backend = b;
	h->epoll = h->stop = h->listen = h->spare = -1;
	for (uint32_t i = 0; i < NR_PLACES; i++)
		h->record[i] = (struct record){ .gen = 1, .fd = -1 };
	*ret = h;
	return 0;
}

/* Back to where nobody listens; the memory stays, for agents that have seen it. */
static void listen_end(struct hints *h)
{
	int *const fds[] = { &h->epoll, &h->stop, &h->listen, &h->spare };
	struct stat st;

	for (uint32_t i = 0; i < NR_PLACES; i++)
		record_drop(h, &h->record[i]);
	/* Not if others listen there by now. */
	if (h->path[0] && !stat(h->path, &st) && st.st_dev == h->dev && st.st_ino == h->ino)
		unlink(h->path);
	h->path[0] = 0;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int hints_listen(struct hints *h, const char *dir, uint32_t enclave)
{
	int err = memory_open(h);

	err = err ?: socket_open(h, dir, enclave);
	if (err)
		goto fail;
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	h->stop = eventfd(0, EFD_CLOEXEC);
	h->spare = spare_open();
	err = h->epoll < 0 || h->stop < 0 || h->spare < 0 ? -errno : 0;
	err = err ?: watch(h, h->stop, KIND_STOP, 0);
	err = err ?: watch(h, h->listen, KIND_LISTEN, 0);
	err = err ?: h->backend->thread_start(h->backend, "hints", listen_main, h, &h->thread);
	if (!err)
		return 0;
fail:
	listen_end(h);
	return err;
}

void hints_close(struct hints *h)
{
	uint64_t one = 1;

	if (!h)
		return;
	if (h->thread) {
		while (write(h->stop, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		h->backend->thread_join(h->backend, h->thread);
	}
	listen_end(h);
	if (h->place_of)
		munmap(h->place_of, NR_PIDS * sizeof(*h->place_of));
	if (h->places)
		munmap(h->places, NR_PLACES * PLACE_SIZE);
	free(h);
}
