/** Where a person puts the token. */

import type { FormEvent } from "react";

interface Properties {
  token: string;
  onChange: (typed: string) => void;
}

export function TokenBox({ token, onChange }: Properties) {
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    onChange(String(new FormData(event.currentTarget).get("token") ?? ""));
  }

  return (
    <form className="token-box" key={token} onSubmit={submit}>
      <label htmlFor="token">Token</label>
      <input
        id="token"
        name="token"
        type="password"
        autoComplete="off"
        spellCheck={false}
        placeholder="without Bearer; forgotten when this tab is closed"
        defaultValue={token}
      />
      <button type="submit">Use it</button>
      {token && (
        <button type="button" onClick={() => onChange("")}>
          Forget it
        </button>
      )}
    </form>
  );
}
