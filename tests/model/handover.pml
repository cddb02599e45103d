/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Agents that wait and are woken, that die, and that are replaced.
 *
 *	model			C
 *	cpu			the kernel's schedule(): cpu_dispatch(), then the enqueue of
 *				whoever was on the CPU, all under the lock of its run queue
 *	dispatch_online		cpu_dispatch_online(), agent_idle()
 *	dispatch_fallback	cpu_dispatch_fallback()
 *	run_agent		cpu_run_agent()
 *	commit_local		txn_commit_local(), in one step: see seqnum.pml
 *	enqueue_agent		agent_enqueue(), and the insertion in ghost_enqueue()
 *	agent_runs		agent_loop() between two returns of sched_yield()
 *	enqueue			event_task_enqueue(), event_fallback_wake(), the insertion
 *	send			msg_send(); number, word and message are one step
 *	agent_wake etc.		the same; take_any is enclave_idle_cpu()
 *	waker			a thread wakes; "near": it is on the run queue of that CPU
 *	cpu, when "dying"	agent_detach(), enclave_lose(), enclave_fall_back()
 *	reenqueue		port_reenqueue(), which works later and thread by thread
 *	heartbeat		heartbeat_cpu(), heartbeat_enclave()
 *	starter			agent_attach() of each, enclave_agents_online()
 *
 * Verified, for every interleaving:
 *   - no wake-up is lost: never does a CPU idle while its agent is parked, its
 *     number has moved, no kick is under way and nobody is about to kick
 *     (monitor; in runs without deaths and arrivals);
 *   - a runnable thread is run in the end, if all goes on (weak fairness), also
 *     when an agent dies at any moment, and when new agents come at any moment.
 *
 * What the kernel does and the model has: dispatch comes before the thread or
 * agent that was on the CPU is enqueued; an insertion takes place when
 * ops.enqueue() has returned, after all that it did; moving a thread lets go of
 * the lock, and a kick that comes then is forgotten; a kick comes late; it does
 * nothing to a CPU that runs something; another class may take the CPU before
 * dispatch was asked, or after it found nothing; an agent may sleep in a page
 * fault in the middle of a decision. A thread may be woken on the run queue of
 * a CPU outside the enclave, so without the lock of its agent's CPU.
 *
 * The heartbeat is more than comfort: a thread whose event read the enclave's
 * state before a change, and is inserted after all have been enqueued anew,
 * is found by it alone. BUG_NO_BEAT_ONLINE does not look at enclaves that are
 * online. What spin finds then: a thread is left in the fallback's queue when
 * agents come online, and on CPUs that always have a commit to carry out nobody
 * ever looks there. Nor does the stall limit see it: it looks at threads in
 * custody.
 *
 * Left out: queues (queue.pml) and the numbers of threads (seqnum.pml): whether
 * an agent knows of a thread's last event is one bit; slices, which end at any
 * time; pings, which are agent_wake() without a thread; what only the heartbeat
 * of healthy agents does. Two CPUs at most; with two CPUs and deaths schedule()
 * is one step and the heartbeat comes when all else is quiet (-DCOARSE).
 *
 * Spin runs one step after the other. What entitles it to: the idle bits are set
 * and taken by port_fetch_or64() and port_fetch_and64(), the number advances by
 * port_fetch_add(), the state of the enclave changes by port_cmpxchg(), all full
 * barriers, and the kick comes by an interrupt after them. What is loaded with
 * acquire only is loaded after one of these (the number after the bit was set),
 * or is looked at again by a CPU that was kicked.
 *
 *	-DCPUS= -DTHREADS= -DOTHERS= -DNAPS= -DDEATHS=	the size, see below
 *	-DARRIVAL	begins without agents; a set of them comes
 *	-DWAKES=	threads wake so many times, not for ever
 *	-DHOG		thread 1 never blocks; agents come when it runs
 *	-DHOME		threads wake where they ran last, never outside
 *	-DPINNED	threads may run on CPU 0 only
 *	-DCOARSE	as said above
 *	-DBUG_PARK_WITHOUT_LOOK		agent_enqueue() parks without a look at the number
 *	-DBUG_LOOK_BEFORE_BIT		agent_idle() looks at the number, then sets the bit
 *	-DBUG_BIT_BEFORE_NUMBER		a waker looks at the bit, then advances the number
 *	-DBUG_NUMBER_AFTER_DRAIN	an agent drains, then reads its number
 *	-DBUG_NO_HEARTBEAT		there is none
 *	-DBUG_NO_BEAT_ONLINE		as said above
 */
