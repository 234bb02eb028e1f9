/** Cancelling: what it would release and in which order, why, and then, in the server's words, whether it was in time. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { CancelProvisioningDocument, type CancelProvisioningMutation } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { ReasonField } from "../../ui/field";
import { Problem, Refusals } from "../../ui/notice";
import { Time } from "../../ui/time";
import type { Tenant } from "../page";

type Request = NonNullable<
  NonNullable<NonNullable<CancelProvisioningMutation["cancelProvisioning"]>["run"]>["cancelRequest"]
>;

export function CancelDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  // The run that was on the screen when the person decided, and no later one.
  const [runId] = useState(tenant.currentRun?.id ?? null);
  const [reason, setReason] = useState("");
  const [first, setFirst] = useState<Request>();
  const { send, sending, refusals, error } = useCommand(CancelProvisioningDocument);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const done = await send({ tenantId: tenant.id, runId, reason: reason || null });
    if (done?.alreadyRequested && done.run?.cancelRequest) setFirst(done.run.cancelRequest);
    else if (done) onClose();
  }

  if (first) return <SomebodyWasFirst request={first} onClose={onClose} />;
  return (
    <Dialog title="Cancel provisioning?" onClose={onClose} alert>
      <Form onSubmit={submit}>
        <Preview tenant={tenant} runId={runId} />
        <ReasonField value={reason} onChange={setReason} />
        <Refusals errors={refusals} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>{refusals.length > 0 ? "Close" : "Keep it going"}</Button>
          <Button type="submit" weight="danger" isBusy={sending}>
            {sending ? "Asking it to stop…" : "Cancel provisioning"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}

/** It stays true while the dialog is open: the run goes on meanwhile. */
function Preview({ tenant, runId }: { tenant: Tenant; runId: string | null }) {
  const preview = tenant.currentRun?.id === runId ? tenant.cancellationPreview : null;
  if (!preview) {
    return (
      <p className="notice warn" role="status">
        There is nothing to cancel any more: {tenant.name} is {tenant.state} by now.
      </p>
    );
  }
  const { stepInFlight, interruptible, releases } = preview;
  return (
    <>
      <p>
        Everything done so far is undone, last first, and {tenant.name} is PENDING again, with nothing held. It can be
        retried.
      </p>
      {stepInFlight && (
        <p>
          “{stepInFlight.title}” is being performed.{" "}
          {interruptible
            ? "It stops at its next safe point."
            : "It cannot be interrupted: it is waited for, then undone."}
        </p>
      )}
      {releases.length === 0 ? (
        <p>Nothing is held so far.</p>
      ) : (
        <>
          <p>To be released, in this order:</p>
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

function SomebodyWasFirst({ request, onClose }: { request: Request; onClose: () => void }) {
  return (
    <Dialog title="Somebody was first" onClose={onClose}>
      <p role="status">
        {request.requestedBy.displayName} asked for it already, <Time at={request.requestedAt} short />
        {request.reason && <>: “{request.reason}”</>}. It is being undone.
      </p>
      <Choices>
        <Button weight="primary" onPress={onClose}>
          Watch the undo
        </Button>
      </Choices>
    </Dialog>
  );
}
