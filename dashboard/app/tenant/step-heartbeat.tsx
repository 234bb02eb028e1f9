/** Whether a running step is alive: the age of its worker's last heartbeat, or when the next attempt is due. */

import { Age, Until, useNow } from "../ui/time";
import type { Step } from "./run";

/** Milliseconds. A worker renews its heartbeat every 5 s, and loses the step to another after the lease's 15 s without one. */
const STALLED_AFTER = 20_000;

export function StepHeartbeat({ step: { heartbeatAt, nextAttemptAt } }: { step: Step }) {
  const instant = useNow();
  if (!heartbeatAt) {
    return <span className="hint">{nextAttemptAt ? <NextAttempt at={nextAttemptAt} /> : "Waiting for a worker."}</span>;
  }
  if (instant - Date.parse(heartbeatAt) < STALLED_AFTER) {
    return (
      <span className="hint">
        Running, last heartbeat <Age since={heartbeatAt} />.
      </span>
    );
  }
  return (
    <span className="warn-text">
      Stalled? Last heartbeat <Age since={heartbeatAt} />. Another worker takes over automatically.
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
