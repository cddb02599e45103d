// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost sim: a policy on a machine that is not there.
 * In: options. Out: a report, traces, pictures; with --fuzz, the first case
 * that breaks a law. Called by people, tests and the bench. Needs no rights.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commit.h"
#include "policies/policies.h"
#include "sim/explore.h"
#include "sim/fuzz.h"
#include "sim/record.h"
#include "sim/sim.h"
#include "sim/timeline.h"
#include "sim/trace.h"

static int sim_main(int argc, char **argv);

const struct verb verb_sim = {
	.name = "sim",
	.args = "",
	.help = "run a policy on a simulated machine, from a seed",
	.main = sim_main,
};

enum {
	KEY_POLICY = 0x100,
	KEY_CPUS,
	KEY_TOPOLOGY,
	KEY_PROFILE,
	KEY_WORKLOAD,
	KEY_LOAD,
	KEY_RATE,
	KEY_SERVICE,
	KEY_BURST,
	KEY_SECONDS,
	KEY_WARMUP,
	KEY_SEED,
	KEY_FAIR,
	KEY_STALL,
	KEY_UPGRADE,
	KEY_LAWS,
	KEY_FINE,
	KEY_REPLAY,
	KEY_TRACE,
	KEY_TIMELINE,
	KEY_RECORD,
	KEY_FUZZ,
	KEY_EVENTS,
	KEY_SHRINK,
	KEY_CASE,
	KEY_EXPLORE,
};

static const struct argp_option sim_options[] = {
	{ "policy", KEY_POLICY, "NAME", 0, "the policy that decides (default: fifo_percpu)", 0 },
	{ "cpus", KEY_CPUS, "N", 0, "CPUs of the machine, 1 to 1024 (default: 8)", 0 },
	{ "topology", KEY_TOPOLOGY, "TEXT", 0,
	  "what they share, as hwloc writes it: 'package:2 l3:4 core:8 pu:2' (instead of --cpus)",
	  0 },
	{ "profile", KEY_PROFILE, "NAME", 0,
	  "what things cost: paper-skylake, measured, free, or a results file of make bench "
	  "(default: paper-skylake)",
	  0 },
	{ "workload", KEY_WORKLOAD, "KIND[:THREADS[:NICE]]", 0,
	  "what the threads do; can be given up to four times (default: dispersive)", 0 },
	{ "load", KEY_LOAD, "X", 0,
	  "requests that arrive, as a part of what the CPUs could do (default: 0.8)", 0 },
	{ "rate", KEY_RATE, "N", 0, "requests per second (instead of --load)", 0 },
	{ "service", KEY_SERVICE, "DIST", 0,
	  "computing per request: 10us, exp:10us, uniform:1us-5us, pareto:1us,1.5,1ms, or a mix "
	  "such as 99.5%4us+0.5%10ms (default: the workload's own)",
	  0 },
	{ "burst", KEY_BURST, "N", 0, "requests arrive in groups of N on average (default: 1)", 0 },
	{ "seconds", KEY_SECONDS, "S", 0, "virtual time measured (default: 1)", 0 },
	{ "warmup", KEY_WARMUP, "DURATION", 0, "virtual time before that (default: a tenth of it)",
	  0 },
	{ "seed", KEY_SEED, "N", 0, "the same seed is the same run, bit by bit (default: 1)", 0 },
	{ "fair", KEY_FAIR, "X", 0,
	  "normal threads take so much of each CPU, in bursts (default: 0)", 0 },
	{ "upgrade", KEY_UPGRADE, "DURATION", 0,
	  "after so long other agents of the policy take over, and what that cost is told", 0 },
	{ "stall", KEY_STALL, "DURATION", 0,
	  "give the agents up when a thread waits this long for a decision (default: 5s)", 0 },
	{ "laws", KEY_LAWS, NULL, 0, "check every law after every event (slow on large machines)",
	  0 },
	{ "fine", KEY_FINE, NULL, 0, "agents may lose their CPU after each step, not only in calls",
	  0 },
	{ "replay", KEY_REPLAY, "FILE", 0, "the work that was recorded in FILE", 0 },
	{ "trace", KEY_TRACE, "FILE", 0, "write all that happens, for ui.perfetto.dev", 0 },
	{ "timeline", KEY_TIMELINE, "FILE.svg", 0, "draw which CPU ran what", 0 },
	{ "record", KEY_RECORD, "FILE", 0, "write the work, to be replayed", 0 },
	OPTION_JSON,
	{ .doc = "Looking for mistakes:", .group = 1 },
	{ "fuzz", KEY_FUZZ, "N", 0,
	  "run N random cases, with faults, under the laws; seeds count up from --seed", 1 },
	{ "events", KEY_EVENTS, "N", 0, "events per case (default: 10000)", 1 },
	{ "shrink", KEY_SHRINK, NULL, 0, "make a case that breaks a law as small as possible", 1 },
	{ "case", KEY_CASE, "TEXT", 0, "run one case, as --fuzz printed it", 1 },
	{ "explore", KEY_EXPLORE, "DEPTH", 0,
	  "run every order of DEPTH steps of 2 CPUs and 3 threads", 1 },
	OPTION_HELP,
};

