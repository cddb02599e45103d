// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel as libghost sees it, in virtual time; processes and their agents
 * as fibers.
 * In: calls of libghost/backend.h. Out: system calls of the machine's threads.
 * Implements backend.h.
 *
 * A fiber never calls the scheduler: kernel work that it causes is posted, and
 * happens when the fiber has given control back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/enclave.h"
#include "sim/backend.h"

#define AGENT_STACK (64 * 1024)
#define MAIN_STACK (128 * 1024)
#define EXIT_NS 20000

/* A thread of a process that runs a fiber on the machine's CPUs. */
struct agent {
	struct process *process;
	struct agent *next;
	struct fiber *fiber;
	struct thread *thread; /* NULL: gone */
	struct action action;  /* what it does next */
	void (*main)(void *);
	void *arg;
	uint64_t debt_ns; /* computed and not yet paid for */
	uint64_t late_ns; /* a fault: so much more before its next step */
	const uint32_t *word;
	uint32_t ended; /* a word to wait for */
	bool joined;
};

struct process {
	struct ghost_backend base;
	struct machine *m;
	struct process *next;
	uint64_t tokens[GHOST_ENCLAVES_MAX]; /* of enclaves that it has mapped */
	struct agent *agents;
	uint32_t nr_agents; /* that are not gone */
	process_fn main;
	void *arg;
	struct fiber *fiber;
	uint32_t call;
	const uint32_t *word; /* main() waits for it to differ from @value, or for @until */
	uint32_t value;
	uint64_t until;
	uint32_t asked;
	bool waiting;
	bool dead;
	bool ended;
};

static struct process *self_of(struct ghost_backend *b)
{
	return (struct process *)b;
}

/* The agent that runs now, or NULL: it is main(). */
static struct agent *current(const struct process *p)
{
	const struct thread *t = p->m->this_thread;

	if (t && t->agent && t->agent->fiber == fiber_self())
		return t->agent;
	return NULL;
}

/* --- agents ------------------------------------------------------------------------ */

static void act(struct agent *a, enum act what, uint64_t ns)
{
	a->action = (struct action){ .act = what, .ns = ns };
	fiber_suspend();
}

/* Let time pass for what the agent has done so far. */
static void pay(struct agent *a)
{
	uint64_t ns = a->debt_ns + a->late_ns;

	if (!ns)
		return;
	a->debt_ns = 0;
	a->late_ns = 0;
	act(a, ACT_RUN, ns);
}

static void agent_main(void *arg)
{
	struct agent *a = arg;

	a->main(a->arg);
	pay(a);
}

static void process_resume(struct machine *m, void *arg);

static void main_wake(struct process *p)
{
	if (p->waiting)
		machine_post(p->m, p->m->now, EV_CALL, p->call, 0);
}

static struct action agent_next(struct machine *m, struct thread *t)
{
	struct agent *a = t->agent;

	if (!fiber_ended(a->fiber))
		fiber_resume(a->fiber);
	if (!fiber_ended(a->fiber))
		return a->action;
	if (a->ended)
		return (struct action){ .act = ACT_EXIT };
	/* Who joins it goes on from here, while the kernel takes it down (mm_release(), 7.3). */
	a->ended = 1;
	main_wake(a->process);
	return (struct action){ .act = ACT_RUN, .ns = EXIT_NS };
}

static void agent_gone(struct machine *m, struct thread *t)
{
	struct agent *a = t->agent;

	a->thread = NULL;
	a->ended = 1;
	fiber_free(a->fiber);
	a->fiber = NULL;
	a->process->nr_agents--;
	/* Somebody may wait to join it; the last one of a killed process lets it be buried. */
	main_wake(a->process);
}

const struct behaviour behaviour_agent = {
	.name = "agent",
	.next = agent_next,
	.gone = agent_gone,
};

void agent_delay(struct thread *t, uint64_t ns)
{
	t->agent->late_ns += ns;
}

/* --- the backend --------------------------------------------------------------------- */

/* What a system call costs whoever makes it. Returns false for the dead. */
static bool enter_kernel(struct process *p)
{
	struct agent *a = current(p);

	if (p->dead)
		return false;
	if (!a) {
		p->m->this_thread = NULL;
		p->m->this_cpu = 0;
		return true;
	}
	a->debt_ns += p->m->opt.profile->syscall_ns;
	pay(a);
	return true;
}

static int sim_admin(struct ghost_backend *b, struct ghost_ctl *ctl)
{
	struct process *p = self_of(b);

	if (!enter_kernel(p))
		return -ESRCH;
	kernel_admin(p->m, ctl);
	return 0;
}

