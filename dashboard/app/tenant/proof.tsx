/** What the outside itself answered after an undo: the proof that nothing is held. */

import { Time, Until } from "../ui/time";
import type { Run } from "./run";

export function Proof({ run: { absenceChecks, nextAbsenceCheckAt: next } }: { run: Run }) {
  if (absenceChecks.length === 0 && !next) return null;
  return (
    <section className="card" aria-labelledby="proof">
      <h2 id="proof">Asked again outside</h2>
      <ul className="names">
        {absenceChecks.map(({ askedAt, found }) => (
          <li key={askedAt}>
            <Time at={askedAt} />:{" "}
            {found.length === 0 ? "nothing is there" : `${found.join(", ")} came late, and was removed`}
          </li>
        ))}
      </ul>
      {next && (
        <p className="hint">
          Next look <Until at={next} />.
        </p>
      )}
    </section>
  );
}
