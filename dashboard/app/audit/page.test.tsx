import { fireEvent, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { AuditRowFragment } from "../__generated__/graphql";
import { render } from "../testing";
import { AuditPage } from "./page";

afterEach(() => vi.unstubAllGlobals());

function entry(id: string, changes: Partial<AuditRowFragment> = {}): AuditRowFragment {
  return {
    id,
    type: "tenant.provisioning.cancelled",
    occurredAt: "2026-11-27T09:00:00Z",
    requestId: "request-7",
    data: { reason: "wrong plan", total_duration_ms: 5120 },
    actor: { id: "actor-1", kind: "USER", displayName: "olive@acme.example" },
    tenant: { id: "tenant-1", databaseId: "0192", slug: "shop" },
    run: { id: "run-1", number: 2 },
    ...changes,
  };
}

function page(...events: AuditRowFragment[]) {
  const [newest] = events;
  const startCursor = newest ? `cursor of ${newest.id}` : null;
  const pageInfo = { hasNextPage: true, hasPreviousPage: false, startCursor, endCursor: "last" };
  return { auditEvents: { edges: events.map((node) => ({ node })), pageInfo } };
}

function open(route = "/audit", answers: Record<string, unknown> = {}) {
  const rendered = render(<AuditPage />, { answers: { AuditEvents: page(entry("1")), ...answers }, route });
  const requests = (name = "AuditEvents") =>
    rendered.sent.filter((one) => one.name === name).map((one) => one.variables);
  return { ...rendered, requests };
}

test("choosing a family of types puts it into the URL and returns to the first page", async () => {
  const { user, url, requests } = open("/audit?after=somewhere");
  expect(requests().at(-1)).toEqual({ first: 50, after: "somewhere", filter: {} });

  await user.selectOptions(screen.getByLabelText("Type"), "tenant.provisioning.*");

  expect(url()).toBe("/audit?type=tenant.provisioning.*");
  expect(requests().at(-1)).toEqual({ first: 50, filter: { typeIn: ["tenant.provisioning.*"] } });
});

test("a type in the URL that the list does not have is applied all the same", () => {
  const { requests } = open("/audit?type=tenant.resumed");

  expect(screen.getByLabelText("Type")).toHaveValue("tenant.resumed");
  expect(requests().at(-1)).toEqual({ first: 50, filter: { typeIn: ["tenant.resumed"] } });
});

test("a time is chosen in local time and queried in UTC", () => {
  const { requests } = open();
  const local = "2026-11-01T10:00";

  fireEvent.change(screen.getByLabelText("From"), { target: { value: local } });

  expect(screen.getByLabelText("From")).toHaveValue(local);
  expect(requests().at(-1)).toEqual({ first: 50, filter: { occurredFrom: new Date(local).toISOString() } });
});

test("an entry unfolds its details and its request id", async () => {
  const { user } = open();

  await user.click(screen.getByText("Details", { selector: "summary" }));

  expect(screen.getByText("wrong plan")).toBeVisible();
  expect(screen.getByText("5.1 s")).toBeVisible();
  expect(screen.getByText("request-7")).toBeVisible();
  expect(screen.getByRole("link", { name: "shop" })).toHaveAttribute("href", "/tenants/0192");
});

test("an entry's actor can be set as a filter, and removed again", async () => {
  const named = { node: { id: "actor-1", displayName: "olive@acme.example" } };
  const { user, url } = open("/audit", { AuditActorName: named });

  await user.click(screen.getByText("Details", { selector: "summary" }));
  await user.click(screen.getByRole("button", { name: "Only this actor" }));
  expect(url()).toBe("/audit?actor=actor-1");
  await user.click(screen.getByRole("button", { name: "Remove the filter on actor olive@acme.example" }));

  expect(url()).toBe("/audit");
});

test("new entries appear on top, without fetching the page again", () => {
  const { requests, emit } = open();
  expect(requests("AuditEventAdded")).toEqual([{ after: "cursor of 1", filter: {} }]);
  const before = requests().length;

  emit("AuditEventAdded", { auditEventAdded: { cursor: "2", ...entry("2", { type: "tenant.updated" }) } });
  emit("AuditEventAdded", { auditEventAdded: { cursor: "3", ...entry("3", { type: "tenant.suspended" }) } });

  const types = screen.getAllByRole("rowheader").map((cell) => cell.textContent);
  expect(types).toEqual(["tenant.suspended", "tenant.updated", "tenant.provisioning.cancelled"]);
  expect(requests()).toHaveLength(before);
});

test("an older page does not subscribe to new entries", () => {
  const { requests } = open("/audit?after=somewhere");

  expect(requests("AuditEventAdded")).toEqual([]);
});

test("an empty result offers to clear the filters", async () => {
  const { user, url } = open("/audit?type=org.*", { AuditEvents: page() });

  await user.click(screen.getByRole("button", { name: "Clear the filters" }));

  expect(url()).toBe("/audit");
});

test("a refused export shows the reason and the request id", async () => {
  const error = { message: "Your budget is spent.", extensions: { code: "RATE_LIMITED", requestId: "request-9" } };
  const fetching = vi.fn(async () => new Response(JSON.stringify({ errors: [error] }), { status: 429 }));
  vi.stubGlobal("fetch", fetching);
  const { user } = open("/audit?tenant=tenant-1&after=somewhere");

  await user.click(screen.getByRole("button", { name: "Export CSV" }));

  const alert = await screen.findByRole("alert");
  expect(alert).toHaveTextContent("Your budget is spent.");
  expect(alert).toHaveTextContent("request-9");
  expect(fetching).toHaveBeenCalledWith("/export/audit.csv?tenantId=tenant-1", expect.anything());
});

test("a user without audit:read sees which right is missing, and nothing is queried", () => {
  const { sent } = render(<AuditPage />, { scopes: ["tenants:read"] });

  expect(screen.getByText("audit:read")).toBeVisible();
  expect(sent).toEqual([]);
});
