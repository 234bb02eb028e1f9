"""The engine of runs: claims moves, records their outcomes.

A worker performs a move between its claim and its record. Every function takes the session of a short transaction,
does not commit, and does no other I/O. Locks are taken in one order, run before tenant. Leases, due times and back-offs
use the database's clock.
"""

import random
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import and_, func, or_
from sqlmodel import Session, col, select

from models import (
    FOLLOW_UPS,
    UNDONE_STATUSES,
    Run,
    RunErrorCode,
    RunStatus,
    RunStep,
    StepRole,
    StepStatus,
    TenantState,
)
from provisioning import claims, ledger, settlement
from provisioning.claims import Claim, time_left
from provisioning.decisions import BACKWARD, FORWARD, next_move
from provisioning.error_messages import code_of, describe
from provisioning.events import EventType
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from provisioning.saga import Done, NotYet, Outcome
from provisioning.scarcity import (
    LONGEST_WAIT,
    LONGEST_WAIT_FOR_MAIL,
    MAIL_TIME_LIMIT,
    SCARCITY_TIME_LIMIT,
    is_scarcity,
    retry_after,
    wait_for_capacity,
)
from provisioning.settlement import Position
from provisioning.step_context import StepStopped, StopReason, TenantFacts
from runtime.settings import Settings

FORWARD_CLAIM_STATUSES = FORWARD | {RunStatus.SUCCEEDED, *UNDONE_STATUSES}
"""Statuses in which forward moves are claimed. QUEUED and RUNNING end when a cancel commits; in the others only the
follow-ups of an ended run are left."""

MAX_LOST_WORKERS = 3
"""Attempts that may end because the worker was lost, even if ``max_attempts`` is lower: a restart is not a failure."""

MAX_WORKERS_LOST_UNDOING = 8
"""Attempts of a compensation in a row that may end because the worker was lost, before the run is STUCK. Fewer than its
attempts: an undo that kills its workers would stop other runs too."""

RELEASE_REASONS = frozenset({StopReason.SHUTTING_DOWN, StopReason.LEASE_LOST, StopReason.DATABASE_UNAVAILABLE})
"""Reasons in the control plane, not in the step: the move is released, and another worker claims it."""

NO_WAIT = timedelta(0)
FIRST_BACK_OFF = timedelta(seconds=1)
MAX_BACK_OFF = timedelta(seconds=60)
MAX_CONFIRMATION_BACK_OFF = timedelta(hours=1)
"""Longer than other back-offs: nothing waits for an absence check, and an adapter may be unavailable for a day."""

PAUSE_BEFORE_LAST_ATTEMPT = timedelta(seconds=90)
"""The pause before the last attempt of a step, so that an external system that fails for a minute fails no run."""


def claim(
    session: Session,
    run_id: UUID,
    move: Forward | Backward,
    *,
    settings: Settings,
    owner: str,
    token: UUID | None = None,
) -> Claim | None:
    """Take the lease for this move. Returns None if the run is not due, has an owner, or has another next move.

    The attempt is counted before it is performed, so that a step that kills its process runs out of attempts too. A
    caller with its own ``token`` can repeat the call when its response was lost: the claim with this token is returned
    with the time that is left.
    """
    token = token or uuid4()
    run = _due_run(session, run_id, BACKWARD if isinstance(move, Backward) else FORWARD_CLAIM_STATUSES, token)
    if run is None:
        return None
    position = settlement.position_of(session, run)
    if run.lease_token == token:
        return _repeated_claim(session, position, move, settings, owner, token)
    if next_move(run, position.steps) != move:
        return None
    # This fences the owner of a lapsed lease, even if this claim ends in a failure and sets no new token.
    settlement.release_lease(run, due=position.now)
    step = position.step(move.step)
    ready = (
        _begin_compensation(session, position, step) if isinstance(move, Backward) else _begin(session, position, step)
    )
    if not ready:
        return None
    return _leased(session, position, step, move, settings, owner, token)


