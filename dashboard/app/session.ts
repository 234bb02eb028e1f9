/** Who is signed in, in this tab: one value that everything follows. */

import { useSyncExternalStore } from "react";
import { type Identity, NOBODY, rememberedIdentity, rememberIdentity } from "../shared/identity";

export interface Session {
  identity: Identity;
  /** Why the last one ended, when it did not end by choice. */
  farewell: string;
}

let session: Session = { identity: rememberedIdentity(), farewell: "" };
const followers = new Set<() => void>();

export function signIn(identity: Identity): void {
  become({ identity: rememberIdentity(identity), farewell: "" });
}

export function signOut(farewell = ""): void {
  rememberIdentity(NOBODY);
  become({ identity: NOBODY, farewell });
}

/** The server no longer takes the token: in its own words. */
export function expire(why: string): void {
  signOut(`You were signed out. ${why}`);
}

export function useSession(): Session {
  return useSyncExternalStore(follow, () => session);
}

function become(next: Session): void {
  session = next;
  for (const tell of followers) tell();
}

function follow(tell: () => void): () => void {
  followers.add(tell);
  return () => followers.delete(tell);
}
