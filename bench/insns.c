// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for QEMU: how many instructions of each block of code the VM's CPU 1
 * executes.
 * In: INSNS_OUT, a file. Out: there, at the end, a line per block: address,
 * instructions in all. Called by QEMU; built and read by bench/profile.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/plugin.h"

#define CPU 1
#define NR_CHAINS 65536

int qemu_plugin_version = PLUGIN_VERSION;

/* Code is translated anew now and then, and a block may be cut differently. */
struct block {
	uint64_t address;
	uint64_t len; /* instructions */
	uint64_t count;
	struct block *next;
};

static struct block *chains[NR_CHAINS];

static void executed(unsigned int cpu, void *data)
{
	struct block *b = data;

	/* All virtual CPUs run on one thread with -icount. */
	b->count += cpu == CPU;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb), len = qemu_plugin_tb_n_insns(tb);
	struct block **chain = &chains[(address ^ address >> 16 ^ len << 5) % NR_CHAINS], *b;

	for (b = *chain; b; b = b->next)
		if (b->address == address && b->len == len)
			break;
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return;
		b->address = address;
		b->len = len;
		b->next = *chain;
		*chain = b;
	}
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, b);
}

static void write_out(uint64_t id, void *path)
{
	FILE *f = fopen(path, "w");

	if (!f) {
		perror(path);
		return;
	}
	for (int i = 0; i < NR_CHAINS; i++)
		for (const struct block *b = chains[i]; b; b = b->next)
			if (b->count)
				fprintf(f, "%016llx %llu\n", (unsigned long long)b->address,
					(unsigned long long)(b->len * b->count));
	fclose(f);
}

int qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	char *path = getenv("INSNS_OUT");

	if (!path) {
		fprintf(stderr, "insns: INSNS_OUT is not set\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, write_out, path);
	return 0;
}