def record(session: Session, held: Claim, outcome: Outcome) -> None:
    """Record the outcome of a move and start the next one. Does nothing if the claim was lost."""
    position = _position_if_owned(session, held)
    if position is None:
        return
    step = position.step(held.move.step)
    match outcome, held.move:
        case NotYet(after), _:
            _poll_later(session, position, step, after)
        case Done(), Backward():
            _undone(session, position, step)
        case Done(), Forward():
            _done(session, position, step)
    settlement.advance(session, position)


def record_failure(session: Session, held: Claim, error: BaseException) -> None:
    """Record the failure of a move: retry later, start compensating, or mark the run STUCK.

    Does nothing if the claim was lost.
    """
    position = _position_if_owned(session, held)
    if position is None:
        return
    step = position.step(held.move.step)
    if position.run.status is RunStatus.CANCELLING and not held.backward:
        settlement.interrupt(session, position, step, None if isinstance(error, StepStopped) else describe(error))
    elif isinstance(error, StepStopped) and error.reason in RELEASE_REASONS:
        _release_move(position, step, held, error.reason)
    elif is_scarcity(error) and _time_in_direction(position, step, held) < _scarcity_time_limit(step):
        _wait_for_capacity(position, step, held, error)
    elif held.backward:
        final = isinstance(error, Refused)
        _compensation_failed(session, position, step, describe(error), final=final, wait=retry_after(error))
    else:
        final = isinstance(error, Refused) and step.role is not StepRole.CONFIRMATION
        code, wait = code_of(error), retry_after(error)
        _failed(session, position, step, describe(error), final=final, code=code, wait=wait)
    settlement.advance(session, position)


def _due_run(session: Session, run_id: UUID, statuses: Collection[RunStatus], token: UUID) -> Run | None:
    """The run, locked, unless another worker owns it: ``due_at`` of an owned run is the end of its lease.

    Waits for the lock instead of skipping: the transaction that holds it may handle a stale message and claim nothing,
    and then skipping would drop the valid message too.
    """
    return session.exec(
        select(Run)
        .where(
            Run.id == run_id,
            or_(
                and_(col(Run.status).in_(statuses), col(Run.due_at) <= func.clock_timestamp()),
                col(Run.lease_token) == token,
            ),
        )
        .with_for_update(key_share=True)
    ).one_or_none()


def _repeated_claim(
    session: Session,
    position: Position,
    move: Forward | Backward,
    settings: Settings,
    owner: str,
    token: UUID,
) -> Claim | None:
    """The claim with the lost response. None if a cancel came in between: then the lease is released at once."""
    run, step = position.run, position.step(move.step)
    if next_move(run, position.steps) == move:
        if run.lease_until == (step.attempt_started_at or position.now) + settings.lease:
            step.attempt_started_at = position.now  # its first poll: none of its timeout is used yet
        return _leased(session, position, step, move, settings, owner, token)
    if step.status is StepStatus.RUNNING:
        settlement.interrupt(session, position, step, None)
    settlement.release_lease(run, due=position.now)
    settlement.advance(session, position)
    return None


def _position_if_owned(session: Session, held: Claim) -> Position | None:
    run = claims.owned_run(session, held)
    if run is None:
        return None
    position = settlement.position_of(session, run)
    settlement.release_lease(run, due=position.now)
    return position


def _begin(session: Session, position: Position, step: RunStep) -> bool:
    """Begin or continue an attempt of the step. Returns False if it must not be performed."""
    if step.role is StepRole.AFTERWARDS and position.tenant.state is not TenantState.ACTIVE:
        position.run.due_at = None
        return False
    if step.attempt_started_at is not None and step.next_attempt_at is not None:
        return _continue_attempt(session, position, step)
    if step.attempts >= max(step.max_attempts, MAX_LOST_WORKERS):
        lost = f"{step.title}: the worker was lost in each of {step.attempts} attempts."
        _failed(session, position, step, lost, final=True, code=RunErrorCode.WORKER_LOST)
        settlement.advance(session, position)
        return False
    _begin_attempt(session, position, step)
    return True


