// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contract of commits to other CPUs, of groups, and of picks.
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

static uint32_t reason_of(struct world *w, struct puppet *p)
{
	return expect(w, p, GHOST_MSG_TASK_PREEMPT).reason;
}

/* --- one CPU ---------------------------------------------------------------------- */

static void case_a_remote_commit_runs_a_thread_on_another_cpu(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;
	uint64_t committed;
	uint32_t home;

	agents_up(w);
	p = member_waiting(w);
	home = home_of(w, p);
	committed = page(w, CPU_B)->nr_txn[GHOST_TXN_COMMITTED];
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
	check_is(w, page(w, CPU_B)->nr_txn[GHOST_TXN_COMMITTED], committed + 1);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_ONCPU);
	check_is(w, status_of(w, p)->cpu, CPU_B);
	/* Who hears of it did not change. */
	check_is(w, home_of(w, p), home);
	order(w, p, PUPPET_BLOCK);
	check_is(w, expect(w, p, GHOST_MSG_TASK_BLOCKED).cpu, CPU_B);
}

static void case_a_remote_commit_ignores_the_agents_number(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	t.agent_seq -= 5;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
}

static void case_a_remote_commit_displaces_who_runs_there(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;

	agents_up(w);
	q = member_waiting(w);
	put_on(w, CPU_B, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_B);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
	check_is(w, reason_of(w, q), GHOST_PREEMPT_COMMIT);
	check_is(w, flags_of(w, q), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
}

static void case_who_is_displaced_without_a_word_waits_all_the_same(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;
	uint32_t seq;

	agents_up(w);
	q = member_waiting(w);
	put_on(w, CPU_B, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_B);
	seq = seq_of(w, q);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	t.flags = GHOST_RUN_ELIDE_PREEMPT;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
	expect_none(w, 20);
	check_is(w, flags_of(w, q), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	check_is(w, seq_of(w, q), seq + 1);
	/* The table told: it can be committed. */
	t = fresh(w, CPU_B, q);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, q, CPU_B);
	check_is(w, reason_of(w, p), GHOST_PREEMPT_COMMIT);
}

static void case_a_commit_that_must_not_displace_is_refused(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;

	agents_up(w);
	q = member_waiting(w);
	put_on(w, CPU_B, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_B);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	t.flags = GHOST_RUN_DO_NOT_PREEMPT;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_CPU_OCCUPIED);
	check(w, runs_on(w, q, CPU_B));
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	order(w, q, PUPPET_BLOCK);
	expect(w, q, GHOST_MSG_TASK_BLOCKED);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
}

static void case_a_commit_of_nothing_takes_the_thread_off(struct world *w)
{
	static const uint32_t nothing[] = { GHOST_SLOT_NONE, GHOST_SLOT_IDLE };
	struct puppet *q;
	struct ghost_txn t;

	agents_up(w);
	for (int i = 0; i < 2; i++) {
		q = member_waiting(w);
		put_on(w, CPU_B, q, GHOST_SLICE_INF);
		see_on(w, q, CPU_B);
		t = fresh(w, CPU_B, NULL);
		t.slot = nothing[i];
		check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_YIELDED);
		check_is(w, reason_of(w, q), GHOST_PREEMPT_COMMIT);
		check(w, !runs(w, q));
		commit_end(w, CPU_B);
	}
	/* Nobody there: nothing to do, and no mistake. */
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_YIELDED);
	expect_none(w, 5);
}

static void case_a_commit_of_the_agent_is_a_ping(struct world *w)
{
	struct ghost_txn t;
	uint32_t seq;

	agents_up(w);
	rest(w, CPU_B);
	seq = agent_seq(w, CPU_B);
	t = fresh(w, CPU_B, NULL);
	t.slot = GHOST_SLOT_AGENT;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	check_is(w, agent_seq(w, CPU_B), seq + 1);
	commit_end(w, CPU_B);
	t.flags = GHOST_RUN_DO_NOT_PREEMPT;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_INVALID);
}

static void case_an_agent_learns_that_its_cpu_was_decided_about(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	seq = agent_seq(w, CPU_B);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	check_is(w, agent_seq(w, CPU_B), seq + 1);
	see_on(w, p, CPU_B);
	t = fresh(w, CPU_B, q);
	t.flags = GHOST_COMMIT_ELIDE_AGENT_SEQ;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, q, CPU_B);
	check_is(w, reason_of(w, p), GHOST_PREEMPT_COMMIT);
	drain(w);
	/* A refusal is no news, unless it is to be. */
	seq = agent_seq(w, CPU_B);
	t = fresh(w, CPU_B, p);
	t.task_seq--;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_TASK_STALE);
	check_is(w, agent_seq(w, CPU_B), seq);
	t.flags = GHOST_COMMIT_AGENT_SEQ_ON_FAILURE;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_TASK_STALE);
	check_is(w, agent_seq(w, CPU_B), seq + 1);
}

