"""A claim: the right to make one move of one run until its lease ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from models import AbsenceCheck, Run, RunStatus, RunStep, StepStatus
from provisioning import ledger, settlement
from provisioning.events import EventType
from provisioning.moves import Backward, Forward
from provisioning.ports import Infrastructure
from provisioning.resource_names import ResourceNames
from provisioning.saga import Done, NotYet, Outcome, Saga
from provisioning.step_context import (
    Abandoned,
    Journal,
    StepContext,
    StepStopped,
    StopReason,
    StopSignal,
    TenantFacts,
    current_stop_token,
)
from runtime.database import clock


@dataclass(frozen=True)
class Claim:
    """A fresh random token per claim fences whoever held the run before: nothing it writes lands any more.

    ``time_left`` bounds the attempt from now on; ``first_poll`` tells that it begins now.
    """

    run_id: UUID
    token: UUID
    move: Forward | Backward
    attempt: int
    time_left: timedelta
    interruptible: bool
    first_poll: bool
    names: ResourceNames
    tenant: TenantFacts

    @property
    def backward(self) -> bool:
        """Whether the move is a compensation, which no cancel stops."""
        return isinstance(self.move, Backward)

    def perform(
        self,
        saga: Saga,
        infrastructure: Infrastructure,
        journal: Journal,
        stop_signal: StopSignal,
        pace: timedelta = timedelta(0),
    ) -> Outcome:
        """Do the work outside. No transaction is open: this may take minutes. Raises what the step raises."""
        step = saga[self.move.step]
        ctx = StepContext(infrastructure, self.names, self.tenant, self.attempt, journal, stop_signal)
        if self.attempt == 1 and self.first_poll and not self.backward:
            ctx.simulate_delay(pace)
        performing = current_stop_token.set(ctx)
        try:
            outcome = (step.undo if self.backward else step.action)(ctx) or Done()
        finally:
            current_stop_token.reset(performing)
        if isinstance(outcome, NotYet):
            ctx.checkpoint()
        return outcome


def time_left(step: RunStep, spent: timedelta) -> timedelta:
    """What remains of the attempt; never less than nothing."""
    return max(step.timeout - spent, timedelta(0))


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a heartbeat learns about a run it still owns."""

    run_id: UUID
    cancelled: bool
    extended: bool


def intend(session: Session, held: Claim, kind: str, name: str) -> None:
    """Write a resource into the ledger under the claim. Raises StepStopped when it was lost, or a cancel came."""
    run = _owned_run(session, held)
    if run.status is RunStatus.CANCELLING and held.interruptible:
        raise StepStopped(StopReason.CANCELLED)
    ledger.intend(session, run, held.move.step, kind, name)


def abandoned(session: Session, held: Claim) -> Abandoned:
    """What an operator left behind knowingly."""
    return ledger.abandoned(session, session.get_one(Run, held.run_id))


def record_absence_check(session: Session, held: Claim, found: Sequence[str]) -> int:
    """Keep what a look outside found after everything was undone; how many looks there were with this one.

    Raises StepStopped when the claim was lost.
    """
    run = _owned_run(session, held)
    before = session.exec(
        select(AbsenceCheck.found).where(AbsenceCheck.run_id == run.id).order_by(col(AbsenceCheck.id))
    ).all()
    session.add(AbsenceCheck(run_id=run.id, asked_at=clock(session), found=list(found)))
    if found and (not before or list(before[-1]) != list(found)):
        position = settlement.position_of(session, run)
        position.emit(session, EventType.DRIFT_FOUND, {"run_number": run.number, "found": list(found)})
    return len(before) + 1


def renew(session: Session, tokens: Mapping[UUID, UUID], lease: timedelta) -> list[Renewal]:
    """Extend the leases that are still owned; whichever is missing in the answer was lost.

    A run that somebody has locked just now is still owned and not extended: one that waits must not let the others
    lapse.
    """
    extended = _extend(session, tokens, lease)
    still_owned = session.execute(
        select(Run.id, Run.status).where(col(Run.id).in_(tokens), col(Run.lease_token).in_(tokens.values()))
    ).all()
    session.execute(
        update(RunStep)
        .where(
            col(RunStep.run_id).in_(extended),
            col(RunStep.status).in_([StepStatus.RUNNING, StepStatus.COMPENSATING]),
        )
        .values(heartbeat_at=func.clock_timestamp())
        .execution_options(synchronize_session=False)
    )
    return [Renewal(run_id, status is RunStatus.CANCELLING, run_id in extended) for run_id, status in still_owned]


def run_under(session: Session, held: Claim) -> Run | None:
    """The run under lock, if the claim's token is still the one in its row."""
    return session.exec(
        select(Run).where(Run.id == held.run_id, Run.lease_token == held.token).with_for_update(key_share=True)
    ).one_or_none()


def _owned_run(session: Session, held: Claim) -> Run:
    """The run under lock. Raises StepStopped when the claim was lost."""
    run = run_under(session, held)
    if run is None:
        raise StepStopped(StopReason.LEASE_LOST)
    return run


def _extend(session: Session, tokens: Mapping[UUID, UUID], lease: timedelta) -> set[UUID]:
    until = func.statement_timestamp() + lease  # the same in both columns
    free = (
        select(Run.id)
        .where(col(Run.id).in_(tokens), col(Run.lease_token).in_(tokens.values()))
        .with_for_update(key_share=True, skip_locked=True)
    )
    rows = session.execute(
        update(Run)
        .where(col(Run.id).in_(free))
        .values(lease_until=until, due_at=until)
        .returning(col(Run.id))
        .execution_options(synchronize_session=False)
    )
    return set(rows.scalars())
