/** What a refusal is about was not as it was shown: ask for the list anew. */

import { useEffect } from "react";
import type { RefusalFragment } from "../__generated__/graphql";

export function useFreshAfter(refusals: readonly RefusalFragment[], again: () => void): void {
  useEffect(() => {
    if (refusals.length > 0) again();
  }, [refusals, again]);
}
