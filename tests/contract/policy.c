// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the original's tests assert of threads under its policies, of threads
 * under each of ours; docs/conformance.md says which row is which.
 * In: a world with an enclave of two CPUs. Out: a failure, or none. Called by
 * contract_run().
 */
#include <errno.h>
#include <string.h>

#include "policies/policies.h"
#include "tests/contract/contract.h"

#define NR_MANY 40

/* Under each policy in turn, on three CPUs: an agent may have one to itself. */
static void under_each(struct world *w, void (*run)(struct world *w))
{
	wide_enclave(w);
	for (const struct ghost_policy *const *p = policies; *p; p++) {
		policy_up(w, *p);
		run(w);
		policy_down(w);
		w->ops->end_all(w);
		w->nr_puppets = 0;
		memset(w->puppets, 0, PUPPETS_MAX * sizeof(*w->puppets));
	}
}

static uint32_t nr_members(struct world *w)
{
	return ghost_load_acquire(&ghost_enclave_status(w->e)->nr_tasks);
}

static struct puppet *member(struct world *w)
{
	struct puppet *p = puppet_new(w);

	join(w, w->e, p);
	return p;
}

static void members(struct world *w, struct puppet **ret, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		ret[i] = member(w);
}

static void order_all(struct world *w, struct puppet **p, uint32_t nr, enum puppet_order what)
{
	for (uint32_t i = 0; i < nr; i++)
		order(w, p[i], what);
}

static bool advanced(const struct puppet *p, uint32_t before)
{
	return ghost_load_acquire(&p->rounds) != before;
}

/* Each of them gets on. */
static void all_get_on(struct world *w, struct puppet **p, uint32_t nr)
{
	uint32_t before[NR_MANY];

	for (uint32_t i = 0; i < nr; i++)
		before[i] = ghost_load_acquire(&p[i]->rounds);
	for (uint32_t i = 0; i < nr; i++)
		until(w, advanced(p[i], before[i]));
}

static void all_end(struct world *w, struct puppet **p, uint32_t nr)
{
	order_all(w, p, nr, PUPPET_EXIT);
	until(w, !nr_members(w));
	for (uint32_t i = 0; i < nr; i++)
		until(w, w->ops->class_of(w, p[i]) == CLASS_OF_NONE);
}

/* --- lives ------------------------------------------------------------------------- */

static void one_thread(struct world *w)
{
	struct puppet *p = member(w), *child;

	order(w, p, PUPPET_SPIN);
	all_get_on(w, &p, 1);
	order(w, p, PUPPET_BLOCK);
	until(w, w->ops->asleep(w, p));
	order(w, p, PUPPET_YIELD);
	all_get_on(w, &p, 1);
	child = order_fork(w, p);
	until(w, child->tid);
	all_get_on(w, &child, 1);
	check_is(w, w->ops->class_of(w, child), CLASS_OF_US);
	check_is(w, nr_members(w), 2);
	all_end(w, (struct puppet *[]){ p, child }, 2);
}

static void case_a_thread_sleeps_yields_forks_and_ends_under_each_policy(struct world *w)
{
	under_each(w, one_thread);
}

static void many_threads(struct world *w)
{
	struct puppet *p[NR_MANY];

	members(w, p, NR_MANY);
	for (uint32_t i = 0; i < NR_MANY; i++)
		p[i]->nap_ns = 1000000;
	order_all(w, p, NR_MANY, PUPPET_DOZE);
	all_get_on(w, p, NR_MANY);
	order_all(w, p, NR_MANY, PUPPET_YIELD);
	all_get_on(w, p, NR_MANY);
	all_end(w, p, NR_MANY);
}

static void case_many_threads_sleep_yield_and_end_under_each_policy(struct world *w)
{
	under_each(w, many_threads);
}

static void busy_threads(struct world *w)
{
	struct puppet *p[20];
	uint64_t before[20];

	members(w, p, 20);
	for (int i = 0; i < 20; i++)
		before[i] = w->ops->runtime_ns(w, p[i]);
	order_all(w, p, 20, PUPPET_SPIN);
	for (int i = 0; i < 20; i++)
		until(w, w->ops->runtime_ns(w, p[i]) >= before[i] + 10 * MS);
	all_end(w, p, 20);
}

