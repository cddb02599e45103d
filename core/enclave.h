/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Enclaves as a whole: their life, the loss of their agents, and the heartbeat
 * that looks after all of them.
 * In: requests, deaths of agents, time. Out: threads in the hands of agents or
 * of the fallback. Called by ctl.h and by the ops.
 */
#ifndef GHOST_CORE_ENCLAVE_H
#define GHOST_CORE_ENCLAVE_H

#include "core/agent.h"
#include "core/event.h"
#include "core/task.h"

/*
 * Often enough that no thread waits noticeably for a lost race, seldom enough
 * to cost nothing. A parked agent counts as a waiting thread for the kernel's
 * watchdog (30 s at most): it is run at least once per AGENT_IDLE_BEATS.
 */
#define HEARTBEAT_NS (50 * 1000 * 1000ull)
/* One that comes after so long was not kept up by work alone. */
#define HEARTBEAT_LATE_NS (4 * HEARTBEAT_NS)
#define AGENT_IDLE_BEATS 20

/* So long has an agent that spins to see that its enclave ends. */
#define ENCLAVE_FORGET_NS 7000000000ull
/* Slots looked at per heartbeat: each within 6.4 s at the latest. */
#define SLOT_SCAN(used) (512 + (used) / 128)

/* --- agents decide, or do not any more ------------------------------------------ */

/* Make every CPU of @enclave look for work, even a busy one if @preempt. */
static void enclave_kick(__u32 enclave, int preempt)
{
	const struct core_cpu *c;
	__u32 cpu;

	port_for(cpu, 0, port_nr_cpus()) {
		c = port_cpu(cpu);
		if (!c || c->enclave != enclave)
			continue;
		if (preempt)
			port_preempt(cpu);
		else
			port_kick(cpu);
	}
}

/*
 * The agents of @enclave do not decide any more: the caller has just stored
 * @state in its private record. What waits in custody is enqueued anew and then
 * belongs to the fallback; parked agents are let go so that their process can
 * notice.
 */
static void enclave_fall_back(__u32 enclave, struct ghost_enclave_status *es, __u32 state,
			      int preempt)
{
	struct core_enclave *e = port_enclave(enclave);

	if (e)
		e->fell_ns = es->fell_ns = port_now_ns();
	es->unscheduled_ns = 0;
	es->state = state;
	port_reenqueue(enclave, PORT_CUSTODY);
	enclave_kick(enclave, preempt);
}

/* The agents of @enclave failed; @waited_ns: how long a thread waited for them, if that is why. */
static void enclave_lose(__u32 enclave, __u32 reason, __u32 arg, __u64 waited_ns)
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
	es->lost_ns = waited_ns;
	enclave_fall_back(enclave, es, GHOST_ENCLAVE_LOST, 0);
}

static void enclave_cpu_state(const struct core_cpu *c, __u32 cpu)
{
	struct ghost_cpu *page = port_cpu_page(c->enclave, cpu);

	if (page)
		page->state = c->off   ? GHOST_CPU_OFF :
			      c->taken ? GHOST_CPU_TAKEN :
					 GHOST_CPU_AVAILABLE;
}

/* Is any of its CPUs online? Otherwise whoever waits for one of them goes where it may. */
PORT_COLD int enclave_look_where(__u32 id)
{
	struct core_enclave *e = port_enclave(id);
	const struct core_cpu *c;
	__u32 cpu, nowhere = 1;

	if (!e)
		return 0;
	port_for(cpu, 0, port_nr_cpus()) {
		c = port_cpu(cpu);
		if (c && c->enclave == id && !c->off)
			nowhere = 0;
	}
	e->nowhere = nowhere;
	return nowhere;
}

static void enclave_clear_out(__u32 id)
{
	if (port_waiting(id, PORT_CUSTODY))
		port_reenqueue(id, PORT_CUSTODY);
	if (port_waiting(id, PORT_FALLBACK))
		port_reenqueue(id, PORT_FALLBACK);
}

/*
 * @cpu went offline. An agent of our class cannot be where it decides; the
 * kernel lets it run elsewhere. So there is none for that CPU, and the
 * enclave's agents are not complete. Agents that spin decide for all CPUs from
 * wherever they are, and see for themselves that this one is gone.
 */
