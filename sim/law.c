// SPDX-License-Identifier: GPL-2.0-only
/*
 * The laws, one function each where one is enough.
 * In: the machine, after each event. Out: machine_break(). Implements law.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "sim/law.h"

/* A fallback thread may wait for a kick under way, a lost race for the next heartbeat. */
#define FALLBACK_GRACE_NS 1000000ull
#define ARRIVAL_GRACE_NS 60000000ull
/* An agent that spins makes room: at once, or for who came before it when a heartbeat finds out. */
#define ROOM_TOLD_NS 30000000ull
#define ROOM_GRACE_NS 120000000ull
/* New agents read the table first. */
#define NEW_AGENTS_NS 10000000ull

struct move {
	uint32_t slot;
	uint32_t cpu;
	uint32_t seq; /* that the thread had */
};

struct law {
	struct law_counts counts;
	/* since law_commit_begin() */
	struct move move[GHOST_CPUS_MAX];
	uint32_t nr_moves;
	uint32_t nr_ended;
	uint64_t nr_finals;
	uint32_t agent_seq;

	uint32_t *seq;			     /* [capacity]: the number each slot must have */
	uint64_t kept_since[GHOST_CPUS_MAX]; /* by an agent that spins, from the fair class */
	bool told[GHOST_CPUS_MAX];	     /* it ran there already, and so was told who came */
	uint64_t idle_since[GHOST_CPUS_MAX]; /* with a fallback thread that could run there */
	uint64_t nowhere_since[GHOST_ENCLAVES_MAX]; /* none of its CPUs is online */
	uint64_t nowhere_stamp[GHOST_ENCLAVES_MAX]; /* who came to wait before */
	uint32_t must_see[GHOST_CPUS_MAX]; /* the number behind the last thread that came to wait */
	bool must[GHOST_CPUS_MAX];
	bool blind;   /* tails are not to be trusted */
	bool excused; /* agents were made to forget their threads */
};

static const char *place_name(enum thread_place place)
{
	static const char *const names[] = {
		"asleep", "running", "arriving", "in custody", "in the fallback",
		"global", "local",   "parked",	 "fair",       "real-time",
		"gone"
	};

	return names[place];
}

int law_new(struct machine *m)
{
	m->law = calloc(1, sizeof(*m->law));
	if (!m->law)
		return -ENOMEM;
	m->law->seq = calloc(m->opt.capacity, sizeof(*m->law->seq));
	return m->law->seq ? 0 : -ENOMEM;
}

void law_free(struct machine *m)
{
	if (m->law)
		free(m->law->seq);
	free(m->law);
	m->law = NULL;
}

const struct law_counts *law_counts(const struct machine *m)
{
	return &m->law->counts;
}

static bool online(const struct machine *m, uint32_t enclave)
{
	return m->enclaves[enclave].state == GHOST_ENCLAVE_ONLINE;
}

void law_blind(struct machine *m)
{
	if (m->law)
		m->law->blind = true;
}

void law_pinged(struct machine *m, uint32_t cpu)
{
	const struct sim_enclave *e = &m->enclave[m->cpus[cpu].enclave];

	if (!m->law || !e->cpu || !online(m, m->cpus[cpu].enclave))
		return;
	m->law->must_see[cpu] = e->cpu[cpu].agent_seq;
	m->law->must[cpu] = true;
}

void law_online(struct machine *m, uint32_t enclave)
{
	struct sim_enclave *se = &m->enclave[enclave];

	se->online_at = m->now;
	se->lost_at = SIM_FOREVER;
}

void law_excuse(struct machine *m)
{
	if (m->law)
		m->law->excused = true;
}

/* --- each event, one message or one counted overflow ------------------------------- */

void law_joined(struct machine *m, struct thread *t, uint32_t slot)
{
	/* A new life goes on with the slot's numbers: an old commit never fits. */
	if (m->tasks[slot].seq != m->law->seq[slot] + 1)
		machine_break(m, "slot %u was taken with number %u after %u", slot,
			      m->tasks[slot].seq, m->law->seq[slot]);
	m->law->seq[slot] = m->tasks[slot].seq;
	t->queue = NONE16;
}

