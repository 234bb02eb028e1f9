/** What may be done now. The server says which; the page only knows how each is called and asked for. */

import { type RefObject, useEffect, useRef } from "react";
import { useNavigate } from "react-router";
import {
  RecreateTenantDocument,
  ResendWelcomeEmailsDocument,
  ResumeTenantDocument,
  RetryProvisioningDocument,
  type TenantAction,
} from "../__generated__/graphql";
import { type Command, useCommand } from "../api/command";
import { Button } from "../ui/button";
import { Problem, Refusals } from "../ui/notice";
import { Time } from "../ui/time";
import { CancelDialog } from "./dialogs/cancel";
import { DecommissionDialog } from "./dialogs/decommission";
import { EditDialog } from "./dialogs/edit";
import { GoOnDialog } from "./dialogs/go-on";
import { SuspendDialog } from "./dialogs/suspend";
import type { Tenant } from "./page";
import { isBeingCancelled, type Run, stuckStep } from "./run";

interface Props {
  tenant: Tenant;
  run: Run | undefined;
  /** The action whose dialog is open. It stays open when the action is no longer to be had, and says so. */
  opened: string | undefined;
  onOpen: (action: string | undefined) => void;
}

const ASKED_FIRST: Partial<Record<TenantAction, [label: string, weight: "danger" | "plain"]>> = {
  CANCEL_PROVISIONING: ["Cancel provisioning", "danger"],
  SUSPEND: ["Suspend…", "plain"],
  DECOMMISSION: ["Decommission…", "danger"],
  UPDATE: ["Edit…", "plain"],
  RESUME_COMPENSATION: ["Go on with the undo…", "plain"],
};

export function Actions({ tenant, run, opened, onOpen }: Props) {
  const close = () => onOpen(undefined);
  const place = useRestingPlace(opened !== undefined);
  return (
    <section className="card actions" aria-labelledby="actions" tabIndex={-1} ref={place}>
      <h2 id="actions">Actions</h2>
      {run && <UnderWay run={run} />}
      <div className="row">
        {tenant.availableActions.map((action) => {
          const [label, weight] = ASKED_FIRST[action] ?? [];
          if (!label) return <AtOnce key={action} action={action} tenant={tenant} />;
          return (
            <Button key={action} weight={weight ?? "plain"} onPress={() => onOpen(action)}>
              {label}
            </Button>
          );
        })}
        {tenant.availableActions.length === 0 && !(run && isBeingCancelled(run)) && (
          <p className="hint">There is nothing for you to do here now.</p>
        )}
      </div>
      {opened === "CANCEL_PROVISIONING" && <CancelDialog tenant={tenant} onClose={close} />}
      {opened === "SUSPEND" && <SuspendDialog tenant={tenant} onClose={close} />}
      {opened === "DECOMMISSION" && <DecommissionDialog tenant={tenant} onClose={close} />}
      {opened === "UPDATE" && <EditDialog tenant={tenant} onClose={close} />}
      {opened === "RESUME_COMPENSATION" && <GoOnDialog tenant={tenant} run={run} onClose={close} />}
    </section>
  );
}

/** Where the keyboard goes when a dialog has closed and the button that opened it is gone, as after a cancel. */
function useRestingPlace(open: boolean): RefObject<HTMLElement | null> {
  const place = useRef<HTMLElement>(null);
  const wasOpen = useRef(false);
  useEffect(() => {
    const closed = wasOpen.current && !open;
    wasOpen.current = open;
    if (!closed) return;
    const looking = requestAnimationFrame(() =>
      requestAnimationFrame(() => document.activeElement === document.body && place.current?.focus()),
    );
    return () => cancelAnimationFrame(looking);
  }, [open]);
  return place;
}

/** What was asked for already, and is still being done. */
function UnderWay({ run }: { run: Run }) {
  const stuck = stuckStep(run);
  if (stuck) {
    return (
      <div className="notice bad" role="alert">
        <p>
          The undo is stuck at “{stuck.title}”, after {stuck.compensationAttempts} attempts: {stuck.error}
        </p>
        <p className="hint">
          What it took is still held, as listed below. Mend the cause and go on, or skip it knowingly.
        </p>
      </div>
    );
  }
  const { cancelRequest } = run;
  if (!cancelRequest || !isBeingCancelled(run)) return null;
  return (
    <p className="notice warn" role="status">
      <strong>Cancelling…</strong> asked for by {cancelRequest.requestedBy.displayName},{" "}
      <Time at={cancelRequest.requestedAt} short />
      {cancelRequest.reason && <>: “{cancelRequest.reason}”</>}
    </p>
  );
}

/** Actions that a second thought is not needed for: what they do can be taken back. */
function AtOnce({ action, tenant }: { action: TenantAction; tenant: Tenant }) {
  switch (action) {
    case "RETRY_PROVISIONING":
      return <Retry tenant={tenant} />;
    case "RESUME":
      return <Resume tenant={tenant} />;
    case "RECREATE":
      return <Recreate tenant={tenant} />;
    case "RESEND_WELCOME_EMAILS":
      return <Resend tenant={tenant} />;
    default:
      // The server may know actions that this page does not; it has no button for them.
      return null;
  }
}

function Retry({ tenant }: { tenant: Tenant }) {
  const command = useCommand(RetryProvisioningDocument);
  return <Direct label="Retry provisioning" command={command} input={{ tenantId: tenant.id }} primary />;
}

function Resume({ tenant }: { tenant: Tenant }) {
  const command = useCommand(ResumeTenantDocument);
  return <Direct label="Resume" command={command} input={{ tenantId: tenant.id }} primary />;
}

function Resend({ tenant }: { tenant: Tenant }) {
  const command = useCommand(ResendWelcomeEmailsDocument);
  return <Direct label="Send the welcome mails again" command={command} input={{ tenantId: tenant.id }} />;
}

function Recreate({ tenant }: { tenant: Tenant }) {
  const navigate = useNavigate();
  const command = useCommand(RecreateTenantDocument);
  return (
    <Direct
      label="Recreate"
      command={command}
      input={{ tenantId: tenant.id }}
      primary
      onDone={(done) => done.tenant && navigate(`/tenants/${done.tenant.databaseId}`)}
    />
  );
}

interface DirectProps<Result> {
  label: string;
  command: Command<{ tenantId: string }, Result>;
  input: { tenantId: string };
  primary?: boolean;
  onDone?: (result: Result) => void;
}

function Direct<Result>({ label, command, input, primary = false, onDone }: DirectProps<Result>) {
  async function press() {
    const done = await command.send(input);
    if (done) onDone?.(done);
  }
  return (
    <>
      <Button weight={primary ? "primary" : "plain"} isBusy={command.sending} onPress={press}>
        {label}
      </Button>
      <Refusals errors={command.refusals} />
      {command.error && <Problem error={command.error} />}
    </>
  );
}
