/** The list as a table. Tenants with a provisioning that can be cancelled can be selected. */

import { Link } from "react-router";
import type { ListedTenantFragment, TenantRowFragment } from "../__generated__/graphql";
import { isShownBesideState, LeftBehindBadge, RunBadge, StateBadge } from "../ui/badge";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";

interface Props {
  rows: readonly ListedTenantFragment[];
  selected: ReadonlySet<string>;
  onSelect: (selected: ReadonlySet<string>) => void;
}

export function TenantsTable({ rows, selected, onSelect }: Props) {
  const selectable = rows.filter(isCancellable);
  return (
    <Scroll label="Tenants">
      <table>
        <caption className="visually-hidden">Tenants</caption>
        <thead>
          <tr>
            <th scope="col">
              {selectable.length > 0 && (
                <Checkbox
                  label="Select all that can be cancelled"
                  checked={selectable.every((row) => selected.has(row.id))}
                  onCheck={(checked) => onSelect(new Set(checked ? selectable.map((row) => row.id) : []))}
                />
              )}
              <span className="visually-hidden">Selected</span>
            </th>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">Plan</th>
            <th scope="col">Region</th>
            <th scope="col">Updated</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row
              key={row.id}
              row={row}
              checked={selected.has(row.id)}
              onCheck={(checked) => onSelect(toggle(selected, row.id, checked))}
            />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Row({
  row,
  checked,
  onCheck,
}: {
  row: ListedTenantFragment;
  checked: boolean;
  onCheck: (checked: boolean) => void;
}) {
  const run = row.currentRun;
  return (
    <tr>
      <td>{isCancellable(row) && <Checkbox label={`Select ${row.slug}`} checked={checked} onCheck={onCheck} />}</td>
      <th scope="row">
        <Link to={`/tenants/${row.databaseId}`}>{row.name}</Link>
        {row.name !== row.slug && <span className="hint"> {row.slug}</span>}
      </th>
      <td>
        <StateBadge state={row.state} /> {run && isShownBesideState(run.status) && <RunBadge status={run.status} />}{" "}
        <LeftBehindBadge count={row.abandonedResources.length} />
      </td>
      <td>{row.plan}</td>
      <td>{row.region}</td>
      <td>
        <Time at={row.updatedAt} />
      </td>
    </tr>
  );
}

function Checkbox({
  label,
  checked,
  onCheck,
}: {
  label: string;
  checked: boolean;
  onCheck: (checked: boolean) => void;
}) {
  return (
    <input type="checkbox" aria-label={label} checked={checked} onChange={(event) => onCheck(event.target.checked)} />
  );
}

function isCancellable(row: TenantRowFragment): boolean {
  return row.availableActions.includes("CANCEL_PROVISIONING");
}

function toggle(selected: ReadonlySet<string>, id: string, checked: boolean): ReadonlySet<string> {
  const next = new Set(selected);
  if (checked) next.add(id);
  else next.delete(id);
  return next;
}
