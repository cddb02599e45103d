// SPDX-License-Identifier: GPL-2.0-only
/*
 * The `ghost` program: finds the verb and hands over.
 * In: the command line. Out: the verb's exit code.
 * Called by people, scripts, tests and the bench.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/record.h"

static int help_main(int argc, char **argv);

static const struct verb verb_help = {
	.name = "help",
	.args = "[VERB]",
	.help = "show what there is, or the options of a verb",
	.main = help_main,
};

/* In the order in which people need them. */
static const struct verb *const verbs[] = {
#ifdef HAVE_KERNEL
	&verb_check,   &verb_run,     &verb_serve,    &verb_agents, &verb_status, &verb_attach,
	&verb_upgrade, &verb_destroy, &verb_enclave,  &verb_load,   &verb_unload,
#endif
	&verb_sim,     &verb_bench,   &verb_policies, &verb_help,   NULL,
};

/* "set-cpus" of "enclave set-cpus" */
static const char *last_word(const struct verb *verb)
{
	const char *space = strrchr(verb->name, ' ');

	return space ? space + 1 : verb->name;
}

const struct verb *verb_find(const struct verb *of, const struct verb *const *list,
			     const char *name)
{
	const char *names[32] = { NULL }, *like;
	int nr = 0;

	for (; list[nr] && nr < 31; nr++) {
		names[nr] = last_word(list[nr]);
		if (!strcmp(names[nr], name))
			return list[nr];
	}
	like = nearest(name, names);
	usage_error(of, "there is no verb '%s'%s%s%s", name, like ? " (did you mean '" : "",
		    like ? like : "", like ? "'?)" : "");
}

void verbs_print(const struct verb *const *list)
{
	for (; *list; list++)
		printf("  %-10s %s\n", last_word(*list), (*list)->help);
}

static void print_help(void)
{
	printf("Usage: ghost VERB [OPTION...]\n"
	       "Lets a process decide which thread runs next, through sched_ext.\n\n");
	verbs_print(verbs);
	printf("\n"
	       "  --help     show this help; 'ghost VERB --help' shows the options of a verb\n"
	       "  --version  print the version\n\n"
	       "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not supported by this kernel,\n"
	       "4 no permission; 'ghost run' passes on the exit status of its command.\n");
}

static int help_main(int argc, char **argv)
{
	char *help[] = { NULL, "--help", NULL };
	const struct verb *verb;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help();
		return EXIT_OK;
	}
	if (argc > 2)
		usage_error(NULL, "help is about one verb, not also about '%s'", argv[2]);
	verb = verb_find(NULL, verbs, argv[1]);
	if (verb == &verb_help) {
		print_help();
		return EXIT_OK;
	}
	help[0] = argv[1];
	return verb->main(2, help);
}

/*
 * Started in an enclave, by a shell that is a member, neither we nor agents that we start
 * shall be: who looks after an enclave cannot wait until somebody decides for it.
 */
static void leave_class(void)
{
	struct sched_param param = { 0 };

	if ((sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) == POLICY_SCHED_EXT)
		sched_setscheduler(0, SCHED_OTHER, &param);
}

int main(int argc, char **argv)
{
	const struct verb *verb;
	int code;

	if (argc < 2)
		usage_error(NULL, "say what to do, for example 'ghost %s'", verbs[0]->name);
	if (!strcmp(argv[1], "--version")) {
		printf("ghost %s (abi %d)\n", VERSION, GHOST_ABI_VERSION);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help();
		return EXIT_OK;
	}
	if (argv[1][0] == '-')
		usage_error(NULL, "unknown option '%s' before the verb", argv[1]);
	verb = verb_find(NULL, verbs, argv[1]);
	leave_class();
	code = verb->main(argc - 1, argv + 1);

	/* A full disk must not look like success. */
	if (fflush(stdout) || ferror(stdout)) {
		say("cannot write to standard output: %s", strerror(errno));
		return code ? code : EXIT_FAILED;
	}
	return code;
}
