// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost enclave: all that is done with enclaves, under one verb.
 * In: a verb of its own, and that one's options. Out: what that one does; or, of
 * create, an enclave that is kept by a process in the background. Called by people.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/run.h"

/* As long as `ghost serve` itself waits for agents, and to load the kernel side. */
#define READY_MS (120 * 1000)

static int enclave_main(int argc, char **argv);
static int create_main(int argc, char **argv);
static int list_main(int argc, char **argv);
static int add_main(int argc, char **argv);
static int destroy_main(int argc, char **argv);

const struct verb verb_enclave = {
	.name = "enclave",
	.args = "VERB [OPTION...]",
	.help = "make enclaves, change, fill and watch them",
	.main = enclave_main,
};

static const struct verb verb_create = {
	.name = "enclave create",
	.args = "POLICY [POLICY OPTION...]",
	.help = "make an enclave that lasts until it is destroyed",
	.main = create_main,
};

static const struct verb verb_list = {
	.name = "enclave list",
	.help = "show the enclaves, as 'ghost status'",
	.main = list_main,
};

static const struct verb verb_add = {
	.name = "enclave add",
	.help = "put processes into one, as 'ghost attach'",
	.main = add_main,
};

static const struct verb verb_end = {
	.name = "enclave destroy",
	.help = "give its threads and CPUs back, as 'ghost destroy'",
	.main = destroy_main,
};

static const struct verb *const verbs[] = {
	&verb_create, &verb_list, &verb_add, &verb_set_cpus, &verb_watch, &verb_end, NULL,
};

static int enclave_main(int argc, char **argv)
{
	if (argc < 2)
		usage_error(&verb_enclave, "say what to do, for example 'ghost enclave list'");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		printf("Usage: ghost enclave VERB [OPTION...]\n"
		       "Makes enclaves, changes, fills and watches them.\n\n");
		verbs_print(verbs);
		printf("\n  --help     show this help; 'ghost enclave VERB --help' shows the options "
		       "of a verb\n");
		return EXIT_OK;
	}
	if (argv[1][0] == '-')
		usage_error(&verb_enclave, "unknown option '%s' before the verb", argv[1]);
	return verb_find(&verb_enclave, verbs, argv[1])->main(argc - 1, argv + 1);
}

static int list_main(int argc, char **argv)
{
	return verb_status.main(argc, argv);
}

static int add_main(int argc, char **argv)
{
	return verb_attach.main(argc, argv);
}

static int destroy_main(int argc, char **argv)
{
	return verb_destroy.main(argc, argv);
}

/* --- create: `ghost serve`, in the background ------------------------------------------- */

#define LOG_FOLDER "/run/ghost"

/* What it has said of its failure. */
static void pass_on(const char *log)
{
	char text[4096];
	size_t n;
	FILE *f = fopen(log, "re");

	while (f && (n = fread(text, 1, sizeof(text), f)) > 0)
		fwrite(text, 1, n, stderr);
	if (f)
		fclose(f);
}

/* Where messages go that nobody waits for. Returns a file or a negative errno. */
static int open_log(const char *log)
{
	int fd;

	if (mkdir(LOG_FOLDER, 0755) && errno != EEXIST)
		return -errno;
	fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

static int say_no_log(int err)
{
	if (exit_code_of(err) == EXIT_RIGHTS)
		return say_no_rights();
	say("cannot write to " LOG_FOLDER ": %s", strerror(-err));
	return EXIT_FAILED;
}

/* The keeper leaves the folder of its caller: what it writes there has its name in full. */
static int name_in_full(struct run *run)
{
	char *folder, *name;

	if (!run->stats_json || *run->stats_json == '/')
		return EXIT_OK;
	folder = getcwd(NULL, 0);
	if (!folder || asprintf(&name, "%s/%s", folder, run->stats_json) < 0) {
		say("cannot tell where %s is: %s", run->stats_json, strerror(errno));
		free(folder);
		return EXIT_FAILED;
	}
	free(folder);
	run->stats_json = name;
	return EXIT_OK;
}

static _Noreturn void serve(const struct run *run, int out, int err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(EXIT_FAILED);
	if (chdir("/")) {
		say("cannot go to /: %s", strerror(errno));
		_exit(EXIT_FAILED);
	}
	_exit(keeper_run(run));
}

/* The line by which `ghost serve` says that it is there. False: it ended, or does not come. */
static bool ready(int out, char *line, size_t size)
{
	struct pollfd fd = { .fd = out, .events = POLLIN };
	uint64_t end = now_ms() + READY_MS;
	size_t len = 0;

	while (len < size - 1) {
		if (now_ms() >= end || poll(&fd, 1, end - now_ms()) <= 0)
			return false;
		if (read(out, line + len, 1) <= 0)
			return false;
		if (line[len++] == '\n')
			break;
	}
	line[len] = 0;
	return true;
}

static int create_main(int argc, char **argv)
{
	char line[512], log[64], named[64];
	unsigned int id = 0;
	int out[2], status, err, ret;
	struct run run;
	pid_t pid;

	ret = run_serve(argc, argv, &run) ?: name_in_full(&run);
	if (ret)
		return ret;
	snprintf(log, sizeof(log), LOG_FOLDER "/" RECORD_CREATE_LOG, (int)getpid());
	err = open_log(log);
	if (err < 0)
		return say_no_log(err);
	pid = pipe2(out, O_CLOEXEC) ? -1 : fork();
	if (pid < 0) {
		say("cannot start a process: %s", strerror(errno));
		unlink(log);
		return EXIT_FAILED;
	}
	if (!pid)
		serve(&run, out[1], err);
	close(err);
	close(out[1]);
	if (!ready(out[0], line, sizeof(line)) || sscanf(line, "enclave %u:", &id) != 1) {
		/* It cleans up. */
		kill(pid, SIGTERM);
		waitpid(pid, &status, 0);
		pass_on(log);
		unlink(log);
		return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
	}
	snprintf(named, sizeof(named), LOG_FOLDER "/kept_%u.log", id);
	rename(log, named);
	printf("%.*s; process %d keeps it, messages are in %s\n", (int)strcspn(line, "\n"), line,
	       (int)pid, named);
	return EXIT_OK;
}
