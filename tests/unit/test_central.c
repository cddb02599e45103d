// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent that decides for all CPUs: what it hands in, when it makes room,
 * and what it does when no CPU can be had.
 * In: libghost over a scripted kernel side. Out: TAP.
 *
 * The agent stops when it has found nothing to do; the policy of these tests
 * picks what it is told to, once.
 */
#include "tests/unit/loop_fake.h"

#include <stdlib.h>

#define MADE LOOP_CPUS /* the queue to which all messages go */

static struct ghost_task *task[LOOP_SLOTS];
static __u32 want[LOOP_CPUS], stage[LOOP_CPUS];
static bool unstage[LOOP_CPUS], said[LOOP_CPUS];
static __u32 nr_waits[LOOP_SLOTS]; /* times it was told to wait to be picked */
static enum ghost_cause last_cause[LOOP_SLOTS];
static __u64 free_cpus;
static struct ghost_task *current[LOOP_CPUS];
static __u32 unstaged, nr_cpu_events, nr_asked;
static __u64 since_ns[LOOP_CPUS], round_ns, again_ns, due_ns[3]; /* due: 0 is none */

static __u32 slot_of(const struct ghost_task *t)
{
	return ghost_task_tid(t) - 1000;
}

static void task_new(struct ghost_agent *a, struct ghost_task *t)
{
	task[slot_of(t)] = t;
}

static void task_runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	nr_waits[slot_of(t)]++;
	last_cause[slot_of(t)] = cause;
}

static void cpu_event(struct ghost_agent *a, const struct ghost_msg *m)
{
	nr_cpu_events += m->type == GHOST_MSG_CPU_TIMER_EXPIRED && m->cookie == 5;
}

static bool picks(struct ghost_agent *a, __u32 cpu)
{
	bool was_free = ghost_cpuset_has(ghost_agent_free_cpus(a), cpu);
	__u32 nr = ghost_agent_nr_free(a);
	bool ok = ghost_agent_pick(a, cpu, task[want[cpu]], 1000);

	assert_false(ok && ghost_cpuset_has(ghost_agent_free_cpus(a), cpu));
	assert_int_equal(ghost_agent_nr_free(a), nr - (ok && was_free));
	return ok;
}

static void schedule(struct ghost_agent *a, uint32_t self)
{
	nr_asked++;
	free_cpus = ghost_agent_free_cpus(a)->word[0];
	assert_int_equal(ghost_agent_nr_free(a), ghost_cpuset_count(ghost_agent_free_cpus(a)));
	round_ns = ghost_agent_now_ns(a);
	for (size_t i = 0; i < ARRAY_LEN(due_ns); i++)
		if (due_ns[i])
			ghost_agent_due(a, due_ns[i]);
	for (__u32 cpu = 0; cpu < LOOP_CPUS; cpu++) {
		current[cpu] = ghost_agent_current(a, cpu);
		since_ns[cpu] = ghost_agent_current_since_ns(a, cpu);
		if (unstage[cpu]) {
			struct ghost_task *t = ghost_agent_unstage(a, cpu);

			unstaged = t ? slot_of(t) : 0;
			unstage[cpu] = false;
		}
		if (want[cpu])
			said[cpu] = picks(a, cpu);
		if (stage[cpu])
			said[cpu] = ghost_agent_stage(a, cpu, task[stage[cpu]], 1000);
		want[cpu] = stage[cpu] = 0;
	}
}

static const struct ghost_policy puppet = {
	.name = "puppet",
	.model = GHOST_CENTRAL,
	.task_size = 8,
	.task_new = task_new,
	.task_runnable = task_runnable,
	.cpu_event = cpu_event,
	.schedule = schedule,
};

/* Where the agent spins. */
static __u32 spinner;

/* It looks once more: until there is nothing to do. */
static void look(void)
{
	loop_step(spinner, 0);
}

