/** The ways to sign in that the server offers. */

import { useEffect, useState } from "react";

/** Where the identity provider sends the browser after a sign-in. */
export const RETURN_PATH = "/signed-in";

export interface Provider {
  issuer: string;
  clientId: string;
  authorizationEndpoint: string;
  tokenEndpoint: string;
  scope: string;
  audience: string;
}

export interface SeededUser {
  organization: string | null;
  role: string;
  token: string;
}

export interface SignInOptions {
  provider: Provider | null;
  seeded: readonly SeededUser[];
}

/** Undefined until there is a response. Pasting a token works without one. */
export function useSignInOptions(): { options: SignInOptions | undefined; problem: string } {
  const [options, setOptions] = useState<SignInOptions>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const unmounted = new AbortController();
    fetchOptions(unmounted.signal).then(
      setOptions,
      (error: Error) => unmounted.signal.aborted || setProblem(error.message),
    );
    return () => unmounted.abort();
  }, []);
  return { options, problem };
}

async function fetchOptions(signal: AbortSignal): Promise<SignInOptions> {
  const response = await fetch("/dashboard/sign-in.json", { signal }).catch(() => {
    throw new Error("The API cannot be reached. Reload this page to try again.");
  });
  if (!response.ok) throw new Error("The identity provider cannot be reached. Try again in a minute.");
  return response.json();
}
