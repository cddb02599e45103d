// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kinds of work, each a behaviour of a few lines.
 * In: options. Out: what each thread does next. Implements workload.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/record.h"
#include "sim/workload.h"

struct request {
	uint64_t arrived;
	uint64_t service_ns;
	struct thread *client; /* who waits for it; NULL: nobody of ours */
};

struct workload {
	struct machine *m;
	const struct workload_kind *kind;
	struct workload_options opt;
	struct random random;
	uint32_t *tids;
	uint32_t nr;
	uint32_t nr_live; /* threads of it that there are */
	uint32_t call;
	uint64_t gap_ns; /* mean time between arrivals */
	bool going;
	bool stopping;

	/* requests that nobody has taken yet: a ring */
	struct request *queue;
	uint64_t head, tail;
	uint64_t size;
	/* workers that have nothing to do, the last one first: it is the warmest */
	struct thread **idle;
	uint32_t nr_idle;

	uint64_t started, finished, missed, cpu_ns;
	uint64_t gone_ns; /* CPU time of threads that are gone */
	uint64_t used_ns; /* CPU time when the measuring began */
	uint64_t in_time; /* finished before it was told to stop */
	struct hist latency;
};

/* What a thread knows; each kind uses what it needs. */
struct job {
	struct workload *w;
	struct request request;
	struct thread *partner;
	uint64_t next_ns; /* when it is to begin again */
	uint64_t period_ns;
	uint64_t service_ns;
	uint32_t state;
	uint32_t index;
	uint32_t tokens;
};

/* The thread that was made as the @index-th, or NULL: its number may be another's by now. */
static struct thread *thread_of(const struct workload *w, uint32_t index)
{
	struct thread *t = thread_by_tid(w->m, w->tids[index]);

	return t && t->data && !t->agent && ((struct job *)t->data)->w == w ? t : NULL;
}

static struct action run(uint64_t ns)
{
	return (struct action){ .act = ACT_RUN, .ns = ns ? ns : 1 };
}

static struct action block(void)
{
	return (struct action){ .act = ACT_BLOCK };
}

static struct action leave(void)
{
	return (struct action){ .act = ACT_EXIT };
}

static uint64_t draw(struct workload *w)
{
	return dist_draw(&w->opt.service, &w->random);
}

/* What @t, of those that give hints, says of what it does next. */
static void say(struct workload *w, struct thread *t, uint32_t flags, uint64_t deadline_ns,
		uint64_t expected_ns)
{
	struct ghost_hint_entry hint = {
		.class_ = w->opt.hint_class,
		.flags = flags,
		.deadline_ns = deadline_ns,
		.expected_ns = expected_ns,
	};

	if (w->opt.hints)
		thread_hint(w->m, t, &hint);
}

static void job_gone(struct machine *m, struct thread *t)
{
	struct job *j = t->data;

	j->w->nr_live--;
	j->w->gone_ns += t->runtime_ns;
	free(j);
}

static struct thread *spawn(struct workload *w, const struct behaviour *b, uint32_t index)
{
	struct job *j = calloc(1, sizeof(*j));
	struct thread *t = j ? thread_new(w->m, b, j, 0) : NULL;

	if (!t) {
		free(j);
		return NULL;
	}
	j->w = w;
	j->index = index;
	t->nice = w->opt.nice;
	w->tids[w->nr++] = t->tid;
	w->nr_live++;
	say(w, t, 0, 0, 0);
	return t;
}

/* Something is done that was begun, or should have been, at @since. */
static void finished(struct workload *w, struct thread *t, uint64_t since)
{
	uint64_t ns = w->m->now - since;

	w->finished++;
	hist_add(&w->latency, ns);
	machine_trace(w->m, TRACE_REQUEST, t->cpu, t, ns);
}

/* --- requests and workers ------------------------------------------------------------ */

static void request_push(struct workload *w, struct request r)
{
	struct thread *t;

	w->started++;
	w->cpu_ns += r.service_ns;
	if (w->nr_idle) {
		t = w->idle[--w->nr_idle];
		((struct job *)t->data)->request = r;
		((struct job *)t->data)->state = 1;
		say(w, t, GHOST_HINT_RUNNABLE, 0, r.service_ns);
		thread_wake(w->m, t);
		return;
	}
	if (w->head - w->tail == w->size) {
		uint64_t size = w->size ? w->size * 2 : 1024;
		struct request *queue = malloc(size * sizeof(*queue));

		if (!queue) {
			machine_break(w->m, "no memory for requests");
			return;
		}
		for (uint64_t i = w->tail; i != w->head; i++)
			queue[i % size] = w->queue[i % w->size];
		free(w->queue);
		w->queue = queue;
		w->size = size;
	}
	w->queue[w->head++ % w->size] = r;
}

