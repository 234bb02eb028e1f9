/** A quiet step and a stalled one look alike in every other system: here one breathes, and the other says since when not. */

import { Age, Until, useNow } from "../ui/time";
import type { Step } from "./run";

/** Milliseconds: a worker that lives signs every 5 s, and one that is silent for the lease's 15 s loses the step to another. */
const SILENT_AFTER = 20_000;

export function SignOfLife({ step: { heartbeatAt, nextAttemptAt } }: { step: Step }) {
  const instant = useNow();
  if (!heartbeatAt) {
    return <span className="hint">{nextAttemptAt ? <NextAttempt at={nextAttemptAt} /> : "Waiting for a worker."}</span>;
  }
  if (instant - Date.parse(heartbeatAt) < SILENT_AFTER) {
    return (
      <span className="hint">
        At work, last sign of life <Age since={heartbeatAt} />.
      </span>
    );
  }
  return (
    <span className="warn-text">
      Stalled? Last sign of life <Age since={heartbeatAt} />. Another worker takes over by itself.
    </span>
  );
}

function NextAttempt({ at }: { at: string }) {
  return (
    <>
      Next attempt <Until at={at} />.
    </>
  );
}
