/* One run that two workers move and a client may cancel, while everything around it fails. See README.md. */

#define PIVOT    2  /* steps 0 and 1 take a resource, step 2 is the point of no return */
#define NONE     3
#define ATTEMPTS 2  /* attempts of one move, before the run turns back or is STUCK */

mtype = { RUNNING, CANCELLING, COMPENSATING, STUCK, SUCCEEDED, CANCELLED, FAILED }  /* a run; FAILED also a tenant */
mtype = { PROVISIONING, ACTIVE, PENDING }                                           /* a tenant */
mtype = { waiting, running, done, interrupted, compensating, compensated }          /* a step */
mtype = { good, bad, refused, handed_on, shut_down }                                /* the outcome of a move */
mtype = { NEVER, LATER, NOW }

/* The rows in Postgres. One d_step is one transaction, or one call to an external system. */
mtype status = RUNNING;
mtype step[3] = waiting;
mtype tenant = PROVISIONING;
mtype due = NOW;              /* for a run with an owner: when its lease expires */
byte  token;                  /* a worker has one claim at a time, so its number identifies the claim; 0 is no owner */
byte  tries;                  /* attempts of the current move */
bool  cancel_requested;
bool  ledger[2];              /* INTENDED or HELD, not RELEASED */

/* In external systems. */
bool held[2];
bool tombstone[2];
bool on_its_way[2];           /* a creation that its caller gave up or did not survive */

/* In the broker, and in the workers' memory. */
bool knocking = true;         /* a wake-up for the next move is in the broker */
bool at_work[3];              /* the claims that the heartbeat renews */
byte surviving = 2;

/* What happened in fact, for the assertions only. */
bool accepted;                /* a client got the answer that the run is being cancelled */
byte owner;                   /* the worker with the last claim, unless that was taken over or given back */
bool fenced[3];               /* this worker's claim was taken over */

/* Never set: they only name the assertions. */
bit V1_one_end, V2_nothing_held, V3_reverse, V5_who_won, V6_no_new_forward_work, V8_next_wake, V9_no_stale_write;
bit an_active_tenant_has_everything, the_ledger_is_empty_at_the_end;

/* Two ways to check. For safety, any message may arrive at any time and any number of times, so messages are not
   modelled. For liveness only the message that names the next move matters, because others change nothing; it may be
   lost. The resources held do not decide which worker moves, so liveness leaves them out. */
#ifdef LIVENESS
#define SAFETY(statement) skip
#define SAFE  false
#define HEARD knocking
#define HEAR  knocking = false
#else
#define SAFETY(statement) statement
#define SAFE  true
#define HEARD true
#define HEAR  skip
#endif

#include "protections.pml"
#include "moves.pml"

/* What a worker keeps in memory, and loses when it is killed */

inline forget()
{
	at_work[me] = false;
	backward = false;
	s = NONE;
	result = good
}

inline die()
{
	d_step { printf("worker %d is killed\n", me); forget(); at_work[me] = RENEWED_BY_NOBODY }
}

/* adapters/: external systems do not know our tokens */

inline create(s)
{
	if
	:: tombstone[s] -> result = refused
	:: else ->
		printf("a resource is created for step %d\n", s);
		SAFETY(assert(V2_nothing_held || LIVE || status == SUCCEEDED));
		SAFETY(held[s] = true)
	fi
}

inline destroy(s)
{
	printf("the resource of step %d is destroyed\n", s);
	assert(V3_reverse || s == 1 || !held[1]);
	held[s] = false
}

/* workers/actors.py: claim, perform, record. A worker may be paused between any two statements, for any time. */

proctype Worker(byte me)
{
	byte s = NONE;
	bool backward;
	mtype result = good;

end:	if
	:: atomic { HEARD && due == NOW && MAY_TAKE_OVER && MAY_GO_ON -> d_step { claim_forward() } }
	:: atomic { HEARD && due == NOW && MAY_TAKE_OVER && BACKWARD -> d_step { claim_backward() } }
	:: atomic { !SAFE && surviving == 2 -> surviving--; goto gone }
	fi;
	if
	:: s == NONE -> goto end
	:: s != NONE && backward -> goto undo
	:: s == PIVOT && !backward -> goto put_on_record
	:: s < PIVOT && !backward -> d_step { intend() }
	:: s != NONE && !backward -> result = handed_on
	:: s != NONE && !backward -> die(); goto end
	fi;
	if
	:: result == good -> d_step { create(s) }
	:: result == good -> result = bad
	:: result == good -> result = refused
	:: result == good && SAFE -> on_its_way[s] = true; result = bad
	:: result == good && SAFE -> on_its_way[s] = true; die(); goto end
	:: result == good -> die(); goto end
	:: result != good
	fi;
	goto put_on_record;

undo:	if
	:: s == PIVOT -> goto put_on_record
	:: s != PIVOT -> SAFETY(tombstone[s] = BURIED)
	:: result = bad; goto put_on_record
	:: result = refused; goto put_on_record
	:: result = handed_on; goto put_on_record
	:: die(); goto end
	fi;
	if
	:: d_step { destroy(s) }
	:: die(); goto end
	fi;

put_on_record:
	if
	:: d_step { record() }
	:: d_step { result == good && s != PIVOT -> result = bad; record() }
	:: d_step { result == handed_on && SAFE -> result = shut_down; record() }
	:: die()
	fi;
	goto end;

gone:	skip
}