static struct action worker_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	switch (j->state) {
	case 1: /* was given one */
		j->state = 2;
		return run(j->request.service_ns);
	case 2: /* has done it */
		finished(w, t, j->request.arrived);
		if (j->request.client)
			thread_wake(m, j->request.client);
		break;
	}
	if (w->head != w->tail) {
		j->request = w->queue[w->tail++ % w->size];
		j->state = 2;
		say(w, t, GHOST_HINT_RUNNABLE, 0, j->request.service_ns);
		return run(j->request.service_ns);
	}
	if (w->stopping)
		return leave();
	/* It may have woken for no reason, as from a futex. */
	if (j->state != 3)
		w->idle[w->nr_idle++] = t;
	j->state = 3;
	say(w, t, GHOST_HINT_IDLE, 0, 0);
	return block();
}

static void worker_gone(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	/* Killed while it was idle, or with a request in its hands, which another one takes. */
	for (uint32_t i = 0; !m->stop && i < w->nr_idle; i++)
		if (w->idle[i] == t)
			w->idle[i] = w->idle[--w->nr_idle];
	if ((j->state == 1 || j->state == 2) && !m->stop && !w->stopping) {
		w->started--;
		w->cpu_ns -= j->request.service_ns;
		request_push(w, j->request);
	}
	job_gone(m, t);
}

static const struct behaviour worker = { "worker", worker_next, NULL, worker_gone };

/* Requests come from outside, whether or not anybody keeps up. */
static void arrive(struct machine *m, void *arg)
{
	struct workload *w = arg;
	uint32_t nr = 1;
	uint64_t gap = w->gap_ns;

	if (w->stopping)
		return;
	if (w->opt.burst > 1) {
		nr = random_between(&w->random, 1, 2 * w->opt.burst - 1);
		gap *= w->opt.burst;
	}
	/* The interrupt comes to any CPU. */
	m->this_cpu = random_below(&w->random, m->nr_cpus);
	while (nr--)
		request_push(w, (struct request){ .arrived = m->now, .service_ns = draw(w) });
	machine_post(m, m->now + random_exponential(&w->random, gap), EV_CALL, w->call, 0);
}

static void open_go(struct workload *w)
{
	/* Load 1.0 keeps all CPUs busy with the requests alone. */
	uint64_t mean = dist_mean(&w->opt.service);

	if (w->opt.rate)
		w->gap_ns = 1000000000 / w->opt.rate;
	else
		w->gap_ns = (unsigned __int128)mean * 1000000 / w->opt.cpus /
			    (w->opt.load_ppm ? w->opt.load_ppm : 1);
	if (!w->gap_ns)
		w->gap_ns = 1;
	machine_post(w->m, w->m->now + random_exponential(&w->random, w->gap_ns), EV_CALL, w->call,
		     0);
}

/* --- closed loops: somebody thinks, asks, waits ------------------------------------------ */

static struct action client_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	if (w->stopping)
		return leave();
	switch (j->state) {
	case 0: /* has the answer, or begins: think */
		j->state = 1;
		return (struct action){ .act = ACT_SLEEP,
					.ns = random_exponential(&w->random, 200000) };
	case 1: /* write the question */
		j->state = 2;
		return run(2000);
	default:
		j->state = 0;
		request_push(w, (struct request){
					.arrived = m->now, .service_ns = draw(w), .client = t });
		return block();
	}
}

static void client_gone(struct machine *m, struct thread *t)
{
	struct workload *w = ((struct job *)t->data)->w;

	/* Nobody answers the dead. */
	for (uint64_t i = w->tail; !m->stop && i != w->head; i++)
		if (w->queue[i % w->size].client == t)
			w->queue[i % w->size].client = NULL;
	for (uint32_t i = 0; !m->stop && i < w->nr; i++) {
		struct thread *other = thread_of(w, i);
		struct job *j = other ? other->data : NULL;

		if (j && j->request.client == t)
			j->request.client = NULL;
	}
	job_gone(m, t);
}

static const struct behaviour client = { "client", client_next, NULL, client_gone };

/* --- one after the other ---------------------------------------------------------------------- */

static struct action pingpong_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	switch (j->state) {
	case 0:
		/* The first one of a pair serves. */
		j->state = j->index % 2 ? 2 : 1;
		return j->state == 2 ? block() : run(w->opt.has_service ? draw(w) : 1000);
	case 1:
		j->state = 2;
		w->started++;
		w->finished++;
		if (j->partner)
			thread_wake(m, j->partner);
		if (w->stopping)
			return leave();
		return block();
	default:
		j->state = 1;
		return run(w->opt.has_service ? draw(w) : 1000);
	}
}

