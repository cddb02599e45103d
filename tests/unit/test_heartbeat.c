// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heartbeat: agents that wait for long, threads that a race left behind,
 * threads that wait too long.
 * In: core/enclave.h over plain memory. Out: TAP.
 */
#define FAKE_SLOTS 1201 /* more than two windows of the scan */
#include "tests/unit/event_fake.h"

#include "core/cpu.h"
#include "core/enclave.h"

#define CPU 1
#define AGENT 500
#define STALL_NS 5000ull

static struct core_cpu *const c = &fake.cpu[CPU];
static struct ghost_cpu *const page = &fake.page[1][CPU];
static struct fake before;

static const __u32 offline[] = { GHOST_ENCLAVE_IDLE, GHOST_ENCLAVE_LOST, GHOST_ENCLAVE_DYING };

/* CPU 1 has an agent that waits there; enclave 1 gives its agents up after a while. */
static int setup(void **state)
{
	machine_reset(GHOST_ENCLAVE_ONLINE);
	fake.this_cpu = CPU;
	fake.enclave[1].stall_ns = STALL_NS;
	assert_int_equal(agent_attach(1, CPU, AGENT, 1, 0), 1);
	c->place = CORE_PLACE_PARKED;
	fake.agent_parked[CPU] = 1;
	return 0;
}

static int is_idle(__u32 cpu)
{
	return fake_es(1)->idle[0] >> cpu & 1;
}

static void beats(__u32 nr)
{
	for (__u32 i = 0; i < nr; i++)
		enclave_heartbeat();
}

static __u32 sum(const __u32 *nr)
{
	__u32 n = 0;

	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		n += nr[cpu];
	return n;
}

static void assert_nobody_touched(void)
{
	assert_int_equal(sum(fake.kicks), 0);
	assert_int_equal(sum(fake.preempts), 0);
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		assert_int_equal(fake.cpu[cpu].kicked, 0);
		for (__u32 e = 1; e < FAKE_ENCLAVES; e++)
			assert_int_equal(fake.page[e][cpu].agent_seq, 0);
	}
}

/* --- agents that wait ------------------------------------------------------------ */

static void test_heartbeat_runs_an_agent_parked_for_long_on_an_idle_cpu(void **state)
{
	cpu_idle_set(fake_es(1), CPU);
	beats(AGENT_IDLE_BEATS - 1);
	assert_nobody_touched();
	assert_true(is_idle(CPU));
	beats(1);
	assert_int_equal(fake.kicks[CPU], 1);
	assert_int_equal(sum(fake.kicks), 1);
	assert_int_equal(sum(fake.preempts), 0);
	assert_int_equal(c->kicked, 0); /* there is nobody to be moved off */
	assert_false(is_idle(CPU));
	assert_int_equal(page->help, 0);
	/* The kick makes it look, and then it has news for its agent. */
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
}

static void test_heartbeat_runs_an_agent_parked_for_long_on_a_busy_cpu(void **state)
{
	beats(AGENT_IDLE_BEATS - 1);
	assert_nobody_touched();
	beats(1);
	assert_int_equal(fake.preempts[CPU], 1);
	assert_int_equal(sum(fake.preempts), 1);
	assert_int_equal(sum(fake.kicks), 0);
	/* Whoever is moved off hears that it was not its slice. */
	assert_int_equal(cpu_stop_cause(CPU, 1), EVENT_RESTORE);
	cpu_dispatch(CPU, NULL);
	assert_int_equal(fake.agent_runs[CPU], 1);
}

static void test_heartbeat_runs_an_agent_that_stands_by_for_long(void **state)
{
	c->place = CORE_PLACE_STANDBY;
	beats(AGENT_IDLE_BEATS);
	assert_int_equal(fake.preempts[CPU], 1);
	assert_int_equal(c->kicked, 1);
	assert_int_equal(page->agent_seq, 1);
}

