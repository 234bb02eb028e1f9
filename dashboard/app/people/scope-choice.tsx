/** The scopes of a service account, as checkboxes. */

import { Checkbox } from "react-aria-components/Checkbox";
import { CheckboxGroup } from "react-aria-components/CheckboxGroup";
import { FieldError } from "react-aria-components/FieldError";
import { Label } from "react-aria-components/Label";
import { useMe } from "../me";

/** Rights that members have by their role and that no service account can have. */
const MEMBERS_ONLY = new Set(["members:manage", "tenants:first-admin"]);

const MEANINGS: Readonly<Record<string, string>> = {
  "tenants:read": "read tenants and runs",
  "tenants:write": "create, retry, suspend, resume, decommission",
  "tenants:cancel": "cancel a provisioning",
  "audit:read": "read the audit feed",
  "audit:export": "export the audit feed as a file",
  "schema:read": "explore the API’s schema",
};

interface Props {
  /** The account's current scopes. They are offered even if the signed-in user does not have them. */
  held?: readonly string[];
  chosen: readonly string[];
  onChange: (scopes: string[]) => void;
}

export function ScopeChoice({ held = [], chosen, onChange }: Props) {
  const { scopes } = useMe();
  const offered = [...new Set([...scopes.filter((scope) => !MEMBERS_ONLY.has(scope)), ...held])];
  return (
    <CheckboxGroup className="checks" name="scopes" value={[...chosen]} onChange={onChange}>
      <Label>Scopes</Label>
      {offered.map((scope) => (
        <Checkbox key={scope} className="check" value={scope}>
          <span className="box" aria-hidden="true" />
          <span>
            <code>{scope}</code> <span className="hint">{MEANINGS[scope]}</span>
          </span>
        </Checkbox>
      ))}
      <FieldError className="error" />
    </CheckboxGroup>
  );
}
