/** Who the person at the page says to be: kept for as long as the tab is open, and for nobody else. */

const KEY = "tenantry.identity";

export interface Identity {
  token: string;
  /** The slug of the one meant, for people who belong to several. */
  organization: string;
}

export const NOBODY: Identity = { token: "", organization: "" };

export function rememberedIdentity(): Identity {
  const kept = sessionStorage.getItem(KEY);
  return kept ? { ...NOBODY, ...JSON.parse(kept) } : NOBODY;
}

/** Keep it, or forget it where there is no token. What people paste may begin with Bearer. */
export function rememberIdentity(typed: Identity): Identity {
  const token = typed.token.trim().replace(/^bearer\s+/i, "");
  if (!token) {
    sessionStorage.removeItem(KEY);
    return NOBODY;
  }
  const identity = { token, organization: typed.organization.trim() };
  sessionStorage.setItem(KEY, JSON.stringify(identity));
  return identity;
}

/** As HTTP carries it. */
export function headersOf({ token, organization }: Identity): Record<string, string> {
  return { Authorization: `Bearer ${token}`, ...(organization && { "Tenantry-Organization": organization }) };
}

/** As the `connection_init` of a websocket carries it. */
export function introductionOf({ token, organization }: Identity): Record<string, string> {
  return { authorization: `Bearer ${token}`, ...(organization && { organization }) };
}
