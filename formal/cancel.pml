/* One run that two workers move and a client may cancel, while everything around it fails. See README.md. */

#define PIVOT    2  /* steps 0 and 1 take a resource, step 2 is the point of no return */
#define NONE     3
#define ATTEMPTS 2  /* attempts of one move, before the run turns back or is STUCK */

mtype = { RUNNING, CANCELLING, COMPENSATING, STUCK, SUCCEEDED, CANCELLED, FAILED }  /* a run; FAILED also a tenant */
mtype = { PROVISIONING, ACTIVE, PENDING }                                           /* a tenant */
mtype = { waiting, running, done, interrupted, compensating, compensated }          /* a step */
mtype = { good, bad, refused, handed_on, shut_down }                                /* the outcome of a move */
mtype = { NEVER, LATER, NOW }
mtype = { current, out_of_date }

/* The rows in Postgres. One d_step is one statement or one transaction, or one call to an external system. */
typedef Run {
	mtype status;
	mtype step[3];
	mtype tenant;
	mtype due;                /* for a run with an owner: when its lease expires */
	byte  token;              /* of the claim; 0 is no owner */
	byte  tries;              /* attempts of the current move */
	bool  cancel;             /* a cancel was requested */
	bool  ledger[2]           /* INTENDED or HELD, not RELEASED */
}

Run row;
Run draft;                    /* the row after a transition; empty between two transitions */

/* The position that a worker remembers, and whether the row still has its version. The first is empty. */
Run   seen[3];
mtype version[3];

/* In external systems. */
bool held[2];
bool tombstone[2];
bool on_its_way[2];           /* a creation that its caller gave up or did not survive */

/* In the broker, and in the workers' memory. */
bool knocking = true;         /* a wake-up for the next move is in the broker */
byte at_work[3];              /* the tokens that the heartbeat renews; 0 is none */
byte surviving = 2;

/* What happened in fact, for the assertions only. */
bool accepted;                /* a client got the answer that the run is being cancelled */
byte owner;                   /* the worker with the last claim, unless that was taken over or given back */
bool fenced[3];               /* this worker's claim was taken over or given back */

/* Never set: they only name the assertions. */
bit V1_one_end, V2_nothing_held, V3_reverse, V4_recorded_once, V5_who_won, V6_no_new_forward_work, V8_next_wake;
bit V9_no_stale_write, an_active_tenant_has_everything, the_ledger_is_empty_at_the_end;

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

/* Situations that must be reached: otherwise the checks would prove nothing about them. */
#ifdef WITNESS
mtype = { went_live, was_cancelled, failed_and_undone, got_stuck, cancel_met_pivot, paused_owner_woke_up_late, call_came_late }
mtype = { run_was_kept, undo_was_kept, claim_came_too_late, record_came_too_late, cancel_met_a_lost_reply }
#define REACHED(situation, when) assert(WITNESS != situation || !(when))
#else
#define REACHED(situation, when) skip
#endif

#include "protections.pml"
#include "transitions.pml"

/* provisioning/run_reader.py, provisioning/run_store.py */

#define UNCHANGED    (version[me] == current)
#define RECORD_GUARD (s == PIVOT && !backward -> PIVOT_GUARD : (keep -> KEEP_GUARD : UNCHANGED))

inline copy(to, from)
{
	to.status = from.status;
	to.step[0] = from.step[0];
	to.step[1] = from.step[1];
	to.step[2] = from.step[2];
	to.tenant = from.tenant;
	to.due = from.due;
	to.token = from.token;
	to.tries = from.tries;
	to.cancel = from.cancel;
	to.ledger[0] = from.ledger[0];
	to.ledger[1] = from.ledger[1]
}

inline read()
{
	copy(seen[me], row);
	version[me] = current
}

/* Every write changes the version. The guard rejects a position that is out of date, so its values do not matter. */

inline new_version(worker)
{
	if
	:: version[worker] == current ->
		version[worker] = out_of_date;
		if
		:: !OLD_VALUES -> copy(seen[worker], seen[0])
		:: else
		fi
	:: else
	fi
}

inline write()
{
	assert(V8_next_wake || draft.due != NEVER || !LIVE(draft) || draft.status == STUCK);
	copy(row, draft);
	new_version(1);
	new_version(2);
	copy(draft, seen[0])
}

/* provisioning/engine.py. The guard is checked before the decision: the two are one statement's work in any order. */

