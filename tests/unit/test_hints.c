// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hints from both ends: applications that are in order, and those that are not.
 * In: libghost, a table of threads made up here, processes that are real.
 * Out: TAP. GHOST_SEED=N repeats the garbage.
 *
 * The kernel side is a table of status words; whose thread is whose is written
 * there by hand, as the kernel side would.
 */
#include "tests/unit/loop_fake.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "libghost/hints.h"
#include "libghost/hints_table.h"
#include "libghost/task.h"

#define NR_SLOTS 2048
#define WAIT_MS 10000

static char dir[] = "/tmp/ghost-hints-XXXXXX";
static char path[128];
static struct ghost_backend backend;
static struct hints *hints;
static struct ghost_status status[NR_SLOTS];
static struct task_table tasks;

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static uint32_t own_tid(void)
{
	return syscall(SYS_gettid);
}

static void agents_come(void)
{
	assert_int_equal(hints_open(&hints, &backend), 0);
	assert_int_equal(hints_listen(hints, dir, 7), 0);
	assert_int_equal(task_table_init(&tasks, NR_SLOTS, 0, status), 0);
	tasks.hints = hints;
}

static void agents_go(void)
{
	hints_close(hints);
	task_table_fini(&tasks);
	hints = NULL;
}

static int set_up(void **state)
{
	memset(&backend, 0, sizeof(backend));
	ghost_backend_host_init(&backend);
	agents_come();
	return 0;
}

static int tear_down(void **state)
{
	agents_go();
	ghost_backend_host_fini(&backend);
	return 0;
}

/* Thread @tid of process @tgid, in @slot. */
static struct ghost_task *thread(uint32_t slot, uint32_t tid, uint32_t tgid)
{
	static uint32_t gen;
	uint64_t gtid = (uint64_t)++gen << 32 | tid;

	status[slot] = (struct ghost_status){ .gtid = gtid, .tid = tid, .tgid = tgid };
	task_reset(&tasks, task_at(&tasks, slot), slot, gtid);
	return task_at(&tasks, slot);
}

static struct ghost_task *self(void)
{
	return thread(1, own_tid(), getpid());
}

static struct ghost_hints_opts to_agents(uint32_t nr_threads)
{
	return (struct ghost_hints_opts){
		.size = sizeof(struct ghost_hints_opts),
		.path = path,
		.nr_threads = nr_threads,
	};
}

static struct ghost_hints *page_open(uint32_t nr_threads)
{
	struct ghost_hints_opts opts = to_agents(nr_threads);
	struct ghost_hints *h = NULL;

	assert_int_equal(ghost_hints_open(&h, &opts), 0);
	return h;
}

static struct ghost_hint_entry *entry_of_self(struct ghost_hints *h)
{
	struct ghost_hint_entry *e = NULL;

	assert_int_equal(ghost_hints_thread(h, &e), 0);
	assert_int_equal(e->tid, own_tid());
	return e;
}

static bool hint_of(const struct ghost_task *t, struct ghost_hint *ret)
{
	memset(ret, 0xee, sizeof(*ret));
	return ghost_task_hint(t, ret);
}

static void assert_class(const struct ghost_task *t, uint32_t want)
{
	struct ghost_hint h;

	assert_true(hint_of(t, &h));
	assert_int_equal(h.class_, want);
}

static void assert_none(const struct ghost_task *t)
{
	struct ghost_hint h;

	assert_false(hint_of(t, &h));
	/* Untouched. */
	assert_int_equal(h.class_, 0xeeeeeeee);
}

/* Pages mapped in this process: by the agents' side, where a test has closed its own. */
static int nr_mapped(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		nr += strstr(line, "memfd:") != NULL;
	fclose(f);
	return nr;
}

static int nr_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

/* What the listening thread has yet to hear of. */
static void assert_none_soon(const struct ghost_task *t)
{
	struct ghost_hint h;

	for (int ms = 0; ms < WAIT_MS && hint_of(t, &h); ms++)
		sleep_ms(1);
	assert_none(t);
}

/* --- applications in order ----------------------------------------------------------- */

static void test_what_a_thread_says_is_what_the_policy_reads(void **state)
{
	struct ghost_hints *h = page_open(0);
	struct ghost_hint_entry *e = entry_of_self(h);
	struct ghost_task *t = self();
	struct ghost_hint got;

	assert_true(hint_of(t, &got));
	assert_memory_equal(&got, &(struct ghost_hint){ 0 }, sizeof(got));
	ghost_hint_set_class(e, GHOST_HINT_CLASS_LATENCY);
	ghost_hint_set_deadline(e, 123456789012345);
	ghost_hint_set_expected(e, 50000);
	ghost_hint_set_runnable(e, true);
	assert_true(hint_of(t, &got));
	assert_int_equal(got.class_, GHOST_HINT_CLASS_LATENCY);
	assert_int_equal(got.deadline_ns, 123456789012345);
	assert_int_equal(got.expected_ns, 50000);
	assert_int_equal(got.flags, GHOST_HINT_RUNNABLE);
	ghost_hint_set_runnable(e, false);
	assert_true(hint_of(t, &got));
	assert_int_equal(got.flags, GHOST_HINT_IDLE);
	ghost_hint_set(e, 3, GHOST_HINT_RUNNABLE, 4, 5);
	assert_true(hint_of(t, &got));
	assert_int_equal(got.class_ + got.flags + got.deadline_ns + got.expected_ns, 3 + 1 + 4 + 5);
	ghost_hints_close(h);
	assert_none_soon(t);
}

