/** A refusal may mean that the shown list is out of date: fetch it again. */

import { useEffect } from "react";
import type { RefusalFragment } from "../__generated__/graphql";

export function useRefetchAfterRefusal(refusals: readonly RefusalFragment[], refetch: () => void): void {
  useEffect(() => {
    if (refusals.length > 0) refetch();
  }, [refusals, refetch]);
}
