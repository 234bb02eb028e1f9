"""What happened, in a sentence for people: one for each type of event that a timeline shows."""

from collections.abc import Callable, Mapping
from typing import Any

from models import Event, StepStatus
from provisioning.audit_feed import Progress
from provisioning.events import EventType
from provisioning.saga import UnknownStep
from provisioning.steps import saga
from schema.enums import ProvisioningEventKind

Kind = ProvisioningEventKind
Data = Mapping[str, Any]


def step_title(name: str) -> str:
    """A step's title; for a step that this release no longer has, its name as words."""
    try:
        return saga[name].title
    except UnknownStep:
        return name.replace("_", " ").capitalize()


def _step(data: Data) -> str:
    return step_title(str(data.get("step")))


def _seconds(milliseconds: object) -> str:
    return f"{milliseconds / 1000:.1f} s" if isinstance(milliseconds, int) else "some time"


def _because(reason: object) -> str:
    return f": {reason}" if reason else "."


def _failed(data: Data) -> str:
    more = "it will be tried again" if data.get("will_retry") else "no more attempts"
    return f"{_step(data)}: failed in attempt {data.get('attempt')}, {more}{_because(data.get('error'))}"


def _released(data: Data) -> str:
    return f"{len(data.get('released') or [])} resources were released and nothing is held."


def _cancel_requested(data: Data) -> str:
    at = f" during “{step_title(data['step_in_flight'])}”" if data.get("step_in_flight") else ""
    return f"A cancel was requested{at}{_because(data.get('reason'))}"


_TOLD: dict[EventType, tuple[Kind, Callable[[Data], str]]] = {
    EventType.STARTED: (Kind.RUN_STARTED, lambda data: f"Run {data.get('run_number')} began."),
    EventType.DEPROVISIONING_STARTED: (
        Kind.RUN_STARTED,
        lambda data: f"Run {data.get('run_number')} began to release everything.",
    ),
    EventType.STEP_STARTED: (Kind.STEP_STARTED, lambda data: f"{_step(data)}: begun."),
    EventType.STEP_COMPLETED: (
        Kind.STEP_SUCCEEDED,
        lambda data: f"{_step(data)}: done after {_seconds(data.get('duration_ms'))}.",
    ),
    EventType.STEP_FAILED: (Kind.STEP_FAILED, _failed),
    EventType.STEP_INTERRUPTED: (
        Kind.STEP_INTERRUPTED,
        lambda data: f"{_step(data)}: interrupted{_because(data.get('error'))}",
    ),
    EventType.CANCEL_REQUESTED: (Kind.CANCEL_REQUESTED, _cancel_requested),
    EventType.COMPENSATION_STARTED: (Kind.COMPENSATION_STARTED, lambda data: f"{_step(data)}: being undone."),
    EventType.STEP_COMPENSATED: (
        Kind.STEP_COMPENSATED,
        lambda data: f"{_step(data)}: undone after {_seconds(data.get('duration_ms'))}.",
    ),
    EventType.DEPROVISIONING_STEP_COMPLETED: (
        Kind.STEP_COMPENSATED,
        lambda data: f"{_step(data)}: undone after {_seconds(data.get('duration_ms'))}.",
    ),
    EventType.COMPENSATION_FAILED: (
        Kind.COMPENSATION_FAILED,
        lambda data: f"Undo: {_failed(data)}",
    ),
    EventType.COMPENSATION_RESUMED: (
        Kind.COMPENSATION_RESUMED,
        lambda data: f"The undo goes on{_because(data.get('reason'))}",
    ),
    EventType.STUCK: (
        Kind.RUN_STUCK,
        lambda data: f"{_step(data)}: the undo needs a person{_because(data.get('error'))}",
    ),
    EventType.COMPLETED: (
        Kind.RUN_FINISHED,
        lambda data: f"The tenant went live after {_seconds(data.get('total_duration_ms'))}.",
    ),
    EventType.FAILED: (Kind.RUN_FINISHED, lambda data: f"The run failed. {_released(data)}"),
    EventType.CANCELLED: (Kind.RUN_FINISHED, lambda data: f"The run was cancelled. {_released(data)}"),
    EventType.DEPROVISIONING_COMPLETED: (
        Kind.RUN_FINISHED,
        lambda data: f"The tenant is decommissioned. {_released(data)}",
    ),
}


def message_of(event: Event) -> tuple[Kind, str]:
    """The kind of a timeline's event, and its sentence. Raises KeyError for an event that no timeline shows."""
    kind, sentence = _TOLD[EventType(event.type)]
    return kind, sentence(event.data)


def progress_message(progress: Progress) -> str:
    """What a step says it is doing; of a quiet one, that somebody is at it."""
    at_it = "still being undone." if progress.status is StepStatus.COMPENSATING else "still at work."
    return f"{step_title(progress.step)}: {progress.message or at_it}"