static void test_threads_without_a_page_have_no_hint(void **state)
{
	assert_none(self());
	assert_none(thread(1, 0, 0));
	assert_none(thread(1, ~0u, ~0u));
	assert_none(thread(1, 1 << 22, 1 << 22));
}

static void test_without_agents_everything_does_nothing(void **state)
{
	struct ghost_hints_opts opts = to_agents(0);
	struct ghost_hints *h = NULL;
	struct ghost_hint_entry *e = NULL;

	agents_go();
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(ghost_hints_open(&h, &opts), -ENOENT);
	unsetenv(GHOST_HINTS_ENV);
	assert_int_equal(ghost_hints_open(&h, NULL), -ENOENT);
	assert_null(h);
	assert_int_equal(ghost_hints_thread(h, &e), -ENOENT);
	assert_int_equal(ghost_hints_connect(h), -ENOENT);
	assert_null(e);
	ghost_hint_set_class(e, 1);
	ghost_hint_set_deadline(e, 1);
	ghost_hint_set_expected(e, 1);
	ghost_hint_set_runnable(e, true);
	ghost_hint_set(e, 1, 1, 1, 1);
	ghost_hints_close(h);
	agents_come();
}

static void test_agents_that_were_killed_leave_a_socket_that_is_none(void **state)
{
	struct ghost_hints_opts opts = to_agents(0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct ghost_hints *h = NULL;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	agents_go();
	strcpy(at.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(ghost_hints_open(&h, &opts), -ENOENT);
	/* Nor does it keep others from coming. */
	agents_come();
	ghost_hints_close(page_open(0));
}

/* The enclave was given to others while these had not ended yet. */
static void test_agents_that_go_leave_the_socket_of_those_after_them(void **state)
{
	struct hints *before = hints;

	task_table_fini(&tasks);
	agents_come();
	hints_close(before);
	ghost_hints_close(page_open(0));
}

static void test_options_out_of_range_are_refused(void **state)
{
	struct ghost_hints_opts opts = to_agents(GHOST_HINTS_ENTRIES_MAX + 1);
	struct ghost_hints *h = NULL;
	char long_path[200];

	assert_int_equal(ghost_hints_open(&h, &opts), -EINVAL);
	opts = to_agents(1);
	opts.size--;
	assert_int_equal(ghost_hints_open(&h, &opts), -EINVAL);
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = 0;
	opts = to_agents(1);
	opts.path = long_path;
	assert_int_equal(ghost_hints_open(&h, &opts), -ENAMETOOLONG);
	assert_null(h);
}

/* By the variable, as `ghost run` sets it. */
static void test_the_environment_leads_to_the_agents(void **state)
{
	struct ghost_hints *h = NULL;

	setenv(GHOST_HINTS_ENV, path, 1);
	assert_int_equal(ghost_hints_open(&h, NULL), 0);
	unsetenv(GHOST_HINTS_ENV);
	ghost_hints_close(h);
}

static struct ghost_hints *page;
static uint32_t other_tid;
static struct ghost_hint_entry *other_entry;

static void *say_and_end(void *arg)
{
	struct ghost_hint_entry *again;

	other_tid = own_tid();
	other_entry = entry_of_self(page);
	assert_int_equal(ghost_hints_thread(page, &again), 0);
	assert_ptr_equal(again, other_entry);
	ghost_hint_set(other_entry, 5, GHOST_HINT_RUNNABLE, 6, 7);
	assert_class(thread(2, other_tid, getpid()), 5);
	return NULL;
}

static void test_a_thread_that_ends_gives_its_entry_back(void **state)
{
	pthread_t pt;

	page = page_open(1);
	for (int i = 0; i < 3; i++) {
		/* One entry, three threads one after the other. */
		assert_int_equal(pthread_create(&pt, NULL, say_and_end, NULL), 0);
		pthread_join(pt, NULL);
		assert_int_equal(other_entry->tid, 0);
		assert_int_equal(other_entry->class_ + other_entry->flags, 0);
		assert_none(thread(2, other_tid, getpid()));
	}
	entry_of_self(page);
	ghost_hints_close(page);
}

static void *ask_for_an_entry(void *arg)
{
	struct ghost_hint_entry *e = NULL;

	return (void *)(intptr_t)ghost_hints_thread(arg, &e);
}

static void test_more_threads_than_entries_are_refused_one(void **state)
{
	struct ghost_hints *h = page_open(1);
	struct ghost_hint_entry *e = entry_of_self(h);
	pthread_t pt;
	void *ret;

	assert_int_equal(pthread_create(&pt, NULL, ask_for_an_entry, h), 0);
	pthread_join(pt, &ret);
	assert_int_equal((intptr_t)ret, -ENOSPC);
	assert_int_equal(e->tid, own_tid());
	ghost_hints_close(h);
}

/* However they lie: no entry is so far off that it is not found, a few at a time. */
static void test_each_entry_of_a_full_page_is_found_in_the_end(void **state)
{
	struct ghost_hints *h = page_open(GHOST_HINTS_ENTRIES_MAX);
	struct ghost_hint_entry *entries = ghost_hints_entries(h);
	uint32_t nr = h->page->nr_entries;
	struct ghost_hint got;

	assert_int_equal(nr, GHOST_HINTS_ENTRIES_MAX);
	for (uint32_t i = 0; i < nr; i++) {
		/* All want to be at the same place. */
		entries[i].tid = (i + 1) * nr;
		entries[i].expected_ns = i;
	}
	for (uint32_t i = 0; i < nr; i++) {
		struct ghost_task *t = thread(1 + i, (i + 1) * nr, getpid());
		uint32_t asked = 1;

		while (!hint_of(t, &got))
			assert_true(asked++ < nr / 8);
		assert_int_equal(got.expected_ns, i);
		/* And found again at once. */
		assert_true(hint_of(t, &got));
	}
	ghost_hints_close(h);
}

static void test_a_page_outlives_the_agents_and_is_given_to_the_next(void **state)
{
	struct ghost_hints *h = page_open(0);
	struct ghost_hint_entry *e = entry_of_self(h);
	int fd = h->fd;

	assert_int_equal(ghost_hints_connect(h), 0);
	assert_int_equal(h->fd, fd);
	agents_go();
	ghost_hint_set_class(e, 9);
	assert_int_equal(ghost_hints_connect(h), -ENOENT);
	agents_come();
	assert_none(self());
	assert_int_equal(ghost_hints_connect(h), 0);
	assert_class(self(), 9);
	ghost_hints_close(h);
}

/* --- applications that are not -------------------------------------------------------------- */

/* A page as it should be, but for what the test does to it; not sealed yet. */
static struct ghost_hints_header *bad_page(int *ret_fd, uint32_t nr)
{
	size_t size = sizeof(struct ghost_hints_header) + nr * sizeof(struct ghost_hint_entry);
	struct ghost_hints_header *h;
	int fd = memfd_create("bad", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, size), 0);
	h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(h, MAP_FAILED);
	*h = (struct ghost_hints_header){
		.magic = GHOST_HINTS_MAGIC,
		.version = GHOST_HINTS_VERSION,
		.entry_size = sizeof(struct ghost_hint_entry),
		.size = size,
		.nr_entries = nr,
	};
	*ret_fd = fd;
	return h;
}

static int knock(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(to.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* @nr descriptors in one packet of @len bytes. */
static void hand_over(int fd, const void *bytes, size_t len, const int *fds, int nr)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec io = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	if (nr) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, nr * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), len);
}

