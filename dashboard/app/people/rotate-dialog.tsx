/** The next token of a service account. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import {
  RotateServiceAccountTokenDocument,
  type RotateServiceAccountTokenMutation,
  type ServiceAccountRowFragment,
} from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Choice } from "../ui/field";
import { besides, byField, Problem, Refusals } from "../ui/notice";
import { useFreshAfter } from "./fresh";
import { TokenShown } from "./token-shown";

type Issued = NonNullable<RotateServiceAccountTokenMutation["rotateServiceAccountToken"]>;

const OVERLAPS = [
  { value: "", label: "Not at all" },
  { value: "PT1H", label: "For an hour" },
  { value: "P1D", label: "For a day" },
  { value: "P7D", label: "For seven days" },
];

interface Props {
  account: ServiceAccountRowFragment;
  again: () => void;
  onClose: () => void;
}

export function RotateDialog({ account, again, onClose }: Props) {
  const [issued, setIssued] = useState<Issued>();
  const title = issued ? "The token" : `Rotate the token of ${account.name}`;
  return (
    <Dialog title={title} onClose={onClose} alert={issued !== undefined}>
      {issued ? (
        <TokenShown token={issued.token ?? null} onClose={onClose} />
      ) : (
        <Wanted account={account} again={again} onIssued={setIssued} onClose={onClose} />
      )}
    </Dialog>
  );
}

function Wanted({ account, again, onIssued, onClose }: Props & { onIssued: (issued: Issued) => void }) {
  const [overlap, setOverlap] = useState("PT1H");
  const { send, sending, refusals, error } = useCommand(RotateServiceAccountTokenDocument);
  useFreshAfter(refusals, again);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const input = { serviceAccountId: account.id, overlap: overlap || null, expectedVersion: account.version };
    const done = await send(input);
    if (done) onIssued(done);
  }

  return (
    <Form onSubmit={submit}>
      <p>The program gets a new token, which is shown once.</p>
      <Choice
        label="The old one stays good"
        value={overlap}
        options={OVERLAPS}
        onChange={setOverlap}
        wrong={byField(refusals).overlap?.[0]}
        hint="Long enough to bring the new one to where the program finds it."
      />
      <Refusals errors={besides(refusals, ["overlap"])} />
      {error && <Problem error={error} />}
      <Choices>
        <Button onPress={onClose}>Close</Button>
        <Button type="submit" weight="primary" isBusy={sending}>
          {sending ? "Rotating…" : "Rotate"}
        </Button>
      </Choices>
    </Form>
  );
}
