// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options: argp with errors in one sentence each, and the values options have.
 * In: a verb's table, argv. Out: calls of the verb's parser. Called by every verb.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config.h"

struct parse {
	const struct verb *verb;
	const struct argp_option *options;
	argp_parser_t parser;
	void *input;
	const struct argp *argp;
};

static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[64], len = strlen(b);

	if (len >= 64)
		return ~0u;
	for (unsigned int j = 0; j <= len; j++)
		row[j] = j;
	for (unsigned int i = 0; a[i]; i++) {
		unsigned int diagonal = row[0];

		row[0] = i + 1;
		for (unsigned int j = 0; j < len; j++) {
			unsigned int best = diagonal + (a[i] != b[j]);

			if (best > row[j] + 1)
				best = row[j] + 1;
			if (best > row[j + 1] + 1)
				best = row[j + 1] + 1;
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[len];
}

const char *nearest(const char *word, const char *const *names)
{
	/* Half of the letters may be wrong; more is no likeness. */
	unsigned int best = strlen(word) / 2 + 1;
	const char *ret = NULL;

	for (; *names; names++) {
		unsigned int d = distance(word, *names);

		if (!strncmp(word, *names, strlen(word)))
			d = 0;
		if (d < best) {
			best = d;
			ret = *names;
		}
	}
	return ret;
}

static unsigned int count_options(const struct argp_option *options)
{
	unsigned int n = 0;

	while (options[n].name || options[n].doc)
		n++;
	return n;
}

/* Options that @word, of @len letters, may stand for; *@ret is the last of them. */
static unsigned int match_options(const struct argp_option *options, const char *word, size_t len,
				  const struct argp_option **ret)
{
	unsigned int nr = 0;

	for (; options->name || options->doc; options++) {
		if (!options->name || strncmp(options->name, word, len))
			continue;
		*ret = options;
		if (strlen(options->name) == len)
			return 1;
		nr++;
	}
	return nr;
}

static _Noreturn void unknown_option(const struct parse *p, const char *word, size_t len)
{
	unsigned int nr = count_options(p->options);
	const char **names = calloc(nr + 1, sizeof(*names));
	char name[64] = "";
	const char *like = NULL;

	if (names && len < sizeof(name)) {
		unsigned int n = 0;

		memcpy(name, word, len);
		for (unsigned int i = 0; i < nr; i++) {
			if (p->options[i].name)
				names[n++] = p->options[i].name;
		}
		like = nearest(name, names);
	}
	if (like)
		usage_error(p->verb, "unknown option '--%.*s' (did you mean '--%s'?)", (int)len,
			    word, like);
	usage_error(p->verb, "unknown option '--%.*s'", (int)len, word);
}

/* Is there something wrong with @word? Then say it and exit. */
static void diagnose(const struct parse *p, const char *word)
{
	const struct argp_option *o = NULL;
	const char *name = word + 2;
	size_t len = strcspn(name, "=");

	if (word[0] != '-' || !word[1])
		return;
	if (word[1] != '-') {
		if (word[1] != 'h')
			usage_error(p->verb, "unknown option '-%c'", word[1]);
		return;
	}
	switch (match_options(p->options, name, len, &o)) {
	case 0:
		unknown_option(p, name, len);
	case 1:
		if (o->arg && !(o->flags & OPTION_ARG_OPTIONAL) && !name[len])
			usage_error(p->verb, "option '--%s' needs a value (%s)", o->name, o->arg);
		if (!o->arg && name[len])
			usage_error(p->verb, "option '--%s' takes no value", o->name);
		return;
	default:
		usage_error(p->verb, "option '--%.*s' is ambiguous", (int)len, name);
	}
}

/* argp knows only that an argument was wrong, not what to tell people. */
static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	const struct parse *p = state->input;

	switch (key) {
	case 'h': {
		char name[64];

		snprintf(name, sizeof(name), "ghost %s", p->verb->name);
		argp_help(p->argp, stdout,
			  ARGP_HELP_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG | ARGP_HELP_POST_DOC,
			  name);
		exit(fflush(stdout) ? EXIT_FAILED : EXIT_OK);
	}
	case ARGP_KEY_ERROR:
		if (state->next > 1)
			diagnose(p, state->argv[state->next - 1]);
		if (state->next < state->argc)
			diagnose(p, state->argv[state->next]);
		usage_error(p->verb, "the command line cannot be understood");
	default:
		if (state->next > 0 && state->next <= state->argc)
			config_at(state->argv[state->next - 1]);
		state->input = p->input;
		return p->parser(key, arg, state);
	}
}

