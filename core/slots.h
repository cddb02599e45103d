/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Slots: the dense numbers by which both sides name threads.
 * In: threads that join and leave. Out: a free slot, or 0. Called by event.h.
 */
#ifndef GHOST_CORE_SLOTS_H
#define GHOST_CORE_SLOTS_H

#include "core/port.h"

/* Losing a race this often in a row counts as "table full": the fallback takes the thread. */
#define SLOTS_TRIES 64

static __u32 slots_take(void)
{
	struct core_slots *s = port_slots();
	struct core_task *t;
	__u64 head;
	__u32 slot;
	int i;

	if (!s)
		return 0;
	for (i = 0; i < SLOTS_TRIES; i++) {
		head = *(volatile __u64 *)&s->head;
		slot = (__u32)head;
		if (!slot) {
			/* Never used slots are handed out in order: tables stay dense. */
			slot = port_load_acquire(&s->used);
			if (slot >= s->capacity)
				return 0;
			if (port_cmpxchg(&s->used, slot, slot + 1) == slot)
				return slot;
			continue;
		}
		t = port_task(slot);
		if (!t)
			return 0;
		if (port_cmpxchg64(&s->head, head, ((head >> 32) + 1) << 32 | t->next_free) == head)
			return slot;
	}
	return 0;
}

static void slots_give(__u32 slot)
{
	struct core_slots *s = port_slots();
	struct core_task *t = port_task(slot);
	__u64 head;
	int i;

	if (!s || !t)
		return;
	for (i = 0; i < SLOTS_TRIES; i++) {
		head = *(volatile __u64 *)&s->head;
		t->next_free = (__u32)head;
		if (port_cmpxchg64(&s->head, head, ((head >> 32) + 1) << 32 | slot) == head)
			return;
	}
	/* The slot is lost until the next load; the table shrinks by one, nothing breaks. */
}

#endif
