// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands in for two functions of libbpf when a rival is linked (ld's --wrap).
 * In: the rival's object before it is loaded. Out: the same in partial mode; one CPU.
 * Called by: the rivals, whose sources stay as they are. Built by: rivals/build.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "bench/partial.h"

int __real_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __wrap_libbpf_num_possible_cpus(void);

int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton)
{
	const struct bpf_object *obj = *skeleton->obj;
	struct bpf_map *map = NULL;

	while ((map = bpf_object__next_map(obj, map))) {
		int err;

		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		err = partial_set(obj, map);
		if (err) {
			fprintf(stderr, "cannot make %s partial: %s\n", bpf_map__name(map),
				strerror(-err));
			return err;
		}
	}
	return __real_bpf_object__load_skeleton(skeleton);
}

/*
 * Only for scx_userland. It keeps threads that may not run on all CPUs from its user
 * space, and all of the load's are pinned; bench/micro keeps everything on one CPU.
 */
int __wrap_libbpf_num_possible_cpus(void)
{
	return 1;
}
