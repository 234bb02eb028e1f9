/* provisioning/transitions.py: each inline changes the draft of a run. The worker's s and backward are the move. */

/* provisioning/decisions.py */

#define LIVE(run)     (run.status == RUNNING || run.status == CANCELLING || run.status == COMPENSATING || run.status == STUCK)
#define BACKWARD(run) (run.status == CANCELLING || run.status == COMPENSATING)
#define WAY_BACK(run) (run.cancel -> CANCELLING : COMPENSATING)
#define OUTCOME(run)  (run.cancel -> CANCELLED : FAILED)

#define TO_BE_UNDONE(run, s) (run.step[s] != waiting && run.step[s] != compensated)
#define AHEAD(run) (run.step[0] != done -> 0 : (run.step[1] != done -> 1 : (run.step[2] != done -> 2 : NONE)))
#define AT(run)    (run.step[0] == running -> 0 : (run.step[1] == running -> 1 : (run.step[2] == running -> 2 : NONE)))

#define IS_NEXT(run, s) (backward -> BACKWARD(run) && BEHIND(run) == s : MAY_GO_ON(run) && AHEAD(run) == s)

/* A worker claims a move: its attempt begins. claimed is NONE if its attempts are used up. */

inline claim(move, new_token)
{
	release_lease(RELEASED);
	if
	:: backward -> begin_compensation(move, new_token)
	:: else -> begin(move, new_token)
	fi
}

/* A claim with a lost reply: the row has its token. If a cancel came in between, the lease is released at once. */

inline claim_again(move, new_token)
{
	assert(V9_no_stale_write || !fenced[me]);
	if
	:: MAY_CLAIM_AGAIN -> lease(move, new_token)
	:: else ->
		REACHED(cancel_met_a_lost_reply, true);
		if
		:: draft.step[move] == running -> interrupt(move)
		:: else
		fi;
		release_lease(RELEASED);
		advance()
	fi
}

/* The step, or its undo, is done. With keep, the next move in the same direction is claimed as well. */

inline step_succeeded()
{
	release_lease(RELEASED);
	if
	:: backward ->
		draft.step[s] = compensated;
		draft.tries = 0;
		if
		:: s < PIVOT -> draft.ledger[s] = false
		:: else
		fi
	:: !backward && s == PIVOT && draft.status != RUNNING ->
		if
		:: MAY_GO_LIVE -> end_run(SUCCEEDED)
		:: else -> interrupt(s)
		fi
	:: else ->
		draft.step[s] = done;
		draft.tries = 0
	fi;
	if
	:: keep && backward && BACKWARD(draft) && BEHIND(draft) != NONE ->
		REACHED(undo_was_kept, true);
		claimed = BEHIND(draft);
		begin_compensation(claimed, TOKEN(me, 1 - turn))
	:: keep && !backward && MAY_GO_ON(draft) && AHEAD(draft) != NONE ->
		REACHED(run_was_kept, true);
		claimed = AHEAD(draft);
		begin(claimed, TOKEN(me, 1 - turn))
	:: else -> advance()
	fi
}

/* The step, or its undo, has failed or was stopped: it is retried later, the run is undone, or the run is STUCK. */

inline step_failed()
{
	release_lease(RELEASED);
	draft.tries = draft.tries + 1 - COUNTED;
	if
	:: !backward && draft.status == CANCELLING -> interrupt(s)
	:: else ->
		if
		:: result == handed_on
		:: result == shut_down -> draft.tries--
		:: result == bad && draft.tries < ATTEMPTS -> draft.due = LATER
		:: result == refused || result == bad && draft.tries == ATTEMPTS ->
			if
			:: backward -> stuck()
			:: else -> failed(s)
			fi
		fi
	fi;
	advance()
}

/* A cancel is requested. If no worker owns the run, its undo starts at once. A STUCK run stays STUCK. */

inline cancel_requested()
{
	draft.cancel = true;
	if
	:: draft.status == STUCK
	:: draft.status != STUCK && draft.token && draft.due == LATER -> turn_to(CANCELLING)
	:: else ->
		turn_to(CANCELLING);
		if
		:: AT(draft) != NONE -> interrupt(AT(draft))
		:: else
		fi;
		release_lease(NOW);
		advance()
	fi
}

/* A STUCK undo is resumed, with all its attempts. */

inline compensation_resumed()
{
	turn_to(WAY_BACK(draft));
	draft.due = NOW;
	draft.tries = 0;
	advance()
}

/* The run is due: it ends if no step is left, or its next move is announced. */

inline due_without_owner()
{
	advance()
}

/* Beginning a move */

inline begin(move, new_token)
{
	if
	:: draft.tries == ATTEMPTS ->
		failed(move);
		claimed = NONE;
		advance()
	:: else ->
		if
		:: move < PIVOT && INTENDED_BY_CLAIM -> draft.ledger[move] = true
		:: else
		fi;
		draft.step[move] = running;
		draft.tries = draft.tries + COUNTED;
		lease(move, new_token)
	fi
}

inline begin_compensation(move, new_token)
{
	if
	:: draft.step[move] == running -> interrupt(move)
	:: else
	fi;
	if
	:: draft.tries == ATTEMPTS ->
		stuck();
		claimed = NONE
	:: else ->
		draft.step[move] = compensating;
		draft.tries = draft.tries + COUNTED;
		lease(move, new_token)
	fi
}

inline lease(move, new_token)
{
	assert(V6_no_new_forward_work || backward || !accepted);
	printf("worker %d claims step %d, which is %e, attempt %d\n", me, move, draft.step[move], draft.tries);
	claimed = move;
	draft.token = new_token;
	draft.due = LATER;
	at_work[me] = new_token;
	SAFETY(owner = me);
	SAFETY(fenced[me] = false)
}

/* Ending a move */

inline release_lease(again)
{
	SAFETY(fenced[owner] = true);
	SAFETY(owner = 0);
	draft.token = 0;
	draft.due = again
}

inline interrupt(move)
{
	draft.step[move] = interrupted;
	draft.tries = 0
}

inline failed(move)
{
	interrupt(move);
	turn_to(WAY_BACK(draft))
}

inline stuck()
{
	turn_to(STUCK);
	draft.due = NEVER
}

/* The next move */

inline advance()
{
	if
	:: BACKWARD(draft) && BEHIND(draft) == NONE -> end_run(OUTCOME(draft))
	:: draft.status == RUNNING && AHEAD(draft) == NONE -> end_run(SUCCEEDED)
	:: else -> knocking = knocking || draft.due == NOW
	fi
}

inline end_run(end)
{
	turn_to(end);
	draft.due = NEVER;
	if
	:: draft.status == SUCCEEDED ->
		assert(V5_who_won || !accepted);
		SAFETY(assert(an_active_tenant_has_everything || (held[0] && held[1])));
		draft.tenant = ACTIVE
	:: else ->
		assert(the_ledger_is_empty_at_the_end || !(draft.ledger[0] || draft.ledger[1]));
		SAFETY(assert(V2_nothing_held || !(held[0] || held[1])));
		draft.tenant = (draft.status == CANCELLED -> PENDING : FAILED)
	fi
}

inline turn_to(new)
{
	assert(V1_one_end || LIVE(draft));
	draft.status = new
}
