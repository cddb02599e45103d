// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who joins is who was meant, also when the number of a thread is given to another one
 * between any two steps of joining it.
 * In: root, sched_ext, cgroup v2. Out: TAP.
 *
 * The steps are the real ones; only that the number is given again just before one of
 * them is arranged, by what the library calls there.
 */
/* cpus: 2 */
/* limit: 120 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libghost/enclave.h"
#include "libghost/kernel.h"
#include "tests/check.h"

#define POLICY_EXT 7
#define CGROUP "/sys/fs/cgroup/test_join"

static struct ghost_backend *backend, real;
static struct ghost_enclave *enclave;
static char why[512];
static pid_t meant; /* the process that is to join; its number is given again */
static bool armed;
static pid_t asked; /* when the library asks about this one */

/* --- processes ------------------------------------------------------------------------------ */

static void rest(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid)
		rest();
	assert_true(pid > 0);
	return pid;
}

/* Until nobody has its number: whoever is its parent reaps it. */
static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (!kill(pid, 0))
		usleep(1000);
}

/* The one that was meant ends, and one of class SCHED_BATCH, with a child, has its number. */
static void give_again(void)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&meant,
		.set_tid_size = 1,
	};
	struct sched_param param = { 0 };
	char byte;
	int ends[2];
	pid_t pid;

	armed = false;
	end(meant);
	if (pipe(ends))
		abort();
	/* It is free a little after nobody has it any more. */
	do
		pid = syscall(SYS_clone3, &args, sizeof(args));
	while (pid < 0 && errno == EEXIST);
	if (!pid) {
		sched_setscheduler(0, SCHED_BATCH, &param);
		pid = fork();
		if (!pid)
			rest();
		if (write(ends[1], &pid, sizeof(pid)) < 0)
			_exit(1);
		rest();
	}
	/* As a stranger has it. */
	if (pid != meant || read(ends[0], &byte, 1) != 1)
		abort();
	close(ends[0]);
	close(ends[1]);
}

static int policy_of(pid_t pid)
{
	return sched_getscheduler(pid);
}

static uint32_t nr_members(void)
{
	return ghost_enclave_status(enclave)->nr_tasks;
}

/* One that has ended is a member until the kernel is done with it, and may be reaped before. */
static void assert_nobody_joined(void)
{
	for (int i = 0; i < 1000 && nr_members(); i++)
		usleep(1000);
	assert_int_equal(nr_members(), 0);
}

/* The stranger is who it was, and none of ours; nor when it turns SCHED_EXT by itself. */
static void assert_untouched(int policy)
{
	struct sched_param param = { 0 };

	assert_false(armed);
	assert_int_equal(policy_of(meant), policy);
	assert_nobody_joined();
	assert_return_code(sched_setscheduler(meant, POLICY_EXT, &param), errno);
	assert_int_equal(nr_members(), 0);
	end(meant);
}

/* --- the moments ------------------------------------------------------------------------------ */

static int admin(struct ghost_backend *self, struct ghost_ctl *ctl)
{
	if (armed && ctl->op == GHOST_CTL_TASK_JOIN)
		give_again();
	return real.admin(self, ctl);
}

static int open_task(struct ghost_backend *self, __u32 tid)
{
	if (armed && (pid_t)tid == meant)
		give_again();
	return real.task_open(self, tid);
}

static int leave(struct ghost_backend *self, __u32 tid)
{
	if (armed)
		give_again();
	return real.task_leave(self, tid);
}

static int enter(struct ghost_backend *self, __u32 tid)
{
	if (armed)
		give_again();
	return real.task_enter(self, tid);
}

/* Asked about by the library: nobody is to be left alone. */
static bool is_skipped(uint32_t pid, void *arg)
{
	if (armed && (pid_t)pid == asked)
		give_again();
	return false;
}

static int before_each(void **state)
{
	*backend = real;
	meant = asked = sleeper();
	armed = true;
	return 0;
}

/* --- one thread -------------------------------------------------------------------------------- */

