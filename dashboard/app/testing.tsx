/** Renders components with a fake API that answers by operation name, a router, and a user who has all scopes. */

import { act, type RenderResult, render as renderPlainly } from "@testing-library/react";
import { type UserEvent, userEvent } from "@testing-library/user-event";
import { type ReactElement, useEffect } from "react";
import { MemoryRouter, useLocation } from "react-router";
import { type Client, CombinedError, type GraphQLRequest, type OperationResult, Provider } from "urql";
import { concat, fromValue, makeSubject, never, type Source, type Subject } from "wonka";
import { FreshStarts } from "./api/fresh-start";
import { type Me, MeContext, meIn } from "./me";

type Variables = Record<string, unknown>;
/** The data of an operation, an Error, or a function that returns one of them for each request. */
type Answer = unknown | ((variables: Variables) => unknown);

interface Options {
  answers?: Record<string, Answer>;
  route?: string;
  scopes?: readonly string[];
}

interface Rendered extends RenderResult {
  user: UserEvent;
  /** The operations that were sent, in order. */
  sent: { name: string; variables: Variables }[];
  /** The current path and query string. */
  url: () => string;
  /** Deliver a result to a subscription. */
  emit: (name: string, data: unknown) => void;
}

const ALL_SCOPES = [
  "tenants:read",
  "tenants:write",
  "tenants:cancel",
  "tenants:first-admin",
  "audit:read",
  "audit:export",
  "members:manage",
  "schema:read",
];

export function me(scopes: readonly string[] = ALL_SCOPES): Me {
  return meIn({
    viewer: { actor: { id: "actor", kind: "USER", displayName: "Olive Owner" }, scopes: [...scopes] },
    organization: { id: "acme", slug: "acme", name: "Acme", plan: "pro", tenantsUsed: 1, tenantsAllowed: 50 },
  });
}

/** The refusal of a cursor, as a restored database answers it. */
export function unknownCursor(): CombinedError {
  const extensions = { code: "UNKNOWN_CURSOR", requestId: "request-9" };
  return new CombinedError({ graphQLErrors: [{ message: "The feed has no event at this cursor.", extensions }] });
}

export function render(ui: ReactElement, { answers = {}, route = "/", scopes = ALL_SCOPES }: Options = {}): Rendered {
  const sent: Rendered["sent"] = [];
  const subscriptions = new Map<string, Subject<OperationResult>>();
  let current = route;

  function execute(request: GraphQLRequest): Source<OperationResult> {
    const [name, variables] = [nameOf(request), request.variables as Variables];
    sent.push({ name, variables });
    if (!(name in answers)) return never as unknown as Source<OperationResult>;
    const answer = answers[name];
    const result = fromValue(resultOf(typeof answer === "function" ? answer(variables) : answer));
    // As in the client, a source does not end with its result: a hook forgets an error when its source ends.
    return concat([result, never as unknown as Source<OperationResult>]);
  }

  function subscribe(request: GraphQLRequest): Source<OperationResult> {
    const name = nameOf(request);
    sent.push({ name, variables: request.variables as Variables });
    const subject = subscriptions.get(name) ?? makeSubject<OperationResult>();
    subscriptions.set(name, subject);
    return subject.source;
  }

  function setCurrent(url: string) {
    current = url;
  }

  const client = {
    executeQuery: execute,
    executeMutation: execute,
    executeSubscription: subscribe,
  } as unknown as Client;
  const rendered = renderPlainly(
    <MemoryRouter initialEntries={[route]}>
      <FreshStarts>
        <Provider value={client}>
          <MeContext value={me(scopes)}>{ui}</MeContext>
        </Provider>
      </FreshStarts>
      <LocationObserver onChange={setCurrent} />
    </MemoryRouter>,
  );
  return {
    ...rendered,
    user: userEvent.setup(),
    sent,
    url: () => current,
    emit: (name, data) => act(() => subscriptions.get(name)?.next(resultOf(data))),
  };
}

function LocationObserver({ onChange }: { onChange: (url: string) => void }) {
  const { pathname, search } = useLocation();
  useEffect(() => onChange(pathname + search), [onChange, pathname, search]);
  return null;
}

function nameOf({ query }: GraphQLRequest): string {
  const [first] = query.definitions;
  return first && "name" in first && first.name ? first.name.value : "";
}

/** An Error becomes the result's error, as of a request that failed; anything else becomes its data. */
function resultOf(answer: unknown): OperationResult {
  const failed = answer instanceof Error && !(answer instanceof CombinedError);
  const error = failed ? new CombinedError({ networkError: answer }) : answer instanceof Error ? answer : undefined;
  return { data: error ? undefined : answer, error, stale: false, hasNext: false } as unknown as OperationResult;
}
