// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for QEMU: how many instructions a CPU of the VM executes from the moment in
 * which a thread of it goes to sleep until that thread runs again.
 * In: CYCLES_OUT, a file; CYCLES_MARKS, where load/sleepers.c says that it sleeps, is
 * awake, and reports. Out: there, a line per report: its number, how often, p50, p99 and
 * the most. Called by QEMU; built and read by bench/faults.
 *
 * The virtual CPUs take turns on one host thread and share the virtual clock, so that a
 * clock in the VM runs on while another CPU works. What one CPU executes by itself is not
 * touched by that.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plugin.h"

#define CPU 0
#define STEP 64 /* instructions; finer than 1 % of a wake-up */
#define NR_STEPS 65536

int qemu_plugin_version = PLUGIN_VERSION;

enum mark {
	MARK_ASLEEP,
	MARK_AWAKE,
	MARK_REPORT,
	NR_MARKS
};

static uint64_t marks[NR_MARKS];
static uint64_t executed; /* by the CPU */
static uint64_t since;	  /* when the thread went to sleep; 0: it is awake */
static uint32_t steps[NR_STEPS];
static uint64_t nr, most;
static unsigned int nr_reports;
static FILE *out;

static uint64_t quantile(uint64_t of_100)
{
	uint64_t left = nr * of_100 / 100, i;

	for (i = 0; i < NR_STEPS - 1 && left >= steps[i]; i++)
		left -= steps[i];
	return i * STEP;
}

static void report(void)
{
	fprintf(out, "%u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", ++nr_reports, nr,
		quantile(50), quantile(99), most);
	fflush(out);
	memset(steps, 0, sizeof(steps));
	nr = most = 0;
}

static void slept(uint64_t insns)
{
	steps[insns / STEP < NR_STEPS ? insns / STEP : NR_STEPS - 1]++;
	most = insns > most ? insns : most;
	nr++;
}

/* All virtual CPUs run on one thread with -icount. */
static void count(unsigned int cpu, void *insns)
{
	if (cpu == CPU)
		executed += (uintptr_t)insns;
}

static void pass_mark(unsigned int cpu, void *mark)
{
	if (cpu != CPU)
		return;
	switch ((enum mark)(uintptr_t)mark) {
	case MARK_ASLEEP:
		since = executed;
		break;
	case MARK_AWAKE:
		if (since)
			slept(executed - since);
		since = 0;
		break;
	default:
		report();
	}
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	uintptr_t len = qemu_plugin_tb_n_insns(tb);

	/* A function that is called begins a block. */
	for (uintptr_t i = 0; i < NR_MARKS; i++)
		if (qemu_plugin_tb_vaddr(tb) == marks[i])
			qemu_plugin_register_vcpu_tb_exec_cb(tb, pass_mark, 0, (void *)i);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, count, 0, (void *)len);
}

int qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	const char *path = getenv("CYCLES_OUT"), *at = getenv("CYCLES_MARKS");

	if (!path || !at ||
	    sscanf(at, "%" SCNx64 " %" SCNx64 " %" SCNx64, &marks[0], &marks[1], &marks[2]) != 3) {
		fprintf(stderr, "cycles: CYCLES_OUT or CYCLES_MARKS is not set\n");
		return -1;
	}
	out = fopen(path, "w");
	if (!out) {
		perror(path);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
