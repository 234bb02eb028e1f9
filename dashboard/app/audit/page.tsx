/** The audit feed: filtered by the address, a page at a time, live where it is newest. */

import { useMe } from "../me";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pages } from "../ui/pages";
import { useTitle } from "../ui/title";
import { Export } from "./export";
import { useFeed } from "./feed";
import { Filters } from "./filters";
import { EventsTable } from "./table";
import { useWish, type Wish } from "./wish";

export function AuditPage() {
  useTitle("Audit feed · Tenantry");
  const me = useMe();
  return (
    <main className="page">
      <header className="page-head">
        <h1>Audit feed</h1>
      </header>
      {me.may("audit:read") ? <Feed /> : <NotYours />}
    </main>
  );
}

function Feed() {
  const me = useMe();
  const wish = useWish();
  const { events, page, error, again } = useFeed(wish);
  return (
    <>
      <Filters wish={wish} />
      {me.may("audit:export") && <Export conditions={wish.conditions} />}
      {error && <Problem error={error} onRetry={again} />}
      {error && wish.filtered && (
        <div className="row">
          <Button onPress={wish.clear}>Clear the filters</Button>
        </div>
      )}
      {!events && !error && <Loading lines={12} />}
      {events?.length === 0 && <NothingHere wish={wish} />}
      {events && events.length > 0 && <EventsTable events={events} wish={wish} />}
      {page && (
        <Pages label="Pages of the feed" page={page} onTurn={wish.turn}>
          {!wish.atNewest && <Button onPress={wish.toNewest}>Newest</Button>}
        </Pages>
      )}
    </>
  );
}

function NothingHere({ wish }: { wish: Wish }) {
  if (wish.filtered) {
    return (
      <Empty>
        <p>No entry is like that.</p>
        <Button onPress={wish.clear}>Clear the filters</Button>
      </Empty>
    );
  }
  return <Empty>Nothing has happened yet. Create a tenant, and every step of it is told here.</Empty>;
}

function NotYours() {
  return (
    <Empty>
      Reading the feed takes the right <code>audit:read</code>, which you do not have. Every member of the organisation
      has it; a service account needs it among its scopes.
    </Empty>
  );
}
