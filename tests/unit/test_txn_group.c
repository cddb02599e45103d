// SPDX-License-Identifier: GPL-2.0-only
/*
 * Synchronised groups: all of them or none, whatever happens in the middle.
 * In: core/ctl.h and core/txn.h over plain memory. Out: TAP.
 */
#include "tests/unit/event_fake.h"

#include "core/ctl.h"

#define HERE 0	  /* the CPU of the agent that commits */
#define GROUP 0xe /* CPUs 1 to 3 */
#define TID(cpu) (500 + (cpu))

static struct ghost_txn *txn[4];
static __u32 s[4]; /* threads in custody, one for each CPU of the group */
static __u32 agent_seq[4];

static void agent_of(__u32 cpu)
{
	fake.this_cpu = cpu;
	fake.this_tid = TID(cpu);
}

static void fill(__u32 cpu, __u32 slot)
{
	*txn[cpu] = txn_good(slot, cpu);
	txn[cpu]->slice_ns = 1000 + cpu;
	txn[cpu]->owner = 77;
}

static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	for (__u32 cpu = 0; cpu < 4; cpu++) {
		assert_int_equal(agent_attach(1, cpu, TID(cpu), 1, 0), 1);
		txn[cpu] = &fake.rw[1][cpu].txn;
	}
	for (__u32 cpu = 1; cpu < 4; cpu++)
		s[cpu] = thread_in(CORE_TASK_CUSTODY);
	for (__u32 cpu = 1; cpu < 4; cpu++)
		fill(cpu, s[cpu]);
	for (__u32 cpu = 0; cpu < 4; cpu++)
		agent_seq[cpu] = fake.page[1][cpu].agent_seq;
	agent_of(HERE);
	return 0;
}

/* Nothing is left half done: no thread claimed, no transaction taken, no part remembered. */
static void assert_settled(void)
{
	assert_int_equal(fake.nr_open, 0);
	for (__u32 slot = 1; slot < fake.slots.used; slot++)
		assert_true(fake.task[slot].state < CORE_TASK_CLAIMED);
	for (__u32 cpu = 0; cpu < 4; cpu++) {
		assert_int_not_equal(txn[cpu]->state, GHOST_TXN_TAKEN);
		assert_int_equal(fake.cpu[cpu].group, TXN_GROUP_NONE);
	}
}

static __u32 ask(__u64 cpus)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_COMMIT,
		.enclave = 1,
		.flags = GHOST_COMMIT_SYNC,
		.cpus = { cpus },
	};

	ctl_agent(&ctl);
	assert_int_equal(ctl.ret, 0);
	return ctl.len;
}

static __u32 commit(__u64 cpus)
{
	__u32 nr = ask(cpus);

	assert_settled();
	return nr;
}

static void assert_states(__u32 a, __u32 b, __u32 c)
{
	assert_int_equal(txn[1]->state, a);
	assert_int_equal(txn[2]->state, b);
	assert_int_equal(txn[3]->state, c);
}

