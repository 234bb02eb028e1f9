/** The dialog that decommissions a tenant. If it holds resources, the slug must be typed: it cannot be undone. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { DecommissionTenantDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../../ui/notice";
import { Abandoned } from "../held-resources";
import type { Tenant } from "../tenant";
import { isUnavailable, Unavailable } from "./unavailable";

/** States in which the API asks for the slug; in the others a tenant holds nothing. */
const CONFIRMED_STATES: ReadonlySet<Tenant["state"]> = new Set(["ACTIVE", "SUSPENDED"]);

export function DecommissionDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const [confirmSlug, setConfirmSlug] = useState("");
  const { send, sending, refusals, error } = useCommand(DecommissionTenantDocument);

  const unavailable = isUnavailable(tenant, "DECOMMISSION", sending);
  const asksForSlug = CONFIRMED_STATES.has(tenant.state);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (await send({ tenantId: tenant.id, confirmSlug: asksForSlug ? confirmSlug : null })) onClose();
  }

  return (
    <Dialog title={`Decommission ${tenant.name}?`} onClose={onClose} alert>
      <Form onSubmit={submit} validationErrors={byField(refusals)}>
        <p>
          {asksForSlug
            ? "All its resources and all its data are removed. Your organisation can then use the slug again; no other one gets its address for a year."
            : "It holds nothing, so nothing is removed. Your organisation can then use the slug again, and any other one can get its address."}{" "}
          This cannot be undone: recreating it creates a new, empty tenant.
        </p>
        {tenant.abandonedResources.length > 0 && (
          <>
            <p>These were left in place earlier, may still exist, and stay:</p>
            <ul className="names">
              {tenant.abandonedResources.map((resource) => (
                <li key={`${resource.kind} ${resource.name}`}>
                  <Abandoned resource={resource} />
                </li>
              ))}
            </ul>
          </>
        )}
        {asksForSlug && (
          <Field
            label={`Type ${tenant.slug} to confirm`}
            name="confirmSlug"
            value={confirmSlug}
            onChange={setConfirmSlug}
            isRequired
            autoComplete="off"
            spellCheck="false"
          />
        )}
        {unavailable && <Unavailable tenant={tenant} />}
        <Refusals errors={outsideFields(refusals, ["confirmSlug"])} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Keep tenant</Button>
          <Button
            type="submit"
            weight="danger"
            isBusy={sending}
            isDisabled={unavailable || (asksForSlug && confirmSlug !== tenant.slug)}
          >
            {sending ? "Decommissioning…" : "Decommission"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
