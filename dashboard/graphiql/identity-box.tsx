/** The form for the token and, for users who belong to several organisations, the organisation. */

import type { FormEvent } from "react";
import { type Identity, SIGNED_OUT } from "../shared/identity";

interface Props {
  identity: Identity;
  onChange: (typed: Identity) => void;
}

export function IdentityBox({ identity, onChange }: Props) {
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
        placeholder="kept until the last tab is closed"
        defaultValue={identity.token}
      />
      <label htmlFor="organization">Organisation</label>
      <input
        id="organization"
        name="organization"
        autoComplete="off"
        spellCheck={false}
        placeholder="if you belong to several"
        defaultValue={identity.organization}
      />
      <button type="submit">Use token</button>
      {identity.token && (
        <button type="button" onClick={() => onChange(SIGNED_OUT)}>
          Forget token
        </button>
      )}
    </form>
  );
}
