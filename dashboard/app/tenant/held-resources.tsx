/** The ledger: every resource that is held or may be held outside. It is shown empty, too. */

import type { ResourceLineFragment } from "../__generated__/graphql";
import { ResourceBadge } from "../ui/badge";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";
import { hasSettled, type Run } from "./run";
import type { Tenant } from "./tenant";

export function HeldResources({ tenant, run }: { tenant: Tenant; run: Run | undefined }) {
  const { heldResources: held, abandonedResources: abandoned } = tenant;
  const released = run?.resources.filter((resource) => resource.status === "RELEASED") ?? [];
  return (
    <section className="card" aria-labelledby="held">
      <h2 id="held">Held resources</h2>
      {held.length === 0 && abandoned.length === 0 && (
        <p className="nothing-held" role="status">
          Nothing is held.
        </p>
      )}
      {held.length > 0 && <Resources resources={held} caption="Held now" />}
      {abandoned.length > 0 && <LeftBehind resources={abandoned} />}
      {released.length > 0 && run && (
        <details open={!hasSettled(run)}>
          <summary>{released.length} released by this run</summary>
          <Resources resources={released} caption="Released" />
        </details>
      )}
    </section>
  );
}

/** What an operator left in place. It is not held any more, but it may still exist, so the page never says that nothing is left. */
function LeftBehind({ resources }: { resources: readonly ResourceLineFragment[] }) {
  return (
    <div className="left-behind" role="status">
      <p className="notice bad">
        {resources.length === 1
          ? "One resource was left in place and may"
          : `${resources.length} resources were left in place and may`}{" "}
        still exist. Nothing removes them: an operator has to.
      </p>
      <ul className="names">
        {resources.map((resource) => (
          <li key={`${resource.kind} ${resource.name}`}>
            <Abandoned resource={resource} />
          </li>
        ))}
      </ul>
    </div>
  );
}

/** "workload w-1, left in place by Ada, 9:00: “the cluster is gone”". */
export function Abandoned({ resource }: { resource: ResourceLineFragment }) {
  const { kind, name, abandonedBy, abandonedAt, abandonedReason } = resource;
  return (
    <>
      {kind.replaceAll("_", " ")} <code>{name}</code>, left in place
      {abandonedBy && <> by {abandonedBy.displayName}</>}
      {abandonedAt && (
        <>
          , <Time at={abandonedAt} />
        </>
      )}
      {abandonedReason && <>: “{abandonedReason}”</>}
    </>
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
