import { afterEach, beforeEach, expect, test, vi } from "vitest";

const OLIVE = { token: "tnt_olive", organization: "acme" };
const ADAM = { token: "tnt_adam", organization: "" };

/** A tab: its own copy of the modules and its own storage, and a channel to the other tabs. */
async function openTab(identity = ""): Promise<typeof import("./session")> {
  vi.resetModules();
  sessionStorage.clear();
  if (identity) sessionStorage.setItem("tenantry.identity", identity);
  return import("./session");
}

beforeEach(() => {
  // One channel per test, as the tabs of an earlier test are never closed.
  const { BroadcastChannel } = globalThis;
  const name = crypto.randomUUID();
  vi.stubGlobal("BroadcastChannel", function open() {
    return new BroadcastChannel(name);
  });
});

afterEach(() => vi.unstubAllGlobals());

test("a new tab takes over the session of an open tab, and stores nothing lasting", async () => {
  const first = await openTab();
  first.signIn(OLIVE);

  const second = await openTab();

  expect(second.currentSession().asking).toBe(true);
  await expect.poll(() => second.currentSession()).toEqual({ identity: OLIVE, asking: false, endReason: "" });
  expect(localStorage).toHaveLength(0);
});

test("the first tab is signed out", async () => {
  const tab = await openTab();

  await expect.poll(() => tab.currentSession().asking).toBe(false);
  expect(tab.currentSession().identity.token).toBe("");
});

test("a sign-out ends the session in all tabs of this user, and in no other", async () => {
  const first = await openTab(JSON.stringify(OLIVE));
  const second = await openTab(JSON.stringify(OLIVE));
  const third = await openTab(JSON.stringify(ADAM));

  first.signOut();

  await expect.poll(() => second.currentSession().endReason).toBe("You signed out in another tab.");
  expect(second.currentSession().identity.token).toBe("");
  expect(third.currentSession().identity).toEqual(ADAM);
});

test.each([
  ["storage is refused", () => vi.stubGlobal("sessionStorage", undefined)],
  [
    "naming the storage throws",
    () =>
      vi.spyOn(window, "sessionStorage", "get").mockImplementation(() => {
        throw new DOMException("Access is denied for this document.", "SecurityError");
      }),
  ],
  [
    "the storage is full",
    () =>
      vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
        throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
      }),
  ],
  ["there is no channel to other tabs", () => vi.stubGlobal("BroadcastChannel", undefined)],
])("a user can sign in and out when %s", async (_, refuse) => {
  vi.resetModules();
  refuse();
  const { signIn, signOut, currentSession } = await import("./session");

  signIn({ token: " Bearer tnt_olive ", organization: " acme " });
  expect(currentSession().identity).toEqual(OLIVE);
  signOut();

  expect(currentSession().identity.token).toBe("");
});

test.each(["{", "null", "7", '{"token":7}', "[]"])("an identity that cannot be read, %s, is none", async (stored) => {
  const tab = await openTab(stored);

  expect(tab.currentSession().identity.token).toBe("");
});
