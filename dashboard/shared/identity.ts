/** The token and organisation that the user entered: kept in the browser's open tabs, and nowhere else. */

import { TAB_STORAGE } from "./storage";

const KEY = "tenantry.identity";

export interface Identity {
  token: string;
  /** The slug of the chosen organisation, for users who belong to several; otherwise empty. */
  organization: string;
}

export const SIGNED_OUT: Identity = { token: "", organization: "" };

export function rememberedIdentity(): Identity {
  try {
    const stored: unknown = JSON.parse(TAB_STORAGE.getItem(KEY) ?? "null");
    return isIdentity(stored) ? stored : SIGNED_OUT;
  } catch {
    return SIGNED_OUT; // stored by something else
  }
}

/** Store the identity, or remove it if there is no token. A pasted token may begin with "Bearer". */
export function rememberIdentity(typed: Identity): Identity {
  const token = typed.token.trim().replace(/^bearer\s+/i, "");
  if (!token) {
    TAB_STORAGE.removeItem(KEY);
    return SIGNED_OUT;
  }
  const identity = { token, organization: typed.organization.trim() };
  TAB_STORAGE.setItem(KEY, JSON.stringify(identity));
  return identity;
}

export function isIdentity(value: unknown): value is Identity {
  const { token, organization } = (value ?? {}) as Partial<Identity>;
  return typeof token === "string" && typeof organization === "string";
}

/** The identity as HTTP headers. */
export function headersOf({ token, organization }: Identity): Record<string, string> {
  return { Authorization: `Bearer ${token}`, ...(organization && { "Tenantry-Organization": organization }) };
}

/** The identity as the payload of a websocket's `connection_init`. */
export function connectionParamsOf({ token, organization }: Identity): Record<string, string> {
  return { authorization: `Bearer ${token}`, ...(organization && { organization }) };
}
