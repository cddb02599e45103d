// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policies that ask for hints, on simulated threads that give them, beside the
 * same policy and the same work without: hints must be what makes the difference.
 * In: the simulator. GHOST_SEED repeats a run. Out: TAP, and the seed.
 */
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policies/policies.h"
#include "policies/runq.h"
#include "sim/sim.h"

#define MS 1000000ull

static uint64_t seed;
static struct sim_report r;
static struct hist latency; /* of the first work */
static struct ghost_hint last;
static uint32_t nr_hints, nr_asked;

/* --- the one with the earliest deadline first; those without come last ------------------- */

struct queue {
	struct runq waits;
};

static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	struct queue *q = ghost_agent_data(a);

	runq_push(&q->waits, t, ghost_task_data(t), false);
	ghost_agent_wake(a, ghost_agent_fit(a, t, ghost_task_cpu(t)));
}

static void forget(struct ghost_agent *a, struct ghost_task *t)
{
	runq_remove(ghost_task_data(t));
}

static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	forget(a, t);
}

static uint64_t deadline_of(const struct ghost_task *t)
{
	struct ghost_hint h;

	nr_asked++;
	if (!ghost_task_hint(t, &h))
		return UINT64_MAX;
	nr_hints++;
	last = h;
	/* What nobody waits for has a hundred years. */
	if (!h.deadline_ns)
		return h.class_ == GHOST_HINT_CLASS_LATENCY ? 0 : UINT64_MAX - 1;
	return h.deadline_ns;
}

static void earliest(struct ghost_agent *a, uint32_t cpu)
{
	struct queue *q = ghost_agent_data(a);
	struct ghost_task *first;
	struct runq_entry *e;
	uint64_t best, d;

	do {
		first = NULL;
		best = UINT64_MAX;
		ghost_lock(&q->waits.lock);
		TAILQ_FOREACH(e, &q->waits.list, link) {
			d = deadline_of(e->task);
			if (ghost_task_allowed(e->task, cpu) && (!first || d < best)) {
				first = e->task;
				best = d;
			}
		}
		if (first)
			runq_unlink(&q->waits, ghost_task_data(first));
		ghost_unlock(&q->waits.lock);
	} while (first && !ghost_agent_pick(a, cpu, first, 100000));
}

static void earliest_on_all(struct ghost_agent *a, uint32_t cpu)
{
	const struct ghost_cpuset cpus = *ghost_agent_free_cpus(a);

	ghost_cpuset_for_each(one, &cpus) earliest(a, one);
}

static const struct ghost_policy by_deadline = {
	.name = "by_deadline",
	.help = "earliest deadline first",
	.model = GHOST_PER_CPU,
	.size = sizeof(struct queue),
	.task_size = sizeof(struct runq_entry),
	.task_runnable = runnable,
	.task_blocked = forget,
	.task_gone = gone,
	.schedule = earliest,
};

static const struct ghost_policy by_deadline_central = {
	.name = "by_deadline_central",
	.help = "who has a deadline is run as soon as a CPU is free",
	.model = GHOST_CENTRAL,
	.size = sizeof(struct queue),
	.task_size = sizeof(struct runq_entry),
	.task_runnable = runnable,
	.task_blocked = forget,
	.task_gone = gone,
	.schedule = earliest_on_all,
};

/* --- runs ------------------------------------------------------------------------------------- */

static struct sim_options with(const char *kind, uint32_t cpus, uint64_t ms)
{
	return (struct sim_options){
		.policy = &by_deadline,
		.cpus = cpus,
		.profile = profile_at(0),
		.work = { { .kind = kind, .load_ppm = 300000 } },
		.nr_work = 1,
		.warmup_ns = ms * MS / 10,
		.duration_ns = ms * MS,
		.seed = seed,
		.laws = true,
	};
}

static void service(struct sim_options *o, const char *text)
{
	const char *why;

	assert_int_equal(dist_parse(&o->work[0].service, text, &why), 0);
	o->work[0].has_service = true;
}

static void run(const struct sim_options *o)
{
	const char *why = "";
	struct sim *s;
	int err;

	nr_hints = nr_asked = 0;
	assert_int_equal(sim_new(&s, o, &why), 0);
	err = sim_run(s);
	sim_report(s, &r);
	latency = *r.work[0].latency;
	sim_free(s);
	if (err)
		print_error("seed %llu: %s\n", (unsigned long long)seed, r.broken);
	assert_int_equal(err, 0);
}

