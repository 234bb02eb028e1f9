/** The page of one tenant: its state and settings, its run, its resources, and the actions on it. */

import { useState } from "react";
import { Link, useParams } from "react-router";
import type { CombinedError } from "urql";
import { TenantDocument } from "../__generated__/graphql";
import { useRefetchOnReconnect } from "../api/refetch-on-reconnect";
import { useRefetchableQuery } from "../api/refetchable-query";
import { Empty, Loading, Problem } from "../ui/notice";
import { useTitle } from "../ui/title";
import { AbsenceChecks } from "./absence-checks";
import { Actions } from "./actions";
import { Cards } from "./cards";
import { Failure, TenantHead } from "./head";
import { HeldResources } from "./held-resources";
import { History } from "./history";
import { useLiveUpdates } from "./live-updates";
import { Runs } from "./runs";
import type { Tenant } from "./tenant";
import { Timeline } from "./timeline";
import { Undo } from "./undo";
import { useAbsenceChecks } from "./use-absence-checks";

export function TenantPage() {
  const { key = "" } = useParams();
  // The key mounts a new page for another tenant, so that no state of the previous one stays, such as an open dialog.
  return <LoadedTenant key={key} id={key} />;
}

function LoadedTenant({ id }: { id: string }) {
  const { data, error, fetching, refetch } = useRefetchableQuery({ query: TenantDocument, variables: { id } });
  useRefetchOnReconnect(refetch);

  if (data?.tenant) return <TenantView tenant={data.tenant} error={error} refetch={refetch} />;
  return (
    <main className="page">
      {error && <Problem error={error} onRetry={refetch} />}
      {!error && fetching && <Loading lines={16} />}
      {!error && !fetching && (
        <Empty>
          <h1>Tenant not found</h1>
          <p>
            It does not exist, or you have no access to it. <Link to="/tenants">All tenants</Link>
          </p>
        </Empty>
      )}
    </main>
  );
}

interface TenantViewProps {
  tenant: Tenant;
  /** Why the last fetch failed; the shown data may be out of date then. */
  error: CombinedError | undefined;
  refetch: () => void;
}

function TenantView({ tenant, error, refetch }: TenantViewProps) {
  const [newest] = tenant.newest.edges.map((edge) => edge.node);
  const runs = tenant.runs.edges.map((edge) => edge.node);
  const [run, ...earlier] = runs;
  const entries = newest?.timeline?.edges.map((edge) => edge.node) ?? [];
  const problem = useLiveUpdates(tenant.id, entries.at(-1)?.cursor) ?? error;
  useAbsenceChecks(run, refetch);
  useTitle(`${tenant.name} · Tenantry`);
  // The open dialog is state of this component, which is always mounted: the dialog stays open when the tenant's state changes.
  const [opened, setOpened] = useState<string>();

  return (
    <main className="page">
      <TenantHead tenant={tenant} run={run} />
      {run && <Failure run={run} />}
      {problem && <Problem error={problem} onRetry={refetch} />}
      <Actions tenant={tenant} run={run} opened={opened} onOpen={setOpened} />
      <Cards tenant={tenant} />
      <div className="columns">
        {run ? (
          <Timeline run={run} />
        ) : (
          <Empty>There are no runs yet. “Start provisioning” starts the first one.</Empty>
        )}
        <div>
          {run && <Undo run={run} />}
          <HeldResources tenant={tenant} run={run} />
          {run && <AbsenceChecks run={run} />}
        </div>
      </div>
      {earlier.length > 0 && <Runs runs={runs} complete={!tenant.runs.pageInfo.hasNextPage} />}
      <History entries={entries} complete={!newest?.timeline?.pageInfo.hasPreviousPage} tenantId={tenant.id} />
    </main>
  );
}
