/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A run of the simulator: a policy on a machine with work, from a seed.
 * In: options. Out: a report. Called by the `ghost` program, tests, the bench.
 *
 * The mechanism (core/), the library (libghost/) and the policies are the
 * shipping ones, not models of them; see docs/sim.md.
 */
#ifndef GHOST_SIM_SIM_H
#define GHOST_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libghost/policy.h"
#include "sim/law.h"
#include "sim/machine.h"
#include "sim/record.h"
#include "sim/workload.h"

#define SIM_WORKLOADS_MAX 4

struct fault_plan;

struct sim_options {
	const struct ghost_policy *policy;
	const uint64_t *params; /* one per parameter; NULL: the defaults */
	const char *topology;	/* hwloc synthetic description; NULL: topology_default(cpus) */
	uint32_t cpus;
	uint32_t enclave_cpus; /* the first so many are the enclave's; 0: all */
	const struct profile *profile;
	struct workload_options work[SIM_WORKLOADS_MAX];
	uint32_t nr_work;
	uint64_t warmup_ns; /* not measured */
	uint64_t duration_ns;
	uint64_t upgrade_ns; /* after the warm-up other agents take over; 0: never */
	uint64_t max_events; /* end the measured time early; 0: never */
	uint64_t seed;
	uint32_t capacity;		     /* slots; 0: enough for the work */
	uint64_t stall_ns;		     /* of the enclave; 0: the default */
	uint32_t fallback;		     /* of the enclave: enum ghost_fallback */
	uint64_t fair_every_ns, fair_for_ns; /* load of the fair class, per CPU; 0: none */
	uint64_t window_ns;
	bool reuse_tids;
	bool fine;
	bool laws;		       /* check them at every step */
	const struct fault_plan *plan; /* what goes wrong; NULL: nothing */
	trace_fn trace;
	void *trace_arg;
	/* Called now and then with the part that is done, in millionths; may be NULL. */
	void (*progress)(void *arg, uint32_t ppm);
	void *progress_arg;
};

struct sim_report {
	uint64_t events; /* scheduling events simulated */
	uint64_t trace_hash;
	uint64_t duration_ns; /* virtual time measured */
	uint64_t finished;    /* requests, of all work */
	uint64_t throughput_rps;
	uint32_t nr_work;
	struct workload_report work[SIM_WORKLOADS_MAX];
	struct hist latency; /* of all requests, from the intended arrival to the end */
	struct hist wakeup;  /* of all threads, from runnable to running */
	/* Parts of all CPUs' time, in millionths. */
	uint32_t busy_ppm, agent_ppm, fair_ppm, kernel_ppm;
	uint32_t work_ppm[SIM_WORKLOADS_MAX]; /* by the threads of each */
	uint64_t nr_msgs, nr_overflows, nr_switches;
	uint64_t nr_txn[GHOST_TXN_NR_STATES];
	uint64_t nr_fallbacks;
	bool upgraded; /* and then, ns: nobody decided, longest wait of a runnable thread */
	uint64_t undecided_ns, blackout_ns;
	uint32_t nr_agents_lost; /* times the enclave lost its agents */
	uint32_t lost_reason;	 /* the last time: enum ghost_lost_reason */
	struct law_counts laws;
	uint64_t end_ns;  /* virtual time when all was over */
	char broken[256]; /* the law that was broken; "" if none */
};

struct sim;

/**
 * sim_new() - a machine with the policy's agents and the work's threads, at time 0
 * @why: receives a static sentence on failure
 *
 * -EINVAL, -ENOMEM. One at a time in a process.
 */
int sim_new(struct sim **ret, const struct sim_options *opt, const char **why);

/* The whole run. Returns 0, -EPROTO when a law was broken, or another negative errno. */
int sim_run(struct sim *s);

void sim_report(struct sim *s, struct sim_report *ret);
void sim_free(struct sim *s);

/* For faults and tests. */
struct machine *sim_machine(struct sim *s);
uint32_t sim_enclave(const struct sim *s);
/* The agents' process that is there now, or NULL. */
struct process *sim_agents(struct sim *s);
/* Begin a new one: the old one is gone, or is about to. @cpus: the enclave gets these; NULL: keeps its own. */
int sim_agents_start(struct sim *s, const struct ghost_cpuset *cpus);

#endif
