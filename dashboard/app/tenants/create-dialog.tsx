/** The dialog that creates a tenant: the slug is checked while it is typed, and the tenant's address is shown. */

import { type FormEvent, useState } from "react";
import { Checkbox } from "react-aria-components/Checkbox";
import { Form } from "react-aria-components/Form";
import { useNavigate } from "react-router";
import { useQuery } from "urql";
import { CreateTenantDocument, ProvisioningOptionsDocument } from "../__generated__/graphql";
import { useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Choices, Dialog } from "../ui/dialog";
import { Choice, Field, optionsOf } from "../ui/field";
import { byField, outsideFields, Problem, Refusals } from "../ui/notice";
import { SlugField } from "./slug-field";

const FIELDS = ["slug", "name", "plan", "region", "firstAdminEmail"];

export function CreateDialog({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const [{ data, error: queryError }] = useQuery({ query: ProvisioningOptionsDocument });
  const { plans = [], regions = [] } = data?.provisioningOptions ?? {};
  const { send, sending, refusals, error } = useCommand(CreateTenantDocument);
  const [slug, setSlug] = useState("");
  const [name, setName] = useState("");
  const [plan, setPlan] = useState("");
  const [region, setRegion] = useState("");
  const [firstAdminEmail, setFirstAdminEmail] = useState("");
  const [start, setStart] = useState(true);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const chosen = { plan: plan || plans[0] || "", region: region || regions[0] || null };
    const done = await send({ slug, name: name || null, ...chosen, firstAdminEmail, start });
    if (done?.tenant) navigate(`/tenants/${done.tenant.databaseId}`);
  }

  const fieldErrors = byField(refusals);
  return (
    <Dialog title="Create a tenant" onClose={onClose}>
      <Form onSubmit={submit} validationErrors={fieldErrors}>
        <SlugField value={slug} onChange={setSlug} />
        <Field
          label="Name"
          name="name"
          value={name}
          onChange={setName}
          hint="The display name. If empty, the slug is used."
        />
        <Choice
          label="Plan"
          value={plan || plans[0] || ""}
          options={optionsOf(plans)}
          onChange={setPlan}
          error={fieldErrors.plan?.[0]}
        />
        <Choice
          label="Region"
          value={region || regions[0] || ""}
          options={optionsOf(regions)}
          onChange={setRegion}
          error={fieldErrors.region?.[0]}
        />
        <Field
          label="First administrator"
          name="firstAdminEmail"
          type="email"
          value={firstAdminEmail}
          onChange={setFirstAdminEmail}
          isRequired
          hint="The e-mail address that receives the welcome e-mail."
        />
        <Checkbox className="check" isSelected={start} onChange={setStart}>
          <span className="box" aria-hidden="true" />
          Start provisioning now
        </Checkbox>
        <Refusals errors={outsideFields(refusals, FIELDS)} />
        {(error || queryError) && <Problem error={(error ?? queryError) as NonNullable<typeof error>} />}
        <Choices>
          <Button onPress={onClose}>Close</Button>
          <Button type="submit" weight="primary" isBusy={sending} isDisabled={plans.length === 0}>
            {sending ? "Creating…" : "Create"}
          </Button>
        </Choices>
      </Form>
    </Dialog>
  );
}
