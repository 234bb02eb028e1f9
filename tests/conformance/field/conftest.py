"""Selects the scenarios of the manifest by ``--share``, with the servers that the tests of relays need."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict

from devserver import directories
from tests.conformance.field import scenarios
from tests.conformance.field.scenario import MANIFEST, Scenario
from tests.servers import embedded_postgres, embedded_valkey

POSTGRES = ".s.PGSQL.5432"

SHARES: dict[str, Callable[[Scenario], bool]] = {
    "quick": lambda one: one.quick,
    "together": lambda one: not one.alone,
    "alone": lambda one: one.alone,
    "all": lambda _: True,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", choices=list(SHARES), default="quick", help="which scenarios of the manifest to run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario_id" in metafunc.fixturenames:
        scenarios.load()
        # The option is unknown if pytest was called for a parent folder: then this file is loaded too late to add it.
        share = SHARES[metafunc.config.getoption("--share", "quick")]
        metafunc.parametrize("scenario_id", [one.id for one in MANIFEST.values() if share(one)])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with directories.temporary("tenantry-relay-") as path:
        yield path


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[Path]:
    """An embedded server, never the one of the environment: relays connect Unix sockets."""
    with embedded_postgres(folder) as url:
        yield Path(str(conninfo_to_dict(url)["host"])) / POSTGRES


@pytest.fixture(scope="module")
def valkey(folder: Path) -> Iterator[Path]:
    with embedded_valkey(folder) as url:
        yield Path(url.removeprefix("unix://").partition("?")[0])


@pytest.fixture
def relay_socket(folder: Path) -> Path:
    """A socket for a relay, in its own folder because libpq sets the file name."""
    own = folder / uuid4().hex[:8]
    own.mkdir()
    return own / POSTGRES
