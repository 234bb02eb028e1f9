/** Something that is done now and then, however often it is asked for; the last time it was asked for counts. */

import { useEffect, useMemo, useRef } from "react";

export function useThrottled(act: () => void, every: number): () => void {
  const newest = useRef(act);
  useEffect(() => {
    newest.current = act;
  }, [act]);
  const throttle = useMemo(() => throttled(() => newest.current(), every), [every]);
  useEffect(() => throttle.end, [throttle]);
  return throttle.ask;
}

/** At once, then after a pause of so many milliseconds once more if it was asked for meanwhile. */
export function throttled(act: () => void, every: number): { ask: () => void; end: () => void } {
  let resting: ReturnType<typeof setTimeout> | undefined;
  let asked = false;
  function perform() {
    asked = false;
    act();
    resting = setTimeout(() => {
      resting = undefined;
      if (asked) perform();
    }, every);
  }
  return {
    ask() {
      if (resting) asked = true;
      else perform();
    },
    end() {
      clearTimeout(resting);
      resting = undefined;
      asked = false;
    },
  };
}
