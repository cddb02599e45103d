// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the original's tests assert of agents, commits, enclaves and queues, as
 * far as it has a meaning here; docs/conformance.md says which row is which.
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

static struct ghost_cpuset all_cpus(const struct world *w)
{
	struct ghost_cpuset cpus = { 0 };

	for (uint32_t cpu = 0; cpu < w->nr_cpus; cpu++)
		ghost_cpuset_add(&cpus, cpu);
	return cpus;
}

/* The thread of @p is in the table of @w->e now. */
static bool is_member(struct world *w, const struct puppet *p)
{
	return p->slot && flags_of(w, p) & GHOST_STATUS_INUSE && status_of(w, p)->tid == p->tid;
}

static int ask(struct world *w, struct ghost_ctl *ctl)
{
	int err = w->backend->agent(w->backend, ctl);

	return err ?: ctl->ret;
}

static uint32_t queue_made(struct world *w, uint32_t len)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_CREATE, .enclave = id_of(w), .len = len };

	check_is(w, ask(w, &ctl), 0);
	check_is(w, page(w, ctl.queue)->queue.len, len);
	rw(w, ctl.queue)->queue_tail = 0;
	return ctl.queue;
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

/* Commit @p on @cpu from the agent of @from, however often it is in a state that does not last. */
static void committed(struct world *w, uint32_t from, uint32_t cpu, const struct puppet *p,
		      uint32_t flags)
{
	uint32_t state = GHOST_TXN_FREE;

	for (int i = 0; i < 20 && state != GHOST_TXN_COMMITTED; i++) {
		struct ghost_txn t = fresh(w, cpu, p);

		t.flags = flags;
		state = remote(w, from, cpu, &t);
	}
	check_is(w, state, GHOST_TXN_COMMITTED);
}

/* Messages are not looked at: commit @p until it is no more. */
static void see_it_end(struct world *w, uint32_t from, uint32_t cpu, const struct puppet *p)
{
	for (int i = 0; is_member(w, p); i++) {
		check(w, i < PATIENCE);
		drain(w);
		if (flags_of(w, p) & GHOST_STATUS_RUNNABLE) {
			struct ghost_txn t = fresh(w, cpu, p);

			remote(w, from, cpu, &t);
		}
		pass(w, 1);
	}
}

/* --- agents ------------------------------------------------------------------------ */

static void nothing_to_run(struct ghost_agent *a, uint32_t cpu)
{
}

static const struct ghost_policy idle = { .name = "idle", .schedule = nothing_to_run };

static void case_agents_that_are_stopped_have_all_gone(struct world *w)
{
	const struct ghost_enclave_status *es = ghost_enclave_status(w->e);
	uint64_t both = 1u << CPU_A | 1u << CPU_B;

	for (int i = 0; i < 5; i++) {
		policy_up(w, &idle);
		check(w, page(w, CPU_A)->agent_tid && page(w, CPU_B)->agent_tid);
		until(w, (ghost_load_acquire((const uint32_t *)&es->idle[0]) & both) == both);
		policy_down(w);
		check_is(w, page(w, CPU_A)->agent_tid, 0);
		check_is(w, page(w, CPU_B)->agent_tid, 0);
	}
	check_is(w, ghost_enclave_destroy(w->e), 0);
	check_is(w, enclave_state(w), GHOST_ENCLAVE_FREE);
	ghost_enclave_close(w->e);
	w->e = NULL;
}

static void case_each_ping_brings_its_agent_back_once(struct world *w)
{
	uint32_t seq;

	agents_up(w);
	for (uint32_t cpu = CPU_A; cpu <= CPU_B; cpu++)
		for (int i = 0; i < 10; i++) {
			rest(w, cpu);
			seq = agent_seq(w, cpu);
			check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), cpu), 0);
			check_is(w, commit_end(w, cpu), GHOST_TXN_YIELDED);
			check_is(w, agent_seq(w, cpu), seq + 1);
		}
}

/* @asks is to idle and to say when that ends, @silent to idle. */
static void idle_both(struct world *w, uint32_t asks, uint32_t silent)
{
	struct ghost_txn t = fresh(w, asks, NULL);

	rest(w, CPU_B);
	rest(w, CPU_OTHER);
	t.slot = GHOST_SLOT_IDLE;
	t.flags = GHOST_COMMIT_ELIDE_AGENT_SEQ;
	check_is(w, remote(w, CPU_A, silent, &t), GHOST_TXN_YIELDED);
	t.flags |= GHOST_RUN_NEED_CPU_NOT_IDLE;
	check_is(w, remote(w, CPU_A, asks, &t), GHOST_TXN_YIELDED);
}

/* Read all queues; how many say that @cpu does not idle? Nothing else may be there. */
static uint32_t count_not_idle(struct world *w, uint32_t cpu)
{
	struct ghost_msg m;
	uint32_t nr = 0;

	for (uint32_t q = 0; q < w->mem->nr_queues; q++)
		while (pop(w, q, &m)) {
			check_is(w, m.type, GHOST_MSG_CPU_NOT_IDLE);
			check_is(w, m.cpu, cpu);
			check_is(w, q, cpu);
			check_is(w, m.slot, 0);
			nr++;
		}
	return nr;
}

static void case_the_end_of_idling_is_told_to_the_agent_of_that_cpu(struct world *w)
{
	struct puppet *hog;
	uint32_t nr;

	wide_enclave(w);
	agents_up(w);
	for (int i = 0; i < 6; i++) {
		uint32_t asks = i % 2 ? CPU_B : CPU_OTHER, silent = i % 2 ? CPU_OTHER : CPU_B;

		idle_both(w, asks, silent);
		hog = hog_on(w, asks, CLASS_OF_FAIR);
		nr = 0;
		until(w, (nr += count_not_idle(w, asks)));
		hog_off(w, hog);
		check_is(w, nr + count_not_idle(w, asks), 1);
		ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_B);
		ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_OTHER);
	}
}

