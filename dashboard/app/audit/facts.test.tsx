import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { render } from "../testing";
import { Facts } from "./facts";

test("facts are words, whatever their type", () => {
  render(
    <Facts
      facts={{
        reason: null,
        will_retry: false,
        duration_ms: 5120,
        provisioning_deadline_s: 90,
        scopes: ["tenants:read", "audit:read"],
        released: [{ kind: "host_name", name: "shop-acme.localhost" }],
      }}
    />,
  );

  const terms = screen.getAllByRole("term").map((term) => term.textContent);
  const meanings = screen.getAllByRole("definition").map((meaning) => meaning.textContent);
  expect(terms).toEqual(["reason", "will retry", "duration", "provisioning deadline", "scopes", "released"]);
  expect(meanings).toEqual([
    "none",
    "no",
    "5.1 s",
    "90 s",
    "tenants:read, audit:read",
    "host name shop-acme.localhost",
  ]);
});

test("a change tells what was and what is", () => {
  render(<Facts facts={{ changes: { plan: ["free", "pro"], provisioning_deadline_s: [null, 60] } }} />);

  const lines = screen.getAllByRole("listitem").map((line) => line.textContent);
  expect(lines).toEqual(["plan: free → pro", "provisioning deadline: none → 60 s"]);
});

test("an entry without facts says so", () => {
  render(<Facts facts={{}} />);

  expect(screen.getByText("The type says it all.")).toBeVisible();
});
