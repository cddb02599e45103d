// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of which scheduling with ghOSt is made, one by one, as in Table 3 of
 * the paper: messages, commits to other CPUs, groups, picks, requests.
 * In: root, a kernel with sched_ext, two CPUs or more. Out: a table, or a line
 * of JSON per step. Called by: bench/micro, people. What is measured:
 * docs/bench.md.
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/load/option.h"
#include "bench/load/stage.h"

/* Calls between two looks at the clock, where a single one is too short. */
#define CALLS 100
#define ROUNDS_MAX 1000000

struct options {
	uint32_t rounds;
	uint32_t warmup;
	uint32_t targets; /* of a group, at most */
	bool json;
	char *only; /* names of lines, with commas; NULL: all */
};

/* What was measured of one line, ns; the warm-up is in front. */
struct line {
	const char *name;
	const char *system;
	double *sample;
	uint32_t nr;
};

struct run {
	struct options opt;
	struct stage stage;
	uint32_t nr_targets;
};

/* --- results --------------------------------------------------------------------------- */

static void line_begin(struct line *line, const struct run *r, const char *name, const char *system)
{
	*line = (struct line){ .name = name, .system = system };
	line->sample = calloc(r->opt.warmup + r->opt.rounds, sizeof(*line->sample));
	if (!line->sample)
		stage_die(1, "no memory for %u rounds", r->opt.rounds);
}

static void line_add(struct line *line, double ns)
{
	line->sample[line->nr++] = ns;
}

static bool line_full(const struct line *line, const struct run *r)
{
	return line->nr >= r->opt.warmup + r->opt.rounds;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *sorted, uint32_t nr, double p)
{
	double at = p * (nr - 1);
	uint32_t low = at;

	if (low + 1 >= nr)
		return sorted[nr - 1];
	return sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]);
}