/* It has to notice that it decides no more, even if the kick that tells it was lost. */
static void test_heartbeat_runs_a_parked_agent_of_an_enclave_without_agents(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		setup(NULL);
		fake.enclave[1].state = offline[i];
		cpu_idle_set(fake_es(1), CPU);
		beats(AGENT_IDLE_BEATS);
		assert_int_equal(fake.kicks[CPU], 1);
		cpu_dispatch(CPU, NULL);
		assert_int_equal(fake.agent_runs[CPU], 1);
	}
}

static void test_heartbeat_counts_anew_after_it_has_run_an_agent(void **state)
{
	beats(AGENT_IDLE_BEATS);
	assert_int_equal(fake.preempts[CPU], 1);
	beats(AGENT_IDLE_BEATS - 1);
	assert_int_equal(fake.preempts[CPU], 1);
	beats(1);
	assert_int_equal(fake.preempts[CPU], 2);
	assert_int_equal(page->agent_seq, 2);
}

static void test_heartbeat_leaves_an_agent_alone_that_yields_meanwhile(void **state)
{
	for (int i = 0; i < 5; i++) {
		beats(AGENT_IDLE_BEATS - 1);
		agent_yield(CPU);
	}
	assert_nobody_touched();
	/* The beat that sees it yield is the last one that does not count. */
	beats(1);
	beats(AGENT_IDLE_BEATS - 1);
	assert_nobody_touched();
	beats(1);
	assert_int_equal(fake.preempts[CPU], 1);
}

static void test_heartbeat_leaves_an_agent_alone_that_does_not_wait(void **state)
{
	c->place = CORE_PLACE_NONE;
	beats(3 * AGENT_IDLE_BEATS);
	assert_nobody_touched();
}

static void test_heartbeat_leaves_cpus_alone_that_have_no_agent(void **state)
{
	assert_int_equal(agent_detach(1, CPU), AGENT);
	c->place = CORE_PLACE_PARKED;
	/* Nor those that somebody's agent had when they were given back. */
	fake.cpu[6].agent_tid = AGENT;
	fake.cpu[6].place = CORE_PLACE_PARKED;
	beats(3 * AGENT_IDLE_BEATS);
	assert_nobody_touched();
}

static void test_heartbeat_of_one_cpu_is_not_that_of_another(void **state)
{
	assert_int_equal(agent_attach(2, 4, AGENT + 1, 1, 0), 1);
	fake.cpu[4].place = CORE_PLACE_PARKED;
	beats(AGENT_IDLE_BEATS / 2);
	fake.cpu[4].nr_yields++;
	beats(AGENT_IDLE_BEATS / 2);
	assert_int_equal(fake.preempts[CPU], 1);
	assert_int_equal(fake.preempts[4], 0);
	assert_int_equal(fake.cpu[4].kicked, 0);
	assert_int_equal(fake.page[2][4].agent_seq, 0);
}

/* What is moved off says so in its message. */
static void test_heartbeat_that_moves_a_member_off_is_told_as_a_kick(void **state)
{
	__u32 slot = thread_in(CORE_TASK_RUNNING), cpu = fake.task[slot].queue;
	struct ghost_msg m;

	assert_int_equal(agent_attach(1, cpu, AGENT + 1, 1, 0), 1);
	fake.cpu[cpu].place = CORE_PLACE_STANDBY;
	beats(AGENT_IDLE_BEATS);
	assert_int_equal(fake.preempts[cpu], 1);
	thread_enqueue(slot, cpu_stop_cause(cpu, slot), cpu);
	m = expect_msg(cpu, GHOST_MSG_TASK_PREEMPT, slot);
	assert_int_equal(m.reason, GHOST_PREEMPT_KICK);
	/* The next time it is its slice again. */
	assert_int_equal(cpu_stop_cause(cpu, slot), EVENT_SLICE);
}

/* --- agents that spin ------------------------------------------------------------------ */

/* CPU 2 has an agent that spins there, as it says itself. */
static void spinner(void)
{
	assert_int_equal(agent_attach(1, 2, AGENT + 2, 1, 1), 1);
	fake.rw[1][2].spins = 1;
}

