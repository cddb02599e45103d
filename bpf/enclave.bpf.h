/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Enclaves as a whole: waking their CPUs, giving up their agents.
 * In: an enclave's id. Out: kicks, threads back in the fallback's hands. For
 * ghost.bpf.c and ctl.bpf.h.
 */
#ifndef GHOST_BPF_ENCLAVE_H
#define GHOST_BPF_ENCLAVE_H

#include "bpf/kernel.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/port.bpf.h"

/* Make every CPU of @enclave look for work; @flags: SCX_KICK_*. */
static void enclave_kick(u32 enclave, u64 flags)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 cpu;

	bpf_for(cpu, 0, nr) {
		const struct core_cpu *c = port_cpu(cpu);

		if (c && c->enclave == enclave)
			scx_bpf_kick_cpu(cpu, flags);
	}
}

/*
 * The agents of @enclave do not decide any more: the caller has just stored
 * @state in its private record. What waits in custody is enqueued anew and then
 * belongs to the fallback; parked agents are let go so that their process can
 * notice. @kick: as for enclave_kick().
 */
static void enclave_fall_back(u32 enclave, struct ghost_enclave_status *es, u32 state, u64 kick)
{
	es->state = state;
	scx_bpf_dsq_reenq(DSQ_CUSTODY(enclave), 0);
	enclave_kick(enclave, kick);
}

/* The agents of @enclave failed. */
static void enclave_lose(u32 enclave, u32 reason, u32 arg)
{
	struct core_enclave *e = port_enclave(enclave);
	struct ghost_enclave_status *es = port_enclave_status(enclave);

	if (!e || !es)
		return;
	if (port_cmpxchg(&e->state, GHOST_ENCLAVE_ONLINE, GHOST_ENCLAVE_LOST) !=
	    GHOST_ENCLAVE_ONLINE)
		return;
	es->lost_reason = reason;
	es->lost_arg = arg;
	enclave_fall_back(enclave, es, GHOST_ENCLAVE_LOST, 0);
}

#endif
