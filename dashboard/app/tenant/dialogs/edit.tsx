/** The dialog that edits a tenant, which is possible while it holds no resources. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { useQuery } from "urql";
import { ProvisioningOptionsDocument, UpdateTenantDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { Choice, Field, optionsOf } from "../../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../../ui/notice";
import type { Tenant } from "../tenant";
import { isUnavailable, Unavailable } from "./unavailable";

const FIELDS = ["slug", "name", "plan", "region", "firstAdminEmail"] as const;

export function EditDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const [{ data: options }] = useQuery({ query: ProvisioningOptionsDocument });
  // The values and the version when the dialog opened: the server refuses the edit if the tenant was changed since.
  const [before] = useState(() => valuesOf(tenant));
  const [version] = useState(tenant.version);
  const [values, setValues] = useState(before);
  const { send, sending, refusals, error } = useCommand(UpdateTenantDocument);

  const unavailable = isUnavailable(tenant, "UPDATE", sending);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const changes = Object.fromEntries(
      FIELDS.filter((name) => values[name] !== before[name]).map((name) => [name, values[name]]),
    );
    if (await send({ tenantId: tenant.id, expectedVersion: version, ...changes })) onClose();
  }

  const bound = (name: (typeof FIELDS)[number]) => ({
    name,
    value: values[name],
    onChange: (value: string) => setValues((old) => ({ ...old, [name]: value })),
  });
  const fieldErrors = byField(refusals);
  const { plans = [before.plan], regions = [before.region] } = options?.provisioningOptions ?? {};
  return (
    <Dialog title={`Edit ${tenant.name}`} onClose={onClose}>
      <Form onSubmit={submit} validationErrors={fieldErrors}>
        <Field label="Slug" {...bound("slug")} isRequired autoComplete="off" spellCheck="false" />
        <Field label="Name" {...bound("name")} isRequired />
        <Choice label="Plan" {...bound("plan")} options={optionsOf(plans)} error={fieldErrors.plan?.[0]} />
        <Choice label="Region" {...bound("region")} options={optionsOf(regions)} error={fieldErrors.region?.[0]} />
        <Field label="First administrator" {...bound("firstAdminEmail")} type="email" isRequired />
        {unavailable && <Unavailable tenant={tenant} />}
        <Refusals errors={outsideFields(refusals, FIELDS)} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Close</Button>
          <Button type="submit" weight="primary" isBusy={sending} isDisabled={unavailable}>
            {sending ? "Saving…" : "Save"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}

function valuesOf({ slug, name, plan, region, firstAdminEmail }: Tenant) {
  return { slug, name, plan, region, firstAdminEmail: firstAdminEmail ?? "" };
}
