// SPDX-License-Identifier: GPL-2.0-only
/*
 * A run from beginning to end: who makes the enclave, who its agents, when the
 * work begins and when it is over.
 * In: options. Out: a report. Implements sim.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libghost/agent.h"
#include "libghost/enclave.h"
#include "sim/backend.h"
#include "sim/fault.h"
#include "sim/sim.h"

/* How long what has begun may take to end after nothing new comes, before it counts as lost. */
#define DRAIN_NS 60000000000ull

struct sim {
	struct sim_options opt;
	char topology[TOPOLOGY_TEXT_SIZE];
	struct machine *m;
	struct workload *work[SIM_WORKLOADS_MAX];
	struct faults *faults;
	struct process *admin;
	struct process *agents;
	struct ghost_enclave *enclave;
	uint32_t id;
	uint64_t measured_from, measured_until;
	uint64_t busy_ns, agent_ns, fair_ns, kernel_ns; /* as the measurement began */
	uint64_t nr_trace[TRACE_NR], nr_txn[GHOST_TXN_NR_STATES];
	struct hist wakeup; /* of the time that is measured */
	uint32_t nr_agents_lost;
	uint32_t lost_reason;
	bool lost;
	uint32_t nr_prepared; /* agents' processes that have waited for others to end */
	bool upgraded;
	uint64_t undecided_ns, blackout_ns;
	uint64_t nr_fallbacks;
	int err;
	bool draining;
	bool over;
};

struct machine *sim_machine(struct sim *s)
{
	return s->m;
}

uint32_t sim_enclave(const struct sim *s)
{
	return s->id;
}

struct process *sim_agents(struct sim *s)
{
	return s->agents;
}

/* --- the agents' process -------------------------------------------------------------- */

/* Agents that are about to begin. */
struct start {
	struct sim *sim;
	struct ghost_cpuset cpus; /* that the enclave is to have then; empty: those that it has */
};

static void agents_main(struct process *p, void *arg)
{
	struct start start = *(struct start *)arg;
	struct sim *s = start.sim;
	struct ghost_agents_opts opts = {
		.size = sizeof(opts),
		.params = s->opt.params,
		.cpus = ghost_cpuset_empty(&start.cpus) ? NULL : &start.cpus,
	};
	struct ghost_enclave *e = NULL;
	struct ghost_agents *as = NULL;
	int err, nr_tries = 0;

	free(arg);
	if (ghost_enclave_open(&e, process_backend(p), s->id))
		return;
	err = ghost_agents_prepare(&as, e, s->opt.policy, &opts);
	s->nr_prepared++;
	/* The predecessors' last threads may still be on their way out. */
	if (!err)
		do
			err = ghost_agents_take(as, 1);
		while (err == -ETIMEDOUT && nr_tries++ < 1000 && !process_dead(p));
	/* Until somebody asks, or the enclave is lost. */
	while (!err && process_wait(p, 10000000) == -ETIMEDOUT)
		if (!ghost_agents_wait(as, 0))
			break;
	ghost_agents_stop(as);
	ghost_enclave_close(e);
}

int sim_agents_start(struct sim *s, const struct ghost_cpuset *cpus)
{
	struct start *start = calloc(1, sizeof(*start));
	int err;

	if (!start)
		return -ENOMEM;
	start->sim = s;
	if (cpus)
		start->cpus = *cpus;
	err = process_start(&s->agents, s->m, agents_main, start);
	if (err)
		free(start);
	return err;
}

static bool is_online(const struct sim *s)
{
	return s->m->enclaves[s->id].state == GHOST_ENCLAVE_ONLINE;
}

/* --- the one who runs it all -------------------------------------------------------------- */

static void sums(struct sim *s, uint64_t *busy, uint64_t *agent, uint64_t *fair, uint64_t *kernel)
{
	*busy = *agent = *fair = *kernel = 0;
	for (uint32_t i = 0; i < s->m->nr_cpus; i++) {
		*busy += s->m->cpu[i].busy_ns;
		*agent += s->m->cpu[i].agent_ns;
		*fair += s->m->cpu[i].fair_ns;
		*kernel += s->m->cpu[i].kernel_ns;
	}
}

