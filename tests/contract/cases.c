// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cases of the contract, written once for all worlds.
 * In: a world with an enclave of two CPUs. Out: a failure, or none. Called by
 * contract_run().
 */
#include <errno.h>
#include <string.h>

#include "libghost/agent.h"
#include "tests/contract/contract.h"

#define TICK_NS (4 * MS)

static uint32_t id_of(struct world *w)
{
	return ghost_enclave_id(w->e);
}

/* --- requests ------------------------------------------------------------------- */

static void case_requests_that_nobody_knows_are_refused(struct world *w)
{
	check_is(w, ctl_admin(w, 0, id_of(w)), -EINVAL);
	check_is(w, ctl_admin(w, 10, id_of(w)), -EINVAL);
	check_is(w, ctl_admin(w, ~0u, id_of(w)), -EINVAL);
	check_is(w, ctl_agent(w, 0, id_of(w), CPU_A), -EINVAL);
	check_is(w, ctl_agent(w, 30, id_of(w), CPU_A), -EINVAL);
	/* Two rights, two doors: what is asked at the other one is unknown here. */
	check_is(w, ctl_admin(w, GHOST_CTL_AGENT_PING, id_of(w)), -EINVAL);
	check_is(w, ctl_agent(w, GHOST_CTL_ENCLAVE_DESTROY, id_of(w), CPU_A), -EINVAL);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_IDLE);
}

static void case_the_kernel_side_tells_its_layout_and_its_capacity(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_INFO };

	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, 0);
	check_is(w, ctl.abi, GHOST_ABI_VERSION);
	check_is(w, ctl.capacity, w->mem->capacity);
	check_is(w, ghost_enclave_status(w->e)->capacity, w->mem->capacity);
	check_is(w, ghost_enclave_status(w->e)->abi, GHOST_ABI_VERSION);
	check_is(w, ghost_enclave_status(w->e)->nr_cpus, 2);
}

static void case_it_is_set_up_once(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_INIT, .capacity = 7 };

	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -EBUSY);
	ctl.op = GHOST_CTL_INFO;
	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.capacity, w->mem->capacity);
}

static void case_an_enclave_needs_cpus_that_are_there(struct world *w)
{
	struct ghost_cpuset cpus = { 0 };
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e = NULL;

	check_is(w, ghost_enclave_create(&e, w->backend, &opts), -EINVAL);
	ghost_cpuset_add(&cpus, CPU_OTHER);
	ghost_cpuset_add(&cpus, GHOST_CPUS_MAX - 1);
	check_is(w, ghost_enclave_create(&e, w->backend, &opts), -EINVAL);
	check(w, e == NULL);
}

static void case_an_enclave_needs_an_id_of_its_own(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_ENCLAVE_CREATE };
	static const uint32_t bad[] = { 0, GHOST_ENCLAVES_MAX, ~0u };

	ctl.cpus[0] = 1ull << CPU_OTHER;
	for (int i = 0; i < 3; i++) {
		ctl.enclave = bad[i];
		check_is(w, w->backend->admin(w->backend, &ctl), 0);
		check_is(w, ctl.ret, -EINVAL);
	}
	ctl.enclave = id_of(w);
	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -EEXIST);
	/* One whose memory nobody has made. */
	ctl.enclave = GHOST_ENCLAVES_MAX - 1;
	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -EINVAL);
}

static void case_a_cpu_belongs_to_one_enclave(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_B, CPU_OTHER);
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e = NULL;

	check_is(w, ghost_enclave_create(&e, w->backend, &opts), -EBUSY);
	check(w, e == NULL);
	/* Nothing has changed: the free one of the two is free. */
	other_enclave(w);
	check(w, ghost_enclave_id(w->other) != id_of(w));
	check_is(w, ghost_enclave_memory(w->other)->cpu[CPU_OTHER].owned, 1);
	check_is(w, ghost_enclave_memory(w->other)->cpu[CPU_B].owned, 0);
	check_is(w, page(w, CPU_B)->owned, 1);
}

static void case_nothing_can_be_asked_of_an_enclave_that_is_not_there(struct world *w)
{
	static const uint32_t bad[] = { 0, GHOST_ENCLAVES_MAX - 1, GHOST_ENCLAVES_MAX, ~0u };

	for (int i = 0; i < 4; i++) {
		check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_DESTROY, bad[i]), -ENOENT);
		check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_FREE, bad[i]), -ENOENT);
		check_is(w, ctl_admin(w, GHOST_CTL_TASK_JOIN, bad[i]), -ENOENT);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, bad[i], CPU_A), -ENOENT);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_OFFLINE, bad[i], CPU_A), -ENOENT);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, bad[i], CPU_A), -ENOENT);
	}
}

static void case_only_an_enclaves_own_cpus_can_be_pinged(struct world *w)
{
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_A), 0);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_OTHER), -ENOENT);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), GHOST_CPUS_MAX), -ENOENT);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), ~0u), -ENOENT);
}

static void case_an_enclave_is_freed_after_it_was_destroyed_and_is_empty(struct world *w)
{
	struct puppet *p = member_asleep(w);

	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_FREE, id_of(w)), -EBUSY);
	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_DESTROY, id_of(w)), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_DYING);
	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_FREE, id_of(w)), -EBUSY);
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_FREE, id_of(w)), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_FREE);
	check_is(w, page(w, CPU_A)->owned, 0);
	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_FREE, id_of(w)), -ENOENT);
}

static void case_nobody_joins_an_enclave_that_is_going_away(struct world *w)
{
	struct puppet *p = puppet_new(w);

	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_DESTROY, id_of(w)), 0);
	check_is(w, ghost_enclave_join(w->e, p->tid), -ENOENT);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_FAIR);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), -EBUSY);
}

static void case_a_thread_that_is_not_there_cannot_join(struct world *w)
{
	struct puppet *p = puppet_new(w);

	order(w, p, PUPPET_EXIT);
	until(w, w->ops->class_of(w, p) == CLASS_OF_NONE);
	check_is(w, ghost_enclave_join(w->e, p->tid), -ESRCH);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
}

static void case_a_request_to_join_can_be_taken_back(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_TASK_JOIN, .enclave = id_of(w) };
	struct puppet *p = puppet_new(w);

	ctl.tid = p->tid;
	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, 0);
	ctl.op = GHOST_CTL_TASK_UNJOIN;
	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, 0);
	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -ENOENT);
	/* In our class it belongs to nobody, and runs. */
	check_is(w, w->backend->task_enter(w->backend, p->tid), 0);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_US);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
}

/* What @op comes to for one who guesses the enclave's token. */
static int ask_with(struct world *w, uint32_t op, uint64_t token, uint32_t tid)
{
	struct ghost_ctl ctl = {
		.op = op,
		.enclave = id_of(w),
		.cpu = CPU_A,
		.tid = tid,
		.token = token,
		.len = 64,
		.queue = CPU_A,
	};

	check_is(w, w->backend->agent(w->backend, &ctl), 0);
	return ctl.ret;
}

static void case_who_does_not_know_its_token_can_ask_nothing_of_an_enclave(struct world *w)
{
	uint64_t token = ghost_enclave_status(w->e)->token, wrong[3];
	struct puppet *p = puppet_new(w);
	struct ghost_enclave_counts counts;

	other_enclave(w);
	wrong[0] = ghost_enclave_status(w->other)->token;
	wrong[1] = token + 1;
	wrong[2] = ~token;
	check(w, token);
	check(w, token != wrong[0]);
	for (int i = 0; i < 3; i++) {
		for (uint32_t op = GHOST_CTL_AGENT_ATTACH; op <= GHOST_CTL_TIMER; op++)
			check_is(w, ask_with(w, op, wrong[i], p->tid), -EPERM);
		check_is(w, ask_with(w, GHOST_CTL_TASK_JOIN, wrong[i], p->tid), -EPERM);
		check_is(w, ask_with(w, GHOST_CTL_TASK_UNJOIN, wrong[i], p->tid), -EPERM);
	}
	/* Which layout both sides speak everybody may know. */
	check_is(w, ask_with(w, GHOST_CTL_INFO, wrong[0], 0), 0);
	check_is(w, ghost_enclave_count(w->e, &counts), 0);
	check_is(w, counts.nr_agents, 0);
	for (uint32_t q = w->mem->nr_cpus; q < w->mem->nr_queues; q++)
		check_is(w, w->mem->cpu[q].queue.len, 0);
	/* And with it, the same. */
	check_is(w, ask_with(w, GHOST_CTL_AGENT_PING, token, 0), 0);
	check_is(w, ask_with(w, GHOST_CTL_QUEUE_CREATE, token, 0), 0);
	check_is(w, ask_with(w, GHOST_CTL_TASK_JOIN, token, p->tid), 0);
	check_is(w, ask_with(w, GHOST_CTL_TASK_UNJOIN, token, p->tid), 0);
}

static void case_who_was_to_join_an_enclave_does_not_join_the_next_with_its_id(struct world *w)
{
	struct ghost_ctl join = { .op = GHOST_CTL_TASK_JOIN, .enclave = id_of(w) };
	struct puppet *p = puppet_new(w);
	uint32_t id = id_of(w);

	join.tid = p->tid;
	check_is(w, w->backend->admin(w->backend, &join), 0);
	check_is(w, join.ret, 0);
	enclave_anew(w, cpus_of(CPU_A, CPU_B));
	check_is(w, id_of(w), id);
	check_is(w, w->backend->task_enter(w->backend, p->tid), 0);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	/* Asked of this one, it joins. */
	check_is(w, ghost_enclave_join(w->e, p->tid), 0);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 1);
}

/* A sleeper wakes up, waits for at least @ms, is committed, and sleeps again. */
static void wait_for_commit(struct world *w, struct puppet *p, uint32_t ms)
{
	order(w, p, PUPPET_SPIN);
	until(w, flags_of(w, p) & GHOST_STATUS_RUNNABLE);
	pass(w, ms);
	drain(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	order(w, p, PUPPET_BLOCK);
	until(w, w->ops->asleep(w, p));
	commit_end(w, CPU_A);
	drain(w);
}

static uint64_t counted(struct world *w, uint32_t counter)
{
	struct ghost_enclave_counts counts;

	check_is(w, ghost_enclave_count(w->e, &counts), 0);
	return counts.nr[counter];
}

static void case_waits_are_counted_while_somebody_asks(struct world *w)
{
	uint64_t late, waits;
	struct puppet *p;

	agents_up(w);
	p = member_asleep(w);
	wait_for_commit(w, p, 5);
	check_is(w, counted(w, GHOST_NR_WAITS), 0);
	check_is(w, ghost_enclave_slo(w->e, 4000 * MS), 0);
	wait_for_commit(w, p, 5);
	/* More if a normal thread has pushed it aside meanwhile. */
	waits = counted(w, GHOST_NR_WAITS);
	check(w, waits >= 1);
	check_is(w, counted(w, GHOST_NR_LATE), 0);
	check_is(w, ghost_enclave_slo(w->e, 2 * MS), 0);
	wait_for_commit(w, p, 5);
	check(w, counted(w, GHOST_NR_WAITS) > waits);
	late = counted(w, GHOST_NR_LATE);
	check(w, late >= 1);
	/* One that is not chosen at all counts, too. */
	order(w, p, PUPPET_SPIN);
	until(w, counted(w, GHOST_NR_LATE) >= late + 2);
	late = counted(w, GHOST_NR_LATE);
	check(w, counted(w, GHOST_NR_WAITS) > late);
	/* And nobody when nobody asks. */
	check_is(w, ghost_enclave_slo(w->e, 0), 0);
	waits = counted(w, GHOST_NR_WAITS);
	pass(w, 200);
	check_is(w, counted(w, GHOST_NR_WAITS), waits);
	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_SLO, GHOST_ENCLAVES_MAX - 1), -ENOENT);
	check_is(w, ctl_admin(w, GHOST_CTL_ENCLAVE_SLO, 0), -ENOENT);
}

