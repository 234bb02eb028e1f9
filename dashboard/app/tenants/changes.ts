/** The list stays true by itself: rows change where they are, and who belongs into the list is asked again. */

import { useEffect } from "react";
import { useSubscription } from "urql";
import { TenantsChangingDocument } from "../__generated__/graphql";
import { useLink } from "../api/api";
import { useThrottled } from "../api/throttled";

/** Milliseconds between two questions, however much happens: a page costs 430 points, and 500 flow back in a second. */
const AT_MOST_EVERY = 1500;

/** Entries that move a tenant from one state to another, or make one. The others only change a row. */
const MOVES =
  /^tenant\.(created|recreated|suspended|resumed|updated|.*provisioning\.(started|completed|failed|cancelled))$/;

export function useChanges(again: () => void): void {
  const soon = useThrottled(again, AT_MOST_EVERY);
  useSubscription({ query: TenantsChangingDocument }, (_, told) => {
    if (MOVES.test(told.auditEventAdded.type)) soon();
    return told;
  });
  const { regained } = useLink();
  useEffect(() => {
    if (regained) again();
  }, [regained, again]);
}
