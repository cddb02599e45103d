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

/*
 * Kind, enclave, and slot or CPU. 0, as a new thread has it, is a stranger. Of one
 * who is about to come the enclave's generation, too: its id may be another one's by then.
 */
enum who_kind {
	WHO_STRANGER = 0,
	WHO_MEMBER = 1,
	WHO_AGENT = 2,
	WHO_SPINNER = 3, /* an agent that is in no class of ours */
};

#define WHO(kind, enclave, index) ((__u64)(kind) << 56 | (__u64)(enclave) << 32 | (__u32)(index))

#define WHO_GEN_MASK 0xffff
#define WHO_COMING(kind, enclave, gen, index) \
	(WHO(kind, enclave, index) | (__u64)((gen) & WHO_GEN_MASK) << 40)

static inline __u32 who_gen(__u64 who)
{
	return (who >> 40) & WHO_GEN_MASK;
}

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
