"""Without what makes a cancel final, typed and patient."""

from collections.abc import Collection, Sequence
from uuid import UUID

import pytest
from sqlmodel import Session, select

from models import FOLLOW_UPS, Run, RunStatus, RunStep, StepRole, StepStatus
from provisioning import cancellation, decisions, engine
from provisioning.actors import Actor
from provisioning.errors import NotProvisioning
from provisioning.locking import Change, locked_tenant
from provisioning.moves import Move
from provisioning.settlement import Position
from provisioning.step_context import StopReason
from tests.conformance.field.mutants import mutant
from workers import running_steps
from workers.running_steps import RunningStep


@mutant
def no_guard_in_the_claim(patch: pytest.MonkeyPatch) -> None:
    """A message is believed: whatever it says is done, whatever became of the run."""

    def due_run(session: Session, run_id: UUID, _: Collection[RunStatus], __: UUID) -> Run | None:
        return session.exec(select(Run).where(Run.id == run_id).with_for_update(key_share=True)).one_or_none()

    genuine = decisions.next_move

    def next_move(run: Run, steps: Sequence[RunStep]) -> Move:
        began = any(step.compensation_attempts for step in steps)
        return genuine(run, steps) if began else decisions._forward(steps)

    patch.setattr(engine, "_due_run", due_run)
    patch.setattr(engine, "next_move", next_move)


@mutant
def no_undo_of_the_step_in_flight(patch: pytest.MonkeyPatch) -> None:
    """Only what was completed is undone."""
    spared = {StepStatus.WAITING, StepStatus.COMPENSATED, StepStatus.ABANDONED, StepStatus.INTERRUPTED}

    def to_be_undone(step: RunStep) -> bool:
        return step.role not in FOLLOW_UPS and step.status not in spared

    patch.setattr(RunStep, "to_be_undone", property(to_be_undone))


@mutant
def no_regard_for_uninterruptible_steps(patch: pytest.MonkeyPatch) -> None:
    """Whatever runs is told to stop at once."""

    def tell(running_step: RunningStep) -> None:
        running_step.stop_signal.set(StopReason.CANCELLED)

    patch.setattr(running_steps, "_signal_cancel", tell)


@mutant
def no_guard_at_the_pivot(patch: pytest.MonkeyPatch) -> None:
    """Whoever has claimed the pivot goes live, whatever was asked meanwhile."""
    genuine = engine._done

    def done(session: Session, position: Position, step: RunStep) -> None:
        if step.role is StepRole.PIVOT:
            position.run.status = RunStatus.RUNNING
        genuine(session, position, step)

    patch.setattr(engine, "_done", done)


@mutant
def no_first_request(patch: pytest.MonkeyPatch) -> None:
    """A second request is taken like the first."""
    genuine = cancellation._run_to_cancel

    def run_to_cancel(session: Session, tenant_id: UUID, by: Actor) -> Run:
        run = genuine(session, tenant_id, by)
        run.status = RunStatus.RUNNING
        run.cancel_requested_at = run.cancel_actor_id = None
        return run

    patch.setattr(cancellation, "_run_to_cancel", run_to_cancel)


@mutant
def no_word_about_being_too_late(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes too late is told that it was done."""
    genuine = cancellation.cancel_provisioning

    def cancel_provisioning(session: Session, tenant_id: UUID, *, by: Actor, **wanted: object) -> Change:
        try:
            return genuine(session, tenant_id, by=by, **wanted)  # type: ignore[arg-type]  # handed on as they came
        except NotProvisioning:
            tenant = locked_tenant(session, tenant_id, by, None)
            newest = select(Run).where(Run.tenant_id == tenant_id)
            return Change(tenant, session.exec(newest).first(), already_requested=True)

    patch.setattr(cancellation, "cancel_provisioning", cancel_provisioning)
