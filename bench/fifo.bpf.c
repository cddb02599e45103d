// SPDX-License-Identifier: GPL-2.0-only
/*
 * The smallest sched_ext scheduler to compare with: one FIFO of all CPUs, no user space.
 * In: threads that chose SCHED_EXT. Out: threads on CPUs, and why it ended.
 * Called by: the kernel; loaded by fifo_load.
 */
#include "bpf/kernel.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define FIFO_DSQ 0
#define SLICE_NS (20 * 1000 * 1000ull)

/* Read by the loader: was the scheduler thrown out, and why? */
struct fifo_end {
	u64 ended;
	char reason[128];
	char message[256];
} fifo_end;

/* A thread that wakes while a CPU idles need not queue. */
SEC("struct_ops/select_cpu")
s32 BPF_PROG(fifo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, K_ENUM(scx_dsq_id_flags, SCX_DSQ_LOCAL), SLICE_NS, 0);
	return cpu;
}

SEC("struct_ops/enqueue")
void BPF_PROG(fifo_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, FIFO_DSQ, SLICE_NS, enq_flags);
}

SEC("struct_ops/dispatch")
void BPF_PROG(fifo_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FIFO_DSQ);
}

SEC("struct_ops.s/init")
s32 BPF_PROG(fifo_init)
{
	return scx_bpf_create_dsq(FIFO_DSQ, -1);
}

SEC("struct_ops/exit")
void BPF_PROG(fifo_exit, struct scx_exit_info *info)
{
	bpf_probe_read_kernel_str(fifo_end.reason, sizeof(fifo_end.reason),
				  BPF_CORE_READ(info, reason));
	bpf_probe_read_kernel_str(fifo_end.message, sizeof(fifo_end.message),
				  BPF_CORE_READ(info, msg));
	fifo_end.ended = 1;
}

/* The flags are set by the loader, from the running kernel's values. */
SEC(".struct_ops.link")
struct sched_ext_ops fifo_ops = {
	.select_cpu = (void *)fifo_select_cpu,
	.enqueue = (void *)fifo_enqueue,
	.dispatch = (void *)fifo_dispatch,
	.init = (void *)fifo_init,
	.exit = (void *)fifo_exit,
	.timeout_ms = 10000,
	.name = "fifo",
};
