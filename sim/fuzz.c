// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases: drawn, written, read, run, made smaller.
 * In: a seed, or a line of text. Out: a run under the laws. Implements fuzz.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/enclave.h"
#include "policies/policies.h"
#include "sim/fuzz.h"

/* --- drawing ------------------------------------------------------------------------ */

static void draw_fault(struct fault *ft, struct random *r, uint64_t duration_ns)
{
	*ft = (struct fault){
		.when_ns = random_below(r, duration_ns),
		.kind = random_below(r, FAULT_NR),
		.what = random_below(r, 1000),
		.arg = 1 + random_below(r, random_below(r, 2) ? 100 : 5000),
	};
	/* What ends a run's interest should not happen in every one. */
	if ((ft->kind == FAULT_DESTROY || ft->kind == FAULT_OFFLINE || ft->kind == FAULT_HANG ||
	     ft->kind == FAULT_CRASH) &&
	    random_below(r, 3))
		ft->kind = FAULT_AFFINITY;
}

/* Some shape with as many CPUs, if that number divides. */
static void draw_topology(struct fuzz_case *c, struct random *r)
{
	uint32_t threads = c->cpus % 2 == 0 ? 1 + random_below(r, 2) : 1, rest = c->cpus / threads;
	uint32_t nodes = rest % 2 == 0 ? 1 + random_below(r, 2) : 1;
	uint32_t caches = rest / nodes % 2 == 0 ? 1 + random_below(r, 2) : 1;

	if (random_below(r, 2))
		snprintf(c->topology, sizeof(c->topology), "package:%u/[numa]/l3:%u/core:%u/pu:%u",
			 nodes, caches, rest / nodes / caches, threads);
}

static int by_time(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;

	return x->when_ns < y->when_ns ? -1 : x->when_ns > y->when_ns;
}

void fuzz_draw(struct fuzz_case *ret, uint64_t seed, const char *policy, uint32_t max_events)
{
	static const uint32_t sizes[] = { 1, 2, 2, 3, 4, 4, 6, 8, 12, 16 };
	static const char *const kinds[] = { "dispersive", "openloop", "closed",
					     "pingpong",   "pipeline", "periodic",
					     "hogs",	   "forks",    "vcpus" };
	struct fuzz_case c = { .seed = seed, .max_events = max_events };
	struct random r;
	uint32_t nr = 0;

	random_seed(&r, seed);
	while (policies[nr])
		nr++;
	snprintf(c.policy, sizeof(c.policy), "%s",
		 policy ? policy : policies[random_below(&r, nr)]->name);
	c.slice_ns = random_below(&r, 3) ? 100000 << random_below(&r, 8) : 0;
	c.cpus = sizes[random_below(&r, sizeof(sizes) / sizeof(sizes[0]))];
	c.enclave_cpus = random_below(&r, 3) ? c.cpus : 1 + random_below(&r, c.cpus);
	draw_topology(&c, &r);
	c.reuse = random_below(&r, 2);
	c.fine = random_below(&r, 4) != 0;
	c.window_ns = random_below(&r, 2) ? 1 + random_below(&r, 3000) : 0;
	if (random_below(&r, 2)) {
		c.fair_every_ns = 100000 << random_below(&r, 6);
		c.fair_for_ns = 1000 + random_below(&r, c.fair_every_ns / 2);
	}
	/* Long enough never to be the policy's fault with these slices and threads. */
	c.stall_ns = random_below(&r, 4) ? 0 : 2000000000;
	/* Calm work takes long to make as many events as lively work. */
	c.duration_ns = 1000000 + random_below(&r, random_below(&r, 3) ? 60000000 : 1000000000);
	c.nr_work = 1 + random_below(&r, 2);
	for (uint32_t i = 0; i < c.nr_work; i++) {
		snprintf(c.work[i].kind, sizeof(c.work[i].kind), "%s",
			 kinds[random_below(&r, sizeof(kinds) / sizeof(kinds[0]))]);
		c.work[i].threads = 1 + random_below(&r, 12);
		c.work[i].load_ppm = 100000 + random_below(&r, 1100000);
	}
	if (random_below(&r, 8)) {
		c.plan.nr = random_below(&r, random_below(&r, 2) ? 5 : 40);
		c.plan.interrupt_ppm = random_below(&r, 3) ? random_below(&r, 400000) : 0;
	}
	for (uint32_t i = 0; i < c.plan.nr; i++)
		draw_fault(&c.plan.faults[i], &r, c.duration_ns);
	/* Last: what a seed stood for before there was this, it stands for still. */
	for (uint32_t i = 0; i < c.nr_work; i++)
		c.work[i].nice = random_below(&r, 3) ? 0 : 1 + random_below(&r, 19);
	c.fallback = random_below(&r, GHOST_FALLBACK_MAX + 1);
	qsort(c.plan.faults, c.plan.nr, sizeof(c.plan.faults[0]), by_time);
	*ret = c;
}

