/** Conditions on the list, as a row above it. */

import { useQuery } from "urql";
import { OffersDocument } from "../__generated__/graphql";
import { Choice, Field, plainly } from "../ui/field";
import { ORDERS, STATES, type Wish } from "./wish";

export function Filters({ wish }: { wish: Wish }) {
  const [{ data }] = useQuery({ query: OffersDocument });
  return (
    <search className="toolbar">
      <Choice label="State" value={wish.state} onChange={(value) => wish.set("state", value)} options={orAny(STATES)} />
      <Choice
        label="Plan"
        value={wish.plan}
        onChange={(value) => wish.set("plan", value)}
        options={orAny(data?.provisioningOptions.plans ?? (wish.plan ? [wish.plan] : []))}
      />
      <Field label="Slug begins with" value={wish.slug} onChange={(value) => wish.set("slug", value)} />
      <Choice
        label="Order"
        value={wish.order || "newest"}
        onChange={(value) => wish.set("order", value === "newest" ? "" : value)}
        options={Object.entries(ORDERS).map(([value, { label }]) => ({ value, label }))}
      />
    </search>
  );
}

function orAny(values: readonly string[]) {
  return [{ value: "", label: "Any" }, ...plainly(values)];
}
