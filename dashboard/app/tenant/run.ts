/** What a run's status and its steps mean for what a page shows. */

import type { RunStatus, RunWholeFragment, StepLineFragment } from "../__generated__/graphql";

export type Run = RunWholeFragment;
export type Step = StepLineFragment;

const BACKWARD: ReadonlySet<RunStatus> = new Set([
  "CANCELLING",
  "COMPENSATING",
  "STUCK",
  "CANCELLED",
  "FAILED",
  "DECOMMISSIONED",
]);
const SETTLED: ReadonlySet<RunStatus> = new Set(["SUCCEEDED", "CANCELLED", "FAILED", "DECOMMISSIONED"]);
const UNDO: ReadonlySet<Step["status"]> = new Set(["COMPENSATING", "COMPENSATED", "COMPENSATION_FAILED", "ABANDONED"]);

/** Whether it is going back over what was done, or has been. */
export function goesBack(run: Run): boolean {
  return BACKWARD.has(run.status);
}

export function hasSettled(run: Run): boolean {
  return SETTLED.has(run.status);
}

/** Whether a cancel is on record and its undo still under way. */
export function isBeingCancelled(run: Run): boolean {
  return run.cancelRequest !== null && goesBack(run) && !hasSettled(run);
}

/** The steps whose undo is done, at work or still to come, last first. */
export function undoOf(run: Run): Step[] {
  if (!goesBack(run)) return [];
  const touched = run.steps.filter((step) => UNDO.has(step.status) || (step.status !== "WAITING" && !hasSettled(run)));
  return touched.reverse();
}

/** The step whose compensation is out of attempts. */
export function stuckStep(run: Run): Step | undefined {
  return run.status === "STUCK" ? run.steps.find((step) => step.status === "COMPENSATION_FAILED") : undefined;
}
