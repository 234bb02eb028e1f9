import { expect, test } from "vitest";
import { ConnectionStore } from "./connection-status";
import { retryDelay } from "./socket";

test("a reconnect is counted, so that pages refetch what no subscription delivered", () => {
  const store = new ConnectionStore();

  store.connecting(false);
  store.connected();
  expect(store.read()).toEqual({ state: "live", reconnects: 0 });
  store.closed(1006);
  store.connecting(true);
  expect(store.read().state).toBe("lost");
  store.connected();

  expect(store.read()).toEqual({ state: "live", reconnects: 1 });
});

test("a connection that is no longer needed is not lost", () => {
  const store = new ConnectionStore();

  store.connected();
  store.closed(1000);

  expect(store.read().state).toBe("idle");
});

test("the back-off grows with every attempt, up to a limit", () => {
  const longest = [0, 1, 2, 3, 10].map((attempts) =>
    Math.max(...Array.from({ length: 50 }, () => retryDelay(attempts))),
  );

  expect(longest).toEqual(longest.toSorted((one, other) => one - other));
  expect(longest.at(-1)).toBeLessThanOrEqual(5000);
});
