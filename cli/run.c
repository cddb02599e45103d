// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost run, ghost serve: the command line of a run, checked before anything is touched.
 * In: argv, the policy's table of parameters. Out: a struct run for the keeper.
 * Called by people.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/config.h"
#include "cli/run.h"
#include "policies/policies.h"

/* Of an enclave that is somebody else's, who could fill the table that all share. */
#define DELEGATED_THREADS 4096

#define STALL_NS_MIN (10ull * 1000 * 1000)

static int run_main(int argc, char **argv);
static int serve_main(int argc, char **argv);

const struct verb verb_run = {
	.name = "run",
	.args = "POLICY [POLICY OPTION...] -- COMMAND [ARG...]",
	.help = "run a command with a policy that decides which of its threads runs",
	.main = run_main,
};

const struct verb verb_serve = {
	.name = "serve",
	.args = "POLICY [POLICY OPTION...]\n--config=FILE",
	.help = "keep an enclave for threads that other commands put into it",
	.main = serve_main,
};

enum {
	KEY_CPUS = 0x100,
	KEY_STALL,
	KEY_ON_LOSS,
	KEY_RESTART,
	KEY_FALLBACK,
	KEY_CGROUP,
	KEY_USER,
	KEY_GROUP,
	KEY_MAX_THREADS,
	KEY_CONFIG,
	KEY_STATS,
	KEY_STATS_JSON,
	KEY_QUIET,
};

static const struct argp_option run_options[] = {
	{ "cpus", KEY_CPUS, "LIST", 0,
	  "the CPUs of the enclave, such as 0-3,6 (default: all online)", 0 },
	{ "stall", KEY_STALL, "DURATION", 0,
	  "give the agents up when a thread waits this long for a decision (default: 5s)", 0 },
	{ "on-loss", KEY_ON_LOSS, "WHAT", 0,
	  "when the agents fail: 'fallback', which runs the threads until the command ends "
	  "(default), 'restart' the agents, or 'destroy' the enclave, and the command goes on in "
	  "the fair class",
	  0 },
	{ "restart", KEY_RESTART, NULL, 0, "the same as --on-loss=restart", 0 },
	{ "fallback", KEY_FALLBACK, "NAME", 0,
	  "what the kernel runs threads by while no agents decide: 'fifo', slices of 5ms "
	  "(default); 'weighted', slices by nice value, 10ms at 0; or 'fair', who had least, by nice "
	  "value, is first",
	  0 },
	{ "cgroup", KEY_CGROUP, "DIR", 0,
	  "(serve) the threads of this cgroup and those below it, also later ones: a folder "
	  "below " CGROUP_ROOT ", such as system.slice/nginx.service",
	  0 },
	{ "user", KEY_USER, "NAME", 0,
	  "(serve none) this user may be the agents, by 'ghost agents', without any privilege", 0 },
	{ "group", KEY_GROUP, "NAME", 0, "(serve none) and the members of this group", 0 },
	{ "max-threads", KEY_MAX_THREADS, "N", 0,
	  "(serve) no more members than N at a time (default: as many as there is room for; with "
	  "--user or --group 4096)",
	  0 },
	{ "config", KEY_CONFIG, "FILE", 0,
	  "(serve) take the policy and all options from FILE: lines as 'policy = NAME', "
	  "'cpus = 0-3'; 'ghost check FILE' looks for errors in it",
	  0 },
	{ "stats", KEY_STATS, NULL, 0, "print a summary when the command has ended", 0 },
	{ "stats-json", KEY_STATS_JSON, "FILE", 0, "write the summary to FILE, as JSON", 0 },
	{ "quiet", KEY_QUIET, NULL, 0, "do not tell of agents that fail; errors are still told",
	  0 },
	OPTION_HELP,
};

#define NR_RUN_OPTIONS (sizeof(run_options) / sizeof(run_options[0]))

const struct ghost_policy policy_none = {
	.name = "none",
	.help = "the kernel's fallback, and whoever comes to be the agents",
};

