/** What the server offers to people who want to sign in. */

import { useEffect, useState } from "react";

export interface Provider {
  issuer: string;
  clientId: string;
  authorizationEndpoint: string;
  tokenEndpoint: string;
  scope: string;
  audience: string;
}

export interface Seeded {
  organization: string | null;
  role: string;
  token: string;
}

export interface Offer {
  provider: Provider | null;
  seeded: readonly Seeded[];
}

/** Undefined while nobody has answered; a token can be pasted in any case. */
export function useOffer(): { offer: Offer | undefined; problem: string } {
  const [offer, setOffer] = useState<Offer>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const leaving = new AbortController();
    ask(leaving.signal).then(setOffer, (error: Error) => leaving.signal.aborted || setProblem(error.message));
    return () => leaving.abort();
  }, []);
  return { offer, problem };
}

async function ask(signal: AbortSignal): Promise<Offer> {
  const answer = await fetch("/dashboard/sign-in.json", { signal }).catch(() => {
    throw new Error("The API cannot be reached. Load this page again when it is up.");
  });
  if (!answer.ok) throw new Error("The identity provider cannot be reached now. Try again in a minute.");
  return answer.json();
}
