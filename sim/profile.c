// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of cost profiles.
 * In: the paper's Table 3; figures of `make bench`. Out: profiles. Implements
 * profile.h.
 *
 * Only sums were measured: a local schedule, a message with its wake-up, a
 * switch. How a sum divides into parts is chosen so that the sums come out,
 * and said beside each.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "sim/profile.h"

static const struct profile profiles[] = {
	/*
	 * Table 3 (SOSP '21, section 4.1; Skylake): system call 72, switch 410
	 * (line 11) and 599 with a full class (12), local schedule 888 =
	 * syscall + commit + switch; message to a local agent 725 = message +
	 * wake-up + switch; remote: 668 at the agent, 1,064 at the target,
	 * 1,772 end to end, so 40 on the wire. Migration costs are not in the
	 * table: two cache misses per level, and a TLB's worth across nodes.
	 */
	{
		.name = "paper-skylake",
		.help = "Table 3 of the paper (SOSP '21): two-socket Skylake, real hardware",
		.switch_ns = 410,
		.syscall_ns = 72,
		.wakeup_ns = 170,
		.message_ns = 145,
		.commit_ns = 406,
		.ipi_ns = 700,
		.ipi_send_ns = 260,
		.migrate_core_ns = 50,
		.migrate_cache_ns = 300,
		.migrate_node_ns = 600,
		.migrate_remote_ns = 1500,
		.tick_ns = 1000,
		.agent_number_ns = 20,
		.agent_msg_ns = 60,
		.agent_schedule_ns = 60,
		.agent_commit_ns = 20,
	},
	/*
	 * `make bench`, virtual time of an emulated machine (kernel 7.3.4,
	 * QEMU): a switch with futex call and wake-up 8,346, the same through
	 * a per-CPU agent 14,691. Of the 6,345 more, 4,400 are the second way
	 * through the scheduler and sched_yield(), 600 the agent's own code,
	 * 1,345 message and commit (docs/bench.md). One emulated instruction
	 * counts as 1 ns, so these are counts of instructions, not of time.
	 */
	{
		.name = "measured",
		.help = "make bench on 7.3.4 under QEMU -icount: instructions, not hardware time",
		.switch_ns = 3400,
		.syscall_ns = 1000,
		.wakeup_ns = 2000,
		.message_ns = 700,
		.commit_ns = 645,
		.ipi_ns = 2500,
		.ipi_send_ns = 900,
		.migrate_core_ns = 0,
		.migrate_cache_ns = 0,
		.migrate_node_ns = 0,
		.migrate_remote_ns = 0,
		.tick_ns = 6000,
		.agent_number_ns = 100,
		.agent_msg_ns = 200,
		.agent_schedule_ns = 200,
		.agent_commit_ns = 100,
	},
	/* The least an agent can take for a step: or it would look for ever at one moment. */
	{
		.name = "free",
		.help = "nothing costs anything: the best that a policy could come to",
		.agent_number_ns = 1,
		.agent_msg_ns = 1,
		.agent_schedule_ns = 1,
		.agent_commit_ns = 1,
	},
};

#define NR_PROFILES (sizeof(profiles) / sizeof(profiles[0]))

const struct profile *profile_at(unsigned int index)
{
	return index < NR_PROFILES ? &profiles[index] : NULL;
}

const struct profile *profile_find(const char *name)
{
	for (unsigned int i = 0; i < NR_PROFILES; i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}

/* The median of @bench under @system, ns; 0 if it is not there. */
static double median_of(const json_t *results, const char *bench, const char *system)
{
	const json_t *row;
	size_t i;

	json_array_foreach(results, i, row)
	{
		const char *b = json_string_value(json_object_get(row, "bench"));
		const char *s = json_string_value(json_object_get(row, "system"));

		if (b && s && !strcmp(b, bench) && !strcmp(s, system))
			return json_number_value(json_object_get(row, "median"));
	}
	return 0;
}

int profile_read(struct profile *ret, const char *path, char *error, size_t size)
{
	const struct profile *like = profile_find("measured");
	json_error_t why;
	json_t *root = json_load_file(path, 0, &why);
	const json_t *results = json_object_get(root, "results");
	double base = median_of(results, "switch", "eevdf");
	double ours = median_of(results, "switch", "ghost");
	/* "measured" divides 8,346 and the 6,345 that an agent of that CPU adds. */
	double part = base / 8346, more = (ours - base) / 6345;

	if (!root) {
		snprintf(error, size, "%s: %s", path, why.text);
		return -EINVAL;
	}
	json_decref(root);
	if (base <= 0 || ours <= base || base > 1e9 || ours > 1e9) {
		snprintf(error, size,
			 "%s has no results of switch (eevdf) and switch (ghost); "
			 "`make bench` writes them",
			 path);
		return -EINVAL;
	}
	*ret = *like;
	ret->name = "measured here";
	ret->help = "from a results file";
	ret->switch_ns = like->switch_ns * part;
	ret->syscall_ns = like->syscall_ns * part;
	ret->wakeup_ns = like->wakeup_ns * part;
	ret->ipi_ns = like->ipi_ns * part;
	ret->ipi_send_ns = like->ipi_send_ns * part;
	ret->tick_ns = like->tick_ns * part;
	ret->message_ns = like->message_ns * more;
	ret->commit_ns = like->commit_ns * more;
	ret->agent_number_ns = like->agent_number_ns * more;
	ret->agent_msg_ns = like->agent_msg_ns * more;
	ret->agent_schedule_ns = like->agent_schedule_ns * more;
	ret->agent_commit_ns = like->agent_commit_ns * more;
	return 0;
}
