// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost load: put ghOSt into the kernel, to stay there until it is unloaded.
 * In: --threads. Out: a loaded kernel side without enclaves.
 * Called by people and services that start many runs, or want another size.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/record.h"

#define THREADS_MIN 64

static int load_main(int argc, char **argv);

const struct verb verb_load = {
	.name = "load",
	.args = "",
	.help = "put ghOSt into the kernel, to stay until 'ghost unload'",
	.more = "'ghost run' loads by itself what is not there, and unloads it with the last "
		"enclave. Loaded by this verb it stays, and starting a run is quicker.",
	.main = load_main,
};

struct arguments {
	uint64_t threads; /* 0: the default */
};

static const struct argp_option options[] = {
	{ "threads", 't', "N", 0,
	  "room for so many threads in all enclaves together (default: 16383)", 0 },
	OPTION_HELP,
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 't':
		if (parse_uint(arg, &a->threads))
			usage_error(&verb_load, "--threads wants a whole number, not '%s'", arg);
		if (a->threads < THREADS_MIN || a->threads > GHOST_SLOTS_MAX - 1)
			usage_error(&verb_load, "--threads must be from %d to %u, not %s",
				    THREADS_MIN, GHOST_SLOTS_MAX - 1, arg);
		return 0;
	case ARGP_KEY_ARG:
		usage_error(&verb_load, "load takes no argument, and got '%s'", arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* It is there already: let it stay, if it is what was asked for. */
static int keep_loaded(const struct arguments *a, const struct ghost_kernel_info *info)
{
	if (a->threads && a->threads + 1 != info->capacity) {
		say("ghOSt is loaded already, with room for %u threads; 'ghost unload' first",
		    info->capacity - 1);
		return EXIT_FAILED;
	}
	automatic_unmark();
	return EXIT_OK;
}

static int load_locked(const struct arguments *a)
{
	struct intent in = { .loading = true };
	struct ghost_kernel_info info;
	char error[512] = "";
	int ret;

	tidy();
	ret = ghost_kernel_info(&info);
	if (!ret && info.loaded && !info.ejected)
		return keep_loaded(a, &info);
	if (!ret && info.ejected) {
		say("the kernel ejected ghOSt (%s); 'ghost unload' first", info.reason);
		return EXIT_FAILED;
	}
	/* Killed while loading, it leaves pins: the next command removes them. */
	process_of(getpid(), &in.keeper);
	ret = intent_write(&in);
	if (ret) {
		say("cannot write to /run/ghost: %s", strerror(-ret));
		return exit_code_of(ret);
	}
	ret = ghost_kernel_load(a->threads ? a->threads + 1 : 0, error, sizeof(error));
	if (ret)
		say("cannot load the kernel side: %s", error[0] ? error : strerror(-ret));
	intent_remove();
	return exit_code_of(ret);
}

static int load_main(int argc, char **argv)
{
	struct arguments a = { 0 };
	int lock, ret;

	options_parse(&verb_load, options, parse, &a, argc, argv);
	ret = check_kernel();
	if (ret)
		return ret;
	lock = record_lock();
	if (lock < 0)
		return say_no_lock(lock);
	ret = load_locked(&a);
	record_unlock(lock);
	return ret;
}