static void case_busy_threads_all_get_their_time_under_each_policy(struct world *w)
{
	under_each(w, busy_threads);
}

/* --- nice values --------------------------------------------------------------------- */

static const int nices[] = { 5, 10, 5 };

static void nice_by_themselves(struct world *w)
{
	struct puppet *p[20];

	members(w, p, 20);
	for (int k = 0; k < 3; k++) {
		for (int i = 0; i < 20; i++)
			p[i]->nice = nices[k];
		order_all(w, p, 20, PUPPET_NICE);
		for (int i = 0; i < 20; i++)
			until(w, status_of(w, p[i])->nice == nices[k]);
		order_all(w, p, 20, PUPPET_YIELD);
		all_get_on(w, p, 20);
		order_all(w, p, 20, PUPPET_BLOCK);
		for (int i = 0; i < 20; i++)
			until(w, w->ops->asleep(w, p[i]));
	}
	all_end(w, p, 20);
}

static void case_threads_renice_themselves_and_get_on_under_each_policy(struct world *w)
{
	under_each(w, nice_by_themselves);
}

static void nice_by_others(struct world *w)
{
	struct puppet *p[20];

	members(w, p, 20);
	for (int i = 0; i < 20; i++)
		p[i]->nap_ns = 50000;
	order_all(w, p, 20, PUPPET_DOZE);
	for (int k = 0; k < 30; k++)
		for (int i = 0; i < 20; i++) {
			int nice = nices[k % 3] + (i & 1);

			renice(w, p[i], nice);
			check_is(w, status_of(w, p[i])->nice, nice);
		}
	all_get_on(w, p, 20);
	all_end(w, p, 20);
}

static void case_threads_are_reniced_by_others_and_get_on_under_each_policy(struct world *w)
{
	under_each(w, nice_by_others);
}

/* --- departures ---------------------------------------------------------------------- */

static void in_fair_class_and_gets_on(struct world *w, struct puppet *p)
{
	until(w, w->ops->class_of(w, p) == CLASS_OF_FAIR);
	all_get_on(w, &p, 1);
}

static void depart_by_themselves(struct world *w)
{
	struct puppet *p[10];

	members(w, p, 10);
	for (int i = 0; i < 10; i++)
		p[i]->nap_ns = 1000000;
	for (int k = 0; k < 10; k++) {
		order_all(w, p, 10, PUPPET_LEAVE);
		for (int i = 0; i < 10; i++)
			in_fair_class_and_gets_on(w, p[i]);
		check_is(w, nr_members(w), 0);
		order_all(w, p, 10, PUPPET_BLOCK);
		for (int i = 0; i < 10; i++) {
			until(w, w->ops->asleep(w, p[i]));
			join(w, w->e, p[i]);
		}
	}
	all_end(w, p, 10);
}

static void case_threads_leave_by_themselves_under_each_policy(struct world *w)
{
	under_each(w, depart_by_themselves);
}

/* Out with each whatever it does, and in again, @rounds times. */
static void depart_by_others(struct world *w, enum puppet_order what, uint64_t nap_ns, int rounds)
{
	struct puppet *p[20];

	members(w, p, 20);
	for (int i = 0; i < 20; i++)
		p[i]->nap_ns = nap_ns;
	order_all(w, p, 20, what);
	for (int k = 0; k < rounds; k++)
		for (int i = 0; i < 20; i++) {
			check_is(w, w->backend->task_leave(w->backend, p[i]->tid), 0);
			check_is(w, w->ops->class_of(w, p[i]), CLASS_OF_FAIR);
			check_is(w, nr_members(w), 19);
			check_is(w, ghost_enclave_join(w->e, p[i]->tid), 0);
			check_is(w, nr_members(w), 20);
		}
	if (what != PUPPET_BLOCK)
		all_get_on(w, p, 20);
	for (int i = 0; i < 20; i++)
		check_is(w, w->backend->task_leave(w->backend, p[i]->tid), 0);
	check_is(w, nr_members(w), 0);
	all_end(w, p, 20);
}

