/** The dialog that cancels a provisioning: a preview of what is released in which order, a reason, and the server's answer. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { CancelProvisioningDocument, type CancelProvisioningMutation } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { ReasonField } from "../../ui/field";
import { Problem, Refusals } from "../../ui/notice";
import { Time } from "../../ui/time";
import type { Tenant } from "../tenant";

type Request = NonNullable<
  NonNullable<NonNullable<CancelProvisioningMutation["cancelProvisioning"]>["run"]>["cancelRequest"]
>;

export function CancelDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  // The run that was shown when the dialog opened: a newer run must not be cancelled by it.
  const [runId] = useState(tenant.currentRun?.id ?? null);
  const [reason, setReason] = useState("");
  const [earlier, setEarlier] = useState<Request>();
  const { send, sending, refusals, error } = useCommand(CancelProvisioningDocument);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const done = await send({ tenantId: tenant.id, runId, reason: reason || null });
    if (done?.alreadyRequested && done.run?.cancelRequest) setEarlier(done.run.cancelRequest);
    else if (done) onClose();
  }

  if (earlier) return <AlreadyCancelled request={earlier} onClose={onClose} />;
  return (
    <Dialog title="Cancel provisioning?" onClose={onClose} alert>
      <Form onSubmit={submit}>
        <Preview tenant={tenant} runId={runId} />
        <ReasonField value={reason} onChange={setReason} />
        <Refusals errors={refusals} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>{refusals.length > 0 ? "Close" : "Keep provisioning"}</Button>
          <Button type="submit" weight="danger" isBusy={sending}>
            {sending ? "Requesting cancellation…" : "Cancel provisioning"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}

/** The preview is updated live while the dialog is open, because the run continues. */
function Preview({ tenant, runId }: { tenant: Tenant; runId: string | null }) {
  const preview = tenant.currentRun?.id === runId ? tenant.cancellationPreview : null;
  if (!preview) {
    return (
      <p className="notice warn" role="status">
        There is nothing to cancel any more: {tenant.name} is now {tenant.state}.
      </p>
    );
  }
  const { stepInFlight, interruptible, releases } = preview;
  return (
    <>
      <p>
        Everything done so far is undone in reverse order. {tenant.name} returns to PENDING with no resources held, and
        can be retried.
      </p>
      {stepInFlight && (
        <p>
          “{stepInFlight.title}” is running.{" "}
          {interruptible
            ? "It stops at its next safe point."
            : "It cannot be interrupted: it finishes first, and is then undone."}
        </p>
      )}
      {releases.length === 0 ? (
        <p>No resources are held so far.</p>
      ) : (
        <>
          <p>Resources to be released, in this order:</p>
          <ol className="names">
            {releases.map(({ kind, name }) => (
              <li key={`${kind} ${name}`}>
                {kind.replaceAll("_", " ")} <code>{name}</code>
              </li>
            ))}
          </ol>
        </>
      )}
    </>
  );
}

function AlreadyCancelled({ request, onClose }: { request: Request; onClose: () => void }) {
  return (
    <Dialog title={`Already cancelled by ${request.requestedBy.displayName}`} onClose={onClose}>
      <p role="status">
        The cancellation was requested at <Time at={request.requestedAt} short />
        {request.reason && <>: “{request.reason}”</>}. The undo is under way.
      </p>
      <Choices>
        <Button weight="primary" onPress={onClose}>
          Watch the undo
        </Button>
      </Choices>
    </Dialog>
  );
}
