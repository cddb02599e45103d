// SPDX-License-Identifier: GPL-2.0-only
/*
 * Depth first through all orders: each run begins anew and follows the choices
 * of the one before, up to the last that has an alternative left.
 * In: a depth. Out: runs. Implements explore.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "libghost/agent.h"
#include "libghost/enclave.h"
#include "sim/backend.h"
#include "sim/explore.h"
#include "sim/law.h"

#define CPUS 2
#define THREADS 3
#define CHOICES_MAX 48
/* How long everything may take to come to rest after the last step. */
#define REST_NS 300000000ull

enum step_kind {
	STEP_EVENT, /* @who: type << 16 | a */
	STEP_WAKE,
	STEP_BLOCK,
	STEP_YIELD,
	STEP_SLICE,
	/* at most one per run */
	STEP_PIN,   /* @who: thread | CPU << 8 */
	STEP_FAIR,  /* @who: CPU */
	STEP_LEAVE, /* @who: thread */
	STEP_CRASH,
	STEP_DESTROY,
};

struct step {
	uint32_t kind;
	uint32_t who;
};

/* What may happen, and where it begins. */
struct setting {
	const char *name;
	uint32_t less;	/* steps less than asked for: it has more alternatives */
	uint32_t awake; /* threads that run at the start */
	bool fine;	/* agents step by step */
	bool window;	/* enqueues take time */
	bool faults;
};

static const struct setting settings[] = {
	{ "threads asleep", 0, 0, false, false, false },
	{ "two threads running", 0, 2, false, false, false },
	{ "all awake, slow enqueues", 1, 3, false, true, false },
	{ "agents step by step", 1, 1, true, false, false },
	{ "one fault", 3, 2, false, false, true },
	{ "one fault, agents step by step, slow enqueues", 4, 1, true, true, true },
};

#define NR_SETTINGS (sizeof(settings) / sizeof(settings[0]))

struct explorer {
	const struct ghost_policy *policy;
	const struct setting *set;
	struct explore_report *r;
	uint64_t params[32];

	struct machine *m;
	struct ghost_enclave *enclave;
	struct process *admin, *agents;
	uint32_t id;
	struct thread *thread[THREADS];
	enum act next[THREADS];
	bool resting; /* no more steps: threads run for a moment and block */
	bool faulted;
	int err;

	/* the path: what was chosen at each step, of how many */
	uint32_t depth;
	uint32_t chosen[64];
	uint32_t nr[64];
};

/* --- threads that do as they are told ---------------------------------------------- */

static struct explorer *the_explorer;

static struct action puppet_next(struct machine *m, struct thread *t)
{
	struct explorer *x = the_explorer;
	uint32_t i = (uintptr_t)t->data;
	enum act next = x->next[i];

	x->next[i] = ACT_RUN;
	if (next != ACT_RUN)
		return (struct action){ .act = next };
	if (x->resting)
		x->next[i] = ACT_BLOCK;
	return (struct action){ .act = ACT_RUN, .ns = x->resting ? 1000 : 1000000000 };
}

static const struct behaviour puppet = { .name = "puppet", .next = puppet_next };

/* --- the start ------------------------------------------------------------------------ */

static void agents_main(struct process *p, void *arg)
{
	struct explorer *x = arg;
	struct ghost_agents_opts opts = { .size = sizeof(opts), .params = x->params };
	struct ghost_enclave *e = NULL;
	struct ghost_agents *as = NULL;

	if (ghost_enclave_open(&e, process_backend(p), x->id))
		return;
	if (!ghost_agents_start(&as, e, x->policy, &opts)) {
		process_wait(p, SIM_FOREVER);
		ghost_agents_stop(as);
	}
	ghost_enclave_close(e);
}

