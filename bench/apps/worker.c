// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers: sleeping, serving, and being handed over to the generator and back.
 * In: requests. Out: histograms, CPU times. Implements worker.h.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench/apps/worker.h"

enum turn {
	TURN_IDLE,
	TURN_SERVE,
	TURN_STOP
};

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(error));
	_exit(1);
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

uint64_t now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Until @until_ns; 0: for ever. */
static void futex_wait(uint32_t *word, uint32_t value, uint64_t until_ns)
{
	struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };

	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, until_ns ? &until : NULL, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

/* --- the worker's side --------------------------------------------------------- */

/*
 * Either the generator, which says that it watches before it looks for an idle
 * worker, finds this one, or this one finds that it watches: all four accesses
 * are sequentially consistent.
 */
static void become_idle(struct worker *w)
{
	struct pool *p = w->pool;
	struct worker *top = __atomic_load_n(&p->idle, __ATOMIC_RELAXED);

	do
		w->next = top;
	while (!__atomic_compare_exchange_n(&p->idle, &top, w, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	__atomic_fetch_sub(&p->nr_busy, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&p->watched, __ATOMIC_SEQ_CST))
		pool_poke(p);
}

static enum turn wait_turn(struct worker *w)
{
	uint32_t turn;

	while ((turn = __atomic_load_n(&w->turn, __ATOMIC_ACQUIRE)) == TURN_IDLE)
		futex_wait(&w->turn, TURN_IDLE, 0);
	return turn;
}

/* The query, then computing until the service time is used up: CPU time, or being
 * preempted would count as being served. Returns the CPU time. */
static uint64_t serve(const struct worker *w)
{
	const struct pool_options *opt = &w->pool->opt;
	const struct request *r = &w->request;
	uint64_t begin = read_clock(CLOCK_THREAD_CPUTIME_ID), used;
	bool right;

	if (opt->mix->part[r->part].kind == MIX_GET)
		right = store_get(opt->store, r->key);
	else
		right = store_range(opt->store, r->key, opt->range_keys);
	if (!right) {
		fprintf(stderr, "%s: RocksDB returned wrong data for key %u\n",
			program_invocation_short_name, r->key);
		_exit(1);
	}
	while ((used = read_clock(CLOCK_THREAD_CPUTIME_ID) - begin) < r->service_ns)
		__builtin_ia32_pause();
	return used;
}

static void record(struct worker *w, uint64_t cpu_ns)
{
	const struct request *r = &w->request;
	uint64_t now = now_ns();

	if (now >= w->pool->begin_ns && now < __atomic_load_n(&w->pool->end_ns, __ATOMIC_RELAXED))
		w->nr_ended++;
	if (!r->measured)
		return;
	hist_add(&w->tally[r->part].latency, now - r->intended_ns);
	w->tally[r->part].cpu_ns += cpu_ns;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int err = class_enter(w->pool->opt.class);

	if (err)
		die("a worker cannot have its class, nice value or slice", -err);
	prctl(PR_SET_NAME, "worker");
	if (w == w->pool->worker)
		w->pool->class_name = class_name();
	for (;;) {
		become_idle(w);
		if (wait_turn(w) == TURN_STOP)
			return NULL;
		record(w, serve(w));
		__atomic_store_n(&w->turn, TURN_IDLE, __ATOMIC_RELAXED);
	}
}

/* --- the generator's side ------------------------------------------------------- */

static void set_turn(struct worker *w, enum turn turn)
{
	__atomic_store_n(&w->turn, turn, __ATOMIC_RELEASE);
	futex_wake(&w->turn);
}

static struct worker *pop_idle(struct pool *p)
{
	struct worker *top = __atomic_load_n(&p->idle, __ATOMIC_SEQ_CST);

	while (top && !__atomic_compare_exchange_n(&p->idle, &top, top->next, true,
						   __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
		;
	return top;
}

bool pool_give(struct pool *p, const struct request *r)
{
	struct worker *w = pop_idle(p);

	if (!w)
		return false;
	w->request = *r;
	__atomic_fetch_add(&p->nr_busy, 1, __ATOMIC_RELAXED);
	set_turn(w, TURN_SERVE);
	return true;
}

uint32_t pool_busy(const struct pool *p)
{
	return __atomic_load_n(&p->nr_busy, __ATOMIC_SEQ_CST);
}

uint32_t pool_watch(struct pool *p, bool on)
{
	__atomic_store_n(&p->watched, on, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&p->events, __ATOMIC_SEQ_CST);
}

void pool_wait(struct pool *p, uint32_t events, uint64_t until_ns)
{
	futex_wait(&p->events, events, until_ns);
}

void pool_poke(struct pool *p)
{
	__atomic_fetch_add(&p->events, 1, __ATOMIC_SEQ_CST);
	futex_wake(&p->events);
}

/* --- beginning and end ---------------------------------------------------------- */

/* Written to at once: a first touch is not to be part of a latency. */
static void *touched(size_t size)
{
	size_t whole = (size + 63) / 64 * 64;
	void *ret = aligned_alloc(64, whole);

	if (!ret)
		die("workers", ENOMEM);
	return memset(ret, 0, whole);
}

void pool_start(struct pool *p, const struct pool_options *opt)
{
	*p = (struct pool){ .opt = *opt, .nr_busy = opt->nr };
	p->worker = touched(opt->nr * sizeof(*p->worker));
	for (uint32_t i = 0; i < opt->nr; i++) {
		struct worker *w = &p->worker[i];
		int err;

		w->pool = p;
		w->tally = touched(opt->mix->nr * sizeof(*w->tally));
		err = pthread_create(&w->thread, NULL, work, w);
		if (err)
			die("cannot start a worker", err);
	}
	for (;;) {
		uint32_t events = pool_watch(p, true);

		if (!pool_busy(p))
			break;
		pool_wait(p, events, 0);
	}
	pool_watch(p, false);
}

void pool_stop(struct pool *p)
{
	for (uint32_t i = 0; i < p->opt.nr; i++)
		set_turn(&p->worker[i], TURN_STOP);
	for (uint32_t i = 0; i < p->opt.nr; i++) {
		pthread_join(p->worker[i].thread, NULL);
		free(p->worker[i].tally);
	}
	free(p->worker);
}
