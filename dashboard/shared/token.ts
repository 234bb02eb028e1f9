/** The token that a person typed: kept for as long as the tab is open, and for nobody else. */

const KEY = "tenantry.token";

/** The token, or an empty text. */
export function rememberedToken(): string {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Keep it; an empty one is forgotten. What people paste may begin with Bearer. */
export function rememberToken(typed: string): string {
  const token = typed.trim().replace(/^bearer\s+/i, "");
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
  return token;
}