static void enclave_cpu_offline(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;
	int nowhere;

	if (!c)
		return;
	c->off = 1;
	c->runs = 0;
	if (!c->enclave)
		return;
	enclave_cpu_state(c, cpu);
	es = port_enclave_status(c->enclave);
	if (es)
		cpu_idle_take(es, cpu);
	nowhere = enclave_look_where(c->enclave);
	if (!c->spins)
		enclave_lose(c->enclave, GHOST_LOST_CPU, cpu, 0);
	if (nowhere)
		enclave_clear_out(c->enclave);
}

static void enclave_cpu_online(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);

	if (!c)
		return;
	c->off = 0;
	if (!c->enclave)
		return;
	enclave_cpu_state(c, cpu);
	enclave_look_where(c->enclave);
}

static int enclave_agents_online(__u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);
	__u32 state;

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	state = port_load_acquire(&e->state);
	if (state == GHOST_ENCLAVE_DYING || state == GHOST_ENCLAVE_ONLINE ||
	    state == CORE_ENCLAVE_CHANGING)
		return -E_BUSY;
	if (port_load_acquire(&e->nr_agents) != e->nr_cpus)
		return -E_AGAIN;
	es->lost_reason = GHOST_LOST_NONE;
	e->fell_ns = 0;
	e->epoch++;
	if (port_cmpxchg(&e->state, state, GHOST_ENCLAVE_ONLINE) != state)
		return -E_BUSY;
	es->online_ns = port_now_ns();
	es->state = GHOST_ENCLAVE_ONLINE;
	/* One that died in between found nothing to lose. */
	if (port_load_acquire(&e->nr_agents) != e->nr_cpus) {
		enclave_lose(id, GHOST_LOST_AGENT_EXIT, 0, 0);
		return -E_AGAIN;
	}
	/* Those waiting for the fallback meet an agent instead. */
	port_reenqueue(id, PORT_FALLBACK);
	enclave_kick(id, 0);
	return 0;
}

/* Agents that end on purpose say so: the fallback takes over and no reason is recorded. */
static int enclave_agents_offline(__u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (port_cmpxchg(&e->state, GHOST_ENCLAVE_ONLINE, GHOST_ENCLAVE_IDLE) !=
	    GHOST_ENCLAVE_ONLINE)
		return -E_BUSY;
	/* A parked agent notices when it runs, and a slice may be long. */
	enclave_fall_back(id, es, GHOST_ENCLAVE_IDLE, 1);
	return 0;
}

/* Which messages about CPUs its agents get. */
static int enclave_deliver(__u32 id, __u32 flags)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (flags & ~GHOST_DELIVER_ALL)
		return -E_INVAL;
	e->deliver = es->deliver = flags;
	return 0;
}

/* The agent of @cpu is that no more, by whichever way. */
static void enclave_agent_gone(__u32 enclave, __u32 cpu)
{
	__u32 tid = agent_detach(enclave, cpu);

	if (tid)
		enclave_lose(enclave, GHOST_LOST_AGENT_EXIT, tid, 0);
}

/* @who: as it was told when it became one. It may have been forgotten since. */
static void enclave_spinner_gone(__u64 who)
{
	const struct core_cpu *c = port_cpu(who_index(who));

	if (c && c->enclave == who_enclave(who) && c->spins && c->nth == who_nth(who))
		enclave_agent_gone(who_enclave(who), who_index(who));
}

/*
 * Agents that spin are in no class of ours, so nobody can put them into another one, and
 * one that sleeps where no signal wakes it stays for as long as it likes. It holds nothing.
 */
PORT_COLD int enclave_forget_spinners(__u32 id)
{
	const struct core_enclave *e = port_enclave(id);
	__u32 cpu;

	if (!e || port_now_ns() - e->dying_ns < ENCLAVE_FORGET_NS)
		return -E_BUSY;
	port_for(cpu, 0, port_nr_cpus()) {
		const struct core_cpu *c = port_cpu(cpu);

		if (c && c->enclave == id && c->spins)
			agent_detach(id, cpu);
	}
	return e->nr_agents ? -E_BUSY : 0;
}

/* --- life ------------------------------------------------------------------------- */

