"""The transitions of a run: pure functions from a position and what happened to the values to write.

No session, no clock, no random number: the position has the time and the factor for back-offs. Every rule of a run
stands here once, for one tenant as for five hundred. ``run_store`` writes what they return, guarded by the revision of
the position.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from models import (
    FOLLOW_UPS,
    ResourceStatus,
    RunErrorCode,
    RunKind,
    RunStatus,
    StepRole,
    StepStatus,
    TenantState,
)
from provisioning import lifecycle
from provisioning.actors import PLATFORM, Actor
from provisioning.decisions import next_move, way_back
from provisioning.event_types import EventType
from provisioning.moves import Backward, Forward, Rest, Settle
from provisioning.position import MAY_BE_HELD, Position, RunValues, StepValues
from provisioning.step_context import StopReason
from provisioning.transition import Draft, Takes, Transition

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

WORKER_LOST = "Its worker was lost."

PAUSE_AFTER_LOSSES = timedelta(seconds=8)
"""The pause after each lost worker of a step or an undo but the first. A worker performs many runs at a time, and which
of them ended it is not known. While a run that ends its workers pauses, the others go on and lose no attempts to it."""

PAUSE_BEFORE_LAST_ATTEMPT = timedelta(seconds=90)
"""The pause before the last attempt of a step, so that an external system that fails for a minute fails no run."""

SCARCITY_TIME_LIMIT = timedelta(hours=1)
"""How long after its beginning a step or an undo may wait without an attempt being counted. Later, scarcity counts as a
failure like any other, so that the run ends."""

SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=30)

MAIL_TIME_LIMIT = timedelta(days=1)
"""The same for welcome e-mails, which no run waits for: a relay may refuse a mail for hours."""

LONGEST_WAIT_FOR_MAIL = timedelta(minutes=30)

ENOUGH_OF_A_LEASE = 0.75
"""A kept run keeps the end of its lease while this share of its length is left: Postgres then writes the row without
its indexes. The heartbeat extends it in time."""

RETRY_ENDING_AFTER = timedelta(minutes=1)
"""When a run that could not end, because it still holds resources, is tried again."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease that a claim takes: a random token that fences the writes of all other claims, and how long it lasts.

    ``owner`` is the worker process, for operators.
    """

    token: UUID
    owner: str
    length: timedelta


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a move failed, without the exception. ``stopped`` is set for a step that its worker has stopped.

    ``final``: a further attempt would not help. ``scarce``: something was not free, so no attempt is counted.
    ``wait``: the time that an external system has asked to wait, at least.
    """

    error: str
    code: RunErrorCode
    stopped: StopReason | None = None
    final: bool = False
    scarce: bool = False
    wait: timedelta = NO_WAIT


def claim(position: Position, move: Forward | Backward, lease: Lease, takes: Takes = ()) -> Transition | None:
    """A worker claims a move: its attempt begins, or goes on. None if the run is not due, or has another next move.

    The attempt is counted before it is performed, so that a step that kills its process runs out of attempts too. The
    transition has no ``claimed`` move if the attempts or the time of the step are used up.
    """
    if not is_due(position) or next_move(position.run, position.steps.values()) != move:
        return None
    draft = Draft(position)
    # This fences the owner of a lapsed lease, even if this claim ends in a failure and sets no new token.
    draft.release_lease(due=position.now)
    _claim(draft, move, lease, takes, taken_over=position.run.owned)
    return draft.transition()


def claim_again(position: Position, move: Forward | Backward, lease: Lease) -> Transition:
    """A claim with a lost reply: the row has its token. If a cancel came in between, the lease is released at once."""
    draft = Draft(position)
    step = draft.steps[move.step]
    if next_move(draft.run, draft.steps.values()) == move:
        if step.attempt_started_at == step.heartbeat_at:
            draft.change(step, attempt_started_at=position.now)  # its first poll: none of its timeout is used yet
        _lease(draft, move, lease)
        return draft.transition()
    if step.status is StepStatus.RUNNING:
        _interrupt(draft, step, None)
    draft.release_lease(due=position.now)
    _advance(draft)
    return draft.transition()


