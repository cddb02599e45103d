/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an enclave shows of itself as files, without any program of ours: two
 * iterators over its status table, each pinned in its folder by whoever makes
 * the enclave. And one over all threads, for those of our class in no enclave.
 * In: the enclave's table, private records. Out: text, made anew each time the
 * file is opened.
 */
#ifndef GHOST_BPF_SHOW_H
#define GHOST_BPF_SHOW_H

#include "bpf/kernel.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/port.bpf.h"

/* As ghost_enclave_state_name() and ghost_lost_reason_name() say it. */
static __always_inline const char *show_state(u32 state)
{
	switch (state) {
	case GHOST_ENCLAVE_FREE:
		return "free";
	case GHOST_ENCLAVE_IDLE:
		return "idle";
	case GHOST_ENCLAVE_ONLINE:
		return "online";
	case GHOST_ENCLAVE_LOST:
		return "lost";
	default:
		return "dying";
	}
}

static __always_inline const char *show_reason(u32 reason)
{
	switch (reason) {
	case GHOST_LOST_NONE:
		return "none";
	case GHOST_LOST_AGENT_EXIT:
		return "agent_exit";
	case GHOST_LOST_STALL:
		return "stall";
	default:
		return "cpu_offline";
	}
}

/* Its CPUs, and who decides for each: "0:123 1:-". */
static __always_inline void show_cpus(struct seq_file *seq, u32 id)
{
	u32 cpu, nr = port_nr_cpus();

	BPF_SEQ_PRINTF(seq, "cpus");
	bpf_for(cpu, 0, nr) {
		const struct core_cpu *c = port_cpu(cpu);

		if (!c || c->enclave != id)
			continue;
		if (c->agent_tid)
			BPF_SEQ_PRINTF(seq, " %u:%u", cpu, c->agent_tid);
		else
			BPF_SEQ_PRINTF(seq, " %u:-", cpu);
	}
	BPF_SEQ_PRINTF(seq, "\n");
}

SEC("iter/bpf_map_elem")
int ghost_show_state(struct bpf_iter__bpf_map_elem *ctx)
{
	const struct ghost_enclave_status *es = ctx->value;
	struct seq_file *seq = ctx->meta->seq;
	const struct core_enclave *e;
	const u32 *slot = ctx->key;

	/* The enclave's own record is the first. */
	if (!slot || !es || *slot)
		return 0;
	e = port_enclave(es->id);
	if (!e)
		return 0;
	BPF_SEQ_PRINTF(seq,
		       "enclave %u\nstate %s\nlost %s\nlost_arg %u\nthreads %u\nstall_ns %llu\n",
		       es->id, show_state(es->state), show_reason(es->lost_reason), es->lost_arg,
		       es->nr_tasks, e->stall_ns);
	show_cpus(seq, es->id);
	return 0;
}

SEC("iter/bpf_map_elem")
int ghost_show_threads(struct bpf_iter__bpf_map_elem *ctx)
{
	const struct ghost_status *st = ctx->value;
	struct seq_file *seq = ctx->meta->seq;
	const u32 *slot = ctx->key;
	char name[GHOST_COMM_LEN];

	if (!slot || !st)
		return 0;
	if (!*slot) {
		BPF_SEQ_PRINTF(seq, "tid tgid state cpu nice runtime_ns cgroup name\n");
		return 0;
	}
	if (!(ghost_status_flags(st->word) & GHOST_STATUS_INUSE))
		return 0;
	ghost_status_name(st->comm, name);
	BPF_SEQ_PRINTF(seq, "%u %u %s %u %d %llu %llu %s\n", st->tid, st->tgid,
		       ghost_status_state(ghost_status_flags(st->word)), st->cpu, st->nice,
		       st->runtime_ns, st->cgroup, name);
	return 0;
}

/* Those that can run, by number. */
SEC("iter/task")
int ghost_show_strangers(struct bpf_iter__task *ctx)
{
	struct task_struct *p = ctx->task;

	if (p && p->policy == SCHED_EXT && p->on_rq && who_kind(p->scx.dsq_vtime) == WHO_STRANGER)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", p->pid);
	return 0;
}

#endif