#define NR_SIM_OPTIONS (sizeof(sim_options) / sizeof(sim_options[0]))

/* A set of options; those of the policy are one. */
#define BIT(key) (1ull << ((key) - KEY_POLICY))
#define BIT_PARAM (1ull << 63)

struct arguments {
	struct sim_options sim;
	struct verb verb;
	const char *policy;
	uint64_t params[PARAMS_MAX];
	char kinds[SIM_WORKLOADS_MAX][16];
	struct dist service;
	bool has_service;
	uint32_t load_ppm;
	uint64_t rate;
	uint32_t burst;
	uint32_t fair_ppm;
	bool has_warmup, has_cpus, has_load;
	const char *replay, *trace, *timeline, *record;
	const char *text; /* --case */
	uint64_t fuzz, events, explore;
	bool shrink, json;
	uint64_t given;	   /* options */
	const char *param; /* one of the policy's that was given */
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* --- values ---------------------------------------------------------------------------- */

/* "0.8" or "80%" in millionths. */
static uint32_t parse_part(const struct verb *verb, const char *option, const char *text,
			   double max)
{
	char *end;
	double x = strtod(text, &end);

	if (end != text && !strcmp(end, "%")) {
		x /= 100;
		end++;
	}
	if (end == text || *end || !isfinite(x) || x < 0 || x > max)
		usage_error(verb, "--%s wants a number from 0 to %g, such as 0.8 or 80%%, not '%s'",
			    option, max, text);
	return x * 1000000 + 0.5;
}

static uint64_t parse_number(const struct verb *verb, const char *option, const char *text,
			     uint64_t min, uint64_t max)
{
	uint64_t value;

	if (parse_uint(text, &value) || value < min || value > max)
		usage_error(verb,
			    "--%s wants a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'",
			    option, min, max, text);
	return value;
}

static uint64_t parse_seconds(const struct verb *verb, const char *text)
{
	char with_unit[64];
	uint64_t ns;

	snprintf(with_unit, sizeof(with_unit), "%ss", text);
	if ((parse_duration(text, &ns) && parse_duration(with_unit, &ns)) || !ns ||
	    ns > 100000ull * 1000000000)
		usage_error(verb, "--seconds wants a time such as 5, 0.1 or 20ms, not '%s'", text);
	return ns;
}

/* ":THREADS", ":THREADS:NICE" or "". */
static void parse_threads(const struct verb *verb, struct workload_options *w, const char *text)
{
	const char *nice;
	char *number;

	if (!*text)
		return;
	nice = strchrnul(++text, ':');
	number = strndup(text, nice - text);
	if (!number)
		exit(EXIT_FAILED);
	w->threads = parse_number(verb, "workload", number, 1, 100000);
	free(number);
	if (*nice)
		w->nice = parse_number(verb, "workload", nice + 1, 0, 19);
}

static void add_work(struct arguments *a, const char *text)
{
	struct workload_options *w = &a->sim.work[a->sim.nr_work];
	const char *colon = strchrnul(text, ':');
	char names[512] = "";
	size_t len;

	if (a->sim.nr_work == SIM_WORKLOADS_MAX)
		usage_error(&a->verb, "at most %d workloads at once", SIM_WORKLOADS_MAX);
	snprintf(a->kinds[a->sim.nr_work], sizeof(a->kinds[0]), "%.*s", (int)(colon - text), text);
	w->kind = a->kinds[a->sim.nr_work];
	if (!workload_kind(w->kind)) {
		for (const struct workload_kind *k = workload_kinds; k->name; k++) {
			len = strlen(names);
			snprintf(names + len, sizeof(names) - len, "%s%s", len ? ", " : "",
				 k->name);
		}
		usage_error(&a->verb, "there is no workload '%s' (there are: %s)", w->kind, names);
	}
	parse_threads(&a->verb, w, colon);
	a->sim.nr_work++;
}

/* Lives as long as the program. */
static const struct profile *read_profile(const struct verb *verb, const char *path)
{
	static struct profile p;
	char error[256];

	if (profile_read(&p, path, error, sizeof(error)))
		usage_error(verb, "--profile: %s", error);
	return &p;
}

static void set_service(struct arguments *a, const char *text)
{
	const char *why = "";

	if (dist_parse(&a->service, text, &why))
		usage_error(&a->verb, "--service %s: %s", text, why);
	a->has_service = true;
}

#define DEFAULT_POLICY "fifo_percpu"

/* The policy's own options are known only when the policy is. */
static const char *policy_of(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--policy") && i + 1 < argc)
			return argv[i + 1];
		if (!strncmp(argv[i], "--policy=", 9))
			return argv[i] + 9;
	}
	return DEFAULT_POLICY;
}

