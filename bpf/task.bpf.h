/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who a thread is to us.
 * In: its vtime field. Out: member, agent or stranger. For ghost.bpf.c and ctl.bpf.h.
 */
#ifndef GHOST_BPF_TASK_H
#define GHOST_BPF_TASK_H

#include "abi/limits.h"
#include "bpf/kernel.bpf.h"

/*
 * Who a thread is to us travels in its own vtime field, which nothing else
 * uses as long as no DSQ is ordered by it: kind, enclave, and slot or CPU. It
 * is written when the thread enters our class, so leftovers of another
 * scheduler never count.
 */
enum who_kind {
	WHO_STRANGER = 0,
	WHO_MEMBER = 1,
	WHO_AGENT = 2,
};

#define WHO(kind, enclave, index) ((u64)(kind) << 56 | (u64)(enclave) << 32 | (u32)(index))

static __always_inline u32 who_kind(u64 who)
{
	return who >> 56;
}

static __always_inline u32 who_enclave(u64 who)
{
	return (who >> 32) & (GHOST_ENCLAVES_MAX - 1);
}

static __always_inline u32 who_index(u64 who)
{
	return (u32)who;
}

#endif