static void case_an_enclave_may_have_a_limit_of_members(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_OTHER, -1);
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus, .max_tasks = 2 };
	struct puppet *p[3], *child;

	for (int i = 0; i < 3; i++)
		p[i] = puppet_new(w);
	check_is(w, ghost_enclave_create(&w->other, w->backend, &opts), 0);
	for (int i = 0; i < 3; i++)
		check_is(w, ghost_enclave_join(w->other, p[i]->tid), 0);
	check_is(w, ghost_enclave_status(w->other)->max_tasks, 2);
	check_is(w, ghost_enclave_status(w->other)->nr_tasks, 2);
	check_is(w, ghost_enclave_status(w->other)->nr_no_slot, 1);
	/* Children count, too; who is one too many runs all the same. */
	child = order_fork(w, p[0]);
	order(w, p[2], PUPPET_SPIN);
	until(w, child->tid && runs(w, child));
	until(w, runs(w, p[2]));
	check_is(w, ghost_enclave_status(w->other)->nr_tasks, 2);
	check_is(w, ghost_enclave_status(w->other)->nr_no_slot, 2);
	/* Where one leaves there is room. */
	check_is(w, w->backend->task_leave(w->backend, p[1]->tid), 0);
	check_is(w, ghost_enclave_join(w->other, p[2]->tid), 0);
	check_is(w, ghost_enclave_status(w->other)->nr_tasks, 2);
	/* The other enclave has none. */
	check_is(w, ghost_enclave_join(w->e, p[1]->tid), 0);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 1);
}

static void case_an_enclave_is_found_by_its_id(struct world *w)
{
	struct ghost_enclave_counts counts;
	struct ghost_enclave *again = NULL;
	struct ghost_cpuset cpus;

	check_is(w, ghost_enclave_open(&again, w->backend, 0), -ENOENT);
	check_is(w, ghost_enclave_open(&again, w->backend, GHOST_ENCLAVES_MAX - 1), -ENOENT);
	check_is(w, ghost_enclave_open(&again, w->backend, GHOST_ENCLAVES_MAX), -ENOENT);
	check_is(w, ghost_enclave_open(&again, w->backend, id_of(w)), 0);
	check_is(w, ghost_enclave_cpus(again, &cpus), 0);
	check_is(w, cpus.word[0], 1u << CPU_A | 1u << CPU_B);
	join(w, again, puppet_new(w));
	ghost_enclave_close(again);
	agents_up(w);
	check_is(w, ghost_enclave_count(w->e, &counts), 0);
	check_is(w, counts.nr_tasks, 1);
	check_is(w, counts.nr_agents, 2);
	check_is(w, counts.nr[GHOST_NR_TASKS], 1);
}

/* --- agents --------------------------------------------------------------------- */

static void case_an_agent_needs_an_enclave_with_that_cpu(struct world *w)
{
	int err;

	agent_try(w, GHOST_ENCLAVES_MAX - 1, CPU_A, CPU_A, &err);
	check_is(w, err, -ENOENT);
	agent_try(w, 0, CPU_A, CPU_A, &err);
	check_is(w, err, -ENOENT);
	agent_try(w, id_of(w), CPU_OTHER, CPU_OTHER, &err);
	check_is(w, err, -ENOENT);
	agent_try(w, id_of(w), GHOST_CPUS_MAX, CPU_A, &err);
	check_is(w, err, -ENOENT);
}

static void case_a_cpu_has_one_agent(struct world *w)
{
	uint32_t tid;
	int err;

	agent_start(w, CPU_A);
	tid = page(w, CPU_A)->agent_tid;
	agent_try(w, id_of(w), CPU_A, CPU_A, &err);
	check_is(w, err, -EBUSY);
	check_is(w, page(w, CPU_A)->agent_tid, tid);
}

static void case_a_thread_that_could_leave_its_cpu_is_no_agent(struct world *w)
{
	struct agent *a;
	int err;

	a = agent_try(w, id_of(w), CPU_A, CPU_B, &err);
	check_is(w, err, 0);
	check_is(w, page(w, CPU_A)->agent_tid, 0);
	check_is(w, page(w, CPU_B)->agent_tid, 0);
	agent_leave(w, a);
	a = agent_try(w, id_of(w), CPU_A, GHOST_CPU_NONE, &err);
	check_is(w, err, 0);
	check_is(w, page(w, CPU_A)->agent_tid, 0);
	agent_leave(w, a);
	agent_start(w, CPU_A);
}

static void case_agents_are_online_when_all_are_there_and_not_before(struct world *w)
{
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), -EAGAIN);
	agent_start(w, CPU_A);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), -EAGAIN);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_IDLE);
	agent_start(w, CPU_B);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_OFFLINE, id_of(w), 0), -EBUSY);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_ONLINE);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), -EBUSY);
}

static void case_an_agent_cannot_be_a_member(struct world *w)
{
	agents_up(w);
	check_is(w, ghost_enclave_join(w->e, page(w, CPU_A)->agent_tid), -EPERM);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_ONLINE);
}

/* What waited for the agents runs without them. */
static void expect_fallback(struct world *w, struct puppet *p)
{
	within(w, 1000, flags_of(w, p) & GHOST_STATUS_FALLBACK);
	within(w, 1000, runs(w, p));
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK);
}

static void case_an_agent_that_ends_costs_the_enclave(struct world *w)
{
	struct puppet *p;
	uint32_t tid;

	agents_up(w);
	p = member_waiting(w);
	tid = page(w, CPU_B)->agent_tid;
	agent_leave(w, w->agent_on[CPU_B]);
	until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
	check_is(w, ghost_enclave_status(w->e)->lost_reason, GHOST_LOST_AGENT_EXIT);
	check_is(w, ghost_enclave_status(w->e)->lost_arg, tid);
	check_is(w, page(w, CPU_B)->agent_tid, 0);
	expect_fallback(w, p);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), -EAGAIN);
}

static void case_an_agent_that_leaves_its_class_does_so_too(struct world *w)
{
	struct puppet *p;
	uint32_t tid;

	agents_up(w);
	p = member_waiting(w);
	tid = page(w, CPU_A)->agent_tid;
	check_is(w, w->backend->task_leave(w->backend, tid), 0);
	until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
	check_is(w, ghost_enclave_status(w->e)->lost_reason, GHOST_LOST_AGENT_EXIT);
	check_is(w, ghost_enclave_status(w->e)->lost_arg, tid);
	expect_fallback(w, p);
}

static void case_no_thread_keeps_a_cpu_for_itself_when_the_agents_are_lost(struct world *w)
{
	struct puppet *running, *waiting;

	agents_up(w);
	running = member_waiting(w);
	waiting = member_asleep(w);
	move(w, waiting, cpus_of(CPU_A, -1));
	order(w, waiting, PUPPET_SPIN);
	until(w, flags_of(w, waiting) & GHOST_STATUS_RUNNABLE);
	drain(w);
	put_on(w, CPU_A, running, GHOST_SLICE_INF);
	see_on(w, running, CPU_A);
	agent_leave(w, w->agent_on[CPU_B]);
	until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
	/* Its slice has no end; but the agent behind it is let in after a second. */
	within(w, 3000, runs_on(w, waiting, CPU_A));
	until(w, flags_of(w, running) == (GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK));
	within(w, 1000, runs(w, running));
}

static void case_new_agents_take_over_a_lost_enclave(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	agent_leave(w, w->agent_on[CPU_B]);
	until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
	until(w, page(w, CPU_B)->agent_tid == 0);
	agent_start(w, CPU_B);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_ONLINE);
	check_is(w, ghost_enclave_status(w->e)->lost_reason, GHOST_LOST_NONE);
	until(w, flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
}

static void nothing_to_run(struct ghost_agent *a, uint32_t cpu)
{
}

static void case_agents_that_were_stopped_can_be_followed_at_once(struct world *w)
{
	static const struct ghost_policy idle = { .name = "idle", .schedule = nothing_to_run };
	struct ghost_agents *agents;

	for (int i = 0; i < 100; i++) {
		check_is(w, ghost_agents_start(&agents, w->e, &idle, NULL), 0);
		check_is(w, enclave_state(w), GHOST_ENCLAVE_ONLINE);
		ghost_agents_stop(agents);
		check_is(w, page(w, CPU_A)->agent_tid, 0);
		check_is(w, page(w, CPU_B)->agent_tid, 0);
	}
}

static void case_agents_that_go_offline_leave_an_idle_enclave(struct world *w)
{
	struct puppet *p, *q;

	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	put_on(w, CPU_A, q, GHOST_SLICE_INF);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_OFFLINE, id_of(w), 0), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_IDLE);
	check_is(w, ghost_enclave_status(w->e)->lost_reason, GHOST_LOST_NONE);
	expect_fallback(w, p);
	expect_fallback(w, q);
	until(w, commit_ended(w, CPU_A));
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_OFFLINE, id_of(w), 0), -EBUSY);
	/* The agents are there still. */
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), 0);
	until(w, flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	until(w, flags_of(w, q) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
}

/*
 * From custody to the fallback and back, without a CPU for it: Linux 7.3 throws
 * the scheduler out when that happens 257 times.
 */
static void case_a_thread_waits_unharmed_while_agents_come_and_go(struct world *w)
{
	struct puppet *p, *hog_a, *hog_b;
	uint32_t online = GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE;
	uint32_t offline = GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK;

	agents_up(w);
	p = member_waiting(w);
	hog_a = hog_on(w, CPU_A, CLASS_OF_FAIR);
	hog_b = hog_on(w, CPU_B, CLASS_OF_FAIR);
	for (int i = 0; i < 300; i++) {
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_OFFLINE, id_of(w), 0), 0);
		until(w, flags_of(w, p) == offline);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), 0);
		/* It may have been let run elsewhere. */
		for (int ms = 0; flags_of(w, p) != online && !runs(w, p); ms++)
			check(w, ms < PATIENCE);
	}
	hog_off(w, hog_a);
	hog_off(w, hog_b);
	if (flags_of(w, p) == offline)
		order(w, p, PUPPET_BLOCK);
	order(w, p, PUPPET_SPIN);
	until(w, flags_of(w, p) == online);
	drain(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

static void case_agents_that_let_a_thread_wait_too_long_lose_the_enclave(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_A, CPU_B);
	struct ghost_enclave_opts opts = { .size = sizeof(opts),
					   .cpus = &cpus,
					   .stall_ns = 300 * MS };
	struct puppet *p;

	/* The same with less patience. */
	check_is(w, ghost_enclave_destroy(w->e), 0);
	ghost_enclave_close(w->e);
	w->e = NULL;
	check_is(w, ghost_enclave_create(&w->e, w->backend, &opts), 0);
	w->mem = ghost_enclave_memory(w->e);
	agents_up(w);
	p = member_waiting(w);
	until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
	check_is(w, ghost_enclave_status(w->e)->lost_reason, GHOST_LOST_STALL);
	check_is(w, ghost_enclave_status(w->e)->lost_arg, p->tid);
	expect_fallback(w, p);
}

/* The agent of @cpu leaves, and is gone. */
static void agent_goes(struct world *w, uint32_t cpu)
{
	agent_leave(w, w->agent_on[cpu]);
	until(w, !ghost_load_acquire(&page(w, cpu)->agent_tid));
}

