/* What protects, and a variant without each. The invariant is the one that the checker must find broken. */

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

#ifdef BROKEN_HEARTBEAT /* V13: A claim that nobody performs any more is renewed for ever. */
#define RENEWED_BY_NOBODY true
#else
#define RENEWED_BY_NOBODY false
#endif
