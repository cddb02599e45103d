/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The agent's side of the memory order of queues and transactions, and the
 * lock that agents of one process share.
 * In: nothing. Out: four words. For libghost and policies/runq.h.
 */
#ifndef GHOST_LIBGHOST_BARRIER_H
#define GHOST_LIBGHOST_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#define ghost_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ghost_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Without it a spinning vCPU keeps the others from running under emulation. */
static inline void ghost_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/*
 * A lock for a few instructions. Its holder may lose its CPU to a normal
 * thread; the others then wait for that long, so: never across a commit.
 */
struct ghost_lock {
	uint32_t taken;
};

static inline bool ghost_lock_try(struct ghost_lock *l)
{
	return !__atomic_load_n(&l->taken, __ATOMIC_RELAXED) &&
	       !__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE);
}

static inline void ghost_lock(struct ghost_lock *l)
{
	while (!ghost_lock_try(l))
		ghost_relax();
}

static inline void ghost_unlock(struct ghost_lock *l)
{
	__atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
}

#endif