/* @cpu becomes one of @id, with a queue whose place in the ring nobody else ever has. */
PORT_COLD int enclave_take_cpu(__u32 id, __u32 cpu)
{
	struct ghost_cpu *page = port_cpu_page(id, cpu);
	struct core_cpu *c = port_cpu(cpu);

	if (!c || !page)
		return -E_INVAL;
	if (port_cmpxchg(&c->enclave, 0, id) != 0)
		return -E_BUSY;
	c->agent_tid = 0;
	c->agent_seen = 0;
	c->place = CORE_PLACE_NONE;
	c->yielded = 0;
	c->seq = c->runs = c->displaced = c->elide = c->taken = 0;
	c->spins = c->not_idle = c->rtla_idle = 0;
	c->timer_on = c->slice_slot = 0;
	page->owned = 1;
	page->queue.first = cpu * GHOST_QUEUE_LEN;
	page->queue.nr_wake = 1;
	page->queue.wake[0] = cpu;
	port_store_release(&page->queue.len, GHOST_QUEUE_LEN);
	enclave_cpu_state(c, cpu);
	return 0;
}

/*
 * And is one no more. Owner first, then a look whether an agent has just come,
 * which looks at the owner after it came: one of both sees the other.
 */
PORT_COLD int enclave_drop_cpu(__u32 id, __u32 cpu)
{
	struct ghost_enclave_status *es = port_enclave_status(id);
	struct ghost_cpu *page = port_cpu_page(id, cpu);
	struct core_cpu *c = port_cpu(cpu);

	if (!c || !es || !page || port_cmpxchg(&c->enclave, id, 0) != id)
		return 0;
	if (port_load_acquire(&c->agent_tid)) {
		port_cmpxchg(&c->enclave, 0, id);
		return -E_BUSY;
	}
	c->timer_on = c->slice_slot = 0;
	page->owned = 0;
	/* Threads that have it get another one with their next message. */
	port_store_release(&page->queue.len, 0);
	cpu_idle_take(es, cpu);
	return 0;
}

/* Give the CPUs of @id back; those another enclave owns are left alone. */
static int enclave_release_cpus(__u32 id)
{
	int ret = 0;
	__u32 cpu;

	port_for(cpu, 0, port_nr_cpus())
		if (enclave_drop_cpu(id, cpu))
			ret = -E_BUSY;
	return ret;
}

/* Does it ask for any? */
PORT_COLD int enclave_asks(__u32 id)
{
	const struct core_enclave *e = port_enclave(id);
	__u64 any = 0;
	int i;

	for (i = 0; e && i < GHOST_CPU_WORDS; i++)
		any |= e->asked[i];
	return !!any;
}

/* The CPUs that @ctl asks for, in e->asked. Returns 0 when it is none. */
static int enclave_asked(struct core_enclave *e, const struct ghost_ctl *ctl)
{
	int i;

	/* Numbers past the last CPU are those of queues. */
	for (i = 0; i < GHOST_CPU_WORDS; i++)
		e->asked[i] = ctl->cpus[i] & cpus_there(i);
	return enclave_asks(ctl->enclave);
}

/* e->asked are its CPUs, now that it has them all; and what they were is there instead. */
PORT_COLD int enclave_have_cpus(__u32 id)
{
	struct ghost_enclave_status *es = port_enclave_status(id);
	struct core_enclave *e = port_enclave(id);
	__u32 nr = 0, first = 0, words = 0;
	__u64 before;
	int i;

	if (!e || !es)
		return 0;
	for (i = 0; i < GHOST_CPU_WORDS; i++) {
		if (e->asked[i])
			words = i + 1;
		nr += __builtin_popcountll(e->asked[i]);
	}
	for (i = GHOST_CPU_WORDS; i--;)
		if (e->asked[i])
			first = i * 64 + __builtin_ctzll(e->asked[i]);
	for (i = 0; i < GHOST_CPU_WORDS; i++) {
		before = e->cpus[i];
		e->cpus[i] = e->asked[i];
		e->asked[i] = before;
	}
	e->first_cpu = first;
	e->nr_words = words;
	e->nr_cpus = nr;
	es->nr_cpus = nr;
	enclave_look_where(id);
	return 0;
}

/* Those of e->asked that it lacks. On failure it has those it had. */
PORT_COLD int enclave_take_asked(__u32 id)
{
	const struct core_enclave *e = port_enclave(id);
	const struct core_cpu *c;
	int ret = 0;
	__u32 cpu;

	if (!e)
		return -E_NOENT;
	port_for(cpu, 0, port_nr_cpus()) {
		c = port_cpu(cpu);
		if (!c || !cpu_in(e->asked, cpu) || c->enclave == id)
			continue;
		ret = enclave_take_cpu(id, cpu);
		if (ret)
			break;
	}
	if (!ret)
		return 0;
	port_for(cpu, 0, port_nr_cpus())
		if (cpu_in(e->asked, cpu) && !cpu_in(e->cpus, cpu))
			enclave_drop_cpu(id, cpu);
	return ret;
}

