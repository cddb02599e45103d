// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole runs: every policy with every kind of work under the laws, and that
 * what comes out is what theory or arithmetic says.
 * In: the simulator. GHOST_SEED repeats a run. Out: TAP, and the seed.
 */
#include "tests/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policies/policies.h"
#include "sim/fault.h"
#include "sim/sim.h"

#define MS 1000000ull

static uint64_t seed;
static struct sim_report r;

static struct sim_options with(const char *kind, uint32_t cpus, uint64_t ms)
{
	return (struct sim_options){
		.policy = policies_find("fifo_percpu"),
		.cpus = cpus,
		.profile = profile_at(0),
		.work = { { .kind = kind, .load_ppm = 500000 } },
		.nr_work = 1,
		.warmup_ns = ms * MS / 10,
		.duration_ns = ms * MS,
		.seed = seed,
	};
}

static void service(struct sim_options *o, const char *text)
{
	const char *why;

	assert_int_equal(dist_parse(&o->work[0].service, text, &why), 0);
	o->work[0].has_service = true;
}

/* Run it; the report is in r. */
static int run(const struct sim_options *o)
{
	struct sim *s;
	const char *why;
	int err = sim_new(&s, o, &why);

	if (err)
		return err;
	err = sim_run(s);
	sim_report(s, &r);
	sim_free(s);
	if (err)
		print_message("# seed %llu: %s\n", (unsigned long long)o->seed, r.broken);
	return err;
}

static void assert_about(uint64_t is, uint64_t want, uint32_t percent)
{
	if (is * 100 < want * (100 - percent) || is * 100 > want * (100 + percent)) {
		print_error("%llu is not within %u %% of %llu\n", (unsigned long long)is, percent,
			    (unsigned long long)want);
		fail();
	}
}

/* --- the same, and not the same ------------------------------------------------------ */

static void test_same_seed_is_the_same_run(void **state)
{
	struct sim_options o = with("closed", 6, 20);
	uint64_t hash;

	o.fine = true;
	o.window_ns = 500;
	o.fair_every_ns = MS;
	o.fair_for_ns = MS / 5;
	assert_int_equal(run(&o), 0);
	hash = r.trace_hash;
	assert_int_equal(run(&o), 0);
	assert_true(r.trace_hash == hash);
	o.seed++;
	assert_int_equal(run(&o), 0);
	assert_true(r.trace_hash != hash);
}

/* Requests come from a stream of their own: machine and policy do not change what is asked. */
static void test_work_is_the_same_on_another_machine(void **state)
{
	struct sim_options o = with("openloop", 4, 50);
	uint64_t started;

	assert_int_equal(run(&o), 0);
	started = r.work[0].cpu_ns;
	o.profile = profile_at(1);
	assert_int_equal(run(&o), 0);
	assert_about(r.work[0].cpu_ns, started, 1);
}

/* --- laws, for every policy and kind of work -------------------------------------------- */

static void test_every_policy_keeps_the_laws_with_every_work(void **state)
{
	for (const struct ghost_policy *const *p = policies; *p; p++)
		for (const struct workload_kind *k = workload_kinds; k->name; k++) {
			if (!strcmp(k->name, "replay"))
				continue;
			for (uint32_t i = 0; i < 8; i++) {
				struct sim_options o = with(k->name, 1 + i, 15);

				o.policy = *p;
				o.seed = seed + i;
				o.laws = true;
				o.fine = i & 1;
				o.window_ns = i & 2 ? 800 : 0;
				o.fair_every_ns = i & 4 ? MS : 0;
				o.fair_for_ns = MS / 4;
				o.work[0].load_ppm = 100000 + 200000 * i;
				if (run(&o)) {
					print_error("%s with %s\n", (*p)->name, k->name);
					fail();
				}
			}
		}
}

/* --- what theory says --------------------------------------------------------------------- */

static void test_open_loop_is_offered_what_was_asked_and_gets_it(void **state)
{
	struct sim_options o = with("openloop", 8, 2000);

	service(&o, "exp:100us");
	assert_int_equal(run(&o), 0);
	/* 0.5 of 8 CPUs in requests of 100 us. */
	assert_about(r.throughput_rps, 40000, 2);
	assert_about(r.busy_ppm, 500000, 2);
}

static void test_open_loop_can_be_asked_for_a_rate(void **state)
{
	struct sim_options o = with("openloop", 8, 1000);

	service(&o, "exp:10us");
	o.work[0].rate = 50000;
	assert_int_equal(run(&o), 0);
	assert_about(r.throughput_rps, 50000, 2);
}