static int sim_agent(struct ghost_backend *b, struct ghost_ctl *ctl)
{
	struct process *p = self_of(b);

	if (!enter_kernel(p))
		return -ESRCH;
	ctl->token = ctl->token ?: p->tokens[ctl->enclave % GHOST_ENCLAVES_MAX];
	kernel_agent(p->m, ctl);
	return 0;
}

/* Nobody here guesses, and each run is to be like the one before. */
static __u64 sim_token(struct ghost_backend *b)
{
	return ++self_of(b)->m->nr_tokens;
}

static int sim_enclave_prepare(struct ghost_backend *b, __u32 id, __u32 made_len)
{
	struct machine *m = self_of(b)->m;

	return self_of(b)->dead ? -ESRCH :
				  enclave_prepare(m, id, m->nr_cpus * GHOST_QUEUE_LEN + made_len);
}

static void sim_enclave_discard(struct ghost_backend *b, __u32 id)
{
	enclave_discard(self_of(b)->m, id);
}

static int sim_memory_map(struct ghost_backend *b, __u32 id, struct ghost_memory *ret)
{
	struct machine *m = self_of(b)->m;
	struct sim_enclave *e = &m->enclave[id % GHOST_ENCLAVES_MAX];

	if (self_of(b)->dead)
		return -ESRCH;
	if (!e->status || e->discarded)
		return -ENOENT;
	e->nr_mapped++;
	self_of(b)->tokens[id] = ((const struct ghost_enclave_status *)e->status)->token;
	*ret = (struct ghost_memory){
		.status = e->status,
		.cpu = e->cpu,
		.cpu_rw = e->rw,
		.ring = e->ring,
		.capacity = m->opt.capacity,
		.nr_cpus = m->nr_cpus,
		.nr_queues = m->nr_cpus + GHOST_QUEUES_MADE,
		.ring_len = e->ring_len,
	};
	return 0;
}

static void sim_memory_unmap(struct ghost_backend *b, struct ghost_memory *mem)
{
	struct machine *m = self_of(b)->m;

	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		struct sim_enclave *e = &m->enclave[id];

		if (!mem->status || e->status != mem->status)
			continue;
		if (!--e->nr_mapped && e->discarded)
			enclave_discard(m, id);
		break;
	}
	memset(mem, 0, sizeof(*mem));
}

static int sim_agent_pin(struct ghost_backend *b, __u32 cpu)
{
	struct process *p = self_of(b);
	struct agent *a = current(p);
	struct ghost_cpuset one = { 0 };

	if (!a || cpu >= p->m->nr_cpus || !p->m->cpu[cpu].online)
		return -EINVAL;
	ghost_cpuset_add(&one, cpu);
	thread_affinity(p->m, a->thread, &one);
	/* It may have been moved: only what comes next is computed there. */
	act(a, ACT_RUN, p->m->opt.profile->syscall_ns);
	return 0;
}

static int sim_agent_enter(struct ghost_backend *b)
{
	struct process *p = self_of(b);
	struct agent *a = current(p);
	int err = a ? thread_set_class(p->m, a->thread, CLASS_EXT) : -EINVAL;

	if (!err)
		act(a, ACT_RUN, p->m->opt.profile->syscall_ns);
	return err;
}

static int sim_agent_spin(struct ghost_backend *b)
{
	struct process *p = self_of(b);
	struct agent *a = current(p);
	int err = a ? thread_set_class(p->m, a->thread, CLASS_RT) : -EINVAL;

	if (!err)
		act(a, ACT_RUN, p->m->opt.profile->syscall_ns);
	return err;
}

/*
 * Looking again and again takes all the time there is; nothing is simulated
 * until there is news, or it is @until_ns.
 */
static void sim_agent_relax(struct ghost_backend *b, __u64 until_ns)
{
	struct process *p = self_of(b);
	struct agent *a = current(p);

	if (!a)
		return;
	pay(a);
	a->thread->polls = true;
	a->thread->poll_ns = until_ns;
	p->m->nr_polls++;
	act(a, ACT_RUN, SIM_FOREVER / 2);
}

static void sim_agent_yield(struct ghost_backend *b)
{
	struct agent *a = current(self_of(b));

	if (!a)
		return;
	pay(a);
	act(a, ACT_YIELD, 0);
}

static int sim_task_enter(struct ghost_backend *b, __u32 tid)
{
	struct process *p = self_of(b);

	if (!enter_kernel(p))
		return -ESRCH;
	return thread_set_class(p->m, thread_by_tid(p->m, tid), CLASS_EXT);
}

static int sim_task_leave(struct ghost_backend *b, __u32 tid)
{
	struct process *p = self_of(b);
	struct thread *t;

	if (!enter_kernel(p))
		return -ESRCH;
	t = thread_by_tid(p->m, tid);
	/* Only what is still ours, as backend_bpf.c. */
	if (!t || t->class_ != CLASS_EXT)
		return t ? 0 : -ESRCH;
	return thread_set_class(p->m, t, CLASS_FAIR);
}

