// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may do what: what a user can do with an enclave that root has given to it, and
 * that it can do nothing else. docs/security.md names the case for each of its lines.
 * In: root, sched_ext. Out: TAP.
 *
 * Users are numbers and have no name; their part of a case runs in a process of theirs,
 * which answers 0 or the line that was not as it should be.
 */
/* cpus: 4 */
/* limit: 300 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libghost/agent.h"
#include "libghost/kernel.h"
#include "libghost/proc.h"
#include "policies/policies.h"
#include "tests/check.h"

enum {
	CPU_US,
	CPU_OWN, /* two */
	CPU_OTHER = 3,
};

#define OWNER 1000
#define OTHER 1001
#define NOBODY 1002
#define GROUP 2000
#define POLICY_EXT 7
#define MAX_TASKS 8

static struct ghost_backend *backend;
static struct ghost_enclave *own, *other; /* OWNER's, OTHER's */
static uint32_t own_id, other_id;
static pid_t roots, others; /* processes that sleep */

/* --- processes of others ---------------------------------------------------------------- */

#define NEED(what)                       \
	do {                             \
		if (!(what))             \
			return __LINE__; \
	} while (0)

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static bool become(uid_t uid, gid_t group)
{
	const gid_t groups[] = { group };

	return !setgroups(group ? 1 : 0, groups) && !setresgid(uid, uid, uid) &&
	       !setresuid(uid, uid, uid) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* What @part came to in a process of @uid, in @group (0: none) as well. */
static int as_member(uid_t uid, gid_t group, int (*part)(void))
{
	int ends[2], ret = -1, status;
	pid_t pid;

	assert_return_code(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		if (!become(uid, group))
			_exit(1);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ret = part();
		if (write(ends[1], &ret, sizeof(ret)) < 0)
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	assert_true(pid > 0);
	if (read(ends[0], &ret, sizeof(ret)) != sizeof(ret))
		ret = -1;
	close(ends[0]);
	waitpid(pid, &status, 0);
	return ret;
}

static int as(uid_t uid, int (*part)(void))
{
	return as_member(uid, 0, part);
}

/* A process of @uid that does nothing. */
static pid_t sleeper(uid_t uid)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (uid && !become(uid, 0))
		_exit(1);
	for (;;)
		pause();
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- an enclave, opened by its user ------------------------------------------------------ */

static struct ghost_backend *mine;
static struct ghost_enclave *enclave;
static char why[512];

static int open_mine(uint32_t id)
{
	int err = ghost_kernel_open_enclave(&mine, id, why, sizeof(why));

	return err ?: ghost_enclave_open(&enclave, mine, id);
}

static int ask(uint32_t op, uint32_t id, uint64_t token, uint32_t tid, uint32_t cpu)
{
	struct ghost_ctl ctl = {
		.op = op,
		.enclave = id,
		.cpu = cpu,
		.tid = tid,
		.token = token,
		.len = 64,
		.queue = cpu,
		.cpus = { 1u << cpu },
	};
	int err = mine->agent(mine, &ctl);

	return err ?: ctl.ret;
}

static bool in_class(pid_t pid)
{
	return (sched_getscheduler(pid) & ~SCHED_RESET_ON_FORK) == POLICY_EXT;
}

/* How much CPU time has @pid had, in clock ticks? */
static long time_of(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char line[PROC_STAT_SIZE];
	const char *c = proc_stat(pid, line);

	if (!c ||
	    sscanf(c, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		return -1;
	return user + system;
}

static pid_t computing(uid_t uid)
{
	pid_t pid = fork();
	cpu_set_t all;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (uid && !become(uid, 0))
		_exit(1);
	CPU_ZERO(&all);
	for (int cpu = 0; cpu <= CPU_OTHER; cpu++)
		CPU_SET(cpu, &all);
	sched_setaffinity(0, sizeof(all), &all);
	for (;;)
		;
}

static bool goes_on(pid_t pid)
{
	long before = time_of(pid);

	for (int i = 0; i < 2000; i++) {
		if (time_of(pid) > before + 1)
			return true;
		sleep_ms(10);
	}
	return false;
}

/* --- what its user can do ------------------------------------------------------------------ */

static int decide_for_own_threads(void)
{
	struct ghost_agents *agents;
	pid_t pid;
	int ok;

	NEED(!open_mine(own_id));
	NEED(!ghost_agents_start(&agents, enclave, policies_find("fifo_percpu"), NULL));
	NEED(ghost_enclave_status(enclave)->state == GHOST_ENCLAVE_ONLINE);
	pid = computing(0);
	NEED(ghost_enclave_join_process(enclave, pid, NULL, NULL) > 0);
	NEED(in_class(pid));
	ok = goes_on(pid);
	end(pid);
	NEED(ok);
	ghost_agents_stop(agents);
	NEED(ghost_enclave_status(enclave)->state == GHOST_ENCLAVE_IDLE);
	return 0;
}

static void test_a_user_decides_for_an_enclave_that_was_given_to_it(void **state)
{
	assert_int_equal(as(OWNER, decide_for_own_threads), 0);
}

static void test_so_does_a_member_of_the_group(void **state)
{
	assert_return_code(ghost_enclave_delegate(own, ~0u, GROUP), 0);
	assert_int_equal(as_member(NOBODY, GROUP, decide_for_own_threads), 0);
	assert_return_code(ghost_enclave_delegate(own, OWNER, ~0u), 0);
}

static int decide_centrally(void)
{
	struct ghost_agents *agents;
	const struct rlimit none = { 0, 0 };
	int err;

	NEED(!open_mine(own_id));
	err = ghost_agents_start(&agents, enclave, policies_find("fifo_central"), NULL);
	if (getuid() == OWNER) {
		NEED(!err);
		ghost_agents_stop(agents);
		NEED(!setrlimit(RLIMIT_RTPRIO, &none));
		NEED(ghost_agents_start(&agents, enclave, policies_find("fifo_central"), NULL) ==
		     -EPERM);
		NEED(strstr(mine->error, "RLIMIT_RTPRIO"));
	}
	return 0;
}

static void test_agents_that_spin_take_the_right_to_do_so(void **state)
{
	const struct rlimit one = { 1, 1 };
	struct rlimit before;

	assert_return_code(getrlimit(RLIMIT_RTPRIO, &before), 0);
	assert_return_code(setrlimit(RLIMIT_RTPRIO, &one), 0);
	assert_int_equal(as(OWNER, decide_centrally), 0);
	assert_return_code(setrlimit(RLIMIT_RTPRIO, &before), 0);
	assert_int_equal(ghost_enclave_status(own)->state, GHOST_ENCLAVE_IDLE);
}

static int read_text(void)
{
	char path[128], line[64];
	FILE *f;

	snprintf(path, sizeof(path), GHOST_PIN_ROOT "/enclave_%u/state", own_id);
	f = fopen(path, "re");
	NEED(f);
	NEED(fgets(line, sizeof(line), f) && !strncmp(line, "enclave ", 8));
	fclose(f);
	snprintf(path, sizeof(path), GHOST_PIN_ROOT "/enclave_%u/threads", own_id);
	NEED(!access(path, R_OK));
	NEED(access(path, W_OK));
	return 0;
}

static void test_anybody_can_read_the_text_about_an_enclave(void **state)
{
	assert_int_equal(as(NOBODY, read_text), 0);
}

/* --- and what not ------------------------------------------------------------------------- */

/* Every pin below @folder but those of the caller's own enclave. */
static int open_everything(const char *folder, const char *except, int depth)
{
	LIBBPF_OPTS(bpf_obj_get_opts, readonly, .file_flags = BPF_F_RDONLY);
	DIR *dir = opendir(folder);
	struct dirent *d;
	char path[512];
	int nr = 0, below;

	if (!dir)
		return -1;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' || !strcmp(d->d_name, except))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, d->d_name);
		if (d->d_type == DT_DIR && depth) {
			below = open_everything(path, except, depth - 1);
			if (below < 0)
				return below;
			nr += below;
			continue;
		}
		nr++;
		if (bpf_obj_get(path) >= 0 || !unlink(path) || !chmod(path, 0666))
			return -1;
		/* The text files are links, which cannot be had for reading. */
		if (bpf_obj_get_opts(path, &readonly) >= 0)
			return -1;
	}
	closedir(dir);
	return nr;
}

static int open_what_is_not_mine(void)
{
	char mine_is[32];

	snprintf(mine_is, sizeof(mine_is), "enclave_%u", own_id);
	/* The other enclave's seven, and all that belongs to the kernel side itself. */
	NEED(open_everything(GHOST_PIN_ROOT, mine_is, 1) >= 7 + 15);
	NEED(ghost_kernel_open(&mine, why, sizeof(why)) == -EPERM);
	NEED(ghost_kernel_open_enclave(&mine, other_id, why, sizeof(why)) == -EPERM);
	NEED(strstr(why, "was not given to you"));
	NEED(ghost_kernel_open_enclave(&mine, 62, why, sizeof(why)) == -ENOENT);
	NEED(ghost_kernel_load(0, why, sizeof(why)) == -EPERM);
	NEED(ghost_kernel_unload(why, sizeof(why)));
	return 0;
}

static void test_a_user_can_open_nothing_but_its_enclave(void **state)
{
	assert_int_equal(as(OWNER, open_what_is_not_mine), 0);
}

static int open_own(void)
{
	NEED(ghost_kernel_open_enclave(&mine, own_id, why, sizeof(why)) == -EPERM);
	NEED(strstr(why, "was not given to you"));
	return 0;
}

static void test_who_is_not_the_user_gets_nothing_of_it(void **state)
{
	assert_int_equal(as(NOBODY, open_own), 0);
	assert_int_equal(as(OTHER, open_own), 0);
	assert_int_equal(as_member(NOBODY, GROUP, open_own), 0);
}

static int write_what_the_kernel_writes(void)
{
	static const char *const names[] = { "status", "cpu", "ring" };
	static char value[4096];
	char path[128];
	uint32_t zero = 0;
	void *p;
	int fd;

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), GHOST_PIN_ROOT "/enclave_%u/%s", own_id, names[i]);
		fd = bpf_obj_get(path);
		NEED(fd >= 0);
		p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		NEED(p != MAP_FAILED);
		NEED(mprotect(p, 4096, PROT_READ | PROT_WRITE));
		NEED(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
		NEED(bpf_map_update_elem(fd, &zero, value, BPF_ANY));
		NEED(bpf_map_delete_elem(fd, &zero));
		close(fd);
		NEED(unlink(path));
	}
	return 0;
}

static void test_a_user_cannot_write_status_words_nor_messages(void **state)
{
	assert_int_equal(as(OWNER, write_what_the_kernel_writes), 0);
}

static uint32_t other_agents(void)
{
	struct ghost_enclave_counts counts;

	assert_return_code(ghost_enclave_count(other, &counts), 0);
	return counts.nr_agents;
}

static int ask_for_another(void)
{
	const uint64_t guess[] = { 1, 0x123456789abcdefull, ~0ull, 0 };
	uint64_t token;

	NEED(!open_mine(own_id));
	token = ghost_enclave_status(enclave)->token;
	for (uint32_t op = GHOST_CTL_AGENT_ATTACH; op <= GHOST_CTL_TIMER; op++) {
		NEED(ask(op, other_id, token, getpid(), CPU_OTHER) == -EPERM);
		for (int i = 0; i < 4; i++)
			NEED(ask(op, other_id, guess[i], getpid(), CPU_OTHER) == -EPERM);
	}
	NEED(ask(GHOST_CTL_TASK_JOIN, other_id, token, getpid(), 0) == -EPERM);
	/* Its own program, for its own enclave, but for a CPU of the other. */
	NEED(ask(GHOST_CTL_AGENT_ATTACH, own_id, 0, 0, CPU_OTHER) == -ENOENT);
	NEED(ask(GHOST_CTL_AGENT_PING, own_id, 0, 0, CPU_OTHER) == -ENOENT);
	NEED(ask(GHOST_CTL_TIMER, own_id, 0, 0, CPU_OTHER) == -EPERM);
	NEED(ask(GHOST_CTL_COMMIT, own_id, 0, 0, CPU_OTHER) == -EPERM);
	NEED(ask(GHOST_CTL_KICK, own_id, 0, 0, CPU_OTHER) == -EPERM);
	return 0;
}

static void test_a_user_can_ask_nothing_of_another_enclave(void **state)
{
	assert_int_equal(as(OWNER, ask_for_another), 0);
	assert_int_equal(ghost_enclave_status(other)->state, GHOST_ENCLAVE_IDLE);
	assert_int_equal(other_agents(), 0);
	assert_int_equal(ghost_enclave_status(other)->nr_tasks, 0);
}

static int manage(void)
{
	static const uint32_t ops[] = {
		GHOST_CTL_ENCLAVE_CREATE, GHOST_CTL_ENCLAVE_DESTROY, GHOST_CTL_ENCLAVE_FREE,
		GHOST_CTL_ENCLAVE_CPUS,	  GHOST_CTL_ENCLAVE_SLO,     GHOST_CTL_INIT,
	};
	struct ghost_cpuset cpus = { 0 };

	NEED(!open_mine(own_id));
	for (int i = 0; i < 6; i++) {
		NEED(ask(ops[i], own_id, 0, 0, CPU_US) == -EINVAL);
		NEED(ask(ops[i], other_id, 0, 0, CPU_US) == -EPERM);
	}
	ghost_cpuset_add(&cpus, CPU_US);
	NEED(ghost_enclave_set_cpus(enclave, &cpus) == -EPERM);
	NEED(ghost_enclave_destroy(enclave) == -EPERM);
	NEED(ghost_enclave_delegate(enclave, NOBODY, ~0u) == -EPERM);
	return 0;
}

static void test_a_user_can_neither_change_nor_end_its_enclave(void **state)
{
	assert_int_equal(as(OWNER, manage), 0);
	assert_int_equal(ghost_enclave_status(own)->state, GHOST_ENCLAVE_IDLE);
	assert_int_equal(ghost_enclave_status(own)->nr_cpus, 2);
}

static int take_threads_of_others(void)
{
	NEED(!open_mine(own_id));
	NEED(ghost_enclave_join(enclave, roots) == -EPERM);
	NEED(ghost_enclave_join(enclave, others) == -EPERM);
	NEED(ghost_enclave_join_process(enclave, others, NULL, NULL) == -EPERM);
	NEED(ask(GHOST_CTL_TASK_UNJOIN, own_id, 0, others, 0) == -EPERM);
	NEED(ask(GHOST_CTL_TASK_JOIN, own_id, 0, 4000000, 0) == -ESRCH);
	return 0;
}

static void test_a_user_cannot_take_threads_of_others(void **state)
{
	struct ghost_ctl join = { .op = GHOST_CTL_TASK_JOIN, .enclave = other_id, .tid = others };

	/* Also not in the moment in which root puts one elsewhere. */
	assert_return_code(backend->admin(backend, &join), 0);
	assert_int_equal(join.ret, 0);
	assert_int_equal(as(OWNER, take_threads_of_others), 0);
	assert_int_equal(ghost_enclave_status(own)->nr_tasks, 0);
	assert_false(in_class(roots));
	assert_return_code(backend->task_enter(backend, others), 0);
	assert_int_equal(ghost_enclave_status(other)->nr_tasks, 1);
	assert_return_code(backend->task_leave(backend, others), 0);
}

static int fill_the_table(void)
{
	pid_t pid[3 * MAX_TASKS];
	uint32_t nr;

	NEED(!open_mine(own_id));
	for (int i = 0; i < 3 * MAX_TASKS; i++) {
		pid[i] = sleeper(0);
		NEED(pid[i] > 0 && !ghost_enclave_join(enclave, pid[i]));
	}
	nr = ghost_enclave_status(enclave)->nr_tasks;
	for (int i = 0; i < 3 * MAX_TASKS; i++)
		end(pid[i]);
	NEED(nr == MAX_TASKS);
	return 0;
}

static void test_a_user_cannot_take_the_room_of_others(void **state)
{
	assert_int_equal(as(OWNER, fill_the_table), 0);
	assert_return_code(ghost_enclave_join(other, others), 0);
	assert_int_equal(ghost_enclave_status(other)->nr_tasks, 1);
	assert_return_code(backend->task_leave(backend, others), 0);
}

/* --- agents that mean ill --------------------------------------------------------------------- */

/* They decide, and then do nothing, with all their threads, for ever. */
static int decide_and_stop(void)
{
	struct ghost_agents *agents;

	NEED(!open_mine(own_id));
	NEED(!ghost_agents_start(&agents, enclave, policies_find("fifo_percpu"), NULL));
	raise(SIGSTOP);
	return 0;
}

static void test_agents_that_hang_cost_nobody_but_their_enclave(void **state)
{
	struct ghost_agents *agents;
	pid_t hers = computing(OWNER), lent = computing(0), theirs = computing(OTHER), pid;
	int status;

	assert_return_code(ghost_agents_start(&agents, other, policies_find("fifo_percpu"), NULL),
			   0);
	assert_return_code(ghost_enclave_join(other, theirs), 0);
	assert_return_code(ghost_enclave_join(own, hers), 0);
	assert_return_code(ghost_enclave_join(own, lent), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(become(OWNER, 0) ? decide_and_stop() : 1);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	/* Given up by the stall limit: what root has put in goes on, too. */
	for (int i = 0; i < 1000 && ghost_enclave_status(own)->state == GHOST_ENCLAVE_ONLINE; i++)
		sleep_ms(10);
	assert_int_equal(ghost_enclave_status(own)->state, GHOST_ENCLAVE_LOST);
	assert_int_equal(ghost_enclave_status(own)->lost_reason, GHOST_LOST_STALL);
	assert_true(goes_on(lent));
	assert_true(goes_on(hers));
	assert_true(goes_on(theirs));
	assert_int_equal(ghost_enclave_status(other)->state, GHOST_ENCLAVE_ONLINE);
	assert_int_equal(ghost_enclave_status(other)->lost_reason, GHOST_LOST_NONE);
	end(pid);
	end(hers);
	end(lent);
	end(theirs);
	ghost_agents_stop(agents);
}

static int make_own(uint32_t uid)
{
	struct ghost_cpuset cpus = { 0 };
	struct ghost_enclave_opts opts = {
		.size = sizeof(opts),
		.cpus = &cpus,
		.stall_ns = 500000000,
		.max_tasks = MAX_TASKS,
	};
	int err;

	ghost_cpuset_add(&cpus, CPU_OWN);
	ghost_cpuset_add(&cpus, CPU_OWN + 1);
	err = ghost_enclave_create(&own, backend, &opts);
	if (err)
		return err;
	own_id = ghost_enclave_id(own);
	return ghost_enclave_delegate(own, uid, ~0u);
}

static void *agent_that_computes(void *arg)
{
	struct ghost_ctl attach = { .op = GHOST_CTL_AGENT_ATTACH,
				    .enclave = own_id,
				    .cpu = (uintptr_t)arg };

	if (mine->agent_pin(mine, attach.cpu) || mine->agent(mine, &attach) || attach.ret ||
	    mine->agent_enter(mine))
		_exit(1);
	for (;;)
		;
}

static int come_and_go(void)
{
	const struct ghost_memory *mem;
	cpu_set_t here, both;
	pthread_t agent;
	uint32_t tid;

	NEED(!open_mine(own_id));
	mem = ghost_enclave_memory(enclave);
	for (uintptr_t cpu = CPU_OWN; cpu <= CPU_OWN + 1; cpu++) {
		NEED(!pthread_create(&agent, NULL, agent_that_computes, (void *)cpu));
		for (int i = 0; i < 1000 && !mem->cpu[cpu].agent_tid; i++)
			sleep_ms(10);
	}
	tid = mem->cpu[CPU_OWN].agent_tid;
	NEED(tid);
	/* Above the agent, as any normal thread: what is done in a row it does not see. */
	CPU_ZERO(&here);
	CPU_SET(CPU_OWN, &here);
	NEED(!sched_setaffinity(0, sizeof(here), &here));
	both = here;
	CPU_SET(CPU_OTHER, &both);
	for (int i = 0; i < 1000; i++) {
		NEED(!sched_setaffinity(tid, sizeof(here), i % 2 ? &here : &both));
		NEED(!ask(GHOST_CTL_AGENT_ONLINE, own_id, 0, 0, 0));
		NEED(!ask(GHOST_CTL_AGENT_OFFLINE, own_id, 0, 0, 0));
	}
	return 0;
}

static void test_agents_that_come_and_go_cost_nobody_the_scheduler(void **state)
{
	char line[16] = "";
	FILE *f;

	assert_int_equal(as(OWNER, come_and_go), 0);
	f = fopen("/sys/kernel/sched_ext/state", "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	assert_string_equal(line, "enabled\n");
	assert_return_code(ghost_enclave_destroy(own), 0);
	ghost_enclave_close(own);
	assert_return_code(make_own(OWNER), 0);
}

static int attach(uint32_t flags)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_AGENT_ATTACH, .enclave = own_id, .cpu = CPU_OWN, .flags = flags
	};
	int err;

	NEED(!open_mine(own_id));
	NEED(!mine->agent_pin(mine, CPU_OWN));
	err = mine->agent(mine, &ctl);
	return err ?: ctl.ret;
}

static int become_agent(void)
{
	NEED(!attach(0));
	return mine->agent_enter(mine);
}

static int become_spinner(void)
{
	return attach(GHOST_AGENT_SPINS);
}

static int become_member(void)
{
	NEED(!open_mine(own_id));
	return ghost_enclave_join(enclave, gettid());
}

static int become_member_whose_children_are_none(void)
{
	struct sched_param param = { 0 };

	NEED(!become_member());
	return sched_setscheduler(0, POLICY_EXT | SCHED_RESET_ON_FORK, &param);
}

static void *become_and_exec(void *part)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (((int (*)(void))part)())
		_exit(1);
	/* The number of this thread is free after that, and it has that of the first one. */
	execlp("sleep", "sleep", "1000", NULL);
	_exit(2);
}

