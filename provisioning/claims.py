"""A claim: the exclusive right to make one move of one run until its lease ends."""

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
    """The right to make one move, with a random fencing token. Writes with an older token are rejected.

    ``time_left`` is the rest of the attempt's timeout. ``starts_attempt``: the attempt begins with this claim.
    """

    run_id: UUID
    token: UUID
    move: Forward | Backward
    attempt: int
    time_left: timedelta
    interruptible: bool
    starts_attempt: bool
    names: ResourceNames
    tenant: TenantFacts
    parts_done: int = 0

    @property
    def backward(self) -> bool:
        """Whether the move is a compensation. A cancel does not stop it."""
        return isinstance(self.move, Backward)

    def perform(
        self,
        saga: Saga,
        infrastructure: Infrastructure,
        journal: Journal,
        stop_signal: StopSignal,
        pace: timedelta = timedelta(0),
    ) -> Outcome:
        """Run the step's action or compensation. No transaction is open: this may take minutes.

        Raises what the step raises.
        """
        step = saga[self.move.step]
        ctx = StepContext(infrastructure, self.names, self.tenant, self.attempt, journal, stop_signal, self.parts_done)
        if self.attempt == 1 and self.starts_attempt and not self.backward:
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
    """The rest of the attempt's timeout, at least zero."""
    return max(step.attempt_timeout - spent, timedelta(0))


@dataclass(frozen=True, slots=True)
class Renewal:
    """The result of a heartbeat for a run that the worker still owns.

    ``cancelled``: a cancel was requested. ``extended``: the lease was extended.
    """

    run_id: UUID
    cancelled: bool
    extended: bool


def intend(session: Session, claim: Claim, kind: str, name: str) -> None:
    """Write a resource into the ledger. Raises StepStopped if the claim was lost or a cancel was requested."""
    run = _require_owned_run(session, claim)
    if run.status is RunStatus.CANCELLING and claim.interruptible:
        raise StepStopped(StopReason.CANCELLED)
    ledger.intend(session, run, claim.move.step, kind, name)


def abandoned(session: Session, claim: Claim) -> Abandoned:
    """The resources of the run that an operator abandoned."""
    return ledger.abandoned(session, session.get_one(Run, claim.run_id))


def record_absence_check(
    session: Session, claim: Claim, found: Sequence[str], found_abandoned: Sequence[str], *, complete: bool
) -> int:
    """Record the resources that an absence check found after the undo. Returns the number of absence checks so far.

    ``complete``: every adapter answered, so an abandoned resource that was not found is absent. Raises StepStopped if
    the claim was lost.
    """
    run = _require_owned_run(session, claim)
    before = session.exec(
        select(AbsenceCheck.found).where(AbsenceCheck.run_id == run.id).order_by(col(AbsenceCheck.id))
    ).all()
    now = clock(session)
    session.add(AbsenceCheck(run_id=run.id, asked_at=now, found=list(found), found_abandoned=list(found_abandoned)))
    if complete:
        ledger.record_absence_of_abandoned(session, run, found_abandoned, now)
    if found and (not before or list(before[-1]) != list(found)):
        position = settlement.position_of(session, run)
        position.emit(session, EventType.DRIFT_FOUND, {"run_number": run.number, "found": list(found)})
    return len(before) + 1


def record_part_done(session: Session, claim: Claim, parts: int) -> None:
    """Record that so many parts of the step are done. Raises StepStopped if the claim was lost."""
    _require_owned_run(session, claim)
    session.execute(
        update(RunStep)
        .where(col(RunStep.run_id) == claim.run_id, col(RunStep.name) == claim.move.step)
        .values(parts_done=parts)
        .execution_options(synchronize_session=False)
    )


def renew(session: Session, tokens: Mapping[UUID, UUID], lease: timedelta) -> list[Renewal]:
    """Extend the leases that the worker still owns. A run that is missing in the result was lost.

    A run that another transaction has locked is in the result but is not extended: waiting for its lock could let the
    other leases lapse.
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


def owned_run(session: Session, claim: Claim) -> Run | None:
    """The run, locked, or None if its row has another token than the claim."""
    return session.exec(
        select(Run).where(Run.id == claim.run_id, Run.lease_token == claim.token).with_for_update(key_share=True)
    ).one_or_none()


def _require_owned_run(session: Session, claim: Claim) -> Run:
    """The run, locked. Raises StepStopped if the claim was lost."""
    run = owned_run(session, claim)
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
