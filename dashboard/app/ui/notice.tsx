/** Notices: an error with its request id, a refusal with what to do, an empty list, and a loading placeholder. */

import type { ReactNode } from "react";
import { CombinedError } from "urql";
import type { RefusalFragment } from "../__generated__/graphql";
import { useFreshStart } from "../api/fresh-start";
import { Button } from "./button";

/** An error: what happened, the request id for support, and a button to try again. */
export function Problem({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  if (isUnknownCursor(error)) return <LostPlace error={error} />;
  return (
    <div className="notice bad" role="alert">
      {messagesOf(error).map((message) => (
        <p key={message}>{message}</p>
      ))}
      <RequestId error={error} />
      {onRetry && <Button onPress={onRetry}>Try again</Button>}
    </div>
  );
}

/** The same request would be refused again, and so would every cursor of an entry that was lost with this one. */
function LostPlace({ error }: { error: Error }) {
  const startAfresh = useFreshStart();
  return (
    <div className="notice bad" role="alert">
      <p>
        The audit feed does not have the entry at which this page continues: the database was restored to an earlier
        time, the retention of the entry is over, or the address of this page is from another installation. What you see
        here may be out of date.
      </p>
      <RequestId error={error} />
      <Button onPress={startAfresh}>Load the newest entries</Button>
    </div>
  );
}

function RequestId({ error }: { error: Error }) {
  const id = requestIdOf(error);
  if (!id) return null;
  return (
    <p className="hint">
      Request ID for support: <code>{id}</code>
    </p>
  );
}

/** The server's messages, or a message of ours where there was no response or the page itself failed. */
export function messagesOf(error: Error): string[] {
  if (!(error instanceof CombinedError)) return [`${UNEXPECTED} The browser says: ${error.message}`];
  if (error.networkError && !error.response) return ["The API cannot be reached. Check your connection and try again."];
  if (error.graphQLErrors.length > 0) return [...new Set(error.graphQLErrors.map((one) => one.message))];
  return ["The API returned a response that cannot be read."];
}

/** What a person can do when something throws that should not. */
export const UNEXPECTED = "Something unexpected happened in this page. Reload it and try again.";

/** Anything can be thrown. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function isUnknownCursor(error: Error): boolean {
  return error instanceof CombinedError && error.graphQLErrors.some((one) => one.extensions.code === "UNKNOWN_CURSOR");
}

function requestIdOf(error: Error): string | undefined {
  if (!(error instanceof CombinedError)) return undefined;
  const inErrors = error.graphQLErrors.map((one) => one.extensions.requestId).find(Boolean);
  return (
    (inErrors as string | undefined) ??
    (error.response as Response | undefined)?.headers?.get("X-Request-ID") ??
    undefined
  );
}

/** What to do on this page about a refusal, by its code; shown after the server's message. */
const ADVICE: Partial<Record<RefusalFragment["code"], string>> = {
  FORBIDDEN: "A member of your organisation with more rights can do this.",
  VERSION_CONFLICT: "The page shows the latest version: close this dialog, check it, and try again.",
  STALE_RUN: "Close this dialog and check the newer run.",
};

/** Refusals by the server that the user can act on. */
export function Refusals({ errors }: { errors: readonly RefusalFragment[] }) {
  if (errors.length === 0) return null;
  return (
    <div className="notice warn" role="alert">
      {errors.map((error) => (
        <p key={error.message}>
          {error.message} {ADVICE[error.code]}
        </p>
      ))}
    </div>
  );
}

/** Messages of refusals by the input's field, as a form shows them beside its fields. */
export function byField(errors: readonly RefusalFragment[]): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const error of errors) {
    const name = error.field?.at(-1);
    if (name) found[name] = [...(found[name] ?? []), error.message];
  }
  return found;
}

/** Refusals without a field, or with a field that the form does not have. */
export function outsideFields(errors: readonly RefusalFragment[], fields: readonly string[]): RefusalFragment[] {
  return errors.filter((error) => !fields.includes(error.field?.at(-1) ?? ""));
}

/** An empty list: that it is empty, and what to do about it. */
export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}

/** A placeholder with the height of the expected content, so that the layout does not shift. */
export function Loading({ lines = 5 }: { lines?: number }) {
  return (
    <div className="loading" role="status" aria-label="Loading" style={{ blockSize: `${lines * 2.5}rem` }}>
      Loading…
    </div>
  );
}