/*
 * Is @name the policy that policy_of() has found? It knows neither the beginnings of a
 * word that argp takes for it, nor which words are values of other options.
 */
static void check_policy(const struct arguments *a, const char *name)
{
	if (param_policy(&a->verb, name) != a->sim.policy)
		usage_error(&a->verb, "--policy is to be said once, and in full: the options of "
				      "the policy depend on it");
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	const struct verb *v = &a->verb;

	if (key >= KEY_POLICY && key <= KEY_EXPLORE)
		a->given |= BIT(key);
	switch (key) {
	case KEY_POLICY:
		check_policy(a, arg);
		a->policy = arg;
		return 0;
	case ARGP_KEY_END:
		check_policy(a, a->policy ?: DEFAULT_POLICY);
		return 0;
	case KEY_CPUS:
		a->sim.cpus = parse_number(v, "cpus", arg, 1, GHOST_CPUS_MAX);
		a->has_cpus = true;
		return 0;
	case KEY_TOPOLOGY:
		a->sim.topology = arg;
		return 0;
	case KEY_PROFILE:
		a->sim.profile = profile_find(arg);
		if (!a->sim.profile && strchr(arg, '/'))
			a->sim.profile = read_profile(v, arg);
		if (!a->sim.profile)
			usage_error(v, "there is no profile '%s' (there are: %s, %s, %s)", arg,
				    profile_at(0)->name, profile_at(1)->name, profile_at(2)->name);
		return 0;
	case KEY_WORKLOAD:
		add_work(a, arg);
		return 0;
	case KEY_LOAD:
		a->load_ppm = parse_part(v, "load", arg, 100);
		a->has_load = true;
		return 0;
	case KEY_RATE:
		a->rate = parse_number(v, "rate", arg, 1, 1000000000);
		return 0;
	case KEY_SERVICE:
		set_service(a, arg);
		return 0;
	case KEY_BURST:
		a->burst = parse_number(v, "burst", arg, 1, 100000);
		return 0;
	case KEY_SECONDS:
		a->sim.duration_ns = parse_seconds(v, arg);
		return 0;
	case KEY_WARMUP:
		if (parse_duration(arg, &a->sim.warmup_ns) || a->sim.warmup_ns == GHOST_SLICE_INF)
			usage_error(v, "--warmup wants a duration such as 100ms, not '%s'", arg);
		a->has_warmup = true;
		return 0;
	case KEY_SEED:
		a->sim.seed = parse_number(v, "seed", arg, 0, UINT64_MAX);
		return 0;
	case KEY_FAIR:
		a->fair_ppm = parse_part(v, "fair", arg, 0.95);
		return 0;
	case KEY_UPGRADE:
		if (parse_duration(arg, &a->sim.upgrade_ns) ||
		    a->sim.upgrade_ns == GHOST_SLICE_INF || !a->sim.upgrade_ns)
			usage_error(v, "--upgrade wants a duration such as 100ms, not '%s'", arg);
		return 0;
	case KEY_STALL:
		if (parse_duration(arg, &a->sim.stall_ns) || a->sim.stall_ns > GHOST_STALL_NS_MAX)
			usage_error(v, "--stall wants a duration up to 15s, not '%s'", arg);
		return 0;
	case KEY_LAWS:
		a->sim.laws = true;
		return 0;
	case KEY_FINE:
		a->sim.fine = true;
		return 0;
	case KEY_REPLAY:
		a->replay = arg;
		return 0;
	case KEY_TRACE:
		a->trace = arg;
		return 0;
	case KEY_TIMELINE:
		a->timeline = arg;
		return 0;
	case KEY_RECORD:
		a->record = arg;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case KEY_FUZZ:
		a->fuzz = parse_number(v, "fuzz", arg, 1, 1000000000);
		return 0;
	case KEY_EVENTS:
		a->events = parse_number(v, "events", arg, 1, 1000000000);
		return 0;
	case KEY_SHRINK:
		a->shrink = true;
		return 0;
	case KEY_CASE:
		a->text = arg;
		return 0;
	case KEY_EXPLORE:
		a->explore = parse_number(v, "explore", arg, 1, 64);
		return 0;
	case ARGP_KEY_ARG:
		usage_error(v, "sim takes options only, and got '%s'", arg);
	default:
		if (key < KEY_PARAM || key >= KEY_PARAM + PARAMS_MAX)
			return ARGP_ERR_UNKNOWN;
		a->given |= BIT_PARAM;
		a->param = a->sim.policy->params[key - KEY_PARAM].name;
		a->params[key - KEY_PARAM] =
			param_parse(v, &a->sim.policy->params[key - KEY_PARAM], arg);
		return 0;
	}
}

