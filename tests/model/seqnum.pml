/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sequence numbers of a commit: threads that wake, block, are preempted
 * and have their affinity changed, while agents decide on what they have read.
 *
 *	model		C
 *	enqueue		event_task_enqueue(), then the insertion into DSQ_CUSTODY
 *	thread		event_task_blocked(); a slice that ends; both on its CPU
 *	changer		event_task_changed(), between being taken off and put back
 *	send		msg_send()
 *	advance		port_fetch_add(&page->agent_seq, 1), agent_ping()
 *	agent		agent_loop(): number, drain(), schedule(), commit(), refused()
 *	handle		handle_locked(), task_changed()
 *	move		txn_move(), line by line; before it the checks of txn_commit_local()
 *	open, late	port_custody_open(): who has entered custody after it
 *	locked		the lock of the run queue that the thread is on
 *
 * Verified, for every interleaving:
 *   - a thread that is moved is in custody, runs nowhere, may run on that CPU,
 *     and nothing has happened to it since what the decision was based on;
 *   - whoever commits has handled all messages of the thread, so its queue may
 *     change; its messages are handled in order, each once, although they lie
 *     in two queues;
 *   - an agent waits only when it has read every message that its number counts;
 *   - each transaction that was READY ends in one final state;
 *   - no runnable thread is left behind, and if all goes on (weak fairness) each
 *     is run in the end.
 *
 * As long as a commit has not moved the thread, it only claims it: CLAIMED
 * names the CPU, only that one undoes it, and others who meet it are told AGAIN.
 * BUG_NAMELESS_CLAIM uses LATCHED for this, as txn_move() once did. What spin
 * finds then takes two CPUs that commit the same thread while its
 * affinity changes. The late one, whose number does not fit any more, claims
 * just after the thread was put back. Either the other one is refused (ON_CPU:
 * "a message tells", but none is to come); or it claims after the event has
 * overwritten the first claim, and the first then undoes the second. The thread
 * runs while state and status word say that it waits, and its next preemption
 * makes no message. In both cases it is in custody, and no agent knows.
 *
 * Left out: the ring and who drains it (queue.pml; here a message is handled by
 * the agent of its CPU, in one step); waking (handover.pml; here an agent runs
 * when its number has moved and no member is on its CPU); overflows; slots that
 * are used again; threads outside the enclave. The policy is one pool from
 * which all agents take, and a ping for who may run what this CPU may not.
 * Events of one thread exclude each other and the move; those of two threads
 * do not exclude each other even on one CPU, which is more than a kernel allows.
 *
 * Spin runs one step after the other. What entitles it to: the state changes
 * hands by port_cmpxchg(), agent_seq advances by port_fetch_add(), both full
 * barriers; an event writes state, number, status word and message in this
 * order, each with release, and a commit reads number and state with acquire;
 * custody and affinity are touched under the run-queue lock only.
 *
 *	-DTHREADS= -DCPUS= -DWAKES= -DSTOPS= -DCHANGES=		the size, see below
 *	-DBUG_NAMELESS_CLAIM	as described above
 *	-DBUG_CLAIM_IS_ON_CPU	claims are named, but who meets one is told ON_CPU
 *	-DBUG_NO_UNDO		a claim that came to nothing stays
 *	-DBUG_NO_SEQ_CHECK	the thread's number is not compared
 *	-DBUG_NO_AGENT_CHECK	the agent's number is not compared
 *	-DBUG_OPEN_LATE		the custody point is taken after the checks
 *	-DBUG_NUMBER_LATE	the agent reads its number after it has drained
 *	-DBUG_NUMBER_FIRST	agent_seq advances before the message is there
 */
#ifndef THREADS
#define THREADS 1
#endif
#ifndef CPUS
#define CPUS 2
#endif
/* Per thread: wake-ups and preemptions; in all: changes of affinity. */
#ifndef WAKES
#define WAKES 2
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef CHANGES
#define CHANGES 1
#endif
#define NONE 255
#define EVERY ((1 << CPUS) - 1)

#ifdef BUG_NAMELESS_CLAIM
#define CLAIMED LATCHED
#define OWN true
mtype:state = { BLOCKED, CUSTODY, LATCHED };
#else
#define OWN (claimer[pick] == me)
mtype:state = { BLOCKED, CUSTODY, CLAIMED, LATCHED };
#endif
mtype:message = { WAKEUP, PREEMPT, SLEEP, AFFINITY };
mtype:txn = { FREE, READY, COMMITTED, YIELDED, AGENT_STALE, TASK_STALE, REFUSED, NOT_ALLOWED, AGAIN };
mtype:known = { ASLEEP, RUNNABLE, PICKED };

