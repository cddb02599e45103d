// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commits by an agent for other CPUs: each final state, who is told, what
 * becomes of the member that ran there.
 * In: core/ctl.h and core/txn.h over plain memory. Out: TAP.
 */
#include "tests/unit/event_fake.h"

#include "core/ctl.h"

#define HERE 0 /* the CPU of the agent that commits */
#define CPU 1  /* for which it does */
#define OTHER 2
#define TID(cpu) (500 + (cpu))
#define SLICE_NS 25000

static struct core_cpu *const c = &fake.cpu[CPU];
static struct ghost_cpu *const page = &fake.page[1][CPU];
static struct ghost_txn *const txn = &fake.rw[1][CPU].txn;
static struct fake before;

static __u32 s; /* a thread in custody; its messages go to CPU 0 */

static void agent_of(__u32 cpu)
{
	fake.this_cpu = cpu;
	fake.this_tid = TID(cpu);
}

static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	for (__u32 cpu = 0; cpu < 6; cpu++)
		assert_int_equal(agent_attach(cpu < 4 ? 1 : 2, cpu, TID(cpu), 1, 0), 1);
	agent_of(HERE);
	page->agent_seq = 40;
	s = thread_in(CORE_TASK_CUSTODY);
	return 0;
}

/* --- asking ------------------------------------------------------------------------ */

static __s32 ask(struct ghost_ctl *ctl)
{
	ctl->op = GHOST_CTL_COMMIT;
	ctl->ret = 12345;
	ctl_agent(ctl);
	assert_int_equal(fake.nr_open, 0);
	return ctl->ret;
}

/* Returns how many were carried out. */
static __u32 commit_all(__u64 cpus)
{
	struct ghost_ctl ctl = { .enclave = 1, .cpus = { cpus }, .len = 77 };

	assert_int_equal(ask(&ctl), 0);
	return ctl.len;
}

static __u64 counted(__u32 cpu)
{
	__u64 n = 0;

	for (int i = 0; i < 32; i++)
		n += fake.page[1][cpu].nr_txn[i];
	return n;
}

/* Commit what stands for @cpu. What holds of each outcome is checked here. */
static __u32 commit_for(__u32 cpu)
{
	struct ghost_txn *slot = &fake.rw[1][cpu].txn, was = *slot;
	__u32 seq = fake.page[1][cpu].agent_seq, nr, advance, state;
	__u64 n = counted(cpu);

	fake.now += 7;
	nr = commit_all(1ull << cpu);
	state = slot->state;
	assert_in_range(state, GHOST_TXN_COMMITTED, GHOST_TXN_NO_AGENT);
	assert_int_equal(counted(cpu), n + 1);
	assert_true(fake.page[1][cpu].nr_txn[state] > 0);
	assert_true(slot->commit_ns == fake.now);
	assert_int_equal(slot->cpu_seq, fake.cpu[cpu].seq);
	assert_int_equal(nr, state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED);
	/* The rest is the agent's own. */
	assert_int_equal(slot->slot, was.slot);
	assert_int_equal(slot->flags, was.flags);
	assert_int_equal(slot->owner, was.owner);
	if (was.slot == GHOST_SLOT_AGENT)
		advance = nr;
	else if (nr)
		advance = !(was.flags & GHOST_COMMIT_ELIDE_AGENT_SEQ);
	else
		advance = !!(was.flags & GHOST_COMMIT_AGENT_SEQ_ON_FAILURE);
	assert_int_equal(fake.page[1][cpu].agent_seq, seq + advance);
	return state;
}

/* A transaction about @slot for CPU that would go through, with @flags. */
static void fill(__u32 slot, __u32 flags)
{
	*txn = txn_good(slot, CPU);
	txn->slice_ns = SLICE_NS;
	txn->flags = flags;
	txn->agent_seq = 12345; /* nobody asks for it */
}

static __u32 commit(__u32 slot, __u32 flags)
{
	fill(slot, flags);
	return commit_for(CPU);
}

