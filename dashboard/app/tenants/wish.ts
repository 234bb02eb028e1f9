/** What of the list somebody wants to see. It lives in the address, so that it can be kept, sent and gone back to. */

import { useMemo } from "react";
import { useSearchParams } from "react-router";
import type { TenantOrder, TenantState, TenantsQueryVariables } from "../__generated__/graphql";

const PAGE = 25;

export const STATES: readonly TenantState[] = [
  "PENDING",
  "PROVISIONING",
  "ACTIVE",
  "SUSPENDED",
  "FAILED",
  "DECOMMISSIONING",
  "DECOMMISSIONED",
];

export const ORDERS: Readonly<Record<string, { label: string; order: TenantOrder }>> = {
  newest: { label: "Newest first", order: { field: "CREATED_AT", direction: "DESC" } },
  changed: { label: "Last changed first", order: { field: "UPDATED_AT", direction: "DESC" } },
  slug: { label: "By slug", order: { field: "SLUG", direction: "ASC" } },
};

export interface Wish {
  state: string;
  plan: string;
  slug: string;
  order: string;
  filtered: boolean;
  /** Whether this is another page than the first. */
  turned: boolean;
  variables: Omit<TenantsQueryVariables, "follow">;
  /** Change one condition; the list begins at its first page again. */
  set: (name: "state" | "plan" | "slug" | "order", value: string) => void;
  clear: () => void;
  /** Go to the page after or before a cursor. */
  turn: (direction: "after" | "before", cursor: string) => void;
}

export function useWish(): Wish {
  const [address, setAddress] = useSearchParams();
  const of = (name: string) => address.get(name) ?? "";
  const [state, plan, slug, order, after, before] = ["state", "plan", "slug", "order", "after", "before"].map(of) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const variables = useMemo(
    () => ({ ...windowOf(after, before), filter: filterOf(state, plan, slug), orderBy: orderOf(order) }),
    [state, plan, slug, order, after, before],
  );

  return {
    state,
    plan,
    slug,
    order,
    variables,
    filtered: Boolean(state || plan || slug),
    turned: Boolean(after || before),
    set: (name, value) => setAddress((was) => changed(was, name, value), { replace: name === "slug" }),
    clear: () => setAddress({}),
    turn: (direction, cursor) => setAddress((was) => changed(was, direction, cursor)),
  };
}

function changed(was: URLSearchParams, name: string, value: string): URLSearchParams {
  const now = new URLSearchParams(was);
  now.delete("after");
  now.delete("before");
  if (value) now.set(name, value);
  else now.delete(name);
  return now;
}

function windowOf(after: string, before: string) {
  return before ? { last: PAGE, before } : { first: PAGE, ...(after && { after }) };
}

function filterOf(state: string, plan: string, slug: string) {
  return {
    ...(state && { stateIn: [state as TenantState] }),
    ...(plan && { planIn: [plan] }),
    ...(slug && { slugPrefix: slug }),
  };
}

function orderOf(order: string): TenantOrder | null {
  return ORDERS[order]?.order ?? null;
}
