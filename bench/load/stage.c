// SPDX-License-Identifier: GPL-2.0-only
/*
 * An enclave made by hand: agents, actors, messages, commits.
 * In, out, called by: see stage.h.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/stage.h"
#include "libghost/kernel.h"
#include "libghost/queue.h"

/* Enough for what an enclave of this size makes; a small table is loaded sooner. */
#define CAPACITY 1024
#define QUEUE_LEN 1024
#define PATIENCE_NS 60000000000ull
/* Turns between two looks at the clock. */
#define CLOCK_TURNS 1024
/* Never over while it is measured: each commit starts the timer anew. */
#define TIMED_SLICE_NS 1000000000ull

static struct stage *current;
static volatile sig_atomic_t interrupted;

uint64_t stage_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void stage_futex_wait(uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

void stage_futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void stage_die(int status, const char *format, ...)
{
	struct stage *s = current;
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	/* Once: what fails while it is taken down must not begin again. */
	current = NULL;
	if (s)
		stage_unload(s);
	exit(status);
}

/* --- the kernel side ---------------------------------------------------------------- */

static void interrupt(int signal)
{
	interrupted = signal;
}

void stage_load(struct stage *s)
{
	struct sigaction action = { .sa_handler = interrupt };
	char why[512] = "";
	int err;

	err = ghost_kernel_load(CAPACITY, why, sizeof(why));
	if (err && err != -EEXIST)
		stage_die(err == -EPERM	     ? 4 :
			  err == -EOPNOTSUPP ? 3 :
					       1,
			  "cannot load the kernel side: %s", why[0] ? why : strerror(-err));
	s->loaded = !err;
	current = s;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	err = ghost_kernel_open(&s->backend, why, sizeof(why));
	if (err)
		stage_die(err == -EPERM ? 4 : 1, "cannot open the kernel side: %s", why);
	s->actor = mmap(NULL, STAGE_ACTORS_MAX * sizeof(*s->actor), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->actor == MAP_FAILED) {
		s->actor = NULL;
		stage_die(1, "mmap: %s", strerror(errno));
	}
}

void stage_unload(struct stage *s)
{
	char why[512];

	stage_close(s);
	if (s->actor)
		munmap(s->actor, STAGE_ACTORS_MAX * sizeof(*s->actor));
	s->actor = NULL;
	if (s->backend)
		s->backend->close(s->backend);
	s->backend = NULL;
	if (s->loaded && ghost_kernel_unload(why, sizeof(why)))
		fprintf(stderr, "%s: cannot unload the kernel side: %s\n",
			program_invocation_short_name, why);
	s->loaded = false;
	current = NULL;
}

/* --- messages --------------------------------------------------------------------------- */

static struct actor *find(struct stage *s, uint32_t slot)
{
	for (uint32_t i = 0; slot && i < s->nr_actors; i++)
		if (s->actor[i].slot == slot)
			return &s->actor[i];
	return NULL;
}

/* What @m says of its actor. The times first, the flags last. */
static void news(struct stage *s, const struct ghost_msg *m, uint64_t got_ns)
{
	struct actor *a = find(s, m->slot);

	if (!a)
		return;
	a->seq = m->seq;
	a->event = m->type;
	a->event_ns = m->time_ns;
	a->got_ns = got_ns;
	switch (m->type) {
	case GHOST_MSG_TASK_NEW:
		if (!(m->flags & GHOST_MSG_RUNNABLE))
			break;
		/* fallthrough */
	case GHOST_MSG_TASK_WAKEUP:
		/* It slept in the middle of its turn: for a lock, or a page. */
		if (a->put == ghost_load_acquire(&a->go))
			a->disturbed++;
		ghost_store_release(&a->asleep, 0);
		ghost_store_release(&a->lost, a->put == a->go);
		ghost_store_release(&a->waits, 1);
		break;
	case GHOST_MSG_TASK_BLOCKED:
		ghost_store_release(&a->waits, 0);
		ghost_store_release(&a->lost, 0);
		ghost_store_release(&a->asleep, 1);
		break;
	case GHOST_MSG_TASK_PREEMPT:
	case GHOST_MSG_TASK_YIELD:
	case GHOST_MSG_TASK_LATCH_FAILURE:
		a->disturbed++;
		ghost_store_release(&a->waits, 1);
		ghost_store_release(&a->lost, 1);
		break;
	}
}

static void drain(struct stage *s, uint32_t queue)
{
	struct ghost_msg m;

	while (ghost_queue_pop(s->mem, queue, &m))
		news(s, &m, stage_now_ns());
}

/* --- commits ---------------------------------------------------------------------------- */

void stage_ask(struct stage *s, struct ghost_ctl *ctl)
{
	int err = s->backend->agent(s->backend, ctl);

	err = err ?: ctl->ret;
	if (err)
		stage_die(1, "request %u was refused: %s", ctl->op, strerror(-err));
}

void stage_write(struct ghost_txn *txn, const struct actor *a)
{
	txn->slot = a->slot;
	txn->task_seq = a->seq;
	txn->slice_ns = GHOST_SLICE_INF;
	/* The agent there has nothing to learn from it. */
	txn->flags = GHOST_COMMIT_ELIDE_AGENT_SEQ;
	if (a->timed) {
		txn->slice_ns = TIMED_SLICE_NS;
		txn->flags |= GHOST_RUN_SLICE_TIMER;
	}
	txn->ping_cpu = GHOST_CPU_NONE;
	ghost_store_release(&txn->state, GHOST_TXN_READY);
}

bool stage_settle(struct stage *s, struct actor *a)
{
	uint32_t state = ghost_load_acquire(&s->mem->cpu_rw[a->cpu].txn.state);

	if (state == GHOST_TXN_COMMITTED)
		return true;
	a->disturbed++;
	a->lost = 1;
	return false;
}

static bool available(const struct stage *s, uint32_t cpu)
{
	return __atomic_load_n(&s->mem->cpu[cpu].state, __ATOMIC_RELAXED) == GHOST_CPU_AVAILABLE;
}

/* Who was put off its CPU, or refused, gets it again when it is to be had. */
static void recover(struct stage *s, struct actor *a)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT, .enclave = ghost_enclave_id(s->enclave) };

	ctl.cpus[0] = 1ull << a->cpu;
	/* Before: it may have run and lost its CPU again when the request returns. */
	a->lost = a->waits = 0;
	a->put = a->go;
	stage_write(&s->mem->cpu_rw[a->cpu].txn, a);
	stage_ask(s, &ctl);
	if (!stage_settle(s, a))
		a->waits = 1;
}

