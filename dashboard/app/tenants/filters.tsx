/** The filters and the order of the list, as a row above it. */

import { useQuery } from "urql";
import { ProvisioningOptionsDocument } from "../__generated__/graphql";
import { Choice, Field, optionsOf } from "../ui/field";
import { ORDERS, STATES, type UrlFilters } from "./url-filters";

export function Filters({ filters }: { filters: UrlFilters }) {
  const [{ data }] = useQuery({ query: ProvisioningOptionsDocument });
  return (
    <search className="toolbar">
      <Choice
        label="State"
        value={filters.state}
        onChange={(value) => filters.set("state", value)}
        options={withAny(STATES)}
      />
      <Choice
        label="Plan"
        value={filters.plan}
        onChange={(value) => filters.set("plan", value)}
        options={withAny(data?.provisioningOptions.plans ?? (filters.plan ? [filters.plan] : []))}
      />
      <Field label="Slug begins with" value={filters.slug} onChange={(value) => filters.set("slug", value)} />
      <Choice
        label="Left behind"
        value={filters.left}
        onChange={(value) => filters.set("left", value)}
        options={LEFT_BEHIND}
      />
      <Choice
        label="Order"
        value={filters.order || "newest"}
        onChange={(value) => filters.set("order", value === "newest" ? "" : value)}
        options={Object.entries(ORDERS).map(([value, { label }]) => ({ value, label }))}
      />
    </search>
  );
}

/** Resources that an operator left in place and that may still exist. */
const LEFT_BEHIND = [
  { value: "", label: "Any" },
  { value: "yes", label: "Something" },
  { value: "no", label: "Nothing" },
];

function withAny(values: readonly string[]) {
  return [{ value: "", label: "Any" }, ...optionsOf(values)];
}