static void case_an_enclave_without_agents_may_have_other_cpus(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_A, CPU_OTHER), none = { 0 };
	struct puppet *p;

	agents_up(w);
	check_is(w, ghost_enclave_set_cpus(w->e, &cpus), -EBUSY);
	/* Nothing to change is no change. */
	cpus = cpus_of(CPU_A, CPU_B);
	check_is(w, ghost_enclave_set_cpus(w->e, &cpus), 0);
	agent_goes(w, CPU_A);
	agent_goes(w, CPU_B);
	check_is(w, ghost_enclave_set_cpus(w->e, &none), -EINVAL);
	ghost_cpuset_add(&none, GHOST_CPUS_MAX - 1);
	check_is(w, ghost_enclave_set_cpus(w->e, &none), -EINVAL);
	other_enclave(w);
	cpus = cpus_of(CPU_A, CPU_OTHER);
	check_is(w, ghost_enclave_set_cpus(w->e, &cpus), -EBUSY);
	check_is(w, page(w, CPU_B)->owned, 1);
	check_is(w, page(w, CPU_OTHER)->owned, 0);
	/* The other enclave leaves it. */
	check_is(w, ghost_enclave_destroy(w->other), 0);
	ghost_enclave_close(w->other);
	w->other = NULL;
	check_is(w, ghost_enclave_set_cpus(w->e, &cpus), 0);
	check_is(w, page(w, CPU_A)->owned, 1);
	check_is(w, page(w, CPU_B)->owned, 0);
	check_is(w, page(w, CPU_OTHER)->owned, 1);
	check_is(w, ghost_enclave_status(w->e)->nr_cpus, 2);
	/* Agents decide for those now. */
	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_OTHER, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_OTHER);
}

static void case_threads_go_on_when_the_cpus_of_their_enclave_change(struct world *w)
{
	struct ghost_cpuset a = cpus_of(CPU_A, -1), b = cpus_of(CPU_B, -1), all = b;
	struct puppet *free_, *bound, *asleep;

	free_ = member_asleep(w);
	bound = member_asleep(w);
	asleep = member_asleep(w);
	move(w, bound, b);
	move(w, asleep, b);
	order(w, free_, PUPPET_SPIN);
	order(w, bound, PUPPET_SPIN);
	until(w, runs(w, free_));
	until(w, runs(w, bound));
	check_is(w, ghost_enclave_set_cpus(w->e, &a), 0);
	/* It may run nowhere else: so it does, as if it were no member. */
	until(w, runs_on(w, bound, CPU_B));
	until(w, runs_on(w, free_, CPU_A));
	order(w, asleep, PUPPET_SPIN);
	until(w, runs_on(w, asleep, CPU_B));
	/* The same with agents, which hear nothing of those. */
	agents_up(w);
	until(w, runs_on(w, bound, CPU_B));
	until(w, runs_on(w, asleep, CPU_B));
	agent_goes(w, CPU_A);
	/* And back: where they are is a CPU of the enclave again. */
	ghost_cpuset_add(&all, CPU_A);
	check_is(w, ghost_enclave_set_cpus(w->e, &all), 0);
	until(w, runs_on(w, bound, CPU_B));
	order(w, bound, PUPPET_BLOCK);
	order(w, asleep, PUPPET_BLOCK);
	until(w, runs(w, free_));
}

static void
case_a_sleeper_that_agents_heard_of_since_the_cpus_changed_wakes_up_elsewhere(struct world *w)
{
	struct ghost_cpuset a = cpus_of(CPU_A, -1);
	struct puppet *p = member_asleep(w);

	move(w, p, cpus_of(CPU_B, -1));
	check_is(w, ghost_enclave_set_cpus(w->e, &a), 0);
	agents_up(w);
	/* A message of it, while what its affinity leaves is not asked. */
	renice(w, p, 3);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	order(w, p, PUPPET_SPIN);
	until(w, runs_on(w, p, CPU_B));
	order(w, p, PUPPET_BLOCK);
}

static void case_destroying_a_busy_enclave_gives_its_members_back(struct world *w)
{
	struct puppet *running, *waiting, *asleep;

	agents_up(w);
	running = member_waiting(w);
	waiting = member_waiting(w);
	asleep = member_asleep(w);
	put_on(w, CPU_A, running, GHOST_SLICE_INF);
	/* Its agents are asked to leave, and do not. */
	check_is(w, ghost_enclave_destroy(w->e), -EBUSY);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_DYING);
	check_is(w, w->ops->class_of(w, running), CLASS_OF_FAIR);
	check_is(w, w->ops->class_of(w, waiting), CLASS_OF_FAIR);
	check_is(w, w->ops->class_of(w, asleep), CLASS_OF_FAIR);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	until(w, runs(w, running));
	until(w, runs(w, waiting));
	order(w, running, PUPPET_BLOCK);
	order(w, waiting, PUPPET_BLOCK);
	until(w, commit_ended(w, CPU_A));
	agent_leave(w, w->agent_on[CPU_A]);
	agent_leave(w, w->agent_on[CPU_B]);
	check_is(w, ghost_enclave_destroy(w->e), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_FREE);
	ghost_enclave_close(w->e);
	w->e = NULL;
}

static void case_an_agent_that_yields_without_a_transaction_waits_for_a_message(struct world *w)
{
	struct puppet *p;
	uint32_t cpu;

	agents_up(w);
	p = member_asleep(w);
	cpu = home_of(w, p);
	rw(w, cpu)->txn.state = GHOST_TXN_FREE;
	/* It has news: the messages so far were seen by no commit of its. */
	yield_begin(w, cpu);
	until(w, commit_ended(w, cpu));
	check_is(w,
		 commit(w, cpu,
			&(struct ghost_txn){ .agent_seq = agent_seq(w, cpu) - 1, .slice_ns = 1 }),
		 GHOST_TXN_AGENT_STALE);
}

static void case_an_agent_behind_a_higher_class_goes_on_when_it_is_let_in(struct world *w)
{
	struct puppet *p, *hog;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	hog = hog_on(w, CPU_B, CLASS_OF_FAIR);
	t = fresh(w, CPU_B, p);
	commit_begin(w, CPU_B, &t);
	pass(w, 50);
	hog_off(w, hog);
	check_is(w, commit_settled(w, CPU_B), GHOST_TXN_COMMITTED);
	/* Some kernels let a starving class in for a moment: then it ran already, and lost its CPU. */
	if (flags_of(w, p) & GHOST_STATUS_RUNNABLE) {
		commit_end(w, CPU_B);
		put_on(w, CPU_B, p, GHOST_SLICE_INF);
	}
	see_on(w, p, CPU_B);
}

/* --- commits that are carried out ----------------------------------------------- */

static void case_a_commit_puts_its_thread_on_the_cpu(struct world *w)
{
	struct ghost_txn t;
	struct puppet *p;
	uint64_t counted;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	check(w, !runs(w, p));
	seq = seq_of(w, p);
	counted = page(w, CPU_B)->nr_txn[GHOST_TXN_COMMITTED];
	t = fresh(w, CPU_B, p);
	carried_out(w, CPU_B, &t);
	see_on(w, p, CPU_B);
	/* Who committed it knows: no message, no new number. */
	check_is(w, seq_of(w, p), seq);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU);
	check_is(w, status_of(w, p)->cpu, CPU_B);
	check_is(w, home_of(w, p), CPU_B);
	check_is(w, page(w, CPU_B)->nr_txn[GHOST_TXN_COMMITTED], counted + 1);
	expect_none(w, 20);
	check(w, !commit_ended(w, CPU_B));
	/* Its end brings the agent back. */
	order(w, p, PUPPET_BLOCK);
	check_is(w, commit_end(w, CPU_B), GHOST_TXN_COMMITTED);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
}

static void case_messages_go_to_the_cpu_that_committed_last(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 4; i++) {
		uint32_t cpu = i % 2 ? CPU_A : CPU_B;
		struct ghost_msg m;

		put_on(w, cpu, p, GHOST_SLICE_INF);
		see_on(w, p, cpu);
		order(w, p, PUPPET_YIELD);
		commit_end(w, cpu);
		until(w, pop(w, cpu, &m));
		check_is(w, m.type, GHOST_MSG_TASK_YIELD);
		check_is(w, m.slot, p->slot);
		check_is(w, m.cpu, cpu);
	}
}

static void case_threads_run_in_the_order_of_their_commits(struct world *w)
{
	struct puppet *p, *q;

	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	put_on(w, CPU_A, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_A);
	check(w, !runs(w, p));
	order(w, q, PUPPET_YIELD);
	commit_end(w, CPU_A);
	expect(w, q, GHOST_MSG_TASK_YIELD);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	check(w, !runs(w, q));
	put_on(w, CPU_B, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_B);
	see_on(w, p, CPU_A);
}

static void case_nothing_to_run_parks_the_agent_until_a_ping(struct world *w)
{
	struct ghost_txn t;

	agents_up(w);
	t = fresh(w, CPU_A, NULL);
	commit_begin(w, CPU_A, &t);
	check_is(w, commit_settled(w, CPU_A), GHOST_TXN_YIELDED);
	pass(w, 50);
	check(w, !commit_ended(w, CPU_A));
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_A), 0);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_YIELDED);
}

static void case_a_parked_agent_comes_back_for_a_message(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;
	struct ghost_msg m;
	uint32_t cpu;

	agents_up(w);
	p = member_asleep(w);
	cpu = home_of(w, p);
	t = fresh(w, cpu, NULL);
	commit_begin(w, cpu, &t);
	check_is(w, commit_settled(w, cpu), GHOST_TXN_YIELDED);
	pass(w, 20);
	check(w, !commit_ended(w, cpu));
	order(w, p, PUPPET_SPIN);
	check_is(w, commit_end(w, cpu), GHOST_TXN_YIELDED);
	m = expect(w, p, GHOST_MSG_TASK_WAKEUP);
	check_is(w, m.position, rw(w, cpu)->queue_tail);
}

static void case_a_parked_agent_comes_back_within_two_seconds_in_any_case(struct world *w)
{
	struct ghost_txn t;

	agents_up(w);
	t = fresh(w, CPU_A, NULL);
	commit_begin(w, CPU_A, &t);
	check_is(w, commit_settled(w, CPU_A), GHOST_TXN_YIELDED);
	within(w, 2000, commit_ended(w, CPU_A));
}

static void case_a_commit_can_ping_another_cpu(struct world *w)
{
	struct ghost_txn t;
	uint32_t before;

	agents_up(w);
	t = fresh(w, CPU_B, NULL);
	commit_begin(w, CPU_B, &t);
	check_is(w, commit_settled(w, CPU_B), GHOST_TXN_YIELDED);
	before = agent_seq(w, CPU_B);
	t = fresh(w, CPU_A, NULL);
	t.ping_cpu = CPU_B;
	commit_begin(w, CPU_A, &t);
	check_is(w, commit_settled(w, CPU_A), GHOST_TXN_YIELDED);
	check_is(w, commit_end(w, CPU_B), GHOST_TXN_YIELDED);
	check_is(w, agent_seq(w, CPU_B), before + 1);
}

static void case_a_ping_of_no_cpu_of_ours_is_ignored(struct world *w)
{
	static const uint32_t strange[] = { CPU_CASE,		CPU_OTHER,	NR_CPUS,
					    GHOST_CPUS_MAX - 1, GHOST_CPUS_MAX, 0x7fffffff,
					    0xfffffffe };
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	for (uint32_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		t = fresh(w, CPU_A, p);
		t.ping_cpu = strange[i];
		memset(t.pad, 0xa5 + i, sizeof(t.pad));
		carried_out(w, CPU_A, &t);
		order(w, p, PUPPET_YIELD);
		commit_end(w, CPU_A);
		expect(w, p, GHOST_MSG_TASK_YIELD);
	}
}

