/** The history of the newest run, entry by entry. The numbers of entries are the tenant's, so they are not shown here. */

import { Link } from "react-router";
import type { EntryFragment } from "../__generated__/graphql";
import { Time } from "../ui/time";

interface Props {
  entries: readonly EntryFragment[];
  /** Whether these are all entries of the run. */
  complete: boolean;
  tenantId: string;
}

export function History({ entries, complete, tenantId }: Props) {
  return (
    <section className="card" aria-labelledby="history">
      <h2 id="history">History</h2>
      {!complete && <p className="hint">Only the newest 60 entries; the audit feed has all of them.</p>}
      <ol className="history">
        {entries.map((entry) => (
          <li key={entry.id} data-sequence={entry.sequence} data-kind={entry.kind}>
            <Time at={entry.occurredAt} short />
            <span>{entry.message}</span>
          </li>
        ))}
      </ol>
      <Link to={`/audit?tenant=${encodeURIComponent(tenantId)}`}>The tenant’s audit feed</Link>
    </section>
  );
}
