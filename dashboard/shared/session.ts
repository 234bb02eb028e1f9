/** The session of this browser: one value in each tab, to which components subscribe. */

import { useSyncExternalStore } from "react";
import { type Identity, rememberedIdentity, rememberIdentity, SIGNED_OUT } from "./identity";
import { askOtherTabs, followOtherTabs, tellOtherTabs } from "./tabs";

export interface Session {
  identity: Identity;
  /** Whether a new tab still waits for the answer of another tab. */
  asking: boolean;
  /** Why the last session ended; empty if the user signed out. */
  endReason: string;
}

const remembered = rememberedIdentity();
let session: Session = { identity: remembered, asking: !remembered.token, endReason: "" };
const listeners = new Set<() => void>();

followOtherTabs({
  current: () => session.identity,
  onSignedIn: adopt,
  onSignedOut: () => end("You signed out in another tab."),
});

if (session.asking) {
  askOtherTabs().then((identity) => {
    if (identity && !session.identity.token) adopt(identity);
    else set({ ...session, asking: false });
  });
}

export function signIn(typed: Identity): void {
  const identity = rememberIdentity(typed);
  set({ identity, asking: false, endReason: "" });
  tellOtherTabs("signed-in", identity);
}

/** Sign out in this tab, and in all others with the same token. */
export function signOut(): void {
  tellOtherTabs("signed-out", session.identity);
  end("");
}

/** The server does not accept the token any more; `reason` is the server's message. */
export function expire(reason: string): void {
  end(`You were signed out. ${reason}`);
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, currentSession);
}

export function currentSession(): Session {
  return session;
}

function adopt(identity: Identity): void {
  set({ identity: rememberIdentity(identity), asking: false, endReason: "" });
}

function end(endReason: string): void {
  rememberIdentity(SIGNED_OUT);
  set({ identity: SIGNED_OUT, asking: false, endReason });
}

function set(next: Session): void {
  session = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