static void test_heartbeat_tells_an_agent_that_spins_that_its_cpu_is_wanted(void **state)
{
	spinner();
	beats(3);
	assert_int_equal(fake.page[1][2].wanted, 0);
	assert_int_equal(fake.page[1][2].waited, 0);
	fake.wanted[2] = 1;
	beats(1);
	assert_int_equal(fake.page[1][2].wanted, 1);
	assert_int_equal(fake.page[1][2].waited, 1);
	beats(2);
	assert_int_equal(fake.page[1][2].wanted, 3);
	fake.wanted[2] = 0;
	beats(1);
	assert_int_equal(fake.page[1][2].wanted, 3);
	assert_int_equal(fake.page[1][2].waited, 0);
	/* It is told by that alone. */
	assert_nobody_touched();
}

static void test_heartbeat_tells_nobody_else_that_a_cpu_is_wanted(void **state)
{
	spinner();
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		fake.wanted[cpu] = 1;
	/* One that spins on another CPU now, and only has its seat here. */
	fake.rw[1][2].spins = 0;
	/* One of our class, whatever it says. */
	fake.rw[1][CPU].spins = 1;
	/* Nobody's, another enclave's, and one whose agent is gone. */
	fake.rw[1][6].spins = fake.rw[2][4].spins = fake.rw[1][3].spins = 1;
	fake.cpu[3].spins = 1;
	beats(3);
	for (__u32 e = 1; e < FAKE_ENCLAVES; e++)
		for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
			assert_int_equal(fake.page[e][cpu].wanted, 0);
}

/* It never waits for its turn: nothing is made to run for it. */
static void test_heartbeat_leaves_an_agent_that_spins_where_it_is(void **state)
{
	assert_int_equal(agent_detach(1, CPU), AGENT);
	spinner();
	beats(3 * AGENT_IDLE_BEATS);
	assert_nobody_touched();
}

/* --- queues that were removed ------------------------------------------------------------- */

static void test_heartbeat_gives_the_place_of_a_removed_queue_back(void **state)
{
	for (size_t i = 0; i <= ARRAY_LEN(offline); i++) {
		int queue;

		setup(NULL);
		fake.enclave[1].state = i ? offline[i - 1] : GHOST_ENCLAVE_ONLINE;
		queue = queue_create(1, FAKE_RING_MADE);
		assert_true(queue >= FAKE_CPUS);
		assert_int_equal(queue_destroy(1, queue), 0);
		beats(QUEUE_GONE_BEATS);
		assert_int_equal(queue_create(1, 1), -E_NOSPC);
		beats(1);
		assert_int_equal(queue_create(1, FAKE_RING_MADE), queue);
	}
}

/* --- what a race left behind ---------------------------------------------------------- */

/* A member of enclave @id that is at @place, and nowhere else. */
static __u32 left_in(__u32 id, enum fake_place place)
{
	__u32 slot = thread_join(id, 100, ALL_CPUS, 1);

	fake.th[slot].place = place;
	fake.th[slot].entered = ++fake.stamp;
	return slot;
}

static void assert_reenqueued(__u32 id, __u32 custody)
{
	for (__u32 e = 0; e < FAKE_ENCLAVES; e++) {
		assert_int_equal(fake.reenqueues[e][PORT_CUSTODY], e == id ? custody : 0);
		assert_int_equal(fake.reenqueues[e][PORT_FALLBACK], 0);
	}
}

static void test_heartbeat_enqueues_anew_what_is_left_in_custody_without_agents(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		setup(NULL);
		fake.enclave[1].state = offline[i];
		left_in(1, FAKE_CUSTODY);
		beats(1);
		assert_reenqueued(1, 1);
		assert_nobody_touched();
		/* Until it is gone. */
		beats(1);
		assert_reenqueued(1, 2);
	}
}