static void test_what_each_work_has_had_of_the_cpus_is_told(void **state)
{
	struct sim_options o = with("openloop", 4, 500);

	service(&o, "exp:100us");
	o.work[0].load_ppm = 300000;
	o.work[1] = (struct workload_options){ .kind = "forks" };
	o.work[2] = (struct workload_options){ .kind = "hogs", .threads = 2 };
	o.nr_work = 3;
	assert_int_equal(run(&o), 0);
	assert_about(r.work_ppm[0], 300000, 10);
	assert_true(r.work_ppm[1] > 10000);
	assert_about(r.work_ppm[0] + r.work_ppm[1] + r.work_ppm[2], r.busy_ppm, 1);
}

static void test_where_nothing_costs_anything_nothing_is_lost(void **state)
{
	struct sim_options o = with("hogs", 4, 100);

	o.profile = profile_find("free");
	assert_int_equal(run(&o), 0);
	assert_int_equal(r.kernel_ppm, 0);
	assert_true(r.busy_ppm > 999000);
}

/* M/D/1: the mean wait is load * service / (2 * (1 - load)). */
static void test_one_cpu_queues_as_the_formula_says(void **state)
{
	struct sim_options o = with("openloop", 1, 200000);
	uint64_t wait;

	service(&o, "1ms");
	o.work[0].load_ppm = 700000;
	o.work[0].threads = 400;
	assert_int_equal(run(&o), 0);
	wait = 700000 * 1000000ull / (2 * 300000);
	assert_about(hist_mean(&r.latency), 1000000 + wait, 5);
}

static void test_hogs_get_equal_shares(void **state)
{
	struct sim_options o = with("hogs", 2, 1000);
	struct machine *m;
	struct sim *s;
	const char *why;

	o.work[0].threads = 8;
	assert_int_equal(sim_new(&s, &o, &why), 0);
	m = sim_machine(s);
	while (m->now < 1000 * MS && machine_step(m))
		;
	for (uint32_t tid = 1; tid <= 8; tid++)
		assert_about(thread_by_tid(m, tid)->runtime_ns, m->now / 4, 4);
	sim_free(s);
}

static void test_fair_class_takes_its_share_and_ours_the_rest(void **state)
{
	struct sim_options o = with("hogs", 4, 2000);

	/* A burst of 1 ms, on average, at the end of 4 ms, on average. */
	o.fair_every_ns = 4 * MS;
	o.fair_for_ns = MS;
	assert_int_equal(run(&o), 0);
	assert_about(r.busy_ppm, 750000, 5);
}

/* The fair class has both CPUs for a while: there is nobody to hand over to. */
static void test_an_agent_that_can_go_nowhere_leaves_its_cpu_to_the_fair_class(void **state)
{
	struct sim_options o = with("openloop", 2, 1000);
	uint64_t from, before = 0, after = 0;
	struct machine *m;
	const char *why;
	struct sim *s;

	o.policy = policies_find("fifo_central");
	assert_int_equal(sim_new(&s, &o, &why), 0);
	m = sim_machine(s);
	while (m->now < 100 * MS && machine_step(m))
		;
	from = m->now;
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		before += m->cpu[cpu].fair_ns;
		cpu_fair_burst(m, cpu, 1000 * MS);
	}
	while (m->now < from + 500 * MS && machine_step(m))
		;
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		const struct cpu *c = &m->cpu[cpu];

		/* About half of the burst is to come. */
		after += c->fair_ns - (c->fair_until > m->now ? c->fair_until - m->now : 0);
	}
	print_message("# the fair class had %.1f %%\n", (after - before) / (10.0 * MS));
	assert_true(after - before > 900 * MS);
	sim_free(s);
}

static void test_dear_migration_shows_in_what_is_left_for_work(void **state)
{
	struct profile dear = *profile_at(0);
	struct sim_options o = with("openloop", 16, 200);
	uint32_t kernel;

	/* Busy enough that threads are taken by whoever is free. */
	o.work[0].load_ppm = 850000;
	o.topology = "package:2 [numa] core:8 pu:1";
	assert_int_equal(run(&o), 0);
	kernel = r.kernel_ppm;
	print_message("# kernel: %u ppm", kernel);
	dear.migrate_node_ns = dear.migrate_remote_ns = 20000;
	o.profile = &dear;
	assert_int_equal(run(&o), 0);
	print_message(", dear: %u ppm\n", r.kernel_ppm);
	assert_true(r.kernel_ppm > kernel * 3 / 2);
}