/* A program of OWNER's that a thread which was @part, and not the first, has turned into. */
static pid_t program(int (*part)(void))
{
	char path[64], name[16] = "";
	pthread_t thread;
	pid_t pid = fork();
	FILE *f;

	if (!pid) {
		if (!become(OWNER, 0) || pthread_create(&thread, NULL, become_and_exec, part))
			_exit(1);
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	for (int i = 0; i < 2000 && strcmp(name, "sleep\n"); i++) {
		sleep_ms(10);
		f = fopen(path, "re");
		assert_non_null(f);
		if (!fgets(name, sizeof(name), f))
			name[0] = 0;
		fclose(f);
	}
	assert_string_equal(name, "sleep\n");
	return pid;
}

static void test_agents_and_members_that_run_another_program_do_not_keep_an_enclave(void **state)
{
	static int (*const parts[])(void) = { become_agent, become_spinner, become_member,
					      become_member_whose_children_are_none };

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		const uint32_t *agent = &ghost_enclave_memory(own)->cpu[CPU_OWN].agent_tid;
		pid_t pid = program(parts[i]);
		int err = -EBUSY;

		for (int tries = 0; tries < 3 && err == -EBUSY; tries++) {
			/* As 'ghost destroy' does it with agents that hang. */
			if (*agent)
				backend->task_leave(backend, *agent);
			err = ghost_enclave_destroy(own);
		}
		if (err)
			print_message("kind %zu\n", i);
		assert_int_equal(err, 0);
		assert_false(in_class(pid));
		assert_int_equal(kill(pid, 0), 0);
		end(pid);
		ghost_enclave_close(own);
		assert_return_code(make_own(OWNER), 0);
	}
}