static void partner_gone(struct machine *m, struct thread *t)
{
	struct job *j = t->data;

	if (j->partner && !m->stop) {
		((struct job *)j->partner->data)->partner = NULL;
		thread_kill(m, j->partner);
	}
	job_gone(m, t);
}

static const struct behaviour pingpong = { "pingpong", pingpong_next, NULL, partner_gone };

/* Each stage works on an item and hands it on; few items are under way at a time. */
#define PIPELINE_STAGES 4
#define PIPELINE_ITEMS 6

static struct action stage_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	if (j->state) {
		struct job *next = j->partner ? j->partner->data : NULL;

		j->state = 0;
		j->tokens--;
		if (next) {
			next->tokens++;
			if (next->index % PIPELINE_STAGES == 0) {
				w->started++;
				finished(w, t, next->next_ns);
				next->next_ns = m->now;
			}
			thread_wake(m, j->partner);
		}
	}
	if (w->stopping)
		return leave();
	if (!j->tokens)
		return block();
	j->state = 1;
	return run(draw(w));
}

static void stage_gone(struct machine *m, struct thread *t)
{
	struct workload *w = ((struct job *)t->data)->w;

	for (uint32_t i = 0; !m->stop && i < w->nr; i++) {
		struct thread *other = thread_of(w, i);

		if (other && ((struct job *)other->data)->partner == t)
			((struct job *)other->data)->partner = NULL;
	}
	job_gone(m, t);
}

static const struct behaviour stage = { "stage", stage_next, NULL, stage_gone };

/* --- time and endurance -------------------------------------------------------------------------- */

static struct action periodic_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	if (j->state == 1) {
		/* The work of one period is done; was it in time? */
		finished(w, t, j->next_ns);
		w->missed += m->now > j->next_ns + j->period_ns;
		j->next_ns += j->period_ns;
	} else if (!j->next_ns) {
		j->next_ns = m->now;
	}
	if (w->stopping)
		return leave();
	say(w, t, GHOST_HINT_RUNNABLE, j->next_ns + j->period_ns, j->service_ns);
	if (m->now < j->next_ns) {
		j->state = 0;
		return (struct action){ .act = ACT_SLEEP, .ns = j->next_ns - m->now };
	}
	j->state = 1;
	w->started++;
	w->cpu_ns += j->service_ns;
	return run(j->service_ns);
}

static const struct behaviour periodic = { "periodic", periodic_next, NULL, job_gone };

static struct action hog_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	w->finished += j->state;
	j->state = 1;
	if (w->stopping)
		return leave();
	w->started++;
	return run(draw(w));
}

static const struct behaviour hog = { "hog", hog_next, NULL, job_gone };

/* A virtual CPU computes until its guest halts; some halts end with an interrupt from its twin. */
static struct action vcpu_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	if (w->stopping)
		return leave();
	if (!j->state) {
		j->state = 1;
		w->started++;
		return run(draw(w));
	}
	j->state = 0;
	w->finished++;
	if (j->partner && random_chance(&w->random, 500000))
		thread_wake(m, j->partner);
	return (struct action){ .act = ACT_SLEEP, .ns = random_exponential(&w->random, 200000) };
}

static const struct behaviour vcpu = { "vcpu", vcpu_next, NULL, partner_gone };

/* --- storms of children ------------------------------------------------------------------------------ */

static struct action child_next(struct machine *m, struct thread *t);
static const struct behaviour child = { "child", child_next, NULL, job_gone };

static void bear(struct machine *m, struct workload *w, uint32_t generation)
{
	struct job *j = calloc(1, sizeof(*j));
	struct thread *t;

	if (!j)
		return;
	j->w = w;
	j->index = generation;
	j->request.arrived = m->now;
	w->nr_live++;
	w->started++;
	t = thread_fork(m, &child, j);
	if (t)
		return;
	w->nr_live--;
	free(j);
}

static struct action child_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	if (!j->state++)
		return run(draw(w));
	if (j->index < 3 && w->nr_live < 8 * w->nr + 64 && random_chance(&w->random, 200000))
		bear(m, w, j->index + 1);
	finished(w, t, j->request.arrived);
	return leave();
}

