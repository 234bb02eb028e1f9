/** The form to sign in with a token. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { signIn } from "../../shared/session";
import { Button } from "../ui/button";
import { Field } from "../ui/field";

export function PasteForm() {
  const [token, setToken] = useState("");
  const [organization, setOrganization] = useState("");

  function submit(event: FormEvent) {
    event.preventDefault();
    if (token.trim()) signIn({ token, organization });
  }

  return (
    <Form className="card" onSubmit={submit} aria-label="Paste a token">
      <h2>Paste a token</h2>
      <Field label="Token" value={token} onChange={setToken} isRequired autoComplete="off" spellCheck="false" />
      <Field
        label="Organisation"
        value={organization}
        onChange={setOrganization}
        hint="The organisation’s slug. Needed only if you belong to several."
      />
      <Button type="submit" weight="primary">
        Sign in
      </Button>
    </Form>
  );
}
