// SPDX-License-Identifier: GPL-2.0-only
/*
 * The numbers of a run, for people and for programs.
 * In: an enclave's counters. Out: lines on stderr, or a JSON file.
 * Called by the keeper at the end of a run, and by status.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/run.h"

/* States in which a transaction can end, by whether its decision was carried out. */
static bool is_refusal(int state)
{
	return state > GHOST_TXN_YIELDED;
}

uint64_t stats_committed(const struct ghost_enclave_counts *counts)
{
	return counts->nr_txn[GHOST_TXN_COMMITTED];
}

uint64_t stats_refused(const struct ghost_enclave_counts *counts)
{
	uint64_t sum = 0;

	for (int i = 0; i < GHOST_TXN_NR_STATES; i++) {
		if (is_refusal(i))
			sum += counts->nr_txn[i];
	}
	return sum;
}

const char *stats_refusals(const struct ghost_enclave_counts *counts, char *buf, size_t size)
{
	uint64_t sum = stats_refused(counts);
	const char *before = " (";
	size_t len;

	snprintf(buf, size, "%" PRIu64, sum);
	for (int i = 0; i < GHOST_TXN_NR_STATES; i++) {
		if (!is_refusal(i) || !counts->nr_txn[i])
			continue;
		len = strlen(buf);
		snprintf(buf + len, size - len, "%s%s %" PRIu64, before, ghost_txn_state_name(i),
			 counts->nr_txn[i]);
		before = ", ";
	}
	len = strlen(buf);
	if (sum)
		snprintf(buf + len, size - len, ")");
	return buf;
}

void stats_add_json(json_t *object, const struct ghost_enclave_counts *counts)
{
	json_t *counters = json_object(), *txns = json_object();

	json_object_set_new(counters, "msgs", json_integer(counts->nr_msgs));
	json_object_set_new(counters, "overflows", json_integer(counts->nr_overflows));

	for (int i = 0; i < GHOST_NR_COUNTERS; i++) {
		const char *name = ghost_counter_name(i);

		if (name[0] != '?')
			json_object_set_new(counters, name, json_integer(counts->nr[i]));
	}
	for (int i = GHOST_TXN_COMMITTED; i < GHOST_TXN_NR_STATES; i++)
		json_object_set_new(txns, ghost_txn_state_name(i), json_integer(counts->nr_txn[i]));
	json_object_set_new(object, "counters", counters);
	json_object_set_new(object, "transactions", txns);
}

void stats_print(const struct run *run, const struct stats *s)
{
	char refusals[512];

	say("%s ran %.3f s in enclave %u:", run->command ? run->command[0] : run->policy->name,
	    s->seconds, s->enclave);
	say("  threads scheduled       %" PRIu64, s->counts.nr[GHOST_NR_TASKS]);
	say("  messages                %" PRIu64 "%s", s->counts.nr_msgs,
	    s->counts.nr_overflows ? ", and some that found no room" : "");
	say("  transactions committed  %" PRIu64, stats_committed(&s->counts));
	say("  transactions refused    %s", stats_refusals(&s->counts, refusals, sizeof(refusals)));
	say("  run by the fallback     %" PRIu64, s->counts.nr[GHOST_NR_FALLBACKS]);
	if (s->restarts)
		say("  agents restarted        %u times", s->restarts);
	say("  context switches        %ld (%ld voluntary)", s->voluntary + s->involuntary,
	    s->voluntary);
}

int stats_write_json(const struct run *run, const struct stats *s)
{
	json_t *command = json_array();
	char cpus[256];
	json_t *object;
	int ret = 0;

	for (char **arg = run->command; arg && *arg; arg++)
		json_array_append_new(command, json_text(*arg));
	ghost_cpuset_format(&run->cpus, cpus, sizeof(cpus));
	object = json_pack("{s:i, s:s, s:s, s:o, s:f, s:i, s:i}", "enclave", (int)s->enclave,
			   "policy", run->policy->name, "cpus", cpus, "command", command, "seconds",
			   s->seconds, "exit", s->exit_code, "restarts", (int)s->restarts);
	stats_add_json(object, &s->counts);
	json_object_set_new(object, "switches",
			    json_pack("{s:I, s:I}", "voluntary", (json_int_t)s->voluntary,
				      "involuntary", (json_int_t)s->involuntary));
	if (json_dump_file(object, run->stats_json, JSON_INDENT(2)))
		ret = errno ? -errno : -EIO;
	json_decref(object);
	return ret;
}
