/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring of one CPU: producers in the kernel, two agents that consume.
 *
 *	model			C
 *	producer		queue_push(), then the end of msg_send() and agent_wake()
 *	pop			ghost_queue_pop()
 *	drain			drain()
 *	owner			agent_loop() of the queue's own CPU
 *	helper			help(), in agent_loop() of another CPU
 *	number, idle		agent_seq and the idle bit of the queue's CPU
 *
 * Verified, for every interleaving: a message is handled once and whole, those
 * of one producer in order; when all is quiet the ring is empty and each event
 * was handled or counted as an overflow that an agent has noticed. A message is
 * two fields here, so that half of one can be seen, and its slot may be full
 * of the lap before.
 *
 * Producers that wake nobody (-DQUIET), as event_task_blocked(), event_task_gone()
 * and, for a thread that sleeps, event_task_changed(), can hide a message of one
 * that does: reserved, but not yet written when the agent runs because of the
 * message behind it, theirs reads as "empty"; the agent parks, and when theirs
 * is written the number advances, but nobody kicks. The heartbeat does
 * (-DHEARTBEAT), after up to a second.
 *
 * Left out: what the messages say, and the way from a kick to the agent's next
 * turn (handover.pml): here an agent parks in one step, if its number is still
 * the one it read before it drained, a kick is the idle bit being taken, and a
 * kicked agent runs if its number has moved. One that runs a member comes back
 * in the end. Positions have 8 bits and wrap on the way; QUEUE_TRIES is 2.
 *
 * Spin runs one step after the other. What entitles it to: the slot is given
 * over by port_store_release(position) / ghost_load_acquire(position) and back
 * by ghost_store_release(tail) / port_load_acquire(tail); head, overflow and
 * number advance by full barriers; drain() has a seq_cst fence between
 * unlocking and looking once more, and whoever finds the lock taken has read a
 * number, or was kicked, after the full barrier that followed the message.
 *
 *	-DLEN= -DPRODUCERS=	the size: 2 or 4 messages, 2 or 3 producers
 *	-DALONE			nobody helps
 *	-DQUIET -DHEARTBEAT	as said above; producer 0 wakes nobody
 *	-DBUG_PUBLISH_FIRST	the position is stored before the message
 *	-DBUG_PLAIN_RESERVE	head advances without the compare-exchange
 *	-DBUG_NUMBER_FIRST	the number advances before the message is there
 *	-DBUG_TAIL_FIRST	the tail advances before the copy
 *	-DBUG_NO_LOCK		both agents consume at once
 *	-DBUG_NO_SECOND_LOOK	drain() does not look once more after unlocking
 */
#ifndef LEN
#define LEN 2
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#define TRIES 2
/* Of two producers the first has two events: for their order, and to win two races in a row. */
#define SENDS(p) (1 + (PRODUCERS == 2 && p == 0))
#define TOTAL 3
/* Few enough positions before the wrap that every run passes it. */
#define START 254

/* struct ghost_queue, queue_tail */
byte head = START, tail = START;
byte overflow, overflow_seen;
byte position[LEN], who[LEN], nr[LEN];
/* queue_lock; agent_seq; the idle bit; "help this queue" for the other agent */
bool taken, idle, asked;
byte number;

/* What only the checks know. */
bool whole[LEN];      /* all fields are written */
byte last[PRODUCERS]; /* number of the last message handled */
byte handled, done;

