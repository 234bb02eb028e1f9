/** The undo, as it runs backward: last done, first released. */

import { Time } from "../ui/time";
import { goesBack, hasSettled, type Run, type Step, undoOf } from "./run";
import { SignOfLife } from "./sign-of-life";
import { Glyph } from "./timeline";

const WORDS: Partial<Record<Step["status"], string>> = {
  COMPENSATING: "being undone",
  COMPENSATED: "undone, confirmed absent",
  COMPENSATION_FAILED: "out of attempts",
  ABANDONED: "left as it is, by decision",
  RUNNING: "stopping first",
};

export function Undo({ run }: { run: Run }) {
  if (!goesBack(run)) return null;
  const steps = undoOf(run);
  return (
    <section className="card" aria-labelledby="undo">
      <h2 id="undo">{run.kind === "DECOMMISSION" ? "Released in reverse" : "Undone in reverse"}</h2>
      {steps.length === 0 && (
        <p className="hint">{hasSettled(run) ? "There was nothing to undo." : "About to begin."}</p>
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
        {WORDS[status] ?? "still to be undone"}
        {compensationAttempts > 1 && ` · attempt ${compensationAttempts}`}
        {status === "COMPENSATING" && (
          <>
            {" · "}
            <SignOfLife step={step} />
          </>
        )}
        {error && status !== "COMPENSATED" && <span className="wrong"> {error}</span>}
      </span>
    </li>
  );
}
