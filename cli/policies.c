// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost policies: which policies there are, and their parameters.
 * In: the table of policies. Out: text or JSON. Called by people and scripts.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "policies/policies.h"

static int policies_main(int argc, char **argv);

const struct verb verb_policies = {
	.name = "policies",
	.args = "",
	.help = "list the policies and their parameters",
	.main = policies_main,
};

static const char *const type_names[] = {
	[GHOST_PARAM_NS] = "duration", [GHOST_PARAM_UINT] = "uint",	[GHOST_PARAM_BOOL] = "bool",
	[GHOST_PARAM_TEXT] = "text",   [GHOST_PARAM_CGROUP] = "cgroup",
};

static const char *const model_names[] = {
	[GHOST_PER_CPU] = "per_cpu",
	[GHOST_CENTRAL] = "central",
};

static json_t *param_json(const struct ghost_param *p)
{
	/* JSON has no unsigned 64 bit: "inf" is the string people write. */
	json_t *value = p->value == GHOST_SLICE_INF ? json_string("inf") : json_integer(p->value);
	json_t *max = p->max > INT64_MAX ? json_string("inf") : json_integer(p->max);

	if (p->type == GHOST_PARAM_BOOL) {
		json_decref(value);
		value = json_boolean(p->value);
	} else if (p->type == GHOST_PARAM_TEXT) {
		json_decref(value);
		value = p->value ? json_string((const char *)(uintptr_t)p->value) : json_null();
	} else if (p->type == GHOST_PARAM_CGROUP && !p->value) {
		json_decref(value);
		value = json_null();
	}
	return json_pack("{s:s, s:s, s:o, s:I, s:o, s:s}", "name", p->name, "type",
			 type_names[p->type], "default", value, "min", (json_int_t)p->min, "max",
			 max, "help", p->help);
}

static int print_json(void)
{
	json_t *list = json_array();

	for (const struct ghost_policy *const *p = policies; *p; p++) {
		json_t *params = json_array();

		for (const struct ghost_param *q = (*p)->params; q && q->name; q++)
			json_array_append_new(params, param_json(q));
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", (*p)->name,
						      "help", (*p)->help, "model",
						      model_names[(*p)->model], "params", params));
	}
	return json_print(json_pack("{s:o}", "policies", list));
}

static void print_param(const struct ghost_param *p)
{
	char a[32], b[32], c[32];

	printf("    --%-16s %s ", p->name, p->help);
	switch (p->type) {
	case GHOST_PARAM_NS:
		printf("(%s; %s to %s)\n", format_duration(p->value, a, sizeof(a)),
		       format_duration(p->min, b, sizeof(b)),
		       format_duration(p->max, c, sizeof(c)));
		break;
	case GHOST_PARAM_UINT:
		printf("(%" PRIu64 "; %" PRIu64 " to %" PRIu64 ")\n", p->value, p->min, p->max);
		break;
	case GHOST_PARAM_BOOL:
		printf("(%s)\n", p->value ? "yes" : "no");
		break;
	case GHOST_PARAM_TEXT:
		printf("(text)\n");
		break;
	case GHOST_PARAM_CGROUP:
		printf("(cgroup)\n");
		break;
	}
}

static int policies_main(int argc, char **argv)
{
	bool json = options_only_json(&verb_policies, argc, argv);

	if (json)
		return print_json();
	for (const struct ghost_policy *const *p = policies; *p; p++) {
		printf("%-18s %s\n", (*p)->name, (*p)->help);
		for (const struct ghost_param *q = (*p)->params; q && q->name; q++)
			print_param(q);
	}
	return EXIT_OK;
}
