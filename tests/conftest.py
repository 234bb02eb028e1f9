"""Fixtures for all tests: a migrated database, a broker, and the settings with their addresses."""

import gc
import os
from collections.abc import Iterator

import pytest

from runtime.migrations import migrate
from runtime.settings import settings
from tests.run_harness import RunHarness, engine_of, new_run_harness
from tests.servers import Servers, servers

YOUNG_OBJECTS = 50_000
"""Objects that a test process creates before it looks for garbage. With the 700 of Python, a tenth of its CPU time goes
into looking."""

SECRET_KEY = "5b1f0c6e93d84a27b7e2d95c0fa3168d"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Exclude the modules and the thousands of collected tests from garbage collection: they stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        gc.enable()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Servers]:
    with servers(os.environ.get("PYTEST_XDIST_WORKER", "main")) as running:
        yield running


@pytest.fixture(scope="session")
def environment(embedded: Servers) -> Iterator[dict[str, str]]:
    """The TENANTRY_* variables of this test process; pass them to every program under test."""
    variables = {
        "TENANTRY_DATABASE_URL": embedded.database_url,
        "TENANTRY_REDIS_URL": embedded.redis_url,
        "TENANTRY_DEVELOPMENT": "true",
        "TENANTRY_SECRET_KEY": SECRET_KEY,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield variables
    settings.cache_clear()


@pytest.fixture(scope="session")
def database_url(embedded: Servers, environment: dict[str, str]) -> Iterator[str]:
    """The database, migrated to head once per test process. Rows of earlier tests stay: use a new organisation."""
    migrate(settings())
    yield embedded.database_url
    engine_of(settings()).dispose()


@pytest.fixture(scope="session")
def redis_url(embedded: Servers, environment: dict[str, str]) -> str:
    return embedded.redis_url


@pytest.fixture
def harness(database_url: str) -> Iterator[RunHarness]:
    built = new_run_harness(settings())
    yield built
    built.faults.release_all()
