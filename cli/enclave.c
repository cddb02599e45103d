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

static void log_name(char *buf, size_t size, const char *what, unsigned int number)
{
	snprintf(buf, size, LOG_FOLDER "/%s_%u.log", what, number);
}

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

static _Noreturn void serve(int argc, char **argv, int out, const char *log)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), err;

	setsid();
	if (chdir("/"))
		_exit(EXIT_FAILED);
	err = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	if (null < 0 || err < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(EXIT_FAILED);
	argv[0] = (char *)"serve";
	_exit(verb_serve.main(argc, argv));
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
	int out[2], status;
	pid_t pid;

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return verb_serve.main(argc, argv);
	if ((mkdir(LOG_FOLDER, 0755) && errno != EEXIST) || pipe2(out, O_CLOEXEC)) {
		say("cannot write to " LOG_FOLDER ": %s", strerror(errno));
		return exit_code_of(-errno);
	}
	log_name(log, sizeof(log), "create", getpid());
	pid = fork();
	if (pid < 0) {
		say("cannot start a process: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (!pid)
		serve(argc, argv, out[1], log);
	close(out[1]);
	if (!ready(out[0], line, sizeof(line)) || sscanf(line, "enclave %u:", &id) != 1) {
		/* It cleans up. */
		kill(pid, SIGTERM);
		waitpid(pid, &status, 0);
		pass_on(log);
		unlink(log);
		return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
	}
	log_name(named, sizeof(named), "kept", id);
	rename(log, named);
	printf("%.*s; process %d keeps it, messages are in %s\n", (int)strcspn(line, "\n"), line,
	       (int)pid, named);
	return EXIT_OK;
}
