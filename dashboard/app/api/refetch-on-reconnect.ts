/** Sends a query again, once, after a lost connection, if no subscription updates its data. */

import { useEffect, useRef } from "react";
import { useConnectionStatus } from "./api";

export function useRefetchOnReconnect(refetch: () => void): void {
  const { reconnects } = useConnectionStatus();
  const handled = useRef(reconnects);
  useEffect(() => {
    if (handled.current === reconnects) return;
    handled.current = reconnects;
    refetch();
  }, [reconnects, refetch]);
}