/* For whoever has to find out why it hangs. */
static void say_where(const struct stage *s)
{
	for (uint32_t i = 0; i < s->nr_actors; i++) {
		const struct actor *a = &s->actor[i];
		uint64_t word = s->mem->status[a->slot].word;

		fprintf(stderr,
			"  thread %d: told %u, followed %u; last message %u, number %u; %s; table: "
			"number %u, flags %#x\n",
			a->pid, a->go, a->done, a->event, a->seq,
			a->waits  ? "waits" :
			a->asleep ? "asleep" :
				    "runs",
			ghost_status_seq(word), ghost_status_flags(word));
	}
	for (uint32_t cpu = 1; cpu <= s->nr_targets; cpu++)
		fprintf(stderr, "  CPU %u: state %u, %s; transaction %s, pick %s\n", cpu,
			s->mem->cpu[cpu].state, stage_idles(s, cpu) ? "idle" : "busy",
			ghost_txn_state_name(s->mem->cpu_rw[cpu].txn.state),
			ghost_txn_state_name(s->mem->cpu_rw[cpu].pick.state));
}

void stage_turn(struct stage *s, uint32_t n, const char *what)
{
	if (interrupted)
		stage_die(128 + interrupted, "interrupted");
	if (n % CLOCK_TURNS == 0) {
		if (n == 0)
			s->deadline = stage_now_ns() + PATIENCE_NS;
		else if (stage_now_ns() > s->deadline) {
			say_where(s);
			stage_die(1, "%s: not within %llu s", what, PATIENCE_NS / 1000000000);
		}
		if (ghost_load_acquire(&s->status->state) != GHOST_ENCLAVE_ONLINE) {
			say_where(s);
			stage_die(1, "%s: the agents were given up: %s", what,
				  ghost_lost_reason_name(s->status->lost_reason));
		}
	}
	drain(s, s->queue);
	for (uint32_t i = 0; i < s->nr_actors && !s->apart; i++) {
		struct actor *a = &s->actor[i];

		if (ghost_load_acquire(&a->lost) && ghost_load_acquire(&a->waits) &&
		    available(s, a->cpu))
			recover(s, a);
	}
	ghost_relax();
}

