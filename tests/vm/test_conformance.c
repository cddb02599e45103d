// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the original's tests assert, of a real kernel: the cases that the
 * simulator runs too, and here those that need rights, processes and many
 * threads. docs/conformance.md lists them.
 * In: tests/contract/, the world in world.c; root, sched_ext. Out: TAP.
 */
/* cpus: 4 */
/* limit: 580 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libghost/barrier.h"
#include "libghost/kernel.h"
#include "policies/policies.h"
#include "tests/contract/contract.h"

#ifndef SCHED_EXT
#define SCHED_EXT 7
#endif

#define LONG_PATIENCE 30000

static uint32_t id_of(struct world *w)
{
	return ghost_enclave_id(w->e);
}

/* A process of the case's: who takes it down ends it with the puppets. */
static pid_t child(struct world *w)
{
	pid_t pid;

	check(w, w->nr_puppets < PUPPETS_MAX);
	pid = fork();
	check(w, pid >= 0);
	if (pid)
		w->puppets[w->nr_puppets++].tid = pid;
	else
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static bool ended(pid_t pid, int *ret_status)
{
	return waitpid(pid, ret_status, WNOHANG) == pid;
}

/* It ends by itself, and well. */
static void see_exit(struct world *w, pid_t pid)
{
	int status = 0;

	within(w, LONG_PATIENCE, ended(pid, &status));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_case(w, "a process ended with %#x, of its own making", status);
}

/* --- agents in a process of their own ---------------------------------------------- */

__attribute__((noreturn)) static void agents_main(uint32_t id, const struct ghost_policy *policy)
{
	struct ghost_agents *agents;
	struct ghost_backend *b;
	struct ghost_enclave *e;

	mlockall(MCL_CURRENT | MCL_FUTURE);
	if (ghost_kernel_open(&b, NULL, 0) || ghost_enclave_open(&e, b, id) ||
	    ghost_agents_start(&agents, e, policy, NULL))
		_exit(1);
	ghost_agents_wait(agents, -1);
	ghost_agents_stop(agents);
	_exit(0);
}

static pid_t agents_process(struct world *w, const struct ghost_policy *policy)
{
	pid_t pid = child(w);

	if (!pid)
		agents_main(id_of(w), policy);
	until(w, enclave_state(w) == GHOST_ENCLAVE_ONLINE);
	return pid;
}

static void case_a_killed_agent_process_costs_nobody_else_anything(struct world *w)
{
	struct puppet *p = puppet_new(w);
	int status = 0;
	pid_t pid;

	join(w, w->e, p);
	order(w, p, PUPPET_SPIN);
	for (int i = 0; i < 5; i++) {
		pid = agents_process(w, policies_find("fifo_percpu"));
		until(w, flags_of(w, p) & GHOST_STATUS_ONCPU);
		kill(pid, SIGKILL);
		until(w, ended(pid, &status));
		check(w, WIFSIGNALED(status));
		until(w, enclave_state(w) == GHOST_ENCLAVE_LOST);
		check_is(w, ghost_enclave_status(w->e)->lost_reason, GHOST_LOST_AGENT_EXIT);
		until(w, runs(w, p));
	}
	check_is(w, ghost_enclave_destroy(w->e), 0);
	ghost_enclave_close(w->e);
	w->e = NULL;
	check_is(w, w->ops->class_of(w, p), CLASS_OF_FAIR);
	until(w, runs(w, p));
}

static void case_destroying_an_enclave_ends_its_agent_process(struct world *w)
{
	for (const struct ghost_policy *const *policy = policies; *policy; policy++) {
		struct puppet *p = puppet_new(w);
		pid_t pid;
		int err = -EBUSY;

		wide_enclave(w);
		w->policy = (*policy)->name;
		join(w, w->e, p);
		order(w, p, PUPPET_SPIN);
		pid = agents_process(w, *policy);
		until(w, runs(w, p));
		/* They have a second each time. */
		for (int i = 0; i < 5 && err == -EBUSY; i++)
			err = ghost_enclave_destroy(w->e);
		check_is(w, err, 0);
		see_exit(w, pid);
		check_is(w, w->ops->class_of(w, p), CLASS_OF_FAIR);
		until(w, runs(w, p));
		order(w, p, PUPPET_BLOCK);
		ghost_enclave_close(w->e);
		w->e = NULL;
		/* For the next one, which makes it anew. */
		struct ghost_cpuset cpus = cpus_of(CPU_A, CPU_B);
		struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };

		check_is(w, ghost_enclave_create(&w->e, w->backend, &opts), 0);
	}
	w->mem = ghost_enclave_memory(w->e);
	w->policy = NULL;
}

