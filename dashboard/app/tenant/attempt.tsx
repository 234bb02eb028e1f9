/** The attempt of a step or of its undo: the one under way, or the next one, and why it is another. */

import { Fragment, type ReactNode } from "react";
import { Age, Spent, Time, Until, useNow } from "../ui/time";
import type { Step } from "./run";

/** Milliseconds. A worker renews its heartbeat every 5 s, and loses the step to another after the lease's 15 s without one. */
const STALLED_AFTER = 20_000;

/** For a step that is RUNNING or COMPENSATING. */
export function Attempt({ step }: { step: Step }) {
  const { attemptStartedAt, nextAttemptAt } = step;
  if (attemptStartedAt) return <UnderWay step={step} since={attemptStartedAt} />;
  if (nextAttemptAt) return <Next step={step} at={nextAttemptAt} />;
  return <span className="hint">Waiting for a worker.</span>;
}

/** "Attempt 3 of 5 in 2 s: the deployer answered 503". */
function Next({ step, at }: { step: Step; at: string }) {
  const { made, error } = countOf(step);
  return (
    <span>
      Attempt {ordinalText(step, made + 1)} <Until at={at} />
      {error && (
        <>
          : <span className="error">{error}</span>
        </>
      )}
    </span>
  );
}

function UnderWay({ step, since }: { step: Step; since: string }) {
  const { made, error } = countOf(step);
  const { message, nextAttemptAt, attemptDeadlineAt, compensationDelayedAt } = step;
  const instant = useNow();
  const isPolled = nextAttemptAt !== null;
  // Only the first poll is announced. While a worker goes on polling by itself, its heartbeat shows that it lives.
  const isAskedLater = isPolled && instant < Date.parse(nextAttemptAt);
  return (
    <Parts>
      {made > 1 && <span>Attempt {ordinalText(step, made)}</span>}
      {message && <span>{message}</span>}
      {isPolled && (
        <span className="hint">
          waiting for <Spent from={since} to={null} />
          {isAskedLater && (
            <>
              , asked again <Until at={nextAttemptAt} />
            </>
          )}
        </span>
      )}
      {!isAskedLater && <Heartbeat step={step} />}
      {(isPolled || made > 1) && attemptDeadlineAt && (
        <span className="hint">
          this attempt ends by <Time at={attemptDeadlineAt} short />
        </span>
      )}
      {compensationDelayedAt && step.status === "COMPENSATING" && (
        <span className="warn-text">longer than usual: operators were warned</span>
      )}
      {made > 1 && error && (
        <span>
          the last attempt failed: <span className="error">{error}</span>
        </span>
      )}
    </Parts>
  );
}

function Heartbeat({ step: { heartbeatAt } }: { step: Step }) {
  const instant = useNow();
  if (!heartbeatAt) return <span className="hint">Waiting for a worker.</span>;
  if (instant - Date.parse(heartbeatAt) < STALLED_AFTER) {
    return (
      <span className="hint">
        Running, last heartbeat <Age since={heartbeatAt} />
      </span>
    );
  }
  return (
    <span className="warn-text">
      Stalled? Last heartbeat <Age since={heartbeatAt} />. Another worker takes over automatically.
    </span>
  );
}

/** Puts a separator between the parts that are there. */
function Parts({ children }: { children: ReactNode[] }) {
  return children.filter(Boolean).map((part, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts have no state
    <Fragment key={index}>
      {index > 0 && " · "}
      {part}
    </Fragment>
  ));
}

interface Count {
  /** Attempts that have begun. */
  made: number;
  /** Attempts that may fail. */
  most: number;
  /** Why the last one failed. */
  error: string | null;
}

/** The attempts of the step, or of its undo while that is under way. */
function countOf(step: Step): Count {
  if (step.status === "COMPENSATING") {
    return { made: step.compensationAttempts, most: step.maxCompensationAttempts, error: step.compensationError };
  }
  return { made: step.attempts, most: step.maxAttempts, error: step.error };
}

/** "3 of 5". Workers that were lost may have used up more attempts than may fail. */
function ordinalText(step: Step, number: number): string {
  return `${number} of ${Math.max(countOf(step).most, number)}`;
}