/* Is it this enclave still that was to get @who (WHO_COMING)? */
static int enclave_expects(__u64 who)
{
	const struct core_enclave *e = port_enclave(who_enclave(who));

	return e && (e->gen & WHO_GEN_MASK) == who_gen(who);
}

static int enclave_create(const struct ghost_ctl *ctl)
{
	struct ghost_enclave_status *es;
	struct core_slots *s = port_slots();
	struct core_enclave *e;
	__u32 id = ctl->enclave;
	int ret, i;

	if (!id || id >= GHOST_ENCLAVES_MAX)
		return -E_INVAL;
	e = port_enclave(id);
	es = port_enclave_status(id);
	if (!e || !es || !s)
		return -E_INVAL;
	if (e->state != GHOST_ENCLAVE_FREE)
		return -E_EXIST;
	if (ctl->flags > GHOST_FALLBACK_MAX || !enclave_asked(e, ctl))
		return -E_INVAL;
	e->nr_agents = 0;
	e->next_cpu = 0;
	e->stall_ns = ctl->stall_ns;
	e->fell_ns = 0;
	e->default_queue = GHOST_QUEUE_NONE;
	e->deliver = 0;
	e->making = 0;
	e->token = ctl->token;
	e->max_tasks = ctl->capacity;
	e->slo_ns = 0;
	e->fallback = ctl->flags;
	e->vtime_ns = 0;
	e->gen++;
	for (i = 0; i < GHOST_CPU_WORDS; i++)
		e->cpus[i] = 0;
	/* Each CPU of the machine has a place, whosever it is. */
	e->ring_made = port_nr_cpus() * GHOST_QUEUE_LEN;
	e->ring_len = e->ring_made + ctl->len;
	/* The memory is made by whoever asks: is it large enough? */
	if (e->ring_len < e->ring_made || !port_ring(id, e->ring_len - 1))
		return -E_INVAL;
	ret = enclave_take_asked(id);
	if (ret)
		return ret;
	enclave_have_cpus(id);
	es->abi = GHOST_ABI_VERSION;
	es->id = id;
	es->capacity = s->capacity;
	es->nr_tasks = 0;
	es->lost_reason = GHOST_LOST_NONE;
	es->default_queue = GHOST_QUEUE_NONE;
	es->ring_len = e->ring_len;
	es->deliver = 0;
	es->token = e->token;
	es->max_tasks = e->max_tasks;
	es->fallback = e->fallback;
	es->lost_ns = es->fell_ns = es->online_ns = es->unscheduled_ns = 0;
	es->state = GHOST_ENCLAVE_IDLE;
	port_store_release(&e->state, GHOST_ENCLAVE_IDLE);
	/* Those that idle are known to when they have looked once. */
	enclave_kick(id, 0);
	return 0;
}

/* Those that it has and that are not in e->asked. On failure it has them all. */
PORT_COLD int enclave_drop_others(__u32 id)
{
	const struct core_enclave *e = port_enclave(id);
	const struct core_cpu *c;
	int ret = 0;
	__u32 cpu;

	if (!e)
		return -E_NOENT;
	port_for(cpu, 0, port_nr_cpus()) {
		if (cpu_in(e->asked, cpu) || !cpu_in(e->cpus, cpu))
			continue;
		ret = enclave_drop_cpu(id, cpu);
		if (ret)
			break;
	}
	if (!ret)
		return 0;
	port_for(cpu, 0, port_nr_cpus()) {
		c = port_cpu(cpu);
		if (c && c->enclave != id && cpu_in(e->cpus, cpu))
			enclave_take_cpu(id, cpu);
	}
	return ret;
}

