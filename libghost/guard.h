/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A guard against starvation: when threads of other classes keep a CPU to themselves,
 * those of an enclave there must not wait until the kernel throws the scheduler out, for
 * all enclaves, which it does after 30 s (runnable task stall, 7.3).
 * In: an enclave. Out: agents that get a little time; threads that get none back in the
 * fair class. Called by agents of the library for themselves, and by their keeper.
 */
#ifndef GHOST_LIBGHOST_GUARD_H
#define GHOST_LIBGHOST_GUARD_H

#include "libghost/enclave.h"

struct ghost_guard;

/* So often, in ns, is one to look. */
#define GHOST_GUARD_NS (2 * 1000 * 1000 * 1000ull)

/**
 * ghost_guard_open() - a guard for @e, which must stay open as long
 *
 * 0 or -ENOMEM; -EOPNOTSUPP where nobody starves: on a simulated machine.
 */
int ghost_guard_open(struct ghost_guard **ret, struct ghost_enclave *e);

/**
 * ghost_guard_look() - help those who have not run since the look before
 * @ret_tid: receives the last thread that was sent to the fair class; may be NULL
 *
 * An agent that has done nothing gets the CPU within a second, for a moment, if the
 * kernel can do that (ghost_backend.agent_nudge). An agent, a runnable thread for
 * which nobody decides, or one that was put on a CPU, that has had no time at all for
 * some 10 s is sent to the fair class, where it gets its share: a member leaves the enclave, and an agent
 * loses it. So is, after 16 s, one for which agents decide. Returns how many were.
 * Threads of our class in no enclave are sent there after 4 s as well, and not counted,
 * if the backend knows them.
 * To be called every GHOST_GUARD_NS, by one thread at a time; several guards do no
 * harm.
 */
unsigned int ghost_guard_look(struct ghost_guard *g, uint32_t *ret_tid);

/* NULL is fine. */
void ghost_guard_close(struct ghost_guard *g);

#endif
