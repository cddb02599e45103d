// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results: adding up, judging, printing.
 * In: tallies, counts. Out: text. Implements result.h.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "bench/apps/result.h"

/* --- judging ------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) not_kept_up(struct result *r, const char *format,
							      ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->why[r->nr_whys], sizeof(r->why[0]), format, args);
	va_end(args);
	r->nr_whys++;
}

/*
 * By Little's law, if one in twenty is still there in the end, a request is there
 * for a twentieth of the whole time on average: more came than was served, or the
 * time was too short for such latencies. A few may be there by chance.
 */
static bool too_many_left(const struct result *r)
{
	return r->generator->nr_left > r->nr_produced / 20 + 16;
}

static void judge(struct result *r)
{
	const struct generator *g = r->generator;
	uint64_t late_ns = hist_quantile(&g->late, 990000);

	if (g->nr_dropped)
		not_kept_up(r, "%" PRIu64 " requests were dropped: %u waited already (--queue)",
			    g->nr_dropped, g->opt.queue);
	if (too_many_left(r))
		not_kept_up(r,
			    "%" PRIu64 " requests had not ended when the time was over: more came "
			    "than were served",
			    g->nr_left);
	if (r->nr_unfinished)
		not_kept_up(r, "%" PRIu64 " requests had not ended %.0f s later either (--limit)",
			    r->nr_unfinished, g->opt.limit_ns / 1e9);
	if (late_ns > r->late_max_ns)
		not_kept_up(r,
			    "the load generator itself was late, one time in a hundred by %.3f ms "
			    "or more: give it a CPU (--generator-cpu, --spin)",
			    late_ns / 1e6);
}

void result_find(struct result *r)
{
	const struct generator *g = r->generator;
	const struct pool *p = r->pool;
	uint64_t ended = 0;

	for (uint32_t w = 0; w < p->opt.nr; w++) {
		for (uint32_t i = 0; i < p->opt.mix->nr; i++) {
			hist_merge(&r->part[i].latency, &p->worker[w].tally[i].latency);
			r->part[i].cpu_ns += p->worker[w].tally[i].cpu_ns;
		}
		r->nr_ended += p->worker[w].nr_ended;
	}
	for (uint32_t i = 0; i < p->opt.mix->nr; i++) {
		hist_merge(&r->latency, &r->part[i].latency);
		r->nr_produced += g->nr_produced[i];
	}
	ended = hist_count(&r->latency) + g->nr_dropped;
	r->nr_unfinished = r->nr_produced - ended;
	if (g->end_ns > p->begin_ns)
		r->seconds = (g->end_ns - p->begin_ns) / 1e9;
	judge(r);
}

/* --- printing -------------------------------------------------------------------- */

static double per_second(const struct result *r, uint64_t nr)
{
	return r->seconds > 0 ? nr / r->seconds : 0;
}

static double mean_cpu_ns(const struct tally *t)
{
	return hist_count(&t->latency) ? (double)t->cpu_ns / hist_count(&t->latency) : 0;
}

/* Of the CPUs that it could have had. */
static double batch_share(const struct result *r)
{
	return r->batch_ns ? (double)r->batch_cpu_ns / r->batch_ns / r->nr_cpus : 0;
}

static const struct quantile {
	const char *name;
	uint32_t per_million;
} quantiles[] = {
	{ "p50", 500000 },   { "p90", 900000 },	 { "p99", 990000 },
	{ "p99.9", 999000 }, { "max", 1000000 },
};

#define NR_QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static void print_hist_json(const char *name, const struct hist *h)
{
	printf("\"%s\": {\"count\": %" PRIu64 ", \"mean\": %" PRIu64, name, hist_count(h),
	       hist_mean(h));
	for (size_t i = 0; i < NR_QUANTILES; i++)
		printf(", \"%s\": %" PRIu64, quantiles[i].name,
		       hist_quantile(h, quantiles[i].per_million));
	printf("}");
}

