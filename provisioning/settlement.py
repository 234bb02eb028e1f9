"""The shared operations on a locked run: read its position, start its next move, end it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from sqlalchemy import func
from sqlmodel import Session, col, select

from models import Organisation, Run, RunErrorCode, RunKind, RunStatus, RunStep, StepStatus, Tenant, TenantState
from provisioning import ledger, lifecycle
from provisioning.actors import PLATFORM, Actor
from provisioning.decisions import next_move, way_back
from provisioning.errors import LedgerNotEmpty
from provisioning.events import EventType, emit
from provisioning.moves import Backward, Forward, Rest, Settle
from provisioning.steps import saga
from provisioning.wakeups import wake


@dataclass(frozen=True, slots=True)
class Position:
    """A locked run with its steps in the order of the saga, its tenant, and a time after the lock was taken."""

    run: Run
    steps: list[RunStep]
    tenant: Tenant
    organisation_slug: str
    now: datetime

    def step(self, name: str) -> RunStep:
        """The step with this name."""
        return next(step for step in self.steps if step.name == name)

    def emit(self, session: Session, event_type: EventType, data: dict[str, Any], by: Actor = PLATFORM) -> None:
        """Append an event to the tenant's history."""
        emit(session, self.tenant, event_type, data, run=self.run, by=by, at=self.now)


def position_of(session: Session, run: Run) -> Position:
    """Read the position of a run. The caller has locked the run."""
    rows = session.exec(
        select(RunStep, Tenant, Organisation.slug, func.clock_timestamp())
        .select_from(RunStep)
        .join(Tenant, col(Tenant.id) == run.tenant_id)
        .join(Organisation, col(Organisation.id) == col(Tenant.organisation_id))
        .where(RunStep.run_id == run.id)
        .order_by(col(RunStep.position))
    ).all()
    _, tenant, organisation_slug, now = rows[-1]
    return Position(run, [step for step, *_ in rows], tenant, organisation_slug, now)


def steps_of(session: Session, runs: Sequence[Run]) -> Mapping[UUID, list[RunStep]]:
    """The steps of each of these runs, in the order of the saga."""
    steps = defaultdict[UUID, list[RunStep]](list)
    for step in session.exec(
        select(RunStep).where(col(RunStep.run_id).in_([run.id for run in runs])).order_by(col(RunStep.position))
    ):
        steps[step.run_id].append(step)
    return steps


def release_lease(run: Run, due: datetime) -> None:
    """Remove the owner of the run, and make the run due at ``due``."""
    run.lease_token = None
    run.lease_until = None
    run.lease_owner = None
    run.due_at = due


def interrupt(session: Session, position: Position, step: RunStep, error: str | None) -> None:
    """Mark a step that began as INTERRUPTED. It is compensated, because it may have had effects."""
    step.status = StepStatus.INTERRUPTED
    step.finished_at = position.now
    step.error = error or step.error
    clear_attempt(step)
    position.emit(session, EventType.STEP_INTERRUPTED, {"step": step.name, "error": error})


def interrupt_idle(session: Session, position: Position, step: RunStep) -> None:
    """Interrupt a step that no worker performs: it waits for its next poll or attempt, or its worker was lost."""
    waits = step.next_attempt_at is not None
    interrupt(session, position, step, step.error if waits else "Its worker was lost.")


def clear_attempt(step: RunStep) -> None:
    """Clear the step's current attempt, its progress message and its failures so far: no worker performs it."""
    step.message = None
    step.attempt_started_at = None
    step.next_attempt_at = None
    step.heartbeat_at = None
    step.failing_since = None
    step.lost_workers = 0


def start_compensating(position: Position, failed: RunStep, error: str, code: RunErrorCode) -> None:
    """Let the run compensate its steps from now on."""
    position.run.status = way_back(position.run)
    position.run.failed_step = failed.name
    position.run.error = error
    position.run.error_code = code


