"""A Postgres and a Valkey for one test process: embedded ones, or those that TENANTRY_TEST_*_URL name."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from devserver import places
from devserver.servers import FAST, Postgres, Valkey


@dataclass(frozen=True)
class Servers:
    """Addresses of an empty database and an empty broker that nobody else uses."""

    database_url: str
    redis_url: str


@contextmanager
def servers(worker: str) -> Iterator[Servers]:
    """Give this test process servers of its own: roles and FLUSHALL reach across databases, so sharing would leak."""
    with ExitStack() as stack:
        database_url = os.environ.get("TENANTRY_TEST_DATABASE_URL")
        redis_url = os.environ.get("TENANTRY_TEST_REDIS_URL")
        folder = stack.enter_context(places.temporary("tenantry-test-"))
        yield Servers(
            stack.enter_context(_named(database_url, worker) if database_url else _embedded(folder)),
            _numbered(redis_url, worker) if redis_url else stack.enter_context(_valkey(folder)),
        )


@contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    server = Postgres(places.settle(folder), FAST)
    child = server.start()
    try:
        server.create_database("tenantry")
        yield server.url("tenantry")
    finally:
        child.stop()


@contextmanager
def _valkey(folder: Path) -> Iterator[str]:
    server = Valkey(places.settle(folder))
    child = server.start()
    try:
        yield server.url
    finally:
        child.stop()


@contextmanager
def _named(url: str, worker: str) -> Iterator[str]:
    """Make a database of this process' own on a given server. What an earlier, killed process left goes first."""
    name = sql.Identifier(f"tenantry_test_{worker}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/tenantry_test_{worker}"))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _numbered(url: str, worker: str) -> str:
    """Use database 0 of a given broker for the first worker, 1 for the second, and so on."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{worker.removeprefix('gw') if worker.startswith('gw') else 0}"))
