/** After the undo the outside is asked again, at times that the server names: each look is fetched once, when it is due. */

import { useEffect } from "react";
import { now } from "../api/clock";
import type { Run } from "./run";

/** Milliseconds that a look may take. */
const TAKES = 2000;
/** Milliseconds: nobody keeps a page open for the look of the next day. */
const SOON = 5 * 60 * 1000;

/** No entry tells of a look that found nothing: nothing happened. */
export function useLooks(run: Run | undefined, again: () => void): void {
  const due = run?.nextAbsenceCheckAt;
  useEffect(() => {
    if (!due) return;
    const wait = Math.max(Date.parse(due) - now(), 0) + TAKES;
    if (wait > SOON) return;
    const waiting = setTimeout(again, wait);
    return () => clearTimeout(waiting);
  }, [due, again]);
}