#ifndef CPUS
#define CPUS 1
#endif
#ifndef THREADS
#define THREADS 1
#endif
/* How often another class takes a CPU, an agent sleeps in a page fault, an agent dies. */
#ifndef OTHERS
#define OTHERS 0
#endif
#ifndef NAPS
#define NAPS 0
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifdef ARRIVAL
#define BEGIN_ONLINE false
#else
#define BEGIN_ONLINE true
#endif
#ifdef PINNED
#define MAY_RUN(c) ((c) == 0)
#else
#define MAY_RUN(c) true
#endif
#ifdef COARSE
#define COARSELY atomic
#else
#define COARSELY
#endif
#define NONE 255
/* What is on a CPU, if it is not a thread of the enclave. */
#define IDLE 100
#define AGENT 101
#define OTHER 102
#define LEAVES_IDLE 103
#define OUTSIDE CPUS

mtype:place = { NOWHERE, STANDBY, PARKED };
mtype:where = { ASLEEP, ON_ITS_WAY, IN_CUSTODY, IN_FALLBACK, ON_CPU };
mtype:word = { BLOCKED, RUNNABLE, ONCPU, FALLBACK };
mtype:stage = { REBUILD, TOP, DECIDING };

/* The kernel, per CPU: the lock of the run queue, a kick under way, what runs. */
bool rq[CPUS + 1], kick[CPUS];
byte curr[CPUS] = IDLE;
/* The lock is fair: whoever waited long is next. Only for reenqueue() does that matter. */
bool turn[CPUS + 1];
/* An agent is in the CPU's own queue, in DSQ_AGENT or in DSQ_FALLBACK; or in none: it runs or sleeps. */
bool agent_local[CPUS], agent_dsq[CPUS], agent_fallback[CPUS];
/* It sleeps in a page fault; the CPU has one. */
bool asleep[CPUS], alive[CPUS];
chan fallback = [THREADS] of { byte };
/* port_reenqueue() was called and has not worked yet. */
bool again_custody, again_fallback;

/* The mechanism: the enclave's state, private and public; struct core_cpu; idle bits; help. */
bool online = BEGIN_ONLINE, shown = BEGIN_ONLINE;
bool yielded[CPUS], decided[CPUS], due[CPUS];
mtype:place place[CPUS] = NOWHERE;
bool idle[CPUS];
byte help[CPUS];
/* agent_seq is only ever compared: is it what the agent read last, is it not agent_seen? */
bool fresh[CPUS], news[CPUS];

/* Threads: where the kernel has them, the CPU of their run queue, that of their queue, status word. */
mtype:where where[THREADS] = ASLEEP;
byte here[THREADS], queue[THREADS];
mtype:word word[THREADS] = BLOCKED;

/* The agents: messages not handled, threads whose last event is known, the pool, transactions. */
bool unread[CPUS * THREADS], told[THREADS];
chan pool = [THREADS] of { byte };
bool ready[CPUS];
byte slot[CPUS] = NONE;
mtype:stage stage[CPUS] = TOP;

byte others = OTHERS, naps = NAPS, deaths = DEATHS;
/* What only the checks know: who is between an event and having kicked. */
byte wakers;

inline advance(c)
{
	fresh[c] = false;
	news[c] = true
}

inline kick_all()
{
	for (i : 0 .. CPUS - 1) {
		kick[i] = true
	}
	i = 0
}

/* To move a thread the kernel lets go of the run queue: a kick may come then, and go. */
inline drop_lock(c)
{
	if
	:: kick[c] -> kick[c] = false
	:: true
	fi
}

/* cpu_idle_take(), of any CPU: sets @w */
inline take_any()
{
	if
	:: idle[0] -> idle[0] = false; w = 0
	:: CPUS > 1 && MAY_RUN(CPUS - 1) && idle[CPUS - 1] -> idle[CPUS - 1] = false; w = CPUS - 1
	:: else
	fi
}

/* agent_wake(); @near: the CPU that the kernel wakes by itself, or NONE */
inline agent_wake(t, near)
{
	atomic {
		w = NONE;
		if
		:: idle[queue[t]] ->
			idle[queue[t]] = false;
			w = (queue[t] == near -> NONE : queue[t])
		:: else ->
			take_any();
			helps = (w != NONE)
		fi
	};
	if
	:: helps -> atomic { help[w] = queue[t] + 1; advance(w); helps = false }
	:: else
	fi;
	atomic {
		if
		:: w != NONE -> kick[w] = true
		:: else
		fi;
		w = 0
	}
}

