"""What the simulated proofs stand on: a database in which nobody else's runs come due."""

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

from runtime.migrations import migrate
from runtime.settings import Settings, settings
from tests.servers import Servers, _named


@pytest.fixture(scope="session")
def ground(embedded: Servers, environment: dict[str, str]) -> Iterator[Settings]:
    """Settings of a migrated database of its own. No lease lapses by itself: time passes when the story says so."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with _named(embedded.database_url, f"{worker}_quiet") as url:
        quiet = settings().model_copy(update={"database_url": url, "lease": timedelta(hours=1)})
        migrate(quiet)
        yield quiet
