import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { render } from "../testing";
import { EventDetails } from "./event-details";

test("values of every type are shown as words", () => {
  render(
    <EventDetails
      data={{
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

test("a change shows the old and the new value", () => {
  render(<EventDetails data={{ changes: { plan: ["free", "pro"], provisioning_deadline_s: [null, 60] } }} />);

  const lines = screen.getAllByRole("listitem").map((line) => line.textContent);
  expect(lines).toEqual(["plan: free → pro", "provisioning deadline: none → 60 s"]);
});

test("an event without data says that there are no details", () => {
  render(<EventDetails data={{}} />);

  expect(screen.getByText("No further details.")).toBeVisible();
});
