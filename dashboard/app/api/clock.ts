/** The server's clock, as far as the browser can know it: ages are computed from it, as the local clock may be wrong. */

const HTTP_DATE_RESOLUTION = 1000;

/** Milliseconds that the server's clock is ahead of the local one. */
let offset = 0;

/** Take the offset from a response's `Date` (RFC 9110, section 6.6.1), which is exact to a second. */
export function syncClock(response: Response): void {
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isNaN(date)) return;
  const difference = date + HTTP_DATE_RESOLUTION / 2 - Date.now();
  offset = Math.abs(difference) <= 2 * HTTP_DATE_RESOLUTION ? 0 : difference;
}

/** Milliseconds since 1970 by the server's clock. */
export function now(): number {
  return Date.now() + offset;
}
