/* Every protection, and a variant without it. The invariant is the one that the checker must find violated. */

/* provisioning/run_store.py: the guard of every write is the version of the row that was read. */

#ifdef BROKEN_GUARD     /* V6: A claim is guarded by the token that it read, not by the version: it overwrites a cancel. */
#define CLAIM_GUARD (row.token == seen[me].token)
#define OLD_VALUES  true
#else
#define CLAIM_GUARD UNCHANGED
#endif

#ifdef BROKEN_KEEP      /* V6: A record that keeps the run is guarded by its token only: it overwrites a cancel. */
#define KEEP_GUARD (row.token == seen[me].token)
#define OLD_VALUES true
#else
#define KEEP_GUARD UNCHANGED
#endif

#ifdef BROKEN_VERSION   /* V5: The record of the pivot is guarded by its token only: it overwrites a cancel. */
#define PIVOT_GUARD (row.token == seen[me].token)
#define OLD_VALUES  true
#else
#define PIVOT_GUARD UNCHANGED
#endif

#ifndef OLD_VALUES
#define OLD_VALUES false
#endif

#ifdef BROKEN_LOCK      /* V13: A decision that came too late is repeated without the lock of the row. */
#define LOCKED false
#else
#define LOCKED true
#endif

/* provisioning/engine.py: tokens, and the ledger. */

#ifdef BROKEN_TOKEN     /* V9: A token names the process, so two of its threads have the same token. */
#define TOKEN(worker, turn) (2 + turn)
#else
#ifdef BROKEN_NEWTOKEN  /* V4: A kept run keeps its token, so a repeated record is recorded twice. */
#define TOKEN(worker, turn) (2 * worker)
#define KEPT(run) false
#else
#define TOKEN(worker, turn) (2 * worker + turn)
#endif
#endif

#ifndef KEPT
#define KEPT(run) (keep && run.token == TOKEN(me, 1 - turn))
#endif

#ifdef BROKEN_RECORD    /* V9: An outcome is recorded without checking the token. */
#define MAY_RECORD true
#else
#define MAY_RECORD (draft.token == TOKEN(me, turn))
#endif

#ifdef BROKEN_INTEND    /* V9: The ledger is written after the claim, by a statement without a guard. */
#define INTENDED_BY_CLAIM false
#define INTEND_LATER      d_step { assert(V9_no_stale_write || !fenced[me]); row.ledger[s] = true }
#else
#define INTEND_LATER      skip
#ifdef BROKEN_LEDGER    /* V2: A claim does not write the ledger. */
#define INTENDED_BY_CLAIM false
#else
#define INTENDED_BY_CLAIM true
#endif
#endif

/* provisioning/transitions.py, provisioning/decisions.py */

#ifdef BROKEN_CLAIM     /* V6: A message that names a forward move is executed in any status. */
#define MAY_GO_ON(run) (LIVE(run) && AHEAD(run) != NONE)
#else
#define MAY_GO_ON(run) (run.status == RUNNING)
#endif

#ifdef BROKEN_REPLY     /* V6: A claim that is repeated does not check whether its move is still the next one. */
#define MAY_CLAIM_AGAIN true
#else
#define MAY_CLAIM_AGAIN IS_NEXT(draft, s)
#endif

#ifdef BROKEN_PIVOT     /* V5: The pivot does not check the status. */
#define MAY_GO_LIVE true
#else
#define MAY_GO_LIVE (draft.status == RUNNING)
#endif

#ifdef BROKEN_ORDER     /* V3: Steps are undone in the order in which they were performed. */
#define BEHIND(run) (TO_BE_UNDONE(run, 0) -> 0 : (TO_BE_UNDONE(run, 1) -> 1 : (TO_BE_UNDONE(run, 2) -> 2 : NONE)))
#else
#define BEHIND(run) (TO_BE_UNDONE(run, 2) -> 2 : (TO_BE_UNDONE(run, 1) -> 1 : (TO_BE_UNDONE(run, 0) -> 0 : NONE)))
#endif

#ifdef BROKEN_DUE       /* V8: A run whose lease is released is due only when a message arrives. */
#define RELEASED NEVER
#else
#define RELEASED NOW
#endif

#ifdef BROKEN_TAKEOVER  /* V13: An expired lease cannot be taken over. */
#define MAY_TAKE_OVER(run) (run.token == 0)
#else
#define MAY_TAKE_OVER(run) true
#endif

#ifdef BROKEN_COUNT     /* V13: An attempt is counted when it has ended. */
#define COUNTED 0
#else
#define COUNTED 1
#endif

/* workers/, adapters/ */

#ifdef BROKEN_HEARTBEAT /* V13: The claim of a dead worker is renewed for ever. */
#define RENEWED_AFTER_DEATH at_work[me]
#else
#define RENEWED_AFTER_DEATH 0
#endif

#ifdef BROKEN_DESTROY   /* V2: Destroying leaves no tombstone. */
#define BURIED false
#else
#define BURIED true
#endif