/* A CPU is busy, another one idles: the agent there may take what the first cannot. */
static void case_an_idle_agent_is_asked_to_help_a_busy_cpu(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	/* Both have CPU A's queue. */
	put_on(w, CPU_A, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_A);
	order(w, q, PUPPET_BLOCK);
	commit_end(w, CPU_A);
	expect(w, q, GHOST_MSG_TASK_BLOCKED);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	t = fresh(w, CPU_B, NULL);
	commit_begin(w, CPU_B, &t);
	check_is(w, commit_settled(w, CPU_B), GHOST_TXN_YIELDED);
	pass(w, 20);
	check(w, !commit_ended(w, CPU_B));
	order(w, q, PUPPET_SPIN);
	check_is(w, commit_end(w, CPU_B), GHOST_TXN_YIELDED);
	check_is(w, page(w, CPU_B)->help, CPU_A + 1);
	check_is(w, expect(w, q, GHOST_MSG_TASK_WAKEUP).cpu, CPU_A);
	check_is(w, home_of(w, q), CPU_A);
	put_on(w, CPU_B, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_B);
}

static void case_an_idle_agent_is_asked_to_help_where_a_higher_class_took_the_cpu(struct world *w)
{
	struct puppet *p, *hog;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	t = fresh(w, CPU_B, NULL);
	commit_begin(w, CPU_B, &t);
	check_is(w, commit_settled(w, CPU_B), GHOST_TXN_YIELDED);
	hog = hog_on(w, CPU_A, CLASS_OF_FAIR);
	within(w, 500, commit_ended(w, CPU_B));
	check_is(w, page(w, CPU_B)->help, CPU_A + 1);
	check_is(w, expect(w, p, GHOST_MSG_TASK_PREEMPT).reason, GHOST_PREEMPT_CLASS);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
	hog_off(w, hog);
}

/* --- commits that are refused --------------------------------------------------- */

/*
 * @t is refused on @cpu with @state, counted, and changes nothing about @p
 * (NULL: nobody to look at).
 */
static void refused(struct world *w, uint32_t cpu, struct ghost_txn t, const struct puppet *p,
		    uint32_t state)
{
	uint64_t counted = page(w, cpu)->nr_txn[state];
	uint64_t word = p ? status_of(w, p)->word : 0;
	uint32_t home = p ? home_of(w, p) : 0, at = p ? status_of(w, p)->cpu : 0;
	uint32_t head_a = page(w, CPU_A)->queue.head, head_b = page(w, CPU_B)->queue.head;

	check_is(w, commit(w, cpu, &t), state);
	check_is(w, page(w, cpu)->nr_txn[state], counted + 1);
	check_is(w, page(w, CPU_A)->queue.head, head_a);
	check_is(w, page(w, CPU_B)->queue.head, head_b);
	if (!p)
		return;
	check_is(w, status_of(w, p)->word, word);
	check_is(w, home_of(w, p), home);
	check_is(w, status_of(w, p)->cpu, at);
}

static void case_a_commit_over_an_unseen_message_is_refused(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t, idle;
	uint32_t cpu;

	agents_up(w);
	p = member_waiting(w);
	cpu = home_of(w, p);
	t = fresh(w, cpu, p);
	idle = fresh(w, cpu, NULL);
	renice(w, p, 1);
	until(w, agent_seq(w, cpu) != t.agent_seq);
	t.task_seq = seq_of(w, p);
	refused(w, cpu, t, p, GHOST_TXN_AGENT_STALE);
	/* Nor may the agent go to sleep over it. */
	refused(w, cpu, idle, p, GHOST_TXN_AGENT_STALE);
	/* A number from the future is as wrong. */
	t.agent_seq = agent_seq(w, cpu) + 1;
	refused(w, cpu, t, p, GHOST_TXN_AGENT_STALE);
	put_on(w, cpu, p, GHOST_SLICE_INF);
}

static void case_a_commit_over_an_unseen_ping_is_refused(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_A, p);
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_A), 0);
	check_is(w, agent_seq(w, CPU_A), t.agent_seq + 1);
	refused(w, CPU_A, t, p, GHOST_TXN_AGENT_STALE);
	t.agent_seq++;
	carried_out(w, CPU_A, &t);
}

static void case_a_commit_over_a_changed_affinity_is_refused(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_A, p);
	move(w, p, cpus_of(CPU_A, CPU_B));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	t.agent_seq = agent_seq(w, CPU_A);
	refused(w, CPU_A, t, p, GHOST_TXN_TASK_STALE);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
}

static void case_a_commit_over_a_changed_nice_value_is_refused(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	renice(w, p, 7);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	t.agent_seq = agent_seq(w, CPU_B);
	refused(w, CPU_B, t, p, GHOST_TXN_TASK_STALE);
	t.task_seq += 2;
	refused(w, CPU_B, t, p, GHOST_TXN_TASK_STALE);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
}

static void case_a_slot_of_nobody_is_not_found(struct world *w)
{
	struct ghost_txn t;

	agents_up(w);
	t = fresh(w, CPU_A, NULL);
	t.slot = w->mem->capacity - 1;
	refused(w, CPU_A, t, NULL, GHOST_TXN_NOT_FOUND);
}

static void case_a_thread_of_another_enclave_is_not_found(struct world *w)
{
	struct puppet *p = puppet_new(w);
	const struct ghost_status *st;
	struct ghost_txn t;
	uint64_t word;

	agents_up(w);
	other_enclave(w);
	join(w, w->other, p);
	st = &ghost_enclave_memory(w->other)->status[p->slot];
	word = st->word;
	t = fresh(w, CPU_A, NULL);
	t.slot = p->slot;
	t.task_seq = ghost_status_seq(word);
	refused(w, CPU_A, t, NULL, GHOST_TXN_NOT_FOUND);
	check_is(w, st->word, word);
}

static void case_a_thread_that_left_is_not_found(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_A, p);
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	expect(w, p, GHOST_MSG_TASK_DEPARTED);
	t.agent_seq = agent_seq(w, CPU_A);
	/* What the agent knew of it is older than its leaving. */
	refused(w, CPU_A, t, p, GHOST_TXN_TASK_STALE);
	t.task_seq = seq_of(w, p);
	refused(w, CPU_A, t, p, GHOST_TXN_NOT_FOUND);
}

static void case_a_thread_that_sleeps_cannot_be_committed(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_asleep(w);
	refused(w, CPU_A, fresh(w, CPU_A, p), p, GHOST_TXN_NOT_RUNNABLE);
	order(w, p, PUPPET_SPIN);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	order(w, p, PUPPET_BLOCK);
	commit_end(w, CPU_A);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	refused(w, CPU_B, fresh(w, CPU_B, p), p, GHOST_TXN_NOT_RUNNABLE);
}

static void case_a_thread_that_runs_cannot_be_committed(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	refused(w, CPU_B, fresh(w, CPU_B, p), p, GHOST_TXN_ON_CPU);
	check(w, runs_on(w, p, CPU_A));
}

static void case_a_thread_that_the_fallback_has_cannot_be_committed(struct world *w)
{
	uint32_t state = GHOST_TXN_TASK_STALE;
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_asleep(w);
	move(w, p, cpus_of(CPU_OTHER, -1));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	order(w, p, PUPPET_SPIN);
	see_on(w, p, CPU_OTHER);
	/* Each of its slices there gives it a new number. */
	for (int i = 0; i < 50 && state == GHOST_TXN_TASK_STALE; i++) {
		t = fresh(w, CPU_A, p);
		state = commit(w, CPU_A, &t);
	}
	check_is(w, state, GHOST_TXN_ON_CPU);
	check(w, runs_on(w, p, CPU_OTHER));
}

static void case_a_thread_goes_nowhere_where_its_affinity_does_not_allow_it(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	move(w, p, cpus_of(CPU_B, -1));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	refused(w, CPU_A, fresh(w, CPU_A, p), p, GHOST_TXN_NOT_ALLOWED);
	check(w, !runs(w, p));
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
}

static void case_nonsense_is_refused_before_anything_is_looked_at(struct world *w)
{
	/* Unknown ones; known ones that make no sense here. */
	static const uint32_t flags[] = { 8, GHOST_RUN_NEED_CPU_NOT_IDLE, 0x80000000, ~0u };
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 4; i++) {
		t = fresh(w, CPU_A, p);
		t.flags = flags[i];
		refused(w, CPU_A, t, p, GHOST_TXN_INVALID);
	}
	t = fresh(w, CPU_A, p);
	t.slice_ns = 0;
	refused(w, CPU_A, t, p, GHOST_TXN_INVALID);
	t.agent_seq--; /* worse: still nonsense */
	refused(w, CPU_A, t, p, GHOST_TXN_INVALID);
	t = fresh(w, CPU_A, NULL);
	t.slice_ns = 0;
	refused(w, CPU_A, t, p, GHOST_TXN_INVALID);
}

static void case_a_slot_that_no_table_has_is_nonsense(struct world *w)
{
	struct ghost_txn t;
	uint32_t bad[] = { w->mem->capacity, w->mem->capacity + 1, 1u << 31, ~0u - 2 };

	agents_up(w);
	for (int i = 0; i < 4; i++) {
		t = fresh(w, CPU_A, NULL);
		t.slot = bad[i];
		refused(w, CPU_A, t, NULL, GHOST_TXN_INVALID);
	}
	/* That is found out after the agent's number was. */
	t.agent_seq--;
	refused(w, CPU_A, t, NULL, GHOST_TXN_AGENT_STALE);
}

static void case_the_first_thing_that_is_wrong_is_the_one_that_is_told(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_asleep(w);
	move(w, p, cpus_of(CPU_B, -1));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	t = fresh(w, CPU_A, p);
	t.task_seq--;
	t.agent_seq--;
	refused(w, CPU_A, t, p, GHOST_TXN_AGENT_STALE);
	t.agent_seq++;
	refused(w, CPU_A, t, p, GHOST_TXN_TASK_STALE);
	t.task_seq++;
	refused(w, CPU_A, t, p, GHOST_TXN_NOT_RUNNABLE);
	order(w, p, PUPPET_SPIN);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	refused(w, CPU_A, fresh(w, CPU_A, p), p, GHOST_TXN_NOT_ALLOWED);
}

static void case_a_refused_thread_waits_on_and_can_be_committed(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 10; i++) {
		t = fresh(w, CPU_A, p);
		t.task_seq--;
		refused(w, CPU_A, t, p, GHOST_TXN_TASK_STALE);
	}
	check(w, !runs(w, p));
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	expect_none(w, 20);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

static void case_a_transaction_is_carried_out_once(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_A, p);
	carried_out(w, CPU_A, &t);
	order(w, p, PUPPET_YIELD);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
	expect(w, p, GHOST_MSG_TASK_YIELD);
	/* The same again, word for word. */
	refused(w, CPU_A, t, p, GHOST_TXN_AGENT_STALE);
	t.agent_seq = agent_seq(w, CPU_A);
	refused(w, CPU_A, t, p, GHOST_TXN_TASK_STALE);
	/* One that was carried out and is looked at again is no transaction any more. */
	rw(w, CPU_A)->txn.state = GHOST_TXN_COMMITTED;
	rw(w, CPU_A)->txn.task_seq = seq_of(w, p);
	yield_begin(w, CPU_A);
	until(w, commit_ended(w, CPU_A));
	check(w, !runs(w, p));
}

