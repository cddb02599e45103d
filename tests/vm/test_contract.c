// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contract, kept by a real kernel.
 * In: tests/contract/, the world in world.c; root, sched_ext. Out: TAP. The same
 * cases run in the simulator in tests/sim/test_contract.c, but for those here,
 * about what it does not have: other programs, cgroups.
 */
/* cpus: 4 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/contract/contract.h"

#define CGROUPS "/sys/fs/cgroup"

static void put(struct world *w, const char *dir, const char *file, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "w");
	check(w, f != NULL);
	fputs(text, f);
	if (fclose(f))
		fail_case(w, "cannot write %s to %s", text, path);
}

/* A member whose record is looked at, in a cgroup of its own. Returns the id of that. */
static uint64_t into(struct world *w, const struct puppet *p, const char *dir)
{
	struct stat st;
	char tid[16];

	if (mkdir(dir, 0755) || stat(dir, &st))
		fail_case(w, "no cgroup %s", dir);
	snprintf(tid, sizeof(tid), "%u", p->tid);
	put(w, dir, "cgroup.procs", tid);
	return st.st_ino;
}

/* It may have processes that have not quite gone. */
static void away_with(struct world *w, const struct puppet *p, const char *dir)
{
	char tid[16];

	snprintf(tid, sizeof(tid), "%u", p->tid);
	put(w, CGROUPS, "cgroup.procs", tid);
	check_is(w, rmdir(dir), 0);
}

static void case_a_record_follows_its_thread_to_another_cgroup(struct world *w)
{
	const char *dir[] = { CGROUPS "/ghost_test_a", CGROUPS "/ghost_test_b" };
	struct puppet *p;
	uint64_t id[2];

	rmdir(dir[0]);
	rmdir(dir[1]);
	agents_up(w);
	p = puppet_new(w);
	id[0] = into(w, p, dir[0]);
	join(w, w->e, p);
	check_is(w, status_of(w, p)->cgroup, id[0]);
	id[1] = into(w, p, dir[1]);
	check(w, id[0] != id[1]);
	until(w, status_of(w, p)->cgroup == id[1]);
	/* Also while it waits, and while it runs. */
	order(w, p, PUPPET_SPIN);
	until(w, flags_of(w, p) & GHOST_STATUS_RUNNABLE);
	check_is(w, rmdir(dir[0]), 0);
	id[0] = into(w, p, dir[0]);
	until(w, status_of(w, p)->cgroup == id[0]);
	drain(w);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
	check_is(w, rmdir(dir[1]), 0);
	id[1] = into(w, p, dir[1]);
	until(w, status_of(w, p)->cgroup == id[1]);
	check(w, runs_on(w, p, CPU_B));
	check_is(w, rmdir(dir[0]), 0);
	away_with(w, p, dir[1]);
}

static void case_the_weight_of_a_cgroup_is_not_that_of_its_threads(struct world *w)
{
	const char *dir = CGROUPS "/ghost_test_c";
	struct puppet *p;

	/* Who has a machine to himself may hand out controllers. */
	if (getenv("GHOST_VM"))
		put(w, CGROUPS, "cgroup.subtree_control", "+cpu");
	rmdir(dir);
	agents_up(w);
	p = puppet_new(w);
	into(w, p, dir);
	join(w, w->e, p);
	check_is(w, status_of(w, p)->weight, 100);
	if (!access(CGROUPS "/ghost_test_c/cpu.weight", W_OK))
		put(w, dir, "cpu.weight", "300");
	pass(w, 100);
	check_is(w, status_of(w, p)->weight, 100);
	renice(w, p, -5);
	check_is(w, status_of(w, p)->weight, 305);
	away_with(w, p, dir);
}

static void case_a_record_tells_the_name_of_another_program(struct world *w)
{
	struct puppet *p;
	int pipe_to[2];
	pid_t pid;
	char go;

	agents_up(w);
	check_is(w, pipe(pipe_to), 0);
	check(w, w->nr_puppets < PUPPETS_MAX);
	pid = fork();
	check(w, pid >= 0);
	if (!pid) {
		close(pipe_to[1]);
		if (read(pipe_to[0], &go, 1) == 1)
			execl("/bin/sleep", "sleep", "100", (char *)NULL);
		_exit(1);
	}
	p = &w->puppets[w->nr_puppets++];
	p->tid = pid;
	join(w, w->e, p);
	check_is(w, strcmp(status_of(w, p)->comm, "sleep") == 0, 0);
	check_is(w, write(pipe_to[1], "", 1), 1);
	for (int i = 0; strcmp(status_of(w, p)->comm, "sleep"); i++) {
		check(w, i < PATIENCE);
		drain(w);
		if (flags_of(w, p) & GHOST_STATUS_RUNNABLE)
			put_on(w, CPU_A, p, GHOST_SLICE_INF);
		pass(w, 1);
	}
	close(pipe_to[0]);
	close(pipe_to[1]);
}

static const struct contract_case cases[] = {
	CASE(case_a_record_follows_its_thread_to_another_cgroup),
	CASE(case_the_weight_of_a_cgroup_is_not_that_of_its_threads),
	CASE(case_a_record_tells_the_name_of_another_program),
	{ 0 },
};

int main(int argc, char **argv)
{
	static const struct contract_case *const suites[] = {
		contract_cases, contract_remote_cases, contract_queue_cases, cases, NULL,
	};

	return contract_main("contract", suites, argc, argv);
}
