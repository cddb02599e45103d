// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost attach: processes that already run become members of an enclave.
 * In: an enclave, pids. Out: all their threads are members. Called by people.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/record.h"

static int attach_main(int argc, char **argv);

const struct verb verb_attach = {
	.name = "attach",
	.args = "ENCLAVE [PID...]",
	.help = "let the policy of an enclave schedule processes that already run",
	.more = "All threads of the processes become members, and so will their children. They go "
		"back to the fair class when the enclave ends.",
	.main = attach_main,
};

struct arguments {
	uint32_t enclave;
	unsigned int nr;
	uint32_t *pids;
	unsigned int nr_trees;
	uint32_t *trees;
	unsigned int nr_cgroups;
	const char **cgroups;
};

enum {
	KEY_CGROUP = 0x100,
	KEY_TREE,
};

static const struct argp_option options[] = {
	{ "cgroup", KEY_CGROUP, "DIR", 0,
	  "all processes of a cgroup, and of those below it: a folder below " CGROUP_ROOT
	  ", such as system.slice/nginx.service; can be given more than once",
	  0 },
	{ "tree", KEY_TREE, "PID", 0,
	  "a process and all that descend from it now; can be given more than once", 0 },
	OPTION_HELP,
	{ 0 },
};

static uint32_t parse_pid(const char *arg)
{
	uint64_t pid;

	if (parse_uint(arg, &pid) || !pid || pid > INT32_MAX)
		usage_error(&verb_attach, "'%s' is no process id", arg);
	return pid;
}

/* One that is not there is told of when it is its turn; this one is a mistake. */
static const char *refuse_root(const char *arg)
{
	char path[PATH_MAX];
	struct stat st;

	if (cgroup_find(arg, path, &st) == -EINVAL)
		usage_error(&verb_attach,
			    "--cgroup wants a folder below " CGROUP_ROOT ", not '%s' (%s)", arg,
			    cgroup_error(-EINVAL));
	return arg;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (!a->enclave) {
			a->enclave = parse_enclave(&verb_attach, arg);
			return 0;
		}
		a->pids[a->nr++] = parse_pid(arg);
		return 0;
	case ARGP_KEY_END:
		if (!a->enclave)
			usage_error(&verb_attach, "say which enclave, and which processes");
		if (!a->nr && !a->nr_trees && !a->nr_cgroups)
			usage_error(&verb_attach, "say which processes, by their pids or a cgroup");
		return 0;
	case KEY_TREE:
		a->trees[a->nr_trees++] = parse_pid(arg);
		return 0;
	case KEY_CGROUP:
		a->cgroups[a->nr_cgroups++] = refuse_root(arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool is_ours(uint32_t tid, void *unused)
{
	return record_is_ours(tid);
}

static int attach_one(struct ghost_enclave *e, uint32_t pid, bool tree)
{
	int ret = tree ? ghost_enclave_join_tree(e, pid, is_ours, NULL) :
			 ghost_enclave_join_process(e, pid, is_ours, NULL);

	if (ret >= 0)
		return EXIT_OK;
	if (ret == -ECANCELED)
		say("process %u belongs to a 'ghost run' itself; attach its command instead", pid);
	else if (ret == -ESRCH)
		say("there is no process %u", pid);
	else if (ret == -ENOENT)
		say("enclave %u is going away", ghost_enclave_id(e));
	else
		say("process %u cannot join enclave %u: %s", pid, ghost_enclave_id(e),
		    strerror(-ret));
	return exit_code_of(ret);
}

static int attach_cgroup(struct ghost_enclave *e, const char *cgroup)
{
	int ret = ghost_enclave_join_cgroup(e, cgroup, is_ours, NULL);

	if (ret >= 0)
		return EXIT_OK;
	if (ret == -EXDEV)
		say("%s is no cgroup of version 2 below " CGROUP_ROOT, cgroup);
	else
		say("the threads of cgroup %s cannot join enclave %u: %s", cgroup,
		    ghost_enclave_id(e), strerror(-ret));
	return exit_code_of(ret);
}

static int attach_all(const struct arguments *a, struct ghost_enclave *e)
{
	int ret = EXIT_OK;

	for (unsigned int i = 0; i < a->nr; i++)
		ret = attach_one(e, a->pids[i], false) ?: ret;
	for (unsigned int i = 0; i < a->nr_trees; i++)
		ret = attach_one(e, a->trees[i], true) ?: ret;
	for (unsigned int i = 0; i < a->nr_cgroups; i++)
		ret = attach_cgroup(e, a->cgroups[i]) ?: ret;
	return ret;
}

/* By root: with the lock, so that the enclave stays meanwhile. */
static int attach_as_root(const struct arguments *a)
{
	struct ghost_backend *backend;
	struct ghost_enclave *e;
	int lock = record_lock(), ret;

	if (lock < 0)
		return say_no_lock(lock);
	tidy();
	ret = open_kernel(&backend);
	if (!ret) {
		ret = open_enclave(&e, backend, a->enclave);
		if (!ret) {
			ret = attach_all(a, e);
			ghost_enclave_close(e);
		}
		backend->close(backend);
	}
	record_unlock(lock);
	return ret;
}

/* By somebody else: threads of their own, into an enclave that was given to them. */
static int attach_as_user(const struct arguments *a)
{
	struct ghost_backend *backend;
	struct ghost_enclave *e;
	int ret = open_own(&backend, &e, a->enclave);

	if (ret)
		return ret;
	ret = attach_all(a, e);
	ghost_enclave_close(e);
	backend->close(backend);
	return ret;
}

static int attach_main(int argc, char **argv)
{
	struct arguments a = { 0 };
	int ret = EXIT_FAILED;

	a.pids = calloc(argc, sizeof(*a.pids));
	a.trees = calloc(argc, sizeof(*a.trees));
	a.cgroups = calloc(argc, sizeof(*a.cgroups));
	if (a.pids && a.trees && a.cgroups) {
		options_parse(&verb_attach, options, parse, &a, argc, argv);
		ret = geteuid() ? attach_as_user(&a) : attach_as_root(&a);
	}
	free(a.cgroups);
	free(a.trees);
	free(a.pids);
	return ret;
}
