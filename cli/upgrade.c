// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost upgrade: other agents for an enclave whose threads run on; ghost enclave
 * set-cpus: other CPUs, which takes the same.
 * In: an enclave of `ghost run`, a policy, CPUs. Out: that policy decides, on those
 * CPUs; or the one before, again, when the new one does not start or fails its probe.
 * Called by people.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/run.h"
#include "policies/policies.h"

/* How long the new agents may take to get ready, and to take over. */
#define START_MS (60 * 1000)
/* Old agents that have not made room by then are killed. */
#define ROOM_NS_DEFAULT (5000ull * 1000 * 1000)
#define ROOM_NS_MAX (60ull * 1000 * 1000 * 1000)
#define TAKE_MS (20 * 1000)
#define BACK_MS (20 * 1000)
#define PROBE_LOOK_MS 10
#define PROBE_NS_DEFAULT (1000ull * 1000 * 1000)
#define PROBE_NS_MAX (3600ull * 1000 * 1000 * 1000)

static int upgrade_main(int argc, char **argv);
static int set_cpus_main(int argc, char **argv);

const struct verb verb_upgrade = {
	.name = "upgrade",
	.args = "ENCLAVE POLICY [POLICY OPTION...]\n--config=FILE",
	.help = "have another policy, or version, decide for an enclave while its threads run on",
	.more = "The new agents get ready while the old ones decide, and take over when these end. "
		"If they do not start, or fail within the time of the probe, the old ones decide "
		"again.",
	.main = upgrade_main,
};

const struct verb verb_set_cpus = {
	.name = "enclave set-cpus",
	.args = "ENCLAVE CPUS",
	.help = "give an enclave other CPUs while its threads run on",
	.more = "CPUS is a list such as 0-3,6: all that the enclave is to have. Agents of the same "
		"policy take over, one on each of them. Threads whose affinity was the CPUs that the "
		"enclave had get the new ones; others keep theirs, and one that allows no CPU of the "
		"enclave runs where it may.",
	.main = set_cpus_main,
};

enum {
	KEY_PROBE = 0x100,
	KEY_WITHIN,
	KEY_SLO,
	KEY_CONFIG,
	KEY_CPUS,
};

#define OPTION_PROBE                                                                 \
	{ "probe",                                                                   \
	  KEY_PROBE,                                                                 \
	  "DURATION",                                                                \
	  0,                                                                         \
	  "for so long the old agents come back if the new ones fail (default: 1s)", \
	  0 }
#define OPTION_WITHIN                                                            \
	{ "within",                                                              \
	  KEY_WITHIN,                                                            \
	  "DURATION",                                                            \
	  0,                                                                     \
	  "old agents that have not made room by then are killed (default: 5s)", \
	  0 }

#define OPTION_SLO                                                                        \
	{ "slo",                                                                          \
	  KEY_SLO,                                                                        \
	  "pN=DURATION",                                                                  \
	  0,                                                                              \
	  "on their probe the new agents fail, too, if a ready thread waits longer than " \
	  "DURATION for a decision in more than 100 - N of 100 cases, such as p99=1ms",   \
	  0 }

static const struct argp_option upgrade_options[] = {
	OPTION_PROBE,
	OPTION_WITHIN,
	OPTION_SLO,
	{ "cpus", KEY_CPUS, "LIST", 0,
	  "the CPUs of the enclave from then on, such as 0-3,6 (default: those that it has)", 0 },
	{ "config", KEY_CONFIG, "FILE", 0,
	  "the enclave of 'ghost serve --config=FILE', and the policy, its options and the CPUs that "
	  "stand there now; what else stands there waits for a new start",
	  0 },
	OPTION_JSON,
	OPTION_HELP,
};

static const struct argp_option set_cpus_options[] = {
	OPTION_PROBE, OPTION_WITHIN, OPTION_SLO, OPTION_JSON, OPTION_HELP, { 0 },
};

#define NR_UPGRADE_OPTIONS (sizeof(upgrade_options) / sizeof(upgrade_options[0]))

struct upgrade {
	struct verb verb; /* as verb_upgrade, with the help of its policy */
	uint32_t id;
	char *policy_name;
	char **rest;
	const char *config;
	uint64_t probe_ns;
	uint64_t room_ns;
	double slo_quantile; /* 0: none */
	uint64_t slo_ns;
	uint64_t slo_waits, slo_late; /* of the probe */
	bool json;
	bool only_cpus; /* the policy stays */