static void case_garbage_in_a_transaction_harms_nobody(struct world *w)
{
	struct puppet *p;
	uint64_t x = 88172645463325252ull;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 100; i++) {
		struct ghost_txn t;
		uint32_t *words = (uint32_t *)&t;

		for (uint32_t k = 0; k < sizeof(t) / 4; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			words[k] = k == 6 && x & 1 ? 0 : (uint32_t)(x >> 16);
		}
		if (x & 0x10)
			t.agent_seq = agent_seq(w, CPU_B);
		if (x & 0x20)
			t.slot = p->slot;
		commit_begin(w, CPU_B, &t);
		check(w, commit_settled(w, CPU_B) < GHOST_TXN_NR_STATES);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_B), 0);
		check(w, commit_end(w, CPU_B) != GHOST_TXN_COMMITTED);
	}
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
}

/* --- what happens to threads that run ------------------------------------------- */

static void case_a_slice_ends_not_before_its_time_and_soon_after(struct world *w)
{
	static const uint64_t slices[] = { 1 * MS, 5 * MS, 20 * MS };
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 3; i++) {
		uint64_t shortest = ~0ull;

		/* One may be prolonged by whatever else the machine does, not each. */
		for (int k = 0; k < 4; k++) {
			uint64_t before = status_of(w, p)->runtime_ns, used;
			struct ghost_msg m;

			put_on(w, CPU_A, p, slices[i]);
			check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
			m = expect(w, p, GHOST_MSG_TASK_PREEMPT);
			check_is(w, m.reason, GHOST_PREEMPT_SLICE);
			check_is(w, m.cpu, CPU_A);
			check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
			used = m.runtime_ns - before;
			check(w, used >= slices[i]);
			if (used < shortest)
				shortest = used;
		}
		check(w, shortest <= slices[i] + 3 * TICK_NS);
	}
}

static void case_a_slice_without_end_does_not_end(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	expect_none(w, 200);
	check(w, runs_on(w, p, CPU_A));
	check(w, !commit_ended(w, CPU_A));
}

static void case_an_agent_is_let_in_after_a_second_at_the_latest(struct world *w)
{
	struct ghost_msg m = { 0 };
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	/* Others may come in between: then the second begins anew. */
	for (int i = 0; i < 10 && m.reason != GHOST_PREEMPT_KICK; i++) {
		put_on(w, CPU_A, p, GHOST_SLICE_INF);
		within(w, 2500, commit_ended(w, CPU_A));
		m = expect(w, p, GHOST_MSG_TASK_PREEMPT);
	}
	check_is(w, m.reason, GHOST_PREEMPT_KICK);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
}

static void case_a_thread_that_yields_waits_again(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	seq = seq_of(w, p);
	order(w, p, PUPPET_YIELD);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
	m = expect(w, p, GHOST_MSG_TASK_YIELD);
	check_is(w, m.seq, seq + 1);
	check_is(w, m.cpu, CPU_A);
	check_is(w, m.gtid, status_of(w, p)->gtid);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	expect_none(w, 20);
}

static void case_a_thread_that_sleeps_is_told_of_and_so_is_its_waking(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
	seq = seq_of(w, p);
	order(w, p, PUPPET_BLOCK);
	check_is(w, commit_end(w, CPU_B), GHOST_TXN_COMMITTED);
	m = expect(w, p, GHOST_MSG_TASK_BLOCKED);
	check_is(w, m.seq, seq + 1);
	check_is(w, m.cpu, CPU_B);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE);
	order(w, p, PUPPET_SPIN);
	m = expect(w, p, GHOST_MSG_TASK_WAKEUP);
	check_is(w, m.seq, seq + 2);
	check_is(w, m.cpu, CPU_B); /* where it was */
	check_is(w, home_of(w, p), CPU_B);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	expect_none(w, 20);
}

static void case_messages_tell_the_cpu_time_that_a_thread_has_had(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint64_t had;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	pass(w, 30);
	order(w, p, PUPPET_YIELD);
	commit_end(w, CPU_A);
	m = expect(w, p, GHOST_MSG_TASK_YIELD);
	had = m.runtime_ns;
	check(w, had >= 10 * MS);
	check_is(w, w->ops->runtime_ns(w, p), had);
	check_is(w, status_of(w, p)->runtime_ns, had);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	pass(w, 30);
	order(w, p, PUPPET_BLOCK);
	commit_end(w, CPU_A);
	m = expect(w, p, GHOST_MSG_TASK_BLOCKED);
	until(w, w->ops->asleep(w, p));
	/* The kernel side may not have seen the time since the last tick yet. */
	check_is(w, m.runtime_ns, status_of(w, p)->runtime_ns);
	check(w, m.runtime_ns > had);
	check(w, m.runtime_ns <= w->ops->runtime_ns(w, p));
}

/* A thread of a higher class takes the CPU of @class_, and gives it back. */
static void taken_by(struct world *w, enum puppet_class class_)
{
	struct puppet *p, *hog;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	seq = seq_of(w, p);
	hog = hog_on(w, CPU_A, class_);
	m = expect(w, p, GHOST_MSG_TASK_PREEMPT);
	check_is(w, m.reason, GHOST_PREEMPT_CLASS);
	check_is(w, m.seq, seq + 1);
	check_is(w, m.cpu, CPU_A);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	check(w, !runs(w, p));
	/* Nothing keeps it from going elsewhere meanwhile. */
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
	hog_off(w, hog);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
}

static void case_a_fair_thread_takes_the_cpu_from_a_member(struct world *w)
{
	taken_by(w, CLASS_OF_FAIR);
}

static void case_a_real_time_thread_takes_the_cpu_from_a_member(struct world *w)
{
	taken_by(w, CLASS_OF_RT);
}

/* The last message about @p, or @p waits for a commit and its CPU for one to make. */
static bool moved_on(struct world *w, const struct puppet *p, struct ghost_msg *m)
{
	if (pop(w, home_of(w, p), m))
		return true;
	return flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE) &&
	       commit_ended(w, CPU_A);
}

/* Let @p come to its end, however often it sleeps or loses the CPU on the way. */
static void see_to_its_end(struct world *w, struct puppet *p)
{
	for (int i = 0; i < 40; i++) {
		struct ghost_msg m = { 0 };

		until(w, moved_on(w, p, &m));
		if (m.type == GHOST_MSG_TASK_DEAD) {
			check_is(w, m.slot, p->slot);
			return;
		}
		if (!m.type)
			put_on(w, CPU_A, p, GHOST_SLICE_INF);
	}
	fail_case(w, "thread %u does not come to its end", p->tid);
}

static void case_a_thread_that_ends_is_told_of_last(struct world *w)
{
	struct puppet *p;
	uint32_t nr;

	agents_up(w);
	p = member_waiting(w);
	nr = ghost_enclave_status(w->e)->nr_tasks;
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	order(w, p, PUPPET_EXIT);
	see_to_its_end(w, p);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
	check_is(w, flags_of(w, p), 0);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, nr - 1);
	expect_none(w, 20);
}

static void case_a_thread_that_runs_is_killed_at_once(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	w->ops->kill(w, p);
	see_to_its_end(w, p);
	expect_none(w, 20);
}

static void case_a_thread_that_waits_is_killed_when_it_is_committed(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	w->ops->kill(w, p);
	expect_none(w, 50);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_to_its_end(w, p);
	expect_none(w, 20);
}

static void case_a_thread_that_sleeps_wakes_up_to_be_killed(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_asleep(w);
	w->ops->kill(w, p);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	expect_none(w, 50);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_to_its_end(w, p);
	expect_none(w, 20);
}

/* --- who is a member ------------------------------------------------------------ */

static void case_a_sleeping_thread_joins_as_one_that_sleeps(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;

	agents_up(w);
	p = puppet_new(w);
	renice(w, p, 3);
	join(w, w->e, p);
	m = expect(w, p, GHOST_MSG_TASK_NEW);
	check_is(w, m.flags, 0);
	check_is(w, m.nice, 3);
	check_is(w, m.gtid, status_of(w, p)->gtid);
	check_is(w, (uint32_t)m.gtid, p->tid);
	check_is(w, m.seq, seq_of(w, p));
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 1);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_US);
	expect_none(w, 20);
}

static void case_a_running_thread_joins_and_waits_at_once(struct world *w)
{
	uint64_t best = ~0ull;

	agents_up(w);
	for (int i = 0; i < 3; i++) {
		struct puppet *p = puppet_new(w);
		struct ghost_msg m;
		uint64_t began;

		order(w, p, PUPPET_SPIN);
		until(w, runs(w, p));
		began = w->ops->now_ns(w);
		join(w, w->e, p);
		m = expect(w, p, GHOST_MSG_TASK_NEW);
		check_is(w, m.flags, GHOST_MSG_RUNNABLE);
		check_is(w, m.seq, seq_of(w, p));
		check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
		check(w, !runs(w, p));
		if (m.time_ns - began < best)
			best = m.time_ns - began;
	}
	check(w, best < 100 * MS);
}

static void case_a_thread_that_shares_its_cpu_joins_and_waits_at_once(struct world *w)
{
	struct puppet *p, *hog;

	agents_up(w);
	hog = hog_on(w, CPU_OTHER, CLASS_OF_FAIR);
	p = puppet_new(w);
	move(w, p, cpus_of(CPU_OTHER, -1));
	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	join(w, w->e, p);
	/* It may run there only, and now comes after the other one. */
	see_on(w, hog, CPU_OTHER);
	until(w, flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK));
	expect_none(w, 20);
	move(w, p, cpus_of(CPU_A, CPU_OTHER));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	hog_off(w, hog);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

static void case_a_record_tells_who_a_thread_is(struct world *w)
{
	struct puppet *p;
	const struct ghost_status *st;

	agents_up(w);
	p = puppet_new(w);
	renice(w, p, -5);
	move(w, p, cpus_of(CPU_A, CPU_OTHER));
	join(w, w->e, p);
	st = status_of(w, p);
	check_is(w, st->tid, p->tid);
	check_is(w, st->tgid, p->tid);
	check_is(w, st->nice, -5);
	check_is(w, st->weight, 305);
	check_is(w, st->cpus[0] & ((1u << NR_CPUS) - 1), 1u << CPU_A | 1u << CPU_OTHER);
	check_is(w, strcmp(st->comm, "puppet"), 0);
	renice(w, p, 19);
	check_is(w, st->nice, 19);
	check_is(w, st->weight, 1);
}

/* --- what a policy knows of a thread ----------------------------------------------------- */

/* Of the one member there is; it runs wherever it may. */
static struct ghost_task *watched;

static void watch_new(struct ghost_agent *a, struct ghost_task *t)
{
	__atomic_store_n(&watched, t, __ATOMIC_RELEASE);
}

static void watch_runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	ghost_agent_wake(a, ghost_agent_fit(a, t, ghost_agent_cpu(a)));
}

static void watch_gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	__atomic_store_n(&watched, NULL, __ATOMIC_RELEASE);
}

static void watch_schedule(struct ghost_agent *a, uint32_t cpu)
{
	struct ghost_task *t = __atomic_load_n(&watched, __ATOMIC_ACQUIRE);

	if (t && ghost_task_allowed(t, cpu))
		ghost_agent_pick(a, cpu, t, GHOST_SLICE_INF);
}

static const struct ghost_policy watcher = {
	.name = "watcher",
	.task_new = watch_new,
	.task_runnable = watch_runnable,
	.task_gone = watch_gone,
	.schedule = watch_schedule,
};

static struct ghost_task *watch(struct world *w, const struct puppet *p)
{
	struct ghost_task *t;

	until(w, (t = __atomic_load_n(&watched, __ATOMIC_ACQUIRE)));
	check_is(w, ghost_task_tid(t), p->tid);
	return t;
}

static bool is_named(const struct ghost_task *t, const char *name)
{
	char got[GHOST_COMM_LEN];

	ghost_task_name(t, got);
	return !strcmp(got, name);
}