static void admin_main(struct process *p, void *arg)
{
	struct explorer *x = arg;
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &x->m->online };

	x->err = ghost_enclave_create(&x->enclave, process_backend(p), &opts);
	if (x->err)
		return;
	x->id = ghost_enclave_id(x->enclave);
	for (int i = 0; i < THREADS && !x->err; i++)
		x->err = ghost_enclave_join(x->enclave, x->thread[i]->tid);
	x->err = x->err ?: process_start(&x->agents, x->m, agents_main, x);
	/* Asked for only by STEP_DESTROY; at the end it is told to end as if killed. */
	if (!process_wait(p, SIM_FOREVER))
		ghost_enclave_destroy(x->enclave);
	ghost_enclave_close(x->enclave);
}

static bool online(const struct explorer *x)
{
	return x->m->enclaves[x->id].state == GHOST_ENCLAVE_ONLINE;
}

/* The machine, its agents online and at rest. */
static int begin(struct explorer *x)
{
	struct machine_options mo = {
		.topology = "core:2 pu:1",
		.profile = profile_at(0),
		.capacity = 16,
		.seed = 1,
		.fine = x->set->fine,
		.window_ns = x->set->window ? 1 : 0,
	};
	const char *why;
	int err = machine_new(&x->m, &mo, &why);

	if (err)
		return err;
	x->resting = x->faulted = false;
	x->err = 0;
	the_explorer = x;
	err = law_new(x->m);
	for (int i = 0; i < THREADS && !err; i++) {
		x->thread[i] = thread_new(x->m, &puppet, (void *)(uintptr_t)i, 0);
		x->next[i] = ACT_RUN;
		err = x->thread[i] ? 0 : -ENOMEM;
	}
	err = err ?: process_start(&x->admin, x->m, admin_main, x);
	for (int i = 0; i < 2000 && !err && !x->err && !online(x); i++)
		machine_step(x->m);
	/* The agents look once, and park. */
	if (!err)
		machine_run(x->m, x->m->now + 100000);
	for (uint32_t i = 0; i < x->set->awake && !err; i++)
		thread_wake(x->m, x->thread[i]);
	if (x->set->awake && !err)
		machine_run(x->m, x->m->now + 100000);
	return err ?: x->err ?: online(x) ? 0 : -ETIMEDOUT;
}

static void end(struct explorer *x)
{
	if (x->m) {
		processes_free(x->m);
		machine_free(x->m);
	}
	x->m = NULL;
}

/* --- what can come next --------------------------------------------------------------------- */

/* Is it an event that still means something, and whose time is ours to choose? */
static bool is_choice(const struct explorer *x, const struct event *e)
{
	const struct machine *m = x->m;
	const struct thread *t;

	switch (e->type) {
	case EV_RUN:
		t = m->cpu[e->a].cur;
		return t && m->cpu[e->a].gen == e->b && (t->agent || t->killed);
	case EV_RESCHED:
		return m->cpu[e->a].resched_at == e->time && !m->cpu[e->a].locked;
	case EV_INSERT:
		t = thread_by_tid(m, e->a);
		return t && t->place == PLACE_ARRIVES;
	case EV_REENQUEUE:
	case EV_CALL:
		return true;
	default:
		return false; /* the heartbeat comes after */
	}
}

static void add(struct step *steps, uint32_t *nr, uint32_t kind, uint32_t who)
{
	for (uint32_t i = 0; i < *nr; i++)
		if (steps[i].kind == kind && steps[i].who == who)
			return;
	if (*nr < CHOICES_MAX)
		steps[(*nr)++] = (struct step){ kind, who };
}