/* No text here has anything to quote: mixes are parsed, reasons are ours. */
void result_print_json(const struct result *r)
{
	const struct generator *g = r->generator;
	const struct pool_options *opt = &r->pool->opt;
	char ops[128];

	class_ops(ops, sizeof(ops));
	printf("{\"app\": \"rocksdb\", \"mix\": \"%s\", \"scale\": %g, \"seed\": %" PRIu64
	       ", \"workers\": %u, \"policy\": \"%s\", \"ops\": \"%s\", \"slice_ns\": %" PRIu64
	       ", ",
	       r->mix_text, g->opt.scale, g->opt.seed, opt->nr, r->pool->class_name, ops,
	       opt->class->slice_ns);
	if (opt->class->has_nice)
		printf("\"nice\": %d, ", opt->class->nice);
	printf("\"keys\": %u, \"range_keys\": %u, \"generator_cpu\": %d, \"spin\": %s, ",
	       g->opt.nr_keys, opt->range_keys, g->opt.cpu, g->opt.spin ? "true" : "false");
	printf("\"seconds\": %.6f, \"asked_rps\": %g, \"produced_rps\": %.3f, "
	       "\"ended_rps\": %.3f, ",
	       r->seconds, g->opt.rate, per_second(r, r->nr_produced), per_second(r, r->nr_ended));
	printf("\"produced\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"left\": %" PRIu64
	       ", \"unfinished\": %" PRIu64 ", \"interrupted\": %s, \"kept_up\": %s, \"why\": [",
	       r->nr_produced, g->nr_dropped, g->nr_left, r->nr_unfinished,
	       g->interrupted ? "true" : "false", r->nr_whys ? "false" : "true");
	for (uint32_t i = 0; i < r->nr_whys; i++)
		printf("%s\"%s\"", i ? ", " : "", r->why[i]);
	printf("], ");
	print_hist_json("late_ns", &g->late);
	printf(", ");
	print_hist_json("latency_ns", &r->latency);
	printf(", \"parts\": [");
	for (uint32_t i = 0; i < opt->mix->nr; i++) {
		const struct mix_part *part = &opt->mix->part[i];

		printf("%s{\"part\": \"%s\", \"kind\": \"%s\", \"share\": %.3f, \"produced\": %" PRIu64
		       ", \"cpu_ns_mean\": %.0f, ",
		       i ? ", " : "", part->text, mix_kind_name(part->kind), part->share / 1000.0,
		       g->nr_produced[i], mean_cpu_ns(&r->part[i]));
		print_hist_json("latency_ns", &r->part[i].latency);
		printf("}");
	}
	printf("], \"batch\": ");
	if (r->nr_batch)
		printf("{\"threads\": %u, \"nice\": %d, \"cpus\": %u, \"cpu_s\": %.6f, \"share\": %.6f}",
		       r->nr_batch, r->batch_nice, r->nr_cpus, r->batch_cpu_ns / 1e9,
		       batch_share(r));
	else
		printf("null");
#ifdef __OPTIMIZE__
	printf(", \"optimized\": true}\n");
#else
	printf(", \"optimized\": false}\n");
#endif
}

static void print_row(const char *name, const struct hist *h)
{
	printf("%-24s %10" PRIu64, name, hist_count(h));
	for (size_t i = 0; i < NR_QUANTILES; i++)
		printf(" %10.1f", hist_quantile(h, quantiles[i].per_million) / 1e3);
}

void result_print_table(const struct result *r)
{
	const struct generator *g = r->generator;
	const struct mix *mix = r->pool->opt.mix;

	printf("rocksdb: %s, %u workers, policy %s, seed %" PRIu64 "\n", r->mix_text,
	       r->pool->opt.nr, r->pool->class_name, g->opt.seed);
	printf("per second: asked %.1f, produced %.1f, ended %.1f; for %.3f s%s\n\n", g->opt.rate,
	       per_second(r, r->nr_produced), per_second(r, r->nr_ended), r->seconds,
	       g->interrupted ? ", then interrupted" : "");
	printf("%-24s %10s", "us", "requests");
	for (size_t i = 0; i < NR_QUANTILES; i++)
		printf(" %10s", quantiles[i].name);
	printf(" %10s\n", "CPU, mean");
	for (uint32_t i = 0; i < mix->nr; i++) {
		print_row(mix->part[i].text, &r->part[i].latency);
		printf(" %10.1f\n", mean_cpu_ns(&r->part[i]) / 1e3);
	}
	print_row("all", &r->latency);
	printf("\n");
	print_row("generator late by", &g->late);
	printf("\n");
	if (r->nr_batch)
		printf("\nbatch: %u threads, nice %d, had %.1f %% of %u CPUs\n", r->nr_batch,
		       r->batch_nice, 100 * batch_share(r), r->nr_cpus);
	if (!r->nr_whys)
		return;
	printf("\nThe load was not kept up:\n");
	for (uint32_t i = 0; i < r->nr_whys; i++)
		printf("  - %s\n", r->why[i]);
	if (g->nr_dropped || r->nr_unfinished)
		printf("Latencies are of requests that ended; with the others they would be worse.\n");
}
