/** What a dialog asks before something is done that cannot simply be taken back. */

import type { ReactNode } from "react";
import type { Command } from "../api/command";
import { Button } from "../ui/button";
import { Choices } from "../ui/dialog";
import { Problem, Refusals } from "../ui/notice";

interface Props {
  command: Pick<Command<never, unknown>, "sending" | "refusals" | "error">;
  /** What the button says, and what it says while it is at work. */
  act: string;
  acting: string;
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
