import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { throttled } from "./throttled";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test("much that happens at once is answered at once, and once more in the end", () => {
  const act = vi.fn();
  const { ask } = throttled(act, 500);

  for (let times = 0; times < 20; times += 1) ask();
  expect(act).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(2000);

  expect(act).toHaveBeenCalledTimes(2);
});

test("whoever has left is not asked for any more", () => {
  const act = vi.fn();
  const { ask, end } = throttled(act, 500);

  ask();
  ask();
  end();
  vi.advanceTimersByTime(2000);

  expect(act).toHaveBeenCalledTimes(1);
});