def step_succeeded(
    position: Position,
    move: Forward | Backward,
    keep: Lease | None = None,
    takes: Callable[[str], Takes] | None = None,
    parts_done: int | None = None,
) -> Transition:
    """The step, or its undo, is done. With ``keep``, the next move in the same direction is claimed as well."""
    draft = Draft(position)
    draft.release_lease(due=position.now)
    step = draft.steps[move.step]
    if isinstance(move, Backward):
        _undone(draft, step)
    else:
        _done(draft, step, parts_done)
    _advance(draft, move, keep, takes)
    return draft.transition()


def step_waits(position: Position, move: Forward | Backward, after: timedelta, *, kept: bool = False) -> Transition:
    """The step, or its undo, has not reached its goal yet: it is polled again after this time.

    With ``kept``, its worker keeps the lease and polls it again and again, which is written only here: so an attempt
    that waits is not lost with its worker. Those that it has lost stay counted: a later poll may end this one too.
    """
    draft = Draft(position)
    step = draft.steps[move.step]
    interrupted = step.status is StepStatus.RUNNING and draft.run.status is RunStatus.CANCELLING
    if not interrupted:
        step = draft.change(step, next_attempt_at=position.now + after, heartbeat_at=position.now)
        if kept:
            draft.claimed = move
            return draft.transition()
        draft.change(step, lost_workers=0)
    draft.release_lease(due=position.now)
    if interrupted:
        _interrupt(draft, step, None)
    else:
        draft.change_run(due_at=position.now + after)
    _advance(draft)
    return draft.transition()


def part_done(
    position: Position,
    move: Forward | Backward,
    parts: int,
    keep: Lease | None = None,
    takes: Callable[[str], Takes] | None = None,
) -> Transition:
    """So many parts of the step are done, and the next follows at once, in the same attempt. ``keep`` claims it too."""
    draft = Draft(position)
    draft.release_lease(due=position.now)
    step = draft.change(draft.steps[move.step], parts_done=parts, lost_workers=0)
    if step.status is StepStatus.RUNNING and draft.run.status is RunStatus.CANCELLING:
        _interrupt(draft, step, None)
    else:
        draft.change(step, next_attempt_at=position.now, heartbeat_at=position.now)
    _advance(draft, move, keep, takes)
    return draft.transition()


def step_failed(position: Position, move: Forward | Backward, failure: Failure, *, starts_attempt: bool) -> Transition:
    """The step, or its undo, has failed: it is retried later, the run is undone, or the run is STUCK."""
    draft = Draft(position)
    draft.release_lease(due=position.now)
    step, backward = draft.steps[move.step], isinstance(move, Backward)
    if draft.run.status is RunStatus.CANCELLING and not backward:
        _interrupt(draft, step, None if failure.stopped else failure.error)
    elif failure.stopped in RELEASE_REASONS:
        _release_move(draft, step, failure.stopped, backward=backward, starts_attempt=starts_attempt)
    elif failure.scarce and _time_in_direction(draft, step, backward=backward) < _scarcity_time_limit(step):
        _wait_for_capacity(draft, step, failure, backward=backward)
    elif backward:
        _compensation_failed(draft, step, failure)
    else:
        _failed(draft, step, replace(failure, final=failure.final and step.role is not StepRole.CONFIRMATION))
    _advance(draft)
    return draft.transition()


