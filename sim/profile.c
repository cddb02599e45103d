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
