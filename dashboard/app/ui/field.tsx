/** Form fields: a label, a hint, and the server's objection to the value. */

import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { FieldError } from "react-aria-components/FieldError";
import { Input } from "react-aria-components/Input";
import { Label } from "react-aria-components/Label";
import { Text } from "react-aria-components/Text";
import { TextArea } from "react-aria-components/TextArea";
import { TextField, type TextFieldProps } from "react-aria-components/TextField";

interface Props extends Omit<TextFieldProps, "className" | "children"> {
  label: string;
  hint?: ReactNode;
  lines?: number;
}

/** A text field. `name` is the field of the mutation's input, by which the form shows a refusal at this field. */
export function Field({ label, hint, lines, ...rest }: Props) {
  const check = useLiveCheck(rest.value);
  return (
    <TextField {...rest} className="field">
      <Label>{label}</Label>
      {lines ? <TextArea rows={lines} ref={check} /> : <Input ref={check} />}
      {hint && (
        <Text slot="description" className="hint">
          {hint}
        </Text>
      )}
      <FieldError className="error" />
    </TextField>
  );
}

/**
 * Check a field that shows a problem again with every change, so that the problem goes when it is corrected. React Aria
 * checks when the browser reports a change, which is when the field loses the focus.
 */
function useLiveCheck(value: string | undefined) {
  const element = useRef<HTMLInputElement & HTMLTextAreaElement>(null);
  const checked = useRef(value);
  useEffect(() => {
    if (checked.current === value) return;
    checked.current = value;
    const field = element.current;
    if (field?.getAttribute("aria-invalid")) field.dispatchEvent(new Event("change", { bubbles: true }));
  }, [value]);
  return element;
}

interface ReasonProps {
  value: string;
  onChange: (reason: string) => void;
}

/** The reason for an action: at most 500 characters, as the API allows. */
export function ReasonField({ value, onChange }: ReasonProps) {
  return (
    <Field
      label="Reason"
      value={value}
      onChange={onChange}
      lines={2}
      maxLength={500}
      hint="Recorded in the audit feed."
    />
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly { value: string; label: string }[];
  onChange: (value: string) => void;
  error?: string | undefined;
  hint?: ReactNode;
}

/** A choice of one option. It is the browser's own select, which phones and screen readers support best. */
export function Choice({ label, value, options, onChange, error: objection, hint }: ChoiceProps) {
  const id = useId();
  // The objection is to the value that was sent, so it goes with another choice.
  const [objected, setObjected] = useState({ objection, value });
  if (objected.objection !== objection) setObjected({ objection, value });
  const error = objected.value === value ? objection : undefined;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        aria-invalid={error ? true : undefined}
        aria-describedby={`${id}-more`}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
      <span id={`${id}-more`}>
        {hint && <span className="hint">{hint}</span>}
        {error && <span className="error">{error}</span>}
      </span>
    </div>
  );
}

/** Options with the values themselves as labels. */
export function optionsOf(values: readonly string[]): { value: string; label: string }[] {
  return values.map((value) => ({ value, label: value }));
}
