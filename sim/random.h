/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chance: a generator of random numbers, and distributions of durations.
 * In: a seed, descriptions such as "99.5%exp:4us+0.5%10ms". Out: draws.
 * Called by everything in the simulator that has to choose.
 *
 * One seed gives one sequence, on every machine, compiler and optimisation:
 * integers only. What is drawn, and how often, is part of a run's identity;
 * the tests hold the first numbers.
 */
#ifndef GHOST_SIM_RANDOM_H
#define GHOST_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* xoshiro256**; never all zero, which random_seed() sees to. */
struct random {
	uint64_t s[4];
};

/* random_seed() - start the sequence of @seed; any number is a good seed. */
void random_seed(struct random *r, uint64_t seed);

/* random_next() - 64 random bits. */
static inline uint64_t random_next(struct random *r)
{
	uint64_t *s = r->s, five = s[1] * 5, ret = (five << 7 | five >> 57) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = s[3] << 45 | s[3] >> 19;
	return ret;
}

/* random_below() - 0 .. @n - 1, each as likely as any other; @n is at least 1. */
static inline uint64_t random_below(struct random *r, uint64_t n)
{
	unsigned __int128 m = (unsigned __int128)random_next(r) * n;

	/*
	 * 2^64 is no multiple of most @n: what is left over must be drawn
	 * again. The division, which tells how much that is, is rarely made.
	 */
	if ((uint64_t)m < n) {
		uint64_t left = -n % n;

		while ((uint64_t)m < left)
			m = (unsigned __int128)random_next(r) * n;
	}
	return m >> 64;
}

/* random_between() - @lo .. @hi, both included; @lo is not above @hi. */
static inline uint64_t random_between(struct random *r, uint64_t lo, uint64_t hi)
{
	return hi - lo == UINT64_MAX ? random_next(r) : lo + random_below(r, hi - lo + 1);
}

/*
 * random_chance() - true @ppm times of a million, always from a million on.
 * It draws even where the outcome is certain, so that a probability can be
 * changed to 0 without changing what else happens.
 */
static inline bool random_chance(struct random *r, uint32_t ppm)
{
	return random_below(r, 1000000) < ppm;
}

/* random_fork() - another sequence, as good as independent; one draw of @r. */
struct random random_fork(struct random *r);

/**
 * random_exponential() - how long until what happens once in @mean, on average
 *
 * In the unit of @mean, rounded to the nearest, so 0 is possible. One draw of
 * @r. At most 45 times @mean; UINT64_MAX where that does not fit.
 */
uint64_t random_exponential(struct random *r, uint64_t mean);

/* --- distributions ----------------------------------------------------------- */

#define DIST_TERMS_MAX 8

/* Longer durations are refused: so no draw exceeds INT64_MAX. Three years, in ns. */
#define DIST_NS_MAX 100000000000000000ull

/* Enough for whatever dist_format() writes. */
#define DIST_TEXT_SIZE 640

enum dist_kind {
	DIST_CONST,
	DIST_EXP,
	DIST_UNIFORM,
	DIST_PARETO,
};

struct dist_term {
	enum dist_kind kind;
	uint32_t share; /* thousandths of a percent */
	uint64_t a, b;	/* ns: the value, the mean, or the least and the most */

	/* Pareto only */
	uint32_t alpha;	    /* tenths */
	uint64_t log_range; /* ln(b / a), in units of 2^-56 */
	uint64_t outside;   /* (a / b)^alpha, in units of 2^-64 */
};

/* Zeroed memory draws 0 always. */
struct dist {
	uint32_t nr;
	struct dist_term term[DIST_TERMS_MAX];
};

/**
 * dist_parse() - a distribution, as people write it
 * @ret: untouched on failure
 * @ret_why: set on failure, to a sentence that says what is wrong
 *
 *	4us, const:4us		always the same
 *	exp:10us		exponential, of this mean
 *	uniform:1us-5us		each ns from the first to the last is as likely
 *	pareto:1us,1.5,1ms	Pareto of this exponent (0.1 to 10, one decimal),
 *				cut at the minimum before it and the maximum after
 *	99.5%exp:4us+0.5%10ms	one of up to 8 of the above, which add up to 100 %
 *
 * A duration is a number, decimals allowed, and ns, us, ms or s; 0 needs no
 * unit; DIST_NS_MAX at most. Percentages have at most three decimals.
 * Returns 0 or -EINVAL.
 */
int dist_parse(struct dist *ret, const char *text, const char **ret_why);

/* dist_draw() - ns. Const draws nothing of @r, and a mixture one more than its term. */
uint64_t dist_draw(const struct dist *d, struct random *r);

/* dist_mean() - ns, within 0.1 % and 1 ns. */
uint64_t dist_mean(const struct dist *d);

/*
 * dist_format() - a text that dist_parse() makes the same of, each duration in
 * the largest unit that needs no decimals. Always terminated, cut at @size.
 */
void dist_format(const struct dist *d, char *buf, size_t size);

#endif