static struct action parent_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;

	if (w->stopping)
		return leave();
	if (j->state ^= 1)
		return run(1 + random_exponential(&w->random, 5000));
	if (w->nr_live < 8 * w->nr + 64)
		bear(m, w, 1);
	return (struct action){ .act = ACT_SLEEP,
				.ns = 1 + random_exponential(&w->random, 100000) };
}

static const struct behaviour parent = { "parent", parent_next, NULL, job_gone };

/* --- what was recorded elsewhere ------------------------------------------------------------------------ */

static struct action replay_next(struct machine *m, struct thread *t)
{
	struct job *j = t->data;
	struct workload *w = j->w;
	const struct record_thread *rt = &w->opt.record->threads[j->index];
	const struct record_step *step;

	if (j->state && j->state % 2 == 0)
		finished(w, t, j->next_ns);
	if (j->state / 2 >= rt->nr_steps || w->stopping)
		return leave();
	step = &rt->steps[j->state / 2];
	if (j->state++ % 2 == 0) {
		j->next_ns = m->now + step->sleep_ns;
		if (step->sleep_ns)
			return (struct action){ .act = ACT_SLEEP, .ns = step->sleep_ns };
		j->state++;
	}
	w->started++;
	w->cpu_ns += step->run_ns;
	/* Odd states run; an even one begins the next step. */
	if (j->state % 2)
		j->state++;
	return run(step->run_ns);
}

static const struct behaviour replay = { "replay", replay_next, NULL, job_gone };

/* --- the table ---------------------------------------------------------------------------------------------- */

const struct workload_kind workload_kinds[] = {
	{ "dispersive", "open loop: most requests short, few very long, to a pool of workers",
	  "99.5%4us+0.5%10ms", true, 4 },
	{ "openloop", "open loop: requests of one size, to a pool of workers", "exp:50us", true,
	  4 },
	{ "closed", "closed loop: clients that think, ask a server's threads, wait", "exp:20us",
	  false, 4 },
	{ "pingpong", "pairs of threads that wake each other in turn", "1us", false, 0 },
	{ "pipeline", "items that go from stage to stage", "exp:20us", false, 0 },
	{ "periodic", "threads that must do their work once per period", "uniform:50us-500us",
	  false, 2 },
	{ "hogs", "threads that only compute", "1ms", false, 2 },
	{ "forks", "parents whose children come, have children, and go", "exp:50us", false, 1 },
	{ "vcpus", "pairs of virtual CPUs that compute, halt and interrupt each other", "exp:500us",
	  false, 2 },
	{ "replay", "what was recorded: --replay FILE", "1us", false, 0 },
	{ 0 },
};

const struct workload_kind *workload_kind(const char *name)
{
	for (const struct workload_kind *k = workload_kinds; k->name; k++)
		if (!strcmp(k->name, name))
			return k;
	return NULL;
}

static bool is(const struct workload *w, const char *name)
{
	return !strcmp(w->kind->name, name);
}

static uint32_t default_threads(const struct workload *w)
{
	if (w->kind->threads)
		return w->kind->threads * w->opt.cpus;
	if (is(w, "replay"))
		return w->opt.record->nr_threads;
	return is(w, "pipeline") ? PIPELINE_STAGES * ((w->opt.cpus + 1) / 2) : 2;
}

static struct job *job_of(struct workload *w, uint32_t index)
{
	return thread_by_tid(w->m, w->tids[index])->data;
}

/* Threads that know each other. */
static void introduce(struct workload *w)
{
	for (uint32_t i = 0; i < w->nr; i++) {
		struct job *j = job_of(w, i);
		uint32_t first;

		if (is(w, "pingpong") || is(w, "vcpus")) {
			if ((i ^ 1) < w->nr)
				j->partner = thread_by_tid(w->m, w->tids[i ^ 1]);
		} else if (is(w, "pipeline")) {
			first = i - i % PIPELINE_STAGES;
			j->partner = thread_by_tid(
				w->m,
				w->tids[i % PIPELINE_STAGES == PIPELINE_STAGES - 1 || i + 1 == w->nr ?
						first :
						i + 1]);
			j->tokens = i == first ? PIPELINE_ITEMS : 0;
		} else if (is(w, "periodic")) {
			static const uint32_t periods_us[] = { 1000, 2000, 5000, 10000 };

			j->period_ns = periods_us[i % 4] * 1000ull;
			j->service_ns = draw(w) * (i % 4 + 1) / 2;
		}
	}
}