static uint32_t choices(const struct explorer *x, struct step *steps)
{
	const struct machine *m = x->m;
	bool untouched = false;
	uint32_t nr = 0;

	for (uint32_t i = 0; i < m->nr_heap; i++)
		if (is_choice(x, &m->heap[i]))
			add(steps, &nr, STEP_EVENT, m->heap[i].type << 16 | m->heap[i].a);
	for (uint32_t i = 0; i < THREADS; i++) {
		const struct thread *t = x->thread[i];

		if (t->place == PLACE_ASLEEP) {
			/* Those that never ran are all the same. */
			if (!untouched || t->runtime_ns)
				add(steps, &nr, STEP_WAKE, i);
			untouched |= !t->runtime_ns;
		} else if (t->place == PLACE_RUNS && m->cpu[t->cpu].cur == t) {
			add(steps, &nr, STEP_BLOCK, i);
			if (t->class_ != CLASS_EXT)
				continue;
			add(steps, &nr, STEP_YIELD, i);
			add(steps, &nr, STEP_SLICE, i);
		}
	}
	if (!x->set->faults || x->faulted)
		return nr;
	for (uint32_t i = 0; i < THREADS; i++) {
		add(steps, &nr, STEP_PIN, i | 1 << 8);
		if (x->thread[i]->class_ == CLASS_EXT)
			add(steps, &nr, STEP_LEAVE, i);
	}
	for (uint32_t cpu = 0; cpu < CPUS; cpu++)
		add(steps, &nr, STEP_FAIR, cpu);
	add(steps, &nr, STEP_CRASH, 0);
	add(steps, &nr, STEP_DESTROY, 0);
	return nr;
}

/* --- making a step ------------------------------------------------------------------------------ */

static void act_now(struct explorer *x, uint32_t i, enum act what)
{
	struct thread *t = x->thread[i];

	x->next[i] = what;
	t->left_ns = 0;
	cpu_run_end(x->m, t->cpu);
}

static void make(struct explorer *x, const struct step *s)
{
	struct machine *m = x->m;
	struct ghost_cpuset one = { 0 };
	struct thread *t;

	m->now++;
	if (s->kind >= STEP_PIN)
		x->faulted = true;
	m->this_thread = NULL;
	m->this_cpu = 0;
	switch (s->kind) {
	case STEP_EVENT:
		for (uint32_t i = 0; i < m->nr_heap; i++)
			if (is_choice(x, &m->heap[i]) &&
			    (m->heap[i].type << 16 | m->heap[i].a) == s->who) {
				machine_take(m, i);
				break;
			}
		return;
	case STEP_WAKE:
		t = x->thread[s->who];
		m->this_cpu = t->cpu;
		thread_wake(m, t);
		break;
	case STEP_BLOCK:
		act_now(x, s->who, ACT_BLOCK);
		break;
	case STEP_YIELD:
		act_now(x, s->who, ACT_YIELD);
		break;
	case STEP_SLICE:
		t = x->thread[s->who];
		t->slice_ns = 0;
		cpu_schedule(m, t->cpu);
		break;
	case STEP_PIN:
		ghost_cpuset_add(&one, s->who >> 8);
		thread_affinity(m, x->thread[s->who & 0xff], &one);
		break;
	case STEP_FAIR:
		cpu_fair_burst(m, s->who, 1000);
		break;
	case STEP_LEAVE:
		thread_set_class(m, x->thread[s->who], CLASS_FAIR);
		break;
	case STEP_CRASH:
		if (x->agents)
			process_kill(x->agents);
		break;
	case STEP_DESTROY:
		process_ask(x->admin);
		break;
	}
	law_check(m);
}

/* Everything goes on in order of time until nobody has anything to do. */
static void come_to_rest(struct explorer *x)
{
	struct machine *m = x->m;

	x->resting = true;
	for (uint32_t i = 0; i < THREADS; i++) {
		struct thread *t = x->thread[i];

		x->next[i] = ACT_BLOCK;
		if (t->place == PLACE_ASLEEP)
			continue;
		t->left_ns = 1000;
		if (t->place == PLACE_RUNS && m->cpu[t->cpu].cur == t)
			machine_post(m, m->now + 2000, EV_RUN, t->cpu, ++m->cpu[t->cpu].gen);
	}
	machine_run(m, m->now + REST_NS);
	for (uint32_t i = 0; i < THREADS; i++)
		if (x->thread[i]->place != PLACE_ASLEEP)
			machine_break(m, "thread %u woke and never ran", x->thread[i]->tid);
}

/* --- all runs ----------------------------------------------------------------------------------------- */

