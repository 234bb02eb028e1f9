"""The product's processes with hostile servers: unusual settings of Postgres, missing rights, no space, no writes."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict

from runtime.migrations import ROOT
from tests.conformance.field.api_clients import create_clients
from tests.conformance.field.invariant_checker import InvariantChecker
from tests.conformance.field.scenario import ScenarioHarness
from tests.conformance.field.testbed import DATABASE, Options, running_testbed
from tests.conformance.field.testbed import Testbed as Bed  # pytest would collect a class with its name
from tests.waiting import wait_until

HOSTILE = (
    ("client_encoding", "LATIN1"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "Pacific/Chatham"),
    ("bytea_output", "escape"),
    ("search_path", "pg_catalog"),
    ("standard_conforming_strings", "off"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
    ("row_security", "off"),
    ("default_transaction_isolation", "serializable"),
    ("synchronous_commit", "off"),
    ("idle_session_timeout", "1500ms"),
    ("lock_timeout", "5ms"),
)
"""Each of them made some statement fail or mean something else, or ended the connections that listen."""

NAME = "Käse — 東京"
TENANTS_LOGIN = "tenants_login"


@pytest.fixture(scope="module")
def testbed() -> Iterator[Bed]:
    """Processes and servers of all tests here."""
    with running_testbed(Options(postgres=HOSTILE, tenant_connections=50)) as running:
        with as_superuser(running) as connection:
            connection.execute("CREATE DATABASE of_bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
            connection.execute("CREATE ROLE weak LOGIN")
        yield running


@pytest.fixture
def harness(testbed: Bed) -> ScenarioHarness:
    clients = create_clients(testbed)
    return ScenarioHarness(testbed, clients, InvariantChecker(clients))


@contextmanager
def as_superuser(testbed: Bed, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
    with closing(psycopg.connect(testbed.postgres.url(database), autocommit=True)) as connection:
        connection.execute("RESET ALL; SET search_path = public; SET lock_timeout = 0; SET idle_session_timeout = 0")
        yield connection


def checks_of(testbed: Bed) -> dict[str, dict[str, Any]]:
    checks: dict[str, dict[str, Any]] = testbed.http.get(f"http://{testbed.address}/readyz").json()["checks"]
    return checks


def await_check(testbed: Bed, name: str, expected: Mapping[str, object]) -> None:
    """Wait for this result of a readiness check: a report is repeated for a second."""
    wait_until(lambda: checks_of(testbed)[name] == expected, within=30)


def test_runs_end_and_cancels_arrive_on_a_postgres_with_hostile_settings(
    testbed: Bed, harness: ScenarioHarness
) -> None:
    kept = harness.create(name=NAME, provisioningDeadline="PT30H")
    cancelled, halt = harness.create_halted("before deployer.deploy", stoppable=True)
    halt.await_first()
    assert harness.cancel(cancelled)
    ends = harness.await_all_runs()
    tenant = harness.owner.execute("query Q($id: ID!) { tenant(id: $id) { name state } }", id=kept.id)["tenant"]
    ready = testbed.http.get(f"http://{testbed.address}/readyz")

    assert ends == {"SUCCEEDED": 1, "CANCELLED": 1}
    assert tenant == {"name": NAME, "state": "ACTIVE"}
    assert ready.status_code == 200, ready.text


@contextmanager
def read_only_postgres(testbed: Bed) -> Iterator[None]:
    """Every session is read-only, as on a server that protects itself from a full disk."""
    change = "ALTER DATABASE tenantry {} default_transaction_read_only {}"
    end_sessions = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'"
    with as_superuser(testbed) as connection:
        connection.execute(change.format("SET", "= on").encode())
        connection.execute(end_sessions.encode())
        try:
            yield
        finally:
            connection.execute(change.format("RESET", "").encode())
            connection.execute(end_sessions.encode())


@contextmanager
def full_broker(testbed: Bed) -> Iterator[None]:
    """The broker has reached maxmemory, and evicts nothing."""
    with redis.Redis.from_url(testbed.valkey.url) as client:
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)


@contextmanager
def replica_broker(testbed: Bed) -> Iterator[None]:
    """The broker is a replica, which refuses writes."""
    with redis.Redis.from_url(testbed.valkey.url) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


def test_a_server_that_takes_no_writes_is_not_ready_and_runs_continue_later(
    testbed: Bed, harness: ScenarioHarness
) -> None:
    for server, name, reason in (
        (full_broker, "broker", "it is full: it has reached maxmemory"),
        (replica_broker, "broker", "it is a read-only replica"),
        (read_only_postgres, "database", "it is read-only"),
    ):
        with server(testbed):
            if name == "broker":
                harness.create()
            await_check(testbed, name, {"ok": False, "reason": reason})
        await_check(testbed, name, {"ok": True})

    assert harness.await_all_runs() == {"SUCCEEDED": 2}


def test_an_undo_of_nothing_needs_no_rights_in_the_tenants_postgres(testbed: Bed, harness: ScenarioHarness) -> None:
    with as_superuser(testbed) as connection:
        connection.execute(f"ALTER ROLE {TENANTS_LOGIN} NOCREATEROLE".encode())
        try:
            tenant = harness.create()
            wait_until(lambda: "permission denied to create role" in str(harness.owner.read(tenant)), within=30)
            assert harness.cancel(tenant)
            ends = harness.await_all_runs()
        finally:
            connection.execute(f"ALTER ROLE {TENANTS_LOGIN} CREATEROLE".encode())

    assert ends == {"CANCELLED": 1}


OF_BYTES = "the database of_bytes has the encoding SQL_ASCII, and Tenantry needs UTF8"
REFUSALS = {
    "migrate without a database": (["server", "migrate"], "database_url", "", "TENANTRY_DATABASE_URL"),
    "migrate a database of bytes": (["server", "migrate"], "database_url", "of_bytes", OF_BYTES),
    "work with a weak login": (["workers"], "tenants_database_url", "weak", "may not create roles"),
}


def test_programs_refuse_what_they_cannot_use_in_one_sentence(testbed: Bed) -> None:
    started = {
        what: _start(testbed, program, {f"TENANTRY_{setting.upper()}": _url(testbed, value)})
        for what, (program, setting, value, _) in REFUSALS.items()
    }
    said = {what: (process.communicate(timeout=60)[1], process.returncode) for what, process in started.items()}

    for what, (*_, expected) in REFUSALS.items():
        message, code = said[what]
        assert (code, message.count("\n")) == (2, 1), f"{what}: {message}"
        assert expected in message, what
    with as_superuser(testbed) as connection:
        assert connection.execute("SELECT FROM pg_tables WHERE tablename = 'tenants'").fetchall() == [], (
            "libpq's default database was migrated"
        )


def _url(testbed: Bed, value: str) -> str:
    """The address of a database, of the product's database for another login, or none."""
    if value == "weak":
        return testbed.postgres.url(DATABASE).replace("postgres@", "weak@", 1)
    return testbed.postgres.url(value) if value else ""


def _start(testbed: Bed, program: list[str], settings: dict[str, str]) -> subprocess.Popen[str]:
    """Start a program of the product. libpq's own variables name a server, which an empty address would mean."""
    libpq = {
        f"PG{name.upper()}": str(value)
        for name, value in {**conninfo_to_dict(testbed.postgres.url("postgres")), "database": "postgres"}.items()
    }
    return subprocess.Popen(
        [sys.executable, "-m", *program],
        cwd=ROOT,
        env=testbed.environment | libpq | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