static void see_nice(struct world *w, const struct puppet *p, const struct ghost_task *t, int nice,
		     uint32_t weight)
{
	until(w, ghost_task_nice(t) == nice);
	check_is(w, ghost_task_weight(t), weight);
	check_is(w, status_of(w, p)->nice, nice);
	check_is(w, status_of(w, p)->weight, weight);
}

static void see_allowed(struct world *w, const struct puppet *p, const struct ghost_task *t,
			struct ghost_cpuset cpus)
{
	for (uint32_t cpu = 0; cpu < NR_CPUS; cpu++)
		until(w, ghost_task_allowed(t, cpu) == ghost_cpuset_has(&cpus, cpu));
	check_is(w, status_of(w, p)->cpus[0] & ((1u << NR_CPUS) - 1), cpus.word[0]);
	/* Nor any past the last CPU, where the kernel's own mask has what it likes. */
	for (int i = 1; i < GHOST_CPU_WORDS; i++)
		check_is(w, status_of(w, p)->cpus[i], 0);
}

static void case_a_policy_knows_what_others_change_of_a_thread(struct world *w)
{
	static const int nices[] = { 0, -20, -1, 1, 10 };
	static const uint32_t weights[] = { 100, 8668, 125, 80, 11 };
	struct ghost_task *t;
	struct puppet *p;

	watched = NULL;
	policy_up(w, &watcher);
	/* Its messages are the agents' to read. */
	p = puppet_new(w);
	join(w, w->e, p);
	t = watch(w, p);
	for (int i = 0; i < 5; i++) {
		/* Asleep first, and then while it runs. */
		renice(w, p, nices[i]);
		see_nice(w, p, t, nices[i], weights[i]);
		move(w, p, cpus_of(i % 2 ? CPU_A : CPU_B, CPU_OTHER));
		see_allowed(w, p, t, cpus_of(i % 2 ? CPU_A : CPU_B, CPU_OTHER));
		order(w, p, PUPPET_SPIN);
		see_on(w, p, i % 2 ? CPU_A : CPU_B);
	}
	policy_down(w);
}

static void case_a_policy_knows_what_a_thread_changes_of_itself(struct world *w)
{
	struct ghost_task *t;
	struct puppet *p;

	watched = NULL;
	policy_up(w, &watcher);
	/* Its messages are the agents' to read. */
	p = puppet_new(w);
	join(w, w->e, p);
	t = watch(w, p);
	check(w, is_named(t, "puppet"));
	check(w, ghost_task_cgroup(t) == status_of(w, p)->cgroup);
	p->nice = 7;
	order(w, p, PUPPET_NICE);
	see_nice(w, p, t, 7, 21);
	p->cpus = cpus_of(CPU_B, CPU_CASE);
	order(w, p, PUPPET_MOVE);
	see_allowed(w, p, t, p->cpus);
	see_on(w, p, CPU_B);
	/* Of this the heartbeat tells. */
	order(w, p, PUPPET_NAME);
	until(w, is_named(t, "renamed"));
	check_is(w, strcmp(status_of(w, p)->comm, "renamed"), 0);
	policy_down(w);
}

static void case_children_of_members_are_members(struct world *w)
{
	struct puppet *p, *child;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	seq = seq_of(w, p);
	child = order_fork(w, p);
	find_slot(w, w->e, child);
	m = expect(w, child, GHOST_MSG_TASK_NEW);
	check_is(w, m.flags, GHOST_MSG_RUNNABLE);
	check_is(w, m.seq, seq_of(w, child));
	check(w, child->slot != p->slot);
	check_is(w, flags_of(w, child), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	check_is(w, status_of(w, child)->parent_tid, p->tid);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 2);
	/* To the parent nothing has happened. */
	check_is(w, seq_of(w, p), seq);
	check(w, runs_on(w, p, CPU_A));
	check(w, !runs(w, child));
	put_on(w, CPU_B, child, GHOST_SLICE_INF);
	see_on(w, child, CPU_B);
}

static void case_children_are_as_nice_as_their_parents_and_may_run_where_these_may(struct world *w)
{
	struct puppet *p, *child;
	struct ghost_msg m;

	agents_up(w);
	p = member_asleep(w);
	renice(w, p, 4);
	move(w, p, cpus_of(CPU_B, CPU_OTHER));
	order(w, p, PUPPET_SPIN);
	until(w, flags_of(w, p) & GHOST_STATUS_RUNNABLE);
	drain(w);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	child = order_fork(w, p);
	find_slot(w, w->e, child);
	m = expect(w, child, GHOST_MSG_TASK_NEW);
	check_is(w, m.nice, 4);
	check_is(w, status_of(w, child)->nice, 4);
	check_is(w, status_of(w, child)->cpus[0] & ((1u << NR_CPUS) - 1),
		 1u << CPU_B | 1u << CPU_OTHER);
	refused(w, CPU_A, fresh(w, CPU_A, child), child, GHOST_TXN_NOT_ALLOWED);
}

static void case_children_of_members_run_without_agents(struct world *w)
{
	struct puppet *p = member_asleep(w), *child;

	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	child = order_fork(w, p);
	find_slot(w, w->e, child);
	within(w, 1000, runs(w, child));
	check_is(w, w->ops->class_of(w, child), CLASS_OF_US);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 2);
}

static void case_children_of_others_are_not(struct world *w)
{
	struct puppet *p, *child;

	agents_up(w);
	p = puppet_new(w);
	child = order_fork(w, p);
	until(w, runs(w, child));
	check_is(w, w->ops->class_of(w, child), CLASS_OF_FAIR);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	expect_none(w, 20);
}

static void case_a_waiting_thread_that_leaves_is_told_of_last(struct world *w)
{
	struct puppet *p;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	seq = seq_of(w, p);
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	check_is(w, expect(w, p, GHOST_MSG_TASK_DEPARTED).seq, seq + 1);
	check_is(w, flags_of(w, p), 0);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_FAIR);
	until(w, runs(w, p));
	expect_none(w, 20);
}

static void case_a_running_thread_that_leaves_is_told_of_last(struct world *w)
{
	struct puppet *p;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	seq = seq_of(w, p);
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	check_is(w, expect(w, p, GHOST_MSG_TASK_DEPARTED).seq, seq + 1);
	check_is(w, flags_of(w, p), 0);
	until(w, runs(w, p));
	expect_none(w, 20);
}

static void case_a_sleeping_thread_that_leaves_is_told_of_last(struct world *w)
{
	struct puppet *p;
	uint32_t seq;

	agents_up(w);
	p = member_asleep(w);
	seq = seq_of(w, p);
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	check_is(w, expect(w, p, GHOST_MSG_TASK_DEPARTED).seq, seq + 1);
	check_is(w, flags_of(w, p), 0);
	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	expect_none(w, 20);
}

static void case_a_thread_that_becomes_a_real_time_thread_leaves(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	check_is(w, w->ops->set_class(w, p, CLASS_OF_RT), 0);
	expect(w, p, GHOST_MSG_TASK_DEPARTED);
	check_is(w, flags_of(w, p), 0);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	until(w, runs(w, p));
	expect_none(w, 20);
}

static void case_a_member_may_move_to_another_enclave(struct world *w)
{
	struct puppet *p;
	uint32_t slot;

	agents_up(w);
	other_enclave(w);
	p = member_waiting(w);
	slot = p->slot;
	check_is(w, ghost_enclave_join(w->other, p->tid), 0);
	expect(w, p, GHOST_MSG_TASK_DEPARTED);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	check_is(w, ghost_enclave_status(w->other)->nr_tasks, 1);
	until(w, runs_on(w, p, CPU_OTHER));
	check_is(w, flags_of(w, p), 0);
	check_is(w, find_slot(w, w->other, p), slot);
	expect_none(w, 20);
}

static void case_who_comes_back_is_somebody_else(struct world *w)
{
	struct puppet *p;
	uint64_t gtid;
	uint32_t seq, slot;

	agents_up(w);
	p = member_asleep(w);
	gtid = status_of(w, p)->gtid;
	slot = p->slot;
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	expect(w, p, GHOST_MSG_TASK_DEPARTED);
	seq = seq_of(w, p);
	join(w, w->e, p);
	expect(w, p, GHOST_MSG_TASK_NEW);
	check_is(w, p->slot, slot);
	check(w, status_of(w, p)->gtid != gtid);
	check(w, status_of(w, p)->gtid >> 32 > gtid >> 32);
	check_is(w, (uint32_t)status_of(w, p)->gtid, p->tid);
	/* Numbers of the slot go on: a commit for the one before never fits. */
	check(w, (int32_t)(seq_of(w, p) - seq) > 0);
}

static void case_a_member_that_joins_again_starts_anew(struct world *w)
{
	struct puppet *p;
	uint64_t gtid;

	agents_up(w);
	p = member_waiting(w);
	gtid = status_of(w, p)->gtid;
	check_is(w, ghost_enclave_join(w->e, p->tid), 0);
	expect(w, p, GHOST_MSG_TASK_DEPARTED);
	find_slot(w, w->e, p);
	check_is(w, expect(w, p, GHOST_MSG_TASK_NEW).flags, GHOST_MSG_RUNNABLE);
	check(w, status_of(w, p)->gtid != gtid);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 1);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

/* --- changes -------------------------------------------------------------------- */

static void case_a_changed_affinity_of_a_sleeping_thread_is_told(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_asleep(w);
	seq = seq_of(w, p);
	move(w, p, cpus_of(CPU_B, -1));
	m = expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	check_is(w, m.seq, seq + 1);
	check_is(w, status_of(w, p)->cpus[0] & ((1u << NR_CPUS) - 1), 1u << CPU_B);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE);
	/* The same once more is no change. */
	move(w, p, cpus_of(CPU_B, -1));
	expect_none(w, 20);
	check_is(w, seq_of(w, p), seq + 1);
}

static void case_a_changed_affinity_of_a_waiting_thread_leaves_it_waiting(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	seq = seq_of(w, p);
	for (int i = 0; i < 4; i++) {
		move(w, p, i % 2 ? cpus_of(CPU_A, -1) : cpus_of(CPU_B, -1));
		m = expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
		check_is(w, m.seq, seq + 1 + i);
		check_is(w, seq_of(w, p), seq + 1 + i);
		check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	}
	expect_none(w, 20);
	check(w, !runs(w, p));
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

static void case_a_changed_affinity_lets_a_thread_run_on_where_it_may(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	seq = seq_of(w, p);
	move(w, p, cpus_of(CPU_A, -1));
	m = expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	check_is(w, m.seq, seq + 1);
	expect_none(w, 20);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU);
	check(w, runs_on(w, p, CPU_A));
	check(w, !commit_ended(w, CPU_A));
}

static void case_a_running_thread_that_must_leave_its_cpu_waits_again(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	seq = seq_of(w, p);
	move(w, p, cpus_of(CPU_B, -1));
	m = expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	check_is(w, m.seq, seq + 1);
	/* The kernel's own thread, which is to move it, takes the CPU. */
	m = expect(w, p, GHOST_MSG_TASK_PREEMPT);
	check_is(w, m.seq, seq + 2);
	check_is(w, m.reason, GHOST_PREEMPT_CLASS);
	check_is(w, m.cpu, CPU_A);
	check_is(w, home_of(w, p), CPU_A);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	refused(w, CPU_A, fresh(w, CPU_A, p), p, GHOST_TXN_NOT_ALLOWED);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
}

static void case_a_thread_that_moves_itself_away_waits_again(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	p->cpus = cpus_of(CPU_B, -1);
	order(w, p, PUPPET_MOVE);
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	check_is(w, expect(w, p, GHOST_MSG_TASK_PREEMPT).reason, GHOST_PREEMPT_CLASS);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
}

