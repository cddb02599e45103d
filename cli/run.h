/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One `ghost run`: what was asked for, and the processes that do it.
 * In: the command line. Out: an enclave, its agents, the command in it.
 * Called by run.c, keeper.c, janitor.c, stats.c.
 */
#ifndef GHOST_CLI_RUN_H
#define GHOST_CLI_RUN_H

#include "cli/cli.h"
#include "cli/record.h"

struct run {
	const struct ghost_policy *policy;
	uint64_t params[PARAMS_MAX];
	struct ghost_cpuset cpus;
	uint64_t stall_ns;
	char **command;
	const char *stats_json;
	bool stats;
	bool quiet;
};

/* The keeper: everything from loading to cleaning up. Returns the exit code. */
int keeper_run(const struct run *run);

/*
 * The agent process, in a fresh child: holds the agents of enclave @id, and
 * becomes the janitor when the keeper is gone. Does not return.
 * @report: one line to the keeper: "ready" or "failed CODE SENTENCE"
 * @life: one byte means "stop now", end of file that the keeper has died
 */
_Noreturn void janitor_main(const struct run *run, uint32_t id, int report, int life);

/* Numbers of a run, taken before its enclave goes. */
struct stats {
	uint32_t enclave;
	double seconds;
	int exit_code;
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
