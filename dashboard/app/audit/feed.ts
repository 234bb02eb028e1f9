/** The entries to show: a page as it was asked for and, where it is newest, what has come since. */

import { useCallback, useEffect, useMemo } from "react";
import { type CombinedError, useQuery, useSubscription } from "urql";
import {
  AuditEventsDocument,
  type AuditEventsQuery,
  AuditGrowingDocument,
  type AuditRowFragment,
} from "../__generated__/graphql";
import { useHealing } from "../api/healing";
import type { Wish } from "./wish";

/** Entries on top of a page after which the page is asked for anew. */
const MOST_GROWN = 200;

type Events = readonly AuditRowFragment[];

const NONE: Events = [];

export interface Feed {
  /** Undefined while nobody has answered. */
  events: Events | undefined;
  page: AuditEventsQuery["auditEvents"]["pageInfo"] | undefined;
  error: CombinedError | undefined;
  again: () => void;
}

export function useFeed({ window, filter, atNewest }: Wish): Feed {
  const [{ data, error, fetching, stale }, ask] = useQuery({
    query: AuditEventsDocument,
    variables: { ...window, filter },
    requestPolicy: "cache-and-network",
  });
  const again = useCallback(() => ask({ requestPolicy: "network-only" }), [ask]);
  useHealing(again);

  const answer = data?.auditEvents;
  // An answer to another question, or an old one, is nothing to go on from.
  const current = atNewest && answer !== undefined && !fetching && !stale;
  const grown = useGrowth(filter, answer?.pageInfo.startCursor ?? null, current);
  const newer = atNewest ? grown.events : NONE;
  useEffect(() => {
    if (newer.length >= MOST_GROWN) again();
  }, [newer.length, again]);

  const page = answer?.edges.map((edge) => edge.node);
  return {
    events: page && onTop(newer, page),
    page: answer?.pageInfo,
    error: error ?? (atNewest ? grown.error : undefined),
    again,
  };
}

interface Grown {
  /** The page on which they came. */
  on: string;
  events: Events;
}

/**
 * What came after the first entry of the page, newest first. Nothing is skipped: the subscription goes on from that
 * entry. Each entry is told whole, because a page costs a thousand points, and 500 flow back in a second.
 */
function useGrowth(filter: Wish["filter"], after: string | null, current: boolean) {
  const variables = useMemo(() => ({ after, filter }), [after, filter]);
  const on = JSON.stringify(variables);
  const [{ data, error }] = useSubscription(
    { query: AuditGrowingDocument, variables, pause: !current },
    (grown: Grown | undefined, { auditEventAdded: event }): Grown => ({
      on,
      events: onTop([event], grown?.on === on ? grown.events : NONE),
    }),
  );
  return { events: data?.on === on ? data.events : NONE, error };
}

function onTop(newer: Events, older: Events): Events {
  const known = new Set(older.map((event) => event.id));
  return [...newer.filter((event) => !known.has(event.id)), ...older];
}
