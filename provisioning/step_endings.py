"""How a step, or its undo, ends: what each result of a move changes in a draft."""

from dataclasses import dataclass
from datetime import timedelta

from models import FOLLOW_UPS, ResourceStatus, RunErrorCode, RunKind, RunStatus, StepRole, StepStatus
from provisioning.decisions import way_back
from provisioning.event_types import EventType
from provisioning.position import MAY_BE_HELD, StepValues
from provisioning.step_context import StopReason
from provisioning.transition import Draft, milliseconds

NO_WAIT = timedelta(0)
FIRST_BACK_OFF = timedelta(seconds=1)
MAX_BACK_OFF = timedelta(seconds=60)
MAX_CONFIRMATION_BACK_OFF = timedelta(hours=1)
"""Longer than other back-offs: nothing waits for an absence check, and an adapter may be unavailable for a day."""

WORKER_LOST = "Its worker was lost."

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


def done(draft: Draft, step: StepValues, parts_done: int | None) -> None:
    """The step is done, unless it is the pivot of a run that was cancelled meanwhile."""
    if step.role is StepRole.PIVOT and draft.run.status is not RunStatus.RUNNING:
        interrupt(draft, step, None)
        return
    if parts_done is not None:
        draft.change(step, parts_done=parts_done)
    draft.change(step, status=StepStatus.DONE, finished_at=draft.now, percent=100, error=None)
    clear_attempt(draft, step)
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


def undone(draft: Draft, step: StepValues) -> None:
    """The undo of the step is done: its resources are released."""
    draft.change(step, status=StepStatus.COMPENSATED, compensated_at=draft.now, compensation_error=None)
    clear_attempt(draft, step)
    released = draft.move_resources(step.name, MAY_BE_HELD, status=ResourceStatus.RELEASED, released_at=draft.now)
    duration = milliseconds(step.compensation_started_at, draft.now)
    draft.emit(
        compensated_event_type(draft.run.kind),
        {"step": step.name, "duration_ms": duration, "released": released},
    )


def compensated_event_type(kind: RunKind) -> EventType:
    """The event type of a completed compensation."""
    return EventType.DEPROVISIONING_STEP_COMPLETED if kind is RunKind.DECOMMISSION else EventType.STEP_COMPENSATED


def interrupt(draft: Draft, step: StepValues, error: str | None) -> StepValues:
    """Mark a step that began as INTERRUPTED. It is compensated, because it may have had effects."""
    draft.change(step, status=StepStatus.INTERRUPTED, finished_at=draft.now, error=error or step.error)
    draft.emit(EventType.STEP_INTERRUPTED, {"step": step.name, "error": error})
    return clear_attempt(draft, step)


def interrupt_idle(draft: Draft, step: StepValues) -> StepValues:
    """Interrupt a step that no worker performs: it waits for its next poll or attempt, or its worker was lost."""
    return interrupt(draft, step, step.error if step.next_attempt_at is not None else WORKER_LOST)


def clear_attempt(draft: Draft, step: StepValues) -> StepValues:
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


def release_move(
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


def put_off(draft: Draft, step: StepValues, failure: Failure, *, backward: bool) -> None:
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


def may_be_put_off(draft: Draft, step: StepValues, *, backward: bool) -> bool:
    """Whether scarcity is no failure of the step yet."""
    limit = MAIL_TIME_LIMIT if step.role is StepRole.AFTERWARDS else SCARCITY_TIME_LIMIT
    return _time_in_direction(draft, step, backward=backward) < limit


def _time_in_direction(draft: Draft, step: StepValues, *, backward: bool) -> timedelta:
    """The time since the step, or its compensation, began."""
    began = step.compensation_started_at if backward else step.started_at
    return draft.now - (began or draft.now)


def failed(draft: Draft, step: StepValues, failure: Failure) -> None:
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
    clear_attempt(draft, step)
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


def compensation_failed(draft: Draft, step: StepValues, failure: Failure) -> None:
    """Record a failed attempt to undo the step: retry later while attempts and time are left, otherwise it is STUCK."""
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
        stuck(draft, step, failure.error)
        return
    due = draft.now + max(_back_off(draft, step.compensation_attempts, MAX_BACK_OFF), failure.wait)
    draft.change(step, next_attempt_at=due)
    draft.change_run(due_at=due)


def stuck(draft: Draft, step: StepValues, error: str) -> None:
    """Mark the run STUCK. It is retried only after resumeCompensation."""
    step = draft.change(step, status=StepStatus.COMPENSATION_FAILED, compensation_error=error)
    clear_attempt(draft, step)
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


def wait_for_capacity(waited: timedelta, longest: timedelta = LONGEST_WAIT) -> timedelta:
    """How long to wait now, after ``waited`` in all: half as long again, so that the waits grow by themselves."""
    return min(max(waited / 2, SHORTEST_WAIT), longest)
