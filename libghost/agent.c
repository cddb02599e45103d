// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The agent loop: read the number, drain, decide, commit with it.
 * In: messages of one enclave. Out: callbacks of a policy, transactions.
 * Implements agent.h and the agent's part of policy.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/guard.h"
#include "libghost/loop.h"

/* While others decide. */
#define TAKE_POLL_NS 50000
#define ATTACH_TRIES 3

/* --- what a policy may ask --------------------------------------------------- */

uint32_t ghost_agent_cpu(const struct ghost_agent *a)
{
	return a->cpu;
}

const struct ghost_cpuset *ghost_agent_cpus(const struct ghost_agent *a)
{
	return &a->all->cpus;
}

bool ghost_agent_cpu_idle(const struct ghost_agent *a, uint32_t cpu)
{
	return cpu < GHOST_CPUS_MAX &&
	       (__atomic_load_n(&a->all->status->idle[cpu / 64], __ATOMIC_RELAXED) >> (cpu % 64) &
		1);
}

uint32_t ghost_agent_fit(const struct ghost_agent *a, const struct ghost_task *t, uint32_t cpu)
{
	const struct ghost_cpuset *cpus = ghost_agent_cpus(a);
	const uint32_t first[] = { cpu, ghost_task_cpu(t) };

	for (int i = 0; i < 2; i++)
		if (ghost_cpuset_has(cpus, first[i]) && ghost_task_allowed(t, first[i]))
			return first[i];
	ghost_cpuset_for_each(other, cpus) if (ghost_task_allowed(t, other)) return other;
	return GHOST_CPU_NONE;
}

const uint16_t *ghost_agent_neighbours(const struct ghost_agent *a, uint32_t *ret_nr)
{
	*ret_nr = a->nr_neighbours;
	return a->neighbours;
}

uint64_t ghost_agent_param(const struct ghost_agent *a, unsigned int index)
{
	return a->all->params[index];
}

const char *ghost_agent_param_text(const struct ghost_agent *a, unsigned int index)
{
	return (const char *)(uintptr_t)a->all->params[index];
}

const struct ghost_cpuset *ghost_agent_free_cpus(const struct ghost_agent *a)
{
	return &a->free;
}

uint32_t ghost_agent_nr_free(const struct ghost_agent *a)
{
	return a->nr_free;
}

struct ghost_task *ghost_agent_current(const struct ghost_agent *a, uint32_t cpu)
{
	const struct ghost_agent *there = cpu < a->all->mem->nr_cpus ? a->all->by_cpu[cpu] : NULL;

	return there ? there->current : NULL;
}

uint64_t ghost_agent_now_ns(struct ghost_agent *a)
{
	if (!a->now_ns)
		a->now_ns = a->all->backend->now_ns(a->all->backend);
	return a->now_ns;
}

static bool agent_pick(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t, uint64_t slice_ns,
		       uint32_t flags)
{
	struct ghost_agents *all = a->all;
	struct ghost_agent *there = cpu < all->mem->nr_cpus ? all->by_cpu[cpu] : NULL;
	bool ok;

	/* Its own CPU; of the one that decides for all it is the others, and its own if it says so. */
	if (!there || there->pick.task)
		return false;
	if (all->central ? there == a && !ghost_cpuset_has(&a->free, cpu) : there != a)
		return false;
	task_lock(a->all, t);
	ok = t->state == TASK_RUNNABLE;
	if (ok) {
		t->state = TASK_PICKED;
		there->pick = (struct pick){
			.task = t,
			.seq = t->seq,
			.flags = flags,
			.slice_ns = slice_ns ?: GHOST_SLICE_INF,
		};
	}
	task_unlock(a->all, t);
	if (!ok)
		return false;
	if (ghost_cpuset_has(&a->free, cpu)) {
		ghost_cpuset_del(&a->free, cpu);
		a->nr_free--;
	}
	if (all->central) {
		inbox_taken(a, t);
		ghost_cpuset_add(&all->picked, cpu);
		all->any_picked = true;
	}
	return true;
}

bool ghost_agent_pick(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t, uint64_t slice_ns)
{
	return agent_pick(a, cpu, t, slice_ns, 0);
}

bool ghost_agent_pick_timed(struct ghost_agent *a, uint32_t cpu, struct ghost_task *t,
			    uint64_t slice_ns)
{
	/* The agent's own CPU it takes by itself, and then there is nobody to start a timer. */
	bool can = a->all->central && cpu != a->cpu && slice_ns >= GHOST_TIMER_MIN_NS &&
		   slice_ns <= GHOST_TIMER_MAX_NS;

	return agent_pick(a, cpu, t, slice_ns, can ? GHOST_RUN_SLICE_TIMER : 0);
}