static bool wanted(const struct run *r, const char *name)
{
	size_t len = strlen(name);
	const char *at = r->opt.only;

	if (!at)
		return true;
	for (; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (!strncmp(at, name, len) && (!at[len] || at[len] == ','))
			return true;
	return false;
}

/* Prints it and lets go of it. @cpus: in how many the step happens at once. */
static void line_end(struct line *line, const struct run *r, uint32_t cpus)
{
	uint32_t nr = line->nr - r->opt.warmup;
	double *x = line->sample + r->opt.warmup;
	double median, p10, p90;

	qsort(x, nr, sizeof(*x), by_size);
	median = quantile(x, nr, 0.5);
	p10 = quantile(x, nr, 0.1);
	p90 = quantile(x, nr, 0.9);
	if (!wanted(r, line->name)) {
		/* Measured because of another one that comes with it. */
	} else if (r->opt.json)
		printf("{\"bench\": \"%s\", \"system\": \"%s\", \"ns\": %.1f, \"p10\": %.1f, "
		       "\"p90\": %.1f, \"rounds\": %u, \"cpus\": %u, \"optimized\": %s}\n",
		       line->name, line->system, median, p10, p90, nr, cpus,
#ifdef __OPTIMIZE__
		       "true"
#else
		       "false"
#endif
		);
	else
		printf("%-20s %12.1f %12.1f %12.1f %9u %5u\n", line->name, median, p10, p90, nr,
		       cpus);
	fflush(stdout);
	free(line->sample);
}

static const char *const names[] = {
	"syscall",	     "minimal_switch",	   "request",	     "message_local",
	"message_global",    "local_schedule",	   "remote_agent",   "remote_target",
	"remote_end_to_end", "remote_timed_agent", "prestaged_pick", "group_agent_per_txn",
	"group_target",	     "group_end_to_end",
};

#define NR_NAMES (sizeof(names) / sizeof(names[0]))

/* --- calls ------------------------------------------------------------------------------- */

static void pin_to(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void measure_syscall(struct run *r)
{
	struct line line;
	uint64_t t0;

	line_begin(&line, r, "syscall", "eevdf");
	while (!line_full(&line, r)) {
		t0 = stage_now_ns();
		for (int i = 0; i < CALLS; i++)
			syscall(SYS_getppid);
		line_add(&line, (stage_now_ns() - t0) / (double)CALLS);
	}
	line_end(&line, r, 1);
}

static uint32_t yielders_stop;

static void *yielder_main(void *unused)
{
	while (!ghost_load_acquire(&yielders_stop))
		sched_yield();
	return NULL;
}

static uint64_t switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

/* Two threads of this process give way to each other on one CPU: no change of address spaces. */
static void measure_minimal_switch(struct run *r)
{
	struct line line;
	pthread_t other;
	uint64_t t0, left;
	cpu_set_t before;

	line_begin(&line, r, "minimal_switch", "eevdf");
	sched_getaffinity(0, sizeof(before), &before);
	pin_to(STAGE_TARGET);
	yielders_stop = 0;
	if (pthread_create(&other, NULL, yielder_main, NULL))
		stage_die(1, "cannot start a thread");
	while (!line_full(&line, r)) {
		left = switches();
		t0 = stage_now_ns();
		for (int i = 0; i < CALLS; i++)
			sched_yield();
		t0 = stage_now_ns() - t0;
		left = switches() - left;
		/* Each time it leaves it also comes back. */
		if (left)
			line_add(&line, t0 / (2.0 * left));
	}
	ghost_store_release(&yielders_stop, 1);
	pthread_join(other, NULL);
	sched_setaffinity(0, sizeof(before), &before);
	line_end(&line, r, 1);
}

/* The least that can be asked of the kernel side: a system call that runs a BPF program. */
static void measure_request(struct run *r)
{
	struct ghost_backend *b = r->stage.backend;
	struct ghost_ctl ctl;
	struct line line;
	uint64_t t0;

	line_begin(&line, r, "request", "ghost");
	while (!line_full(&line, r)) {
		ctl = (struct ghost_ctl){ .op = GHOST_CTL_INFO };
		t0 = stage_now_ns();
		if (b->admin(b, &ctl) || ctl.ret)
			stage_die(1, "the kernel side does not answer");
		line_add(&line, stage_now_ns() - t0);
	}
	line_end(&line, r, 1);
}

/* --- what actors do ------------------------------------------------------------------------ */

/* Waits to be told, and returns as soon as it runs. */
static void actor_wait(struct actor *a, uint32_t *seen)
{
	while (ghost_load_acquire(&a->go) == *seen)
		stage_futex_wait(&a->go, *seen);
	*seen = ghost_load_acquire(&a->go);
}

/* Says when it found itself running, and sleeps again. */
static void runner_main(struct stage *s, struct actor *a)
{
	uint32_t seen = 0;

	for (;;) {
		actor_wait(a, &seen);
		a->ran_ns = stage_now_ns();
		ghost_store_release(&a->done, seen);
	}
}

/*
 * A normal process on the target's CPU that wakes the first actor, and computes
 * until it is let go: so the event is on that CPU, and no switch follows.
 */
static void waker_main(struct stage *s, struct actor *a)
{
	struct actor *whom = &s->actor[0];
	uint32_t seen = 0;

	pin_to(STAGE_TARGET);
	for (;;) {
		actor_wait(a, &seen);
		ghost_store_release(&whom->go, whom->go + 1);
		stage_futex_wake(&whom->go);
		while (ghost_load_acquire(&a->release) != seen)
			ghost_relax();
		ghost_store_release(&a->done, seen);
	}
}

/* --- messages -------------------------------------------------------------------------------- */

/* Commit @nr actors, all of which wait, in one request. False: some were refused. */
static bool commit(struct stage *s, struct actor **a, uint32_t nr, uint64_t *ret_t0,
		   uint64_t *ret_t1)
{
	struct ghost_ctl ctl = { .op = GHOST_CTL_COMMIT, .enclave = ghost_enclave_id(s->enclave) };
	bool all = true;

	for (uint32_t i = 0; i < nr; i++) {
		ctl.cpus[0] |= 1ull << a[i]->cpu;
		stage_write(&s->mem->cpu_rw[a[i]->cpu].txn, a[i]);
		a[i]->waits = 0;
		a[i]->put = a[i]->go;
	}
	*ret_t0 = stage_now_ns();
	stage_ask(s, &ctl);
	*ret_t1 = stage_now_ns();
	for (uint32_t i = 0; i < nr; i++) {
		if (stage_settle(s, a[i]))
			continue;
		/* Not carried out: it waits still, and is committed in a later turn. */
		a[i]->waits = 1;
		all = false;
	}
	return all;
}

/* From the moment at which a thread blocks to that at which its CPU's parked agent has the message. */
static void measure_message_local(struct run *r)
{
	struct stage *s = &r->stage;
	uint32_t disturbed;
	struct actor *a;
	struct line line;
	uint64_t t0, t1;

	line_begin(&line, r, "message_local", "ghost");
	a = stage_actor(s, runner_main);
	stage_open(s, 1, true);
	stage_join(s, a, STAGE_TARGET);
	stage_direct(s, a);
	while (!line_full(&line, r)) {
		disturbed = a->disturbed;
		stage_wake(s, a);
		/* Its agent has read that, and is parked again. */
		stage_rest(s, a->cpu);
		commit(s, &a, 1, &t0, &t1);
		stage_rested(s, a);
		if (a->disturbed == disturbed && a->event == GHOST_MSG_TASK_BLOCKED)
			line_add(&line, a->got_ns - a->event_ns);
	}
	stage_close(s);
	line_end(&line, r, 1);
}

/* From a wake-up on another CPU to the moment at which the agent that polls has the message. */
static void measure_message_global(struct run *r)
{
	struct stage *s = &r->stage;
	struct actor *a, *waker;
	struct line line;
	uint64_t t0, t1;

	line_begin(&line, r, "message_global", "ghost");
	a = stage_actor(s, runner_main);
	waker = stage_actor(s, waker_main);
	stage_open(s, 1, false);
	stage_join(s, a, STAGE_TARGET);
	while (!line_full(&line, r)) {
		ghost_store_release(&waker->go, waker->go + 1);
		stage_futex_wake(&waker->go);
		stage_until(s, ghost_load_acquire(&a->waits), "the message of a wake-up");
		line_add(&line, a->got_ns - a->event_ns);
		ghost_store_release(&waker->release, waker->go);
		stage_until(s, ghost_load_acquire(&waker->done) == waker->go, "a normal thread");
		stage_rest(s, a->cpu);
		commit(s, &a, 1, &t0, &t1);
		stage_rested(s, a);
	}
	stage_close(s);
	line_end(&line, r, 1);
}

/* --- the agent of the CPU decides ------------------------------------------------------------------ */

/* From the transaction that its CPU's agent has just written to a thread that runs. */
static void measure_local(struct run *r)
{
	struct stage *s = &r->stage;
	uint32_t disturbed;
	struct actor *a;
	struct line line;

	line_begin(&line, r, "local_schedule", "ghost");
	a = stage_actor(s, runner_main);
	s->decide = s->apart = true;
	stage_open(s, 1, true);
	stage_join(s, a, STAGE_TARGET);
	stage_direct(s, a);
	while (!line_full(&line, r)) {
		stage_rest(s, a->cpu);
		disturbed = ghost_load_acquire(&a->disturbed);
		ghost_store_release(&a->go, a->go + 1);
		stage_futex_wake(&a->go);
		stage_rested(s, a);
		if (ghost_load_acquire(&a->disturbed) == disturbed && a->ran_ns > a->commit_ns)
			line_add(&line, a->ran_ns - a->commit_ns);
	}
	stage_close(s);
	s->decide = s->apart = false;
	line_end(&line, r, 1);
}

/* --- commits to other CPUs ---------------------------------------------------------------------- */

/*
 * One request puts an actor on each of @nr CPUs that idle. The agent's side is
 * the request; the target's what is left then until the last one runs.
 */
static void commit_rounds(struct run *r, uint32_t nr, struct line *agent, struct line *target,
			  struct line *whole)
{
	struct actor *a[STAGE_TARGETS_MAX];
	struct stage *s = &r->stage;
	uint64_t t0, t1, ran;
	uint32_t disturbed;
	bool all;

	for (uint32_t i = 0; i < nr; i++)
		a[i] = &s->actor[i];
	while (!line_full(agent, r)) {
		disturbed = 0;
		for (uint32_t i = 0; i < nr; i++) {
			disturbed -= a[i]->disturbed;
			stage_wake(s, a[i]);
		}
		for (uint32_t i = 0; i < nr; i++)
			stage_rest(s, a[i]->cpu);
		all = commit(s, a, nr, &t0, &t1);
		ran = 0;
		for (uint32_t i = 0; i < nr; i++) {
			stage_rested(s, a[i]);
			disturbed += a[i]->disturbed;
			ran = a[i]->ran_ns > ran ? a[i]->ran_ns : ran;
		}
		if (!all || disturbed)
			continue;
		line_add(agent, (t1 - t0) / (double)nr);
		line_add(whole, (ran - t0) / (double)nr);
		line_add(target, ran > t1 ? (ran - t1) / (double)nr : 0);
	}
}

static void open_with_runners(struct run *r, uint32_t nr)
{
	struct stage *s = &r->stage;

	for (uint32_t i = 0; i < nr; i++)
		stage_actor(s, runner_main);
	stage_open(s, nr, false);
	for (uint32_t i = 0; i < nr; i++)
		stage_join(s, &s->actor[i], STAGE_TARGET + i);
}

static void measure_remote(struct run *r)
{
	struct line agent, target, whole;

	line_begin(&agent, r, "remote_agent", "ghost");
	line_begin(&target, r, "remote_target", "ghost");
	line_begin(&whole, r, "remote_end_to_end", "ghost");
	open_with_runners(r, 1);
	commit_rounds(r, 1, &agent, &target, &whole);
	stage_close(&r->stage);
	line_end(&agent, r, 1);
	line_end(&target, r, 1);
	line_end(&whole, r, 1);
}

/* The agent's side of a commit that also starts a timer. */
static void measure_timed(struct run *r)
{
	struct line agent, target, whole;

	line_begin(&agent, r, "remote_timed_agent", "ghost");
	line_begin(&target, r, NULL, NULL);
	line_begin(&whole, r, NULL, NULL);
	open_with_runners(r, 1);
	r->stage.actor[0].timed = true;
	commit_rounds(r, 1, &agent, &target, &whole);
	stage_close(&r->stage);
	line_end(&agent, r, 1);
	free(target.sample);
	free(whole.sample);
}

static void measure_group(struct run *r)
{
	struct line agent, target, whole;

	line_begin(&agent, r, "group_agent_per_txn", "ghost");
	line_begin(&target, r, "group_target", "ghost");
	line_begin(&whole, r, "group_end_to_end", "ghost");
	open_with_runners(r, r->nr_targets);
	commit_rounds(r, r->nr_targets, &agent, &target, &whole);
	stage_close(&r->stage);
	line_end(&agent, r, r->nr_targets);
	line_end(&target, r, r->nr_targets);
	line_end(&whole, r, r->nr_targets);
}

/* --- picks --------------------------------------------------------------------------------------- */

/*
 * Two players hand one turn back and forth by futex, on one CPU. @turn and all
 * below it are written by the one that has the turn; @armed by the agent.
 */
struct table {
	_Alignas(64) uint32_t turn;
	uint64_t wake_ns[2]; /* before and after the call that wakes the other */
	uint64_t wait_ns;    /* before the call that waits */
	double ns;	     /* of the hand-over that began this turn */
	uint64_t picks_before;
	uint32_t nr_turns;
	uint32_t nr; /* samples */
	uint32_t finished;
	_Alignas(64) uint32_t armed; /* the turn whose end is pre-staged */
	uint64_t picks;		     /* taken until then */
	_Alignas(64) uint32_t nr_wanted;
	double sample[];
};

/* Turns per sample after which a machine is too busy to measure picks on. */
#define TURNS_PER_SAMPLE 20

static struct table *table;

/*
 * Now and then something else takes the CPU in the middle of a hand-over, and a
 * commit mends it: that one is not a pick's.
 */
static void keep_if_picked(void)
{
	uint64_t before = table->picks_before;

	table->picks_before = table->picks;
	/* The first turn is the agent's gift. */
	if (table->nr_turns > 1 && table->picks > before)
		table->sample[table->nr++] = table->ns;
}

/*
 * A hand-over is the call that wakes and what is between the call that waits and
 * the other one running: what pingpong does. That the agent needs to arm the
 * pick is waited for in between, and not counted.
 */
static void player_main(struct stage *s, struct actor *a)
{
	uint32_t me = a - s->actor, nr = table->nr_wanted, seen = 0;
	uint64_t now;

	actor_wait(a, &seen);
	for (;;) {
		while (ghost_load_acquire(&table->turn) != me)
			stage_futex_wait(&table->turn, !me);
		now = stage_now_ns();
		table->ns =
			(double)(table->wake_ns[1] - table->wake_ns[0]) + (now - table->wait_ns);
		if (table->nr == nr || table->nr_turns == nr * TURNS_PER_SAMPLE)
			break;
		ghost_store_release(&table->nr_turns, table->nr_turns + 1);
		table->wake_ns[0] = stage_now_ns();
		ghost_store_release(&table->turn, !me);
		stage_futex_wake(&table->turn);
		table->wake_ns[1] = stage_now_ns();
		while (ghost_load_acquire(&table->armed) < table->nr_turns)
			ghost_relax();
		keep_if_picked();
		table->wait_ns = stage_now_ns();
	}
	ghost_store_release(&table->finished, 1);
	actor_wait(a, &seen);
}

/* @a is the next on its CPU, unless another one is still. */
static void arm(struct stage *s, struct actor *a)
{
	struct ghost_txn *pick = &s->mem->cpu_rw[a->cpu].pick;
	uint32_t state = ghost_load_acquire(&pick->state);

	/* One that is taken has its final state still to come. */
	if (!ghost_load_acquire(&a->waits) ||
	    (state != GHOST_TXN_FREE && !ghost_txn_is_final(state)))
		return;
	a->waits = 0;
	stage_write(pick, a);
}

/*
 * As long as a pick is there, whoever has the turn may go on: also if it is for
 * another one than usual, as something else had the CPU in between. The turn
 * first: a later one begins only after the pick was taken.
 */
static void say_armed(struct stage *s)
{
	uint32_t nr = ghost_load_acquire(&table->nr_turns);

	if (nr == table->armed)
		return;
	table->picks = s->mem->cpu[STAGE_TARGET].nr[GHOST_NR_PICKS];
	if (ghost_load_acquire(&s->mem->cpu_rw[STAGE_TARGET].pick.state) == GHOST_TXN_READY)
		ghost_store_release(&table->armed, nr);
}

static void play(struct stage *s, struct actor *a, struct actor *b)
{
	struct ghost_ctl kick = { .op = GHOST_CTL_KICK, .enclave = ghost_enclave_id(s->enclave) };
	uint64_t t0, t1;

	kick.cpus[0] = 1ull << STAGE_TARGET;
	/* The second one waits for its turn before the first begins. */
	for (struct actor *p = b;; p = a) {
		stage_wake(s, p);
		stage_rest(s, p->cpu);
		commit(s, &p, 1, &t0, &t1);
		if (p == a)
			break;
		stage_until(s, p->asleep, "a player that waits for its turn");
	}
	s->apart = true;
	for (uint32_t n = 0; !ghost_load_acquire(&table->finished); n++) {
		stage_turn(s, n, "players");
		arm(s, a);
		arm(s, b);
		say_armed(s);
		/* Something else had the CPU, and the pick came too late for whoever left. */
		if (stage_idles(s, STAGE_TARGET) &&
		    s->mem->cpu_rw[STAGE_TARGET].pick.state == GHOST_TXN_READY)
			stage_ask(s, &kick);
	}
	s->apart = false;
}

static void measure_pick(struct run *r)
{
	uint32_t nr = r->opt.warmup + r->opt.rounds;
	size_t size = sizeof(*table) + nr * sizeof(table->sample[0]);
	struct stage *s = &r->stage;
	struct actor *a, *b;
	struct line line;

	line_begin(&line, r, "prestaged_pick", "ghost");
	table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED)
		stage_die(1, "mmap: %s", strerror(errno));
	table->nr_wanted = nr;
	a = stage_actor(s, player_main);
	b = stage_actor(s, player_main);
	stage_open(s, 1, false);
	stage_join(s, a, STAGE_TARGET);
	stage_join(s, b, STAGE_TARGET);
	play(s, a, b);
	if (table->nr < nr)
		stage_die(1, "of %u hand-overs only %u were pre-staged", table->nr_turns,
			  table->nr);
	while (!line_full(&line, r))
		line_add(&line, table->sample[line.nr]);
	stage_close(s);
	line_end(&line, r, 1);
	munmap(table, size);
}

/* --- the command line ------------------------------------------------------------------------------ */

static const struct argp_option argp_options[] = {
	{ "rounds", 'n', "N", 0, "measure each line N times (1000)", 0 },
	{ "warmup", 'w', "N", 0, "discard the first N (100)", 0 },
	{ "bench", 'b', "LIST", 0, "these lines only, with commas between (all)", 0 },
	{ "targets", 't', "N", 0, "CPUs of a group, at most (10)", 0 },
	{ "json", 'j', NULL, 0, "a line of JSON for each", 0 },
	{ 0 },
};

static void check_names(struct argp_state *state, const char *list)
{
	size_t len, i;

	for (const char *at = list;; at += len + 1) {
		len = strcspn(at, ",");
		for (i = 0; i < NR_NAMES; i++)
			if (strlen(names[i]) == len && !strncmp(names[i], at, len))
				break;
		if (i == NR_NAMES)
			argp_error(state, "--bench knows no '%.*s'; see --help", (int)len, at);
		if (!at[len])
			return;
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *opt = state->input;

	switch (key) {
	case 'n':
		opt->rounds = option_number(state, "--rounds", arg, 1, ROUNDS_MAX);
		return 0;
	case 'w':
		opt->warmup = option_number(state, "--warmup", arg, 0, ROUNDS_MAX);
		return 0;
	case 't':
		opt->targets = option_number(state, "--targets", arg, 1, STAGE_TARGETS_MAX);
		return 0;
	case 'b':
		check_names(state, arg);
		opt->only = arg;
		return 0;
	case 'j':
		opt->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument is expected, got '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char doc[] =
	"Measures the steps of which scheduling with ghOSt is made, ns.\v"
	"Lines: syscall, minimal_switch, request (an empty one to the kernel side), message_local, "
	"message_global, local_schedule, remote_agent, remote_target, remote_end_to_end, "
	"remote_timed_agent, prestaged_pick, group_agent_per_txn, "
	"group_target, group_end_to_end. The agent spins on CPU 0; the targets are CPU 1 and those after it.\n\n"
	"Exit: 0 measured; 1 failed; 2 wrong options; 3 no sched_ext; 4 no permission.";

int main(int argc, char **argv)
{
	struct run r = { .opt = { .rounds = 1000, .warmup = 100, .targets = STAGE_TARGETS_MAX } };
	const struct argp argp = { argp_options, parse_option, NULL, doc, NULL, NULL, NULL };
	long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &r.opt);
	if (nr_cpus < 2)
		stage_die(3, "needs two CPUs: one for the agent, one to decide about");
	r.nr_targets = (uint32_t)nr_cpus - 1 < r.opt.targets ? (uint32_t)nr_cpus - 1 :
							       r.opt.targets;
	if (!r.opt.json)
		printf("%-20s %12s %12s %12s %9s %5s\n", "ns", "median", "p10", "p90", "rounds",
		       "CPUs");
	/* Before anything of ours is in the kernel. */
	if (wanted(&r, "syscall"))
		measure_syscall(&r);
	if (wanted(&r, "minimal_switch"))
		measure_minimal_switch(&r);
	stage_load(&r.stage);
	if (wanted(&r, "request"))
		measure_request(&r);
	if (wanted(&r, "message_local"))
		measure_message_local(&r);
	if (wanted(&r, "message_global"))
		measure_message_global(&r);
	if (wanted(&r, "local_schedule"))
		measure_local(&r);
	if (wanted(&r, "remote_agent") || wanted(&r, "remote_target") ||
	    wanted(&r, "remote_end_to_end"))
		measure_remote(&r);
	if (wanted(&r, "remote_timed_agent"))
		measure_timed(&r);
	if (wanted(&r, "prestaged_pick"))
		measure_pick(&r);
	if (wanted(&r, "group_agent_per_txn") || wanted(&r, "group_target") ||
	    wanted(&r, "group_end_to_end"))
		measure_group(&r);
	stage_unload(&r.stage);
	return 0;
}