static void case_a_thread_with_no_cpu_of_the_enclave_runs_elsewhere(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	move(w, p, cpus_of(CPU_OTHER, -1));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	see_on(w, p, CPU_OTHER);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK);
	/* It runs, it yields: nobody's business. */
	order(w, p, PUPPET_YIELD);
	see_on(w, p, CPU_OTHER);
	expect_none(w, 50);
	/* That it sleeps is told, that it wakes is not. */
	order(w, p, PUPPET_BLOCK);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	order(w, p, PUPPET_SPIN);
	see_on(w, p, CPU_OTHER);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK);
	expect_none(w, 20);
}

static void case_a_running_thread_that_must_leave_the_enclaves_cpus_runs_elsewhere(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	move(w, p, cpus_of(CPU_OTHER, -1));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	see_on(w, p, CPU_OTHER);
	check_is(w, commit_end(w, CPU_A), GHOST_TXN_COMMITTED);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK);
	expect_none(w, 20);
}

static void case_a_thread_that_may_run_here_again_waits_for_a_commit(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_asleep(w);
	move(w, p, cpus_of(CPU_OTHER, -1));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	order(w, p, PUPPET_SPIN);
	see_on(w, p, CPU_OTHER);
	move(w, p, cpus_of(CPU_A, CPU_B));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	expect(w, p, GHOST_MSG_TASK_PREEMPT);
	until(w, flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	check(w, !runs(w, p));
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
}

static void case_a_changed_nice_value_is_told(struct world *w)
{
	struct puppet *asleep, *waiting, *running, *all[3];

	agents_up(w);
	asleep = member_asleep(w);
	waiting = member_waiting(w);
	running = member_waiting(w);
	put_on(w, CPU_B, running, GHOST_SLICE_INF);
	see_on(w, running, CPU_B);
	all[0] = asleep;
	all[1] = waiting;
	all[2] = running;
	for (int i = 0; i < 3; i++) {
		struct puppet *p = all[i];
		uint32_t flags = flags_of(w, p), seq = seq_of(w, p);
		struct ghost_msg m;

		renice(w, p, 10 - 7 * i);
		m = expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
		check_is(w, m.nice, 10 - 7 * i);
		check_is(w, m.seq, seq + 1);
		check_is(w, status_of(w, p)->nice, 10 - 7 * i);
		check_is(w, flags_of(w, p), flags);
		renice(w, p, 10 - 7 * i);
		expect_none(w, 20);
	}
	check(w, runs_on(w, running, CPU_B));
	check(w, !runs(w, waiting));
}

static void case_a_thread_that_changes_its_own_nice_value_runs_on(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	p->nice = 11;
	order(w, p, PUPPET_NICE);
	check_is(w, expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED).nice, 11);
	expect_none(w, 20);
	check(w, runs_on(w, p, CPU_A));
}

/* --- numbers, queues ------------------------------------------------------------ */

static void case_each_message_has_the_next_number(struct world *w)
{
	static const enum puppet_order what[] = { PUPPET_YIELD, PUPPET_BLOCK, PUPPET_SPIN,
						  PUPPET_YIELD, PUPPET_BLOCK, PUPPET_SPIN };
	struct puppet *p = puppet_new(w);
	uint32_t seq, agent[NR_CPUS];
	struct ghost_msg m;

	agents_up(w);
	join(w, w->e, p);
	m = expect(w, p, GHOST_MSG_TASK_NEW);
	seq = m.seq;
	order(w, p, PUPPET_SPIN);
	check_is(w, expect(w, p, GHOST_MSG_TASK_WAKEUP).seq, ++seq);
	for (int i = 0; i < 6; i++) {
		uint32_t cpu = i % 2 ? CPU_A : CPU_B;
		bool on = what[i] != PUPPET_SPIN;
		uint64_t last = m.time_ns;

		if (on) {
			put_on(w, cpu, p, GHOST_SLICE_INF);
			see_on(w, p, cpu);
		}
		cpu = home_of(w, p);
		agent[cpu] = agent_seq(w, cpu);
		order(w, p, what[i]);
		if (on)
			commit_end(w, cpu);
		until(w, pop(w, cpu, &m));
		check_is(w, m.seq, ++seq);
		check_is(w, seq_of(w, p), seq);
		/* That follows the message. */
		until(w, agent_seq(w, cpu) == agent[cpu] + 1);
		check(w, m.time_ns >= last);
	}
}

static void case_a_full_queue_counts_what_it_could_not_take(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;
	uint32_t cpu, seq, overflow, head, number, nr = 0;

	agents_up(w);
	p = member_asleep(w);
	cpu = home_of(w, p);
	seq = seq_of(w, p);
	overflow = page(w, cpu)->queue.overflow;
	head = page(w, cpu)->queue.head;
	number = agent_seq(w, cpu);
	for (int i = 0; i < 600; i++)
		renice(w, p, i % 2 + 1);
	check_is(w, page(w, cpu)->queue.head, head + GHOST_QUEUE_LEN);
	check_is(w, page(w, cpu)->queue.overflow, overflow + 600 - GHOST_QUEUE_LEN);
	check_is(w, agent_seq(w, cpu), number + 600);
	check_is(w, seq_of(w, p), seq + 600);
	check_is(w, status_of(w, p)->nice, 2);
	/* The table tells what the queue cannot, and commits work by it. */
	order(w, p, PUPPET_SPIN);
	until(w, flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	check_is(w, seq_of(w, p), seq + 601);
	put_on(w, cpu, p, GHOST_SLICE_INF);
	see_on(w, p, cpu);
	/* What is in the queue is whole, and there is room again. */
	while (pop(w, cpu, &m)) {
		check_is(w, m.type, GHOST_MSG_TASK_PRIORITY_CHANGED);
		check_is(w, m.seq, seq + ++nr);
	}
	check_is(w, nr, GHOST_QUEUE_LEN);
	order(w, p, PUPPET_BLOCK);
	check_is(w, expect(w, p, GHOST_MSG_TASK_BLOCKED).seq, seq + 602);
}

static void case_garbage_in_a_queues_tail_costs_messages_and_nothing_else(struct world *w)
{
	static const uint32_t garbage[] = { 1, 0x200, 0x201, 0x7fffffff, 0x80000000, ~0u };
	struct puppet *p;
	uint32_t cpu;

	agents_up(w);
	p = member_waiting(w);
	cpu = home_of(w, p);
	for (int i = 0; i < 6; i++) {
		uint32_t head = page(w, cpu)->queue.head, overflow = page(w, cpu)->queue.overflow;
		uint32_t seq = seq_of(w, p);

		rw(w, cpu)->queue_tail = head - garbage[i];
		renice(w, p, i % 2 + 1);
		/* A tail too far behind looks like a full queue, any other one like room. */
		check_is(w, page(w, cpu)->queue.head + page(w, cpu)->queue.overflow,
			 head + overflow + 1);
		check_is(w, page(w, cpu)->queue.overflow,
			 overflow + (garbage[i] >= GHOST_QUEUE_LEN));
		check_is(w, seq_of(w, p), seq + 1);
		/* That it may have lost the CPU to others meanwhile no message tells now. */
		for (int k = 0; k < 10 && !runs_on(w, p, cpu); k++)
			if (flags_of(w, p) & GHOST_STATUS_RUNNABLE)
				put_on(w, cpu, p, GHOST_SLICE_INF);
		see_on(w, p, cpu);
		order(w, p, PUPPET_YIELD);
		commit_end(w, cpu);
		check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	}
	rw(w, cpu)->queue_tail = page(w, cpu)->queue.head;
	renice(w, p, 5);
	check_is(w, expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED).nice, 5);
}

/* --- without agents ------------------------------------------------------------- */

static void case_without_agents_members_run_and_nobody_is_told(struct world *w)
{
	struct puppet *p = puppet_new(w), *q = puppet_new(w);
	uint32_t seq;

	join(w, w->e, p);
	join(w, w->e, q);
	seq = seq_of(w, p);
	order(w, p, PUPPET_SPIN);
	order(w, q, PUPPET_SPIN);
	until(w, runs(w, p) && runs(w, q));
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK);
	check(w, p->cpu == CPU_A || p->cpu == CPU_B);
	check(w, q->cpu == CPU_A || q->cpu == CPU_B);
	order(w, p, PUPPET_BLOCK);
	until(w, flags_of(w, p) == GHOST_STATUS_INUSE);
	/* Numbers go on all the same: it woke, it slept. */
	check(w, seq_of(w, p) - seq >= 2);
	check_is(w, page(w, CPU_A)->queue.head, 0);
	check_is(w, page(w, CPU_B)->queue.head, 0);
	check_is(w, agent_seq(w, CPU_A), 0);
	check_is(w, agent_seq(w, CPU_B), 0);
}

static void case_without_agents_members_take_turns(struct world *w)
{
	struct puppet *all[5];

	for (int i = 0; i < 5; i++) {
		all[i] = puppet_new(w);
		move(w, all[i], cpus_of(CPU_A, -1));
		join(w, w->e, all[i]);
		order(w, all[i], PUPPET_SPIN);
	}
	for (int round = 0; round < 3; round++) {
		uint32_t before[5];

		for (int i = 0; i < 5; i++)
			before[i] = all[i]->rounds;
		for (int i = 0; i < 5; i++)
			within(w, 1000, ghost_load_acquire(&all[i]->rounds) != before[i]);
	}
}

static void case_without_agents_members_go_on_when_a_higher_class_is_done(struct world *w)
{
	struct puppet *p = member_asleep(w), *hog_a, *hog_b;

	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	hog_a = hog_on(w, CPU_A, CLASS_OF_FAIR);
	hog_b = hog_on(w, CPU_B, CLASS_OF_RT);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_FALLBACK);
	hog_off(w, hog_a);
	hog_off(w, hog_b);
	within(w, 1000, runs(w, p));
}

/* An enclave without agents, of one CPU. */
static void other_with(struct world *w, uint32_t fallback)
{
	struct ghost_cpuset cpus = cpus_of(CPU_OTHER, -1);
	struct ghost_enclave_opts opts = {
		.size = sizeof(opts),
		.cpus = &cpus,
		.fallback = fallback,
	};

	check_is(w, ghost_enclave_create(&w->other, w->backend, &opts), 0);
	check_is(w, ghost_enclave_status(w->other)->fallback, fallback);
}

/* How much has the one at nice -10 run, in hundredths of the other, of two on one CPU? */
static uint64_t advantage(struct world *w, uint32_t fallback)
{
	struct puppet *p[2];
	uint64_t had[2];

	other_with(w, fallback);
	for (int i = 0; i < 2; i++) {
		p[i] = puppet_new(w);
		renice(w, p[i], i ? 10 : -10);
		join(w, w->other, p[i]);
		move(w, p[i], cpus_of(CPU_OTHER, -1));
		order(w, p[i], PUPPET_SPIN);
	}
	until(w, runs(w, p[0]));
	until(w, runs(w, p[1]));
	for (int i = 0; i < 2; i++)
		had[i] = w->ops->runtime_ns(w, p[i]);
	pass(w, 2000);
	for (int i = 0; i < 2; i++)
		had[i] = w->ops->runtime_ns(w, p[i]) - had[i];
	return had[0] * 100 / (had[1] + 1);
}

static void case_the_fallback_gives_each_the_same(struct world *w)
{
	uint64_t hundredths = advantage(w, GHOST_FALLBACK_FIFO);

	check(w, hundredths > 60 && hundredths < 170);
}

static void case_or_it_gives_by_weight(struct world *w)
{
	struct ghost_cpuset cpus = cpus_of(CPU_OTHER, -1);
	struct ghost_enclave_opts opts = {
		.size = sizeof(opts),
		.cpus = &cpus,
		.fallback = GHOST_FALLBACK_MAX + 1,
	};

	check_is(w, ghost_enclave_create(&w->other, w->backend, &opts), -EINVAL);
	check(w, advantage(w, GHOST_FALLBACK_WEIGHTED) > 500);
}

