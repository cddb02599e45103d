/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The database: RocksDB in memory, filled once, then only read.
 * In: keys by number. Out: whether they are there and right.
 * Called by the main program and by workers.
 */
#ifndef GHOST_BENCH_APPS_STORE_H
#define GHOST_BENCH_APPS_STORE_H

#include <stdbool.h>
#include <stdint.h>

/* Some 120 MB, and as much again in the cache of blocks. */
#define STORE_KEYS_MAX 1000000

struct store;

/*
 * store_open() - a database of @nr_keys; ends the program with the reason where
 * RocksDB fails. One thread; the rest may be called by many at once.
 */
struct store *store_open(uint32_t nr_keys);

/* store_close() - nobody uses it any more. NULL is allowed. */
void store_close(struct store *s);

/* store_get() - read key @key, which is below nr_keys; false: it is not there, or wrong. */
bool store_get(const struct store *s, uint32_t key);

/*
 * store_range() - read @nr keys from @key on, beginning anew after the last;
 * false: there were not so many, or not in order.
 */
bool store_range(const struct store *s, uint32_t key, uint32_t nr);

#endif
