/** A notice for whatever is thrown outside of rendering, for example by a click: without it, a button would do nothing and say nothing. */

import { useEffect, useState } from "react";
import { Button } from "./button";
import { asError, Problem } from "./notice";

/** The browser reports this as an error, but it only delays a notification. */
const HARMLESS = /^ResizeObserver loop/;

export function UnexpectedErrors() {
  const [error, setError] = useState<Error>();
  useEffect(() => {
    function onError({ error: thrown, message }: ErrorEvent) {
      if (!HARMLESS.test(message)) setError(asError(thrown ?? message));
    }
    function onRejection({ reason }: PromiseRejectionEvent) {
      setError(asError(reason));
    }
    window.addEventListener("error", onError);
    window.addEventListener("unhandledrejection", onRejection);
    return () => {
      window.removeEventListener("error", onError);
      window.removeEventListener("unhandledrejection", onRejection);
    };
  }, []);
  if (!error) return null;
  return (
    <div className="unexpected">
      <Problem error={error} />
      <Button onPress={() => setError(undefined)}>Close</Button>
    </div>
  );
}
