// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests, and the life of an enclave from its creation to its end.
 * In: core/ctl.h and core/enclave.h over plain memory. Out: TAP.
 */
#define FAKE_CPUS 72 /* two words of a mask */
#include "tests/unit/event_fake.h"

#include "core/ctl.h"

#define TID 700

static struct fake before;

static int setup(void **state)
{
	fake_reset();
	fake.this_tid = TID;
	return 0;
}

/* --- asking ------------------------------------------------------------------- */

static __s32 ask(void (*who)(struct ghost_ctl *), struct ghost_ctl ctl)
{
	struct ghost_ctl answer = ctl;

	answer.ret = 12345;
	who(&answer);
	assert_int_not_equal(answer.ret, 12345);
	/* Nothing but the answer is written into the request. */
	ctl.ret = answer.ret;
	switch (ctl.op) {
	case GHOST_CTL_INFO:
		ctl.abi = answer.abi;
		ctl.capacity = answer.capacity;
		break;
	case GHOST_CTL_COMMIT:
		ctl.len = answer.len;
		break;
	case GHOST_CTL_QUEUE_CREATE:
		if (!answer.ret)
			ctl.queue = answer.queue;
		break;
	case GHOST_CTL_QUEUE_ASSOC:
		if (!answer.ret)
			ctl.flags = answer.flags;
		break;
	}
	assert_memory_equal(&ctl, &answer, sizeof(ctl));
	return answer.ret;
}

#define admin(...) ask(ctl_admin, (struct ghost_ctl){ __VA_ARGS__ })
#define agent(...) ask(ctl_agent, (struct ghost_ctl){ __VA_ARGS__ })

/* The exact answer, and everything as it was. */
static void refuse(void (*who)(struct ghost_ctl *), struct ghost_ctl ctl, __s32 want)
{
	before = fake;
	assert_int_equal(ask(who, ctl), want);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

#define admin_refuses(want, ...) refuse(ctl_admin, (struct ghost_ctl){ __VA_ARGS__ }, want)
#define agent_refuses(want, ...) refuse(ctl_agent, (struct ghost_ctl){ __VA_ARGS__ }, want)

static __s32 create(__u32 id, __u64 low, __u64 high)
{
	return admin(.op = GHOST_CTL_ENCLAVE_CREATE, .enclave = id, .stall_ns = 5000,
		     .cpus = { low, high });
}

static __s32 online(__u32 id)
{
	return agent(.op = GHOST_CTL_AGENT_ONLINE, .enclave = id);
}

static __s32 offline(__u32 id)
{
	return agent(.op = GHOST_CTL_AGENT_OFFLINE, .enclave = id);
}

static __s32 destroy(__u32 id)
{
	return admin(.op = GHOST_CTL_ENCLAVE_DESTROY, .enclave = id);
}

static __s32 release(__u32 id)
{
	return admin(.op = GHOST_CTL_ENCLAVE_FREE, .enclave = id);
}

/* --- an enclave to play with ------------------------------------------------------- */

static __u32 agent_of(__u32 cpu)
{
	return 900 + cpu;
}

/* As an agent thread does it: announced, then it turns SCHED_EXT. */
static void agent_comes(__u32 id, __u32 cpu)
{
	fake.this_tid = agent_of(cpu);
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_ATTACH, .enclave = id, .cpu = cpu), 0);
	assert_int_equal(port_joining_clear(agent_of(cpu)), 0);
	assert_int_equal(agent_attach(id, cpu, agent_of(cpu), 1, 0), 1);
	fake.this_tid = TID;
}

static void agents_come(__u32 id)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		if (fake.cpu[cpu].enclave == id)
			agent_comes(id, cpu);
}

/* It ends, or leaves its class. */
static void agent_goes(__u32 id, __u32 cpu)
{
	if (agent_detach(id, cpu))
		enclave_lose(id, GHOST_LOST_AGENT_EXIT, agent_of(cpu), 0);
}

static void agents_go(__u32 id)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		if (fake.cpu[cpu].enclave == id)
			agent_goes(id, cpu);
}

/* Enclaves 1 (CPUs 2, 3, 70) and 2 (CPU 5), the first brought into @state by requests. */
static void enclaves(__u32 state)
{
	setup(NULL);
	assert_int_equal(create(1, 0xc, 1 << 6), 0);
	assert_int_equal(create(2, 0x20, 0), 0);
	if (state == GHOST_ENCLAVE_ONLINE || state == GHOST_ENCLAVE_LOST) {
		agents_come(1);
		assert_int_equal(online(1), 0);
	}
	if (state == GHOST_ENCLAVE_LOST)
		agents_go(1);
	if (state == GHOST_ENCLAVE_DYING || state == GHOST_ENCLAVE_FREE)
		assert_int_equal(destroy(1), 0);
	if (state == GHOST_ENCLAVE_FREE)
		assert_int_equal(release(1), 0);
	assert_int_equal(fake.enclave[1].state, state);
	assert_int_equal(fake_es(1)->state, state);
	memset(fake.kicks, 0, sizeof(fake.kicks));
	memset(fake.preempts, 0, sizeof(fake.preempts));
	memset(fake.reenqueues, 0, sizeof(fake.reenqueues));
}

static const __u32 alive[] = { GHOST_ENCLAVE_IDLE, GHOST_ENCLAVE_ONLINE, GHOST_ENCLAVE_LOST,
			       GHOST_ENCLAVE_DYING };

/* Ids that name no enclave: none, one that is free, one without memory, no id at all. */
static const __u32 nobody[] = { 0, 1, FAKE_ENCLAVES, GHOST_ENCLAVES_MAX, ~0u };

static void assert_state(__u32 id, __u32 state)
{
	assert_int_equal(fake.enclave[id].state, state);
	assert_int_equal(fake_es(id)->state, state);
}

/* Each CPU of @id was made to look so often, and no other was. */
static void assert_poked(__u32 id, __u32 kicks, __u32 preempts)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		assert_int_equal(fake.kicks[cpu], fake.cpu[cpu].enclave == id ? kicks : 0);
		assert_int_equal(fake.preempts[cpu], fake.cpu[cpu].enclave == id ? preempts : 0);
	}
}

static void assert_reenqueued(__u32 id, __u32 custody, __u32 fallback)
{
	for (__u32 e = 0; e < FAKE_ENCLAVES; e++) {
		assert_int_equal(fake.reenqueues[e][PORT_CUSTODY], e == id ? custody : 0);
		assert_int_equal(fake.reenqueues[e][PORT_FALLBACK], e == id ? fallback : 0);
	}
}

/* A member of enclave 1, runnable. */
static __u32 runnable_member(void)
{
	__u32 slot = thread_join(1, 100, ~0ull, 1);

	fake.th[slot].cpu = 2;
	thread_enqueue(slot, EVENT_WAKEUP, 2);
	return slot;
}

static int settled; /* times who waited was enqueued anew */

/* The kernel does at once what was asked: so the new state has to be there by then. */
static void settle(void)
{
	if (!fake.reenqueues[1][PORT_CUSTODY] && !fake.reenqueues[1][PORT_FALLBACK]) {
		assert_true(settled); /* CPUs look for those who are moved, not before */
		return;
	}
	fake.poke = NULL;
	if (fake.enclave[1].state != CORE_ENCLAVE_CHANGING)
		assert_int_equal(fake.enclave[1].state, fake_es(1)->state);
	for (__u32 slot = 1; slot < FAKE_SLOTS; slot++) {
		if (fake.task[slot].enclave != 1)
			continue;
		if ((fake.reenqueues[1][PORT_CUSTODY] && fake.th[slot].place == FAKE_CUSTODY) ||
		    (fake.reenqueues[1][PORT_FALLBACK] && fake.th[slot].place == FAKE_FALLBACK)) {
			fake.th[slot].place = FAKE_NOWHERE;
			thread_enqueue(slot, EVENT_RESTORE, fake.th[slot].cpu);
			settled++;
		}
	}
}

static void settle_next(void)
{
	settled = 0;
	fake.poke = settle;
}

/* --- the programs as such ------------------------------------------------------------- */

static void test_ctl_info_tells_version_and_capacity(void **state)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_INFO };

	before = fake;
	ctl_admin(&ctl);
	assert_int_equal(ctl.ret, 0);
	assert_int_equal(ctl.abi, GHOST_ABI_VERSION);
	assert_int_equal(ctl.capacity, FAKE_SLOTS);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_ctl_init_works_once(void **state)
{
	memset(&fake.slots, 0, sizeof(fake.slots));
	assert_int_equal(admin(.op = GHOST_CTL_INIT, .capacity = 48), 0);
	assert_int_equal(fake.slots.capacity, 48);
	assert_int_equal(fake.slots.used, 1); /* slot 0 is nobody's */
	assert_int_not_equal(slots_take(), 0);
	admin_refuses(-E_BUSY, .op = GHOST_CTL_INIT, .capacity = 16);
	admin_refuses(-E_BUSY, .op = GHOST_CTL_INIT, .capacity = 0);
}

static void test_ctl_unknown_requests_are_refused(void **state)
{
	static const __u32 ops[] = { 0, 10, 15, 30, 99, ~0u };

	enclaves(GHOST_ENCLAVE_ONLINE);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		admin_refuses(-E_INVAL, .op = ops[i], .enclave = 1, .cpu = 2, .tid = TID);
		agent_refuses(-E_INVAL, .op = ops[i], .enclave = 1, .cpu = 2, .tid = TID);
	}
}

