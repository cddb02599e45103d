// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CPU that looks for work, and the agent's own events around that.
 * In: core/cpu.h and core/agent.h over plain memory. Out: TAP.
 */
#include "tests/unit/event_fake.h"

#include "core/cpu.h"
#include "core/enclave.h"

#define CPU 1 /* the one that looks; the thread in custody has its messages on CPU 0 */
#define AGENT 500
#define FOREIGN 4 /* a CPU of enclave 2 */
#define NOBODYS 6

static struct core_cpu *const c = &fake.cpu[CPU];
static struct ghost_cpu *const page = &fake.page[1][CPU];
static struct ghost_txn *const txn = &fake.rw[1][CPU].txn;
static struct ghost_txn *const pick = &fake.rw[1][CPU].pick;
static struct port_thread *const current = (struct port_thread *)&fake;
static struct fake before;

static const __u32 offline[] = { GHOST_ENCLAVE_IDLE, GHOST_ENCLAVE_LOST, GHOST_ENCLAVE_DYING };

static __u32 s; /* a thread in custody */

static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	fake.this_cpu = CPU;
	page->agent_seq = 40;
	s = thread_in(CORE_TASK_CUSTODY);
	assert_int_equal(fake.task[s].queue, 0);
	assert_int_equal(agent_attach(1, CPU, AGENT, 1, 0), 1);
	return 0;
}

static int is_idle(__u32 cpu)
{
	return fake_es(1)->idle[0] >> cpu & 1;
}

/* The agent hands in a decision (slot 0: nothing to run) and gives the CPU up. */
static void decide(__u32 slot)
{
	*txn = (struct ghost_txn){
		.slot = slot,
		.task_seq = slot < FAKE_SLOTS ? fake.task[slot].seq : 0,
		.agent_seq = page->agent_seq,
		.slice_ns = 5000,
		.ping_cpu = GHOST_CPU_NONE,
		.state = GHOST_TXN_READY,
	};
	agent_yield(CPU);
}

/* The agent is taken off the CPU, still runnable. */
static enum agent_verdict put_aside(void)
{
	enum agent_verdict verdict = agent_enqueue(1, CPU, 0);

	if (verdict == AGENT_PARK)
		fake.agent_parked[CPU] = 1;
	return verdict;
}

/* It found nothing to run and waits; a thread of another class has the CPU. */
static void park(void)
{
	decide(0);
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_YIELDED);
	assert_int_equal(put_aside(), AGENT_PARK);
	cpu_busy(CPU, 0);
}

/* A member of enclave 1 that waits for the fallback, without a word to anyone. */
static __u32 fallback_thread(void)
{
	__u32 slot = thread_in(CORE_TASK_FALLBACK);

	fake.th[slot].place = FAKE_FALLBACK;
	fake.th[slot].entered = ++fake.stamp;
	return slot;
}

static void message(void)
{
	port_fetch_add(&page->agent_seq, 1);
}

/* The agent was not put on its CPU, in neither way. */
static void assert_agent_left_alone(void)
{
	assert_int_equal(fake.agent_runs[CPU], 0);
	assert_int_equal(fake.kept, 0);
}

static void assert_agent_kept(void)
{
	assert_int_equal(fake.kept, 1);
	assert_int_equal(fake.kept_ns, AGENT_SLICE_NS);
	assert_int_equal(fake.agent_runs[CPU], 0);
	assert_int_equal(c->yielded, 0);
}

/* --- in which order ------------------------------------------------------------ */

static void test_cpu_decision_is_carried_out_before_all_else(void **state)
{
	__u32 other = fallback_thread();

	decide(s);
	/* Even before news: this message was not there when the numbers were compared. */
	fake.hook[FAKE_AT_MOVE] = message;
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	assert_int_equal(fake.th[s].cpu, CPU);
	assert_true(agent_pending(c, page));
	assert_agent_left_alone();
	assert_int_equal(fake.th[other].place, FAKE_FALLBACK);
	assert_false(is_idle(CPU));
}

static void test_cpu_runs_a_parked_agent_with_news_before_the_fallback(void **state)
{
	__u32 other;

	park();
	other = fallback_thread();
	message();
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
	assert_int_equal(c->place, CORE_PLACE_NONE);
	assert_int_equal(fake.th[other].place, FAKE_FALLBACK);
	assert_false(is_idle(CPU));
}

static void all_leave(void)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		fake.cpu[cpu].enclave = 0;
}

static void test_cpu_that_leaves_its_enclave_looks_into_no_queue_that_is_not_there(void **state)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		fake.on_enclave = all_leave;
		cpu_dispatch(cpu, NULL);
		fake.on_enclave = NULL;
		assert_int_equal(fake.nr_nowhere, 0);
		fake.cpu[cpu].enclave = 1;
	}
}

static void test_cpu_runs_the_fallback_before_it_idles(void **state)
{
	__u32 first = fallback_thread(), second = fallback_thread();

	park();
	assert_int_equal(fake.th[first].place, FAKE_LOCAL); /* the agent had nothing better */
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.th[second].place, FAKE_LOCAL);
	assert_int_equal(fake.th[second].cpu, CPU);
	assert_agent_left_alone();
	assert_false(is_idle(CPU));
}

/* A member of @enclave that the fallback runs on CPU, and whose slice is over. */
static __u32 runs_by_the_fallback(__u64 vtime_ns)
{
	__u32 slot = fallback_thread();

	fake.th[slot].place = FAKE_RUNS;
	fake.th[slot].cpu = CPU;
	fake.task[slot].vtime_ns = vtime_ns;
	fake.status[1][slot].weight = 100;
	return slot;
}

/* One that waits for it. */
static __u32 waits_for_the_fallback(__u64 vtime_ns)
{
	__u32 slot = fallback_thread();

	fake.task[slot].vtime_ns = fake.th[slot].at_ns = vtime_ns;
	fake_mask_set(1, slot, ~0ull);
	return slot;
}

static struct port_thread *prev_of(__u32 slot)
{
	return (struct port_thread *)&fake.th[slot];
}

/* Does @slot go on when CPU looks for work? */
static int goes_on(__u32 slot)
{
	__u32 kept = fake.kept;

	cpu_dispatch(CPU, prev_of(slot));
	return fake.kept != kept;
}

static void test_cpu_of_a_fair_fallback_keeps_who_had_least(void **state)
{
	__u32 runs, other;

	fake.enclave[1].fallback = GHOST_FALLBACK_FAIR;
	runs = runs_by_the_fallback(10000000);
	other = waits_for_the_fallback(20000000);
	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	fake.th[runs].runtime_ns = fake.status[1][runs].runtime_ns + 5000000;
	assert_true(goes_on(runs));
	assert_int_equal(fake.kept_ns, FALLBACK_SLICE_NS);
	assert_int_equal(fake.th[other].place, FAKE_FALLBACK);
	assert_false(is_idle(CPU));
	/* What it had is counted, once. */
	assert_int_equal(fake.task[runs].vtime_ns, 15000000);
	assert_int_equal(fake.enclave[1].vtime_ns, 15000000);
	assert_true(goes_on(runs));
	assert_int_equal(fake.task[runs].vtime_ns, 15000000);
	/* Until somebody else had less. */
	fake.th[runs].runtime_ns += 6000000;
	assert_false(goes_on(runs));
	assert_int_equal(fake.th[other].place, FAKE_LOCAL);
	assert_int_equal(fake.task[runs].vtime_ns, 21000000);
}

