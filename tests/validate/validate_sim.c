// SPDX-License-Identifier: GPL-2.0-only
/*
 * The scenarios of recorder.h in the simulator.
 * In: nothing. Out: the notebook. Called by tests/vm/test_validate.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/agent.h"
#include "sim/backend.h"
#include "sim/machine.h"
#include "tests/validate/recorder.h"

static struct world {
	const struct scenario *s;
	struct machine *m;
	struct thread *thread[VALIDATE_THREADS_MAX];
	uint32_t tids[VALIDATE_THREADS_MAX];
	uint32_t nr_handovers;
	uint32_t nr_live;
	int state[VALIDATE_THREADS_MAX];
	uint64_t waited_ns[VALIDATE_THREADS_MAX]; /* since when it waited last */
	uint32_t stops[VALIDATE_THREADS_MAX];
} w;

static struct action next(struct machine *m, struct thread *t)
{
	uint32_t i = (uintptr_t)t->data;

	switch (w.state[i]++) {
	case 0: /* asleep until it is told to go */
		return (struct action){ .act = ACT_BLOCK };
	case 1:
		for (uint32_t k = 1; k < w.s->threads && i == 0 && !w.s->pingpong; k++)
			thread_wake(m, w.thread[k]);
		w.waited_ns[i] = t->waits_ns;
		return (struct action){ .act = ACT_RUN, .ns = w.s->pingpong ? 1000 : 10000 };
	}
	if (!w.s->pingpong) {
		w.stops[i] += t->waits_ns != w.waited_ns[i];
		w.waited_ns[i] = t->waits_ns;
		return (struct action){ .act = w.stops[i] < VALIDATE_HOG_STOPS ? ACT_RUN : ACT_EXIT,
					.ns = 10000 };
	}
	/* The turn is the other one's. */
	w.nr_handovers++;
	thread_wake(m, w.thread[i ^ 1]);
	if (w.nr_handovers >= VALIDATE_HANDOVERS)
		return (struct action){ .act = ACT_EXIT };
	w.state[i] = 1;
	return (struct action){ .act = ACT_BLOCK };
}

static void gone(struct machine *m, struct thread *t)
{
	w.nr_live--;
}

static const struct behaviour behaviour = { .name = "validate", .next = next, .gone = gone };

static void main_of(struct process *p, void *arg)
{
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &w.m->online };
	struct ghost_backend *b = process_backend(p);
	struct ghost_enclave_counts counts = { 0 };
	struct ghost_agents *agents = NULL;
	struct ghost_enclave *e = NULL;
	struct ghost_cpuset one;

	if (ghost_enclave_create(&e, b, &opts))
		return;
	for (uint32_t i = 0; i < w.s->threads; i++) {
		memset(&one, 0, sizeof(one));
		ghost_cpuset_add(&one, scenario_cpu(w.s, i));
		thread_affinity(w.m, w.thread[i], &one);
		thread_wake(w.m, w.thread[i]);
		b->sleep(b, 1000000);
		ghost_enclave_join(e, w.tids[i]);
	}
	if (ghost_agents_start(&agents, e, recorder_policy(), NULL))
		return;
	b->sleep(b, 10000000);
	thread_wake(w.m, w.thread[0]);
	while (w.nr_live)
		b->sleep(b, 10000000);
	ghost_enclave_count(e, &counts);
	recorder_print(w.s, w.tids, &counts);
	ghost_agents_stop(agents);
	ghost_enclave_destroy(e);
	ghost_enclave_close(e);
	w.m->stop = true;
}

int main(void)
{
	struct machine_options mo = {
		.topology = "core:2 pu:1",
		.profile = profile_find("measured"),
		.capacity = 64,
		.seed = 1,
	};
	const char *why;

	for (w.s = scenarios; w.s->name; w.s++) {
		w.nr_handovers = 0;
		w.nr_live = w.s->threads;
		memset(w.state, 0, sizeof(w.state));
		memset(w.stops, 0, sizeof(w.stops));
		if (machine_new(&w.m, &mo, &why))
			return fprintf(stderr, "validate_sim: %s\n", why), 1;
		for (uint32_t i = 0; i < w.s->threads; i++) {
			w.thread[i] = thread_new(w.m, &behaviour, (void *)(uintptr_t)i, 0);
			w.tids[i] = w.thread[i]->tid;
		}
		if (process_start(NULL, w.m, main_of, NULL))
			return 1;
		machine_run(w.m, SIM_FOREVER - 1);
		processes_free(w.m);
		machine_free(w.m);
	}
	return 0;
}
