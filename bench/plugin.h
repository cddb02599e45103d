/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What our plugins for QEMU use of its interface.
 * In: nothing. Out: declarations. Included by insns.c and cycles.c, which
 * bench/plugin.sh builds.
 *
 * Debian does not package qemu-plugin.h; only what has been the same in all versions is
 * declared here.
 */
#ifndef GHOST_BENCH_PLUGIN_H
#define GHOST_BENCH_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

struct qemu_plugin_tb;
struct qemu_info_t;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*cb)(unsigned int cpu, void *data), int flags,
					  void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *data), void *data);

#define EXPORT __attribute__((visibility("default")))

/* PLUGIN_VERSION: what the QEMU at hand speaks; see bench/plugin.sh. */
EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc, char **argv);

#endif
