"""The servers of one test process: embedded, or the servers of TENANTRY_TEST_*_URL."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

from devserver import directories
from devserver.servers import FAST, Postgres, Valkey

MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 4 << 30
"""Bytes that have to be free for data in memory: the servers of a test process need about 200 MB."""


@dataclass(frozen=True)
class Servers:
    """URLs of an empty database and an empty broker that only this test process uses."""

    database_url: str
    redis_url: str


@contextmanager
def servers(worker: str) -> Iterator[Servers]:
    """Start servers for this test process alone: roles and FLUSHALL affect every database of a server."""
    with ExitStack() as stack:
        database_url = os.environ.get("TENANTRY_TEST_DATABASE_URL")
        redis_url = os.environ.get("TENANTRY_TEST_REDIS_URL")
        folder = stack.enter_context(directories.temporary("tenantry-test-", _folder_in_memory()))
        yield Servers(
            stack.enter_context(own_database(database_url, worker) if database_url else embedded_postgres(folder)),
            _own_broker_database(redis_url, worker) if redis_url else stack.enter_context(embedded_valkey(folder)),
        )


def _folder_in_memory() -> Path | None:
    """A file system in memory, if it has room: each database has 300 files, and tests create and drop many databases.

    On a disk, the kernel alone takes a fifth of the time of the tests that do so.
    """
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
    return MEMORY if free > ENOUGH_MEMORY else None


@contextmanager
def embedded_postgres(folder: Path, **settings: str) -> Iterator[str]:
    server = Postgres(directories.prepare(folder), FAST | settings)
    child = server.start()
    try:
        server.create_database("tenantry")
        yield server.url("tenantry")
    finally:
        child.stop()


@contextmanager
def embedded_valkey(folder: Path) -> Iterator[str]:
    server = Valkey(directories.prepare(folder))
    child = server.start()
    try:
        yield server.url
    finally:
        child.stop()


@contextmanager
def own_database(url: str, worker: str) -> Iterator[str]:
    """Create a database for this process on a given server, after dropping that of an earlier, killed process."""
    name = sql.Identifier(f"tenantry_test_{worker}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/tenantry_test_{worker}"))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _own_broker_database(url: str, worker: str) -> str:
    """Database 0 of a given broker for the first test process, 1 for the second, and so on."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{worker.removeprefix('gw') if worker.startswith('gw') else 0}"))
