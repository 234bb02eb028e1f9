import { expect, test } from "vitest";
import { LinkStore } from "./link";
import { waitBefore } from "./socket";

test("a connection that came back is counted, so that pages ask again for what nobody told them", () => {
  const link = new LinkStore();

  link.connecting(false);
  link.connected();
  expect(link.read()).toEqual({ state: "live", regained: 0 });
  link.closed(1006);
  link.connecting(true);
  expect(link.read().state).toBe("lost");
  link.connected();

  expect(link.read()).toEqual({ state: "live", regained: 1 });
});

test("a connection that nobody needs any more is not lost", () => {
  const link = new LinkStore();

  link.connected();
  link.closed(1000);

  expect(link.read().state).toBe("idle");
});

test("a client waits longer with every try, and never long", () => {
  const longest = [0, 1, 2, 3, 10].map((tries) => Math.max(...Array.from({ length: 50 }, () => waitBefore(tries))));

  expect(longest).toEqual(longest.toSorted((one, other) => one - other));
  expect(longest.at(-1)).toBeLessThanOrEqual(5000);
});