static void depart_spinning_and_asleep(struct world *w)
{
	depart_by_others(w, PUPPET_SPIN, 0, 5);
	depart_by_others(w, PUPPET_BLOCK, 0, 5);
}

static void case_threads_are_taken_out_while_they_spin_or_sleep_under_each_policy(struct world *w)
{
	under_each(w, depart_spinning_and_asleep);
}

static void depart_in_short_sleeps(struct world *w)
{
	depart_by_others(w, PUPPET_DOZE, 1, 15);
}

static void case_threads_are_taken_out_in_their_shortest_sleeps_under_each_policy(struct world *w)
{
	under_each(w, depart_in_short_sleeps);
}

/* --- affinity ------------------------------------------------------------------------- */

static void kept_within_the_enclave(struct world *w)
{
	struct puppet *p = member(w);

	order(w, p, PUPPET_SPIN);
	all_get_on(w, &p, 1);
	for (int i = 0; i < 10; i++) {
		uint32_t cpu = i % 3 + CPU_A;

		/* CPU_CASE is not the enclave's, and does not count. */
		move(w, p, cpus_of(CPU_CASE, cpu));
		until(w, runs_on(w, p, cpu));
	}
	all_end(w, &p, 1);
}

static void case_affinity_moves_a_thread_and_strange_cpus_do_not_count(struct world *w)
{
	under_each(w, kept_within_the_enclave);
}

static void pinned_before(struct world *w)
{
	struct puppet *p[10];

	for (int i = 0; i < 10; i++) {
		p[i] = puppet_new(w);
		move(w, p[i], cpus_of(CPU_B, -1));
		join(w, w->e, p[i]);
	}
	order_all(w, p, 10, PUPPET_SPIN);
	for (int k = 0; k < 8; k++) {
		all_get_on(w, p, 10);
		for (int i = 0; i < 10; i++)
			check_is(w, ghost_load_acquire(&p[i]->cpu), CPU_B);
	}
	all_end(w, p, 10);
}

static void case_threads_pinned_before_they_join_stay_where_they_are(struct world *w)
{
	under_each(w, pinned_before);
}

static void moved_and_slept(struct world *w)
{
	struct puppet *p = member(w);

	for (int i = 0; i < 20; i++) {
		uint32_t cpu = i % 3 + CPU_A;

		p->cpus = cpus_of(cpu, -1);
		order(w, p, PUPPET_MOVE);
		until(w, runs_on(w, p, cpu));
		order(w, p, PUPPET_BLOCK);
		until(w, w->ops->asleep(w, p));
		order(w, p, PUPPET_SPIN);
		until(w, runs(w, p));
		check_is(w, ghost_load_acquire(&p->cpu), cpu);
	}
	all_end(w, &p, 1);
}

static void case_a_thread_that_moved_itself_is_there_after_a_sleep(struct world *w)
{
	under_each(w, moved_and_slept);
}

static void wanders_and_is_reniced(struct world *w)
{
	struct puppet *p = member(w);

	p->cpus = cpus_of(CPU_A, -1);
	p->there = cpus_of(CPU_B, -1);
	order(w, p, PUPPET_WANDER);
	for (int i = 0; i < 200; i++) {
		renice(w, p, i % 2 + 1);
		if (i % 10 == 0)
			all_get_on(w, &p, 1);
	}
	all_end(w, &p, 1);
}

static void case_a_thread_that_moves_on_and_on_is_reniced_and_gets_on(struct world *w)
{
	under_each(w, wanders_and_is_reniced);
}

static void moved_asleep(struct world *w)
{
	struct puppet *p = member(w);

	for (int i = 0; i < 100; i++) {
		uint32_t cpu = i % 3 + CPU_A;

		move(w, p, cpus_of(cpu, -1));
		order(w, p, PUPPET_SPIN);
		until(w, runs(w, p));
		check_is(w, ghost_load_acquire(&p->cpu), cpu);
		order(w, p, PUPPET_BLOCK);
		until(w, w->ops->asleep(w, p));
	}
	all_end(w, &p, 1);
}

