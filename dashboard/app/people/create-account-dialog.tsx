/** The dialog that creates a service account and shows its token. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { CreateServiceAccountDocument, type CreateServiceAccountMutation } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Field } from "../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../ui/notice";
import { IssuedToken } from "./issued-token";
import { ScopeChoice } from "./scope-choice";

type Issued = NonNullable<CreateServiceAccountMutation["createServiceAccount"]>;

const FIELDS = ["name", "scopes", "expiresAt"];

export function CreateAccountDialog({ onClose }: { onClose: () => void }) {
  const [issued, setIssued] = useState<Issued>();
  return (
    <Dialog title={issued ? "New token" : "Create a service account"} onClose={onClose} alert={issued !== undefined}>
      {issued ? (
        <IssuedToken token={issued.token ?? null} onClose={onClose} />
      ) : (
        <AccountForm onIssued={setIssued} onClose={onClose} />
      )}
    </Dialog>
  );
}

function AccountForm({ onIssued, onClose }: { onIssued: (issued: Issued) => void; onClose: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>([]);
  const [lastDay, setLastDay] = useState("");
  const { send, sending, refusals, error } = useCommand(CreateServiceAccountDocument);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const input = { name, scopes, expiresAt: lastDay ? endOf(lastDay) : null };
    const done = await send(input);
    if (done) onIssued(done);
  }

  return (
    <Form onSubmit={submit} validationErrors={byField(refusals)}>
      <Field label="Name" name="name" value={name} onChange={setName} isRequired maxLength={80} />
      <ScopeChoice chosen={scopes} onChange={setScopes} />
      <Field
        label="Last day"
        name="expiresAt"
        type="date"
        value={lastDay}
        onChange={setLastDay}
        hint="The last day on which its tokens are valid, in your time zone. Leave it empty for no expiry."
      />
      <Refusals errors={outsideFields(refusals, FIELDS)} />
      {error && <Problem error={error} />}
      <Choices>
        <Button onPress={onClose}>Close</Button>
        <Button type="submit" weight="primary" isBusy={sending}>
          {sending ? "Creating…" : "Create"}
        </Button>
      </Choices>
    </Form>
  );
}

/** The end of the day in the user's time zone: a time without a zone is parsed as local. */
function endOf(day: string): string {
  return new Date(`${day}T23:59:59`).toISOString();
}
