/** Cancelling several provisionings at once; each is answered for by itself. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import {
  CancelProvisioningsDocument,
  type CancelProvisioningsMutation,
  type TenantRowFragment,
} from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { ReasonField } from "../ui/field";
import { Problem, Refusals } from "../ui/notice";

type Answer = NonNullable<CancelProvisioningsMutation["cancelProvisionings"]>;

export function BulkCancelDialog({ tenants, onClose }: { tenants: readonly TenantRowFragment[]; onClose: () => void }) {
  // What was chosen when the dialog opened: rows that go live meanwhile are told of in the answer.
  const [meant] = useState(tenants);
  const [reason, setReason] = useState("");
  const [answer, setAnswer] = useState<Answer>();
  const { send, sending, refusals, error } = useCommand(CancelProvisioningsDocument);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setAnswer(await send({ tenantIds: meant.map((tenant) => tenant.id), reason: reason || null }));
  }

  return (
    <Dialog title={`Cancel ${meant.length} provisioning${meant.length === 1 ? "" : "s"}?`} onClose={onClose} alert>
      {answer ? (
        <Answers answer={answer} meant={meant} onClose={onClose} />
      ) : (
        <Form onSubmit={submit}>
          <p>Everything they have done so far is undone, and each of these tenants is PENDING again:</p>
          <ul className="names">
            {meant.map((tenant) => (
              <li key={tenant.id}>{tenant.slug}</li>
            ))}
          </ul>
          <ReasonField value={reason} onChange={setReason} />
          <Refusals errors={refusals} />
          {error && <Problem error={error} />}
          <Choices>
            <Button onPress={onClose}>Keep them going</Button>
            <Button type="submit" weight="danger" isBusy={sending}>
              {sending ? "Asking them to stop…" : "Cancel provisionings"}
            </Button>
          </Choices>
        </Form>
      )}
    </Dialog>
  );
}

function Answers({
  answer,
  meant,
  onClose,
}: {
  answer: Answer;
  meant: readonly TenantRowFragment[];
  onClose: () => void;
}) {
  return (
    <>
      <div role="status">
        <ul className="names">
          {answer.results.map((result, place) => (
            <li key={meant[place]?.id}>
              {meant[place]?.slug}: {wordsFor(result)}
            </li>
          ))}
        </ul>
      </div>
      <Choices>
        <Button weight="primary" onPress={onClose}>
          Close
        </Button>
      </Choices>
    </>
  );
}

function wordsFor({ alreadyRequested, userErrors }: Answer["results"][number]): string {
  if (userErrors.length > 0) return userErrors.map((error) => error.message).join(" ");
  return alreadyRequested ? "was being cancelled already" : "cancelling";
}
