/** The service accounts as a table, with the actions for each. */

import { useState } from "react";
import type { ServiceAccountRowFragment } from "../__generated__/graphql";
import { now } from "../api/clock";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";
import { EditAccountDialog } from "./edit-account-dialog";
import { RevokeDialog } from "./revoke-dialog";
import { RotateDialog } from "./rotate-dialog";

interface Props {
  accounts: readonly ServiceAccountRowFragment[];
  refetch: () => void;
  onDone: (message: string) => void;
}

export function AccountsTable({ accounts, refetch, onDone }: Props) {
  return (
    <Scroll label="Service accounts">
      <table>
        <caption className="visually-hidden">Service accounts</caption>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">Scopes</th>
            <th scope="col">Tenants</th>
            <th scope="col">Created</th>
            <th scope="col">Last used</th>
            <th scope="col">Expires</th>
            <th scope="col">Actions</th>
          </tr>
        </thead>
        <tbody>
          {accounts.map((account) => (
            <Row key={account.id} account={account} refetch={refetch} onDone={onDone} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Row({ account, refetch, onDone }: { account: ServiceAccountRowFragment } & Omit<Props, "accounts">) {
  return (
    <tr>
      <th scope="row">{account.name}</th>
      <td>
        <State account={account} />
      </td>
      <td>{account.scopes.join(", ")}</td>
      <td>{account.tenantIds ? account.tenantIds.length : "all"}</td>
      <td>
        <Time at={account.createdAt} />
      </td>
      <td>{account.lastUsedAt ? <Time at={account.lastUsedAt} /> : "never"}</td>
      <td>{account.expiresAt ? <Time at={account.expiresAt} /> : "never"}</td>
      {/* A revoked account cannot be restored. */}
      <td>{!account.revokedAt && <Actions account={account} refetch={refetch} onDone={onDone} />}</td>
    </tr>
  );
}

function State({ account }: { account: ServiceAccountRowFragment }) {
  const { expiresAt, revokedAt, previousTokenUntil } = account;
  if (revokedAt) return <Badge tone="over">revoked</Badge>;
  if (expiresAt && Date.parse(expiresAt) <= now()) return <Badge tone="warn">expired</Badge>;
  return (
    <>
      <Badge tone="good">active</Badge>
      {previousTokenUntil && Date.parse(previousTokenUntil) > now() && (
        <p className="hint">
          The previous token is valid until <Time at={previousTokenUntil} />
        </p>
      )}
    </>
  );
}

function Actions({ account, refetch, onDone }: { account: ServiceAccountRowFragment } & Omit<Props, "accounts">) {
  const [dialog, setDialog] = useState<"edit" | "rotate" | "revoke">();
  const shared = { account, refetch, onClose: () => setDialog(undefined) };
  const name = <span className="visually-hidden">{account.name}</span>;
  return (
    <div className="row">
      <Button onPress={() => setDialog("edit")}>Edit {name}</Button>
      <Button onPress={() => setDialog("rotate")}>Rotate token {name}</Button>
      <Button weight="danger" onPress={() => setDialog("revoke")}>
        Revoke {name}
      </Button>
      {dialog === "edit" && <EditAccountDialog {...shared} />}
      {dialog === "rotate" && <RotateDialog {...shared} />}
      {dialog === "revoke" && <RevokeDialog {...shared} onDone={onDone} />}
    </div>
  );
}
