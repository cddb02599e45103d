/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which folder is meant by the name of a cgroup (version 2). Internal to the
 * library and its commands.
 */
#ifndef GHOST_LIBGHOST_CGROUP_H
#define GHOST_LIBGHOST_CGROUP_H

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/*
 * The folder of @name, which is absolute or begins below CGROUP_ROOT, in @path and @st.
 * 0 or a negative errno; -EXDEV: it is no cgroup of version 2 below that; -EINVAL: it is
 * the root, or nothing is named. The threads of the root are those of the whole machine,
 * which a slip of the pen must not come to.
 */
static inline int cgroup_find(const char *name, char path[PATH_MAX], struct stat *st)
{
	const size_t len = sizeof(CGROUP_ROOT) - 1;
	char text[PATH_MAX];
	struct stat above;
	struct statfs fs;

	if (!*name)
		return -EINVAL;
	if (snprintf(text, sizeof(text), "%s%s", *name == '/' ? "" : CGROUP_ROOT "/", name) >=
	    (int)sizeof(text))
		return -ENAMETOOLONG;
	if (!realpath(text, path) || stat(path, st) || statfs(path, &fs))
		return -errno;
	if (!S_ISDIR(st->st_mode))
		return -ENOTDIR;
	if (fs.f_type != CGROUP2_SUPER_MAGIC || strncmp(path, CGROUP_ROOT, len) ||
	    (path[len] && path[len] != '/'))
		return -EXDEV;
	/* The root need not be that folder itself: below it are others beside version 1. */
	if (snprintf(text, sizeof(text), "%s/..", path) >= (int)sizeof(text))
		return -ENAMETOOLONG;
	if (stat(text, &above))
		return -errno;
	return above.st_dev == st->st_dev ? 0 : -EINVAL;
}

#endif
