/** The ledger: every resource that is held or may be held outside. It is shown empty, too. */

import type { ResourceLineFragment } from "../__generated__/graphql";
import { ResourceBadge } from "../ui/badge";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";
import { hasSettled, type Run } from "./run";
import type { Tenant } from "./tenant";

export function HeldResources({ tenant, run }: { tenant: Tenant; run: Run | undefined }) {
  const held = tenant.heldResources;
  const released = run?.resources.filter((resource) => resource.status === "RELEASED") ?? [];
  return (
    <section className="card" aria-labelledby="held">
      <h2 id="held">Held resources</h2>
      {held.length === 0 ? (
        <p className="nothing-held" role="status">
          Nothing is held.
        </p>
      ) : (
        <Resources resources={held} caption="Held now" />
      )}
      {released.length > 0 && run && (
        <details open={!hasSettled(run)}>
          <summary>{released.length} released by this run</summary>
          <Resources resources={released} caption="Released" />
        </details>
      )}
    </section>
  );
}

export function Resources({ resources, caption }: { resources: readonly ResourceLineFragment[]; caption: string }) {
  return (
    <Scroll label={caption}>
      <table className="ledger">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col">Name</th>
            <th scope="col">Status</th>
            <th scope="col">Since</th>
          </tr>
        </thead>
        <tbody>
          {resources.map(({ kind, name, status, heldAt, releasedAt }) => (
            <tr key={`${kind} ${name}`}>
              <td>{kind.replaceAll("_", " ")}</td>
              <td>
                <code>{name}</code>
              </td>
              <td>
                <ResourceBadge status={status} />
              </td>
              <td>{(releasedAt ?? heldAt) && <Time at={(releasedAt ?? heldAt) as string} short />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
