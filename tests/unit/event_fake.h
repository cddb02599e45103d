/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel around core/event.h: what the ops do before and after each event.
 * In: port_fake.h. Out: threads that join, wait, run, leave; expectations.
 * Called by the tests of events, transactions and random walks.
 */
#ifndef GHOST_TESTS_UNIT_EVENT_FAKE_H
#define GHOST_TESTS_UNIT_EVENT_FAKE_H

#include "tests/check.h"
#include "tests/unit/port_fake.h"

#include "core/cpu.h"
#include "core/event.h"
#include "core/txn.h"

#define ALL_CPUS 0xffull

/* Enclave 1 has CPUs 0-3, enclave 2 CPUs 4-5; CPUs 6-7 belong to nobody. */
static inline void machine_reset(__u32 state)
{
	fake_reset();
	fake_enclave(1, 0x0f, state);
	fake_enclave(2, 0x30, state);
}

static inline __u32 thread_join(__u32 enclave, __u32 tid, __u64 cpus, int enqueue_follows)
{
	__u32 slot = slots_take();

	assert_int_not_equal(slot, 0);
	assert_int_equal(event_task_join(slot, enclave, tid), 0);
	fake_mask_set(enclave, slot, cpus);
	fake.th[slot].place = FAKE_NOWHERE;
	fake.th[slot].runtime_ns = 0;
	event_task_bound(slot, enqueue_follows);
	return slot;
}

static inline int thread_enqueue(__u32 slot, int cause, __u32 here)
{
	int verdict = event_task_enqueue(slot, cause, here, fake.th[slot].confined,
					 fake.th[slot].runtime_ns);

	fake.th[slot % FAKE_SLOTS].here = here;

	if (verdict == EVENT_CUSTODY)
		fake_into_custody(slot);
	else
		fake.th[slot].place = verdict == EVENT_FALLBACK ? FAKE_FALLBACK : FAKE_GLOBAL;
	if (verdict == EVENT_FALLBACK)
		fake.th[slot].entered = ++fake.stamp;
	return verdict;
}

/* A transaction about @slot for @cpu, with the numbers of this moment: it would go through. */
static inline struct ghost_txn txn_good(__u32 slot, __u32 cpu)
{
	return (struct ghost_txn){
		.slot = slot,
		.task_seq = slot < FAKE_SLOTS ? fake.task[slot].seq : 0,
		.agent_seq = fake.page[fake.cpu[cpu].enclave][cpu].agent_seq,
		.slice_ns = GHOST_SLICE_INF,
		.ping_cpu = GHOST_CPU_NONE,
		.state = GHOST_TXN_READY,
	};
}

/* The agent of @cpu commits @slot with the numbers of this moment. Returns the final state. */
static inline __u32 thread_commit(__u32 slot, __u32 cpu)
{
	__u32 enclave = fake.cpu[cpu].enclave, was = fake.this_cpu, state;
	struct ghost_txn *txn = &fake.rw[enclave][cpu].txn;

	*txn = txn_good(slot, cpu);
	fake.this_cpu = cpu;
	state = txn_commit_local(enclave, cpu, &fake.cpu[cpu]);
	fake.this_cpu = was;
	assert_int_equal(txn->state, state);
	return state;
}

/* From where it waits onto @cpu. */
static inline void thread_run(__u32 slot, __u32 cpu)
{
	fake.th[slot].place = FAKE_RUNS;
	fake.th[slot].cpu = cpu;
	fake.th[slot].runtime_ns += 100;
	cpu_ours(cpu);
	event_task_running(slot, cpu);
}

static inline void thread_stop(__u32 slot)
{
	fake.th[slot].place = FAKE_NOWHERE;
}

static inline void thread_block(__u32 slot)
{
	thread_stop(slot);
	event_task_blocked(slot, fake.th[slot].cpu, fake.th[slot].runtime_ns);
}

static inline void thread_gone(__u32 slot, int dead)
{
	__u64 runtime_ns = fake.th[slot].runtime_ns;

	thread_stop(slot);
	event_task_owed(slot, runtime_ns);
	event_task_gone(slot, dead, runtime_ns);
}

static inline void thread_nice(__u32 slot, __s32 nice)
{
	fake.status[fake.task[slot].enclave][slot].nice = nice;
	event_task_priority(slot);
}

