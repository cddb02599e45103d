// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost unload: destroy what there is and take the scheduler out of the kernel.
 * In: --force. Out: no enclave, no pin, no sched_ext scheduler.
 * Called by people, packages and tests.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/record.h"

static int unload_main(int argc, char **argv);

const struct verb verb_unload = {
	.name = "unload",
	.args = "",
	.help = "destroy all enclaves and take ghOSt out of the kernel",
	.main = unload_main,
};

static const struct argp_option options[] = {
	{ "force", 'f', NULL, 0, "also while a 'ghost run' is using it", 0 },
	OPTION_HELP,
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *force = state->input;

	switch (key) {
	case 'f':
		*force = true;
		return 0;
	case ARGP_KEY_ARG:
		usage_error(&verb_unload, "unload takes no argument, and got '%s'", arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The enclave of a 'ghost run' that is still there, or 0. */
static uint32_t in_use(uint64_t present, struct record *ret)
{
	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		if (present >> id & 1 && !run_record_read(id, ret) && record_is_live(ret))
			return id;
	}
	return 0;
}

static void destroy_all(uint64_t present)
{
	struct ghost_backend *backend;

	/* One loaded by another version cannot be asked; unloading frees its threads too. */
	if (!present || ghost_kernel_open(&backend, NULL, 0))
		return;
	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		int ret = present >> id & 1 ? destroy_enclave(backend, id) : 0;

		if (ret)
			say("cannot destroy enclave %u (%s); its threads are freed by unloading",
			    id, strerror(-ret));
	}
	backend->close(backend);
}

static int unload_locked(bool force)
{
	char error[512] = "";
	struct record r;
	uint64_t present;
	uint32_t id;
	int ret;

	tidy();
	present = enclaves_present();
	id = force ? 0 : in_use(present, &r);
	if (id) {
		say("enclave %u is in use by 'ghost run' (pid %d, '%s'); end it first, or use "
		    "--force",
		    id, r.keeper.pid, r.command);
		return EXIT_FAILED;
	}
	destroy_all(present);
	ret = ghost_kernel_unload(error, sizeof(error));
	if (ret && ret != -ENOENT) {
		say("cannot unload: %s", error[0] ? error : strerror(-ret));
		return exit_code_of(ret);
	}
	for (id = 1; id < GHOST_ENCLAVES_MAX; id++)
		record_remove(id);
	intent_remove();
	automatic_unmark();
	return EXIT_OK;
}

static int unload_main(int argc, char **argv)
{
	bool force = false;
	int lock, ret;

	options_parse(&verb_unload, options, parse, &force, argc, argv);
	lock = record_lock();
	if (lock < 0)
		return say_no_lock(lock);
	ret = unload_locked(force);
	record_unlock(lock);
	return ret;
}
