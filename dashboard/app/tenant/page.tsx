/** One tenant: what it is, what is being done to it, what it holds, and what somebody may do about it. */

import { useCallback, useState } from "react";
import { Link, useParams } from "react-router";
import { type CombinedError, useQuery } from "urql";
import { TenantDocument, type TenantQuery } from "../__generated__/graphql";
import { useHealing } from "../api/healing";
import { Empty, Loading, Problem } from "../ui/notice";
import { useTitle } from "../ui/title";
import { Actions } from "./actions";
import { Cards } from "./cards";
import { TenantHead } from "./head";
import { HeldResources } from "./held";
import { History } from "./history";
import { useLive } from "./live";
import { useLooks } from "./looks";
import { Proof } from "./proof";
import { Runs } from "./runs";
import { Timeline } from "./timeline";
import { Undo } from "./undo";

export type Tenant = NonNullable<TenantQuery["tenant"]>;

export function TenantPage() {
  const { key = "" } = useParams();
  // Another tenant is another page: nothing of the one before is to be seen on it, an open dialog least of all.
  return <Asked key={key} id={key} />;
}

function Asked({ id }: { id: string }) {
  const [{ data, error, fetching }, ask] = useQuery({
    query: TenantDocument,
    variables: { id },
    requestPolicy: "cache-and-network",
  });
  const again = useCallback(() => ask({ requestPolicy: "network-only" }), [ask]);
  useHealing(again);

  if (data?.tenant) return <Shown tenant={data.tenant} error={error} again={again} />;
  return (
    <main className="page">
      {error && <Problem error={error} onRetry={again} />}
      {!error && fetching && <Loading lines={16} />}
      {!error && !fetching && (
        <Empty>
          <h1>There is no such tenant</h1>
          <p>
            Or none that you may see. <Link to="/tenants">All tenants</Link>
          </p>
        </Empty>
      )}
    </main>
  );
}

interface ShownProps {
  tenant: Tenant;
  /** What kept the page from being asked for anew; what is shown may be old then. */
  error: CombinedError | undefined;
  again: () => void;
}

function Shown({ tenant, error, again }: ShownProps) {
  const [newest] = tenant.newest.edges.map((edge) => edge.node);
  const runs = tenant.runs.edges.map((edge) => edge.node);
  const [run, ...earlier] = runs;
  const entries = newest?.timeline?.edges.map((edge) => edge.node) ?? [];
  const lost = useLive(tenant.id, entries.at(-1)?.cursor) ?? error;
  useLooks(run, again);
  useTitle(`${tenant.name} · Tenantry`);
  // Kept here, above what the tenant's state takes away: the dialog that is open says what became of its run.
  const [opened, setOpened] = useState<string>();

  return (
    <main className="page">
      <TenantHead tenant={tenant} />
      {lost && <Problem error={lost} onRetry={again} />}
      <Actions tenant={tenant} run={run} opened={opened} onOpen={setOpened} />
      <Cards tenant={tenant} />
      <div className="columns">
        {run ? <Timeline run={run} /> : <Empty>No run yet. Retry provisioning starts the first.</Empty>}
        <div>
          {run && <Undo run={run} />}
          <HeldResources tenant={tenant} run={run} />
          {run && <Proof run={run} />}
        </div>
      </div>
      {earlier.length > 0 && <Runs runs={runs} complete={!tenant.runs.pageInfo.hasNextPage} />}
      <History entries={entries} complete={!newest?.timeline?.pageInfo.hasPreviousPage} tenantId={tenant.id} />
    </main>
  );
}
