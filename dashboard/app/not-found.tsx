/** The page for an address that the dashboard does not have. */

import { Link, useLocation } from "react-router";
import { Empty } from "./ui/notice";
import { useTitle } from "./ui/title";

export function NotFoundPage() {
  useTitle("No such page · Tenantry");
  const { pathname } = useLocation();
  return (
    <main className="page">
      <Empty>
        <h1>No such page</h1>
        <p>
          The dashboard has nothing at <code>/dashboard{pathname}</code>. <Link to="/tenants">All tenants</Link>
        </p>
      </Empty>
    </main>
  );
}
