// SPDX-License-Identifier: GPL-2.0-only
/*
 * An agent that writes whatever it likes: each of its transactions ends in the
 * state that the contract says, nobody loses a thread, and the enclave beside
 * it notices nothing.
 * In: root, sched_ext. Out: TAP. GHOST_SEED=N repeats the values.
 */
/* cpus: 4 */
/* limit: 400 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libghost/agent.h"
#include "libghost/barrier.h"
#include "libghost/kernel.h"
#include "policies/policies.h"
#include "tests/check.h"

/*
 * CPU 0 is for us, 1 and 2 are the hostile agent's, who sits on the first, 3 is
 * the other enclave's.
 */
enum {
	CPU_US,
	CPU_AGENT,
	CPU_TARGET,
	CPU_OTHER,
	NR_CPUS,
};

#define NR_COMMITS 12000
#define NR_WAITING 3
#define NR_ASLEEP 2
#define NR_OTHERS 2

static struct ghost_backend *backend;
static struct ghost_enclave *ours, *other;
static const struct ghost_memory *mem;
static struct ghost_agents *agents;
static unsigned int seed;

/* --- threads ------------------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	bool started;
	_Atomic pid_t tid;
	_Atomic uint32_t go; /* 0: sleeps on it */
	_Atomic uint64_t rounds;
	uint32_t slot;
};

static struct worker waiting[NR_WAITING], asleep[NR_ASLEEP], others[NR_OTHERS];
static atomic_bool over;

static void sleep_us(long us)
{
	nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000L }, NULL);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	cpu_set_t all;

	CPU_ZERO(&all);
	for (int cpu = 0; cpu < NR_CPUS; cpu++)
		CPU_SET(cpu, &all);
	sched_setaffinity(0, sizeof(all), &all);
	atomic_store(&w->tid, gettid());
	while (!atomic_load(&over)) {
		while (!atomic_load(&w->go))
			syscall(SYS_futex, &w->go, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		for (int i = 0; i < 200; i++)
			ghost_relax();
		atomic_fetch_add(&w->rounds, 1);
	}
	return NULL;
}

static void let_go(struct worker *w)
{
	atomic_store(&w->go, 1);
	syscall(SYS_futex, &w->go, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static uint32_t slot_of(struct ghost_enclave *e, pid_t tid)
{
	const struct ghost_memory *m = ghost_enclave_memory(e);

	for (uint32_t slot = 1; slot < ghost_enclave_status(e)->nr_slots; slot++)
		if (m->status[slot].tid == (uint32_t)tid &&
		    ghost_status_flags(m->status[slot].word) & GHOST_STATUS_INUSE)
			return slot;
	return 0;
}

static int start(struct worker *w, struct ghost_enclave *e)
{
	if (pthread_create(&w->thread, NULL, work, w))
		return -1;
	w->started = true;
	while (!atomic_load(&w->tid))
		sleep_us(1000);
	if (ghost_enclave_join(e, atomic_load(&w->tid)))
		return -1;
	w->slot = slot_of(e, atomic_load(&w->tid));
	return w->slot ? 0 : -1;
}

static uint64_t word_of(uint32_t slot)
{
	return ghost_load_acquire(&mem->status[slot].word);
}

static bool has(const struct worker *w, uint32_t flag)
{
	return ghost_status_flags(word_of(w->slot)) & flag;
}

/* Within 10 s. */
static bool comes_to(const struct worker *w, uint32_t flag)
{
	for (int i = 0; i < 20000 && !has(w, flag); i++)
		sleep_us(500);
	return has(w, flag);
}

/* --- the agent ----------------------------------------------------------------------- */

/* What it is to ask for next; one request at a time. */
static struct ghost_ctl request;
static _Atomic uint32_t nr_asked, nr_answered;

static int pin(uint32_t cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one);
}

static int attach(uint32_t cpu)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_AGENT_ATTACH,
				 .enclave = ghost_enclave_id(ours),
				 .cpu = cpu,
				 .flags = GHOST_AGENT_SPINS };

	if (pin(cpu) || backend->agent(backend, &ctl))
		return -1;
	return ctl.ret;
}

/* The agent of the other CPU is there, and that is all. */
static void *second_agent(void *arg)
{
	if (attach(CPU_TARGET))
		return NULL;
	atomic_store((atomic_bool *)arg, true);
	while (!atomic_load(&over))
		sleep_us(100000);
	return NULL;
}

