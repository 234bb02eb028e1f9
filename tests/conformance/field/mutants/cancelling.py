"""Mutants without the protections of a cancel."""

from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session, col, select

from models import FOLLOW_UPS, Run, RunStatus, StepRole, StepStatus
from provisioning import cancellation, decisions, position, run_store, step_endings, transitions
from provisioning.actors import Actor
from provisioning.errors import NotProvisioning
from provisioning.locking import Change, locked_tenant
from provisioning.moves import Backward, Forward
from provisioning.position import Position, StepValues
from provisioning.step_context import StopReason
from provisioning.transition import Draft, Takes, Transition
from provisioning.transitions import Lease
from tests.conformance.field.mutants import mutant
from workers import running_steps
from workers.running_steps import RunningStep


@mutant
def no_checks_in_claim(patch: pytest.MonkeyPatch) -> None:
    """A message is obeyed without a check of the run's status, due time or lease."""

    original = transitions.claim

    def claim(position: Position, move: Forward | Backward, lease: Lease, takes: Takes = ()) -> Transition | None:
        steps = position.steps.values()
        began = any(step.compensation_attempts for step in steps)
        if began or move != decisions._forward(steps):
            return original(position, move, lease, takes)
        draft = Draft(position)
        draft.release_lease(due=position.now)
        transitions._claim(draft, move, lease, takes)
        return draft.transition()

    patch.setattr(transitions, "claim", claim)


@mutant
def no_undo_of_step_in_flight(patch: pytest.MonkeyPatch) -> None:
    """Only completed steps are undone."""
    spared = {StepStatus.WAITING, StepStatus.COMPENSATED, StepStatus.ABANDONED, StepStatus.INTERRUPTED}

    def is_to_be_undone(role: StepRole, status: StepStatus) -> bool:
        return role not in FOLLOW_UPS and status not in spared

    patch.setattr(position, "is_to_be_undone", is_to_be_undone)
    patch.setattr(run_store, "is_to_be_undone", is_to_be_undone)


@mutant
def no_interruptible_check(patch: pytest.MonkeyPatch) -> None:
    """A cancel also stops steps that are not interruptible."""

    def signal_cancel(running_step: RunningStep) -> None:
        running_step.stop_signal.set(StopReason.CANCELLED)

    patch.setattr(running_steps, "_signal_cancel", signal_cancel)


@mutant
def no_cancel_check_at_pivot(patch: pytest.MonkeyPatch) -> None:
    """A claimed pivot makes the tenant ACTIVE even if the run was cancelled meanwhile."""
    original = step_endings.done

    def done(draft: Any, step: StepValues, parts_done: int | None) -> None:
        if step.role is StepRole.PIVOT:
            draft.change_run(status=RunStatus.RUNNING)
        original(draft, step, parts_done)

    patch.setattr(step_endings, "done", done)


@mutant
def no_already_requested_check(patch: pytest.MonkeyPatch) -> None:
    """A second cancel request replaces the first."""
    original = cancellation._run_to_cancel

    def run_to_cancel(session: Session, tenant_id: UUID, by: Actor) -> Run:
        run = original(session, tenant_id, by)
        run.status = RunStatus.RUNNING
        run.cancel_requested_at = run.cancel_actor_id = None
        return run

    patch.setattr(cancellation, "_run_to_cancel", run_to_cancel)


@mutant
def no_too_late_refusal(patch: pytest.MonkeyPatch) -> None:
    """A cancel after the pivot is accepted."""
    original = cancellation.cancel_provisioning

    def cancel_provisioning(session: Session, tenant_id: UUID, *, by: Actor, **arguments: object) -> Change:
        try:
            return original(session, tenant_id, by=by, **arguments)  # type: ignore[arg-type]  # passed on unchanged
        except NotProvisioning:
            tenant = locked_tenant(session, tenant_id, by, None)
            newest = select(Run).where(Run.tenant_id == tenant_id).order_by(col(Run.number).desc())
            return Change(tenant, session.exec(newest).first(), already_requested=True)

    patch.setattr(cancellation, "cancel_provisioning", cancel_provisioning)
