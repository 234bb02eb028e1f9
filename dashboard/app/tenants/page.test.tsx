import { screen, waitFor, within } from "@testing-library/react";
import { expect, test } from "vitest";
import type { ListedTenantFragment } from "../__generated__/graphql";
import { render } from "../testing";
import { TenantsPage } from "./page";

function row(slug: string, changes: Partial<ListedTenantFragment> = {}): ListedTenantFragment {
  return {
    id: slug,
    databaseId: `key-of-${slug}`,
    slug,
    name: slug,
    state: "PROVISIONING",
    plan: "pro",
    region: "eu-central",
    updatedAt: "2026-11-27T09:00:00Z",
    availableActions: ["CANCEL_PROVISIONING"],
    currentRun: { id: `run of ${slug}`, status: "RUNNING" },
    abandonedResources: [],
    ...changes,
  };
}

function page(...rows: ListedTenantFragment[]) {
  const edges = rows.map((node) => ({ cursor: node.id, node }));
  const pageInfo = { hasNextPage: true, hasPreviousPage: false, startCursor: "first", endCursor: "last" };
  const organization = { id: "acme", tenantsUsed: 1, tenantsAllowed: 50 };
  return {
    tenants: { edges, pageInfo, totalCount: rows.length },
    organization,
    feed: { pageInfo: { startCursor: "c7" } },
  };
}

const OPTIONS = { provisioningOptions: { plans: ["pro", "starter"], regions: ["eu-central", "us-east"] } };

test("filters are put into the URL, and return to the first page", async () => {
  const { user, url, sent } = render(<TenantsPage />, {
    answers: { Tenants: page(row("a")), ProvisioningOptions: OPTIONS },
    route: "/tenants?after=somewhere",
  });

  await user.selectOptions(screen.getByLabelText("State"), "FAILED");
  await user.selectOptions(screen.getByLabelText("Plan"), "starter");

  expect(url()).toBe("/tenants?state=FAILED&plan=starter");
  expect(sent.findLast((one) => one.name === "Tenants")?.variables).toEqual({
    first: 25,
    filter: { stateIn: ["FAILED"], planIn: ["starter"] },
    orderBy: null,
    follow: true,
  });
});

test("pages are turned by cursor", async () => {
  const { user, url } = render(<TenantsPage />, { answers: { Tenants: page(row("a")), ProvisioningOptions: OPTIONS } });

  await user.click(screen.getByRole("button", { name: "Next" }));

  expect(url()).toBe("/?after=last");
});

test("an empty list says so, and a filtered one offers to clear the filters", async () => {
  const { user, url } = render(<TenantsPage />, {
    answers: { Tenants: page(), ProvisioningOptions: OPTIONS },
    route: "/tenants?state=FAILED",
  });

  await user.click(screen.getByRole("button", { name: "Clear the filters" }));

  expect(url()).toBe("/tenants");
  expect(screen.getByText(/There are no tenants yet/)).toBeVisible();
});

test("a user without tenants:write is offered no action", () => {
  render(<TenantsPage />, {
    answers: { Tenants: page(row("a", { availableActions: [] })), ProvisioningOptions: OPTIONS },
    scopes: ["tenants:read"],
  });

  expect(screen.queryByRole("button", { name: "Create tenant" })).toBeNull();
  expect(screen.queryByRole("checkbox")).toBeNull();
});

test("several provisionings are cancelled at once, with a result for each", async () => {
  const late = { code: "INVALID_STATE", message: "It is ACTIVE.", field: null };
  const results = [
    { tenant: row("a"), run: null, alreadyRequested: false, userErrors: [] },
    { tenant: row("b"), run: null, alreadyRequested: false, userErrors: [late] },
  ];
  const { user, sent } = render(<TenantsPage />, {
    answers: {
      Tenants: page(row("a"), row("b"), row("c", { state: "ACTIVE", availableActions: ["SUSPEND"] })),
      ProvisioningOptions: OPTIONS,
      CancelProvisionings: { cancelProvisionings: { results, userErrors: [] } },
    },
  });

  await user.click(screen.getByLabelText("Select all that can be cancelled"));
  await user.click(screen.getByRole("button", { name: "Cancel 2 provisionings…" }));
  const dialog = within(screen.getByRole("alertdialog"));
  await user.type(dialog.getByRole("textbox"), "wrong plan");
  await user.click(dialog.getByRole("button", { name: "Cancel provisionings" }));

  expect(sent.at(-1)?.variables).toEqual({
    input: { tenantIds: ["a", "b"], reason: "wrong plan", idempotencyKey: expect.any(String) },
  });
  expect(dialog.getAllByRole("listitem").map((item) => item.textContent)).toEqual([
    "a: cancelling",
    "b: It is ACTIVE.",
  ]);
});

