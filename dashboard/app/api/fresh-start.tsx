/** A fresh start: everything below is mounted again and reads again, without the cursors that it had. */

import { createContext, Fragment, type ReactNode, useCallback, useContext, useState } from "react";
import { useSearchParams } from "react-router";

const StartContext = createContext<() => void>(() => {});

export function FreshStarts({ children }: { children: ReactNode }) {
  const [starts, setStarts] = useState(0);
  const start = useCallback(() => setStarts((count) => count + 1), []);
  return (
    <StartContext value={start}>
      <Fragment key={starts}>{children}</Fragment>
    </StartContext>
  );
}

/** The result starts afresh, at the first page of the list that the URL names. */
export function useFreshStart(): () => void {
  const start = useContext(StartContext);
  const [, setParams] = useSearchParams();
  return () => {
    setParams(withoutCursor, { replace: true });
    start();
  };
}

function withoutCursor(old: URLSearchParams): URLSearchParams {
  const next = new URLSearchParams(old);
  next.delete("after");
  next.delete("before");
  return next;
}
