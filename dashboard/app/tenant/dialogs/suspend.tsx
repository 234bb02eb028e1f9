/** The dialog that suspends a tenant: its resources are kept, and its workload is not reachable. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { SuspendTenantDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { ReasonField } from "../../ui/field";
import { Problem, Refusals } from "../../ui/notice";
import type { Tenant } from "../tenant";
import { isUnavailable, Unavailable } from "./unavailable";

export function SuspendDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const [reason, setReason] = useState("");
  const { send, sending, refusals, error } = useCommand(SuspendTenantDocument);

  const unavailable = isUnavailable(tenant, "SUSPEND", sending);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (await send({ tenantId: tenant.id, reason: reason || null })) onClose();
  }

  return (
    <Dialog title={`Suspend ${tenant.name}?`} onClose={onClose} alert>
      <Form onSubmit={submit}>
        <p>Its address shows that it is suspended, until it is resumed. No resources are released.</p>
        <ReasonField value={reason} onChange={setReason} />
        {unavailable && <Unavailable tenant={tenant} />}
        <Refusals errors={refusals} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Close</Button>
          <Button type="submit" weight="danger" isBusy={sending} isDisabled={unavailable}>
            {sending ? "Suspending…" : "Suspend"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
