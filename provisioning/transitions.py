"""The transitions of a run: pure functions from a position and what happened to the values to write.

No session, no clock, no random number: the position has the time and the factor for back-offs. Every rule of a run
stands once, for one tenant as for five hundred: how a move begins stands here, how it ends in ``step_endings``, and how
the run ends in ``run_endings``. ``run_store`` writes what they return, guarded by the revision of the position.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from models import (
    FOLLOW_UPS,
    ResourceStatus,
    RunErrorCode,
    RunStatus,
    StepRole,
    StepStatus,
    TenantState,
)
from provisioning import run_endings, step_endings
from provisioning.actors import Actor
from provisioning.decisions import next_move, way_back
from provisioning.event_types import EventType
from provisioning.moves import Backward, Forward, Rest, Settle
from provisioning.position import MAY_BE_HELD, Position, StepValues
from provisioning.step_context import StopReason
from provisioning.step_endings import Failure
from provisioning.transition import Draft, Takes, Transition

MAX_LOST_WORKERS = 3
"""Attempts that may end because the worker was lost, even if ``max_attempts`` is lower: a restart is not a failure."""

MAX_WORKERS_LOST_UNDOING = 8
"""Attempts of a compensation in a row that may end because the worker was lost, before the run is STUCK. Fewer than its
attempts: an undo that kills its workers would stop other runs too."""

RELEASE_REASONS = frozenset({StopReason.SHUTTING_DOWN, StopReason.LEASE_LOST, StopReason.DATABASE_UNAVAILABLE})
"""Reasons in the control plane, not in the step: the move is released, and another worker claims it."""

PAUSE_AFTER_LOSSES = timedelta(seconds=8)
"""The pause after each lost worker of a step or an undo but the first. A worker performs many runs at a time, and which
of them ended it is not known. While a run that ends its workers pauses, the others go on and lose no attempts to it."""

ENOUGH_OF_A_LEASE = 0.75
"""A kept run keeps the end of its lease while this share of its length is left: Postgres then writes the row without
its indexes. The heartbeat extends it in time."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease that a claim takes: a random token that fences the writes of all other claims, and how long it lasts.

    ``owner`` is the worker process, for operators.
    """

    token: UUID
    owner: str
    length: timedelta


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
        step_endings.interrupt(draft, step, None)
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
        step_endings.undone(draft, step)
    else:
        step_endings.done(draft, step, parts_done)
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
        step_endings.interrupt(draft, step, None)
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
        step_endings.interrupt(draft, step, None)
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
        step_endings.interrupt(draft, step, None if failure.stopped else failure.error)
    elif failure.stopped in RELEASE_REASONS:
        step_endings.release_move(draft, step, failure.stopped, backward=backward, starts_attempt=starts_attempt)
    elif failure.scarce and step_endings.may_be_put_off(draft, step, backward=backward):
        step_endings.put_off(draft, step, failure, backward=backward)
    elif backward:
        step_endings.compensation_failed(draft, step, failure)
    else:
        final = failure.final and step.role is not StepRole.CONFIRMATION
        step_endings.failed(draft, step, replace(failure, final=final))
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
                step_endings.interrupt_idle(draft, step)
            elif step.status is StepStatus.COMPENSATING:
                step_endings.clear_attempt(draft, step)
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
            step_endings.clear_attempt(draft, step)
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
        step_endings.failed(draft, step, Failure(error, RunErrorCode.WORKER_LOST, final=True))
        _advance(draft)
        return False
    if lost and step.lost_workers > 1:
        _pause_after_losses(draft, draft.change(step, error=step_endings.WORKER_LOST))
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
        _pause_after_losses(draft, draft.change(step, error=step_endings.WORKER_LOST))
        return False
    else:
        return True
    step_endings.failed(draft, step, failure)
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
        step = step_endings.interrupt_idle(draft, step)
    step, lost = _count_loss(draft, step, taken_over=taken_over)
    used_up = not _waits(step) and step.compensation_attempts >= step.max_compensation_attempts
    if step.lost_workers >= MAX_WORKERS_LOST_UNDOING or used_up:
        error = f"{step.title}: the worker was lost while undoing it, in attempt {step.compensation_attempts}."
        step_endings.stuck(draft, step, error)
        return False
    if lost and step.lost_workers > 1:
        _pause_after_losses(draft, draft.change(step, compensation_error=step_endings.WORKER_LOST))
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
    step_endings.compensation_failed(draft, step, Failure(overdue, RunErrorCode.TIMED_OUT))
    _advance(draft)
    return False


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
            run_endings.end(draft, status)
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
