/** One mutation: whether it is being sent, what the server refused, and which error occurred. */

import { useRef, useState } from "react";
import { type AnyVariables, type DocumentInput, useMutation } from "urql";
import type { RefusalFragment } from "../__generated__/graphql";
import { asError } from "../ui/notice";

interface Payload {
  userErrors: readonly RefusalFragment[];
}

/** The input without its idempotency key, which this module adds. */
type CommandInput<Input> = Omit<Input, "idempotencyKey">;

export interface Command<Input, Result> {
  /** Send the mutation. Resolves to its payload, or to undefined after a refusal or an error. */
  send: (input: CommandInput<Input>) => Promise<Result | undefined>;
  sending: boolean;
  refusals: readonly RefusalFragment[];
  /** An error of the request, or whatever was thrown before it was sent. */
  error: Error | undefined;
}

/** For a document with one mutation and the variable `$input`. While one request is under way, `send` sends nothing. */
export function useCommand<Data extends Record<string, unknown>, Input>(
  document: DocumentInput<Data, AnyVariables & { input: Input }>,
): Command<Input, NonNullable<Data[keyof Data]>> {
  type Result = NonNullable<Data[keyof Data]>;
  const [{ fetching }, execute] = useMutation<Data, AnyVariables & { input: Input }>(document);
  const [refusals, setRefusals] = useState<readonly RefusalFragment[]>([]);
  const [error, setError] = useState<Error>();

  const unanswered = useRef({ content: "", key: "" });

  async function send(input: CommandInput<Input>): Promise<Result | undefined> {
    if (fetching) return undefined;
    try {
      return await sendOnce(input);
    } catch (thrown) {
      setError(asError(thrown));
      setRefusals([]);
      return undefined;
    }
  }

  async function sendOnce(input: CommandInput<Input>): Promise<Result | undefined> {
    const variables = { input: { ...input, idempotencyKey: keyFor(input) } as Input };
    const result = await execute(variables);
    if (!result.error?.networkError) unanswered.current = { content: "", key: "" };
    const payload = payloadIn<Result>(result.data);
    const refused = (payload as unknown as Payload | undefined)?.userErrors ?? [];
    setError(result.error);
    setRefusals(refused);
    return payload && refused.length === 0 ? payload : undefined;
  }

  /** The same input keeps its key until it is answered: if the response was lost, a retry has its effect only once. */
  function keyFor(input: CommandInput<Input>): string {
    const content = JSON.stringify(input);
    if (unanswered.current.content !== content) unanswered.current = { content, key: crypto.randomUUID() };
    return unanswered.current.key;
  }

  return { send, sending: fetching, refusals, error };
}

function payloadIn<Result>(data: Record<string, unknown> | undefined): Result | undefined {
  const [payload] = Object.entries(data ?? {}).flatMap(([name, value]) => (name === "__typename" ? [] : [value]));
  return (payload ?? undefined) as Result | undefined;
}