/* --- text: key=value, separated by spaces --------------------------------------------- */

void fuzz_format(const struct fuzz_case *c, char *buf, size_t size)
{
	size_t n = 0;

#define ADD(...)                                                              \
	do {                                                                  \
		n += snprintf(buf + n, n < size ? size - n : 0, __VA_ARGS__); \
		if (n >= size)                                                \
			return;                                               \
	} while (0)
	ADD("seed=%" PRIu64 " policy=%s cpus=%u enclave=%u duration=%" PRIu64 " events=%u", c->seed,
	    c->policy, c->cpus, c->enclave_cpus, c->duration_ns, c->max_events);
	if (c->slice_ns)
		ADD(" slice=%" PRIu64, c->slice_ns);
	if (c->topology[0])
		ADD(" topology=%s", c->topology);
	if (c->reuse)
		ADD(" reuse=%u", c->reuse);
	if (c->fine)
		ADD(" fine=%u", c->fine);
	if (c->window_ns)
		ADD(" window=%" PRIu64, c->window_ns);
	if (c->fair_every_ns)
		ADD(" fair=%" PRIu64 ":%" PRIu64, c->fair_every_ns, c->fair_for_ns);
	if (c->stall_ns)
		ADD(" stall=%" PRIu64, c->stall_ns);
	if (c->fallback)
		ADD(" fallback=%u", c->fallback);
	if (c->plan.interrupt_ppm)
		ADD(" interrupt=%u", c->plan.interrupt_ppm);
	for (uint32_t i = 0; i < c->nr_work; i++) {
		ADD(" work=%s:%u:%u", c->work[i].kind, c->work[i].threads, c->work[i].load_ppm);
		if (c->work[i].nice)
			ADD(":%u", c->work[i].nice);
	}
	for (uint32_t i = 0; i < c->plan.nr; i++)
		ADD(" fault=%s:%" PRIu64 ":%u:%u", fault_name(c->plan.faults[i].kind),
		    c->plan.faults[i].when_ns, c->plan.faults[i].what, c->plan.faults[i].arg);
#undef ADD
}

static int parse_fault(struct fuzz_case *c, const char *value)
{
	struct fault ft = { 0 };
	char name[16];

	if (sscanf(value, "%15[a-z]:%" SCNu64 ":%u:%u", name, &ft.when_ns, &ft.what, &ft.arg) !=
		    4 ||
	    c->plan.nr == FAULTS_MAX)
		return -EINVAL;
	for (ft.kind = 0; ft.kind < FAULT_NR; ft.kind++)
		if (!strcmp(fault_name(ft.kind), name))
			break;
	if (ft.kind == FAULT_NR)
		return -EINVAL;
	c->plan.faults[c->plan.nr++] = ft;
	return 0;
}

static int parse_work(struct fuzz_case *c, const char *value)
{
	uint32_t i = c->nr_work;

	if (i == SIM_WORKLOADS_MAX ||
	    sscanf(value, "%15[a-z]:%u:%u:%u", c->work[i].kind, &c->work[i].threads,
		   &c->work[i].load_ppm, &c->work[i].nice) < 3)
		return -EINVAL;
	if (!workload_kind(c->work[i].kind) || !strcmp(c->work[i].kind, "replay") ||
	    c->work[i].threads > 100000 || c->work[i].nice > 19)
		return -EINVAL;
	c->nr_work++;
	return 0;
}