inline engine_claim()
{
	copy(draft, seen[me]);
	if
	:: repeated && draft.token == TOKEN(me, 0) ->
		claim_again(s, TOKEN(me, 0));
		write();
		read()
	:: !(repeated && draft.token == TOKEN(me, 0)) && draft.due == NOW && MAY_TAKE_OVER(draft) && IS_NEXT(draft, s) ->
		claim(s, TOKEN(me, 0));
		write();
		read()
	:: else -> printf("worker %d finds nothing to claim\n", me); copy(draft, seen[0])
	fi
}

inline engine_record()
{
	copy(draft, seen[me]);
	if
	:: KEPT(draft) ->
		s = (backward -> BEHIND(draft) : AT(draft));
		claim_again(s, TOKEN(me, 1 - turn));
		write();
		read()
	:: !KEPT(draft) && MAY_RECORD ->
		assert(V9_no_stale_write || !fenced[me]);
		assert(V4_recorded_once || draft.step[s] == (backward -> compensating : running));
		printf("worker %d records %e for step %d\n", me, result, s);
		if
		:: result == good -> step_succeeded()
		:: else -> step_failed()
		fi;
		write();
		read()
	:: else -> printf("worker %d has lost its claim and records nothing\n", me); copy(draft, seen[0])
	fi
}

/* What a worker keeps in memory, and loses when it is killed */

inline forget()
{
	version[me] = 0;
	copy(seen[me], seen[0]);
	SAFETY(owner = (owner == me -> 0 : owner));
	SAFETY(fenced[me] = false);
	backward = false;
	keep = false;
	repeated = false;
	turn = 0;
	s = NONE;
	claimed = NONE;
	result = good
}

inline go_on()
{
	keep = false;
	repeated = false;
	s = claimed;
	claimed = NONE
}

inline die()
{
	d_step { printf("worker %d is killed\n", me); forget(); at_work[me] = RENEWED_AFTER_DEATH }
}

/* adapters/: external systems do not know our tokens */

inline create(s)
{
	if
	:: tombstone[s] -> result = refused
	:: else ->
		printf("a resource is created for step %d\n", s);
		SAFETY(assert(V2_nothing_held || LIVE(row) || row.status == SUCCEEDED));
		SAFETY(assert(V2_nothing_held || row.ledger[s]));
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
	byte s = NONE, claimed = NONE;
	bool backward, keep, repeated, turn;
	mtype result = good;

end:	if
	:: d_step { HEARD && row.due == NOW && MAY_TAKE_OVER(row) && MAY_GO_ON(row) -> HEAR; read(); s = AHEAD(row) }
	:: d_step { HEARD && row.due == NOW && MAY_TAKE_OVER(row) && BACKWARD(row) -> HEAR; read(); s = BEHIND(row); backward = true }
	:: atomic { !SAFE && surviving == 2 -> surviving--; goto gone }
	fi;

claim_it:
	atomic {
		if
		:: d_step { CLAIM_GUARD -> engine_claim() }
		:: d_step { !CLAIM_GUARD && LOCKED -> REACHED(claim_came_too_late, accepted && !backward); read(); engine_claim() }
		:: d_step { !CLAIM_GUARD && !LOCKED -> read() }; goto claim_it
		fi;
		if
		:: claimed == NONE -> d_step { forget(); at_work[me] = 0 }; goto end
		:: d_step { claimed != NONE -> go_on() }; goto perform
		:: SAFE -> d_step { printf("the reply to worker %d is lost\n", me); repeated = true; claimed = NONE; read() }; goto claim_it
		fi
	};

perform:
	if
	:: backward -> goto undo
	:: s == PIVOT && !backward -> goto put_on_record
	:: s < PIVOT && !backward -> INTEND_LATER
	:: !backward -> result = handed_on; goto put_on_record
	fi;
	if
	:: d_step { REACHED(paused_owner_woke_up_late, fenced[me] && row.status == CANCELLED); create(s) }
	:: result = bad
	:: result = refused
	:: SAFE -> d_step { on_its_way[s] = true; result = bad }
	:: atomic { SAFE -> on_its_way[s] = true; die(); goto end }
	:: atomic { die(); goto end }
	fi;
	goto put_on_record;

undo:	if
	:: s == PIVOT -> goto put_on_record
	:: s != PIVOT -> SAFETY(tombstone[s] = BURIED)
	:: result = bad; goto put_on_record
	:: result = refused; goto put_on_record
	:: result = handed_on; goto put_on_record
	:: atomic { die(); goto end }
	fi;
	if
	:: d_step { destroy(s) }
	:: atomic { die(); goto end }
	fi;

put_on_record:
	atomic {
		if
		:: result == good -> keep = true
		:: true
		:: result == good && s != PIVOT -> result = bad
		:: result == handed_on && SAFE -> result = shut_down
		:: die(); goto end
		fi;
record_it:	if
		:: d_step { RECORD_GUARD -> engine_record() }
		:: d_step { !RECORD_GUARD && LOCKED -> REACHED(record_came_too_late, accepted && keep && !backward); read(); engine_record() }
		:: d_step { !RECORD_GUARD && !LOCKED -> read() }; goto record_again
		fi;
		if
		:: claimed == NONE -> d_step { forget(); at_work[me] = 0 }; goto end
		:: d_step { claimed != NONE -> turn = 1 - turn; go_on() }; goto perform
		:: SAFE -> d_step { printf("the reply to worker %d is lost\n", me); claimed = NONE; read() }; goto record_again
		fi
	};

record_again:
	if
	:: goto record_it
	fi;

gone:	skip
}

