/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes of the machine: what libghost is linked into.
 * In: a function to run. Out: libghost/backend.h in virtual time. Called by
 * scenarios and by faults, which kill them.
 *
 * A process has a main thread, which runs beside the machine and costs it
 * nothing, and agents, which are threads on its CPUs.
 */
#ifndef GHOST_SIM_BACKEND_H
#define GHOST_SIM_BACKEND_H

#include "libghost/backend.h"
#include "sim/machine.h"

struct process;

/* @main gets @arg and the process; it ends when @main returns. */
typedef void (*process_fn)(struct process *p, void *arg);

/**
 * process_start() - begin a process at this moment of virtual time
 * @ret: may be NULL. The process frees itself with the machine: see
 *	processes_free().
 */
int process_start(struct process **ret, struct machine *m, process_fn main, void *arg);

struct ghost_backend *process_backend(struct process *p);
struct machine *process_machine(struct process *p);

/* SIGKILL: its agents die where they are, on their CPUs; its memory goes after the last. */
void process_kill(struct process *p);
bool process_dead(const struct process *p);
/* Did main() return, or was it killed and buried? */
bool process_ended(const struct process *p);

/* The one after @p, or the first; NULL at the end. */
struct process *process_next(const struct machine *m, const struct process *p);

/* Its agents: for faults. Threads that are gone are left out. */
uint32_t process_nr_agents(const struct process *p);
struct thread *process_agent(const struct process *p, uint32_t index);

/* The agent computes for @ns more before its next step: late, slow, or hanging for ever. */
void agent_delay(struct thread *t, uint64_t ns);

/* Ask main() to come to an end: process_wait() returns. */
void process_ask(struct process *p);
/* For main(): wait for process_ask(), or for at most @ns. 0, -ETIMEDOUT, or -ESRCH when killed. */
int process_wait(struct process *p, uint64_t ns);

/* End all processes of @m and free them; before machine_free(). */
void processes_free(struct machine *m);

#endif