/*
 * How long do four that always run do so, on one CPU, between two naps of a fifth?
 * In their own time, so that a machine that stands still does not count.
 */
static uint64_t kept_waiting_us(struct world *w, uint32_t fallback)
{
	struct puppet *hog[4], *p = puppet_new(w);
	uint64_t had = 0, rounds;

	other_with(w, fallback);
	for (int i = 0; i < 4; i++) {
		hog[i] = puppet_new(w);
		join(w, w->other, hog[i]);
		move(w, hog[i], cpus_of(CPU_OTHER, -1));
		order(w, hog[i], PUPPET_SPIN);
	}
	p->nap_ns = 1000000;
	join(w, w->other, p);
	move(w, p, cpus_of(CPU_OTHER, -1));
	order(w, p, PUPPET_DOZE);
	pass(w, 100);
	for (int i = 0; i < 4; i++)
		had -= w->ops->runtime_ns(w, hog[i]);
	rounds = ghost_load_acquire(&p->rounds);
	pass(w, 1000);
	for (int i = 0; i < 4; i++)
		had += w->ops->runtime_ns(w, hog[i]);
	/* Every other round is a nap. */
	rounds = (ghost_load_acquire(&p->rounds) - rounds) / 2;
	return had / (rounds + 1) / 1000;
}

static void case_the_fallback_serves_all_in_turn(struct world *w)
{
	check(w, kept_waiting_us(w, GHOST_FALLBACK_FIFO) > 12000);
}

static void case_a_fair_fallback_gives_by_weight(struct world *w)
{
	check(w, advantage(w, GHOST_FALLBACK_FAIR) > 500);
}

/* Slices are of 5 ms, which end at a tick: two ticks at most. */
static void case_in_a_fair_fallback_who_sleeps_most_waits_for_one_slice(struct world *w)
{
	check(w, kept_waiting_us(w, GHOST_FALLBACK_FAIR) < 12000);
}

static void case_agents_that_come_online_get_what_the_fallback_had(struct world *w)
{
	struct puppet *running, *second, *asleep;

	agent_start(w, CPU_A);
	agent_start(w, CPU_B);
	running = member_asleep(w);
	second = member_asleep(w);
	asleep = member_asleep(w);
	/* Two for one CPU: one of them always waits. */
	move(w, running, cpus_of(CPU_A, -1));
	move(w, second, cpus_of(CPU_A, -1));
	order(w, running, PUPPET_SPIN);
	order(w, second, PUPPET_SPIN);
	until(w, runs(w, running) && runs(w, second));
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ONLINE, id_of(w), 0), 0);
	within(w, 1000, flags_of(w, running) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	within(w, 1000, flags_of(w, second) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	check_is(w, flags_of(w, asleep), GHOST_STATUS_INUSE);
	check(w, !runs(w, running) && !runs(w, second));
	drain(w);
	put_on(w, CPU_A, second, GHOST_SLICE_INF);
	see_on(w, second, CPU_A);
}

/* --- all of them ---------------------------------------------------------------- */

const struct contract_case contract_cases[] = {
	CASE(case_requests_that_nobody_knows_are_refused),
	CASE(case_the_kernel_side_tells_its_layout_and_its_capacity),
	CASE(case_it_is_set_up_once),
	CASE(case_an_enclave_needs_cpus_that_are_there),
	CASE(case_an_enclave_needs_an_id_of_its_own),
	CASE(case_a_cpu_belongs_to_one_enclave),
	CASE(case_nothing_can_be_asked_of_an_enclave_that_is_not_there),
	CASE(case_only_an_enclaves_own_cpus_can_be_pinged),
	CASE(case_an_enclave_is_freed_after_it_was_destroyed_and_is_empty),
	CASE(case_nobody_joins_an_enclave_that_is_going_away),
	CASE(case_a_thread_that_is_not_there_cannot_join),
	CASE(case_a_request_to_join_can_be_taken_back),
	CASE(case_who_does_not_know_its_token_can_ask_nothing_of_an_enclave),
	CASE(case_who_was_to_join_an_enclave_does_not_join_the_next_with_its_id),
	CASE(case_an_enclave_may_have_a_limit_of_members),
	CASE(case_waits_are_counted_while_somebody_asks),
	CASE(case_an_enclave_is_found_by_its_id),
	CASE(case_an_agent_needs_an_enclave_with_that_cpu),
	CASE(case_a_cpu_has_one_agent),
	CASE(case_a_thread_that_could_leave_its_cpu_is_no_agent),
	CASE(case_agents_are_online_when_all_are_there_and_not_before),
	CASE(case_an_agent_cannot_be_a_member),
	CASE(case_an_agent_that_ends_costs_the_enclave),
	CASE(case_an_agent_that_leaves_its_class_does_so_too),
	CASE(case_no_thread_keeps_a_cpu_for_itself_when_the_agents_are_lost),
	CASE(case_new_agents_take_over_a_lost_enclave),
	CASE(case_agents_that_were_stopped_can_be_followed_at_once),
	CASE(case_agents_that_go_offline_leave_an_idle_enclave),
	CASE(case_a_thread_waits_unharmed_while_agents_come_and_go),
	CASE(case_agents_that_let_a_thread_wait_too_long_lose_the_enclave),
	CASE(case_an_enclave_without_agents_may_have_other_cpus),
	CASE(case_threads_go_on_when_the_cpus_of_their_enclave_change),
	CASE(case_a_sleeper_that_agents_heard_of_since_the_cpus_changed_wakes_up_elsewhere),
	CASE(case_destroying_a_busy_enclave_gives_its_members_back),
	CASE(case_an_agent_that_yields_without_a_transaction_waits_for_a_message),
	CASE(case_an_agent_behind_a_higher_class_goes_on_when_it_is_let_in),
	CASE(case_a_commit_puts_its_thread_on_the_cpu),
	CASE(case_messages_go_to_the_cpu_that_committed_last),
	CASE(case_threads_run_in_the_order_of_their_commits),
	CASE(case_nothing_to_run_parks_the_agent_until_a_ping),
	CASE(case_a_parked_agent_comes_back_for_a_message),
	CASE(case_a_parked_agent_comes_back_within_two_seconds_in_any_case),
	CASE(case_a_commit_can_ping_another_cpu),
	CASE(case_a_ping_of_no_cpu_of_ours_is_ignored),
	CASE(case_an_idle_agent_is_asked_to_help_a_busy_cpu),
	CASE(case_an_idle_agent_is_asked_to_help_where_a_higher_class_took_the_cpu),
	CASE(case_a_commit_over_an_unseen_message_is_refused),
	CASE(case_a_commit_over_an_unseen_ping_is_refused),
	CASE(case_a_commit_over_a_changed_affinity_is_refused),
	CASE(case_a_commit_over_a_changed_nice_value_is_refused),
	CASE(case_a_slot_of_nobody_is_not_found),
	CASE(case_a_thread_of_another_enclave_is_not_found),
	CASE(case_a_thread_that_left_is_not_found),
	CASE(case_a_thread_that_sleeps_cannot_be_committed),
	CASE(case_a_thread_that_runs_cannot_be_committed),
	CASE(case_a_thread_that_the_fallback_has_cannot_be_committed),
	CASE(case_a_thread_goes_nowhere_where_its_affinity_does_not_allow_it),
	CASE(case_nonsense_is_refused_before_anything_is_looked_at),
	CASE(case_a_slot_that_no_table_has_is_nonsense),
	CASE(case_the_first_thing_that_is_wrong_is_the_one_that_is_told),
	CASE(case_a_refused_thread_waits_on_and_can_be_committed),
	CASE(case_a_transaction_is_carried_out_once),
	CASE(case_garbage_in_a_transaction_harms_nobody),
	CASE(case_a_slice_ends_not_before_its_time_and_soon_after),
	CASE(case_a_slice_without_end_does_not_end),
	CASE(case_an_agent_is_let_in_after_a_second_at_the_latest),
	CASE(case_a_thread_that_yields_waits_again),
	CASE(case_a_thread_that_sleeps_is_told_of_and_so_is_its_waking),
	CASE(case_messages_tell_the_cpu_time_that_a_thread_has_had),
	CASE(case_a_fair_thread_takes_the_cpu_from_a_member),
	CASE(case_a_real_time_thread_takes_the_cpu_from_a_member),
	CASE(case_a_thread_that_ends_is_told_of_last),
	CASE(case_a_thread_that_runs_is_killed_at_once),
	CASE(case_a_thread_that_waits_is_killed_when_it_is_committed),
	CASE(case_a_thread_that_sleeps_wakes_up_to_be_killed),
	CASE(case_a_sleeping_thread_joins_as_one_that_sleeps),
	CASE(case_a_running_thread_joins_and_waits_at_once),
	CASE(case_a_thread_that_shares_its_cpu_joins_and_waits_at_once),
	CASE(case_a_record_tells_who_a_thread_is),
	CASE(case_a_policy_knows_what_others_change_of_a_thread),
	CASE(case_a_policy_knows_what_a_thread_changes_of_itself),
	CASE(case_children_of_members_are_members),
	CASE(case_children_are_as_nice_as_their_parents_and_may_run_where_these_may),
	CASE(case_children_of_members_run_without_agents),
	CASE(case_children_of_others_are_not),
	CASE(case_a_waiting_thread_that_leaves_is_told_of_last),
	CASE(case_a_running_thread_that_leaves_is_told_of_last),
	CASE(case_a_sleeping_thread_that_leaves_is_told_of_last),
	CASE(case_a_thread_that_becomes_a_real_time_thread_leaves),
	CASE(case_a_member_may_move_to_another_enclave),
	CASE(case_who_comes_back_is_somebody_else),
	CASE(case_a_member_that_joins_again_starts_anew),
	CASE(case_a_changed_affinity_of_a_sleeping_thread_is_told),
	CASE(case_a_changed_affinity_of_a_waiting_thread_leaves_it_waiting),
	CASE(case_a_changed_affinity_lets_a_thread_run_on_where_it_may),
	CASE(case_a_running_thread_that_must_leave_its_cpu_waits_again),
	CASE(case_a_thread_that_moves_itself_away_waits_again),
	CASE(case_a_thread_with_no_cpu_of_the_enclave_runs_elsewhere),
	CASE(case_a_running_thread_that_must_leave_the_enclaves_cpus_runs_elsewhere),
	CASE(case_a_thread_that_may_run_here_again_waits_for_a_commit),
	CASE(case_a_changed_nice_value_is_told),
	CASE(case_a_thread_that_changes_its_own_nice_value_runs_on),
	CASE(case_each_message_has_the_next_number),
	CASE(case_a_full_queue_counts_what_it_could_not_take),
	CASE(case_garbage_in_a_queues_tail_costs_messages_and_nothing_else),
	CASE(case_without_agents_members_run_and_nobody_is_told),
	CASE(case_without_agents_members_take_turns),
	CASE(case_without_agents_members_go_on_when_a_higher_class_is_done),
	CASE(case_the_fallback_gives_each_the_same),
	CASE(case_or_it_gives_by_weight),
	CASE(case_the_fallback_serves_all_in_turn),
	CASE(case_a_fair_fallback_gives_by_weight),
	CASE(case_in_a_fair_fallback_who_sleeps_most_waits_for_one_slice),
	CASE(case_agents_that_come_online_get_what_the_fallback_had),
	{ 0 },
};

const struct contract_case *const contract_suites[] = {
	contract_cases,
	contract_remote_cases,
	contract_queue_cases,
	NULL,
};