static void test_cpu_of_a_fair_fallback_asks_who_may_run_there(void **state)
{
	__u32 runs, elsewhere;

	fake.enclave[1].fallback = GHOST_FALLBACK_FAIR;
	runs = runs_by_the_fallback(10000000);
	elsewhere = waits_for_the_fallback(5000000);
	fake_mask_set(1, elsewhere, ~(1ull << CPU));
	waits_for_the_fallback(20000000);
	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	assert_true(goes_on(runs));
	fake_mask_set(1, elsewhere, 1ull << CPU);
	assert_false(goes_on(runs));
}

/* Nobody is kept who does not want it, or should be elsewhere, or has had a turn as others have. */
static void test_cpu_of_the_fallback_keeps_no_others(void **state)
{
	enum {
		NOTHING,
		YIELDS,
		OUTSIDE,
		KICKED,
		THEIRS,
		COMMITTED,
		FIFO,
		WEIGHTED,
		ASLEEP,
		AGENTS_ELSEWHERE,
		NR
	};

	for (int why = 0; why < NR; why++) {
		__u32 runs;

		setup(NULL);
		fake.enclave[1].fallback = GHOST_FALLBACK_FAIR;
		runs = runs_by_the_fallback(10000000);
		waits_for_the_fallback(20000000);
		if (why == YIELDS)
			fake.task[runs].flags |= CORE_TASK_YIELDED;
		else if (why == OUTSIDE)
			fake.task[runs].flags |= CORE_TASK_OUTSIDE;
		else if (why == KICKED)
			c->kicked = 1;
		else if (why == THEIRS)
			fake.task[runs].enclave = 2;
		else if (why == COMMITTED)
			fake.task[runs].state = CORE_TASK_RUNNING;
		else if (why == FIFO)
			fake.enclave[1].fallback = GHOST_FALLBACK_FIFO;
		else if (why == WEIGHTED)
			fake.enclave[1].fallback = GHOST_FALLBACK_WEIGHTED;
		else if (why == ASLEEP)
			fake.th[runs].place = FAKE_NOWHERE;
		else if (why == AGENTS_ELSEWHERE)
			c->agent_tid = 0;
		fake.enclave[1].state = why == AGENTS_ELSEWHERE ? GHOST_ENCLAVE_ONLINE :
								  GHOST_ENCLAVE_IDLE;
		assert_int_equal(goes_on(runs), why == NOTHING);
	}
}

static void test_cpu_with_nothing_at_all_idles(void **state)
{
	park();
	assert_false(is_idle(CPU));
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake_es(1)->idle[0], 1 << CPU);
	assert_agent_left_alone();
	assert_int_equal(c->place, CORE_PLACE_PARKED);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY); /* nobody has decided that it runs */
}

static void test_cpu_without_news_leaves_a_parked_agent_parked(void **state)
{
	park();
	/* News for its neighbour is none for it. */
	fake.page[1][CPU - 1].agent_seq++;
	fake.page[1][CPU + 1].agent_seq++;
	cpu_dispatch(CPU, NULL);
	assert_agent_left_alone();
}

/* --- refusals -------------------------------------------------------------------- */

/* Make the decision just handed in one that comes to @state. */
static void spoil(__u32 state)
{
	switch (state) {
	case GHOST_TXN_AGENT_STALE:
		txn->agent_seq++; /* from the future, so that nothing is unseen */
		break;
	case GHOST_TXN_TASK_STALE:
		txn->task_seq--;
		break;
	case GHOST_TXN_NOT_FOUND:
		txn->slot = FAKE_SLOTS - 1;
		break;
	case GHOST_TXN_NOT_RUNNABLE:
		fake.task[s].state = CORE_TASK_BLOCKED;
		break;
	case GHOST_TXN_ON_CPU:
		fake.task[s].state = CORE_TASK_LATCHED;
		break;
	case GHOST_TXN_NOT_ALLOWED:
		fake.th[s].cpus[0] = ~(1ull << CPU);
		break;
	case GHOST_TXN_AGAIN:
		fake.th[s].place = FAKE_NOWHERE;
		break;
	case GHOST_TXN_INVALID:
		txn->slice_ns = 0;
		break;
	}
}

static void test_cpu_keeps_an_agent_whose_decision_is_refused(void **state)
{
	for (__u32 want = GHOST_TXN_AGENT_STALE; want <= GHOST_TXN_INVALID; want++) {
		__u32 other;

		setup(NULL);
		other = fallback_thread();
		decide(s);
		spoil(want);
		cpu_dispatch(CPU, current);
		assert_int_equal(txn->state, want);
		assert_false(agent_pending(c, page)); /* the refusal alone is why */
		assert_agent_kept();
		assert_int_equal(c->decided, 0);
		assert_int_equal(fake.nr_moves, 0);
		assert_int_equal(fake.th[other].place, FAKE_FALLBACK);
		assert_false(is_idle(CPU));
	}
}

static void test_cpu_runs_a_parked_agent_whose_decision_is_refused(void **state)
{
	for (__u32 want = GHOST_TXN_AGENT_STALE; want <= GHOST_TXN_INVALID; want++) {
		setup(NULL);
		decide(s);
		assert_int_equal(put_aside(), AGENT_PARK);
		spoil(want);
		cpu_dispatch(CPU, NULL);
		assert_int_equal(txn->state, want);
		assert_int_equal(fake.agent_runs[CPU], 1);
		assert_int_equal(c->place, CORE_PLACE_NONE);
		assert_int_equal(fake.kept, 0);
	}
}

/* --- an agent that is still the current thread --------------------------------------- */

static void test_cpu_does_not_keep_an_agent_that_gave_it_up(void **state)
{
	decide(0);
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_YIELDED);
	assert_agent_left_alone();
	assert_true(is_idle(CPU));
	assert_int_equal(put_aside(), AGENT_PARK);
	/* The same with no word in its slot at all. */
	setup(NULL);
	agent_yield(CPU);
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_FREE);
	assert_agent_left_alone();
	assert_true(is_idle(CPU));
}

static void test_cpu_keeps_a_yielded_agent_that_has_news(void **state)
{
	__u32 other = fallback_thread();

	message();
	agent_yield(CPU);
	cpu_dispatch(CPU, current);
	assert_agent_kept();
	assert_int_equal(fake.th[other].place, FAKE_FALLBACK);
	assert_false(is_idle(CPU));
}

/* Somebody else runs here, or nobody: there is nobody to keep. */
static void test_cpu_cannot_keep_an_agent_that_is_not_there(void **state)
{
	__u32 other = fallback_thread();

	message();
	agent_yield(CPU);
	cpu_dispatch(CPU, NULL);
	assert_agent_left_alone();
	assert_int_equal(c->yielded, 1);
	assert_int_equal(fake.th[other].place, FAKE_LOCAL);
}

/* It lost the CPU to another class, or sleeps: what it has written is not finished. */
static void test_cpu_leaves_an_agent_alone_in_the_middle_of_a_decision(void **state)
{
	__u32 other = fallback_thread();

	decide(s);
	c->yielded = 0; /* only written, not handed in */
	message();
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_READY);
	assert_agent_left_alone();
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	assert_int_equal(fake.th[other].place, FAKE_LOCAL);
	/* And with nobody else, the CPU idles over the news until the agent is back. */
	cpu_dispatch(CPU, NULL);
	assert_int_equal(txn->state, GHOST_TXN_READY);
	assert_agent_left_alone();
	assert_true(is_idle(CPU));
}

