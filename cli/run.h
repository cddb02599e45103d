/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One `ghost run` or `ghost serve`: what was asked for, and the processes that do it.
 * In: the command line. Out: an enclave, its agents, the command in it.
 * Called by run.c, keeper.c, janitor.c, stats.c.
 */
#ifndef GHOST_CLI_RUN_H
#define GHOST_CLI_RUN_H

#include <time.h>

#include "cli/cli.h"
#include "cli/record.h"

/* What becomes of the enclave when its agents fail. */
enum on_loss {
	LOSS_FALLBACK, /* the kernel's fallback runs the threads until the command ends */
	LOSS_RESTART,  /* until there are new agents */
	LOSS_DESTROY,  /* the threads go back to the fair class */
};

struct run {
	const struct ghost_policy *policy;
	uint64_t params[PARAMS_MAX];
	struct ghost_cpuset cpus;
	bool new_cpus; /* an upgrade: the enclave gets @cpus with it */
	uint64_t stall_ns;
	enum on_loss on_loss;
	char **command;	    /* NULL: there is none, the enclave is for whoever is put into it */
	const char *cgroup; /* whose threads are put into it, also later ones; or NULL */
	bool delegated;	    /* to @uid and @gid, ~0: none; the agents are theirs */
	uint32_t uid, gid;
	uint32_t max_threads; /* 0: no limit */
	uint32_t fallback;    /* enum ghost_fallback */
	const char *config;   /* the file that it stands in, in full; or NULL */
	const char *stats_json;
	bool stats;
	bool quiet;
};

/* The kernel's fallback alone, and whoever comes to be the agents: "none". */
extern const struct ghost_policy policy_none;

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

/*
 * What the configuration file at @path says, for @verb. Returns 0 or an exit code and
 * has said why; exits 2 when something is wrong in it, and has said what and where.
 */
int run_configure(const struct verb *verb, const char *path, struct run *ret);

/*
 * What the command line of `ghost serve` asks for. Returns 0 or an exit code and has
 * said why; exits 2 when something is wrong in it.
 */
int run_serve(int argc, char **argv, struct run *ret);

/* Tell whoever started us as a service (systemd) that we are ready. */
void notify_ready(void);

/* The keeper: everything from loading to cleaning up. Returns the exit code. */
int keeper_run(const struct run *run);

/*
 * The agent process, in a fresh child: holds the agents of enclave @id, and
 * becomes the janitor when the keeper is gone. Does not return.
 * @report: lines to whoever started it: "ready", or "failed CODE SENTENCE"
 * @keeper: the process whose end makes it the janitor
 * @upgrader: the parent, if it is to wait for the agents there to end, and to end with
 *	the parent until then: it says "waiting" first; or NULL
 *
 * Signals: SIGTERM, stop; SIGUSR1, give the enclave to agents that wait, and wait
 * in turn, until they have failed or the sender has ended; SIGUSR2, take it back.
 */
_Noreturn void janitor_main(const struct run *run, uint32_t id, int report,
			    const struct process *keeper, const struct process *upgrader);

/* How many decisions of its agents were carried out. */
uint64_t stall_committed(const struct ghost_enclave *e);
/*
 * What the agent was doing that should have decided about the thread for which
 * the agents of @e were given up, in @buf. @decides: there were decisions while
 * that thread waited.
 */
void stall_describe(const struct ghost_enclave *e, bool decides, char *buf, size_t size);

/* Numbers of a run, taken before its enclave goes. */
struct stats {
	uint32_t enclave;
	double seconds;
	int exit_code;
	unsigned int restarts; /* times that new agents took over from some that had failed */
	/* of the command and the children it waited for, as the kernel counts them */
	long voluntary;
	long involuntary;
	struct ghost_enclave_counts counts;
};

void stats_print(const struct run *run, const struct stats *s);
/* Returns 0 or a negative errno. */
int stats_write_json(const struct run *run, const struct stats *s);

/* Counters and transactions by name, as status prints them too. */
void stats_add_json(json_t *object, const struct ghost_enclave_counts *counts);
uint64_t stats_committed(const struct ghost_enclave_counts *counts);
uint64_t stats_refused(const struct ghost_enclave_counts *counts);
/* "3 (task_stale 2, again 1)" in @buf */
const char *stats_refusals(const struct ghost_enclave_counts *counts, char *buf, size_t size);

#endif
