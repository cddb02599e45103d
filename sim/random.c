// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chance: seeds, logarithms of integers, and distributions.
 * In: a seed, text. Out: draws. Implements random.h.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/random.h"

static uint64_t high(uint64_t a, uint64_t b)
{
	return (unsigned __int128)a * b >> 64;
}

/* --- the generator ----------------------------------------------------------- */

/* splitmix64: similar seeds, such as 1 and 2, come out with nothing in common. */
static uint64_t split_mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void random_seed(struct random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = split_mix(&seed);
}

struct random random_fork(struct random *r)
{
	struct random ret;

	random_seed(&ret, random_next(r));
	return ret;
}

/* --- logarithms and powers ----------------------------------------------------- */

/*
 * Fixed point: _56 and _64 say that a number is in units of 2^-56 or 2^-64.
 * Logarithms of what 64 bits hold are below 45, so 56 bits are left of them.
 */
#define LN2_56 0xb17217f7d1cf7aull

/* For each i, of c = 1 + i / 256: 1 / c in units of 2^-56, ln(c) in units of 2^-64. */
static struct {
	uint64_t inverse_56, ln_64;
} logs[256];

static void fill_logs(void)
{
	uint64_t ln = 0;

	for (uint64_t i = 0; i < 256; i++) {
		/* To the next: ln((n + 1) / n) = 2 artanh(1 / z), z = 2n + 1. */
		uint64_t n = 256 + i, z = 2 * n + 1, power = UINT64_MAX / z * 2;

		logs[i].inverse_56 = UINT64_MAX / n;
		logs[i].ln_64 = ln;
		for (uint64_t k = 1; power; k += 2, power /= z * z)
			ln += power / k;
	}
}

/*
 * -ln(x / 2^64), @x at least 1. Too much by 2^-42 at most, and never too
 * little: next to x = 2^64, where it is nearly 0, that would be below 0.
 */
static uint64_t minus_ln_56(uint64_t x)
{
	unsigned int zeros = __builtin_clzll(x), i;
	uint64_t r, r2, low;

	/* No threads here, and a test for zero costs less than one more thing to call first. */
	if (__builtin_expect(!logs[0].inverse_56, 0))
		fill_logs();
	/* x = 2^(63 - zeros) c (1 + r), of which c is in the table and r below 1/256. */
	x <<= zeros;
	i = x >> 55 & 255;
	r = high(x << 9, logs[i].inverse_56);
	r2 = high(r, r);
	low = logs[i].ln_64 + r - r2 / 2 + high(r2, r) / 3 - high(r2, r2) / 4;
	return (zeros + 1) * LN2_56 - (low >> 8);
}

/* @value times e^-y, rounded. */
static uint64_t times_exp(uint64_t value, uint64_t y_56)
{
	uint64_t one = 1ull << 63, z = y_56 % LN2_56 << 7, sum = one;
	unsigned int shift = 63 + y_56 / LN2_56;

	if (shift > 127)
		return 0;
	/* The series from its far end: 1 - z (1 - z/2 (1 - z/3 (...))) */
	for (unsigned int k = 14; k; k--)
		sum = one - (uint64_t)((unsigned __int128)z * sum >> 63) / k;
	return ((unsigned __int128)value * sum + ((unsigned __int128)1 << (shift - 1))) >> shift;
}

uint64_t random_exponential(struct random *r, uint64_t mean)
{
	/* Odd numbers are as often near 0 as near 2^64, and never either. */
	uint64_t ln = minus_ln_56(random_next(r) | 1);
	unsigned __int128 ret = ((unsigned __int128)mean * ln + (1ull << 55)) >> 56;

	return ret > UINT64_MAX ? UINT64_MAX : ret;
}

/* --- drawing ------------------------------------------------------------------- */

#define WHOLE 100000 /* shares: 100 % */

/*
 * The chance to be above v is v^-alpha; so that power of a number between
 * that of the largest v and 1 is drawn, and the root taken.
 */
static uint64_t draw_pareto(const struct dist_term *t, struct random *r)
{
	uint64_t w = UINT64_MAX - high(random_next(r), UINT64_MAX - t->outside);
	uint64_t ln = minus_ln_56(w), y, v;

	if (ln / t->alpha >= t->log_range / 10)
		return t->b;
	y = ln / t->alpha * 10 + ln % t->alpha * 10 / t->alpha;
	v = times_exp(t->b, t->log_range - y);
	return v < t->a ? t->a : v;
}

static uint64_t draw_term(const struct dist_term *t, struct random *r)
{
	switch (t->kind) {
	case DIST_EXP:
		return random_exponential(r, t->a);
	case DIST_UNIFORM:
		return random_between(r, t->a, t->b);
	case DIST_PARETO:
		return draw_pareto(t, r);
	case DIST_CONST:
		break;
	}
	return t->a;
}

uint64_t dist_draw(const struct dist *d, struct random *r)
{
	const struct dist_term *t = d->term;

	if (d->nr > 1) {
		uint64_t rest = random_below(r, WHOLE);

		for (; rest >= t->share; t++)
			rest -= t->share;
	}
	return draw_term(t, r);
}

