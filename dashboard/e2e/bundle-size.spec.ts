import { gzipSync } from "node:zlib";
import type { Response } from "@playwright/test";
import { LIST } from "./page-objects";
import { expect, test } from "./users";

/** Bytes, compressed. */
const LIMIT = 200_000;

test("the first page needs less than 200 kB of compressed script", async ({ users }, info) => {
  const page = await users.signedIn("viewer");
  const loaded: Response[] = [];
  page.on("response", (response) => loaded.push(response));

  await page.goto(LIST);
  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();

  const scripts = loaded.filter((response) => pathOf(response).endsWith(".js"));
  const sizes = await Promise.all(scripts.map(async (script) => gzipSync(await script.body()).length));
  const sum = sizes.reduce((one, other) => one + other, 0);
  info.annotations.push({ type: "measured", description: `${sum} bytes of compressed script` });
  console.log(`    ${sum} bytes of compressed script: ${scripts.map(pathOf).join(" ")}`);
  expect(sizes.length).toBeGreaterThan(0);
  expect(sum).toBeLessThan(LIMIT);
});

test("assets with a hash in their names are cached for ever, and the page itself is revalidated", async ({ users }) => {
  const page = await users.signedIn("viewer");
  const loaded: Response[] = [];
  page.on("response", (response) => loaded.push(response));

  const html = await page.goto(LIST);
  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();

  expect(html?.headers()["cache-control"]).toBe("no-cache");
  expect(html?.headers()["content-security-policy"]).toMatch(/^default-src 'none'; script-src 'self';/);
  const assets = loaded.filter((response) => pathOf(response).startsWith("/assets/"));
  expect(assets.length).toBeGreaterThan(1);
  const cacheControl = new Set(assets.map((asset) => asset.headers()["cache-control"]));
  expect([...cacheControl]).toEqual(["public, max-age=31536000, immutable"]);
});

function pathOf(response: Response): string {
  return new URL(response.url()).pathname;
}
