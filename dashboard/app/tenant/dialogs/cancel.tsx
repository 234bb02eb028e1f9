/** The dialog that cancels a provisioning: a preview of what is released in which order, a reason, and the server's answer. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { CancelProvisioningDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { ReasonField } from "../../ui/field";
import { Problem, Refusals } from "../../ui/notice";
import { Time } from "../../ui/time";
import type { Run } from "../run";
import type { Tenant } from "../tenant";

type Request = NonNullable<Run["cancelRequest"]>;

interface Props {
  tenant: Tenant;
  /** The newest run. */
  run: Run | undefined;
  onClose: () => void;
}

export function CancelDialog({ tenant, run, onClose }: Props) {
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

  // Another user may cancel while this dialog is open. The effect of this dialog's own request is not another user's.
  const meanwhile = !sending && run?.id === runId ? run?.cancelRequest : null;
  const request = earlier ?? meanwhile;
  if (request) return <AlreadyCancelled request={request} onClose={onClose} />;

  const preview = tenant.currentRun?.id === runId ? tenant.cancellationPreview : null;
  const nothingToCancel = !preview && !sending;
  return (
    <Dialog title="Cancel provisioning?" onClose={onClose} alert>
      <Form onSubmit={submit}>
        {preview && <Preview tenant={tenant} preview={preview} />}
        {nothingToCancel && (
          <p className="notice warn" role="status">
            There is nothing to cancel any more: {tenant.name} is now {tenant.state}.
          </p>
        )}
        {!nothingToCancel && <ReasonField value={reason} onChange={setReason} />}
        <Refusals errors={refusals} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>{nothingToCancel || refusals.length > 0 ? "Close" : "Keep provisioning"}</Button>
          {!nothingToCancel && (
            <Button type="submit" weight="danger" isBusy={sending}>
              {sending ? "Requesting cancellation…" : "Cancel provisioning"}
            </Button>
          )}
        </Choices>
      </Form>
    </Dialog>
  );
}

/** The preview is updated live while the dialog is open, because the run continues. */
function Preview({ tenant, preview }: { tenant: Tenant; preview: NonNullable<Tenant["cancellationPreview"]> }) {
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