static void case_being_put_on_a_cpu_is_told_if_asked_for(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;
	struct ghost_msg m;
	uint32_t seq;

	agents_up(w);
	p = member_waiting(w);
	seq = seq_of(w, p);
	t = fresh(w, CPU_B, p);
	t.flags = GHOST_RUN_SEND_TASK_ON_CPU;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	m = expect(w, p, GHOST_MSG_TASK_ON_CPU);
	check_is(w, m.cpu, CPU_B);
	check_is(w, m.seq, seq + 1);
	check(w, m.commit_ns && m.commit_ns <= m.time_ns);
	check(w, m.commit_ns <= rw(w, CPU_B)->txn.commit_ns);
	check_is(w, m.cpu_seq, rw(w, CPU_B)->txn.cpu_seq);
	see_on(w, p, CPU_B);
	/* Once: a change while it runs puts it on no CPU. */
	renice(w, p, 3);
	expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED);
	expect_none(w, 20);
}

static void case_the_table_says_since_when_a_thread_runs(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;
	uint64_t first;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 2; i++) {
		first = status_of(w, p)->switch_ns;
		t = fresh(w, CPU_B, p);
		check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
		see_on(w, p, CPU_B);
		check(w, status_of(w, p)->switch_ns > first);
		order(w, p, PUPPET_BLOCK);
		expect(w, p, GHOST_MSG_TASK_BLOCKED);
		order(w, p, PUPPET_SPIN);
		expect(w, p, GHOST_MSG_TASK_WAKEUP);
	}
}

/* --- which news bring the local agent back ----------------------------------------------- */

/* @p is put on CPU_B by the agent of CPU_A with @flags, while the agent of CPU_B waits. */
static void run_beside_agent(struct world *w, struct puppet *p, uint32_t flags)
{
	struct ghost_txn t;

	rest(w, CPU_B);
	t = fresh(w, CPU_B, p);
	t.flags = flags | GHOST_COMMIT_ELIDE_AGENT_SEQ;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
	check(w, !commit_ended(w, CPU_B));
}

/* A member that waits and whose messages go to CPU_A: they wake the agent of CPU_B at no time. */
static struct puppet *member_of_a(struct world *w)
{
	struct puppet *p = member_waiting(w);

	if (home_of(w, p) != CPU_A) {
		put_on(w, CPU_A, p, GHOST_SLICE_INF);
		see_on(w, p, CPU_A);
		order(w, p, PUPPET_BLOCK);
		expect(w, p, GHOST_MSG_TASK_BLOCKED);
		order(w, p, PUPPET_SPIN);
		expect(w, p, GHOST_MSG_TASK_WAKEUP);
	}
	check_is(w, home_of(w, p), CPU_A);
	return p;
}

static void case_an_agent_that_did_not_ask_for_it_is_not_brought_back(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_of_a(w);
	run_beside_agent(w, p, GHOST_RUN_RTLA_ON_YIELD);
	order(w, p, PUPPET_BLOCK);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	pass(w, 20);
	check(w, !commit_ended(w, CPU_B));
}

static void case_the_local_agent_comes_back_when_the_thread_blocks(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_of_a(w);
	run_beside_agent(w, p, GHOST_RUN_RTLA_ON_BLOCKED);
	order(w, p, PUPPET_BLOCK);
	commit_end(w, CPU_B);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
}

static void case_the_local_agent_comes_back_when_the_thread_yields(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_of_a(w);
	run_beside_agent(w, p, GHOST_RUN_RTLA_ON_YIELD);
	order(w, p, PUPPET_YIELD);
	commit_end(w, CPU_B);
	expect(w, p, GHOST_MSG_TASK_YIELD);
}

static void case_the_local_agent_comes_back_when_the_thread_is_displaced(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;

	agents_up(w);
	p = member_of_a(w);
	q = member_of_a(w);
	run_beside_agent(w, p, GHOST_RUN_RTLA_ON_PREEMPT);
	t = fresh(w, CPU_B, q);
	t.flags = GHOST_COMMIT_ELIDE_AGENT_SEQ;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, q, CPU_B);
	check_is(w, reason_of(w, p), GHOST_PREEMPT_COMMIT);
	order(w, q, PUPPET_BLOCK);
	commit_end(w, CPU_B);
}

static void case_the_local_agent_comes_back_when_its_cpu_would_idle(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_of_a(w);
	run_beside_agent(w, p, GHOST_RUN_RTLA_ON_IDLE);
	order(w, p, PUPPET_BLOCK);
	commit_end(w, CPU_B);
	/* Once. */
	rest(w, CPU_B);
	pass(w, 20);
	check(w, !commit_ended(w, CPU_B));
}

/* --- refusals ------------------------------------------------------------------------ */

static void case_only_agents_commit_and_only_where_they_decide(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT, .enclave = id_of(w) };
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	write_txn(w, CPU_B, &t);
	ctl.cpus[0] = 1u << CPU_B;
	check_is(w, w->backend->agent(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -EPERM);
	check_is(w, rw(w, CPU_B)->txn.state, GHOST_TXN_READY);
	other_enclave(w);
	ctl.enclave = ghost_enclave_id(w->other);
	check_is(w, agent_ask(w, CPU_A, &ctl), -EPERM);
	ctl.enclave = 0;
	check_is(w, agent_ask(w, CPU_A, &ctl), -EPERM);
	ctl.enclave = GHOST_ENCLAVES_MAX;
	check_is(w, agent_ask(w, CPU_A, &ctl), -EPERM);
	ctl.enclave = id_of(w);
	ctl.flags = 2;
	check_is(w, agent_ask(w, CPU_A, &ctl), -EINVAL);
	check_is(w, rw(w, CPU_B)->txn.state, GHOST_TXN_READY);
}