/* --- what --help adds ------------------------------------------------------------------- */

static char *list_workloads(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f, "Workloads:\n");
	for (const struct workload_kind *k = workload_kinds; k->name; k++)
		fprintf(f, "  %-12s %s\n", k->name, k->help);
	fprintf(f, "Profiles:\n");
	for (unsigned int i = 0; profile_at(i); i++)
		fprintf(f, "  %-14s %s\n", profile_at(i)->name, profile_at(i)->help);
	fclose(f);
	return text;
}

/* --- the report ----------------------------------------------------------------------------- */

static const struct quantile {
	const char *name;
	uint32_t per_million;
} quantiles[] = {
	{ "p50", 500000 },   { "p90", 900000 },	   { "p99", 990000 },
	{ "p99.9", 999000 }, { "p99.99", 999900 },
};

#define NR_QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static json_t *hist_json(const struct hist *h)
{
	json_t *o = json_object();

	for (size_t i = 0; i < NR_QUANTILES; i++)
		json_object_set_new(o, quantiles[i].name,
				    json_integer(hist_quantile(h, quantiles[i].per_million)));
	json_object_set_new(o, "max", json_integer(hist_max(h)));
	json_object_set_new(o, "mean", json_integer(hist_mean(h)));
	json_object_set_new(o, "count", json_integer(hist_count(h)));
	return o;
}

static json_t *part_json(uint32_t ppm)
{
	return json_real(ppm / 1e6);
}

static json_t *report_json(const struct arguments *a, const struct sim_report *r, double wall)
{
	json_t *o = json_object(), *commits = json_object(), *work = json_array();
	struct rusage self;
	char hash[32];

	getrusage(RUSAGE_SELF, &self);
	snprintf(hash, sizeof(hash), "%016" PRIx64, r->trace_hash);
	json_object_set_new(o, "policy", json_text(a->sim.policy->name));
	json_object_set_new(o, "profile", json_text(a->sim.profile->name));
	json_object_set_new(o, "seed", json_integer(a->sim.seed));
	json_object_set_new(o, "commit", json_text(GHOST_COMMIT));
	json_object_set_new(o, "events", json_integer(r->events));
	json_object_set_new(o, "trace_hash", json_text(hash));
	json_object_set_new(o, "wall_seconds", json_real(wall));
	json_object_set_new(o, "max_rss_bytes", json_integer(self.ru_maxrss * 1024l));
	json_object_set_new(o, "duration_ns", json_integer(r->duration_ns));
	json_object_set_new(o, "throughput_rps", json_integer(r->throughput_rps));
	json_object_set_new(o, "latency_ns", hist_json(&r->latency));
	json_object_set_new(o, "wakeup_ns", hist_json(&r->wakeup));
	json_object_set_new(o, "utilisation", part_json(r->busy_ppm));
	json_object_set_new(o, "agents", part_json(r->agent_ppm));
	json_object_set_new(o, "kernel", part_json(r->kernel_ppm));
	json_object_set_new(o, "fair", part_json(r->fair_ppm));
	json_object_set_new(o, "messages", json_integer(r->nr_msgs));
	json_object_set_new(o, "overflows", json_integer(r->nr_overflows));
	json_object_set_new(o, "switches", json_integer(r->nr_switches));
	json_object_set_new(o, "fallbacks", json_integer(r->nr_fallbacks));
	json_object_set_new(o, "agents_lost", json_integer(r->nr_agents_lost));
	json_object_set_new(o, "lost_reason", json_text(ghost_lost_reason_name(r->lost_reason)));
	if (r->upgraded)
		json_object_set_new(o, "upgrade",
				    json_pack("{s:I, s:I}", "undecided_ns",
					      (json_int_t)r->undecided_ns, "blackout_ns",
					      (json_int_t)r->blackout_ns));
	for (uint32_t i = GHOST_TXN_COMMITTED; i < GHOST_TXN_NR_STATES; i++)
		json_object_set_new(commits, ghost_txn_state_name(i), json_integer(r->nr_txn[i]));
	json_object_set_new(o, "commits", commits);
	for (uint32_t i = 0; i < r->nr_work; i++) {
		const struct workload_report *w = &r->work[i];

		json_array_append_new(
			work,
			json_pack("{s:s, s:i, s:i, s:s, s:I, s:I, s:I, s:o, s:o}", "kind", w->kind,
				  "threads", (int)w->threads, "nice", w->nice, "what", w->what,
				  "started", (json_int_t)w->started, "finished",
				  (json_int_t)w->finished, "missed", (json_int_t)w->missed,
				  "utilisation", part_json(r->work_ppm[i]), "latency_ns",
				  hist_json(w->latency)));
	}
	json_object_set_new(o, "workloads", work);
	return o;
}

