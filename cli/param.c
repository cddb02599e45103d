// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policies on the command line: finding one by name, its parameters as
 * options.
 * In: the tables of policies. Out: rows for argp, values. Called by run.c and
 * sim.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "policies/policies.h"

const struct ghost_policy *param_policy(const struct verb *verb, const char *name)
{
	const struct ghost_policy *policy = policies_find(name);
	const char *names[64] = { NULL };
	char list[512] = "";
	const char *like;
	size_t len;
	int n = 0;

	if (policy)
		return policy;
	for (; policies[n] && n < 63; n++) {
		names[n] = policies[n]->name;
		len = strlen(list);
		snprintf(list + len, sizeof(list) - len, "%s%s", n ? ", " : "", names[n]);
	}
	like = nearest(name, names);
	if (like)
		usage_error(verb, "there is no policy '%s' (did you mean '%s'? there are: %s)",
			    name, like, list);
	usage_error(verb, "there is no policy '%s' (there are: %s)", name, list);
}

uint64_t param_parse(const struct verb *verb, const struct ghost_param *p, const char *text)
{
	char low[32], high[32];
	uint64_t value = 0;
	bool yes = true;
	int err;

	switch (p->type) {
	case GHOST_PARAM_NS:
		if (parse_duration(text, &value))
			usage_error(verb,
				    "--%s wants a duration such as 500us, 10ms or inf, not '%s'",
				    p->name, text);
		if (value < p->min || value > p->max)
			usage_error(verb, "--%s must be from %s to %s, not %s", p->name,
				    format_duration(p->min, low, sizeof(low)),
				    format_duration(p->max, high, sizeof(high)), text);
		break;
	case GHOST_PARAM_UINT:
		if (parse_uint(text, &value))
			usage_error(verb, "--%s wants a whole number, not '%s'", p->name, text);
		if (value < p->min || value > p->max)
			usage_error(verb, "--%s must be from %" PRIu64 " to %" PRIu64 ", not %s",
				    p->name, p->min, p->max, text);
		break;
	case GHOST_PARAM_BOOL:
		if (text && parse_bool(text, &yes))
			usage_error(verb, "--%s wants yes or no, not '%s'", p->name, text);
		value = yes;
		break;
	case GHOST_PARAM_TEXT:
		value = (uintptr_t)text;
		break;
	case GHOST_PARAM_CGROUP:
		/* What a policy compares is the number: it need not be there now. */
		err = !parse_uint(text, &value) && value ? 0 : parse_cgroup(text, &value);
		if (err)
			usage_error(verb,
				    "--%s wants a folder below " CGROUP_ROOT
				    " or a cgroup's number, not '%s' (%s)",
				    p->name, text, cgroup_error(err));
		break;
	}
	return value;
}

static char *param_help(const struct ghost_param *p)
{
	char value[32], low[32], high[32];
	char *text = NULL;
	int n = -1;

	switch (p->type) {
	case GHOST_PARAM_NS:
		n = asprintf(&text, "%s (%s to %s, default: %s)", p->help,
			     format_duration(p->min, low, sizeof(low)),
			     format_duration(p->max, high, sizeof(high)),
			     format_duration(p->value, value, sizeof(value)));
		break;
	case GHOST_PARAM_UINT:
		n = asprintf(&text, "%s (%" PRIu64 " to %" PRIu64 ", default: %" PRIu64 ")",
			     p->help, p->min, p->max, p->value);
		break;
	case GHOST_PARAM_BOOL:
		n = asprintf(&text, "%s (default: %s)", p->help, p->value ? "yes" : "no");
		break;
	case GHOST_PARAM_TEXT:
	case GHOST_PARAM_CGROUP:
		n = asprintf(&text, "%s", p->help);
		break;
	}
	return n < 0 ? NULL : text;
}

static unsigned int count_params(const struct ghost_policy *policy)
{
	unsigned int n = 0;

	while (policy->params && policy->params[n].name && n < PARAMS_MAX)
		n++;
	return n;
}

void param_defaults(const struct ghost_policy *policy, uint64_t *values)
{
	for (unsigned int i = 0; i < count_params(policy); i++)
		values[i] = policy->params[i].value;
}

struct argp_option *param_options(const struct argp_option *own, size_t nr_own,
				  const struct ghost_policy *policy)
{
	static const char *const args[] = {
		[GHOST_PARAM_NS] = "DURATION",	 [GHOST_PARAM_UINT] = "N",
		[GHOST_PARAM_BOOL] = "yes|no",	 [GHOST_PARAM_TEXT] = "TEXT",
		[GHOST_PARAM_CGROUP] = "CGROUP",
	};
	unsigned int nr = policy ? count_params(policy) : 0;
	struct argp_option *options = calloc(nr_own + nr + 2, sizeof(*options));
	struct argp_option *o = options;
	char *title;

	if (!options)
		exit(EXIT_FAILED);
	memcpy(o, own, nr_own * sizeof(*own));
	o += nr_own;
	if (!nr)
		return options;
	if (asprintf(&title, "Options of %s:", policy->name) < 0)
		exit(EXIT_FAILED);
	*o++ = (struct argp_option){ .doc = title, .group = 2 };
	for (unsigned int i = 0; i < nr; i++) {
		const struct ghost_param *p = &policy->params[i];

		*o++ = (struct argp_option){
			.name = p->name,
			.key = KEY_PARAM + i,
			.arg = args[p->type],
			.flags = p->type == GHOST_PARAM_BOOL ? OPTION_ARG_OPTIONAL : 0,
			.doc = param_help(p),
			.group = 2,
		};
	}
	return options;
}

static bool is_text(const struct ghost_param *p)
{
	return p->type == GHOST_PARAM_TEXT;
}

void param_dump(const struct ghost_policy *policy, const uint64_t *values, char *buf, size_t size)
{
	json_t *list = json_array();
	char *text;

	for (unsigned int i = 0; i < count_params(policy); i++)
		json_array_append_new(list,
				      is_text(&policy->params[i]) ?
					      json_text((const char *)(uintptr_t)values[i] ?: "") :
					      json_integer(values[i]));
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	snprintf(buf, size, "%s", text && strlen(text) < size ? text : "");
	free(text);
}

bool param_load(const struct ghost_policy *policy, const char *dump, uint64_t *values)
{
	json_t *list = json_loads(dump, 0, NULL);
	bool ok = list && json_array_size(list) == count_params(policy);
	const char *text;
	json_t *value;

	param_defaults(policy, values);
	for (unsigned int i = 0; ok && i < count_params(policy); i++) {
		value = json_array_get(list, i);
		text = json_string_value(value);
		if (!is_text(&policy->params[i]))
			values[i] = json_integer_value(value);
		else if (text && *text)
			values[i] = (uintptr_t)strdup(text);
	}
	json_decref(list);
	return ok;
}