/* --- standby --------------------------------------------------------------------------- */

static void test_cpu_agent_waits_behind_the_thread_it_committed(void **state)
{
	decide(s);
	cpu_dispatch(CPU, current);
	assert_int_equal(c->decided, 1);
	assert_int_equal(put_aside(), AGENT_BEHIND);
	assert_int_equal(c->place, CORE_PLACE_STANDBY);
	assert_int_equal(c->yielded, 0);
	assert_int_equal(c->decided, 0);
	/* It is its turn by itself when the thread stops, whatever dispatch is asked before. */
	thread_run(s, CPU);
	message();
	cpu_dispatch(CPU, NULL);
	assert_agent_left_alone();
	assert_int_equal(c->place, CORE_PLACE_STANDBY);
}

/* One decision makes one standby: the next time it has nothing to run it is parked. */
static void test_cpu_agent_waits_behind_a_thread_once_per_decision(void **state)
{
	decide(s);
	cpu_dispatch(CPU, current);
	assert_int_equal(put_aside(), AGENT_BEHIND);
	thread_run(s, CPU);
	thread_block(s);
	decide(0);
	cpu_dispatch(CPU, current);
	assert_int_equal(c->decided, 0);
	assert_int_equal(put_aside(), AGENT_PARK);
}

static void test_cpu_agent_whose_decision_was_refused_waits_behind_nobody(void **state)
{
	decide(s);
	spoil(GHOST_TXN_NOT_ALLOWED);
	cpu_dispatch(CPU, current);
	assert_agent_kept();
	assert_int_equal(put_aside(), AGENT_FIRST); /* preempted at that moment */
	decide(0);
	cpu_dispatch(CPU, current);
	assert_int_equal(put_aside(), AGENT_PARK);
}

/* --- parked before anybody looked ------------------------------------------------------- */

static void test_cpu_carries_out_the_decision_of_an_agent_parked_unheard(void **state)
{
	decide(s);
	assert_int_equal(put_aside(), AGENT_PARK); /* another class came before dispatch */
	assert_int_equal(c->txn_due, 1);
	cpu_dispatch(CPU, NULL);
	assert_int_equal(txn->state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	assert_int_equal(c->txn_due, 0);
	/* It stays where it is, and behind nobody: not on this CPU's queue at all. */
	assert_agent_left_alone();
	assert_int_equal(c->place, CORE_PLACE_PARKED);
	assert_int_equal(c->decided, 0);
	/* So the thread's end has to bring it back. */
	thread_run(s, CPU);
	thread_block(s);
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
}

/* What is written into the slot of an agent that waits is no decision. */
static void test_cpu_looks_once_at_the_decision_of_a_parked_agent(void **state)
{
	park();
	cpu_dispatch(CPU, NULL);
	decide(s);
	c->yielded = 0;
	cpu_dispatch(CPU, NULL);
	assert_int_equal(txn->state, GHOST_TXN_READY);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	assert_agent_left_alone();
	/* Of one that stands by, none either. */
	c->place = CORE_PLACE_STANDBY;
	c->txn_due = 1;
	cpu_dispatch(CPU, NULL);
	assert_int_equal(txn->state, GHOST_TXN_READY);
}

/* --- news at any moment -------------------------------------------------------------------- */

static int moments; /* until the message comes; negative: it came */

static void news(void)
{
	if (moments-- > 0)
		return;
	fake.step = NULL;
	fake.step_after = NULL;
	agent_ping(1, CPU);
}

static void news_in(int nr, int after)
{
	moments = nr;
	if (after)
		fake.step_after = news;
	else
		fake.step = news;
}

/* Did it come? From now on none does. */
static int news_came(void)
{
	fake.step = NULL;
	fake.step_after = NULL;
	return moments < 0;
}

/* Run now, or kicked and then run; and awake in either case. */
static void assert_agent_wakes(void)
{
	if (!fake.agent_runs[CPU]) {
		assert_int_equal(fake.kicks[CPU], 1);
		cpu_dispatch(CPU, NULL);
	}
	assert_int_equal(fake.agent_runs[CPU], 1);
	assert_false(is_idle(CPU));
}

static void test_cpu_going_idle_loses_no_news_for_a_parked_agent(void **state)
{
	int n, after;

	for (after = 0; after <= 1; after++) {
		for (n = 0;; n++) {
			setup(NULL);
			park();
			news_in(n, after);
			cpu_dispatch(CPU, NULL);
			if (!news_came())
				break;
			assert_agent_wakes();
		}
		/* The state, the number, the bit, the number again. */
		assert_true(n >= 4);
		assert_agent_left_alone();
		assert_true(is_idle(CPU));
	}
}

static void test_cpu_no_news_is_lost_between_a_yield_and_the_parking(void **state)
{
	int n, after, first = 0, kept = 0, woken = 0;
	enum agent_verdict verdict;

	for (after = 0; after <= 1; after++) {
		for (n = 0;; n++) {
			setup(NULL);
			decide(0);
			news_in(n, after);
			cpu_dispatch(CPU, current);
			if (fake.kept) {
				assert_true(news_came());
				kept++;
				continue;
			}
			verdict = put_aside();
			if (!news_came())
				break;
			if (verdict == AGENT_FIRST) {
				assert_int_equal(c->place, CORE_PLACE_NONE);
				first++;
				continue;
			}
			assert_int_equal(verdict, AGENT_PARK);
			assert_agent_wakes();
			woken++;
		}
		assert_int_equal(c->place, CORE_PLACE_PARKED);
	}
	/* Each of the three ways is taken at some moment. */
	assert_true(kept && first && woken);
}

/* The one who sent it has taken the bit: his kick is on its way, and one run is enough. */
static void take_the_bit(void)
{
	if (!is_idle(CPU))
		return;
	fake.step_after = NULL;
	agent_ping(1, CPU);
}

static void test_cpu_whose_idle_bit_is_gone_leaves_the_news_to_the_kick(void **state)
{
	park();
	fake.step_after = take_the_bit;
	cpu_dispatch(CPU, NULL);
	assert_agent_left_alone();
	assert_int_equal(fake.kicks[CPU], 1);
	assert_false(is_idle(CPU));
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
}

/* --- picks, written ahead -------------------------------------------------------------------- */

static void write_pick(__u32 slot)
{
	*pick = txn_good(slot, CPU);
	pick->slice_ns = 7000;
}

static void assert_pick_taken(void)
{
	assert_int_equal(pick->state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	assert_int_equal(fake.th[s].cpu, CPU);
	assert_true(page->nr[GHOST_NR_PICKS] == 1);
}

static void test_cpu_takes_a_pick_before_news_and_the_fallback(void **state)
{
	__u32 other;

	park();
	other = fallback_thread();
	message();
	write_pick(s);
	cpu_dispatch(CPU, NULL);
	assert_pick_taken();
	assert_agent_left_alone();
	assert_int_equal(c->place, CORE_PLACE_PARKED);
	assert_int_equal(c->decided, 0);
	assert_int_equal(fake.th[other].place, FAKE_FALLBACK);
	/* The news is not forgotten by that: when the thread is done, it is the agent's turn. */
	thread_run(s, CPU);
	thread_block(s);
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
}

static void test_cpu_takes_a_decision_before_a_pick(void **state)
{
	__u32 t = thread_in(CORE_TASK_CUSTODY);

	decide(t);
	write_pick(s);
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_COMMITTED);
	assert_int_equal(fake.th[t].place, FAKE_LOCAL);
	assert_int_equal(pick->state, GHOST_TXN_READY);
	assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
}

/* "Nothing to run" is said of the thread's own slot: the pick is what it has prepared. */
static void test_cpu_takes_a_pick_when_its_agent_has_nothing_else(void **state)
{
	decide(0);
	write_pick(s);
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_YIELDED);
	assert_pick_taken();
	/* It waits behind that one, as behind one that it commits itself. */
	assert_int_equal(c->decided, 1);
	assert_int_equal(put_aside(), AGENT_BEHIND);
	/* Without a word in the other slot, the same. */
	setup(NULL);
	agent_yield(CPU);
	write_pick(s);
	cpu_dispatch(CPU, current);
	assert_pick_taken();
	assert_int_equal(put_aside(), AGENT_BEHIND);
}

