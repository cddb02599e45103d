// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost agents: be the agents of an enclave that somebody else keeps, without any
 * privilege if it was given to us.
 * In: an enclave, a policy. Out: that policy at work, until a signal. Called by people.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "libghost/agent.h"
#include "libghost/hints.h"

/* How often to look whether they still decide. */
#define LOOK_MS 200

static int agents_main(int argc, char **argv);

const struct verb verb_agents = {
	.name = "agents",
	.args = "ENCLAVE POLICY [POLICY OPTION...]",
	.help = "decide for an enclave that was given to you, without privileges",
	.more = "The enclave is one of 'ghost enclave create none --user=NAME'. The policy decides "
		"until Ctrl-C, then the kernel's fallback does. Put threads of your own in by 'ghost "
		"attach'.",
	.main = agents_main,
};

enum {
	KEY_WAIT = 0x100,
	KEY_HINTS,
};

static const struct argp_option agents_options[] = {
	{ "wait", KEY_WAIT, NULL, 0, "if there are agents, take over when they end", 0 },
	{ "hints", KEY_HINTS, "DIR", 0,
	  "listen for hints of applications in DIR/hints_ENCLAVE; let " GHOST_HINTS_ENV
	  " name it for them (default: nowhere)",
	  0 },
	OPTION_HELP,
};

#define NR_OPTIONS (sizeof(agents_options) / sizeof(agents_options[0]))

struct arguments {
	struct verb verb; /* as verb_agents, with the help of its policy */
	uint32_t id;
	char *policy_name;
	char **rest;
	const struct ghost_policy *policy;
	uint64_t params[PARAMS_MAX];
	bool wait;
	bool told; /* that we wait */
	char *hints;
};

/* --- the command line ------------------------------------------------------------------- */

static error_t parse_common(int key, char *arg, struct arguments *a)
{
	switch (key) {
	case KEY_WAIT:
		a->wait = true;
		return 0;
	case KEY_HINTS:
		a->hints = realpath(arg, NULL);
		if (!a->hints)
			usage_error(&a->verb, "--hints wants a folder, not '%s' (%s)", arg,
				    strerror(errno));
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
		if (!a->id) {
			a->id = parse_enclave(&a->verb, arg);
			return 0;
		}
		a->policy_name = arg;
		a->rest = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!a->policy_name)
			usage_error(&a->verb, "name an enclave and a policy");
		return 0;
	default:
		return parse_common(key, arg, a);
	}
}

static error_t parse_second(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	if (key == ARGP_KEY_ARG)
		usage_error(&a->verb, "'%s' is one argument too many", arg);
	if (key < KEY_PARAM || key >= KEY_PARAM + PARAMS_MAX)
		return parse_common(key, arg, a);
	a->params[key - KEY_PARAM] =
		param_parse(&a->verb, &a->policy->params[key - KEY_PARAM], arg);
	return 0;
}

static void parse(struct arguments *a, int argc, char **argv)
{
	options_parse(&a->verb, param_options(agents_options, NR_OPTIONS, NULL), parse_first, a,
		      argc, argv);
	a->policy = param_policy(&a->verb, a->policy_name);
	param_defaults(a->policy, a->params);
	a->verb.more = a->policy->help;
	options_parse(&a->verb, param_options(agents_options, NR_OPTIONS, a->policy), parse_second,
		      a, argc - (a->rest - argv), a->rest);
}

/* --- deciding ------------------------------------------------------------------------------ */

/* Returns a signal, or 0 after @ms. */
static int heard(int ms)
{
	struct timespec limit = { .tv_nsec = ms * 1000000l };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	ms = sigtimedwait(&set, NULL, &limit);
	return ms > 0 ? ms : 0;
}

static void signals_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int say_cannot(const struct arguments *a, const struct ghost_backend *b, int err)
{
	if (err == -EBUSY && !a->wait)
		say("enclave %u has agents already; --wait takes over when they end", a->id);
	else if (err == -ENOENT)
		say("enclave %u is going away", a->id);
	else
		say("cannot start the agents of %s: %s", a->policy->name,
		    b->error[0] ? b->error : strerror(-err));
	return exit_code_of(err);
}

#define CAME_LATE (-1000) /* no signal has this number */

