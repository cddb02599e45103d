// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent process of `ghost run`: holds the agents, and when the keeper is
 * gone cleans up in its place once the last thread has ended.
 * In: an enclave. Out: a policy at work. Called by the child of a keeper, or of a
 * `ghost upgrade`.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/run.h"
#include "libghost/agent.h"

/* Where these are put, so that all else can be closed. */
#define REPORT_FD 3
#define KEEPER_FD 4 /* a pidfd */
#define SIGNALS_FD 5
#define LAST_FD SIGNALS_FD

#define POLL_MS 100
#define MEMBERS_POLL_MS 50
/* The kernel ejects a scheduler seldom: every so many polls is often enough. */
#define POLLS_PER_LOOK 5

/* Agents that died a moment ago are still on their way out. */
#define TAKE_MS 5000
#define WAIT_POLL_MS 5
/* Who gave the enclave to others takes it back if they have not come by then. */
#define SUCCESSOR_MS 5000

struct janitor {
	const struct run *run;
	uint32_t id;
	struct ghost_backend *backend;
	struct ghost_enclave *enclave;
	struct ghost_agents *agents; /* NULL once they have stopped */
	struct ghost_cpuset cpus;    /* that the enclave is to have when we take it */
	bool new_cpus;
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

/* Readable when the keeper has ended; if it has already, for somebody else's sake, too. */
static int watch_keeper(const struct process *keeper)
{
	int fd = pidfd_open(keeper->pid, 0), ends[2];

	if (fd >= 0 && process_alive(keeper))
		return fd;
	if (pipe2(ends, O_CLOEXEC))
		give_up(-errno, "cannot make a pipe");
	close(ends[1]);
	return ends[0];
}

/*
 * Nothing of the caller's stays open here: a pipe whose other end waits for end
 * of file must not depend on agents. No terminal either: its signals are for the
 * command.
 */
static void detach(int report_fd, const struct process *keeper)
{
	int fd[] = { report_fd, watch_keeper(keeper), -1 };
	sigset_t set;
	int null;

	prctl(PR_SET_NAME, "ghost-agent");
	signal(SIGPIPE, SIG_IGN);
	setsid();
	if (chdir("/"))
		give_up(-errno, "cannot enter the root folder");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_SETMASK, &set, NULL);
	fd[2] = signalfd(-1, &set, SFD_NONBLOCK);
	for (int i = 0; i < 3; i++)
		fd[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, LAST_FD + 1);
	for (int i = 0; i < 3; i++)
		dup3(fd[i], REPORT_FD + i, O_CLOEXEC);
	close_range(LAST_FD + 1, ~0u, 0);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

/* Each process that gives hints takes two descriptors. */
static void allow_descriptors(void)
{
	struct rlimit nr;

	if (getrlimit(RLIMIT_NOFILE, &nr))
		return;
	nr.rlim_cur = nr.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &nr))
		return; /* then as many as there are */
}

static _Noreturn void cannot_start(const struct janitor *j, int err)
{
	char error[1024];

	snprintf(error, sizeof(error), "cannot start the agents of %.64s: %s", j->run->policy->name,
		 j->backend->error[0] ? j->backend->error : strerror(-err));
	give_up(err, error);
}

static int prepare(struct janitor *j)
{
	struct ghost_agents_opts opts = {
		.size = sizeof(opts),
		.params = j->run->params,
		.cpus = j->new_cpus ? &j->cpus : NULL,
	};

	return ghost_agents_prepare(&j->agents, j->enclave, j->run->policy, &opts);
}

static void start(struct janitor *j)
{
	char error[1024] = "";
	int ret = ghost_kernel_open(&j->backend, error, sizeof(error));

	if (ret)
		give_up(ret, error);
	ret = ghost_enclave_open(&j->enclave, j->backend, j->id);
	if (ret)
		give_up(ret, "cannot open the enclave");
	ret = prepare(j);
	if (ret)
		cannot_start(j, ret);
}

/* From now on it is this process that decides; whoever looks for it shall find it. */
static void write_record(const struct janitor *j)
{
	int lock = record_lock();
	struct record r;

	if (lock < 0)
		return;
	if (!run_record_read(j->id, &r)) {
		process_of(getpid(), &r.agent);
		snprintf(r.policy, sizeof(r.policy), "%s", j->run->policy->name);
		param_dump(j->run->policy, j->run->params, r.params, sizeof(r.params));
		run_record_write(&r);
	}
	record_unlock(lock);
}

/* --- signals, and the keeper's end ------------------------------------------------- */

/* Waits at most @ms. Returns a signal, with its sender; 0: none; -1: the keeper has ended. */
static int heard(int ms, pid_t *ret_sender)
{
	struct pollfd fds[] = {
		{ .fd = SIGNALS_FD, .events = POLLIN },
		{ .fd = KEEPER_FD, .events = POLLIN },
	};
	struct signalfd_siginfo info;

	if (poll(fds, 2, ms) <= 0)
		return 0;
	if (read(SIGNALS_FD, &info, sizeof(info)) == sizeof(info)) {
		*ret_sender = info.ssi_pid;
		return info.ssi_signo;
	}
	return fds[1].revents ? -1 : 0;
}