/* The thread, its record and what its CPU remembers, as if nothing had been tried. */
static void assert_untouched(void)
{
	assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	assert_int_equal(fake.task[s].run, 0);
	assert_status(s, GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	assert_int_equal(c->runs, 0);
	assert_int_equal(c->displaced, 0);
	assert_int_equal(fake.nr_moves, 0);
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		assert_int_equal(fake.preempts[cpu], 0);
}

/* A member that CPU runs. */
static __u32 member_there(void)
{
	__u32 slot = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(commit(slot, 0), GHOST_TXN_COMMITTED);
	thread_run(slot, CPU);
	drop_msgs();
	fake.nr_moves = 0;
	return slot;
}

/* The next message in the queue of @slot is about it. */
static struct ghost_msg expect_of(__u32 type, __u32 slot)
{
	return expect_msg(fake.task[slot].queue, type, slot);
}

/* As ops.enqueue: the member that ran there has lost the CPU with its slice at 0. */
static void put_back(__u32 slot, __u32 cpu)
{
	int cause = cpu_stop_cause(cpu, slot);

	thread_stop(slot);
	thread_enqueue(slot, cause, cpu);
}

/* --- who may ------------------------------------------------------------------------- */

static void test_remote_only_an_agent_on_its_cpu_may_commit(void **state)
{
	static const struct {
		__u32 cpu, tid, enclave;
	} wrong[] = {
		{ HERE, TID(OTHER), 1 }, /* an agent, but elsewhere */
		{ HERE, 700, 1 },	 /* anybody */
		{ HERE, 0, 1 },		 /* nobody, where there is an agent */
		{ OTHER, TID(HERE), 1 },
		{ 4, TID(4), 1 }, /* another enclave's */
		{ HERE, TID(HERE), 2 },
		{ HERE, TID(HERE), 0 },
		{ HERE, TID(HERE), FAKE_ENCLAVES },
		{ 6, 0, 0 }, /* nobody's CPU has nobody's agent */
		{ 6, 0, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		for (__u32 flags = 0; flags <= GHOST_COMMIT_SYNC; flags++) {
			struct ghost_ctl ctl = { .enclave = wrong[i].enclave,
						 .flags = flags,
						 .cpus = { 0xf } };

			fill(s, 0);
			fake.this_cpu = wrong[i].cpu;
			fake.this_tid = wrong[i].tid;
			before = fake;
			assert_int_equal(ask(&ctl), -E_PERM);
			assert_int_equal(ctl.len, 0);
			assert_memory_equal(&fake, &before, sizeof(fake));
		}
}

static void test_remote_without_deciding_agents_nothing_is_committed(void **state)
{
	static const __u32 states[] = { GHOST_ENCLAVE_IDLE, GHOST_ENCLAVE_LOST,
					GHOST_ENCLAVE_DYING };

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		for (__u32 flags = 0; flags <= GHOST_COMMIT_SYNC; flags++) {
			struct ghost_ctl ctl = { .enclave = 1, .flags = flags, .cpus = { 0xf } };

			fill(s, 0);
			fake.enclave[1].state = states[i];
			before = fake;
			assert_int_equal(ask(&ctl), -E_BUSY);
			assert_memory_equal(&fake, &before, sizeof(fake));
		}
}

static void test_remote_request_with_an_unknown_flag_is_refused(void **state)
{
	fill(s, 0);
	before = fake;
	for (int bit = 1; bit < 32; bit++) {
		struct ghost_ctl ctl = { .enclave = 1, .flags = 1u << bit, .cpus = { 0xf } };

		assert_int_equal(ask(&ctl), -E_INVAL);
		assert_memory_equal(&fake, &before, sizeof(fake));
	}
}

static void test_remote_own_cpu_is_left_alone(void **state)
{
	struct ghost_txn *own = &fake.rw[1][HERE].txn;

	*own = txn_good(s, HERE);
	assert_int_equal(commit_all(1 << HERE), 0);
	assert_int_equal(own->state, GHOST_TXN_READY);
	assert_untouched();
	/* It waits for the moment when its agent gives the CPU up. */
	agent_yield(HERE);
	cpu_dispatch(HERE, NULL);
	assert_int_equal(own->state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].cpu, HERE);
}

static void test_remote_only_the_cpus_asked_for_are_looked_at(void **state)
{
	fill(s, 0);
	assert_int_equal(commit_all(0), 0);
	assert_int_equal(commit_all(0xf & ~(1 << CPU)), 0);
	assert_int_equal(txn->state, GHOST_TXN_READY);
	assert_untouched();
}

static void test_remote_several_in_one_request_are_each_for_itself(void **state)
{
	__u32 t = thread_in(CORE_TASK_CUSTODY), u = thread_in(CORE_TASK_BLOCKED);

	fake.rw[1][1].txn = txn_good(s, 1);
	fake.rw[1][2].txn = txn_good(u, 2);
	fake.rw[1][3].txn = txn_good(t, 3);
	assert_int_equal(commit_all(~0ull), 2);
	assert_int_equal(fake.rw[1][1].txn.state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.rw[1][2].txn.state, GHOST_TXN_NOT_RUNNABLE);
	assert_int_equal(fake.rw[1][3].txn.state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].cpu, 1);
	assert_int_equal(fake.th[t].cpu, 3);
}

/* CPUs past the last one, up to the end of the mask. */
static void test_remote_cpus_that_do_not_exist_are_ignored(void **state)
{
	struct ghost_ctl ctl = { .enclave = 1 };

	memset(ctl.cpus, 0xff, sizeof(ctl.cpus));
	before = fake;
	assert_int_equal(ask(&ctl), 0);
	assert_int_equal(ctl.len, 0);
	memcpy(before.cpu[HERE].asked, ctl.cpus, sizeof(ctl.cpus)); /* only a note of it is left */
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_remote_one_is_taken_once(void **state)
{
	static const __u32 states[] = { 0, 2, 3, 4, 11, 12, 17, 18, 19, 20, 255, ~0u };
	__u32 t = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	txn->slot = t;
	txn->task_seq = fake.task[t].seq;
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		txn->state = states[i];
		before = fake;
		assert_int_equal(commit_all(1 << CPU), 0);
		assert_memory_equal(&fake, &before, sizeof(fake));
	}
}

/* --- carried out ------------------------------------------------------------------------ */

static void test_remote_good_one_moves_the_thread_there(void **state)
{
	__u32 seq = fake.task[s].seq, cpu_seq = c->seq;

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	assert_int_equal(fake.th[s].cpu, CPU);
	assert_int_equal(fake.th[s].how, PORT_MOVE_PREEMPT);
	assert_int_equal(fake.th[s].slice_ns, SLICE_NS);
	assert_int_equal(fake.task[s].state, CORE_TASK_LATCHED);
	assert_int_equal(fake.task[s].seq, seq); /* no message, no new number */
	assert_status(s, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU | GHOST_STATUS_LATCHED);
	assert_int_equal(c->runs, s);
	assert_int_equal(c->displaced, 0);
	assert_int_equal(c->seq, cpu_seq + 1);
	expect_no_msg();
	/* Whose it is does not change: its messages go on to where they went. */
	assert_int_equal(fake.task[s].queue, 0);
	assert_int_equal(fake.status[1][s].queue, 0);
	fake.now = 9000;
	thread_run(s, CPU);
	assert_int_equal(fake.task[s].state, CORE_TASK_RUNNING);
	assert_status(s, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU);
	assert_int_equal(fake.status[1][s].cpu, CPU);
	assert_true(fake.status[1][s].switch_ns == 9000);
	expect_no_msg();
	thread_block(s);
	assert_int_equal(expect_of(GHOST_MSG_TASK_BLOCKED, s).cpu_seq, cpu_seq + 2);
	assert_int_equal(c->seq, cpu_seq + 2);
	assert_int_equal(c->runs, 0);
}

/* Its agent is on its queue, behind what it has put there itself, and stays there. */
static void test_remote_good_one_goes_before_an_agent_that_stands_by(void **state)
{
	c->place = CORE_PLACE_STANDBY;
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].how, PORT_MOVE_PREEMPT);
	assert_true(fake.th[s].stays);
}

static void test_remote_infinite_slice_is_handed_on(void **state)
{
	fill(s, 0);
	txn->slice_ns = GHOST_SLICE_INF;
	assert_int_equal(commit_for(CPU), GHOST_TXN_COMMITTED);
	assert_true(fake.th[s].slice_ns == GHOST_SLICE_INF);
}

static void test_remote_decision_makes_the_agent_there_stale(void **state)
{
	__u32 t = thread_in(CORE_TASK_CUSTODY), flags[] = { 0, GHOST_COMMIT_ELIDE_AGENT_SEQ };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		struct ghost_txn local = txn_good(t, CPU);

		assert_int_equal(commit(GHOST_SLOT_NONE, flags[i]), GHOST_TXN_YIELDED);
		*txn = local;
		agent_of(CPU);
		assert_int_equal(txn_commit_local(1, CPU, c),
				 flags[i] ? GHOST_TXN_COMMITTED : GHOST_TXN_AGENT_STALE);
		agent_of(HERE);
	}
}

/* Both ways, with each slot, also where nothing else depends on it. */
static void test_remote_number_of_the_agent_there_advances_as_asked(void **state)
{
	static const __u32 flags[] = { 0, GHOST_COMMIT_ELIDE_AGENT_SEQ,
				       GHOST_COMMIT_AGENT_SEQ_ON_FAILURE };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		setup(NULL);
		assert_int_equal(commit(s, flags[i]), GHOST_TXN_COMMITTED);
		assert_int_equal(page->agent_seq, 40 + (flags[i] != GHOST_COMMIT_ELIDE_AGENT_SEQ));
		setup(NULL);
		assert_int_equal(commit(GHOST_SLOT_IDLE, flags[i]), GHOST_TXN_YIELDED);
		assert_int_equal(page->agent_seq, 40 + (flags[i] != GHOST_COMMIT_ELIDE_AGENT_SEQ));
		setup(NULL);
		fill(s, flags[i]);
		txn->task_seq--;
		assert_int_equal(commit_for(CPU), GHOST_TXN_TASK_STALE);
		assert_int_equal(page->agent_seq,
				 40 + (flags[i] == GHOST_COMMIT_AGENT_SEQ_ON_FAILURE));
		/* Nobody else's. */
		assert_int_equal(fake.page[1][OTHER].agent_seq, 0);
	}
}