def cancel_requested(
    position: Position, by: Actor, reason: str | None, *, leave_undo_to_workers: bool = False
) -> Transition:
    """A cancel is requested. No forward step is claimed after it, and the run cannot make the tenant ACTIVE.

    If no worker owns the run, its undo starts at once, or is due at once for the workers. A STUCK run stays STUCK: it
    waits for resumeCompensation.
    """
    draft = Draft(position)
    run, now = draft.run, position.now
    in_flight = next((step.name for step in draft.steps.values() if step.status is StepStatus.RUNNING), None)
    stuck = run.status is RunStatus.STUCK
    draft.change_run(
        status=run.status if stuck else RunStatus.CANCELLING,
        cancel_requested_at=now,
        cancel_actor_kind=by.kind,
        cancel_actor_id=by.id,
        cancel_actor_name=by.email or by.name,
        cancel_reason=reason,
        cancel_step_in_flight=in_flight,
    )
    draft.emit(EventType.CANCEL_REQUESTED, {"reason": reason, "step_in_flight": in_flight}, by)
    draft.change_tenant(updated_at=now)
    owned = run.lease_until is not None and run.lease_until > now
    if not owned and not stuck:
        draft.release_lease(due=now)
    if not owned and not stuck and not leave_undo_to_workers:
        for step in list(draft.steps.values()):
            if step.status is StepStatus.RUNNING:
                _interrupt_idle(draft, step)
            elif step.status is StepStatus.COMPENSATING:
                _clear_attempt(draft, step)
        _advance(draft)
    return draft.transition(interrupts_owner=owned)


def compensation_resumed(position: Position, skip: Sequence[str], by: Actor, reason: str | None) -> Transition:
    """A STUCK undo is resumed, with all its attempts. The steps in ``skip`` are abandoned with their resources."""
    draft = Draft(position)
    now, abandoned = position.now, []
    for name in dict.fromkeys(skip):
        draft.change(draft.steps[name], status=StepStatus.ABANDONED)
        abandoned += _abandon(draft, name, by, reason)
    draft.change_run(status=way_back(draft.run), due_at=now, stuck_since=None, stuck_step=None, stuck_error=None)
    for step in list(draft.steps.values()):
        if step.status is StepStatus.COMPENSATION_FAILED:
            draft.change(
                step,
                status=StepStatus.COMPENSATING,
                compensation_attempts=0,
                compensation_started_at=None,
                compensation_delayed_at=None,
            )
    draft.emit(EventType.COMPENSATION_RESUMED, {"skipped": list(skip), "abandoned": abandoned, "reason": reason}, by)
    draft.change_tenant(updated_at=now)
    _advance(draft)
    return draft.transition()


def due_without_owner(position: Position) -> Transition | None:
    """The run is due: it ends if no step is left, or its next move is announced. None if it is not due any more."""
    if not is_due(position):
        return None
    draft = Draft(position)
    _advance(draft)
    return draft.transition()


def _abandon(draft: Draft, step: str, by: Actor, reason: str | None) -> list[dict[str, str]]:
    name = by.email or by.name
    abandoned = draft.move_resources(
        step,
        MAY_BE_HELD,
        status=ResourceStatus.ABANDONED,
        abandoned_at=draft.now,
        abandoned_by_kind=by.kind,
        abandoned_by_id=by.id,
        abandoned_by=name,
        abandoned_reason=reason,
    )
    how = {"step": step, "run_number": draft.before.names.run_number, "by": name, "at": draft.now.isoformat()}
    draft.left_behind += tuple({**resource, **how, "reason": reason} for resource in abandoned)
    return abandoned


def follow_up_requested(position: Position, role: StepRole, event: EventType, by: Actor) -> Transition:
    """The follow-up of an ended run is performed again from its beginning."""
    draft = Draft(position)
    for step in list(draft.steps.values()):
        if step.role is role:
            draft.change(
                step, status=StepStatus.WAITING, attempts=0, parts_done=0, error=None, started_at=None, finished_at=None
            )
            _clear_attempt(draft, step)
    draft.release_lease(due=position.now)
    draft.emit(event, {}, by)
    _advance(draft)
    return draft.transition()


def is_due(position: Position) -> bool:
    """Whether the run needs a worker now. A run with an owner becomes due at the end of its lease."""
    return position.run.due_at is not None and position.run.due_at <= position.now