void stage_wake(struct stage *s, struct actor *a)
{
	stage_until(s, ghost_load_acquire(&a->asleep), "a thread that sleeps");
	ghost_store_release(&a->go, a->go + 1);
	stage_futex_wake(&a->go);
	stage_until(s, ghost_load_acquire(&a->waits), "the message of a wake-up");
}

bool stage_idles(const struct stage *s, uint32_t cpu)
{
	return __atomic_load_n(&s->status->idle[0], __ATOMIC_ACQUIRE) >> cpu & 1;
}

void stage_rest(struct stage *s, uint32_t cpu)
{
	stage_until(s, stage_idles(s, cpu) && available(s, cpu), "a CPU that idles");
}

void stage_rested(struct stage *s, struct actor *a)
{
	stage_until(s, ghost_load_acquire(&a->done) == a->go && ghost_load_acquire(&a->asleep),
		    "a committed thread that runs and sleeps");
}

/* --- the agents of the targets -------------------------------------------------------------- */

struct target {
	struct stage *stage;
	uint32_t cpu;
};

/* Whoever of @cpu waits, if its agent is to decide about that. */
static struct actor *next_on(struct stage *s, uint32_t cpu)
{
	for (uint32_t i = 0; s->decide && i < s->nr_actors; i++)
		if (s->actor[i].cpu == cpu && s->actor[i].waits)
			return &s->actor[i];
	return NULL;
}

/* Commit @a, or "nothing to run", and give the CPU up: returns when there is news. */
static void give_up(struct stage *s, uint32_t cpu, uint32_t agent_seq, struct actor *a)
{
	struct ghost_txn *txn = &s->mem->cpu_rw[cpu].txn;

	txn->slot = a ? a->slot : GHOST_SLOT_NONE;
	txn->task_seq = a ? a->seq : 0;
	txn->agent_seq = agent_seq;
	txn->slice_ns = GHOST_SLICE_INF;
	txn->flags = 0;
	txn->ping_cpu = GHOST_CPU_NONE;
	if (a) {
		a->put = a->go;
		a->commit_ns = stage_now_ns();
	}
	ghost_store_release(&txn->state, GHOST_TXN_READY);
	s->backend->agent_yield(s->backend);
	if (a && ghost_load_acquire(&txn->state) == GHOST_TXN_COMMITTED)
		a->waits = 0;
}

static int become(struct stage *s, uint32_t cpu, bool spins)
{
	struct ghost_ctl attach = {
		.op = GHOST_CTL_AGENT_ATTACH,
		.enclave = ghost_enclave_id(s->enclave),
		.cpu = cpu,
		.flags = spins ? GHOST_AGENT_SPINS : 0,
	};
	int err = s->backend->agent_pin(s->backend, cpu);

	err = err ?: s->backend->agent(s->backend, &attach);
	err = err ?: attach.ret;
	if (!err && !spins)
		err = s->backend->agent_enter(s->backend);
	if (err)
		return err;
	s->mem->cpu_rw[cpu].queue_tail = ghost_load_acquire(&s->mem->cpu[cpu].queue.head);
	s->mem->cpu_rw[cpu].txn.state = GHOST_TXN_FREE;
	s->mem->cpu_rw[cpu].pick.state = GHOST_TXN_FREE;
	return 0;
}