static void test_remote_about_nobody_takes_the_member_off(void **state)
{
	static const __u32 slots[] = { GHOST_SLOT_NONE, GHOST_SLOT_IDLE };

	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		__u32 m;

		setup(NULL);
		assert_int_equal(commit(slots[i], 0), GHOST_TXN_YIELDED);
		assert_untouched(); /* there is nobody */
		m = member_there();
		assert_int_equal(commit(slots[i], 0), GHOST_TXN_YIELDED);
		assert_int_equal(fake.preempts[CPU], 1);
		assert_int_equal(c->displaced, m);
		put_back(m, CPU);
		assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, m).reason, GHOST_PREEMPT_COMMIT);
		assert_int_equal(c->displaced, 0);
		assert_int_equal(c->runs, 0);
		assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	}
}

/* It is on its way to the CPU: there is nobody yet to be preempted, but "carried out" is the answer. */
static void test_remote_about_nobody_takes_off_one_that_has_not_run_yet(void **state)
{
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(commit(GHOST_SLOT_NONE, 0), GHOST_TXN_YIELDED);
	memset(fake.preempts, 0, sizeof(fake.preempts));
	thread_run(s, CPU);
	assert_int_equal(fake.preempts[CPU], 1);
}

static void test_remote_about_the_agent_is_a_ping(void **state)
{
	__u32 m = member_there();

	assert_int_equal(commit(GHOST_SLOT_AGENT, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.kicks[CPU], 0);
	assert_int_equal(fake.preempts[CPU], 0);
	assert_int_equal(c->runs, m);
	thread_block(m);
	cpu_idle_set(fake_es(1), CPU);
	assert_int_equal(commit(GHOST_SLOT_AGENT, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.kicks[CPU], 1);
	assert_false(cpu_is_idle(fake_es(1), CPU));
}

/* --- the member that ran there ------------------------------------------------------------- */

static void test_remote_displaced_member_is_told_who_took_its_cpu(void **state)
{
	__u32 m = member_there();

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].how, PORT_MOVE_PREEMPT);
	assert_int_equal(c->runs, s);
	put_back(m, CPU);
	assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, m).reason, GHOST_PREEMPT_COMMIT);
	assert_int_equal(fake.task[m].state, CORE_TASK_CUSTODY);
	assert_int_equal(c->runs, s); /* not forgotten by that */
	thread_run(s, CPU);
	put_back(s, CPU);
	assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, s).reason, GHOST_PREEMPT_SLICE);
}

static void test_remote_elided_preemption_is_only_in_the_table(void **state)
{
	__u32 m = member_there(), seq = fake.task[m].seq, told = fake.page[1][0].agent_seq;

	assert_int_equal(commit(s, GHOST_RUN_ELIDE_PREEMPT), GHOST_TXN_COMMITTED);
	put_back(m, CPU);
	expect_no_msg();
	assert_int_equal(fake.task[m].seq, seq + 1); /* an old commit does not fit */
	assert_status(m, GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	assert_int_equal(fake.th[m].place, FAKE_CUSTODY);
	assert_int_equal(fake.page[1][0].agent_seq, told);
	/* It is about that one only. */
	thread_run(s, CPU);
	put_back(s, CPU);
	expect_of(GHOST_MSG_TASK_PREEMPT, s);
	/* Taken off for nobody, the same. */
	m = member_there();
	assert_int_equal(commit(GHOST_SLOT_NONE, GHOST_RUN_ELIDE_PREEMPT), GHOST_TXN_YIELDED);
	put_back(m, CPU);
	expect_no_msg();
	/* And the next is none of it. */
	m = member_there();
	assert_int_equal(commit(GHOST_SLOT_NONE, 0), GHOST_TXN_YIELDED);
	put_back(m, CPU);
	expect_of(GHOST_MSG_TASK_PREEMPT, m);
}

/* It went by itself before anybody took it off: that is what is told. */
static void test_remote_member_that_blocks_first_was_not_displaced(void **state)
{
	__u32 m = member_there();

	assert_int_equal(commit(s, GHOST_RUN_ELIDE_PREEMPT), GHOST_TXN_COMMITTED);
	thread_block(m);
	expect_of(GHOST_MSG_TASK_BLOCKED, m);
	assert_int_equal(c->displaced, 0);
	assert_int_equal(c->runs, s);
}

static void test_remote_yield_of_a_displaced_member_is_told_as_yield(void **state)
{
	__u32 m = member_there();

	event_task_yield(m);
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	put_back(m, CPU);
	expect_of(GHOST_MSG_TASK_YIELD, m);
}

/* The heartbeat and a commit at once: the commit is why it left, and the next one is not kicked. */
static void test_remote_commit_uses_up_the_heartbeats_kick(void **state)
{
	__u32 m = member_there();

	c->kicked = 1;
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	put_back(m, CPU);
	assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, m).reason, GHOST_PREEMPT_COMMIT);
	thread_run(s, CPU);
	put_back(s, CPU);
	assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, s).reason, GHOST_PREEMPT_SLICE);
}

/* Two commits in a row before the first displaced one is off: both were displaced. */
static void test_remote_second_commit_does_not_make_the_first_displacement_a_slice(void **state)
{
	__u32 m = member_there(), t = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(commit(t, 0), GHOST_TXN_COMMITTED);
	put_back(m, CPU);
	assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, m).reason, GHOST_PREEMPT_COMMIT);
}

/*
 * One that was committed and not there yet is displaced as well: it comes back
 * by itself. Nobody of a higher class is the reason, and the CPU is not theirs.
 */
static void test_remote_displaced_before_it_ran_does_not_make_the_cpu_taken(void **state)
{
	__u32 t = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(commit(t, 0), GHOST_TXN_COMMITTED);
	thread_run(t, CPU);
	thread_stop(s);
	thread_enqueue(s, EVENT_LATCH, CPU);
	assert_int_equal(c->taken, 0);
	assert_int_equal(page->state, GHOST_CPU_AVAILABLE);
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
}

/* --- back and back again ------------------------------------------------------------------- */

/* The two take CPU from each other until one has come back as often as it may. Returns that one. */
static __u32 two_that_never_run(__u32 a, __u32 b)
{
	__u32 there = a, next = b;

	assert_int_equal(commit(there, 0), GHOST_TXN_COMMITTED);
	while (fake.task[there].returns < CORE_RETURNS_STAY) {
		assert_false(fake.th[there].stays);
		assert_int_equal(commit(next, 0), GHOST_TXN_COMMITTED);
		thread_stop(there);
		assert_int_equal(thread_enqueue(there, EVENT_LATCH, CPU), EVENT_CUSTODY);
		drop_msgs();
		there = there == a ? b : a;
		next = next == a ? b : a;
	}
	assert_int_equal(fake.task[there].state, CORE_TASK_LATCHED);
	return there;
}