def owned_move(position: Position) -> Forward | Backward:
    """The move that the lease of an owned run is for. A cancel may have come in between."""
    running = [step.name for step in position.steps.values() if step.status is StepStatus.RUNNING]
    if running:
        return Forward(running[0])
    move = next_move(position.run, position.steps.values())
    assert isinstance(move, Forward | Backward), "an owned run has a move"
    return move


def wait_for_capacity(waited: timedelta, longest: timedelta = LONGEST_WAIT) -> timedelta:
    """How long to wait now, after ``waited`` in all: half as long again, so that the waits grow by themselves."""
    return min(max(waited / 2, SHORTEST_WAIT), longest)


def milliseconds(since: datetime | None, until: datetime) -> int:
    """The time between the two, in whole milliseconds. Zero if ``since`` is None."""
    return round((until - since).total_seconds() * 1000) if since else 0


# Beginning a move


def _claim(draft: Draft, move: Forward | Backward, lease: Lease, takes: Takes, *, taken_over: bool = False) -> None:
    """Begin or continue an attempt. ``taken_over``: the owner before has not given its lease back."""
    step = draft.steps[move.step]
    if isinstance(move, Backward):
        ready = _begin_compensation(draft, step, taken_over=taken_over)
    else:
        ready = _begin(draft, step, takes, taken_over=taken_over)
    if ready:
        _lease(draft, move, lease)


def _lease(draft: Draft, move: Forward | Backward, lease: Lease) -> None:
    until = _end_of_lease(draft, lease)
    draft.change_run(lease_token=lease.token, lease_owner=lease.owner, lease_until=until, due_at=until)
    draft.change(draft.steps[move.step], next_attempt_at=None, heartbeat_at=draft.now)
    draft.claimed, draft.wake_up = move, None


def _end_of_lease(draft: Draft, lease: Lease) -> datetime:
    own = draft.before.run.lease_until
    return own if own and own >= draft.now + lease.length * ENOUGH_OF_A_LEASE else draft.now + lease.length


def _begin(draft: Draft, step: StepValues, takes: Takes, *, taken_over: bool) -> bool:
    """Begin or continue an attempt of the step. Returns False if it must not be performed."""
    if step.role is StepRole.AFTERWARDS and draft.tenant.state is not TenantState.ACTIVE:
        draft.change_run(due_at=None)
        return False
    step, lost = _count_loss(draft, step, taken_over=taken_over)
    if _waits(step):
        return _continue_attempt(draft, step, lost=lost)
    if step.attempts >= max(step.max_attempts, MAX_LOST_WORKERS):
        error = f"{step.title}: the worker was lost in each of {step.attempts} attempts."
        _failed(draft, step, Failure(error, RunErrorCode.WORKER_LOST, final=True))
        _advance(draft)
        return False
    if lost and step.lost_workers > 1:
        _pause_after_losses(draft, draft.change(step, error=WORKER_LOST))
        return False
    _begin_attempt(draft, step, takes)
    return True


def _begin_attempt(draft: Draft, step: StepValues, takes: Takes) -> None:
    step = draft.change(
        step,
        attempts=step.attempts + 1,
        status=StepStatus.RUNNING,
        attempt_started_at=draft.now,
        started_at=step.started_at or draft.now,
        percent=None,
        message=None,
    )
    if draft.run.status is RunStatus.QUEUED:
        draft.change_run(status=RunStatus.RUNNING, started_at=draft.now)
    draft.intend(step, takes)
    if step.role not in FOLLOW_UPS:
        draft.emit(EventType.STEP_STARTED, {"step": step.name, "attempt": step.attempts})