/* The thread of @cpu waits as before, and can be committed. */
static void assert_waits(__u32 cpu)
{
	assert_int_equal(fake.th[s[cpu]].place, FAKE_CUSTODY);
	assert_int_equal(fake.task[s[cpu]].state, CORE_TASK_CUSTODY);
	assert_int_equal(fake.task[s[cpu]].run, 0);
	assert_status(s[cpu], GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	assert_int_equal(fake.cpu[cpu].runs, 0);
	assert_int_equal(fake.cpu[cpu].displaced, 0);
}

/* And all of them can. */
static void assert_all_can_be_committed(void)
{
	for (__u32 cpu = 1; cpu < 4; cpu++)
		fill(cpu, s[cpu]);
	assert_int_equal(commit(GROUP), 3);
}

static void assert_there(__u32 cpu)
{
	assert_int_equal(fake.th[s[cpu]].place, FAKE_LOCAL);
	assert_int_equal(fake.th[s[cpu]].cpu, cpu);
	assert_int_equal(fake.th[s[cpu]].slice_ns, 1000 + cpu);
	assert_int_equal(fake.task[s[cpu]].state, CORE_TASK_LATCHED);
	assert_int_equal(fake.cpu[cpu].runs, s[cpu]);
}

/* A member that @cpu runs, committed before. */
static __u32 member_there(__u32 cpu)
{
	__u32 slot = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(thread_commit(slot, cpu), GHOST_TXN_COMMITTED);
	thread_run(slot, cpu);
	fill(cpu, s[cpu]);
	drop_msgs();
	fake.nr_moves = 0;
	for (cpu = 0; cpu < 4; cpu++)
		agent_seq[cpu] = fake.page[1][cpu].agent_seq;
	return slot;
}

/* --- all --------------------------------------------------------------------------- */

static void test_group_in_which_all_can_is_carried_out(void **state)
{
	assert_int_equal(commit(GROUP), 3);
	assert_states(GHOST_TXN_COMMITTED, GHOST_TXN_COMMITTED, GHOST_TXN_COMMITTED);
	for (__u32 cpu = 1; cpu < 4; cpu++) {
		assert_there(cpu);
		assert_int_equal(txn[cpu]->owner, 0);
		assert_true(txn[cpu]->commit_ns == fake.now);
		assert_int_equal(txn[cpu]->cpu_seq, fake.cpu[cpu].seq);
		assert_true(fake.page[1][cpu].nr_txn[GHOST_TXN_COMMITTED] == 1);
		assert_int_equal(fake.page[1][cpu].agent_seq, agent_seq[cpu] + 1);
		assert_int_equal(fake.preempts[cpu], 0);
	}
	expect_no_msg();
}

static void test_group_may_be_about_threads_nobody_and_agents(void **state)
{
	__u32 m = member_there(2);

	fill(2, GHOST_SLOT_IDLE);
	fill(3, GHOST_SLOT_AGENT);
	assert_int_equal(commit(GROUP), 3);
	assert_states(GHOST_TXN_COMMITTED, GHOST_TXN_YIELDED, GHOST_TXN_COMMITTED);
	assert_there(1);
	assert_int_equal(fake.preempts[2], 1);
	assert_int_equal(fake.cpu[2].displaced, m);
	assert_int_equal(fake.page[1][3].agent_seq, agent_seq[3] + 1); /* the ping, and once */
	for (__u32 cpu = 1; cpu < 4; cpu++)
		assert_int_equal(txn[cpu]->owner, 0);
}

static void test_group_of_one_is_one(void **state)
{
	assert_int_equal(commit(1 << 2), 1);
	assert_states(GHOST_TXN_READY, GHOST_TXN_COMMITTED, GHOST_TXN_READY);
	assert_there(2);
	assert_waits(1);
	assert_int_equal(txn[1]->owner, 77);
}

static void test_group_of_none_is_none(void **state)
{
	assert_int_equal(commit(0), 0);
	assert_states(GHOST_TXN_READY, GHOST_TXN_READY, GHOST_TXN_READY);
}

static void test_group_advances_numbers_as_each_part_asks(void **state)
{
	txn[1]->flags = GHOST_COMMIT_ELIDE_AGENT_SEQ;
	txn[2]->flags = GHOST_COMMIT_AGENT_SEQ_ON_FAILURE;
	assert_int_equal(commit(GROUP), 3);
	assert_int_equal(fake.page[1][1].agent_seq, agent_seq[1]);
	assert_int_equal(fake.page[1][2].agent_seq, agent_seq[2] + 1);
	assert_int_equal(fake.page[1][3].agent_seq, agent_seq[3] + 1);
	setup(NULL);
	txn[1]->flags = GHOST_COMMIT_ELIDE_AGENT_SEQ;
	txn[2]->flags = GHOST_COMMIT_AGENT_SEQ_ON_FAILURE;
	txn[3]->task_seq--;
	assert_int_equal(commit(GROUP), 0);
	assert_int_equal(fake.page[1][1].agent_seq, agent_seq[1]);
	assert_int_equal(fake.page[1][2].agent_seq, agent_seq[2] + 1);
	assert_int_equal(fake.page[1][3].agent_seq, agent_seq[3]);
}

/* --- or none -------------------------------------------------------------------------- */

/* Make the part of @cpu one that comes to @state. */
static void spoil(__u32 cpu, __u32 state)
{
	__u32 slot = s[cpu];

	switch (state) {
	case GHOST_TXN_TASK_STALE:
		txn[cpu]->task_seq--;
		break;
	case GHOST_TXN_NOT_FOUND:
		txn[cpu]->slot = FAKE_SLOTS - 1;
		txn[cpu]->task_seq = 0;
		break;
	case GHOST_TXN_NOT_RUNNABLE:
		fake.task[slot].state = CORE_TASK_BLOCKED;
		break;
	case GHOST_TXN_ON_CPU:
		fake.task[slot].state = CORE_TASK_LATCHED;
		break;
	case GHOST_TXN_NOT_ALLOWED:
		fake.th[slot].cpus[0] = 1;
		break;
	case GHOST_TXN_AGAIN:
		fake.task[slot].state = CORE_TASK_CLAIMED + HERE;
		break;
	case GHOST_TXN_INVALID:
		txn[cpu]->slice_ns = 0;
		break;
	case GHOST_TXN_CPU_UNAVAIL:
		fake.cpu[cpu].taken = 1;
		break;
	case GHOST_TXN_CPU_OFFLINE:
		fake.cpu[cpu].off = 1;
		break;
	case GHOST_TXN_CPU_OCCUPIED:
		fake.cpu[cpu].runs = FAKE_SLOTS - 2;
		txn[cpu]->flags = GHOST_RUN_DO_NOT_PREEMPT;
		break;
	case GHOST_TXN_INVALID_CPU:
		fake.cpu[cpu].enclave = 2;
		break;
	case GHOST_TXN_NO_AGENT:
		fake.cpu[cpu].agent_tid = 0;
		break;
	}
}

static void test_group_with_one_refused_is_refused_and_leaves_no_trace(void **state)
{
	for (__u32 want = GHOST_TXN_TASK_STALE; want <= GHOST_TXN_NO_AGENT; want++)
		for (__u32 bad = 1; bad < 4; bad++) {
			setup(NULL);
			spoil(bad, want);
			assert_int_equal(ask(GROUP), 0);
			if (want == GHOST_TXN_AGAIN) /* that claim is somebody else's, and stands */
				fake.task[s[bad]].state = CORE_TASK_CUSTODY;
			assert_settled();
			for (__u32 cpu = 1; cpu < 4; cpu++) {
				assert_int_equal(txn[cpu]->state,
						 cpu == bad ? want : GHOST_TXN_POISONED);
				assert_int_equal(txn[cpu]->owner, 77);
				assert_true(fake.page[1][cpu].nr_txn[txn[cpu]->state] == 1);
				assert_int_equal(fake.page[1][cpu].agent_seq, agent_seq[cpu]);
				assert_int_equal(fake.preempts[cpu], 0);
				if (cpu != bad)
					assert_waits(cpu);
			}
			assert_int_equal(fake.nr_moves, 0);
			expect_no_msg();
		}
}

static void test_group_with_several_refused_says_so_of_each(void **state)
{
	spoil(1, GHOST_TXN_NOT_ALLOWED);
	spoil(3, GHOST_TXN_TASK_STALE);
	assert_int_equal(commit(GROUP), 0);
	assert_states(GHOST_TXN_NOT_ALLOWED, GHOST_TXN_POISONED, GHOST_TXN_TASK_STALE);
	assert_waits(1);
	assert_waits(2);
	assert_waits(3);
}

static void test_group_that_was_refused_can_be_committed_again(void **state)
{
	for (__u32 bad = 1; bad < 4; bad++) {
		setup(NULL);
		spoil(bad, GHOST_TXN_TASK_STALE);
		assert_int_equal(commit(GROUP), 0);
		assert_all_can_be_committed();
	}
}

/* Those who run there are displaced by a group that is carried out, not by one that is refused. */
static void test_group_displaces_members_only_if_it_is_carried_out(void **state)
{
	__u32 a = member_there(1), b = member_there(3);

	spoil(2, GHOST_TXN_NOT_ALLOWED);
	assert_int_equal(commit(GROUP), 0);
	assert_int_equal(fake.cpu[1].runs, a);
	assert_int_equal(fake.cpu[3].runs, b);
	assert_int_equal(fake.cpu[1].displaced, 0);
	assert_int_equal(fake.cpu[3].displaced, 0);
	fake.th[s[2]].cpus[0] = ALL_CPUS;
	assert_all_can_be_committed();
	assert_int_equal(fake.cpu[1].displaced, a);
	assert_int_equal(fake.cpu[3].displaced, b);
}

/* Also one that is about nobody: what runs there goes on. */
static void test_group_that_is_refused_takes_nobody_off(void **state)
{
	__u32 a = member_there(1);

	fill(1, GHOST_SLOT_IDLE);
	fill(2, GHOST_SLOT_AGENT);
	spoil(3, GHOST_TXN_TASK_STALE);
	assert_int_equal(commit(GROUP), 0);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_POISONED, GHOST_TXN_TASK_STALE);
	assert_int_equal(fake.cpu[1].runs, a);
	assert_int_equal(fake.preempts[1], 0);
	assert_int_equal(fake.page[1][2].agent_seq, agent_seq[2]); /* no ping */
}

