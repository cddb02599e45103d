// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost enclave watch: what the enclaves do, again and again.
 * In: their counters. Out: a table with rates, or a line of JSON for each enclave and
 * look. Called by people.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/record.h"
#include "cli/run.h"

#define INTERVAL_NS_DEFAULT (1000ull * 1000 * 1000)
#define INTERVAL_NS_MIN (10ull * 1000 * 1000)
#define INTERVAL_NS_MAX (3600ull * 1000 * 1000 * 1000)

static int watch_main(int argc, char **argv);

const struct verb verb_watch = {
	.name = "enclave watch",
	.args = "[ENCLAVE]",
	.help = "show what they do, again and again",
	.more = "Messages, decisions and refusals are per second, since the line before.",
	.main = watch_main,
};

enum {
	KEY_INTERVAL = 0x100,
	KEY_COUNT,
};

static const struct argp_option options[] = {
	{ "interval", KEY_INTERVAL, "DURATION", 0, "between two looks (default: 1s)", 0 },
	{ "count", KEY_COUNT, "N", 0, "end after so many (default: at Ctrl-C)", 0 },
	OPTION_JSON,
	OPTION_HELP,
	{ 0 },
};

struct look {
	bool there;
	uint64_t time_ns;
	struct ghost_enclave_counts counts;
};

struct watch {
	uint32_t only; /* 0: all */
	uint64_t interval_ns;
	uint64_t count; /* 0: no end */
	bool json;
	struct look before[GHOST_ENCLAVES_MAX];
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct watch *w = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (w->only)
			usage_error(&verb_watch, "'%s' is one argument too many", arg);
		w->only = parse_enclave(&verb_watch, arg);
		return 0;
	case KEY_INTERVAL:
		if (parse_duration(arg, &w->interval_ns) || w->interval_ns < INTERVAL_NS_MIN ||
		    w->interval_ns > INTERVAL_NS_MAX)
			usage_error(&verb_watch,
				    "--interval wants a duration from 10ms to 1h, not '%s'", arg);
		return 0;
	case KEY_COUNT:
		if (parse_uint(arg, &w->count) || !w->count)
			usage_error(&verb_watch, "--count wants a number from 1, not '%s'", arg);
		return 0;
	case 'j':
		w->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* Per second; 0 with nothing before, or when another enclave has the number now. */
static uint64_t rate(uint64_t before, uint64_t now, uint64_t ns)
{
	return ns && now > before ? (now - before) * 1000000000.0 / ns : 0;
}

static void show(struct watch *w, struct ghost_enclave *e)
{
	uint32_t id = ghost_enclave_id(e);
	struct look *before = &w->before[id], now = { .there = true, .time_ns = now_ns() };
	uint64_t ns = before->there ? now.time_ns - before->time_ns : 0;
	uint64_t msgs, committed, refused;
	struct ghost_cpuset cpus;
	struct record r = { 0 };
	char text[256] = "?";
	json_t *line;

	if (ghost_enclave_count(e, &now.counts))
		return;
	if (!ghost_enclave_cpus(e, &cpus))
		ghost_cpuset_format(&cpus, text, sizeof(text));
	run_record_read(id, &r);
	msgs = rate(before->counts.nr_msgs, now.counts.nr_msgs, ns);
	committed = rate(stats_committed(&before->counts), stats_committed(&now.counts), ns);
	refused = rate(stats_refused(&before->counts), stats_refused(&now.counts), ns);
	*before = now;
	if (w->json) {
		line = json_pack("{s:i, s:s, s:o, s:s, s:i, s:I, s:I, s:I, s:I}", "id", (int)id,
				 "state", ghost_enclave_state_name(ghost_enclave_status(e)->state),
				 "policy", r.policy[0] ? json_text(r.policy) : json_null(), "cpus",
				 text, "threads", (int)now.counts.nr_tasks, "msgs_per_s",
				 (json_int_t)msgs, "committed_per_s", (json_int_t)committed,
				 "refused_per_s", (json_int_t)refused, "fallbacks",
				 (json_int_t)now.counts.nr[GHOST_NR_FALLBACKS]);
		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(line);
		return;
	}
	printf("%7u %-8s %-18s %-12s %8u %10" PRIu64 " %10" PRIu64 " %9" PRIu64 " %10" PRIu64 "\n",
	       id, ghost_enclave_state_name(ghost_enclave_status(e)->state),
	       r.policy[0] ? r.policy : "-", text, now.counts.nr_tasks, msgs, committed, refused,
	       now.counts.nr[GHOST_NR_FALLBACKS]);
}

static void head(const struct watch *w, uint64_t nr)
{
	if (w->json)
		return;
	/* A terminal shows the last look only. */
	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	else if (nr)
		putchar('\n');
	printf("%7s %-8s %-18s %-12s %8s %10s %10s %9s %10s\n", "enclave", "state", "policy",
	       "cpus", "threads", "messages/s", "decided/s", "refused/s", "fallbacks");
}

static bool there_is(const uint32_t *ids, int nr, uint32_t id)
{
	for (int i = 0; i < nr; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Returns how many there were, or a negative errno. */
static int look(struct watch *w, struct ghost_backend *backend, uint64_t nr)
{
	uint32_t ids[GHOST_ENCLAVES_MAX];
	int nr_ids = ghost_enclave_list(ids), nr_shown = 0;
	struct ghost_enclave *e;
	bool there[GHOST_ENCLAVES_MAX] = { false };

	if (!w->only || there_is(ids, nr_ids, w->only))
		head(w, nr);
	for (int i = 0; i < nr_ids; i++) {
		if ((w->only && ids[i] != w->only) || ghost_enclave_open(&e, backend, ids[i]))
			continue;
		show(w, e);
		ghost_enclave_close(e);
		there[ids[i]] = true;
		nr_shown++;
	}
	for (uint32_t id = 0; id < GHOST_ENCLAVES_MAX; id++)
		w->before[id].there &= there[id];
	if (!nr_shown && !w->json && !w->only)
		printf("no enclave\n");
	return nr_ids < 0 ? nr_ids : nr_shown;
}

static int watch_main(int argc, char **argv)
{
	struct watch w = { .interval_ns = INTERVAL_NS_DEFAULT };
	struct ghost_backend *backend;
	struct timespec pause;
	int ret, nr;

	options_parse(&verb_watch, options, parse, &w, argc, argv);
	ret = open_kernel(&backend);
	if (ret)
		return ret;
	pause.tv_sec = w.interval_ns / 1000000000;
	pause.tv_nsec = w.interval_ns % 1000000000;
	for (uint64_t i = 0; !w.count || i < w.count; i++) {
		if (i)
			nanosleep(&pause, NULL);
		nr = look(&w, backend, i);
		if (fflush(stdout))
			break; /* nobody reads it any more */
		if (nr > 0 || !w.only)
			continue;
		say(i ? "enclave %u has ended" : "there is no enclave %u; see 'ghost status'",
		    w.only);
		ret = i ? EXIT_OK : EXIT_FAILED;
		break;
	}
	backend->close(backend);
	return ret;
}
