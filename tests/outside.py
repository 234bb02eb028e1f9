"""What tests of the outside world share: fresh names, patience that can be ended, and waiting for a lock."""

import time
from collections.abc import Callable
from uuid import uuid4

import psycopg

from models.columns import new_id
from provisioning.ports import WorkloadOrder
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StopReason, StopSignal
from runtime.settings import Settings
from tests.conftest import SECRET_KEY


class Waiting:
    """The patience of a step, as the ports see it."""

    def __init__(self) -> None:
        self._stop_signal = StopSignal()

    def end(self) -> None:
        self._stop_signal.set(StopReason.CANCELLED)

    def sleep(self, seconds: float) -> None:
        self._stop_signal.wait(seconds)

    def checkpoint(self) -> None:
        self._stop_signal.check()


def fresh_names(run_number: int = 1) -> ResourceNames:
    return ResourceNames(new_id(), f"shop-{uuid4().hex[:12]}", run_number)


def order_for(names: ResourceNames) -> WorkloadOrder:
    return WorkloadOrder(names, "shop", "acme", "eu-central", "pro", f"{names.address}.localhost")


def settings_with(database_url: str, **more: object) -> Settings:
    known = {"database_url": database_url, "redis_url": "redis://127.0.0.1:1/0", "secret_key": SECRET_KEY}
    return Settings.model_validate(known | more)


def wait_until(condition: Callable[[], object], *, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)  # between two looks at a condition, never instead of one


def blocked(database_url: str) -> int:
    """How many backends wait for a lock."""
    with psycopg.connect(database_url) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
