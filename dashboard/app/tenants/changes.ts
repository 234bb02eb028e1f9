/** Keeps the list up to date: a subscription updates its rows, and a change of state fetches the list again. */

import { useState } from "react";
import { type CombinedError, useSubscription } from "urql";
import { TenantsChangedDocument } from "../__generated__/graphql";
import { useThrottle } from "../api/throttle";

/** Milliseconds between two fetches at least: a page costs 580 points of the budget, and 500 points refill in a second. */
const REFETCH_INTERVAL = 1500;

/**
 * Events that create a tenant or change its state, so that it may join or leave the list, and those that change what it
 * has left behind, which the subscription does not read. Others change only a row.
 */
const CHANGES_LIST = new RegExp(
  "^tenant\\.(created|recreated|suspended|resumed|updated|" +
    ".*provisioning\\.(started|completed|failed|cancelled|compensation_resumed|absence_confirmed))$",
);

/**
 * Subscribe from the newest event at the time of the query: its cursor, null if there was none, or undefined if the user
 * may not subscribe.
 */
export function useChanges(newest: string | null | undefined, refetch: () => void): CombinedError | undefined {
  const [after] = useState(newest);
  const refetchSoon = useThrottle(refetch, REFETCH_INTERVAL);
  const request = { query: TenantsChangedDocument, variables: { after: after ?? null }, pause: newest === undefined };
  const [{ error }] = useSubscription(request, (_, data) => {
    if (CHANGES_LIST.test(data.auditEventAdded.type)) refetchSoon();
    return data;
  });
  return error;
}