static void case_agents_that_do_not_decide_commit_nothing(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT, .enclave = id_of(w) };

	agent_start(w, CPU_A);
	agent_start(w, CPU_B);
	ctl.cpus[0] = 1u << CPU_B;
	check_is(w, agent_ask(w, CPU_A, &ctl), -EBUSY);
}

static void case_a_remote_commit_is_refused_for_the_threads_sake(struct world *w)
{
	struct puppet *p, *asleep, *running;
	struct ghost_txn t;
	uint64_t word;

	agents_up(w);
	running = member_waiting(w);
	put_on(w, CPU_A, running, GHOST_SLICE_INF);
	see_on(w, running, CPU_A);
	/* Its agent is behind it: the other one asks. */
	p = member_waiting(w);
	asleep = member_asleep(w);
	word = status_of(w, p)->word;
	t = fresh(w, CPU_A, p);
	t.task_seq++;
	check_is(w, remote(w, CPU_B, CPU_A, &t), GHOST_TXN_TASK_STALE);
	t = fresh(w, CPU_A, asleep);
	check_is(w, remote(w, CPU_B, CPU_A, &t), GHOST_TXN_NOT_RUNNABLE);
	t = fresh(w, CPU_A, running);
	check_is(w, remote(w, CPU_B, CPU_A, &t), GHOST_TXN_ON_CPU);
	t.flags = GHOST_COMMIT_ALLOW_TASK_ON_CPU;
	check_is(w, remote(w, CPU_B, CPU_A, &t), GHOST_TXN_COMMITTED);
	check(w, runs_on(w, running, CPU_A));
	t = fresh(w, CPU_A, NULL);
	t.slot = w->mem->capacity - 1;
	check_is(w, remote(w, CPU_B, CPU_A, &t), GHOST_TXN_NOT_FOUND);
	t.slot = w->mem->capacity;
	check_is(w, remote(w, CPU_B, CPU_A, &t), GHOST_TXN_INVALID);
	check_is(w, status_of(w, p)->word, word);
	check(w, runs_on(w, running, CPU_A));
}

static void case_a_remote_commit_is_refused_for_the_cpus_sake(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	move(w, p, cpus_of(CPU_A, -1));
	expect(w, p, GHOST_MSG_TASK_AFFINITY_CHANGED);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_NOT_ALLOWED);
	check_is(w, remote(w, CPU_A, CPU_OTHER, &t), GHOST_TXN_INVALID_CPU);
	/* The committer's own is left alone until it gives the CPU up. */
	write_txn(w, CPU_A, &t);
	check_is(w, commit_from(w, CPU_A, CPU_A, -1, 0), 0);
	check_is(w, rw(w, CPU_A)->txn.state, GHOST_TXN_READY);
	rw(w, CPU_A)->txn.state = GHOST_TXN_FREE;
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

static void case_a_remote_commit_of_nonsense_is_refused(struct world *w)
{
	static const uint32_t flags[] = {
		8,
		1u << 31,
		~0u,
		GHOST_RUN_NEED_CPU_NOT_IDLE,
		GHOST_COMMIT_ELIDE_AGENT_SEQ | GHOST_COMMIT_AGENT_SEQ_ON_FAILURE,
	};
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		t = fresh(w, CPU_B, p);
		t.flags = flags[i];
		check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_INVALID);
	}
	t = fresh(w, CPU_B, p);
	t.slice_ns = 0;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_INVALID);
	t = fresh(w, CPU_B, NULL);
	t.slot = GHOST_SLOT_IDLE;
	t.flags = GHOST_RUN_RTLA_ON_IDLE;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_INVALID);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
}

static void case_a_cpu_that_a_higher_class_has_is_not_available(struct world *w)
{
	struct puppet *p, *hog;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	rest(w, CPU_B);
	hog = hog_on(w, CPU_B, CLASS_OF_FAIR);
	until(w, page(w, CPU_B)->state == GHOST_CPU_TAKEN);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_CPU_UNAVAIL);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	hog_off(w, hog);
	until(w, page(w, CPU_B)->state == GHOST_CPU_AVAILABLE);
	drain(w);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
}

static void case_a_higher_class_that_comes_and_goes_is_told_if_asked_for(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_DELIVER,
				 .enclave = id_of(w),
				 .flags = GHOST_DELIVER_AVAILABILITY };
	struct puppet *hog;
	struct ghost_msg m;

	agents_up(w);
	check_is(w, agent_ask(w, CPU_A, &ctl), 0);
	check_is(w, ghost_enclave_status(w->e)->deliver, GHOST_DELIVER_AVAILABILITY);
	rest(w, CPU_B);
	hog = hog_on(w, CPU_B, CLASS_OF_FAIR);
	until(w, pop(w, CPU_B, &m));
	check_is(w, m.type, GHOST_MSG_CPU_BUSY);
	check_is(w, m.cpu, CPU_B);
	check_is(w, m.slot, 0);
	hog_off(w, hog);
	until(w, pop(w, CPU_B, &m));
	check_is(w, m.type, GHOST_MSG_CPU_AVAILABLE);
	check_is(w, m.cpu, CPU_B);
	/* News brings the agent back. */
	commit_end(w, CPU_B);
	ctl.flags = 0;
	check_is(w, agent_ask(w, CPU_A, &ctl), 0);
	drain(w);
	rest(w, CPU_B);
	hog = hog_on(w, CPU_B, CLASS_OF_FAIR);
	expect_none(w, 5);
	hog_off(w, hog);
	ctl.flags = 8;
	check_is(w, agent_ask(w, CPU_A, &ctl), -EINVAL);
}