PORT_COLD int enclave_change_cpus(__u32 id)
{
	struct ghost_enclave_status *es = port_enclave_status(id);
	struct core_enclave *e = port_enclave(id);
	int ret = enclave_take_asked(id);
	__u32 cpu;

	if (ret || !e || !es)
		return ret;
	ret = enclave_drop_others(id);
	if (ret) {
		port_for(cpu, 0, port_nr_cpus())
			if (cpu_in(e->asked, cpu) && !cpu_in(e->cpus, cpu))
				enclave_drop_cpu(id, cpu);
		return ret;
	}
	enclave_have_cpus(id);
	e->epoch++;
	if (e->default_queue != GHOST_QUEUE_NONE && !queue_there(id, e->default_queue))
		e->default_queue = es->default_queue = GHOST_QUEUE_NONE;
	port_reenqueue(id, PORT_FALLBACK);
	/* Who came there just as the agents went, and whom no heartbeat has seen yet. */
	port_reenqueue(id, PORT_CUSTODY);
	/* On those that left a slice that agents gave may be long. */
	port_for(cpu, 0, port_nr_cpus())
		if (cpu_in(e->asked, cpu) && !cpu_in(e->cpus, cpu))
			port_preempt(cpu);
	return 0;
}

/*
 * Other CPUs, while there is no agent: the fallback runs the threads on those
 * it has then, and what the affinity of each leaves of them is found with its
 * next event.
 */
static int enclave_set_cpus(const struct ghost_ctl *ctl)
{
	__u32 id = ctl->enclave, state;
	struct ghost_enclave_status *es = port_enclave_status(id);
	struct core_enclave *e = port_enclave(id);
	int ret;

	if (!e || !es || !id)
		return -E_NOENT;
	state = port_load_acquire(&e->state);
	if (state == GHOST_ENCLAVE_FREE || state == GHOST_ENCLAVE_DYING)
		return -E_NOENT;
	if (state == GHOST_ENCLAVE_ONLINE || state == CORE_ENCLAVE_CHANGING ||
	    port_cmpxchg(&e->state, state, CORE_ENCLAVE_CHANGING) != state)
		return -E_BUSY;
	ret = -E_BUSY;
	if (!port_load_acquire(&e->nr_agents))
		ret = enclave_asked(e, ctl) ? enclave_change_cpus(id) : -E_INVAL;
	port_store_release(&e->state, state);
	if (!ret)
		enclave_kick(id, 0);
	return ret;
}

/* The limit last: who sees it sees since when. */
static int enclave_slo(__u32 id, __u64 ns)
{
	struct core_enclave *e = port_enclave(id);

	if (!e || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	e->slo_from_ns = port_now_ns();
	port_store_release64(&e->slo_ns, ns);
	return 0;
}

static int enclave_destroy(__u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);
	__u32 state;

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	state = port_load_acquire(&e->state);
	if (state == CORE_ENCLAVE_CHANGING ||
	    port_cmpxchg(&e->state, state, GHOST_ENCLAVE_DYING) != state)
		return -E_BUSY;
	if (state != GHOST_ENCLAVE_DYING)
		e->dying_ns = port_now_ns();
	enclave_fall_back(id, es, GHOST_ENCLAVE_DYING, 0);
	return 0;
}

static int enclave_free(__u32 id)
{
	struct core_enclave *e = port_enclave(id);
	struct ghost_enclave_status *es = port_enclave_status(id);

	if (!e || !es || !id || e->state == GHOST_ENCLAVE_FREE)
		return -E_NOENT;
	if (e->state != GHOST_ENCLAVE_DYING || es->nr_tasks)
		return -E_BUSY;
	if (e->nr_agents && enclave_forget_spinners(id))
		return -E_BUSY;
	if (enclave_release_cpus(id))
		return -E_BUSY;
	es->state = GHOST_ENCLAVE_FREE;
	port_store_release(&e->state, GHOST_ENCLAVE_FREE);
	return 0;
}

/* --- heartbeat --------------------------------------------------------------------- */

/* Where agents spin: whom no event has announced, or who was missed. */
static void heartbeat_waited(const struct core_cpu *c, __u32 cpu)
{
	struct ghost_cpu *page = port_cpu_page(c->enclave, cpu);
	__u32 waited = !!port_wanted(cpu);

	if (page)
		page->waited = waited;
	if (waited)
		cpu_wanted(cpu);
}

