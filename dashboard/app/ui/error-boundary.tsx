/** What is shown in place of a page that cannot be shown: a sentence, the browser's message, and ways back. */

import type { ReactNode } from "react";
import { ErrorBoundary as Boundary, type FallbackProps } from "react-error-boundary";
import { useLocation } from "react-router";
import { Button } from "./button";
import { asError } from "./notice";

/** Around everything. Another page of the dashboard is loaded afresh, because the frame may be what failed. */
export function AppBoundary({ children }: { children: ReactNode }) {
  return <Boundary FallbackComponent={PageFailed}>{children}</Boundary>;
}

/** Around each page. The frame stays, and going to another page or back shows that page. */
export function PageBoundary({ children }: { children: ReactNode }) {
  const { key, pathname } = useLocation();
  return (
    <Boundary FallbackComponent={PageFailed} resetKeys={[key, pathname]}>
      {children}
    </Boundary>
  );
}

function PageFailed({ error, resetErrorBoundary }: FallbackProps) {
  return (
    <main className="page narrow">
      <div className="notice bad" role="alert">
        <h1>This page cannot be shown</h1>
        <p>Something unexpected happened in it. Nothing that you asked for is lost: commands go on at the server.</p>
        <p className="hint">The browser says: {asError(error).message}</p>
        <div className="row">
          <Button onPress={resetErrorBoundary}>Show it again</Button>
          <Button onPress={() => location.reload()}>Reload the page</Button>
          <a href="/dashboard/tenants">All tenants</a>
        </div>
      </div>
    </main>
  );
}
