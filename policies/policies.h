/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policies that come with ghOSt, sorted by name.
 * In: one file per policy. Out: the table by which programs find them.
 */
#ifndef GHOST_POLICIES_POLICIES_H
#define GHOST_POLICIES_POLICIES_H

#include "libghost/policy.h"

/* Ends with NULL. */
extern const struct ghost_policy *const policies[];

/* The policy called @name, or NULL. */
const struct ghost_policy *policies_find(const char *name);

#endif
