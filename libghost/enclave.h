/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Enclaves: make them, look into them, put threads in, take them down.
 * In: a backend. Out: handles with the enclave's shared memory.
 * Called by the `ghost` program, by agents, by whoever needs the low layer.
 *
 * All functions return 0 or a negative errno and may be called from any
 * thread, but a handle by one thread at a time unless said otherwise.
 */
#ifndef GHOST_LIBGHOST_ENCLAVE_H
#define GHOST_LIBGHOST_ENCLAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "libghost/backend.h"
#include "libghost/topo.h"

struct ghost_enclave;

/*
 * The longest that a thread can be let wait by agents. It may have been taken off its CPU
 * in the middle of reading what RCU protects, and the kernel ends a scheduler for all
 * when it has waited 21 s for the end of that (CONFIG_RCU_CPU_STALL_TIMEOUT, 7.3); after
 * 30 s in any case.
 */
#define GHOST_STALL_NS_MAX (15ull * 1000 * 1000 * 1000)

struct ghost_enclave_opts {
	size_t size;			 /* sizeof(struct ghost_enclave_opts) */
	const struct ghost_cpuset *cpus; /* required, not empty */
	/*
	 * Give the agents up when a runnable thread waited this long for a
	 * commit: nanoseconds, at most GHOST_STALL_NS_MAX, 0 for 5 s.
	 */
	uint64_t stall_ns;
	/*
	 * Messages that fit into all queues together which agents make: 0 for
	 * 65536 (4 MiB), at most 16777216.
	 */
	uint32_t ring_len;
	/*
	 * No more members than this at a time, 0 for as many as there is room for: who
	 * is one too many runs outside, and counts in nr_no_slot. A little more, if they
	 * come at the same instant.
	 */
	uint32_t max_tasks;
	/* By what threads are run while no agents decide: enum ghost_fallback. */
	uint32_t fallback;
};

/**
 * ghost_enclave_create() - a new enclave with the smallest free id
 *
 * Its threads are run by the fallback until agents are online.
 * -EBUSY: a CPU belongs to another enclave (see ghost_enclave_owner());
 * -EINVAL: no CPU, or one outside the machine; -ENOSPC: no free id.
 */
int ghost_enclave_create(struct ghost_enclave **ret, struct ghost_backend *backend,
			 const struct ghost_enclave_opts *opts);

/* ghost_enclave_open() - a handle on existing enclave @id; -ENOENT. */
int ghost_enclave_open(struct ghost_enclave **ret, struct ghost_backend *backend, uint32_t id);

/* ghost_enclave_close() - let go of the handle; the enclave stays. NULL is fine. */
void ghost_enclave_close(struct ghost_enclave *e);

uint32_t ghost_enclave_id(const struct ghost_enclave *e);

/* The enclave's public record; read fields with care, the kernel writes them. */
const struct ghost_enclave_status *ghost_enclave_status(const struct ghost_enclave *e);
const struct ghost_memory *ghost_enclave_memory(const struct ghost_enclave *e);
struct ghost_backend *ghost_enclave_backend(const struct ghost_enclave *e);

/* CPUs that belong to it. */
int ghost_enclave_cpus(const struct ghost_enclave *e, struct ghost_cpuset *ret);

/**
 * ghost_enclave_set_cpus() - the enclave has other CPUs from now on
 * @cpus: all of them, those it keeps too; online
 *
 * Only while it has no agents: then the fallback runs its threads on these CPUs.
 * Agents give way to others with other CPUs by ghost_agents_opts.cpus. Threads
 * keep their affinity; one that allows none of @cpus runs where it may, as if it
 * were no member. 0, also when nothing changes; -EBUSY: the enclave has agents, or
 * a CPU belongs to another one (ghost_enclave_owner()); -EINVAL: no CPU, or one that
 * is not online; -ENOENT: the enclave is going away. On failure nothing has changed.
 */
int ghost_enclave_set_cpus(struct ghost_enclave *e, const struct ghost_cpuset *cpus);

/**
 * ghost_enclave_slo() - from now on count how long ready threads wait for a decision
 * @limit_ns: which wait is late; 0: count no more
 *
 * In ghost_enclave_counts.nr[]: GHOST_NR_WAITS, waits of threads that became ready since
 * (woken, pushed aside, or at the end of a slice) and have ended by a commit;
 * GHOST_NR_LATE, those that took longer than @limit_ns, and, once every 50 ms or so, threads
 * that still wait after it. They go on from where they were. So 99 % of waits are within
 * the limit when late is at most a hundredth of waits. -ENOENT: the enclave is gone;
 * -EPERM: not root.
 */
int ghost_enclave_slo(struct ghost_enclave *e, uint64_t limit_ns);

