/** The audit feed: filtered by the URL, one page at a time, with live updates on the newest page. */

import { useMe } from "../me";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pagination } from "../ui/pagination";
import { useTitle } from "../ui/title";
import { Export } from "./export";
import { useFeed } from "./feed";
import { Filters } from "./filters";
import { EventsTable } from "./table";
import { type UrlFilters, useUrlFilters } from "./url-filters";

export function AuditPage() {
  useTitle("Audit feed · Tenantry");
  const me = useMe();
  return (
    <main className="page">
      <header className="page-head">
        <h1>Audit feed</h1>
      </header>
      {me.may("audit:read") ? <Feed /> : <NoAccess />}
    </main>
  );
}

function Feed() {
  const me = useMe();
  const filters = useUrlFilters();
  const { events, page, error, refetch } = useFeed(filters);
  return (
    <>
      <Filters filters={filters} />
      {me.may("audit:export") && <Export conditions={filters.conditions} />}
      {error && <Problem error={error} onRetry={refetch} />}
      {error && filters.filtered && (
        <div className="row">
          <Button onPress={filters.clear}>Clear the filters</Button>
        </div>
      )}
      {!events && !error && <Loading lines={12} />}
      {events?.length === 0 && <NoEntries filters={filters} />}
      {events && events.length > 0 && <EventsTable events={events} filters={filters} />}
      {page && (
        <Pagination label="Pages of the feed" page={page} onTurn={filters.turn}>
          {!filters.atNewest && <Button onPress={filters.toNewest}>Newest</Button>}
        </Pagination>
      )}
    </>
  );
}

function NoEntries({ filters }: { filters: UrlFilters }) {
  if (filters.filtered) {
    return (
      <Empty>
        <p>No entries match the filters.</p>
        <Button onPress={filters.clear}>Clear the filters</Button>
      </Empty>
    );
  }
  return <Empty>There are no entries yet. Create a tenant, and every step is recorded here.</Empty>;
}

function NoAccess() {
  return (
    <Empty>
      You need the right <code>audit:read</code> to read the audit feed. Every member of the organisation has it; a
      service account needs it among its scopes.
    </Empty>
  );
}
