/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `ghost` commands tell each other through files: who keeps an enclave.
 * In: processes. Out: small JSON files below /run/ghost, and one lock.
 * Called by run and by every verb that needs to know who is still alive.
 */
#ifndef GHOST_CLI_RECORD_H
#define GHOST_CLI_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* linux/sched.h; not in that of the C library yet. */
#define POLICY_SCHED_EXT 7

/* A process, also after its pid was given to another one. */
struct process {
	pid_t pid; /* 0: none */
	unsigned long long start;
};

bool process_of(pid_t pid, struct process *ret);
bool process_alive(const struct process *p);
/* To @p, or to nobody: never to whoever was given its pid since. 0 or -ESRCH. */
int process_signal(const struct process *p, int signal);

/*
 * One enclave made by `ghost run`. @agent is the process whose agents decide, or
 * did last; it writes that itself when it takes over from another one.
 */
struct record {
	uint32_t enclave;
	struct process keeper;
	struct process agent;
	struct process upgrader; /* a `ghost upgrade` that is under way */
	char policy[64];
	char params[1024]; /* its parameters, as param_dump() writes them */
	char command[256];
	char config[256]; /* the file that it was made from, in full; or "" */
};

/*
 * The lock that serialises all commands that change something. Returns a file
 * descriptor or a negative errno; says so when it has to wait for long.
 */
int record_lock(void);
void record_unlock(int lock);

/* All below: hold the lock. 0 or a negative errno; -ENOENT: no such record. */
int run_record_write(const struct record *r);
int run_record_read(uint32_t enclave, struct record *ret);
/* The enclave made from the file @config by a keeper that lives. */
int run_record_find(const char *config, struct record *ret);
void record_remove(uint32_t enclave);
bool record_is_live(const struct record *r);
/*
 * Is @pid a keeper or an agent process? Agents must stay above what they schedule,
 * and keepers must be able to clean up.
 */
bool record_is_ours(uint32_t pid);

/*
 * Kill an agent process. Its agents go to the fair class first: on a CPU that others
 * keep to themselves they would not even get the time to die.
 */
void kill_agents(const struct process *p);

/* What `ghost enclave create` hears of its keeper, until there is an enclave; of its pid. */
#define RECORD_CREATE_LOG "create_%d.log"

/* Files that were being written by a command that was killed. */
void record_remove_unfinished(void);

/*
 * What a command is about to do, so that it can be undone when it is killed in
 * the middle: who, and which enclaves were there @before (a bit per id).
 */
struct intent {
	struct process keeper;
	uint64_t before;
	bool loading; /* the kernel side was not loaded before */
};

int intent_write(const struct intent *in);
int intent_read(struct intent *ret);
void intent_remove(void);

/*
 * Was the kernel side that is loaded now loaded by `ghost run` of its own
 * accord, to be unloaded with the last enclave? The mark names one loading, so
 * that it never fits another one.
 */
void automatic_mark(void);
bool automatic_marked(void);
void automatic_unmark(void);

/* --- tidy.c: what dead commands left behind. Hold the lock. ---------------------- */

/* Destroy enclaves whose keeper and agents are gone, unload if nothing is left. */
void tidy(void);
/* Unload, if it was loaded automatically and no enclave is there any more. */
void unload_when_idle(void);
/* Enclaves that exist, a bit per id. */
uint64_t enclaves_present(void);

#endif
