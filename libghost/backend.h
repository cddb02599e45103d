/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the library needs of the machine it runs on.
 * In: calls from enclave.c and agent.c. Out: backend_bpf.c (a real kernel)
 * with host.c (a real machine); the simulator brings its own. Not for policies.
 */
#ifndef GHOST_LIBGHOST_BACKEND_H
#define GHOST_LIBGHOST_BACKEND_H

#include <stdbool.h>

#include "abi/abi.h"
#include "libghost/topo.h"

/* The memory one enclave shares with its agents. */
struct ghost_memory {
	const struct ghost_status *status; /* [capacity]; [0] is the enclave's own record */
	const struct ghost_cpu *cpu;	   /* [nr_queues]: CPUs by id, then queues that were made */
	struct ghost_cpu_rw *cpu_rw;	   /* [nr_queues] */
	const struct ghost_msg *ring;	   /* [ring_len] */
	__u32 capacity;
	__u32 nr_cpus;
	__u32 nr_queues;
	__u32 ring_len;
};

/* What an agent has just done; each is a place where it may lose its CPU. */
enum ghost_step {
	GHOST_STEP_NUMBER,   /* read its number */
	GHOST_STEP_MSG,	     /* handled a message */
	GHOST_STEP_SLOT,     /* brought a slot up to the status table */
	GHOST_STEP_SCHEDULE, /* asked the policy */
	GHOST_STEP_COMMIT,   /* handed in a transaction */
	GHOST_STEP_SPIN,     /* found a lock taken */
};

/* All functions return 0 or a negative errno; @self is the backend. */
struct ghost_backend {
	/*
	 * Requests to the kernel side; the answer is in @ctl->ret. agent() knows the
	 * tokens of the enclaves whose memory was mapped, and puts one where there is none.
	 */
	int (*admin)(struct ghost_backend *self, struct ghost_ctl *ctl);
	int (*agent)(struct ghost_backend *self, struct ghost_ctl *ctl);
	__u64 (*token)(struct ghost_backend *self); /* a new one, which nobody can guess */

	/*
	 * Make and remove the shared memory of enclave @id; @made_len: messages in its
	 * ring for queues that agents make, beside GHOST_QUEUE_LEN for each CPU of the
	 * machine.
	 */
	int (*enclave_prepare)(struct ghost_backend *self, __u32 id, __u32 made_len);
	void (*enclave_discard)(struct ghost_backend *self, __u32 id);
	/* Let a user and a group, or either (~0: none), be its agents. May be NULL. */
	int (*enclave_delegate)(struct ghost_backend *self, __u32 id, __u32 uid, __u32 gid);
	int (*memory_map)(struct ghost_backend *self, __u32 id, struct ghost_memory *ret);
	void (*memory_unmap)(struct ghost_backend *self, struct ghost_memory *mem);

	/* The calling thread becomes an agent's thread on @cpu. */
	int (*agent_pin)(struct ghost_backend *self, __u32 cpu); /* where it is already: nothing */
	int (*agent_enter)(struct ghost_backend *self);
	/* Or it becomes one that spins, above the fair class. */
	int (*agent_spin)(struct ghost_backend *self);
	/* What that takes and need not wait until then. May be NULL. */
	int (*agent_spin_prepare)(struct ghost_backend *self);
	/*
	 * It has found nothing to do and will look again at once; without news
	 * there is nothing to be seen before @until_ns (~0: at all).
	 */
	void (*agent_relax)(struct ghost_backend *self, __u64 until_ns);
	/*
	 * Thread @tid, an agent of our class that is runnable on @cpu, gets no time
	 * there: see to it that it does, within a second or so. @cpu GHOST_CPU_NONE: only
	 * tell whether it is of our class; -EINVAL: it is not. May be NULL.
	 */
	int (*agent_nudge)(struct ghost_backend *self, __u32 tid, __u32 cpu);
	/*
	 * Runnable threads of our class that are in no enclave, in ascending order: for
	 * whoever manages. *@ret is to be freed. Returns their number; may be NULL.
	 */
	int (*strangers)(struct ghost_backend *self, __u32 **ret);
	/* Give the CPU up; returns when the agent is chosen again. */
	void (*agent_yield)(struct ghost_backend *self);

	/* Change the scheduling class of any thread. */
	int (*task_enter)(struct ghost_backend *self, __u32 tid);
	int (*task_leave)(struct ghost_backend *self, __u32 tid);
	/*
	 * Thread @tid, for as long as it is asked about: a descriptor, to be closed, or
	 * -ESRCH. May be NULL, with task_lives(): no number is given twice.
	 */
	int (*task_open)(struct ghost_backend *self, __u32 tid);
	/* Not ended: its number has been nobody else's since task_open(). */
	bool (*task_lives)(struct ghost_backend *self, int fd);

	/* The machine. The distance is an enum ghost_distance. */
	int (*cpus_online)(struct ghost_backend *self, struct ghost_cpuset *ret);
	int (*cpu_distance)(struct ghost_backend *self, __u32 a, __u32 b);

	/* Threads of the calling process. @name: at most 15 characters. */
	int (*thread_start)(struct ghost_backend *self, const char *name, void (*main)(void *),
			    void *arg, void **ret);
	void (*thread_join)(struct ghost_backend *self, void *thread);
	__u32 (*thread_id)(struct ghost_backend *self); /* of the caller */

	/*
	 * Block while *@word is @value, at most @timeout_ns (~0: for ever).
	 * Returns 0 once it differs, or -ETIMEDOUT. Whoever changes the word
	 * calls wake() after.
	 */
	int (*wait)(struct ghost_backend *self, const __u32 *word, __u32 value, __u64 timeout_ns);
	void (*wake)(struct ghost_backend *self, const __u32 *word);
	void (*sleep)(struct ghost_backend *self, __u64 ns);
	/* As the kernel side counts: CLOCK_MONOTONIC. Never 0. */
	__u64 (*now_ns)(struct ghost_backend *self);

	/* May be NULL: a real machine takes an agent's CPU without asking. */
	void (*step)(struct ghost_backend *self, enum ghost_step step);

	/*
	 * Where agents listen for applications' hints: a socket hints_ENCLAVE in
	 * this folder. NULL: nowhere.
	 */
	const char *hints_dir;
	/* Or the machine knows them: the entry of thread @tid, or NULL. May be NULL itself. */
	const struct ghost_hint_entry *(*hint_entry)(struct ghost_backend *self, __u32 tid);

	void (*close)(struct ghost_backend *self);

	struct ghost_topo *topo; /* of the host, once asked for; see host.c */

	char error[512]; /* what went wrong last, in a sentence */
};

/* Fill in what a real machine does: CPUs, threads, waiting. Its fini belongs into close(). */
void ghost_backend_host_init(struct ghost_backend *self);
void ghost_backend_host_fini(struct ghost_backend *self);

#endif
