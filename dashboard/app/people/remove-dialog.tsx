/** The dialog that removes a member. */

import { type MemberRowFragment, RemoveMemberDocument } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Dialog } from "../ui/dialog";
import { Confirmation } from "./confirmation";
import { useRefetchAfterRefusal } from "./refetch-after-refusal";

interface Props {
  member: MemberRowFragment;
  refetch: () => void;
  onDone: (message: string) => void;
  onClose: () => void;
}

export function RemoveDialog({ member, refetch, onDone, onClose }: Props) {
  const command = useCommand(RemoveMemberDocument);
  useRefetchAfterRefusal(command.refusals, refetch);

  async function remove() {
    if (!(await command.send({ memberId: member.id, expectedVersion: member.version }))) return;
    onDone(`${member.name} was removed.`);
    onClose();
  }

  return (
    <Dialog title={`Remove ${member.name}?`} onClose={onClose} alert>
      <Confirmation
        command={command}
        act="Remove"
        acting="Removing…"
        keep="Keep member"
        onAct={remove}
        onClose={onClose}
      >
        <p>Access ends within seconds. The actions of {member.name} stay in the audit feed.</p>
      </Confirmation>
    </Dialog>
  );
}
