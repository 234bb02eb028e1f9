/** Removing a member. */

import { type MemberRowFragment, RemoveMemberDocument } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Dialog } from "../ui/dialog";
import { Confirmation } from "./confirmation";
import { useFreshAfter } from "./fresh";

interface Props {
  member: MemberRowFragment;
  again: () => void;
  onDone: (sentence: string) => void;
  onClose: () => void;
}

export function RemoveDialog({ member, again, onDone, onClose }: Props) {
  const command = useCommand(RemoveMemberDocument);
  useFreshAfter(command.refusals, again);

  async function remove() {
    if (!(await command.send({ memberId: member.id, expectedVersion: member.version }))) return;
    onDone(`${member.name} is no member any more.`);
    onClose();
  }

  return (
    <Dialog title={`Remove ${member.name}?`} onClose={onClose} alert>
      <Confirmation
        command={command}
        act="Remove"
        acting="Removing…"
        keep="Keep the member"
        onAct={remove}
        onClose={onClose}
      >
        <p>Access ends within seconds. What {member.name} did stays in the audit feed.</p>
      </Confirmation>
    </Dialog>
  );
}
