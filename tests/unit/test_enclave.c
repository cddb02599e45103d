// SPDX-License-Identifier: GPL-2.0-only
/*
 * Enclaves from user space: what is asked of the kernel side, in which order,
 * and what is undone when it refuses.
 * In: libghost/enclave.c over a backend that writes down and answers. Out: TAP.
 */
#include "libghost/cgroup.h"
#include "tests/unit/loop_fake.h"

static char heard[4096];
static int answer[32]; /* of each admin request, by its op */
static int map_err, leave_err, enter_err;
static __u32 nr_taken; /* enclaves 1 .. nr_taken exist already */
static int nr_busy;    /* so often ENCLAVE_FREE answers -EBUSY */
static __u64 stall_ns;
static __u32 ring_len, made_len; /* of the memory that was made; of it, for queues that are made */

static void say(const char *what, __u32 number)
{
	size_t used = strlen(heard);

	snprintf(heard + used, sizeof(heard) - used, "%s %u\n", what, number);
}

static void assert_heard(const char *what)
{
	assert_string_equal(heard, what);
	heard[0] = 0;
}

static int admin(struct ghost_backend *self, struct ghost_ctl *ctl)
{
	ctl->ret = answer[ctl->op];
	switch (ctl->op) {
	case GHOST_CTL_ENCLAVE_CREATE:
		stall_ns = ctl->stall_ns;
		made_len = ctl->len;
		if (ctl->enclave <= nr_taken) {
			ctl->ret = -EEXIST;
			break;
		}
		say("create", ctl->enclave);
		if (!ctl->ret)
			loop_es()->state = GHOST_ENCLAVE_IDLE;
		break;
	case GHOST_CTL_ENCLAVE_DESTROY:
		say("destroy", ctl->enclave);
		break;
	case GHOST_CTL_ENCLAVE_FREE:
		if (nr_busy-- > 0)
			ctl->ret = -EBUSY;
		else if (!ctl->ret)
			loop_es()->state = GHOST_ENCLAVE_FREE;
		say("free", -ctl->ret);
		break;
	case GHOST_CTL_TASK_JOIN:
		say("join", ctl->tid);
		break;
	case GHOST_CTL_TASK_UNJOIN:
		say("unjoin", ctl->tid);
		break;
	}
	return 0;
}

static int prepare(struct ghost_backend *self, __u32 id, __u32 len)
{
	ring_len = len;
	return 0;
}

static void discard(struct ghost_backend *self, __u32 id)
{
	if (id > nr_taken)
		say("discard", id);
}

static int map(struct ghost_backend *self, __u32 id, struct ghost_memory *ret)
{
	return map_err ?: loop_memory_map(self, id, ret);
}

static void unmap(struct ghost_backend *self, struct ghost_memory *mem)
{
	say("unmap", 0);
}

static int leave(struct ghost_backend *self, __u32 tid)
{
	say("leave", tid);
	return leave_err;
}

static int enter(struct ghost_backend *self, __u32 tid)
{
	say("enter", tid);
	return enter_err;
}