static void case_only_the_cpu_that_was_asked_tells_the_end_of_idling(struct world *w)
{
	struct puppet *asked, *silent;
	uint32_t nr = 0;

	wide_enclave(w);
	agents_up(w);
	for (int i = 0; i < 6; i++) {
		idle_both(w, CPU_B, CPU_OTHER);
		silent = hog_on(w, CPU_OTHER, CLASS_OF_FAIR);
		asked = hog_on(w, CPU_B, CLASS_OF_FAIR);
		until(w, (nr += count_not_idle(w, CPU_B)) > (uint32_t)i);
		hog_off(w, asked);
		hog_off(w, silent);
		ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_B);
		ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), CPU_OTHER);
	}
	check_is(w, nr, 6);
}

static void deliver(struct world *w, uint32_t flags)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_DELIVER, .enclave = id_of(w), .flags = flags };

	check_is(w, ask(w, &ctl), 0);
}

/* Of new threads and of CPUs; GHOST_QUEUE_NONE: the CPU's own. Nothing is on its way any more. */
static void default_queue(struct world *w, uint32_t queue)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_DEFAULT, .enclave = id_of(w) };

	ctl.queue = queue;
	check_is(w, ask(w, &ctl), 0);
	pass(w, 10);
	drain(w);
}

/*
 * Read all queues: there are but ticks, all of which met the agent, and they
 * lie in @queue, or, if that is GHOST_QUEUE_NONE, in that of their CPU.
 */
static void count_ticks(struct world *w, uint32_t queue, uint32_t nr[NR_CPUS])
{
	struct ghost_msg m;

	for (uint32_t q = 0; q < w->mem->nr_queues; q++)
		while (pop(w, q, &m)) {
			check_is(w, m.type, GHOST_MSG_CPU_TICK);
			check_is(w, m.flags, GHOST_MSG_AGENT);
			check_is(w, m.slot, 0);
			check(w, m.cpu == CPU_A || m.cpu == CPU_B);
			check_is(w, q, queue == GHOST_QUEUE_NONE ? m.cpu : queue);
			nr[m.cpu]++;
		}
}

static void case_ticks_go_to_the_queue_of_the_agent_and_nowhere_else(struct world *w)
{
	uint32_t queues[3] = { GHOST_QUEUE_NONE, GHOST_QUEUE_NONE, GHOST_QUEUE_NONE };

	agents_up(w);
	queues[1] = queue_made(w, 1024);
	agent_spin(w, CPU_A);
	agent_spin(w, CPU_B);
	deliver(w, GHOST_DELIVER_TICKS);
	for (int i = 0; i < 3; i++) {
		uint32_t nr[NR_CPUS] = { 0 };

		default_queue(w, queues[i]);
		until(w, (count_ticks(w, queues[i], nr), nr[CPU_A] > 4 && nr[CPU_B] > 4));
	}
}

#define TIMER_NS MS

static int arm(struct world *w, uint32_t cpu, uint64_t ns, uint64_t cookie)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_TIMER, .enclave = id_of(w), .cpu = cpu, .cpus = { ns, ns, cookie }
	};

	return agent_ask(w, CPU_A, &ctl);
}

/* Read all queues: there is but news of timers. Each is told to its own agent, with its cookie. */
static void count_expired(struct world *w, const uint64_t cookies[NR_CPUS], uint32_t nr[NR_CPUS])
{
	struct ghost_msg m;

	for (uint32_t q = 0; q < w->mem->nr_queues; q++)
		while (pop(w, q, &m)) {
			check_is(w, m.type, GHOST_MSG_CPU_TIMER_EXPIRED);
			check_is(w, m.slot, 0);
			check(w, m.cpu < NR_CPUS && cookies[m.cpu]);
			check_is(w, q, m.cpu);
			check_is(w, m.cookie, cookies[m.cpu]);
			nr[m.cpu]++;
		}
}

/* The timer of @cpu, while the agent of @silent waits for whatever may come. */
static void one_timer(struct world *w, uint32_t cpu, uint32_t silent, uint64_t cookie)
{
	uint64_t cookies[NR_CPUS] = { 0 }, armed;
	uint32_t nr[NR_CPUS] = { 0 }, seq;

	cookies[cpu] = cookie;
	rest(w, silent);
	seq = agent_seq(w, silent);
	armed = w->ops->now_ns(w);
	check_is(w, arm(w, cpu, TIMER_NS, cookie), 0);
	until(w, (count_expired(w, cookies, nr), nr[cpu] > 4));
	check_is(w, arm(w, cpu, 0, 0), 0);
	/* One may be about to be told still. */
	pass(w, 5);
	count_expired(w, cookies, nr);
	check(w, nr[cpu] <= (w->ops->now_ns(w) - armed) / TIMER_NS);
	check_is(w, agent_seq(w, silent), seq);
	check(w, !commit_ended(w, silent));
	check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), silent), 0);
	commit_end(w, silent);
}

static void two_timers(struct world *w)
{
	uint64_t cookies[NR_CPUS] = { [CPU_B] = 11, [CPU_OTHER] = 22 };
	uint32_t nr[NR_CPUS] = { 0 };

	check_is(w, arm(w, CPU_B, TIMER_NS, cookies[CPU_B]), 0);
	check_is(w, arm(w, CPU_OTHER, TIMER_NS, cookies[CPU_OTHER]), 0);
	until(w, (count_expired(w, cookies, nr), nr[CPU_B] > 4 && nr[CPU_OTHER] > 4));
}

static void case_a_timer_tells_its_own_agent_with_its_cookie(struct world *w)
{
	wide_enclave(w);
	agents_up(w);
	for (int i = 0; i < 3; i++) {
		one_timer(w, CPU_B, CPU_OTHER, 0xfedcba9800000001ull + i);
		one_timer(w, CPU_OTHER, CPU_B, 0x89abcdefull << i);
	}
	two_timers(w);
}

#define NAP_NS (5 * MS)