static void idle(__u32 cpus)
{
	__atomic_store_n(&loop_es()->idle[0], cpus, __ATOMIC_RELEASE);
}

static int start(__u32 nr_cpus)
{
	memset(task, 0, sizeof(task));
	memset(want, 0, sizeof(want));
	memset(stage, 0, sizeof(stage));
	memset(unstage, 0, sizeof(unstage));
	memset(nr_waits, 0, sizeof(nr_waits));
	memset(due_ns, 0, sizeof(due_ns));
	nr_cpu_events = unstaged = 0;
	spinner = 0;
	loop_reset(nr_cpus);
	assert_int_equal(ghost_agents_start(&loop.agents, loop.enclave, &puppet, NULL), 0);
	loop_wait(0);
	return 0;
}

static int setup(void **state)
{
	return start(4);
}

static int teardown(void **state)
{
	loop_stop();
	return 0;
}

/* Thread @slot waits to be picked, and the agent knows. */
static void waits(__u32 slot)
{
	loop_thread(slot, MADE, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop_event(slot, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	look();
	assert_int_equal(nr_waits[slot], 1);
}

/* Somebody waits for whom there is never a CPU: the policy is asked in every round. */
static void is_asked(void)
{
	waits(LOOP_SLOTS - 1);
}

/* It is on @cpu by a commit. */
static void runs(__u32 slot, __u32 cpu)
{
	waits(slot);
	want[cpu] = slot;
	look();
	assert_true(said[cpu]);
	loop.status[slot].cpu = cpu;
	loop_word(slot, loop_seq(slot), LOOP_ONCPU);
}

/* --- where messages go, and what is handed in ------------------------------------------- */

static void test_central_all_messages_go_to_one_queue(void **state)
{
	assert_int_equal(loop_es()->default_queue, MADE);
	assert_int_equal(loop.cpu[MADE].queue.len, LOOP_MADE_LEN);
	assert_int_equal(loop.cpu[MADE].queue.nr_wake, 0);
}

/* The place of a queue that was removed a moment ago cannot be had yet. */
static void test_central_waits_for_room_for_its_queue(void **state)
{
	loop_stop();
	loop_reset(4);
	loop.no_room = 15;
	assert_int_equal(ghost_agents_start(&loop.agents, loop.enclave, &puppet, NULL), 0);
	loop_wait(0);
	assert_int_equal(loop.cpu[MADE].queue.len, LOOP_MADE_LEN);
	loop_stop();
	/* But not for ever. */
	loop_reset(4);
	loop.no_room = 1000;
	assert_int_equal(ghost_agents_start(&loop.agents, loop.enclave, &puppet, NULL), -ENOSPC);
}

static void test_central_picks_of_a_round_are_one_request(void **state)
{
	is_asked();
	waits(1);
	waits(2);
	idle(0xe);
	want[1] = 1;
	want[3] = 2;
	look();
	assert_true(said[1] && said[3]);
	assert_int_equal(loop.nr_commits, 1);
	assert_int_equal(loop.at[1].txn.slot, 1);
	assert_int_equal(loop.at[1].txn.task_seq, loop_seq(1));
	assert_int_equal(loop.at[1].txn.slice_ns, 1000);
	assert_int_equal(loop.at[1].txn.flags, GHOST_COMMIT_ELIDE_AGENT_SEQ);
	assert_int_equal(loop.at[3].txn.slot, 2);
	look();
	assert_ptr_equal(current[1], task[1]);
	assert_ptr_equal(current[3], task[2]);
	assert_int_equal(loop.nr_commits, 1);
}

static void test_central_cpus_that_cannot_be_had_are_not_free(void **state)
{
	is_asked();
	idle(0xf);
	look();
	/* Its own never is. */
	assert_int_equal(free_cpus, 0xe);
	loop.cpu[1].state = GHOST_CPU_TAKEN;
	loop.cpu[2].state = GHOST_CPU_OFF;
	look();
	assert_int_equal(free_cpus, 0x8);
	runs(1, 3);
	look();
	assert_int_equal(free_cpus, 0);
	loop_event(1, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	look();
	assert_int_equal(free_cpus, 0x8);
}

static void test_central_is_not_asked_while_nobody_waits(void **state)
{
	__u32 before = nr_asked;

	look();
	idle(0xe);
	look();
	assert_int_equal(nr_asked, before);
	waits(1);
	look();
	assert_true(nr_asked > before);
	want[1] = 1;
	look();
	before = nr_asked;
	look();
	assert_int_equal(nr_asked, before);
	/* One that is written ahead may have to come back. */
	waits(2);
	stage[1] = 2;
	look();
	before = nr_asked;
	look();
	assert_true(nr_asked > before);
}

static void test_central_its_own_cpu_cannot_be_picked_for(void **state)
{
	waits(1);
	want[0] = 1;
	look();
	assert_false(said[0]);
	assert_int_equal(loop.nr_commits, 0);
}

static void test_central_a_busy_cpu_can_be_picked_for(void **state)
{
	runs(1, 1);
	waits(2);
	want[1] = 2;
	look();
	assert_true(said[1]);
	assert_int_equal(loop.at[1].txn.slot, 2);
	loop_event(1, GHOST_MSG_TASK_PREEMPT, LOOP_WAITS);
	look();
	assert_int_equal(nr_waits[1], 2);
	assert_ptr_equal(current[1], task[2]);
}

static void test_central_a_refusal_comes_back_when_no_message_tells(void **state)
{
	static const __u32 tells[] = { GHOST_TXN_TASK_STALE, GHOST_TXN_NOT_FOUND,
				       GHOST_TXN_NOT_RUNNABLE, GHOST_TXN_ON_CPU };
	static const __u32 back[] = { GHOST_TXN_AGAIN,	     GHOST_TXN_CPU_UNAVAIL,
				      GHOST_TXN_CPU_OFFLINE, GHOST_TXN_CPU_OCCUPIED,
				      GHOST_TXN_NO_AGENT,    GHOST_TXN_NOT_ALLOWED };

	for (size_t i = 0; i < ARRAY_LEN(back); i++) {
		waits(1 + i);
		loop.at[1].answer = back[i];
		want[1] = 1 + i;
		look();
		assert_int_equal(nr_waits[1 + i], 2);
		assert_int_equal(last_cause[1 + i], GHOST_CAUSE_REFUSED);
		look();
		assert_null(current[1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(tells); i++) {
		waits(20 + i);
		loop.at[1].answer = tells[i];
		want[1] = 20 + i;
		look();
		assert_int_equal(nr_waits[20 + i], 1);
	}
}

static void test_central_news_of_cpus_reach_the_policy(void **state)
{
	loop_push(MADE, (struct ghost_msg){ .type = GHOST_MSG_CPU_TIMER_EXPIRED, .cookie = 5 });
	look();
	assert_int_equal(nr_cpu_events, 1);
}

static void test_central_after_overflow_the_table_tells(void **state)
{
	runs(1, 1);
	/* It blocks and wakes up, and the queue has no room for either. */
	loop_word(1, loop_seq(1) + 2, LOOP_WAITS);
	__atomic_fetch_add(&loop.cpu[MADE].queue.overflow, 1, __ATOMIC_SEQ_CST);
	look();
	assert_int_equal(nr_waits[1], 2);
	look();
	assert_null(current[1]);
}

static void test_central_threads_of_all_queues_are_found_in_the_table(void **state)
{
	loop_stop();
	loop_reset(4);
	memset(nr_waits, 0, sizeof(nr_waits));
	loop_thread(1, 2, LOOP_WAITS);
	loop_thread(2, 3, LOOP_WAITS);
	assert_int_equal(ghost_agents_start(&loop.agents, loop.enclave, &puppet, NULL), 0);
	loop_wait(0);
	assert_int_equal(nr_waits[1], 1);
	assert_int_equal(nr_waits[2], 1);
}

/* --- time ------------------------------------------------------------------------------------- */

static void clock_is(__u64 ns)
{
	__atomic_store_n(&loop.now, ns, __ATOMIC_SEQ_CST);
}

static void in_the_middle_of_a_round(struct ghost_agent *a, struct ghost_task *t,
				     enum ghost_cause cause)
{
	round_ns = ghost_agent_now_ns(a);
	clock_is(9000);
	again_ns = ghost_agent_now_ns(a);
}

static void test_central_time_stands_still_for_a_round(void **state)
{
	static struct ghost_policy asks;

	loop_stop();
	asks = puppet;
	asks.task_runnable = in_the_middle_of_a_round;
	loop_reset(4);
	assert_int_equal(ghost_agents_start(&loop.agents, loop.enclave, &asks, NULL), 0);
	loop_wait(0);
	clock_is(5000);
	loop_new(1, MADE);
	look();
	assert_int_equal(again_ns, 5000);
	/* One that has found something looks once more: nothing, at 9000. */
	assert_int_equal(round_ns, 9000);
	clock_is(6000);
	look();
	assert_int_equal(round_ns, 6000);
}

static void test_central_a_thread_runs_since_it_came_to_its_cpu(void **state)
{
	is_asked();
	assert_int_equal(since_ns[1], 0);
	waits(1);
	/* It has run before. */
	loop.status[1].switch_ns = 4000;
	clock_is(5000);
	want[1] = 1;
	look();
	clock_is(6000);
	look();
	/* It is on its way. */
	assert_int_equal(since_ns[1], 6000);
	loop.status[1].switch_ns = 5500;
	clock_is(7000);
	look();
	assert_int_equal(since_ns[1], 5500);
	loop_event(1, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	look();
	assert_int_equal(since_ns[1], 0);
	/* The next one there has its own time. */
	waits(2);
	want[1] = 2;
	look();
	loop.status[2].switch_ns = 7200;
	clock_is(8000);
	look();
	assert_int_equal(since_ns[1], 7200);
	assert_int_equal(since_ns[LOOP_CPUS - 1], 0);
}

static void test_central_a_staged_thread_runs_since_its_cpu_took_it(void **state)
{
	is_asked();
	runs(1, 1);
	waits(2);
	stage[1] = 2;
	look();
	loop_event(1, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	loop.rw[1].pick.commit_ns = 3000;
	loop.rw[1].pick.state = GHOST_TXN_COMMITTED;
	loop.status[2].switch_ns = 2000;
	clock_is(5000);
	look();
	look();
	assert_int_equal(since_ns[1], 5000);
	loop.status[2].switch_ns = 3100;
	look();
	assert_int_equal(since_ns[1], 3100);
}

static void test_central_relaxes_until_the_earliest_time_that_is_due(void **state)
{
	is_asked();
	assert_true(loop.at[0].until_ns == ~0ull);
	due_ns[0] = 900;
	due_ns[1] = 700;
	due_ns[2] = 800;
	look();
	assert_int_equal(loop.at[0].until_ns, 700);
	/* It holds for one round. */
	memset(due_ns, 0, sizeof(due_ns));
	look();
	assert_true(loop.at[0].until_ns == ~0ull);
}

/* --- making room ---------------------------------------------------------------------------- */

static void wanted(__u32 cpu)
{
	__atomic_fetch_add(&loop.cpu[cpu].wanted, 1, __ATOMIC_SEQ_CST);
}

/* Let it go on where it is, and see it stop on @cpu. */
static void moves_to(__u32 cpu)
{
	loop_answer(spinner, 0);
	loop_wait(cpu);
	assert_int_equal(loop.rw[spinner].spins, 0);
	spinner = cpu;
	assert_int_equal(loop.rw[spinner].spins, 1);
}

static void test_central_hands_over_when_its_cpu_is_wanted(void **state)
{
	assert_int_equal(loop.rw[0].spins, 1);
	idle(0x4);
	wanted(0);
	moves_to(2); /* the one that idles, though another is nearer */
	wanted(0);   /* not where it is */
	look();
	assert_int_equal(loop.rw[2].spins, 1);
	/* It decides from there: its old CPU is as good as the others. */
	waits(1);
	idle(0x3);
	want[0] = 1;
	look();
	assert_true(said[0]);
	assert_int_equal(loop.at[0].txn.slot, 1);
}

static void test_central_goes_where_nobody_waits_and_no_higher_class_is(void **state)
{
	loop.cpu[1].state = GHOST_CPU_TAKEN;
	loop.cpu[2].waited = 1;
	wanted(0);
	moves_to(3);
}

static void test_central_steps_aside_when_there_is_no_other_place(void **state)
{
	for (__u32 cpu = 1; cpu < 4; cpu++)
		loop.cpu[cpu].state = GHOST_CPU_TAKEN;
	wanted(0);
	look();
	assert_int_equal(loop.nr_sleeps, 1);
	assert_int_equal(loop.rw[0].spins, 1);
	/* Once for each time that somebody wants it. */
	look();
	assert_int_equal(loop.nr_sleeps, 1);
}

static void test_central_leaves_a_cpu_that_is_gone(void **state)
{
	/* The others are taken: better one of those than none. */
	for (__u32 cpu = 1; cpu < 4; cpu++)
		loop.cpu[cpu].state = cpu == 3 ? GHOST_CPU_OFF : GHOST_CPU_TAKEN;
	loop.cpu[0].state = GHOST_CPU_OFF;
	loop_answer(0, 0);
	for (spinner = 1; !loop.rw[spinner].spins; spinner = spinner == 1 ? 2 : 1)
		usleep(1000);
	loop_wait(spinner);
	assert_int_equal(loop.rw[0].spins, 0);
}

static void cpu_comes_back(void)
{
	loop.cpu[0].state = GHOST_CPU_AVAILABLE;
}

/* No CPU of the enclave is there: the kernel has put the agent on somebody else's. */
static void test_central_returns_to_its_cpu_when_that_comes_back(void **state)
{
	__u32 pins = loop.at[0].nr_pins;

	for (__u32 cpu = 1; cpu < 4; cpu++)
		loop.cpu[cpu].state = GHOST_CPU_OFF;
	loop.cpu[0].state = GHOST_CPU_OFF;
	look();
	assert_int_equal(loop.at[0].nr_pins, pins);
	assert_true(loop.nr_sleeps > 0);
	loop.on_sleep = cpu_comes_back;
	look();
	look();
	assert_int_equal(loop.at[0].nr_pins, pins + 1);
	look();
	assert_int_equal(loop.at[0].nr_pins, pins + 1);
}

static void test_central_moves_on_for_a_thread_that_can_run_nowhere_else(void **state)
{
	loop_thread(1, MADE, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	memset(loop.status[1].cpus, 0, sizeof(loop.status[1].cpus));
	loop.status[1].cpus[0] = 1;
	loop_event(1, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	look();
	/* Not at once: there may be others elsewhere of whom that is true. */
	assert_int_equal(loop.rw[0].spins, 1);
	__atomic_fetch_add(&loop.now, 1000000, __ATOMIC_SEQ_CST);
	idle(0x2);
	moves_to(1);
}

static void cpu_takes_it(void)
{
	loop.rw[0].pick.state = GHOST_TXN_COMMITTED;
}

static void test_central_lends_its_cpu_when_it_has_the_only_one(void **state)
{
	is_asked();
	for (__u32 cpu = 1; cpu < 4; cpu++)
		loop.cpu[cpu].state = GHOST_CPU_OFF;
	waits(1);
	loop.on_sleep = cpu_takes_it;
	for (int i = 0; i < 200 && !(free_cpus & 1); i++)
		look();
	assert_int_equal(free_cpus, 1);
	for (int i = 0; i < 200 && !loop.nr_sleeps; i++) {
		want[0] = 1;
		look();
	}
	assert_int_equal(loop.nr_sleeps, 1);
	assert_int_equal(loop.rw[0].pick.slot, 1);
	look();
	assert_ptr_equal(current[0], task[1]);
	assert_int_equal(loop.nr_commits, 0);
}

static void test_central_takes_back_what_nobody_took_while_it_slept(void **state)
{
	for (__u32 cpu = 1; cpu < 4; cpu++)
		loop.cpu[cpu].state = GHOST_CPU_TAKEN;
	waits(1);
	for (int i = 0; i < 400 && !loop.nr_sleeps; i++) {
		want[0] = 1;
		look();
	}
	assert_int_equal(loop.nr_sleeps, 1);
	assert_int_equal(nr_waits[1], 2);
	assert_int_equal(last_cause[1], GHOST_CAUSE_REFUSED);
	assert_int_equal(loop.rw[0].pick.state, GHOST_TXN_FREE);
}

/* The agent was moved elsewhere while it slept, and its CPU looks for work beside it. */
static void cpu_is_at_it(void)
{
	loop.rw[0].pick.state = GHOST_TXN_TAKEN;
	loop.on_sleep = cpu_takes_it;
}

/* A pick that is overwritten is answered with the state of the one before. */
static void test_central_does_not_lend_its_cpu_again_while_it_takes_a_pick(void **state)
{
	for (__u32 cpu = 1; cpu < 4; cpu++)
		loop.cpu[cpu].state = GHOST_CPU_OFF;
	waits(1);
	waits(2);
	loop.on_sleep = cpu_is_at_it;
	for (int i = 0; i < 400 && !loop.nr_sleeps; i++) {
		want[0] = 1;
		look();
	}
	assert_int_equal(loop.nr_sleeps, 1);
	/* Whether it gets the CPU is not known yet, and the CPU is not to be had. */
	for (int i = 0; i < 200; i++) {
		want[0] = 2;
		look();
		assert_ptr_not_equal(current[0], task[2]);
	}
	assert_int_equal(loop.nr_sleeps, 1);
	assert_int_equal(loop.rw[0].pick.state, GHOST_TXN_TAKEN);
	assert_int_equal(nr_waits[1], 1);
	loop.rw[0].pick.state = GHOST_TXN_COMMITTED;
	look();
	assert_ptr_equal(current[0], task[1]);
	assert_int_equal(loop.rw[0].pick.state, GHOST_TXN_FREE);
	/* It is refused, another time. */
	loop.on_sleep = cpu_is_at_it;
	for (int i = 0; i < 400 && loop.nr_sleeps < 2; i++) {
		want[0] = 2;
		look();
	}
	assert_int_equal(loop.nr_sleeps, 2);
	loop.rw[0].pick.state = GHOST_TXN_AGAIN;
	look();
	assert_int_equal(nr_waits[2], 2);
	assert_int_equal(last_cause[2], GHOST_CAUSE_REFUSED);
}

/* --- written ahead ------------------------------------------------------------------------------ */

static void test_central_a_staged_thread_is_taken_without_a_call(void **state)
{
	__u32 commits;

	runs(1, 1);
	waits(2);
	commits = loop.nr_commits;
	stage[1] = 2;
	look();
	assert_true(said[1]);
	assert_int_equal(loop.nr_commits, commits);
	assert_int_equal(loop.at[1].nr_kicks, 0);
	assert_int_equal(loop.rw[1].pick.state, GHOST_TXN_READY);
	assert_int_equal(loop.rw[1].pick.slot, 2);
	assert_int_equal(loop.rw[1].pick.task_seq, loop_seq(2));
	/* One at a time. */
	waits(3);
	stage[1] = 3;
	look();
	assert_false(said[1]);
	/* Its thread leaves, the CPU takes the next. */
	loop_event(1, GHOST_MSG_TASK_BLOCKED, LOOP_INUSE);
	loop.rw[1].pick.state = GHOST_TXN_COMMITTED;
	look();
	assert_ptr_equal(current[1], task[2]);
	assert_int_equal(loop.rw[1].pick.state, GHOST_TXN_FREE);
	assert_int_equal(nr_waits[2], 1);
}

static void test_central_an_idle_cpu_is_kicked_for_its_staged_thread(void **state)
{
	waits(1);
	idle(0x2);
	stage[1] = 1;
	look();
	assert_int_equal(loop.at[1].nr_kicks, 1);
}

static void test_central_a_staged_thread_that_is_refused_comes_back(void **state)
{
	runs(1, 1);
	waits(2);
	stage[1] = 2;
	look();
	loop.rw[1].pick.state = GHOST_TXN_AGAIN;
	look();
	assert_int_equal(nr_waits[2], 2);
	assert_int_equal(last_cause[2], GHOST_CAUSE_REFUSED);
}

static void test_central_a_staged_thread_comes_back_when_its_cpu_is_taken(void **state)
{
	runs(1, 1);
	waits(2);
	stage[1] = 2;
	look();
	loop.cpu[1].state = GHOST_CPU_TAKEN;
	look();
	assert_int_equal(nr_waits[2], 2);
	assert_int_equal(loop.rw[1].pick.state, GHOST_TXN_FREE);
}

static void test_central_a_staged_thread_comes_back_when_the_agent_comes(void **state)
{
	runs(1, 1);
	waits(2);
	stage[1] = 2;
	look();
	loop.cpu[2].state = loop.cpu[3].state = GHOST_CPU_TAKEN;
	wanted(0);
	moves_to(1);
	look();
	assert_int_equal(nr_waits[2], 2);
	assert_int_equal(loop.rw[1].pick.state, GHOST_TXN_FREE);
}

static void test_central_a_message_makes_a_staged_thread_void(void **state)
{
	runs(1, 1);
	waits(2);
	stage[1] = 2;
	look();
	loop_event(2, GHOST_MSG_TASK_AFFINITY_CHANGED, LOOP_WAITS);
	look();
	assert_int_equal(nr_waits[2], 2);
	look();
	assert_int_equal(loop.rw[1].pick.state, GHOST_TXN_FREE);
	assert_int_equal(nr_waits[2], 2);
}

static void test_central_a_staged_thread_can_be_taken_back_unless_it_is_gone(void **state)
{
	is_asked();
	runs(1, 1);
	waits(2);
	stage[1] = 2;
	look();
	unstage[1] = true;
	look();
	assert_int_equal(unstaged, 2);
	assert_int_equal(loop.rw[1].pick.state, GHOST_TXN_FREE);
	/* It waits again, for whichever CPU. */
	want[2] = 2;
	look();
	assert_true(said[2]);
	waits(3);
	stage[1] = 3;
	look();
	loop.rw[1].pick.state = GHOST_TXN_TAKEN; /* the CPU is at it */
	unstage[1] = true;
	look();
	assert_int_equal(unstaged, 0);
	assert_int_equal(loop.rw[1].pick.state, GHOST_TXN_TAKEN);
	loop.rw[1].pick.state = GHOST_TXN_COMMITTED;
	look();
	assert_ptr_equal(current[1], task[3]);
}

static void test_central_its_own_cpu_cannot_be_staged_for(void **state)
{
	waits(1);
	stage[0] = 1;
	look();
	assert_false(said[0]);
	assert_int_equal(loop.rw[0].pick.state, GHOST_TXN_FREE);
}

/* --- its end ---------------------------------------------------------------------------------------- */

static void test_central_all_agents_end_when_the_enclave_is_lost(void **state)
{
	__atomic_store_n(&loop_es()->state, GHOST_ENCLAVE_LOST, __ATOMIC_RELEASE);
	loop_release();
	assert_int_equal(ghost_agents_wait(loop.agents, LOOP_WAIT_S * 1000), 0);
}

static void test_central_stop_leaves_neither_agents_nor_their_queue(void **state)
{
	loop_es()->state = GHOST_ENCLAVE_IDLE;
	loop_release();
	ghost_agents_stop(loop.agents);
	loop.agents = NULL;
	for (__u32 cpu = 0; cpu < LOOP_CPUS; cpu++)
		assert_int_equal(loop.cpu[cpu].agent_tid, 0);
	assert_int_equal(loop.cpu[MADE].queue.len, 0);
}

static void test_central_on_one_cpu_decides_as_all_do(void **state)
{
	loop_stop();
	start(1);
	assert_int_equal(loop_es()->default_queue, GHOST_QUEUE_NONE);
	loop_thread(1, 0, GHOST_STATUS_INUSE | GHOST_STATUS_NEW);
	loop_event(1, GHOST_MSG_TASK_NEW, LOOP_WAITS);
	assert_int_equal(loop_step(0, GHOST_TXN_YIELDED).slot, 0);
	assert_int_equal(free_cpus, 1);
	want[0] = 1;
	assert_int_equal(loop_step(0, GHOST_TXN_YIELDED).slot, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_central_all_messages_go_to_one_queue),
		T(test_central_waits_for_room_for_its_queue),
		T(test_central_picks_of_a_round_are_one_request),
		T(test_central_cpus_that_cannot_be_had_are_not_free),
		T(test_central_is_not_asked_while_nobody_waits),
		T(test_central_its_own_cpu_cannot_be_picked_for),
		T(test_central_a_busy_cpu_can_be_picked_for),
		T(test_central_a_refusal_comes_back_when_no_message_tells),
		T(test_central_news_of_cpus_reach_the_policy),
		T(test_central_after_overflow_the_table_tells),
		T(test_central_threads_of_all_queues_are_found_in_the_table),
		T(test_central_time_stands_still_for_a_round),
		T(test_central_a_thread_runs_since_it_came_to_its_cpu),
		T(test_central_a_staged_thread_runs_since_its_cpu_took_it),
		T(test_central_relaxes_until_the_earliest_time_that_is_due),
		T(test_central_hands_over_when_its_cpu_is_wanted),
		T(test_central_goes_where_nobody_waits_and_no_higher_class_is),
		T(test_central_steps_aside_when_there_is_no_other_place),
		T(test_central_leaves_a_cpu_that_is_gone),
		T(test_central_returns_to_its_cpu_when_that_comes_back),
		T(test_central_moves_on_for_a_thread_that_can_run_nowhere_else),
		T(test_central_lends_its_cpu_when_it_has_the_only_one),
		T(test_central_takes_back_what_nobody_took_while_it_slept),
		T(test_central_does_not_lend_its_cpu_again_while_it_takes_a_pick),
		T(test_central_a_staged_thread_is_taken_without_a_call),
		T(test_central_an_idle_cpu_is_kicked_for_its_staged_thread),
		T(test_central_a_staged_thread_that_is_refused_comes_back),
		T(test_central_a_staged_thread_comes_back_when_its_cpu_is_taken),
		T(test_central_a_staged_thread_comes_back_when_the_agent_comes),
		T(test_central_a_message_makes_a_staged_thread_void),
		T(test_central_a_staged_thread_can_be_taken_back_unless_it_is_gone),
		T(test_central_its_own_cpu_cannot_be_staged_for),
		T(test_central_all_agents_end_when_the_enclave_is_lost),
		T(test_central_stop_leaves_neither_agents_nor_their_queue),
		T(test_central_on_one_cpu_decides_as_all_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