/* struct core_task, the affinity, the flag RUNNABLE of the status word */
mtype:state state[THREADS] = BLOCKED;
byte seq[THREADS], queue[THREADS], mask[THREADS] = EVERY;
bool flagged[THREADS];
/* The kernel: the lock, DSQ_CUSTODY, the CPU a thread is on. */
bool locked[THREADS], custody[THREADS], busy[CPUS];
byte oncpu[THREADS] = NONE;
bool late[CPUS * THREADS];
/*
 * Per CPU: the queue, the state of the transaction, and agent_seq, which is
 * only ever compared: is it what the agent read last, is it not agent_seen?
 */
bool fresh[CPUS], news[CPUS];
chan ring[CPUS] = [7] of { byte, mtype:message, byte };
mtype:txn txn[CPUS] = FREE;
/* struct ghost_task, which the agents share */
mtype:known known[THREADS] = ASLEEP;
byte known_seq[THREADS];

/* What only the checks know. */
bool waiting[THREADS];
byte unread[THREADS];	 /* messages of a thread */
short owed[CPUS];	 /* messages that the number of a CPU counts, less those handled there */
byte claimer[THREADS];	 /* who set CLAIMED last */

/* The order of the steps below is that of the accesses in the C functions. */

inline lock(t)
{
	atomic { !locked[t] -> locked[t] = true }
}

inline advance(cpu)
{
	fresh[cpu] = false;
	news[cpu] = true
}

inline send(t, what)
{
	seq[t]++;
	flagged[t] = (state[t] == CUSTODY);
#ifdef BUG_NUMBER_FIRST
	atomic { advance(queue[t]); owed[queue[t]]++ };
#endif
	atomic { ring[queue[t]]!t,what,seq[t]; unread[t]++ };
#ifndef BUG_NUMBER_FIRST
	atomic { advance(queue[t]); owed[queue[t]]++ }
#endif
}

inline enqueue(t)
{
	before = state[t];
	atomic { state[t] = CUSTODY; waiting[t] = true };
	if
	:: before == CUSTODY && flagged[t]
	:: before == BLOCKED -> send(t, WAKEUP)
	:: else -> send(t, PREEMPT)
	fi;
	/* Only now is it where a commit can find it. */
	atomic {
		custody[t] = true;
		for (c : 0 .. CPUS - 1) {
			late[c * THREADS + t] = true
		}
		c = 0;
		before = BLOCKED
	}
}

inline leave_cpu(t)
{
	atomic { busy[oncpu[t]] = false; oncpu[t] = NONE }
}

proctype thread(byte t)
{
	byte wakes, stops, c;
	mtype:state before = BLOCKED;

	do
	:: wakes == WAKES -> break
	:: wakes < WAKES ->
		wakes++;
		lock(t);
		enqueue(t);
		locked[t] = false;
		do
		:: atomic { oncpu[t] != NONE && !locked[t] -> locked[t] = true };
			if
			:: state[t] = BLOCKED;
				send(t, SLEEP);
				leave_cpu(t);
				locked[t] = false;
				break
			:: stops < STOPS ->
				stops++;
				enqueue(t);
				leave_cpu(t);
				locked[t] = false
			fi
		od
	od
}

/* sched_setaffinity() by somebody else: takes the thread off where it is, and puts it back. */
proctype changer()
{
	byte n, t, c, m;
	bool was;
	mtype:state before = BLOCKED;

	do
	:: n == CHANGES -> break
	:: n < CHANGES ->
		n++;
		select(t : 0 .. THREADS - 1);
		select(m : 1 .. EVERY);
		lock(t);
		if
		:: mask[t] == m
		:: else ->
			atomic { was = custody[t]; custody[t] = false };
			mask[t] = m;
			send(t, AFFINITY);
			if
			:: was -> enqueue(t)
			:: oncpu[t] != NONE && !(m >> oncpu[t] & 1) -> enqueue(t); leave_cpu(t)
			:: else
			fi
		fi;
		atomic { locked[t] = false; was = false; t = 0; m = 0 }
	od
}

/* The policy again: what was refused here may be for the other CPU by now. */
inline ping(t)
{
	if
	:: CPUS > 1 && !(mask[t] >> me & 1) -> advance(1 - me)
	:: else
	fi
}

inline handle(t, what, s)
{
	/* After a rebuild handle_locked() drops what is old; there is none here. */
	assert(s == known_seq[t] + 1);
	known_seq[t] = s;
	unread[t]--;
	owed[me]--;
	if
	:: what == SLEEP -> known[t] = ASLEEP
	:: what == AFFINITY && known[t] == PICKED && !flagged[t]
	:: what == AFFINITY && known[t] == ASLEEP
	:: else ->
		known[t] = RUNNABLE;
		/* runnable() of the policy: tells the other CPU if it must, or if it likes. */
		if
		:: CPUS > 1 -> advance(1 - me)
		:: CPUS == 1 || (mask[t] >> me & 1)
		fi
	fi
}

/* port_custody_open() */
inline open()
{
	atomic {
		for (t : 0 .. THREADS - 1) {
			late[me * THREADS + t] = false
		}
		t = 0
	}
}

