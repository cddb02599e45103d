// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a command while the FIFO scheduler of fifo.bpf.c is loaded.
 * In: the object file beside this program, a command. Out: its exit status; 125 if the
 * scheduler could not be loaded or did not last. Called by: bench/micro, people.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* An enumerator's value in the running kernel, whichever width its type has. */
static int kernel_enum(const char *type, const char *name, uint64_t *ret_value)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *t;
	int id, err = -ENOENT;

	if (!btf)
		return -errno;
	id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM64);
	if (id < 0)
		id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	t = id < 0 ? NULL : btf__type_by_id(btf, id);
	for (int i = 0; t && i < btf_vlen(t); i++) {
		bool wide = btf_is_enum64(t);
		uint32_t at = wide ? btf_enum64(t)[i].name_off : btf_enum(t)[i].name_off;

		if (strcmp(btf__name_by_offset(btf, at), name))
			continue;
		*ret_value = wide ? btf_enum64_value(&btf_enum64(t)[i]) :
				    (uint64_t)btf_enum(t)[i].val;
		err = 0;
		break;
	}
	btf__free(btf);
	return err;
}

/* The place of the member is that of our own declaration, which the object's BTF has. */
static int set_flags(struct bpf_object *obj, struct bpf_map *ops, uint64_t flags)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf__find_by_name_kind(btf, "sched_ext_ops", BTF_KIND_STRUCT);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, id);
	size_t size = 0;
	char *data = bpf_map__initial_value(ops, &size);

	if (!t || !data || size < t->size)
		return -ENOENT;
	for (int i = 0; i < btf_vlen(t); i++) {
		if (strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off), "flags"))
			continue;
		memcpy(data + btf_member_bit_offset(t, i) / 8, &flags, sizeof(flags));
		return 0;
	}
	return -ENOENT;
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
	uint64_t partial = 0;
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
	err = kernel_enum("scx_ops_flags", "SCX_OPS_SWITCH_PARTIAL", &partial);
	if (err)
		return fail("this kernel has no sched_ext (no scx_ops_flags in its types)", err);
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
	err = set_flags(obj, ops, partial);
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
