/** The actions on a tenant. The server says which are available; the page knows their labels and their dialogs. */

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
import { ResumeUndoDialog } from "./dialogs/resume-undo";
import { SuspendDialog } from "./dialogs/suspend";
import { isBeingCancelled, type Run, stuckStep } from "./run";
import type { Tenant } from "./tenant";

interface Props {
  tenant: Tenant;
  run: Run | undefined;
  /** The action with an open dialog. The dialog stays open if the action becomes unavailable, and shows that. */
  opened: string | undefined;
  onOpen: (action: string | undefined) => void;
}

/** Actions that open a dialog. */
const WITH_DIALOG: Partial<Record<TenantAction, [label: string, weight: "danger" | "plain"]>> = {
  CANCEL_PROVISIONING: ["Cancel provisioning", "danger"],
  SUSPEND: ["Suspend…", "plain"],
  DECOMMISSION: ["Decommission…", "danger"],
  UPDATE: ["Edit…", "plain"],
  RESUME_COMPENSATION: ["Resume undo…", "plain"],
};

export function Actions({ tenant, run, opened, onOpen }: Props) {
  const close = () => onOpen(undefined);
  const focusTarget = useFocusAfterDialog(opened !== undefined);
  return (
    <section className="card actions" aria-labelledby="actions" tabIndex={-1} ref={focusTarget}>
      <h2 id="actions">Actions</h2>
      {run && <RunNotice run={run} />}
      <div className="row">
        {tenant.availableActions.map((action) => {
          const [label, weight] = WITH_DIALOG[action] ?? [];
          if (!label) return <DirectAction key={action} action={action} tenant={tenant} run={run} />;
          return (
            <Button key={action} weight={weight ?? "plain"} onPress={() => onOpen(action)}>
              {label}
            </Button>
          );
        })}
        {tenant.availableActions.length === 0 && !(run && isBeingCancelled(run)) && (
          <p className="hint">There are no actions for you here now.</p>
        )}
      </div>
      {opened === "CANCEL_PROVISIONING" && <CancelDialog tenant={tenant} run={run} onClose={close} />}
      {opened === "SUSPEND" && <SuspendDialog tenant={tenant} onClose={close} />}
      {opened === "DECOMMISSION" && <DecommissionDialog tenant={tenant} onClose={close} />}
      {opened === "UPDATE" && <EditDialog tenant={tenant} onClose={close} />}
      {opened === "RESUME_COMPENSATION" && <ResumeUndoDialog tenant={tenant} run={run} onClose={close} />}
    </section>
  );
}

/** The element that gets the keyboard focus after a dialog closed and the button that opened it is gone, as after a cancel. */
function useFocusAfterDialog(open: boolean): RefObject<HTMLElement | null> {
  const target = useRef<HTMLElement>(null);
  const wasOpen = useRef(false);
  useEffect(() => {
    const closed = wasOpen.current && !open;
    wasOpen.current = open;
    if (!closed) return;
    const frame = requestAnimationFrame(() =>
      requestAnimationFrame(() => document.activeElement === document.body && target.current?.focus()),
    );
    return () => cancelAnimationFrame(frame);
  }, [open]);
  return target;
}

function attemptsText(count: number): string {
  return count === 1 ? "1 attempt" : `${count} attempts`;
}

/** A cancellation that is under way, or an undo that is stuck. */
function RunNotice({ run }: { run: Run }) {
  const stuck = stuckStep(run);
  if (stuck) {
    return (
      <div className="notice bad" role="alert">
        <p>
          The undo is stuck at “{stuck.title}”
          {run.stuckSince && (
            <>
              {" "}
              since <Time at={run.stuckSince} />
            </>
          )}
          , after {attemptsText(stuck.compensationAttempts)}: {run.stuckError}
        </p>
        <p className="hint">
          Nothing happens until an operator resumes the undo. Its resources are still held, as listed below. Fix the
          cause and resume the undo, or skip this step.
        </p>
      </div>
    );
  }
  const { cancelRequest } = run;
  if (!cancelRequest || !isBeingCancelled(run)) return null;
  return (
    <p className="notice warn" role="status">
      <strong>Cancelling…</strong> requested by {cancelRequest.requestedBy.displayName},{" "}
      <Time at={cancelRequest.requestedAt} short />
      {cancelRequest.reason && <>: “{cancelRequest.reason}”</>}
    </p>
  );
}

/** Actions without a confirmation, because their effect can be undone. */
function DirectAction({ action, tenant, run }: { action: TenantAction; tenant: Tenant; run: Run | undefined }) {
  switch (action) {
    case "RETRY_PROVISIONING":
      return <Retry tenant={tenant} hasRun={run !== undefined} />;
    case "RESUME":
      return <Resume tenant={tenant} />;
    case "RECREATE":
      return <Recreate tenant={tenant} />;
    case "RESEND_WELCOME_EMAILS":
      return <Resend tenant={tenant} />;
    default:
      // A newer server may have actions that this page does not know: they get no button.
      return null;
  }
}

function Retry({ tenant, hasRun }: { tenant: Tenant; hasRun: boolean }) {
  const command = useCommand(RetryProvisioningDocument);
  const label = hasRun ? "Retry provisioning" : "Start provisioning";
  return <CommandButton label={label} command={command} input={{ tenantId: tenant.id }} primary />;
}

function Resume({ tenant }: { tenant: Tenant }) {
  const command = useCommand(ResumeTenantDocument);
  return <CommandButton label="Resume" command={command} input={{ tenantId: tenant.id }} primary />;
}

function Resend({ tenant }: { tenant: Tenant }) {
  const command = useCommand(ResendWelcomeEmailsDocument);
  return <CommandButton label="Resend welcome e-mails" command={command} input={{ tenantId: tenant.id }} />;
}

function Recreate({ tenant }: { tenant: Tenant }) {
  const navigate = useNavigate();
  const command = useCommand(RecreateTenantDocument);
  return (
    <CommandButton
      label="Recreate"
      command={command}
      input={{ tenantId: tenant.id }}
      primary
      onDone={(done) => done.tenant && navigate(`/tenants/${done.tenant.databaseId}`)}
    />
  );
}

interface CommandButtonProps<Result> {
  label: string;
  command: Command<{ tenantId: string }, Result>;
  input: { tenantId: string };
  primary?: boolean;
  onDone?: (result: Result) => void;
}

function CommandButton<Result>({ label, command, input, primary = false, onDone }: CommandButtonProps<Result>) {
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
