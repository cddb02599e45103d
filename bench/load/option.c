// SPDX-License-Identifier: GPL-2.0-only
/*
 * Values of options: numbers.
 * In: text. Out: a number, or argp's usage error. Implements option.h.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "bench/load/option.h"

unsigned long option_number(struct argp_state *state, const char *what, const char *text,
			    unsigned long min, unsigned long max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value < min || value > max)
		argp_error(state, "%s wants a whole number from %lu to %lu, got '%s'", what, min,
			   max, text);
	return value;
}

double option_real(struct argp_state *state, const char *what, const char *text, double min,
		   double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value < min || value > max)
		argp_error(state, "%s wants a number from %g to %.15g, got '%s'", what, min, max,
			   text);
	return value;
}

int option_nice(struct argp_state *state, const char *what, const char *text)
{
	double value = option_real(state, what, text, -20, 19);

	if (value != (int)value)
		argp_error(state, "%s wants a whole number, got '%s'", what, text);
	return value;
}