/* --- rights that end ------------------------------------------------------------------------------ */

static int turn[2];

/* Holds all it has been given, waits for a byte, and tries to go on with it. */
static int hold(void)
{
	struct ghost_ctl attach = { .op = GHOST_CTL_AGENT_ATTACH,
				    .enclave = own_id,
				    .cpu = CPU_OWN };
	struct ghost_ctl join = { .op = GHOST_CTL_TASK_JOIN, .enclave = own_id };
	char byte = 0;
	pid_t child;

	NEED(!open_mine(own_id));
	/* Two that are on their way in. */
	child = sleeper(0);
	join.tid = child;
	NEED(!mine->admin(mine, &join) && !join.ret);
	NEED(!mine->agent_pin(mine, CPU_OWN));
	NEED(!mine->agent(mine, &attach) && !attach.ret);
	NEED(write(turn[1], &byte, 1) == 1);
	/* By now there is another one with that number. */
	NEED(read(turn[1], &byte, 1) == 1);
	NEED(!mine->task_enter(mine, child));
	NEED(!mine->agent_enter(mine));
	for (uint32_t op = GHOST_CTL_AGENT_ATTACH; op <= GHOST_CTL_TIMER; op++)
		NEED(ask(op, own_id, 0, getpid(), CPU_OWN) == -EPERM);
	NEED(ask(GHOST_CTL_TASK_JOIN, own_id, 0, child, 0) == -EPERM);
	end(child);
	NEED(ghost_kernel_open_enclave(&mine, own_id, why, sizeof(why)) == -EPERM);
	NEED(write(turn[1], &byte, 1) == 1);
	return 0;
}

