/** The entries as a table, newest first, each with details to unfold. */

import { Link } from "react-router";
import type { ActorKind, AuditRowFragment } from "../__generated__/graphql";
import { Button } from "../ui/button";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";
import { EventDetails } from "./event-details";
import type { UrlFilters } from "./url-filters";

/** The kind of an actor that is not a member of the organisation. */
const KINDS: Partial<Record<ActorKind, string>> = {
  INTEGRATION: "service account",
  SUPPORT: "support",
  SYSTEM: "platform",
};

export function EventsTable({ events, filters }: { events: readonly AuditRowFragment[]; filters: UrlFilters }) {
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
            <th scope="col">Details</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <Row key={event.id} event={event} filters={filters} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Row({ event, filters }: { event: AuditRowFragment; filters: UrlFilters }) {
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
            Details<span className="visually-hidden"> of {type}</span>
          </summary>
          <EventDetails data={event.data} />
          {event.requestId && (
            <p className="hint">
              Request ID <code>{event.requestId}</code>
            </p>
          )}
          <FilterButtons event={event} filters={filters} />
        </details>
      </td>
    </tr>
  );
}

/** Filters the feed by what one entry is about. */
function FilterButtons({ event: { actor, tenant, run }, filters }: { event: AuditRowFragment; filters: UrlFilters }) {
  return (
    <div className="row">
      <Button onPress={() => filters.set("actor", actor.id)}>Only this actor</Button>
      {tenant && <Button onPress={() => filters.set("tenant", tenant.id)}>Only this tenant</Button>}
      {run && <Button onPress={() => filters.set("run", run.id)}>Only this run</Button>}
    </div>
  );
}