/* Linux 7.3 throws the scheduler out for the 257th return; see CORE_RETURNS_STAY. */
static void test_remote_thread_that_came_back_too_often_stays_until_it_runs(void **state)
{
	__u32 t = thread_in(CORE_TASK_CUSTODY), there = two_that_never_run(s, t);
	__u32 other = there == s ? t : s;

	/* Others may go before it, but the kernel leaves it on the queue of its CPU. */
	assert_true(fake.th[there].stays);
	assert_int_equal(commit(other, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(c->displaced, there);
	assert_int_equal(fake.task[there].state, CORE_TASK_LATCHED);
	/* When it runs it makes room at once, and begins to count anew. */
	fake.preempts[CPU] = 0;
	thread_run(there, CPU);
	assert_int_equal(fake.preempts[CPU], 1);
	assert_int_equal(fake.task[there].returns, 0);
}

static void test_remote_thread_that_stays_can_be_told_to_leave(void **state)
{
	__u32 there = two_that_never_run(s, thread_in(CORE_TASK_CUSTODY));

	assert_int_equal(commit(GHOST_SLOT_IDLE, 0), GHOST_TXN_YIELDED);
	assert_int_equal(c->displaced, there);
	fake.preempts[CPU] = 0;
	thread_run(there, CPU);
	assert_int_equal(fake.preempts[CPU], 1);
}

/* Others of the enclave and other CPUs are no concern of one that stays. */
static void test_remote_thread_that_stays_is_in_the_way_of_its_cpu_only(void **state)
{
	__u32 t = thread_in(CORE_TASK_CUSTODY), there = two_that_never_run(s, t);
	__u32 other = there == s ? t : s;

	fake.rw[1][OTHER].txn = txn_good(other, OTHER);
	assert_int_equal(commit_for(OTHER), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[other].stays, fake.task[other].returns >= CORE_RETURNS_STAY);
}

/* --- refused -------------------------------------------------------------------------------- */

static void test_remote_stale_task_number_is_refused(void **state)
{
	fill(s, 0);
	txn->task_seq--;
	assert_int_equal(commit_for(CPU), GHOST_TXN_TASK_STALE);
	fill(s, 0);
	txn->task_seq++;
	assert_int_equal(commit_for(CPU), GHOST_TXN_TASK_STALE);
	fill(s, 0);
	thread_nice(s, 3);
	assert_int_equal(commit_for(CPU), GHOST_TXN_TASK_STALE);
	assert_untouched();
}

static void test_remote_thread_that_is_not_the_enclaves_is_not_found(void **state)
{
	__u32 theirs = thread_join(2, 900, ALL_CPUS, 1);

	thread_enqueue(theirs, EVENT_WAKEUP, 4);
	assert_int_equal(commit(theirs, 0), GHOST_TXN_NOT_FOUND);
	assert_int_equal(commit(FAKE_SLOTS - 1, 0), GHOST_TXN_NOT_FOUND);
	assert_int_equal(fake.th[theirs].place, FAKE_CUSTODY);
	assert_int_equal(fake.task[theirs].state, CORE_TASK_CUSTODY);
	assert_untouched();
	thread_gone(s, 1);
	assert_int_equal(commit(s, 0), GHOST_TXN_NOT_FOUND);
}

static void test_remote_thread_that_does_not_wait_is_not_runnable(void **state)
{
	__u32 b = thread_in(CORE_TASK_BLOCKED), n = thread_in(CORE_TASK_NEW);

	assert_int_equal(commit(b, 0), GHOST_TXN_NOT_RUNNABLE);
	assert_int_equal(commit(n, 0), GHOST_TXN_NOT_RUNNABLE);
	/* Nor does it help to say that it may be on the CPU. */
	assert_int_equal(commit(b, GHOST_COMMIT_ALLOW_TASK_ON_CPU), GHOST_TXN_NOT_RUNNABLE);
	assert_untouched();
}

static void test_remote_thread_that_is_on_a_cpu_is_on_cpu(void **state)
{
	__u32 f = thread_in(CORE_TASK_FALLBACK);

	assert_int_equal(commit(f, 0), GHOST_TXN_ON_CPU);
	assert_int_equal(commit(f, GHOST_COMMIT_ALLOW_TASK_ON_CPU), GHOST_TXN_ON_CPU);
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	assert_int_equal(commit(s, 0), GHOST_TXN_ON_CPU);
	thread_run(s, CPU);
	assert_int_equal(commit(s, 0), GHOST_TXN_ON_CPU);
	assert_int_equal(fake.nr_moves, 1);
}

/* "Leave it" is about that CPU, and changes nothing. */
static void test_remote_thread_that_may_be_there_already_is_left_there(void **state)
{
	struct ghost_txn *other = &fake.rw[1][OTHER].txn;
	struct core_cpu was;

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	was = *c;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(commit(s, GHOST_COMMIT_ALLOW_TASK_ON_CPU), GHOST_TXN_COMMITTED);
		*other = txn_good(s, OTHER);
		other->flags = GHOST_COMMIT_ALLOW_TASK_ON_CPU;
		assert_int_equal(commit_for(OTHER), GHOST_TXN_ON_CPU);
		assert_memory_equal(c, &was, sizeof(was));
		assert_int_equal(fake.cpu[OTHER].runs, 0);
		assert_int_equal(fake.preempts[CPU], 0);
		thread_run(s, CPU);
	}
	assert_int_equal(fake.nr_moves, 1);
	/* Its own CPU is not occupied for it. */
	assert_int_equal(commit(s, GHOST_COMMIT_ALLOW_TASK_ON_CPU | GHOST_RUN_DO_NOT_PREEMPT),
			 GHOST_TXN_COMMITTED);
	fill(s, GHOST_COMMIT_ALLOW_TASK_ON_CPU);
	txn->task_seq--;
	assert_int_equal(commit_for(CPU), GHOST_TXN_TASK_STALE);
}

static void test_remote_against_affinity_is_not_allowed(void **state)
{
	thread_affinity(s, 0xf & ~(1 << CPU));
	assert_int_equal(commit(s, 0), GHOST_TXN_NOT_ALLOWED);
	assert_untouched();
	/* The kernel's word counts: migration disabled. */
	thread_affinity(s, 0xf);
	fake.th[s].cpus[0] = 1;
	assert_int_equal(commit(s, 0), GHOST_TXN_NOT_ALLOWED);
	assert_untouched();
}

static void test_remote_thread_on_its_way_into_custody_is_to_be_tried_again(void **state)
{
	fake.th[s].place = FAKE_NOWHERE;
	assert_int_equal(commit(s, 0), GHOST_TXN_AGAIN);
	assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
	fake_into_custody(s);
	assert_untouched();
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
}

static void test_remote_thread_that_another_commit_has_claimed_is_to_be_tried_again(void **state)
{
	fake.task[s].state = CORE_TASK_CLAIMED + OTHER;
	assert_int_equal(commit(s, 0), GHOST_TXN_AGAIN);
	assert_int_equal(commit(s, GHOST_COMMIT_ALLOW_TASK_ON_CPU), GHOST_TXN_AGAIN);
	assert_int_equal(fake.task[s].state, CORE_TASK_CLAIMED + OTHER);
	/* Not even for the CPU for which it is claimed: that one may still fail. */
	fake.task[s].state = CORE_TASK_CLAIMED + CPU;
	c->runs = s;
	assert_int_equal(commit(s, GHOST_COMMIT_ALLOW_TASK_ON_CPU), GHOST_TXN_AGAIN);
}

static void test_remote_each_contradiction_of_flags_is_invalid(void **state)
{
	static const struct {
		__u32 slot, flags; /* slot 1: the thread */
	} wrong[] = {
		{ 1, GHOST_RUN_NEED_CPU_NOT_IDLE },
		{ GHOST_SLOT_NONE, GHOST_RUN_NEED_CPU_NOT_IDLE },
		{ GHOST_SLOT_AGENT, GHOST_RUN_NEED_CPU_NOT_IDLE },
		{ GHOST_SLOT_IDLE, GHOST_RUN_RTLA_ON_IDLE },
		{ GHOST_SLOT_IDLE, GHOST_RUN_RTLA_ON_IDLE | GHOST_RUN_NEED_CPU_NOT_IDLE },
		{ GHOST_SLOT_AGENT, GHOST_RUN_RTLA_ON_IDLE },
		{ GHOST_SLOT_AGENT, GHOST_RUN_RTLA_ON_PREEMPT },
		{ GHOST_SLOT_AGENT, GHOST_RUN_RTLA_ON_BLOCKED },
		{ GHOST_SLOT_AGENT, GHOST_RUN_RTLA_ON_YIELD },
		{ GHOST_SLOT_AGENT, GHOST_RUN_ELIDE_PREEMPT },
		{ GHOST_SLOT_AGENT, GHOST_RUN_SEND_TASK_ON_CPU },
		{ GHOST_SLOT_AGENT, GHOST_RUN_DO_NOT_PREEMPT },
		{ GHOST_SLOT_NONE, GHOST_RUN_SLICE_TIMER },
		{ GHOST_SLOT_IDLE, GHOST_RUN_SLICE_TIMER },
		{ GHOST_SLOT_AGENT, GHOST_RUN_SLICE_TIMER },
		{ 1, GHOST_COMMIT_ELIDE_AGENT_SEQ | GHOST_COMMIT_AGENT_SEQ_ON_FAILURE },
		{ GHOST_SLOT_NONE,
		  GHOST_COMMIT_ELIDE_AGENT_SEQ | GHOST_COMMIT_AGENT_SEQ_ON_FAILURE },
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		__u32 slot = wrong[i].slot == 1 ? s : wrong[i].slot;

		assert_int_equal(commit(slot, wrong[i].flags), GHOST_TXN_INVALID);
		assert_untouched();
	}
	for (int bit = 0; bit < 32; bit++)
		if (!(1u << bit & GHOST_TXN_FLAGS)) {
			assert_int_equal(commit(s, 1u << bit), GHOST_TXN_INVALID);
			assert_int_equal(commit(GHOST_SLOT_IDLE, 1u << bit), GHOST_TXN_INVALID);
			assert_int_equal(commit(GHOST_SLOT_AGENT, 1u << bit), GHOST_TXN_INVALID);
		}
	fill(s, 0);
	txn->slice_ns = 0;
	assert_int_equal(commit_for(CPU), GHOST_TXN_INVALID);
	assert_untouched();
}

/* And each flag alone, where it means something, is not. */
static void test_remote_each_flag_is_accepted_where_it_means_something(void **state)
{
	for (int bit = 0; bit < 32; bit++) {
		__u32 flag = 1u << bit;

		if (!(flag & GHOST_TXN_FLAGS))
			continue;
		setup(NULL);
		if (flag == GHOST_RUN_NEED_CPU_NOT_IDLE)
			assert_int_equal(commit(GHOST_SLOT_IDLE, flag), GHOST_TXN_YIELDED);
		else
			assert_int_equal(commit(s, flag), GHOST_TXN_COMMITTED);
		if (flag != GHOST_RUN_NEED_CPU_NOT_IDLE && flag != GHOST_RUN_SLICE_TIMER)
			assert_int_equal(commit(GHOST_SLOT_NONE, flag), GHOST_TXN_YIELDED);
		if (flag > 0xffff)
			assert_int_equal(commit(GHOST_SLOT_AGENT, flag), GHOST_TXN_COMMITTED);
	}
}

static void test_remote_slot_out_of_range_is_invalid(void **state)
{
	static const __u32 slots[] = { FAKE_SLOTS, FAKE_SLOTS + 1, 1u << 20, 1u << 31, ~0u - 2 };

	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		assert_int_equal(commit(slots[i], 0), GHOST_TXN_INVALID);
	assert_untouched();
}

static void test_remote_cpu_of_a_higher_class_is_unavailable(void **state)
{
	cpu_busy(CPU, 0);
	assert_int_equal(commit(s, 0), GHOST_TXN_CPU_UNAVAIL);
	assert_int_equal(commit(s, GHOST_RUN_DO_NOT_PREEMPT), GHOST_TXN_CPU_UNAVAIL);
	assert_untouched();
	/* To take off what is not there, or to ping, is no less true for that. */
	assert_int_equal(commit(GHOST_SLOT_NONE, 0), GHOST_TXN_YIELDED);
	assert_int_equal(commit(GHOST_SLOT_IDLE, 0), GHOST_TXN_YIELDED);
	assert_int_equal(commit(GHOST_SLOT_AGENT, 0), GHOST_TXN_COMMITTED);
	cpu_ours(CPU);
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
}

static void test_remote_cpu_that_is_offline_is_offline(void **state)
{
	static const __u32 slots[] = { 1, GHOST_SLOT_NONE, GHOST_SLOT_IDLE, GHOST_SLOT_AGENT };

	c->spins = 1; /* or the enclave had lost its agents */
	enclave_cpu_offline(CPU);
	assert_int_equal(page->state, GHOST_CPU_OFF);
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		assert_int_equal(commit(slots[i] == 1 ? s : slots[i], 0), GHOST_TXN_CPU_OFFLINE);
	assert_untouched();
	enclave_cpu_online(CPU);
	assert_int_equal(page->state, GHOST_CPU_AVAILABLE);
	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
}

static void test_remote_cpu_without_an_agent_has_none(void **state)
{
	static const __u32 slots[] = { 1, GHOST_SLOT_NONE, GHOST_SLOT_IDLE, GHOST_SLOT_AGENT };

	/* It has just died, and the enclave is about to be lost. */
	assert_int_equal(agent_detach(1, CPU), TID(CPU));
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		assert_int_equal(commit(slots[i] == 1 ? s : slots[i], 0), GHOST_TXN_NO_AGENT);
	assert_untouched();
}

static void test_remote_cpu_that_runs_another_is_occupied_if_it_may_not_be_preempted(void **state)
{
	__u32 m = member_there();
	struct core_cpu was = *c;

	assert_int_equal(commit(s, GHOST_RUN_DO_NOT_PREEMPT), GHOST_TXN_CPU_OCCUPIED);
	assert_memory_equal(c, &was, sizeof(was));
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	assert_int_equal(fake.task[s].state, CORE_TASK_CUSTODY);
	assert_int_equal(fake.preempts[CPU], 0);
	thread_block(m);
	assert_int_equal(commit(s, GHOST_RUN_DO_NOT_PREEMPT), GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].how, PORT_MOVE_THERE);
	/* It is occupied from the commit on, not from when it runs. */
	m = thread_in(CORE_TASK_CUSTODY);
	assert_int_equal(commit(m, GHOST_RUN_DO_NOT_PREEMPT), GHOST_TXN_CPU_OCCUPIED);
}

