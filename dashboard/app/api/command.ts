/** One command to the server: whether it is under way, what was refused, and what broke. */

import { useState } from "react";
import { type AnyVariables, type CombinedError, type DocumentInput, useMutation } from "urql";
import type { RefusalFragment } from "../__generated__/graphql";

interface Payload {
  userErrors: readonly RefusalFragment[];
}

export interface Command<Input, Result> {
  /** Send it. The answer is its payload when it was carried out, undefined when it was refused or broke. */
  send: (input: Input) => Promise<Result | undefined>;
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

  async function send(input: Input): Promise<Result | undefined> {
    if (fetching) return undefined;
    const answer = await execute({ input });
    const payload = payloadIn<Result>(answer.data);
    const refused = (payload as unknown as Payload | undefined)?.userErrors ?? [];
    setError(answer.error);
    setRefusals(refused);
    return payload && refused.length === 0 ? payload : undefined;
  }

  return { send, sending: fetching, refusals, error };
}

function payloadIn<Result>(data: Record<string, unknown> | undefined): Result | undefined {
  const [payload] = Object.entries(data ?? {}).flatMap(([name, value]) => (name === "__typename" ? [] : [value]));
  return (payload ?? undefined) as Result | undefined;
}