/* Three digits that count, and a unit. */
static const char *human_ns(uint64_t ns, char *buf, size_t size)
{
	static const struct {
		uint64_t ns;
		const char *unit;
	} units[] = { { 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" }, { 1, "ns" } };
	int i = 0;

	while (i < 3 && ns < units[i].ns)
		i++;
	snprintf(buf, size, "%.3g %s", (double)ns / units[i].ns, units[i].unit);
	/* %g takes to exponents from 1000 on. */
	if (strchr(buf, 'e'))
		snprintf(buf, size, "%.0f %s", (double)ns / units[i].ns, units[i].unit);
	return buf;
}

static void print_hist(const char *what, const struct hist *h)
{
	char buf[32];

	if (!hist_count(h))
		return;
	printf("  %-12s", what);
	for (size_t i = 0; i < NR_QUANTILES; i++)
		printf("  %s %s", quantiles[i].name,
		       human_ns(hist_quantile(h, quantiles[i].per_million), buf, sizeof(buf)));
	printf("  max %s\n", human_ns(hist_max(h), buf, sizeof(buf)));
}

static void print_report(const struct arguments *a, const struct sim_report *r, double wall)
{
	uint64_t refused = 0;
	char buf[32];

	printf("%s on %u CPUs (%s), %s of virtual time, seed %" PRIu64 "\n\n", a->sim.policy->name,
	       a->sim.cpus, a->sim.profile->name, human_ns(r->duration_ns, buf, sizeof(buf)),
	       a->sim.seed);
	for (uint32_t i = 0; i < r->nr_work; i++) {
		const struct workload_report *w = &r->work[i];

		printf("  %-12s %u threads, %" PRIu64 " %s, %.6g per second", w->kind, w->threads,
		       w->finished, w->what,
		       r->duration_ns ? w->finished * 1e9 / r->duration_ns : 0);
		if (!strcmp(w->kind, "periodic"))
			printf(", %" PRIu64 " too late", w->missed);
		if (r->nr_work > 1)
			printf(", %.1f %% of the CPUs", r->work_ppm[i] / 1e4);
		printf("\n");
		print_hist("  latency", w->latency);
	}
	print_hist("wake-up", &r->wakeup);
	printf("  CPUs          threads %.1f %%, agents %.2f %%, kernel %.2f %%, fair class %.1f %%\n",
	       r->busy_ppm / 1e4, r->agent_ppm / 1e4, r->kernel_ppm / 1e4, r->fair_ppm / 1e4);
	printf("  messages      %" PRIu64 ", %" PRIu64 " without room\n", r->nr_msgs,
	       r->nr_overflows);
	for (uint32_t i = GHOST_TXN_AGENT_STALE; i < GHOST_TXN_NR_STATES; i++)
		refused += r->nr_txn[i];
	printf("  commits       %" PRIu64 " committed, %" PRIu64 " yielded, %" PRIu64 " refused",
	       r->nr_txn[GHOST_TXN_COMMITTED], r->nr_txn[GHOST_TXN_YIELDED], refused);
	for (uint32_t i = GHOST_TXN_AGENT_STALE; i < GHOST_TXN_NR_STATES; i++)
		if (r->nr_txn[i])
			printf(" (%s %" PRIu64 ")", ghost_txn_state_name(i), r->nr_txn[i]);
	printf("\n  switches      %" PRIu64 "\n", r->nr_switches);
	if (r->upgraded)
		printf("  upgrade       nobody decided for %s",
		       human_ns(r->undecided_ns, buf, sizeof(buf)));
	if (r->upgraded)
		printf(", the longest wait of a ready thread was %s\n",
		       human_ns(r->blackout_ns, buf, sizeof(buf)));
	if (r->nr_agents_lost)
		printf("  agents        were given up %u times, the last time for: %s; the fallback ran "
		       "the threads\n",
		       r->nr_agents_lost, ghost_lost_reason_name(r->lost_reason));
	printf("  simulated     %" PRIu64 " events in %.2f s (%.2f million per second), hash "
	       "%016" PRIx64 "\n",
	       r->events, wall, wall > 0 ? r->events / wall / 1e6 : 0, r->trace_hash);
}

/* --- progress ----------------------------------------------------------------------------------- */

struct progress {
	double began, shown;
	bool wanted;
};

static void progress_begin(struct progress *p)
{
	p->began = p->shown = now();
	p->wanted = isatty(STDERR_FILENO);
}

/* At most every fifth of a second, and only if it takes longer than one. */
static void progress_show(struct progress *p, double part, const char *what)
{
	double t = now();

	if (!p->wanted || t - p->began < 1 || t - p->shown < 0.2)
		return;
	p->shown = t;
	fprintf(stderr, "\rghost: %s %3.0f %%, %.0f s left ", what, part * 100,
		part > 0 ? (t - p->began) * (1 - part) / part : 0);
}

static void progress_end(struct progress *p)
{
	if (p->shown > p->began)
		fprintf(stderr, "\r%60s\r", "");
}

static void sim_progress(void *arg, uint32_t ppm)
{
	progress_show(arg, ppm / 1e6, "simulated");
}

/* --- one run --------------------------------------------------------------------------------------- */

/* Whoever wants to see what happens. */
struct sinks {
	struct trace_file *trace;
	struct timeline *timeline;
	struct recorder *record;
};

static void sink(void *arg, const struct machine *m, const struct trace_record *r)
{
	struct sinks *s = arg;

	if (s->trace)
		trace_write(s->trace, m, r);
	if (s->timeline)
		timeline_write(s->timeline, m, r);
	if (s->record)
		record_write(s->record, m, r);
}

static int say_file(const char *path, int err)
{
	say("cannot write %s: %s", path, strerror(-err));
	return EXIT_FAILED;
}

static int sinks_open(struct sinks *s, const struct arguments *a)
{
	char title[128];
	int err;

	snprintf(title, sizeof(title), "%s, %s, %u CPUs, seed %" PRIu64, a->sim.policy->name,
		 a->sim.work[0].kind, a->sim.cpus, a->sim.seed);
	if (a->trace && (err = trace_open(&s->trace, a->trace, a->sim.cpus)))
		return say_file(a->trace, err);
	if (a->timeline && (err = timeline_open(&s->timeline, a->timeline, title, a->sim.cpus, 0,
						a->sim.warmup_ns + a->sim.duration_ns)))
		return say_file(a->timeline, err);
	if (a->record && (err = record_open(&s->record, a->record)))
		return say_file(a->record, err);
	return EXIT_OK;
}

static int sinks_close(struct sinks *s, const struct arguments *a)
{
	int ret = EXIT_OK, err;

	if (s->trace && (err = trace_close(s->trace)))
		ret = say_file(a->trace, err);
	if (s->timeline && (err = timeline_close(s->timeline)))
		ret = say_file(a->timeline, err);
	if (s->record && (err = record_close(s->record)))
		ret = say_file(a->record, err);
	return ret;
}

static int run_one(struct arguments *a)
{
	struct sim_report *r = calloc(1, sizeof(*r));
	struct sinks sinks = { 0 };
	struct progress p;
	const char *why = "";
	struct sim *s;
	int err, ret;

	if (!r)
		return EXIT_FAILED;
	progress_begin(&p);
	a->sim.progress = sim_progress;
	a->sim.progress_arg = &p;
	if (a->trace || a->timeline || a->record) {
		a->sim.trace = sink;
		a->sim.trace_arg = &sinks;
	}
	err = sim_new(&s, &a->sim, &why);
	if (err) {
		say("cannot make the machine: %s", why);
		free(r);
		return err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	a->sim.cpus = sim_machine(s)->nr_cpus;
	ret = sinks_open(&sinks, a);
	if (ret) {
		sinks_close(&sinks, a);
		sim_free(s);
		free(r);
		return ret;
	}
	err = sim_run(s);
	progress_end(&p);
	sim_report(s, r);
	ret = sinks_close(&sinks, a);
	if (err == -EPROTO) {
		say("a law was broken: %s (ghost sim --seed %" PRIu64 ", commit %s)", r->broken,
		    a->sim.seed, GHOST_COMMIT);
		ret = EXIT_FAILED;
	} else if (err) {
		say("the run failed: %s", strerror(-err));
		ret = EXIT_FAILED;
	} else if (a->json) {
		ret = json_print(report_json(a, r, now() - p.began)) ?: ret;
	} else {
		print_report(a, r, now() - p.began);
	}
	sim_free(s);
	free(r);
	return ret;
}

/* --- many runs ---------------------------------------------------------------------------------------- */

static void shrunk(void *arg, const struct fuzz_case *c, uint32_t run)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rghost: %u runs, %u CPUs, %u faults ", run, c->cpus, c->plan.nr);
}

/* The line that repeats it. */
static void say_case(const struct arguments *a, struct fuzz_case *c, struct sim_report *r)
{
	char text[FUZZ_TEXT_SIZE];
	uint32_t runs;

	if (a->shrink) {
		runs = fuzz_shrink(c, 2000, shrunk, NULL);
		fuzz_run(c, r, NULL, NULL);
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r%60s\r", "");
		say("made smaller in %u runs; the law it breaks now: %s", runs, r->broken);
	}
	fuzz_format(c, text, sizeof(text));
	printf("ghost sim --case '%s'\n", text);
}

static void add_counts(struct law_counts *sum, const struct law_counts *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)sum;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

static json_t *laws_json(const struct law_counts *c)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "events",
			 (json_int_t)c->events, "orders", (json_int_t)c->orders, "commits",
			 (json_int_t)c->commits, "finals", (json_int_t)c->finals, "places",
			 (json_int_t)c->places, "runs", (json_int_t)c->runs, "idles",
			 (json_int_t)c->idles, "rooms", (json_int_t)c->rooms, "fallbacks",
			 (json_int_t)c->fallbacks, "nowheres", (json_int_t)c->nowheres, "turns",
			 (json_int_t)c->turns);
}

