/** Runs side by side, to compare them step by step. */

import { RunBadge } from "../ui/badge";
import { Scroll } from "../ui/scroll";
import { Spent, Time } from "../ui/time";
import type { Run } from "./run";
import { Glyph } from "./timeline";

interface Props {
  runs: readonly Run[];
  /** Whether these are all runs of the tenant. */
  complete: boolean;
}

export function Runs({ runs, complete }: Props) {
  const titles = new Map(runs.flatMap((run) => run.steps.map((step) => [step.name, step.title] as const)));
  return (
    <section className="card" aria-labelledby="runs">
      <h2 id="runs">Runs side by side</h2>
      {!complete && <p className="hint">Only the newest four runs; the audit feed has all of them.</p>}
      <Scroll label="Runs, compared step by step">
        <table>
          <thead>
            <tr>
              <th scope="col">Step</th>
              {runs.map((run) => (
                <th scope="col" key={run.id}>
                  Run {run.number} <RunBadge status={run.status} kind={run.kind} />
                  {run.startedAt && (
                    <span className="hint">
                      {" "}
                      <Time at={run.startedAt} />
                    </span>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {[...titles].map(([name, title]) => (
              <tr key={name}>
                <th scope="row">{title}</th>
                {runs.map((run) => (
                  <td key={run.id}>
                    <Cell run={run} name={name} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

function Cell({ run, name }: { run: Run; name: string }) {
  const step = run.steps.find((one) => one.name === name);
  if (!step) return <span className="hint">not part of this run</span>;
  return (
    <>
      <Glyph status={step.status} />{" "}
      {step.startedAt && step.finishedAt && <Spent from={step.startedAt} to={step.finishedAt} />}
      {step.attempts > 1 && <span className="hint"> {step.attempts} attempts</span>}
      {step.error && <span className="error"> {step.error}</span>}
    </>
  );
}