static int sim_cpus_online(struct ghost_backend *b, struct ghost_cpuset *ret)
{
	*ret = self_of(b)->m->online;
	return 0;
}

static int sim_cpu_distance(struct ghost_backend *b, __u32 x, __u32 y)
{
	return topology_distance(&self_of(b)->m->topo, x, y);
}

static int sim_thread_start(struct ghost_backend *b, const char *name, void (*main)(void *),
			    void *arg, void **ret)
{
	struct process *p = self_of(b);
	struct agent *a;

	if (!enter_kernel(p))
		return -ESRCH;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->process = p;
	a->main = main;
	a->arg = arg;
	if (fiber_new(&a->fiber, AGENT_STACK, agent_main, a)) {
		free(a);
		return -EAGAIN;
	}
	a->thread = thread_new(p->m, &behaviour_agent, NULL, 0);
	if (!a->thread) {
		fiber_free(a->fiber);
		free(a);
		return -EAGAIN;
	}
	a->thread->agent = a;
	a->next = p->agents;
	p->agents = a;
	p->nr_agents++;
	thread_wake(p->m, a->thread);
	*ret = a;
	return 0;
}

static __u32 sim_thread_id(struct ghost_backend *b)
{
	const struct agent *a = current(self_of(b));

	return a ? a->thread->tid : 0;
}

/* main() waits: until @word differs from @value, or for @ns. */
static int main_wait(struct process *p, const uint32_t *word, uint32_t value, uint64_t ns)
{
	p->until = ns > SIM_FOREVER - p->m->now ? SIM_FOREVER : p->m->now + ns;
	p->word = word;
	p->value = value;
	if (p->until != SIM_FOREVER)
		machine_post(p->m, p->until, EV_CALL, p->call, 0);
	while (!p->dead && (!word || *word == value) && p->m->now < p->until) {
		p->waiting = true;
		fiber_suspend();
		p->waiting = false;
	}
	if (p->dead)
		return -ESRCH;
	return !word || *word == value ? -ETIMEDOUT : 0;
}

static void sim_thread_join(struct ghost_backend *b, void *thread)
{
	struct process *p = self_of(b);
	struct agent *a = thread;

	while (!a->ended && !p->dead)
		main_wait(p, &a->ended, 0, SIM_FOREVER);
	a->joined = true;
}

static int sim_wait(struct ghost_backend *b, const __u32 *word, __u32 value, __u64 timeout_ns)
{
	struct process *p = self_of(b);
	struct agent *a = current(p);

	if (!a)
		return main_wait(p, word, value, timeout_ns);
	pay(a);
	while (*word == value) {
		a->word = word;
		act(a, ACT_BLOCK, 0);
	}
	a->word = NULL;
	return 0;
}

static void sim_wake(struct ghost_backend *b, const __u32 *word)
{
	struct process *p = self_of(b);

	if (!enter_kernel(p))
		return;
	p->m->news = true;
	for (struct agent *a = p->agents; a; a = a->next)
		if (a->thread && a->word == word)
			thread_wake(p->m, a->thread);
	if (p->word == word)
		main_wake(p);
}

static void sim_sleep(struct ghost_backend *b, __u64 ns)
{
	struct process *p = self_of(b);
	struct agent *a = current(p);

	if (a)
		act(a, ACT_SLEEP, ns);
	else
		main_wait(p, NULL, 0, ns);
}

static __u64 sim_now_ns(struct ghost_backend *b)
{
	const struct process *p = self_of(b);
	const struct agent *a = current(p);

	return p->m->now + (a ? a->debt_ns : 0);
}

static void sim_step(struct ghost_backend *b, enum ghost_step step)
{
	struct process *p = self_of(b);
	const struct profile *cost = p->m->opt.profile;
	struct agent *a = current(p);

	if (!a)
		return;
	switch (step) {
	case GHOST_STEP_NUMBER:
		a->debt_ns += cost->agent_number_ns;
		break;
	case GHOST_STEP_MSG:
	case GHOST_STEP_SLOT:
		a->debt_ns += cost->agent_msg_ns;
		break;
	case GHOST_STEP_SCHEDULE:
		a->debt_ns += cost->agent_schedule_ns;
		break;
	case GHOST_STEP_COMMIT:
		a->debt_ns += cost->agent_commit_ns;
		break;
	case GHOST_STEP_SPIN:
		a->debt_ns += 50;
		break;
	}
	machine_trace(p->m, TRACE_STEP, a->thread->cpu, a->thread, step);
	if (p->m->opt.fine || step == GHOST_STEP_SPIN || a->late_ns)
		pay(a);
}

