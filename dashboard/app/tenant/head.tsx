/** The head of the page: the tenant's name, state and address. */

import { Link } from "react-router";
import { Badge, isShownBesideState, RunBadge, StateBadge } from "../ui/badge";
import { Time } from "../ui/time";
import { failedStep, type Run } from "./run";
import type { Tenant } from "./tenant";

export function TenantHead({ tenant, run }: { tenant: Tenant; run: Run | undefined }) {
  const { name, slug, state, url, recreatedFrom, abandonedResources } = tenant;
  const left = abandonedResources.length;
  return (
    <header className="page-head">
      <nav aria-label="Breadcrumb">
        <Link to="/tenants">Tenants</Link>
      </nav>
      <h1>{name}</h1>
      <span role="status" data-state={state}>
        <StateBadge state={state} />
      </span>
      {run && isShownBesideState(run.status) && (
        <span role="status" data-run={run.status}>
          <RunBadge status={run.status} kind={run.kind} />
          {run.stuckSince && (
            <span className="hint">
              {" "}
              since <Time at={run.stuckSince} />
            </span>
          )}
        </span>
      )}
      {left > 0 && <Badge tone="bad">{left === 1 ? "1 resource left behind" : `${left} resources left behind`}</Badge>}
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

/** What failed in the newest run, and why; nothing if nothing did. */
export function Failure({ run }: { run: Run }) {
  const step = failedStep(run);
  if (!step) return null;
  return (
    <div className="notice bad failure" role="status">
      <p>
        “{step.title}” failed{step.attempts > 1 && ` after ${step.attempts} attempts`}: {run.error}
      </p>
      {run.errorCode && ADVICE[run.errorCode] && <p className="hint">{ADVICE[run.errorCode]}</p>}
    </div>
  );
}

/** What a person can do about it. A newer server may have codes that this page does not know: they get no advice. */
const ADVICE: Partial<Record<NonNullable<Run["errorCode"]>, string>> = {
  REFUSED: "It was refused. Correct the cause first: until then a retry is refused too.",
  ATTEMPTS_EXHAUSTED: "All attempts failed. A retry may succeed.",
  TIMED_OUT: "Its time was up. A retry may succeed.",
  WORKER_LOST: "The worker was lost in each attempt. A retry may succeed; its log says more.",
};