void ghost_agent_wake(struct ghost_agent *a, uint32_t cpu)
{
	/* Who decides for all needs nobody's help. */
	if (cpu == a->cpu || a->all->central)
		return;
	ghost_cpuset_add(&a->wake, cpu);
	a->wake_any = true;
}

/* --- life ------------------------------------------------------------------------- */

static int agent_attach(struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;
	struct ghost_ctl attach = {
		.op = GHOST_CTL_AGENT_ATTACH,
		.enclave = enclave_of(a->all),
		.cpu = a->cpu,
		.flags = a->all->central ? GHOST_AGENT_SPINS : 0,
	};
	uint32_t tid = b->thread_id(b);
	int err;

	/*
	 * It may be a member: as a child of one, or because somebody has just put its
	 * cgroup in. It becomes an agent as it enters the class, so it leaves first.
	 */
	b->task_leave(b, tid);
	err = b->agent(b, &attach);
	err = err ?: attach.ret;
	if (!err)
		err = a->all->central ? b->agent_spin(b) : b->agent_enter(b);
	if (!err && __atomic_load_n(&a->page->agent_tid, __ATOMIC_ACQUIRE) != tid)
		err = -EAGAIN;
	return err;
}

static int agent_become(struct ghost_agent *a)
{
	int err = -EAGAIN;

	/* Somebody may have put it in meanwhile, or have come first. */
	for (int i = 0; i < ATTACH_TRIES && err == -EAGAIN; i++)
		err = agent_attach(a);
	if (err)
		return err == -EAGAIN ? -EBUSY : err;
	/*
	 * Only now is it ours to write. What an earlier agent left unread is in
	 * the status table.
	 */
	a->rw->queue_tail = ghost_load_acquire(&a->page->queue.head);
	a->overflow_seen = a->page->queue.overflow;
	a->rw->txn.state = GHOST_TXN_FREE;
	a->rw->pick.state = GHOST_TXN_FREE;
	a->rw->spins = 0;
	return 0;
}

/*
 * Its thread ends, but the kernel notices only after whoever joins it goes on
 * (7.3), and would call its CPU taken till then: say so first.
 */
static void agent_leave(struct ghost_agent *a)
{
	struct ghost_backend *b = a->all->backend;
	struct ghost_ctl detach = {
		.op = GHOST_CTL_AGENT_DETACH,
		.enclave = enclave_of(a->all),
		.cpu = a->cpu,
	};

	if (a->all->central)
		b->agent(b, &detach);
	else
		b->task_leave(b, b->thread_id(b));
}

static void tell(struct ghost_agent *a, uint32_t *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_RELEASE);
	a->all->backend->wake(a->all->backend, word);
}

static void agent_thread(void *arg)
{
	struct ghost_agent *a = arg;
	struct ghost_agents *all = a->all;
	struct ghost_backend *b = all->backend;

	/* What takes long is done before there is anything to lose. */
	a->err = b->agent_pin(b, a->cpu);
	if (!a->err && all->central && b->agent_spin_prepare)
		a->err = b->agent_spin_prepare(b);
	tell(a, &all->nr_there);
	b->wait(b, &all->phase, AGENTS_WAITING, ~0ull);
	if (ghost_load_acquire(&all->phase) != AGENTS_STOP) {
		a->err = a->err ?: agent_become(a);
		tell(a, &all->nr_ready);
		b->wait(b, &all->phase, AGENTS_STARTING, ~0ull);
		if (!a->err && a->all->central)
			central_loop(a);
		else if (!a->err)
			percpu_loop(a);
		agent_leave(a);
	}
	if (__atomic_add_fetch(&all->nr_ended, 1, __ATOMIC_ACQ_REL) < all->nr)
		return;
	ghost_store_release(&all->ended, 1);
	b->wake(b, &all->ended);
}

