/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fibers: functions that can stop in the middle and go on later.
 * In: a function, a size of stack. Out: it runs, piece by piece, when asked to.
 * Called by the engine, which makes a fiber of every agent.
 *
 * All of a process's fibers run on one thread, one at a time: what they do,
 * and in which order, only the caller decides.
 */
#ifndef GHOST_SIM_FIBER_H
#define GHOST_SIM_FIBER_H

#include <stdbool.h>
#include <stddef.h>

/* For agents, which call policies. */
#define FIBER_STACK (64 * 1024)

struct fiber;

/**
 * fiber_new() - a fiber that will run @main(@arg)
 * @stack: bytes; made a power of two, and 16 KiB at least. About 1 KiB of it
 *	   is taken by the fiber itself. Below it is a page that traps.
 *
 * Nothing runs before the first fiber_resume(). 0, -EINVAL for a @stack that
 * no machine has, or -ENOMEM.
 */
int fiber_new(struct fiber **ret, size_t stack, void (*main)(void *), void *arg);

/*
 * fiber_free() - @f never runs again; its stack serves the next one.
 * What it holds if it has not ended, it does not give back. Not from @f
 * itself; NULL is ignored.
 */
void fiber_free(struct fiber *f);

/*
 * fiber_resume() - run @f until it suspends itself or ends.
 * Not from within a fiber, nor of one that has ended.
 */
void fiber_resume(struct fiber *f);

/* fiber_suspend() - from within a fiber: return from the fiber_resume() that runs it. */
void fiber_suspend(void);

/* fiber_self() - the fiber that runs, or NULL outside of all. */
struct fiber *fiber_self(void);

/* fiber_ended() - has its function returned? */
bool fiber_ended(const struct fiber *f);

/* fiber_pool_drain() - give the stacks of freed fibers back to the system. */
void fiber_pool_drain(void);

#endif
