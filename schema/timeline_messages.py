"""The messages of timeline entries: one sentence for each type of event."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models import Event, StepStatus
from provisioning.audit_feed import Progress
from provisioning.event_types import EventType
from provisioning.saga import UnknownStep
from provisioning.steps import saga
from schema.enums import ProvisioningEventKind

Kind = ProvisioningEventKind
Data = Mapping[str, Any]

MAX_ABANDONED_SHOWN = 6
"""Abandoned resources that a message names. A run has up to six; the event has all of them."""


def step_title(name: str) -> str:
    """The title of a step; for a step that this release does not have any more, its name as words."""
    try:
        return saga[name].title
    except UnknownStep:
        return name.replace("_", " ").capitalize()


def _step(data: Data) -> str:
    return step_title(str(data.get("step")))


def _seconds(milliseconds: object) -> str:
    return f"{milliseconds / 1000:.1f} s" if isinstance(milliseconds, int) else "some time"


def _end(reason: object) -> str:
    """The end of a sentence: the reason, if there is one."""
    return f": {reason}" if reason else "."


def _failed(attempt_of: str) -> Callable[[Data], str]:
    def message(data: Data) -> str:
        outlook = "will be retried" if data.get("will_retry") else "will not be retried"
        attempt = f"{attempt_of} {data.get('attempt')}"
        return f"{_step(data)}: {attempt} failed and {outlook}{_end(data.get('error'))}"

    return message


def _released(data: Data) -> str:
    """What became of the resources. An event of an earlier release does not say whether one was abandoned."""
    released = _count(data.get("released") or [], "was released", "were released")
    abandoned = data.get("abandoned")
    if abandoned is None:
        return f"{released}."
    return f"{released}. {_left_behind(abandoned)}" if abandoned else f"{released} and nothing is held."


def _left_behind(abandoned: Sequence[Data]) -> str:
    shown = [_abandoned(resource) for resource in abandoned[:MAX_ABANDONED_SHOWN]]
    more = [f"{len(abandoned) - len(shown)} more"] if len(abandoned) > len(shown) else []
    return f"{_count(abandoned, 'was', 'were')} abandoned and may still exist: {'; '.join(shown + more)}"


def _abandoned(resource: Data) -> str:
    """One resource that was left behind, with who, when and why."""
    by = f" by {resource['by']}" if resource.get("by") else ""
    at = f" on {str(resource['at'])[:16].replace('T', ' ')} UTC" if resource.get("at") else ""
    reason = f": {resource['reason']}" if resource.get("reason") else ""
    return f"{resource.get('kind')} {resource.get('name')}, abandoned{by}{at}{reason}"


def _count(resources: Sequence[object], one: str, many: str) -> str:
    return f"1 resource {one}" if len(resources) == 1 else f"{len(resources)} resources {many}"


def _undone(data: Data) -> str:
    """Only of a resource that the step took can it be said that it is absent now."""
    undone = f"{_step(data)}: undone after {_seconds(data.get('duration_ms'))}"
    released = data.get("released")
    if released is None:
        return f"{undone}."
    if not released:
        return f"{undone}; it held no resources."
    return f"{undone}; {_count(released, 'is', 'are')} confirmed absent."


def _delayed(data: Data) -> str:
    attempt = f"attempt {data.get('attempt')} of {data.get('max_attempts')}"
    delayed = f"{_step(data)}: the undo is not done after {_seconds(data.get('duration_ms'))}, {attempt}"
    return delayed + _end(data.get("message") or data.get("error"))


def _resumed(data: Data) -> str:
    if not data.get("skipped"):
        return f"The undo was resumed{_end(data.get('reason'))}"
    steps = ", ".join(f"“{step_title(name)}”" for name in data["skipped"])
    abandoned = f"; {_count(data['abandoned'], 'was', 'were')} abandoned" if data.get("abandoned") else ""
    return f"The undo was resumed without {steps}{abandoned}{_end(data.get('reason'))}"


def _cancel_requested(data: Data) -> str:
    step = f" during “{step_title(data['step_in_flight'])}”" if data.get("step_in_flight") else ""
    return f"A cancel was requested{step}{_end(data.get('reason'))}"


_MESSAGES: dict[EventType, tuple[Kind, Callable[[Data], str]]] = {
    EventType.STARTED: (Kind.RUN_STARTED, lambda data: f"Run {data.get('run_number')} started."),
    EventType.DEPROVISIONING_STARTED: (
        Kind.RUN_STARTED,
        lambda data: f"Run {data.get('run_number')} started to release all resources.",
    ),
    EventType.STEP_STARTED: (Kind.STEP_STARTED, lambda data: f"{_step(data)}: started."),
    EventType.STEP_COMPLETED: (
        Kind.STEP_SUCCEEDED,
        lambda data: f"{_step(data)}: done after {_seconds(data.get('duration_ms'))}.",
    ),
    EventType.STEP_FAILED: (Kind.STEP_FAILED, _failed("attempt")),
    EventType.STEP_INTERRUPTED: (
        Kind.STEP_INTERRUPTED,
        lambda data: f"{_step(data)}: interrupted{_end(data.get('error'))}",
    ),
    EventType.CANCEL_REQUESTED: (Kind.CANCEL_REQUESTED, _cancel_requested),
    EventType.COMPENSATION_STARTED: (Kind.COMPENSATION_STARTED, lambda data: f"{_step(data)}: undo started."),
    EventType.STEP_COMPENSATED: (
        Kind.STEP_COMPENSATED,
        _undone,
    ),
    EventType.DEPROVISIONING_STEP_COMPLETED: (
        Kind.STEP_COMPENSATED,
        _undone,
    ),
    EventType.COMPENSATION_DELAYED: (Kind.COMPENSATION_DELAYED, _delayed),
    EventType.COMPENSATION_FAILED: (Kind.COMPENSATION_FAILED, _failed("undo attempt")),
    EventType.COMPENSATION_RESUMED: (
        Kind.COMPENSATION_RESUMED,
        _resumed,
    ),
    EventType.STUCK: (
        Kind.RUN_STUCK,
        lambda data: f"{_step(data)}: the undo failed and has to be resumed by an operator{_end(data.get('error'))}",
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


def message_of(event: Event, data: Data | None = None) -> tuple[Kind, str]:
    """The kind and message of an event in a timeline. Raises KeyError for an event that is not in timelines.

    ``data`` are the facts that the reader may see, if these are not all.
    """
    kind, message = _MESSAGES[EventType(event.type)]
    return kind, message(event.data if data is None else data)


def kind_of(event: Event) -> Kind:
    """The kind of an event in a timeline. Raises KeyError for an event that is not in timelines."""
    return _MESSAGES[EventType(event.type)][0]


def progress_message(progress: Progress) -> str:
    """What a step reports; for a step that reports nothing, that a worker is still performing it."""
    default = "still being undone." if progress.status is StepStatus.COMPENSATING else "still running."
    return f"{step_title(progress.step)}: {progress.message or default}"
