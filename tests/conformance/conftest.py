"""What the simulated proofs stand on: a database in which nobody else's runs come due."""

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
def ground(embedded: Servers, environment: dict[str, str]) -> Iterator[Settings]:
    """Settings of a migrated database of its own. No lease lapses by itself: time passes when the story says so."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with own_database(embedded.database_url, f"{worker}_quiet") as url:
        quiet = settings().model_copy(update={"database_url": url, "lease": timedelta(hours=1)})
        migrate(quiet)
        _hasten(url)
        yield quiet


@pytest.fixture
def stories(ground: Settings) -> Iterator[Database]:
    """The database of a simulated proof. Steps fail by the thousand there; a story says what the log would."""
    database = Database(ground, name="tenantry-stories")
    logging.disable(logging.ERROR)
    yield database
    logging.disable(logging.NOTSET)
    database.close()


def _hasten(url: str) -> None:
    """The same statements a million times, and nothing to lose: plan each once, and wait for no disk."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("plan_cache_mode = force_generic_plan", "synchronous_commit = off"):
            connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET {setting}'.encode())
