// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process trees: who belongs to one, and how much of /proc is read to know it. The
 * processes are real ones, forked here.
 * In: libghost/tree.c over a backend that lets everybody in. Out: TAP.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/loop_fake.h"

#define LINE 300
#define LEAVES 300

static unsigned int nr_entered, nr_asked;
static pid_t heads[2];
static unsigned int nr_heads;

/* A member as long as it is looked at: there are more than the table has slots. */
static int enter(struct ghost_backend *self, __u32 tid)
{
	loop_thread(1, 0, LOOP_INUSE);
	loop.status[1].tid = tid;
	nr_entered++;
	return 0;
}

static int admin(struct ghost_backend *self, struct ghost_ctl *ctl)
{
	ctl->ret = 0;
	return 0;
}

/* --- processes ------------------------------------------------------------------- */

static void rest(void)
{
	for (;;)
		pause();
}

/* Ends with its parent. Who waits for a byte is told if there cannot be one. */
static pid_t fork_child(int tell)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid >= 0 || write(tell, "-", 1) == 1 ? pid : -1;
}

/*
 * A process that has a child, and so on, @length of them; the last one has @nr_leaves.
 * They are there until the case ends.
 */
static pid_t line_of(unsigned int length, unsigned int nr_leaves)
{
	char byte = 0;
	int ends[2];
	pid_t head;

	assert_return_code(pipe(ends), errno);
	head = fork_child(ends[1]);
	if (!head) {
		while (--length)
			if (fork_child(ends[1]))
				rest();
		while (nr_leaves--)
			if (!fork_child(ends[1]))
				rest();
		if (write(ends[1], "+", 1) != 1)
			abort();
		rest();
	}
	heads[nr_heads++] = head;
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(byte, '+');
	return head;
}

static int begin(void **state)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	loop_reset(1);
	loop.backend.admin = admin;
	loop.backend.task_enter = enter;
	nr_entered = nr_asked = nr_heads = 0;
	return 0;
}

/* All that descend from the first of a line end with it, one after the other, and become ours. */
static int end(void **state)
{
	while (nr_heads)
		kill(heads[--nr_heads], SIGKILL);
	while (wait(NULL) > 0)
		;
	loop_stop();
	return 0;
}

/* --- what is looked at -------------------------------------------------------------- */

static bool counts(uint32_t pid, void *arg)
{
	nr_asked++;
	return false;
}

/* Reads by this process so far, as the kernel counts them. */
static unsigned long nr_reads(void)
{
	unsigned long nr = 0;
	char line[64];
	FILE *f = fopen("/proc/self/io", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "syscr: %lu", &nr);
	if (f)
		fclose(f);
	return nr;
}

static void test_tree_is_all_that_descend_from_its_top_each_looked_at_once(void **state)
{
	pid_t top = line_of(LINE / 2, LEAVES / 2);

	assert_int_equal(ghost_enclave_join_tree(loop.enclave, top, counts, NULL),
			 LINE / 2 + LEAVES / 2);
	assert_int_equal(nr_entered, LINE / 2 + LEAVES / 2);
	assert_int_equal(nr_asked, LINE / 2 + LEAVES / 2);
}

/*
 * Of those beside the tree nobody is read for each that descends from it: the kernel
 * counts fewer reads than it would take to go up the line from a tenth of the leaves.
 */
static void test_tree_costs_no_look_at_a_line_beside_it_for_each_process_there(void **state)
{
	pid_t top = line_of(1, 1);
	unsigned long nr;

	line_of(LINE, LEAVES);
	nr = nr_reads();
	if (!nr) {
		printf("# the kernel does not count reads in /proc/self/io\n");
		skip();
	}
	assert_int_equal(ghost_enclave_join_tree(loop.enclave, top, NULL, NULL), 2);
	nr = nr_reads() - nr;
	printf("# %lu reads\n", nr);
	assert_in_range(nr, LINE + LEAVES, LINE * LEAVES / 10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(test_tree_is_all_that_descend_from_its_top_each_looked_at_once),
		T(test_tree_costs_no_look_at_a_line_beside_it_for_each_process_there),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