int workload_new(struct workload **ret, struct machine *m, const struct workload_options *opt)
{
	struct workload *w = calloc(1, sizeof(*w));
	const struct behaviour *b = &worker;
	const char *why;
	uint32_t nr;

	if (!w)
		return -ENOMEM;
	w->m = m;
	w->opt = *opt;
	w->kind = workload_kind(opt->kind);
	if (!w->kind || (is(w, "replay") && !opt->record)) {
		free(w);
		return -EINVAL;
	}
	w->random = random_fork(&m->random);
	if (!opt->has_service)
		dist_parse(&w->opt.service, w->kind->service, &why);
	nr = opt->threads ? opt->threads : default_threads(w);
	if (is(w, "replay"))
		nr = opt->record->nr_threads;
	/* Halves of pairs make no sense. */
	if (is(w, "pingpong") || is(w, "closed"))
		nr += nr % 2;
	w->tids = calloc(nr, sizeof(*w->tids));
	w->idle = calloc(nr, sizeof(struct thread *));
	if (!w->tids || !w->idle) {
		workload_free(w);
		return -ENOMEM;
	}
	if (is(w, "pingpong"))
		b = &pingpong;
	else if (is(w, "pipeline"))
		b = &stage;
	else if (is(w, "periodic"))
		b = &periodic;
	else if (is(w, "hogs"))
		b = &hog;
	else if (is(w, "forks"))
		b = &parent;
	else if (is(w, "vcpus"))
		b = &vcpu;
	else if (is(w, "replay"))
		b = &replay;
	for (uint32_t i = 0; i < nr; i++)
		if (!spawn(w, is(w, "closed") && i % 2 ? &client : b, i)) {
			workload_free(w);
			return -ENOMEM;
		}
	introduce(w);
	w->call = machine_call(m, arrive, w);
	*ret = w;
	return 0;
}

void workload_free(struct workload *w)
{
	if (!w)
		return;
	free(w->queue);
	free(w->tids);
	free(w->idle);
	free(w);
}

uint32_t workload_nr_threads(const struct workload *w)
{
	return w->nr;
}

uint32_t workload_tid(const struct workload *w, uint32_t index)
{
	return w->tids[index];
}

void workload_go(struct workload *w)
{
	w->going = true;
	/* All take their first step: workers find nothing to do and wait. */
	for (uint32_t i = 0; i < w->nr; i++) {
		struct thread *t = thread_of(w, i);

		if (t)
			thread_wake(w->m, t);
	}
	if (w->kind->open_loop)
		open_go(w);
}

/* All that its threads have had of CPUs, children too. */
static uint64_t used_ns(const struct workload *w)
{
	const struct machine *m = w->m;
	uint64_t sum = w->gone_ns;

	for (uint32_t tid = 1; tid < m->nr_threads; tid++) {
		const struct thread *t = m->threads[tid];

		if (!t || t->agent || !t->data || ((const struct job *)t->data)->w != w)
			continue;
		sum += t->runtime_ns;
		/* And what is not in its books yet. */
		if (m->cpu[t->cpu].cur == t && m->now > m->cpu[t->cpu].run_from)
			sum += m->now - m->cpu[t->cpu].run_from;
	}
	return sum;
}

void workload_stop(struct workload *w)
{
	w->stopping = true;
	w->in_time = w->finished;
	w->used_ns = used_ns(w) - w->used_ns;
	/* Those that sleep leave, too. */
	for (uint32_t i = 0; i < w->nr; i++) {
		struct thread *t = thread_of(w, i);

		if (t)
			thread_wake(w->m, t);
	}
	w->nr_idle = 0;
}

void workload_reset(struct workload *w)
{
	w->used_ns = used_ns(w);
	/* What is under way is finished later and counts then. */
	w->started -= w->finished;
	w->finished = 0;
	w->missed = 0;
	w->cpu_ns = 0;
	memset(&w->latency, 0, sizeof(w->latency));
}

bool workload_done(const struct workload *w)
{
	return !w->nr_live;
}

void workload_report(const struct workload *w, struct workload_report *ret)
{
	*ret = (struct workload_report){
		.kind = w->kind->name,
		.what = is(w, "hogs")	  ? "chunks" :
			is(w, "pingpong") ? "hand-overs" :
			is(w, "forks")	  ? "children" :
			is(w, "pipeline") ? "items" :
			is(w, "periodic") ? "periods" :
			is(w, "vcpus")	  ? "halts" :
			is(w, "replay")	  ? "steps" :
					    "requests",
		.threads = w->nr,
		.started = w->started,
		.finished = w->stopping ? w->in_time : w->finished,
		.missed = w->missed,
		.cpu_ns = w->cpu_ns,
		.used_ns = w->stopping ? w->used_ns : 0,
		.nice = w->opt.nice,
		.latency = &w->latency,
	};
}
