// SPDX-License-Identifier: GPL-2.0-only
/*
 * The database, by RocksDB's C API.
 * In: numbers. Out: keys and values as bytes. Implements store.h.
 *
 * The files lie in RocksDB's own memory environment: nothing to mount, nothing
 * left behind by a run that is killed, the same in a VM. Everything is in one
 * sorted file and its blocks in the cache before anything is measured, so a
 * read is what it is in a warm database: filter, index, block.
 */
#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/apps/store.h"

#define KEY_SIZE 16
#define VALUE_SIZE 100
/* Keys of one write: as many as make its cost small. */
#define BATCH 1000
/* For the database, which is smaller: STORE_KEYS_MAX sees to that. */
#define CACHE_SIZE (512ul << 20)

struct store {
	rocksdb_t *db;
	rocksdb_env_t *env;
	rocksdb_options_t *options;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *read;
	uint32_t nr_keys;
};

static void check(const char *err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: RocksDB cannot %s: %s\n", program_invocation_short_name, what, err);
	exit(1);
}

static void make_key(char *buf, uint32_t key)
{
	char text[KEY_SIZE + 1];

	snprintf(text, sizeof(text), "key%013u", key);
	memcpy(buf, text, KEY_SIZE);
}

/* The value begins with the key, so that a reader can tell whether it is the right one. */
static void make_value(char *buf, uint32_t key)
{
	make_key(buf, key);
	memset(buf + KEY_SIZE, 'v', VALUE_SIZE - KEY_SIZE);
}

static bool is_value(const char *value, size_t len, uint32_t key)
{
	char want[VALUE_SIZE];

	make_value(want, key);
	return value && len == VALUE_SIZE && !memcmp(value, want, VALUE_SIZE);
}

static rocksdb_options_t *make_options(rocksdb_env_t *env, rocksdb_cache_t *cache)
{
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	rocksdb_options_t *options = rocksdb_options_create();

	rocksdb_block_based_options_set_block_cache(table, cache);
	rocksdb_block_based_options_set_filter_policy(table,
						      rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_options_set_block_based_table_factory(options, table);
	rocksdb_block_based_options_destroy(table);
	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_env(options, env);
	rocksdb_options_set_compression(options, rocksdb_no_compression);
	rocksdb_options_set_disable_auto_compactions(options, 1);
	/* No thread of RocksDB's is to wake up while something is measured. */
	rocksdb_options_set_stats_dump_period_sec(options, 0);
	rocksdb_options_set_stats_persist_period_sec(options, 0);
	return options;
}

static void fill(struct store *s)
{
	rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	char key[KEY_SIZE], value[VALUE_SIZE], *err = NULL;

	rocksdb_writeoptions_disable_WAL(write, 1);
	for (uint32_t i = 0; i < s->nr_keys; i++) {
		make_key(key, i);
		make_value(value, i);
		rocksdb_writebatch_put(batch, key, sizeof(key), value, sizeof(value));
		if ((i + 1) % BATCH && i + 1 < s->nr_keys)
			continue;
		rocksdb_write(s->db, write, batch, &err);
		check(err, "write");
		rocksdb_writebatch_clear(batch);
	}
	rocksdb_writebatch_destroy(batch);
	rocksdb_writeoptions_destroy(write);
	rocksdb_compact_range(s->db, NULL, 0, NULL, 0);
}

struct store *store_open(uint32_t nr_keys)
{
	struct store *s = calloc(1, sizeof(*s));
	char *err = NULL;

	if (!s) {
		fprintf(stderr, "%s: no memory\n", program_invocation_short_name);
		exit(1);
	}
	s->nr_keys = nr_keys;
	s->env = rocksdb_create_mem_env();
	s->cache = rocksdb_cache_create_lru(CACHE_SIZE);
	s->options = make_options(s->env, s->cache);
	s->read = rocksdb_readoptions_create();
	s->db = rocksdb_open(s->options, "/db", &err);
	check(err, "make a database in memory");
	fill(s);
	if (!store_range(s, 0, nr_keys))
		check("what was written cannot be read", "fill its database");
	return s;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	rocksdb_close(s->db);
	rocksdb_readoptions_destroy(s->read);
	rocksdb_options_destroy(s->options);
	rocksdb_cache_destroy(s->cache);
	rocksdb_env_destroy(s->env);
	free(s);
}

bool store_get(const struct store *s, uint32_t key)
{
	char buf[KEY_SIZE], *value, *err = NULL;
	size_t len = 0;
	bool right;

	make_key(buf, key);
	value = rocksdb_get(s->db, s->read, buf, sizeof(buf), &len, &err);
	right = !err && is_value(value, len, key);
	rocksdb_free(value);
	rocksdb_free(err);
	return right;
}

bool store_range(const struct store *s, uint32_t key, uint32_t nr)
{
	rocksdb_iterator_t *it = rocksdb_create_iterator(s->db, s->read);
	char buf[KEY_SIZE];
	bool right = true;

	make_key(buf, key);
	rocksdb_iter_seek(it, buf, sizeof(buf));
	for (uint32_t i = 0; right && i < nr; i++) {
		const char *value;
		size_t len;

		if (!rocksdb_iter_valid(it))
			rocksdb_iter_seek_to_first(it);
		right = rocksdb_iter_valid(it);
		if (!right)
			break;
		value = rocksdb_iter_value(it, &len);
		right = is_value(value, len, (key + i) % s->nr_keys);
		rocksdb_iter_next(it);
	}
	rocksdb_iter_destroy(it);
	return right;
}
