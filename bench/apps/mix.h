/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What requests ask for: which part of all is what, and takes how long.
 * In: text such as "99.5%get:4us+0.5%range:10ms". Out: draws.
 * Called by the option parser, the load generator and the report.
 */
#ifndef GHOST_BENCH_APPS_MIX_H
#define GHOST_BENCH_APPS_MIX_H

#include <stddef.h>
#include <stdint.h>

#include "sim/random.h"

#define MIX_PARTS_MAX 8
#define MIX_TEXT_MAX 64	 /* of one part, with the end */
#define MIX_WHOLE 100000 /* shares: 100 % */

enum mix_kind {
	MIX_GET,   /* one key is looked up */
	MIX_RANGE, /* some keys in a row are read */
};

struct mix_part {
	enum mix_kind kind;
	uint32_t share;	     /* thousandths of a percent */
	struct dist service; /* ns of CPU time, the query included */
	char text[MIX_TEXT_MAX];
};

struct mix {
	uint32_t nr;
	struct mix_part part[MIX_PARTS_MAX];
};

/**
 * mix_parse() - parts with a + between: SHARE%KIND:SERVICE
 * @ret: untouched on failure
 * @ret_at: set on failure: the place in @text, counted from 1
 * @ret_why: set on failure, to a sentence that says what is wrong there
 *
 * Up to MIX_PARTS_MAX parts, whose shares add up to 100 %; a single part needs
 * none. A share has at most three decimals. A kind is get or range. A service
 * is what dist_parse() takes, but for mixtures: 4us, exp:10us.
 * Returns 0 or -EINVAL.
 */
int mix_parse(struct mix *ret, const char *text, size_t *ret_at, const char **ret_why);

/* mix_draw() - the index of a part, and in *@ret_ns how long this request takes. */
uint32_t mix_draw(const struct mix *mix, struct random *r, uint64_t *ret_ns);

/* mix_kind_name() - "get" or "range". */
const char *mix_kind_name(enum mix_kind kind);

#endif
