/** The entries to show: one page of the audit feed and, where it is the newest, the entries that arrived since. */

import { useEffect, useMemo } from "react";
import { type CombinedError, useSubscription } from "urql";
import {
  AuditEventAddedDocument,
  AuditEventsDocument,
  type AuditEventsQuery,
  type AuditRowFragment,
} from "../__generated__/graphql";
import { useRefetchOnReconnect } from "../api/refetch-on-reconnect";
import { useRefetchableQuery } from "../api/refetchable-query";
import type { UrlFilters } from "./url-filters";

/** So many new entries on top of a page, and the page is fetched again. */
const MOST_NEW_ENTRIES = 200;

type Events = readonly AuditRowFragment[];

const NONE: Events = [];

export interface Feed {
  /** Undefined until there is a response. */
  events: Events | undefined;
  page: AuditEventsQuery["auditEvents"]["pageInfo"] | undefined;
  error: CombinedError | undefined;
  refetch: () => void;
}

export function useFeed({ window, filter, atNewest }: UrlFilters): Feed {
  const { data, error, fetching, stale, refetch } = useRefetchableQuery({
    query: AuditEventsDocument,
    variables: { ...window, filter },
  });
  useRefetchOnReconnect(refetch);

  const connection = data?.auditEvents;
  // Data of another query or stale data is no place to subscribe from.
  const current = atNewest && connection !== undefined && !fetching && !stale;
  const live = useNewEvents(filter, connection?.pageInfo.startCursor ?? null, current);
  const newer = atNewest ? live.events : NONE;
  useEffect(() => {
    if (newer.length >= MOST_NEW_ENTRIES) refetch();
  }, [newer.length, refetch]);

  const page = connection?.edges.map((edge) => edge.node);
  return {
    events: page && onTop(newer, page),
    page: connection?.pageInfo,
    error: error ?? (atNewest ? live.error : undefined),
    refetch,
  };
}

interface NewEvents {
  /** The subscription that delivered them. */
  key: string;
  events: Events;
}

/**
 * The entries after the first one of the page, newest first. None is skipped, because the subscription starts at that
 * entry. Each is delivered with all its fields, because fetching the page again costs a thousand points, and 500 points
 * refill in a second.
 */
function useNewEvents(filter: UrlFilters["filter"], after: string | null, current: boolean) {
  const variables = useMemo(() => ({ after, filter }), [after, filter]);
  const key = JSON.stringify(variables);
  const [{ data, error }] = useSubscription(
    { query: AuditEventAddedDocument, variables, pause: !current },
    (previous: NewEvents | undefined, { auditEventAdded: event }): NewEvents => ({
      key,
      events: onTop([event], previous?.key === key ? previous.events : NONE),
    }),
  );
  return { events: data?.key === key ? data.events : NONE, error };
}

function onTop(newer: Events, older: Events): Events {
  const known = new Set(older.map((event) => event.id));
  return [...newer.filter((event) => !known.has(event.id)), ...older];
}
