/** Keys that make it safe to send something again when the answer was lost. */

import { useRef } from "react";

/** The same key for as long as the same is wished for; another wish has another key. */
export function useKeyFor(): (wish: unknown) => string {
  const last = useRef({ wish: "", key: "" });
  return (wish) => {
    const written = JSON.stringify(wish);
    if (last.current.wish !== written) last.current = { wish: written, key: crypto.randomUUID() };
    return last.current.key;
  };
}
