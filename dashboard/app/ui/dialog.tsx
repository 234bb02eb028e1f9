/** A modal dialog: it takes the keyboard focus and returns it, and closes with Escape. */

import type { ReactNode } from "react";
import { Dialog as AriaDialog } from "react-aria-components/Dialog";
import { Heading } from "react-aria-components/Heading";
import { Modal, ModalOverlay } from "react-aria-components/Modal";

interface Props {
  title: string;
  onClose: () => void;
  /** Whether it is an alertdialog: screen readers announce it as an interruption, and a click outside does not close it. */
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

/** The buttons at the end of a dialog. */
export function Choices({ children }: { children: ReactNode }) {
  return <div className="choices">{children}</div>;
}
