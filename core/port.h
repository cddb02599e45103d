/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All that the mechanism knows of the outside world.
 * In: nothing. Out: declarations that bpf/port.bpf.h defines in the kernel,
 * sim/ in virtual time and tests/unit in plain memory. Used by core/ only.
 *
 * Memory order is a port word because clang cannot emit C11 acquire, release
 * or fences for the BPF target (clang 19); each word below names the weakest
 * order its callers rely on.
 */
#ifndef GHOST_CORE_PORT_H
#define GHOST_CORE_PORT_H

#include "abi/abi.h"
#include "core/record.h"

/* errno, which BPF has no header for. */
#define E_PERM 1
#define E_NOENT 2
#define E_SRCH 3
#define E_AGAIN 11
#define E_BUSY 16
#define E_EXIST 17
#define E_INVAL 22
#define E_NOSPC 28
#define E_STALE 116

#ifndef PORT_FN
#define PORT_FN static inline
#endif

/*
 * A function that is seldom called and takes numbers only. BPF's verifier looks
 * at it once, and not again for every way that leads there.
 */
#ifndef PORT_COLD
#define PORT_COLD static
#endif

/* Tables. NULL when the index is out of range or the enclave has no memory. */
PORT_FN struct core_task *port_task(__u32 slot);
PORT_FN struct core_cpu *port_cpu(__u32 cpu);
PORT_FN struct core_enclave *port_enclave(__u32 id);
PORT_FN struct core_slots *port_slots(void);
PORT_FN struct ghost_status *port_status(__u32 enclave, __u32 slot);
PORT_FN struct ghost_enclave_status *port_enclave_status(__u32 enclave);
PORT_FN struct ghost_cpu *port_cpu_page(__u32 enclave, __u32 cpu);
PORT_FN struct ghost_cpu_rw *port_cpu_rw(__u32 enclave, __u32 cpu);
PORT_FN struct ghost_msg *port_ring(__u32 enclave, __u32 index);

/* Memory. xchg, cmpxchg and fetch_* are full barriers and return the old value. */
PORT_FN __u32 port_load_acquire(const __u32 *p);
PORT_FN void port_store_release(__u32 *p, __u32 v);
PORT_FN void port_store_release64(__u64 *p, __u64 v);
PORT_FN __u32 port_cmpxchg(__u32 *p, __u32 old, __u32 new_);
PORT_FN __u64 port_cmpxchg64(__u64 *p, __u64 old, __u64 new_);
PORT_FN __u32 port_fetch_add(__u32 *p, __u32 v);
PORT_FN __u64 port_fetch_or64(__u64 *p, __u64 v);
PORT_FN __u64 port_fetch_and64(__u64 *p, __u64 v);

/* A loop over bounds from outside, for which BPF has a form of its own. */
#ifndef port_for
#define port_for(i, from, to) for (i = (from); i < (to); i++)
#endif

/* The machine. */
PORT_FN __u64 port_now_ns(void);
PORT_FN __u32 port_nr_cpus(void); /* CPU ids are below this */
PORT_FN __u32 port_this_cpu(void);
PORT_FN __u32 port_this_tid(void);
PORT_FN int port_this_pinned(__u32 cpu); /* can the caller run on @cpu only? */
PORT_FN int port_this_in_class(void);	 /* is the caller of our class? */
/*
 * As whom the caller is known that is in no class of ours, from here to its end; 0: as
 * nobody. 0 or -ENOSPC.
 */
PORT_FN int port_this_set_spinner(__u64 who);
PORT_FN void port_kick(__u32 cpu);    /* make @cpu look for work again, if it is idle */
PORT_FN void port_preempt(__u32 cpu); /* or take it from the thread of ours that runs there */
/* In @ns cpu_timer() is called about @cpu; instead of what was asked for before. */
PORT_FN int port_timer_set(__u32 cpu, __u64 ns);
/* The same with txn_slice_over(). Not by a CPU that dispatches: it holds its run queue (7.3). */
PORT_FN int port_slice_timer_set(__u32 cpu, __u64 ns);

/* Does a thread wait for @cpu, or run there, be it of the fair class or on our queue? */
PORT_FN int port_wanted(__u32 cpu);

/* May the thread in @slot be put on @cpu now? Only valid while it cannot run. */
enum port_allowed {
	PORT_NOT_ALLOWED,
	PORT_ALLOWED,
	PORT_CONFINED, /* its affinity allows it, but it is elsewhere with migration disabled */
};
PORT_FN enum port_allowed port_task_allowed(__u32 slot, __u32 cpu);
/* Bring number, name and cgroup up to date, which change without anyone being told. */
PORT_FN void port_task_describe(__u32 slot, struct ghost_status *st);

/*
 * Who @tid will be when it enters our class (core/task.h). 0; -ESRCH: there is no
 * such thread; clear: -ENOENT: it was to be nobody.
 */
PORT_FN int port_joining_set(__u32 tid, __u64 who);
PORT_FN int port_joining_clear(__u32 tid);
/*
 * May the caller change the class of @tid, as sched_setscheduler(2) has it for those
 * without privileges? 0, -EPERM; -ESRCH: there is no such thread.
 */
PORT_FN int port_this_may(__u32 tid);

/*
 * Moving a thread out of custody. port_custody_open() marks a point in time:
 * port_custody_move() fails for a thread that entered custody after it, so
 * everything checked in between still holds when the move succeeds. The thread
 * is then first on the queue of @cpu. If that CPU cannot run it at once, it
 * comes back by itself, as an event; not beside others, of whom the kernel
 * takes the one or the other back as well (7.3, dsq_inc_nr()): if it @stays it
 * waits there instead, until it runs.
 */
struct port_custody;
enum port_move {
	PORT_MOVE_HERE,	   /* @cpu dispatches, and this is it */
	PORT_MOVE_THERE,   /* @cpu is idle */
	PORT_MOVE_PREEMPT, /* take @cpu from the thread of ours that runs there */
};
PORT_FN int port_custody_open(struct port_custody *c, __u32 enclave);
PORT_FN int port_custody_move(struct port_custody *c, __u32 slot, __u32 cpu, __u64 slice_ns,
			      enum port_move how, int stays);
PORT_FN void port_custody_close(struct port_custody *c);

/* Everyone who waits in @place of @enclave passes enqueue again, soon. */
enum port_place {
	PORT_CUSTODY,
	PORT_FALLBACK,
};
PORT_FN void port_reenqueue(__u32 enclave, enum port_place place);
PORT_FN int port_waiting(__u32 enclave, enum port_place place); /* is anyone there? */

/* Who is first in the queue of the fallback, and where (core/task.h). Returns their number. */
#define PORT_FALLBACK_LOOK 4
PORT_FN __u32 port_fallback_look(__u32 enclave, __u64 who[PORT_FALLBACK_LOOK]);

/*
 * For the CPU that dispatches: put a thread on its queue. 0 when there is
 * none. @prev is the thread that has just run there and still could.
 */
struct port_thread;
PORT_FN int port_fallback_run(__u32 enclave);			  /* the first in its queue */
PORT_FN int port_agent_run(__u32 cpu);				  /* the parked agent of @cpu */
PORT_FN void port_keep(struct port_thread *prev, __u64 slice_ns); /* @prev itself goes on */
/* The slot of @prev, and what it has consumed in its life; 0: it is no member, or cannot go on. */
PORT_FN __u32 port_prev_member(const struct port_thread *prev, __u64 *runtime_ns);

#endif