/* Its agent sleeps, or a higher class has it, in the middle of a decision. */
static void test_cpu_takes_a_pick_while_its_agent_is_away(void **state)
{
	decide(0);
	c->yielded = 0;
	write_pick(s);
	cpu_dispatch(CPU, NULL);
	assert_int_equal(txn->state, GHOST_TXN_READY);
	assert_pick_taken();
}

static void test_cpu_takes_no_pick_before_its_agent_has_heard_of_a_refusal(void **state)
{
	for (__u32 want = GHOST_TXN_AGENT_STALE; want <= GHOST_TXN_INVALID; want++) {
		__u32 t;

		setup(NULL);
		t = thread_in(CORE_TASK_CUSTODY);
		decide(s);
		spoil(want);
		write_pick(t);
		cpu_dispatch(CPU, current);
		assert_int_equal(txn->state, want);
		assert_agent_kept();
		assert_int_equal(pick->state, GHOST_TXN_READY);
		assert_int_equal(fake.th[t].place, FAKE_CUSTODY);
	}
}

static void test_cpu_runs_its_agent_when_a_pick_is_refused(void **state)
{
	/* One that is still here. */
	agent_yield(CPU);
	write_pick(s);
	pick->task_seq--;
	cpu_dispatch(CPU, current);
	assert_int_equal(pick->state, GHOST_TXN_TASK_STALE);
	assert_agent_kept();
	expect_msg(CPU, GHOST_MSG_TASK_LATCH_FAILURE, s);
	/* And one that is parked. */
	setup(NULL);
	park();
	write_pick(s);
	pick->task_seq--;
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
	assert_false(is_idle(CPU));
}

static void test_cpu_takes_no_pick_where_nobody_decides(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		setup(NULL);
		write_pick(s);
		fake.enclave[1].state = offline[i];
		cpu_dispatch(CPU, NULL);
		assert_int_equal(pick->state, GHOST_TXN_READY);
		assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
	}
	setup(NULL);
	assert_int_equal(agent_detach(1, CPU), AGENT);
	write_pick(s);
	cpu_dispatch(CPU, NULL);
	assert_int_equal(pick->state, GHOST_TXN_READY);
}

/* As an agent elsewhere does it: write, then look at the bit, and kick the CPU if it idles. */
static int pick_is_good;

static void pick_comes(void)
{
	if (moments-- > 0)
		return;
	fake.step = NULL;
	fake.step_after = NULL;
	write_pick(s);
	if (!pick_is_good)
		pick->task_seq--;
	if (cpu_idle_take(fake_es(1), CPU))
		port_kick(CPU);
}

static void pick_in(int nr, int after)
{
	moments = nr;
	if (after)
		fake.step_after = pick_comes;
	else
		fake.step = pick_comes;
}

static void test_cpu_going_idle_loses_no_pick(void **state)
{
	int n, after, kicked = 0, alone = 0;

	pick_is_good = 1;
	for (after = 0; after <= 1; after++) {
		for (n = 0;; n++) {
			setup(NULL);
			park();
			pick_in(n, after);
			cpu_dispatch(CPU, NULL);
			if (!news_came())
				break;
			if (fake.kicks[CPU])
				kicked++;
			else
				alone++;
			if (pick->state == GHOST_TXN_READY) {
				assert_int_equal(fake.kicks[CPU], 1);
				cpu_dispatch(CPU, NULL);
			}
			assert_pick_taken();
			assert_false(is_idle(CPU));
			assert_agent_left_alone();
		}
		assert_true(is_idle(CPU));
	}
	assert_true(kicked && alone);
}

/* One that is refused is news, at whatever moment: its agent must not sleep over it. */
static void test_cpu_going_idle_loses_no_refusal_of_a_pick(void **state)
{
	int n, after;

	pick_is_good = 0;
	for (after = 0; after <= 1; after++)
		for (n = 0;; n++) {
			setup(NULL);
			park();
			pick_in(n, after);
			cpu_dispatch(CPU, NULL);
			if (!news_came())
				break;
			if (pick->state == GHOST_TXN_READY) {
				assert_int_equal(fake.kicks[CPU], 1);
				cpu_dispatch(CPU, NULL);
			}
			assert_int_equal(pick->state, GHOST_TXN_TASK_STALE);
			assert_int_equal(fake.agent_runs[CPU], 1);
			assert_false(is_idle(CPU));
		}
}

/* --- an agent that wants to know when its CPU would idle ------------------------------------------ */

static void test_cpu_that_would_idle_runs_its_agent_once_if_that_was_asked_for(void **state)
{
	park();
	write_pick(s);
	pick->flags = GHOST_RUN_RTLA_ON_IDLE;
	cpu_dispatch(CPU, NULL);
	assert_pick_taken();
	/* It goes, and its agent does not hear of it: its messages are read elsewhere. */
	thread_run(s, CPU);
	fake.th[s].place = FAKE_NOWHERE;
	fake.task[s].queue = 0;
	thread_block(s);
	assert_false(agent_pending(c, page));
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
	assert_false(is_idle(CPU));
	assert_int_equal(c->rtla_idle, 0);
	/* Once. */
	park();
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
	assert_true(is_idle(CPU));
}

static void test_cpu_with_a_fallback_thread_would_not_idle(void **state)
{
	__u32 other;

	park();
	c->rtla_idle = 1;
	other = fallback_thread();
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.th[other].place, FAKE_LOCAL);
	assert_int_equal(c->rtla_idle, 1);
	assert_agent_left_alone();
}

/* --- a higher class comes and goes ------------------------------------------------------------------ */

static void deliver(__u32 flags)
{
	drop_msgs();
	fake.enclave[1].deliver = flags;
}

static void test_cpu_that_a_higher_class_takes_is_told_once(void **state)
{
	deliver(GHOST_DELIVER_AVAILABILITY);
	cpu_busy(CPU, 1); /* one of ours */
	expect_no_msg();
	assert_int_equal(page->state, GHOST_CPU_AVAILABLE);
	cpu_busy(CPU, 0);
	expect_cpu_msg(1, CPU, GHOST_MSG_CPU_BUSY, CPU);
	assert_int_equal(page->state, GHOST_CPU_TAKEN);
	assert_int_equal(page->agent_seq, 41);
	cpu_busy(CPU, 0);
	expect_no_msg();
}