/* The right to be an agent is not the right to manage enclaves, nor the other way round. */
static void test_ctl_each_program_answers_only_its_own_requests(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	for (__u32 op = GHOST_CTL_INFO; op <= GHOST_CTL_ENCLAVE_SLO; op++)
		if (op != GHOST_CTL_INFO && op != GHOST_CTL_TASK_JOIN &&
		    op != GHOST_CTL_TASK_UNJOIN)
			agent_refuses(-E_INVAL, .op = op, .enclave = 1, .tid = TID, .capacity = 8,
				      .cpus = { 1 });
	for (__u32 op = GHOST_CTL_AGENT_ATTACH; op <= GHOST_CTL_TIMER; op++)
		admin_refuses(-E_INVAL, .op = op, .enclave = 1, .cpu = 2);
}

static void test_ctl_requests_of_agents_need_the_token(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	fake.enclave[1].token = 5;
	for (__u32 op = GHOST_CTL_AGENT_ATTACH; op <= GHOST_CTL_TIMER; op++) {
		agent_refuses(-E_PERM, .op = op, .enclave = 1, .cpu = 2);
		agent_refuses(-E_PERM, .op = op, .enclave = 1, .cpu = 2, .token = 4);
	}
	agent_refuses(-E_PERM, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = TID, .token = 6);
	assert_int_equal(fake.joining_tid, 0);
}

static void test_ctl_agents_put_in_only_whom_they_may_change(void **state)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = TID };

	enclaves(GHOST_ENCLAVE_ONLINE);
	fake.enclave[1].gen = 0x10007;
	fake.may_err = -E_PERM;
	agent_refuses(-E_PERM, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = TID);
	agent_refuses(-E_PERM, .op = GHOST_CTL_TASK_UNJOIN, .enclave = 1, .tid = TID);
	fake.may_err = -E_SRCH;
	agent_refuses(-E_SRCH, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = TID);
	assert_int_equal(fake.joining_tid, 0);
	fake.may_err = 0;
	ctl_agent(&ctl);
	assert_int_equal(ctl.ret, 0);
	assert_int_equal(fake.joining_tid, TID);
	assert_int_equal(who_enclave(fake.joining_who), 1);
	assert_int_equal(who_gen(fake.joining_who), 7);
	assert_true(enclave_expects(fake.joining_who));
	fake.enclave[1].gen++;
	assert_false(enclave_expects(fake.joining_who));
}

/* --- create -------------------------------------------------------------------------- */

static void test_ctl_create_takes_its_cpus_and_no_others(void **state)
{
	struct core_enclave *e = &fake.enclave[1];

	fake_es(1)->lost_reason = GHOST_LOST_STALL;
	fake_es(1)->nr_tasks = 9;
	e->nr_agents = 9;
	e->next_cpu = 9;
	assert_int_equal(create(1, 0xc, 1 << 6), 0);
	assert_state(1, GHOST_ENCLAVE_IDLE);
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		int in = cpu == 2 || cpu == 3 || cpu == 70;

		assert_int_equal(fake.cpu[cpu].enclave, in);
		assert_int_equal(fake.page[1][cpu].owned, in);
		assert_int_equal(cpu_in(e->cpus, cpu), in);
	}
	assert_int_equal(e->nr_cpus, 3);
	assert_int_equal(e->nr_words, 2);
	assert_int_equal(e->first_cpu, 2);
	assert_int_equal(e->nr_agents, 0);
	assert_int_equal(e->next_cpu, 0);
	assert_int_equal(e->stall_ns, 5000);
	assert_int_equal(fake_es(1)->abi, GHOST_ABI_VERSION);
	assert_int_equal(fake_es(1)->id, 1);
	assert_int_equal(fake_es(1)->capacity, FAKE_SLOTS);
	assert_int_equal(fake_es(1)->nr_cpus, 3);
	assert_int_equal(fake_es(1)->nr_tasks, 0);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_NONE);
	assert_true(fake_es(1)->word == 0);
	/* Those that idle look once, and are known to from then on. */
	assert_poked(1, 1, 0);
	assert_reenqueued(1, 0, 0);
}

static void test_ctl_create_looks_only_as_far_as_its_last_word(void **state)
{
	assert_int_equal(create(1, 1ull << 63, 0), 0);
	assert_int_equal(fake.enclave[1].nr_words, 1);
	assert_int_equal(create(2, 0, 1), 0);
	assert_int_equal(fake.enclave[2].nr_words, 2);
}

static void test_ctl_create_forgets_who_had_the_cpu_before(void **state)
{
	struct core_cpu *c = &fake.cpu[2];

	c->agent_tid = 5;
	c->agent_seen = 5;
	c->place = CORE_PLACE_PARKED;
	c->yielded = 1;
	assert_int_equal(create(1, 0xc, 0), 0);
	assert_int_equal(c->agent_tid, 0);
	assert_int_equal(c->agent_seen, 0);
	assert_int_equal(c->place, CORE_PLACE_NONE);
	assert_int_equal(c->yielded, 0);
}

/* CPUs that this machine cannot have are not counted, and alone they are none. */
static void test_ctl_create_ignores_cpus_that_do_not_exist(void **state)
{
	assert_int_equal(create(1, 1, 1ull << (FAKE_CPUS - 64)), 0);
	assert_int_equal(fake.enclave[1].nr_cpus, 1);
	assert_int_equal(fake.cpu[FAKE_CPUS].enclave, 0);
	assert_int_equal(create(2, 0, 1ull << (FAKE_CPUS - 64)), -E_INVAL);
	assert_state(2, GHOST_ENCLAVE_FREE);
}

static void test_ctl_create_without_cpus_is_refused(void **state)
{
	assert_int_equal(create(1, 0, 0), -E_INVAL);
	assert_state(1, GHOST_ENCLAVE_FREE);
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		assert_int_equal(fake.cpu[cpu].enclave, 0);
	/* The id is as good as before. */
	assert_int_equal(create(1, 1, 0), 0);
}

static void test_ctl_create_with_an_impossible_id_is_refused(void **state)
{
	static const __u32 ids[] = { 0, FAKE_ENCLAVES, GHOST_ENCLAVES_MAX, ~0u };

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		admin_refuses(-E_INVAL, .op = GHOST_CTL_ENCLAVE_CREATE, .enclave = ids[i],
			      .cpus = { 1 });
}

static void test_ctl_create_of_an_enclave_that_exists_is_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alive); i++) {
		enclaves(alive[i]);
		admin_refuses(-E_EXIST, .op = GHOST_CTL_ENCLAVE_CREATE, .enclave = 1,
			      .stall_ns = 77, .cpus = { 1 });
	}
}

static void test_ctl_create_that_overlaps_leaves_both_enclaves_as_they_were(void **state)
{
	static const __u64 masks[][2] = {
		{ 0x07, 0 },	      /* the last of three is taken */
		{ 0x04, 0 },	      /* the only one */
		{ 0x1c, 0 },	      /* the first */
		{ 0x03, 1ull << 6 },  /* in the second word */
		{ 0xff, ~0ull >> 1 }, /* everything */
	};

	for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
		setup(NULL);
		assert_int_equal(create(1, 0xc, 1 << 6), 0);
		agents_come(1);
		assert_int_equal(online(1), 0);
		before = fake;
		assert_int_equal(create(2, masks[i][0], masks[i][1]), -E_BUSY);
		assert_memory_equal(fake.cpu, before.cpu, sizeof(fake.cpu));
		assert_memory_equal(&fake.enclave[1], &before.enclave[1], sizeof(fake.enclave[1]));
		assert_memory_equal(fake.status, before.status, sizeof(fake.status));
		assert_memory_equal(fake.page[1], before.page[1], sizeof(fake.page[1]));
		assert_memory_equal(&fake.slots, &before.slots, sizeof(fake.slots));
		assert_memory_equal(fake.kicks, before.kicks, sizeof(fake.kicks));
		assert_state(2, GHOST_ENCLAVE_FREE);
		/* What was free still is, and is counted from the start. */
		assert_int_equal(create(2, 0x33, 0), 0);
		assert_int_equal(fake.enclave[2].nr_cpus, 4);
		assert_int_equal(fake_es(2)->nr_cpus, 4);
		assert_int_equal(fake.enclave[2].nr_words, 1);
	}
}

/* --- agents decide ----------------------------------------------------------------------- */

static void test_ctl_online_needs_an_agent_on_every_cpu(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	agent_refuses(-E_AGAIN, .op = GHOST_CTL_AGENT_ONLINE, .enclave = 1);
	agent_comes(1, 2);
	agent_comes(1, 70);
	agent_comes(2, 5); /* not one of theirs */
	agent_refuses(-E_AGAIN, .op = GHOST_CTL_AGENT_ONLINE, .enclave = 1);
	agent_comes(1, 3);
	agent_goes(1, 70);
	agent_refuses(-E_AGAIN, .op = GHOST_CTL_AGENT_ONLINE, .enclave = 1);
	agent_comes(1, 70);
	assert_int_equal(online(1), 0);
	assert_state(1, GHOST_ENCLAVE_ONLINE);
	assert_state(2, GHOST_ENCLAVE_IDLE);
	assert_poked(1, 1, 0);
	assert_reenqueued(1, 0, 1);
}

/* After the look at their number, before anybody could have noticed. */
static void agent_dies(void)
{
	if (fake.enclave[1].state != GHOST_ENCLAVE_ONLINE)
		return;
	fake.step = NULL;
	agent_goes(1, 70);
}

static void test_ctl_online_that_meets_the_death_of_an_agent_is_lost_again(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	agents_come(1);
	fake.step = agent_dies;
	assert_int_equal(online(1), -E_AGAIN);
	assert_state(1, GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_AGENT_EXIT);
}