static void case_a_thread_that_cannot_become_an_agent_stays_what_it_was(struct world *w)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_AGENT_ATTACH, .enclave = id_of(w) };
	static const uint32_t cpus[] = { CPU_OTHER, CPU_A, CPU_A };
	static const uint32_t flags[] = { 0, 0, GHOST_AGENT_SPINS };
	static const int errs[] = { -ENOENT, -EBUSY, -EINVAL };
	cpu_set_t before, after;

	sched_getaffinity(0, sizeof(before), &before);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			agents_up(w);
		if (i == 2) {
			ctl_agent(w, GHOST_CTL_AGENT_OFFLINE, id_of(w), 0);
			agent_leave(w, w->agent_on[CPU_A]);
			/* A thread can be joined before its end has reached the scheduler. */
			until(w, page(w, CPU_A)->agent_tid == 0);
		}
		ctl.cpu = cpus[i];
		ctl.flags = flags[i];
		check_is(w, w->backend->agent(w->backend, &ctl), 0);
		check_is(w, ctl.ret, errs[i]);
		sched_getaffinity(0, sizeof(after), &after);
		check(w, CPU_EQUAL(&before, &after));
		check_is(w, sched_getscheduler(0), SCHED_OTHER);
	}
}

/* --- rights -------------------------------------------------------------------------- */

static void drop(uint32_t cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		_exit(101);
	data[cap / 32].effective &= ~(1u << cap % 32);
	data[cap / 32].permitted &= ~(1u << cap % 32);
	data[cap / 32].inheritable &= ~(1u << cap % 32);
	if (syscall(SYS_capset, &head, data))
		_exit(102);
}

static void case_who_has_the_rights_is_told_that_nonsense_is_nonsense(struct world *w)
{
	pid_t pid = child(w);
	struct ghost_ctl ctl = { .op = ~0u };
	struct ghost_backend *b;

	if (!pid) {
		if (ghost_kernel_open(&b, NULL, 0))
			_exit(1);
		_exit(b->agent(b, &ctl) || ctl.ret != -EINVAL);
	}
	see_exit(w, pid);
}

static void case_who_has_no_rights_can_ask_for_nothing(struct world *w)
{
	pid_t pid = child(w);
	struct ghost_backend *b;

	if (!pid) {
		/* Away from root, the pins cannot be opened. */
		if (syscall(SYS_setresuid, 65534, 65534, 65534))
			_exit(100);
		_exit(ghost_kernel_open(&b, NULL, 0) != -EPERM);
	}
	see_exit(w, pid);
}

static void case_an_agent_is_a_thread_of_our_class_pinned_to_its_cpu(struct world *w)
{
	cpu_set_t cpus;

	agents_up(w);
	for (uint32_t cpu = CPU_A; cpu <= CPU_B; cpu++) {
		pid_t tid = page(w, cpu)->agent_tid;

		check_is(w, sched_getscheduler(tid), SCHED_EXT);
		check_is(w, sched_getaffinity(tid, sizeof(cpus), &cpus), 0);
		check_is(w, CPU_COUNT(&cpus), 1);
		check(w, CPU_ISSET(cpu, &cpus));
	}
}

static void case_without_the_right_to_priorities_no_agent_spins(struct world *w)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_AGENT_ATTACH,
		.enclave = id_of(w),
		.cpu = CPU_A,
		.token = ghost_enclave_status(w->e)->token,
	};
	struct ghost_backend *b;
	pid_t pid = child(w);

	if (!pid) {
		drop(CAP_SYS_NICE);
		if (ghost_kernel_open(&b, NULL, 0) || b->agent_pin(b, CPU_A))
			_exit(1);
		if (b->agent_spin(b) != -EPERM || sched_getscheduler(0) != SCHED_OTHER)
			_exit(2);
		/* One that waits for its turn needs no more than the pins. */
		if (b->agent(b, &ctl) || ctl.ret || b->agent_enter(b))
			_exit(3);
		_exit(sched_getscheduler(0) != SCHED_EXT);
	}
	see_exit(w, pid);
	until(w, page(w, CPU_A)->agent_tid == 0);
}

