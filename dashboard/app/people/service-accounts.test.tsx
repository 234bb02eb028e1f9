import { screen, within } from "@testing-library/react";
import { expect, test } from "vitest";
import type { ServiceAccountRowFragment } from "../__generated__/graphql";
import { render } from "../testing";
import { PeoplePage } from "./page";

const TOKEN = "tnt_example_token";

function account(name: string, changes: Partial<ServiceAccountRowFragment> = {}): ServiceAccountRowFragment {
  return {
    id: name,
    name,
    scopes: ["tenants:read"],
    tenantIds: null,
    version: 2,
    createdAt: "2026-11-01T09:00:00Z",
    expiresAt: null,
    lastUsedAt: null,
    revokedAt: null,
    previousTokenUntil: null,
    ...changes,
  };
}

function open(accounts: ServiceAccountRowFragment[] = [], answers: Record<string, unknown> = {}) {
  const pageInfo = { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null };
  const edges = accounts.map((node) => ({ node }));
  const lists = {
    PeopleMembers: { organization: { id: "acme", members: { edges: [], pageInfo } } },
    PeopleServiceAccounts: { organization: { id: "acme", serviceAccounts: { edges, pageInfo } } },
  };
  const rendered = render(<PeoplePage />, { answers: { ...lists, ...answers }, route: "/people" });
  const inputs = (name: string) => rendered.sent.filter((one) => one.name === name).map((one) => one.variables.input);
  return { ...rendered, inputs };
}

const created = { createServiceAccount: { serviceAccount: account("robot"), token: TOKEN, userErrors: [] } };

test("a token is shown once, and is gone after the dialog is closed", async () => {
  const { user, inputs } = open([], { CreateServiceAccount: created });

  await user.click(screen.getByRole("button", { name: "Create a service account" }));
  await user.type(screen.getByRole("textbox", { name: "Name" }), "robot");
  await user.click(screen.getByRole("checkbox", { name: /tenants:read/ }));
  await user.click(screen.getByRole("button", { name: "Create" }));

  expect(inputs("CreateServiceAccount")).toEqual([
    { name: "robot", scopes: ["tenants:read"], expiresAt: null, idempotencyKey: expect.any(String) },
  ]);
  expect(screen.getByRole("textbox", { name: "API token" })).toHaveValue(TOKEN);
  expect(screen.getByText(/Shown only once/)).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Close" }));
  await user.click(screen.getByRole("button", { name: "Create a service account" }));
  expect(screen.queryByDisplayValue(TOKEN)).toBeNull();
});

test("a token can be copied", async () => {
  const { user } = open([], { CreateServiceAccount: created });

  await user.click(screen.getByRole("button", { name: "Create a service account" }));
  await user.type(screen.getByRole("textbox", { name: "Name" }), "robot");
  await user.click(screen.getByRole("button", { name: "Create" }));
  await user.click(screen.getByRole("button", { name: "Copy" }));

  expect(await screen.findByText("Copied.")).toBeVisible();
  expect(await navigator.clipboard.readText()).toBe(TOKEN);
});

test("a service account is offered no right that only members can have", async () => {
  const { user } = open();

  await user.click(screen.getByRole("button", { name: "Create a service account" }));

  expect(screen.getByRole("checkbox", { name: /audit:export/ })).toBeInTheDocument();
  expect(screen.queryByRole("checkbox", { name: /members:manage/ })).toBeNull();
  expect(screen.queryByRole("checkbox", { name: /tenants:first-admin/ })).toBeNull();
});

test("a rotation asks for how long the old token stays valid", async () => {
  const rotated = { rotateServiceAccountToken: { serviceAccount: account("robot"), token: TOKEN, userErrors: [] } };
  const { user, inputs } = open([account("robot")], { RotateServiceAccountToken: rotated });

  await user.click(screen.getByRole("button", { name: "Rotate token robot" }));
  await user.selectOptions(screen.getByLabelText("The old token stays valid"), "P1D");
  await user.click(screen.getByRole("button", { name: "Rotate" }));

  const input = { serviceAccountId: "robot", overlap: "P1D", expectedVersion: 2, idempotencyKey: expect.any(String) };
  expect(inputs("RotateServiceAccountToken")).toEqual([input]);
  expect(screen.getByRole("textbox", { name: "API token" })).toHaveValue(TOKEN);
});

test("the state of an account is shown as a word, and a revoked account has no actions", () => {
  open([account("old", { expiresAt: "2020-01-01T00:00:00Z" }), account("gone", { revokedAt: "2026-11-20T09:00:00Z" })]);

  expect(within(screen.getByRole("row", { name: /old/ })).getByText("expired")).toBeVisible();
  const gone = within(screen.getByRole("row", { name: /gone/ }));
  expect(gone.getByText("revoked")).toBeVisible();
  expect(gone.queryAllByRole("button")).toEqual([]);
});
