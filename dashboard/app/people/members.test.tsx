import { screen, within } from "@testing-library/react";
import { expect, test } from "vitest";
import type { MemberRowFragment } from "../__generated__/graphql";
import { render } from "../testing";
import { PeoplePage } from "./page";

const BOB: MemberRowFragment = {
  id: "member-2",
  name: "Bob",
  email: "bob@acme.example",
  role: "ADMIN",
  pending: false,
  version: 4,
  createdAt: "2026-11-01T09:00:00Z",
  invitedAt: "2026-11-01T09:00:00Z",
  joinedAt: "2026-11-02T09:00:00Z",
};

function open(answers: Record<string, unknown> = {}, scopes?: string[]) {
  const pageInfo = { hasNextPage: false, hasPreviousPage: false, startCursor: "first", endCursor: "last" };
  const lists = {
    PeopleMembers: { organization: { id: "acme", members: { edges: [{ node: BOB }], pageInfo } } },
    PeopleServiceAccounts: { organization: { id: "acme", serviceAccounts: { edges: [], pageInfo } } },
  };
  const options = { answers: { ...lists, ...answers }, route: "/people" };
  const rendered = render(<PeoplePage />, scopes ? { ...options, scopes } : options);
  const inputs = (name: string) => rendered.sent.filter((one) => one.name === name).map((one) => one.variables.input);
  return { ...rendered, inputs };
}

const changed = { changeMemberRole: { member: BOB, userErrors: [] } };

test("a transfer of the ownership asks first, and says which role the old owner gets", async () => {
  const { user, inputs } = open({ ChangeMemberRole: changed });

  await user.click(screen.getByRole("button", { name: "Change role of Bob" }));
  await user.selectOptions(screen.getByLabelText("Role"), "OWNER");
  await user.click(screen.getByRole("button", { name: "Change role" }));

  const dialog = within(screen.getByRole("alertdialog", { name: "Transfer ownership?" }));
  expect(dialog.getByText(/Bob becomes the owner, and you become an ADMIN/)).toBeVisible();
  expect(inputs("ChangeMemberRole")).toEqual([]);
  await user.click(dialog.getByRole("button", { name: "Transfer ownership" }));
  expect(inputs("ChangeMemberRole")).toEqual([
    { memberId: "member-2", role: "OWNER", expectedVersion: 4, idempotencyKey: expect.any(String) },
  ]);
  expect(screen.queryByRole("alertdialog")).toBeNull();
});

test("any other role is changed without a confirmation", async () => {
  const { user, inputs } = open({ ChangeMemberRole: changed });

  await user.click(screen.getByRole("button", { name: "Change role of Bob" }));
  await user.selectOptions(screen.getByLabelText("Role"), "VIEWER");
  await user.click(screen.getByRole("button", { name: "Change role" }));

  expect(inputs("ChangeMemberRole")).toEqual([
    { memberId: "member-2", role: "VIEWER", expectedVersion: 4, idempotencyKey: expect.any(String) },
  ]);
  expect(screen.getByText("Bob now has the role VIEWER.")).toBeVisible();
});

test("a refusal is shown in the server's words, and the list is fetched again", async () => {
  const refusal = { code: "FORBIDDEN", message: "You may not remove the owner.", field: null };
  const { user, sent } = open({ RemoveMember: { removeMember: { removedMemberId: null, userErrors: [refusal] } } });
  const requests = () => sent.filter((one) => one.name === "PeopleMembers").length;
  const before = requests();

  await user.click(screen.getByRole("button", { name: "Remove Bob" }));
  await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Remove" }));

  expect(screen.getByRole("alert")).toHaveTextContent("You may not remove the owner.");
  expect(requests()).toBe(before + 1);
});

test("the invitation dialog says that no e-mail is sent", async () => {
  const { user, inputs } = open({ InviteMember: { inviteMember: { member: BOB, userErrors: [] } } });

  await user.click(screen.getByRole("button", { name: "Invite a member" }));
  expect(screen.getByText(/No e-mail is sent/)).toBeVisible();
  await user.type(screen.getByRole("textbox", { name: "E-mail" }), "eve@acme.example");
  await user.click(screen.getByRole("button", { name: "Invite" }));

  expect(inputs("InviteMember")).toEqual([
    { email: "eve@acme.example", role: "VIEWER", name: null, idempotencyKey: expect.any(String) },
  ]);
});

test("a user without members:manage sees who can manage people, and nothing is queried", () => {
  const { sent } = open({}, ["tenants:read"]);

  expect(screen.getByText(/Only the owner and the admins/)).toBeVisible();
  expect(sent).toEqual([]);
});

test("the owner can neither be changed nor removed, and the row says how the ownership moves on", () => {
  const olive = { ...BOB, id: "member-1", name: "Olive", role: "OWNER" as const };
  const pageInfo = { hasNextPage: false, hasPreviousPage: false, startCursor: "first", endCursor: "last" };
  open({
    PeopleMembers: { organization: { id: "acme", members: { edges: [{ node: olive }, { node: BOB }], pageInfo } } },
  });

  const buttons = screen.getAllByRole("button", { name: /^(Remove|Change role)/ });
  expect(buttons.map((button) => button.textContent)).toEqual(["Change role of Bob", "Remove Bob"]);
  expect(screen.getByText("To change this, give the role OWNER to another member.")).toBeVisible();
});
