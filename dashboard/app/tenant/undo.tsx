/** The undo: the steps in reverse order, as they are compensated. */

import { Time } from "../ui/time";
import { hasSettled, isUndo, type Run, type Step, undoOf } from "./run";
import { StepHeartbeat } from "./step-heartbeat";
import { Glyph } from "./timeline";

const WORDS: Partial<Record<Step["status"], string>> = {
  COMPENSATING: "being undone",
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
          <Line key={step.name} step={step} />
        ))}
      </ol>
    </section>
  );
}

function Line({ step }: { step: Step }) {
  const { status, title, name, error, compensationAttempts, compensatedAt } = step;
  return (
    <li className={`step ${status.toLowerCase()}`} data-undo={name}>
      <Glyph status={status} />
      <span className="title">{title}</span>
      <span className="length">{compensatedAt && <Time at={compensatedAt} short />}</span>
      <span className="more">
        {WORDS[status] ?? "waiting to be undone"}
        {compensationAttempts > 1 && ` · attempt ${compensationAttempts}`}
        {status === "COMPENSATING" && (
          <>
            {" · "}
            <StepHeartbeat step={step} />
          </>
        )}
        {error && status !== "COMPENSATED" && <span className="error"> {error}</span>}
      </span>
    </li>
  );
}