static int answer_from(int fd)
{
	struct ghost_hints_answer a = { .err = 1 };

	assert_int_equal(recv(fd, &a, sizeof(a), 0), sizeof(a));
	assert_int_equal(a.version, GHOST_HINTS_VERSION);
	return a.err;
}

static int offer(const int *fds, int nr)
{
	const uint64_t magic = GHOST_HINTS_MAGIC;
	int fd = knock(), err;

	hand_over(fd, &magic, sizeof(magic), fds, nr);
	err = answer_from(fd);
	assert_none(self());
	close(fd);
	return err;
}

/* Offer @page with all seals but those in @without; it goes with that. */
static int offer_page(struct ghost_hints_header *p, int fd, size_t size, int without)
{
	int err;

	munmap(p, size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, GHOST_HINTS_SEALS & ~without), 0);
	err = offer(&fd, 1);
	close(fd);
	return err;
}

static int offer_changed(void (*change)(struct ghost_hints_header *h, int fd))
{
	struct ghost_hints_header *h;
	int fd;

	h = bad_page(&fd, 64);
	change(h, fd);
	return offer_page(h, fd, 64 * 65, 0);
}

static void wrong_magic(struct ghost_hints_header *h, int fd)
{
	h->magic++;
}

static void wrong_version(struct ghost_hints_header *h, int fd)
{
	h->version++;
}

static void wrong_entry_size(struct ghost_hints_header *h, int fd)
{
	h->entry_size = 32;
}

static void wrong_size(struct ghost_hints_header *h, int fd)
{
	h->size -= 64;
}

static void no_entries(struct ghost_hints_header *h, int fd)
{
	h->nr_entries = 0;
}

static void entries_out_of_bounds(struct ghost_hints_header *h, int fd)
{
	h->nr_entries = 128;
}

/* In 32 bits, the size of so many is that of 64. */
static void entries_that_wrap_around(struct ghost_hints_header *h, int fd)
{
	h->nr_entries = (1u << 26) + 64;
}

static void odd_number(struct ghost_hints_header *h, int fd)
{
	h->nr_entries = 63;
	h->size -= 64;
	assert_int_equal(ftruncate(fd, h->size), 0);
}

static void truncated(struct ghost_hints_header *h, int fd)
{
	assert_int_equal(ftruncate(fd, h->size - 1), 0);
}

static void truncated_header(struct ghost_hints_header *h, int fd)
{
	assert_int_equal(ftruncate(fd, sizeof(*h) - 1), 0);
}

static void header_only(struct ghost_hints_header *h, int fd)
{
	no_entries(h, fd);
	h->size = sizeof(*h);
	assert_int_equal(ftruncate(fd, sizeof(*h)), 0);
}

static void empty(struct ghost_hints_header *h, int fd)
{
	assert_int_equal(ftruncate(fd, 0), 0);
}

static void too_long(struct ghost_hints_header *h, int fd)
{
	h->nr_entries = 2 * GHOST_HINTS_ENTRIES_MAX;
	h->size = sizeof(*h) + h->nr_entries * sizeof(struct ghost_hint_entry);
	assert_int_equal(ftruncate(fd, h->size), 0);
}

static void unchanged(struct ghost_hints_header *h, int fd)
{
}

