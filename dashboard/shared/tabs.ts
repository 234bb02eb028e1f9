/** The tabs of the dashboard and of GraphiQL in one browser: a new tab takes over the session of one that is open. */

import { type Identity, isIdentity } from "./identity";

type Message = { kind: "ask" } | { kind: "signed-in"; identity: Identity } | { kind: "signed-out"; identity: Identity };

interface Listener {
  /** The identity of this tab, to answer a new tab. */
  current: () => Identity;
  onSignedIn: (identity: Identity) => void;
  onSignedOut: (identity: Identity) => void;
}

/** Milliseconds within which another tab answers. It does not store the token anywhere: it sends it, within this origin. */
const ANSWER_WITHIN = 400;

/** Undefined where the browser has no such channel, or refuses it together with site data. */
const channel = openChannel();

/** The identity of another open tab; undefined if no other tab is signed in. */
export function askOtherTabs(): Promise<Identity | undefined> {
  if (!channel) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const timer = setTimeout(() => answer(undefined), ANSWER_WITHIN);
    function answer(identity: Identity | undefined) {
      clearTimeout(timer);
      channel?.removeEventListener("message", hear);
      resolve(identity);
    }
    function hear({ data }: MessageEvent<Message>) {
      if (data.kind === "signed-in" && isIdentity(data.identity)) answer(data.identity);
    }
    channel.addEventListener("message", hear);
    send({ kind: "ask" });
  });
}

/** Answer new tabs, and follow a sign-in or sign-out in another tab; the result ends that. */
export function followOtherTabs({ current, onSignedIn, onSignedOut }: Listener): () => void {
  function hear({ data }: MessageEvent<Message>) {
    const identity = current();
    if (data.kind === "ask") {
      if (identity.token) send({ kind: "signed-in", identity });
    } else if (!isIdentity(data.identity)) return;
    else if (data.kind === "signed-in" && !identity.token) onSignedIn(data.identity);
    else if (data.kind === "signed-out" && identity.token === data.identity.token) onSignedOut(data.identity);
  }
  channel?.addEventListener("message", hear);
  return () => channel?.removeEventListener("message", hear);
}

export function tellOtherTabs(kind: "signed-in" | "signed-out", identity: Identity): void {
  if (identity.token) send({ kind, identity });
}

function send(message: Message): void {
  channel?.postMessage(message);
}

function openChannel(): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel("tenantry.session");
  } catch {
    return undefined;
  }
}
