// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual time: events in order, and the machine to which they happen.
 * In: options. Out: a machine that runs. Implements the first part of machine.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/law.h"
#include "sim/machine.h"

/* --- events: a heap with four children to a node, half as deep as with two ------- */

static bool before(const struct event *a, const struct event *b)
{
	return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void machine_post(struct machine *m, uint64_t time, uint32_t type, uint32_t a, uint32_t b)
{
	struct event e = { .time = time, .order = m->order++, .type = type, .a = a, .b = b };
	uint32_t i;

	if (m->nr_heap == m->heap_size) {
		uint32_t size = m->heap_size ? m->heap_size * 2 : 1024;
		struct event *heap = realloc(m->heap, size * sizeof(*heap));

		if (!heap) {
			machine_break(m, "no memory for events");
			return;
		}
		m->heap = heap;
		m->heap_size = size;
	}
	for (i = m->nr_heap++; i; i = (i - 1) / 4) {
		if (!before(&e, &m->heap[(i - 1) / 4]))
			break;
		m->heap[i] = m->heap[(i - 1) / 4];
	}
	m->heap[i] = e;
}

/* Take the event at @i out; the last one takes its place, and finds its own from there. */
static struct event heap_take(struct machine *m, uint32_t i)
{
	struct event taken = m->heap[i], last = m->heap[--m->nr_heap];
	uint32_t n = m->nr_heap;

	if (i == n)
		return taken;
	for (; i && before(&last, &m->heap[(i - 1) / 4]); i = (i - 1) / 4)
		m->heap[i] = m->heap[(i - 1) / 4];

	for (;;) {
		uint32_t child = i * 4 + 1, best = child;

		if (child >= n)
			break;
		for (uint32_t k = child + 1; k < child + 4 && k < n; k++)
			if (before(&m->heap[k], &m->heap[best]))
				best = k;
		if (!before(&m->heap[best], &last))
			break;
		m->heap[i] = m->heap[best];
		i = best;
	}
	m->heap[i] = last;
	return taken;
}

uint32_t machine_call(struct machine *m, call_fn fn, void *arg)
{
	struct call *calls = realloc(m->calls, (m->nr_calls + 1) * sizeof(*calls));

	if (!calls) {
		machine_break(m, "no memory for calls");
		return 0;
	}
	m->calls = calls;
	calls[m->nr_calls] = (struct call){ .fn = fn, .arg = arg };
	return m->nr_calls++;
}

/* --- what happened ------------------------------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

void machine_trace(struct machine *m, enum trace_what what, uint32_t cpu, const struct thread *t,
		   uint64_t arg)
{
	uint32_t tid = t ? t->tid : 0;

	m->hash = mix(mix(mix(m->hash, m->now), (uint64_t)tid << 32 | cpu << 8 | what), arg);
	m->nr_trace[what]++;
	m->nr_events += what != TRACE_STEP && what != TRACE_REQUEST;
	m->news |= what != TRACE_STEP;
	if (m->trace)
		m->trace(m->trace_arg, m,
			 &(struct trace_record){ .time = m->now,
						 .what = what,
						 .cpu = cpu,
						 .thread = tid,
						 .arg = arg });
}

void machine_charge(struct machine *m, uint64_t ns)
{
	struct cpu *c = &m->cpu[m->this_cpu];

	if (!c->idle) {
		c->debt_ns += ns;
		return;
	}
	/* It has the time: only what is not done yet is in the way of whoever comes. */
	c->kernel_ns += ns;
	c->work_until = (c->work_until > m->now ? c->work_until : m->now) + ns;
}

void machine_break(struct machine *m, const char *format, ...)
{
	va_list args;

	m->stop = true;
	if (m->broken[0])
		return;
	va_start(args, format);
	vsnprintf(m->broken, sizeof(m->broken), format, args);
	va_end(args);
}

/* --- the loop --------------------------------------------------------------------------- */

static void fair_comes(struct machine *m, uint32_t cpu)
{
	if (!m->opt.fair_every_ns)
		return;
	cpu_fair_burst(m, cpu, random_exponential(&m->random, m->opt.fair_for_ns));
	machine_post(m, m->now + random_exponential(&m->random, m->opt.fair_every_ns) + 1, EV_FAIR,
		     cpu, 0);
}

static void happen(struct machine *m, const struct event *e)
{
	struct thread *t;

	m->this_thread = NULL;
	switch (e->type) {
	case EV_RUN:
		if (m->cpu[e->a].gen == e->b && m->cpu[e->a].cur)
			cpu_run_end(m, e->a);
		break;
	case EV_RESCHED:
		if (m->cpu[e->a].resched_at == e->time)
			cpu_schedule(m, e->a);
		break;
	case EV_TIMER:
		t = thread_by_tid(m, e->a);
		if (t && t->timer == e->b) {
			m->this_cpu = t->cpu;
			thread_wake(m, t);
		}
		break;
	case EV_INSERT:
		t = thread_by_tid(m, e->a);
		if (t && t->place == PLACE_ARRIVES)
			kernel_arrive(m, t);
		break;
	case EV_REENQUEUE:
		m->this_cpu = 0;
		kernel_reenqueue(m, e->a, e->b);
		break;
	case EV_REENQ_LOCAL:
		kernel_reenq_local(m, e->a);
		break;
	case EV_ALARM:
		if (m->cpu[e->a].alarm == e->b)
			kernel_alarm(m, e->a);
		break;
	case EV_SLICE:
		if (m->cpu[e->a].slice == e->b)
			kernel_slice(m, e->a);
		break;
	case EV_TICK:
		kernel_tick(m, e->a);
		break;
	case EV_HEARTBEAT:
		m->this_cpu = 0;
		kernel_heartbeat(m);
		break;
	case EV_FAIR:
		fair_comes(m, e->a);
		break;
	case EV_CALL:
		m->this_cpu = 0;
		m->calls[e->a].fn(m, m->calls[e->a].arg);
		break;
	}
}

