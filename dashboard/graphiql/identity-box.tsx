/** Where a person puts the token and, belonging to several organisations, says which is meant. */

import type { FormEvent } from "react";
import { type Identity, NOBODY } from "../shared/identity";

interface Properties {
  identity: Identity;
  onChange: (typed: Identity) => void;
}

export function IdentityBox({ identity, onChange }: Properties) {
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const typed = new FormData(event.currentTarget);
    onChange({ token: String(typed.get("token")), organization: String(typed.get("organization")) });
  }

  return (
    <form className="identity-box" key={JSON.stringify(identity)} onSubmit={submit}>
      <label htmlFor="token">Token</label>
      <input
        id="token"
        name="token"
        type="password"
        autoComplete="off"
        spellCheck={false}
        placeholder="forgotten when this tab is closed"
        defaultValue={identity.token}
      />
      <label htmlFor="organization">Organisation</label>
      <input
        id="organization"
        name="organization"
        autoComplete="off"
        spellCheck={false}
        placeholder="if you have several"
        defaultValue={identity.organization}
      />
      <button type="submit">Use it</button>
      {identity.token && (
        <button type="button" onClick={() => onChange(NOBODY)}>
          Forget it
        </button>
      )}
    </form>
  );
}
