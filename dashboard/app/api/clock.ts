/** The server's time as far as the browser knows it: ages are shown by it, so that a wrong clock here misleads nobody. */

const UNIT_OF_HTTP_DATE = 1000;

/** Milliseconds that the server is ahead. */
let ahead = 0;

/** Learn from an answer's `Date` (RFC 9110, section 6.6.1), which is exact to a second. */
export function learnFrom(answer: Response): void {
  const said = Date.parse(answer.headers.get("Date") ?? "");
  if (Number.isNaN(said)) return;
  const difference = said + UNIT_OF_HTTP_DATE / 2 - Date.now();
  ahead = Math.abs(difference) <= 2 * UNIT_OF_HTTP_DATE ? 0 : difference;
}

/** Milliseconds since 1970, as the server counts. */
export function now(): number {
  return Date.now() + ahead;
}