static void case_the_end_of_idling_is_told_once_if_asked_for(struct world *w)
{
	struct ghost_txn t;
	struct puppet *hog;
	struct ghost_msg m;

	agents_up(w);
	rest(w, CPU_B);
	t = fresh(w, CPU_B, NULL);
	t.slot = GHOST_SLOT_IDLE;
	t.flags = GHOST_RUN_NEED_CPU_NOT_IDLE | GHOST_COMMIT_ELIDE_AGENT_SEQ;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_YIELDED);
	hog = hog_on(w, CPU_B, CLASS_OF_FAIR);
	until(w, pop(w, CPU_B, &m));
	check_is(w, m.type, GHOST_MSG_CPU_NOT_IDLE);
	check_is(w, m.cpu, CPU_B);
	hog_off(w, hog);
	hog = hog_on(w, CPU_B, CLASS_OF_FAIR);
	expect_none(w, 5);
	hog_off(w, hog);
}

/* --- groups ---------------------------------------------------------------------------- */

static void case_a_group_is_committed_each_for_itself(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;

	wide_enclave(w);
	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	t = fresh(w, CPU_B, p);
	write_txn(w, CPU_B, &t);
	t = fresh(w, CPU_OTHER, q);
	write_txn(w, CPU_OTHER, &t);
	check_is(w, commit_from(w, CPU_A, CPU_B, CPU_OTHER, 0), 2);
	see_on(w, p, CPU_B);
	see_on(w, q, CPU_OTHER);
	/* One of two is stale; the other goes through. */
	t = fresh(w, CPU_B, NULL);
	write_txn(w, CPU_B, &t);
	t = fresh(w, CPU_OTHER, p);
	t.task_seq--;
	write_txn(w, CPU_OTHER, &t);
	check_is(w, commit_from(w, CPU_A, CPU_B, CPU_OTHER, 0), 1);
	check_is(w, rw(w, CPU_B)->txn.state, GHOST_TXN_YIELDED);
	check_is(w, rw(w, CPU_OTHER)->txn.state, GHOST_TXN_TASK_STALE);
	check(w, runs_on(w, q, CPU_OTHER));
}

static void case_a_synchronised_group_is_committed_whole(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;

	wide_enclave(w);
	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	pass(w, 5);
	t = fresh(w, CPU_B, p);
	t.owner = 1;
	write_txn(w, CPU_B, &t);
	t = fresh(w, CPU_OTHER, q);
	t.owner = 1;
	write_txn(w, CPU_OTHER, &t);
	check_is(w, commit_from(w, CPU_A, CPU_B, CPU_OTHER, GHOST_COMMIT_SYNC), 2);
	check_is(w, rw(w, CPU_B)->txn.state, GHOST_TXN_COMMITTED);
	check_is(w, rw(w, CPU_OTHER)->txn.state, GHOST_TXN_COMMITTED);
	check_is(w, rw(w, CPU_B)->txn.owner, 0);
	check_is(w, rw(w, CPU_OTHER)->txn.owner, 0);
	see_on(w, p, CPU_B);
	see_on(w, q, CPU_OTHER);
	/* The same again leaves them where they are. */
	t = fresh(w, CPU_B, p);
	t.flags = GHOST_COMMIT_ALLOW_TASK_ON_CPU;
	write_txn(w, CPU_B, &t);
	t = fresh(w, CPU_OTHER, q);
	t.flags = GHOST_COMMIT_ALLOW_TASK_ON_CPU;
	write_txn(w, CPU_OTHER, &t);
	check_is(w, commit_from(w, CPU_A, CPU_B, CPU_OTHER, GHOST_COMMIT_SYNC), 2);
	check(w, runs_on(w, p, CPU_B));
	check(w, runs_on(w, q, CPU_OTHER));
	expect_none(w, 5);
}

