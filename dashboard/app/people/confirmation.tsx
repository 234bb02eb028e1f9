/** The content of a dialog that asks for confirmation before an action that cannot simply be undone. */

import type { ReactNode } from "react";
import type { Command } from "../api/command";
import { Button } from "../ui/button";
import { Choices } from "../ui/dialog";
import { Problem, Refusals } from "../ui/notice";

interface Props {
  command: Pick<Command<never, unknown>, "sending" | "refusals" | "error">;
  /** The label of the action's button, before and while the request is sent. */
  act: string;
  acting: string;
  /** The label of the button that closes the dialog and changes nothing. */
  keep: string;
  onAct: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function Confirmation({ command, act, acting, keep, onAct, onClose, children }: Props) {
  const { sending, refusals, error } = command;
  return (
    <>
      {children}
      <Refusals errors={refusals} />
      {error && <Problem error={error} />}
      <Choices>
        <Button onPress={onClose} autoFocus>
          {keep}
        </Button>
        <Button weight="danger" onPress={onAct} isBusy={sending}>
          {sending ? acting : act}
        </Button>
      </Choices>
    </>
  );
}
