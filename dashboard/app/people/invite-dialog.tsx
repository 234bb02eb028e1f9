/** The dialog that invites a member: the invitation is stored, and the person joins by signing in. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { InviteMemberDocument, type MemberRole } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Choice, Field } from "../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../ui/notice";
import { ROLES } from "./roles";

const FIELDS = ["email", "role", "name"];

export function InviteDialog({ onDone, onClose }: { onDone: (message: string) => void; onClose: () => void }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<MemberRole>("VIEWER");
  const [name, setName] = useState("");
  const { send, sending, refusals, error } = useCommand(InviteMemberDocument);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const input = { email, role, name: name || null };
    if (!(await send(input))) return;
    onDone(`${email} is invited. No e-mail was sent: ask them to sign in.`);
    onClose();
  }

  const fieldErrors = byField(refusals);
  return (
    <Dialog title="Invite a member" onClose={onClose}>
      <Form onSubmit={submit} validationErrors={fieldErrors}>
        <p>
          No e-mail is sent. Ask the person to sign in with the identity provider within two weeks, using this address.
        </p>
        <Field label="E-mail" name="email" type="email" value={email} onChange={setEmail} isRequired />
        <Choice
          label="Role"
          value={role}
          options={ROLES.filter((one) => one.value !== "OWNER")}
          onChange={(value) => setRole(value as MemberRole)}
          error={fieldErrors.role?.[0]}
        />
        <Field
          label="Name"
          name="name"
          value={name}
          onChange={setName}
          hint="The display name. If empty, the part of the address before the @."
        />
        <Refusals errors={outsideFields(refusals, FIELDS)} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Close</Button>
          <Button type="submit" weight="primary" isBusy={sending}>
            {sending ? "Inviting…" : "Invite"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
