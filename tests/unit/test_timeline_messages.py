"""Every event that belongs into a timeline has a kind and a sentence, whatever its facts."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from models import ActorKind, Event, StepStatus
from provisioning.audit_feed import TIMELINE, Progress
from provisioning.events import EventType
from schema.enums import ProvisioningEventKind
from schema.timeline_messages import message_of, progress_message

FULL = {
    "run_number": 2,
    "step": "allocate_storage",
    "duration_ms": 1234,
    "total_duration_ms": 61000,
    "attempt": 3,
    "error": "no space left",
    "will_retry": True,
    "reason": "wrong plan",
    "step_in_flight": "deploy_workloads",
    "released": [{}, {}],
}


def event(event_type: EventType, data: dict[str, object]) -> Event:
    return Event(
        organisation_id=uuid4(), type=event_type.value, actor_kind=ActorKind.SYSTEM, actor_id=uuid4(),
        actor_name="x", data=data,
    )  # fmt: skip


@pytest.mark.parametrize("event_type", sorted(TIMELINE))
@pytest.mark.parametrize("data", [FULL, {}])
def test_every_timeline_event_has_a_sentence(event_type: EventType, data: dict[str, object]) -> None:
    _, sentence = message_of(event(event_type, data))

    assert sentence[0].isupper()
    assert len(sentence) > 10


def test_every_kind_but_progress_comes_from_an_event() -> None:
    told = {message_of(event(event_type, FULL))[0] for event_type in TIMELINE}

    assert set(ProvisioningEventKind) - told == {ProvisioningEventKind.STEP_PROGRESS}


@pytest.mark.parametrize(
    ("event_type", "sentence"),
    [
        (EventType.STEP_COMPLETED, "Allocate storage: done after 1.2 s."),
        (EventType.STEP_FAILED, "Allocate storage: failed in attempt 3, it will be tried again: no space left"),
        (EventType.CANCEL_REQUESTED, "A cancel was requested during “Deploy the workload”: wrong plan"),
        (EventType.CANCELLED, "The run was cancelled. 2 resources were released and nothing is held."),
    ],
)
def test_sentences(event_type: EventType, sentence: str) -> None:
    assert message_of(event(event_type, FULL))[1] == sentence


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        (StepStatus.RUNNING, "Table 2 of 5", "Apply the schema: Table 2 of 5"),
        (StepStatus.RUNNING, None, "Apply the schema: still at work."),
        (StepStatus.COMPENSATING, None, "Apply the schema: still being undone."),
    ],
)
def test_a_quiet_step_has_a_sentence_too(status: StepStatus, message: str | None, sentence: str) -> None:
    now = datetime.now(UTC)

    assert progress_message(Progress(uuid4(), "apply_schema", status, None, message, now, now)) == sentence