static void test_a_right_ends_with_the_enclave(void **state)
{
	struct ghost_enclave_counts counts;
	uint32_t id = own_id;
	int status;
	char byte;
	pid_t pid;

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, turn), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(become(OWNER, 0) ? hold() % 251 : 251);
	}
	assert_int_equal(read(turn[0], &byte, 1), 1);
	assert_return_code(ghost_enclave_destroy(own), 0);
	ghost_enclave_close(own);
	assert_return_code(make_own(NOBODY), 0);
	assert_int_equal(own_id, id);
	assert_int_equal(write(turn[0], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_return_code(ghost_enclave_count(own, &counts), 0);
	assert_int_equal(counts.nr_agents, 0);
	assert_int_equal(counts.nr_tasks, 0);
	assert_int_equal(counts.nr[GHOST_NR_TASKS], 0);
	close(turn[0]);
	close(turn[1]);
	assert_return_code(ghost_enclave_delegate(own, OWNER, ~0u), 0);
}

static void test_a_second_delegation_is_to_others(void **state)
{
	assert_return_code(ghost_enclave_delegate(own, OTHER, ~0u), 0);
	assert_int_equal(as(OWNER, open_own), 0);
	assert_return_code(ghost_enclave_delegate(own, OWNER, ~0u), 0);
	assert_int_equal(as(OWNER, decide_for_own_threads), 0);
	assert_int_equal(ghost_enclave_delegate(own, ~0u, ~0u), -EINVAL);
}

static int open_behind_a_closed_door(void)
{
	NEED(ghost_kernel_open_enclave(&mine, own_id, why, sizeof(why)) == -EPERM);
	NEED(strstr(why, "chmod o+x /sys/fs/bpf"));
	return 0;
}

static void test_a_closed_bpffs_is_named_with_its_cure(void **state)
{
	struct stat before;

	assert_return_code(stat("/sys/fs/bpf", &before), 0);
	assert_return_code(chmod("/sys/fs/bpf", 0700), 0);
	assert_int_equal(as(OWNER, open_behind_a_closed_door), 0);
	assert_return_code(chmod("/sys/fs/bpf", 0711), 0);
	assert_int_equal(as(OWNER, decide_for_own_threads), 0);
	assert_return_code(chmod("/sys/fs/bpf", before.st_mode & 07777), 0);
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
	/* For those who look at it as users: root lets them pass. */
	err = chmod("/sys/fs/bpf", 0711) ? -errno : make_own(OWNER);
	ghost_cpuset_add(&cpus, CPU_OTHER);
	err = err ?: ghost_enclave_create(&other, backend, &opts);
	if (err) {
		printf("# %s: %s\n", strerror(-err), backend->error);
		return err;
	}
	other_id = ghost_enclave_id(other);
	roots = sleeper(0);
	others = sleeper(OTHER);
	return ghost_enclave_delegate(other, OTHER, ~0u);
}

static int tear_down(void **state)
{
	int err;

	/* Nobody has begun: 0 would be all processes of the caller's group. */
	if (!roots || !others)
		return -1;
	end(roots);
	end(others);
	err = ghost_enclave_destroy(own);
	err = err ?: ghost_enclave_destroy(other);
	ghost_enclave_close(own);
	ghost_enclave_close(other);
	backend->close(backend);
	return err ?: ghost_kernel_unload(why, sizeof(why));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_user_decides_for_an_enclave_that_was_given_to_it),
		cmocka_unit_test(test_so_does_a_member_of_the_group),
		cmocka_unit_test(test_agents_that_spin_take_the_right_to_do_so),
		cmocka_unit_test(test_anybody_can_read_the_text_about_an_enclave),
		cmocka_unit_test(test_a_user_can_open_nothing_but_its_enclave),
		cmocka_unit_test(test_who_is_not_the_user_gets_nothing_of_it),
		cmocka_unit_test(test_a_user_cannot_write_status_words_nor_messages),
		cmocka_unit_test(test_a_user_can_ask_nothing_of_another_enclave),
		cmocka_unit_test(test_a_user_can_neither_change_nor_end_its_enclave),
		cmocka_unit_test(test_a_user_cannot_take_threads_of_others),
		cmocka_unit_test(test_a_user_cannot_take_the_room_of_others),
		cmocka_unit_test(test_agents_that_hang_cost_nobody_but_their_enclave),
		cmocka_unit_test(test_agents_that_come_and_go_cost_nobody_the_scheduler),
		cmocka_unit_test(
			test_agents_and_members_that_run_another_program_do_not_keep_an_enclave),
		cmocka_unit_test(test_a_right_ends_with_the_enclave),
		cmocka_unit_test(test_a_second_delegation_is_to_others),
		cmocka_unit_test(test_a_closed_bpffs_is_named_with_its_cure),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("security", tests, set_up, tear_down);
}
