import { screen, within } from "@testing-library/react";
import { Route, Routes } from "react-router";
import { expect, test } from "vitest";
import { render } from "../testing";
import { abandoned, resource, run, step, tenant } from "./fixtures";
import { TenantPage } from "./page";
import type { Tenant } from "./tenant";

function open(loaded: Tenant | null, answers: Record<string, unknown> = {}) {
  const page = (
    <Routes>
      <Route path="/tenants/:key" element={<TenantPage />} />
    </Routes>
  );
  return render(page, { answers: { Tenant: { tenant: loaded }, ...answers }, route: "/tenants/0192" });
}

const refusal = (code: string, message: string) => ({ code, message, field: null });

test("the buttons are those that the server names", () => {
  open(tenant({ state: "ACTIVE", availableActions: ["SUSPEND", "DECOMMISSION"] }));

  const actions = within(screen.getByRole("region", { name: "Actions" }));
  expect(actions.getAllByRole("button").map((button) => button.textContent)).toEqual(["Suspend…", "Decommission…"]);
});

test("an action that the page does not know has no button", () => {
  open(tenant({ availableActions: ["TELEPORT" as never] }));

  expect(screen.queryAllByRole("button")).toEqual([]);
});

test("a user without any action sees that there are none", () => {
  open(tenant({ availableActions: [] }));

  expect(screen.getByText("There are no actions for you here now.")).toBeVisible();
});

test("an unknown tenant is shown as not found", () => {
  open(null);

  expect(screen.getByRole("heading", { name: "Tenant not found" })).toBeVisible();
});

test("the cancel dialog lists the resources in the order of their release", async () => {
  const { user } = open(tenant());

  await user.click(screen.getByRole("button", { name: "Cancel provisioning" }));

  const dialog = within(screen.getByRole("alertdialog"));
  expect(dialog.getByText(/stops at its next safe point/)).toBeVisible();
  const released = dialog.getAllByRole("listitem").map((item) => item.textContent);
  expect(released).toEqual(["signing key k_shop_1", "postgres schema t_shop_1"]);
});

test("a cancel sends the run that was shown, and the reason", async () => {
  const { user, sent } = open(tenant(), {
    CancelProvisioning: {
      cancelProvisioning: { tenant: tenant(), run: run(), alreadyRequested: false, userErrors: [] },
    },
  });

  await user.click(screen.getByRole("button", { name: "Cancel provisioning" }));
  await user.type(screen.getByLabelText("Reason"), "typo");
  await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Cancel provisioning" }));

  const input = { tenantId: "tenant-1", runId: "run-1", reason: "typo", idempotencyKey: expect.any(String) };
  expect(sent.filter((one) => one.name === "CancelProvisioning")).toEqual([
    { name: "CancelProvisioning", variables: { input } },
  ]);
  expect(screen.queryByRole("alertdialog")).toBeNull();
});

test("the refusal of a cancel that was too late is shown in the server's words", async () => {
  const late = refusal("INVALID_STATE", "It is ACTIVE: there is nothing to cancel.");
  const { user } = open(tenant(), {
    CancelProvisioning: {
      cancelProvisioning: { tenant: null, run: null, alreadyRequested: false, userErrors: [late] },
    },
  });

  await user.click(screen.getByRole("button", { name: "Cancel provisioning" }));
  await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Cancel provisioning" }));

  expect(screen.getByRole("alert")).toHaveTextContent("It is ACTIVE: there is nothing to cancel.");
});

test("the second of two cancels shows who was first, and the reason", async () => {
  const request = {
    requestedAt: "2026-11-27T09:00:00Z",
    requestedBy: { id: "adam", displayName: "Adam Admin" },
    reason: "wrong plan",
    stepInFlight: null,
  };
  const payload = { tenant: tenant(), run: run({ cancelRequest: request }), alreadyRequested: true, userErrors: [] };
  const { user } = open(tenant(), { CancelProvisioning: { cancelProvisioning: payload } });

  await user.click(screen.getByRole("button", { name: "Cancel provisioning" }));
  await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Cancel provisioning" }));

  expect(screen.getByRole("dialog", { name: "Already cancelled by Adam Admin" })).toHaveTextContent(/wrong plan/);
});

