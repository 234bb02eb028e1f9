import type { Sink, Client as Socket, SubscribePayload } from "graphql-ws";
import { expect, test, vi } from "vitest";
import { resuming } from "./resuming";

test("after a lost connection a stream goes on after the last entry seen", () => {
  let request: SubscribePayload | undefined;
  let sink: Sink | undefined;
  const subscribe = (payload: SubscribePayload, into: Sink) => {
    request = payload;
    sink = into;
    return () => {};
  };
  const seen = { next: vi.fn(), error: vi.fn(), complete: vi.fn() };
  const asked = { query: "subscription", variables: { tenantId: "t", after: "c1" } };

  resuming({ subscribe } as unknown as Socket, asked, seen);
  sink?.next({ data: { tenantProvisioning: { cursor: "c2" } } });
  sink?.next({ data: { tenantProvisioning: { cursor: "c3" } } });

  // graphql-ws sends this object again when it has connected again.
  expect(request?.variables).toEqual({ tenantId: "t", after: "c3" });
  expect(asked.variables.after).toBe("c1");
  expect(seen.next).toHaveBeenCalledTimes(2);
});
