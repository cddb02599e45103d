/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration files: the options of `ghost serve`, a line each.
 * In: a file. Out: a command line, and where in the file each part of it stands.
 * Called by run.c and option.c.
 */
#ifndef GHOST_CLI_CONFIG_H
#define GHOST_CLI_CONFIG_H

#include "cli/cli.h"

/*
 * config_read() - read the file at @path for @verb
 *
 * Returns the policy's name. Exits, and has said where the file is wrong.
 */
const char *config_read(const struct verb *verb, const char *path);

/*
 * config_argv() - what was read as a command line of @options, after the policy's name
 *
 * Exits, and has said where, when a name is none of theirs.
 */
char **config_argv(const struct argp_option *options, int *ret_argc);

/* What is wrong from here on is wrong with this element of config_argv(). */
void config_at(const char *option);
/* With the line that has this name; with none, if there is no such line, or no file. */
void config_at_name(const char *name);

#endif