static void case_the_kernel_side_can_be_loaded_again_when_it_is_gone(struct world *w)
{
	struct ghost_kernel_info info;

	check_is(w, ghost_enclave_destroy(w->e), 0);
	ghost_enclave_close(w->e);
	w->e = NULL;
	check_is(w, ghost_kernel_info(&info), 0);
	check(w, info.loaded && !info.ejected);
	check_is(w, info.abi, GHOST_ABI_VERSION);
	check_is(w, ghost_kernel_load(0, NULL, 0), -EEXIST);
	check_is(w, ghost_kernel_unload(NULL, 0), 0);
	check_is(w, ghost_kernel_info(&info), 0);
	check(w, !info.loaded);
	check_is(w, ghost_kernel_load(0, NULL, 0), 0);
	w->backend->close(w->backend);
	check_is(w, ghost_kernel_open(&w->backend, NULL, 0), 0);
}

/* Of the calling process; 0: as it should be. */
static int cannot_load(void)
{
	return ghost_kernel_load(0, NULL, 0) == -EPERM ? 0 : 1;
}

static void case_without_the_rights_neither_a_process_nor_its_child_loads(struct world *w)
{
	pid_t pid = child(w), second;
	int status = 0;

	if (!pid) {
		drop(CAP_BPF);
		if (cannot_load())
			_exit(1);
		second = fork();
		if (!second)
			_exit(cannot_load());
		if (second < 0 || waitpid(second, &status, 0) != second)
			_exit(2);
		_exit(!WIFEXITED(status) || WEXITSTATUS(status));
	}
	see_exit(w, pid);
}

/* --- what a member reads of itself ------------------------------------------------------ */

static uint64_t affinity_of(pid_t tid)
{
	cpu_set_t cpus;
	uint64_t mask = 0;

	if (sched_getaffinity(tid, sizeof(cpus), &cpus))
		return 0;
	for (int cpu = 0; cpu < NR_CPUS; cpu++)
		mask |= (uint64_t)!!CPU_ISSET(cpu, &cpus) << cpu;
	return mask;
}

static void case_a_member_reads_the_affinity_that_it_set(struct world *w)
{
	struct puppet *p;

	policy_up(w, policies_find("fifo_percpu"));
	p = puppet_new(w);
	join(w, w->e, p);
	order(w, p, PUPPET_SPIN);
	for (uint64_t mask = 1; mask < 1u << NR_CPUS; mask++) {
		if (!(mask & (1u << CPU_A | 1u << CPU_B)))
			continue;
		p->cpus = (struct ghost_cpuset){ { mask } };
		order(w, p, PUPPET_MOVE);
		until(w, affinity_of(p->tid) == mask);
		until(w, (status_of(w, p)->cpus[0] & ((1u << NR_CPUS) - 1)) == mask);
		until(w, runs(w, p));
	}
	policy_down(w);
}

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static void case_nice_values_are_set_and_read_by_attributes(struct world *w)
{
	static const int values[] = { 7, 19, -20, 0 };
	struct attr attr = { 0 };
	struct puppet *p;

	agents_up(w);
	p = member_waiting(w);
	for (int i = 0; i < 4; i++) {
		attr = (struct attr){ .size = 48, .policy = SCHED_EXT, .nice = values[i] };
		check_is(w, syscall(SYS_sched_setattr, p->tid, &attr, 0), 0);
		check_is(w, expect(w, p, GHOST_MSG_TASK_PRIORITY_CHANGED).nice, values[i]);
		memset(&attr, 0, sizeof(attr));
		check_is(w, syscall(SYS_sched_getattr, p->tid, &attr, sizeof(attr), 0), 0);
		check_is(w, attr.policy, SCHED_EXT);
		check_is(w, attr.nice, values[i]);
		check_is(w, getpriority(PRIO_PROCESS, p->tid), values[i]);
	}
	expect_none(w, 20);
}

/* --- crowds: threads of one process ------------------------------------------------------ */

#define CROWD_MAX 1000

enum deed {
	DEED_LIFE,  /* sleep, yield, sleep */
	DEED_BUSY,  /* 10 ms of CPU time */
	DEED_LEAVE, /* our class, by itself */
	DEED_NAP,   /* as short as can be, until it is no member any more */
};

/* Shared with the process. */
struct crowd {
	_Atomic uint32_t nr_ready, go;
	uint32_t nr;
	enum deed deed;
	_Atomic pid_t tid[CROWD_MAX];
};
static struct crowd *crowd;

static void nap(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static uint64_t own_time_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void *crowd_thread(void *arg)
{
	uint64_t began;

	atomic_store((_Atomic pid_t *)arg, gettid());
	atomic_fetch_add(&crowd->nr_ready, 1);
	while (!atomic_load(&crowd->go))
		syscall(SYS_futex, &crowd->go, FUTEX_WAIT, 0, NULL, NULL, 0);
	switch (crowd->deed) {
	case DEED_LIFE:
		nap(1000000);
		sched_yield();
		nap(1000000);
		break;
	case DEED_BUSY:
		began = own_time_ns();
		while (own_time_ns() < began + 10 * MS)
			;
		break;
	case DEED_LEAVE:
		sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){ 0 });
		break;
	case DEED_NAP:
		while (sched_getscheduler(0) == SCHED_EXT)
			nap(1);
		break;
	}
	return NULL;
}

