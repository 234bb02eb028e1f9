/** Conditions on the feed, as a row above it. */

import { Choice } from "../ui/field";
import { Chips } from "./chips";
import { Moment } from "./moment";
import type { Wish } from "./wish";

/** Families first, then those that somebody looks for most. The server knows more; the address takes any. */
const TYPES = [
  { value: "", label: "All" },
  { value: "tenant.*", label: "Tenants, all of it" },
  { value: "tenant.provisioning.*", label: "Provisioning" },
  { value: "tenant.deprovisioning.*", label: "Decommissioning" },
  { value: "org.*", label: "Organisation: people, service accounts, exports" },
  { value: "access.*", label: "Access: refusals, looks of support" },
  { value: "tenant.provisioning.cancelled", label: "Provisioning cancelled" },
  { value: "tenant.provisioning.failed", label: "Provisioning failed" },
  { value: "tenant.provisioning.stuck", label: "Undo stuck" },
  { value: "access.denied", label: "Access denied" },
];

export function Filters({ wish }: { wish: Wish }) {
  const { type, from, until } = wish.conditions;
  return (
    <search>
      <div className="toolbar">
        <Choice label="Type" value={type} options={typesWith(type)} onChange={(value) => wish.set("type", value)} />
        <Moment label="From" value={from} onChange={(value) => wish.set("from", value)} />
        <Moment label="Until" value={until} onChange={(value) => wish.set("until", value)} />
      </div>
      <Chips wish={wish} />
    </search>
  );
}

function typesWith(type: string) {
  return TYPES.some((one) => one.value === type) ? TYPES : [...TYPES, { value: type, label: type }];
}
