"""The servers of one benchmark run: PostgreSQL as in production, with fsync, and Valkey, both embedded."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import redis
from psycopg import sql

from benchmarks.figures import await_condition
from devserver import directories
from devserver.processes import Child
from devserver.servers import Postgres, Valkey
from runtime.migrations import migrate
from runtime.settings import read_settings

NAME = "bench"
"""The application name of the benchmark's own connections: their statements are not counted."""

PRODUCTION = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "log_line_prefix": "%p %a|",
    "log_parameter_max_length": "0",
}

TEMPLATE = "template_tenantry"

FSYNCS = 100

STATEMENT = re.compile(r"^(\d+) ([^|\n]*)\|LOG: +(?:statement|execute [^:\n]*): *(.*)", re.MULTILINE)


@dataclass
class Servers:
    """The two servers, with a new database for each measurement: rows of one do not slow the next down."""

    postgres: Postgres
    valkey: Valkey
    processes: dict[str, psutil.Process]
    log: Path
    folder: Path
    broker: redis.Redis
    database: str = ""
    _number: int = field(default=0, init=False)

    @property
    def database_url(self) -> str:
        """The address of the database of the current measurement."""
        return self.postgres.url(self.database)

    def renew(self, template: str = TEMPLATE) -> None:
        """Replace the database by a new copy of the template, and empty the broker. No other process may use them."""
        old, self._number = self.database, self._number + 1
        self.database = f"measurement_{self._number}"
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True, application_name=NAME) as connection:
            if old:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(old)))
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(self.database), sql.Identifier(template)
                )
            )
            connection.execute("CHECKPOINT")  # the copy's pages are not written during the measurement
        self.broker.flushall()
        os.environ["TENANTRY_DATABASE_URL"] = self.database_url

    def commands(self) -> int:
        """How many commands the broker has processed."""
        return int(self.broker.info("stats")["total_commands_processed"])

    @contextmanager
    def counting(self) -> Iterator["Statements"]:
        """Count the statements that other processes send to Postgres during the block.

        By its log, because the embedded server has no pg_stat_statements. Writing the log takes time, so a block that
        counts is not timed.
        """
        self._log_statements("all")
        began, counted = self.log.stat().st_size, Statements()
        try:
            yield counted
        finally:
            with self.log.open("rb") as log:
                log.seek(began)
                counted.read(log.read().decode(errors="replace"))
            self._log_statements("none")

    def _log_statements(self, which: str) -> None:
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True, application_name=NAME) as connection:
            connection.execute(sql.SQL("ALTER SYSTEM SET log_statement = {}").format(which))
            connection.execute("SELECT pg_reload_conf()")
            await_condition(lambda: connection.execute("SHOW log_statement").fetchone() == (which,))


@dataclass
class Statements:
    """Statements and commits of a block. BEGIN and COMMIT are not counted as statements."""

    statements: int = 0
    commits: int = 0

    def read(self, log: str) -> None:
        """Count what a log of Postgres shows. A statement outside a transaction commits by itself."""
        in_transaction: set[str] = set()
        for backend, application, text in STATEMENT.findall(log):
            if application == NAME:
                continue
            match text.partition(" ")[0].rstrip(";").upper():
                case "BEGIN":
                    in_transaction.add(backend)
                case "COMMIT":
                    in_transaction.discard(backend)
                    self.commits += 1
                case "ROLLBACK" if " TO " not in text.upper():
                    in_transaction.discard(backend)
                case _:
                    self.statements += 1
                    self.commits += backend not in in_transaction


@contextmanager
def production_servers() -> Iterator[Servers]:
    """Start both servers, with a migrated template database, and with the settings of this process for it."""
    with directories.temporary("tenantry-bench-") as folder, directories.cleaned_up(directories.prepare(folder)):
        prepared = directories.prepare(folder)
        postgres, valkey = Postgres(prepared, PRODUCTION), Valkey(prepared)
        children = {"postgres": postgres.start(), "valkey": valkey.start()}
        try:
            yield _set_up(
                Servers(
                    postgres,
                    valkey,
                    {name: psutil.Process(child.process.pid) for name, child in children.items()},
                    children["postgres"].log,
                    folder,
                    redis.Redis.from_url(valkey.url),
                )
            )
        finally:
            _stop(children)


def _set_up(servers: Servers) -> Servers:
    servers.postgres.create_database(TEMPLATE)
    servers.postgres.create_database("empty")
    os.environ["TENANTRY_DATABASE_URL"] = servers.postgres.url(TEMPLATE)
    os.environ["TENANTRY_REDIS_URL"] = servers.valkey.url
    os.environ["TENANTRY_DEVELOPMENT"] = "true"
    os.environ["TENANTRY_SECRET_KEY"] = "2d9f7b40c8e1563ab04f9d7ce6528a13"  # noqa: S105  # a secret of benchmarks only
    migrate(read_settings())
    servers.renew()
    return servers


def _stop(children: dict[str, Child]) -> None:
    for child in reversed(children.values()):
        child.stop()


def fsync_milliseconds(folder: Path) -> float:
    """The median duration of writing a page to the disk of the database."""
    durations = []
    page = os.urandom(8192)
    descriptor = os.open(folder / "fsync", os.O_CREAT | os.O_RDWR)
    try:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            os.pwrite(descriptor, page, 0)
            os.fdatasync(descriptor)
            durations.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return sorted(durations)[FSYNCS // 2] * 1000