def _begin_attempt(session: Session, position: Position, step: RunStep) -> None:
    step.attempts += 1
    step.status = StepStatus.RUNNING
    step.attempt_started_at = position.now
    step.started_at = step.started_at or position.now
    step.percent = None
    step.message = None
    if position.run.status is RunStatus.QUEUED:
        position.run.status = RunStatus.RUNNING
        position.run.started_at = position.now
    if step.role not in FOLLOW_UPS:
        position.emit(session, EventType.STEP_STARTED, {"step": step.name, "attempt": step.attempts})


def _continue_attempt(session: Session, position: Position, step: RunStep) -> bool:
    """Continue an attempt that returned NotYet, unless its timeout has passed. Returns False if it has."""
    assert step.attempt_started_at is not None, "the caller has checked that an attempt is in progress"
    if position.now - step.attempt_started_at < step.timeout:
        return True
    overdue = f"{step.title}: not done after {step.timeout.total_seconds():.0f} s."
    _failed(session, position, step, overdue, final=False, code=RunErrorCode.TIMED_OUT)
    settlement.advance(session, position)
    return False


def _begin_compensation(session: Session, position: Position, step: RunStep) -> bool:
    """Begin or continue a compensation of the step. Returns False if its attempts or its timeout are used up."""
    if step.status is StepStatus.RUNNING:
        settlement.interrupt_idle(session, position, step)
    if step.attempt_started_at is not None and step.next_attempt_at is not None:
        return _continue_compensation(session, position, step)
    step.lost_workers += step.attempt_started_at is not None
    if step.lost_workers >= MAX_WORKERS_LOST_UNDOING or step.compensation_attempts >= step.max_compensation_attempts:
        lost = f"{step.title}: the worker was lost while undoing it, in attempt {step.compensation_attempts}."
        _stuck(session, position, step, lost)
        return False
    step.compensation_attempts += 1
    step.attempt_started_at = position.now
    step.message = None
    step.compensation_started_at = step.compensation_started_at or position.now
    if step.status is not StepStatus.COMPENSATING:
        step.status = StepStatus.COMPENSATING
        step.percent = None
        position.emit(session, EventType.COMPENSATION_STARTED, {"step": step.name})
    return True


def _continue_compensation(session: Session, position: Position, step: RunStep) -> bool:
    """Continue a compensation that returned NotYet, unless its timeout has passed: an endless one must fail visibly."""
    assert step.attempt_started_at is not None, "the caller has checked that an attempt is in progress"
    if position.now - step.attempt_started_at < step.undo_timeout:
        return True
    overdue = f"{step.title}: not undone after {step.undo_timeout.total_seconds():.0f} s."
    _compensation_failed(session, position, step, overdue, final=False)
    settlement.advance(session, position)
    return False


def _leased(
    session: Session,
    position: Position,
    step: RunStep,
    move: Forward | Backward,
    settings: Settings,
    owner: str,
    token: UUID,
) -> Claim:
    run = position.run
    run.lease_token = token
    run.lease_owner = owner
    run.lease_until = run.due_at = position.now + settings.lease
    step.next_attempt_at = None
    step.heartbeat_at = position.now
    backward = isinstance(move, Backward)
    began = step.attempt_started_at or position.now
    return Claim(
        run_id=run.id,
        token=token,
        move=move,
        attempt=step.compensation_attempts if backward else step.attempts,
        time_left=time_left(step, position.now - began),
        interruptible=step.interruptible and not backward,
        starts_attempt=began == position.now,
        names=_names(session, run),
        tenant=_facts(position, settings),
        parts_done=step.parts_done,
    )


