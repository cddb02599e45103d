/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel side: is it possible here, is it loaded, load it, unload it.
 * In: the running kernel, bpffs. Out: pins under GHOST_PIN_ROOT and a backend.
 * Called by the `ghost` program and by anyone who manages enclaves.
 *
 * All functions return 0 or a negative errno. None prints.
 */
#ifndef GHOST_LIBGHOST_KERNEL_H
#define GHOST_LIBGHOST_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "libghost/backend.h"

#define GHOST_PIN_ROOT "/sys/fs/bpf/ghost"

#define GHOST_CHECKS_MAX 16

/* One thing the kernel must or should offer. */
struct ghost_check {
	const char *name; /* short noun, stable: also the key in --json */
	bool ok;
	bool required;	 /* without it ghOSt cannot run */
	char found[128]; /* what was seen */
	char cure[192];	 /* what to do, empty when ok */
};

/**
 * ghost_kernel_check() - look at what this kernel and this user can do
 * @ret: room for GHOST_CHECKS_MAX results
 *
 * Changes nothing. Returns the number of results; the system is usable when
 * each required one is ok.
 */
int ghost_kernel_check(struct ghost_check *ret);

struct ghost_kernel_info {
	bool loaded;
	__u32 abi;
	__u32 capacity;
	bool ejected; /* sched_ext gave it up; the reason is below */
	char reason[384];
	char other[64]; /* name of another sched_ext scheduler in the way, or "" */
};

/* ghost_kernel_info() - is the kernel side loaded, and does it still run? */
int ghost_kernel_info(struct ghost_kernel_info *ret);

/**
 * ghost_kernel_load() - load the BPF program and pin it
 * @capacity: largest number of threads in all enclaves together,
 *	0 for GHOST_SLOTS_DEFAULT, at most GHOST_SLOTS_MAX
 * @error: receives one sentence on failure, may be NULL
 * @size: of @error
 *
 * Returns 0; -EEXIST when it is already loaded; -EBUSY when another sched_ext
 * scheduler is; -EPERM without the rights, or when GHOST_PIN_ROOT is there and
 * others than root can change it; -EOPNOTSUPP when the kernel lacks
 * something ghost_kernel_check() would name.
 */
int ghost_kernel_load(__u32 capacity, char *error, size_t size);

/**
 * ghost_kernel_unload() - detach the scheduler and remove every pin
 *
 * Threads still in our class are run by the fair class from here on. Destroy
 * the enclaves first to give them their old policy back. Returns 0; -ENOENT
 * when nothing was loaded; -EPERM as ghost_kernel_load().
 */
int ghost_kernel_unload(char *error, size_t size);

/**
 * ghost_kernel_open() - a handle on the loaded kernel side
 * @ret: receives the backend; close with ret->close()
 *
 * Returns 0, -ENOENT when it is not loaded, -EPERM without the right to open
 * the pins, -EPROTO when it was loaded by an incompatible version.
 */
int ghost_kernel_open(struct ghost_backend **ret, char *error, size_t size);

/**
 * ghost_kernel_open_enclave() - the same for one enclave, without privileges
 * @id: an enclave that was given to the caller (ghost_enclave_delegate())
 *
 * Enough to be its agents and to put threads of the same user into it; all other
 * requests fail with -EPERM (docs/security.md). Its agents listen for no hints unless
 * the caller sets @ret->hints_dir to a folder of its own. Returns 0; -ENOENT when there is no
 * such enclave, -EPERM when it is somebody else's, -EPROTO as above.
 */
int ghost_kernel_open_enclave(struct ghost_backend **ret, __u32 id, char *error, size_t size);

#endif