	struct run run;
	struct ghost_cpuset cpus_before;
	struct record before;
	struct process self;
	struct ghost_backend *backend;
	struct ghost_enclave *enclave;
	int report;
	pid_t agent; /* the new process */
	char said[2048];

	uint64_t asked_ms; /* when the old agents were told to end */
	uint64_t control_ms;
	char why[1024]; /* the old policy decides again */
};

/* --- the command line -------------------------------------------------------------- */

/* How many bytes of @text are a number as people write it; strtod() knows more of them. */
static size_t decimal(const char *text)
{
	size_t whole = strspn(text, "0123456789"), fraction;

	if (!whole || text[whole] != '.')
		return whole;
	fraction = strspn(text + whole + 1, "0123456789");
	return fraction ? whole + 1 + fraction : 0;
}

/* "p99.9=500us" */
static void set_slo(struct upgrade *u, const char *text)
{
	size_t len = *text == 'p' ? decimal(text + 1) : 0;
	const char *end = text + 1 + len;

	u->slo_quantile = len ? strtod(text + 1, NULL) / 100 : 0;
	if (!len || *end != '=' || !(u->slo_quantile > 0) || !(u->slo_quantile < 1) ||
	    parse_duration(end + 1, &u->slo_ns) || !u->slo_ns || u->slo_ns > PROBE_NS_MAX)
		usage_error(&u->verb,
			    "--slo wants a percentile and a duration, such as p99=1ms, not "
			    "'%s'",
			    text);
}

static error_t parse_common(int key, char *arg, struct upgrade *u)
{
	switch (key) {
	case KEY_PROBE:
		if (parse_duration(arg, &u->probe_ns) || u->probe_ns > PROBE_NS_MAX)
			usage_error(&u->verb,
				    "--probe wants a duration up to an hour, such as 5s, not '%s'",
				    arg);
		return 0;
	case KEY_WITHIN:
		if (parse_duration(arg, &u->room_ns) || u->room_ns > ROOM_NS_MAX)
			usage_error(
				&u->verb,
				"--within wants a duration up to a minute, such as 5s, not '%s'",
				arg);
		return 0;
	case KEY_SLO:
		set_slo(u, arg);
		return 0;
	case KEY_CPUS:
		if (u->config)
			usage_error(&u->verb, "with --config the CPUs stand in the file");
		parse_cpus(&u->verb, "--cpus", arg, &u->run.cpus);
		u->run.new_cpus = true;
		return 0;
	case KEY_CONFIG:
		if (u->run.new_cpus)
			usage_error(&u->verb, "with --config the CPUs stand in the file");
		if (u->run.policy)
			usage_error(&u->verb, "with --config the policy stands in the file");
		u->config = arg;
		return 0;
	case 'j':
		u->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Up to the policy's name, which says what options come after it. */
static error_t parse_first(int key, char *arg, struct argp_state *state)
{
	struct upgrade *u = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (!u->id) {
			u->id = parse_enclave(&u->verb, arg);
			return 0;
		}
		u->policy_name = arg;
		u->rest = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (u->config && u->id)
			usage_error(&u->verb, "with --config the enclave is that of the file");
		if (!u->policy_name && !u->config)
			usage_error(&u->verb,
				    "name an enclave and a policy, or a file with --config");
		return 0;
	default:
		return parse_common(key, arg, u);
	}
}

static error_t parse_second(int key, char *arg, struct argp_state *state)
{
	struct upgrade *u = state->input;

	if (key == ARGP_KEY_ARG)
		usage_error(&u->verb, "'%s' is one argument too many", arg);
	if (key < KEY_PARAM || key >= KEY_PARAM + PARAMS_MAX)
		return parse_common(key, arg, u);
	u->run.params[key - KEY_PARAM] =
		param_parse(&u->verb, &u->run.policy->params[key - KEY_PARAM], arg);
	return 0;
}

static error_t parse_set_cpus(int key, char *arg, struct argp_state *state)
{
	struct upgrade *u = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (u->run.new_cpus)
			usage_error(&u->verb, "'%s' is one argument too many", arg);
		if (u->id) {
			parse_cpus(&u->verb, "CPUS", arg, &u->run.cpus);
			u->run.new_cpus = true;
		} else {
			u->id = parse_enclave(&u->verb, arg);
		}
		return 0;
	case ARGP_KEY_END:
		if (!u->run.new_cpus)
			usage_error(&u->verb, "name an enclave, and its CPUs, such as 0-3,6");
		return 0;
	default:
		return parse_common(key, arg, u);
	}
}

