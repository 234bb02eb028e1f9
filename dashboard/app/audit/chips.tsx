/** The filters on tenant, run and actor as chips, by name, each with a button to remove it. */

import { useQuery } from "urql";
import { AuditActorNameDocument, AuditRunNameDocument, AuditTenantNameDocument } from "../__generated__/graphql";
import { Button } from "../ui/button";
import type { UrlFilters } from "./url-filters";

const LOADING = "…";
const NOT_VISIBLE = "(not visible to you)";

interface ChipProps {
  id: string;
  onRemove: () => void;
}

export function Chips({ filters }: { filters: UrlFilters }) {
  const { tenant, run, actor } = filters.conditions;
  if (!tenant && !run && !actor) return null;
  return (
    <ul className="chips" aria-label="Active filters">
      {tenant && <TenantChip id={tenant} onRemove={() => filters.set("tenant", "")} />}
      {run && <RunChip id={run} onRemove={() => filters.set("run", "")} />}
      {actor && <ActorChip id={actor} onRemove={() => filters.set("actor", "")} />}
    </ul>
  );
}

function TenantChip({ id, onRemove }: ChipProps) {
  const [{ data, fetching }] = useQuery({ query: AuditTenantNameDocument, variables: { id } });
  return <Chip what="Tenant" name={data?.tenant?.slug ?? (fetching ? LOADING : NOT_VISIBLE)} onRemove={onRemove} />;
}

function RunChip({ id, onRemove }: ChipProps) {
  const [{ data, fetching }] = useQuery({ query: AuditRunNameDocument, variables: { id } });
  const number = data?.node && "number" in data.node ? String(data.node.number) : undefined;
  return <Chip what="Run" name={number ?? (fetching ? LOADING : NOT_VISIBLE)} onRemove={onRemove} />;
}

function ActorChip({ id, onRemove }: ChipProps) {
  const [{ data, fetching }] = useQuery({ query: AuditActorNameDocument, variables: { id } });
  const name = data?.node && "displayName" in data.node ? data.node.displayName : undefined;
  return <Chip what="Actor" name={name ?? (fetching ? LOADING : NOT_VISIBLE)} onRemove={onRemove} />;
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