static void test_remote_cpu_of_another_enclave_is_invalid(void **state)
{
	static const __u32 cpus[] = { 4, 5, 6, 7, FAKE_CPUS, FAKE_QUEUES - 1 };

	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		struct ghost_txn *slot = &fake.rw[1][cpus[i] % FAKE_QUEUES].txn;
		struct ghost_ctl ctl = { .enclave = 1 };
		__u32 theirs = fake.page[2][4].agent_seq;

		*slot = txn_good(s, CPU);
		ctl.cpus[cpus[i] / 64] = 1ull << (cpus[i] % 64);
		assert_int_equal(ask(&ctl), 0);
		assert_int_equal(ctl.len, 0);
		assert_int_equal(slot->state, GHOST_TXN_INVALID_CPU);
		*slot = txn_good(GHOST_SLOT_AGENT, CPU);
		assert_int_equal(ask(&ctl), 0);
		assert_int_equal(slot->state, GHOST_TXN_INVALID_CPU);
		assert_int_equal(fake.page[2][4].agent_seq, theirs);
	}
	assert_untouched();
}

/* --- in the middle ---------------------------------------------------------------------------- */

static void affinity_changes(void)
{
	thread_affinity(s, 0xd); /* not CPU 1 any more */
}

static void nice_changes_half(void)
{
	fake.th[s].place = FAKE_NOWHERE;
	thread_nice(s, 4);
}

