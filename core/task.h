/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a thread is to us.
 * In: one word that travels with the thread. Out: member, agent or stranger.
 * Called by the ops and by requests.
 */
#ifndef GHOST_CORE_TASK_H
#define GHOST_CORE_TASK_H

#include <linux/types.h>

#include "abi/limits.h"

/* Kind, enclave, and slot or CPU. 0, as a new thread has it, is a stranger. */
enum who_kind {
	WHO_STRANGER = 0,
	WHO_MEMBER = 1,
	WHO_AGENT = 2,
	WHO_SPINNER = 3, /* an agent that is in no class of ours */
};

#define WHO(kind, enclave, index) ((__u64)(kind) << 56 | (__u64)(enclave) << 32 | (__u32)(index))

static inline __u32 who_kind(__u64 who)
{
	return who >> 56;
}

static inline __u32 who_enclave(__u64 who)
{
	return (who >> 32) & (GHOST_ENCLAVES_MAX - 1);
}

static inline __u32 who_index(__u64 who)
{
	return (__u32)who;
}

#endif
