// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages to people, and JSON to programs.
 * In: sentences, objects. Out: stderr, stdout. Called by every verb.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* One write, so that the lines of several processes do not mix. */
static void say_line(const char *format, va_list args, const char *tail)
{
	char line[2048];
	int len = snprintf(line, sizeof(line), "ghost: ");
	int max = (int)sizeof(line) - 256;

	len += vsnprintf(line + len, max - len, format, args);
	if (len > max - 1)
		len = max - 1;
	/* Sentences from elsewhere may end in a newline of their own. */
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	len += snprintf(line + len, sizeof(line) - len, "%s\n", tail);
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nobody listens */
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_line(format, args, "");
	va_end(args);
}

__attribute__((format(printf, 2, 3))) static void say_with(const char *tail, const char *format,
							   ...)
{
	va_list args;

	va_start(args, format);
	say_line(format, args, tail);
	va_end(args);
}

static char where[512]; /* "FILE:LINE:COLUMN: ", or "" */

void say_where(const char *path, int line, int column)
{
	where[0] = 0;
	if (path)
		snprintf(where, sizeof(where), "%s:%d:%d: ", path, line, column);
}

_Noreturn void usage_error(const struct verb *verb, const char *format, ...)
{
	char text[2048], tail[128];
	va_list args;

	if (verb)
		snprintf(tail, sizeof(tail), "; see 'ghost %s --help'", verb->name);
	else
		snprintf(tail, sizeof(tail), "; see 'ghost --help'");
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_with(tail, "%s%s", where, text);
	exit(EXIT_USAGE);
}

int exit_code_of(int err)
{
	switch (err) {
	case 0:
		return EXIT_OK;
	case -EPERM:
	case -EACCES:
		return EXIT_RIGHTS;
	case -EOPNOTSUPP:
		return EXIT_UNSUPPORTED;
	default:
		return EXIT_FAILED;
	}
}

json_t *json_text(const char *text)
{
	json_t *s = json_string(text);
	char *copy;

	if (s)
		return s;
	copy = strdup(text);
	if (!copy)
		return json_null();
	for (char *c = copy; *c; c++) {
		if (*c & 0x80)
			*c = '?';
	}
	s = json_string(copy);
	free(copy);
	return s ? s : json_null();
}

int json_print(json_t *object)
{
	int ret = json_dumpf(object, stdout, JSON_INDENT(2));

	json_decref(object);
	putchar('\n');
	return ret ? EXIT_FAILED : EXIT_OK;
}
