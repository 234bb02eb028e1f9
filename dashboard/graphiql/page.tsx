/** GraphiQL with a form for the token and with prepared operations. */

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useEffect, useMemo } from "react";
import { ErrorBoundary } from "react-error-boundary";
import type { Identity } from "../shared/identity";
import { signIn, signOut, useSession } from "../shared/session";
import { isLasting, LASTING_STORAGE } from "../shared/storage";
import { connect } from "./connection";
import { IdentityBox } from "./identity-box";
import { OPERATIONS } from "./operations";
import { FollowSystemTheme } from "./system-theme";

const PLUGINS = [HISTORY_PLUGIN, explorerPlugin()];
/** GraphiQL finds the browser's storage itself; where the browser refuses one, it gets ours. */
const STORAGE = isLasting(LASTING_STORAGE) ? {} : { storage: LASTING_STORAGE };

export function Page() {
  const { identity } = useSession();
  return (
    <>
      <IdentityBox identity={identity} onChange={(typed) => (typed.token.trim() ? signIn(typed) : signOut())} />
      <ErrorBoundary FallbackComponent={Failed} resetKeys={[identity]}>
        <Content identity={identity} />
      </ErrorBoundary>
    </>
  );
}

function Content({ identity }: { identity: Identity }) {
  const { fetcher, close } = useMemo(() => connect(identity), [identity]);
  useEffect(() => close, [close]);

  if (!identity.token) return <SignedOut />;
  return (
    // Another user may see another schema, so GraphiQL is mounted again.
    <GraphiQL
      key={JSON.stringify(identity)}
      fetcher={fetcher}
      plugins={PLUGINS}
      defaultTabs={OPERATIONS}
      isHeadersEditorEnabled={false}
      defaultEditorToolsVisibility="variables"
      {...STORAGE}
    >
      <GraphiQL.Logo>
        Tenantry
        <FollowSystemTheme />
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

function SignedOut() {
  return (
    <main className="plain">
      <p>
        Every request needs a token: the API token of a program (<code>tnt_…</code>), a token of your identity provider,
        or one that an operator issued with <code>python -m server token</code>. <code>make up</code> writes tokens to{" "}
        <code>.tenantry/tokens.json</code>.
      </p>
      <p>
        The documentation of the fields is shown to callers with the right <code>schema:read</code>. Members and support
        have it; the API token of a program needs the scope.
      </p>
    </main>
  );
}

function Failed({ error }: { error: unknown }) {
  return (
    <main className="plain" role="alert">
      <h1>GraphiQL cannot be shown</h1>
      <p>Something unexpected happened in this page. The browser says: {String(error)}</p>
      <p>
        <a href="/graphql">Reload GraphiQL</a> or go to <a href="/dashboard">the dashboard</a>.
      </p>
    </main>
  );
}