static _Noreturn void stop(struct janitor *j)
{
	ghost_agents_stop(j->agents);
	_exit(EXIT_OK);
}

/* --- waiting ------------------------------------------------------------------------- */

/* For the agents of another process to end. */
static void wait_for_turn(struct janitor *j, const struct process *upgrader)
{
	pid_t sender;
	int ret;

	/*
	 * Who had us started and is gone can have nobody tell the others to end. When it is
	 * our turn all the same that does not matter any more, and the signal may be on its
	 * way: it is one that is nothing to who decides.
	 */
	prctl(PR_SET_PDEATHSIG, SIGUSR2);
	if (getppid() != upgrader->pid)
		stop(j);
	report("waiting");
	do {
		ret = heard(0, &sender);
		if (ret == SIGTERM || ret == SIGUSR2 || ret < 0)
			stop(j);
		ret = ghost_agents_take(j->agents, WAIT_POLL_MS);
	} while (ret == -ETIMEDOUT);
	prctl(PR_SET_PDEATHSIG, 0);
	if (ret) {
		ghost_agents_stop(j->agents);
		cannot_start(j, ret);
	}
}

static bool online(const struct janitor *j)
{
	return ghost_enclave_status(j->enclave)->state == GHOST_ENCLAVE_ONLINE;
}

/* Is it for us to decide again? Who is to take over has had the time, or has failed. */
static bool take_back(struct janitor *j)
{
	int ret = ghost_agents_take(j->agents, TAKE_MS);

	if (ret == -ETIMEDOUT)
		return false;
	if (ret) {
		ghost_agents_stop(j->agents);
		j->agents = NULL;
		return true;
	}
	write_record(j);
	return true;
}

/*
 * Let others decide that wait for it, until they have failed, or @sender, who is
 * to see whether they do well, wants us back or has ended.
 */
static void stand_by(struct janitor *j, pid_t sender)
{
	uint64_t end = now_ms() + SUCCESSOR_MS;
	bool came = false, back, there;
	struct process upgrader;
	pid_t ignored;
	int what;

	/* If it comes back to us, then with the CPUs that we have. */
	j->new_cpus = !ghost_enclave_cpus(j->enclave, &j->cpus);
	ghost_agents_stop(j->agents);
	j->agents = NULL;
	there = process_of(sender, &upgrader);
	if (prepare(j))
		return;
	for (;;) {
		what = heard(WAIT_POLL_MS, &ignored);
		if (what == SIGTERM)
			stop(j);
		/* What is to be done now stands in the record; cf. clean_up(). */
		if (what < 0)
			break;
		there = there && process_alive(&upgrader);
		if (online(j)) {
			came = true;
			if (!there)
				stop(j);
			continue;
		}
		back = what == SIGUSR2 || came || !there || now_ms() > end;
		if (back && take_back(j))
			return;
	}
	ghost_agents_stop(j->agents);
	j->agents = NULL;
}

/* --- agents that end, an enclave without a keeper -------------------------------------- */

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

static void clean_up(struct janitor *j)
{
	struct record r;
	int lock = record_lock();

	if (lock < 0)
		return;
	/* The number may belong to someone else by now; or another process decides. */
	if (!run_record_read(j->id, &r) && r.agent.pid == getpid() &&
	    !destroy_enclave(j->backend, j->id))
		record_remove(j->id);
	ghost_agents_stop(j->agents);
	unload_when_idle();
	record_unlock(lock);
}

static bool is_decider(const struct janitor *j)
{
	struct record r;

	return !run_record_read(j->id, &r) && r.agent.pid == getpid();
}

_Noreturn void janitor_main(const struct run *run, uint32_t id, int report_fd,
			    const struct process *keeper, const struct process *upgrader)
{
	static const struct timespec nap = { .tv_nsec = MEMBERS_POLL_MS * 1000 * 1000 };
	struct janitor j = {
		.run = run,
		.id = id,
		.cpus = run->cpus,
		.new_cpus = run->new_cpus,
	};
	pid_t sender = 0;
	int what, ret;

	detach(report_fd, keeper);
	allow_descriptors();
	start(&j);
	if (upgrader) {
		wait_for_turn(&j, upgrader);
		write_record(&j);
	} else {
		ret = ghost_agents_take(j.agents, TAKE_MS);
		if (ret) {
			ghost_agents_stop(j.agents);
			cannot_start(&j, ret);
		}
	}
	report("ready");
	for (;;) {
		what = heard(j.agents ? POLL_MS : -1, &sender);
		if (what == SIGTERM)
			stop(&j);
		if (what == SIGUSR1)
			stand_by(&j, sender);
		if (what < 0)
			break;
		watch_agents(&j);
	}
	while (is_decider(&j) && has_members(&j) && !kernel_ejected()) {
		nanosleep(&nap, NULL);
		watch_agents(&j);
	}
	clean_up(&j);
	_exit(EXIT_OK);
}