void options_parse(const struct verb *verb, const struct argp_option *options, argp_parser_t parser,
		   void *input, int argc, char **argv)
{
	char *doc = NULL;
	struct argp argp = { .options = options, .parser = parse_key, .args_doc = verb->args };
	struct parse p = {
		.verb = verb, .options = options, .parser = parser, .input = input, .argp = &argp
	};

	if (asprintf(&doc, "%c%s.%s%s", toupper(verb->help[0]), verb->help + 1,
		     verb->more ? "\v" : "", verb->more ? verb->more : "") < 0)
		doc = NULL;
	argp.doc = doc;
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &p))
		usage_error(verb, "the command line cannot be understood");
	free(doc);
}

struct only_json {
	const struct verb *verb;
	bool json;
};

static error_t parse_only_json(int key, char *arg, struct argp_state *state)
{
	struct only_json *o = state->input;

	switch (key) {
	case 'j':
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		usage_error(o->verb, "%s takes no argument, and got '%s'", o->verb->name, arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

bool options_only_json(const struct verb *verb, int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, OPTION_HELP, { 0 } };
	struct only_json o = { .verb = verb };

	options_parse(verb, options, parse_only_json, &o, argc, argv);
	return o.json;
}

/* --- values ---------------------------------------------------------------------- */

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "s", 1000000000 },
	{ "ms", 1000000 },
	{ "us", 1000 },
	{ "ns", 1 },
};

#define NR_UNITS (sizeof(units) / sizeof(units[0]))

int parse_uint(const char *text, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end || errno)
		return -EINVAL;
	*ret = value;
	return 0;
}

int parse_cgroup(const char *text, uint64_t *ret)
{
	char path[PATH_MAX];
	struct stat st;
	int err = cgroup_find(text, path, &st);

	/* The number that the kernel calls it by (kernfs, 5.5), on 64 bit. */
	if (!err)
		*ret = st.st_ino;
	return err;
}

const char *cgroup_error(int err)
{
	switch (err) {
	case -EINVAL:
		return "that is the root of all cgroups";
	case -EXDEV:
		return "no cgroup of version 2 there";
	default:
		return strerror(-err);
	}
}

int parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t whole = 0, fraction = 0, scale = 1;
	const char *c = text;

	if (!strcmp(text, "inf")) {
		*ret_ns = GHOST_SLICE_INF;
		return 0;
	}
	if (!isdigit((unsigned char)*c))
		return -EINVAL;
	for (; isdigit((unsigned char)*c); c++) {
		if (whole > UINT64_MAX / 10 - 10)
			return -EINVAL;
		whole = whole * 10 + (*c - '0');
	}
	if (*c == '.') {
		for (c++; isdigit((unsigned char)*c); c++) {
			if (scale == 1000000000)
				return -EINVAL;
			fraction = fraction * 10 + (*c - '0');
			scale *= 10;
		}
		if (scale == 1)
			return -EINVAL;
	}
	if (!*c && !whole && !fraction) {
		*ret_ns = 0;
		return 0;
	}
	for (size_t i = 0; i < NR_UNITS; i++) {
		if (strcmp(c, units[i].name))
			continue;
		if (whole >= GHOST_SLICE_INF / units[i].ns - 1)
			return -EINVAL;
		*ret_ns = whole * units[i].ns + fraction * units[i].ns / scale;
		return 0;
	}
	return -EINVAL;
}

int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (int i = 0; i < 4; i++) {
		if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
			*ret = !strcmp(text, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

const char *format_duration(uint64_t ns, char *buf, size_t size)
{
	size_t i = 0;

	if (ns == GHOST_SLICE_INF)
		return "inf";
	if (!ns)
		return "0";
	/* The largest unit that loses nothing. */
	while (i < NR_UNITS - 1 && ns % units[i].ns)
		i++;
	snprintf(buf, size, "%llu%s", (unsigned long long)(ns / units[i].ns), units[i].name);
	return buf;
}

void parse_cpus(const struct verb *verb, const char *what, const char *list,
		struct ghost_cpuset *ret)
{
	struct ghost_cpuset online;
	char text[256];
	int err = ghost_cpuset_parse(ret, list);

	if (err == -ERANGE)
		usage_error(verb, "%s %s: CPUs are numbered from 0 to %d", what, list,
			    GHOST_CPUS_MAX - 1);
	if (err || ghost_cpuset_empty(ret))
		usage_error(verb, "%s wants a list such as 0-3,6, not '%s'", what, list);
	if (ghost_cpuset_online(&online))
		return; /* whoever asks for them will be told */
	ghost_cpuset_for_each(cpu, ret)
	{
		if (ghost_cpuset_has(&online, cpu))
			continue;
		ghost_cpuset_format(&online, text, sizeof(text));
		usage_error(verb, "%s %s: CPU %d is not online (online: %s)", what, list, cpu,
			    text);
	}
}

uint32_t parse_enclave(const struct verb *verb, const char *text)
{
	uint64_t id;

	if (parse_uint(text, &id) || !id || id >= GHOST_ENCLAVES_MAX)
		usage_error(verb, "'%s' is no enclave; they are numbered from 1 to %d", text,
			    GHOST_ENCLAVES_MAX - 1);
	return id;
}
