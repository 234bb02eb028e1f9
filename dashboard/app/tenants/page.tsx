/** All tenants: filtered by the address, a page at a time, live. */

import { useCallback, useState } from "react";
import { useQuery } from "urql";
import { TenantsDocument, type TenantsQuery } from "../__generated__/graphql";
import { useHealing } from "../api/healing";
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
import { useWish, type Wish } from "./wish";

/** The server counts no further. */
const COUNTED_UP_TO = 10_000;

export function TenantsPage() {
  useTitle("Tenants · Tenantry");
  const me = useMe();
  const wish = useWish();
  const [{ data, error }, ask] = useQuery({
    query: TenantsDocument,
    variables: { ...wish.variables, follow: me.may("audit:read") },
    requestPolicy: "cache-and-network",
  });
  const again = useCallback(() => ask({ requestPolicy: "network-only" }), [ask]);
  useHealing(again);
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
        {data?.organization && <Quota organization={data.organization} />}
        {me.may("tenants:write") && (
          <Button weight="primary" onPress={() => setDialog("create")}>
            Create tenant
          </Button>
        )}
      </header>
      <Filters wish={wish} />
      {error && <Problem error={error} onRetry={again} />}
      {!data && !error && <Loading lines={12} />}
      {data && <Following newest={data.feed?.pageInfo.startCursor} again={again} />}
      {data && rows.length === 0 && <NothingHere wish={wish} />}
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
function Quota({ organization }: { organization: NonNullable<TenantsQuery["organization"]> }) {
  const { tenantsUsed: used, tenantsAllowed: allowed } = organization;
  return <span className="hint">{allowed === null ? `${used} in use` : `${used} of ${allowed} in use`}</span>;
}

/** Keeps the list true from the moment in which it was read. */
function Following({ newest, again }: { newest: string | null | undefined; again: () => void }) {
  const error = useChanges(newest, again);
  if (newest === undefined) return <p className="hint">This list does not follow along: that takes audit:read.</p>;
  return error ? <Problem error={error} /> : null;
}

function Count({ total }: { total: number }) {
  const words = total >= COUNTED_UP_TO ? `${COUNTED_UP_TO} or more` : total;
  return (
    <span className="hint">
      {words} {total === 1 ? "tenant" : "tenants"}
    </span>
  );
}

function NothingHere({ wish }: { wish: Wish }) {
  const me = useMe();
  if (wish.filtered || wish.turned) {
    return (
      <Empty>
        <p>{wish.filtered ? "No tenant is like that." : "There is none on this page."}</p>
        <Button onPress={wish.clear}>{wish.filtered ? "Clear the filters" : "To the first page"}</Button>
      </Empty>
    );
  }
  if (!me.may("tenants:write")) return <Empty>There is no tenant yet.</Empty>;
  return <Empty>There is no tenant yet. Create the first one, and watch it come to life.</Empty>;
}
