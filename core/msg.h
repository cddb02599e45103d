/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages: the thread's sequence number, its status word and the record in
 * the queue, always advanced together and in that order.
 * In: an event of a thread. Out: a message its agent can read. Called by event.h.
 */
#ifndef GHOST_CORE_MSG_H
#define GHOST_CORE_MSG_H

#include "core/port.h"
#include "core/queue.h"

/* What the status word says of each state. */
static __u32 status_flags(__u32 state)
{
	/* Not to be picked now, whatever becomes of the claim. */
	if (state >= CORE_TASK_CLAIMED)
		return GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU;
	switch (state) {
	case CORE_TASK_NEW:
		return GHOST_STATUS_INUSE | GHOST_STATUS_NEW;
	case CORE_TASK_BLOCKED:
		return GHOST_STATUS_INUSE;
	case CORE_TASK_CUSTODY:
		return GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE;
	case CORE_TASK_LATCHED:
		return GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU;
	case CORE_TASK_FALLBACK:
		return GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK;
	default:
		return 0;
	}
}

/* One store, so that number and flags always belong together. */
static void status_publish(const struct core_task *t, struct ghost_status *st)
{
	port_store_release64(&st->word, (__u64)t->seq << 32 | status_flags(t->state));
}

static int enclave_online(const struct core_enclave *e)
{
	return port_load_acquire(&e->state) == GHOST_ENCLAVE_ONLINE;
}

/*
 * An event happened to thread @t: advance its number, publish its state, and
 * tell its agent. The caller has set t->state and what only it knows of @m:
 * type, slot, cpu, flags, reason, nice. Without agents the number still
 * advances; whoever takes over finds the state in the table.
 */
static void msg_send(const struct core_enclave *e, struct core_task *t, struct ghost_status *st,
		     struct ghost_msg *m)
{
	struct ghost_cpu_rw *rw;
	struct ghost_cpu *page;

	t->seq++;
	status_publish(t, st);
	if (!enclave_online(e))
		return;
	page = port_cpu_page(t->enclave, t->queue);
	rw = port_cpu_rw(t->enclave, t->queue);
	if (!page || !rw)
		return;
	m->seq = t->seq;
	m->gtid = t->gtid;
	m->runtime_ns = st->runtime_ns;
	queue_push(&page->queue, &rw->queue_tail, m);
	/* After the message: a commit made without having seen it is refused. */
	port_fetch_add(&page->agent_seq, 1);
}

#endif