static void dies(void)
{
	thread_gone(s, 1);
}

static void reenters(void)
{
	fake.th[s].place = FAKE_NOWHERE;
	thread_enqueue(s, EVENT_RESTORE, 0);
}

static void test_remote_change_in_the_middle_never_moves_the_thread(void **state)
{
	static const struct {
		enum fake_point at;
		void (*what)(void);
		__u32 want, then;
	} cases[] = {
		{ FAKE_AT_OPEN, affinity_changes, GHOST_TXN_TASK_STALE, CORE_TASK_CUSTODY },
		{ FAKE_AT_ALLOWED, affinity_changes, GHOST_TXN_NOT_ALLOWED, CORE_TASK_CUSTODY },
		{ FAKE_AT_MOVE, affinity_changes, GHOST_TXN_TASK_STALE, CORE_TASK_CUSTODY },
		{ FAKE_AT_MOVE, nice_changes_half, GHOST_TXN_TASK_STALE, CORE_TASK_CUSTODY },
		{ FAKE_AT_OPEN, reenters, GHOST_TXN_AGAIN, CORE_TASK_CUSTODY },
		{ FAKE_AT_ALLOWED, reenters, GHOST_TXN_AGAIN, CORE_TASK_CUSTODY },
		{ FAKE_AT_MOVE, reenters, GHOST_TXN_TASK_STALE, CORE_TASK_CUSTODY },
		{ FAKE_AT_OPEN, dies, GHOST_TXN_TASK_STALE, CORE_TASK_ABSENT },
		{ FAKE_AT_ALLOWED, dies, GHOST_TXN_AGAIN, CORE_TASK_ABSENT },
		{ FAKE_AT_MOVE, dies, GHOST_TXN_TASK_STALE, CORE_TASK_ABSENT },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		__u32 m, elide;

		setup(NULL);
		m = member_there();
		elide = c->elide;
		fake.hook[cases[i].at] = cases[i].what;
		assert_int_equal(commit(s, 0), cases[i].want);
		assert_int_equal(fake.task[s].state, cases[i].then);
		assert_int_equal(fake.nr_moves, 0);
		/* The one that runs there goes on as if nobody had asked. */
		assert_int_equal(c->runs, m);
		assert_int_equal(c->displaced, 0);
		assert_int_equal(c->elide, elide);
		assert_int_equal(fake.task[s].run, 0);
		put_back(m, CPU);
		drop_msgs();
		if (cases[i].what == nice_changes_half)
			thread_enqueue(s, EVENT_RESTORE, 0);
		if (cases[i].then == CORE_TASK_CUSTODY)
			assert_status(s, GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	}
}

/* "Refused, nothing changed": also not what an earlier commit has asked for that CPU. */
static void test_remote_refused_one_leaves_what_an_earlier_one_asked_for(void **state)
{
	__u32 m = member_there(), t;

	fill(s, GHOST_RUN_RTLA_ON_IDLE);
	assert_int_equal(commit_for(CPU), GHOST_TXN_COMMITTED);
	put_back(m, CPU);
	thread_run(s, CPU);
	assert_int_equal(c->rtla_idle, 1);
	t = thread_in(CORE_TASK_CUSTODY);
	fake.th[t].place = FAKE_NOWHERE; /* fails in the last step */
	assert_int_equal(commit(t, 0), GHOST_TXN_AGAIN);
	assert_int_equal(c->rtla_idle, 1);
	assert_int_equal(c->runs, s);
}

static void test_remote_refused_one_leaves_the_displacement_by_an_earlier_one(void **state)
{
	__u32 m = member_there(), t = thread_in(CORE_TASK_CUSTODY);

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	fake.th[t].place = FAKE_NOWHERE; /* fails in the last step */
	assert_int_equal(commit(t, GHOST_RUN_ELIDE_PREEMPT), GHOST_TXN_AGAIN);
	assert_int_equal(c->runs, s);
	put_back(m, CPU);
	assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, m).reason, GHOST_PREEMPT_COMMIT);
}

/* The member that ran there went meanwhile: it is not there any more because we failed. */
static __u32 runs_there;

static void member_leaves_and_thread_slips_away(void)
{
	thread_block(runs_there);
	reenters();
}

static void test_remote_refused_one_does_not_bring_back_a_member_that_left(void **state)
{
	runs_there = member_there();
	fake.hook[FAKE_AT_MOVE] = member_leaves_and_thread_slips_away;
	fill(s, 0);
	assert_int_equal(commit_all(1 << CPU), 0);
	assert_int_equal(txn->state, GHOST_TXN_TASK_STALE);
	assert_int_equal(c->runs, 0);
	assert_int_equal(commit(s, GHOST_RUN_DO_NOT_PREEMPT), GHOST_TXN_COMMITTED);
}

/* The CPU is faster than the one who commits for it. */
static void runs(void)
{
	thread_run(s, CPU);
}

static void runs_and_blocks(void)
{
	thread_run(s, CPU);
	thread_block(s);
}

static void runs_and_is_put_back(void)
{
	thread_run(s, CPU);
	thread_stop(s);
	thread_enqueue(s, EVENT_SLICE, CPU);
}

static void comes_back_unrun(void)
{
	thread_stop(s);
	thread_enqueue(s, EVENT_LATCH, CPU);
}

static void runs_and_dies(void)
{
	thread_run(s, CPU);
	thread_gone(s, 1);
}