/* One agent and one CPU for three: as many switches as there are slices. */
static void test_an_agent_ends_slices_when_they_are_over(void **state)
{
	struct sim_options o = with("hogs", 2, 100);
	uint64_t slices = 100 * MS / 30000;

	o.policy = policies_find("shinjuku");
	o.work[0].threads = 3;
	assert_int_equal(run(&o), 0);
	/* Decision, interrupt and switch come on top. */
	print_message("# %llu switches in the time of %llu slices\n",
		      (unsigned long long)r.nr_switches, (unsigned long long)slices);
	assert_true(r.nr_switches <= slices);
	assert_true(r.nr_switches >= slices * 9 / 10);
	o.profile = profile_find("free");
	assert_int_equal(run(&o), 0);
	assert_about(r.nr_switches, slices, 1);
}

static uint64_t p99_of(const char *policy, struct sim_options *o)
{
	o->policy = policies_find(policy);
	assert_int_equal(run(o), 0);
	return hist_quantile(r.work[0].latency, 990000);
}

static void test_short_requests_do_not_wait_behind_long_ones_under_shinjuku(void **state)
{
	struct sim_options o = with("dispersive", 9, 300);
	uint64_t fifo;

	o.work[0].threads = 100;
	o.work[0].load_ppm = 700000;
	fifo = p99_of("fifo_central", &o);
	assert_true(fifo > MS);
	assert_true(p99_of("shinjuku", &o) < fifo / 10);
	assert_true(p99_of("shinjuku_shenango", &o) < fifo / 10);
}

/* Those who are in no hurry get what is left, and nobody notices. */
static void test_batch_gets_the_cpus_that_are_left_and_is_not_in_the_way(void **state)
{
	struct sim_options o = with("dispersive", 9, 300);
	uint64_t alone, beside, median;

	o.work[0].threads = 100;
	alone = p99_of("shinjuku_shenango", &o);
	o.work[1] = (struct workload_options){ .kind = "hogs", .threads = 8, .nice = 19 };
	o.nr_work = 2;
	beside = p99_of("shinjuku_shenango", &o);
	print_message("# p99 %llu ns alone, %llu beside batch, which has %u ppm\n",
		      (unsigned long long)alone, (unsigned long long)beside, r.work_ppm[1]);
	median = hist_quantile(r.work[0].latency, 500000);
	assert_true(beside < alone * 3 / 2 + 3000);
	/* Of eight CPUs the others have taken a half; switches take of both. */
	assert_true(r.work_ppm[0] + r.work_ppm[1] > 1000000 / 9 * 8 * 92 / 100);
	/* Without classes even the median waits for the end of a slice. */
	p99_of("shinjuku", &o);
	assert_true(hist_quantile(r.work[0].latency, 500000) > 3 * median);
}

/* Threads that sleep are woken to end, when it is over: that is no wake-up that anybody asked for. */
static void test_wake_ups_after_the_end_do_not_count(void **state)
{
	struct sim_options o = with("openloop", 2, 10);

	o.work[0].threads = 500;
	o.work[0].load_ppm = 10000;
	assert_int_equal(run(&o), 0);
	assert_true(hist_count(&r.wakeup) < 50);
}

/* Overload: what comes is not what can be done, and the report says so. */
static void test_overload_is_not_hidden(void **state)
{
	struct sim_options o = with("openloop", 2, 200);

	o.work[0].load_ppm = 2000000;
	assert_int_equal(run(&o), 0);
	assert_true(r.busy_ppm > 900000);
	assert_true(r.work[0].finished * 10 < r.work[0].started * 6);
	assert_true(hist_quantile(&r.latency, 500000) > 20 * MS);
}

static void test_periodic_threads_are_in_time_while_there_is_room(void **state)
{
	struct sim_options o = with("periodic", 4, 500);

	/*
	 * The longest is twice that. All eight at once are two rounds on four CPUs, 600 us
	 * of the shortest period's 1 ms; a FIFO promises no more than that.
	 */
	service(&o, "uniform:50us-150us");
	assert_int_equal(run(&o), 0);
	assert_true(r.work[0].finished > 1000);
	assert_int_equal(r.work[0].missed, 0);
}

/* --- size ---------------------------------------------------------------------------------------- */

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