static void test_pages_of_another_making_are_refused(void **state)
{
	assert_int_equal(offer_changed(unchanged), 0);
	assert_int_equal(offer_changed(wrong_magic), -EBADMSG);
	assert_int_equal(offer_changed(wrong_version), -EPROTONOSUPPORT);
	assert_int_equal(offer_changed(wrong_entry_size), -EINVAL);
	assert_int_equal(offer_changed(wrong_size), -EINVAL);
	assert_int_equal(offer_changed(no_entries), -EINVAL);
	assert_int_equal(offer_changed(entries_out_of_bounds), -EINVAL);
	assert_int_equal(offer_changed(entries_that_wrap_around), -EINVAL);
	assert_int_equal(offer_changed(odd_number), -EINVAL);
	assert_int_equal(offer_changed(truncated), -EINVAL);
	assert_int_equal(offer_changed(truncated_header), -EINVAL);
	assert_int_equal(offer_changed(header_only), -EINVAL);
	assert_int_equal(offer_changed(empty), -EINVAL);
	assert_int_equal(offer_changed(too_long), -EINVAL);
	assert_int_equal(nr_mapped(), 0);
	/* None of it keeps this process from a good one. */
	ghost_hints_close(page_open(0));
}

/* Whatever seal is missing, the page could become one that agents wait for or die of. */
static void test_pages_that_can_still_change_their_size_are_refused(void **state)
{
	static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, 0x10 };
	struct ghost_hints_header *h;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(seals); i++) {
		assert_true(GHOST_HINTS_SEALS & seals[i]);
		h = bad_page(&fd, 64);
		assert_int_equal(offer_page(h, fd, 64 * 65, seals[i]), -EPERM);
	}
	assert_int_equal(GHOST_HINTS_SEALS, 0x17);
}

