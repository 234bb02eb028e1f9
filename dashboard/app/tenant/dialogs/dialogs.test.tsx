import { fireEvent, screen, within } from "@testing-library/react";
import { type ReactNode, useState } from "react";
import { expect, test } from "vitest";
import { render } from "../../testing";
import { abandoned, run, tenant } from "../fixtures";
import type { Tenant } from "../tenant";
import { CancelDialog } from "./cancel";
import { DecommissionDialog } from "./decommission";
import { EditDialog } from "./edit";
import { ResumeUndoDialog } from "./resume-undo";
import { SuspendDialog } from "./suspend";

interface Opened {
  before: Tenant;
  after: Tenant;
  children: (tenant: Tenant) => ReactNode;
}

/** An open dialog while the tenant changes. */
function Meanwhile({ before, after, children }: Opened) {
  const [shown, setShown] = useState(before);
  return (
    <>
      <button type="button" data-testid="meanwhile" onClick={() => setShown(after)} />
      {children(shown)}
    </>
  );
}

function change() {
  fireEvent.click(screen.getByTestId("meanwhile"));
}

const close = () => {};
const runOf = ({ runs }: Tenant) => runs.edges[0]?.node;
const runs = (...all: ReturnType<typeof run>[]) => ({
  edges: all.map((node) => ({ node })),
  pageInfo: { hasNextPage: false },
});

test("when another user cancels while the cancel dialog is open, it says who, when and why, and offers no second cancel", () => {
  const cancelRequest = {
    requestedAt: "2026-11-27T09:00:00Z",
    requestedBy: { id: "adam", displayName: "Adam Admin" },
    reason: "wrong plan",
    stepInFlight: null,
  };
  const cancelling = run({ status: "CANCELLING", cancelRequest });
  const after = tenant({ cancellationPreview: null, availableActions: [], runs: runs(cancelling) });
  render(
    <Meanwhile before={tenant()} after={after}>
      {(shown) => <CancelDialog tenant={shown} run={runOf(shown)} onClose={close} />}
    </Meanwhile>,
  );
  expect(screen.getByRole("button", { name: "Cancel provisioning" })).toBeEnabled();

  change();

  const dialog = screen.getByRole("dialog", { name: "Already cancelled by Adam Admin" });
  expect(dialog).toHaveTextContent(/requested at .*00.*: “wrong plan”\. The undo is under way/);
  expect(
    within(dialog)
      .getAllByRole("button")
      .map((button) => button.textContent),
  ).toEqual(["Watch the undo"]);
});

test("when the tenant becomes ACTIVE while the cancel dialog is open, it says so, and offers no cancel", () => {
  const done = run({ status: "SUCCEEDED" });
  const after = tenant({ state: "ACTIVE", currentRun: null, cancellationPreview: null, runs: runs(done) });
  render(
    <Meanwhile before={tenant()} after={after}>
      {(shown) => <CancelDialog tenant={shown} run={runOf(shown)} onClose={close} />}
    </Meanwhile>,
  );

  change();

  expect(screen.getByText("There is nothing to cancel any more: Shop is now ACTIVE.")).toBeVisible();
  expect(screen.getAllByRole("button").map((button) => button.textContent)).toEqual(["Close"]);
});

const gone = tenant({ state: "DECOMMISSIONING", availableActions: [] });
const active = tenant({ state: "ACTIVE", availableActions: ["SUSPEND", "DECOMMISSION"] });

test.each<[string, string, Tenant, (tenant: Tenant) => ReactNode]>([
  ["suspend", "Suspend", active, (shown) => <SuspendDialog tenant={shown} onClose={close} />],
  ["decommission", "Decommission", active, (shown) => <DecommissionDialog tenant={shown} onClose={close} />],
  [
    "edit",
    "Save",
    tenant({ state: "PENDING", availableActions: ["UPDATE"] }),
    (shown) => <EditDialog tenant={shown} onClose={close} />,
  ],
])("a dialog to %s says when that became impossible meanwhile, and cannot be sent", (_, button, before, dialog) => {
  render(
    <Meanwhile before={before} after={gone}>
      {dialog}
    </Meanwhile>,
  );
  expect(screen.queryByText(/not possible any more/)).toBeNull();

  change();

  expect(screen.getByText("This is not possible any more: Shop is now DECOMMISSIONING.")).toBeVisible();
  expect(screen.getByRole("button", { name: button })).toBeDisabled();
});

test("the dialog for a stuck undo says when the undo was resumed meanwhile", () => {
  const before = tenant({ availableActions: ["RESUME_COMPENSATION"] });
  render(
    <Meanwhile before={before} after={tenant({ availableActions: [] })}>
      {(shown) => <ResumeUndoDialog tenant={shown} run={runOf(shown)} onClose={close} />}
    </Meanwhile>,
  );

  change();

  expect(screen.getByText("The undo is not stuck any more: it was resumed.")).toBeVisible();
  expect(screen.getByRole("button", { name: "Try again" })).toBeDisabled();
});

test.each(["PENDING", "FAILED"] as const)(
  "decommissioning a %s tenant says that it holds nothing, and asks for no slug, as the API",
  async (state) => {
    const held = tenant({ state, heldResources: [], availableActions: ["DECOMMISSION"] });
    const { user, sent } = render(<DecommissionDialog tenant={held} onClose={close} />, {
      answers: { DecommissionTenant: { decommissionTenant: { userErrors: [] } } },
    });
    expect(screen.getByText(/It holds nothing, so nothing is removed/)).toBeVisible();
    expect(screen.getByText(/any other one can get its address/)).toBeVisible();
    expect(screen.queryByRole("textbox")).toBeNull();

    await user.click(screen.getByRole("button", { name: "Decommission" }));

    const input = { tenantId: "tenant-1", confirmSlug: null, idempotencyKey: expect.any(String) };
    expect(sent).toEqual([{ name: "DecommissionTenant", variables: { input } }]);
  },
);

test.each(["ACTIVE", "SUSPENDED"] as const)(
  "decommissioning a %s tenant says for whom its slug and its address are free, and for how long they are not",
  (state) => {
    render(<DecommissionDialog tenant={tenant({ state, availableActions: ["DECOMMISSION"] })} onClose={close} />);

    expect(screen.getByText(/Your organisation can then use the slug again; no other one gets/)).toHaveTextContent(
      "no other one gets its address for a year.",
    );
    expect(document.body).not.toHaveTextContent("available again");
  },
);

test("decommissioning names what was left in place earlier, and that it stays", () => {
  const left = tenant({ state: "PENDING", heldResources: [], abandonedResources: [abandoned("workload", "w_shop_1")] });
  render(<DecommissionDialog tenant={left} onClose={close} />);

  const item = screen.getByRole("listitem");
  expect(item).toHaveTextContent(/workload w_shop_1, left in place by Olive Owner, .*: “the cluster is gone”/);
});