test("a stuck undo shows what failed and what is held, and skipping a step needs a reason", async () => {
  const failed = step("allocate_storage", {
    title: "Allocate storage",
    status: "COMPENSATION_FAILED",
    compensationAttempts: 8,
    compensationError: "the database is away",
  });
  const status = {
    status: "STUCK",
    stuckStep: "allocate_storage",
    stuckError: "the database is away",
    stuckSince: "2026-11-27T08:00:00Z",
  } as const;
  const stuck = tenant({
    availableActions: ["RESUME_COMPENSATION"],
    runs: { edges: [{ node: run({ ...status, steps: [failed] }) }], pageInfo: { hasNextPage: false } },
  });
  const { user, sent } = open(stuck, {
    ResumeCompensation: { resumeCompensation: { tenant: stuck, run: null, userErrors: [] } },
  });

  expect(
    screen.getByText(/stuck at “Allocate storage” since .*, after 8 attempts: the database is away/),
  ).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Resume undo…" }));
  const dialog = within(screen.getByRole("alertdialog"));
  expect(dialog.getByText("t_shop_1")).toBeVisible();
  await user.click(dialog.getByRole("checkbox"));
  await user.click(dialog.getByRole("button", { name: "Skip and resume" }));
  expect(sent.some((one) => one.name === "ResumeCompensation")).toBe(false);
  await user.type(dialog.getByRole("textbox"), "gone with the old cluster");
  await user.click(dialog.getByRole("button", { name: "Skip and resume" }));

  const key = { idempotencyKey: expect.any(String) };
  const input = { tenantId: "tenant-1", skipSteps: ["allocate_storage"], reason: "gone with the old cluster", ...key };
  expect(sent.at(-1)).toEqual({ name: "ResumeCompensation", variables: { input } });
});

test("decommissioning is disabled until the slug is typed", async () => {
  const { user } = open(tenant({ state: "ACTIVE", availableActions: ["DECOMMISSION"] }));

  await user.click(screen.getByRole("button", { name: "Decommission…" }));
  const confirm = within(screen.getByRole("alertdialog")).getByRole("button", { name: "Decommission" });

  expect(confirm).toBeDisabled();
  await user.type(screen.getByLabelText("Type shop to confirm"), "shop");
  expect(confirm).toBeEnabled();
});

test("the undo lists the last step first", () => {
  const steps = [
    step("allocate_storage", { title: "Allocate storage", status: "COMPENSATED" }),
    step("allocate_identity", { title: "Allocate identity", status: "COMPENSATED" }),
    step("mark_active", { title: "Go live" }),
  ];
  open(
    tenant({
      state: "PENDING",
      runs: { edges: [{ node: run({ status: "CANCELLED", steps }) }], pageInfo: { hasNextPage: false } },
    }),
  );

  const undo = within(screen.getByRole("region", { name: "Undone in reverse" }));
  expect(undo.getAllByRole("listitem").map((item) => item.textContent)).toEqual([
    expect.stringContaining("Allocate identity"),
    expect.stringContaining("Allocate storage"),
  ]);
});

test("an empty ledger says that nothing is held", () => {
  open(tenant({ heldResources: [] }));

  expect(screen.getByText("Nothing is held.")).toBeVisible();
});

const ended = (changes: Parameters<typeof run>[0]) => ({
  runs: { edges: [{ node: run(changes) }], pageInfo: { hasNextPage: false } },
});