static void *agent(void *arg)
{
	uint32_t seen = 0;

	if (attach(CPU_AGENT))
		return NULL;
	atomic_store((atomic_bool *)arg, true);
	while (!atomic_load(&over)) {
		while (atomic_load(&nr_asked) == seen && !atomic_load(&over))
			sched_yield();
		seen = atomic_load(&nr_asked);
		if (backend->agent(backend, &request))
			request.ret = -EIO;
		atomic_store(&nr_answered, seen);
	}
	return NULL;
}

static int ask(const struct ghost_ctl *ctl)
{
	uint32_t nr = atomic_load(&nr_asked) + 1;

	request = *ctl;
	atomic_store(&nr_asked, nr);
	while (atomic_load(&nr_answered) != nr)
		sleep_us(20);
	return request.ret;
}

/* Commit what stands for @cpu. */
static int commit(uint32_t cpu)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT, .enclave = ghost_enclave_id(ours) };

	ctl.cpus[cpu / 64] = 1ull << (cpu % 64);
	return ask(&ctl);
}

/* --- what the contract says --------------------------------------------------------------- */

static bool knows(const struct worker *w, uint32_t nr, uint32_t slot, const struct worker **ret)
{
	for (uint32_t i = 0; i < nr; i++)
		if (w[i].slot == slot) {
			*ret = &w[i];
			return true;
		}
	return false;
}

static uint32_t flags_should_be(const struct ghost_txn *t)
{
	bool nobody = t->slot == GHOST_SLOT_NONE || t->slot == GHOST_SLOT_IDLE;

	if ((t->flags & ~GHOST_TXN_FLAGS) || !t->slice_ns)
		return GHOST_TXN_INVALID;
	if ((t->flags & GHOST_RUN_NEED_CPU_NOT_IDLE) && t->slot != GHOST_SLOT_IDLE)
		return GHOST_TXN_INVALID;
	if ((t->flags & GHOST_RUN_RTLA_ON_IDLE) &&
	    (t->slot == GHOST_SLOT_IDLE || t->slot == GHOST_SLOT_AGENT))
		return GHOST_TXN_INVALID;
	if (t->slot == GHOST_SLOT_AGENT && t->flags & 0xffff)
		return GHOST_TXN_INVALID;
	if ((t->flags & GHOST_RUN_SLICE_TIMER) &&
	    (nobody || t->slice_ns < GHOST_TIMER_MIN_NS || t->slice_ns > GHOST_TIMER_MAX_NS))
		return GHOST_TXN_INVALID;
	if (t->flags & GHOST_COMMIT_ELIDE_AGENT_SEQ && t->flags & GHOST_COMMIT_AGENT_SEQ_ON_FAILURE)
		return GHOST_TXN_INVALID;
	if (t->slot == GHOST_SLOT_AGENT)
		return GHOST_TXN_COMMITTED;
	return nobody ? GHOST_TXN_YIELDED : GHOST_TXN_READY;
}

/* In the order of docs/txn.md; nobody runs on the target when it is committed. */
static uint32_t should_be(const struct ghost_txn *t, uint32_t cpu)
{
	const struct worker *w;
	uint32_t state;

	if (cpu != CPU_AGENT && cpu != CPU_TARGET)
		return GHOST_TXN_INVALID_CPU;
	if (cpu == CPU_AGENT)
		return GHOST_TXN_READY; /* its own: left alone */
	state = flags_should_be(t);
	if (state != GHOST_TXN_READY)
		return state;
	if (t->slot >= mem->capacity)
		return GHOST_TXN_INVALID;
	if (knows(waiting, NR_WAITING, t->slot, &w) || knows(asleep, NR_ASLEEP, t->slot, &w)) {
		if (t->task_seq != ghost_status_seq(word_of(t->slot)))
			return GHOST_TXN_TASK_STALE;
		return has(w, GHOST_STATUS_RUNNABLE) ? GHOST_TXN_COMMITTED : GHOST_TXN_NOT_RUNNABLE;
	}
	/* Of the other enclave, or of nobody. */
	return GHOST_TXN_NOT_FOUND;
}

/* --- hostile values ----------------------------------------------------------------------- */

static uint32_t rnd(uint32_t n)
{
	return random() % n;
}

static uint32_t any_u32(void)
{
	static const uint32_t edges[] = { 0, 1, 2, 0x7fffffff, 0x80000000, ~0u - 2, ~0u - 1, ~0u };

	return rnd(2) ? edges[rnd(8)] : (uint32_t)random() << 1 ^ (uint32_t)random();
}

