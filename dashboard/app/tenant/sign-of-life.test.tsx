import { screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { render } from "../testing";
import { step } from "./fixtures";
import { SignOfLife } from "./sign-of-life";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(new Date("2026-11-27T09:00:30Z"));
});

afterEach(() => {
  vi.useRealTimers();
});

test("a quiet step whose worker lives is at work", () => {
  render(<SignOfLife step={step("deploy", { status: "RUNNING", heartbeatAt: "2026-11-27T09:00:27Z" })} />);

  expect(screen.getByText(/At work, last sign of life 3.0 s ago/)).toBeVisible();
});

test("a step without a sign of life for longer than the lease is told apart", () => {
  render(<SignOfLife step={step("deploy", { status: "RUNNING", heartbeatAt: "2026-11-27T09:00:00Z" })} />);

  expect(screen.getByText(/Stalled\? Last sign of life 30 s ago/)).toBeVisible();
});

test("a step between two attempts says when the next one is", () => {
  render(<SignOfLife step={step("deploy", { status: "RUNNING", nextAttemptAt: "2026-11-27T09:00:34Z" })} />);

  expect(screen.getByText(/Next attempt in 4.0 s/)).toBeVisible();
});
