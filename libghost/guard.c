// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who gets no time is helped, or sent to the fair class.
 * In: an enclave's memory, /proc. Out: see guard.h, which this implements.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "libghost/guard.h"

/* 10 s. */
#define LOOKS_MAX 5
/*
 * 4 s, and before the agents: while a stranger waits on its CPU, a nudge does not help an
 * agent, which would be sent away in its place.
 */
#define LOOKS_STRANGER_MAX 2
/* 16 s: whom agents let wait is their business, for as long as a stall limit can be. */
#define LOOKS_DECIDED_MAX 8

/* What a thread had done at the last look. */
struct watched {
	uint64_t did;	/* its time as its record says, or who it is */
	uint64_t ran;	/* as runtime_of() has it */
	uint32_t looks; /* since it did anything */
};

struct stranger {
	uint32_t tid;
	struct watched w;
};

struct ghost_guard {
	struct ghost_enclave *enclave;
	const struct ghost_memory *mem;
	struct watched *agents;	    /* [mem->nr_cpus] */
	struct watched *tasks;	    /* [mem->capacity] */
	struct stranger *strangers; /* in the order of their numbers */
	int nr_strangers;
};

int ghost_guard_open(struct ghost_guard **ret, struct ghost_enclave *e)
{
	struct ghost_guard *g;

	if (!ghost_enclave_backend(e)->agent_nudge)
		return -EOPNOTSUPP;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->enclave = e;
	g->mem = ghost_enclave_memory(e);
	g->agents = calloc(g->mem->nr_cpus, sizeof(*g->agents));
	g->tasks = calloc(g->mem->capacity, sizeof(*g->tasks));
	if (!g->agents || !g->tasks) {
		ghost_guard_close(g);
		return -ENOMEM;
	}
	*ret = g;
	return 0;
}

void ghost_guard_close(struct ghost_guard *g)
{
	if (!g)
		return;
	free(g->agents);
	free(g->tasks);
	free(g->strangers);
	free(g);
}

/* CPU time of a thread, ns, and 1 for being there; 0: it has ended. */
static uint64_t runtime_of(uint32_t tid)
{
	uint64_t ran = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/schedstat", tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &ran) == 1)
		ran++;
	fclose(f);
	return ran;
}

/*
 * For how many looks @tid has done nothing and had no time; 0 before @close, from when on
 * it is looked at closely: of thousands that wait only few ever are.
 */
static uint32_t starves(struct watched *w, uint64_t did, uint32_t tid, uint32_t close)
{
	uint64_t ran;

	if (w->did != did) {
		*w = (struct watched){ .did = did };
		return 0;
	}
	if (++w->looks < close)
		return 0;
	ran = runtime_of(tid);
	if (ran && ran == w->ran)
		return w->looks;
	/* It has ended, or run; or what it had before is not known yet. */
	if (!ran || w->ran)
		w->looks = 0;
	w->ran = ran;
	return 0;
}

static bool expel(struct ghost_guard *g, struct watched *w, uint32_t tid, uint32_t *ret_tid)
{
	struct ghost_backend *b = ghost_enclave_backend(g->enclave);

	w->looks = 0;
	if (b->task_leave(b, tid))
		return false;
	if (ret_tid)
		*ret_tid = tid;
	return true;
}

static unsigned int look_at_agent(struct ghost_guard *g, uint32_t cpu, uint32_t *ret_tid)
{
	const struct ghost_cpu *page = &g->mem->cpu[cpu];
	uint32_t tid = __atomic_load_n(&page->agent_tid, __ATOMIC_RELAXED), looks;
	struct ghost_backend *b = ghost_enclave_backend(g->enclave);

	/* One that decides for all is of another class, and the rest of those sleep. */
	if (!page->owned || !tid || b->agent_nudge(b, tid, GHOST_CPU_NONE))
		return 0;
	/*
	 * With nothing to do it says so once per second (core/enclave.h), and has time for
	 * that. What is decided for its CPU is no sign of it: others may do that.
	 */
	looks = starves(&g->agents[cpu], tid, tid, 1);
	if (looks >= LOOKS_MAX)
		return expel(g, &g->agents[cpu], tid, ret_tid);
	if (looks)
		b->agent_nudge(b, tid, cpu);
	return 0;
}

static unsigned int look_at_task(struct ghost_guard *g, uint32_t slot, uint32_t *ret_tid)
{
	const struct ghost_status *st = &g->mem->status[slot];
	uint32_t flags = ghost_status_flags(__atomic_load_n(&st->word, __ATOMIC_ACQUIRE)), max;
	struct watched *w = &g->tasks[slot];

	/* One that was put on a CPU may wait there, too, beneath others. */
	if (!(flags & (GHOST_STATUS_FALLBACK | GHOST_STATUS_RUNNABLE | GHOST_STATUS_ONCPU))) {
		*w = (struct watched){ 0 };
		return 0;
	}
	max = flags & GHOST_STATUS_RUNNABLE ? LOOKS_DECIDED_MAX : LOOKS_MAX;
	/* Not its number: that advances when agents come and go, and it need not run for that. */
	if (starves(w, (st->runtime_ns ^ st->gtid) + 1, st->tid, max - 2) < max)
		return 0;
	return expel(g, w, st->tid, ret_tid);
}

/*
 * Threads of our class in no enclave wait for as long as others keep their CPU, too, and
 * anybody can have such threads.
 */
static void look_at_strangers(struct ghost_guard *g)
{
	struct ghost_backend *b = ghost_enclave_backend(g->enclave);
	struct stranger *now = NULL;
	uint32_t *tids = NULL;
	int nr = b->strangers ? b->strangers(b, &tids) : 0, before = 0;

	if (nr > 0)
		now = calloc(nr, sizeof(*now));
	for (int i = 0; now && i < nr; i++) {
		now[i].tid = tids[i];
		while (before < g->nr_strangers && g->strangers[before].tid < tids[i])
			before++;
		if (before < g->nr_strangers && g->strangers[before].tid == tids[i])
			now[i].w = g->strangers[before].w;
		if (starves(&now[i].w, 1, tids[i], 1) >= LOOKS_STRANGER_MAX)
			expel(g, &now[i].w, tids[i], NULL);
	}
	free(tids);
	free(g->strangers);
	g->strangers = now;
	g->nr_strangers = now ? nr : 0;
}

unsigned int ghost_guard_look(struct ghost_guard *g, uint32_t *ret_tid)
{
	uint32_t nr =
		__atomic_load_n(&ghost_enclave_status(g->enclave)->nr_slots, __ATOMIC_RELAXED);
	unsigned int expelled = 0;

	look_at_strangers(g);
	for (uint32_t cpu = 0; cpu < g->mem->nr_cpus; cpu++)
		expelled += look_at_agent(g, cpu, ret_tid);
	for (uint32_t slot = 1; slot < nr && slot < g->mem->capacity; slot++)
		expelled += look_at_task(g, slot, ret_tid);
	return expelled;
}
