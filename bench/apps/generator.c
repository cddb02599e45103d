// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load generator: a clock, a queue, and idle workers.
 * In: arrivals. Out: requests, lateness, what was dropped. Implements generator.h.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/apps/generator.h"

static void say(const char *what)
{
	fprintf(stderr, "%s: the load generator %s: %s\n", program_invocation_short_name, what,
		strerror(errno));
	_exit(1);
}

static void draw_next(struct generator *g)
{
	g->next_ns = g->start_ns + arrivals_next(&g->arrivals);
}

void generator_init(struct generator *g, struct pool *pool, const struct generator_options *opt)
{
	*g = (struct generator){ .opt = *opt, .pool = pool };
	g->waiting = calloc(opt->queue, sizeof(*g->waiting));
	if (!g->waiting)
		say("has no memory for its queue");
	/* Apart, so that another mix comes at the same times. */
	arrivals_init(&g->arrivals, opt->rate, opt->seed);
	random_seed(&g->requests, ~opt->seed);
	g->start_ns = now_ns();
	g->end_ns = g->start_ns + opt->warmup_ns + opt->measure_ns;
	pool->begin_ns = g->start_ns + opt->warmup_ns;
	pool->end_ns = g->end_ns;
	draw_next(g);
}

void generator_fini(struct generator *g)
{
	free(g->waiting);
}

static void settle(const struct generator *g)
{
	const struct class normal = { .policy = SCHED_OTHER };
	cpu_set_t set;
	int err = class_enter(&normal);

	if (err) {
		errno = -err;
		say("cannot be a normal thread");
	}
	prctl(PR_SET_NAME, "generator");
	/* Normal threads are woken up to 50 us late, to save power. */
	prctl(PR_SET_TIMERSLACK, 1);
	if (g->opt.cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(g->opt.cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		say("cannot run on the CPU of --generator-cpu");
}

/* --- one request ------------------------------------------------------------------ */

static struct request draw_request(struct generator *g)
{
	struct request r = { .intended_ns = g->next_ns };
	uint64_t ns;
	double scaled;

	r.part = mix_draw(g->opt.mix, &g->requests, &ns);
	r.key = random_below(&g->requests, g->opt.nr_keys);
	scaled = ns * g->opt.scale;
	r.service_ns = scaled < 1e18 ? scaled : 1e18;
	r.measured = r.intended_ns >= g->pool->begin_ns;
	return r;
}

static bool enqueue(struct generator *g, const struct request *r)
{
	if (g->nr_waiting == g->opt.queue)
		return false;
	g->waiting[(g->first + g->nr_waiting) % g->opt.queue] = *r;
	__atomic_store_n(&g->nr_waiting, g->nr_waiting + 1, __ATOMIC_RELAXED);
	return true;
}

/* First come, first served: nobody overtakes those who wait. */
static void hand_out_waiting(struct generator *g)
{
	while (g->nr_waiting && pool_give(g->pool, &g->waiting[g->first])) {
		g->first = (g->first + 1) % g->opt.queue;
		__atomic_store_n(&g->nr_waiting, g->nr_waiting - 1, __ATOMIC_RELAXED);
	}
}

/* The request that is due, at @now; @drop: it cannot be served any more. */
static void make_request(struct generator *g, uint64_t now, bool drop)
{
	struct request r = draw_request(g);
	bool taken = !drop && ((!g->nr_waiting && pool_give(g->pool, &r)) || enqueue(g, &r));

	__atomic_store_n(&g->nr_made, g->nr_made + 1, __ATOMIC_RELAXED);
	if (r.measured) {
		hist_add(&g->late, now - r.intended_ns);
		g->nr_produced[r.part]++;
		g->nr_dropped += !taken;
	}
	draw_next(g);
}

/* --- the loop ----------------------------------------------------------------------- */

static bool due(const struct generator *g, uint64_t now)
{
	return g->next_ns <= now && g->next_ns < g->end_ns;
}

/* Asked to stop: the time is over now, instead of later. */
static void look_for_stop(struct generator *g, uint64_t now)
{
	if (g->interrupted || !__atomic_load_n(&g->stop, __ATOMIC_RELAXED) || now >= g->end_ns)
		return;
	g->interrupted = true;
	g->end_ns = now;
	__atomic_store_n(&g->pool->end_ns, now, __ATOMIC_RELAXED);
}

/* Sleeping, to be woken also by workers as long as there is something to learn of them. */
static void pause_until(struct generator *g, uint32_t events, uint64_t until_ns)
{
	if (g->opt.spin)
		__builtin_ia32_pause();
	else
		pool_wait(g->pool, events, until_ns);
}

static void make_all(struct generator *g)
{
	for (;;) {
		uint32_t events = pool_watch(g->pool, g->nr_waiting && !g->opt.spin);
		uint64_t now = now_ns();

		look_for_stop(g, now);
		hand_out_waiting(g);
		if (due(g, now)) {
			/* Who is so late that this is over will never keep up. */
			make_request(g, now, now >= g->end_ns + g->opt.limit_ns);
			continue;
		}
		if (now >= g->end_ns)
			break;
		pause_until(g, events, g->next_ns < g->end_ns ? g->next_ns : g->end_ns);
	}
}

static void wait_for_all(struct generator *g)
{
	uint64_t until_ns = g->end_ns + g->opt.limit_ns;

	for (;;) {
		uint32_t events = pool_watch(g->pool, !g->opt.spin);

		hand_out_waiting(g);
		if ((!g->nr_waiting && !pool_busy(g->pool)) || now_ns() >= until_ns)
			break;
		pause_until(g, events, until_ns);
	}
	pool_watch(g->pool, false);
}

void generator_run(struct generator *g)
{
	settle(g);
	make_all(g);
	g->nr_left = g->nr_waiting + pool_busy(g->pool);
	wait_for_all(g);
}

void generator_stop(struct generator *g)
{
	__atomic_store_n(&g->stop, true, __ATOMIC_RELAXED);
	pool_poke(g->pool);
}
