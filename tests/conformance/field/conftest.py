"""Which scenarios are told: the quick ones, all that may share the machine, or the others. Servers for relays."""

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
    parser.addoption("--share", choices=list(SHARES), default="quick", help="which scenarios of the manifest")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario_id" in metafunc.fixturenames:
        scenarios.load()
        # Unknown when a folder above was asked for: then this file is read too late to declare it.
        share = SHARES[metafunc.config.getoption("--share", "quick")]
        metafunc.parametrize("scenario_id", [one.id for one in MANIFEST.values() if share(one)])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with directories.temporary("tenantry-relay-") as made:
        yield made


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[Path]:
    """Always embedded ones, whatever the environment names: relays stand between Unix sockets."""
    with embedded_postgres(folder) as url:
        yield Path(str(conninfo_to_dict(url)["host"])) / POSTGRES


@pytest.fixture(scope="module")
def valkey(folder: Path) -> Iterator[Path]:
    with embedded_valkey(folder) as url:
        yield Path(url.removeprefix("unix://").partition("?")[0])


@pytest.fixture
def listen(folder: Path) -> Path:
    """A socket for a relay, in a folder of its own because libpq wants to choose the name."""
    own = folder / uuid4().hex[:8]
    own.mkdir()
    return own / POSTGRES
