/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kernel side without a kernel: agents run for real, the test writes their
 * messages and answers their transactions by hand.
 * In: libghost/backend.h. Out: agents that stop at each sched_yield(), or, where
 * they spin, when they have found nothing to do, until the test lets them go on. Called by the tests of libghost and policies.
 */
#ifndef GHOST_TESTS_UNIT_LOOP_FAKE_H
#define GHOST_TESTS_UNIT_LOOP_FAKE_H

#include "tests/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libghost/agent.h"
#include "libghost/backend.h"

#define LOOP_CPUS 4
#define LOOP_QUEUES (LOOP_CPUS + GHOST_QUEUES_MADE)
#define LOOP_RING (LOOP_CPUS * GHOST_QUEUE_LEN + LOOP_MADE_LEN)
#define LOOP_MADE_LEN GHOST_QUEUE_LEN /* of the one queue that can be made */
#define LOOP_SLOTS 64
#define LOOP_WAIT_S 20

struct loop_cpu {
	int at_yield;	      /* the agent waits in sched_yield() */
	int go;		      /* and may go on */
	struct ghost_txn txn; /* what it handed in */
	__u32 pings;	      /* requests to wake it, by a call */

	/* of agents that spin */
	__u32 answer;	 /* to its transactions by request; 0: COMMITTED */
	__u32 nr_remote; /* transactions by request so far */
	__u64 until_ns;	 /* there is nothing to be seen before */
	__u32 nr_kicks;
	__u32 nr_pins; /* it went there */
};

struct loop {
	struct ghost_backend backend; /* first: the functions get a pointer to it */
	struct ghost_status status[LOOP_SLOTS];
	struct ghost_cpu cpu[LOOP_QUEUES];
	struct ghost_cpu_rw rw[LOOP_QUEUES];
	struct ghost_msg ring[LOOP_RING];
	struct ghost_memory mem; /* as it is mapped */
	struct ghost_enclave *enclave;
	struct ghost_agents *agents;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct loop_cpu at[LOOP_CPUS];
	int let_go; /* nobody stops any more */
	int attach_ret;
	int destroy_ret; /* of a queue that is there */
	__u64 token;	 /* of the next enclave */
	__u32 gen;
	__u32 nr_commits; /* requests to commit, of however many CPUs */
	__u32 nr_sleeps;
	__u32 no_room;		/* for a queue, before so many sleeps */
	void (*on_sleep)(void); /* while an agent sleeps */
	__u64 now;
};

static struct loop loop;
static __thread __u32 loop_self; /* the CPU of the calling agent */

/* --- the backend ------------------------------------------------------------------ */

static inline struct ghost_enclave_status *loop_es(void)
{
	return (struct ghost_enclave_status *)&loop.status[0];
}

static inline int loop_admin(struct ghost_backend *self, struct ghost_ctl *ctl)
{
	ctl->ret = -EINVAL;
	return 0;
}

/* A queue for agents that spin; there is room for one. */
static inline int loop_queue_create(struct ghost_ctl *ctl)
{
	if (ctl->len > LOOP_MADE_LEN || loop.nr_sleeps < loop.no_room)
		return -ENOSPC;
	ctl->queue = LOOP_CPUS;
	loop.cpu[LOOP_CPUS].queue = (struct ghost_queue){
		.first = LOOP_CPUS * GHOST_QUEUE_LEN,
		.len = ctl->len,
	};
	return 0;
}

static inline void loop_commit(const struct ghost_ctl *ctl)
{
	loop.nr_commits++;
	for (__u32 cpu = 0; cpu < LOOP_CPUS; cpu++) {
		struct loop_cpu *at = &loop.at[cpu];

		if (!(ctl->cpus[0] >> cpu & 1) || loop.rw[cpu].txn.state != GHOST_TXN_READY)
			continue;
		at->txn = loop.rw[cpu].txn;
		at->nr_remote++;
		loop.rw[cpu].txn.commit_ns = loop.now;
		loop.rw[cpu].txn.state = at->answer ? at->answer : GHOST_TXN_COMMITTED;
	}
}

