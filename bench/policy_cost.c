// SPDX-License-Identifier: GPL-2.0-only
/*
 * policy_cost [--rate N] [--seed N] [--seconds S] POLICY: what a policy's own
 * callbacks cost on this machine, per request of a simulated service: the paper's
 * machine (20 CPUs and one for the agent, 200 workers), 99.5 % of 4 us and 0.5 %
 * of 10 ms. Simulated is the machine; the policy's code is the shipping one, and
 * its time is the host's.
 * In: options. Out: JSON on stdout. Called by bench/sim.
 *
 * Links with --wrap for the allocator, so that what callbacks allocate, also in
 * the library, is counted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/load/option.h"
#include "policies/policies.h"
#include "sim/sim.h"

#define CPUS 21
#define WORKERS 200

static const struct ghost_policy *inner;
static uint64_t nr_calls, spent_ns, clock_ns, entered_ns, nr_allocs;
static bool inside;

/* --- allocations ----------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	nr_allocs += inside;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t nr, size_t size)
{
	nr_allocs += inside;
	return __real_calloc(nr, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	nr_allocs += inside;
	return __real_realloc(old, size);
}

/* --- time -------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void nothing(void)
{
}

static void (*volatile callback)(void) = nothing;

static void enter(void)
{
	uint64_t before = now_ns();

	/* What is measured of a callback that does nothing, with caches as the simulator left them. */
	callback();
	entered_ns = now_ns();
	clock_ns += entered_ns - before;
	inside = true;
}

static void leave(void)
{
	inside = false;
	spent_ns += now_ns() - entered_ns;
	nr_calls++;
}

/* --- the policy, watched ------------------------------------------------------------------- */

static void task_new(struct ghost_agent *a, struct ghost_task *t)
{
	enter();
	inner->task_new(a, t);
	leave();
}

static void task_runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	enter();
	inner->task_runnable(a, t, cause);
	leave();
}

static void task_blocked(struct ghost_agent *a, struct ghost_task *t)
{
	enter();
	inner->task_blocked(a, t);
	leave();
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	enter();
	inner->schedule(a, cpu);
	leave();
}

static struct ghost_policy watched(const struct ghost_policy *policy)
{
	struct ghost_policy p = *policy;

	inner = policy;
	p.task_new = policy->task_new ? task_new : NULL;
	p.task_runnable = policy->task_runnable ? task_runnable : NULL;
	p.task_blocked = policy->task_blocked ? task_blocked : NULL;
	p.schedule = schedule;
	return p;
}

/* --- options ---------------------------------------------------------------------------------- */

struct options {
	const struct ghost_policy *policy;
	uint64_t rate, seed;
	double seconds;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'r':
		o->rate = option_number(state, "--rate", arg, 1, 10000000);
		return 0;
	case 's':
		o->seed = option_number(state, "--seed", arg, 0, 1000000000);
		return 0;
	case 't':
		o->seconds = option_real(state, "--seconds", arg, 0.001, 60);
		return 0;
	case ARGP_KEY_ARG:
		if (o->policy)
			argp_error(state, "one policy, please");
		o->policy = policies_find(arg);
		if (!o->policy)
			argp_error(state, "there is no policy '%s'; 'ghost policies' lists them",
				   arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which policy?");
		return EINVAL;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.options =
		(const struct argp_option[]){
			{ "rate", 'r', "N", 0, "requests per second that arrive (300000)", 0 },
			{ "seed", 's', "N", 0, "of the work (1)", 0 },
			{ "seconds", 't', "S", 0, "virtual time (0.2)", 0 },
			{ 0 },
		},
	.parser = parse,
	.args_doc = "POLICY",
	.doc = "What a policy's callbacks cost on this machine, per request of a simulated service.",
};

int main(int argc, char **argv)
{
	struct options opt = { .rate = 300000, .seed = 1, .seconds = 0.2 };
	struct sim_options o = {
		.cpus = CPUS,
		.profile = profile_find("paper-skylake"),
		.work = { { .kind = "dispersive", .threads = WORKERS } },
		.nr_work = 1,
	};
	double own;
	struct ghost_policy policy;
	struct sim_report r;
	const char *why = "";
	struct sim *s;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &opt);
	policy = watched(opt.policy);
	o.policy = &policy;
	o.work[0].rate = opt.rate;
	o.seed = opt.seed;
	o.duration_ns = opt.seconds * 1e9;
	err = sim_new(&s, &o, &why);
	if (err) {
		fprintf(stderr, "policy_cost: %s: %s\n", why, strerror(-err));
		return 1;
	}
	err = sim_run(s);
	sim_report(s, &r);
	sim_free(s);
	if (err || !r.finished) {
		fprintf(stderr, "policy_cost: the run failed: %s\n",
			err ? strerror(-err) : "no request was finished");
		return 1;
	}
	own = (double)spent_ns - clock_ns;
	printf("{\n  \"policy\": \"%s\",\n  \"requests\": %" PRIu64 ",\n  \"calls\": %" PRIu64
	       ",\n  \"commits\": %" PRIu64 ",\n  \"allocations\": %" PRIu64
	       ",\n  \"clock_ns\": %.1f,\n  \"ns_per_request\": %.1f,\n  \"ns_per_commit\": %.1f\n}\n",
	       inner->name, r.finished, nr_calls, r.nr_txn[GHOST_TXN_COMMITTED], nr_allocs,
	       (double)clock_ns / nr_calls, own / r.finished, own / r.nr_txn[GHOST_TXN_COMMITTED]);
	return 0;
}
