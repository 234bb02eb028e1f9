/** The tenant, run and actor that the feed is limited to, by name, each to be taken away. */

import { useQuery } from "urql";
import { AuditActorNameDocument, AuditRunNameDocument, AuditTenantNameDocument } from "../__generated__/graphql";
import { Button } from "../ui/button";
import type { Wish } from "./wish";

const WAITING = "…";
const UNSEEN = "that you cannot see";

interface NamedProps {
  id: string;
  onRemove: () => void;
}

export function Chips({ wish }: { wish: Wish }) {
  const { tenant, run, actor } = wish.conditions;
  if (!tenant && !run && !actor) return null;
  return (
    <ul className="chips" aria-label="Limited to">
      {tenant && <TenantChip id={tenant} onRemove={() => wish.set("tenant", "")} />}
      {run && <RunChip id={run} onRemove={() => wish.set("run", "")} />}
      {actor && <ActorChip id={actor} onRemove={() => wish.set("actor", "")} />}
    </ul>
  );
}

function TenantChip({ id, onRemove }: NamedProps) {
  const [{ data, fetching }] = useQuery({ query: AuditTenantNameDocument, variables: { id } });
  return <Chip what="Tenant" name={data?.tenant?.slug ?? (fetching ? WAITING : UNSEEN)} onRemove={onRemove} />;
}

function RunChip({ id, onRemove }: NamedProps) {
  const [{ data, fetching }] = useQuery({ query: AuditRunNameDocument, variables: { id } });
  const number = data?.node && "number" in data.node ? String(data.node.number) : undefined;
  return <Chip what="Run" name={number ?? (fetching ? WAITING : UNSEEN)} onRemove={onRemove} />;
}

function ActorChip({ id, onRemove }: NamedProps) {
  const [{ data, fetching }] = useQuery({ query: AuditActorNameDocument, variables: { id } });
  const name = data?.node && "displayName" in data.node ? data.node.displayName : undefined;
  return <Chip what="Actor" name={name ?? (fetching ? WAITING : UNSEEN)} onRemove={onRemove} />;
}

function Chip({ what, name, onRemove }: { what: string; name: string; onRemove: () => void }) {
  return (
    <li className="chip">
      <span>
        {what} <strong>{name}</strong>
      </span>
      <Button weight="quiet" onPress={onRemove}>
        Remove <span className="visually-hidden">{`the filter on ${what.toLowerCase()} ${name}`}</span>
      </Button>
    </li>
  );
}
