// SPDX-License-Identifier: GPL-2.0-only
/*
 * Configuration files: the options of `ghost serve`, a line each.
 * In: a file. Out: a command line, and where in the file each part of it stands,
 * so that whoever finds it wrong can say so. Called by run.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config.h"

#define SIZE_MAX_BYTES (64 * 1024)
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define BLANKS " \t\r"

struct entry {
	char *name;
	char *value;
	char *option; /* "--name=value"; NULL: none */
	int line;
	int name_column; /* from 1 */
	int value_column;
};

struct config {
	const struct verb *verb;
	const char *path;
	struct entry *entries;
	int nr;
};

/* Whose options are being parsed; a program reads one file. */
static struct config now;

/* --- reading ------------------------------------------------------------------------- */

static _Noreturn void wrong(int line, int column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static _Noreturn void wrong(int line, int column, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_where(now.path, line, column);
	usage_error(now.verb, "%s", text);
}

static char *read_whole(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = malloc(SIZE_MAX_BYTES + 1);
	size_t len;

	if (!f || !text) {
		say("cannot read %s: %s", path, strerror(errno));
		exit(EXIT_FAILED);
	}
	len = fread(text, 1, SIZE_MAX_BYTES + 1, f);
	if (ferror(f)) {
		say("cannot read %s: %s", path, strerror(errno));
		exit(EXIT_FAILED);
	}
	fclose(f);
	if (len > SIZE_MAX_BYTES)
		wrong(1, 1, "this is longer than %d bytes: no configuration", SIZE_MAX_BYTES);
	text[len] = 0;
	if (strlen(text) != len) {
		int line = 1;

		for (const char *c = text; *c; c++)
			line += *c == '\n';
		wrong(line, 1, "a byte 0 in this line: this is no text");
	}
	return text;
}

static const struct entry *find(const char *name)
{
	for (int i = 0; i < now.nr; i++)
		if (!strcmp(now.entries[i].name, name))
			return &now.entries[i];
	return NULL;
}

/* "name = value", without its newline. */
static void take_line(char *line, int number)
{
	char *name = line + strspn(line, BLANKS), *end = name + strcspn(name, "=" BLANKS);
	char *equals = end + strspn(end, BLANKS), *value;
	const struct entry *before;
	size_t len;

	if (!*name || *name == '#')
		return;
	if (strspn(name, NAME_CHARS) < (size_t)(end - name) || end == name)
		wrong(number, name - line + 1 + strspn(name, NAME_CHARS),
		      "names are small letters, digits and '-'; a line is 'name = value'");
	if (*equals != '=')
		wrong(number, equals - line + 1, "'=' is missing: a line is 'name = value'");
	value = equals + 1 + strspn(equals + 1, BLANKS);
	for (len = strlen(value); len && strchr(BLANKS, value[len - 1]);)
		value[--len] = 0;
	if (!len)
		wrong(number, value - line + 1, "the value is missing");
	*end = 0;
	before = find(name);
	if (before)
		wrong(number, name - line + 1, "'%s' was said before, in line %d", name,
		      before->line);
	now.entries = realloc(now.entries, (now.nr + 1) * sizeof(*now.entries));
	if (!now.entries)
		exit(EXIT_FAILED);
	now.entries[now.nr++] = (struct entry){
		.name = name,
		.value = value,
		.line = number,
		.name_column = name - line + 1,
		.value_column = value - line + 1,
	};
}

const char *config_read(const struct verb *verb, const char *path)
{
	char *text, *line;
	int number = 1;

	now = (struct config){ .verb = verb, .path = path };
	text = read_whole(path);
	while ((line = strsep(&text, "\n")))
		take_line(line, number++);
	if (!find("policy"))
		wrong(number - 1, 1, "no policy is named: 'policy = NAME' is missing");
	say_where(path, find("policy")->line, find("policy")->value_column);
	return find("policy")->value;
}

/* --- as a command line ----------------------------------------------------------------- */

static const struct argp_option *option_of(const struct argp_option *options, const char *name)
{
	for (; options->name || options->doc; options++)
		if (options->name && options->key != 'h' && !strcmp(options->name, name))
			return options;
	return NULL;
}

static _Noreturn void unknown(const struct entry *e, const struct argp_option *options)
{
	const char *names[128] = { "policy" }, *like;
	int nr = 1;

	for (; (options->name || options->doc) && nr < 127; options++)
		if (options->name && options->key != 'h')
			names[nr++] = options->name;
	like = nearest(e->name, names);
	wrong(e->line, e->name_column, "there is no '%s'%s%s%s", e->name,
	      like ? " (did you mean '" : "", like ? like : "", like ? "'?)" : "");
}

/* What is on or off on a command line is yes or no here. Returns false for no. */
static bool flag(const struct entry *e)
{
	bool yes;

	if (parse_bool(e->value, &yes))
		wrong(e->line, e->value_column, "%s wants yes or no, not '%s'", e->name, e->value);
	return yes;
}

char **config_argv(const struct argp_option *options, int *ret_argc)
{
	char **argv = calloc(now.nr + 2, sizeof(*argv));
	int argc = 0;

	if (!argv)
		exit(EXIT_FAILED);
	argv[argc++] = (char *)now.path;
	for (int i = 0; i < now.nr; i++) {
		struct entry *e = &now.entries[i];
		const struct argp_option *o = option_of(options, e->name);

		if (!strcmp(e->name, "policy"))
			continue;
		if (!o)
			unknown(e, options);
		if (!o->arg && !flag(e))
			continue;
		if (asprintf(&e->option, o->arg ? "--%s=%s" : "--%s", e->name, e->value) < 0)
			exit(EXIT_FAILED);
		argv[argc++] = e->option;
	}
	*ret_argc = argc;
	say_where(NULL, 0, 0);
	return argv;
}

void config_at(const char *option)
{
	for (int i = 0; option && i < now.nr; i++)
		if (now.entries[i].option == option)
			say_where(now.path, now.entries[i].line, now.entries[i].value_column);
}

void config_at_name(const char *name)
{
	const struct entry *e = find(name);

	say_where(e ? now.path : NULL, e ? e->line : 0, e ? e->value_column : 0);
}
