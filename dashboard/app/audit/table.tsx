/** The entries, newest first, each with its facts to unfold. */

import { Link } from "react-router";
import type { ActorKind, AuditRowFragment } from "../__generated__/graphql";
import { Button } from "../ui/button";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";
import { Facts } from "./facts";
import type { Wish } from "./wish";

/** What an actor is, where it is no person of the organisation. */
const KINDS: Partial<Record<ActorKind, string>> = {
  INTEGRATION: "service account",
  SUPPORT: "support",
  SYSTEM: "the platform",
};

export function EventsTable({ events, wish }: { events: readonly AuditRowFragment[]; wish: Wish }) {
  return (
    <Scroll label="Entries">
      <table>
        <caption className="visually-hidden">Entries of the audit feed, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Type</th>
            <th scope="col">Actor</th>
            <th scope="col">Tenant</th>
            <th scope="col">Run</th>
            <th scope="col">Facts</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <Row key={event.id} event={event} wish={wish} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Row({ event, wish }: { event: AuditRowFragment; wish: Wish }) {
  const { type, occurredAt, actor, tenant, run } = event;
  return (
    <tr>
      <td>
        <Time at={occurredAt} />
      </td>
      <th scope="row">
        <code>{type}</code>
      </th>
      <td>
        {actor.displayName} {KINDS[actor.kind] && <span className="hint">{KINDS[actor.kind]}</span>}
      </td>
      <td>{tenant && <Link to={`/tenants/${tenant.databaseId}`}>{tenant.slug}</Link>}</td>
      <td>{run?.number}</td>
      <td>
        <details>
          <summary>
            Facts<span className="visually-hidden"> of {type}</span>
          </summary>
          <Facts facts={event.data} />
          {event.requestId && (
            <p className="hint">
              Request <code>{event.requestId}</code>
            </p>
          )}
          <Narrower event={event} wish={wish} />
        </details>
      </td>
    </tr>
  );
}

/** From one entry to all that are like it. */
function Narrower({ event: { actor, tenant, run }, wish }: { event: AuditRowFragment; wish: Wish }) {
  return (
    <div className="row">
      <Button onPress={() => wish.set("actor", actor.id)}>Only this actor</Button>
      {tenant && <Button onPress={() => wish.set("tenant", tenant.id)}>Only this tenant</Button>}
      {run && <Button onPress={() => wish.set("run", run.id)}>Only this run</Button>}
    </div>
  );
}
