/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes a sched_ext scheduler leave alone every thread that did not choose it.
 * In: an opened, not yet loaded object. Out: the flag in its sched_ext_ops.
 * Called by: fifo_load.c, rivals/hooks.c.
 */
#ifndef GHOST_BENCH_PARTIAL_H
#define GHOST_BENCH_PARTIAL_H

struct bpf_object;
struct bpf_map;

/* 0, or a negative errno: -EOPNOTSUPP where the kernel has no sched_ext. */
int partial_set(const struct bpf_object *obj, struct bpf_map *ops);

#endif