static void measure_from_now(struct sim *s)
{
	s->measured_from = s->m->now;
	sums(s, &s->busy_ns, &s->agent_ns, &s->fair_ns, &s->kernel_ns);
	memcpy(s->nr_trace, s->m->nr_trace, sizeof(s->nr_trace));
	memcpy(s->nr_txn, s->m->nr_txn, sizeof(s->nr_txn));
	memset(&s->m->wakeup, 0, sizeof(s->m->wakeup));
	for (uint32_t i = 0; i < s->opt.nr_work; i++)
		workload_reset(s->work[i]);
}

static void measured(struct sim *s)
{
	uint64_t busy, agent, fair, kernel;

	s->measured_until = s->m->now;
	s->wakeup = s->m->wakeup;
	sums(s, &busy, &agent, &fair, &kernel);
	s->busy_ns = busy - s->busy_ns;
	s->agent_ns = agent - s->agent_ns;
	s->fair_ns = fair - s->fair_ns;
	s->kernel_ns = kernel - s->kernel_ns;
	for (int i = 0; i < TRACE_NR; i++)
		s->nr_trace[i] = s->m->nr_trace[i] - s->nr_trace[i];
	for (int i = 0; i < GHOST_TXN_NR_STATES; i++)
		s->nr_txn[i] = s->m->nr_txn[i] - s->nr_txn[i];
}

static bool work_done(const struct sim *s)
{
	for (uint32_t i = 0; i < s->opt.nr_work; i++)
		if (!workload_done(s->work[i]))
			return false;
	return true;
}

/* Have the agents been given up since we looked last, and why? */
static void look_at_agents(struct sim *s)
{
	const struct ghost_enclave_status *es = ghost_enclave_status(s->enclave);
	bool lost = s->m->enclaves[s->id].state == GHOST_ENCLAVE_LOST;

	if (lost && !s->lost) {
		s->nr_agents_lost++;
		s->lost_reason = es->lost_reason;
	}
	s->lost = lost;
}

/* Wait in pieces, so that whoever watches sees it go on. */
static void pass(struct sim *s, struct process *p, uint64_t ns)
{
	uint64_t all = s->opt.warmup_ns + s->opt.duration_ns, end = s->m->now + ns, piece;

	while (s->m->now < end && !process_dead(p) &&
	       (!s->opt.max_events || s->m->nr_events < s->opt.max_events)) {
		piece = all / 256 + 1;
		if (piece > end - s->m->now)
			piece = end - s->m->now;
		process_wait(p, piece);
		look_at_agents(s);
		if (s->opt.progress)
			s->opt.progress(s->opt.progress_arg,
					s->m->now >= all ? 1000000 : s->m->now * 1000000 / all);
	}
}

/* As `ghost upgrade`: others get ready, those that decide end, the others take over. */
static void upgrade(struct sim *s, struct process *p)
{
	const struct ghost_enclave_status *es = ghost_enclave_status(s->enclave);
	uint32_t nr_prepared = s->nr_prepared;
	uint64_t online_ns = es->online_ns;
	struct process *old = s->agents;

	if (!old || process_ended(old) || process_dead(old) || sim_agents_start(s, NULL))
		return;
	while (s->nr_prepared == nr_prepared && !process_dead(p))
		process_wait(p, 10000);
	process_ask(old);
	for (int i = 0; i < 100000 && es->online_ns == online_ns && !process_dead(p); i++)
		process_wait(p, 10000);
	s->upgraded = es->online_ns != online_ns;
	s->undecided_ns = es->online_ns - es->fell_ns;
	s->blackout_ns = es->unscheduled_ns;
}

static int join_all(struct sim *s)
{
	int err = 0;

	for (uint32_t i = 0; i < s->opt.nr_work && !err; i++)
		for (uint32_t k = 0; k < workload_nr_threads(s->work[i]) && !err; k++)
			err = ghost_enclave_join(s->enclave, workload_tid(s->work[i], k));
	return err;
}

