/** Components on a stage: an API that answers by the operation's name, an address, and somebody who may do everything. */

import { act, type RenderResult, render as renderPlainly } from "@testing-library/react";
import { type UserEvent, userEvent } from "@testing-library/user-event";
import { type ReactElement, useEffect } from "react";
import { MemoryRouter, useLocation } from "react-router";
import { type Client, type CombinedError, type GraphQLRequest, type OperationResult, Provider } from "urql";
import { fromValue, makeSubject, never, type Source, type Subject } from "wonka";
import { type Me, MeContext, meIn } from "./me";

type Variables = Record<string, unknown>;
/** What an operation is answered with; a function is asked each time. */
type Answer = unknown | ((variables: Variables) => unknown);

interface Stage {
  answers?: Record<string, Answer>;
  route?: string;
  scopes?: readonly string[];
}

interface Played extends RenderResult {
  user: UserEvent;
  /** The operations that were sent, in order. */
  sent: { name: string; variables: Variables }[];
  /** Where the browser is. */
  address: () => string;
  /** Let a subscription tell something. */
  tell: (name: string, data: unknown) => void;
}

const EVERYTHING = [
  "tenants:read",
  "tenants:write",
  "tenants:cancel",
  "tenants:first-admin",
  "audit:read",
  "audit:export",
  "members:manage",
  "schema:read",
];

export function me(scopes: readonly string[] = EVERYTHING): Me {
  return meIn({
    viewer: { actor: { id: "actor", kind: "USER", displayName: "Olive Owner" }, scopes: [...scopes] },
    organization: { id: "acme", slug: "acme", name: "Acme", plan: "pro", tenantsUsed: 1, tenantsAllowed: 50 },
  });
}

export function render(ui: ReactElement, { answers = {}, route = "/", scopes = EVERYTHING }: Stage = {}): Played {
  const sent: Played["sent"] = [];
  const streams = new Map<string, Subject<OperationResult>>();
  let place = route;

  function answer(request: GraphQLRequest): Source<OperationResult> {
    const [name, variables] = [nameOf(request), request.variables as Variables];
    sent.push({ name, variables });
    if (!(name in answers)) return never as unknown as Source<OperationResult>;
    const found = answers[name];
    return fromValue(resultOf(typeof found === "function" ? found(variables) : found));
  }

  function stream(request: GraphQLRequest): Source<OperationResult> {
    const name = nameOf(request);
    sent.push({ name, variables: request.variables as Variables });
    const subject = streams.get(name) ?? makeSubject<OperationResult>();
    streams.set(name, subject);
    return subject.source;
  }

  function remember(moved: string) {
    place = moved;
  }

  const client = { executeQuery: answer, executeMutation: answer, executeSubscription: stream } as unknown as Client;
  const rendered = renderPlainly(
    <MemoryRouter initialEntries={[route]}>
      <Provider value={client}>
        <MeContext value={me(scopes)}>
          {ui}
          <Place onMove={remember} />
        </MeContext>
      </Provider>
    </MemoryRouter>,
  );
  return {
    ...rendered,
    user: userEvent.setup(),
    sent,
    address: () => place,
    tell: (name, data) => act(() => streams.get(name)?.next(resultOf(data))),
  };
}

function Place({ onMove }: { onMove: (place: string) => void }) {
  const { pathname, search } = useLocation();
  useEffect(() => onMove(pathname + search), [onMove, pathname, search]);
  return null;
}

function nameOf({ query }: GraphQLRequest): string {
  const [first] = query.definitions;
  return first && "name" in first && first.name ? first.name.value : "";
}

/** Data, or whatever was thrown at us as an error. */
function resultOf(found: unknown): OperationResult {
  const error = found instanceof Error ? (found as CombinedError) : undefined;
  return { data: error ? undefined : found, error, stale: false, hasNext: false } as unknown as OperationResult;
}