void machine_take(struct machine *m, uint32_t index)
{
	struct event e = heap_take(m, index);

	/* Whoever chooses the order may have let others go first that were later. */
	if (e.time > m->now)
		m->now = e.time;
	happen(m, &e);
	if (m->news && m->nr_polls)
		threads_poll(m);
	if (m->law && !m->broken[0])
		law_check(m);
}

bool machine_step(struct machine *m)
{
	if (!m->nr_heap)
		return false;
	machine_take(m, 0);
	return true;
}

void machine_run(struct machine *m, uint64_t until)
{
	while (!m->stop && m->nr_heap && m->heap[0].time <= until)
		machine_step(m);
	if (!m->stop && m->now < until)
		m->now = until;
}

/* --- life ----------------------------------------------------------------------------------- */

uint32_t machine_mask(struct machine *m, const struct ghost_cpuset *cpus)
{
	struct mask *masks;

	/* The last one found is the likeliest. */
	for (uint32_t i = m->nr_masks; i--;)
		if (!memcmp(&m->masks[i].cpus, cpus, sizeof(*cpus)))
			return i;
	masks = realloc(m->masks, (m->nr_masks + 1) * sizeof(*masks));
	if (!masks || m->nr_masks >= NONE16) {
		machine_break(m, "too many different affinities");
		return 0;
	}
	m->masks = masks;
	masks[m->nr_masks] = (struct mask){ .cpus = *cpus, .nr = ghost_cpuset_count(cpus) };
	return m->nr_masks++;
}

int machine_new(struct machine **ret, const struct machine_options *opt, const char **why)
{
	struct machine *m = calloc(1, sizeof(*m));
	int err;

	*why = "no memory";
	if (!m)
		return -ENOMEM;
	m->opt = *opt;
	random_seed(&m->random, opt->seed);
	err = topology_init(&m->topo, opt->topology, why);
	if (err) {
		free(m);
		return err;
	}
	m->nr_cpus = m->topo.nr_cpus;
	m->nr_threads = 1; /* tid 0 is nobody */
	m->cpu = calloc(m->nr_cpus, sizeof(*m->cpu));
	m->tasks = calloc(opt->capacity, sizeof(*m->tasks));
	m->refs = calloc(opt->capacity, sizeof(struct thread *));
	m->cpus = calloc(GHOST_CPUS_MAX, sizeof(*m->cpus));
	m->before = calloc(m->nr_cpus, sizeof(*m->before));
	m->enclaves = calloc(GHOST_ENCLAVES_MAX, sizeof(*m->enclaves));
	if (!m->cpu || !m->tasks || !m->refs || !m->cpus || !m->before || !m->enclaves) {
		machine_free(m);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < m->nr_cpus; i++) {
		struct cpu *c = &m->cpu[i];

		list_init(&c->local);
		list_init(&c->fair);
		list_init(&c->rt);
		c->resched_at = SIM_FOREVER;
		c->online = true;
		c->idle = true;
		ghost_cpuset_add(&m->online, i);
		if (opt->fair_every_ns)
			machine_post(m, random_exponential(&m->random, opt->fair_every_ns), EV_FAIR,
				     i, 0);
	}
	machine_mask(m, &m->online);
	kernel_init(m);
	*ret = m;
	return 0;
}

void machine_free(struct machine *m)
{
	struct thread *t;

	if (!m)
		return;
	law_free(m);
	m->stop = true; /* nobody does anything about those who go now */
	for (uint32_t i = 1; i < GHOST_ENCLAVES_MAX; i++) {
		m->enclave[i].nr_mapped = 0;
		enclave_discard(m, i);
	}
	for (uint32_t tid = 1; tid < m->nr_threads; tid++) {
		t = m->threads[tid];
		if (t && t->behaviour->gone)
			t->behaviour->gone(m, t);
		m->threads[tid] = NULL;
		if (t)
			free(t->hint);
		free(t);
	}
	while ((t = m->free_threads)) {
		m->free_threads = (struct thread *)t->link.next;
		free(t);
	}
	topology_fini(&m->topo);
	free(m->heap);
	free(m->cpu);
	free(m->threads);
	free(m->joining);
	free(m->before);
	free(m->free_tids);
	free(m->masks);
	free(m->calls);
	free(m->tasks);
	free(m->refs);
	free(m->cpus);
	free(m->enclaves);
	free(m);
}