test("the page never says that nothing is held while something was left in place, and names who left it and why", () => {
  const left = abandoned("workload", "w_shop_1");
  const released = resource("postgres_schema", "t_shop_1", { status: "RELEASED", releasedAt: "2026-11-27T09:00:00Z" });
  open(
    tenant({
      state: "PENDING",
      heldResources: [],
      abandonedResources: [left],
      ...ended({ status: "CANCELLED", resources: [left, released] }),
    }),
  );

  expect(screen.queryByText(/Nothing is held/)).toBeNull();
  const ledger = within(screen.getByRole("region", { name: "Held resources" }));
  expect(ledger.getByText(/One resource was left in place and may still exist/)).toBeVisible();
  expect(ledger.getAllByRole("listitem")[0]).toHaveTextContent(
    /workload w_shop_1, left in place by Olive Owner, .*: “the cluster is gone”/,
  );
  expect(screen.getByText("1 resource left behind")).toBeVisible();
});

test("an absence check that found what was left in place does not say that nothing was found", () => {
  const askedAt = "2026-11-27T09:00:00Z";
  const absenceChecks = [
    { askedAt, found: [], foundAbandoned: ["w_shop_1"] },
    { askedAt: "2026-11-27T09:00:30Z", found: ["t_shop_1"], foundAbandoned: ["w_shop_1"] },
    { askedAt: "2026-11-27T10:00:30Z", found: [], foundAbandoned: [] },
  ];
  open(tenant({ state: "PENDING", ...ended({ status: "CANCELLED", absenceChecks }) }));

  const checks = within(screen.getByRole("region", { name: "Verified outside" })).getAllByRole("listitem");
  expect(checks.map((item) => item.textContent?.replace(/^[^a-z]*(?=[a-z])/i, ""))).toEqual([
    expect.stringContaining(": w_shop_1 still there: left in place by an operator"),
    expect.stringContaining(": t_shop_1 appeared late and was removed; w_shop_1 still there"),
    expect.stringContaining(": nothing found"),
  ]);
});

test.each([
  ["REFUSED", /Correct the cause first/],
  ["ATTEMPTS_EXHAUSTED", /A retry may succeed/],
  ["TIMED_OUT", /Its time was up/],
  ["WORKER_LOST", /worker was lost/],
] as const)("the head of the page says what failed and why, with advice for %s", (errorCode, advice) => {
  const failed = step("deploy_workloads", { title: "Deploy the workload", status: "COMPENSATED", attempts: 3 });
  const failure = { failedStep: "deploy_workloads", error: "The deployer answered 422: no such plan.", errorCode };
  const { container } = open(
    tenant({ state: "FAILED", heldResources: [], ...ended({ status: "FAILED", steps: [failed], ...failure }) }),
  );

  const head = container.querySelector(".failure");
  expect(head).toHaveTextContent(
    "“Deploy the workload” failed after 3 attempts: The deployer answered 422: no such plan.",
  );
  expect(head).toHaveTextContent(advice);
});

test("a step that held nothing is not said to be confirmed absent", () => {
  const steps = [step("allocate_storage", { status: "COMPENSATED" }), step("apply_schema", { status: "COMPENSATED" })];
  const resources = [resource("postgres_schema", "t_shop_1", { status: "RELEASED" })];
  open(tenant({ state: "PENDING", heldResources: [], ...ended({ status: "CANCELLED", steps, resources }) }));

  const undo = within(screen.getByRole("region", { name: "Undone in reverse" })).getAllByRole("listitem");
  expect(undo.map((item) => item.querySelector(".more")?.textContent)).toEqual([
    "held nothing",
    "undone, confirmed absent",
  ]);
});

test("a stuck run is shown beside the state, with its age", () => {
  const { container } = open(tenant(ended({ status: "STUCK", stuckSince: "2026-11-27T08:00:00Z" })));

  expect(container.querySelector("[data-run]")).toHaveTextContent(/^Stuck since /);
});

test("a tenant that never ran is started, not retried", () => {
  const never = { edges: [], pageInfo: { hasNextPage: false } };
  open(tenant({ state: "PENDING", currentRun: null, availableActions: ["RETRY_PROVISIONING"], runs: never }));

  expect(screen.getByRole("button", { name: "Start provisioning" })).toBeVisible();
  expect(screen.getByText(/“Start provisioning” starts the first one/)).toBeVisible();
});
