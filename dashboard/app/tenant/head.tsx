/** The head of the page: the tenant's name, state and address. */

import { Link } from "react-router";
import { StateBadge } from "../ui/badge";
import type { Tenant } from "./tenant";

export function TenantHead({ tenant }: { tenant: Tenant }) {
  const { name, slug, state, url, recreatedFrom } = tenant;
  return (
    <header className="page-head">
      <nav aria-label="Breadcrumb">
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
          recreated from <Link to={`/tenants/${recreatedFrom.databaseId}`}>an earlier {recreatedFrom.slug}</Link>
        </span>
      )}
    </header>
  );
}