static void test_heartbeat_wakes_every_cpu_for_what_is_left_in_the_fallback(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		__u32 slot;

		setup(NULL);
		fake.enclave[1].state = offline[i];
		slot = left_in(1, FAKE_FALLBACK);
		beats(1);
		for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
			assert_int_equal(fake.kicks[cpu], cpu < 4);
		assert_int_equal(sum(fake.preempts), 0);
		assert_reenqueued(1, 0);
		fake.th[slot].place = FAKE_RUNS;
		beats(1);
		assert_int_equal(sum(fake.kicks), 4);
	}
}

static void goes_offline(__u32 id)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		if (fake.cpu[cpu].enclave == id)
			fake.cpu[cpu].off = 1;
	fake.enclave[id].nowhere = 1;
}

static void test_heartbeat_enqueues_anew_who_waits_where_no_cpu_is(void **state)
{
	left_in(1, FAKE_CUSTODY);
	goes_offline(1);
	beats(1);
	assert_reenqueued(1, 1);
	setup(NULL);
	fake.enclave[1].state = GHOST_ENCLAVE_LOST;
	left_in(1, FAKE_FALLBACK);
	goes_offline(1);
	beats(1);
	assert_int_equal(fake.reenqueues[1][PORT_FALLBACK], 1);
	assert_int_equal(sum(fake.kicks), 0);
}

/* A change of CPUs looked, one came, and the change wrote down what it had seen. */
static void test_heartbeat_finds_a_cpu_that_came_unseen(void **state)
{
	left_in(1, FAKE_CUSTODY);
	fake.enclave[1].nowhere = 1;
	beats(1);
	assert_reenqueued(1, 0);
	assert_int_equal(fake.enclave[1].nowhere, 0);
}

static void test_heartbeat_leaves_what_waits_for_agents_to_them(void **state)
{
	left_in(1, FAKE_CUSTODY);
	beats(3);
	assert_reenqueued(1, 0);
	assert_nobody_touched();
}

/* It came there while the agents came: nobody looks for it as long as they commit others. */
static void test_heartbeat_gives_agents_what_is_left_in_the_fallback(void **state)
{
	__u32 slot = left_in(1, FAKE_FALLBACK);

	beats(1);
	assert_int_equal(fake.reenqueues[1][PORT_FALLBACK], 1);
	assert_int_equal(fake.reenqueues[1][PORT_CUSTODY], 0);
	assert_nobody_touched();
	fake.th[slot].place = FAKE_CUSTODY;
	beats(1);
	assert_int_equal(fake.reenqueues[1][PORT_FALLBACK], 1);
}

static void test_heartbeat_leaves_an_enclave_without_waiting_threads_alone(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		setup(NULL);
		fake.enclave[1].state = offline[i];
		left_in(1, FAKE_RUNS);
		left_in(2, FAKE_CUSTODY); /* those have their agents */
		beats(3);
		assert_reenqueued(1, 0);
		assert_nobody_touched();
	}
	setup(NULL);
	fake.enclave[1].state = GHOST_ENCLAVE_FREE;
	left_in(1, FAKE_CUSTODY);
	left_in(1, FAKE_FALLBACK);
	beats(3);
	assert_reenqueued(1, 0);
	assert_nobody_touched();
}

/* --- threads that wait too long ----------------------------------------------------------- */

static void test_heartbeat_finds_a_stall_and_not_too_early(void **state)
{
	__u32 slot = thread_in(CORE_TASK_CUSTODY), tid = fake.task[slot].gtid;
	__u64 since = fake.now;

	beats(1);
	fake.now = since + STALL_NS;
	beats(1);
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_NONE);
	fake.now++;
	beats(1);
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->state, GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_STALL);
	assert_int_equal(fake_es(1)->lost_arg, tid);
	assert_int_equal(fake_es(1)->lost_ns, STALL_NS + 1);
	assert_int_equal(fake.reenqueues[1][PORT_CUSTODY], 1);
	/* The other enclave has nothing to do with it. */
	assert_int_equal(fake.enclave[2].state, GHOST_ENCLAVE_ONLINE);
	assert_int_equal(fake.reenqueues[2][PORT_CUSTODY], 0);
}

