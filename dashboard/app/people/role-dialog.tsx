/** Another role for a member. Making somebody the owner is asked about once more. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { ChangeMemberRoleDocument, type MemberRole, type MemberRowFragment } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Choice } from "../ui/field";
import { Problem, Refusals } from "../ui/notice";
import { Confirmation } from "./confirmation";
import { useFreshAfter } from "./fresh";
import { ROLES } from "./roles";

interface Props {
  member: MemberRowFragment;
  again: () => void;
  onDone: (sentence: string) => void;
  onClose: () => void;
}

export function RoleDialog({ member, again, onDone, onClose }: Props) {
  const [role, setRole] = useState(member.role);
  const [asking, setAsking] = useState(false);
  const command = useCommand(ChangeMemberRoleDocument);
  const { send, sending, refusals, error } = command;
  useFreshAfter(refusals, again);

  async function change() {
    if (!(await send({ memberId: member.id, role, expectedVersion: member.version }))) return;
    onDone(`${member.name} is ${role} now.`);
    onClose();
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if (role === "OWNER" && member.role !== "OWNER") setAsking(true);
    else void change();
  }

  return (
    <Dialog title={asking ? "Hand the ownership over?" : `Role of ${member.name}`} onClose={onClose} alert={asking}>
      {asking ? (
        <Confirmation
          command={command}
          act="Hand over"
          acting="Handing over…"
          keep="Keep it as it is"
          onAct={change}
          onClose={onClose}
        >
          <p>
            {member.name} becomes the owner, and you become an ADMIN. Only the new owner can hand the ownership back.
          </p>
        </Confirmation>
      ) : (
        <Form onSubmit={submit}>
          <Choice label="Role" value={role} options={ROLES} onChange={(value) => setRole(value as MemberRole)} />
          <Refusals errors={refusals} />
          {error && <Problem error={error} />}
          <Choices>
            <Button onPress={onClose}>Close</Button>
            <Button type="submit" weight="primary" isBusy={sending} isDisabled={role === member.role}>
              {sending ? "Changing…" : "Change role"}
            </Button>
          </Choices>
        </Form>
      )}
    </Dialog>
  );
}