/* The largest machine, with threads that all sleep but are all there: 1 KiB each, at most. */
static void test_hundred_thousand_threads_on_1024_cpus_fit(void **state)
{
	struct sim_options o = with("openloop", 1024, 2);
	size_t few, many;
	struct sim *s;
	const char *why;

	for (int i = 0; i < 2; i++) {
		o.work[0].threads = i ? 100000 : 1000;
		o.capacity = 110000;
		assert_int_equal(sim_new(&s, &o, &why), 0);
		assert_int_equal(sim_run(s), 0);
		if (i)
			many = resident();
		else
			few = resident();
		sim_free(s);
	}
	print_message("# %zu bytes per thread\n", (many - few) / 99000);
	assert_true(many > few);
	assert_true((many - few) / 99000 < 1024);
}

/* --- bad times --------------------------------------------------------------------------------------- */

static void with_fault(uint32_t kind, uint32_t arg, uint32_t nr)
{
	static struct fault_plan plan;
	struct sim_options o = with("closed", 4, 40);

	memset(&plan, 0, sizeof(plan));
	for (uint32_t i = 0; i < nr; i++)
		plan.faults[plan.nr++] = (struct fault){
			.when_ns = (2 + 3 * i) * MS, .kind = kind, .what = i, .arg = arg
		};
	o.plan = &plan;
	o.laws = true;
	o.fine = true;
	if (run(&o)) {
		print_error("%s\n", fault_name(kind));
		fail();
	}
}

/* Its threads end as they would have, whatever happens to those who decide for them. */
static void test_no_fault_keeps_threads_from_their_end(void **state)
{
	for (uint32_t kind = 0; kind < FAULT_NR; kind++)
		with_fault(kind, 500, 1);
}

static void test_nor_do_faults_that_come_again_and_again(void **state)
{
	for (uint32_t kind = 0; kind < FAULT_NR; kind++)
		with_fault(kind, 2000, 10);
}

static void test_fallback_runs_the_threads_of_a_crashed_agent(void **state)
{
	with_fault(FAULT_CRASH, 0, 1);
	assert_true(r.nr_fallbacks > 100);
	assert_true(r.finished > 1000);
}

static void test_enclave_that_loses_a_cpu_goes_on_without_agents(void **state)
{
	with_fault(FAULT_OFFLINE, 20000, 1);
	assert_true(r.nr_fallbacks > 100);
}

/* --- bad input ----------------------------------------------------------------------------------------- */

static void test_machines_that_cannot_be_are_refused_with_a_reason(void **state)
{
	struct sim_options o = with("hogs", 0, 1);
	const char *why = NULL;
	struct sim *s;

	assert_int_equal(sim_new(&s, &o, &why), -EINVAL);
	assert_non_null(why);
	o.cpus = GHOST_CPUS_MAX + 1;
	why = NULL;
	assert_int_equal(sim_new(&s, &o, &why), -EINVAL);
	assert_non_null(why);
	o.topology = "nonsense:3";
	why = NULL;
	assert_int_equal(sim_new(&s, &o, &why), -EINVAL);
	assert_non_null(why);
	o = with("no such work", 2, 1);
	assert_int_equal(sim_new(&s, &o, &why), -EINVAL);
}

#define T(test) cmocka_unit_test(test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_same_seed_is_the_same_run),
		T(test_work_is_the_same_on_another_machine),
		T(test_every_policy_keeps_the_laws_with_every_work),
		T(test_open_loop_is_offered_what_was_asked_and_gets_it),
		T(test_open_loop_can_be_asked_for_a_rate),
		T(test_what_each_work_has_had_of_the_cpus_is_told),
		T(test_where_nothing_costs_anything_nothing_is_lost),
		T(test_one_cpu_queues_as_the_formula_says),
		T(test_hogs_get_equal_shares),
		T(test_fair_class_takes_its_share_and_ours_the_rest),
		T(test_an_agent_that_can_go_nowhere_leaves_its_cpu_to_the_fair_class),
		T(test_dear_migration_shows_in_what_is_left_for_work),
		T(test_an_agent_ends_slices_when_they_are_over),
		T(test_short_requests_do_not_wait_behind_long_ones_under_shinjuku),
		T(test_batch_gets_the_cpus_that_are_left_and_is_not_in_the_way),
		T(test_wake_ups_after_the_end_do_not_count),
		T(test_overload_is_not_hidden),
		T(test_periodic_threads_are_in_time_while_there_is_room),
		T(test_hundred_thousand_threads_on_1024_cpus_fit),
		T(test_no_fault_keeps_threads_from_their_end),
		T(test_nor_do_faults_that_come_again_and_again),
		T(test_fallback_runs_the_threads_of_a_crashed_agent),
		T(test_enclave_that_loses_a_cpu_goes_on_without_agents),
		T(test_machines_that_cannot_be_are_refused_with_a_reason),
	};
	const char *given = getenv("GHOST_SEED");

	seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
