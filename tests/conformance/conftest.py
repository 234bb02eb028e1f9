"""Fixtures of the simulation: a database in which no other test's runs become due."""

import gc
import logging
import os
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from runtime.database import Database
from runtime.migrations import migrate
from runtime.settings import Settings, settings
from tests.servers import Servers, own_database


@pytest.fixture(scope="session")
def simulation_settings(embedded: Servers, environment: dict[str, str]) -> Iterator[Settings]:
    """Settings of a separate, migrated database. No lease expires by itself: the test advances the time."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with own_database(embedded.database_url, f"{worker}_quiet") as url:
        simulated = settings().model_copy(update={"database_url": url, "lease": timedelta(hours=1)})
        migrate(simulated)
        _speed_up(url)
        yield simulated


@pytest.fixture
def simulation_database(simulation_settings: Settings) -> Iterator[Database]:
    """The database of a simulation. The log is off: thousands of steps fail, and the simulation has its own log."""
    database = Database(simulation_settings, name="tenantry-simulation")
    logging.disable(logging.ERROR)
    yield database
    logging.disable(logging.NOTSET)
    # A thread that is interrupted at any line may leave a connection to the garbage collector, which returns it to its
    # pool. After the pool is closed, it would stay open.
    gc.collect()
    database.close()


def _speed_up(url: str) -> None:
    """Plan each statement once and do not wait for the disk: statements repeat often, and the data is disposable."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("plan_cache_mode = force_generic_plan", "synchronous_commit = off"):
            connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET {setting}'.encode())
