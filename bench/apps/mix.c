// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mixes of requests: text to shares and distributions, and draws.
 * In: text, chance. Out: parts. Implements mix.h.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench/apps/mix.h"

static const char *const kinds[] = { [MIX_GET] = "get", [MIX_RANGE] = "range" };

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* What is read, how far, and what is wrong there. */
struct text {
	const char *at;
	const char *why;
};

static int refuse(struct text *t, const char *why)
{
	t->why = why;
	return -EINVAL;
}

/* "99.5%" in thousandths of a percent. */
static int parse_share(struct text *t, uint32_t *ret)
{
	const char *begin = t->at;
	uint32_t value = 0, decimals = 3;
	bool point = false;

	for (; isdigit((unsigned char)*t->at) || (*t->at == '.' && !point); t->at++) {
		if (*t->at == '.') {
			point = true;
			continue;
		}
		if (point && !decimals--)
			return refuse(t, "a share has at most three decimals");
		value = value * 10 + (*t->at - '0');
		if (value > MIX_WHOLE)
			break;
	}
	if (t->at == begin)
		return refuse(t, "a part begins with its share, such as 99.5%");
	for (; decimals && value <= MIX_WHOLE; decimals--)
		value *= 10;
	if (!value || value > MIX_WHOLE) {
		t->at = begin;
		return refuse(t, "a share is above 0 % and at most 100 %");
	}
	if (*t->at != '%')
		return refuse(t, "a share ends with %");
	t->at++;
	*ret = value;
	return 0;
}

static int parse_kind(struct text *t, enum mix_kind *ret)
{
	for (size_t i = 0; i < NR_KINDS; i++) {
		size_t len = strlen(kinds[i]);

		if (strncmp(t->at, kinds[i], len) || t->at[len] != ':')
			continue;
		t->at += len + 1;
		*ret = i;
		return 0;
	}
	return refuse(t, "a request is get: or range: and its service time");
}

static int parse_part(struct text *t, bool only, struct mix_part *ret)
{
	const char *begin = t->at;
	size_t len = strcspn(begin, "+");
	char service[MIX_TEXT_MAX];
	int err = 0;

	if (len >= MIX_TEXT_MAX)
		return refuse(t, "a part is longer than 63 characters");
	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)len, begin);
	ret->share = MIX_WHOLE;
	if (!only || isdigit((unsigned char)*begin))
		err = parse_share(t, &ret->share);
	if (!err)
		err = parse_kind(t, &ret->kind);
	if (err)
		return err;
	snprintf(service, sizeof(service), "%.*s", (int)(begin + len - t->at), t->at);
	if (strchr(service, '%'))
		return refuse(t, "a service time is not a mixture; give it a part of its own");
	err = dist_parse(&ret->service, service, &t->why);
	if (!err)
		t->at = begin + len;
	return err;
}

static int parse_parts(struct text *t, struct mix *ret)
{
	bool only = !strchr(t->at, '+');
	uint32_t sum = 0;

	for (;; t->at++) {
		const char *begin = t->at;
		int err;

		if (ret->nr == MIX_PARTS_MAX)
			return refuse(t, "a mix has at most 8 parts");
		err = parse_part(t, only, &ret->part[ret->nr]);
		if (err)
			return err;
		sum += ret->part[ret->nr++].share;
		if (sum > MIX_WHOLE) {
			t->at = begin;
			return refuse(t, "with this part the shares are more than 100 %");
		}
		if (!*t->at)
			break;
	}
	return sum == MIX_WHOLE ? 0 : refuse(t, "the shares are less than 100 %");
}

int mix_parse(struct mix *ret, const char *text, size_t *ret_at, const char **ret_why)
{
	struct text t = { .at = text };
	struct mix mix = { 0 };
	int err = parse_parts(&t, &mix);

	if (err) {
		*ret_at = t.at - text + 1;
		*ret_why = t.why;
		return err;
	}
	*ret = mix;
	return 0;
}

uint32_t mix_draw(const struct mix *mix, struct random *r, uint64_t *ret_ns)
{
	uint64_t rest = random_below(r, MIX_WHOLE);
	uint32_t i = 0;

	for (; rest >= mix->part[i].share; i++)
		rest -= mix->part[i].share;
	*ret_ns = dist_draw(&mix->part[i].service, r);
	return i;
}

const char *mix_kind_name(enum mix_kind kind)
{
	return kinds[kind];
}