static void test_cpu_that_a_higher_class_gives_back_is_told_once(void **state)
{
	for (int by_dispatch = 0; by_dispatch < 2; by_dispatch++) {
		setup(NULL);
		deliver(GHOST_DELIVER_AVAILABILITY);
		cpu_busy(CPU, 0);
		expect_cpu_msg(1, CPU, GHOST_MSG_CPU_BUSY, CPU);
		for (int i = 0; i < 2; i++) {
			if (by_dispatch)
				cpu_dispatch(CPU, NULL);
			else
				cpu_ours(CPU);
			if (!i)
				expect_cpu_msg(1, CPU, GHOST_MSG_CPU_AVAILABLE, CPU);
			assert_int_equal(page->state, GHOST_CPU_AVAILABLE);
			expect_no_msg();
		}
	}
}

/* A member that loses its CPU to one, on or before it, says so of the CPU as well. */
static void test_cpu_of_a_member_that_a_higher_class_displaced_is_taken(void **state)
{
	static const int causes[] = { EVENT_CLASS, EVENT_LATCH };

	for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
		setup(NULL);
		decide(s);
		cpu_dispatch(CPU, current);
		drop_msgs();
		deliver(GHOST_DELIVER_AVAILABILITY);
		thread_stop(s);
		thread_enqueue(s, causes[i], CPU);
		expect_cpu_msg(1, CPU, GHOST_MSG_CPU_BUSY, CPU);
		expect_msg(CPU, GHOST_MSG_TASK_PREEMPT, s);
		assert_int_equal(page->state, GHOST_CPU_TAKEN);
	}
}

static void test_cpu_news_of_availability_is_sent_only_if_asked_for(void **state)
{
	static const __u32 others[] = { 0, GHOST_DELIVER_TICKS, GHOST_DELIVER_RUNNABILITY,
					GHOST_DELIVER_ALL & ~GHOST_DELIVER_AVAILABILITY };

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		setup(NULL);
		deliver(others[i]);
		cpu_busy(CPU, 0);
		assert_int_equal(page->state, GHOST_CPU_TAKEN); /* it can be seen all the same */
		cpu_ours(CPU);
		assert_int_equal(page->state, GHOST_CPU_AVAILABLE);
		assert_int_equal(page->agent_seq, 40);
		expect_no_msg();
	}
}

static void test_cpu_whose_idling_ends_is_told_once_if_that_was_asked_for(void **state)
{
	decide(GHOST_SLOT_IDLE);
	txn->flags = GHOST_RUN_NEED_CPU_NOT_IDLE;
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_YIELDED);
	assert_int_equal(put_aside(), AGENT_PARK);
	drop_msgs();
	cpu_busy(CPU, 0);
	expect_cpu_msg(1, CPU, GHOST_MSG_CPU_NOT_IDLE, CPU);
	expect_no_msg(); /* without the other switch, this alone */
	assert_true(agent_pending(c, page));
	cpu_ours(CPU);
	cpu_busy(CPU, 0);
	expect_no_msg();
}

static void test_cpu_that_goes_offline_stays_so_whoever_is_said_to_have_it(void **state)
{
	c->spins = 1;
	enclave_cpu_offline(CPU);
	cpu_busy(CPU, 0);
	assert_int_equal(page->state, GHOST_CPU_OFF);
	cpu_ours(CPU);
	assert_int_equal(page->state, GHOST_CPU_OFF);
	cpu_busy(CPU, 0);
	enclave_cpu_online(CPU);
	assert_int_equal(page->state, GHOST_CPU_TAKEN);
}

/* --- why it lost the CPU ------------------------------------------------------------------------------ */

static void test_cpu_knows_whom_a_commit_takes_off(void **state)
{
	c->displaced = s;
	assert_int_equal(cpu_stop_cause(CPU, s), EVENT_COMMIT);
	assert_int_equal(cpu_stop_cause(CPU, s + 1), EVENT_SLICE);
	assert_int_equal(cpu_stop_cause(CPU + 1, s), EVENT_SLICE);
	c->elide = 1;
	assert_int_equal(cpu_stop_cause(CPU, s), EVENT_COMMIT_QUIET);
}

/* --- nobody decides --------------------------------------------------------------------------- */

/* The CPU leaves the enclave at each moment in which it may be going idle for it. */
static void cpu_leaves(void)
{
	if (moments-- > 0)
		return;
	fake.step = NULL;
	fake.step_after = NULL;
	c->agent_tid = 0;
	assert_int_equal(enclave_drop_cpu(1, CPU), 0);
}

static void test_cpu_that_leaves_while_it_goes_idle_is_not_counted_on(void **state)
{
	int left = 0;

	for (int after = 0; after <= 1; after++) {
		for (int n = 0;; n++) {
			setup(NULL);
			park();
			c->place = CORE_PLACE_NONE;
			fake.enclave[1].state = GHOST_ENCLAVE_LOST;
			moments = n;
			if (after)
				fake.step_after = cpu_leaves;
			else
				fake.step = cpu_leaves;
			cpu_dispatch(CPU, NULL);
			if (fake.step || fake.step_after)
				break;
			left++;
			assert_int_equal(c->enclave, 0);
			assert_false(is_idle(CPU));
		}
		fake.step = fake.step_after = NULL;
	}
	assert_true(left > 3);
}

static void test_cpu_that_left_does_not_keep_who_was_committed_there(void **state)
{
	decide(s);
	cpu_dispatch(CPU, current);
	assert_int_equal(fake.th[s].place, FAKE_LOCAL);
	/* It is not there yet: who is preempted is somebody else. */
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	c->agent_tid = 0;
	assert_int_equal(enclave_drop_cpu(1, CPU), 0);
	fake.preempts[CPU] = 0;
	event_task_running(s, CPU);
	assert_int_equal(fake.preempts[CPU], 1);
}

static void test_cpu_offline_lets_a_parked_agent_go_once_and_then_the_fallback(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		__u32 other;

		setup(NULL);
		park();
		other = fallback_thread();
		fake.enclave[1].state = offline[i];
		cpu_dispatch(CPU, NULL);
		assert_int_equal(fake.agent_runs[CPU], 1);
		assert_int_equal(c->place, CORE_PLACE_NONE);
		assert_int_equal(fake.th[other].place, FAKE_FALLBACK);
		/* It goes on and on; that is no reason to run it again before the others. */
		message();
		agent_yield(CPU);
		cpu_dispatch(CPU, current);
		assert_int_equal(fake.agent_runs[CPU], 1);
		assert_int_equal(fake.kept, 0);
		assert_int_equal(c->yielded, 0);
		assert_int_equal(fake.th[other].place, FAKE_LOCAL);
		assert_int_equal(fake.th[other].cpu, CPU);
		assert_false(is_idle(CPU));
		assert_int_equal(put_aside(), AGENT_TURN);
	}
}

