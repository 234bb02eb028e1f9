/** The dialog that cancels several provisionings at once, and shows a result for each. */

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

type Payload = NonNullable<CancelProvisioningsMutation["cancelProvisionings"]>;

export function BulkCancelDialog({ tenants, onClose }: { tenants: readonly TenantRowFragment[]; onClose: () => void }) {
  // The selection when the dialog opened: a tenant that became ACTIVE meanwhile gets its refusal in the payload.
  const [selected] = useState(tenants);
  const [reason, setReason] = useState("");
  const [payload, setPayload] = useState<Payload>();
  const { send, sending, refusals, error } = useCommand(CancelProvisioningsDocument);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setPayload(await send({ tenantIds: selected.map((tenant) => tenant.id), reason: reason || null }));
  }

  return (
    <Dialog
      title={`Cancel ${selected.length} provisioning${selected.length === 1 ? "" : "s"}?`}
      onClose={onClose}
      alert
    >
      {payload ? (
        <Results payload={payload} selected={selected} onClose={onClose} />
      ) : (
        <Form onSubmit={submit}>
          <p>Everything done so far for these tenants is undone, and each of them returns to PENDING:</p>
          <ul className="names">
            {selected.map((tenant) => (
              <li key={tenant.id}>{tenant.slug}</li>
            ))}
          </ul>
          <ReasonField value={reason} onChange={setReason} />
          <Refusals errors={refusals} />
          {error && <Problem error={error} />}
          <Choices>
            <Button onPress={onClose}>Keep provisioning</Button>
            <Button type="submit" weight="danger" isBusy={sending}>
              {sending ? "Requesting cancellation…" : "Cancel provisionings"}
            </Button>
          </Choices>
        </Form>
      )}
    </Dialog>
  );
}

function Results({
  payload,
  selected,
  onClose,
}: {
  payload: Payload;
  selected: readonly TenantRowFragment[];
  onClose: () => void;
}) {
  return (
    <>
      <div role="status">
        <ul className="names">
          {payload.results.map((result, index) => (
            <li key={selected[index]?.id}>
              {selected[index]?.slug}: {resultText(result)}
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

function resultText({ alreadyRequested, userErrors }: Payload["results"][number]): string {
  if (userErrors.length > 0) return userErrors.map((error) => error.message).join(" ");
  return alreadyRequested ? "already being cancelled" : "cancelling";
}