static int parse_pair(struct fuzz_case *c, const char *key, const char *value)
{
	const struct {
		const char *key;
		uint64_t *u64;
		uint32_t *u32;
	} numbers[] = {
		{ "seed", &c->seed, NULL },
		{ "slice", &c->slice_ns, NULL },
		{ "window", &c->window_ns, NULL },
		{ "stall", &c->stall_ns, NULL },
		{ "duration", &c->duration_ns, NULL },
		{ "cpus", NULL, &c->cpus },
		{ "enclave", NULL, &c->enclave_cpus },
		{ "fine", NULL, &c->fine },
		{ "reuse", NULL, &c->reuse },
		{ "events", NULL, &c->max_events },
		{ "fallback", NULL, &c->fallback },
		{ "interrupt", NULL, &c->plan.interrupt_ppm },
	};
	unsigned long long n;
	char *end;

	if (!strcmp(key, "policy")) {
		snprintf(c->policy, sizeof(c->policy), "%s", value);
		return policies_find(c->policy) ? 0 : -EINVAL;
	}
	if (!strcmp(key, "topology"))
		return (size_t)snprintf(c->topology, sizeof(c->topology), "%s", value) <
				       sizeof(c->topology) ?
			       0 :
			       -EINVAL;
	if (!strcmp(key, "work"))
		return parse_work(c, value);
	if (!strcmp(key, "fault"))
		return parse_fault(c, value);
	if (!strcmp(key, "fair"))
		return sscanf(value, "%" SCNu64 ":%" SCNu64, &c->fair_every_ns, &c->fair_for_ns) ==
				       2 ?
			       0 :
			       -EINVAL;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end || end == value || errno)
		return -EINVAL;
	if (!strcmp(key, "fallback") && n > GHOST_FALLBACK_MAX)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(numbers[i].key, key))
			continue;
		if (numbers[i].u64)
			*numbers[i].u64 = n;
		else if (n > UINT32_MAX)
			return -EINVAL;
		else
			*numbers[i].u32 = n;
		return 0;
	}
	return -EINVAL;
}

int fuzz_parse(struct fuzz_case *ret, const char *text, char *error, size_t size)
{
	struct fuzz_case c = { 0 };
	char *copy = strdup(text), *save = NULL, *word, *value;
	int err = copy ? 0 : -ENOMEM;

	for (word = copy ? strtok_r(copy, " ", &save) : NULL; word && !err;
	     word = strtok_r(NULL, " ", &save)) {
		value = strchr(word, '=');
		if (value)
			*value++ = 0;
		err = value ? parse_pair(&c, word, value) : -EINVAL;
		if (err)
			snprintf(error, size, "'%s%s%s' is no part of a case", word,
				 value ? "=" : "", value ? value : "");
	}
	free(copy);
	if (err)
		return err;
	if (!c.policy[0] || !c.nr_work || !c.cpus || c.cpus > GHOST_CPUS_MAX ||
	    c.enclave_cpus > c.cpus || !c.duration_ns) {
		snprintf(error, size,
			 "a case needs at least policy, cpus (1 to %d), duration and work",
			 GHOST_CPUS_MAX);
		return -EINVAL;
	}
	*ret = c;
	return 0;
}

/* Longer than the work of any case takes; the longest that there is. */
#define STALL_NS_BATCH GHOST_STALL_NS_MAX

/* --- running -------------------------------------------------------------------------------- */

int fuzz_run(const struct fuzz_case *c, struct sim_report *ret, trace_fn trace, void *trace_arg)
{
	double share = 1;
	struct sim_options o = {
		.policy = policies_find(c->policy),
		.cpus = c->cpus,
		.enclave_cpus = c->enclave_cpus,
		.profile = profile_at(0),
		.nr_work = c->nr_work,
		.duration_ns = c->duration_ns,
		.max_events = c->max_events,
		.seed = c->seed,
		.stall_ns = c->stall_ns,
		.fallback = c->fallback,
		.fair_every_ns = c->fair_every_ns,
		.fair_for_ns = c->fair_for_ns,
		.window_ns = c->window_ns,
		.reuse_tids = c->reuse,
		.fine = c->fine,
		.laws = true,
		.plan = &c->plan,
		.trace = trace,
		.trace_arg = trace_arg,
	};
	char topology[sizeof(c->topology)];
	uint64_t params[32];
	const char *why;
	struct sim *s;
	int err;

	snprintf(topology, sizeof(topology), "%s", c->topology);
	for (char *p = topology; *p; p++)
		if (*p == '/')
			*p = ' ';
	if (topology[0])
		o.topology = topology;

	for (uint32_t i = 0; o.policy->params && o.policy->params[i].name; i++) {
		const struct ghost_param *p = &o.policy->params[i];

		params[i] = p->value;
		/* Switches are on in every other case. */
		if (p->type == GHOST_PARAM_BOOL)
			params[i] = c->seed & 1;
		if (!strcmp(p->name, "slice") && c->slice_ns >= p->min && c->slice_ns <= p->max)
			params[i] = c->slice_ns;
		/*
		 * Who knows batch lets it wait while others want to run, until their work is
		 * done: let that not be what eight CPUs can do where the enclave has two.
		 */
		if (!strcmp(p->name, "nice")) {
			o.stall_ns = STALL_NS_BATCH;
			share = c->enclave_cpus ? (double)c->enclave_cpus / c->cpus : 1;
		}
		o.params = params;
	}
	for (uint32_t i = 0; i < c->nr_work; i++)
		o.work[i] = (struct workload_options){
			.kind = c->work[i].kind,
			.threads = c->work[i].threads,
			.nice = c->work[i].nice,
			.load_ppm = c->work[i].load_ppm * share,
		};
	err = sim_new(&s, &o, &why);
	if (err)
		return err;
	err = sim_run(s);
	sim_report(s, ret);
	sim_free(s);
	return err;
}

