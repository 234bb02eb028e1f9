/** After the connection was lost: what no stream tells is asked for anew, once. */

import { useEffect, useRef } from "react";
import { useLink } from "./api";

export function useHealing(again: () => void): void {
  const { regained } = useLink();
  const healed = useRef(regained);
  useEffect(() => {
    if (healed.current === regained) return;
    healed.current = regained;
    again();
  }, [regained, again]);
}