test("a change of a tenant's state fetches the list again", () => {
  const { sent, emit } = render(<TenantsPage />, {
    answers: { Tenants: page(row("a")), ProvisioningOptions: OPTIONS },
  });
  expect(sent.find((one) => one.name === "TenantsChanged")?.variables).toEqual({ after: "c7" });
  const requests = () => sent.filter((one) => one.name === "Tenants").length;
  const before = requests();

  emit("TenantsChanged", {
    auditEventAdded: { id: "1", cursor: "1", type: "tenant.provisioning.step_started", tenant: row("a") },
  });
  expect(requests()).toBe(before);
  emit("TenantsChanged", {
    auditEventAdded: { id: "2", cursor: "2", type: "tenant.provisioning.completed", tenant: row("a") },
  });

  expect(requests()).toBe(before + 1);
});

const checked = ({ slug }: Record<string, unknown>) => ({
  slugCheck: { slug, available: slug === "shop", problem: "It is taken.", url: "http://shop-acme.localhost" },
});

test("a slug is checked while it is typed, and the tenant's address is shown", async () => {
  const { user } = render(<TenantsPage />, {
    answers: {
      Tenants: page(),
      ProvisioningOptions: OPTIONS,
      SlugCheck: checked,
    },
  });

  await user.click(screen.getByRole("button", { name: "Create tenant" }));
  await user.type(screen.getByRole("textbox", { name: "Slug" }), "shop");

  expect(await screen.findByText(/The tenant’s address will be http:\/\/shop-acme.localhost/)).toBeVisible();
});

test("the list can be limited to tenants that left something behind", async () => {
  const { user, url, sent } = render(<TenantsPage />, {
    answers: { Tenants: page(row("a")), ProvisioningOptions: OPTIONS },
  });

  await user.selectOptions(screen.getByLabelText("Left behind"), "Something");

  expect(url()).toBe("/?left=yes");
  expect(sent.findLast((one) => one.name === "Tenants")?.variables.filter).toEqual({ hasAbandonedResources: true });
});

test("a row says how many resources its tenant has left behind", () => {
  const left = [{ name: "t_shop_1" }, { name: "workload-1" }];
  const rows = [
    row("none"),
    row("one", { state: "PENDING", abandonedResources: left.slice(1) }),
    row("two", { state: "DECOMMISSIONED", abandonedResources: left }),
    row("stuck", { currentRun: { id: "r", status: "STUCK" }, abandonedResources: left }),
  ];
  render(<TenantsPage />, { answers: { Tenants: page(...rows), ProvisioningOptions: OPTIONS } });

  const badges = screen
    .getAllByRole("row")
    .map((line) => [...line.querySelectorAll(".badge")].map((one) => one.textContent));

  expect(badges.slice(1)).toEqual([
    ["PROVISIONING"],
    ["PENDING", "1 left behind"],
    ["DECOMMISSIONED", "2 left behind"],
    ["PROVISIONING", "Stuck", "2 left behind"],
  ]);
});

test.each(["compensation_resumed", "absence_confirmed"])(
  "a change of what a tenant has left behind (%s) fetches the list again",
  async (change) => {
    const { sent, emit } = render(<TenantsPage />, {
      answers: { Tenants: page(row("a")), ProvisioningOptions: OPTIONS },
    });
    const requests = () => sent.filter((one) => one.name === "Tenants").length;
    const before = requests();

    emit("TenantsChanged", {
      auditEventAdded: { id: "1", cursor: "1", type: `tenant.provisioning.${change}`, tenant: row("a") },
    });

    await waitFor(() => expect(requests()).toBe(before + 1));
  },
);

test("a problem under a field of an empty form goes as soon as the field is filled", async () => {
  const { user } = render(<TenantsPage />, {
    answers: { Tenants: page(), ProvisioningOptions: OPTIONS, SlugCheck: checked },
  });
  await user.click(screen.getByRole("button", { name: "Create tenant" }));
  const [slug, email] = ["Slug", "First administrator"].map((name) => screen.getByRole("textbox", { name }));
  await user.click(screen.getByRole("button", { name: "Create" }));
  for (const field of [slug, email]) expect(field).toBeInvalid();

  await user.type(slug as HTMLElement, "s");
  expect(slug).toBeValid();
  await user.type(email as HTMLElement, "ada");
  expect(email).toBeInvalid();
  await user.type(email as HTMLElement, "@example.com");

  expect(email).toBeValid();
  expect(document.querySelectorAll(".error")).toHaveLength(0);
});

test("a refusal of a choice goes with another choice", async () => {
  const refusal = { code: "NOT_ALLOWED", message: "The plan is not sold any more.", field: ["input", "plan"] };
  const { user } = render(<TenantsPage />, {
    answers: {
      Tenants: page(),
      ProvisioningOptions: OPTIONS,
      SlugCheck: checked,
      CreateTenant: { createTenant: { tenant: null, run: null, userErrors: [refusal] } },
    },
  });
  await user.click(screen.getByRole("button", { name: "Create tenant" }));
  await user.type(screen.getByRole("textbox", { name: "Slug" }), "shop");
  await user.type(screen.getByRole("textbox", { name: "First administrator" }), "ada@example.com");
  await user.click(screen.getByRole("button", { name: "Create" }));
  const dialog = within(screen.getByRole("dialog"));
  expect(dialog.getByText("The plan is not sold any more.")).toBeVisible();

  await user.selectOptions(dialog.getByLabelText("Plan"), "starter");

  expect(dialog.queryByText("The plan is not sold any more.")).toBeNull();
});
