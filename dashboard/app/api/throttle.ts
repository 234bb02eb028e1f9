/** Limits how often a function runs; a call during the pause is made up for once, at its end. */

import { useEffect, useMemo, useRef } from "react";

export function useThrottle(run: () => void, interval: number): () => void {
  const latest = useRef(run);
  useEffect(() => {
    latest.current = run;
  }, [run]);
  const throttled = useMemo(() => throttle(() => latest.current(), interval), [interval]);
  useEffect(() => throttled.cancel, [throttled]);
  return throttled.call;
}

/** Run at once, then at most once every `interval` milliseconds. */
export function throttle(run: () => void, interval: number): { call: () => void; cancel: () => void } {
  let pause: ReturnType<typeof setTimeout> | undefined;
  let pending = false;
  function runNow() {
    pending = false;
    run();
    pause = setTimeout(() => {
      pause = undefined;
      if (pending) runNow();
    }, interval);
  }
  return {
    call() {
      if (pause) pending = true;
      else runNow();
    },
    cancel() {
      clearTimeout(pause);
      pause = undefined;
      pending = false;
    },
  };
}
