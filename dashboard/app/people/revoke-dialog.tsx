/** The dialog that revokes a service account. */

import { RevokeServiceAccountDocument, type ServiceAccountRowFragment } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Dialog } from "../ui/dialog";
import { Confirmation } from "./confirmation";
import { useRefetchAfterRefusal } from "./refetch-after-refusal";

interface Props {
  account: ServiceAccountRowFragment;
  refetch: () => void;
  onDone: (message: string) => void;
  onClose: () => void;
}

export function RevokeDialog({ account, refetch, onDone, onClose }: Props) {
  const command = useCommand(RevokeServiceAccountDocument);
  useRefetchAfterRefusal(command.refusals, refetch);

  async function revoke() {
    if (!(await command.send({ serviceAccountId: account.id, expectedVersion: account.version }))) return;
    onDone(`${account.name} was revoked.`);
    onClose();
  }

  return (
    <Dialog title={`Revoke ${account.name}?`} onClose={onClose} alert>
      <Confirmation
        command={command}
        act="Revoke"
        acting="Revoking…"
        keep="Keep account"
        onAct={revoke}
        onClose={onClose}
      >
        <p>Its tokens become invalid within seconds, permanently. The account stays in this list as revoked.</p>
      </Confirmation>
    </Dialog>
  );
}
