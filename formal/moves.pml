/* The moves of a run. Each inline is a transaction, or a part of one. */

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
		printf("worker %d claims step %d, attempt %d\n", me, s, tries)
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
		printf("worker %d claims the undo of step %d, attempt %d\n", me, s, tries)
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

/* provisioning/engine.py: intend, record, record_failure. Each checks the token. */

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
	:: else -> printf("worker %d has lost its claim and records nothing\n", me)
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
