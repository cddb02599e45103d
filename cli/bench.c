// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost bench: run an experiment of the source tree.
 * In: its name and options; GHOST_SOURCE. Out: what bench/NAME prints, its exit
 * code. Called by people.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static int bench_main(int argc, char **argv);

const struct verb verb_bench = {
	.name = "bench",
	.args = "[EXPERIMENT [OPTION...]]",
	.help = "run an experiment: a figure or a table of the paper",
	.more = "Without one, lists them. They are programs of the source tree, which is found from "
		"where this program lies, or is what GHOST_SOURCE says; 'ghost bench NAME --help' "
		"shows the options of one.",
	.main = bench_main,
};

static const struct {
	const char *name;
	const char *help;
} experiments[] = {
	{ "faults", "agents that are killed, upgrades, ends: for how long nobody decides" },
	{ "fig5", "transactions per second of one global agent (Figure 5)" },
	{ "fig6", "requests of which few are long, and batch beside them (Figure 6)" },
	{ "micro", "what switches, messages and commits cost (Table 3)" },
	{ "profile", "the instructions of a hand-over, function by function" },
	{ "sim", "how fast the simulator is" },
};

#define NR_EXPERIMENTS (sizeof(experiments) / sizeof(experiments[0]))

/* The folder in which the experiments are. 0 or a negative errno. */
static int find_folder(char *ret, size_t size)
{
	const char *source = getenv("GHOST_SOURCE");
	char self[PATH_MAX];
	ssize_t len;

	if (source && *source) {
		if ((size_t)snprintf(ret, size, "%s/bench", source) >= size)
			return -ENAMETOOLONG;
		return access(ret, X_OK) ? -errno : 0;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return -errno;
	self[len] = '\0';
	/* TREE/build/cli/ghost */
	for (int i = 0; i < 3; i++) {
		char *slash = strrchr(self, '/');

		if (!slash)
			return -ENOENT;
		*slash = '\0';
	}
	if ((size_t)snprintf(ret, size, "%s/bench", self) >= size)
		return -ENAMETOOLONG;
	return access(ret, X_OK) ? -errno : 0;
}

static void list(void)
{
	for (size_t i = 0; i < NR_EXPERIMENTS; i++)
		printf("  %-10s %s\n", experiments[i].name, experiments[i].help);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

static int bench_main(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_HELP, { 0 } };
	const char *names[NR_EXPERIMENTS + 1] = { NULL };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *like;
	size_t i;
	int err;

	if (argc < 2) {
		list();
		return EXIT_OK;
	}
	/* What follows the name is for the experiment. */
	if (argv[1][0] == '-') {
		options_parse(&verb_bench, options, parse, NULL, argc, argv);
		return EXIT_OK;
	}
	for (i = 0; i < NR_EXPERIMENTS && strcmp(experiments[i].name, argv[1]); i++)
		names[i] = experiments[i].name;
	if (i == NR_EXPERIMENTS) {
		like = nearest(argv[1], names);
		usage_error(&verb_bench, "there is no experiment '%s'%s%s%s", argv[1],
			    like ? " (did you mean '" : "", like ? like : "", like ? "'?)" : "");
	}
	err = find_folder(folder, sizeof(folder));
	if (err || (size_t)snprintf(path, sizeof(path), "%s/%s", folder, argv[1]) >= sizeof(path)) {
		say("the experiments are not where they should be (%s): they are part of the "
		    "source tree; say where that is with GHOST_SOURCE=DIR",
		    strerror(err ? -err : ENAMETOOLONG));
		return EXIT_FAILED;
	}
	execv(path, argv + 1);
	say("cannot run %s: %s", path, strerror(errno));
	return EXIT_FAILED;
}
