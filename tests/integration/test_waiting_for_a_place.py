"""A step that waits for its place at an adapter can be cancelled, and keeps nothing of the database meanwhile."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import psycopg
import pytest

from adapters.capped import capped
from models import StepStatus
from provisioning.footprint import Footprint
from provisioning.ports import Storage
from provisioning.saga import StepStopped, StopReason, Trip
from tests.outside import fresh_footprint, wait_until
from tests.stage import Stage

OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenantry-stage' AND xact_start IS NOT NULL
"""


class Slow:
    """Storage that creates when it is let go, and destroys at once."""

    def __init__(self, genuine: Storage) -> None:
        self._genuine = genuine
        self.inside, self.let_go = threading.Event(), threading.Event()

    def create(self, footprint: Footprint) -> None:
        self.inside.set()
        self.let_go.wait(20)
        self._genuine.create(footprint)

    def destroy(self, footprint: Footprint) -> None:
        self._genuine.destroy(footprint)


@pytest.fixture
def slow(stage: Stage) -> Iterator[Slow]:
    """The storage of the stage, with one place for steps and one for undoing."""
    slow = Slow(stage.genuine.storage)
    stage.world = stage.mover.world = replace(stage.world, storage=capped(cast("Storage", slow), 2))
    yield slow
    slow.let_go.set()


@contextmanager
def step_waiting_for_its_place(stage: Stage, slow: Slow, trip: Trip) -> Iterator[Future[object]]:
    stage.create()
    stage.play(until="allocate_storage")
    claim = stage.claim()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(stage.world.storage.create, fresh_footprint())
        assert slow.inside.wait(10)
        waiting: Future[object] = pool.submit(stage.perform, claim, trip)
        wait_until(lambda: len(stage.held()) == 2)
        yield waiting
        slow.let_go.set()


def open_transactions(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(OPEN_TRANSACTIONS).fetchone()
    assert row is not None
    return int(row[0])


def test_it_holds_no_transaction(stage: Stage, slow: Slow, database_url: str) -> None:
    trip = Trip()

    with step_waiting_for_its_place(stage, slow, trip) as waiting:
        wait_until(lambda: open_transactions(database_url) == 0)
        assert not waiting.done()


def test_a_cancel_ends_the_wait(stage: Stage, slow: Slow) -> None:
    trip = Trip()

    with step_waiting_for_its_place(stage, slow, trip) as waiting:
        trip.pull(StopReason.CANCELLED)
        with pytest.raises(StepStopped):
            waiting.result(1)


def test_an_undo_goes_ahead_of_it(stage: Stage, slow: Slow) -> None:
    trip = Trip()

    with step_waiting_for_its_place(stage, slow, trip) as waiting:
        stage.cancel()
        trip.pull(StopReason.CANCELLED)
        with pytest.raises(StepStopped) as stopped:
            waiting.result(1)
        stage.lapse()
        stage.play()

    assert stopped.value.reason is StopReason.CANCELLED
    assert stage.step("allocate_storage").status is StepStatus.COMPENSATED
    assert stage.held() == []
