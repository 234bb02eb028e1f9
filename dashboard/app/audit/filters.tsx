/** The filters of the feed, as a row above it. */

import { Choice } from "../ui/field";
import { Chips } from "./chips";
import { DateTimeField } from "./date-time-field";
import type { UrlFilters } from "./url-filters";

/** Families first, then the most used types. The server has more types; the URL accepts any of them. */
const TYPES = [
  { value: "", label: "All" },
  { value: "tenant.*", label: "Tenants: all events" },
  { value: "tenant.provisioning.*", label: "Provisioning" },
  { value: "tenant.deprovisioning.*", label: "Decommissioning" },
  { value: "org.*", label: "Organisation: people, service accounts, exports" },
  { value: "access.*", label: "Access: refusals, support access" },
  { value: "tenant.provisioning.cancelled", label: "Provisioning cancelled" },
  { value: "tenant.provisioning.failed", label: "Provisioning failed" },
  { value: "tenant.provisioning.stuck", label: "Undo stuck" },
  { value: "access.denied", label: "Access denied" },
];

export function Filters({ filters }: { filters: UrlFilters }) {
  const { type, from, until } = filters.conditions;
  return (
    <search>
      <div className="toolbar">
        <Choice label="Type" value={type} options={typesWith(type)} onChange={(value) => filters.set("type", value)} />
        <DateTimeField label="From" value={from} onChange={(value) => filters.set("from", value)} />
        <DateTimeField label="Until" value={until} onChange={(value) => filters.set("until", value)} />
      </div>
      <Chips filters={filters} />
    </search>
  );
}

function typesWith(type: string) {
  return TYPES.some((one) => one.value === type) ? TYPES : [...TYPES, { value: type, label: type }];
}
