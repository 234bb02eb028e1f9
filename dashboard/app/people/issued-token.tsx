/** A token, shown once: it is gone with the dialog, and cannot be retrieved later. */

import { useState } from "react";
import { Button } from "../ui/button";
import { Choices } from "../ui/dialog";
import { Field } from "../ui/field";

/** The token is null if an earlier request with the same idempotency key issued it: it was in the response that was lost. */
export function IssuedToken({ token, onClose }: { token: string | null; onClose: () => void }) {
  return (
    <>
      {token ? (
        <Token token={token} />
      ) : (
        <p>An earlier request issued this token, and it cannot be shown again. Rotate the token to get a new one.</p>
      )}
      <Choices>
        <Button weight="primary" onPress={onClose}>
          Close
        </Button>
      </Choices>
    </>
  );
}

function Token({ token }: { token: string }) {
  const [status, setStatus] = useState("");

  async function copy() {
    try {
      await navigator.clipboard.writeText(token);
      setStatus("Copied.");
    } catch {
      setStatus("The browser did not allow copying. Select the token and copy it by hand.");
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
        hint="Shown only once: store it where the program reads it. It cannot be shown again."
      />
      <div className="row">
        <Button onPress={copy}>Copy</Button>
        <span role="status">{status}</span>
      </div>
    </>
  );
}
