import type { Sink, Client as Socket, SubscribePayload } from "graphql-ws";
import { expect, test, vi } from "vitest";
import { resumableSubscription } from "./resumable-subscription";

function fakeSocket() {
  const started: { request: SubscribePayload; sink: Sink }[] = [];
  const subscribe = (request: SubscribePayload, sink: Sink) => {
    started.push({ request, sink });
    return () => {};
  };
  return { started, socket: { subscribe } as unknown as Socket };
}

test.each([
  ["a rate-limit refusal", [{ message: "later", extensions: { code: "RATE_LIMITED" } }]],
  ["a close code that graphql-ws treats as fatal", { code: 1011 }],
])("after %s a subscription is started again, after the last entry received", (_, error) => {
  vi.useFakeTimers();
  const { started, socket } = fakeSocket();
  const sink = { next: vi.fn(), error: vi.fn(), complete: vi.fn() };

  resumableSubscription(socket, { query: "subscription", variables: {} }, sink);
  started[0]?.sink.next({ data: { auditEventAdded: { cursor: "c9" } } });
  started[0]?.sink.error(error);
  vi.advanceTimersByTime(5000);
  vi.useRealTimers();

  expect(started.map(({ request }) => request.variables)).toEqual([{ after: "c9" }, { after: "c9" }]);
  expect(sink.error).not.toHaveBeenCalled();
});

test.each([
  ["a missing right", [{ message: "no", extensions: { code: "FORBIDDEN" } }]],
  ["an invalid token", { code: 4401 }],
])("%s is reported once, and not retried", (_, error) => {
  const { started, socket } = fakeSocket();
  const sink = { next: vi.fn(), error: vi.fn(), complete: vi.fn() };

  resumableSubscription(socket, { query: "subscription", variables: {} }, sink);
  started[0]?.sink.error(error);

  expect(sink.error).toHaveBeenCalledExactlyOnceWith(error);
  expect(started).toHaveLength(1);
});

test("a subscription resumes after the last entry received when the connection was lost", () => {
  const { started, socket } = fakeSocket();
  const sink = { next: vi.fn(), error: vi.fn(), complete: vi.fn() };
  const payload = { query: "subscription", variables: { tenantId: "t", after: "c1" } };

  resumableSubscription(socket, payload, sink);
  started[0]?.sink.next({ data: { tenantProvisioning: { cursor: "c2" } } });
  started[0]?.sink.next({ data: { tenantProvisioning: { cursor: "c3" } } });

  // graphql-ws sends this object again after a reconnect.
  expect(started[0]?.request.variables).toEqual({ tenantId: "t", after: "c3" });
  expect(payload.variables.after).toBe("c1");
  expect(sink.next).toHaveBeenCalledTimes(2);
});
