// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a command while the FIFO scheduler of fifo.bpf.c is loaded.
 * In: the object file beside this program, a command. Out: its exit status; 125 if the
 * scheduler could not be loaded or did not last. Called by: bench/micro, people.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/partial.h"

#define EXIT_NO_SCHEDULER 125

/* As in fifo.bpf.c. */
struct fifo_end {
	uint64_t ended;
	char reason[128];
	char message[256];
};

/* libbpf's own words, kept for the case that loading fails. */
static char libbpf_words[16384];

static int keep_words(enum libbpf_print_level level, const char *format, va_list args)
{
	size_t len = strlen(libbpf_words);

	if (level != LIBBPF_DEBUG)
		vsnprintf(libbpf_words + len, sizeof(libbpf_words) - len, format, args);
	return 0;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "%sfifo_load: %s: %s\n", libbpf_words, what, strerror(-error));
	return EXIT_NO_SCHEDULER;
}

static int find_object(char *ret_path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", ret_path, size - 1);
	char *slash;

	if (n < 0)
		return -errno;
	ret_path[n] = '\0';
	slash = strrchr(ret_path, '/');
	if (!slash || slash + sizeof("/fifo.bpf.o") > ret_path + size)
		return -ENAMETOOLONG;
	strcpy(slash, "/fifo.bpf.o");
	return access(ret_path, R_OK) ? -errno : 0;
}

static int run_command(char **argv)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return fail("fork", -errno);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		execvp(argv[0], argv);
		fprintf(stderr, "fifo_load: cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail("waitpid", -errno);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	const struct fifo_end *end;
	struct bpf_object *obj;
	struct bpf_map *ops, *bss;
	struct bpf_link *link;
	char path[PATH_MAX];
	size_t size = 0;
	int err, rc;

	argv++;
	if (*argv && !strcmp(*argv, "--"))
		argv++;
	if (!*argv || **argv == '-') {
		fprintf(stderr, "usage: fifo_load [--] COMMAND [ARGUMENT...]\n");
		return 2;
	}

	libbpf_set_print(keep_words);
	err = find_object(path, sizeof(path));
	if (err)
		return fail("no fifo.bpf.o beside this program", err);
	obj = bpf_object__open_file(path, NULL);
	if (!obj)
		return fail("cannot open fifo.bpf.o", -errno);
	ops = bpf_object__find_map_by_name(obj, "fifo_ops");
	bss = bpf_object__find_map_by_name(obj, ".bss");
	if (!ops || !bss)
		return fail("fifo.bpf.o lacks fifo_ops or .bss", -ENOENT);
	err = partial_set(obj, ops);
	if (err == -EOPNOTSUPP)
		return fail("this kernel has no sched_ext (no scx_ops_flags in its types)", err);
	if (err)
		return fail("cannot set the flags of fifo_ops", err);
	err = bpf_object__load(obj);
	if (err)
		return fail("cannot load the scheduler", err);
	link = bpf_map__attach_struct_ops(ops);
	if (!link)
		return fail("cannot attach the scheduler", -errno);

	rc = run_command(argv);

	/* Still ours? Whoever was thrown out has measured the fair class. */
	end = bpf_map__initial_value(bss, &size);
	if (!end || size < sizeof(*end))
		return fail("cannot read how the scheduler fared", -ENOENT);
	if (end->ended) {
		fprintf(stderr, "fifo_load: the kernel ended the scheduler: %s (%s)\n", end->reason,
			end->message);
		rc = EXIT_NO_SCHEDULER;
	}
	bpf_link__destroy(link);
	bpf_object__close(obj);
	return rc;
}
