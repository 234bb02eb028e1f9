import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { throttle } from "./throttle";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test("a burst of calls runs once at once, and once more at the end", () => {
  const run = vi.fn();
  const { call } = throttle(run, 500);

  for (let times = 0; times < 20; times += 1) call();
  expect(run).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(2000);

  expect(run).toHaveBeenCalledTimes(2);
});

test("a pending call is dropped when the throttle is cancelled", () => {
  const run = vi.fn();
  const { call, cancel } = throttle(run, 500);

  call();
  call();
  cancel();
  vi.advanceTimersByTime(2000);

  expect(run).toHaveBeenCalledTimes(1);
});
