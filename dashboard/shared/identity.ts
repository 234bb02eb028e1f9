/** The token and organisation that the user entered: kept in this browser tab, until it is closed. */

const KEY = "tenantry.identity";

export interface Identity {
  token: string;
  /** The slug of the chosen organisation, for users who belong to several; otherwise empty. */
  organization: string;
}

export const SIGNED_OUT: Identity = { token: "", organization: "" };

export function rememberedIdentity(): Identity {
  const stored = sessionStorage.getItem(KEY);
  return stored ? { ...SIGNED_OUT, ...JSON.parse(stored) } : SIGNED_OUT;
}

/** Store the identity, or remove it if there is no token. A pasted token may begin with "Bearer". */
export function rememberIdentity(typed: Identity): Identity {
  const token = typed.token.trim().replace(/^bearer\s+/i, "");
  if (!token) {
    sessionStorage.removeItem(KEY);
    return SIGNED_OUT;
  }
  const identity = { token, organization: typed.organization.trim() };
  sessionStorage.setItem(KEY, JSON.stringify(identity));
  return identity;
}

/** The identity as HTTP headers. */
export function headersOf({ token, organization }: Identity): Record<string, string> {
  return { Authorization: `Bearer ${token}`, ...(organization && { "Tenantry-Organization": organization }) };
}

/** The identity as the payload of a websocket's `connection_init`. */
export function connectionParamsOf({ token, organization }: Identity): Record<string, string> {
  return { authorization: `Bearer ${token}`, ...(organization && { organization }) };
}
