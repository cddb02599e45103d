/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel says of a process or thread in /proc. Internal to the
 * library and its commands.
 */
#ifndef GHOST_LIBGHOST_PROC_H
#define GHOST_LIBGHOST_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* More than the 52 fields that proc_pid_stat(5) has in 7.2, with the longest name. */
#define PROC_STAT_SIZE 1280

/*
 * The fields of /proc/@tid/stat from the third on, the state: "R 1 1 ...".
 * They are in @buf. NULL: there is no such thread.
 */
static inline const char *proc_stat(uint32_t tid, char buf[PROC_STAT_SIZE])
{
	char path[64];
	const char *c;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	buf[fread(buf, 1, PROC_STAT_SIZE - 1, f)] = 0;
	fclose(f);
	/* The name, in parentheses, may itself hold anything: also these, and line breaks. */
	c = strrchr(buf, ')');
	return c && c[1] == ' ' ? c + 2 : NULL;
}

#endif