static void test_a_number_that_is_nobodys_any_more_is_refused(void **state)
{
	armed = false;
	end(meant);
	assert_int_equal(ghost_enclave_join(enclave, meant), -ESRCH);
	assert_int_equal(ghost_enclave_join_process(enclave, meant, NULL, NULL), -ESRCH);
	assert_int_equal(ghost_enclave_join_tree(enclave, meant, NULL, NULL), -ESRCH);
	assert_nobody_joined();
}

static void test_who_has_the_number_before_membership_is_asked_for_is_untouched(void **state)
{
	backend->admin = admin;
	assert_int_equal(ghost_enclave_join(enclave, meant), -ESRCH);
	assert_untouched(SCHED_BATCH);
}

/* The kernel takes a number, and nobody can look in between: this is all that can happen. */
static void test_who_has_the_number_when_the_class_changes_goes_to_the_fair_class(void **state)
{
	backend->task_enter = enter;
	assert_int_equal(ghost_enclave_join(enclave, meant), -ESRCH);
	assert_untouched(SCHED_OTHER);
}

static void test_who_has_the_number_just_before_goes_to_the_fair_class(void **state)
{
	backend->task_leave = leave;
	assert_int_equal(ghost_enclave_join(enclave, meant), -ESRCH);
	assert_untouched(SCHED_OTHER);
}

/* --- processes ---------------------------------------------------------------------------------- */

static void
test_a_later_process_with_the_number_of_one_that_was_looked_at_does_not_join(void **state)
{
	assert_int_equal(ghost_enclave_join_process(enclave, meant, is_skipped, NULL), -ESRCH);
	assert_untouched(SCHED_BATCH);
}

static void
test_a_later_process_with_the_number_of_a_thread_that_was_listed_does_not_join(void **state)
{
	backend->task_open = open_task;
	assert_int_equal(ghost_enclave_join_process(enclave, meant, NULL, NULL), -ESRCH);
	assert_untouched(SCHED_BATCH);
}