static void case_a_synchronised_group_fails_whole(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;

	wide_enclave(w);
	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	pass(w, 5);
	for (int bad = 0; bad < 2; bad++) {
		t = fresh(w, CPU_B, p);
		t.owner = 7;
		t.task_seq -= bad == 0;
		write_txn(w, CPU_B, &t);
		t = fresh(w, CPU_OTHER, q);
		t.owner = 7;
		t.task_seq -= bad == 1;
		write_txn(w, CPU_OTHER, &t);
		check_is(w, commit_from(w, CPU_A, CPU_B, CPU_OTHER, GHOST_COMMIT_SYNC), 0);
		check_is(w, rw(w, CPU_B)->txn.state,
			 bad == 0 ? GHOST_TXN_TASK_STALE : GHOST_TXN_POISONED);
		check_is(w, rw(w, CPU_OTHER)->txn.state,
			 bad == 1 ? GHOST_TXN_TASK_STALE : GHOST_TXN_POISONED);
		/* Whoever owns the group has to look at all of it. */
		check_is(w, rw(w, CPU_B)->txn.owner, 7);
		check(w, !runs(w, p));
		check(w, !runs(w, q));
	}
	/* Nothing is left of it: both can be committed. */
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	t = fresh(w, CPU_OTHER, q);
	check_is(w, remote(w, CPU_A, CPU_OTHER, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
	see_on(w, q, CPU_OTHER);
}

static void case_a_synchronised_group_needs_all_its_parts(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	wide_enclave(w);
	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	/* Nothing written for the other one; and the committer's own. */
	for (int i = 0; i < 2; i++) {
		write_txn(w, CPU_B, &t);
		if (i == 1)
			write_txn(w, CPU_A, &t);
		check_is(w, commit_from(w, CPU_A, CPU_B, i ? CPU_A : CPU_OTHER, GHOST_COMMIT_SYNC),
			 0);
		check_is(w, rw(w, CPU_B)->txn.state, GHOST_TXN_POISONED);
	}
	check_is(w, rw(w, CPU_A)->txn.state, GHOST_TXN_CPU_UNAVAIL);
	/* One thread is not in two places. */
	write_txn(w, CPU_B, &t);
	write_txn(w, CPU_OTHER, &t);
	check_is(w, commit_from(w, CPU_A, CPU_B, CPU_OTHER, GHOST_COMMIT_SYNC), 0);
	check_is(w, rw(w, CPU_B)->txn.state, GHOST_TXN_POISONED);
	check_is(w, rw(w, CPU_OTHER)->txn.state, GHOST_TXN_AGAIN);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
}

/* --- picks ------------------------------------------------------------------------------ */

static void write_pick(struct world *w, uint32_t cpu, const struct ghost_txn *t)
{
	struct ghost_txn *pick = &rw(w, cpu)->pick;
	struct ghost_txn copy = *t;

	copy.state = GHOST_TXN_FREE;
	*pick = copy;
	ghost_store_release(&pick->state, GHOST_TXN_READY);
}

static uint32_t pick_state(struct world *w, uint32_t cpu)
{
	return ghost_load_acquire(&rw(w, cpu)->pick.state);
}

static void kick(struct world *w, uint32_t from, uint32_t cpu)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_KICK, .enclave = id_of(w) };

	ctl.cpus[0] = 1u << cpu;
	check_is(w, agent_ask(w, from, &ctl), 0);
}

static void case_a_pick_is_taken_when_the_cpu_looks_for_work(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;
	uint64_t picks;

	agents_up(w);
	p = member_of_a(w);
	q = member_of_a(w);
	picks = page(w, CPU_B)->nr[GHOST_NR_PICKS];
	run_beside_agent(w, p, 0);
	t = fresh(w, CPU_B, q);
	write_pick(w, CPU_B, &t);
	pass(w, 5);
	check_is(w, pick_state(w, CPU_B), GHOST_TXN_READY);
	order(w, p, PUPPET_BLOCK);
	see_on(w, q, CPU_B);
	check_is(w, pick_state(w, CPU_B), GHOST_TXN_COMMITTED);
	check_is(w, page(w, CPU_B)->nr[GHOST_NR_PICKS], picks + 1);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	/* No agent had to run for it. */
	check(w, !commit_ended(w, CPU_B));
	/* Once. */
	order(w, q, PUPPET_BLOCK);
	expect(w, q, GHOST_MSG_TASK_BLOCKED);
	expect_none(w, 5);
}

static void case_an_idle_cpu_takes_its_pick_when_it_is_kicked(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;
	uint32_t seq;

	agents_up(w);
	p = member_of_a(w);
	rest(w, CPU_B);
	seq = agent_seq(w, CPU_B);
	t = fresh(w, CPU_B, p);
	write_pick(w, CPU_B, &t);
	kick(w, CPU_A, CPU_B);
	see_on(w, p, CPU_B);
	check_is(w, pick_state(w, CPU_B), GHOST_TXN_COMMITTED);
	check_is(w, agent_seq(w, CPU_B), seq);
}

static void case_a_pick_that_is_out_of_date_is_refused_and_told(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;
	struct ghost_msg m;

	agents_up(w);
	p = member_of_a(w);
	rest(w, CPU_B);
	t = fresh(w, CPU_B, p);
	t.task_seq--;
	write_pick(w, CPU_B, &t);
	kick(w, CPU_A, CPU_B);
	until(w, pick_state(w, CPU_B) == GHOST_TXN_TASK_STALE);
	/* It is the CPU's business: its agent hears of it, and is brought back. */
	commit_end(w, CPU_B);
	until(w, pop(w, CPU_B, &m));
	check_is(w, m.type, GHOST_MSG_TASK_LATCH_FAILURE);
	check_is(w, m.slot, p->slot);
	check_is(w, m.reason, GHOST_TXN_TASK_STALE);
	check_is(w, m.cpu, CPU_B);
	/* No event of the thread: its number stays. */
	check_is(w, m.seq, seq_of(w, p));
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
}