def _continue_attempt(draft: Draft, step: StepValues, *, lost: bool) -> bool:
    """Continue an attempt that waited. Returns False if its timeout has passed, or if polling it has ended workers."""
    if lost and step.lost_workers >= MAX_LOST_WORKERS:
        error = f"{step.title}: {step.lost_workers} workers were lost while it waited."
        failure = Failure(error, RunErrorCode.WORKER_LOST)
    elif draft.now - _began(step) >= step.timeout:
        overdue = f"{step.title}: not done after {step.timeout.total_seconds():.0f} s."
        failure = Failure(overdue, RunErrorCode.TIMED_OUT)
    elif lost and step.lost_workers > 1:
        _pause_after_losses(draft, draft.change(step, error=WORKER_LOST))
        return False
    else:
        return True
    _failed(draft, step, failure)
    _advance(draft)
    return False


def _waits(step: StepValues) -> bool:
    """Whether an attempt of the step, or of its undo, waits: for its next poll or part, or for capacity."""
    return step.attempt_started_at is not None and step.next_attempt_at is not None


def _began(step: StepValues) -> datetime:
    assert step.attempt_started_at is not None, "the step has an attempt"
    return step.attempt_started_at


def _count_loss(draft: Draft, step: StepValues, *, taken_over: bool) -> tuple[StepValues, bool]:
    """Count the worker of an attempt that has neither ended nor been given back. Returns whether there was one."""
    lost = step.attempt_started_at is not None and (taken_over or not _waits(step))
    return (draft.change(step, lost_workers=step.lost_workers + 1) if lost else step), lost


def _begin_compensation(draft: Draft, step: StepValues, *, taken_over: bool) -> bool:
    """Begin or continue a compensation of the step. Returns False if its attempts or its timeout are used up."""
    if step.status is StepStatus.RUNNING:
        step = _interrupt_idle(draft, step)
    step, lost = _count_loss(draft, step, taken_over=taken_over)
    used_up = not _waits(step) and step.compensation_attempts >= step.max_compensation_attempts
    if step.lost_workers >= MAX_WORKERS_LOST_UNDOING or used_up:
        error = f"{step.title}: the worker was lost while undoing it, in attempt {step.compensation_attempts}."
        _stuck(draft, step, error)
        return False
    if lost and step.lost_workers > 1:
        _pause_after_losses(draft, draft.change(step, compensation_error=WORKER_LOST))
        return False
    if _waits(step):
        return _continue_compensation(draft, step)
    began = step.status is not StepStatus.COMPENSATING
    draft.change(
        step,
        compensation_attempts=step.compensation_attempts + 1,
        attempt_started_at=draft.now,
        message=None,
        compensation_started_at=step.compensation_started_at or draft.now,
        **({"status": StepStatus.COMPENSATING, "percent": None} if began else {}),
    )
    if began:
        draft.emit(EventType.COMPENSATION_STARTED, {"step": step.name})
    return True


def _pause_after_losses(draft: Draft, step: StepValues) -> None:
    """Put the next attempt off, or the next poll of one that waits."""
    due = draft.now + PAUSE_AFTER_LOSSES * draft.before.jitter
    began = step.attempt_started_at if _waits(step) else None
    draft.change(step, message=None, attempt_started_at=began, next_attempt_at=due)
    draft.change_run(due_at=due)


def _continue_compensation(draft: Draft, step: StepValues) -> bool:
    """Continue a compensation that waited, unless its timeout has passed: an endless one must fail visibly."""
    if draft.now - _began(step) < step.undo_timeout:
        return True
    overdue = f"{step.title}: not undone after {step.undo_timeout.total_seconds():.0f} s."
    _compensation_failed(draft, step, Failure(overdue, RunErrorCode.TIMED_OUT))
    _advance(draft)
    return False


# Ending a move


