/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The agents' table of threads, indexed by slot like the status table.
 * In: messages and status words. Out: what is known of each thread and
 * whether it may be picked. Internal to the library.
 */
#ifndef GHOST_LIBGHOST_TASK_H
#define GHOST_LIBGHOST_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/status.h"
#include "libghost/barrier.h"
#include "libghost/hints_table.h"
#include "libghost/policy.h"

enum task_state {
	TASK_UNKNOWN = 0,
	TASK_BLOCKED,
	TASK_RUNNABLE, /* the policy has it */
	TASK_PICKED,   /* picked, and running if the commit went through */
};

/*
 * @lock makes callbacks about one thread come one at a time: two agents meet
 * only when a thread is committed by one while the other still handles a
 * change of its affinity or priority.
 */
struct ghost_task {
	struct hints *hints; /* where its hint is looked for; NULL: nowhere */
	struct task_hint hint;
	uint64_t gtid;
	uint32_t slot;
	uint16_t on; /* central: 1 + the CPU where it was put, until a message says it left */
	/* Central: 1 + the only CPU where it can run, while it waits to be picked; 0: several, or none. */
	uint16_t only;
	/* A new cache line: what each decision needs, and next to it what the policy does. */
	const struct ghost_status *status;
	struct ghost_lock lock;
	uint32_t state; /* enum task_state */
	uint32_t seq;	/* of the last message handled */
	bool bound;	/* until its next message it may only run where it ran last */
	bool waits;	/* central: it is counted among those that wait to be picked */
	char data[] __attribute__((aligned(16)));
};

_Static_assert(offsetof(struct ghost_task, data) == GHOST_TASK_DATA, "as policies expect");

struct task_table {
	char *memory;
	size_t stride;
	size_t size;
	uint32_t capacity;
	size_t task_size;
	const struct ghost_status *status;
	struct hints *hints; /* of all its threads; NULL: there are none */
};

int task_table_init(struct task_table *tt, uint32_t capacity, size_t task_size,
		    const struct ghost_status *status);
void task_table_fini(struct task_table *tt);

/* NULL for slots that no thread can have. */
static inline struct ghost_task *task_at(const struct task_table *tt, uint32_t slot)
{
	if (!slot || slot >= tt->capacity)
		return NULL;
	return (struct ghost_task *)(tt->memory + slot * tt->stride);
}

/* Begin a new life in @slot, whose entry is @t. */
void task_reset(struct task_table *tt, struct ghost_task *t, uint32_t slot, uint64_t gtid);

#endif
