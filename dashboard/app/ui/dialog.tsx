/** A dialog: it takes the keyboard, gives it back, and closes with Escape as long as nothing is under way. */

import type { ReactNode } from "react";
import { Dialog as AriaDialog } from "react-aria-components/Dialog";
import { Heading } from "react-aria-components/Heading";
import { Modal, ModalOverlay } from "react-aria-components/Modal";

interface Props {
  title: string;
  onClose: () => void;
  /** What interrupts somebody is announced as such. */
  alert?: boolean;
  children: ReactNode;
}

export function Dialog({ title, onClose, alert = false, children }: Props) {
  return (
    <ModalOverlay className="overlay" isOpen isDismissable={!alert} onOpenChange={(open) => open || onClose()}>
      <Modal className="modal">
        <AriaDialog className="dialog" role={alert ? "alertdialog" : "dialog"}>
          <Heading slot="title" level={2}>
            {title}
          </Heading>
          {children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

/** What a dialog ends with. */
export function Choices({ children }: { children: ReactNode }) {
  return <div className="choices">{children}</div>;
}
