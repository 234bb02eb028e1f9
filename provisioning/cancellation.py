"""Asking a provisioning to stop, and going on with a stuck undo. Nothing is undone here: that is the engine's."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from models import Run, RunKind, RunStatus, RunStep, StepStatus, TenantState
from provisioning import ledger, settlement, validation
from provisioning.actors import Actor
from provisioning.decisions import way_back
from provisioning.errors import Malformed, NotProvisioning, NotStuck, StaleRun
from provisioning.events import EventType, notify_cancels
from provisioning.locking import Change, locked_live_run, locked_tenant, visible_tenant
from provisioning.settlement import Position


def cancel_provisioning(
    session: Session,
    tenant_id: UUID,
    *,
    by: Actor,
    reason: str | None = None,
    run_id: UUID | None = None,
    expected_version: int | None = None,
) -> Change:
    """Put a stop on record: from this commit on no forward step is claimed, and this run makes nothing ACTIVE.

    Raises NotProvisioning, StaleRun, Malformed.
    """
    reason = validation.check_reason(reason)
    visible_tenant(session, tenant_id, by)
    run = _run_to_cancel(session, tenant_id, by)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    if run_id is not None and run.id != run_id:
        raise StaleRun(run.number)
    if run.cancel_requested:
        return Change(tenant, run, already_requested=True)
    _put_on_record(session, settlement.position_of(session, run), by, reason)
    return Change(tenant, run)


def _owned(run: Run, now: datetime) -> bool:
    """Whether a worker is at this run, as far as its lease tells."""
    return run.lease_until is not None and run.lease_until > now


def resume_compensation(
    session: Session,
    tenant_id: UUID,
    *,
    by: Actor,
    skip_steps: Sequence[str] = (),
    reason: str | None = None,
    expected_version: int | None = None,
) -> Change:
    """Go on undoing a STUCK run; skipped steps are abandoned, by name and with a reason. Raises NotStuck, Malformed."""
    reason = validation.check_reason(reason)
    if skip_steps and not reason:
        raise Malformed("reason", "Say why these steps are given up on: it goes on record.")
    visible_tenant(session, tenant_id, by)
    run = locked_live_run(session, tenant_id)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    if run is None or run.status is not RunStatus.STUCK:
        raise NotStuck(tenant.state)
    position = settlement.position_of(session, run)
    _skip(session, position, skip_steps, by, reason)
    _resume(session, position, by, list(skip_steps), reason)
    return Change(tenant, run)


def _run_to_cancel(session: Session, tenant_id: UUID, by: Actor) -> Run:
    """The live provisioning run under lock. The state told in a refusal was read after the lock showed that none is."""
    while True:
        run = locked_live_run(session, tenant_id)
        if run is not None and run.kind is RunKind.PROVISION:
            return run
        tenant = visible_tenant(session, tenant_id, by)
        if run is not None or tenant.state is not TenantState.PROVISIONING:
            raise NotProvisioning(tenant.state)


def _put_on_record(session: Session, position: Position, by: Actor, reason: str | None) -> None:
    """Write down who asked, tell the feed and whoever is at work, and turn back what nobody is at."""
    run = position.run
    in_flight = next((step.name for step in position.steps if step.status is StepStatus.RUNNING), None)
    run.cancel_requested_at = position.now
    run.cancel_actor_kind = by.kind
    run.cancel_actor_id = by.id
    run.cancel_actor_name = by.email or by.name
    run.cancel_reason = reason
    run.cancel_step_in_flight = in_flight
    position.tell(session, EventType.CANCEL_REQUESTED, {"reason": reason, "step_in_flight": in_flight}, by=by)
    if run.status is RunStatus.STUCK:
        return
    run.status = RunStatus.CANCELLING
    if _owned(run, position.now):
        notify_cancels(session, [run.id])
    else:
        _turn_back(session, position)


def _turn_back(session: Session, position: Position) -> None:
    _hurry(session, position)
    settlement.release_lease(position.run, due=position.now)
    settlement.advance(session, position)


def _hurry(session: Session, position: Position) -> None:
    """Nobody is at work who could be told: a step that waits for its next look or attempt is undone at once."""
    for step in position.steps:
        if step.status is StepStatus.RUNNING:
            settlement.interrupt_idle(session, position, step)
        elif step.status is StepStatus.COMPENSATING:
            settlement.rest(step)


def _skip(session: Session, position: Position, names: Sequence[str], by: Actor, reason: str | None) -> None:
    known = {step.name for step in position.steps if step.to_be_undone}
    if unknown := sorted(set(names) - known):
        raise Malformed("skip_steps", f"Not a step that is still to be undone: {', '.join(unknown)[:200]}.")
    for name in names:
        assert reason is not None, "checked by the caller"
        position.step(name).status = StepStatus.ABANDONED
        ledger.abandon(session, position.run, name, by, reason)


def _resume(session: Session, position: Position, by: Actor, skipped: list[str], reason: str | None) -> None:
    run = position.run
    run.status = way_back(run)
    run.due_at = position.now
    run.error = None
    for step in position.steps:
        _forgive(step)
    position.tell(session, EventType.COMPENSATION_RESUMED, {"skipped": skipped, "reason": reason}, by=by)
    settlement.advance(session, position)


def _forgive(step: RunStep) -> None:
    """Count the tries of a stuck compensation anew."""
    if step.status is StepStatus.COMPENSATION_FAILED:
        step.status = StepStatus.COMPENSATING
        step.compensation_attempts = 0