static void test_ctl_cpu_that_goes_offline_costs_its_enclave_the_agents(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	enclave_cpu_offline(40); /* nobody's */
	assert_state(1, GHOST_ENCLAVE_ONLINE);
	cpu_idle_set(fake_es(1), 70);
	enclave_cpu_offline(70);
	assert_state(1, GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_CPU);
	assert_int_equal(fake_es(1)->lost_arg, 70);
	assert_false(fake_mask_has(fake_es(1)->idle, 70)); /* nobody must count on it */
	assert_state(2, GHOST_ENCLAVE_IDLE);
}

static void test_ctl_threads_whose_enclave_has_no_cpu_that_is_online_go_anywhere(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alive) * 2; i++) {
		__u32 slot;

		enclaves(alive[i / 2]);
		fake.cpu[2].spins = fake.cpu[3].spins = fake.cpu[70].spins = i % 2;
		slot = runnable_member();
		enclave_cpu_offline(2);
		enclave_cpu_offline(70);
		enclave_cpu_offline(5); /* enclave 2's only one */
		assert_int_not_equal(thread_enqueue(slot, EVENT_RESTORE, 3), EVENT_GLOBAL);
		settle_next();
		enclave_cpu_offline(3);
		assert_int_equal(settled, 1);
		assert_int_equal(fake.th[slot].place, FAKE_GLOBAL);
		assert_int_equal(thread_enqueue(slot, EVENT_WAKEUP, 0), EVENT_GLOBAL);
		enclave_cpu_online(70);
		assert_int_not_equal(thread_enqueue(slot, EVENT_RESTORE, 0), EVENT_GLOBAL);
	}
}

static void test_ctl_cpus_of_others_are_none_to_go_to(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	enclave_cpu_offline(2);
	enclave_cpu_offline(3);
	assert_int_equal(fake.enclave[1].nowhere, 0);
	enclave_cpu_offline(70);
	assert_int_equal(fake.enclave[1].nowhere, 1);
	assert_int_equal(fake.enclave[2].nowhere, 0);
	/* Others, one of them online. */
	assert_int_equal(
		admin(.op = GHOST_CTL_ENCLAVE_CPUS, .enclave = 1, .cpus = { 0xc | 1 << 8 }), 0);
	assert_int_equal(fake.enclave[1].nowhere, 0);
	assert_int_equal(admin(.op = GHOST_CTL_ENCLAVE_CPUS, .enclave = 1, .cpus = { 0xc }), 0);
	assert_int_equal(fake.enclave[1].nowhere, 1);
}

static void test_ctl_online_is_refused_where_there_is_no_enclave(void **state)
{
	enclaves(GHOST_ENCLAVE_FREE);
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
		agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_ONLINE, .enclave = nobody[i]);
}

static void test_ctl_online_is_refused_while_online_or_dying(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	agent_refuses(-E_BUSY, .op = GHOST_CTL_AGENT_ONLINE, .enclave = 1);
	assert_int_equal(destroy(1), 0); /* all agents are still there */
	agent_refuses(-E_BUSY, .op = GHOST_CTL_AGENT_ONLINE, .enclave = 1);
}

static void test_ctl_new_agents_may_take_a_lost_enclave_over(void **state)
{
	enclaves(GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_AGENT_EXIT);
	agent_refuses(-E_AGAIN, .op = GHOST_CTL_AGENT_ONLINE, .enclave = 1);
	agents_come(1);
	assert_int_equal(online(1), 0);
	assert_state(1, GHOST_ENCLAVE_ONLINE);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_NONE);
}

static void test_ctl_online_puts_those_who_wait_for_the_fallback_into_custody(void **state)
{
	__u32 slot;

	enclaves(GHOST_ENCLAVE_IDLE);
	slot = runnable_member();
	assert_int_equal(fake.th[slot].place, FAKE_FALLBACK);
	agents_come(1);
	settle_next();
	assert_int_equal(online(1), 0);
	assert_int_equal(settled, 1);
	assert_int_equal(fake.th[slot].place, FAKE_CUSTODY);
	assert_int_equal(fake.task[slot].state, CORE_TASK_CUSTODY);
}

/* --- agents do not decide any more ------------------------------------------------------- */

static void test_ctl_offline_is_no_loss(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	assert_int_equal(offline(1), 0);
	assert_state(1, GHOST_ENCLAVE_IDLE);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_NONE);
	assert_int_equal(fake_es(1)->lost_arg, 0);
	assert_reenqueued(1, 1, 0);
	assert_poked(1, 0, 1); /* agents have to notice, whatever runs there */
	/* They end now, and that is no loss either. */
	agents_go(1);
	assert_state(1, GHOST_ENCLAVE_IDLE);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_NONE);
	assert_int_equal(fake.enclave[1].nr_agents, 0);
}

static void test_ctl_offline_is_refused_unless_online(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alive); i++) {
		if (alive[i] == GHOST_ENCLAVE_ONLINE)
			continue;
		enclaves(alive[i]);
		agent_refuses(-E_BUSY, .op = GHOST_CTL_AGENT_OFFLINE, .enclave = 1);
	}
	enclaves(GHOST_ENCLAVE_FREE);
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
		agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_OFFLINE, .enclave = nobody[i]);
}

static void test_ctl_enclave_that_loses_an_agent_is_lost(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	agent_goes(1, 3);
	assert_state(1, GHOST_ENCLAVE_LOST);
	assert_state(2, GHOST_ENCLAVE_IDLE);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_AGENT_EXIT);
	assert_int_equal(fake_es(1)->lost_arg, agent_of(3));
	assert_reenqueued(1, 1, 0);
	assert_poked(1, 1, 0); /* members that run may finish their slice */
	/* The first one counts: those who follow only notice. */
	before = fake;
	enclave_lose(1, GHOST_LOST_STALL, 4711, 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
	agent_goes(1, 2);
	assert_int_equal(fake_es(1)->lost_arg, agent_of(3));
}

static void test_ctl_enclave_without_deciding_agents_cannot_lose_them(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alive); i++) {
		if (alive[i] == GHOST_ENCLAVE_ONLINE)
			continue;
		enclaves(alive[i]);
		before = fake;
		enclave_lose(1, GHOST_LOST_STALL, 4711, 0);
		assert_memory_equal(&fake, &before, sizeof(fake));
	}
	enclaves(GHOST_ENCLAVE_FREE);
	before = fake;
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
		enclave_lose(nobody[i], GHOST_LOST_STALL, 4711, 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void loses(void)
{
	enclave_lose(1, GHOST_LOST_STALL, 4711, 0);
}

static void goes_offline(void)
{
	assert_int_equal(offline(1), 0);
}

static void is_destroyed(void)
{
	assert_int_equal(destroy(1), 0);
}

static void test_ctl_those_in_custody_meet_the_fallback_however_agents_end(void **state)
{
	static void (*const ends[])(void) = { loses, goes_offline, is_destroyed };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		__u32 slot;

		enclaves(GHOST_ENCLAVE_ONLINE);
		slot = runnable_member();
		assert_int_equal(fake.th[slot].place, FAKE_CUSTODY);
		settle_next();
		ends[i]();
		assert_int_equal(settled, 1);
		assert_int_equal(fake.th[slot].place, FAKE_FALLBACK);
		assert_int_equal(fake.task[slot].state, CORE_TASK_FALLBACK);
	}
}

/* --- how long threads wait while nobody decides ---------------------------------------------- */

static void test_ctl_wait_without_agents_counts_from_their_end(void **state)
{
	__u32 slot, other;
	__u64 fell;

	enclaves(GHOST_ENCLAVE_ONLINE);
	assert_int_equal(fake_es(1)->online_ns, fake.now);
	fake.now += 70;
	slot = runnable_member();
	/* What it waits for its agent is not counted. */
	fake.now += 1000;
	fell = fake.now;
	settle_next();
	assert_int_equal(offline(1), 0);
	assert_int_equal(fake.th[slot].place, FAKE_FALLBACK);
	assert_int_equal(fake_es(1)->fell_ns, fell);
	fake.now += 30;
	event_task_running(slot, 2);
	assert_int_equal(fake_es(1)->unscheduled_ns, 30);
	/* A higher class takes its CPU and gives it back: that is no wait for the fallback. */
	fake.now += 500;
	event_task_running(slot, 2);
	assert_int_equal(fake_es(1)->unscheduled_ns, 30);
	/* One that wakes up later waits from then on; the longest wait stays. */
	other = runnable_member();
	fake.now += 20;
	event_task_running(other, 2);
	assert_int_equal(fake_es(1)->unscheduled_ns, 30);
	other = runnable_member();
	fake.now += 40;
	event_task_running(other, 2);
	assert_int_equal(fake_es(1)->unscheduled_ns, 40);
}

static void test_ctl_wait_without_agents_ends_with_new_ones(void **state)
{
	__u32 slot;

	enclaves(GHOST_ENCLAVE_ONLINE);
	slot = runnable_member();
	fake.now += 1000;
	settle_next();
	assert_int_equal(offline(1), 0);
	fake.now += 50;
	settle_next();
	assert_int_equal(online(1), 0);
	assert_int_equal(fake_es(1)->online_ns - fake_es(1)->fell_ns, 50);
	assert_int_equal(fake_es(1)->unscheduled_ns, 50);
	assert_int_equal(fake.task[slot].state, CORE_TASK_CUSTODY);
	/* From now on it is theirs to let it wait. */
	fake.now += 500;
	assert_int_equal(fake_es(1)->unscheduled_ns, 50);
	/* The next time counts anew. */
	settle_next();
	assert_int_equal(offline(1), 0);
	fake.now += 5;
	event_task_running(slot, 2);
	assert_int_equal(fake_es(1)->unscheduled_ns, 5);
}