proctype producer(byte me)
{
	byte n, h, i, tries;

	do
	:: n == SENDS(me) -> break
	:: else ->
		n++;
		do
		:: tries == TRIES -> goto no_room
		:: else ->
			h = head;
			if
			:: ((h - tail) & 255) >= LEN -> goto no_room
			:: else
			fi;
#ifdef BUG_PLAIN_RESERVE
			head = h + 1;
			break
#else
			atomic {
				if
				:: head == h ->
					head = h + 1;
					whole[h % LEN] = false;
					break
				:: else -> tries++
				fi
			}
#endif
		od;
		i = h % LEN;
#ifdef BUG_PUBLISH_FIRST
		position[i] = h + 1;
#endif
		atomic { who[i] = me; nr[i] = n; whole[i] = true };
#ifdef BUG_NUMBER_FIRST
		number++;
#endif
#ifndef BUG_PUBLISH_FIRST
		position[i] = h + 1;
#endif
		goto wake;
no_room:
		overflow++;
#ifdef BUG_NUMBER_FIRST
		number++;
#endif
wake:
#ifndef BUG_NUMBER_FIRST
		number++;
#endif
		/* agent_wake(): the queue's own CPU if it idles, else one that helps. */
		atomic {
			if
#ifdef QUIET
			:: me == 0
			:: me && idle -> idle = false
			:: me && !idle -> asked = true
#else
			:: idle -> idle = false
			:: else -> asked = true
#endif
			fi;
			h = 0; i = 0; tries = 0
		}
	od;
	done++
}

/* Leaves the loop around it when there is nothing. */
inline pop()
{
	atomic {
		t = tail;
		if
		:: position[t % LEN] != ((t + 1) & 255) -> t = 0; break
		:: else
		fi
	};
#ifdef BUG_TAIL_FIRST
	tail = t + 1;
#endif
	atomic {
		assert(whole[t % LEN]);
		w = who[t % LEN];
		n = nr[t % LEN];
		/* Nobody may read it again; this makes it show. */
		who[t % LEN] = 0;
		nr[t % LEN] = 0
	};
	atomic {
#ifndef BUG_TAIL_FIRST
		tail = t + 1;
#endif
		/* handle(): once, in order */
		assert(n > last[w]);
		last[w] = n;
		handled++;
		t = 0; w = 0; n = 0
	}
}

inline drain()
{
	do
	:: true ->
#ifndef BUG_NO_LOCK
		atomic {
			if
			:: taken -> break
			:: else -> taken = true
			fi;
			o = overflow
		};
#else
		o = overflow;
#endif
		do
		:: true -> pop()
		od;
		overflow_seen = o;
#ifndef BUG_NO_LOCK
		taken = false;
#endif
#ifdef BUG_NO_SECOND_LOOK
		break
#else
		if
		:: position[tail % LEN] == ((tail + 1) & 255)
		:: else ->
			if
			:: overflow == overflow_seen -> break
			:: else
			fi
		fi
#endif
	od
}

proctype owner()
{
	byte seen, t, w, n, o;

	do
	:: true ->
		seen = number;
		drain();
		/* The commit: refused if the number has moved; else the CPU idles, or runs a member. */
		atomic {
			o = 0;
			if
			:: number != seen || done < PRODUCERS -> goto next
			:: number == seen -> idle = true
			fi
		};
		/* A kick makes cpu_dispatch_online() look at the number: agent_pending(). */
end_parked:
		do
		:: atomic { !idle -> if :: number == seen -> idle = true :: else -> break fi }
		od;
next:
		skip
	od
}

proctype helper()
{
	byte t, w, n, o;

end_asked:
	do
	:: atomic { asked -> asked = false };
		/* help(): ghost_queue_empty() */
		if
		:: head == tail
		:: else -> drain()
		fi;
		o = 0
	od
}

#ifdef HEARTBEAT
/* Once at the end is enough, and keeps the number finite. */
active proctype heartbeat()
{
end_beat:
	atomic { idle && tail != head && done == PRODUCERS -> number++; idle = false }
}
#endif

init {
	byte i;

	atomic {
		/* What the lap before has left in the ring. */
		for (i : 0 .. LEN - 1) {
			position[(START - LEN + i) % LEN] = START - LEN + i + 1
		}
		run owner();
#ifndef ALONE
		run helper();
#endif
		for (i : 0 .. PRODUCERS - 1) {
			run producer(i)
		}
		i = 0
	};
	/* Nobody has anything left to do. */
end_quiet:
	timeout;
	assert(done == PRODUCERS);
#ifdef QUIET
	assert(last[1] == SENDS(1) || overflow)
#else
	assert(tail == head);
	assert(overflow == overflow_seen);
	assert(handled + overflow == TOTAL)
#endif
}
