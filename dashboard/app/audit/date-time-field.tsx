/** A field for a date and time: shown in the user's time zone, in UTC everywhere else. */

import { useId, useState } from "react";

/** A year is typed digit by digit: an earlier date is not complete yet. */
const EARLIEST = "2000";

const MINUTE = 60_000;

interface Props {
  label: string;
  /** In the form of `Date.toISOString`; empty if not set. */
  value: string;
  onChange: (value: string) => void;
}

export function DateTimeField({ label, value, onChange }: Props) {
  const id = useId();
  const [text, setText] = useState(localOf(value));
  const [shown, setShown] = useState(value);
  // The URL changed. The typed text stays, unless the change came from elsewhere.
  if (shown !== value) {
    setShown(value);
    if (utcOf(text) !== value) setText(localOf(value));
  }

  function change(typed: string) {
    setText(typed);
    if (!typed || typed >= EARLIEST) onChange(utcOf(typed));
  }

  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} type="datetime-local" value={text} onChange={(event) => change(event.target.value)} />
    </div>
  );
}

export function utcOf(local: string): string {
  const instant = new Date(local);
  return Number.isNaN(instant.getTime()) ? "" : instant.toISOString();
}

/** The local time without a zone, as a `datetime-local` input needs it. */
export function localOf(utc: string): string {
  const instant = new Date(utc);
  if (Number.isNaN(instant.getTime())) return "";
  const shifted = new Date(instant.getTime() - instant.getTimezoneOffset() * MINUTE);
  return shifted.toISOString().slice(0, "2026-11-27T09:30".length);
}