/* It waits for a CPU outside, as its affinity has none of the enclave's. */
static void test_ctl_wait_of_a_thread_outside_is_not_for_agents(void **state)
{
	__u32 slot;

	enclaves(GHOST_ENCLAVE_ONLINE);
	slot = thread_join(1, 100, 1, 1);
	assert_int_equal(thread_enqueue(slot, EVENT_WAKEUP, 0), EVENT_GLOBAL);
	fake.now += 900;
	event_task_running(slot, 0);
	assert_int_equal(fake_es(1)->unscheduled_ns, 0);
}

/* --- the end of an enclave ------------------------------------------------------------------ */

static void test_ctl_destroy_takes_an_enclave_in_any_state(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alive); i++) {
		enclaves(alive[i]);
		assert_int_equal(destroy(1), 0);
		assert_state(1, GHOST_ENCLAVE_DYING);
		assert_state(2, GHOST_ENCLAVE_IDLE);
		assert_reenqueued(1, 1, 0);
		assert_poked(1, 1, 0);
		/* Its CPUs are its own until it is free. */
		assert_int_equal(fake.cpu[2].enclave, 1);
		assert_int_equal(create(2, 0x4, 0), -E_EXIST);
	}
}

static void test_ctl_destroy_is_refused_where_there_is_no_enclave(void **state)
{
	enclaves(GHOST_ENCLAVE_FREE);
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
		admin_refuses(-E_NOENT, .op = GHOST_CTL_ENCLAVE_DESTROY, .enclave = nobody[i]);
}

static void test_ctl_free_gives_its_cpus_back_and_no_others(void **state)
{
	enclaves(GHOST_ENCLAVE_DYING);
	assert_int_equal(release(1), 0);
	assert_state(1, GHOST_ENCLAVE_FREE);
	assert_state(2, GHOST_ENCLAVE_IDLE);
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		assert_int_equal(fake.cpu[cpu].enclave, cpu == 5 ? 2 : 0);
	/* The id and the CPUs may be had again. */
	assert_int_equal(create(1, 0xc, 1 << 6), 0);
	assert_state(1, GHOST_ENCLAVE_IDLE);
}

static void test_ctl_free_is_refused_before_destroy(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alive); i++) {
		if (alive[i] == GHOST_ENCLAVE_DYING)
			continue;
		enclaves(alive[i]);
		admin_refuses(-E_BUSY, .op = GHOST_CTL_ENCLAVE_FREE, .enclave = 1);
	}
	enclaves(GHOST_ENCLAVE_FREE);
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
		admin_refuses(-E_NOENT, .op = GHOST_CTL_ENCLAVE_FREE, .enclave = nobody[i]);
}

static void test_ctl_free_waits_until_the_last_member_and_agent_are_gone(void **state)
{
	__u32 first, second;

	enclaves(GHOST_ENCLAVE_ONLINE);
	first = runnable_member();
	second = thread_join(1, 101, ~0ull, 0);
	assert_int_equal(destroy(1), 0);
	admin_refuses(-E_BUSY, .op = GHOST_CTL_ENCLAVE_FREE, .enclave = 1);
	thread_gone(first, 0);
	agents_go(1);
	admin_refuses(-E_BUSY, .op = GHOST_CTL_ENCLAVE_FREE, .enclave = 1); /* one member */
	assert_state(1, GHOST_ENCLAVE_DYING); /* agents that leave are no loss now */
	thread_gone(second, 1);
	assert_int_equal(release(1), 0);

	enclaves(GHOST_ENCLAVE_ONLINE);
	assert_int_equal(destroy(1), 0);
	agent_goes(1, 2);
	agent_goes(1, 3);
	admin_refuses(-E_BUSY, .op = GHOST_CTL_ENCLAVE_FREE, .enclave = 1); /* one agent */
	agent_goes(1, 70);
	assert_int_equal(release(1), 0);
}

/* --- members --------------------------------------------------------------------------------- */

static void test_ctl_join_is_announced_with_the_enclave(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alive); i++) {
		if (alive[i] == GHOST_ENCLAVE_DYING)
			continue;
		enclaves(alive[i]);
		assert_int_equal(admin(.op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = 33), 0);
		assert_int_equal(fake.joining_tid, 33);
		assert_int_equal(who_kind(fake.joining_who), WHO_MEMBER);
		assert_int_equal(who_enclave(fake.joining_who), 1);
		/* It is no member yet. */
		assert_int_equal(fake_es(1)->nr_tasks, 0);
	}
}

static void test_ctl_join_is_refused_where_nobody_can_be_a_member(void **state)
{
	enclaves(GHOST_ENCLAVE_FREE);
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
		admin_refuses(-E_NOENT, .op = GHOST_CTL_TASK_JOIN, .enclave = nobody[i], .tid = 33);
	enclaves(GHOST_ENCLAVE_DYING);
	admin_refuses(-E_NOENT, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = 33);
}

static void test_ctl_join_of_an_agent_is_refused(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	admin_refuses(-E_PERM, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = agent_of(2));
	admin_refuses(-E_PERM, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = agent_of(70));
	/* Of another enclave just as little: two that wait for each other are no better. */
	admin_refuses(-E_PERM, .op = GHOST_CTL_TASK_JOIN, .enclave = 2, .tid = agent_of(2));
	agent_goes(1, 2);
	assert_int_equal(admin(.op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = agent_of(2)), 0);
}

static void test_ctl_join_that_cannot_be_announced_says_why(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	fake.joining_err = -7;
	admin_refuses(-7, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = 33);
	agent_refuses(-7, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 2);
}

static void test_ctl_unjoin_takes_a_join_back_once(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	assert_int_equal(admin(.op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = 33), 0);
	admin_refuses(-E_NOENT, .op = GHOST_CTL_TASK_UNJOIN, .tid = 34);
	assert_int_equal(admin(.op = GHOST_CTL_TASK_UNJOIN, .tid = 33), 0);
	assert_int_equal(fake.joining_tid, 0);
	admin_refuses(-E_NOENT, .op = GHOST_CTL_TASK_UNJOIN, .tid = 33);
}

static void test_ctl_member_that_comes_gets_a_slot(void **state)
{
	__u32 slot;

	enclaves(GHOST_ENCLAVE_LOST);
	slot = event_task_take(1, 33);
	assert_in_range(slot, 1, FAKE_SLOTS - 1);
	assert_int_equal(fake.task[slot].state, CORE_TASK_NEW);
	assert_int_equal(fake.task[slot].enclave, 1);
	assert_int_equal((uint32_t)fake.task[slot].gtid, 33);
	assert_int_equal(fake_es(1)->nr_tasks, 1);
	assert_true(fake_es(1)->nr_no_slot == 0);
}

/* It was announced in time, but came too late. */
static void test_ctl_nobody_becomes_member_of_an_enclave_that_goes_away(void **state)
{
	enclaves(GHOST_ENCLAVE_DYING);
	before = fake;
	assert_int_equal(event_task_take(1, 33), 0);
	assert_int_equal(event_task_take(0, 33), 0);
	assert_int_equal(event_task_take(FAKE_ENCLAVES, 33), 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
	enclaves(GHOST_ENCLAVE_FREE);
	before = fake;
	assert_int_equal(event_task_take(1, 33), 0);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_ctl_nobody_becomes_member_when_the_table_is_full(void **state)
{
	__u32 slot = 0;

	enclaves(GHOST_ENCLAVE_IDLE);
	for (__u32 i = 1; i < FAKE_SLOTS; i++)
		slot = event_task_take(1, 100 + i);
	assert_int_not_equal(slot, 0);
	assert_int_equal(event_task_take(1, 33), 0);
	assert_int_equal(event_task_take(2, 33), 0);
	assert_true(fake_es(1)->nr_no_slot == 1);
	assert_true(fake_es(2)->nr_no_slot == 1);
	assert_int_equal(fake_es(1)->nr_tasks, FAKE_SLOTS - 1);
	assert_int_equal(fake_es(2)->nr_tasks, 0);
	thread_gone(slot, 1);
	assert_int_equal(event_task_take(2, 33), slot);
}

/* --- agents ------------------------------------------------------------------------------------ */

static void test_ctl_attach_announces_the_caller_as_the_agent_of_that_cpu(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 70, .tid = 1), 0);
	assert_int_equal(fake.joining_tid, TID); /* itself, whatever else it says */
	assert_int_equal(who_kind(fake.joining_who), WHO_AGENT);
	assert_int_equal(who_enclave(fake.joining_who), 1);
	assert_int_equal(who_index(fake.joining_who), 70);
	assert_int_equal(fake.cpu[70].agent_tid, 0); /* not before it turns SCHED_EXT */
	assert_int_equal(fake.enclave[1].nr_agents, 0);
}

static void test_ctl_attach_to_a_cpu_that_is_not_the_enclaves_is_refused(void **state)
{
	static const __u32 cpus[] = { 5, 0, FAKE_CPUS, GHOST_CPUS_MAX, GHOST_CPU_NONE };

	enclaves(GHOST_ENCLAVE_IDLE);
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++)
		agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = cpus[i]);
	/* CPU 0 belongs to nobody: that is no enclave one could ask for. */
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 0, .cpu = 0);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_ATTACH, .enclave = ~0u, .cpu = 0);
}