static void test_a_page_that_was_handed_over_keeps_its_size_and_its_memory(void **state)
{
	struct ghost_hints *h = page_open(0);

	assert_int_equal(ftruncate(h->page_fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(h->page_fd, 1 << 20), -1);
	assert_int_equal(errno, EPERM);
	/* An agent that comes to a hole waits for whoever makes it. */
	assert_int_equal(fallocate(h->page_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
			 -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(madvise(h->page, 4096, MADV_REMOVE), -1);
	ghost_hints_close(h);
}

static void test_packets_without_exactly_one_page_are_refused(void **state)
{
	const uint64_t magic[8] = { GHOST_HINTS_MAGIC };
	struct ghost_hints_header *h;
	int fds[3], pipe_fds[2], fd;

	assert_int_equal(offer(NULL, 0), -EBADMSG);
	h = bad_page(&fds[0], 64);
	munmap(h, 64 * 65);
	fds[1] = fds[2] = fds[0];
	assert_int_equal(fcntl(fds[0], F_ADD_SEALS, GHOST_HINTS_SEALS), 0);
	assert_int_equal(offer(fds, 2), -EBADMSG);
	assert_int_equal(offer(fds, 3), -EBADMSG);
	/* Too short, too long, and not what is asked for. */
	for (size_t len = 1; len < sizeof(magic); len++) {
		fd = knock();
		hand_over(fd, len == sizeof(magic[0]) ? "garbage" : (const void *)magic, len, fds,
			  1);
		assert_int_equal(answer_from(fd), -EBADMSG);
		close(fd);
	}
	close(fds[0]);
	/* Other files. */
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(offer(pipe_fds, 1), -EPERM);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	fds[0] = open("/dev/zero", O_RDWR);
	assert_int_equal(offer(fds, 1), -EPERM);
	close(fds[0]);
	fds[0] = open(dir, O_TMPFILE | O_RDWR, 0600);
	assert_true(fds[0] >= 0);
	assert_int_equal(ftruncate(fds[0], 64 * 65), 0);
	assert_int_equal(offer(fds, 1), -EPERM);
	close(fds[0]);
	ghost_hints_close(page_open(0));
}

static uint64_t random64(void)
{
	return (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ random();
}

/* Mostly near a border of its range. */
static uint64_t garbage64(void)
{
	static const uint64_t near[] = { 0, INT64_MAX, GHOST_HINT_EXPECTED_MAX_NS, 1u << 31, 16 };

	return random() % 4 ? near[random() % ARRAY_LEN(near)] + random() % 5 - 2 : random64();
}

static void test_garbage_in_an_entry_comes_out_in_range(void **state)
{
	const char *given = getenv("GHOST_SEED");
	unsigned int seed = given ? strtoul(given, NULL, 0) : (unsigned int)time(NULL);
	struct ghost_hints *h = page_open(8);
	struct ghost_hint_entry *e = entry_of_self(h);
	struct ghost_task *t = self();
	struct ghost_hint got;
	int nr = 0;

	printf("# seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < 200000; i++) {
		/* The header again and again, too: it was read, and is not any more. */
		uint32_t *words = random() % 8 ? (uint32_t *)e : (uint32_t *)h->page;

		words[random() % 16] = garbage64();
		if (random() % 4) {
			e->tid = own_tid();
			e->seq = random() & ~1ul;
			e->class_ = garbage64();
			e->flags = garbage64();
			e->deadline_ns = garbage64();
			e->expected_ns = garbage64();
		}
		if (!hint_of(t, &got))
			continue;
		nr++;
		assert_in_range(got.class_, 0, GHOST_HINT_CLASS_MAX);
		assert_in_range(got.flags, 0, GHOST_HINT_IDLE);
		assert_in_range(got.deadline_ns, 0, INT64_MAX);
		assert_in_range(got.expected_ns, 0, GHOST_HINT_EXPECTED_MAX_NS);
		if (!(e->seq & 1) && e->class_ <= GHOST_HINT_CLASS_MAX)
			assert_int_equal(got.class_, e->class_);
	}
	assert_true(nr > 100000);
	e->tid = 0;
	ghost_hints_close(h);
}

static void test_a_page_says_nothing_of_threads_of_others(void **state)
{
	struct ghost_hints *h = page_open(4);
	struct ghost_hint_entry *e = entry_of_self(h);
	struct ghost_task *mine = self(), *init = thread(2, 1, 1), *theirs = thread(3, 4711, 4700);

	ghost_hint_set_class(e, 2);
	for (int i = 0; i < 4; i++) {
		struct ghost_hint_entry *other = &ghost_hints_entries(h)[i];

		if (other == e)
			continue;
		other->class_ = 7;
		other->tid = i % 2 ? 1 : 4711;
	}
	for (int i = 0; i < 10; i++) {
		assert_none(init);
		assert_none(theirs);
		assert_class(mine, 2);
	}
	/* And with that number in its own process, it does. */
	assert_class(thread(3, 4711, getpid()), 7);
	ghost_hints_close(h);
}

/* A slot of the table goes to a thread of another process; the agents do not know yet. */
static void test_a_slot_that_has_changed_hands_has_no_hint(void **state)
{
	struct ghost_hints *h = page_open(0);
	struct ghost_task *old = thread(4, own_tid(), 1);

	ghost_hint_set_class(entry_of_self(h), 7);
	assert_none(old);
	status[4].tgid = getpid();
	status[4].gtid += 1ull << 32;
	assert_none(old);
	ghost_hints_close(h);
}

static void test_a_second_page_of_a_process_is_refused_and_the_first_stays(void **state)
{
	struct ghost_hints_opts opts = to_agents(0);
	struct ghost_hints *h = page_open(0), *second = NULL;

	ghost_hint_set_class(entry_of_self(h), 6);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ghost_hints_open(&second, &opts), -EEXIST);
	assert_null(second);
	assert_class(self(), 6);
	/* But one after the other is fine, however soon. */
	for (int i = 0; i < 100; i++) {
		ghost_hints_close(h);
		h = page_open(1 << i % 10);
		ghost_hint_set_class(entry_of_self(h), i % 16);
		assert_class(self(), i % 16);
	}
	ghost_hints_close(h);
}

/* A second one over the connection of the first. */
static void test_a_page_cannot_be_exchanged_for_another(void **state)
{
	const uint64_t magic = GHOST_HINTS_MAGIC;
	struct ghost_hints *h = page_open(0);
	struct ghost_task *t = self();

	ghost_hint_set_class(entry_of_self(h), 6);
	hand_over(h->fd, &magic, sizeof(magic), &h->page_fd, 1);
	assert_int_equal(answer_from(h->fd), -EEXIST);
	assert_none_soon(t);
	ghost_hints_close(h);
}

/* None of what is kept of a page, good or bad, is kept when it is gone. */
static void test_pages_that_go_leave_nothing(void **state)
{
	static void (*const change[])(struct ghost_hints_header *, int) = { unchanged, wrong_magic,
									    empty };
	int nr, fds[2], magic = 1;

	ghost_hints_close(page_open(0));
	assert_none_soon(self());
	nr = nr_descriptors();
	for (int i = 0; i < 50; i++) {
		offer_changed(change[i % 3]);
		fds[0] = dup(0);
		fds[1] = dup(0);
		assert_int_equal(offer(fds, 2), -EBADMSG);
		close(fds[0]);
		close(fds[1]);
		fds[0] = knock();
		hand_over(fds[0], &magic, sizeof(magic), &fds[0], 1);
		assert_int_equal(answer_from(fds[0]), -EBADMSG);
		close(fds[0]);
		ghost_hints_close(page_open(1024));
	}
	for (int ms = 0; ms < WAIT_MS && (nr_mapped() || nr_descriptors() > nr); ms += 10)
		sleep_ms(10);
	assert_int_equal(nr_mapped(), 0);
	assert_true(nr_descriptors() <= nr);
}

/* --- processes ------------------------------------------------------------------------------- */

static pid_t child;
static int said[2];

/* In a child: its page, and what came of it to the parent; NULL when it was refused. */
static struct ghost_hints *child_page(uint32_t class_)
{
	struct ghost_hints_opts opts = to_agents(1);
	struct ghost_hints *h = NULL;
	struct ghost_hint_entry *e = NULL;
	int err;

	/* There may be a thousand of us. */
	do
		err = ghost_hints_open(&h, &opts);
	while (err == -ETIMEDOUT);
	err = err ?: ghost_hints_thread(h, &e);
	ghost_hint_set_class(e, class_);
	ghost_hint_set_expected(e, getpid());
	if (write(said[1], &err, sizeof(err)) != sizeof(err))
		_exit(1);
	return h;
}

static int what_child_said(void)
{
	int err = 1;

	assert_int_equal(read(said[0], &err, sizeof(err)), sizeof(err));
	return err;
}

/* A child that does not outlive a test that fails. */
static pid_t start_child(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	assert_true(pid >= 0);
	return pid;
}

static void end_child(void)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_a_writer_that_dies_in_the_middle_leaves_its_last_word(void **state)
{
	struct ghost_hint_entry *e;
	struct ghost_hints *h;
	struct ghost_task *t;
	int go[2];
	char byte = 0;

	assert_int_equal(pipe(said) | pipe(go), 0);
	child = start_child();
	if (!child) {
		h = child_page(4);
		if (read(go[0], &byte, 1) != 1 || ghost_hints_thread(h, &e))
			_exit(1);
		ghost_hint_begin(e);
		e->class_ = 5;
		pause();
	}
	assert_int_equal(what_child_said(), 0);
	t = thread(1, child, child);
	assert_class(t, 4);
	assert_int_equal(write(go[1], &byte, 1), 1);
	sleep_ms(50);
	for (int i = 0; i < 1000; i++)
		assert_class(t, 4);
	/* Nobody has heard of it before the middle of its sentence: then it has said nothing. */
	assert_none(thread(2, child, child));
	end_child();
	assert_none_soon(t);
	close(said[0]);
	close(said[1]);
	close(go[0]);
	close(go[1]);
}

/* Its place ends where the next begins. */
static void test_a_page_that_is_too_long_is_not_in_the_way_of_the_next(void **state)
{
	struct ghost_hints *h = page_open(0);
	struct ghost_task *t;

	assert_int_equal(pipe(said), 0);
	child = start_child();
	if (!child) {
		child_page(4);
		pause();
	}
	assert_int_equal(what_child_said(), 0);
	t = thread(2, child, child);
	assert_class(t, 4);
	/* The place before that is free again. */
	ghost_hints_close(h);
	assert_none_soon(self());
	assert_int_equal(offer_changed(too_long), -EINVAL);
	assert_class(t, 4);
	end_child();
	close(said[0]);
	close(said[1]);
}

static void test_a_child_closes_its_parents_page_for_itself_alone(void **state)
{
	struct ghost_hints *h = page_open(0);

	ghost_hint_set_class(entry_of_self(h), 8);
	assert_int_equal(pipe(said), 0);
	child = start_child();
	if (!child) {
		ghost_hints_close(h);
		child_page(4);
		pause();
	}
	assert_int_equal(what_child_said(), 0);
	assert_class(thread(2, child, child), 4);
	assert_class(self(), 8);
	end_child();
	ghost_hints_close(h);
	close(said[0]);
	close(said[1]);
}

/* The number may be given to another process any time: its page must not be that one's. */
static void test_a_page_ends_with_its_process_though_a_child_holds_the_connection(void **state)
{
	pid_t grandchild = 0;
	struct ghost_task *t;

	assert_int_equal(pipe(said), 0);
	child = start_child();
	if (!child) {
		child_page(4);
		grandchild = fork();
		if (!grandchild) {
			close(said[1]);
			pause();
		}
		if (write(said[1], &grandchild, sizeof(grandchild)) < 0)
			_exit(1);
		pause();
	}
	assert_int_equal(what_child_said(), 0);
	grandchild = what_child_said();
	t = thread(1, child, child);
	assert_class(t, 4);
	end_child();
	assert_none_soon(t);
	/* It is there, and holds what its parent held. */
	assert_int_equal(kill(grandchild, SIGKILL), 0);
	close(said[0]);
	close(said[1]);
}

/* After exec() a process is another program with the same number. */
static void test_a_page_ends_with_exec(void **state)
{
	struct ghost_task *t;

	assert_int_equal(pipe(said), 0);
	child = start_child();
	if (!child) {
		child_page(4);
		execlp("sleep", "sleep", "60", NULL);
		_exit(1);
	}
	assert_int_equal(what_child_said(), 0);
	t = thread(1, child, child);
	assert_none_soon(t);
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	end_child();
	close(said[0]);
	close(said[1]);
}

/* Room for two descriptors per process, or a reason why not. */
static bool descriptors_for(rlim_t nr, struct rlimit *ret_before)
{
	struct rlimit want;

	getrlimit(RLIMIT_NOFILE, ret_before);
	want = *ret_before;
	if (want.rlim_cur < nr)
		want.rlim_cur = nr;
	if (want.rlim_cur <= want.rlim_max && !setrlimit(RLIMIT_NOFILE, &want))
		return true;
	print_message("# only %llu descriptors\n", (unsigned long long)want.rlim_max);
	return false;
}

static void test_as_many_processes_as_there_is_room_for_and_one_more(void **state)
{
	static pid_t pids[GHOST_HINTS_PROCESSES_MAX];
	const int nr = GHOST_HINTS_PROCESSES_MAX;
	struct rlimit before;
	struct ghost_hint got;

	if (!descriptors_for(2 * nr + 100, &before))
		skip();
	assert_int_equal(pipe(said), 0);
	for (int i = 0; i < nr; i++) {
		pids[i] = start_child();
		if (!pids[i]) {
			child_page(1 + i % 15);
			pause();
		}
		assert_true(pids[i] > 0);
	}
	for (int i = 0; i < nr; i++)
		assert_int_equal(what_child_said(), 0);
	for (int i = 0; i < nr; i++) {
		assert_true(hint_of(thread(1 + i, pids[i], pids[i]), &got));
		assert_int_equal(got.class_, 1 + i % 15);
		assert_int_equal(got.expected_ns, pids[i]);
	}
	/* One more. */
	for (int i = 0; i < 2; i++) {
		child = start_child();
		if (!child) {
			child_page(3);
			pause();
		}
		assert_int_equal(what_child_said(), i ? 0 : -ENOSPC);
		end_child();
		if (i)
			continue;
		/* One less. */
		kill(pids[0], SIGKILL);
		waitpid(pids[0], NULL, 0);
		assert_none_soon(task_at(&tasks, 1));
	}
	for (int i = 1; i < nr; i++)
		kill(pids[i], SIGKILL);
	for (int i = 1; i < nr; i++)
		waitpid(pids[i], NULL, 0);
	for (int i = 1; i < nr; i++)
		assert_none_soon(task_at(&tasks, 1 + i));
	setrlimit(RLIMIT_NOFILE, &before);
	close(said[0]);
	close(said[1]);
}

/* Of the agents' process; who comes meanwhile is told so, and who came before stays. */
static void test_without_descriptors_more_processes_are_refused(void **state)
{
	struct rlimit before, few;
	struct ghost_hints *h;
	int lowest, nr, err;

	assert_int_equal(pipe(said), 0);
	/* A page and its connection are two here, the connection and its process two there. */
	nr = nr_descriptors() + 4;
	h = page_open(0);
	ghost_hint_set_class(entry_of_self(h), 2);
	getrlimit(RLIMIT_NOFILE, &before);
	for (int round = 0; round < 4; round++) {
		/* Those for the child before are closed and the spare one opened a little later. */
		for (int ms = 0, same = 0; ms < WAIT_MS && same < 10; ms++) {
			same = nr_descriptors() == nr ? same + 1 : 0;
			sleep_ms(1);
		}
		assert_int_equal(nr_descriptors(), nr);
		lowest = dup(0);
		close(lowest);
		few = before;
		/* None for a connection; for the handle on its process; for the page; enough. */
		if (round < 3)
			few.rlim_cur = lowest + round;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		child = start_child();
		if (!child) {
			setrlimit(RLIMIT_NOFILE, &before);
			child_page(3);
			pause();
		}
		err = what_child_said();
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(err, round == 3 ? 0 : -ENOSPC);
		end_child();
		assert_class(self(), 2);
	}
	ghost_hints_close(h);
	close(said[0]);
	close(said[1]);
}

static void test_a_process_with_numbers_of_its_own_is_refused(void **state)
{
	int status_of;

	assert_int_equal(pipe(said), 0);
	child = start_child();
	if (!child) {
		if (unshare(CLONE_NEWPID))
			_exit(77);
		if (!fork()) {
			child_page(3);
			_exit(0);
		}
		wait(NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status_of, 0), child);
	if (WEXITSTATUS(status_of) == 77) {
		print_message("# no right to make a pid namespace\n");
		skip();
	}
	assert_int_equal(what_child_said(), -EOPNOTSUPP);
	close(said[0]);
	close(said[1]);
}

static void test_other_users_are_not_let_in(void **state)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(st.st_uid, geteuid());
	if (geteuid()) {
		print_message("# not root: cannot be somebody else\n");
		skip();
	}
	assert_int_equal(pipe(said), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	child = start_child();
	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		child_page(3);
		_exit(0);
	}
	assert_int_equal(what_child_said(), -EACCES);
	waitpid(child, NULL, 0);
	/* Until somebody says so. */
	assert_int_equal(chmod(path, 0666), 0);
	child = start_child();
	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		child_page(3);
		pause();
	}
	assert_int_equal(what_child_said(), 0);
	assert_class(thread(1, child, child), 3);
	end_child();
	close(said[0]);
	close(said[1]);
}

/* --- at the same time ------------------------------------------------------------------------ */

static atomic_bool over;
static struct ghost_task *watched;

static void *write_pairs(void *arg)
{
	struct ghost_hint_entry *e = arg;

	for (uint64_t i = 1; !over; i++)
		ghost_hint_set(e, i % 16, i % 2 ? GHOST_HINT_RUNNABLE : GHOST_HINT_IDLE, i, i);
	return NULL;
}

static void test_a_hint_is_of_one_moment(void **state)
{
	struct ghost_hints *h = page_open(0);
	struct ghost_hint_entry *e = entry_of_self(h);
	struct ghost_task *t = self();
	struct ghost_hint got;
	pthread_t pt;
	uint64_t last = 0, changes = 0;

	ghost_hint_set(e, 0, GHOST_HINT_IDLE, 0, 0);
	/* From now on there is a last value, however long the writer is away in the middle of one. */
	assert_true(hint_of(t, &got));
	over = false;
	assert_int_equal(pthread_create(&pt, NULL, write_pairs, e), 0);
	for (int i = 0; i < 2000000 || changes < 100; i++) {
		assert_true(hint_of(t, &got));
		assert_true(got.deadline_ns == got.expected_ns);
		assert_true(got.class_ == got.deadline_ns % 16);
		assert_true(got.deadline_ns >= last);
		changes += got.deadline_ns != last;
		last = got.deadline_ns;
	}
	over = true;
	pthread_join(pt, NULL);
	ghost_hints_close(h);
}

static void *read_all_the_time(void *arg)
{
	struct ghost_hint got;

	while (!over) {
		if (!ghost_task_hint(watched, &got))
			continue;
		/* Of a page that was still empty, or by its owner. */
		if (got.expected_ns && got.expected_ns != (uint64_t)getpid())
			return (void *)1;
	}
	return NULL;
}

/*
 * Two agents read while the pages of two processes, of different sizes, come and
 * go: what they get is nothing, or of their thread's process.
 */
static void test_pages_can_go_while_agents_read(void **state)
{
	struct timespec now, until;
	struct ghost_hints *h;
	struct ghost_hint_entry *e;
	pthread_t pt[2];
	void *ret;

	over = false;
	watched = thread(1, own_tid(), getpid());
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&pt[i], NULL, read_all_the_time, NULL), 0);
	child = start_child();
	if (!child) {
		/* It names our thread; its own is not known to agents. */
		for (uint32_t i = 0;; i++) {
			struct ghost_hints_opts opts = to_agents(1 << i % 11);

			if (ghost_hints_open(&h, &opts))
				continue;
			e = ghost_hints_entries(h);
			for (uint32_t k = 0; k < h->page->nr_entries; k++) {
				e[k].expected_ns = 1;
				e[k].tid = (uint32_t)watched->gtid;
			}
			ghost_hints_close(h);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	for (uint32_t i = 0;; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > until.tv_sec ||
		    (now.tv_sec == until.tv_sec && now.tv_nsec > until.tv_nsec))
			break;
		h = page_open(1 << i % 11);
		ghost_hint_set_expected(entry_of_self(h), getpid());
		ghost_hints_close(h);
	}
	end_child();
	over = true;
	for (int i = 0; i < 2; i++) {
		pthread_join(pt[i], &ret);
		assert_null(ret);
	}
}

