/** Creating a service account, and showing its token. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { CreateServiceAccountDocument, type CreateServiceAccountMutation } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Field } from "../ui/field";
import { besides, byField, Problem, Refusals } from "../ui/notice";
import { ScopeChoice } from "./scope-choice";
import { TokenShown } from "./token-shown";

type Issued = NonNullable<CreateServiceAccountMutation["createServiceAccount"]>;

const FIELDS = ["name", "scopes", "expiresAt"];

export function CreateAccountDialog({ onClose }: { onClose: () => void }) {
  const [issued, setIssued] = useState<Issued>();
  return (
    <Dialog title={issued ? "The token" : "Create a service account"} onClose={onClose} alert={issued !== undefined}>
      {issued ? (
        <TokenShown token={issued.token ?? null} onClose={onClose} />
      ) : (
        <Wanted onIssued={setIssued} onClose={onClose} />
      )}
    </Dialog>
  );
}

function Wanted({ onIssued, onClose }: { onIssued: (issued: Issued) => void; onClose: () => void }) {
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
        hint="On which its tokens are good, by your clock. For ever, if you leave it empty."
      />
      <Refusals errors={besides(refusals, FIELDS)} />
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

/** The day as the reader has it; what has no zone is read in theirs. */
function endOf(day: string): string {
  return new Date(`${day}T23:59:59`).toISOString();
}