/*
 * 0; CAME_LATE: others that waited, too, took it first; a signal came meanwhile: it,
 * negative; or an exit code, and has said why.
 */
static int take(struct arguments *a, struct ghost_agents *agents, struct ghost_backend *b)
{
	int err, signal;

	for (;;) {
		err = ghost_agents_take(agents, a->wait ? 1 : 0);
		if (err == -EBUSY && a->wait)
			return CAME_LATE;
		if (err != -ETIMEDOUT)
			return err ? say_cannot(a, b, err) : 0;
		if (!a->told)
			say("waiting for the agents of enclave %u to end", a->id);
		a->told = true;
		signal = heard(LOOK_MS / 10);
		if (signal)
			return -signal;
	}
}

static void tell(const struct arguments *a, const struct ghost_agents *agents,
		 const struct ghost_enclave *e)
{
	struct ghost_cpuset cpus;
	char list[256];

	ghost_enclave_cpus(e, &cpus);
	ghost_cpuset_format(&cpus, list, sizeof(list));
	printf("enclave %u: %s decides for CPUs %s\n", a->id, a->policy->name, list);
	if (a->hints && !ghost_agents_hints(agents))
		printf("hints: %s=%s/hints_%u\n", GHOST_HINTS_ENV, a->hints, a->id);
	else if (a->hints)
		say("cannot listen for hints in %s: %s; the policy does without", a->hints,
		    strerror(-ghost_agents_hints(agents)));
	fflush(stdout);
}

/* Until a signal, or until they decide no more. */
static int keep(const struct arguments *a, struct ghost_agents *agents,
		const struct ghost_enclave *e)
{
	const struct ghost_enclave_status *st = ghost_enclave_status(e);

	do {
		if (heard(LOOK_MS))
			return EXIT_OK;
	} while (ghost_agents_wait(agents, 0) && !kernel_ejected());
	if (kernel_ejected())
		say("the kernel ejected ghOSt; the threads go on in the fair class");
	else if (st->state == GHOST_ENCLAVE_DYING || st->state == GHOST_ENCLAVE_FREE)
		say("enclave %u was destroyed; its threads go on in the fair class", a->id);
	else
		say("enclave %u was lost (%s, %u); the kernel's fallback runs the threads", a->id,
		    ghost_lost_reason_name(st->lost_reason), st->lost_arg);
	return EXIT_FAILED;
}

static int decide(struct arguments *a, struct ghost_backend *b, struct ghost_enclave *e)
{
	struct ghost_agents_opts opts = { .size = sizeof(opts), .params = a->params };
	struct ghost_agents *agents;
	int ret;

	for (;;) {
		ret = ghost_agents_prepare(&agents, e, a->policy, &opts);
		if (ret)
			return say_cannot(a, b, ret);
		ret = take(a, agents, b);
		if (ret != CAME_LATE)
			break;
		/* Each may hold some of the CPUs; they are not to try again at the same time. */
		ghost_agents_stop(agents);
		ret = heard(LOOK_MS / 10 + getpid() % LOOK_MS);
		if (ret)
			return EXIT_OK;
	}
	if (!ret) {
		tell(a, agents, e);
		ret = keep(a, agents, e);
	}
	ghost_agents_stop(agents);
	return ret < 0 ? EXIT_OK : ret;
}

int open_own(struct ghost_backend **ret, struct ghost_enclave **ret_enclave, uint32_t id)
{
	char error[512] = "";
	int err = ghost_kernel_open_enclave(ret, id, error, sizeof(error));

	if (err) {
		say("%s", error[0] ? error : strerror(-err));
		return exit_code_of(err);
	}
	err = open_enclave(ret_enclave, *ret, id);
	if (err)
		(*ret)->close(*ret);
	return err;
}

static int agents_main(int argc, char **argv)
{
	struct arguments a = { .verb = verb_agents };
	struct ghost_backend *backend;
	struct ghost_enclave *enclave;
	int ret;

	parse(&a, argc, argv);
	signals_block();
	ret = open_own(&backend, &enclave, a.id);
	if (ret)
		return ret;
	if (a.hints)
		backend->hints_dir = a.hints;
	ret = decide(&a, backend, enclave);
	ghost_enclave_close(enclave);
	backend->close(backend);
	return ret;
}