static void target_main(void *arg)
{
	struct target t = *(struct target *)arg;
	struct stage *s = t.stage;
	struct ghost_backend *b = s->backend;
	struct ghost_ctl detach = { .op = GHOST_CTL_AGENT_DETACH,
				    .enclave = ghost_enclave_id(s->enclave),
				    .cpu = t.cpu };
	int err = become(s, t.cpu, !s->parked);
	uint32_t seq;

	free(arg);
	if (err)
		s->agent_err = err;
	__atomic_add_fetch(&s->nr_ready, 1, __ATOMIC_RELEASE);
	b->wake(b, &s->nr_ready);
	while (!err && !ghost_load_acquire(&s->stop)) {
		if (!s->parked) {
			b->wait(b, &s->stop, 0, ~0ull);
			continue;
		}
		seq = ghost_load_acquire(&s->mem->cpu[t.cpu].agent_seq);
		drain(s, t.cpu);
		give_up(s, t.cpu, seq, next_on(s, t.cpu));
	}
	if (s->parked)
		b->task_leave(b, b->thread_id(b));
	else if (!err)
		b->agent(b, &detach);
}

static void start_target(struct stage *s, uint32_t cpu)
{
	struct target *t = malloc(sizeof(*t));
	uint32_t nr;
	int err;

	if (!t)
		stage_die(1, "no memory");
	*t = (struct target){ s, cpu };
	err = s->backend->thread_start(s->backend, "table3/agent", target_main, t,
				       &s->thread[s->nr_threads]);
	if (err)
		stage_die(1, "cannot start an agent: %s", strerror(-err));
	s->nr_threads++;
	while ((nr = ghost_load_acquire(&s->nr_ready)) < s->nr_threads)
		s->backend->wait(s->backend, &s->nr_ready, nr, ~0ull);
	if (s->agent_err)
		stage_die(1, "the agent of CPU %u could not start: %s", cpu,
			  strerror(-s->agent_err));
}

/* --- setting up, taking down ------------------------------------------------------------------ */

struct actor *stage_actor(struct stage *s, void (*main)(struct stage *s, struct actor *a))
{
	struct actor *a = &s->actor[s->nr_actors];
	pid_t parent = getpid(), pid;

	if (s->nr_actors == STAGE_ACTORS_MAX)
		stage_die(1, "too many actors");
	memset(a, 0, sizeof(*a));
	pid = fork();
	if (pid < 0)
		stage_die(1, "fork: %s", strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGINT, SIG_IGN);
		if (getppid() == parent)
			main(s, a);
		_exit(0);
	}
	a->pid = pid;
	s->nr_actors++;
	return a;
}

static void make_queue(struct stage *s)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_CREATE,
				 .enclave = ghost_enclave_id(s->enclave),
				 .len = QUEUE_LEN };

	stage_ask(s, &ctl);
	s->queue = ctl.queue;
	s->mem->cpu_rw[s->queue].queue_tail = 0;
	ctl.op = GHOST_CTL_QUEUE_DEFAULT;
	stage_ask(s, &ctl);
}

static void make_enclave(struct stage *s, uint32_t nr_targets)
{
	struct ghost_cpuset cpus = { 0 };
	const struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	int err;

	for (uint32_t cpu = 0; cpu <= nr_targets; cpu++)
		ghost_cpuset_add(&cpus, cpu);
	err = ghost_enclave_create(&s->enclave, s->backend, &opts);
	if (err == -EBUSY)
		stage_die(1,
			  "another enclave has one of the CPUs 0 to %u; `ghost status` says "
			  "which, `ghost destroy` ends it",
			  nr_targets);
	if (err)
		stage_die(1, "cannot make an enclave of the CPUs 0 to %u: %s %s", nr_targets,
			  strerror(-err), s->backend->error);
}

