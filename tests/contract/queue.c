// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contract of queues that agents make.
 * In: a world with an enclave of two CPUs. Out: a failure, or none. Called by
 * contract_run().
 */
#include <errno.h>
#include <string.h>

#include "tests/contract/contract.h"

static uint32_t id_of(struct world *w)
{
	return ghost_enclave_id(w->e);
}

static int ask(struct world *w, struct ghost_ctl *ctl)
{
	int err = w->backend->agent(w->backend, ctl);

	return err ?: ctl->ret;
}

static int create(struct world *w, uint32_t len, uint32_t *ret)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_CREATE, .enclave = id_of(w), .len = len };
	int err = ask(w, &ctl);

	*ret = ctl.queue;
	return err;
}

static int queue_op(struct world *w, uint32_t op, uint32_t queue)
{
	struct ghost_ctl ctl = { .op = op, .enclave = id_of(w), .queue = queue };

	return ask(w, &ctl);
}

static uint32_t made(struct world *w, uint32_t len)
{
	uint32_t queue = 0;

	check_is(w, create(w, len, &queue), 0);
	check(w, queue >= w->mem->nr_cpus && queue < w->mem->nr_queues);
	check_is(w, page(w, queue)->queue.len, len);
	rw(w, queue)->queue_tail = 0;
	return queue;
}

static int wake(struct world *w, uint32_t queue, uint32_t nr, uint32_t first, uint32_t second)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_QUEUE_WAKE, .enclave = id_of(w), .queue = queue, .len = nr
	};

	ctl.cpus[0] = first;
	ctl.cpus[1] = second;
	return ask(w, &ctl);
}

static int assoc(struct world *w, uint32_t queue, uint32_t slot, uint32_t seq, uint32_t *ret_flags)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_ASSOC,
				 .enclave = id_of(w),
				 .queue = queue,
				 .slot = slot,
				 .seq = seq };
	int err = ask(w, &ctl);

	*ret_flags = ctl.flags;
	return err;
}

static void case_queues_have_the_length_that_was_asked_for(struct world *w)
{
	static const uint32_t bad[] = { 0, 3, 65537, 131072, ~0u };
	uint32_t queue;

	for (uint32_t len = GHOST_QUEUE_LEN_MAX; len; len /= 2) {
		queue = made(w, len);
		check_is(w, queue_op(w, GHOST_CTL_QUEUE_DESTROY, queue), 0);
		check_is(w, page(w, queue)->queue.len, 0);
		/* Its place is kept for a while. */
		if (len == GHOST_QUEUE_LEN_MAX)
			check_is(w, create(w, len, &queue), -ENOSPC);
		within(w, 1000, create(w, len, &queue) == 0);
		check_is(w, queue_op(w, GHOST_CTL_QUEUE_DESTROY, queue), 0);
		pass(w, 200);
	}
	for (int i = 0; i < 5; i++)
		check_is(w, create(w, bad[i], &queue), -EINVAL);
}

static void case_there_are_as_many_queues_as_was_said(struct world *w)
{
	uint32_t queue;

	for (uint32_t i = 0; i < GHOST_QUEUES_MADE; i++)
		check_is(w, made(w, 16), w->mem->nr_cpus + i);
	check_is(w, create(w, 16, &queue), -ENOSPC);
}

static void case_queues_that_are_not_there_are_not_found(struct world *w)
{
	uint32_t bad[] = { w->mem->nr_queues - 1, w->mem->nr_queues, CPU_OTHER, ~0u - 1 };
	uint32_t flags;

	for (int i = 0; i < 4; i++) {
		check_is(w, queue_op(w, GHOST_CTL_QUEUE_DESTROY, bad[i]), -ENOENT);
		check_is(w, queue_op(w, GHOST_CTL_QUEUE_DEFAULT, bad[i]), -ENOENT);
		check_is(w, wake(w, bad[i], 0, 0, 0), -ENOENT);
		check_is(w, assoc(w, bad[i], 1, 0, &flags), -ENOENT);
	}
	/* A CPU's own queue stays as long as the CPU. */
	check_is(w, queue_op(w, GHOST_CTL_QUEUE_DESTROY, CPU_A), -ENOENT);
	/* Nor are threads. */
	check_is(w, assoc(w, CPU_A, 0, 0, &flags), -ENOENT);
	check_is(w, assoc(w, CPU_A, w->mem->capacity - 1, 0, &flags), -ENOENT);
	check_is(w, assoc(w, CPU_A, w->mem->capacity, 0, &flags), -ENOENT);
}

static void case_only_agents_of_the_enclave_can_be_woken(struct world *w)
{
	uint32_t queue = made(w, 64);

	check_is(w, wake(w, queue, 1, CPU_OTHER, 0), -EINVAL);
	check_is(w, wake(w, queue, 1, GHOST_CPUS_MAX, 0), -EINVAL);
	check_is(w, wake(w, queue, GHOST_WAKES_MAX + 1, CPU_A, CPU_B), -EINVAL);
	check_is(w, page(w, queue)->queue.nr_wake, 0);
	check_is(w, wake(w, queue, 2, CPU_B, CPU_A), 0);
	check_is(w, page(w, queue)->queue.nr_wake, 2);
	check_is(w, page(w, queue)->queue.wake[0], CPU_B);
	check_is(w, wake(w, queue, 0, 0, 0), 0);
	check_is(w, page(w, queue)->queue.nr_wake, 0);
}

