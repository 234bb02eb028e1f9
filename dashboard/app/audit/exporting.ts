/** The feed as a file: what is asked for, and how it gets from the server to the reader's disk. */

import { CombinedError } from "urql";
import { headersOf, type Identity } from "../../shared/identity";
import type { Conditions } from "./wish";

export type Format = "csv" | "jsonl";

/** After which the browser has surely begun to save. */
const SAVED_WITHIN = 60_000;

/** The same conditions as the page has, under the names that the server gives them. */
export function addressOf(format: Format, conditions: Conditions, organization: string): string {
  const { type, tenant, run, actor, from, until } = conditions;
  const wanted = {
    tenantId: tenant,
    runId: run,
    actorId: actor,
    typeIn: type,
    occurredFrom: from,
    occurredUntil: until,
    organization,
  };
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  return `/export/audit.${format}?${query}`;
}

/** Fetch the file and save it. Raises CombinedError, with the answer in it where there was one. */
export async function takeFile(address: string, identity: Identity): Promise<void> {
  const answer = await fetch(address, { headers: headersOf(identity) }).catch((cause: Error) => {
    throw new CombinedError({ networkError: cause });
  });
  if (!answer.ok) throw await refusalIn(answer);
  // HTTP's last chunk says that the file is whole, and the browser minds if it is missing.
  const file = await answer.blob().catch(() => {
    throw new CombinedError({ graphQLErrors: ["The file broke off before its end. Take it again."], response: answer });
  });
  save(file, nameIn(answer));
}

async function refusalIn(answer: Response): Promise<CombinedError> {
  const { errors } = await answer.json().catch(() => ({}));
  if (errors) return new CombinedError({ graphQLErrors: errors, response: answer });
  return new CombinedError({ networkError: new Error(answer.statusText), response: answer });
}

function nameIn(answer: Response): string {
  return /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "audit";
}

function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), SAVED_WITHIN);
}