/* As sched_setaffinity(): what waits is taken out, changed and put back. */
static inline void thread_affinity(__u32 slot, __u64 cpus)
{
	int waits = fake.th[slot].place != FAKE_NOWHERE && fake.th[slot].place != FAKE_RUNS;

	if (waits)
		fake.th[slot].place = FAKE_NOWHERE;
	fake_mask_set(fake.task[slot].enclave, slot, cpus);
	event_task_affinity(slot);
	if (waits)
		thread_enqueue(slot, EVENT_RESTORE, fake.th[slot].cpu);
}

static inline __u64 word_of(__u32 slot)
{
	return fake.status[fake.task[slot].enclave][slot].word;
}

/* The status word says what the record says. */
static inline void assert_status(__u32 slot, __u32 flags)
{
	assert_int_equal(ghost_status_flags(word_of(slot)), flags);
	assert_int_equal(ghost_status_seq(word_of(slot)), fake.task[slot].seq);
}

/* The next message in @queue of @enclave is @type about @slot, with its newest number. */
static inline struct ghost_msg expect_msg_in(__u32 enclave, __u32 queue, __u32 type, __u32 slot)
{
	struct ghost_msg m = { 0 };

	assert_true(fake_pop(enclave, queue, &m));
	assert_int_equal(m.type, type);
	assert_int_equal(m.slot, slot);
	assert_int_equal(m.gtid, fake.task[slot].gtid);
	assert_int_equal(m.seq, fake.task[slot].seq);
	assert_int_equal(m.len, sizeof(m));
	return m;
}

/* Gone before it was told of: TASK_NEW, not runnable, and something else after it. */
static inline void expect_owed(__u32 queue, __u32 slot)
{
	struct ghost_msg m = { 0 };

	assert_true(fake_pop(1, queue, &m));
	assert_int_equal(m.type, GHOST_MSG_TASK_NEW);
	assert_int_equal(m.gtid, fake.task[slot].gtid);
	assert_int_equal(m.seq, fake.task[slot].seq - 1);
	assert_int_equal(m.flags & GHOST_MSG_RUNNABLE, 0);
}

static inline struct ghost_msg expect_msg(__u32 cpu, __u32 type, __u32 slot)
{
	return expect_msg_in(fake.cpu[cpu].enclave, cpu, type, slot);
}

/* The next message in @queue of @enclave is @type about @cpu. */
static inline struct ghost_msg expect_cpu_msg(__u32 enclave, __u32 queue, __u32 type, __u32 cpu)
{
	struct ghost_msg m = { 0 };

	assert_true(fake_pop(enclave, queue, &m));
	assert_int_equal(m.type, type);
	assert_int_equal(m.slot, 0);
	assert_true(m.gtid == 0);
	assert_int_equal(m.cpu, cpu);
	assert_in_range(m.seq, 1, fake.page[enclave][cpu].agent_seq);
	assert_int_equal(m.cpu_seq, fake.cpu[cpu].seq);
	return m;
}

static inline void expect_no_msg(void)
{
	struct ghost_msg m;

	for (__u32 e = 1; e < FAKE_ENCLAVES; e++)
		for (__u32 q = 0; q < FAKE_QUEUES; q++)
			assert_false(fake_pop(e, q, &m));
}

static inline void drop_msgs(void)
{
	struct ghost_msg m;

	for (__u32 e = 1; e < FAKE_ENCLAVES; e++)
		for (__u32 q = 0; q < FAKE_QUEUES; q++)
			while (fake_pop(e, q, &m))
				;
}

/* A member of enclave 1 brought into @state by the events that lead there; no message is left. */
static inline __u32 thread_in(__u32 state)
{
	__u32 slot = thread_join(1, 100 + fake.slots.used, ALL_CPUS, state != CORE_TASK_BLOCKED);
	__u32 cpu = fake.task[slot].queue;

	fake.th[slot].cpu = cpu;
	if (state == CORE_TASK_FALLBACK)
		fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	if (state != CORE_TASK_NEW && state != CORE_TASK_BLOCKED)
		thread_enqueue(slot, EVENT_WAKEUP, cpu);
	fake.enclave[1].state = GHOST_ENCLAVE_ONLINE;
	if (state == CORE_TASK_LATCHED || state == CORE_TASK_RUNNING)
		assert_int_equal(thread_commit(slot, cpu), GHOST_TXN_COMMITTED);
	if (state == CORE_TASK_RUNNING || state == CORE_TASK_FALLBACK)
		thread_run(slot, cpu);
	drop_msgs();
	assert_int_equal(fake.task[slot].state, state);
	return slot;
}

#endif
