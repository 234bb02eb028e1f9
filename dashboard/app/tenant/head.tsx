/** Which tenant this is, where it stands, and where it answers. */

import { Link } from "react-router";
import { StateBadge } from "../ui/badge";
import type { Tenant } from "./page";

export function TenantHead({ tenant }: { tenant: Tenant }) {
  const { name, slug, state, url, recreatedFrom } = tenant;
  return (
    <header className="page-head">
      <nav aria-label="Where this is">
        <Link to="/tenants">Tenants</Link>
      </nav>
      <h1>{name}</h1>
      <span role="status">
        <StateBadge state={state} />
      </span>
      {name !== slug && <code>{slug}</code>}
      {state === "ACTIVE" && (
        <a href={url} rel="noreferrer">
          {url}
        </a>
      )}
      {recreatedFrom && (
        <span className="hint">
          made again from <Link to={`/tenants/${recreatedFrom.databaseId}`}>an earlier {recreatedFrom.slug}</Link>
        </span>
      )}
    </header>
  );
}