/* Counting sort by distance; CPUs equally far stay in the order in which they come. */
static int neighbours_by_distance(struct ghost_agent *a, uint32_t first, uint8_t *far)
{
	struct ghost_agents *all = a->all;
	uint32_t at[GHOST_DISTANCE_REMOTE + 2] = { 0 };
	int d;

	a->neighbours = calloc(all->nr, sizeof(*a->neighbours));
	if (!a->neighbours)
		return -ENOMEM;
	a->nr_neighbours = all->nr - 1;
	/* Each starts after itself, so that not all look at the same CPU first. */
	for (uint32_t k = 1; k < all->nr; k++) {
		d = all->backend->cpu_distance(all->backend, a->cpu,
					       all->agent[(first + k) % all->nr].cpu);
		if (d < 0)
			return d;
		far[k] = d;
		at[d + 1]++;
	}
	for (d = 1; d <= GHOST_DISTANCE_REMOTE; d++)
		at[d] += at[d - 1];
	for (uint32_t k = 1; k < all->nr; k++)
		a->neighbours[at[far[k]]++] = all->agent[(first + k) % all->nr].cpu;
	return 0;
}

static int params_fill(struct ghost_agents *all, const uint64_t *values)
{
	const struct ghost_param *param = all->policy->params;

	for (unsigned int i = 0; param && param[i].name; i++) {
		if (i >= sizeof(all->params) / sizeof(all->params[0]))
			return -EINVAL;
		all->params[i] = values ? values[i] : param[i].value;
		if (param[i].type != GHOST_PARAM_TEXT &&
		    (all->params[i] < param[i].min || all->params[i] > param[i].max))
			return -EINVAL;
	}
	return 0;
}

static void agents_free(struct ghost_agents *all)
{
	for (uint32_t i = 0; all->agent && i < all->nr; i++)
		free(all->agent[i].neighbours);
	task_table_fini(&all->tasks);
	hints_close(all->hints);
	ghost_guard_close(all->guard);
	free(all->agent);
	free(all->by_cpu);
	free(all->data);
	free(all);
}

static int agents_prepare(struct ghost_agents *all, const struct ghost_agents_opts *opts)
{
	size_t size = (all->policy->size / 64 + 1) * 64;
	uint32_t i = 0;
	uint8_t *far;
	int err;

	err = params_fill(all, opts ? opts->params : NULL);
	all->new_cpus = opts && opts->cpus;
	if (all->new_cpus)
		all->cpus = *opts->cpus;
	else
		err = err ?: ghost_enclave_cpus(all->enclave, &all->cpus);
	if (err)
		return err;
	if (ghost_cpuset_next(&all->cpus, 0) < 0 ||
	    ghost_cpuset_next(&all->cpus, all->mem->nr_cpus) >= 0)
		return -EINVAL;
	all->nr = ghost_cpuset_count(&all->cpus);
	/* On one CPU nobody can spin beside the others: there it decides as all do. */
	all->central = all->policy->model == GHOST_CENTRAL && all->nr > 1;
	all->agent = calloc(all->nr, sizeof(*all->agent));
	all->by_cpu = calloc(all->mem->nr_cpus, sizeof(*all->by_cpu));
	/* Policies align what CPUs share to cache lines. */
	all->data = aligned_alloc(64, size);
	if (!all->agent || !all->by_cpu || !all->data)
		return -ENOMEM;
	memset(all->data, 0, size);
	ghost_cpuset_for_each(cpu, &all->cpus)
	{
		struct ghost_agent *a = &all->agent[i++];

		a->data = all->data;
		a->all = all;
		a->cpu = cpu;
		a->page = &all->mem->cpu[cpu];
		a->rw = &all->mem->cpu_rw[cpu];
		all->by_cpu[cpu] = a;
	}
	far = calloc(all->nr, sizeof(*far));
	err = far ? 0 : -ENOMEM;
	for (i = 0; i < all->nr && !err; i++)
		err = neighbours_by_distance(&all->agent[i], i, far);
	free(far);
	err = err   ?:
		      task_table_init(&all->tasks, all->mem->capacity, all->policy->task_size,
				      all->mem->status);
	err = err ?: hints_open(&all->hints, all->backend);
	all->tasks.hints = all->hints;
	if (!err && all->policy->init)
		err = all->policy->init(&all->agent[0], all->data);
	return err;
}

/* Whose CPU others keep to themselves. */
static void guard_thread(void *arg)
{
	struct ghost_agents *all = arg;

	while (ghost_load_acquire(&all->phase) == AGENTS_GO) {
		if (all->backend->wait(all->backend, &all->phase, AGENTS_GO, GHOST_GUARD_NS))
			ghost_guard_look(all->guard, NULL);
	}
}

/* Without it all goes well until somebody keeps a CPU for 30 s. */
static void guard_start(struct ghost_agents *all)
{
	if (ghost_guard_open(&all->guard, all->enclave))
		return;
	all->backend->thread_start(all->backend, "guard", guard_thread, all, &all->guard_thread);
}