static void test_threads_that_say_nothing_have_no_hint(void **state)
{
	struct sim_options o = with("periodic", 2, 50);

	run(&o);
	assert_true(nr_asked > 0);
	assert_int_equal(nr_hints, 0);
}

static void test_periodic_threads_say_when_they_must_be_done(void **state)
{
	struct sim_options o = with("periodic", 1, 50);

	o.work[0].hints = true;
	o.work[0].hint_class = 3;
	o.work[0].threads = 1;
	service(&o, "200us");
	run(&o);
	assert_true(nr_hints > 40);
	assert_int_equal(nr_hints, nr_asked);
	assert_int_equal(last.class_, 3);
	assert_int_equal(last.flags, GHOST_HINT_RUNNABLE);
	/* Half of what was drawn, in each millisecond. */
	assert_int_equal(last.expected_ns, 100000);
	assert_in_range(last.deadline_ns, 54 * MS, 57 * MS);
}

/* 24 threads on one CPU, nine tenths of it: in turn some are late, by deadline none. */
static void test_deadlines_are_kept_by_a_policy_that_knows_them(void **state)
{
	struct sim_options o = with("periodic", 1, 1000);
	uint64_t missed;

	o.work[0].threads = 24;
	service(&o, "100us");
	run(&o);
	missed = r.work[0].missed;
	assert_true(missed > 500);
	o.work[0].hints = true;
	run(&o);
	print_message("# missed without hints %llu, with them %llu\n", (unsigned long long)missed,
		      (unsigned long long)r.work[0].missed);
	assert_true(r.work[0].missed * 20 < missed);
}

static void urgent_beside_hogs(const struct ghost_policy *policy, uint32_t cpus)
{
	struct sim_options o = with("openloop", cpus, 500);
	uint64_t p99;

	o.policy = policy;
	service(&o, "20us");
	o.work[0].hint_class = GHOST_HINT_CLASS_LATENCY;
	o.work[1] = (struct workload_options){ .kind = "hogs", .threads = 3 * cpus };
	o.work[1].hint_class = GHOST_HINT_CLASS_BATCH;
	o.nr_work = 2;
	run(&o);
	p99 = hist_quantile(&latency, 990000);
	o.work[0].hints = o.work[1].hints = true;
	run(&o);
	print_message("# 99th percentile without hints %llu ns, with them %llu ns\n",
		      (unsigned long long)p99, (unsigned long long)hist_quantile(&latency, 990000));
	assert_true(hist_quantile(&latency, 990000) * 2 < p99);
}

static void test_urgent_requests_overtake_what_nobody_waits_for(void **state)
{
	urgent_beside_hogs(&by_deadline, 2);
}

static void test_they_do_so_under_an_agent_that_spins(void **state)
{
	urgent_beside_hogs(&by_deadline_central, 3);
}

/* The same class by nice value or by hint is the same; hogs that say LATENCY do not get it back. */
static void test_shinjuku_shenango_takes_a_hint_for_a_class(void **state)
{
	struct sim_options o = with("openloop", 3, 200);
	uint64_t by_nice, by_hint, without;

	o.policy = policies_find("shinjuku_shenango");
	service(&o, "20us");
	o.work[1] = (struct workload_options){ .kind = "hogs", .threads = 9 };
	o.nr_work = 2;
	run(&o);
	without = hist_quantile(&latency, 990000);
	o.work[1].hints = true;
	o.work[1].hint_class = GHOST_HINT_CLASS_BATCH;
	run(&o);
	by_hint = hist_quantile(&latency, 990000);
	o.work[1].nice = 5;
	o.work[1].hint_class = GHOST_HINT_CLASS_LATENCY;
	run(&o);
	by_nice = hist_quantile(&latency, 990000);
	print_message(
		"# 99th percentile: no class %llu ns, by hint %llu ns, by nice value %llu ns\n",
		(unsigned long long)without, (unsigned long long)by_hint,
		(unsigned long long)by_nice);
	assert_true(by_hint * 2 < without);
	assert_true(by_nice * 2 < without);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_that_say_nothing_have_no_hint),
		cmocka_unit_test(test_periodic_threads_say_when_they_must_be_done),
		cmocka_unit_test(test_deadlines_are_kept_by_a_policy_that_knows_them),
		cmocka_unit_test(test_urgent_requests_overtake_what_nobody_waits_for),
		cmocka_unit_test(test_they_do_so_under_an_agent_that_spins),
		cmocka_unit_test(test_shinjuku_shenango_takes_a_hint_for_a_class),
	};
	const char *given = getenv("GHOST_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hints", tests, NULL, NULL);
}