/* Messages of one thread are read in the order in which they were made. */
static void law_order(struct machine *m, struct thread *t, uint32_t queue, uint32_t position)
{
	const struct core_task *ct = &m->tasks[who_index(t->who)];
	const struct ghost_cpu_rw *rw = m->enclave[ct->enclave].rw;

	m->law->counts.orders++;
	/*
	 * Its queue changed: the agent who committed it has read all from the
	 * old one, or its commit would have been stale; unless the table told,
	 * as it does to agents who are new.
	 */
	if (t->queue != NONE16 && t->queue != queue && rw && !t->skipped && !m->law->blind &&
	    t->told_ns > m->enclave[ct->enclave].online_at + NEW_AGENTS_NS &&
	    (int32_t)(rw[t->queue].queue_tail - t->position) < 0)
		machine_break(m, "thread %u: a message to queue %u while one in queue %u is unread",
			      t->tid, queue, t->queue);
	t->queue = queue;
	t->position = position;
	t->told_ns = m->now;
	t->skipped = false;
}

void law_told(struct machine *m, const struct law_told *told)
{
	const struct core_task *ct = &m->tasks[told->slot];
	struct law *law = m->law;
	const struct ghost_queue *q = told->page ? &told->page->queue : NULL;
	uint32_t made = q ? q->head - told->head : 0;
	uint32_t lost = q ? q->overflow - told->overflow : 0;
	const struct ghost_cpu_rw *rw;
	const struct ghost_msg *msg;

	law->counts.events++;
	law->seq[told->slot] += told->numbers;
	if (ct->seq != law->seq[told->slot]) {
		machine_break(m, "thread %u (slot %u) has number %u after an event, should have %u",
			      told->t->tid, told->slot, ct->seq, law->seq[told->slot]);
		return;
	}
	if (made + lost != !!told->type) {
		machine_break(m,
			      "an event of thread %u made %u messages and %u overflows, should be "
			      "%u (type %u)",
			      told->t->tid, made, lost, !!told->type, told->type);
		return;
	}
	if (lost)
		told->t->skipped = true;
	if (!told->type)
		return;
	/* Who sleeps, leaves or merely changes gives an idle CPU nothing to do. */
	if (told->t->to == PLACE_CUSTODY && told->waits && told->queue < m->nr_cpus) {
		law->must_see[told->queue] = told->page->agent_seq;
		law->must[told->queue] = true;
	}
	if (told->agent && told->agent->agent_seq == told->agent_seq) {
		machine_break(m,
			      "an event of thread %u did not advance the number of the agent "
			      "of queue %u",
			      told->t->tid, told->queue);
		return;
	}
	if (!made)
		return;
	/* Whatever the tail says, and whoever wrote it: a full queue takes nothing. */
	rw = m->enclave[ct->enclave].rw;
	if (rw && told->head - rw[told->queue].queue_tail >= q->len)
		machine_break(m, "queue %u took a message at %u with its tail at %u", told->queue,
			      told->head, rw[told->queue].queue_tail);
	msg = &m->enclave[ct->enclave].ring[q->first + (told->head & (q->len - 1))];
	if (ct->queue != told->queue)
		machine_break(m, "thread %u has queue %u and its message went to %u", told->t->tid,
			      ct->queue, told->queue);
	if (msg->type != told->type || msg->slot != told->slot || msg->seq != ct->seq ||
	    msg->gtid != ct->gtid || msg->position != told->head + 1) {
		machine_break(m,
			      "a message of thread %u says type %u, slot %u, number %u; should "
			      "say %u, %u, %u",
			      told->t->tid, msg->type, msg->slot, msg->seq, told->type, told->slot,
			      ct->seq);
		return;
	}
	law_order(m, told->t, told->queue, told->head + 1);
}

/* --- commits ------------------------------------------------------------------------------ */

/* All final states counted so far, of all CPUs of @enclave. */
static uint64_t nr_finals(const struct machine *m, uint32_t enclave)
{
	const struct ghost_cpu *cpu = m->enclave[enclave].cpu;
	uint64_t sum = 0;

	for (uint32_t i = 0; cpu && i < m->nr_cpus; i++)
		for (uint32_t state = 0; state < GHOST_TXN_NR_STATES; state++)
			sum += cpu[i].nr_txn[state];
	return sum;
}

void law_commit_begin(struct machine *m, uint32_t enclave, uint32_t agent_seq)
{
	struct law *law = m->law;

	law->agent_seq = agent_seq;
	law->nr_moves = 0;
	law->nr_ended = 0;
	law->nr_finals = nr_finals(m, enclave);
}

void law_moved(struct machine *m, const struct thread *t, uint32_t slot, uint32_t cpu)
{
	struct law *law = m->law;

	if (law->nr_moves == GHOST_CPUS_MAX)
		return;
	/* What comes after may change it again: this is the moment that counts. */
	law->move[law->nr_moves++] =
		(struct move){ .slot = slot, .cpu = cpu, .seq = law->seq[slot] };
}

