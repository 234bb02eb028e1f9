/** The filters and the page of the audit feed. They are in the URL, so that a view can be bookmarked, shared and revisited. */

import { useMemo } from "react";
import { useSearchParams } from "react-router";
import type { AuditEventFilter } from "../__generated__/graphql";

const PAGE_SIZE = 50;

/** By their names in the URL. Tenant, run and actor are global ids; times are UTC. */
export interface Conditions {
  type: string;
  tenant: string;
  run: string;
  actor: string;
  from: string;
  until: string;
}

/** These change with every key press, which must not fill the browser's history. */
const TYPED = new Set<keyof Conditions>(["from", "until"]);

export interface UrlFilters extends Parsed {
  /** Change one condition, and return to the newest entries. */
  set: (name: keyof Conditions, value: string) => void;
  clear: () => void;
  /** Go to the page after or before a cursor. */
  turn: (direction: "after" | "before", cursor: string) => void;
  toNewest: () => void;
}

interface Parsed {
  conditions: Conditions;
  filter: AuditEventFilter;
  window: { first?: number; after?: string; last?: number; before?: string };
  filtered: boolean;
  /** Whether new entries belong on this page. */
  atNewest: boolean;
}

export function useUrlFilters(): UrlFilters {
  const [params, setParams] = useSearchParams();
  const query = params.toString();
  const parsed = useMemo(() => parse(new URLSearchParams(query)), [query]);
  return {
    ...parsed,
    set: (name, value) => setParams((old) => changed(old, name, value), { replace: TYPED.has(name) }),
    clear: () => setParams({}),
    turn: (direction, cursor) => setParams((old) => changed(old, direction, cursor)),
    toNewest: () => setParams((old) => changed(old, "after", "")),
  };
}

function parse(params: URLSearchParams): Parsed {
  const of = (name: string) => params.get(name) ?? "";
  const conditions: Conditions = {
    type: of("type"),
    tenant: of("tenant"),
    run: of("run"),
    actor: of("actor"),
    from: of("from"),
    until: of("until"),
  };
  const [after, before] = [of("after"), of("before")];
  return {
    conditions,
    filter: filterOf(conditions),
    window: before ? { last: PAGE_SIZE, before } : { first: PAGE_SIZE, ...(after && { after }) },
    filtered: Object.values(conditions).some(Boolean),
    atNewest: !after && !before && !conditions.until,
  };
}

function filterOf({ type, tenant, run, actor, from, until }: Conditions): AuditEventFilter {
  return {
    ...(type && { typeIn: [type] }),
    ...(tenant && { tenantId: tenant }),
    ...(run && { runId: run }),
    ...(actor && { actorId: actor }),
    ...(from && { occurredFrom: from }),
    ...(until && { occurredUntil: until }),
  };
}

/** A cursor is only valid for the conditions under which the server returned it. */
function changed(old: URLSearchParams, name: string, value: string): URLSearchParams {
  const next = new URLSearchParams(old);
  next.delete("after");
  next.delete("before");
  if (value) next.set(name, value);
  else next.delete(name);
  return next;
}
