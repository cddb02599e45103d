// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost check: can ghOSt run on this system? Is this configuration right?
 * In: ghost_kernel_check(), a file. Out: a table, or JSON, and an exit code.
 * Called by people before anything else, and by run before it loads.
 */
#include <stdio.h>
#include <string.h>

#include "cli/run.h"

#define COLUMNS 80

static int check_main(int argc, char **argv);

const struct verb verb_check = {
	.name = "check",
	.args = "[CONFIG]",
	.help = "look whether ghOSt can run on this system, or whether a configuration is right",
	.more = "With CONFIG, a file for 'ghost serve --config', only that is looked at: exit status 0 "
		"it is right, 2 something in it is wrong. Otherwise: 0 ghOSt can run, 1 another "
		"sched_ext scheduler is loaded, 3 the kernel lacks something, 4 only the rights are "
		"missing.",
	.main = check_main,
};

static bool is_missing(const struct ghost_check *c)
{
	return c->required && !c->ok;
}

/* What is missing, as an exit code: the kernel, the rights, or only a free place. */
static int code_of(const struct ghost_check *c)
{
	if (!strcmp(c->name, "rights"))
		return EXIT_RIGHTS;
	return strcmp(c->name, "scheduler") ? EXIT_UNSUPPORTED : EXIT_FAILED;
}

static int verdict(const struct ghost_check *checks, int nr)
{
	static const int worst_first[] = { EXIT_UNSUPPORTED, EXIT_RIGHTS, EXIT_FAILED };

	for (int k = 0; k < 3; k++) {
		for (int i = 0; i < nr; i++) {
			if (is_missing(&checks[i]) && code_of(&checks[i]) == worst_first[k])
				return worst_first[k];
		}
	}
	return EXIT_OK;
}

int say_no_rights(void)
{
	say("no permission: loading a scheduler and changing threads needs root");
	return EXIT_RIGHTS;
}

int say_no_lock(int err)
{
	if (exit_code_of(err) == EXIT_RIGHTS)
		return say_no_rights();
	say("cannot take the lock in /run/ghost: %s", strerror(-err));
	return EXIT_FAILED;
}

int say_other_scheduler(const char *name)
{
	say("the sched_ext scheduler '%s' is loaded, and only one can be; stop it first", name);
	return EXIT_FAILED;
}

int check_system(void)
{
	struct ghost_check checks[GHOST_CHECKS_MAX];
	int nr = ghost_kernel_check(checks);
	int code;

	if (nr < 0) {
		say("cannot look at this system: %s", strerror(-nr));
		return exit_code_of(nr);
	}
	code = verdict(checks, nr);
	for (int i = 0; code && i < nr; i++) {
		const struct ghost_check *c = &checks[i];

		if (!is_missing(c) || code_of(c) != code)
			continue;
		if (code == EXIT_RIGHTS)
			return say_no_rights();
		if (code == EXIT_FAILED)
			return say_other_scheduler(c->found);
		say("this system lacks '%s' (found: %s); see 'ghost check'", c->name, c->found);
		break;
	}
	return code;
}

int check_kernel(void)
{
	struct ghost_kernel_info info;
	int ret = ghost_kernel_info(&info);

	if (!ret && info.loaded && !info.ejected)
		return EXIT_OK;
	return check_system();
}

static int print_json(const struct ghost_check *checks, int nr)
{
	json_t *list = json_array();
	int code = verdict(checks, nr);
	json_t *object;

	for (int i = 0; i < nr; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:b, s:b, s:o, s:o}", "name", checks[i].name,
						"ok", checks[i].ok, "required", checks[i].required,
						"found", json_text(checks[i].found), "cure",
						json_text(checks[i].cure)));
	object = json_pack("{s:b, s:o}", "usable", code == EXIT_OK, "checks", list);
	return json_print(object) ? EXIT_FAILED : code;
}

/* In lines of words, each @indent columns from the left. */
static void print_cure(int indent, const char *text)
{
	int column = printf("%*s->", indent, "");

	while (*text) {
		int len = strcspn(text, " ");

		if (column + 1 + len > COLUMNS)
			column = printf("\n%*s", indent + 2, "") - 1;
		column += printf(" %.*s", len, text);
		text += len;
		text += *text == ' ';
	}
	putchar('\n');
}

static int print_table(const struct ghost_check *checks, int nr)
{
	int width = 0, code = verdict(checks, nr);
	const char *comma = "";

	for (int i = 0; i < nr; i++) {
		if ((int)strlen(checks[i].name) > width)
			width = strlen(checks[i].name);
	}
	for (int i = 0; i < nr; i++) {
		const struct ghost_check *c = &checks[i];

		printf("%-*s  %-8s %s\n", width, c->name,
		       c->ok ? "ok" : (c->required ? "missing" : "absent"), c->found);
		if (!c->ok && c->cure[0])
			print_cure(width + 2 + 8 + 1, c->cure);
	}
	putchar('\n');
	if (code == EXIT_OK) {
		printf("This system can run ghOSt.\n");
		return code;
	}
	if (code == EXIT_FAILED) {
		printf("This system can run ghOSt once the other scheduler is stopped.\n");
		return code;
	}
	printf("This system cannot run ghOSt%s; missing: ",
	       code == EXIT_RIGHTS ? " for this user" : "");
	for (int i = 0; i < nr; i++) {
		if (!is_missing(&checks[i]))
			continue;
		printf("%s%s", comma, checks[i].name);
		comma = ", ";
	}
	printf(".\n");
	return code;
}

/* --- a configuration -------------------------------------------------------------- */

static int check_config(const char *path, bool json)
{
	struct run run = { 0 };
	int code = run_configure(&verb_check, path, &run);
	char cpus[256];

	if (code)
		return code;
	ghost_cpuset_format(&run.cpus, cpus, sizeof(cpus));
	if (json)
		return json_print(json_pack("{s:o, s:b, s:s, s:s}", "config", json_text(run.config),
					    "ok", true, "policy", run.policy->name, "cpus", cpus));
	printf("%s: %s for CPUs %s%s%s\n", path, run.policy->name, cpus,
	       run.cgroup ? " and the threads of " : "", run.cgroup ?: "");
	return EXIT_OK;
}

struct arguments {
	const char *config;
	bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'j':
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (a->config)
			usage_error(&verb_check, "check looks at one file, and '%s' is another one",
				    arg);
		a->config = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int check_main(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, OPTION_HELP, { 0 } };
	struct ghost_check checks[GHOST_CHECKS_MAX];
	struct arguments a = { 0 };
	int nr;

	options_parse(&verb_check, options, parse, &a, argc, argv);
	if (a.config)
		return check_config(a.config, a.json);
	nr = ghost_kernel_check(checks);
	if (nr < 0) {
		say("cannot look at this system: %s", strerror(-nr));
		return exit_code_of(nr);
	}
	return a.json ? print_json(checks, nr) : print_table(checks, nr);
}