/**
 * ghost_enclave_delegate() - from now on a user may be its agents
 * @uid, @gid: who, and the members of which group; ~0 for none
 *
 * They get what its agents need: its memory and the right to speak for it, see
 * ghost_kernel_open_enclave(). They get no right to change or end it, and may put
 * only threads of their own into it. A second call gives it to others; who has it open
 * keeps it until the enclave ends. -EPERM: not root; -EINVAL: to nobody.
 */
int ghost_enclave_delegate(struct ghost_enclave *e, uint32_t uid, uint32_t gid);

/**
 * ghost_enclave_join() - make a thread a member, now
 * @tid: the thread, in the initial pid namespace
 *
 * Its children will be members too. -ESRCH: no such thread, or it has ended meanwhile,
 * and whoever was given its number since is no member and not of our class; -EPERM: no
 * right to it, or it is an agent; -ENOENT: the enclave is going away.
 */
int ghost_enclave_join(struct ghost_enclave *e, uint32_t tid);

/**
 * ghost_enclave_join_if() - the same, for one that was chosen by what it is
 * @is_meant: asked while @tid cannot become another thread's number unnoticed
 *
 * Also -ECANCELED: @is_meant said no.
 */
int ghost_enclave_join_if(struct ghost_enclave *e, uint32_t tid,
			  bool (*is_meant)(uint32_t tid, void *arg), void *arg);

/**
 * ghost_enclave_join_process() - all threads of a process, also those it creates meanwhile
 * @skip: returns true if it is to be left alone, asked as ghost_enclave_join_if() asks;
 *        NULL: it is not
 *
 * Returns how many joined, 0: all are members already; or what ghost_enclave_join_if()
 * returns.
 */
int ghost_enclave_join_process(struct ghost_enclave *e, uint32_t pid,
			       bool (*skip)(uint32_t pid, void *arg), void *arg);

/**
 * ghost_enclave_join_tree() - all threads of @pid and of the processes that descend from it
 * @skip: returns true for processes that are to be left alone; NULL: none
 *
 * Also those that are born meanwhile. One whose parent has ended descends from
 * nobody any more. Returns how many processes had threads that joined, 0: all are
 * members already; or a negative errno: -ESRCH: there is none; or that of
 * ghost_enclave_join_process() for @pid itself.
 */
int ghost_enclave_join_tree(struct ghost_enclave *e, uint32_t pid,
			    bool (*skip)(uint32_t pid, void *arg), void *arg);

/**
 * ghost_enclave_join_cgroup() - all threads of a cgroup and of those below it
 * @cgroup: a folder of cgroup version 2 below /sys/fs/cgroup, absolute or from there
 * @skip: returns true for threads that are to be left alone; NULL: none
 *
 * Also those it gets meanwhile; not those of a real-time class, nor agents.
 * Later ones are members if they are children of members: call it again for
 * others. Returns how many joined, or a negative errno: -ENOENT, -ENOTDIR; -EXDEV:
 * it is no cgroup of version 2; -EINVAL: it is "" or the root, so the whole machine.
 */
int ghost_enclave_join_cgroup(struct ghost_enclave *e, const char *cgroup,
			      bool (*skip)(uint32_t tid, void *arg), void *arg);

/**
 * ghost_enclave_destroy() - back to the fair class with all its threads
 *
 * Agents are let go, members get SCHED_OTHER (nice values stay), CPUs are
 * free again. Returns 0, or -EBUSY when members kept coming (a fork storm) or
 * agents did not leave within five seconds; call again then: agents that spin are
 * forgotten seven seconds after the first call. The handle must still be closed.
 */
int ghost_enclave_destroy(struct ghost_enclave *e);

/* What `ghost status` prints: sums over the enclave's CPUs. */
struct ghost_enclave_counts {
	uint64_t nr[GHOST_NR_COUNTERS];	      /* by enum ghost_counter */
	uint64_t nr_txn[GHOST_TXN_NR_STATES]; /* by enum ghost_txn_state */
	uint64_t nr_msgs;		      /* messages that reached a queue */
	uint64_t nr_overflows;		      /* events that found no room in it */
	uint32_t nr_tasks;
	uint32_t nr_agents;
};

int ghost_enclave_count(const struct ghost_enclave *e, struct ghost_enclave_counts *ret);

/* ghost_enclave_list() - ids of all enclaves; returns their number, at most GHOST_ENCLAVES_MAX */
int ghost_enclave_list(uint32_t ids[GHOST_ENCLAVES_MAX]);

/*
 * ghost_enclave_owner() - which enclave has @cpu? Returns its id, 0 if none,
 * or a negative errno.
 */
int ghost_enclave_owner(struct ghost_backend *backend, uint32_t cpu);

/* Names for people and for --json: "online", "task_stale", "msgs", ... */
const char *ghost_enclave_state_name(uint32_t state);
const char *ghost_lost_reason_name(uint32_t reason);
const char *ghost_txn_state_name(uint32_t state);
const char *ghost_counter_name(uint32_t counter);
const char *ghost_fallback_name(uint32_t fallback);

#endif