/* The time runs from each arrival in custody, not from the first. */
static void test_heartbeat_takes_a_thread_that_ran_meanwhile_for_no_stall(void **state)
{
	__u32 slot = thread_in(CORE_TASK_CUSTODY), cpu = fake.task[slot].queue;

	for (int i = 0; i < 5; i++) {
		fake.now += STALL_NS;
		beats(1);
		assert_int_equal(thread_commit(slot, cpu), GHOST_TXN_COMMITTED);
		thread_run(slot, cpu);
		fake.now += STALL_NS;
		beats(1);
		thread_enqueue(slot, EVENT_SLICE, cpu);
	}
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
}

static void test_heartbeat_takes_only_waiting_threads_for_a_stall(void **state)
{
	static const __u32 states[] = { CORE_TASK_NEW, CORE_TASK_BLOCKED, CORE_TASK_LATCHED,
					CORE_TASK_RUNNING, CORE_TASK_FALLBACK };
	__u32 gone;

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		thread_in(states[i]);
	gone = thread_in(CORE_TASK_CUSTODY);
	thread_gone(gone, 1);
	fake.now += 100 * STALL_NS;
	beats(3);
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
}

static void test_heartbeat_knows_no_stall_without_a_limit(void **state)
{
	thread_in(CORE_TASK_CUSTODY);
	fake.enclave[1].stall_ns = 0;
	fake.now += 1000 * STALL_NS;
	beats(3);
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
}

/* It came into custody on another CPU after this beat looked at the clock. */
static void test_heartbeat_takes_a_thread_of_the_next_moment_for_no_stall(void **state)
{
	__u32 slot = thread_in(CORE_TASK_CUSTODY);

	fake.task[slot].since_ns = fake.now + 1;
	beats(1);
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
}

#define SECOND 1000000000ull

/* A VM that was stopped: nobody could have decided meanwhile. */
static void test_heartbeat_does_not_count_the_time_in_which_the_machine_stood_still(void **state)
{
	fake.enclave[1].stall_ns = 5 * SECOND;
	beats(1);
	thread_in(CORE_TASK_CUSTODY);
	fake.now += 60 * SECOND;
	beats(3);
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
	/* Nor later on; but what comes after it counts, and from whoever came after it all. */
	thread_in(CORE_TASK_CUSTODY);
	for (__u64 ns = 0; ns < 5 * SECOND - HEARTBEAT_NS; ns += HEARTBEAT_NS) {
		beats(1);
		assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
		fake.now += HEARTBEAT_NS;
	}
	fake.now += HEARTBEAT_NS;
	beats(1);
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_STALL);
}

/* Late it may be by work alone: then those that wait do wait. */
static void test_heartbeat_that_is_a_little_late_counts_all(void **state)
{
	fake.enclave[1].stall_ns = 5 * SECOND;
	beats(1);
	thread_in(CORE_TASK_CUSTODY);
	for (__u64 ns = 0; ns <= 5 * SECOND; ns += HEARTBEAT_LATE_NS) {
		assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
		fake.now += HEARTBEAT_LATE_NS;
		beats(1);
	}
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_LOST);
}

/* However often: only the last of these times is left out. */
static void test_heartbeat_finds_a_stall_where_it_is_always_late(void **state)
{
	fake.enclave[1].stall_ns = 5 * SECOND;
	beats(1);
	thread_in(CORE_TASK_CUSTODY);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
		fake.now += SECOND;
		beats(1);
	}
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_LOST);
}

static void test_heartbeat_names_the_first_of_several_stalls(void **state)
{
	__u32 first = thread_in(CORE_TASK_CUSTODY), second = thread_in(CORE_TASK_CUSTODY);

	assert_true(first < second);
	fake.now += STALL_NS + 1;
	beats(3);
	assert_int_equal(fake_es(1)->lost_arg, (__u32)fake.task[first].gtid);
	assert_int_not_equal((__u32)fake.task[first].gtid, (__u32)fake.task[second].gtid);
}

