import { fireEvent, screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { render } from "../testing";
import { localOf, Moment, utcOf } from "./moment";

test("local time and back", () => {
  expect(localOf(utcOf("2026-11-01T10:00"))).toBe("2026-11-01T10:00");
  expect(localOf("yesterday")).toBe("");
  expect(utcOf("")).toBe("");
});

test("a year that is still being typed asks for nothing", () => {
  const onChange = vi.fn();
  render(<Moment label="From" value="" onChange={onChange} />);

  fireEvent.change(screen.getByLabelText("From"), { target: { value: "0202-11-01T10:00" } });
  expect(onChange).not.toHaveBeenCalled();
  fireEvent.change(screen.getByLabelText("From"), { target: { value: "2026-11-01T10:00" } });

  expect(onChange).toHaveBeenCalledWith(utcOf("2026-11-01T10:00"));
});
