import { Client, fetchExchange } from "urql";
import { expect, test } from "vitest";
import { CreateTenantDocument, TenantsDocument, type TenantsQuery } from "../__generated__/graphql";
import { freshCache } from "./cache";

const NO_PAGE = { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null };

function listOf(totalCount: number) {
  const pageInfo = { __typename: "PageInfo", ...NO_PAGE };
  return {
    tenants: { __typename: "TenantConnection", edges: [], pageInfo, totalCount },
    organization: null,
    feed: null,
  };
}

/** A client over our cache; the answers are given out in order. */
function clientWith(...answers: unknown[]): Client {
  return new Client({
    url: "http://api.test/graphql",
    preferGetMethod: false,
    fetch: async () => Response.json({ data: answers.shift() }),
    exchanges: [freshCache(), fetchExchange],
  });
}

const create = { slug: "shop", plan: "pro", firstAdminEmail: "ada@example.com", start: true };

test("a list is asked for again when something was made that may belong into it", async () => {
  const made = { __typename: "CreateTenantPayload", tenant: null, run: null, userErrors: [] };
  const client = clientWith(listOf(1), { createTenant: made }, listOf(2));
  const count = async () => {
    const { data } = await client.query(TenantsDocument, { first: 25, follow: false }).toPromise();
    return (data as TenantsQuery).tenants.totalCount;
  };

  expect([await count(), await count()]).toEqual([1, 1]);
  await client.mutation(CreateTenantDocument, { input: create }).toPromise();

  expect(await count()).toBe(2);
});

test("a refusal of any kind keeps its code and its sentence", async () => {
  const refusal = {
    __typename: "InvalidStateError",
    code: "INVALID_STATE",
    message: "It is ACTIVE.",
    field: null,
    currentState: "ACTIVE",
    allowedStates: ["PENDING"],
  };
  const client = clientWith({
    createTenant: { __typename: "CreateTenantPayload", tenant: null, run: null, userErrors: [refusal] },
  });

  const { data } = await client.mutation(CreateTenantDocument, { input: create }).toPromise();

  expect(data?.createTenant?.userErrors).toMatchObject([{ code: "INVALID_STATE", message: "It is ACTIVE." }]);
});
