import { screen } from "@testing-library/react";
import { Link, Route, Routes } from "react-router";
import { beforeEach, expect, test, vi } from "vitest";
import { render } from "../testing";
import { Button } from "./button";
import { PageBoundary } from "./error-boundary";
import { UnexpectedErrors } from "./unexpected-errors";

// React and jsdom report what is thrown on the console too.
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});

function Throwing(): never {
  throw new Error("NotFoundError: the node is not a child of this node");
}

test("a page that throws is replaced by a sentence, and other pages can still be opened", async () => {
  const { user } = render(
    <>
      <Link to="/tenants">Tenants</Link>
      <PageBoundary>
        <Routes>
          <Route path="/broken" element={<Throwing />} />
          <Route path="/tenants" element={<h1>The list</h1>} />
        </Routes>
      </PageBoundary>
    </>,
    { route: "/broken" },
  );

  expect(screen.getByRole("alert")).toHaveTextContent(/This page cannot be shown.*not a child of this node/);
  expect(screen.getByRole("button", { name: "Reload the page" })).toBeVisible();
  expect(screen.getByRole("link", { name: "All tenants" })).toHaveAttribute("href", "/dashboard/tenants");
  await user.click(screen.getByRole("link", { name: "Tenants" }));

  expect(screen.getByRole("heading", { name: "The list" })).toBeVisible();
});

let broken = false;

function SometimesThrowing() {
  return broken ? <Throwing /> : <h1>The list</h1>;
}

test("a page that threw once can be shown again in place", async () => {
  broken = true;
  const { user } = render(
    <PageBoundary>
      <SometimesThrowing />
    </PageBoundary>,
  );
  broken = false;

  await user.click(screen.getByRole("button", { name: "Show it again" }));

  expect(screen.getByRole("heading", { name: "The list" })).toBeVisible();
});

test.each([
  [
    "a click throws",
    () => window.dispatchEvent(new ErrorEvent("error", { error: new Error("it broke"), message: "it broke" })),
  ],
  ["a promise is rejected", () => window.dispatchEvent(rejection(new Error("it broke")))],
  ["something else than an error is thrown", () => window.dispatchEvent(rejection("it broke"))],
])("when %s, a notice says so until it is closed", async (_, provoke) => {
  const { user } = render(
    <>
      <UnexpectedErrors />
      <Button onPress={provoke}>Press</Button>
    </>,
  );

  await user.click(screen.getByRole("button", { name: "Press" }));
  expect(screen.getByRole("alert")).toHaveTextContent(/Something unexpected happened.*it broke/);
  await user.click(screen.getByRole("button", { name: "Close" }));

  expect(screen.queryByRole("alert")).toBeNull();
});

/** jsdom has no PromiseRejectionEvent. */
function rejection(reason: unknown): Event {
  return Object.assign(new Event("unhandledrejection"), { reason });
}