/* --- making smaller ----------------------------------------------------------------------------- */

struct shrink {
	struct fuzz_case *c;
	uint32_t runs, tries;
	void (*progress)(void *arg, const struct fuzz_case *c, uint32_t run);
	void *arg;
};

/* Does @smaller still break a law? Then it is the case. */
static bool try_case(struct shrink *s, const struct fuzz_case *smaller)
{
	struct sim_report r;

	if (s->runs >= s->tries)
		return false;
	s->runs++;
	if (fuzz_run(smaller, &r, NULL, NULL) != -EPROTO)
		return false;
	*s->c = *smaller;
	if (s->progress)
		s->progress(s->arg, s->c, s->runs);
	return true;
}

/* Faults in halves, quarters, ..., one by one. */
static bool fewer_faults(struct shrink *s)
{
	bool better = false;

	for (uint32_t part = (s->c->plan.nr + 1) / 2; part; part /= 2)
		for (uint32_t at = 0; at + part <= s->c->plan.nr;) {
			struct fuzz_case t = *s->c;

			memmove(&t.plan.faults[at], &t.plan.faults[at + part],
				(t.plan.nr - at - part) * sizeof(t.plan.faults[0]));
			t.plan.nr -= part;
			if (try_case(s, &t))
				better = true;
			else
				at += part;
		}
	return better;
}

static bool less_work(struct shrink *s)
{
	bool better = false;

	for (uint32_t i = 0; i < s->c->nr_work && s->c->nr_work > 1;) {
		struct fuzz_case t = *s->c;

		memmove(&t.work[i], &t.work[i + 1], (t.nr_work - i - 1) * sizeof(t.work[0]));
		t.nr_work--;
		if (try_case(s, &t))
			better = true;
		else
			i++;
	}
	for (uint32_t i = 0; i < s->c->nr_work; i++)
		while (s->c->work[i].threads > 1) {
			struct fuzz_case t = *s->c;

			t.work[i].threads -= (t.work[i].threads + 1) / 2;
			if (!try_case(s, &t)) {
				t = *s->c;
				t.work[i].threads--;
				if (!try_case(s, &t))
					break;
			}
			better = true;
		}
	return better;
}

static bool smaller_machine(struct shrink *s)
{
	bool better = false;

	while (s->c->cpus > 1) {
		struct fuzz_case t = *s->c;

		t.cpus = t.cpus > 4 ? t.cpus / 2 : t.cpus - 1;
		t.topology[0] = 0;
		if (t.enclave_cpus > t.cpus)
			t.enclave_cpus = t.cpus;
		if (!try_case(s, &t))
			break;
		better = true;
	}
	return better;
}

static bool simpler(struct shrink *s)
{
	struct fuzz_case t;
	bool better = false;

#define TRY(condition, change)                     \
	do {                                       \
		t = *s->c;                         \
		if (condition) {                   \
			change;                    \
			better |= try_case(s, &t); \
		}                                  \
	} while (0)
	TRY(t.fair_every_ns, t.fair_every_ns = t.fair_for_ns = 0);
	TRY(t.topology[0], t.topology[0] = 0);
	TRY(t.reuse, t.reuse = 0);
	TRY(t.window_ns, t.window_ns = 0);
	TRY(t.fallback, t.fallback = 0);
	TRY(t.plan.interrupt_ppm, t.plan.interrupt_ppm = 0);
	TRY(t.fine, t.fine = 0);
	TRY(t.slice_ns, t.slice_ns = 0);
	for (uint32_t i = 0; i < s->c->nr_work; i++)
		TRY(t.work[i].nice, t.work[i].nice = 0);
	TRY(t.enclave_cpus != t.cpus, t.enclave_cpus = t.cpus);
	TRY(t.duration_ns > 1000000, t.duration_ns /= 2);
	TRY(t.max_events > 100, t.max_events /= 2);
#undef TRY
	return better;
}

uint32_t fuzz_shrink(struct fuzz_case *c, uint32_t tries,
		     void (*progress)(void *arg, const struct fuzz_case *c, uint32_t run),
		     void *arg)
{
	struct shrink s = { .c = c, .tries = tries, .progress = progress, .arg = arg };
	bool better;

	do {
		better = fewer_faults(&s);
		better |= less_work(&s);
		better |= smaller_machine(&s);
		better |= simpler(&s);
	} while (better && s.runs < s.tries);
	return s.runs;
}