static void test_ctl_attach_to_an_enclave_that_goes_away_is_refused(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	assert_int_equal(destroy(1), 0);
	fake.this_tid = 77;
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 2);
}

static void test_ctl_attach_to_a_cpu_that_has_an_agent_is_refused(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	agent_comes(1, 3);
	agent_refuses(-E_BUSY, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 3);
	agent_goes(1, 3);
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 3), 0);
}

static void test_ctl_ping_is_news_and_wakes_an_idle_cpu(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_PING, .enclave = 1, .cpu = 70), 0);
	assert_int_equal(fake.page[1][70].agent_seq, 1);
	assert_int_equal(fake.kicks[70], 0);
	cpu_idle_set(fake_es(1), 70);
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_PING, .enclave = 1, .cpu = 70), 0);
	assert_int_equal(fake.page[1][70].agent_seq, 2);
	assert_int_equal(fake.kicks[70], 1);
}

static void test_ctl_ping_of_a_cpu_that_is_not_the_enclaves_is_refused(void **state)
{
	static const __u32 cpus[] = { 5, 0, FAKE_CPUS, GHOST_CPUS_MAX, GHOST_CPU_NONE };

	enclaves(GHOST_ENCLAVE_ONLINE);
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++)
		agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_PING, .enclave = 1, .cpu = cpus[i]);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_PING, .enclave = 0, .cpu = 0);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_PING, .enclave = 2, .cpu = 2);
}

/* --- other CPUs ----------------------------------------------------------------------------------- */

static __s32 set_cpus(__u32 id, __u64 low, __u64 high)
{
	return admin(.op = GHOST_CTL_ENCLAVE_CPUS, .enclave = id, .cpus = { low, high });
}

/* Of enclave 1: in the CPUs' records, in its own, and in what agents and tools read. */
static void assert_cpus(__u64 low, __u64 high)
{
	const __u64 cpus[] = { low, high };
	__u32 nr = 0;

	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		int in = cpu_in(cpus, cpu);

		nr += in;
		assert_int_equal(fake.cpu[cpu].enclave == 1, in);
		assert_int_equal(fake.page[1][cpu].owned, in);
		assert_int_equal(fake.page[1][cpu].queue.len, in ? GHOST_QUEUE_LEN : 0);
		assert_int_equal(cpu_in(fake.enclave[1].cpus, cpu), in);
	}
	assert_int_equal(fake.enclave[1].nr_cpus, nr);
	assert_int_equal(fake_es(1)->nr_cpus, nr);
	assert_int_equal(fake.enclave[1].first_cpu,
			 low ? __builtin_ctzll(low) : 64 + __builtin_ctzll(high));
	assert_int_equal(fake.enclave[1].nr_words, high ? 2 : 1);
}

static void test_ctl_enclave_without_agents_may_have_other_cpus(void **state)
{
	static const __u32 states[] = { GHOST_ENCLAVE_IDLE, GHOST_ENCLAVE_LOST };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		enclaves(states[i]);
		fake_es(1)->idle[0] = 0xc;
		fake_es(1)->idle[1] = 1 << 6;
		/* 2 stays, 3 and 70 leave, 0 and 64 come. */
		assert_int_equal(set_cpus(1, 0x5, 1), 0);
		assert_cpus(0x5, 1);
		assert_state(1, states[i]);
		assert_int_equal(fake.cpu[3].enclave, 0);
		assert_true(fake_es(1)->idle[0] == 4 && !fake_es(1)->idle[1]);
		/* Who was put on one that leaves is taken off, the others look for work. */
		for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
			assert_int_equal(fake.preempts[cpu], cpu == 3 || cpu == 70);
			assert_int_equal(fake.kicks[cpu], cpu == 0 || cpu == 2 || cpu == 64);
		}
		assert_reenqueued(1, 1, 1);
		/* Others may have what left; and it may come back. */
		assert_int_equal(set_cpus(2, 0x8, 0), 0);
		assert_int_equal(fake.cpu[3].enclave, 2);
		assert_int_equal(fake.cpu[5].enclave, 0);
		assert_int_equal(set_cpus(1, 0x4, 1 << 6), 0);
		assert_cpus(0x4, 1 << 6);
		/* Agents on all of them decide. */
		agents_come(1);
		assert_int_equal(online(1), 0);
	}
}

static void test_ctl_cpus_of_an_enclave_with_agents_stay(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	admin_refuses(-E_BUSY, .op = GHOST_CTL_ENCLAVE_CPUS, .enclave = 1, .cpus = { 0xc });
	enclaves(GHOST_ENCLAVE_IDLE);
	agent_comes(1, 70);
	admin_refuses(-E_BUSY, .op = GHOST_CTL_ENCLAVE_CPUS, .enclave = 1, .cpus = { 0xc });
	agent_goes(1, 70);
	assert_int_equal(set_cpus(1, 0xc, 0), 0);
}

static void test_ctl_cpus_that_cannot_be_had_leave_all_as_it_was(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	/* One is the other enclave's; before and behind those that are free. */
	assert_int_equal(set_cpus(1, 0x31, 1), -E_BUSY);
	assert_cpus(0xc, 1 << 6);
	assert_int_equal(fake.cpu[5].enclave, 2);
	assert_poked(1, 0, 0);
	assert_int_equal(set_cpus(1, 0, 0), -E_INVAL);
	/* Those that do not exist are none. */
	assert_int_equal(set_cpus(1, 0, 1ull << (FAKE_CPUS - 64)), -E_INVAL);
	assert_cpus(0xc, 1 << 6);
	assert_state(1, GHOST_ENCLAVE_IDLE);
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++) {
		enclaves(GHOST_ENCLAVE_FREE);
		admin_refuses(-E_NOENT, .op = GHOST_CTL_ENCLAVE_CPUS, .enclave = nobody[i],
			      .cpus = { 1 });
	}
	enclaves(GHOST_ENCLAVE_DYING);
	admin_refuses(-E_NOENT, .op = GHOST_CTL_ENCLAVE_CPUS, .enclave = 1, .cpus = { 1 });
}

/* An agent was announced before, and comes while its CPU leaves. */
static void agent_slips_in(void)
{
	if (fake.cpu[70].enclave == 1)
		return;
	fake.step_after = NULL;
	assert_int_equal(agent_attach(1, 70, agent_of(70), 1, 0), 0);
}

static void agent_was_faster(void)
{
	if (fake.cpu[3].enclave == 1)
		return;
	fake.step = NULL;
	/* Between its two looks. */
	fake.cpu[70].agent_tid = agent_of(70);
}

static void test_ctl_cpu_does_not_leave_beneath_an_agent_that_comes(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	fake.step_after = agent_slips_in;
	assert_int_equal(set_cpus(1, 0x4, 0), 0);
	assert_null(fake.step_after);
	assert_cpus(0x4, 0);
	assert_int_equal(fake.cpu[70].agent_tid, 0);
	assert_int_equal(fake.enclave[1].nr_agents, 0);

	enclaves(GHOST_ENCLAVE_IDLE);
	fake.step = agent_was_faster;
	assert_int_equal(set_cpus(1, 0x5, 0), -E_BUSY);
	assert_null(fake.step);
	assert_cpus(0xc, 1 << 6);
	assert_int_equal(fake.cpu[70].agent_tid, agent_of(70));
	assert_int_equal(fake.cpu[0].enclave, 0);
}

/* Whatever else is asked of it in the middle. */
static void in_the_middle(void)
{
	if (fake.enclave[1].state != CORE_ENCLAVE_CHANGING)
		return;
	fake.step = NULL;
	assert_int_equal(set_cpus(1, 0x1, 0), -E_BUSY);
	assert_int_equal(online(1), -E_BUSY);
	assert_int_equal(destroy(1), -E_BUSY);
	assert_int_equal(release(1), -E_BUSY);
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 2), -E_BUSY);
}

static void test_ctl_enclave_whose_cpus_change_does_nothing_else(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	fake.step = in_the_middle;
	assert_int_equal(set_cpus(1, 0x5, 0), 0);
	assert_null(fake.step);
	assert_cpus(0x5, 0);
}

/* Allowed CPU 3, 2 and 3, or all: runnable, with nobody to decide. */
static void test_ctl_threads_find_out_which_cpus_are_left_for_them(void **state)
{
	static const __u64 masks[] = { 0x8, 0xc, ~0ull };
	static const __u32 after[] = { FAKE_GLOBAL, FAKE_FALLBACK, FAKE_FALLBACK };
	__u32 slot[3];

	enclaves(GHOST_ENCLAVE_IDLE);
	for (int i = 0; i < 3; i++) {
		slot[i] = thread_join(1, 100 + i, masks[i], 1);
		fake.th[slot[i]].cpu = 3;
		thread_enqueue(slot[i], EVENT_WAKEUP, 3);
		assert_int_equal(fake.th[slot[i]].place, FAKE_FALLBACK);
	}
	settle_next();
	assert_int_equal(set_cpus(1, 0x4, 0), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fake.th[slot[i]].place, after[i]);
	settle_next();
	assert_int_equal(set_cpus(1, 0xc, 0), 0);
	/* Outside nobody looks for it; it finds out when it has run. */
	thread_enqueue(slot[0], EVENT_SLICE, 3);
	assert_int_equal(fake.th[slot[0]].place, FAKE_FALLBACK);
}

