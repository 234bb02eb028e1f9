/** GraphiQL with a token, and with operations to begin with. */

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useEffect, useMemo, useState } from "react";
import { rememberedToken, rememberToken } from "../shared/token";
import { connect } from "./connection";
import { OPERATIONS } from "./operations";
import { TokenBox } from "./token-box";

const PLUGINS = [HISTORY_PLUGIN, explorerPlugin()];

export function Page() {
  const [token, setToken] = useState(rememberedToken);
  const { fetcher, end } = useMemo(() => connect(token), [token]);
  useEffect(() => end, [end]);

  return (
    <>
      <TokenBox token={token} onChange={(typed) => setToken(rememberToken(typed))} />
      {token ? (
        // Another token may see another schema, so GraphiQL begins anew with it.
        <GraphiQL
          key={token}
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