/* A CPU whose agent has been waiting for long: let it run, whatever runs there. */
static void heartbeat_cpu(__u32 cpu)
{
	struct core_cpu *c = port_cpu(cpu);
	struct ghost_enclave_status *es;

	if (!c || !c->enclave || !c->agent_tid)
		return;
	if (c->spins)
		heartbeat_waited(c, cpu);
	if (c->place == CORE_PLACE_NONE)
		return;
	if (c->beat_yields != c->nr_yields) {
		c->beat_yields = c->nr_yields;
		c->beats = 0;
		return;
	}
	if (++c->beats < AGENT_IDLE_BEATS)
		return;
	c->beats = 0;
	es = port_enclave_status(c->enclave);
	if (!es)
		return;
	agent_advance(c->enclave, cpu, 0);
	if (cpu_idle_take(es, cpu)) {
		port_kick(cpu);
	} else {
		c->kicked = 1;
		port_preempt(cpu);
	}
}

/*
 * Whatever a race left behind: threads in custody without agents, and threads
 * of the fallback with them, whom nobody would run beside one that never
 * leaves its CPU to anybody else; and both where there is no CPU.
 */
static void heartbeat_enclave(__u32 enclave)
{
	const struct core_enclave *e = port_enclave(enclave);

	if (!e || e->state == GHOST_ENCLAVE_FREE)
		return;
	queue_beat(enclave);
	/* A change of its CPUs may have looked just before one came. */
	if (e->nowhere && enclave_look_where(enclave)) {
		enclave_clear_out(enclave);
		return;
	}
	if (e->state == GHOST_ENCLAVE_ONLINE) {
		if (port_waiting(enclave, PORT_FALLBACK))
			port_reenqueue(enclave, PORT_FALLBACK);
		return;
	}
	if (port_waiting(enclave, PORT_CUSTODY))
		port_reenqueue(enclave, PORT_CUSTODY);
	if (port_waiting(enclave, PORT_FALLBACK))
		enclave_kick(enclave, 0);
}

/*
 * A machine that stands still (a VM that is stopped, moved or saved) finds
 * that time has passed in which no agent could do anything.
 */
static void heartbeat_still(struct core_slots *s, __u64 now)
{
	if (s->beat_ns && now - s->beat_ns > HEARTBEAT_LATE_NS) {
		s->still_ns = now;
		s->still_for_ns = now - s->beat_ns - HEARTBEAT_NS;
	}
	s->beat_ns = now;
}

/* How long @t has waited while the machine ran. */
static __u64 heartbeat_waits(const struct core_slots *s, const struct core_task *t, __u64 now)
{
	__u64 since = t->since_ns;

	if (since < s->still_ns)
		since += s->still_for_ns;
	return now > since ? now - since : 0;
}

/*
 * Has a runnable thread waited too long? Then its agents are not worth their
 * enclave. Also name and cgroup, which change without anyone being told.
 */
static void heartbeat_slot(const struct core_slots *s, __u32 slot, __u64 now)
{
	const struct core_task *t = port_task(slot);
	const struct core_enclave *e;
	struct ghost_status *st;
	__u64 waited;

	if (!t || t->state == CORE_TASK_ABSENT)
		return;
	st = port_status(t->enclave, slot);
	if (st)
		port_task_describe(slot, st);
	if (t->state != CORE_TASK_CUSTODY)
		return;
	e = port_enclave(t->enclave);
	waited = heartbeat_waits(s, t, now);
	/* Who is never chosen counts once in each look. */
	if (e && e->slo_ns && waited > e->slo_ns && t->since_ns >= e->slo_from_ns)
		cpu_waited(t->enclave, port_this_cpu(), waited);
	if (e && e->stall_ns && waited > e->stall_ns)
		enclave_lose(t->enclave, GHOST_LOST_STALL, (__u32)t->gtid, waited);
}

/* Every HEARTBEAT_NS. */
static void enclave_heartbeat(void)
{
	struct core_slots *s = port_slots();
	__u64 now = port_now_ns();
	__u32 i, slot, nr;

	port_for(i, 0, port_nr_cpus())
		heartbeat_cpu(i);
	port_for(i, 1, GHOST_ENCLAVES_MAX)
		heartbeat_enclave(i);
	if (!s)
		return;
	heartbeat_still(s, now);
	slot = s->scan;
	nr = SLOT_SCAN(s->used);
	port_for(i, 0, nr) {
		if (slot >= s->used)
			slot = 0;
		heartbeat_slot(s, slot, now);
		slot++;
		/* A table smaller than the window is looked at once, not twice. */
		if (i + 1 >= s->used)
			break;
	}
	s->scan = slot;
}

#endif