static void case_an_agent_that_sleeps_is_told_of_twice(struct world *w)
{
	/* An order wakes it; it sleeps, and wakes; it waits for its next order. */
	static const uint16_t types[] = { GHOST_MSG_CPU_AGENT_WAKEUP, GHOST_MSG_CPU_AGENT_BLOCKED,
					  GHOST_MSG_CPU_AGENT_WAKEUP, GHOST_MSG_CPU_AGENT_BLOCKED };

	agents_up(w);
	/* Those that do not wait for orders yet would tell when they do. */
	pass(w, 10);
	deliver(w, GHOST_DELIVER_RUNNABILITY);
	for (uint32_t cpu = CPU_A; cpu <= CPU_B; cpu++) {
		struct ghost_msg m[4];

		agent_nap(w, cpu, NAP_NS);
		for (int i = 0; i < 4; i++) {
			until(w, pop(w, cpu, &m[i]));
			check_is(w, m[i].type, types[i]);
			check_is(w, m[i].cpu, cpu);
			check_is(w, m[i].slot, 0);
			check(w, !i || m[i].seq == m[i - 1].seq + 1);
		}
		/* The nap had begun when it was told. */
		check(w, m[2].time_ns - m[1].time_ns >= NAP_NS / 2);
		/* Not to the other one, nor once more. */
		expect_none(w, 20);
	}
	deliver(w, 0);
	agent_nap(w, CPU_B, NAP_NS);
	expect_none(w, 20);
}

static void case_an_agent_may_leave_its_class_and_ends_the_delegation(struct world *w)
{
	struct puppet agent = { 0 };

	agents_up(w);
	agent.tid = page(w, CPU_B)->agent_tid;
	check_is(w, w->ops->class_of(w, &agent), CLASS_OF_US);
	check_is(w, w->backend->task_leave(w->backend, agent.tid), 0);
	check_is(w, w->ops->class_of(w, &agent), CLASS_OF_FAIR);
	until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
	check_is(w, ghost_enclave_status(w->e)->lost_arg, agent.tid);
	check_is(w, page(w, CPU_B)->agent_tid, 0);
}

static void case_each_cpu_tells_its_agent_and_strange_cpus_have_none(struct world *w)
{
	static const uint32_t strange[] = { -55u, NR_CPUS, GHOST_CPUS_MAX, CPU_OTHER };

	agents_up(w);
	for (uint32_t cpu = CPU_A; cpu <= CPU_B; cpu++) {
		check_is(w, page(w, cpu)->owned, 1);
		check_is(w, page(w, cpu)->agent_tid, agent_tid(w->agent_on[cpu]));
	}
	check_is(w, page(w, CPU_OTHER)->owned, 0);
	check_is(w, page(w, CPU_OTHER)->agent_tid, 0);
	for (int i = 0; i < 4; i++) {
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_PING, id_of(w), strange[i]), -ENOENT);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_ATTACH, id_of(w), strange[i]), -ENOENT);
		check_is(w, ctl_agent(w, GHOST_CTL_AGENT_DETACH, id_of(w), strange[i]), -ENOENT);
	}
}

/* --- commits and threads ------------------------------------------------------------- */

static void case_a_thread_that_ends_is_committed_over_and_over(struct world *w)
{
	agents_up(w);
	for (int i = 0; i < 100; i++) {
		struct puppet *p = member_waiting(w);
		uint64_t gtid = status_of(w, p)->gtid;
		struct ghost_msg m = { 0 };
		bool dead = false;

		committed(w, CPU_A, CPU_B, p, 0);
		order(w, p, PUPPET_EXIT);
		for (int k = 0; !dead; k++) {
			struct ghost_txn t = fresh(w, CPU_B, p);

			check(w, k < 10000);
			write_txn(w, CPU_B, &t);
			commit_from(w, CPU_A, CPU_B, -1, 0);
			check(w, ghost_txn_is_final(ghost_load_acquire(&rw(w, CPU_B)->txn.state)));
			for (uint32_t q = 0; q < w->mem->nr_queues; q++)
				while (pop(w, q, &m))
					dead |= m.type == GHOST_MSG_TASK_DEAD && m.gtid == gtid;
		}
		check(w, !is_member(w, p));
	}
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
}

static void case_times_of_commit_and_switch_follow_each_other(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 10; i++) {
		uint64_t before = w->ops->now_ns(w), at, on;
		struct ghost_msg m;

		committed(w, CPU_A, CPU_B, p, 0);
		at = rw(w, CPU_B)->txn.commit_ns;
		see_on(w, p, CPU_B);
		order(w, p, PUPPET_YIELD);
		m = expect(w, p, GHOST_MSG_TASK_YIELD);
		on = status_of(w, p)->switch_ns;
		check(w, at >= before);
		check(w, on >= at);
		check(w, m.time_ns >= on);
		check(w, w->ops->now_ns(w) >= m.time_ns);
	}
}

/* What came about @p since the last time, by type; anything else is a mistake. */
struct tally {
	uint32_t nr_affinity;
	uint32_t nr_preempt;
};

static void tally(struct world *w, const struct puppet *p, struct tally *t)
{
	struct ghost_msg m;

	for (uint32_t q = 0; q < w->mem->nr_queues; q++)
		while (pop(w, q, &m)) {
			if (m.type >= GHOST_MSG_CPU_TICK)
				continue;
			check_is(w, m.slot, p->slot);
			if (m.type == GHOST_MSG_TASK_AFFINITY_CHANGED)
				t->nr_affinity++;
			else if (m.type == GHOST_MSG_TASK_PREEMPT)
				t->nr_preempt++;
			else
				fail_case(w, "a message of type %u", m.type);
		}
}

static void case_a_commit_that_a_change_of_affinity_follows_strands_nobody(struct world *w)
{
	struct puppet *p;

	wide_enclave(w);
	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 200; i++) {
		uint32_t to = i % 2 ? CPU_B : CPU_OTHER, away = i % 2 ? CPU_OTHER : CPU_B;
		struct tally t = { 0 };

		committed(w, CPU_A, to, p, 0);
		/* It may have run for a while, or be on its way there. */
		if (i % 3 == 0)
			see_on(w, p, to);
		drain(w);
		move(w, p, cpus_of(CPU_A, away));
		until(w, (tally(w, p, &t), t.nr_affinity && t.nr_preempt));
		check_is(w, t.nr_affinity, 1);
		check_is(w, t.nr_preempt, 1);
		until(w, flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	}
	committed(w, CPU_A, CPU_OTHER, p, 0);
	see_on(w, p, CPU_OTHER);
}

