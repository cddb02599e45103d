// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost attach: processes that already run become members of an enclave.
 * In: an enclave, pids. Out: all their threads are members. Called by people.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/record.h"

static int attach_main(int argc, char **argv);

const struct verb verb_attach = {
	.name = "attach",
	.args = "ENCLAVE PID...",
	.help = "let the policy of an enclave schedule processes that already run",
	.more = "All threads of the processes become members, and so will their children. They go "
		"back to the fair class when the enclave ends.",
	.main = attach_main,
};

struct arguments {
	uint32_t enclave;
	unsigned int nr;
	uint32_t *pids;
};

static const struct argp_option options[] = { OPTION_HELP, { 0 } };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	uint64_t pid;

	switch (key) {
	case ARGP_KEY_ARG:
		if (!a->enclave) {
			a->enclave = parse_enclave(&verb_attach, arg);
			return 0;
		}
		if (parse_uint(arg, &pid) || !pid || pid > INT32_MAX)
			usage_error(&verb_attach, "'%s' is no process id", arg);
		a->pids[a->nr++] = pid;
		return 0;
	case ARGP_KEY_END:
		if (!a->enclave)
			usage_error(&verb_attach, "say which enclave, and which processes");
		if (!a->nr)
			usage_error(&verb_attach, "say which processes, by their pids");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Agents must stay above what they schedule, and keepers must be able to clean up. */
static bool is_ours(uint32_t pid)
{
	struct record r;

	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		if (run_record_read(id, &r))
			continue;
		if ((r.keeper.pid == (pid_t)pid && process_alive(&r.keeper)) ||
		    (r.agent.pid == (pid_t)pid && process_alive(&r.agent)))
			return true;
	}
	return false;
}

static int attach_one(struct ghost_enclave *e, uint32_t pid)
{
	int ret;

	if (is_ours(pid)) {
		say("process %u belongs to a 'ghost run' itself; attach its command instead", pid);
		return EXIT_FAILED;
	}
	ret = ghost_enclave_join_process(e, pid);
	if (ret == -ESRCH)
		say("there is no process %u", pid);
	else if (ret == -ENOENT)
		say("enclave %u is going away", ghost_enclave_id(e));
	else if (ret)
		say("process %u cannot join enclave %u: %s", pid, ghost_enclave_id(e),
		    strerror(-ret));
	return exit_code_of(ret);
}

static int attach_main(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct ghost_backend *backend;
	struct ghost_enclave *e;
	int lock, ret;

	a.pids = calloc(argc, sizeof(*a.pids));
	if (!a.pids)
		return EXIT_FAILED;
	options_parse(&verb_attach, options, parse, &a, argc, argv);
	lock = record_lock();
	if (lock < 0) {
		free(a.pids);
		return say_no_lock(lock);
	}
	tidy();
	ret = open_kernel(&backend);
	if (ret)
		goto unlock;
	ret = open_enclave(&e, backend, a.enclave);
	if (ret)
		goto close_backend;
	for (unsigned int i = 0; i < a.nr; i++)
		ret = attach_one(e, a.pids[i]) ?: ret;
	ghost_enclave_close(e);
close_backend:
	backend->close(backend);
unlock:
	record_unlock(lock);
	free(a.pids);
	return ret;
}