/* --- the record ------------------------------------------------------------------------ */

static int refuse(struct upgrade *u)
{
	int ret = run_record_read(u->id, &u->before);

	if (ret || !process_alive(&u->before.keeper)) {
		say("enclave %u has no 'ghost run' that keeps it: there is nobody to upgrade; see "
		    "'ghost status'",
		    u->id);
		return EXIT_FAILED;
	}
	if (!u->before.agent.pid &&
	    ghost_enclave_status(u->enclave)->state == GHOST_ENCLAVE_ONLINE) {
		say("the agents of enclave %u are none of 'ghost run' or 'ghost serve'; end them first",
		    u->id);
		return EXIT_FAILED;
	}
	if (process_alive(&u->before.upgrader)) {
		say("enclave %u is being upgraded already (pid %d)", u->id, u->before.upgrader.pid);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* The policy that decides, and how. */
static int same_policy(struct upgrade *u)
{
	if (!u->only_cpus)
		return EXIT_OK;
	u->run.policy = policies_find(u->before.policy);
	if (!u->run.policy) {
		say("this program does not know the policy %s, to start it on other CPUs",
		    u->before.policy);
		return EXIT_FAILED;
	}
	param_load(u->run.policy, u->before.params, u->run.params);
	return EXIT_OK;
}

/* May the enclave have those CPUs? */
static int check_cpus(struct upgrade *u)
{
	if (ghost_enclave_cpus(u->enclave, &u->cpus_before))
		return EXIT_FAILED;
	return u->run.new_cpus && say_owner(u->backend, &u->run.cpus, u->id) ? EXIT_FAILED :
									       EXIT_OK;
}

/* Under the lock: this upgrade is under way, or not any more. */
static int mark(struct upgrade *u, bool under_way)
{
	struct record r;
	int ret = run_record_read(u->id, &r);

	if (ret)
		return ret;
	r.upgrader = under_way ? u->self : (struct process){ 0 };
	return run_record_write(&r);
}

static void unmark(struct upgrade *u)
{
	int lock = record_lock();

	if (lock < 0)
		return; /* whoever reads it sees that we have ended */
	mark(u, false);
	record_unlock(lock);
}

/* --- the two processes ----------------------------------------------------------------- */

static int start_agent(struct upgrade *u, int lock)
{
	int report[2];

	if (pipe2(report, O_CLOEXEC)) {
		say("cannot make a pipe: %s", strerror(errno));
		return EXIT_FAILED;
	}
	u->agent = fork();
	if (u->agent < 0) {
		say("cannot start the agent process: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (!u->agent) {
		record_unlock(lock);
		janitor_main(&u->run, u->id, report[1], &u->before.keeper, &u->self);
	}
	close(report[1]);
	u->report = report[0];
	return EXIT_OK;
}

/* Is its next line @word? What it says else is why not. */
static bool says(struct upgrade *u, const char *word, int ms)
{
	struct pollfd fd = { .fd = u->report, .events = POLLIN };
	uint64_t end = now_ms() + ms;
	size_t len = 0;
	char *sentence;
	ssize_t n;

	while (len < sizeof(u->said) - 1) {
		if (now_ms() >= end || poll(&fd, 1, end - now_ms()) <= 0) {
			snprintf(u->why, sizeof(u->why), "the new agents were not %s within %d s",
				 word, ms / 1000);
			return false;
		}
		n = read(u->report, u->said + len, 1);
		if (n <= 0) {
			snprintf(u->why, sizeof(u->why), "the new agent process ended");
			return false;
		}
		if (u->said[len++] == '\n')
			break;
	}
	u->said[len - 1] = 0;
	if (!strcmp(u->said, word))
		return true;
	if (!strncmp(u->said, "failed ", 7)) {
		strtol(u->said + 7, &sentence, 10);
		snprintf(u->why, sizeof(u->why), "%s", sentence + (*sentence == ' '));
	}
	return false;
}

static void end_agent(struct upgrade *u)
{
	struct process agent;

	if (process_of(u->agent, &agent))
		kill_agents(&agent);
	waitpid(u->agent, NULL, 0);
	u->agent = 0;
}

static bool old_is_there(const struct upgrade *u)
{
	return process_alive(&u->before.agent);
}

static bool online(const struct upgrade *u)
{
	return ghost_enclave_status(u->enclave)->state == GHOST_ENCLAVE_ONLINE;
}

/* The new agents have failed: the old ones, which wait, decide again. */
static void go_back(struct upgrade *u)
{
	static const struct timespec nap = { .tv_nsec = 2 * 1000 * 1000 };
	uint64_t end = now_ms() + BACK_MS;
	struct record r;

	if (u->agent)
		end_agent(u);
	if (!old_is_there(u))
		return;
	process_signal(&u->before.agent, SIGUSR2);
	/* They say so in the record, last. */
	while (now_ms() < end && old_is_there(u)) {
		if (online(u) && !run_record_read(u->id, &r) && r.agent.pid == u->before.agent.pid)
			return;
		nanosleep(&nap, NULL);
	}
}

static void read_waits(const struct upgrade *u, uint64_t *ret_waits, uint64_t *ret_late)
{
	struct ghost_enclave_counts counts;

	ghost_enclave_count(u->enclave, &counts);
	*ret_waits = counts.nr[GHOST_NR_WAITS];
	*ret_late = counts.nr[GHOST_NR_LATE];
}

/*
 * Too many waits were too long, of those since @waits and @late. A few are no sample of a
 * rare one: before the @end there must be so many that ten may be late.
 */
static bool breaks_slo(struct upgrade *u, uint64_t waits, uint64_t late, bool end)
{
	char limit[32];

	if (!u->slo_quantile)
		return false;
	read_waits(u, &u->slo_waits, &u->slo_late);
	u->slo_waits -= waits;
	u->slo_late -= late;
	if (!end && u->slo_waits * (1 - u->slo_quantile) < 10)
		return false;
	if (u->slo_late <= u->slo_waits * (1 - u->slo_quantile))
		return false;
	snprintf(u->why, sizeof(u->why),
		 "%s broke --slo=p%g=%s: %llu of %llu waits for a decision were longer (%.2f %%)",
		 u->run.policy->name, u->slo_quantile * 100,
		 format_duration(u->slo_ns, limit, sizeof(limit)), (unsigned long long)u->slo_late,
		 (unsigned long long)u->slo_waits, 100.0 * u->slo_late / u->slo_waits);
	return true;
}

/* Do the new agents decide for as long as was asked, and well enough? */
static bool probe_agents(struct upgrade *u)
{
	static const struct timespec nap = { .tv_nsec = PROBE_LOOK_MS * 1000 * 1000 };
	uint64_t end = now_ms() + u->probe_ns / 1000000, waits, late;
	bool over;

	read_waits(u, &waits, &late);
	for (;;) {
		if (waitpid(u->agent, NULL, WNOHANG) == u->agent) {
			u->agent = 0;
			snprintf(u->why, sizeof(u->why), "the new agent process ended");
			return false;
		}
		if (!online(u)) {
			snprintf(u->why, sizeof(u->why), "the new agents were given up (%s)",
				 ghost_lost_reason_name(
					 ghost_enclave_status(u->enclave)->lost_reason));
			return false;
		}
		over = now_ms() >= end;
		if (breaks_slo(u, waits, late, over))
			return false;
		if (over)
			return true;
		nanosleep(&nap, NULL);
	}
}

static bool probe(struct upgrade *u)
{
	bool decides;
	int err = u->slo_quantile ? ghost_enclave_slo(u->enclave, u->slo_ns) : 0;

	if (err) {
		snprintf(u->why, sizeof(u->why), "cannot count waits: %s", strerror(-err));
		return false;
	}
	decides = probe_agents(u);
	if (u->slo_quantile)
		ghost_enclave_slo(u->enclave, 0);
	return decides;
}

/* Has the new process said anything, or ended, before @ms have passed? */
static bool hears(const struct upgrade *u, int ms)
{
	struct pollfd fd = { .fd = u->report, .events = POLLIN };

	return poll(&fd, 1, ms) > 0;
}

static bool take_over(struct upgrade *u)
{
	u->asked_ms = now_ms();
	if (old_is_there(u)) {
		process_signal(&u->before.agent, SIGUSR1);
		/* They hang: the threads are the fallback's as long as they are there. */
		if (!hears(u, u->room_ns / 1000000)) {
			say("the old agents (pid %d) did not make room; killing them",
			    u->before.agent.pid);
			kill_agents(&u->before.agent);
		}
	}
	if (!says(u, "ready", TAKE_MS))
		return false;
	u->control_ms = now_ms() - u->asked_ms;
	return true;
}

/* --- what came of it ---------------------------------------------------------------------- */

struct result {
	struct ghost_enclave_counts counts;
	uint64_t undecided_ns;
	uint64_t unscheduled_ns;
};

/* Before anything else happens to the enclave. */
static void measure(const struct upgrade *u, struct result *ret)
{
	const struct ghost_enclave_status *st = ghost_enclave_status(u->enclave);

	memset(ret, 0, sizeof(*ret));
	ghost_enclave_count(u->enclave, &ret->counts);
	/* Without agents before there is nothing to compare with. */
	if (st->fell_ns && st->online_ns > st->fell_ns && old_is_there(u))
		ret->undecided_ns = st->online_ns - st->fell_ns;
	ret->unscheduled_ns = st->unscheduled_ns;
}

static const char *cpus_now(const struct upgrade *u, char *buf, size_t size)
{
	struct ghost_cpuset cpus;

	if (ghost_enclave_cpus(u->enclave, &cpus))
		return "?";
	ghost_cpuset_format(&cpus, buf, size);
	return buf;
}

static json_t *slo_json(const struct upgrade *u)
{
	if (!u->slo_quantile)
		return json_null();
	return json_pack("{s:f, s:I, s:I, s:I}", "percentile", u->slo_quantile * 100, "limit_ns",
			 (json_int_t)u->slo_ns, "waits", (json_int_t)u->slo_waits, "late",
			 (json_int_t)u->slo_late);
}

static int print_json(const struct upgrade *u, const struct result *r, bool decides)
{
	char cpus[256];

	return json_print(json_pack(
		"{s:i, s:s, s:s, s:b, s:o, s:s, s:i, s:I, s:I, s:I, s:o}", "enclave", (int)u->id,
		"from", u->before.policy, "to", u->run.policy->name, "upgraded", decides, "why",
		decides ? json_null() : json_text(u->why), "cpus", cpus_now(u, cpus, sizeof(cpus)),
		"threads", (int)r->counts.nr_tasks, "undecided_ns", (json_int_t)r->undecided_ns,
		"blackout_ns", (json_int_t)r->unscheduled_ns, "control_ns",
		(json_int_t)u->control_ms * 1000000, "slo", slo_json(u)));
}

static int tell(const struct upgrade *u, const struct result *r, bool decides)
{
	int ret = u->json ? print_json(u, r, decides) : EXIT_OK;
	char cpus[256];

	if (!decides) {
		say("%s; %s", u->why,
		    online(u) ? "the old policy decides again" :
				"the kernel's fallback runs the threads");
		return EXIT_FAILED;
	}
	if (!u->json)
		printf("enclave %u: %s decides after %s for CPUs %s; %u threads\n"
		       "  nobody decided for              %8.3f ms\n"
		       "  longest wait of a ready thread  %8.3f ms\n"
		       "  asked to full control           %8llu ms\n",
		       u->id, u->run.policy->name, u->before.policy,
		       cpus_now(u, cpus, sizeof(cpus)), r->counts.nr_tasks, r->undecided_ns * 1e-6,
		       r->unscheduled_ns * 1e-6, (unsigned long long)u->control_ms);
	if (!u->json && u->slo_quantile)
		printf("  waits that were too long        %8llu of %llu\n",
		       (unsigned long long)u->slo_late, (unsigned long long)u->slo_waits);
	return ret;
}

/* Threads that could run on all CPUs the enclave had, and on no others, follow it. */
static void follow(const struct upgrade *u, const struct ghost_cpuset *before)
{
	const struct ghost_memory *mem = ghost_enclave_memory(u->enclave);
	uint32_t nr = ghost_enclave_status(u->enclave)->nr_slots;
	const struct ghost_status *st;
	struct ghost_cpuset now, has, online;

	if (ghost_enclave_cpus(u->enclave, &now) || !memcmp(&now, before, sizeof(now)) ||
	    ghost_cpuset_online(&online))
		return;
	for (uint32_t slot = 1; slot < nr && slot < mem->capacity; slot++) {
		st = &mem->status[slot];
		/* As a thread itself sees it: a mask may name CPUs that are not there. */
		for (int w = 0; w < GHOST_CPU_WORDS; w++)
			has.word[w] = st->cpus[w] & online.word[w];
		/* It may end meanwhile, or a cpuset forbid it: then it runs where it may. */
		if (ghost_status_flags(st->word) & GHOST_STATUS_INUSE &&
		    !memcmp(&has, before, sizeof(has)) &&
		    sched_setaffinity(st->tid, sizeof(now), (const cpu_set_t *)&now))
			continue;
	}
}

static int upgrade(struct upgrade *u)
{
	struct result result = { 0 };
	struct ghost_cpuset new_cpus;
	bool decides = take_over(u), came = decides;

	if (came) {
		measure(u, &result);
		ghost_enclave_cpus(u->enclave, &new_cpus);
		follow(u, &u->cpus_before);
		decides = probe(u);
	}
	if (!decides)
		go_back(u);
	else
		process_signal(&u->before.agent, SIGTERM);
	if (came && !decides)
		follow(u, &new_cpus);
	unmark(u);
	return tell(u, &result, decides);
}

/* Which enclave? */
static int find(struct upgrade *u)
{
	if (!u->config)
		return EXIT_OK;
	if (!run_record_find(u->run.config, &u->before)) {
		u->id = u->before.enclave;
		return EXIT_OK;
	}
	say("no 'ghost serve --config=%s' is running: there is nobody to upgrade; see 'ghost status'",
	    u->config);
	return EXIT_FAILED;
}

/* Under the lock, up to the point from which others can tell what we are at. */
static int prepare(struct upgrade *u, int lock)
{
	int ret;

	tidy();
	ret = find(u);
	ret = ret ?: open_kernel(&u->backend);
	ret = ret ?: open_enclave(&u->enclave, u->backend, u->id);
	ret = ret ?: refuse(u);
	ret = ret ?: same_policy(u);
	ret = ret ?: check_cpus(u);
	ret = ret ?: start_agent(u, lock);
	if (ret)
		return ret;
	if (!says(u, "waiting", START_MS)) {
		say("%s; %s goes on", u->why, u->before.policy);
		end_agent(u);
		return EXIT_FAILED;
	}
	ret = mark(u, true);
	if (!ret)
		return EXIT_OK;
	say("cannot write to /run/ghost: %s", strerror(-ret));
	end_agent(u);
	return EXIT_FAILED;
}

/* From the policy's name on. */
static int parse_rest(struct upgrade *u, int argc, char **argv)
{
	u->run.policy = param_policy(&u->verb, u->policy_name);
	param_defaults(u->run.policy, u->run.params);
	u->verb.more = u->run.policy->help;
	options_parse(&u->verb, param_options(upgrade_options, NR_UPGRADE_OPTIONS, u->run.policy),
		      parse_second, u, argc - (u->rest - argv), u->rest);
	return EXIT_OK;
}

static int carry_out(struct upgrade *u)
{
	int lock, ret;

	process_of(getpid(), &u->self);
	lock = record_lock();
	if (lock < 0)
		return say_no_lock(lock);
	ret = prepare(u, lock);
	record_unlock(lock);
	ret = ret ?: upgrade(u);
	ghost_enclave_close(u->enclave);
	if (u->backend)
		u->backend->close(u->backend);
	return ret;
}

static int upgrade_main(int argc, char **argv)
{
	struct upgrade u = {
		.verb = verb_upgrade,
		.probe_ns = PROBE_NS_DEFAULT,
		.room_ns = ROOM_NS_DEFAULT,
	};
	int ret;

	options_parse(&u.verb, param_options(upgrade_options, NR_UPGRADE_OPTIONS, NULL),
		      parse_first, &u, argc, argv);
	ret = u.config ? run_configure(&u.verb, u.config, &u.run) : parse_rest(&u, argc, argv);
	if (ret)
		return ret;
	if (u.config)
		u.run.new_cpus = true;
	return carry_out(&u);
}

static int set_cpus_main(int argc, char **argv)
{
	struct upgrade u = {
		.verb = verb_set_cpus,
		.probe_ns = PROBE_NS_DEFAULT,
		.room_ns = ROOM_NS_DEFAULT,
		.only_cpus = true,
	};

	options_parse(&u.verb, set_cpus_options, parse_set_cpus, &u, argc, argv);
	return carry_out(&u);
}