static void case_commits_race_with_changes_of_affinity_and_strand_nobody(struct world *w)
{
	struct puppet *p, *herder;
	uint32_t nr[GHOST_TXN_NR_STATES] = { 0 };

	wide_enclave(w);
	agents_up(w);
	p = member_waiting(w);
	herder = puppet_new(w);
	herder->child = p;
	herder->cpus = cpus_of(CPU_A, CPU_B);
	herder->there = cpus_of(CPU_A, CPU_OTHER);
	move(w, herder, cpus_of(CPU_CASE, -1));
	order(w, herder, PUPPET_HERD);
	for (int i = 0; i < 500 || nr[GHOST_TXN_COMMITTED] < 50; i++) {
		struct ghost_txn t = fresh(w, i % 2 ? CPU_B : CPU_OTHER, p);
		uint32_t state;

		check(w, i < 100000);
		state = remote(w, CPU_A, i % 2 ? CPU_B : CPU_OTHER, &t);
		nr[state]++;
		drain(w);
		/* These a change of affinity cannot bring about. */
		check(w, state != GHOST_TXN_NOT_FOUND && state != GHOST_TXN_NOT_RUNNABLE &&
				 state != GHOST_TXN_INVALID && state != GHOST_TXN_POISONED);
	}
	order(w, herder, PUPPET_BLOCK);
	until(w, w->ops->asleep(w, herder));
	/* It waits, or it runs where it may. */
	move(w, p, cpus_of(CPU_A, -1));
	until(w, flags_of(w, p) == (GHOST_STATUS_INUSE | GHOST_STATUS_RUNNABLE));
	drain(w);
	put_on(w, CPU_A, p, GHOST_SLICE_INF);
	see_on(w, p, CPU_A);
}

/* The memberships of one thread, as its messages tell them. */
struct story {
	uint32_t nr;
	uint64_t gtid;
	uint32_t slot, seq;
	bool over;
};

static void read_on(struct world *w, uint32_t queue, struct story *s)
{
	struct ghost_msg m;

	while (pop(w, queue, &m)) {
		if (m.gtid != s->gtid) {
			/* One begins after the one before has ended, and with its TASK_NEW. */
			check(w, !s->nr || s->over);
			check_is(w, m.type, GHOST_MSG_TASK_NEW);
			*s = (struct story){ .nr = s->nr + 1, .gtid = m.gtid, .slot = m.slot };
		} else {
			check(w, !s->over);
			check(w, m.type != GHOST_MSG_TASK_NEW);
			check(w, (int32_t)(m.seq - s->seq) > 0);
		}
		s->seq = m.seq;
		if (m.type == GHOST_MSG_TASK_DEPARTED || m.type == GHOST_MSG_TASK_DEAD)
			s->over = true;
	}
}

static void case_a_membership_begins_with_its_first_message_whoever_races(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_DEFAULT };
	struct story s = { 0 };
	struct puppet *p;
	uint32_t queue;

	wide_enclave(w);
	queue = queue_made(w, 1024);
	ctl.enclave = id_of(w);
	ctl.queue = queue;
	check_is(w, ask(w, &ctl), 0);
	agents_up(w);
	p = puppet_new(w);
	p->cpus = cpus_of(CPU_A, CPU_B);
	p->there = cpus_of(CPU_B, CPU_OTHER);
	order(w, p, PUPPET_ROAM);
	/* It leaves, and is brought back, whatever it does meanwhile. */
	for (int i = 0; s.nr < 300; i++) {
		check(w, i < 100000);
		if (w->ops->class_of(w, p) == CLASS_OF_FAIR)
			check_is(w, ghost_enclave_join(w->e, p->tid), 0);
		read_on(w, queue, &s);
		p->slot = s.slot;
		if (s.over || !is_member(w, p) || !(flags_of(w, p) & GHOST_STATUS_RUNNABLE)) {
			w->backend->sleep(w->backend, 20000);
			continue;
		}
		for (uint32_t cpu = CPU_B; cpu <= CPU_OTHER; cpu++) {
			struct ghost_txn t = fresh(w, cpu, p);
			uint32_t state = remote(w, CPU_A, cpu, &t);

			check(w, state != GHOST_TXN_INVALID);
			if (state == GHOST_TXN_COMMITTED)
				break;
		}
	}
}

static void case_a_member_that_leaves_at_once_was_told_of_before(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_DEFAULT, .enclave = id_of(w) };
	struct story s = { 0 };
	struct puppet *p;

	ctl.queue = queue_made(w, 1024);
	check_is(w, ask(w, &ctl), 0);
	agents_up(w);
	p = puppet_new(w);
	order(w, p, PUPPET_SPIN);
	for (int i = 0; i < 100; i++) {
		/* Its TASK_NEW is owed until it has left its CPU, and does not come too late. */
		until(w, runs(w, p));
		check_is(w, ghost_enclave_join(w->e, p->tid), 0);
		check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
		read_on(w, ctl.queue, &s);
	}
}

static void case_descendants_of_members_are_members_to_their_end(struct world *w)
{
	struct puppet *p, *all[8];

	agents_up(w);
	all[0] = member_waiting(w);
	for (int i = 0; i < 7; i++) {
		p = all[i];
		committed(w, CPU_A, CPU_B, p, 0);
		see_on(w, p, CPU_B);
		all[i + 1] = order_fork(w, p);
		find_slot(w, w->e, all[i + 1]);
		check(w, flags_of(w, all[i + 1]) & GHOST_STATUS_RUNNABLE);
		check_is(w, status_of(w, all[i + 1])->parent_tid, p->tid);
		drain(w);
		check_is(w, w->ops->class_of(w, all[i + 1]), CLASS_OF_US);
	}
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 8);
	for (int i = 0; i < 8; i++)
		order(w, all[i], PUPPET_EXIT);
	for (int i = 0; i < 8; i++)
		see_it_end(w, CPU_A, CPU_B, all[i]);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
}

