/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The agents' side of hints: pages that processes gave, and the look-up of a
 * thread's entry in that of its process.
 * In: a socket. Out: hints in their ranges. Internal to the library.
 */
#ifndef GHOST_LIBGHOST_HINTS_TABLE_H
#define GHOST_LIBGHOST_HINTS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "libghost/barrier.h"
#include "libghost/policy.h"

struct ghost_backend;
struct hints;

/* What is known of one thread's hint since it was last asked for. */
struct task_hint {
	struct ghost_lock lock; /* agents may ask for it at the same time */
	uint16_t at; /* where its entry is, or the search goes on, from tid % nr_entries */
	bool known;  /* @last is one, of page @gen */
	uint32_t gen;
	struct ghost_hint last;
};

/* For a new thread; not while anybody asks. */
void task_hint_reset(struct task_hint *th);

/**
 * hints_open() - a place for hints, without any yet
 *
 * 0 or -ENOMEM. Asks @b->hint_entry, if it has that, and otherwise pages.
 */
int hints_open(struct hints **ret, struct ghost_backend *b);

/**
 * hints_listen() - take pages from applications from now on
 * @dir: the folder for the socket; made if it is not there
 *
 * Starts a thread, a normal one. 0, or a negative errno of a system call:
 * then there are no hints, and nothing else is amiss.
 */
int hints_listen(struct hints *h, const char *dir, uint32_t enclave);

/* Ends the thread; only when nobody can ask any more. NULL is fine. */
void hints_close(struct hints *h);

/* ghost_task_hint(), for @t of this place. */
bool hints_read(struct hints *h, struct ghost_task *t, struct ghost_hint *ret);

#endif