/* The agents of the CPUs that are left hear of those whose queue is gone. */
static void test_ctl_messages_of_a_cpu_that_left_go_to_one_that_is_there(void **state)
{
	__u32 slot;

	enclaves(GHOST_ENCLAVE_IDLE);
	slot = thread_join(1, 100, ~0ull, 0);
	fake.task[slot].queue = fake.status[1][slot].queue = 70;
	fake.status[1][slot].cpu = 70;
	assert_int_equal(set_cpus(1, 0xc, 0), 0);
	agents_come(1);
	assert_int_equal(online(1), 0);
	thread_enqueue(slot, EVENT_WAKEUP, 70);
	assert_int_equal(fake.task[slot].queue, 2);
	assert_int_equal(fake.page[1][2].queue.head, 1);
}

/* --- the ring ------------------------------------------------------------------------------------ */

static void test_ctl_create_gives_each_cpu_a_queue_in_the_ring(void **state)
{
	static const __u32 cpus[] = { 2, 3, 70 };

	assert_int_equal(create(1, 0xc, 1 << 6), 0);
	for (__u32 i = 0; i < ARRAY_LEN(cpus); i++) {
		const struct ghost_queue *q = &fake.page[1][cpus[i]].queue;

		/* Its own place, whosever it is. */
		assert_int_equal(q->first, cpus[i] * GHOST_QUEUE_LEN);
		assert_int_equal(q->len, GHOST_QUEUE_LEN);
		assert_int_equal(q->nr_wake, 1);
		assert_int_equal(q->wake[0], cpus[i]);
		assert_int_equal(fake.page[1][cpus[i]].state, GHOST_CPU_AVAILABLE);
	}
	for (__u32 q = 0; q < FAKE_QUEUES; q++)
		assert_int_equal(!!fake.page[1][q].queue.len, q == 2 || q == 3 || q == 70);
	assert_int_equal(fake.enclave[1].ring_made, FAKE_CPUS * GHOST_QUEUE_LEN);
	assert_int_equal(fake.enclave[1].ring_len, FAKE_CPUS * GHOST_QUEUE_LEN);
	assert_int_equal(fake_es(1)->ring_len, FAKE_CPUS * GHOST_QUEUE_LEN);
	assert_int_equal(fake_es(1)->default_queue, GHOST_QUEUE_NONE);
	/* Nothing was asked for those that are made. */
	agent_refuses(-E_NOSPC, .op = GHOST_CTL_QUEUE_CREATE, .enclave = 1, .len = 1);
}

static void test_ctl_create_with_a_ring_larger_than_its_memory_is_refused(void **state)
{
	static const __u32 lens[] = { FAKE_RING_MADE + 1, 1u << 31,
				      -(__u32)(FAKE_CPUS * GHOST_QUEUE_LEN), ~0u };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		assert_int_equal(admin(.op = GHOST_CTL_ENCLAVE_CREATE, .enclave = 1, .len = lens[i],
				       .cpus = { 1 }),
				 -E_INVAL);
		assert_state(1, GHOST_ENCLAVE_FREE);
		assert_int_equal(fake.cpu[0].enclave, 0);
	}
	assert_int_equal(admin(.op = GHOST_CTL_ENCLAVE_CREATE, .enclave = 1, .len = FAKE_RING_MADE,
			       .cpus = { 1 }),
			 0);
	assert_int_equal(fake_es(1)->ring_len, FAKE_RING);
}

static void test_ctl_create_knows_which_cpus_are_offline(void **state)
{
	enclave_cpu_offline(3);
	assert_int_equal(create(1, 0xc, 0), 0);
	assert_int_equal(fake.page[1][2].state, GHOST_CPU_AVAILABLE);
	assert_int_equal(fake.page[1][3].state, GHOST_CPU_OFF);
	enclave_cpu_online(3);
	assert_int_equal(fake.page[1][3].state, GHOST_CPU_AVAILABLE);
}

/* Numbers past the last CPU are those of queues that are made: nobody's by birth. */
static void test_ctl_threads_get_no_queue_of_a_cpu_that_does_not_exist(void **state)
{
	__u32 made;

	/* CPU 0, and as many as the mask has room for. */
	assert_int_equal(admin(.op = GHOST_CTL_ENCLAVE_CREATE, .enclave = 1, .len = 64,
			       .cpus = { 1, ~0ull << (FAKE_CPUS - 64) }),
			 0);
	agents_come(1);
	assert_int_equal(online(1), 0);
	made = queue_create(1, 64);
	assert_int_equal(made, FAKE_CPUS);
	for (__u32 i = 0; i < 4; i++)
		assert_int_equal(fake.task[thread_join(1, 100 + i, ~0ull, 0)].queue, 0);
}

/* --- queues ---------------------------------------------------------------------------------------- */

/* As enclaves(), with room for queues. */
static void with_queues(void)
{
	setup(NULL);
	assert_int_equal(admin(.op = GHOST_CTL_ENCLAVE_CREATE, .enclave = 1, .len = 256,
			       .cpus = { 0xc }),
			 0);
	agents_come(1);
	assert_int_equal(online(1), 0);
}

static __u32 queue_of(__u32 len)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_CREATE, .enclave = 1, .len = len };

	ctl_agent(&ctl);
	assert_int_equal(ctl.ret, 0);
	return ctl.queue;
}

static void test_ctl_queue_requests_do_what_they_say(void **state)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_ASSOC, .enclave = 1 };
	__u32 queue, slot;

	with_queues();
	queue = queue_of(128);
	assert_int_equal(queue, FAKE_CPUS);
	assert_int_equal(agent(.op = GHOST_CTL_QUEUE_WAKE, .enclave = 1, .queue = queue, .len = 2,
			       .cpus = { 3, 2 }),
			 0);
	assert_int_equal(fake.page[1][queue].queue.nr_wake, 2);
	assert_int_equal(fake.page[1][queue].queue.wake[0], 3);
	assert_int_equal(fake.page[1][queue].queue.wake[1], 2);
	slot = runnable_member();
	ctl.queue = queue;
	ctl.slot = slot;
	ctl.seq = fake.task[slot].seq;
	ctl_agent(&ctl);
	assert_int_equal(ctl.ret, 0);
	assert_int_equal(ctl.flags, 0);
	thread_nice(slot, 1);
	assert_int_equal(fake.task[slot].queue, queue);
	ctl.seq = fake.task[slot].seq;
	ctl_agent(&ctl);
	assert_int_equal(ctl.ret, 0);
	assert_int_equal(ctl.flags, GHOST_ASSOC_ALREADY);
	assert_int_equal(agent(.op = GHOST_CTL_QUEUE_DEFAULT, .enclave = 1, .queue = queue), 0);
	assert_int_equal(fake_es(1)->default_queue, queue);
	assert_int_equal(agent(.op = GHOST_CTL_QUEUE_DESTROY, .enclave = 1, .queue = queue), 0);
	assert_int_equal(fake.page[1][queue].queue.len, 0);
	assert_int_equal(fake_es(1)->default_queue, GHOST_QUEUE_NONE);
}

static void test_ctl_queue_requests_say_why_they_are_refused(void **state)
{
	__u32 queue, slot;

	with_queues();
	queue = queue_of(128);
	slot = runnable_member();
	agent_refuses(-E_INVAL, .op = GHOST_CTL_QUEUE_CREATE, .enclave = 1, .len = 0);
	agent_refuses(-E_INVAL, .op = GHOST_CTL_QUEUE_CREATE, .enclave = 1, .len = 100);
	agent_refuses(-E_NOSPC, .op = GHOST_CTL_QUEUE_CREATE, .enclave = 1, .len = 256);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_CREATE, .enclave = 2, .len = 8);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_DESTROY, .enclave = 1, .queue = 2);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_DESTROY, .enclave = 1, .queue = queue + 1);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_DEFAULT, .enclave = 1, .queue = queue + 1);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_DEFAULT, .enclave = 1, .queue = 4);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_WAKE, .enclave = 1, .queue = queue + 1);
	agent_refuses(-E_INVAL, .op = GHOST_CTL_QUEUE_WAKE, .enclave = 1, .queue = queue, .len = 1,
		      .cpus = { 4 });
	agent_refuses(-E_INVAL, .op = GHOST_CTL_QUEUE_WAKE, .enclave = 1, .queue = queue,
		      .len = GHOST_WAKES_MAX + 1, .cpus = { 2, 2, 2, 2, 2 });
	agent_refuses(-E_STALE, .op = GHOST_CTL_QUEUE_ASSOC, .enclave = 1, .queue = queue,
		      .slot = slot, .seq = fake.task[slot].seq - 1);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_ASSOC, .enclave = 1, .queue = queue,
		      .slot = slot + 1, .seq = 0);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_QUEUE_ASSOC, .enclave = 1, .queue = queue + 1,
		      .slot = slot, .seq = fake.task[slot].seq);
}

static void test_ctl_deliver_is_a_switch_for_each_kind(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	assert_int_equal(fake_es(1)->deliver, 0);
	for (__u32 flags = 0; flags <= GHOST_DELIVER_ALL; flags++) {
		assert_int_equal(agent(.op = GHOST_CTL_DELIVER, .enclave = 1, .flags = flags), 0);
		assert_int_equal(fake.enclave[1].deliver, flags);
		assert_int_equal(fake_es(1)->deliver, flags);
		assert_int_equal(fake.enclave[2].deliver, 0);
	}
	for (int bit = 3; bit < 32; bit++)
		agent_refuses(-E_INVAL, .op = GHOST_CTL_DELIVER, .enclave = 1,
			      .flags = 1u << bit | GHOST_DELIVER_TICKS);
	enclaves(GHOST_ENCLAVE_FREE);
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
		agent_refuses(-E_NOENT, .op = GHOST_CTL_DELIVER, .enclave = nobody[i]);
}