static uint32_t any_slot(void)
{
	switch (rnd(8)) {
	case 0:
		return any_u32();
	case 1:
		return others[rnd(NR_OTHERS)].slot;
	case 2:
		return asleep[rnd(NR_ASLEEP)].slot;
	case 3:
		return rnd(mem->capacity + 2);
	case 4:
		return rnd(3) ? GHOST_SLOT_NONE : GHOST_SLOT_IDLE;
	default:
		return waiting[rnd(NR_WAITING)].slot;
	}
}

static struct ghost_txn any_txn(void)
{
	static const uint32_t flags[] = {
		0,
		GHOST_RUN_ELIDE_PREEMPT,
		GHOST_RUN_DO_NOT_PREEMPT,
		GHOST_RUN_SEND_TASK_ON_CPU,
		GHOST_COMMIT_ELIDE_AGENT_SEQ,
		GHOST_RUN_RTLA_ON_BLOCKED | GHOST_RUN_RTLA_ON_IDLE,
		GHOST_RUN_SLICE_TIMER,
	};
	struct ghost_txn t = {
		.slot = any_slot(),
		.agent_seq = any_u32(),
		.ping_cpu = any_u32(),
		.slice_ns = rnd(8) ? GHOST_SLICE_INF : any_u32(),
		.flags = rnd(4) ? flags[rnd(ARRAY_LEN(flags))] :
				  any_u32() & (rnd(2) ? ~0u : GHOST_TXN_FLAGS),
		.commit_ns = any_u32(),
		.cpu_seq = any_u32(),
		.owner = any_u32(),
	};

	if ((t.flags & GHOST_RUN_SLICE_TIMER) && rnd(4))
		t.slice_ns = GHOST_TIMER_MIN_NS + any_u32();
	t.task_seq = any_u32();
	if (t.slot && t.slot < mem->capacity && rnd(4))
		t.task_seq = ghost_status_seq(word_of(t.slot)) + (rnd(4) ? 0 : 1 - 2 * rnd(2));
	return t;
}

static void write_txn(uint32_t cpu, const struct ghost_txn *t)
{
	struct ghost_txn *to = &mem->cpu_rw[cpu].txn;
	struct ghost_txn copy = *t;

	copy.state = GHOST_TXN_FREE;
	*to = copy;
	ghost_store_release(&to->state, GHOST_TXN_READY);
}

/* All else that it may write: queue tails, picks, words for the kernel side. */
static void scribble(void)
{
	struct ghost_cpu_rw *rw = &mem->cpu_rw[rnd(mem->nr_queues)];
	uint8_t *p = (uint8_t *)rw;

	switch (rnd(3)) {
	case 0:
		rw->queue_tail = any_u32();
		break;
	case 1:
		rw->spins = any_u32();
		break;
	default:
		/* But for the transaction itself, whose end we want to see. */
		for (size_t i = sizeof(rw->txn); i < sizeof(*rw); i++)
			p[i] = random();
		/* A pick of a thread that waits could be right: it must not be. */
		rw->pick.task_seq = 0x55555555;
	}
}

/* Take off whoever runs there, and wait for it. */
static void clear_target(void)
{
	struct ghost_txn none = { .slice_ns = 1, .ping_cpu = GHOST_CPU_NONE };

	for (int tries = 0; tries < 1000; tries++) {
		bool runs = false;

		for (int i = 0; i < NR_WAITING; i++)
			runs |= !has(&waiting[i], GHOST_STATUS_RUNNABLE);
		if (!runs)
			return;
		write_txn(CPU_TARGET, &none);
		assert_int_equal(commit(CPU_TARGET), 0);
		sleep_us(200);
	}
	fail_msg("a thread does not come back");
}