static void print_laws(const struct law_counts *c)
{
	printf("  laws held     %" PRIu64 " events, %" PRIu64 " orders, %" PRIu64
	       " commits, %" PRIu64 " ends, %" PRIu64 " places,\n                %" PRIu64
	       " runs, %" PRIu64 " idle CPUs, %" PRIu64 " rooms made, %" PRIu64
	       " waits for the fallback,\n                %" PRIu64 " without a CPU, %" PRIu64
	       " turns\n",
	       c->events, c->orders, c->commits, c->finals, c->places, c->runs, c->idles, c->rooms,
	       c->fallbacks, c->nowheres, c->turns);
}

static int run_fuzz(const struct arguments *a)
{
	struct fuzz_case *c = calloc(1, sizeof(*c));
	struct sim_report *r = calloc(1, sizeof(*r));
	struct law_counts laws = { 0 };
	uint64_t events = 0, i;
	struct progress p;
	double wall;
	int err = 0;

	if (!c || !r)
		return EXIT_FAILED;
	progress_begin(&p);
	for (i = 0; i < a->fuzz; i++) {
		fuzz_draw(c, a->sim.seed + i, a->policy, a->events);
		err = fuzz_run(c, r, NULL, NULL);
		events += r->events;
		add_counts(&laws, &r->laws);
		if (err)
			break;
		progress_show(&p, (double)(i + 1) / a->fuzz, "cases");
	}
	progress_end(&p);
	wall = now() - p.began;
	if (err == -EPROTO) {
		say("seed %" PRIu64 " at commit %s breaks a law: %s", a->sim.seed + i, GHOST_COMMIT,
		    r->broken);
		say_case(a, c, r);
	} else if (err) {
		say("seed %" PRIu64 ": %s", a->sim.seed + i, strerror(-err));
	} else if (a->json) {
		json_print(json_pack("{s:I, s:I, s:f, s:I, s:o}", "cases", (json_int_t)i, "events",
				     (json_int_t)events, "seconds", wall, "seed",
				     (json_int_t)a->sim.seed, "laws", laws_json(&laws)));
	} else {
		printf("%" PRIu64 " cases, seeds %" PRIu64 " to %" PRIu64 ": no law was broken\n",
		       i, a->sim.seed, a->sim.seed + i - 1);
		printf("  simulated     %" PRIu64 " events in %.1f s\n", events, wall);
		print_laws(&laws);
	}
	free(c);
	free(r);
	return err ? EXIT_FAILED : EXIT_OK;
}