static void test_cpu_offline_carries_out_no_decision(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		setup(NULL);
		decide(s);
		fake.enclave[1].state = offline[i];
		cpu_dispatch(CPU, current);
		assert_int_equal(txn->state, GHOST_TXN_READY);
		assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
		assert_agent_left_alone();
		/* Nor that of one which was parked before anybody looked. */
		setup(NULL);
		decide(s);
		assert_int_equal(put_aside(), AGENT_PARK);
		fake.enclave[1].state = offline[i];
		cpu_dispatch(CPU, NULL);
		assert_int_equal(txn->state, GHOST_TXN_READY);
		assert_int_equal(fake.th[s].place, FAKE_CUSTODY);
		assert_int_equal(fake.agent_runs[CPU], 1);
	}
}

static void test_cpu_offline_serves_only_its_own_enclave(void **state)
{
	__u32 theirs = fallback_thread(), ours;

	fake.task[theirs].enclave = 2;
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.th[theirs].place, FAKE_FALLBACK);
	assert_true(is_idle(CPU));
	ours = fallback_thread();
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.th[ours].place, FAKE_LOCAL);
	assert_int_equal(fake.th[theirs].place, FAKE_FALLBACK);
}

static void test_cpu_without_an_agent_serves_the_fallback_of_an_online_enclave(void **state)
{
	__u32 other = fallback_thread();

	assert_int_equal(agent_detach(1, CPU), AGENT);
	decide(s);
	message();
	cpu_dispatch(CPU, current);
	assert_int_equal(txn->state, GHOST_TXN_READY);
	assert_agent_left_alone();
	assert_int_equal(fake.th[other].place, FAKE_LOCAL);
	cpu_dispatch(CPU, NULL);
	assert_true(is_idle(CPU));
}

static __u32 late;

static void late_arrival(void)
{
	if (!is_idle(CPU))
		return;
	fake.step_after = NULL;
	fake.th[late].place = FAKE_FALLBACK;
}

static void test_cpu_offline_looks_once_more_after_it_has_set_its_idle_bit(void **state)
{
	late = fallback_thread();
	fake.th[late].place = FAKE_NOWHERE;
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	fake.step_after = late_arrival;
	cpu_dispatch(CPU, NULL);
	assert_null(fake.step_after); /* it did come after the bit */
	assert_int_equal(fake.th[late].place, FAKE_LOCAL);
	/* With nobody there it was the last look. */
	setup(NULL);
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	cpu_dispatch(CPU, NULL);
	assert_true(is_idle(CPU));
}

/* --- nobody's CPUs --------------------------------------------------------------------------- */

