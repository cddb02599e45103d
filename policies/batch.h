/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which threads are batch: nobody waits for what they do.
 * In: nice value, name, cgroup and hint of a thread; what the user says of
 * them. Out: yes or no. For policies that know such threads.
 */
#ifndef GHOST_POLICIES_BATCH_H
#define GHOST_POLICIES_BATCH_H

#include "abi/hints.h"
#include "libghost/policy.h"

/* Of a policy's table of parameters, one after the other. */
#define BATCH_NICE                          \
	"nice", GHOST_PARAM_UINT, 0, 0, 19, \
		"threads of a nice value above this are batch; 19: none is by that"
#define BATCH_NAME \
	"batch", GHOST_PARAM_TEXT, 0, 0, 0, "so are threads of such a name, as in 'make*'"
#define BATCH_CGROUP                                     \
	"batch-cgroup", GHOST_PARAM_CGROUP, 0, 0, ~0ull, \
		"so are threads in this cgroup; not those in cgroups below it"

/*
 * Is @t? @first: index of BATCH_NICE. Whom the user calls batch no hint makes
 * anything better.
 */
static inline bool thread_is_batch(const struct ghost_agent *a, const struct ghost_task *t,
				   unsigned int first)
{
	const char *name = ghost_agent_param_text(a, first + 1);
	uint64_t cgroup = ghost_agent_param(a, first + 2);
	struct ghost_hint hint;

	return ghost_task_nice(t) > (int32_t)ghost_agent_param(a, first) ||
	       (name && ghost_task_named(t, name)) || (cgroup && ghost_task_cgroup(t) == cgroup) ||
	       (ghost_task_hint(t, &hint) && hint.class_ == GHOST_HINT_CLASS_BATCH);
}

#endif