static void case_a_pick_can_be_withdrawn(struct world *w)
{
	struct puppet *p, *q;
	struct ghost_txn t;
	uint32_t ready = GHOST_TXN_READY;

	agents_up(w);
	p = member_of_a(w);
	q = member_of_a(w);
	run_beside_agent(w, p, 0);
	t = fresh(w, CPU_B, q);
	write_pick(w, CPU_B, &t);
	check(w, __atomic_compare_exchange_n(&rw(w, CPU_B)->pick.state, &ready, GHOST_TXN_ABORTED,
					     false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	order(w, p, PUPPET_BLOCK);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	pass(w, 10);
	check(w, !runs(w, q));
	check_is(w, pick_state(w, CPU_B), GHOST_TXN_ABORTED);
}

static void case_garbage_in_a_pick_harms_nobody(struct world *w)
{
	static const uint32_t slots[] = { 0, ~0u, ~0u - 1, ~0u - 2, 1u << 20 };
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_of_a(w);
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		rest(w, CPU_B);
		t = fresh(w, CPU_B, NULL);
		t.slot = slots[i];
		write_pick(w, CPU_B, &t);
		kick(w, CPU_A, CPU_B);
		until(w, pick_state(w, CPU_B) == GHOST_TXN_INVALID);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_B), 0);
		commit_end(w, CPU_B);
	}
	rest(w, CPU_B);
	memset(&rw(w, CPU_B)->pick, 0xff, sizeof(struct ghost_txn));
	kick(w, CPU_A, CPU_B);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
}

/* --- agents that spin --------------------------------------------------------------------- */

static void case_agents_that_spin_decide_for_all_cpus(struct world *w)
{
	struct puppet *p;
	struct ghost_txn t;

	spinners_up(w);
	check_is(w, w->backend->agent_enter != NULL, 1);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
	order(w, p, PUPPET_BLOCK);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
}

static void case_an_agent_that_spins_can_run_on_its_cpu_only(struct world *w)
{
	int err;

	spinner_try(w, id_of(w), CPU_A, CPU_B, &err);
	check_is(w, err, -EINVAL);
	spinner_try(w, id_of(w), CPU_A, GHOST_CPU_NONE, &err);
	check_is(w, err, -EINVAL);
	spinner_try(w, id_of(w), CPU_OTHER, CPU_OTHER, &err);
	check_is(w, err, -ENOENT);
	check_is(w, page(w, CPU_A)->agent_tid, 0);
	spinner_try(w, id_of(w), CPU_A, CPU_A, &err);
	check_is(w, err, 0);
	spinner_try(w, id_of(w), CPU_A, CPU_A, &err);
	check_is(w, err, -EBUSY);
}

static void case_a_member_cannot_become_an_agent_that_spins(struct world *w)
{
	check_is(w, spinner_refused(w, CPU_A, AGENT_IS_MEMBER), -EINVAL);
	/* It was a member like any other, and has left no trace. */
	until(w, !ghost_enclave_status(w->e)->nr_tasks);
	check_is(w, page(w, CPU_A)->agent_tid, 0);
}

static void case_an_agent_that_spins_is_that_of_one_cpu(struct world *w)
{
	check_is(w, spinner_refused(w, CPU_A, AGENT_SPINS_TWICE), -EBUSY);
	until(w, !page(w, CPU_A)->agent_tid);
	check_is(w, page(w, CPU_B)->agent_tid, 0);
}

static void case_an_agent_that_spins_and_dies_costs_the_enclave(struct world *w)
{
	struct puppet *p;
	uint32_t tid;

	spinners_up(w);
	p = member_waiting(w);
	tid = page(w, CPU_B)->agent_tid;
	agent_die(w, CPU_B);
	until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
	check_is(w, ghost_enclave_status(w->e)->lost_reason, GHOST_LOST_AGENT_EXIT);
	check_is(w, ghost_enclave_status(w->e)->lost_arg, tid);
	check_is(w, page(w, CPU_B)->agent_tid, 0);
	within(w, 1000, runs(w, p));
}

static void case_an_agent_that_spins_leaves_by_saying_so(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_AGENT_DETACH, .enclave = id_of(w), .cpu = CPU_B };
	int err;

	spinner_try(w, id_of(w), CPU_A, CPU_A, &err);
	check_is(w, err, 0);
	/* Not for others. */
	check_is(w, w->backend->agent(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -ENOENT);
	ctl.cpu = CPU_A;
	check_is(w, w->backend->agent(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -ENOENT);
	check(w, page(w, CPU_A)->agent_tid != 0);
	agent_leave(w, w->agents[w->nr_agents - 1]);
	check_is(w, page(w, CPU_A)->agent_tid, 0);
	spinner_try(w, id_of(w), CPU_A, CPU_A, &err);
	check_is(w, err, 0);
}

/* --- news of CPUs ---------------------------------------------------------------------------- */

static void deliver(struct world *w, uint32_t flags)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_DELIVER, .enclave = id_of(w), .flags = flags };

	check_is(w, agent_ask(w, CPU_A, &ctl), 0);
}

static void case_ticks_are_told_if_asked_for(struct world *w)
{
	struct puppet *p;
	struct ghost_msg m;

	agents_up(w);
	p = member_waiting(w);
	put_on(w, CPU_B, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_B);
	expect_none(w, 50);
	deliver(w, GHOST_DELIVER_TICKS);
	for (int i = 0; i < 3; i++) {
		until(w, pop(w, CPU_B, &m));
		check_is(w, m.type, GHOST_MSG_CPU_TICK);
		check_is(w, m.cpu, CPU_B);
		check_is(w, m.slot, 0);
		check_is(w, m.flags, 0);
	}
	deliver(w, 0);
	drain(w);
	expect_none(w, 50);
}

