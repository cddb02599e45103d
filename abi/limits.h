/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sizes both sides of the border agree on.
 * In: nothing. Out: constants. Used by everyone.
 */
#ifndef GHOST_ABI_LIMITS_H
#define GHOST_ABI_LIMITS_H

/* Changes with every incompatible change of a layout; see abi/layout.golden. */
#define GHOST_ABI_VERSION 3

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

/*
 * Queues are named by their index in the table of CPUs: each CPU of an enclave
 * has the one of its own number, and GHOST_QUEUES_MADE further entries are for
 * queues that agents make.
 */
#define GHOST_QUEUES_MADE 64
#define GHOST_QUEUE_NONE (~0u)

/* Messages in the queue of a CPU; lengths are powers of two, so that positions may wrap. */
#define GHOST_QUEUE_LEN 512
#define GHOST_QUEUE_LEN_MAX 65536
/* Messages in all queues that the agents of an enclave make, unless it was created otherwise. */
#define GHOST_RING_DEFAULT 65536
/* Agents that the messages of one queue can wake. */
#define GHOST_WAKES_MAX 4

/* The shortest and the longest time for which a timer can be armed; less would keep the kernel busy. */
#define GHOST_TIMER_MIN_NS 10000
#define GHOST_TIMER_MAX_NS (86400ull * 1000 * 1000 * 1000)

#define GHOST_COMM_LEN 16

#endif
