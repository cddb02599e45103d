/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What things cost in virtual time, by named machine.
 * In: a name, or results of `make bench`. Out: nanoseconds. For this room.
 */
#ifndef GHOST_SIM_PROFILE_H
#define GHOST_SIM_PROFILE_H

#include <stddef.h>
#include <stdint.h>

/* All in ns, spent by the CPU on which it happens. */
struct profile {
	const char *name;
	const char *help;    /* where the numbers come from */
	uint32_t switch_ns;  /* from one thread to another */
	uint32_t syscall_ns; /* in and out of the kernel */
	uint32_t wakeup_ns;  /* the waker's part of a wake-up */
	uint32_t message_ns; /* making one message */
	uint32_t commit_ns;  /* the kernel's part of a commit */
	uint32_t ipi_ns;     /* from a kick to the kicked CPU's first instruction */
	uint32_t ipi_send_ns;
	/* What a thread pays in cold caches that runs on another CPU than last, by distance. */
	uint32_t migrate_core_ns;
	uint32_t migrate_cache_ns;
	uint32_t migrate_node_ns;
	uint32_t migrate_remote_ns;
	uint32_t tick_ns;
	/* An agent's work. */
	uint32_t agent_number_ns; /* the loop itself */
	uint32_t agent_msg_ns;
	uint32_t agent_schedule_ns;
	uint32_t agent_commit_ns;
};

/**
 * profile_read() - the costs that `make bench` measured here
 * @path: build/bench/micro.json or micro-virtual.json
 * @error: receives one sentence on failure
 *
 * What a switch and a local schedule cost, divided as in the profile
 * "measured"; what one machine in a VM does not tell (migrations) is 0. 0 or
 * a negative errno.
 */
int profile_read(struct profile *ret, const char *path, char *error, size_t size);

/* The profile called @name, or NULL. */
const struct profile *profile_find(const char *name);
/* In order; NULL at the end. */
const struct profile *profile_at(unsigned int index);

#endif
