/** GraphiQL for whoever says who it is, with operations to begin with. */

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
  const { fetcher, end } = useMemo(() => connect(identity), [identity]);
  useEffect(() => end, [end]);

  return (
    <>
      <IdentityBox identity={identity} onChange={(typed) => setIdentity(rememberIdentity(typed))} />
      {identity.token ? (
        // Somebody else may see another schema, so GraphiQL begins anew then.
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
        <main className="nobody">
          <p>Every call needs a token, the questions about the schema too.</p>
          <p>
            <code>make up</code> writes some into <code>.tenantry/tokens.json</code>; on other servers{" "}
            <code>python -m server token --help</code> makes one.
          </p>
        </main>
      )}
    </>
  );
}