static int run_case(struct arguments *a)
{
	struct fuzz_case *c = calloc(1, sizeof(*c));
	struct sim_report *r = calloc(1, sizeof(*r));
	struct sinks sinks = { 0 };
	double began = now();
	char error[256];
	int err, ret = EXIT_OK;

	if (!c || !r)
		return EXIT_FAILED;
	if (fuzz_parse(c, a->text, error, sizeof(error)))
		usage_error(&a->verb, "--case: %s", error);
	a->sim.cpus = c->cpus;
	a->sim.work[0].kind = c->work[0].kind;
	a->sim.policy = policies_find(c->policy);
	a->sim.seed = c->seed;
	a->sim.duration_ns = c->duration_ns;
	a->sim.warmup_ns = 0;
	ret = sinks_open(&sinks, a);
	if (ret)
		return ret;
	err = fuzz_run(c, r, a->trace || a->timeline || a->record ? sink : NULL, &sinks);
	ret = sinks_close(&sinks, a);
	if (err == -EPROTO) {
		say("a law is broken: %s", r->broken);
		if (a->shrink)
			say_case(a, c, r);
	} else if (err) {
		say("the case cannot be run: %s", strerror(-err));
	} else if (a->json) {
		json_print(report_json(a, r, now() - began));
	} else {
		printf("no law is broken; %" PRIu64 " events, hash %016" PRIx64 "\n", r->events,
		       r->trace_hash);
		print_laws(&r->laws);
	}
	free(c);
	free(r);
	return err ? EXIT_FAILED : ret;
}

