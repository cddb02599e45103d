/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What goes wrong in a run, and when.
 * In: a plan, drawn from a seed or written by hand. Out: it happens. Called by
 * sim.c; plans are made by fuzz.c.
 */
#ifndef GHOST_SIM_FAULT_H
#define GHOST_SIM_FAULT_H

#include <stddef.h>
#include <stdint.h>

struct sim;
struct faults;

enum fault_kind {
	FAULT_CRASH,	/* the agents' process is killed */
	FAULT_HANG,	/* an agent computes for ever */
	FAULT_STOP,	/* SIGSTOP to an agent, SIGCONT after @arg us */
	FAULT_SLOW,	/* an agent takes @arg us longer for its next step */
	FAULT_GARBAGE,	/* random bytes into what agents may write of one CPU */
	FAULT_REPEAT,	/* an old transaction is made READY again */
	FAULT_FULL,	/* a queue's tail is put back: it looks full */
	FAULT_FAIR,	/* the fair class takes a CPU for @arg us */
	FAULT_AFFINITY, /* a thread's affinity changes */
	FAULT_NICE,
	FAULT_KILL,    /* a thread is killed */
	FAULT_CLASS,   /* a thread leaves our class, and comes back after @arg us */
	FAULT_CONFINE, /* migrate_disable() for @arg us */
	FAULT_RESTART, /* new agents take over: after a crash, or as an upgrade */
	FAULT_DESTROY, /* the enclave is destroyed, busy as it is */
	FAULT_OFFLINE, /* a CPU goes offline, back after @arg us */
	FAULT_PING,    /* somebody pings an agent */
	FAULT_FLOOD,   /* a thread's nice value changes 700 times: its queue runs full */
	FAULT_CPUS,    /* new agents take over, with other CPUs */
	FAULT_NR,
};

/* @when: virtual time after the work began; @what chooses among what is there. */
struct fault {
	uint64_t when_ns;
	uint32_t kind; /* enum fault_kind */
	uint32_t what;
	uint32_t arg;
	uint32_t pad;
};

#define FAULTS_MAX 256

struct fault_plan {
	uint32_t nr;
	/* Of a million commits and enqueues, so many have somebody else act in the middle. */
	uint32_t interrupt_ppm;
	struct fault faults[FAULTS_MAX];
};

const char *fault_name(uint32_t kind);

int faults_new(struct faults **ret, struct sim *s, const struct fault_plan *plan);
void faults_free(struct faults *f);
void faults_go(struct faults *f);
/* Undo what can be undone: nobody stays stopped, hung or offline; there are agents again. */
void faults_end(struct faults *f);

#endif
