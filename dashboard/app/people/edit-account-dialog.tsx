/** The dialog that changes the name and the scopes of a service account. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { type ServiceAccountRowFragment, UpdateServiceAccountDocument } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Field } from "../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../ui/notice";
import { useRefetchAfterRefusal } from "./refetch-after-refusal";
import { ScopeChoice } from "./scope-choice";

interface Props {
  account: ServiceAccountRowFragment;
  refetch: () => void;
  onClose: () => void;
}

export function EditAccountDialog({ account, refetch, onClose }: Props) {
  const [name, setName] = useState(account.name);
  const [scopes, setScopes] = useState<string[]>([...account.scopes]);
  const { send, sending, refusals, error } = useCommand(UpdateServiceAccountDocument);
  useRefetchAfterRefusal(refusals, refetch);

  async function submit(event: FormEvent) {
    event.preventDefault();
    // Omitted fields stay unchanged: the tenants that the account is limited to, and its expiry.
    const input = { serviceAccountId: account.id, name, scopes, expectedVersion: account.version };
    if (await send(input)) onClose();
  }

  return (
    <Dialog title={`Edit ${account.name}`} onClose={onClose}>
      <Form onSubmit={submit} validationErrors={byField(refusals)}>
        <Field label="Name" name="name" value={name} onChange={setName} isRequired maxLength={80} />
        <ScopeChoice held={account.scopes} chosen={scopes} onChange={setScopes} />
        <Refusals errors={outsideFields(refusals, ["name", "scopes"])} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Close</Button>
          <Button type="submit" weight="primary" isBusy={sending}>
            {sending ? "Saving…" : "Save"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