def _done(draft: Draft, step: StepValues, parts_done: int | None) -> None:
    if step.role is StepRole.PIVOT and draft.run.status is not RunStatus.RUNNING:
        _interrupt(draft, step, None)
        return
    if parts_done is not None:
        draft.change(step, parts_done=parts_done)
    draft.change(step, status=StepStatus.DONE, finished_at=draft.now, percent=100, error=None)
    _clear_attempt(draft, step)
    taken = draft.move_resources(step.name, [ResourceStatus.INTENDED], status=ResourceStatus.HELD, held_at=draft.now)
    match step.role:
        case StepRole.AFTERWARDS:
            draft.emit(EventType.WELCOME_EMAIL_SENT, {"attempt": step.attempts})
        case StepRole.CONFIRMATION:
            facts = {"run_number": draft.run.number, "abandoned": list(draft.left_behind)}
            draft.emit(EventType.ABSENCE_CONFIRMED, facts)
        case _:
            duration = milliseconds(step.started_at, draft.now)
            draft.emit(EventType.STEP_COMPLETED, {"step": step.name, "duration_ms": duration, "resources": taken})


def _undone(draft: Draft, step: StepValues) -> None:
    draft.change(step, status=StepStatus.COMPENSATED, compensated_at=draft.now, compensation_error=None)
    _clear_attempt(draft, step)
    released = draft.move_resources(step.name, MAY_BE_HELD, status=ResourceStatus.RELEASED, released_at=draft.now)
    duration = milliseconds(step.compensation_started_at, draft.now)
    draft.emit(
        compensated_event_type(draft.run.kind),
        {"step": step.name, "duration_ms": duration, "released": released},
    )


def compensated_event_type(kind: RunKind) -> EventType:
    """The event type of a completed compensation."""
    return EventType.DEPROVISIONING_STEP_COMPLETED if kind is RunKind.DECOMMISSION else EventType.STEP_COMPENSATED


def _interrupt(draft: Draft, step: StepValues, error: str | None) -> StepValues:
    """Mark a step that began as INTERRUPTED. It is compensated, because it may have had effects."""
    draft.change(step, status=StepStatus.INTERRUPTED, finished_at=draft.now, error=error or step.error)
    draft.emit(EventType.STEP_INTERRUPTED, {"step": step.name, "error": error})
    return _clear_attempt(draft, step)


def _interrupt_idle(draft: Draft, step: StepValues) -> StepValues:
    """Interrupt a step that no worker performs: it waits for its next poll or attempt, or its worker was lost."""
    waits = step.next_attempt_at is not None
    return _interrupt(draft, step, step.error if waits else WORKER_LOST)


def _clear_attempt(draft: Draft, step: StepValues) -> StepValues:
    """Clear the step's current attempt, its progress message and its failures so far: no worker performs it."""
    return draft.change(
        step,
        message=None,
        attempt_started_at=None,
        next_attempt_at=None,
        heartbeat_at=None,
        failing_since=None,
        lost_workers=0,
    )


def _release_move(
    draft: Draft, step: StepValues, reason: StopReason | None, *, backward: bool, starts_attempt: bool
) -> None:
    """Leave the move to another worker. An attempt that a restart of a worker or the database ended does not count."""
    due = draft.now + (FIRST_BACK_OFF if reason is StopReason.DATABASE_UNAVAILABLE else NO_WAIT)
    draft.change_run(due_at=due)
    step = draft.change(step, next_attempt_at=due)
    if reason is StopReason.LEASE_LOST or starts_attempt:
        step = draft.change(step, attempt_started_at=None)
    if reason is not StopReason.LEASE_LOST and starts_attempt:
        counter = "compensation_attempts" if backward else "attempts"
        draft.change(step, **{counter: getattr(step, counter) - 1})


def _wait_for_capacity(draft: Draft, step: StepValues, failure: Failure, *, backward: bool) -> None:
    """Try the step again later in the same attempt. The time of the attempt begins again: scarcity is no failure."""
    longest = LONGEST_WAIT_FOR_MAIL if step.role is StepRole.AFTERWARDS else LONGEST_WAIT
    waited = _time_in_direction(draft, step, backward=backward)
    pause = wait_for_capacity(waited, longest) * draft.before.jitter
    due = draft.now + max(pause, failure.wait)
    draft.change(
        step,
        attempt_started_at=due,
        next_attempt_at=due,
        message=failure.error,
        heartbeat_at=draft.now,
        lost_workers=0,
    )
    draft.change_run(due_at=due)


