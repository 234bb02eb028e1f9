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

/* What protects, and a variant without each: the invariant is the one that the checker must find broken. */

#ifdef BROKEN_TOKEN     /* V9: A token names the process: two of its threads look the same. */
#define TOKEN(worker) 1
#else
#define TOKEN(worker) worker
#endif

#ifdef BROKEN_RECORD    /* V9: An outcome is recorded without a look at the token. */
#define MAY_RECORD true
#else
#define MAY_RECORD (token == TOKEN(me))
#endif

#ifdef BROKEN_INTEND    /* V9: The ledger is written without a look at the token. */
#define MAY_INTEND true
#else
#define MAY_INTEND (token == TOKEN(me) && status != CANCELLING)
#endif

#ifdef BROKEN_CLAIM     /* V6: A message that names a forward move is obeyed. */
#define MAY_GO_ON (LIVE && AHEAD != NONE)
#else
#define MAY_GO_ON (status == RUNNING)
#endif

#ifdef BROKEN_PIVOT     /* V5: The pivot does not look at the status. */
#define MAY_GO_LIVE true
#else
#define MAY_GO_LIVE (status == RUNNING)
#endif

#ifdef BROKEN_DESTROY   /* V2: Destroying leaves no tombstone. */
#define BURIED false
#else
#define BURIED true
#endif

#ifdef BROKEN_TAKEOVER  /* V13: A lease is good until it is given back. */
#define MAY_TAKE_OVER (token == 0)
#else
#define MAY_TAKE_OVER true
#endif

#ifdef BROKEN_COUNT     /* V13: A try counts when it has ended. */
#define COUNTED 0
#else
#define COUNTED 1
#endif

/* models/run.py, provisioning/decisions.py */

#define LIVE     (status == RUNNING || status == CANCELLING || status == COMPENSATING || status == STUCK)
#define BACKWARD (status == CANCELLING || status == COMPENSATING)
#define WAY_BACK (cancel_requested -> CANCELLING : COMPENSATING)
#define OUTCOME  (cancel_requested -> CANCELLED : FAILED)

#define TO_BE_UNDONE(s) (step[s] != waiting && step[s] != compensated)
#define BEHIND (TO_BE_UNDONE(2) -> 2 : (TO_BE_UNDONE(1) -> 1 : (TO_BE_UNDONE(0) -> 0 : NONE)))
#define AHEAD  (step[0] != done -> 0 : (step[1] != done -> 1 : (step[2] != done -> 2 : NONE)))
#define AT     (step[0] == running -> 0 : (step[1] == running -> 1 : (step[2] == running -> 2 : NONE)))

/* provisioning/settlement.py */

inline turn_to(new)
{
	assert(V1_one_end || LIVE);
	status = new
}

inline release_lease(again)
{
	SAFETY(fenced[owner] = true);
	SAFETY(owner = 0);
	token = 0;
	due = again
}

inline interrupt(s)
{
	step[s] = interrupted;
	tries = 0
}

inline advance()
{
	if
	:: BACKWARD && BEHIND == NONE -> settle(OUTCOME)
	:: status == RUNNING && AHEAD == NONE -> settle(SUCCEEDED)
	:: else -> knocking = knocking || due == NOW
	fi;
	assert(V8_next_wake || due != NEVER || !LIVE || status == STUCK)
}

inline settle(end)
{
	turn_to(end);
	due = NEVER;
	if
	:: status == SUCCEEDED ->
		assert(V5_who_won || !accepted);
		SAFETY(assert(an_active_tenant_has_everything || (held[0] && held[1])));
		tenant = ACTIVE
	:: else ->
		assert(the_ledger_is_empty_at_the_end || !(ledger[0] || ledger[1]));
		SAFETY(assert(V2_nothing_held || !(held[0] || held[1])));
		tenant = (status == CANCELLED -> PENDING : FAILED)
	fi
}

/* provisioning/engine.py: claim */

inline claim_forward()
{
	HEAR;
	release_lease(NOW);
	s = AHEAD;
	if
	:: tries == ATTEMPTS ->
		interrupt(s);
		turn_to(WAY_BACK);
		advance();
		s = NONE
	:: else ->
		assert(V6_no_new_forward_work || !accepted);
		step[s] = running;
		lease();
		printf("worker %d claims step %d, try %d\n", me, s, tries)
	fi
}

inline claim_backward()
{
	HEAR;
	release_lease(NOW);
	s = BEHIND;
	if
	:: step[s] == running -> interrupt(s)
	:: else
	fi;
	if
	:: tries == ATTEMPTS ->
		turn_to(STUCK);
		due = NEVER;
		s = NONE
	:: else ->
		backward = true;
		step[s] = compensating;
		lease();
		printf("worker %d claims the undo of step %d, try %d\n", me, s, tries)
	fi
}

inline lease()
{
	tries = tries + COUNTED;
	token = TOKEN(me);
	due = LATER;
	at_work[me] = true;
	SAFETY(owner = me);
	SAFETY(fenced[me] = false)
}

/* provisioning/engine.py: intend, record, record_failure. Each under the token. */

inline intend()
{
	if
	:: MAY_INTEND ->
		assert(V9_no_stale_write || !fenced[me]);
		ledger[s] = true
	:: else -> result = handed_on
	fi
}

inline record()
{
	if
	:: MAY_RECORD ->
		assert(V9_no_stale_write || !fenced[me]);
		printf("worker %d records %e for step %d\n", me, result, s);
		release_lease(NOW);
		tries = tries + 1 - COUNTED;
		if
		:: backward -> record_backward()
		:: else -> record_forward()
		fi;
		advance()
	:: else -> printf("worker %d finds that its claim is gone\n", me)
	fi;
	forget()
}

inline record_forward()
{
	if
	:: result == good && s == PIVOT && status != RUNNING ->
		if
		:: MAY_GO_LIVE -> settle(SUCCEEDED)
		:: else -> interrupt(s)
		fi
	:: result == good && !(s == PIVOT && status != RUNNING) ->
		step[s] = done;
		tries = 0
	:: result != good && status == CANCELLING -> interrupt(s)
	:: result != good && status != CANCELLING ->
		if
		:: result == handed_on
		:: result == shut_down -> tries--
		:: result == bad && tries < ATTEMPTS -> due = LATER
		:: result == refused || result == bad && tries == ATTEMPTS ->
			interrupt(s);
			turn_to(WAY_BACK)
		fi
	fi
}

inline record_backward()
{
	if
	:: result == good ->
		step[s] = compensated;
		tries = 0;
		if
		:: s != PIVOT -> ledger[s] = false
		:: else
		fi
	:: result == handed_on
	:: result == shut_down -> tries--
	:: result == bad && tries < ATTEMPTS -> due = LATER
	:: result == refused || result == bad && tries == ATTEMPTS ->
		turn_to(STUCK);
		due = NEVER
	fi
}

inline forget()
{
	at_work[me] = false;
	backward = false;
	s = NONE;
	result = good
}

inline die()
{
	d_step { printf("worker %d is killed\n", me); forget() }
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

/* workers/sweeper.py, provisioning/duty.py */

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
