// SPDX-License-Identifier: GPL-2.0-only
/*
 * The keeper of `ghost run` and `ghost serve`: makes the enclave, starts the agent process and the
 * command, waits, passes signals on, and leaves nothing behind.
 * In: a checked command line. Out: the command's exit code. Called by run.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/run.h"
#include "libghost/guard.h"
#include "libghost/hints.h"
#include "policies/policies.h"

#define AGENTS_START_MS (60 * 1000)
#define AGENTS_STOP_MS (2 * 1000)

/* Agents that fail are started again after so long; twice that if they fail at once, and so on. */
#define PAUSE_MS 10
#define PAUSE_MS_MAX 5000
/* Who has decided for so long does not fail at once. */
#define GOOD_MS (10 * 1000)

/* How often to look whether the agents still decide, and the kernel still lets them. */
#define WATCH_MS 200
#define WATCHES_PER_LOOK 5

#define STALL_NS_DEFAULT (5ull * 1000 * 1000 * 1000) /* libghost/enclave.h */

struct keeper {
	const struct run *run;
	struct run own; /* @run, with the policy that an upgrade has brought */
	struct record record;
	struct ghost_backend *backend;
	struct ghost_enclave *enclave;
	struct timespec started;
	struct ghost_guard *guard;

	int signals; /* signalfd */
	sigset_t mask_before;
	struct sigaction chld_before;
	struct sigaction pipe_before;

	pid_t agent;
	int adopted;	       /* its pidfd, if an upgrade started it; -1: it is our child */
	int report;	       /* lines from the agent process */
	bool told;	       /* that the agents no longer decide */
	bool suspected;	       /* that they have ended */
	uint64_t committed[2]; /* by then, at the last two looks while they decided */

	/* New ones, instead of those that have failed. */
	bool starting;	     /* they are about to say how that went */
	uint64_t restart_ms; /* when to start some; 0: not at all */
	uint64_t pause_ms;
	uint64_t good_ms; /* since when they have decided */
	unsigned int restarts;
	char said[2048];

	pid_t command;
	int cgroup_err;
	bool over;  /* without a command: told to end, or nothing is left to keep */
	int status; /* as wait() gives it */
	struct rusage usage;
};

/* Or does somebody else bring them? */
static bool has_agents(const struct keeper *k)
{
	return k->run->policy != &policy_none;
}

static const int passed_on[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };

#define NR_PASSED_ON (sizeof(passed_on) / sizeof(passed_on[0]))

__attribute__((format(printf, 2, 3))) static void notice(const struct keeper *k, const char *format,
							 ...)
{
	char line[1024];
	va_list args;

	if (k->run->quiet)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	say("%s", line);
}

/* --- signals -------------------------------------------------------------------- */

static int signals_take(struct keeper *k)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL }, ign = { .sa_handler = SIG_IGN };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < NR_PASSED_ON; i++)
		sigaddset(&set, passed_on[i]);
	sigprocmask(SIG_BLOCK, &set, &k->mask_before);
	sigaction(SIGCHLD, &dfl, &k->chld_before);
	/* Who reads our stderr may go away; cleaning up goes on. */
	sigaction(SIGPIPE, &ign, &k->pipe_before);
	k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signals < 0 ? -errno : 0;
}

static void signals_restore(const struct keeper *k)
{
	sigaction(SIGCHLD, &k->chld_before, NULL);
	sigaction(SIGPIPE, &k->pipe_before, NULL);
	sigprocmask(SIG_SETMASK, &k->mask_before, NULL);
}

/* Was the end asked for, before there is a command to pass it on to? */
static int signal_pending(struct keeper *k)
{
	struct signalfd_siginfo info;

	while (read(k->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP ||
		    info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT)
			return info.ssi_signo;
	}
	return 0;
}

/* The terminal sends to the whole foreground group: the command has it already. */
static bool sent_by_terminal(const struct signalfd_siginfo *info)
{
	return info->ssi_code == SI_KERNEL &&
	       (info->ssi_signo == SIGINT || info->ssi_signo == SIGQUIT);
}

/* --- the kernel side --------------------------------------------------------------- */