static void test_each_hostile_transaction_ends_as_the_contract_says(void **state)
{
	uint32_t seen[GHOST_TXN_NR_STATES] = { 0 };

	for (int i = 0; i < NR_COMMITS; i++) {
		struct ghost_txn t = any_txn();
		uint32_t cpu = rnd(8) ? CPU_TARGET : rnd(2) ? rnd(NR_CPUS) : rnd(mem->nr_cpus);
		uint32_t want, is;

		if (rnd(4) == 0)
			scribble();
		want = should_be(&t, cpu);
		write_txn(cpu, &t);
		assert_int_equal(commit(cpu), 0);
		is = ghost_load_acquire(&mem->cpu_rw[cpu].txn.state);
		mem->cpu_rw[cpu].txn.state = GHOST_TXN_FREE;
		assert_true(is < GHOST_TXN_NR_STATES);
		seen[is]++;
		/* The machine's own threads may have the CPU; a thread may be on its way. */
		if (is == GHOST_TXN_CPU_UNAVAIL || is == GHOST_TXN_AGAIN) {
			clear_target();
			continue;
		}
		/* An odd slice may end before we look again: then its number is another one. */
		if (is != want)
			fail_msg(
				"commit %d (seed %u): slot %u, number %u, flags %#x, slice %llu on "
				"CPU %u ended in state %u, should be %u",
				i, seed, t.slot, t.task_seq, t.flags,
				(unsigned long long)t.slice_ns, cpu, is, want);
		if (is == GHOST_TXN_COMMITTED && t.slot != GHOST_SLOT_AGENT)
			clear_target();
	}
	printf("# seed %u: ", seed);
	for (uint32_t i = 0; i < GHOST_TXN_NR_STATES; i++)
		if (seen[i])
			printf("%s %u, ", ghost_txn_state_name(i), seen[i]);
	printf("\n");
	/* All of them, or the values were not hostile enough. */
	assert_true(seen[GHOST_TXN_COMMITTED] && seen[GHOST_TXN_YIELDED] &&
		    seen[GHOST_TXN_TASK_STALE] && seen[GHOST_TXN_NOT_FOUND] &&
		    seen[GHOST_TXN_NOT_RUNNABLE] && seen[GHOST_TXN_INVALID] &&
		    seen[GHOST_TXN_INVALID_CPU]);
}

static void test_hostile_requests_are_refused(void **state)
{
	for (int i = 0; i < 3000; i++) {
		struct ghost_ctl ctl = {
			.op = 16 + rnd(16),
			.enclave = rnd(4) ? ghost_enclave_id(rnd(4) ? ours : other) : any_u32(),
			.cpu = rnd(2) ? rnd(NR_CPUS) : any_u32(),
			.queue = rnd(2) ? rnd(mem->nr_queues) : any_u32(),
			.slot = any_slot(),
			.seq = any_u32(),
			.len = any_u32(),
			.flags = any_u32(),
		};

		/* What it may do to its own enclave, and to the other's as root, is another matter. */
		if (ctl.op == GHOST_CTL_AGENT_OFFLINE || ctl.op == GHOST_CTL_AGENT_DETACH ||
		    ctl.op == GHOST_CTL_AGENT_ATTACH || ctl.op == GHOST_CTL_AGENT_ONLINE ||
		    (ctl.enclave != ghost_enclave_id(ours) && ctl.op != GHOST_CTL_COMMIT &&
		     ctl.op != GHOST_CTL_KICK && ctl.op != GHOST_CTL_TIMER))
			continue;
		/* Timers that expire often are no attack, but a load. */
		for (int k = 0; k < GHOST_CPU_WORDS; k++)
			ctl.cpus[k] = ctl.op == GHOST_CTL_TIMER ? any_u32() * 1000ull : any_u32();
		ask(&ctl);
		if (ctl.enclave != ghost_enclave_id(ours))
			assert_true(request.ret == -EPERM || request.ret == -EINVAL ||
				    request.ret == -ENOENT);
	}
}

static void test_no_thread_was_lost(void **state)
{
	struct ghost_txn t;

	clear_target();
	for (int i = 0; i < NR_ASLEEP; i++)
		let_go(&asleep[i]);
	for (int i = 0; i < NR_WAITING + NR_ASLEEP; i++) {
		struct worker *w = i < NR_WAITING ? &waiting[i] : &asleep[i - NR_WAITING];
		uint64_t before = atomic_load(&w->rounds);

		assert_true(comes_to(w, GHOST_STATUS_RUNNABLE));
		for (int tries = 0; tries < 2000 && atomic_load(&w->rounds) == before; tries++) {
			t = (struct ghost_txn){ .slot = w->slot,
						.task_seq = ghost_status_seq(word_of(w->slot)),
						.slice_ns = GHOST_SLICE_INF };
			write_txn(CPU_TARGET, &t);
			assert_int_equal(commit(CPU_TARGET), 0);
			sleep_us(1000);
		}
		assert_true(atomic_load(&w->rounds) > before);
	}
	assert_int_equal(ghost_enclave_status(ours)->state, GHOST_ENCLAVE_ONLINE);
}

static void test_the_other_enclave_noticed_nothing(void **state)
{
	struct ghost_enclave_counts counts;
	uint64_t before;

	assert_int_equal(ghost_enclave_status(other)->state, GHOST_ENCLAVE_ONLINE);
	assert_int_equal(ghost_enclave_count(other, &counts), 0);
	assert_int_equal(counts.nr_overflows, 0);
	assert_int_equal(counts.nr_txn[GHOST_TXN_INVALID], 0);
	for (int i = 0; i < NR_OTHERS; i++) {
		before = atomic_load(&others[i].rounds);
		for (int ms = 0; ms < 10000 && atomic_load(&others[i].rounds) == before; ms++)
			sleep_us(1000);
		assert_true(atomic_load(&others[i].rounds) > before);
	}
}

