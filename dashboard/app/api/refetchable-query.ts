/** A query that shows cached data at once, asks the server in any case, and can be sent again. */

import { useCallback } from "react";
import { type AnyVariables, type TypedDocumentNode, type UseQueryArgs, type UseQueryState, useQuery } from "urql";

interface Args<Data, Variables extends AnyVariables> {
  query: TypedDocumentNode<Data, Variables>;
  variables: Variables;
}

type RefetchableQuery<Data, Variables extends AnyVariables> = UseQueryState<Data, Variables> & { refetch: () => void };

export function useRefetchableQuery<Data, Variables extends AnyVariables>(
  args: Args<Data, Variables>,
): RefetchableQuery<Data, Variables> {
  const request = { ...args, requestPolicy: "cache-and-network" } as UseQueryArgs<Variables, Data>;
  const [state, execute] = useQuery(request);
  const refetch = useCallback(() => execute({ requestPolicy: "network-only" }), [execute]);
  return { ...state, refetch };
}