static void test_cpu_of_no_enclave_does_nothing(void **state)
{
	fallback_thread();
	fake.this_cpu = NOBODYS;
	fake.cpu[NOBODYS].yielded = 1;
	before = fake;
	cpu_dispatch(NOBODYS, current);
	cpu_busy(NOBODYS, 0);
	cpu_busy(NOBODYS, 1);
	cpu_ours(NOBODYS);
	assert_int_equal(cpu_stop_cause(NOBODYS, s), EVENT_SLICE);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_cpu_that_does_not_exist_does_nothing(void **state)
{
	static const __u32 cpus[] = { GHOST_CPUS_MAX, GHOST_CPU_NONE };

	fallback_thread();
	before = fake;
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		cpu_dispatch(cpus[i], current);
		cpu_busy(cpus[i], 0);
		assert_int_equal(cpu_stop_cause(cpus[i], s), EVENT_SLICE);
		cpu_ours(cpus[i]);
		agent_yield(cpus[i]);
	}
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_cpu_without_memory_does_nothing(void **state)
{
	/* An enclave without a record; then a CPU without a page. */
	fake.cpu[NOBODYS].enclave = FAKE_ENCLAVES;
	fake.cpu[FAKE_QUEUES].enclave = 1;
	fake.cpu[FAKE_QUEUES].agent_tid = AGENT;
	fake.cpu[FAKE_QUEUES].yielded = 1;
	fallback_thread();
	before = fake;
	cpu_dispatch(NOBODYS, current);
	cpu_busy(NOBODYS, 0);
	cpu_dispatch(FAKE_QUEUES, current);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

/* --- small marks ------------------------------------------------------------------------------ */

static void test_cpu_that_runs_something_is_not_idle_any_more(void **state)
{
	cpu_idle_set(fake_es(1), CPU);
	cpu_idle_set(fake_es(1), CPU + 1);
	cpu_busy(CPU, 0);
	assert_false(is_idle(CPU));
	assert_true(is_idle(CPU + 1));
	before = fake;
	cpu_busy(CPU, 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_cpu_is_said_to_be_kicked_once_and_only_if_it_was(void **state)
{
	assert_int_equal(cpu_stop_cause(CPU, s), EVENT_SLICE);
	c->kicked = 1;
	assert_int_equal(cpu_stop_cause(CPU + 1, s), EVENT_SLICE);
	assert_int_equal(c->kicked, 1);
	assert_int_equal(cpu_stop_cause(CPU, s), EVENT_RESTORE);
	assert_int_equal(cpu_stop_cause(CPU, s), EVENT_SLICE);
}

static void test_cpu_idle_one_that_may_run_it_comes_for_a_fallback_thread(void **state)
{
	__u32 slot = fallback_thread();

	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	cpu_idle_set(fake_es(1), 2);
	cpu_idle_set(fake_es(1), 3);
	fake_mask_set(1, slot, 1 << 3);
	event_fallback_wake(slot, CPU);
	assert_int_equal(fake.kicks[3], 1);
	assert_int_equal(fake.kicks[2], 0);
	assert_int_equal(fake_es(1)->idle[0], 1 << 2);
}

/* It has migration disabled: the mask names idle CPUs that the kernel refuses. */
static void test_cpu_of_a_fallback_thread_that_may_not_leave_it_comes_itself(void **state)
{
	__u32 slot = fallback_thread();

	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	for (__u32 cpu = 0; cpu < 4; cpu++)
		cpu_idle_set(fake_es(1), cpu);
	fake.th[slot].cpus[0] = 1 << 2;
	event_fallback_wake(slot, 2);
	assert_int_equal(fake.kicks[2], 1);
	assert_int_equal(fake_es(1)->idle[0], 0xb);
}

/*
 * Two wait; @CPU came for the second, which may run on CPUs @CPU and 2 only, and
 * takes the first. The CPU that came for that one cannot take the second.
 */
static void test_cpu_that_takes_another_fallback_thread_calls_one_for_its_own(void **state)
{
	__u32 first = fallback_thread(), second = fallback_thread();

	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	fake_mask_set(1, second, 1 << CPU | 1 << 2);
	cpu_idle_set(fake_es(1), 2);
	cpu_idle_set(fake_es(1), 3);
	fake.this_cpu = CPU;
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.th[first].place, FAKE_LOCAL);
	assert_int_equal(fake.th[second].place, FAKE_FALLBACK);
	assert_int_equal(fake.kicks[2], 1);
	assert_int_equal(fake.kicks[3], 0);
}

static void test_cpu_thread_given_to_the_fallback_as_agents_come_is_enqueued_anew(void **state)
{
	__u32 slot = fallback_thread();

	cpu_idle_set(fake_es(1), 2);
	fake.enclave[1].state = GHOST_ENCLAVE_ONLINE;
	event_fallback_wake(slot, CPU);
	assert_int_equal(fake.reenqueues[1][PORT_FALLBACK], 1);
	assert_int_equal(fake.kicks[2], 0);
}

static void test_cpu_nobody_comes_for_a_fallback_thread_that_nobody_idle_may_run(void **state)
{
	__u32 slot = fallback_thread();

	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	before = fake;
	event_fallback_wake(slot, CPU); /* nobody is idle */
	event_fallback_wake(FAKE_SLOTS, CPU);
	event_fallback_wake(FAKE_SLOTS - 1, CPU); /* nobody's slot */
	assert_memory_equal(&fake, &before, sizeof(fake));
	cpu_idle_set(fake_es(1), 2);
	fake.th[slot].cpus[0] = 1 << 3;
	before = fake;
	event_fallback_wake(slot, CPU);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

/* --- agents come and go -------------------------------------------------------------------- */

static void test_cpu_takes_an_agent_with_a_clean_record(void **state)
{
	struct core_cpu *free = &fake.cpu[2];

	*free = (struct core_cpu){
		.enclave = 1,
		.agent_seen = 3,
		.yielded = 1,
		.decided = 1,
		.txn_due = 1,
		.place = CORE_PLACE_PARKED,
		.beats = 7,
	};
	fake.page[1][2].agent_seq = 90;
	assert_int_equal(agent_attach(1, 2, 777, 1, 0), 1);
	assert_int_equal(free->agent_tid, 777);
	assert_int_equal(free->agent_seen, 90); /* what was before it is not news for it */
	assert_int_equal(free->yielded, 0);
	assert_int_equal(free->decided, 0);
	assert_int_equal(free->txn_due, 0);
	assert_int_equal(free->place, CORE_PLACE_NONE);
	assert_int_equal(free->beats, 0);
	assert_int_equal(fake.page[1][2].agent_tid, 777);
	assert_int_equal(fake.enclave[1].nr_agents, 2);
}

static void test_cpu_refuses_who_may_not_be_its_agent(void **state)
{
	before = fake;
	assert_int_equal(agent_attach(1, CPU, 777, 1, 0), 0);	  /* has one */
	assert_int_equal(agent_attach(1, CPU, AGENT, 1, 0), 0);	  /* even the same again */
	assert_int_equal(agent_attach(1, 2, 777, 0, 0), 0);	  /* could leave it */
	assert_int_equal(agent_attach(1, FOREIGN, 777, 1, 0), 0); /* not the enclave's */
	assert_int_equal(agent_attach(2, CPU, 777, 1, 0), 0);
	assert_int_equal(agent_attach(1, NOBODYS, 777, 1, 0), 0);
	assert_int_equal(agent_attach(0, NOBODYS, 777, 1, 0), 0); /* no enclave at all */
	assert_int_equal(agent_attach(FAKE_ENCLAVES, 2, 777, 1, 0), 0);
	assert_int_equal(agent_attach(1, FAKE_CPUS, 777, 1, 0), 0);
	assert_int_equal(agent_attach(1, GHOST_CPU_NONE, 777, 1, 0), 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_cpu_lets_its_own_agent_go(void **state)
{
	park();
	c->yielded = 1;
	assert_int_equal(agent_detach(1, CPU), AGENT);
	assert_int_equal(c->agent_tid, 0);
	assert_int_equal(c->place, CORE_PLACE_NONE);
	assert_int_equal(c->yielded, 0);
	assert_int_equal(page->agent_tid, 0);
	assert_int_equal(fake.enclave[1].nr_agents, 0);
	assert_int_equal(c->enclave, 1);
	/* Gone is gone, and another may come. */
	assert_int_equal(agent_detach(1, CPU), 0);
	assert_int_equal(fake.enclave[1].nr_agents, 0);
	assert_int_equal(agent_attach(1, CPU, 777, 1, 0), 1);
}

static void test_cpu_does_not_lose_its_agent_by_the_end_of_that_of_another(void **state)
{
	park();
	before = fake;
	assert_int_equal(agent_detach(1, CPU + 1), 0);
	assert_int_equal(agent_detach(FAKE_ENCLAVES, CPU), 0);
	assert_int_equal(agent_detach(1, GHOST_CPU_NONE), 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_cpu_counts_each_time_its_agent_gives_it_up(void **state)
{
	agent_yield(CPU);
	assert_int_equal(c->yielded, 1);
	agent_yield(CPU);
	assert_int_equal(c->yielded, 1);
	assert_int_equal(c->nr_yields, 2);
	assert_int_equal(fake.cpu[CPU + 1].yielded, 0);
	assert_int_equal(fake.cpu[CPU + 1].nr_yields, 0);
}

/* --- where an agent goes ---------------------------------------------------------------------- */

static void test_cpu_agent_goes_where_its_state_says(void **state)
{
	enum {
		NO,
		YES,
		ANY
	};
	static const struct {
		__u32 online, woken, yielded, decided, news;
		enum agent_verdict want;
		__u32 place;
	} cases[] = {
		/* Nobody decides: turns with the others, unless it slept. */
		{ NO, NO, ANY, ANY, ANY, AGENT_TURN, CORE_PLACE_NONE },
		{ NO, YES, ANY, ANY, ANY, AGENT_FIRST, CORE_PLACE_NONE },
		/* In the middle of a decision. */
		{ YES, ANY, NO, ANY, ANY, AGENT_FIRST, CORE_PLACE_NONE },
		/* Decided; what is news can wait for that thread's end. */
		{ YES, ANY, YES, YES, ANY, AGENT_BEHIND, CORE_PLACE_STANDBY },
		/* Nothing to run. */
		{ YES, ANY, YES, NO, YES, AGENT_FIRST, CORE_PLACE_NONE },
		{ YES, ANY, YES, NO, NO, AGENT_PARK, CORE_PLACE_PARKED },
	};
	size_t i, tried = 0;

	for (__u32 bits = 0; bits < 32; bits++) {
		__u32 online = bits & 1, woken = bits >> 1 & 1, yielded = bits >> 2 & 1;
		__u32 decided = bits >> 3 & 1, news = bits >> 4 & 1;

		for (i = 0; i < ARRAY_LEN(cases); i++) {
			if ((cases[i].online != ANY && cases[i].online != online) ||
			    (cases[i].woken != ANY && cases[i].woken != woken) ||
			    (cases[i].yielded != ANY && cases[i].yielded != yielded) ||
			    (cases[i].decided != ANY && cases[i].decided != decided) ||
			    (cases[i].news != ANY && cases[i].news != news))
				continue;
			tried++;
			setup(NULL);
			fake.enclave[1].state = online ? GHOST_ENCLAVE_ONLINE : GHOST_ENCLAVE_LOST;
			c->yielded = yielded;
			c->decided = decided;
			page->agent_seq += news;
			assert_int_equal(agent_enqueue(1, CPU, woken), cases[i].want);
			assert_int_equal(c->place, cases[i].place);
			/* The mark is used up where it was of use. */
			assert_int_equal(c->yielded, online ? 0 : yielded);
			assert_int_equal(c->decided, online && !yielded ? decided : 0);
			if (cases[i].want == AGENT_PARK)
				assert_int_equal(c->txn_due, 1);
		}
	}
	assert_int_equal(tried, 32); /* each state has one line */
}

static void test_cpu_agent_takes_turns_in_each_state_without_agents(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		fake.enclave[1].state = offline[i];
		assert_int_equal(agent_enqueue(1, CPU, 0), AGENT_TURN);
		assert_int_equal(agent_enqueue(1, CPU, 1), AGENT_FIRST);
	}
}

/* Else the kernel would end the scheduler when agents come and go (CORE_TURNS_MAX). */
static void test_cpu_agent_that_gets_no_turn_waits_on_its_cpu(void **state)
{
	fake.enclave[1].state = GHOST_ENCLAVE_IDLE;
	for (int times = 0; times < 2; times++) {
		for (int i = 0; i < CORE_TURNS_MAX; i++)
			assert_int_equal(agent_enqueue(1, CPU, 0), AGENT_TURN);
		assert_int_equal(agent_enqueue(1, CPU, 0), AGENT_FIRST);
		assert_int_equal(agent_enqueue(1, CPU, 0), AGENT_FIRST);
		agent_running(CPU, AGENT);
	}
}

/* As execve() gives it one. */
static void test_cpu_agent_with_another_number_is_still_its_agent(void **state)
{
	agent_running(CPU, 777);
	assert_int_equal(c->agent_tid, 777);
	assert_int_equal(page->agent_tid, 777);
	assert_int_equal(agent_detach(1, CPU), 777);
	assert_int_equal(fake.enclave[1].nr_agents, 0);
}

static void test_cpu_message_between_dispatch_and_parking_is_seen(void **state)
{
	decide(0);
	cpu_dispatch(CPU, current);
	assert_agent_left_alone();
	message();
	assert_int_equal(put_aside(), AGENT_FIRST);
	assert_int_equal(c->place, CORE_PLACE_NONE);
	/* At the last moment, too. */
	setup(NULL);
	decide(0);
	cpu_dispatch(CPU, current);
	fake.hook[FAKE_AT_SEQ] = message;
	assert_int_equal(put_aside(), AGENT_FIRST);
	assert_int_equal(c->place, CORE_PLACE_NONE);
}

static void test_cpu_agent_without_a_record_goes_first(void **state)
{
	before = fake;
	assert_int_equal(agent_enqueue(FAKE_ENCLAVES, CPU, 0), AGENT_FIRST);
	assert_int_equal(agent_enqueue(1, FAKE_CPUS, 0), AGENT_FIRST);
	assert_int_equal(agent_enqueue(1, GHOST_CPU_NONE, 0), AGENT_FIRST);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_cpu_decision_is_carried_out_before_all_else),
		T(test_cpu_runs_a_parked_agent_with_news_before_the_fallback),
		T(test_cpu_that_leaves_its_enclave_looks_into_no_queue_that_is_not_there),
		T(test_cpu_runs_the_fallback_before_it_idles),
		T(test_cpu_of_a_fair_fallback_keeps_who_had_least),
		T(test_cpu_of_a_fair_fallback_asks_who_may_run_there),
		T(test_cpu_of_the_fallback_keeps_no_others),
		T(test_cpu_with_nothing_at_all_idles),
		T(test_cpu_without_news_leaves_a_parked_agent_parked),
		T(test_cpu_keeps_an_agent_whose_decision_is_refused),
		T(test_cpu_runs_a_parked_agent_whose_decision_is_refused),
		T(test_cpu_does_not_keep_an_agent_that_gave_it_up),
		T(test_cpu_keeps_a_yielded_agent_that_has_news),
		T(test_cpu_cannot_keep_an_agent_that_is_not_there),
		T(test_cpu_leaves_an_agent_alone_in_the_middle_of_a_decision),
		T(test_cpu_agent_waits_behind_the_thread_it_committed),
		T(test_cpu_agent_waits_behind_a_thread_once_per_decision),
		T(test_cpu_agent_whose_decision_was_refused_waits_behind_nobody),
		T(test_cpu_carries_out_the_decision_of_an_agent_parked_unheard),
		T(test_cpu_looks_once_at_the_decision_of_a_parked_agent),
		T(test_cpu_going_idle_loses_no_news_for_a_parked_agent),
		T(test_cpu_no_news_is_lost_between_a_yield_and_the_parking),
		T(test_cpu_whose_idle_bit_is_gone_leaves_the_news_to_the_kick),
		T(test_cpu_takes_a_pick_before_news_and_the_fallback),
		T(test_cpu_takes_a_decision_before_a_pick),
		T(test_cpu_takes_a_pick_when_its_agent_has_nothing_else),
		T(test_cpu_takes_a_pick_while_its_agent_is_away),
		T(test_cpu_takes_no_pick_before_its_agent_has_heard_of_a_refusal),
		T(test_cpu_runs_its_agent_when_a_pick_is_refused),
		T(test_cpu_takes_no_pick_where_nobody_decides),
		T(test_cpu_going_idle_loses_no_pick),
		T(test_cpu_going_idle_loses_no_refusal_of_a_pick),
		T(test_cpu_that_would_idle_runs_its_agent_once_if_that_was_asked_for),
		T(test_cpu_with_a_fallback_thread_would_not_idle),
		T(test_cpu_that_a_higher_class_takes_is_told_once),
		T(test_cpu_that_a_higher_class_gives_back_is_told_once),
		T(test_cpu_of_a_member_that_a_higher_class_displaced_is_taken),
		T(test_cpu_news_of_availability_is_sent_only_if_asked_for),
		T(test_cpu_whose_idling_ends_is_told_once_if_that_was_asked_for),
		T(test_cpu_that_goes_offline_stays_so_whoever_is_said_to_have_it),
		T(test_cpu_knows_whom_a_commit_takes_off),
		T(test_cpu_that_leaves_while_it_goes_idle_is_not_counted_on),
		T(test_cpu_that_left_does_not_keep_who_was_committed_there),
		T(test_cpu_offline_lets_a_parked_agent_go_once_and_then_the_fallback),
		T(test_cpu_offline_carries_out_no_decision),
		T(test_cpu_offline_serves_only_its_own_enclave),
		T(test_cpu_without_an_agent_serves_the_fallback_of_an_online_enclave),
		T(test_cpu_offline_looks_once_more_after_it_has_set_its_idle_bit),
		T(test_cpu_of_no_enclave_does_nothing),
		T(test_cpu_that_does_not_exist_does_nothing),
		T(test_cpu_without_memory_does_nothing),
		T(test_cpu_that_runs_something_is_not_idle_any_more),
		T(test_cpu_is_said_to_be_kicked_once_and_only_if_it_was),
		T(test_cpu_idle_one_that_may_run_it_comes_for_a_fallback_thread),
		T(test_cpu_of_a_fallback_thread_that_may_not_leave_it_comes_itself),
		T(test_cpu_that_takes_another_fallback_thread_calls_one_for_its_own),
		T(test_cpu_thread_given_to_the_fallback_as_agents_come_is_enqueued_anew),
		T(test_cpu_nobody_comes_for_a_fallback_thread_that_nobody_idle_may_run),
		T(test_cpu_takes_an_agent_with_a_clean_record),
		T(test_cpu_refuses_who_may_not_be_its_agent),
		T(test_cpu_lets_its_own_agent_go),
		T(test_cpu_does_not_lose_its_agent_by_the_end_of_that_of_another),
		T(test_cpu_counts_each_time_its_agent_gives_it_up),
		T(test_cpu_agent_goes_where_its_state_says),
		T(test_cpu_agent_takes_turns_in_each_state_without_agents),
		T(test_cpu_agent_that_gets_no_turn_waits_on_its_cpu),
		T(test_cpu_agent_with_another_number_is_still_its_agent),
		T(test_cpu_message_between_dispatch_and_parking_is_seen),
		T(test_cpu_agent_without_a_record_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
