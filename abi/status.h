/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A status word: what is true of one thread now. The table of them is the
 * source of truth from which an agent can rebuild everything.
 * In: written by the kernel side. Out: read-only to agents.
 */
#ifndef GHOST_ABI_STATUS_H
#define GHOST_ABI_STATUS_H

#include <linux/types.h>

#include "abi/limits.h"

/* Low half of ghost_status.word. */
#define GHOST_STATUS_INUSE 0x1	  /* the slot belongs to a thread of this enclave */
#define GHOST_STATUS_RUNNABLE 0x2 /* waits in custody for a commit */
#define GHOST_STATUS_ONCPU 0x4	  /* committed to a CPU: runs, or is about to */
#define GHOST_STATUS_FALLBACK 0x8 /* runnable, and the kernel's fallback has it */
#define GHOST_STATUS_NEW 0x10	  /* its TASK_NEW is still to come */
#define GHOST_STATUS_LATCHED 0x20 /* with ONCPU: it is not there yet */

/*
 * @word is one 64-bit store: sequence number in the high half, flags in the
 * low half, so that a reader never sees the one without the other.
 * @gtid names one incarnation of a thread: pid in the low half, a counter in
 * the high half. It is written before @word says INUSE.
 */
struct ghost_status {
	__u64 word;
	__u64 gtid;
	__u32 tid;
	__u32 tgid;
	__u32 cpu;   /* where it runs or last ran */
	__u32 queue; /* which gets its messages */
	__u64 runtime_ns;
	__u64 switch_ns; /* when it was last put on a CPU by a commit */
	__s32 nice;
	__u32 weight;
	__u64 pad0;

	char comm[GHOST_COMM_LEN];
	__u64 cgroup;
	__u32 parent_tid;
	__u32 pad1[9];

	__u64 cpus[GHOST_CPU_WORDS]; /* its affinity */
};

_Static_assert(sizeof(struct ghost_status) == 256, "status layout");

static inline __u32 ghost_status_seq(__u64 word)
{
	return word >> 32;
}

static inline __u32 ghost_status_flags(__u64 word)
{
	return (__u32)word;
}

/* How the thread is, in a word for people. */
static inline const char *ghost_status_state(__u32 flags)
{
	if (flags & GHOST_STATUS_NEW)
		return "new";
	if (flags & GHOST_STATUS_ONCPU)
		return "running";
	if (flags & GHOST_STATUS_FALLBACK)
		return "fallback";
	return flags & GHOST_STATUS_RUNNABLE ? "waiting" : "blocked";
}

/*
 * The thread's name, to stand in a line of text: '?' for what is not ASCII, or no
 * character at all. Each thread gives itself its name: what moves a cursor or begins a
 * line, as U+009B and U+0085 do, too, would let it tell of others.
 */
static inline void ghost_status_name(const char comm[GHOST_COMM_LEN], char ret_name[GHOST_COMM_LEN])
{
	for (int i = 0; i < GHOST_COMM_LEN - 1; i++)
		ret_name[i] = !comm[i] || (comm[i] >= ' ' && comm[i] <= '~') ? comm[i] : '?';
	ret_name[GHOST_COMM_LEN - 1] = 0;
}

#endif
