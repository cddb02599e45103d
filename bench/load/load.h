/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two tasks that hand one turn back and forth: what pingpong and yield share.
 * In: options, a way to wait for the turn and a way to pass it on. Out: one JSON line.
 * Called by: main() of the load programs.
 */
#ifndef GHOST_BENCH_LOAD_LOAD_H
#define GHOST_BENCH_LOAD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Lies in memory that both tasks see. @turn is written by the task that has it
 * (release) and read by the other (acquire); everything else is written only
 * while holding the turn, and so needs no order of its own.
 */
struct load_pair {
	_Alignas(64) uint32_t turn;	   /* 0 or 1: whose turn it is */
	_Alignas(64) uint32_t order;	   /* enum load_order, for task 1 */
	uint64_t nr_handovers;		   /* both tasks add to it */
	uint64_t nr_turns_1;		   /* turns task 1 had */
	uint64_t switches_1;		   /* task 1's context switches, on request */
	_Alignas(64) uint64_t nr_waits[2]; /* times the way to wait was called, by task */
	bool shared;			   /* the tasks are two processes */
};

enum load_order {
	LOAD_RUN = 0,
	LOAD_COUNT_SWITCHES = 1,
	LOAD_STOP = 2,
};

/*
 * @wait is called again until the turn has come; it need not wait for long.
 * @pass is called right after the turn was given away.
 */
struct load {
	const char *name;
	const char *doc;
	void (*wait)(struct load_pair *pair, uint32_t me);
	void (*pass)(struct load_pair *pair, uint32_t to);
};

int load_main(const struct load *load, int argc, char **argv);

#endif