static void phase_set(struct ghost_agents *all, uint32_t phase)
{
	ghost_store_release(&all->phase, phase);
	all->backend->wake(all->backend, &all->phase);
}

/* A request about queues; the heartbeat may be at them, for a moment. */
int queue_request(struct ghost_agents *all, struct ghost_ctl *ctl)
{
	int err, tries = 1000;

	do {
		err = all->backend->agent(all->backend, ctl);
		err = err ?: ctl->ret;
		if (err == -EAGAIN)
			all->backend->sleep(all->backend, 10000);
	} while (err == -EAGAIN && tries--);
	return err;
}

/* Queues that earlier agents made have nobody who reads them. */
static int queues_reset(struct ghost_agents *all)
{
	struct ghost_ctl ctl = {
		.op = GHOST_CTL_QUEUE_DEFAULT,
		.enclave = enclave_of(all),
		.queue = GHOST_QUEUE_NONE,
	};
	int err = queue_request(all, &ctl);

	ctl.op = GHOST_CTL_QUEUE_DESTROY;
	for (uint32_t q = all->mem->nr_cpus; q < all->mem->nr_queues && !err; q++) {
		if (!all->mem->cpu[q].queue.len)
			continue;
		ctl.queue = q;
		err = queue_request(all, &ctl);
		/* They may be about to remove it themselves. */
		if (err == -ENOENT)
			err = 0;
	}
	return err;
}

static int wait_for_all(struct ghost_agents *all, const uint32_t *word, uint32_t nr)
{
	struct ghost_backend *b = all->backend;
	uint32_t now;
	int err = 0;

	while (!err && (now = ghost_load_acquire(word)) < nr)
		err = b->wait(b, word, now, ~0ull);
	return err;
}

static int first_error(const struct ghost_agents *all)
{
	int err = 0;

	for (uint32_t i = 0; i < all->nr && !err; i++)
		err = all->agent[i].err;
	return err;
}

static int threads_start(struct ghost_agents *all)
{
	struct ghost_backend *b = all->backend;
	uint32_t started = 0;
	char name[16];
	int err = 0, failed;

	for (; started < all->nr && !err; started += !err) {
		struct ghost_agent *a = &all->agent[started];

		snprintf(name, sizeof(name), "agent/%u", a->cpu);
		err = b->thread_start(b, name, agent_thread, a, &a->thread);
	}
	failed = wait_for_all(all, &all->nr_there, started);
	return err ?: failed ?: first_error(all);
}

