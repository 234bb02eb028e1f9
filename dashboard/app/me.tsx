/** The signed-in person as the server knows them: name, rights, organisation. */

import { createContext, type ReactNode, useContext } from "react";
import { useQuery } from "urql";
import { MeDocument, type MeQuery } from "./__generated__/graphql";
import { Loading, Problem } from "./ui/notice";

export interface Me {
  actor: MeQuery["viewer"]["actor"];
  scopes: readonly string[];
  organization: MeQuery["organization"];
  /** Whether the server would let them; for what no `availableActions` tells of. */
  may: (scope: string) => boolean;
}

export const MeContext = createContext<Me | undefined>(undefined);

export function useMe(): Me {
  const me = useContext(MeContext);
  if (!me) throw new Error("This part of the dashboard is for people who are signed in.");
  return me;
}

/** Ask once; everything below knows. */
export function WhoeverThisIs({ children }: { children: ReactNode }) {
  const [{ data, error }, again] = useQuery({ query: MeDocument });
  if (error && !data) {
    return (
      <main className="page">
        <Problem error={error} onRetry={() => again({ requestPolicy: "network-only" })} />
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
