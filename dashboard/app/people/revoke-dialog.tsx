/** Revoking a service account. */

import { RevokeServiceAccountDocument, type ServiceAccountRowFragment } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Dialog } from "../ui/dialog";
import { Confirmation } from "./confirmation";
import { useFreshAfter } from "./fresh";

interface Props {
  account: ServiceAccountRowFragment;
  again: () => void;
  onDone: (sentence: string) => void;
  onClose: () => void;
}

export function RevokeDialog({ account, again, onDone, onClose }: Props) {
  const command = useCommand(RevokeServiceAccountDocument);
  useFreshAfter(command.refusals, again);

  async function revoke() {
    if (!(await command.send({ serviceAccountId: account.id, expectedVersion: account.version }))) return;
    onDone(`${account.name} is revoked.`);
    onClose();
  }

  return (
    <Dialog title={`Revoke ${account.name}?`} onClose={onClose} alert>
      <Confirmation command={command} act="Revoke" acting="Revoking…" keep="Keep it" onAct={revoke} onClose={onClose}>
        <p>Its tokens are void within seconds, and for good. The account stays in this list as revoked.</p>
      </Confirmation>
    </Dialog>
  );
}
