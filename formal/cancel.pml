/* One run that two workers move and anybody may cancel, while everything around it breaks. README.md says what is what. */

#define PIVOT    2  /* steps 0 and 1 take something outside, step 2 is the point of no return */
#define NONE     3
#define ATTEMPTS 2  /* of one move, before the run turns back or is STUCK */

mtype = { RUNNING, CANCELLING, COMPENSATING, STUCK, SUCCEEDED, CANCELLED, FAILED }  /* a run; a tenant too is FAILED */
mtype = { PROVISIONING, ACTIVE, PENDING }                                           /* a tenant */
mtype = { waiting, running, done, interrupted, compensating, compensated }          /* a step */
mtype = { good, bad, refused, handed_on, shut_down }                                /* what a move came to */
mtype = { NEVER, LATER, NOW }

/* The rows in Postgres. Whatever stands in one d_step is one transaction, or one call outside. */
mtype status = RUNNING;
mtype step[3] = waiting;
mtype tenant = PROVISIONING;
mtype due = NOW;              /* of a run that is owned: when its lease lapses */
byte  token;                  /* a worker has one claim at a time, so its number tells all claims apart; 0 is nobody's */
byte  tries;                  /* of the move at hand */
bool  cancel_requested;
bool  ledger[2];              /* intended or held, and not released */

/* Outside. */
bool held[2];
bool tombstone[2];
bool on_its_way[2];           /* a creation whose caller gave up on it, or did not live to see its end */

/* In the broker, and in the memory of workers. */
bool knocking = true;         /* a wake-up for the next move is under way */
bool at_work[3];              /* what the heartbeat renews */
byte surviving = 2;

/* What really happened, for the assertions only. */
bool accepted;                /* somebody was told that the run is being cancelled */
byte owner;                   /* who made the last claim, unless it was taken away or given back */
bool fenced[3];               /* this worker's claim was taken away */

/* Never set: they give the assertions their names. */
bit V1_one_end, V2_nothing_held, V3_reverse, V5_who_won, V6_no_new_forward_work, V8_next_wake, V9_no_stale_write;
bit an_active_tenant_has_everything, the_ledger_is_empty_at_the_end;

/* Two ways to check. For safety, any message arrives at any time and as often as it likes: a message is not needed, so
   none is modelled. For liveness only the one that names the next move matters, as the others change nothing; it may
   be lost. What is held outside does not decide who moves, so liveness leaves that out. */
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

/* What a worker remembers, and loses when it is killed */

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

/* adapters/: what is outside does not know our tokens */

inline create(s)
{
	if
	:: tombstone[s] -> result = refused
	:: else ->
		printf("something is created outside for step %d\n", s);
		SAFETY(assert(V2_nothing_held || LIVE || status == SUCCEEDED));
		SAFETY(held[s] = true)
	fi
}

inline destroy(s)
{
	printf("what step %d created is destroyed\n", s);
	assert(V3_reverse || s == 1 || !held[1]);
	held[s] = false
}

/* workers/actors.py: claim, perform, record. Between two statements a worker may be paused for as long as it likes. */

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
#ifndef BROKEN_SWEEPER  /* V13: Nobody asks for what is due. */
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
#ifdef BROKEN_CANCEL    /* V1: A cancel looks for a live run first, and writes later. */
	:: LIVE -> d_step { cancel() }
#endif
	:: !LIVE -> d_step {
		assert(V5_who_won || tenant != PROVISIONING);
		assert(V5_who_won || (tenant == ACTIVE) == (status == SUCCEEDED)) }
	:: d_step { status == STUCK -> resume() }
	od
}

/* What nobody asked for: a lease lapses or a back-off is over, calls arrive late or never, messages are lost. */

active proctype Time()
{
end:	do
	:: d_step { due == LATER && token -> due = NOW; printf("a lease lapses\n") }
	:: d_step { due == LATER && !token -> due = NOW; printf("a back-off is over\n") }
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

/* What must be seen to happen: otherwise the checks above would say nothing about it. */

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
