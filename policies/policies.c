// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The table of policies, sorted by name.
 * In: one constant per file. Out: policies[]. Implements policies.h.
 */
#include <string.h>

#include "policies/policies.h"

extern const struct ghost_policy policy_fifo_central;
extern const struct ghost_policy policy_fifo_percpu;
extern const struct ghost_policy policy_shinjuku;
extern const struct ghost_policy policy_shinjuku_shenango;
extern const struct ghost_policy policy_sol;

const struct ghost_policy *const policies[] = {
	&policy_fifo_central,	   &policy_fifo_percpu, &policy_shinjuku,
	&policy_shinjuku_shenango, &policy_sol,		NULL,
};

const struct ghost_policy *policies_find(const char *name)
{
	for (int i = 0; policies[i]; i++)
		if (!strcmp(policies[i]->name, name))
			return policies[i];
	return NULL;
}
