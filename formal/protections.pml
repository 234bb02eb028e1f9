/* Every protection, and a variant without it. The invariant is the one that the checker must find violated. */

#ifdef BROKEN_TOKEN     /* V9: A token names the process, so two of its threads have the same token. */
#define TOKEN(worker) 1
#else
#define TOKEN(worker) worker
#endif

#ifdef BROKEN_RECORD    /* V9: An outcome is recorded without checking the token. */
#define MAY_RECORD true
#else
#define MAY_RECORD (token == TOKEN(me))
#endif

#ifdef BROKEN_INTEND    /* V9: The ledger is written without checking the token. */
#define MAY_INTEND true
#else
#define MAY_INTEND (token == TOKEN(me) && status != CANCELLING)
#endif

#ifdef BROKEN_CLAIM     /* V6: A message that names a forward move is executed in any status. */
#define MAY_GO_ON (LIVE && AHEAD != NONE)
#else
#define MAY_GO_ON (status == RUNNING)
#endif

#ifdef BROKEN_PIVOT     /* V5: The pivot does not check the status. */
#define MAY_GO_LIVE true
#else
#define MAY_GO_LIVE (status == RUNNING)
#endif

#ifdef BROKEN_DESTROY   /* V2: Destroying leaves no tombstone. */
#define BURIED false
#else
#define BURIED true
#endif

#ifdef BROKEN_TAKEOVER  /* V13: An expired lease cannot be taken over. */
#define MAY_TAKE_OVER (token == 0)
#else
#define MAY_TAKE_OVER true
#endif

#ifdef BROKEN_COUNT     /* V13: An attempt is counted when it has ended. */
#define COUNTED 0
#else
#define COUNTED 1
#endif

#ifdef BROKEN_HEARTBEAT /* V13: The claim of a dead worker is renewed for ever. */
#define RENEWED_BY_NOBODY true
#else
#define RENEWED_BY_NOBODY false
#endif
