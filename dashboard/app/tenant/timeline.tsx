/** The provisioning timeline: all steps are listed from the start and keep their place while they are filled in. */

import { RunBadge } from "../ui/badge";
import { Spent } from "../ui/time";
import { Attempt } from "./attempt";
import type { Run, Step } from "./run";

const GLYPHS: Record<Step["status"], [glyph: string, words: string]> = {
  WAITING: ["○", "not started"],
  RUNNING: ["◌", "running"],
  DONE: ["✓", "done"],
  FAILED: ["✗", "failed"],
  INTERRUPTED: ["⊘", "interrupted"],
  COMPENSATING: ["↶", "being undone"],
  COMPENSATED: ["↶", "undone"],
  COMPENSATION_FAILED: ["✗", "could not be undone"],
  ABANDONED: ["⚑", "left in place"],
};

export function Timeline({ run }: { run: Run }) {
  return (
    <section className="card" aria-labelledby="timeline">
      <h2 id="timeline">{run.kind === "DECOMMISSION" ? "Decommissioning" : "Provisioning timeline"}</h2>
      <p className="row">
        <span>Run {run.number}</span>
        <span role="status">
          <RunBadge status={run.status} kind={run.kind} />
        </span>
        {run.startedAt && (
          <span className="hint">
            <Spent from={run.startedAt} to={run.finishedAt} />
          </span>
        )}
        <span className="hint">started by {run.startedBy.displayName}</span>
      </p>
      <ol className="steps">
        {run.steps.map((step) => (
          <Line key={step.name} step={step} />
        ))}
      </ol>
    </section>
  );
}

function Line({ step }: { step: Step }) {
  return (
    <li className={`step ${step.status.toLowerCase()}`} data-step={step.name}>
      <Glyph status={step.status} />
      <span className="title">{step.title}</span>
      <span className="length">{step.startedAt && <Spent from={step.startedAt} to={step.finishedAt} />}</span>
      <span className="more">
        <More step={step} />
      </span>
    </li>
  );
}

export function Glyph({ status }: { status: Step["status"] }) {
  const [glyph, words] = GLYPHS[status] ?? ["?", status];
  return (
    <span className="glyph" role="img" aria-label={words}>
      {glyph}
    </span>
  );
}

/** One line about the step: its progress while it runs, its error after it failed. The line takes its space in any case. */
function More({ step }: { step: Step }) {
  const { status, attempts, percent, error } = step;
  if (status === "RUNNING") {
    return (
      <>
        {percent !== null && <progress max={100} value={percent ?? 0} aria-label={`Progress of ${step.title}`} />}
        <Attempt step={step} />
      </>
    );
  }
  return (
    <>
      {attempts > 1 && <span>{attempts} attempts </span>}
      {/* A step keeps the error of its last attempt when it is undone. */}
      {error && <span className="error">{error}</span>}
    </>
  );
}