def _done(session: Session, position: Position, step: RunStep) -> None:
    if step.role is StepRole.PIVOT and position.run.status is not RunStatus.RUNNING:
        settlement.interrupt(session, position, step, None)
        return
    step.status = StepStatus.DONE
    step.finished_at = position.now
    step.percent = 100
    step.error = None
    settlement.clear_attempt(step)
    taken = ledger.hold(session, position.run, step.name, position.now)
    duration = settlement.milliseconds(step.started_at, position.now)
    match step.role:
        case StepRole.AFTERWARDS:
            position.emit(session, EventType.WELCOME_EMAIL_SENT, {"attempt": step.attempts})
        case StepRole.CONFIRMATION:
            facts = {"run_number": position.run.number, "abandoned": ledger.left_behind(session, position.tenant.id)}
            position.emit(session, EventType.ABSENCE_CONFIRMED, facts)
        case _:
            facts = {"step": step.name, "duration_ms": duration, "resources": taken}
            position.emit(session, EventType.STEP_COMPLETED, facts)


def _poll_later(session: Session, position: Position, step: RunStep, after: timedelta) -> None:
    if step.status is StepStatus.RUNNING and position.run.status is RunStatus.CANCELLING:
        settlement.interrupt(session, position, step, None)
        return
    step.next_attempt_at = position.run.due_at = position.now + after
    step.heartbeat_at = position.now
    step.lost_workers = 0


def _wait_for_capacity(position: Position, step: RunStep, held: Claim, error: BaseException) -> None:
    """Try the step again later in the same attempt. The time of the attempt begins again: scarcity is no failure."""
    longest = LONGEST_WAIT_FOR_MAIL if step.role is StepRole.AFTERWARDS else LONGEST_WAIT
    pause = _jittered(wait_for_capacity(_time_in_direction(position, step, held), longest))
    wait = max(pause, retry_after(error) or NO_WAIT)
    step.attempt_started_at = step.next_attempt_at = position.run.due_at = position.now + wait
    step.message = describe(error)
    step.heartbeat_at = position.now
    step.lost_workers = 0


def _scarcity_time_limit(step: RunStep) -> timedelta:
    return MAIL_TIME_LIMIT if step.role is StepRole.AFTERWARDS else SCARCITY_TIME_LIMIT


def _time_in_direction(position: Position, step: RunStep, held: Claim) -> timedelta:
    """The time since the step, or its compensation, began."""
    began = step.compensation_started_at if held.backward else step.started_at
    return position.now - (began or position.now)


def _failed(
    session: Session,
    position: Position,
    step: RunStep,
    error: str,
    *,
    final: bool,
    code: RunErrorCode,
    wait: timedelta | None = None,
) -> None:
    """Record a failed attempt: retry later while attempts are left, otherwise start compensating.

    ``wait`` is the time that an external system has asked to wait, at least.
    """
    again = not final and step.attempts < step.max_attempts
    step.error = error
    step.attempt_started_at = None
    _report_failure(session, position, step, error, again=again)
    if again:
        longest = MAX_CONFIRMATION_BACK_OFF if step.role is StepRole.CONFIRMATION else MAX_BACK_OFF
        pause = max(_back_off(step.attempts, longest), wait or NO_WAIT)
        if step.role is StepRole.STEP and step.attempts == step.max_attempts - 1:
            pause = max(pause, _jittered(PAUSE_BEFORE_LAST_ATTEMPT))
        step.next_attempt_at = position.run.due_at = position.now + pause
        return
    step.status = StepStatus.FAILED
    step.finished_at = position.now
    settlement.clear_attempt(step)
    if step.role not in FOLLOW_UPS:
        settlement.start_compensating(position, step, error, code)


def _report_failure(session: Session, position: Position, step: RunStep, error: str, *, again: bool) -> None:
    facts = {"attempt": step.attempts, "error": error}
    match step.role:
        case StepRole.AFTERWARDS:
            position.emit(session, EventType.WELCOME_EMAIL_FAILED, facts)
        case StepRole.CONFIRMATION:
            position.emit(session, EventType.ABSENCE_UNCONFIRMED, {**facts, "will_retry": again})
        case _:
            position.emit(session, EventType.STEP_FAILED, {"step": step.name, **facts, "will_retry": again})


