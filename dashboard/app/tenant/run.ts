/** How a run's status and its steps determine what the page shows. */

import type { RunDetailsFragment, RunStatus, StepLineFragment } from "../__generated__/graphql";

export type Run = RunDetailsFragment;
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

/** Whether the run is undoing its steps, or has undone them. */
export function isUndo(run: Run): boolean {
  return BACKWARD.has(run.status);
}

export function hasSettled(run: Run): boolean {
  return SETTLED.has(run.status);
}

/** Whether a cancel was requested and its undo has not ended. */
export function isBeingCancelled(run: Run): boolean {
  return run.cancelRequest !== null && isUndo(run) && !hasSettled(run);
}

/** The steps that were undone, are being undone or will be undone, last first. */
export function undoOf(run: Run): Step[] {
  if (!isUndo(run)) return [];
  const started = run.steps.filter((step) => UNDO.has(step.status) || (step.status !== "WAITING" && !hasSettled(run)));
  return started.reverse();
}

/** The step that could not be undone, of a run that is STUCK. */
export function stuckStep(run: Run): Step | undefined {
  return run.steps.find((step) => step.name === run.stuckStep);
}

/** The step that failed for good, so that the run was or is being undone. */
export function failedStep(run: Run): Step | undefined {
  return run.steps.find((step) => step.name === run.failedStep);
}
