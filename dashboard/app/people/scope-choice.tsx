/** The scopes of a service account, to be ticked. */

import { Checkbox } from "react-aria-components/Checkbox";
import { CheckboxGroup } from "react-aria-components/CheckboxGroup";
import { FieldError } from "react-aria-components/FieldError";
import { Label } from "react-aria-components/Label";
import { useMe } from "../me";

/** Rights that people have by their role and no program can be given (resolvers/permissions.py). */
const FOR_PEOPLE = new Set(["members:manage", "tenants:first-admin"]);

const MEANINGS: Readonly<Record<string, string>> = {
  "tenants:read": "see tenants and runs",
  "tenants:write": "create, retry, suspend, resume, decommission",
  "tenants:cancel": "cancel a provisioning",
  "audit:read": "read the feed",
  "audit:export": "take the feed as a file",
  "schema:read": "explore the API’s schema",
};

interface Props {
  /** What the account holds already: that may stay, whoever is asking. */
  held?: readonly string[];
  chosen: readonly string[];
  onChange: (scopes: string[]) => void;
}

export function ScopeChoice({ held = [], chosen, onChange }: Props) {
  const { scopes } = useMe();
  const offered = [...new Set([...scopes.filter((scope) => !FOR_PEOPLE.has(scope)), ...held])];
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
      <FieldError className="wrong" />
    </CheckboxGroup>
  );
}