/* agent_wake_own() */
inline agent_wake_own(t)
{
	atomic {
		if
		:: idle[queue[t]] -> idle[queue[t]] = false; kick[queue[t]] = true
		:: else
		fi
	}
}

/* msg_send(): number, status word and message in one step (seqnum.pml), then the agent's number */
inline send(t, flags)
{
	atomic {
		told[t] = false;
		word[t] = flags;
		s = online;
		if
		:: s -> unread[queue[t] * THREADS + t] = true
		:: else
		fi
	};
	atomic {
		if
		:: s -> advance(queue[t])
		:: else
		fi;
		s = false
	}
}

/*
 * event_task_enqueue(), and what ghost_enqueue() does with the verdict @v.
 * @wakes: not put back by the CPU whose agent is next there in any case.
 */
inline enqueue(t, wakes, near)
{
	atomic { v = online; wakers++ };
	if
	:: v && word[t] == RUNNABLE -> agent_wake(t, NONE)
	:: v && word[t] != RUNNABLE ->
#ifdef BUG_BIT_BEFORE_NUMBER
		agent_wake(t, near);
#endif
		send(t, RUNNABLE);
#ifndef BUG_BIT_BEFORE_NUMBER
		if
		:: wakes -> agent_wake(t, near)
		:: else -> agent_wake_own(t)
		fi
#endif
	:: !v ->
		atomic {
			told[t] = false;
			word[t] = FALLBACK;
			w = NONE;
			take_any();
			if
			:: w != NONE -> kick[w] = true
			:: else
			fi;
			w = 0
		}
	fi;
	/* sched_ext inserts when ops.enqueue() has returned. */
	atomic {
		if
		:: v -> where[t] = IN_CUSTODY
		:: else -> where[t] = IN_FALLBACK; fallback!t
		fi;
		wakers--;
		v = false
	}
}

#ifdef WAKES
#define MORE (n < WAKES)
#define COUNT n++
#else
#define MORE true
#define COUNT skip
#endif

/* A thread that sleeps is woken, again and again, or WAKES times. */
proctype waker(byte t)
{
	byte w, h, n;
	bool v, s, helps;

	do
#ifdef WAKES
	:: n == WAKES && where[t] == ASLEEP -> break
#endif
	:: atomic { where[t] == ASLEEP && MORE ->
			COUNT;
			/* ghost_select_cpu(): where it ran last; for a new thread maybe another CPU */
			if
			:: h = here[t]
#ifndef HOME
			:: h = OUTSIDE
#endif
			fi
		};
		atomic { !rq[h] && !turn[h] -> rq[h] = true; here[t] = h; where[t] = ON_ITS_WAY };
		enqueue(t, true, h);
		/* When a thread wakes on an idle CPU the kernel makes that look for work. */
		atomic {
			if
			:: h != OUTSIDE -> kick[h] = (kick[h] || curr[h] == IDLE)
			:: else
			fi;
			rq[h] = false;
			h = 0
		}
	od
}

/* agent_enqueue(), and what ghost_enqueue() does with the verdict; @woken: it slept */
inline enqueue_agent(c, woken)
{
	atomic {
		if
		:: !online ->
			decided[c] = false;
			agent_local[c] = woken;
			agent_fallback[c] = !woken;
			kick[c] = true
		:: online && !yielded[c] -> agent_local[c] = true; kick[c] = true
		:: online && yielded[c] && decided[c] ->
			yielded[c] = false;
			decided[c] = false;
			place[c] = STANDBY;
			agent_local[c] = true
		:: online && yielded[c] && !decided[c] ->
			yielded[c] = false;
			due[c] = true;
			place[c] = PARKED
		fi
	};
	/* The last look before the CPU idles. */
	atomic {
		if
		:: place[c] != PARKED
#ifdef BUG_PARK_WITHOUT_LOOK
		:: place[c] == PARKED -> agent_dsq[c] = true
#else
		:: place[c] == PARKED && !news[c] -> agent_dsq[c] = true
		:: place[c] == PARKED && news[c] ->
			place[c] = NOWHERE;
			agent_local[c] = true;
			kick[c] = true
#endif
		fi
	}
}

inline put_in_pool(t)
{
	if
	:: word[t] == RUNNABLE && !(pool??[eval(t)]) -> pool!t
	:: else
	fi
}

