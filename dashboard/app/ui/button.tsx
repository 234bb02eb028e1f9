/** Buttons: one style for each weight of an action. */

import { Button as AriaButton, type ButtonProps } from "react-aria-components/Button";

type Weight = "plain" | "primary" | "danger" | "quiet";

interface Props extends Omit<ButtonProps, "className" | "isPending"> {
  weight?: Weight;
  /** Whether its request is under way. The button stays enabled to keep the keyboard focus; `onPress` has to ignore repeats. */
  isBusy?: boolean;
}

export function Button({ weight = "plain", isBusy = false, ...rest }: Props) {
  return <AriaButton {...rest} className={`button ${weight}`} data-busy={isBusy || undefined} />;
}