__attribute__((noreturn)) static void crowd_main(void)
{
	static pthread_t thread[CROWD_MAX];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	for (uint32_t i = 0; i < crowd->nr; i++)
		if (pthread_create(&thread[i], &attr, crowd_thread, (void *)&crowd->tid[i]))
			_exit(1);
	for (uint32_t i = 0; i < crowd->nr; i++)
		pthread_join(thread[i], NULL);
	_exit(0);
}

/* @nr threads, members all, do their @deed under @policy, and end. */
static void crowd_under(struct world *w, const struct ghost_policy *policy, uint32_t nr,
			enum deed deed)
{
	pid_t pid;

	memset(crowd, 0, sizeof(*crowd));
	crowd->nr = nr;
	crowd->deed = deed;
	pid = child(w);
	if (!pid)
		crowd_main();
	within(w, LONG_PATIENCE, atomic_load(&crowd->nr_ready) == nr);
	policy_up(w, policy);
	for (uint32_t i = 0; i < nr; i++)
		check_is(w, ghost_enclave_join(w->e, atomic_load(&crowd->tid[i])), 0);
	check_is(w, ghost_enclave_status(w->e)->nr_tasks, nr);
	atomic_store(&crowd->go, 1);
	syscall(SYS_futex, &crowd->go, FUTEX_WAKE, nr, NULL, NULL, 0);
	for (uint32_t i = 0; i < nr && deed == DEED_NAP; i++)
		check_is(w, w->backend->task_leave(w->backend, atomic_load(&crowd->tid[i])), 0);
	see_exit(w, pid);
	/* A process is gone a moment before its last thread has left its CPU. */
	until(w, !ghost_load_acquire(&ghost_enclave_status(w->e)->nr_tasks));
	policy_down(w);
}

static void crowd_under_each(struct world *w, uint32_t nr, enum deed deed)
{
	if (!crowd)
		crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(w, crowd != MAP_FAILED);
	wide_enclave(w);
	for (const struct ghost_policy *const *policy = policies; *policy; policy++)
		crowd_under(w, *policy, nr, deed);
}

static void case_a_thousand_threads_sleep_yield_and_end_under_each_policy(struct world *w)
{
	crowd_under_each(w, 1000, DEED_LIFE);
}

static void case_a_hundred_threads_use_ten_milliseconds_each_under_each_policy(struct world *w)
{
	crowd_under_each(w, 100, DEED_BUSY);
}

static void case_a_thousand_threads_leave_by_themselves_under_each_policy(struct world *w)
{
	crowd_under_each(w, 1000, DEED_LEAVE);
}

static void case_a_thousand_threads_are_taken_out_of_short_sleeps_under_each_policy(struct world *w)
{
	crowd_under_each(w, 1000, DEED_NAP);
}

static const struct contract_case cases[] = {
	CASE(case_a_killed_agent_process_costs_nobody_else_anything),
	CASE(case_destroying_an_enclave_ends_its_agent_process),
	CASE(case_a_thread_that_cannot_become_an_agent_stays_what_it_was),
	CASE(case_who_has_the_rights_is_told_that_nonsense_is_nonsense),
	CASE(case_who_has_no_rights_can_ask_for_nothing),
	CASE(case_an_agent_is_a_thread_of_our_class_pinned_to_its_cpu),
	CASE(case_without_the_right_to_priorities_no_agent_spins),
	CASE(case_the_kernel_side_can_be_loaded_again_when_it_is_gone),
	CASE(case_without_the_rights_neither_a_process_nor_its_child_loads),
	CASE(case_a_member_reads_the_affinity_that_it_set),
	CASE(case_nice_values_are_set_and_read_by_attributes),
	CASE(case_a_thousand_threads_sleep_yield_and_end_under_each_policy),
	CASE(case_a_hundred_threads_use_ten_milliseconds_each_under_each_policy),
	CASE(case_a_thousand_threads_leave_by_themselves_under_each_policy),
	CASE(case_a_thousand_threads_are_taken_out_of_short_sleeps_under_each_policy),
	{ 0 },
};

int main(int argc, char **argv)
{
	static const struct contract_case *const suites[] = {
		contract_conformance_cases,
		contract_policy_cases,
		cases,
		NULL,
	};

	return contract_main("conformance", suites, argc, argv);
}
