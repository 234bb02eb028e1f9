/**
 * The story that every client passes: it queries, pages, mutates, subscribes, loses its connection, and resumes without
 * a gap and without a repeated entry.
 *
 * A client is { execute(name, variables), watch(variables, onEntry), close() }. `execute` resolves to the data. `watch`
 * calls `onEntry` with each entry; it resolves when the server completes, and rejects when the connection is lost.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create, fetchTenant, newestSequence, until } from "./product.js";
import { TcpProxy } from "./tcp-proxy.js";

const ADA = { plan: "pro", firstAdminEmail: "ada@example.com" };
const TIMEOUT = { timeout: 90_000 };

export function story(name, connect) {
  describe(name, () => {
    let proxy;
    let client;

    before(async () => {
      proxy = await TcpProxy.start();
      client = await connect(proxy);
    });

    after(async () => {
      await client.close?.();
      proxy.stop();
    });

    test("queries its identity", TIMEOUT, async () => {
      const found = plain(await client.execute("Who", {}));

      assert.deepEqual(found, { viewer: { actor: { kind: "USER" } }, organization: { slug: "acme" } });
    });

    test("pages by cursor", TIMEOUT, async () => {
      const prefix = `${name}-page`;
      const ids = [];
      for (const letter of "abc") ids.push(await create(`${prefix}-${letter}`, false));

      const { tenants: first } = plain(await client.execute("Page", { prefix, first: 2, after: null }));
      const { tenants: second } = plain(
        await client.execute("Page", { prefix, first: 2, after: first.pageInfo.endCursor }),
      );

      const nodes = ids.map((id, index) => ({ id, slug: `${prefix}-${"abc"[index]}` }));
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

    test("mutates, and gets a refusal as data", TIMEOUT, async () => {
      const input = { slug: `${name}-made`, start: false, ...ADA };

      const { createTenant: created } = plain(await client.execute("Create", { input }));
      const { createTenant: refused } = plain(await client.execute("Create", { input }));

      assert.equal(created.tenant.slug, input.slug);
      assert.equal(created.tenant.state, "PENDING");
      assert.deepEqual({ ...created, tenant: null }, { tenant: null, run: null, userErrors: [] });
      assert.deepEqual(refused, { tenant: null, run: null, userErrors: [{ code: "TAKEN", field: ["input", "slug"] }] });
    });

    test("watches a cancel live until its end", TIMEOUT, async () => {
      const slug = `${name}-cancelled`;
      const tenantId = await create(slug, true);
      const received = [];

      const end = client.watch({ tenantId, after: null }, (entry) => received.push(entry));
      await until(() => received.some((entry) => entry.kind === "STEP_STARTED" && entry.step === "allocate_storage"));
      const { cancelProvisioning } = plain(await client.execute("Cancel", { input: { tenantId } }));
      await end;

      assert.deepEqual(cancelProvisioning, {
        alreadyRequested: false,
        tenant: { id: tenantId, slug },
        run: { number: 1, status: "CANCELLING" },
        userErrors: [],
      });
      const { state, status, held, entries } = await fetchTenant(slug);
      assert.deepEqual({ state, status, held }, { state: "PENDING", status: "CANCELLED", held: [] });
      assert.deepEqual(numbered(received), entries);
      assert.equal(entries.filter((entry) => entry.kind === "CANCEL_REQUESTED").length, 1);
      assert.equal(entries.at(-1).kind, "RUN_FINISHED");
    });

    test("resumes after a lost connection without a gap or a repeated entry", TIMEOUT, async () => {
      const slug = `${name}-cut`;
      const tenantId = await create(slug, true);
      const received = [];

      const interrupted = client.watch({ tenantId, after: null }, (entry) => received.push(entry));
      const rejected = assert.rejects(interrupted);
      await until(() => numbered(received).length >= 4);
      proxy.cut();
      await rejected;
      const last = numbered(received).at(-1).sequence;
      await until(async () => (await newestSequence(slug)) > last + 1);
      proxy.restore();
      await client.watch({ tenantId, after: received.at(-1).cursor }, (entry) => received.push(entry));

      const { state, status, entries } = await fetchTenant(slug);
      assert.deepEqual({ state, status }, { state: "ACTIVE", status: "SUCCEEDED" });
      assert.deepEqual(numbered(received), entries);
    });
  });
}

/** The entries with a number: progress entries are delivered live only and have none. */
export function numbered(entries) {
  return plain(entries.filter((entry) => entry.kind !== "STEP_PROGRESS"));
}

/** The value without a client's own additions: type names, prototypes, data of its cache. */
export function plain(value) {
  return JSON.parse(JSON.stringify(value, (key, inner) => (key.startsWith("__") ? undefined : inner)));
}
