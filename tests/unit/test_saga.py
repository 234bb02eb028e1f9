"""How a saga is declared, and how a step that is being performed is told to stop."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from models import RunStep, StepRole
from provisioning.claims import time_left
from provisioning.saga import Saga, UnknownStep, nothing_held
from provisioning.step_context import StepContext, StepStopped, StopReason, StopSignal
from provisioning.steps import saga

AS_DESIGNED = [
    # name, timeout in seconds, attempts, compensation
    ("validate_request", 30, 1, "nothing_held"),
    ("allocate_storage", 300, 5, "release_storage"),
    ("allocate_identity", 300, 5, "release_identity"),
    ("allocate_traffic", 300, 5, "release_traffic"),
    ("apply_schema", 300, 5, "nothing_held"),
    ("deploy_workloads", 600, 3, "tear_down_workloads"),
    ("await_readiness", 600, 5, "nothing_held"),
    ("mark_active", 30, 10, "nothing_held"),
    ("send_welcome_emails", 60, 5, "nothing_held"),
    ("confirm_absence", 3 * 24 * 3600, 30, "nothing_held"),
]


def test_the_saga_is_the_one_that_was_designed() -> None:
    declared = [
        (step.name, step.timeout.total_seconds(), step.attempts, getattr(step.undo, "__name__", "")) for step in saga
    ]

    assert declared == AS_DESIGNED


def test_one_pivot_divides_what_can_be_cancelled_from_what_follows() -> None:
    roles = [step.role for step in saga]

    assert roles == [StepRole.STEP] * 7 + [StepRole.PIVOT, StepRole.AFTERWARDS, StepRole.CONFIRMATION]


def test_every_step_before_the_pivot_can_be_interrupted() -> None:
    assert [step.name for step in saga if step.interruptible] == [name for name, *_ in AS_DESIGNED[:7]]


def test_every_name_fits_into_its_column() -> None:
    assert all(len(step.name) <= 64 and len(step.title) <= 120 for step in saga)


def test_a_step_is_called_after_its_function_and_takes_its_compensation() -> None:
    made = Saga()

    @made.step("Brew", timeout=timedelta(seconds=1), attempts=2)
    def brew_tea(ctx: StepContext) -> None: ...

    @brew_tea.compensation
    def pour_away(ctx: StepContext) -> None: ...

    assert made["brew_tea"] is brew_tea
    assert brew_tea.undo is pour_away
    assert [step.name for step in made] == ["brew_tea"]


def test_a_step_without_a_compensation_holds_nothing() -> None:
    made = Saga()

    @made.step("Look", timeout=timedelta(seconds=1), attempts=1)
    def look_around(ctx: StepContext) -> None: ...

    assert look_around.undo is nothing_held


def test_a_retired_step_is_planned_no_more_and_still_found() -> None:
    made = Saga()

    @made.retired
    @made.step("Brew", timeout=timedelta(seconds=1), attempts=2)
    def brew_tea(ctx: StepContext) -> None: ...

    @made.step("Serve", timeout=timedelta(seconds=1), attempts=2)
    def serve_tea(ctx: StepContext) -> None: ...

    assert [step.name for step in made] == ["serve_tea"]
    assert made["brew_tea"] is brew_tea


def test_a_retired_step_is_undone_in_its_place_like_any_other() -> None:
    made = Saga()
    undone: list[str] = []

    def undo(name: str) -> Any:
        return lambda _: undone.append(name)

    @made.step("Boil", timeout=timedelta(seconds=1), attempts=1)
    def boil(ctx: StepContext) -> None: ...

    @made.retired
    @made.step("Brew", timeout=timedelta(seconds=1), attempts=1)
    def brew(ctx: StepContext) -> None: ...

    @made.step("Serve", timeout=timedelta(seconds=1), attempts=1)
    def serve(ctx: StepContext) -> None: ...

    for step in (boil, brew, serve):
        step.compensation(undo(step.name))
    nothing: Any = None
    made.compensate_every_step(nothing, except_for=frozenset())

    assert undone == ["serve", "brew", "boil"]


def test_the_pivot_cannot_be_retired() -> None:
    with pytest.raises(AssertionError, match="mark_active cannot be retired"):
        saga.retired(saga["mark_active"])


def test_two_steps_cannot_have_one_name() -> None:
    made = Saga()

    def brew_tea(ctx: StepContext) -> None: ...

    made.step("Brew", timeout=timedelta(seconds=1), attempts=1)(brew_tea)
    with pytest.raises(AssertionError, match="declared twice"):
        made.step("Brew again", timeout=timedelta(seconds=1), attempts=1)(brew_tea)


def test_a_step_of_another_release_is_unknown_by_name() -> None:
    with pytest.raises(UnknownStep, match="no step 'boil_the_ocean'"):
        saga["boil_the_ocean"]


def test_the_first_reason_to_stop_stays() -> None:
    stop_signal = StopSignal()
    stop_signal.set(StopReason.CANCELLED)
    stop_signal.set(StopReason.SHUTTING_DOWN)

    with pytest.raises(StepStopped) as stop:
        stop_signal.check()

    assert stop.value.reason is StopReason.CANCELLED


def test_a_step_that_waits_is_told_at_once() -> None:
    stop_signal, waiting = StopSignal(), threading.Event()
    stops: list[StopReason] = []

    def wait() -> None:
        waiting.set()
        try:
            stop_signal.wait(60)
        except StepStopped as stop:
            stops.append(stop.reason)

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait(5)
    stop_signal.set(StopReason.LEASE_LOST)
    thread.join(5)

    assert stops == [StopReason.LEASE_LOST]


def test_a_step_nobody_stops_may_go_on() -> None:
    stop_signal = StopSignal()

    stop_signal.check()
    stop_signal.wait(0)

    assert stop_signal.reason is None


@pytest.mark.parametrize(("spent", "left"), [(0, 300), (299, 1), (300, 0), (900, 0)])
def test_an_attempt_has_the_time_that_it_has_not_spent(spent: int, left: int) -> None:
    facts: dict[str, Any] = {"timeout": timedelta(minutes=5)}
    step = RunStep(**facts)

    assert time_left(step, timedelta(seconds=spent)) == timedelta(seconds=left)