void law_committed(struct machine *m, uint32_t cpu, const struct ghost_txn *txn, uint32_t state,
		   enum law_commit kind)
{
	struct law *law = m->law;
	const struct move *move = NULL;

	law->counts.finals++;
	law->nr_ended++;
	if (!ghost_txn_is_final(state)) {
		machine_break(m, "CPU %u: a transaction ended in state %u", cpu, state);
		return;
	}
	if (kind == LAW_LOCAL && txn->agent_seq != law->agent_seq &&
	    (state == GHOST_TXN_YIELDED || state == GHOST_TXN_COMMITTED))
		machine_break(m, "CPU %u: a commit with agent number %u was accepted at %u", cpu,
			      txn->agent_seq, law->agent_seq);
	for (uint32_t i = 0; i < law->nr_moves; i++)
		if (law->move[i].cpu == cpu && law->move[i].slot == txn->slot)
			move = &law->move[i];
	if (state != GHOST_TXN_COMMITTED) {
		/* Of a group that failed half-way some may have been moved. */
		if (move && state != GHOST_TXN_POISONED)
			machine_break(m, "CPU %u: slot %u was refused and moved", cpu, txn->slot);
		return;
	}
	if (txn->slot == GHOST_SLOT_AGENT)
		return;
	law->counts.commits++;
	if (!move) {
		if (!(txn->flags & GHOST_COMMIT_ALLOW_TASK_ON_CPU))
			machine_break(m, "CPU %u: slot %u was committed and is not there", cpu,
				      txn->slot);
		return;
	}
	if (txn->task_seq != move->seq)
		machine_break(m, "CPU %u: a commit with thread number %u was accepted at %u", cpu,
			      txn->task_seq, move->seq);
}

void law_commit_end(struct machine *m, uint32_t enclave)
{
	struct law *law = m->law;
	uint64_t counted = nr_finals(m, enclave) - law->nr_finals;

	if (counted != law->nr_ended)
		machine_break(m, "%u transactions ended and %llu were counted", law->nr_ended,
			      (unsigned long long)counted);
}

/* --- where threads are ------------------------------------------------------------------------ */

void law_runs(struct machine *m, const struct thread *t, uint32_t cpu)
{
	m->law->counts.runs++;
	if (!thread_on(m, t, cpu)) {
		machine_break(m, "thread %u runs on CPU %u, which its affinity excludes", t->tid,
			      cpu);
		return;
	}
	if (t->class_ != CLASS_EXT || who_kind(t->who) != WHO_MEMBER)
		return;
	/* Outside of the enclave only because its affinity, or migrate_disable(), leaves no choice. */
	if (m->cpus[cpu].enclave != who_enclave(t->who)) {
		const struct core_enclave *e = &m->enclaves[who_enclave(t->who)];
		const struct ghost_cpuset *cpus = &m->masks[t->mask].cpus;

		if (t->confined)
			return;
		for (int i = 0; i < GHOST_CPU_WORDS; i++)
			if (cpus->word[i] & e->cpus[i] && t->to != PLACE_GLOBAL)
				machine_break(m,
					      "thread %u of enclave %u runs on CPU %u of another",
					      t->tid, who_enclave(t->who), cpu);
	}
}

