"""A step that waits for a call slot of an adapter can be cancelled and holds no transaction."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import psycopg
import pytest

from adapters.guarded_calls import limit_calls
from models import StepStatus
from provisioning.ports import Storage
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped, StopReason, StopSignal
from tests.builders import fresh_names
from tests.run_harness import RunHarness
from tests.waiting import wait_until

OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenantry-run-harness' AND xact_start IS NOT NULL
"""


class SlowStorage:
    """Storage that creates after ``resume`` and destroys at once."""

    def __init__(self, original: Storage) -> None:
        self._original = original
        self.entered, self.resume = threading.Event(), threading.Event()

    def create(self, names: ResourceNames) -> None:
        self.entered.set()
        self.resume.wait(20)
        self._original.create(names)

    def destroy(self, names: ResourceNames) -> None:
        self._original.destroy(names)


@pytest.fixture
def slow(harness: RunHarness) -> Iterator[SlowStorage]:
    """The harness's storage, with one call slot for steps and one for compensations."""
    slow = SlowStorage(harness.simulated.storage)
    harness.infrastructure = harness.step_runner.infrastructure = replace(
        harness.infrastructure, storage=limit_calls(cast("Storage", slow), 2)
    )
    yield slow
    slow.resume.set()


@contextmanager
def step_waiting_for_a_slot(
    harness: RunHarness, slow: SlowStorage, stop_signal: StopSignal
) -> Iterator[Future[object]]:
    harness.create()
    harness.make_moves(until="allocate_storage")
    claim = harness.claim()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(harness.infrastructure.storage.create, fresh_names())
        assert slow.entered.wait(10)
        waiting: Future[object] = pool.submit(harness.perform, claim, stop_signal)
        wait_until(lambda: len(harness.held_resources()) == 2)
        yield waiting
        slow.resume.set()


def open_transactions(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(OPEN_TRANSACTIONS).fetchone()
    assert row is not None
    return int(row[0])


def test_a_step_that_waits_for_a_slot_holds_no_transaction(
    harness: RunHarness, slow: SlowStorage, database_url: str
) -> None:
    stop_signal = StopSignal()

    with step_waiting_for_a_slot(harness, slow, stop_signal) as waiting:
        wait_until(lambda: open_transactions(database_url) == 0)
        assert not waiting.done()


def test_a_cancel_ends_the_wait_for_a_slot(harness: RunHarness, slow: SlowStorage) -> None:
    stop_signal = StopSignal()

    with step_waiting_for_a_slot(harness, slow, stop_signal) as waiting:
        stop_signal.set(StopReason.CANCELLED)
        with pytest.raises(StepStopped):
            waiting.result(1)


def test_a_compensation_does_not_wait_for_the_slots_of_steps(harness: RunHarness, slow: SlowStorage) -> None:
    stop_signal = StopSignal()

    with step_waiting_for_a_slot(harness, slow, stop_signal) as waiting:
        harness.cancel()
        stop_signal.set(StopReason.CANCELLED)
        with pytest.raises(StepStopped) as stopped:
            waiting.result(1)
        harness.expire_lease()
        harness.make_moves()

    assert stopped.value.reason is StopReason.CANCELLED
    assert harness.step("allocate_storage").status is StepStatus.COMPENSATED
    assert harness.held_resources() == []