static void case_a_thread_moved_while_it_sleeps_wakes_up_there(struct world *w)
{
	under_each(w, moved_asleep);
}

static void moved_runnable(struct world *w)
{
	struct puppet *p[10];

	members(w, p, 10);
	order_all(w, p, 10, PUPPET_SPIN);
	for (int k = 0; k < 30; k++)
		for (int i = 0; i < 10; i++)
			move(w, p[i], (i + k) % 2 ? cpus_of(CPU_A, CPU_B) : cpus_of(CPU_OTHER, -1));
	all_get_on(w, p, 10);
	all_end(w, p, 10);
}

static void case_spinning_threads_are_moved_back_and_forth_and_all_end(struct world *w)
{
	under_each(w, moved_runnable);
}

/* Other agents of the same policy take over, with @cpus; returns what came of that. */
static int change_cpus(struct world *w, struct ghost_cpuset cpus)
{
	struct ghost_agents_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_agents *before = w->agents_of_policy, *next;

	check_is(w, ghost_agents_prepare(&next, w->e, policies_find(w->policy), &opts), 0);
	if (ghost_agents_take(next, 1) != -ETIMEDOUT)
		contract_fail(w, __FILE__, __LINE__, "took an enclave that has agents");
	w->agents_of_policy = next;
	ghost_agents_stop(before);
	return ghost_agents_take(next, 10000);
}

static void cpus_come_and_go(struct world *w)
{
	struct ghost_cpuset all, now;
	struct puppet *p[6];

	check_is(w, ghost_enclave_cpus(w->e, &all), 0);
	members(w, p, 6);
	move(w, p[0], cpus_of(CPU_OTHER, -1));
	order_all(w, p, 6, PUPPET_SPIN);
	all_get_on(w, p, 6);
	check_is(w, change_cpus(w, cpus_of(CPU_A, CPU_B)), 0);
	check_is(w, ghost_enclave_cpus(w->e, &now), 0);
	check_is(w, now.word[0], 1 << CPU_A | 1 << CPU_B);
	all_get_on(w, p, 6);
	/* It is free: another enclave can have it, and then this one cannot. */
	other_enclave(w);
	check_is(w, change_cpus(w, all), -EBUSY);
	ghost_agents_stop(w->agents_of_policy);
	w->agents_of_policy = NULL;
	all_get_on(w, p, 6);
	check_is(w, ghost_enclave_destroy(w->other), 0);
	ghost_enclave_close(w->other);
	w->other = NULL;
	policy_up(w, policies_find(w->policy));
	check_is(w, change_cpus(w, all), 0);
	all_get_on(w, p, 6);
	all_end(w, p, 6);
}

static void case_cpus_come_and_go_beneath_busy_threads_under_each_policy(struct world *w)
{
	under_each(w, cpus_come_and_go);
}

const struct contract_case contract_policy_cases[] = {
	CASE(case_a_thread_sleeps_yields_forks_and_ends_under_each_policy),
	CASE(case_many_threads_sleep_yield_and_end_under_each_policy),
	CASE(case_busy_threads_all_get_their_time_under_each_policy),
	CASE(case_threads_renice_themselves_and_get_on_under_each_policy),
	CASE(case_threads_are_reniced_by_others_and_get_on_under_each_policy),
	CASE(case_threads_leave_by_themselves_under_each_policy),
	CASE(case_threads_are_taken_out_while_they_spin_or_sleep_under_each_policy),
	CASE(case_threads_are_taken_out_in_their_shortest_sleeps_under_each_policy),
	CASE(case_affinity_moves_a_thread_and_strange_cpus_do_not_count),
	CASE(case_threads_pinned_before_they_join_stay_where_they_are),
	CASE(case_a_thread_that_moved_itself_is_there_after_a_sleep),
	CASE(case_a_thread_that_moves_on_and_on_is_reniced_and_gets_on),
	CASE(case_a_thread_moved_while_it_sleeps_wakes_up_there),
	CASE(case_spinning_threads_are_moved_back_and_forth_and_all_end),
	CASE(case_cpus_come_and_go_beneath_busy_threads_under_each_policy),
	{ 0 },
};