int ghost_agents_prepare(struct ghost_agents **ret, struct ghost_enclave *e,
			 const struct ghost_policy *policy, const struct ghost_agents_opts *opts)
{
	struct ghost_agents *all;
	int err;

	if (!policy || !policy->schedule || policy->model > GHOST_CENTRAL)
		return -EINVAL;
	if (opts && opts->size < sizeof(*opts))
		return -EINVAL;
	all = calloc(1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	all->enclave = e;
	all->backend = ghost_enclave_backend(e);
	all->mem = ghost_enclave_memory(e);
	all->status = ghost_enclave_status(e);
	all->policy = policy;
	err = agents_prepare(all, opts);
	if (err) {
		agents_free(all);
		return err;
	}
	err = threads_start(all);
	if (err) {
		ghost_agents_stop(all);
		return err;
	}
	*ret = all;
	return 0;
}

/* Do others decide, or are about to end? */
static bool others_there(const struct ghost_agents *all)
{
	if (__atomic_load_n(&all->status->state, __ATOMIC_ACQUIRE) == GHOST_ENCLAVE_ONLINE)
		return true;
	for (uint32_t cpu = 0; cpu < all->mem->nr_cpus; cpu++)
		if (__atomic_load_n(&all->mem->cpu[cpu].agent_tid, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

/*
 * Nothing wakes who waits for the end of others: but to look costs little. Looks are
 * counted, too, as a simulated process that was killed sees no time pass; they are not
 * enough, as each may take long where many want the CPUs.
 */
static int wait_for_others(struct ghost_agents *all, int timeout_ms)
{
	struct ghost_backend *b = all->backend;
	uint64_t looks = timeout_ms < 0 ? ~0ull : timeout_ms * 1000000ull / TAKE_POLL_NS;
	uint64_t end = timeout_ms < 0 ? ~0ull : b->now_ns(b) + timeout_ms * 1000000ull;
	uint32_t state;

	while (others_there(all)) {
		state = __atomic_load_n(&all->status->state, __ATOMIC_RELAXED);
		if (state == GHOST_ENCLAVE_DYING || state == GHOST_ENCLAVE_FREE)
			return -ENOENT;
		if (!looks-- || b->now_ns(b) >= end)
			return timeout_ms ? -ETIMEDOUT : -EBUSY;
		b->sleep(b, TAKE_POLL_NS);
	}
	return 0;
}

/* Nobody decides: the enclave gets the CPUs that were asked for, or still has those it had. */
static int check_cpus(const struct ghost_agents *all)
{
	struct ghost_cpuset now;
	int err = all->new_cpus ? ghost_enclave_set_cpus(all->enclave, &all->cpus) : 0;

	err = err ?: ghost_enclave_cpus(all->enclave, &now);

	return err ?: memcmp(&now, &all->cpus, sizeof(now)) ? -ESTALE : 0;
}

int ghost_agents_take(struct ghost_agents *all, int timeout_ms)
{
	struct ghost_ctl online = {
		.op = GHOST_CTL_AGENT_ONLINE,
		.enclave = enclave_of(all),
	};
	struct ghost_backend *b = all->backend;
	int err = wait_for_others(all, timeout_ms);

	err = err ?: check_cpus(all);
	if (err)
		return err;
	/* From when they decide until they are told to, nobody would decide for a member. */
	b->task_leave(b, b->thread_id(b));
	phase_set(all, AGENTS_STARTING);
	err = wait_for_all(all, &all->nr_ready, all->nr);
	err = err ?: first_error(all);
	/* The enclave is ours: so are its queues. */
	err = err ?: queues_reset(all);
	if (!err && all->central)
		err = central_open(all);
	err = err ?: b->agent(b, &online);
	err = err ?: online.ret;
	if (err)
		return err;
	/* And the name of the socket. */
	all->hints_err = -EOPNOTSUPP;
	if (b->hints_dir)
		all->hints_err = hints_listen(all->hints, b->hints_dir, enclave_of(all));
	phase_set(all, AGENTS_GO);
	guard_start(all);
	return 0;
}

int ghost_agents_start(struct ghost_agents **ret, struct ghost_enclave *e,
		       const struct ghost_policy *policy, const struct ghost_agents_opts *opts)
{
	struct ghost_agents *all;
	int err = ghost_agents_prepare(&all, e, policy, opts);

	if (err)
		return err;
	err = ghost_agents_take(all, 0);
	if (err) {
		ghost_agents_stop(all);
		return err;
	}
	*ret = all;
	return 0;
}

int ghost_agents_wait(struct ghost_agents *all, int timeout_ms)
{
	return all->backend->wait(all->backend, &all->ended, 0,
				  timeout_ms < 0 ? ~0ull : timeout_ms * 1000000ull);
}

int ghost_agents_hints(const struct ghost_agents *all)
{
	return all->hints_err;
}

void ghost_agents_stop(struct ghost_agents *all)
{
	struct ghost_ctl offline = { .op = GHOST_CTL_AGENT_OFFLINE };
	bool waiting, deciding;

	if (!all)
		return;
	waiting = ghost_load_acquire(&all->phase) == AGENTS_WAITING;
	deciding = ghost_load_acquire(&all->phase) == AGENTS_GO &&
		   ghost_load_acquire(&all->nr_ended) < all->nr;
	/*
	 * Before the first of them ends, which would be taken for a crash. Only
	 * if they decide: with all of ours gone, others may be online by now.
	 */
	if (deciding) {
		offline.enclave = enclave_of(all);
		all->backend->agent(all->backend, &offline);
	}
	phase_set(all, AGENTS_STOP);
	if (all->central)
		central_wake_all(all);
	for (uint32_t i = 0; i < all->nr && !waiting; i++) {
		struct ghost_ctl ping = {
			.op = GHOST_CTL_AGENT_PING,
			.enclave = enclave_of(all),
			.cpu = all->agent[i].cpu,
		};

		/* A parked agent looks at the phase only when it runs. */
		all->backend->agent(all->backend, &ping);
	}
	for (uint32_t i = 0; i < all->nr; i++)
		if (all->agent[i].thread)
			all->backend->thread_join(all->backend, all->agent[i].thread);
	if (all->guard_thread)
		all->backend->thread_join(all->backend, all->guard_thread);
	if (all->central)
		central_close(all);
	if (all->policy->fini)
		all->policy->fini(all->data);
	agents_free(all);
}