struct arguments {
	struct run run;
	struct verb verb; /* as verb_run or verb_serve, with what --help says of policies */
	bool serves;	  /* without a command */
	bool cpus_given;
	bool restart;	     /* --restart */
	const char *on_loss; /* its word; or NULL */
	bool any_given;	     /* options, but --config */
	const char *config;
	char *policy_name;
};

/* --- values ------------------------------------------------------------------------ */

static void set_stall(struct arguments *a, const char *text)
{
	if (parse_duration(text, &a->run.stall_ns))
		usage_error(&a->verb, "--stall wants a duration such as 500ms or 5s, not '%s'",
			    text);
	if (a->run.stall_ns < STALL_NS_MIN || a->run.stall_ns > GHOST_STALL_NS_MAX)
		usage_error(&a->verb, "--stall must be from 10ms to 15s, not %s", text);
}

static void set_on_loss(struct arguments *a, const char *text)
{
	static const char *const names[] = {
		[LOSS_FALLBACK] = "fallback",
		[LOSS_RESTART] = "restart",
		[LOSS_DESTROY] = "destroy",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i])) {
			a->on_loss = names[i];
			a->run.on_loss = i;
			return;
		}
	usage_error(&a->verb, "--on-loss wants fallback, restart or destroy, not '%s'", text);
}

static void set_fallback(struct arguments *a, const char *text)
{
	for (uint32_t i = 0; i <= GHOST_FALLBACK_MAX; i++)
		if (!strcmp(text, ghost_fallback_name(i))) {
			a->run.fallback = i;
			return;
		}
	usage_error(&a->verb, "--fallback wants fifo, weighted or fair, not '%s'", text);
}

static void set_cgroup(struct arguments *a, const char *text)
{
	uint64_t number;
	int err;

	if (!a->serves)
		usage_error(&a->verb,
			    "--cgroup goes with 'ghost serve'; a command is put in by itself");
	err = parse_cgroup(text, &number);
	if (err)
		usage_error(&a->verb,
			    "--cgroup wants a folder below " CGROUP_ROOT ", not '%s' (%s)", text,
			    cgroup_error(err));
	a->run.cgroup = text;
}

static void set_user(struct arguments *a, const char *text)
{
	struct passwd *pw = getpwnam(text);
	uint64_t number;

	if (!pw && (parse_uint(text, &number) || number >= UINT32_MAX))
		usage_error(&a->verb, "there is no user '%s'", text);
	a->run.uid = pw ? pw->pw_uid : number;
	a->run.delegated = true;
}

static void set_group(struct arguments *a, const char *text)
{
	struct group *gr = getgrnam(text);
	uint64_t number;

	if (!gr && (parse_uint(text, &number) || number >= UINT32_MAX))
		usage_error(&a->verb, "there is no group '%s'", text);
	a->run.gid = gr ? gr->gr_gid : number;
	a->run.delegated = true;
}

static void set_max_threads(struct arguments *a, const char *text)
{
	uint64_t number;

	if (!a->serves)
		usage_error(&a->verb, "--max-threads goes with 'ghost serve'");
	if (parse_uint(text, &number) || !number || number > GHOST_SLOTS_MAX)
		usage_error(&a->verb, "--max-threads wants a number from 1 to %u, not '%s'",
			    GHOST_SLOTS_MAX, text);
	a->run.max_threads = number;
}

/* --- what goes together, once all is known ---------------------------------------------- */

static void check_on_loss(struct arguments *a)
{
	if (!a->restart)
		return;
	if (a->on_loss && a->run.on_loss != LOSS_RESTART) {
		config_at_name("on-loss");
		usage_error(&a->verb,
			    "--on-loss=%s and --restart, which is --on-loss=restart: take one",
			    a->on_loss);
	}
	a->run.on_loss = LOSS_RESTART;
}

static void check_delegation(struct arguments *a)
{
	if (a->run.policy == &policy_none && a->run.on_loss == LOSS_RESTART) {
		config_at_name(a->restart ? "restart" : "on-loss");
		usage_error(&a->verb, "there are no agents of 'none' to start again");
	}
	if (!a->run.delegated)
		return;
	if (a->run.policy != &policy_none) {
		config_at_name(a->run.uid != ~0u ? "user" : "group");
		usage_error(
			&a->verb,
			"--user and --group go with 'ghost serve none': the policy is the user's, "
			"who starts it by 'ghost agents'");
	}
	if (!a->run.max_threads)
		a->run.max_threads = DELEGATED_THREADS;
}

