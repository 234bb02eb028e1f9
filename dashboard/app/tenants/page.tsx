/** The list of tenants: filtered by the URL, one page at a time, with live updates. */

import { useState } from "react";
import { TenantsDocument, type TenantsQuery } from "../__generated__/graphql";
import { useRefetchOnReconnect } from "../api/refetch-on-reconnect";
import { useRefetchableQuery } from "../api/refetchable-query";
import { useMe } from "../me";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pagination } from "../ui/pagination";
import { useTitle } from "../ui/title";
import { BulkCancelDialog } from "./bulk-cancel-dialog";
import { useChanges } from "./changes";
import { CreateDialog } from "./create-dialog";
import { Filters } from "./filters";
import { TenantsTable } from "./table";
import { type UrlFilters, useUrlFilters } from "./url-filters";

/** The server stops counting here. */
const COUNTED_UP_TO = 10_000;

export function TenantsPage() {
  useTitle("Tenants · Tenantry");
  const me = useMe();
  const filters = useUrlFilters();
  const { data, error, refetch } = useRefetchableQuery({
    query: TenantsDocument,
    variables: { ...filters.variables, follow: me.may("audit:read") },
  });
  useRefetchOnReconnect(refetch);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [dialog, setDialog] = useState<"create" | "cancel">();

  const rows = data?.tenants.edges.map((edge) => edge.node) ?? [];
  const cancellable = rows.filter(
    (row) => selected.has(row.id) && row.availableActions.includes("CANCEL_PROVISIONING"),
  );

  function close() {
    setDialog(undefined);
    setSelected(new Set());
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
      <Filters filters={filters} />
      {error && <Problem error={error} onRetry={refetch} />}
      {!data && !error && <Loading lines={12} />}
      {data && <LiveUpdates newest={data.feed?.pageInfo.startCursor} refetch={refetch} />}
      {data && rows.length === 0 && <NoTenants filters={filters} />}
      {rows.length > 0 && (
        <>
          <div className="row" hidden={cancellable.length === 0}>
            <Button weight="danger" onPress={() => setDialog("cancel")}>
              {`Cancel ${cancellable.length} provisioning${cancellable.length === 1 ? "" : "s"}…`}
            </Button>
          </div>
          <TenantsTable rows={rows} selected={selected} onSelect={setSelected} />
        </>
      )}
      {data && (
        <Pagination label="Pages of the list" page={data.tenants.pageInfo} onTurn={filters.turn}>
          <Count total={data.tenants.totalCount} />
        </Pagination>
      )}
      {dialog === "create" && <CreateDialog onClose={() => setDialog(undefined)} />}
      {dialog === "cancel" && <BulkCancelDialog tenants={cancellable} onClose={close} />}
    </main>
  );
}

/** How many tenants exist, of those that the plan allows. */
function Quota({ organization }: { organization: NonNullable<TenantsQuery["organization"]> }) {
  const { tenantsUsed: used, tenantsAllowed: allowed } = organization;
  return <span className="hint">{allowed === null ? `${used} in use` : `${used} of ${allowed} in use`}</span>;
}

/** Keeps the list up to date from the time of its query. */
function LiveUpdates({ newest, refetch }: { newest: string | null | undefined; refetch: () => void }) {
  const error = useChanges(newest, refetch);
  if (newest === undefined)
    return <p className="hint">This list is not updated live: that needs the right audit:read.</p>;
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

function NoTenants({ filters }: { filters: UrlFilters }) {
  const me = useMe();
  if (filters.filtered || filters.turned) {
    return (
      <Empty>
        <p>{filters.filtered ? "No tenants match the filters." : "There are no tenants on this page."}</p>
        <Button onPress={filters.clear}>{filters.filtered ? "Clear the filters" : "Go to the first page"}</Button>
      </Empty>
    );
  }
  if (!me.may("tenants:write")) return <Empty>There are no tenants yet.</Empty>;
  return <Empty>There are no tenants yet. Create the first one.</Empty>;
}
