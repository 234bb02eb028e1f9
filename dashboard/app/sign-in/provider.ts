/** Signing in at the OpenID Connect provider: the code flow with PKCE (RFC 7636), as oidc-client-ts does it. */

import { UserManager, WebStorageStateStore } from "oidc-client-ts";
import { isLasting, TAB_STORAGE } from "../../shared/storage";
import { type Provider, RETURN_PATH } from "./options";

/** What oidc-client-ts stores while the browser is at the provider. */
interface StoredState {
  provider: Provider;
  organization: string;
  /** The path that the user wanted to open. */
  target: string;
}

export interface SignedIn {
  token: string;
  organization: string;
  target: string;
}

/** Redirect to the provider; it sends the browser back to `/dashboard/signed-in`. Throws if the browser cannot do that. */
export async function startSignIn(provider: Provider, organization: string, target: string): Promise<void> {
  refuseUnlessPossible();
  const state: StoredState = { provider, organization, target };
  await managerOf(provider).signinRedirect({ state });
}

/** After the return from the provider, exchange the code for a token. Throws if the provider's response is invalid. */
export async function completeSignIn(provider: Provider): Promise<SignedIn> {
  const user = await managerOf(provider).signinRedirectCallback();
  const { organization, target } = user.state as StoredState;
  return { token: user.access_token, organization, target };
}

/** A browser hashes for PKCE in a secure context only, and has to store what it checks after the return. */
function refuseUnlessPossible(): void {
  if (!isSecureContext) {
    throw new Error(
      "Browsers allow this sign-in over https or on localhost only. Open the dashboard there, or paste a token.",
    );
  }
  if (!isLasting(TAB_STORAGE)) {
    throw new Error("The browser stores nothing for this site, which this sign-in needs. Allow it, or paste a token.");
  }
}

function managerOf(provider: Provider): UserManager {
  const { issuer, clientId, authorizationEndpoint, tokenEndpoint, scope, audience } = provider;
  return new UserManager({
    authority: issuer,
    client_id: clientId,
    redirect_uri: `${location.origin}/dashboard${RETURN_PATH}`,
    scope,
    // The server has already fetched the provider's metadata, so the page needs no access to the discovery endpoint.
    metadata: { issuer, authorization_endpoint: authorizationEndpoint, token_endpoint: tokenEndpoint },
    extraQueryParams: { audience },
    stateStore: new WebStorageStateStore({ store: TAB_STORAGE }),
    // The token is stored by shared/identity.ts only.
    userStore: new WebStorageStateStore({ store: new EmptyStorage() }),
    automaticSilentRenew: false,
    loadUserInfo: false,
  });
}

/** A storage that stores nothing. */
class EmptyStorage implements Storage {
  readonly length = 0;
  key = () => null;
  getItem = () => null;
  setItem = () => {};
  removeItem = () => {};
  clear = () => {};
}
