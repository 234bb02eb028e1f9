import { Client, fetchExchange } from "urql";
import { expect, test } from "vitest";
import { CreateTenantDocument, TenantsDocument, type TenantsQuery } from "../__generated__/graphql";
import { createCache } from "./cache";

const NO_PAGE = { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null };

function listOf(totalCount: number) {
  const pageInfo = { __typename: "PageInfo", ...NO_PAGE };
  return {
    tenants: { __typename: "TenantConnection", edges: [], pageInfo, totalCount },
    organization: null,
    feed: null,
  };
}

/** A client with our cache; the responses are returned in order. */
function clientWith(...responses: unknown[]): Client {
  return new Client({
    url: "http://api.test/graphql",
    preferGetMethod: false,
    fetch: async () => Response.json({ data: responses.shift() }),
    exchanges: [createCache(), fetchExchange],
  });
}

const create = { slug: "shop", plan: "pro", firstAdminEmail: "ada@example.com", start: true };

test("a list is fetched again after a tenant was created that may belong to it", async () => {
  const payload = { __typename: "CreateTenantPayload", tenant: null, run: null, userErrors: [] };
  const client = clientWith(listOf(1), { createTenant: payload }, listOf(2));
  const count = async () => {
    const { data } = await client.query(TenantsDocument, { first: 25, follow: false }).toPromise();
    return (data as TenantsQuery).tenants.totalCount;
  };

  expect([await count(), await count()]).toEqual([1, 1]);
  await client.mutation(CreateTenantDocument, { input: create }).toPromise();

  expect(await count()).toBe(2);
});

test("a refusal of any type keeps its code and its message", async () => {
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
