import type { Sink, Client as Socket, SubscribePayload } from "graphql-ws";
import { expect, test, vi } from "vitest";
import { resuming } from "./resuming";

function staged() {
  const begun: { request: SubscribePayload; sink: Sink }[] = [];
  const subscribe = (request: SubscribePayload, sink: Sink) => {
    begun.push({ request, sink });
    return () => {};
  };
  return { begun, socket: { subscribe } as unknown as Socket };
}

test.each([
  ["a refusal for want of points", [{ message: "later", extensions: { code: "RATE_LIMITED" } }]],
  ["an end that graphql-ws holds for final", { code: 1011 }],
])("after %s a stream is asked for again, after the last entry seen", (_, error) => {
  vi.useFakeTimers();
  const { begun, socket } = staged();
  const seen = { next: vi.fn(), error: vi.fn(), complete: vi.fn() };

  resuming(socket, { query: "subscription", variables: {} }, seen);
  begun[0]?.sink.next({ data: { auditEventAdded: { cursor: "c9" } } });
  begun[0]?.sink.error(error);
  vi.advanceTimersByTime(5000);
  vi.useRealTimers();

  expect(begun.map(({ request }) => request.variables)).toEqual([{ after: "c9" }, { after: "c9" }]);
  expect(seen.error).not.toHaveBeenCalled();
});

test.each([
  ["whoever may not", [{ message: "no", extensions: { code: "FORBIDDEN" } }]],
  ["whoever is nobody any more", { code: 4401 }],
])("%s is told so, once", (_, error) => {
  const { begun, socket } = staged();
  const seen = { next: vi.fn(), error: vi.fn(), complete: vi.fn() };

  resuming(socket, { query: "subscription", variables: {} }, seen);
  begun[0]?.sink.error(error);

  expect(seen.error).toHaveBeenCalledExactlyOnceWith(error);
  expect(begun).toHaveLength(1);
});

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
