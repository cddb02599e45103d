/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hints: what an application says of its threads to the agents that schedule
 * them, in a page of memory that both have mapped.
 * In: written by the application. Out: read-only to agents, which believe
 * none of it: every word is read once and brought into its range.
 *
 * Also for applications, and so for C++.
 */
#ifndef GHOST_ABI_HINTS_H
#define GHOST_ABI_HINTS_H

#include <linux/types.h>

/* "ghosthnt", as bytes. */
#define GHOST_HINTS_MAGIC 0x746e6874736f6867ull
/* Changes with every incompatible change of this file; pages of another one are refused. */
#define GHOST_HINTS_VERSION 1

/* In one page: a power of two, at most this. */
#define GHOST_HINTS_ENTRIES_MAX 1024
/* Whose pages the agents of one enclave hold at a time; more are refused. */
#define GHOST_HINTS_PROCESSES_MAX 1024

/*
 * The seals of a page: SEAL, SHRINK, GROW, FUTURE_WRITE. Its size is for ever,
 * and nobody punches holes: an agent must never wait for one that is being made.
 */
#define GHOST_HINTS_SEALS 0x17

/* ghost_hint_entry.class_: smaller than 16; what it means is the policy's to say. */
#define GHOST_HINT_CLASS_DEFAULT 0 /* not said */
#define GHOST_HINT_CLASS_LATENCY 1 /* somebody waits for what it does */
#define GHOST_HINT_CLASS_BATCH 2   /* nobody does */
#define GHOST_HINT_CLASS_MAX 15

/* ghost_hint_entry.flags: one of them, or neither: not said */
#define GHOST_HINT_RUNNABLE 0x1 /* it has work */
#define GHOST_HINT_IDLE 0x2	/* it has none, even if it runs: it looks for some */

#define GHOST_HINT_EXPECTED_MAX_NS 3600000000000ull /* an hour */

/* The beginning of a page. Does not change once it is handed over. */
struct ghost_hints_header {
	__u64 magic;
	__u32 version;
	__u32 entry_size;
	__u32 size; /* of all: of this and of the entries */
	__u32 nr_entries;
	__u64 pad[5];
};

/*
 * One thread; a cache line, so that threads do not disturb each other. A thread
 * takes the first free one from number tid % nr_entries on.
 */
struct ghost_hint_entry {
	__u32 tid; /* whose; 0: nobody's */
	__u32 seq; /* odd while the others are being written */
	__u32 class_;
	__u32 flags;
	__u64 deadline_ns; /* CLOCK_MONOTONIC; 0: none */
	__u64 expected_ns; /* CPU time for what it has to do; 0: not said */
	__u64 pad[4];
};

/* What an application sends with the page, one packet: GHOST_HINTS_MAGIC. The answer: */
struct ghost_hints_answer {
	__s32 err;     /* 0 or a negative errno */
	__u32 version; /* the one that the agents know */
};

#ifndef __cplusplus /* which has another word for it */
_Static_assert(sizeof(struct ghost_hints_header) == 64, "hints layout");
_Static_assert(sizeof(struct ghost_hint_entry) == 64, "a hint is one cache line");
#endif

#endif