static void tell(struct explorer *x, const struct step *steps, uint32_t nr)
{
	static const char *const events[] = {
		[EV_RUN] = "runs on",
		[EV_RESCHED] = "looks:",
		[EV_TIMER] = "timer",
		[EV_INSERT] = "arrives:",
		[EV_REENQUEUE] = "re-enqueue",
		[EV_REENQ_LOCAL] = "taken back from",
		[EV_HEARTBEAT] = "heartbeat",
		[EV_ALARM] = "alarm",
		[EV_SLICE] = "slice timer",
		[EV_TICK] = "tick",
		[EV_FAIR] = "fair",
		[EV_CALL] = "process",
	};
	static const char *const kinds[] = { "event", "wake", "block", "yield", "slice end",
					     "pin",   "fair", "leave", "crash", "destroy" };
	size_t n = snprintf(x->r->steps, sizeof(x->r->steps), "[%s]", x->set->name);

	for (uint32_t i = 0; i < nr && n < sizeof(x->r->steps); i++) {
		const struct step *s = &steps[i];

		if (s->kind == STEP_EVENT)
			n += snprintf(x->r->steps + n, sizeof(x->r->steps) - n, " %s %u;",
				      events[s->who >> 16], s->who & 0xffff);
		else
			n += snprintf(x->r->steps + n, sizeof(x->r->steps) - n, " %s %u;",
				      kinds[s->kind], s->who);
	}
	snprintf(x->r->broken, sizeof(x->r->broken), "%s", x->m->broken);
}

/* One run along the path, which becomes as long as it gets. Returns 0, -EPROTO, ... */
static int run_path(struct explorer *x, uint32_t known)
{
	struct step steps[CHOICES_MAX], made[64];
	uint32_t i, nr;
	int err = begin(x);

	for (i = 0; !err && i < x->depth && !x->m->broken[0]; i++) {
		nr = choices(x, steps);
		if (!nr)
			break;
		if (i >= known)
			x->chosen[i] = 0;
		x->nr[i] = nr;
		if (nr > x->r->longest)
			x->r->longest = nr;
		made[i] = steps[x->chosen[i]];
		make(x, &made[i]);
		x->r->nr_steps++;
	}
	for (uint32_t k = i; k < x->depth; k++)
		x->nr[k] = 0;
	if (!err && !x->m->broken[0])
		come_to_rest(x);
	if (!err && x->m->broken[0]) {
		tell(x, made, i);
		err = -EPROTO;
	}
	end(x);
	x->r->runs++;
	return err;
}

/* The part of all orders that lies before this one. */
static uint32_t part(const struct explorer *x, size_t setting)
{
	double p = 0, width = 1;

	for (uint32_t i = 0; i < x->depth && i < 8 && x->nr[i]; i++) {
		width /= x->nr[i];
		p += width * x->chosen[i];
	}
	return (setting + p) * 1e6 / NR_SETTINGS;
}

int explore(struct explore_report *ret, const struct ghost_policy *policy, uint32_t depth,
	    void (*progress)(void *arg, uint32_t ppm), void *arg)
{
	struct explorer x = { .policy = policy, .r = ret };
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	/* No slice ends by itself: that is a step. */
	for (uint32_t i = 0; policy->params && policy->params[i].name; i++)
		x.params[i] = policy->params[i].type == GHOST_PARAM_NS ? policy->params[i].max :
									 policy->params[i].value;
	for (size_t i = 0; i < NR_SETTINGS && !err; i++) {
		uint32_t known = 0, at;

		x.set = &settings[i];
		x.depth = depth > x.set->less ? depth - x.set->less : 1;
		if (x.depth > 64)
			x.depth = 64;
		ret->configurations++;
		for (;;) {
			err = run_path(&x, known);
			if (err)
				break;
			/* The last step that has an alternative left. */
			for (at = x.depth; at; at--)
				if (x.chosen[at - 1] + 1 < x.nr[at - 1])
					break;
			if (!at)
				break;
			x.chosen[at - 1]++;
			known = at;
			if (progress && ret->runs % 256 == 0)
				progress(arg, part(&x, i));
		}
	}
	return err;
}