static inline int loop_agent(struct ghost_backend *self, struct ghost_ctl *ctl)
{
	ctl->ret = 0;
	pthread_mutex_lock(&loop.lock);
	switch (ctl->op) {
	case GHOST_CTL_AGENT_ATTACH:
		ctl->ret = loop.attach_ret;
		break;
	case GHOST_CTL_AGENT_ONLINE:
		__atomic_store_n(&loop_es()->state, GHOST_ENCLAVE_ONLINE, __ATOMIC_RELEASE);
		break;
	case GHOST_CTL_AGENT_PING:
		loop.at[ctl->cpu].pings++;
		break;
	case GHOST_CTL_AGENT_DETACH:
		loop.cpu[ctl->cpu].agent_tid = 0;
		break;
	case GHOST_CTL_QUEUE_CREATE:
		ctl->ret = loop_queue_create(ctl);
		break;
	case GHOST_CTL_QUEUE_DESTROY:
		ctl->ret = loop.destroy_ret;
		loop.cpu[ctl->queue % LOOP_QUEUES].queue.len = 0;
		break;
	case GHOST_CTL_QUEUE_DEFAULT:
		loop_es()->default_queue = ctl->queue;
		break;
	case GHOST_CTL_COMMIT:
		loop_commit(ctl);
		break;
	case GHOST_CTL_KICK:
		for (__u32 cpu = 0; cpu < LOOP_CPUS; cpu++)
			loop.at[cpu].nr_kicks += ctl->cpus[0] >> cpu & 1;
		break;
	}
	pthread_mutex_unlock(&loop.lock);
	return 0;
}

static inline __u64 loop_token(struct ghost_backend *self)
{
	return loop.token;
}

static inline int loop_memory_map(struct ghost_backend *self, __u32 id, struct ghost_memory *ret)
{
	*ret = loop.mem;
	return 0;
}

static inline void loop_memory_unmap(struct ghost_backend *self, struct ghost_memory *mem)
{
}

static inline int loop_agent_pin(struct ghost_backend *self, __u32 cpu)
{
	loop_self = cpu;
	loop.at[cpu].nr_pins++;
	return 0;
}

static inline int loop_agent_enter(struct ghost_backend *self)
{
	__atomic_store_n(&loop.cpu[loop_self].agent_tid, (__u32)syscall(SYS_gettid),
			 __ATOMIC_RELEASE);
	return 0;
}

static inline int loop_task_leave(struct ghost_backend *self, __u32 tid)
{
	if (loop.cpu[loop_self].agent_tid == tid)
		__atomic_store_n(&loop.cpu[loop_self].agent_tid, 0, __ATOMIC_RELEASE);
	return 0;
}

static inline void loop_agent_yield(struct ghost_backend *self)
{
	struct loop_cpu *at = &loop.at[loop_self];

	pthread_mutex_lock(&loop.lock);
	at->txn = loop.rw[loop_self].txn;
	at->at_yield = 1;
	at->go = 0;
	pthread_cond_broadcast(&loop.changed);
	while (!at->go && !loop.let_go)
		pthread_cond_wait(&loop.changed, &loop.lock);
	at->at_yield = 0;
	pthread_mutex_unlock(&loop.lock);
}

static inline void loop_agent_relax(struct ghost_backend *self, __u64 until_ns)
{
	loop.at[loop_self].until_ns = until_ns;
	loop_agent_yield(self);
}

static inline void loop_sleep(struct ghost_backend *self, __u64 ns)
{
	pthread_mutex_lock(&loop.lock);
	loop.nr_sleeps++;
	loop.now += ns;
	if (loop.on_sleep)
		loop.on_sleep();
	pthread_mutex_unlock(&loop.lock);
}

static inline __u64 loop_now_ns(struct ghost_backend *self)
{
	return __atomic_load_n(&loop.now, __ATOMIC_RELAXED);
}

/* --- the test's side ------------------------------------------------------------------ */

