/** The dialog for a stuck undo: try the failed step again, or skip it and leave its resources in place, with a reason. */

import { type FormEvent, useState } from "react";
import { Checkbox } from "react-aria-components/Checkbox";
import { Form } from "react-aria-components/Form";
import { ResumeCompensationDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../../ui/notice";
import { Resources } from "../held-resources";
import { type Run, stuckStep } from "../run";
import type { Tenant } from "../tenant";
import { isUnavailable } from "./unavailable";

interface Props {
  tenant: Tenant;
  run: Run | undefined;
  onClose: () => void;
}

export function ResumeUndoDialog({ tenant, run, onClose }: Props) {
  // The step and its error when the dialog opened: both are null as soon as the undo was resumed.
  const [stuck] = useState(run && stuckStep(run));
  const [stuckError] = useState(run?.stuckError);
  const [skipping, setSkipping] = useState(false);
  const [reason, setReason] = useState("");
  const { send, sending, refusals, error } = useCommand(ResumeCompensationDocument);
  const held = tenant.heldResources.filter((resource) => resource.step === stuck?.name);

  const unavailable = isUnavailable(tenant, "RESUME_COMPENSATION", sending);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const skipSteps = skipping && stuck ? [stuck.name] : null;
    if (await send({ tenantId: tenant.id, skipSteps, reason: reason || null })) onClose();
  }

  return (
    <Dialog title="Resume undo" onClose={onClose} alert>
      <Form onSubmit={submit} validationErrors={byField(refusals)}>
        {stuck && (
          <p>
            “{stuck.title}” could not be undone: {stuckError}
          </p>
        )}
        {held.length > 0 && <Resources resources={held} caption="Still held by this step" />}
        <Checkbox className="check" isSelected={skipping} onChange={setSkipping} isDisabled={!stuck}>
          <span className="box" aria-hidden="true" />
          Skip this step: its resources are left in place and recorded as abandoned
        </Checkbox>
        <Field
          label="Reason"
          name="reason"
          value={reason}
          onChange={setReason}
          isRequired={skipping}
          lines={2}
          maxLength={500}
          hint={
            skipping ? "Required: the audit feed records who skipped the step, and why." : "Recorded in the audit feed."
          }
        />
        {unavailable && (
          <p className="notice warn" role="status">
            The undo is not stuck any more: it was resumed.
          </p>
        )}
        <Refusals errors={outsideFields(refusals, ["reason"])} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Close</Button>
          <Button type="submit" weight={skipping ? "danger" : "primary"} isBusy={sending} isDisabled={unavailable}>
            {skipping ? "Skip and resume" : "Try again"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
