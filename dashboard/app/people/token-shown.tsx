/** A token, shown this once: it goes with the dialog, and nobody has it any more. */

import { useState } from "react";
import { Button } from "../ui/button";
import { Choices } from "../ui/dialog";
import { Field } from "../ui/field";

/** Null when an earlier call with the same key did it: the token was in the answer that was lost. */
export function TokenShown({ token, onClose }: { token: string | null; onClose: () => void }) {
  return (
    <>
      {token ? <Token token={token} /> : <p>This was done before, and its token shown then. Rotate it for another.</p>}
      <Choices>
        <Button weight="primary" onPress={onClose}>
          Close
        </Button>
      </Choices>
    </>
  );
}

function Token({ token }: { token: string }) {
  const [said, setSaid] = useState("");

  async function copy() {
    try {
      await navigator.clipboard.writeText(token);
      setSaid("Copied.");
    } catch {
      setSaid("The browser does not let this page copy. Select the token, and copy it by hand.");
    }
  }

  return (
    <>
      <Field
        label="API token"
        value={token}
        isReadOnly
        autoFocus
        autoComplete="off"
        spellCheck="false"
        hint="Shown this once: copy it to where the program finds it. Nobody can look it up later."
      />
      <div className="row">
        <Button onPress={copy}>Copy</Button>
        <span role="status">{said}</span>
      </div>
    </>
  );
}
