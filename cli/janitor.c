// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent process of `ghost run`: holds the agents, and when the keeper is
 * gone cleans up in its place once the last thread has ended.
 * In: an enclave, two pipes. Out: a policy at work. Called by the keeper's child.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/run.h"
#include "libghost/agent.h"

/* Where the pipes are put, so that all else can be closed. */
#define REPORT_FD 3
#define LIFE_FD 4

#define POLL_MS 100
#define MEMBERS_POLL_MS 50
/* The kernel ejects a scheduler seldom: every so many polls is often enough. */
#define POLLS_PER_LOOK 5

struct janitor {
	struct ghost_backend *backend;
	struct ghost_enclave *enclave;
	struct ghost_agents *agents; /* NULL once they have stopped */
	unsigned int polls;
};

static void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void report(const char *format, ...)
{
	char line[2048];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(REPORT_FD, line, len) < 0)
		return; /* the keeper is gone; the life pipe tells */
}

static _Noreturn void give_up(int err, const char *sentence)
{
	report("failed %d %s", exit_code_of(err), sentence);
	_exit(EXIT_FAILED);
}

/*
 * Nothing of the caller's stays open here: a pipe whose other end waits for end
 * of file must not depend on agents. No terminal either: its signals are for the
 * command.
 */
static void detach(int report_fd, int life_fd)
{
	sigset_t none;
	int null;

	prctl(PR_SET_NAME, "ghost-agent");
	signal(SIGPIPE, SIG_IGN);
	setsid();
	if (chdir("/"))
		give_up(-errno, "cannot enter the root folder");
	report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, LIFE_FD + 1);
	life_fd = fcntl(life_fd, F_DUPFD_CLOEXEC, LIFE_FD + 1);
	dup3(report_fd, REPORT_FD, O_CLOEXEC);
	dup3(life_fd, LIFE_FD, O_CLOEXEC);
	close_range(LIFE_FD + 1, ~0u, 0);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void start(struct janitor *j, const struct run *run, uint32_t id)
{
	struct ghost_agents_opts opts = { .size = sizeof(opts), .params = run->params };
	char error[1024] = "";
	int ret = ghost_kernel_open(&j->backend, error, sizeof(error));

	if (ret)
		give_up(ret, error);
	ret = ghost_enclave_open(&j->enclave, j->backend, id);
	if (ret)
		give_up(ret, "cannot open the enclave");
	ret = ghost_agents_start(&j->agents, j->enclave, run->policy, &opts);
	if (ret) {
		snprintf(error, sizeof(error), "cannot start the agents of %.64s: %s",
			 run->policy->name,
			 j->backend->error[0] ? j->backend->error : strerror(-ret));
		give_up(ret, error);
	}
}

/*
 * Have the agents stopped, or must they? Once sched_ext is off they yield to
 * nobody and would spin.
 */
static void watch_agents(struct janitor *j)
{
	bool ejected = ++j->polls % POLLS_PER_LOOK == 0 && kernel_ejected();

	if (!j->agents || (!ejected && ghost_agents_wait(j->agents, 0)))
		return;
	ghost_agents_stop(j->agents);
	j->agents = NULL;
}

static bool has_members(const struct janitor *j)
{
	struct ghost_enclave_counts counts;

	return !ghost_enclave_count(j->enclave, &counts) && counts.nr_tasks;
}

static void clean_up(struct janitor *j, uint32_t id)
{
	struct record r;
	int lock = record_lock();

	if (lock < 0)
		return;
	/* The number may belong to someone else by now. */
	if (!run_record_read(id, &r) && r.agent.pid == getpid() && !destroy_enclave(j->backend, id))
		record_remove(id);
	ghost_agents_stop(j->agents);
	unload_when_idle();
	record_unlock(lock);
}

_Noreturn void janitor_main(const struct run *run, uint32_t id, int report_fd, int life_fd)
{
	static const struct timespec nap = { .tv_nsec = MEMBERS_POLL_MS * 1000 * 1000 };
	struct janitor j = { 0 };
	struct pollfd life = { .fd = LIFE_FD, .events = POLLIN };
	char byte;

	detach(report_fd, life_fd);
	start(&j, run, id);
	report("ready");
	for (;;) {
		if (poll(&life, 1, j.agents ? POLL_MS : -1) > 0)
			break;
		watch_agents(&j);
	}
	if (read(LIFE_FD, &byte, 1) == 1) {
		ghost_agents_stop(j.agents);
		_exit(EXIT_OK);
	}
	while (has_members(&j) && !kernel_ejected()) {
		nanosleep(&nap, NULL);
		watch_agents(&j);
	}
	clean_up(&j, id);
	_exit(EXIT_OK);
}