static void case_a_thread_joins_by_its_id_and_is_in_our_class(struct world *w)
{
	struct puppet *p;
	uint64_t gtid;

	agents_up(w);
	p = puppet_new(w);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_FAIR);
	check_is(w, ghost_enclave_join(w->e, p->tid), 0);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_US);
	find_slot(w, w->e, p);
	/* It has a name that tells its id, and another one the next time. */
	gtid = status_of(w, p)->gtid;
	check_is(w, (uint32_t)gtid, p->tid);
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_FAIR);
	join(w, w->e, p);
	check_is(w, (uint32_t)status_of(w, p)->gtid, p->tid);
	check(w, status_of(w, p)->gtid != gtid);
}

static void case_a_thread_that_enters_the_class_by_itself_belongs_to_nobody(struct world *w)
{
	struct puppet *p;

	agents_up(w);
	p = puppet_new(w);
	check_is(w, w->backend->task_enter(w->backend, p->tid), 0);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_US);
	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	expect_none(w, 20);
	check_is(w, w->backend->task_leave(w->backend, p->tid), 0);
}

static void case_nice_values_come_with_the_first_message_and_with_each_change(struct world *w)
{
	static const int values[] = { 5, 10, -20, 19, 0 };
	struct ghost_msg m = { 0 };
	struct puppet *p;

	agents_up(w);
	p = puppet_new(w);
	renice(w, p, 3);
	join(w, w->e, p);
	check_is(w, expect(w, p, GHOST_MSG_TASK_NEW).nice, 3);
	for (int i = 0; i < 5; i++) {
		renice(w, p, values[i]);
		check_is(w, expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED).nice, values[i]);
		check_is(w, status_of(w, p)->nice, values[i]);
	}
	order(w, p, PUPPET_EXIT);
	for (int i = 0; m.type != GHOST_MSG_TASK_DEAD; i++) {
		check(w, i < 100);
		if (flags_of(w, p) & GHOST_STATUS_RUNNABLE)
			committed(w, CPU_A, CPU_B, p, 0);
		until(w, pop(w, home_of(w, p), &m));
		check_is(w, m.slot, p->slot);
		check(w, m.type != GHOST_MSG_TASK_PRIORITY_CHANGED);
	}
}

/* --- synchronised groups ---------------------------------------------------------------- */

#define GROUP_OWNER 9

/* Its threads, the CPUs it is committed to from CPU_CASE, and whose turn it is. */
struct group {
	struct puppet *p[16];
	uint32_t nr, turn;
	uint32_t first, last;
	bool hasty; /* decides anew before the CPUs have followed */
};

/* A thread that can be on @cpu and is not chosen yet. */
static struct puppet *group_next(struct world *w, struct group *g, uint32_t cpu,
				 const struct puppet **taken)
{
	for (uint32_t i = 0; i < g->nr; i++) {
		struct puppet *p = g->p[(g->turn + i) % g->nr];
		uint32_t flags = is_member(w, p) ? flags_of(w, p) : 0;
		bool free = true;

		for (uint32_t c = g->first; c < cpu; c++)
			free = free && taken[c] != p;
		if (!free || !(flags & GHOST_STATUS_RUNNABLE ||
			       (flags & GHOST_STATUS_ONCPU && status_of(w, p)->cpu == cpu)))
			continue;
		g->turn = (g->turn + i + 1) % g->nr;
		return p;
	}
	return NULL;
}

/* One decision for all its CPUs; all of it comes true, or nothing. Returns how much did. */
static uint32_t group_commit(struct world *w, struct group *g)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT,
				 .enclave = id_of(w),
				 .flags = GHOST_COMMIT_SYNC };
	const struct puppet *taken[CPUS_MAX] = { NULL };
	uint32_t nr_done = 0, nr = g->last - g->first + 1;

	for (uint32_t cpu = g->first; cpu <= g->last; cpu++) {
		struct puppet *p = group_next(w, g, cpu, taken);
		struct ghost_txn t = fresh(w, cpu, p);

		taken[cpu] = p;
		if (!p)
			t.slot = GHOST_SLOT_IDLE;
		else
			t.flags = GHOST_COMMIT_ALLOW_TASK_ON_CPU | GHOST_RUN_ELIDE_PREEMPT;
		t.owner = GROUP_OWNER;
		write_txn(w, cpu, &t);
		ctl.cpus[0] |= 1u << cpu;
	}
	check_is(w, agent_ask(w, CPU_CASE, &ctl), 0);
	for (uint32_t cpu = g->first; cpu <= g->last; cpu++) {
		uint32_t state = ghost_load_acquire(&rw(w, cpu)->txn.state);

		check(w, ghost_txn_is_final(state));
		w->nr_disturbed += state == GHOST_TXN_CPU_UNAVAIL;
		nr_done += state == GHOST_TXN_COMMITTED || state == GHOST_TXN_YIELDED;
		check_is(w, rw(w, cpu)->txn.owner, ctl.len ? 0 : GROUP_OWNER);
	}
	check(w, ctl.len ? ctl.len == nr && nr_done == nr : nr_done < nr);
	/* Whoever was committed gets there, before somebody else takes its place. */
	for (uint32_t cpu = g->first; cpu <= g->last && !g->hasty; cpu++)
		until(w, !taken[cpu] || !(flags_of(w, taken[cpu]) & GHOST_STATUS_LATCHED));
	drain(w);
	return ctl.len;
}

static void group_rounds(struct world *w, struct group *g, enum puppet_order what, uint32_t rounds)
{
	uint32_t whole = 0;

	for (uint32_t i = 0; i < g->nr; i++)
		order(w, g->p[i], what);
	for (uint32_t i = 0; whole < rounds; i++) {
		check(w, i < 100 * rounds);
		whole += !!group_commit(w, g);
	}
}

