import { fireEvent, screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { render } from "../testing";
import { DateTimeField, localOf, utcOf } from "./date-time-field";

test("a local time survives the conversion to UTC and back", () => {
  expect(localOf(utcOf("2026-11-01T10:00"))).toBe("2026-11-01T10:00");
  expect(localOf("yesterday")).toBe("");
  expect(utcOf("")).toBe("");
});

test("a year that is still being typed changes nothing", () => {
  const onChange = vi.fn();
  render(<DateTimeField label="From" value="" onChange={onChange} />);

  fireEvent.change(screen.getByLabelText("From"), { target: { value: "0202-11-01T10:00" } });
  expect(onChange).not.toHaveBeenCalled();
  fireEvent.change(screen.getByLabelText("From"), { target: { value: "2026-11-01T10:00" } });

  expect(onChange).toHaveBeenCalledWith(utcOf("2026-11-01T10:00"));
});
