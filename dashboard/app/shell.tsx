/** The frame around every page: navigation, the signed-in user, and the state of the live connection. */

import type { ReactNode } from "react";
import { NavLink } from "react-router";
import { signOut } from "../shared/session";
import { useConnectionStatus } from "./api/api";
import { useMe } from "./me";
import { Button } from "./ui/button";

export function Shell({ children }: { children: ReactNode }) {
  const me = useMe();
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header className="shell">
        <strong className="brand">Tenantry</strong>
        <nav aria-label="Pages">
          <NavLink to="/tenants">Tenants</NavLink>
          {me.may("audit:read") && <NavLink to="/audit">Audit feed</NavLink>}
          {me.may("members:manage") && <NavLink to="/people">People</NavLink>}
          <a href="/graphql">GraphiQL</a>
        </nav>
        <ConnectionState />
        <span className="user">
          {me.actor.displayName}
          {me.organization && <span className="hint"> {me.organization.name}</span>}
        </span>
        <Button weight="quiet" onPress={() => signOut()}>
          Sign out
        </Button>
      </header>
      <div id="content">{children}</div>
    </>
  );
}

/** Announced by screen readers when it changes: while the connection is lost, no step can be seen to finish. */
function ConnectionState() {
  const { state } = useConnectionStatus();
  const words = { idle: "", connecting: "", live: "Live", lost: "Connection lost, reconnecting…" };
  return (
    <span className={`connection ${state}`} role="status">
      {words[state]}
    </span>
  );
}
