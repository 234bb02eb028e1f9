/** Signing in at the OpenID Connect provider: the code flow with PKCE (RFC 7636), as oidc-client-ts does it. */

import { UserManager, WebStorageStateStore } from "oidc-client-ts";
import type { Provider } from "./offer";

interface Kept {
  provider: Provider;
  organization: string;
  /** Where the person wanted to go. */
  back: string;
}

export interface Arrived {
  token: string;
  organization: string;
  back: string;
}

/** Go to the provider; it sends the browser back to `/dashboard/signed-in`. */
export async function leaveFor(provider: Provider, organization: string, back: string): Promise<void> {
  const kept: Kept = { provider, organization, back };
  await managerOf(provider).signinRedirect({ state: kept });
}

/** Back from the provider: trade the code for a token. Raises what is wrong with the answer. */
export async function arrive(provider: Provider): Promise<Arrived> {
  const user = await managerOf(provider).signinRedirectCallback();
  const { organization, back } = user.state as Kept;
  return { token: user.access_token, organization, back };
}

function managerOf(provider: Provider): UserManager {
  const { issuer, clientId, authorizationEndpoint, tokenEndpoint, scope, audience } = provider;
  return new UserManager({
    authority: issuer,
    client_id: clientId,
    redirect_uri: `${location.origin}/dashboard/signed-in`,
    scope,
    // The server has asked the provider already, so that the page needs no third address.
    metadata: { issuer, authorization_endpoint: authorizationEndpoint, token_endpoint: tokenEndpoint },
    extraQueryParams: { audience },
    stateStore: new WebStorageStateStore({ store: sessionStorage }),
    // The token lies where every page of ours has it (shared/identity.ts), and nowhere else.
    userStore: new WebStorageStateStore({ store: new NothingKept() }),
    automaticSilentRenew: false,
    loadUserInfo: false,
  });
}

/** A store that forgets. */
class NothingKept implements Storage {
  readonly length = 0;
  key = () => null;
  getItem = () => null;
  setItem = () => {};
  removeItem = () => {};
  clear = () => {};
}