/* Enclave 1 with CPUs 0 .. @nr_cpus - 1 and no threads. */
static inline void loop_reset(__u32 nr_cpus)
{
	memset(&loop, 0, sizeof(loop));
	ghost_backend_host_init(&loop.backend);
	loop.backend.admin = loop_admin;
	loop.backend.agent = loop_agent;
	loop.token = 4711;
	loop.backend.token = loop_token;
	loop.backend.memory_map = loop_memory_map;
	loop.backend.memory_unmap = loop_memory_unmap;
	loop.backend.agent_pin = loop_agent_pin;
	loop.backend.agent_enter = loop_agent_enter;
	loop.backend.agent_yield = loop_agent_yield;
	loop.backend.agent_spin = loop_agent_enter;
	loop.backend.agent_relax = loop_agent_relax;
	loop.backend.sleep = loop_sleep;
	loop.backend.now_ns = loop_now_ns;
	loop.backend.task_leave = loop_task_leave;
	pthread_mutex_init(&loop.lock, NULL);
	pthread_cond_init(&loop.changed, NULL);
	loop_es()->state = GHOST_ENCLAVE_IDLE;
	loop_es()->nr_slots = 1;
	loop_es()->default_queue = GHOST_QUEUE_NONE;
	loop_es()->ring_len = LOOP_RING;
	for (__u32 cpu = 0; cpu < nr_cpus; cpu++) {
		loop.cpu[cpu].owned = 1;
		loop.cpu[cpu].queue = (struct ghost_queue){
			.first = cpu * GHOST_QUEUE_LEN,
			.len = GHOST_QUEUE_LEN,
			.nr_wake = 1,
			.wake = { cpu },
		};
	}
	loop.mem = (struct ghost_memory){
		.status = loop.status,
		.cpu = loop.cpu,
		.cpu_rw = loop.rw,
		.ring = loop.ring,
		.capacity = LOOP_SLOTS,
		.nr_cpus = LOOP_CPUS,
		.nr_queues = LOOP_QUEUES,
		.ring_len = LOOP_RING,
	};
	loop.gen = 1;
	assert_int_equal(ghost_enclave_open(&loop.enclave, &loop.backend, 1), 0);
}

static inline struct timespec loop_deadline(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOOP_WAIT_S;
	return until;
}

/* Wait until the agent of @cpu has handed in a transaction; returns it. */
static inline struct ghost_txn loop_wait(__u32 cpu)
{
	struct timespec until = loop_deadline();
	struct ghost_txn txn;
	int err = 0;

	pthread_mutex_lock(&loop.lock);
	while (!(loop.at[cpu].at_yield && !loop.at[cpu].go) && !err)
		err = pthread_cond_timedwait(&loop.changed, &loop.lock, &until);
	txn = loop.at[cpu].txn;
	pthread_mutex_unlock(&loop.lock);
	assert_int_equal(err, 0);
	return txn;
}

/* Answer the transaction of @cpu's agent and let it go on. */
static inline void loop_answer(__u32 cpu, __u32 state)
{
	loop_wait(cpu);
	pthread_mutex_lock(&loop.lock);
	loop.rw[cpu].txn.state = state;
	loop.at[cpu].go = 1;
	pthread_cond_broadcast(&loop.changed);
	pthread_mutex_unlock(&loop.lock);
}

/* The same, until it hands in the next one; returns that. */
static inline struct ghost_txn loop_step(__u32 cpu, __u32 state)
{
	loop_answer(cpu, state);
	return loop_wait(cpu);
}

/* Start @policy and wait until every agent has decided once. */
static inline void loop_start(const struct ghost_policy *policy, const uint64_t *params)
{
	struct ghost_agents_opts opts = { .size = sizeof(opts), .params = params };

	assert_int_equal(ghost_agents_start(&loop.agents, loop.enclave, policy, &opts), 0);
	for (__u32 cpu = 0; cpu < LOOP_CPUS; cpu++)
		if (loop.cpu[cpu].owned)
			loop_wait(cpu);
}

static inline void loop_release(void)
{
	pthread_mutex_lock(&loop.lock);
	loop.let_go = 1;
	pthread_cond_broadcast(&loop.changed);
	pthread_mutex_unlock(&loop.lock);
}

