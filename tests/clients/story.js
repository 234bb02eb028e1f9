/**
 * The story that every client has to live through: it asks, turns pages, commands, watches, is cut off, and goes on
 * without a gap and without a repeat.
 *
 * A client is { ask(name, variables), watch(variables, see), leave() }. `ask` gives the data. `watch` calls `see` with
 * each entry and promises the end: kept when the product completes, broken when the connection is.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Cable } from "./cable.js";
import { create, newest, truth, until } from "./product.js";

const ADA = { plan: "pro", firstAdminEmail: "ada@example.com" };
const WITHIN = { timeout: 90_000 };

export function story(name, arrive) {
  describe(name, () => {
    let cable;
    let client;

    before(async () => {
      cable = await Cable.laid();
      client = await arrive(cable);
    });

    after(async () => {
      await client.leave?.();
      cable.remove();
    });

    test("asks who it is", WITHIN, async () => {
      const found = plain(await client.ask("Who", {}));

      assert.deepEqual(found, { viewer: { actor: { kind: "USER" } }, organization: { slug: "acme" } });
    });

    test("turns pages by cursor", WITHIN, async () => {
      const prefix = `${name}-page`;
      const ids = [];
      for (const letter of "abc") ids.push(await create(`${prefix}-${letter}`, false));

      const { tenants: first } = plain(await client.ask("Page", { prefix, first: 2, after: null }));
      const { tenants: second } = plain(
        await client.ask("Page", { prefix, first: 2, after: first.pageInfo.endCursor }),
      );

      const nodes = ids.map((id, place) => ({ id, slug: `${prefix}-${"abc"[place]}` }));
      assert.deepEqual(
        first.edges.map((edge) => edge.node),
        nodes.slice(0, 2),
      );
      assert.deepEqual(first.pageInfo, { hasNextPage: true, endCursor: first.edges[1].cursor });
      assert.deepEqual(
        second.edges.map((edge) => edge.node),
        nodes.slice(2),
      );
      assert.deepEqual(second.pageInfo, { hasNextPage: false, endCursor: second.edges[0].cursor });
    });

    test("commands, and is refused with data", WITHIN, async () => {
      const input = { slug: `${name}-made`, start: false, ...ADA };

      const { createTenant: made } = plain(await client.ask("Create", { input }));
      const { createTenant: again } = plain(await client.ask("Create", { input }));

      assert.equal(made.tenant.slug, input.slug);
      assert.equal(made.tenant.state, "PENDING");
      assert.deepEqual({ ...made, tenant: null }, { tenant: null, run: null, userErrors: [] });
      assert.deepEqual(again, { tenant: null, run: null, userErrors: [{ code: "TAKEN", field: ["input", "slug"] }] });
    });

    test("watches a cancel live, to its end", WITHIN, async () => {
      const slug = `${name}-cancelled`;
      const tenantId = await create(slug, true);
      const seen = [];

      const end = client.watch({ tenantId, after: null }, (entry) => seen.push(entry));
      await until(() => seen.some((entry) => entry.kind === "STEP_STARTED" && entry.step === "allocate_storage"));
      const { cancelProvisioning } = plain(await client.ask("Cancel", { input: { tenantId } }));
      await end;

      assert.deepEqual(cancelProvisioning, {
        alreadyRequested: false,
        tenant: { id: tenantId, slug },
        run: { number: 1, status: "CANCELLING" },
        userErrors: [],
      });
      const { state, status, held, entries } = await truth(slug);
      assert.deepEqual({ state, status, held }, { state: "PENDING", status: "CANCELLED", held: [] });
      assert.deepEqual(numbered(seen), entries);
      assert.equal(entries.filter((entry) => entry.kind === "CANCEL_REQUESTED").length, 1);
      assert.equal(entries.at(-1).kind, "RUN_FINISHED");
    });

    test("is cut off in the middle and goes on without gap or repeat", WITHIN, async () => {
      const slug = `${name}-cut`;
      const tenantId = await create(slug, true);
      const seen = [];

      const cutOff = client.watch({ tenantId, after: null }, (entry) => seen.push(entry));
      const broken = assert.rejects(cutOff);
      await until(() => numbered(seen).length >= 4);
      cable.cut();
      await broken;
      const last = numbered(seen).at(-1).sequence;
      await until(async () => (await newest(slug)) > last + 1);
      cable.mend();
      await client.watch({ tenantId, after: seen.at(-1).cursor }, (entry) => seen.push(entry));

      const { state, status, entries } = await truth(slug);
      assert.deepEqual({ state, status }, { state: "ACTIVE", status: "SUCCEEDED" });
      assert.deepEqual(numbered(seen), entries);
    });
  });
}

/** Progress comes live only and has no number. */
export function numbered(entries) {
  return plain(entries.filter((entry) => entry.kind !== "STEP_PROGRESS"));
}

/** Without what a client adds of its own: type names, prototypes, a cache's notes. */
export function plain(value) {
  return JSON.parse(JSON.stringify(value, (key, inner) => (key.startsWith("__") ? undefined : inner)));
}
