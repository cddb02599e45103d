// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a thread waited: who it is, and what the agent that should have decided
 * about it was doing.
 * In: an enclave whose agents were given up just now, /proc. Out: a sentence.
 * Called by keeper.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/run.h"
#include "libghost/proc.h"

/* The waiting thread's record, or NULL if it has ended since. */
static const struct ghost_status *find_thread(const struct ghost_enclave *e, uint32_t tid)
{
	const struct ghost_memory *mem = ghost_enclave_memory(e);
	uint32_t nr = ghost_enclave_status(e)->nr_slots;

	for (uint32_t slot = 1; slot < nr && slot < mem->capacity; slot++) {
		const struct ghost_status *st = &mem->status[slot];

		if (st->tid == tid && ghost_status_flags(st->word) & GHOST_STATUS_INUSE)
			return st;
	}
	return NULL;
}

/* The CPU whose agent gets the messages of @st: that of its queue, or where an agent spins. */
static uint32_t cpu_of(const struct ghost_enclave *e, const struct ghost_status *st)
{
	const struct ghost_memory *mem = ghost_enclave_memory(e);

	if (st->queue < mem->nr_cpus)
		return st->queue;
	for (uint32_t cpu = 0; cpu < mem->nr_cpus; cpu++)
		if (mem->cpu[cpu].owned && mem->cpu_rw[cpu].spins)
			return cpu;
	return GHOST_CPU_NONE;
}

static char state_of(uint32_t tid)
{
	char line[PROC_STAT_SIZE];
	const char *c = proc_stat(tid, line);

	return c ? *c : 0;
}

/* Where in the kernel it sleeps. */
static void place_of(uint32_t tid, char *buf, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/wchan", tid);
	f = fopen(path, "re");
	if (!f || !fgets(buf, size, f) || !strcmp(buf, "0"))
		snprintf(buf, size, "?");
	if (f)
		fclose(f);
}

static void doing(uint32_t tid, bool decides, char *buf, size_t size)
{
	char where[64];

	switch (state_of(tid)) {
	case 'R':
		snprintf(buf, size,
			 decides ? "decides about other threads" :
				   "computes and does not decide: its policy may be in a loop");
		return;
	case 'T':
		snprintf(buf, size, "is stopped (SIGSTOP)");
		return;
	case 't':
		snprintf(buf, size, "is held by a debugger");
		return;
	case 'D':
		place_of(tid, where, sizeof(where));
		snprintf(buf, size, "waits for memory or a disk (%s)", where);
		return;
	case 'S':
		place_of(tid, where, sizeof(where));
		snprintf(buf, size,
			 strstr(where, "futex") ? "waits for a lock (%s)" : "sleeps (%s)", where);
		return;
	default:
		snprintf(buf, size,
			 decides ? "decided about other threads" : "has ended meanwhile");
	}
}

uint64_t stall_committed(const struct ghost_enclave *e)
{
	const struct ghost_memory *mem = ghost_enclave_memory(e);
	uint64_t sum = 0;

	for (uint32_t cpu = 0; cpu < mem->nr_cpus; cpu++)
		if (mem->cpu[cpu].owned)
			sum += mem->cpu[cpu].nr_txn[GHOST_TXN_COMMITTED];
	return sum;
}

/*
 * The CPU whose agent should have decided about the thread @tid. Who waited may have
 * run and ended since: then that of an agent that does not just wait for messages.
 */
static uint32_t cpu_of_agent(const struct ghost_enclave *e, uint32_t tid)
{
	const struct ghost_memory *mem = ghost_enclave_memory(e);
	const struct ghost_status *st = find_thread(e, tid);
	uint32_t ret = GHOST_CPU_NONE;

	if (st)
		return cpu_of(e, st);
	for (uint32_t cpu = 0; cpu < mem->nr_cpus; cpu++) {
		char state = mem->cpu[cpu].owned ? state_of(mem->cpu[cpu].agent_tid) : 0;

		if (state &&
		    (ret == GHOST_CPU_NONE || state == 'T' || state == 't' || state == 'D'))
			ret = cpu;
	}
	return ret;
}

void stall_describe(const struct ghost_enclave *e, bool decides, char *buf, size_t size)
{
	const struct ghost_enclave_status *es = ghost_enclave_status(e);
	uint32_t cpu = cpu_of_agent(e, es->lost_arg), tid = 0;
	char what[128];

	if (cpu < ghost_enclave_memory(e)->nr_cpus)
		tid = ghost_enclave_memory(e)->cpu[cpu].agent_tid;
	if (tid) {
		doing(tid, decides, what, sizeof(what));
		snprintf(buf, size, "agent %u, of CPU %u, %s", tid, cpu, what);
	} else if (decides) {
		snprintf(buf, size, "the agents decided about other threads");
	} else {
		snprintf(buf, size, "the agents have left meanwhile");
	}
}
