/** All tenants: filtered by the address, a page at a time, live. */

import { useCallback, useState } from "react";
import { useQuery } from "urql";
import { TenantsDocument } from "../__generated__/graphql";
import { useMe } from "../me";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pages } from "../ui/pages";
import { useTitle } from "../ui/title";
import { BulkCancelDialog } from "./bulk-cancel-dialog";
import { useChanges } from "./changes";
import { CreateDialog } from "./create-dialog";
import { Filters } from "./filters";
import { TenantsTable } from "./table";
import { useWish } from "./wish";

/** The server counts no further. */
const COUNTED_UP_TO = 10_000;

export function TenantsPage() {
  useTitle("Tenants · Tenantry");
  const me = useMe();
  const wish = useWish();
  const [{ data, error }, ask] = useQuery({
    query: TenantsDocument,
    variables: wish.variables,
    requestPolicy: "cache-and-network",
  });
  const again = useCallback(() => ask({ requestPolicy: "network-only" }), [ask]);
  useChanges(again);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [dialog, setDialog] = useState<"create" | "cancel">();

  const rows = data?.tenants.edges.map((edge) => edge.node) ?? [];
  const cancellable = rows.filter((row) => chosen.has(row.id) && row.availableActions.includes("CANCEL_PROVISIONING"));

  function close() {
    setDialog(undefined);
    setChosen(new Set());
  }

  return (
    <main className="page">
      <header className="page-head">
        <h1>Tenants</h1>
        <Quota />
        {me.may("tenants:write") && (
          <Button weight="primary" onPress={() => setDialog("create")}>
            Create tenant
          </Button>
        )}
      </header>
      <Filters wish={wish} />
      {error && <Problem error={error} onRetry={again} />}
      {!data && !error && <Loading lines={12} />}
      {data && rows.length === 0 && <NothingHere filtered={wish.filtered} onClear={wish.clear} />}
      {rows.length > 0 && (
        <>
          <div className="row" hidden={cancellable.length === 0}>
            <Button weight="danger" onPress={() => setDialog("cancel")}>
              {`Cancel ${cancellable.length} provisioning${cancellable.length === 1 ? "" : "s"}…`}
            </Button>
          </div>
          <TenantsTable rows={rows} chosen={chosen} onChoose={setChosen} />
        </>
      )}
      {data && (
        <Pages label="Pages of the list" page={data.tenants.pageInfo} onTurn={wish.turn}>
          <Count total={data.tenants.totalCount} />
        </Pages>
      )}
      {dialog === "create" && <CreateDialog onClose={() => setDialog(undefined)} />}
      {dialog === "cancel" && <BulkCancelDialog tenants={cancellable} onClose={close} />}
    </main>
  );
}

/** How much of the plan is used. */
function Quota() {
  const { organization } = useMe();
  if (!organization) return null;
  const { tenantsUsed: used, tenantsAllowed: allowed } = organization;
  return <span className="hint">{allowed === null ? `${used} in use` : `${used} of ${allowed} in use`}</span>;
}

function Count({ total }: { total: number }) {
  const words = total >= COUNTED_UP_TO ? `${COUNTED_UP_TO} or more` : total;
  return (
    <span className="hint">
      {words} {total === 1 ? "tenant" : "tenants"}
    </span>
  );
}

function NothingHere({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  if (!filtered) return <Empty>There is no tenant yet. Create the first one, and watch it come to life.</Empty>;
  return (
    <Empty>
      <p>No tenant is like that.</p>
      <Button onPress={onClear}>Clear the filters</Button>
    </Empty>
  );
}
