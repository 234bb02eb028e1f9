import { screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { render } from "../testing";
import { step } from "./fixtures";
import { StepHeartbeat } from "./step-heartbeat";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(new Date("2026-11-27T09:00:30Z"));
});

afterEach(() => {
  vi.useRealTimers();
});

test("a step with a recent heartbeat is running", () => {
  render(<StepHeartbeat step={step("deploy", { status: "RUNNING", heartbeatAt: "2026-11-27T09:00:27Z" })} />);

  expect(screen.getByText(/Running, last heartbeat 3.0 s ago/)).toBeVisible();
});

test("a step without a heartbeat for longer than the lease is marked as stalled", () => {
  render(<StepHeartbeat step={step("deploy", { status: "RUNNING", heartbeatAt: "2026-11-27T09:00:00Z" })} />);

  expect(screen.getByText(/Stalled\? Last heartbeat 30 s ago/)).toBeVisible();
});

test("a step between two attempts says when the next one is", () => {
  render(<StepHeartbeat step={step("deploy", { status: "RUNNING", nextAttemptAt: "2026-11-27T09:00:34Z" })} />);

  expect(screen.getByText(/Next attempt in 4.0 s/)).toBeVisible();
});
