/** One page of a list of the organisation. These lists are short, so the page is state of the component, not of the URL. */

import { useState } from "react";
import type { TypedDocumentNode } from "urql";
import { useRefetchableQuery } from "../api/refetchable-query";

const PAGE_SIZE = 50;

type PageWindow = { first: number; after?: string } | { last: number; before: string };

export function usePagedQuery<Data, Variables extends { first?: number | null }>(
  query: TypedDocumentNode<Data, Variables>,
) {
  const [variables, setVariables] = useState<PageWindow>({ first: PAGE_SIZE });
  const { data, error, refetch } = useRefetchableQuery({ query, variables: variables as unknown as Variables });
  const turn = (direction: "after" | "before", cursor: string) =>
    setVariables(direction === "after" ? { first: PAGE_SIZE, after: cursor } : { last: PAGE_SIZE, before: cursor });
  return { data, error, refetch, turn };
}
