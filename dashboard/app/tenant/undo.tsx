/** The undo: the steps in reverse order, as they are compensated. */

import { Time } from "../ui/time";
import { Attempt } from "./attempt";
import { hasSettled, isUndo, type Run, type Step, undoOf } from "./run";
import { Glyph } from "./timeline";

const WORDS: Partial<Record<Step["status"], string>> = {
  COMPENSATED: "undone, confirmed absent",
  COMPENSATION_FAILED: "no attempts left",
  ABANDONED: "skipped, resources left in place",
  RUNNING: "stopping first",
};

export function Undo({ run }: { run: Run }) {
  if (!isUndo(run)) return null;
  const steps = undoOf(run);
  return (
    <section className="card" aria-labelledby="undo">
      <h2 id="undo">{run.kind === "DECOMMISSION" ? "Released in reverse" : "Undone in reverse"}</h2>
      {steps.length === 0 && (
        <p className="hint">{hasSettled(run) ? "There was nothing to undo." : "About to start."}</p>
      )}
      <ol className="steps" aria-live="polite">
        {steps.map((step) => (
          <Line key={step.name} step={step} heldNothing={!run.resources.some((one) => one.step === step.name)} />
        ))}
      </ol>
    </section>
  );
}

interface LineProps {
  step: Step;
  /** Whether the step took no resource, so that nothing of it could be left. */
  heldNothing: boolean;
}

function Line({ step, heldNothing }: LineProps) {
  const { status, title, name, compensationError, compensationAttempts, compensatedAt } = step;
  return (
    <li className={`step ${status.toLowerCase()}`} data-undo={name}>
      <Glyph status={status} />
      <span className="title">{title}</span>
      <span className="length">{compensatedAt && <Time at={compensatedAt} short />}</span>
      <span className="more">
        {status === "COMPENSATING" ? (
          <>
            being undone · <Attempt step={step} />
          </>
        ) : (
          <>
            {status === "COMPENSATED" && heldNothing ? "held nothing" : (WORDS[status] ?? "waiting to be undone")}
            {compensationAttempts > 1 && ` · ${compensationAttempts} attempts`}
            {compensationError && <span className="error"> {compensationError}</span>}
          </>
        )}
      </span>
    </li>
  );
}