static void test_group_with_one_thread_twice_is_refused(void **state)
{
	fill(2, s[1]);
	assert_int_equal(commit(GROUP), 0);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_AGAIN, GHOST_TXN_POISONED);
	assert_waits(1);
	assert_all_can_be_committed();
}

/* The committer would have to stop deciding: it cannot be part of its own group. */
static void test_group_with_the_committers_own_cpu_is_refused(void **state)
{
	__u32 t = thread_in(CORE_TASK_CUSTODY);

	*txn[HERE] = txn_good(t, HERE);
	assert_int_equal(commit(GROUP | 1 << HERE), 0);
	assert_int_equal(txn[HERE]->state, GHOST_TXN_CPU_UNAVAIL);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_POISONED, GHOST_TXN_POISONED);
	assert_int_equal(fake.th[t].place, FAKE_CUSTODY);
	assert_all_can_be_committed();
}

/* A CPU was named that has nothing to commit: the group is not what its agent believes. */
static void test_group_with_a_part_missing_is_refused(void **state)
{
	static const __u32 states[] = { GHOST_TXN_FREE, GHOST_TXN_COMMITTED, GHOST_TXN_ABORTED };

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		for (__u32 none = 1; none < 4; none++) {
			setup(NULL);
			txn[none]->state = states[i];
			assert_int_equal(commit(GROUP), 0);
			for (__u32 cpu = 1; cpu < 4; cpu++) {
				assert_int_equal(txn[cpu]->state,
						 cpu == none ? states[i] : GHOST_TXN_POISONED);
				assert_waits(cpu);
			}
		}
}

