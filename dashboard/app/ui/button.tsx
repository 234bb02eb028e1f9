/** Buttons: one look for each weight that an action has. */

import { Button as AriaButton, type ButtonProps } from "react-aria-components/Button";

type Weight = "plain" | "primary" | "danger" | "quiet";

interface Props extends Omit<ButtonProps, "className" | "isPending"> {
  weight?: Weight;
  /** Whether what it asked for is under way. It keeps the keyboard; whoever is asked again does nothing. */
  isBusy?: boolean;
}

export function Button({ weight = "plain", isBusy = false, ...rest }: Props) {
  return <AriaButton {...rest} className={`button ${weight}`} data-busy={isBusy || undefined} />;
}
