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
          <p>Every request needs a token, introspection too.</p>
          <p>
            <code>make up</code> writes tokens to <code>.tenantry/tokens.json</code>. On other servers,{" "}
            <code>python -m server token</code> issues one; <code>--help</code> shows its options.
          </p>
        </main>
      )}
    </>
  );
}