static void groups_share(struct world *w, uint32_t nr_cpus, bool hasty)
{
	static const uint32_t threads[] = { 1, 4, 8, 16 };
	struct group g = { .first = CPU_A, .last = CPU_A + nr_cpus - 1, .hasty = hasty };

	enclave_anew(w, all_cpus(w));
	agents_up(w);
	for (int k = 0; k < 4; k++) {
		for (g.nr = 0; g.nr < threads[k]; g.nr++) {
			g.p[g.nr] = member_asleep(w);
			g.p[g.nr]->nap_ns = 100000;
		}
		group_rounds(w, &g, PUPPET_SPIN, 20);
		group_rounds(w, &g, PUPPET_DOZE, 40);
		group_rounds(w, &g, PUPPET_YIELD, 20);
		group_rounds(w, &g, PUPPET_EXIT, 1);
		for (int i = 0; ghost_load_acquire(&ghost_enclave_status(w->e)->nr_tasks); i++) {
			check(w, i < 100000);
			group_commit(w, &g);
		}
	}
}

static void case_synchronised_groups_of_one_cpu_run_their_threads(struct world *w)
{
	groups_share(w, 1, false);
}

static void case_synchronised_groups_of_two_cpus_run_their_threads(struct world *w)
{
	groups_share(w, 2, false);
}

static void case_synchronised_groups_of_three_cpus_run_their_threads(struct world *w)
{
	groups_share(w, 3, false);
}

static void case_synchronised_groups_of_four_cpus_run_their_threads(struct world *w)
{
	groups_share(w, 4, false);
}

static void case_synchronised_groups_of_eight_cpus_run_their_threads(struct world *w)
{
	groups_share(w, 8, false);
}

static void case_groups_that_are_decided_faster_than_cpus_follow_keep_their_threads(struct world *w)
{
	groups_share(w, 1, true);
}

/* --- enclaves --------------------------------------------------------------------------- */

static struct ghost_enclave *enclave_made(struct world *w, struct ghost_cpuset cpus)
{
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e = NULL;

	check_is(w, ghost_enclave_create(&e, w->backend, &opts), 0);
	return e;
}

static void enclave_gone(struct world *w, struct ghost_enclave *e)
{
	check_is(w, ghost_enclave_destroy(e), 0);
	ghost_enclave_close(e);
}

static void case_the_kernel_side_has_the_version_we_were_built_for(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_INFO };

	check_is(w, w->backend->admin(w->backend, &ctl), 0);
	check_is(w, ctl.ret, 0);
	check_is(w, ctl.abi, GHOST_ABI_VERSION);
	check_is(w, ghost_enclave_status(w->e)->abi, GHOST_ABI_VERSION);
}

static void case_an_enclave_of_all_cpus_can_be_made_anew(struct world *w)
{
	enclave_gone(w, w->e);
	w->e = NULL;
	for (int i = 0; i < 20; i++)
		enclave_gone(w, enclave_made(w, all_cpus(w)));
}

static void case_an_enclave_has_the_smallest_free_id(struct world *w)
{
	struct ghost_enclave *a, *b;
	uint32_t id;

	a = enclave_made(w, cpus_of(CPU_OTHER, -1));
	b = enclave_made(w, cpus_of(CPU_CASE, -1));
	id = ghost_enclave_id(a);
	check(w, id != id_of(w) && id != ghost_enclave_id(b));
	enclave_gone(w, a);
	a = enclave_made(w, cpus_of(CPU_OTHER, -1));
	check_is(w, ghost_enclave_id(a), id);
	enclave_gone(w, b);
	enclave_gone(w, a);
}

static void case_an_enclave_has_the_cpus_it_was_made_with(struct world *w)
{
	enclave_gone(w, w->e);
	w->e = NULL;
	for (uint64_t mask = 1; mask < 1u << NR_CPUS; mask++) {
		struct ghost_cpuset cpus = { { mask } }, got;
		struct ghost_enclave *e = enclave_made(w, cpus);

		check_is(w, ghost_enclave_cpus(e, &got), 0);
		check_is(w, memcmp(&got, &cpus, sizeof(cpus)), 0);
		check_is(w, ghost_enclave_status(e)->nr_cpus, ghost_cpuset_count(&cpus));
		enclave_gone(w, e);
	}
}

static void case_an_enclave_is_not_made_of_cpus_that_are_none(struct world *w)
{
	static const uint32_t bad[] = { NR_CPUS, 63, 64, GHOST_CPUS_MAX - 1 };
	struct ghost_cpuset cpus = { 0 };
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_enclave *e = NULL;

	check_is(w, ghost_enclave_create(&e, w->backend, &opts), -EINVAL);
	for (int i = 0; i < 4; i++) {
		cpus = cpus_of(CPU_OTHER, bad[i]);
		check_is(w, ghost_enclave_create(&e, w->backend, &opts), -EINVAL);
		check(w, e == NULL);
	}
	/* The good one among them is free still. */
	other_enclave(w);
}

static void case_cpus_of_an_enclave_that_is_gone_can_be_claimed_at_once(struct world *w)
{
	struct ghost_enclave *leaked[20];

	for (int i = 0; i < 20; i++) {
		leaked[i] = enclave_made(w, cpus_of(CPU_OTHER, CPU_CASE));
		/* The handle stays. */
		check_is(w, ghost_enclave_destroy(leaked[i]), 0);
	}
	other_enclave(w);
	for (int i = 0; i < 20; i++)
		ghost_enclave_close(leaked[i]);
	check_is(w, ghost_enclave_memory(w->other)->cpu[CPU_OTHER].owned, 1);
}

static void case_transactions_of_a_new_enclave_are_free_and_nobodys(struct world *w)
{
	for (uint32_t cpu = 0; cpu < NR_CPUS; cpu++) {
		check_is(w, rw(w, cpu)->txn.state, GHOST_TXN_FREE);
		check_is(w, rw(w, cpu)->pick.state, GHOST_TXN_FREE);
		check_is(w, rw(w, cpu)->txn.owner, 0);
		check_is(w, page(w, cpu)->owned, cpu == CPU_A || cpu == CPU_B);
		check_is(w, page(w, cpu)->agent_tid, 0);
	}
}

static void case_a_new_enclave_has_no_members(struct world *w)
{
	struct ghost_enclave_counts counts;

	check_is(w, ghost_enclave_status(w->e)->nr_tasks, 0);
	check_is(w, ghost_enclave_count(w->e, &counts), 0);
	check_is(w, counts.nr_tasks, 0);
	check_is(w, counts.nr_agents, 0);
}

