/** One command to the server: whether it is under way, what was refused, and what broke. */

import { useRef, useState } from "react";
import { type AnyVariables, type CombinedError, type DocumentInput, useMutation } from "urql";
import type { RefusalFragment } from "../__generated__/graphql";

interface Payload {
  userErrors: readonly RefusalFragment[];
}

/** What a caller says; the key is ours. */
type Said<Input> = Omit<Input, "idempotencyKey">;

export interface Command<Input, Result> {
  /** Send it. The answer is its payload when it was carried out, undefined when it was refused or broke. */
  send: (input: Said<Input>) => Promise<Result | undefined>;
  sending: boolean;
  refusals: readonly RefusalFragment[];
  error: CombinedError | undefined;
}

/** For a document with one mutation, whose variable is `$input`. A second click while the first is under way sends nothing. */
export function useCommand<Data extends Record<string, unknown>, Input>(
  document: DocumentInput<Data, AnyVariables & { input: Input }>,
): Command<Input, NonNullable<Data[keyof Data]>> {
  type Result = NonNullable<Data[keyof Data]>;
  const [{ fetching }, execute] = useMutation<Data, AnyVariables & { input: Input }>(document);
  const [refusals, setRefusals] = useState<readonly RefusalFragment[]>([]);
  const [error, setError] = useState<CombinedError>();

  const unanswered = useRef({ wish: "", key: "" });

  async function send(said: Said<Input>): Promise<Result | undefined> {
    if (fetching) return undefined;
    const input = { ...said, idempotencyKey: keyFor(said) } as Input;
    const answer = await execute({ input });
    if (!answer.error?.networkError) unanswered.current = { wish: "", key: "" };
    const payload = payloadIn<Result>(answer.data);
    const refused = (payload as unknown as Payload | undefined)?.userErrors ?? [];
    setError(answer.error);
    setRefusals(refused);
    return payload && refused.length === 0 ? payload : undefined;
  }

  /** The same wish has the same key until it is answered: if the answer was lost, sending it again does it once. */
  function keyFor(said: Said<Input>): string {
    const wish = JSON.stringify(said);
    if (unanswered.current.wish !== wish) unanswered.current = { wish, key: crypto.randomUUID() };
    return unanswered.current.key;
  }

  return { send, sending: fetching, refusals, error };
}

function payloadIn<Result>(data: Record<string, unknown> | undefined): Result | undefined {
  const [payload] = Object.entries(data ?? {}).flatMap(([name, value]) => (name === "__typename" ? [] : [value]));
  return (payload ?? undefined) as Result | undefined;
}