/* --- means ----------------------------------------------------------------------- */

static uint64_t mean_pareto(const struct dist_term *t)
{
	uint64_t inside = -t->outside, ret;
	unsigned __int128 a, b;

	/* Too narrow for the difference below to be precise, or to matter. */
	if (t->b - t->a < t->a / 1000)
		return t->a + (t->b - t->a) / 2;
	if (!t->outside)
		inside = UINT64_MAX;
	if (t->alpha == 10) {
		ret = (unsigned __int128)t->a * t->log_range / (inside >> 8);
	} else {
		/* alpha / (alpha - 1) * (a - b (a/b)^alpha) / (1 - (a/b)^alpha) */
		a = (unsigned __int128)t->a << 64;
		b = (unsigned __int128)t->b * t->outside;
		if (t->alpha > 10)
			ret = ((a - b) >> 20) * t->alpha / (t->alpha - 10) / (inside >> 20);
		else
			ret = ((b - a) >> 20) * t->alpha / (10 - t->alpha) / (inside >> 20);
	}
	return ret < t->a ? t->a : ret > t->b ? t->b : ret;
}

static uint64_t mean_term(const struct dist_term *t)
{
	switch (t->kind) {
	case DIST_UNIFORM:
		return t->a + (t->b - t->a) / 2;
	case DIST_PARETO:
		return mean_pareto(t);
	case DIST_CONST:
	case DIST_EXP:
		break;
	}
	return t->a;
}

uint64_t dist_mean(const struct dist *d)
{
	unsigned __int128 sum = 0;

	for (uint32_t i = 0; i < d->nr; i++)
		sum += (unsigned __int128)mean_term(&d->term[i]) * d->term[i].share;
	return sum / WHOLE;
}

/* --- text -------------------------------------------------------------------------- */

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000 },
};

#define NR_UNITS (sizeof(units) / sizeof(units[0]))

/* What is read, how far, and what is wrong with it. */
struct text {
	const char *at;
	const char *why;
};

static int refuse(struct text *t, const char *why)
{
	t->why = why;
	return -EINVAL;
}

/* Does @word come next? Then go behind it. */
static bool take(struct text *t, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(t->at, word, len))
		return false;
	t->at += len;
	return true;
}

/* Digits, and after a point at most @decimals; *@ret is in units of the last of those. */
static int parse_decimal(struct text *t, unsigned int decimals, unsigned __int128 *ret)
{
	/* The longest duration in billionths of a ns: nothing valid is more, in any unit. */
	const unsigned __int128 max = (unsigned __int128)DIST_NS_MAX * 1000000000;
	unsigned __int128 value = 0;
	bool point = false;

	if (!isdigit((unsigned char)*t->at))
		return refuse(t, "a number is missing");
	for (;; t->at++) {
		if (*t->at == '.' && !point && isdigit((unsigned char)t->at[1])) {
			point = true;
			continue;
		}
		if (!isdigit((unsigned char)*t->at))
			break;
		if (point && !decimals--)
			return refuse(t, "a number has too many decimals");
		value = value * 10 + (*t->at - '0');
		if (value > max)
			return refuse(t, "a number is too large");
	}
	for (; decimals; decimals--)
		value *= 10;
	*ret = value;
	return 0;
}

static int parse_ns(struct text *t, uint64_t *ret)
{
	unsigned __int128 value;
	int err = parse_decimal(t, 9, &value);

	if (err)
		return err;
	for (size_t i = 0; i < NR_UNITS; i++) {
		if (!take(t, units[i].name))
			continue;
		value = value * units[i].ns / 1000000000;
		if (value > DIST_NS_MAX)
			return refuse(t, "a duration is longer than three years");
		*ret = value;
		return 0;
	}
	*ret = 0;
	return value ? refuse(t, "a duration has no unit; ns, us, ms and s are known") : 0;
}

/* What stands between the parts of a term. */
static int parse_separator(struct text *t, const char *what, const char *why)
{
	return take(t, what) ? 0 : refuse(t, why);
}

static int parse_uniform(struct text *t, struct dist_term *ret)
{
	int err = parse_ns(t, &ret->a);

	if (!err)
		err = parse_separator(t, "-", "uniform is two durations with a - between");
	if (!err)
		err = parse_ns(t, &ret->b);
	if (!err && ret->a > ret->b)
		err = refuse(t, "uniform goes from the shorter duration to the longer");
	return err;
}

static int parse_pareto(struct text *t, struct dist_term *ret)
{
	static const char form[] = "pareto is the minimum, the exponent and the maximum, "
				   "with a comma between";
	unsigned __int128 alpha = 0, log;
	int err = parse_ns(t, &ret->a);

	if (!err)
		err = parse_separator(t, ",", form);
	if (!err)
		err = parse_decimal(t, 1, &alpha);
	if (!err)
		err = parse_separator(t, ",", form);
	if (!err)
		err = parse_ns(t, &ret->b);
	if (err)
		return err;
	if (!alpha || alpha > 100)
		return refuse(t, "the exponent of pareto is from 0.1 to 10");
	if (!ret->a || ret->a >= ret->b)
		return refuse(t, "the minimum of pareto is above 0 and below the maximum");
	ret->alpha = alpha;
	ret->log_range = minus_ln_56(ret->a) - minus_ln_56(ret->b);
	log = (unsigned __int128)ret->log_range * ret->alpha / 10;
	ret->outside = log >> 62 ? 0 : times_exp(UINT64_MAX, log);
	return 0;
}