static int arm(struct world *w, uint32_t cpu, uint64_t ns, uint64_t period_ns, uint64_t cookie)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_TIMER, .enclave = id_of(w), .cpu = cpu };

	ctl.cpus[0] = ns;
	ctl.cpus[1] = period_ns;
	ctl.cpus[2] = cookie;
	return agent_ask(w, CPU_A, &ctl);
}

static void case_a_timer_is_told_to_the_cpu_for_which_it_was_armed(struct world *w)
{
	struct ghost_msg m;

	agents_up(w);
	rest(w, CPU_B);
	check_is(w, arm(w, CPU_B, 5 * MS, 0, 0x123456789abcdefull), 0);
	/* It brings the agent back. */
	commit_end(w, CPU_B);
	until(w, pop(w, CPU_B, &m));
	check_is(w, m.type, GHOST_MSG_CPU_TIMER_EXPIRED);
	check_is(w, m.cpu, CPU_B);
	check_is(w, m.cookie, 0x123456789abcdefull);
	/* Once. */
	expect_none(w, 30);
}

static void case_a_timer_with_a_period_is_told_until_it_is_disarmed(struct world *w)
{
	struct ghost_msg m;

	agents_up(w);
	check_is(w, arm(w, CPU_B, 2 * MS, 3 * MS, 7), 0);
	for (int i = 0; i < 4; i++) {
		until(w, pop(w, CPU_B, &m));
		check_is(w, m.type, GHOST_MSG_CPU_TIMER_EXPIRED);
		check_is(w, m.cookie, 7);
	}
	check_is(w, arm(w, CPU_B, 0, 0, 0), 0);
	pass(w, 10);
	drain(w);
	expect_none(w, 30);
}

static void case_timers_that_cannot_be_are_refused(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_TIMER, .enclave = id_of(w), .cpu = CPU_A };

	agents_up(w);
	check_is(w, arm(w, CPU_OTHER, MS, 0, 0), -ENOENT);
	check_is(w, arm(w, GHOST_CPUS_MAX, MS, 0, 0), -ENOENT);
	check_is(w, arm(w, CPU_B, 1, 0, 0), -EINVAL);
	check_is(w, arm(w, CPU_B, MS, 1, 0), -EINVAL);
	check_is(w, arm(w, CPU_B, GHOST_TIMER_MAX_NS + 1, 0, 0), -EINVAL);
	ctl.cpus[0] = MS;
	check_is(w, w->backend->agent(w->backend, &ctl), 0);
	check_is(w, ctl.ret, -EPERM);
	expect_none(w, 10);
}

/* @p on CPU_B, whose slice a timer ends. */
static void put_timed(struct world *w, struct puppet *p, uint64_t slice_ns)
{
	struct ghost_txn t = fresh(w, CPU_B, p);

	t.flags = GHOST_RUN_SLICE_TIMER;
	t.slice_ns = slice_ns;
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
}

static void case_a_timer_ends_a_slice_when_somebody_waits(struct world *w)
{
	static const uint64_t slices[] = { 1 * MS, 20 * MS };
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	member_waiting(w);
	for (int i = 0; i < 2; i++) {
		uint64_t before = status_of(w, p)->runtime_ns;
		struct ghost_msg m;

		put_timed(w, p, slices[i]);
		m = expect(w, p, GHOST_MSG_TASK_PREEMPT);
		check_is(w, m.reason, GHOST_PREEMPT_SLICE);
		check_is(w, m.cpu, CPU_B);
		check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
		/* On a CPU of its own; the machine may have been away from it. */
		check(w, m.runtime_ns - before >= slices[i] / 2);
		commit_end(w, CPU_B);
	}
}

static void case_a_timer_ends_no_slice_while_nobody_waits(struct world *w)
{
	struct ghost_txn t;
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	put_timed(w, p, MS);
	see_on(w, p, CPU_B);
	expect_none(w, 50);
	check(w, runs_on(w, p, CPU_B));
	/* Nor when somebody comes later. */
	member_waiting(w);
	pass(w, 50);
	check(w, runs_on(w, p, CPU_B));
	/* A commit does. */
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_COMMITTED);
	see_on(w, p, CPU_B);
}

static void case_a_timer_does_not_end_what_comes_after_its_slice(struct world *w)
{
	struct puppet *p, *q;

	agents_up(w);
	p = member_waiting(w);
	q = member_waiting(w);
	member_waiting(w);
	put_timed(w, p, 50 * MS);
	see_on(w, p, CPU_B);
	put_on(w, CPU_B, q, GHOST_SLICE_INF);
	see_on(w, q, CPU_B);
	pass(w, 150);
	check(w, runs_on(w, q, CPU_B));
}

