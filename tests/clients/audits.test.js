import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";
import { AUTHORIZATION, PRODUCT } from "./product.js";

const audits = serverAudits({
  url: `${PRODUCT}/graphql`,
  fetchFn: (url, options = {}) =>
    fetch(url, { ...options, headers: { authorization: AUTHORIZATION, ...options.headers } }),
});

test("there are 61 audits of GraphQL over HTTP", () => {
  assert.equal(audits.length, 61);
});

for (const audit of audits) {
  test(`GraphQL over HTTP: ${audit.name}`, async () => {
    const { status, reason } = await audit.fn();

    assert.deepEqual({ status, reason }, { status: "ok", reason: undefined });
  });
}