/* Whoever decides no more cannot be late. */
static void test_heartbeat_finds_no_stall_where_nobody_decides(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offline); i++) {
		setup(NULL);
		thread_in(CORE_TASK_CUSTODY);
		fake.enclave[1].state = offline[i];
		fake.now += STALL_NS + 1;
		beats(1);
		assert_int_equal(fake.enclave[1].state, offline[i]);
		assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_NONE);
	}
}

/* --- the scan --------------------------------------------------------------------------------- */

/* Slots 1 .. @used - 1 are taken by sleeping members of enclave 1. */
static void fill_table(__u32 used)
{
	fake.slots.used = used;
	for (__u32 slot = 1; slot < used; slot++) {
		fake.task[slot].state = CORE_TASK_BLOCKED;
		fake.task[slot].enclave = 1;
	}
}

static void test_heartbeat_looks_once_per_beat_at_a_small_table(void **state)
{
	/* Alone, small, just below the window, exactly it. */
	static const __u32 tables[] = { 1, 2, 10, 511, 512, 515, 516 };

	assert_int_equal(SLOT_SCAN(516), 516);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		setup(NULL);
		fill_table(tables[i]);
		for (__u32 nr = 1; nr <= 3; nr++) {
			beats(1);
			for (__u32 slot = 1; slot < tables[i]; slot++)
				assert_int_equal(fake.named[slot], nr);
		}
		assert_int_equal(fake.named[0], 0);
	}
}

static void test_heartbeat_covers_a_large_table_in_several_beats(void **state)
{
	const __u32 used = FAKE_SLOTS, window = SLOT_SCAN(used);
	__u32 slot;

	assert_int_equal(window, 521);
	fill_table(used);
	beats(1);
	for (slot = 1; slot < used; slot++)
		assert_int_equal(fake.named[slot], slot < window);
	beats(1);
	for (slot = 1; slot < used; slot++)
		assert_int_equal(fake.named[slot], slot < 2 * window);
	/* The third one reaches the end and goes on at the beginning. */
	beats(1);
	for (slot = 1; slot < used; slot++)
		assert_int_equal(fake.named[slot], 1 + (slot < 3 * window - used));
	/* In the long run nobody is forgotten and nobody preferred. */
	beats(used - 3); /* with those before: whole rounds, whatever the window */
	for (slot = 1; slot < used; slot++)
		assert_int_equal(fake.named[slot], window);
}

static void test_heartbeat_finds_a_stall_at_the_end_of_a_large_table(void **state)
{
	__u32 last = FAKE_SLOTS - 1, nr;

	fill_table(FAKE_SLOTS);
	fake.task[last].state = CORE_TASK_CUSTODY;
	fake.task[last].gtid = 4711;
	fake.now += STALL_NS + 1;
	fake.task[last].since_ns = fake.now - STALL_NS - 1;
	for (nr = 0; nr < 10 && fake.enclave[1].state == GHOST_ENCLAVE_ONLINE; nr++)
		beats(1);
	assert_int_equal(nr, 3);
	assert_int_equal(fake_es(1)->lost_arg, 4711);
}

static void test_heartbeat_scan_goes_on_in_a_table_that_grows(void **state)
{
	fill_table(10);
	beats(2);
	fill_table(20);
	beats(2);
	for (__u32 slot = 10; slot < 20; slot++)
		assert_int_equal(fake.named[slot], 2);
}

static void test_heartbeat_without_a_slot_table_is_harmless(void **state)
{
	/* Before the loader has made it. */
	memset(&fake.slots, 0, sizeof(fake.slots));
	beats(3);
	assert_nobody_touched();
	assert_int_equal(fake.enclave[1].state, GHOST_ENCLAVE_ONLINE);
}

static void test_heartbeat_brings_names_and_cgroups_up_to_date(void **state)
{
	static const __u32 states[] = { CORE_TASK_NEW,	   CORE_TASK_BLOCKED, CORE_TASK_CUSTODY,
					CORE_TASK_LATCHED, CORE_TASK_RUNNING, CORE_TASK_FALLBACK };
	__u32 slots[ARRAY_LEN(states)], gone;

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		slots[i] = thread_in(states[i]);
	gone = thread_in(CORE_TASK_BLOCKED);
	thread_gone(gone, 1);
	beats(1);
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		assert_string_equal(fake.status[1][slots[i]].comm, "named");
		assert_int_equal(fake.status[1][slots[i]].cgroup, 77);
		assert_int_equal(fake.named[slots[i]], 1);
	}
	assert_int_equal(fake.named[gone], 0);
	assert_string_equal(fake.status[1][gone].comm, "");
}