/* drain() of the queue of @n, see queue.pml */
inline drain(n)
{
	for (i : 0 .. THREADS - 1) {
		if
		:: unread[(n) * THREADS + i] ->
			unread[(n) * THREADS + i] = false;
			told[i] = true;
			put_in_pool(i)
		:: else
		fi
	}
	i = 0
}

/* From where sched_yield() returns: the end of commit(), agent_loop(), the next commit(). */
inline agent_runs(c)
{
	atomic {
		if
		:: stage[c] == REBUILD ->
			for (i : 0 .. THREADS - 1) {
				if
				:: queue[i] == c -> told[i] = true; put_in_pool(i)
				:: else
				fi
			}
			i = 0;
			stage[c] = TOP
		:: stage[c] == TOP ->
			/* Refused, or nobody looked: goes first in the next decision. */
			ready[c] = false
		:: else
		fi
	};
	if
	:: stage[c] == TOP && !shown -> dying = true
	:: stage[c] == TOP && shown ->
#ifndef BUG_NUMBER_AFTER_DRAIN
		fresh[c] = true;
#endif
		atomic {
			drain(c);
			if
			:: help[c] -> drain(help[c] - 1); help[c] = 0
			:: else
			fi;
			stage[c] = DECIDING
		}
#ifdef BUG_NUMBER_AFTER_DRAIN
		fresh[c] = true
#endif
	:: else
	fi;
	atomic {
		if
		:: dying -> runs = false
		:: !dying && deaths > 0 -> deaths--; dying = true; runs = false
		:: !dying && naps > 0 -> naps--; asleep[c] = true; runs = false
		:: !dying && others > 0 -> others--; other = true
		:: !dying ->
			if
			:: slot[c] == NONE && nempty(pool) && MAY_RUN(c) -> pool?slot[c]
			:: else
			fi;
			ready[c] = true;
			stage[c] = TOP;
			yields = true
		fi
	}
}

/* txn_commit_local(), if it is to be called; sets @refused, or @next to a thread. */
inline commit_local(c)
{
	atomic {
		if
		:: (yielded[c] || place[c] == PARKED && due[c]) && ready[c] ->
			ready[c] = false;
			if
			:: !fresh[c] -> refused = true
			:: fresh[c] && slot[c] == NONE -> news[c] = false
			:: fresh[c] && slot[c] != NONE ->
				if
				:: where[slot[c]] == IN_CUSTODY && word[slot[c]] == RUNNABLE && told[slot[c]] ->
					next = slot[c];
					where[next] = ON_CPU;
					word[next] = ONCPU;
					queue[next] = c;
					here[next] = c;
					news[c] = false;
					slot[c] = NONE;
					decided[c] = yielded[c]
				:: else ->
					refused = true;
					/* Only AGAIN leaves the thread with the agent; else a message tells. */
					if
					:: word[slot[c]] == RUNNABLE && told[slot[c]]
					:: else -> slot[c] = NONE
					fi
				fi
			fi;
			fresh[c] = false
		:: else
		fi;
		due[c] = false
	}
}

/* cpu_run_agent(): sets @next when it finds the agent */
inline run_agent(c)
{
	if
	:: place[c] == PARKED ->
		place[c] = NOWHERE;
		if
		:: agent_dsq[c] -> agent_dsq[c] = false; next = AGENT
		:: else
		fi
	:: place[c] != PARKED && yielded[c] && prev == AGENT ->
		yielded[c] = false;
		next = AGENT
	:: else
	fi
}

inline take_fallback(c)
{
	if
	:: next == NONE && agent_fallback[c] -> agent_fallback[c] = false; next = AGENT
	:: next == NONE && !agent_fallback[c] && nempty(fallback) && MAY_RUN(c) ->
		fallback?next;
		where[next] = ON_CPU;
		here[next] = c;
		drop_lock(c)
	:: else
	fi
}

inline dispatch_online(c)
{
	commit_local(c);
	atomic {
		if
		:: next == NONE && (refused || news[c]) -> run_agent(c)
		:: else
		fi;
		refused = false
	};
	atomic { take_fallback(c) };
	/* agent_idle() */
	if
	:: next == NONE ->
#ifdef BUG_LOOK_BEFORE_BIT
		s = news[c];
		idle[c] = true;
#else
		idle[c] = true;
		s = news[c];
#endif
		atomic {
			if
			:: s && place[c] == PARKED && idle[c] ->
				idle[c] = false;
				run_agent(c)
			:: else
			fi;
			s = false
		}
	:: else
	fi
}