static void admin_main(struct process *p, void *arg)
{
	struct sim *s = arg;
	struct ghost_cpuset cpus = s->m->online;
	struct ghost_enclave_opts opts = { .size = sizeof(opts),
					   .cpus = &cpus,
					   .stall_ns = s->opt.stall_ns,
					   .fallback = s->opt.fallback };
	struct ghost_enclave_counts counts;
	uint64_t end;

	for (uint32_t cpu = s->opt.enclave_cpus; cpu && cpu < s->m->nr_cpus; cpu++)
		cpus.word[cpu / 64] &= ~(1ull << (cpu % 64));

	s->err = ghost_enclave_create(&s->enclave, process_backend(p), &opts);
	if (s->err)
		return;
	s->id = ghost_enclave_id(s->enclave);
	s->err = join_all(s);
	s->err = s->err ?: sim_agents_start(s, NULL);
	/* A machine as large as ours has its agents ready in a moment of virtual time. */
	for (int i = 0; i < 1000 && !s->err && !is_online(s) && !process_dead(p); i++)
		process_wait(p, 100000);
	if (!s->err && !is_online(s) && !process_dead(p))
		s->err = -ETIMEDOUT;
	if (!s->err) {
		for (uint32_t i = 0; i < s->opt.nr_work; i++)
			workload_go(s->work[i]);
		pass(s, p, s->opt.warmup_ns);
		measure_from_now(s);
		if (s->faults)
			faults_go(s->faults);
		end = s->m->now + s->opt.duration_ns;
		if (s->opt.upgrade_ns && s->opt.upgrade_ns < s->opt.duration_ns) {
			pass(s, p, s->opt.upgrade_ns);
			upgrade(s, p);
		}
		if (s->m->now < end)
			pass(s, p, end - s->m->now);
		measured(s);
		for (uint32_t i = 0; i < s->opt.nr_work; i++)
			workload_stop(s->work[i]);
		s->draining = true;
		if (s->faults)
			faults_end(s->faults);
		/* Nothing goes wrong any more: all that was begun must come to its end. */
		end = s->m->now + DRAIN_NS;
		while (!work_done(s) && s->m->now < end && !process_dead(p))
			process_wait(p, 1000000);
		if (!work_done(s) && !process_dead(p))
			machine_break(s->m, "threads are left that should have come to their end");
		/* The enclave may be gone, by a fault; its counts are not. */
		if (!ghost_enclave_count(s->enclave, &counts))
			s->nr_fallbacks = counts.nr[GHOST_NR_FALLBACKS];
	}
	if (s->agents && !process_ended(s->agents) && !process_dead(s->agents)) {
		process_ask(s->agents);
		for (int i = 0; i < 10000 && !process_ended(s->agents) && !process_dead(p); i++)
			process_wait(p, 1000000);
		if (!process_ended(s->agents) && !process_dead(p))
			machine_break(s->m, "the agents do not come to their end");
	}
	ghost_enclave_destroy(s->enclave);
	ghost_enclave_close(s->enclave);
	s->over = true;
	s->m->stop = true;
}

/* --- life ------------------------------------------------------------------------------------ */

static uint32_t capacity_for(const struct sim_options *o)
{
	uint32_t nr = 64;

	for (uint32_t i = 0; i < o->nr_work; i++) {
		const struct workload_kind *k = workload_kind(o->work[i].kind);
		uint32_t threads = o->work[i].threads ?: (k ? k->threads : 0) * o->cpus;

		if (o->work[i].record)
			threads = o->work[i].record->nr_threads;
		/* Storms: parents, and children up to the limit. */
		if (!strcmp(o->work[i].kind, "forks"))
			threads = threads * 10 + 256;
		nr += threads + o->cpus * 4;
	}
	return nr;
}

