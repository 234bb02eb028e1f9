/** The dialog that decommissions a tenant. The slug must be typed, because it cannot be undone. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { DecommissionTenantDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../../ui/notice";
import type { Tenant } from "../tenant";

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
          All its resources and all its data are removed, and the slug becomes available again. This cannot be undone:
          recreating it creates a new, empty tenant.
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
        <Refusals errors={outsideFields(refusals, ["confirmSlug"])} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Keep tenant</Button>
          <Button type="submit" weight="danger" isBusy={sending} isDisabled={confirmSlug !== tenant.slug}>
            {sending ? "Decommissioning…" : "Decommission"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
