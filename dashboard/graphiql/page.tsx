/** GraphiQL with a form for the token and with prepared operations. */

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useEffect, useMemo, useState } from "react";
import { rememberedIdentity, rememberIdentity } from "../shared/identity";
import { connect } from "./connection";
import { IdentityBox } from "./identity-box";
import { OPERATIONS } from "./operations";

const PLUGINS = [HISTORY_PLUGIN, explorerPlugin()];

export function Page() {
  const [identity, setIdentity] = useState(rememberedIdentity);
  const { fetcher, close } = useMemo(() => connect(identity), [identity]);
  useEffect(() => close, [close]);

  return (
    <>
      <IdentityBox identity={identity} onChange={(typed) => setIdentity(rememberIdentity(typed))} />
      {identity.token ? (
        // Another user may see another schema, so GraphiQL is mounted again.
        <GraphiQL
          key={JSON.stringify(identity)}
          fetcher={fetcher}
          plugins={PLUGINS}
          defaultTabs={OPERATIONS}
          isHeadersEditorEnabled={false}
          defaultEditorToolsVisibility="variables"
        >
          <GraphiQL.Logo>Tenantry</GraphiQL.Logo>
        </GraphiQL>
      ) : (
        <main className="signed-out">
          <p>
            Every request needs a token: the API token of a program (<code>tnt_…</code>), a token of your identity
            provider, or one that an operator issued with <code>python -m server token</code>. <code>make up</code>{" "}
            writes tokens to <code>.tenantry/tokens.json</code>.
          </p>
          <p>
            The documentation of the fields is shown to callers with the right <code>schema:read</code>. Members and
            support have it; the API token of a program needs the scope.
          </p>
        </main>
      )}
    </>
  );
}