inline dispatch_fallback(c)
{
	atomic {
		yielded[c] = false;
		run_agent(c)
	};
	atomic { take_fallback(c) };
	if
	:: next == NONE ->
		idle[c] = true;
		atomic { take_fallback(c) };
		if
		:: next != NONE -> idle[c] = false
		:: else
		fi
	:: else
	fi
}

/* What nobody looks at any more may as well be forgotten: fewer states. */
inline bury(c)
{
	dying = false;
	decided[c] = false;
	due[c] = false;
	fresh[c] = false;
	news[c] = false;
	help[c] = 0;
	ready[c] = false;
	slot[c] = NONE;
	stage[c] = TOP;
	if
	:: alive[0] || alive[CPUS - 1]
	:: else ->
		for (i : 0 .. CPUS * THREADS - 1) {
			unread[i] = false
		}
		for (i : 0 .. THREADS - 1) {
			told[i] = false
		}
		i = 0;
		do
		:: pool?_
		:: empty(pool) -> break
		od
	fi
}

proctype cpu(byte c)
{
	byte prev, next, i, w;
	bool runs, other, yields, dying, refused, v, s, helps;

	do
	:: true ->
		atomic { prev = curr[c]; runs = true };
		if
		:: prev == IDLE ->
end_idle:
			if
			:: atomic { kick[c] -> kick[c] = false; curr[c] = LEAVES_IDLE }
			:: atomic { others > 0 -> others--; other = true; curr[c] = LEAVES_IDLE }
			fi
		:: prev == OTHER -> runs = false
		:: prev == AGENT -> agent_runs(c)
		:: prev < THREADS ->
			if
#ifdef HOG
			:: prev == 0 -> runs = false
#else
			:: runs = false
#endif
			:: true
			:: atomic { others > 0 -> others--; other = true }
			fi
		fi;

		COARSELY {
			/* schedule(); a kick that came while something ran has had its effect. */
			atomic { !rq[c] && !turn[c] ->
				rq[c] = true;
				next = NONE;
				yielded[c] = (yielded[c] || yields);
				yields = false;
				drop_lock(c);
				if
				:: other -> next = OTHER
				:: !other && agent_local[c] -> agent_local[c] = false; next = AGENT
				:: else
				fi
			};
			if
			:: prev < THREADS && !runs -> send(prev, BLOCKED)
			:: else
			fi;
			if
			:: next != NONE
			:: next == NONE && online && alive[c] -> dispatch_online(c)
			:: next == NONE && !(online && alive[c]) -> dispatch_fallback(c)
			fi;
			if
			:: next == NONE -> next = IDLE
			/* The lock was let go and another class has woken: the bit stays. */
			:: atomic { next == NONE && others > 0 -> others--; next = OTHER }
			:: next != NONE
			fi;
			/* Whoever was on the CPU goes where it waits only now. */
			if
			:: prev == AGENT && runs && next != AGENT -> enqueue_agent(c, false)
			:: prev < THREADS && runs ->
				where[prev] = ON_ITS_WAY;
				enqueue(prev, other || queue[prev] != c, NONE)
			/* cpu_busy() */
			:: prev == IDLE && next != IDLE -> idle[c] = false
			:: else
			fi;
			atomic {
				if
				/* Whoever wakes it waits until it is off the CPU. */
				:: prev < THREADS && !runs -> where[prev] = ASLEEP
				:: else
				fi;
				curr[c] = next;
				other = false;
				prev = 0;
				next = 0;
				rq[c] = false
			}
		};

		/* ghost_disable(), once the agent is off its CPU for good: agent_detach(), enclave_lose() */
		if
		:: dying ->
			atomic { !rq[c] ->
				rq[c] = true;
				alive[c] = false;
				place[c] = NOWHERE;
				yielded[c] = false;
				bury(c)
			};
			atomic { s = online; online = false };
			if
			:: s ->
				atomic { shown = false; again_custody = true };
				atomic { kick_all() }
			:: else
			fi;
			atomic { s = false; rq[c] = false }
		:: else
		fi
	od
}

#if NAPS
/* An agent that sleeps in a page fault wakes. */
proctype faults()
{
	byte c;

end_asleep:
	do
	:: atomic { asleep[0] -> c = 0 };
		atomic { !rq[c] -> rq[c] = true; asleep[c] = false };
		enqueue_agent(c, true);
		rq[c] = false
	:: atomic { CPUS > 1 && asleep[CPUS - 1] -> c = CPUS - 1 };
		atomic { !rq[c] -> rq[c] = true; asleep[c] = false };
		enqueue_agent(c, true);
		rq[c] = false
	od
}
#endif