static void test_group_with_a_cpu_of_nobody_is_refused(void **state)
{
	assert_int_equal(commit(GROUP | 1 << 6), 0);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_POISONED, GHOST_TXN_POISONED);
	fake.rw[1][4].txn = txn_good(s[1], 1);
	for (__u32 cpu = 1; cpu < 4; cpu++)
		fill(cpu, s[cpu]);
	assert_int_equal(commit(GROUP | 1 << 4), 0);
	assert_int_equal(fake.rw[1][4].txn.state, GHOST_TXN_INVALID_CPU);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_POISONED, GHOST_TXN_POISONED);
	assert_all_can_be_committed();
}

/* --- in the middle ----------------------------------------------------------------------- */

static __u32 slips; /* whose thread slips away */
static void (*how)(void);

static void is_taken_out(void)
{
	fake.th[s[slips]].place = FAKE_NOWHERE;
	thread_nice(s[slips], 3);
}

static void reenters(void)
{
	fake.th[s[slips]].place = FAKE_NOWHERE;
	thread_enqueue(s[slips], EVENT_RESTORE, 0);
}

static void dies(void)
{
	thread_gone(s[slips], 1);
}

/* All are claimed, none is moved; the thread for CPU @slips is gone by then. */
static void test_group_whose_thread_slips_away_is_taken_back(void **state)
{
	void (*const ways[])(void) = { is_taken_out, reenters, dies };

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		for (slips = 1; slips < 4; slips++) {
			setup(NULL);
			fake.hook[FAKE_AT_MOVE] = how = ways[i];
			assert_int_equal(commit(GROUP), 0);
			for (__u32 cpu = 1; cpu < 4; cpu++) {
				assert_int_equal(txn[cpu]->owner, 77);
				if (cpu == slips) {
					assert_int_equal(txn[cpu]->state, GHOST_TXN_TASK_STALE);
					continue;
				}
				assert_int_equal(txn[cpu]->state, GHOST_TXN_POISONED);
				if (cpu > slips) {
					assert_waits(cpu);
					assert_int_equal(fake.preempts[cpu], 0);
					continue;
				}
				/* It was there already: it is taken off, and told why. */
				assert_int_equal(fake.preempts[cpu], 1);
				assert_int_equal(cpu_stop_cause(cpu, s[cpu]), EVENT_COMMIT);
				thread_run(s[cpu], cpu);
				thread_stop(s[cpu]);
				thread_enqueue(s[cpu], cpu_stop_cause(cpu, s[cpu]), cpu);
				assert_int_equal(fake.task[s[cpu]].state, CORE_TASK_CUSTODY);
			}
			if (how == is_taken_out)
				thread_enqueue(s[slips], EVENT_RESTORE, 0);
			if (how == dies)
				s[slips] = thread_in(CORE_TASK_CUSTODY);
			assert_all_can_be_committed();
		}
}