def advance(session: Session, position: Position) -> None:
    """Start the next move: end the run, or wake a worker if the run is due."""
    move = next_move(position.run, position.steps)
    match move:
        case Settle(status):
            settle(session, position, status)
        case Forward() | Backward():
            if position.run.due_at is not None and position.run.due_at <= position.now:
                wake(session, position.run, move, position.now)
        case Rest():
            position.run.due_at = None
        case _:
            assert_never(move)


def settle(session: Session, position: Position, status: RunStatus) -> None:
    """End the run: change the tenant, the run and the feed in one transaction.

    Raises LedgerNotEmpty if resources are still held.
    """
    run, now = position.run, position.now
    facts: dict[str, Any]
    session.refresh(position.tenant, with_for_update={"key_share": True})
    run.status = status
    run.finished_at = now
    run.due_at = None
    match status:
        case RunStatus.SUCCEEDED:
            _go_live(session, position)
        case RunStatus.CANCELLED:
            facts = {"run_number": run.number, "reason": run.cancel_reason, "cancelled_by": run.cancel_actor_name}
            _end_undone(session, position, TenantState.PENDING, EventType.CANCELLED, facts, by=_canceller(run))
        case RunStatus.FAILED:
            facts = {"failed_step": run.failed_step, "error": run.error}
            _end_undone(session, position, TenantState.FAILED, EventType.FAILED, facts)
        case RunStatus.DECOMMISSIONED:
            facts = {"run_number": run.number}
            _end_undone(session, position, TenantState.DECOMMISSIONED, EventType.DEPROVISIONING_COMPLETED, facts)
        case _:
            raise ValueError(f"{status} is not a final status")
    position.tenant.updated_at = now
    _follow_up(session, position)


def milliseconds(since: datetime | None, until: datetime) -> int:
    """The time between the two, in whole milliseconds. Zero if ``since`` is None."""
    return round((until - since).total_seconds() * 1000) if since else 0


def compensated_event_type(run: Run) -> EventType:
    """The event type of a completed compensation."""
    if run.kind is RunKind.DECOMMISSION:
        return EventType.DEPROVISIONING_STEP_COMPLETED
    return EventType.STEP_COMPENSATED


def _go_live(session: Session, position: Position) -> None:
    saga.go_live(position.tenant)
    facts = {"resources": ledger.still_held(session, position.run), **_duration(position)}
    position.emit(session, EventType.COMPLETED, facts)


def _follow_up(session: Session, position: Position) -> None:
    """Start the follow-up of an ended run: welcome e-mails after the pivot, absence checks after the undo."""
    move = next_move(position.run, position.steps)
    if isinstance(move, Forward):
        position.run.due_at = position.now
        wake(session, position.run, move, position.now)


def _end_undone(
    session: Session,
    position: Position,
    state: TenantState,
    event_type: EventType,
    facts: dict[str, Any],
    by: Actor = PLATFORM,
) -> None:
    if held := ledger.still_held(session, position.run):
        raise LedgerNotEmpty(f"run {position.run.id} still holds {held}")
    lifecycle.transition(position.tenant, state)
    what_became_of_it = {
        "released": ledger.released(session, position.run),
        "abandoned": ledger.left_behind(session, position.tenant.id),
    }
    position.emit(session, event_type, {**facts, **what_became_of_it, **_duration(position)}, by=by)


def _canceller(run: Run) -> Actor:
    """The actor of the end of a cancelled run: the one that requested the cancel."""
    assert run.cancel_actor_kind, "a cancelled run has the actor of its cancel"
    assert run.cancel_actor_id, "a cancelled run has the actor of its cancel"
    assert run.cancel_actor_name, "a cancelled run has the actor of its cancel"
    return Actor(run.cancel_actor_kind, run.cancel_actor_id, run.cancel_actor_name)


def _duration(position: Position) -> dict[str, int]:
    return {"total_duration_ms": milliseconds(position.run.created_at, position.now)}