def _scarcity_time_limit(step: StepValues) -> timedelta:
    return MAIL_TIME_LIMIT if step.role is StepRole.AFTERWARDS else SCARCITY_TIME_LIMIT


def _time_in_direction(draft: Draft, step: StepValues, *, backward: bool) -> timedelta:
    """The time since the step, or its compensation, began."""
    began = step.compensation_started_at if backward else step.started_at
    return draft.now - (began or draft.now)


def _failed(draft: Draft, step: StepValues, failure: Failure) -> None:
    """Record a failed attempt: retry later while attempts are left, otherwise start compensating."""
    again = not failure.final and step.attempts < step.max_attempts
    step = draft.change(step, error=failure.error, attempt_started_at=None, lost_workers=0)
    _emit_failure(draft, step, failure.error, again=again)
    if again:
        longest = MAX_CONFIRMATION_BACK_OFF if step.role is StepRole.CONFIRMATION else MAX_BACK_OFF
        pause = max(_back_off(draft, step.attempts, longest), failure.wait)
        if step.role is StepRole.STEP and step.attempts == step.max_attempts - 1:
            pause = max(pause, PAUSE_BEFORE_LAST_ATTEMPT * draft.before.jitter)
        draft.change(step, next_attempt_at=draft.now + pause)
        draft.change_run(due_at=draft.now + pause)
        return
    step = draft.change(step, status=StepStatus.FAILED, finished_at=draft.now)
    _clear_attempt(draft, step)
    if step.role not in FOLLOW_UPS:
        draft.change_run(
            status=way_back(draft.run), failed_step=step.name, error=failure.error, error_code=failure.code
        )


def _emit_failure(draft: Draft, step: StepValues, error: str, *, again: bool) -> None:
    facts: dict[str, object] = {"attempt": step.attempts, "error": error}
    match step.role:
        case StepRole.AFTERWARDS:
            draft.emit(EventType.WELCOME_EMAIL_FAILED, facts)
        case StepRole.CONFIRMATION:
            draft.emit(EventType.ABSENCE_UNCONFIRMED, {**facts, "will_retry": again})
        case _:
            draft.emit(EventType.STEP_FAILED, {"step": step.name, **facts, "will_retry": again})


def _compensation_failed(draft: Draft, step: StepValues, failure: Failure) -> None:
    since = step.failing_since or draft.now
    limit = step.compensation_time_limit
    final = failure.final or (limit is not None and draft.now - since >= limit)
    final = final or step.compensation_attempts >= step.max_compensation_attempts
    step = draft.change(
        step, failing_since=since, lost_workers=0, compensation_error=failure.error, attempt_started_at=None
    )
    draft.emit(
        EventType.COMPENSATION_FAILED,
        {
            "step": step.name,
            "attempt": step.compensation_attempts,
            "error": failure.error,
            "will_retry": not final,
        },
    )
    if final:
        _stuck(draft, step, failure.error)
        return
    due = draft.now + max(_back_off(draft, step.compensation_attempts, MAX_BACK_OFF), failure.wait)
    draft.change(step, next_attempt_at=due)
    draft.change_run(due_at=due)


def _stuck(draft: Draft, step: StepValues, error: str) -> None:
    """Mark the run STUCK. It is retried only after resumeCompensation."""
    step = draft.change(step, status=StepStatus.COMPENSATION_FAILED, compensation_error=error)
    _clear_attempt(draft, step)
    draft.change_run(
        status=RunStatus.STUCK, stuck_since=draft.now, stuck_step=step.name, stuck_error=error, due_at=None
    )
    held = [resource.as_fact for resource in draft.resources if resource.status in MAY_BE_HELD]
    draft.emit(EventType.STUCK, {"step": step.name, "error": error, "held": held})
    draft.change_tenant(updated_at=draft.now)