static int setup(void **state)
{
	memset(answer, 0, sizeof(answer));
	map_err = leave_err = enter_err = nr_busy = 0;
	nr_taken = 0;
	loop_reset(2);
	loop.backend.admin = admin;
	loop.backend.enclave_prepare = prepare;
	loop.backend.enclave_discard = discard;
	loop.backend.memory_map = map;
	loop.backend.memory_unmap = unmap;
	loop.backend.task_leave = leave;
	loop.backend.task_enter = enter;
	heard[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	loop_stop();
	return 0;
}

/* --- opening ------------------------------------------------------------------- */

static void test_enclave_ids_that_cannot_be_are_not_found(void **state)
{
	static const __u32 ids[] = { 0, GHOST_ENCLAVES_MAX, GHOST_ENCLAVES_MAX + 1, ~0u };
	struct ghost_enclave *e = NULL;

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		assert_int_equal(ghost_enclave_open(&e, &loop.backend, ids[i]), -ENOENT);
	assert_null(e);
	assert_heard("");
}

/* Its memory was made, the enclave was not. */
static void test_enclave_that_is_free_is_not_found_and_unmapped(void **state)
{
	struct ghost_enclave *e = NULL;

	loop_es()->state = GHOST_ENCLAVE_FREE;
	assert_int_equal(ghost_enclave_open(&e, &loop.backend, 3), -ENOENT);
	assert_null(e);
	assert_heard("unmap 0\n");
	map_err = -EPERM;
	assert_int_equal(ghost_enclave_open(&e, &loop.backend, 3), -EPERM);
	assert_heard("");
	ghost_enclave_close(NULL);
}

static void test_enclave_knows_its_cpus_and_its_id(void **state)
{
	struct ghost_cpuset cpus;

	loop.cpu[3].owned = 1;
	assert_int_equal(ghost_enclave_cpus(loop.enclave, &cpus), 0);
	assert_int_equal(cpus.word[0], 0xb);
	assert_int_equal(ghost_cpuset_count(&cpus), 3);
	assert_int_equal(ghost_enclave_id(loop.enclave), 1);
	assert_ptr_equal(ghost_enclave_backend(loop.enclave), &loop.backend);
}

/* --- making -------------------------------------------------------------------- */

static struct ghost_cpuset cpu0(void)
{
	struct ghost_cpuset s;

	/* The first CPU the machine has online: mostly 0. */
	assert_int_equal(ghost_cpuset_online(&s), 0);
	for (int cpu = ghost_cpuset_next(&s, 0), next;
	     (next = ghost_cpuset_next(&s, cpu + 1)) >= 0;)
		s.word[next / 64] &= ~(1ull << (next % 64));
	return s;
}

static void test_enclave_wrong_options_are_refused(void **state)
{
	struct ghost_cpuset good = cpu0(), none = { 0 }, far = { 0 };
	const struct ghost_enclave_opts cases[] = {
		{ .size = sizeof(cases[0]) - 1, .cpus = &good },
		{ .size = 0, .cpus = &good },
		{ .size = sizeof(cases[0]), .cpus = NULL },
		{ .size = sizeof(cases[0]), .cpus = &none },
		{ .size = sizeof(cases[0]), .cpus = &far },
		{ .size = sizeof(cases[0]), .cpus = &good, .stall_ns = GHOST_STALL_NS_MAX + 1 },
		{ .size = sizeof(cases[0]), .cpus = &good, .stall_ns = ~0ull },
		{ .size = sizeof(cases[0]), .cpus = &good, .ring_len = 16777217 },
		{ .size = sizeof(cases[0]), .cpus = &good, .ring_len = ~0u },
	};
	struct ghost_enclave *e = NULL;

	ghost_cpuset_add(&far, GHOST_CPUS_MAX - 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(ghost_enclave_create(&e, &loop.backend, &cases[i]), -EINVAL);
	assert_null(e);
	assert_heard("");
}

static void test_enclave_new_one_gets_the_smallest_free_id(void **state)
{
	struct ghost_cpuset cpus = cpu0();
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e;

	nr_taken = 4;
	assert_int_equal(ghost_enclave_create(&e, &loop.backend, &opts), 0);
	assert_int_equal(ghost_enclave_id(e), 5);
	assert_true(stall_ns == 5000000000ull);
	ghost_enclave_close(e);
	assert_heard("create 5\nunmap 0\n");
	nr_taken = 0;
	opts.stall_ns = GHOST_STALL_NS_MAX;
	assert_int_equal(ghost_enclave_create(&e, &loop.backend, &opts), 0);
	assert_int_equal(ghost_enclave_id(e), 1);
	assert_true(stall_ns == GHOST_STALL_NS_MAX);
	ghost_enclave_close(e);
}

/* Each CPU's own queue, and what was asked for those that are made. */
static void test_enclave_is_not_made_without_a_token(void **state)
{
	struct ghost_cpuset cpus = cpu0();
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e = NULL;

	loop.token = 0; /* there are no random numbers */
	assert_int_equal(ghost_enclave_create(&e, &loop.backend, &opts), -EIO);
	assert_null(e);
	assert_heard("");
}

static void test_enclave_nobody_is_given_what_cannot_be_given(void **state)
{
	struct ghost_enclave *e;

	assert_int_equal(ghost_enclave_open(&e, &loop.backend, 1), 0);
	assert_int_equal(ghost_enclave_delegate(e, ~0u, ~0u), -EINVAL);
	assert_int_equal(ghost_enclave_delegate(e, 1000, ~0u), -EOPNOTSUPP);
	ghost_enclave_close(e);
}

static void test_enclave_memory_is_as_large_as_it_tells_the_kernel_side(void **state)
{
	struct ghost_cpuset cpus = cpu0();
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e;

	assert_int_equal(ghost_enclave_create(&e, &loop.backend, &opts), 0);
	assert_int_equal(made_len, GHOST_RING_DEFAULT);
	assert_int_equal(ring_len, GHOST_RING_DEFAULT);
	ghost_enclave_close(e);
	opts.ring_len = 16777216;
	assert_int_equal(ghost_enclave_create(&e, &loop.backend, &opts), 0);
	assert_int_equal(made_len, 16777216);
	assert_int_equal(ring_len, 16777216);
	ghost_enclave_close(e);
}

static void test_enclave_refused_one_leaves_nothing_behind(void **state)
{
	struct ghost_cpuset cpus = cpu0();
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e = NULL;

	answer[GHOST_CTL_ENCLAVE_CREATE] = -EBUSY;
	nr_taken = 1;
	assert_int_equal(ghost_enclave_create(&e, &loop.backend, &opts), -EBUSY);
	assert_heard("create 2\ndiscard 2\n");
	nr_taken = GHOST_ENCLAVES_MAX - 1;
	assert_int_equal(ghost_enclave_create(&e, &loop.backend, &opts), -ENOSPC);
	assert_heard("");
	assert_null(e);
}

/* --- members ------------------------------------------------------------------- */

/* Membership begins with the change of class, so it leaves first. */
static void test_enclave_join_asks_then_changes_the_class(void **state)
{
	assert_int_equal(ghost_enclave_join(loop.enclave, 42), 0);
	assert_heard("join 42\nleave 42\nenter 42\n");
}

static void test_enclave_join_that_fails_is_taken_back(void **state)
{
	answer[GHOST_CTL_TASK_JOIN] = -ENOENT;
	assert_int_equal(ghost_enclave_join(loop.enclave, 42), -ENOENT);
	assert_heard("join 42\n");
	answer[GHOST_CTL_TASK_JOIN] = 0;
	enter_err = -EPERM;
	assert_int_equal(ghost_enclave_join(loop.enclave, 42), -EPERM);
	assert_heard("join 42\nleave 42\nenter 42\nunjoin 42\n");
	leave_err = -ESRCH;
	assert_int_equal(ghost_enclave_join(loop.enclave, 42), -ESRCH);
	assert_heard("join 42\nleave 42\nunjoin 42\n");
}

static void test_enclave_joining_a_process_joins_each_thread_once(void **state)
{
	char want[64];
	__u32 tid = getpid();

	/* It is in the table already, as after the first round of a real one. */
	loop_thread(1, 0, LOOP_INUSE);
	loop.status[1].tid = tid;
	assert_int_equal(ghost_enclave_join_process(loop.enclave, tid, NULL, NULL), 0);
	assert_heard("");
	/* It was, but is no more. */
	loop_word(1, 2, 0);
	answer[GHOST_CTL_TASK_JOIN] = -EPERM;
	assert_int_equal(ghost_enclave_join_process(loop.enclave, tid, NULL, NULL), -EPERM);
	snprintf(want, sizeof(want), "join %u\n", tid);
	assert_heard(want);
	assert_int_equal(ghost_enclave_join_process(loop.enclave, 0x7fffffff, NULL, NULL), -ESRCH);
	assert_int_equal(ghost_enclave_join_cgroup(loop.enclave, "/no/such/folder", NULL, NULL),
			 -ENOENT);
	assert_int_equal(ghost_enclave_join_cgroup(loop.enclave, "/proc", NULL, NULL), -EXDEV);
	assert_int_equal(ghost_enclave_join_cgroup(loop.enclave, "/proc/self/stat", NULL, NULL),
			 -ENOTDIR);
}

static bool is_cgroup(const char *folder)
{
	struct statfs fs;

	return !statfs(folder, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static void test_enclave_joining_a_cgroup_never_means_all_threads_there_are(void **state)
{
	static const char *const names[] = { ".", "/sys/fs/cgroup", "../cgroup", "./" };

	assert_int_equal(ghost_enclave_join_cgroup(loop.enclave, "", NULL, NULL), -EINVAL);
	if (is_cgroup("/sys/fs/cgroup"))
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			assert_int_equal(ghost_enclave_join_cgroup(loop.enclave, names[i], NULL,
								   NULL),
					 -EINVAL);
	/* Where version 1 has the folder itself. */
	else if (is_cgroup("/sys/fs/cgroup/unified"))
		assert_int_equal(ghost_enclave_join_cgroup(loop.enclave, "unified", NULL, NULL),
				 -EINVAL);
	assert_heard("");
}

/* --- taking down ----------------------------------------------------------------- */

static void test_enclave_destroy_sends_the_members_home_until_none_is_left(void **state)
{
	loop_thread(1, 0, LOOP_INUSE);
	loop_thread(2, 0, 0);
	loop_thread(3, 0, LOOP_WAITS);
	nr_busy = 1;
	assert_int_equal(ghost_enclave_destroy(loop.enclave), 0);
	assert_heard("destroy 1\nleave 1001\nleave 1003\nfree 16\n"
		     "leave 1001\nleave 1003\nfree 0\ndiscard 1\n");
}

/* Each pause takes long, as where many want the CPUs. */
static void pause_takes_100_ms(void)
{
	loop.now += 100 * 1000 * 1000;
}

static void test_enclave_destroy_gives_up_when_members_keep_coming(void **state)
{
	nr_busy = 1 << 20;
	assert_int_equal(ghost_enclave_destroy(loop.enclave), -EBUSY);
	assert_null(strstr(heard, "discard"));
	loop.nr_sleeps = 0;
	loop.on_sleep = pause_takes_100_ms;
	assert_int_equal(ghost_enclave_destroy(loop.enclave), -EBUSY);
	assert_in_range(loop.nr_sleeps, 40, 50);
}

static void test_enclave_destroy_that_is_refused_leaves_its_memory(void **state)
{
	answer[GHOST_CTL_ENCLAVE_FREE] = -EPERM;
	assert_int_equal(ghost_enclave_destroy(loop.enclave), -EPERM);
	assert_null(strstr(heard, "discard"));
}

static void test_enclave_destroy_of_what_is_gone_only_tidies_up(void **state)
{
	answer[GHOST_CTL_ENCLAVE_DESTROY] = -ENOENT;
	assert_int_equal(ghost_enclave_destroy(loop.enclave), 0);
	assert_heard("destroy 1\ndiscard 1\n");
	answer[GHOST_CTL_ENCLAVE_DESTROY] = -EPERM;
	assert_int_equal(ghost_enclave_destroy(loop.enclave), -EPERM);
	assert_heard("destroy 1\n");
}

/* --- counting -------------------------------------------------------------------- */

static void test_enclave_counts_are_sums_over_its_cpus(void **state)
{
	struct ghost_enclave_counts c;

	for (__u32 cpu = 0; cpu < LOOP_CPUS; cpu++) {
		for (int i = 0; i < GHOST_NR_COUNTERS; i++)
			loop.cpu[cpu].nr[i] = 1000 * cpu + i;
		for (int i = 0; i < GHOST_TXN_NR_STATES; i++)
			loop.cpu[cpu].nr_txn[i] = 100 * cpu + i;
		loop.cpu[cpu].queue.head = cpu + 1;
		loop.cpu[cpu].queue.overflow = 2 * cpu;
	}
	/* Queues that were made count, too; they are all their records have. */
	loop.cpu[LOOP_CPUS].queue.head = 100;
	loop.cpu[LOOP_QUEUES - 1].queue.overflow = 1000;
	loop.cpu[1].agent_tid = 5;
	loop_thread(1, 0, LOOP_INUSE);
	loop_thread(2, 0, 0);
	loop_thread(3, 1, LOOP_ONCPU);
	assert_int_equal(ghost_enclave_count(loop.enclave, &c), 0);
	for (int i = 0; i < GHOST_NR_COUNTERS; i++)
		assert_int_equal(c.nr[i], 6000 + 4 * i);
	for (int i = 0; i < GHOST_TXN_NR_STATES; i++)
		assert_int_equal(c.nr_txn[i], 600 + 4 * i);
	assert_int_equal(c.nr_msgs, 110);
	assert_int_equal(c.nr_overflows, 1012);
	assert_int_equal(c.nr_agents, 1);
	assert_int_equal(c.nr_tasks, 2);
}

/* --- names ------------------------------------------------------------------------ */

/* Each value of an enumeration has a name of its own; what is beyond has none. */
static void check_names(const char *(*name)(__u32), __u32 nr)
{
	for (__u32 i = 0; i < nr; i++) {
		assert_string_not_equal(name(i), "?");
		for (__u32 k = 0; k < i; k++)
			assert_string_not_equal(name(i), name(k));
	}
	assert_string_equal(name(nr), "?");
	assert_string_equal(name(GHOST_CPUS_MAX), "?");
	assert_string_equal(name(~0u), "?");
}

static void test_enclave_every_state_reason_and_counter_has_a_name(void **state)
{
	check_names(ghost_enclave_state_name, GHOST_ENCLAVE_DYING + 1);
	check_names(ghost_lost_reason_name, GHOST_LOST_CPU + 1);
	check_names(ghost_txn_state_name, GHOST_TXN_NR_STATES);
	check_names(ghost_counter_name, GHOST_NR_LATE + 1);
	check_names(ghost_fallback_name, GHOST_FALLBACK_MAX + 1);
	assert_string_equal(ghost_enclave_state_name(GHOST_ENCLAVE_ONLINE), "online");
	assert_string_equal(ghost_txn_state_name(GHOST_TXN_TASK_STALE), "task_stale");
	assert_string_equal(ghost_counter_name(GHOST_NR_TASKS), "tasks");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_enclave_ids_that_cannot_be_are_not_found),
		T(test_enclave_that_is_free_is_not_found_and_unmapped),
		T(test_enclave_knows_its_cpus_and_its_id),
		T(test_enclave_wrong_options_are_refused),
		T(test_enclave_new_one_gets_the_smallest_free_id),
		T(test_enclave_is_not_made_without_a_token),
		T(test_enclave_nobody_is_given_what_cannot_be_given),
		T(test_enclave_memory_is_as_large_as_it_tells_the_kernel_side),
		T(test_enclave_refused_one_leaves_nothing_behind),
		T(test_enclave_join_asks_then_changes_the_class),
		T(test_enclave_join_that_fails_is_taken_back),
		T(test_enclave_joining_a_process_joins_each_thread_once),
		T(test_enclave_joining_a_cgroup_never_means_all_threads_there_are),
		T(test_enclave_destroy_sends_the_members_home_until_none_is_left),
		T(test_enclave_destroy_gives_up_when_members_keep_coming),
		T(test_enclave_destroy_that_is_refused_leaves_its_memory),
		T(test_enclave_destroy_of_what_is_gone_only_tidies_up),
		T(test_enclave_counts_are_sums_over_its_cpus),
		T(test_enclave_every_state_reason_and_counter_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
