/** The list itself. Whatever can be cancelled can be chosen. */

import { Link } from "react-router";
import type { TenantRowFragment } from "../__generated__/graphql";
import { RunBadge, StateBadge } from "../ui/badge";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";

interface Props {
  rows: readonly TenantRowFragment[];
  chosen: ReadonlySet<string>;
  onChoose: (chosen: ReadonlySet<string>) => void;
}

/** What an undo or a wait is called beside the state: PROVISIONING alone does not say in which direction. */
const TELLING = new Set(["CANCELLING", "COMPENSATING", "STUCK"]);

export function TenantsTable({ rows, chosen, onChoose }: Props) {
  const choosable = rows.filter(isCancellable);
  return (
    <Scroll label="Tenants">
      <table>
        <caption className="visually-hidden">Tenants</caption>
        <thead>
          <tr>
            <th scope="col">
              {choosable.length > 0 && (
                <Tick
                  label="Choose all that can be cancelled"
                  ticked={choosable.every((row) => chosen.has(row.id))}
                  onTick={(ticked) => onChoose(new Set(ticked ? choosable.map((row) => row.id) : []))}
                />
              )}
              <span className="visually-hidden">Chosen</span>
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
              ticked={chosen.has(row.id)}
              onTick={(ticked) => onChoose(toggled(chosen, row.id, ticked))}
            />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Row({ row, ticked, onTick }: { row: TenantRowFragment; ticked: boolean; onTick: (ticked: boolean) => void }) {
  const run = row.currentRun;
  return (
    <tr>
      <td>{isCancellable(row) && <Tick label={`Choose ${row.slug}`} ticked={ticked} onTick={onTick} />}</td>
      <th scope="row">
        <Link to={`/tenants/${row.databaseId}`}>{row.name}</Link>
        {row.name !== row.slug && <span className="hint"> {row.slug}</span>}
      </th>
      <td>
        <StateBadge state={row.state} /> {run && TELLING.has(run.status) && <RunBadge status={run.status} />}
      </td>
      <td>{row.plan}</td>
      <td>{row.region}</td>
      <td>
        <Time at={row.updatedAt} />
      </td>
    </tr>
  );
}

function Tick({ label, ticked, onTick }: { label: string; ticked: boolean; onTick: (ticked: boolean) => void }) {
  return (
    <input type="checkbox" aria-label={label} checked={ticked} onChange={(event) => onTick(event.target.checked)} />
  );
}

function isCancellable(row: TenantRowFragment): boolean {
  return row.availableActions.includes("CANCEL_PROVISIONING");
}

function toggled(chosen: ReadonlySet<string>, id: string, ticked: boolean): ReadonlySet<string> {
  const now = new Set(chosen);
  if (ticked) now.add(id);
  else now.delete(id);
  return now;
}