static void test_remote_thread_that_ran_before_the_commit_knew_is_where_it_says(void **state)
{
	static const struct {
		void (*what)(void);
		__u32 then, flags;
	} cases[] = {
		{ runs, CORE_TASK_RUNNING, GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU },
		{ runs_and_blocks, CORE_TASK_BLOCKED, GHOST_STATUS_INUSE },
		{ runs_and_is_put_back, CORE_TASK_CUSTODY,
		  GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE },
		{ comes_back_unrun, CORE_TASK_CUSTODY, GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE },
		{ runs_and_dies, CORE_TASK_ABSENT, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		fake.hook[FAKE_AT_MOVED] = cases[i].what;
		assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
		assert_int_equal(fake.task[s].state, cases[i].then);
		assert_status(s, cases[i].flags);
		assert_int_equal(c->runs, cases[i].then == CORE_TASK_RUNNING ? s : 0);
	}
}

static __u32 rival_state;

/* Another agent commits the same thread for its own CPU. */
static void rival(void)
{
	rival_state = thread_commit(s, OTHER);
}

static void test_remote_of_two_for_one_thread_one_wins(void **state)
{
	static const struct {
		enum fake_point at;
		__u32 ours, theirs;
	} cases[] = {
		{ FAKE_AT_OPEN, GHOST_TXN_ON_CPU, GHOST_TXN_COMMITTED },
		{ FAKE_AT_ALLOWED, GHOST_TXN_AGAIN, GHOST_TXN_COMMITTED },
		{ FAKE_AT_MOVE, GHOST_TXN_COMMITTED, GHOST_TXN_AGAIN },
		{ FAKE_AT_MOVED, GHOST_TXN_COMMITTED, GHOST_TXN_AGAIN },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		__u32 cpu = cases[i].ours == GHOST_TXN_COMMITTED ? CPU : OTHER;

		setup(NULL);
		fill(s, 0);
		fake.hook[cases[i].at] = rival;
		commit_all(1 << CPU);
		assert_int_equal(txn->state, cases[i].ours);
		assert_int_equal(rival_state, cases[i].theirs);
		assert_int_equal(fake.nr_moves, 1);
		assert_int_equal(fake.th[s].cpu, cpu);
		assert_int_equal(fake.task[s].state, CORE_TASK_LATCHED);
		assert_int_equal(fake.cpu[cpu].runs, s);
		assert_int_equal(fake.cpu[CPU + OTHER - cpu].runs, 0);
	}
}

/* The agent's memory changes under the commit: what was checked is what is used. */
static void scribble(void)
{
	*txn = (struct ghost_txn){
		.slot = GHOST_SLOT_AGENT,
		.task_seq = ~0u,
		.slice_ns = 0,
		.flags = ~0u,
		.ping_cpu = 2,
		.state = 77,
	};
}

static void test_remote_fields_changed_during_the_commit_are_not_read_again(void **state)
{
	static const enum fake_point points[] = { FAKE_AT_ALLOWED, FAKE_AT_MOVE, FAKE_AT_MOVED };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		setup(NULL);
		fill(s, GHOST_RUN_SEND_TASK_ON_CPU);
		fake.hook[points[i]] = scribble;
		assert_int_equal(commit_all(1 << CPU), 1);
		assert_int_equal(txn->state, GHOST_TXN_COMMITTED);
		assert_int_equal(fake.th[s].slice_ns, SLICE_NS);
		assert_int_equal(fake.task[s].run, GHOST_RUN_SEND_TASK_ON_CPU);
		assert_int_equal(page->agent_seq, 41);
		assert_int_equal(fake.page[1][2].agent_seq, 0);
	}
}

/* --- slices that a timer ends ----------------------------------------------------------------------- */

static __u32 timed(__u32 slot)
{
	return commit(slot, GHOST_RUN_SLICE_TIMER);
}

/* Somebody who waits, other than @s. */
static __u32 one_waits(void)
{
	return thread_in(CORE_TASK_CUSTODY);
}

static void test_remote_timer_is_started_for_the_slice_and_the_kernel_has_none(void **state)
{
	assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
	assert_true(fake.slice_timer_ns[CPU] == SLICE_NS);
	assert_true(fake.th[s].slice_ns == GHOST_SLICE_INF);
}

static void test_remote_without_the_flag_no_timer_is_started(void **state)
{
	assert_int_equal(commit(s, GHOST_TXN_FLAGS & 0xffff & ~GHOST_RUN_SLICE_TIMER &
					   ~GHOST_RUN_NEED_CPU_NOT_IDLE),
			 GHOST_TXN_COMMITTED);
	assert_true(fake.slice_timer_ns[CPU] == 0);
	assert_true(fake.th[s].slice_ns == SLICE_NS);
}

static void test_remote_slice_ends_at_a_tick_where_no_timer_can_be_had(void **state)
{
	fake.slice_timer_err = -E_NOSPC;
	assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
	assert_true(fake.th[s].slice_ns == SLICE_NS);
}

static void test_remote_timer_has_a_least_and_a_most(void **state)
{
	static const __u64 slices[] = { 1, GHOST_TIMER_MIN_NS - 1, GHOST_TIMER_MAX_NS + 1,
					GHOST_SLICE_INF };

	for (size_t i = 0; i < ARRAY_LEN(slices); i++) {
		fill(s, GHOST_RUN_SLICE_TIMER);
		txn->slice_ns = slices[i];
		assert_int_equal(commit_for(CPU), GHOST_TXN_INVALID);
		assert_untouched();
	}
	assert_true(fake.slice_timer_ns[CPU] == 0);
}

static void test_remote_timer_takes_the_cpu_for_whoever_waits(void **state)
{
	__u32 w = one_waits();

	assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
	thread_run(s, CPU);
	drop_msgs();
	fake.preempts[CPU] = 0;
	/* Too early: what is left of it, but no timer of less than the kernel can do. */
	fake.now += 5000;
	assert_true(txn_slice_over(CPU) == 20000);
	fake.now += 19999;
	assert_true(txn_slice_over(CPU) == GHOST_TIMER_MIN_NS);
	assert_int_equal(fake.preempts[CPU], 0);
	fake.now += 1;
	assert_true(txn_slice_over(CPU) == 0);
	assert_int_equal(fake.preempts[CPU], 1);
	put_back(s, CPU);
	assert_int_equal(expect_of(GHOST_MSG_TASK_PREEMPT, s).reason, GHOST_PREEMPT_SLICE);
	assert_int_equal(fake.task[w].state, CORE_TASK_CUSTODY);
	/* Once. */
	assert_true(txn_slice_over(CPU) == 0);
	assert_int_equal(fake.preempts[CPU], 1);
}

static void test_remote_timer_leaves_the_thread_alone_when_nobody_waits(void **state)
{
	assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
	thread_run(s, CPU);
	fake.preempts[CPU] = 0;
	fake.now += SLICE_NS;
	/* Nor does it come again: what is later is up to the agent. */
	assert_true(txn_slice_over(CPU) == 0);
	assert_int_equal(fake.preempts[CPU], 0);
}

static void test_remote_timer_counts_from_when_the_thread_is_there(void **state)
{
	one_waits();
	assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
	fake.now += 7 * SLICE_NS;
	fake.preempts[CPU] = 0;
	assert_true(txn_slice_over(CPU) == SLICE_NS);
	thread_run(s, CPU);
	fake.preempts[CPU] = 0;
	fake.now += SLICE_NS - 1;
	assert_true(txn_slice_over(CPU) > 0);
	assert_int_equal(fake.preempts[CPU], 0);
	fake.now += 1;
	assert_true(txn_slice_over(CPU) == 0);
	assert_int_equal(fake.preempts[CPU], 1);
}

static __u64 over_at_move;

static void expires(void)
{
	over_at_move = txn_slice_over(CPU);
}

/* It may expire while the commit is under way. */
static void test_remote_timer_that_comes_before_the_thread_is_moved_comes_again(void **state)
{
	one_waits();
	fake.hook[FAKE_AT_MOVE] = expires;
	assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
	assert_true(over_at_move == SLICE_NS);
	thread_run(s, CPU);
	fake.now += SLICE_NS;
	fake.preempts[CPU] = 0;
	assert_true(txn_slice_over(CPU) == 0);
	assert_int_equal(fake.preempts[CPU], 1);
}

static void test_remote_timer_knows_when_its_thread_has_left(void **state)
{
	for (int i = 0; i < 5; i++) {
		setup(NULL);
		one_waits();
		assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
		thread_run(s, CPU);
		fake.now += SLICE_NS;
		if (i == 0)
			thread_block(s);
		else if (i == 1)
			thread_gone(s, 1);
		else if (i == 2)
			put_back(s, CPU);
		else if (i == 3)
			fake.enclave[1].state = GHOST_ENCLAVE_LOST;
		else
			c->enclave = 2;
		fake.preempts[CPU] = 0;
		assert_true(txn_slice_over(CPU) == 0);
		assert_int_equal(fake.preempts[CPU], 0);
	}
}