static int run_explore(struct arguments *a)
{
	struct explore_report r;
	struct progress p;
	int err;

	progress_begin(&p);
	err = explore(&r, a->sim.policy, a->explore, sim_progress, &p);
	progress_end(&p);
	if (err == -EPROTO) {
		say("a law is broken after these steps: %s", r.steps);
		say("%s", r.broken);
		return EXIT_FAILED;
	}
	if (err) {
		say("cannot explore: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (a->json)
		return json_print(json_pack("{s:I, s:I, s:I, s:I}", "depth", (json_int_t)a->explore,
					    "runs", (json_int_t)r.runs, "steps",
					    (json_int_t)r.nr_steps, "configurations",
					    (json_int_t)r.configurations));
	printf("every order of %" PRIu64 " steps, from %" PRIu64 " beginnings: %" PRIu64
	       " runs, no law was broken\n",
	       a->explore, r.configurations, r.runs);
	return EXIT_OK;
}

/* --- the command line -------------------------------------------------------------------------------------- */

static int complete(struct arguments *a, struct record **ret_record)
{
	char error[256];
	int err;

	if (a->replay) {
		err = record_read(ret_record, a->replay, error, sizeof(error));
		if (err) {
			say("cannot replay %s: %s", a->replay, error);
			return EXIT_FAILED;
		}
		add_work(a, "replay");
		a->sim.work[a->sim.nr_work - 1].record = *ret_record;
	}
	if (!a->sim.nr_work)
		add_work(a, "dispersive");
	for (uint32_t i = 0; i < a->sim.nr_work; i++) {
		struct workload_options *w = &a->sim.work[i];

		if (!strcmp(w->kind, "replay") && !w->record)
			usage_error(&a->verb, "a replay needs --replay FILE");
		w->load_ppm = a->load_ppm;
		w->rate = a->rate;
		w->burst = a->burst;
		/* One distribution is meant for what has requests; hogs keep theirs. */
		if (a->has_service && (i == 0 || workload_kind(w->kind)->open_loop)) {
			w->service = a->service;
			w->has_service = true;
		}
	}
	if (a->has_cpus && a->sim.topology)
		usage_error(&a->verb, "either --cpus or --topology");
	if (a->has_load && a->rate)
		usage_error(&a->verb, "either --load or --rate");
	/* A recording begins where it begins. */
	if (!a->has_warmup)
		a->sim.warmup_ns = a->replay ? 0 : a->sim.duration_ns / 10;
	if (a->fair_ppm) {
		a->sim.fair_for_ns = 200000;
		a->sim.fair_every_ns = 200000ull * 1000000 / a->fair_ppm;
	}
	return EXIT_OK;
}

/* No option is left aside without a word. */
static void check_search(const struct arguments *a, const char *search, uint64_t known)
{
	uint64_t others = a->given & ~known;
	const struct argp_option *o = sim_options;

	if (!others)
		return;
	while (others != BIT_PARAM && (o->key < KEY_POLICY || !(others & BIT(o->key))))
		o++;
	usage_error(&a->verb,
		    "--fuzz, --case and --explore have machines and work of their own: --%s does "
		    "not go with --%s",
		    others == BIT_PARAM ? a->param : o->name, search);
}

static void check_searches(const struct arguments *a)
{
	if (!!a->fuzz + !!a->text + !!a->explore > 1)
		usage_error(&a->verb, "one of --fuzz, --case and --explore at a time");
	if ((a->fuzz || a->explore) && (a->trace || a->timeline || a->record))
		usage_error(&a->verb,
			    "--trace, --timeline and --record are about one run: take --case");
	if (a->shrink && !a->fuzz && !a->text)
		usage_error(&a->verb, "--shrink goes with --fuzz or --case");
	if (a->given & BIT(KEY_EVENTS) && !a->fuzz)
		usage_error(&a->verb, "--events goes with --fuzz");
	if (a->fuzz)
		check_search(a, "fuzz",
			     BIT(KEY_FUZZ) | BIT(KEY_EVENTS) | BIT(KEY_SHRINK) | BIT(KEY_POLICY) |
				     BIT(KEY_SEED));
	if (a->text)
		check_search(a, "case",
			     BIT(KEY_CASE) | BIT(KEY_SHRINK) | BIT(KEY_TRACE) | BIT(KEY_TIMELINE) |
				     BIT(KEY_RECORD));
	if (a->explore)
		check_search(a, "explore", BIT(KEY_EXPLORE) | BIT(KEY_POLICY));
}

static int sim_main(int argc, char **argv)
{
	struct arguments a = {
		.verb = verb_sim,
		.load_ppm = 800000,
		.burst = 1,
		.events = 10000,
		.sim = { .cpus = 8, .duration_ns = 1000000000, .seed = 1, .profile = profile_at(0) },
	};
	struct record *record = NULL;
	int ret;

	a.verb.more = list_workloads();
	a.sim.policy = param_policy(&a.verb, policy_of(argc, argv));
	param_defaults(a.sim.policy, a.params);
	a.sim.params = a.params;
	options_parse(&a.verb, param_options(sim_options, NR_SIM_OPTIONS, a.sim.policy), parse_key,
		      &a, argc, argv);
	check_searches(&a);
	if (a.fuzz)
		return run_fuzz(&a);
	if (a.text)
		return run_case(&a);
	if (a.explore)
		return run_explore(&a);
	ret = complete(&a, &record);
	if (!ret)
		ret = run_one(&a);
	record_free(record);
	return ret;
}
