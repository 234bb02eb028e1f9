/** The results of the absence checks: what was found outside after an undo. */

import { Time, Until } from "../ui/time";
import type { Run } from "./run";

export function AbsenceChecks({ run: { absenceChecks, nextAbsenceCheckAt: next } }: { run: Run }) {
  if (absenceChecks.length === 0 && !next) return null;
  return (
    <section className="card" aria-labelledby="absence-checks">
      <h2 id="absence-checks">Verified outside</h2>
      <ul className="names">
        {absenceChecks.map(({ askedAt, found }) => (
          <li key={askedAt}>
            <Time at={askedAt} />:{" "}
            {found.length === 0 ? "nothing found" : `${found.join(", ")} appeared late and was removed`}
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