/* Returns a process that has a child, *@ret_child, which it reaps. */
static pid_t parent_of(pid_t *ret_child)
{
	int ends[2];
	pid_t pid;

	assert_return_code(pipe(ends), errno);
	pid = fork();
	if (!pid) {
		signal(SIGCHLD, SIG_IGN);
		pid = sleeper();
		if (write(ends[1], &pid, sizeof(pid)) < 0)
			_exit(1);
		rest();
	}
	assert_int_equal(read(ends[0], ret_child, sizeof(*ret_child)), sizeof(*ret_child));
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static void test_a_later_process_with_the_number_of_a_child_does_not_join_the_tree(void **state)
{
	pid_t top;

	end(meant);
	top = parent_of(&meant);
	asked = meant;
	assert_int_equal(ghost_enclave_join_tree(enclave, top, is_skipped, NULL), 1);
	assert_int_equal(policy_of(top), POLICY_EXT);
	assert_int_equal(nr_members(), 1);
	end(top);
	assert_untouched(SCHED_BATCH);
}

static void test_children_of_a_later_process_with_the_number_of_the_top_do_not_join(void **state)
{
	end(meant);
	meant = parent_of(&asked);
	/* The top had joined by then, and its child may. A second pass meets one of the later top. */
	assert_in_range(ghost_enclave_join_tree(enclave, meant, is_skipped, NULL), 1, 2);
	end(asked);
	assert_untouched(SCHED_BATCH);
}

/* A process that forks a child whenever it is asked to, and says so. */
static int forks[2], forked[2];

static pid_t forker(void)
{
	char byte;
	pid_t pid;

	assert_return_code(pipe(forks) ?: pipe(forked), errno);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		while (read(forks[0], &byte, 1) == 1) {
			sleeper();
			if (write(forked[1], &byte, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	return pid;
}

/* With each process that is looked at there is another one, which was born a member. */
static bool breeds(uint32_t pid, void *arg)
{
	unsigned int *nr_asked = arg;
	char byte = 0;

	(*nr_asked)++;
	assert_int_equal(write(forks[1], &byte, 1), 1);
	assert_int_equal(read(forked[0], &byte, 1), 1);
	return false;
}

static void
test_a_tree_that_forks_all_the_time_is_in_when_all_that_were_born_before_are(void **state)
{
	unsigned int nr_asked = 0;
	pid_t top = forker();

	armed = false;
	/* The top, and the child that it had before it was a member. */
	assert_int_equal(ghost_enclave_join_tree(enclave, top, breeds, &nr_asked), 2);
	printf("# %u were looked at\n", nr_asked);
	assert_in_range(nr_asked, 2, 10);
	assert_int_equal(nr_members(), 1 + nr_asked);
	assert_int_equal(ghost_enclave_join_tree(enclave, top, NULL, NULL), 0);
	end(meant);
	kill(-top, SIGKILL);
	/* Children whose parent has ended are ours. */
	while (waitpid(-top, NULL, 0) > 0)
		;
	assert_nobody_joined();
	for (int i = 0; i < 2; i++) {
		close(forks[i]);
		close(forked[i]);
	}
}

static void put_into_a_cgroup(pid_t pid)
{
	FILE *f;

	assert_true(!mkdir(CGROUP, 0755) || errno == EEXIST);
	f = fopen(CGROUP "/cgroup.procs", "we");
	assert_non_null(f);
	fprintf(f, "%d", pid);
	assert_return_code(fclose(f), errno);
}

static void test_a_later_process_with_the_number_of_one_in_a_cgroup_does_not_join(void **state)
{
	put_into_a_cgroup(meant);
	assert_int_equal(ghost_enclave_join_cgroup(enclave, CGROUP, is_skipped, NULL), 0);
	assert_untouched(SCHED_BATCH);
	assert_return_code(rmdir(CGROUP), errno);
}

static void test_a_later_process_with_the_number_of_one_a_cgroup_listed_does_not_join(void **state)
{
	put_into_a_cgroup(meant);
	backend->task_open = open_task;
	assert_int_equal(ghost_enclave_join_cgroup(enclave, CGROUP, NULL, NULL), 0);
	assert_untouched(SCHED_BATCH);
	assert_return_code(rmdir(CGROUP), errno);
}

/* --- all of it ---------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	struct ghost_cpuset cpus = { 0 };
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	int err = ghost_kernel_load(64, why, sizeof(why));

	err = err ?: ghost_kernel_open(&backend, why, sizeof(why));
	if (err) {
		printf("# %s: %s\n", strerror(-err), why);
		return err;
	}
	real = *backend;
	/* Whose parent has ended is reaped by us. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ghost_cpuset_add(&cpus, 1);
	err = ghost_enclave_create(&enclave, backend, &opts);
	if (err)
		printf("# %s: %s\n", strerror(-err), backend->error);
	return err;
}

static int tear_down(void **state)
{
	int err;

	if (!enclave)
		return -1;
	*backend = real;
	err = ghost_enclave_destroy(enclave);
	ghost_enclave_close(enclave);
	backend->close(backend);
	return err ?: ghost_kernel_unload(why, sizeof(why));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, before_each)
	static const struct CMUnitTest tests[] = {
		T(test_a_number_that_is_nobodys_any_more_is_refused),
		T(test_who_has_the_number_before_membership_is_asked_for_is_untouched),
		T(test_who_has_the_number_when_the_class_changes_goes_to_the_fair_class),
		T(test_who_has_the_number_just_before_goes_to_the_fair_class),
		T(test_a_later_process_with_the_number_of_one_that_was_looked_at_does_not_join),
		T(test_a_later_process_with_the_number_of_a_thread_that_was_listed_does_not_join),
		T(test_a_later_process_with_the_number_of_a_child_does_not_join_the_tree),
		T(test_children_of_a_later_process_with_the_number_of_the_top_do_not_join),
		T(test_a_tree_that_forks_all_the_time_is_in_when_all_that_were_born_before_are),
		T(test_a_later_process_with_the_number_of_one_in_a_cgroup_does_not_join),
		T(test_a_later_process_with_the_number_of_one_a_cgroup_listed_does_not_join),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("who joins", tests, set_up, tear_down);
}