/* The same thread, on the same CPU, by a later commit that did not ask for it; and elsewhere. */
static void test_remote_timer_is_about_one_commit(void **state)
{
	one_waits();
	for (int there = 0; there < 2; there++) {
		assert_int_equal(timed(s), GHOST_TXN_COMMITTED);
		thread_run(s, CPU);
		fake.now += SLICE_NS;
		put_back(s, CPU);
		if (there) {
			fake.rw[1][OTHER].txn = txn_good(s, OTHER);
			assert_int_equal(commit_for(OTHER), GHOST_TXN_COMMITTED);
			thread_run(s, OTHER);
		} else {
			assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
			thread_run(s, CPU);
		}
		fake.now += SLICE_NS;
		memset(fake.preempts, 0, sizeof(fake.preempts));
		assert_true(txn_slice_over(CPU) == 0);
		assert_int_equal(fake.preempts[CPU], 0);
		assert_int_equal(fake.preempts[OTHER], 0);
		put_back(s, there ? OTHER : CPU);
	}
}

static void test_remote_timer_that_never_was_does_nothing(void **state)
{
	one_waits();
	assert_true(txn_slice_over(CPU) == 0);
	assert_true(txn_slice_over(FAKE_CPUS) == 0);
	assert_int_equal(fake.preempts[CPU], 0);
}

/* --- threads that end before they run ------------------------------------------------------------ */

/* It was committed, and leaves before it ran: the CPU is as free as before. */
static void test_remote_thread_that_leaves_before_it_ran_leaves_the_cpu(void **state)
{
	for (int dead = 0; dead < 2; dead++) {
		setup(NULL);
		assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
		thread_gone(s, dead);
		assert_int_equal(c->runs, 0);
		s = thread_in(CORE_TASK_CUSTODY);
		assert_int_equal(commit(s, GHOST_RUN_DO_NOT_PREEMPT), GHOST_TXN_COMMITTED);
	}
}

/* Its affinity changes before it ran: the kernel puts it on the run queue of another CPU. */
static void test_remote_thread_that_is_moved_away_before_it_ran_leaves_the_cpu(void **state)
{
	__u32 t;

	assert_int_equal(commit(s, 0), GHOST_TXN_COMMITTED);
	fake.th[s].place = FAKE_NOWHERE;
	fake_mask_set(1, s, 0xc);
	event_task_affinity(s);
	thread_enqueue(s, EVENT_RESTORE, 3);
	assert_int_equal(c->runs, 0);
	t = thread_in(CORE_TASK_CUSTODY);
	assert_int_equal(commit(t, GHOST_RUN_DO_NOT_PREEMPT), GHOST_TXN_COMMITTED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_remote_only_an_agent_on_its_cpu_may_commit),
		T(test_remote_without_deciding_agents_nothing_is_committed),
		T(test_remote_request_with_an_unknown_flag_is_refused),
		T(test_remote_own_cpu_is_left_alone),
		T(test_remote_only_the_cpus_asked_for_are_looked_at),
		T(test_remote_several_in_one_request_are_each_for_itself),
		T(test_remote_cpus_that_do_not_exist_are_ignored),
		T(test_remote_one_is_taken_once),
		T(test_remote_good_one_moves_the_thread_there),
		T(test_remote_good_one_goes_before_an_agent_that_stands_by),
		T(test_remote_infinite_slice_is_handed_on),
		T(test_remote_decision_makes_the_agent_there_stale),
		T(test_remote_number_of_the_agent_there_advances_as_asked),
		T(test_remote_about_nobody_takes_the_member_off),
		T(test_remote_about_nobody_takes_off_one_that_has_not_run_yet),
		T(test_remote_about_the_agent_is_a_ping),
		T(test_remote_displaced_member_is_told_who_took_its_cpu),
		T(test_remote_elided_preemption_is_only_in_the_table),
		T(test_remote_member_that_blocks_first_was_not_displaced),
		T(test_remote_yield_of_a_displaced_member_is_told_as_yield),
		T(test_remote_commit_uses_up_the_heartbeats_kick),
		T(test_remote_second_commit_does_not_make_the_first_displacement_a_slice),
		T(test_remote_displaced_before_it_ran_does_not_make_the_cpu_taken),
		T(test_remote_thread_that_came_back_too_often_stays_until_it_runs),
		T(test_remote_thread_that_stays_can_be_told_to_leave),
		T(test_remote_thread_that_stays_is_in_the_way_of_its_cpu_only),
		T(test_remote_stale_task_number_is_refused),
		T(test_remote_thread_that_is_not_the_enclaves_is_not_found),
		T(test_remote_thread_that_does_not_wait_is_not_runnable),
		T(test_remote_thread_that_is_on_a_cpu_is_on_cpu),
		T(test_remote_thread_that_may_be_there_already_is_left_there),
		T(test_remote_against_affinity_is_not_allowed),
		T(test_remote_thread_on_its_way_into_custody_is_to_be_tried_again),
		T(test_remote_thread_that_another_commit_has_claimed_is_to_be_tried_again),
		T(test_remote_each_contradiction_of_flags_is_invalid),
		T(test_remote_each_flag_is_accepted_where_it_means_something),
		T(test_remote_slot_out_of_range_is_invalid),
		T(test_remote_cpu_of_a_higher_class_is_unavailable),
		T(test_remote_cpu_that_is_offline_is_offline),
		T(test_remote_cpu_without_an_agent_has_none),
		T(test_remote_cpu_that_runs_another_is_occupied_if_it_may_not_be_preempted),
		T(test_remote_cpu_of_another_enclave_is_invalid),
		T(test_remote_change_in_the_middle_never_moves_the_thread),
		T(test_remote_refused_one_leaves_what_an_earlier_one_asked_for),
		T(test_remote_refused_one_leaves_the_displacement_by_an_earlier_one),
		T(test_remote_refused_one_does_not_bring_back_a_member_that_left),
		T(test_remote_thread_that_ran_before_the_commit_knew_is_where_it_says),
		T(test_remote_of_two_for_one_thread_one_wins),
		T(test_remote_fields_changed_during_the_commit_are_not_read_again),
		T(test_remote_timer_is_started_for_the_slice_and_the_kernel_has_none),
		T(test_remote_without_the_flag_no_timer_is_started),
		T(test_remote_slice_ends_at_a_tick_where_no_timer_can_be_had),
		T(test_remote_timer_has_a_least_and_a_most),
		T(test_remote_timer_takes_the_cpu_for_whoever_waits),
		T(test_remote_timer_leaves_the_thread_alone_when_nobody_waits),
		T(test_remote_timer_counts_from_when_the_thread_is_there),
		T(test_remote_timer_that_comes_before_the_thread_is_moved_comes_again),
		T(test_remote_timer_knows_when_its_thread_has_left),
		T(test_remote_timer_is_about_one_commit),
		T(test_remote_timer_that_never_was_does_nothing),
		T(test_remote_thread_that_leaves_before_it_ran_leaves_the_cpu),
		T(test_remote_thread_that_is_moved_away_before_it_ran_leaves_the_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