/*
 * It was moved, and has not run yet when it is taken back: then there is nobody
 * yet to be preempted, and the kernel would run it as if nothing had happened.
 */
static void test_group_taken_back_before_a_thread_ran_does_not_let_it_run_on(void **state)
{
	slips = 2;
	fake.hook[FAKE_AT_MOVE] = is_taken_out;
	assert_int_equal(commit(GROUP), 0);
	assert_int_equal(fake.task[s[1]].state, CORE_TASK_LATCHED);
	memset(fake.preempts, 0, sizeof(fake.preempts));
	thread_run(s[1], 1);
	assert_int_equal(fake.preempts[1], 1);
}

/* As above, and by then the one that was moved is gone by itself: nobody else is taken off. */
static __u32 next_there;

static void runs_and_blocks_then_slips(void)
{
	if (fake.th[s[1]].place == FAKE_LOCAL) {
		thread_run(s[1], 1);
		thread_block(s[1]);
		assert_int_equal(thread_commit(next_there, 1), GHOST_TXN_COMMITTED);
		txn[1]->state = GHOST_TXN_TAKEN; /* the group's answer is still to come */
		is_taken_out();
		return;
	}
	fake.hook[FAKE_AT_MOVE] = runs_and_blocks_then_slips;
}

static void test_group_taken_back_leaves_others_on_their_cpus(void **state)
{
	slips = 2;
	next_there = thread_in(CORE_TASK_CUSTODY);
	fake.hook[FAKE_AT_MOVE] = runs_and_blocks_then_slips;
	assert_int_equal(commit(GROUP), 0);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_TASK_STALE, GHOST_TXN_POISONED);
	assert_int_equal(fake.preempts[1], 0);
	assert_int_equal(fake.task[s[1]].state, CORE_TASK_BLOCKED);
	assert_int_equal(fake.cpu[1].displaced, 0);
	assert_int_equal(fake.cpu[1].runs, next_there);
}