/* It reads 0, and what was asked for after. */
static void delivers(struct world *w, uint32_t flag)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_DELIVER, .enclave = id_of(w) };

	check_is(w, ghost_enclave_status(w->e)->deliver, 0);
	ctl.flags = flag;
	check_is(w, ask(w, &ctl), 0);
	check_is(w, ghost_enclave_status(w->e)->deliver, flag);
	ctl.flags = 0;
	check_is(w, ask(w, &ctl), 0);
	check_is(w, ghost_enclave_status(w->e)->deliver, 0);
}

static void case_whether_agents_run_is_delivered_when_asked_for(struct world *w)
{
	delivers(w, GHOST_DELIVER_RUNNABILITY);
}

static void case_whether_cpus_are_available_is_delivered_when_asked_for(struct world *w)
{
	delivers(w, GHOST_DELIVER_AVAILABILITY);
}

/* A thread joins while its enclave is destroyed. */
struct joiner {
	struct world *w;
	struct ghost_enclave *e;
	uint32_t tid;
	int err;
	uint32_t go, done; /* the number of the round */
};

#define JOIN_ROUNDS 100

static void joiner_main(void *arg)
{
	struct joiner *j = arg;
	struct ghost_backend *b = j->w->backend;

	for (uint32_t i = 0; i < JOIN_ROUNDS; i++) {
		if (b->wait(b, &j->go, i, ~0ull) || ghost_load_acquire(&j->go) > JOIN_ROUNDS)
			break;
		j->err = ghost_enclave_join(j->e, j->tid);
		ghost_store_release(&j->done, i + 1);
		b->wake(b, &j->done);
	}
}

static void joiner_go(struct joiner *j, uint32_t round)
{
	ghost_store_release(&j->go, round);
	j->w->backend->wake(j->w->backend, &j->go);
}

static bool joiner_done(struct joiner *j, uint32_t round)
{
	uint32_t nr;

	while ((nr = ghost_load_acquire(&j->done)) != round)
		if (j->w->backend->wait(j->w->backend, &j->done, nr, PATIENCE * MS))
			return false;
	return true;
}

/* Round @i: each side is first for certain in one of four rounds. Returns what joining said. */
static int join_and_destroy(struct world *w, struct joiner *j, uint32_t i)
{
	struct ghost_enclave *e = enclave_made(w, cpus_of(CPU_OTHER, -1));
	int err = ghost_enclave_open(&j->e, w->backend, ghost_enclave_id(e)), gone = 0;

	if (err)
		return err;
	if (i % 4 == 1)
		gone = ghost_enclave_destroy(e);
	joiner_go(j, i);
	if (i % 4 == 0 && !joiner_done(j, i))
		return -ETIMEDOUT;
	for (uint32_t k = 0; k < i * 20; k++)
		ghost_relax();
	if (i % 4 != 1)
		gone = ghost_enclave_destroy(e);
	if (!joiner_done(j, i))
		return -ETIMEDOUT;
	/* One that was too late for the first call is seen by the second. */
	gone = gone == -EBUSY ? ghost_enclave_destroy(e) : gone;
	ghost_enclave_close(j->e);
	ghost_enclave_close(e);
	return gone ?: j->err;
}

static void case_joining_and_destroying_race_and_leave_no_thread_behind(struct world *w)
{
	uint32_t nr_joined = 0, nr_late = 0;
	struct joiner j = { .w = w };
	struct puppet *p = puppet_new(w);
	void *thread;

	order(w, p, PUPPET_SPIN);
	j.tid = p->tid;
	check_is(w, w->backend->thread_start(w->backend, "joiner", joiner_main, &j, &thread), 0);
	for (uint32_t i = 1; i <= JOIN_ROUNDS && !w->failure[0]; i++) {
		int err = join_and_destroy(w, &j, i);

		nr_joined += !err;
		nr_late += err == -ENOENT;
		if ((err && err != -ENOENT) || !runs(w, p))
			break;
		w->backend->task_leave(w->backend, p->tid);
	}
	joiner_go(&j, JOIN_ROUNDS + 1);
	w->backend->thread_join(w->backend, thread);
	check_is(w, nr_joined + nr_late, JOIN_ROUNDS);
	check(w, nr_joined && nr_late);
	check_is(w, w->ops->class_of(w, p), CLASS_OF_FAIR);
}

/* --- queues ------------------------------------------------------------------------------- */

static void case_a_new_thread_wakes_an_agent_that_idles(struct world *w)
{
	struct puppet *p;
	uint32_t cpu;

	agents_up(w);
	rest(w, CPU_A);
	rest(w, CPU_B);
	pass(w, 20);
	check(w, !commit_ended(w, CPU_A) && !commit_ended(w, CPU_B));
	p = puppet_new(w);
	order(w, p, PUPPET_SPIN);
	until(w, runs(w, p));
	join(w, w->e, p);
	cpu = home_of(w, p);
	until(w, commit_ended(w, cpu));
	check_is(w, expect(w, p, GHOST_MSG_TASK_NEW).flags, GHOST_MSG_RUNNABLE);
	put_on(w, cpu, p, GHOST_SLICE_INF);
	see_on(w, p, cpu);
	order(w, p, PUPPET_BLOCK);
	expect(w, p, GHOST_MSG_TASK_BLOCKED);
	order(w, p, PUPPET_SPIN);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	put_on(w, cpu, p, GHOST_SLICE_INF);
	see_on(w, p, cpu);
	order(w, p, PUPPET_YIELD);
	expect(w, p, GHOST_MSG_TASK_YIELD);
	put_on(w, cpu, p, GHOST_SLICE_INF);
	order(w, p, PUPPET_EXIT);
	until(w, commit_ended(w, cpu));
	for (int i = 0; is_member(w, p); i++) {
		check(w, i < 100);
		if (flags_of(w, p) & GHOST_STATUS_RUNNABLE)
			put_on(w, cpu, p, GHOST_SLICE_INF);
		drain(w);
		pass(w, 1);
	}
}