/* txn_move(); on success the lock is held until the thread is all there, as by the CPU's dispatch. */
inline move()
{
#ifndef BUG_OPEN_LATE
	open();
#endif
#ifndef BUG_NO_SEQ_CHECK
	if
	:: seq[pick] != pick_seq -> final = TASK_STALE; goto finish
	:: else
	fi;
#endif
	atomic {
		if
		:: state[pick] == CUSTODY
#if !defined(BUG_CLAIM_IS_ON_CPU) && !defined(BUG_NAMELESS_CLAIM)
		:: state[pick] == CLAIMED -> final = AGAIN; goto finish
#endif
		:: else -> final = REFUSED; goto finish
		fi
	};
	if
	:: !(mask[pick] >> me & 1) -> final = NOT_ALLOWED; goto finish
	:: else
	fi;
	atomic {
		if
		:: state[pick] == CUSTODY -> state[pick] = CLAIMED; claimer[pick] = me
		:: else -> final = AGAIN; goto finish
		fi
	};
#ifdef BUG_OPEN_LATE
	open();
#endif
	lock(pick);
	if
	:: custody[pick] && !late[me * THREADS + pick] ->
		atomic {
			assert(oncpu[pick] == NONE && !busy[me]);
			assert(mask[pick] >> me & 1);
			assert(seq[pick] == pick_seq && state[pick] == CLAIMED);
			assert(unread[pick] == 0);
			custody[pick] = false;
			waiting[pick] = false;
			busy[me] = true
		};
#ifndef BUG_NAMELESS_CLAIM
		state[pick] = LATCHED;
#endif
		queue[pick] = me;
		flagged[pick] = (state[pick] == CUSTODY);
		atomic { oncpu[pick] = me; locked[pick] = false; final = COMMITTED }
	:: else ->
		locked[pick] = false;
#ifndef BUG_NO_UNDO
		/* Only undo what no event has overwritten. */
		atomic {
			if
			:: state[pick] == CLAIMED && OWN -> state[pick] = CUSTODY
			:: else
			fi
		};
#endif
		final = (seq[pick] == pick_seq -> AGAIN : TASK_STALE)
	fi
}

proctype agent(byte me)
{
	byte pick, pick_seq, t, s;
	mtype:message what;
	mtype:txn final;
	bool again;

	do
	:: true ->
		/* Standby or parked: runs when the member has stopped, or when there is news. */
end_parked:
		atomic { !busy[me] && (news[me] || again) -> again = false };
#ifndef BUG_NUMBER_LATE
		fresh[me] = true;
#endif
		do
		:: atomic { ring[me]?t,what,s -> handle(t, what, s); t = 0; s = 0; what = 0 }
		:: atomic { empty(ring[me]) -> break }
		od;
#ifdef BUG_NUMBER_LATE
		fresh[me] = true;
#endif
		/* schedule(): any of those that may run here */
		atomic {
			pick = NONE;
			if
			:: t = 0
			:: THREADS > 1 -> t = 1
			fi;
			do
			:: pick != NONE || s == THREADS -> break
			:: else ->
				if
				:: known[t] == RUNNABLE && (mask[t] >> me & 1) ->
					known[t] = PICKED;
					pick = t;
					pick_seq = known_seq[t]
				:: else
				fi;
				t = (t + 1) % THREADS;
				s++
			od;
			t = 0;
			s = 0;
			txn[me] = READY
		};
		/* txn_commit_local() */
		atomic {
			if
#ifndef BUG_NO_AGENT_CHECK
			:: !fresh[me] -> final = AGENT_STALE; goto finish
#endif
			:: else -> assert(owed[me] <= 0)
			fi;
			if
			:: pick == NONE -> final = YIELDED; goto finish
			:: else
			fi
		};
		move();
finish:
		atomic {
			assert(txn[me] == READY);
			txn[me] = final;
			if
			:: final == COMMITTED || final == YIELDED -> news[me] = !fresh[me]
			:: else
			fi;
			again = (final != YIELDED)
		};
		/* The end of commit(): refused() */
		atomic {
			if
			:: pick != NONE && known[pick] == PICKED && known_seq[pick] == pick_seq &&
			   (final == AGENT_STALE || final == NOT_ALLOWED || final == AGAIN) ->
				known[pick] = RUNNABLE;
				ping(pick)
			:: else
			fi;
			assert(txn[me] != READY);
			txn[me] = FREE;
			final = FREE;
			pick = NONE;
			pick_seq = 0
		}
	od
}

init {
	byte i;

	atomic {
		for (i : 0 .. THREADS - 1) {
			queue[i] = CPUS - 1;
			run thread(i)
		}
		run changer();
		for (i : 0 .. CPUS - 1) {
			run agent(i)
		}
		i = 0
	};
	/* Nobody has anything left to do. */
end_quiet:
	timeout;
	for (i : 0 .. THREADS - 1) {
		assert(!waiting[i] && oncpu[i] == NONE)
	}
}

ltl run_in_the_end { [] (waiting[0] -> <> !waiting[0]) }