/* workers/heartbeat.py, run_store.renew */

inline renew(worker)
{
	at_work[worker] && row.token == at_work[worker] && row.due == NOW ->
	assert(V9_no_stale_write || !fenced[worker]);
	copy(draft, row);
	draft.due = LATER;
	write()
}

proctype Heartbeat()
{
end:	do
	:: d_step { renew(1) }
	:: d_step { renew(2) }
	od
}

/* workers/sweeper.py, provisioning/due_runs.py, run_store.dispatch */

proctype Sweeper()
{
end:	do
#ifndef BROKEN_SWEEPER  /* V13: No sweeper queries the runs that are due. */
	:: d_step { row.due == NOW && (SAFE || !knocking) -> copy(draft, row); due_without_owner(); write() }
#endif
	:: false
	od
}

/* provisioning/cancellation.py */

inline request_cancel()
{
	accepted = true;
	if
	:: !row.cancel ->
		printf("a cancel is accepted\n");
		copy(draft, row);
		cancel_requested();
		write()
	:: else
	fi
}

proctype People()
{
end:	do
	:: d_step { LIVE(row) -> request_cancel() }
#ifdef BROKEN_CANCEL    /* V1: A cancel checks for a live run in one transaction and writes in another. */
	:: LIVE(row) -> d_step { request_cancel() }
#endif
	:: !LIVE(row) -> d_step {
		assert(V5_who_won || row.tenant != PROVISIONING);
		assert(V5_who_won || (row.tenant == ACTIVE) == (row.status == SUCCEEDED)) }
	:: d_step { row.status == STUCK -> copy(draft, row); compensation_resumed(); write() }
	od
}

/* The environment: a lease expires, a back-off ends, calls arrive late or never, messages are lost. A worker that
   remembers a position adds the time that has passed. */

proctype Time()
{
end:	do
	:: d_step {
		row.due == LATER ->
		if
		:: row.token -> printf("a lease expires\n")
		:: else -> printf("a back-off ends\n")
		fi;
		row.due = NOW;
		seen[1].due = (seen[1].due == LATER -> NOW : seen[1].due);
		seen[2].due = (seen[2].due == LATER -> NOW : seen[2].due) }
	od
}

proctype Network()
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

#ifdef WITNESS
proctype Witness()
{
end:	if
	:: row.tenant == ACTIVE -> REACHED(went_live, true)
	:: row.status == CANCELLED -> REACHED(was_cancelled, true)
	:: row.status == FAILED && row.step[1] == compensated -> REACHED(failed_and_undone, true)
	:: row.status == STUCK -> REACHED(got_stuck, true)
	:: row.status == CANCELLING && row.step[PIVOT] == running && row.token && row.due == LATER -> REACHED(cancel_met_pivot, true)
	:: row.status == CANCELLED && on_its_way[1] -> REACHED(call_came_late, true)
	fi
}
#endif

init {
	atomic {
		row.status = RUNNING;
		row.step[0] = waiting;
		row.step[1] = waiting;
		row.step[2] = waiting;
		row.tenant = PROVISIONING;
		row.due = NOW;
		run Worker(1); run Worker(2); run Heartbeat(); run Sweeper(); run People(); run Time(); run Network()
#ifdef WITNESS
		; run Witness()
#endif
	}
}

ltl V13_comes_to_rest { [] (accepted -> <> (!LIVE(row) || row.status == STUCK)) }
