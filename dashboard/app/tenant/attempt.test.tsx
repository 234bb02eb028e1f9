import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { render } from "../testing";
import { Attempt } from "./attempt";
import { step } from "./fixtures";
import type { Step } from "./run";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(new Date("2026-11-27T09:00:30Z"));
});

afterEach(() => {
  vi.useRealTimers();
});

function textOf(changes: Partial<Step>): string {
  return render(<Attempt step={step("deploy_workloads", changes)} />).container.textContent ?? "";
}

const RUNNING = { status: "RUNNING", attempts: 1, attemptStartedAt: "2026-11-27T09:00:00Z" } as const;
const UNDO = { status: "COMPENSATING", compensationAttempts: 1, maxCompensationAttempts: 8 } as const;

test("a step with a recent heartbeat is running", () => {
  expect(textOf({ ...RUNNING, heartbeatAt: "2026-11-27T09:00:27Z" })).toBe("Running, last heartbeat 3.0 s ago");
});

test("a step without a heartbeat for longer than the lease is marked as stalled", () => {
  expect(textOf({ ...RUNNING, heartbeatAt: "2026-11-27T09:00:00Z" })).toContain("Stalled? Last heartbeat 30 s ago.");
});

test("a step between two attempts is not running: it says which attempt is next, when, and why", () => {
  const waiting = {
    status: "RUNNING",
    attempts: 2,
    error: "The deployer answered 503.",
    nextAttemptAt: "2026-11-27T09:00:32Z",
    // The worker of the attempt that failed left it.
    heartbeatAt: "2026-11-27T09:00:29Z",
  } as const;

  expect(textOf(waiting)).toBe("Attempt 3 of 5 in 2.0 s: The deployer answered 503.");
});

test("a step that asks again and again says what it was told, for how long, and until when", () => {
  const polled = { ...RUNNING, message: "2 of 3 replicas", nextAttemptAt: "2026-11-27T09:00:31Z" };
  const text = textOf({ ...polled, attemptDeadlineAt: "2026-11-27T09:10:00Z" });

  expect(text).toMatch(/^2 of 3 replicas · waiting for 30 s, asked again in 1.0 s · this attempt ends by .*10:00/);
});

test("a step that its worker goes on polling shows the heartbeat, so that a lost worker is seen", () => {
  const polled = { ...RUNNING, message: "2 of 3 replicas", nextAttemptAt: "2026-11-27T08:59:40Z" };

  expect(textOf({ ...polled, heartbeatAt: "2026-11-27T09:00:27Z" })).toMatch(
    /^2 of 3 replicas · waiting for 30 s · Running, last heartbeat 3.0 s ago$/,
  );
  expect(textOf({ ...polled, heartbeatAt: "2026-11-27T08:59:30Z" })).toMatch(/ · Stalled\? Last heartbeat/);
});

test("an undo that hangs says the deployer's words, attempt, duration and end, and that operators were warned", () => {
  const text = textOf({
    ...UNDO,
    compensationAttempts: 2,
    compensationError: "The undo took longer than 5 min.",
    message: "terminating",
    attemptStartedAt: "2026-11-27T08:56:30Z",
    nextAttemptAt: "2026-11-27T09:00:31Z",
    attemptDeadlineAt: "2026-11-27T09:01:30Z",
    compensationDelayedAt: "2026-11-27T08:59:00Z",
  });

  expect(text).toMatch(
    /^Attempt 2 of 8 · terminating · waiting for 4 min, asked again in 1.0 s · this attempt ends by .*01:30.* · longer than usual: operators were warned · the last attempt failed: The undo took longer than 5 min\.$/,
  );
});

test("an undo between two attempts names the attempts and the error of the undo, not those of the step", () => {
  const text = textOf({
    ...UNDO,
    attempts: 3,
    error: "The workload was refused.",
    compensationError: "The deployer answered 502.",
    nextAttemptAt: "2026-11-27T09:00:40Z",
  });

  expect(text).toBe("Attempt 2 of 8 in 10 s: The deployer answered 502.");
});

test("more attempts than planned, after workers were lost, are no contradiction", () => {
  expect(textOf({ ...RUNNING, attempts: 2, maxAttempts: 1, heartbeatAt: "2026-11-27T09:00:27Z" })).toMatch(
    /^Attempt 2 of 2 · Running/,
  );
});

test("a step without an attempt waits for a worker", () => {
  expect(textOf({ status: "RUNNING" })).toBe("Waiting for a worker.");
});
