import { expect, test } from "@playwright/test";

for (const path of ["/dashboard", "/graphql"]) {
  test(`${path} says when its files do not arrive, as behind a path of a proxy`, async ({ page }) => {
    await page.route("**/assets/**", (route) => route.fulfill({ status: 404 }));

    await page.goto(path);

    const sentence = page.getByText("Tenantry has to be served at the root of a host name");
    await expect(sentence).toBeVisible({ timeout: 15_000 });
  });
}
