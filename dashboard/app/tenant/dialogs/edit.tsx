/** Correcting a tenant that holds nothing. */

import { type FormEvent, useState } from "react";
import { Form } from "react-aria-components/Form";
import { useQuery } from "urql";
import { OffersDocument, UpdateTenantDocument } from "../../__generated__/graphql";
import { useCommand } from "../../api/command";
import { Button } from "../../ui/button";
import { Choices, Dialog } from "../../ui/dialog";
import { Choice, Field, plainly } from "../../ui/field";
import { besides, byField, Problem, Refusals } from "../../ui/notice";
import type { Tenant } from "../page";

const FIELDS = ["slug", "name", "plan", "region", "firstAdminEmail"] as const;

export function EditDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const [{ data: offers }] = useQuery({ query: OffersDocument });
  // What it was when the person began: the server refuses when somebody else changed it since.
  const [before] = useState(() => valuesOf(tenant));
  const [version] = useState(tenant.version);
  const [values, setValues] = useState(before);
  const { send, sending, refusals, error } = useCommand(UpdateTenantDocument);

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
    onChange: (value: string) => setValues((was) => ({ ...was, [name]: value })),
  });
  const wrong = byField(refusals);
  const { plans = [before.plan], regions = [before.region] } = offers?.provisioningOptions ?? {};
  return (
    <Dialog title={`Edit ${tenant.name}`} onClose={onClose}>
      <Form onSubmit={submit} validationErrors={wrong}>
        <Field label="Slug" {...bound("slug")} isRequired autoComplete="off" spellCheck="false" />
        <Field label="Name" {...bound("name")} isRequired />
        <Choice label="Plan" {...bound("plan")} options={plainly(plans)} wrong={wrong.plan?.[0]} />
        <Choice label="Region" {...bound("region")} options={plainly(regions)} wrong={wrong.region?.[0]} />
        <Field label="First administrator" {...bound("firstAdminEmail")} type="email" isRequired />
        <Refusals errors={besides(refusals, FIELDS)} />
        {error && <Problem error={error} />}
        <Choices>
          <Button onPress={onClose}>Close</Button>
          <Button type="submit" weight="primary" isBusy={sending}>
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