/* A new enclave starts with none of it, whatever its predecessor had. */
static void test_ctl_create_starts_with_nothing_delivered_and_no_default(void **state)
{
	with_queues();
	assert_int_equal(agent(.op = GHOST_CTL_DELIVER, .enclave = 1, .flags = GHOST_DELIVER_ALL),
			 0);
	assert_int_equal(agent(.op = GHOST_CTL_QUEUE_DEFAULT, .enclave = 1, .queue = 2), 0);
	assert_int_equal(destroy(1), 0);
	agents_go(1);
	assert_int_equal(release(1), 0);
	assert_int_equal(create(1, 0xc, 0), 0);
	assert_int_equal(fake.enclave[1].deliver, 0);
	assert_int_equal(fake_es(1)->deliver, 0);
	assert_int_equal(fake.enclave[1].default_queue, GHOST_QUEUE_NONE);
	assert_int_equal(fake_es(1)->default_queue, GHOST_QUEUE_NONE);
}

/* --- agents that spin --------------------------------------------------------------------------------- */

static void spinner_comes(__u32 id, __u32 cpu)
{
	fake.this_tid = agent_of(cpu);
	fake.this_cpu = cpu;
	fake.this_pinned = 1;
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_ATTACH, .enclave = id, .cpu = cpu,
			       .flags = GHOST_AGENT_SPINS),
			 0);
}

static void spinners_come(__u32 id)
{
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		if (fake.cpu[cpu].enclave == id)
			spinner_comes(id, cpu);
}

static void test_ctl_agent_that_spins_is_one_at_once(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	spinner_comes(1, 70);
	assert_int_equal(fake.joining_tid, 0); /* it will enter no class of ours */
	assert_int_equal(who_kind(fake.this_spinner), WHO_SPINNER);
	assert_int_equal(who_enclave(fake.this_spinner), 1);
	assert_int_equal(who_index(fake.this_spinner), 70);
	assert_int_equal(fake.cpu[70].agent_tid, agent_of(70));
	assert_int_equal(fake.cpu[70].spins, 1);
	assert_int_equal(fake.page[1][70].agent_tid, agent_of(70));
	assert_int_equal(fake.enclave[1].nr_agents, 1);
	agent_refuses(-E_BUSY, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 70,
		      .flags = GHOST_AGENT_SPINS);
	agent_refuses(-E_BUSY, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 70);
}

static void test_ctl_agent_that_spins_and_could_leave_its_cpu_is_refused(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	fake.this_cpu = 2;
	fake.this_pinned = 0;
	agent_refuses(-E_INVAL, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 2,
		      .flags = GHOST_AGENT_SPINS);
	fake.this_pinned = 1;
	agent_refuses(-E_INVAL, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 3,
		      .flags = GHOST_AGENT_SPINS); /* pinned, but elsewhere */
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 5,
		      .flags = GHOST_AGENT_SPINS);
	for (int bit = 1; bit < 32; bit++)
		agent_refuses(-E_INVAL, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 2,
			      .flags = 1u << bit);
}

static void test_ctl_agent_that_spins_is_nobody_else_besides(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	fake.this_tid = agent_of(2);
	fake.this_cpu = 2;
	fake.this_pinned = 1;
	fake.this_in_class = 1;
	agent_refuses(-E_INVAL, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 2,
		      .flags = GHOST_AGENT_SPINS);
	fake.this_in_class = 0;
	fake.spinner_err = -7;
	agent_refuses(-7, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 2,
		      .flags = GHOST_AGENT_SPINS);
	fake.spinner_err = 0;
	assert_true(fake.this_spinner == 0);
	assert_int_equal(fake.cpu[2].agent_tid, 0);
	spinner_comes(1, 2);
	/* As the same thread. */
	fake.this_cpu = 70;
	agent_refuses(-E_BUSY, .op = GHOST_CTL_AGENT_ATTACH, .enclave = 1, .cpu = 70,
		      .flags = GHOST_AGENT_SPINS);
	assert_int_equal(who_index(fake.this_spinner), 2);
	assert_int_equal(fake.cpu[70].agent_tid, 0);
}

static void test_ctl_enclave_whose_agents_spin_is_like_any_other(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	spinners_come(1);
	assert_int_equal(online(1), 0);
	enclave_agent_gone(1, 3); /* it died */
	assert_state(1, GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_AGENT_EXIT);
	assert_int_equal(fake_es(1)->lost_arg, agent_of(3));
	/* Once: its detach, told twice, is none. */
	before = fake;
	enclave_agent_gone(1, 3);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

static void test_ctl_detach_ends_an_agent_that_spins(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	spinners_come(1);
	fake.this_tid = agent_of(3);
	fake.this_cpu = 3;
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_DETACH, .enclave = 1, .cpu = 3), 0);
	assert_int_equal(fake.cpu[3].agent_tid, 0);
	assert_int_equal(fake.enclave[1].nr_agents, 2);
	assert_true(fake.this_spinner == 0);
	assert_state(1, GHOST_ENCLAVE_IDLE);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_DETACH, .enclave = 1, .cpu = 3);
	/* One that decides is lost by it: it had to say so before. */
	spinner_comes(1, 3);
	assert_int_equal(online(1), 0);
	assert_int_equal(agent(.op = GHOST_CTL_AGENT_DETACH, .enclave = 1, .cpu = 3), 0);
	assert_state(1, GHOST_ENCLAVE_LOST);
}

static void test_ctl_detach_is_of_oneself_and_of_those_who_spin(void **state)
{
	static const __u32 cpus[] = { 5, 0, FAKE_CPUS, GHOST_CPUS_MAX, GHOST_CPU_NONE };

	enclaves(GHOST_ENCLAVE_IDLE);
	spinner_comes(1, 2);
	agent_comes(1, 3);
	fake.this_tid = TID;
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_DETACH, .enclave = 1, .cpu = 2);
	fake.this_tid = agent_of(3); /* it is of our class: leaving that is its end */
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_DETACH, .enclave = 1, .cpu = 3);
	fake.this_tid = agent_of(2);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_DETACH, .enclave = 2, .cpu = 2);
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++)
		agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_DETACH, .enclave = 1, .cpu = cpus[i]);
	agent_refuses(-E_NOENT, .op = GHOST_CTL_AGENT_DETACH, .enclave = 0, .cpu = 0);
}

static void test_ctl_agents_that_spin_and_do_not_see_the_end_are_forgotten(void **state)
{
	__u64 who;

	enclaves(GHOST_ENCLAVE_IDLE);
	spinners_come(1);
	who = fake.this_spinner;
	assert_int_equal(destroy(1), 0);
	assert_int_equal(release(1), -E_BUSY);
	fake.now += ENCLAVE_FORGET_NS - 1;
	/* Asking again gives them no more time. */
	assert_int_equal(destroy(1), 0);
	assert_int_equal(release(1), -E_BUSY);
	fake.now++;
	assert_int_equal(release(1), 0);
	assert_state(1, GHOST_ENCLAVE_FREE);
	/* When they end at last there may be others. */
	assert_int_equal(create(1, 0xc, 1 << 6), 0);
	spinners_come(1);
	assert_int_equal(who_index(who), who_index(fake.this_spinner));
	before = fake;
	enclave_spinner_gone(who);
	assert_memory_equal(&fake, &before, sizeof(fake));
	enclave_spinner_gone(fake.this_spinner);
	assert_int_equal(fake.cpu[who_index(who)].agent_tid, 0);
}

static void test_ctl_agents_of_our_class_are_never_forgotten(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	spinner_comes(1, 2);
	agent_comes(1, 3);
	assert_int_equal(destroy(1), 0);
	fake.now += 100 * ENCLAVE_FORGET_NS;
	assert_int_equal(release(1), -E_BUSY);
	assert_int_equal(fake.cpu[3].agent_tid, agent_of(3));
	assert_int_equal(fake.enclave[1].nr_agents, 1);
	agent_goes(1, 3);
	assert_int_equal(release(1), 0);
}

/* They decide from wherever they are, and see in the CPU's state that it is gone. */
static void test_ctl_cpu_that_goes_offline_costs_no_agents_that_spin(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	spinners_come(1);
	assert_int_equal(online(1), 0);
	cpu_idle_set(fake_es(1), 70);
	enclave_cpu_offline(70);
	assert_state(1, GHOST_ENCLAVE_ONLINE);
	assert_int_equal(fake.page[1][70].state, GHOST_CPU_OFF);
	assert_false(fake_mask_has(fake_es(1)->idle, 70));
	enclave_cpu_online(70);
	assert_int_equal(fake.page[1][70].state, GHOST_CPU_AVAILABLE);
	/* Of a CPU of nobody, and of none, there is nothing to show. */
	enclave_cpu_offline(40);
	assert_int_equal(fake.cpu[40].off, 1);
	before = fake;
	enclave_cpu_offline(GHOST_CPUS_MAX);
	enclave_cpu_online(GHOST_CPUS_MAX);
	assert_memory_equal(&fake, &before, sizeof(fake));
}

/* Where a thread of our class took over from one that spun, the old rule holds. */
static void test_ctl_cpu_offline_costs_the_agents_of_those_who_follow_spinners(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	spinners_come(1);
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		if (fake.cpu[cpu].enclave == 1)
			enclave_agent_gone(1, cpu);
	agents_come(1);
	assert_int_equal(online(1), 0);
	enclave_cpu_offline(70);
	assert_state(1, GHOST_ENCLAVE_LOST);
	assert_int_equal(fake_es(1)->lost_reason, GHOST_LOST_CPU);
}

