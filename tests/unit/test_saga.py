"""A saga is declared by decorators, and a running step stops at its stop signal."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from models import StepRole
from provisioning.saga import Saga, UnknownStep, do_nothing
from provisioning.step_context import StepContext, StepStopped, StopReason, StopSignal
from provisioning.steps import saga

AS_DESIGNED = [
    # name, timeout in seconds, attempts, compensation
    ("validate_request", 30, 1, "do_nothing"),
    ("allocate_storage", 300, 5, "release_storage"),
    ("allocate_identity", 300, 5, "release_identity"),
    ("allocate_traffic", 300, 5, "release_traffic"),
    ("apply_schema", 300, 5, "do_nothing"),
    ("deploy_workloads", 600, 3, "tear_down_workloads"),
    ("await_readiness", 600, 5, "do_nothing"),
    ("mark_active", 30, 10, "do_nothing"),
    ("send_welcome_emails", 60, 5, "do_nothing"),
    ("confirm_absence", 3 * 24 * 3600, 30, "do_nothing"),
]


def test_the_saga_has_the_designed_steps_timeouts_and_attempts() -> None:
    declared = [
        (step.name, step.timeout.total_seconds(), step.attempts, getattr(step.undo, "__name__", "")) for step in saga
    ]

    assert declared == AS_DESIGNED


def test_the_saga_has_one_pivot_between_its_steps_and_its_follow_ups() -> None:
    roles = [step.role for step in saga]

    assert roles == [StepRole.STEP] * 7 + [StepRole.PIVOT, StepRole.AFTERWARDS, StepRole.CONFIRMATION]


def test_every_step_before_the_pivot_can_be_interrupted() -> None:
    assert [step.name for step in saga if step.interruptible] == [name for name, *_ in AS_DESIGNED[:7]]


def test_every_step_name_and_title_fits_into_its_column() -> None:
    assert all(len(step.name) <= 64 and len(step.title) <= 120 for step in saga)


def test_a_step_has_the_name_of_its_function_and_its_declared_compensation() -> None:
    tea_saga = Saga()

    @tea_saga.step("Brew", timeout=timedelta(seconds=1), attempts=2)
    def brew_tea(ctx: StepContext) -> None: ...

    @brew_tea.compensation
    def pour_away(ctx: StepContext) -> None: ...

    assert tea_saga["brew_tea"] is brew_tea
    assert brew_tea.undo is pour_away
    assert [step.name for step in tea_saga] == ["brew_tea"]


def test_a_step_without_a_compensation_holds_nothing() -> None:
    tea_saga = Saga()

    @tea_saga.step("Check", timeout=timedelta(seconds=1), attempts=1)
    def check_leaves(ctx: StepContext) -> None: ...

    assert check_leaves.undo is do_nothing


def test_a_retired_step_is_not_planned_and_can_be_looked_up() -> None:
    tea_saga = Saga()

    @tea_saga.retired
    @tea_saga.step("Brew", timeout=timedelta(seconds=1), attempts=2)
    def brew_tea(ctx: StepContext) -> None: ...

    @tea_saga.step("Serve", timeout=timedelta(seconds=1), attempts=2)
    def serve_tea(ctx: StepContext) -> None: ...

    assert [step.name for step in tea_saga] == ["serve_tea"]
    assert tea_saga["brew_tea"] is brew_tea


def test_a_retired_step_is_undone_in_reverse_order_like_the_others() -> None:
    tea_saga = Saga()
    undone: list[str] = []

    def undo(name: str) -> Any:
        return lambda _: undone.append(name)

    @tea_saga.step("Boil", timeout=timedelta(seconds=1), attempts=1)
    def boil(ctx: StepContext) -> None: ...

    @tea_saga.retired
    @tea_saga.step("Brew", timeout=timedelta(seconds=1), attempts=1)
    def brew(ctx: StepContext) -> None: ...

    @tea_saga.step("Serve", timeout=timedelta(seconds=1), attempts=1)
    def serve(ctx: StepContext) -> None: ...

    for step in (boil, brew, serve):
        step.compensation(undo(step.name))
    nothing: Any = None
    tea_saga.compensate_every_step(nothing, except_for=frozenset())

    assert undone == ["serve", "brew", "boil"]


def test_the_pivot_cannot_be_retired() -> None:
    with pytest.raises(AssertionError, match="mark_active cannot be retired"):
        saga.retired(saga["mark_active"])


def test_two_steps_with_one_name_are_refused() -> None:
    tea_saga = Saga()

    def brew_tea(ctx: StepContext) -> None: ...

    tea_saga.step("Brew", timeout=timedelta(seconds=1), attempts=1)(brew_tea)
    with pytest.raises(AssertionError, match="declared twice"):
        tea_saga.step("Brew again", timeout=timedelta(seconds=1), attempts=1)(brew_tea)


def test_looking_up_an_unknown_step_raises_with_its_name() -> None:
    with pytest.raises(UnknownStep, match="no step 'boil_the_ocean'"):
        saga["boil_the_ocean"]


def test_a_stop_signal_keeps_its_first_reason() -> None:
    stop_signal = StopSignal()
    stop_signal.set(StopReason.CANCELLED)
    stop_signal.set(StopReason.SHUTTING_DOWN)

    with pytest.raises(StepStopped) as stop:
        stop_signal.check()

    assert stop.value.reason is StopReason.CANCELLED


def test_a_stop_signal_ends_a_wait_at_once() -> None:
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


def test_a_stop_signal_that_is_not_set_stops_nothing() -> None:
    stop_signal = StopSignal()

    stop_signal.check()
    stop_signal.wait(0)

    assert stop_signal.reason is None