/* Loaded once and thrown out by the kernel: only a fresh loading helps. */
static int replace_ejected(const struct keeper *k, const struct ghost_kernel_info *info)
{
	uint64_t present = enclaves_present();
	struct ghost_backend *backend;
	struct record r;

	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		if (!(present >> id & 1) || run_record_read(id, &r) || !record_is_live(&r))
			continue;
		say("the kernel ejected ghOSt (%s) and 'ghost run' (pid %d, '%s') still uses it; "
		    "end that first",
		    info->reason, r.keeper.pid, r.command);
		return EXIT_FAILED;
	}
	notice(k, "the kernel ejected ghOSt earlier (%s); loading it again", info->reason);
	if (present && !ghost_kernel_open(&backend, NULL, 0)) {
		for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
			if (present >> id & 1)
				destroy_enclave(backend, id);
			record_remove(id);
		}
		backend->close(backend);
	}
	ghost_kernel_unload(NULL, 0);
	automatic_unmark();
	return EXIT_OK;
}

static int load(struct keeper *k)
{
	struct intent in = { .keeper = k->record.keeper, .before = enclaves_present() };
	struct ghost_kernel_info info;
	char error[512] = "";
	int ret = ghost_kernel_info(&info);

	if (!ret && info.ejected) {
		ret = replace_ejected(k, &info);
		if (ret)
			return ret;
		info.loaded = false;
	}
	in.loading = !info.loaded;
	ret = intent_write(&in);
	if (ret) {
		say("cannot write to /run/ghost: %s", strerror(-ret));
		return exit_code_of(ret);
	}
	if (info.loaded)
		return EXIT_OK;
	ret = ghost_kernel_load(0, error, sizeof(error));
	if (!ret) {
		automatic_mark();
		return EXIT_OK;
	}
	say("cannot load the kernel side: %s", error[0] ? error : strerror(-ret));
	return exit_code_of(ret);
}

static int create(struct keeper *k)
{
	struct ghost_enclave_opts opts = {
		.size = sizeof(opts),
		.cpus = &k->run->cpus,
		.stall_ns = k->run->stall_ns,
		.max_tasks = k->run->max_threads,
		.fallback = k->run->fallback,
	};
	int ret = ghost_enclave_create(&k->enclave, k->backend, &opts);

	if (!ret) {
		k->record.enclave = ghost_enclave_id(k->enclave);
		return EXIT_OK;
	}
	if (ret == -EBUSY) {
		if (!say_owner(k->backend, &k->run->cpus, 0))
			say("a CPU was taken by another enclave just now; try again");
		return EXIT_FAILED;
	}
	if (ret == -ENOSPC)
		say("there are %d enclaves already, and no more are possible",
		    GHOST_ENCLAVES_MAX - 1);
	else
		say("cannot make an enclave: %s",
		    k->backend->error[0] ? k->backend->error : strerror(-ret));
	return exit_code_of(ret);
}

/* Agents of another user have no right to see who comes to their CPUs: we do, for them. */
static int delegate(struct keeper *k)
{
	int ret;

	if (!k->run->delegated)
		return EXIT_OK;
	ret = ghost_enclave_delegate(k->enclave, k->run->uid, k->run->gid);
	ret = ret ?: k->backend->agent_spin_prepare(k->backend);
	if (!ret)
		return EXIT_OK;
	say("%s", k->backend->error[0] ? k->backend->error : strerror(-ret));
	return exit_code_of(ret);
}

static int write_record(struct keeper *k)
{
	int err = run_record_write(&k->record);

	if (!err)
		return EXIT_OK;
	say("cannot write to /run/ghost: %s", strerror(-err));
	return EXIT_FAILED;
}

/* --- the agent process --------------------------------------------------------------- */

static int fork_agent(struct keeper *k, int lock)
{
	int report[2] = { -1, -1 };

	k->agent = pipe2(report, O_CLOEXEC) ? -1 : fork();
	if (k->agent < 0) {
		say("cannot start the agent process: %s", strerror(errno));
		close(report[0]);
		close(report[1]);
		k->agent = 0;
		return EXIT_FAILED;
	}
	if (!k->agent) {
		/* A lock lives as long as one copy of its descriptor. */
		record_unlock(lock);
		signals_restore(k);
		janitor_main(k->run, k->record.enclave, report[1], &k->record.keeper, NULL);
	}
	close(report[1]);
	k->report = report[0];
	k->said[0] = 0;
	process_of(k->agent, &k->record.agent);
	return EXIT_OK;
}

