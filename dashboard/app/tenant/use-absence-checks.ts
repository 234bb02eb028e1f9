/** After an undo, the server checks several times that nothing is left outside; each check is fetched when it is due. */

import { useEffect } from "react";
import { now } from "../api/clock";
import type { Run } from "./run";

/** Milliseconds that a check may take. */
const CHECK_DURATION = 2000;
/** Milliseconds. A later check is not waited for: the page will hardly be open for so long. */
const LONGEST_WAIT = 5 * 60 * 1000;

/** Polling is needed because a check that finds nothing emits no event. */
export function useAbsenceChecks(run: Run | undefined, refetch: () => void): void {
  const due = run?.nextAbsenceCheckAt;
  useEffect(() => {
    if (!due) return;
    const wait = Math.max(Date.parse(due) - now(), 0) + CHECK_DURATION;
    if (wait > LONGEST_WAIT) return;
    const timer = setTimeout(refetch, wait);
    return () => clearTimeout(timer);
  }, [due, refetch]);
}