static void test_ctl_join_of_an_agent_that_spins_is_refused(void **state)
{
	enclaves(GHOST_ENCLAVE_IDLE);
	spinner_comes(1, 2);
	admin_refuses(-E_PERM, .op = GHOST_CTL_TASK_JOIN, .enclave = 1, .tid = agent_of(2));
	admin_refuses(-E_PERM, .op = GHOST_CTL_TASK_JOIN, .enclave = 2, .tid = agent_of(2));
}

/* --- kick ------------------------------------------------------------------------------------------------ */

static void test_ctl_kick_makes_idle_cpus_look_and_leaves_busy_ones(void **state)
{
	enclaves(GHOST_ENCLAVE_ONLINE);
	fake.this_cpu = 2;
	fake.this_tid = agent_of(2);
	cpu_idle_set(fake_es(1), 3);
	cpu_idle_set(fake_es(1), 70);
	cpu_idle_set(fake_es(2), 5);
	assert_int_equal(agent(.op = GHOST_CTL_KICK, .enclave = 1, .cpus = { 0x24, 1 << 6 }), 0);
	for (__u32 cpu = 0; cpu < FAKE_CPUS; cpu++)
		assert_int_equal(fake.kicks[cpu], cpu == 70);
	assert_true(fake_mask_has(fake_es(1)->idle, 3));
	assert_false(fake_mask_has(fake_es(1)->idle, 70));
	assert_true(fake_mask_has(fake_es(2)->idle, 5));
	assert_int_equal(fake.page[1][70].agent_seq, 0); /* no news: there is a pick */
	assert_int_equal(agent(.op = GHOST_CTL_KICK, .enclave = 1, .cpus = { ~0ull, ~0ull }), 0);
	assert_int_equal(fake.kicks[3], 1);
	assert_int_equal(fake.kicks[70], 1);
	assert_int_equal(fake.kicks[5], 0);
}

static void test_ctl_kick_is_for_agents_on_their_cpu(void **state)
{
	static const struct {
		__u32 cpu, tid, enclave;
	} wrong[] = {
		{ 2, TID, 1 },		 { 3, 900 + 2, 1 }, { 0, 900 + 2, 1 },
		{ 2, 900 + 2, 2 },	 { 2, 900 + 2, 0 }, { 2, 900 + 2, FAKE_ENCLAVES },
		{ FAKE_CPUS - 1, 0, 0 },
	};

	enclaves(GHOST_ENCLAVE_ONLINE);
	cpu_idle_set(fake_es(1), 3);
	cpu_idle_set(fake_es(2), 5);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		fake.this_cpu = wrong[i].cpu;
		fake.this_tid = wrong[i].tid;
		agent_refuses(-E_PERM, .op = GHOST_CTL_KICK, .enclave = wrong[i].enclave,
			      .cpus = { ~0ull });
	}
}

/* --- the word that travels with a thread ---------------------------------------------------------- */

static void test_ctl_word_of_a_thread_tells_apart_who_it_is(void **state)
{
	static const __u32 ids[] = { 1, 2, GHOST_ENCLAVES_MAX - 1 };
	static const __u32 indices[] = { 0, 1, GHOST_CPUS_MAX - 1, GHOST_SLOTS_MAX - 1 };

	for (__u32 kind = WHO_MEMBER; kind <= WHO_SPINNER; kind++)
		for (size_t i = 0; i < ARRAY_LEN(ids); i++)
			for (size_t k = 0; k < ARRAY_LEN(indices); k++) {
				__u64 who = WHO(kind, ids[i], indices[k]);

				assert_int_equal(who_kind(who), kind);
				assert_int_equal(who_enclave(who), ids[i]);
				assert_int_equal(who_index(who), indices[k]);
			}
	/* What a new thread has. */
	assert_int_equal(who_kind(0), WHO_STRANGER);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	static const struct CMUnitTest tests[] = {
		T(test_ctl_info_tells_version_and_capacity),
		T(test_ctl_init_works_once),
		T(test_ctl_unknown_requests_are_refused),
		T(test_ctl_each_program_answers_only_its_own_requests),
		T(test_ctl_requests_of_agents_need_the_token),
		T(test_ctl_agents_put_in_only_whom_they_may_change),
		T(test_ctl_create_takes_its_cpus_and_no_others),
		T(test_ctl_create_looks_only_as_far_as_its_last_word),
		T(test_ctl_create_forgets_who_had_the_cpu_before),
		T(test_ctl_create_ignores_cpus_that_do_not_exist),
		T(test_ctl_create_without_cpus_is_refused),
		T(test_ctl_create_with_an_impossible_id_is_refused),
		T(test_ctl_create_of_an_enclave_that_exists_is_refused),
		T(test_ctl_create_that_overlaps_leaves_both_enclaves_as_they_were),
		T(test_ctl_online_needs_an_agent_on_every_cpu),
		T(test_ctl_online_that_meets_the_death_of_an_agent_is_lost_again),
		T(test_ctl_cpu_that_goes_offline_costs_its_enclave_the_agents),
		T(test_ctl_threads_whose_enclave_has_no_cpu_that_is_online_go_anywhere),
		T(test_ctl_cpus_of_others_are_none_to_go_to),
		T(test_ctl_online_is_refused_where_there_is_no_enclave),
		T(test_ctl_online_is_refused_while_online_or_dying),
		T(test_ctl_new_agents_may_take_a_lost_enclave_over),
		T(test_ctl_online_puts_those_who_wait_for_the_fallback_into_custody),
		T(test_ctl_offline_is_no_loss),
		T(test_ctl_offline_is_refused_unless_online),
		T(test_ctl_enclave_that_loses_an_agent_is_lost),
		T(test_ctl_enclave_without_deciding_agents_cannot_lose_them),
		T(test_ctl_those_in_custody_meet_the_fallback_however_agents_end),
		T(test_ctl_wait_without_agents_counts_from_their_end),
		T(test_ctl_wait_without_agents_ends_with_new_ones),
		T(test_ctl_wait_of_a_thread_outside_is_not_for_agents),
		T(test_ctl_destroy_takes_an_enclave_in_any_state),
		T(test_ctl_destroy_is_refused_where_there_is_no_enclave),
		T(test_ctl_free_gives_its_cpus_back_and_no_others),
		T(test_ctl_free_is_refused_before_destroy),
		T(test_ctl_free_waits_until_the_last_member_and_agent_are_gone),
		T(test_ctl_join_is_announced_with_the_enclave),
		T(test_ctl_join_is_refused_where_nobody_can_be_a_member),
		T(test_ctl_join_of_an_agent_is_refused),
		T(test_ctl_join_that_cannot_be_announced_says_why),
		T(test_ctl_unjoin_takes_a_join_back_once),
		T(test_ctl_member_that_comes_gets_a_slot),
		T(test_ctl_nobody_becomes_member_of_an_enclave_that_goes_away),
		T(test_ctl_nobody_becomes_member_when_the_table_is_full),
		T(test_ctl_attach_announces_the_caller_as_the_agent_of_that_cpu),
		T(test_ctl_attach_to_a_cpu_that_is_not_the_enclaves_is_refused),
		T(test_ctl_attach_to_an_enclave_that_goes_away_is_refused),
		T(test_ctl_attach_to_a_cpu_that_has_an_agent_is_refused),
		T(test_ctl_ping_is_news_and_wakes_an_idle_cpu),
		T(test_ctl_ping_of_a_cpu_that_is_not_the_enclaves_is_refused),
		T(test_ctl_enclave_without_agents_may_have_other_cpus),
		T(test_ctl_cpus_of_an_enclave_with_agents_stay),
		T(test_ctl_cpus_that_cannot_be_had_leave_all_as_it_was),
		T(test_ctl_cpu_does_not_leave_beneath_an_agent_that_comes),
		T(test_ctl_enclave_whose_cpus_change_does_nothing_else),
		T(test_ctl_threads_find_out_which_cpus_are_left_for_them),
		T(test_ctl_messages_of_a_cpu_that_left_go_to_one_that_is_there),
		T(test_ctl_create_gives_each_cpu_a_queue_in_the_ring),
		T(test_ctl_create_with_a_ring_larger_than_its_memory_is_refused),
		T(test_ctl_create_knows_which_cpus_are_offline),
		T(test_ctl_threads_get_no_queue_of_a_cpu_that_does_not_exist),
		T(test_ctl_queue_requests_do_what_they_say),
		T(test_ctl_queue_requests_say_why_they_are_refused),
		T(test_ctl_deliver_is_a_switch_for_each_kind),
		T(test_ctl_create_starts_with_nothing_delivered_and_no_default),
		T(test_ctl_agent_that_spins_is_one_at_once),
		T(test_ctl_agent_that_spins_and_could_leave_its_cpu_is_refused),
		T(test_ctl_agent_that_spins_is_nobody_else_besides),
		T(test_ctl_enclave_whose_agents_spin_is_like_any_other),
		T(test_ctl_detach_ends_an_agent_that_spins),
		T(test_ctl_detach_is_of_oneself_and_of_those_who_spin),
		T(test_ctl_agents_that_spin_and_do_not_see_the_end_are_forgotten),
		T(test_ctl_agents_of_our_class_are_never_forgotten),
		T(test_ctl_cpu_that_goes_offline_costs_no_agents_that_spin),
		T(test_ctl_cpu_offline_costs_the_agents_of_those_who_follow_spinners),
		T(test_ctl_join_of_an_agent_that_spins_is_refused),
		T(test_ctl_kick_makes_idle_cpus_look_and_leaves_busy_ones),
		T(test_ctl_kick_is_for_agents_on_their_cpu),
		T(test_ctl_word_of_a_thread_tells_apart_who_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
