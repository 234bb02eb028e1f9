/** Test data: a tenant in the middle of its first run; each test passes its changes. */

import type { ResourceLineFragment } from "../__generated__/graphql";
import type { Run, Step } from "./run";
import type { Tenant } from "./tenant";

export const NOW = "2026-11-27T09:00:00Z";

export function step(name: string, changes: Partial<Step> = {}): Step {
  return {
    name,
    title: name.replaceAll("_", " "),
    position: 1,
    status: "WAITING",
    attempts: 0,
    maxAttempts: 5,
    compensationAttempts: 0,
    maxCompensationAttempts: 8,
    interruptible: true,
    percent: null,
    message: null,
    error: null,
    compensationError: null,
    heartbeatAt: null,
    nextAttemptAt: null,
    attemptStartedAt: null,
    attemptDeadlineAt: null,
    startedAt: null,
    finishedAt: null,
    duration: null,
    compensationStartedAt: null,
    compensationDelayedAt: null,
    compensatedAt: null,
    ...changes,
  };
}

export function run(changes: Partial<Run> = {}): Run {
  return {
    id: "run-1",
    number: 1,
    kind: "PROVISION",
    status: "RUNNING",
    cancellable: true,
    failedStep: null,
    error: null,
    errorCode: null,
    stuckSince: null,
    stuckStep: null,
    stuckError: null,
    startedAt: NOW,
    finishedAt: null,
    startedBy: { id: "actor", displayName: "Olive Owner" },
    cancelRequest: null,
    steps: [
      step("allocate_storage", { status: "DONE", startedAt: NOW, finishedAt: NOW }),
      step("allocate_identity", { status: "RUNNING", startedAt: NOW, position: 2 }),
      step("mark_active", { position: 3 }),
    ],
    resources: [],
    absenceChecks: [],
    nextAbsenceCheckAt: null,
    ...changes,
  };
}

export function resource(
  kind: string,
  name: string,
  changes: Partial<ResourceLineFragment> = {},
): ResourceLineFragment {
  return {
    kind,
    name,
    step: "allocate_storage",
    status: "HELD",
    heldAt: NOW,
    releasedAt: null,
    abandonedAt: null,
    abandonedBy: null,
    abandonedReason: null,
    absentAt: null,
    ...changes,
  };
}

/** A resource that an operator left in place. */
export function abandoned(kind: string, name: string): ResourceLineFragment {
  return resource(kind, name, {
    step: "deploy_workloads",
    status: "ABANDONED",
    abandonedAt: NOW,
    abandonedBy: { id: "actor", displayName: "Olive Owner" },
    abandonedReason: "the cluster is gone",
  });
}

export function tenant(changes: Partial<Tenant> = {}): Tenant {
  return {
    id: "tenant-1",
    databaseId: "0192",
    slug: "shop",
    name: "Shop",
    region: "eu-central",
    state: "PROVISIONING",
    plan: "pro",
    provisioningDeadline: null,
    version: 3,
    createdAt: NOW,
    updatedAt: NOW,
    url: "http://shop-acme.localhost",
    firstAdminEmail: "ada@example.com",
    availableActions: ["CANCEL_PROVISIONING"],
    heldResources: [resource("postgres_schema", "t_shop_1")],
    abandonedResources: [],
    cancellationPreview: {
      stepInFlight: { name: "allocate_identity", title: "Allocate identity" },
      interruptible: true,
      releases: [
        resource("signing_key", "k_shop_1", { step: "allocate_identity", status: "INTENDED", heldAt: null }),
        resource("postgres_schema", "t_shop_1"),
      ],
    },
    currentRun: { id: "run-1", status: "RUNNING" },
    recreatedFrom: null,
    newest: { edges: [] },
    runs: { edges: [{ node: run() }], pageInfo: { hasNextPage: false } },
    ...changes,
  };
}
