/** What a page says when something is not as wished: an error with its request, a refusal as what it is, an empty place. */

import type { ReactNode } from "react";
import type { CombinedError } from "urql";
import type { RefusalFragment } from "../__generated__/graphql";
import { Button } from "./button";

/** Something broke, or could not be asked: what, under which number support finds it, and the way out. */
export function Problem({ error, onRetry }: { error: CombinedError; onRetry?: () => void }) {
  return (
    <div className="notice bad" role="alert">
      {sentencesOf(error).map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      {requestOf(error) && (
        <p className="hint">
          Request <code>{requestOf(error)}</code>, for support.
        </p>
      )}
      {onRetry && <Button onPress={onRetry}>Try again</Button>}
    </div>
  );
}

/** The server's own sentences; ours where nobody answered. */
export function sentencesOf(error: CombinedError): string[] {
  if (error.networkError && !error.response) return ["The API cannot be reached. It is asked again when you say so."];
  if (error.graphQLErrors.length > 0) return [...new Set(error.graphQLErrors.map((one) => one.message))];
  return ["The API gave an answer that cannot be read."];
}

function requestOf(error: CombinedError): string | undefined {
  const named = error.graphQLErrors.map((one) => one.extensions.requestId).find(Boolean);
  return (
    (named as string | undefined) ?? (error.response as Response | undefined)?.headers?.get("X-Request-ID") ?? undefined
  );
}

/** What to do about a refusal, by its code; the server's sentence has said what it is. */
const WAYS_OUT: Partial<Record<RefusalFragment["code"], string>> = {
  FORBIDDEN: "Somebody with more rights in your organisation can do this.",
  VERSION_CONFLICT: "Somebody changed it meanwhile. What you see now is the newest; look, and do it again.",
  STALE_RUN: "The run that you meant is over, and another one is at work. Close this and look at that one.",
  NOT_FOUND: "It is gone, or was never yours to see.",
  QUOTA_EXCEEDED: "Decommission a tenant that nobody needs, or ask for a larger plan.",
};

/** The server said no, for reasons that somebody can act on. */
export function Refusals({ errors }: { errors: readonly RefusalFragment[] }) {
  if (errors.length === 0) return null;
  return (
    <div className="notice warn" role="alert">
      {errors.map((error) => (
        <p key={error.message}>
          {error.message} {WAYS_OUT[error.code]}
        </p>
      ))}
    </div>
  );
}

/** Refusals by the input's field, as a form shows them: beside what they are about. */
export function byField(errors: readonly RefusalFragment[]): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const error of errors) {
    const name = error.field?.at(-1);
    if (name) found[name] = [...(found[name] ?? []), error.message];
  }
  return found;
}

/** Those that are about no field, or about one that the form does not have. */
export function besides(errors: readonly RefusalFragment[], fields: readonly string[]): RefusalFragment[] {
  return errors.filter((error) => !fields.includes(error.field?.at(-1) ?? ""));
}

/** A place where nothing is, and what to do about it. */
export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}

/** A place where something will be in a moment. It takes the room already, so that nothing jumps. */
export function Loading({ lines = 5 }: { lines?: number }) {
  return (
    <div className="loading" role="status" aria-label="Loading" style={{ blockSize: `${lines * 2.5}rem` }}>
      Loading…
    </div>
  );
}