/* --- with agents around it --------------------------------------------------------------------- */

static struct ghost_hint heard;
static bool has_heard;

static void hear_hint(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	has_heard = ghost_task_hint(t, &heard);
}

static void decide_nothing(struct ghost_agent *a, uint32_t cpu)
{
}

static const struct ghost_policy listener = {
	.name = "listener",
	.help = "asks for the hint of each thread that comes to wait",
	.model = GHOST_PER_CPU,
	.task_runnable = hear_hint,
	.schedule = decide_nothing,
};

static void test_agents_listen_where_their_backend_says(void **state)
{
	struct ghost_hints_opts opts = to_agents(0);
	struct ghost_hints *h = NULL;

	agents_go();
	loop_reset(1);
	loop.backend.hints_dir = dir;
	loop_start(&listener, NULL);
	assert_int_equal(ghost_agents_hints(loop.agents), 0);
	snprintf(path, sizeof(path), "%s/hints_1", dir);
	assert_int_equal(ghost_hints_open(&h, &opts), 0);
	ghost_hint_set_class(entry_of_self(h), 11);
	loop_thread(1, 0, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop.status[1].tid = own_tid();
	loop.status[1].tgid = getpid();
	loop.status[1].gtid = 1ull << 32 | own_tid();
	loop_event(1, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	loop_step(0, GHOST_TXN_AGENT_STALE);
	assert_true(has_heard);
	assert_int_equal(heard.class_, 11);
	loop_stop();
	assert_int_equal(access(path, F_OK), -1);
	ghost_hints_close(h);
	snprintf(path, sizeof(path), "%s/hints_7", dir);
	agents_come();
}

static void test_agents_decide_where_nobody_can_listen(void **state)
{
	has_heard = true;
	loop_reset(1);
	loop_start(&listener, NULL);
	assert_int_equal(ghost_agents_hints(loop.agents), -EOPNOTSUPP);
	loop_new(1, 0);
	loop_step(0, GHOST_TXN_AGENT_STALE);
	assert_false(has_heard);
	loop_stop();

	loop_reset(1);
	loop.backend.hints_dir = "/proc/nowhere";
	loop_start(&listener, NULL);
	assert_int_equal(ghost_agents_hints(loop.agents), -ENOENT);
	has_heard = true;
	loop_new(1, 0);
	loop_step(0, GHOST_TXN_AGENT_STALE);
	assert_false(has_heard);
	loop_stop();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_what_a_thread_says_is_what_the_policy_reads),
		TEST(test_threads_without_a_page_have_no_hint),
		TEST(test_without_agents_everything_does_nothing),
		TEST(test_agents_that_were_killed_leave_a_socket_that_is_none),
		TEST(test_agents_that_go_leave_the_socket_of_those_after_them),
		TEST(test_options_out_of_range_are_refused),
		TEST(test_the_environment_leads_to_the_agents),
		TEST(test_a_thread_that_ends_gives_its_entry_back),
		TEST(test_more_threads_than_entries_are_refused_one),
		TEST(test_each_entry_of_a_full_page_is_found_in_the_end),
		TEST(test_a_page_outlives_the_agents_and_is_given_to_the_next),
		TEST(test_pages_of_another_making_are_refused),
		TEST(test_pages_that_can_still_change_their_size_are_refused),
		TEST(test_a_page_that_was_handed_over_keeps_its_size_and_its_memory),
		TEST(test_packets_without_exactly_one_page_are_refused),
		TEST(test_garbage_in_an_entry_comes_out_in_range),
		TEST(test_a_page_says_nothing_of_threads_of_others),
		TEST(test_a_slot_that_has_changed_hands_has_no_hint),
		TEST(test_a_second_page_of_a_process_is_refused_and_the_first_stays),
		TEST(test_a_page_cannot_be_exchanged_for_another),
		TEST(test_pages_that_go_leave_nothing),
		TEST(test_a_page_that_is_too_long_is_not_in_the_way_of_the_next),
		TEST(test_a_child_closes_its_parents_page_for_itself_alone),
		TEST(test_a_writer_that_dies_in_the_middle_leaves_its_last_word),
		TEST(test_a_page_ends_with_its_process_though_a_child_holds_the_connection),
		TEST(test_a_page_ends_with_exec),
		TEST(test_as_many_processes_as_there_is_room_for_and_one_more),
		TEST(test_without_descriptors_more_processes_are_refused),
		TEST(test_a_process_with_numbers_of_its_own_is_refused),
		TEST(test_other_users_are_not_let_in),
		TEST(test_a_hint_is_of_one_moment),
		TEST(test_pages_can_go_while_agents_read),
		TEST(test_agents_listen_where_their_backend_says),
		TEST(test_agents_decide_where_nobody_can_listen),
	};
	int ret;

	if (!mkdtemp(dir))
		return 99;
	snprintf(path, sizeof(path), "%s/hints_7", dir);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	ret = cmocka_run_group_tests_name("hints", tests, NULL, NULL);
	rmdir(dir);
	return ret;
}