def _undone(session: Session, position: Position, step: RunStep) -> None:
    step.status = StepStatus.COMPENSATED
    step.compensated_at = position.now
    step.compensation_error = None
    settlement.clear_attempt(step)
    freed = ledger.release(session, position.run, step.name, position.now)
    facts = {
        "step": step.name,
        "duration_ms": settlement.milliseconds(step.compensation_started_at, position.now),
        "released": freed,
    }
    position.emit(session, settlement.compensated_event_type(position.run), facts)


def _compensation_failed(
    session: Session, position: Position, step: RunStep, error: str, *, final: bool, wait: timedelta | None = None
) -> None:
    step.failing_since = step.failing_since or position.now
    step.lost_workers = 0
    limit = step.compensation_time_limit
    final = final or (limit is not None and position.now - step.failing_since >= limit)
    final = final or step.compensation_attempts >= step.max_compensation_attempts
    step.compensation_error = error
    step.attempt_started_at = None
    facts = {"step": step.name, "attempt": step.compensation_attempts, "error": error, "will_retry": not final}
    position.emit(session, EventType.COMPENSATION_FAILED, facts)
    if final:
        _stuck(session, position, step, error)
        return
    pause = max(_back_off(step.compensation_attempts), wait or NO_WAIT)
    step.next_attempt_at = position.run.due_at = position.now + pause


def _stuck(session: Session, position: Position, step: RunStep, error: str) -> None:
    """Mark the run STUCK. It is retried only after resumeCompensation."""
    step.status = StepStatus.COMPENSATION_FAILED
    step.compensation_error = error
    settlement.clear_attempt(step)
    position.run.status = RunStatus.STUCK
    position.run.stuck_since = position.now
    position.run.stuck_step = step.name
    position.run.stuck_error = error
    position.run.due_at = None
    held = ledger.still_held(session, position.run)
    position.emit(session, EventType.STUCK, {"step": step.name, "error": error, "held": held})


def _release_move(position: Position, step: RunStep, held: Claim, reason: StopReason) -> None:
    """Leave the move to another worker. An attempt that a restart of a worker or the database ended does not count."""
    wait = FIRST_BACK_OFF if reason is StopReason.DATABASE_UNAVAILABLE else timedelta(0)
    step.next_attempt_at = position.run.due_at = position.now + wait
    if reason is StopReason.LEASE_LOST:
        step.attempt_started_at = None
    elif held.starts_attempt:
        step.attempt_started_at = None
        _give_back_attempt(step, held)


def _give_back_attempt(step: RunStep, held: Claim) -> None:
    if held.backward:
        step.compensation_attempts -= 1
    else:
        step.attempts -= 1


def _names(session: Session, run: Run) -> ResourceNames:
    """The names of the resources in external systems: those of the run that took them."""
    source = session.get_one(Run, run.releases_run_id) if run.releases_run_id else run
    return ResourceNames(source.tenant_id, source.address, source.number)


def _facts(position: Position, settings: Settings) -> TenantFacts:
    tenant = position.tenant
    return TenantFacts(
        slug=tenant.slug,
        name=tenant.name,
        organisation_slug=position.organisation_slug,
        region=tenant.region,
        plan=tenant.plan_code,
        first_admin_email=tenant.first_admin_email,
        host_name=settings.hostname(tenant.address),
        url=settings.tenant_url(tenant.address),
        console_url=settings.console_url,
    )


def _back_off(attempts: int, longest: timedelta = MAX_BACK_OFF) -> timedelta:
    """Doubles from one second up to a limit, with 20 % jitter so that retries of many runs are spread."""
    return _jittered(min(FIRST_BACK_OFF * 2 ** (attempts - 1), longest))


def _jittered(whole: timedelta) -> timedelta:
    return whole * random.uniform(0.8, 1.2)  # noqa: S311  # spreads load, guards nothing
