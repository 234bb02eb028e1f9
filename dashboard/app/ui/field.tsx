/** Fields of forms: a label, what it is for, and what the server has against it. */

import { type ReactNode, useId } from "react";
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

/** A text. `name` is the input's field, by which a form finds what was refused. */
export function Field({ label, hint, lines, ...rest }: Props) {
  return (
    <TextField {...rest} className="field">
      <Label>{label}</Label>
      {lines ? <TextArea rows={lines} /> : <Input />}
      {hint && (
        <Text slot="description" className="hint">
          {hint}
        </Text>
      )}
      <FieldError className="wrong" />
    </TextField>
  );
}

interface ReasonProps {
  value: string;
  onChange: (reason: string) => void;
}

/** Why somebody does something, in up to 500 characters, as the API takes it. */
export function ReasonField({ value, onChange }: ReasonProps) {
  return (
    <Field label="Reason" value={value} onChange={onChange} lines={2} maxLength={500} hint="Kept in the audit feed." />
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly { value: string; label: string }[];
  onChange: (value: string) => void;
  wrong?: string | undefined;
  hint?: ReactNode;
}

/** One of a few. The browser's own list is the one that every phone and every screen reader knows best. */
export function Choice({ label, value, options, onChange, wrong, hint }: ChoiceProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        aria-invalid={wrong ? true : undefined}
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
        {wrong && <span className="wrong">{wrong}</span>}
      </span>
    </div>
  );
}

/** Texts as options that show themselves. */
export function plainly(values: readonly string[]): { value: string; label: string }[] {
  return values.map((value) => ({ value, label: value }));
}