static const struct ghost_policy *policy_of(struct arguments *a, const char *name)
{
	if (a->serves && !strcmp(name, policy_none.name))
		return &policy_none;
	return param_policy(&a->verb, name);
}

/* --- the two halves of the command line ---------------------------------------------- */

static error_t parse_common(int key, char *arg, struct arguments *a)
{
	a->any_given |= key >= KEY_CPUS && key <= KEY_QUIET && key != KEY_CONFIG;
	switch (key) {
	case KEY_CPUS:
		parse_cpus(&a->verb, "--cpus", arg, &a->run.cpus);
		a->cpus_given = true;
		return 0;
	case KEY_STALL:
		set_stall(a, arg);
		return 0;
	case KEY_ON_LOSS:
		set_on_loss(a, arg);
		return 0;
	case KEY_RESTART:
		a->restart = true;
		return 0;
	case KEY_FALLBACK:
		set_fallback(a, arg);
		return 0;
	case KEY_CGROUP:
		set_cgroup(a, arg);
		return 0;
	case KEY_USER:
		set_user(a, arg);
		return 0;
	case KEY_GROUP:
		set_group(a, arg);
		return 0;
	case KEY_MAX_THREADS:
		set_max_threads(a, arg);
		return 0;
	case KEY_CONFIG:
		if (!a->serves)
			usage_error(&a->verb, "--config goes with 'ghost serve'");
		if (a->run.policy)
			usage_error(&a->verb, "a configuration file stands for the whole command "
					      "line, and cannot be part of one");
		a->config = arg;
		return 0;
	case KEY_STATS:
		a->run.stats = true;
		return 0;
	case KEY_STATS_JSON:
		a->run.stats_json = arg;
		return 0;
	case KEY_QUIET:
		a->run.quiet = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Up to the policy's name, which says what options come after it. */
static error_t parse_first(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->quoted)
			usage_error(&a->verb, "name a policy before '--'");
		a->policy_name = arg;
		/* The rest is for the second half, which starts at the name. */
		a->run.command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (a->config && (a->policy_name || a->any_given))
			usage_error(&a->verb,
				    "--config stands for the whole command line: no policy and no "
				    "other options go with it");
		if (!a->policy_name && !a->config)
			usage_error(&a->verb, a->serves ? "name a policy, or a file with --config" :
							  "name a policy and a command");
		return 0;
	default:
		return parse_common(key, arg, a);
	}
}

static error_t parse_second(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (a->serves)
			usage_error(&a->verb, "'%s' is one argument too many: it runs no command",
				    arg);
		/* All that follows belongs to the command, its options too. */
		a->run.command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!a->run.command && !a->serves)
			usage_error(&a->verb, "say which command to run, after '--'");
		return 0;
	default:
		if (key >= KEY_PARAM && key < KEY_PARAM + PARAMS_MAX) {
			a->run.params[key - KEY_PARAM] =
				param_parse(&a->verb, &a->run.policy->params[key - KEY_PARAM], arg);
			return 0;
		}
		return parse_common(key, arg, a);
	}
}

/* --- what --help shows ------------------------------------------------------------------ */

static char *list_policies(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f,
		"Policies ('ghost run POLICY --help' shows the options of one; 'ghost serve none'\n"
		"leaves the threads to the kernel's fallback until there are agents):\n");
	for (const struct ghost_policy *const *p = policies; *p; p++)
		fprintf(f, "  %-22s %s\n", (*p)->name, (*p)->help);
	fclose(f);
	return text;
}

/* --- what must be there --------------------------------------------------------------- */

/* 0, EXIT_NOT_FOUND or EXIT_CANNOT_RUN. */
static int look_at(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno == EACCES ? EXIT_CANNOT_RUN : EXIT_NOT_FOUND;
	return S_ISREG(st.st_mode) && !access(path, X_OK) ? EXIT_OK : EXIT_CANNOT_RUN;
}

