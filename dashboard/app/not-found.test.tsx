import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { Pages } from "./app";
import { render } from "./testing";

test.each(["/nonsense", "/tenants/a/b", "/audit/2026"])("the address %s is said to be no page", (route) => {
  render(<Pages />, { route });

  expect(screen.getByRole("heading", { name: "No such page" })).toBeVisible();
  expect(screen.getByText(`/dashboard${route}`)).toBeVisible();
  expect(screen.getByRole("link", { name: "All tenants" })).toHaveAttribute("href", "/tenants");
});

test.each(["/", "/signed-in"])("the address %s leads to the list", (route) => {
  const { url } = render(<Pages />, { route });

  expect(url()).toBe("/tenants");
});