/* It was there before the group, and stays there whatever becomes of the group. */
static void test_group_leaves_a_thread_that_was_there_already(void **state)
{
	__u32 m = member_there(1);

	fill(1, m);
	txn[1]->flags = GHOST_COMMIT_ALLOW_TASK_ON_CPU;
	spoil(2, GHOST_TXN_TASK_STALE);
	assert_int_equal(commit(GROUP), 0);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_TASK_STALE, GHOST_TXN_POISONED);
	assert_int_equal(fake.preempts[1], 0);
	assert_int_equal(fake.cpu[1].runs, m);
	assert_int_equal(fake.task[m].state, CORE_TASK_RUNNING);
	for (__u32 cpu = 2; cpu < 4; cpu++)
		fill(cpu, s[cpu]);
	fill(1, m);
	txn[1]->flags = GHOST_COMMIT_ALLOW_TASK_ON_CPU;
	assert_int_equal(commit(GROUP), 3);
	assert_states(GHOST_TXN_COMMITTED, GHOST_TXN_COMMITTED, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.preempts[1], 0);
	assert_int_equal(txn[1]->owner, 0);
}

static void test_group_without_the_flag_refuses_a_thread_that_is_there_already(void **state)
{
	__u32 m = member_there(1);

	fill(1, m);
	assert_int_equal(commit(GROUP), 0);
	assert_states(GHOST_TXN_ON_CPU, GHOST_TXN_POISONED, GHOST_TXN_POISONED);
}

static void scribble(void)
{
	for (__u32 cpu = 1; cpu < 4; cpu++)
		*txn[cpu] = (struct ghost_txn){
			.slot = s[1 + cpu % 3],
			.task_seq = ~0u,
			.slice_ns = 9,
			.flags = GHOST_COMMIT_AGENT_SEQ_ON_FAILURE | GHOST_RUN_DO_NOT_PREEMPT,
			.state = GHOST_TXN_COMMITTED,
			.owner = 66,
		};
}

/* At the last part's check, when all have been read; and before each move. */
static int scribble_after;

static void scribble_later(void)
{
	if (scribble_after-- > 0)
		fake.hook[FAKE_AT_MOVE] = scribble_later;
	else
		scribble();
}

static void check_after_scribble(void)
{
	assert_states(GHOST_TXN_COMMITTED, GHOST_TXN_COMMITTED, GHOST_TXN_COMMITTED);
	for (__u32 cpu = 1; cpu < 4; cpu++) {
		assert_there(cpu);
		assert_int_equal(fake.th[s[cpu]].how, PORT_MOVE_PREEMPT);
		assert_int_equal(fake.page[1][cpu].agent_seq, agent_seq[cpu] + 1);
	}
}

static int checks;

static void scribble_at_the_last_check(void)
{
	if (++checks < 3)
		fake.hook[FAKE_AT_ALLOWED] = scribble_at_the_last_check;
	else
		scribble();
}

static void test_group_is_not_changed_by_its_agent_in_the_middle(void **state)
{
	for (int after = 0; after < 3; after++) {
		setup(NULL);
		scribble_after = after;
		fake.hook[FAKE_AT_MOVE] = scribble_later;
		assert_int_equal(commit(GROUP), 3);
		check_after_scribble();
	}
	setup(NULL);
	checks = 0;
	fake.hook[FAKE_AT_ALLOWED] = scribble_at_the_last_check;
	assert_int_equal(commit(GROUP), 3);
	check_after_scribble();
	/* And one that is refused is not mended by it. */
	setup(NULL);
	spoil(3, GHOST_TXN_NOT_ALLOWED);
	checks = 0;
	fake.hook[FAKE_AT_ALLOWED] = scribble_at_the_last_check;
	assert_int_equal(commit(GROUP), 0);
	assert_states(GHOST_TXN_POISONED, GHOST_TXN_POISONED, GHOST_TXN_NOT_ALLOWED);
	for (__u32 cpu = 1; cpu < 4; cpu++)
		assert_waits(cpu);
}

/* --- two at once -------------------------------------------------------------------------- */

static __u32 rival_nr;