/* What the agent process says, once: a line. 1: got it, 0: not yet, -1: it ended. */
static int report_line(struct keeper *k)
{
	size_t len = strlen(k->said);
	ssize_t n = read(k->report, k->said + len, sizeof(k->said) - 1 - len);

	if (n <= 0)
		return -1;
	k->said[len + n] = 0;
	if (k->said[len + n - 1] != '\n')
		return 0;
	k->said[len + n - 1] = 0;
	return 1;
}

/* "failed CODE SENTENCE" */
static bool report_failed(struct keeper *k, int *ret_code, const char **ret_sentence)
{
	char *sentence;

	if (strncmp(k->said, "failed ", 7))
		return false;
	*ret_code = strtol(k->said + 7, &sentence, 10);
	*ret_sentence = sentence + (*sentence == ' ');
	return true;
}

static int wait_for_agents(struct keeper *k)
{
	struct pollfd fds[] = {
		{ .fd = k->report, .events = POLLIN },
		{ .fd = k->signals, .events = POLLIN },
	};
	const char *sentence;
	int ret, code, n;

	for (;;) {
		n = poll(fds, 2, AGENTS_START_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			say("the agents did not start within %d s", AGENTS_START_MS / 1000);
			return EXIT_FAILED;
		}
		code = fds[1].revents ? signal_pending(k) : 0;
		if (code)
			return 128 + code;
		if (!fds[0].revents)
			continue;
		ret = report_line(k);
		if (!ret)
			continue;
		if (ret < 0) {
			say("the agent process ended before its agents were ready");
			return EXIT_FAILED;
		}
		if (!strcmp(k->said, "ready"))
			return EXIT_OK;
		if (report_failed(k, &code, &sentence)) {
			say("%s", sentence);
			return code ?: EXIT_FAILED;
		}
	}
}

/* --- what went wrong with the agents, in a sentence each ------------------------------- */

/* What runs the threads from now on. */
static const char *what_now(const struct keeper *k)
{
	switch (k->run->on_loss) {
	case LOSS_RESTART:
		return "the kernel's fallback runs the threads until there are new agents";
	case LOSS_DESTROY:
		return "the enclave ends, and its threads go on in the fair class";
	default:
		if (!has_agents(k))
			return "the kernel's fallback runs the threads until there are others";
		return "the kernel's fallback runs the threads until the enclave ends; with --restart "
		       "there would be new agents";
	}
}

/* There is no enclave any more for which agents could decide. */
static bool enclave_ended(const struct keeper *k)
{
	const struct ghost_enclave_status *st = ghost_enclave_status(k->enclave);

	return st->state == GHOST_ENCLAVE_DYING || st->state == GHOST_ENCLAVE_FREE ||
	       kernel_ejected();
}

static void say_stall(const struct keeper *k)
{
	const struct ghost_enclave_status *st = ghost_enclave_status(k->enclave);
	uint64_t limit_ns = k->run->stall_ns ?: STALL_NS_DEFAULT;
	char limit[32], agent[256];
	/* In a shorter wait one that decides may just have had other things to do. */
	bool decides = st->lost_ns > 3 * WATCH_MS * 1000000ull &&
		       stall_committed(k->enclave) > k->committed[0];

	stall_describe(k->enclave, decides, agent, sizeof(agent));
	notice(k,
	       "thread %u waited longer than %s (%.3f s) for a decision of %s, so its agents were "
	       "given up: %s; %s",
	       st->lost_arg, format_duration(limit_ns, limit, sizeof(limit)), st->lost_ns * 1e-9,
	       k->record.policy, agent, what_now(k));
}

static void say_lost(const struct keeper *k)
{
	const struct ghost_enclave_status *st = ghost_enclave_status(k->enclave);
	struct ghost_kernel_info info = { 0 };
	bool ended = st->state == GHOST_ENCLAVE_DYING || st->state == GHOST_ENCLAVE_FREE;

	/* With the last enclave the kernel side goes, too: that is no ejection. */
	if (!ended && !ghost_kernel_info(&info) && info.ejected) {
		notice(k, "the kernel ejected ghOSt (%s); the threads go on in the fair class",
		       info.reason);
		return;
	}
	if (ended || !info.loaded) {
		notice(k,
		       "another command destroyed enclave %u; its threads go on in the fair class",
		       k->record.enclave);
		return;
	}
	switch (st->lost_reason) {
	case GHOST_LOST_STALL:
		say_stall(k);
		break;
	case GHOST_LOST_AGENT_EXIT:
		notice(k, "agent thread %u ended; %s", st->lost_arg, what_now(k));
		break;
	case GHOST_LOST_CPU:
		notice(k, "CPU %u of the enclave went offline; %s", st->lost_arg, what_now(k));
		break;
	default:
		notice(k, "the agents stopped; %s", what_now(k));
	}
}

