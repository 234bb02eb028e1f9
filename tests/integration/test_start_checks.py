"""A process refuses to start with databases or logins with which it cannot work; /readyz shows the same."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from adapters import start_checks
from adapters.start_checks import api_problem, refuse_to_start, worker_problem
from devserver import directories
from runtime.migrations import migrate
from runtime.settings import Settings, SettingsRefused, settings
from server import health
from server.__main__ import main as server
from tests.api import running_api
from tests.builders import settings_with
from tests.scratch_database import scratch_database
from tests.servers import embedded_postgres
from workers.__main__ import main as workers


@pytest.fixture
def tenants(database_url: str) -> Iterator[str]:
    """A database for tenants, on the same cluster as the product's."""
    with scratch_database(database_url) as url:
        yield url


@pytest.fixture
def login(database_url: str, tenants: str) -> Iterator[str]:
    """A login without any right."""
    name = f"weak_{uuid4().hex[:8]}"
    with psycopg.connect(tenants, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        yield name
        connection.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}".encode())


def as_superuser(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def production(database_url: str, **more: Any) -> Settings:
    return settings_with(database_url, **({"development": False} | more))


@pytest.mark.parametrize("tenants_url", ["", "the same", "another spelling"])
def test_tenants_in_the_products_own_database_are_refused(database_url: str, tenants_url: str) -> None:
    spelt = {"": "", "the same": database_url, "another spelling": f"{database_url}&application_name=x"}
    chosen = production(database_url, tenants_database_url=spelt[tenants_url])

    for find in (api_problem, worker_problem):
        with pytest.raises(
            SettingsRefused, match="set TENANTRY_TENANTS_DATABASE_URL to a database of another"
        ) as refusal:
            refuse_to_start(chosen, find)
        assert "\n" not in str(refusal.value)
        refuse_to_start(chosen.model_copy(update={"development": True}), find)


@pytest.mark.parametrize("program", [lambda: server(["serve"]), lambda: workers([])], ids=["serve", "workers"])
def test_no_process_starts_with_tenants_in_the_products_own_database(
    database_url: str, program: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENANTRY_DEVELOPMENT", "false")
    settings.cache_clear()

    assert program() == 2

    assert capsys.readouterr().err.startswith("The tenants' schemas would be in the product's own database")
    settings.cache_clear()


def test_another_cluster_is_accepted(database_url: str) -> None:
    with directories.temporary("tenantry-tenants-") as folder, embedded_postgres(Path(folder)) as elsewhere:
        assert api_problem(production(database_url, tenants_database_url=elsewhere)) is None


def test_another_database_of_the_same_cluster_is_accepted_with_a_warning(
    database_url: str, tenants: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert api_problem(production(database_url, tenants_database_url=tenants)) is None

    assert "tenants share a Postgres cluster" in caplog.text


def test_a_login_of_the_tenants_without_a_right_is_refused_until_it_has_them(
    database_url: str, tenants: str, login: str
) -> None:
    chosen = production(database_url, tenants_database_url=f"{tenants}&user={login}")
    database = psycopg.conninfo.conninfo_to_dict(tenants)["dbname"]
    as_superuser(tenants, "CREATE SCHEMA tenantry_outside; CREATE TABLE tenantry_outside.destroyed (name text)")

    found = []
    for _ in range(4):
        found.append(worker_problem(chosen))
        if found[-1] is None:
            break
        with pytest.raises(SettingsRefused, match="as "):
            refuse_to_start(chosen, worker_problem)
        remedy = found[-1].partition(", run ")[2].removesuffix(".")
        as_superuser(tenants, remedy)

    says = f"The login {login} of TENANTRY_TENANTS_DATABASE_URL"
    tables = "ALL TABLES IN SCHEMA tenantry_outside"
    roles = f"{says} may not create roles: as an administrator, run ALTER ROLE {login} CREATEROLE."
    schemas = f"as an administrator, run GRANT CREATE ON DATABASE {database} TO {login}."
    tombstones = (
        f"GRANT USAGE ON SCHEMA tenantry_outside TO {login}; GRANT SELECT, INSERT, UPDATE ON {tables} TO {login}."
    )
    assert found == [
        roles,
        f"{says} may not create schemas in the database {database}: {schemas}",
        f"{says} may not use the schema tenantry_outside: as its owner, run {tombstones}",
        None,
    ]


def test_a_login_of_the_api_that_cannot_act_for_callers_is_refused(database_url: str, tenants: str, login: str) -> None:
    chosen = settings().model_copy(update={"api_database_url": f"{database_url}&user={login}"})

    problem = api_problem(chosen)

    assert problem is not None
    assert problem.startswith(f"The login {login} of TENANTRY_API_DATABASE_URL may not act for callers")
    as_superuser(tenants, problem.partition(", run ")[2].removesuffix("."))
    assert api_problem(chosen) is None


def test_readyz_names_a_missing_right(
    database_url: str, tenants: str, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_checks, "VALID_FOR", 0.0)
    monkeypatch.setattr(health, "REPORT_LIFETIME", 0.0)
    chosen = settings().model_copy(update={"tenants_database_url": f"{tenants}&user={login}"})
    with running_api(chosen) as api:
        missing: httpx.Response = api.get("/readyz")
        as_superuser(tenants, f"ALTER ROLE {login} SUPERUSER")
        given: httpx.Response = api.get("/readyz")

    assert missing.status_code == 503
    assert "may not create roles" in missing.json()["checks"]["rights"]["reason"]
    assert given.json()["checks"]["rights"] == {"ok": True}


def test_readyz_opens_few_connections(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Settings] = []
    recent = start_checks.RecentProblem(settings(), found.append)

    for _ in range(5):
        assert recent.get() is None

    assert len(found) == 1


def test_an_unreachable_database_does_not_prevent_a_start(database_url: str) -> None:
    refuse_to_start(production("postgresql://127.0.0.1:1/x", tenants_database_url=database_url), worker_problem)


def test_a_database_that_is_not_utf8_prevents_a_start_and_a_migration(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_superuser(database_url, "CREATE DATABASE of_bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    monkeypatch.setenv("TENANTRY_DATABASE_URL", database_url.replace("/tenantry?", "/of_bytes?"))
    settings.cache_clear()
    try:
        programs: list[Callable[[], int]] = [
            *(partial(server, ["migrate"]), partial(server, ["serve"])),
            partial(workers, []),
        ]
        for program in programs:
            assert program() == 2
            message = capsys.readouterr().err
            assert "the database of_bytes has the encoding SQL_ASCII, and Tenantry needs UTF8" in message
            assert message.count("\n") == 1
    finally:
        settings.cache_clear()
        as_superuser(database_url, "DROP DATABASE of_bytes WITH (FORCE)")


def test_the_simulated_world_needs_no_tenants_database(database_url: str) -> None:
    chosen = production("postgresql://127.0.0.1:1/x", world="simulated")

    assert worker_problem(chosen) is None
    with scratch_database(database_url) as url:
        migrate(production(url))
        assert api_problem(production(url, world="simulated")) is None