/* The thread's place and what core/ believes of it belong together. */
static void law_place(struct machine *m, struct thread *t)
{
	const struct core_task *ct;
	const struct ghost_status *st;
	uint32_t flags, want = 0;

	if (t->class_ != CLASS_EXT || who_kind(t->who) != WHO_MEMBER || t->place == PLACE_GONE)
		return;
	m->law->counts.places++;
	ct = &m->tasks[who_index(t->who)];
	st = &m->enclave[ct->enclave].status[who_index(t->who)];
	if ((__u32)ct->gtid != t->tid || ct->enclave != who_enclave(t->who)) {
		machine_break(m, "slot %u is thread %u and thread %u", who_index(t->who),
			      (__u32)ct->gtid, t->tid);
		return;
	}
	switch (t->place) {
	case PLACE_ASLEEP:
		want = CORE_TASK_BLOCKED;
		break;
	case PLACE_CUSTODY:
		want = CORE_TASK_CUSTODY;
		break;
	case PLACE_FALLBACK:
	case PLACE_GLOBAL:
		want = CORE_TASK_FALLBACK;
		break;
	default:
		break;
	}
	/* A thread that runs while it joins is told of when it is put back. */
	if (want && ct->state != want && t->told) {
		machine_break(m, "thread %u is %s and core believes in state %u", t->tid,
			      place_name(t->place), ct->state);
		return;
	}
	if ((t->place == PLACE_RUNS || t->place == PLACE_LOCAL) &&
	    (ct->state == CORE_TASK_BLOCKED || ct->state == CORE_TASK_CUSTODY ||
	     ct->state == CORE_TASK_ABSENT)) {
		machine_break(m, "thread %u runs and core believes in state %u", t->tid, ct->state);
		return;
	}
	flags = ghost_status_flags(st->word);
	if (ghost_status_seq(st->word) != ct->seq)
		machine_break(m, "thread %u: status word has number %u, core %u", t->tid,
			      ghost_status_seq(st->word), ct->seq);
	else if (t->place == PLACE_CUSTODY && !(flags & GHOST_STATUS_RUNNABLE))
		machine_break(m, "thread %u waits and its status word does not say so", t->tid);
	else if (!(flags & GHOST_STATUS_INUSE))
		machine_break(m, "thread %u is there and its status word does not say so", t->tid);
}

/* --- idle CPUs ----------------------------------------------------------------------------------- */

static void law_idle(struct machine *m, uint32_t cpu)
{
	const struct core_cpu *cc = &m->cpus[cpu];
	const struct cpu *c = &m->cpu[cpu];
	struct law *law = m->law;
	const struct thread *waits = NULL;

	if (!c->idle || !c->online || c->resched_at != SIM_FOREVER || c->locked) {
		law->idle_since[cpu] = 0;
		return;
	}
	if (c->local.nr || c->fair.nr) {
		machine_break(m, "CPU %u idles with threads in its queues", cpu);
		return;
	}
	if (!cc->enclave || !m->enclave[cc->enclave].cpu)
		return;
	law->counts.idles++;
	if (online(m, cc->enclave) && cc->agent_tid && cc->place == CORE_PLACE_PARKED &&
	    law->must[cpu] && (int32_t)(law->must_see[cpu] - cc->agent_seen) > 0) {
		machine_break(m, "CPU %u idles over news: number %u, its agent saw %u", cpu,
			      law->must_see[cpu], cc->agent_seen);
		return;
	}
	list_for_each(n, save, &m->enclave[cc->enclave].fallback) {
		const struct thread *t = list_entry(n, struct thread, link);

		if (thread_on(m, t, cpu) && (!t->confined || t->cpu == cpu))
			waits = t;
	}
	if (!waits) {
		law->idle_since[cpu] = 0;
		return;
	}
	law->counts.fallbacks++;
	if (!law->idle_since[cpu])
		law->idle_since[cpu] = m->now;
	else if (m->now - law->idle_since[cpu] >
		 (waits->agent ? ARRIVAL_GRACE_NS : FALLBACK_GRACE_NS))
		machine_break(m, "CPU %u idles since %llu while thread %u waits in the fallback",
			      cpu, (unsigned long long)law->idle_since[cpu], waits->tid);
}

/* --- agents that spin ------------------------------------------------------------------------------ */

static bool spins(const struct machine *m, uint32_t cpu)
{
	uint32_t id = m->cpus[cpu].enclave;

	return id && m->cpus[cpu].spins && m->enclave[id].rw[cpu].spins;
}

/* Whoever of the fair class wants a CPU gets it, also where an agent is above it. */
static void law_room(struct machine *m, uint32_t cpu)
{
	const struct cpu *c = &m->cpu[cpu];
	struct law *law = m->law;
	bool rt = c->cur && c->cur->class_ == CLASS_RT;

	if (!rt || law->excused || !(c->fair.nr || c->fair_late_ns)) {
		law->kept_since[cpu] = 0;
		law->told[cpu] = rt && spins(m, cpu);
		return;
	}
	law->counts.rooms++;
	if (!law->kept_since[cpu])
		law->kept_since[cpu] = m->now;
	else if (m->now - law->kept_since[cpu] > (law->told[cpu] ? ROOM_TOLD_NS : ROOM_GRACE_NS))
		machine_break(m, "CPU %u is kept from the fair class by agent %u since %llu", cpu,
			      c->cur->tid, (unsigned long long)law->kept_since[cpu]);
}