static const struct ghost_hint_entry *sim_hint_entry(struct ghost_backend *b, __u32 tid)
{
	const struct thread *t = thread_by_tid(self_of(b)->m, tid);

	return t ? t->hint : NULL;
}

static void sim_close(struct ghost_backend *b)
{
}

/* --- processes ----------------------------------------------------------------------------- */

static void process_main(void *arg)
{
	struct process *p = arg;

	p->main(p, p->arg);
	p->ended = true;
}

static void process_resume(struct machine *m, void *arg)
{
	struct process *p = arg;

	if (p->ended)
		return;
	/* The dead are buried when the last of their threads is. */
	if (p->dead && p->nr_agents)
		return;
	if (p->waiting && !p->dead && m->now < p->until && (!p->word || *p->word == p->value))
		return;
	fiber_resume(p->fiber);
}

int process_start(struct process **ret, struct machine *m, process_fn main, void *arg)
{
	struct process *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->base = (struct ghost_backend){
		.admin = sim_admin,
		.agent = sim_agent,
		.token = sim_token,
		.enclave_prepare = sim_enclave_prepare,
		.enclave_discard = sim_enclave_discard,
		.memory_map = sim_memory_map,
		.memory_unmap = sim_memory_unmap,
		.agent_pin = sim_agent_pin,
		.agent_enter = sim_agent_enter,
		.agent_spin = sim_agent_spin,
		.agent_relax = sim_agent_relax,
		.agent_yield = sim_agent_yield,
		.task_enter = sim_task_enter,
		.task_leave = sim_task_leave,
		.cpus_online = sim_cpus_online,
		.cpu_distance = sim_cpu_distance,
		.thread_start = sim_thread_start,
		.thread_join = sim_thread_join,
		.thread_id = sim_thread_id,
		.wait = sim_wait,
		.wake = sim_wake,
		.sleep = sim_sleep,
		.now_ns = sim_now_ns,
		.step = sim_step,
		.hint_entry = sim_hint_entry,
		.close = sim_close,
	};
	p->m = m;
	p->main = main;
	p->arg = arg;
	err = fiber_new(&p->fiber, MAIN_STACK, process_main, p);
	if (err) {
		free(p);
		return err;
	}
	p->call = machine_call(m, process_resume, p);
	p->next = m->processes;
	m->processes = p;
	machine_post(m, m->now, EV_CALL, p->call, 0);
	if (ret)
		*ret = p;
	return 0;
}

struct ghost_backend *process_backend(struct process *p)
{
	return &p->base;
}

struct machine *process_machine(struct process *p)
{
	return p->m;
}

void process_kill(struct process *p)
{
	if (p->dead || p->ended)
		return;
	p->dead = true;
	for (struct agent *a = p->agents; a; a = a->next)
		if (a->thread)
			thread_kill(p->m, a->thread);
	machine_post(p->m, p->m->now, EV_CALL, p->call, 0);
}

bool process_dead(const struct process *p)
{
	return p->dead;
}

bool process_ended(const struct process *p)
{
	return p->ended;
}

struct process *process_next(const struct machine *m, const struct process *p)
{
	return p ? p->next : m->processes;
}

uint32_t process_nr_agents(const struct process *p)
{
	return p->nr_agents;
}

struct thread *process_agent(const struct process *p, uint32_t index)
{
	for (struct agent *a = p->agents; a; a = a->next)
		if (a->thread && !index--)
			return a->thread;
	return NULL;
}

void process_ask(struct process *p)
{
	p->asked = 1;
	main_wake(p);
}

int process_wait(struct process *p, uint64_t ns)
{
	return main_wait(p, &p->asked, 0, ns);
}

static const struct behaviour behaviour_none = { .name = "" };

/* As if killed, all threads gone at once: main() gives back what it holds. */
static void process_end(struct machine *m, struct process *p)
{
	p->dead = true;
	for (struct agent *a = p->agents; a; a = a->next) {
		if (!a->thread)
			continue;
		a->thread->behaviour = &behaviour_none;
		a->thread->agent = NULL;
		fiber_free(a->fiber);
		a->thread = NULL;
		a->ended = 1;
	}
	m->this_thread = NULL;
	if (!p->ended)
		fiber_resume(p->fiber);
}

void processes_free(struct machine *m)
{
	struct process *p;

	/* One may look at another while it ends: none is gone before all have ended. */
	for (p = m->processes; p; p = p->next)
		process_end(m, p);
	while ((p = m->processes)) {
		struct agent *a;

		m->processes = p->next;
		fiber_free(p->fiber);
		while ((a = p->agents)) {
			p->agents = a->next;
			free(a);
		}
		free(p);
	}
}