int sim_new(struct sim **ret, const struct sim_options *opt, const char **why)
{
	struct sim *s = calloc(1, sizeof(*s));
	struct machine_options mo;
	int err;

	*why = "no memory";
	if (!s)
		return -ENOMEM;
	s->opt = *opt;
	if (!opt->topology) {
		*why = "the number of CPUs is out of range";
		err = topology_default(s->topology, sizeof(s->topology), opt->cpus);
		if (err)
			goto fail;
	}
	mo = (struct machine_options){
		.topology = opt->topology ?: s->topology,
		.profile = opt->profile,
		.capacity = opt->capacity ?: capacity_for(opt),
		.seed = opt->seed,
		.fine = opt->fine,
		.reuse_tids = opt->reuse_tids,
		.window_ns = opt->window_ns,
		.fair_every_ns = opt->fair_every_ns,
		.fair_for_ns = opt->fair_for_ns,
	};
	err = machine_new(&s->m, &mo, why);
	if (err)
		goto fail;
	s->opt.cpus = s->m->nr_cpus;
	s->m->trace = opt->trace;
	s->m->trace_arg = opt->trace_arg;
	*why = "the work cannot be set up";
	if (opt->laws)
		err = law_new(s->m);
	for (uint32_t i = 0; i < opt->nr_work && !err; i++) {
		s->opt.work[i].cpus = s->m->nr_cpus;
		err = workload_new(&s->work[i], s->m, &s->opt.work[i]);
	}
	if (!err && opt->plan)
		err = faults_new(&s->faults, s, opt->plan);
	err = err ?: process_start(&s->admin, s->m, admin_main, s);
	if (err)
		goto fail;
	*ret = s;
	return 0;
fail:
	sim_free(s);
	return err;
}

int sim_run(struct sim *s)
{
	while (!s->m->stop && machine_step(s->m))
		;
	if (!s->over && !s->m->broken[0] && !s->err)
		machine_break(s->m, "nothing happens any more, and the run is not over");
	if (s->m->broken[0])
		return -EPROTO;
	return s->err;
}

void sim_report(struct sim *s, struct sim_report *ret)
{
	uint64_t time = s->measured_until - s->measured_from, all;
	struct sim_report r = {
		.events = s->m->nr_events,
		.trace_hash = s->m->hash,
		.duration_ns = time,
		.nr_work = s->opt.nr_work,
		.wakeup = s->wakeup,
		.nr_msgs = s->nr_trace[TRACE_MSG],
		.nr_overflows = s->nr_trace[TRACE_OVERFLOW],
		.nr_switches = s->nr_trace[TRACE_RUN],
		.nr_fallbacks = s->nr_fallbacks,
		.nr_agents_lost = s->nr_agents_lost,
		.lost_reason = s->lost_reason,
		.upgraded = s->upgraded,
		.undecided_ns = s->undecided_ns,
		.blackout_ns = s->blackout_ns,
		.end_ns = s->m->now,
	};

	for (uint32_t i = 0; i < r.nr_work; i++) {
		workload_report(s->work[i], &r.work[i]);
		r.finished += r.work[i].finished;
		hist_merge(&r.latency, r.work[i].latency);
	}
	memcpy(r.nr_txn, s->nr_txn, sizeof(r.nr_txn));
	all = time * s->m->nr_cpus;
	if (all) {
		r.throughput_rps = (unsigned __int128)r.finished * 1000000000 / time;
		r.busy_ppm = (unsigned __int128)s->busy_ns * 1000000 / all;
		r.agent_ppm = (unsigned __int128)s->agent_ns * 1000000 / all;
		r.fair_ppm = (unsigned __int128)s->fair_ns * 1000000 / all;
		r.kernel_ppm = (unsigned __int128)s->kernel_ns * 1000000 / all;
		for (uint32_t i = 0; i < r.nr_work; i++)
			r.work_ppm[i] = (unsigned __int128)r.work[i].used_ns * 1000000 / all;
	}
	if (s->m->law)
		r.laws = *law_counts(s->m);
	memcpy(r.broken, s->m->broken, sizeof(r.broken));
	*ret = r;
}

void sim_free(struct sim *s)
{
	if (!s)
		return;
	if (s->m)
		processes_free(s->m);
	if (s->faults)
		faults_free(s->faults);
	machine_free(s->m);
	for (uint32_t i = 0; i < s->opt.nr_work; i++)
		workload_free(s->work[i]);
	free(s);
}
