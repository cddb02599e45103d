/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Agents: the threads that run a policy, one per CPU of the enclave.
 * In: an enclave, a policy. Out: commits. Called by the `ghost` program or by
 * a process of one's own.
 */
#ifndef GHOST_LIBGHOST_AGENT_H
#define GHOST_LIBGHOST_AGENT_H

#include "libghost/enclave.h"
#include "libghost/policy.h"

struct ghost_agents;

struct ghost_agents_opts {
	size_t size;		/* sizeof(struct ghost_agents_opts) */
	const uint64_t *params; /* one per entry of policy->params; NULL for the defaults */
	/*
	 * The CPUs that the enclave is to have from when these agents take it;
	 * NULL: those that it has.
	 */
	const struct ghost_cpuset *cpus;
};

/**
 * ghost_agents_prepare() - everything that can be done before agents decide
 * @ret: receives the handle
 * @policy: must outlive the handle
 *
 * The threads are there, and policy->init() was called; others may decide for
 * @e meanwhile. -EINVAL: a parameter out of range; -ENOMEM; or what
 * policy->init() returned. On failure nothing is left.
 */
int ghost_agents_prepare(struct ghost_agents **ret, struct ghost_enclave *e,
			 const struct ghost_policy *policy, const struct ghost_agents_opts *opts);

/**
 * ghost_agents_take() - take the enclave over as soon as it has no agents
 * @as: prepared, and not taken yet
 * @timeout_ms: how long to wait for the agents there to end; 0: not at all, -1: for ever
 *
 * Nobody waits for itself: the agents, and the thread that calls this, leave SCHED_EXT
 * first, if they are in it as members of an enclave.
 *
 * Returns 0 when every CPU has its agent and the enclave is online: from then
 * on the policy decides. -ETIMEDOUT: others still decide, and @as waits as
 * before: call again. All else is final, and leaves only ghost_agents_stop():
 * -EBUSY: others came first, or one of ghost_agents_opts.cpus belongs to another
 * enclave; -EINVAL: one of them is offline by now; -ESTALE: the enclave has other
 * CPUs now than when @as was prepared; -ENOENT: it is being destroyed; -EPERM.
 */
int ghost_agents_take(struct ghost_agents *as, int timeout_ms);

/**
 * ghost_agents_start() - start the agents of @e and take it over: both of the above
 * @ret: receives the handle
 * @policy: must outlive the handle
 *
 * Returns when every CPU has its agent and the enclave is online: from then
 * on the policy decides. -EBUSY: the enclave has agents already; -EINVAL: a
 * parameter out of range; -EPERM; or what policy->init() returned. On failure
 * the enclave is as before.
 */
int ghost_agents_start(struct ghost_agents **ret, struct ghost_enclave *e,
		       const struct ghost_policy *policy, const struct ghost_agents_opts *opts);

/**
 * ghost_agents_wait() - block until the agents have stopped
 * @timeout_ms: -1 for ever
 *
 * They stop when ghost_agents_stop() is called, or when the enclave is lost
 * or destroyed. Returns 0 when stopped, -ETIMEDOUT.
 */
int ghost_agents_wait(struct ghost_agents *as, int timeout_ms);

/*
 * ghost_agents_hints() - do these agents listen for hints of applications?
 *
 * 0; or why not, a negative errno: -EOPNOTSUPP: their backend has no place for
 * that. They decide without, then. Any thread.
 */
int ghost_agents_hints(const struct ghost_agents *as);

/* ghost_agents_stop() - end the agents; the fallback takes over. Also frees. NULL is fine. */
void ghost_agents_stop(struct ghost_agents *as);

#endif