static void case_new_threads_have_the_default_queue(struct world *w)
{
	uint32_t queue = made(w, 64), seq;
	struct puppet *p;
	struct ghost_txn t;
	struct ghost_msg m;

	agents_up(w);
	check_is(w, queue_op(w, GHOST_CTL_QUEUE_DEFAULT, queue), 0);
	check_is(w, ghost_enclave_status(w->e)->default_queue, queue);
	p = puppet_new(w);
	seq = agent_seq(w, CPU_A) + agent_seq(w, CPU_B);
	join(w, w->e, p);
	check_is(w, home_of(w, p), queue);
	until(w, pop(w, queue, &m));
	check_is(w, m.type, GHOST_MSG_TASK_NEW);
	order(w, p, PUPPET_SPIN);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	/* It is polled: nobody's number advances. */
	check_is(w, agent_seq(w, CPU_A) + agent_seq(w, CPU_B), seq);
	/* A commit does not change it. */
	t = fresh(w, CPU_B, p);
	carried_out(w, CPU_B, &t);
	see_on(w, p, CPU_B);
	check_is(w, home_of(w, p), queue);
	order(w, p, PUPPET_BLOCK);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	check_is(w, queue_op(w, GHOST_CTL_QUEUE_DEFAULT, GHOST_QUEUE_NONE), 0);
	p = member_asleep(w);
	check(w, home_of(w, p) == CPU_A || home_of(w, p) == CPU_B);
}

static void case_a_message_wakes_the_agent_that_the_queue_names(struct world *w)
{
	uint32_t queue = made(w, 64), seq_a, seq_b;
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	check_is(w, queue_op(w, GHOST_CTL_QUEUE_DEFAULT, queue), 0);
	check_is(w, wake(w, queue, 1, CPU_B, 0), 0);
	p = member_asleep(w);
	t = fresh(w, CPU_B, NULL);
	commit_begin(w, CPU_B, &t);
	check_is(w, commit_settled(w, CPU_B), GHOST_TXN_YIELDED);
	seq_a = agent_seq(w, CPU_A);
	seq_b = agent_seq(w, CPU_B);
	order(w, p, PUPPET_SPIN);
	commit_end(w, CPU_B);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	check_is(w, agent_seq(w, CPU_A), seq_a);
	check_is(w, agent_seq(w, CPU_B), seq_b + 1);
}

static void case_a_thread_can_be_given_another_queue(struct world *w)
{
	uint32_t queue = made(w, 64), flags;
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	check_is(w, assoc(w, queue, p->slot, seq_of(w, p), &flags), 0);
	check_is(w, flags, 0);
	check_is(w, home_of(w, p), queue);
	renice(w, p, 2);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	check_is(w, assoc(w, queue, p->slot, seq_of(w, p), &flags), 0);
	check_is(w, flags, GHOST_ASSOC_ALREADY);
	/* It was chosen: a commit does not change it. */
	t = fresh(w, CPU_A, p);
	carried_out(w, CPU_A, &t);
	see_on(w, p, CPU_A);
	order(w, p, PUPPET_BLOCK);
	check_is(w, home_of(w, p), queue);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	/* And back. */
	check_is(w, assoc(w, CPU_B, p->slot, seq_of(w, p), &flags), 0);
	order(w, p, PUPPET_SPIN);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	check_is(w, home_of(w, p), CPU_B);
}

static void case_a_thread_with_unread_messages_keeps_its_queue(struct world *w)
{
	uint32_t queue = made(w, 64), flags, home, seq;
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	home = home_of(w, p);
	seq = seq_of(w, p);
	renice(w, p, 2);
	until(w, seq_of(w, p) == seq + 1);
	check_is(w, assoc(w, queue, p->slot, seq, &flags), -ESTALE);
	check_is(w, home_of(w, p), home);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	check_is(w, assoc(w, queue, p->slot, seq + 1, &flags), 0);
	renice(w, p, 3);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	check_is(w, home_of(w, p), queue);
}

static void case_threads_of_a_queue_that_is_removed_get_another(struct world *w)
{
	uint32_t queue = made(w, 64), flags;
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	check_is(w, assoc(w, queue, p->slot, seq_of(w, p), &flags), 0);
	renice(w, p, 2);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	check_is(w, queue_op(w, GHOST_CTL_QUEUE_DESTROY, queue), 0);
	renice(w, p, 3);
	until(w, home_of(w, p) != queue);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
	check_is(w, home_of(w, p), CPU_A);
}

static void case_a_small_queue_runs_full_and_loses_no_thread(struct world *w)
{
	uint32_t queue = made(w, 2), flags, nr = 0;
	struct puppet *p;
	struct ghost_msg m;

	agents_up(w);
	p = member_waiting(w);
	check_is(w, assoc(w, queue, p->slot, seq_of(w, p), &flags), 0);
	for (int i = 0; i < 5; i++)
		renice(w, p, i + 1);
	until(w, page(w, queue)->queue.overflow == 3);
	check_is(w, page(w, queue)->queue.head, 2);
	while (pop(w, queue, &m))
		nr++;
	check_is(w, nr, 2);
	/* The table has it all. */
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

const struct contract_case contract_queue_cases[] = {
	CASE(case_queues_have_the_length_that_was_asked_for),
	CASE(case_there_are_as_many_queues_as_was_said),
	CASE(case_queues_that_are_not_there_are_not_found),
	CASE(case_only_agents_of_the_enclave_can_be_woken),
	CASE(case_new_threads_have_the_default_queue),
	CASE(case_a_message_wakes_the_agent_that_the_queue_names),
	CASE(case_a_thread_can_be_given_another_queue),
	CASE(case_a_thread_with_unread_messages_keeps_its_queue),
	CASE(case_threads_of_a_queue_that_is_removed_get_another),
	CASE(case_a_small_queue_runs_full_and_loses_no_thread),
	{ 0 },
};