void stage_open(struct stage *s, uint32_t nr_targets, bool parked)
{
	struct ghost_ctl online = { .op = GHOST_CTL_AGENT_ONLINE };
	int err;

	make_enclave(s, nr_targets);
	online.enclave = ghost_enclave_id(s->enclave);
	s->mem = ghost_enclave_memory(s->enclave);
	s->status = ghost_enclave_status(s->enclave);
	s->nr_targets = nr_targets;
	s->parked = parked;
	s->stop = s->nr_ready = s->nr_threads = 0;
	for (uint32_t cpu = 1; cpu <= nr_targets; cpu++)
		start_target(s, cpu);
	err = become(s, STAGE_AGENT_CPU, true);
	if (err)
		stage_die(1, "cannot become an agent: %s", strerror(-err));
	s->attached = true;
	make_queue(s);
	stage_ask(s, &online);
	err = s->backend->agent_spin(s->backend);
	if (err)
		stage_die(1, "cannot become a SCHED_FIFO thread: %s", strerror(-err));
}

/* Back to a normal thread that runs anywhere. */
static void be_normal(struct stage *s)
{
	struct ghost_ctl detach = { .op = GHOST_CTL_AGENT_DETACH,
				    .enclave = ghost_enclave_id(s->enclave),
				    .cpu = STAGE_AGENT_CPU };
	struct sched_param param = { 0 };
	cpu_set_t all;

	if (s->attached)
		s->backend->agent(s->backend, &detach);
	s->attached = false;
	sched_setscheduler(0, SCHED_OTHER, &param);
	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
}

static void end_agents(struct stage *s)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_AGENT_OFFLINE,
				 .enclave = ghost_enclave_id(s->enclave) };

	s->backend->agent(s->backend, &ctl);
	ghost_store_release(&s->stop, 1);
	s->backend->wake(s->backend, &s->stop);
	ctl.op = GHOST_CTL_AGENT_PING;
	for (ctl.cpu = 1; ctl.cpu <= s->nr_targets; ctl.cpu++)
		s->backend->agent(s->backend, &ctl);
	be_normal(s);
	for (uint32_t i = 0; i < s->nr_threads; i++)
		s->backend->thread_join(s->backend, s->thread[i]);
	s->nr_threads = 0;
}

void stage_close(struct stage *s)
{
	if (s->enclave)
		end_agents(s);
	for (uint32_t i = 0; i < s->nr_actors; i++)
		kill(s->actor[i].pid, SIGKILL);
	for (uint32_t i = 0; i < s->nr_actors; i++)
		waitpid(s->actor[i].pid, NULL, 0);
	s->nr_actors = 0;
	if (!s->enclave)
		return;
	if (ghost_enclave_destroy(s->enclave))
		fprintf(stderr, "%s: cannot take the enclave down\n",
			program_invocation_short_name);
	ghost_enclave_close(s->enclave);
	s->enclave = NULL;
}

static bool find_slot(struct stage *s, struct actor *a)
{
	for (uint32_t slot = 1; slot < s->status->nr_slots && slot < s->mem->capacity; slot++) {
		const struct ghost_status *st = &s->mem->status[slot];
		uint64_t word = ghost_load_acquire(&st->word);

		if (st->tid != (uint32_t)a->pid || !(ghost_status_flags(word) & GHOST_STATUS_INUSE))
			continue;
		a->slot = slot;
		a->seq = ghost_status_seq(word);
		return true;
	}
	return false;
}

void stage_join(struct stage *s, struct actor *a, uint32_t cpu)
{
	int err = ghost_enclave_join(s->enclave, a->pid);

	if (err)
		stage_die(1, "a process cannot join the enclave: %s", strerror(-err));
	a->cpu = cpu;
	a->asleep = 1;
	stage_until(s, find_slot(s, a), "a thread in the table");
}

void stage_direct(struct stage *s, struct actor *a)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_QUEUE_ASSOC,
				 .enclave = ghost_enclave_id(s->enclave),
				 .queue = a->cpu,
				 .slot = a->slot };

	/* What it said last is read: its number is the table's. */
	drain(s, s->queue);
	ctl.seq = ghost_status_seq(ghost_load_acquire(&s->mem->status[a->slot].word));
	stage_ask(s, &ctl);
}