/* --- life ------------------------------------------------------------------------------------ */

static int enclave_on(struct ghost_enclave **ret, uint32_t a, uint32_t b)
{
	struct ghost_cpuset cpus = { 0 };
	struct ghost_enclave_opts opts = { .size = sizeof(opts),
					   .cpus = &cpus,
					   .stall_ns = GHOST_STALL_NS_MAX };

	ghost_cpuset_add(&cpus, a);
	ghost_cpuset_add(&cpus, b);
	return ghost_enclave_create(ret, backend, &opts);
}

static pthread_t agent_thread[2];

static int agents_up(void)
{
	struct ghost_ctl online = { .op = GHOST_CTL_AGENT_ONLINE };
	static atomic_bool there[2];

	if (pthread_create(&agent_thread[0], NULL, agent, &there[0]) ||
	    pthread_create(&agent_thread[1], NULL, second_agent, &there[1]))
		return -1;
	for (int i = 0; i < 5000 && !(atomic_load(&there[0]) && atomic_load(&there[1])); i++)
		sleep_us(1000);
	online.enclave = ghost_enclave_id(ours);
	return backend->agent(backend, &online) ?: online.ret;
}

static int set_up(void **state)
{
	const char *given = getenv("GHOST_SEED");
	char why[512];

	seed = given ? strtoul(given, NULL, 0) : (unsigned int)time(NULL);
	srandom(seed);
	if (sysconf(_SC_NPROCESSORS_ONLN) < NR_CPUS || pin(CPU_US)) {
		printf("# this needs %d CPUs\n", NR_CPUS);
		return -1;
	}
	if (ghost_kernel_load(0, why, sizeof(why)) ||
	    ghost_kernel_open(&backend, why, sizeof(why))) {
		printf("# %s\n", why);
		return -1;
	}
	if (enclave_on(&ours, CPU_AGENT, CPU_TARGET) || enclave_on(&other, CPU_OTHER, CPU_OTHER))
		return -1;
	mem = ghost_enclave_memory(ours);
	if (ghost_agents_start(&agents, other, policies_find("fifo_percpu"), NULL) || agents_up())
		return -1;
	for (int i = 0; i < NR_OTHERS; i++) {
		atomic_store(&others[i].go, 1);
		if (start(&others[i], other))
			return -1;
	}
	for (int i = 0; i < NR_ASLEEP; i++)
		if (start(&asleep[i], ours))
			return -1;
	for (int i = 0; i < NR_WAITING; i++) {
		if (start(&waiting[i], ours))
			return -1;
		let_go(&waiting[i]);
		if (!comes_to(&waiting[i], GHOST_STATUS_RUNNABLE))
			return -1;
	}
	return 0;
}

static void end(struct worker *w)
{
	if (!w->started)
		return;
	let_go(w);
	pthread_join(w->thread, NULL);
}

static int tear_down(void **state)
{
	struct ghost_ctl offline = { .op = GHOST_CTL_AGENT_OFFLINE };
	char why[512];
	int err;

	atomic_store(&over, true);
	if (ours) {
		offline.enclave = ghost_enclave_id(ours);
		backend->agent(backend, &offline);
	}
	for (int i = 0; i < 2; i++)
		if (agent_thread[i])
			pthread_join(agent_thread[i], NULL);
	for (int i = 0; i < NR_WAITING; i++)
		end(&waiting[i]);
	for (int i = 0; i < NR_ASLEEP; i++)
		end(&asleep[i]);
	for (int i = 0; i < NR_OTHERS; i++)
		end(&others[i]);
	ghost_agents_stop(agents);
	if (!ours || !other)
		return -1;
	err = ghost_enclave_destroy(ours);
	err = err ?: ghost_enclave_destroy(other);
	ghost_enclave_close(ours);
	ghost_enclave_close(other);
	backend->close(backend);
	return err ?: ghost_kernel_unload(why, sizeof(why));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_hostile_transaction_ends_as_the_contract_says),
		cmocka_unit_test(test_hostile_requests_are_refused),
		cmocka_unit_test(test_no_thread_was_lost),
		cmocka_unit_test(test_the_other_enclave_noticed_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hostile", tests, set_up, tear_down);
}
