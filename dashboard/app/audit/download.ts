/** Downloads the audit feed as a file: the URL of the export, and how the file gets to the user's disk. */

import { CombinedError } from "urql";
import { headersOf, type Identity } from "../../shared/identity";
import type { Conditions } from "./url-filters";

export type Format = "csv" | "jsonl";

/** Milliseconds until the browser has certainly begun to save. */
const REVOKE_AFTER = 60_000;

/** The page's conditions, under the parameter names of the export endpoint. */
export function exportUrl(format: Format, conditions: Conditions, organization: string): string {
  const { type, tenant, run, actor, from, until } = conditions;
  const parameters = {
    tenantId: tenant,
    runId: run,
    actorId: actor,
    typeIn: type,
    occurredFrom: from,
    occurredUntil: until,
    organization,
  };
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  return `/export/audit.${format}?${query}`;
}

/** Fetch the file and save it. Throws CombinedError, with the response in it if there was one. */
export async function downloadFile(url: string, identity: Identity): Promise<void> {
  const response = await fetch(url, { headers: headersOf(identity) }).catch((cause: Error) => {
    throw new CombinedError({ networkError: cause });
  });
  if (!response.ok) throw await errorIn(response);
  // The last chunk marks the end of the file; without it the browser rejects here, so no partial file is saved.
  const file = await response.blob().catch(() => {
    throw new CombinedError({ graphQLErrors: ["The download was interrupted. Export the feed again."], response });
  });
  save(file, filenameIn(response));
}

async function errorIn(response: Response): Promise<CombinedError> {
  const { errors } = await response.json().catch(() => ({}));
  if (errors) return new CombinedError({ graphQLErrors: errors, response });
  return new CombinedError({ networkError: new Error(response.statusText), response });
}

function filenameIn(response: Response): string {
  return /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "audit";
}

function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_AFTER);
}
