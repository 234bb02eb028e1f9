/** Every page that follows the feed has a way on when the server does not know its cursor any more. */

import { screen } from "@testing-library/react";
import { Route, Routes } from "react-router";
import { useQuery } from "urql";
import { afterEach, expect, test, vi } from "vitest";
import { type AuditRowFragment, MeDocument } from "./__generated__/graphql";
import { Api } from "./api/api";
import { AuditPage } from "./audit/page";
import { tenant } from "./tenant/fixtures";
import { TenantPage } from "./tenant/page";
import { TenantsPage } from "./tenants/page";
import { render, unknownCursor } from "./testing";
import { Problem } from "./ui/notice";

afterEach(() => vi.unstubAllGlobals());

const CAUSE = /restored to an earlier time.*retention/;
const BUTTON = { name: "Load the newest entries" };

type Answer = (opened: number) => object;

function infoAt(cursor: string) {
  return { hasNextPage: false, hasPreviousPage: false, startCursor: cursor, endCursor: cursor };
}

const entry: AuditRowFragment = {
  id: "1",
  type: "tenant.created",
  occurredAt: "2026-11-27T09:00:00Z",
  requestId: null,
  data: {},
  actor: { id: "actor-1", kind: "USER", displayName: "Olive Owner" },
  tenant: null,
  run: null,
};

const feed: Answer = (opened) => ({ auditEvents: { edges: [{ node: entry }], pageInfo: infoAt(`c${opened}`) } });

const tenants: Answer = (opened) => ({
  tenants: { edges: [], pageInfo: infoAt("tenant"), totalCount: 0 },
  organization: { id: "acme", tenantsUsed: 0, tenantsAllowed: 50 },
  feed: { pageInfo: { startCursor: `c${opened}` } },
});

const oneTenant: Answer = (opened) => {
  const node = {
    id: "e",
    cursor: `c${opened}`,
    sequence: 1,
    kind: "RUN_STARTED",
    step: null,
    message: "",
    occurredAt: entry.occurredAt,
  };
  const timeline = { edges: [{ cursor: node.cursor, node }], pageInfo: { hasPreviousPage: false } };
  return { tenant: { ...tenant(), newest: { edges: [{ node: { id: "run-1", timeline } }] } } };
};

const tenantCursor: Answer = (opened) => ({ ...feed(opened), tenant: tenant() });

const PAGES = [
  { page: "the audit feed", path: "/audit", subscription: "AuditEventAdded", answers: { AuditEvents: feed } },
  { page: "the list of tenants", path: "/tenants", subscription: "TenantsChanged", answers: { Tenants: tenants } },
  {
    page: "a tenant's timeline",
    path: "/tenants/0192",
    subscription: "TenantProvisioning",
    answers: { Tenant: oneTenant, TenantCursor: tenantCursor },
  },
  {
    page: "a tenant's changes",
    path: "/tenants/0192",
    subscription: "TenantChanged",
    answers: { Tenant: oneTenant, TenantCursor: tenantCursor },
  },
];

/** Render the page of this path. Each answer is told how often the page was opened. */
function open(path: string, answers: Record<string, Answer>) {
  let opened = 1;
  const counted = Object.entries(answers).map(([name, answer]) => [name, () => answer(opened)]);
  const rendered = render(
    <Routes>
      <Route path="/audit" element={<AuditPage />} />
      <Route path="/tenants" element={<TenantsPage />} />
      <Route path="/tenants/:key" element={<TenantPage />} />
    </Routes>,
    { answers: Object.fromEntries(counted), route: path },
  );
  const openAgain = async () => {
    opened += 1;
    await rendered.user.click(screen.getByRole("button", BUTTON));
  };
  const sentAs = (name: string) => rendered.sent.filter((one) => one.name === name).map((one) => one.variables);
  return { ...rendered, openAgain, sentAs };
}

test.each(PAGES)("the subscription of $page starts again after the newest entry", async (listed) => {
  const { emit, openAgain, sentAs } = open(listed.path, listed.answers);
  expect(sentAs(listed.subscription).at(-1)).toMatchObject({ after: "c1" });

  emit(listed.subscription, unknownCursor());
  expect(screen.getByRole("alert")).toHaveTextContent(CAUSE);
  expect(screen.getByRole("alert")).toHaveTextContent("request-9");
  expect(screen.queryByRole("button", { name: "Try again" })).toBeNull();
  await openAgain();

  expect(sentAs(listed.subscription).at(-1)).toMatchObject({ after: "c2" });
  expect(screen.queryByRole("alert")).toBeNull();
});

test.each(["after", "before"])("an address with an unknown cursor (%s) keeps its filters only", async (name) => {
  const newest = feed(1);
  const answer = (variables: Record<string, unknown>) => (variables[name] ? unknownCursor() : newest);
  const { user, url, sent, emit } = render(<AuditPage />, {
    answers: { AuditEvents: answer },
    route: `/audit?type=tenant.*&${name}=lost`,
  });
  expect(await screen.findByRole("alert")).toHaveTextContent(CAUSE);

  await user.click(screen.getByRole("button", BUTTON));
  const another = { ...entry, id: "2", type: "tenant.suspended" };
  emit("AuditEventAdded", { auditEventAdded: { cursor: "c2", ...another } });

  expect(url()).toBe("/audit?type=tenant.*");
  expect(screen.queryByRole("alert")).toBeNull();
  expect(screen.getAllByRole("rowheader").map((cell) => cell.textContent)).toEqual([
    "tenant.suspended",
    "tenant.created",
  ]);
  expect(sent.findLast((one) => one.name === "AuditEventAdded")?.variables.after).toBe("c1");
});

function CachedName() {
  const [{ data }] = useQuery({ query: MeDocument });
  return <p>{data?.viewer.actor.displayName}</p>;
}

test("a fresh start forgets what was read before, so that no lost entry is shown from the cache", async () => {
  const actor = (displayName: string) => ({ __typename: "User", id: "actor", kind: "USER", displayName });
  const names = ["before", "after"];
  const fetching = vi.fn(async () => {
    const viewer = { __typename: "Viewer", actor: actor(names.shift() ?? "too often"), scopes: [] };
    return Response.json({ data: { viewer, organization: null } });
  });
  vi.stubGlobal("fetch", fetching);
  const { user } = render(
    <Api identity={{ token: "token", organization: "" }}>
      <CachedName />
      <Problem error={unknownCursor()} />
    </Api>,
  );
  await screen.findByText("before");

  await user.click(screen.getByRole("button", BUTTON));

  await screen.findByText("after");
  expect(fetching).toHaveBeenCalledTimes(2);
});
