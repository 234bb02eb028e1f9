/** Buttons: one look for each weight that an action has. */

import { Button as AriaButton, type ButtonProps } from "react-aria-components/Button";

type Weight = "plain" | "primary" | "danger" | "quiet";

export function Button({ weight = "plain", ...rest }: Omit<ButtonProps, "className"> & { weight?: Weight }) {
  return <AriaButton {...rest} className={`button ${weight}`} />;
}
