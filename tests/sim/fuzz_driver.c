// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz until a law breaks: the core of `ghost sim --fuzz`, to be linked with a
 * mechanism that has a mistake in it, or built by another compiler.
 * In: first seed, number of cases, "hash" to print what each case came to.
 * Out: exit 0 and a line when a law broke, 1 when none did. Called by
 * test_mutation.sh and test_identical.sh.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/fuzz.h"

int main(int argc, char **argv)
{
	static struct fuzz_case c;
	static struct sim_report r;
	unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	unsigned long nr = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
	bool hash = argc > 3 && !strcmp(argv[3], "hash");

	for (unsigned long i = 0; i < nr; i++) {
		int err;

		fuzz_draw(&c, seed + i, NULL, 10000);
		err = fuzz_run(&c, &r, NULL, NULL);
		if (hash)
			printf("%lu %016" PRIx64 " %" PRIu64 "\n", seed + i, r.trace_hash,
			       r.events);
		if (err == -EPROTO) {
			printf("case %lu: %s\n", i + 1, r.broken);
			return 0;
		}
		if (err) {
			fprintf(stderr, "case %lu cannot be run: %d\n", i + 1, err);
			return 2;
		}
	}
	return 1;
}
