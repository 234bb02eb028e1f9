"""One API for each test process, and whoever calls it about the stage's tenant."""

from collections.abc import Iterator

import pytest

from runtime.settings import settings
from tests.api import Api, Client, api_in
from tests.run_harness import RunHarness, run_harness_in


@pytest.fixture(scope="session")
def api(database_url: str, redis_url: str) -> Iterator[Api]:
    with api_in(settings()) as running:
        yield running


@pytest.fixture
def owner(api: Api, harness: RunHarness) -> Client:
    """The owner of the stage's organisation."""
    return api.person(harness.organisation.id)


@pytest.fixture
def other(database_url: str) -> Iterator[RunHarness]:
    """Another organisation, with tenants of its own."""
    with run_harness_in(settings()) as built:
        yield built
