/**
 * Fills in what browsers offer in secure contexts only (https, localhost), so that the pages and their libraries also work
 * over plain http on any host name. Imported first by each page.
 */

import { v4 } from "uuid";

fillIn(crypto, navigator);

/** Add what is missing. Where the browser has its own, that one stays. */
export function fillIn(ofCrypto: Crypto, ofNavigator: Navigator): void {
  if (!ofCrypto.randomUUID) define(ofCrypto, "randomUUID", fromRandomValues);
  if (!ofNavigator.clipboard) define(ofNavigator, "clipboard", { writeText });
}

/** Options make uuid generate the value itself: without them it would call `crypto.randomUUID`, which is this function. */
function fromRandomValues(): string {
  return v4({});
}

function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, configurable: true, writable: true });
}

/** Copy a text by the browser's copy command, which needs a selection: a hidden field beside the focused element has it. */
async function writeText(text: string): Promise<void> {
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement : document.body;
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  field.style.cssText = "position: fixed; inset-block-start: 0; opacity: 0";
  // Inside the dialog, if there is one: it would take the focus back from an element outside.
  (focused.parentElement ?? document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused.focus({ preventScroll: true });
  if (!copied) throw new Error("The browser did not allow copying.");
}
