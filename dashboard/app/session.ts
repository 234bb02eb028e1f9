/** The session of this browser tab: one value, to which components subscribe. */

import { useSyncExternalStore } from "react";
import { type Identity, rememberedIdentity, rememberIdentity, SIGNED_OUT } from "../shared/identity";

export interface Session {
  identity: Identity;
  /** Why the last session ended; empty if the user signed out. */
  endReason: string;
}

let session: Session = { identity: rememberedIdentity(), endReason: "" };
const listeners = new Set<() => void>();

export function signIn(identity: Identity): void {
  set({ identity: rememberIdentity(identity), endReason: "" });
}

export function signOut(endReason = ""): void {
  rememberIdentity(SIGNED_OUT);
  set({ identity: SIGNED_OUT, endReason });
}

/** The server does not accept the token any more; `reason` is the server's message. */
export function expire(reason: string): void {
  signOut(`You were signed out. ${reason}`);
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, () => session);
}

function set(next: Session): void {
  session = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
