/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Values of options, as the load programs take them.
 * In: what somebody wrote. Out: a value, or a sentence and exit status 2.
 * Called by the argp parsers of the load programs and applications.
 */
#ifndef GHOST_BENCH_LOAD_OPTION_H
#define GHOST_BENCH_LOAD_OPTION_H

#include <argp.h>

/* option_number() - a whole number from @min to @max; @what names the option. */
unsigned long option_number(struct argp_state *state, const char *what, const char *text,
			    unsigned long min, unsigned long max);

/* option_real() - a number from @min to @max, decimals allowed. */
double option_real(struct argp_state *state, const char *what, const char *text, double min,
		   double max);

/* option_nice() - a nice value. */
int option_nice(struct argp_state *state, const char *what, const char *text);

#endif
