/** The dialog that rotates the token of a service account. */

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
import { byField, outsideFields, Problem, Refusals } from "../ui/notice";
import { IssuedToken } from "./issued-token";
import { useRefetchAfterRefusal } from "./refetch-after-refusal";

type Issued = NonNullable<RotateServiceAccountTokenMutation["rotateServiceAccountToken"]>;

const OVERLAPS = [
  { value: "", label: "Not at all" },
  { value: "PT1H", label: "For an hour" },
  { value: "P1D", label: "For a day" },
  { value: "P7D", label: "For seven days" },
];

interface Props {
  account: ServiceAccountRowFragment;
  refetch: () => void;
  onClose: () => void;
}

export function RotateDialog({ account, refetch, onClose }: Props) {
  const [issued, setIssued] = useState<Issued>();
  const title = issued ? "New token" : `Rotate the token of ${account.name}`;
  return (
    <Dialog title={title} onClose={onClose} alert={issued !== undefined}>
      {issued ? (
        <IssuedToken token={issued.token ?? null} onClose={onClose} />
      ) : (
        <RotateForm account={account} refetch={refetch} onIssued={setIssued} onClose={onClose} />
      )}
    </Dialog>
  );
}

function RotateForm({ account, refetch, onIssued, onClose }: Props & { onIssued: (issued: Issued) => void }) {
  const [overlap, setOverlap] = useState("PT1H");
  const { send, sending, refusals, error } = useCommand(RotateServiceAccountTokenDocument);
  useRefetchAfterRefusal(refusals, refetch);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const input = { serviceAccountId: account.id, overlap: overlap || null, expectedVersion: account.version };
    const done = await send(input);
    if (done) onIssued(done);
  }

  return (
    <Form onSubmit={submit}>
      <p>A new token is issued and shown once.</p>
      <Choice
        label="The old token stays valid"
        value={overlap}
        options={OVERLAPS}
        onChange={setOverlap}
        error={byField(refusals).overlap?.[0]}
        hint="Choose enough time to give the new token to the program."
      />
      <Refusals errors={outsideFields(refusals, ["overlap"])} />
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