/* The agent of CPU 3 asks for CPUs 1 and 2, which are in our group. */
static void rival(void)
{
	agent_of(3);
	rival_nr = ask(0x6);
	agent_of(HERE);
}

/* Each transaction is taken by one of them. The other finds none there, and fails. */
static void test_group_meets_another_one_for_the_same_cpus(void **state)
{
	static const enum fake_point points[] = { FAKE_AT_OPEN, FAKE_AT_ALLOWED, FAKE_AT_MOVE,
						  FAKE_AT_MOVED };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		__u32 nr;

		setup(NULL);
		fake.hook[points[i]] = rival;
		nr = ask(0x6);
		assert_settled();
		assert_true(nr == 0 || rival_nr == 0);
		for (__u32 cpu = 1; cpu < 3; cpu++) {
			assert_int_not_equal(txn[cpu]->state, GHOST_TXN_READY);
			if (txn[cpu]->state == GHOST_TXN_COMMITTED)
				assert_there(cpu);
			else
				assert_int_equal(txn[cpu]->state, GHOST_TXN_POISONED);
		}
	}
}

/* The agents write the same CPUs' transactions once more in between. */
static void rival_with_new_ones(void)
{
	__u32 t = s[3];

	fill(1, t);
	fill(2, GHOST_SLOT_NONE);
	rival();
}

static void test_group_meets_another_one_with_new_transactions(void **state)
{
	static const enum fake_point points[] = { FAKE_AT_MOVE, FAKE_AT_MOVED };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		setup(NULL);
		fake.hook[points[i]] = rival_with_new_ones;
		ask(0x6);
		assert_settled();
	}
}

static void rival_single(void)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT, .enclave = 1, .cpus = { 0x6 } };

	agent_of(3);
	ctl_agent(&ctl);
	assert_int_equal(ctl.ret, 0);
	rival_nr = ctl.len;
	agent_of(HERE);
}

/* The same against commits that are each for itself: what the group has taken is not theirs. */
static void test_group_meets_single_commits_for_the_same_cpus(void **state)
{
	static const struct {
		enum fake_point at;
		__u32 ours, theirs;
	} cases[] = {
		{ FAKE_AT_OPEN, 0, 2 },	   /* all are theirs, nothing is left for us */
		{ FAKE_AT_ALLOWED, 0, 1 }, /* they take the second */
		{ FAKE_AT_MOVE, 2, 0 },	   /* we have all */
		{ FAKE_AT_MOVED, 2, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		fake.hook[cases[i].at] = rival_single;
		assert_int_equal(commit(0x6), cases[i].ours);
		assert_int_equal(rival_nr, cases[i].theirs);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_group_in_which_all_can_is_carried_out),
		T(test_group_may_be_about_threads_nobody_and_agents),
		T(test_group_of_one_is_one),
		T(test_group_of_none_is_none),
		T(test_group_advances_numbers_as_each_part_asks),
		T(test_group_with_one_refused_is_refused_and_leaves_no_trace),
		T(test_group_with_several_refused_says_so_of_each),
		T(test_group_that_was_refused_can_be_committed_again),
		T(test_group_displaces_members_only_if_it_is_carried_out),
		T(test_group_that_is_refused_takes_nobody_off),
		T(test_group_with_one_thread_twice_is_refused),
		T(test_group_with_the_committers_own_cpu_is_refused),
		T(test_group_with_a_part_missing_is_refused),
		T(test_group_with_a_cpu_of_nobody_is_refused),
		T(test_group_whose_thread_slips_away_is_taken_back),
		T(test_group_taken_back_before_a_thread_ran_does_not_let_it_run_on),
		T(test_group_taken_back_leaves_others_on_their_cpus),
		T(test_group_leaves_a_thread_that_was_there_already),
		T(test_group_without_the_flag_refuses_a_thread_that_is_there_already),
		T(test_group_is_not_changed_by_its_agent_in_the_middle),
		T(test_group_meets_another_one_for_the_same_cpus),
		T(test_group_meets_another_one_with_new_transactions),
		T(test_group_meets_single_commits_for_the_same_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
