import { afterEach, expect, test, vi } from "vitest";
import { fillIn } from "./insecure-context";

afterEach(() => vi.unstubAllGlobals());

test("without a secure context there are unique ids", () => {
  const crypto = {} as Crypto;

  fillIn(crypto, navigator);

  const ids = Array.from({ length: 100 }, () => crypto.randomUUID());
  expect(new Set(ids).size).toBe(100);
  expect(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id))).toBe(
    true,
  );
});

test("an id does not ask for the function that it fills in", () => {
  vi.stubGlobal("crypto", { getRandomValues: (array: Uint8Array) => array.fill(7) });

  fillIn(crypto, navigator);

  expect(crypto.randomUUID()).toBe("07070707-0707-4707-8707-070707070707");
});

test("without a secure context a text is copied by the browser's copy command, and the focus stays", async () => {
  const [navigator, copied] = [{} as Navigator, [] as (string | undefined)[]];
  const button = document.body.appendChild(document.createElement("button"));
  button.focus();
  // jsdom has no copy command: this one copies the selection of the focused field.
  document.execCommand = () => copied.push(getSelectedText()) > 0;
  fillIn(crypto, navigator);

  await navigator.clipboard.writeText("tnt_secret");

  expect(copied).toEqual(["tnt_secret"]);
  expect(document.activeElement).toBe(button);
  expect(document.querySelector("textarea")).toBeNull();
});

function getSelectedText(): string | undefined {
  const field = document.querySelector("textarea");
  return field?.value.slice(field.selectionStart, field.selectionEnd);
}

test("a browser that does not allow copying is an error", async () => {
  const navigator = {} as Navigator;
  document.execCommand = () => false;
  fillIn(crypto, navigator);

  await expect(navigator.clipboard.writeText("text")).rejects.toThrow("did not allow copying");
});

test("what the browser has stays", () => {
  const own = { randomUUID: () => "own" } as unknown as Crypto;

  fillIn(own, navigator);

  expect(own.randomUUID()).toBe("own");
});
