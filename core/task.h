/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a thread is to us.
 * In: one word that travels with the thread, and for agents that spin one of its own.
 * Out: member, agent or stranger.
 * Called by the ops and by requests.
 */
#ifndef GHOST_CORE_TASK_H
#define GHOST_CORE_TASK_H

#include <linux/types.h>

#include "abi/limits.h"

/*
 * Kind, enclave, and slot or CPU, in the low bits. 0, as a new thread has it, is a
 * stranger. In the high bits, of one who is about to come, the enclave's generation: its
 * id may be another one's by then. Of one who has waited for the fallback, its place
 * there: sched_ext keeps the order of a queue in the field that we travel in
 * (p->scx.dsq_vtime, 7.3), and compares all of it.
 */
enum who_kind {
	WHO_STRANGER = 0,
	WHO_MEMBER = 1,
	WHO_AGENT = 2,
	WHO_SPINNER = 3, /* an agent that is in no class of ours; not in the word that travels */
};

#define WHO_BITS 28
#define WHO(kind, enclave, index) ((__u64)((kind) << 26 | (enclave) << 20 | (index)))

_Static_assert(GHOST_SLOTS_MAX == 1u << 20 && GHOST_CPUS_MAX <= 1 << 20, "20 bits of index");
_Static_assert(GHOST_ENCLAVES_MAX == 1 << 6, "6 bits of enclave");

#define WHO_GEN_MASK 0xffff
#define WHO_COMING(kind, enclave, gen, index) \
	(WHO(kind, enclave, index) | (__u64)((gen) & WHO_GEN_MASK) << WHO_BITS)

static inline __u32 who_gen(__u64 who)
{
	return (who >> WHO_BITS) & WHO_GEN_MASK;
}

/* In the high bits of one that spins: which of its CPU's agents it is. */
#define WHO_SPINS(enclave, cpu, nth) (WHO(WHO_SPINNER, enclave, cpu) | (__u64)(nth) << WHO_BITS)

static inline __u32 who_nth(__u64 who)
{
	return who >> WHO_BITS;
}

static inline __u32 who_kind(__u64 who)
{
	return (who >> 26) & 3;
}

static inline __u32 who_enclave(__u64 who)
{
	return (who >> 20) & (GHOST_ENCLAVES_MAX - 1);
}

static inline __u32 who_index(__u64 who)
{
	return who & (GHOST_SLOTS_MAX - 1);
}

/*
 * @who at @time_ns in the order of a queue. 36 bits are left, in units of 256 ns: right
 * for all who wait within 2.4 hours of each other.
 */
static inline __u64 who_at(__u64 who, __u64 time_ns)
{
	return (time_ns >> 8) << WHO_BITS | (who & ((1ull << WHO_BITS) - 1));
}

#endif
