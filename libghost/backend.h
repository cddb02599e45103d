/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the library needs of the machine it runs on.
 * In: calls from enclave.c and agent.c. Out: backend_bpf.c (a real kernel);
 * the simulator brings its own. Not for policies.
 */
#ifndef GHOST_LIBGHOST_BACKEND_H
#define GHOST_LIBGHOST_BACKEND_H

#include "abi/abi.h"

/* The memory one enclave shares with its agents. */
struct ghost_memory {
	const struct ghost_status *status; /* [capacity]; [0] is the enclave's own record */
	const struct ghost_cpu *cpu;	   /* [nr_cpus], by CPU id */
	struct ghost_cpu_rw *cpu_rw;	   /* [nr_cpus], by CPU id */
	__u32 capacity;
	__u32 nr_cpus;
};

/* All functions return 0 or a negative errno; @self is the backend. */
struct ghost_backend {
	/* Requests to the kernel side; the answer is in @ctl->ret. */
	int (*admin)(struct ghost_backend *self, struct ghost_ctl *ctl);
	int (*agent)(struct ghost_backend *self, struct ghost_ctl *ctl);

	/* Make and remove the shared memory of enclave @id. */
	int (*enclave_prepare)(struct ghost_backend *self, __u32 id);
	void (*enclave_discard)(struct ghost_backend *self, __u32 id);
	int (*memory_map)(struct ghost_backend *self, __u32 id, struct ghost_memory *ret);
	void (*memory_unmap)(struct ghost_backend *self, struct ghost_memory *mem);

	/* The calling thread becomes an agent's thread on @cpu. */
	int (*agent_pin)(struct ghost_backend *self, __u32 cpu);
	int (*agent_enter)(struct ghost_backend *self);
	/* Give the CPU up; returns when the agent is chosen again. */
	void (*agent_yield)(struct ghost_backend *self);

	/* Change the scheduling class of any thread. */
	int (*task_enter)(struct ghost_backend *self, __u32 tid);
	int (*task_leave)(struct ghost_backend *self, __u32 tid);

	void (*close)(struct ghost_backend *self);

	char error[512]; /* what went wrong last, in a sentence */
};

#endif
