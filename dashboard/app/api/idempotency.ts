/** A key for each thing that somebody wants: sending the same again, after an answer that was lost, does it once. */

import { useRef } from "react";

export function useIdempotencyKey(): (input: unknown) => string {
  const keys = useRef(new Map<string, string>());
  return (input) => {
    const wanted = JSON.stringify(input);
    const key = keys.current.get(wanted) ?? crypto.randomUUID();
    keys.current.set(wanted, key);
    return key;
  };
}
