/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages: the thread's sequence number, its status word and the record in
 * the queue, always advanced together and in that order.
 * In: an event of a thread. Out: a message its agent can read. Called by event.h.
 */
#ifndef GHOST_CORE_MSG_H
#define GHOST_CORE_MSG_H

#include "core/agent.h"
#include "core/port.h"
#include "core/queue.h"

/* What the status word says of each state. */
static __u32 status_flags(__u32 state)
{
	switch (state) {
	case CORE_TASK_NEW:
		return GHOST_STATUS_INUSE | GHOST_STATUS_NEW;
	case CORE_TASK_BLOCKED:
		return GHOST_STATUS_INUSE;
	case CORE_TASK_CUSTODY:
		return GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE;
	case CORE_TASK_LATCHED:
	case CORE_TASK_RUNNING:
		return GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU;
	case CORE_TASK_FALLBACK:
		return GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK;
	default:
		return 0;
	}
}

/* One store, so that number and flags always belong together. */
static void status_publish(const struct core_task *t, __u32 slot)
{
	struct ghost_status *st = port_status(t->enclave, slot);

	if (!st)
		return;
	st->queue = t->queue;
	port_store_release64(&st->word, (__u64)t->seq << 32 | status_flags(t->state));
}

static int enclave_online(__u32 enclave)
{
	const struct core_enclave *e = port_enclave(enclave);

	return e && port_load_acquire(&e->state) == GHOST_ENCLAVE_ONLINE;
}

/*
 * An event happened to the thread in @slot: advance its number, publish its
 * state, and tell its agent. The caller has set t->state and the fields of
 * @m that only it knows (type, cpu, flags, reason, nice). Without agents the
 * number still advances; whoever takes over finds the state in the table.
 */
static void msg_send(struct core_task *t, __u32 slot, struct ghost_msg *m)
{
	const struct ghost_status *st = port_status(t->enclave, slot);
	struct ghost_cpu_rw *rw;
	struct ghost_cpu *page;

	t->seq++;
	status_publish(t, slot);
	if (!enclave_online(t->enclave))
		return;
	page = port_cpu_page(t->enclave, t->queue);
	rw = port_cpu_rw(t->enclave, t->queue);
	if (!page || !rw)
		return;
	m->slot = slot;
	m->seq = t->seq;
	m->gtid = t->gtid;
	m->time_ns = port_now_ns();
	m->runtime_ns = st ? st->runtime_ns : 0;
	cpu_count(t->enclave, port_this_cpu(), GHOST_NR_MSGS);
	if (queue_push(&page->queue, &rw->queue_tail, m))
		cpu_count(t->enclave, port_this_cpu(), GHOST_NR_OVERFLOWS);
	/* After the message: a commit made without having seen it is refused. */
	port_fetch_add(&page->agent_seq, 1);
}

#endif
