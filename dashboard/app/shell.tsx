/** What is around every page: where one can go, who one is, and whether what one sees is live. */

import type { ReactNode } from "react";
import { NavLink } from "react-router";
import { useLink } from "./api/api";
import { useMe } from "./me";
import { signOut } from "./session";
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
        <LinkState />
        <span className="who">
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

/** Said aloud when it changes: somebody who waits for a step wants to know that nothing can come. */
function LinkState() {
  const { state } = useLink();
  const words = { idle: "", connecting: "", live: "Live", lost: "Connection lost, trying again…" };
  return (
    <span className={`link ${state}`} role="status">
      {words[state]}
    </span>
  );
}
