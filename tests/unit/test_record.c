// SPDX-License-Identifier: GPL-2.0-only
/*
 * cli/record.c: a process is who it was when it was written down.
 * In: processes of the test. Out: TAP.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/record.h"
#include "libghost/proc.h"
#include "tests/check.h"

static struct process child;

static int setup(void **state)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return process_of(pid, &child) ? 0 : -1;
}

static int teardown(void **state)
{
	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
	return 0;
}

static bool ends_by(int signal)
{
	int status;

	return waitpid(child.pid, &status, 0) == child.pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == signal;
}

static void test_record_a_signal_gets_to_the_process_that_was_written_down(void **state)
{
	assert_true(process_alive(&child));
	assert_int_equal(process_signal(&child, SIGTERM), 0);
	assert_true(ends_by(SIGTERM));
	assert_false(process_alive(&child));
	assert_int_equal(process_signal(&child, SIGTERM), -ESRCH);
}

static void test_record_no_signal_gets_to_a_later_process_with_its_pid(void **state)
{
	struct process earlier = { .pid = child.pid, .start = child.start - 1 }, none = { 0 };

	assert_false(process_alive(&earlier));
	assert_int_equal(process_signal(&earlier, SIGKILL), -ESRCH);
	assert_int_equal(process_signal(&none, SIGKILL), -ESRCH);
	kill_agents(&earlier);
	assert_int_equal(process_signal(&child, SIGTERM), 0);
	assert_true(ends_by(SIGTERM));
}

static void test_record_agents_are_killed_with_their_process(void **state)
{
	kill_agents(&child);
	assert_true(ends_by(SIGKILL));
}

static void *rest(void *arg)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
	return NULL;
}

/* As that of agents which were killed is, while others keep the CPU of one of them. */
static void test_record_a_process_lives_until_its_last_thread_has_ended(void **state)
{
	struct process leader;
	char line[PROC_STAT_SIZE];
	const char *c;
	pthread_t thread;
	pid_t pid = fork();

	if (!pid) {
		pthread_create(&thread, NULL, rest, NULL);
		syscall(SYS_exit, 0);
	}
	assert_true(pid > 0 && process_of(pid, &leader));
	do
		c = proc_stat(pid, line);
	while (c && *c != 'Z');
	assert_true(process_alive(&leader));
	kill_agents(&leader);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_alive(&leader));
}

/* Names come from the process itself; /proc/PID/stat has them as they are. */
static void test_record_no_name_makes_a_process_another_one(void **state)
{
	static const char *const names[] = { "a\nb", "\n", ") Z 1 1", ") Z 1 1\n", "(", "" };
	struct process self;

	assert_true(process_of(getpid(), &self));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		prctl(PR_SET_NAME, names[i]);
		assert_true(process_alive(&self));
	}
	prctl(PR_SET_NAME, "test_record");
}

static void touch(const char *format, int pid)
{
	char path[64], name[32];
	FILE *f;

	snprintf(name, sizeof(name), format, pid);
	snprintf(path, sizeof(path), "/run/ghost/%s", name);
	f = fopen(path, "we");
	assert_non_null(f);
	fclose(f);
}

/* Which of the files are there? */
static const char *files(void)
{
	static char text[512];
	struct dirent **list;
	int nr = scandir("/run/ghost", &list, NULL, alphasort);

	assert_return_code(nr, errno);
	text[0] = 0;
	for (int i = 0; i < nr; free(list[i++]))
		if (list[i]->d_name[0] != '.')
			strcat(strcat(text, list[i]->d_name), " ");
	free(list);
	return text;
}

static void test_record_what_the_dead_left_unfinished_is_removed_and_nothing_else(void **state)
{
	static const int nobody = 4194304; /* pids are smaller */
	char want[128];

	/* A /run of our own; the process ends with it. */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/run", "tmpfs", 0, NULL)) {
		print_message("# cannot have a /run of its own: %s\n", strerror(errno));
		skip();
	}
	assert_return_code(mkdir("/run/ghost", 0755), errno);
	record_remove_unfinished();
	assert_string_equal(files(), "");
	touch("enclave_1", 0);
	touch("intent.new", 0);
	touch("kept_1.log", 0);
	touch("create_%d.log", nobody);
	touch("create_%d.log", child.pid);
	touch("created_%d.log", nobody);
	record_remove_unfinished();
	snprintf(want, sizeof(want), "create_%d.log created_%d.log enclave_1 kept_1.log ",
		 child.pid, nobody);
	assert_string_equal(files(), want);
	kill(child.pid, SIGKILL);
	assert_true(ends_by(SIGKILL));
	record_remove_unfinished();
	snprintf(want, sizeof(want), "created_%d.log enclave_1 kept_1.log ", nobody);
	assert_string_equal(files(), want);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_record_a_signal_gets_to_the_process_that_was_written_down),
		T(test_record_no_signal_gets_to_a_later_process_with_its_pid),
		T(test_record_agents_are_killed_with_their_process),
		T(test_record_what_the_dead_left_unfinished_is_removed_and_nothing_else),
		cmocka_unit_test(test_record_a_process_lives_until_its_last_thread_has_ended),
		cmocka_unit_test(test_record_no_name_makes_a_process_another_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