/* @status: NULL, nobody tells how another one's child has ended. */
static void say_agent_ended(const struct keeper *k, pid_t pid, const int *status)
{
	if (!status)
		notice(k, "the agent process (pid %d) of %s ended; %s", pid, k->record.policy,
		       what_now(k));
	else if (WIFSIGNALED(*status))
		notice(k, "the agent process (pid %d) was killed by signal %d (%s); %s", pid,
		       WTERMSIG(*status), strsignal(WTERMSIG(*status)), what_now(k));
	else
		notice(k, "the agent process (pid %d) ended with status %d; %s", pid,
		       WEXITSTATUS(*status), what_now(k));
}

/* --- the command ------------------------------------------------------------------------ */

/*
 * A thread that may run on none of its enclave's CPUs would wait for ever: the
 * command gets the CPUs that both its caller and the enclave allow, or, if there
 * is none, the enclave's.
 */
static void limit_cpus(const struct ghost_cpuset *cpus)
{
	cpu_set_t *now = CPU_ALLOC(GHOST_CPUS_MAX), *both = CPU_ALLOC(GHOST_CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(GHOST_CPUS_MAX);

	if (!now || !both || sched_getaffinity(0, size, now))
		goto out;
	CPU_ZERO_S(size, both);
	ghost_cpuset_for_each(cpu, cpus) if (CPU_ISSET_S(cpu, size, now))
		CPU_SET_S(cpu, size, both);
	if (CPU_EQUAL_S(size, now, both))
		goto out;
	if (!CPU_COUNT_S(size, both)) {
		ghost_cpuset_for_each(cpu, cpus) CPU_SET_S(cpu, size, both);
	}
	if (sched_setaffinity(0, size, both))
		goto out; /* a cpuset forbids it; the policy will find out */
out:
	if (now)
		CPU_FREE(now);
	if (both)
		CPU_FREE(both);
}

static _Noreturn void command_main(const struct keeper *k, int go, int failed)
{
	char byte, hints[64];
	int err;

	/* Where the agents listen for what it has to say of its threads. */
	if (!ghost_hints_path(hints, sizeof(hints), GHOST_HINTS_DIR, k->record.enclave))
		setenv(GHOST_HINTS_ENV, hints, 1);
	limit_cpus(&k->run->cpus);
	signals_restore(k);
	/* End of file: the keeper could not make us a member, or was killed. */
	if (read(go, &byte, 1) != 1)
		_exit(EXIT_FAILED);
	execvp(k->run->command[0], k->run->command);
	err = errno;
	if (write(failed, &err, sizeof(err)) < 0)
		_exit(EXIT_FAILED);
	_exit(err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

static int start_command(struct keeper *k)
{
	int go[2], failed[2];
	int ret, err;

	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
		say("cannot make a pipe: %s", strerror(errno));
		return EXIT_FAILED;
	}
	k->command = fork();
	if (k->command < 0) {
		say("cannot start %s: %s", k->run->command[0], strerror(errno));
		k->command = 0;
		return EXIT_FAILED;
	}
	if (!k->command) {
		close(go[1]);
		close(failed[0]);
		command_main(k, go[0], failed[1]);
	}
	close(go[0]);
	close(failed[1]);
	ret = ghost_enclave_join(k->enclave, k->command);
	/* ESRCH: a signal ended it already, and waiting for it will tell. */
	if (ret && ret != -ESRCH) {
		say("%s cannot join the enclave: %s", k->run->command[0],
		    k->backend->error[0] ? k->backend->error : strerror(-ret));
		close(go[1]);
		close(failed[0]);
		return exit_code_of(ret);
	}
	clock_gettime(CLOCK_MONOTONIC, &k->started);
	if (write(go[1], "", 1) < 0)
		ret = 0; /* it has ended; waiting for it tells why */
	close(go[1]);
	ret = read(failed[0], &err, sizeof(err));
	close(failed[0]);
	if (ret == sizeof(err))
		say("cannot run %s: %s", k->run->command[0], strerror(err));
	return EXIT_OK;
}

/* There is none: whoever waits for the enclave reads that it is there. */
static int say_ready(struct keeper *k)
{
	char cpus[256];

	ghost_cpuset_format(&k->run->cpus, cpus, sizeof(cpus));
	clock_gettime(CLOCK_MONOTONIC, &k->started);
	if (has_agents(k))
		printf("enclave %u: %s decides for CPUs %s\n", k->record.enclave,
		       k->run->policy->name, cpus);
	else
		printf("enclave %u: the kernel's fallback runs threads on CPUs %s until 'ghost agents "
		       "%u POLICY'\n",
		       k->record.enclave, cpus, k->record.enclave);
	if (fflush(stdout)) {
		say("cannot write to standard output: %s", strerror(errno));
		return EXIT_FAILED;
	}
	notify_ready();
	return EXIT_OK;
}

/* --- agents that fail while the command runs --------------------------------------------- */

/* Agents that are stopped cannot look after themselves. */
static void guard(struct keeper *k)
{
	unsigned int nr;
	uint32_t tid;

	if (!k->guard && ghost_guard_open(&k->guard, k->enclave))
		return;
	nr = ghost_guard_look(k->guard, &tid);
	if (nr)
		notice(k,
		       "other threads keep the CPUs of enclave %u to themselves, or they are offline: %u of "
		       "its threads had no time for 10 s and go on in the fair class, thread %u for one",
		       k->record.enclave, nr, tid);
}

/* Waits at most @ms for the end of the agent process. */
static bool agent_ends(struct keeper *k, int ms)
{
	struct pollfd fd = { .fd = k->adopted, .events = POLLIN };
	int own = -1;

	if (k->adopted < 0)
		fd.fd = own = pidfd_open(k->agent, 0);
	if (fd.fd >= 0 && poll(&fd, 1, ms) <= 0) {
		if (own >= 0)
			close(own);
		return false;
	}
	close(fd.fd);
	if (k->adopted < 0)
		waitpid(k->agent, NULL, 0);
	k->adopted = -1;
	k->agent = 0;
	return true;
}

static void kill_agent(struct keeper *k)
{
	if (!k->agent)
		return;
	kill_agents(&k->record.agent);
	/* Where others keep the CPU its threads may take long to die: nobody else guards then. */
	while (!agent_ends(k, GHOST_GUARD_NS / 1000000))
		guard(k);
}

/* Under the lock. */
static void give_enclave_back(struct keeper *k)
{
	struct record r;
	int ret;

	/* The number may belong to someone else by now. */
	if (!k->enclave || run_record_read(k->record.enclave, &r) ||
	    r.keeper.pid != k->record.keeper.pid || r.keeper.start != k->record.keeper.start)
		return;
	ret = destroy_enclave(k->backend, k->record.enclave);
	if (!ret)
		record_remove(k->record.enclave);
	else if (ret != -ENOENT)
		say("cannot destroy enclave %u (%s); the next ghost command tries again",
		    k->record.enclave, strerror(-ret));
}

/* What was told becomes true. */
static void agents_failed(struct keeper *k)
{
	bool good = k->good_ms && now_ms() - k->good_ms >= GOOD_MS;
	int lock;

	k->starting = false;
	k->good_ms = 0;
	if (k->restart_ms || enclave_ended(k))
		return;
	if (k->run->on_loss == LOSS_RESTART) {
		k->pause_ms = good || !k->pause_ms ? PAUSE_MS : k->pause_ms * 2;
		if (k->pause_ms > PAUSE_MS_MAX)
			k->pause_ms = PAUSE_MS_MAX;
		k->restart_ms = now_ms() + k->pause_ms;
	}
	if (k->run->on_loss != LOSS_DESTROY)
		return;
	kill_agent(k);
	lock = record_lock();
	if (lock < 0)
		return; /* at the end there is another try */
	give_enclave_back(k);
	record_unlock(lock);
}

/* Another version of this program may have policies that this one lacks. */
static const struct ghost_policy *unknown_policy(const char *name)
{
	static char copy[sizeof(((struct record *)0)->policy)];
	static const struct ghost_policy unknown = { .name = copy };

	snprintf(copy, sizeof(copy), "%s", name);
	return &unknown;
}

/*
 * The agent process has ended: does another one decide by now? What follows
 * concerns that one then, and its policy.
 */
static bool adopt(struct keeper *k)
{
	struct record r;

	if (run_record_read(k->record.enclave, &r) || r.agent.pid == k->record.agent.pid)
		return false;
	/* Its policy is the one that decides from here on, also if it has ended since. */
	k->record = r;
	k->own.policy = policies_find(r.policy);
	if (k->own.policy)
		param_load(k->own.policy, r.params, k->own.params);
	else
		k->own.policy = unknown_policy(r.policy);
	k->adopted = pidfd_open(r.agent.pid, 0);
	if (k->adopted < 0 || !process_alive(&r.agent)) {
		close(k->adopted);
		k->adopted = -1;
		return false;
	}
	k->agent = r.agent.pid;
	k->told = k->suspected = false;
	k->good_ms = now_ms();
	k->restart_ms = 0;
	return true;
}

/* A `ghost upgrade` is at work, and sees to it that somebody decides in the end. */
static bool upgraded_now(const struct keeper *k)
{
	struct record r;

	return !run_record_read(k->record.enclave, &r) && process_alive(&r.upgrader);
}

/* Under the lock: others that decide are in the record, and no upgrade begins meanwhile. */
static void start_again(struct keeper *k, int lock)
{
	if (adopt(k) || enclave_ended(k))
		return;
	if (upgraded_now(k)) {
		k->restart_ms = now_ms() + WATCH_MS;
		return;
	}
	if (fork_agent(k, lock)) {
		agents_failed(k);
		return;
	}
	write_record(k);
	k->starting = true;
	/* If they do not get ready at all. */
	k->restart_ms = now_ms() + AGENTS_START_MS;
}

static void restart_agents(struct keeper *k)
{
	int lock;

	k->restart_ms = 0;
	if (!k->agent && adopt(k))
		return;
	/* They may hang, or have stopped and wait for us. */
	kill_agent(k);
	if (enclave_ended(k))
		return;
	close(k->report);
	k->report = -1;
	if (!k->run->policy->schedule) {
		notice(k, "this program does not know the policy %s, to start it again",
		       k->record.policy);
		return;
	}
	lock = record_lock();
	if (lock < 0) {
		agents_failed(k);
		return;
	}
	start_again(k, lock);
	record_unlock(lock);
}

/* How the start of new agents went. */
static void agents_said(struct keeper *k)
{
	int ret = report_line(k), code;
	const char *sentence;

	if (!ret)
		return;
	k->starting = false;
	k->restart_ms = 0;
	if (ret > 0 && !strcmp(k->said, "ready")) {
		k->told = k->suspected = false;
		k->good_ms = now_ms();
		k->restarts++;
		notice(k, "new agents of %s decide", k->record.policy);
		return;
	}
	/* Once: it may be for long, as with a CPU that is offline. */
	if (ret > 0 && report_failed(k, &code, &sentence) && k->pause_ms == PAUSE_MS)
		notice(k, "%s; trying again", sentence);
	agents_failed(k);
}

static void agent_ended(struct keeper *k, const int *status)
{
	int fd = k->adopted;
	pid_t pid = k->agent;

	k->agent = 0;
	k->adopted = -1;
	/* Should the upgrade fail, too, watch() tells. */
	if (!adopt(k) && !upgraded_now(k)) {
		/* And so has the one that had taken over. */
		if (k->record.agent.pid != pid) {
			pid = k->record.agent.pid;
			status = NULL;
		}
		if (!k->told)
			say_agent_ended(k, pid, status);
		k->told = true;
		/* While it starts we hear from its pipe. */
		if (!k->starting)
			agents_failed(k);
	}
	if (fd >= 0)
		close(fd);
}

static void reap(struct keeper *k, bool *ret_ended)
{
	int status;

	if (k->agent && k->adopted < 0 && waitpid(k->agent, &status, WNOHANG) == k->agent)
		agent_ended(k, &status);
	if (k->command && wait4(k->command, &status, WNOHANG, &k->usage) == k->command) {
		k->status = status;
		*ret_ended = true;
	}
}

static void handle_signals(struct keeper *k, bool *ret_ended)
{
	struct signalfd_siginfo info;

	while (read(k->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(k, ret_ended);
		else if (!k->run->command)
			k->over |= info.ssi_signo != SIGUSR1 && info.ssi_signo != SIGUSR2;
		else if (!*ret_ended && !sent_by_terminal(&info))
			kill(k->command, info.ssi_signo);
	}
}

/* Without a command there is no reason to stay when the enclave has ended. */
static void nothing_to_keep(struct keeper *k)
{
	if (k->run->command || k->over || !enclave_ended(k))
		return;
	k->over = true;
	k->status = EXIT_FAILED << 8;
}

/* That of the first agent. */
static pid_t agent_process(const struct keeper *k)
{
	const struct ghost_memory *mem = ghost_enclave_memory(k->enclave);
	char path[64], line[128];
	pid_t pid = 0;
	FILE *f;

	for (uint32_t cpu = 0; cpu < mem->nr_cpus && !pid; cpu++)
		pid = mem->cpu[cpu].agent_tid;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Tgid: %d", &pid);
	if (f)
		fclose(f);
	return pid;
}

/* Tell, once, that the policy no longer decides: its agents may not be able to. */
static void watch(struct keeper *k, unsigned int nr_watches)
{
	const struct ghost_enclave_status *st = ghost_enclave_status(k->enclave);
	bool ejected = nr_watches % WATCHES_PER_LOOK == 0 && kernel_ejected();

	if (st->state == GHOST_ENCLAVE_ONLINE) {
		k->committed[0] = k->committed[1];
		k->committed[1] = stall_committed(k->enclave);
		/* Agents that somebody else has brought can be lost, too. */
		if (!has_agents(k) && k->told) {
			notice(k, "agents decide (process %d)", agent_process(k));
			k->told = k->suspected = false;
		}
	}
	/* After agents that failed an upgrade may have brought others. */
	if (!k->agent && !k->starting && st->state == GHOST_ENCLAVE_ONLINE)
		adopt(k);
	if (k->told || (st->state == GHOST_ENCLAVE_ONLINE && !ejected))
		return;
	if (!ejected && !enclave_ended(k) && upgraded_now(k))
		return;
	/* Their process is about to end: then we hear by what. */
	if (st->lost_reason == GHOST_LOST_AGENT_EXIT && !k->suspected) {
		k->suspected = true;
		return;
	}
	k->told = true;
	say_lost(k);
	agents_failed(k);
}

static bool is_ours(uint32_t tid, void *unused)
{
	return record_is_ours(tid);
}

/* Who has come to the cgroup, and is nobody's child there. */
static void watch_cgroup(struct keeper *k)
{
	int ret;

	if (!k->run->cgroup || k->over)
		return;
	ret = ghost_enclave_join_cgroup(k->enclave, k->run->cgroup, is_ours, NULL);
	/* Its service may be started anew. */
	if (ret < 0 && ret != -ENOENT && ret != k->cgroup_err)
		notice(k, "the threads of cgroup %s cannot join: %s", k->run->cgroup,
		       strerror(-ret));
	k->cgroup_err = ret;
}

static void wait_for_command(struct keeper *k)
{
	struct pollfd fds[] = {
		{ .fd = k->signals, .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLIN },
	};
	unsigned int nr_watches = 0;
	bool ended = false;
	uint64_t now, due = 0, guard_due = 0;
	int wait;

	k->good_ms = now_ms();
	reap(k, &ended);
	while (!ended && !k->over) {
		now = now_ms();
		wait = WATCH_MS;
		if (k->restart_ms && k->restart_ms < now + WATCH_MS)
			wait = k->restart_ms > now ? k->restart_ms - now : 0;
		fds[1].fd = k->starting ? k->report : -1;
		fds[2].fd = k->adopted;
		fds[0].revents = fds[1].revents = fds[2].revents = 0;
		if (!poll(fds, 3, wait))
			watch(k, ++nr_watches);
		if (now >= due) {
			watch_cgroup(k);
			due = now + WATCH_MS;
		}
		if (now >= guard_due) {
			guard(k);
			guard_due = now + GHOST_GUARD_NS / 1000000;
		}
		if (k->told)
			nothing_to_keep(k);
		if (fds[0].revents)
			handle_signals(k, &ended);
		if (fds[1].revents && k->starting)
			agents_said(k);
		if (fds[2].revents && k->adopted == fds[2].fd)
			agent_ended(k, NULL);
		if (k->restart_ms && now_ms() >= k->restart_ms && !ended)
			restart_agents(k);
	}
}

static int exit_code(const struct keeper *k)
{
	return WIFSIGNALED(k->status) ? 128 + WTERMSIG(k->status) : WEXITSTATUS(k->status);
}

/* --- the end -------------------------------------------------------------------------------- */

static void take_stats(const struct keeper *k)
{
	struct stats s = {
		.enclave = k->record.enclave,
		.exit_code = exit_code(k),
		.restarts = k->restarts,
		.voluntary = k->usage.ru_nvcsw,
		.involuntary = k->usage.ru_nivcsw,
	};
	struct timespec now;
	int ret;

	if (!k->run->stats && !k->run->stats_json)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	s.seconds = (now.tv_sec - k->started.tv_sec) + (now.tv_nsec - k->started.tv_nsec) * 1e-9;
	ghost_enclave_count(k->enclave, &s.counts);
	if (k->run->stats)
		stats_print(k->run, &s);
	ret = k->run->stats_json ? stats_write_json(k->run, &s) : 0;
	if (ret)
		say("cannot write %s: %s", k->run->stats_json, strerror(-ret));
}

static void stop_agent(struct keeper *k)
{
	if (!k->agent)
		return;
	process_signal(&k->record.agent, SIGTERM);
	if (!agent_ends(k, AGENTS_STOP_MS))
		kill_agent(k);
}

/* Everything back to how it was, as far as it was done. */
static void clean_up(struct keeper *k, int lock)
{
	if (k->command && !k->status && waitpid(k->command, &k->status, WNOHANG) == 0) {
		kill(k->command, SIGKILL);
		waitpid(k->command, &k->status, 0);
	}
	/* First: an agent process that hangs would keep the enclave busy. */
	stop_agent(k);
	if (lock < 0)
		lock = record_lock();
	give_enclave_back(k);
	ghost_guard_close(k->guard);
	ghost_enclave_close(k->enclave);
	if (k->backend)
		k->backend->close(k->backend);
	if (lock >= 0) {
		intent_remove();
		unload_when_idle();
		record_unlock(lock);
	}
}

static void describe(struct keeper *k)
{
	size_t len = 0;

	snprintf(k->record.policy, sizeof(k->record.policy), "%s", k->run->policy->name);
	param_dump(k->run->policy, k->run->params, k->record.params, sizeof(k->record.params));
	if (!k->run->command)
		snprintf(k->record.command, sizeof(k->record.command), "ghost serve%s%s",
			 k->run->config ? " --config=" : "", k->run->config ?: "");
	snprintf(k->record.config, sizeof(k->record.config), "%s", k->run->config ?: "");
	for (char **arg = k->run->command; arg && *arg && len < sizeof(k->record.command); arg++)
		len += snprintf(k->record.command + len, sizeof(k->record.command) - len, "%s%s",
				arg == k->run->command ? "" : " ", *arg);
}

/* Under the lock: up to the point from which a dead keeper can be told from the record. */
static int prepare(struct keeper *k, int lock)
{
	int ret;

	tidy();
	ret = load(k);
	ret = ret ?: open_kernel(&k->backend);
	ret = ret ?: create(k);
	ret = ret ?: write_record(k);
	if (has_agents(k))
		ret = ret ?: fork_agent(k, lock);
	ret = ret ?: write_record(k);
	ret = ret ?: delegate(k);
	if (!ret)
		intent_remove();
	return ret;
}

/* Scripts that run us in a loop stop at Ctrl-C only if we die of it as well. */
static void die_of_interrupt(const struct keeper *k)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t set;

	if (!WIFSIGNALED(k->status) || WTERMSIG(k->status) != SIGINT)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaction(SIGINT, &dfl, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGINT);
}

int keeper_run(const struct run *run)
{
	struct keeper k = { .own = *run, .adopted = -1, .told = run->policy == &policy_none };
	int lock, ret;

	k.run = &k.own;
	process_of(getpid(), &k.record.keeper);
	describe(&k);
	ret = signals_take(&k);
	if (ret) {
		say("cannot receive signals: %s", strerror(-ret));
		return EXIT_FAILED;
	}
	lock = record_lock();
	if (lock < 0)
		return say_no_lock(lock);
	ret = prepare(&k, lock);
	if (!ret) {
		record_unlock(lock);
		lock = -1;
		ret = has_agents(&k) ? wait_for_agents(&k) : EXIT_OK;
	}
	if (!ret)
		ret = run->command ? start_command(&k) : say_ready(&k);
	if (!ret) {
		wait_for_command(&k);
		take_stats(&k);
		ret = exit_code(&k);
	}
	clean_up(&k, lock);
	die_of_interrupt(&k);
	return ret;
}
