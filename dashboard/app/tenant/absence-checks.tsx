/** The results of the absence checks: what was found outside after an undo. */

import { Time, Until } from "../ui/time";
import type { Run } from "./run";

export function AbsenceChecks({ run: { absenceChecks, nextAbsenceCheckAt: next } }: { run: Run }) {
  if (absenceChecks.length === 0 && !next) return null;
  return (
    <section className="card" aria-labelledby="absence-checks">
      <h2 id="absence-checks">Verified outside</h2>
      <ul className="names">
        {absenceChecks.map((check) => (
          <li key={check.askedAt}>
            <Time at={check.askedAt} />: {resultText(check)}
          </li>
        ))}
      </ul>
      {next && (
        <p className="hint">
          Next check <Until at={next} />.
        </p>
      )}
    </section>
  );
}

function resultText({ found, foundAbandoned }: Run["absenceChecks"][number]): string {
  const late = found.length > 0 ? [`${found.join(", ")} appeared late and was removed`] : [];
  const left =
    foundAbandoned.length > 0 ? [`${foundAbandoned.join(", ")} still there: left in place by an operator`] : [];
  return [...late, ...left].join("; ") || "nothing found";
}