def _back_off(draft: Draft, attempts: int, longest: timedelta) -> timedelta:
    """Doubles from one second up to a limit, with jitter so that retries of many runs are spread."""
    doubled: timedelta = FIRST_BACK_OFF * 2 ** (attempts - 1)
    return min(doubled, longest) * draft.before.jitter


# The next move


def _advance(
    draft: Draft,
    after: Forward | Backward | None = None,
    keep: Lease | None = None,
    takes: Callable[[str], Takes] | None = None,
) -> None:
    """Start the next move: keep the run for it, or wake a worker, if it is due. An ended run may have a follow-up."""
    move = next_move(draft.run, draft.steps.values())
    match move:
        case Settle(status):
            _end(draft, status)
            if draft.run.finished_at is not None:
                _advance(draft, after, keep, takes)
        case Forward() | Backward():
            if draft.run.due_at is None or draft.run.due_at > draft.now:
                return
            if keep is not None and type(move) is type(after):
                _claim(draft, move, keep, takes(move.step) if takes else ())
            else:
                _wake(draft, move)
        case Rest():
            draft.change_run(due_at=None)


def _wake(draft: Draft, move: Forward | Backward) -> None:
    draft.wake_up = move
    draft.change_run(dispatched_at=draft.now)


def _end(draft: Draft, status: RunStatus) -> None:
    """End the run, and change the tenant with it. A run that still holds resources does not end: it is tried again."""
    run = draft.run
    held = [resource for resource in draft.resources if resource.status in MAY_BE_HELD]
    if status is not RunStatus.SUCCEEDED and held:
        draft.change_run(due_at=draft.now + RETRY_ENDING_AFTER)
        return
    draft.change_run(status=status, finished_at=draft.now, due_at=draft.now)
    facts: dict[str, object]
    match status:
        case RunStatus.SUCCEEDED:
            _change_state(draft, TenantState.ACTIVE)
            facts = {"resources": [resource.as_fact for resource in held]}
            draft.emit(EventType.COMPLETED, {**facts, **_duration(draft)})
        case RunStatus.CANCELLED:
            facts = {"run_number": run.number, "reason": run.cancel_reason, "cancelled_by": run.cancel_actor_name}
            _end_undone(draft, TenantState.PENDING, EventType.CANCELLED, facts, by=_canceller(run))
        case RunStatus.FAILED:
            facts = {"failed_step": run.failed_step, "error": run.error}
            _end_undone(draft, TenantState.FAILED, EventType.FAILED, facts)
        case RunStatus.DECOMMISSIONED:
            facts = {"run_number": run.number}
            _end_undone(draft, TenantState.DECOMMISSIONED, EventType.DEPROVISIONING_COMPLETED, facts)
        case _:
            raise ValueError(f"{status} is not a final status")


def _end_undone(
    draft: Draft, state: TenantState, event_type: EventType, facts: dict[str, object], by: Actor = PLATFORM
) -> None:
    _change_state(draft, state)
    released = [resource.as_fact for resource in draft.resources if resource.status is ResourceStatus.RELEASED]
    became = {"released": released, "abandoned": list(draft.left_behind)}
    draft.emit(event_type, {**facts, **became, **_duration(draft)}, by)


def _change_state(draft: Draft, to: TenantState) -> None:
    tenant = draft.before.tenant
    lifecycle.require_transition(tenant.state, to)
    draft.change_tenant(state=to, version=tenant.version + 1, updated_at=draft.now)


def _canceller(run: RunValues) -> Actor:
    """The actor of the end of a cancelled run: the one that requested the cancel."""
    assert run.cancel_actor_kind, "a cancelled run has the actor of its cancel"
    assert run.cancel_actor_id, "a cancelled run has the actor of its cancel"
    assert run.cancel_actor_name, "a cancelled run has the actor of its cancel"
    return Actor(run.cancel_actor_kind, run.cancel_actor_id, run.cancel_actor_name)


def _duration(draft: Draft) -> dict[str, object]:
    return {"total_duration_ms": milliseconds(draft.run.created_at, draft.now)}
