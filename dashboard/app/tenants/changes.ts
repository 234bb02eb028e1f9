/** The list stays true by itself: rows change where they are, and who belongs into the list is asked again. */

import { useState } from "react";
import { type CombinedError, useSubscription } from "urql";
import { TenantsChangingDocument } from "../__generated__/graphql";
import { useThrottled } from "../api/throttled";

/** Milliseconds between two questions, however much happens: a page costs 530 points, and 500 flow back in a second. */
const AT_MOST_EVERY = 1500;

/** Entries that move a tenant from one state to another, or make one. The others only change a row. */
const MOVES =
  /^tenant\.(created|recreated|suspended|resumed|updated|.*provisioning\.(started|completed|failed|cancelled))$/;

/** From the entry that was newest when the page was read; null when there was none. Undefined: nobody may follow. */
export function useChanges(newest: string | null | undefined, again: () => void): CombinedError | undefined {
  const [after] = useState(newest);
  const soon = useThrottled(again, AT_MOST_EVERY);
  const request = { query: TenantsChangingDocument, variables: { after: after ?? null }, pause: newest === undefined };
  const [{ error }] = useSubscription(request, (_, told) => {
    if (MOVES.test(told.auditEventAdded.type)) soon();
    return told;
  });
  return error;
}