static void case_a_timer_for_a_slice_that_cannot_be_is_refused(struct world *w)
{
	static const uint64_t slices[] = { GHOST_TIMER_MIN_NS - 1, GHOST_TIMER_MAX_NS + 1,
					   GHOST_SLICE_INF };
	struct puppet *p;
	struct ghost_txn t;

	agents_up(w);
	p = member_waiting(w);
	t = fresh(w, CPU_B, p);
	t.flags = GHOST_RUN_SLICE_TIMER;
	for (int i = 0; i < 3; i++) {
		t.slice_ns = slices[i];
		check_is(w, remote(w, CPU_A, CPU_B, &t), GHOST_TXN_INVALID);
	}
	/* Nor may the CPU itself be asked to start one. */
	t = fresh(w, CPU_A, p);
	t.flags = GHOST_RUN_SLICE_TIMER;
	t.slice_ns = MS;
	check_is(w, commit(w, CPU_A, &t), GHOST_TXN_INVALID);
	check_is(w, flags_of(w, p), GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE);
	put_timed(w, p, MS);
	see_on(w, p, CPU_B);
}

static void case_an_agent_that_sleeps_and_wakes_is_told_if_asked_for(struct world *w)
{
	struct ghost_txn t;
	struct ghost_msg m;

	agents_up(w);
	deliver(w, GHOST_DELIVER_RUNNABILITY);
	drain(w);
	/* It sleeps between the orders that it gets. That it woke up is news. */
	t = fresh(w, CPU_B, NULL);
	check_is(w, commit(w, CPU_B, &t), GHOST_TXN_AGENT_STALE);
	until(w, pop(w, CPU_B, &m));
	check_is(w, m.type, GHOST_MSG_CPU_AGENT_WAKEUP);
	check_is(w, m.cpu, CPU_B);
	until(w, pop(w, CPU_B, &m));
	check_is(w, m.type, GHOST_MSG_CPU_AGENT_BLOCKED);
	check_is(w, m.cpu, CPU_B);
	deliver(w, 0);
	drain(w);
	rest(w, CPU_B);
	expect_none(w, 10);
}

const struct contract_case contract_remote_cases[] = {
	CASE(case_a_remote_commit_runs_a_thread_on_another_cpu),
	CASE(case_a_remote_commit_ignores_the_agents_number),
	CASE(case_a_remote_commit_displaces_who_runs_there),
	CASE(case_who_is_displaced_without_a_word_waits_all_the_same),
	CASE(case_a_commit_that_must_not_displace_is_refused),
	CASE(case_a_commit_of_nothing_takes_the_thread_off),
	CASE(case_a_commit_of_the_agent_is_a_ping),
	CASE(case_an_agent_learns_that_its_cpu_was_decided_about),
	CASE(case_being_put_on_a_cpu_is_told_if_asked_for),
	CASE(case_the_table_says_since_when_a_thread_runs),
	CASE(case_an_agent_that_did_not_ask_for_it_is_not_brought_back),
	CASE(case_the_local_agent_comes_back_when_the_thread_blocks),
	CASE(case_the_local_agent_comes_back_when_the_thread_yields),
	CASE(case_the_local_agent_comes_back_when_the_thread_is_displaced),
	CASE(case_the_local_agent_comes_back_when_its_cpu_would_idle),
	CASE(case_only_agents_commit_and_only_where_they_decide),
	CASE(case_agents_that_do_not_decide_commit_nothing),
	CASE(case_a_remote_commit_is_refused_for_the_threads_sake),
	CASE(case_a_remote_commit_is_refused_for_the_cpus_sake),
	CASE(case_a_remote_commit_of_nonsense_is_refused),
	CASE(case_a_cpu_that_a_higher_class_has_is_not_available),
	CASE(case_a_higher_class_that_comes_and_goes_is_told_if_asked_for),
	CASE(case_the_end_of_idling_is_told_once_if_asked_for),
	CASE(case_a_group_is_committed_each_for_itself),
	CASE(case_a_synchronised_group_is_committed_whole),
	CASE(case_a_synchronised_group_fails_whole),
	CASE(case_a_synchronised_group_needs_all_its_parts),
	CASE(case_a_pick_is_taken_when_the_cpu_looks_for_work),
	CASE(case_an_idle_cpu_takes_its_pick_when_it_is_kicked),
	CASE(case_a_pick_that_is_out_of_date_is_refused_and_told),
	CASE(case_a_pick_can_be_withdrawn),
	CASE(case_garbage_in_a_pick_harms_nobody),
	CASE(case_agents_that_spin_decide_for_all_cpus),
	CASE(case_an_agent_that_spins_can_run_on_its_cpu_only),
	CASE(case_a_member_cannot_become_an_agent_that_spins),
	CASE(case_an_agent_that_spins_is_that_of_one_cpu),
	CASE(case_an_agent_that_spins_and_dies_costs_the_enclave),
	CASE(case_an_agent_that_spins_leaves_by_saying_so),
	CASE(case_ticks_are_told_if_asked_for),
	CASE(case_a_timer_is_told_to_the_cpu_for_which_it_was_armed),
	CASE(case_a_timer_with_a_period_is_told_until_it_is_disarmed),
	CASE(case_timers_that_cannot_be_are_refused),
	CASE(case_a_timer_ends_a_slice_when_somebody_waits),
	CASE(case_a_timer_ends_no_slice_while_nobody_waits),
	CASE(case_a_timer_does_not_end_what_comes_after_its_slice),
	CASE(case_a_timer_for_a_slice_that_cannot_be_is_refused),
	CASE(case_an_agent_that_sleeps_and_wakes_is_told_if_asked_for),
	{ 0 },
};
