/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sizes both sides of the border agree on.
 * In: nothing. Out: constants. Used by everyone.
 */
#ifndef GHOST_ABI_LIMITS_H
#define GHOST_ABI_LIMITS_H

/* Changes with every incompatible change of a layout; see abi/layout.golden. */
#define GHOST_ABI_VERSION 1

/* Enclave ids are 1 .. GHOST_ENCLAVES_MAX - 1; 0 means "no enclave". */
#define GHOST_ENCLAVES_MAX 64

/* CPU ids are 0 .. GHOST_CPUS_MAX - 1 and index every per-CPU table directly. */
#define GHOST_CPUS_MAX 1024
#define GHOST_CPU_WORDS (GHOST_CPUS_MAX / 64)

/*
 * Thread slots are 1 .. capacity - 1. The capacity is chosen when the kernel
 * side is loaded. Slot 0 of a status table is the enclave's own record.
 */
#define GHOST_SLOTS_DEFAULT 16384
#define GHOST_SLOTS_MAX (1u << 20)

/* Messages in one queue: a power of two, so that positions may wrap freely. */
#define GHOST_QUEUE_LEN 512
#define GHOST_QUEUE_MASK (GHOST_QUEUE_LEN - 1)

#define GHOST_COMM_LEN 16

#endif