static int parse_term(struct text *t, struct dist_term *ret)
{
	int err;

	if (take(t, "uniform:")) {
		ret->kind = DIST_UNIFORM;
		return parse_uniform(t, ret);
	}
	if (take(t, "pareto:")) {
		ret->kind = DIST_PARETO;
		return parse_pareto(t, ret);
	}
	if (take(t, "exp:")) {
		ret->kind = DIST_EXP;
		err = parse_ns(t, &ret->a);
		if (!err && !ret->a)
			err = refuse(t, "the mean of exp is above 0");
		return err;
	}
	ret->kind = DIST_CONST;
	if (!take(t, "const:") && !isdigit((unsigned char)*t->at))
		return refuse(t, "a distribution is a duration, or const:, exp:, uniform: or "
				 "pareto: and what they take");
	return parse_ns(t, &ret->a);
}

static int parse_share(struct text *t, uint32_t *ret)
{
	unsigned __int128 share;
	int err = parse_decimal(t, 3, &share);

	if (!err)
		err = parse_separator(t, "%", "each part of a mixture begins with its percentage");
	if (!err && (!share || share > WHOLE))
		err = refuse(t, "a percentage is above 0 and at most 100");
	if (!err)
		*ret = share;
	return err;
}

static int parse_mixture(struct text *t, struct dist *ret)
{
	uint32_t sum = 0;

	do {
		struct dist_term *term = &ret->term[ret->nr];
		int err;

		if (ret->nr == DIST_TERMS_MAX)
			return refuse(t, "a mixture has at most 8 parts");
		err = parse_share(t, &term->share);
		if (!err)
			err = parse_term(t, term);
		if (err)
			return err;
		sum += term->share;
		ret->nr++;
	} while (take(t, "+"));
	return sum == WHOLE ? 0 : refuse(t, "the percentages do not add up to 100");
}

int dist_parse(struct dist *ret, const char *text, const char **ret_why)
{
	struct text t = { .at = text };
	struct dist d = { 0 };
	int err;

	if (strchr(text, '%')) {
		err = parse_mixture(&t, &d);
	} else {
		d.nr = 1;
		d.term[0].share = WHOLE;
		err = parse_term(&t, &d.term[0]);
	}
	if (!err && *t.at)
		err = refuse(&t, "something follows that does not belong to the distribution");
	if (err)
		*ret_why = t.why;
	else
		*ret = d;
	return err;
}

/* In the largest unit that loses nothing. */
static const char *format_ns(uint64_t ns, char *buf, size_t size)
{
	size_t i = NR_UNITS - 1;

	while (ns % units[i].ns)
		i--;
	snprintf(buf, size, "%llu%s", (unsigned long long)(ns / units[i].ns),
		 ns ? units[i].name : "");
	return buf;
}

/* @value in units of 10^-@decimals, without zeros at the end. */
static const char *format_decimal(uint32_t value, int decimals, char *buf, size_t size)
{
	uint32_t one = 1, part;

	for (int i = 0; i < decimals; i++)
		one *= 10;
	for (part = value % one; part && part % 10 == 0; part /= 10)
		decimals--;
	if (part)
		snprintf(buf, size, "%u.%0*u", value / one, decimals, part);
	else
		snprintf(buf, size, "%u", value / one);
	return buf;
}

static void format_term(const struct dist_term *t, char *buf, size_t size)
{
	char a[32], b[32], alpha[16];

	format_ns(t->a, a, sizeof(a));
	format_ns(t->b, b, sizeof(b));
	switch (t->kind) {
	case DIST_CONST:
		snprintf(buf, size, "%s", a);
		break;
	case DIST_EXP:
		snprintf(buf, size, "exp:%s", a);
		break;
	case DIST_UNIFORM:
		snprintf(buf, size, "uniform:%s-%s", a, b);
		break;
	case DIST_PARETO:
		format_decimal(t->alpha, 1, alpha, sizeof(alpha));
		snprintf(buf, size, "pareto:%s,%s,%s", a, alpha, b);
		break;
	}
}

void dist_format(const struct dist *d, char *buf, size_t size)
{
	size_t used = 0;

	if (size)
		buf[0] = 0;
	for (uint32_t i = 0; i < d->nr && used < size; i++) {
		char share[16] = "", term[128];

		if (d->nr > 1)
			format_decimal(d->term[i].share, 3, share, sizeof(share));
		format_term(&d->term[i], term, sizeof(term));
		used += snprintf(buf + used, size - used, "%s%s%s%s", i ? "+" : "", share,
				 d->nr > 1 ? "%" : "", term);
	}
}
