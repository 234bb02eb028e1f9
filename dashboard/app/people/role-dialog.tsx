/** The dialog that changes a member's role. A transfer of the ownership needs a confirmation. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { ChangeMemberRoleDocument, type MemberRole, type MemberRowFragment } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Choice } from "../ui/field";
import { Problem, Refusals } from "../ui/notice";
import { Confirmation } from "./confirmation";
import { useRefetchAfterRefusal } from "./refetch-after-refusal";
import { ROLES } from "./roles";

interface Props {
  member: MemberRowFragment;
  refetch: () => void;
  onDone: (message: string) => void;
  onClose: () => void;
}

export function RoleDialog({ member, refetch, onDone, onClose }: Props) {
  const [role, setRole] = useState(member.role);
  const [confirming, setConfirming] = useState(false);
  const command = useCommand(ChangeMemberRoleDocument);
  const { send, sending, refusals, error } = command;
  useRefetchAfterRefusal(refusals, refetch);

  async function change() {
    if (!(await send({ memberId: member.id, role, expectedVersion: member.version }))) return;
    onDone(`${member.name} now has the role ${role}.`);
    onClose();
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if (role === "OWNER" && member.role !== "OWNER") setConfirming(true);
    else void change();
  }

  return (
    <Dialog title={confirming ? "Transfer ownership?" : `Role of ${member.name}`} onClose={onClose} alert={confirming}>
      {confirming ? (
        <Confirmation
          command={command}
          act="Transfer ownership"
          acting="Transferring…"
          keep="Keep ownership"
          onAct={change}
          onClose={onClose}
        >
          <p>
            {member.name} becomes the owner, and you become an ADMIN. Only the new owner can transfer the ownership
            back.
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