/* workers/heartbeat.py, engine.renew */

inline renew(worker)
{
	at_work[worker] && token == TOKEN(worker) && due == NOW ->
	assert(V9_no_stale_write || !fenced[worker]);
	due = LATER
}

active proctype Heartbeat()
{
end:	do
	:: d_step { renew(1) }
	:: d_step { renew(2) }
	od
}

/* workers/sweeper.py, provisioning/due_runs.py */

active proctype Sweeper()
{
end:	do
#ifndef BROKEN_SWEEPER  /* V13: No sweeper queries the runs that are due. */
	:: d_step { due == NOW && !knocking -> knocking = true }
#endif
	:: false
	od
}

/* provisioning/cancellation.py */

inline cancel()
{
	accepted = true;
	if
	:: !cancel_requested ->
		printf("a cancel is accepted\n");
		cancel_requested = true;
		if
		:: status == STUCK
		:: else -> turn_to(CANCELLING); hurry()
		fi
	:: else
	fi
}

inline hurry()
{
	if
	:: token && due == LATER
	:: else ->
		if
		:: AT != NONE -> interrupt(AT)
		:: else
		fi;
		release_lease(NOW);
		advance()
	fi
}

inline resume()
{
	turn_to(WAY_BACK);
	due = NOW;
	tries = 0;
	advance()
}

active proctype People()
{
end:	do
	:: d_step { LIVE -> cancel() }
#ifdef BROKEN_CANCEL    /* V1: A cancel checks for a live run in one transaction and writes in another. */
	:: LIVE -> d_step { cancel() }
#endif
	:: !LIVE -> d_step {
		assert(V5_who_won || tenant != PROVISIONING);
		assert(V5_who_won || (tenant == ACTIVE) == (status == SUCCEEDED)) }
	:: d_step { status == STUCK -> resume() }
	od
}

/* The environment: a lease expires, a back-off ends, calls arrive late or never, messages are lost. */

active proctype Time()
{
end:	do
	:: d_step { due == LATER && token -> due = NOW; printf("a lease expires\n") }
	:: d_step { due == LATER && !token -> due = NOW; printf("a back-off ends\n") }
	od
}

active proctype Network()
{
	mtype result;
	bool lossy = true;

end:	do
	:: d_step { on_its_way[0] -> on_its_way[0] = false; create(0) }
	:: d_step { on_its_way[1] -> on_its_way[1] = false; create(1) }
	:: on_its_way[0] -> on_its_way[0] = false
	:: on_its_way[1] -> on_its_way[1] = false
	:: atomic { !SAFE && knocking && lossy -> lossy = false; knocking = false }
	od
}

/* Situations that must be reached: otherwise the checks above would prove nothing about them. */

#ifdef WITNESS
mtype = { went_live, was_cancelled, failed_and_undone, got_stuck, cancel_met_pivot, paused_owner_woke_up_late, call_came_late }

active proctype Witness()
{
end:	if
	:: WITNESS == went_live && tenant == ACTIVE
	:: WITNESS == was_cancelled && status == CANCELLED
	:: WITNESS == failed_and_undone && status == FAILED && step[1] == compensated
	:: WITNESS == got_stuck && status == STUCK
	:: WITNESS == cancel_met_pivot && status == CANCELLING && step[PIVOT] == running && token && due == LATER
	:: WITNESS == paused_owner_woke_up_late && status == CANCELLED && fenced[1] && at_work[1]
	:: WITNESS == call_came_late && status == CANCELLED && on_its_way[1]
	fi;
	assert(false)
}
#endif

init { atomic { run Worker(1); run Worker(2) } }

ltl V13_comes_to_rest { [] (accepted -> <> (!LIVE || status == STUCK)) }
