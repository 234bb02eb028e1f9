"""Every event of a timeline has a kind and a message, also without its facts."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ActorKind, Event, StepStatus
from provisioning.audit_feed import TIMELINE, Progress
from provisioning.event_types import EventType
from schema.enums import ProvisioningEventKind
from schema.timeline_messages import message_of, progress_message

FULL = {
    "run_number": 2,
    "step": "allocate_storage",
    "duration_ms": 1234,
    "total_duration_ms": 61000,
    "attempt": 3,
    "max_attempts": 8,
    "error": "no space left",
    "will_retry": True,
    "reason": "wrong plan",
    "step_in_flight": "deploy_workloads",
    "released": [{}, {}],
    "abandoned": [],
}
LEFT = {
    "kind": "workload",
    "name": "workload-shop-r1",
    "by": "ada@acme.example",
    "at": "2026-11-30T13:05:21.123456+00:00",
    "reason": "ticket 4711",
}
NAMED = "workload workload-shop-r1, abandoned by ada@acme.example on 2026-11-30 13:05 UTC: ticket 4711"
ENDS = [EventType.CANCELLED, EventType.FAILED, EventType.DEPROVISIONING_COMPLETED]


def event(event_type: EventType, data: dict[str, object]) -> Event:
    return Event(
        organisation_id=uuid4(), type=event_type.value, actor_kind=ActorKind.SYSTEM, actor_id=uuid4(),
        actor_name="x", data=data,
    )  # fmt: skip


@pytest.mark.parametrize("event_type", sorted(TIMELINE))
@pytest.mark.parametrize("data", [FULL, {}])
def test_every_timeline_event_has_a_message(event_type: EventType, data: dict[str, object]) -> None:
    _, message = message_of(event(event_type, data))

    assert message[0].isupper()
    assert len(message) > 10


def test_every_kind_but_progress_comes_from_an_event() -> None:
    kinds = {message_of(event(event_type, FULL))[0] for event_type in TIMELINE}

    assert set(ProvisioningEventKind) - kinds == {ProvisioningEventKind.STEP_PROGRESS}


@pytest.mark.parametrize(
    ("event_type", "message"),
    [
        (EventType.STEP_COMPLETED, "Allocate storage: done after 1.2 s."),
        (EventType.STEP_FAILED, "Allocate storage: attempt 3 failed and will be retried: no space left"),
        (EventType.COMPENSATION_FAILED, "Allocate storage: undo attempt 3 failed and will be retried: no space left"),
        (
            EventType.COMPENSATION_DELAYED,
            "Allocate storage: the undo is not done after 1.2 s, attempt 3 of 8: no space left",
        ),
        (EventType.CANCEL_REQUESTED, "A cancel was requested during “Deploy the workload”: wrong plan"),
        (EventType.CANCELLED, "The run was cancelled. 2 resources were released and nothing is held."),
    ],
)
def test_the_message_of_an_event_has_its_facts(event_type: EventType, message: str) -> None:
    assert message_of(event(event_type, FULL))[1] == message


@pytest.mark.parametrize("event_type", ENDS)
@given(released=st.lists(st.just({}), max_size=7), abandoned=st.none() | st.lists(st.just(LEFT), max_size=9))
def test_an_end_says_that_nothing_is_held_only_if_it_says_that_nothing_was_abandoned(
    event_type: EventType, released: list[object], abandoned: list[object] | None
) -> None:
    data = FULL | {"released": released, "abandoned": abandoned}

    _, message = message_of(event(event_type, data))

    assert ("nothing is held" in message) is (abandoned == [])
    assert message.count(NAMED) == min(len(abandoned or []), 6)


@pytest.mark.parametrize(
    ("released", "abandoned", "message"),
    [
        ([{}], [], "The run failed. 1 resource was released and nothing is held."),
        ([], [], "The run failed. 0 resources were released and nothing is held."),
        ([{}, {}], None, "The run failed. 2 resources were released."),
        (
            [{}, {}],
            [LEFT],
            f"The run failed. 2 resources were released. 1 resource was abandoned and may still exist: {NAMED}",
        ),
    ],
)
def test_an_end_counts_what_was_released_and_names_what_was_abandoned(
    released: list[object], abandoned: list[object] | None, message: str
) -> None:
    data = FULL | {"released": released, "abandoned": abandoned}

    assert message_of(event(EventType.FAILED, data))[1] == message


@pytest.mark.parametrize("event_type", [EventType.STEP_COMPENSATED, EventType.DEPROVISIONING_STEP_COMPLETED])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"released": []}, "Allocate storage: undone after 1.2 s; it held no resources."),
        ({"released": [{}]}, "Allocate storage: undone after 1.2 s; 1 resource is confirmed absent."),
        ({"released": [{}, {}]}, "Allocate storage: undone after 1.2 s; 2 resources are confirmed absent."),
    ],
)
def test_an_undone_step_says_that_resources_are_absent_only_if_it_had_some(
    event_type: EventType, data: dict[str, object], message: str
) -> None:
    assert message_of(event(event_type, FULL | data))[1] == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"skipped": []}, "The undo was resumed: wrong plan"),
        (
            {"skipped": ["deploy_workloads"], "abandoned": [{}]},
            "The undo was resumed without “Deploy the workload”; 1 resource was abandoned: wrong plan",
        ),
    ],
)
def test_a_resumed_undo_says_what_it_leaves_out(data: dict[str, object], message: str) -> None:
    assert message_of(event(EventType.COMPENSATION_RESUMED, FULL | data))[1] == message


@pytest.mark.parametrize(
    ("status", "report", "message"),
    [
        (StepStatus.RUNNING, "Table 2 of 5", "Apply the schema: Table 2 of 5"),
        (StepStatus.RUNNING, None, "Apply the schema: still running."),
        (StepStatus.COMPENSATING, None, "Apply the schema: still being undone."),
    ],
)
def test_progress_has_the_report_of_the_step_or_says_that_it_is_still_running(
    status: StepStatus, report: str | None, message: str
) -> None:
    now = datetime.now(UTC)

    assert progress_message(Progress(uuid4(), "apply_schema", status, None, report, now, now)) == message
