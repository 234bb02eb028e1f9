/** The signed-in user as the server knows them: actor, scopes, organisation. */

import { createContext, type ReactNode, useContext } from "react";
import { useQuery } from "urql";
import { MeDocument, type MeQuery } from "./__generated__/graphql";
import { Loading, Problem } from "./ui/notice";

export interface Me {
  actor: MeQuery["viewer"]["actor"];
  scopes: readonly string[];
  organization: MeQuery["organization"];
  /** Whether the user has a scope. For what is not covered by a tenant's `availableActions`. */
  may: (scope: string) => boolean;
}

export const MeContext = createContext<Me | undefined>(undefined);

export function useMe(): Me {
  const me = useContext(MeContext);
  if (!me) throw new Error("useMe needs a MeProvider above it.");
  return me;
}

/** Queries the user once, for all components below it. */
export function MeProvider({ children }: { children: ReactNode }) {
  const [{ data, error }, execute] = useQuery({ query: MeDocument });
  if (error && !data) {
    return (
      <main className="page">
        <Problem error={error} onRetry={() => execute({ requestPolicy: "network-only" })} />
      </main>
    );
  }
  if (!data) return <Loading />;
  return <MeContext value={meIn(data)}>{children}</MeContext>;
}

export function meIn({ viewer, organization }: MeQuery): Me {
  const { actor, scopes } = viewer;
  return { actor, scopes, organization, may: (scope) => scopes.includes(scope) };
}
