/** The filters, the order and the page of the tenants' list. They are in the URL, so that a view can be bookmarked, shared and revisited. */

import { useMemo } from "react";
import { useSearchParams } from "react-router";
import type { TenantOrder, TenantState, TenantsQueryVariables } from "../__generated__/graphql";

const PAGE_SIZE = 25;

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

export interface UrlFilters {
  state: string;
  plan: string;
  slug: string;
  /** Whether resources were left behind: "yes", "no", or empty for both. */
  left: string;
  order: string;
  filtered: boolean;
  /** Whether this is another page than the first. */
  turned: boolean;
  variables: Omit<TenantsQueryVariables, "follow">;
  /** Change one condition, and return to the first page. */
  set: (name: "state" | "plan" | "slug" | "left" | "order", value: string) => void;
  clear: () => void;
  /** Go to the page after or before a cursor. */
  turn: (direction: "after" | "before", cursor: string) => void;
}

export function useUrlFilters(): UrlFilters {
  const [params, setParams] = useSearchParams();
  const of = (name: string) => params.get(name) ?? "";
  const [state, plan, slug, left] = [of("state"), of("plan"), of("slug"), of("left")];
  const [order, after, before] = [of("order"), of("after"), of("before")];
  const variables = useMemo(
    () => ({ ...windowOf(after, before), filter: filterOf(state, plan, slug, left), orderBy: orderOf(order) }),
    [state, plan, slug, left, order, after, before],
  );

  return {
    state,
    plan,
    slug,
    left,
    order,
    variables,
    filtered: Boolean(state || plan || slug || left),
    turned: Boolean(after || before),
    set: (name, value) => setParams((old) => changed(old, name, value), { replace: name === "slug" }),
    clear: () => setParams({}),
    turn: (direction, cursor) => setParams((old) => changed(old, direction, cursor)),
  };
}

function changed(old: URLSearchParams, name: string, value: string): URLSearchParams {
  const next = new URLSearchParams(old);
  next.delete("after");
  next.delete("before");
  if (value) next.set(name, value);
  else next.delete(name);
  return next;
}

function windowOf(after: string, before: string) {
  return before ? { last: PAGE_SIZE, before } : { first: PAGE_SIZE, ...(after && { after }) };
}

function filterOf(state: string, plan: string, slug: string, left: string) {
  return {
    ...(state && { stateIn: [state as TenantState] }),
    ...(plan && { planIn: [plan] }),
    ...(slug && { slugPrefix: slug }),
    ...(left && { hasAbandonedResources: left === "yes" }),
  };
}

function orderOf(order: string): TenantOrder | null {
  return ORDERS[order]?.order ?? null;
}