/* With nothing to do it leaves no trace but its own counters. */
static void test_heartbeat_changes_nothing_where_all_is_well(void **state)
{
	thread_in(CORE_TASK_RUNNING);
	thread_in(CORE_TASK_BLOCKED);
	beats(1);
	before = fake;
	beats(1);
	before.cpu[CPU].beats = fake.cpu[CPU].beats;
	memcpy(before.named, fake.named, sizeof(before.named));
	before.slots.scan = fake.slots.scan;
	assert_memory_equal(&fake, &before, sizeof(fake));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_heartbeat_runs_an_agent_parked_for_long_on_an_idle_cpu),
		T(test_heartbeat_runs_an_agent_parked_for_long_on_a_busy_cpu),
		T(test_heartbeat_runs_an_agent_that_stands_by_for_long),
		T(test_heartbeat_runs_a_parked_agent_of_an_enclave_without_agents),
		T(test_heartbeat_counts_anew_after_it_has_run_an_agent),
		T(test_heartbeat_leaves_an_agent_alone_that_yields_meanwhile),
		T(test_heartbeat_leaves_an_agent_alone_that_does_not_wait),
		T(test_heartbeat_leaves_cpus_alone_that_have_no_agent),
		T(test_heartbeat_of_one_cpu_is_not_that_of_another),
		T(test_heartbeat_that_moves_a_member_off_is_told_as_a_kick),
		T(test_heartbeat_tells_an_agent_that_spins_that_its_cpu_is_wanted),
		T(test_heartbeat_tells_nobody_else_that_a_cpu_is_wanted),
		T(test_heartbeat_leaves_an_agent_that_spins_where_it_is),
		T(test_heartbeat_gives_the_place_of_a_removed_queue_back),
		T(test_heartbeat_enqueues_anew_what_is_left_in_custody_without_agents),
		T(test_heartbeat_wakes_every_cpu_for_what_is_left_in_the_fallback),
		T(test_heartbeat_enqueues_anew_who_waits_where_no_cpu_is),
		T(test_heartbeat_finds_a_cpu_that_came_unseen),
		T(test_heartbeat_leaves_what_waits_for_agents_to_them),
		T(test_heartbeat_gives_agents_what_is_left_in_the_fallback),
		T(test_heartbeat_leaves_an_enclave_without_waiting_threads_alone),
		T(test_heartbeat_finds_a_stall_and_not_too_early),
		T(test_heartbeat_takes_a_thread_that_ran_meanwhile_for_no_stall),
		T(test_heartbeat_takes_only_waiting_threads_for_a_stall),
		T(test_heartbeat_knows_no_stall_without_a_limit),
		T(test_heartbeat_takes_a_thread_of_the_next_moment_for_no_stall),
		T(test_heartbeat_does_not_count_the_time_in_which_the_machine_stood_still),
		T(test_heartbeat_that_is_a_little_late_counts_all),
		T(test_heartbeat_finds_a_stall_where_it_is_always_late),
		T(test_heartbeat_names_the_first_of_several_stalls),
		T(test_heartbeat_finds_no_stall_where_nobody_decides),
		T(test_heartbeat_looks_once_per_beat_at_a_small_table),
		T(test_heartbeat_covers_a_large_table_in_several_beats),
		T(test_heartbeat_finds_a_stall_at_the_end_of_a_large_table),
		T(test_heartbeat_scan_goes_on_in_a_table_that_grows),
		T(test_heartbeat_without_a_slot_table_is_harmless),
		T(test_heartbeat_brings_names_and_cgroups_up_to_date),
		T(test_heartbeat_changes_nothing_where_all_is_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
