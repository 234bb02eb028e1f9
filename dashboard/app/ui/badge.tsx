/** States as coloured words; the word carries the whole meaning, the colour adds none. */

import type { ResourceStatus, RunStatus, TenantState } from "../__generated__/graphql";

type Tone = "calm" | "busy" | "good" | "warn" | "bad" | "over";

const TENANT: Record<TenantState, Tone> = {
  PENDING: "calm",
  PROVISIONING: "busy",
  ACTIVE: "good",
  SUSPENDED: "warn",
  FAILED: "bad",
  DECOMMISSIONING: "busy",
  DECOMMISSIONED: "over",
};

const RUN: Record<RunStatus, [Tone, string]> = {
  QUEUED: ["calm", "Queued"],
  RUNNING: ["busy", "Running"],
  CANCELLING: ["warn", "Cancelling…"],
  COMPENSATING: ["warn", "Undoing…"],
  STUCK: ["bad", "Stuck"],
  SUCCEEDED: ["good", "Succeeded"],
  CANCELLED: ["calm", "Cancelled"],
  FAILED: ["bad", "Failed"],
  DECOMMISSIONED: ["over", "Decommissioned"],
};

const RESOURCE: Record<ResourceStatus, Tone> = { INTENDED: "warn", HELD: "busy", RELEASED: "calm", ABANDONED: "bad" };

/** PROVISIONING or DECOMMISSIONING alone does not say that an undo is under way, or that nothing moves any more. */
const SHOWN_BESIDE_STATE: ReadonlySet<RunStatus> = new Set(["CANCELLING", "COMPENSATING", "STUCK"]);

export function isShownBesideState(status: RunStatus): boolean {
  return SHOWN_BESIDE_STATE.has(status);
}

export function StateBadge({ state }: { state: TenantState }) {
  return <Badge tone={TENANT[state] ?? "calm"}>{state}</Badge>;
}

/** In a decommissioning run, COMPENSATING is normal operation: "Releasing…" instead of "Undoing…". */
export function RunBadge({ status, kind = "PROVISION" }: { status: RunStatus; kind?: string }) {
  const [tone, word] = RUN[status] ?? ["calm", status];
  return <Badge tone={tone}>{kind === "DECOMMISSION" && status === "COMPENSATING" ? "Releasing…" : word}</Badge>;
}

export function ResourceBadge({ status }: { status: ResourceStatus }) {
  return <Badge tone={RESOURCE[status] ?? "calm"}>{status.toLowerCase()}</Badge>;
}

/** What an operator left in place and may still exist; nothing without it. */
export function LeftBehindBadge({ count }: { count: number }) {
  return count > 0 && <Badge tone="bad">{`${count} left behind`}</Badge>;
}

export function Badge({ tone, children }: { tone: Tone; children: string }) {
  return <span className={`badge ${tone}`}>{children}</span>;
}