/* Where execvp() will look, so that a slip of the pen costs nothing. */
static int find_command(const char *name)
{
	const char *path = getenv("PATH");
	int ret = EXIT_NOT_FOUND;
	char full[4096];

	if (strchr(name, '/'))
		return look_at(name);
	if (!*name)
		return EXIT_NOT_FOUND;
	for (path = path ? path : "/bin:/usr/bin"; path; path = strchr(path, ':')) {
		int len, one;

		path += *path == ':';
		len = strcspn(path, ":");
		snprintf(full, sizeof(full), "%.*s/%s", len ? len : 1, len ? path : ".", name);
		one = look_at(full);
		if (one == EXIT_OK)
			return one;
		if (one == EXIT_CANNOT_RUN)
			ret = one;
	}
	return ret;
}

static int check_command(const char *name)
{
	int ret = find_command(name);

	if (ret == EXIT_NOT_FOUND)
		say("%s: command not found", name);
	else if (ret)
		say("%s: cannot be executed", name);
	return ret;
}

/* From the policy's name on. */
static void parse_rest(struct arguments *a, int argc, char **argv)
{
	struct argp_option *options = param_options(run_options, NR_RUN_OPTIONS, a->run.policy);

	if (a->config)
		argv = config_argv(options, &argc);
	a->verb.more = a->run.policy->help;
	options_parse(&a->verb, options, parse_second, a, argc, argv);
	check_on_loss(a);
	check_delegation(a);
}

static int all_cpus(struct arguments *a)
{
	int err = a->cpus_given ? 0 : ghost_cpuset_online(&a->run.cpus);

	if (!err)
		return EXIT_OK;
	say("cannot tell which CPUs are online: %s", strerror(-err));
	return EXIT_FAILED;
}

/* Two files of one name are two services: the record wants it in full. */
static int configure(struct arguments *a)
{
	a->run.config = realpath(a->config, NULL);
	if (!a->run.config) {
		say("cannot read %s: %s", a->config, strerror(errno));
		return EXIT_FAILED;
	}
	if (strlen(a->run.config) >= sizeof(((struct record *)NULL)->config)) {
		say("the name %s is too long", a->run.config);
		return EXIT_FAILED;
	}
	a->run.policy = policy_of(a, config_read(&a->verb, a->config));
	param_defaults(a->run.policy, a->run.params);
	parse_rest(a, 0, NULL);
	say_where(NULL, 0, 0);
	return all_cpus(a);
}

int run_configure(const struct verb *verb, const char *path, struct run *ret)
{
	struct arguments a = {
		.verb = *verb,
		.serves = true,
		.config = path,
		.run = { .uid = ~0u, .gid = ~0u },
	};
	int code = configure(&a);

	*ret = a.run;
	return code;
}

/* All that can be said before anything is touched. Returns 0 or an exit code and has said why. */
static int prepare(const struct verb *verb, int argc, char **argv, struct run *ret_run)
{
	struct arguments a = {
		.verb = *verb,
		.serves = verb == &verb_serve,
		.run = { .uid = ~0u, .gid = ~0u },
	};
	char **rest;
	int ret;

	a.verb.more = list_policies();
	options_parse(&a.verb, param_options(run_options, NR_RUN_OPTIONS, NULL), parse_first, &a,
		      argc, argv);
	if (a.config) {
		ret = configure(&a);
	} else {
		a.run.policy = policy_of(&a, a.policy_name);
		param_defaults(a.run.policy, a.run.params);
		rest = a.run.command;
		a.run.command = NULL;
		parse_rest(&a, argc - (rest - argv), rest);
		ret = all_cpus(&a);
	}
	if (!ret && !a.serves)
		ret = check_command(a.run.command[0]);
	*ret_run = a.run;
	return ret ?: check_kernel();
}

int run_serve(int argc, char **argv, struct run *ret)
{
	return prepare(&verb_serve, argc, argv, ret);
}

static int run_main(int argc, char **argv)
{
	struct run run;

	return prepare(&verb_run, argc, argv, &run) ?: keeper_run(&run);
}

static int serve_main(int argc, char **argv)
{
	struct run run;

	return prepare(&verb_serve, argc, argv, &run) ?: keeper_run(&run);
}
