"""Fixtures for the tests of the API: one API per test process, an owner's client, and a second organisation."""

from collections.abc import Iterator

import pytest

from runtime.settings import settings
from tests.api import Api, Client, running_api
from tests.run_harness import RunHarness, new_run_harness


@pytest.fixture(scope="session")
def api(database_url: str, redis_url: str) -> Iterator[Api]:
    with running_api(settings()) as running:
        yield running


@pytest.fixture
def owner(api: Api, harness: RunHarness) -> Client:
    """A client of the owner of the harness's organisation."""
    return api.member(harness.organisation.id)


@pytest.fixture
def other(database_url: str) -> Iterator[RunHarness]:
    """A second organisation, with tenants of its own."""
    built = new_run_harness(settings())
    yield built
    built.faults.release_all()