static inline void loop_stop(void)
{
	if (loop.agents) {
		loop_release();
		ghost_agents_stop(loop.agents);
	}
	loop.agents = NULL;
	ghost_enclave_close(loop.enclave);
	loop.enclave = NULL;
	ghost_backend_host_fini(&loop.backend);
}

/* --- threads, as the kernel side would show them ------------------------------------------- */

static inline __u32 loop_seq(__u32 slot)
{
	return ghost_status_seq(loop.status[slot].word);
}

static inline void loop_word(__u32 slot, __u32 seq, __u32 flags)
{
	__atomic_store_n(&loop.status[slot].word, (__u64)seq << 32 | flags, __ATOMIC_RELEASE);
}

/* A new thread in @slot, allowed everywhere, whose messages go to @queue; no message yet. */
static inline void loop_thread(__u32 slot, __u32 queue, __u32 flags)
{
	struct ghost_status *st = &loop.status[slot];

	st->tid = 1000 + slot;
	st->gtid = (__u64)loop.gen++ << 32 | st->tid;
	st->cpu = queue;
	st->queue = queue;
	memset(st->cpus, 0xff, sizeof(st->cpus));
	loop_word(slot, loop_seq(slot) + 1, flags);
	if (loop_es()->nr_slots <= slot)
		loop_es()->nr_slots = slot + 1;
}

/* A message as it stands, from the kernel side's end of the ring. */
static inline void loop_push(__u32 queue, struct ghost_msg m)
{
	struct ghost_queue *q = &loop.cpu[queue].queue;
	struct ghost_msg *out = &loop.ring[q->first + (q->head & (q->len - 1))];

	if (q->head - loop.rw[queue].queue_tail >= q->len) {
		__atomic_fetch_add(&q->overflow, 1, __ATOMIC_SEQ_CST);
	} else {
		m.position = 0;
		m.len = sizeof(m);
		*out = m;
		__atomic_store_n(&out->position, ++q->head, __ATOMIC_RELEASE);
	}
	for (__u32 i = 0; i < q->nr_wake; i++)
		__atomic_fetch_add(&loop.cpu[q->wake[i]].agent_seq, 1, __ATOMIC_SEQ_CST);
}

static inline struct ghost_msg loop_msg(__u32 slot, __u32 type)
{
	return (struct ghost_msg){
		.type = type,
		.slot = slot,
		.seq = loop_seq(slot),
		.gtid = loop.status[slot].gtid,
		.cpu = loop.status[slot].cpu,
	};
}

/* An event of @slot: its number, its word with @flags, its message. */
static inline void loop_event(__u32 slot, __u32 type, __u32 flags)
{
	struct ghost_msg m;

	loop_word(slot, loop_seq(slot) + 1, flags);
	m = loop_msg(slot, type);
	if (type == GHOST_MSG_TASK_NEW && flags & GHOST_STATUS_RUNNABLE)
		m.flags = GHOST_MSG_RUNNABLE;
	if (type == GHOST_MSG_TASK_PREEMPT)
		m.reason = GHOST_PREEMPT_SLICE;
	loop_push(loop.status[slot].queue, m);
}

#define LOOP_INUSE GHOST_STATUS_INUSE
#define LOOP_WAITS (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE)
#define LOOP_ONCPU (GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU)

/* A thread that appears now and waits. */
static inline void loop_new(__u32 slot, __u32 queue)
{
	loop_thread(slot, queue, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop_event(slot, GHOST_MSG_TASK_NEW, LOOP_WAITS);
}

/* What the kernel side does when it accepts @cpu's transaction. */
static inline struct ghost_txn loop_accept(__u32 cpu)
{
	__u32 slot = loop_wait(cpu).slot;

	loop.status[slot].queue = cpu;
	loop.status[slot].cpu = cpu;
	loop_word(slot, loop_seq(slot), LOOP_ONCPU);
	return loop_step(cpu, GHOST_TXN_COMMITTED);
}

#endif
