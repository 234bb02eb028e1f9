/** Which part of the feed somebody wants to see. It lives in the address, to be kept, sent and gone back to. */

import { useMemo } from "react";
import { useSearchParams } from "react-router";
import type { AuditEventFilter } from "../__generated__/graphql";

const PAGE = 50;

/** By their names in the address. Tenant, run and actor are global ids; times are UTC. */
export interface Conditions {
  type: string;
  tenant: string;
  run: string;
  actor: string;
  from: string;
  until: string;
}

/** Times change with every key that is pressed; that is no history to go back through. */
const TYPED = new Set<keyof Conditions>(["from", "until"]);

export interface Wish extends Read {
  /** Change one condition; the feed begins at its newest entry again. */
  set: (name: keyof Conditions, value: string) => void;
  clear: () => void;
  /** Go to the page after or before a cursor, or to the newest entries. */
  turn: (direction: "after" | "before", cursor: string) => void;
  toNewest: () => void;
}

interface Read {
  conditions: Conditions;
  filter: AuditEventFilter;
  window: { first?: number; after?: string; last?: number; before?: string };
  filtered: boolean;
  /** Whether this is where new entries come in. */
  atNewest: boolean;
}

export function useWish(): Wish {
  const [address, setAddress] = useSearchParams();
  const written = address.toString();
  const read = useMemo(() => readFrom(new URLSearchParams(written)), [written]);
  return {
    ...read,
    set: (name, value) => setAddress((was) => changed(was, name, value), { replace: TYPED.has(name) }),
    clear: () => setAddress({}),
    turn: (direction, cursor) => setAddress((was) => changed(was, direction, cursor)),
    toNewest: () => setAddress((was) => changed(was, "after", "")),
  };
}

function readFrom(address: URLSearchParams): Read {
  const of = (name: string) => address.get(name) ?? "";
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
    window: before ? { last: PAGE, before } : { first: PAGE, ...(after && { after }) },
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

/** A cursor belongs to the conditions under which it was given. */
function changed(was: URLSearchParams, name: string, value: string): URLSearchParams {
  const now = new URLSearchParams(was);
  now.delete("after");
  now.delete("before");
  if (value) now.set(name, value);
  else now.delete(name);
  return now;
}