/* No agents: nobody stays in custody longer than it takes to be taken out. */
static void law_fallback(struct machine *m, uint32_t id)
{
	const struct core_enclave *e = &m->enclaves[id];
	struct sim_enclave *se = &m->enclave[id];
	const struct thread *first;

	if (e->state == GHOST_ENCLAVE_FREE || e->state == GHOST_ENCLAVE_ONLINE) {
		se->lost_at = SIM_FOREVER;
		return;
	}
	if (se->lost_at == SIM_FOREVER) {
		const struct ghost_enclave_status *es = (const void *)&se->status[0];

		se->lost_at = m->now;
		se->lost_stamp = m->stamp;
		if (e->state == GHOST_ENCLAVE_LOST && es->lost_reason == GHOST_LOST_STALL &&
		    !m->law->excused)
			machine_break(m,
				      "thread %u was forgotten by agents to whom nothing was done",
				      es->lost_arg);
	}
	first = list_first(&se->custody, struct thread, link);
	if (!first || m->now - se->lost_at <= FALLBACK_GRACE_NS)
		return;
	/* One whose way into custody began before and ended after: the next heartbeat sees it. */
	if (first->stamp <= se->lost_stamp || m->now - se->lost_at > ARRIVAL_GRACE_NS)
		machine_break(m, "enclave %u has no agents and thread %u of %u waits for them", id,
			      first->tid, se->custody.nr);
}

static const struct thread *first_member(const struct list *waits)
{
	list_for_each(n, save, waits) {
		const struct thread *t = list_entry(n, struct thread, link);

		if (!t->agent)
			return t;
	}
	return NULL;
}

static bool has_cpu(const struct machine *m, uint32_t id)
{
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		if (m->cpus[cpu].enclave == id && m->cpu[cpu].online)
			return true;
	return false;
}

void law_waits(struct machine *m, const struct thread *t, bool anywhere)
{
	uint32_t id = who_enclave(t->who);

	if (!m->law)
		return;
	/* Only when it was told of the last one can it know. */
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		if (m->cpus[cpu].enclave == id && !m->cpus[cpu].off)
			return;
	m->law->counts.nowheres++;
	if (!anywhere)
		machine_break(m, "no CPU of enclave %u is online, and thread %u is to wait for one",
			      id, t->tid);
}

/* Whom the fallback lets go on though his slice is over has had less than all who could run there. */
void law_goes_on(struct machine *m, uint32_t cpu, const struct thread *t)
{
	const struct core_task *ct = &m->tasks[who_index(t->who)];

	if (who_kind(t->who) != WHO_MEMBER || ct->state != CORE_TASK_FALLBACK)
		return;
	list_for_each(n, save, &m->enclave[ct->enclave].fallback) {
		const struct thread *w = list_entry(n, struct thread, link);

		if (!thread_on(m, w, cpu) || (w->confined && w->cpu != cpu))
			continue;
		m->law->counts.turns++;
		if ((int64_t)(w->who - who_at(0, ct->vtime_ns)) <= 0)
			machine_break(m, "thread %u goes on on CPU %u, and thread %u had less",
				      t->tid, cpu, w->tid);
	}
}

/* No CPU: nobody waits for one longer than it takes to be taken out; cf. law_fallback(). */
static void law_nowhere(struct machine *m, uint32_t id)
{
	const struct sim_enclave *se = &m->enclave[id];
	const struct thread *waits;
	struct law *law = m->law;
	uint64_t since;

	if (m->enclaves[id].state == GHOST_ENCLAVE_FREE || has_cpu(m, id)) {
		law->nowhere_since[id] = 0;
		return;
	}
	if (!law->nowhere_since[id]) {
		law->nowhere_since[id] = m->now;
		law->nowhere_stamp[id] = m->stamp;
	}
	since = m->now - law->nowhere_since[id];
	if (since <= FALLBACK_GRACE_NS)
		return;
	waits = first_member(&se->custody) ?: first_member(&se->fallback);
	if (waits && (waits->stamp <= law->nowhere_stamp[id] || since > ARRIVAL_GRACE_NS))
		machine_break(m, "no CPU of enclave %u is online, and thread %u waits for one", id,
			      waits->tid);
}

void law_check(struct machine *m)
{
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++) {
		law_idle(m, cpu);
		law_room(m, cpu);
	}
	for (uint32_t tid = 1; tid < m->nr_threads; tid++)
		if (m->threads[tid])
			law_place(m, m->threads[tid]);
	for (uint32_t id = 1; id < m->nr_enclaves; id++) {
		law_fallback(m, id);
		law_nowhere(m, id);
	}
}