static void case_a_thread_given_another_queue_at_once_tells_all_else_there(struct world *w)
{
	uint32_t queue, flags, home;
	struct puppet *p;
	struct ghost_msg m;

	agents_up(w);
	queue = queue_made(w, 64);
	p = puppet_new(w);
	join(w, w->e, p);
	home = home_of(w, p);
	m = expect(w, p, GHOST_MSG_TASK_NEW);
	check_is(w, assoc(w, queue, p->slot, m.seq, &flags), 0);
	check_is(w, flags, 0);
	order(w, p, PUPPET_SPIN);
	expect(w, p, GHOST_MSG_TASK_WAKEUP);
	check_is(w, home_of(w, p), queue);
	for (int i = 0; i < 10; i++) {
		committed(w, CPU_A, CPU_B, p, 0);
		see_on(w, p, CPU_B);
		order(w, p, i % 2 ? PUPPET_YIELD : PUPPET_BLOCK);
		expect(w, p, i % 2 ? GHOST_MSG_TASK_YIELD : GHOST_MSG_TASK_BLOCKED);
		order(w, p, PUPPET_SPIN);
		if (i % 2 == 0)
			expect(w, p, GHOST_MSG_TASK_WAKEUP);
	}
	check_is(w, home_of(w, p), queue);
	check(w, !pop(w, home, &m));
}

static void case_queues_hold_as_many_messages_as_was_asked_for(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_DESTROY, .enclave = id_of(w) };
	struct ghost_msg m;
	struct puppet *p;
	uint32_t flags, queue;

	/* The longest takes all there is; the place is kept for a while. */
	ctl.queue = queue_made(w, GHOST_QUEUE_LEN_MAX);
	check_is(w, ask(w, &ctl), 0);
	ctl = (struct ghost_ctl){ .op = GHOST_CTL_QUEUE_CREATE,
				  .enclave = id_of(w),
				  .len = GHOST_QUEUE_LEN_MAX / 2 };
	within(w, 2000, ask(w, &ctl) == 0);
	for (uint32_t len = GHOST_QUEUE_LEN_MAX / 4; len > 256; len /= 2)
		queue_made(w, len);
	agents_up(w);
	p = member_asleep(w);
	pass(w, 1);
	for (uint32_t len = 256; len; len /= 2) {
		queue = queue_made(w, len);
		check_is(w, assoc(w, queue, p->slot, seq_of(w, p), &flags), 0);
		for (uint32_t i = 0; i < len; i++)
			renice(w, p, i % 2 + len % 3 + 1);
		check_is(w, page(w, queue)->queue.head, len);
		check_is(w, page(w, queue)->queue.overflow, 0);
		renice(w, p, 10);
		check_is(w, page(w, queue)->queue.overflow, 1);
		for (uint32_t i = 0; i < len; i++)
			check(w, pop(w, queue, &m));
		check(w, !pop(w, queue, &m));
	}
}

const struct contract_case contract_conformance_cases[] = {
	CASE(case_agents_that_are_stopped_have_all_gone),
	CASE(case_each_ping_brings_its_agent_back_once),
	CASE(case_ticks_go_to_the_queue_of_the_agent_and_nowhere_else),
	CASE(case_a_timer_tells_its_own_agent_with_its_cookie),
	CASE(case_the_end_of_idling_is_told_to_the_agent_of_that_cpu),
	CASE(case_an_agent_that_sleeps_is_told_of_twice),
	CASE(case_an_agent_may_leave_its_class_and_ends_the_delegation),
	CASE(case_each_cpu_tells_its_agent_and_strange_cpus_have_none),
	CASE(case_a_thread_that_ends_is_committed_over_and_over),
	CASE(case_synchronised_groups_of_one_cpu_run_their_threads),
	CASE(case_synchronised_groups_of_two_cpus_run_their_threads),
	CASE(case_synchronised_groups_of_three_cpus_run_their_threads),
	CASE(case_groups_that_are_decided_faster_than_cpus_follow_keep_their_threads),
	CASE(case_only_the_cpu_that_was_asked_tells_the_end_of_idling),
	CASE(case_the_kernel_side_has_the_version_we_were_built_for),
	CASE(case_times_of_commit_and_switch_follow_each_other),
	CASE(case_a_commit_that_a_change_of_affinity_follows_strands_nobody),
	CASE(case_commits_race_with_changes_of_affinity_and_strand_nobody),
	CASE(case_a_membership_begins_with_its_first_message_whoever_races),
	CASE(case_a_member_that_leaves_at_once_was_told_of_before),
	CASE(case_descendants_of_members_are_members_to_their_end),
	CASE(case_a_thread_joins_by_its_id_and_is_in_our_class),
	CASE(case_a_thread_that_enters_the_class_by_itself_belongs_to_nobody),
	CASE(case_nice_values_come_with_the_first_message_and_with_each_change),
	CASE(case_an_enclave_of_all_cpus_can_be_made_anew),
	CASE(case_an_enclave_has_the_smallest_free_id),
	CASE(case_an_enclave_has_the_cpus_it_was_made_with),
	CASE(case_an_enclave_is_not_made_of_cpus_that_are_none),
	CASE(case_cpus_of_an_enclave_that_is_gone_can_be_claimed_at_once),
	CASE(case_transactions_of_a_new_enclave_are_free_and_nobodys),
	CASE(case_joining_and_destroying_race_and_leave_no_thread_behind),
	CASE(case_a_new_enclave_has_no_members),
	CASE(case_whether_agents_run_is_delivered_when_asked_for),
	CASE(case_whether_cpus_are_available_is_delivered_when_asked_for),
	CASE(case_a_new_thread_wakes_an_agent_that_idles),
	CASE(case_a_thread_given_another_queue_at_once_tells_all_else_there),
	CASE(case_queues_hold_as_many_messages_as_was_asked_for),
	{ 0 },
};

const struct contract_case contract_wide_cases[] = {
	CASE(case_synchronised_groups_of_four_cpus_run_their_threads, .nr_cpus = 9),
	CASE(case_synchronised_groups_of_eight_cpus_run_their_threads, .nr_cpus = 9),
	{ 0 },
};