#if DEATHS || defined(ARRIVAL)
/* port_reenqueue() works later, thread by thread, under the lock of each. */
proctype reenqueue()
{
	byte t, h, w;
	bool v, s, helps;
	mtype:where from = IN_CUSTODY;

end_asked:
	do
	:: atomic { again_custody || again_fallback ->
			if
			:: again_custody -> again_custody = false
			:: else -> again_fallback = false; from = IN_FALLBACK
			fi
		};
		do
		:: t == THREADS -> break
		:: atomic { t < THREADS && where[t] != from -> t++ }
		:: atomic { t < THREADS && where[t] == from -> h = here[t] };
			turn[h] = true;
			atomic { !rq[h] -> rq[h] = true; turn[h] = false };
			if
			:: atomic { where[t] == from && here[t] == h ->
					where[t] = ON_ITS_WAY;
					if
					:: from == IN_FALLBACK -> fallback??eval(t)
					:: else
					fi
				};
				enqueue(t, queue[t] != h, NONE)
			:: atomic { where[t] != from || here[t] != h }
			fi;
			atomic { rq[h] = false; h = 0; t++ }
		od;
		atomic { t = 0; from = IN_CUSTODY }
	od
}

#define LEFT_BEHIND(t) (where[t] == IN_CUSTODY && !online)
#define HELD(c) (place[c] == PARKED && agent_dsq[c] && (!online || nempty(fallback)))

/* heartbeat_cpu() */
inline beat_cpu(c)
{
	if
	:: HELD(c) ->
		advance(c);
		kick[c] = (kick[c] || idle[c]);
		idle[c] = false
	:: else
	fi
}

#ifdef COARSE
#define BEAT timeout
#else
#define BEAT true
#endif

/* heartbeat_cpu() and heartbeat_enclave(): only the beats that find something left behind */
proctype heartbeat()
{
	byte i;

end_beat:
	do
	:: atomic { BEAT && (LEFT_BEHIND(0) || LEFT_BEHIND(THREADS - 1) || nempty(fallback) ||
			HELD(0) || HELD(CPUS - 1)) ->
			again_custody = (again_custody || LEFT_BEHIND(0) || LEFT_BEHIND(THREADS - 1));
			if
			:: nempty(fallback) && !online -> kick_all()
#ifndef BUG_NO_BEAT_ONLINE
			:: nempty(fallback) && online -> again_fallback = true
#endif
			:: else
			fi;
			beat_cpu(0);
			beat_cpu(CPUS - 1)
		}
	od
}
#endif

#ifdef ARRIVAL
/* ghost_agents_start() */
proctype starter()
{
	byte c, i;

#ifdef HOG
	where[1] == ON_CPU;
#endif
	/* agent_become(); each agent then sleeps until all are there */
	atomic {
		for (c : 0 .. CPUS - 1) {
			alive[c] = true;
			stage[c] = REBUILD
		}
		c = 0
	};
	/* ctl_agent_online() */
	online = true;
	shown = true;
	again_fallback = true;
	atomic { kick_all() };
	do
	:: c == CPUS -> break
	:: else ->
		atomic { !rq[c] -> rq[c] = true };
		enqueue_agent(c, true);
		atomic { rq[c] = false; c++ }
	od
}
#endif

#define STRANDED(c) (curr[c] == IDLE && !rq[c] && place[c] == PARKED && news[c] && !kick[c])

proctype monitor()
{
end_watch:
	atomic { !wakers && (STRANDED(0) || STRANDED(CPUS - 1)) -> assert(false) }
}

init {
	byte i;

	atomic {
		for (i : 0 .. CPUS - 1) {
#ifndef ARRIVAL
			alive[i] = true;
			agent_local[i] = true;
#endif
			kick[i] = true;
			run cpu(i)
		}
		for (i : 0 .. THREADS - 1) {
			run waker(i)
		}
#if NAPS
		run faults();
#endif
#if DEATHS || defined(ARRIVAL)
		run reenqueue();
#ifndef BUG_NO_HEARTBEAT
		run heartbeat();
#endif
#else
		run monitor();
#endif
#ifdef ARRIVAL
		run starter();
#endif
		i = 0
	}
}

#define WAITS(t) (where[t] == ON_ITS_WAY || where[t] == IN_CUSTODY || where[t] == IN_FALLBACK)

ltl run_in_the_end { [] (WAITS(0) -> <> !WAITS(0)) }
