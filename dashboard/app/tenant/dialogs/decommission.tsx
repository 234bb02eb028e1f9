/** Decommissioning: for good, so that the slug has to be typed. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { DecommissionTenantDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { besides, byField, Problem, Refusals } from "../../ui/notice";
import type { Tenant } from "../page";

export function DecommissionDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const [confirmSlug, setConfirmSlug] = useState("");
  const { send, sending, refusals, error } = useCommand(DecommissionTenantDocument);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (await send({ tenantId: tenant.id, confirmSlug })) onClose();
  }

  return (
    <Dialog title={`Decommission ${tenant.name}?`} onClose={onClose} alert>
      <Form onSubmit={submit} validationErrors={byField(refusals)}>
        <p>
          Everything it holds is released, its data too, and the slug is free again. This cannot be taken back:
          recreating makes a fresh tenant.
        </p>
        <Field
          label={`Type ${tenant.slug} to confirm`}
          name="confirmSlug"
          value={confirmSlug}
          onChange={setConfirmSlug}
          isRequired
          autoComplete="off"
          spellCheck="false"
        />
        <Refusals errors={besides(refusals, ["confirmSlug"])} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Keep it</Button>
          <Button type="submit" weight="danger" isBusy={sending} isDisabled={confirmSlug !== tenant.slug}>
            {sending ? "Decommissioning…" : "Decommission"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
